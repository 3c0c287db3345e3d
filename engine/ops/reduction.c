/* Reductions over named axes: sum, max, argmax, logsumexp, mean and variance.
 * In: a value and the axes to reduce over. Out: the value without those axes.
 * Over nothing (an empty `rest`) a reduction changes nothing. */
#include "ops/build.h"

/* ---- builder ---- */

static anl_node *number(anl_graph *g, double value) { return anl_g_const(g, ANL_F32, value); }

anl_node *anl_g_reduce(anl_graph *g, anl_op op, anl_node *a, const int32_t *over, int over_count)
{
    int32_t axes[ANL_MAX_AXES];
    int count = 0;
    if (op == ANL_OP_SUM && a->dtype == ANL_BOOL)
        a = anl_g_cast(g, ANL_I32, a);
    anl_node *factor = NULL;
    for (int i = 0; i < over_count; i++) {
        int32_t size = anl_node_size(a, over[i]);
        assert(size > 0);
        if (size == 1) {
            a = anl_g_drop(g, a, over[i]);
        } else if (op == ANL_OP_SUM && a->op == ANL_OP_REPLICATE && a->attrs.axis[0] == over[i]) { /* a sum of equal terms */
            anl_node *n = anl_g_const(g, a->dtype, size);
            factor = factor ? anl_g_binary(g, ANL_S_MUL, factor, n) : n;
            a = a->inputs[0];
        } else {
            axes[count++] = over[i];
        }
    }
    if (factor)
        return anl_g_binary(g, ANL_S_MUL, anl_g_reduce(g, op, a, axes, count), factor);
    if (count == 0) {
        if (op != ANL_OP_ARGMAX && op != ANL_OP_VARIANCE)
            return a;
        return anl_g_spread(g, anl_g_const(g, op == ANL_OP_ARGMAX ? ANL_I32 : ANL_F32, 0), a);
    }
    anl_node draft = anl_draft(op, op == ANL_OP_ARGMAX ? ANL_I32 : a->dtype, 1, &a);
    for (int i = 0; i < a->rank; i++)
        if (!anl_list_has(axes, count, a->axes[i].id))
            anl_draft_add_axis(&draft, a->axes[i]);
        else if (op != ANL_OP_ARGMAX) /* one way to write a set, so that equal reductions are one node */
            draft.attrs.over[draft.attrs.over_count++] = a->axes[i].id;
    if (op == ANL_OP_ARGMAX) {
        memcpy(draft.attrs.over, axes, sizeof axes[0] * (size_t)count);
        draft.attrs.over_count = count;
    }
    return anl_graph_intern(g, &draft);
}

/* ---- verification ---- */

static const char *verify_reduce(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    if (node->input_count != 1)
        return "takes one input";
    const anl_node *x = node->inputs[0];
    if (node->op == ANL_OP_ARGMAX ? node->dtype != ANL_I32 : node->dtype != x->dtype)
        return "wrong result dtype";
    bool takes_int = node->op == ANL_OP_SUM || node->op == ANL_OP_MAX || node->op == ANL_OP_ARGMAX;
    if (x->dtype == ANL_BOOL || (x->dtype == ANL_I32 && !takes_int))
        return "wrong operand dtype";
    if (node->attrs.over_count == 0)
        return "reduces over nothing";
    for (int i = 0; i < node->attrs.over_count; i++)
        if (anl_node_axis(x, node->attrs.over[i]) < 0 || anl_list_has(node->attrs.over, i, node->attrs.over[i]))
            return "reduces over an axis that the input lacks, or twice";
    if (node->rank != x->rank - node->attrs.over_count)
        return "wrong number of axes";
    for (int i = 0; i < node->rank; i++)
        if (anl_node_size(x, node->axes[i].id) != node->axes[i].size || anl_list_has(node->attrs.over, node->attrs.over_count, node->axes[i].id))
            return "the result has an axis that it should not have";
    return NULL;
}

/* ---- gradients ---- */

static double reduced_count(const anl_node *node) { return (double)anl_node_count(node->inputs[0]) / (double)anl_node_count(node); }

