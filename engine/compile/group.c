/* Kernels: stores that share a domain are done together where that saves loads and closes no cycle.
 * In: roots in the order of their values. Out: w->groups: each a kernel's roots and domain.
 * A set of ancestors per group (a bitset) decides whether a merge would make a cycle. */
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

enum { READERS = 6, WEIGHT_LIMIT = 1500, DISTANCE = 600, GROUPS_LIMIT = 16384, SMALL = 16384 };

enum { BUCKETS = 256, RECENT = 4 };

typedef struct grouping {
    anl_work *w;
    int32_t recent[BUCKETS][RECENT]; /* latest MAP groups by domain; -1 */
    uint64_t *ancestors;             /* [groups][words]; NULL: nothing merges */
    int words;
    int32_t (*readers)[READERS]; /* by node: the latest groups that read it */
    uint8_t *reader_count;
    int32_t *state_nodes; /* ids of STATE nodes */
    int state_node_count;
    int32_t **state_readers; /* by node id: all groups that read it */
    int *state_reader_count, *state_reader_capacity;
} grouping;

static uint64_t set_hash(const anl_axis *axes, int rank, int salt)
{
    uint64_t h = 0;
    for (int i = 0; i < rank; i++) {
        int32_t item[3] = {axes[i].id, axes[i].size, salt};
        if (axes[i].size > 1)
            h += anl_hash(item, sizeof item, 3);
    }
    return h;
}

static bool has_bit(const grouping *g, int32_t group, int32_t ancestor)
{
    return g->ancestors[(size_t)group * (size_t)g->words + (size_t)(ancestor / 64)] >> (ancestor % 64) & 1;
}

static void producers(anl_work *w, int32_t leaf, int32_t **list, int *count)
{
    anl_info *info = &w->info[leaf];
    if (info->pieces) {
        *list = info->writers;
        *count = info->writer_count;
    } else {
        *list = &info->kernel;
        *count = info->kernel >= 0 ? 1 : 0;
    }
}

static bool identity_step(anl_work *w, const anl_node *n, bool top, bool same, int32_t group, int *steps)
{
    if (++*steps > 3000)
        return false;
    const anl_info *info = &w->info[n->id];
    if (!top && info->stored) {
        if (info->pieces) {
            for (int i = 0; i < info->writer_count; i++)
                if (info->writers[i] == group)
                    return false;
            return true;
        }
        return info->kernel != group || same;
    }
    bool keeps = n->op == ANL_OP_SCALAR || n->op == ANL_OP_TRANSPOSE || n->op == ANL_OP_STOP_GRADIENT;
    for (int i = 0; i < n->input_count; i++)
        if (!identity_step(w, n->inputs[i], false, same && keeps, group, steps))
            return false;
    return true;
}

/* True if the root reads what the group computes only at its own point (its value is then at hand without a load). */
static bool reads_own_point(anl_work *w, const anl_root *r, int32_t group)
{
    int steps = 0;
    const anl_info *info = &w->info[r->node->id];
    bool stored_elsewhere = !r->own && info->stored; /* a copy: the root is a load of the node itself */
    return identity_step(w, r->node, !stored_elsewhere, true, group, &steps);
}

static bool overlaps(anl_work *w, int32_t a, int32_t b)
{
    const anl_buffer *p = &w->buffers[a].b, *q = &w->buffers[b].b;
    return p->space == q->space && p->offset < q->offset + q->bytes && q->offset < p->offset + p->bytes;
}

static int64_t points_of(const anl_axis *axes, int rank)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= axes[i].size;
    return count;
}

/* Joining computes a value earlier than it is needed and so keeps it longer: that must be little memory, or soon. */
static bool near_enough(const anl_group *to, const anl_root *r)
{
    int64_t kept = points_of(to->kept, to->kept_rank);
    return r->update || r->node->id - to->order <= DISTANCE || kept <= SMALL ||
           (to->kind == ANL_KERNEL_REDUCE && points_of(to->reduced, to->reduced_rank) >= 4);
}

