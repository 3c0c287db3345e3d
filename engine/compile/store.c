/* Storage decisions: which values are kept in memory, which are recomputed where they are used, and where the stored ones lie.
 * In: normalised nodes. Out: w->info (stored, place), buffers, and roots: the stores that kernels have to do.
 * The cost model counts flops of recomputing against traffic of storing; one load or store of an element weighs 8 flops. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

enum { LOAD_COST = 8, LAUNCH_COST = 100000, WEIGHT_MAX = 500 };

bool anl_is_reduction(int op)
{
    return op == ANL_OP_SUM || op == ANL_OP_MAX || op == ANL_OP_ARGMAX || op == ANL_OP_LOGSUMEXP || op == ANL_OP_MEAN ||
           op == ANL_OP_VARIANCE;
}

bool anl_is_inline_movement(int op)
{
    switch (op) {
    case ANL_OP_RENAME:
    case ANL_OP_TRANSPOSE:
    case ANL_OP_REPLICATE:
    case ANL_OP_SLICE:
    case ANL_OP_PLACE:
    case ANL_OP_SPLIT:
    case ANL_OP_MERGE:
    case ANL_OP_WINDOWS:
    case ANL_OP_STOP_GRADIENT:
    case ANL_W_UNWIN:
    case ANL_W_SEGMENT:
    case ANL_W_SQUEEZE:
        return true;
    default:
        return false;
    }
}

int anl_work_esize(const anl_work *w, anl_dtype dtype) { return w->options.f64 && dtype == ANL_F32 ? 8 : 4; }

int32_t anl_work_buffer(anl_work *w, anl_space space, anl_dtype dtype, int64_t count, const char *name, const anl_node *node)
{
    anl_wbuffer b = {
        .b = {.space = space, .dtype = dtype, .name = name, .count = count}, .parent = -1, .first = -1, .last = -1, .node = node};
    b.b.bytes = count * anl_work_esize(w, dtype);
    if (node)
        b.b.span = node->site.line ? node->site : node->span;
    if (count >= INT32_MAX)
        anl_work_fail(w, ANL_A_program_limit, node,
                      "%s has %lld elements; a tensor holds fewer than 2147483647: a smaller batch, smaller images or narrower "
                      "layers make it fit",
                      name, (long long)count);
    ANL_PUSH(w->arena, w->buffers, w->buffer_count, w->buffer_capacity, b);
    return w->buffer_count - 1;
}

static int axis_at(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->rank; i++)
        if (n->axes[i].id == axis)
            return i;
    return -1;
}

static void natural(const anl_node *n, int64_t stride[ANL_MAX_AXES])
{
    int64_t s = 1;
    for (int i = n->rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= n->axes[i].size;
    }
}

/* ---- views: values that are found in a stored one by strides ---- */
static bool view_step(anl_work *w, anl_node *n, anl_node **leaf, int64_t *base, int64_t *stride)
{
    const anl_info *info = &w->info[n->id];
    int64_t in[ANL_MAX_AXES] = {0};
    anl_node *x = n->input_count > 0 ? n->inputs[0] : NULL;
    bool inner = anl_is_inline_movement(n->op) && !(w->options.no_fusion && info->stored) && anl_work_view(w, x, leaf, base, in);
    if (!inner)
        return false;
    const anl_attrs *a = &n->attrs;
    switch ((int)n->op) {
    case ANL_OP_RENAME:
        memcpy(stride, in, sizeof in);
        return true;
    case ANL_OP_TRANSPOSE:
    case ANL_OP_STOP_GRADIENT:
    case ANL_OP_REPLICATE:
    case ANL_W_SQUEEZE:
        for (int i = 0; i < n->rank; i++) {
            int at = axis_at(x, n->axes[i].id);
            stride[i] = at >= 0 ? in[at] : 0;
        }
        return true;
    case ANL_OP_SLICE:
        for (int i = 0; i < n->rank; i++) {
            int at = axis_at(x, n->axes[i].id);
            if (at < 0)
                return false;
            stride[i] = in[at];
            if (n->axes[i].id == a->axis[0]) {
                if (a->step <= 0)
                    return false;
                *base += a->start * in[at];
                stride[i] = in[at] * a->step;
            }
        }
        return true;
    case ANL_OP_SPLIT:
        for (int i = 0; i < n->rank; i++) {
            int at = axis_at(x, n->axes[i].id), part = -1;
            for (int p = 0; p < a->over_count; p++)
                if (a->over[p] == n->axes[i].id)
                    part = p;
            if (part < 0) {
                if (at < 0)
                    return false;
                stride[i] = in[at];
                continue;
            }
            int from = axis_at(x, a->axis[0]);
            if (from < 0)
                return false;
            stride[i] = in[from];
            for (int p = part + 1; p < a->over_count; p++)
                stride[i] *= anl_node_size(n, a->over[p]);
        }
        return true;
    case ANL_OP_MERGE:
        for (int i = 0; i < n->rank; i++) {
            if (n->axes[i].id != a->axis[0]) {
                int at = axis_at(x, n->axes[i].id);
                if (at < 0)
                    return false;
                stride[i] = in[at];
                continue;
            }
            int64_t expect = 0;
            bool started = false;
            for (int p = a->over_count - 1; p >= 0; p--) {
                int at = axis_at(x, a->over[p]);
                if (at < 0)
                    return false;
                if (x->axes[at].size == 1)
                    continue;
                if (!started)
                    stride[i] = in[at];
                else if (in[at] != expect)
                    return false;
                started = true;
                expect = in[at] * x->axes[at].size;
            }
            if (!started)
                stride[i] = 0;
        }
        return true;
    case ANL_OP_WINDOWS: {
        const anl_slide *s = &a->slide[0];
        if (s->padding != 0 || (int64_t)(s->out_size - 1) * s->stride + (int64_t)(s->tap_size - 1) * s->dilation >= s->in_size)
            return false;
        int from = axis_at(x, s->axis);
        if (from < 0)
            return false;
        for (int i = 0; i < n->rank; i++) {
            int at = axis_at(x, n->axes[i].id);
            stride[i] = n->axes[i].id == s->axis      ? in[from] * s->stride
                        : n->axes[i].id == a->axis[1] ? in[from] * s->dilation
                        : at >= 0                     ? in[at]
                                                      : 0;
        }
        return true;
    }
    default:
        return false;
    }
}

