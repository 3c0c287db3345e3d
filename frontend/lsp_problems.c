/* Problems in the editor: checks of documents, diagnostics published file by file, quick fixes.
 * In: documents of the server. Out: notifications and code actions.
 * A problem belongs to the file in which it stands: what an import has wrong is published there. */
#include "lsp.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lsp_check(lsp_server *s, lsp_document *d)
{
    anl_lint_options options = {.overrides = s->sets.items,
                                .override_count = s->sets.count,
                                .data = s->data.items,
                                .data_count = s->data.count,
                                .assume = s->assume};
    anl_diagnostics_free(&d->diagnostics);
    d->diagnostics = anl_diagnostics_new();
    anl_editor_check(s->editor, d->path, &options, d->diagnostics);
    d->dirty = false;
}

void lsp_fresh(lsp_server *s, lsp_document *d)
{
    if (!d->dirty)
        return;
    lsp_check(s, d);
    lsp_publish(s, d);
}

static lsp_range range_in(const lsp_server *s, const anl_diagnostics *list, anl_span span)
{
    size_t length = 0;
    const char *text = span.file && span.line ? anl_diagnostics_text(list, span.file, &length) : NULL;
    return text ? lsp_range_of(text, length, span, s->encoding) : (lsp_range){0};
}

/* ---- one diagnostic ---- */

static void add_line(char **message, const char *before, const char *text)
{
    char *longer = NULL;
    if (asprintf(&longer, "%s\n%s%s", *message, before, text) < 0)
        need_memory(NULL);
    free(*message);
    *message = longer;
}

static cJSON *location_json(const lsp_server *s, const anl_diagnostics *list, anl_span span, const lsp_document *d)
{
    cJSON *json = cJSON_CreateObject();
    char *uri = lsp_uri_for(s, span.file ? span.file : d->path);
    lsp_put(json, "uri", uri);
    cJSON_AddItemToObject(json, "range", lsp_range_json(range_in(s, list, span)));
    free(uri);
    return json;
}

static cJSON *problem_json(const lsp_server *s, const lsp_document *d, const anl_diagnostic *p)
{
    static const int severities[] = {[ANL_ERROR] = 1, [ANL_WARNING] = 2, [ANL_NOTE] = 3};
    cJSON *json = cJSON_CreateObject();
    char code[16];
    snprintf(code, sizeof code, "A%04d", p->code);
    cJSON_AddItemToObject(json, "range", lsp_range_json(range_in(s, d->diagnostics, p->span)));
    cJSON_AddNumberToObject(json, "severity", severities[p->severity]);
    cJSON_AddStringToObject(json, "code", code);
    const char *folder = anl_editor_pages();
    if (s->descriptions && folder) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s.md", folder, code) < 0)
            need_memory(NULL);
        if (access(path, R_OK) == 0) {
            char *uri = lsp_uri_for(s, path);
            lsp_put(cJSON_AddObjectToObject(json, "codeDescription"), "href", uri);
            free(uri);
        }
        free(path);
    }
    cJSON_AddStringToObject(json, "source", "anlage");
    char *message = need_memory(strdup(p->message));
    for (int i = 0; i < p->label_count; i++)
        if (!s->related || !p->labels[i].span.line)
            add_line(&message, "", p->labels[i].text);
    for (int i = 0; i < p->note_count; i++)
        add_line(&message, "note: ", p->notes[i]);
    if (p->suggestion)
        add_line(&message, "help: ", p->suggestion);
    lsp_put(json, "message", message);
    free(message);
    if (s->tags && strstr(anl_code_name(p->code), "unused"))
        cJSON_AddItemToArray(cJSON_AddArrayToObject(json, "tags"), cJSON_CreateNumber(1)); /* Unnecessary: shown faded */
    cJSON *related = NULL;
    for (int i = 0; s->related && i < p->label_count; i++) {
        if (!p->labels[i].span.line)
            continue;
        cJSON *one = cJSON_CreateObject();
        related = related ? related : cJSON_AddArrayToObject(json, "relatedInformation");
        cJSON_AddItemToObject(one, "location", location_json(s, d->diagnostics, p->labels[i].span, d));
        lsp_put(one, "message", p->labels[i].text);
        cJSON_AddItemToArray(related, one);
    }
    return json;
}

/* ---- all that is known, file by file ---- */

typedef struct told {
    char *uri;
    cJSON *list;
    const lsp_document *from; /* whose check gave it; NULL: several */
} told;

typedef struct all_told {
    told *items;
    int count;
} all_told;

