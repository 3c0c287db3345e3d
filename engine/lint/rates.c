/* Rates and decays: schedules, optimizer rules and teachers, judged by what their updates do to a weight.
 * In: graphs of the first and the last phase, and the rules as written. Out: diagnostics A1011, A1012, A1019, A1021, A1022.
 * A rule is asked, not read: with a weight of 1 and no gradient its update says how much it decays, with a source of 0 how slowly a copy
 * follows. Only how often the batch scales a rate is read from the expressions, since numbers are folded when tracing. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "lint/facts.h"
#include "lint/literal.h"

typedef struct rates {
    anl_lint_pass *pass;
    const anl_facts *f;
    double *value; /* by node id: while an update is asked */
    int *asked;    /* by node id: in which question value was found */
    int question;
} rates;

#define NOTE(r, d, ...) anl_diagnostic_note((r)->pass->diagnostics, d, __VA_ARGS__)
#define SUGGEST(r, d, ...) anl_diagnostic_suggest((r)->pass->diagnostics, d, __VA_ARGS__)

/* ---- asking an update ---- */
/* What a projection makes of an update says nothing of the rule. */
static bool is_rules(const anl_node *update) { return update && !strncmp(update->path, "optimizer.", 10); }

/* What an update gives where each element of `weight` is 1 and all else that it works on is 0, at a moment. Sums over the weight are taken as
 * those of a weight of one element. Rules stand under the path `optimizer`; what comes from elsewhere is gradients. */
static double ask(rates *r, const anl_node *x, const anl_state *weight, int moment, int depth)
{
    if (r->f->of[x->id].moments)
        return r->f->of[x->id].moments[moment];
    if (x->op == ANL_OP_STATE)
        return x->attrs.state == weight;
    if (!is_rules(x) || depth > 200)
        return 0;
    if (r->asked[x->id] == r->question)
        return r->value[x->id];
    double v[3] = {0}, out = 0;
    for (int k = 0; k < x->input_count && k < 3; k++)
        v[k] = ask(r, x->inputs[k], weight, moment, depth + 1);
    if (x->op == ANL_OP_SCALAR)
        out = anl_scalar_evaluate(x->attrs.scalar, x->dtype, x->inputs[0]->dtype, v[0], v[1], v[2]);
    else if (x->op == ANL_OP_VARIANCE)
        out = 0;
    else if (x->input_count)
        out = v[0]; /* moved, summed, or looked up */
    r->asked[x->id] = r->question;
    r->value[x->id] = out;
    return out;
}

static double answer(rates *r, const anl_node *update, const anl_state *weight, int moment)
{
    r->question++;
    return ask(r, update, weight, moment, 0);
}

/* The state that is updated for a weight: itself, or the arena that it lies in. */
static const anl_state *updated(const anl_state *s) { return s->arena ? s->arena : s; }

/* ---- decay ---- */
static bool is_copied(const anl_lint_pass *pass, const anl_state *s)
{
    for (int i = 0; i < pass->recipe->module_count; i++) {
        const anl_module *m = &pass->recipe->modules[i];
        const size_t length = strlen(m->name);
        if (m->copy && !strncmp(m->name, s->path, length) && s->path[length] == '.')
            return true;
    }
    return false;
}

static const anl_optimizer_rule *rule_of(const anl_lint_pass *pass, const anl_state *s)
{
    const anl_recipe *recipe = pass->recipe;
    for (int i = recipe->rule_count - 1; i >= 0; i--)
        if (!recipe->rules[i].until && recipe->rules[i].weights && anl_glob_match(recipe->rules[i].weights, s->path))
            return &recipe->rules[i];
    return NULL;
}

