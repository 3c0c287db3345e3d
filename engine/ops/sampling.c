/* Elements chosen by computed positions: gather, interpolation at coordinates, the greatest few, sums over segments.
 * In: a source and int positions or float coordinates. Out: elements of the source, or mixtures of neighbours.
 * `sample` is gathers and weights, which the compiler fuses into one kernel; its gradient flows to the coordinates through the weights. */
#include "ops/build.h"

#include <math.h>

/* ---- builders ---- */

anl_node *anl_g_gather(anl_graph *g, anl_node *source, const int32_t *axes, anl_node *const *indices, int count, double fill)
{
    anl_node *inputs[1 + ANL_MAX_AXES] = {source};
    assert(count > 0 && count <= ANL_MAX_AXES);
    anl_node index_axes = anl_draft(ANL_OP_GATHER, ANL_I32, 0, NULL);
    for (int k = 0; k < count; k++) {
        assert(indices[k]->dtype == ANL_I32 && anl_node_axis(source, axes[k]) >= 0);
        inputs[1 + k] = indices[k];
        for (int i = 0; i < indices[k]->rank; i++)
            if (anl_node_axis(&index_axes, indices[k]->axes[i].id) < 0)
                anl_draft_add_axis(&index_axes, indices[k]->axes[i]);
    }
    anl_node draft = anl_draft(ANL_OP_GATHER, source->dtype, 1 + count, inputs);
    memcpy(draft.attrs.over, axes, sizeof *axes * (size_t)count);
    draft.attrs.over_count = count;
    draft.attrs.value = fill;
    /* The source's axes in front of the first one that positions concern stay outermost, the others become innermost. */
    bool placed = false;
    for (int i = 0; i < source->rank; i++) {
        bool gathered = anl_list_has(axes, count, source->axes[i].id), shared = anl_node_axis(&index_axes, source->axes[i].id) >= 0;
        if ((gathered || shared) && !placed) {
            placed = true;
            for (int k = 0; k < index_axes.rank; k++)
                anl_draft_add_axis(&draft, index_axes.axes[k]);
        }
        if (!gathered && !shared)
            anl_draft_add_axis(&draft, source->axes[i]);
    }
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_segment_sum(anl_graph *g, anl_node *a, int32_t axis, const int32_t *starts, int segments, int32_t segment_axis)
{
    anl_node draft = anl_draft(ANL_OP_SEGMENT_SUM, a->dtype, 1, &a);
    anl_draft_axes(&draft, a);
    draft.axes[anl_node_axis(a, axis)] = (anl_axis){segment_axis, segments};
    draft.attrs.axis[0] = axis;
    draft.attrs.axis[1] = segment_axis;
    draft.attrs.table = starts;
    draft.attrs.table_count = segments + 1;
    draft.attrs.count = segments;
    return anl_graph_intern(g, &draft);
}

static anl_node *top_k(anl_graph *g, anl_node *a, int32_t axis, int32_t count)
{
    anl_node draft = anl_draft(ANL_OP_TOP_K, ANL_I32, 1, &a);
    anl_draft_axes(&draft, a);
    draft.axes[anl_node_axis(a, axis)].size = count;
    draft.attrs.axis[0] = axis;
    draft.attrs.count = count;
    return anl_graph_intern(g, &draft);
}

/* ---- verification ---- */

static const char *verify_gather(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const anl_attrs *t = &node->attrs;
    if (node->input_count < 2 || node->input_count != 1 + t->over_count || node->dtype != node->inputs[0]->dtype)
        return "takes one position for each axis, and keeps the dtype";
    const anl_node *source = node->inputs[0];
    int found = 0;
    for (int k = 0; k < t->over_count; k++) {
        if (anl_node_axis(source, t->over[k]) < 0 || node->inputs[1 + k]->dtype != ANL_I32)
            return "positions are int, along axes of the source";
        for (int i = 0; i < node->inputs[1 + k]->rank; i++)
            if (anl_node_size(node, node->inputs[1 + k]->axes[i].id) != node->inputs[1 + k]->axes[i].size)
                return "the result lacks an axis of the positions";
    }
    for (int i = 0; i < source->rank; i++)
        if (!anl_list_has(t->over, t->over_count, source->axes[i].id) && anl_node_size(node, source->axes[i].id) != source->axes[i].size)
            return "the result lacks an axis of the source";
    for (int i = 0; i < node->rank; i++) {
        bool known = !anl_list_has(t->over, t->over_count, node->axes[i].id) && anl_node_axis(source, node->axes[i].id) >= 0;
        for (int k = 0; k < t->over_count; k++)
            known |= anl_node_axis(node->inputs[1 + k], node->axes[i].id) >= 0;
        found += known;
    }
    return found == node->rank ? NULL : "the result has an axis that no input has";
}

static const char *verify_segment_sum(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const anl_attrs *t = &node->attrs;
    if (node->input_count != 1 || node->dtype != node->inputs[0]->dtype || node->rank != node->inputs[0]->rank || !t->table ||
        t->table_count != t->count + 1 || anl_node_size(node, t->axis[1]) != t->count || anl_node_axis(node->inputs[0], t->axis[0]) < 0)
        return "segments do not fit";
    for (int i = 0; i < node->inputs[0]->rank; i++) {
        anl_axis axis = node->inputs[0]->axes[i];
        if (axis.id != t->axis[0] && anl_node_size(node, axis.id) != axis.size)
            return "another axis changes";
    }
    const int32_t *starts = t->table, size = anl_node_size(node->inputs[0], t->axis[0]);
    for (int i = 0; i < t->count; i++)
        if (starts[i] < 0 || starts[i] > starts[i + 1])
            return "segments are not in order";
    return starts[t->count] <= size ? NULL : "a segment ends outside";
}

static const char *verify_top_k(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    if (node->input_count != 1 || node->dtype != ANL_I32 || node->inputs[0]->dtype == ANL_BOOL || node->rank != node->inputs[0]->rank)
        return "takes numbers, gives int positions";
    for (int i = 0; i < node->inputs[0]->rank; i++) {
        anl_axis axis = node->inputs[0]->axes[i];
        if (anl_node_size(node, axis.id) != (axis.id == node->attrs.axis[0] ? node->attrs.count : axis.size))
            return "an axis has the wrong size";
    }
    return node->attrs.count >= 1 && node->attrs.count <= anl_node_size(node->inputs[0], node->attrs.axis[0]) ? NULL : "wrong count";
}

/* ---- gradients ---- */

/* By the source: a scatter with sums, which is not written. Reached only where a path from a weight leads through the source (gradient_missing). */
static anl_status gradient_gather(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    (void)g;
    (void)node;
    (void)h;
    (void)out;
    return ANL_ERROR_SPEC;
}

/* Each element gets the gradient of the segment it lies in, or nothing. */
static anl_status gradient_segment_sum(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    const anl_attrs *t = &node->attrs;
    const int32_t *starts = t->table, size = anl_node_size(node->inputs[0], t->axis[0]);
    if (node->dtype != ANL_F32)
        return ANL_OK;
    int32_t *segment = ANL_NEW_ARRAY(g->arena, int32_t, size);
    for (int32_t i = 0; i < size; i++)
        segment[i] = -1;
    for (int32_t s = 0; s < t->count; s++)
        for (int32_t i = starts[s]; i < starts[s + 1]; i++)
            segment[i] = s;
    anl_axis along = {t->axis[0], size};
    anl_node *table = anl_g_table(g, ANL_I32, segment, &along, 1);
    out[0] = anl_g_gather(g, h, &t->axis[1], &table, 1, 0);
    return ANL_OK;
}

/* ---- lowering ---- */

static int32_t lower_gather(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_node *source = node->inputs[0];
    int32_t at[ANL_MAX_AXES], guard = -1;
    for (int i = 0; i < source->rank; i++)
        if (!anl_list_has(node->attrs.over, node->attrs.over_count, source->axes[i].id))
            at[i] = coordinates[anl_node_axis(node, source->axes[i].id)];
    for (int k = 0; k < node->attrs.over_count; k++) {
        const anl_node *index = node->inputs[1 + k];
        int position = anl_node_axis(source, node->attrs.over[k]);
        int32_t index_at[ANL_MAX_AXES];
        anl_project(node, coordinates, index, index_at);
        at[position] = l->value(l, index, index_at);
        int32_t inside = anl_l_inside(l, at[position], source->axes[position].size);
        guard = guard < 0 ? inside : anl_l_bool(l, ANL_S_AND, guard, inside);
    }
    return anl_l_guarded(l, source, at, guard, node->attrs.value);
}

static double flops_gather(const anl_node *node) { return (double)anl_node_count(node) * node->attrs.over_count; }
static double flops_segment_sum(const anl_node *node) { return (double)anl_node_count(node->inputs[0]); }
static double flops_top_k(const anl_node *node)
{
    return (double)anl_node_count(node->inputs[0]) * log2((double)anl_node_size(node->inputs[0], node->attrs.axis[0]) + 1);
}

const anl_op_info anl_info_gather = {.op = ANL_OP_GATHER,
                                     .name = "gather",
                                     .verify = verify_gather,
                                     .gradient = gradient_gather,
                                     .gradient_missing = true,
                                     .lower = lower_gather,
                                     .flops = flops_gather};
const anl_op_info anl_info_segment_sum = {.op = ANL_OP_SEGMENT_SUM,
                                          .name = "segment_sum",
                                          .verify = verify_segment_sum,
                                          .gradient = gradient_segment_sum,
                                          .flops = flops_segment_sum};
const anl_op_info anl_info_top_k = {.op = ANL_OP_TOP_K, .name = "top_k", .verify = verify_top_k, .flops = flops_top_k};

/* ---- builtins ---- */

static bool gather_shapes(anl_context *context, const anl_value *source_value, const anl_node *source, const int32_t *axes, int count,
                          const anl_value *const *values, anl_node *const *indices, const char *call)
{
    int rank = source->rank - count;
    int32_t seen[ANL_MAX_AXES * 3];
    int seen_count = 0;
    for (int k = 0; k < count; k++) {
        if (!anl_check_shared(context, values[k], indices[k], source_value, source, axes, count))
            return false;
        for (int j = 0; j < k; j++)
            if (!anl_check_shared(context, values[k], indices[k], values[j], indices[j], NULL, 0))
                return false;
        for (int i = 0; i < indices[k]->rank; i++) {
            int32_t id = indices[k]->axes[i].id;
            bool in_source = anl_node_axis(source, id) >= 0 && !anl_list_has(axes, count, id);
            if (in_source || anl_list_has(seen, seen_count, id))
                continue;
            seen[seen_count++] = id;
            rank++;
        }
    }
    if (rank <= ANL_MAX_AXES)
        return true;
    anl_problem(context, ANL_A_too_many_axes, context->span, "`%s`: the result would have %d axes; at most %d are possible", call, rank, ANL_MAX_AXES);
    return false;
}

static anl_status build_gather(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *source = anl_read_node(context, &arguments[0]);
    int32_t axes[ANL_MAX_AXES];
    int count;
    double fill;
    if (!source || !anl_read_axes(context, &arguments[1], "gather", axes, &count) || !anl_read_number(context, &arguments[3], 0, "`outside`", &fill))
        return ANL_ERROR_SPEC;
    const anl_value *given = &arguments[2], *values[ANL_MAX_AXES];
    int index_count = given->kind == ANL_V_LIST ? given->list.count : 1;
    if (count == 0 || count > 3 || index_count != count) {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, given),
                    "`gather` takes one index for each axis (one to three axes), but there are %d for %d", index_count, count);
        return ANL_ERROR_SPEC;
    }
    anl_node *indices[ANL_MAX_AXES];
    for (int k = 0; k < count; k++) {
        values[k] = given->kind == ANL_V_LIST ? &given->list.items[k] : given;
        if (!anl_check_axis(context, source, axes[k], anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "gather"))
            return ANL_ERROR_SPEC;
        if (values[k]->kind == ANL_V_NODE && values[k]->node->dtype == ANL_F32) {
            anl_diagnostic *d = anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, values[k]), "`gather` takes int positions, but this is %s",
                                            anl_value_kind_text(values[k]));
            anl_diagnostic_suggest(context->diagnostics, d, "cast(…, int), or sample(…) to interpolate");
            return ANL_ERROR_SPEC;
        }
        if (!(indices[k] = anl_value_node(context, values[k], ANL_I32)))
            return ANL_ERROR_SPEC;
    }
    if (!gather_shapes(context, &arguments[0], source, axes, count, values, indices, "gather"))
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_gather(context->graph, source, axes, indices, count, fill));
    return ANL_OK;
}

