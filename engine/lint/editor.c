/* The editor's files and checks.
 * In: texts as they are typed, paths. Out: diagnostics, texts, what reads what.
 * A file is one, whatever it is called: names are compared by real path. */
#include "lint/editor.h"

#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "lint/outline.h"
#include "spec/syntax.h"

anl_editor *anl_editor_new(void)
{
    anl_editor *editor = anl_malloc(sizeof *editor);
    *editor = (anl_editor){0};
    return editor;
}

/* ---- files ---- */

static char *copy_text(const char *text, size_t length)
{
    char *copy = anl_malloc(length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

static editor_file *find_file(const anl_editor *editor, const char *path, const char *identity)
{
    for (int i = 0; i < editor->file_count; i++)
        if (!strcmp(editor->files[i]->path, path))
            return editor->files[i];
    for (int i = 0; identity && i < editor->file_count; i++)
        if (!strcmp(editor->files[i]->identity, identity))
            return editor->files[i];
    return NULL;
}

editor_file *editor_need_file(anl_editor *editor, const char *path)
{
    editor_file *file = find_file(editor, path, NULL);
    if (file)
        return file;
    char *real = realpath(path, NULL);
    file = real ? find_file(editor, path, real) : NULL;
    if (file) {
        free(real);
        return file;
    }
    file = anl_malloc(sizeof *file);
    *file = (editor_file){.path = copy_text(path, strlen(path)), .identity = real ? real : copy_text(path, strlen(path))};
    editor->files = anl_realloc(editor->files, sizeof *editor->files * (size_t)(editor->file_count + 1));
    editor->files[editor->file_count++] = file;
    return file;
}

static void forget_text(editor_file *file)
{
    free(file->text);
    file->text = NULL;
    file->length = 0;
    file->open = file->read = false;
    if (file->outline && file->outline->root) {
        outline_free(&file->good);
        file->good = file->outline;
        file->outline = NULL;
    }
    outline_free(&file->outline);
}

void anl_editor_open(anl_editor *editor, const char *path, const char *text, size_t length)
{
    editor_file *file = editor_need_file(editor, path);
    char *copy = copy_text(text, length); /* may be the file's own text */
    forget_text(file);
    file->text = copy;
    file->length = length;
    file->open = file->read = true;
}

void anl_editor_refresh(anl_editor *editor)
{
    for (int i = 0; i < editor->file_count; i++)
        if (!editor->files[i]->open)
            forget_text(editor->files[i]);
}

editor_file *anl_editor_file(anl_editor *editor, const char *path)
{
    editor_file *file = editor_need_file(editor, path);
    if (file->read)
        return file;
    anl_arena *arena = anl_arena_new();
    char *text = NULL;
    size_t length = 0;
    file->read = true;
    if (anl_file_read(arena, file->path, ANL_SYNTAX_BYTES, &text, &length) == ANL_OK) {
        file->text = copy_text(text, length);
        file->length = length;
    }
    anl_arena_free(&arena);
    return file;
}

const char *anl_editor_text(anl_editor *editor, const char *path, size_t *length)
{
    const editor_file *file = anl_editor_file(editor, path);
    *length = file->length;
    return file->text;
}

anl_arena *anl_editor_answer(anl_editor *editor)
{
    anl_arena_free(&editor->answer);
    return editor->answer = anl_arena_new();
}

const char *anl_editor_pages(void) { return anl_folder_rules(); }

/* ---- checks ---- */

static editor_check *need_check(anl_editor *editor, const char *path)
{
    for (int i = 0; i < editor->check_count; i++)
        if (!strcmp(editor->checks[i]->path, path))
            return editor->checks[i];
    editor_check *check = anl_malloc(sizeof *check);
    *check = (editor_check){.path = copy_text(path, strlen(path))};
    editor->checks = anl_realloc(editor->checks, sizeof *editor->checks * (size_t)(editor->check_count + 1));
    editor->checks[editor->check_count++] = check;
    return check;
}

static void hear_files(void *context, const anl_recipe *recipe)
{
    editor_hearing *h = context;
    anl_arena_free(&h->check->arena); /* what was seen before holds until something is seen again */
    h->check->arena = h->arena;
    h->check->values = NULL;
    h->check->value_count = h->check->value_capacity = 0;
    h->check->weights = NULL;
    h->check->weight_count = 0;
    h->check->file_count = recipe->file_count;
    h->check->files = ANL_NEW_ARRAY(h->arena, const char *, recipe->file_count + 1);
    for (int i = 0; i < recipe->file_count; i++)
        h->check->files[i] = anl_arena_text(h->arena, editor_need_file(h->editor, recipe->files[i])->identity);
}

anl_status anl_editor_check(anl_editor *editor, const char *path, const anl_lint_options *options, anl_diagnostics *diagnostics)
{
    anl_lint_options with = *options;
    anl_document *documents = anl_malloc(sizeof *documents * (size_t)(editor->file_count + 1));
    with.documents = documents;
    with.document_count = 0;
    for (int i = 0; i < editor->file_count; i++)
        if (editor->files[i]->open)
            documents[with.document_count++] =
                (anl_document){editor->files[i]->path, editor->files[i]->text, editor->files[i]->length};
    editor_hearing h = {.editor = editor, .check = need_check(editor, path), .arena = anl_arena_new()};
    const anl_lint_listener listener = {
        .witness = {editor_hear_value, &h}, .read = hear_files, .traced = editor_hear_traces, .context = &h};
    anl_status status = anl_lint_heard(path, &with, &listener, diagnostics);
    if (h.check->arena != h.arena)
        anl_arena_free(&h.arena);
    free(documents);
    return status;
}

void anl_editor_close(anl_editor *editor, const char *path)
{
    editor_check *check = need_check(editor, path);
    anl_arena *arena = check->arena;
    *check = (editor_check){.path = check->path};
    anl_arena_free(&arena);
    forget_text(editor_need_file(editor, path));
}

bool anl_editor_reads(anl_editor *editor, const char *path, const char *other)
{
    const char *identity = editor_need_file(editor, other)->identity;
    const editor_check *check = need_check(editor, path);
    for (int i = 0; i < check->file_count; i++)
        if (!strcmp(check->files[i], identity))
            return true;
    return false;
}

void anl_editor_free(anl_editor **editor)
{
    if (!*editor)
        return;
    anl_editor *e = *editor;
    for (int i = 0; i < e->file_count; i++) {
        forget_text(e->files[i]);
        outline_free(&e->files[i]->good);
        free(e->files[i]->path);
        free(e->files[i]->identity);
        free(e->files[i]);
    }
    for (int i = 0; i < e->check_count; i++) {
        anl_arena_free(&e->checks[i]->arena);
        free(e->checks[i]->path);
        free(e->checks[i]);
    }
    anl_arena_free(&e->answer);
    free(e->files);
    free(e->checks);
    free(e);
    *editor = NULL;
}
