/* Calls: functions and modules (signatures, ride-along axes, paths), builtins, the tracer's own forms, pipelines and repeat.
 * In: a call with its arguments and, in a pipeline, the value so far. Out: its value.
 * A function sees only the axes of its signature: the others are renamed to hidden ones on entry and back on exit. */
#include "base/report.h"
#include "trace/tracer.h"

callable *callable_of(const anl_value *v) { return v->kind == ANL_V_FUNCTION ? v->function : NULL; }

static bool is_name(const anl_expression *e, const char *name) { return e->kind == ANL_E_NAME && anl_same(e->name, name); }

/* Names and numbers, joined by dots; or nothing. */
static bool is_path(const char *text)
{
    if (anl_same(text, "true") || anl_same(text, "false"))
        return false;
    for (const char *part = text; *part;) {
        const size_t length = strcspn(part, "."), digits = strspn(part, "0123456789");
        if (!length || (digits && digits < length))
            return false;
        for (size_t i = 0; i < length; i++)
            if (part[i] == ' ' || part[i] == '"' || part[i] == '\'' || part[i] == '[' || part[i] == '{' || part[i] == '(' || part[i] == '*')
                return false;
        part += length;
        if (*part == '.' && !*++part)
            return false;
    }
    return true;
}

/* The text of `as:` and `key:`: a word, a number, a quoted text, or words joined by dots. The counter of the repeat around the
 * step, or "", adds nothing to the path: the step's weights lie directly under the number. */
static const char *component_text(tracer *t, place *p, const anl_expression *e)
{
    switch (e->kind) {
    case ANL_E_NAME: {
        entry *n = scope_find(p->scope, e->name); /* the counter of a repeat: the number that the path has already */
        if (n && n->kind == ENTRY_VALUE && n->value.kind == ANL_V_INT && p->base->component && n->where == p->base)
            return "";
        return e->name;
    }
    case ANL_E_TEXT:
        if (is_path(e->name))
            return e->name;
        break;
    case ANL_E_NUMBER:
        if (e->integer)
            return anl_arena_printf(t->arena, "%lld", (long long)e->number);
        break;
    case ANL_E_MEMBER: {
        const char *prefix = component_text(t, p, e->items[0]);
        return prefix ? anl_arena_printf(t->arena, "%s.%s", prefix, e->name) : NULL;
    }
    case ANL_E_ERROR:
        return NULL;
    default:
        break;
    }
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span, "a name is needed here");
    anl_diagnostic_note(t->diagnostics, d, "as and key take a word, a whole number or a quoted text such as \"downsample.0\"");
    return NULL;
}

/* ---- walking over the nodes of a value ---- */
typedef anl_node *(*node_map)(tracer *t, void *context, anl_node *node, anl_span span);

static anl_value map_nodes(tracer *t, anl_value v, node_map map, void *context)
{
    if (v.kind == ANL_V_NODE) {
        v.node = map(t, context, v.node, v.span);
        if (!v.node)
            return no_value;
    } else if (v.kind == ANL_V_LIST || v.kind == ANL_V_MAPPING) {
        bool list = v.kind == ANL_V_LIST;
        int count = list ? v.list.count : v.mapping.count;
        const anl_value *from = list ? v.list.items : v.mapping.items;
        anl_value *items = ANL_NEW_ARRAY(t->arena, anl_value, count + 1);
        for (int i = 0; i < count; i++) {
            items[i] = map_nodes(t, from[i], map, context);
            if (items[i].kind == ANL_V_NONE && from[i].kind != ANL_V_NONE)
                return no_value;
        }
        if (list)
            v.list.items = items;
        else
            v.mapping.items = items;
    }
    return v;
}

/* ---- signatures ---- */
typedef struct binding {
    frame *frame;
    const anl_input *input; /* NULL: a param, all axes ride along */
    const int32_t *wanted;  /* axis ids of the pattern's named axes */
    bool space, rest;
    anl_value *avoid; /* all arguments: their hidden axes are not to be taken again */
    int avoid_count;
    struct {
        int32_t visible, hidden;
    } map[64];
    int map_count;
    int32_t *space_axes, *rest_axes;
    int space_count, space_capacity, rest_count, rest_capacity;
    anl_span call_span;
    const char *callee;
    bool failed;
} binding;

static bool holds_id(const int32_t *list, int count, int32_t id)
{
    for (int i = 0; i < count; i++)
        if (list[i] == id)
            return true;
    return false;
}

static int32_t hidden_for(tracer *t, binding *b, int32_t axis)
{
    for (int i = 0; i < b->map_count; i++)
        if (b->map[i].visible == axis)
            return b->map[i].hidden;
    int32_t hidden = hide_axis(t, axis, b->avoid, b->avoid_count);
    if (b->map_count < (int)ANL_COUNT(b->map)) {
        b->map[b->map_count].visible = axis;
        b->map[b->map_count].hidden = hidden;
        b->map_count++;
    }
    return hidden;
}

static void add_ride(tracer *t, frame *f, anl_axis axis)
{
    for (int i = 0; i < f->ride_count; i++)
        if (f->ride[i].id == axis.id)
            return;
    ANL_PUSH(t->arena, f->ride, f->ride_count, f->ride_capacity, axis);
}

static const char *pattern_text(tracer *t, const anl_input *input)
{
    anl_text text = {0};
    anl_text_add(&text, "[");
    for (int i = 0; i < input->axis_count; i++) {
        const char *mark = input->axes[i].kind == ANL_P_REST ? "..." : input->axes[i].kind == ANL_P_SPACE ? "~" : "";
        anl_text_printf(&text, "%s%s%s", i ? ", " : "", mark, input->axes[i].name);
    }
    anl_text_add(&text, "]");
    const char *copy = anl_arena_text(t->arena, text.data);
    anl_text_free(&text);
    return copy;
}

static void report_missing_axis(tracer *t, binding *b, const char *axis, anl_node *node, anl_span span, anl_span pattern_span)
{
    anl_diagnostic *d;
    if (node)
        d = anl_diagnose(t->diagnostics, ANL_A_missing_axis, span, "`%s` of %s needs %s, and this value's axes are %s",
                         b->input->name, b->callee, axis, axes_of(t, node));
    else
        d = anl_diagnose(t->diagnostics, ANL_A_missing_axis, span, "`%s` of %s needs %s, and this value has no axes",
                         b->input->name, b->callee, axis);
    if (node && node->span.line &&
        (node->span.line != span.line || node->span.column != span.column || node->span.file != span.file))
        anl_diagnostic_label(t->diagnostics, d, node->span, "the value comes from here");
    anl_diagnostic_label(t->diagnostics, d, pattern_span.line ? pattern_span : b->input->span, "the signature: %s: %s",
                         b->input->name, pattern_text(t, b->input));
    if (b->call_span.line && (b->call_span.line != span.line || b->call_span.column != span.column))
        anl_diagnostic_label(t->diagnostics, d, b->call_span, "in this call");
    b->failed = true;
}

