/* Functions: signatures, params, weights, state, nodes and results.
 * In: the `functions:` entries of all files. Out: anl_function, and declarations of weights and state. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

static void read_declaration(reader *r, const anl_pair *pair, bool is_weight, anl_declaration *d)
{
    key keys[STATE_KEYS];
    anl_text what = {0};
    anl_text_printf(&what, "%s `%s`", is_weight ? "weight" : "state", pair->key);
    d->name = pair->key;
    d->span = pair->key_span;
    d->is_weight = is_weight;
    anl_reader_keys(r, pair->value, pair->key_span, what.data, is_weight ? &anl_weight_keys : &anl_state_keys, keys);
    anl_text_free(&what);
    d->axis_count = anl_reader_axes(r, &keys[DECLARATION_AXES], &d->axes);
    d->like = anl_reader_text(r, &keys[DECLARATION_LIKE]);
    if (d->like && keys[DECLARATION_AXES].value) {
        anl_diagnostic *p =
            anl_diagnose(r->diagnostics, ANL_A_type_mismatch, keys[DECLARATION_LIKE].span, "`like:` and `axes:` cannot both be given");
        anl_diagnostic_label(r->diagnostics, p, keys[DECLARATION_AXES].span, "the axes");
    }
    d->init = anl_reader_value_key(r, &keys[DECLARATION_INIT]);
    d->project = anl_reader_node_key(r, &keys[DECLARATION_PROJECT]);
    d->kind = anl_reader_word(r, &keys[DECLARATION_KIND]);
    if (!is_weight) {
        d->update = anl_reader_node_key(r, &keys[STATE_UPDATE]);
        d->calls = anl_reader_word(r, &keys[STATE_CALLS]);
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
    key keys[FUNCTION_KEYS];
    anl_function *f = ANL_NEW(r->arena, anl_function);
    f->name = pair->key;
    f->span = pair->key_span;
    f->file = item->file;
    anl_text what = {0};
    anl_text_printf(&what, "function `%s`", pair->key);
    anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_function_keys, keys);
    anl_text_free(&what);
    f->doc = anl_reader_text(r, &keys[FUNCTION_DOC]);
    const key *inputs = &keys[FUNCTION_INPUTS], *params = &keys[FUNCTION_PARAMS], *nodes = &keys[FUNCTION_NODES],
              *returns = &keys[FUNCTION_RETURNS];
    scope names = {0};
    int capacity = 0;
    if (inputs->value && inputs->value->kind != ANL_Y_MAPPING)
        anl_reader_wrong_kind(r, inputs->value, inputs->span, "a mapping of inputs to axes",
                              "write `inputs: {x: [channel, ~space]}`");
    for (int i = 0; inputs->value && inputs->value->kind == ANL_Y_MAPPING && i < inputs->value->count; i++) {
        const anl_pair *p = &inputs->value->pairs[i];
        if (!anl_reader_check_name(r, "an input", p->key, p->key_span))
            continue;
        anl_input input = {.name = p->key, .span = p->key_span};
        anl_reader_signature(r, p->value, p->key_span, &input);
        anl_reader_declare(r, &names, input.name, "an input", input.span);
        ANL_PUSH(r->arena, f->inputs, f->input_count, capacity, input);
    }
    capacity = 0;
    if (params->value && params->value->kind != ANL_Y_MAPPING)
        anl_reader_wrong_kind(r, params->value, params->span, "a mapping of params to defaults or types", NULL);
    for (int i = 0; params->value && params->value->kind == ANL_Y_MAPPING && i < params->value->count; i++) {
        const anl_pair *p = &params->value->pairs[i];
        if (!anl_reader_check_name(r, "a param", p->key, p->key_span))
            continue;
        anl_param param = {.name = p->key, .span = p->key_span};
        anl_reader_param(r, p, &param, false);
        if (anl_reader_declare(r, &names, param.name, "a param", param.span))
            ANL_PUSH(r->arena, f->params, f->param_count, capacity, param);
    }
    capacity = 0;
    anl_reader_declarations(r, &keys[FUNCTION_WEIGHTS], true, &f->declarations, &f->declaration_count, &capacity);
    anl_reader_declarations(r, &keys[FUNCTION_STATE], false, &f->declarations, &f->declaration_count, &capacity);
    KEEP_NEW(f->declarations, f->declaration_count, "a weight or a state");
    if (nodes->value)
        anl_reader_named(r, nodes->value, nodes->span, "a node", &f->nodes, &f->node_count);
    KEEP_NEW(f->nodes, f->node_count, "a node");
    if (!returns->value)
        f->returns = anl_reader_make(r, ANL_E_ERROR, f->span);
    else if (returns->value->kind == ANL_Y_MAPPING)
        anl_reader_named(r, returns->value, returns->span, "a member", &f->members, &f->member_count);
    else
        f->returns = anl_reader_node(r, returns->value, returns->span);
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
        anl_lookup_add(r->arena, &r->recipe->function_names, f->name, f);
    }
}
