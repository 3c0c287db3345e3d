/* Boxes and the views of their image: whether they went the same way.
 * In: the graph of the first phase. Out: diagnostic A1116.
 * One sweep: where corners as they are stored meet what was made of an image that was moved by chance. */
#include <string.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include "lint/facts.h"

enum { CORNERS = 1, MOVED = 2 }; /* made from corners that were not moved; from an image that was */

/* Whether one of the columns is a corner. */
static bool has_corners(const char *columns)
{
    size_t length;
    for (const char *name; columns && (name = anl_list_next(&columns, &length));) {
        char corner[3] = {0};
        memcpy(corner, name, length == 2 ? 2 : 0);
        if (anl_corner_axis(corner) >= 0)
            return true;
    }
    return false;
}

static bool is_corners(const anl_static_recipe *facts, const anl_node *node)
{
    for (int i = 0; node->op == ANL_OP_FIELD && i < facts->field_count; i++)
        if (!strcmp(facts->fields[i].name, node->attrs.name))
            return has_corners(facts->fields[i].boxes);
    return false;
}

static bool drawn(const anl_facts *f, const anl_node *n) { return anl_fact_of(f, n)->from & ANL_FROM_DRAW; }

/* Whether the node shows its image elsewhere, by chance: sampled at positions that are drawn, or flipped or not. */
static bool moves(const anl_facts *f, const anl_node *n)
{
    bool positions = false, flipped = false;
    for (int k = 1; k < n->input_count; k++) {
        positions = positions || drawn(f, n->inputs[k]);
        flipped = flipped || (n->inputs[k]->op == ANL_OP_SLICE && n->inputs[k]->attrs.step < 0);
    }
    return n->op == ANL_OP_GATHER ? positions : anl_is_scalar(n, ANL_S_SELECT) && flipped && drawn(f, n->inputs[0]);
}

void anl_lint_boxes(anl_lint_pass *pass)
{
    bool any = false;
    for (int i = 0; pass->facts && i < pass->facts->field_count; i++)
        any = any || has_corners(pass->facts->fields[i].boxes);
    if (!any || !pass->train)
        return;
    const anl_facts *f = anl_facts_shared(pass, pass->train);
    const int count = f->graph->node_count;
    uint8_t *is = ANL_NEW_ARRAY(pass->arena, uint8_t, count + 1);
    const anl_node **by = ANL_NEW_ARRAY(pass->arena, const anl_node *, count + 1); /* what moved the image */
    for (int i = 0; i < count; i++) {
        const anl_node *n = f->graph->nodes[i], *moved = NULL;
        if (!f->loss[i])
            continue;
        bool corners = is_corners(pass->facts, n), along = false;
        const int inputs = n->op == ANL_OP_GATHER ? 1 : n->input_count; /* positions say where, not what */
        for (int k = 0; k < inputs; k++) {
            const anl_node *x = n->inputs[k];
            corners = corners || is[x->id] & CORNERS;
            moved = is[x->id] & MOVED ? by[x->id] : moved;
            along = along || (!is[x->id] && drawn(f, x)); /* the draws that move an image move its boxes here */
        }
        if (corners && moved) {
            anl_diagnostic *d = anl_walk_diagnose(pass, ANL_A_boxes_unmoved, n, "boxes as they are stored meet an image that was moved at random");
            anl_diagnostic_label(pass->diagnostics, d, moved->site.line ? moved->site : moved->span, "moved here");
            anl_diagnostic_note(pass->diagnostics, d, "they name places in the image as it is read; in the view, other things are there");
            anl_diagnostic_suggest(pass->diagnostics, d, "move them by the same matrix, with affine_boxes of lib/boxes.yaml; or compare them with a view that keeps its place");
            corners = false;
        }
        if (!moved && moves(f, n))
            moved = n;
        is[i] = (uint8_t)((corners && !along ? CORNERS : 0) | (moved ? MOVED : 0));
        by[i] = moved;
    }
}
