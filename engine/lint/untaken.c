/* Names where tracing does not look: in branches of `if` that are not taken, in functions that nothing calls, in defaults that every call
 * overrides.
 * In: the recipe as text. Out: A0217, and A0202 to A0205, A0301, A0302, A0403, A0404, worded as the tracer words them, so that what it has reported is not said twice.
 * Judged only where nothing but a value can stand: elsewhere a bare word may be an axis or a text. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "lint/rules.h"
#include "ops/ops.h"
#include "spec/keys.h"

enum { NAMES = 512 };

typedef struct walker {
    anl_lint_pass *pass;
    const anl_function *function; /* NULL: the spec itself */
    const char *names[NAMES];     /* values that can be seen */
    int count;
    bool full; /* more names than fit: nothing is judged */
} walker;

static void see(walker *w, const char *name)
{
    if (w->count < NAMES)
        w->names[w->count++] = name;
    else
        w->full = true;
}

static bool is_seen(const walker *w, const char *name)
{
    for (int i = 0; i < w->count; i++)
        if (!strcmp(w->names[i], name))
            return true;
    return w->full;
}

/* Words that the tracer gives: everywhere, in init, in rules, in copies. */
static bool is_given(const char *name)
{
    static const char *const words[] = {"_",    "training", "step", "epoch", "length", "space", "axes",     "all",
                                        "kind", "age",      "gradient_norm", "weight", "source", "gradient"};
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (!strcmp(words[i], name))
            return true;
    return false;
}

static bool is_form(const char *name) { return !strcmp(name, "if") || !strcmp(name, "since") || !strcmp(name, "next"); }

/* Whether anything is said of this place already. */
static bool is_reported(const walker *w, anl_span span)
{
    const anl_diagnostics *all = w->pass->diagnostics;
    for (int i = 0; i < anl_diagnostics_count(all); i++) {
        anl_span other = anl_diagnostics_get(all, i)->span;
        if (other.line == span.line && other.column == span.column && other.file && span.file && !strcmp(other.file, span.file))
            return true;
    }
    return false;
}

static void suggest(walker *w, anl_diagnostic *d, anl_span span, const char *word, const char *const *names, int count)
{
    anl_diagnostic_nearest(w->pass->diagnostics, d, span, word, names, count, false);
}

static void report_name(walker *w, const anl_expression *e)
{
    if (is_reported(w, e->span) || anl_trap_name(w->pass->diagnostics, e->span, e->name))
        return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_unknown_name, e->span, "there is no value called `%s` here", e->name);
    suggest(w, d, e->span, e->name, w->names, w->count);
}

static bool is_callable(const walker *w, const char *name)
{
    return anl_recipe_function(w->pass->recipe, name) || anl_builtin_find(name) || is_form(name);
}

static void walk(walker *w, const anl_expression *e, bool value);

static void report_argument(walker *w, const anl_argument *a, const char *callee, const anl_function *f, const char *const *names, int count)
{
    if (is_reported(w, a->name_span))
        return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_unknown_argument, a->name_span, f ? "`%s` has no input or param called `%s`" : "`%s` has no argument `%s`",
                                     callee, a->name);
    if (f)
        anl_diagnostic_label(w->pass->diagnostics, d, f->span, "`%s` is defined here", f->name);
    suggest(w, d, a->name_span, a->name, names, count);
}

static bool wants_number(const anl_param *param)
{
    if (param->type)
        return !strcmp(param->type, "int") || !strcmp(param->type, "number");
    return param->value && param->value->kind == ANL_E_NUMBER;
}

static void walk_function_call(walker *w, const anl_function *f, const anl_expression *e)
{
    const char *names[NAMES];
    int count = 0;
    for (int i = 0; i < f->input_count && count < NAMES; i++)
        names[count++] = f->inputs[i].name;
    for (int i = 0; i < f->param_count && count < NAMES; i++)
        names[count++] = f->params[i].name;
    for (int i = 0; i < e->argument_count; i++) {
        const anl_argument *a = &e->arguments[i];
        bool number = false, known = !a->name || !strcmp(a->name, "as") || !strcmp(a->name, "key");
        for (int k = 0; a->name && k < f->input_count; k++)
            if (!strcmp(f->inputs[k].name, a->name))
                known = number = true;
        for (int k = 0; a->name && k < f->param_count; k++)
            if (!strcmp(f->params[k].name, a->name)) {
                known = true;
                number = wants_number(&f->params[k]);
            }
        if (!known)
            report_argument(w, a, f->name, f, names, count);
        walk(w, a->value, number);
    }
}

