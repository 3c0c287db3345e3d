/* The fast ways of a float32 contraction. In: a CONTRACT kernel. Out: its stores done.
 *   direct:  a tile's rows are the same output position of several images, so all of them have the same valid taps: no copies, no padding,
 *            and the gradient by the input of a strided convolution costs no more than its real terms.
 *   copied:  where k does not lie together in A, k is tiny, or there are few images: rows are gathered first ("im2col").
 *   weight:  sums over positions and images, as outer products of short pieces of two rows.
 * How the work is cut depends on shapes alone, and every sum has a fixed order: the same bits on any number of threads. */
#include "device/host/contract.h"

#include <stdlib.h>
#include <string.h>

/* One position along a window: its valid taps (or, for the kernel's gradient, a tap's valid positions). */
typedef struct reach {
    int count;
    int32_t *step;   /* tap (position) */
    int64_t *offset; /* elements in A */
    int64_t *other;  /* elements in B */
} reach;

typedef struct product_kernel {
    host_kernel base;
    const host_gemm *gemm;
    const host_body *tail;
    int64_t batch, m, n, k, positions, taps; /* points; positions are the output's own, taps the summed ones */
    int64_t *batch_a, *batch_b, *m_a, *n_b, *k_a, *k_b, *tap_b;
    bool k_unit, n_unit; /* neighbours in k (A) and n (B) are neighbours in memory */
    int windows;
    int64_t own[3], summed[3];
    reach *reach[3]; /* per window and own position */
    int64_t panels;  /* column tiles */

    bool copied;
    /* direct: groups of images, bands of positions. copied: groups of rows */
    int64_t group, groups, band, bands;
    /* results go straight to memory */
    bool plain_store;
    int32_t store_arg;
    int64_t store_base, *batch_c, *m_c, *position_c;

    /* weight */
    bool pack_x, pack_y;
    int64_t width;      /* x values of a step: m, or taps x m where they were gathered */
    int64_t parts;      /* of the summed range, each with its own sums */
    int64_t part_k;     /* k points a part */
    int64_t row_groups, group_taps; /* taps are shared out among chunks */
    int64_t steps_most, block_k;
    int64_t columns;    /* padded n */
} product_kernel;

typedef struct product_run {
    const product_kernel *kernel;
    host_run *run;
    const float *a, *b;
    float *panels; /* [batch][panel][tap][k][columns] */
    float *sums;   /* weight: [batch][part][tap][m][columns] */
} product_run;

/* ---- shapes ---- */
static int64_t points_of(const anl_contract_dim *dims, int count)
{
    int64_t points = 1;
    for (int d = 0; d < count; d++)
        points *= dims[d].size;
    return points;
}

enum { OF_A, OF_B };
static int64_t *offsets_of(anl_arena *arena, const anl_contract_dim *dims, int count, int which)
{
    int64_t points = points_of(dims, count), *offset = ANL_NEW_ARRAY(arena, int64_t, points + 1);
    for (int64_t p = 0; p < points; p++) {
        int64_t rest = p;
        for (int d = count - 1; d >= 0; d--) {
            offset[p] += rest % dims[d].size * (which == OF_A ? dims[d].a : dims[d].b);
            rest /= dims[d].size;
        }
    }
    return offset;
}

static bool is_unit(const int64_t *offset, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (offset[i] != i)
            return false;
    return true;
}

