/* Spec files to a typed recipe: imports, params and overrides, functions, and every section.
 * In: the path of a spec, --set overrides, the folder of the stock library. Out: anl_recipe; every problem that shows without tracing.
 * Files are merged as syntax first (the importing file wins, key by key) and read once after that, so that every value keeps its place. */
#include "spec/recipe.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/syntax.h"

enum { IMPORT_DEPTH = 64 };

typedef struct loaded_file {
    const char *name, *identity; /* as shown; its real path */
    bool open;                   /* being read: importing it again is a loop */
} loaded_file;

/* One entry of a `params:` or `functions:` section, in the order of the files. */
typedef struct entry {
    anl_pair pair;
    const char *file;
} entry;

enum { SECTION_DATA, SECTION_VIEWS, SECTION_MODULES, SECTION_STATE, SECTION_GRAPH, SECTION_LOSSES, SECTION_TRAIN, SECTION_INITIALIZE,
       SECTION_METRICS, SECTION_COUNT };
static const char *const section_names[SECTION_COUNT] = {"data", "views", "modules", "state", "graph", "losses", "train", "initialize", "metrics"};

typedef struct reader {
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    anl_recipe *recipe;
    const char *library;
    loaded_file *files;
    int file_count, file_capacity;
    entry *params, *functions;
    int param_count, param_capacity, function_count, function_capacity;
    anl_syntax *sections[SECTION_COUNT];
    anl_span section_spans[SECTION_COUNT];
    int capacities[12];
} reader;

/* ---- helpers ---- */

static const char *kind_name(const anl_syntax *s)
{
    return s->kind == ANL_Y_LIST ? "a list" : s->kind == ANL_Y_MAPPING ? "a mapping" : anl_syntax_null(s) ? "nothing" : "a single value";
}

static void wrong_kind(reader *r, const anl_syntax *s, anl_span where, const char *expected, const char *remedy)
{
    if (s->broken)
        return;
    anl_span span = anl_syntax_null(s) ? where : s->span;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, span, "expected %s here, found %s", expected, kind_name(s));
    if (remedy)
        anl_diagnostic_suggest(r->diagnostics, d, "%s", remedy);
}

static bool check_name(reader *r, const char *what, const char *name, anl_span span)
{
    if (anl_name_valid(name))
        return true;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_expression_syntax, span, "`%s` cannot be the name of %s", name, what);
    anl_diagnostic_note(r->diagnostics, d, "a name is made of letters, digits and `_`, begins with no digit, and is not `and`, `or`, `not`, `true` or `false`");
    return false;
}

/* Keys that a mapping may have. */
typedef struct key {
    const char *name;
    bool required;
    anl_syntax *value; /* NULL: not there */
    anl_span span;
} key;

static void unknown_key(reader *r, const anl_pair *pair, const char *what, const key *keys, int count)
{
    const char *names[40];
    anl_text all = {0};
    for (int i = 0; i < count; i++) {
        names[i] = keys[i].name;
        anl_text_printf(&all, "%s`%s`", i ? ", " : "", keys[i].name);
    }
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_unknown_key, pair->key_span, "unknown key `%s` in %s", pair->key, what);
    anl_diagnostic_note(r->diagnostics, d, "known keys: %s", all.data);
    const char *near = anl_nearest(pair->key, names, count);
    if (near)
        anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%s`?", near);
    anl_text_free(&all);
}

/* Fills keys from a mapping; unknown, empty and missing ones are reported. */
static bool read_keys(reader *r, const anl_syntax *s, anl_span where, const char *what, key *keys, int count)
{
    if (s->kind != ANL_Y_MAPPING) {
        wrong_kind(r, s, where, "a mapping", NULL);
        return false;
    }
    bool broken = s->broken;
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        int k = 0;
        while (k < count && strcmp(keys[k].name, pair->key))
            k++;
        if (k == count) {
            unknown_key(r, pair, what, keys, count);
            continue;
        }
        keys[k].span = pair->key_span;
        if (anl_syntax_null(pair->value)) {
            anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span, "`%s:` of %s is empty", pair->key, what);
            keys[k].required = false;
            continue;
        }
        if (pair->value->kind == ANL_Y_SCALAR && pair->value->broken) {
            broken = true;
            keys[k].required = false;
        }
        keys[k].value = pair->value;
    }
    for (int k = 0; k < count; k++)
        if (keys[k].required && !keys[k].value && !broken)
            anl_diagnose(r->diagnostics, ANL_A_missing_key, where, "%s needs `%s:`", what, keys[k].name);
    return true;
}

/* A plain text: doc, title, unit. NULL where there is none. */
static const char *read_text(reader *r, const key *k)
{
    if (!k->value)
        return NULL;
    if (k->value->kind != ANL_Y_SCALAR) {
        wrong_kind(r, k->value, k->span, "a text", NULL);
        return NULL;
    }
    return k->value->broken ? NULL : k->value->text;
}

/* A word out of a few. */
static const char *read_word(reader *r, const key *k, const char *const *words, int count)
{
    const char *text = read_text(r, k);
    if (!text)
        return NULL;
    for (int i = 0; i < count; i++)
        if (!strcmp(text, words[i]))
            return words[i];
    anl_text all = {0};
    for (int i = 0; i < count; i++)
        anl_text_printf(&all, "%s`%s`", !i ? "" : i + 1 == count ? " or " : ", ", words[i]);
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, k->value->span, "`%s:` is %s, not `%s`", k->name, all.data, text);
    const char *near = anl_nearest(text, words, count);
    if (near)
        anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%s`?", near);
    anl_text_free(&all);
    return NULL;
}

static bool read_truth(reader *r, const key *k)
{
    const char *const words[] = {"true", "false"};
    const char *word = read_word(r, k, words, 2);
    return word && word[0] == 't';
}

/* ---- expressions and pipelines ---- */

static anl_expression *make(reader *r, anl_expression_kind kind, anl_span span)
{
    anl_expression *e = ANL_NEW(r->arena, anl_expression);
    e->kind = kind;
    e->span = span;
    return e;
}

static anl_expression *make_text(reader *r, const char *text, anl_span span)
{
    anl_expression *e = make(r, ANL_E_TEXT, span);
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
        return make(r, ANL_E_ERROR, s->span);
    anl_text_map map = anl_syntax_map(r->arena, s);
    return anl_expression_read(r->arena, s->text, &map, r->diagnostics);
}

/* A value: an expression, a YAML list of values, or, among the arguments of a step, a mapping of values. */
static anl_expression *read_value(reader *r, const anl_syntax *s, anl_span where, bool mappings)
{
    if (anl_syntax_null(s)) {
        anl_diagnose(r->diagnostics, ANL_A_missing_key, where, "a value is missing here");
        return make(r, ANL_E_ERROR, where);
    }
    if (s->kind == ANL_Y_SCALAR)
        return read_scalar(r, s);
    int capacity = 0;
    if (s->kind == ANL_Y_LIST) {
        anl_expression *e = make(r, ANL_E_LIST, s->span);
        for (int i = 0; i < s->count; i++)
            add_item(r, e, read_value(r, s->items[i], s->span, mappings), &capacity);
        return e;
    }
    if (!mappings) {
        wrong_kind(r, s, where, "an expression", NULL);
        return make(r, ANL_E_ERROR, s->span);
    }
    anl_expression *e = make(r, ANL_E_MAPPING, s->span);
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        check_name(r, "an argument", pair->key, pair->key_span);
        anl_argument argument = {pair->key, pair->key_span, read_value(r, pair->value, pair->key_span, true)};
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
            path = path && (*c == '.' || *c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
        if (path)
            return make_text(r, s->text, s->span);
    }
    return read_value(r, s, pair->key_span, false);
}