static anl_node *enter_node(tracer *t, void *context, anl_node *node, anl_span span)
{
    binding *b = context;
    int named = 0, space = 0;
    const int pattern_count = b->input ? b->input->axis_count : 0;
    for (int i = 0; i < pattern_count; i++) {
        if (b->input->axes[i].kind != ANL_P_AXIS)
            continue;
        if (anl_node_axis(node, b->wanted[i]) < 0) {
            report_missing_axis(t, b, anl_arena_printf(t->arena, "axis `%s`", anl_graph_axis_name(t->graph, b->wanted[i])), node,
                                span, b->input->axes[i].span);
            return NULL;
        }
        named++;
    }
    anl_node *out = node;
    for (int i = 0; i < node->rank; i++) {
        anl_axis axis = node->axes[i];
        bool hidden = t->graph->axis_names[axis.id].hidden;
        bool wanted = false;
        for (int k = 0; k < pattern_count && !wanted; k++)
            wanted = b->input->axes[k].kind == ANL_P_AXIS && b->wanted[k] == axis.id;
        if (!wanted && b->space && anl_is_space(t->graph, axis.id)) {
            wanted = true;
            if (!holds_id(b->space_axes, b->space_count, axis.id))
                ANL_PUSH(t->arena, b->space_axes, b->space_count, b->space_capacity, axis.id);
            space++;
        } else if (!wanted && b->rest) {
            wanted = true;
            if (!holds_id(b->rest_axes, b->rest_count, axis.id))
                ANL_PUSH(t->arena, b->rest_axes, b->rest_count, b->rest_capacity, axis.id);
            if (hidden && !holds_id(b->frame->named, b->frame->named_count, axis.id))
                ANL_PUSH(t->arena, b->frame->named, b->frame->named_count, b->frame->named_capacity, axis.id);
        }
        if (wanted) {
            bool known = false;
            for (int k = 0; k < b->frame->seen_count && !known; k++)
                known = b->frame->seen[k].id == axis.id;
            if (!known)
                ANL_PUSH(t->arena, b->frame->seen, b->frame->seen_count, b->frame->seen_capacity, axis);
            continue;
        }
        if (!hidden) {
            int32_t to = hidden_for(t, b, axis.id);
            out = anl_g_rename(t->graph, out, axis.id, to);
            axis.id = to;
        }
        add_ride(t, b->frame, axis);
    }
    if (b->space && !space) {
        for (int i = 0; i < pattern_count; i++) {
            if (b->input->axes[i].kind == ANL_P_SPACE) {
                report_missing_axis(t, b, "a space axis (z, y or x)", node, span, b->input->axes[i].span);
                return NULL;
            }
        }
    }
    return out;
}

static anl_node *leave_node(tracer *t, void *context, anl_node *node, anl_span span)
{
    binding *b = context;
    for (int i = 0; i < b->map_count; i++) {
        if (anl_node_axis(node, b->map[i].hidden) < 0)
            continue;
        if (anl_node_axis(node, b->map[i].visible) >= 0) {
            anl_diagnostic *d =
                anl_diagnose(t->diagnostics, ANL_A_duplicate_axis, b->call_span,
                             "%s returns an axis `%s` of its own, and an axis of that name rides along with its arguments",
                             b->callee, anl_graph_axis_name(t->graph, b->map[i].visible));
            anl_diagnostic_label(t->diagnostics, d, span, "the value that it returns");
            anl_diagnostic_suggest(t->diagnostics, d, "rename one of the two: rename(argument, %s=other)",
                                   anl_graph_axis_name(t->graph, b->map[i].visible));
            b->failed = true;
            return NULL;
        }
        node = anl_g_rename(t->graph, node, b->map[i].hidden, b->map[i].visible);
    }
    return node;
}

static anl_value axis_list(tracer *t, const int32_t *axes, int count, anl_span span)
{
    anl_value v = {.kind = ANL_V_LIST, .span = span};
    v.list.items = ANL_NEW_ARRAY(t->arena, anl_value, count + 1);
    v.list.count = count;
    for (int i = 0; i < count; i++) {
        v.list.items[i].kind = ANL_V_AXIS;
        v.list.items[i].axis = axes[i];
        v.list.items[i].span = span;
    }
    return v;
}

/* Draws count their elements over axes in an order that does not depend on how the argument was computed: by name, and batch,
 * which lies inside the others in memory, last. */
static bool in_order(tracer *t, int32_t before, int32_t after)
{
    const char *a = anl_graph_axis_name(t->graph, before), *b = anl_graph_axis_name(t->graph, after);
    const bool a_last = anl_same(a, "batch"), b_last = anl_same(b, "batch");
    if (a_last != b_last)
        return b_last;
    int order = strcmp(a, b);
    return order < 0 || (order == 0 && before < after);
}

static void sort_axes(tracer *t, anl_axis *axes, int count)
{
    for (int i = 1; i < count; i++) {
        for (int k = i; k > 0; k--) {
            if (in_order(t, axes[k - 1].id, axes[k].id))
                break;
            anl_axis swap = axes[k];
            axes[k] = axes[k - 1];
            axes[k - 1] = swap;
        }
    }
}

static anl_value *argument_slot(const anl_function *f, anl_value *inputs, anl_value *params, const char *name,
                                const anl_param **param)
{
    *param = NULL;
    for (int i = 0; i < f->input_count; i++)
        if (anl_same(f->inputs[i].name, name))
            return &inputs[i];
    for (int i = 0; i < f->param_count; i++) {
        if (anl_same(f->params[i].name, name)) {
            *param = &f->params[i];
            return &params[i];
        }
    }
    return NULL;
}

/* Returns the name that was meant, probably. */
static const char *report_unknown_argument(tracer *t, const anl_function *f, const char *name, anl_span span)
{
    const char *names[512];
    int count = 0;
    for (int i = 0; i < f->input_count && count < 250; i++)
        names[count++] = f->inputs[i].name;
    for (int i = 0; i < f->param_count && count < 500; i++)
        names[count++] = f->params[i].name;
    anl_diagnostic *d =
        anl_diagnose(t->diagnostics, ANL_A_unknown_argument, span, "`%s` has no input or param called `%s`", f->name, name);
    anl_diagnostic_label(t->diagnostics, d, f->span, "`%s` is defined here", f->name);
    return anl_diagnostic_nearest(t->diagnostics, d, span, name, names, count, true);
}

/* An argument's expression, evaluated at the call site as the param wants it. */
static anl_value argument_value(tracer *t, place *p, const anl_expression *e, const anl_param *param, const anl_function *f)
{
    anl_value v = evaluate(t, p, e, param ? param_want(param) : WANT_VALUE);
    if (v.kind == ANL_V_NONE)
        return v;
    v.span = e->span;
    return param ? check_param(t, param, v, e->span, f->name) : v;
}

static anl_value returned_value(tracer *t, frame *f)
{
    const anl_function *fn = f->function;
    if (fn->member_count) {
        anl_value v = {.kind = ANL_V_MAPPING, .span = fn->span};
        v.mapping.names = ANL_NEW_ARRAY(t->arena, const char *, fn->member_count);
        v.mapping.items = ANL_NEW_ARRAY(t->arena, anl_value, fn->member_count);
        v.mapping.count = fn->member_count;
        bool failed = false;
        for (int i = 0; i < fn->member_count; i++) {
            v.mapping.names[i] = fn->members[i].name;
            v.mapping.items[i] = evaluate(t, place_for_node(t, f->place, fn->members[i].name), fn->members[i].value, WANT_VALUE);
            failed |= v.mapping.items[i].kind == ANL_V_NONE;
        }
        return failed ? no_value : v;
    }
    if (!fn->returns)
        return no_value;
    return evaluate(t, f->place, fn->returns, WANT_VALUE);
}

/* What was found inside a function is shown with the calls that led there: the nearest ones, and that of the spec itself. */
static void label_call(tracer *t, int problems, const char *name, const place *p, anl_span span)
{
    enum { NEAREST = 2 };
    for (int i = problems; i < anl_diagnostics_count(t->diagnostics); i++) {
        int shown = 0;
        anl_diagnostic *d = anl_diagnostics_added(t->diagnostics, i);
        for (int k = 0; k < d->label_count; k++)
            shown += !strncmp(d->labels[k].text, "in this call of", 15);
        if ((!p->frame->function || shown < NEAREST) && !anl_span_same(d->span, span))
            anl_diagnostic_label(t->diagnostics, d, span, "in this call of `%s`", name);
    }
}

