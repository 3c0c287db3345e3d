/* Where an axis got its size: for messages that name both sides of a mismatch.
 * In: a node and one of its axes. Out: the place of the declaration, or of the operation that made it that long.
 * Sizes are followed through renaming, so that the way leads out of functions to the value that came in. */
#include "graph/graph.h"

void anl_graph_size_written(anl_graph *graph, anl_node *node, int32_t axis, anl_span span)
{
    if (!span.line || anl_node_axis_origin(node, axis).line != node->span.line)
        return; /* known already */
    struct anl_written *w = ANL_NEW(graph->arena, struct anl_written);
    *w = (struct anl_written){axis, span, node->written};
    node->written = w;
}

static bool taken_away(const anl_node *node, int32_t axis)
{
    for (int i = 0; i < node->attrs.over_count; i++)
        if (node->attrs.over[i] == axis)
            return true;
    return false;
}

/* The input that gave the node this axis at this size, and what it is called there; NULL: the node made it. */
static const anl_node *giver(const anl_node *node, int32_t *axis)
{
    const int32_t size = anl_node_size(node, *axis);
    switch (node->op) {
    case ANL_OP_RENAME:
        *axis = node->inputs[0]->axes[anl_node_axis(node, *axis)].id;
        return node->inputs[0];
    case ANL_OP_CONCAT:
    case ANL_OP_REPLICATE:
    case ANL_OP_TOP_K:
        if (node->attrs.axis[0] == *axis)
            return NULL;
        break;
    case ANL_OP_SPLIT:
        if (taken_away(node, *axis))
            return NULL;
        break;
    default:
        break;
    }
    for (int i = 0; i < node->input_count; i++)
        if (anl_node_size(node->inputs[i], *axis) == size)
            return node->inputs[i];
    return NULL;
}

anl_span anl_node_axis_origin(const anl_node *node, int32_t axis)
{
    for (;;) {
        const bool made = !node->input_count || node->op == ANL_OP_REPLICATE;
        for (const struct anl_written *w = made ? node->written : NULL; w; w = w->next)
            if (w->axis == axis)
                return w->span;
        const anl_node *from = giver(node, &axis);
        if (!from)
            return node->span;
        node = from;
    }
}

void anl_graph_label_axis(anl_diagnostics *list, anl_diagnostic *d, const anl_graph *graph, const anl_node *node, int32_t axis)
{
    anl_span origin = anl_node_axis_origin(node, axis);
    if (!d || !origin.line || anl_span_same(origin, d->span))
        return;
    anl_diagnostic_label(list, d, origin, "`%s` is %d from here", anl_graph_axis_name(graph, axis), anl_node_size(node, axis));
}
