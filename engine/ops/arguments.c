/* Reading the arguments of a call: numbers, axes, pairs and tensors, and the rules of axes that operations share.
 * In: values as the tracer bound them. Out: what the operation needs, or a diagnostic with place, cause and remedy. */
#include "ops/build.h"

#include <math.h>

anl_diagnostic *anl_problem(anl_context *context, anl_code code, anl_span span, const char *format, ...)
{
    va_list args;
    anl_text text = {0};
    va_start(args, format);
    anl_text_vprintf(&text, format, args);
    va_end(args);
    anl_diagnostic *d = anl_diagnose(context->diagnostics, code, span, "%s", text.data ? text.data : "");
    anl_text_free(&text);
    return d;
}

anl_span anl_value_span(const anl_context *context, const anl_value *value)
{
    if (value->span.line)
        return value->span;
    if (value->kind == ANL_V_NODE && value->node->span.line)
        return value->node->span;
    return context->span;
}

const char *anl_value_kind_text(const anl_value *value)
{
    switch (value->kind) {
    case ANL_V_NONE:
        return "nothing";
    case ANL_V_NODE:
        if (value->node->dtype == ANL_BOOL)
            return value->node->rank ? "a tensor of conditions" : "a condition";
        if (value->node->dtype == ANL_I32)
            return value->node->rank ? "a tensor of integers" : "an integer";
        return value->node->rank ? "a tensor" : "a number";
    case ANL_V_INT:
        return "an integer";
    case ANL_V_NUMBER:
        return "a number";
    case ANL_V_BOOL:
        return value->truth ? "`true`" : "`false`";
    case ANL_V_TEXT:
        return "a word";
    case ANL_V_AXIS:
        return "an axis";
    case ANL_V_LIST:
        return "a list";
    case ANL_V_MAPPING:
        return "a mapping";
    case ANL_V_FUNCTION:
        return "a function";
    case ANL_V_DURATION:
        return "a duration";
    }
    return "something else";
}

/* ---- tensors and numbers ---- */

static anl_node *not_a_tensor(anl_context *context, const anl_value *value)
{
    anl_diagnostic *d =
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "a tensor or a number is needed here, but this is %s", anl_value_kind_text(value));
    if (value->kind == ANL_V_MAPPING && value->mapping.count > 0)
        anl_diagnostic_suggest(context->diagnostics, d, "name one of its members, such as `.%s`", value->mapping.names[0]);
    return NULL;
}

anl_node *anl_value_node(anl_context *context, const anl_value *value, anl_dtype dtype)
{
    anl_graph *g = context->graph;
    switch (value->kind) {
    case ANL_V_NODE:
        return anl_g_cast(g, dtype, value->node);
    case ANL_V_INT:
        if (dtype == ANL_I32 && (value->integer > INT32_MAX || value->integer < INT32_MIN)) {
            anl_problem(context, ANL_A_out_of_range, anl_value_span(context, value), "%lld does not fit in a 32-bit integer", (long long)value->integer);
            return NULL;
        }
        return anl_g_const(g, dtype, dtype == ANL_BOOL ? value->integer != 0 : (double)value->integer);
    case ANL_V_NUMBER:
        if (dtype == ANL_I32 && (value->number != floor(value->number) || fabs(value->number) > INT32_MAX)) {
            anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "a whole number is needed here, but this is %g", value->number);
            return NULL;
        }
        return anl_g_const(g, dtype, dtype == ANL_BOOL ? value->number != 0 : value->number);
    case ANL_V_BOOL:
        if (dtype != ANL_BOOL)
            return not_a_tensor(context, value);
        return anl_g_const(g, dtype, value->truth);
    default:
        return not_a_tensor(context, value);
    }
}

anl_node *anl_read_node(anl_context *context, const anl_value *value)
{
    switch (value->kind) {
    case ANL_V_NODE:
        return value->node;
    case ANL_V_INT:
        return anl_value_node(context, value, value->integer > INT32_MAX || value->integer < INT32_MIN ? ANL_F32 : ANL_I32);
    case ANL_V_BOOL:
        return anl_value_node(context, value, ANL_BOOL);
    default:
        return anl_value_node(context, value, ANL_F32);
    }
}

anl_node *anl_read_float(anl_context *context, const anl_value *value) { return anl_value_node(context, value, ANL_F32); }

