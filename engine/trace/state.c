/* Weights and state: declared axes, paths, first values, projections, and updates at the end of the step.
 * In: the entries of frames that declare them. Out: the graph's states with their STATE nodes and updates.
 * A record is one state of this pass, whatever number of calls share it. */
#include "trace/tracer.h"

record *record_find(const tracer *t, const char *path) { return anl_lookup_find(&t->record_paths, path); }

static anl_state_kind kind_of(tracer *t, const anl_declaration *d)
{
    if (!d->is_weight)
        return ANL_STATE_OTHER;
    if (!d->kind || !strcmp(d->kind, "other"))
        return ANL_WEIGHT_OTHER;
    if (!strcmp(d->kind, "matrix"))
        return ANL_WEIGHT_MATRIX;
    if (!strcmp(d->kind, "bias"))
        return ANL_WEIGHT_BIAS;
    if (!strcmp(d->kind, "norm"))
        return ANL_WEIGHT_NORM;
    anl_diagnose(t->diagnostics, ANL_A_type_mismatch, d->span, "kind is one of matrix, bias, norm, other, not `%s`", d->kind);
    return ANL_WEIGHT_OTHER;
}

static bool add_axis(tracer *t, anl_axis *axes, int *rank, int32_t id, int64_t size, const anl_declaration *d, anl_span span)
{
    if (t->graph->axis_names[id].hidden) {
        anl_diagnose(t->diagnostics, ANL_A_duplicate_axis, span,
                     "`%s` would have the axis `%s`, which rides along with the arguments: weights and state never do", d->name,
                     anl_graph_axis_name(t->graph, id));
        return false;
    }
    for (int i = 0; i < *rank; i++) {
        if (axes[i].id == id) {
            anl_diagnose(t->diagnostics, ANL_A_duplicate_axis, span, "`%s` has the axis `%s` twice", d->name,
                         anl_graph_axis_name(t->graph, id));
            return false;
        }
    }
    if (*rank == ANL_MAX_AXES) {
        anl_diagnose(t->diagnostics, ANL_A_too_many_axes, span, "`%s` has more than %d axes", d->name, ANL_MAX_AXES);
        return false;
    }
    if (size < 1 || size > INT32_MAX) {
        anl_diagnose(t->diagnostics, ANL_A_out_of_range, span, "the axis `%s` of `%s` has size %lld",
                     anl_graph_axis_name(t->graph, id), d->name, (long long)size);
        return false;
    }
    axes[(*rank)++] = (anl_axis){id, (int32_t)size};
    return true;
}

/* written: where each size stands; at most ANL_MAX_AXES. */
static bool declared_axes(tracer *t, entry *n, anl_axis *axes, anl_span *written, int *rank)
{
    const anl_declaration *d = n->declaration;
    *rank = 0;
    if (d->like) {
        entry *of = scope_find(n->where->scope, d->like);
        if (!of) {
            anl_diagnose(t->diagnostics, ANL_A_unknown_name, d->span, "`like: %s`: there is no value of that name here", d->like);
            return false;
        }
        anl_value v = entry_value(t, of, d->span);
        if (v.kind != ANL_V_NODE)
            return false;
        for (int i = 0; i < v.node->rank; i++) {
            written[*rank] = anl_node_axis_origin(v.node, v.node->axes[i].id);
            if (!add_axis(t, axes, rank, v.node->axes[i].id, v.node->axes[i].size, d, d->span))
                return false;
        }
        return true;
    }
    for (int i = 0; i < d->axis_count; i++) {
        const anl_axis_pattern *a = &d->axes[i];
        if (a->kind == ANL_P_REST || !a->size) {
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, a->span, "the axis `%s` of `%s` needs a size", a->name, d->name);
            return false;
        }
        anl_value size = evaluate(t, n->where, a->size, WANT_VALUE);
        if (size.kind == ANL_V_NONE)
            return false;
        if (size.kind != ANL_V_INT) {
            anl_diagnose(t->diagnostics, size.kind == ANL_V_NODE ? ANL_A_not_static : ANL_A_type_mismatch, a->size->span,
                         "the size of axis `%s` must be a whole number that is known when compiling, and this is %s", a->name,
                         what_it_is(t, &size));
            return false;
        }
        for (int k = *rank; k < ANL_MAX_AXES; k++)
            written[k] = size.origin;
        if (a->kind == ANL_P_AXIS) {
            if (!add_axis(t, axes, rank, axis_named(t, n->where, a->name), size.integer, d, a->span))
                return false;
            continue;
        }
        entry *space = scope_find(n->where->scope, "space");
        anl_value list = space ? entry_value(t, space, a->span) : no_value;
        if (list.kind != ANL_V_LIST || !list.list.count) {
            anl_diagnose(t->diagnostics, ANL_A_missing_axis, a->span, "~space: there are no space axes here");
            return false;
        }
        for (int k = 0; k < list.list.count; k++)
            if (!add_axis(t, axes, rank, list.list.items[k].axis, size.integer, d, a->span))
                return false;
    }
    return true;
}

