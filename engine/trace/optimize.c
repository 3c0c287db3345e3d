/* Optimizers: weights of the same rules and kind lie in one flat arena, so that a rule is traced once for hundreds of weights.
 * In: the plan of all phases' weights, rules by glob, gradients. Out: arenas with updates, optimizer state, followed copies.
 * An arena has axes [chunk, lane 64]; each weight begins at a multiple of 64 elements, so a chunk belongs to one weight. Groups
 * are the same in all phases: a weight that is frozen in one only gets no update there. */
#include <math.h>

#include "trace/tracer.h"

/* ---- rules ---- */
static bool takes_all_axes(const anl_function *fn)
{
    for (int i = 0; i < fn->input_count; i++)
        if (fn->inputs[i].axis_count != 1 || fn->inputs[i].axes[0].kind != ANL_P_REST)
            return false;
    return true;
}

/* A rule that gives back its weight, such as `frozen`. */
static bool changes_nothing(const anl_function *fn)
{
    return fn->returns && fn->returns->kind == ANL_E_NAME && !strcmp(fn->returns->name, "weight") && !fn->declaration_count;
}

static bool takes_weight(const anl_function *f)
{
    for (int i = 0; i < f->input_count; i++)
        if (!strcmp(f->inputs[i].name, "weight"))
            return true;
    return false;
}

void evaluate_rules(tracer *t)
{
    const anl_recipe *recipe = t->recipe;
    t->rules = ANL_NEW_ARRAY(t->arena, rule_entry, recipe->rule_count + 1);
    for (int i = 0; i < recipe->rule_count; i++) {
        rule_entry *r = &t->rules[i];
        r->rule = &recipe->rules[i];
        const anl_expression *e = r->rule->rule;
        if (e && e->kind == ANL_E_NAME && !strcmp(e->name, "frozen") && !anl_recipe_function(recipe, "frozen")) {
            r->frozen = r->flat = true;
        } else {
            place *p = place_for_node(t, t->top->place, anl_arena_printf(t->arena, "optimizer.%d", i));
            r->callable = bind_partly(t, p, e);
            if (r->callable && !takes_weight(r->callable->function)) {
                anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_missing_argument, e->span, "`%s` cannot be a rule: it has no input `weight`",
                                                 r->callable->name);
                anl_diagnostic_label(t->diagnostics, d, r->callable->function->span, "`%s` is defined here", r->callable->function->name);
                anl_diagnostic_suggest(t->diagnostics, d, "a rule has the inputs weight: [...axes], gradient: [...others]");
                r->callable = NULL;
            }
            if (r->callable) {
                r->frozen = changes_nothing(r->callable->function);
                r->flat = takes_all_axes(r->callable->function);
                for (int k = 0; k < r->callable->bound_count && t->learning_rate.kind == ANL_V_NONE; k++)
                    if (!strcmp(r->callable->bound[k].name, "lr"))
                        t->learning_rate = r->callable->bound[k].value;
                for (int k = 0; k < r->callable->function->param_count && t->learning_rate.kind == ANL_V_NONE; k++) {
                    const anl_param *param = &r->callable->function->params[k];
                    if (!strcmp(param->name, "lr") && param->value && param->value->kind == ANL_E_NUMBER)
                        t->learning_rate = evaluate(t, p, param->value, WANT_VALUE);
                }
            }
        }
        r->from = r->rule->from ? evaluate(t, t->top->place, r->rule->from, WANT_VALUE) : no_value;
        r->until = r->rule->until ? evaluate(t, t->top->place, r->rule->until, WANT_VALUE) : no_value;
        double steps;
        if (r->from.kind != ANL_V_NONE && static_steps(t, &r->from, &steps)) {
            boundary_at(t, steps, ANL_BOUNDARY_RULES);
            warn_after_the_end(t, &r->from, r->rule->from->span, "this rule begins");
        }
        if (r->until.kind != ANL_V_NONE && static_steps(t, &r->until, &steps))
            boundary_at(t, steps, r->frozen && !r->rule->from ? ANL_BOUNDARY_THAWS : ANL_BOUNDARY_RULES);
    }
}

static bool rule_holds(tracer *t, const rule_entry *r, double at)
{
    double steps;
    if (r->from.kind != ANL_V_NONE && static_steps(t, &r->from, &steps) && at < steps)
        return false;
    if (r->until.kind != ANL_V_NONE && static_steps(t, &r->until, &steps) && at >= steps)
        return false;
    return true;
}

static int rule_at(tracer *t, const plan_group *g, double at)
{
    for (int i = g->entry_count - 1; i >= 0; i--)
        if (rule_holds(t, &t->rules[g->entries[i]], at))
            return g->entries[i];
    return -1;
}

int winning_rule(tracer *t, const plan_group *g) { return rule_at(t, g, (double)t->phase_step); }

/* ---- groups ---- */
static plan_group *new_group(tracer *t)
{
    plan_group g = {.source_group = -1};
    ANL_PUSH(t->arena, t->groups, t->group_count, t->group_capacity, g);
    plan_group *made = &t->groups[t->group_count - 1];
    made->name = anl_arena_printf(t->arena, "arena.%d", t->group_count - 1);
    return made;
}

