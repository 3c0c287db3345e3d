/* The fuzz targets: reading YAML and recipes, expressions, the whole lint path, the layout.
 * In: bytes. Out: an abort where a target contradicts itself.
 * Texts are given in memory under the name spec.yaml; imports find the stock library. */
#include "targets.h"

#include <anlage/editor.h>
#include <anlage/format.h>
#include <anlage/lint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "lsp_frames.h"
#include "lsp_text.h"
#include "spec/recipe.h"
#include "spec/syntax.h"

static void print_reports(const anl_diagnostics *diagnostics)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return;
    anl_diagnostics_print(diagnostics, out, true);
    anl_diagnostics_write(diagnostics, ANL_REPORT_JSON, NULL, out);
    anl_diagnostics_write(diagnostics, ANL_REPORT_SARIF, NULL, out);
    anl_diagnostics_write(diagnostics, ANL_REPORT_GITHUB, NULL, out);
    fclose(out);
    free(text);
}

/* A text becomes a recipe; a sound one is printed, and what was printed reads back as sound, and prints alike. */
static void run_yaml(const char *text, size_t length)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_arena *arena = anl_arena_new();
    anl_document document = {"spec.yaml", text, length};
    anl_recipe *recipe = NULL;
    if (anl_recipe_read_documents("spec.yaml", &document, 1, NULL, 0, anl_folder_specs(arena), diagnostics, &recipe) == ANL_OK) {
        anl_text printed = {0}, again = {0};
        if (anl_recipe_print(recipe, &printed) == ANL_OK) {
            anl_document second = {"spec.yaml", printed.data, printed.length};
            anl_recipe *copy = NULL;
            if (anl_recipe_read_documents("spec.yaml", &second, 1, NULL, 0, NULL, diagnostics, &copy) != ANL_OK) {
                anl_diagnostics_print(diagnostics, stderr, false);
                fprintf(stderr, "%s\n", printed.data);
                abort();
            }
            anl_recipe_print(copy, &again);
            if (strcmp(printed.data, again.data)) {
                fprintf(stderr, "first:\n%s\nsecond:\n%s\n", printed.data, again.data);
                abort();
            }
            anl_recipe_free(&copy);
        }
        anl_text_free(&printed);
        anl_text_free(&again);
    }
    if (recipe)
        anl_recipe_free(&recipe);
    print_reports(diagnostics);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}

/* An expression, printed, reads back to one that prints alike. */
static void run_expression(const char *text, size_t length)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_arena *arena = anl_arena_new();
    const char *copy = anl_arena_copy(arena, text, length);
    anl_span at = {"expression", 1, 1, 1};
    anl_expression *e = anl_expression_parse(arena, copy, at, diagnostics);
    if (e && anl_diagnostics_errors(diagnostics) == 0) {
        anl_text printed = {0}, again = {0};
        anl_expression_print(e, &printed);
        anl_expression *second = anl_expression_parse(arena, printed.data, at, diagnostics);
        if (!second || anl_diagnostics_errors(diagnostics)) {
            fprintf(stderr, "%s\n", printed.data);
            abort();
        }
        anl_expression_print(second, &again);
        if (strcmp(printed.data, again.data)) {
            fprintf(stderr, "%s\n%s\n", printed.data, again.data);
            abort();
        }
        anl_text_free(&printed);
        anl_text_free(&again);
    }
    print_reports(diagnostics);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}

/* The whole check, its reports and its fixes. */
static void run_lint(const char *text, size_t length)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_document document = {"spec.yaml", text, length};
    anl_lint_options options = {.documents = &document, .document_count = 1};
    anl_status status = anl_lint("spec.yaml", &options, diagnostics);
    if ((status == ANL_OK) != (anl_diagnostics_errors(diagnostics) == 0)) {
        anl_diagnostics_print(diagnostics, stderr, false);
        fprintf(stderr, "status %d with %d errors\n", (int)status, anl_diagnostics_errors(diagnostics));
        abort();
    }
    print_reports(diagnostics);
    char *fixed = NULL;
    size_t fixed_length = 0;
    int count = 0;
    anl_lint_fix(diagnostics, "spec.yaml", &fixed, &fixed_length, &count);
    free(fixed);
    anl_diagnostics_free(&diagnostics);
}

