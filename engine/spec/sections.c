/* The sections of a spec: data, views, modules, state, graph, losses, train, initialize, metrics.
 * In: the merged syntax of all files. Out: the recipe's parts, typed. */
#include <math.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

static bool section_pairs(reader *r, int section)
{
    anl_syntax *s = r->sections[section];
    return s && s->kind == ANL_Y_MAPPING;
}

/* The column of the shards that a field is: a text, or a param that is one, so that --set can name it. */
static void read_column(reader *r, const key *k, anl_field_declaration *field)
{
    field->column = anl_reader_text(r, k);
    const anl_param *param = field->column && !k->value->quoted ? anl_reader_find_param(r, field->column) : NULL;
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
        anl_reader_wrong_kind(r, k->value, k->span, "a mapping of fields", NULL);
        return;
    }
    int capacity = 0;
    for (int i = 0; i < k->value->count; i++) {
        const anl_pair *pair = &k->value->pairs[i];
        if (!anl_reader_check_name(r, "a field", pair->key, pair->key_span))
            continue;
        key keys[] = {{.name = "axes"}, {.name = "modality"}, {.name = "column"}, {.name = "mask"},
                      {.name = "fit"},  {.name = "missing"},  {.name = "unit"},   {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "field `%s`", pair->key);
        anl_field_declaration field = {.name = pair->key, .span = pair->key_span};
        anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        field.axis_count = anl_reader_axes(r, &keys[0], &field.axes);
        field.modality = anl_reader_text(r, &keys[1]);
        read_column(r, &keys[2], &field);
        field.mask = anl_reader_text(r, &keys[3]);
        if (field.mask && !anl_reader_check_name(r, "a mask", field.mask, keys[3].value->span))
            field.mask = NULL;
        field.fit = anl_reader_text(r, &keys[4]);
        field.missing = anl_reader_value_key(r, &keys[5]);
        field.unit = anl_reader_text(r, &keys[6]);
        ANL_PUSH(r->arena, source->fields, source->field_count, capacity, field);
    }
}