/* Valid steps of each own position along a window. */
static reach *reach_of(anl_arena *arena, const anl_contract *c, const anl_window *w, int64_t *own, int64_t *summed)
{
    *own = c->role == ANL_CONTRACT_FORWARD ? w->out_size : c->role == ANL_CONTRACT_DATA ? w->in_size : w->tap_size;
    *summed = c->role == ANL_CONTRACT_WEIGHT ? w->out_size : w->tap_size;
    reach *all = ANL_NEW_ARRAY(arena, reach, *own + 1);
    for (int64_t p = 0; p < *own; p++) {
        reach *r = &all[p];
        r->step = ANL_NEW_ARRAY(arena, int32_t, *summed);
        r->offset = ANL_NEW_ARRAY(arena, int64_t, *summed);
        r->other = ANL_NEW_ARRAY(arena, int64_t, *summed);
        for (int64_t s = 0; s < *summed; s++) {
            int64_t at;
            if (c->role == ANL_CONTRACT_DATA) {
                at = p + w->padding - s * w->dilation;
                if (at < 0 || at % w->stride != 0 || at / w->stride >= w->out_size)
                    continue;
                at = at / w->stride * w->y;
            } else {
                int64_t out = c->role == ANL_CONTRACT_FORWARD ? p : s, tap = c->role == ANL_CONTRACT_FORWARD ? s : p;
                at = out * w->stride + tap * w->dilation - w->padding;
                if (at < 0 || at >= w->in_size)
                    continue;
                at *= w->x;
            }
            r->step[r->count] = (int32_t)s;
            r->offset[r->count] = at;
            r->other[r->count++] = s * (c->role == ANL_CONTRACT_WEIGHT ? w->y : w->w);
        }
    }
    return all;
}

/* The valid steps of a position over all windows: number of them; step[], offset[] (and other[]) of each, in order. */
static int64_t steps_of(const product_kernel *k, int64_t position, int32_t *step, int64_t *offset, int64_t *other)
{
    const reach *r[3] = {NULL};
    for (int w = k->windows - 1; w >= 0; w--) {
        r[w] = &k->reach[w][position % k->own[w]];
        position /= k->own[w];
    }
    int64_t count = 0;
    switch (k->windows) {
    case 0:
        if (step)
            step[0] = 0;
        offset[0] = 0;
        if (other)
            other[0] = 0;
        return 1;
    case 1:
        for (int i = 0; i < r[0]->count; i++, count++) {
            if (step)
                step[count] = r[0]->step[i];
            offset[count] = r[0]->offset[i];
            if (other)
                other[count] = r[0]->other[i];
        }
        return count;
    default:
        break;
    }
    const reach *outer = k->windows == 3 ? r[0] : NULL, *middle = r[k->windows - 2], *inner = r[k->windows - 1];
    int64_t middle_size = k->summed[k->windows - 2], inner_size = k->summed[k->windows - 1];
    for (int h = 0; h < (outer ? outer->count : 1); h++) {
        int64_t first = outer ? outer->step[h] * middle_size : 0, offset_h = outer ? outer->offset[h] : 0, other_h = outer ? outer->other[h] : 0;
        for (int i = 0; i < middle->count; i++) {
            for (int j = 0; j < inner->count; j++, count++) {
                if (step)
                    step[count] = (int32_t)((first + middle->step[i]) * inner_size + inner->step[j]);
                offset[count] = offset_h + middle->offset[i] + inner->offset[j];
                if (other)
                    other[count] = other_h + middle->other[i] + inner->other[j];
            }
        }
    }
    return count;
}

/* ---- panels of B ---- */
static void pack_panel(void *context, int chunk, int thread)
{
    (void)thread;
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    int width = k->gemm->columns;
    int64_t batch = chunk / k->panels, panel = chunk % k->panels, first = panel * width, count = host_minimum(width, k->n - first);
    for (int64_t t = 0; t < k->taps; t++) {
        float *to = r->panels + ((batch * k->panels + panel) * k->taps + t) * k->k * width;
        const float *from = r->b + k->batch_b[batch] + k->tap_b[t];
        for (int64_t i = 0; i < k->k; i++) {
            const float *row = from + k->k_b[i];
            float *line = to + i * width;
            if (k->n_unit) {
                memcpy(line, row + first, sizeof(float) * (size_t)count);
            } else {
                for (int64_t j = 0; j < count; j++)
                    line[j] = row[k->n_b[first + j]];
            }
            for (int64_t j = count; j < width; j++)
                line[j] = 0;
        }
    }
}

static const float *panel_at(const product_run *r, int64_t batch, int64_t panel, int64_t tap)
{
    const product_kernel *k = r->kernel;
    return r->panels + ((batch * k->panels + panel) * k->taps + tap) * k->k * k->gemm->columns;
}

static host_block *enter_tail(const product_run *r, int thread)
{
    const product_kernel *k = r->kernel;
    host_block *block = &r->run->threads[thread].block;
    block->arg = r->run->arg;
    block->scalars = r->run->scalars;
    block->step = r->run->step;
    anl_host_body_enter(k->tail, k->base.simd, block, r->run->serial);
    return block;
}