static anl_expression *read_repeat(reader *r, const anl_pair *pair)
{
    key keys[] = {{.name = "times", .required = true}, {.name = "as"}, {.name = "from"}, {.name = "steps", .required = true}};
    anl_expression *e = make(r, ANL_E_REPEAT, pair->key_span);
    e->name = "";
    if (!read_keys(r, pair->value, pair->key_span, "`repeat`", keys, ANL_COUNT(keys)))
        return make(r, ANL_E_ERROR, pair->key_span);
    const char *counter = read_text(r, &keys[1]);
    if (counter && check_name(r, "a counter", counter, keys[1].value->span))
        e->name = counter;
    int capacity = 0;
    add_item(r, e, keys[0].value ? read_value(r, keys[0].value, keys[0].span, false) : make(r, ANL_E_ERROR, pair->key_span), &capacity);
    add_item(r, e, keys[3].value ? read_pipeline(r, keys[3].value, keys[3].span, true) : make(r, ANL_E_ERROR, pair->key_span), &capacity);
    anl_expression *from = keys[2].value ? read_value(r, keys[2].value, keys[2].span, false) : NULL;
    ANL_PUSH(r->arena, e->items, e->item_count, capacity, from);
    return e;
}

static anl_expression *read_step_mapping(reader *r, const anl_syntax *s)
{
    if (s->count != 1) {
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, s->count ? s->pairs[s->count > 1].key_span : s->span,
                                         "a step is one name with its arguments, `name: {…}`; this mapping has %d keys", s->count);
        if (s->count > 1)
            anl_diagnostic_suggest(r->diagnostics, d, "indent the arguments of `%s` below it, or begin the next step with `- `", s->pairs[0].key);
        return make(r, ANL_E_ERROR, s->span);
    }
    const anl_pair *pair = &s->pairs[0];
    if (!strcmp(pair->key, "repeat"))
        return read_repeat(r, pair);
    anl_expression *step = make(r, ANL_E_STEP, pair->key_span);
    /* The callee is a name or a member; its text is read as an expression to get either. */
    anl_text_map map = {NULL, NULL, pair->key_span};
    anl_expression *callee = anl_expression_read(r->arena, pair->key, &map, r->diagnostics);
    if (callee->kind == ANL_E_ERROR)
        return callee;
    if (callee->kind != ANL_E_NAME && callee->kind != ANL_E_MEMBER) {
        anl_diagnose(r->diagnostics, ANL_A_expression_syntax, pair->key_span, "a step with arguments begins with a name, not with `%s`", pair->key);
        return make(r, ANL_E_ERROR, s->span);
    }
    int items = 0, capacity = 0;
    add_item(r, step, callee, &items);
    const anl_syntax *arguments = pair->value;
    if (anl_syntax_null(arguments))
        return step;
    if (arguments->kind != ANL_Y_MAPPING || arguments->broken) {
        wrong_kind(r, arguments, pair->key_span, "the step's arguments, `{name: value}`,", NULL);
        return make(r, ANL_E_ERROR, s->span);
    }
    for (int i = 0; i < arguments->count; i++) {
        const anl_pair *p = &arguments->pairs[i];
        check_name(r, "an argument", p->key, p->key_span);
        anl_argument argument = {p->key, p->key_span, !strcmp(p->key, "as") ? read_as(r, p) : read_value(r, p->value, p->key_span, true)};
        ANL_PUSH(r->arena, step->arguments, step->argument_count, capacity, argument);
    }
    return step;
}

/* A scalar step. The first of a pipeline that is not fed stands as it is; a later one without `_` is fed with the value so far. */
static anl_expression *read_step(reader *r, const anl_syntax *s, bool fed)
{
    anl_expression *e = read_scalar(r, s);
    if (!fed || e->kind == ANL_E_ERROR || anl_expression_uses(e, "_"))
        return e;
    if (e->kind == ANL_E_NAME || e->kind == ANL_E_MEMBER) {
        anl_expression *step = make(r, ANL_E_STEP, e->span);
        int capacity = 0;
        add_item(r, step, e, &capacity);
        return step;
    }
    if (e->kind == ANL_E_CALL) {
        e->kind = ANL_E_STEP;
        return e;
    }
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, e->span, "this step makes no use of the value before it");
    anl_diagnostic_suggest(r->diagnostics, d, "write `_` where the value so far belongs");
    return make(r, ANL_E_ERROR, e->span);
}

static anl_expression *read_pipeline(reader *r, const anl_syntax *s, anl_span where, bool fed)
{
    if (s->kind != ANL_Y_LIST) {
        wrong_kind(r, s, where, "a list of steps", NULL);
        return make(r, ANL_E_ERROR, where);
    }
    if (!s->count) {
        anl_diagnose(r->diagnostics, ANL_A_missing_key, s->span, "a pipeline needs at least one step");
        return make(r, ANL_E_ERROR, s->span);
    }
    anl_expression *e = make(r, ANL_E_PIPELINE, s->span);
    int capacity = 0;
    for (int i = 0; i < s->count; i++) {
        const anl_syntax *step = s->items[i];
        anl_expression *item;
        if (step->kind == ANL_Y_MAPPING) {
            item = read_step_mapping(r, step);
        } else if (step->kind == ANL_Y_SCALAR && !anl_syntax_null(step)) {
            item = read_step(r, step, fed || i > 0);
        } else {
            wrong_kind(r, step, s->span, "a step", "write a name, `name: {arguments}`, or an expression with `_`");
            item = make(r, ANL_E_ERROR, s->span);
        }
        add_item(r, e, item, &capacity);
    }
    return e;
}

/* A node: an expression or a pipeline. */
static anl_expression *read_node(reader *r, const anl_syntax *s, anl_span where)
{
    return s->kind == ANL_Y_LIST ? read_pipeline(r, s, where, false) : read_value(r, s, where, false);
}

static anl_expression *read_node_key(reader *r, const key *k) { return k->value ? read_node(r, k->value, k->span) : NULL; }
static anl_expression *read_value_key(reader *r, const key *k) { return k->value ? read_value(r, k->value, k->span, false) : NULL; }

static const anl_param *find_param(const reader *r, const char *name)
{
    for (int i = 0; i < r->recipe->param_count; i++)
        if (!strcmp(r->recipe->params[i].name, name))
            return &r->recipe->params[i];
    return NULL;
}

/* A path: the unquoted name of a param, or the text as it stands. */
static anl_expression *read_path_key(reader *r, const key *k)
{
    const char *text = read_text(r, k);
    if (!text)
        return NULL;
    if (!k->value->quoted && find_param(r, text)) {
        anl_expression *e = make(r, ANL_E_NAME, k->value->span);
        e->name = text;
        return e;
    }
    return make_text(r, text, k->value->span);
}