/* The argument or param of a rule that its function multiplies a weight by, followed through its nodes. */
static bool names_param(const anl_function *f, const anl_expression *e, const char **name, int depth)
{
    if (!e || depth > 8)
        return false;
    if (e->kind == ANL_E_NAME) {
        for (int i = 0; i < f->param_count; i++)
            if (!strcmp(f->params[i].name, e->name)) {
                *name = e->name;
                return true;
            }
        for (int i = 0; i < f->node_count; i++)
            if (!strcmp(f->nodes[i].name, e->name))
                return names_param(f, f->nodes[i].value, name, depth + 1);
        return false;
    }
    if (e->kind == ANL_E_CALL) /* if(…, weight_decay, 0) */
        for (int i = e->argument_count - 1; i > 0; i--)
            if (names_param(f, e->arguments[i].value, name, depth + 1))
                return true;
    return false;
}

static bool is_name(const anl_expression *e, const char *name) { return e->kind == ANL_E_NAME && !strcmp(e->name, name); }

static bool decay_param(const anl_function *f, const anl_expression *e, const char **name, anl_span *where, int depth)
{
    if (!e || depth > 32)
        return false;
    if (e->kind == ANL_E_OPERATOR && !strcmp(e->name, "multiply") && e->item_count == 2)
        for (int k = 0; k < 2; k++)
            if (is_name(e->items[k], "weight") && names_param(f, e->items[1 - k], name, 0)) {
                *where = e->span;
                return true;
            }
    for (int i = 0; i < e->item_count; i++)
        if (decay_param(f, e->items[i], name, where, depth + 1))
            return true;
    for (int i = 0; i < e->argument_count; i++)
        if (decay_param(f, e->arguments[i].value, name, where, depth + 1))
            return true;
    return false;
}

static void label_decay(rates *r, anl_diagnostic *d, const anl_optimizer_rule *rule)
{
    const anl_recipe *recipe = r->pass->recipe;
    anl_reading in = {.call = rule->rule};
    const anl_function *f = in.function = anl_reading_callee(recipe, rule->rule, &in.bound);
    const char *name = NULL;
    anl_span where = {0};
    bool found = false;
    for (int i = 0; f && i < f->node_count && !found; i++)
        found = decay_param(f, f->nodes[i].value, &name, &where, 0);
    for (int i = 0; f && i < f->declaration_count && !found; i++)
        found = decay_param(f, f->declarations[i].update, &name, &where, 0);
    found = found || (f && decay_param(f, f->returns, &name, &where, 0));
    if (!found)
        return;
    const anl_reading *at;
    const anl_expression *value = anl_reading_name(recipe, &in, name, &at);
    if (value) {
        anl_literal set = at->function ? (anl_literal){.span = value->span, .name = name} : anl_literal_of(r->pass, value);
        set.name = set.name ? set.name : name;
        anl_literal_label(r->pass, d, set);
    }
    anl_diagnostic_label(r->pass->diagnostics, d, where, "the rule decays here");
}

static void check_decay(rates *r)
{
    const anl_graph *g = r->f->graph;
    const anl_recipe *recipe = r->pass->recipe;
    int *count = ANL_NEW_ARRAY(r->pass->arena, int, recipe->rule_count + 1);
    const anl_state **shown = ANL_NEW_ARRAY(r->pass->arena, const anl_state *, recipe->rule_count + 1);
    const anl_state *last = NULL; /* weights of one arena lie together: it is asked once */
    double left = 1;
    for (int i = 0; i < g->state_count; i++) {
        const anl_state *s = g->states[i], *of = updated(s);
        if ((s->kind != ANL_WEIGHT_NORM && s->kind != ANL_WEIGHT_BIAS) || !is_rules(of->update) || is_copied(r->pass, s))
            continue;
        if (of != last)
            for (int m = 0, pick = -1; m < ANL_MOMENTS && pick < 0; m++) { /* some schedules begin with 0 */
                left = answer(r, of->update, of, m);
                pick = left != 1 ? m : -1;
            }
        last = of;
        const anl_optimizer_rule *rule = rule_of(r->pass, s);
        if (!rule || !(left < 1 && left > 0))
            continue;
        if (!count[rule - recipe->rules]++)
            shown[rule - recipe->rules] = s;
    }
    for (int i = 0; i < recipe->rule_count; i++) {
        const anl_optimizer_rule *rule = &recipe->rules[i];
        if (!count[i])
            continue;
        const anl_span span = rule->rule ? rule->rule->span : rule->span;
        anl_diagnostic *d =
            count[i] == 1
                ? anl_diagnose(r->pass->diagnostics, ANL_A_decayed_norms, span, "this rule decays `%s`, which is a bias or scale", shown[i]->path)
                : anl_diagnose(r->pass->diagnostics, ANL_A_decayed_norms, span, "this rule decays %d biases and scales of normalisations, `%s` among them",
                               count[i], shown[i]->path);
        label_decay(r, d, rule);
        NOTE(r, d, "decay is to keep matrices small; it draws scales and biases to 0 as well, which most recipes leave out");
        SUGGEST(r, d, "decay matrices only: in the rule, decay: if(kind == matrix, weight_decay, 0); sgd of the library has decay_all=false");
    }
}

