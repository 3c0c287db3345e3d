/* The time of a step by path, beside what its work would take at the rates that the device shows.
 * In: an account, a device. Out: the account's tree with measured seconds and estimates.
 * The rates are those of one large matrix product and of one large copy: what the device can do where nothing stands in its way.
 */
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "run/account.h"
#include "run/session.h"

/* [m, k] x [n, k], summed over k; or, with n 0, a copy of m x k numbers. */
static anl_graph *trial(int32_t m, int32_t n, int32_t k)
{
    anl_graph *g = anl_graph_new();
    anl_axis rows = {anl_graph_axis(g, "row"), m}, columns = {anl_graph_axis(g, "column"), n},
             terms = {anl_graph_axis(g, "term"), k};
    anl_node *input[2];
    for (int i = 0; i < 2; i++) {
        input[i] = anl_graph_node(g, ANL_OP_FIELD, ANL_F32, 0, NULL);
        input[i]->rank = 2;
        input[i]->axes[0] = i ? columns : rows;
        input[i]->axes[1] = terms;
        input[i]->attrs.name = i ? "b" : "a";
        if (!n)
            break;
    }
    anl_axis out[2] = {rows, columns};
    anl_node *result = n ? anl_g_contract(g, input[0], input[1], &terms.id, 1, ANL_ROLE_FORWARD, NULL, 0, out, 2)
                         : anl_g_binary(g, ANL_S_ADD, input[0], anl_g_const(g, ANL_F32, 1));
    anl_graph_output(g, "out", result);
    return g;
}

/* Seconds of the trial, the fastest of a few runs; FLOPs and bytes as the compiler counts them. */
static anl_status time_trial(anl_device *device, int32_t m, int32_t n, int32_t k, anl_diagnostics *diagnostics, double *seconds,
                             double *flops, double *bytes)
{
    enum { RUNS = 4 };
    anl_graph *g = trial(m, n, k);
    anl_state_layout *layout = NULL;
    anl_program *program = NULL;
    anl_exec *exec = NULL;
    *seconds = *flops = *bytes = 0;
    anl_status status = anl_state_layout_new(&g, 1, false, diagnostics, &layout);
    if (!status)
        status = anl_compile(g, layout, NULL, diagnostics, &program);
    if (!status)
        status = anl_exec_new(device, program, NULL, diagnostics, &exec);
    double *each = anl_malloc(sizeof(double) * (size_t)(program ? program->kernel_count + 1 : 1));
    for (int run = 0; run < RUNS && !status; run++) {
        double sum = 0;
        status = anl_exec_profile(exec, 0, NULL, each, diagnostics);
        for (int i = 0; i < program->kernel_count && !status; i++)
            sum += each[i];
        if (run == 0 || sum < *seconds)
            *seconds = sum;
    }
    for (int i = 0; program && i < program->kernel_count; i++) {
        *flops += program->kernels[i].flops;
        *bytes += program->kernels[i].bytes;
    }
    free(each);
    anl_exec_free(&exec);
    anl_program_free(&program);
    anl_state_layout_free(&layout);
    anl_graph_free(&g);
    return status;
}

/* Larger trials while the device is too fast for the clock to tell. */
static anl_status find_rates(anl_device *device, anl_diagnostics *diagnostics, anl_cost_rates *out)
{
    const double enough = 2e-3;
    double seconds = 0, flops, bytes;
    anl_status status = ANL_OK;
    for (int32_t size = 1024; size <= 4096 && seconds < enough && !status; size *= 2) {
        status = time_trial(device, size, size, size, diagnostics, &seconds, &flops, &bytes);
        out->flops = flops / (seconds > 0 ? seconds : 1e-9);
    }
    seconds = 0;
    for (int32_t rows = 4096; rows <= 16384 && seconds < enough && !status; rows *= 2) {
        status = time_trial(device, rows, 0, 4096, diagnostics, &seconds, &flops, &bytes);
        out->bytes = bytes / (seconds > 0 ? seconds : 1e-9);
    }
    return status;
}

anl_status anl_account_measure(anl_account *a, const anl_explain_options *o, anl_diagnostics *diagnostics)
{
    const anl_run_source source = {.spec = a->spec,
                                   .overrides = o->overrides,
                                   .override_count = o->override_count,
                                   .device = o->device,
                                   .threads = o->threads};
    anl_profile profile;
    anl_status status =
        anl_profile_run(&source, a->evaluation, a->first_step > o->step ? a->first_step : o->step, diagnostics, &profile);
    if (!status)
        status = find_rates(profile.session->device, diagnostics, &a->rates);
    if (!status) {
        const anl_device_info *device = anl_device_describe(profile.session->device);
        a->device = anl_arena_printf(a->arena, "%s (%s)", device->name, device->selector);
        a->step_seconds = profile.step;
        a->tree = anl_cost_tree_new(a->arena, profile.phase->traced->graph, profile.session->layout, profile.phase->program,
                                    a->rates, profile.seconds);
        a->total = a->tree->lines[0].all;
    }
    anl_profile_free(&profile);
    return status;
}