/* An arg max over several axes counts in their order: only where the group has the same. */
static bool same_reduced_order(const anl_group *to, const anl_root *r)
{
    int at = 0;
    const anl_node *x = r->node->inputs[0];
    for (int i = 0; i < r->node->attrs.over_count; i++) {
        int32_t axis = r->node->attrs.over[i];
        if (anl_node_size(x, axis) == 1)
            continue;
        while (at < to->reduced_rank && to->reduced[at].size == 1)
            at++;
        if (at == to->reduced_rank || to->reduced[at++].id != axis)
            return false;
    }
    return true;
}

static bool may_join(grouping *g, const anl_root *r, anl_kernel_kind kind, int32_t k)
{
    anl_work *w = g->w;
    anl_group *to = &w->groups[k];
    if (to->no_join || to->has_fill || to->root_count >= 8)
        return false;
    if (!near_enough(to, r) || (kind == ANL_KERNEL_REDUCE && r->node->op == ANL_OP_ARGMAX && !same_reduced_order(to, r)))
        return false;
    if (to->kind == ANL_KERNEL_CONTRACT && !(r->update && r->leaf_count == 1 && w->info[r->leaf[0]].kernel == k))
        return false; /* no more than writing the result to a state as well */
    if (to->weight + w->info[r->node->id].weight > WEIGHT_LIMIT)
        return false;
    int extra = 0;
    bool depends = false;
    for (int l = 0; l < r->leaf_count; l++) {
        bool known = false;
        for (int m = 0; m < to->leaf_count && !known; m++)
            known = to->leaves[m] == r->leaf[l];
        int32_t *list;
        int count;
        producers(w, r->leaf[l], &list, &count);
        bool own = false;
        for (int p = 0; p < count; p++) {
            if (list[p] == k)
                own = true;
            else if (has_bit(g, list[p], k))
                return false;
        }
        depends = depends || own;
        extra += !known && !own;
    }
    int detours = r->update; /* a state that is read at other points than it is written at is written through memory of its own */
    for (int i = 0; i < to->root_count; i++)
        detours += w->roots[to->roots[i]].update;
    if (to->leaf_count + to->outputs + extra + 1 + (detours > 1 ? detours : 1) > ANL_MAX_ARGS)
        return false;
    if (kind == ANL_KERNEL_REDUCE && depends)
        return false;
    if (to->kind == ANL_KERNEL_REDUCE && kind == ANL_KERNEL_MAP && !depends)
        return false;
    if (depends && !reads_own_point(w, r, k))
        return false;
    if (r->update) /* all readers of the old state come first: none may come after this group */
        for (int s = 0; s < g->state_node_count; s++) {
            int32_t n = g->state_nodes[s];
            if (!overlaps(w, w->info[n].at.buffer, r->to.buffer))
                continue;
            for (int i = 0; i < g->state_reader_count[n]; i++)
                if (g->state_readers[n][i] != k && has_bit(g, g->state_readers[n][i], k))
                    return false;
        }
    return true;
}

static void add_ancestors(grouping *g, const anl_root *r, int32_t k)
{
    if (!g->ancestors)
        return;
    anl_work *w = g->w;
    size_t words = (size_t)g->words;
    uint64_t *mine = g->ancestors + (size_t)k * words;
    uint64_t *add = anl_malloc(sizeof(uint64_t) * words);
    memset(add, 0, sizeof(uint64_t) * words);
    for (int l = 0; l < r->leaf_count; l++) {
        int32_t *list;
        int count;
        producers(w, r->leaf[l], &list, &count);
        for (int p = 0; p < count; p++) {
            if (list[p] == k)
                continue;
            const uint64_t *theirs = g->ancestors + (size_t)list[p] * words;
            for (size_t i = 0; i < words; i++)
                add[i] |= theirs[i];
            add[list[p] / 64] |= 1ull << (list[p] % 64);
        }
    }
    bool news = false;
    for (size_t i = 0; i < words; i++)
        news = news || (add[i] & ~mine[i]);
    if (news) {
        for (size_t i = 0; i < words; i++)
            mine[i] |= add[i];
        for (int32_t x = 0; x < w->group_count; x++)
            if (x != k && has_bit(g, x, k))
                for (size_t i = 0; i < words; i++)
                    g->ancestors[(size_t)x * words + i] |= add[i];
    }
    free(add);
}

