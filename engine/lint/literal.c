/* Where numbers are set: names are followed as the tracer would, without evaluating anything.
 * In: the recipe's expressions. Out: places.
 * Asked only when there is a problem to report, so nothing is indexed. */
#include "lint/literal.h"

#include <string.h>

#include "lint/walk.h"

enum { DEPTH = 32, VISITS = 20000 };

/* ---- the expressions of a spec's top level, and of functions ---- */
static const anl_expression *top_expression(const anl_recipe *r, int index, bool *end)
{
    *end = false;
    if (index < r->view_count)
        return r->views[index].value;
    index -= r->view_count;
    if (index < r->node_count)
        return r->nodes[index].value;
    index -= r->node_count;
    if (index < 2 * r->loss_count)
        return index % 2 ? r->losses[index / 2].weight : r->losses[index / 2].value;
    index -= 2 * r->loss_count;
    if (index < 2 * r->module_count)
        return index % 2 ? r->modules[index / 2].update : r->modules[index / 2].value;
    index -= 2 * r->module_count;
    if (index < 2 * r->state_count)
        return index % 2 ? r->states[index / 2].update : r->states[index / 2].init;
    index -= 2 * r->state_count;
    if (index < r->rule_count)
        return r->rules[index].rule;
    *end = true;
    return NULL;
}

static const anl_expression *function_expression(const anl_function *f, int index, bool *end)
{
    *end = false;
    if (index < f->node_count)
        return f->nodes[index].value;
    index -= f->node_count;
    if (index < f->member_count)
        return f->members[index].value;
    index -= f->member_count;
    if (index < 3 * f->declaration_count) {
        const anl_declaration *d = &f->declarations[index / 3];
        return index % 3 == 0 ? d->init : index % 3 == 1 ? d->update : d->project;
    }
    *end = index > 3 * f->declaration_count;
    return *end ? NULL : f->returns;
}

/* The parts of an expression: items, arguments, bounds of a slice. */
static const anl_expression *part(const anl_expression *e, int index, bool *end)
{
    *end = false;
    if (index < e->item_count)
        return e->items[index];
    index -= e->item_count;
    if (index < e->argument_count)
        return e->arguments[index].value;
    index -= e->argument_count;
    *end = index > 1;
    return index == 0 ? e->start : index == 1 ? e->stop : NULL;
}

/* The outermost expression that begins at a place and is as long. */
static const anl_expression *find_at(const anl_expression *e, anl_span span, int depth)
{
    if (!e || depth > DEPTH)
        return NULL;
    if (anl_span_same(e->span, span) && e->span.length == span.length)
        return e;
    bool end;
    for (int i = 0;; i++) {
        const anl_expression *inner = part(e, i, &end);
        if (end)
            return NULL;
        inner = find_at(inner, span, depth + 1);
        if (inner)
            return inner;
    }
}

/* ---- names ---- */
static const anl_module *module_of(const anl_recipe *r, const char *name)
{
    for (int i = 0; i < r->module_count; i++)
        if (!strcmp(r->modules[i].name, name))
            return &r->modules[i];
    return NULL;
}

const anl_function *anl_reading_callee(const anl_recipe *recipe, const anl_expression *call, const anl_expression **bound)
{
    *bound = NULL;
    for (int i = 0; call && i < DEPTH; i++) {
        if (call->kind == ANL_E_CALL || call->kind == ANL_E_STEP)
            call = call->item_count ? call->items[0] : NULL;
        if (!call || call->kind != ANL_E_NAME)
            return NULL;
        const anl_module *m = module_of(recipe, call->name);
        if (m && m->copy)
            m = module_of(recipe, m->copy);
        if (!m)
            return anl_recipe_function(recipe, call->name);
        *bound = call = m->value;
    }
    return NULL;
}

/* The argument that a call gives to an input or param. */
static const anl_expression *argument_of(const anl_expression *call, const anl_function *f, const char *name)
{
    if (!call || (call->kind != ANL_E_CALL && call->kind != ANL_E_STEP))
        return NULL;
    bool named[64] = {0};
    const int count = f->input_count + f->param_count;
    for (int i = 0; i < call->argument_count; i++)
        for (int k = 0; call->arguments[i].name && k < count && k < 64; k++) {
            const char *slot = k < f->input_count ? f->inputs[k].name : f->params[k - f->input_count].name;
            if (strcmp(slot, call->arguments[i].name))
                continue;
            named[k] = true;
            if (!strcmp(slot, name))
                return call->arguments[i].value;
        }
    for (int i = 0, k = 0; i < call->argument_count; i++) {
        if (call->arguments[i].name)
            continue;
        while (k < count && k < 64 && named[k])
            k++;
        if (k >= count || k >= 64)
            return NULL;
        if (!strcmp(k < f->input_count ? f->inputs[k].name : f->params[k - f->input_count].name, name))
            return call->arguments[i].value;
        k++;
    }
    return NULL;
}

