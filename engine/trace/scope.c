/* Names, places and hidden axes: who sees which name, and under which path weights and draws lie.
 * In: entries. Out: lookups, claimed path components (A0212), hidden twins of axes.
 * A place is claimed only when something under it really owns a weight or a draw, so calls of plain functions never need a name.
 */
#include "trace/tracer.h"

const anl_value no_value = {.kind = ANL_V_NONE};

/* Whether a problem of this kind has been found at this place before, by the reader of the spec. */
bool reported(const tracer *t, anl_code code, anl_span span)
{
    for (int i = 0; i < anl_diagnostics_count(t->diagnostics); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(t->diagnostics, i);
        if (d->code == code && anl_span_same(d->span, span))
            return true;
    }
    return false;
}

scope *scope_new(tracer *t, scope *parent)
{
    scope *s = ANL_NEW(t->arena, scope);
    s->parent = parent;
    return s;
}

entry *scope_add(tracer *t, scope *s, entry_kind kind, const char *name, anl_span span)
{
    entry *n = ANL_NEW(t->arena, entry);
    n->kind = kind;
    n->name = name;
    n->span = span;
    ANL_PUSH(t->arena, s->entries, s->count, s->capacity, n);
    return n;
}

entry *scope_find(const scope *s, const char *name)
{
    for (; s; s = s->parent)
        for (int i = 0; i < s->count; i++) /* of two of one name, which are reported, the first counts */
            if (anl_same(s->entries[i]->name, name))
                return s->entries[i];
    return NULL;
}

const char *join_path(tracer *t, const char *prefix, const char *name)
{
    if (!name || !*name)
        return prefix;
    const size_t before = strlen(prefix), length = strlen(name);
    if (!before)
        return anl_arena_copy(t->arena, name, length);
    char *path = anl_arena_alloc(t->arena, before + length + 2);
    memcpy(path, prefix, before);
    path[before] = '.';
    memcpy(path + before + 1, name, length);
    return path;
}

place *place_new(tracer *t, frame *f, const char *path, const char *draws)
{
    place *p = ANL_NEW(t->arena, place);
    p->frame = f;
    p->scope = f->scope;
    p->path = path;
    p->draws = draws;
    p->draw_count = ANL_NEW(t->arena, int);
    p->base = p;
    p->claims = ANL_NEW(t->arena, claims);
    return p;
}

place *place_for_node(tracer *t, place *base, const char *node)
{
    place *p = ANL_NEW(t->arena, place);
    *p = *base;
    p->draws = join_path(t, base->draws, node);
    p->draw_count = ANL_NEW(t->arena, int);
    return p;
}

static bool claim_component(tracer *t, claim **list, int *count, int *capacity, const char *key, const char *shown, anl_span span,
                            const char *owns)
{
    for (int i = 0; i < *count; i++) {
        if (strcmp((*list)[i].component, key))
            continue;
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_name_needed, span,
                         "`%s` is called more than once in this scope and owns %s: each call needs a name", shown, owns);
        anl_diagnostic_label(t->diagnostics, d, (*list)[i].span, "the other call");
        anl_diagnostic_note(t->diagnostics, d,
                            "the name becomes part of the path of its %s; in a `repeat`, `as: i` puts the counter there", owns);
        anl_diagnostic_suggest(t->diagnostics, d, "add `as: %s2` to one of them", shown);
        return false;
    }
    claim c = {key, span};
    ANL_PUSH(t->arena, *list, *count, *capacity, c);
    return true;
}

/* False where the path is taken, now or before: its weights would be another call's. */
bool claim_weights(tracer *t, place *p)
{
    for (place *b = p->base; b && !b->claimed_weights; b = b->weight_up ? b->weight_up->base : NULL) {
        b->claimed_weights = true;
        if (b->weight_up) {
            claims *c = b->weight_up->base->claims;
            b->conflict = !claim_component(t, &c->weights, &c->weight_count, &c->weight_capacity, b->component, b->component,
                                           b->span, "weights or state");
        }
    }
    bool good = true;
    for (const place *b = p->base; b && good; b = b->weight_up ? b->weight_up->base : NULL)
        good = !b->conflict;
    return good;
}

void claim_draws(tracer *t, place *p)
{
    for (place *b = p->base; b && !b->claimed_draws; b = b->draw_up ? b->draw_up->base : NULL) {
        b->claimed_draws = true;
        if (b->draw_up) {
            claims *c = b->draw_up->base->claims;
            claim_component(t, &c->draws, &c->draw_count, &c->draw_capacity, b->draws, b->component, b->span, "random draws");
        }
    }
}

bool axis_visible(const tracer *t, const frame *f, int32_t axis)
{
    if (!t->graph->axis_names[axis].hidden)
        return true;
    for (int i = 0; i < f->named_count; i++)
        if (f->named[i] == axis)
            return true;
    return false;
}

int32_t axis_root(const tracer *t, int32_t axis)
{
    for (int i = 0; i < t->twin_count; i++)
        if (t->twins[i].hidden == axis)
            return t->twins[i].axis;
    return axis;
}

static bool value_has_axis(const anl_value *v, int32_t axis)
{
    switch (v->kind) {
    case ANL_V_NODE:
        return anl_node_axis(v->node, axis) >= 0;
    case ANL_V_LIST:
        for (int i = 0; i < v->list.count; i++)
            if (value_has_axis(&v->list.items[i], axis))
                return true;
        return false;
    case ANL_V_MAPPING:
        for (int i = 0; i < v->mapping.count; i++)
            if (value_has_axis(&v->mapping.items[i], axis))
                return true;
        return false;
    default:
        return false;
    }
}

/* The hidden twin of a visible axis: the first one that none of the call's arguments carries already, so that calls alike give
 * nodes alike. */
int32_t hide_axis(tracer *t, int32_t axis, const anl_value *avoid, int avoid_count)
{
    for (int i = 0; i < t->twin_count; i++) {
        if (t->twins[i].axis != axis)
            continue;
        bool taken = false;
        for (int k = 0; k < avoid_count && !taken; k++)
            taken = value_has_axis(&avoid[k], t->twins[i].hidden);
        if (!taken)
            return t->twins[i].hidden;
    }
    twin made = {axis, anl_graph_fresh_axis(t->graph, anl_graph_axis_name(t->graph, axis), true)};
    ANL_PUSH(t->arena, t->twins, t->twin_count, t->twin_capacity, made);
    return made.hidden;
}

/* Axes for messages: those that can be named, then those that ride along. */
const char *axes_of(tracer *t, const anl_node *node)
{
    anl_axis shown[ANL_MAX_AXES] = {0}, hidden[ANL_MAX_AXES] = {0};
    int shown_count = 0, hidden_count = 0;
    for (int i = 0; i < node->rank; i++) {
        if (t->graph->axis_names[node->axes[i].id].hidden)
            hidden[hidden_count++] = node->axes[i];
        else
            shown[shown_count++] = node->axes[i];
    }
    const char *text = anl_axes_text(t->graph, t->arena, shown, shown_count);
    return hidden_count
               ? anl_arena_printf(t->arena, "%s (%s rides along)", text, anl_axes_text(t->graph, t->arena, hidden, hidden_count))
               : text;
}