bool anl_work_view(anl_work *w, anl_node *n, anl_node **leaf, int64_t *base, int64_t stride[ANL_MAX_AXES])
{
    memset(stride, 0, sizeof(int64_t) * ANL_MAX_AXES);
    if (view_step(w, n, leaf, base, stride))
        return true;
    if (!w->info[n->id].stored && (n->op == ANL_OP_CONST || w->info[n->id].host))
        return false;
    const anl_info *info = &w->info[n->id];
    *leaf = n;
    if (info->at.buffer >= 0) {
        *base = info->at.base;
        memcpy(stride, info->at.stride, sizeof info->at.stride);
    } else {
        *base = 0;
        natural(n, stride);
    }
    memset(stride + n->rank, 0, sizeof(int64_t) * (size_t)(ANL_MAX_AXES - n->rank));
    return true;
}

/* ---- leaves ---- */
static void add_leaf(int32_t *list, int *count, int limit, int32_t id)
{
    for (int i = 0; i < *count; i++)
        if (list[i] == id)
            return;
    if (*count <= limit)
        list[(*count)++] = id;
}

static void leaves_step(anl_work *w, anl_node *n, bool top, int32_t *list, int *count, int limit, int32_t *seen, int *seen_count,
                        int seen_limit)
{
    const anl_info *info = &w->info[n->id];
    if (info->host || n->op == ANL_OP_CONST || *count > limit)
        return;
    if (!top && info->stored) {
        add_leaf(list, count, limit, n->id);
        return;
    }
    for (int i = 0; i < *seen_count; i++)
        if (seen[i] == n->id)
            return;
    if (*seen_count < seen_limit)
        seen[(*seen_count)++] = n->id;
    if (n->op == ANL_OP_CONTRACT) {
        for (int i = 0; i < 2; i++) {
            anl_node *leaf = NULL;
            int64_t base = 0, stride[ANL_MAX_AXES];
            if (anl_work_view(w, n->inputs[i], &leaf, &base, stride))
                add_leaf(list, count, limit, leaf->id);
        }
        return;
    }
    for (int i = 0; i < n->input_count; i++)
        leaves_step(w, n->inputs[i], false, list, count, limit, seen, seen_count, seen_limit);
}

int anl_work_leaves(anl_work *w, anl_node *root, int32_t *list, int limit)
{
    enum { SEEN = 4096 };
    int32_t *seen = anl_malloc(sizeof(int32_t) * SEEN);
    int count = 0, seen_count = 0;
    leaves_step(w, root, true, list, &count, limit, seen, &seen_count, SEEN);
    free(seen);
    return count;
}

/* ---- decisions ---- */
static void count_uses(anl_work *w)
{
    int n = w->node_count;
    w->use_start = ANL_NEW_ARRAY(w->arena, int32_t, n + 2);
    for (int i = 0; i < n; i++)
        w->use_start[i + 1] = w->use_start[i] + w->uses[i];
    w->use_list = ANL_NEW_ARRAY(w->arena, int32_t, w->use_start[n] + 1);
    int32_t *at = ANL_NEW_ARRAY(w->arena, int32_t, n + 1);
    memcpy(at, w->use_start, sizeof(int32_t) * (size_t)n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < w->nodes[i]->input_count; j++)
            w->use_list[at[w->nodes[i]->inputs[j]->id]++] = i;
    w->extra = ANL_NEW_ARRAY(w->arena, int32_t, n + 1);
    for (int i = 0; i < w->graph->output_count; i++)
        if (w->outputs[i])
            w->extra[w->outputs[i]->id]++;
    for (int i = 0; i < w->graph->state_count; i++)
        if (w->updates[i])
            w->extra[w->updates[i]->id]++;
}

