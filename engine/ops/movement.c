/* Movement: rename, transpose, replicate, slice, place, concat, split, merge. Nothing is computed; elements are found elsewhere.
 * In: a value and where its elements go. Out: the same elements under other coordinates.
 * Each is lowered to a change of coordinates, so that it costs nothing inside a kernel. */
#include "ops/build.h"

/* ---- builders ---- */

anl_node *anl_g_rename(anl_graph *g, anl_node *a, int32_t from, int32_t to)
{
    if (from == to)
        return a;
    assert(anl_node_axis(a, from) >= 0 && anl_node_axis(a, to) < 0);
    anl_node *source = a->op == ANL_OP_RENAME ? a->inputs[0] : a; /* a chain of renames is one */
    anl_node draft = anl_draft(ANL_OP_RENAME, a->dtype, 1, &source);
    anl_draft_axes(&draft, a);
    draft.axes[anl_node_axis(a, from)].id = to;
    bool same = true;
    for (int i = 0; i < source->rank; i++)
        same &= source->axes[i].id == draft.axes[i].id;
    return same ? source : anl_graph_intern(g, &draft);
}

anl_node *anl_g_transpose(anl_graph *g, anl_node *a, const int32_t *order, int count)
{
    assert(count == a->rank);
    anl_node *source = a->op == ANL_OP_TRANSPOSE ? a->inputs[0] : a;
    anl_node draft = anl_draft(ANL_OP_TRANSPOSE, a->dtype, 1, &source);
    bool same = true;
    for (int i = 0; i < count; i++) {
        int position = anl_node_axis(a, order[i]);
        assert(position >= 0);
        anl_draft_add_axis(&draft, a->axes[position]);
        same &= source->axes[i].id == order[i];
    }
    return same ? source : anl_graph_intern(g, &draft);
}

anl_node *anl_g_as(anl_graph *g, anl_node *a, const anl_node *like)
{
    int32_t order[ANL_MAX_AXES];
    assert(a->rank == like->rank);
    for (int i = 0; i < like->rank; i++)
        order[i] = like->axes[i].id;
    if (a->op == ANL_OP_SCALAR) { /* may be computed in any order: this one, then */
        anl_node draft;
        memcpy(&draft, a, sizeof draft);
        memcpy(draft.axes, like->axes, sizeof draft.axes);
        return anl_graph_intern(g, &draft);
    }
    return anl_g_transpose(g, a, order, like->rank);
}

