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

/* A text of a field, or the unquoted name of a param that is one, so that --set can give it; *name: that param, or NULL. */
static const char *read_text_or_param(reader *r, const key *k, const char **name)
{
    const char *text = anl_reader_text(r, k);
    const anl_param *param = text && !k->value->quoted ? anl_reader_find_param(r, text) : NULL;
    if (!param)
        return text;
    *name = param->name;
    if (param->value && (param->value->kind == ANL_E_TEXT || param->value->kind == ANL_E_NAME))
        return param->value->name;
    if (param->value && param->value->kind != ANL_E_ERROR)
        anl_diagnose(r->diagnostics, ANL_A_type_mismatch, k->value->span, "`%s:` is a text, and `%s` is none", k->about->name,
                     param->name);
    return text;
}

/* Names of columns, with commas between them. */
static const char *read_columns(reader *r, const key *k, const char **param)
{
    if (!k->value || k->value->kind != ANL_Y_LIST)
        return read_text_or_param(r, k, param);
    anl_text list = {0};
    bool good = true;
    for (int i = 0; i < k->value->count; i++) {
        const anl_syntax *item = k->value->items[i];
        if (item->kind != ANL_Y_SCALAR) {
            anl_reader_wrong_kind(r, item, item->span, "the name of a column", NULL);
            good = false;
            continue;
        }
        anl_trap_text(r->diagnostics, item, anl_arena_printf(r->arena, "the name of a column in `%s:`", k->about->name));
        good = good && !item->broken;
        anl_text_printf(&list, "%s%s", i ? ", " : "", item->text);
    }
    const char *text = good && list.data ? anl_arena_text(r->arena, list.data) : NULL;
    anl_text_free(&list);
    return text;
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
        key keys[FIELD_KEYS];
        anl_text what = {0};
        anl_text_printf(&what, "field `%s`", pair->key);
        anl_field_declaration field = {.name = pair->key, .span = pair->key_span};
        anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_field_keys, keys);
        anl_text_free(&what);
        field.axis_count = anl_reader_axes(r, &keys[FIELD_AXES], &field.axes);
        field.modality = read_text_or_param(r, &keys[FIELD_MODALITY], &field.modality_param);
        if (field.modality && !*field.modality) /* the param's default: none is declared */
            field.modality = NULL;
        if (field.modality)
            field.modality_span = keys[FIELD_MODALITY].value->span;
        field.column = read_columns(r, &keys[FIELD_COLUMN], &field.column_param);
        field.boxes = read_columns(r, &keys[FIELD_BOXES], &field.boxes_param);
        if (field.column && field.boxes)
            anl_diagnose(r->diagnostics, ANL_A_field_mismatch, keys[FIELD_BOXES].span, "a field is of labels (`column:`) or of boxes (`boxes:`), not of both");
        field.mask = anl_reader_text(r, &keys[FIELD_MASK]);
        if (field.mask && !anl_reader_check_name(r, "a mask", field.mask, keys[FIELD_MASK].value->span))
            field.mask = NULL;
        field.fit = anl_reader_text(r, &keys[FIELD_FIT]);
        field.missing = anl_reader_value_key(r, &keys[FIELD_MISSING]);
        field.unit = anl_reader_text(r, &keys[FIELD_UNIT]);
        ANL_PUSH(r->arena, source->fields, source->field_count, capacity, field);
    }
}

/* The sources of a mixture, instead of one glob of shards. */
static void read_parts(reader *r, const key *k, anl_source *source)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, k->value, k->span, "a mapping of sources", "give each a name: `chest: {shards: chest/train-*.h5, weight: 2}`");
        return;
    }
    int capacity = 0;
    for (int i = 0; i < k->value->count; i++) {
        const anl_pair *pair = &k->value->pairs[i];
        if (!anl_reader_check_name(r, "a source", pair->key, pair->key_span))
            continue;
        key keys[PART_KEYS];
        anl_text what = {0};
        anl_text_printf(&what, "source `%s`", pair->key);
        anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_part_keys, keys);
        anl_text_free(&what);
        anl_source_part part = {.name = pair->key, .span = pair->key_span, .shards = anl_reader_path_key(r, &keys[PART_SHARDS]),
                                .weight = anl_reader_value_key(r, &keys[PART_WEIGHT])};
        double weight;
        if (part.weight && anl_reader_evaluate(r, part.weight, 0, &weight) && !(weight > 0 && isfinite(weight)))
            anl_diagnose(r->diagnostics, ANL_A_out_of_range, part.weight->span, "the weight of a source is above 0; this is %g", weight);
        ANL_PUSH(r->arena, source->parts, source->part_count, capacity, part);
    }
}