static void place_sources(anl_work *w)
{
    for (int i = 0; i < w->node_count; i++) {
        anl_node *n = w->nodes[i];
        anl_info *info = &w->info[i];
        info->at.buffer = -1;
        info->kernel = info->scalar = info->slot = info->absorbs = info->absorbed = info->chain = info->concat = -1;
        info->host = n->op == ANL_OP_STEP;
        if (n->op == ANL_OP_SCALAR && n->rank == 0) {
            bool host = true, step = false;
            for (int j = 0; j < n->input_count; j++) {
                host = host && (w->info[n->inputs[j]->id].host || n->inputs[j]->op == ANL_OP_CONST);
                step = step || w->info[n->inputs[j]->id].host;
            }
            info->host = host && step;
        }
        if (n->op == ANL_OP_FIELD || n->op == ANL_OP_TABLE) {
            const char *name = n->op == ANL_OP_FIELD ? n->attrs.name : "table";
            info->stored = info->source = true;
            info->at.buffer = anl_work_buffer(w, n->op == ANL_OP_FIELD ? ANL_SPACE_INPUT : ANL_SPACE_TABLE, n->dtype,
                                              anl_node_count(n), anl_arena_text(w->out, name ? name : ""), n);
            natural(n, info->at.stride);
            if (n->op == ANL_OP_TABLE)
                w->buffers[info->at.buffer].b.table = n->attrs.table;
        } else if (n->op == ANL_OP_STATE) {
            const anl_state *state = n->attrs.state;
            const anl_state_place *place = &w->layout->places[w->state_place[state->id]];
            info->stored = info->source = true;
            info->at.buffer = w->state_buffer[w->state_place[state->id]];
            for (int a = 0; a < n->rank; a++)
                for (int d = 0; d < state->rank; d++)
                    if (state->axes[d].id == n->axes[a].id)
                        info->at.stride[a] = place->stride[d];
        }
    }
}

static void force(anl_work *w, anl_node *n)
{
    anl_info *info = &w->info[n->id];
    if (!info->source && !info->host)
        info->forced = true;
    if (n->op == ANL_OP_CONST || info->host)
        info->forced = true; /* a contraction reads memory: even a constant must lie there */
}

static void force_needed(anl_work *w)
{
    for (int i = 0; i < w->node_count; i++) {
        anl_node *n = w->nodes[i];
        anl_info *info = &w->info[i];
        if (w->options.no_fusion && !info->source && !info->host && n->op != ANL_OP_CONST && n->op < ANL_OP_COUNT)
            info->forced = true;
        if (anl_is_reduction(n->op) || n->op == ANL_OP_CONTRACT)
            info->stored = true;
        if (n->op == ANL_OP_CONCAT && n->input_count > 4)
            info->forced = true;
        if (n->op == ANL_OP_CONTRACT)
            for (int j = 0; j < 2; j++) {
                anl_node *leaf = n->inputs[j];
                int64_t base = 0, stride[ANL_MAX_AXES];
                if (!anl_work_view(w, n->inputs[j], &leaf, &base, stride))
                    leaf = n->inputs[j];
                force(w, leaf);
            }
    }
    for (int i = 0; i < w->graph->output_count; i++)
        if (w->outputs[i])
            if (!w->info[w->outputs[i]->id].source && !w->info[w->outputs[i]->id].host && w->outputs[i]->op != ANL_OP_CONST)
                w->info[w->outputs[i]->id].forced = true;
}

static bool same_set(const anl_node *a, const anl_node *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++) {
        int at = axis_at(b, a->axes[i].id);
        if (at < 0 || b->axes[at].size != a->axes[i].size)
            return false;
    }
    return true;
}

static bool in_chain(const anl_work *w, const anl_node *n)
{
    int32_t c = w->info[n->id].chain;
    return c >= 0 && w->info[c].absorbed >= 0;
}

/* A contraction whose only use is a chain of elementwise operations on the same axes: the chain is done at the contraction's
 * stores. */
static void absorb(anl_work *w, anl_node *c)
{
    anl_node *n = c, *chain[16];
    int length = 0;
    while (length < 12 && w->uses[n->id] == 1 && w->extra[n->id] == 0 && !w->info[n->id].forced) {
        anl_node *m = w->nodes[w->use_list[w->use_start[n->id]]];
        bool elementwise = m->op == ANL_OP_SCALAR || m->op == ANL_OP_TRANSPOSE;
        if (!elementwise || !same_set(m, n) || in_chain(w, m) || w->info[m->id].absorbs >= 0)
            break;
        chain[length++] = m;
        n = m;
    }
    while (length > 0 && chain[length - 1]->op == ANL_OP_TRANSPOSE && !w->info[chain[length - 1]->id].forced)
        length--;
    if (length == 0)
        return;
    n = chain[length - 1];
    w->info[n->id].forced = true;
    w->info[n->id].absorbs = c->id;
    w->info[c->id].absorbed = n->id;
    w->info[c->id].stored = false;
    for (int i = 0; i < length; i++)
        w->info[chain[i]->id].chain = c->id;
}