/* The tail for points [p, end), whose sums lie together. */
static void run_tail(const product_run *r, host_block *block, const float *sums, int64_t p, int64_t end)
{
    const host_body *tail = r->kernel->tail;
    block->acc[0][0] = (void *)sums;
    block->acc_origin = p;
    for (; p < end; p += tail->block)
        anl_host_body_evaluate(tail, r->kernel->base.simd, block, p, (int)host_minimum(tail->block, end - p), true);
}

/* ---- direct ---- */
static void direct_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    const host_gemm *gemm = k->gemm;
    int64_t band = chunk % k->bands, group = chunk / k->bands % k->groups, batch = chunk / k->bands / k->groups;
    int64_t m0 = group * k->group, m1 = host_minimum(k->m, m0 + k->group);
    int64_t p0 = band * k->band, p1 = host_minimum(k->positions, p0 + k->band);
    int64_t own_band = p1 - p0;
    /* even tiles: 64 images make six tiles of 11 and 9 rather than five of 12 and one of 4 */
    int64_t tiles = (m1 - m0 + gemm->rows - 1) / gemm->rows, tile = (m1 - m0 + tiles - 1) / tiles;

    char *scratch = r->run->threads[thread].scratch;
    int32_t *step = (int32_t *)scratch;
    int64_t *offset = (int64_t *)(scratch + host_round_up(4 * k->taps, HOST_LINE));
    const float **panel = (const float **)((char *)offset + host_round_up(8 * k->taps, HOST_LINE));
    float *sums = (float *)((char *)panel + host_round_up(8 * k->taps, HOST_LINE));
    float *to = k->plain_store ? (float *)r->run->arg[k->store_arg] + k->store_base + k->batch_c[batch] : NULL;

    for (int64_t j = 0; j < k->panels; j++) {
        int64_t first = j * gemm->columns;
        int columns = (int)host_minimum(gemm->columns, k->n - first);
        for (int64_t p = p0; p < p1; p++) {
            int64_t taps = steps_of(k, p, step, offset, NULL);
            for (int64_t t = 0; t < taps; t++)
                panel[t] = panel_at(r, batch, j, step[t]);
            for (int64_t m = m0; m < m1; m += tile) {
                const float *row[16];
                int rows = (int)host_minimum(tile, m1 - m);
                for (int i = 0; i < rows; i++)
                    row[i] = r->a + k->batch_a[batch] + k->m_a[m + i];
                if (!k->plain_store) {
                    gemm->product(rows, columns, row, (int)taps, offset, panel, (int)k->k, sums + ((m - m0) * own_band + p - p0) * k->n + first,
                                  own_band * k->n);
                    continue;
                }
                int64_t stride = rows > 1 ? k->m_c[m + 1] - k->m_c[m] : 0;
                bool even = true;
                for (int i = 2; i < rows; i++)
                    even = even && k->m_c[m + i] - k->m_c[m + i - 1] == stride;
                float *at = to + k->position_c[p] + first;
                if (even) {
                    gemm->product(rows, columns, row, (int)taps, offset, panel, (int)k->k, at + k->m_c[m], stride);
                } else {
                    for (int i = 0; i < rows; i++)
                        gemm->product(1, columns, row + i, (int)taps, offset, panel, (int)k->k, at + k->m_c[m + i], 0);
                }
            }
        }
    }
    if (k->plain_store)
        return;
    host_block *block = enter_tail(r, thread);
    for (int64_t m = m0; m < m1; m++) {
        int64_t point = ((batch * k->m + m) * k->positions + p0) * k->n;
        run_tail(r, block, sums + (m - m0) * own_band * k->n, point, point + own_band * k->n);
    }
}

/* ---- copied ---- */
static void gather_row(const product_kernel *k, const float *from, int64_t position, float *row, int32_t *step, int64_t *offset)
{
    int64_t taps = steps_of(k, position, step, offset, NULL);
    if (taps < k->taps)
        memset(row, 0, sizeof(float) * (size_t)(k->taps * k->k));
    for (int64_t t = 0; t < taps; t++) {
        float *to = row + step[t] * k->k;
        const float *x = from + offset[t];
        if (k->k == 1)
            to[0] = x[k->k_a[0]];
        else if (k->k_unit)
            memcpy(to, x, sizeof(float) * (size_t)k->k);
        else
            for (int64_t i = 0; i < k->k; i++)
                to[i] = x[k->k_a[i]];
    }
}

