/* A recipe made ready to run: traced, compiled and bound to a device.
 * In: a spec file, overrides, a device. Out: programs for each phase and for evaluation over one state space.
 * The state space lies the same in all programs, so that phases and evaluation share weights without copying. */
#include "run/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/folders.h"
#include "lint/resources.h"
#include "spec/overrides.h"

double anl_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const anl_span nowhere;

static anl_status out_of_memory(anl_diagnostics *diagnostics, const char *what, size_t bytes)
{
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "not enough memory for %s (%.1f MB)", what, (double)bytes / 1e6);
    anl_diagnostic_note(diagnostics, d, "a smaller batch, image size or network needs less");
    return ANL_ERROR_MEMORY;
}

anl_status anl_session_open(const anl_run_source *source, anl_diagnostics *diagnostics, anl_session **out)
{
    *out = NULL;
    anl_arena *arena = anl_arena_new();
    anl_session *s = ANL_NEW(arena, anl_session);
    s->arena = arena;
    s->f64 = source->precise;
    s->seed = -1;
    anl_override *overrides = NULL;
    anl_status status = anl_overrides_parse(arena, source->overrides, source->override_count, diagnostics, &overrides);
    if (!status)
        status = anl_recipe_read(source->spec, overrides, source->override_count, anl_folder_specs(arena), diagnostics, &s->recipe);
    if (!status)
        status = anl_trace_static(s->recipe, arena, diagnostics, &s->facts);
    if (status) {
        anl_session_free(&s);
        return status;
    }
    *out = s;
    return ANL_OK;
}

static void free_phase(anl_phase *phase)
{
    anl_exec_free(&phase->exec);
    anl_program_free(&phase->program);
    anl_traced_free(&phase->traced);
}

void anl_session_free(anl_session **session)
{
    anl_session *s = *session;
    if (!s)
        return;
    *session = NULL;
    for (int i = 0; i < s->phase_count; i++)
        free_phase(&s->phases[i]);
    free_phase(&s->evaluate);
    free_phase(&s->initial);
    anl_memory_free(&s->memory);
    anl_device_close(&s->device);
    anl_state_layout_free(&s->layout);
    anl_recipe_free(&s->recipe);
    free(s->staging);
    anl_arena *arena = s->arena;
    anl_arena_free(&arena);
}

/* The trace whose census serves further ones. */
static const anl_traced *first_traced(const anl_session *s) { return s->phase_count ? s->phases[0].traced : s->evaluate.traced; }

static anl_status trace_phases(anl_session *s, double epoch_steps, const char *const *fetches, int fetch_count, anl_diagnostics *diagnostics)
{
    int capacity = 0;
    int64_t step = 0;
    for (;;) {
        anl_trace_options options = {.mode = ANL_TRACE_TRAIN,
                                     .epoch_steps = epoch_steps,
                                     .phase_step = step,
                                     .seed = s->seed,
                                     .fetches = fetches,
                                     .fetch_count = fetch_count,
                                     .fetch_only = fetch_count > 0,
                                     .census = first_traced(s)};
        anl_phase phase = {.first_step = step};
        anl_status status = anl_trace(s->recipe, &options, diagnostics, &phase.traced);
        if (status) {
            anl_traced_free(&phase.traced);
            return status;
        }
        if (s->rewrite)
            s->rewrite(s->rewrite_context, phase.traced->graph);
        s->total_steps = phase.traced->total_steps;
        ANL_PUSH(s->arena, s->phases, s->phase_count, capacity, phase);
        if (fetch_count > 0)
            return ANL_OK;
        /* A later phase may know boundaries that this one's branches hid, so look at all found so far. */
        int64_t next = INT64_MAX;
        for (int p = 0; p < s->phase_count; p++) {
            int64_t at = anl_traced_next_phase(s->phases[p].traced, step);
            next = at < next ? at : next;
        }
        if (next >= s->total_steps)
            return ANL_OK;
        step = next;
    }
}