typedef struct sinks {
    uint64_t key[32];
    double evals[32];
    int count, steps;
} sinks;

static void add_sink(sinks *s, uint64_t key, double evals)
{
    for (int i = 0; i < s->count; i++)
        if (s->key[i] == key) {
            s->evals[i] = fmax(s->evals[i], evals);
            return;
        }
    if (s->count < 32) {
        s->key[s->count] = key;
        s->evals[s->count++] = evals;
    }
}

static uint64_t domain_key(const anl_node *reduction)
{
    const anl_node *x = reduction->inputs[0];
    uint64_t key = 0;
    for (int i = 0; i < x->rank; i++) {
        int32_t item[3] = {x->axes[i].id, x->axes[i].size, axis_at(reduction, x->axes[i].id) >= 0};
        key += anl_hash(item, sizeof item, 7);
    }
    return key | 1ull << 63;
}

/* The kernels that would evaluate n if it were inlined, and how many of its elements each. */
static void find_sinks(anl_work *w, anl_node *n, double evals, sinks *s)
{
    for (int u = w->use_start[n->id]; u < w->use_start[n->id + 1]; u++) {
        anl_node *c = w->nodes[w->use_list[u]];
        if (s->steps++ > 200) {
            add_sink(s, (uint64_t)c->id, evals);
            continue;
        }
        if (anl_is_reduction(c->op))
            add_sink(s, domain_key(c), evals);
        else if (anl_is_inline_movement(c->op) && !w->info[c->id].forced)
            find_sinks(w, c, (double)anl_node_count(c), s);
        else if (c->op == ANL_OP_SCALAR && !w->info[c->id].forced && w->uses[c->id] == 1 && w->extra[c->id] == 0)
            find_sinks(w, c, (double)anl_node_count(c), s);
        else
            add_sink(s, (uint64_t)c->id, c->op == ANL_OP_CONCAT ? evals : (double)anl_node_count(c));
    }
    for (int i = 0; i < w->extra[n->id]; i++)
        add_sink(s, (uint64_t)n->id | 1ull << 62 | (uint64_t)i << 40, evals);
}

/* True if all that follows from n, inlined, ends in one kernel that evaluates each element once: then there is nothing to save by
 * storing it, however many operations use it. */
static bool one_kernel(anl_work *w, anl_node *n)
{
    enum { MOST = 256 };
    int32_t visited[MOST];
    int count = 0, done = 0;
    uint64_t sink = 0;
    double most = (double)anl_node_count(n) * 1.05;
    if (w->extra[n->id] > 0)
        return false;
    visited[count++] = n->id;
    while (done < count) {
        anl_node *m = w->nodes[visited[done++]];
        for (int u = w->use_start[m->id]; u < w->use_start[m->id + 1]; u++) {
            anl_node *c = w->nodes[w->use_list[u]];
            const anl_info *info = &w->info[c->id];
            uint64_t key = anl_is_reduction(c->op) ? domain_key(c) : (uint64_t)c->id + 1;
            bool ends = anl_is_reduction(c->op) || info->forced || w->extra[c->id] > 0;
            if (c->op == ANL_OP_CONTRACT || c->op == ANL_OP_CONCAT || (c->op == ANL_OP_GATHER && c->inputs[0] == m))
                return false;
            if (!anl_is_reduction(c->op) && (double)anl_node_count(c) > most)
                return false;
            if (ends) {
                if (sink != 0 && sink != key)
                    return false;
                sink = key;
                continue;
            }
            bool known = false;
            for (int i = 0; i < count && !known; i++)
                known = visited[i] == c->id;
            if (known)
                continue;
            if (count == MOST)
                return false;
            visited[count++] = c->id;
        }
    }
    return sink != 0;
}

static double own_flops(const anl_node *n)
{
    if (n->op == ANL_OP_SCALAR) {
        static const double cost[] = {
#define X(name, text, arity, types, flops) flops,
            ANL_SCALARS(X)
#undef X
        };
        return cost[n->attrs.scalar];
    }
    if (n->op == ANL_OP_UNIFORM)
        return 60;
    if (n->op == ANL_OP_NORMAL)
        return 90;
    if (n->op == ANL_OP_CONCAT)
        return 2 * n->input_count;
    if (n->op == ANL_OP_GATHER)
        return 4;
    if (n->op == (anl_op)ANL_W_UNWIN || n->op == ANL_OP_MERGE || n->op == ANL_OP_SPLIT)
        return 1;
    return 0;
}

