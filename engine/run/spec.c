/* The public face of specs: read one, check it by tracing all that it can become.
 * In: a path and overrides. Out: diagnostics; the resolved text.
 * Problems in the files themselves end the check early: with an import missing, every name from it would be reported as unknown.
 */
#include <anlage/spec.h>

#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"
#include "run/overrides.h"
#include "spec/recipe.h"
#include "trace/trace.h"

struct anl_spec {
    anl_arena *arena;
    anl_recipe *recipe;
    bool sound; /* read without errors */
    bool whole; /* all of its files could be read: what else is wrong can be found by tracing */
};

anl_status anl_spec_load(const char *path, const char *const *overrides, int count, anl_diagnostics *diagnostics, anl_spec **out)
{
    *out = NULL;
    anl_arena *arena = anl_arena_new();
    anl_override *parsed = NULL;
    anl_status wrong_override = anl_overrides_parse(arena, overrides, count, diagnostics, &parsed);
    if (wrong_override != ANL_OK)
        count = 0;
    int before = anl_diagnostics_count(diagnostics);
    anl_recipe *recipe = NULL;
    anl_status status = anl_recipe_read(path, parsed, count, anl_folder_specs(arena), diagnostics, &recipe);
    if (!recipe) {
        anl_arena_free(&arena);
        return status;
    }
    anl_spec *spec = ANL_NEW(arena, anl_spec);
    spec->arena = arena;
    spec->recipe = recipe;
    spec->sound = status == ANL_OK;
    spec->whole = true;
    for (int i = before; i < anl_diagnostics_count(diagnostics); i++) {
        anl_code code = anl_diagnostics_get(diagnostics, i)->code;
        if (code < ANL_A_unknown_key && code != ANL_A_duplicate_key && code != ANL_A_expression_syntax &&
            code != ANL_A_unquoted_expression)
            spec->whole = false;
    }
    *out = spec;
    return wrong_override != ANL_OK ? wrong_override : status;
}

/* One trace whose graph is not needed. False: it did not get as far as a graph. */
static bool trace(const anl_recipe *recipe, anl_trace_mode mode, double step, anl_diagnostics *diagnostics, double **boundaries,
                  int *boundary_count)
{
    anl_trace_options options = {.mode = mode, .phase_step = (int64_t)step, .seed = -1};
    anl_traced *traced = NULL;
    anl_status status = anl_trace(recipe, &options, diagnostics, &traced);
    if (traced && boundaries) {
        *boundaries = anl_malloc(sizeof **boundaries * (size_t)(traced->boundary_count + 1));
        if (traced->boundary_count)
            memcpy(*boundaries, traced->boundaries, sizeof **boundaries * (size_t)traced->boundary_count);
        *boundary_count = traced->boundary_count;
    }
    anl_traced_free(&traced);
    return status == ANL_OK;
}

anl_status anl_spec_check(const anl_spec *spec, anl_diagnostics *diagnostics)
{
    if (!spec->whole)
        return ANL_ERROR_SPEC;
    if (spec->recipe->library)
        return spec->sound ? ANL_OK : ANL_ERROR_SPEC;
    int before = anl_diagnostics_errors(diagnostics);
    const anl_recipe *recipe = spec->recipe;
    anl_arena *arena = anl_arena_new();
    anl_static_recipe facts = {0};
    bool good = anl_trace_static(recipe, arena, diagnostics, &facts) == ANL_OK;
    anl_arena_free(&arena);
    if (recipe->loss_count) {
        double *boundaries = NULL;
        int count = 0;
        good = trace(recipe, ANL_TRACE_TRAIN, 0, diagnostics, &boundaries, &count) && good;
        for (int i = 0; i < count; i++)
            good = trace(recipe, ANL_TRACE_TRAIN, boundaries[i], diagnostics, NULL, NULL) && good;
        free(boundaries);
    }
    good = trace(recipe, ANL_TRACE_EVALUATE, 0, diagnostics, NULL, NULL) && good;
    good = trace(recipe, ANL_TRACE_INITIALIZE, 0, diagnostics, NULL, NULL) && good;
    return good && spec->sound && anl_diagnostics_errors(diagnostics) == before ? ANL_OK : ANL_ERROR_SPEC;
}

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
