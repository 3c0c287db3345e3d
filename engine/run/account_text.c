/* The account of a spec as text: a few lines, then the costs by path.
 * In: an account. Out: aligned text, at most about 110 columns wide.
 * One unit for a whole column, so that its numbers can be compared by length. */
#include <string.h>

#include "run/account.h"

/* ---- columns ---- */
typedef enum column {
    COLUMN_PARAMETERS,
    COLUMN_STATE,
    COLUMN_ACTIVATIONS,
    COLUMN_FORWARD,
    COLUMN_BACKWARD,
    COLUMN_FLOPS,
    COLUMN_MOVED,
    COLUMN_KERNELS,
    COLUMN_SHARE,
    COLUMN_ESTIMATE,
    COLUMN_ACTUAL,
    COLUMN_MEASURED_SHARE,
} column;

static double value_of(const anl_cost *c, const anl_cost *total, column which)
{
    switch (which) {
    case COLUMN_PARAMETERS:
        return (double)c->weights;
    case COLUMN_STATE:
        return 4.0 * (double)c->weights + (double)(c->optimizer + c->state);
    case COLUMN_ACTIVATIONS:
        return (double)c->activations;
    case COLUMN_FORWARD:
        return c->flops[ANL_STAGE_FORWARD];
    case COLUMN_BACKWARD:
        return c->flops[ANL_STAGE_BACKWARD] + c->flops[ANL_STAGE_UPDATE];
    case COLUMN_FLOPS:
        return anl_cost_flops(c);
    case COLUMN_MOVED:
        return anl_cost_bytes(c);
    case COLUMN_KERNELS:
        return c->kernels;
    case COLUMN_SHARE:
        return total->estimate > 0 ? 100 * c->estimate / total->estimate : 0;
    case COLUMN_ESTIMATE:
        return 1e3 * c->estimate;
    case COLUMN_ACTUAL:
        return 1e3 * c->seconds;
    case COLUMN_MEASURED_SHARE:
        return total->seconds > 0 ? 100 * c->seconds / total->seconds : 0;
    }
    return 0;
}

typedef struct style {
    column which;
    const char *title, *unit;
    double scale;
    int width, decimals;
} style;

/* The unit in which the whole has one to four digits before the point. */
static void choose_unit(style *s, double most)
{
    static const struct {
        const char *name;
        double size;
    } bytes[] = {{"GiB", 1073741824.0}, {"MiB", 1048576.0}, {"KiB", 1024.0}},
      flops[] = {{"TFLOP", 1e12}, {"GFLOP", 1e9}, {"MFLOP", 1e6}, {"kFLOP", 1e3}};
    bool is_flops = s->which == COLUMN_FORWARD || s->which == COLUMN_BACKWARD || s->which == COLUMN_FLOPS;
    if (!is_flops && s->which != COLUMN_STATE && s->which != COLUMN_ACTIVATIONS && s->which != COLUMN_MOVED)
        return;
    int count = is_flops ? (int)ANL_COUNT(flops) : (int)ANL_COUNT(bytes);
    for (int i = 0; i < count; i++) {
        s->unit = is_flops ? flops[i].name : bytes[i].name;
        s->scale = is_flops ? flops[i].size : bytes[i].size;
        if (most >= 10 * s->scale)
            return;
    }
}

static void print_cell(FILE *out, const style *s, double value)
{
    char text[32];
    if (s->which == COLUMN_PARAMETERS || s->which == COLUMN_KERNELS)
        anl_count_text((int64_t)value, text);
    else
        snprintf(text, sizeof text, "%.*f", s->decimals, value / s->scale);
    fprintf(out, "  %*s", s->width, value == 0 ? "-" : text);
}

