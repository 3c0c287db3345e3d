/* The public face of specs: read one, judge it, print it.
 * In: a path and overrides. Out: diagnostics; the resolved text.
 * Whether all files could be read is kept, since otherwise every name from a missing one would be reported as unknown. */
#include <anlage/spec.h>

#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"
#include "base/report.h"
#include "lint/rules.h"
#include "spec/overrides.h"

struct anl_spec {
    anl_arena *arena;
    anl_recipe *recipe;
    bool sound; /* read without errors */
    bool whole; /* all of its files could be read: what else is wrong can be found by tracing */
};

/* Problems for which part of the text is not there: all that it defines would be reported as missing. */
static bool keeps_text_away(anl_code code)
{
    switch (code) {
    case ANL_A_yaml_syntax:
    case ANL_A_invalid_utf8:
    case ANL_A_empty_file:
    case ANL_A_too_deep:
    case ANL_A_alias_limit:
    case ANL_A_file_unreadable:
    case ANL_A_import_missing:
    case ANL_A_import_loop:
    case ANL_A_language_version:
    case ANL_A_invisible_character:
        return true;
    default:
        return false;
    }
}

anl_status anl_spec_load(const char *path, const char *const *overrides, int count, anl_diagnostics *diagnostics, anl_spec **out)
{
    return anl_spec_load_documents(path, NULL, 0, overrides, count, diagnostics, out);
}

anl_status anl_spec_load_documents(const char *path, const anl_document *documents, int document_count, const char *const *overrides,
                                   int count, anl_diagnostics *diagnostics, anl_spec **out)
{
    *out = NULL;
    anl_arena *arena = anl_arena_new();
    anl_override *parsed = NULL;
    anl_status wrong_override = anl_overrides_parse(arena, overrides, count, diagnostics, &parsed);
    if (wrong_override != ANL_OK)
        count = 0;
    int before = anl_diagnostics_count(diagnostics);
    anl_recipe *recipe = NULL;
    anl_status status = anl_recipe_read_documents(path, documents, document_count, parsed, count, anl_folder_specs(arena),
                                                  diagnostics, &recipe);
    if (!recipe) {
        anl_arena_free(&arena);
        return status;
    }
    anl_spec *spec = ANL_NEW(arena, anl_spec);
    spec->arena = arena;
    spec->recipe = recipe;
    spec->sound = status == ANL_OK;
    spec->whole = true;
    for (int i = before; i < anl_diagnostics_count(diagnostics); i++)
        spec->whole = spec->whole && !keeps_text_away(anl_diagnostics_get(diagnostics, i)->code);
    *out = spec;
    return wrong_override != ANL_OK ? wrong_override : status;
}

anl_status anl_spec_judge_heard(const anl_spec *spec, const anl_lint_options *options, const anl_lint_listener *listener,
                                anl_diagnostics *diagnostics)
{
    if (listener)
        listener->read(listener->context, spec->recipe);
    anl_status status = ANL_ERROR_SPEC;
    if (spec->whole)
        status = anl_lint_recipe(spec->recipe, options, listener, diagnostics);
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++)
        anl_recipe_label_settings(spec->recipe, diagnostics, anl_diagnostics_added(diagnostics, i));
    return spec->sound ? status : ANL_ERROR_SPEC;
}

anl_status anl_spec_judge(const anl_spec *spec, const anl_lint_options *options, anl_diagnostics *diagnostics)
{
    return anl_spec_judge_heard(spec, options, NULL, diagnostics);
}

anl_status anl_spec_check(const anl_spec *spec, anl_diagnostics *diagnostics) { return anl_spec_judge(spec, NULL, diagnostics); }

anl_status anl_spec_print(const anl_spec *spec, FILE *out)
{
    if (!spec->sound)
        return ANL_ERROR_ARGUMENT;
    anl_text text = {0};
    anl_status status = anl_recipe_print(spec->recipe, &text);
    if (status == ANL_OK && fwrite(text.data, 1, text.length, out) != text.length)
        status = ANL_ERROR_FILE;
    anl_text_free(&text);
    return status;
}

void anl_spec_free(anl_spec **spec)
{
    if (!*spec)
        return;
    anl_arena *arena = (*spec)->arena;
    anl_recipe_free(&(*spec)->recipe);
    *spec = NULL;
    anl_arena_free(&arena);
}
