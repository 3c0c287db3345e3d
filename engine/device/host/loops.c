/* MAP and REDUCE kernels: how their points are cut into blocks and chunks, and how partial results are put together.
 * In: a kernel and its bodies. Out: its stores done. Chunks depend on shapes alone, never on the number of threads, and are put
 * together in a fixed order: the same bits come out of any number of threads. */
#include "device/host/host.h"

#include <math.h>
#include <string.h>

/* Blocks a chunk: enough work to be worth handing over, enough chunks to share evenly. */
static int64_t blocks_per_chunk(int64_t blocks) { return blocks >= 256 ? 16 : blocks >= 16 ? blocks / 16 : blocks; }

static void bind(host_block *block, const host_run *run)
{
    block->arg = run->arg;
    block->scalars = run->scalars;
    block->step = run->step;
}

static void each_chunk(host_run *run, int64_t count, void (*fn)(void *, int, int), void *context)
{
    if (count == 1)
        fn(context, 0, 0);
    else
        anl_parallel(run->pool, (int)count, fn, context);
}

/* ---- a body over its whole domain, with stores: MAP, and the tail of REDUCE ---- */
typedef struct sweep {
    const host_kernel *kernel;
    const host_body *body;
    host_run *run;
    int64_t per_chunk; /* points */
    void *acc[HOST_ACCUMULATORS][2];
} sweep;

static void sweep_chunk(void *context, int chunk, int thread)
{
    const sweep *s = context;
    const host_body *body = s->body;
    host_block *block = &s->run->threads[thread].block;
    bind(block, s->run);
    memcpy(block->acc, s->acc, sizeof s->acc);
    block->acc_origin = 0;
    anl_host_body_enter(body, s->kernel->simd, block, s->run->serial);
    int64_t end = host_minimum(body->total, (chunk + 1) * s->per_chunk);
    for (int64_t p = chunk * s->per_chunk; p < end; p += body->block)
        anl_host_body_evaluate(body, s->kernel->simd, block, p, (int)host_minimum(body->block, end - p), true);
}

static void sweep_all(sweep *s)
{
    int64_t blocks = (s->body->total + s->body->block - 1) / s->body->block;
    int64_t per = blocks_per_chunk(blocks);
    s->per_chunk = per * s->body->block;
    if (blocks > 0)
        each_chunk(s->run, (blocks + per - 1) / per, sweep_chunk, s);
}

/* ---- MAP ---- */
typedef struct map_kernel {
    host_kernel base;
    const host_body *body;
} map_kernel;

static void map_run(const host_kernel *kernel, host_run *run)
{
    sweep s = {.kernel = kernel, .body = ((const map_kernel *)kernel)->body, .run = run};
    sweep_all(&s);
}

static const host_kernel_class map_class = {.run = map_run};

static void in_order(host_body_options *options, int count)
{
    options->dim_count = count;
    for (int d = 0; d < count; d++)
        options->order[d] = d;
}

host_kernel *anl_host_map_new(const host_make *make, const anl_kernel *kernel)
{
    map_kernel *k = ANL_NEW(make->arena, map_kernel);
    host_body_options options = {.f64 = make->f64, .simd = make->simd, .first = 0, .last = kernel->instr_count, .stores = true};
    in_order(&options, kernel->dim_count);
    anl_host_block_shape(kernel->dim_count, kernel->dims, &options.block, &options.granule, &options.stretch);
    k->base = (host_kernel){.class = &map_class, .kernel = kernel, .simd = make->simd, .f64 = make->f64};
    k->body = anl_host_body_new(make->arena, kernel, &options, make->diagnostics);
    if (!k->body)
        return NULL;
    k->base.block_bytes = anl_host_body_bytes(k->body);
    return &k->base;
}

