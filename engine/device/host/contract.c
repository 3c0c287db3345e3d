/* CONTRACT kernels: matrix products, convolutions and their two gradients, with what is computed from each sum.
 * In: a kernel. Out: its stores done. This file holds the plain way (every size, stride and type; sums in double precision)
 * and the choice between it and the fast ways of blas.c and product.c. */
#include "device/host/host.h"

#include <stdlib.h>
#include <string.h>

#include "device/host/contract.h"

typedef struct plain_kernel {
    host_kernel base;
    const host_body *tail;
    int64_t *ka, *kb; /* offsets of the k points in A and B */
    int64_t k_count;
} plain_kernel;

typedef struct plain_run_context {
    const plain_kernel *kernel;
    host_run *run;
} plain_run_context;

static double sum_k(const plain_kernel *k, const void *a, const void *b, int64_t ao, int64_t bo)
{
    double sum = 0;
    if (k->base.f64) {
        const double *x = (const double *)a + ao, *y = (const double *)b + bo;
        for (int64_t i = 0; i < k->k_count; i++)
            sum += x[k->ka[i]] * y[k->kb[i]];
    } else {
        const float *x = (const float *)a + ao, *y = (const float *)b + bo;
        for (int64_t i = 0; i < k->k_count; i++)
            sum += (double)x[k->ka[i]] * (double)y[k->kb[i]];
    }
    return sum;
}

/* Sum over the windows from `w` on; position: the output's own position in each window. */
static double sum_windows(const plain_kernel *k, int w, const int64_t *position, const void *a, const void *b, int64_t ao,
                          int64_t bo)
{
    const anl_contract *c = &k->base.kernel->contract;
    if (w == c->window_count)
        return sum_k(k, a, b, ao, bo);
    const anl_window *window = &c->window[w];
    double sum = 0;
    int64_t at = position[w];
    switch (c->role) {
    case ANL_CONTRACT_FORWARD:
        for (int64_t t = 0; t < window->tap_size; t++) {
            int64_t in = at * window->stride + t * window->dilation - window->padding;
            if (in >= 0 && in < window->in_size)
                sum += sum_windows(k, w + 1, position, a, b, ao + in * window->x, bo + t * window->w);
        }
        break;
    case ANL_CONTRACT_DATA:
        for (int64_t t = 0; t < window->tap_size; t++) {
            int64_t out = at + window->padding - t * window->dilation;
            if (out >= 0 && out % window->stride == 0 && out / window->stride < window->out_size)
                sum += sum_windows(k, w + 1, position, a, b, ao + out / window->stride * window->y, bo + t * window->w);
        }
        break;
    case ANL_CONTRACT_WEIGHT:
        for (int64_t out = 0; out < window->out_size; out++) {
            int64_t in = out * window->stride + at * window->dilation - window->padding;
            if (in >= 0 && in < window->in_size)
                sum += sum_windows(k, w + 1, position, a, b, ao + in * window->x, bo + out * window->y);
        }
        break;
    }
    return sum;
}

static void plain_chunk(void *context, int chunk, int thread)
{
    const plain_run_context *r = context;
    const plain_kernel *k = r->kernel;
    const anl_kernel *kernel = k->base.kernel;
    const anl_contract *c = &kernel->contract;
    host_thread *t = &r->run->threads[thread];
    host_block *block = &t->block;
    block->arg = r->run->arg;
    block->scalars = r->run->scalars;
    block->step = r->run->step;
    block->acc[0][0] = t->scratch;
    anl_host_body_enter(k->tail, k->base.simd, block, r->run->serial);
    int64_t p = (int64_t)chunk * k->tail->block;
    int n = (int)host_minimum(k->tail->block, k->tail->total - p);
    const void *a = r->run->arg[c->a_arg], *b = r->run->arg[c->b_arg];
    int first_window = c->batch_count + c->m_count, first_n = first_window + c->window_count;
    for (int i = 0; i < n; i++) {
        int64_t index[ANL_MAX_DIMS], rest = p + i, ao = c->a_base, bo = c->b_base;
        for (int d = kernel->dim_count - 1; d >= 0; d--) {
            index[d] = rest % kernel->dims[d];
            rest /= kernel->dims[d];
        }
        for (int d = 0; d < c->batch_count; d++) {
            ao += index[d] * c->batch[d].a;
            bo += index[d] * c->batch[d].b;
        }
        for (int d = 0; d < c->m_count; d++)
            ao += index[c->batch_count + d] * c->m[d].a;
        for (int d = 0; d < c->n_count; d++)
            bo += index[first_n + d] * c->n[d].b;
        double sum = sum_windows(k, 0, index + first_window, a, b, ao, bo);
        if (k->base.f64)
            ((double *)t->scratch)[i] = sum;
        else
            ((float *)t->scratch)[i] = (float)sum;
    }
    block->acc_origin = p;
    anl_host_body_evaluate(k->tail, k->base.simd, block, p, n, true);
}

