/* What names mean, by the text alone.
 * In: outlines. Out: the symbol, operation or axis that a mention stands for.
 * A spec that imports and overrides defines a name several times: all of these are one target. */
#include "lint/project.h"

#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "lint/forms.h"
#include "spec/syntax.h"

/* ---- files ---- */

const outline *editor_outline(anl_editor *editor, editor_file *file)
{
    (void)editor;
    if (!file->text)
        return NULL;
    if (!file->outline) {
        file->outline = outline_read(file->path, file->text, file->length);
        if (file->outline->root) /* what was good before is not needed any more */
            outline_free(&file->good);
    }
    if (file->outline && file->outline->root)
        return file->outline;
    return file->good;
}

editor_file *editor_import(anl_editor *editor, const editor_file *importer, const char *text)
{
    anl_arena *arena = anl_arena_new();
    const char *places[ANL_IMPORT_PLACES];
    editor_file *found = NULL;
    anl_import_places(arena, importer->path, text, anl_folder_specs(arena), places);
    for (int i = 0; i < ANL_IMPORT_PLACES && places[i] && !found; i++) {
        char *real = realpath(places[i], NULL);
        if (real)
            found = anl_editor_file(editor, real);
        free(real);
        if (found && !found->text)
            found = NULL;
    }
    anl_arena_free(&arena);
    return found;
}

static void add_file(anl_editor *editor, project *p, editor_file *file, int depth)
{
    enum { DEEPEST = 64 };
    for (int i = 0; i < p->count; i++)
        if (p->files[i] == file)
            return;
    const outline *o = editor_outline(editor, file);
    if (!o || depth > DEEPEST)
        return;
    ANL_PUSH(p->arena, p->files, p->count, p->capacity, file);
    for (int i = 0; i < o->mention_count; i++) {
        editor_file *import = o->mentions[i].kind == MENTION_IMPORT ? editor_import(editor, file, o->mentions[i].name) : NULL;
        if (import)
            add_file(editor, p, import, depth + 1);
    }
}

project project_of(anl_editor *editor, anl_arena *arena, editor_file *file)
{
    project p = {.arena = arena};
    add_file(editor, &p, file, 0);
    for (int i = 0; i < editor->check_count; i++) {
        editor_file *root = anl_editor_file(editor, editor->checks[i]->path);
        if (root != file && root->open && anl_editor_reads(editor, root->path, file->path))
            add_file(editor, &p, root, 0);
    }
    return p;
}

/* ---- symbols ---- */

bool symbol_same_set(symbol_kind a, symbol_kind b)
{
    const symbol_kind apart[] = {SYMBOL_FUNCTION, SYMBOL_MEMBER, SYMBOL_LOSS, SYMBOL_METRIC};
    for (size_t i = 0; i < ANL_COUNT(apart); i++)
        if (a == apart[i] || b == apart[i])
            return a == b;
    return true;
}

