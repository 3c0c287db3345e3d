/* The plan: order of the kernels, memory of the intermediate values, barriers.
 * In: finished kernels. Out: w->order, offsets of all buffers, in_place and barrier_before.
 * State is read as it was at the start of the step: a kernel that writes state comes after all readers of the old bytes; where
 * that is impossible, the new value goes to temporary memory and is copied at the end. */
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

typedef struct span_of {
    int32_t region; /* -1: state space; else the whole buffer's number */
    int64_t low, high;
} span_of;

static span_of range_of(const anl_work *w, int32_t buffer)
{
    const anl_wbuffer *b = &w->buffers[buffer];
    if (b->b.space == ANL_SPACE_STATE)
        return (span_of){-1, b->b.offset, b->b.offset + b->b.bytes};
    return (span_of){b->parent >= 0 ? b->parent : buffer, b->inside, b->inside + b->b.bytes};
}

static bool meet(span_of a, span_of b) { return a.region == b.region && a.low < b.high && b.low < a.high; }

/* ---- state written in place ---- */
static void copy_kernel(anl_work *w, int32_t from, const anl_root *r)
{
    anl_group g = {.kind = ANL_KERNEL_MAP, .merged_into = -1, .update = true, .order = INT32_MAX, .position = -1};
    anl_kernel *k = &g.kernel;
    int64_t stride[ANL_MAX_DIMS];
    for (int i = 0; i < r->rank; i++) {
        if (r->axes[i].size == 1)
            continue;
        int at = k->dim_count++;
        for (; at > 0 && stride[at - 1] < r->to.stride[i]; at--) {
            stride[at] = stride[at - 1];
            k->dims[at] = k->dims[at - 1];
        }
        stride[at] = r->to.stride[i];
        k->dims[at] = r->axes[i].size;
    }
    for (int d = k->dim_count - 2; d >= 0; d--)
        if (stride[d] == stride[d + 1] * k->dims[d + 1] && !w->options.no_fusion) {
            k->dims[d] *= k->dims[d + 1];
            stride[d] = stride[d + 1];
            memmove(&k->dims[d + 1], &k->dims[d + 2], sizeof k->dims[0] * (size_t)(k->dim_count - d - 2));
            memmove(&stride[d + 1], &stride[d + 2], sizeof stride[0] * (size_t)(k->dim_count - d - 2));
            k->dim_count--;
        }
    if (k->dim_count == 0) {
        k->dims[0] = 1;
        stride[0] = 0;
        k->dim_count = 1;
    }
    k->kind = ANL_KERNEL_MAP;
    k->kept_count = k->dim_count;
    k->instrs = ANL_NEW_ARRAY(w->out, anl_instr, 4 * k->dim_count + 6);
    anl_instr *list = k->instrs;
    int n = 0, sum = -1;
#define PUT(...) (list[n] = (anl_instr){__VA_ARGS__}, n++)
    for (int d = 0; d < k->dim_count; d++) {
        if (stride[d] == 0)
            continue;
        int t = PUT(.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = d);
        if (stride[d] != 1) {
            int c = PUT(.op = ANL_X_CONST, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .value = (double)stride[d]);
            t = PUT(.op = ANL_S_MUL, .dtype = ANL_I32, .a = t, .b = c, .c = -1);
        }
        sum = sum < 0 ? t : PUT(.op = ANL_S_ADD, .dtype = ANL_I32, .a = sum, .b = t, .c = -1);
    }
    if (r->to.base != 0 || sum < 0) {
        int c = PUT(.op = ANL_X_CONST, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .value = (double)r->to.base);
        sum = sum < 0 ? c : PUT(.op = ANL_S_ADD, .dtype = ANL_I32, .a = sum, .b = c, .c = -1);
    }
    int v = PUT(.op = ANL_X_LOAD, .dtype = (uint8_t)w->buffers[from].b.dtype, .a = sum, .b = -1, .c = -1, .slot = 0);
#undef PUT
    k->instr_count = k->body_count = n;
    k->stores = ANL_NEW(w->out, anl_store);
    k->store_count = 1;
    k->stores[0] = (anl_store){.arg = 1, .index = sum, .value = v};
    k->arg_count = 2;
    k->args[0] = (anl_kernel_arg){.buffer = from, .read = true};
    k->args[1] = (anl_kernel_arg){.buffer = r->to.buffer, .written = true};
    k->name = anl_arena_printf(w->out, "copy=>%s", w->buffers[r->to.buffer].b.name);
    k->owner = anl_arena_text(w->out, w->buffers[r->to.buffer].b.name);
    k->stage = ANL_STAGE_UPDATE;
    double points = 1;
    for (int d = 0; d < k->dim_count; d++)
        points *= k->dims[d];
    k->bytes = 2 * points * anl_work_esize(w, w->buffers[from].b.dtype);
    ANL_PUSH(w->arena, w->groups, w->group_count, w->group_capacity, g);
}

