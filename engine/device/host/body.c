/* Instruction lists made ready to run over blocks: what is read how, what is computed how often, where values lie.
 * In: instructions of a kernel and the order in which its points are walked. Out: a host_body, and its evaluation.
 * Loads at affine indices become runs (often a pointer into memory); what is the same in every block is computed once. */
#include "device/host/host.h"

#include <stdlib.h>
#include <string.h>

#include "device/host/block.h"

static int arity_of(int op)
{
    static const uint8_t arity[ANL_SCALAR_COUNT] = {
#define X(name, text, count, types, cost) count,
        ANL_SCALARS(X)
#undef X
    };
    switch (op) {
    case ANL_X_LOAD:
    case ANL_X_UNIFORM:
    case ANL_X_NORMAL:
        return 2;
    default:
        return op < ANL_SCALAR_COUNT ? arity[op] : 0;
    }
}

void anl_host_block_shape(int dim_count, const int32_t *dims, int *block, int64_t *granule, int64_t *stretch)
{
    int64_t inner = 1;
    int d = dim_count - 1;
    while (d >= 0 && inner * dims[d] <= HOST_BLOCK)
        inner *= dims[d--];
    int64_t many = 1;
    if (d >= 0) { /* as many of the inner stretches as divide the next dim, unless that makes small blocks */
        int64_t most = HOST_BLOCK / inner;
        many = most;
        while (many > 1 && dims[d] % many != 0)
            many--;
        if (many * 2 <= most)
            many = most;
    }
    *block = (int)(inner * many);
    *granule = *stretch = *block;
}

/* In a mask: depends on ACC, which differs from tile to tile, so it is neither hoisted nor slow. */
#define DEPENDS_ON_ACC (1u << 31)

typedef struct builder {
    const anl_kernel *kernel;
    const host_body_options *options;
    int count; /* instructions before options->last */
    bool *needed, *affine;
    bool
        *needed_row; /* once a row: of a row value, or of an index that grows evenly along the row its value at the row's start */
    bool *even;      /* index = what it is at the row's start + slope * place in the row */
    int64_t *slope;
    int inner;   /* iteration position of the innermost dim, which rows run along */
    int64_t row; /* its size; 0: rows are not told apart */
    int64_t (*coefficient)[ANL_MAX_DIMS], *base;
    int position[ANL_MAX_DIMS]; /* of a kernel dim among the iteration dims, -1: none */
    uint32_t *mask;             /* iteration positions that a value depends on */
    enum { HOISTED, SLOW, ROW, FAST } * rate;
} builder;

static bool guarded(const builder *w, const anl_instr *i)
{
    return i->b >= 0 && !(w->kernel->instrs[i->b].op == ANL_X_CONST && w->kernel->instrs[i->b].value != 0);
}

/* Whether instruction n reads operand number `which` as a block. */
static bool reads(const builder *w, int n, int which)
{
    const anl_instr *i = &w->kernel->instrs[n];
    if (i->op == ANL_X_LOAD)
        return which == 0 ? guarded(w, i) || !w->affine[i->a] : which == 1 && guarded(w, i);
    if (i->dtype == ANL_I32 && w->affine[n])
        return false;
    int32_t operand = which == 0 ? i->a : which == 1 ? i->b : i->c;
    return which < arity_of(i->op) && operand >= 0;
}

static int32_t operand_of(const anl_instr *i, int which) { return which == 0 ? i->a : which == 1 ? i->b : i->c; }

/* Over the first `positions` iteration dims. */
static host_access access_of(const builder *w, const int64_t *coefficient, int64_t base, int positions)
{
    const host_body_options *o = w->options;
    host_access access = {.base = base};
    for (int j = positions - 1; j >= 0; j--) {
        int64_t size = w->kernel->dims[o->order[j]], stride = coefficient[o->order[j]];
        if (size == 1)
            continue;
        int last = access.count - 1;
        if (last >= 0 && stride == access.stride[last] * access.size[last]) {
            access.size[last] *= size;
        } else {
            access.size[access.count] = size;
            access.stride[access.count++] = stride;
        }
    }
    if (access.count == 0) {
        access.count = 1;
        access.size[0] = 1;
    }
    return access;
}