static void copied_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    const host_gemm *gemm = k->gemm;
    int64_t group = chunk % k->groups, batch = chunk / k->groups, all = k->m * k->positions;
    int64_t r0 = group * k->group, r1 = host_minimum(all, r0 + k->group), depth = k->taps * k->k;

    char *scratch = r->run->threads[thread].scratch;
    int32_t *step = (int32_t *)scratch;
    int64_t *offset = (int64_t *)(scratch + host_round_up(4 * k->taps, HOST_LINE));
    float *rows = (float *)((char *)offset + host_round_up(8 * k->taps, HOST_LINE));
    float *sums = (float *)((char *)rows + host_round_up(4 * k->group * depth, HOST_LINE));
    for (int64_t at = r0; at < r1; at++)
        gather_row(k, r->a + k->batch_a[batch] + k->m_a[at / k->positions], at % k->positions, rows + (at - r0) * depth, step, offset);

    static const int64_t none;
    for (int64_t j = 0; j < k->panels; j++) {
        int64_t first = j * gemm->columns;
        int columns = (int)host_minimum(gemm->columns, k->n - first);
        const float *panel = panel_at(r, batch, j, 0);
        for (int64_t at = r0; at < r1; at += gemm->rows) {
            const float *row[16];
            int count = (int)host_minimum(gemm->rows, r1 - at);
            for (int i = 0; i < count; i++)
                row[i] = rows + (at - r0 + i) * depth;
            gemm->product(count, columns, row, 1, &none, &panel, (int)depth, sums + (at - r0) * k->n + first, k->n);
        }
    }
    host_block *block = enter_tail(r, thread);
    run_tail(r, block, sums, (batch * all + r0) * k->n, (batch * all + r1) * k->n);
}

static void product_run_all(const host_kernel *kernel, host_run *run)
{
    const product_kernel *k = (const product_kernel *)kernel;
    const anl_contract *c = &kernel->kernel->contract;
    product_run r = {.kernel = k, .run = run, .panels = run->shared};
    r.a = (const float *)run->arg[c->a_arg] + c->a_base;
    r.b = (const float *)run->arg[c->b_arg] + c->b_base;
    anl_parallel(run->pool, (int)(k->batch * k->panels), pack_panel, &r);
    if (k->copied)
        anl_parallel(run->pool, (int)(k->batch * k->groups), copied_chunk, &r);
    else
        anl_parallel(run->pool, (int)(k->batch * k->groups * k->bands), direct_chunk, &r);
}

static const host_kernel_class product_class = {.run = product_run_all};