static anl_node *replicate_at(anl_graph *g, anl_node *a, anl_axis axis, int at)
{
    assert(anl_node_axis(a, axis.id) < 0 && a->rank < ANL_MAX_AXES);
    anl_node draft = anl_draft(ANL_OP_REPLICATE, a->dtype, 1, &a);
    draft.attrs.axis[0] = axis.id;
    for (int i = 0; i <= a->rank; i++) {
        if (i == at)
            anl_draft_add_axis(&draft, axis);
        if (i < a->rank)
            anl_draft_add_axis(&draft, a->axes[i]);
    }
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_replicate(anl_graph *g, anl_node *a, int32_t axis, int32_t size) { return replicate_at(g, a, (anl_axis){axis, size}, 0); }

anl_node *anl_g_spread(anl_graph *g, anl_node *a, const anl_node *like)
{
    /* First a's axes in like's order, then what is missing, each at its place. */
    int32_t order[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < like->rank; i++)
        if (anl_node_axis(a, like->axes[i].id) >= 0)
            order[count++] = like->axes[i].id;
    assert(count == a->rank);
    a = anl_g_transpose(g, a, order, count);
    for (int i = 0; i < like->rank; i++)
        if (anl_node_axis(a, like->axes[i].id) < 0)
            a = replicate_at(g, a, like->axes[i], i);
    return a;
}

anl_node *anl_g_sum_to(anl_graph *g, anl_node *a, const anl_node *like)
{
    int32_t over[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < a->rank; i++)
        if (anl_node_axis(like, a->axes[i].id) < 0)
            over[count++] = a->axes[i].id;
    a = anl_g_reduce(g, ANL_OP_SUM, a, over, count);
    /* Lost axes come back where the gradient was simplified to something smaller. */
    return a->rank < like->rank ? anl_g_spread(g, a, like) : anl_g_as(g, a, like);
}

anl_node *anl_g_slice(anl_graph *g, anl_node *a, int32_t axis, int32_t start, int32_t count, int32_t step)
{
    int32_t size = anl_node_size(a, axis);
    int64_t last = (int64_t)start + (int64_t)(count - 1) * step;
    assert(count > 0 && start >= 0 && start < size && last >= 0 && last < size);
    (void)last;
    if (start == 0 && count == size && (step == 1 || count == 1))
        return a;
    if (a->op == ANL_OP_SLICE && a->attrs.axis[0] == axis)
        return anl_g_slice(g, a->inputs[0], axis, a->attrs.start + start * a->attrs.step, count, count == 1 ? 1 : step * a->attrs.step);
    anl_node draft = anl_draft(ANL_OP_SLICE, a->dtype, 1, &a);
    anl_draft_axes(&draft, a);
    draft.axes[anl_node_axis(a, axis)].size = count;
    draft.attrs.axis[0] = axis;
    draft.attrs.start = start;
    draft.attrs.step = count == 1 ? 1 : step;
    draft.attrs.count = count;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_flip(anl_graph *g, anl_node *a, int32_t axis)
{
    int32_t size = anl_node_size(a, axis);
    return anl_g_slice(g, a, axis, size - 1, size, -1);
}

anl_node *anl_g_place(anl_graph *g, anl_node *a, int32_t axis, int32_t start, int32_t step, int32_t size, double fill)
{
    int32_t count = anl_node_size(a, axis);
    assert(count > 0 && start >= 0 && start < size && (int64_t)start + (int64_t)(count - 1) * step >= 0 &&
           (int64_t)start + (int64_t)(count - 1) * step < size);
    if (count == 1)
        step = 1;
    if (count == size && step == 1)
        return a;
    if (count == size && step == -1)
        return anl_g_flip(g, a, axis);
    anl_node draft = anl_draft(ANL_OP_PLACE, a->dtype, 1, &a);
    anl_draft_axes(&draft, a);
    draft.axes[anl_node_axis(a, axis)].size = size;
    draft.attrs.axis[0] = axis;
    draft.attrs.start = start;
    draft.attrs.step = step;
    draft.attrs.count = count;
    draft.attrs.value = fill;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_concat(anl_graph *g, anl_node *const *inputs, int count, int32_t axis)
{
    assert(count > 0 && count <= ANL_MAX_INPUTS);
    if (count == 1)
        return inputs[0];
    anl_node *list[ANL_MAX_INPUTS];
    memcpy(list, inputs, sizeof *inputs * (size_t)count);
    anl_node draft = anl_draft(ANL_OP_CONCAT, inputs[0]->dtype, count, list);
    anl_draft_axes(&draft, inputs[0]);
    int32_t size = 0;
    for (int i = 0; i < count; i++) {
        assert(inputs[i]->dtype == draft.dtype);
        size += anl_node_size(inputs[i], axis);
    }
    draft.axes[anl_node_axis(&draft, axis)].size = size;
    draft.attrs.axis[0] = axis;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_split(anl_graph *g, anl_node *a, int32_t axis, const anl_axis *into, int count)
{
    int position = anl_node_axis(a, axis);
    assert(position >= 0);
    if (count == 1)
        return anl_g_rename(g, a, axis, into[0].id);
    anl_node draft = anl_draft(ANL_OP_SPLIT, a->dtype, 1, &a);
    draft.attrs.axis[0] = axis;
    for (int i = 0; i < a->rank; i++) {
        if (i != position) {
            anl_draft_add_axis(&draft, a->axes[i]);
            continue;
        }
        for (int k = 0; k < count; k++) {
            draft.attrs.over[draft.attrs.over_count++] = into[k].id;
            anl_draft_add_axis(&draft, into[k]);
        }
    }
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_drop(anl_graph *g, anl_node *a, int32_t axis)
{
    assert(anl_node_size(a, axis) == 1);
    if (a->op == ANL_OP_REPLICATE && a->attrs.axis[0] == axis)
        return a->inputs[0];
    return anl_g_split(g, a, axis, NULL, 0); /* an axis of size 1 is the product of no axes */
}

anl_node *anl_g_merge(anl_graph *g, anl_node *a, const int32_t *axes, int count, int32_t into)
{
    if (count == 0)
        return anl_g_replicate(g, a, into, 1);
    if (count == 1)
        return anl_g_rename(g, a, axes[0], into);
    anl_node draft = anl_draft(ANL_OP_MERGE, a->dtype, 1, &a);
    draft.attrs.axis[0] = into;
    int64_t size = 1;
    for (int k = 0; k < count; k++) {
        draft.attrs.over[draft.attrs.over_count++] = axes[k];
        size *= anl_node_size(a, axes[k]);
    }
    assert(size > 0 && size <= INT32_MAX);
    for (int i = 0; i < a->rank; i++) {
        if (a->axes[i].id == axes[count - 1])
            anl_draft_add_axis(&draft, (anl_axis){into, (int32_t)size});
        else if (!anl_list_has(axes, count, a->axes[i].id))
            anl_draft_add_axis(&draft, a->axes[i]);
    }
    return anl_graph_intern(g, &draft);
}

/* ---- verification ---- */

static const char *one_input(const anl_node *node)
{
    if (node->input_count != 1)
        return "takes one input";
    return node->dtype == node->inputs[0]->dtype ? NULL : "changes the dtype";
}

static const char *verify_rename(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const char *wrong = one_input(node);
    if (wrong)
        return wrong;
    if (node->rank != node->inputs[0]->rank)
        return "changes the number of axes";
    for (int i = 0; i < node->rank; i++)
        if (node->axes[i].size != node->inputs[0]->axes[i].size)
            return "changes a size";
    return NULL;
}

static const char *verify_transpose(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const char *wrong = one_input(node);
    return wrong ? wrong : anl_node_same_axes(node, node->inputs[0]) ? NULL : "has other axes than its input";
}

/* All axes of a but those listed are in b with equal size, and b has extra further ones. */
static bool same_but(const anl_node *a, const int32_t *except, int except_count, const anl_node *b, int extra)
{
    int kept = 0;
    for (int i = 0; i < a->rank; i++) {
        if (anl_list_has(except, except_count, a->axes[i].id))
            continue;
        if (anl_node_size(b, a->axes[i].id) != a->axes[i].size)
            return false;
        kept++;
    }
    return b->rank == kept + extra;
}

static const char *verify_replicate(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const char *wrong = one_input(node);
    if (wrong)
        return wrong;
    return anl_node_axis(node->inputs[0], node->attrs.axis[0]) < 0 && anl_node_axis(node, node->attrs.axis[0]) >= 0 &&
                   same_but(node->inputs[0], NULL, 0, node, 1)
               ? NULL
               : "must add one axis";
}

static const char *verify_slice(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const char *wrong = one_input(node);
    if (wrong)
        return wrong;
    const anl_attrs *t = &node->attrs;
    if (!same_but(node->inputs[0], t->axis, 1, node, 1) || anl_node_size(node, t->axis[0]) != t->count)
        return "the sliced axis must be there, with the slice's count";
    int64_t last = (int64_t)t->start + (int64_t)(t->count - 1) * t->step, size = anl_node_size(node->inputs[0], t->axis[0]);
    return t->count > 0 && t->start >= 0 && t->start < size && last >= 0 && last < size ? NULL : "reaches outside its input";
}

static const char *verify_place(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const char *wrong = one_input(node);
    if (wrong)
        return wrong;
    const anl_attrs *t = &node->attrs;
    if (!same_but(node->inputs[0], t->axis, 1, node, 1) || anl_node_size(node->inputs[0], t->axis[0]) != t->count || t->step == 0)
        return "the placed axis must be there, with the place's count";
    int64_t last = (int64_t)t->start + (int64_t)(t->count - 1) * t->step, size = anl_node_size(node, t->axis[0]);
    return t->start >= 0 && t->start < size && last >= 0 && last < size ? NULL : "reaches outside its result";
}

static const char *verify_concat(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    int64_t size = 0;
    for (int k = 0; k < node->input_count; k++) {
        if (!same_but(node->inputs[k], node->attrs.axis, 1, node, 1) || anl_node_axis(node->inputs[k], node->attrs.axis[0]) < 0)
            return "inputs differ in more than the joined axis";
        if (node->inputs[k]->dtype != node->dtype)
            return "inputs differ in dtype";
        size += anl_node_size(node->inputs[k], node->attrs.axis[0]);
    }
    return node->input_count > 0 && size == anl_node_size(node, node->attrs.axis[0]) ? NULL : "the joined axis is not as long as its parts";
}

/* wide has the axes over where narrow has axis; sizes multiply. */
static const char *verify_factors(const anl_node *node, const anl_node *wide, const anl_node *narrow)
{
    const char *wrong = one_input(node);
    if (wrong)
        return wrong;
    int64_t size = 1;
    for (int i = 0; i < node->attrs.over_count; i++) {
        if (anl_node_axis(wide, node->attrs.over[i]) < 0)
            return "one of the axes is missing";
        size *= anl_node_size(wide, node->attrs.over[i]);
    }
    if (anl_node_size(narrow, node->attrs.axis[0]) != size)
        return "sizes do not multiply";
    return same_but(wide, node->attrs.over, node->attrs.over_count, narrow, 1) && same_but(narrow, node->attrs.axis, 1, wide, node->attrs.over_count)
               ? NULL
               : "other axes differ";
}

static const char *verify_split(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->input_count == 1 ? verify_factors(node, node, node->inputs[0]) : "takes one input";
}

static const char *verify_merge(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->input_count == 1 ? verify_factors(node, node->inputs[0], node) : "takes one input";
}

/* ---- gradients ---- */

static anl_status gradient_rename(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_node *ordered = anl_g_as(g, h, node);
    anl_node draft = anl_draft(ANL_OP_RENAME, h->dtype, 1, &ordered);
    anl_draft_axes(&draft, node->inputs[0]);
    out[0] = ordered->op == ANL_OP_RENAME && anl_node_same_axes(ordered->inputs[0], node->inputs[0]) &&
                     memcmp(ordered->inputs[0]->axes, node->inputs[0]->axes, sizeof(anl_axis) * (size_t)node->rank) == 0
                 ? ordered->inputs[0]
                 : anl_graph_intern(g, &draft);
    return ANL_OK;
}

static anl_status gradient_transpose(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    out[0] = anl_g_as(g, h, node->inputs[0]);
    return ANL_OK;
}

static anl_status gradient_replicate(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    out[0] = anl_g_sum_to(g, h, node->inputs[0]);
    return ANL_OK;
}

static anl_status gradient_slice(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    const anl_attrs *t = &node->attrs;
    out[0] = anl_g_place(g, h, t->axis[0], t->start, t->step, anl_node_size(node->inputs[0], t->axis[0]), 0);
    return ANL_OK;
}

static anl_status gradient_place(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    const anl_attrs *t = &node->attrs;
    out[0] = anl_g_slice(g, h, t->axis[0], t->start, t->count, t->step);
    return ANL_OK;
}

static anl_status gradient_concat(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    int32_t start = 0;
    for (int k = 0; k < node->input_count; k++) {
        int32_t count = anl_node_size(node->inputs[k], node->attrs.axis[0]);
        out[k] = anl_g_slice(g, h, node->attrs.axis[0], start, count, 1);
        start += count;
    }
    return ANL_OK;
}

static anl_status gradient_split(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    if (node->attrs.over_count == 0) /* a dropped axis of size 1 comes back at its place */
        out[0] = anl_g_spread(g, h, node->inputs[0]);
    else
        out[0] = anl_g_merge(g, h, node->attrs.over, node->attrs.over_count, node->attrs.axis[0]);
    return ANL_OK;
}

static anl_status gradient_merge(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_axis into[ANL_MAX_AXES];
    for (int i = 0; i < node->attrs.over_count; i++)
        into[i] = (anl_axis){node->attrs.over[i], anl_node_size(node->inputs[0], node->attrs.over[i])};
    out[0] = anl_g_split(g, h, node->attrs.axis[0], into, node->attrs.over_count);
    return ANL_OK;
}

/* ---- lowering ---- */

static int32_t lower_rename(anl_lowering *l, const anl_node *node, const int32_t *coordinates) { return l->value(l, node->inputs[0], coordinates); }

static int32_t lower_project(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t at[ANL_MAX_AXES];
    anl_project(node, coordinates, node->inputs[0], at);
    return l->value(l, node->inputs[0], at);
}

static int32_t lower_slice(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t at[ANL_MAX_AXES], k = anl_node_axis(node->inputs[0], node->attrs.axis[0]);
    anl_project(node, coordinates, node->inputs[0], at);
    at[k] = anl_l(l, ANL_S_ADD, anl_l(l, ANL_S_MUL, at[k], anl_l_int(l, node->attrs.step)), anl_l_int(l, node->attrs.start));
    return l->value(l, node->inputs[0], at);
}

static int32_t lower_place(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_attrs *t = &node->attrs;
    int32_t at[ANL_MAX_AXES], k = anl_node_axis(node->inputs[0], t->axis[0]), step = t->step < 0 ? -t->step : t->step;
    anl_project(node, coordinates, node->inputs[0], at);
    int32_t start = anl_l_int(l, t->start);
    int32_t offset = t->step < 0 ? anl_l(l, ANL_S_SUB, start, at[k]) : anl_l(l, ANL_S_SUB, at[k], start);
    int32_t guard;
    if (step == 1) {
        at[k] = offset;
        guard = anl_l_inside(l, offset, t->count);
    } else {
        at[k] = anl_l(l, ANL_S_FLOORDIV, offset, anl_l_int(l, step));
        int32_t exact = anl_l_bool(l, ANL_S_EQ, anl_l(l, ANL_S_MUL, at[k], anl_l_int(l, step)), offset);
        guard = anl_l_bool(l, ANL_S_AND, anl_l_inside(l, at[k], t->count), exact);
    }
    return anl_l_guarded(l, node->inputs[0], at, guard, t->value);
}

static int32_t lower_concat(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t along = coordinates[anl_node_axis(node, node->attrs.axis[0])], result = -1;
    int32_t end = anl_node_size(node, node->attrs.axis[0]);
    /* From the last part to the first, so that one comparison chooses each. */
    for (int k = node->input_count - 1; k >= 0; k--) {
        const anl_node *part = node->inputs[k];
        int32_t start = end - anl_node_size(part, node->attrs.axis[0]), at[ANL_MAX_AXES];
        anl_project(node, coordinates, part, at);
        at[anl_node_axis(part, node->attrs.axis[0])] = anl_l(l, ANL_S_SUB, along, anl_l_int(l, start));
        int32_t before_end = anl_l_bool(l, ANL_S_LT, along, anl_l_int(l, end)), from_start = anl_l_bool(l, ANL_S_LE, anl_l_int(l, start), along);
        l->push_guard(l, k == node->input_count - 1 ? from_start : k == 0 ? before_end : anl_l_bool(l, ANL_S_AND, from_start, before_end));
        int32_t value = l->value(l, part, at);
        l->pop_guard(l);
        result = result < 0 ? value : l->emit(l, ANL_S_SELECT, node->dtype, before_end, value, result);
        end = start;
    }
    return result;
}

static int32_t lower_split(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_node *input = node->inputs[0];
    int32_t at[ANL_MAX_AXES];
    for (int i = 0; i < input->rank; i++) {
        if (input->axes[i].id != node->attrs.axis[0]) {
            at[i] = coordinates[anl_node_axis(node, input->axes[i].id)];
            continue;
        }
        at[i] = anl_l_int(l, 0);
        for (int k = 0; k < node->attrs.over_count; k++) {
            int position = anl_node_axis(node, node->attrs.over[k]);
            at[i] = anl_l(l, ANL_S_ADD, anl_l(l, ANL_S_MUL, at[i], anl_l_int(l, node->axes[position].size)), coordinates[position]);
        }
    }
    return l->value(l, input, at);
}

static int32_t lower_merge(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_node *input = node->inputs[0];
    int32_t at[ANL_MAX_AXES], rest = coordinates[anl_node_axis(node, node->attrs.axis[0])];
    for (int i = 0; i < input->rank; i++)
        if (!anl_list_has(node->attrs.over, node->attrs.over_count, input->axes[i].id))
            at[i] = coordinates[anl_node_axis(node, input->axes[i].id)];
    for (int k = node->attrs.over_count - 1; k >= 0; k--) {
        int position = anl_node_axis(input, node->attrs.over[k]);
        int32_t size = anl_l_int(l, input->axes[position].size);
        at[position] = k == 0 ? rest : anl_l(l, ANL_S_MOD, rest, size);
        rest = k == 0 ? rest : anl_l(l, ANL_S_DIV, rest, size);
    }
    return l->value(l, input, at);
}

static double flops_none(const anl_node *node)
{
    (void)node;
    return 0;
}

#define INFO(OP, lower_name, word)                                                                                           \
    const anl_op_info anl_info_##word = {.op = ANL_OP_##OP,                                                                  \
                                         .name = #word,                                                                      \
                                         .verify = verify_##word,                                                            \
                                         .gradient = gradient_##word,                                                        \
                                         .lower = lower_name,                                                                \
                                         .flops = flops_none}
INFO(RENAME, lower_rename, rename);
INFO(TRANSPOSE, lower_project, transpose);
INFO(REPLICATE, lower_project, replicate);
INFO(SLICE, lower_slice, slice);
INFO(PLACE, lower_place, place);
INFO(CONCAT, lower_concat, concat);
INFO(SPLIT, lower_split, split);
INFO(MERGE, lower_merge, merge);

/* ---- builtins ---- */

static bool free_axis(anl_context *context, const anl_node *node, int32_t axis, anl_span span, const char *call)
{
    if (anl_node_axis(node, axis) < 0)
        return true;
    anl_problem(context, ANL_A_duplicate_axis, span, "`%s`: the value %s has an axis `%s` already", call, anl_visible_axes(context, node),
                anl_graph_axis_name(context->graph, axis));
    return false;
}

static bool room_for(anl_context *context, const anl_node *node, int extra)
{
    if (node->rank + extra <= ANL_MAX_AXES)
        return true;
    anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
    return false;
}

static anl_status build_rename(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *x = anl_read_node(context, &arguments[0]);
    anl_axis_pair pairs[ANL_MAX_AXES];
    int count;
    if (!x || !anl_read_pairs(context, &arguments[1], pairs, ANL_MAX_AXES, &count))
        return ANL_ERROR_SPEC;
    /* All at once: rename(x, a=b, b=a) swaps. */
    anl_node *source = x->op == ANL_OP_RENAME ? x->inputs[0] : x;
    anl_node draft = anl_draft(ANL_OP_RENAME, x->dtype, 1, &source);
    anl_draft_axes(&draft, x);
    for (int i = 0; i < count; i++) {
        int32_t from = anl_pair_axis_of(context, &pairs[i], x);
        int32_t to = anl_value_new_axis(context, pairs[i].value);
        if (from < 0 || to < 0)
            return ANL_ERROR_SPEC;
        draft.axes[anl_node_axis(x, from)].id = to;
    }
    bool same = true;
    for (int i = 0; i < draft.rank; i++) {
        same &= draft.axes[i].id == source->axes[i].id;
        for (int k = 0; k < i; k++)
            if (draft.axes[k].id == draft.axes[i].id) {
                anl_problem(context, ANL_A_duplicate_axis, context->span, "`rename`: two axes of %s would be called `%s`", anl_visible_axes(context, x),
                            anl_graph_axis_name(context->graph, draft.axes[i].id));
                return ANL_ERROR_SPEC;
            }
    }
    *result = anl_node_value(context, same ? source : anl_graph_intern(context->graph, &draft));
    return ANL_OK;
}

static anl_status build_replicate(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *x = anl_read_node(context, &arguments[0]);
    anl_axis_pair pairs[ANL_MAX_AXES];
    int count;
    if (!x || !anl_read_pairs(context, &arguments[1], pairs, ANL_MAX_AXES, &count))
        return ANL_ERROR_SPEC;
    for (int i = count - 1; i >= 0; i--) { /* the first pair becomes the outermost axis */
        int64_t size;
        if (!anl_read_int(context, pairs[i].value, 1, 1, INT32_MAX, "the size of an axis", &size) || !room_for(context, x, 1))
            return ANL_ERROR_SPEC;
        int32_t axis = anl_pair_new_axis(context, &pairs[i]);
        if (!free_axis(context, x, axis, pairs[i].span, "replicate"))
            return ANL_ERROR_SPEC;
        x = anl_g_replicate(context->graph, x, axis, (int32_t)size);
        anl_graph_size_written(context->graph, x, axis, pairs[i].value->origin);
    }
    *result = anl_node_value(context, x);
    return ANL_OK;
}

static anl_status build_split(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axis;
    anl_axis_pair pairs[ANL_MAX_AXES];
    int count;
    if (!x || !anl_read_axis(context, &arguments[1], &axis) ||
        !anl_check_axis(context, x, axis, anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "split") ||
        !anl_read_pairs(context, &arguments[2], pairs, ANL_MAX_AXES, &count) || !room_for(context, x, count - 1))
        return ANL_ERROR_SPEC;
    anl_axis into[ANL_MAX_AXES];
    int64_t product = 1;
    for (int i = 0; i < count; i++) {
        int64_t size;
        if (!anl_read_int(context, pairs[i].value, 1, 1, INT32_MAX, "the size of an axis", &size))
            return ANL_ERROR_SPEC;
        int32_t id = anl_pair_new_axis(context, &pairs[i]);
        if (id != axis && !free_axis(context, x, id, pairs[i].span, "split"))
            return ANL_ERROR_SPEC;
        for (int k = 0; k < i; k++)
            if (into[k].id == id) {
                anl_problem(context, ANL_A_duplicate_axis, pairs[i].span, "`split` names axis `%s` twice", anl_graph_axis_name(g, id));
                return ANL_ERROR_SPEC;
            }
        into[i] = (anl_axis){id, (int32_t)size};
        product = product > INT32_MAX ? product : product * size;
    }
    if (product != anl_node_size(x, axis)) {
        anl_diagnostic *d = anl_problem(context, ANL_A_axis_mismatch, anl_value_span(context, &arguments[2]),
                                        "axis `%s` is %d here, but its parts multiply to %lld", anl_graph_axis_name(g, axis),
                                        anl_node_size(x, axis), (long long)product);
        anl_graph_label_axis(context->diagnostics, d, g, x, axis);
        return ANL_ERROR_SPEC;
    }
    *result = anl_node_value(context, anl_g_split(g, x, axis, into, count));
    return ANL_OK;
}

static anl_status build_merge(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axes[ANL_MAX_AXES], into;
    int count;
    if (!x || !anl_read_axes(context, &arguments[1], "merge", axes, &count) || (into = anl_value_new_axis(context, &arguments[2])) < 0 ||
        !room_for(context, x, 1 - count))
        return ANL_ERROR_SPEC;
    int64_t size = 1;
    for (int i = 0; i < count; i++) {
        if (!anl_check_axis(context, x, axes[i], anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "merge"))
            return ANL_ERROR_SPEC;
        size = size > INT32_MAX ? size : size * anl_node_size(x, axes[i]);
    }
    if (size > INT32_MAX) {
        anl_problem(context, ANL_A_out_of_range, context->span, "the merged axis would be longer than %d", INT32_MAX);
        return ANL_ERROR_SPEC;
    }
    if (!anl_list_has(axes, count, into) && !free_axis(context, x, into, anl_value_span(context, &arguments[2]), "merge"))
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_merge(g, x, axes, count, into));
    return ANL_OK;
}

static anl_status build_flip(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axes[ANL_MAX_AXES];
    int count;
    if (!x || !anl_read_axes(context, &arguments[1], "flip", axes, &count))
        return ANL_ERROR_SPEC;
    for (int i = 0; i < count; i++) {
        if (!anl_check_axis(context, x, axes[i], anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "flip"))
            return ANL_ERROR_SPEC;
        x = anl_g_flip(context->graph, x, axes[i]);
    }
    *result = anl_node_value(context, x);
    return ANL_OK;
}

static anl_status build_pad(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axes[ANL_MAX_AXES];
    int count;
    int64_t before, after;
    double fill;
    if (!x || !anl_read_axes(context, &arguments[1], "pad", axes, &count) ||
        !anl_read_int(context, &arguments[2], 0, 0, INT32_MAX / 4, "`before`", &before) ||
        !anl_read_int(context, &arguments[3], 0, 0, INT32_MAX / 4, "`after`", &after) || !anl_read_number(context, &arguments[4], 0, "`value`", &fill))
        return ANL_ERROR_SPEC;
    for (int i = 0; i < count; i++) {
        if (!anl_check_axis(context, x, axes[i], anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "pad"))
            return ANL_ERROR_SPEC;
        int64_t size = anl_node_size(x, axes[i]) + before + after;
        if (size > INT32_MAX) {
            anl_problem(context, ANL_A_out_of_range, context->span, "the padded axis would be longer than %d", INT32_MAX);
            return ANL_ERROR_SPEC;
        }
        x = anl_g_place(context->graph, x, axes[i], (int32_t)before, 1, (int32_t)size, fill);
    }
    *result = anl_node_value(context, x);
    return ANL_OK;
}

static anl_status build_concat(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    const anl_value *list = &arguments[0];
    int32_t axis;
    if (list->kind != ANL_V_LIST || list->list.count == 0) {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, list), "`concat` takes a list of values, but this is %s", anl_value_kind_text(list));
        return ANL_ERROR_SPEC;
    }
    int count = list->list.count;
    if (count > ANL_MAX_INPUTS) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, list), "`concat` joins at most %d values", ANL_MAX_INPUTS);
        return ANL_ERROR_SPEC;
    }
    if (!anl_read_axis(context, &arguments[1], &axis))
        return ANL_ERROR_SPEC;
    anl_node *nodes[ANL_MAX_INPUTS];
    bool any_float = false;
    int widest = 0;
    for (int i = 0; i < count; i++) {
        if (!(nodes[i] = anl_read_node(context, &list->list.items[i])))
            return ANL_ERROR_SPEC;
        any_float |= nodes[i]->dtype != nodes[0]->dtype;
        if (nodes[i]->rank > nodes[widest]->rank)
            widest = i;
    }
    int64_t size = 0;
    for (int i = 0; i < count; i++) {
        const anl_value *item = &list->list.items[i], *first = &list->list.items[widest];
        if (!anl_check_axis(context, nodes[i], axis, anl_value_span(context, item), anl_value_span(context, item), "concat") ||
            !anl_check_shared(context, item, nodes[i], first, nodes[widest], &axis, 1))
            return ANL_ERROR_SPEC;
        /* Hidden (ride-along) axes that one part lacks are spread; a missing visible one is a mistake. */
        for (int k = 0; k < nodes[widest]->rank; k++) {
            int32_t id = nodes[widest]->axes[k].id;
            if (anl_node_axis(nodes[i], id) >= 0 || !anl_axis_visible(g, id))
                continue;
            anl_diagnostic *d = anl_problem(context, ANL_A_missing_axis, anl_value_span(context, item), "`concat`: %s lacks axis `%s`, which another part has",
                                            anl_visible_axes(context, nodes[i]), anl_graph_axis_name(g, id));
            anl_diagnostic_label(context->diagnostics, d, anl_value_span(context, first), "this has %s", anl_visible_axes(context, nodes[widest]));
            return ANL_ERROR_SPEC;
        }
        size += anl_node_size(nodes[i], axis);
    }
    if (size > INT32_MAX) {
        anl_problem(context, ANL_A_out_of_range, context->span, "the joined axis would be longer than %d", INT32_MAX);
        return ANL_ERROR_SPEC;
    }
    /* The union of all axes, in the order of the widest. */
    anl_node like = anl_draft(ANL_OP_CONCAT, ANL_F32, 0, NULL);
    anl_draft_axes(&like, nodes[widest]);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < nodes[i]->rank; k++)
            if (anl_node_axis(&like, nodes[i]->axes[k].id) < 0) {
                if (anl_axis_visible(g, nodes[i]->axes[k].id)) {
                    anl_problem(context, ANL_A_missing_axis, anl_value_span(context, &list->list.items[widest]),
                                "`concat`: %s lacks axis `%s`, which another part has", anl_visible_axes(context, nodes[widest]),
                                anl_graph_axis_name(g, nodes[i]->axes[k].id));
                    return ANL_ERROR_SPEC;
                }
                if (!room_for(context, &like, 1))
                    return ANL_ERROR_SPEC;
                memmove(&like.axes[1], &like.axes[0], sizeof like.axes[0] * (size_t)like.rank);
                like.axes[0] = nodes[i]->axes[k];
                like.rank++;
            }
    for (int i = 0; i < count; i++) {
        if (any_float)
            nodes[i] = anl_g_float(g, nodes[i]);
        like.axes[anl_node_axis(&like, axis)].size = anl_node_size(nodes[i], axis);
        nodes[i] = nodes[i]->rank == like.rank ? nodes[i] : anl_g_spread(g, nodes[i], &like);
    }
    *result = anl_node_value(context, anl_g_concat(g, nodes, count, axis));
    return ANL_OK;
}

