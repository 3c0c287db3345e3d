/* Expressions and pipelines: each kind of expression to its value.
 * In: an expression and the place where it stands. Out: a static value or a node; ANL_V_NONE after a diagnostic, which travels on
 * silently. Names are evaluated at first use, so the order of a file does not matter. */
#include <math.h>

#include "base/report.h"
#include "trace/tracer.h"

enum { MAX_DEPTH = 400 };

anl_value value_node_of(anl_node *node, anl_span span)
{
    anl_value v = {.kind = ANL_V_NODE, .span = span};
    v.node = node;
    if (!node)
        v.kind = ANL_V_NONE;
    return v;
}

static anl_value value_int(int64_t i, anl_span span)
{
    anl_value v = {.kind = ANL_V_INT, .span = span};
    v.integer = i;
    return v;
}

static anl_value value_number(double x, anl_span span)
{
    anl_value v = {.kind = ANL_V_NUMBER, .span = span};
    v.number = x;
    return v;
}

static anl_value value_bool(bool b, anl_span span)
{
    anl_value v = {.kind = ANL_V_BOOL, .span = span};
    v.truth = b;
    return v;
}

static anl_value value_axis(int32_t axis, anl_span span)
{
    anl_value v = {.kind = ANL_V_AXIS, .span = span};
    v.axis = axis;
    return v;
}

anl_context context_at(tracer *t, place *p, anl_span span)
{
    t->graph->span = span;
    t->graph->path = p ? p->draws : "";
    t->graph->owner = p ? p->owner : NULL;
    anl_context c = {.graph = t->graph, .diagnostics = t->diagnostics, .span = span, .batch_axis = -1};
    return c;
}

/* Durations are counts with a unit; in arithmetic they are steps. Epochs become a factor of the per-step scalar, so that the
 * graph does not depend on the size of the data set. */
anl_value plain(tracer *t, place *p, anl_value v)
{
    if (v.kind != ANL_V_DURATION)
        return v;
    if (!v.duration.epochs || v.duration.count == 0)
        return value_number(v.duration.count, v.span);
    context_at(t, p, v.span);
    return value_node_of(
        anl_g_binary(t->graph, ANL_S_MUL, anl_g_const(t->graph, ANL_F32, v.duration.count), anl_g_step(t->graph, 1)), v.span);
}

bool needs_number(tracer *t, const anl_value *v, anl_span span, const char *what)
{
    if (v->kind != ANL_V_BOOL && v->kind != ANL_V_DURATION)
        return v->kind != ANL_V_NONE;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, v->kind == ANL_V_BOOL ? ANL_A_type_mismatch : ANL_A_bad_unit, span,
                                     "%s must be a number or a tensor, and this is %s", what, anl_value_kind_text(v));
    if (v->span.line && v->span.line != span.line)
        anl_diagnostic_label(t->diagnostics, d, v->span, "it comes from here");
    return false;
}

/* Made of the step alone. A chain that is longer than any schedule is not looked through to its end. */
static bool is_schedule(const anl_node *node, int *budget)
{
    if (node->op == ANL_OP_STEP || node->op == ANL_OP_CONST || --*budget < 0)
        return true;
    if (node->op != ANL_OP_SCALAR || node->rank)
        return false;
    switch (node->attrs.scalar) { /* the sine of a step is no step */
    case ANL_S_EXP:
    case ANL_S_LOG:
    case ANL_S_SQRT:
    case ANL_S_RSQRT:
    case ANL_S_TANH:
    case ANL_S_ERF:
    case ANL_S_SIN:
    case ANL_S_COS:
    case ANL_S_POW:
        return false;
    default:
        break;
    }
    for (int i = 0; i < node->input_count; i++)
        if (!is_schedule(node->inputs[i], budget))
            return false;
    return true;
}

bool counts_steps(const anl_value *v)
{
    int budget = 1000;
    return v->kind != ANL_V_NODE || is_schedule(v->node, &budget);
}

bool no_duration(tracer *t, const anl_value *duration, const anl_value *with, const char *operation, anl_span use)
{
    anl_diagnostic *d = with ? anl_diagnose(t->diagnostics, ANL_A_bad_unit, use,
                                            "`%s` of a duration and %s: only what counts steps can be combined with one", operation,
                                            anl_value_kind_text(with))
                             : anl_diagnose(t->diagnostics, ANL_A_bad_unit, use, "`%s` takes no durations", operation);
    if (duration->span.line && (duration->span.line != use.line || duration->span.file != use.file))
        anl_diagnostic_label(t->diagnostics, d, duration->span, "the duration comes from here");
    anl_diagnostic_note(t->diagnostics, d, "durations belong in schedules, beside `step`, `length` and other durations");
    return false;
}

anl_value value_used(anl_value v, anl_span use)
{
    if (v.kind != ANL_V_NODE && v.kind != ANL_V_NONE)
        v.span = use;
    return v;
}

/* Problems since `first` at the use of a value that was written elsewhere. */
void label_origins(tracer *t, int first, const anl_value *origins, const anl_value *used, int count)
{
    for (int i = first; i < anl_diagnostics_count(t->diagnostics); i++) {
        anl_diagnostic *d = anl_diagnostics_added(t->diagnostics, i);
        for (int k = 0; k < count; k++) {
            anl_span from = origins[k].span, use = used[k].span;
            if (from.line && d->span.line == use.line && d->span.column == use.column && d->span.file && use.file &&
                anl_same(d->span.file, use.file) && (from.file != use.file || from.line != use.line))
                anl_diagnostic_label(t->diagnostics, d, from, "it comes from here");
        }
    }
}

bool static_steps(tracer *t, const anl_value *v, double *out)
{
    switch (v->kind) {
    case ANL_V_DURATION:
        *out = v->duration.epochs ? v->duration.count * t->epoch_steps : v->duration.count;
        return true;
    case ANL_V_INT:
        if (v->integer == 0) {
            *out = 0;
            return true;
        }
        break;
    default:
        break;
    }
    if (v->kind != ANL_V_NONE) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_bad_unit, v->span, "a duration is needed here, and this is %s",
                                         anl_value_kind_text(v));
        anl_diagnostic_note(t->diagnostics, d, "durations carry a unit: 313it (steps) or 10ep (epochs)");
    }
    return false;
}