/* ---- weight ---- */
/* Adds up one part of the k range for some of the taps. */
static void weight_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    const host_gemm *gemm = k->gemm;
    int64_t share = chunk % k->row_groups, part = chunk / k->row_groups % k->parts, batch = chunk / k->row_groups / k->parts;
    int64_t t0 = share * k->group_taps, t1 = host_minimum(k->positions, t0 + k->group_taps);
    int64_t k0 = part * k->part_k, k1 = host_minimum(k->k, k0 + k->part_k);
    float *sums = r->sums + (batch * k->parts + part) * k->positions * k->m * k->columns;

    char *scratch = r->run->threads[thread].scratch;
    int64_t most = k->steps_most;
    int64_t *px = (int64_t *)scratch, *py = px + k->taps, *xo = py + k->taps, *yo = xo + most;
    int32_t *position = (int32_t *)(yo + most);
    float *y = (float *)((char *)scratch + host_round_up(8 * (2 * k->taps + 3 * most), HOST_LINE));
    float *x = (float *)((char *)y + (k->pack_y ? host_round_up(4 * k->block_k * k->taps * k->columns, HOST_LINE) : 0));

    memset(sums + t0 * k->m * k->columns, 0, sizeof(float) * (size_t)((t1 - t0) * k->m * k->columns));
    for (int64_t kb = k0; kb < k1; kb += k->block_k) {
        int64_t ke = host_minimum(k1, kb + k->block_k);
        const float *from_y = r->b + k->batch_b[batch];
        if (k->pack_y) { /* [k][position][columns], with zeros beyond n */
            for (int64_t i = kb; i < ke; i++) {
                for (int64_t p = 0; p < k->taps; p++) {
                    const float *row = from_y + k->k_b[i] + k->tap_b[p];
                    float *line = y + ((i - kb) * k->taps + p) * k->columns;
                    if (k->n_unit)
                        memcpy(line, row, sizeof(float) * (size_t)k->n);
                    else
                        for (int64_t j = 0; j < k->n; j++)
                            line[j] = row[k->n_b[j]];
                    for (int64_t j = k->n; j < k->columns; j++)
                        line[j] = 0;
                }
            }
        }
        const float *base_y = k->pack_y ? y : from_y;
        for (int64_t t = t0; t < t1; t++) {
            int64_t valid = steps_of(k, t, k->pack_y ? position : NULL, px, py), count = 0;
            if (k->pack_y) { /* steps count positions, which is how y was packed */
                for (int64_t s = 0; s < valid; s++)
                    py[s] = position[s] * k->columns;
            }
            for (int64_t i = kb; i < ke; i++) {
                int64_t from_a = k->k_a[i], from_b = k->pack_y ? (i - kb) * k->taps * k->columns : k->k_b[i];
                for (int64_t s = 0; s < valid; s++, count++) {
                    xo[count] = from_a + px[s];
                    yo[count] = from_b + py[s];
                }
            }
            const float *base_x = r->a + k->batch_a[batch];
            if (k->pack_x) {
                for (int64_t s = 0; s < count; s++)
                    for (int64_t i = 0; i < k->m; i++)
                        x[s * k->m + i] = base_x[xo[s] + k->m_a[i]];
                for (int64_t s = 0; s < count; s++)
                    xo[s] = s * k->m;
                base_x = x;
            }
            for (int64_t j = 0; j < k->columns; j += gemm->columns)
                for (int64_t i = 0; i < k->m; i += gemm->outer_rows)
                    gemm->outer((int)host_minimum(gemm->outer_rows, k->m - i), (int)count, base_x + i, xo, base_y + j, yo,
                                sums + (t * k->m + i) * k->columns + j, k->columns);
        }
    }
}

/* The same where m is tiny: the rows of all taps are gathered side by side first. */
static void gathered_weight_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    const host_gemm *gemm = k->gemm;
    int64_t part = chunk % k->parts, batch = chunk / k->parts;
    int64_t k0 = part * k->part_k, k1 = host_minimum(k->k, k0 + k->part_k);
    float *sums = r->sums + (batch * k->parts + part) * k->width * k->columns;
    char *scratch = r->run->threads[thread].scratch;
    int64_t most = k->steps_most;
    int64_t *px = (int64_t *)scratch, *xo = px + k->taps, *yo = xo + most;
    int32_t *step = (int32_t *)(yo + most);
    float *y = (float *)((char *)scratch + host_round_up(8 * (k->taps + 2 * most) + 4 * k->taps, HOST_LINE));
    float *x = (float *)((char *)y + (k->pack_y ? host_round_up(4 * most * k->columns, HOST_LINE) : 0));

    memset(sums, 0, sizeof(float) * (size_t)(k->width * k->columns));
    const float *from_x = r->a + k->batch_a[batch], *from_y = r->b + k->batch_b[batch];
    for (int64_t i = k0; i < k1; i++) {
        memset(x, 0, sizeof(float) * (size_t)(k->taps * k->width));
        for (int64_t t = 0; t < k->positions; t++) {
            int64_t valid = steps_of(k, t, step, px, NULL);
            for (int64_t s = 0; s < valid; s++)
                for (int64_t q = 0; q < k->m; q++)
                    x[step[s] * k->width + t * k->m + q] = from_x[k->k_a[i] + px[s] + k->m_a[q]];
        }
        for (int64_t p = 0; p < k->taps; p++) {
            xo[p] = p * k->width;
            const float *row = from_y + k->k_b[i] + k->tap_b[p];
            yo[p] = row - from_y;
            if (!k->pack_y)
                continue;
            yo[p] = p * k->columns;
            for (int64_t j = 0; j < k->columns; j++)
                y[p * k->columns + j] = j < k->n ? row[k->n_b[j]] : 0;
        }
        for (int64_t j = 0; j < k->columns; j += gemm->columns)
            for (int64_t q = 0; q < k->width; q += gemm->outer_rows)
                gemm->outer((int)host_minimum(gemm->outer_rows, k->width - q), (int)k->taps, x + q, xo, (k->pack_y ? y : from_y) + j, yo,
                            sums + q * k->columns + j, k->columns);
    }
}

