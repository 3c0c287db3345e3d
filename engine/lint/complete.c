/* Completion: what may stand at a cursor.
 * In: the cursor's context, the table of keys, the outlines, the table of operations, the last checks. Out: candidates with docs.
 * The text may be broken in any way: what is in front of the cursor is read by cursor.c, names come from the last outlines. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "lint/cursor.h"
#include "lint/describe.h"
#include "lint/forms.h"
#include "spec/syntax.h"

typedef struct completer {
    anl_editor *editor;
    anl_arena *arena;
    editor_file *file;
    project project;
    cursor cursor;
    const char *scope; /* the function around the cursor */
    bool colon;        /* a colon follows already */
    anl_completion *list;
    int count, capacity;
} completer;

enum { FIRST, SECOND, THIRD, FOURTH, FIFTH };

static anl_completion *add(completer *c, const char *kind, const char *label, int order)
{
    for (int i = 0; i < c->count; i++) /* of two of one name, the nearer one was added first */
        if (!strcmp(c->list[i].label, label) && !strcmp(c->list[i].kind, kind))
            return &c->list[i];
    anl_completion made = {.kind = kind, .label = label, .text = label, .order = order};
    ANL_PUSH(c->arena, c->list, c->count, c->capacity, made);
    return &c->list[c->count - 1];
}

static const char *keep(completer *c, anl_text *text)
{
    const char *copy = text->length ? anl_arena_text(c->arena, text->data) : NULL;
    anl_text_free(text);
    return copy;
}

static const char *with(completer *c, const char *name, const char *end)
{
    return c->colon && *end == ':' ? name : anl_arena_printf(c->arena, "%s%s", name, end);
}

/* ---- names ---- */

static const char *axes_seen(completer *c, const symbol *s)
{
    for (int i = 0; i < c->project.count; i++)
        if (!strcmp(c->project.files[i]->path, s->span.file)) {
            const kept_value *v = editor_values(c->editor, c->project.files[i], s->span);
            return v ? v->text : NULL;
        }
    return NULL;
}

static anl_completion *add_symbol(completer *c, const symbol *s, int order)
{
    int before = c->count;
    anl_completion *made = add(c, symbol_word(s->kind), s->name, order);
    if (c->count == before)
        return made;
    anl_text text = {0};
    describe_symbol(&text, &c->project, s);
    const char *doc = keep(c, &text), *seen = s->kind == SYMBOL_FUNCTION ? NULL : axes_seen(c, s);
    made->doc = doc;
    made->detail = seen ? seen : symbol_detail(c->arena, s);
    return made;
}

static void add_values(completer *c)
{
    for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, c->scope, NULL, s));)
        if (s->kind != SYMBOL_REST && !(s->kind == SYMBOL_PARAM && s->type && symbol_is_axis(s)))
            add_symbol(c, s, s->kind == SYMBOL_PARAM && !c->scope ? THIRD : SECOND); /* a spec has many */
}

static void add_forms(completer *c, form_kind kind, int order)
{
    for (int i = 0; form_at(i); i++)
        if (form_at(i)->kind == kind) {
            anl_completion *made = add(c, "keyword", form_at(i)->name, order);
            made->detail = form_at(i)->signature;
            made->doc = form_at(i)->doc;
        }
}

static void add_operations(completer *c, const char *end)
{
    for (int i = 0; anl_builtin_at(i); i++) {
        const anl_builtin *b = anl_builtin_at(i);
        anl_text text = {0}, signature = {0};
        describe_operation(&text, b);
        anl_builtin_signature(&signature, b);
        anl_completion *made = add(c, "operation", b->name, FOURTH);
        made->detail = keep(c, &signature);
        made->doc = keep(c, &text);
        made->text = with(c, b->name, end);
    }
}

static void add_functions(completer *c, const char *end)
{
    for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_FUNCTION, NULL, NULL, s));)
        add_symbol(c, s, THIRD)->text = with(c, s->name, end);
}

/* Axes: those that the files name anywhere; in a function also its params and rests that stand for axes. */
static void add_axes(completer *c, bool groups)
{
    for (const symbol *s = NULL; c->scope && (s = project_next(&c->project, SYMBOL_NODE, c->scope, NULL, s));)
        if (symbol_is_axis(s))
            add_symbol(c, s, FIRST);
    if (groups)
        add_forms(c, FORM_AXES, SECOND);
    for (int i = 0; i < c->project.count; i++) {
        const outline *o = editor_outline(c->editor, c->project.files[i]);
        for (int k = 0; k < o->mention_count; k++)
            if (o->mentions[k].kind == MENTION_AXIS && project_target(&c->project, &o->mentions[k]).kind == TARGET_AXIS)
                add(c, "axis", o->mentions[k].name, i ? SECOND : FIRST);
    }
    add(c, "axis", "batch", SECOND);
}