/* A time in steps or epochs; a bare number is refused. */
static anl_expression *read_duration_key(reader *r, const key *k)
{
    anl_expression *e = read_value_key(r, k);
    if (!e)
        return NULL;
    const anl_expression *value = e;
    const anl_param *param = e->kind == ANL_E_NAME ? find_param(r, e->name) : NULL;
    if (param && param->value)
        value = param->value;
    if (value->kind == ANL_E_NUMBER || value->kind == ANL_E_BOOL || value->kind == ANL_E_TEXT || value->kind == ANL_E_LIST) {
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_bad_unit, value->span, "`%s:` is a duration and needs a unit", k->name);
        if (value != e)
            anl_diagnostic_label(r->diagnostics, d, e->span, "used here");
        if (value->kind == ANL_E_NUMBER)
            anl_diagnostic_suggest(r->diagnostics, d, "write `%gep` for epochs or `%git` for steps", value->number, value->number);
        e->kind = ANL_E_ERROR;
    }
    return e;
}

/* ---- axes ---- */

/* `[channel, ~space, ...rest]` */
static void read_signature(reader *r, const anl_syntax *s, anl_span where, anl_input *input)
{
    if (s->kind != ANL_Y_LIST) {
        wrong_kind(r, s, where, "a list of axes", "write `[channel, ~space]`, or `[...rest]` for any");
        return;
    }
    int capacity = 0;
    bool space = false, rest = false;
    for (int i = 0; i < s->count; i++) {
        const anl_syntax *item = s->items[i];
        if (item->kind != ANL_Y_SCALAR || anl_syntax_null(item)) {
            wrong_kind(r, item, s->span, "the name of an axis", NULL);
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
                anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_unknown_axis, item->span, "`%s` stands for no group of axes", item->text);
                anl_diagnostic_suggest(r->diagnostics, d, "write `~space`, or `...%s` for all other axes", axis.name);
                continue;
            }
        }
        if (!check_name(r, "an axis", axis.name, item->span))
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
static int read_axes(reader *r, const key *k, anl_axis_pattern **axes)
{
    *axes = NULL;
    if (!k->value)
        return 0;
    if (k->value->kind != ANL_Y_MAPPING) {
        wrong_kind(r, k->value, k->span, "a mapping of axes to sizes", "write `{channel: 1, y: 128}`");
        return 0;
    }
    int count = 0, capacity = 0;
    for (int i = 0; i < k->value->count; i++) {
        const anl_pair *pair = &k->value->pairs[i];
        anl_axis_pattern axis = {.kind = ANL_P_AXIS, .name = pair->key, .span = pair->key_span};
        if (!strcmp(pair->key, "~space")) {
            axis.kind = ANL_P_SPACE;
            axis.name = "space";
        } else if (!check_name(r, "an axis", pair->key, pair->key_span)) {
            continue;
        }
        axis.size = read_value(r, pair->value, pair->key_span, false);
        ANL_PUSH(r->arena, *axes, count, capacity, axis);
    }
    return count;
}

/* ---- params ---- */

static const char *const param_types[] = {"int", "number", "bool", "axis", "axes", "text", "list", "duration", "function", "any"};

/* A default or another value of a param. Quoted, it is a text, unless the type says otherwise: names and numbers need no quotes. */
static anl_expression *read_param_value(reader *r, const anl_syntax *s, anl_span where, const char *type)
{
    bool text = type ? !strcmp(type, "text") : s->quoted;
    if (text && s->kind == ANL_Y_SCALAR && !s->broken && !anl_syntax_null(s))
        return make_text(r, s->text, s->span);
    return read_value(r, s, where, false);
}

static bool evaluate(const reader *r, const anl_expression *e, int depth, double *value)
{
    double a, b;
    if (!e || depth > 64)
        return false;
    if (e->kind == ANL_E_NUMBER) {
        *value = e->number;
        return true;
    }
    if (e->kind == ANL_E_NAME) {
        const anl_param *param = find_param(r, e->name);
        return param && evaluate(r, param->value, depth + 1, value);
    }
    if (e->kind != ANL_E_OPERATOR || !evaluate(r, e->items[0], depth + 1, &a))
        return false;
    if (e->item_count == 1) {
        *value = -a;
        return !strcmp(e->name, "negate");
    }
    if (!evaluate(r, e->items[1], depth + 1, &b))
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
    } all[] = {{"int", "a whole number"}, {"number", "a number"},     {"bool", "`true` or `false`"},
               {"text", "a text"},        {"list", "a list, `[a, b]`"}, {"duration", "a duration such as `10ep` or `313it`"},
               {"axis", "the name of an axis"}, {"axes", "a list of axes"}, {"function", "a function"}};
    for (size_t i = 0; i < ANL_COUNT(all); i++)
        if (!strcmp(type, all[i].type))
            return all[i].words;
    return type;
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
    anl_diagnostic *d = anl_diagnose(r->diagnostics, unit ? ANL_A_bad_unit : ANL_A_type_mismatch, value->span, "`%s` is %s, not %s", param->name,
                                     type_words(wanted), type_words(found));
    if (param->span.line && (param->span.file != value->span.file || param->span.line != value->span.line))
        anl_diagnostic_label(r->diagnostics, d, param->span, "declared here");
    value->kind = ANL_E_ERROR; /* reported */
}

static void check_param_range(reader *r, const anl_param *param)
{
    double value, low, high;
    if (!param->value || !evaluate(r, param->value, 0, &value))
        return;
    bool below = param->low && evaluate(r, param->low, 0, &low) && value < low;
    bool above = param->high && evaluate(r, param->high, 0, &high) && value > high;
    if (!below && !above)
        return;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_out_of_range, param->value->span, "`%s` is %g, %s %g%s%s", param->name, value,
                                     below ? "less than its least value" : "more than its greatest value", below ? low : high,
                                     param->unit ? " " : "", param->unit ? param->unit : "");
    anl_diagnostic_label(r->diagnostics, d, below ? param->low->span : param->high->span, "the range is given here");
    param->value->kind = ANL_E_ERROR; /* reported */
}