/* ---- teachers ---- */
static void check_copies(rates *r)
{
    const anl_graph *g = r->f->graph;
    const anl_recipe *recipe = r->pass->recipe;
    for (int i = 0; i < recipe->module_count; i++) {
        const anl_module *m = &recipe->modules[i];
        const size_t length = strlen(m->name);
        const anl_state *of = NULL;
        for (int k = 0; k < g->state_count && m->copy && m->update && !of; k++) {
            const anl_state *s = g->states[k];
            if (s->kind != ANL_STATE_OTHER && !strncmp(s->path, m->name, length) && s->path[length] == '.' &&
                is_rules(updated(s)->update))
                of = updated(s);
        }
        if (!of)
            continue;
        double least = INFINITY, most = -INFINITY;
        for (int k = 0; k < ANL_MOMENTS; k++) {
            double kept = answer(r, of->update, of, k);
            least = fmin(least, kept);
            most = fmax(most, kept);
        }
        const char *wrong = least >= 1 - 1e-9 ? "never follows its source" : most < 0.9 ? "keeps too little of what it was" : NULL;
        if (!wrong || !(least <= most))
            continue;
        anl_diagnostic *d = anl_diagnose(r->pass->diagnostics, ANL_A_teacher_momentum, m->update->span, "with momentum %.4g the copy `%s` %s",
                                         least >= 1 - 1e-9 ? least : most, m->name, wrong);
        for (int k = 0; k < m->update->argument_count; k++)
            anl_literal_label(r->pass, d, anl_literal_of(r->pass, m->update->arguments[k].value));
        if (most < 0.9)
            NOTE(r, d, "a teacher that moves as fast as its student gives targets that jump from step to step, and a queue of its keys is out of date");
        else if (least > 1 + 1e-9)
            NOTE(r, d, "above 1 it moves away from its source, faster and faster");
        else
            NOTE(r, d, "it stays as it was at the beginning");
        SUGGEST(r, d, "0.99 to 0.9999 is usual; the rule computes momentum * copy + (1 - momentum) * source");
    }
}

/* ---- schedules ---- */
static const anl_node *rate_of(const rates *r)
{
    const anl_graph *g = r->f->graph;
    for (int i = 0; i < g->output_count; i++)
        if (!strcmp(g->outputs[i].name, "lr"))
            return g->outputs[i].node;
    return NULL;
}

/* The rule that the rate is of: the first with a param lr. And its expression. */
static const anl_optimizer_rule *rule_with_rate(const rates *r, const anl_expression **lr, anl_reading *in)
{
    const anl_recipe *recipe = r->pass->recipe;
    for (int i = 0; i < recipe->rule_count; i++) {
        const anl_optimizer_rule *rule = &recipe->rules[i];
        *in = (anl_reading){.call = rule->rule};
        in->function = anl_reading_callee(recipe, rule->rule, &in->bound);
        const anl_reading *where;
        *lr = in->function ? anl_reading_name(recipe, in, "lr", &where) : NULL;
        if (*lr)
            return rule;
    }
    return NULL;
}