/* Before anything is allocated: what does not fit is told with its place and the batch that would. */
static anl_status check_fit(anl_session *s, bool fetching, anl_diagnostics *diagnostics)
{
    const anl_device_info *device = anl_device_describe(s->device);
    const anl_limits limits = {.name = anl_arena_printf(s->arena, "%s (%s)", device->name, device->selector),
                               .memory = device->limits.memory,
                               .storage_range = device->limits.storage_range};
    anl_footprint needs = {0};
    for (int i = 0; i < s->phase_count; i++)
        anl_footprint_add(&needs, s->phases[i].program, limits.storage_range);
    if (s->evaluate.program)
        anl_footprint_add(&needs, s->evaluate.program, limits.storage_range);
    if (anl_footprint_fits(&needs, &limits))
        return ANL_OK;
    const anl_phase *most = s->phase_count ? &s->phases[0] : &s->evaluate;
    for (int i = 1; i < s->phase_count; i++)
        if (s->phases[i].program->space_bytes[ANL_SPACE_TEMP] > most->program->space_bytes[ANL_SPACE_TEMP])
            most = &s->phases[i];
    /* The larger numbers of the reference, and values that were asked for, are not what the search for a batch compiles. */
    const bool search = !s->f64 && !fetching;
    anl_resources_report(s->recipe, search ? s->epoch_steps : -1, &limits, &needs,
                         anl_cost_biggest(s->arena, most->traced->graph, s->layout, most->program), diagnostics);
    return ANL_ERROR_LIMIT;
}

anl_status anl_session_prepare(anl_session *s, const anl_run_source *source, int what, double epoch_steps, const char *const *fetches,
                               int fetch_count, anl_diagnostics *diagnostics)
{
    s->epoch_steps = epoch_steps;
    anl_status status = ANL_OK;
    if (what & ANL_PREPARE_TRAIN)
        status = trace_phases(s, epoch_steps, fetches, fetch_count, diagnostics);
    if (!status && (what & ANL_PREPARE_EVALUATE)) {
        anl_trace_options options = {.mode = ANL_TRACE_EVALUATE,
                                     .epoch_steps = epoch_steps,
                                     .phase_step = INT64_MAX / 4,
                                     .seed = s->seed,
                                     .fetches = fetches,
                                     .fetch_count = fetch_count,
                                     .fetch_only = fetch_count > 0,
                                     .census = first_traced(s)};
        status = anl_trace(s->recipe, &options, diagnostics, &s->evaluate.traced);
    }
    if (!status) {
        anl_trace_options options = {
            .mode = ANL_TRACE_INITIALIZE, .epoch_steps = epoch_steps, .seed = s->seed, .census = fetch_count ? NULL : first_traced(s)};
        status = anl_trace(s->recipe, &options, diagnostics, &s->initial.traced);
    }
    anl_device_options device_options = {.threads = source->threads, .validation = source->validation, .f64 = s->f64, .plain = s->f64};
    if (!status)
        status = anl_device_open(source->device ? source->device : "auto", &device_options, diagnostics, &s->device);
    if (status)
        return status;
    if (s->choices)
        anl_vulkan_choices_set(s->device, s->choices); /* refused by devices that choose nothing, which is right */

    anl_graph **graphs = ANL_NEW_ARRAY(s->arena, anl_graph *, s->phase_count + 2);
    int graph_count = 0;
    for (int i = 0; i < s->phase_count; i++)
        graphs[graph_count++] = s->phases[i].traced->graph;
    if (s->evaluate.traced)
        graphs[graph_count++] = s->evaluate.traced->graph;
    graphs[graph_count++] = s->initial.traced->graph;
    status = anl_state_layout_new(graphs, graph_count, s->f64, diagnostics, &s->layout);
    if (status)
        return status;

    anl_compile_options options = {.f64 = s->f64, .no_fusion = s->f64};
    for (int i = 0; i < s->phase_count && !status; i++)
        status = anl_compile(s->phases[i].traced->graph, s->layout, &options, diagnostics, &s->phases[i].program);
    if (!status && s->evaluate.traced)
        status = anl_compile(s->evaluate.traced->graph, s->layout, &options, diagnostics, &s->evaluate.program);
    if (!status)
        status = anl_compile(s->initial.traced->graph, s->layout, &options, diagnostics, &s->initial.program);
    if (!status)
        status = check_fit(s, fetch_count > 0, diagnostics);
    if (!status)
        status = anl_memory_new(s->device, s->layout->bytes > 0 ? s->layout->bytes : ANL_ALIGNMENT, diagnostics, &s->memory);
    for (int i = 0; i < s->phase_count && !status; i++)
        status = anl_exec_new(s->device, s->phases[i].program, s->memory, diagnostics, &s->phases[i].exec);
    if (!status && s->evaluate.program)
        status = anl_exec_new(s->device, s->evaluate.program, s->memory, diagnostics, &s->evaluate.exec);
    return status;
}