/* Adds the parts up in their order, then does the tail, which reads the sums wherever its points lie. */
static void sum_parts(void *context, int chunk, int thread)
{
    (void)thread;
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    int64_t size = k->positions * k->m * k->columns, each = 4096, per = (size + each - 1) / each;
    int64_t batch = chunk / per, from = chunk % per * each, to = host_minimum(size, from + each);
    float *sums = r->sums + batch * k->parts * size;
    for (int64_t part = 1; part < k->parts; part++)
        for (int64_t i = from; i < to; i++)
            sums[i] += sums[part * size + i];
}

static void weight_tail_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const host_body *tail = r->kernel->tail;
    host_block *block = enter_tail(r, thread);
    block->acc[0][0] = r->sums;
    block->acc_origin = 0;
    int64_t per = 8 * (int64_t)tail->block, p = chunk * per, end = host_minimum(tail->total, p + per);
    for (; p < end; p += tail->block)
        anl_host_body_evaluate(tail, r->kernel->base.simd, block, p, (int)host_minimum(tail->block, end - p), true);
}

static void weight_run_all(const host_kernel *kernel, host_run *run)
{
    const product_kernel *k = (const product_kernel *)kernel;
    const anl_contract *c = &kernel->kernel->contract;
    product_run r = {.kernel = k, .run = run, .sums = run->shared};
    r.a = (const float *)run->arg[c->a_arg] + c->a_base;
    r.b = (const float *)run->arg[c->b_arg] + c->b_base;
    if (k->copied)
        anl_parallel(run->pool, (int)(k->batch * k->parts), gathered_weight_chunk, &r);
    else
        anl_parallel(run->pool, (int)(k->batch * k->parts * k->row_groups), weight_chunk, &r);
    if (k->parts > 1)
        anl_parallel(run->pool, (int)(k->batch * ((k->positions * k->m * k->columns + 4095) / 4096)), sum_parts, &r);
    int64_t per = 8 * (int64_t)k->tail->block;
    anl_parallel(run->pool, (int)((k->tail->total + per - 1) / per), weight_tail_chunk, &r);
}

static const host_kernel_class weight_class = {.run = weight_run_all};