static void add_to_group(tracer *t, int group, int state)
{
    plan_group *g = &t->groups[group];
    plan_state *s = &t->plan[state];
    s->group = group;
    s->segment = g->count;
    s->offset = g->chunks * LANE;
    g->chunks += s->padded / LANE;
    ANL_PUSH(t->arena, g->states, g->count, g->capacity, state);
}

static void group_trained(tracer *t, int index)
{
    plan_state *s = &t->plan[index];
    plan_group key = {.kind = s->kind, .phases = s->phases, .separate = s->projected};
    for (int i = 0; i < t->recipe->rule_count; i++) {
        rule_entry *r = &t->rules[i];
        if (!anl_glob_match(r->rule->weights, s->path))
            continue;
        r->matched = true;
        ANL_PUSH(t->arena, key.entries, key.entry_count, key.entry_capacity, i);
        if (!r->flat && !r->frozen)
            key.separate = true;
    }
    if (!key.entry_count) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_weight_without_rule, s->span,
                                         "no optimizer rule matches the weight `%s`", s->path);
        if (t->recipe->rule_count)
            anl_diagnostic_label(t->diagnostics, d, t->recipe->rules[0].span, "the rules of train: optimizer");
        anl_diagnostic_suggest(
            t->diagnostics, d,
            "add a first entry for all weights: - {weights: \"*\", rule: …}; `rule: frozen` keeps weights as they are");
        return;
    }
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        bool same = !g->copy && g->kind == key.kind && g->phases == key.phases && g->separate == key.separate &&
                    g->entry_count == key.entry_count;
        for (int k = 0; k < key.entry_count && same; k++)
            same = g->entries[k] == key.entries[k];
        if (same && (g->separate || g->chunks * LANE + s->padded <= ARENA_LIMIT)) {
            add_to_group(t, i, index);
            return;
        }
    }
    plan_group *g = new_group(t);
    g->entries = key.entries;
    g->entry_count = key.entry_count;
    g->kind = key.kind;
    g->phases = key.phases;
    g->separate = key.separate;
    add_to_group(t, t->group_count - 1, index);
}

static void group_copy(tracer *t, int index)
{
    plan_state *s = &t->plan[index];
    int source = -1;
    for (int i = 0; i < t->plan_count; i++)
        if (!strcmp(t->plan[i].path, s->source))
            source = i;
    int source_group = source >= 0 ? t->plan[source].group : -1;
    if (source_group >= 0 && t->groups[source_group].separate)
        source_group = -1;
    const bool separate = source_group < 0 || s->projected;
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        if (g->copy == s->copy && g->source_group == source_group && g->separate == separate) {
            add_to_group(t, i, index);
            return;
        }
    }
    plan_group *g = new_group(t);
    g->copy = s->copy;
    g->kind = s->kind;
    g->phases = ~0ull;
    g->source_group = source_group;
    g->separate = separate;
    add_to_group(t, t->group_count - 1, index);
}

/* ---- rules that do nothing ---- */
static double rule_edge(tracer *t, const anl_value *v, double otherwise)
{
    double steps;
    return v->kind != ANL_V_NONE && static_steps(t, v, &steps) ? steps : otherwise;
}

/* A rule all of whose weights a later one takes for as long: the last that matches counts. */
static void overridden_rules(tracer *t)
{
    for (int i = 0; i < t->recipe->rule_count; i++) {
        const rule_entry *r = &t->rules[i];
        const double from = rule_edge(t, &r->from, 0), until = rule_edge(t, &r->until, INFINITY);
        const anl_optimizer_rule *over = NULL;
        bool overridden = r->matched;
        for (int k = 0; k < t->plan_count && overridden; k++) {
            if (!t->plan[k].trained || !t->plan[k].phases || !anl_glob_match(r->rule->weights, t->plan[k].path))
                continue;
            overridden = false;
            for (int j = i + 1; j < t->recipe->rule_count && !overridden; j++)
                if (anl_glob_match(t->rules[j].rule->weights, t->plan[k].path) && rule_edge(t, &t->rules[j].from, 0) <= from &&
                    rule_edge(t, &t->rules[j].until, INFINITY) >= until) {
                    overridden = true;
                    over = t->rules[j].rule;
                }
        }
        if (!overridden || !over)
            continue;
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_rule_without_effect, r->rule->weights_span, "this rule changes no weight: later ones take all of `%s`",
                                         r->rule->weights);
        anl_diagnostic_label(t->diagnostics, d, over->weights_span, "the last rule that matches a weight counts");
        anl_diagnostic_suggest(t->diagnostics, d, "put rules for all weights first, and those for some of them after");
    }
}

/* All weights are frozen for the whole training. */
static void frozen_for_ever(tracer *t)
{
    if (!t->recipe->rule_count || !t->group_count)
        return;
    for (int p = -1; p < t->boundary_count; p++)
        for (int i = 0; i < t->group_count; i++) {
            const int winner = t->groups[i].copy ? -1 : rule_at(t, &t->groups[i], p < 0 ? 0 : t->boundaries[p]);
            if (!t->groups[i].copy && (winner < 0 || !t->rules[winner].frozen))
                return;
        }
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_nothing_learns, t->recipe->rules[0].span, "all weights are frozen for the whole training");
    anl_diagnostic_suggest(t->diagnostics, d, "to look at values only, use `anlage eval` or `anlage run`");
}