/* A time that the training does not reach. Steps and epochs are not compared: how many steps an epoch has is not known here. */
void warn_after_the_end(tracer *t, const anl_value *v, anl_span span, const char *what)
{
    const anl_expression *length = t->recipe->train_length;
    if (!length || t->options->mode != ANL_TRACE_TRAIN || v->kind != ANL_V_DURATION || v->duration.count <= 0)
        return;
    anl_value whole = evaluate(t, t->top->place, length, WANT_VALUE);
    if (whole.kind != ANL_V_DURATION || whole.duration.epochs != v->duration.epochs || v->duration.count < whole.duration.count)
        return;
    const char *unit = v->duration.epochs ? "ep" : "it";
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_after_the_end, span, "%s at %g%s, and the training ends at %g%s", what, v->duration.count, unit,
                                     whole.duration.count, unit);
    anl_diagnostic_label(t->diagnostics, d, length->span, "its length");
}

bool boundary_at(tracer *t, double steps, anl_boundary kind)
{
    if (steps > 0) {
        int i = 0;
        while (i < t->boundary_count && t->boundaries[i] < steps)
            i++;
        if (i == t->boundary_count || t->boundaries[i] != steps) {
            ANL_PUSH(t->arena, t->boundaries, t->boundary_count, t->boundary_capacity, steps);
            ANL_PUSH(t->arena, t->boundary_kinds, t->boundary_kind_count, t->boundary_kind_capacity, kind);
            memmove(t->boundaries + i + 1, t->boundaries + i, sizeof(double) * (size_t)(t->boundary_count - 1 - i));
            memmove(t->boundary_kinds + i + 1, t->boundary_kinds + i, sizeof(anl_boundary) * (size_t)(t->boundary_count - 1 - i));
            t->boundaries[i] = steps;
            t->boundary_kinds[i] = kind;
        } else if (t->boundary_kinds[i] < kind) {
            t->boundary_kinds[i] = kind;
        }
    }
    return steps <= (double)t->phase_step;
}

anl_node *node_of(tracer *t, place *p, const anl_value *v, anl_span span)
{
    anl_value u = plain(t, p, *v);
    if (u.kind == ANL_V_NONE)
        return NULL;
    if (u.kind == ANL_V_NODE)
        return u.node;
    anl_context c = context_at(t, p, span);
    return anl_value_node(&c, &u, u.kind == ANL_V_BOOL ? ANL_BOOL : ANL_F32);
}

const char *what_it_is(tracer *t, const anl_value *v)
{
    return v->kind == ANL_V_NODE ? anl_arena_printf(t->arena, "%s that is computed", anl_value_kind_text(v)) : anl_value_kind_text(v);
}

bool static_bool(tracer *t, place *p, const anl_expression *e, const char *what, bool *out)
{
    anl_value v = evaluate(t, p, e, WANT_VALUE);
    if (v.kind == ANL_V_BOOL) {
        *out = v.truth;
        return true;
    }
    if (v.kind == ANL_V_NODE) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_not_static, e->span, "%s must be known when compiling, and this is %s",
                                         what, what_it_is(t, &v));
        anl_diagnostic_note(t->diagnostics, d, "to choose element by element, use where(condition, a, b)");
    } else if (v.kind != ANL_V_NONE)
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "%s must be true or false, and this is %s", what, what_it_is(t, &v));
    return false;
}

/* ---- params ---- */
static const char *param_type(const anl_param *param)
{
    if (param->type)
        return param->type;
    const anl_expression *e = param->value;
    switch (e ? e->kind : ANL_E_ERROR) {
    case ANL_E_NUMBER:
        return e->integer ? "int" : "number";
    case ANL_E_DURATION:
        return "duration";
    case ANL_E_BOOL:
        return "bool";
    case ANL_E_TEXT:
        return "text";
    case ANL_E_LIST:
        return "list";
    case ANL_E_OPERATOR: /* -1 */
        if (e->item_count == 1 && e->items[0]->kind == ANL_E_NUMBER)
            return e->items[0]->integer ? "int" : "number";
        return "any";
    default:
        return "any";
    }
}

want param_want(const anl_param *param)
{
    const char *type = param_type(param);
    if (anl_same(type, "axis") || anl_same(type, "axes"))
        return WANT_AXES;
    if (anl_same(type, "text"))
        return WANT_WORD;
    return WANT_VALUE;
}

void label_origin(tracer *t, anl_diagnostic *d, const anl_value *v)
{
    if (d && v->origin.line && !anl_span_same(v->origin, d->span))
        anl_diagnostic_label(t->diagnostics, d, v->origin, "set here");
}

static bool in_range(tracer *t, const anl_param *param, const anl_value *v, double x)
{
    const anl_expression *bounds[2] = {param->low, param->high};
    for (int i = 0; i < 2; i++) {
        if (!bounds[i])
            continue;
        anl_value b = evaluate(t, t->top->place, bounds[i], WANT_VALUE);
        double limit;
        if (b.kind == ANL_V_INT)
            limit = (double)b.integer;
        else if (b.kind == ANL_V_NUMBER)
            limit = b.number;
        else if (b.kind == ANL_V_DURATION)
            limit = b.duration.count;
        else
            continue;
        if (i ? x > limit : x < limit) {
            if (reported(t, ANL_A_out_of_range, v->span) || (param->value && reported(t, ANL_A_out_of_range, param->value_span)))
                return false;
            anl_diagnostic *d =
                anl_diagnose(t->diagnostics, ANL_A_out_of_range, v->span, "%s = %g is out of range: %s %g%s%s", param->name, x,
                             i ? "at most" : "at least", limit, param->unit ? " " : "", param->unit ? param->unit : "");
            label_origin(t, d, v);
            anl_diagnostic_label(t->diagnostics, d, bounds[i]->span, "the range is given here");
            return false;
        }
    }
    return true;
}