static anl_status build_slice(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axis;
    if (!x || !anl_read_axis(context, &arguments[1], &axis) ||
        !anl_check_axis(context, x, axis, anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "slice"))
        return ANL_ERROR_SPEC;
    int64_t size = anl_node_size(x, axis);
    const char *name = anl_graph_axis_name(g, axis);
    if (arguments[5].kind != ANL_V_NONE) { /* a single index drops the axis */
        int64_t at;
        if (!anl_read_int(context, &arguments[5], 0, INT32_MIN, INT32_MAX, "an index", &at))
            return ANL_ERROR_SPEC;
        if (at < -size || at >= size) {
            anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[5]), "index %lld is outside axis `%s` of size %lld", (long long)at,
                        name, (long long)size);
            return ANL_ERROR_SPEC;
        }
        *result = anl_node_value(context, anl_g_drop(g, anl_g_slice(g, x, axis, (int32_t)(at < 0 ? at + size : at), 1, 1), axis));
        return ANL_OK;
    }
    int64_t start, stop, step;
    if (!anl_read_int(context, &arguments[2], 0, INT32_MIN, INT32_MAX, "the start of a slice", &start) ||
        !anl_read_int(context, &arguments[3], size, INT32_MIN, INT32_MAX, "the end of a slice", &stop) ||
        !anl_read_int(context, &arguments[4], 1, 1, INT32_MAX, "the step of a slice", &step))
        return ANL_ERROR_SPEC;
    int64_t from = start < 0 ? start + size : start, to = stop < 0 ? stop + size : stop;
    if (from < 0 || from > size || to < 0 || to > size) {
        anl_problem(context, ANL_A_out_of_range, context->span, "slice %lld:%lld reaches outside axis `%s` of size %lld", (long long)start, (long long)stop,
                    name, (long long)size);
        return ANL_ERROR_SPEC;
    }
    if (from >= to) {
        anl_problem(context, ANL_A_empty_result, context->span, "slice %lld:%lld of axis `%s` is empty", (long long)start, (long long)stop, name);
        return ANL_ERROR_SPEC;
    }
    *result = anl_node_value(context, anl_g_slice(g, x, axis, (int32_t)from, (int32_t)((to - from + step - 1) / step), (int32_t)step));
    return ANL_OK;
}