bool anl_read_int(anl_context *context, const anl_value *value, int64_t fallback, int64_t low, int64_t high, const char *what, int64_t *out)
{
    if (value->kind == ANL_V_NONE) {
        *out = fallback;
        return true;
    }
    if (value->kind == ANL_V_INT) {
        *out = value->integer;
    } else if (value->kind == ANL_V_NUMBER && value->number == floor(value->number) && fabs(value->number) < 1e15) {
        *out = (int64_t)value->number;
    } else if (value->kind == ANL_V_NODE) {
        anl_diagnostic *d = anl_problem(context, ANL_A_not_static, anl_value_span(context, value), "%s must be known when the spec is read, but this is computed", what);
        anl_diagnostic_note(context->diagnostics, d, "shapes do not depend on data");
        return false;
    } else {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "%s is a whole number, but this is %s", what, anl_value_kind_text(value));
        return false;
    }
    if (*out >= low && *out <= high)
        return true;
    if (high >= INT32_MAX / 4)
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, value), "%s must be at least %lld, but this is %lld", what, (long long)low,
                    (long long)*out);
    else
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, value), "%s must lie in %lld … %lld, but this is %lld", what, (long long)low,
                    (long long)high, (long long)*out);
    return false;
}

bool anl_read_number(anl_context *context, const anl_value *value, double fallback, const char *what, double *out)
{
    switch (value->kind) {
    case ANL_V_NONE:
        *out = fallback;
        return true;
    case ANL_V_INT:
        *out = (double)value->integer;
        return true;
    case ANL_V_NUMBER:
        *out = value->number;
        return true;
    case ANL_V_NODE:
        anl_problem(context, ANL_A_not_static, anl_value_span(context, value), "%s must be known when the spec is read, but this is computed", what);
        return false;
    default:
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "%s is a number, but this is %s", what, anl_value_kind_text(value));
        return false;
    }
}

/* ---- axes ---- */

bool anl_axis_visible(const anl_graph *graph, int32_t axis) { return axis >= 0 && axis < graph->axis_count && !graph->axis_names[axis].hidden; }

const char *anl_visible_axes(anl_context *context, const anl_node *node)
{
    anl_axis axes[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < node->rank; i++)
        if (anl_axis_visible(context->graph, node->axes[i].id))
            axes[count++] = node->axes[i];
    return anl_axes_text(context->graph, context->graph->arena, axes, count);
}

bool anl_read_axis(anl_context *context, const anl_value *value, int32_t *out)
{
    if (value->kind == ANL_V_LIST && value->list.count == 1) /* such as `space` of a value with one space axis */
        value = &value->list.items[0];
    if (value->kind == ANL_V_AXIS) {
        *out = value->axis;
        return true;
    }
    if (value->kind == ANL_V_NONE)
        anl_problem(context, ANL_A_missing_argument, context->span, "an axis is needed here");
    else
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "an axis is needed here, but this is %s", anl_value_kind_text(value));
    return false;
}

static bool add_axes(anl_context *context, const anl_value *value, const char *call, int32_t *out, int *count)
{
    if (value->kind == ANL_V_LIST) {
        for (int i = 0; i < value->list.count; i++)
            if (!add_axes(context, &value->list.items[i], call, out, count))
                return false;
        return true;
    }
    if (value->kind != ANL_V_AXIS) {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "`%s` takes an axis or a list of axes here, but this is %s", call,
                    anl_value_kind_text(value));
        return false;
    }
    if (anl_list_has(out, *count, value->axis))
        return true;
    if (*count == ANL_MAX_AXES) {
        anl_problem(context, ANL_A_too_many_axes, anl_value_span(context, value), "more than %d axes", ANL_MAX_AXES);
        return false;
    }
    out[(*count)++] = value->axis;
    return true;
}

bool anl_read_axes(anl_context *context, const anl_value *value, const char *call, int32_t *out, int *count)
{
    *count = 0;
    if (value->kind == ANL_V_NONE) {
        anl_diagnostic *d = anl_problem(context, ANL_A_missing_over, context->span, "`%s` needs over=, the axes to reduce over", call);
        anl_diagnostic_suggest(context->diagnostics, d, "over=all reduces over all axes that are visible here");
        return false;
    }
    return add_axes(context, value, call, out, count);
}