static anl_value bad_param(tracer *t, const anl_param *param, const anl_value *v, anl_span span, const char *of,
                           const char *wanted)
{
    const bool computed = v->kind == ANL_V_NODE; /* perhaps of the right type, but too late */
    const anl_code code = computed ? ANL_A_not_static : ANL_A_type_mismatch;
    if (reported(t, code, span))
        return no_value;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, code, span, "`%s`%s%s must be %s%s, and this is %s", param->name, *of ? " of " : "",
                                     of, wanted, computed ? " that is known when compiling" : "", what_it_is(t, v));
    anl_diagnostic_label(t->diagnostics, d, param->span, "declared here");
    label_origin(t, d, v);
    if (!param->type && anl_same(wanted, "a whole number"))
        anl_diagnostic_note(t->diagnostics, d,
                            "its type is that of its default; a default of 1.0 instead of 1 would allow fractions");
    return no_value;
}

static anl_value bad_unit(tracer *t, const anl_param *param, const anl_value *v, anl_span span, const char *of, const char *wanted)
{
    if (reported(t, ANL_A_bad_unit, span))
        return no_value;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_bad_unit, span, "`%s`%s%s is %s, and this is %s", param->name,
                                     *of ? " of " : "", of, wanted, anl_value_kind_text(v));
    anl_diagnostic_label(t->diagnostics, d, param->span, "declared here");
    anl_diagnostic_note(t->diagnostics, d, "durations carry a unit: 313it (steps) or 10ep (epochs)");
    return no_value;
}

/* A list of numbers stays one: `area: [0.3, 1.0]`. */
static bool numbers_in_list(const anl_expression *e)
{
    bool numbers = e && e->kind == ANL_E_LIST && e->item_count;
    for (int i = 0; numbers && i < e->item_count; i++) {
        const anl_expression *item = e->items[i];
        numbers = item->kind == ANL_E_NUMBER || (item->kind == ANL_E_OPERATOR && item->item_count == 1 && item->items[0]->kind == ANL_E_NUMBER);
    }
    return numbers;
}

anl_value check_param(tracer *t, const anl_param *param, anl_value v, anl_span span, const char *of)
{
    const char *type = param_type(param);
    if (v.kind == ANL_V_NONE)
        return v;
    if (anl_same(type, "int")) {
        if (v.kind != ANL_V_INT)
            return bad_param(t, param, &v, span, of, "a whole number");
        return in_range(t, param, &v, (double)v.integer) ? v : no_value;
    }
    if (anl_same(type, "number")) {
        if (v.kind == ANL_V_NODE)
            return v;
        if (v.kind == ANL_V_DURATION)
            return bad_unit(t, param, &v, span, of, "a number");
        if (v.kind != ANL_V_INT && v.kind != ANL_V_NUMBER)
            return bad_param(t, param, &v, span, of, "a number");
        return in_range(t, param, &v, v.kind == ANL_V_INT ? (double)v.integer : v.number) ? v : no_value;
    }
    if (anl_same(type, "bool"))
        return v.kind == ANL_V_BOOL ? v : bad_param(t, param, &v, span, of, "true or false");
    if (anl_same(type, "text"))
        return v.kind == ANL_V_TEXT ? v : bad_param(t, param, &v, span, of, "a text");
    if (anl_same(type, "list")) {
        if (v.kind != ANL_V_LIST)
            return bad_param(t, param, &v, span, of, "a list");
        for (int i = 0; numbers_in_list(param->value) && i < v.list.count; i++) {
            const anl_value *item = &v.list.items[i];
            if (item->kind != ANL_V_INT && item->kind != ANL_V_NUMBER && item->kind != ANL_V_NODE)
                return bad_param(t, param, item, item->span.line ? item->span : span, of, "a list of numbers");
        }
        if (*of && numbers_in_list(param->value) && v.list.count != param->value->item_count && !reported(t, ANL_A_list_length, span)) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_list_length, span, "`%s` of %s is a list of %d numbers, and here are %d", param->name, of,
                                             param->value->item_count, v.list.count);
            anl_diagnostic_label(t->diagnostics, d, param->value->span, "its default");
        }
        return v;
    }
    if (anl_same(type, "duration")) {
        if (v.kind == ANL_V_INT && v.integer == 0) {
            v.kind = ANL_V_DURATION;
            v.duration.count = 0;
            v.duration.epochs = false;
        }
        if (v.kind != ANL_V_DURATION)
            return bad_unit(t, param, &v, span, of, "a duration");
        return in_range(t, param, &v, v.duration.count) ? v : no_value;
    }
    if (anl_same(type, "axis")) {
        if (v.kind == ANL_V_LIST && v.list.count == 1)
            v = v.list.items[0];
        return v.kind == ANL_V_AXIS ? v : bad_param(t, param, &v, span, of, "an axis");
    }
    if (anl_same(type, "axes")) {
        if (v.kind == ANL_V_AXIS) {
            anl_value list = {.kind = ANL_V_LIST, .span = v.span};
            list.list.items = ANL_NEW(t->arena, anl_value);
            list.list.items[0] = v;
            list.list.count = 1;
            return list;
        }
        return v.kind == ANL_V_LIST ? v : bad_param(t, param, &v, span, of, "a list of axes");
    }
    if (anl_same(type, "function"))
        return v.kind == ANL_V_FUNCTION ? v : bad_param(t, param, &v, span, of, "a function");
    return v; /* any */
}

anl_value param_value(tracer *t, place *p, const anl_param *param)
{
    if (!param->value) {
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_missing_argument, param->span, "the param `%s` has no value", param->name);
        anl_diagnostic_suggest(t->diagnostics, d, "give it a default, or --set %s=…", param->name);
        return no_value;
    }
    return check_param(t, param, evaluate(t, p, param->value, param_want(param)),
                       param->value_span.line || param->value_span.file ? param->value_span : param->value->span, "");
}

