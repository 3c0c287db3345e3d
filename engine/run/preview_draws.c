/* The draws that a view depends on: where they stand, what they are called, what they come to.
 * In: the graph of a view. Out: each draw with the call that it belongs to, a label, and its values, computed here as every
 * device computes them (Philox, see base/philox.h). A draw is told as what stands in the text: uniform(degrees.first,
 * degrees.last) as `degrees`, anything else as the node that it is in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "run/preview.h"

enum { FEW = 16 }; /* values of a draw for one copy of one sample */

bool axis_of_copies(const char *name)
{
    static const char *const others[] = {"batch", "channel", "z", "y", "x"};
    for (size_t i = 0; i < ANL_COUNT(others); i++)
        if (!strcmp(name, others[i]))
            return false;
    return true;
}

int64_t draw_place(const view_draw *d, int64_t element)
{
    int64_t place = 0, scale = 1;
    for (int a = d->shape.attrs.over_count - 1; a >= 0; a--) {
        const int64_t size = anl_node_size(&d->shape, d->shape.attrs.over[a]);
        place += d->own[a] ? element % size * scale : 0;
        scale *= d->own[a] ? size : 1;
        element /= size;
    }
    return place;
}

bool group_within(const char *group, const char *outer)
{
    const size_t length = strlen(outer);
    return !strncmp(group, outer, length) && group[length] == '.';
}

double draw_value(const anl_node *node, int64_t element, int64_t sample, int64_t step)
{
    const uint32_t counter[4] = {(uint32_t)element, (uint32_t)sample, (uint32_t)step, (uint32_t)((uint64_t)step >> 32)};
    const uint32_t key[2] = {(uint32_t)node->attrs.key, (uint32_t)(node->attrs.key >> 32)};
    uint32_t word[4];
    anl_philox(counter, key, word);
    const double u = anl_philox_unit(word[0]), turn = anl_philox_unit(word[1]);
    return node->op == ANL_OP_NORMAL ? sqrt(-2 * log(1 - u)) * cos(2 * M_PI * turn) : u;
}

/* The elementwise node that takes `value` and else constants, within the same expression (same_text) or the same named value. */
static const anl_node *continued(const anl_graph *graph, const bool *needed, const anl_node *value, bool same_text)
{
    const anl_node *found = NULL;
    for (int i = value->id + 1; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        bool uses = false, alone = n->op == ANL_OP_SCALAR;
        for (int k = 0; k < n->input_count; k++) {
            uses = uses || n->inputs[k] == value;
            alone = alone && (n->inputs[k] == value || n->inputs[k]->op == ANL_OP_CONST);
        }
        if (!uses || !needed[i])
            continue;
        if (found || !alone || strcmp(n->path, value->path) || (same_text && !anl_span_same(n->span, value->span)))
            return NULL; /* the value itself is of use, too */
        found = n;
    }
    return found;
}

/* The text at a place, to the end of its line. */
static const char *text_at(const anl_diagnostics *sources, anl_span span)
{
    size_t length;
    const char *text = span.line > 0 && span.file ? anl_diagnostics_text(sources, span.file, &length) : NULL;
    for (int line = 1; text && line < span.line; line++) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    for (int column = 1; text && column < span.column; column++, text++)
        if (!*text || *text == '\n')
            return NULL;
    return text;
}

/* The name P of "uniform(P.first, P.last", or NULL. */
static const char *range_name(const char *text, anl_arena *arena)
{
    static const char *const calls[] = {"uniform(", "integer(", "normal("};
    for (size_t i = 0; text && i < ANL_COUNT(calls); i++) {
        if (strncmp(text, calls[i], strlen(calls[i])))
            continue;
        const char *name = text + strlen(calls[i]);
        const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
        const char *rest = name + length;
        if (length && !strncmp(rest, ".first, ", 8) && !strncmp(rest + 8, name, length) &&
            !strncmp(rest + 8 + length, ".last", 5))
            return anl_arena_copy(arena, name, length);
    }
    return NULL;
}

/* "global.random_affine_crop.side" is `side` in `random_affine_crop`; a path that ends with a function is a draw in what that
 * returns. */
static void name_draw(view_draw *d, const char *path, const char *view, const char *ranged, const anl_recipe *recipe,
                      anl_arena *arena)
{
    const size_t length = strlen(view);
    if (!strncmp(path, view, length) && path[length] == '.')
        path += length + 1;
    else if (!strcmp(path, view))
        path = "";
    const char *last = strrchr(path, '.');
    last = last ? last + 1 : path;
    if (anl_recipe_function(recipe, last) || !*path) {
        d->group = path;
        d->label = ranged ? ranged : d->condition ? "happens" : "value";
    } else {
        d->group = last > path ? anl_arena_copy(arena, path, (size_t)(last - path - 1)) : "";
        d->label = ranged ? ranged : last;
    }
    if (!*d->group)
        d->group = view;
}