static void gather_costs(anl_work *w, anl_node *n)
{
    anl_info *info = &w->info[n->id];
    for (;;) {
        info->leaf_count = 0;
        info->flops = own_flops(n);
        info->weight = 1;
        info->heavy = n->op == ANL_OP_UNIFORM || n->op == ANL_OP_NORMAL || n->op == ANL_OP_GATHER;
        int largest = -1;
        bool over = false;
        for (int i = 0; i < n->input_count; i++) {
            anl_node *x = n->inputs[i];
            const anl_info *in = &w->info[x->id];
            if (in->host || (x->op == ANL_OP_CONST && !in->stored))
                continue;
            if (in->stored) {
                add_leaf(info->leaf, &info->leaf_count, ANL_LEAF_MAX, x->id);
            } else {
                info->flops += in->flops;
                info->weight += in->weight;
                info->heavy = info->heavy || in->heavy;
                for (int l = 0; l < in->leaf_count; l++)
                    add_leaf(info->leaf, &info->leaf_count, ANL_LEAF_MAX, in->leaf[l]);
                bool may = x->op != ANL_OP_CONTRACT && x->op < ANL_OP_COUNT && !in_chain(w, x);
                if (may && (largest < 0 || in->leaf_count > w->info[n->inputs[largest]->id].leaf_count ||
                            (in->leaf_count == w->info[n->inputs[largest]->id].leaf_count &&
                             in->weight > w->info[n->inputs[largest]->id].weight)))
                    largest = i;
            }
            over = info->leaf_count > ANL_LEAF_MAX;
        }
        if ((over || info->weight > WEIGHT_MAX) && largest >= 0)
            w->info[n->inputs[largest]->id].stored = true;
        else if (over && in_chain(w, n)) { /* too many values at once: the contraction is stored by itself after all */
            anl_info *c = &w->info[info->chain];
            w->info[c->absorbed].absorbs = -1;
            c->absorbed = -1;
            c->stored = true;
        } else
            return;
    }
}

static double load_cost(anl_work *w, const anl_node *n)
{
    double sum = 0, count = (double)anl_node_count(n);
    for (int i = 0; i < w->info[n->id].leaf_count; i++)
        sum += fmin(1, fmax(0.125, (double)anl_node_count(w->nodes[w->info[n->id].leaf[i]]) / count));
    return sum * LOAD_COST;
}

/* max(x, 0) > 0 is x > 0: where max(x, 0) is stored anyway and x takes several loads, the mask reads that. */
static void mask_from_stored(anl_work *w, anl_node *n)
{
    if (n->op != ANL_OP_SCALAR || n->attrs.scalar != ANL_S_LT || w->options.no_fusion)
        return;
    anl_node *zero = n->inputs[0], *x = n->inputs[1];
    if (zero->op != ANL_OP_CONST || zero->attrs.value != 0 || w->info[x->id].stored)
        return;
    int large = 0;
    for (int l = 0; l < w->info[x->id].leaf_count; l++)
        large += anl_node_count(w->nodes[w->info[x->id].leaf[l]]) * 2 > anl_node_count(x);
    if (large < 2)
        return;
    for (int u = w->use_start[x->id]; u < w->use_start[x->id + 1]; u++) {
        anl_node *y = w->nodes[w->use_list[u]];
        if (y->op == ANL_OP_SCALAR && y->attrs.scalar == ANL_S_MAXIMUM && w->info[y->id].stored && y->id < n->id &&
            ((y->inputs[0] == x && y->inputs[1]->op == ANL_OP_CONST && y->inputs[1]->attrs.value == 0) ||
             (y->inputs[1] == x && y->inputs[0]->op == ANL_OP_CONST && y->inputs[0]->attrs.value == 0))) {
            n->inputs[1] = y;
            return;
        }
    }
}

void anl_work_decide(anl_work *w)
{
    w->info = ANL_NEW_ARRAY(w->arena, anl_info, w->node_count + 1);
    count_uses(w);
    place_sources(w);
    force_needed(w);
    for (int i = 0; i < w->node_count; i++) {
        anl_node *n = w->nodes[i];
        anl_info *info = &w->info[i];
        if (info->source || (info->host && !info->forced) || (n->op == ANL_OP_CONST && !info->forced))
            continue;
        if (n->op == ANL_OP_CONTRACT && !w->options.no_fusion)
            absorb(w, n);
        if (n->op == ANL_OP_CONCAT && info->forced) {
            info->stored = true; /* filled piece by piece: what one piece reads is no matter of the others */
            continue;
        }
        mask_from_stored(w, n);
        gather_costs(w, n);
        if (n->op == ANL_OP_CONTRACT) {
            info->leaf_count = anl_work_leaves(w, n, info->leaf, ANL_LEAF_MAX);
            continue;
        }
        if (info->stored)
            continue;
        if (info->forced) {
            info->stored = true;
            continue;
        }
        if (n->op >= ANL_OP_COUNT || n->op == ANL_OP_INDEX || w->uses[i] + w->extra[i] == 0)
            continue;
        if (in_chain(w, n))
            continue;
        if (anl_is_inline_movement(n->op) && n->op != ANL_OP_MERGE)
            continue; /* finding elements elsewhere is no work to save */
        double count = (double)anl_node_count(n), loads = load_cost(w, n), evals = 0;
        sinks s = {0};
        find_sinks(w, n, count, &s);
        for (int k = 0; k < s.count; k++)
            evals += s.evals[k];
        bool gathered = false;
        for (int u = w->use_start[i]; u < w->use_start[i + 1]; u++) {
            anl_node *c = w->nodes[w->use_list[u]];
            gathered = gathered || (c->op == ANL_OP_GATHER && c->inputs[0] == n);
        }
        if (gathered && (info->flops > 2 || info->leaf_count > 1)) {
            info->stored = true;
            continue;
        }
        if (info->flops + loads <= LOAD_COST + 1)
            continue; /* as cheap as loading it */
        double recompute = evals * (info->flops + loads);
        double store = count * (info->flops + loads + LOAD_COST) + LAUNCH_COST;
        for (int k = 0; k < s.count; k++)
            store += LOAD_COST * fmin(s.evals[k], count) + fmax(0, s.evals[k] - count);
        info->stored = recompute > store && !one_kernel(w, n);
    }
}