/* ---- names ---- */
static void report_cycle(tracer *t, entry *n, anl_span use)
{
    int first = t->running_count - 1;
    while (first > 0 && t->running[first] != n)
        first--;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_cycle, n->span, "`%s` is defined by way of itself", n->name);
    for (int i = first + 1; i < t->running_count; i++)
        anl_diagnostic_label(t->diagnostics, d, t->running[i]->span, "`%s` needs `%s`", t->running[i - 1]->name,
                             t->running[i]->name);
    anl_diagnostic_label(t->diagnostics, d, use, "`%s` needs `%s`", t->running[t->running_count - 1]->name, n->name);
    anl_diagnostic_note(t->diagnostics, d, "a value of the step before is a `state:`");
}

static anl_value field_value(tracer *t, entry *n)
{
    const anl_field_declaration *f = n->field;
    if (f->axis_count + 1 > ANL_MAX_AXES)
        return no_value;
    anl_axis axes[ANL_MAX_AXES];
    anl_span written[ANL_MAX_AXES];
    int rank = 0;
    entry *batch = scope_find(t->top->scope, "batch");
    anl_value size = batch ? entry_value(t, batch, f->span) : no_value;
    if (!batch) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_missing_key, f->span, "the spec has data but no param `batch`");
        anl_diagnostic_suggest(t->diagnostics, d, "add `batch: {default: 64, range: [2, 8192], unit: images}` to params");
    }
    if (size.kind != ANL_V_INT && size.kind != ANL_V_NONE) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, size.span,
                                         "`batch` must be a whole number, and this is %s", anl_value_kind_text(&size));
        label_origin(t, d, &size);
    }
    if (size.kind != ANL_V_INT)
        return no_value;
    if (size.integer < 1 || size.integer > 1 << 20) {
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_out_of_range, size.span, "batch = %lld is out of range", (long long)size.integer);
        label_origin(t, d, &size);
        return no_value;
    }
    axes[rank++] = (anl_axis){anl_graph_axis(t->graph, "batch"), (int32_t)size.integer};
    for (int i = 0; i < f->axis_count; i++) {
        const anl_axis_pattern *a = &f->axes[i];
        if (!a->size)
            return no_value;
        anl_value s = evaluate(t, t->top->place, a->size, WANT_VALUE);
        if (s.kind == ANL_V_NONE)
            return no_value;
        if (s.kind != ANL_V_INT || s.integer < 1 || s.integer > 1 << 24) {
            anl_diagnose(t->diagnostics, s.kind == ANL_V_INT ? ANL_A_out_of_range : ANL_A_type_mismatch, a->span,
                         "the size of axis `%s` must be a whole number of at least 1", a->name);
            return no_value;
        }
        written[i] = s.origin;
        axes[rank++] = (anl_axis){anl_graph_axis(t->graph, a->name), (int32_t)s.integer};
    }
    context_at(t, t->top->place, n->span);
    t->graph->path = t->graph->owner = n->name;
    anl_node *node = anl_graph_node(t->graph, ANL_OP_FIELD, ANL_F32, 0, NULL);
    node->rank = rank;
    memcpy(node->axes, axes, sizeof *axes * (size_t)rank);
    node->attrs.name = n->mask ? anl_arena_printf(t->arena, "%s:mask", f->name) : f->name;
    anl_graph_size_written(t->graph, node, axes[0].id, size.origin);
    for (int i = 0; i < f->axis_count; i++)
        anl_graph_size_written(t->graph, node, axes[i + 1].id, written[i]);
    return value_node_of(n->mask ? anl_g_cast(t->graph, ANL_BOOL, node) : node, n->span);
}

static anl_value module_value(tracer *t, entry *n)
{
    const anl_module *m = n->module;
    callable *c = NULL;
    if (m->copy) {
        entry *source = scope_find(t->top->scope, m->copy);
        if (!source || source->kind != ENTRY_MODULE) {
            const char *names[256];
            int count = 0;
            for (int i = 0; i < t->recipe->module_count && count < 256; i++)
                if (&t->recipe->modules[i] != m)
                    names[count++] = t->recipe->modules[i].name;
            anl_diagnostic *d =
                anl_diagnose(t->diagnostics, ANL_A_unknown_name, m->copy_span, "there is no module `%s` to copy", m->copy);
            anl_diagnostic_nearest(t->diagnostics, d, m->copy_span, m->copy, names, count, false);
            return no_value;
        }
        anl_value v = entry_value(t, source, m->copy_span);
        callable *of = callable_of(&v);
        if (!of)
            return no_value;
        c = ANL_NEW(t->arena, callable);
        *c = *of;
        c->module = m;
        c->source = of->source ? of->source : of->module;
        c->name = m->name;
        c->span = n->span;
    } else {
        callable *of = bind_partly(t, t->top->place, m->value);
        if (!of)
            return no_value;
        if (of->module || of->builtin) {
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, m->value->span,
                         "a module is a function with its weights, and `%s` is %s", of->name,
                         of->module ? "a module already" : "an operation");
            return no_value;
        }
        c = of;
        c->module = m;
        c->name = m->name;
    }
    anl_value v = {.kind = ANL_V_FUNCTION, .span = n->span};
    v.function = c;
    return v;
}

