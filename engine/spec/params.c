/* Params: declarations, overrides from importing files and from --set, types and ranges.
 * In: the `params:` entries of all files, and overrides. Out: the recipe's params with their winning values.
 * Only literals are checked here; what needs evaluation is the tracer's. */
#include <math.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

/* A default or another value of a param. Quoted, it is a text, unless the type says otherwise: names and numbers need no quotes.
 */
static anl_expression *read_param_value(reader *r, const anl_syntax *s, anl_span where, const char *type)
{
    bool text = type ? !strcmp(type, "text") : s->quoted;
    if (text && s->kind == ANL_Y_SCALAR && !s->broken && !anl_syntax_null(s))
        anl_trap_text(r->diagnostics, s, "a param");
    if (text && s->kind == ANL_Y_SCALAR && !s->broken && !anl_syntax_null(s))
        return anl_reader_make_text(r, s->text, s->span);
    return anl_reader_value(r, s, where, false);
}

bool anl_reader_evaluate(const reader *r, const anl_expression *e, int depth, double *value)
{
    double a, b;
    if (!e || depth > 64)
        return false;
    if (e->kind == ANL_E_NUMBER) {
        *value = e->number;
        return true;
    }
    if (e->kind == ANL_E_NAME) {
        const anl_param *param = anl_reader_find_param(r, e->name);
        return param && anl_reader_evaluate(r, param->value, depth + 1, value);
    }
    if (e->kind != ANL_E_OPERATOR || !anl_reader_evaluate(r, e->items[0], depth + 1, &a))
        return false;
    if (e->item_count == 1) {
        *value = -a;
        return !strcmp(e->name, "negate");
    }
    if (!anl_reader_evaluate(r, e->items[1], depth + 1, &b))
        return false;
    const char *op = e->name;
    if (!strcmp(op, "add"))
        *value = a + b;
    else if (!strcmp(op, "subtract"))
        *value = a - b;
    else if (!strcmp(op, "multiply"))
        *value = a * b;
    else if (!strcmp(op, "divide"))
        *value = a / b;
    else if (!strcmp(op, "floor_divide"))
        *value = floor(a / b);
    else if (!strcmp(op, "power"))
        *value = pow(a, b);
    else
        return false;
    return isfinite(*value);
}

/* What a literal is; NULL: only evaluation can tell. */
static const char *literal_type(const anl_expression *e)
{
    switch (e->kind) {
    case ANL_E_NUMBER:
        return e->integer ? "int" : "number";
    case ANL_E_DURATION:
        return "duration";
    case ANL_E_TEXT:
        return "text";
    case ANL_E_BOOL:
        return "bool";
    case ANL_E_LIST:
        return "list";
    default:
        return NULL;
    }
}

static const char *type_words(const char *type)
{
    static const struct {
        const char *type, *words;
    } all[] = {{"int", "a whole number"},       {"number", "a number"},
               {"bool", "`true` or `false`"},   {"text", "a text"},
               {"list", "a list, `[a, b]`"},    {"duration", "a duration such as `10ep` or `313it`"},
               {"axis", "the name of an axis"}, {"axes", "a list of axes"},
               {"function", "a function"}};
    for (size_t i = 0; i < ANL_COUNT(all); i++)
        if (!strcmp(type, all[i].type))
            return all[i].words;
    return type;
}

static void set_value(reader *r, anl_param *param, anl_expression *value, anl_span span)
{
    if (param->value) {
        anl_setting *before = ANL_NEW(r->arena, anl_setting);
        *before = (anl_setting){param->value_span, param->before};
        param->before = before;
    }
    param->value = value;
    param->value_span = span;
}

void anl_recipe_label_settings(const anl_recipe *recipe, anl_diagnostics *diagnostics, anl_diagnostic *d)
{
    for (int i = 0; i < recipe->param_count; i++) {
        const anl_param *param = &recipe->params[i];
        bool shown = param->before && anl_span_same(param->value_span, d->span);
        for (int k = 0; param->before && k < d->label_count; k++)
            shown = shown || anl_span_same(param->value_span, d->labels[k].span);
        for (const anl_setting *s = shown ? param->before : NULL; s; s = s->before)
            anl_diagnostic_label(diagnostics, d, s->span, "this value of `%s` is overridden", param->name);
    }
}