/* ---- places ---- */
static const char *node_name(anl_work *w, const anl_node *n)
{
    const anl_op_info *op = n->op < ANL_OP_COUNT ? anl_op_describe(n->op) : NULL;
    const char *what = "value";
    if (n->op == ANL_OP_SCALAR) {
        static const char *const names[] = {
#define X(name, text, arity, types, flops) text,
            ANL_SCALARS(X)
#undef X
        };
        what = names[n->attrs.scalar];
    } else if (op && op->name) {
        what = op->name;
    }
    return n->path && n->path[0] ? anl_arena_printf(w->out, "%s %s", n->path, what) : anl_arena_text(w->out, what);
}

static void place_natural(anl_work *w, anl_node *n, anl_space space, const char *name)
{
    anl_place *at = &w->info[n->id].at;
    at->buffer = anl_work_buffer(w, space, n->dtype, anl_node_count(n), name, n);
    at->base = 0;
    natural(n, at->stride);
}

static void new_root(anl_work *w, anl_root r)
{
    r.kernel = -1;
    ANL_PUSH(w->arena, w->roots, w->root_count, w->root_capacity, r);
}

/* The place of a movement node's input, given the node's: the inverse of a view. False where elements would be left out or
 * doubled. */
static bool place_through(const anl_node *n, const anl_place *out, anl_place *in)
{
    const anl_node *x = n->inputs[0];
    const anl_attrs *a = &n->attrs;
    *in = (anl_place){.buffer = out->buffer, .base = out->base};
    for (int i = 0; i < x->rank; i++) {
        int at = axis_at(n, x->axes[i].id);
        switch ((int)n->op) {
        case ANL_OP_RENAME:
            in->stride[i] = out->stride[i];
            break;
        case ANL_OP_TRANSPOSE:
        case ANL_OP_STOP_GRADIENT:
            in->stride[i] = out->stride[at];
            break;
        case ANL_W_SQUEEZE:
            in->stride[i] = at >= 0 ? out->stride[at] : 0;
            break;
        case ANL_OP_PLACE:
            in->stride[i] = out->stride[at];
            if (x->axes[i].id == a->axis[0]) {
                if (a->step != 1)
                    return false;
                in->base += a->start * out->stride[at];
            }
            break;
        case ANL_OP_MERGE: {
            int part = -1;
            for (int p = 0; p < a->over_count; p++)
                if (a->over[p] == x->axes[i].id)
                    part = p;
            if (part < 0) {
                in->stride[i] = out->stride[at];
                break;
            }
            int64_t s = out->stride[axis_at(n, a->axis[0])];
            for (int p = part + 1; p < a->over_count; p++)
                s *= anl_node_size(x, a->over[p]);
            in->stride[i] = s;
            break;
        }
        case ANL_OP_SPLIT: {
            if (x->axes[i].id != a->axis[0]) {
                in->stride[i] = out->stride[at];
                break;
            }
            int64_t expect = 0;
            for (int p = a->over_count - 1; p >= 0; p--) {
                int from = axis_at(n, a->over[p]);
                if (p == a->over_count - 1)
                    in->stride[i] = out->stride[from];
                else if (out->stride[from] != expect)
                    return false;
                expect = out->stride[from] * n->axes[from].size;
            }
            break;
        }
        default:
            return false;
        }
    }
    return true;
}

/* A buffer for the part of a concat's buffer that one piece fills, so that hazards are judged by the part: if it is whole rows
 * and aligned. */
