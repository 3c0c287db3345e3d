/* The checker: traces all that a spec can become, then asks the families of rules.
 * In: a recipe, or a path. Out: diagnostics.
 * Problems in the files themselves end the check early: with an import missing, every name from it would be reported as unknown. */
#include "lint/rules.h"

#include <string.h>

#include "base/folders.h"
#include "spec/overrides.h"

static anl_lint_family *const families[] = {
    NULL,
};

/* One trace. NULL: it did not get as far as a sound graph. */
static anl_traced *trace(anl_lint_pass *pass, anl_trace_mode mode, double step)
{
    anl_trace_options options = {.mode = mode, .phase_step = (int64_t)step, .seed = -1};
    anl_traced *traced = NULL;
    if (anl_trace(pass->recipe, &options, pass->diagnostics, &traced) != ANL_OK)
        anl_traced_free(&traced);
    return traced;
}

anl_status anl_lint_recipe(const anl_recipe *recipe, const anl_lint_options *options, anl_diagnostics *diagnostics)
{
    static const anl_lint_options none = {0};
    int before = anl_diagnostics_errors(diagnostics);
    anl_arena *arena = anl_arena_new();
    anl_lint_pass pass = {
        .arena = arena, .diagnostics = diagnostics, .options = options ? options : &none, .recipe = recipe, .sound = true};
    anl_static_recipe facts = {0};
    anl_traced *train = NULL, *evaluate = NULL, *initialize = NULL, **later = NULL;
    if (!recipe->library) {
        if (anl_trace_static(recipe, arena, diagnostics, &facts) == ANL_OK)
            pass.facts = &facts;
        pass.sound = pass.facts != NULL;
        if (recipe->loss_count) {
            train = trace(&pass, ANL_TRACE_TRAIN, 0);
            pass.sound = pass.sound && train;
            later = ANL_NEW_ARRAY(arena, anl_traced *, train ? train->boundary_count + 1 : 1);
            for (int i = 0; train && i < train->boundary_count; i++) {
                later[pass.later_count++] = trace(&pass, ANL_TRACE_TRAIN, train->boundaries[i]);
                pass.sound = pass.sound && later[i];
            }
        }
        evaluate = trace(&pass, ANL_TRACE_EVALUATE, 0);
        initialize = trace(&pass, ANL_TRACE_INITIALIZE, 0);
        pass.sound = pass.sound && evaluate && initialize;
    }
    pass.train = train;
    pass.later = (const anl_traced **)later;
    pass.evaluate = evaluate;
    pass.initialize = initialize;
    bool good = pass.sound;
    for (size_t i = 0; i < ANL_COUNT(families); i++)
        if (families[i])
            families[i](&pass);
    for (int i = 0; i < pass.later_count; i++)
        anl_traced_free(&later[i]);
    anl_traced_free(&train);
    anl_traced_free(&evaluate);
    anl_traced_free(&initialize);
    anl_arena_free(&arena);
    return good && anl_diagnostics_errors(diagnostics) == before ? ANL_OK : ANL_ERROR_SPEC;
}

anl_status anl_lint(const char *path, const anl_lint_options *options, anl_diagnostics *diagnostics)
{
    anl_spec *spec = NULL;
    anl_status status = anl_spec_load_documents(path, options->documents, options->document_count, options->overrides,
                                                options->override_count, diagnostics, &spec);
    if (spec) {
        anl_status judged = anl_spec_judge(spec, options, diagnostics);
        status = status != ANL_OK ? status : judged;
    }
    anl_spec_free(&spec);
    anl_lint_allow(path, diagnostics);
    return status;
}