static void join(grouping *g, int32_t root, int32_t k)
{
    anl_work *w = g->w;
    anl_root *r = &w->roots[root];
    anl_group *to = &w->groups[k];
    add_ancestors(g, r, k);
    r->kernel = k;
    ANL_PUSH(w->arena, to->roots, to->root_count, to->root_capacity, root);
    for (int l = 0; l < r->leaf_count; l++) {
        bool known = false;
        for (int m = 0; m < to->leaf_count && !known; m++)
            known = to->leaves[m] == r->leaf[l];
        if (known || w->info[r->leaf[l]].kernel == k)
            continue;
        ANL_PUSH(w->arena, to->leaves, to->leaf_count, to->leaf_capacity, r->leaf[l]);
        int32_t n = r->leaf[l];
        if (g->reader_count[n] < READERS) {
            g->readers[n][g->reader_count[n]++] = k;
        } else {
            memmove(g->readers[n], g->readers[n] + 1, sizeof(int32_t) * (READERS - 1));
            g->readers[n][READERS - 1] = k;
        }
        if (w->nodes[n]->op == ANL_OP_STATE)
            ANL_PUSH(w->arena, g->state_readers[n], g->state_reader_count[n], g->state_reader_capacity[n], k);
    }
    to->outputs++;
    to->weight += w->info[r->node->id].weight;
    to->update = to->update || r->update;
    if (r->update && to->root_count == 1)
        to->order = INT32_MAX; /* nothing but updates: at the end */
    else if (!r->update && to->order < r->node->id)
        to->order = r->node->id;
    if (r->own)
        w->info[r->node->id].kernel = k;
    for (int32_t c = r->concat; c >= 0; c = w->info[c].concat)
        ANL_PUSH(w->arena, w->info[c].writers, w->info[c].writer_count, w->info[c].writer_capacity, k);
}

static int32_t new_group(grouping *g, const anl_root *r, anl_kernel_kind kind, uint64_t kept, uint64_t full)
{
    anl_work *w = g->w;
    anl_group k = {.kind = kind, .merged_into = -1, .domain = kept ^ full * 0x9E3779B97F4A7C15ull, .position = -1};
    k.kept_rank = r->rank;
    memcpy(k.kept, r->axes, sizeof(anl_axis) * (size_t)r->rank);
    if (kind == ANL_KERNEL_REDUCE) {
        const anl_node *x = r->node->inputs[0];
        /* the order of the input's axes is its order in memory, if it has one */
        k.kept_rank = 0;
        if (r->node->op == ANL_OP_ARGMAX)
            for (int i = 0; i < r->node->attrs.over_count; i++)
                k.reduced[k.reduced_rank++] = (anl_axis){r->node->attrs.over[i], anl_node_size(x, r->node->attrs.over[i])};
        for (int i = 0; i < x->rank; i++) {
            bool over = false;
            for (int j = 0; j < r->node->attrs.over_count; j++)
                over = over || r->node->attrs.over[j] == x->axes[i].id;
            if (!over)
                k.kept[k.kept_rank++] = x->axes[i];
            else if (r->node->op != ANL_OP_ARGMAX)
                k.reduced[k.reduced_rank++] = x->axes[i];
        }
    }
    k.has_fill = r->fill;
    ANL_PUSH(w->arena, w->groups, w->group_count, w->group_capacity, k);
    return w->group_count - 1;
}