/* wanted: the type, or the type of the default (then an int stands for any number: `lr: 1` may be set to 0.5). */
static void check_param_type(reader *r, const anl_param *param, anl_expression *value, const char *wanted, bool declared)
{
    const char *found = literal_type(value);
    if (!wanted || !found || !strcmp(wanted, found) || !strcmp(wanted, "any"))
        return;
    if (!declared && !strcmp(wanted, "int"))
        wanted = "number";
    if (!strcmp(wanted, "number") && (!strcmp(found, "int") || !strcmp(found, "number")))
        return;
    if (!strcmp(wanted, "axes") && !strcmp(found, "list"))
        return;
    bool unit = !strcmp(wanted, "duration") || !strcmp(found, "duration");
    anl_diagnostic *d = anl_diagnose(r->diagnostics, unit ? ANL_A_bad_unit : ANL_A_type_mismatch, value->span,
                                     "`%s` is %s, not %s", param->name, type_words(wanted), type_words(found));
    if (param->span.line && (param->span.file != value->span.file || param->span.line != value->span.line))
        anl_diagnostic_label(r->diagnostics, d, param->span, "declared here");
    if (param->value && !anl_span_same(param->value_span, param->span) && param->value_span.line != param->span.line)
        anl_diagnostic_label(r->diagnostics, d, param->value_span, "this value would be overridden");
    value->kind = ANL_E_ERROR; /* reported */
}

static void check_param_range(reader *r, const anl_param *param)
{
    double value, low, high;
    if (!param->value || !anl_reader_evaluate(r, param->value, 0, &value))
        return;
    bool below = param->low && anl_reader_evaluate(r, param->low, 0, &low) && value < low;
    bool above = param->high && anl_reader_evaluate(r, param->high, 0, &high) && value > high;
    if (!below && !above)
        return;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_out_of_range, param->value->span, "`%s` is %g, %s %g%s%s", param->name,
                                     value, below ? "less than its least value" : "more than its greatest value",
                                     below ? low : high, param->unit ? " " : "", param->unit ? param->unit : "");
    anl_diagnostic_label(r->diagnostics, d, below ? param->low->span : param->high->span, "the range is given here");
    param->value->kind = ANL_E_ERROR; /* reported */
}

/* [least, greatest]: numbers, or durations where the param is one; whole ones where it is of type int. */
static void check_bounds(reader *r, anl_param *param)
{
    const anl_expression *bounds[2] = {param->low, param->high};
    const char *own = param->type ? param->type : param->value ? literal_type(param->value) : NULL;
    for (int i = 0; i < 2; i++) {
        const char *found = bounds[i] ? literal_type(bounds[i]) : NULL;
        if (!found)
            continue;
        const bool duration = !strcmp(found, "duration"), number = !strcmp(found, "int") || !strcmp(found, "number");
        if (!duration && !number) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, bounds[i]->span,
                                             "the range of `%s` is from one number to another, and this is %s", param->name, type_words(found));
            anl_diagnostic_suggest(r->diagnostics, d, "write `range: [least, greatest]`");
        } else if (own && duration != !strcmp(own, "duration") && (duration || bounds[i]->number != 0)) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_bad_unit, bounds[i]->span, "`%s` is %s, and this bound is %s", param->name,
                                             type_words(own), type_words(found));
            anl_diagnostic_label(r->diagnostics, d, param->span, "declared here");
        } else if (param->type && !strcmp(param->type, "int") && !bounds[i]->integer) {
            anl_diagnose(r->diagnostics, ANL_A_type_mismatch, bounds[i]->span, "`%s` is a whole number, and this bound is none", param->name);
        }
    }
    double low, high;
    if (anl_reader_evaluate(r, param->low, 0, &low) && anl_reader_evaluate(r, param->high, 0, &high) && low > high) {
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_out_of_range, param->high->span, "the range of `%s` ends below its beginning", param->name);
        anl_diagnostic_label(r->diagnostics, d, param->low->span, "it begins here");
        param->low = param->high = NULL; /* nothing can lie within it */
    }
}