/* Store s of a group goes through temporary memory. */
static void detour(anl_work *w, int32_t group, int s)
{
    anl_group *g = &w->groups[group];
    anl_kernel *k = &g->kernel;
    const anl_root *r = &w->roots[g->roots[s]];
    anl_buffer state = w->buffers[r->to.buffer].b;
    int32_t temp =
        anl_work_buffer(w, ANL_SPACE_TEMP, state.dtype, state.count, anl_arena_printf(w->out, "new %s", state.name), r->node);
    int old = k->stores[s].arg;
    bool shared = k->args[old].read;
    for (int i = 0; i < k->store_count; i++)
        shared = shared || (i != s && k->stores[i].arg == old);
    if (!shared) {
        k->args[old].buffer = temp;
    } else {
        if (k->arg_count == ANL_MAX_ARGS) {
            anl_work_fail(w, ANL_A_program_limit, r->node, "one kernel would use more than %d tensors", ANL_MAX_ARGS);
            return;
        }
        k->args[k->arg_count] = (anl_kernel_arg){.buffer = temp, .written = true};
        k->stores[s].arg = k->arg_count++;
        bool written = false;
        for (int i = 0; i < k->store_count; i++)
            written = written || k->stores[i].arg == old;
        k->args[old].written = written;
    }
    copy_kernel(w, temp, r);
}

/* A kernel may write state that it reads only if each point reads just the element that it writes. */
static bool in_place_ok(const anl_work *w, const anl_kernel *k, int s, bool *in_place)
{
    int arg = k->stores[s].arg;
    span_of to = range_of(w, k->args[arg].buffer);
    for (int a = 0; a < k->arg_count; a++) {
        if (a == arg || !meet(to, range_of(w, k->args[a].buffer)))
            continue;
        return false; /* the same bytes through another buffer */
    }
    if (!k->args[arg].read)
        return true;
    if (k->kind == ANL_KERNEL_CONTRACT && (k->contract.a_arg == arg || k->contract.b_arg == arg))
        return false;
    for (int n = 0; n < k->instr_count; n++) {
        if (k->instrs[n].op != ANL_X_LOAD || k->instrs[n].slot != arg)
            continue;
        if (n < k->body_count && k->kind == ANL_KERNEL_REDUCE)
            return false;
        bool own = false;
        for (int i = 0; i < k->store_count; i++)
            own = own || (k->stores[i].arg == arg && k->stores[i].index == k->instrs[n].a);
        if (!own)
            return false;
    }
    *in_place = true;
    return true;
}

static void check_in_place(anl_work *w)
{
    int count = w->group_count;
    for (int i = 0; i < count && !w->failed; i++) {
        if (w->groups[i].merged_into != -1)
            continue;
        for (bool again = true; again && !w->failed;) {
            again = false;
            bool in_place = false;
            for (int s = 0; s < w->groups[i].kernel.store_count && !again; s++) {
                const anl_kernel *k = &w->groups[i].kernel;
                if (w->buffers[k->args[k->stores[s].arg].buffer].b.space != ANL_SPACE_STATE)
                    continue;
                if (!in_place_ok(w, k, s, &in_place)) {
                    detour(w, i, s);
                    again = true;
                }
            }
            w->groups[i].kernel.in_place = in_place;
        }
    }
}

/* ---- order ---- */
typedef struct use {
    int32_t group;
    span_of range;
} use;