void anl_work_group(anl_work *w)
{
    grouping g = {.w = w};
    memset(g.recent, -1, sizeof g.recent);
    g.readers = (int32_t(*)[READERS])anl_arena_alloc(w->arena, sizeof(int32_t[READERS]) * (size_t)(w->node_count + 1));
    g.reader_count = ANL_NEW_ARRAY(w->arena, uint8_t, w->node_count + 1);
    g.state_readers = ANL_NEW_ARRAY(w->arena, int32_t *, w->node_count + 1);
    g.state_reader_count = ANL_NEW_ARRAY(w->arena, int, w->node_count + 1);
    g.state_reader_capacity = ANL_NEW_ARRAY(w->arena, int, w->node_count + 1);
    g.state_nodes = ANL_NEW_ARRAY(w->arena, int32_t, w->node_count + 1);
    for (int i = 0; i < w->node_count; i++)
        if (w->nodes[i]->op == ANL_OP_STATE)
            g.state_nodes[g.state_node_count++] = i;
    if (!w->options.no_fusion && w->root_count <= GROUPS_LIMIT) {
        g.words = (w->root_count + 63) / 64;
        g.ancestors = ANL_NEW_ARRAY(w->arena, uint64_t, (size_t)g.words * (size_t)(w->root_count + 1));
    }
    for (int32_t i = 0; i < w->root_count; i++) {
        anl_root *r = &w->roots[i];
        anl_kernel_kind kind = ANL_KERNEL_MAP;
        const anl_info *info = &w->info[r->node->id];
        anl_node *contract = NULL;
        if (r->own && r->node->op == ANL_OP_CONTRACT)
            contract = r->node;
        else if (r->own && info->absorbs >= 0)
            contract = w->nodes[info->absorbs];
        if (contract)
            kind = ANL_KERNEL_CONTRACT;
        else if (r->own && anl_is_reduction(r->node->op))
            kind = ANL_KERNEL_REDUCE;
        if (!r->fill) {
            int limit = (int)ANL_COUNT(r->leaf) - 2;
            if (!r->own && info->stored)
                r->leaf[r->leaf_count++] = r->node->id;
            else
                r->leaf_count = anl_work_leaves(w, r->node, r->leaf, limit);
            if (r->leaf_count > ANL_MAX_ARGS - 1)
                anl_work_fail(w, ANL_A_program_limit, r->node, "one kernel would read %d tensors; the limit is %d", r->leaf_count,
                              ANL_MAX_ARGS - 1);
        }
        uint64_t kept = set_hash(r->axes, r->rank, 0), full = 0;
        if (kind == ANL_KERNEL_REDUCE)
            full = set_hash(r->node->inputs[0]->axes, r->node->inputs[0]->rank, 1);
        int32_t into = -1;
        if (g.ancestors && !contract && !r->fill) {
            for (int l = r->leaf_count - 1; l >= 0 && into < 0; l--) { /* a producer */
                int32_t k = w->info[r->leaf[l]].kernel;
                if (k < 0 || kind == ANL_KERNEL_REDUCE)
                    continue;
                if (set_hash(w->groups[k].kept, w->groups[k].kept_rank, 0) == kept && may_join(&g, r, kind, k))
                    into = k;
            }
            for (int l = 0; l < r->leaf_count && into < 0; l++) /* a sibling */
                for (int s = g.reader_count[r->leaf[l]] - 1; s >= 0 && into < 0; s--) {
                    int32_t k = g.readers[r->leaf[l]][s];
                    if (w->groups[k].kind == kind && w->groups[k].domain == (kept ^ full * 0x9E3779B97F4A7C15ull) &&
                        may_join(&g, r, kind, k))
                        into = k;
                }
            /* small kernels cost their launch: any earlier one over the same points */
            if (into < 0 && kind == ANL_KERNEL_MAP && !r->update && points_of(r->axes, r->rank) <= SMALL)
                for (int s = 0; s < RECENT && into < 0; s++) {
                    int32_t k = g.recent[(unsigned)(kept >> 3) % BUCKETS][s];
                    if (k >= 0 && w->groups[k].domain == kept && w->groups[k].kind == ANL_KERNEL_MAP && may_join(&g, r, kind, k))
                        into = k;
                }
        }
        if (into < 0) {
            into = new_group(&g, r, kind, kept, full);
            w->groups[into].contract = contract;
            if (kind == ANL_KERNEL_MAP) {
                int32_t *list = g.recent[(unsigned)(kept >> 3) % BUCKETS];
                memmove(list + 1, list, sizeof(int32_t) * (RECENT - 1));
                list[0] = into;
            }
        }
        join(&g, i, into);
    }
}