void plan_groups(tracer *t)
{
    bool any = false;
    for (int i = 0; i < t->plan_count; i++) {
        t->plan[i].group = -1;
        if (t->plan[i].trained && t->plan[i].phases) {
            any = true;
            group_trained(t, i);
        }
    }
    for (int i = 0; i < t->plan_count; i++)
        if (t->plan[i].is_weight && t->plan[i].source && t->plan[i].copy->update)
            group_copy(t, i);
    for (int i = 0; i < t->recipe->rule_count && any; i++) {
        if (t->rules[i].matched)
            continue;
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_glob_matches_nothing,
                         t->recipe->rules[i].weights_span.line ? t->recipe->rules[i].weights_span : t->recipe->rules[i].span,
                         "`%s` matches no trained weight", t->recipe->rules[i].weights);
        const char *names[1024];
        int count = 0, shown = 0;
        anl_text list = {0};
        for (int k = 0; k < t->plan_count && count < 1024; k++) {
            if (!t->plan[k].trained)
                continue;
            names[count++] = t->plan[k].path;
            if (shown++ < 6)
                anl_text_printf(&list, "%s%s", shown > 1 ? ", " : "", t->plan[k].path);
        }
        const char *glob = t->recipe->rules[i].weights;
        const anl_span place = t->recipe->rules[i].weights_span;
        if (!anl_diagnostic_nearest(t->diagnostics, d, place, glob, names, count, false)) { /* perhaps the module is misspelt */
            const size_t stem = strcspn(glob, ".*?");
            const char *modules[256];
            int module_count = 0;
            for (int k = 0; k < t->recipe->module_count && module_count < 256; k++)
                modules[module_count++] = t->recipe->modules[k].name;
            const char *near = anl_nearest(anl_arena_copy(t->arena, glob, stem), modules, module_count);
            if (near)
                near = anl_arena_printf(t->arena, "%s%s", near, glob + stem);
            anl_diagnostic_nearest(t->diagnostics, d, place, glob, &near, 1, false);
        }
        anl_diagnostic_note(t->diagnostics, d, "weights are called: %s%s", list.data ? list.data : "", shown > 6 ? ", …" : "");
        anl_text_free(&list);
    }
    if (any) {
        overridden_rules(t);
        frozen_for_ever(t);
    }
}

/* ---- arenas in the graph of this pass ---- */
static void arena_axes(tracer *t, const plan_group *g, anl_axis axes[2])
{
    axes[0] = (anl_axis){t->chunk_axis, (int32_t)g->chunks};
    axes[1] = (anl_axis){t->lane_axis, LANE};
}

/* An arena lies chunk by chunk, so that each weight is one range of it. */
static anl_state *new_arena(tracer *t, const plan_group *g, const char *path)
{
    anl_axis axes[2];
    arena_axes(t, g, axes);
    anl_state *made = anl_graph_state(t->graph, path, ANL_F32, ANL_STATE_OTHER, axes, 2);
    made->order[0] = 0;
    made->order[1] = 1;
    return made;
}

/* Rules of different functions may call unlike things the same: then the function's name keeps them apart. */
static const char *optimizer_state_name(tracer *t, const plan_group *g, const anl_function *fn, const char *name)
{
    for (int i = 0; i < g->entry_count; i++) {
        const callable *c = t->rules[g->entries[i]].callable;
        if (c && c->function != fn && !changes_nothing(c->function))
            return anl_arena_printf(t->arena, "%s.%s", fn->name, name);
    }
    return name;
}

static anl_state *optimizer_arena(tracer *t, const plan_group *g, const char *name)
{
    const char *path = anl_arena_printf(t->arena, "optimizer.%s.%s", g->name, name);
    anl_state *made = anl_graph_find_state(t->graph, path);
    if (made)
        return made;
    made = new_arena(t, g, path);
    for (int i = 0; i < g->count; i++) {
        const plan_state *s = &t->plan[g->states[i]];
        const anl_state *weight = anl_graph_find_state(t->graph, s->path);
        anl_state *part = anl_graph_state(t->graph, anl_arena_printf(t->arena, "%s:%s", s->path, name), ANL_F32, ANL_STATE_OTHER,
                                          weight->axes, weight->rank);
        memcpy(part->order, weight->order, sizeof part->order);
        part->arena = made;
        part->arena_offset = s->offset;
        part->span = s->span;
    }
    return made;
}

static anl_state *optimizer_own(tracer *t, const plan_state *s, const char *name)
{
    const char *path = anl_arena_printf(t->arena, "%s:%s", s->path, name);
    anl_state *made = anl_graph_find_state(t->graph, path);
    if (made)
        return made;
    const anl_state *weight = anl_graph_find_state(t->graph, s->path);
    made = anl_graph_state(t->graph, path, ANL_F32, ANL_STATE_OTHER, weight->axes, weight->rank);
    memcpy(made->order, weight->order, sizeof made->order);
    made->span = s->span;
    return made;
}

