/* Sources: constants, tables, indices, fields, states, the step, and draws.
 * In: attributes alone. Out: values that depend on no other value.
 * Draws are counter based (base/philox.h): any element can be had alone, in any order. */
#include "ops/build.h"

#include <math.h>

/* ---- builders ---- */

anl_node *anl_g_const(anl_graph *g, anl_dtype dtype, double value)
{
    anl_node draft = anl_draft(ANL_OP_CONST, dtype, 0, NULL);
    draft.attrs.value = value;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_index(anl_graph *g, int32_t axis, int32_t size)
{
    anl_node draft = anl_draft(ANL_OP_INDEX, ANL_I32, 0, NULL);
    draft.attrs.axis[0] = axis;
    anl_draft_add_axis(&draft, (anl_axis){axis, size});
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_table(anl_graph *g, anl_dtype dtype, const void *data, const anl_axis *axes, int rank)
{
    anl_node draft = anl_draft(ANL_OP_TABLE, dtype, 0, NULL);
    int64_t count = 1;
    for (int i = 0; i < rank; i++) {
        anl_draft_add_axis(&draft, axes[i]);
        count *= axes[i].size;
    }
    assert(count <= INT32_MAX);
    draft.attrs.table = data;
    draft.attrs.table_count = (int32_t)count;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_step(anl_graph *g, int which)
{
    anl_node draft = anl_draft(ANL_OP_STEP, ANL_F32, 0, NULL);
    draft.attrs.count = which;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_draw(anl_graph *g, anl_op op, uint64_t key, const anl_axis *axes, int rank, int32_t batch_axis)
{
    assert(op == ANL_OP_UNIFORM || op == ANL_OP_NORMAL);
    anl_node draft = anl_draft(op, ANL_F32, 0, NULL);
    draft.attrs.key = key;
    draft.attrs.axis[0] = -1;
    for (int i = 0; i < rank; i++) {
        anl_draft_add_axis(&draft, axes[i]);
        if (axes[i].id == batch_axis)
            draft.attrs.axis[0] = batch_axis;
        else
            draft.attrs.over[draft.attrs.over_count++] = axes[i].id;
    }
    return anl_graph_intern(g, &draft);
}

/* ---- the table ---- */

static const char *verify_const(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->rank == 0 ? NULL : "a constant has axes";
}

static const char *verify_table(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->attrs.table && node->attrs.table_count == anl_node_count(node) ? NULL : "the table's length differs from its axes";
}

static const char *verify_index(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->rank == 1 && node->axes[0].id == node->attrs.axis[0] && node->dtype == ANL_I32 ? NULL : "an index is int32 over its one axis";
}

static const char *verify_state(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    const anl_state *state = node->attrs.state;
    if (!state || state->rank != node->rank || state->dtype != node->dtype)
        return "the value of a state has the state's axes and dtype";
    for (int i = 0; i < node->rank; i++) {
        anl_axis axis = state->axes[state->order[i]];
        if (node->axes[i].id != axis.id || node->axes[i].size != axis.size)
            return "the value of a state has the state's axes in memory order";
    }
    return NULL;
}

static const char *verify_field(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->attrs.name ? NULL : "a field without a name";
}

static const char *verify_step(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->rank == 0 && node->dtype == ANL_F32 && node->attrs.count >= 0 && node->attrs.count <= 2 ? NULL : "the step is a float without axes";
}

static const char *verify_draw(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    if (node->dtype != ANL_F32)
        return "draws are float";
    int has_batch = node->attrs.axis[0] >= 0;
    if (node->attrs.over_count + has_batch != node->rank || (has_batch && anl_node_axis(node, node->attrs.axis[0]) < 0))
        return "a draw's element and sample axes are not its axes";
    for (int i = 0; i < node->attrs.over_count; i++)
        if (anl_node_axis(node, node->attrs.over[i]) < 0)
            return "a draw's element axes are not among its axes";
    return NULL;
}

static int32_t lower_const(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    (void)coordinates;
    return l->constant(l, node->dtype, node->attrs.value);
}

static int32_t lower_table(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t index = anl_l_int(l, 0);
    for (int i = 0; i < node->rank; i++)
        index = anl_l(l, ANL_S_ADD, anl_l(l, ANL_S_MUL, index, anl_l_int(l, node->axes[i].size)), coordinates[i]);
    return l->table(l, node, index);
}

static int32_t lower_index(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    (void)l;
    (void)node;
    return coordinates[0];
}

static int32_t lower_draw(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t element = anl_l_int(l, 0);
    for (int i = 0; i < node->attrs.over_count; i++) {
        int position = anl_node_axis(node, node->attrs.over[i]);
        element = anl_l(l, ANL_S_ADD, anl_l(l, ANL_S_MUL, element, anl_l_int(l, node->axes[position].size)), coordinates[position]);
    }
    int32_t sample = node->attrs.axis[0] < 0 ? -1 : coordinates[anl_node_axis(node, node->attrs.axis[0])];
    return l->draw(l, node->op, node->attrs.key, element, sample);
}

static double flops_none(const anl_node *node)
{
    (void)node;
    return 0;
}

/* Ten rounds of Philox, about eight integer operations each; a normal adds log, sqrt, cos. */
static double flops_draw(const anl_node *node) { return (node->op == ANL_OP_NORMAL ? 100.0 : 80.0) * (double)anl_node_count(node); }

const anl_op_info anl_info_const = {.op = ANL_OP_CONST, .name = "constant", .verify = verify_const, .lower = lower_const, .flops = flops_none};
const anl_op_info anl_info_table = {.op = ANL_OP_TABLE, .name = "table", .verify = verify_table, .lower = lower_table, .flops = flops_none};
const anl_op_info anl_info_index = {.op = ANL_OP_INDEX, .name = "index", .verify = verify_index, .lower = lower_index, .flops = flops_none};
const anl_op_info anl_info_field = {.op = ANL_OP_FIELD, .name = "field", .verify = verify_field, .flops = flops_none};
const anl_op_info anl_info_state = {.op = ANL_OP_STATE, .name = "state", .verify = verify_state, .flops = flops_none};
const anl_op_info anl_info_step = {.op = ANL_OP_STEP, .name = "step", .verify = verify_step, .flops = flops_none};
const anl_op_info anl_info_uniform = {.op = ANL_OP_UNIFORM, .name = "uniform", .verify = verify_draw, .lower = lower_draw, .flops = flops_draw};
const anl_op_info anl_info_normal = {.op = ANL_OP_NORMAL, .name = "normal", .verify = verify_draw, .lower = lower_draw, .flops = flops_draw};

/* ---- builtins ---- */

static anl_status build_index(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *of = anl_read_node(context, &arguments[0]);
    int32_t axis;
    if (!of || !anl_read_axis(context, &arguments[1], &axis))
        return ANL_ERROR_SPEC;
    anl_span span = anl_value_span(context, &arguments[0]);
    if (!anl_check_axis(context, of, axis, anl_value_span(context, &arguments[1]), span, "index"))
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_index(context->graph, axis, anl_node_size(of, axis)));
    return ANL_OK;
}

static anl_status build_size(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_node *of = anl_read_node(context, &arguments[0]);
    int32_t axes[ANL_MAX_AXES];
    int count;
    if (!of || !anl_read_axes(context, &arguments[1], "size", axes, &count))
        return ANL_ERROR_SPEC;
    anl_value value = {.kind = ANL_V_INT, .span = context->span, .integer = 1};
    for (int i = 0; i < count; i++)
        if (anl_node_axis(of, axes[i]) >= 0)
            value.integer *= anl_node_size(of, axes[i]);
    *result = value;
    return ANL_OK;
}

/* Own axes of a draw, with their sizes: pairs (axis, size), or axes whose size the frame, `like` or a ride-along axis knows. */
static bool add_own_axes(anl_context *context, const anl_value *value, const anl_node *like, anl_axis *axes, int *rank)
{
    anl_graph *g = context->graph;
    if (value->kind == ANL_V_NONE)
        return true;
    if (value->kind == ANL_V_MAPPING) {
        anl_axis_pair pairs[ANL_MAX_AXES];
        int count;
        if (!anl_read_pairs(context, value, pairs, ANL_MAX_AXES, &count))
            return false;
        for (int i = 0; i < count; i++) {
            int64_t size;
            if (!anl_read_int(context, pairs[i].value, 1, 1, INT32_MAX, "the size of an axis", &size))
                return false;
            int32_t id = anl_pair_new_axis(context, &pairs[i]);
            if (*rank == ANL_MAX_AXES) {
                anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
                return false;
            }
            axes[(*rank)++] = (anl_axis){id, (int32_t)size};
        }
        return true;
    }
    if (value->kind == ANL_V_LIST) {
        bool pair = value->list.count == 2 && value->list.items[0].kind == ANL_V_AXIS && value->list.items[1].kind == ANL_V_INT;
        if (!pair) {
            for (int i = 0; i < value->list.count; i++)
                if (!add_own_axes(context, &value->list.items[i], like, axes, rank))
                    return false;
            return true;
        }
    }
    int32_t id;
    int64_t size = 0;
    if (value->kind == ANL_V_LIST) {
        id = value->list.items[0].axis;
        if (!anl_read_int(context, &value->list.items[1], 1, 1, INT32_MAX, "the size of an axis", &size))
            return false;
    } else {
        if (!anl_read_axis(context, value, &id))
            return false;
        if (like)
            size = anl_node_size(like, id);
        if (!size && context->axis_size)
            size = context->axis_size(context, id);
    }
    for (int i = 0; i < *rank; i++)
        if (axes[i].id == id) /* rides along already */
            return true;
    if (size <= 0) {
        anl_diagnostic *d = anl_problem(context, ANL_A_missing_axis, anl_value_span(context, value), "the size of axis `%s` is not known here",
                                        anl_graph_axis_name(g, id));
        anl_diagnostic_suggest(context->diagnostics, d, "give like=v, a value that has this axis, or axes={%s: size}", anl_graph_axis_name(g, id));
        return false;
    }
    if (*rank == ANL_MAX_AXES) {
        anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
        return false;
    }
    axes[(*rank)++] = (anl_axis){id, (int32_t)size};
    return true;
}

/* The draw itself: axes_argument, like_argument as declared below. */
static anl_node *draw(anl_context *context, anl_op op, const anl_value *axes_argument, const anl_value *like_argument)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = 0;
    for (int i = 0; i < context->ride_count && rank < ANL_MAX_AXES; i++)
        axes[rank++] = context->ride[i];
    anl_node *like = NULL;
    if (like_argument->kind != ANL_V_NONE && !(like = anl_read_node(context, like_argument)))
        return NULL;
    if (!add_own_axes(context, axes_argument, like, axes, &rank))
        return NULL;
    return anl_g_draw(context->graph, op, context->draw_key, axes, rank, context->batch_axis);
}

/* a + b * u with static or tensor a, b. */
static anl_status scaled(anl_context *context, anl_node *u, const anl_value *offset, double offset_default, const anl_value *scale,
                         double scale_default, bool scale_is_end, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *a = offset->kind == ANL_V_NONE ? anl_g_const(g, ANL_F32, offset_default) : anl_read_float(context, offset);
    anl_node *b = scale->kind == ANL_V_NONE ? anl_g_const(g, ANL_F32, scale_default) : anl_read_float(context, scale);
    if (!a || !b)
        return ANL_ERROR_SPEC;
    if (scale_is_end)
        b = anl_g_binary(g, ANL_S_SUB, b, a);
    *result = anl_node_value(context, anl_g_binary(g, ANL_S_ADD, a, anl_g_binary(g, ANL_S_MUL, u, b)));
    return ANL_OK;
}

static bool static_number(const anl_value *v, double *number)
{
    *number = v->kind == ANL_V_INT ? (double)v->integer : v->number;
    return v->kind == ANL_V_INT || v->kind == ANL_V_NUMBER;
}

static anl_status build_uniform(anl_context *context, const anl_value *arguments, anl_value *result)
{
    double low, high;
    if (static_number(&arguments[0], &low) && static_number(&arguments[1], &high) && low > high) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[1]), "the range of this draw is reversed: from %g to %g", low, high);
        return ANL_ERROR_SPEC;
    }
    anl_node *u = draw(context, ANL_OP_UNIFORM, &arguments[2], &arguments[3]);
    return u ? scaled(context, u, &arguments[0], 0, &arguments[1], 1, true, result) : ANL_ERROR_SPEC;
}