static anl_status gradient_sum(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    if (node->dtype == ANL_F32)
        out[0] = anl_g_spread(g, h, node->inputs[0]);
    return ANL_OK;
}

static anl_status gradient_mean(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    out[0] = anl_g_spread(g, anl_g_binary(g, ANL_S_MUL, h, number(g, 1 / reduced_count(node))), node->inputs[0]);
    return ANL_OK;
}

/* d/dx of mean((x - m)^2) is 2 (x - m) / n: the part through m sums to nothing. */
static anl_status gradient_variance(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_node *x = node->inputs[0];
    anl_node *mean = anl_g_reduce(g, ANL_OP_MEAN, x, node->attrs.over, node->attrs.over_count);
    anl_node *scale = anl_g_binary(g, ANL_S_MUL, h, number(g, 2 / reduced_count(node)));
    out[0] = anl_g_binary(g, ANL_S_MUL, scale, anl_g_binary(g, ANL_S_SUB, x, mean));
    return ANL_OK;
}

static anl_status gradient_logsumexp(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_node *softmax = anl_g_unary(g, ANL_S_EXP, anl_g_binary(g, ANL_S_SUB, node->inputs[0], node));
    out[0] = anl_g_binary(g, ANL_S_MUL, h, softmax);
    return ANL_OK;
}

/* All to the first greatest element, as ARGMAX finds it. */
static anl_status gradient_max(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_node *x = node->inputs[0];
    if (node->dtype != ANL_F32)
        return ANL_OK;
    anl_node *first = anl_g_reduce(g, ANL_OP_ARGMAX, x, node->attrs.over, node->attrs.over_count);
    anl_node *position = anl_g_const(g, ANL_I32, 0);
    for (int i = 0; i < node->attrs.over_count; i++) {
        int32_t size = anl_node_size(x, node->attrs.over[i]);
        position = anl_g_binary(g, ANL_S_MUL, position, anl_g_const(g, ANL_I32, size));
        position = anl_g_binary(g, ANL_S_ADD, position, anl_g_index(g, node->attrs.over[i], size));
    }
    out[0] = anl_g_where(g, anl_g_binary(g, ANL_S_EQ, position, first), h, number(g, 0));
    return ANL_OK;
}

static double flops_reduce(const anl_node *node)
{
    double each = node->op == ANL_OP_LOGSUMEXP ? 10 : node->op == ANL_OP_VARIANCE ? 4 : node->op == ANL_OP_MEAN ? 1 : 1;
    return each * (double)anl_node_count(node->inputs[0]);
}

#define INFO(OP, word, rule)                                                                                                                 \
    const anl_op_info anl_info_##word = {.op = ANL_OP_##OP, .name = #word, .verify = verify_reduce, .gradient = rule, .flops = flops_reduce}
INFO(SUM, sum, gradient_sum);
INFO(MAX, max, gradient_max);
INFO(ARGMAX, argmax, NULL);
INFO(LOGSUMEXP, logsumexp, gradient_logsumexp);
INFO(MEAN, mean, gradient_mean);
INFO(VARIANCE, variance, gradient_variance);

/* ---- builtins ---- */

/* Reads x and over=, checks that x has the axes. keep_int: ints stay ints, else everything becomes float. */
static anl_node *read_reduced(anl_context *context, const anl_value *arguments, const char *call, bool keep_int, int32_t *over, int *count)
{
    anl_node *x = anl_read_node(context, &arguments[0]);
    if (!x || !anl_read_axes(context, &arguments[1], call, over, count))
        return NULL;
    anl_span span = anl_value_span(context, &arguments[1]), x_span = anl_value_span(context, &arguments[0]);
    bool good = true;
    for (int i = 0; i < *count; i++)
        good &= anl_check_axis(context, x, over[i], span, x_span, call);
    if (!good)
        return NULL;
    return x->dtype == ANL_F32 || (keep_int && x->dtype == ANL_I32) ? x : anl_g_cast(context->graph, keep_int ? ANL_I32 : ANL_F32, x);
}

