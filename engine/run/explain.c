/* Explaining a spec: traced and compiled, then printed instead of run.
 * In: a spec file, overrides, what to show. Out: text.
 * Costs are the compiler's estimates: FLOPs of the kernels as they are, bytes that they read and write. */
#include <anlage/program.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "compile/compile.h"
#include "spec/overrides.h"
#include "spec/recipe.h"
#include "trace/trace.h"

typedef struct explained {
    anl_arena *arena;
    anl_recipe *recipe;
    anl_traced *traced;
    anl_state_layout *layout;
    anl_program *program;
} explained;

static void release(explained *e)
{
    anl_program_free(&e->program);
    anl_state_layout_free(&e->layout);
    anl_traced_free(&e->traced);
    anl_recipe_free(&e->recipe);
    anl_arena_free(&e->arena);
}

static anl_status prepare(explained *e, const anl_explain_options *o, anl_diagnostics *diagnostics)
{
    anl_override *overrides = NULL;
    anl_status status = anl_overrides_parse(e->arena, o->overrides, o->override_count, diagnostics, &overrides);
    if (status == ANL_OK)
        status = anl_recipe_read(o->spec, overrides, o->override_count, anl_folder_specs(e->arena), diagnostics, &e->recipe);
    anl_trace_options trace = {.mode = o->evaluate ? ANL_TRACE_EVALUATE : ANL_TRACE_TRAIN, .phase_step = o->step, .seed = -1};
    if (status == ANL_OK)
        status = anl_trace(e->recipe, &trace, diagnostics, &e->traced);
    if (status == ANL_OK)
        status = anl_graph_verify(e->traced->graph, diagnostics);
    if (status != ANL_OK || o->stage == ANL_EXPLAIN_GRAPH)
        return status;
    status = anl_state_layout_new(&e->traced->graph, 1, false, diagnostics, &e->layout);
    anl_compile_options compile = {.no_fusion = o->unfused};
    if (status == ANL_OK)
        status = anl_compile(e->traced->graph, e->layout, &compile, diagnostics, &e->program);
    if (status == ANL_OK && o->checked)
        status = anl_program_check(e->program, diagnostics);
    return status;
}

/* ---- the summary ---- */
static void print_bytes(FILE *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    fprintf(out, "%.*f %s", u == 0 ? 0 : 1, bytes, units[u]);
}

static void print_count(FILE *out, int64_t n)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < length; i++)
        fprintf(out, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", digits[i]);
}

/* Parts of a path that only say how it was called or written are kept: what the table shows can be found in the spec. */
static const char *module_of(anl_arena *arena, const char *name, int depth)
{
    const char *space = strchr(name, ' ');
    size_t length = space ? (size_t)(space - name) : 0;
    for (size_t i = 0; i < length; i++)
        if (name[i] == '.' && --depth == 0)
            length = i;
    return length > 0 ? anl_arena_copy(arena, name, length) : "(elsewhere)";
}

typedef struct module {
    const char *name;
    int64_t parameters;
    int kernels;
    double flops, bytes;
} module;

typedef struct table {
    module *rows;
    int count, capacity;
} table;

static module *row_of(anl_arena *arena, table *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->rows[i].name, name) == 0)
            return &t->rows[i];
    module m = {.name = name};
    ANL_PUSH(arena, t->rows, t->count, t->capacity, m);
    return &t->rows[t->count - 1];
}