static void register_rule_states(tracer *t, const plan_group *g, const anl_function *fn)
{
    for (int i = 0; i < fn->declaration_count; i++) {
        const anl_declaration *d = &fn->declarations[i];
        const char *name = optimizer_state_name(t, g, fn, d->name);
        if (!g->separate) {
            optimizer_arena(t, g, name);
            continue;
        }
        for (int k = 0; k < g->count; k++)
            optimizer_own(t, &t->plan[g->states[k]], name);
    }
}

/* The state of a rule that is traced now. */
record *optimizer_record(tracer *t, entry *n)
{
    const plan_group *g = t->group;
    const char *name = optimizer_state_name(t, g, n->where->frame->function, n->name);
    record *r = ANL_NEW(t->arena, record);
    r->declaration = n->declaration;
    r->owner = n;
    r->state = g->separate ? optimizer_own(t, t->rule_state, name) : optimizer_arena(t, g, name);
    r->path = r->state->path;
    return r;
}

void register_arenas(tracer *t)
{
    t->chunk_axis = anl_graph_fresh_axis(t->graph, "chunk", false);
    t->lane_axis = anl_graph_fresh_axis(t->graph, "lane", false);
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        g->arena = NULL;
        if (!g->separate) {
            g->arena = new_arena(t, g, g->name);
            for (int k = 0; k < g->count; k++) {
                const plan_state *s = &t->plan[g->states[k]];
                anl_state *state = anl_graph_find_state(t->graph, s->path);
                state->arena = g->arena;
                state->arena_offset = s->offset;
            }
        }
        for (int k = 0; k < g->entry_count; k++)
            if (t->rules[g->entries[k]].callable)
                register_rule_states(t, g, t->rules[g->entries[k]].callable->function);
    }
}

/* The first value of optimizer state: a number. */
static double first_number(tracer *t, const anl_declaration *d)
{
    if (!d->init)
        return 0;
    anl_value v = evaluate(t, t->top->place, d->init, WANT_VALUE);
    if (v.kind == ANL_V_INT)
        return (double)v.integer;
    if (v.kind == ANL_V_NUMBER)
        return v.number;
    if (v.kind != ANL_V_NONE)
        anl_diagnose(t->diagnostics, ANL_A_not_static, d->init->span, "optimizer state begins as a number");
    return 0;
}

static void initialize_rule(tracer *t, plan_group *g, const callable *c)
{
    for (int i = 0; i < c->function->declaration_count; i++) {
        const anl_declaration *d = &c->function->declarations[i];
        double first = first_number(t, d);
        const char *name = optimizer_state_name(t, g, c->function, d->name);
        for (int k = 0; k < (g->separate ? g->count : 1); k++) {
            anl_state *s = g->separate ? optimizer_own(t, &t->plan[g->states[k]], name) : optimizer_arena(t, g, name);
            context_at(t, t->top->place, d->span);
            s->update = fit_axes(t, anl_g_const(t->graph, ANL_F32, first), s->axes, s->rank, "the first value", d->span);
        }
    }
}

void initialize_optimizer(tracer *t)
{
    for (int i = 0; i < t->group_count; i++)
        for (int k = 0; k < t->groups[i].entry_count; k++)
            if (t->rules[t->groups[i].entries[k]].callable)
                initialize_rule(t, &t->groups[i], t->rules[t->groups[i].entries[k]].callable);
}

/* ---- between a weight's own axes and the flat arena ---- */
static anl_node *flatten(tracer *t, anl_node *node, const anl_state *state, const plan_state *s)
{
    anl_graph *g = t->graph;
    int32_t order[ANL_MAX_AXES], flat = anl_graph_axis(g, "flat");
    for (int i = 0; i < state->rank; i++)
        order[i] = state->axes[state->order[i]].id;
    if (state->rank == 0) {
        node = anl_g_replicate(g, node, flat, 1);
    } else if (state->rank == 1) {
        node = anl_g_rename(g, node, order[0], flat);
    } else {
        node = anl_g_transpose(g, node, order, state->rank);
        node = anl_g_merge(g, node, order, state->rank, flat);
    }
    if (s->padded != s->count)
        node = anl_g_place(g, node, flat, 0, 1, (int32_t)s->padded, 0);
    anl_axis into[2] = {{t->chunk_axis, (int32_t)(s->padded / LANE)}, {t->lane_axis, LANE}};
    return anl_g_split(g, node, flat, into, 2);
}

static anl_node *unflatten(tracer *t, anl_node *arena, const anl_state *state, const plan_state *s)
{
    anl_graph *g = t->graph;
    int32_t flat = anl_graph_axis(g, "flat"), pair[2] = {t->chunk_axis, t->lane_axis};
    anl_node *node = arena;
    if (anl_node_size(arena, t->chunk_axis) != s->padded / LANE)
        node = anl_g_slice(g, arena, t->chunk_axis, (int32_t)(s->offset / LANE), (int32_t)(s->padded / LANE), 1);
    node = anl_g_merge(g, anl_g_transpose(g, node, pair, 2), pair, 2, flat);
    if (s->padded != s->count)
        node = anl_g_slice(g, node, flat, 0, (int32_t)s->count, 1);
    if (state->rank == 0)
        return anl_g_reduce(g, ANL_OP_SUM, node, &flat, 1);
    if (state->rank == 1)
        return anl_g_rename(g, node, flat, state->axes[0].id);
    anl_axis into[ANL_MAX_AXES];
    for (int i = 0; i < state->rank; i++)
        into[i] = state->axes[state->order[i]];
    return anl_g_split(g, node, flat, into, state->rank);
}

