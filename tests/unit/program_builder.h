/* Small programs written by hand, for tests of executors that need no compiler.
 * In: calls that add buffers, kernels, instructions and stores. Out: an anl_program (freed with anl_program_free).
 * Between any two tensors lie sentinel bytes, which a test can check after a run (pb_guard). */
#ifndef ANL_TESTS_PROGRAM_BUILDER_H
#define ANL_TESTS_PROGRAM_BUILDER_H

#include <string.h>

#include "compile/program.h"

enum { PB_BUFFERS = 64, PB_KERNELS = 32, PB_INSTRS = 512, PB_STORES = 16, PB_ACCUMULATORS = 8, PB_SCALARS = 16, PB_GAP = 256 };

/* Starts an empty program. */
static inline anl_program *pb_new(bool f64)
{
    anl_arena *arena = anl_arena_new();
    anl_program *p = ANL_NEW(arena, anl_program);
    p->arena = arena;
    p->f64 = f64;
    p->buffers = ANL_NEW_ARRAY(arena, anl_buffer, PB_BUFFERS);
    p->kernels = ANL_NEW_ARRAY(arena, anl_kernel, PB_KERNELS);
    p->inputs = ANL_NEW_ARRAY(arena, anl_port, PB_BUFFERS);
    p->outputs = ANL_NEW_ARRAY(arena, anl_port, PB_BUFFERS);
    p->states = ANL_NEW_ARRAY(arena, anl_port, PB_BUFFERS);
    p->scalar_instrs = ANL_NEW_ARRAY(arena, anl_instr, PB_SCALARS);
    p->scalars = ANL_NEW_ARRAY(arena, int32_t, PB_SCALARS);
    return p;
}

static inline int64_t pb_element_bytes(const anl_program *p, anl_dtype dtype) { return dtype == ANL_F32 && p->f64 ? 8 : 4; }

/* A tensor of `count` elements in a space. Inputs, outputs and state also become flat ports of the same name, in order of
 * creation. A gap of PB_GAP bytes lies before it and after it. */
static inline int pb_buffer(anl_program *p, anl_space space, anl_dtype dtype, int64_t count, const char *name)
{
    int index = p->buffer_count++;
    anl_buffer *b = &p->buffers[index];
    b->space = space;
    b->dtype = dtype;
    b->name = name;
    b->count = count;
    b->bytes = count * pb_element_bytes(p, dtype);
    if (p->space_bytes[space] == 0)
        p->space_bytes[space] = PB_GAP;
    b->offset = p->space_bytes[space];
    p->space_bytes[space] += (b->bytes + PB_GAP + ANL_ALIGNMENT - 1) / ANL_ALIGNMENT * ANL_ALIGNMENT;
    anl_port port = {.name = name,
                     .buffer = index,
                     .scalar = -1,
                     .dtype = dtype,
                     .rank = 1,
                     .axis = {"element"},
                     .size = {(int32_t)count},
                     .stride = {1}};
    if (space == ANL_SPACE_INPUT)
        p->inputs[p->input_count++] = port;
    else if (space == ANL_SPACE_OUTPUT)
        p->outputs[p->output_count++] = port;
    else if (space == ANL_SPACE_STATE)
        p->states[p->state_count++] = port;
    return index;
}

/* A table of int32 or float constants (copied). */
static inline int pb_table(anl_program *p, anl_dtype dtype, int64_t count, const void *values, const char *name)
{
    int index = pb_buffer(p, ANL_SPACE_TABLE, dtype, count, name);
    void *copy = anl_arena_alloc(p->arena, (size_t)count * 4);
    memcpy(copy, values, (size_t)count * 4);
    p->buffers[index].table = copy;
    return index;
}

/* A kernel. kept_count < dim_count only for REDUCE. barrier_before is set. */
static inline anl_kernel *pb_kernel(anl_program *p, anl_kernel_kind kind, const char *name, int dim_count, int kept_count,
                                    const int32_t *dims)
{
    anl_kernel *k = &p->kernels[p->kernel_count++];
    k->kind = kind;
    k->name = name;
    k->dim_count = dim_count;
    k->kept_count = kept_count;
    memcpy(k->dims, dims, sizeof(int32_t) * (size_t)dim_count);
    k->instrs = ANL_NEW_ARRAY(p->arena, anl_instr, PB_INSTRS);
    k->stores = ANL_NEW_ARRAY(p->arena, anl_store, PB_STORES);
    k->accumulators = ANL_NEW_ARRAY(p->arena, anl_accumulator, PB_ACCUMULATORS);
    k->barrier_before = true;
    return k;
}

/* The kernel's argument for a buffer; the same buffer gives the same argument. */
static inline int pb_arg(anl_kernel *k, int buffer, bool read, bool written)
{
    for (int a = 0; a < k->arg_count; a++) {
        if (k->args[a].buffer == buffer) {
            k->args[a].read |= read;
            k->args[a].written |= written;
            return a;
        }
    }
    k->args[k->arg_count] = (anl_kernel_arg){.buffer = buffer, .read = read, .written = written};
    return k->arg_count++;
}