static told *told_of(all_told *all, char *uri) /* takes uri */
{
    for (int i = 0; i < all->count; i++)
        if (!strcmp(all->items[i].uri, uri)) {
            free(uri);
            return &all->items[i];
        }
    all->items = need_memory(realloc(all->items, sizeof *all->items * (size_t)(all->count + 1)));
    all->items[all->count] = (told){uri, cJSON_CreateArray(), NULL};
    return &all->items[all->count++];
}

static void collect(const lsp_server *s, const lsp_document *d, all_told *all)
{
    const char *last_file = NULL;
    int last = -1;
    for (int i = 0; d->spec && d->diagnostics && i < anl_diagnostics_count(d->diagnostics); i++) {
        const anl_diagnostic *p = anl_diagnostics_get(d->diagnostics, i);
        const char *file = p->span.file ? p->span.file : d->path;
        if (last < 0 || strcmp(file, last_file)) {
            last = (int)(told_of(all, lsp_uri_for(s, file)) - all->items);
            last_file = file;
        }
        told *t = &all->items[last];
        cJSON *json = problem_json(s, d, p), *other;
        bool known = false; /* what two specs import is wrong for both */
        if (t->from && t->from != d)
            cJSON_ArrayForEach(other, t->list) { known = known || cJSON_Compare(json, other, true); }
        t->from = t->from ? t->from : d;
        if (known)
            cJSON_Delete(json);
        else
            cJSON_AddItemToArray(t->list, json);
    }
}

static void tell(lsp_server *s, const char *uri, const char *list)
{
    cJSON *params = cJSON_CreateObject();
    lsp_put(params, "uri", uri);
    for (int i = 0; i < s->document_count; i++)
        if (!strcmp(s->documents[i]->uri, uri) && s->documents[i]->has_version)
            cJSON_AddNumberToObject(params, "version", s->documents[i]->version);
    cJSON_AddRawToObject(params, "diagnostics", list);
    lsp_notify("textDocument/publishDiagnostics", params);
}

void lsp_publish(lsp_server *s, const lsp_document *checked)
{
    all_told all = {0};
    if (checked)
        told_of(&all, need_memory(strdup(checked->uri)));
    for (int i = 0; i < s->document_count; i++)
        collect(s, s->documents[i], &all);
    struct lsp_published *now = need_memory(calloc((size_t)all.count + 1, sizeof *now));
    int count = 0;
    for (int i = 0; i < all.count; i++) {
        const told *t = &all.items[i];
        char *text = need_memory(cJSON_PrintUnformatted(t->list));
        bool same = false;
        for (int k = 0; k < s->published_count; k++)
            same = same || (!strcmp(s->published[k].uri, t->uri) && !strcmp(s->published[k].text, text));
        if (!same || (checked && !strcmp(t->uri, checked->uri)))
            tell(s, t->uri, text);
        if (cJSON_GetArraySize(t->list))
            now[count++] = (struct lsp_published){need_memory(strdup(t->uri)), need_memory(strdup(text))};
        cJSON_free(text);
    }
    for (int k = 0; k < s->published_count; k++) {
        bool gone = true;
        for (int i = 0; i < all.count; i++)
            gone = gone && strcmp(all.items[i].uri, s->published[k].uri);
        if (gone)
            tell(s, s->published[k].uri, "[]");
        free(s->published[k].uri);
        free(s->published[k].text);
    }
    free(s->published);
    s->published = now;
    s->published_count = count;
    for (int i = 0; i < all.count; i++) {
        free(all.items[i].uri);
        cJSON_Delete(all.items[i].list);
    }
    free(all.items);
}

/* ---- actions ---- */

static bool before(lsp_position a, lsp_position b) { return a.line < b.line || (a.line == b.line && a.character < b.character); }
static bool touches(lsp_range a, lsp_range b) { return !before(a.end, b.start) && !before(b.end, a.start); }

static void add_edit(lsp_server *s, cJSON *changes, const anl_diagnostics *list, anl_span span, const char *text)
{
    cJSON *edit = cJSON_CreateObject(), *edits;
    char *uri = lsp_uri_for(s, span.file);
    edits = cJSON_GetObjectItemCaseSensitive(changes, uri);
    edits = edits ? edits : cJSON_AddArrayToObject(changes, uri);
    cJSON_AddItemToObject(edit, "range", lsp_range_json(range_in(s, list, span)));
    lsp_put(edit, "newText", text);
    cJSON_AddItemToArray(edits, edit);
    free(uri);
}

/* Takes a list's items that the other does not have: two specs that import a file have the same to say of it. */
static void take_new(cJSON *actions, cJSON *more)
{
    while (cJSON_GetArraySize(more)) {
        cJSON *item = cJSON_DetachItemFromArray(more, 0), *other;
        bool known = false;
        cJSON_ArrayForEach(other, actions)
        {
            known = known || cJSON_Compare(item, other, true);
        }
        if (known)
            cJSON_Delete(item);
        else
            cJSON_AddItemToArray(actions, item);
    }
    cJSON_Delete(more);
}