static int by_region(const void *a, const void *b)
{
    const use *p = a, *q = b;
    if (p->range.region != q->range.region)
        return p->range.region < q->range.region ? -1 : 1;
    if (p->range.low != q->range.low)
        return p->range.low < q->range.low ? -1 : 1;
    return (p->group > q->group) - (p->group < q->group);
}

static void must_precede(anl_work *w, int32_t first, int32_t then)
{
    anl_group *g = &w->groups[then];
    if (first == then)
        return;
    for (int i = g->before_count - 1; i >= 0 && i >= g->before_count - 8; i--)
        if (g->before[i] == first)
            return;
    ANL_PUSH(w->arena, g->before, g->before_count, g->before_capacity, first);
}

static void find_dependencies(anl_work *w)
{
    use *writes = NULL, *reads = NULL;
    int write_count = 0, write_capacity = 0, read_count = 0, read_capacity = 0;
    for (int i = 0; i < w->group_count; i++) {
        anl_group *g = &w->groups[i];
        g->before_count = 0;
        if (g->merged_into != -1)
            continue;
        for (int a = 0; a < g->kernel.arg_count; a++) {
            use u = {i, range_of(w, g->kernel.args[a].buffer)};
            if (g->kernel.args[a].read)
                ANL_PUSH(w->arena, reads, read_count, read_capacity, u);
            if (g->kernel.args[a].written)
                ANL_PUSH(w->arena, writes, write_count, write_capacity, u);
        }
    }
    if (write_count > 0)
        qsort(writes, (size_t)write_count, sizeof writes[0], by_region);
    for (int i = 0; i < read_count; i++) {
        /* the first write of the region */
        int low = 0, high = write_count;
        while (low < high) {
            int mid = (low + high) / 2;
            if (writes[mid].range.region < reads[i].range.region)
                low = mid + 1;
            else
                high = mid;
        }
        for (int j = low;
             j < write_count && writes[j].range.region == reads[i].range.region && writes[j].range.low < reads[i].range.high;
             j++) {
            if (!meet(writes[j].range, reads[i].range))
                continue;
            if (reads[i].range.region == -1)
                must_precede(w, reads[i].group, writes[j].group); /* state: the old value is read */
            else
                must_precede(w, writes[j].group, reads[i].group);
        }
    }
    /* two writes of the same state bytes (an arena and a state inside it): in the order of the updates */
    for (int i = 0; i < write_count && writes[i].range.region == -1; i++)
        for (int j = i + 1; j < write_count && writes[j].range.region == -1 && writes[j].range.low < writes[i].range.high; j++)
            must_precede(w, writes[i].group < writes[j].group ? writes[i].group : writes[j].group,
                         writes[i].group < writes[j].group ? writes[j].group : writes[i].group);
}

/* Readers of each whole temporary buffer that are still to come, for the memory-aware order. */
typedef struct ordering {
    anl_work *w;
    int32_t *waiting; /* by group: predecessors not yet done */
    int32_t **after;  /* by group: successors */
    int *after_count, *after_capacity;
    int32_t *left; /* by buffer: groups that use it and are to come */
    bool *live;    /* by buffer */
    int64_t now, peak;
} ordering;

static int64_t whole_bytes(const anl_work *w, int32_t region)
{
    return (w->buffers[region].b.bytes + ANL_ALIGNMENT - 1) / ANL_ALIGNMENT * ANL_ALIGNMENT;
}

static int32_t temp_region(const anl_work *w, int32_t buffer)
{
    if (w->buffers[buffer].b.space != ANL_SPACE_TEMP)
        return -1;
    return w->buffers[buffer].parent >= 0 ? w->buffers[buffer].parent : buffer;
}

static int regions_of(const anl_work *w, const anl_group *g, int32_t *list)
{
    int count = 0;
    for (int a = 0; a < g->kernel.arg_count; a++) {
        int32_t r = temp_region(w, g->kernel.args[a].buffer);
        bool known = r < 0;
        for (int i = 0; i < count && !known; i++)
            known = list[i] == r;
        if (!known)
            list[count++] = r;
    }
    return count;
}