anl_value call_function(tracer *t, place *p, const callable *c, const bound_argument *given, int given_count,
                        const anl_expression *arguments, const anl_value *piped, anl_span span, frame **made)
{
    const anl_function *fn = c->function;
    if (made)
        *made = NULL;
    for (const frame *f = p->frame; f; f = f->caller) {
        if (f->function == fn) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_recursion, span, "`%s` calls itself", fn->name);
            anl_diagnostic_label(t->diagnostics, d, fn->span, "`%s` is defined here", fn->name);
            anl_diagnostic_note(t->diagnostics, d, "repetition is written with `repeat`");
            return no_value;
        }
    }
    anl_value *inputs = ANL_NEW_ARRAY(t->arena, anl_value, fn->input_count + 1),
              *params = ANL_NEW_ARRAY(t->arena, anl_value, fn->param_count + 1);
    bool *has_input = ANL_NEW_ARRAY(t->arena, bool, fn->input_count + 1),
         *has_param = ANL_NEW_ARRAY(t->arena, bool, fn->param_count + 1);
    bool failed = false;
    const char *as = NULL, *key = NULL;
    const anl_param *param;

    for (int pass = 0; pass < 2; pass++) { /* what the module or the tracer bound */
        const bound_argument *list = pass ? given : c->bound;
        int count = pass ? given_count : c->bound_count;
        for (int i = 0; i < count; i++) {
            anl_value *slot = argument_slot(fn, inputs, params, list[i].name, &param);
            if (!slot)
                continue;
            *slot = list[i].value;
            failed |= list[i].value.kind == ANL_V_NONE;
            if (param)
                has_param[slot - params] = true;
            else
                has_input[slot - inputs] = true;
        }
    }
    const int argument_count = arguments ? arguments->argument_count : 0;
    for (int i = 0; i < argument_count; i++) { /* by name */
        const anl_argument *a = &arguments->arguments[i];
        if (!a->name)
            continue;
        if (anl_same(a->name, "as") || anl_same(a->name, "key")) {
            const char *text = component_text(t, p, a->value);
            if (a->name[0] == 'a')
                as = text;
            else
                key = text;
            failed |= !text;
            continue;
        }
        anl_value *slot = argument_slot(fn, inputs, params, a->name, &param);
        if (!slot) {
            const char *meant = report_unknown_argument(t, fn, a->name, a->name_span);
            evaluate(t, p, a->value, WANT_WORD);
            failed = true;
            slot = meant ? argument_slot(fn, inputs, params, meant, &param) : NULL; /* it is not missing, too */
            if (!slot)
                continue;
        } else {
            *slot = argument_value(t, p, a->value, param, fn);
            failed |= slot->kind == ANL_V_NONE;
        }
        if (param)
            has_param[slot - params] = true;
        else
            has_input[slot - inputs] = true;
    }
    int next_input = 0, next_param = 0;
    if (piped) {
        while (next_input < fn->input_count && has_input[next_input])
            next_input++;
        if (next_input == fn->input_count) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_argument, span,
                                             "`%s` takes no further input, so it cannot be fed with the value so far", fn->name);
            anl_diagnostic_label(t->diagnostics, d, fn->span, "`%s` is defined here", fn->name);
            return no_value;
        }
        inputs[next_input] = *piped;
        has_input[next_input] = true;
        failed |= piped->kind == ANL_V_NONE;
    }
    for (int i = 0; i < argument_count; i++) { /* by position: inputs, then params */
        const anl_argument *a = &arguments->arguments[i];
        if (a->name)
            continue;
        while (next_input < fn->input_count && has_input[next_input])
            next_input++;
        if (next_input < fn->input_count) {
            inputs[next_input] = argument_value(t, p, a->value, NULL, fn);
            failed |= inputs[next_input].kind == ANL_V_NONE;
            has_input[next_input] = true;
            continue;
        }
        while (next_param < fn->param_count && has_param[next_param])
            next_param++;
        if (next_param == fn->param_count) {
            anl_diagnostic *d =
                anl_diagnose(t->diagnostics, ANL_A_unknown_argument, a->value->span,
                             "`%s` has no place for this argument: it takes %d input%s and %d param%s", fn->name, fn->input_count,
                             fn->input_count == 1 ? "" : "s", fn->param_count, fn->param_count == 1 ? "" : "s");
            anl_diagnostic_label(t->diagnostics, d, fn->span, "`%s` is defined here", fn->name);
            failed = true;
            break;
        }
        params[next_param] = argument_value(t, p, a->value, &fn->params[next_param], fn);
        failed |= params[next_param].kind == ANL_V_NONE;
        has_param[next_param] = true;
    }
    for (int i = 0; i < fn->input_count; i++) {
        if (has_input[i])
            continue;
        if (t->init_shape && anl_same(fn->inputs[i].name, "weight")) {
            inputs[i] = value_node_of(t->init_shape, span);
            continue;
        }
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_missing_argument, span, "`%s` needs its input `%s`", c->name, fn->inputs[i].name);
        anl_diagnostic_label(t->diagnostics, d, fn->inputs[i].span.line ? fn->inputs[i].span : fn->span, "declared here");
        failed = true;
    }
    for (int i = 0; i < fn->param_count; i++) {
        if (has_param[i] || fn->params[i].value)
            continue;
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_missing_argument, span, "`%s` needs its param `%s`", c->name, fn->params[i].name);
        anl_diagnostic_label(t->diagnostics, d, fn->params[i].span, "declared here, without a default");
        anl_diagnostic_suggest(t->diagnostics, d, "add `%s=…`", fn->params[i].name);
        failed = true;
    }
    if (failed)
        return no_value;

    /* the frame and its paths */
    frame *f = ANL_NEW(t->arena, frame);
    f->function = fn;
    f->caller = p->frame;
    f->copy = p->frame->copy;
    f->copy_source = p->frame->copy_source;
    f->scope = scope_new(t, NULL);
    const char *component = as ? as : c->name;
    const char *path = c->module ? c->module->name : join_path(t, p->path, component);
    f->place = place_new(t, f, path, key ? key : join_path(t, p->draws, component));
    f->place->owner = c->module ? path : p->owner && !p->updating ? path : p->owner;
    f->place->updating = p->updating && !c->module;
    f->place->component = component;
    f->place->span = span;
    f->place->weight_up = c->module ? NULL : p;
    f->place->draw_up = key ? NULL : p;
    if (c->source) {
        f->copy = c->module;
        f->copy_source = c->source;
    }

    /* params first: signatures and sizes may name them */
    binding b = {.frame = f, .call_span = span, .callee = anl_arena_printf(t->arena, "`%s`", c->name)};
    b.avoid = ANL_NEW_ARRAY(t->arena, anl_value, fn->input_count + fn->param_count + 1);
    for (int i = 0; i < fn->input_count; i++)
        b.avoid[b.avoid_count++] = inputs[i];
    for (int i = 0; i < fn->param_count; i++)
        if (has_param[i])
            b.avoid[b.avoid_count++] = params[i];
    for (int i = 0; i < fn->param_count; i++) {
        if (has_param[i]) {
            entry *n = scope_add(t, f->scope, ENTRY_VALUE, fn->params[i].name, fn->params[i].span);
            n->value = map_nodes(t, params[i], enter_node, &b);
        } else {
            entry *n = scope_add(t, f->scope, ENTRY_PARAM, fn->params[i].name, fn->params[i].span);
            n->param = &fn->params[i];
            n->where = place_for_node(t, f->place, fn->params[i].name);
        }
    }
    for (int i = 0; i < fn->input_count; i++) {
        const anl_input *input = &fn->inputs[i];
        int32_t *wanted = ANL_NEW_ARRAY(t->arena, int32_t, input->axis_count + 1);
        b.input = input;
        b.wanted = wanted;
        b.space = b.rest = false;
        int named = 0;
        for (int k = 0; k < input->axis_count; k++) {
            b.space |= input->axes[k].kind == ANL_P_SPACE;
            b.rest |= input->axes[k].kind == ANL_P_REST;
            named += input->axes[k].kind != ANL_P_REST;
            if (input->axes[k].kind == ANL_P_AXIS)
                wanted[k] = axis_named(t, f->place, input->axes[k].name);
        }
        entry *n = scope_add(t, f->scope, ENTRY_VALUE, input->name, input->span);
        if (inputs[i].kind == ANL_V_FUNCTION || inputs[i].kind == ANL_V_TEXT || inputs[i].kind == ANL_V_AXIS) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, inputs[i].span.line ? inputs[i].span : span,
                                             "`%s` of %s needs a value, and this is %s", input->name, b.callee, anl_value_kind_text(&inputs[i]));
            anl_diagnostic_label(t->diagnostics, d, input->span, "the input is declared here");
            b.failed = true;
            continue;
        }
        anl_value v = plain(t, p, inputs[i]);
        if (named && (v.kind == ANL_V_INT || v.kind == ANL_V_NUMBER || v.kind == ANL_V_BOOL)) {
            report_missing_axis(t, &b, "axes", NULL, v.span.line ? v.span : span, input->span);
            continue;
        }
        n->value = map_nodes(t, v, enter_node, &b);
    }
    b.input = NULL;
    if (b.failed)
        return no_value;
    int riding = 0; /* axes that ...rest of another input names do not ride */
    for (int i = 0; i < f->ride_count; i++)
        if (!holds_id(f->named, f->named_count, f->ride[i].id))
            f->ride[riding++] = f->ride[i];
    f->ride_count = riding;
    if (!fn->input_count)
        for (int i = 0; i < p->frame->ride_count; i++)
            add_ride(t, f, p->frame->ride[i]);
    sort_axes(t, f->ride, f->ride_count);

    for (int i = 0; i < fn->input_count; i++) {
        for (int k = 0; k < fn->inputs[i].axis_count; k++) {
            const anl_axis_pattern *a = &fn->inputs[i].axes[k];
            if (a->kind == ANL_P_REST && !scope_find(f->scope, a->name))
                scope_add(t, f->scope, ENTRY_VALUE, a->name, a->span)->value = axis_list(t, b.rest_axes, b.rest_count, a->span);
        }
    }
    /* `space`: the space axes of the inputs, whether bound by ~space or among the rest */
    if (!scope_find(f->scope, "space")) {
        int32_t list[3];
        int count = 0;
        static const char *const names[3] = {"z", "y", "x"};
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < f->seen_count; k++)
                if (f->seen[k].id == anl_graph_find_axis(t->graph, names[i]))
                    list[count++] = f->seen[k].id;
        scope_add(t, f->scope, ENTRY_VALUE, "space", fn->span)->value = axis_list(t, list, count, fn->span);
    }
    witness_scope(t, f);
    for (int i = 0; i < fn->declaration_count; i++) {
        entry *n = scope_add(t, f->scope, ENTRY_STATE, fn->declarations[i].name, fn->declarations[i].span);
        n->declaration = &fn->declarations[i];
        n->where = f->place;
    }
    for (int i = 0; i < fn->node_count; i++) {
        entry *n = scope_add(t, f->scope, ENTRY_EXPRESSION, fn->nodes[i].name, fn->nodes[i].span);
        n->expression = fn->nodes[i].value;
        n->where = place_for_node(t, f->place, fn->nodes[i].name);
    }
    if (made)
        *made = f;
    for (int i = 0; i < given_count; i++) /* what the tracer gives beyond the signature, such as `kind` in optimizer rules */
        if (!argument_slot(fn, inputs, params, given[i].name, &param) && !scope_find(f->scope, given[i].name)) {
            entry *n = scope_add(t, f->scope, given[i].value.kind == ANL_V_NONE ? ENTRY_GRADIENT_NORM : ENTRY_VALUE,
                                 given[i].name, given[i].span);
            n->value = given[i].value;
        }
    const int problems = anl_diagnostics_count(t->diagnostics);
    /* params that nothing asks for are checked all the same */
    for (int i = 0; i < fn->param_count; i++)
        if (!has_param[i])
            entry_value(t, scope_find(f->scope, fn->params[i].name), span);

    add_update_calls(t, f, span);
    const anl_span site = t->graph->site;
    if (!p->frame->function)
        t->graph->site = span;
    anl_value result = returned_value(t, f);
    t->graph->site = site;
    label_call(t, problems, c->name, p, span);
    result = map_nodes(t, result, leave_node, &b);
    if (c->source) { /* gradients stop at a copy */
        context_at(t, p, span);
        if (result.kind == ANL_V_NODE)
            result.node = anl_g_stop_gradient(t->graph, result.node);
        for (int i = 0; result.kind == ANL_V_MAPPING && i < result.mapping.count; i++)
            if (result.mapping.items[i].kind == ANL_V_NODE)
                result.mapping.items[i].node = anl_g_stop_gradient(t->graph, result.mapping.items[i].node);
    }
    if (result.kind != ANL_V_NONE)
        result.span = span;
    result.outer = false;
    return result;
}

