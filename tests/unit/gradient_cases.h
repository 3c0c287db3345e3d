/* The table of gradients: for every builtin and operator with a gradient, graphs whose derivatives are compared with finite
 * differences. In: a context and values for the inputs. Out: a value; what is differentiated is a weighted sum of it. Used by the
 * operations' tests (gradients by the naive evaluator) and by the conformance tests (as compiled programs, on every device). */
#ifndef ANL_TESTS_GRADIENT_CASES_H
#define ANL_TESTS_GRADIENT_CASES_H

#include "calls.h"

typedef struct gradient_case {
    const char *builtin; /* which one it covers; "" for operators */
    const char *what;
    const char *inputs[3]; /* shapes */
    double low, high;      /* of the inputs' values */
    anl_value (*build)(anl_context *c, const anl_value *in);
    bool kinked; /* second derivatives vanish, jump or have no rule: only first-order */
    bool held;   /* the first input is held constant: by it there is no gradient */
} gradient_case;

#define BUILD(name, expression)                                                                                                  \
    static anl_value name(anl_context *c, const anl_value *in)                                                                   \
    {                                                                                                                            \
        (void)c;                                                                                                                 \
        (void)in;                                                                                                                \
        return expression;                                                                                                       \
    }
#define UNARY_CASE(name) BUILD(case_##name, CALL(c, #name, "x", in[0]))
UNARY_CASE(exp)
UNARY_CASE(log)
UNARY_CASE(sqrt)
UNARY_CASE(rsqrt)
UNARY_CASE(tanh)
UNARY_CASE(erf)
UNARY_CASE(sin)
UNARY_CASE(cos)
UNARY_CASE(abs)
UNARY_CASE(relu)
UNARY_CASE(sigmoid)
UNARY_CASE(softplus)
BUILD(case_negate, operate(c, ANL_S_NEGATE, in[0], in[0]))
BUILD(case_add, operate(c, ANL_S_ADD, in[0], in[1]))
BUILD(case_subtract, operate(c, ANL_S_SUB, in[0], in[1]))
BUILD(case_multiply, operate(c, ANL_S_MUL, in[0], in[1]))
BUILD(case_divide, operate(c, ANL_S_DIV, in[0], in[1]))
BUILD(case_modulo, operate(c, ANL_S_MOD, in[0], in[1]))
BUILD(case_power, operate(c, ANL_S_POW, in[0], in[1]))
BUILD(case_cube, operate(c, ANL_S_POW, in[0], v_int(3)))
BUILD(case_square, operate(c, ANL_S_POW, in[0], v_int(2)))
BUILD(case_reciprocal, operate(c, ANL_S_DIV, v_int(1), in[0]))
BUILD(case_minimum, CALL(c, "minimum", "a b", in[0], in[1]))
BUILD(case_maximum, CALL(c, "maximum", "a b", in[0], in[1]))
BUILD(case_clamp, CALL(c, "clamp", "x low high", in[0], v_number(0.3), v_number(0.8)))
BUILD(case_where, CALL(c, "where", "condition a b", operate(c, ANL_S_LT, in[2], v_number(0.5)), in[0], in[1]))
BUILD(case_outer, operate(c, ANL_S_MUL, in[0], CALL(c, "outer", "v", in[1])))
BUILD(case_repeated, operate(c, ANL_S_MUL, operate(c, ANL_S_ADD, in[0], CALL(c, "exp", "x", in[0])), in[0]))
BUILD(case_sum, CALL(c, "sum", "x over", in[0], v_axes(c, "y batch")))
BUILD(case_sum_where, CALL(c, "sum", "x over where", in[0], v_axes(c, "batch y"), operate(c, ANL_S_LT, in[1], v_number(0.6))))
BUILD(case_mean, CALL(c, "mean", "x over", in[0], v_axis(c, "batch")))
BUILD(case_mean_where, CALL(c, "mean", "x over where", in[0], v_axes(c, "batch y"), operate(c, ANL_S_LT, in[1], v_number(0.6))))
BUILD(case_max, CALL(c, "max", "x over", in[0], v_axes(c, "channel y")))
BUILD(case_min, CALL(c, "min", "x over", in[0], v_axis(c, "batch")))
BUILD(case_logsumexp, CALL(c, "logsumexp", "x over", in[0], v_axes(c, "batch y")))
static anl_value moments(anl_context *c, anl_value x, const char *over, int member)
{
    anl_value m = CALL(c, "moments", "x over", x, v_axes(c, over));
    return m.kind == ANL_V_MAPPING ? m.mapping.items[member] : m;
}
BUILD(case_moments_mean, moments(c, in[0], "batch y", 0))
BUILD(case_moments_variance, moments(c, in[0], "batch y", 1))
BUILD(case_moments_unbiased, moments(c, in[0], "batch", 2))
static anl_value case_normalized(anl_context *c, const anl_value *in)
{
    anl_value deviation = operate(c, ANL_S_SUB, in[0], moments(c, in[0], "batch y", 0));
    anl_value scale = CALL(c, "rsqrt", "x", operate(c, ANL_S_ADD, moments(c, in[0], "batch y", 1), v_number(1e-3)));
    return operate(c, ANL_S_ADD, operate(c, ANL_S_MUL, operate(c, ANL_S_MUL, deviation, scale), in[1]), in[2]);
}
static anl_value renamed(anl_context *c, anl_value x, const char *from, const char *to)
{
    anl_value pair = v_pair(c, from, v_axis(c, to));
    return CALL(c, "rename", "x pairs", x, v_list(c, 1, &pair));
}
BUILD(case_rename, renamed(c, renamed(c, in[0], "batch", "assign"), "y", "batch"))
static anl_value case_replicate(anl_context *c, const anl_value *in)
{
    anl_value pairs[2] = {v_pair(c, "view", v_int(2)), v_pair(c, "copy", v_int(3))};
    return CALL(c, "exp", "x", CALL(c, "replicate", "x pairs", in[0], v_list(c, 2, pairs)));
}
static anl_value split(anl_context *c, anl_value x)
{
    anl_value pairs[2] = {v_pair(c, "group", v_int(2)), v_pair(c, "within", v_int(3))};
    return CALL(c, "split", "x axis into", x, v_axis(c, "channel"), v_list(c, 2, pairs));
}
BUILD(case_split, split(c, in[0]))
BUILD(case_split_sum, CALL(c, "max", "x over", split(c, in[0]), v_axis(c, "within")))
BUILD(case_merge, CALL(c, "merge", "x axes into", in[0], v_axes(c, "batch y"), v_axis(c, "all_of_them")))
BUILD(case_flip, CALL(c, "flip", "x axis", in[0], v_axes(c, "y channel")))
BUILD(case_pad, CALL(c, "pad", "x axis before after value", in[0], v_axes(c, "y batch"), v_int(2), v_int(1), v_number(0.25)))
static anl_value case_concat(anl_context *c, const anl_value *in)
{
    anl_value parts[3] = {in[0], in[1], in[0]};
    return CALL(c, "concat", "values axis", v_list(c, 3, parts), v_axis(c, "batch"));
}
BUILD(case_slice, CALL(c, "slice", "x axis start end step", in[0], v_axis(c, "y"), v_int(1), v_int(-1), v_int(2)))
BUILD(case_slice_drop, CALL(c, "slice", "x axis index", in[0], v_axis(c, "y"), v_int(-2)))
static anl_value windows(anl_context *c, anl_value x, int stride, int dilation)
{
    anl_value pairs[2] = {v_pair(c, "y", v_axis(c, "ty")), v_pair(c, "x", v_axis(c, "tx"))};
    return CALL(c, "windows", "x kernel into stride dilation padding fill", x, v_int(3), v_list(c, 2, pairs), v_int(stride),
                v_int(dilation), v_int(1), v_number(0.5));
}
BUILD(case_windows, windows(c, in[0], 1, 1))
BUILD(case_windows_stride, windows(c, in[0], 2, 1))
BUILD(case_windows_dilated, windows(c, in[0], 3, 2))
BUILD(case_windows_max, CALL(c, "max", "x over", windows(c, in[0], 2, 1), v_axes(c, "ty tx")))
BUILD(case_max_pool, CALL(c, "max_pool", "x kernel stride padding", in[0], v_int(3), v_int(2), v_int(1)))
BUILD(case_max_pool_3d, CALL(c, "max_pool", "x kernel", in[0], v_int(2)))
BUILD(case_mean_pool, CALL(c, "mean_pool", "x kernel stride padding", in[0], v_int(3), v_int(2), v_int(1)))
BUILD(case_dot, CALL(c, "dot", "a b over", in[0], in[1], v_axis(c, "channel")))
BUILD(case_dot_two, CALL(c, "dot", "a b over", in[0], in[1], v_axes(c, "channel y")))
BUILD(case_convolve, CALL(c, "convolve", "x weight over", in[0], in[1], v_axis(c, "channel")))
BUILD(case_convolve_stride, CALL(c, "convolve", "x weight over stride", in[0], in[1], v_axis(c, "channel"), v_int(2)))
BUILD(case_convolve_dilated, CALL(c, "convolve", "x weight over stride dilation padding", in[0], in[1], v_axis(c, "channel"),
                                  v_int(2), v_int(2), v_int(3)))