/* ---- choices ---- */
static host_kernel *weight_new(const host_make *make, product_kernel *k)
{
    const anl_kernel *kernel = k->base.kernel;
    const anl_contract *c = &kernel->contract;
    const host_gemm *gemm = k->gemm;
    k->base.class = &weight_class;
    k->columns = k->panels * gemm->columns;
    k->pack_y = !k->n_unit || k->columns != k->n;
    k->pack_x = !is_unit(k->m_a, k->m);
    k->copied = k->m < 8 && k->positions > 1;
    k->width = k->copied ? k->positions * k->m : k->m;
    int64_t sums = k->positions * k->m * k->columns, terms = k->k * k->taps;
    if (k->batch * sums > 1 << 26)
        return NULL;
    /* parts: sixteen chunks where the sums are small, fewer where adding them up would cost */
    k->parts = host_minimum(host_maximum(1, terms / 64), host_minimum(16, host_maximum(1, (1 << 20) / sums)));
    k->parts = host_minimum(k->parts, k->k);
    k->part_k = (k->k + k->parts - 1) / k->parts;
    k->parts = (k->k + k->part_k - 1) / k->part_k;
    k->group_taps = k->positions;
    if (k->parts < 16)
        k->group_taps = host_maximum(1, k->positions * k->parts / 16);
    k->row_groups = (k->positions + k->group_taps - 1) / k->group_taps;
    k->block_k = k->copied ? 1 : host_minimum(k->part_k, host_maximum(1, 512 / k->taps));
    k->steps_most = k->block_k * k->taps;
    if (k->steps_most > 1 << 20)
        return NULL;

    host_body_options tail = {.f64 = false, .simd = make->simd, .first = kernel->body_count, .last = kernel->instr_count, .stores = true, .acc_affine = true};
    int d = 0;
    int64_t stride = k->parts * sums;
    for (int i = c->batch_count - 1; i >= 0; i--) {
        tail.acc_stride[i] = stride;
        stride *= c->batch[i].size;
    }
    d = c->batch_count;
    stride = k->columns;
    for (int i = c->m_count - 1; i >= 0; i--) {
        tail.acc_stride[d + i] = stride;
        stride *= c->m[i].size;
    }
    d += c->m_count;
    for (int i = c->window_count - 1; i >= 0; i--) {
        tail.acc_stride[d + i] = stride;
        stride *= c->window[i].tap_size;
    }
    d += c->window_count;
    stride = 1;
    for (int i = c->n_count - 1; i >= 0; i--) {
        tail.acc_stride[d + i] = stride;
        stride *= c->n[i].size;
    }
    tail.dim_count = kernel->dim_count;
    for (int i = 0; i < kernel->dim_count; i++)
        tail.order[i] = i;
    anl_host_block_shape(kernel->dim_count, kernel->dims, &tail.block, &tail.granule, &tail.stretch);
    k->tail = anl_host_body_new(make->arena, kernel, &tail, make->diagnostics);
    if (!k->tail)
        return NULL;
    k->base.block_bytes = anl_host_body_bytes(k->tail);
    k->base.shared_bytes = sizeof(float) * (size_t)(k->batch * k->parts * sums);
    int64_t lists = 8 * (2 * k->taps + 3 * k->steps_most), y = 4 * k->steps_most * k->columns, x = 4 * k->steps_most * k->width;
    k->base.thread_bytes = (size_t)(lists + (k->pack_y ? y : 0) + (k->pack_x || k->copied ? x : 0) + 8 * HOST_LINE);
    return &k->base;
}

static void plain_store_of(const host_make *make, product_kernel *k)
{
    const anl_kernel *kernel = k->base.kernel;
    const anl_contract *c = &kernel->contract;
    int64_t coefficient[ANL_MAX_DIMS];
    if (!anl_kernel_plain_store(kernel, coefficient, &k->store_base))
        return;
    int first_m = c->batch_count, first_window = first_m + c->m_count, first_n = first_window + c->window_count;
    int64_t stride = 1;
    for (int d = c->n_count - 1; d >= 0; d--) {
        if (c->n[d].size > 1 && coefficient[first_n + d] != stride)
            return;
        stride *= c->n[d].size;
    }
    k->plain_store = true;
    k->store_arg = kernel->stores[0].arg;
    int64_t *lists[3], counts[3] = {k->batch, k->m, k->positions};
    int from[3] = {0, first_m, first_window}, to[3] = {first_m, first_window, first_n};
    for (int l = 0; l < 3; l++) {
        lists[l] = ANL_NEW_ARRAY(make->arena, int64_t, counts[l] + 1);
        for (int64_t p = 0; p < counts[l]; p++) {
            int64_t rest = p;
            for (int d = to[l] - 1; d >= from[l]; d--) {
                lists[l][p] += rest % kernel->dims[d] * coefficient[d];
                rest /= kernel->dims[d];
            }
        }
    }
    k->batch_c = lists[0];
    k->m_c = lists[1];
    k->position_c = lists[2];
}