anl_status anl_session_initialize(anl_session *s, anl_diagnostics *diagnostics)
{
    /* On the host whatever the device, so that all devices start from the same bits. */
    anl_device_options options = {.f64 = s->f64, .plain = s->f64};
    anl_device *host = NULL;
    anl_memory *memory = NULL;
    anl_exec *exec = NULL;
    double *scalars = anl_malloc(sizeof(double) * (size_t)(s->initial.program->scalar_count + 1));
    void *bytes = NULL;
    int64_t size = s->layout->bytes;
    anl_status status = anl_device_open("host", &options, diagnostics, &host);
    if (!status)
        status = anl_memory_new(host, size > 0 ? size : ANL_ALIGNMENT, diagnostics, &memory);
    if (!status)
        status = anl_exec_new(host, s->initial.program, memory, diagnostics, &exec);
    if (!status) {
        anl_program_scalars(s->initial.program, 0, s->epoch_steps, (double)s->total_steps, scalars);
        status = anl_exec_run(exec, 0, scalars, diagnostics);
    }
    if (!status && size > 0) {
        bytes = malloc((size_t)size);
        status = bytes ? anl_memory_read(memory, 0, bytes, size, diagnostics) : out_of_memory(diagnostics, "the initial weights", (size_t)size);
    }
    if (!status && size > 0)
        status = anl_session_state_write(s, bytes, diagnostics);
    free(bytes);
    free(scalars);
    anl_exec_free(&exec);
    anl_memory_free(&memory);
    anl_device_close(&host);
    return status;
}

anl_phase *anl_session_phase(anl_session *s, int64_t step)
{
    anl_phase *phase = &s->phases[0];
    for (int i = 1; i < s->phase_count; i++)
        if (s->phases[i].first_step <= step)
            phase = &s->phases[i];
    return phase;
}

anl_status anl_session_dataset(anl_session *s, int split, anl_diagnostics *diagnostics, anl_dataset **out)
{
    static const char *const names[] = {"train", "valid", "test"};
    *out = NULL;
    if (!s->facts.shards[split] || !s->facts.shards[split][0]) {
        anl_span data = s->recipe->source_count ? s->recipe->sources[0].span : s->recipe->span;
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_shard_missing, data, "the recipe names no shards for `%s`", names[split]);
        anl_diagnostic_note(diagnostics, d, "pack images with `anlage pack` and name them under data: %s: shards:", names[split]);
        return ANL_ERROR_SPEC;
    }
    anl_span span = s->recipe->span;
    for (int i = 0; i < s->recipe->source_count; i++)
        if (!strcmp(s->recipe->sources[i].name, names[split]))
            span = s->recipe->sources[i].shards ? s->recipe->sources[i].shards->span : s->recipe->sources[i].span;
    const anl_field *fields = anl_trace_fields(&s->facts, s->arena);
    anl_dataset_source *sources = ANL_NEW_ARRAY(s->arena, anl_dataset_source, s->facts.part_count[split] + 1);
    for (int i = 0; i < s->facts.part_count[split]; i++) {
        const struct anl_static_part *part = &s->facts.parts[split][i];
        sources[i] = (anl_dataset_source){.name = part->name, .pattern = part->shards, .weight = part->weight, .span = part->span};
    }
    anl_dataset_options options = {.pattern = s->facts.shards[split],
                                   .span = span,
                                   .sources = sources,
                                   .source_count = s->facts.part_count[split],
                                   .balance = s->facts.balance[split],
                                   .balance_span = s->facts.balance_span[split],
                                   .label_fraction = s->facts.label_fraction[split],
                                   .label_by_patient = s->facts.label_by_patient[split],
                                   .drop_unlabelled = s->facts.drop_unlabelled[split],
                                   .seed = (uint64_t)s->facts.seed};
    return anl_dataset_open(&options, fields, s->facts.field_count, diagnostics, out);
}

