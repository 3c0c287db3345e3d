/* Values: expressions, pipelines, durations, paths and axes.
 * In: syntax. Out: anl_expression trees and axis patterns.
 * What is a step that is fed and what an expression that stands for itself is decided here, by the text alone. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

anl_expression *anl_reader_make(reader *r, anl_expression_kind kind, anl_span span)
{
    anl_expression *e = ANL_NEW(r->arena, anl_expression);
    e->kind = kind;
    e->span = span;
    return e;
}

anl_expression *anl_reader_make_text(reader *r, const char *text, anl_span span)
{
    anl_expression *e = anl_reader_make(r, ANL_E_TEXT, span);
    e->name = text;
    return e;
}

static void add_item(reader *r, anl_expression *e, anl_expression *item, int *capacity)
{
    ANL_PUSH(r->arena, e->items, e->item_count, *capacity, item);
    if (item && item->depth >= e->depth)
        e->depth = item->depth + 1;
}

static anl_expression *read_scalar(reader *r, const anl_syntax *s)
{
    if (s->broken)
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    anl_text_map map = anl_syntax_map(r->arena, s);
    return anl_expression_read(r->arena, s->text, &map, r->diagnostics);
}

/* A value: an expression, a YAML list of values, or, among the arguments of a step, a mapping of values. */
anl_expression *anl_reader_value(reader *r, const anl_syntax *s, anl_span where, bool mappings)
{
    if (anl_syntax_null(s)) {
        anl_diagnose(r->diagnostics, ANL_A_missing_key, where, "a value is missing here");
        return anl_reader_make(r, ANL_E_ERROR, where);
    }
    if (s->kind == ANL_Y_SCALAR && !s->quoted && !strcmp(s->text, "~") && anl_trap_name(r->diagnostics, s->span, s->text))
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    if (s->kind == ANL_Y_SCALAR)
        return read_scalar(r, s);
    int capacity = 0;
    if (s->kind == ANL_Y_LIST) {
        anl_expression *e = anl_reader_make(r, ANL_E_LIST, s->span);
        for (int i = 0; i < s->count; i++)
            add_item(r, e, anl_reader_value(r, s->items[i], s->span, mappings), &capacity);
        return e;
    }
    if (!mappings) {
        anl_reader_wrong_kind(r, s, where, "an expression", NULL);
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    }
    anl_expression *e = anl_reader_make(r, ANL_E_MAPPING, s->span);
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        anl_reader_check_name(r, "an argument", pair->key, pair->key_span);
        anl_argument argument = {pair->key, pair->key_span, anl_reader_value(r, pair->value, pair->key_span, true)};
        ANL_PUSH(r->arena, e->arguments, e->argument_count, capacity, argument);
    }
    return e;
}

static anl_expression *read_pipeline(reader *r, const anl_syntax *s, anl_span where, bool fed);