static uint32_t mask_of(const builder *w, const int64_t *coefficient)
{
    uint32_t mask = 0;
    for (int j = 0; j < w->options->dim_count; j++)
        if (coefficient[w->options->order[j]] != 0 && w->kernel->dims[w->options->order[j]] > 1)
            mask |= 1u << j;
    return mask;
}

static uint32_t dependence(const builder *w, int n)
{
    const anl_instr *i = &w->kernel->instrs[n];
    uint32_t mask = 0;
    if (i->op == ANL_X_ACC)
        return DEPENDS_ON_ACC;
    if (i->op == ANL_X_LOAD && w->affine[i->a])
        mask |= mask_of(w, w->coefficient[i->a]);
    else if (i->dtype == ANL_I32 && w->affine[n])
        return mask_of(w, w->coefficient[n]);
    for (int which = 0; which < 3; which++)
        if (reads(w, n, which))
            mask |= w->mask[operand_of(i, which)];
    return mask;
}

/* Points after which values that depend on `mask` repeat; points for which they stay the same. */
static int64_t period_of(const builder *w, uint32_t mask)
{
    int64_t period = 1;
    if (mask == 0)
        return 1;
    for (int j = w->options->dim_count - 1; j >= 0; j--) {
        period *= w->kernel->dims[w->options->order[j]];
        if ((mask & ((1u << j) - 1)) == 0)
            break;
    }
    return period;
}

static int64_t stretch_of(const builder *w, uint32_t mask)
{
    int64_t stretch = 1;
    for (int j = w->options->dim_count - 1; j >= 0 && !(mask >> j & 1); j--)
        stretch *= w->kernel->dims[w->options->order[j]];
    return stretch;
}

/* True if a store of this kernel may change what this load reads while its block is still in use. */
static bool changed_under(const anl_kernel *kernel, int slot)
{
    return kernel->store_count > 1 && (kernel->in_place || kernel->args[slot].written);
}

/* A load whose rows each lie together: the index grows evenly along a row, and the guard does not change within it. */
static bool loads_rows(const builder *w, int n)
{
    const anl_instr *i = &w->kernel->instrs[n];
    if (w->row == 0 || i->op != ANL_X_LOAD || w->rate[n] != FAST || !w->even[i->a] || (w->affine[i->a] && !guarded(w, i)))
        return false;
    return !guarded(w, i) || (w->rate[i->b] != FAST && (w->mask[i->b] >> w->inner & 1) == 0);
}

static bool make_op(const builder *w, int n, bool row, host_op *op, anl_diagnostics *diagnostics)
{
    const host_body_options *o = w->options;
    int positions = row ? w->inner : o->dim_count;
    const anl_instr *i = &w->kernel->instrs[n];
    *op = (host_op){.dst = n, .a = i->a, .b = i->b, .c = i->c, .slot = i->slot, .value = i->value, .key = i->key};
    int kind = i->op, operand = ANL_F32;
    if (i->op == ANL_X_LOAD) {
        if (!row && loads_rows(w, n)) {
            kind = HOST_LOAD_ROWS;
            op->b = guarded(w, i) ? i->b : -1;
            op->access.stride[0] = w->slope[i->a];
            op->key = (uint64_t)w->row;
        } else if (guarded(w, i)) {
            kind = HOST_GATHER_WHERE;
        } else if (!w->affine[i->a]) {
            kind = HOST_GATHER;
        } else {
            op->access = access_of(w, w->coefficient[i->a], w->base[i->a], positions);
            op->copy = w->rate[n] == SLOW || changed_under(w->kernel, i->slot);
        }
    } else if (i->op == ANL_X_ACC) {
        op->component = i->a > 0 ? i->a : 0;
        if (o->acc_affine) {
            kind = HOST_ACC_AFFINE;
            op->access = access_of(w, o->acc_stride, 0, positions);
        }
    } else if (i->dtype == ANL_I32 && w->affine[n]) {
        kind = ANL_X_DIM;
        op->access = access_of(w, w->coefficient[n], w->base[n], positions);
    } else if (arity_of(i->op) > 0) {
        operand = w->kernel->instrs[i->op == ANL_S_SELECT ? i->b : i->a].dtype;
    }
    op->fn = o->simd->select(o->f64, kind, i->dtype, operand);
    if (op->fn)
        return true;
    anl_diagnose(diagnostics, ANL_A_program_invalid, (anl_span){0}, "kernel `%s`: the host device has no operation %d on type %d",
                 w->kernel->name, i->op, operand);
    return false;
}