/* where= of sum and mean: a condition along axes of x. Absent: *mask stays NULL. */
static bool read_mask(anl_context *context, const anl_value *arguments, const anl_node *x, const char *call, anl_node **mask)
{
    const anl_value *where = &arguments[2];
    if (where->kind == ANL_V_NONE)
        return true;
    if (!(*mask = anl_read_node(context, where)))
        return false;
    if ((*mask)->dtype != ANL_BOOL) {
        anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, where), "`%s` takes a condition (a comparison, a mask) as where=, but this is %s",
                    call, anl_value_kind_text(where));
        return false;
    }
    if (!anl_check_shared(context, where, *mask, &arguments[0], x, NULL, 0))
        return false;
    for (int i = 0; i < (*mask)->rank; i++)
        if (anl_node_axis(x, (*mask)->axes[i].id) < 0 && anl_axis_visible(context->graph, (*mask)->axes[i].id)) {
            anl_diagnostic *d = anl_problem(context, ANL_A_missing_axis, anl_value_span(context, where),
                                            "`%s`: the condition has axis `%s`, which the value %s lacks", call,
                                            anl_graph_axis_name(context->graph, (*mask)->axes[i].id), anl_visible_axes(context, x));
            anl_diagnostic_label(context->diagnostics, d, anl_value_span(context, &arguments[0]), "the value");
            return false;
        }
    return true;
}

static anl_status reduced(anl_context *context, const anl_value *arguments, anl_op op, const char *call, bool keep_int, anl_value *result)
{
    int32_t over[ANL_MAX_AXES];
    int count;
    anl_node *x = read_reduced(context, arguments, call, keep_int, over, &count);
    if (!x)
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_reduce(context->graph, op, x, over, count));
    return ANL_OK;
}

static anl_status build_sum(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    int32_t over[ANL_MAX_AXES];
    int count;
    anl_node *mask = NULL, *x = read_reduced(context, arguments, "sum", true, over, &count);
    if (!x || !read_mask(context, arguments, x, "sum", &mask))
        return ANL_ERROR_SPEC;
    if (mask)
        x = anl_g_where(g, mask, x, anl_g_const(g, x->dtype, 0));
    *result = anl_node_value(context, anl_g_reduce(g, ANL_OP_SUM, x, over, count));
    return ANL_OK;
}

static anl_status build_mean(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    int32_t over[ANL_MAX_AXES], shared[ANL_MAX_AXES];
    int count, shared_count = 0;
    anl_node *mask = NULL, *x = read_reduced(context, arguments, "mean", false, over, &count);
    if (!x || !read_mask(context, arguments, x, "mean", &mask))
        return ANL_ERROR_SPEC;
    if (!mask) {
        *result = anl_node_value(context, anl_g_reduce(g, ANL_OP_MEAN, x, over, count));
        return ANL_OK;
    }
    double repeats = 1; /* each element of the mask stands for this many elements of x */
    for (int i = 0; i < count; i++)
        if (anl_node_axis(mask, over[i]) >= 0)
            shared[shared_count++] = over[i];
        else
            repeats *= anl_node_size(x, over[i]);
    anl_node *sum = anl_g_reduce(g, ANL_OP_SUM, anl_g_where(g, mask, x, number(g, 0)), over, count);
    anl_node *known = anl_g_reduce(g, ANL_OP_SUM, anl_g_float(g, mask), shared, shared_count);
    known = anl_g_binary(g, ANL_S_MUL, known, number(g, repeats));
    *result = anl_node_value(context, anl_g_binary(g, ANL_S_DIV, sum, anl_g_binary(g, ANL_S_MAXIMUM, known, number(g, 1))));
    return ANL_OK;
}

static anl_status build_max(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return reduced(context, arguments, ANL_OP_MAX, "max", true, result);
}

static anl_status build_min(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    int32_t over[ANL_MAX_AXES];
    int count;
    anl_node *x = read_reduced(context, arguments, "min", true, over, &count);
    if (!x)
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_unary(g, ANL_S_NEGATE, anl_g_reduce(g, ANL_OP_MAX, anl_g_unary(g, ANL_S_NEGATE, x), over, count)));
    return ANL_OK;
}

