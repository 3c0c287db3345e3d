/* What the server answers about a document: its layout, names, values, completions.
 * In: requests. Out: results as JSON.
 * The engine knows the answers (anlage/editor.h); here they become positions and URIs. */
#include "lsp.h"

#include <anlage/format.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- layout ---- */

/* The lines that differ, as one edit: cursors elsewhere stay where they are. */
cJSON *lsp_replacement(const lsp_server *s, const char *before, size_t before_length, const char *after, size_t after_length)
{
    size_t start = 0, end = 0, shorter = before_length < after_length ? before_length : after_length;
    while (start < shorter && before[start] == after[start])
        start++;
    while (start && before[start - 1] != '\n')
        start--;
    while (end < shorter - start && before[before_length - 1 - end] == after[after_length - 1 - end])
        end++;
    while (end && before[before_length - end - 1] != '\n')
        end--;
    cJSON *edits = cJSON_CreateArray(), *edit = cJSON_CreateObject();
    char *text = need_memory(strndup(after + start, after_length - end - start));
    lsp_range range = {lsp_position_of(before, before_length, start, s->encoding),
                       lsp_position_of(before, before_length, before_length - end, s->encoding)};
    cJSON_AddItemToObject(edit, "range", lsp_range_json(range));
    lsp_put(edit, "newText", text);
    cJSON_AddItemToArray(edits, edit);
    free(text);
    return edits;
}

cJSON *lsp_formatting(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d = lsp_document_of(s, params, error);
    if (!d)
        return NULL;
    size_t length = 0, laid_length = 0;
    const char *text = anl_editor_text(s->editor, d->path, &length);
    char *laid = NULL;
    anl_diagnostics *problems = anl_diagnostics_new();
    cJSON *result = NULL;
    if (anl_format(d->path, text, length, problems, &laid, &laid_length) != ANL_OK) {
        const anl_diagnostic *first = anl_diagnostics_count(problems) ? anl_diagnostics_get(problems, 0) : NULL;
        lsp_fail(error, LSP_REQUEST_FAILED, "the text has no layout before its errors are mended: line %d: %.300s",
                 first ? first->span.line : 0, first ? first->message : "unreadable");
    } else if (laid_length == length && !memcmp(laid, text, length)) {
        result = cJSON_CreateArray();
    } else {
        result = lsp_replacement(s, text, length, laid, laid_length);
    }
    free(laid);
    anl_diagnostics_free(&problems);
    return result;
}

/* ---- places ---- */

/* The document and the byte that a request is about. False: an error was set. */
static bool place_of(lsp_server *s, const cJSON *params, lsp_error *error, lsp_document **d, size_t *at)
{
    lsp_position position;
    *d = lsp_document_of(s, params, error);
    if (!*d)
        return false;
    if (!lsp_read_position(lsp_member(params, "position"), &position)) {
        lsp_fail(error, LSP_INVALID_PARAMS, "position is missing");
        return false;
    }
    size_t length = 0;
    const char *text = anl_editor_text(s->editor, (*d)->path, &length);
    *at = lsp_offset(text, length, position, s->encoding);
    return true;
}

static lsp_range range_of(lsp_server *s, anl_span span)
{
    size_t length = 0;
    const char *text = anl_editor_text(s->editor, span.file, &length);
    return text ? lsp_range_of(text, length, span, s->encoding) : (lsp_range){0};
}

static cJSON *locations(lsp_server *s, const anl_span *spans, int count)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < count; i++) {
        cJSON *one = cJSON_CreateObject();
        char *uri = lsp_uri_for(s, spans[i].file);
        lsp_put(one, "uri", uri);
        cJSON_AddItemToObject(one, "range", lsp_range_json(range_of(s, spans[i])));
        cJSON_AddItemToArray(list, one);
        free(uri);
    }
    return list;
}

cJSON *lsp_hover(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at;
    anl_span range;
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    for (int i = 0; i < s->document_count; i++) /* values are those of the last checks */
        lsp_fresh(s, s->documents[i]);
    const char *text = anl_editor_hover(s->editor, d->path, at, &range);
    if (!text)
        return NULL;
    cJSON *result = cJSON_CreateObject(), *contents = cJSON_AddObjectToObject(result, "contents");
    cJSON_AddStringToObject(contents, "kind", s->plain ? "plaintext" : "markdown");
    lsp_put(contents, "value", text);
    cJSON_AddItemToObject(result, "range", lsp_range_json(range_of(s, range)));
    return result;
}

