/* Names that nothing uses: params, modules, views, state and nodes of the spec, nodes and params of its own functions.
 * In: the recipe. Out: warnings A0213 to A0216 and A0506.
 * Judged by the text alone: a name counts as used where it is mentioned, whatever branch is taken. */
#include "trace/tracer.h"

static bool mentions(const anl_expression *e, const char *name)
{
    if (!e)
        return false;
    if ((e->kind == ANL_E_NAME || e->kind == ANL_E_REST || e->kind == ANL_E_SPACE) && e->name && !strcmp(e->name, name))
        return true;
    for (int i = 0; i < e->item_count; i++)
        if (mentions(e->items[i], name))
            return true;
    for (int i = 0; i < e->argument_count; i++) {
        if (mentions(e->arguments[i].value, name))
            return true;
        /* axis params may stand as keywords (rename) and as members (x.over) */
        if (e->arguments[i].name && !strcmp(e->arguments[i].name, name))
            return true;
    }
    if ((e->kind == ANL_E_MEMBER && !strcmp(e->name, name)) || (e->slice_axis && !strcmp(e->slice_axis, name)))
        return true;
    return mentions(e->start, name) || mentions(e->stop, name);
}

static bool pattern_mentions(const anl_axis_pattern *axes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(axes[i].name, name) || mentions(axes[i].size, name))
            return true;
    return false;
}

static bool declaration_mentions(const anl_declaration *d, const char *name)
{
    return pattern_mentions(d->axes, d->axis_count, name) || mentions(d->init, name) || mentions(d->update, name) ||
           mentions(d->project, name) || (d->like && !strcmp(d->like, name));
}

static bool body_mentions(const anl_function *f, const char *name, const void *except)
{
    for (int i = 0; i < f->param_count; i++)
        if ((const void *)&f->params[i] != except &&
            (mentions(f->params[i].value, name) || mentions(f->params[i].low, name) || mentions(f->params[i].high, name)))
            return true;
    for (int i = 0; i < f->declaration_count; i++)
        if (declaration_mentions(&f->declarations[i], name))
            return true;
    for (int i = 0; i < f->node_count; i++)
        if ((const void *)&f->nodes[i] != except && mentions(f->nodes[i].value, name))
            return true;
    for (int i = 0; i < f->member_count; i++)
        if (mentions(f->members[i].value, name))
            return true;
    return mentions(f->returns, name);
}

static bool function_mentions(const anl_function *f, const char *name, const void *except)
{
    for (int i = 0; i < f->input_count; i++)
        if (pattern_mentions(f->inputs[i].axes, f->inputs[i].axis_count, name))
            return true;
    return body_mentions(f, name, except);
}