static void add_words(completer *c, const char *const *words)
{
    for (; words && *words; words++)
        add(c, "word", *words, FIRST);
}

static void add_expression(completer *c)
{
    add_values(c);
    add_functions(c, "");
    add_operations(c, "");
    add_forms(c, FORM_CALL, FOURTH);
    add_forms(c, FORM_VALUE, FIFTH);
    if (c->scope && (project_next(&c->project, SYMBOL_NODE, c->scope, "gradient", NULL) ||
                     project_next(&c->project, SYMBOL_NODE, c->scope, "source", NULL)))
        add_forms(c, FORM_RULE, THIRD);
}

/* ---- calls ---- */

/* A call as the cursor sees it, for the rules of project.c. The last argument is the one at the cursor. */
static argument_place *place_of_call(completer *c, const char *callee, const char *const *names, int count, bool fed)
{
    anl_expression *call = ANL_NEW(c->arena, anl_expression), *name = ANL_NEW(c->arena, anl_expression);
    name->kind = ANL_E_NAME;
    name->name = callee;
    call->kind = fed ? ANL_E_STEP : ANL_E_CALL;
    call->items = ANL_NEW(c->arena, anl_expression *);
    call->items[0] = name;
    call->item_count = 1;
    call->arguments = ANL_NEW_ARRAY(c->arena, anl_argument, count + 1);
    for (int i = 0; i < count; i++)
        call->arguments[call->argument_count++] = (anl_argument){.name = names[i], .value = name};
    argument_place *place = ANL_NEW(c->arena, argument_place);
    *place = (argument_place){call, count - 1, fed, c->scope};
    return place;
}

static bool given(const argument_place *in, const char *name)
{
    for (int i = 0; i < in->index; i++)
        if (in->call->arguments[i].name && !strcmp(in->call->arguments[i].name, name))
            return true;
    return false;
}

static void add_argument(completer *c, const char *name, const char *end, const char *detail, const char *doc)
{
    anl_completion *made = add(c, "argument", name, FIRST);
    made->text = with(c, name, end);
    made->detail = detail;
    made->doc = doc;
}

/* Names of arguments that are not given yet. */
static void add_arguments(completer *c, const argument_place *in, const char *end)
{
    enum { MOST = 8 };
    const symbol *callees[MOST];
    const char *callee = in->call->items[0]->name;
    int count = project_callees(&c->project, c->scope, callee, callees, MOST), taken = in->fed;
    for (int i = 0; i < in->index; i++) /* by position: the first ones that no name is given to */
        taken += !in->call->arguments[i].name;
    for (int i = 0; i < count; i++) {
        int left = taken;
        for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, callees[i]->name, NULL, s));) {
            if ((s->kind != SYMBOL_INPUT && s->kind != SYMBOL_PARAM) || given(in, s->name) || left-- > 0)
                continue;
            anl_text text = {0};
            describe_symbol(&text, &c->project, s);
            add_argument(c, s->name, end, symbol_detail(c->arena, s), keep(c, &text));
        }
    }
    const anl_builtin *b = count ? NULL : anl_builtin_find(callee);
    for (int i = 0; b && i < b->param_count; i++) {
        const anl_op_param *p = &b->params[i];
        if (!strcmp(p->name, "pairs"))
            add_axes(c, false);
        else if (!given(in, p->name) && taken-- <= 0)
            add_argument(c, p->name, end, p->fallback ? p->fallback : anl_op_param_words(p->kind), p->doc);
    }
    if (count) {
        add_argument(c, "as", end, form_find("as")->signature, form_find("as")->doc);
        add_argument(c, "key", end, form_find("key")->signature, form_find("key")->doc);
    }
}

/* What an argument may be. */
static void add_for_argument(completer *c, const argument_place *in)
{
    argument_target a = project_argument(&c->project, in);
    wanted w = project_wanted(&a);
    if (w == WANTED_AXES) {
        add_axes(c, true);
        return;
    }
    if ((a.param && a.param->kind == 'b') || (a.symbol && a.symbol->type && !strcmp(a.symbol->type, "bool")))
        add_words(c, (const char *const[]){"true", "false", NULL});
    add_expression(c);
}

