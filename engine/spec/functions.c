/* Functions: signatures, params, weights, state, nodes and results.
 * In: the `functions:` entries of all files. Out: anl_function, and declarations of weights and state. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

static const char *const weight_kinds[] = {"matrix", "bias", "norm", "other"};

static void read_declaration(reader *r, const anl_pair *pair, bool is_weight, anl_declaration *d)
{
    key keys[] = {
        {.name = "axes"}, {.name = "like"}, {.name = "init", .required = true},      {.name = "project"},
        {.name = "doc"},  {.name = "kind"}, {.name = is_weight ? "kind" : "update"}, {.name = is_weight ? "kind" : "calls"}};
    anl_text what = {0};
    anl_text_printf(&what, "%s `%s`", is_weight ? "weight" : "state", pair->key);
    d->name = pair->key;
    d->span = pair->key_span;
    d->is_weight = is_weight;
    anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, is_weight ? 6 : 8);
    anl_text_free(&what);
    d->axis_count = anl_reader_axes(r, &keys[0], &d->axes);
    d->like = anl_reader_text(r, &keys[1]);
    if (d->like && keys[0].value) {
        anl_diagnostic *p =
            anl_diagnose(r->diagnostics, ANL_A_type_mismatch, keys[1].span, "`like:` and `axes:` cannot both be given");
        anl_diagnostic_label(r->diagnostics, p, keys[0].span, "the axes");
    }
    d->init = anl_reader_value_key(r, &keys[2]);
    d->project = anl_reader_node_key(r, &keys[3]);
    d->kind = anl_reader_word(r, &keys[5], weight_kinds, ANL_COUNT(weight_kinds));
    if (!is_weight) {
        const char *const calls[] = {"mean"};
        d->update = anl_reader_node_key(r, &keys[6]);
        d->calls = anl_reader_word(r, &keys[7], calls, 1);
    }
    if (!d->init)
        d->init = anl_reader_make(r, ANL_E_ERROR, pair->key_span);
}

void anl_reader_declarations(reader *r, const key *k, bool is_weight, anl_declaration **list, int *count, int *capacity)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, k->value, k->span, "a mapping", NULL);
        return;
    }
    for (int i = 0; i < k->value->count; i++) {
        anl_declaration d = {0};
        if (!anl_reader_check_name(r, is_weight ? "a weight" : "a state", k->value->pairs[i].key, k->value->pairs[i].key_span))
            continue;
        read_declaration(r, &k->value->pairs[i], is_weight, &d);
        ANL_PUSH(r->arena, *list, *count, *capacity, d);
    }
}

void anl_reader_named(reader *r, const anl_syntax *s, anl_span where, const char *what, anl_named **list, int *count)
{
    int capacity = 0;
    if (s->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, s, where, "a mapping of names to expressions or pipelines", NULL);
        return;
    }
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!anl_reader_check_name(r, what, pair->key, pair->key_span))
            continue;
        anl_named named = {pair->key, pair->key_span, anl_reader_node(r, pair->value, pair->key_span)};
        ANL_PUSH(r->arena, *list, *count, capacity, named);
    }
}

bool anl_reader_declare(reader *r, scope *s, const char *name, const char *what, anl_span span)
{
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->names[i].name, name)) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_duplicate_name, span, "`%s` is already the name of %s", name,
                                             s->names[i].what);
            anl_diagnostic_label(r->diagnostics, d, s->names[i].span, "first here");
            return false;
        }
    ANL_PUSH(r->arena, s->names, s->count, s->capacity, ((__typeof__(*s->names)){name, what, span}));
    return true;
}

static anl_function *read_function(reader *r, const entry *item)
{
    const anl_pair *pair = &item->pair;
    key keys[] = {{.name = "doc"},
                  {.name = "inputs"},
                  {.name = "params"},
                  {.name = "weights"},
                  {.name = "state"},
                  {.name = "nodes"},
                  {.name = "returns", .required = true}};
    anl_function *f = ANL_NEW(r->arena, anl_function);
    f->name = pair->key;
    f->span = pair->key_span;
    f->file = item->file;
    anl_text what = {0};
    anl_text_printf(&what, "function `%s`", pair->key);
    anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
    anl_text_free(&what);
    f->doc = anl_reader_text(r, &keys[0]);
    scope names = {0};
    int capacity = 0;
    if (keys[1].value && keys[1].value->kind != ANL_Y_MAPPING)
        anl_reader_wrong_kind(r, keys[1].value, keys[1].span, "a mapping of inputs to axes",
                              "write `inputs: {x: [channel, ~space]}`");
    for (int i = 0; keys[1].value && keys[1].value->kind == ANL_Y_MAPPING && i < keys[1].value->count; i++) {
        const anl_pair *p = &keys[1].value->pairs[i];
        if (!anl_reader_check_name(r, "an input", p->key, p->key_span))
            continue;
        anl_input input = {.name = p->key, .span = p->key_span};
        anl_reader_signature(r, p->value, p->key_span, &input);
        anl_reader_declare(r, &names, input.name, "an input", input.span);
        ANL_PUSH(r->arena, f->inputs, f->input_count, capacity, input);
    }
    capacity = 0;
    if (keys[2].value && keys[2].value->kind != ANL_Y_MAPPING)
        anl_reader_wrong_kind(r, keys[2].value, keys[2].span, "a mapping of params to defaults or types", NULL);
    for (int i = 0; keys[2].value && keys[2].value->kind == ANL_Y_MAPPING && i < keys[2].value->count; i++) {
        const anl_pair *p = &keys[2].value->pairs[i];
        if (!anl_reader_check_name(r, "a param", p->key, p->key_span))
            continue;
        anl_param param = {.name = p->key, .span = p->key_span};
        anl_reader_param(r, p, &param, false);
        if (anl_reader_declare(r, &names, param.name, "a param", param.span))
            ANL_PUSH(r->arena, f->params, f->param_count, capacity, param);
    }
    capacity = 0;
    anl_reader_declarations(r, &keys[3], true, &f->declarations, &f->declaration_count, &capacity);
    anl_reader_declarations(r, &keys[4], false, &f->declarations, &f->declaration_count, &capacity);
    KEEP_NEW(f->declarations, f->declaration_count, "a weight or a state");
    if (keys[5].value)
        anl_reader_named(r, keys[5].value, keys[5].span, "a node", &f->nodes, &f->node_count);
    KEEP_NEW(f->nodes, f->node_count, "a node");
    if (!keys[6].value)
        f->returns = anl_reader_make(r, ANL_E_ERROR, f->span);
    else if (keys[6].value->kind == ANL_Y_MAPPING)
        anl_reader_named(r, keys[6].value, keys[6].span, "a member", &f->members, &f->member_count);
    else
        f->returns = anl_reader_node(r, keys[6].value, keys[6].span);
    return f;
}

void anl_reader_functions(reader *r)
{
    scope names = {0};
    for (int i = 0; i < r->function_count; i++) {
        const anl_pair *pair = &r->functions[i].pair;
        if (!anl_reader_check_name(r, "a function", pair->key, pair->key_span))
            continue;
        if (!anl_reader_declare(r, &names, pair->key, "a function", pair->key_span))
            continue;
        anl_function *f = read_function(r, &r->functions[i]);
        ANL_PUSH(r->arena, r->recipe->functions, r->recipe->function_count, r->capacities[1], f);
    }
}