static bool spec_mentions(const anl_recipe *r, const char *name, const void *except)
{
    for (int i = 0; i < r->param_count; i++)
        if ((const void *)&r->params[i] != except &&
            (mentions(r->params[i].value, name) || mentions(r->params[i].low, name) || mentions(r->params[i].high, name)))
            return true;
    for (int i = 0; i < r->source_count; i++) {
        const anl_source *s = &r->sources[i];
        if (mentions(s->shards, name) || mentions(s->label_fraction, name))
            return true;
        for (int k = 0; k < s->part_count; k++)
            if (mentions(s->parts[k].shards, name) || mentions(s->parts[k].weight, name))
                return true;
        for (int k = 0; k < s->field_count; k++)
            if (mentions(s->fields[k].missing, name) || (s->fields[k].column_param && !strcmp(s->fields[k].column_param, name)) || (s->fields[k].boxes_param && !strcmp(s->fields[k].boxes_param, name)) ||
                (s->fields[k].modality_param && !strcmp(s->fields[k].modality_param, name)))
                return true;
            else
                for (int j = 0; j < s->fields[k].axis_count; j++)
                    if (mentions(s->fields[k].axes[j].size, name))
                        return true;
    }
    for (int i = 0; i < r->view_count; i++)
        if ((const void *)&r->views[i] != except && mentions(r->views[i].value, name))
            return true;
    for (int i = 0; i < r->module_count; i++) {
        const anl_module *m = &r->modules[i];
        if ((const void *)m != except &&
            (mentions(m->value, name) || mentions(m->update, name) || (m->copy && !strcmp(m->copy, name))))
            return true;
    }
    for (int i = 0; i < r->state_count; i++)
        if ((const void *)&r->states[i] != except && declaration_mentions(&r->states[i], name))
            return true;
    for (int i = 0; i < r->node_count; i++)
        if ((const void *)&r->nodes[i] != except && mentions(r->nodes[i].value, name))
            return true;
    for (int i = 0; i < r->loss_count; i++)
        if (mentions(r->losses[i].value, name) || mentions(r->losses[i].weight, name))
            return true;
    for (int i = 0; i < r->rule_count; i++)
        if (mentions(r->rules[i].rule, name) || mentions(r->rules[i].from, name) || mentions(r->rules[i].until, name))
            return true;
    for (int i = 0; i < r->initialization_count; i++)
        if (mentions(r->initializations[i].checkpoint, name))
            return true;
    for (int i = 0; i < r->metric_count; i++)
        if (mentions(r->metrics[i].score, name) || mentions(r->metrics[i].label, name) || mentions(r->metrics[i].where, name))
            return true;
    return mentions(r->train_length, name) || mentions(r->seed, name) || mentions(r->checkpoint_every, name) ||
           mentions(r->checkpoint_keep, name) || mentions(r->evaluate_every, name) || mentions(r->gradient_clip, name);
}

static bool fetch_mentions(const tracer *t, const char *name)
{
    for (int i = 0; i < t->options->fetch_count; i++)
        if (strstr(t->options->fetches[i], name))
            return true;
    return false;
}

static void unused(tracer *t, anl_code code, anl_span span, const char *what, const char *name)
{
    anl_diagnose(t->diagnostics, code, span, "%s `%s` is not used", what, name);
}

static bool is_own(const anl_recipe *r, const anl_function *f) { return f->file && r->file && !strcmp(f->file, r->file); }

static bool is_of(const anl_function *f, const anl_import *import)
{
    for (int i = 0; import && i < import->file_count; i++)
        if (!strcmp(f->file, import->files[i]))
            return true;
    return false;
}

/* Whether the spec mentions the function, or another function does that is none of the import's. A library may leave functions to the
 * spec that imports it, or to another library. */
static bool is_called(const anl_recipe *r, const anl_function *f, const anl_import *import)
{
    if (spec_mentions(r, f->name, NULL))
        return true;
    for (int i = 0; i < r->function_count; i++)
        if (r->functions[i] != f && !is_of(r->functions[i], import) && function_mentions(r->functions[i], f->name, NULL))
            return true;
    return false;
}

/* Axes that a function takes as `...rest` and never names: left out, they ride along. An optimizer rule has to take all. */
static void rest_of_inputs(tracer *t, const anl_function *f)
{
    for (int i = 0; i < f->input_count; i++)
        if (!strcmp(f->inputs[i].name, "weight"))
            return;
    for (int i = 0; i < f->param_count; i++)
        if (f->params[i].type && !strncmp(f->params[i].type, "ax", 2)) /* axis, axes: the caller names them */
            return;
    if (body_mentions(f, "all", NULL))
        return;
    for (int i = 0; i < f->input_count; i++)
        for (int k = 0; k < f->inputs[i].axis_count; k++) {
            const anl_axis_pattern *a = &f->inputs[i].axes[k];
            if (a->kind != ANL_P_REST || body_mentions(f, a->name, NULL))
                continue;
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_unused_rest, a->span, "the axes `...%s` are taken, and never named", a->name);
            anl_diagnostic_note(t->diagnostics, d, "axes that a function does not take ride along untouched, and draws are independent along them");
            anl_diagnostic_suggest(t->diagnostics, d, "leave `...%s` out", a->name);
        }
}

