/* A recipe as one YAML file, without imports: what a run keeps of its spec.
 * In: a recipe that was read without errors. Out: text that reads back to the same recipe.
 * Expressions are written as plain scalars of block style, texts in double quotes, so that each reads as what it was. */
#include <string.h>

#include "spec/syntax.h"

typedef struct writer {
    anl_text *out;
    int level;
} writer;

static void indent(writer *w)
{
    for (int i = 0; i < w->level; i++)
        anl_text_add(w->out, "  ");
}

static void open_key(writer *w, const char *key)
{
    indent(w);
    anl_text_printf(w->out, "%s:\n", key);
    w->level++;
}

static void write_quoted(writer *w, const char *text)
{
    anl_text_add(w->out, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            anl_text_printf(w->out, "\\%c", *c);
        else if (*c == '\n')
            anl_text_add(w->out, "\\n");
        else if (*c < 0x20 || *c == 0x7f)
            anl_text_printf(w->out, "\\x%02x", *c);
        else
            anl_text_addn(w->out, (const char *)c, 1);
    }
    anl_text_add(w->out, "\"");
}

static void write_text(writer *w, const char *key, const char *text)
{
    if (!text)
        return;
    indent(w);
    anl_text_printf(w->out, "%s: ", key);
    write_quoted(w, text);
    anl_text_add(w->out, "\n");
}

/* An expression as a plain scalar. One that begins with a character that means something to YAML is put in parentheses. */
static void write_scalar(writer *w, const anl_expression *e)
{
    anl_text text = {0};
    anl_expression_print(e, &text);
    char first = text.data[0];
    bool plain = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || (first >= '0' && first <= '9') ||
                 first == '_' || first == '(' || (first == '-' && text.data[1] != ' ');
    anl_text_printf(w->out, plain ? "%s" : "(%s)", text.data);
    anl_text_free(&text);
}

static bool has_mapping(const anl_expression *e)
{
    if (e->kind == ANL_E_MAPPING)
        return true;
    for (int i = 0; e->kind == ANL_E_LIST && i < e->item_count; i++)
        if (has_mapping(e->items[i]))
            return true;
    return false;
}

/* A list of numbers and names reads the same as a YAML list; anything with commas, brackets or quotes would not. */
static bool is_simple_list(const anl_expression *e)
{
    if (e->kind != ANL_E_LIST)
        return false;
    for (int i = 0; i < e->item_count; i++) {
        anl_expression_kind kind = e->items[i]->kind;
        if (kind != ANL_E_NUMBER && kind != ANL_E_NAME && kind != ANL_E_DURATION && kind != ANL_E_BOOL)
            return false;
    }
    return true;
}

static void write_arguments(writer *w, const anl_expression *e);

/* A value behind `key:` or `-`, which stand already, without the blank. */
static void write_value(writer *w, const anl_expression *e)
{
    if (e->kind == ANL_E_MAPPING) {
        if (!e->argument_count) {
            anl_text_add(w->out, " {}\n");
            return;
        }
        anl_text_add(w->out, "\n");
        w->level++;
        write_arguments(w, e);
        w->level--;
    } else if (has_mapping(e)) {
        anl_text_add(w->out, "\n");
        w->level++;
        for (int i = 0; i < e->item_count; i++) {
            indent(w);
            anl_text_add(w->out, "-");
            write_value(w, e->items[i]);
        }
        w->level--;
    } else if (is_simple_list(e)) {
        anl_text_add(w->out, " ");
        anl_text text = {0};
        anl_expression_print(e, &text);
        anl_text_printf(w->out, "%s\n", text.data);
        anl_text_free(&text);
    } else {
        anl_text_add(w->out, " ");
        write_scalar(w, e);
        anl_text_add(w->out, "\n");
    }
}

static void write_arguments(writer *w, const anl_expression *e)
{
    for (int i = 0; i < e->argument_count; i++) {
        const anl_argument *argument = &e->arguments[i];
        indent(w);
        anl_text_printf(w->out, "%s:", argument->name);
        if (!strcmp(argument->name, "as") && argument->value->kind == ANL_E_TEXT) { /* a path, `layer1.0` */
            anl_text_add(w->out, " ");
            write_quoted(w, argument->value->name);
            anl_text_add(w->out, "\n");
            continue;
        }
        write_value(w, argument->value);
    }
}