/* ---- REDUCE: the domain is walked as [outer kept][reduced][inner kept] ---- */
typedef struct reduce_kernel {
    host_kernel base;
    const host_body *body, *tail;
    int64_t outer, reduced, inner; /* points of each part */
    int64_t slice;                 /* inner points of one block */
    int64_t rows, many;            /* reduced points, outer points of one block; many > 1 only where rows == reduced */
    int64_t slices, outer_chunk, outer_chunks, reduced_chunk, reduced_chunks;
} reduce_kernel;

static int64_t kept_of(const reduce_kernel *k) { return k->outer * k->inner; }

typedef struct reducing {
    const reduce_kernel *kernel;
    host_run *run;
    char *results;  /* [accumulator][2][kept] in the result's type */
    double *states; /* [reduced chunk][accumulator][2][kept], where the reduced range is cut */
    int64_t combine_chunk;
} reducing;

static size_t result_bytes(const reduce_kernel *k)
{
    return (size_t)host_round_up(kept_of(k) * (k->base.f64 ? 8 : 4), HOST_LINE);
}

static void *result_of(const reducing *r, int accumulator, int component)
{
    return r->results + result_bytes(r->kernel) * (size_t)(accumulator * 2 + component);
}

static void start_states(anl_combine combine, double *s0, double *s1, int64_t count)
{
    double first = combine == ANL_SUM || combine == ANL_MOMENTS ? 0 : -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        s0[i] = first;
        s1[i] = 0;
    }
}

/* States of `count` kept points from `at` on become results. */
static void finish_states(const reducing *r, int a, int64_t at, int64_t count, const double *s0, const double *s1)
{
    const anl_accumulator *accumulator = &r->kernel->base.kernel->accumulators[a];
    bool f64 = r->kernel->base.f64;
    double total = (double)r->kernel->reduced;
    for (int component = 0; component < (accumulator->combine == ANL_MOMENTS ? 2 : 1); component++) {
        void *to = result_of(r, a, component);
        const double *from = accumulator->combine == ANL_ARGMAX || component == 1 ? s1 : s0;
        double scale = component == 1 ? (total > 0 ? 1 / total : 0) : 1;
        if (accumulator->combine == ANL_LOGSUMEXP) {
            for (int64_t i = 0; i < count; i++) {
                double value = s0[i] == INFINITY ? s0[i] + 0 * s1[i] : s0[i] + log(s1[i]);
                if (f64)
                    ((double *)to)[at + i] = value;
                else
                    ((float *)to)[at + i] = (float)value;
            }
        } else if (accumulator->dtype != ANL_F32) {
            for (int64_t i = 0; i < count; i++)
                ((int32_t *)to)[at + i] = from[i] > -2147483648.0 ? (int32_t)(int64_t)from[i] : INT32_MIN;
        } else if (f64) {
            for (int64_t i = 0; i < count; i++)
                ((double *)to)[at + i] = from[i] * scale;
        } else {
            for (int64_t i = 0; i < count; i++)
                ((float *)to)[at + i] = (float)(from[i] * scale);
        }
    }
}

