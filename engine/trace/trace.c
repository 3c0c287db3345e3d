/* The passes: a census over all phases finds weights, boundaries and problems; a last pass makes the graph that was asked for.
 * In: recipe and options. Out: anl_traced: graph, losses, boundaries.
 * The census comes first because arenas must be the same in every phase, and because all problems are to be found in one run. */
#include <math.h>
#include <stdlib.h>

#include "trace/tracer.h"

typedef struct traced_box {
    anl_traced traced; /* first: what the caller sees */
    anl_arena *arena;
} traced_box;

enum { MAX_PHASES = 64 };

/* ---- the names of the spec itself ---- */
static entry *top_entry(tracer *t, entry_kind kind, const char *name, anl_span span)
{
    entry *other = scope_find(t->top->scope, name);
    if (other && !reported(t, ANL_A_duplicate_name, span)) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_duplicate_name, span, "there are two values called `%s`", name);
        anl_diagnostic_label(t->diagnostics, d, other->span, "the other one");
        anl_diagnostic_note(t->diagnostics, d, "params, fields, views, modules, state and graph share their names");
    }
    entry *n = scope_add(t, t->top->scope, kind, name, span);
    n->where = place_for_node(t, t->top->place, name);
    return n;
}

static const anl_source *train_source(const anl_recipe *recipe)
{
    for (int i = 0; i < recipe->source_count; i++)
        if (!strcmp(recipe->sources[i].name, "train"))
            return &recipe->sources[i];
    return recipe->source_count ? &recipe->sources[0] : NULL;
}

static void make_top(tracer *t)
{
    const anl_recipe *r = t->recipe;
    frame *f = ANL_NEW(t->arena, frame);
    f->scope = scope_new(t, NULL);
    t->top = f;
    f->place = place_new(t, f, "", "");
    for (int i = 0; i < r->param_count; i++)
        top_entry(t, ENTRY_PARAM, r->params[i].name, r->params[i].span)->param = &r->params[i];
    const anl_source *train = train_source(r);
    for (int i = 0; train && i < train->field_count; i++) {
        const anl_field_declaration *field = &train->fields[i];
        top_entry(t, ENTRY_FIELD, field->name, field->span)->field = field;
        if (field->mask) {
            entry *n = top_entry(t, ENTRY_FIELD, field->mask, field->span);
            n->field = field;
            n->mask = true;
        }
    }
    for (int i = 0; i < r->view_count; i++)
        top_entry(t, ENTRY_EXPRESSION, r->views[i].name, r->views[i].span)->expression = r->views[i].value;
    for (int i = 0; i < r->module_count; i++)
        top_entry(t, ENTRY_MODULE, r->modules[i].name, r->modules[i].span)->module = &r->modules[i];
    for (int i = 0; i < r->state_count; i++) {
        entry *n = top_entry(t, ENTRY_STATE, r->states[i].name, r->states[i].span);
        n->declaration = &r->states[i];
        n->where = f->place;
    }
    for (int i = 0; i < r->node_count; i++)
        top_entry(t, ENTRY_EXPRESSION, r->nodes[i].name, r->nodes[i].span)->expression = r->nodes[i].value;
}

static void new_pass(tracer *t, anl_graph *graph, bool training)
{
    t->graph = graph;
    t->training = training;
    t->records = NULL;
    t->record_paths = (anl_lookup){0};
    t->record_count = t->record_capacity = 0;
    t->twins = NULL;
    t->twin_count = t->twin_capacity = 0;
    t->learning_rate = no_value;
    t->optimized = false;
    t->gradient_norm = NULL;
}

static void new_phase(tracer *t, int64_t step)
{
    t->phase_step = step;
    t->updates = NULL;
    t->update_count = t->update_capacity = 0;
    t->running_count = 0;
    t->depth = 0;
    for (int i = 0; i < t->record_count; i++) {
        t->records[i]->calls = NULL;
        t->records[i]->call_count = t->records[i]->call_capacity = 0;
    }
    make_top(t);
}

/* ---- losses, metrics ---- */
static anl_node *loss_node(tracer *t, const anl_expression *e, place *p, const char *what, const char *name, anl_span span)
{
    anl_value v = evaluate(t, p, e, WANT_VALUE);
    if (v.kind == ANL_V_NONE) {
        if (!anl_diagnostics_errors(t->diagnostics)) /* silence would pass for a sound recipe without this loss */
            anl_diagnose(t->diagnostics, ANL_A_graph_invalid, e->span, "internal: the %s `%s` could not be made", what, name);
        return NULL;
    }
    if (v.kind != ANL_V_NODE && v.kind != ANL_V_INT && v.kind != ANL_V_NUMBER) {
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "the %s `%s` must be a number, and this is %s", what, name,
                     anl_value_kind_text(&v));
        return NULL;
    }
    context_at(t, p, e->span);
    anl_node *n = node_of(t, p, &v, e->span);
    if (!n)
        return NULL;
    if (n->rank) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_loss_has_axes, e->span,
                                         "the %s `%s` has axes %s, and a loss has none", what, name, axes_of(t, n));
        anl_diagnostic_label(t->diagnostics, d, span, "declared here");
        anl_diagnostic_suggest(t->diagnostics, d, "mean(…, over=all) makes one number of it");
        return NULL;
    }
    return n->dtype == ANL_F32 ? n : anl_g_cast(t->graph, ANL_F32, n);
}