static void write_steps(writer *w, const anl_expression *pipeline, bool fed);

static void write_step(writer *w, const anl_expression *e, bool fed)
{
    indent(w);
    anl_text_add(w->out, "- ");
    if (e->kind == ANL_E_REPEAT) {
        anl_text_add(w->out, "repeat:\n");
        w->level += 2;
        indent(w);
        anl_text_add(w->out, "times:");
        write_value(w, e->items[0]);
        if (e->name[0]) {
            indent(w);
            anl_text_printf(w->out, "as: %s\n", e->name);
        }
        if (e->items[2]) {
            indent(w);
            anl_text_add(w->out, "from:");
            write_value(w, e->items[2]);
        }
        open_key(w, "steps");
        write_steps(w, e->items[1], true);
        w->level -= 3;
        return;
    }
    bool positional = false;
    for (int i = 0; i < e->argument_count; i++)
        positional = positional || !e->arguments[i].name;
    if (e->kind != ANL_E_STEP ||
        positional) { /* a fed call with positional arguments has no `_` in it and reads as a step again */
        write_scalar(w, e);
        anl_text_add(w->out, "\n");
        return;
    }
    anl_text callee = {0};
    anl_expression_print(e->items[0], &callee);
    if (e->argument_count)
        anl_text_printf(w->out, "%s:\n", callee.data);
    else
        anl_text_printf(w->out, fed ? "%s\n" : "%s: {}\n", callee.data);
    anl_text_free(&callee);
    w->level += 2;
    write_arguments(w, e);
    w->level -= 2;
}

static void write_steps(writer *w, const anl_expression *pipeline, bool fed)
{
    if (pipeline->kind != ANL_E_PIPELINE)
        return;
    for (int i = 0; i < pipeline->item_count; i++)
        write_step(w, pipeline->items[i], fed || i > 0);
}

static void write_node(writer *w, const char *key, const anl_expression *e)
{
    if (!e)
        return;
    indent(w);
    anl_text_printf(w->out, "%s:", key);
    if (e->kind == ANL_E_PIPELINE) {
        anl_text_add(w->out, "\n");
        w->level++;
        write_steps(w, e, false);
        w->level--;
    } else if (e->kind == ANL_E_LIST) { /* a YAML list would be a pipeline here */
        anl_text_add(w->out, " ");
        write_scalar(w, e);
        anl_text_add(w->out, "\n");
    } else {
        write_value(w, e);
    }
}

static void write_word(writer *w, const char *key, const char *word)
{
    if (!word)
        return;
    indent(w);
    anl_text_printf(w->out, "%s: %s\n", key, word);
}

/* A path: a param's name as it is, a text in quotes. */
static void write_path(writer *w, const char *key, const anl_expression *e)
{
    if (e && e->kind == ANL_E_TEXT)
        write_text(w, key, e->name);
    else
        write_node(w, key, e);
}

static void write_axes(writer *w, const anl_axis_pattern *axes, int count)
{
    if (!count)
        return;
    open_key(w, "axes");
    for (int i = 0; i < count; i++)
        write_node(w, axes[i].kind == ANL_P_SPACE ? "~space" : axes[i].name, axes[i].size);
    w->level--;
}

static void write_params(writer *w, const anl_param *params, int count)
{
    if (!count)
        return;
    open_key(w, "params");
    for (int i = 0; i < count; i++) {
        const anl_param *p = &params[i];
        open_key(w, p->name);
        if (p->value && p->value->kind == ANL_E_TEXT) {
            write_text(w, "default", p->value->name);
        } else if (p->value) {
            indent(w);
            anl_text_add(w->out, "default:");
            write_value(w, p->value);
        }
        write_word(w, "type", p->type);
        if (p->low) {
            open_key(w, "range");
            indent(w);
            anl_text_add(w->out, "- ");
            write_scalar(w, p->low);
            anl_text_add(w->out, "\n");
            indent(w);
            anl_text_add(w->out, "- ");
            write_scalar(w, p->high);
            anl_text_add(w->out, "\n");
            w->level--;
        }
        write_text(w, "unit", p->unit);
        write_text(w, "doc", p->doc);
        w->level--;
    }
    w->level--;
}