anl_value entry_value(tracer *t, entry *n, anl_span use)
{
    if (n->progress == DONE)
        return n->value;
    if (n->kind == ENTRY_VALUE) {
        n->progress = DONE;
        return n->value;
    }
    if (n->progress == RUNNING) {
        report_cycle(t, n, use);
        n->value = no_value;
        return no_value;
    }
    n->progress = RUNNING;
    ANL_PUSH(t->arena, t->running, t->running_count, t->running_capacity, n);
    anl_value v = no_value;
    const int before = t->graph->node_count;
    const double elsewhere = t->elsewhere;
    switch (n->kind) {
    case ENTRY_VALUE:
        v = n->value;
        break;
    case ENTRY_EXPRESSION:
        v = evaluate(t, n->where, n->expression, WANT_VALUE);
        break;
    case ENTRY_PARAM:
        v = param_value(t, n->where, n->param);
        break;
    case ENTRY_STATE:
        v = state_value(t, n);
        break;
    case ENTRY_FIELD:
        v = field_value(t, n);
        break;
    case ENTRY_MODULE:
        v = module_value(t, n);
        break;
    case ENTRY_GRADIENT_NORM:
        v = value_node_of(t->gradient_norm, use);
        break;
    case ENTRY_SOURCE_VALUE:
        break;
    }
    t->running_count--;
    n->value = v;
    n->progress = DONE;
    if (t->witness) {
        const double all = flops_of(t, before);
        witness_value(t, n->span, &v, n->where ? n->where->draws : "", all - (t->elsewhere - elsewhere));
        t->elsewhere = elsewhere + all;
    }
    return v;
}

/* An axis by the name written here: an axis param of the function, or the axis of that name. */
int32_t axis_named(tracer *t, place *p, const char *name)
{
    entry *n = p ? scope_find(p->scope, name) : NULL;
    if (n && ((n->kind == ENTRY_VALUE && n->value.kind == ANL_V_AXIS) ||
              (n->kind == ENTRY_PARAM && param_want(n->param) == WANT_AXES))) {
        anl_value v = entry_value(t, n, n->span);
        if (v.kind == ANL_V_AXIS)
            return v.axis;
    }
    return anl_graph_axis(t->graph, name);
}

static bool is_axis_list(const anl_value *v)
{
    if (v->kind == ANL_V_AXIS)
        return true;
    if (v->kind != ANL_V_LIST)
        return false;
    for (int i = 0; i < v->list.count; i++)
        if (v->list.items[i].kind != ANL_V_AXIS)
            return false;
    return true;
}

static const char *suggest_name(tracer *t, place *p, anl_diagnostic *d, const anl_expression *e)
{
    const char *names[2048];
    int count = 0;
    for (const scope *s = p->scope; s; s = s->parent)
        for (int i = 0; i < s->count && count < 2000; i++)
            names[count++] = s->entries[i]->name;
    static const char *const own[] = {"training", "step", "epoch", "length", "if", "next", "since"};
    for (size_t i = 0; i < ANL_COUNT(own); i++)
        names[count++] = own[i];
    return anl_diagnostic_nearest(t->diagnostics, d, e->span, e->name, names, count, false);
}

static anl_value evaluate_name(tracer *t, place *p, const anl_expression *e, want w)
{
    entry *n = scope_find(p->scope, e->name);
    if (w == WANT_AXES) {
        if (n && (n->kind == ENTRY_VALUE || n->kind == ENTRY_PARAM)) {
            if (n->kind == ENTRY_VALUE ? is_axis_list(&n->value) : param_want(n->param) == WANT_AXES || !n->param->type) {
                anl_value v = entry_value(t, n, e->span);
                if (is_axis_list(&v) || (v.kind == ANL_V_NONE && n->kind == ENTRY_PARAM && param_want(n->param) == WANT_AXES)) {
                    v.span = e->span;
                    return v;
                }
            }
        }
        if (anl_same(e->name, "all")) {
            anl_diagnose(t->diagnostics, ANL_A_unknown_axis, e->span,
                         "`all` means the visible axes of the value that an operation works on; there is none here");
            return no_value;
        }
        return value_axis(anl_graph_axis(t->graph, e->name), e->span);
    }
    if (n) {
        anl_value v = entry_value(t, n, e->span);
        if (v.kind != ANL_V_NODE) /* nodes keep the place that made them */
            v.span = n->kind == ENTRY_PARAM && n->param->value && anl_same(n->param->name, e->name) ? v.span : e->span;
        return v;
    }
    context_at(t, p, e->span);
    if (anl_same(e->name, "training"))
        return value_bool(t->training, e->span);
    if (anl_same(e->name, "step"))
        return value_node_of(anl_g_step(t->graph, 0), e->span);
    if (anl_same(e->name, "epoch"))
        return value_node_of(anl_g_binary(t->graph, ANL_S_DIV, anl_g_step(t->graph, 0), anl_g_step(t->graph, 1)), e->span);
    if (anl_same(e->name, "length"))
        return value_node_of(anl_g_step(t->graph, 2), e->span);
    if (w == WANT_WORD) {
        anl_value v = {.kind = ANL_V_TEXT, .span = e->span};
        v.text = e->name;
        return v;
    }
    const anl_function *f = anl_recipe_function(t->recipe, e->name);
    const anl_builtin *b = f ? NULL : anl_builtin_find(e->name);
    if (f || b) {
        callable *c = ANL_NEW(t->arena, callable);
        c->function = f;
        c->builtin = b;
        c->name = e->name;
        c->span = e->span;
        anl_value v = {.kind = ANL_V_FUNCTION, .span = e->span};
        v.function = c;
        return v;
    }
    anl_diagnostic *d = NULL;
    if (anl_trap_name(t->diagnostics, e->span, e->name))
        return no_value;
    if (anl_same(e->name, "_"))
        d = anl_diagnose(t->diagnostics, ANL_A_unknown_name, e->span,
                         "`_` is the value so far of a pipeline, and there is none here");
    else
        d = anl_diagnose(t->diagnostics, ANL_A_unknown_name, e->span, "there is no value called `%s` here", e->name);
    if (!suggest_name(t, p, d, e) && p->frame != t->top && scope_find(t->top->scope, e->name))
        anl_diagnostic_note(t->diagnostics, d, "a function sees its own inputs and params only: pass `%s` as an argument",
                            e->name);
    return no_value;
}

