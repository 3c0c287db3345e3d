/* Large plain matrix products through OpenBLAS. In: a CONTRACT kernel without windows. Out: its stores done.
 * Our threads each call it for some of the rows; how the rows are shared out depends on the shape alone.
 * Without OpenBLAS, when built or when run, this file says that it has nothing to offer, and product.c's own tiles do the work. */
#include "device/host/contract.h"

#include "base/config.h"

#if ANL_HAVE_OPENBLAS
#include <cblas.h>
#include <dlfcn.h>

struct host_blas {
    __typeof__(cblas_sgemm) *sgemm;
    __typeof__(openblas_set_num_threads) *set_threads;
    __typeof__(openblas_get_config) *config;
};

const host_blas *anl_host_blas_load(anl_arena *arena)
{
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL); /* stays for the life of the process */
    if (!library)
        return NULL;
    host_blas *blas = ANL_NEW(arena, host_blas);
    *(void **)&blas->sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&blas->set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&blas->config = dlsym(library, "openblas_get_config");
    if (!blas->sgemm || !blas->set_threads || !blas->config)
        return NULL;
    blas->set_threads(1); /* our own threads call it, each for its part */
    return blas;
}

const char *anl_host_blas_config(const host_blas *blas) { return blas ? blas->config() : "without BLAS"; }

typedef struct blas_kernel {
    host_kernel base;
    const host_blas *blas;
    const host_body *tail;
    int64_t batch, m, n, k;
    CBLAS_TRANSPOSE a_form, b_form;
    int64_t a_stride, b_stride; /* leading dimensions */
    int64_t a_row;              /* elements from one row of the result to the next, in A */
    int64_t rows, chunks;       /* rows a chunk */
} blas_kernel;

typedef struct blas_run_context {
    const blas_kernel *kernel;
    host_run *run;
} blas_run_context;

/* Several dims as one, if they lie evenly: its size and stride in A (which 0) or B (1). */
static bool merged(const anl_contract_dim *dims, int count, int which, int64_t *size, int64_t *stride)
{
    *size = 1;
    *stride = 0;
    for (int d = count - 1; d >= 0; d--) {
        int64_t own = which == 0 ? dims[d].a : dims[d].b;
        if (dims[d].size == 1)
            continue;
        if (*size == 1)
            *stride = own;
        else if (own != *stride * *size)
            return false;
        *size *= dims[d].size;
    }
    return true;
}

/* How a matrix of `rows` x `columns` with these strides is told to BLAS. */
static bool form_of(int64_t rows, int64_t row_stride, int64_t columns, int64_t column_stride, CBLAS_TRANSPOSE *form,
                    int64_t *leading)
{
    if (column_stride == 1 && row_stride >= columns) {
        *form = CblasNoTrans;
        *leading = row_stride;
        return true;
    }
    *form = CblasTrans;
    *leading = column_stride;
    return row_stride == 1 && column_stride >= rows;
}

static void blas_chunk(void *context, int chunk, int thread)
{
    const blas_run_context *r = context;
    const blas_kernel *k = r->kernel;
    const anl_contract *c = &k->base.kernel->contract;
    host_thread *t = &r->run->threads[thread];
    int64_t batch = chunk / k->chunks, m0 = chunk % k->chunks * k->rows, rows = host_minimum(k->rows, k->m - m0);
    int64_t a = c->a_base + m0 * k->a_row, b = c->b_base, rest = batch;
    for (int d = c->batch_count - 1; d >= 0; d--) {
        a += rest % c->batch[d].size * c->batch[d].a;
        b += rest % c->batch[d].size * c->batch[d].b;
        rest /= c->batch[d].size;
    }
    k->blas->sgemm(CblasRowMajor, k->a_form, k->b_form, (blasint)rows, (blasint)k->n, (blasint)k->k, 1,
                (const float *)r->run->arg[c->a_arg] + a, (blasint)k->a_stride, (const float *)r->run->arg[c->b_arg] + b,
                (blasint)k->b_stride, 0, t->scratch, (blasint)k->n);
    host_block *block = &t->block;
    block->arg = r->run->arg;
    block->scalars = r->run->scalars;
    block->step = r->run->step;
    anl_host_body_enter(k->tail, k->base.simd, block, r->run->serial);
    int64_t p = (batch * k->m + m0) * k->n, end = p + rows * k->n;
    block->acc[0][0] = t->scratch;
    block->acc_origin = p;
    for (; p < end; p += k->tail->block)
        anl_host_body_evaluate(k->tail, k->base.simd, block, p, (int)host_minimum(k->tail->block, end - p), true);
}