/* `name: default`, `name: type` or `name: {default, type, range, unit, doc}`. An existing param is overridden in the parts that are given. */
static void read_param(reader *r, const anl_pair *pair, anl_param *param, bool again)
{
    const anl_syntax *s = pair->value;
    const char *wanted = param->type ? param->type : again && param->value ? literal_type(param->value) : NULL;
    bool declared = param->type != NULL;
    anl_syntax *value = NULL;
    anl_span span = pair->key_span;
    if (s->kind == ANL_Y_MAPPING) {
        key keys[] = {{.name = "default"}, {.name = "type"}, {.name = "range"}, {.name = "unit"}, {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "param `%s`", pair->key);
        read_keys(r, s, pair->key_span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        if (keys[1].value) {
            param->type = read_word(r, &keys[1], param_types, ANL_COUNT(param_types));
            wanted = param->type;
            declared = param->type != NULL;
        }
        if (keys[2].value) {
            const anl_syntax *range = keys[2].value;
            if (range->kind == ANL_Y_LIST && range->count == 2) {
                param->low = read_value(r, range->items[0], keys[2].span, false);
                param->high = read_value(r, range->items[1], keys[2].span, false);
            } else {
                wrong_kind(r, range, keys[2].span, "two numbers", "write `range: [least, greatest]`");
            }
        }
        if (keys[3].value)
            param->unit = read_text(r, &keys[3]);
        if (keys[4].value)
            param->doc = read_text(r, &keys[4]);
        value = keys[0].value;
        span = keys[0].span;
    } else if (anl_syntax_null(s)) {
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span, "param `%s` has neither a default nor a type", pair->key);
        anl_diagnostic_suggest(r->diagnostics, d, "write `%s: 1`, or `%s: int` for a param that must be given", pair->key, pair->key);
        param->type = "any";
        return;
    } else {
        value = pair->value;
        if (s->kind == ANL_Y_SCALAR && !s->quoted && !again)
            for (size_t i = 0; i < ANL_COUNT(param_types); i++)
                if (!strcmp(s->text, param_types[i])) {
                    param->type = param_types[i];
                    return;
                }
    }
    if (!value)
        return;
    const char *text_type = wanted && !strcmp(wanted, "text") ? wanted : param->type;
    anl_expression *e = read_param_value(r, value, span, text_type);
    if (wanted)
        check_param_type(r, param, e, wanted, declared);
    param->value = e;
    param->value_span = e->span;
}

static void read_params(reader *r)
{
    for (int i = 0; i < r->param_count; i++) {
        const anl_pair *pair = &r->params[i].pair;
        if (!check_name(r, "a param", pair->key, pair->key_span))
            continue;
        anl_param *param = (anl_param *)find_param(r, pair->key);
        bool again = param != NULL;
        if (!again) {
            anl_param fresh = {.name = pair->key, .span = pair->key_span};
            ANL_PUSH(r->arena, r->recipe->params, r->recipe->param_count, r->capacities[0], fresh);
            param = &r->recipe->params[r->recipe->param_count - 1];
        }
        read_param(r, pair, param, again);
    }
}

/* --set: each override is a line of a source of its own, so that problems in it are shown like any other. */
static void apply_overrides(reader *r, const anl_override *overrides, int count)
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
        anl_param *param = (anl_param *)find_param(r, name);
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
            const char *near = anl_nearest(name, names, r->recipe->param_count);
            if (near)
                anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%s`?", near);
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
            value = make_text(r, text, at);
        } else {
            anl_text_map map = {NULL, NULL, at};
            value = anl_expression_read(r->arena, text, &map, r->diagnostics);
            if (value->kind == ANL_E_ERROR)
                continue;
            check_param_type(r, param, value, wanted, param->type != NULL);
        }
        param->value = value;
        param->value_span = at;
    }
    for (int i = 0; i < r->recipe->param_count; i++) {
        const anl_param *param = &r->recipe->params[i];
        check_param_range(r, param);
        if (!param->value && !r->recipe->library) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_argument, param->span, "param `%s` has no value", param->name);
            anl_diagnostic_suggest(r->diagnostics, d, "give it a default, or `--set %s=…`", param->name);
        }
    }
}

/* ---- functions ---- */

static const char *const weight_kinds[] = {"matrix", "bias", "norm", "other"};

static void read_declaration(reader *r, const anl_pair *pair, bool is_weight, anl_declaration *d)
{
    key keys[] = {{.name = "axes"},   {.name = "like"},    {.name = "init", .required = true},  {.name = "project"},
                  {.name = "doc"},    {.name = "kind"},    {.name = is_weight ? "kind" : "update"}, {.name = is_weight ? "kind" : "calls"}};
    anl_text what = {0};
    anl_text_printf(&what, "%s `%s`", is_weight ? "weight" : "state", pair->key);
    d->name = pair->key;
    d->span = pair->key_span;
    d->is_weight = is_weight;
    read_keys(r, pair->value, pair->key_span, what.data, keys, is_weight ? 6 : 8);
    anl_text_free(&what);
    d->axis_count = read_axes(r, &keys[0], &d->axes);
    d->like = read_text(r, &keys[1]);
    if (d->like && keys[0].value) {
        anl_diagnostic *p = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, keys[1].span, "`like:` and `axes:` cannot both be given");
        anl_diagnostic_label(r->diagnostics, p, keys[0].span, "the axes");
    }
    d->init = read_value_key(r, &keys[2]);
    d->project = read_node_key(r, &keys[3]);
    d->kind = read_word(r, &keys[5], weight_kinds, ANL_COUNT(weight_kinds));
    if (!is_weight) {
        const char *const calls[] = {"mean"};
        d->update = read_node_key(r, &keys[6]);
        d->calls = read_word(r, &keys[7], calls, 1);
    }
    if (!d->init)
        d->init = make(r, ANL_E_ERROR, pair->key_span);
}

static void read_declarations(reader *r, const key *k, bool is_weight, anl_declaration **list, int *count, int *capacity)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        wrong_kind(r, k->value, k->span, "a mapping", NULL);
        return;
    }
    for (int i = 0; i < k->value->count; i++) {
        anl_declaration d = {0};
        if (!check_name(r, is_weight ? "a weight" : "a state", k->value->pairs[i].key, k->value->pairs[i].key_span))
            continue;
        read_declaration(r, &k->value->pairs[i], is_weight, &d);
        ANL_PUSH(r->arena, *list, *count, *capacity, d);
    }
}

static void read_named(reader *r, const anl_syntax *s, anl_span where, const char *what, anl_named **list, int *count)
{
    int capacity = 0;
    if (s->kind != ANL_Y_MAPPING) {
        wrong_kind(r, s, where, "a mapping of names to expressions or pipelines", NULL);
        return;
    }
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!check_name(r, what, pair->key, pair->key_span))
            continue;
        anl_named named = {pair->key, pair->key_span, read_node(r, pair->value, pair->key_span)};
        ANL_PUSH(r->arena, *list, *count, capacity, named);
    }
}

/* Names of one scope, for duplicates over its sections. */
typedef struct scope {
    struct {
        const char *name, *what;
        anl_span span;
    } *names;
    int count, capacity;
} scope;

static bool declare(reader *r, scope *s, const char *name, const char *what, anl_span span)
{
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->names[i].name, name)) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_duplicate_name, span, "`%s` is already the name of %s", name, s->names[i].what);
            anl_diagnostic_label(r->diagnostics, d, s->names[i].span, "first here");
            return false;
        }
    ANL_PUSH(r->arena, s->names, s->count, s->capacity, ((__typeof__(*s->names)){name, what, span}));
    return true;
}

/* Drops the items of a list whose name is taken: they are reported, and what comes of them would only confuse. */
#define KEEP_NEW(list, count, what)                                                              \
    do {                                                                                         \
        int kept = 0;                                                                            \
        for (int i = 0; i < (count); i++)                                                        \
            if (declare(r, &names, (list)[i].name, what, (list)[i].span))                        \
                (list)[kept++] = (list)[i];                                                      \
        (count) = kept;                                                                          \
    } while (0)

static anl_function *read_function(reader *r, const entry *item)
{
    const anl_pair *pair = &item->pair;
    key keys[] = {{.name = "doc"},   {.name = "inputs"}, {.name = "params"}, {.name = "weights"},
                  {.name = "state"}, {.name = "nodes"},  {.name = "returns", .required = true}};
    anl_function *f = ANL_NEW(r->arena, anl_function);
    f->name = pair->key;
    f->span = pair->key_span;
    f->file = item->file;
    anl_text what = {0};
    anl_text_printf(&what, "function `%s`", pair->key);
    read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
    anl_text_free(&what);
    f->doc = read_text(r, &keys[0]);
    scope names = {0};
    int capacity = 0;
    if (keys[1].value && keys[1].value->kind != ANL_Y_MAPPING)
        wrong_kind(r, keys[1].value, keys[1].span, "a mapping of inputs to axes", "write `inputs: {x: [channel, ~space]}`");
    for (int i = 0; keys[1].value && keys[1].value->kind == ANL_Y_MAPPING && i < keys[1].value->count; i++) {
        const anl_pair *p = &keys[1].value->pairs[i];
        if (!check_name(r, "an input", p->key, p->key_span))
            continue;
        anl_input input = {.name = p->key, .span = p->key_span};
        read_signature(r, p->value, p->key_span, &input);
        declare(r, &names, input.name, "an input", input.span);
        ANL_PUSH(r->arena, f->inputs, f->input_count, capacity, input);
    }
    capacity = 0;
    if (keys[2].value && keys[2].value->kind != ANL_Y_MAPPING)
        wrong_kind(r, keys[2].value, keys[2].span, "a mapping of params to defaults or types", NULL);
    for (int i = 0; keys[2].value && keys[2].value->kind == ANL_Y_MAPPING && i < keys[2].value->count; i++) {
        const anl_pair *p = &keys[2].value->pairs[i];
        if (!check_name(r, "a param", p->key, p->key_span))
            continue;
        anl_param param = {.name = p->key, .span = p->key_span};
        read_param(r, p, &param, false);
        if (declare(r, &names, param.name, "a param", param.span))
            ANL_PUSH(r->arena, f->params, f->param_count, capacity, param);
    }
    capacity = 0;
    read_declarations(r, &keys[3], true, &f->declarations, &f->declaration_count, &capacity);
    read_declarations(r, &keys[4], false, &f->declarations, &f->declaration_count, &capacity);
    KEEP_NEW(f->declarations, f->declaration_count, "a weight or a state");
    if (keys[5].value)
        read_named(r, keys[5].value, keys[5].span, "a node", &f->nodes, &f->node_count);
    KEEP_NEW(f->nodes, f->node_count, "a node");
    if (!keys[6].value)
        f->returns = make(r, ANL_E_ERROR, f->span);
    else if (keys[6].value->kind == ANL_Y_MAPPING)
        read_named(r, keys[6].value, keys[6].span, "a member", &f->members, &f->member_count);
    else
        f->returns = read_node(r, keys[6].value, keys[6].span);
    return f;
}

static void read_functions(reader *r)
{
    scope names = {0};
    for (int i = 0; i < r->function_count; i++) {
        const anl_pair *pair = &r->functions[i].pair;
        if (!check_name(r, "a function", pair->key, pair->key_span))
            continue;
        if (!declare(r, &names, pair->key, "a function", pair->key_span))
            continue;
        anl_function *f = read_function(r, &r->functions[i]);
        ANL_PUSH(r->arena, r->recipe->functions, r->recipe->function_count, r->capacities[1], f);
    }
}

/* ---- sections ---- */

static bool section_pairs(reader *r, int section)
{
    anl_syntax *s = r->sections[section];
    return s && s->kind == ANL_Y_MAPPING;
}

/* The column of the shards that a field is: a text, or a param that is one, so that --set can name it. */
static void read_column(reader *r, const key *k, anl_field_declaration *field)
{
    field->column = read_text(r, k);
    const anl_param *param = field->column && !k->value->quoted ? find_param(r, field->column) : NULL;
    if (!param)
        return;
    field->column_param = param->name;
    if (param->value && (param->value->kind == ANL_E_TEXT || param->value->kind == ANL_E_NAME))
        field->column = param->value->name;
    else if (param->value && param->value->kind != ANL_E_ERROR)
        anl_diagnose(r->diagnostics, ANL_A_type_mismatch, k->value->span, "`column:` is a text, and `%s` is none", param->name);
}

static void read_fields(reader *r, const key *k, anl_source *source)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        wrong_kind(r, k->value, k->span, "a mapping of fields", NULL);
        return;
    }
    int capacity = 0;
    for (int i = 0; i < k->value->count; i++) {
        const anl_pair *pair = &k->value->pairs[i];
        if (!check_name(r, "a field", pair->key, pair->key_span))
            continue;
        key keys[] = {{.name = "axes"}, {.name = "modality"}, {.name = "column"}, {.name = "mask"},
                      {.name = "fit"},  {.name = "missing"},  {.name = "unit"},   {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "field `%s`", pair->key);
        anl_field_declaration field = {.name = pair->key, .span = pair->key_span};
        read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        field.axis_count = read_axes(r, &keys[0], &field.axes);
        field.modality = read_text(r, &keys[1]);
        read_column(r, &keys[2], &field);
        field.mask = read_text(r, &keys[3]);
        if (field.mask && !check_name(r, "a mask", field.mask, keys[3].value->span))
            field.mask = NULL;
        field.fit = read_text(r, &keys[4]);
        field.missing = read_value_key(r, &keys[5]);
        field.unit = read_text(r, &keys[6]);
        ANL_PUSH(r->arena, source->fields, source->field_count, capacity, field);
    }
}

static void read_data(reader *r)
{
    key sources[] = {{.name = "train"}, {.name = "valid"}, {.name = "test"}};
    if (!r->sections[SECTION_DATA] || !read_keys(r, r->sections[SECTION_DATA], r->section_spans[SECTION_DATA], "`data`", sources, 3))
        return;
    int capacity = 0;
    for (int i = 0; i < 3; i++) {
        if (!sources[i].value)
            continue;
        key keys[] = {{.name = "shards", .required = true}, {.name = "fields"}, {.name = "labels"}, {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "data source `%s`", sources[i].name);
        anl_source source = {.name = sources[i].name, .span = sources[i].span};
        read_keys(r, sources[i].value, sources[i].span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        source.shards = read_path_key(r, &keys[0]);
        read_fields(r, &keys[1], &source);
        if (keys[2].value) {
            key labels[] = {{.name = "fraction"}, {.name = "by"}, {.name = "drop"}};
            const char *const units[] = {"patient", "sample"};
            source.labels_span = keys[2].span;
            read_keys(r, keys[2].value, keys[2].span, "`labels`", labels, 3);
            source.label_fraction = read_value_key(r, &labels[0]);
            double fraction;
            if (source.label_fraction && evaluate(r, source.label_fraction, 0, &fraction) && (fraction < 0 || fraction > 1))
                anl_diagnose(r->diagnostics, ANL_A_out_of_range, source.label_fraction->span, "a fraction lies between 0 and 1; this is %g",
                             fraction);
            source.label_by = read_word(r, &labels[1], units, 2);
            source.drop_unlabelled = read_truth(r, &labels[2]);
        }
        ANL_PUSH(r->arena, r->recipe->sources, r->recipe->source_count, capacity, source);
    }
}

static void read_modules(reader *r)
{
    anl_syntax *s = r->sections[SECTION_MODULES];
    int capacity = 0;
    for (int i = 0; section_pairs(r, SECTION_MODULES) && i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!check_name(r, "a module", pair->key, pair->key_span))
            continue;
        anl_module module = {.name = pair->key, .span = pair->key_span};
        if (pair->value->kind == ANL_Y_MAPPING) {
            key keys[] = {{.name = "copy", .required = true}, {.name = "update"}, {.name = "doc"}};
            anl_text what = {0};
            anl_text_printf(&what, "module `%s`", pair->key);
            read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
            anl_text_free(&what);
            module.copy = read_text(r, &keys[0]);
            if (keys[0].value)
                module.copy_span = keys[0].value->span;
            module.update = read_value_key(r, &keys[1]);
            if (!module.copy)
                module.value = make(r, ANL_E_ERROR, pair->key_span);
        } else {
            module.value = read_value(r, pair->value, pair->key_span, false);
            if (module.value->kind != ANL_E_CALL && module.value->kind != ANL_E_NAME && module.value->kind != ANL_E_MEMBER &&
                module.value->kind != ANL_E_ERROR) {
                anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, module.value->span, "a module is a function with its params");
                anl_diagnostic_suggest(r->diagnostics, d, "write `%s: name(param=value)`, or `{copy: module}`", pair->key);
            }
        }
        ANL_PUSH(r->arena, r->recipe->modules, r->recipe->module_count, capacity, module);
    }
    for (int i = 0; i < r->recipe->module_count; i++) {
        const anl_module *module = &r->recipe->modules[i];
        const char **names = ANL_NEW_ARRAY(r->arena, const char *, r->recipe->module_count + 1);
        bool found = !module->copy;
        for (int k = 0; k < r->recipe->module_count; k++) {
            names[k] = r->recipe->modules[k].name;
            found = found || !strcmp(names[k], module->copy);
        }
        if (found)
            continue;
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_unknown_name, module->copy_span, "there is no module `%s` to copy", module->copy);
        const char *near = anl_nearest(module->copy, names, r->recipe->module_count);
        if (near)
            anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%s`?", near);
    }
}

