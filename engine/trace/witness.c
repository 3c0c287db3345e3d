/* What an editor wants to know of a trace: values and costs of what stands in the text.
 * In: values as they are made. Out: calls of the witness.
 * Nothing here has an influence on the graph. */
#include "trace/tracer.h"

double flops_of(tracer *t, int from)
{
    if (!t->witness)
        return 0;
    if (!t->flops_count)
        ANL_PUSH(t->arena, t->flops, t->flops_count, t->flops_capacity, 0.0);
    while (t->flops_count <= t->graph->node_count) { /* a node is finished when the next question comes */
        const anl_node *node = t->graph->nodes[t->flops_count - 1];
        const anl_op_info *info = anl_op_describe(node->op);
        double sum = t->flops[t->flops_count - 1] + (info->flops ? info->flops(node) : 0);
        ANL_PUSH(t->arena, t->flops, t->flops_count, t->flops_capacity, sum);
    }
    return t->flops[t->graph->node_count] - t->flops[from];
}

void witness_value(tracer *t, anl_span span, const anl_value *value, const char *path, double flops)
{
    if (!t->witness || value->kind == ANL_V_NONE || span.line < 1)
        return;
    const anl_seen seen = {span, value, path, flops};
    t->witness->see(t->witness->context, t->graph, &seen);
}

void witness_scope(tracer *t, const frame *f)
{
    for (int i = 0; t->witness && i < f->scope->count; i++)
        if (f->scope->entries[i]->kind == ENTRY_VALUE)
            witness_value(t, f->scope->entries[i]->span, &f->scope->entries[i]->value, f->place->draws, 0);
}
