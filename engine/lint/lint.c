/* The checker: traces all that a spec can become, then asks the families of rules.
 * In: a recipe, or a path. Out: diagnostics.
 * Problems in the files themselves end the check early: with an import missing, every name from it would be reported as unknown. */
#include "lint/resources.h"
#include "lint/rules.h"

#include <string.h>

#include "base/folders.h"
#include "spec/overrides.h"

static anl_lint_family *const families[] = {
    anl_lint_untaken,
    anl_lint_structure,
    anl_lint_modality,
    anl_lint_boxes,
    anl_lint_resources,
    anl_lint_numerics,
    anl_lint_rates,
    NULL,
};

/* One trace. first: an earlier one, whose census serves this one too. NULL: it did not get as far as a sound graph. */
static anl_traced *trace(anl_lint_pass *pass, anl_trace_mode mode, double step, const anl_traced *first)
{
    anl_trace_options options = {.mode = mode, .phase_step = (int64_t)step, .seed = -1, .census = first, .witness = pass->witness};
    anl_traced *traced = NULL;
    if (anl_trace(pass->recipe, &options, pass->diagnostics, &traced) != ANL_OK)
        anl_traced_free(&traced);
    return traced;
}

anl_status anl_lint_recipe(const anl_recipe *recipe, const anl_lint_options *options, const anl_lint_listener *listener,
                           anl_diagnostics *diagnostics)
{
    static const anl_lint_options none = {0};
    int before = anl_diagnostics_errors(diagnostics);
    anl_arena *arena = anl_arena_new();
    anl_lint_pass pass = {
        .arena = arena, .diagnostics = diagnostics, .options = options ? options : &none, .recipe = recipe, .sound = true};
    pass.witness = listener ? &listener->witness : NULL;
    anl_static_recipe facts = {0};
    anl_traced *train = NULL, *last = NULL, *evaluate = NULL;
    if (!recipe->library) {
        if (anl_trace_static(recipe, arena, diagnostics, &facts) == ANL_OK)
            pass.facts = &facts;
        pass.sound = pass.facts != NULL;
        if (recipe->loss_count) {
            train = trace(&pass, ANL_TRACE_TRAIN, 0, NULL);
            pass.sound = pass.sound && train;
            for (int i = 0; train && i < train->boundary_count; i++) {
                if (train->boundary_kinds[i] == ANL_BOUNDARY_THAWS && i < train->boundary_count - 1)
                    continue; /* a later phase trains all that this one does */
                anl_traced_free(&last); /* at once: graphs are large */
                last = trace(&pass, ANL_TRACE_TRAIN, train->boundaries[i], train);
                pass.sound = pass.sound && last;
            }
        }
        evaluate = trace(&pass, ANL_TRACE_EVALUATE, 0, train);
        pass.sound = pass.sound && evaluate; /* the census looked at all first values: initializing can find nothing more */
    }
    pass.train = train;
    pass.last = last ? last : train;
    pass.evaluate = evaluate;
    bool good = pass.sound;
    for (size_t i = 0; i < ANL_COUNT(families); i++)
        if (families[i])
            families[i](&pass);
    if (listener)
        listener->traced(listener->context, &pass);
    anl_traced_free(&evaluate);
    anl_traced_free(&last);
    anl_traced_free(&train); /* the others lean on it */
    anl_arena_free(&arena);
    return good && anl_diagnostics_errors(diagnostics) == before ? ANL_OK : ANL_ERROR_SPEC;
}

anl_status anl_lint(const char *path, const anl_lint_options *options, anl_diagnostics *diagnostics)
{
    return anl_lint_heard(path, options, NULL, diagnostics);
}

anl_status anl_lint_heard(const char *path, const anl_lint_options *options, const anl_lint_listener *listener,
                          anl_diagnostics *diagnostics)
{
    anl_spec *spec = NULL;
    anl_status status = anl_spec_load_documents(path, options->documents, options->document_count, options->overrides,
                                                options->override_count, diagnostics, &spec);
    if (spec) {
        anl_status judged = anl_spec_judge_heard(spec, options, listener, diagnostics);
        status = status != ANL_OK ? status : judged;
    }
    anl_spec_free(&spec);
    anl_lint_allow(path, diagnostics);
    return status;
}