typedef struct loss_pair {
    anl_node *value, *weight;
} loss_pair;

static loss_pair *make_losses(tracer *t, anl_node **total)
{
    const anl_recipe *r = t->recipe;
    loss_pair *losses = ANL_NEW_ARRAY(t->arena, loss_pair, r->loss_count + 1);
    *total = NULL;
    bool failed = false;
    t->need = NEED_TRAINING;
    for (int i = 0; i < r->loss_count; i++) {
        place *p = place_for_node(t, t->top->place, r->losses[i].name);
        losses[i].value = loss_node(t, r->losses[i].value, p, "loss", r->losses[i].name, r->losses[i].span);
        context_at(t, p, r->losses[i].span);
        if (r->losses[i].weight)
            losses[i].weight = loss_node(t, r->losses[i].weight, p, "weight of the loss", r->losses[i].name, r->losses[i].span);
        else
            losses[i].weight = anl_g_const(t->graph, ANL_F32, 1);
        if (!losses[i].value || !losses[i].weight) {
            failed = true;
            continue;
        }
        context_at(t, p, r->losses[i].span);
        anl_node *term =
            r->losses[i].weight ? anl_g_binary(t->graph, ANL_S_MUL, losses[i].value, losses[i].weight) : losses[i].value;
        *total = *total ? anl_g_binary(t->graph, ANL_S_ADD, *total, term) : term;
    }
    if (failed)
        *total = NULL;
    return losses;
}

/* What a loss reaches through anything but stop_gradient. */
static void reach(const anl_graph *graph, const anl_node *from, bool *seen)
{
    memset(seen, 0, sizeof(bool) * (size_t)graph->node_count);
    seen[from->id] = true;
    for (int i = from->id; i >= 0; i--) {
        const anl_node *n = graph->nodes[i];
        if (!seen[i] || n->op == ANL_OP_STOP_GRADIENT)
            continue;
        for (int k = 0; k < n->input_count; k++)
            seen[n->inputs[k]->id] = true;
    }
}

static void check_reach(tracer *t, const loss_pair *losses)
{
    bool any = false;
    for (int i = 0; i < t->record_count; i++)
        any |= t->records[i]->declaration->is_weight && !t->records[i]->source;
    for (int i = 0; i < t->recipe->loss_count && any; i++) {
        if (!losses[i].value)
            continue;
        bool *seen = anl_malloc(sizeof(bool) * (size_t)t->graph->node_count);
        reach(t->graph, losses[i].value, seen);
        bool found = false;
        for (int k = 0; k < t->record_count && !found; k++) {
            const record *r = t->records[k];
            found = r->declaration->is_weight && !r->source && r->state->value && seen[r->state->value->id];
        }
        free(seen);
        if (found)
            continue;
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_loss_without_weights, t->recipe->losses[i].span,
                                         "the loss `%s` depends on no weight, so it trains nothing", t->recipe->losses[i].name);
        anl_diagnostic_note(t->diagnostics, d, "stop_gradient cuts the way to everything behind it");
    }
}

typedef struct metric_parts {
    anl_node *part[3];
} metric_parts;

static metric_parts *make_metrics(tracer *t)
{
    const anl_recipe *r = t->recipe;
    metric_parts *metrics = ANL_NEW_ARRAY(t->arena, metric_parts, r->metric_count + 1);
    t->need = NEED_VALUE;
    for (int i = 0; i < r->metric_count; i++) {
        const anl_expression *parts[3] = {r->metrics[i].score, r->metrics[i].label, r->metrics[i].where};
        place *p = place_for_node(t, t->top->place, r->metrics[i].name);
        for (int k = 0; k < 3; k++) {
            if (!parts[k])
                continue;
            anl_value v = evaluate(t, p, parts[k], WANT_VALUE);
            context_at(t, p, parts[k]->span);
            metrics[i].part[k] = v.kind == ANL_V_NONE ? NULL : node_of(t, p, &v, parts[k]->span);
        }
    }
    return metrics;
}

/* ---- the census ---- */
/* A weight or state is one tensor for the whole training. */
static void same_in_all_phases(tracer *t, const record *r, const plan_state *s)
{
    bool same = s->rank == r->state->rank;
    for (int k = 0; k < s->rank && same; k++)
        same = s->size[k] == r->state->axes[k].size && !strcmp(s->axis[k], anl_graph_axis_name(t->graph, r->state->axes[k].id));
    if (same)
        return;
    anl_text before = {0};
    for (int k = 0; k < s->rank; k++)
        anl_text_printf(&before, "%s%s %d", k ? ", " : "", s->axis[k], s->size[k]);
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_axis_mismatch, r->owner->where->span.line ? r->owner->where->span : r->declaration->span,
                                     "`%s` has axes %s in one phase of the training and [%s] in an earlier one", r->path,
                                     anl_axes_text(t->graph, t->arena, r->state->axes, r->state->rank),
                                     before.data ? before.data : "");
    anl_diagnostic_note(t->diagnostics, d, "a weight or state keeps its axes for the whole training; `since` may not change them");
    anl_text_free(&before);
}