/* Numbers and something else in one list. */
static void check_list(reader *r, const char *name, const anl_expression *list)
{
    const anl_expression *number = NULL, *other = NULL;
    for (int i = 0; list->kind == ANL_E_LIST && i < list->item_count; i++) {
        const char *type = literal_type(list->items[i]);
        if (type && (!strcmp(type, "int") || !strcmp(type, "number")))
            number = list->items[i];
        else if (type && strcmp(type, "list"))
            other = list->items[i];
    }
    if (!number || !other)
        return;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, other->span, "`%s` is a list of numbers, and this is %s", name,
                                     type_words(literal_type(other)));
    anl_diagnostic_label(r->diagnostics, d, number->span, "a number stands here");
}

/* pixels, mm, %; not 7. */
static void check_unit(reader *r, const key *unit, const char *name)
{
    const char *text = anl_reader_text(r, unit);
    if (!text || (text[strspn(text, "+-.0123456789")] == text[0] && strcmp(text, "true") && strcmp(text, "false")))
        return;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_bad_unit, unit->value->span, "`%s` cannot be the unit of `%s`", text, name);
    anl_diagnostic_note(r->diagnostics, d, "a unit is a word: images, pixels, degrees");
}

/* `name: default`, `name: type` or `name: {default, type, range, unit, doc}`. An existing param is overridden in the parts that
 * are given. */
void anl_reader_param(reader *r, const anl_pair *pair, anl_param *param, bool again)
{
    const anl_syntax *s = pair->value;
    const char *wanted = param->type ? param->type : again && param->value ? literal_type(param->value) : NULL;
    bool declared = param->type != NULL;
    anl_syntax *value = NULL;
    anl_span span = pair->key_span;
    if (s->kind == ANL_Y_MAPPING) {
        key keys[PARAM_KEYS];
        anl_text what = {0};
        anl_text_printf(&what, "param `%s`", pair->key);
        anl_reader_keys(r, s, pair->key_span, what.data, &anl_param_keys, keys);
        anl_text_free(&what);
        if (keys[PARAM_TYPE].value) {
            param->type = anl_reader_word(r, &keys[PARAM_TYPE]);
            wanted = param->type;
            declared = param->type != NULL;
        }
        if (keys[PARAM_RANGE].value) {
            const anl_syntax *range = keys[PARAM_RANGE].value;
            if (range->kind == ANL_Y_LIST && range->count == 2) {
                param->low = anl_reader_value(r, range->items[0], keys[PARAM_RANGE].span, false);
                param->high = anl_reader_value(r, range->items[1], keys[PARAM_RANGE].span, false);
            } else {
                anl_reader_wrong_kind(r, range, keys[PARAM_RANGE].span, "two numbers", "write `range: [least, greatest]`");
            }
        }
        if (keys[PARAM_UNIT].value) {
            param->unit = anl_reader_text(r, &keys[PARAM_UNIT]);
            check_unit(r, &keys[PARAM_UNIT], pair->key);
        }
        if (keys[PARAM_DOC].value)
            param->doc = anl_reader_text(r, &keys[PARAM_DOC]);
        value = keys[PARAM_DEFAULT].value;
        span = keys[PARAM_DEFAULT].span;
    } else if (anl_syntax_null(s)) {
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span,
                                         "param `%s` has neither a default nor a type", pair->key);
        anl_diagnostic_suggest(r->diagnostics, d, "write `%s: 1`, or `%s: int` for a param that must be given", pair->key,
                               pair->key);
        param->type = "any";
        return;
    } else {
        value = pair->value;
        if (s->kind == ANL_Y_SCALAR && !s->quoted && !again)
            for (const char *const *type = anl_param_keys.list[PARAM_TYPE].words; *type; type++)
                if (!strcmp(s->text, *type)) {
                    param->type = *type;
                    return;
                }
    }
    if (!value && s->broken && !param->value) {
        param->value = anl_reader_make(r, ANL_E_ERROR, pair->key_span); /* perhaps it was given, in what is reported */
        return;
    }
    if (!value) {
        check_bounds(r, param);
        return;
    }
    const char *text_type = wanted && !strcmp(wanted, "text") ? wanted : param->type;
    anl_expression *e = read_param_value(r, value, span, text_type);
    if (wanted)
        check_param_type(r, param, e, wanted, declared);
    check_list(r, param->name, e);
    set_value(r, param, e, e->span);
    check_bounds(r, param);
}