/* Counts alone, as the tracer does it: a step is given what came before. */
static void count_arguments(walker *w, const anl_builtin *b, const anl_expression *e)
{
    bool given[10] = {false};
    int loose = e->kind == ANL_E_STEP;
    const anl_argument *last = NULL;
    for (int i = 0; i < b->param_count; i++)
        if (b->params[i].kind == 'm')
            return;
    for (int i = 0; i < e->argument_count; i++) {
        int k = 0;
        while (e->arguments[i].name && k < b->param_count && strcmp(b->params[k].name, e->arguments[i].name))
            k++;
        if (!e->arguments[i].name) {
            loose++;
            last = &e->arguments[i];
        } else if (k < b->param_count) {
            given[k] = true;
        } else if (strcmp(e->arguments[i].name, "as") && strcmp(e->arguments[i].name, "key") && strcmp(b->family, "draw")) {
            return; /* it is unknown, which is said already */
        }
    }
    for (int k = 0; k < b->param_count; k++) {
        if (!given[k] && loose > 0) {
            given[k] = true;
            loose--;
        }
        if (given[k] || b->params[k].fallback || is_reported(w, e->span))
            continue;
        const bool over = !strcmp(b->params[k].name, "over");
        anl_diagnose(w->pass->diagnostics, over ? ANL_A_missing_over : ANL_A_missing_argument, e->span,
                     over ? "`%s` needs `over=`: the axes that it goes over" : "`%s` needs its argument `%s`", b->name, b->params[k].name);
    }
    if (loose > 0 && last && !is_reported(w, last->value->span))
        anl_diagnose(w->pass->diagnostics, ANL_A_unknown_argument, last->value->span, "`%s` takes at most %d arguments", b->name, b->param_count);
}

static void walk_operation(walker *w, const anl_builtin *b, const anl_expression *e)
{
    count_arguments(w, b, e);
    const char *names[10];
    bool free_names = !strcmp(b->family, "draw"); /* keywords are the author's axes */
    for (int i = 0; i < b->param_count; i++) {
        names[i] = b->params[i].name;
        free_names = free_names || b->params[i].kind == 'm';
    }
    for (int i = 0; i < e->argument_count; i++) {
        const anl_argument *a = &e->arguments[i];
        int k = a->name || e->kind == ANL_E_STEP ? 0 : i;
        while (a->name && k < b->param_count && strcmp(names[k], a->name))
            k++;
        if (a->name && k == b->param_count && !free_names)
            report_argument(w, a, b->name, NULL, names, b->param_count);
        const bool placed = k < b->param_count && (a->name || e->kind == ANL_E_CALL) && !free_names;
        walk(w, a->value, placed && strchr("vin", b->params[k].kind));
    }
}

/* if(condition, a, b), since(time), next(state) */
static void check_form(walker *w, const anl_expression *e, const char *name)
{
    const int wanted = strcmp(name, "if") ? 1 : 3;
    int count = e->kind == ANL_E_STEP;
    for (int i = 0; i < e->argument_count; i++) {
        if (!e->arguments[i].name) {
            count++;
        } else if (strcmp(e->arguments[i].name, "as")) {
            report_argument(w, &e->arguments[i], name, NULL, NULL, 0);
            return;
        }
    }
    if (count != wanted && !is_reported(w, e->span))
        anl_diagnose(w->pass->diagnostics, count < wanted ? ANL_A_missing_argument : ANL_A_unknown_argument, e->span,
                     "`%s` takes %d argument%s, and here are %d", name, wanted, wanted == 1 ? "" : "s", count);
}

/* A param, field, view or node of the spec, which cannot be called; a function's own names may stand for functions. */
static bool is_plain_value(const walker *w, const char *name)
{
    const anl_recipe *r = w->pass->recipe;
    if (w->function)
        return false;
    for (int i = 0; i < r->param_count; i++)
        if (!strcmp(r->params[i].name, name))
            return !r->params[i].type || strcmp(r->params[i].type, "function");
    for (int i = 0; i < r->node_count; i++)
        if (!strcmp(r->nodes[i].name, name))
            return true;
    for (int i = 0; i < r->view_count; i++)
        if (!strcmp(r->views[i].name, name))
            return true;
    return false;
}

static bool is_language(const char *word)
{
    static const char *const words[] = {"training", "step", "epoch", "length", "all", "space", "if", "since", "next", "repeat"};
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (!strcmp(words[i], word))
            return true;
    return false;
}