/* ---- members, slices, operators ---- */
static void suggest_axis(tracer *t, place *p, anl_diagnostic *d, anl_span span, const char *name, const anl_node *node)
{
    const char *names[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < node->rank; i++)
        if (axis_visible(t, p->frame, node->axes[i].id))
            names[count++] = anl_graph_axis_name(t->graph, node->axes[i].id);
    anl_diagnostic_nearest(t->diagnostics, d, span, name, names, count, false);
}

static anl_value evaluate_member(tracer *t, place *p, const anl_expression *e)
{
    anl_value v = evaluate(t, p, e->items[0], WANT_VALUE);
    const char *name = e->name;
    switch (v.kind) {
    case ANL_V_NONE:
        return v;
    case ANL_V_MAPPING: {
        for (int i = 0; i < v.mapping.count; i++)
            if (anl_same(v.mapping.names[i], name))
                return v.mapping.items[i];
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_member, e->span, "this result has no member `%s`", name);
        anl_diagnostic_nearest(t->diagnostics, d, e->span, name, v.mapping.names, v.mapping.count, false);
        anl_text list = {0};
        for (int i = 0; i < v.mapping.count; i++)
            anl_text_printf(&list, "%s%s", i ? ", " : "", v.mapping.names[i]);
        anl_diagnostic_note(t->diagnostics, d, "it has: %s", list.data ? list.data : "nothing");
        anl_text_free(&list);
        return no_value;
    }
    case ANL_V_LIST:
        if (anl_same(name, "count"))
            return value_int(v.list.count, e->span);
        if ((anl_same(name, "first") || anl_same(name, "last")) && v.list.count)
            return v.list.items[name[0] == 'f' ? 0 : v.list.count - 1];
        anl_diagnose(t->diagnostics, ANL_A_unknown_member, e->span, "%s has no `%s`; it has first, last and count",
                     v.list.count ? "a list" : "an empty list", name);
        return no_value;
    case ANL_V_NODE: {
        int32_t axis = axis_named(t, p, name);
        if (anl_node_axis(v.node, axis) >= 0) {
            anl_value size = value_int(anl_node_size(v.node, axis), e->span);
            size.origin = anl_node_axis_origin(v.node, axis);
            return size;
        }
        if (anl_same(name, "axes")) {
            anl_value list = {.kind = ANL_V_LIST, .span = e->span};
            list.list.items = ANL_NEW_ARRAY(t->arena, anl_value, v.node->rank + 1);
            for (int i = 0; i < v.node->rank; i++)
                if (axis_visible(t, p->frame, v.node->axes[i].id))
                    list.list.items[list.list.count++] = value_axis(v.node->axes[i].id, e->span);
            return list;
        }
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_missing_axis, e->span,
                                         "this value has no axis `%s`; its axes are %s", name, axes_of(t, v.node));
        suggest_axis(t, p, d, e->span, name, v.node);
        anl_diagnostic_label(t->diagnostics, d, v.node->span, "the value comes from here");
        return no_value;
    }
    default:
        anl_diagnose(t->diagnostics, ANL_A_unknown_member, e->span, "`.%s` asks for an axis' size or a member, and this is %s",
                     name, anl_value_kind_text(&v));
        return no_value;
    }
}

static bool static_index(tracer *t, place *p, const anl_expression *e, int64_t size, int64_t *out)
{
    anl_value v = evaluate(t, p, e, WANT_VALUE);
    if (v.kind == ANL_V_INT) {
        *out = v.integer < 0 ? v.integer + size : v.integer;
        return true;
    }
    if (v.kind != ANL_V_NONE) {
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, v.kind == ANL_V_NODE ? ANL_A_not_static : ANL_A_type_mismatch, e->span,
                         "a slice needs whole numbers known when compiling, and this is %s", what_it_is(t, &v));
        if (v.kind == ANL_V_NODE)
            anl_diagnostic_note(t->diagnostics, d, "use gather for positions that are computed");
    }
    return false;
}

static anl_value evaluate_slice(tracer *t, place *p, const anl_expression *e)
{
    anl_value v = evaluate(t, p, e->items[0], WANT_VALUE);
    if (v.kind == ANL_V_NONE)
        return v;
    if (v.kind != ANL_V_NODE) {
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "only a value with axes can be sliced, and this is %s",
                     anl_value_kind_text(&v));
        return no_value;
    }
    int32_t axis = axis_named(t, p, e->slice_axis);
    if (anl_node_axis(v.node, axis) < 0) {
        const anl_span at = e->slice_axis_span.line ? e->slice_axis_span : e->span;
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_missing_axis, at, "there is no axis `%s` to slice; the axes are %s",
                                         e->slice_axis, axes_of(t, v.node));
        suggest_axis(t, p, d, at, e->slice_axis, v.node);
        anl_diagnostic_label(t->diagnostics, d, v.node->span, "the value comes from here");
        return no_value;
    }
    int32_t size = anl_node_size(v.node, axis);
    int64_t start = 0, stop = size;
    if (e->start && !static_index(t, p, e->start, size, &start))
        return no_value;
    if (e->at)
        stop = start + 1;
    else if (e->stop && !static_index(t, p, e->stop, size, &stop))
        return no_value;
    if (start < 0 || stop > size || start >= stop) {
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, start >= stop && start >= 0 && stop <= size ? ANL_A_empty_result : ANL_A_out_of_range,
                         e->span, "the slice %s=%lld:%lld %s: the axis has size %d", e->slice_axis, (long long)start,
                         (long long)stop, start >= stop ? "is empty" : "reaches outside", size);
        anl_graph_label_axis(t->diagnostics, d, t->graph, v.node, axis);
        return no_value;
    }
    context_at(t, p, e->span);
    anl_node *n = v.node;
    if (start != 0 || stop != size)
        n = anl_g_slice(t->graph, n, axis, (int32_t)start, (int32_t)(stop - start), 1);
    if (e->at) { /* an axis of size 1 goes by merging it into another one; of a value with no other axis by a sum over its one
                    element */
        int32_t other = -1;
        for (int i = 0; i < n->rank; i++)
            if (n->axes[i].id != axis)
                other = n->axes[i].id;
        if (other >= 0) {
            int32_t pair[2] = {axis, other};
            n = anl_g_merge(t->graph, n, pair, 2, other);
        } else {
            n = anl_g_reduce(t->graph, ANL_OP_SUM, n, &axis, 1);
        }
    }
    return value_node_of(n, e->span);
}