/* Of two keys that exclude each other, the spec's own overrides the one of a file that it imports. */
static void override_either(const reader *r, key *a, key *b)
{
    if (!a->span.line || !b->span.line || !a->span.file || !b->span.file)
        return;
    bool own_a = !strcmp(a->span.file, r->recipe->file), own_b = !strcmp(b->span.file, r->recipe->file);
    if (own_a && !own_b)
        *b = (key){.about = b->about};
    else if (own_b && !own_a)
        *a = (key){.about = a->about};
}

static void read_data(reader *r)
{
    key sources[DATA_KEYS];
    if (!r->sections[SECTION_DATA] ||
        !anl_reader_keys(r, r->sections[SECTION_DATA], r->section_spans[SECTION_DATA], "`data`", &anl_data_keys, sources))
        return;
    int capacity = 0;
    for (int i = 0; i < DATA_KEYS; i++) {
        if (!sources[i].value)
            continue;
        key keys[SOURCE_KEYS];
        anl_text what = {0};
        anl_source source = {.name = sources[i].about->name, .span = sources[i].span};
        anl_text_printf(&what, "data source `%s`", source.name);
        int errors = anl_diagnostics_errors(r->diagnostics);
        bool misread = !anl_reader_keys(r, sources[i].value, sources[i].span, what.data, &anl_source_keys, keys) ||
                       sources[i].value->broken || anl_diagnostics_errors(r->diagnostics) > errors;
        anl_text_free(&what);
        override_either(r, &keys[SOURCE_SHARDS], &keys[SOURCE_SOURCES]);
        source.shards = anl_reader_path_key(r, &keys[SOURCE_SHARDS]);
        if (keys[SOURCE_SHARDS].span.line && keys[SOURCE_SOURCES].span.line) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, keys[SOURCE_SOURCES].span,
                                             "data source `%s` has both `shards:` and `sources:`", source.name);
            anl_diagnostic_label(r->diagnostics, d, keys[SOURCE_SHARDS].span, "the shards are here");
            anl_diagnostic_suggest(r->diagnostics, d, "make the shards one of the sources");
        } else if (!keys[SOURCE_SHARDS].span.line && !keys[SOURCE_SOURCES].span.line && !misread)
            anl_diagnose(r->diagnostics, ANL_A_missing_key, sources[i].span, "data source `%s` needs `shards:` or `sources:`", source.name);
        read_parts(r, &keys[SOURCE_SOURCES], &source);
        source.balance = anl_reader_text(r, &keys[SOURCE_BALANCE]);
        source.balance_span = keys[SOURCE_BALANCE].span;
        read_fields(r, &keys[SOURCE_FIELDS], &source);
        if (keys[SOURCE_LABELS].value) {
            key labels[LABELS_KEYS];
            source.labels_span = keys[SOURCE_LABELS].span;
            anl_reader_keys(r, keys[SOURCE_LABELS].value, source.labels_span, "`labels`", &anl_labels_keys, labels);
            source.label_fraction = anl_reader_value_key(r, &labels[LABELS_FRACTION]);
            double fraction;
            if (source.label_fraction && anl_reader_evaluate(r, source.label_fraction, 0, &fraction) &&
                (fraction < 0 || fraction > 1))
                anl_diagnose(r->diagnostics, ANL_A_out_of_range, source.label_fraction->span,
                             "a fraction lies between 0 and 1; this is %g", fraction);
            source.label_by = anl_reader_word(r, &labels[LABELS_BY]);
            source.drop_unlabelled = anl_reader_truth(r, &labels[LABELS_DROP]);
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
            key keys[MODULE_KEYS];
            anl_text what = {0};
            anl_text_printf(&what, "module `%s`", pair->key);
            anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_module_keys, keys);
            anl_text_free(&what);
            module.copy = anl_reader_text(r, &keys[MODULE_COPY]);
            if (keys[MODULE_COPY].value)
                module.copy_span = keys[MODULE_COPY].value->span;
            module.update = anl_reader_value_key(r, &keys[MODULE_UPDATE]);
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
        anl_diagnostic_nearest(r->diagnostics, d, module->copy_span, module->copy, names, r->recipe->module_count, false);
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
            key keys[LOSS_KEYS];
            anl_text what = {0};
            anl_text_printf(&what, "loss `%s`", pair->key);
            anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_loss_keys, keys);
            anl_text_free(&what);
            loss.value = anl_reader_node_key(r, &keys[LOSS_VALUE]);
            loss.weight = anl_reader_value_key(r, &keys[LOSS_WEIGHT]);
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
    key keys[TRAIN_KEYS];
    if (!anl_reader_keys(r, s, recipe->train_span, "`train`", &anl_train_keys, keys))
        return;
    recipe->train_length = anl_reader_duration_key(r, &keys[TRAIN_LENGTH]);
    recipe->seed = anl_reader_value_key(r, &keys[TRAIN_SEED]);
    recipe->gradient_clip = anl_reader_value_key(r, &keys[TRAIN_CLIP]);
    const key *checkpoints = &keys[TRAIN_CHECKPOINT], *evaluate = &keys[TRAIN_EVALUATE], *optimizer = &keys[TRAIN_OPTIMIZER];
    if (checkpoints->value) {
        key checkpoint[CHECKPOINT_KEYS];
        anl_reader_keys(r, checkpoints->value, checkpoints->span, "`checkpoint`", &anl_checkpoint_keys, checkpoint);
        recipe->checkpoint_every = anl_reader_duration_key(r, &checkpoint[CHECKPOINT_EVERY]);
        recipe->checkpoint_keep = anl_reader_value_key(r, &checkpoint[CHECKPOINT_KEEP]);
        double keep;
        if (recipe->checkpoint_keep && anl_reader_evaluate(r, recipe->checkpoint_keep, 0, &keep) &&
            (keep < 1 || keep != floor(keep)))
            anl_diagnose(r->diagnostics, ANL_A_out_of_range, recipe->checkpoint_keep->span,
                         "the number of checkpoints to keep is a whole number from 1");
    }
    if (evaluate->value) {
        key evaluation[EVALUATE_KEYS];
        anl_reader_keys(r, evaluate->value, evaluate->span, "`evaluate`", &anl_evaluate_keys, evaluation);
        recipe->evaluate_every = anl_reader_duration_key(r, &evaluation[EVALUATE_EVERY]);
    }
    if (!optimizer->value)
        return;
    if (optimizer->value->kind != ANL_Y_LIST) {
        anl_reader_wrong_kind(r, optimizer->value, optimizer->span, "a list of rules",
                              "write `- {weights: \"*\", rule: \"sgd(lr=0.1)\"}`");
        return;
    }
    int capacity = 0;
    for (int i = 0; i < optimizer->value->count; i++) {
        anl_syntax *item = optimizer->value->items[i];
        key rule_keys[RULE_KEYS];
        anl_optimizer_rule rule = {.span = item->span};
        if (item->span.line && item->kind == ANL_Y_MAPPING && item->count)
            rule.span = item->block ? item->pairs[0].key_span : item->span;
        if (!anl_reader_keys(r, item, rule.span, "an optimizer rule", &anl_rule_keys, rule_keys))
            continue;
        rule.weights = anl_reader_text(r, &rule_keys[RULE_WEIGHTS]);
        if (rule_keys[RULE_WEIGHTS].value)
            rule.weights_span = rule_keys[RULE_WEIGHTS].value->span;
        rule.rule = anl_reader_value_key(r, &rule_keys[RULE_RULE]);
        rule.from = anl_reader_duration_key(r, &rule_keys[RULE_FROM]);
        rule.until = anl_reader_duration_key(r, &rule_keys[RULE_UNTIL]);
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
        key keys[INITIALIZE_KEYS];
        anl_text what = {0};
        anl_text_printf(&what, "initialization of `%s`", pair->key);
        anl_initialization item = {.module = pair->key, .span = pair->key_span};
        anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_initialize_keys, keys);
        anl_text_free(&what);
        item.checkpoint = anl_reader_path_key(r, &keys[INITIALIZE_CHECKPOINT]);
        item.from = anl_reader_text(r, &keys[INITIALIZE_FROM]);
        item.optional = anl_reader_truth(r, &keys[INITIALIZE_OPTIONAL]);
        if (item.checkpoint)
            ANL_PUSH(r->arena, r->recipe->initializations, r->recipe->initialization_count, capacity, item);
    }
}