static anl_status build_argmax(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return reduced(context, arguments, ANL_OP_ARGMAX, "argmax", true, result);
}

static anl_status build_logsumexp(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return reduced(context, arguments, ANL_OP_LOGSUMEXP, "logsumexp", false, result);
}

static anl_status build_moments(anl_context *context, const anl_value *arguments, anl_value *result)
{
    static const char *members[] = {"mean", "variance", "unbiased"};
    anl_graph *g = context->graph;
    int32_t over[ANL_MAX_AXES];
    int count;
    anl_node *x = read_reduced(context, arguments, "moments", false, over, &count);
    if (!x)
        return ANL_ERROR_SPEC;
    anl_node *mean = anl_g_reduce(g, ANL_OP_MEAN, x, over, count), *variance = anl_g_reduce(g, ANL_OP_VARIANCE, x, over, count);
    double n = (double)anl_node_count(x) / (double)anl_node_count(mean);
    anl_value value = {.kind = ANL_V_MAPPING, .span = context->span};
    value.mapping.names = ANL_NEW_ARRAY(g->arena, const char *, 3);
    value.mapping.items = ANL_NEW_ARRAY(g->arena, anl_value, 3);
    value.mapping.count = 3;
    memcpy(value.mapping.names, members, sizeof members);
    value.mapping.items[0] = anl_node_value(context, mean);
    value.mapping.items[1] = anl_node_value(context, variance);
    value.mapping.items[2] = anl_node_value(context, anl_g_binary(g, ANL_S_MUL, variance, number(g, n > 1 ? n / (n - 1) : 1)));
    *result = value;
    return ANL_OK;
}

#define X_PARAM {"x", 'v', NULL, "has the axes of over"}
#define OVER_PARAM {"over", 'A', NULL, "the axes to reduce over: an axis, a list, `all`, `rest`, `space`"}
#define WHERE_PARAM {"where", 'v', "none", "a condition: only elements where it holds count"}

static const anl_builtin builtins[] = {
    {"sum", "reduction", "The sum over axes; with where=, of the selected elements. Float, or int for ints and conditions (which it counts).",
     "sum(weight ** 2, over=axes)", {X_PARAM, OVER_PARAM, WHERE_PARAM}, 3, build_sum, "those of x without over", "yes"},
    {"mean", "reduction", "The mean over axes; with where=, of the selected elements, and 0 where none is. Float.",
     "mean(loss, over=all, where=known)", {X_PARAM, OVER_PARAM, WHERE_PARAM}, 3, build_mean, "those of x without over", "yes"},
    {"max", "reduction", "The greatest over axes; the gradient goes to the first greatest. Float or int.", "max(scores, over=[batch, cluster])",
     {X_PARAM, OVER_PARAM}, 2, build_max, "those of x without over", "yes"},
    {"min", "reduction", "The least over axes; the gradient goes to the first least. Float or int.", "min(x, over=space)", {X_PARAM, OVER_PARAM}, 2, build_min, "those of x without over", "yes"},
    {"argmax", "reduction", "The position of the first greatest element, counted row by row over the axes as given. Int; no gradient.",
     "argmax(scores, over=cluster)", {X_PARAM, OVER_PARAM}, 2, build_argmax, "those of x without over", "none: int"},
    {"logsumexp", "reduction", "log(sum(exp(x))), shifted by the maximum so that it never overflows. Float.", "logsumexp(negative, over=memory)",
     {X_PARAM, OVER_PARAM}, 2, build_logsumexp, "those of x without over", "yes"},
    {"moments", "reduction",
     "A mapping of mean, variance (divided by n) and unbiased (variance divided by n - 1), in one numerically stable pass. Float.", "moments(x, over=rest)",
     {X_PARAM, OVER_PARAM}, 2, build_moments, "those of x without over", "yes"},
};
const anl_builtin_list anl_builtins_reduction = {builtins, ANL_COUNT(builtins)};
