/* Contractions: dot products and convolutions over named axes, and the convolution's two gradients, as one operation in three roles.
 * In: two values. Out: sums of products over axes that both have, over kernel taps or over output positions.
 * X (over input positions), W (over taps) and Y (over output positions) are tied by input = output * stride + tap * dilation - padding;
 * each role computes one of the three from the other two, so the operation is closed under differentiation. */
#include "ops/build.h"

anl_node *anl_g_contract(anl_graph *g, anl_node *a, anl_node *b, const int32_t *over, int over_count, anl_role role, const anl_slide *slides,
                         int slide_count, const anl_axis *out_axes, int out_rank)
{
    assert(a->dtype == ANL_F32 && b->dtype == ANL_F32 && slide_count <= 3);
    anl_node *inputs[2] = {a, b};
    anl_node draft = anl_draft(ANL_OP_CONTRACT, ANL_F32, 2, inputs);
    for (int i = 0; i < out_rank; i++)
        anl_draft_add_axis(&draft, out_axes[i]);
    memcpy(draft.attrs.over, over, sizeof *over * (size_t)over_count);
    draft.attrs.over_count = over_count;
    draft.attrs.role = role;
    for (int i = 0; i < slide_count; i++)
        draft.attrs.slide[i] = slides[i];
    draft.attrs.slide_count = slide_count;
    return anl_graph_intern(g, &draft);
}

/* Size of a slide's axis in the role's A, B and result. */
static int32_t slide_size(const anl_slide *slide, anl_role role, int which)
{
    static const char parts[3][4] = {[ANL_ROLE_FORWARD] = "xwy", [ANL_ROLE_DATA] = "ywx", [ANL_ROLE_WEIGHT] = "xyw"};
    char part = parts[role][which];
    return part == 'x' ? slide->in_size : part == 'w' ? slide->tap_size : slide->out_size;
}

static bool slides_over(const anl_node *node, int32_t axis)
{
    for (int i = 0; i < node->attrs.slide_count; i++)
        if (node->attrs.slide[i].axis == axis)
            return true;
    return false;
}

static const char *verify_contract(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    if (node->input_count != 2 || node->dtype != ANL_F32 || node->inputs[0]->dtype != ANL_F32 || node->inputs[1]->dtype != ANL_F32)
        return "takes two floats and gives one";
    const anl_node *a = node->inputs[0], *b = node->inputs[1];
    const anl_attrs *t = &node->attrs;
    if ((int)t->role < 0 || t->role > ANL_ROLE_WEIGHT || (t->slide_count == 0 && t->role != ANL_ROLE_FORWARD))
        return "wrong role";
    for (int i = 0; i < t->slide_count; i++) {
        const anl_slide *s = &t->slide[i];
        if (s->stride < 1 || s->dilation < 1 || s->padding < 0 || s->out_size < 1)
            return "wrong stride, dilation or padding";
        /* Positions past the last window are not touched, so in_size may be a little larger than the windows need. */
        int64_t reach = (int64_t)(s->out_size - 1) * s->stride + (int64_t)(s->tap_size - 1) * s->dilation - 2 * (int64_t)s->padding;
        if (reach > s->in_size - 1)
            return "windows reach too far";
        if (anl_node_size(a, s->axis) != slide_size(s, t->role, 0) || anl_node_size(b, s->axis) != slide_size(s, t->role, 1) ||
            anl_node_size(node, s->axis) != slide_size(s, t->role, 2))
            return "the size of a space axis does not fit its windows";
    }
    for (int i = 0; i < t->over_count; i++) {
        if (slides_over(node, t->over[i]) || anl_list_has(t->over, i, t->over[i]))
            return "sums twice over an axis";
        if (anl_node_axis(a, t->over[i]) < 0 || anl_node_size(a, t->over[i]) != anl_node_size(b, t->over[i]))
            return "an axis that is summed over must be in both inputs, with one size";
    }
    int own = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < node->inputs[k]->rank; i++) {
            anl_axis axis = node->inputs[k]->axes[i];
            if (anl_list_has(t->over, t->over_count, axis.id) || slides_over(node, axis.id))
                continue;
            if (anl_node_size(node, axis.id) != axis.size)
                return "an axis that is not summed over must be in the result";
            own += k == 0 || anl_node_axis(a, axis.id) < 0;
        }
    return node->rank == own + t->slide_count ? NULL : "the result has an axis that no input has";
}