/* One chunk: some outer points, one slice of the inner ones, some of the reduced range. */
static void reduce_chunk(void *context, int chunk, int thread)
{
    const reducing *r = context;
    const reduce_kernel *k = r->kernel;
    const anl_kernel *kernel = k->base.kernel;
    const host_simd *simd = k->base.simd;
    host_thread *t = &r->run->threads[thread];
    host_block *block = &t->block;
    bind(block, r->run);
    anl_host_body_enter(k->body, simd, block, r->run->serial);

    int64_t part = chunk % k->reduced_chunks, slice = chunk / k->reduced_chunks % k->slices,
            group = chunk / k->reduced_chunks / k->slices;
    int64_t o0 = group * k->outer_chunk, o1 = host_minimum(k->outer, o0 + k->outer_chunk);
    int64_t r0 = part * k->reduced_chunk, r1 = host_minimum(k->reduced, r0 + k->reduced_chunk);
    int64_t i0 = slice * k->slice, in = host_minimum(k->slice, k->inner - i0);
    int64_t points = (o1 - o0) * in;
    double *scratch = t->scratch, *own = scratch + 4 * HOST_BLOCK;
    int64_t capacity = k->outer_chunk * k->slice;

    for (int a = 0; a < kernel->accumulator_count; a++)
        start_states(kernel->accumulators[a].combine, own + 2 * a * capacity, own + (2 * a + 1) * capacity, points);
    for (int64_t o = o0; o < o1; o += k->many) {
        int64_t many = host_minimum(k->many, o1 - o);
        for (int64_t at = r0; at < r1; at += k->rows) {
            int64_t rows = host_minimum(k->rows, r1 - at);
            anl_host_body_evaluate(k->body, simd, block, (o * k->reduced + at) * k->inner + i0, (int)(many * rows * in), false);
            host_span span = {.outer = (int)many,
                              .reduced = (int)rows,
                              .inner = (int)in,
                              .first = at,
                              .before = (double)(at - r0),
                              .state_stride = in};
            for (int a = 0; a < kernel->accumulator_count; a++) {
                const anl_accumulator *accumulator = &kernel->accumulators[a];
                double *s0 = own + 2 * a * capacity + (o - o0) * in;
                simd->accumulate(k->base.f64, accumulator->combine, kernel->instrs[accumulator->instr].dtype != ANL_F32,
                                 block->value[accumulator->instr], &span, s0, s0 + capacity, scratch);
            }
        }
    }
    int64_t kept = kept_of(k);
    for (int a = 0; a < kernel->accumulator_count; a++) {
        const double *s0 = own + 2 * a * capacity, *s1 = s0 + capacity;
        if (k->reduced_chunks == 1) {
            for (int64_t o = 0; o < o1 - o0; o += k->slices == 1 ? o1 - o0 : 1)
                finish_states(r, a, (o0 + o) * k->inner + i0, k->slices == 1 ? points : in, s0 + o * in, s1 + o * in);
            continue;
        }
        double *to = r->states + (part * kernel->accumulator_count + a) * 2 * kept;
        for (int64_t o = 0; o < o1 - o0; o++) {
            memcpy(to + (o0 + o) * k->inner + i0, s0 + o * in, sizeof(double) * (size_t)in);
            memcpy(to + kept + (o0 + o) * k->inner + i0, s1 + o * in, sizeof(double) * (size_t)in);
        }
    }
}

/* Puts the parts of the reduced range together, in their order. */
static void combine_chunk(void *context, int chunk, int thread)
{
    (void)thread;
    const reducing *r = context;
    const reduce_kernel *k = r->kernel;
    const anl_kernel *kernel = k->base.kernel;
    int64_t kept = kept_of(k), from = chunk * r->combine_chunk, to = host_minimum(kept, from + r->combine_chunk);
    for (int a = 0; a < kernel->accumulator_count; a++) {
        anl_combine combine = kernel->accumulators[a].combine;
        double *s0 = r->states + 2 * a * kept, *s1 = s0 + kept;
        for (int64_t part = 1; part < k->reduced_chunks; part++) {
            const double *p0 = r->states + (part * kernel->accumulator_count + a) * 2 * kept, *p1 = p0 + kept;
            double before = (double)(part * k->reduced_chunk);
            double now = (double)(host_minimum(k->reduced, (part + 1) * k->reduced_chunk) - part * k->reduced_chunk);
            for (int64_t i = from; i < to; i++) {
                switch (combine) {
                case ANL_SUM:
                    s0[i] += p0[i];
                    break;
                case ANL_MAX:
                    s0[i] = p0[i] > s0[i] ? p0[i] : s0[i];
                    break;
                case ANL_ARGMAX:
                    s1[i] = p0[i] > s0[i] ? p1[i] : s1[i];
                    s0[i] = p0[i] > s0[i] ? p0[i] : s0[i];
                    break;
                case ANL_LOGSUMEXP: {
                    double m = p0[i] > s0[i] ? p0[i] : s0[i];
                    s1[i] = (s0[i] == m ? s1[i] : s1[i] * exp(s0[i] - m)) + (p0[i] == m ? p1[i] : p1[i] * exp(p0[i] - m));
                    s0[i] = m;
                    break;
                }
                case ANL_MOMENTS: {
                    double delta = p0[i] - s0[i];
                    s0[i] += delta * (now / (before + now));
                    s1[i] += p1[i] + delta * delta * (before * now / (before + now));
                    break;
                }
                }
            }
        }
        finish_states(r, a, from, to - from, s0 + from, s1 + from);
    }
}