static const anl_expression *positional(const anl_expression *e, int index)
{
    for (int i = 0; i < e->argument_count; i++)
        if (!e->arguments[i].name && index-- == 0)
            return e->arguments[i].value;
    return NULL;
}

static bool argument_shape(tracer *t, const anl_expression *e, const char *name, int values)
{
    int count = 0;
    for (int i = 0; i < e->argument_count; i++) {
        if (!e->arguments[i].name) {
            count++;
        } else {
            anl_diagnose(t->diagnostics, ANL_A_unknown_argument, e->arguments[i].name_span, "`%s` has no argument `%s`", name,
                         e->arguments[i].name);
            return false;
        }
    }
    if (count != values) {
        anl_diagnose(t->diagnostics, count < values ? ANL_A_missing_argument : ANL_A_unknown_argument, e->span,
                     "`%s` takes %d argument%s, and here are %d", name, values, values == 1 ? "" : "s", count);
        return false;
    }
    return true;
}

/* A call with arguments but without (all) inputs, as in modules and optimizer rules: `encoder: name(width=32)`. */
callable *bind_partly(tracer *t, place *p, const anl_expression *e)
{
    if (!e || e->kind == ANL_E_ERROR)
        return NULL;
    const anl_expression *name = (e->kind == ANL_E_CALL || e->kind == ANL_E_STEP) ? e->items[0] : e;
    if (name != e && is_name(name, "if")) { /* a choice by a param, such as the kind of network */
        bool truth;
        if (!argument_shape(t, e, "if", 3) || !static_bool(t, p, positional(e, 0), "the condition of `if`", &truth))
            return NULL;
        return bind_partly(t, p, positional(e, truth ? 1 : 2));
    }
    if (name->kind != ANL_E_NAME) {
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->span,
                     "the name of a function is needed here, with its params: name(param=value)");
        return NULL;
    }
    const anl_function *fn = anl_recipe_function(t->recipe, name->name);
    if (!fn) {
        const char *names[2048];
        int count = 0;
        for (int i = 0; i < t->recipe->function_count && count < 2047; i++)
            names[count++] = t->recipe->functions[i]->name;
        names[count++] = "frozen"; /* known to the optimizer without any import */
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_unknown_function, name->span, "there is no function called `%s`", name->name);
        if (!anl_diagnostic_nearest(t->diagnostics, d, name->span, name->name, names, count, false))
            anl_diagnostic_note(t->diagnostics, d, "functions of the library are imported: import: [../lib/….yaml]");
        return NULL;
    }
    callable *c = ANL_NEW(t->arena, callable);
    c->function = fn;
    c->name = name->name;
    c->span = e->span;
    if (name == e)
        return c;
    c->bound = ANL_NEW_ARRAY(t->arena, bound_argument, e->argument_count + 1);
    int next = 0;
    bool failed = false;
    for (int i = 0; i < e->argument_count; i++) {
        const anl_argument *a = &e->arguments[i];
        const anl_param *param = NULL;
        const char *called = a->name;
        if (a->name) {
            anl_value in;
            bool known = false;
            for (int k = 0; k < fn->param_count; k++) {
                if (anl_same(fn->params[k].name, a->name)) {
                    param = &fn->params[k];
                    known = true;
                }
            }
            for (int k = 0; k < fn->input_count; k++)
                known |= anl_same(fn->inputs[k].name, a->name);
            if (!known) {
                report_unknown_argument(t, fn, a->name, a->name_span);
                failed = true;
                continue;
            }
            in = argument_value(t, p, a->value, param, fn);
            failed |= in.kind == ANL_V_NONE;
            c->bound[c->bound_count++] = (bound_argument){called, a->value->span, in};
            continue;
        }
        bool taken = true;
        while (taken && next < fn->param_count) { /* positional ones are params: the inputs come later */
            taken = false;
            for (int k = 0; k < e->argument_count; k++)
                taken |= e->arguments[k].name && anl_same(e->arguments[k].name, fn->params[next].name);
            if (taken)
                next++;
        }
        if (next == fn->param_count) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_argument, a->value->span,
                                             "`%s` has no param for this argument", fn->name);
            anl_diagnostic_label(t->diagnostics, d, fn->span, "`%s` is defined here", fn->name);
            failed = true;
            break;
        }
        param = &fn->params[next++];
        anl_value v = argument_value(t, p, a->value, param, fn);
        failed |= v.kind == ANL_V_NONE;
        c->bound[c->bound_count++] = (bound_argument){param->name, a->value->span, v};
    }
    return failed ? NULL : c;
}