/* `as: conv1`, `as: layer1.0`, `as: ""`: a name, or a text with dots that is a path, or the empty path. */
static anl_expression *read_as(reader *r, const anl_pair *pair)
{
    const anl_syntax *s = pair->value;
    if (s->kind == ANL_Y_SCALAR && !s->broken && !anl_syntax_null(s) && !anl_name_valid(s->text)) {
        bool path = true;
        for (const char *c = s->text; *c; c++)
            path = path &&
                   (*c == '.' || *c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
        if (path)
            return anl_reader_make_text(r, s->text, s->span);
    }
    return anl_reader_value(r, s, pair->key_span, false);
}

static anl_expression *read_repeat(reader *r, const anl_pair *pair)
{
    key keys[REPEAT_KEYS];
    anl_expression *e = anl_reader_make(r, ANL_E_REPEAT, pair->key_span);
    e->name = "";
    if (!anl_reader_keys(r, pair->value, pair->key_span, "`repeat`", &anl_repeat_keys, keys))
        return anl_reader_make(r, ANL_E_ERROR, pair->key_span);
    const char *counter = anl_reader_text(r, &keys[REPEAT_AS]);
    if (counter && anl_reader_check_name(r, "a counter", counter, keys[REPEAT_AS].value->span))
        e->name = counter;
    if (keys[REPEAT_AS].value)
        e->slice_axis_span = keys[REPEAT_AS].value->span;
    int capacity = 0;
    add_item(r, e,
             keys[REPEAT_TIMES].value ? anl_reader_value(r, keys[REPEAT_TIMES].value, keys[REPEAT_TIMES].span, false)
                           : anl_reader_make(r, ANL_E_ERROR, pair->key_span),
             &capacity);
    add_item(r, e,
             keys[REPEAT_STEPS].value ? read_pipeline(r, keys[REPEAT_STEPS].value, keys[REPEAT_STEPS].span, true)
                           : anl_reader_make(r, ANL_E_ERROR, pair->key_span),
             &capacity);
    anl_expression *from = keys[REPEAT_FROM].value ? anl_reader_value(r, keys[REPEAT_FROM].value, keys[REPEAT_FROM].span, false) : NULL;
    ANL_PUSH(r->arena, e->items, e->item_count, capacity, from);
    return e;
}

static anl_expression *read_step_mapping(reader *r, const anl_syntax *s)
{
    if (s->count != 1) {
        anl_diagnostic *d =
            anl_diagnose(r->diagnostics, ANL_A_type_mismatch, s->count ? s->pairs[s->count > 1].key_span : s->span,
                         "a step is one name with its arguments, `name: {…}`; this mapping has %d keys", s->count);
        if (s->count > 1)
            anl_diagnostic_suggest(r->diagnostics, d, "indent the arguments of `%s` below it, or begin the next step with `- `",
                                   s->pairs[0].key);
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    }
    const anl_pair *pair = &s->pairs[0];
    if (!strcmp(pair->key, "repeat"))
        return read_repeat(r, pair);
    anl_expression *step = anl_reader_make(r, ANL_E_STEP, pair->key_span);
    /* The callee is a name or a member; its text is read as an expression to get either. */
    anl_text_map map = {NULL, NULL, pair->key_span};
    anl_expression *callee = anl_expression_read(r->arena, pair->key, &map, r->diagnostics);
    if (callee->kind == ANL_E_ERROR)
        return callee;
    if (callee->kind != ANL_E_NAME && callee->kind != ANL_E_MEMBER) {
        anl_diagnose(r->diagnostics, ANL_A_expression_syntax, pair->key_span,
                     "a step with arguments begins with a name, not with `%s`", pair->key);
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    }
    int items = 0, capacity = 0;
    add_item(r, step, callee, &items);
    const anl_syntax *arguments = pair->value;
    if (anl_syntax_null(arguments))
        return step;
    if (arguments->kind != ANL_Y_MAPPING || arguments->broken) {
        anl_reader_wrong_kind(r, arguments, pair->key_span, "the step's arguments, `{name: value}`,", NULL);
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    }
    for (int i = 0; i < arguments->count; i++) {
        const anl_pair *p = &arguments->pairs[i];
        anl_reader_check_name(r, "an argument", p->key, p->key_span);
        anl_argument argument = {p->key, p->key_span,
                                 !strcmp(p->key, "as") ? read_as(r, p) : anl_reader_value(r, p->value, p->key_span, true)};
        ANL_PUSH(r->arena, step->arguments, step->argument_count, capacity, argument);
    }
    return step;
}

/* A scalar step. The first of a pipeline that is not fed stands as it is; a later one without `_` is fed with the value so far.
 */
static anl_expression *read_step(reader *r, const anl_syntax *s, bool fed)
{
    anl_expression *e = read_scalar(r, s);
    if (!fed || e->kind == ANL_E_ERROR || anl_expression_uses(e, "_"))
        return e;
    if (e->kind == ANL_E_NAME || e->kind == ANL_E_MEMBER) {
        anl_expression *step = anl_reader_make(r, ANL_E_STEP, e->span);
        int capacity = 0;
        add_item(r, step, e, &capacity);
        return step;
    }
    if (e->kind == ANL_E_CALL) {
        e->kind = ANL_E_STEP;
        return e;
    }
    anl_diagnostic *d =
        anl_diagnose(r->diagnostics, ANL_A_type_mismatch, e->span, "this step makes no use of the value before it");
    anl_diagnostic_suggest(r->diagnostics, d, "write `_` where the value so far belongs");
    return anl_reader_make(r, ANL_E_ERROR, e->span);
}

static anl_expression *read_pipeline(reader *r, const anl_syntax *s, anl_span where, bool fed)
{
    if (s->kind != ANL_Y_LIST) {
        anl_reader_wrong_kind(r, s, where, "a list of steps", NULL);
        return anl_reader_make(r, ANL_E_ERROR, where);
    }
    if (!s->count) {
        anl_diagnose(r->diagnostics, ANL_A_missing_key, s->span, "a pipeline needs at least one step");
        return anl_reader_make(r, ANL_E_ERROR, s->span);
    }
    anl_expression *e = anl_reader_make(r, ANL_E_PIPELINE, s->span);
    int capacity = 0;
    for (int i = 0; i < s->count; i++) {
        const anl_syntax *step = s->items[i];
        anl_expression *item;
        if (step->kind == ANL_Y_MAPPING) {
            item = read_step_mapping(r, step);
        } else if (step->kind == ANL_Y_SCALAR && !anl_syntax_null(step)) {
            item = read_step(r, step, fed || i > 0);
        } else {
            anl_reader_wrong_kind(r, step, s->span, "a step", "write a name, `name: {arguments}`, or an expression with `_`");
            item = anl_reader_make(r, ANL_E_ERROR, s->span);
        }
        add_item(r, e, item, &capacity);
    }
    return e;
}

/* A node: an expression or a pipeline. */
anl_expression *anl_reader_node(reader *r, const anl_syntax *s, anl_span where)
{
    return s->kind == ANL_Y_LIST ? read_pipeline(r, s, where, false) : anl_reader_value(r, s, where, false);
}

anl_expression *anl_syntax_expression(anl_arena *arena, const anl_syntax *s, anl_span where, bool steps)
{
    reader r = {.arena = arena};
    return steps ? anl_reader_node(&r, s, where) : anl_reader_value(&r, s, where, false);
}

anl_expression *anl_reader_node_key(reader *r, const key *k) { return k->value ? anl_reader_node(r, k->value, k->span) : NULL; }
anl_expression *anl_reader_value_key(reader *r, const key *k)
{
    return k->value ? anl_reader_value(r, k->value, k->span, false) : NULL;
}

const anl_param *anl_reader_find_param(const reader *r, const char *name)
{
    for (int i = 0; i < r->recipe->param_count; i++)
        if (!strcmp(r->recipe->params[i].name, name))
            return &r->recipe->params[i];
    return NULL;
}

/* A path: the unquoted name of a param, or the text as it stands. */
/* Shards are seldom one file without an ending: mostly a param was meant. */
static void warn_of_word(reader *r, const anl_syntax *s, const char *text)
{
    const char **names = ANL_NEW_ARRAY(r->arena, const char *, r->recipe->param_count + 1);
    for (int i = 0; i < r->recipe->param_count; i++)
        names[i] = r->recipe->params[i].name;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_word_as_text, s->span, "there is no param `%s`, so this is the file of that name", text);
    const char *nearest = anl_nearest(text, names, r->recipe->param_count);
    if (nearest)
        anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%s`?", nearest);
    else
        anl_diagnostic_suggest(r->diagnostics, d, "a glob, as `\"shards/train-*.h5\"`; in quotes if it is meant");
}