static void read_losses(reader *r)
{
    anl_syntax *s = r->sections[SECTION_LOSSES];
    int capacity = 0;
    for (int i = 0; section_pairs(r, SECTION_LOSSES) && i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!check_name(r, "a loss", pair->key, pair->key_span))
            continue;
        anl_loss loss = {.name = pair->key, .span = pair->key_span};
        if (pair->value->kind == ANL_Y_MAPPING) {
            key keys[] = {{.name = "value", .required = true}, {.name = "weight"}, {.name = "doc"}};
            anl_text what = {0};
            anl_text_printf(&what, "loss `%s`", pair->key);
            read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
            anl_text_free(&what);
            loss.value = read_node_key(r, &keys[0]);
            loss.weight = read_value_key(r, &keys[1]);
        } else {
            loss.value = read_node(r, pair->value, pair->key_span);
        }
        if (!loss.value)
            loss.value = make(r, ANL_E_ERROR, pair->key_span);
        ANL_PUSH(r->arena, r->recipe->losses, r->recipe->loss_count, capacity, loss);
    }
}

static void read_train(reader *r)
{
    anl_recipe *recipe = r->recipe;
    anl_syntax *s = r->sections[SECTION_TRAIN];
    if (!s)
        return;
    recipe->train_span = r->section_spans[SECTION_TRAIN];
    key keys[] = {{.name = "length", .required = true}, {.name = "seed"},     {.name = "optimizer", .required = true},
                  {.name = "checkpoint"},               {.name = "evaluate"}, {.name = "clip"}};
    if (!read_keys(r, s, recipe->train_span, "`train`", keys, ANL_COUNT(keys)))
        return;
    recipe->train_length = read_duration_key(r, &keys[0]);
    recipe->seed = read_value_key(r, &keys[1]);
    recipe->gradient_clip = read_value_key(r, &keys[5]);
    if (keys[3].value) {
        key checkpoint[] = {{.name = "every", .required = true}, {.name = "keep"}};
        read_keys(r, keys[3].value, keys[3].span, "`checkpoint`", checkpoint, 2);
        recipe->checkpoint_every = read_duration_key(r, &checkpoint[0]);
        recipe->checkpoint_keep = read_value_key(r, &checkpoint[1]);
        double keep;
        if (recipe->checkpoint_keep && evaluate(r, recipe->checkpoint_keep, 0, &keep) && (keep < 1 || keep != floor(keep)))
            anl_diagnose(r->diagnostics, ANL_A_out_of_range, recipe->checkpoint_keep->span, "the number of checkpoints to keep is a whole number from 1");
    }
    if (keys[4].value) {
        key evaluation[] = {{.name = "every", .required = true}};
        read_keys(r, keys[4].value, keys[4].span, "`evaluate`", evaluation, 1);
        recipe->evaluate_every = read_duration_key(r, &evaluation[0]);
    }
    if (!keys[2].value)
        return;
    if (keys[2].value->kind != ANL_Y_LIST) {
        wrong_kind(r, keys[2].value, keys[2].span, "a list of rules", "write `- {weights: \"*\", rule: \"sgd(lr=0.1)\"}`");
        return;
    }
    int capacity = 0;
    for (int i = 0; i < keys[2].value->count; i++) {
        anl_syntax *item = keys[2].value->items[i];
        key rule_keys[] = {{.name = "weights", .required = true}, {.name = "rule", .required = true}, {.name = "from"}, {.name = "until"}};
        anl_optimizer_rule rule = {.span = item->span};
        if (item->span.line && item->kind == ANL_Y_MAPPING && item->count)
            rule.span = item->block ? item->pairs[0].key_span : item->span;
        if (!read_keys(r, item, rule.span, "an optimizer rule", rule_keys, 4))
            continue;
        rule.weights = read_text(r, &rule_keys[0]);
        if (rule_keys[0].value)
            rule.weights_span = rule_keys[0].value->span;
        rule.rule = read_value_key(r, &rule_keys[1]);
        rule.from = read_duration_key(r, &rule_keys[2]);
        rule.until = read_duration_key(r, &rule_keys[3]);
        if (rule.weights && rule.rule)
            ANL_PUSH(r->arena, recipe->rules, recipe->rule_count, capacity, rule);
    }
}