static bool scalar_by_name(const char *name, anl_scalar *out)
{
    static const char *const names[] = {
#define X(name, text, arity, types, cost) text,
        ANL_SCALARS(X)
#undef X
    };
    for (int i = 0; i < ANL_SCALAR_COUNT; i++) {
        if (anl_same(names[i], name)) {
            *out = (anl_scalar)i;
            return true;
        }
    }
    return false;
}

static anl_value duration_operator(anl_scalar s, const anl_value *v, anl_span span, bool *done)
{
    *done = true;
    anl_value a = v[0], b = v[1];
    bool both = a.kind == ANL_V_DURATION && b.kind == ANL_V_DURATION;
    if (both && (a.duration.epochs == b.duration.epochs || a.duration.count == 0 || b.duration.count == 0)) {
        double x = a.duration.count, y = b.duration.count;
        bool epochs = x == 0 ? b.duration.epochs : a.duration.epochs;
        anl_value r = {.kind = ANL_V_DURATION, .span = span};
        r.duration.epochs = epochs;
        switch (s) {
        case ANL_S_ADD:
            r.duration.count = x + y;
            return r;
        case ANL_S_SUB:
            r.duration.count = x - y;
            return r;
        case ANL_S_LT:
            return value_bool(x < y, span);
        case ANL_S_LE:
            return value_bool(x <= y, span);
        case ANL_S_EQ:
            return value_bool(x == y, span);
        case ANL_S_NE:
            return value_bool(x != y, span);
        default:
            break;
        }
    }
    if (s == ANL_S_MUL && !both) {
        anl_value d = a.kind == ANL_V_DURATION ? a : b, n = a.kind == ANL_V_DURATION ? b : a;
        if (n.kind == ANL_V_INT || n.kind == ANL_V_NUMBER) {
            d.duration.count *= n.kind == ANL_V_INT ? (double)n.integer : n.number;
            d.span = span;
            return d;
        }
    }
    *done = false;
    return no_value;
}

/* Steps are counted from 0 and bounded by whole numbers; otherwise a plain number beside a duration has lost its unit. */
static bool may_meet_duration(anl_scalar s, const anl_value *other)
{
    const bool number = other->kind == ANL_V_INT || other->kind == ANL_V_NUMBER;
    if (!number || s == ANL_S_MUL || s == ANL_S_DIV || s == ANL_S_FLOORDIV || s == ANL_S_MOD || s == ANL_S_POW)
        return counts_steps(other);
    return other->kind == ANL_V_INT && other->integer == 0;
}

static bool is_bare_word(place *p, const anl_expression *e) { return e->kind == ANL_E_NAME && !scope_find(p->scope, e->name); }

static anl_value evaluate_operator(tracer *t, place *p, const anl_expression *e)
{
    anl_scalar s = ANL_S_ADD;
    bool greater = anl_same(e->name, "greater"), greater_equal = anl_same(e->name, "greater_equal");
    if (greater || greater_equal)
        s = greater ? ANL_S_LT : ANL_S_LE;
    else if (!scalar_by_name(e->name, &s)) {
        anl_diagnose(t->diagnostics, ANL_A_expression_syntax, e->span, "there is no operator `%s`", e->name);
        return no_value;
    }
    anl_value v[2] = {no_value, no_value};
    int count = e->item_count > 2 ? 2 : e->item_count;
    bool comparison = s == ANL_S_EQ || s == ANL_S_NE;
    for (int i = 0; i < count; i++) {
        v[i] = evaluate(t, p, e->items[i], comparison ? WANT_WORD : WANT_VALUE);
        /* and, or: the right side counts only where the left one does not decide */
        if (i == 0 && v[0].kind == ANL_V_BOOL && ((s == ANL_S_AND && !v[0].truth) || (s == ANL_S_OR && v[0].truth)))
            return v[0];
    }
    if (comparison && v[0].kind != v[1].kind && (v[0].kind == ANL_V_TEXT || v[1].kind == ANL_V_TEXT)) {
        const int word = v[0].kind == ANL_V_TEXT ? 0 : 1;
        if (v[!word].kind != ANL_V_NONE &&
            e->items[word]->kind == ANL_E_NAME) { /* an unknown name that no text is compared with */
            const int before = anl_diagnostics_errors(t->diagnostics);
            anl_value known = evaluate(t, p, e->items[word], WANT_VALUE);
            if (known.kind != ANL_V_NONE && anl_diagnostics_errors(t->diagnostics) == before)
                anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "%s and %s are never equal", anl_value_kind_text(&v[0]),
                             anl_value_kind_text(&v[1]));
            return no_value;
        }
    }
    for (int i = 0; comparison && i < 2; i++)
        if (v[i].kind == ANL_V_NUMBER && v[i].number != floor(v[i].number) && v[!i].kind == ANL_V_NODE && v[!i].node->dtype == ANL_I32) {
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->items[i]->span, "%s is never %g", anl_value_kind_text(&v[!i]), v[i].number);
            return no_value;
        }
    for (int i = 0; i < count; i++)
        if (v[i].kind == ANL_V_NONE)
            return no_value;
    if (comparison && v[0].kind == ANL_V_AXIS && v[1].kind == ANL_V_AXIS)
        return value_bool((v[0].axis == v[1].axis) == (s == ANL_S_EQ), e->span);
    if (comparison && v[0].kind == ANL_V_TEXT && v[1].kind == ANL_V_TEXT && is_bare_word(p, e->items[0]) && is_bare_word(p, e->items[1])) {
        evaluate(t, p, e->items[0], WANT_VALUE); /* reports the name: nothing can depend on two words that are written here */
        return no_value;
    }
    if (comparison && v[0].kind == ANL_V_TEXT && v[1].kind == ANL_V_TEXT)
        return value_bool(anl_same(v[0].text, v[1].text) == (s == ANL_S_EQ), e->span);
    if (greater || greater_equal) {
        anl_value swap = v[0];
        v[0] = v[1];
        v[1] = swap;
    }
    if (count == 2 && (v[0].kind == ANL_V_DURATION || v[1].kind == ANL_V_DURATION)) {
        bool done;
        anl_value r = duration_operator(s, v, e->span, &done);
        if (done)
            return r;
        const int which = v[0].kind == ANL_V_DURATION ? 0 : 1;
        if (v[!which].kind != ANL_V_DURATION && !may_meet_duration(s, &v[!which])) {
            no_duration(t, &v[which], &v[!which], anl_scalar_symbol(s), e->span);
            return no_value;
        }
    }
    anl_value origins[2];
    memcpy(origins, v, sizeof v);
    for (int i = 0; i < count; i++)
        v[i] = value_used(plain(t, p, v[i]), e->items[greater || greater_equal ? 1 - i : i]->span);
    anl_context c = context_at(t, p, e->span);
    anl_value result = no_value;
    const int before = anl_diagnostics_count(t->diagnostics);
    if (anl_operator(&c, s, v, count, &result)) {
        label_origins(t, before, origins, v, count);
        return no_value;
    }
    result.span = e->span;
    result.outer = false;
    return result;
}