void anl_reader_params(reader *r)
{
    for (int i = 0; i < r->param_count; i++) {
        const anl_pair *pair = &r->params[i].pair;
        if (!anl_reader_check_name(r, "a param", pair->key, pair->key_span))
            continue;
        anl_param *param = (anl_param *)anl_reader_find_param(r, pair->key);
        bool again = param != NULL;
        if (!again) {
            anl_param fresh = {.name = pair->key, .span = pair->key_span};
            ANL_PUSH(r->arena, r->recipe->params, r->recipe->param_count, r->capacities[0], fresh);
            param = &r->recipe->params[r->recipe->param_count - 1];
        }
        anl_reader_param(r, pair, param, again);
    }
}

/* --set: each override is a line of a source of its own, so that problems in it are shown like any other. */
void anl_reader_overrides(reader *r, const anl_override *overrides, int count)
{
    anl_text lines = {0};
    for (int i = 0; i < count; i++)
        anl_text_printf(&lines, "%s=%s\n", overrides[i].name, overrides[i].value);
    if (count)
        anl_diagnostics_source(r->diagnostics, "--set", lines.data, lines.length);
    anl_text_free(&lines);
    for (int i = 0; i < count; i++) {
        const char *name = anl_arena_text(r->arena, overrides[i].name);
        char *text = anl_arena_text(r->arena, overrides[i].value);
        anl_span span = {"--set", i + 1, 1, name[0] ? (int)strlen(name) : 1};
        anl_param *param = (anl_param *)anl_reader_find_param(r, name);
        if (!param) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_unknown_param, span, "the spec has no param `%s`", name);
            const char **names = ANL_NEW_ARRAY(r->arena, const char *, r->recipe->param_count + 1);
            anl_text all = {0};
            for (int k = 0; k < r->recipe->param_count; k++) {
                names[k] = r->recipe->params[k].name;
                anl_text_printf(&all, "%s`%s`", k ? ", " : "", names[k]);
            }
            if (all.length)
                anl_diagnostic_note(r->diagnostics, d, "its params: %s", all.data);
            anl_text_free(&all);
            anl_diagnostic_nearest(r->diagnostics, d, span, name, names, r->recipe->param_count, false);
            continue;
        }
        const char *wanted = param->type ? param->type : param->value ? literal_type(param->value) : NULL;
        anl_span at = {"--set", i + 1, (int)strlen(name) + 2, text[0] ? (int)strlen(text) : 1};
        anl_expression *value;
        if (wanted && !strcmp(wanted, "text")) {
            size_t length = strlen(text);
            if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
                text[length - 1] = '\0';
                text++;
            }
            value = anl_reader_make_text(r, text, at);
        } else {
            anl_text_map map = {NULL, NULL, at};
            value = anl_expression_read(r->arena, text, &map, r->diagnostics);
            if (value->kind == ANL_E_ERROR)
                continue;
            check_param_type(r, param, value, wanted, param->type != NULL);
        }
        set_value(r, param, value, at);
    }
    for (int i = 0; i < r->recipe->param_count; i++) {
        const anl_param *param = &r->recipe->params[i];
        check_param_range(r, param);
        if (!param->value && !r->recipe->library) {
            anl_diagnostic *d =
                anl_diagnose(r->diagnostics, ANL_A_missing_argument, param->span, "param `%s` has no value", param->name);
            anl_diagnostic_suggest(r->diagnostics, d, "give it a default, or `--set %s=…`", param->name);
        }
    }
}
