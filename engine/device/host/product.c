/* The fast ways of a float32 contraction. In: a CONTRACT kernel. Out: its stores done.
 *   direct:  a tile's rows are the same output position of several images, so all of them have the same valid taps: no copies, no
 * padding, and the gradient by the input of a strided convolution costs no more than its real terms. copied:  where k does not
 * lie together in A, k is tiny, or there are few images: rows are gathered first ("im2col"). weight:  sums over positions and
 * images, as outer products of short pieces of two rows. How the work is cut depends on shapes alone, and every sum has a fixed
 * order: the same bits on any number of threads. */
#include "device/host/contract.h"

#include <stdlib.h>
#include <string.h>

/* One position along a window: its valid taps (or, for the kernel's gradient, a tap's valid positions). */
typedef struct reach {
    int count;
    const int32_t *step;   /* tap (position) */
    const int64_t *offset; /* elements in A */
    const int64_t *other;  /* elements in B */
} reach;
/* Of a window that is not there. */
static const int32_t no_step[1];
static const int64_t no_offset[1];
static const reach no_window = {.count = 1, .step = no_step, .offset = no_offset, .other = no_offset};

/* All windows of a contraction, seen from some positions. */
typedef struct reach_table {
    int windows;
    int64_t own[3], summed[3];
    reach *reach[3]; /* per window and own position */
} reach_table;