static void add_members(completer *c)
{
    const char *base = c->cursor.base;
    const symbol *value = *base ? project_value(&c->project, c->scope, base) : NULL;
    const symbol *f = value ? project_result(&c->project, c->scope, value->expression, 0) : NULL;
    for (const symbol *s = NULL; f && (s = project_next(&c->project, SYMBOL_MEMBER, f->name, NULL, s));)
        add_symbol(c, s, FIRST);
    const kept_value *seen = *base ? editor_value_named(c->editor, c->file, base, c->cursor.word) : NULL;
    for (int i = 0; seen && i < seen->part_count; i++)
        add(c, seen->members ? "member" : "axis", seen->parts[i], FIRST)->detail = seen->text;
    if (value && value->kind == SYMBOL_INPUT && value->value && value->value->kind == ANL_Y_LIST)
        for (int i = 0; i < value->value->count; i++) {
            const char *axis = value->value->items[i]->text;
            if (axis && anl_name_valid(axis))
                add(c, "axis", axis, FIRST);
        }
    if (!seen && !f)
        add_axes(c, false);
    add_forms(c, FORM_MEMBER, THIRD);
}

static void complete_expression(completer *c)
{
    const cursor_call *call = &c->cursor.call;
    if (c->cursor.base) {
        add_members(c);
        return;
    }
    if (c->cursor.slice) {
        add_axes(c, false);
        return;
    }
    if (!call->callee) {
        add_expression(c);
        return;
    }
    argument_place *in = place_of_call(c, call->callee, call->arguments, call->count, c->cursor.item);
    if (call->begins)
        add_arguments(c, in, "=");
    add_for_argument(c, in);
}

/* ---- keys and values, by the table ---- */

/* The mapping at a path in the last outline, for the keys that it has. */
static const anl_syntax *mapping_at(const outline *o, const char *const *path, int depth)
{
    const anl_syntax *s = o ? o->root : NULL;
    for (int i = 0; s && i < depth; i++) {
        const anl_syntax *next = NULL;
        for (int k = 0; s->kind == ANL_Y_MAPPING && k < s->count; k++)
            if (!strcmp(s->pairs[k].key, path[i]))
                next = s->pairs[k].value;
        s = next;
    }
    return s && s->kind == ANL_Y_MAPPING ? s : NULL;
}

static void add_modules(completer *c, const char *end)
{
    for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, NULL, NULL, s));)
        if (s->kind == SYMBOL_MODULE)
            add_symbol(c, s, FIRST)->text = with(c, s->name, end);
}

static void add_keys(completer *c, const anl_key *key)
{
    const anl_syntax *there = mapping_at(editor_outline(c->editor, c->file), c->cursor.path, c->cursor.depth);
    for (int i = 0; key->keys && i < key->keys->count; i++) {
        const anl_key *k = &key->keys->list[i];
        bool known = false;
        for (int j = 0; there && j < there->count; j++)
            known = known || !strcmp(there->pairs[j].key, k->name);
        if (known)
            continue;
        anl_completion *made = add(c, "key", k->name, k->required ? FIRST : SECOND);
        anl_text text = {0};
        describe_key(&text, k);
        made->text = with(c, k->name, ": ");
        made->detail = k->required ? "required" : NULL;
        made->doc = keep(c, &text);
    }
    const char *entry = key->entry ? key->entry->name : "";
    if (!strcmp(entry, "axis")) {
        add_axes(c, false);
    } else if (!strcmp(entry, "path of a module")) {
        add_modules(c, ": ");
    } else if (!strcmp(entry, "param") && !c->scope) { /* those of imports, to be overridden */
        for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, NULL, NULL, s));)
            if (s->kind == SYMBOL_PARAM && strcmp(s->span.file, c->file->path))
                add_symbol(c, s, SECOND)->text = with(c, s->name, ": ");
    }
}

static void add_files_of(completer *c, const char *folder, const char *prefix)
{
    DIR *open = opendir(*folder ? folder : ".");
    for (struct dirent *e; open && (e = readdir(open));) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && dot != e->d_name && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml")))
            add(c, "file", anl_arena_printf(c->arena, "%s%s", prefix, e->d_name), *prefix ? SECOND : FIRST);
    }
    if (open)
        closedir(open);
}

static void add_files(completer *c)
{
    add_files_of(c, anl_path_folder(c->arena, c->file->path), "");
    add_files_of(c, anl_path_join(c->arena, anl_folder_specs(c->arena), "lib"), "lib/");
    c->cursor.word = c->cursor.from; /* a path is replaced whole */
}