static anl_value evaluate_list(tracer *t, place *p, const anl_expression *e, want w)
{
    anl_value *items = NULL;
    int count = 0, capacity = 0;
    bool failed = false;
    for (int i = 0; i < e->item_count; i++) {
        anl_value v = evaluate(t, p, e->items[i], w);
        failed |= v.kind == ANL_V_NONE;
        if (w == WANT_AXES && v.kind == ANL_V_LIST) {
            for (int k = 0; k < v.list.count; k++)
                ANL_PUSH(t->arena, items, count, capacity, v.list.items[k]);
        } else {
            ANL_PUSH(t->arena, items, count, capacity, v);
        }
    }
    if (failed)
        return no_value;
    anl_value list = {.kind = ANL_V_LIST, .span = e->span};
    list.list.items = items;
    list.list.count = count;
    return list;
}

static anl_value evaluate_mapping(tracer *t, place *p, const anl_expression *e)
{
    anl_value v = {.kind = ANL_V_MAPPING, .span = e->span};
    v.mapping.names = ANL_NEW_ARRAY(t->arena, const char *, e->argument_count + 1);
    v.mapping.items = ANL_NEW_ARRAY(t->arena, anl_value, e->argument_count + 1);
    for (int i = 0; i < e->argument_count; i++) {
        v.mapping.names[i] = e->arguments[i].name;
        v.mapping.items[i] = evaluate(t, p, e->arguments[i].value, WANT_VALUE);
        if (v.mapping.items[i].kind == ANL_V_NONE)
            return no_value;
    }
    v.mapping.count = e->argument_count;
    return v;
}

/* ---- everything ---- */
static anl_value evaluate_kind(tracer *t, place *p, const anl_expression *e, want w)
{
    anl_value v = {.span = e->span};
    switch (e->kind) {
    case ANL_E_NUMBER:
        if (e->integer && fabs(e->number) <= 9007199254740992.0)
            return value_int((int64_t)e->number, e->span);
        return value_number(e->number, e->span);
    case ANL_E_DURATION:
        v.kind = ANL_V_DURATION;
        v.duration.count = e->number;
        v.duration.epochs = e->epochs;
        return v;
    case ANL_E_TEXT:
        if (w == WANT_AXES)
            return value_axis(axis_named(t, p, e->name), e->span);
        v.kind = ANL_V_TEXT;
        v.text = e->name;
        return v;
    case ANL_E_BOOL:
        return value_bool(e->truth, e->span);
    case ANL_E_NAME:
        return evaluate_name(t, p, e, w);
    case ANL_E_SPACE: {
        anl_expression name = *e;
        name.kind = ANL_E_NAME;
        name.name = "space";
        return evaluate_name(t, p, &name, w);
    }
    case ANL_E_MEMBER:
        return evaluate_member(t, p, e);
    case ANL_E_CALL:
    case ANL_E_STEP:
        return call(t, p, e, NULL, w);
    case ANL_E_LIST:
        return evaluate_list(t, p, e, w);
    case ANL_E_MAPPING:
        return evaluate_mapping(t, p, e);
    case ANL_E_OPERATOR:
        return evaluate_operator(t, p, e);
    case ANL_E_SLICE:
        return evaluate_slice(t, p, e);
    case ANL_E_PIPELINE:
        return evaluate_pipeline(t, p, e, NULL);
    case ANL_E_REPEAT:
        anl_diagnose(t->diagnostics, ANL_A_expression_syntax, e->span, "`repeat` is a step of a pipeline");
        return no_value;
    case ANL_E_REST:
        anl_diagnose(t->diagnostics, ANL_A_expression_syntax, e->span,
                     "`...` belongs in signatures; in expressions the axes are called by the name after it");
        return no_value;
    case ANL_E_ERROR:
        return no_value;
    }
    return no_value;
}

anl_value evaluate(tracer *t, place *p, const anl_expression *e, want w)
{
    if (!e)
        return no_value;
    if (t->depth >= MAX_DEPTH) {
        anl_diagnose(t->diagnostics, ANL_A_too_deep, e->span, "calls and expressions are nested more than %d deep", MAX_DEPTH);
        return no_value;
    }
    t->depth++;
    const int before = t->graph->node_count;
    const double elsewhere = t->elsewhere;
    anl_value v = evaluate_kind(t, p, e, w);
    if (!v.origin.line)
        v.origin = e->span;
    t->depth--;
    if (t->witness)
        witness_value(t, e->span, &v, p->draws, flops_of(t, before) - (t->elsewhere - elsewhere));
    return v;
}