static bool narrow(anl_work *w, const anl_node *n, anl_place *at, bool try)
{
    int64_t low = at->base, high = at->base;
    for (int i = 0; i < n->rank; i++)
        high += at->stride[i] * (n->axes[i].size - 1);
    anl_wbuffer whole = w->buffers[at->buffer];
    int esize = anl_work_esize(w, whole.b.dtype);
    int64_t count = high - low + 1;
    if (whole.b.space == ANL_SPACE_STATE || low * esize % ANL_ALIGNMENT != 0 || count != anl_node_count(n) ||
        count == whole.b.count)
        return false;
    if (try)
        return true;
    anl_wbuffer b = whole;
    b.parent = whole.parent >= 0 ? whole.parent : at->buffer;
    b.inside = whole.inside + low * esize;
    b.b.count = count;
    b.b.bytes = count * esize;
    b.b.name = node_name(w, n);
    ANL_PUSH(w->arena, w->buffers, w->buffer_count, w->buffer_capacity, b);
    at->buffer = w->buffer_count - 1;
    at->base = 0;
    return true;
}

static anl_root piece_root(anl_node *piece, const anl_place *at, bool update, int32_t concat)
{
    anl_root r = {.concat = concat, .node = piece, .rank = piece->rank, .to = *at, .update = update};
    memcpy(r.axes, piece->axes, sizeof r.axes);
    return r;
}

/* A stored concat is filled in place: what is computed only for it is computed there, the rest is copied, pads are written by one
 * kernel. */
static void fill_concat(anl_work *w, anl_node *n, anl_root **copies, int *count, int *capacity)
{
    anl_info *info = &w->info[n->id];
    info->pieces = true;
    int at_axis = axis_at(n, n->attrs.axis[0]);
    int64_t offset = 0;
    int32_t *pads = NULL;
    int pad_count = 0, pad_capacity = 0;
    bool all_narrow = true;
    int first_copy = *count, aliased_count = 0;
    anl_node **aliased = ANL_NEW_ARRAY(w->arena, anl_node *, n->input_count + 1);
    for (int i = 0; i < n->input_count; i++) {
        anl_node *x = n->inputs[i];
        anl_place at = {.buffer = info->at.buffer, .base = info->at.base + offset * info->at.stride[at_axis]};
        for (int k = 0; k < x->rank; k++)
            at.stride[k] = info->at.stride[axis_at(n, x->axes[k].id)];
        offset += anl_node_size(x, n->attrs.axis[0]);
        anl_node *q = x;
        anl_place to = at, through;
        int pad_before = pad_count;
        bool ok = !w->options.no_fusion;
        for (;;) {
            const anl_info *qi = &w->info[q->id];
            if (!ok || w->uses[q->id] != 1 || w->extra[q->id] != 0 || qi->source || qi->host || qi->aliased ||
                q->op == ANL_OP_CONST) {
                ok = false;
                break;
            }
            if (!anl_is_inline_movement(q->op) || (qi->stored && !qi->forced))
                break;
            if (!place_through(q, &to, &through)) {
                ok = false;
                break;
            }
            if (q->op == ANL_OP_PLACE) {
                int64_t inner = anl_node_size(q->inputs[0], q->attrs.axis[0]), outer = anl_node_size(q, q->attrs.axis[0]);
                int64_t stride = to.stride[axis_at(q, q->attrs.axis[0])];
                if (q->rank != 1 || q->attrs.value != 0) {
                    ok = false;
                    break;
                }
                for (int64_t e = 0; e < outer; e++)
                    if (e < q->attrs.start || e >= q->attrs.start + inner)
                        ANL_PUSH(w->arena, pads, pad_count, pad_capacity, (int32_t)(to.base + e * stride));
            }
            to = through;
            q = q->inputs[0];
        }
        if (ok && w->info[q->id].absorbed >= 0)
            ok = false;
        if (ok) {
            anl_info *qi = &w->info[q->id];
            qi->at = to;
            aliased[aliased_count++] = q;
            all_narrow = all_narrow && narrow(w, q, &to, true);
            qi->stored = qi->aliased = true;
            qi->concat = n->id;
        } else {
            pad_count = pad_before;
            ANL_PUSH(w->arena, *copies, *count, *capacity, piece_root(x, &at, false, n->id));
            all_narrow = all_narrow && narrow(w, x, &at, true);
        }
    }
    /* all or none: one kernel may fill two pieces, and its arguments must not overlap */
    for (int i = 0; all_narrow && i < aliased_count; i++)
        narrow(w, aliased[i], &w->info[aliased[i]->id].at, false);
    for (int i = first_copy; all_narrow && i < *count; i++)
        narrow(w, (*copies)[i].node, &(*copies)[i].to, false);
    if (pad_count > 0) {
        anl_root r = {
            .concat = n->id, .node = n, .fill = true, .fill_value = 0, .to = info->at, .rank = 1, .axes = {{-1, pad_count}}};
        r.fill_table = anl_work_buffer(w, ANL_SPACE_TABLE, ANL_I32, pad_count, "pads", n);
        int32_t *copy = ANL_NEW_ARRAY(w->out, int32_t, pad_count);
        memcpy(copy, pads, sizeof(int32_t) * (size_t)pad_count);
        w->buffers[r.fill_table].b.table = copy;
        ANL_PUSH(w->arena, *copies, *count, *capacity, r);
    }
}