static anl_status build_sample(anl_context *context, const anl_value *arguments, anl_value *result)
{
    static const char *const names[] = {"z", "y", "x"};
    anl_graph *g = context->graph;
    anl_node *image = anl_read_float(context, &arguments[0]);
    if (!image)
        return ANL_ERROR_SPEC;
    bool edge = false;
    if (arguments[4].kind == ANL_V_TEXT && strcmp(arguments[4].text, "edge") == 0) {
        edge = true;
    } else if (arguments[4].kind != ANL_V_NONE && !(arguments[4].kind == ANL_V_TEXT && strcmp(arguments[4].text, "zero") == 0)) {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, &arguments[4]), "`sample`: outside is zero or edge");
        return ANL_ERROR_SPEC;
    }
    /* The image's own space axes, in the order z, y, x; which may be fresh ids of that name. */
    int32_t axes[3];
    anl_node *low[3], *high[3], *weight[3];
    const anl_value *values[3];
    anl_node *coordinates[3];
    int count = 0;
    for (int i = 0; i < 3; i++) {
        const anl_value *given = &arguments[i == 0 ? 3 : i == 1 ? 1 : 2];
        if (given->kind == ANL_V_NONE)
            continue;
        int32_t axis = -1;
        for (int k = 0; k < image->rank; k++)
            if (anl_is_space(g, image->axes[k].id) && strcmp(anl_graph_axis_name(g, image->axes[k].id), names[i]) == 0)
                axis = image->axes[k].id;
        if (axis < 0) {
            anl_problem(context, ANL_A_missing_axis, anl_value_span(context, given), "`sample`: the image %s has no axis `%s`", anl_visible_axes(context, image),
                        names[i]);
            return ANL_ERROR_SPEC;
        }
        if (!(coordinates[count] = anl_read_float(context, given)))
            return ANL_ERROR_SPEC;
        values[count] = given;
        axes[count++] = axis;
    }
    if (count == 0) {
        anl_problem(context, ANL_A_missing_argument, context->span, "`sample` needs coordinates: y=, x= or z=");
        return ANL_ERROR_SPEC;
    }
    if (!gather_shapes(context, &arguments[0], image, axes, count, values, coordinates, "sample"))
        return ANL_ERROR_SPEC;
    anl_node *one = anl_g_const(g, ANL_I32, 1), *unit = anl_g_const(g, ANL_F32, 1);
    for (int k = 0; k < count; k++) {
        /* Held within one pixel around the image, so that the conversion to int cannot overflow. Beyond that all neighbours lie outside. */
        int32_t size = anl_node_size(image, axes[k]);
        anl_node *c = anl_g_binary(g, ANL_S_MAXIMUM, coordinates[k], anl_g_const(g, ANL_F32, edge ? 0 : -1));
        c = anl_g_binary(g, ANL_S_MINIMUM, c, anl_g_const(g, ANL_F32, edge ? size - 1 : size));
        anl_node *floor = anl_g_unary(g, ANL_S_FLOOR, c);
        weight[k] = anl_g_binary(g, ANL_S_SUB, c, floor);
        low[k] = anl_g_cast(g, ANL_I32, floor);
        high[k] = anl_g_binary(g, ANL_S_ADD, low[k], one);
        if (edge)
            high[k] = anl_g_binary(g, ANL_S_MINIMUM, high[k], anl_g_const(g, ANL_I32, size - 1));
    }
    /* Interpolate along the last axis first: at every level, low + weight * (high - low), written so that each end is exact. */
    anl_node *corner[8];
    for (int c = 0; c < 1 << count; c++) {
        anl_node *indices[3];
        for (int k = 0; k < count; k++)
            indices[k] = c >> (count - 1 - k) & 1 ? high[k] : low[k];
        corner[c] = anl_g_gather(g, image, axes, indices, count, 0);
    }
    for (int k = count - 1; k >= 0; k--)
        for (int c = 0; c < 1 << k; c++) {
            anl_node *rest = anl_g_binary(g, ANL_S_SUB, unit, weight[k]);
            corner[c] = anl_g_binary(g, ANL_S_ADD, anl_g_binary(g, ANL_S_MUL, corner[2 * c], rest), anl_g_binary(g, ANL_S_MUL, corner[2 * c + 1], weight[k]));
        }
    *result = anl_node_value(context, corner[0]);
    return ANL_OK;
}