/* Pieces one behind the other along chunk; a node has a limited number of inputs, so long lists become a tree. */
static anl_node *join_chunks(tracer *t, anl_node **pieces, int count)
{
    while (count > 1) {
        int joined = 0;
        for (int i = 0; i < count; i += 32) {
            int n = count - i < 32 ? count - i : 32;
            pieces[joined++] = n == 1 ? pieces[i] : anl_g_concat(t->graph, pieces + i, n, t->chunk_axis);
        }
        count = joined;
    }
    return pieces[0];
}

/* Made once: it has an entry for every chunk, and every sum of every phase reads it. */
static const arena_map *map_of(tracer *t, plan_group *g)
{
    if (g->map)
        return g->map;
    arena_map *m = ANL_NEW(t->plan_arena, arena_map);
    *m = (arena_map){ANL_NEW_ARRAY(t->plan_arena, int32_t, g->chunks), ANL_NEW_ARRAY(t->plan_arena, int32_t, g->chunks),
                     ANL_NEW_ARRAY(t->plan_arena, int32_t, g->count + 1), ANL_NEW_ARRAY(t->plan_arena, float, g->count), true};
    int32_t chunk = 0;
    for (int i = 0; i < g->count; i++) {
        const plan_state *s = &t->plan[g->states[i]];
        m->starts[i] = chunk;
        m->counts[i] = (float)s->count;
        for (const int32_t end = chunk + (int32_t)(s->padded / LANE); chunk < end; chunk++) {
            m->valid[chunk] = LANE;
            m->segment[chunk] = i;
        }
        if (s->count % LANE) {
            m->valid[chunk - 1] = (int32_t)(s->count % LANE);
            m->full = false;
        }
    }
    m->starts[g->count] = chunk;
    return g->map = m;
}

/* Sum (mean) over each weight of the group whose rule is traced, given back to all its chunks. */
anl_node *sum_in_arena(tracer *t, anl_node *value, bool mean)
{
    plan_group *g = t->group;
    anl_graph *graph = t->graph;
    anl_axis axes[2];
    arena_axes(t, g, axes);
    anl_span span = graph->span;
    value = fit_axes(t, value, axes, 2, "the value that is summed", span);
    if (!value)
        return NULL;
    const arena_map *map = map_of(t, g);
    if (!map->full) { /* pads never count */
        anl_node *limit = anl_g_table(graph, ANL_I32, map->valid, axes, 1);
        anl_node *inside = anl_g_binary(graph, ANL_S_LT, anl_g_index(graph, t->lane_axis, LANE), limit);
        value = anl_g_where(graph, inside, value, anl_g_const(graph, ANL_F32, 0));
    }
    if (g->count == 1) {
        int32_t both[2] = {t->chunk_axis, t->lane_axis};
        anl_node *sum = anl_g_reduce(graph, ANL_OP_SUM, value, both, 2);
        return mean ? anl_g_binary(graph, ANL_S_MUL, sum, anl_g_const(graph, ANL_F32, 1.0 / map->counts[0])) : sum;
    }
    int32_t segment_axis = anl_graph_axis(graph, "segment");
    anl_node *sum = anl_g_segment_sum(graph, anl_g_reduce(graph, ANL_OP_SUM, value, &t->lane_axis, 1), t->chunk_axis, map->starts,
                                      g->count, segment_axis);
    if (mean) {
        anl_axis one = {segment_axis, g->count};
        sum = anl_g_binary(graph, ANL_S_DIV, sum, anl_g_table(graph, ANL_F32, map->counts, &one, 1));
    }
    anl_node *which = anl_g_table(graph, ANL_I32, map->segment, axes, 1);
    return anl_g_gather(graph, sum, &segment_axis, &which, 1, 0);
}

/* ---- rules at work ---- */
static const char *kind_word(anl_state_kind kind)
{
    switch (kind) {
    case ANL_WEIGHT_MATRIX:
        return "matrix";
    case ANL_WEIGHT_BIAS:
        return "bias";
    case ANL_WEIGHT_NORM:
        return "norm";
    default:
        return "other";
    }
}

/* The time at which the group's weights begin to be trained, as it was written. */
static anl_value beginning(tracer *t, const plan_group *g)
{
    anl_value best = {.kind = ANL_V_DURATION};
    double first = -1, steps;
    for (int i = -1; i < 2 * g->entry_count; i++) {
        anl_value at = {.kind = ANL_V_DURATION};
        if (i >= 0) {
            const rule_entry *r = &t->rules[g->entries[i / 2]];
            at = i % 2 ? r->until : r->from;
            if (at.kind != ANL_V_DURATION)
                continue;
        }
        if (!static_steps(t, &at, &steps))
            continue;
        int winner = rule_at(t, g, steps);
        if (winner >= 0 && !t->rules[winner].frozen && (first < 0 || steps < first)) {
            first = steps;
            best = at;
        }
    }
    return best;
}