/* Buffers of values: hoisted and slow ones keep theirs, the others share by lifetime. */
static void place(const builder *w, host_body *body, const int32_t *last_use)
{
    bool *taken = anl_malloc(sizeof(bool) * (size_t)(w->count + 1));
    memset(taken, 0, sizeof(bool) * (size_t)(w->count + 1));
    for (int n = 0; n < w->count; n++) {
        body->home[n] = body->row_home[n] = -1;
        if (w->needed[n] && w->rate[n] < ROW)
            body->home[n] = body->slot_count++;
        if (w->needed_row[n])
            body->row_home[n] = body->row_slot_count++;
    }
    for (int k = 0; k < body->op_count; k++) {
        const host_op *op = &body->ops[k];
        const anl_instr *i = &w->kernel->instrs[op->dst];
        bool in_memory =
            (i->op == ANL_X_ACC && !w->options->acc_affine) ||
            (i->op == ANL_X_LOAD && i->dtype == ANL_F32 && op->access.count == 1 && op->access.stride[0] == 1 && !op->copy);
        if (!in_memory) {
            int slot = 0;
            while (taken[slot])
                slot++;
            taken[slot] = true;
            body->home[op->dst] = slot; /* numbered from 0 among the shared ones; shifted below */
        }
        for (int n = 0; n <= op->dst; n++)
            if (w->needed[n] && w->rate[n] >= ROW && body->home[n] >= 0 && last_use[n] == op->dst)
                taken[body->home[n]] = false;
    }
    int shared = 0;
    for (int n = 0; n < w->count; n++) {
        if (w->needed[n] && w->rate[n] >= ROW && body->home[n] >= 0) {
            if (body->home[n] >= shared)
                shared = body->home[n] + 1;
            body->home[n] += body->slot_count;
        }
    }
    body->slot_count += shared;
    free(taken);
}

static bool make_stores(const builder *w, anl_arena *arena, host_body *body)
{
    const anl_kernel *kernel = w->kernel;
    body->stores = ANL_NEW_ARRAY(arena, host_op, kernel->store_count + 1);
    for (int s = 0; s < kernel->store_count; s++) {
        const anl_store *store = &kernel->stores[s];
        host_op *op = &body->stores[body->store_count++];
        bool affine = w->affine[store->index];
        *op = (host_op){.a = store->value, .b = store->index, .slot = store->arg};
        if (affine)
            op->access = access_of(w, w->coefficient[store->index], w->base[store->index], w->options->dim_count);
        op->fn = w->options->simd->store(w->options->f64, kernel->instrs[store->value].dtype, !affine);
    }
    return true;
}

/* Rows are worth telling apart where they are neither tiny nor cut by blocks. */
static void find_row(builder *w)
{
    const host_body_options *o = w->options;
    w->inner = o->dim_count - 1;
    while (w->inner > 0 && w->kernel->dims[o->order[w->inner]] == 1)
        w->inner--;
    if (w->inner < 0)
        return;
    int64_t size = w->kernel->dims[o->order[w->inner]];
    if (size >= 8 && w->inner > 0 && o->granule % size == 0 && o->block % size == 0)
        w->row = size;
}