/* ---- builtins ---- */
static uint64_t draw_key(tracer *t, const char *path)
{
    uint64_t seed = anl_hash(&t->seed, sizeof t->seed, 0x616e6c616765ull);
    return anl_hash_text(path, seed);
}

static bool axis_size_known(tracer *t, place *p, int32_t axis, int32_t *size)
{
    for (int i = 0; i < t->init_rank; i++) {
        if (t->init_axes[i].id == axis) {
            *size = t->init_axes[i].size;
            return true;
        }
    }
    for (int i = 0; i < p->frame->seen_count; i++) {
        if (p->frame->seen[i].id == axis) {
            *size = p->frame->seen[i].size;
            return true;
        }
    }
    if (p->frame == t->top && anl_same(anl_graph_axis_name(t->graph, axis), "batch")) {
        entry *batch = scope_find(t->top->scope, "batch");
        anl_value v = batch ? entry_value(t, batch, batch->span) : no_value;
        if (v.kind == ANL_V_INT) {
            *size = (int32_t)v.integer;
            return true;
        }
    }
    return false;
}

static bool add_draw_axis(tracer *t, anl_axis **axes, int *count, int *capacity, anl_axis axis, anl_span span)
{
    for (int i = 0; i < *count; i++)
        if ((*axes)[i].id == axis.id)
            return true;
    if (*count >= ANL_MAX_AXES) {
        anl_diagnose(t->diagnostics, ANL_A_too_many_axes, span, "a draw may have at most %d axes", ANL_MAX_AXES);
        return false;
    }
    ANL_PUSH(t->arena, *axes, *count, *capacity, axis);
    return true;
}

/* What operations may ask of the frame that calls them. */
typedef struct context_user {
    tracer *t;
    place *p;
} context_user;

static int32_t context_axis_named(const anl_context *c, const char *name)
{
    const context_user *u = c->user;
    return axis_named(u->t, u->p, name);
}

static int32_t context_axis_size(const anl_context *c, int32_t axis)
{
    const context_user *u = c->user;
    int32_t size;
    return axis_size_known(u->t, u->p, axis, &size) ? size : 0;
}

static anl_value axis_pair(tracer *t, int32_t axis, anl_span span, anl_value right)
{
    anl_value pair = {.kind = ANL_V_LIST, .span = span};
    pair.list.items = ANL_NEW_ARRAY(t->arena, anl_value, 2);
    pair.list.items[0].kind = ANL_V_AXIS;
    pair.list.items[0].axis = axis;
    pair.list.items[0].span = span;
    pair.list.items[1] = right;
    pair.list.count = 2;
    return pair;
}

/* Pairs given as a mapping, `into: {a: 2, b: 3}`, or as keywords, with the axes looked up where the call stands. */
static anl_value axis_pairs(tracer *t, place *p, const anl_builtin *b, const anl_argument *arguments, int count)
{
    anl_value list = {.kind = ANL_V_LIST, .span = count ? arguments[0].name_span : (anl_span){0}};
    const want w = anl_same(b->name, "rename") || anl_same(b->name, "windows") ? WANT_AXES : WANT_VALUE;
    int capacity = 0;
    bool failed = false;
    for (int i = 0; i < count; i++) {
        const anl_argument *a = &arguments[i];
        if (!a->name)
            continue;
        anl_value v = evaluate(t, p, a->value, w);
        if (v.kind == ANL_V_LIST && v.list.count == 1)
            v = v.list.items[0];
        failed |= v.kind == ANL_V_NONE;
        ANL_PUSH(t->arena, list.list.items, list.list.count, capacity, axis_pair(t, axis_named(t, p, a->name), a->name_span, v));
    }
    return failed ? no_value : list;
}

typedef struct draw_request {
    const char *as, *key;
    anl_value axes;  /* axes= */
    anl_axis *sized; /* name=size */
    int sized_count, sized_capacity;
} draw_request;

static bool prepare_draw(tracer *t, place *p, anl_context *c, const draw_request *r)
{
    anl_axis *axes = NULL;
    int count = 0, capacity = 0;
    for (int i = 0; i < p->frame->ride_count; i++)
        if (!add_draw_axis(t, &axes, &count, &capacity, p->frame->ride[i], c->span))
            return false;
    const anl_value *items = r->axes.kind == ANL_V_LIST ? r->axes.list.items : &r->axes;
    int item_count = r->axes.kind == ANL_V_LIST ? r->axes.list.count : r->axes.kind == ANL_V_AXIS;
    for (int i = 0; i < item_count; i++) {
        anl_axis axis = {items[i].axis, 0};
        if (!axis_size_known(t, p, axis.id, &axis.size)) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_axis, c->span,
                                             "the size of axis `%s` is not known here", anl_graph_axis_name(t->graph, axis.id));
            anl_diagnostic_suggest(t->diagnostics, d, "give it: %s=SIZE", anl_graph_axis_name(t->graph, axis.id));
            return false;
        }
        if (!add_draw_axis(t, &axes, &count, &capacity, axis, c->span))
            return false;
    }
    for (int i = 0; i < r->sized_count; i++)
        if (!add_draw_axis(t, &axes, &count, &capacity, r->sized[i], c->span))
            return false;
    if (!count && t->init_rank) /* in init: all axes of the weight */
        for (int i = 0; i < t->init_rank; i++)
            if (!add_draw_axis(t, &axes, &count, &capacity, t->init_axes[i], c->span))
                return false;
    c->ride = axes;
    c->ride_count = count;
    int32_t batch = anl_graph_find_axis(t->graph, "batch");
    for (int i = 0; i < count; i++)
        if (batch >= 0 && axis_root(t, axes[i].id) == batch)
            c->batch_axis = axes[i].id;
    const char *path = r->key;
    if (!path) {
        int number = (*p->draw_count)++;
        path = r->as    ? join_path(t, p->draws, r->as)
               : number ? anl_arena_printf(t->arena, "%s#%d", p->draws, number + 1)
                        : p->draws;
        claim_draws(t, p);
    }
    c->draw_key = draw_key(t, path);
    return true;
}