static int64_t growth(ordering *o, int32_t group, bool commit)
{
    int32_t list[ANL_MAX_ARGS];
    int count = regions_of(o->w, &o->w->groups[group], list);
    int64_t more = 0, less = 0;
    for (int i = 0; i < count; i++) {
        if (!o->live[list[i]])
            more += whole_bytes(o->w, list[i]);
        if (o->left[list[i]] == 1)
            less += whole_bytes(o->w, list[i]);
        if (commit) {
            o->live[list[i]] = --o->left[list[i]] > 0;
        }
    }
    if (commit) {
        o->now += more;
        if (o->now > o->peak)
            o->peak = o->now;
        o->now -= less;
    }
    return more - less;
}

static bool earlier(const anl_work *w, int32_t a, int32_t b)
{
    return w->groups[a].order != w->groups[b].order ? w->groups[a].order < w->groups[b].order : a < b;
}

typedef enum order_policy {
    ORDER_NATURAL,  /* as the values come in the graph */
    ORDER_TOGETHER, /* nearly so, but what needs no barrier now comes first */
    ORDER_MEMORY,   /* what needs least new memory first */
} order_policy;

enum { TOGETHER_WINDOW = 250 };

/* Which of the ready groups comes next. latest: by group, the position of its last predecessor; open: first position since the
 * last barrier. */
static int pick_next(ordering *o, order_policy policy, const int32_t *ready, int ready_count, const int32_t *latest, int open)
{
    const anl_work *w = o->w;
    int first = 0;
    for (int i = 1; i < ready_count; i++)
        if (earlier(w, ready[i], ready[first]))
            first = i;
    if (policy == ORDER_TOGETHER && latest[ready[first]] >= open) {
        int best = -1;
        for (int i = 0; i < ready_count; i++) {
            bool near = w->groups[ready[i]].order - w->groups[ready[first]].order <= TOGETHER_WINDOW &&
                        w->groups[ready[i]].order != INT32_MAX;
            if (latest[ready[i]] < open && near && (best < 0 || earlier(w, ready[i], ready[best])))
                best = i;
        }
        return best >= 0 ? best : first;
    }
    if (policy == ORDER_MEMORY) {
        int pick = first;
        int64_t least = growth(o, ready[first], false);
        for (int i = 0; i < ready_count; i++) {
            int64_t more = growth(o, ready[i], false);
            bool better = more < least || (more == least && earlier(w, ready[i], ready[pick]));
            bool final = w->groups[ready[i]].order == INT32_MAX, pick_final = w->groups[ready[pick]].order == INT32_MAX;
            if (final != pick_final)
                better = pick_final;
            if (better) {
                pick = i;
                least = more;
            }
        }
        return pick;
    }
    return first;
}