BUILD(case_depthwise, CALL(c, "convolve", "x weight over padding", in[0], in[1], v_axes(c, ""), v_text("same")))
static anl_value case_sample(anl_context *c, const anl_value *in)
{
    anl_value scaled = operate(c, ANL_S_MUL, in[1], v_int(4)),
              other = operate(c, ANL_S_SUB, operate(c, ANL_S_MUL, in[2], v_int(6)), v_int(1));
    return CALL(c, "sample", "image y x", CALL(c, "stop_gradient", "x", in[0]), scaled, other);
}
static anl_value case_sample_edge(anl_context *c, const anl_value *in)
{
    anl_value other = operate(c, ANL_S_SUB, operate(c, ANL_S_MUL, in[1], v_int(8)), v_int(2));
    return CALL(c, "sample", "image x outside", CALL(c, "stop_gradient", "x", in[0]), other, v_text("edge"));
}
static anl_value case_draws(anl_context *c, const anl_value *in)
{
    anl_value u = CALL(c, "uniform", "low high axes like", in[0], in[1], v_axis(c, "batch"), in[0]);
    c->draw_key = 78;
    return operate(c, ANL_S_ADD, u, CALL(c, "normal", "mean std axes like", in[1], in[0], v_axis(c, "batch"), in[0]));
}
static anl_value case_segments(anl_context *c, const anl_value *in)
{
    static const int32_t starts[] = {1, 3, 3, 5};
    anl_node *sum = anl_g_segment_sum(c->graph, in[0].node, anl_graph_axis(c->graph, "batch"), starts, 3,
                                      anl_graph_axis(c->graph, "segment"));
    return v_node(anl_g_unary(c->graph, ANL_S_EXP, sum));
}
static anl_value case_transpose(anl_context *c, const anl_value *in)
{
    int32_t order[ANL_MAX_AXES];
    for (int i = 0; i < in[0].node->rank; i++)
        order[i] = in[0].node->axes[(i + 1) % in[0].node->rank].id;
    return v_node(anl_g_transpose(c->graph, in[0].node, order, in[0].node->rank));
}
static anl_value case_stop(anl_context *c, const anl_value *in)
{
    anl_value stopped = CALL(c, "stop_gradient", "x", CALL(c, "exp", "x", in[1]));
    return operate(c, ANL_S_MUL, in[0], operate(c, ANL_S_SUB, stopped, stopped));
}