/* A new axis of a draw and its size: name=size, or one entry of axes={name: size}. */
static bool add_sized_axis(tracer *t, place *p, draw_request *r, const anl_argument *a)
{
    anl_value v = evaluate(t, p, a->value, WANT_VALUE);
    if (v.kind == ANL_V_INT && v.integer >= 1 && v.integer < INT32_MAX) {
        anl_axis axis = {axis_named(t, p, a->name), (int32_t)v.integer};
        ANL_PUSH(t->arena, r->sized, r->sized_count, r->sized_capacity, axis);
        return true;
    }
    if (v.kind != ANL_V_NONE) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_argument, a->name_span,
                                         "a draw has no argument `%s`, and no axis either: its size would be %s", a->name,
                                         anl_value_kind_text(&v));
        anl_diagnostic_note(t->diagnostics, d, "besides its own arguments a draw takes axes=, like=, key=, as= and axis=size");
    }
    return false;
}

static anl_value visible_axes(tracer *t, place *p, const anl_value *v, anl_span span)
{
    anl_value list = {.kind = ANL_V_LIST, .span = span};
    if (v->kind == ANL_V_LIST && v->list.count)
        v = &v->list.items[0];
    int rank = v->kind == ANL_V_NODE ? v->node->rank : 0;
    list.list.items = ANL_NEW_ARRAY(t->arena, anl_value, rank + 1);
    for (int i = 0; i < rank; i++) {
        if (axis_visible(t, p->frame, v->node->axes[i].id)) {
            anl_value a = {.kind = ANL_V_AXIS, .span = span};
            a.axis = v->node->axes[i].id;
            list.list.items[list.list.count++] = a;
        }
    }
    return list;
}

static anl_value value_of_axis_argument(tracer *t, place *p, const anl_expression *e, const anl_value *first)
{
    if (is_name(e, "all") && first) {
        entry *n = scope_find(p->scope, "all");
        if (!n)
            return visible_axes(t, p, first, e->span);
    }
    return evaluate(t, p, e, WANT_AXES);
}

static const char *report_unknown_builtin_argument(tracer *t, const anl_builtin *b, const char *name, anl_span span)
{
    const char *names[10];
    for (int i = 0; i < b->param_count; i++)
        names[i] = b->params[i].name;
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_argument, span, "`%s` has no argument `%s`", b->name, name);
    const char *near = anl_diagnostic_nearest(t->diagnostics, d, span, name, names, b->param_count, true);
    if (!near) {
        anl_text list = {0};
        for (int i = 0; i < b->param_count; i++)
            anl_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
        anl_diagnostic_note(t->diagnostics, d, "it has: %s", list.data ? list.data : "none");
        anl_text_free(&list);
    }
    return near;
}

/* An axis that the value has, but that rides along here: the function must name it in its signature. */
static bool names_hidden_axis(tracer *t, place *p, const anl_builtin *b, const anl_value *axes, const anl_node *node,
                              anl_span span)
{
    const anl_value *items = axes->kind == ANL_V_LIST ? axes->list.items : axes;
    const int count = axes->kind == ANL_V_LIST ? axes->list.count : axes->kind == ANL_V_AXIS;
    for (int i = 0; i < count; i++) {
        if (items[i].kind != ANL_V_AXIS || anl_node_axis(node, items[i].axis) >= 0)
            continue;
        for (int k = 0; k < node->rank; k++) {
            if (axis_root(t, node->axes[k].id) != items[i].axis || axis_visible(t, p->frame, node->axes[k].id) ||
                !p->frame->function)
                continue;
            const char *name = anl_graph_axis_name(t->graph, items[i].axis);
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_missing_axis, items[i].span.line ? items[i].span : span,
                                             "`%s`: axis `%s` rides along here: `%s` sees only the axes of its signature",
                                             b->name, name, p->frame->function->name);
            anl_diagnostic_label(t->diagnostics, d, p->frame->function->span, "`%s` is defined here", p->frame->function->name);
            anl_diagnostic_suggest(t->diagnostics, d, "add `%s` to the axes of its input, or bind all others by `...rest`", name);
            return true;
        }
    }
    return false;
}

static bool takes_value(char kind) { return kind == 'v' || kind == 'l'; }