static anl_node *age_of(tracer *t, const plan_group *g)
{
    context_at(t, t->top->place, t->recipe->train_span);
    anl_value begin = plain(t, t->top->place, beginning(t, g));
    anl_node *step = anl_g_step(t->graph, 0);
    if (begin.kind == ANL_V_NUMBER && begin.number == 0)
        return step;
    anl_node *at = begin.kind == ANL_V_NODE ? begin.node : anl_g_const(t->graph, ANL_F32, begin.number);
    return anl_g_binary(t->graph, ANL_S_MAXIMUM, anl_g_binary(t->graph, ANL_S_SUB, step, at), anl_g_const(t->graph, ANL_F32, 0));
}

static bound_argument bound_node(const char *name, anl_node *node, anl_span span)
{
    return (bound_argument){name, span, value_node_of(node, span)};
}

/* Traces a rule for a weight (or a whole arena); writes the new values of its state. NULL: no change, or a problem. */
static anl_node *apply_rule(tracer *t, plan_group *g, const callable *c, const char *name, bound_argument *given, int given_count,
                            anl_node *weight, const anl_axis *axes, int rank)
{
    place *p = ANL_NEW(t->arena, place);
    *p = *t->top->place;
    p->base = p;
    p->claims = ANL_NEW(t->arena, claims);
    p->path = p->draws = anl_arena_printf(t->arena, "optimizer.%s", name);
    p->owner = name;
    p->updating = true;
    p->draw_count = ANL_NEW(t->arena, int);
    plan_group *outer = t->group;
    t->group = g;
    frame *made = NULL;
    anl_value v = call_function(t, p, c, given, given_count, NULL, NULL, c->span, &made);
    anl_node *result = !needs_number(t, &v, c->span, "the new value of a weight") ? NULL : node_of(t, p, &v, c->span);
    for (int i = 0; made && i < made->scope->count; i++) {
        entry *n = made->scope->entries[i];
        if (n->kind != ENTRY_STATE)
            continue;
        if (!n->declaration->like) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, n->span,
                                             "the state `%s` of an optimizer rule must be `like: weight`", n->name);
            anl_diagnostic_note(t->diagnostics, d, "a rule runs over many weights at once; `age` counts steps");
            continue;
        }
        if (!n->declaration->update)
            continue;
        anl_value next = state_next(t, n, n->span);
        if (next.kind == ANL_V_NODE && n->record)
            n->record->state->update = next.node;
    }
    t->group = outer;
    if (result == weight)
        return NULL;
    return result ? fit_axes(t, result, axes, rank, "the result of the rule",
                             c->function->returns ? c->function->returns->span : c->span)
                  : NULL;
}

/* In the census: every rule once, on a made-up weight, so that its problems are found whatever else is wrong. */
void check_rules(tracer *t)
{
    int need = t->need;
    t->need = NEED_CHECK;
    t->chunk_axis = anl_graph_axis(t->graph, "chunk");
    t->lane_axis = anl_graph_axis(t->graph, "lane");
    plan_state weight = {.path = "weight", .count = LANE, .padded = LANE};
    plan_state *plan = t->plan;
    t->plan = &weight;
    int first = 0;
    plan_group g = {.name = "check", .states = &first, .count = 1, .chunks = 1};
    anl_axis axes[2];
    arena_axes(t, &g, axes);
    for (int i = 0; i < t->recipe->rule_count + t->recipe->module_count; i++) {
        bool rule = i < t->recipe->rule_count;
        const anl_module *m = rule ? NULL : &t->recipe->modules[i - t->recipe->rule_count];
        const callable *c = rule ? t->rules[i].callable : m->update ? bind_partly(t, t->top->place, m->update) : NULL;
        for (int k = 0; c && k < c->function->declaration_count; k++)
            first_number(t, &c->function->declarations[k]);
        if (!c || !takes_all_axes(c->function))
            continue;
        context_at(t, t->top->place, c->span);
        anl_node *w = anl_graph_node(t->graph, ANL_OP_FIELD, ANL_F32, 0, NULL),
                 *other = anl_graph_node(t->graph, ANL_OP_FIELD, ANL_F32, 0, NULL);
        anl_node *both[2] = {w, other};
        for (int k = 0; k < 2; k++) {
            both[k]->rank = 2;
            memcpy(both[k]->axes, axes, sizeof axes);
            both[k]->attrs.name = k ? "check.gradient" : "check.weight";
        }
        t->gradient_norm = anl_g_const(t->graph, ANL_F32, 1);
        bound_argument given[5] = {bound_node("weight", w, c->span), bound_node(rule ? "gradient" : "source", other, c->span)};
        int count = 2;
        if (rule) {
            given[2] = (bound_argument){"kind", c->span, {.kind = ANL_V_TEXT, .span = c->span, .text = "matrix"}};
            given[3] = bound_node("age", anl_g_step(t->graph, 0), c->span);
            given[4] = (bound_argument){"gradient_norm", c->span, no_value};
            count = 5;
        }
        apply_rule(t, &g, c, anl_arena_printf(t->arena, "check%d", i), given, count, w, axes, 2);
    }
    t->plan = plan;
    t->need = need;
}