static anl_status build_normal(anl_context *context, const anl_value *arguments, anl_value *result)
{
    double deviation;
    if (static_number(&arguments[1], &deviation) && deviation < 0) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[1]), "a standard deviation is not negative, as %g is", deviation);
        return ANL_ERROR_SPEC;
    }
    anl_node *n = draw(context, ANL_OP_NORMAL, &arguments[2], &arguments[3]);
    return n ? scaled(context, n, &arguments[0], 0, &arguments[1], 1, false, result) : ANL_ERROR_SPEC;
}

static anl_status build_bernoulli(anl_context *context, const anl_value *arguments, anl_value *result)
{
    double chance;
    if (static_number(&arguments[0], &chance) && !(chance >= 0 && chance <= 1)) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[0]), "a probability lies between 0 and 1, and this is %g", chance);
        return ANL_ERROR_SPEC;
    }
    anl_node *u = draw(context, ANL_OP_UNIFORM, &arguments[1], &arguments[2]);
    anl_node *p = anl_read_float(context, &arguments[0]);
    if (!u || !p)
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_binary(context->graph, ANL_S_LT, u, p));
    return ANL_OK;
}

static anl_status build_integer(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *u = draw(context, ANL_OP_UNIFORM, &arguments[2], &arguments[3]);
    anl_node *low = anl_value_node(context, &arguments[0], ANL_I32), *high = anl_value_node(context, &arguments[1], ANL_I32);
    if (!u || !low || !high)
        return ANL_ERROR_SPEC;
    if (low->op == ANL_OP_CONST && high->op == ANL_OP_CONST && low->attrs.value >= high->attrs.value) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[1]), "no integer lies in %.0f … %.0f (the end is excluded)",
                    low->attrs.value, high->attrs.value);
        return ANL_ERROR_SPEC;
    }
    anl_node *count = anl_g_float(g, anl_g_binary(g, ANL_S_SUB, high, low));
    anl_node *k = anl_g_cast(g, ANL_I32, anl_g_unary(g, ANL_S_FLOOR, anl_g_binary(g, ANL_S_MUL, u, count)));
    *result = anl_node_value(context, anl_g_binary(g, ANL_S_ADD, low, k));
    return ANL_OK;
}

