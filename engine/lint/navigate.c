/* From a place to the name that stands there, and to all places of that name.
 * In: a place in a file. Out: definitions, mentions, edits, the symbols of a file.
 * Names are compared by what they mean, file by file: a file is asked with its own imports. */
#include <stdlib.h>
#include <string.h>

#include "lint/describe.h"
#include "lint/forms.h"
#include "lint/project.h"
#include "spec/syntax.h"

/* ---- places ---- */

place_of_name place_find(anl_editor *editor, anl_arena *arena, const char *path, size_t at)
{
    place_of_name found = {.file = anl_editor_file(editor, path)};
    const outline *o = editor_outline(editor, found.file);
    const char *text = found.file->text;
    if (!text || !o)
        return found;
    at = at < found.file->length ? at : found.file->length;
    found.line = 1;
    size_t begin = 0;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            found.line++;
            begin = i + 1;
        }
    found.column = (int)(at - begin) + 1;
    found.offset = at;
    for (int i = 0; i < o->mention_count; i++) { /* where two touch, the one that begins here */
        const mention *m = &o->mentions[i];
        size_t from = begin + (size_t)m->span.column - 1, name = strlen(m->name);
        if (!span_holds(m->span, found.line, found.column) || (found.mention && m->span.column != found.column))
            continue;
        /* the outline may be older than a text that cannot be read */
        if (from + name <= found.file->length && !memcmp(text + from, m->name, name))
            found.mention = m;
    }
    found.project = project_of(editor, arena, found.file);
    if (found.mention)
        found.target = project_target(&found.project, found.mention);
    return found;
}

static const char *file_of(const place_of_name *p, const symbol *s)
{
    for (int i = 0; i < p->project.count; i++)
        if (!strcmp(p->project.files[i]->path, s->span.file))
            return p->project.files[i]->path;
    return s->span.file;
}

int anl_editor_definition(anl_editor *editor, const char *path, size_t at, const anl_span **out)
{
    anl_arena *arena = anl_editor_answer(editor);
    place_of_name p = place_find(editor, arena, path, at);
    anl_span *spans = NULL;
    int count = 0, capacity = 0;
    if (p.target.kind == TARGET_SYMBOL) {
        const symbol *like = p.target.symbol;
        for (const symbol *s = NULL; (s = project_next(&p.project, like->kind, like->scope, like->name, s));) {
            anl_span span = s->span;
            span.file = file_of(&p, s);
            ANL_PUSH(arena, spans, count, capacity, span);
        }
    } else if (p.target.kind == TARGET_FILE) {
        const editor_file *file = editor_import(editor, p.file, p.target.name);
        anl_span top = {file ? file->path : NULL, 1, 1, 0};
        if (file)
            ANL_PUSH(arena, spans, count, capacity, top);
    }
    *out = spans;
    return count;
}

/* ---- mentions ---- */

void anl_editor_know(anl_editor *editor, const char *path) { editor_need_file(editor, path); }

/* Whether some definition of what a mention means, seen from its own file, is one of those that were asked for. */
static bool means(const project *p, const mention *m, const target *asked, const char *const *files, int file_count)
{
    target t = project_target(p, m);
    if (!target_same(&t, asked))
        return false;
    if (asked->kind != TARGET_SYMBOL)
        return true;
    for (const symbol *s = NULL; (s = project_next(p, t.symbol->kind, t.symbol->scope, t.name, s));)
        for (int i = 0; i < file_count; i++)
            if (!strcmp(s->span.file, files[i]))
                return true;
    return false;
}

typedef struct mentions {
    anl_span *spans;
    int count, capacity;
    const char *unread; /* a file in which some may have been missed, for it has errors */
} mentions;