static const gradient_case gradient_cases[] = {
    {"exp", "", {"batch 3 y 2"}, -1, 1, case_exp, false, false},
    {"log", "", {"batch 3 y 2"}, 0.2, 2, case_log, false, false},
    {"sqrt", "", {"batch 3 y 2"}, 0.2, 2, case_sqrt, false, false},
    {"rsqrt", "", {"batch 3 y 2"}, 0.2, 2, case_rsqrt, false, false},
    {"tanh", "", {"batch 3 y 2"}, -2, 2, case_tanh, false, false},
    {"erf", "", {"batch 3 y 2"}, -2, 2, case_erf, false, false},
    {"sin", "", {"batch 3 y 2"}, -3, 3, case_sin, false, false},
    {"cos", "", {"batch 3 y 2"}, -3, 3, case_cos, false, false},
    {"abs", "", {"batch 3 y 4"}, -1, 1, case_abs, true, false},
    {"relu", "", {"batch 3 y 4"}, -1, 1, case_relu, true, false},
    {"sigmoid", "", {"batch 3 y 2"}, -3, 3, case_sigmoid, false, false},
    {"softplus", "", {"batch 3 y 4"}, -3, 3, case_softplus, false, false},
    {"", "negate", {"batch 3"}, -1, 1, case_negate, false, false},
    {"", "add, one lacks axes", {"batch 3 y 2", "y 2"}, -1, 1, case_add, false, false},
    {"", "subtract, other order", {"batch 3 channel 2", "channel 2 batch 3"}, -1, 1, case_subtract, false, false},
    {"", "multiply, the first lacks axes", {"channel 4", "batch 3 channel 4 y 2"}, -1, 1, case_multiply, false, false},
    {"", "divide", {"batch 3 y 2", "batch 3"}, 0.5, 2, case_divide, false, false},
    {"", "modulo", {"batch 7", "batch 7"}, 0.55, 2.1, case_modulo, true, false},
    {"", "power", {"batch 3 y 2", "batch 3"}, 0.5, 2, case_power, false, false},
    {"", "cube", {"batch 3"}, 0.5, 2, case_cube, false, false},
    {"", "square", {"batch 3"}, -2, 2, case_square, false, false},
    {"", "reciprocal", {"batch 3"}, 0.5, 2, case_reciprocal, false, false},
    {"minimum", "", {"batch 5 y 2", "batch 5"}, 0, 1, case_minimum, true, false},
    {"maximum", "", {"batch 5 y 2", "batch 5"}, 0, 1, case_maximum, true, false},
    {"clamp", "", {"batch 9"}, 0, 1, case_clamp, true, false},
    {"where", "", {"batch 5 y 2", "batch 5", "y 2"}, 0, 1, case_where, true, false},
    {"outer", "", {"batch 3", "y 2"}, -1, 1, case_outer, false, false},
    {"", "several uses of one value", {"batch 3 y 2"}, -1, 1, case_repeated, false, false},
    {"sum", "", {"batch 3 y 2 channel 4"}, -1, 1, case_sum, true, false},
    {"sum", "where", {"batch 3 y 4 channel 2", "batch 3 y 4"}, 0, 1, case_sum_where, true, false},
    {"mean", "", {"batch 3 y 2"}, -1, 1, case_mean, true, false},
    {"mean", "where", {"batch 3 y 4 channel 2", "y 4"}, 0, 1, case_mean_where, true, false},
    {"max", "over two", {"batch 3 y 4 channel 5"}, 0, 1, case_max, true, false},
    {"min", "", {"batch 4 y 3"}, 0, 1, case_min, true, false},
    {"logsumexp", "", {"batch 4 y 3 channel 2"}, -3, 3, case_logsumexp, false, false},
    {"moments", "mean", {"batch 3 y 2 channel 2"}, -1, 1, case_moments_mean, true, false},
    {"moments", "variance", {"batch 3 y 2 channel 2"}, -1, 1, case_moments_variance, false, false},
    {"moments", "unbiased", {"batch 3 y 2"}, -1, 1, case_moments_unbiased, false, false},
    {"moments", "normalisation", {"batch 3 y 2 channel 2", "channel 2", "channel 2"}, -1, 1, case_normalized, false, false},
    {"rename", "", {"batch 3 y 2"}, -1, 1, case_rename, true, false},
    {"replicate", "", {"batch 3 y 2"}, -1, 1, case_replicate, false, false},
    {"split", "", {"batch 2 channel 6"}, -1, 1, case_split, true, false},
    {"split", "and max", {"batch 2 channel 6"}, -1, 1, case_split_sum, true, false},
    {"merge", "", {"y 3 channel 2 batch 4"}, -1, 1, case_merge, true, false},
    {"flip", "", {"y 3 channel 4"}, -1, 1, case_flip, true, false},
    {"pad", "", {"y 3 batch 2"}, -1, 1, case_pad, true, false},
    {"concat", "", {"y 3 batch 2", "batch 4 y 3"}, -1, 1, case_concat, true, false},
    {"slice", "", {"y 7 batch 2"}, -1, 1, case_slice, true, false},
    {"slice", "one index", {"y 7 batch 2"}, -1, 1, case_slice_drop, true, false},
    {"windows", "", {"batch 2 y 5 x 4"}, 0, 1, case_windows, true, false},
    {"windows", "stride", {"batch 2 y 6 x 5"}, 0, 1, case_windows_stride, true, false},
    {"windows", "dilation", {"y 9 x 8"}, 0, 1, case_windows_dilated, true, false},
    {"windows", "and max", {"y 5 x 7 channel 2"}, 0, 1, case_windows_max, true, false},
    {"max_pool", "", {"channel 2 y 6 x 7 batch 2"}, 0, 1, case_max_pool, true, false},
    {"max_pool", "three axes", {"z 4 y 5 x 4"}, 0, 1, case_max_pool_3d, true, false},
    {"mean_pool", "", {"channel 2 y 6 x 7"}, 0, 1, case_mean_pool, true, false},
    {"dot", "", {"batch 3 channel 4", "out 2 channel 4"}, -1, 1, case_dot, false, false},
    {"dot", "pointwise axis", {"batch 3 view 2 channel 4", "view 2 out 2 channel 4"}, -1, 1, case_dot, false, false},
    {"dot", "two axes", {"batch 3 y 2 channel 4", "out 2 channel 4 y 2"}, -1, 1, case_dot_two, false, false},
    {"convolve", "", {"batch 2 channel 3 y 4 x 5", "out 2 channel 3 y 3 x 3"}, -1, 1, case_convolve, false, false},
    {"convolve", "one axis of the two", {"batch 2 channel 3 y 4 x 5", "out 2 channel 3 x 3"}, -1, 1, case_convolve, false, false},
    {"convolve", "three axes", {"channel 2 z 3 y 3 x 4", "out 2 channel 2 z 3 y 1 x 3"}, -1, 1, case_convolve, false, false},
    {"convolve", "stride", {"batch 2 channel 2 y 6 x 5", "out 3 channel 2 y 3 x 3"}, -1, 1, case_convolve_stride, false, false},
    {"convolve",
     "stride, kernel 1",
     {"batch 2 channel 2 y 6 x 5", "out 3 channel 2 y 1 x 1"},
     -1,
     1,
     case_convolve_stride,
     false,
     false},
    {"convolve",
     "dilation",
     {"batch 2 channel 2 y 6 x 7", "out 2 channel 2 y 3 x 3"},
     -1,
     1,
     case_convolve_dilated,
     false,
     false},
    {"convolve", "depthwise", {"batch 2 channel 3 y 4 x 5", "channel 3 y 3 x 3"}, -1, 1, case_depthwise, false, false},
    {"convolve", "a kernel for each sample", {"batch 3 channel 2 x 6", "batch 3 x 3"}, -1, 1, case_depthwise, false, false},
    {"convolve", "even kernel", {"batch 2 x 6", "x 4"}, -1, 1, case_depthwise, false, false},
    {"sample", "", {"channel 2 y 5 x 4 batch 2", "batch 2 y 3 x 2", "batch 2 y 3 x 2"}, 0, 1, case_sample, true, true},
    {"sample", "edge", {"channel 2 x 6", "batch 4 x 3"}, 0, 1, case_sample_edge, true, true},
    {"uniform", "and normal", {"batch 4", "batch 4"}, 0.5, 1, case_draws, true, false},
    {"normal", "and uniform", {"batch 4", "batch 4"}, 0.5, 1, case_draws, true, false},
    {"", "segment sum", {"y 2 batch 6"}, -1, 1, case_segments, true, false},
    {"", "transpose", {"y 2 batch 3 channel 2"}, -1, 1, case_transpose, true, false},
    {"stop_gradient", "", {"batch 3", "batch 3"}, -1, 1, case_stop, true, false},
};

#endif