static double follow(const view_draw *d, double value)
{
    const anl_node *before = d->node;
    for (int i = 0; i < d->chain_count; i++) {
        const anl_node *n = d->chain[i];
        double operand[3] = {0};
        for (int k = 0; k < n->input_count && k < 3; k++)
            operand[k] = n->inputs[k] == before ? value : n->inputs[k]->attrs.value;
        value = anl_scalar_evaluate(n->attrs.scalar, n->dtype, n->inputs[0]->dtype, operand[0], operand[1], operand[2]);
        before = n;
    }
    return value;
}

void draws_find(const anl_graph *graph, const anl_node *view, const char *name, const anl_recipe *recipe,
                const anl_diagnostics *sources, anl_arena *arena, view_draws *out)
{
    bool *needed = ANL_NEW_ARRAY(arena, bool, graph->node_count);
    needed[view->id] = true;
    for (int i = view->id; i >= 0; i--)
        for (int k = 0; needed[i] && k < graph->nodes[i]->input_count; k++)
            needed[graph->nodes[i]->inputs[k]->id] = true;
    *out = (view_draws){.view = name};
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *node = graph->nodes[i];
        if (!needed[i] || (node->op != ANL_OP_UNIFORM && node->op != ANL_OP_NORMAL))
            continue;
        view_draw d = {.graph = graph, .node = node, .shape = *node};
        d.values = 1;
        for (int a = 0; a < node->attrs.over_count; a++) {
            d.own[a] =
                !axis_of_copies(anl_graph_axis_name(graph, node->attrs.over[a])) || anl_node_axis(view, node->attrs.over[a]) < 0;
            d.values *= d.own[a] ? anl_node_size(node, node->attrs.over[a]) : 1;
        }
        d.few = d.values <= FEW;
        const anl_node *at = node;
        for (const anl_node *next; (next = continued(graph, needed, at, true)); at = next)
            ANL_PUSH(arena, d.chain, d.chain_count, d.chain_capacity, next);
        d.condition = at->dtype == ANL_BOOL;
        const char *ranged = range_name(text_at(sources, node->span), arena);
        for (const anl_node *next; !ranged && (next = continued(graph, needed, at, false)); at = next)
            ANL_PUSH(arena, d.chain, d.chain_count, d.chain_capacity, next);
        const bool normal = node->op == ANL_OP_NORMAL;
        d.fixed = d.chain_count && follow(&d, normal ? -1 : 0) == follow(&d, normal ? 1 : 1 - 0x1p-24);
        name_draw(&d, node->path, name, ranged, recipe, arena);
        ANL_PUSH(arena, out->draws, out->count, out->capacity, d);
    }
}

const char *draw_text(const view_draw *d, int64_t sample, const char *const *copy_axes, const int *copy_at, int copy_count,
                      draw_unit *unit, void *context, anl_arena *arena)
{
    const anl_node *n = &d->shape;
    const bool truth = d->chain_count && d->chain[d->chain_count - 1]->dtype == ANL_BOOL;
    int fixed[ANL_MAX_AXES], size[ANL_MAX_AXES];
    int64_t values = 1;
    for (int a = 0; a < n->attrs.over_count; a++) {
        const char *name = anl_graph_axis_name(d->graph, n->attrs.over[a]);
        size[a] = anl_node_size(n, n->attrs.over[a]);
        fixed[a] = -1;
        for (int c = 0; c < copy_count; c++)
            if (!strcmp(name, copy_axes[c]))
                fixed[a] = copy_at[c];
        values *= fixed[a] < 0 ? size[a] : 1;
    }
    anl_text text = {0};
    for (int64_t v = 0; v < values; v++) {
        int64_t element = 0, scale = 1, rest = v;
        for (int a = n->attrs.over_count - 1; a >= 0; a--) {
            const int64_t at = fixed[a] < 0 ? rest % size[a] : fixed[a];
            rest = fixed[a] < 0 ? rest / size[a] : rest;
            element += at * scale;
            scale *= size[a];
        }
        const double value = follow(d, unit(context, d, element, n->attrs.axis[0] >= 0 ? sample : 0));
        if (truth)
            anl_text_printf(&text, "%s%s", v ? " " : "", value != 0 ? "yes" : "no");
        else
            anl_text_printf(&text, "%s%.3g", v ? " " : "", value + 0.0);
    }
    const char *copy = anl_arena_text(arena, text.data ? text.data : "");
    anl_text_free(&text);
    return copy;
}