static void functions_of_file(tracer *t)
{
    const anl_recipe *r = t->recipe;
    for (int i = 0; i < r->function_count; i++) {
        const anl_function *f = r->functions[i];
        if (!is_own(r, f))
            continue;
        if (r->import_count)
            rest_of_inputs(t, f);
        for (int k = 0; k < f->param_count; k++)
            if (!function_mentions(f, f->params[k].name, &f->params[k]))
                unused(t, ANL_A_unused_name, f->params[k].span, "the param", f->params[k].name);
        for (int k = 0; k < f->node_count; k++)
            if (!function_mentions(f, f->nodes[k].name, &f->nodes[k]))
                unused(t, ANL_A_unused_node, f->nodes[k].span, "the node", f->nodes[k].name);
    }
}

static void unused_imports(tracer *t)
{
    const anl_recipe *r = t->recipe;
    for (int i = 0; i < r->import_count; i++) {
        const anl_import *import = &r->imports[i];
        bool used = import->sections;
        for (int k = 0; k < r->function_count && !used; k++)
            used = is_of(r->functions[k], import) && is_called(r, r->functions[k], import);
        if (!used)
            unused(t, ANL_A_unused_import, import->span, "the import", import->text);
    }
}

void warn_unused(tracer *t)
{
    const anl_recipe *r = t->recipe;
    functions_of_file(t);
    if (!r->loss_count && !r->metric_count) /* a library, or a spec for fetching: everything may be asked for */
        return;
    unused_imports(t);
    /* A file that imports nothing may be what a run keeps: a recipe with all functions of the library in it. */
    for (int i = 0; i < r->function_count && r->import_count; i++)
        if (is_own(r, r->functions[i]) && !is_called(r, r->functions[i], NULL))
            unused(t, ANL_A_unused_function, r->functions[i]->span, "the function", r->functions[i]->name);
    for (int i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, "batch") && !spec_mentions(r, r->params[i].name, &r->params[i]))
            unused(t, ANL_A_unused_name, r->params[i].span, "the param", r->params[i].name);
    for (int i = 0; i < r->source_count; i++)
        for (int k = 0; k < r->sources[i].field_count; k++) {
            const anl_field_declaration *f = &r->sources[i].fields[k];
            if (f->span.file && r->file && !strcmp(f->span.file, r->file) && !spec_mentions(r, f->name, NULL) && !(f->mask && spec_mentions(r, f->mask, NULL)) && !fetch_mentions(t, f->name))
                unused(t, ANL_A_unused_name, f->span, "the field", f->name);
        }
    for (int i = 0; i < r->view_count; i++)
        if (!spec_mentions(r, r->views[i].name, &r->views[i]) && !fetch_mentions(t, r->views[i].name))
            unused(t, ANL_A_unused_node, r->views[i].span, "the view", r->views[i].name);
    for (int i = 0; i < r->module_count; i++)
        if (!spec_mentions(r, r->modules[i].name, &r->modules[i]) && !fetch_mentions(t, r->modules[i].name))
            unused(t, ANL_A_unused_name, r->modules[i].span, "the module", r->modules[i].name);
    for (int i = 0; i < r->state_count; i++)
        if (!spec_mentions(r, r->states[i].name, &r->states[i]) && !fetch_mentions(t, r->states[i].name))
            unused(t, ANL_A_unused_name, r->states[i].span, "the state", r->states[i].name);
    for (int i = 0; i < r->node_count; i++)
        if (!spec_mentions(r, r->nodes[i].name, &r->nodes[i]) && !fetch_mentions(t, r->nodes[i].name))
            unused(t, ANL_A_unused_node, r->nodes[i].span, "the node", r->nodes[i].name);
}