static void collect_plan(tracer *t)
{
    for (int i = 0; i < t->record_count; i++) {
        const record *r = t->records[i];
        if (r->used < NEED_VALUE)
            continue;
        intptr_t known = (intptr_t)anl_lookup_find(&t->plan_paths, r->path);
        plan_state *s = known ? &t->plan[known - 1] : NULL;
        if (!s) {
            plan_state made = {.path = r->path,
                               .kind = r->state->kind,
                               .rank = r->state->rank,
                               .is_weight = r->declaration->is_weight,
                               .group = -1};
            made.count = 1;
            for (int k = 0; k < made.rank; k++) {
                made.axis[k] = anl_arena_text(t->arena, anl_graph_axis_name(t->graph, r->state->axes[k].id));
                made.size[k] = r->state->axes[k].size;
                made.count *= made.size[k];
            }
            made.padded = (made.count + LANE - 1) / LANE * LANE;
            made.trained = made.is_weight && !r->source;
            made.projected = made.is_weight && r->declaration->project;
            made.source = r->source;
            made.copy = r->copy;
            made.span = r->declaration->span;
            ANL_PUSH(t->arena, t->plan, t->plan_count, t->plan_capacity, made);
            anl_lookup_add(t->arena, &t->plan_paths, made.path, (void *)(intptr_t)t->plan_count);
            s = &t->plan[t->plan_count - 1];
        } else
            same_in_all_phases(t, r, s);
        if (r->used >= NEED_TRAINING)
            s->phases |= 1ull << t->phase;
    }
}

static void check_everything(tracer *t)
{
    const anl_recipe *r = t->recipe;
    for (int i = 0; i < t->top->scope->count; i++)
        if (t->top->scope->entries[i]->kind != ENTRY_STATE)
            entry_value(t, t->top->scope->entries[i], t->top->scope->entries[i]->span);
    for (int i = 0; i < r->initialization_count; i++) {
        entry *n = NULL;
        const char *dot = strchr(r->initializations[i].module, '.');
        size_t length = dot ? (size_t)(dot - r->initializations[i].module) : strlen(r->initializations[i].module);
        const char *names[256];
        int count = 0;
        for (int k = 0; k < r->module_count; k++) {
            if (count < 256)
                names[count++] = r->modules[k].name;
            if (strlen(r->modules[k].name) == length && !strncmp(r->modules[k].name, r->initializations[i].module, length))
                n = scope_find(t->top->scope, r->modules[k].name);
        }
        if (!n) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_name, r->initializations[i].span,
                                             "there is no module `%s` to initialize", r->initializations[i].module);
            anl_diagnostic_nearest(t->diagnostics, d, r->initializations[i].span, r->initializations[i].module, names, count, false);
        }
        anl_value v = evaluate(t, t->top->place, r->initializations[i].checkpoint, WANT_WORD);
        if (v.kind != ANL_V_NONE && v.kind != ANL_V_TEXT)
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, r->initializations[i].span,
                         "the checkpoint is a path, and this is %s", anl_value_kind_text(&v));
    }
}

/* Memory that a graph of the recipe will need, roughly: large recipes make large graphs. */
static size_t expected_bytes(const anl_recipe *recipe)
{
    size_t bytes = anl_arena_bytes(recipe->arena);
    return bytes < 512 << 10 ? 0 : 3 * bytes;
}

static void census_phase(tracer *t, int64_t step)
{
    anl_graph *graph = anl_graph_new_sized(expected_bytes(t->recipe));
    new_pass(t, graph, true);
    t->census = true;
    t->witness = t->phase == 0 ? t->options->witness : NULL;
    t->flops_count = 0;
    new_phase(t, step);
    t->need = NEED_CHECK;
    for (int i = 0; i < t->recipe->param_count; i++)
        entry_value(t, scope_find(t->top->scope, t->recipe->params[i].name), t->recipe->params[i].span);
    anl_node *total;
    loss_pair *losses = make_losses(t, &total);
    if (t->recipe->loss_count == 0) { /* no losses: whatever there is, is wanted */
        t->need = NEED_VALUE;
        check_everything(t);
    }
    t->need = NEED_TRAINING;
    add_update_calls(t, t->top, t->top->place->span);
    make_updates(t);
    make_metrics(t);
    t->need = NEED_CHECK;
    check_everything(t);
    evaluate_rules(t);
    check_rules(t);
    for (int i = 0; i < t->record_count; i++)
        initial_value(t, t->records[i]);
    for (int i = 0; i < t->recipe->loss_count && !anl_diagnostics_errors(t->diagnostics); i++)
        if (!losses[i].value || !losses[i].weight) /* never silently */
            anl_diagnose(t->diagnostics, ANL_A_graph_invalid, t->recipe->losses[i].span, "internal: the loss `%s` has no value",
                         t->recipe->losses[i].name);
    if (!anl_diagnostics_errors(t->diagnostics))
        check_reach(t, losses);
    collect_plan(t);
    t->witness = NULL;
    anl_graph_free(&graph);
    t->graph = NULL;
    t->census = false;
}