static const anl_builtin builtins[] = {
    {"rename", "movement", "The same elements with other axis names, all at once. Renaming is free.", "rename(codes, view=assign)",
     {{"x", 'v', NULL, "any axes"}, {"pairs", 'm', NULL, "from=to, …"}}, 2, build_rename, "those of x, under other names", "yes"},
    {"replicate", "movement", "x along new axes, equal everywhere. What is drawn before is shared by the copies; what is drawn after is not.",
     "replicate(image, view=2)", {{"x", 'v', NULL, "any axes"}, {"pairs", 'm', NULL, "axis=size, …"}}, 2, build_replicate, "the new ones, then those of x", "yes"},
    {"split", "movement", "One axis as several, outermost first; their sizes multiply to its size.", "split(x, channel, into={group: 8, channel: 4})",
     {{"x", 'v', NULL, "has the axis"}, {"axis", 'a', NULL, "which axis"}, {"into", 'm', NULL, "axis: size, …"}}, 3, build_split, "those of x, with the parts in place of the axis", "yes"},
    {"merge", "movement", "Several axes as one, the first outermost.", "merge(x, [y, x], into=position)",
     {{"x", 'v', NULL, "has the axes"}, {"axes", 'A', NULL, "which axes"}, {"into", 'a', NULL, "the new axis"}}, 3, build_merge, "those of x, with the new axis in place of the merged ones", "yes"},
    {"flip", "movement", "x backwards along an axis or several.", "flip(image, x)", {{"x", 'v', NULL, "has the axes"}, {"axis", 'A', NULL, "which axes"}}, 2,
     build_flip, "those of x", "yes"},
    {"pad", "movement", "x with `before` and `after` further elements of one value along each axis.", "pad(x, axis=[y, x], before=1, after=1)",
     {{"x", 'v', NULL, "has the axes"},
      {"axis", 'A', NULL, "which axes"},
      {"before", 'i', "0", "elements in front"},
      {"after", 'i', "0", "elements behind"},
      {"value", 'n', "0", "their value"}},
     5, build_pad, "those of x", "yes"},
    {"concat", "movement", "Several values one after the other along an axis that they all have; their other axes are equal.",
     "concat([pooled, encoder(local)], axis=view)", {{"values", 'l', NULL, "a list"}, {"axis", 'a', NULL, "along which axis"}}, 2, build_concat, "those of each value; only the joined axis may differ in size", "yes"},
    {"slice", "movement", "A part of x along an axis, written x[axis=start:end] or x[axis=index]; a single index drops the axis, negative ones count from the end.",
     "scores[view=0:2]",
     {{"x", 'v', NULL, "has the axis"},
      {"axis", 'a', NULL, "which axis"},
      {"start", 'i', "0", "first element"},
      {"end", 'i', "none", "element after the last"},
      {"step", 'i', "1", "distance between elements"},
      {"index", 'i', "none", "one element instead of a part"}},
     6, build_slice, "those of x; a single index drops the axis", "yes"},
};
const anl_builtin_list anl_builtins_movement = {builtins, ANL_COUNT(builtins)};