static void read_initialize(reader *r)
{
    anl_syntax *s = r->sections[SECTION_INITIALIZE];
    int capacity = 0;
    for (int i = 0; section_pairs(r, SECTION_INITIALIZE) && i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        key keys[] = {{.name = "checkpoint", .required = true}, {.name = "from"}, {.name = "optional"}};
        anl_text what = {0};
        anl_text_printf(&what, "initialization of `%s`", pair->key);
        anl_initialization item = {.module = pair->key, .span = pair->key_span};
        read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        item.checkpoint = read_path_key(r, &keys[0]);
        item.from = read_text(r, &keys[1]);
        item.optional = read_truth(r, &keys[2]);
        if (item.checkpoint)
            ANL_PUSH(r->arena, r->recipe->initializations, r->recipe->initialization_count, capacity, item);
    }
}

static void read_metrics(reader *r)
{
    static const char *const measures[] = {"roc_auc", "accuracy", "mean"};
    anl_syntax *s = r->sections[SECTION_METRICS];
    int capacity = 0;
    for (int i = 0; section_pairs(r, SECTION_METRICS) && i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!check_name(r, "a metric", pair->key, pair->key_span))
            continue;
        key keys[] = {{.name = "measure", .required = true}, {.name = "score", .required = true}, {.name = "label"}, {.name = "where"}, {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "metric `%s`", pair->key);
        anl_metric metric = {.name = pair->key, .span = pair->key_span};
        if (!read_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys))) {
            anl_text_free(&what);
            continue;
        }
        metric.measure = read_word(r, &keys[0], measures, ANL_COUNT(measures));
        if (keys[0].value)
            metric.measure_span = keys[0].value->span;
        metric.score = read_node_key(r, &keys[1]);
        metric.label = read_node_key(r, &keys[2]);
        metric.where = read_node_key(r, &keys[3]);
        if (metric.measure && strcmp(metric.measure, "mean") && !keys[2].value)
            anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span, "%s needs `label:` for `%s`", what.data, metric.measure);
        anl_text_free(&what);
        if (metric.measure && metric.score)
            ANL_PUSH(r->arena, r->recipe->metrics, r->recipe->metric_count, capacity, metric);
    }
}