static int64_t first_step(double boundary) { return (int64_t)ceil(boundary - 1e-9); }

int64_t anl_traced_next_phase(const anl_traced *traced, int64_t step)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < traced->boundary_count; i++) {
        int64_t at = first_step(traced->boundaries[i]);
        if (at > step && at < next)
            next = at;
    }
    return next;
}

static void take_census(tracer *t)
{
    int64_t steps[MAX_PHASES] = {0};
    int count = 1;
    for (int i = 0; i < count; i++) {
        t->phase = i;
        census_phase(t, steps[i]);
        for (int k = 0; k < t->boundary_count && count < MAX_PHASES; k++) {
            if (t->boundary_kinds[k] != ANL_BOUNDARY_GRAPH)
                continue; /* what is computed is the same on both sides */
            int64_t at = first_step(t->boundaries[k]);
            bool known = false;
            for (int j = 0; j < count; j++)
                known |= steps[j] == at;
            if (!known)
                steps[count++] = at;
        }
    }
}

/* ---- fetches ---- */
static const char *gradient_path(tracer *t, const char *text)
{
    size_t length = strlen(text);
    if (length < 11 || strncmp(text, "gradient(", 9) || text[length - 1] != ')')
        return NULL;
    return anl_arena_copy(t->arena, text + 9, length - 10);
}

static void report_fetch(tracer *t, const char *text, const char *what)
{
    anl_span span = {.file = "--fetch"};
    const char *names[2048];
    int count = 0;
    for (int i = 0; i < t->top->scope->count && count < 1000; i++)
        names[count++] = t->top->scope->entries[i]->name;
    for (int i = 0; i < t->recipe->loss_count && count < 1100; i++)
        names[count++] = t->recipe->losses[i].name;
    for (int i = 0; i < t->record_count && count < 2048; i++)
        names[count++] = t->records[i]->path;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_fetch_unknown, span, "%s: %s", text, what);
    const char *path = gradient_path(t, text);
    const char *near = anl_nearest(path ? path : text, names, count);
    if (near)
        anl_diagnostic_suggest(t->diagnostics, d, "did you mean `%s`?", near);
}

/* Files hold a state's axes in declared order, whatever its memory order. */
static anl_node *in_declared_order(tracer *t, const anl_state *state, anl_node *node)
{
    int32_t order[ANL_MAX_AXES];
    for (int i = 0; i < state->rank; i++)
        order[i] = state->axes[i].id;
    return node && state->rank > 1 ? anl_g_transpose(t->graph, node, order, state->rank) : node;
}

static anl_node *fetched(tracer *t, const char *text, const loss_pair *losses, anl_node *total)
{
    if (!strcmp(text, "loss") && total)
        return total;
    const char *loss = !strncmp(text, "loss.", 5) ? text + 5 : text;
    for (int i = 0; losses && i < t->recipe->loss_count; i++)
        if (!strcmp(t->recipe->losses[i].name, loss) && !(loss == text && scope_find(t->top->scope, text)))
            return losses[i].value;
    const anl_state *state = anl_graph_find_state(t->graph, text);
    if (state)
        return in_declared_order(t, state, anl_graph_state_value(t->graph, (anl_state *)state));
    anl_span span = {.file = "--fetch", .line = 1, .column = 1, .length = (int)strlen(text)};
    anl_diagnostics_source(t->diagnostics, "--fetch", text, strlen(text));
    anl_expression *e = anl_expression_parse(t->arena, text, span, t->diagnostics);
    if (!e)
        return NULL;
    place *p = place_for_node(t, t->top->place, "fetch");
    anl_value v = evaluate(t, p, e, WANT_VALUE);
    if (v.kind == ANL_V_NONE)
        return NULL;
    if (v.kind == ANL_V_FUNCTION || v.kind == ANL_V_AXIS || v.kind == ANL_V_TEXT || v.kind == ANL_V_LIST ||
        v.kind == ANL_V_MAPPING) {
        report_fetch(t, text,
                     anl_arena_printf(t->arena, "a value with numbers can be fetched, and this is %s", anl_value_kind_text(&v)));
        return NULL;
    }
    return node_of(t, p, &v, span);
}

/* ---- the pass that is kept ---- */
static double train_length(tracer *t)
{
    if (!t->recipe->train_length)
        return 0;
    anl_value v = evaluate(t, t->top->place, t->recipe->train_length, WANT_VALUE);
    double steps = 0;
    return static_steps(t, &v, &steps) ? steps : 0;
}