/* An index that grows evenly along a row: by how much from point to point. */
static void slope_of(const builder *w, int n)
{
    const anl_instr *i = &w->kernel->instrs[n];
    w->even[n] = false;
    if (w->row == 0 || i->dtype != ANL_I32 || (w->mask[n] & DEPENDS_ON_ACC))
        return;
    if (w->affine[n]) {
        w->even[n] = true;
        w->slope[n] = w->coefficient[n][w->options->order[w->inner]];
        return;
    }
    if ((w->mask[n] >> w->inner & 1) == 0) {
        w->even[n] = true;
        w->slope[n] = 0;
        return;
    }
    int32_t a = i->a, b = i->b;
    switch (i->op) {
    case ANL_S_ADD:
    case ANL_S_SUB:
        w->even[n] = w->even[a] && w->even[b];
        w->slope[n] = w->slope[a] + (i->op == ANL_S_ADD ? w->slope[b] : -w->slope[b]);
        return;
    case ANL_S_NEGATE:
        w->even[n] = w->even[a];
        w->slope[n] = -w->slope[a];
        return;
    case ANL_S_MUL:
        for (int swap = 0; swap < 2 && !w->even[n]; swap++, a = i->b, b = i->a) {
            if (w->even[a] && w->affine[b] && w->mask[b] == 0) {
                w->even[n] = true;
                w->slope[n] = w->slope[a] * w->base[b];
            }
        }
        return;
    default:
        return;
    }
}

/* How often a value has to be computed. A hoisted value is only made of hoisted ones, a row value of hoisted, slow and row ones.
 */
static void rate_of(builder *w, int n)
{
    const host_body_options *o = w->options;
    w->mask[n] = dependence(w, n);
    uint32_t mask = w->mask[n];
    if (mask & DEPENDS_ON_ACC)
        w->rate[n] = FAST;
    else if (mask == 0)
        w->rate[n] = HOISTED;
    else if (o->stretch > 0 && stretch_of(w, mask) % o->stretch == 0)
        w->rate[n] = SLOW;
    else if (w->row > 0 && (mask >> w->inner & 1) == 0)
        w->rate[n] = ROW;
    else if (o->granule % period_of(w, mask) == 0)
        w->rate[n] = HOISTED;
    else
        w->rate[n] = FAST;
    if (w->rate[n] == HOISTED && mask != 0)
        for (int which = 0; which < 3; which++)
            if (reads(w, n, which) && w->rate[operand_of(&w->kernel->instrs[n], which)] != HOISTED)
                w->rate[n] = FAST;
    slope_of(w, n);
}

/* Has a value of its own for each row? What is the same in every block has too, unless it is one number: at a row's start it is
 * not what it is at the point of that number. */
static bool by_row(const builder *w, int n) { return w->rate[n] >= ROW || (w->rate[n] == HOISTED && w->mask[n] != 0); }

static void need(builder *w, int32_t *last_use, int32_t operand, int user, bool row)
{
    if (row && by_row(w, operand)) {
        w->needed_row[operand] = true;
        return;
    }
    w->needed[operand] = true;
    if (last_use[operand] < user)
        last_use[operand] = user;
}

static void find_needed(builder *w, int32_t *last_use)
{
    const anl_kernel *kernel = w->kernel;
    if (w->options->stores) {
        for (int s = 0; s < kernel->store_count; s++) {
            need(w, last_use, kernel->stores[s].value, INT32_MAX, false);
            if (!w->affine[kernel->stores[s].index])
                need(w, last_use, kernel->stores[s].index, INT32_MAX, false);
        }
    } else {
        for (int a = 0; a < kernel->accumulator_count; a++)
            need(w, last_use, kernel->accumulators[a].instr, INT32_MAX, false);
    }
    for (int n = w->count - 1; n >= w->options->first; n--) {
        const anl_instr *i = &kernel->instrs[n];
        if (w->needed[n] && w->rate[n] == ROW)
            w->needed_row[n] = true; /* computed once a row, then expanded */
        if (w->needed[n] && loads_rows(w, n)) {
            need(w, last_use, i->a, n, true);
            if (guarded(w, i))
                need(w, last_use, i->b, n, true);
        } else if (w->needed[n] && w->rate[n] != ROW) {
            for (int which = 0; which < 3; which++)
                if (reads(w, n, which))
                    need(w, last_use, operand_of(i, which), n, false);
        }
        if (w->needed_row[n])
            for (int which = 0; which < 3; which++)
                if (reads(w, n, which))
                    need(w, last_use, operand_of(i, which), n, true);
    }
}