static bool is_own_param(const walker *w, const char *name)
{
    for (int i = 0; w->function && i < w->function->param_count; i++)
        if (!strcmp(w->function->params[i].name, name))
            return true;
    return false;
}

/* A path that is called like a word of the language, or like a param, whose value it does not take: mostly something else was to stand there. */
static void check_path(walker *w, const anl_argument *a)
{
    const anl_expression *e = a->value;
    if (!a->name || strcmp(a->name, "as") || (e->kind != ANL_E_NAME && e->kind != ANL_E_TEXT) || is_reported(w, e->span))
        return;
    const bool language = is_language(e->name);
    if (!language && (e->kind == ANL_E_TEXT || !is_own_param(w, e->name)))
        return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_hidden_name, e->span, "this path is called `%s`, which is %s", e->name,
                                     language ? "a word of the language" : "a param; it is the name that counts, not the value");
    anl_diagnostic_suggest(w->pass->diagnostics, d, "give it a name that says what it is");
}

static void walk_call(walker *w, const anl_expression *e, bool value)
{
    for (int i = 0; i < e->argument_count; i++)
        check_path(w, &e->arguments[i]);
    const anl_expression *callee = e->items[0];
    const char *name = callee->kind == ANL_E_NAME ? callee->name : NULL;
    const bool seen = name && is_seen(w, name); /* a module, or a value of a function's name */
    const bool plain = seen && is_plain_value(w, name);
    const anl_function *f = name && (!seen || plain) ? anl_recipe_function(w->pass->recipe, name) : NULL;
    const anl_builtin *b = name && (!seen || plain) && !f ? anl_builtin_find(name) : NULL;
    if (plain && !f && !b && !is_form(name) && !is_reported(w, callee->span))
        anl_diagnose(w->pass->diagnostics, ANL_A_type_mismatch, callee->span, "`%s` is a value, not a function or module", name);
    if (name && is_form(name) && !seen)
        check_form(w, e, name);
    if (f) {
        walk_function_call(w, f, e);
        return;
    }
    if (b) {
        walk_operation(w, b, e);
        return;
    }
    /* a library may leave functions to the spec that imports it */
    if (name && !seen && !is_form(name) && !is_given(name) && !w->pass->recipe->library && !is_reported(w, callee->span)) {
        anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_unknown_function, callee->span,
                                         "there is no function, module or operation called `%s`", name);
        const anl_recipe *r = w->pass->recipe;
        const char **names = ANL_NEW_ARRAY(w->pass->arena, const char *, r->function_count + NAMES);
        int count = 0;
        for (int i = 0; i < r->function_count; i++)
            names[count++] = r->functions[i]->name;
        for (int i = 0; anl_builtin_at(i) && count < r->function_count + NAMES; i++)
            names[count++] = anl_builtin_at(i)->name;
        suggest(w, d, callee->span, name, names, count);
    }
    const bool choice = name && !seen && !strcmp(name, "if");
    for (int i = 0; i < e->argument_count; i++)
        walk(w, e->arguments[i].value, choice && i > 0 && value);
}

/* The bare name of a function where only a number can stand. */
static void refuse_function(walker *w, const anl_expression *e)
{
    if (!e || e->kind != ANL_E_NAME || is_seen(w, e->name) || is_given(e->name) || is_reported(w, e->span))
        return;
    if (anl_recipe_function(w->pass->recipe, e->name) || anl_builtin_find(e->name))
        anl_diagnose(w->pass->diagnostics, ANL_A_type_mismatch, e->span, "a value is needed here, and `%s` is a function", e->name);
}

/* A slice of a state or field along an axis that it does not have. */
static void check_slice(walker *w, const anl_expression *e)
{
    const anl_recipe *r = w->pass->recipe;
    const anl_axis_pattern *axes = NULL;
    int count = 0;
    if (w->function || e->items[0]->kind != ANL_E_NAME || is_reported(w, e->slice_axis_span) || is_reported(w, e->span))
        return;
    for (int i = 0; i < r->state_count; i++)
        if (!strcmp(r->states[i].name, e->items[0]->name) && !r->states[i].like) {
            axes = r->states[i].axes;
            count = r->states[i].axis_count;
        }
    if (!axes)
        return;
    for (int i = 0; i < count; i++)
        if (axes[i].kind != ANL_P_AXIS || !strcmp(axes[i].name, e->slice_axis))
            return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_missing_axis, e->slice_axis_span, "`%s` has no axis `%s`", e->items[0]->name, e->slice_axis);
    anl_diagnostic_label(w->pass->diagnostics, d, axes[0].span, "its axes");
}