/* What is laid out stays so; that it says the same, anl_format makes sure of itself and would report. */
static void run_format(const char *text, size_t length)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char *once = NULL, *twice = NULL;
    size_t once_length = 0, twice_length = 0;
    anl_status status = anl_format("spec.yaml", text, length, diagnostics, &once, &once_length);
    if (status == ANL_OK)
        status = anl_format("spec.yaml", once, once_length, diagnostics, &twice, &twice_length);
    if (status == ANL_ERROR_FORMAT || (once && (status != ANL_OK || once_length != twice_length || memcmp(once, twice, once_length)))) {
        anl_diagnostics_print(diagnostics, stderr, false);
        fprintf(stderr, "once:\n%s\ntwice:\n%s\n", once ? once : "", twice ? twice : "");
        abort();
    }
    free(once);
    free(twice);
    anl_diagnostics_free(&diagnostics);
}

/* What an editor asks of a text, at places all over it; then of its first half, with the cursor at its end. */
static void run_editor(const char *text, size_t length)
{
    enum { PLACES = 24 };
    anl_editor *editor = anl_editor_new();
    const anl_lint_options options = {0};
    for (int half = 0; half < 2; half++) {
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_editor_open(editor, "spec.yaml", text, length);
        if (!half)
            anl_editor_check(editor, "spec.yaml", &options, diagnostics);
        for (size_t i = 0; i <= PLACES; i++) {
            anl_span range = {0};
            const anl_span *spans;
            const anl_edit *edits;
            const anl_completion *candidates;
            const anl_editor_symbol *symbols;
            const char *problem;
            int count;
            size_t at = length * i / PLACES, from;
            anl_editor_hover(editor, "spec.yaml", at, &range);
            anl_editor_definition(editor, "spec.yaml", at, &spans);
            anl_editor_references(editor, "spec.yaml", at, true, &spans);
            anl_editor_rename(editor, "spec.yaml", at, "other", &edits, &count, &problem);
            anl_editor_complete(editor, "spec.yaml", at, &from, &candidates);
            if (from > at) {
                fprintf(stderr, "the word at %zu begins at %zu\n", at, from);
                abort();
            }
            count = anl_editor_symbols(editor, "spec.yaml", &symbols);
            for (int k = 0; k < count; k++)
                if (symbols[k].start > symbols[k].end || symbols[k].end > length) {
                    fprintf(stderr, "%s goes from %zu to %zu\n", symbols[k].name, symbols[k].start, symbols[k].end);
                    abort();
                }
        }
        anl_diagnostics_free(&diagnostics);
        length /= 2;
    }
    anl_editor_free(&editor);
}

/* A stream of messages, whole and in small pieces: the same bodies come out. */
static void run_frames(const char *text, size_t length)
{
    uint64_t bodies[2] = {0};
    for (int pass = 0; pass < 2; pass++) {
        lsp_frames frames = {0};
        size_t piece = pass ? 7 : length + 1;
        bool bad = false;
        for (size_t at = 0; at < length; at += piece) {
            char *body;
            size_t bytes;
            lsp_frames_add(&frames, text + at, piece < length - at ? piece : length - at);
            for (lsp_frame f; (f = lsp_frames_next(&frames, &body, &bytes)) != LSP_FRAME_NONE;) {
                bad = bad || f == LSP_FRAME_BAD; /* how rubbish is passed over depends on what has come of it */
                if (f == LSP_FRAME_BODY && !bad)
                    bodies[pass] = anl_hash(body, bytes, bodies[pass]);
            }
        }
        if (bad)
            bodies[0] = bodies[1] = 0;
        lsp_frames_free(&frames);
        if (bad)
            return;
    }
    if (bodies[0] != bodies[1])
        abort();
    /* and as a text with positions */
    for (size_t at = 0; at <= length; at += 1 + length / 64)
        for (int e = 0; e < 2; e++) {
            lsp_position p = lsp_position_of(text, length, at, e ? LSP_UTF8 : LSP_UTF16);
            size_t back = lsp_offset(text, length, p, e ? LSP_UTF8 : LSP_UTF16);
            lsp_position again = lsp_position_of(text, length, back, e ? LSP_UTF8 : LSP_UTF16);
            if (back > at || p.line != again.line || p.character != again.character)
                abort();
        }
}

const fuzz_target fuzz_targets[] = {{"yaml", run_yaml},     {"expression", run_expression}, {"lint", run_lint},
                                    {"format", run_format}, {"editor", run_editor},         {"frames", run_frames}};
const int fuzz_target_count = sizeof fuzz_targets / sizeof *fuzz_targets;