int64_t anl_port_count(const anl_port *port)
{
    int64_t count = 1;
    for (int i = 0; i < port->rank; i++)
        count *= port->size[i];
    return count;
}

/* Visits the elements of a port in its axes' order: offset of each in the buffer. */
typedef struct walk {
    const int32_t *size;
    const int64_t *stride;
    int rank;
    int32_t at[ANL_MAX_DIMS];
    int64_t offset;
} walk;

static void walk_next(walk *w)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        w->offset += w->stride[i];
        if (++w->at[i] < w->size[i])
            return;
        w->offset -= w->stride[i] * w->size[i];
        w->at[i] = 0;
    }
}

static bool rows_in_order(const anl_port *port)
{
    int64_t expected = 1;
    for (int i = port->rank - 1; i >= 0; i--) {
        if (port->size[i] > 1 && port->stride[i] != expected)
            return false;
        expected *= port->size[i];
    }
    return port->base == 0;
}

anl_status anl_session_feed_input(anl_session *s, anl_phase *phase, int input, const float *values, anl_diagnostics *diagnostics)
{
    const anl_program *program = phase->program;
    const anl_port *port = &program->inputs[input];
    const anl_buffer *buffer = &program->buffers[port->buffer];
    int64_t count = anl_port_count(port);
    if (!program->f64 && port->dtype == ANL_F32 && rows_in_order(port) && count == buffer->count)
        return anl_exec_feed(phase->exec, input, values, buffer->bytes, diagnostics);
    if (s->staging_bytes < (size_t)buffer->bytes) {
        free(s->staging);
        s->staging = calloc(1, (size_t)buffer->bytes);
        s->staging_bytes = s->staging ? (size_t)buffer->bytes : 0;
        if (!s->staging)
            return out_of_memory(diagnostics, "a batch", (size_t)buffer->bytes);
    }
    walk w = {.size = port->size, .stride = port->stride, .rank = port->rank, .offset = port->base};
    for (int64_t e = 0; e < count; e++, walk_next(&w)) {
        if (port->dtype != ANL_F32)
            ((int32_t *)s->staging)[w.offset] = port->dtype == ANL_BOOL ? values[e] != 0 : (int32_t)lrintf(values[e]);
        else if (program->f64)
            ((double *)s->staging)[w.offset] = (double)values[e];
        else
            ((float *)s->staging)[w.offset] = values[e];
    }
    return anl_exec_feed(phase->exec, input, s->staging, buffer->bytes, diagnostics);
}

anl_status anl_session_feed(anl_session *s, anl_phase *phase, float *const *values, float *const *masks, anl_diagnostics *diagnostics)
{
    const anl_program *program = phase->program;
    for (int i = 0; i < program->input_count; i++) {
        const anl_port *port = &program->inputs[i];
        const char *colon = strchr(port->name, ':');
        size_t length = colon ? (size_t)(colon - port->name) : strlen(port->name);
        const float *from = NULL;
        for (int f = 0; f < s->facts.field_count; f++)
            if (!strncmp(s->facts.fields[f].name, port->name, length) && s->facts.fields[f].name[length] == 0)
                from = colon ? masks[f] : values[f];
        if (!from) {
            anl_diagnostic *d =
                anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, "the recipe needs `%s`, and nothing was fed for it", port->name);
            anl_diagnostic_note(diagnostics, d, "anlage run takes it from --feed %s=file.h5:/path", port->name);
            return ANL_ERROR_ARGUMENT;
        }
        anl_status status = anl_session_feed_input(s, phase, i, from, diagnostics);
        if (status)
            return status;
    }
    return ANL_OK;
}