static void reduce_run(const host_kernel *kernel, host_run *run)
{
    const reduce_kernel *k = (const reduce_kernel *)kernel;
    int accumulators = kernel->kernel->accumulator_count;
    reducing r = {.kernel = k, .run = run, .results = run->shared};
    r.states = (double *)(r.results + result_bytes(k) * (size_t)(2 * accumulators));
    each_chunk(run, k->outer_chunks * k->slices * k->reduced_chunks, reduce_chunk, &r);
    if (k->reduced_chunks > 1) {
        r.combine_chunk = 256;
        each_chunk(run, (kept_of(k) + r.combine_chunk - 1) / r.combine_chunk, combine_chunk, &r);
    }
    sweep s = {.kernel = kernel, .body = k->tail, .run = run};
    for (int a = 0; a < accumulators; a++)
        for (int component = 0; component < 2; component++)
            s.acc[a][component] = result_of(&r, a, component);
    sweep_all(&s);
}

static const host_kernel_class reduce_class = {.run = reduce_run};

/* How many kept dims stay outside the reduced ones, so that the walk follows memory: judged by the load that reads most elements.
 */
static int split_of(const anl_kernel *kernel, int64_t reduced)
{
    int64_t most = 0, best[ANL_MAX_DIMS] = {0};
    int kept = kernel->kept_count;
    for (int n = 0; n < kernel->body_count; n++) {
        int64_t coefficient[ANL_MAX_DIMS], base, elements = 1;
        const anl_instr *i = &kernel->instrs[n];
        if (i->op != ANL_X_LOAD || !anl_kernel_affine(kernel, i->a, coefficient, &base))
            continue;
        for (int d = 0; d < kernel->dim_count; d++)
            elements *= coefficient[d] != 0 ? kernel->dims[d] : 1;
        if (elements > most) {
            most = elements;
            memcpy(best, coefficient, sizeof best);
        }
    }
    int nearest = -1;
    int64_t reduced_stride = INT64_MAX, kept_points = 1;
    for (int d = 0; d < kernel->dim_count; d++) {
        int64_t stride = best[d] < 0 ? -best[d] : best[d];
        if (d < kept)
            kept_points *= kernel->dims[d];
        if (stride == 0 || kernel->dims[d] == 1)
            continue;
        if (nearest < 0 || stride < (best[nearest] < 0 ? -best[nearest] : best[nearest]))
            nearest = d;
        if (d >= kept && stride < reduced_stride)
            reduced_stride = stride;
    }
    int split = kept;
    if (nearest >= 0 && nearest < kept) {
        split = nearest;
        while (split > 0 && (best[split - 1] < 0 ? -best[split - 1] : best[split - 1]) < reduced_stride)
            split--;
    }
    int64_t inner = 1;
    for (int d = split; d < kept; d++)
        inner *= kernel->dims[d];
    /* very short rows: rather walk the kept points for one reduced point after the other */
    if (reduced * inner < 32 && kept_points >= 64)
        return 0;
    return split;
}