/* Starts near 0 and reaches at least five times as much: a warm-up. */
static bool rises(const double *moments)
{
    double most = 0;
    for (int i = 0; i < ANL_MOMENTS; i++)
        most = fmax(most, moments[i]);
    return moments[0] >= 0 && most > 0 && moments[0] <= 0.2 * most;
}

static bool is_duration(anl_literal s) { return s.duration; }
static bool is_zero(anl_literal s) { return !s.duration && s.number == 0; }
static bool is_negative(anl_literal s) { return !s.duration && s.number < 0; }

/* Where the numbers of a schedule are set, those that matter. */
static void label_arguments(rates *r, anl_diagnostic *d, const anl_expression *schedule, bool (*matters)(anl_literal s))
{
    for (int i = 0; i < schedule->argument_count; i++) {
        anl_literal s = anl_literal_of(r->pass, schedule->arguments[i].value);
        if (s.literal && matters(s))
            anl_literal_label(r->pass, d, s);
    }
}

static void check_schedule(rates *r)
{
    const anl_node *rate = rate_of(r);
    const anl_expression *lr = NULL;
    anl_reading in;
    const anl_optimizer_rule *rule = rule_with_rate(r, &lr, &in);
    if (!rate || !rule || !r->f->of[rate->id].moments)
        return;
    const anl_fact *f = &r->f->of[rate->id];
    if (f->low < 0 || f->high == 0) {
        anl_diagnostic *d = f->high == 0
                                ? anl_diagnose(r->pass->diagnostics, ANL_A_rate_not_positive, lr->span, "the learning rate is 0 during the whole training")
                                : anl_diagnose(r->pass->diagnostics, ANL_A_rate_not_positive, lr->span, "the learning rate becomes negative: %.3g", f->low);
        anl_literal_label(r->pass, d, anl_literal_of(r->pass, lr));
        label_arguments(r, d, lr, f->high == 0 ? is_zero : is_negative);
        NOTE(r, d, f->high == 0 ? "no weight changes; `rule: frozen` says so, and computes no gradient" : "then the losses are made greater, not less");
        return;
    }

    const anl_graph *g = r->f->graph;
    const anl_node *from[1] = {rate};
    const bool *behind = anl_walk_behind(r->pass->arena, g, from, 1, ANL_WAYS_VALUES),
               *ahead = anl_walk_ahead(r->pass->arena, g, from, 1, ANL_WAYS_VALUES); /* rules scale it further */
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i];
        if (!anl_is_scalar(x, ANL_S_MUL) || !r->f->of[i].moments || x->inputs[0] == x->inputs[1] ||
            !(behind[i] || ahead[x->inputs[0]->id] != ahead[x->inputs[1]->id]) || !rises(r->f->of[x->inputs[0]->id].moments) ||
            !rises(r->f->of[x->inputs[1]->id].moments))
            continue;
        anl_diagnostic *d = anl_walk_diagnose(r->pass, ANL_A_rate_scaled_twice, x, "the learning rate is warmed up twice");
        NOTE(r, d, "both factors rise from near 0: their product rises as the square, and is far below either for most of the warm-up");
        SUGGEST(r, d, "one warm-up: the schedule's own (warmup=…), or that of the factor");
        break;
    }
}