static record *new_record(tracer *t, const char *path, entry *n, const anl_axis *axes, int rank)
{
    record *r = ANL_NEW(t->arena, record);
    r->path = path;
    r->declaration = n->declaration;
    r->owner = n;
    r->state = anl_graph_find_state(t->graph, path);
    if (!r->state) {
        r->state = anl_graph_state(t->graph, path, ANL_F32, kind_of(t, n->declaration), axes, rank);
    }
    r->state->span = n->declaration->span;
    ANL_PUSH(t->arena, t->records, t->record_count, t->record_capacity, r);
    if (!record_find(t, r->path)) /* of two of one path, the first is found */
        anl_lookup_add(t->arena, &t->record_paths, r->path, r);
    return r;
}

/* The source of a copied state exists from the start, even where nothing calls it. */
static void link_copy(tracer *t, entry *n, record *r, const anl_axis *axes, int rank)
{
    const frame *f = n->where->frame;
    if (!f->copy || strncmp(r->path, f->copy->name, strlen(f->copy->name)))
        return;
    r->copy = f->copy;
    r->source = anl_arena_printf(t->arena, "%s%s", f->copy_source->name, r->path + strlen(f->copy->name));
    record *s = record_find(t, r->source);
    if (!s)
        s = new_record(t, r->source, n, axes, rank);
    if (s->used < t->need && t->need == NEED_VALUE)
        s->used = t->need;
}

/* Whether a tensor can have so many elements. Told here, since arenas are laid out of the sizes. */
static bool holds(tracer *t, entry *n, const char *path, const anl_axis *axes, int rank)
{
    enum { MOST = INT32_MAX / LANE * LANE }; /* an arena pads to whole lanes */
    double count = 1;
    for (int i = 0; i < rank; i++)
        count *= axes[i].size;
    if (count <= MOST)
        return true;
    anl_diagnostic *d =
        anl_diagnose(t->diagnostics, ANL_A_program_limit, n->where->span.line ? n->where->span : n->span,
                     "`%s` has axes %s, which makes %.0f elements; a tensor holds at most %d", path,
                     anl_axes_text(t->graph, t->arena, axes, rank), count, MOST);
    anl_diagnostic_label(t->diagnostics, d, n->span, "declared here");
    return false;
}