/* Kahn's algorithm. Returns how many were ordered; -1: there is a cycle, and the groups on it have position -2. */
static int order_groups(anl_work *w, order_policy policy, int32_t *out, int64_t *peak, int *barriers)
{
    int n = w->group_count, count = 0, ready_count = 0, ready_capacity = 0, total = 0, open = 0;
    ordering o = {.w = w};
    o.waiting = ANL_NEW_ARRAY(w->arena, int32_t, n + 1);
    o.after = ANL_NEW_ARRAY(w->arena, int32_t *, n + 1);
    o.after_count = ANL_NEW_ARRAY(w->arena, int, n + 1);
    o.after_capacity = ANL_NEW_ARRAY(w->arena, int, n + 1);
    o.left = ANL_NEW_ARRAY(w->arena, int32_t, w->buffer_count + 1);
    o.live = ANL_NEW_ARRAY(w->arena, bool, w->buffer_count + 1);
    int32_t *ready = NULL, *latest = ANL_NEW_ARRAY(w->arena, int32_t, n + 1);
    *barriers = 0;
    for (int i = 0; i < n; i++) {
        anl_group *g = &w->groups[i];
        latest[i] = -1;
        if (g->merged_into != -1)
            continue;
        total++;
        int32_t list[ANL_MAX_ARGS];
        int regions = regions_of(w, g, list);
        for (int k = 0; k < regions; k++)
            o.left[list[k]]++;
        for (int k = 0; k < g->before_count; k++) {
            int32_t p = g->before[k];
            ANL_PUSH(w->arena, o.after[p], o.after_count[p], o.after_capacity[p], i);
            o.waiting[i]++;
        }
    }
    for (int i = 0; i < n; i++)
        if (w->groups[i].merged_into == -1 && o.waiting[i] == 0)
            ANL_PUSH(w->arena, ready, ready_count, ready_capacity, i);
    while (ready_count > 0) {
        int at = pick_next(&o, policy, ready, ready_count, latest, open);
        int32_t next = ready[at];
        ready[at] = ready[--ready_count];
        if (latest[next] >= open) {
            open = count;
            ++*barriers;
        }
        growth(&o, next, true);
        for (int k = 0; k < o.after_count[next]; k++) {
            int32_t s = o.after[next][k];
            latest[s] = count;
            if (--o.waiting[s] == 0)
                ANL_PUSH(w->arena, ready, ready_count, ready_capacity, s);
        }
        out[count++] = next;
    }
    *peak = o.peak;
    if (count == total)
        return count;
    /* a cycle: note who is left by leaving `position` at -2 */
    for (int i = 0; i < n; i++)
        w->groups[i].position = w->groups[i].merged_into == -1 ? -2 : -1;
    for (int i = 0; i < count; i++)
        w->groups[out[i]].position = -1;
    /* what only comes after a cycle is not on it */
    int32_t *followers = ANL_NEW_ARRAY(w->arena, int32_t, n + 1), *last = ANL_NEW_ARRAY(w->arena, int32_t, n + 1);
    int last_count = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; w->groups[i].position == -2 && k < w->groups[i].before_count; k++)
            followers[w->groups[i].before[k]]++;
    for (int i = 0; i < n; i++)
        if (w->groups[i].position == -2 && followers[i] == 0)
            last[last_count++] = i;
    while (last_count > 0) {
        anl_group *g = &w->groups[last[--last_count]];
        g->position = -1;
        for (int k = 0; k < g->before_count; k++)
            if (--followers[g->before[k]] == 0 && w->groups[g->before[k]].position == -2)
                last[last_count++] = g->before[k];
    }
    return -1;
}

static void schedule(anl_work *w)
{
    for (int round = 0; round < 3; round++) {
        find_dependencies(w);
        int32_t *best = NULL;
        int64_t least = INT64_MAX;
        int count = 0, fewest = 0;
        static const order_policy policies[] = {ORDER_NATURAL, ORDER_TOGETHER, ORDER_MEMORY};
        int tries = w->group_count <= 6000 ? (int)ANL_COUNT(policies) : 1;
        for (int k = 0; k < tries && count >= 0; k++) {
            int32_t *order = ANL_NEW_ARRAY(w->arena, int32_t, w->group_count + 1);
            int64_t peak = 0;
            int barriers = 0;
            count = order_groups(w, policies[k], order, &peak, &barriers);
            if (count < 0)
                break;
            /* memory first, unless it is about the same: then fewer barriers */
            bool better =
                !best || (double)peak < 0.97 * (double)least || ((double)peak < 1.03 * (double)least && barriers < fewest);
            if (better) {
                best = order;
                least = peak;
                fewest = barriers;
            }
        }
        if (count >= 0) {
            w->order = best;
            w->order_count = count;
            for (int i = 0; i < count; i++)
                w->groups[w->order[i]].position = i;
            return;
        }
        /* updates that read each other's states: through temporary memory */
        int n = w->group_count;
        bool any = false;
        for (int i = 0; i < n && !w->failed; i++) {
            if (w->groups[i].position != -2 || w->groups[i].root_count == 0) /* copies are at the end already */
                continue;
            bool changed = false;
            for (int s = 0; s < w->groups[i].kernel.store_count; s++) {
                const anl_kernel *k = &w->groups[i].kernel;
                if (w->buffers[k->args[k->stores[s].arg].buffer].b.space == ANL_SPACE_STATE) {
                    detour(w, i, s);
                    changed = any = true;
                }
            }
            if (changed) {
                w->groups[i].kernel.in_place = false;
                w->groups[i].update = false;
            }
        }
        if (w->failed)
            return;
        if (!any)
            break;
    }
    anl_work_fail(w, ANL_A_program_invalid, NULL, "the kernels cannot be put in an order (a fault of the compiler)");
}