/* A schedule that still rises when the training ends, whatever an epoch is. */
static void check_warmup(rates *r)
{
    const anl_node *rate = rate_of(r);
    const anl_expression *lr = NULL;
    anl_reading in;
    const anl_optimizer_rule *rule = rule_with_rate(r, &lr, &in);
    if (!rate || !rule || !r->f->of[rate->id].moments || !r->pass->facts)
        return;
    const anl_graph *g = r->f->graph;
    double *value = ANL_NEW_ARRAY(r->pass->arena, double, g->node_count + 1);
    static const double epochs[] = {20, 1000, 50000}; /* steps: with few and with many images */
    for (size_t e = 0; e < ANL_COUNT(epochs); e++) {
        const double total = r->pass->facts->train_length * (r->pass->facts->train_length_epochs ? epochs[e] : 1);
        double before = -INFINITY;
        if (total < 8)
            return;
        for (int t = 0; t <= 8; t++) {
            const double step = fmin(floor(total * t / 8), total - 1);
            for (int i = 0; i <= rate->id; i++) {
                const anl_node *x = g->nodes[i];
                double v[3] = {0};
                if (!r->f->of[i].moments)
                    continue;
                for (int k = 0; k < x->input_count && k < 3; k++)
                    v[k] = value[x->inputs[k]->id];
                value[i] = x->op == ANL_OP_STEP    ? (x->attrs.count == 0 ? step : x->attrs.count == 1 ? epochs[e] : total)
                           : x->op == ANL_OP_CONST ? x->attrs.value
                           : x->op == ANL_OP_SCALAR
                               ? anl_scalar_evaluate(x->attrs.scalar, x->dtype, x->inputs[0]->dtype, v[0], v[1], v[2])
                               : v[0];
            }
            if (!(value[rate->id] > before))
                return;
            before = value[rate->id];
        }
    }
    anl_diagnostic *d = anl_diagnose(r->pass->diagnostics, ANL_A_endless_warmup, lr->span, "the learning rate still rises when the training ends");
    anl_literal_label(r->pass, d, anl_literal_of(r->pass, r->pass->recipe->train_length));
    label_arguments(r, d, lr, is_duration);
    NOTE(r, d, "a warm-up as long as the training never lets the rate settle: the last weights are those of the largest steps");
    SUGGEST(r, d, "a shorter warm-up, or a longer training");
}

/* ---- scaling by the batch ---- */
enum { MOST_PLACES = 6 };
typedef struct power { /* of the batch, that a number is proportional to */
    const anl_recipe *recipe;
    anl_span places[MOST_PLACES]; /* where the batch comes in */
    int place_count, visits;
} power;

static double power_of(power *p, const anl_reading *in, const anl_expression *e, int depth);

static void add_place(power *p, anl_span span)
{
    for (int i = 0; i < p->place_count; i++)
        if (anl_span_same(p->places[i], span))
            return;
    if (p->place_count < MOST_PLACES)
        p->places[p->place_count++] = span;
}

static double greatest_power(power *p, const anl_reading *in, const anl_expression *e, int first, int depth)
{
    double most = 0;
    for (int i = first; i < e->argument_count; i++)
        most = fmax(most, power_of(p, in, e->arguments[i].value, depth + 1));
    return most;
}

static double power_of_name(power *p, const anl_reading *in, const anl_expression *e, int depth)
{
    const anl_reading *where;
    if (!(in && in->function) && !strcmp(e->name, "batch")) {
        add_place(p, e->span);
        return 1;
    }
    const anl_expression *value = anl_reading_name(p->recipe, in, e->name, &where);
    return value ? power_of(p, where, value, depth + 1) : 0;
}

static double power_of(power *p, const anl_reading *in, const anl_expression *e, int depth)
{
    if (!e || depth > 48 || ++p->visits > 20000)
        return 0;
    switch (e->kind) {
    case ANL_E_NAME:
        return power_of_name(p, in, e, depth);
    case ANL_E_OPERATOR: {
        if (e->item_count == 1)
            return power_of(p, in, e->items[0], depth + 1);
        double a = power_of(p, in, e->items[0], depth + 1);
        if (!strcmp(e->name, "power"))
            return e->items[1]->kind == ANL_E_NUMBER ? a * e->items[1]->number : 0;
        double b = power_of(p, in, e->items[1], depth + 1);
        return !strcmp(e->name, "multiply") ? a + b : !strcmp(e->name, "divide") ? a - b : !strcmp(e->name, "add") || !strcmp(e->name, "subtract") ? fmax(a, b) : 0;
    }
    case ANL_E_CALL:
    case ANL_E_STEP: {
        const anl_expression *callee = e->item_count ? e->items[0] : NULL;
        if (!callee || callee->kind != ANL_E_NAME)
            return 0;
        anl_reading inner = {.call = e, .caller = in};
        inner.function = anl_reading_callee(p->recipe, e, &inner.bound);
        if (inner.function)
            return power_of(p, &inner, inner.function->returns, depth + 1);
        if (!strcmp(callee->name, "sqrt"))
            return greatest_power(p, in, e, 0, depth) / 2;
        if (!strcmp(callee->name, "if") || !strcmp(callee->name, "where"))
            return greatest_power(p, in, e, 1, depth);
        return !strcmp(callee->name, "maximum") || !strcmp(callee->name, "minimum") || !strcmp(callee->name, "clamp")
                   ? greatest_power(p, in, e, 0, depth)
                   : 0;
    }
    default:
        return 0;
    }
}