static void update_roots(anl_work *w, int state)
{
    anl_node *n = w->updates[state];
    const anl_state *s = w->graph->states[state];
    const anl_state_place *place = &w->layout->places[w->state_place[s->id]];
    anl_place at = {.buffer = w->state_buffer[w->state_place[s->id]]};
    if (n->op == ANL_OP_STATE && n->attrs.state == s)
        return; /* unchanged */
    bool whole = n->rank == s->rank;
    for (int i = 0; i < n->rank; i++) {
        int d = 0;
        while (d < s->rank && s->axes[d].id != n->axes[i].id)
            d++;
        if (d == s->rank) {
            anl_work_fail(w, ANL_A_program_invalid, n, "the update of %s has an axis that the state lacks", s->path);
            return;
        }
        at.stride[i] = place->stride[d];
    }
    if (n->op == ANL_OP_CONCAT && whole && !w->info[n->id].stored) {
        int axis = axis_at(n, n->attrs.axis[0]);
        for (int i = 0; i < n->input_count; i++) {
            anl_node *x = n->inputs[i];
            anl_place to = {.buffer = at.buffer, .base = at.base};
            for (int k = 0; k < x->rank; k++)
                to.stride[k] = at.stride[axis_at(n, x->axes[k].id)];
            at.base += at.stride[axis] * anl_node_size(x, n->attrs.axis[0]);
            new_root(w, piece_root(x, &to, true, -1));
        }
        return;
    }
    anl_root r = {.concat = -1, .node = n, .rank = n->rank, .to = at, .update = true};
    memcpy(r.axes, n->axes, sizeof r.axes);
    if (!whole) { /* constant along the axes that it lacks */
        r.rank = 0;
        for (int i = 0; i < s->rank; i++) {
            int d = s->order[i];
            r.to.stride[r.rank] = place->stride[d];
            r.axes[r.rank++] = s->axes[d];
        }
    }
    new_root(w, r);
}

void anl_work_place(anl_work *w)
{
    w->output_at = ANL_NEW_ARRAY(w->arena, anl_place, w->graph->output_count + 1);
    /* outputs first: what they name is computed in the output's buffer */
    for (int i = 0; i < w->graph->output_count; i++) {
        anl_node *n = w->outputs[i];
        if (n && w->info[n->id].stored && !w->info[n->id].source && w->info[n->id].at.buffer < 0)
            place_natural(w, n, ANL_SPACE_OUTPUT, anl_arena_text(w->out, w->graph->outputs[i].name));
    }
    anl_root *copies = NULL;
    int copy_count = 0, copy_capacity = 0;
    int32_t *copy_start = ANL_NEW_ARRAY(w->arena, int32_t, w->node_count + 1),
            *copy_end = ANL_NEW_ARRAY(w->arena, int32_t, w->node_count + 1);
    for (int i = w->node_count - 1; i >= 0; i--) {
        anl_node *n = w->nodes[i];
        anl_info *info = &w->info[i];
        if (!info->stored || info->source)
            continue;
        if (info->at.buffer < 0)
            place_natural(w, n, ANL_SPACE_TEMP, node_name(w, n));
        copy_start[i] = copy_count;
        if (n->op == ANL_OP_CONCAT)
            fill_concat(w, n, &copies, &copy_count, &copy_capacity);
        copy_end[i] = copy_count;
    }
    for (int i = 0; i < w->node_count; i++) {
        anl_node *n = w->nodes[i];
        anl_info *info = &w->info[i];
        if (!info->stored || info->source)
            continue;
        for (int c = copy_start[i]; c < copy_end[i]; c++)
            new_root(w, copies[c]);
        if (info->pieces)
            continue;
        anl_root r = {.concat = info->concat, .node = n, .rank = n->rank, .to = info->at, .own = true};
        memcpy(r.axes, n->axes, sizeof r.axes);
        new_root(w, r);
    }
    for (int i = 0; i < w->graph->output_count; i++) {
        anl_node *n = w->outputs[i];
        anl_info *info = n ? &w->info[n->id] : NULL;
        if (n)
            w->output_at[i] = info->at;
        if (!n || !info->source)
            continue;
        anl_root r = {.concat = -1, .node = n, .rank = n->rank};
        memcpy(r.axes, n->axes, sizeof r.axes);
        r.to.buffer = anl_work_buffer(w, ANL_SPACE_OUTPUT, n->dtype, anl_node_count(n),
                                      anl_arena_text(w->out, w->graph->outputs[i].name), n);
        natural(n, r.to.stride);
        w->output_at[i] = r.to;
        new_root(w, r);
    }
    for (int i = 0; i < w->graph->state_count; i++)
        if (w->updates[i])
            update_roots(w, i);
}