anl_expression *anl_reader_path_key(reader *r, const key *k)
{
    const char *text = anl_reader_text(r, k);
    if (!text)
        return NULL;
    if (!k->value->quoted && anl_reader_find_param(r, text)) {
        anl_expression *e = anl_reader_make(r, ANL_E_NAME, k->value->span);
        e->name = text;
        return e;
    }
    if (!k->value->quoted && !strcmp(k->about->name, "shards") && anl_name_valid(text) && strcmp(text, "none") != 0) /* for specs that read nothing */
        warn_of_word(r, k->value, text);
    return anl_reader_make_text(r, text, k->value->span);
}

/* A time in steps or epochs; a bare number is refused. */
anl_expression *anl_reader_duration_key(reader *r, const key *k)
{
    anl_expression *e = anl_reader_value_key(r, k);
    if (!e)
        return NULL;
    const anl_expression *value = e;
    const anl_param *param = e->kind == ANL_E_NAME ? anl_reader_find_param(r, e->name) : NULL;
    if (param && param->value)
        value = param->value;
    if (value->kind == ANL_E_NUMBER || value->kind == ANL_E_BOOL || value->kind == ANL_E_TEXT || value->kind == ANL_E_LIST) {
        anl_diagnostic *d =
            anl_diagnose(r->diagnostics, ANL_A_bad_unit, value->span, "`%s:` is a duration and needs a unit", k->about->name);
        if (value != e)
            anl_diagnostic_label(r->diagnostics, d, e->span, "used here");
        if (value->kind == ANL_E_NUMBER)
            anl_diagnostic_suggest(r->diagnostics, d, "write `%gep` for epochs or `%git` for steps", value->number,
                                   value->number);
        e->kind = ANL_E_ERROR;
    }
    return e;
}