static void final_pass(tracer *t, anl_traced *out)
{
    const anl_trace_options *o = t->options;
    const anl_recipe *r = t->recipe;
    const bool training = o->mode != ANL_TRACE_EVALUATE;
    new_pass(t, out->graph, training);
    t->optimized = false;
    if (!o->fetch_only)
        register_plan(t);
    new_phase(t, o->phase_step);
    evaluate_rules(t);
    if (!o->fetch_only)
        register_arenas(t);
    entry *batch = scope_find(t->top->scope, "batch");
    anl_value batch_size = batch ? entry_value(t, batch, batch->span) : no_value;
    out->batch = batch_size.kind == ANL_V_INT ? (int)batch_size.integer : 0;
    out->total_steps = (int64_t)floor(train_length(t) + 0.5);

    anl_node *total = NULL;
    loss_pair *losses = NULL;
    bool want_losses = !o->fetch_only;
    for (int i = 0; i < o->fetch_count; i++)
        want_losses |=
            gradient_path(t, o->fetches[i]) || !strncmp(o->fetches[i], "loss", 4) || !scope_find(t->top->scope, o->fetches[i]);
    if (want_losses)
        losses = make_losses(t, &total);
    t->need = NEED_VALUE;
    anl_node **fetches = ANL_NEW_ARRAY(t->arena, anl_node *, o->fetch_count + 1);
    const char **wanted = ANL_NEW_ARRAY(t->arena, const char *, o->fetch_count + 1);
    int *wanted_at = ANL_NEW_ARRAY(t->arena, int, o->fetch_count + 1);
    int wanted_count = 0;
    for (int i = 0; i < o->fetch_count; i++) {
        const char *path = gradient_path(t, o->fetches[i]);
        if (path) {
            const anl_state *state = anl_graph_find_state(t->graph, path);
            if (!state || !record_find(t, path)) {
                report_fetch(t, o->fetches[i], "no loss uses a weight of that name");
                continue;
            }
            wanted_at[wanted_count] = i;
            wanted[wanted_count++] = path;
            continue;
        }
        fetches[i] = fetched(t, o->fetches[i], losses, total);
    }
    anl_node **gradients = ANL_NEW_ARRAY(t->arena, anl_node *, wanted_count + 1);
    t->need = NEED_TRAINING;
    if (total && (training || wanted_count) && o->mode != ANL_TRACE_INITIALIZE)
        optimize(t, total, wanted, wanted_count, gradients);
    for (int i = 0; i < wanted_count; i++) {
        fetches[wanted_at[i]] = in_declared_order(t, anl_graph_find_state(t->graph, wanted[i]), gradients[i]);
        if (!gradients[i] && !anl_diagnostics_errors(t->diagnostics))
            report_fetch(t, o->fetches[wanted_at[i]], "no loss depends on this weight");
    }
    if (o->mode == ANL_TRACE_TRAIN && !o->fetch_only) {
        t->graph->stage = ANL_STAGE_UPDATE;
        follow_copies(t);
        t->optimized = true;
        add_update_calls(t, t->top, t->top->place->span);
        make_updates(t);
    }
    t->graph->stage = ANL_STAGE_FORWARD;
    if (o->mode == ANL_TRACE_INITIALIZE) {
        /* what a later phase begins to use has a first value, too */
        t->census = true; /* new values of weights are not known here */
        if (r->loss_count == 0) {
            t->need = NEED_VALUE;
            check_everything(t);
            t->need = NEED_TRAINING;
        }
        add_update_calls(t, t->top, t->top->place->span);
        make_updates(t);
        make_metrics(t);
        for (int i = 0; i < t->boundary_count; i++) {
            if (t->boundary_kinds[i] != ANL_BOUNDARY_GRAPH)
                continue;
            new_phase(t, first_step(t->boundaries[i]));
            anl_node *ignored;
            make_losses(t, &ignored);
            add_update_calls(t, t->top, t->top->place->span);
            make_updates(t);
            make_metrics(t);
        }
        t->census = false;
        for (int i = 0; i < t->record_count; i++) {
            record *state = t->records[i];
            if (state->used >= NEED_VALUE || state->source || anl_graph_find_state(t->graph, state->path))
                state->state->update = initial_value(t, state);
        }
        initialize_optimizer(t);
    }

    if (!o->fetch_only && o->mode != ANL_TRACE_INITIALIZE) {
        if (total)
            anl_graph_output(t->graph, "loss", total);
        out->losses = ANL_NEW_ARRAY(t->arena, anl_traced_loss, r->loss_count + 1);
        for (int i = 0; i < r->loss_count && losses; i++) {
            if (!losses[i].value)
                continue;
            anl_graph_output(t->graph, anl_arena_printf(t->arena, "loss.%s", r->losses[i].name), losses[i].value);
            out->losses[out->loss_count++] = (anl_traced_loss){r->losses[i].name, losses[i].value, losses[i].weight};
        }
        if (o->mode == ANL_TRACE_TRAIN && t->learning_rate.kind != ANL_V_NONE) {
            anl_node *rate = node_of(t, t->top->place, &t->learning_rate, r->train_span);
            if (rate && rate->rank == 0)
                anl_graph_output(t->graph, "lr", rate);
        }
        if (o->mode == ANL_TRACE_EVALUATE) {
            static const char *const parts[3] = {"score", "label", "where"};
            metric_parts *metrics = make_metrics(t);
            for (int i = 0; i < r->metric_count; i++)
                for (int k = 0; k < 3; k++)
                    if (metrics[i].part[k])
                        anl_graph_output(t->graph, anl_arena_printf(t->arena, "metric.%s.%s", r->metrics[i].name, parts[k]),
                                         metrics[i].part[k]);
        }
    }
    for (int i = 0; i < o->fetch_count; i++)
        if (fetches[i])
            anl_graph_output(t->graph, o->fetches[i], fetches[i]);
}