static anl_status build_top_k(anl_context *context, const anl_value *arguments, anl_value *result)
{
    static const char *members[] = {"value", "index"};
    anl_graph *g = context->graph;
    anl_node *x = anl_read_node(context, &arguments[0]);
    int32_t axis;
    int64_t count;
    if (!x || !anl_read_axis(context, &arguments[1], &axis) ||
        !anl_check_axis(context, x, axis, anl_value_span(context, &arguments[1]), anl_value_span(context, &arguments[0]), "top_k") ||
        !anl_read_int(context, &arguments[2], 1, 1, anl_node_size(x, axis), "the number of elements", &count))
        return ANL_ERROR_SPEC;
    if (x->dtype == ANL_BOOL)
        x = anl_g_cast(g, ANL_I32, x);
    anl_node *index = top_k(g, x, axis, (int32_t)count);
    anl_value value = {.kind = ANL_V_MAPPING, .span = context->span};
    value.mapping.names = ANL_NEW_ARRAY(g->arena, const char *, 2);
    value.mapping.items = ANL_NEW_ARRAY(g->arena, anl_value, 2);
    value.mapping.count = 2;
    memcpy(value.mapping.names, members, sizeof members);
    value.mapping.items[0] = anl_node_value(context, anl_g_gather(g, x, &axis, &index, 1, 0));
    value.mapping.items[1] = anl_node_value(context, index);
    *result = value;
    return ANL_OK;
}