/* ---- axes ---- */

/* `[channel, ~space, ...rest]` */
void anl_reader_signature(reader *r, const anl_syntax *s, anl_span where, anl_input *input)
{
    if (s->kind != ANL_Y_LIST) {
        anl_reader_wrong_kind(r, s, where, "a list of axes", "write `[channel, ~space]`, or `[...rest]` for any");
        return;
    }
    int capacity = 0;
    bool space = false, rest = false;
    for (int i = 0; i < s->count; i++) {
        const anl_syntax *item = s->items[i];
        if (item->kind != ANL_Y_SCALAR || anl_syntax_null(item)) {
            anl_reader_wrong_kind(r, item, s->span, "the name of an axis", NULL);
            continue;
        }
        anl_axis_pattern axis = {.kind = ANL_P_AXIS, .name = item->text, .span = item->span};
        if (!strncmp(item->text, "...", 3)) {
            axis.kind = ANL_P_REST;
            axis.name += 3;
        } else if (item->text[0] == '~') {
            axis.kind = ANL_P_SPACE;
            axis.name += 1;
            if (strcmp(axis.name, "space")) {
                anl_diagnostic *d =
                    anl_diagnose(r->diagnostics, ANL_A_unknown_axis, item->span, "`%s` stands for no group of axes", item->text);
                anl_diagnostic_suggest(r->diagnostics, d, "write `~space`, or `...%s` for all other axes", axis.name);
                continue;
            }
        }
        if (!anl_reader_check_name(r, "an axis", axis.name, item->span))
            continue;
        bool again = (axis.kind == ANL_P_REST && rest) || (axis.kind == ANL_P_SPACE && space);
        for (int k = 0; k < input->axis_count; k++)
            again = again || !strcmp(input->axes[k].name, axis.name);
        rest = rest || axis.kind == ANL_P_REST;
        space = space || axis.kind == ANL_P_SPACE;
        if (again) {
            anl_diagnose(r->diagnostics, ANL_A_duplicate_axis, item->span, "`%s` stands twice in these axes", item->text);
            continue;
        }
        ANL_PUSH(r->arena, input->axes, input->axis_count, capacity, axis);
    }
}

/* `{channel: 1, y: 128, ~space: kernel}` */
int anl_reader_axes(reader *r, const key *k, anl_axis_pattern **axes)
{
    *axes = NULL;
    if (!k->value)
        return 0;
    if (k->value->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, k->value, k->span, "a mapping of axes to sizes", "write `{channel: 1, y: 128}`");
        return 0;
    }
    int count = 0, capacity = 0;
    for (int i = 0; i < k->value->count; i++) {
        const anl_pair *pair = &k->value->pairs[i];
        anl_axis_pattern axis = {.kind = ANL_P_AXIS, .name = pair->key, .span = pair->key_span};
        if (!strcmp(pair->key, "~space")) {
            axis.kind = ANL_P_SPACE;
            axis.name = "space";
        } else if (!anl_reader_check_name(r, "an axis", pair->key, pair->key_span)) {
            continue;
        }
        axis.size = anl_reader_value(r, pair->value, pair->key_span, false);
        ANL_PUSH(r->arena, *axes, count, capacity, axis);
    }
    return count;
}