static void prepare(tracer *t, const anl_recipe *recipe, const anl_trace_options *options, anl_diagnostics *diagnostics,
                    anl_arena *arena)
{
    t->recipe = recipe;
    t->options = options;
    t->diagnostics = diagnostics;
    t->arena = t->plan_arena = arena;
    t->epoch_steps = options->epoch_steps > 0 ? options->epoch_steps : 1000;
    t->seed = options->seed;
}

static int64_t recipe_seed(tracer *t)
{
    if (!t->recipe->seed)
        return 0;
    anl_value v = evaluate(t, t->top->place, t->recipe->seed, WANT_VALUE);
    if (v.kind == ANL_V_INT)
        return v.integer;
    if (v.kind != ANL_V_NONE)
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, t->recipe->seed->span, "the seed is a whole number, and this is %s",
                     anl_value_kind_text(&v));
    return 0;
}

/* What all phases together need, and all problems that they have. */
static void survey(tracer *t)
{
    const int before = anl_diagnostics_errors(t->diagnostics);
    if (t->seed < 0) {
        anl_graph *scratch = anl_graph_new();
        new_pass(t, scratch, true);
        new_phase(t, 0);
        t->seed = recipe_seed(t);
        anl_graph_free(&scratch);
    }
    take_census(t);
    if (anl_diagnostics_errors(t->diagnostics) == 0) /* what an error took away is not there to use anything */
        warn_unused(t);
    if (anl_diagnostics_errors(t->diagnostics) == before) {
        anl_graph *scratch = anl_graph_new(); /* rules once more, for their durations */
        new_pass(t, scratch, true);
        new_phase(t, 0);
        evaluate_rules(t);
        if (t->options->mode == ANL_TRACE_TRAIN || t->recipe->rule_count)
            plan_groups(t);
        anl_graph_free(&scratch);
    }
}

anl_status anl_trace(const anl_recipe *recipe, const anl_trace_options *options, anl_diagnostics *diagnostics, anl_traced **out)
{
    anl_arena *arena = anl_arena_new_sized(expected_bytes(recipe));
    traced_box *box = ANL_NEW(arena, traced_box);
    box->arena = arena;
    box->traced.graph = anl_graph_new_sized(expected_bytes(recipe));
    box->traced.diagnostics = diagnostics;
    *out = &box->traced;
    tracer *t = ANL_NEW(arena, tracer);
    const int before = anl_diagnostics_errors(diagnostics);
    if (options->census) {
        *t = *(const tracer *)options->census->census;
        t->options = options;
        t->diagnostics = diagnostics;
        t->arena = arena;
    } else {
        prepare(t, recipe, options, diagnostics, arena);
        survey(t);
    }
    if (anl_diagnostics_errors(diagnostics) == before)
        final_pass(t, &box->traced);
    box->traced.census = t;
    box->traced.boundaries = t->boundaries;
    box->traced.boundary_kinds = t->boundary_kinds;
    box->traced.boundary_count = t->boundary_count;
    return anl_diagnostics_errors(diagnostics) == before ? ANL_OK : ANL_ERROR_SPEC;
}

void anl_traced_free(anl_traced **traced)
{
    if (!*traced)
        return;
    traced_box *box = (traced_box *)*traced;
    anl_graph_free(&box->traced.graph);
    anl_arena *arena = box->arena;
    anl_arena_free(&arena);
    *traced = NULL;
}

/* ---- what the run needs in static form ---- */
static void duration_of(tracer *t, const anl_expression *e, double *count, bool *epochs)
{
    if (!e)
        return;
    anl_value v = evaluate(t, t->top->place, e, WANT_VALUE);
    double steps;
    if (v.kind == ANL_V_DURATION) {
        *count = v.duration.count;
        *epochs = v.duration.epochs;
        if (*count < 0)
            anl_diagnose(t->diagnostics, ANL_A_out_of_range, e->span, "this duration is negative");
    } else {
        static_steps(t, &v, &steps);
    }
}