const anl_expression *anl_reading_name(const anl_recipe *recipe, const anl_reading *in, const char *name, const anl_reading **where)
{
    static const anl_reading top = {0};
    const anl_function *f = in ? in->function : NULL;
    *where = &top;
    if (!f) {
        for (int i = 0; i < recipe->param_count; i++)
            if (!strcmp(recipe->params[i].name, name))
                return recipe->params[i].value;
        for (int i = 0; i < recipe->node_count; i++)
            if (!strcmp(recipe->nodes[i].name, name))
                return recipe->nodes[i].value;
        for (int i = 0; i < recipe->view_count; i++)
            if (!strcmp(recipe->views[i].name, name))
                return recipe->views[i].value;
        return NULL;
    }
    for (int i = 0; i < f->node_count; i++)
        if (!strcmp(f->nodes[i].name, name)) {
            *where = in;
            return f->nodes[i].value;
        }
    const anl_expression *given = argument_of(in->call, f, name);
    *where = in->caller ? in->caller : &top;
    if (!given && in->bound) {
        *where = &top;
        given = argument_of(in->bound, f, name);
    }
    for (int i = 0; !given && i < f->param_count; i++)
        if (!strcmp(f->params[i].name, name)) {
            *where = in;
            return f->params[i].value;
        }
    return given;
}

/* ---- settings ---- */
static anl_literal follow(const anl_recipe *r, const anl_reading *in, const anl_expression *e)
{
    anl_literal s = {0};
    for (int i = 0; e && i < DEPTH; i++) {
        s.span = e->span;
        s.literal = e->kind == ANL_E_NUMBER || e->kind == ANL_E_DURATION;
        s.duration = e->kind == ANL_E_DURATION;
        s.number = e->number;
        if (e->kind != ANL_E_NAME)
            break;
        const anl_reading *where;
        const anl_expression *value = anl_reading_name(r, in, e->name, &where);
        if (!value || value == e)
            return (anl_literal){0};
        s.name = e->name;
        e = value;
        in = where;
    }
    return s;
}

anl_literal anl_literal_of(const anl_lint_pass *pass, const anl_expression *expression)
{
    return follow(pass->recipe, NULL, expression);
}

/* The number that an operator works with; other operands are values of the graph. */
static anl_literal operand(const anl_recipe *r, const anl_reading *in, const anl_expression *e)
{
    for (int k = e->item_count - 1; e->kind == ANL_E_OPERATOR && k >= 0; k--) {
        anl_literal s = follow(r, in, e->items[k]);
        if (s.literal)
            return s;
    }
    for (int i = 0; e->kind == ANL_E_CALL && i < e->argument_count; i++) { /* maximum(x, c) */
        anl_literal s = follow(r, in, e->arguments[i].value);
        if (s.literal)
            return s;
    }
    return (anl_literal){0};
}

static bool search_function(const anl_recipe *r, const anl_reading *in, anl_span span, int depth, int *visits, anl_literal *out);

/* Searches the calls of an expression for the function in whose body a place lies. */
static bool search_calls(const anl_recipe *r, const anl_reading *in, const anl_expression *e, anl_span span, int depth, int *visits,
                         anl_literal *out)
{
    if (!e || depth > DEPTH || ++*visits > VISITS)
        return false;
    if (e->kind == ANL_E_CALL || e->kind == ANL_E_STEP) {
        anl_reading inner = {.call = e, .caller = in};
        inner.function = anl_reading_callee(r, e, &inner.bound);
        if (inner.function && search_function(r, &inner, span, depth + 1, visits, out))
            return true;
    } else if (e->kind == ANL_E_NAME) { /* a step that is a bare name */
        anl_reading inner = {.call = e, .caller = in};
        inner.function = anl_reading_callee(r, e, &inner.bound);
        if (inner.function && search_function(r, &inner, span, depth + 1, visits, out))
            return true;
    }
    bool end = false;
    for (int i = 0; !end; i++) {
        const anl_expression *inner = part(e, i, &end);
        if (inner && search_calls(r, in, inner, span, depth + 1, visits, out))
            return true;
    }
    return false;
}