static bool is_duration(const symbol *s)
{
    return s->kind == SYMBOL_PARAM &&
           (s->type ? !strcmp(s->type, "duration") : s->expression && s->expression->kind == ANL_E_DURATION);
}

static void complete_value(completer *c, const anl_key *key)
{
    add_words(c, key->words);
    bool made_of_function = !strcmp(key->name, "module") || !strcmp(key->name, "rule");
    if (made_of_function && !c->cursor.call.callee) { /* a function with its params, and nothing else */
        add_functions(c, "");
        add_forms(c, !strcmp(key->name, "rule") ? FORM_FUNCTION : FORM_CALL, FOURTH);
        return;
    }
    switch (key->type) {
    case ANL_K_VERSION:
        add_words(c, (const char *const[]){"1", NULL});
        break;
    case ANL_K_FILES:
        add_files(c);
        break;
    case ANL_K_MODULE:
        add_modules(c, "");
        break;
    case ANL_K_GLOB:
        add_modules(c, ".*");
        add(c, "word", "*", FIRST);
        break;
    case ANL_K_PATH:
    case ANL_K_COLUMNS:
        for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, NULL, NULL, s));)
            if (s->kind == SYMBOL_PARAM && s->type && !strcmp(s->type, "text"))
                add_symbol(c, s, FIRST);
        break;
    case ANL_K_SIGNATURE:
        add_axes(c, false);
        add(c, "axis", "~space", FIRST);
        add(c, "axis", "...rest", FIRST);
        break;
    case ANL_K_TEXT:
        if (!strcmp(key->name, "like"))
            add_values(c);
        break;
    case ANL_K_DURATION:
        for (const symbol *s = NULL; (s = project_next(&c->project, SYMBOL_NODE, c->scope, NULL, s));)
            if (is_duration(s))
                add_symbol(c, s, FIRST);
        complete_expression(c);
        break;
    case ANL_K_VALUE:
    case ANL_K_ARGUMENT:
    case ANL_K_NODE:
    case ANL_K_STEPS:
    case ANL_K_RANGE:
        complete_expression(c);
        break;
    case ANL_K_NONE:
    case ANL_K_WORD:
    case ANL_K_TRUTH:
    case ANL_K_NAME:
    case ANL_K_LIST:
        break;
    }
}

/* The step of a pipeline around the cursor, whose arguments are written as a mapping: `- name: {a: 1, b`. NULL: none. */
static argument_place *step_arguments(completer *c, int depth)
{
    const cursor *k = &c->cursor;
    if (depth < 2 || strcmp(k->path[depth - 2], "-") || anl_key_find(k->path, depth - 1) != &anl_step_key ||
        !strcmp(k->path[depth - 1], "repeat"))
        return NULL;
    const char *none = NULL;
    return place_of_call(c, k->path[depth - 1], &none, 1, true);
}

int anl_editor_complete(anl_editor *editor, const char *path, size_t at, size_t *from, const anl_completion **out)
{
    anl_arena *arena = anl_editor_answer(editor);
    completer c = {.editor = editor, .arena = arena, .file = anl_editor_file(editor, path)};
    *from = at;
    *out = NULL;
    const char *text = c.file->text;
    if (!text || at > c.file->length)
        return 0;
    c.project = project_of(editor, arena, c.file);
    cursor_find(arena, text, at, &c.cursor);
    const cursor *k = &c.cursor;
    size_t behind = at;
    while (behind < c.file->length &&
           (text[behind] == '_' || (text[behind] >= 'a' && text[behind] <= 'z') || (text[behind] >= '0' && text[behind] <= '9')))
        behind++;
    c.colon = behind < c.file->length && text[behind] == ':' && (behind == at || k->word < at);
    if (k->depth >= 2 && !strcmp(k->path[0], "functions"))
        c.scope = k->path[1];
    const anl_key *key = anl_key_find(k->path, k->depth);
    const argument_place *step = step_arguments(&c, k->depth), *argument = k->depth ? step_arguments(&c, k->depth - 1) : NULL;
    if (k->key && step)
        add_arguments(&c, step, ": ");
    else if (k->key && key)
        add_keys(&c, key);
    if (k->value && argument && !k->call.callee && !k->base && !k->slice)
        add_for_argument(&c, place_of_call(&c, k->path[k->depth - 2], &k->path[k->depth - 1], 1, true));
    else if (k->value && argument)
        complete_expression(&c);
    else if (k->value && key && !step)
        complete_value(&c, key);
    *from = c.cursor.word;
    *out = c.list;
    return c.count;
}
