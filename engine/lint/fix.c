/* Fixes: the edits that diagnostics offer, made in a text.
 * In: diagnostics with fixes, the name of one of their source files. Out: the changed text.
 * A fix is made whole or not at all; the file on disk is not touched. */
#include <anlage/lint.h>

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/report.h"

typedef struct change {
    size_t start, end;
    const char *text;
} change;

/* Where a place lies in the text; false: beyond its end. */
static bool offset_of(const char *text, size_t length, anl_span span, size_t *start, size_t *end)
{
    const char *at = text;
    for (int line = 1; line < span.line; line++) {
        at = memchr(at, '\n', (size_t)(text + length - at));
        if (!at)
            return false;
        at++;
    }
    *start = (size_t)(at - text) + (size_t)(span.column > 1 ? span.column - 1 : 0);
    *end = *start + (size_t)(span.length > 0 ? span.length : 0);
    return span.line > 0 && *end <= length;
}

static bool overlaps(const change *a, const change *b)
{
    if (a->start == b->start) /* two insertions at one place have no order between them */
        return true;
    return a->start < b->end && b->start < a->end;
}

static int compare_changes(const void *left, const void *right)
{
    const change *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

anl_status anl_lint_fix(const anl_diagnostics *diagnostics, const char *file, char **out, size_t *length, int *count)
{
    *out = NULL;
    *count = 0;
    size_t from = 0;
    const char *text = anl_diagnostics_text(diagnostics, file, &from);
    if (!text)
        return ANL_ERROR_ARGUMENT;
    anl_arena *arena = anl_arena_new();
    change *changes = NULL;
    int change_count = 0, capacity = 0;
    const anl_diagnostic **sorted = anl_diagnostics_sorted(diagnostics);
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++) {
        const anl_fix *fix = sorted[i]->fixes; /* the best; a second one is another way, for a person to choose */
        if (!sorted[i]->fix_count || fix->applicability != ANL_FIX_SAFE || !fix->edit_count)
            continue;
        bool fits = true;
        int first = change_count;
        for (int k = 0; fits && k < fix->edit_count; k++) {
            change c = {.text = fix->edits[k].text};
            fits = fix->edits[k].span.file && !strcmp(fix->edits[k].span.file, file) &&
                   offset_of(text, from, fix->edits[k].span, &c.start, &c.end);
            for (int j = 0; fits && j < change_count; j++)
                fits = !overlaps(&changes[j], &c);
            if (fits)
                ANL_PUSH(arena, changes, change_count, capacity, c);
        }
        if (fits)
            ++*count;
        else
            change_count = first;
    }
    free(sorted);
    if (change_count)
        qsort(changes, (size_t)change_count, sizeof *changes, compare_changes);
    anl_text result = {0};
    anl_text_add(&result, "");
    size_t at = 0;
    for (int i = 0; i < change_count; i++) {
        anl_text_addn(&result, text + at, changes[i].start - at);
        anl_text_add(&result, changes[i].text);
        at = changes[i].end;
    }
    anl_text_addn(&result, text + at, from - at);
    anl_arena_free(&arena);
    *out = result.data;
    *length = result.length;
    return ANL_OK;
}