static void print_summary(explained *e, const anl_explain_options *o, FILE *out)
{
    const anl_program *p = e->program;
    int depth = o->depth > 0 ? o->depth : 2, kinds[3] = {0}, barriers = 0, tensors = 0;
    double flops = 0, contraction_flops = 0, bytes = 0;
    int64_t parameters = 0, state = 0;
    table weights = {0}, work = {0};
    for (int i = 0; i < e->layout->count; i++) {
        const anl_state_place *s = &e->layout->places[i];
        bool weight = s->kind == ANL_WEIGHT_MATRIX || s->kind == ANL_WEIGHT_BIAS || s->kind == ANL_WEIGHT_NORM ||
                      s->kind == ANL_WEIGHT_OTHER;
        bool holds = false; /* an arena: its members are counted */
        for (int j = 0; j < e->layout->count && !s->in_arena && !holds; j++)
            holds = e->layout->places[j].in_arena && e->layout->places[j].offset >= s->offset &&
                    e->layout->places[j].offset < s->offset + s->count * 4;
        if (!weight || holds) {
            state += holds || s->in_arena ? 0 : s->count;
            continue;
        }
        parameters += s->count;
        tensors++;
        const char *path = anl_arena_printf(e->arena, "%s ", s->path);
        row_of(e->arena, &weights, module_of(e->arena, path, depth))->parameters += s->count;
    }
    for (int i = 0; i < p->kernel_count; i++) {
        const anl_kernel *k = &p->kernels[i];
        kinds[k->kind]++;
        barriers += k->barrier_before;
        flops += k->flops;
        bytes += k->bytes;
        if (k->kind == ANL_KERNEL_CONTRACT)
            contraction_flops += k->flops;
        module *m = row_of(e->arena, &work, module_of(e->arena, k->name ? k->name : "", depth + 1));
        m->kernels++;
        m->flops += k->flops;
        m->bytes += k->bytes;
    }
    fprintf(out, "%s\n", o->evaluate ? "evaluation, one batch" : "training, one step");
    fprintf(out, "  batch        %d\n", e->traced->batch);
    if (!o->evaluate)
        fprintf(out, "  steps        %lld, in %d phase%s\n", (long long)e->traced->total_steps, e->traced->boundary_count + 1,
                e->traced->boundary_count ? "s" : "");
    fprintf(out, "  parameters   ");
    print_count(out, parameters);
    fprintf(out, " in %d tensors; other state ", tensors);
    print_count(out, state);
    fprintf(out, " numbers\n  FLOPs        %.4g G, of them %.1f %% in matrix products and convolutions\n", flops * 1e-9,
            flops > 0 ? 100 * contraction_flops / flops : 0);
    fprintf(out, "  bytes        ");
    print_bytes(out, bytes);
    fprintf(out, " read and written\n  memory       ");
    print_bytes(out, (double)p->space_bytes[ANL_SPACE_TEMP]);
    fprintf(out, " planned, lower bound ");
    print_bytes(out, (double)p->temp_lower_bound);
    fprintf(out, "; state ");
    print_bytes(out, (double)p->space_bytes[ANL_SPACE_STATE]);
    fprintf(out, "; inputs ");
    print_bytes(out, (double)p->space_bytes[ANL_SPACE_INPUT]);
    fprintf(out, "\n  graph        %d nodes\n", e->traced->graph->node_count);
    fprintf(out, "  kernels      %d: %d elementwise, %d reductions, %d matrix products and convolutions\n", p->kernel_count,
            kinds[0], kinds[1], kinds[2]);
    fprintf(out, "  barriers     %d\n", barriers);
    if (o->checked)
        fprintf(out, "  checker      agrees\n");
    int width = 12;
    for (int i = 0; i < weights.count; i++)
        width = (int)strlen(weights.rows[i].name) > width ? (int)strlen(weights.rows[i].name) : width;
    for (int i = 0; i < work.count; i++)
        width = (int)strlen(work.rows[i].name) > width ? (int)strlen(work.rows[i].name) : width;
    fprintf(out, "\n%-*s  %12s\n", width, "weights of", "parameters");
    for (int i = 0; i < weights.count; i++) {
        fprintf(out, "%-*s  %12lld\n", width, weights.rows[i].name, (long long)weights.rows[i].parameters);
    }
    fprintf(out, "\n%-*s  %7s  %10s  %6s  %10s\n", width, "computed in", "kernels", "GFLOP", "%", "MiB");
    for (int i = 0; i < work.count; i++) {
        const module *m = &work.rows[i];
        fprintf(out, "%-*s  %7d  %10.4f  %6.1f  %10.2f\n", width, m->name, m->kernels, m->flops * 1e-9,
                flops > 0 ? 100 * m->flops / flops : 0, m->bytes / 1048576);
    }
}

anl_status anl_explain(const anl_explain_options *options, FILE *out, anl_diagnostics *diagnostics)
{
    explained e = {.arena = anl_arena_new()};
    anl_status status = prepare(&e, options, diagnostics);
    if (status == ANL_OK) {
        if (options->stage == ANL_EXPLAIN_GRAPH) {
            anl_graph_print(e.traced->graph, out);
        } else if (options->stage == ANL_EXPLAIN_PROGRAM) {
            anl_program_print(e.program, out);
            if (options->kernel >= 0 && options->kernel < e.program->kernel_count)
                anl_kernel_print(e.program, options->kernel, out);
        } else {
            print_summary(&e, options, out);
        }
    }
    release(&e);
    return status;
}