static void plain_run(const host_kernel *kernel, host_run *run)
{
    const plain_kernel *k = (const plain_kernel *)kernel;
    plain_run_context context = {.kernel = k, .run = run};
    int64_t chunks = (k->tail->total + k->tail->block - 1) / k->tail->block;
    anl_parallel(run->pool, (int)chunks, plain_chunk, &context);
}

static const host_kernel_class plain_class = {.run = plain_run};

host_body *anl_host_contract_tail(const host_make *make, const anl_kernel *kernel, int block, int64_t granule)
{
    host_body_options options = {
        .f64 = make->f64, .simd = make->simd, .first = kernel->body_count, .last = kernel->instr_count, .stores = true};
    options.dim_count = kernel->dim_count;
    for (int d = 0; d < kernel->dim_count; d++)
        options.order[d] = d;
    anl_host_block_shape(kernel->dim_count, kernel->dims, &options.block, &options.granule, &options.stretch);
    if (block > 0) {
        options.block = block;
        options.granule = granule;
        options.stretch = 0;
    }
    return anl_host_body_new(make->arena, kernel, &options, make->diagnostics);
}

static host_kernel *plain_new(const host_make *make, const anl_kernel *kernel)
{
    plain_kernel *k = ANL_NEW(make->arena, plain_kernel);
    const anl_contract *c = &kernel->contract;
    k->base = (host_kernel){.class = &plain_class, .kernel = kernel, .simd = make->simd, .f64 = make->f64};
    k->tail = anl_host_contract_tail(make, kernel, 0, 0);
    if (!k->tail)
        return NULL;
    k->k_count = 1;
    for (int d = 0; d < c->k_count; d++)
        k->k_count *= c->k[d].size;
    k->ka = ANL_NEW_ARRAY(make->arena, int64_t, k->k_count + 1);
    k->kb = ANL_NEW_ARRAY(make->arena, int64_t, k->k_count + 1);
    for (int64_t i = 0; i < k->k_count; i++) {
        int64_t rest = i;
        for (int d = c->k_count - 1; d >= 0; d--) {
            k->ka[i] += rest % c->k[d].size * c->k[d].a;
            k->kb[i] += rest % c->k[d].size * c->k[d].b;
            rest /= c->k[d].size;
        }
    }
    k->base.block_bytes = anl_host_body_bytes(k->tail);
    k->base.thread_bytes = (size_t)k->tail->block * (make->f64 ? 8 : 4);
    return &k->base;
}

/* ---- as a REDUCE: for sums too small for tiles, such as one kernel a channel or a sample ---- */
typedef struct rewriter {
    anl_kernel *kernel;
    const anl_contract *c;
} rewriter;