/* A counter that is called like a value: the steps see the counter. */
static void hide(walker *w, const anl_expression *repeat)
{
    const anl_recipe *r = w->pass->recipe;
    const char *file = w->function ? w->function->file : r->file;
    if (!is_seen(w, repeat->name) || w->full || !file || !r->file || strcmp(file, r->file))
        return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_hidden_name, repeat->slice_axis_span,
                                     "within these steps the counter hides the value `%s`", repeat->name);
    anl_diagnostic_suggest(w->pass->diagnostics, d, "give the counter a name of its own: `as: i`");
}

static void walk(walker *w, const anl_expression *e, bool value)
{
    if (!e)
        return;
    const int before = w->count;
    switch (e->kind) {
    case ANL_E_NAME:
        if (value && !is_seen(w, e->name) && !is_given(e->name) && !is_callable(w, e->name))
            report_name(w, e);
        return;
    case ANL_E_MEMBER:
        walk(w, e->items[0], true);
        return;
    case ANL_E_CALL:
    case ANL_E_STEP:
        walk_call(w, e, value);
        return;
    case ANL_E_OPERATOR: {
        const bool words = !strcmp(e->name, "equal") || !strcmp(e->name, "not_equal"); /* may be compared */
        for (int i = 0; i < e->item_count; i++) {
            walk(w, e->items[i], !words);
            if (!words)
                refuse_function(w, e->items[i]);
        }
        if (!strcmp(e->name, "negate") && e->items[0]->kind == ANL_E_DURATION && !is_reported(w, e->span))
            anl_diagnose(w->pass->diagnostics, ANL_A_out_of_range, e->span, "this duration is negative");
        return;
    }
    case ANL_E_SLICE:
        walk(w, e->items[0], true);
        walk(w, e->start, true);
        walk(w, e->stop, true);
        refuse_function(w, e->start);
        refuse_function(w, e->stop);
        check_slice(w, e);
        return;
    case ANL_E_REPEAT:
        walk(w, e->items[0], true);
        walk(w, e->items[2], true);
        if (e->name[0]) {
            hide(w, e);
            see(w, e->name);
        }
        walk(w, e->items[1], false);
        w->count = before;
        return;
    case ANL_E_PIPELINE: /* a bare step may be the value that begins it, or a function */
        for (int i = 0; i < e->item_count; i++)
            walk(w, e->items[i], i == 0 && e->items[i]->kind == ANL_E_NAME);
        return;
    case ANL_E_LIST:
        for (int i = 0; i < e->item_count; i++)
            walk(w, e->items[i], false);
        return;
    case ANL_E_MAPPING:
        for (int i = 0; i < e->argument_count; i++)
            walk(w, e->arguments[i].value, false);
        return;
    default:
        return;
    }
}

/* What else goes by the name of the rest of the axes; mostly that was to stand there. NULL: nothing. */
static const char *rest_like(const walker *w, const char *name)
{
    for (int i = 0; w->function && i < w->function->input_count; i++)
        if (!strcmp(w->function->inputs[i].name, name))
            return "an input";
    return is_language(name) ? "a word of the language" : anl_builtin_find(name) ? "an operation" : NULL;
}

/* A param whose default is a word of the language, which can be no value. */
static void check_default(walker *w, const anl_param *p)
{
    if (!p->value || p->value->kind != ANL_E_NAME || !is_language(p->value->name) || is_reported(w, p->value->span))
        return;
    anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_hidden_name, p->value->span, "the default of `%s` is `%s`, which is a word of the language", p->name,
                                     p->value->name);
    anl_text types = {0};
    for (const char *const *type = anl_param_keys.list[PARAM_TYPE].words; *type; type++)
        anl_text_printf(&types, "%s%s", types.length ? ", " : "", *type);
    anl_diagnostic_suggest(w->pass->diagnostics, d, "a value, or a type: %s", types.data);
    anl_text_free(&types);
}

static void see_axes(walker *w, const anl_axis_pattern *axes, int count)
{
    for (int i = 0; i < count; i++) {
        see(w, axes[i].name);
        const char *like = axes[i].kind == ANL_P_REST ? rest_like(w, axes[i].name) : NULL;
        if (!like || is_reported(w, axes[i].span))
            continue;
        anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_hidden_name, axes[i].span, "`...%s` is called like %s", axes[i].name, like);
        anl_diagnostic_suggest(w->pass->diagnostics, d, "call these axes `...rest`");
    }
}