static const anl_builtin builtins[] = {
    {"gather", "sampling",
     "Elements of the source at int positions along one to three axes; those axes are replaced by the positions' axes. Axes that source and positions share "
     "otherwise are aligned. No gradient by the source yet.",
     "gather(queue, memory, index=nearest)",
     {{"source", 'v', NULL, "any dtype"},
      {"axis", 'A', NULL, "an axis or a list"},
      {"index", 'v', NULL, "int, one for each axis (a list if several)"},
      {"outside", 'n', "0", "what positions outside the source give"}},
     4, build_gather, "those of the source, with those of the positions in place of the gathered ones", "not yet to the source (A0502)"},
    {"sample", "sampling",
     "The image at coordinates between its elements, by linear interpolation along each space axis that is given. Coordinates count elements: 0 is the centre of "
     "the first. The image's axes are replaced by the coordinates' axes. Gradients flow to the coordinates, not yet to the image. Float.",
     "sample(image, y=centre_y + scale * v, x=centre_x + scale * u)",
     {{"image", 'v', NULL, "has the space axes"},
      {"y", 'v', "none", "coordinate along y"},
      {"x", 'v', "none", "coordinate along x"},
      {"z", 'v', "none", "coordinate along z"},
      {"outside", 't', "zero", "zero: 0 beyond the image; edge: its border goes on"}},
     5, build_sample, "those of the image, with those of the coordinates in place of its space axes", "to the coordinates; not yet to the image (A0502)"},
    {"top_k", "sampling", "The greatest elements along an axis, greatest first, and their positions; of equal ones the first. A mapping of value and index.",
     "top_k(similarity, memory, 20)", {{"x", 'v', NULL, "numbers"}, {"axis", 'a', NULL, "which axis"}, {"count", 'i', NULL, "how many"}}, 3, build_top_k, "those of x, the axis shorter", "none yet"},
};
const anl_builtin_list anl_builtins_sampling = {builtins, ANL_COUNT(builtins)};