static bool search_function(const anl_recipe *r, const anl_reading *in, anl_span span, int depth, int *visits, anl_literal *out)
{
    bool end = false;
    for (int i = 0; !end; i++) {
        const anl_expression *e = function_expression(in->function, i, &end), *at = find_at(e, span, 0);
        if (at) {
            *out = operand(r, in, at);
            return true;
        }
    }
    end = false;
    for (int i = 0; !end; i++)
        if (search_calls(r, in, function_expression(in->function, i, &end), span, depth + 1, visits, out))
            return true;
    return false;
}

anl_literal anl_literal_of_operand(const anl_lint_pass *pass, const anl_node *node)
{
    const anl_recipe *r = pass->recipe;
    anl_literal s = {0};
    bool end = false;
    int visits = 0;
    for (int i = 0; !end; i++) {
        const anl_expression *e = top_expression(r, i, &end);
        const anl_expression *at = find_at(e, node->site.line ? node->site : node->span, 0);
        if (!at)
            continue;
        if (!node->site.line)
            return operand(r, NULL, at);
        if (search_calls(r, NULL, at, node->span, 0, &visits, &s))
            return s;
    }
    return s;
}

anl_literal anl_literal_of_size(const anl_lint_pass *pass, const anl_state *state, const char *axis)
{
    const anl_recipe *r = pass->recipe;
    const anl_declaration *declarations = r->states;
    int count = r->state_count;
    anl_reading in = {0};
    const char *name = strrchr(state->path, '.');
    name = name ? name + 1 : state->path;
    if (name != state->path) { /* a module's own; what lies deeper is left to its declaration */
        for (int i = 0; i < r->module_count && !in.function; i++) {
            size_t length = strlen(r->modules[i].name);
            if (!strncmp(r->modules[i].name, state->path, length) && state->path + length + 1 == name)
                in.function = anl_reading_callee(r, in.call = r->modules[i].value, &in.bound);
        }
        if (!in.function)
            return (anl_literal){0};
        declarations = in.function->declarations;
        count = in.function->declaration_count;
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < declarations[i].axis_count; k++) {
            const anl_axis_pattern *a = &declarations[i].axes[k];
            if (strcmp(declarations[i].name, name) || !a->size || !a->name)
                continue;
            const char *called = a->name; /* or a param that is an axis */
            const anl_reading *where;
            const anl_expression *value = in.function ? anl_reading_name(r, &in, a->name, &where) : NULL;
            if (value && value->kind == ANL_E_NAME)
                called = value->name;
            if (!strcmp(called, axis) || !strcmp(a->name, axis))
                return follow(r, &in, a->size);
        }
    return (anl_literal){0};
}

static const anl_expression *find_call(const anl_expression *e, const char *name, int depth)
{
    if (!e || depth > DEPTH)
        return NULL;
    if (e->kind == ANL_E_CALL && e->item_count && e->items[0]->kind == ANL_E_NAME && !strcmp(e->items[0]->name, name))
        return e;
    const anl_expression *found = NULL;
    bool end = false;
    for (int i = 0; !end && !found; i++)
        found = find_call(part(e, i, &end), name, depth + 1);
    return found;
}

anl_literal anl_literal_of_since(const anl_lint_pass *pass, anl_span span)
{
    bool end = false;
    for (int i = 0; !end; i++) {
        const anl_expression *e = top_expression(pass->recipe, i, &end);
        if (!e || !find_at(e, span, 0))
            continue;
        const anl_expression *call = find_call(e, "since", 0);
        if (call && call->argument_count)
            return follow(pass->recipe, NULL, call->arguments[0].value);
    }
    return (anl_literal){0};
}

void anl_literal_label(const anl_lint_pass *pass, anl_diagnostic *d, anl_literal setting)
{
    if (!d || !(setting.span.line || setting.span.file) || anl_span_same(setting.span, d->span))
        return;
    if (setting.name)
        anl_diagnostic_label(pass->diagnostics, d, setting.span, "`%s` is set here", setting.name);
    else
        anl_diagnostic_label(pass->diagnostics, d, setting.span, "set here");
}