cJSON *lsp_definition(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at;
    const anl_span *spans;
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    int count = anl_editor_definition(s->editor, d->path, at, &spans);
    return locations(s, spans, count);
}

/* ---- names in all files of the workspace ---- */

/* Tells the editor of the specs below a folder. budget: entries still to be looked at; a workspace may be anything. */
static void know_folder(lsp_server *s, const char *folder, int depth, int *budget)
{
    enum { DEEPEST = 12 };
    DIR *open = opendir(folder);
    for (struct dirent *entry; open && (entry = readdir(open)) && --*budget > 0;) {
        struct stat about;
        char *path = NULL;
        const char *dot = strrchr(entry->d_name, '.');
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "node_modules"))
            continue;
        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
            need_memory(NULL);
        bool folder_type =
            entry->d_type == DT_DIR || (entry->d_type == DT_UNKNOWN && stat(path, &about) == 0 && S_ISDIR(about.st_mode));
        if (folder_type && depth < DEEPEST)
            know_folder(s, path, depth + 1, budget);
        else if (!folder_type && dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml")))
            anl_editor_know(s->editor, path);
        free(path);
    }
    if (open)
        closedir(open);
}

static void know_workspace(lsp_server *s)
{
    int budget = 50000;
    for (int i = 0; i < s->folder_count; i++)
        know_folder(s, s->folders[i], 0, &budget);
}

cJSON *lsp_references(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at;
    const anl_span *spans;
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    know_workspace(s);
    bool definitions = !cJSON_IsFalse(lsp_member(lsp_member(params, "context"), "includeDeclaration"));
    int count = anl_editor_references(s->editor, d->path, at, definitions, &spans);
    return locations(s, spans, count);
}

cJSON *lsp_prepare_rename(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at;
    anl_span range;
    const char *problem;
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    const char *name = anl_editor_renamed(s->editor, d->path, at, &range, &problem);
    if (!name)
        return lsp_fail(error, LSP_REQUEST_FAILED, "%s", problem);
    cJSON *result = cJSON_CreateObject();
    lsp_put(result, "placeholder", name);
    cJSON_AddItemToObject(result, "range", lsp_range_json(range_of(s, range)));
    return result;
}

/* Files of the workspace, and those that are open: others, such as the stock library, are not ours to change. */
static bool may_change(const lsp_server *s, const char *file)
{
    for (int i = 0; i < s->document_count; i++)
        if (lsp_same_file(s->documents[i]->path, file))
            return true;
    char *real = realpath(file, NULL);
    bool inside = false;
    for (int i = 0; real && i < s->folder_count; i++) {
        size_t length = strlen(s->folders[i]);
        inside = inside ||
                 (!strncmp(real, s->folders[i], length) && (real[length] == '/' || (length && s->folders[i][length - 1] == '/')));
    }
    free(real);
    return inside;
}

cJSON *lsp_rename(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at;
    const anl_edit *edits;
    int count = 0;
    const char *problem, *name = lsp_string(params, "newName");
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    if (!name)
        return lsp_fail(error, LSP_INVALID_PARAMS, "newName is missing");
    know_workspace(s);
    if (anl_editor_rename(s->editor, d->path, at, name, &edits, &count, &problem) != ANL_OK)
        return lsp_fail(error, LSP_REQUEST_FAILED, "%s", problem);
    for (int i = 0; i < count; i++)
        if (!may_change(s, edits[i].span.file))
            return lsp_fail(error, LSP_REQUEST_FAILED,
                            "the name also stands in %.300s, which is outside of the workspace: nothing was renamed",
                            edits[i].span.file);
    cJSON *result = cJSON_CreateObject(), *changes = cJSON_AddObjectToObject(result, "changes");
    for (int i = 0; i < count; i++) {
        char *uri = lsp_uri_for(s, edits[i].span.file);
        cJSON *list = cJSON_GetObjectItemCaseSensitive(changes, uri), *edit = cJSON_CreateObject();
        list = list ? list : cJSON_AddArrayToObject(changes, uri);
        cJSON_AddItemToObject(edit, "range", lsp_range_json(range_of(s, edits[i].span)));
        lsp_put(edit, "newText", edits[i].text);
        cJSON_AddItemToArray(list, edit);
        free(uri);
    }
    return result;
}

/* ---- the outline of a document ---- */

enum {
    KIND_NAMESPACE = 3,
    KIND_PROPERTY = 7,
    KIND_FUNCTION = 12,
    KIND_VARIABLE = 13,
    KIND_CONSTANT = 14,
    KIND_FIELD = 8,
    KIND_CLASS = 5,
    KIND_EVENT = 24
};