host_body *anl_host_body_new(anl_arena *arena, const anl_kernel *kernel, const host_body_options *options,
                             anl_diagnostics *diagnostics)
{
    int count = options->last;
    host_body *body = ANL_NEW(arena, host_body);
    builder w = {.kernel = kernel, .options = options, .count = count};
    anl_arena *working = anl_arena_new();
    w.needed = ANL_NEW_ARRAY(working, bool, count + 1);
    w.needed_row = ANL_NEW_ARRAY(working, bool, count + 1);
    w.affine = ANL_NEW_ARRAY(working, bool, count + 1);
    w.even = ANL_NEW_ARRAY(working, bool, count + 1);
    w.coefficient = anl_arena_alloc(working, sizeof *w.coefficient * (size_t)(count + 1));
    w.base = ANL_NEW_ARRAY(working, int64_t, count + 1);
    w.slope = ANL_NEW_ARRAY(working, int64_t, count + 1);
    w.mask = ANL_NEW_ARRAY(working, uint32_t, count + 1);
    w.rate = anl_arena_alloc(working, sizeof *w.rate * (size_t)(count + 1));
    int32_t *last_use = ANL_NEW_ARRAY(working, int32_t, count + 1);

    body->kernel = kernel;
    body->f64 = options->f64;
    body->block = options->block;
    body->instr_count = count;
    body->total = 1;
    for (int j = 0; j < options->dim_count; j++)
        body->total *= kernel->dims[options->order[j]];
    anl_kernel_affine_all(kernel, count, w.affine, w.coefficient, w.base);
    find_row(&w);
    for (int n = options->first; n < count; n++)
        rate_of(&w, n);
    find_needed(&w, last_use);

    int numbers[4] = {0}, row_number = 0;
    for (int n = options->first; n < count; n++) {
        numbers[w.rate[n]] += w.needed[n];
        row_number += w.needed_row[n];
        int64_t stretch = stretch_of(&w, w.mask[n]);
        if (w.needed[n] && w.rate[n] == SLOW && (body->slow_span == 0 || stretch < body->slow_span))
            body->slow_span = stretch;
    }
    body->row = w.row;
    body->hoisted = ANL_NEW_ARRAY(arena, host_op, numbers[HOISTED] + 1);
    body->slow = ANL_NEW_ARRAY(arena, host_op, numbers[SLOW] + 1);
    body->rows = ANL_NEW_ARRAY(arena, host_op, row_number + 1);
    body->ops = ANL_NEW_ARRAY(arena, host_op, numbers[ROW] + numbers[FAST] + 1);
    body->home = ANL_NEW_ARRAY(arena, int32_t, count + 1);
    body->row_home = ANL_NEW_ARRAY(arena, int32_t, count + 1);
    bool fine = true;
    for (int n = options->first; fine && n < count; n++) {
        if (w.needed_row[n])
            fine = make_op(&w, n, true, &body->rows[body->row_op_count++], diagnostics);
        if (!w.needed[n] || !fine)
            continue;
        if (w.rate[n] == ROW) {
            host_op *op = &body->ops[body->op_count++];
            *op = (host_op){.dst = n, .a = -1, .b = -1, .c = -1, .key = (uint64_t)w.row};
            op->fn = options->simd->select(options->f64, HOST_EXPAND, kernel->instrs[n].dtype, ANL_F32);
            continue;
        }
        host_op *op = w.rate[n] == HOISTED ? &body->hoisted[body->hoisted_count++]
                      : w.rate[n] == SLOW  ? &body->slow[body->slow_count++]
                                           : &body->ops[body->op_count++];
        fine = make_op(&w, n, false, op, diagnostics);
        op->widen = true;
    }
    if (fine) {
        place(&w, body, last_use);
        size_t element = options->f64 ? 8 : 4;
        body->slot_bytes = (size_t)host_round_up((int64_t)((size_t)body->block * element), HOST_LINE) + 3 * HOST_LINE;
        body->row_slot_bytes =
            w.row > 0 ? (size_t)host_round_up((int64_t)((size_t)(body->block / w.row) * element), HOST_LINE) : 0;
        if (options->stores)
            fine = make_stores(&w, arena, body);
    }
    anl_arena_free(&working);
    return fine ? body : NULL;
}