record *state_record(tracer *t, entry *n)
{
    if (n->record)
        return n->record;
    if (t->group && n->declaration->like && !t->census)
        return n->record = optimizer_record(t, n);
    anl_axis axes[ANL_MAX_AXES];
    anl_span written[ANL_MAX_AXES];
    int rank;
    if (!declared_axes(t, n, axes, written, &rank))
        return NULL;
    const char *path = join_path(t, n->where->path, n->name);
    if (!claim_weights(t, n->where) || !holds(t, n, path, axes, rank))
        return NULL;
    record *r = record_find(t, path);
    if (r) {
        bool same = r->state->rank == rank;
        for (int i = 0; i < rank && same; i++)
            same = r->state->axes[i].id == axes[i].id && r->state->axes[i].size == axes[i].size;
        if (r->declaration != n->declaration) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_name_needed, n->where->span.line ? n->where->span : n->span,
                                             "two weights or states would both be called `%s`", path);
            anl_diagnostic_label(t->diagnostics, d, r->owner->where->span.line ? r->owner->where->span : r->owner->span,
                                 "the other one");
            anl_diagnostic_suggest(t->diagnostics, d, "name one of the calls with `as:`");
            return NULL;
        }
        if (!same) {
            anl_span here = n->where->span.line ? n->where->span : n->span,
                     other = r->owner->where->span.line ? r->owner->where->span : r->owner->span;
            const bool again = here.line == other.line && here.column == other.column && !strcmp(here.file, other.file);
            anl_diagnostic *d =
                anl_diagnose(t->diagnostics, ANL_A_axis_mismatch, here,
                             "`%s` has axes %s here but %s in another %s", path, anl_axes_text(t->graph, t->arena, axes, rank),
                             anl_axes_text(t->graph, t->arena, r->state->axes, r->state->rank), again ? "phase" : "call");
            if (!again)
                anl_diagnostic_label(t->diagnostics, d, other, "the other call");
            anl_diagnostic_note(t->diagnostics, d,
                                again ? "a weight keeps its axes for the whole training; `since` may not change them"
                                      : "calls of one module share its weights");
            return NULL;
        }
    } else {
        r = new_record(t, path, n, axes, rank);
    }
    if (!r->source)
        link_copy(t, n, r, axes, rank);
    if (r->used < t->need)
        r->used = t->need;
    n->record = r;
    if (!n->sizes) {
        n->sizes = ANL_NEW_ARRAY(t->arena, anl_span, rank + 1);
        memcpy(n->sizes, written, sizeof *written * (size_t)rank);
    }
    return r;
}

anl_value state_value(tracer *t, entry *n)
{
    record *r = state_record(t, n);
    if (!r)
        return no_value;
    context_at(t, n->where, n->span);
    t->graph->path = t->graph->owner = r->path;
    const bool first = !r->state->value;
    anl_node *node = anl_graph_state_value(t->graph, r->state);
    for (int i = 0; first && n->sizes && i < r->state->rank; i++)
        anl_graph_size_written(t->graph, node, r->state->axes[i].id, n->sizes[i]);
    return value_node_of(node, n->span);
}

/* ---- values that must have a state's axes ---- */
anl_node *fit_axes(tracer *t, anl_node *node, const anl_axis *axes, int rank, const char *what, anl_span span)
{
    if (!node)
        return NULL;
    bool fits = true;
    for (int i = 0; i < node->rank && fits; i++) {
        fits = false;
        for (int k = 0; k < rank; k++)
            fits |= axes[k].id == node->axes[i].id && axes[k].size == node->axes[i].size;
    }
    if (!fits) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_axis_mismatch, span, "%s has axes %s, and %s are needed", what,
                                         axes_of(t, node), anl_axes_text(t->graph, t->arena, axes, rank));
        if (node->span.line)
            anl_diagnostic_label(t->diagnostics, d, node->span, "the value comes from here");
        for (int i = 0; i < node->rank; i++) {
            int k = 0;
            while (k < rank && axes[k].id != node->axes[i].id)
                k++;
            if (k == rank || axes[k].size != node->axes[i].size)
                anl_graph_label_axis(t->diagnostics, d, t->graph, node, node->axes[i].id);
        }
        return NULL;
    }
    t->graph->span = span;
    if (node->dtype != ANL_F32)
        node = anl_g_cast(t->graph, ANL_F32, node);
    for (int i = rank - 1; i >= 0; i--)
        if (anl_node_axis(node, axes[i].id) < 0)
            node = anl_g_replicate(t->graph, node, axes[i].id, axes[i].size);
    return node;
}

anl_node *projected(tracer *t, record *r, anl_node *value)
{
    const anl_declaration *d = r->declaration;
    if (!d->project || !value)
        return value;
    place *p = ANL_NEW(t->arena, place);
    *p = *r->owner->where;
    p->scope = scope_new(t, r->owner->where->scope);
    scope_add(t, p->scope, ENTRY_VALUE, r->owner->name, d->span)->value = value_node_of(value, d->span);
    anl_value v = evaluate(t, p, d->project, WANT_VALUE);
    return !needs_number(t, &v, d->project->span, "a projected value") ? NULL
                                : fit_axes(t, node_of(t, p, &v, d->project->span), r->state->axes, r->state->rank,
                                           "the projection", d->project->span);
}

