/* The account of a spec: read, traced, compiled and added up.
 * In: a spec, overrides, which program. Out: anl_account.
 * Costs are the compiler's estimates: FLOPs of the kernels as they are, bytes that they read and write. */
#include "run/account.h"

#include <string.h>

#include "base/folders.h"
#include "device/device.h"
#include "run/session.h"
#include "spec/overrides.h"

void anl_account_free(anl_account *a)
{
    if (!a->arena)
        return;
    anl_built_free(&a->built);
    anl_recipe_free(&a->recipe);
    anl_arena *arena = a->arena;
    *a = (anl_account){0};
    anl_arena_free(&arena);
}

/* Which program is asked for. */
static void choose(anl_account *a, const anl_explain_options *o)
{
    a->which = a->built.phases; /* evaluation */
    a->evaluation = o->evaluate || a->built.phases == 0;
    for (int i = 0; !a->evaluation && i < a->built.phases; i++)
        if (i == 0 || a->built.first_step[i] <= o->step)
            a->which = i;
    a->traced = a->built.traced[a->which];
    a->end_step = a->traced->total_steps;
    if (!a->evaluation) {
        a->first_step = a->built.first_step[a->which];
        if (a->which + 1 < a->built.phases)
            a->end_step = a->built.first_step[a->which + 1];
    }
}

static anl_status judge(anl_account *a, const anl_explain_options *o, anl_diagnostics *diagnostics)
{
    anl_status status = ANL_OK;
    if (o->assume) {
        status = anl_assume_parse(o->assume, diagnostics, &a->limits);
    } else {
        anl_device_info *list = NULL;
        int count = 0;
        status = anl_devices_list(a->arena, NULL, &list, &count, diagnostics);
        const anl_device_info *found = NULL;
        for (int i = 0; i < count; i++)
            if (!found && (!strcmp(list[i].selector, o->device) ||
                           (!strcmp(o->device, "vulkan") && !strncmp(list[i].selector, "vulkan:", 7) && !list[i].unusable)))
                found = &list[i];
        if (status == ANL_OK && !found) {
            anl_diagnostic *d =
                anl_diagnose(diagnostics, ANL_A_device_missing, (anl_span){0}, "there is no device `%s`", o->device);
            anl_diagnostic_note(diagnostics, d, "devices are host, vulkan and vulkan:N; `anlage devices` lists them");
            status = ANL_ERROR_ARGUMENT;
        }
        if (status == ANL_OK)
            a->limits = (anl_limits){.name = anl_arena_printf(a->arena, "%s (%s)", found->name, found->selector),
                                     .memory = found->limits.memory,
                                     .storage_range = found->limits.storage_range};
    }
    anl_compile_options compile = {.no_fusion = o->unfused};
    if (status == ANL_OK)
        status = anl_built_compile(&a->built, -1, &compile, diagnostics);
    if (status != ANL_OK)
        return status;
    a->judged = true;
    a->needs = anl_built_footprint(&a->built, &a->limits);
    a->fits = anl_footprint_fits(&a->needs, &a->limits);
    a->largest_batch = anl_largest_batch(a->recipe, 0, &a->limits, &a->needs);
    return ANL_OK;
}