static void write_declarations(writer *w, const char *section, const anl_declaration *list, int count, bool weights)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        const anl_declaration *d = &list[i];
        if (d->is_weight != weights)
            continue;
        if (!any)
            open_key(w, section);
        any = true;
        open_key(w, d->name);
        write_axes(w, d->axes, d->axis_count);
        write_text(w, "like", d->like);
        write_node(w, "init", d->init);
        write_word(w, "kind", d->kind);
        write_node(w, "project", d->project);
        write_node(w, "update", d->update);
        write_word(w, "calls", d->calls);
        w->level--;
    }
    if (any)
        w->level--;
}

static void write_named(writer *w, const char *section, const anl_named *list, int count)
{
    if (!count)
        return;
    open_key(w, section);
    for (int i = 0; i < count; i++)
        write_node(w, list[i].name, list[i].value);
    w->level--;
}

static void write_function(writer *w, const anl_function *f)
{
    open_key(w, f->name);
    write_text(w, "doc", f->doc);
    if (f->input_count)
        open_key(w, "inputs");
    for (int i = 0; i < f->input_count; i++) {
        indent(w);
        anl_text_printf(w->out, "%s: [", f->inputs[i].name);
        for (int k = 0; k < f->inputs[i].axis_count; k++) {
            const anl_axis_pattern *axis = &f->inputs[i].axes[k];
            const char *mark = axis->kind == ANL_P_REST ? "..." : axis->kind == ANL_P_SPACE ? "~" : "";
            anl_text_printf(w->out, "%s%s%s", k ? ", " : "", mark, axis->name);
        }
        anl_text_add(w->out, "]\n");
    }
    if (f->input_count)
        w->level--;
    write_params(w, f->params, f->param_count);
    write_declarations(w, "weights", f->declarations, f->declaration_count, true);
    write_declarations(w, "state", f->declarations, f->declaration_count, false);
    write_named(w, "nodes", f->nodes, f->node_count);
    write_node(w, "returns", f->returns);
    write_named(w, "returns", f->members, f->member_count);
    w->level--;
}

static void write_data(writer *w, const anl_recipe *recipe)
{
    if (!recipe->source_count)
        return;
    open_key(w, "data");
    for (int i = 0; i < recipe->source_count; i++) {
        const anl_source *source = &recipe->sources[i];
        open_key(w, source->name);
        write_path(w, "shards", source->shards);
        if (source->part_count)
            open_key(w, "sources");
        for (int k = 0; k < source->part_count; k++) {
            open_key(w, source->parts[k].name);
            write_path(w, "shards", source->parts[k].shards);
            write_node(w, "weight", source->parts[k].weight);
            w->level--;
        }
        if (source->part_count)
            w->level--;
        if (source->field_count)
            open_key(w, "fields");
        for (int k = 0; k < source->field_count; k++) {
            const anl_field_declaration *field = &source->fields[k];
            indent(w);
            anl_text_printf(w->out, "%s:\n", field->name);
            w->level++;
            indent(w); /* a field of no axes and no keys would read as nothing */
            anl_text_add(w->out, field->axis_count ? "axes:\n" : "axes: {}\n");
            w->level++;
            for (int a = 0; a < field->axis_count; a++)
                write_node(w, field->axes[a].kind == ANL_P_SPACE ? "~space" : field->axes[a].name, field->axes[a].size);
            w->level--;
            write_word(w, "modality", field->modality_param);
            write_text(w, "modality", field->modality_param ? NULL : field->modality);
            write_word(w, "column", field->column_param);
            write_text(w, "column", field->column_param ? NULL : field->column);
            write_word(w, "boxes", field->boxes_param);
            write_text(w, "boxes", field->boxes_param ? NULL : field->boxes);
            write_text(w, "mask", field->mask);
            write_text(w, "fit", field->fit);
            write_text(w, "unit", field->unit);
            write_node(w, "missing", field->missing);
            w->level--;
        }
        if (source->field_count)
            w->level--;
        if (source->label_fraction || source->label_by || source->drop_unlabelled) {
            open_key(w, "labels");
            write_node(w, "fraction", source->label_fraction);
            write_word(w, "by", source->label_by);
            write_word(w, "drop", source->drop_unlabelled ? "true" : NULL);
            w->level--;
        }
        write_text(w, "balance", source->balance);
        w->level--;
    }
    w->level--;
}