anl_status anl_session_step(anl_session *s, anl_phase *phase, int64_t step, anl_diagnostics *diagnostics)
{
    double few[64], *scalars = phase->program->scalar_count <= 64 ? few : anl_malloc(sizeof(double) * (size_t)phase->program->scalar_count);
    anl_program_scalars(phase->program, step, s->epoch_steps, (double)s->total_steps, scalars);
    anl_status status = anl_exec_run(phase->exec, step, scalars, diagnostics);
    if (scalars != few)
        free(scalars);
    return status;
}

int anl_session_output(const anl_phase *phase, const char *name)
{
    for (int i = 0; i < phase->program->output_count; i++)
        if (!strcmp(phase->program->outputs[i].name, name))
            return i;
    return -1;
}

anl_status anl_session_fetch(anl_session *s, anl_phase *phase, int output, int64_t step, double *out, anl_diagnostics *diagnostics)
{
    const anl_program *program = phase->program;
    const anl_port *port = &program->outputs[output];
    if (port->buffer < 0) {
        double *scalars = anl_malloc(sizeof(double) * (size_t)program->scalar_count);
        anl_program_scalars(program, step, s->epoch_steps, (double)s->total_steps, scalars);
        *out = scalars[port->scalar];
        free(scalars);
        return ANL_OK;
    }
    const anl_buffer *buffer = &program->buffers[port->buffer];
    double few[32];
    void *bytes = buffer->bytes <= (int64_t)sizeof few ? (void *)few : malloc((size_t)buffer->bytes);
    if (!bytes)
        return out_of_memory(diagnostics, port->name, (size_t)buffer->bytes);
    anl_status status = anl_exec_fetch(phase->exec, output, bytes, buffer->bytes, diagnostics);
    if (!status) {
        int64_t count = anl_port_count(port);
        walk w = {.size = port->size, .stride = port->stride, .rank = port->rank, .offset = port->base};
        for (int64_t e = 0; e < count; e++, walk_next(&w))
            out[e] = port->dtype != ANL_F32 ? ((int32_t *)bytes)[w.offset] : program->f64 ? ((double *)bytes)[w.offset] : ((float *)bytes)[w.offset];
    }
    if (bytes != few)
        free(bytes);
    return status;
}

anl_status anl_session_state_read(anl_session *s, void **bytes, anl_diagnostics *diagnostics)
{
    *bytes = malloc(s->layout->bytes > 0 ? (size_t)s->layout->bytes : 1);
    if (!*bytes)
        return out_of_memory(diagnostics, "a copy of the weights", (size_t)s->layout->bytes);
    if (s->layout->bytes == 0)
        return ANL_OK;
    anl_status status = anl_memory_read(s->memory, 0, *bytes, s->layout->bytes, diagnostics);
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

anl_status anl_session_state_write(anl_session *s, const void *bytes, anl_diagnostics *diagnostics)
{
    return s->layout->bytes == 0 ? ANL_OK : anl_memory_write(s->memory, 0, bytes, s->layout->bytes, diagnostics);
}

void anl_place_get(const anl_session *s, const void *state, int place, void *out)
{
    const anl_state_place *p = &s->layout->places[place];
    const char *from = (const char *)state + p->offset;
    walk w = {.size = p->size, .stride = p->stride, .rank = p->rank};
    for (int64_t e = 0; e < p->count; e++, walk_next(&w)) {
        if (p->dtype != ANL_F32)
            ((int32_t *)out)[e] = ((const int32_t *)(const void *)from)[w.offset];
        else
            ((float *)out)[e] = s->layout->f64 ? (float)((const double *)(const void *)from)[w.offset] : ((const float *)(const void *)from)[w.offset];
    }
}

void anl_place_set(const anl_session *s, void *state, int place, const void *in)
{
    const anl_state_place *p = &s->layout->places[place];
    char *to = (char *)state + p->offset;
    walk w = {.size = p->size, .stride = p->stride, .rank = p->rank};
    for (int64_t e = 0; e < p->count; e++, walk_next(&w)) {
        if (p->dtype != ANL_F32)
            ((int32_t *)(void *)to)[w.offset] = ((const int32_t *)in)[e];
        else if (s->layout->f64)
            ((double *)(void *)to)[w.offset] = (double)((const float *)in)[e];
        else
            ((float *)(void *)to)[w.offset] = ((const float *)in)[e];
    }
}