static void read_metrics(reader *r)
{
    anl_syntax *s = r->sections[SECTION_METRICS];
    int capacity = 0;
    for (int i = 0; section_pairs(r, SECTION_METRICS) && i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        if (!anl_reader_check_name(r, "a metric", pair->key, pair->key_span))
            continue;
        key keys[METRIC_KEYS];
        anl_text what = {0};
        anl_text_printf(&what, "metric `%s`", pair->key);
        anl_metric metric = {.name = pair->key, .span = pair->key_span};
        if (!anl_reader_keys(r, pair->value, pair->key_span, what.data, &anl_metric_keys, keys)) {
            anl_text_free(&what);
            continue;
        }
        metric.measure = anl_reader_word(r, &keys[METRIC_MEASURE]);
        if (keys[METRIC_MEASURE].value)
            metric.measure_span = keys[METRIC_MEASURE].value->span;
        metric.score = anl_reader_node_key(r, &keys[METRIC_SCORE]);
        metric.label = anl_reader_node_key(r, &keys[METRIC_LABEL]);
        metric.where = anl_reader_node_key(r, &keys[METRIC_WHERE]);
        if (metric.measure && strcmp(metric.measure, "mean") && !keys[METRIC_LABEL].value)
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
    key state = {.about = &anl_file_keys.list[FILE_SECTIONS + SECTION_STATE],
                 .value = r->sections[SECTION_STATE], .span = r->section_spans[SECTION_STATE]};
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