/* Params, fields, masks, views, modules, state and nodes are values of one scope. */
static void check_scope(reader *r)
{
    anl_recipe *recipe = r->recipe;
    scope names = {0};
    for (int i = 0; i < recipe->param_count; i++)
        declare(r, &names, recipe->params[i].name, "a param", recipe->params[i].span);
    for (int i = 0; i < recipe->source_count; i++)
        for (int k = 0; !strcmp(recipe->sources[i].name, "train") && k < recipe->sources[i].field_count; k++) {
            const anl_field_declaration *field = &recipe->sources[i].fields[k];
            declare(r, &names, field->name, "a field", field->span);
            if (field->mask)
                declare(r, &names, field->mask, "a mask", field->span);
        }
    KEEP_NEW(recipe->views, recipe->view_count, "a view");
    KEEP_NEW(recipe->modules, recipe->module_count, "a module");
    KEEP_NEW(recipe->states, recipe->state_count, "a state");
    KEEP_NEW(recipe->nodes, recipe->node_count, "a node");
}

static void read_sections(reader *r)
{
    for (int i = 0; i < SECTION_COUNT; i++)
        if (r->sections[i] && r->sections[i]->kind != ANL_Y_MAPPING) {
            wrong_kind(r, r->sections[i], r->section_spans[i], "a mapping", NULL);
            r->sections[i] = NULL;
        }
    read_data(r);
    if (r->sections[SECTION_VIEWS])
        read_named(r, r->sections[SECTION_VIEWS], r->section_spans[SECTION_VIEWS], "a view", &r->recipe->views, &r->recipe->view_count);
    read_modules(r);
    key state = {.name = "state", .value = r->sections[SECTION_STATE], .span = r->section_spans[SECTION_STATE]};
    int capacity = 0;
    read_declarations(r, &state, false, &r->recipe->states, &r->recipe->state_count, &capacity);
    if (r->sections[SECTION_GRAPH])
        read_named(r, r->sections[SECTION_GRAPH], r->section_spans[SECTION_GRAPH], "a node", &r->recipe->nodes, &r->recipe->node_count);
    read_losses(r);
    read_train(r);
    read_initialize(r);
    read_metrics(r);
    check_scope(r);
}

/* ---- files ---- */

/* The mapping that base becomes under another file: keys of both are merged where both are mappings, else the other file's win. */
static anl_syntax *merge(reader *r, anl_syntax *base, anl_syntax *over, int depth)
{
    if (!base || base->kind != ANL_Y_MAPPING || over->kind != ANL_Y_MAPPING || depth > ANL_SYNTAX_DEPTH)
        return over;
    anl_syntax *s = ANL_NEW(r->arena, anl_syntax);
    *s = *over;
    s->count = 0;
    s->pairs = ANL_NEW_ARRAY(r->arena, anl_pair, base->count + over->count);
    for (int i = 0; i < base->count; i++)
        s->pairs[s->count++] = base->pairs[i];
    for (int i = 0; i < over->count; i++) {
        const anl_pair *pair = &over->pairs[i];
        int k = 0;
        while (k < base->count && strcmp(base->pairs[k].key, pair->key))
            k++;
        if (k == base->count) {
            s->pairs[s->count++] = *pair;
            continue;
        }
        bool whole = !strcmp(pair->key, "axes"); /* the axes of a value are one thing: half of an old shape helps nobody */
        anl_pair merged = *pair;
        if (!whole)
            merged.value = merge(r, base->pairs[k].value, pair->value, depth + 1);
        s->pairs[k] = merged;
    }
    return s;
}

/* a/b/../c to a/c, for showing; the file itself is opened by the path as given, which may go through links. */
static const char *shorten(anl_arena *arena, const char *path)
{
    char *out = anl_arena_text(arena, path);
    for (;;) {
        char *up = NULL, *part = out;
        for (char *at = out; (at = strstr(at, "/../")); at++) { /* the first /../ that has a real folder before it */
            part = at;
            while (part > out && part[-1] != '/')
                part--;
            if (at > part && strncmp(part, "..", (size_t)(at - part)) && strncmp(part, ".", (size_t)(at - part))) {
                up = at;
                break;
            }
        }
        if (!up)
            break;
        memmove(part, up + 4, strlen(up + 4) + 1);
    }
    while (!strncmp(out, "./", 2))
        out += 2;
    return out;
}

static const char *folder_of(anl_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? anl_arena_copy(arena, path, (size_t)(slash - path) + 1) : "";
}

static const char *identity_of(anl_arena *arena, const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = real ? anl_arena_text(arena, real) : NULL;
    free(real);
    return copy;
}

/* Adds the file's sections to the reader, its imports' before them. False: it could not be read as YAML. */
static bool load(reader *r, const char *path, int depth);

/* Where an import is looked for: beside the importing file, then in the library's folder, then in its lib/. */
enum { IMPORT_PLACES = 3 };

static void import_missing(reader *r, const anl_syntax *s, const char *const *places)
{
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_import_missing, s->span, "cannot find `%s`", s->text);
    const char *base = strrchr(s->text, '/'), **names = NULL;
    base = base ? base + 1 : s->text;
    int count = 0, capacity = 0;
    for (int i = 0; i < IMPORT_PLACES && places[i]; i++) {
        const char *folder_name = folder_of(r->arena, places[i]);
        DIR *folder = opendir(folder_name[0] ? folder_name : ".");
        anl_diagnostic_note(r->diagnostics, d, "looked for %s", shorten(r->arena, places[i]));
        for (struct dirent *e; folder && (e = readdir(folder));)
            ANL_PUSH(r->arena, names, count, capacity, anl_arena_text(r->arena, e->d_name));
        if (folder)
            closedir(folder);
    }
    for (int i = 1; i < count; i++) /* readdir's order is the disk's: sorted, the answer does not depend on it */
        for (int k = i; k > 0 && strcmp(names[k - 1], names[k]) > 0; k--) {
            const char *t = names[k];
            names[k] = names[k - 1];
            names[k - 1] = t;
        }
    const char *near = anl_nearest(base, names, count);
    if (near)
        anl_diagnostic_suggest(r->diagnostics, d, "did you mean `%.*s%s`?", (int)(base - s->text), s->text, near);
}

static void load_import(reader *r, const anl_syntax *s, anl_span where, const char *importer, int depth)
{
    if (s->kind != ANL_Y_SCALAR || anl_syntax_null(s)) {
        wrong_kind(r, s, where, "the path of a file", NULL);
        return;
    }
    const char *places[IMPORT_PLACES] = {s->text}, *path = NULL, *identity = NULL;
    if (s->text[0] != '/') {
        places[0] = anl_arena_printf(r->arena, "%s%s", folder_of(r->arena, importer), s->text);
        places[1] = r->library ? anl_arena_printf(r->arena, "%s/%s", r->library, s->text) : NULL;
        places[2] = r->library ? anl_arena_printf(r->arena, "%s/lib/%s", r->library, s->text) : NULL;
    }
    for (int i = 0; i < IMPORT_PLACES && places[i] && !identity; i++) {
        path = places[i];
        identity = identity_of(r->arena, path);
    }
    if (!identity) {
        import_missing(r, s, places);
        return;
    }
    for (int i = 0; i < r->file_count; i++) {
        if (strcmp(r->files[i].identity, identity))
            continue;
        if (!r->files[i].open)
            return; /* read already: files may be reached on several ways */
        anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_import_loop, s->span, "this import leads back to `%s`", r->files[i].name);
        anl_text chain = {0};
        for (int k = i; k < r->file_count; k++)
            if (r->files[k].open)
                anl_text_printf(&chain, "%s imports ", r->files[k].name);
        anl_diagnostic_note(r->diagnostics, d, "%s%s", chain.data, r->files[i].name);
        anl_text_free(&chain);
        return;
    }
    if (depth >= IMPORT_DEPTH) {
        anl_diagnose(r->diagnostics, ANL_A_too_deep, s->span, "imports are nested more than %d files deep", IMPORT_DEPTH);
        return;
    }
    int errors = anl_diagnostics_errors(r->diagnostics);
    if (!load(r, path, depth + 1) && anl_diagnostics_errors(r->diagnostics) == errors)
        anl_diagnose(r->diagnostics, ANL_A_import_missing, s->span, "cannot read `%s`: %s", s->text, strerror(errno));
}