static int32_t add(rewriter *w, anl_instr i) { return (w->kernel->instrs[w->kernel->instr_count] = i, w->kernel->instr_count++); }
static int32_t whole(rewriter *w, int64_t value)
{
    return add(w, (anl_instr){.op = ANL_X_CONST, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .value = (double)value});
}
static int32_t binary(rewriter *w, anl_dtype dtype, anl_scalar op, int32_t a, int32_t b)
{
    return add(w, (anl_instr){.op = (uint16_t)op, .dtype = (uint8_t)dtype, .a = a, .b = b, .c = -1});
}
/* sum + stride * dim */
static int32_t advance(rewriter *w, int32_t sum, int dim, int64_t stride)
{
    if (stride == 0)
        return sum;
    int32_t index = add(w, (anl_instr){.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = dim});
    return binary(w, ANL_I32, ANL_S_ADD, sum, binary(w, ANL_I32, ANL_S_MUL, index, whole(w, stride)));
}

/* The index along A's own axis of a window, times its stride, added to `sum`; conditions under which there is such an element go
 * to *guard. */
static int32_t window_index(rewriter *w, const anl_window *window, int own, int summed, int32_t sum, int32_t *guard)
{
    int64_t low, high, size, stride;
    int32_t at;
    if (w->c->role == ANL_CONTRACT_DATA) { /* position + padding - tap * dilation = out * stride */
        at = advance(w, advance(w, whole(w, window->padding), own, 1), summed, -window->dilation);
        low = window->padding - (int64_t)(window->tap_size - 1) * window->dilation;
        high = window->in_size - 1 + window->padding;
        size = window->out_size;
        stride = window->y;
        if (window->stride > 1) {
            int32_t by = whole(w, window->stride), rest = binary(w, ANL_I32, ANL_S_MOD, at, by);
            int32_t fits = binary(w, ANL_BOOL, ANL_S_EQ, rest, whole(w, 0));
            *guard = *guard < 0 ? fits : binary(w, ANL_BOOL, ANL_S_AND, *guard, fits);
            at = binary(w, ANL_I32, ANL_S_FLOORDIV, at, by);
            high /= window->stride;
        }
    } else { /* out * stride + tap * dilation - padding */
        int out = w->c->role == ANL_CONTRACT_FORWARD ? own : summed, tap = w->c->role == ANL_CONTRACT_FORWARD ? summed : own;
        at = advance(w, advance(w, whole(w, -window->padding), out, window->stride), tap, window->dilation);
        low = -window->padding;
        high = (int64_t)(window->out_size - 1) * window->stride + (int64_t)(window->tap_size - 1) * window->dilation -
               window->padding;
        size = window->in_size;
        stride = window->x;
    }
    if (low < 0) {
        int32_t fits = binary(w, ANL_BOOL, ANL_S_LE, whole(w, 0), at);
        *guard = *guard < 0 ? fits : binary(w, ANL_BOOL, ANL_S_AND, *guard, fits);
    }
    if (high >= size) {
        int32_t fits = binary(w, ANL_BOOL, ANL_S_LT, at, whole(w, size));
        *guard = *guard < 0 ? fits : binary(w, ANL_BOOL, ANL_S_AND, *guard, fits);
    }
    return binary(w, ANL_I32, ANL_S_ADD, sum, binary(w, ANL_I32, ANL_S_MUL, at, whole(w, stride)));
}