/* ---- memory ---- */
static void find_lifetimes(anl_work *w)
{
    for (int b = 0; b < w->buffer_count; b++)
        w->buffers[b].first = w->buffers[b].last = -1;
    for (int i = 0; i < w->order_count; i++) {
        int32_t list[ANL_MAX_ARGS];
        int count = regions_of(w, &w->groups[w->order[i]], list);
        for (int k = 0; k < count; k++) {
            anl_wbuffer *b = &w->buffers[list[k]];
            if (b->first < 0)
                b->first = i;
            b->last = i;
        }
    }
}

typedef struct item {
    int32_t buffer;
    int first, last;
    int64_t bytes, offset;
} item;

static int larger_first(const void *a, const void *b)
{
    const item *p = a, *q = b;
    if (p->bytes != q->bytes)
        return p->bytes > q->bytes ? -1 : 1;
    if (p->last - p->first != q->last - q->first)
        return p->last - p->first > q->last - q->first ? -1 : 1;
    return (p->buffer > q->buffer) - (p->buffer < q->buffer);
}

static int longer_first(const void *a, const void *b)
{
    const item *p = a, *q = b;
    double x = (double)p->bytes * (p->last - p->first + 1), y = (double)q->bytes * (q->last - q->first + 1);
    if (x != y)
        return x > y ? -1 : 1;
    return (p->buffer > q->buffer) - (p->buffer < q->buffer);
}

static int sooner_first(const void *a, const void *b)
{
    const item *p = a, *q = b;
    if (p->first != q->first)
        return p->first < q->first ? -1 : 1;
    return larger_first(a, b);
}

/* Each item in turn takes the smallest gap among those that live at the same time. Placed items are kept in the order of their
 * offsets. */
static int64_t fit(item *items, int count)
{
    int64_t total = 0;
    item *placed = anl_malloc(sizeof(item) * (size_t)(count + 1));
    for (int i = 0; i < count; i++) {
        int64_t end = 0, best = -1, best_gap = INT64_MAX;
        for (int k = 0; k < i; k++) {
            if (placed[k].first > items[i].last || items[i].first > placed[k].last)
                continue;
            int64_t gap = placed[k].offset - end;
            if (gap >= items[i].bytes && gap < best_gap) {
                best = end;
                best_gap = gap;
            }
            if (placed[k].offset + placed[k].bytes > end)
                end = placed[k].offset + placed[k].bytes;
        }
        items[i].offset = best >= 0 ? best : end;
        if (items[i].offset + items[i].bytes > total)
            total = items[i].offset + items[i].bytes;
        int low = 0, high = i;
        while (low < high) {
            int mid = (low + high) / 2;
            if (placed[mid].offset <= items[i].offset)
                low = mid + 1;
            else
                high = mid;
        }
        memmove(&placed[low + 1], &placed[low], sizeof(item) * (size_t)(i - low));
        placed[low] = items[i];
    }
    free(placed);
    return total;
}

static int64_t lower_bound(const anl_work *w, const item *items, int count, int *when)
{
    int64_t *change = anl_malloc(sizeof(int64_t) * (size_t)(w->order_count + 2)), now = 0, most = 0;
    memset(change, 0, sizeof(int64_t) * (size_t)(w->order_count + 2));
    for (int i = 0; i < count; i++) {
        change[items[i].first] += items[i].bytes;
        change[items[i].last + 1] -= items[i].bytes;
    }
    for (int t = 0; t <= w->order_count; t++) {
        now += change[t];
        if (now > most) {
            most = now;
            *when = t;
        }
    }
    free(change);
    return most;
}