host_kernel *anl_host_reduce_new(const host_make *make, const anl_kernel *kernel)
{
    reduce_kernel *k = ANL_NEW(make->arena, reduce_kernel);
    k->base = (host_kernel){.class = &reduce_class, .kernel = kernel, .simd = make->simd, .f64 = make->f64};
    int kept = kernel->kept_count;
    k->reduced = 1;
    for (int d = kept; d < kernel->dim_count; d++)
        k->reduced *= kernel->dims[d];
    int split = split_of(kernel, k->reduced);

    host_body_options options = {.f64 = make->f64, .simd = make->simd, .first = 0, .last = kernel->body_count};
    k->outer = k->inner = 1;
    for (int d = 0; d < split; d++) {
        options.order[options.dim_count++] = d;
        k->outer *= kernel->dims[d];
    }
    for (int d = kept; d < kernel->dim_count; d++)
        options.order[options.dim_count++] = d;
    for (int d = split; d < kept; d++) {
        options.order[options.dim_count++] = d;
        k->inner *= kernel->dims[d];
    }

    k->many = 1;
    k->slice = k->inner;
    k->rows = 1;
    if (k->inner > HOST_BLOCK) {
        int block;
        int64_t granule, stretch;
        anl_host_block_shape(kept - split, kernel->dims + split, &block, &granule, &stretch);
        k->slice = block;
        options.granule = k->inner % k->slice == 0 ? k->slice : 1;
        options.stretch = k->inner;
    } else if (k->reduced * k->inner <= HOST_BLOCK) {
        k->rows = k->reduced;
        k->many = HOST_BLOCK / host_maximum(1, k->reduced * k->inner);
        if (k->many > k->outer)
            k->many = host_maximum(1, k->outer);
        options.granule = k->reduced * k->inner;
        options.stretch = k->many * k->reduced * k->inner;
    } else {
        k->rows = HOST_BLOCK / k->inner;
        options.granule = k->inner;
        options.stretch = k->reduced * k->inner;
    }
    options.block = (int)(k->many * k->rows * k->slice);
    k->slices = (k->inner + k->slice - 1) / k->slice;

    int64_t work = k->outer * k->reduced * k->inner;
    int64_t wanted = host_minimum(64, host_maximum(1, work / 32768)), units = k->outer * k->slices;
    k->outer_chunk = host_round_up((k->outer * k->slices + wanted - 1) / wanted, k->many);
    k->outer_chunk = host_minimum(k->outer_chunk, host_round_up(k->outer, k->many));
    k->reduced_chunks = 1;
    k->reduced_chunk = k->reduced;
    if (units < 16 && wanted > units && k->reduced > k->rows) {
        k->outer_chunk = 1;
        int64_t parts = (wanted + units - 1) / units;
        k->reduced_chunk = host_round_up((k->reduced + parts - 1) / parts, k->rows);
        k->reduced_chunks = (k->reduced + k->reduced_chunk - 1) / k->reduced_chunk;
    }
    k->outer_chunk = host_maximum(1, k->outer_chunk);
    k->outer_chunks = (k->outer + k->outer_chunk - 1) / k->outer_chunk;

    k->body = anl_host_body_new(make->arena, kernel, &options, make->diagnostics);
    host_body_options tail = {
        .f64 = make->f64, .simd = make->simd, .first = kernel->body_count, .last = kernel->instr_count, .stores = true};
    in_order(&tail, kept);
    anl_host_block_shape(kept, kernel->dims, &tail.block, &tail.granule, &tail.stretch);
    k->tail = anl_host_body_new(make->arena, kernel, &tail, make->diagnostics);
    if (!k->body || !k->tail)
        return NULL;
    size_t accumulators = (size_t)kernel->accumulator_count;
    k->base.block_bytes = (size_t)host_maximum((int64_t)anl_host_body_bytes(k->body), (int64_t)anl_host_body_bytes(k->tail));
    k->base.thread_bytes = sizeof(double) * (4 * HOST_BLOCK + accumulators * 2 * (size_t)(k->outer_chunk * k->slice));
    k->base.shared_bytes = result_bytes(k) * 2 * accumulators;
    if (k->reduced_chunks > 1)
        k->base.shared_bytes += sizeof(double) * 2 * accumulators * (size_t)(kept_of(k) * k->reduced_chunks);
    return &k->base;
}