static int64_t integer_of(tracer *t, const anl_expression *e, int64_t fallback, int64_t least)
{
    if (!e)
        return fallback;
    anl_value v = evaluate(t, t->top->place, e, WANT_VALUE);
    if (v.kind == ANL_V_INT && v.integer >= least)
        return v.integer;
    if (v.kind != ANL_V_NONE)
        anl_diagnose(t->diagnostics, v.kind == ANL_V_INT ? ANL_A_out_of_range : ANL_A_type_mismatch, e->span,
                     "a whole number of at least %lld is needed here", (long long)least);
    return fallback;
}

static const char *text_of(tracer *t, const anl_expression *e)
{
    if (!e)
        return NULL;
    anl_value v = evaluate(t, t->top->place, e, WANT_WORD);
    if (v.kind == ANL_V_TEXT)
        return v.text;
    if (v.kind != ANL_V_NONE)
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "a text is needed here, and this is %s",
                     anl_value_kind_text(&v));
    return NULL;
}

static bool static_number(tracer *t, const anl_expression *e, double *out)
{
    anl_value v = evaluate(t, t->top->place, e, WANT_VALUE);
    if (v.kind == ANL_V_INT)
        *out = (double)v.integer;
    else if (v.kind == ANL_V_NUMBER)
        *out = v.number;
    else {
        if (v.kind != ANL_V_NONE)
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "a number is needed here, and this is %s",
                         anl_value_kind_text(&v));
        return false;
    }
    return true;
}

/* What can be said of a field of boxes without its shards. */
static void check_boxes(tracer *t, const struct anl_static_field *f)
{
    const char *at = f->boxes;
    size_t length;
    int columns = 0;
    while (anl_list_next(&at, &length))
        columns++;
    if (columns < 2 || (f->rank == 2 && f->size[1] == columns) || f->rank < 1 || f->rank > 2) {
        anl_field_boxes_fit(&(anl_field){.name = f->name, .rank = f->rank, .size = {f->size[0]}, .has_mask = f->mask, .has_missing = f->has_missing, .span = f->span},
                            t->diagnostics);
        return;
    }
    anl_diagnostic *d = f->rank == 1
                            ? anl_diagnose(t->diagnostics, ANL_A_field_mismatch, f->span, "field `%s` reads %d columns of boxes and has no axis for them", f->name, columns)
                            : anl_diagnose(t->diagnostics, ANL_A_field_mismatch, f->span, "field `%s` reads %d columns of boxes, but its axis `%s` is %d", f->name, columns,
                                           f->axis[1], f->size[1]);
    anl_diagnostic_suggest(t->diagnostics, d, "axes: {%s: %d, corner: %d}", f->axis[0], f->size[0], columns);
}

static void static_fields(tracer *t, const anl_source *train, anl_static_recipe *out)
{
    out->fields = ANL_NEW_ARRAY(t->arena, struct anl_static_field, train->field_count + 1);
    for (int i = 0; i < train->field_count; i++) {
        const anl_field_declaration *f = &train->fields[i];
        struct anl_static_field *s = &out->fields[out->field_count++];
        s->name = f->name;
        s->mask = f->mask;
        s->column = f->column;
        s->boxes = f->boxes;
        s->modality = f->modality;
        s->unit = f->unit;
        s->modality_span = f->modality_span;
        s->span = f->span;
        for (int k = 0; k < f->axis_count && k < ANL_MAX_AXES - 1; k++) {
            s->axis[k] = f->axes[k].name;
            s->size[k] = (int)integer_of(t, f->axes[k].size, 1, 1);
            s->rank++;
        }
        if (f->missing)
            s->has_missing = static_number(t, f->missing, &s->missing);
        if (s->boxes)
            check_boxes(t, s);
    }
}

/* The sources of a mixture. Returns one glob for all of their shards; NULL: one has none. */
static const char *static_parts(tracer *t, const anl_source *s, int split, anl_static_recipe *out)
{
    struct anl_static_part *parts = ANL_NEW_ARRAY(t->arena, struct anl_static_part, s->part_count);
    anl_text all = {0};
    bool whole = true;
    for (int i = 0; i < s->part_count; i++) {
        parts[i] = (struct anl_static_part){.name = s->parts[i].name, .shards = text_of(t, s->parts[i].shards), .weight = 1,
                                            .span = s->parts[i].shards ? s->parts[i].shards->span : s->parts[i].span};
        if (s->parts[i].weight)
            static_number(t, s->parts[i].weight, &parts[i].weight);
        whole = whole && parts[i].shards && parts[i].shards[0];
        anl_text_printf(&all, "%s%s", i ? "," : s->part_count > 1 ? "{" : "", parts[i].shards ? parts[i].shards : "");
    }
    if (s->part_count > 1)
        anl_text_add(&all, "}");
    const char *pattern = whole ? anl_arena_text(t->arena, all.data) : NULL;
    anl_text_free(&all);
    out->parts[split] = parts;
    out->part_count[split] = s->part_count;
    return pattern;
}