/* A quick fix without its edits yet: their object is returned. */
static cJSON *add_action(cJSON *actions, const char *title, const cJSON *problem, bool preferred)
{
    cJSON *action = cJSON_CreateObject();
    lsp_put(action, "title", title);
    cJSON_AddStringToObject(action, "kind", "quickfix");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(action, "diagnostics"), cJSON_Duplicate(problem, true));
    if (preferred)
        cJSON_AddTrueToObject(action, "isPreferred");
    cJSON_AddItemToArray(actions, action);
    return cJSON_AddObjectToObject(cJSON_AddObjectToObject(action, "edit"), "changes");
}

static void add_fixes(lsp_server *s, const lsp_document *d, const anl_diagnostic *p, cJSON *actions)
{
    cJSON *problem = problem_json(s, d, p);
    for (int k = 0; k < p->fix_count; k++) {
        const anl_fix *fix = &p->fixes[k];
        cJSON *changes = add_action(actions, fix->title, problem, k == 0 && fix->applicability == ANL_FIX_SAFE);
        for (int e = 0; e < fix->edit_count; e++)
            add_edit(s, changes, d->diagnostics, fix->edits[e].span, fix->edits[e].text);
    }
    anl_span where;
    char *comment = anl_lint_allowance(d->diagnostics, p, &where), title[64];
    if (comment) {
        snprintf(title, sizeof title, "allow A%04d here, with a reason", p->code);
        add_edit(s, add_action(actions, title, problem, false), d->diagnostics, where, comment);
    }
    free(comment);
    cJSON_Delete(problem);
}

/* Every safe fix of a document at once, as `anlage lint --fix` makes them. */
static void add_fix_all(lsp_server *s, const lsp_document *d, cJSON *actions)
{
    size_t length = 0, before_length = 0;
    char *text = NULL;
    int count = 0;
    const char *from = anl_editor_text(s->editor, d->path, &before_length);
    if (d->diagnostics && anl_lint_fix(d->diagnostics, d->path, &text, &length, &count) == ANL_OK && count) {
        cJSON *action = cJSON_CreateObject();
        cJSON_AddStringToObject(action, "title", "make all safe fixes");
        cJSON_AddStringToObject(action, "kind", "source.fixAll");
        cJSON_AddItemToObject(cJSON_AddObjectToObject(cJSON_AddObjectToObject(action, "edit"), "changes"), d->uri,
                              lsp_replacement(s, from, before_length, text, length));
        cJSON_AddItemToArray(actions, action);
    }
    free(text);
}

/* Whether the client asked for actions of this kind: it names kinds, or none at all. */
static bool asked(const cJSON *params, const char *kind)
{
    const cJSON *only = lsp_member(lsp_member(params, "context"), "only"), *item;
    bool found = !only;
    cJSON_ArrayForEach(item, only)
    {
        size_t length = cJSON_IsString(item) ? strlen(item->valuestring) : 0;
        found = found || (cJSON_IsString(item) && !strncmp(kind, item->valuestring, length) &&
                          (!length || !kind[length] || kind[length] == '.'));
    }
    return found;
}

cJSON *lsp_code_action(lsp_server *s, const cJSON *params, lsp_error *error)
{
    lsp_document *d = lsp_document_of(s, params, error);
    const cJSON *asked_range = lsp_member(params, "range");
    lsp_range range;
    if (!d)
        return NULL;
    if (!lsp_read_position(lsp_member(asked_range, "start"), &range.start) ||
        !lsp_read_position(lsp_member(asked_range, "end"), &range.end))
        return lsp_fail(error, LSP_INVALID_PARAMS, "range is missing");
    for (int i = 0; i < s->document_count; i++)
        lsp_fresh(s, s->documents[i]);
    cJSON *actions = cJSON_CreateArray();
    for (int i = 0; asked(params, "quickfix") && i < s->document_count; i++) {
        const lsp_document *from = s->documents[i];
        cJSON *fixes = cJSON_CreateArray();
        for (int k = 0; from->spec && from->diagnostics && k < anl_diagnostics_count(from->diagnostics); k++) {
            const anl_diagnostic *p = anl_diagnostics_get(from->diagnostics, k);
            if (p->span.file && lsp_same_file(p->span.file, d->path) && touches(range_in(s, from->diagnostics, p->span), range))
                add_fixes(s, from, p, fixes);
        }
        take_new(actions, fixes);
    }
    if (asked(params, "source.fixAll"))
        add_fix_all(s, d, actions);
    return actions;
}
