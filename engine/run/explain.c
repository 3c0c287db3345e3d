/* Explaining specs: traced and compiled, then printed instead of run; two are compared.
 * In: spec files, overrides, what to show. Out: text or JSON.
 * Without --measure and --device no device is touched. */
#include <anlage/program.h>

#include "run/account.h"

static anl_status explain_one(const anl_explain_options *o, FILE *out, anl_diagnostics *diagnostics)
{
    anl_account a;
    anl_status status = anl_account_open(&a, o, o->spec, diagnostics);
    if (status == ANL_OK && o->measure && o->stage == ANL_EXPLAIN_SUMMARY)
        status = anl_account_measure(&a, o, diagnostics);
    if (status == ANL_OK && o->stage == ANL_EXPLAIN_GRAPH) {
        anl_graph_print(a.traced->graph, out);
    } else if (status == ANL_OK && o->stage == ANL_EXPLAIN_PROGRAM) {
        anl_program_print(a.program, out);
        if (o->kernel >= 0 && o->kernel < a.program->kernel_count)
            anl_kernel_print(a.program, o->kernel, out);
    } else if (status == ANL_OK && a.recipe->library && !o->json) {
        fprintf(out, "%s: %d functions; nothing is computed until a spec imports them\n", a.spec, a.recipe->function_count);
    } else if (status == ANL_OK && o->json) {
        anl_account_json(&a, o->depth, out);
    } else if (status == ANL_OK) {
        anl_account_print(&a, o->depth, o->checked, out);
    }
    anl_account_free(&a);
    return status;
}

static anl_status explain_both(const anl_explain_options *o, FILE *out, anl_diagnostics *diagnostics)
{
    anl_account a = {0}, b = {0};
    anl_change *changes = NULL;
    int count = 0;
    anl_status status = anl_account_open(&a, o, o->spec, diagnostics);
    anl_status other = anl_account_open(&b, o, o->other, diagnostics); /* all problems are told in one run */
    status = status != ANL_OK ? status : other;
    if (status == ANL_OK)
        status = anl_compare_recipes(a.arena, a.recipe, b.recipe, diagnostics, &changes, &count);
    if (status == ANL_OK)
        (o->json ? anl_compare_json : anl_compare_print)(&a, &b, changes, count, o->depth, out);
    anl_account_free(&b);
    anl_account_free(&a);
    return status;
}

anl_status anl_explain(const anl_explain_options *options, FILE *out, anl_diagnostics *diagnostics)
{
    return options->other ? explain_both(options, out, diagnostics) : explain_one(options, out, diagnostics);
}