static void walk_declarations(walker *w, const anl_declaration *list, int count)
{
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < list[i].axis_count; k++)
            walk(w, list[i].axes[k].size, true);
        walk(w, list[i].init, true);
        walk(w, list[i].update, true);
        walk(w, list[i].project, true);
    }
}

static bool holds_value(const anl_param *param)
{
    static const char *const words[] = {"axis", "axes", "text", "function", "any"};
    for (size_t i = 0; param->type && i < ANL_COUNT(words); i++)
        if (!strcmp(param->type, words[i]))
            return false;
    return true;
}

/* A default that draws: every call would share it, or draw nothing where it is overridden. */
static void find_draws(walker *w, const anl_expression *e, const anl_param *param)
{
    if (!e)
        return;
    if ((e->kind == ANL_E_CALL || e->kind == ANL_E_STEP) && e->items[0]->kind == ANL_E_NAME && !anl_recipe_function(w->pass->recipe, e->items[0]->name)) {
        const anl_builtin *b = anl_builtin_find(e->items[0]->name);
        if (b && !strcmp(b->family, "draw")) {
            anl_diagnostic *d = anl_diagnose(w->pass->diagnostics, ANL_A_random_default, e->span, "the default of `%s` is drawn at random", param->name);
            anl_diagnostic_suggest(w->pass->diagnostics, d, "draw in a node of the function, and give the param the numbers that the draw needs");
        }
    }
    for (int i = 0; i < e->item_count; i++)
        find_draws(w, e->items[i], param);
    for (int i = 0; i < e->argument_count; i++)
        find_draws(w, e->arguments[i].value, param);
}

static void walk_function(anl_lint_pass *pass, const anl_function *f)
{
    walker w = {.pass = pass, .function = f};
    for (int i = 0; i < f->input_count; i++) {
        see(&w, f->inputs[i].name);
        see_axes(&w, f->inputs[i].axes, f->inputs[i].axis_count);
    }
    for (int i = 0; i < f->param_count; i++)
        see(&w, f->params[i].name);
    for (int i = 0; i < f->declaration_count; i++)
        see(&w, f->declarations[i].name);
    for (int i = 0; i < f->node_count; i++)
        see(&w, f->nodes[i].name);
    for (int i = 0; i < f->param_count; i++) {
        check_default(&w, &f->params[i]);
        walk(&w, f->params[i].value, holds_value(&f->params[i]));
        find_draws(&w, f->params[i].value, &f->params[i]);
    }
    walk_declarations(&w, f->declarations, f->declaration_count);
    for (int i = 0; i < f->node_count; i++)
        walk(&w, f->nodes[i].value, true);
    for (int i = 0; i < f->member_count; i++)
        walk(&w, f->members[i].value, true);
    walk(&w, f->returns, true);
}

static void walk_spec(anl_lint_pass *pass)
{
    const anl_recipe *r = pass->recipe;
    walker w = {.pass = pass};
    for (int i = 0; i < r->param_count; i++) {
        check_default(&w, &r->params[i]);
        see(&w, r->params[i].name);
    }
    for (int i = 0; i < r->source_count; i++)
        for (int k = 0; k < r->sources[i].field_count; k++) {
            see(&w, r->sources[i].fields[k].name);
            if (r->sources[i].fields[k].mask)
                see(&w, r->sources[i].fields[k].mask);
        }
    for (int i = 0; i < r->view_count; i++)
        see(&w, r->views[i].name);
    for (int i = 0; i < r->module_count; i++)
        see(&w, r->modules[i].name);
    for (int i = 0; i < r->state_count; i++)
        see(&w, r->states[i].name);
    for (int i = 0; i < r->node_count; i++)
        see(&w, r->nodes[i].name);
    for (int i = 0; i < r->view_count; i++)
        walk(&w, r->views[i].value, true);
    for (int i = 0; i < r->module_count; i++)
        walk(&w, r->modules[i].value, false);
    walk_declarations(&w, r->states, r->state_count);
    for (int i = 0; i < r->node_count; i++)
        walk(&w, r->nodes[i].value, true);
    for (int i = 0; i < r->loss_count; i++) {
        walk(&w, r->losses[i].value, true);
        walk(&w, r->losses[i].weight, true);
    }
    for (int i = 0; i < r->rule_count; i++)
        walk(&w, r->rules[i].rule, false);
}

void anl_lint_untaken(anl_lint_pass *pass)
{
    walk_spec(pass);
    for (int i = 0; i < pass->recipe->function_count; i++)
        walk_function(pass, pass->recipe->functions[i]);
}