anl_status anl_trace_static(const anl_recipe *recipe, anl_arena *arena, anl_diagnostics *diagnostics, anl_static_recipe *out)
{
    memset(out, 0, sizeof *out);
    const int before = anl_diagnostics_errors(diagnostics);
    anl_trace_options options = {.mode = ANL_TRACE_TRAIN, .seed = -1};
    tracer *t = ANL_NEW(arena, tracer);
    prepare(t, recipe, &options, diagnostics, arena);
    anl_graph *graph = anl_graph_new();
    new_pass(t, graph, true);
    new_phase(t, 0);

    entry *batch = scope_find(t->top->scope, "batch");
    anl_value size = batch ? entry_value(t, batch, batch->span) : no_value;
    out->batch = size.kind == ANL_V_INT ? (int)size.integer : 0;
    out->seed = recipe_seed(t);
    for (int i = 0; i < 3; i++)
        out->label_fraction[i] = 1;
    static const char *const names[3] = {"train", "valid", "test"};
    for (int i = 0; i < recipe->source_count; i++) {
        for (int k = 0; k < 3; k++) {
            const anl_source *s = &recipe->sources[i];
            if (strcmp(s->name, names[k]))
                continue;
            out->shards[k] = s->part_count ? static_parts(t, s, k, out) : text_of(t, s->shards);
            out->balance[k] = s->balance;
            out->balance_span[k] = s->balance_span;
            if (s->label_fraction)
                static_number(t, s->label_fraction, &out->label_fraction[k]);
            out->label_by_patient[k] = s->label_by && !strcmp(s->label_by, "patient");
            out->drop_unlabelled[k] = s->drop_unlabelled;
            if (out->label_fraction[k] < 0 || out->label_fraction[k] > 1)
                anl_diagnose(diagnostics, ANL_A_out_of_range, s->labels_span, "the fraction of labels lies between 0 and 1");
        }
    }
    const anl_source *train = train_source(recipe);
    if (train)
        static_fields(t, train, out);
    duration_of(t, recipe->train_length, &out->train_length, &out->train_length_epochs);
    if (recipe->train_length && out->train_length == 0 && anl_diagnostics_errors(diagnostics) == before &&
        !reported(t, ANL_A_bad_unit, recipe->train_length->span))
        anl_diagnose(diagnostics, ANL_A_out_of_range, recipe->train_length->span, "a training has one step at least");
    duration_of(t, recipe->checkpoint_every, &out->checkpoint_every, &out->checkpoint_every_epochs);
    duration_of(t, recipe->evaluate_every, &out->evaluate_every, &out->evaluate_every_epochs);
    out->checkpoint_keep = (int)integer_of(t, recipe->checkpoint_keep, 3, 1);
    out->initializations = ANL_NEW_ARRAY(arena, struct anl_static_initialization, recipe->initialization_count + 1);
    for (int i = 0; i < recipe->initialization_count; i++) {
        const anl_initialization *r = &recipe->initializations[i];
        const char *checkpoint = text_of(t, r->checkpoint);
        if (!checkpoint || !*checkpoint) {
            if (checkpoint && !r->optional)
                anl_diagnose(diagnostics, ANL_A_missing_key, r->span, "`%s` is to be initialized, but no checkpoint is given",
                             r->module);
            continue;
        }
        out->initializations[out->initialization_count++] =
            (struct anl_static_initialization){r->module, checkpoint, r->from, r->span};
    }
    out->metrics = ANL_NEW_ARRAY(arena, struct anl_static_metric, recipe->metric_count + 1);
    for (int i = 0; i < recipe->metric_count; i++)
        out->metrics[out->metric_count++] = (struct anl_static_metric){recipe->metrics[i].name, recipe->metrics[i].measure,
                                                                       recipe->metrics[i].where != NULL, recipe->metrics[i].span};
    anl_graph_free(&graph);
    return anl_diagnostics_errors(diagnostics) == before ? ANL_OK : ANL_ERROR_SPEC;
}

const anl_field *anl_trace_fields(const anl_static_recipe *facts, anl_arena *arena)
{
    anl_field *fields = ANL_NEW_ARRAY(arena, anl_field, facts->field_count + 1);
    for (int i = 0; i < facts->field_count; i++) {
        const struct anl_static_field *f = &facts->fields[i];
        fields[i] = (anl_field){.name = f->name,
                                .rank = f->rank, /* more axes than a field can have are refused when it is opened */
                                .missing = f->missing,
                                .has_missing = f->has_missing,
                                .has_mask = f->mask != NULL,
                                .column = f->column,
                                .boxes = f->boxes,
                                .unit = f->unit,
                                .span = f->span};
        for (int a = 0; a < f->rank && a < (int)ANL_COUNT(fields[i].axis); a++) {
            fields[i].axis[a] = f->axis[a];
            fields[i].size[a] = f->size[a];
        }
    }
    return fields;
}
