/* What the graph shows of axes, beyond what tracing refuses.
 * In: graphs of the first and the last phase of training. Out: A0409.
 * That a gradient flows through a copy needs no rule: tracing stops it there. */
#include <anlage/diagnostic_codes.h>

#include "lint/facts.h"
#include "lint/rules.h"
#include "lint/walk.h"

/* Steps of two and more over a single position: the images are smaller than what the network divides them by. A volume of few slices
 * may well run out of them alone. */
static void check_stride(const anl_lint_pass *pass, const anl_node *x)
{
    int stride = 0;
    for (int i = 0; i < x->attrs.slide_count; i++) {
        const anl_slide *s = &x->attrs.slide[i];
        if (s->stride < 2)
            continue;
        if (s->in_size > 1)
            return;
        stride = s->stride;
    }
    if (!stride)
        return;
    anl_diagnostic *d = anl_walk_diagnose(pass, ANL_A_stride_without_room, x, "a single position of the image is left here, and a stride of %d follows", stride);
    anl_diagnostic_note(pass->diagnostics, d, "the image is smaller than the strides of the network multiplied");
    anl_diagnostic_suggest(pass->diagnostics, d, "give it larger crops, or a network of fewer strides");
}

static void check_graph(anl_lint_pass *pass, const anl_traced *traced)
{
    const bool *behind = anl_facts_shared(pass, traced)->loss;
    for (int i = 0; i < traced->graph->node_count; i++) {
        const anl_node *x = traced->graph->nodes[i];
        if (behind[i] && x->op == ANL_OP_CONTRACT)
            check_stride(pass, x);
    }
}

void anl_lint_structure(anl_lint_pass *pass)
{
    if (!pass->sound || !pass->train)
        return;
    check_graph(pass, pass->train);
    if (pass->last != pass->train)
        check_graph(pass, pass->last);
}
