/* Windows: the elements under a sliding kernel as an axis of their own, the adjoint of that, and pooling, which is a reduction over them.
 * In: a value and, for each space axis, size, stride, dilation and padding of the window. Out: values over output positions and taps.
 * Windows move nothing by themselves: they are a change of coordinates inside whatever reads them. */
#include "ops/build.h"

#include <math.h>

/* ---- builders ---- */

anl_node *anl_g_windows(anl_graph *g, anl_node *a, anl_slide slide, int32_t tap_axis, double fill)
{
    int position = anl_node_axis(a, slide.axis);
    assert(position >= 0 && a->axes[position].size == slide.in_size && anl_node_axis(a, tap_axis) < 0);
    anl_node draft = anl_draft(ANL_OP_WINDOWS, a->dtype, 1, &a);
    for (int i = 0; i < a->rank; i++) {
        anl_draft_add_axis(&draft, i == position ? (anl_axis){slide.axis, slide.out_size} : a->axes[i]);
        if (i == position)
            anl_draft_add_axis(&draft, (anl_axis){tap_axis, slide.tap_size});
    }
    draft.attrs.axis[0] = slide.axis;
    draft.attrs.axis[1] = tap_axis;
    draft.attrs.slide[0] = slide;
    draft.attrs.slide_count = 1;
    draft.attrs.value = fill;
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_unwindows(anl_graph *g, anl_node *a, anl_slide slide, int32_t tap_axis)
{
    assert(anl_node_size(a, slide.axis) == slide.out_size && anl_node_size(a, tap_axis) == slide.tap_size);
    anl_node draft = anl_draft(ANL_OP_UNWINDOWS, a->dtype, 1, &a);
    for (int i = 0; i < a->rank; i++)
        if (a->axes[i].id != tap_axis)
            anl_draft_add_axis(&draft, a->axes[i].id == slide.axis ? (anl_axis){slide.axis, slide.in_size} : a->axes[i]);
    draft.attrs.axis[0] = slide.axis;
    draft.attrs.axis[1] = tap_axis;
    draft.attrs.slide[0] = slide;
    draft.attrs.slide_count = 1;
    return anl_graph_intern(g, &draft);
}

/* ---- verification ---- */

/* wide: over output positions and taps; narrow: over input positions. */
static const char *verify_slide(const anl_node *node, const anl_node *wide, const anl_node *narrow)
{
    const anl_slide *s = &node->attrs.slide[0];
    if (node->attrs.slide_count != 1 || node->dtype != node->inputs[0]->dtype || s->stride < 1 || s->dilation < 1 || s->padding < 0)
        return "wrong dtype, stride, dilation or padding";
    if (node->attrs.axis[0] != s->axis || anl_node_size(wide, s->axis) != s->out_size || anl_node_size(wide, node->attrs.axis[1]) != s->tap_size ||
        anl_node_size(narrow, s->axis) != s->in_size || anl_node_axis(narrow, node->attrs.axis[1]) >= 0 || wide->rank != narrow->rank + 1)
        return "positions or taps do not fit";
    for (int i = 0; i < narrow->rank; i++)
        if (narrow->axes[i].id != s->axis && anl_node_size(wide, narrow->axes[i].id) != narrow->axes[i].size)
            return "another axis changes";
    return NULL;
}

static const char *verify_windows(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->input_count == 1 ? verify_slide(node, node, node->inputs[0]) : "takes one input";
}

static const char *verify_unwindows(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->input_count == 1 ? verify_slide(node, node->inputs[0], node) : "takes one input";
}

/* ---- gradients ---- */

static anl_status gradient_windows(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    out[0] = anl_g_unwindows(g, h, node->attrs.slide[0], node->attrs.axis[1]);
    return ANL_OK;
}

static anl_status gradient_unwindows(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    out[0] = anl_g_windows(g, h, node->attrs.slide[0], node->attrs.axis[1], 0);
    return ANL_OK;
}

/* ---- lowering ---- */

static int32_t lower_windows(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_slide *s = &node->attrs.slide[0];
    const anl_node *input = node->inputs[0];
    int32_t at[ANL_MAX_AXES];
    for (int i = 0; i < input->rank; i++)
        at[i] = coordinates[anl_node_axis(node, input->axes[i].id)];
    int32_t position = coordinates[anl_node_axis(node, s->axis)], tap = coordinates[anl_node_axis(node, node->attrs.axis[1])];
    int32_t reached = anl_l(l, ANL_S_ADD, anl_l(l, ANL_S_MUL, position, anl_l_int(l, s->stride)), anl_l(l, ANL_S_MUL, tap, anl_l_int(l, s->dilation)));
    reached = anl_l(l, ANL_S_SUB, reached, anl_l_int(l, s->padding));
    at[anl_node_axis(input, s->axis)] = reached;
    int64_t last = (int64_t)(s->out_size - 1) * s->stride + (int64_t)(s->tap_size - 1) * s->dilation - s->padding;
    if (s->padding == 0 && last < s->in_size) /* never outside */
        return l->value(l, input, at);
    return anl_l_guarded(l, input, at, anl_l_inside(l, reached, s->in_size), node->attrs.value);
}

static int32_t lower_unwindows(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    const anl_slide *s = &node->attrs.slide[0];
    const anl_node *input = node->inputs[0];
    int32_t at[ANL_MAX_AXES], sum = l->constant(l, node->dtype, 0);
    int position = anl_node_axis(input, s->axis), tap_position = anl_node_axis(input, node->attrs.axis[1]);
    for (int i = 0; i < input->rank; i++)
        if (i != tap_position)
            at[i] = coordinates[anl_node_axis(node, input->axes[i].id)];
    int32_t base = anl_l(l, ANL_S_ADD, at[position], anl_l_int(l, s->padding));
    for (int32_t tap = 0; tap < s->tap_size; tap++) {
        int32_t reached = anl_l(l, ANL_S_SUB, base, anl_l_int(l, (int64_t)tap * s->dilation)), guard;
        at[tap_position] = anl_l_int(l, tap);
        if (s->stride == 1) {
            at[position] = reached;
            guard = anl_l_inside(l, reached, s->out_size);
        } else {
            int32_t stride = anl_l_int(l, s->stride);
            at[position] = anl_l(l, ANL_S_FLOORDIV, reached, stride);
            int32_t exact = anl_l_bool(l, ANL_S_EQ, anl_l(l, ANL_S_MUL, at[position], stride), reached);
            guard = anl_l_bool(l, ANL_S_AND, anl_l_inside(l, at[position], s->out_size), exact);
        }
        sum = l->emit(l, ANL_S_ADD, node->dtype, sum, anl_l_guarded(l, input, at, guard, 0), -1);
    }
    return sum;
}

static double flops_windows(const anl_node *node)
{
    (void)node;
    return 0;
}
static double flops_unwindows(const anl_node *node) { return (double)anl_node_count(node) * node->attrs.slide[0].tap_size; }

const anl_op_info anl_info_windows = {.op = ANL_OP_WINDOWS,
                                      .name = "windows",
                                      .verify = verify_windows,
                                      .gradient = gradient_windows,
                                      .lower = lower_windows,
                                      .flops = flops_windows};
const anl_op_info anl_info_unwindows = {.op = ANL_OP_UNWINDOWS,
                                        .name = "unwindows",
                                        .verify = verify_unwindows,
                                        .gradient = gradient_unwindows,
                                        .lower = lower_unwindows,
                                        .flops = flops_unwindows};

/* ---- builtins ---- */

typedef struct window_spec {
    int64_t kernel, stride, dilation, padding; /* padding -1: same */
} window_spec;

static bool make_slide(anl_context *context, const anl_value *x_value, const anl_node *x, int32_t axis, const window_spec *window, const char *call,
                       anl_slide *slide)
{
    int64_t reach = window->dilation * (window->kernel - 1), padding = window->padding < 0 ? reach / 2 : window->padding;
    int64_t size = anl_node_size(x, axis), room = size + 2 * padding - reach - 1;
    if (room < 0 || padding > INT32_MAX / 4) {
        anl_diagnostic *d = anl_problem(context, ANL_A_empty_result, context->span,
                                        "`%s`: axis `%s` of size %lld with padding %lld is shorter than the window's reach of %lld", call,
                                        anl_graph_axis_name(context->graph, axis), (long long)size, (long long)padding, (long long)reach + 1);
        anl_diagnostic_label(context->diagnostics, d, anl_value_span(context, x_value), "this has %s", anl_visible_axes(context, x));
        anl_graph_label_axis(context->diagnostics, d, context->graph, x, axis);
        return false;
    }
    *slide = (anl_slide){.axis = axis,
                         .in_size = (int32_t)size,
                         .tap_size = (int32_t)window->kernel,
                         .out_size = (int32_t)(room / window->stride + 1),
                         .stride = (int32_t)window->stride,
                         .dilation = (int32_t)window->dilation,
                         .padding = (int32_t)padding};
    return true;
}

static bool read_padding(anl_context *context, const anl_value *value, int64_t fallback, int64_t *out)
{
    if (value->kind == ANL_V_TEXT && strcmp(value->text, "same") == 0) {
        *out = -1;
        return true;
    }
    return anl_read_int(context, value, fallback, 0, 1 << 20, "a padding", out);
}

static anl_status build_windows(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x = anl_read_node(context, &arguments[0]);
    anl_axis_pair pairs[3];
    int count;
    window_spec window;
    double fill;
    if (!x || !anl_read_int(context, &arguments[1], 1, 1, 1 << 20, "a kernel size", &window.kernel) ||
        !anl_read_pairs(context, &arguments[2], pairs, 3, &count) || !anl_read_int(context, &arguments[3], 1, 1, 1 << 20, "a stride", &window.stride) ||
        !anl_read_int(context, &arguments[4], 1, 1, 1 << 20, "a dilation", &window.dilation) ||
        !read_padding(context, &arguments[5], -1, &window.padding) || !anl_read_number(context, &arguments[6], 0, "`fill`", &fill))
        return ANL_ERROR_SPEC;
    for (int i = 0; i < count; i++) {
        int32_t axis = anl_pair_axis_of(context, &pairs[i], x), tap = axis < 0 ? -1 : anl_value_new_axis(context, pairs[i].value);
        anl_slide slide;
        if (tap < 0 || !make_slide(context, &arguments[0], x, axis, &window, "windows", &slide))
            return ANL_ERROR_SPEC;
        if (anl_node_axis(x, tap) >= 0) {
            anl_problem(context, ANL_A_duplicate_axis, pairs[i].span, "`windows`: the value %s has an axis `%s` already", anl_visible_axes(context, x),
                        anl_graph_axis_name(g, tap));
            return ANL_ERROR_SPEC;
        }
        if (x->rank == ANL_MAX_AXES) {
            anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
            return ANL_ERROR_SPEC;
        }
        x = anl_g_windows(g, x, slide, tap, fill);
    }
    *result = anl_node_value(context, x);
    return ANL_OK;
}

static anl_status pooled(anl_context *context, const anl_value *arguments, const char *call, anl_op op, double fill, anl_value *result)
{
    static const char *const tap_names[] = {"tap_x", "tap_y", "tap_z"};
    anl_graph *g = context->graph;
    anl_node *x = anl_read_float(context, &arguments[0]);
    window_spec window = {.dilation = 1};
    if (!x || !anl_read_int(context, &arguments[1], 1, 1, 1 << 20, "a kernel size", &window.kernel) ||
        !anl_read_int(context, &arguments[2], window.kernel, 1, 1 << 20, "a stride", &window.stride) ||
        !read_padding(context, &arguments[3], 0, &window.padding))
        return ANL_ERROR_SPEC;
    if (window.padding > window.kernel / 2) { /* a window of padding alone has no maximum */
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &arguments[3]), "`%s`: the padding may be at most half the kernel, %lld", call,
                    (long long)window.kernel / 2);
        return ANL_ERROR_SPEC;
    }
    int32_t axes[ANL_MAX_AXES], taps[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < x->rank; i++)
        if (anl_is_space(g, x->axes[i].id))
            axes[count++] = x->axes[i].id;
    if (count == 0) {
        anl_problem(context, ANL_A_missing_axis, anl_value_span(context, &arguments[0]), "`%s`: the value %s has no space axis (z, y or x)", call,
                    anl_visible_axes(context, x));
        return ANL_ERROR_SPEC;
    }
    if (x->rank + count > ANL_MAX_AXES) {
        anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
        return ANL_ERROR_SPEC;
    }
    for (int i = 0; i < count; i++) {
        anl_slide slide;
        if (!make_slide(context, &arguments[0], x, axes[i], &window, call, &slide))
            return ANL_ERROR_SPEC;
        taps[i] = anl_graph_fresh_axis(g, tap_names[anl_graph_axis_name(g, axes[i])[0] - 'x'], true);
        x = anl_g_windows(g, x, slide, taps[i], fill);
    }
    *result = anl_node_value(context, anl_g_reduce(g, op, x, taps, count));
    return ANL_OK;
}