static anl_node *shape_only(tracer *t, const anl_axis *axes, int rank)
{
    anl_node *n = anl_g_const(t->graph, ANL_F32, 0);
    for (int i = rank - 1; i >= 0; i--)
        n = anl_g_replicate(t->graph, n, axes[i].id, axes[i].size);
    return n;
}

anl_node *initial_value(tracer *t, record *r)
{
    if (r->init_progress == DONE)
        return r->init.kind == ANL_V_NODE ? r->init.node : NULL;
    r->init_progress = DONE;
    r->init = no_value;
    if (r->source) { /* a copy begins as what it copies */
        record *s = record_find(t, r->source);
        r->init = value_node_of(s ? initial_value(t, s) : NULL, r->declaration->span);
        return r->init.node;
    }
    const anl_declaration *d = r->declaration;
    anl_node *node;
    if (!d->init) {
        context_at(t, r->owner->where, d->span);
        node = anl_g_const(t->graph, ANL_F32, 0);
    } else {
        place *p = ANL_NEW(t->arena, place);
        *p = *r->owner->where;
        frame *still = ANL_NEW(t->arena, frame); /* axes that ride along with a call's arguments are none of its weights' */
        *still = *p->frame;
        still->ride = NULL;
        still->ride_count = still->ride_capacity = 0;
        p->frame = still;
        p->scope = scope_new(t, r->owner->where->scope);
        p->base = p;
        p->claims = ANL_NEW(t->arena, claims);
        p->weight_up = p->draw_up = NULL;
        p->draws = r->path;
        p->draw_count = ANL_NEW(t->arena, int);
        anl_value list = {.kind = ANL_V_LIST, .span = d->span}, space = {.kind = ANL_V_LIST, .span = d->span};
        list.list.items = ANL_NEW_ARRAY(t->arena, anl_value, r->state->rank + 1);
        space.list.items = ANL_NEW_ARRAY(t->arena, anl_value, r->state->rank + 1);
        for (int i = 0; i < r->state->rank; i++) {
            anl_value a = {.kind = ANL_V_AXIS, .span = d->span};
            a.axis = r->state->axes[i].id;
            list.list.items[list.list.count++] = a;
            if (anl_is_space(t->graph, a.axis))
                space.list.items[space.list.count++] = a;
        }
        scope_add(t, p->scope, ENTRY_VALUE, "axes", d->span)->value = list;
        scope_add(t, p->scope, ENTRY_VALUE, "space", d->span)->value = space;
        const anl_axis *axes = t->init_axes;
        int rank = t->init_rank;
        anl_node *shape = t->init_shape;
        t->init_axes = r->state->axes;
        t->init_rank = r->state->rank;
        context_at(t, p, d->span);
        t->init_shape = shape_only(t, r->state->axes, r->state->rank);
        anl_value v = evaluate(t, p, d->init, WANT_VALUE);
        node = !needs_number(t, &v, d->init->span, "a first value") ? NULL : node_of(t, p, &v, d->init->span);
        t->init_axes = axes;
        t->init_rank = rank;
        t->init_shape = shape;
    }
    node = fit_axes(t, node, r->state->axes, r->state->rank, "the first value", d->init ? d->init->span : d->span);
    node = projected(t, r, node);
    r->init = value_node_of(node, d->span);
    return node;
}

/* ---- updates ---- */
void add_update_calls(tracer *t, frame *f, anl_span span)
{
    if (!t->training || t->group || t->need < NEED_TRAINING)
        return;
    for (int i = 0; i < f->scope->count; i++) {
        entry *n = f->scope->entries[i];
        if (n->kind == ENTRY_STATE && n->declaration->update && !n->declaration->like) {
            update_call u = {n, span};
            ANL_PUSH(t->arena, t->updates, t->update_count, t->update_capacity, u);
        }
    }
}

