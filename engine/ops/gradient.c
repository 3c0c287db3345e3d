/* Reverse mode: the gradients of a loss, written as further nodes of the same graph.
 * In: a loss without axes, the nodes it is to be derived by. Out: one node each, in their memory order; NULL where no path leads.
 * Walks the nodes backwards once; each operation's own rule stands in the operation table. */
#include <stdlib.h>

#include "ops/build.h"

typedef struct reverse {
    anl_graph *graph;
    anl_diagnostics *diagnostics;
    int count;           /* nodes that existed before */
    bool *wanted;        /* a node that leads from one of wrt */
    anl_node **gradient; /* accumulated so far */
    anl_node **consumer; /* through which the first gradient came */
} reverse;

/* "mean, multiply, gather": the operations from the loss down to a node. */
static const char *path_text(const reverse *r, const anl_node *node)
{
    anl_text text = {0};
    int steps = 0;
    const anl_node *chain[8];
    for (const anl_node *n = node; n && steps < (int)ANL_COUNT(chain); n = r->consumer[n->id])
        chain[steps++] = n;
    for (int i = steps - 1; i >= 0; i--) {
        const char *name = chain[i]->op == ANL_OP_SCALAR ? anl_scalar_name(chain[i]->attrs.scalar) : anl_op_describe(chain[i]->op)->name;
        anl_text_printf(&text, "%s`%s`", i == steps - 1 ? "" : " of ", name);
    }
    const char *copy = anl_arena_text(r->graph->arena, text.data ? text.data : "");
    anl_text_free(&text);
    return copy;
}

static anl_status missing_rule(reverse *r, const anl_node *node)
{
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_gradient, node->span, "the loss depends on weights through `%s`, which has no gradient rule",
                                     anl_op_describe(node->op)->name);
    anl_diagnostic_note(r->diagnostics, d, "on the path %s%s%s", path_text(r, node), node->path && node->path[0] ? ", at " : "", node->path ? node->path : "");
    anl_diagnostic_suggest(r->diagnostics, d, "stop_gradient(...) around its source, if no gradient is meant to flow there");
    return ANL_ERROR_SPEC;
}

static void mark_wanted(reverse *r, anl_node *const *wrt, int count)
{
    for (int i = 0; i < count; i++)
        if (wrt[i]->id < r->count)
            r->wanted[wrt[i]->id] = true;
    for (int i = 0; i < r->count; i++) {
        const anl_node *node = r->graph->nodes[i];
        if (node->op == ANL_OP_STOP_GRADIENT || node->dtype != ANL_F32)
            continue;
        for (int k = 0; k < node->input_count && !r->wanted[i]; k++)
            r->wanted[i] = r->wanted[node->inputs[k]->id];
    }
}

/* Hands the gradient of a node on to those of its inputs that lead from wrt. */
static anl_status pass_on(reverse *r, anl_node *node)
{
    const anl_op_info *info = anl_op_describe(node->op);
    anl_node *shares[ANL_MAX_INPUTS] = {0};
    bool any = false;
    for (int k = 0; k < node->input_count; k++)
        any |= r->wanted[node->inputs[k]->id];
    if (!any)
        return ANL_OK;
    if (!info->gradient || (info->gradient_missing && r->wanted[node->inputs[0]->id]))
        return missing_rule(r, node);
    r->graph->span = node->span;
    r->graph->site = node->site;
    r->graph->path = node->path;
    r->graph->owner = node->owner;
    if (info->gradient(r->graph, node, r->gradient[node->id], shares))
        return missing_rule(r, node);
    for (int k = 0; k < node->input_count; k++) {
        anl_node *input = node->inputs[k];
        if (!shares[k] || !r->wanted[input->id])
            continue;
        assert(anl_node_same_axes(shares[k], input));
        shares[k] = anl_g_as(r->graph, shares[k], input); /* in memory order, so that what is stored lies as its value does */
        anl_node **sum = &r->gradient[input->id];
        if (!*sum)
            r->consumer[input->id] = node;
        *sum = *sum ? anl_g_binary(r->graph, ANL_S_ADD, *sum, shares[k]) : shares[k];
    }
    return ANL_OK;
}

anl_status anl_gradient(anl_graph *graph, anl_node *loss, anl_node *const *wrt, int count, anl_node **gradients, anl_diagnostics *diagnostics)
{
    for (int i = 0; i < count; i++)
        gradients[i] = NULL;
    reverse r = {.graph = graph, .diagnostics = diagnostics, .count = graph->node_count};
    r.wanted = calloc((size_t)r.count + 1, sizeof *r.wanted);
    r.gradient = calloc((size_t)r.count + 1, sizeof *r.gradient);
    r.consumer = calloc((size_t)r.count + 1, sizeof *r.consumer);
    anl_status status = r.wanted && r.gradient && r.consumer ? ANL_OK : ANL_ERROR_MEMORY;
    if (!status) {
        const char *path = graph->path, *owner = graph->owner;
        anl_span span = graph->span, site = graph->site;
        anl_stage stage = graph->stage;
        graph->stage = ANL_STAGE_BACKWARD;
        mark_wanted(&r, wrt, count);
        r.gradient[loss->id] = anl_g_const(graph, ANL_F32, 1);
        for (int i = loss->id; i >= 0; i--)
            if (r.wanted[i] && r.gradient[i] && pass_on(&r, graph->nodes[i]))
                status = ANL_ERROR_SPEC; /* go on: all missing rules are told in one run */
        for (int i = 0; i < count && !status; i++)
            if (r.wanted[loss->id] && wrt[i]->id < r.count && r.gradient[wrt[i]->id])
                gradients[i] = anl_g_as(graph, r.gradient[wrt[i]->id], wrt[i]);
        graph->path = path;
        graph->owner = owner;
        graph->span = span;
        graph->site = site;
        graph->stage = stage;
    }
    free(r.wanted);
    free(r.gradient);
    free(r.consumer);
    return status;
}
