/* CONTRACT kernels: matrix products, convolutions and their two gradients, with what is computed from each sum.
 * In: a kernel. Out: its stores done. This file holds the plain way (every size, stride and type; sums in double precision)
 * and the choice between it and the fast ways of product.c. */
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
static double sum_windows(const plain_kernel *k, int w, const int64_t *position, const void *a, const void *b, int64_t ao, int64_t bo)
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
    host_body_options options = {.f64 = make->f64, .simd = make->simd, .first = kernel->body_count, .last = kernel->instr_count, .stores = true};
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

host_kernel *anl_host_contract_new(const host_make *make, const anl_kernel *kernel)
{
    if (!make->f64 && !make->plain) {
        host_kernel *fast = anl_host_product_new(make, kernel);
        if (fast)
            return fast;
    }
    return plain_new(make, kernel);
}