static int symbol_kind_of(const char *word)
{
    static const struct {
        const char *word;
        int kind;
    } kinds[] = {{"section", KIND_NAMESPACE}, {"function", KIND_FUNCTION}, {"param", KIND_CONSTANT}, {"input", KIND_VARIABLE},
                 {"weight", KIND_FIELD},      {"state", KIND_FIELD},       {"module", KIND_CLASS},   {"field", KIND_PROPERTY},
                 {"loss", KIND_EVENT},        {"metric", KIND_EVENT}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].word, word))
            return kinds[i].kind;
    return KIND_VARIABLE;
}

cJSON *lsp_document_symbol(lsp_server *s, const cJSON *params, lsp_error *error)
{
    enum { DEEPEST = 8 };
    lsp_document *d = lsp_document_of(s, params, error);
    const anl_editor_symbol *symbols;
    if (!d)
        return NULL;
    int count = anl_editor_symbols(s->editor, d->path, &symbols);
    size_t length = 0;
    const char *text = anl_editor_text(s->editor, d->path, &length);
    cJSON *parents[DEEPEST] = {cJSON_CreateArray()}, *top = parents[0];
    for (int i = 0; i < count; i++) {
        const anl_editor_symbol *one = &symbols[i];
        cJSON *json = cJSON_CreateObject();
        lsp_put(json, "name", one->name);
        if (one->detail)
            lsp_put(json, "detail", one->detail);
        cJSON_AddNumberToObject(json, "kind", symbol_kind_of(one->kind));
        lsp_range name = lsp_range_of(text, length, one->span, s->encoding), whole = name;
        whole.end = lsp_position_of(text, length, one->end, s->encoding);
        cJSON_AddItemToObject(json, "range", lsp_range_json(whole));
        cJSON_AddItemToObject(json, "selectionRange", lsp_range_json(name));
        int depth = one->depth < DEEPEST - 1 ? one->depth : DEEPEST - 2;
        while (depth && !parents[depth])
            depth--;
        cJSON_AddItemToArray(parents[depth], json);
        parents[depth + 1] = i + 1 < count && symbols[i + 1].depth > one->depth ? cJSON_AddArrayToObject(json, "children") : NULL;
        for (int k = depth + 2; k < DEEPEST; k++)
            parents[k] = NULL;
    }
    return top;
}

/* ---- completion ---- */

static int completion_kind_of(const char *word)
{
    static const struct {
        const char *word;
        int kind; /* CompletionItemKind */
    } kinds[] = {{"key", 10},     {"operation", 3}, {"function", 3}, {"param", 21}, {"module", 7},  {"axis", 20},
                 {"argument", 5}, {"member", 5},    {"word", 12},    {"file", 17},  {"keyword", 14}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].word, word))
            return kinds[i].kind;
    return 6; /* Variable */
}

cJSON *lsp_completion(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d;
    size_t at, from, length = 0;
    const anl_completion *candidates;
    if (!place_of(s, params, error, &d, &at))
        return NULL;
    int count = anl_editor_complete(s->editor, d->path, at, &from, &candidates);
    const char *text = anl_editor_text(s->editor, d->path, &length);
    lsp_range range = {lsp_position_of(text, length, from, s->encoding), lsp_position_of(text, length, at, s->encoding)};
    cJSON *result = cJSON_CreateObject(), *items;
    cJSON_AddFalseToObject(result, "isIncomplete");
    items = cJSON_AddArrayToObject(result, "items");
    for (int i = 0; i < count; i++) {
        const anl_completion *one = &candidates[i];
        cJSON *item = cJSON_CreateObject(), *edit;
        char order[16];
        lsp_put(item, "label", one->label);
        cJSON_AddNumberToObject(item, "kind", completion_kind_of(one->kind));
        if (one->detail)
            lsp_put(item, "detail", one->detail);
        if (one->doc) {
            cJSON *doc = cJSON_AddObjectToObject(item, "documentation");
            cJSON_AddStringToObject(doc, "kind", s->plain ? "plaintext" : "markdown");
            lsp_put(doc, "value", one->doc);
        }
        snprintf(order, sizeof order, "%d%04d", one->order, i);
        cJSON_AddStringToObject(item, "sortText", order);
        lsp_put(item, "filterText", one->label);
        edit = cJSON_AddObjectToObject(item, "textEdit");
        cJSON_AddItemToObject(edit, "range", lsp_range_json(range));
        lsp_put(edit, "newText", one->text);
        cJSON_AddItemToArray(items, item);
    }
    return result;
}
