/* The account of a spec as JSON, version 1; described in specs/README.md.
 * In: an account. Out: one object, a line for each value. */
#include <math.h>

#include "base/json.h"
#include "run/account.h"

static void write_stages(anl_json *j, const char *key, const double *values)
{
    static const char *const stages[ANL_STAGE_COUNT] = {"forward", "backward", "update"};
    anl_json_object(j, key);
    for (int s = 0; s < ANL_STAGE_COUNT; s++)
        anl_json_integer(j, stages[s], llround(values[s])); /* parts of shared kernels are fractions */
    anl_json_object_end(j);
}

static void write_line(anl_json *j, const anl_account *a, const anl_cost_line *l)
{
    const anl_cost *c = &l->all;
    anl_json_object(j, NULL);
    anl_json_string(j, "path", l->path);
    anl_json_integer(j, "depth", l->depth);
    anl_json_integer(j, "parameters", c->weights);
    anl_json_integer(j, "optimizer_bytes", c->optimizer);
    anl_json_integer(j, "state_bytes", c->state);
    anl_json_integer(j, "activation_bytes", c->activations);
    anl_json_integer(j, "peak_bytes", c->peak);
    write_stages(j, "flops", c->flops);
    write_stages(j, "moved_bytes", c->bytes);
    anl_json_integer(j, "kernels", c->kernels);
    double all = a->device ? a->total.seconds : a->total.estimate, own = a->device ? c->seconds : c->estimate;
    anl_json_number(j, "share", all > 0 ? own / all : 0);
    if (a->device) {
        anl_json_number(j, "estimate_seconds", c->estimate);
        anl_json_number(j, "seconds", c->seconds);
    }
    anl_json_object_end(j);
}

static void write_fit(anl_json *j, const anl_account *a)
{
    anl_json_object(j, "fit");
    anl_json_string(j, "device", a->limits.name);
    anl_json_bool(j, "fits", a->fits);
    anl_json_integer(j, "needed_bytes", a->needs.total);
    if (a->limits.memory)
        anl_json_integer(j, "memory_bytes", a->limits.memory);
    else
        anl_json_null(j, "memory_bytes");
    anl_json_integer(j, "largest_tensor_bytes", a->needs.largest);
    if (a->limits.storage_range)
        anl_json_integer(j, "storage_range_bytes", a->limits.storage_range);
    else
        anl_json_null(j, "storage_range_bytes");
    if (a->largest_batch >= 0)
        anl_json_integer(j, "largest_batch", a->largest_batch);
    else
        anl_json_null(j, "largest_batch");
    anl_json_object_end(j);
}

void anl_account_json(const anl_account *a, int depth, FILE *out)
{
    anl_text text = {0};
    anl_json json = {.text = &text, .pretty = true}, *j = &json;
    const anl_program *p = a->program;
    anl_json_object(j, NULL);
    anl_json_integer(j, "version", 1);
    anl_json_string(j, "spec", a->spec);
    anl_json_string(j, "title", a->recipe->title);
    anl_json_string(j, "mode", a->evaluation ? "evaluation" : "training");
    if (!a->evaluation) {
        anl_json_integer(j, "phase", a->which + 1);
        anl_json_integer(j, "phases", a->built.phases);
        anl_json_integer(j, "first_step", a->first_step);
        anl_json_integer(j, "end_step", a->end_step);
        anl_json_integer(j, "steps", a->traced->total_steps);
    }
    anl_json_object(j, "totals");
    anl_total totals[ANL_TOTALS];
    anl_account_totals(a, totals);
    for (int i = 0; i < ANL_TOTALS; i++)
        anl_json_integer(j, totals[i].key, llround(totals[i].value));
    anl_json_integer(j, "tensors", a->total.tensors);
    anl_json_integer(j, "lower_bound_bytes", p->temp_lower_bound);
    anl_json_integer(j, "elementwise_kernels", a->kinds[ANL_KERNEL_MAP]);
    anl_json_integer(j, "reduction_kernels", a->kinds[ANL_KERNEL_REDUCE]);
    anl_json_integer(j, "contraction_kernels", a->kinds[ANL_KERNEL_CONTRACT]);
    anl_json_integer(j, "contraction_flops", llround(a->contraction_flops));
    anl_json_integer(j, "graph_nodes", a->traced->graph->node_count);
    anl_json_object_end(j);
    if (a->judged)
        write_fit(j, a);
    if (a->device) {
        anl_json_object(j, "measured");
        anl_json_string(j, "device", a->device);
        anl_json_number(j, "step_seconds", a->step_seconds);
        anl_json_number(j, "kernel_seconds", a->total.seconds);
        anl_json_number(j, "flops_per_second", a->rates.flops);
        anl_json_number(j, "bytes_per_second", a->rates.bytes);
        anl_json_object_end(j);
    }
    anl_json_array(j, "lines");
    for (int i = 0; i < a->tree->count; i++)
        if (depth == 0 || a->tree->lines[i].depth <= depth)
            write_line(j, a, &a->tree->lines[i]);
    anl_json_array_end(j);
    anl_json_object_end(j);
    anl_text_add(&text, "\n");
    fwrite(text.data, 1, text.length, out);
    anl_text_free(&text);
}