static size_t pointer_bytes(const host_body *body)
{
    return (size_t)host_round_up((int64_t)sizeof(void *) * 4 * body->instr_count, HOST_LINE);
}

size_t anl_host_body_bytes(const host_body *body)
{
    return pointer_bytes(body) + body->slot_bytes * (size_t)body->slot_count +
           body->row_slot_bytes * (size_t)body->row_slot_count;
}

void anl_host_body_enter(const host_body *body, const host_simd *simd, host_block *block, int64_t run)
{
    if (block->prepared == body && block->prepared_run == run)
        return;
    block->prepared = body;
    block->prepared_run = run;
    block->slow_at = -1;
    block->value = block->memory;
    block->home = block->value + body->instr_count;
    block->row_value = block->home + body->instr_count;
    block->row_home = block->row_value + body->instr_count;
    char *slots = (char *)block->memory + pointer_bytes(body), *rows = slots + body->slot_bytes * (size_t)body->slot_count;
    for (int n = 0; n < body->instr_count; n++) {
        block->value[n] = block->home[n] = body->home[n] < 0 ? NULL : slots + body->slot_bytes * (size_t)body->home[n];
        block->row_value[n] = block->row_home[n] =
            body->row_home[n] < 0 ? NULL : rows + body->row_slot_bytes * (size_t)body->row_home[n];
    }
    block->p = 0;
    block->n = (int)host_minimum(body->block, body->total);
    for (int k = 0; k < body->hoisted_count; k++)
        body->hoisted[k].fn(&body->hoisted[k], block);
    /* one value a block serves rows as well */
    for (int k = 0; k < body->hoisted_count; k++)
        if (body->row_home[body->hoisted[k].dst] < 0)
            block->row_value[body->hoisted[k].dst] = block->value[body->hoisted[k].dst];
    for (int k = 0; k < body->slow_count; k++)
        block->row_value[body->slow[k].dst] = block->home[body->slow[k].dst];
    (void)simd;
}

static void evaluate_rows(const host_body *body, host_block *block, int64_t p, int n)
{
    void **value = block->value, **home = block->home;
    block->value = block->row_value;
    block->home = block->row_home;
    block->p = p / body->row;
    block->n = n / (int)body->row;
    for (int k = 0; k < body->row_op_count; k++)
        body->rows[k].fn(&body->rows[k], block);
    block->value = value;
    block->home = home;
}

void anl_host_body_evaluate(const host_body *body, const host_simd *simd, host_block *block, int64_t p, int n, bool store)
{
    block->p = p;
    if (body->slow_count > 0 && block->slow_at != p / body->slow_span) {
        block->slow_at = p / body->slow_span;
        block->n = 1;
        for (int k = 0; k < body->slow_count; k++) {
            const host_op *op = &body->slow[k];
            op->fn(op, block);
            if (op->widen)
                simd->spread(block->value[op->dst], body->f64 && body->kernel->instrs[op->dst].dtype == ANL_F32 ? 8 : 4,
                             body->block);
        }
    }
    if (body->row_op_count > 0)
        evaluate_rows(body, block, p, n);
    block->p = p;
    block->n = n;
    for (int k = 0; k < body->op_count; k++)
        body->ops[k].fn(&body->ops[k], block);
    for (int s = 0; store && s < body->store_count; s++)
        body->stores[s].fn(&body->stores[s], block);
}