anl_status anl_account_open(anl_account *a, const anl_explain_options *o, const char *spec, anl_diagnostics *diagnostics)
{
    *a = (anl_account){.arena = anl_arena_new(), .spec = spec};
    anl_override *overrides = NULL;
    anl_status status = anl_overrides_parse(a->arena, o->overrides, o->override_count, diagnostics, &overrides);
    if (status == ANL_OK)
        status = anl_recipe_read(spec, overrides, o->override_count, anl_folder_specs(a->arena), diagnostics, &a->recipe);
    if (status == ANL_OK)
        status = anl_build(a->recipe, 0, diagnostics, &a->built);
    if (status != ANL_OK)
        return status;
    choose(a, o);
    status = anl_graph_verify(a->traced->graph, diagnostics);
    if (status != ANL_OK || o->stage == ANL_EXPLAIN_GRAPH)
        return status;
    anl_compile_options compile = {.no_fusion = o->unfused};
    status = anl_built_compile(&a->built, a->which, &compile, diagnostics);
    if (status == ANL_OK && o->checked)
        status = anl_program_check(a->built.programs[a->which], diagnostics);
    if (status != ANL_OK)
        return status;
    const anl_program *p = a->program = a->built.programs[a->which];
    a->tree = anl_cost_tree_new(a->arena, a->traced->graph, a->built.layout, p, anl_cost_nominal, NULL);
    a->total = a->tree->lines[0].all;
    a->biggest = anl_cost_biggest(a->arena, a->traced->graph, a->built.layout, p);
    a->checkpoint = anl_checkpoint_bytes(a->built.layout);
    for (int i = 0; i < p->kernel_count; i++) {
        a->kinds[p->kernels[i].kind]++;
        a->barriers += p->kernels[i].barrier_before;
        if (p->kernels[i].kind == ANL_KERNEL_CONTRACT)
            a->contraction_flops += p->kernels[i].flops;
    }
    return (o->assume || (o->device && !o->measure)) && o->stage == ANL_EXPLAIN_SUMMARY ? judge(a, o, diagnostics) : ANL_OK;
}

const anl_cost_line *anl_account_line(const anl_account *a, const char *path)
{
    int at = anl_cost_find(a->tree, path);
    return at < 0 ? NULL : &a->tree->lines[at];
}

void anl_account_totals(const anl_account *a, anl_total out[ANL_TOTALS])
{
    const anl_program *p = a->program;
    const anl_cost *c = &a->total;
    const anl_total all[ANL_TOTALS] = {
        {"batch", "batch", ANL_TOTAL_COUNT, a->traced->batch},
        {"parameters", "parameters", ANL_TOTAL_COUNT, (double)c->weights},
        {"optimizer_bytes", "optimizer state", ANL_TOTAL_BYTES, (double)c->optimizer},
        {"state_bytes", "other state", ANL_TOTAL_BYTES, (double)c->state},
        {"checkpoint_bytes", "checkpoint", ANL_TOTAL_BYTES, (double)a->checkpoint},
        {"forward_flops", "forward", ANL_TOTAL_FLOPS, c->flops[ANL_STAGE_FORWARD]},
        {"backward_flops", "backward", ANL_TOTAL_FLOPS, c->flops[ANL_STAGE_BACKWARD]},
        {"update_flops", "update", ANL_TOTAL_FLOPS, c->flops[ANL_STAGE_UPDATE]},
        {"moved_bytes", "read and written", ANL_TOTAL_BYTES, anl_cost_bytes(c)},
        {"activation_bytes", "activations", ANL_TOTAL_BYTES, (double)c->activations},
        {"planned_bytes", "planned memory", ANL_TOTAL_BYTES, (double)p->space_bytes[ANL_SPACE_TEMP]},
        {"input_bytes", "inputs", ANL_TOTAL_BYTES, (double)p->space_bytes[ANL_SPACE_INPUT]},
        {"kernels", "kernels", ANL_TOTAL_COUNT, p->kernel_count},
        {"barriers", "barriers", ANL_TOTAL_COUNT, a->barriers},
    };
    memcpy(out, all, sizeof all);
}

void anl_count_text(int64_t count, char out[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)(count < 0 ? -count : count)), at = 0;
    if (count < 0)
        out[at++] = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
}

void anl_total_text(anl_total_unit unit, double value, char out[32])
{
    static const struct {
        const char *name;
        double flops;
    } powers[] = {{"TFLOP", 1e12}, {"GFLOP", 1e9}, {"MFLOP", 1e6}, {"kFLOP", 1e3}};
    double size = value < 0 ? -value : value;
    if (unit == ANL_TOTAL_COUNT) {
        anl_count_text((int64_t)value, out);
    } else if (unit == ANL_TOTAL_BYTES) {
        char text[32];
        anl_bytes_text(size, text);
        snprintf(out, 32, "%s%.30s", value < 0 ? "-" : "", text);
    } else {
        for (size_t i = 0; i < ANL_COUNT(powers); i++)
            if (size >= powers[i].flops) {
                snprintf(out, 32, "%.1f %s", value / powers[i].flops, powers[i].name);
                return;
            }
        snprintf(out, 32, "%.0f FLOP", value);
    }
}