static void plan_memory(anl_work *w)
{
    item *items = ANL_NEW_ARRAY(w->arena, item, w->buffer_count + 1), *best = NULL;
    int count = 0;
    for (int b = 0; b < w->buffer_count; b++) {
        const anl_wbuffer *x = &w->buffers[b];
        if (x->b.space == ANL_SPACE_TEMP && x->parent < 0 && x->first >= 0)
            items[count++] = (item){b, x->first, x->last, whole_bytes(w, b), 0};
    }
    int64_t bound = lower_bound(w, items, count, &w->program->temp_peak), least = INT64_MAX;
    int (*const orders[])(const void *, const void *) = {larger_first, longer_first, sooner_first};
    for (int o = 0; o < (int)ANL_COUNT(orders) && (o == 0 || least > bound + bound / 50); o++) {
        item *trial = ANL_NEW_ARRAY(w->arena, item, count + 1);
        memcpy(trial, items, sizeof(item) * (size_t)count);
        if (count > 1)
            qsort(trial, (size_t)count, sizeof(item), orders[o]);
        int64_t total = fit(trial, count);
        if (total < least) {
            least = total;
            best = trial;
        }
    }
    for (int i = 0; i < count; i++)
        w->buffers[best[i].buffer].b.offset = best[i].offset;
    for (int b = 0; b < w->buffer_count; b++)
        if (w->buffers[b].b.space == ANL_SPACE_TEMP && w->buffers[b].parent >= 0)
            w->buffers[b].b.offset = w->buffers[w->buffers[b].parent].b.offset + w->buffers[b].inside;
    w->program->space_bytes[ANL_SPACE_TEMP] = count > 0 ? least : 0;
    w->program->temp_lower_bound = bound;
    for (int b = 0; b < w->buffer_count; b++) {
        anl_wbuffer *x = &w->buffers[b];
        const anl_wbuffer *whole = x->parent >= 0 ? &w->buffers[x->parent] : x;
        x->b.first = whole->first;
        x->b.last = whole->last;
    }
    /* the other spaces lie one after another */
    for (int space = 0; space < 5; space++) {
        if (space == ANL_SPACE_TEMP || space == ANL_SPACE_STATE)
            continue;
        int64_t at = 0;
        for (int b = 0; b < w->buffer_count; b++) {
            anl_wbuffer *x = &w->buffers[b];
            if ((int)x->b.space != space)
                continue;
            if (x->parent < 0) {
                x->b.offset = at;
                at += whole_bytes(w, b);
            }
        }
        for (int b = 0; b < w->buffer_count; b++)
            if ((int)w->buffers[b].b.space == space && w->buffers[b].parent >= 0)
                w->buffers[b].b.offset = w->buffers[w->buffers[b].parent].b.offset + w->buffers[b].inside;
        w->program->space_bytes[space] = at;
    }
    w->program->space_bytes[ANL_SPACE_STATE] = w->layout->bytes;
}

/* ---- barriers ---- */
typedef struct touched {
    int64_t low, high;
    bool written;
} touched;

static void place_barriers(anl_work *w)
{
    touched *since[5] = {0};
    int count[5] = {0}, capacity[5] = {0};
    for (int i = 0; i < w->order_count; i++) {
        anl_kernel *k = &w->groups[w->order[i]].kernel;
        bool hazard = false;
        for (int a = 0; a < k->arg_count && !hazard; a++) {
            const anl_buffer *b = &w->buffers[k->args[a].buffer].b;
            for (int t = 0; t < count[b->space] && !hazard; t++) {
                const touched *x = &since[b->space][t];
                hazard = x->low < b->offset + b->bytes && b->offset < x->high && (x->written || k->args[a].written);
            }
        }
        k->barrier_before = hazard;
        if (hazard)
            memset(count, 0, sizeof count);
        for (int a = 0; a < k->arg_count; a++) {
            const anl_buffer *b = &w->buffers[k->args[a].buffer].b;
            touched x = {b->offset, b->offset + b->bytes, k->args[a].written};
            if (b->space != ANL_SPACE_TABLE && (b->space != ANL_SPACE_INPUT || x.written))
                ANL_PUSH(w->arena, since[b->space], count[b->space], capacity[b->space], x);
        }
    }
}

void anl_work_plan(anl_work *w)
{
    check_in_place(w);
    if (!w->failed)
        schedule(w);
    if (w->failed)
        return;
    find_lifetimes(w);
    plan_memory(w);
    place_barriers(w);
}