static anl_value call_builtin(tracer *t, place *p, const anl_builtin *b, const anl_expression *e, const anl_value *piped,
                              anl_span span)
{
    const anl_expression *slots[10] = {0};
    anl_value arguments[10], origins[10]; /* origins: as they were written */
    bool filled[10] = {0};
    bool failed = false;
    int duration = -1; /* the argument that is one */
    const bool draw = anl_same(b->family, "draw");
    int pairs = -1; /* where the keywords are axes: rename, replicate */
    for (int i = 0; i < b->param_count; i++)
        if (b->params[i].kind == 'm' && anl_same(b->params[i].name, "pairs"))
            pairs = i;
    bool keywords = false;
    draw_request request = {0};
    for (int i = 0; i < 10; i++)
        arguments[i] = origins[i] = no_value;
    const int count = e ? e->argument_count : 0;
    for (int i = 0; i < count; i++) {
        const anl_argument *a = &e->arguments[i];
        if (!a->name)
            continue;
        if (pairs >= 0) {
            keywords = true;
            continue;
        }
        int slot = 0;
        while (slot < b->param_count && strcmp(b->params[slot].name, a->name))
            slot++;
        if (slot < b->param_count &&
            !(draw && (anl_same(a->name, "axes") || anl_same(a->name, "like") || anl_same(a->name, "key")))) {
            slots[slot] = a->value;
            filled[slot] = true;
            continue;
        }
        if (draw && (anl_same(a->name, "as") || anl_same(a->name, "key"))) {
            const char *text = component_text(t, p, a->value);
            failed |= !text;
            if (a->name[0] == 'a')
                request.as = text;
            else
                request.key = text;
        } else if (draw && anl_same(a->name, "axes") && a->value->kind == ANL_E_MAPPING) {
            for (int k = 0; k < a->value->argument_count; k++)
                failed |= !add_sized_axis(t, p, &request, &a->value->arguments[k]);
        } else if (draw && anl_same(a->name, "axes")) {
            request.axes = evaluate(t, p, a->value, WANT_AXES);
            failed |= request.axes.kind == ANL_V_NONE;
        } else if (draw && anl_same(a->name, "like")) {
            anl_value like = evaluate(t, p, a->value, WANT_VALUE);
            failed |= like.kind == ANL_V_NONE;
            for (int k = 0; like.kind == ANL_V_NODE && k < like.node->rank; k++)
                if (axis_visible(t, p->frame, like.node->axes[k].id))
                    ANL_PUSH(t->arena, request.sized, request.sized_count, request.sized_capacity, like.node->axes[k]);
        } else if (draw) {
            failed |= !add_sized_axis(t, p, &request, a);
        } else {
            const char *meant = report_unknown_builtin_argument(t, b, a->name, a->name_span);
            evaluate(t, p, a->value, WANT_WORD);
            failed = true;
            for (int k = 0; meant && k < b->param_count; k++) /* it is not missing, too */
                filled[k] = filled[k] || anl_same(b->params[k].name, meant);
        }
    }
    if (piped) {
        int slot = 0;
        while (slot < b->param_count && (filled[slot] || !takes_value(b->params[slot].kind)))
            slot++;
        if (slot == b->param_count) {
            anl_diagnose(t->diagnostics, ANL_A_unknown_argument, span,
                         "`%s` takes no value, so it cannot be fed with the value so far", b->name);
            return no_value;
        }
        arguments[slot] = *piped;
        filled[slot] = true;
        failed |= piped->kind == ANL_V_NONE;
    }
    for (int i = 0, slot = 0; i < count; i++) {
        if (e->arguments[i].name)
            continue;
        while (slot < b->param_count && filled[slot])
            slot++;
        if (slot == b->param_count) {
            anl_diagnose(t->diagnostics, ANL_A_unknown_argument, e->arguments[i].value->span, "`%s` takes at most %d arguments",
                         b->name, b->param_count);
            failed = true;
            break;
        }
        slots[slot] = e->arguments[i].value;
        filled[slot] = true;
    }
    if (keywords) {
        arguments[pairs] = axis_pairs(t, p, b, e->arguments, count);
        failed |= arguments[pairs].kind == ANL_V_NONE;
        filled[pairs] = true;
    }
    /* values first: `all` asks for the axes of the first one */
    const anl_value *first = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < b->param_count; i++) {
            const char kind = b->params[i].kind;
            const bool axes = kind == 'a' || kind == 'A';
            if (axes != (pass == 1))
                continue;
            if (slots[i]) {
                if (kind == 'm' && slots[i]->kind == ANL_E_MAPPING)
                    arguments[i] = axis_pairs(t, p, b, slots[i]->arguments, slots[i]->argument_count);
                else if (axes)
                    arguments[i] = value_of_axis_argument(t, p, slots[i], first);
                else
                    arguments[i] = evaluate(t, p, slots[i], kind == 't' ? WANT_WORD : WANT_VALUE);
                failed |= arguments[i].kind == ANL_V_NONE;
                if (arguments[i].kind == ANL_V_LIST && kind == 'a' && arguments[i].list.count == 1)
                    arguments[i] = arguments[i].list.items[0];
                origins[i] = arguments[i];
                arguments[i] = value_used(arguments[i], slots[i]->span);
            }
            if (arguments[i].kind == ANL_V_DURATION) {
                duration = i;
                arguments[i] = plain(t, p, arguments[i]);
            }
            for (int k = 0; arguments[i].kind == ANL_V_LIST && k < arguments[i].list.count; k++)
                if (arguments[i].list.items[k].kind == ANL_V_DURATION) {
                    no_duration(t, &arguments[i].list.items[k], NULL, b->name, arguments[i].list.items[k].span);
                    failed = true;
                }
            if (takes_value(kind) && !first && filled[i])
                first = &arguments[i];
        }
    }
    for (int i = 0; i < b->param_count; i++) {
        if (filled[i] || b->params[i].fallback)
            continue;
        const bool over = anl_same(b->params[i].name, "over");
        anl_diagnostic *d = anl_diagnose(t->diagnostics, over ? ANL_A_missing_over : ANL_A_missing_argument, span,
                                         over ? "`%s` needs `over=`: the axes that it goes over" : "`%s` needs its argument `%s`",
                                         b->name, b->params[i].name);
        if (over && first && first->kind == ANL_V_NODE)
            anl_diagnostic_note(t->diagnostics, d, "the value's axes are %s; over=all goes over all that are visible here",
                                axes_of(t, first->node));
        else if (!over)
            anl_diagnostic_note(t->diagnostics, d, "%s: %s", b->params[i].name, b->params[i].doc ? b->params[i].doc : "");
        failed = true;
    }
    const bool timeless = strcmp(b->family, "elementwise");
    for (int i = 0; duration >= 0 && !failed && i < b->param_count; i++)
        if (timeless || (i != duration && !counts_steps(&arguments[i])))
            failed = !no_duration(t, &origins[duration], timeless ? NULL : &arguments[i], b->name,
                                  slots[duration] ? slots[duration]->span : span);
    if (failed)
        return no_value;
    for (int i = 0; first && first->kind == ANL_V_NODE && i < b->param_count; i++)
        if ((anl_same(b->params[i].name, "over") || anl_same(b->params[i].name, "axis")) &&
            names_hidden_axis(t, p, b, &arguments[i], first->node, span))
            return no_value;
    /* in an optimizer rule that runs over a flat arena, a sum over `axes` is one for each weight */
    if (t->group && anl_same(b->family, "reduction") && first && first->kind == ANL_V_NODE) {
        bool flat = false;
        for (int i = 0; i < b->param_count; i++) {
            if (strcmp(b->params[i].name, "over"))
                continue;
            const anl_value *o = &arguments[i];
            const anl_value *items = o->kind == ANL_V_LIST ? o->list.items : o;
            for (int k = 0; k < (o->kind == ANL_V_LIST ? o->list.count : o->kind == ANL_V_AXIS); k++)
                flat |= items[k].axis == t->chunk_axis || items[k].axis == t->lane_axis;
        }
        if (flat) {
            if (anl_same(b->name, "sum") || anl_same(b->name, "mean")) {
                context_at(t, p, span);
                return value_node_of(sum_in_arena(t, first->node, b->name[0] == 'm'), span);
            }
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, span,
                         "optimizer rules may use sum and mean over the whole weight, not `%s`", b->name);
            return no_value;
        }
    }
    anl_context c = context_at(t, p, span);
    context_user user = {t, p};
    c.user = &user;
    c.axis_named = context_axis_named;
    c.axis_size = context_axis_size;
    c.ride = p->frame->ride;
    c.ride_count = p->frame->ride_count;
    if (draw && !prepare_draw(t, p, &c, &request))
        return no_value;
    anl_value result = no_value;
    const int before = anl_diagnostics_count(t->diagnostics);
    if (b->build(&c, arguments, &result)) {
        label_origins(t, before, origins, arguments, b->param_count);
        return no_value;
    }
    if (result.kind != ANL_V_NONE)
        result.span = span;
    return result;
}

/* ---- forms of the tracer itself ---- */
static anl_value form_if(tracer *t, place *p, const anl_expression *e, want w)
{
    if (!argument_shape(t, e, "if", 3))
        return no_value;
    bool truth;
    if (!static_bool(t, p, positional(e, 0), "the condition of `if`", &truth))
        return no_value;
    return evaluate(t, p, positional(e, truth ? 1 : 2), w);
}

static anl_value form_since(tracer *t, place *p, const anl_expression *e)
{
    if (!argument_shape(t, e, "since", 1))
        return no_value;
    anl_value v = evaluate(t, p, positional(e, 0), WANT_VALUE);
    double steps;
    if (!static_steps(t, &v, &steps))
        return no_value;
    anl_value r = {.kind = ANL_V_BOOL, .span = e->span};
    r.truth = boundary_at(t, steps, ANL_BOUNDARY_GRAPH);
    warn_after_the_end(t, &v, e->span, "this begins to hold");
    return r;
}

static anl_value form_next(tracer *t, place *p, const anl_expression *e)
{
    if (!argument_shape(t, e, "next", 1))
        return no_value;
    const anl_expression *of = positional(e, 0);
    entry *n = of->kind == ANL_E_NAME ? scope_find(p->scope, of->name) : NULL;
    if (!n || n->kind != ENTRY_STATE) {
        anl_diagnostic *d =
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, of->span, "next() reads the new value of a state of this scope");
        anl_diagnostic_note(t->diagnostics, d, "name a state or weight that is declared beside this expression");
        return no_value;
    }
    return state_next(t, n, e->span);
}

/* ---- calls ---- */
static anl_value call_value(tracer *t, place *p, const callable *c, const anl_expression *e, const anl_value *piped)
{
    if (c->builtin)
        return call_builtin(t, p, c->builtin, e, piped, e->span);
    return call_function(t, p, c, NULL, 0, e, piped, e->span, NULL);
}