static const char *last_part(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static void print_table(const anl_account *a, int depth, FILE *out)
{
    style plain[] = {{COLUMN_PARAMETERS, "parameters", "", 1, 11, 0},   {COLUMN_STATE, "state", "", 1, 7, 1},
                     {COLUMN_ACTIVATIONS, "activations", "", 1, 11, 1}, {COLUMN_FORWARD, "forward", "", 1, 8, 2},
                     {COLUMN_BACKWARD, "backward", "", 1, 8, 2},        {COLUMN_MOVED, "moved", "", 1, 7, 1},
                     {COLUMN_KERNELS, "kernels", "", 1, 7, 0},          {COLUMN_SHARE, "share", "%", 1, 5, 1}};
    style measured[] = {{COLUMN_KERNELS, "kernels", "", 1, 7, 0}, {COLUMN_FLOPS, "work", "", 1, 8, 2},
                        {COLUMN_MOVED, "moved", "", 1, 7, 1},     {COLUMN_ESTIMATE, "estimate", "ms", 1, 9, 2},
                        {COLUMN_ACTUAL, "actual", "ms", 1, 9, 2}, {COLUMN_MEASURED_SHARE, "share", "%", 1, 5, 1}};
    style *columns = a->device ? measured : plain;
    int count = a->device ? (int)ANL_COUNT(measured) : (int)ANL_COUNT(plain), width = 5;
    for (int i = 1; i < a->tree->count; i++) {
        const anl_cost_line *l = &a->tree->lines[i];
        int length = 2 * (l->depth - 1) + (int)strlen(last_part(l->path));
        if (l->depth <= depth && length > width)
            width = length;
    }
    double most = value_of(&a->total, &a->total, COLUMN_FLOPS);
    fprintf(out, "\n%*s", width, "");
    for (int c = 0; c < count; c++) {
        bool flops = columns[c].which == COLUMN_FORWARD || columns[c].which == COLUMN_BACKWARD;
        choose_unit(&columns[c], flops ? most : value_of(&a->total, &a->total, columns[c].which));
        fprintf(out, "  %*s", columns[c].width, columns[c].title);
    }
    fprintf(out, "\n%*s", width, "");
    for (int c = 0; c < count; c++)
        fprintf(out, "  %*s", columns[c].width, columns[c].unit);
    for (int i = 1; i <= a->tree->count; i++) { /* the whole comes last */
        const anl_cost_line *l = &a->tree->lines[i % a->tree->count];
        if (l->depth > depth)
            continue;
        int indent = l->depth > 0 ? 2 * (l->depth - 1) : 0;
        fprintf(out, "\n%*s%-*s", indent, "", width - indent, l->depth ? last_part(l->path) : "whole");
        for (int c = 0; c < count; c++)
            print_cell(out, &columns[c], value_of(&l->all, &a->total, columns[c].which));
    }
    fputc('\n', out);
}

/* ---- the lines above ---- */
static void print_state(const anl_account *a, FILE *out)
{
    char weights[32], optimizer[32], other[32], checkpoint[32], bytes[32];
    anl_bytes_text(4.0 * (double)a->total.weights, weights);
    anl_bytes_text((double)a->total.optimizer, optimizer);
    anl_bytes_text((double)a->total.state, other);
    anl_bytes_text((double)a->checkpoint, checkpoint);
    fprintf(out, "  state         %s of weights, %s of the optimizer, %s besides", weights, optimizer, other);
    int shown = 0;
    for (int i = 1; i < a->tree->count; i++) { /* queues and the like: the spec's own */
        const anl_cost_line *l = &a->tree->lines[i];
        if (l->depth == 1 && l->own.state && !l->all.weights) {
            anl_bytes_text((double)l->own.state, bytes);
            fprintf(out, "%s%s %s", shown++ ? ", " : " (", l->path, bytes);
        }
    }
    fprintf(out, "%s; a checkpoint takes %s\n", shown ? ")" : "", checkpoint);
}

static void print_fit(const anl_account *a, FILE *out)
{
    char needs[32], memory[32], largest[32], range[32];
    anl_bytes_text((double)a->needs.total, needs);
    anl_bytes_text((double)a->limits.memory, memory);
    anl_bytes_text((double)a->needs.largest, largest);
    anl_bytes_text((double)a->limits.storage_range, range);
    fprintf(out, "  %-13s %s:", a->fits ? "fits" : "does not fit", a->limits.name);
    if (a->limits.memory)
        fprintf(out, " %s of %s%s", needs, memory, a->limits.storage_range ? "," : "");
    if (a->limits.storage_range)
        fprintf(out, " largest tensor %s of %s", largest, range);
    char batch[32];
    anl_count_text(a->largest_batch, batch);
    if (a->largest_batch == anl_batch_limit(a->recipe))
        fprintf(out, "; so does every batch up to %s, the end of its range\n", batch);
    else if (a->largest_batch > 0)
        fprintf(out, "; the largest batch that fits is %s\n", batch);
    else
        fprintf(out, "%s\n", a->largest_batch == 0 ? "; no batch fits" : "");
}

void anl_account_print(const anl_account *a, int depth, bool checked, FILE *out)
{
    char text[32], more[32], third[32];
    const anl_program *p = a->program;
    if (a->evaluation)
        fprintf(out, "%s: evaluation, one batch\n", a->spec);
    else if (a->built.phases == 1)
        fprintf(out, "%s: training, one step\n", a->spec);
    else
        fprintf(out, "%s: training, one step of phase %d of %d (steps %lld to %lld, where an epoch has 1000)\n", a->spec,
                a->which + 1, a->built.phases, (long long)a->first_step, (long long)a->end_step - 1);
    fprintf(out, "  batch         %d\n", a->traced->batch);
    anl_count_text(a->total.weights, text);
    fprintf(out, "  parameters    %s in %lld tensors\n", text, (long long)a->total.tensors);
    print_state(a, out);
    double flops = anl_cost_flops(&a->total);
    anl_total_text(ANL_TOTAL_FLOPS, flops, text);
    anl_bytes_text(anl_cost_bytes(&a->total), more);
    fprintf(out, "  work          %s, of it %.1f %% in matrix products and convolutions; %s read and written\n", text,
            flops > 0 ? 100 * a->contraction_flops / flops : 0, more);
    anl_bytes_text((double)p->space_bytes[ANL_SPACE_TEMP], text);
    anl_bytes_text((double)p->temp_lower_bound, more);
    anl_bytes_text((double)p->space_bytes[ANL_SPACE_INPUT], third);
    fprintf(out, "  memory        %s planned, lower bound %s; inputs %s\n", text, more, third);
    if (a->biggest)
        fprintf(out, "                most in %s\n", a->biggest);
    fprintf(out, "  kernels       %d: %d elementwise, %d reductions, %d matrix products and convolutions; %d barriers\n",
            p->kernel_count, a->kinds[0], a->kinds[1], a->kinds[2], a->barriers);
    fprintf(out, "  graph         %d nodes\n", a->traced->graph->node_count);
    if (checked)
        fprintf(out, "  checker       agrees\n");
    if (a->judged)
        print_fit(a, out);
    if (a->device)
        fprintf(out, "  measured on   %s: %.2f ms a step, %.2f ms kernel by kernel; estimates at %.1f GFLOP/s and %.1f GB/s\n",
                a->device, 1e3 * a->step_seconds, 1e3 * a->total.seconds, 1e-9 * a->rates.flops, 1e-9 * a->rates.bytes);
    print_table(a, depth > 0 ? depth : 2, out);
    if (a->device)
        fprintf(out, "\nestimate: what a kernel computes or moves, whichever takes longer, at the rates of a matrix product and "
                     "a copy on this device\n");
    else
        fprintf(out, "\nbackward: with the update of the weights. share: of the time, where %g FLOPs take as long as moving a byte\n",
                anl_cost_nominal.flops / anl_cost_nominal.bytes);
}