static void write_train(writer *w, const anl_recipe *recipe)
{
    if (!recipe->train_length)
        return;
    open_key(w, "train");
    write_node(w, "length", recipe->train_length);
    write_node(w, "seed", recipe->seed);
    write_node(w, "clip", recipe->gradient_clip);
    open_key(w, "optimizer");
    for (int i = 0; i < recipe->rule_count; i++) {
        const anl_optimizer_rule *rule = &recipe->rules[i];
        indent(w);
        anl_text_add(w->out, "- weights: ");
        write_quoted(w, rule->weights);
        anl_text_add(w->out, "\n");
        w->level++;
        write_node(w, "rule", rule->rule);
        write_node(w, "from", rule->from);
        write_node(w, "until", rule->until);
        w->level--;
    }
    w->level--;
    if (recipe->checkpoint_every) {
        open_key(w, "checkpoint");
        write_node(w, "every", recipe->checkpoint_every);
        write_node(w, "keep", recipe->checkpoint_keep);
        w->level--;
    }
    if (recipe->evaluate_every) {
        open_key(w, "evaluate");
        write_node(w, "every", recipe->evaluate_every);
        w->level--;
    }
    w->level--;
}

anl_status anl_recipe_print(const anl_recipe *recipe, anl_text *out)
{
    writer w = {out, 0};
    anl_text_add(out, "anlage: 1\n");
    write_text(&w, "title", recipe->title);
    write_text(&w, "doc", recipe->doc);
    write_params(&w, recipe->params, recipe->param_count);
    write_data(&w, recipe);
    write_named(&w, "views", recipe->views, recipe->view_count);
    if (recipe->module_count)
        open_key(&w, "modules");
    for (int i = 0; i < recipe->module_count; i++) {
        const anl_module *module = &recipe->modules[i];
        if (module->copy) {
            open_key(&w, module->name);
            write_text(&w, "copy", module->copy);
            write_node(&w, "update", module->update);
            w.level--;
        } else {
            write_node(&w, module->name, module->value);
        }
    }
    if (recipe->module_count)
        w.level--;
    write_declarations(&w, "state", recipe->states, recipe->state_count, false);
    write_named(&w, "graph", recipe->nodes, recipe->node_count);
    if (recipe->loss_count)
        open_key(&w, "losses");
    for (int i = 0; i < recipe->loss_count; i++) {
        open_key(&w, recipe->losses[i].name);
        write_node(&w, "value", recipe->losses[i].value);
        write_node(&w, "weight", recipe->losses[i].weight);
        w.level--;
    }
    if (recipe->loss_count)
        w.level--;
    write_train(&w, recipe);
    if (recipe->initialization_count)
        open_key(&w, "initialize");
    for (int i = 0; i < recipe->initialization_count; i++) {
        const anl_initialization *item = &recipe->initializations[i];
        indent(&w);
        write_quoted(&w, item->module);
        anl_text_add(out, ":\n");
        w.level++;
        write_path(&w, "checkpoint", item->checkpoint);
        write_text(&w, "from", item->from);
        write_word(&w, "optional", item->optional ? "true" : NULL);
        w.level--;
    }
    if (recipe->initialization_count)
        w.level--;
    if (recipe->metric_count)
        open_key(&w, "metrics");
    for (int i = 0; i < recipe->metric_count; i++) {
        const anl_metric *metric = &recipe->metrics[i];
        open_key(&w, metric->name);
        write_word(&w, "measure", metric->measure);
        write_node(&w, "score", metric->score);
        write_node(&w, "label", metric->label);
        write_node(&w, "where", metric->where);
        w.level--;
    }
    if (recipe->metric_count)
        w.level--;
    if (recipe->function_count)
        open_key(&w, "functions");
    for (int i = 0; i < recipe->function_count; i++)
        write_function(&w, recipe->functions[i]);
    return ANL_OK;
}