static anl_node *square_sum(tracer *t, anl_node *a)
{
    int32_t over[ANL_MAX_AXES];
    for (int i = 0; i < a->rank; i++)
        over[i] = a->axes[i].id;
    anl_node *square = anl_g_binary(t->graph, ANL_S_MUL, a, a);
    return a->rank ? anl_g_reduce(t->graph, ANL_OP_SUM, square, over, a->rank) : square;
}

/* Gradients for all weights that are trained in this phase, then their rules. wanted: further paths whose gradients are asked
 * for. */
void optimize(tracer *t, anl_node *total, const char *const *wanted, int wanted_count, anl_node **wanted_gradients)
{
    const bool update = !t->options->fetch_only && t->options->mode == ANL_TRACE_TRAIN;
    int capacity = t->plan_count + wanted_count + 1, count = 0;
    anl_node **wrt = ANL_NEW_ARRAY(t->arena, anl_node *, capacity), **gradients = ANL_NEW_ARRAY(t->arena, anl_node *, capacity);
    int *at = ANL_NEW_ARRAY(t->arena, int, t->plan_count + 1), *wanted_at = ANL_NEW_ARRAY(t->arena, int, wanted_count + 1);
    int *winner = ANL_NEW_ARRAY(t->arena, int, t->group_count + 1);
    for (int i = 0; i < t->plan_count; i++)
        at[i] = -1;
    for (int i = 0; i < t->group_count && update; i++) {
        const plan_group *g = &t->groups[i];
        winner[i] = g->copy ? -1 : winning_rule(t, g);
        if (winner[i] < 0 || t->rules[winner[i]].frozen || !t->rules[winner[i]].callable) {
            winner[i] = -1;
            continue;
        }
        for (int k = 0; k < g->count; k++) {
            record *r = record_find(t, t->plan[g->states[k]].path);
            if (r && r->used >= NEED_TRAINING) {
                at[g->states[k]] = count;
                wrt[count++] = anl_graph_state_value(t->graph, r->state);
            }
        }
    }
    for (int i = 0; i < wanted_count; i++) {
        anl_state *state = anl_graph_find_state(t->graph, wanted[i]);
        wanted_at[i] = -1;
        if (!state)
            continue;
        anl_node *value = anl_graph_state_value(t->graph, state);
        for (int k = 0; k < count && wanted_at[i] < 0; k++)
            if (wrt[k] == value)
                wanted_at[i] = k;
        if (wanted_at[i] < 0) {
            wanted_at[i] = count;
            wrt[count++] = value;
        }
    }
    if (!count || !total)
        return;
    context_at(t, t->top->place, total->span);
    if (anl_gradient(t->graph, total, wrt, count, gradients, t->diagnostics))
        return;
    for (int i = 0; i < wanted_count; i++)
        wanted_gradients[i] = wanted_at[i] >= 0 ? gradients[wanted_at[i]] : NULL;
    if (!update)
        return;

    t->graph->stage = ANL_STAGE_UPDATE;
    context_at(t, t->top->place, t->recipe->train_span);
    anl_node **flat = ANL_NEW_ARRAY(t->arena, anl_node *, t->group_count + 1);
    anl_node *norm = NULL;
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        if (winner[i] < 0)
            continue;
        anl_node **pieces = ANL_NEW_ARRAY(t->arena, anl_node *, g->count + 1);
        for (int k = 0; k < g->count; k++) {
            const plan_state *s = &t->plan[g->states[k]];
            anl_node *gradient = at[g->states[k]] >= 0 ? gradients[at[g->states[k]]] : NULL;
            if (!gradient) {
                if (at[g->states[k]] >= 0) {
                    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_weight_without_gradient, s->span,
                                                     "the weight `%s` is used, but no loss depends on it", s->path);
                    anl_diagnostic_note(t->diagnostics, d,
                                        "a stop_gradient, a comparison or an index cuts the way from it to the losses");
                    anl_diagnostic_suggest(t->diagnostics, d, "to keep it as it is: - {weights: \"%s\", rule: frozen}", s->path);
                }
                winner[i] = -1;
                continue;
            }
            if (g->separate) {
                norm = norm ? anl_g_binary(t->graph, ANL_S_ADD, norm, square_sum(t, gradient)) : square_sum(t, gradient);
            } else {
                t->graph->path = t->graph->owner = s->path;
                pieces[k] = flatten(t, gradient, anl_graph_find_state(t->graph, s->path), s);
            }
        }
        if (winner[i] < 0 || g->separate)
            continue;
        t->graph->path = t->graph->owner = g->name;
        flat[i] = join_chunks(t, pieces, g->count);
        norm = norm ? anl_g_binary(t->graph, ANL_S_ADD, norm, square_sum(t, flat[i])) : square_sum(t, flat[i]);
    }
    t->gradient_norm = norm ? anl_g_unary(t->graph, ANL_S_SQRT, norm) : anl_g_const(t->graph, ANL_F32, 0);
    anl_node *scale = NULL;
    if (t->recipe->gradient_clip) {
        anl_value v = evaluate(t, t->top->place, t->recipe->gradient_clip, WANT_VALUE);
        anl_node *limit = v.kind == ANL_V_NONE ? NULL : node_of(t, t->top->place, &v, t->recipe->gradient_clip->span);
        if (limit && limit->rank == 0)
            scale = anl_g_binary(
                t->graph, ANL_S_MINIMUM, anl_g_const(t->graph, ANL_F32, 1),
                anl_g_binary(t->graph, ANL_S_DIV, limit,
                             anl_g_binary(t->graph, ANL_S_ADD, t->gradient_norm, anl_g_const(t->graph, ANL_F32, 1e-6))));
        else if (limit)
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, t->recipe->gradient_clip->span,
                         "clip is the largest gradient norm, one number");
    }
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        if (winner[i] < 0)
            continue;
        const callable *c = t->rules[winner[i]].callable;
        for (int k = 0; k < (g->separate ? g->count : 1); k++) {
            const plan_state *s = &t->plan[g->states[k]];
            anl_state *state = g->separate ? anl_graph_find_state(t->graph, s->path) : g->arena;
            anl_node *weight = anl_graph_state_value(t->graph, state),
                     *gradient = g->separate ? gradients[at[g->states[k]]] : flat[i];
            context_at(t, t->top->place, c->span);
            if (scale)
                gradient = anl_g_binary(t->graph, ANL_S_MUL, gradient, scale);
            t->rule_state = s;
            bound_argument given[5] = {bound_node("weight", weight, c->span),
                                       bound_node("gradient", gradient, c->span),
                                       {"kind", c->span, {.kind = ANL_V_TEXT, .span = c->span, .text = kind_word(g->kind)}},
                                       bound_node("age", age_of(t, g), c->span),
                                       {"gradient_norm", c->span, no_value}};
            anl_node *next = apply_rule(t, g, c, g->separate ? s->path : g->name, given, 5, weight, state->axes, state->rank);
            record *r = g->separate ? record_find(t, s->path) : NULL;
            if (next && r)
                next = projected(t, r, next);
            if (!next)
                continue;
            state->update = next;
            if (r)
                r->next = next;
        }
    }
    /* new values of single weights, for next() */
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        for (int k = 0; !g->separate && g->arena && g->arena->update && k < g->count; k++) {
            const plan_state *s = &t->plan[g->states[k]];
            record *r = record_find(t, s->path);
            if (r) {
                t->graph->path = t->graph->owner = s->path;
                r->next = unflatten(t, g->arena->update, r->state, s);
            }
        }
    }
}