/* Axes that a and b share and target lacks: those that the gradient by target sums over. Axes slid over are none of them. */
static int gradient_over(const anl_node *node, const anl_node *a, const anl_node *b, const anl_node *target, int32_t *over)
{
    int count = 0;
    for (int i = 0; i < a->rank; i++) {
        int32_t id = a->axes[i].id;
        if (!slides_over(node, id) && anl_node_axis(b, id) >= 0 && anl_node_axis(target, id) < 0)
            over[count++] = id;
    }
    return count;
}

static anl_node *other_contract(anl_graph *g, const anl_node *node, anl_node *a, anl_node *b, anl_role role, const anl_node *target)
{
    int32_t over[ANL_MAX_AXES];
    int count = gradient_over(node, a, b, target, over);
    return anl_g_contract(g, a, b, over, count, role, node->attrs.slide, node->attrs.slide_count, target->axes, target->rank);
}

static anl_status gradient_contract(anl_graph *g, anl_node *node, anl_node *h, anl_node **out)
{
    anl_node *a = node->inputs[0], *b = node->inputs[1];
    if (node->attrs.slide_count == 0) { /* a plain product, in any role the same */
        out[0] = other_contract(g, node, h, b, ANL_ROLE_FORWARD, a);
        out[1] = other_contract(g, node, a, h, ANL_ROLE_FORWARD, b);
        return ANL_OK;
    }
    switch (node->attrs.role) {
    case ANL_ROLE_FORWARD: /* a = X, b = W, h over Y */
        out[0] = other_contract(g, node, h, b, ANL_ROLE_DATA, a);
        out[1] = other_contract(g, node, a, h, ANL_ROLE_WEIGHT, b);
        break;
    case ANL_ROLE_DATA: /* a over Y, b = W, h over X */
        out[0] = other_contract(g, node, h, b, ANL_ROLE_FORWARD, a);
        out[1] = other_contract(g, node, h, a, ANL_ROLE_WEIGHT, b);
        break;
    case ANL_ROLE_WEIGHT: /* a = X, b over Y, h over W */
        out[0] = other_contract(g, node, b, h, ANL_ROLE_DATA, a);
        out[1] = other_contract(g, node, a, h, ANL_ROLE_FORWARD, b);
        break;
    }
    return ANL_OK;
}

static double flops_contract(const anl_node *node)
{
    double flops = 2;
    for (int i = 0; i < node->rank; i++)
        if (!slides_over(node, node->axes[i].id))
            flops *= node->axes[i].size;
    for (int i = 0; i < node->attrs.over_count; i++)
        flops *= anl_node_size(node->inputs[0], node->attrs.over[i]);
    for (int i = 0; i < node->attrs.slide_count; i++)
        flops *= (double)node->attrs.slide[i].out_size * node->attrs.slide[i].tap_size;
    return flops;
}

const anl_op_info anl_info_contract = {
    .op = ANL_OP_CONTRACT, .name = "contract", .verify = verify_contract, .gradient = gradient_contract, .flops = flops_contract};

/* ---- builtins ---- */