static void add_entries(reader *r, const key *k, const char *what, const char *file, entry **list, int *count, int *capacity)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        anl_text text = {0};
        anl_text_printf(&text, "a mapping of %s", what);
        wrong_kind(r, k->value, k->span, text.data, NULL);
        anl_text_free(&text);
        return;
    }
    for (int i = 0; i < k->value->count; i++) {
        entry e = {k->value->pairs[i], file};
        ANL_PUSH(r->arena, *list, *count, *capacity, e);
    }
}

static void check_version(reader *r, const key *k, anl_span top)
{
    if (!k->value) {
        if (!k->span.line) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_key, top, "the file does not say which version of the language it is in");
            anl_diagnostic_suggest(r->diagnostics, d, "begin it with `anlage: 1`");
        }
        return;
    }
    if (k->value->kind == ANL_Y_SCALAR && !strcmp(k->value->text, "1"))
        return;
    anl_diagnose(r->diagnostics, ANL_A_language_version, k->value->span, "this program reads version 1 of the language");
}

static bool load(reader *r, const char *path, int depth)
{
    const char *name = shorten(r->arena, path), *identity = identity_of(r->arena, path);
    char *text;
    size_t length;
    anl_span top = {name, 0, 0, 0};
    errno = 0;
    anl_status status = anl_file_read(r->arena, path, ANL_SYNTAX_BYTES, &text, &length);
    if (status != ANL_OK) {
        if (status == ANL_ERROR_LIMIT)
            anl_diagnose(r->diagnostics, ANL_A_file_unreadable, top, "`%s` has more than %d MiB; this is no spec file", name, ANL_SYNTAX_BYTES >> 20);
        else
            anl_diagnose(r->diagnostics, ANL_A_file_unreadable, top, "cannot read `%s`: %s", name, errno ? strerror(errno) : "it is no readable file");
        return false;
    }
    loaded_file file = {name, identity ? identity : name, true};
    int index = r->file_count;
    ANL_PUSH(r->arena, r->files, r->file_count, r->file_capacity, file);
    ANL_PUSH(r->arena, r->recipe->files, r->recipe->file_count, r->capacities[2], name);
    anl_syntax *root = anl_syntax_parse(r->arena, name, text, length, r->diagnostics);
    if (!root) {
        r->files[index].open = false;
        return false;
    }
    top = (anl_span){name, 1, 1, 1};
    if (depth == 0)
        r->recipe->span = root->span;
    key keys[6 + SECTION_COUNT] = {{.name = "anlage"}, {.name = "title"}, {.name = "doc"}, {.name = "import"}, {.name = "params"}, {.name = "functions"}};
    for (int i = 0; i < SECTION_COUNT; i++)
        keys[6 + i].name = section_names[i];
    if (root->kind != ANL_Y_MAPPING) {
        wrong_kind(r, root, root->span, "a mapping", "a spec file begins with `anlage: 1`");
        r->files[index].open = false;
        return depth > 0;
    }
    /* A section whose entries are all commented out is no mistake. */
    for (int i = 0; i < root->count; i++)
        if (anl_syntax_null(root->pairs[i].value) && strcmp(root->pairs[i].key, "anlage")) {
            anl_syntax *empty = ANL_NEW(r->arena, anl_syntax);
            *empty = (anl_syntax){.kind = ANL_Y_MAPPING, .span = root->pairs[i].key_span};
            if (!strcmp(root->pairs[i].key, "import"))
                empty->kind = ANL_Y_LIST;
            if (strcmp(root->pairs[i].key, "title") && strcmp(root->pairs[i].key, "doc"))
                root->pairs[i].value = empty;
        }
    read_keys(r, root, top, "a spec file", keys, ANL_COUNT(keys));
    check_version(r, &keys[0], top);
    if (keys[3].value) {
        anl_syntax *imports = keys[3].value;
        if (imports->kind == ANL_Y_LIST)
            for (int i = 0; i < imports->count; i++)
                load_import(r, imports->items[i], keys[3].span, path, depth);
        else
            load_import(r, imports, keys[3].span, path, depth);
    }
    const char *title = read_text(r, &keys[1]), *doc = read_text(r, &keys[2]);
    if (depth == 0) {
        r->recipe->title = title;
        r->recipe->doc = doc;
    }
    add_entries(r, &keys[4], "params", name, &r->params, &r->param_count, &r->param_capacity);
    add_entries(r, &keys[5], "functions", name, &r->functions, &r->function_count, &r->function_capacity);
    for (int i = 0; i < SECTION_COUNT; i++) {
        if (!keys[6 + i].value)
            continue;
        r->sections[i] = merge(r, r->sections[i], keys[6 + i].value, 0);
        r->section_spans[i] = keys[6 + i].span;
    }
    r->files[index].open = false;
    return true;
}

anl_status anl_recipe_read(const char *path, const anl_override *overrides, int override_count, const char *library,
                           anl_diagnostics *diagnostics, anl_recipe **out)
{
    *out = NULL;
    int before = anl_diagnostics_errors(diagnostics);
    anl_arena *arena = anl_arena_new();
    reader r = {.arena = arena, .diagnostics = diagnostics, .library = library};
    r.recipe = ANL_NEW(arena, anl_recipe);
    r.recipe->arena = arena;
    r.recipe->file = anl_arena_text(arena, path);
    if (!load(&r, path, 0)) {
        bool unreadable = r.file_count == 0;
        anl_arena_free(&arena);
        return unreadable ? ANL_ERROR_FILE : ANL_ERROR_SPEC;
    }
    r.recipe->library = true;
    for (int i = 0; i < SECTION_COUNT; i++)
        if (r.sections[i] && (r.sections[i]->kind != ANL_Y_MAPPING || r.sections[i]->count))
            r.recipe->library = false;
    read_params(&r);
    apply_overrides(&r, overrides, override_count);
    read_functions(&r);
    read_sections(&r);
    *out = r.recipe;
    return anl_diagnostics_errors(diagnostics) > before ? ANL_ERROR_SPEC : ANL_OK;
}

void anl_recipe_free(anl_recipe **recipe)
{
    if (!*recipe)
        return;
    anl_arena *arena = (*recipe)->arena; /* the recipe itself lies in it */
    *recipe = NULL;
    anl_arena_free(&arena);
}

const anl_function *anl_recipe_function(const anl_recipe *recipe, const char *name)
{
    for (int i = 0; i < recipe->function_count; i++)
        if (!strcmp(recipe->functions[i]->name, name))
            return recipe->functions[i];
    return NULL;
}