static void read_data(reader *r)
{
    key sources[] = {{.name = "train"}, {.name = "valid"}, {.name = "test"}};
    if (!r->sections[SECTION_DATA] ||
        !anl_reader_keys(r, r->sections[SECTION_DATA], r->section_spans[SECTION_DATA], "`data`", sources, 3))
        return;
    int capacity = 0;
    for (int i = 0; i < 3; i++) {
        if (!sources[i].value)
            continue;
        key keys[] = {{.name = "shards", .required = true}, {.name = "fields"}, {.name = "labels"}, {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "data source `%s`", sources[i].name);
        anl_source source = {.name = sources[i].name, .span = sources[i].span};
        anl_reader_keys(r, sources[i].value, sources[i].span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        source.shards = anl_reader_path_key(r, &keys[0]);
        read_fields(r, &keys[1], &source);
        if (keys[2].value) {
            key labels[] = {{.name = "fraction"}, {.name = "by"}, {.name = "drop"}};
            const char *const units[] = {"patient", "sample"};
            source.labels_span = keys[2].span;
            anl_reader_keys(r, keys[2].value, keys[2].span, "`labels`", labels, 3);
            source.label_fraction = anl_reader_value_key(r, &labels[0]);
            double fraction;
            if (source.label_fraction && anl_reader_evaluate(r, source.label_fraction, 0, &fraction) &&
                (fraction < 0 || fraction > 1))
                anl_diagnose(r->diagnostics, ANL_A_out_of_range, source.label_fraction->span,
                             "a fraction lies between 0 and 1; this is %g", fraction);
            source.label_by = anl_reader_word(r, &labels[1], units, 2);
            source.drop_unlabelled = anl_reader_truth(r, &labels[2]);
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
        if (!anl_reader_check_name(r, "a module", pair->key, pair->key_span))
            continue;
        anl_module module = {.name = pair->key, .span = pair->key_span};
        if (pair->value->kind == ANL_Y_MAPPING) {
            key keys[] = {{.name = "copy", .required = true}, {.name = "update"}, {.name = "doc"}};
            anl_text what = {0};
            anl_text_printf(&what, "module `%s`", pair->key);
            anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
            anl_text_free(&what);
            module.copy = anl_reader_text(r, &keys[0]);
            if (keys[0].value)
                module.copy_span = keys[0].value->span;
            module.update = anl_reader_value_key(r, &keys[1]);
            if (!module.copy)
                module.value = anl_reader_make(r, ANL_E_ERROR, pair->key_span);
        } else {
            module.value = anl_reader_value(r, pair->value, pair->key_span, false);
            if (module.value->kind != ANL_E_CALL && module.value->kind != ANL_E_NAME && module.value->kind != ANL_E_MEMBER &&
                module.value->kind != ANL_E_ERROR) {
                anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, module.value->span,
                                                 "a module is a function with its params");
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
        anl_diagnostic *d =
            anl_diagnose(r->diagnostics, ANL_A_unknown_name, module->copy_span, "there is no module `%s` to copy", module->copy);
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
        if (!anl_reader_check_name(r, "a loss", pair->key, pair->key_span))
            continue;
        anl_loss loss = {.name = pair->key, .span = pair->key_span};
        if (pair->value->kind == ANL_Y_MAPPING) {
            key keys[] = {{.name = "value", .required = true}, {.name = "weight"}, {.name = "doc"}};
            anl_text what = {0};
            anl_text_printf(&what, "loss `%s`", pair->key);
            anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
            anl_text_free(&what);
            loss.value = anl_reader_node_key(r, &keys[0]);
            loss.weight = anl_reader_value_key(r, &keys[1]);
        } else {
            loss.value = anl_reader_node(r, pair->value, pair->key_span);
        }
        if (!loss.value)
            loss.value = anl_reader_make(r, ANL_E_ERROR, pair->key_span);
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
    key keys[] = {{.name = "length", .required = true},
                  {.name = "seed"},
                  {.name = "optimizer", .required = true},
                  {.name = "checkpoint"},
                  {.name = "evaluate"},
                  {.name = "clip"}};
    if (!anl_reader_keys(r, s, recipe->train_span, "`train`", keys, ANL_COUNT(keys)))
        return;
    recipe->train_length = anl_reader_duration_key(r, &keys[0]);
    recipe->seed = anl_reader_value_key(r, &keys[1]);
    recipe->gradient_clip = anl_reader_value_key(r, &keys[5]);
    if (keys[3].value) {
        key checkpoint[] = {{.name = "every", .required = true}, {.name = "keep"}};
        anl_reader_keys(r, keys[3].value, keys[3].span, "`checkpoint`", checkpoint, 2);
        recipe->checkpoint_every = anl_reader_duration_key(r, &checkpoint[0]);
        recipe->checkpoint_keep = anl_reader_value_key(r, &checkpoint[1]);
        double keep;
        if (recipe->checkpoint_keep && anl_reader_evaluate(r, recipe->checkpoint_keep, 0, &keep) &&
            (keep < 1 || keep != floor(keep)))
            anl_diagnose(r->diagnostics, ANL_A_out_of_range, recipe->checkpoint_keep->span,
                         "the number of checkpoints to keep is a whole number from 1");
    }
    if (keys[4].value) {
        key evaluation[] = {{.name = "every", .required = true}};
        anl_reader_keys(r, keys[4].value, keys[4].span, "`evaluate`", evaluation, 1);
        recipe->evaluate_every = anl_reader_duration_key(r, &evaluation[0]);
    }
    if (!keys[2].value)
        return;
    if (keys[2].value->kind != ANL_Y_LIST) {
        anl_reader_wrong_kind(r, keys[2].value, keys[2].span, "a list of rules",
                              "write `- {weights: \"*\", rule: \"sgd(lr=0.1)\"}`");
        return;
    }
    int capacity = 0;
    for (int i = 0; i < keys[2].value->count; i++) {
        anl_syntax *item = keys[2].value->items[i];
        key rule_keys[] = {
            {.name = "weights", .required = true}, {.name = "rule", .required = true}, {.name = "from"}, {.name = "until"}};
        anl_optimizer_rule rule = {.span = item->span};
        if (item->span.line && item->kind == ANL_Y_MAPPING && item->count)
            rule.span = item->block ? item->pairs[0].key_span : item->span;
        if (!anl_reader_keys(r, item, rule.span, "an optimizer rule", rule_keys, 4))
            continue;
        rule.weights = anl_reader_text(r, &rule_keys[0]);
        if (rule_keys[0].value)
            rule.weights_span = rule_keys[0].value->span;
        rule.rule = anl_reader_value_key(r, &rule_keys[1]);
        rule.from = anl_reader_duration_key(r, &rule_keys[2]);
        rule.until = anl_reader_duration_key(r, &rule_keys[3]);
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
        anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys));
        anl_text_free(&what);
        item.checkpoint = anl_reader_path_key(r, &keys[0]);
        item.from = anl_reader_text(r, &keys[1]);
        item.optional = anl_reader_truth(r, &keys[2]);
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
        if (!anl_reader_check_name(r, "a metric", pair->key, pair->key_span))
            continue;
        key keys[] = {{.name = "measure", .required = true},
                      {.name = "score", .required = true},
                      {.name = "label"},
                      {.name = "where"},
                      {.name = "doc"}};
        anl_text what = {0};
        anl_text_printf(&what, "metric `%s`", pair->key);
        anl_metric metric = {.name = pair->key, .span = pair->key_span};
        if (!anl_reader_keys(r, pair->value, pair->key_span, what.data, keys, ANL_COUNT(keys))) {
            anl_text_free(&what);
            continue;
        }
        metric.measure = anl_reader_word(r, &keys[0], measures, ANL_COUNT(measures));
        if (keys[0].value)
            metric.measure_span = keys[0].value->span;
        metric.score = anl_reader_node_key(r, &keys[1]);
        metric.label = anl_reader_node_key(r, &keys[2]);
        metric.where = anl_reader_node_key(r, &keys[3]);
        if (metric.measure && strcmp(metric.measure, "mean") && !keys[2].value)
            anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span, "%s needs `label:` for `%s`", what.data,
                         metric.measure);
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
        anl_reader_declare(r, &names, recipe->params[i].name, "a param", recipe->params[i].span);
    for (int i = 0; i < recipe->source_count; i++)
        for (int k = 0; !strcmp(recipe->sources[i].name, "train") && k < recipe->sources[i].field_count; k++) {
            const anl_field_declaration *field = &recipe->sources[i].fields[k];
            anl_reader_declare(r, &names, field->name, "a field", field->span);
            if (field->mask)
                anl_reader_declare(r, &names, field->mask, "a mask", field->span);
        }
    KEEP_NEW(recipe->views, recipe->view_count, "a view");
    KEEP_NEW(recipe->modules, recipe->module_count, "a module");
    KEEP_NEW(recipe->states, recipe->state_count, "a state");
    KEEP_NEW(recipe->nodes, recipe->node_count, "a node");
}

void anl_reader_sections(reader *r)
{
    for (int i = 0; i < SECTION_COUNT; i++)
        if (r->sections[i] && r->sections[i]->kind != ANL_Y_MAPPING) {
            anl_reader_wrong_kind(r, r->sections[i], r->section_spans[i], "a mapping", NULL);
            r->sections[i] = NULL;
        }
    read_data(r);
    if (r->sections[SECTION_VIEWS])
        anl_reader_named(r, r->sections[SECTION_VIEWS], r->section_spans[SECTION_VIEWS], "a view", &r->recipe->views,
                         &r->recipe->view_count);
    read_modules(r);
    key state = {.name = "state", .value = r->sections[SECTION_STATE], .span = r->section_spans[SECTION_STATE]};
    int capacity = 0;
    anl_reader_declarations(r, &state, false, &r->recipe->states, &r->recipe->state_count, &capacity);
    if (r->sections[SECTION_GRAPH])
        anl_reader_named(r, r->sections[SECTION_GRAPH], r->section_spans[SECTION_GRAPH], "a node", &r->recipe->nodes,
                         &r->recipe->node_count);
    read_losses(r);
    read_train(r);
    read_initialize(r);
    read_metrics(r);
    check_scope(r);
}