#define AXES_PARAM {"axes", 'l', "[]", "own axes besides the ride-along ones: axes, or pairs axis: size"}
#define LIKE_PARAM {"like", 'v', "none", "a value that has the own axes, for their sizes"}
#define KEY_PARAM {"key", 't', "none", "a fixed name for the draw, instead of its path"}

static const anl_builtin builtins[] = {
    {"index", "source", "The position along an axis of v: 0, 1, … Its result has that one axis and is int.", "index(image, x)",
     {{"v", 'v', NULL, "a value that has the axis"}, {"axis", 'a', NULL, "which axis"}}, 2, build_index, "the axis alone", "none: int"},
    {"size", "source", "The product of the sizes of those of the axes that v has: a static int.", "size(x, space)",
     {{"v", 'v', NULL, "any value"}, {"axes", 'A', NULL, "an axis or a list of axes"}}, 2, build_size, "none: a static number", "none: static"},
    {"uniform", "draw",
     "Random numbers, uniform in low <= u < high (24 random bits), independent along the ride-along axes of the call and axes=. Philox 4x32-10 "
     "(Salmon et al. 2011), keyed by the seed and the draw's path.",
     "uniform(0.8, 1.2)",
     {{"low", 'v', "0", "start"}, {"high", 'v', "1", "end (excluded)"}, AXES_PARAM, LIKE_PARAM, KEY_PARAM}, 5, build_uniform, "the call's ride-along axes and axes=, and those of the arguments", "yes, to the arguments"},
    {"normal", "draw", "Random numbers, normal with this mean and standard deviation (Box and Muller 1958), independent like uniform's.",
     "normal(axes=[channel], like=x)",
     {{"mean", 'v', "0", "mean"}, {"std", 'v', "1", "standard deviation"}, AXES_PARAM, LIKE_PARAM, KEY_PARAM}, 5, build_normal, "the call's ride-along axes and axes=, and those of the arguments", "yes, to the arguments"},
    {"bernoulli", "draw", "Random conditions, true with probability p, independent like uniform's.", "where(bernoulli(0.5), flip(image, x), image)",
     {{"p", 'v', NULL, "probability of true"}, AXES_PARAM, LIKE_PARAM, KEY_PARAM}, 4, build_bernoulli, "the call's ride-along axes and axes=, and those of p", "none: bool"},
    {"integer", "draw", "Random integers low, low + 1, … high - 1, equally likely (up to 2^-24), independent like uniform's.", "integer(0, 4)",
     {{"low", 'v', NULL, "least"}, {"high", 'v', NULL, "end (excluded)"}, AXES_PARAM, LIKE_PARAM, KEY_PARAM}, 5, build_integer, "the call's ride-along axes and axes=, and those of the arguments", "none: int"},
};
const anl_builtin_list anl_builtins_source = {builtins, ANL_COUNT(builtins)};