static anl_status build_max_pool(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return pooled(context, arguments, "max_pool", ANL_OP_MAX, -INFINITY, result);
}

static anl_status build_mean_pool(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return pooled(context, arguments, "mean_pool", ANL_OP_MEAN, 0, result);
}

#define POOL_PARAMS                                                                       \
    {{"x", 'v', NULL, "has space axes"},                                                  \
     {"kernel", 'i', NULL, "size of the window"},                                         \
     {"stride", 'i', "kernel", "distance between windows"},                               \
     {"padding", 'i', "0", "elements added at each end, at most half the kernel, or same"}}

static const anl_builtin builtins[] = {
    {"windows", "movement",
     "The elements under a sliding window as new axes: along `axis`, out[o, t] = x[o stride + t dilation - padding], `fill` outside.",
     "max(windows(x, kernel=3, into={y: ty, x: tx}), over=[ty, tx])",
     {{"x", 'v', NULL, "has the axes"},
      {"kernel", 'i', NULL, "size of the window"},
      {"into", 'm', NULL, "axis: its tap axis, …"},
      {"stride", 'i', "1", "distance between windows"},
      {"dilation", 'i', "1", "distance between taps"},
      {"padding", 'i', "same", "elements added at each end, or same: dilation (kernel - 1) / 2"},
      {"fill", 'n', "0", "their value"}},
     7, build_windows, "those of x, and a tap axis for each", "yes"},
    {"max_pool", "movement",
     "The greatest under a window over the space axes that x has; padding counts as -inf. The gradient goes to the first greatest. Float.",
     "max_pool(x, kernel=3, stride=2, padding=1)", POOL_PARAMS, 4, build_max_pool, "those of x, the space axes shorter", "yes"},
    {"mean_pool", "movement", "The mean under a window over the space axes that x has; padding counts as 0. Float.", "mean_pool(x, kernel=2)", POOL_PARAMS, 4,
     build_mean_pool, "those of x, the space axes shorter", "yes"},
};
const anl_builtin_list anl_builtins_windows = {builtins, ANL_COUNT(builtins)};