static mentions find_mentions(anl_editor *editor, anl_arena *arena, const place_of_name *asked, bool definitions)
{
    mentions all = {0};
    const char **files = NULL;
    int file_count = 0, file_capacity = 0;
    const symbol *like = asked->target.symbol;
    for (const symbol *s = NULL; like && (s = project_next(&asked->project, like->kind, like->scope, like->name, s));)
        ANL_PUSH(arena, files, file_count, file_capacity, file_of(asked, s));
    const char *name = asked->target.name;
    for (int i = 0; i < editor->file_count; i++) { /* the list may grow by imports that are met on the way */
        editor_file *file = anl_editor_file(editor, editor->files[i]->path);
        if (!file->text || !memmem(file->text, file->length, name, strlen(name)))
            continue;
        const outline *o = editor_outline(editor, file);
        project p = {0};
        if (!o || !o->whole || o != file->outline) {
            p = project_of(editor, arena, file);
            for (int k = 0; k < p.count; k++)
                for (int j = 0; j < file_count; j++)
                    if (!strcmp(p.files[k]->path, files[j]))
                        all.unread = file->path;
        }
        for (int k = 0; o && k < o->mention_count; k++) {
            const mention *m = &o->mentions[k];
            if (strcmp(m->name, name) || (!definitions && m->kind == MENTION_DEFINITION))
                continue;
            if (!p.count)
                p = project_of(editor, arena, file);
            anl_span span = m->span;
            span.file = file->path;
            if (means(&p, m, &asked->target, files, file_count))
                ANL_PUSH(arena, all.spans, all.count, all.capacity, span);
        }
    }
    return all;
}

int anl_editor_references(anl_editor *editor, const char *path, size_t at, bool definitions, const anl_span **out)
{
    anl_arena *arena = anl_editor_answer(editor);
    place_of_name p = place_find(editor, arena, path, at);
    mentions all = {0};
    if (p.target.kind != TARGET_NONE && p.target.kind != TARGET_WORD && p.target.kind != TARGET_FILE)
        all = find_mentions(editor, arena, &p, definitions);
    *out = all.spans;
    return all.count;
}

/* ---- renaming ---- */

/* Names by which the engine finds something. */
static const char *known_by_name(const symbol *s)
{
    const form *f = form_find(s->name);
    if (s->kind == SYMBOL_PARAM && !s->scope && !strcmp(s->name, "batch"))
        return "the size of the axis `batch` is the param of this name";
    if ((s->kind == SYMBOL_INPUT || s->kind == SYMBOL_PARAM) && f && f->kind == FORM_RULE)
        return "rules of optimizers and copies are given this by its name";
    return NULL;
}

/* Where a path of weights holds a name: renaming a function or a weight changes the paths, and what the path means is for a person
 * to see. NULL: nowhere. */
static const char *path_with(anl_editor *editor, anl_arena *arena, const symbol *s)
{
    if (s->kind != SYMBOL_WEIGHT && s->kind != SYMBOL_FUNCTION && s->kind != SYMBOL_STATE)
        return NULL;
    for (int i = 0; i < editor->file_count; i++) {
        editor_file *file = anl_editor_file(editor, editor->files[i]->path);
        bool holds = file->text && memmem(file->text, file->length, s->name, strlen(s->name));
        const outline *o = holds ? editor_outline(editor, file) : NULL;
        for (int k = 0; o && k < o->mention_count; k++)
            if (o->mentions[k].kind == MENTION_PART && !strcmp(o->mentions[k].name, s->name))
                return anl_arena_printf(arena, "%s:%d holds a path of weights with this name, which would mean nothing any more",
                                        file->path, o->mentions[k].span.line);
    }
    return NULL;
}

static const char *why_not(const place_of_name *p)
{
    switch (p->target.kind) {
    case TARGET_SYMBOL:
        return known_by_name(p->target.symbol);
    case TARGET_OPERATION:
    case TARGET_ARGUMENT:
        return "operations are the engine's; they cannot be renamed";
    case TARGET_FORM:
        return "this is a word of the language";
    case TARGET_AXIS:
        return "axes are named where they are used; an axis of the data keeps its name in all files, and cannot be renamed in "
               "one";
    case TARGET_FILE:
        return "files are renamed on the disk";
    case TARGET_WORD:
    case TARGET_NONE:
        break;
    }
    return "no name that can be changed stands here";
}

const char *anl_editor_renamed(anl_editor *editor, const char *path, size_t at, anl_span *range, const char **problem)
{
    anl_arena *arena = anl_editor_answer(editor);
    place_of_name p = place_find(editor, arena, path, at);
    *problem = why_not(&p);
    if (*problem)
        return NULL;
    *range = p.mention->span;
    range->file = p.file->path;
    return anl_arena_text(arena, p.target.name);
}