static bool same_scope(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

const symbol *project_next(const project *p, symbol_kind like, const char *scope, const char *name, const symbol *after)
{
    for (int i = 0; i < p->count; i++) {
        const outline *o = editor_outline(NULL, p->files[i]);
        for (int k = 0; k < o->symbol_count; k++) {
            const symbol *s = &o->symbols[k];
            if (after) {
                after = s == after ? NULL : after;
                continue;
            }
            if (symbol_same_set(s->kind, like) && same_scope(s->scope, scope) && (!name || !strcmp(s->name, name)))
                return s;
        }
    }
    return NULL;
}

const symbol *project_value(const project *p, const char *scope, const char *name)
{
    return project_next(p, SYMBOL_NODE, scope, name, NULL);
}

const symbol *project_function(const project *p, const char *name) { return project_next(p, SYMBOL_FUNCTION, NULL, name, NULL); }

bool symbol_is_axis(const symbol *s)
{
    if (s->kind == SYMBOL_REST)
        return true;
    if (s->kind != SYMBOL_PARAM)
        return false;
    if (s->type)
        return !strcmp(s->type, "axis") || !strcmp(s->type, "axes");
    return s->expression && s->expression->kind == ANL_E_NAME;
}

/* ---- calls ---- */

static void add_callee(const symbol *found, const symbol **out, int *count, int most)
{
    for (int i = 0; i < *count; i++)
        if (out[i] == found)
            return;
    if (found && *count < most)
        out[(*count)++] = found;
}

static void add_callees(const project *p, const char *scope, const anl_expression *e, const symbol **out, int *count, int most,
                        int depth);

static void add_named(const project *p, const char *scope, const char *name, const symbol **out, int *count, int most, int depth)
{
    const symbol *value = project_value(p, scope, name);
    if (value && value->kind == SYMBOL_MODULE && depth < 8) {
        const anl_syntax *copy = NULL;
        for (int i = 0; value->value->kind == ANL_Y_MAPPING && i < value->value->count; i++)
            if (!strcmp(value->value->pairs[i].key, "copy"))
                copy = value->value->pairs[i].value;
        if (copy && copy->kind == ANL_Y_SCALAR)
            add_named(p, NULL, copy->text, out, count, most, depth + 1);
        else
            add_callees(p, NULL, value->expression, out, count, most, depth + 1);
        return;
    }
    add_callee(project_function(p, name), out, count, most);
}

/* Those of a module: network(width=32), or if(…, one(…), another(…)). */
static void add_callees(const project *p, const char *scope, const anl_expression *e, const symbol **out, int *count, int most,
                        int depth)
{
    if (!e || depth > 8)
        return;
    bool call = (e->kind == ANL_E_CALL || e->kind == ANL_E_STEP) && e->items[0]->kind == ANL_E_NAME;
    if (call && !strcmp(e->items[0]->name, "if")) {
        for (int i = 1; i < e->argument_count; i++)
            add_callees(p, scope, e->arguments[i].value, out, count, most, depth + 1);
    } else if (call || e->kind == ANL_E_NAME) {
        add_named(p, scope, call ? e->items[0]->name : e->name, out, count, most, depth + 1);
    }
}

int project_callees(const project *p, const char *scope, const char *name, const symbol **out, int most)
{
    int count = 0;
    add_named(p, scope, name, out, &count, most, 0);
    return count;
}

/* As trace/call.c gives them to slots: where keywords are pairs, all are; the value so far goes to the first slot that takes values. */
static argument_target operation_argument(const anl_builtin *b, const anl_expression *call, int index, int position, bool fed)
{
    argument_target t = {.operation = b};
    bool filled[ANL_COUNT(b->params)] = {0};
    const char *name = call->arguments[index].name;
    for (int i = 0; i < b->param_count; i++)
        t.pairs = t.pairs || (name && !strcmp(b->params[i].name, "pairs"));
    if (t.pairs)
        return t;
    for (int i = 0; i < b->param_count; i++)
        for (int k = 0; k < call->argument_count; k++)
            filled[i] = filled[i] || (call->arguments[k].name && !strcmp(call->arguments[k].name, b->params[i].name));
    for (int i = 0; fed && i < b->param_count; i++)
        if (!filled[i] && (b->params[i].kind == 'v' || b->params[i].kind == 'l')) {
            filled[i] = true;
            break;
        }
    for (int i = 0; i < b->param_count && !t.param; i++)
        if (name ? !strcmp(b->params[i].name, name) : !filled[i] && position-- == 0)
            t.param = &b->params[i];
    t.pairs = name && !t.param; /* uniform(0, 1, band=5) */
    return t;
}

static const symbol *function_argument(const project *p, const symbol *f, const anl_expression *call, int index, int position,
                                       bool fed)
{
    static const symbol_kind order[] = {SYMBOL_INPUT, SYMBOL_PARAM};
    const char *name = call->arguments[index].name;
    position += fed;
    for (size_t i = 0; i < ANL_COUNT(order); i++)
        for (const symbol *s = NULL; (s = project_next(p, SYMBOL_NODE, f->name, NULL, s));) {
            if (s->kind != order[i])
                continue;
            if (name) {
                if (!strcmp(s->name, name))
                    return s;
                continue;
            }
            bool given = false;
            for (int k = 0; k < call->argument_count; k++)
                given = given || (call->arguments[k].name && !strcmp(call->arguments[k].name, s->name));
            if (!given && position-- == 0)
                return s;
        }
    return NULL;
}

argument_target project_argument(const project *p, const argument_place *in)
{
    enum { MOST = 8 };
    const symbol *callees[MOST];
    argument_target t = {0};
    const anl_expression *callee = in->call->items[0];
    if (callee->kind != ANL_E_NAME)
        return t;
    int position = 0;
    for (int i = 0; i < in->index; i++)
        position += !in->call->arguments[i].name;
    int count = project_callees(p, in->scope, callee->name, callees, MOST);
    for (int i = 0; i < count && !t.symbol; i++)
        t.symbol = function_argument(p, callees[i], in->call, in->index, position, in->fed);
    const anl_builtin *b = count ? NULL : anl_builtin_find(callee->name);
    return b ? operation_argument(b, in->call, in->index, position, in->fed) : t;
}

wanted project_wanted(const argument_target *a)
{
    if (a->symbol) {
        if (a->symbol->kind == SYMBOL_PARAM && symbol_is_axis(a->symbol) && a->symbol->type)
            return WANTED_AXES;
        return a->symbol->type && !strcmp(a->symbol->type, "text") ? WANTED_WORD : WANTED_VALUE;
    }
    const bool both = a->operation && (!strcmp(a->operation->name, "rename") || !strcmp(a->operation->name, "windows"));
    if (a->pairs || (a->param && a->param->kind == 'm')) /* from=to names axes on both sides; axis=size one */
        return both ? WANTED_AXES : WANTED_VALUE;
    if (a->param && (a->param->kind == 'a' || a->param->kind == 'A' || !strcmp(a->param->name, "axes")))
        return WANTED_AXES;
    if (a->param && a->param->kind == 't')
        return WANTED_WORD;
    return WANTED_VALUE;
}

const symbol *project_result(const project *p, const char *scope, const anl_expression *e, int depth)
{
    if (!e || depth > 8)
        return NULL;
    if (e->kind == ANL_E_PIPELINE && e->item_count)
        return project_result(p, scope, e->items[e->item_count - 1], depth + 1);
    if (e->kind == ANL_E_NAME) {
        const symbol *value = project_value(p, scope, e->name);
        return value && value->kind != SYMBOL_MODULE ? project_result(p, scope, value->expression, depth + 1) : NULL;
    }
    if ((e->kind != ANL_E_CALL && e->kind != ANL_E_STEP) || e->items[0]->kind != ANL_E_NAME)
        return NULL;
    const symbol *callee = NULL;
    return project_callees(p, scope, e->items[0]->name, &callee, 1) ? callee : NULL;
}

/* ---- targets ---- */

static target of_symbol(const symbol *s) { return (target){.kind = TARGET_SYMBOL, .name = s->name, .symbol = s}; }
static target of_name(target_kind kind, const char *name) { return (target){.kind = kind, .name = name}; }

static target of_function(const project *p, const char *name)
{
    const symbol *f = project_function(p, name);
    const anl_builtin *b = f ? NULL : anl_builtin_find(name);
    if (f)
        return of_symbol(f);
    if (b)
        return (target){.kind = TARGET_OPERATION, .name = b->name, .operation = b};
    return of_name(form_find(name) ? TARGET_FORM : TARGET_NONE, name);
}

static target of_axis(const project *p, const mention *m)
{
    const symbol *value = project_value(p, m->scope, m->name);
    if (value && symbol_is_axis(value))
        return of_symbol(value);
    return of_name(form_find(m->name) && (!strcmp(m->name, "all") || !strcmp(m->name, "space")) ? TARGET_FORM : TARGET_AXIS,
                   m->name);
}

static target of_value(const project *p, const mention *m)
{
    argument_target argument = m->in ? project_argument(p, m->in) : (argument_target){0};
    wanted w = m->in ? project_wanted(&argument) : m->want;
    if (w == WANTED_AXES)
        return of_axis(p, m);
    const symbol *value = project_value(p, m->scope, m->name);
    if (value)
        return of_symbol(value);
    const form *f = form_find(m->name);
    if (f && (f->kind == FORM_VALUE || (f->kind == FORM_RULE && m->scope)))
        return of_name(TARGET_FORM, m->name);
    if (w == WANTED_WORD)
        return of_name(TARGET_WORD, m->name);
    return of_function(p, m->name);
}

static target of_callee(const project *p, const mention *m)
{
    const symbol *value = project_value(p, m->scope, m->name);
    if (value && (value->kind == SYMBOL_MODULE || (value->kind == SYMBOL_PARAM && value->type)))
        return of_symbol(value);
    target t = of_function(p, m->name);
    return t.kind == TARGET_NONE && value ? of_symbol(value) : t;
}

static target of_member(const project *p, const mention *m)
{
    const symbol *value = project_value(p, m->scope, m->name), *f = project_result(p, m->scope, m->base, 0);
    const symbol *member = f ? project_next(p, SYMBOL_MEMBER, f->name, m->name, NULL) : NULL;
    if (member)
        return of_symbol(member);
    if (value && symbol_is_axis(value))
        return of_symbol(value);
    return of_name(form_find(m->name) ? TARGET_FORM : TARGET_AXIS, m->name);
}

target project_target(const project *p, const mention *m)
{
    const symbol *s;
    switch (m->kind) {
    case MENTION_DEFINITION:
        s = project_next(p, m->symbol->kind, m->symbol->scope, m->name, NULL);
        return of_symbol(s ? s : m->symbol);
    case MENTION_VALUE:
        return of_value(p, m);
    case MENTION_CALLEE:
        return of_callee(p, m);
    case MENTION_ARGUMENT: {
        argument_target a = project_argument(p, m->in);
        if (!strcmp(m->name, "as") || !strcmp(m->name, "key"))
            return of_name(TARGET_FORM, m->name);
        if (a.symbol)
            return of_symbol(a.symbol);
        if (a.param)
            return (target){.kind = TARGET_ARGUMENT, .name = m->name, .operation = a.operation, .param = a.param};
        return a.pairs ? of_axis(p, m) : of_name(TARGET_NONE, m->name);
    }
    case MENTION_AXIS:
        return of_axis(p, m);
    case MENTION_MEMBER:
        return of_member(p, m);
    case MENTION_MODULE:
        s = project_value(p, NULL, m->name);
        return s && s->kind == SYMBOL_MODULE ? of_symbol(s) : of_name(TARGET_WORD, m->name);
    case MENTION_COUNTER:
        s = project_value(p, m->scope, m->name);
        return s && s->kind == SYMBOL_COUNTER ? of_symbol(s) : of_name(TARGET_WORD, m->name);
    case MENTION_PART:
        return of_name(TARGET_WORD, m->name);
    case MENTION_IMPORT:
        return of_name(TARGET_FILE, m->name);
    }
    return of_name(TARGET_NONE, m->name);
}

bool target_same(const target *a, const target *b)
{
    if (a->kind != b->kind || strcmp(a->name, b->name))
        return false;
    if (a->kind != TARGET_SYMBOL)
        return a->kind != TARGET_ARGUMENT || a->operation == b->operation;
    return symbol_same_set(a->symbol->kind, b->symbol->kind) && same_scope(a->symbol->scope, b->symbol->scope);
}