/* Both inputs and over=, with all checks that dot and convolve share. sliding: axes that may differ in size. */
static bool read_contraction(anl_context *context, const anl_value *arguments, const char *call, bool slides, anl_node **a, anl_node **b, int32_t *over,
                             int *over_count, int32_t *sliding, int *sliding_count)
{
    *sliding_count = 0;
    if (!(*a = anl_read_float(context, &arguments[0])) || !(*b = anl_read_float(context, &arguments[1])) ||
        !anl_read_axes(context, &arguments[2], call, over, over_count))
        return false;
    anl_span over_span = anl_value_span(context, &arguments[2]);
    anl_span a_span = anl_value_span(context, &arguments[0]), b_span = anl_value_span(context, &arguments[1]);
    bool good = true;
    for (int i = 0; i < *over_count; i++) {
        good &= anl_check_axis(context, *a, over[i], over_span, a_span, call);
        good &= anl_check_axis(context, *b, over[i], over_span, b_span, call);
    }
    for (int i = 0; slides && i < (*b)->rank; i++) {
        int32_t id = (*b)->axes[i].id;
        if (anl_is_space(context->graph, id) && !anl_list_has(over, *over_count, id)) {
            good &= anl_check_axis(context, *a, id, a_span, b_span, call);
            sliding[(*sliding_count)++] = id;
        }
    }
    return good && anl_check_shared(context, &arguments[0], *a, &arguments[1], *b, sliding, *sliding_count);
}

static bool add_out(anl_context *context, anl_axis *out, int *rank, anl_axis axis)
{
    if (*rank == ANL_MAX_AXES) {
        anl_problem(context, ANL_A_too_many_axes, context->span, "a value has at most %d axes", ANL_MAX_AXES);
        return false;
    }
    out[(*rank)++] = axis;
    return true;
}

static anl_status build_dot(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *a, *b;
    int32_t over[ANL_MAX_AXES], none[ANL_MAX_AXES];
    int count, no;
    if (!read_contraction(context, arguments, "dot", false, &a, &b, over, &count, none, &no))
        return ANL_ERROR_SPEC;
    if (count == 0) { /* an empty list such as `rest`: the products themselves */
        anl_node *nodes[2] = {a, b};
        if (!anl_check_elementwise(context, "dot", arguments, nodes, 2))
            return ANL_ERROR_SPEC;
        *result = anl_node_value(context, anl_g_binary(g, ANL_S_MUL, a, b));
        return ANL_OK;
    }
    anl_axis out[ANL_MAX_AXES];
    int rank = 0;
    for (int shared = 1; shared >= 0; shared--)
        for (int i = 0; i < a->rank; i++)
            if (!anl_list_has(over, count, a->axes[i].id) && (anl_node_axis(b, a->axes[i].id) >= 0) == shared &&
                !add_out(context, out, &rank, a->axes[i]))
                return ANL_ERROR_SPEC;
    for (int i = 0; i < b->rank; i++)
        if (!anl_list_has(over, count, b->axes[i].id) && anl_node_axis(a, b->axes[i].id) < 0 && !add_out(context, out, &rank, b->axes[i]))
            return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_contract(g, a, b, over, count, ANL_ROLE_FORWARD, NULL, 0, out, rank));
    return ANL_OK;
}