bool anl_check_axis(anl_context *context, const anl_node *node, int32_t axis, anl_span span, anl_span node_span, const char *call)
{
    if (anl_node_axis(node, axis) >= 0)
        return true;
    anl_graph *g = context->graph;
    const char *name = anl_graph_axis_name(g, axis);
    anl_diagnostic *d = anl_problem(context, ANL_A_missing_axis, span, "`%s`: the value has no axis `%s`; its axes are %s", call, name,
                                    anl_visible_axes(context, node));
    if (node_span.line != span.line || node_span.column != span.column)
        anl_diagnostic_label(context->diagnostics, d, node_span, "the value");
    const char *names[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < node->rank; i++)
        if (anl_axis_visible(g, node->axes[i].id))
            names[count++] = anl_graph_axis_name(g, node->axes[i].id);
    anl_diagnostic_nearest(context->diagnostics, d, span, name, names, count, false);
    return false;
}

/* ---- pairs ---- */

bool anl_read_pairs(anl_context *context, const anl_value *value, anl_axis_pair *out, int limit, int *count)
{
    *count = 0;
    int given = value->kind == ANL_V_MAPPING ? value->mapping.count : value->kind == ANL_V_LIST ? value->list.count : -1;
    if (given < 0) {
        anl_problem(context, value->kind == ANL_V_NONE ? ANL_A_missing_argument : ANL_A_type_mismatch, anl_value_span(context, value),
                    "pairs axis=… are needed here, but this is %s", anl_value_kind_text(value));
        return false;
    }
    if (given == 0 || given > limit) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, value), given ? "too many axes here: %d" : "axes are missing here (%d given)", given);
        return false;
    }
    for (int i = 0; i < given; i++) {
        anl_axis_pair pair = {.axis = -1, .span = context->span};
        if (value->kind == ANL_V_MAPPING) {
            pair.name = value->mapping.names[i];
            pair.value = &value->mapping.items[i];
        } else {
            const anl_value *item = &value->list.items[i];
            if (item->kind != ANL_V_LIST || item->list.count != 2 || (item->list.items[0].kind != ANL_V_AXIS && item->list.items[0].kind != ANL_V_TEXT)) {
                anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, item), "a pair of an axis and its value is needed here");
                return false;
            }
            if (item->list.items[0].kind == ANL_V_AXIS)
                pair.axis = item->list.items[0].axis;
            else
                pair.name = item->list.items[0].text;
            pair.value = &item->list.items[1];
        }
        pair.span = anl_value_span(context, pair.value);
        out[(*count)++] = pair;
    }
    return true;
}

static int32_t named_axis(anl_context *context, const char *name)
{
    return context->axis_named ? context->axis_named(context, name) : anl_graph_axis(context->graph, name);
}

int32_t anl_pair_new_axis(anl_context *context, const anl_axis_pair *pair) { return pair->name ? named_axis(context, pair->name) : pair->axis; }

int32_t anl_pair_axis_of(anl_context *context, const anl_axis_pair *pair, const anl_node *node)
{
    int32_t axis = pair->axis;
    if (pair->name) {
        for (int i = 0; i < node->rank; i++)
            if (anl_axis_visible(context->graph, node->axes[i].id) && strcmp(anl_graph_axis_name(context->graph, node->axes[i].id), pair->name) == 0)
                return node->axes[i].id;
        axis = named_axis(context, pair->name);
    }
    return anl_check_axis(context, node, axis, pair->span, pair->span, "rename") ? axis : -1;
}

int32_t anl_value_new_axis(anl_context *context, const anl_value *value)
{
    if (value->kind == ANL_V_AXIS)
        return value->axis;
    if (value->kind == ANL_V_TEXT)
        return named_axis(context, value->text);
    anl_problem(context, value->kind == ANL_V_NONE ? ANL_A_missing_argument : ANL_A_type_mismatch, anl_value_span(context, value),
                "the name of an axis is needed here, but this is %s", anl_value_kind_text(value));
    return -1;
}

/* ---- rules that operations share ---- */

/* One side of a mismatch: the value, and the place that made its axis so long. */
static void label_side(anl_context *context, anl_diagnostic *d, const anl_value *value, const anl_node *node, int32_t axis)
{
    const anl_span span = anl_value_span(context, value), origin = anl_node_axis_origin(node, axis);
    if (anl_span_same(span, origin)) {
        anl_diagnostic_label(context->diagnostics, d, span, "`%s` is %d from here: %s", anl_graph_axis_name(context->graph, axis),
                             anl_node_size(node, axis), anl_visible_axes(context, node));
        return;
    }
    anl_diagnostic_label(context->diagnostics, d, span, "this has %s", anl_visible_axes(context, node));
    anl_graph_label_axis(context->diagnostics, d, context->graph, node, axis);
}