anl_status anl_editor_rename(anl_editor *editor, const char *path, size_t at, const char *name, const anl_edit **edits,
                             int *count, const char **problem)
{
    anl_arena *arena = anl_editor_answer(editor);
    place_of_name p = place_find(editor, arena, path, at);
    *edits = NULL;
    *count = 0;
    *problem = why_not(&p);
    if (*problem)
        return ANL_ERROR_ARGUMENT;
    const symbol *like = p.target.symbol;
    if (!anl_name_valid(name)) {
        *problem =
            anl_arena_printf(arena,
                             "`%s` cannot be a name: a name is made of letters, digits and `_`, begins with no digit, and is "
                             "not `and`, `or`, `not`, `true` or `false`",
                             name);
        return ANL_ERROR_ARGUMENT;
    }
    if (!strcmp(name, like->name))
        return ANL_OK;
    const symbol *taken = project_next(&p.project, like->kind, like->scope, name, NULL);
    if (taken)
        *problem = anl_arena_printf(arena, "`%s` is already the name of a %s (%s:%d)", name, symbol_word(taken->kind),
                                    taken->span.file, taken->span.line);
    else if (like->kind == SYMBOL_FUNCTION && anl_builtin_find(name))
        *problem = anl_arena_printf(arena, "`%s` is an operation", name);
    if (!*problem)
        *problem = path_with(editor, arena, like);
    if (*problem)
        return ANL_ERROR_ARGUMENT;
    mentions all = find_mentions(editor, arena, &p, true);
    if (all.unread) {
        *problem = anl_arena_printf(arena, "%s has errors of YAML or of an expression, so that mentions might be missed; mend them first",
                                    all.unread);
        return ANL_ERROR_ARGUMENT;
    }
    anl_edit *made = ANL_NEW_ARRAY(arena, anl_edit, all.count + 1);
    const char *copy = anl_arena_text(arena, name);
    for (int i = 0; i < all.count; i++)
        made[i] = (anl_edit){all.spans[i], copy};
    *edits = made;
    *count = all.count;
    return ANL_OK;
}

/* ---- the symbols of a file ---- */

static size_t offset_of_span(const editor_file *file, anl_span span)
{
    const char *at = file->text, *end = file->text + file->length;
    for (int line = 1; line < span.line && at; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    size_t offset = at ? (size_t)(at - file->text) + (size_t)(span.column - 1) : file->length;
    return offset < file->length ? offset : file->length;
}

int anl_editor_symbols(anl_editor *editor, const char *path, const anl_editor_symbol **out)
{
    anl_arena *arena = anl_editor_answer(editor);
    editor_file *file = anl_editor_file(editor, path);
    const outline *o = editor_outline(editor, file);
    anl_editor_symbol *list = NULL;
    int count = 0, capacity = 0;
    for (int i = 0; file->text && o && o->root && o->root->kind == ANL_Y_MAPPING && i < o->root->count; i++) {
        const anl_pair *pair = &o->root->pairs[i];
        anl_editor_symbol section = {.kind = "section", .name = pair->key, .span = pair->key_span};
        section.start = offset_of_span(file, pair->key_span);
        section.end = syntax_end(pair->value);
        if (section.end < section.start + (size_t)pair->key_span.length)
            section.end = section.start + (size_t)pair->key_span.length;
        int at = count;
        for (int k = 0; k < o->symbol_count; k++) {
            const symbol *s = &o->symbols[k];
            anl_editor_symbol one = {
                .kind = symbol_word(s->kind), .name = s->name, .span = s->span, .depth = 1 + (s->scope != NULL)};
            one.start = offset_of_span(file, s->span);
            one.end = s->end > one.start ? s->end : one.start + (size_t)s->span.length;
            if (one.start < section.start || one.start >= section.end || s->kind == SYMBOL_REST || s->kind == SYMBOL_COUNTER ||
                s->kind == SYMBOL_MASK)
                continue;
            if (count == at)
                ANL_PUSH(arena, list, count, capacity, section);
            one.detail = symbol_detail(arena, s);
            ANL_PUSH(arena, list, count, capacity, one);
        }
        if (count == at)
            ANL_PUSH(arena, list, count, capacity, section);
    }
    for (int i = 0; i < count; i++) {
        /* the outline may be older, and longer, than a text that cannot be read */
        list[i].start = list[i].start < file->length ? list[i].start : file->length;
        list[i].end = list[i].end < file->length ? list[i].end : file->length;
        list[i].span.file = file->path;
        list[i].name = anl_arena_text(arena, list[i].name);
    }
    *out = list;
    return count;
}