anl_value call(tracer *t, place *p, const anl_expression *e, const anl_value *piped, want w)
{
    const anl_expression *callee = e->items[0];
    if (callee->kind == ANL_E_ERROR)
        return no_value;
    if (callee->kind != ANL_E_NAME) {
        anl_value v = evaluate(t, p, callee, WANT_VALUE);
        callable *c = callable_of(&v);
        if (!c && v.kind != ANL_V_NONE)
            anl_diagnose(t->diagnostics, ANL_A_type_mismatch, callee->span,
                         "only functions and modules can be called, and this is %s", anl_value_kind_text(&v));
        return c ? call_value(t, p, c, e, piped) : no_value;
    }
    const char *name = callee->name;
    entry *n = scope_find(p->scope, name);
    if (n && n->kind == ENTRY_VALUE && n->value.kind == ANL_V_AXIS)
        n = NULL;
    if (n) {
        anl_value v = entry_value(t, n, callee->span);
        callable *c = callable_of(&v);
        if (c) {
            callable local = *c;
            if (!local.module)
                local.name = name;
            return call_value(t, p, &local, e, piped);
        }
        if (v.kind == ANL_V_NONE)
            return v;
        /* a value of the same name does not hide a function: `size: size` style names are common */
    }
    if (anl_same(name, "if"))
        return form_if(t, p, e, w);
    if (anl_same(name, "since"))
        return form_since(t, p, e);
    if (anl_same(name, "next"))
        return form_next(t, p, e);
    callable c = {.name = name, .span = callee->span};
    c.function = anl_recipe_function(t->recipe, name);
    c.builtin = c.function ? NULL : anl_builtin_find(name);
    if (c.function || c.builtin)
        return call_value(t, p, &c, e, piped);
    if (n) {
        anl_diagnose(t->diagnostics, ANL_A_type_mismatch, callee->span, "`%s` is a value, not a function or module", name);
        return no_value;
    }
    const char *names[2048];
    int count = 0;
    for (const scope *s = p->scope; s; s = s->parent)
        for (int i = 0; i < s->count && count < 500; i++)
            if (s->entries[i]->kind == ENTRY_MODULE)
                names[count++] = s->entries[i]->name;
    for (int i = 0; i < t->recipe->function_count && count < 1800; i++)
        names[count++] = t->recipe->functions[i]->name;
    for (int i = 0; anl_builtin_at(i) && count < 2030; i++)
        names[count++] = anl_builtin_at(i)->name;
    static const char *const forms[] = {"if", "since", "next"};
    for (size_t i = 0; i < ANL_COUNT(forms); i++)
        names[count++] = forms[i];
    anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unknown_function, callee->span,
                                     "there is no function, module or operation called `%s`", name);
    anl_diagnostic_nearest(t->diagnostics, d, callee->span, name, names, count, false);
    /* look at the arguments all the same, so that all problems are found in one run */
    for (int i = 0; i < e->argument_count; i++)
        if (!e->arguments[i].name)
            evaluate(t, p, e->arguments[i].value, WANT_WORD);
    return no_value;
}

/* ---- pipelines ---- */
static place *place_with_input(tracer *t, place *p, const anl_value *input)
{
    place *with = ANL_NEW(t->arena, place);
    *with = *p;
    with->scope = scope_new(t, p->scope);
    scope_add(t, with->scope, ENTRY_VALUE, "_", input->span)->value = *input;
    return with;
}

static anl_value step_kind(tracer *t, place *p, const anl_expression *step, const anl_value *so_far)
{
    place *at = so_far ? place_with_input(t, p, so_far) : p;
    switch (step->kind) {
    case ANL_E_REPEAT:
        if (!so_far) {
            anl_diagnose(t->diagnostics, ANL_A_expression_syntax, step->span,
                         "a pipeline begins with a value; `repeat` works on the value so far");
            return no_value;
        }
        return evaluate_repeat(t, at, step, so_far);
    case ANL_E_STEP: {
        const anl_expression *callee = step->items[0];
        if (!so_far) { /* the first step: a bare name is the value that starts the pipeline */
            if (!step->argument_count && callee->kind == ANL_E_NAME) {
                anl_value v = evaluate(t, p, callee, WANT_VALUE);
                if (v.kind != ANL_V_FUNCTION)
                    return v;
            }
            return call(t, p, step, NULL, WANT_VALUE);
        }
        return call(t, at, step, so_far, WANT_VALUE);
    }
    case ANL_E_NAME:
        if (so_far) { /* a bare function name is a step, too */
            entry *n = scope_find(at->scope, step->name);
            if (!n || n->kind == ENTRY_MODULE) {
                anl_expression as_step = {.kind = ANL_E_STEP, .span = step->span};
                anl_expression *items[1] = {(anl_expression *)step};
                as_step.items = items;
                as_step.item_count = 1;
                if (strcmp(step->name, "_"))
                    return call(t, at, &as_step, so_far, WANT_VALUE);
            }
        }
        return evaluate(t, at, step, WANT_VALUE);
    default:
        return evaluate(t, at, step, WANT_VALUE);
    }
}

static anl_value step_value(tracer *t, place *p, const anl_expression *step, const anl_value *so_far)
{
    if (so_far && so_far->kind == ANL_V_NONE)
        return no_value;
    const int before = t->graph->node_count;
    const double elsewhere = t->elsewhere;
    anl_value v = step_kind(t, p, step, so_far);
    if (t->witness)
        witness_value(t, step->span, &v, p->draws, flops_of(t, before) - (t->elsewhere - elsewhere));
    return v;
}

anl_value evaluate_pipeline(tracer *t, place *p, const anl_expression *e, const anl_value *input)
{
    anl_value so_far = input ? *input : no_value;
    bool has = input != NULL;
    for (int i = 0; i < e->item_count; i++) {
        so_far = step_value(t, p, e->items[i], has ? &so_far : NULL);
        has = true;
        if (so_far.kind == ANL_V_NONE)
            return no_value;
        if (i == 0 && !input && so_far.kind == ANL_V_FUNCTION) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->items[0]->span,
                                             "a pipeline begins with a value, and this is %s", anl_value_kind_text(&so_far));
            anl_diagnostic_note(t->diagnostics, d, "every further step is fed with the value so far; the first one is that value");
            return no_value;
        }
        so_far.outer = false;
    }
    return so_far;
}

anl_value evaluate_repeat(tracer *t, place *p, const anl_expression *e, const anl_value *input)
{
    anl_value times = evaluate(t, p, e->items[0], WANT_VALUE);
    if (times.kind == ANL_V_NONE)
        return times;
    if (times.kind != ANL_V_INT || times.integer < 0 || times.integer > 10000) {
        anl_diagnose(t->diagnostics,
                     times.kind == ANL_V_INT    ? ANL_A_out_of_range
                     : times.kind == ANL_V_NODE ? ANL_A_not_static
                                                : ANL_A_type_mismatch,
                     e->items[0]->span,
                     "`times` must be a whole number from 0 to 10000 that is known when compiling, and this is %s",
                     what_it_is(t, &times));
        return no_value;
    }
    int64_t from = 0;
    if (e->item_count > 2 && e->items[2]) {
        anl_value v = evaluate(t, p, e->items[2], WANT_VALUE);
        if (v.kind != ANL_V_INT) {
            if (v.kind != ANL_V_NONE)
                anl_diagnose(t->diagnostics, ANL_A_type_mismatch, e->items[2]->span,
                             "`from` must be a whole number, and this is %s", anl_value_kind_text(&v));
            return no_value;
        }
        from = v.integer;
    }
    const bool counted = e->name && *e->name;
    anl_value so_far = *input;
    for (int64_t i = 0; i < times.integer && so_far.kind != ANL_V_NONE; i++) {
        place *at = p;
        if (counted) {
            char number[32];
            snprintf(number, sizeof number, "%lld", (long long)(from + i));
            at = ANL_NEW(t->arena, place);
            *at = *p;
            at->base = at;
            at->claims = ANL_NEW(t->arena, claims);
            at->component = anl_arena_text(t->arena, number);
            at->path = join_path(t, p->path, number);
            at->draws = join_path(t, p->draws, number);
            at->owner = p->owner && !p->updating ? at->path : p->owner;
            at->draw_count = ANL_NEW(t->arena, int);
            at->weight_up = at->draw_up = p;
            at->claimed_weights = at->claimed_draws = false;
            at->span = e->span;
            at->scope = scope_new(t, p->scope);
            entry *n = scope_add(t, at->scope, ENTRY_VALUE, e->name, e->span);
            n->where = at;
            n->value.kind = ANL_V_INT;
            n->value.integer = from + i;
            n->value.span = e->span;
        }
        so_far = evaluate_pipeline(t, at, e->items[1], &so_far);
    }
    return so_far;
}