static inline int pb_instr(anl_kernel *k, anl_instr i)
{
    k->instrs[k->instr_count] = i;
    if (k->kind == ANL_KERNEL_MAP)
        k->body_count = k->instr_count + 1;
    return k->instr_count++;
}
/* Ends the body of a REDUCE; what follows is its tail. */
static inline void pb_tail(anl_kernel *k) { k->body_count = k->instr_count; }

static inline int pb_const(anl_kernel *k, anl_dtype dtype, double value)
{
    return pb_instr(k, (anl_instr){.op = ANL_X_CONST, .dtype = (uint8_t)dtype, .a = -1, .b = -1, .c = -1, .value = value});
}
static inline int pb_int(anl_kernel *k, int32_t value) { return pb_const(k, ANL_I32, value); }
static inline int pb_float(anl_kernel *k, double value) { return pb_const(k, ANL_F32, value); }
static inline int pb_dim(anl_kernel *k, int dim)
{
    return pb_instr(k, (anl_instr){.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = dim});
}
static inline int pb_op(anl_kernel *k, anl_dtype dtype, int op, int a, int b, int c)
{
    return pb_instr(k, (anl_instr){.op = (uint16_t)op, .dtype = (uint8_t)dtype, .a = a, .b = b, .c = c});
}
/* base + sum of coefficient[d] * dim d, as instructions. */
static inline int pb_affine(anl_kernel *k, const int64_t *coefficient, int count, int64_t base)
{
    int sum = pb_int(k, (int32_t)base);
    for (int d = 0; d < count; d++) {
        if (coefficient[d] == 0)
            continue;
        int term = pb_op(k, ANL_I32, ANL_S_MUL, pb_dim(k, d), pb_int(k, (int32_t)coefficient[d]), -1);
        sum = pb_op(k, ANL_I32, ANL_S_ADD, sum, term, -1);
    }
    return sum;
}
/* The row-major index of the point in the first `count` dims. */
static inline int pb_linear(anl_kernel *k, int count)
{
    int64_t stride[ANL_MAX_DIMS] = {0}, step = 1;
    for (int d = count - 1; d >= 0; d--) {
        stride[d] = step;
        step *= k->dims[d];
    }
    return pb_affine(k, stride, count, 0);
}
static inline int pb_load(const anl_program *p, anl_kernel *k, int buffer, int index, int guard, double otherwise)
{
    int slot = pb_arg(k, buffer, true, false);
    return pb_instr(k, (anl_instr){.op = ANL_X_LOAD,
                                   .dtype = (uint8_t)p->buffers[buffer].dtype,
                                   .a = index,
                                   .b = guard,
                                   .c = -1,
                                   .slot = slot,
                                   .value = otherwise});
}
static inline int pb_scalar(anl_kernel *k, int slot)
{
    return pb_instr(k, (anl_instr){.op = ANL_X_SCALAR, .dtype = ANL_F32, .a = -1, .b = -1, .c = -1, .slot = slot});
}
static inline int pb_acc(anl_kernel *k, anl_dtype dtype, int slot, int component)
{
    return pb_instr(k, (anl_instr){.op = ANL_X_ACC, .dtype = (uint8_t)dtype, .a = component, .b = -1, .c = -1, .slot = slot});
}
static inline void pb_accumulate(anl_kernel *k, anl_combine combine, anl_dtype dtype, int instr)
{
    k->accumulators[k->accumulator_count++] = (anl_accumulator){.combine = combine, .dtype = dtype, .instr = instr};
}
static inline void pb_store(anl_kernel *k, int buffer, int index, int value)
{
    int arg = pb_arg(k, buffer, false, true);
    k->stores[k->store_count++] = (anl_store){.arg = arg, .index = index, .value = value};
}

/* ---- sentinels: every byte of a space's memory that belongs to no buffer ---- */
enum { PB_SENTINEL = 0xA5 };
/* Fills the gaps of a copy of a state space before it is written to the device. */
static inline void pb_guard_fill(const anl_program *p, anl_space space, unsigned char *bytes)
{
    memset(bytes, PB_SENTINEL, (size_t)p->space_bytes[space]);
    for (int b = 0; b < p->buffer_count; b++)
        if (p->buffers[b].space == space)
            memset(bytes + p->buffers[b].offset, 0, (size_t)p->buffers[b].bytes);
}
/* Number of gap bytes that changed. */
static inline int64_t pb_guard_broken(const anl_program *p, anl_space space, const unsigned char *bytes)
{
    int64_t broken = 0;
    for (int64_t i = 0; i < p->space_bytes[space]; i++) {
        bool inside = false;
        for (int b = 0; b < p->buffer_count && !inside; b++)
            inside = p->buffers[b].space == space && i >= p->buffers[b].offset && i < p->buffers[b].offset + p->buffers[b].bytes;
        broken += !inside && bytes[i] != PB_SENTINEL;
    }
    return broken;
}

#endif