static anl_status build_convolve(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x, *w;
    int32_t over[ANL_MAX_AXES], sliding[ANL_MAX_AXES];
    int count, slide_count;
    int64_t stride, dilation, padding = -1;
    bool same = arguments[5].kind == ANL_V_NONE || (arguments[5].kind == ANL_V_TEXT && strcmp(arguments[5].text, "same") == 0);
    if (!read_contraction(context, arguments, "convolve", true, &x, &w, over, &count, sliding, &slide_count) ||
        !anl_read_int(context, &arguments[3], 1, 1, 1 << 20, "a stride", &stride) ||
        !anl_read_int(context, &arguments[4], 1, 1, 1 << 20, "a dilation", &dilation) ||
        (!same && !anl_read_int(context, &arguments[5], 0, 0, 1 << 20, "a padding", &padding)))
        return ANL_ERROR_SPEC;
    if (slide_count > 3) {
        anl_problem(context, ANL_A_too_many_axes, context->span, "`convolve` slides over at most three space axes");
        return ANL_ERROR_SPEC;
    }
    if (slide_count == 0) {
        anl_diagnostic *d = anl_problem(context, ANL_A_missing_axis, anl_value_span(context, &arguments[1]),
                                        "`convolve`: the weight %s has no space axis (z, y or x) to slide over", anl_visible_axes(context, w));
        anl_diagnostic_suggest(context->diagnostics, d, "a product without space axes is dot(x, weight, over=…)");
        return ANL_ERROR_SPEC;
    }
    anl_slide slides[3];
    for (int i = 0; i < slide_count; i++) {
        anl_slide *s = &slides[i];
        *s = (anl_slide){.axis = sliding[i],
                         .in_size = anl_node_size(x, sliding[i]),
                         .tap_size = anl_node_size(w, sliding[i]),
                         .stride = (int32_t)stride,
                         .dilation = (int32_t)dilation};
        int64_t reach = dilation * (s->tap_size - 1), pad = same ? reach / 2 : padding, room = s->in_size + 2 * pad - reach - 1;
        if (room < 0 || pad > INT32_MAX / 4) {
            anl_diagnostic *d = anl_problem(context, ANL_A_empty_result, context->span,
                                            "`convolve`: axis `%s` of size %d with padding %lld is shorter than the kernel's reach of %lld",
                                            anl_graph_axis_name(g, s->axis), s->in_size, (long long)pad, (long long)reach + 1);
            anl_diagnostic_label(context->diagnostics, d, anl_value_span(context, &arguments[0]), "this has %s", anl_visible_axes(context, x));
            anl_graph_label_axis(context->diagnostics, d, g, x, s->axis);
            return ANL_ERROR_SPEC;
        }
        s->padding = (int32_t)pad;
        s->out_size = (int32_t)(room / stride + 1);
    }
    /* x's axes without the summed ones, then what only the weight has, innermost: channels stay, or become, last. */
    anl_axis out[ANL_MAX_AXES];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        anl_axis axis = x->axes[i];
        for (int k = 0; k < slide_count; k++)
            if (slides[k].axis == axis.id)
                axis.size = slides[k].out_size;
        if (!anl_list_has(over, count, axis.id) && !add_out(context, out, &rank, axis))
            return ANL_ERROR_SPEC;
    }
    for (int i = 0; i < w->rank; i++)
        if (!anl_list_has(over, count, w->axes[i].id) && anl_node_axis(x, w->axes[i].id) < 0 && !add_out(context, out, &rank, w->axes[i]))
            return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_contract(g, x, w, over, count, ANL_ROLE_FORWARD, slides, slide_count, out, rank));
    return ANL_OK;
}

static const anl_builtin builtins[] = {
    {"dot", "contraction",
     "The sum of products over axes that both have. Other shared axes are kept (a product for each position); axes of one alone are all combined. Float, "
     "accumulated in float32.",
     "dot(features, prototypes(), over=feature)",
     {{"a", 'v', NULL, "has the axes of over"}, {"b", 'v', NULL, "has the axes of over"}, {"over", 'A', NULL, "the axes to sum over"}}, 3, build_dot, "those of a and b without over", "yes"},
    {"convolve", "contraction",
     "Slides the weight over the space axes (z, y, x) that it has and sums products over taps and over=. Not flipped (a cross-correlation, as usual in neural "
     "networks). Other axes that both share are pointwise (depthwise, or a kernel for each sample); axes of the weight alone are added. A space axis of "
     "size n becomes (n + 2 padding - dilation (k - 1) - 1) // stride + 1. Float.",
     "convolve(x, weight, over=channel, stride=2)",
     {{"x", 'v', NULL, "has the space axes and those of over"},
      {"weight", 'v', NULL, "space axes are taps"},
      {"over", 'A', NULL, "axes to sum over; [] for none (depthwise)"},
      {"stride", 'i', "1", "distance between output positions"},
      {"dilation", 'i', "1", "distance between taps"},
      {"padding", 'i', "same", "zeros at each end, or same: dilation (k - 1) / 2"}},
     6, build_convolve, "those of x without over, then those of the weight that x lacks", "yes, to both, and again"},
};
const anl_builtin_list anl_builtins_contraction = {builtins, ANL_COUNT(builtins)};