bool anl_check_shared(anl_context *context, const anl_value *a, const anl_node *na, const anl_value *b, const anl_node *nb, const int32_t *except,
                      int except_count)
{
    for (int i = 0; i < na->rank; i++) {
        anl_axis axis = na->axes[i];
        int32_t there = anl_node_size(nb, axis.id);
        if (!there || there == axis.size || anl_list_has(except, except_count, axis.id))
            continue;
        const char *name = anl_graph_axis_name(context->graph, axis.id);
        anl_diagnostic *d = anl_problem(context, ANL_A_axis_mismatch, context->span.line ? context->span : anl_value_span(context, a),
                                        "axis `%s` is %d in one value and %d in the other", name, axis.size, there);
        label_side(context, d, a, na, axis.id);
        label_side(context, d, b, nb, axis.id);
        return false;
    }
    return true;
}

/* The number of visible axes of all that node lacks. */
static int lacking(const anl_graph *g, const anl_node *node, anl_node *const *nodes, const bool *counted, int count)
{
    int missing = 0;
    for (int k = 0; k < count; k++)
        for (int i = 0; counted[k] && i < nodes[k]->rank; i++)
            missing += anl_axis_visible(g, nodes[k]->axes[i].id) && anl_node_axis(node, nodes[k]->axes[i].id) < 0;
    return missing;
}

bool anl_check_elementwise(anl_context *context, const char *name, const anl_value *operands, anl_node *const *nodes, int count)
{
    anl_graph *g = context->graph;
    for (int k = 1; k < count; k++)
        for (int j = 0; j < k; j++)
            if (!anl_check_shared(context, &operands[k], nodes[k], &operands[j], nodes[j], NULL, 0))
                return false;
    /* Either one operand has all axes, or one has all but those that marked operands bring. */
    bool everything[3] = {true, true, true}, unmarked[3];
    bool covered = false;
    for (int k = 0; k < count; k++)
        unmarked[k] = !operands[k].outer;
    for (int k = 0; k < count; k++)
        covered |= lacking(g, nodes[k], nodes, everything, count) == 0 || lacking(g, nodes[k], nodes, unmarked, count) == 0;
    if (!covered) {
        /* Told of the widest operand and the first that brings something new. */
        int wide = 0, other = -1;
        for (int k = 1; k < count; k++)
            if (nodes[k]->rank > nodes[wide]->rank)
                wide = k;
        for (int k = 0; k < count && other < 0; k++)
            if (k != wide && unmarked[k] && lacking(g, nodes[wide], &nodes[k], everything, 1))
                other = k;
        for (int k = 0; k < count && other < 0; k++) /* the widest is the one that is not marked */
            other = k != wide ? k : -1;
        anl_span span = anl_value_span(context, &operands[other]), wide_span = anl_value_span(context, &operands[wide]);
        anl_diagnostic *d = anl_problem(context, ANL_A_outer_product, context->span.line ? context->span : span,
                                        "`%s` of %s and %s: neither has all axes of the other, so this would be an outer product", name,
                                        anl_visible_axes(context, nodes[wide]), anl_visible_axes(context, nodes[other]));
        anl_diagnostic_label(context->diagnostics, d, wide_span, "this has %s", anl_visible_axes(context, nodes[wide]));
        anl_diagnostic_label(context->diagnostics, d, span, "this has %s", anl_visible_axes(context, nodes[other]));
        anl_diagnostic_suggest(context->diagnostics, d, "outer(...) around one of them if that is meant; rename(...) if their axes should be the same");
        return false;
    }
    int rank = 0;
    for (int k = 0; k < count; k++)
        for (int i = 0; i < nodes[k]->rank; i++) {
            bool seen = false;
            for (int j = 0; j < k; j++)
                seen |= anl_node_axis(nodes[j], nodes[k]->axes[i].id) >= 0;
            rank += !seen;
        }
    if (rank <= ANL_MAX_AXES)
        return true;
    anl_problem(context, ANL_A_too_many_axes, context->span, "`%s` would give %d axes; a value has at most %d", name, rank, ANL_MAX_AXES);
    return false;
}
