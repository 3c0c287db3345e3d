/* What the server answers about a document: its layout, names, values, completions.
 * In: requests. Out: results as JSON.
 * The engine knows the answers (anlage/editor.h); here they become positions and URIs. */
#include "lsp.h"

#include <anlage/format.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

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