/* The power of a product that has `lr` among its factors; sums among them (gradients, decays) are passed over. -1: lr is no factor. */
static double power_with_rate(power *p, const anl_reading *in, const anl_expression *e, bool *has_rate, int depth)
{
    if (e->kind == ANL_E_OPERATOR && e->item_count == 2 && depth < 16 && (!strcmp(e->name, "multiply") || !strcmp(e->name, "divide"))) {
        double a = power_with_rate(p, in, e->items[0], has_rate, depth + 1), b = power_with_rate(p, in, e->items[1], has_rate, depth + 1);
        return !strcmp(e->name, "multiply") ? a + b : a - b;
    }
    *has_rate |= is_name(e, "lr");
    return e->kind == ANL_E_NAME ? power_of(p, in, e, 0) : 0;
}

static double power_in_rule(power *p, const anl_reading *in, const anl_expression *e, int depth)
{
    if (!e || depth > 32)
        return 0;
    bool has_rate = false;
    double most = power_with_rate(p, in, e, &has_rate, 0);
    most = has_rate ? most : 0;
    for (int i = 0; i < e->item_count; i++)
        most = fmax(most, power_in_rule(p, in, e->items[i], depth + 1));
    for (int i = 0; i < e->argument_count; i++)
        most = fmax(most, power_in_rule(p, in, e->arguments[i].value, depth + 1));
    return most;
}

static void check_scaling(rates *r)
{
    const anl_recipe *recipe = r->pass->recipe;
    for (int i = 0; i < recipe->rule_count; i++) {
        anl_reading in = {.call = recipe->rules[i].rule};
        const anl_function *f = in.function = anl_reading_callee(recipe, in.call, &in.bound);
        const anl_reading *where;
        const anl_expression *lr = f ? anl_reading_name(recipe, &in, "lr", &where) : NULL;
        if (!lr || where->function)
            continue;
        power p = {.recipe = recipe};
        double most = power_of(&p, NULL, lr, 0);
        for (int k = 0; k < f->node_count; k++)
            most = fmax(most, power_in_rule(&p, &in, f->nodes[k].value, 0));
        for (int k = 0; k < f->declaration_count; k++)
            most = fmax(most, power_in_rule(&p, &in, f->declarations[k].update, 0));
        most = fmax(most, power_in_rule(&p, &in, f->returns, 0));
        if (most < 1.25) /* linear, or by the root */
            continue;
        anl_diagnostic *d = anl_diagnose(r->pass->diagnostics, ANL_A_rate_scaled_twice, lr->span, "the learning rate is scaled by the batch more than once");
        for (int k = 0; k < p.place_count; k++)
            anl_diagnostic_label(r->pass->diagnostics, d, p.places[k], "the batch comes in here");
        NOTE(r, d, "it grows as the batch to the power of %.3g; the usual rule is in proportion to the batch, or to its root", most);
        SUGGEST(r, d, "scale it in one place");
    }
}

void anl_lint_rates(anl_lint_pass *pass)
{
    if (!pass->sound || !pass->train)
        return;
    rates r = {.pass = pass, .f = anl_facts_shared(pass, pass->last)};
    const int nodes = r.f->graph->node_count + 1;
    r.value = ANL_NEW_ARRAY(pass->arena, double, nodes);
    r.asked = ANL_NEW_ARRAY(pass->arena, int, nodes);
    check_decay(&r);
    check_copies(&r);
    check_schedule(&r);
    check_warmup(&r);
    check_scaling(&r);
}