static void blas_run(const host_kernel *kernel, host_run *run)
{
    const blas_kernel *k = (const blas_kernel *)kernel;
    blas_run_context context = {.kernel = k, .run = run};
    anl_parallel(run->pool, (int)(k->batch * k->chunks), blas_chunk, &context);
}

static const host_kernel_class blas_class = {.run = blas_run};

host_kernel *anl_host_blas_new(const host_make *make, const anl_kernel *kernel)
{
    const anl_contract *c = &kernel->contract;
    blas_kernel k = {
        .base = {.class = &blas_class, .kernel = kernel, .simd = make->simd}, .blas = make->blas, .batch = 1};
    int64_t m_stride, n_stride, ka_stride, kb_stride;
    if (!make->blas || c->window_count > 0 || !merged(c->m, c->m_count, 0, &k.m, &m_stride) || !merged(c->n, c->n_count, 1, &k.n, &n_stride) ||
        !merged(c->k, c->k_count, 0, &k.k, &ka_stride) || !merged(c->k, c->k_count, 1, &k.k, &kb_stride))
        return NULL;
    for (int d = 0; d < c->batch_count; d++)
        k.batch *= c->batch[d].size;
    /* Measured with AVX-512: our tiles are as fast or faster, but for large sums over the outer dim of both matrices. Where there
     * are only the baseline's tiles, OpenBLAS knows the processor better from small sizes on. */
    double terms = (double)k.m * (double)k.n * (double)k.k, least = 1 << 27;
    if (make->gemm == &anl_host_gemm_base)
        least = 1 << 21;
    else if (c->role != ANL_CONTRACT_WEIGHT)
        return NULL;
    if (terms < least || k.m < 64 || k.n < 64 || k.k < 64 || k.m > INT32_MAX || k.n > INT32_MAX)
        return NULL;
    if (!form_of(k.m, m_stride, k.k, ka_stride, &k.a_form, &k.a_stride) ||
        !form_of(k.k, kb_stride, k.n, n_stride, &k.b_form, &k.b_stride) || k.a_stride > INT32_MAX || k.b_stride > INT32_MAX)
        return NULL;
    k.a_row = m_stride;
    k.rows = host_round_up((k.m + 15) / 16, 16);
    k.rows = host_minimum(k.rows, host_maximum(16, (1 << 22) / k.n));
    k.chunks = (k.m + k.rows - 1) / k.rows;
    if (k.batch * k.chunks > INT32_MAX)
        return NULL;
    int block = HOST_BLOCK;
    int64_t granule = 1;
    if (k.n <= HOST_BLOCK) {
        granule = k.n;
        block = (int)(HOST_BLOCK / k.n * k.n);
    }
    k.tail = anl_host_contract_tail(make, kernel, block, granule);
    if (!k.tail)
        return NULL;
    k.base.block_bytes = anl_host_body_bytes(k.tail);
    k.base.thread_bytes = sizeof(float) * (size_t)(k.rows * k.n);
    blas_kernel *made = ANL_NEW(make->arena, blas_kernel);
    *made = k;
    return &made->base;
}

#else

const host_blas *anl_host_blas_load(anl_arena *arena)
{
    (void)arena;
    return NULL;
}

const char *anl_host_blas_config(const host_blas *blas)
{
    (void)blas;
    return "without BLAS";
}

host_kernel *anl_host_blas_new(const host_make *make, const anl_kernel *kernel)
{
    (void)make;
    (void)kernel;
    return NULL;
}

#endif