typedef struct product_kernel {
    host_kernel base;
    const host_gemm *gemm;
    const host_body *tail;
    int64_t batch, m, n, k, positions, taps; /* points; positions are the output's own, taps the summed ones */
    int64_t *batch_a, *batch_b, *m_a, *n_b, *k_a, *k_b, *tap_b;
    bool k_unit, n_unit; /* neighbours in k (A) and n (B) are neighbours in memory */
    reach_table table;   /* from the output's own positions */
    reach_table gather;  /* from the positions whose taps are gathered side by side, where they are */
    bool gather_runs;    /* neighbouring taps of the last window are neighbours in memory */
    int64_t panels;      /* column tiles */

    bool copied;
    /* direct: groups of images, bands of positions. copied: groups of rows */
    int64_t group, groups, band, bands;
    /* results go straight to memory */
    bool plain_store;
    int32_t store_arg;
    int64_t store_base, *batch_c, *m_c, *position_c;

    /* weight */
    bool pack_x, pack_y;
    int64_t width;                  /* x values of a step: m, or taps x m where they were gathered */
    int64_t parts;                  /* of the summed range, each with its own sums */
    int64_t part_k;                 /* k points a part */
    int64_t row_groups, group_taps; /* taps are shared out among chunks */
    int64_t slab, slab_positions;   /* positions along the first window in a block; summed positions for each of them */
    int64_t steps_most, block_k;
    int64_t columns; /* padded n */
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
static reach *reach_of(anl_arena *arena, anl_contract_role role, const anl_window *w, int64_t *own, int64_t *summed)
{
    *own = role == ANL_CONTRACT_FORWARD ? w->out_size : role == ANL_CONTRACT_DATA ? w->in_size : w->tap_size;
    *summed = role == ANL_CONTRACT_WEIGHT ? w->out_size : w->tap_size;
    reach *all = ANL_NEW_ARRAY(arena, reach, *own + 1);
    for (int64_t p = 0; p < *own; p++) {
        reach *r = &all[p];
        int32_t *step = ANL_NEW_ARRAY(arena, int32_t, *summed);
        int64_t *offset = ANL_NEW_ARRAY(arena, int64_t, *summed), *other = ANL_NEW_ARRAY(arena, int64_t, *summed);
        for (int64_t s = 0; s < *summed; s++) {
            int64_t at;
            if (role == ANL_CONTRACT_DATA) {
                at = p + w->padding - s * w->dilation;
                if (at < 0 || at % w->stride != 0 || at / w->stride >= w->out_size)
                    continue;
                at = at / w->stride * w->y;
            } else {
                int64_t out = role == ANL_CONTRACT_FORWARD ? p : s, tap = role == ANL_CONTRACT_FORWARD ? s : p;
                at = out * w->stride + tap * w->dilation - w->padding;
                if (at < 0 || at >= w->in_size)
                    continue;
                at *= w->x;
            }
            step[r->count] = (int32_t)s;
            offset[r->count] = at;
            other[r->count++] = s * (role == ANL_CONTRACT_WEIGHT ? w->y : w->w);
        }
        r->step = step;
        r->offset = offset;
        r->other = other;
    }
    return all;
}

static reach_table table_of(anl_arena *arena, const anl_contract *c, anl_contract_role role)
{
    reach_table t = {.windows = c->window_count};
    for (int w = 0; w < c->window_count; w++)
        t.reach[w] = reach_of(arena, role, &c->window[w], &t.own[w], &t.summed[w]);
    return t;
}

/* The valid steps of a position over all windows, of the first window only those from `from` to below `to`: number of them;
 * step[], offset[] and other[] of each, in order. */
static int64_t steps_within(const reach_table *t, int64_t position, int64_t from, int64_t to, int32_t *step, int64_t *offset,
                            int64_t *other)
{
    const reach *r[3] = {&no_window, &no_window, &no_window};
    int64_t size[3] = {1, 1, 1};
    for (int w = t->windows - 1, i = 2; w >= 0; w--, i--) {
        r[i] = &t->reach[w][position % t->own[w]];
        size[i] = t->summed[w];
        position /= t->own[w];
    }
    int first = 3 - t->windows; /* where the first window is */
    int64_t count = 0;
    for (int h = 0; h < r[0]->count; h++) {
        if (first == 0 && (r[0]->step[h] < from || r[0]->step[h] >= to))
            continue;
        for (int i = 0; i < r[1]->count; i++) {
            if (first == 1 && (r[1]->step[i] < from || r[1]->step[i] >= to))
                continue;
            int32_t before = (int32_t)((r[0]->step[h] * size[1] + r[1]->step[i]) * size[2]);
            int64_t offset_i = r[0]->offset[h] + r[1]->offset[i], other_i = r[0]->other[h] + r[1]->other[i];
            for (int j = 0; j < r[2]->count; j++) {
                if (first == 2 && (r[2]->step[j] < from || r[2]->step[j] >= to))
                    continue;
                step[count] = before + r[2]->step[j];
                offset[count] = offset_i + r[2]->offset[j];
                other[count++] = other_i + r[2]->other[j];
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
    int64_t batch = chunk / k->panels, panel = chunk % k->panels, first = panel * width,
            count = host_minimum(width, k->n - first);
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
    int64_t *other = (int64_t *)((char *)panel + host_round_up(8 * k->taps, HOST_LINE));
    float *sums = (float *)((char *)other + host_round_up(8 * k->taps, HOST_LINE));
    float *to = k->plain_store ? (float *)r->run->arg[k->store_arg] + k->store_base + k->batch_c[batch] : NULL;

    for (int64_t j = 0; j < k->panels; j++) {
        int64_t first = j * gemm->columns;
        int columns = (int)host_minimum(gemm->columns, k->n - first);
        for (int64_t p = p0; p < p1; p++) {
            int64_t taps = steps_within(&k->table, p, 0, INT64_MAX, step, offset, other);
            for (int64_t t = 0; t < taps; t++)
                panel[t] = panel_at(r, batch, j, step[t]);
            for (int64_t m = m0; m < m1; m += tile) {
                const float *row[16];
                int rows = (int)host_minimum(tile, m1 - m);
                for (int i = 0; i < rows; i++)
                    row[i] = r->a + k->batch_a[batch] + k->m_a[m + i];
                if (!k->plain_store) {
                    gemm->product(rows, columns, row, (int)taps, offset, panel, (int)k->k,
                                  sums + ((m - m0) * own_band + p - p0) * k->n + first, own_band * k->n);
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
/* Short copies, for which a call of memcpy costs more than the copying. */
static inline void copy_floats(float *restrict to, const float *restrict from, int64_t count)
{
    for (; count >= 4; count -= 4, to += 4, from += 4)
        __builtin_memcpy(to, from, 16);
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* All taps of a position side by side: row[tap][i], i < depth; zeros where a tap is outside. in: offsets of the i, NULL where
 * they are neighbours. */
static void gather_row(const reach_table *t, bool runs, const float *from, int64_t position, int64_t depth, const int64_t *in,
                       float *row)
{
    const reach *r[3] = {&no_window, &no_window, &no_window};
    int64_t size[3] = {1, 1, 1};
    for (int w = t->windows - 1, i = 2; w >= 0; w--, i--) {
        r[i] = &t->reach[w][position % t->own[w]];
        size[i] = t->summed[w];
        position /= t->own[w];
    }
    if (r[0]->count < size[0] || r[1]->count < size[1] || r[2]->count < size[2])
        memset(row, 0, sizeof(float) * (size_t)(size[0] * size[1] * size[2] * depth));
    if (r[2]->count == 0)
        return;
    for (int h = 0; h < r[0]->count; h++) {
        for (int i = 0; i < r[1]->count; i++) {
            float *to = row + (r[0]->step[h] * size[1] + r[1]->step[i]) * size[2] * depth;
            const float *x = from + r[0]->offset[h] + r[1]->offset[i];
            if (runs) {
                copy_floats(to + r[2]->step[0] * depth, x + r[2]->offset[0], r[2]->count * depth);
                continue;
            }
            for (int j = 0; j < r[2]->count; j++) {
                float *at = to + r[2]->step[j] * depth;
                const float *y = x + r[2]->offset[j];
                if (!in)
                    copy_floats(at, y, depth);
                else
                    for (int64_t q = 0; q < depth; q++)
                        at[q] = y[in[q]];
            }
        }
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
    float *rows = (float *)scratch;
    float *sums = (float *)((char *)rows + host_round_up(4 * k->group * depth, HOST_LINE));
    for (int64_t at = r0; at < r1; at++)
        gather_row(&k->table, k->gather_runs, r->a + k->batch_a[batch] + k->m_a[at / k->positions], at % k->positions, k->k,
                   k->k_unit ? NULL : k->k_a, rows + (at - r0) * depth);

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
/* Where a thread keeps what it works on. */
typedef struct weight_scratch {
    int64_t *px, *py, *xo, *yo; /* offsets of a tap's valid positions; of all steps */
    int32_t *position;
    float *x, *y; /* packed */
} weight_scratch;

static weight_scratch weight_scratch_of(const product_kernel *k, char *memory)
{
    int64_t slab = k->slab * k->slab_positions, most = k->steps_most;
    weight_scratch s = {.px = (int64_t *)memory};
    s.py = s.px + slab;
    s.xo = s.py + slab;
    s.yo = s.xo + most;
    s.position = (int32_t *)(s.yo + most);
    s.y = (float *)((char *)memory + host_round_up(8 * (2 * slab + 2 * most) + 4 * slab, HOST_LINE));
    s.x = (float *)((char *)s.y + (k->pack_y ? host_round_up(4 * most * k->columns, HOST_LINE) : 0));
    return s;
}

static size_t weight_scratch_bytes(const product_kernel *k)
{
    int64_t slab = k->slab * k->slab_positions, most = k->steps_most;
    int64_t bytes = 8 * (2 * slab + 2 * most) + 4 * slab + (k->pack_y ? 4 * most * k->columns : 0);
    return (size_t)(bytes + (k->pack_x || k->copied ? 4 * most * k->width : 0) + 4 * HOST_LINE);
}

/* y of some k points and a slab of positions side by side: [k][position][columns], with zeros beyond n. */
static void pack_y(const product_kernel *k, const float *from, int64_t kb, int64_t ke, int64_t p0, int64_t p1, float *y)
{
    for (int64_t i = kb; i < ke; i++) {
        for (int64_t p = p0; p < p1; p++, y += k->columns) {
            const float *row = from + k->k_b[i] + k->tap_b[p];
            if (k->n_unit)
                memcpy(y, row, sizeof(float) * (size_t)k->n);
            else
                for (int64_t j = 0; j < k->n; j++)
                    y[j] = row[k->n_b[j]];
            for (int64_t j = k->n; j < k->columns; j++)
                y[j] = 0;
        }
    }
}

/* Adds `steps` outer products to the sums of one tap (or, gathered, of all). */
static void add_outer(const product_kernel *k, int64_t rows, int64_t steps, const float *x, const float *y,
                      const weight_scratch *s, float *sums)
{
    const host_gemm *gemm = k->gemm;
    for (int64_t j = 0; j < k->columns; j += gemm->columns)
        for (int64_t i = 0; i < rows; i += gemm->outer_rows)
            gemm->outer((int)host_minimum(gemm->outer_rows, rows - i), (int)steps, x + i, s->xo, y + j, s->yo,
                        sums + i * k->columns + j, k->columns);
}

/* Adds up one part of the k range for some of the taps: blocks of k points and slabs of positions that fit the cache. */
static void weight_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    int64_t share = chunk % k->row_groups, part = chunk / k->row_groups % k->parts, batch = chunk / k->row_groups / k->parts;
    int64_t t0 = share * k->group_taps, t1 = host_minimum(k->positions, t0 + k->group_taps);
    int64_t k0 = part * k->part_k, k1 = host_minimum(k->k, k0 + k->part_k);
    float *sums = r->sums + (batch * k->parts + part) * k->positions * k->m * k->columns;
    const float *from_x = r->a + k->batch_a[batch], *from_y = r->b + k->batch_b[batch];
    weight_scratch s = weight_scratch_of(k, r->run->threads[thread].scratch);

    memset(sums + t0 * k->m * k->columns, 0, sizeof(float) * (size_t)((t1 - t0) * k->m * k->columns));
    int64_t slabs = k->taps / k->slab_positions;
    for (int64_t kb = k0; kb < k1; kb += k->block_k) {
        int64_t ke = host_minimum(k1, kb + k->block_k);
        for (int64_t from = 0; from < slabs; from += k->slab) {
            int64_t to = host_minimum(slabs, from + k->slab), p0 = from * k->slab_positions, p1 = to * k->slab_positions;
            if (k->pack_y)
                pack_y(k, from_y, kb, ke, p0, p1, s.y);
            for (int64_t t = t0; t < t1; t++) {
                int64_t valid = steps_within(&k->table, t, from, to, s.position, s.px, s.py), count = 0;
                for (int64_t i = kb; i < ke; i++) {
                    int64_t at_x = k->k_a[i], at_y = k->pack_y ? ((i - kb) * (p1 - p0) - p0) * k->columns : k->k_b[i];
                    for (int64_t q = 0; q < valid; q++, count++) {
                        s.xo[count] = at_x + s.px[q];
                        s.yo[count] = at_y + (k->pack_y ? s.position[q] * k->columns : s.py[q]);
                    }
                }
                if (k->pack_x) {
                    for (int64_t q = 0; q < count; q++) {
                        for (int64_t i = 0; i < k->m; i++)
                            s.x[q * k->m + i] = from_x[s.xo[q] + k->m_a[i]];
                        s.xo[q] = q * k->m;
                    }
                }
                add_outer(k, k->m, count, k->pack_x ? s.x : from_x, k->pack_y ? s.y : from_y, &s, sums + t * k->m * k->columns);
            }
        }
    }
}

/* The same where m is tiny: the values of all taps are gathered side by side first. */
static void gathered_weight_chunk(void *context, int chunk, int thread)
{
    const product_run *r = context;
    const product_kernel *k = r->kernel;
    int64_t part = chunk % k->parts, batch = chunk / k->parts;
    int64_t k0 = part * k->part_k, k1 = host_minimum(k->k, k0 + k->part_k);
    float *sums = r->sums + (batch * k->parts + part) * k->width * k->columns;
    const float *from_x = r->a + k->batch_a[batch], *from_y = r->b + k->batch_b[batch];
    weight_scratch s = weight_scratch_of(k, r->run->threads[thread].scratch);

    memset(sums, 0, sizeof(float) * (size_t)(k->width * k->columns));
    const int64_t *in = is_unit(k->m_a, k->m) ? NULL : k->m_a;
    for (int64_t i = k0; i < k1; i++) {
        for (int64_t p0 = 0; p0 < k->taps; p0 += k->slab * k->slab_positions) {
            int64_t p1 = host_minimum(k->taps, p0 + k->slab * k->slab_positions);
            if (k->pack_y)
                pack_y(k, from_y, i, i + 1, p0, p1, s.y);
            for (int64_t p = p0; p < p1; p++) {
                gather_row(&k->gather, k->gather_runs, from_x + k->k_a[i], p, k->m, in, s.x + (p - p0) * k->width);
                s.xo[p - p0] = (p - p0) * k->width;
                s.yo[p - p0] = k->pack_y ? (p - p0) * k->columns : k->k_b[i] + k->tap_b[p];
            }
            add_outer(k, k->width, p1 - p0, s.x, k->pack_y ? s.y : from_y, &s, sums);
        }
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
/* Neighbouring taps of a gathered row are neighbours in memory too. */
static bool runs_together(const anl_contract *c, int64_t depth, bool unit)
{
    const anl_window *last = c->window_count > 0 ? &c->window[c->window_count - 1] : NULL;
    return last && unit && c->role != ANL_CONTRACT_DATA && last->x * last->dilation == depth;
}

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
    /* a block's steps: some 512, so that its x and y stay in the cache while all taps use them */
    int64_t along = c->window_count > 0 ? c->window[0].out_size : 1;
    k->slab_positions = k->taps / along;
    k->slab = host_maximum(1, host_minimum(along, 512 / k->slab_positions));
    k->block_k = k->copied || k->slab < along ? 1 : host_minimum(k->part_k, host_maximum(1, 512 / k->taps));
    k->steps_most = k->block_k * k->slab * k->slab_positions;
    if (k->steps_most > 1 << 20)
        return NULL;
    k->gather = table_of(make->arena, c, ANL_CONTRACT_FORWARD);
    k->gather_runs = runs_together(c, k->m, is_unit(k->m_a, k->m));

    host_body_options tail = {.f64 = false,
                              .simd = make->simd,
                              .first = kernel->body_count,
                              .last = kernel->instr_count,
                              .stores = true,
                              .acc_affine = true};
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
    k->base.thread_bytes = weight_scratch_bytes(k);
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
    k->table = table_of(make->arena, c, c->role);
    k->positions = k->taps = 1;
    for (int w = 0; w < c->window_count; w++) {
        k->positions *= k->table.own[w];
        k->taps *= k->table.summed[w];
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
            k->tap_b[t] += rest % k->table.summed[w] * (c->role == ANL_CONTRACT_WEIGHT ? c->window[w].y : c->window[w].w);
            rest /= k->table.summed[w];
        }
    }
    if (c->role == ANL_CONTRACT_WEIGHT)
        return weight_new(make, k);

    int64_t panel_floats = k->batch * k->panels * k->taps * k->k * gemm->columns;
    if (panel_floats > 1 << 26)
        return NULL;
    k->base.shared_bytes = sizeof(float) * (size_t)panel_floats;
    int64_t lists = host_round_up(4 * k->taps, HOST_LINE) + 3 * host_round_up(8 * k->taps, HOST_LINE);
    k->gather_runs = runs_together(c, k->k, k->k_unit);
    k->copied = !k->k_unit || (k->taps > 1 && (k->k < 8 || k->m < 2 * gemm->rows));
    if (k->copied) {
        int64_t depth = k->taps * k->k, rows = k->m * k->positions;
        k->group = host_minimum(host_maximum(1, 32768 / depth), host_maximum(1, 65536 / k->n)) / gemm->rows * gemm->rows;
        k->group = host_maximum(gemm->rows, host_minimum(k->group, 16 * gemm->rows));
        k->groups = (rows + k->group - 1) / k->group;
        k->base.thread_bytes = (size_t)(host_round_up(4 * k->group * depth, HOST_LINE) + 4 * k->group * k->n);
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