/* Copies follow their sources: the rule gets the copy's weight and the source's new value. */
void follow_copies(tracer *t)
{
    for (int i = 0; i < t->group_count; i++) {
        plan_group *g = &t->groups[i];
        if (!g->copy)
            continue;
        const callable *c = bind_partly(t, t->top->place, g->copy->update);
        if (!c)
            continue;
        const plan_group *from = g->source_group >= 0 ? &t->groups[g->source_group] : NULL;
        context_at(t, t->top->place, c->span);
        if (!g->separate) {
            anl_node *source = from->arena->update ? from->arena->update : anl_graph_state_value(t->graph, from->arena);
            anl_node **pieces = ANL_NEW_ARRAY(t->arena, anl_node *, g->count + 1);
            int count = 0;
            for (int k = 0; k < g->count;) { /* neighbours in both arenas are one piece */
                int64_t start = -1, end = -1;
                for (; k < g->count; k++) {
                    const plan_state *s = &t->plan[g->states[k]], *of = NULL;
                    for (int j = 0; j < from->count && !of; j++)
                        if (!strcmp(t->plan[from->states[j]].path, s->source))
                            of = &t->plan[from->states[j]];
                    if (start < 0) {
                        start = of->offset;
                        end = start;
                    }
                    if (of->offset != end)
                        break;
                    end = of->offset + of->padded;
                }
                pieces[count++] = start == 0 && end == from->chunks * LANE
                                      ? source
                                      : anl_g_slice(t->graph, source, t->chunk_axis, (int32_t)(start / LANE),
                                                    (int32_t)((end - start) / LANE), 1);
            }
            source = join_chunks(t, pieces, count);
            anl_node *weight = anl_graph_state_value(t->graph, g->arena);
            bound_argument given[2] = {bound_node("weight", weight, c->span), bound_node("source", source, c->span)};
            anl_axis axes[2];
            arena_axes(t, g, axes);
            anl_node *next = apply_rule(t, g, c, g->name, given, 2, weight, axes, 2);
            if (next)
                g->arena->update = next;
            continue;
        }
        for (int k = 0; k < g->count; k++) {
            const plan_state *s = &t->plan[g->states[k]];
            anl_state *state = anl_graph_find_state(t->graph, s->path), *of = anl_graph_find_state(t->graph, s->source);
            record *r = record_find(t, s->path), *source_record = record_find(t, s->source);
            if (!state || !of)
                continue;
            anl_node *weight = anl_graph_state_value(t->graph, state);
            anl_node *source = source_record && source_record->next ? source_record->next : anl_graph_state_value(t->graph, of);
            t->rule_state = s;
            bound_argument given[2] = {bound_node("weight", weight, c->span), bound_node("source", source, c->span)};
            anl_node *next = apply_rule(t, g, c, s->path, given, 2, weight, state->axes, state->rank);
            if (next && r)
                next = projected(t, r, next);
            if (next)
                state->update = next;
        }
    }
}
