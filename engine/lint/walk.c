/* Walking over graphs: marks of what leads to and from nodes, users, constants, and places in the spec.
 * In: graphs in topological order. Out: arrays by node id.
 * Everything is one sweep over the nodes. */
#include "lint/walk.h"

#include <stdarg.h>
#include <string.h>

bool anl_walk_passes(const anl_node *node, anl_ways ways)
{
    return ways == ANL_WAYS_VALUES || (node->op != ANL_OP_STOP_GRADIENT && node->dtype == ANL_F32);
}

bool *anl_walk_behind(anl_arena *arena, const anl_graph *graph, const anl_node *const *from, int count, anl_ways ways)
{
    bool *seen = ANL_NEW_ARRAY(arena, bool, graph->node_count + 1);
    int last = -1;
    for (int i = 0; i < count; i++) {
        if (!from[i])
            continue;
        seen[from[i]->id] = true;
        last = from[i]->id > last ? from[i]->id : last;
    }
    for (int i = last; i >= 0; i--) {
        const anl_node *n = graph->nodes[i];
        for (int k = 0; seen[i] && anl_walk_passes(n, ways) && k < n->input_count; k++)
            seen[n->inputs[k]->id] = true;
    }
    return seen;
}

bool *anl_walk_ahead(anl_arena *arena, const anl_graph *graph, const anl_node *const *from, int count, anl_ways ways)
{
    bool *seen = ANL_NEW_ARRAY(arena, bool, graph->node_count + 1);
    for (int i = 0; i < count; i++)
        if (from[i])
            seen[from[i]->id] = true;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        for (int k = 0; !seen[i] && anl_walk_passes(n, ways) && k < n->input_count; k++)
            seen[i] = seen[n->inputs[k]->id];
    }
    return seen;
}

bool *anl_walk_losses(anl_arena *arena, const anl_traced *traced, anl_ways ways)
{
    const anl_node **from = ANL_NEW_ARRAY(arena, const anl_node *, traced->loss_count + 1);
    for (int i = 0; i < traced->loss_count; i++)
        from[i] = traced->losses[i].value;
    return anl_walk_behind(arena, traced->graph, from, traced->loss_count, ways);
}

anl_users anl_walk_users(anl_arena *arena, const anl_graph *graph)
{
    anl_users u = {.start = ANL_NEW_ARRAY(arena, int, graph->node_count + 2)};
    int *next = u.start + 1; /* counts first, then where the next user of each goes */
    int total = 0;
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->input_count; k++)
            next[graph->nodes[i]->inputs[k]->id]++;
    for (int i = 0; i < graph->node_count; i++) {
        int count = next[i];
        next[i] = total;
        total += count;
    }
    u.items = ANL_NEW_ARRAY(arena, const anl_node *, total + 1);
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->input_count; k++)
            u.items[next[graph->nodes[i]->inputs[k]->id]++] = graph->nodes[i];
    return u;
}

bool anl_walk_moves(const anl_node *node)
{
    switch (node->op) {
    case ANL_OP_STOP_GRADIENT:
    case ANL_OP_RENAME:
    case ANL_OP_TRANSPOSE:
    case ANL_OP_REPLICATE:
    case ANL_OP_SLICE:
    case ANL_OP_PLACE:
    case ANL_OP_CONCAT:
    case ANL_OP_SPLIT:
    case ANL_OP_MERGE:
    case ANL_OP_WINDOWS:
        return true;
    default:
        return false;
    }
}

const anl_node *anl_walk_moved(const anl_node *node)
{
    while (node->input_count == 1 && (anl_walk_moves(node) || (node->op == ANL_OP_SCALAR && node->attrs.scalar == ANL_S_CAST)))
        node = node->inputs[0];
    return node;
}

bool anl_walk_constant(const anl_node *node, double *value)
{
    node = anl_walk_moved(node);
    if (node->op != ANL_OP_CONST)
        return false;
    *value = node->attrs.value;
    return true;
}

bool anl_walk_own(const anl_lint_pass *pass, anl_span span)
{
    return span.line && pass->recipe->file_count && !strcmp(span.file, pass->recipe->files[0]);
}

anl_diagnostic *anl_walk_diagnose(const anl_lint_pass *pass, anl_code code, const anl_node *node, const char *format, ...)
{
    va_list args;
    anl_text text = {0};
    va_start(args, format);
    anl_text_vprintf(&text, format, args);
    va_end(args);
    const bool inside = !node->site.line || anl_walk_own(pass, node->span);
    anl_diagnostic *d = anl_diagnose(pass->diagnostics, code, inside ? node->span : node->site, "%s", text.data ? text.data : "");
    anl_text_free(&text);
    if (node->site.line && node->span.line && !anl_span_same(node->site, node->span))
        anl_diagnostic_label(pass->diagnostics, d, inside ? node->site : node->span,
                             inside ? "in this call" : "here, inside of it");
    return d;
}