/* The same sums as a REDUCE kernel whose kept dims lie in the order of the output's memory; NULL if it has too many dims. */
static anl_kernel *as_reduce(const host_make *make, const anl_kernel *kernel)
{
    const anl_contract *c = &kernel->contract;
    int kept = kernel->dim_count, reduced = c->window_count + c->k_count;
    if (kept + reduced > ANL_MAX_DIMS)
        return NULL;
    anl_kernel *k = ANL_NEW(make->arena, anl_kernel);
    *k = *kernel;
    k->kind = ANL_KERNEL_REDUCE;
    k->kept_count = kept;
    k->dim_count = kept + reduced;
    k->instrs = ANL_NEW_ARRAY(make->arena, anl_instr, kernel->instr_count + 64 + 16 * (kept + reduced));
    k->instr_count = 0;
    rewriter w = {.kernel = k, .c = c};

    /* place[d]: where the contraction's dim d is in the new kernel */
    int order[ANL_MAX_DIMS], place[ANL_MAX_DIMS];
    int64_t stride[ANL_MAX_DIMS] = {0}, base;
    for (int d = 0; d < kept; d++)
        order[d] = d;
    if (kernel->store_count > 0 && anl_kernel_affine(kernel, kernel->stores[0].index, stride, &base))
        for (int i = 1; i < kept; i++)
            for (int j = i; j > 0 && llabs(stride[order[j]]) > llabs(stride[order[j - 1]]); j--) {
                int other = order[j];
                order[j] = order[j - 1];
                order[j - 1] = other;
            }
    for (int i = 0; i < kept; i++) {
        place[order[i]] = i;
        k->dims[i] = kernel->dims[order[i]];
    }
    int first_window = c->batch_count + c->m_count, first_n = first_window + c->window_count;
    for (int i = 0; i < c->window_count; i++)
        k->dims[kept + i] = c->role == ANL_CONTRACT_WEIGHT ? c->window[i].out_size : c->window[i].tap_size;
    for (int i = 0; i < c->k_count; i++)
        k->dims[kept + c->window_count + i] = c->k[i].size;

    int32_t a = whole(&w, c->a_base), b = whole(&w, c->b_base), guard = -1;
    for (int i = 0; i < c->batch_count; i++) {
        a = advance(&w, a, place[i], c->batch[i].a);
        b = advance(&w, b, place[i], c->batch[i].b);
    }
    for (int i = 0; i < c->m_count; i++)
        a = advance(&w, a, place[c->batch_count + i], c->m[i].a);
    for (int i = 0; i < c->n_count; i++)
        b = advance(&w, b, place[first_n + i], c->n[i].b);
    for (int i = 0; i < c->k_count; i++) {
        a = advance(&w, a, kept + c->window_count + i, c->k[i].a);
        b = advance(&w, b, kept + c->window_count + i, c->k[i].b);
    }
    for (int i = 0; i < c->window_count; i++) {
        a = window_index(&w, &c->window[i], place[first_window + i], kept + i, a, &guard);
        b = advance(&w, b, kept + i, c->role == ANL_CONTRACT_WEIGHT ? c->window[i].y : c->window[i].w);
    }
    anl_instr load = {.op = ANL_X_LOAD, .dtype = ANL_F32, .a = a, .b = guard, .c = -1, .slot = c->a_arg};
    int32_t x = add(&w, load);
    load.a = b;
    load.b = -1;
    load.slot = c->b_arg;
    int32_t y = add(&w, load);
    k->accumulators = ANL_NEW(make->arena, anl_accumulator);
    k->accumulators[0] = (anl_accumulator){.combine = ANL_SUM, .dtype = ANL_F32, .instr = binary(&w, ANL_F32, ANL_S_MUL, x, y)};
    k->accumulator_count = 1;
    k->body_count = k->instr_count;
    for (int n = 0; n < kernel->instr_count; n++) { /* the tail, its references shifted and its dims renamed */
        anl_instr i = kernel->instrs[n];
        if (i.op == ANL_X_DIM)
            i.slot = place[i.slot];
        if (i.op != ANL_X_ACC) {
            i.a += i.a >= 0 ? k->body_count : 0;
            i.b += i.b >= 0 ? k->body_count : 0;
            i.c += i.c >= 0 ? k->body_count : 0;
        }
        add(&w, i);
    }
    k->stores = ANL_NEW_ARRAY(make->arena, anl_store, kernel->store_count + 1);
    for (int s = 0; s < kernel->store_count; s++) {
        k->stores[s] = kernel->stores[s];
        k->stores[s].index += k->body_count;
        k->stores[s].value += k->body_count;
    }
    return k;
}

host_kernel *anl_host_contract_new(const host_make *make, const anl_kernel *kernel)
{
    if (!make->f64 && !make->plain) {
        host_kernel *fast = anl_host_blas_new(make, kernel);
        if (!fast)
            fast = anl_host_product_new(make, kernel);
        if (fast)
            return fast;
        const anl_kernel *reduce = as_reduce(make, kernel);
        if (reduce)
            return anl_host_reduce_new(make, reduce);
    }
    return plain_new(make, kernel);
}