anl_value state_next(tracer *t, entry *n, anl_span use)
{
    if (n->next_progress == DONE)
        return n->next;
    const anl_declaration *d = n->declaration;
    if (!d->update) {
        record *r = state_record(t, n);
        if (!r)
            return no_value;
        if (d->is_weight && (t->optimized || t->census))
            return r->next ? value_node_of(r->next, use) : entry_value(t, n, use);
        anl_diagnostic *g = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, use,
                                         d->is_weight ? "the new value of the weight `%s` is known in updates only"
                                                      : "`%s` has no `update:`, so it has no new value",
                                         n->name);
        anl_diagnostic_label(t->diagnostics, g, d->span, "declared here");
        return no_value;
    }
    if (n->next_progress == RUNNING) {
        anl_diagnostic *g =
            anl_diagnose(t->diagnostics, ANL_A_cycle, d->span, "the update of `%s` needs its own result", n->name);
        anl_diagnostic_label(t->diagnostics, g, use, "next(%s) is asked for here", n->name);
        n->next = no_value;
        return no_value;
    }
    n->next_progress = RUNNING;
    place *p = place_for_node(t, n->where, anl_arena_printf(t->arena, "%s.next", n->name));
    if (!p->owner) { /* the spec's own state */
        p->owner = n->name;
        p->updating = true;
    }
    anl_value v = evaluate(t, p, d->update, WANT_VALUE);
    record *r = state_record(t, n);
    anl_node *node = !needs_number(t, &v, d->update->span, "a new value") || !r ? NULL : node_of(t, p, &v, d->update->span);
    if (node)
        node = fit_axes(t, node, r->state->axes, r->state->rank, "the new value", d->update->span);
    n->next = value_node_of(node, d->span);
    n->next_progress = DONE;
    return n->next;
}

/* All updates of the pass, in the order of the calls. Evaluating one may call further functions with updates of their own. */
void make_updates(tracer *t)
{
    for (int i = 0; i < t->update_count; i++) {
        update_call u = t->updates[i];
        anl_value v = state_next(t, u.entry, u.span);
        record *r = u.entry->record;
        if (v.kind == ANL_V_NODE && r)
            ANL_PUSH(t->arena, r->calls, r->call_count, r->call_capacity, u);
    }
    for (int i = 0; i < t->record_count; i++) {
        record *r = t->records[i];
        if (!r->call_count)
            continue;
        const anl_declaration *d = r->declaration;
        const bool mean = d->calls && !strcmp(d->calls, "mean");
        if (r->call_count > 1 && !mean) {
            anl_diagnostic *g = anl_diagnose(t->diagnostics, ANL_A_state_called_twice, d->span,
                                             "`%s` is updated by %d calls in one step", r->path, r->call_count);
            for (int k = 0; k < r->call_count && k < 4; k++)
                anl_diagnostic_label(t->diagnostics, g, r->calls[k].span, "call %d", k + 1);
            anl_diagnostic_suggest(t->diagnostics, g, "`calls: mean` in the declaration takes the mean of the new values");
            continue;
        }
        context_at(t, r->owner->where, d->span);
        t->graph->path = t->graph->owner = r->path;
        anl_node *sum = r->calls[0].entry->next.node;
        for (int k = 1; k < r->call_count; k++)
            sum = anl_g_binary(t->graph, ANL_S_ADD, sum, r->calls[k].entry->next.node);
        if (r->call_count > 1)
            sum = anl_g_binary(t->graph, ANL_S_MUL, sum, anl_g_const(t->graph, ANL_F32, 1.0 / r->call_count));
        if (!d->is_weight)
            sum = projected(t, r, sum);
        r->next = sum;
        if (sum && !t->census)
            r->state->update = sum;
    }
}

/* All states of the plan, so that every program has the same ones in the same order. */
void register_plan(tracer *t)
{
    for (int i = 0; i < t->plan_count; i++) {
        const plan_state *s = &t->plan[i];
        anl_axis axes[ANL_MAX_AXES];
        for (int k = 0; k < s->rank; k++)
            axes[k] = (anl_axis){anl_graph_axis(t->graph, s->axis[k]), s->size[k]};
        anl_state *state = anl_graph_state(t->graph, s->path, ANL_F32, s->kind, axes, s->rank);
        state->span = s->span;
    }
}