host_kernel *anl_host_product_new(const host_make *make, const anl_kernel *kernel)
{
    const anl_contract *c = &kernel->contract;
    const host_gemm *gemm = make->gemm;
    product_kernel *k = ANL_NEW(make->arena, product_kernel);
    k->base = (host_kernel){.class = &product_class, .kernel = kernel, .simd = make->simd};
    k->gemm = gemm;
    k->batch = points_of(c->batch, c->batch_count);
    k->m = points_of(c->m, c->m_count);
    k->n = points_of(c->n, c->n_count);
    k->k = points_of(c->k, c->k_count);
    k->windows = c->window_count;
    k->positions = k->taps = 1;
    for (int w = 0; w < c->window_count; w++) {
        k->reach[w] = reach_of(make->arena, c, &c->window[w], &k->own[w], &k->summed[w]);
        k->positions *= k->own[w];
        k->taps *= k->summed[w];
    }
    /* tiny products for each of many batch points do not pay for packing */
    if (k->m * k->positions * k->n * k->k * k->taps < (k->batch > 1 ? 8192 : 512) || (k->n * k->k == 1 && k->batch > 1) ||
        k->batch * k->positions > INT32_MAX / 64)
        return NULL;
    k->batch_a = offsets_of(make->arena, c->batch, c->batch_count, OF_A);
    k->batch_b = offsets_of(make->arena, c->batch, c->batch_count, OF_B);
    k->m_a = offsets_of(make->arena, c->m, c->m_count, OF_A);
    k->n_b = offsets_of(make->arena, c->n, c->n_count, OF_B);
    k->k_a = offsets_of(make->arena, c->k, c->k_count, OF_A);
    k->k_b = offsets_of(make->arena, c->k, c->k_count, OF_B);
    k->k_unit = is_unit(k->k_a, k->k);
    k->n_unit = is_unit(k->n_b, k->n);
    k->panels = (k->n + gemm->columns - 1) / gemm->columns;
    k->tap_b = ANL_NEW_ARRAY(make->arena, int64_t, k->taps + 1);
    for (int64_t t = 0; t < k->taps; t++) {
        int64_t rest = t;
        for (int w = c->window_count - 1; w >= 0; w--) {
            k->tap_b[t] += rest % k->summed[w] * (c->role == ANL_CONTRACT_WEIGHT ? c->window[w].y : c->window[w].w);
            rest /= k->summed[w];
        }
    }
    if (c->role == ANL_CONTRACT_WEIGHT)
        return weight_new(make, k);

    int64_t panel_floats = k->batch * k->panels * k->taps * k->k * gemm->columns;
    if (panel_floats > 1 << 26)
        return NULL;
    k->base.shared_bytes = sizeof(float) * (size_t)panel_floats;
    int64_t lists = host_round_up(4 * k->taps, HOST_LINE) + 2 * host_round_up(8 * k->taps, HOST_LINE);
    k->copied = !k->k_unit || (k->taps > 1 && (k->k < 8 || k->m < 2 * gemm->rows));
    if (k->copied) {
        int64_t depth = k->taps * k->k, rows = k->m * k->positions;
        k->group = host_minimum(host_maximum(1, 32768 / depth), host_maximum(1, 65536 / k->n)) / gemm->rows * gemm->rows;
        k->group = host_maximum(gemm->rows, host_minimum(k->group, 16 * gemm->rows));
        k->groups = (rows + k->group - 1) / k->group;
        k->base.thread_bytes = (size_t)(lists + host_round_up(4 * k->group * depth, HOST_LINE) + 4 * k->group * k->n);
    } else {
        plain_store_of(make, k);
        k->group = gemm->rows * (k->positions > 1 ? 1 : 4);
        if (k->positions > 1 && k->m > 2 * gemm->rows) /* even groups */
            k->group = (k->m + (k->m + k->group - 1) / k->group - 1) / ((k->m + k->group - 1) / k->group);
        k->groups = (k->m + k->group - 1) / k->group;
        int64_t most = host_maximum(1, 65536 / (k->group * k->n)); /* sums of a chunk: 256 KiB */
        int64_t wanted = host_maximum(1, (16 + k->groups * k->batch - 1) / (k->groups * k->batch));
        k->band = host_maximum(1, host_minimum(most, (k->positions + wanted - 1) / wanted));
        k->bands = (k->positions + k->band - 1) / k->band;
        k->base.thread_bytes = (size_t)(lists + 4 * k->group * k->band * k->n);
    }
    int block = HOST_BLOCK;
    int64_t granule = 1;
    if (k->n <= HOST_BLOCK) {
        granule = k->n;
        block = (int)(HOST_BLOCK / k->n * k->n);
    }
    k->tail = anl_host_contract_tail(make, kernel, block, granule);
    if (!k->tail)
        return NULL;
    k->base.block_bytes = anl_host_body_bytes(k->tail);
    return &k->base;
}
