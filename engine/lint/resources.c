/* What a recipe needs of a device, and whether it fits one.
 * In: a recipe, limits. Out: diagnostics A0706, A1201, A1202; the largest batch that fits.
 * The need grows nearly linearly with the batch, so a few compilations along the straight line find the largest batch exactly. */
#include "lint/resources.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- described devices ---- */
typedef struct word {
    const char *name;
    int64_t least; /* what kernels need; 0: any */
    bool bytes;
} word;
static const word words[] = {
    {"memory", 0, true}, {"storage_range", 0, true}, {"shared_memory", 16384, true}, {"invocations", 128, false}};

static anl_status wrong_word(anl_diagnostics *diagnostics, const char *text, const char *at, size_t length, const char *format,
                             ...) ANL_PRINTF(5, 6);
static anl_status wrong_word(anl_diagnostics *diagnostics, const char *text, const char *at, size_t length, const char *format,
                             ...)
{
    anl_text message = {0};
    va_list args;
    va_start(args, format);
    anl_text_vprintf(&message, format, args);
    va_end(args);
    anl_diagnostics_source(diagnostics, "--assume", text, strlen(text));
    anl_span span = {.file = "--assume", .line = 1, .column = (int)(at - text) + 1, .length = length ? (int)length : 1};
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_assume_invalid, span, "%s", message.data);
    const char *names[ANL_COUNT(words)];
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        names[i] = words[i].name;
    char *name = strndup(at, strcspn(at, "=,"));
    const char *near = name ? anl_nearest(name, names, (int)ANL_COUNT(words)) : NULL;
    if (near && strcmp(near, name))
        anl_diagnostic_suggest(diagnostics, d, "did you mean `%s`?", near);
    free(name);
    anl_text_free(&message);
    return ANL_ERROR_ARGUMENT;
}

anl_status anl_assume_parse(const char *text, anl_diagnostics *diagnostics, anl_limits *out)
{
    *out = (anl_limits){.name = "the assumed device"};
    anl_status status = ANL_OK;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ","), name = strcspn(at, "=,");
        const word *w = NULL;
        for (size_t i = 0; i < ANL_COUNT(words); i++)
            if (strlen(words[i].name) == name && !strncmp(words[i].name, at, name))
                w = &words[i];
        const char *end = at;
        int64_t value = w && at[name] == '=' ? anl_bytes_parse(at + name + 1, &end) : -1;
        if (!w)
            status = wrong_word(diagnostics, text, at, name,
                                "`%.*s` is nothing that a device is judged by: memory, storage_range, shared_memory, invocations",
                                (int)name, at);
        else if (value <= 0 || end != at + length)
            status =
                wrong_word(diagnostics, text, at, length,
                           w->bytes ? "`%s` is a number of bytes, such as `%s=8GiB`" : "`%s` is a whole number, such as `%s=256`",
                           w->name, w->name);
        else if (value < w->least)
            status = wrong_word(diagnostics, text, at, length,
                                w->bytes ? "kernels need %lld bytes of %s, which Vulkan guarantees; no device has less"
                                         : "kernels need %lld %s in a workgroup, which Vulkan guarantees; no device has less",
                                (long long)w->least, w->name);
        else if (w == &words[0])
            out->memory = value;
        else if (w == &words[1])
            out->storage_range = value;
        at += length;
        at += *at == ',';
    }
    if (!*text)
        status = wrong_word(diagnostics, text, text, 1, "--assume describes a device: memory=8GiB,storage_range=128MiB");
    return status;
}

/* ---- footprints ---- */
void anl_footprint_add(anl_footprint *f, const anl_program *p, int64_t storage_range)
{
    f->state = p->space_bytes[ANL_SPACE_STATE];
    if (p->space_bytes[ANL_SPACE_TEMP] > f->planned)
        f->planned = p->space_bytes[ANL_SPACE_TEMP];
    f->edges += p->space_bytes[ANL_SPACE_INPUT] + p->space_bytes[ANL_SPACE_OUTPUT] + p->space_bytes[ANL_SPACE_TABLE];
    f->partials += anl_program_partials(p);
    f->total = f->state + f->planned + f->edges + f->partials;
    bool *bound = calloc((size_t)p->buffer_count + 1, sizeof *bound);
    for (int i = 0; i < p->kernel_count && bound; i++)
        for (int a = 0; a < p->kernels[i].arg_count; a++)
            bound[p->kernels[i].args[a].buffer] = true;
    for (int i = 0; i < p->buffer_count && bound; i++) {
        if (!bound[i])
            continue;
        const anl_buffer *b = &p->buffers[i];
        f->larger += storage_range > 0 && b->bytes > storage_range;
        if (b->bytes > f->largest) {
            f->largest = b->bytes;
            f->largest_name = b->name;
            f->largest_span = b->span;
        }
    }
    free(bound);
}

bool anl_footprint_fits(const anl_footprint *f, const anl_limits *l)
{
    return (!l->memory || f->total <= l->memory) && (!l->storage_range || f->largest <= l->storage_range);
}

bool anl_trains_with_evaluation(const anl_static_recipe *facts)
{
    return facts->metric_count > 0 && facts->evaluate_every > 0 && facts->shards[1];
}

/* ---- everything that a recipe becomes ---- */
static anl_status trace_into(anl_built *b, const anl_recipe *recipe, double epoch_steps, anl_trace_mode mode, int64_t step,
                             int *capacity, anl_diagnostics *diagnostics)
{
    anl_trace_options options = {
        .mode = mode, .epoch_steps = epoch_steps, .phase_step = step, .seed = -1, .census = b->count ? b->traced[0] : NULL};
    anl_traced *traced = NULL;
    anl_status status = anl_trace(recipe, &options, diagnostics, &traced);
    if (status == ANL_OK)
        ANL_PUSH(b->arena, b->traced, b->count, *capacity, traced);
    else
        anl_traced_free(&traced);
    return status;
}

anl_status anl_build(const anl_recipe *recipe, double epoch_steps, anl_diagnostics *diagnostics, anl_built *out)
{
    *out = (anl_built){.arena = anl_arena_new()};
    int capacity = 0, first_capacity = 0, first_count = 0;
    anl_status status = ANL_OK;
    for (int64_t step = 0; recipe->loss_count && status == ANL_OK && step < INT64_MAX;) {
        status = trace_into(out, recipe, epoch_steps, ANL_TRACE_TRAIN, step, &capacity, diagnostics);
        if (status != ANL_OK)
            break;
        ANL_PUSH(out->arena, out->first_step, first_count, first_capacity, step);
        out->phases = out->count;
        int64_t next = INT64_MAX; /* a later phase may know boundaries that an earlier one's branches hid */
        for (int i = 0; i < out->phases; i++) {
            int64_t at = anl_traced_next_phase(out->traced[i], step);
            next = at < next ? at : next;
        }
        step = next < out->traced[0]->total_steps ? next : INT64_MAX;
    }
    if (status == ANL_OK)
        status = trace_into(out, recipe, epoch_steps, ANL_TRACE_EVALUATE, INT64_MAX / 4, &capacity, diagnostics);
    if (status == ANL_OK)
        status = trace_into(out, recipe, epoch_steps, ANL_TRACE_INITIALIZE, 0, &capacity, diagnostics);
    anl_static_recipe facts = {0};
    if (status == ANL_OK)
        status = anl_trace_static(recipe, out->arena, diagnostics, &facts);
    if (status == ANL_OK) {
        out->evaluates = anl_trains_with_evaluation(&facts);
        anl_graph **graphs = ANL_NEW_ARRAY(out->arena, anl_graph *, out->count);
        for (int i = 0; i < out->count; i++)
            graphs[i] = out->traced[i]->graph;
        status = anl_state_layout_new(graphs, out->count, false, diagnostics, &out->layout);
    }
    out->programs = ANL_NEW_ARRAY(out->arena, anl_program *, out->count + 1);
    return status;
}

anl_status anl_built_compile(anl_built *b, int which, const anl_compile_options *options, anl_diagnostics *diagnostics)
{
    anl_status status = ANL_OK;
    for (int i = 0; i + 1 < b->count && status == ANL_OK; i++)
        if ((which < 0 || which == i) && !b->programs[i])
            status = anl_compile(b->traced[i]->graph, b->layout, options, diagnostics, &b->programs[i]);
    return status;
}

void anl_built_free(anl_built *b)
{
    for (int i = b->count - 1; i >= 0; i--) { /* the later ones lean on the first's census */
        if (b->programs)
            anl_program_free(&b->programs[i]);
        anl_traced_free(&b->traced[i]);
    }
    anl_state_layout_free(&b->layout);
    anl_arena_free(&b->arena);
    *b = (anl_built){0};
}

anl_footprint anl_built_footprint(const anl_built *b, const anl_limits *limits)
{
    anl_footprint training = {0}, evaluation = {0};
    anl_footprint_add(&evaluation, b->programs[b->phases], limits->storage_range);
    for (int i = 0; i < b->phases + b->evaluates; i++)
        anl_footprint_add(&training, b->programs[i], limits->storage_range);
    return training.total >= evaluation.total ? training : evaluation;
}

static const char *biggest_of(const anl_built *b, anl_arena *arena)
{
    int most = 0;
    for (int i = 1; i + 1 < b->count; i++)
        if (b->programs[i]->space_bytes[ANL_SPACE_TEMP] > b->programs[most]->space_bytes[ANL_SPACE_TEMP])
            most = i;
    return anl_cost_biggest(arena, b->traced[most]->graph, b->layout, b->programs[most]);
}

/* ---- the largest batch ---- */
static const anl_param *batch_param(const anl_recipe *recipe)
{
    for (int i = 0; i < recipe->param_count; i++)
        if (!strcmp(recipe->params[i].name, "batch"))
            return &recipe->params[i];
    return NULL;
}

static int64_t bound(const anl_expression *e, int64_t otherwise)
{
    return e && e->kind == ANL_E_NUMBER && e->number >= 1 && e->number < 1e9 ? (int64_t)e->number : otherwise;
}

int64_t anl_batch_limit(const anl_recipe *recipe)
{
    const anl_param *param = batch_param(recipe);
    return bound(param ? param->high : NULL, 1 << 20);
}

/* The share of the limits that is used: at most 1 where it fits. */
static double share_used(const anl_footprint *f, const anl_limits *l)
{
    double memory = l->memory ? (double)f->total / (double)l->memory : 0;
    double range = l->storage_range ? (double)f->largest / (double)l->storage_range : 0;
    return memory > range ? memory : range;
}

/* The same with another batch; infinite where the recipe does not hold for it. */
static double share_with(const anl_recipe *recipe, int64_t batch, double epoch_steps, const anl_limits *limits)
{
    anl_arena *arena = anl_arena_new();
    anl_recipe other = *recipe;
    other.params = ANL_NEW_ARRAY(arena, anl_param, recipe->param_count);
    memcpy(other.params, recipe->params, sizeof(anl_param) * (size_t)recipe->param_count);
    anl_param *param = &other.params[batch_param(recipe) - recipe->params];
    anl_expression *value = ANL_NEW(arena, anl_expression);
    *value = (anl_expression){.kind = ANL_E_NUMBER, .span = param->value_span, .number = (double)batch, .integer = true};
    param->value = value;
    anl_diagnostics *unheard = anl_diagnostics_new(); /* a batch that cannot be is none that fits */
    anl_built built;
    double used = INFINITY;
    if (anl_build(&other, epoch_steps, unheard, &built) == ANL_OK && anl_built_compile(&built, -1, NULL, unheard) == ANL_OK) {
        anl_footprint needs = anl_built_footprint(&built, limits);
        used = share_used(&needs, limits);
    }
    anl_built_free(&built);
    anl_diagnostics_free(&unheard);
    anl_arena_free(&arena);
    return used;
}

int64_t anl_largest_batch(const anl_recipe *recipe, double epoch_steps, const anl_limits *limits, const anl_footprint *needs)
{
    enum { TRIES = 16 };
    const anl_param *param = batch_param(recipe);
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *unheard = anl_diagnostics_new(); /* it was traced before */
    anl_static_recipe facts = {0};
    anl_status known = anl_trace_static(recipe, arena, unheard, &facts);
    anl_diagnostics_free(&unheard);
    anl_arena_free(&arena);
    if (!param || known != ANL_OK)
        return -1;
    const int64_t least = bound(param->low, 1), most = anl_batch_limit(recipe);
    /* low fits (or is below the range), high does not (or is above it) */
    int64_t low = least - 1, high = most + 1, batch = facts.batch;
    double low_used = limits->memory ? (double)needs->state / (double)limits->memory : 0, high_used = INFINITY,
           used = share_used(needs, limits);
    int64_t low_at = 0; /* where low_used was found */
    for (int i = 0; i < TRIES; i++) {
        if (used <= 1) {
            low = low_at = batch;
            low_used = used;
        } else {
            high = batch;
            high_used = used;
        }
        if (high - low <= 1)
            break;
        double next;
        if (isfinite(high_used))
            next = (double)low_at + (1 - low_used) / (high_used - low_used) * (double)(high - low_at);
        else if (high <= most)
            next = 0.5 * (double)(low + high);
        else /* from the state alone, which has no batch, through what fits */
            next = (double)batch * (1 - (limits->memory ? (double)needs->state / (double)limits->memory : 0)) /
                   fmax(used - (limits->memory ? (double)needs->state / (double)limits->memory : 0), 1e-9);
        batch = !(next > (double)low + 1) ? low + 1 : next > (double)high - 1 ? high - 1 : (int64_t)next;
        used = share_with(recipe, batch, epoch_steps, limits);
    }
    return low < least ? 0 : low;
}

/* ---- reports ---- */
static void suggest_batch(const anl_recipe *recipe, double epoch_steps, const anl_limits *limits, const anl_footprint *needs,
                          anl_diagnostics *diagnostics, anl_diagnostic *d)
{
    int64_t batch = epoch_steps < 0 ? -1 : anl_largest_batch(recipe, epoch_steps, limits, needs);
    const anl_param *param = batch_param(recipe);
    if (batch > 0) {
        anl_diagnostic_suggest(diagnostics, d, "the largest batch that fits is %lld: --set batch=%lld", (long long)batch,
                               (long long)batch);
        if (param->value_span.line && strncmp(param->value_span.file, "--", 2)) {
            char text[24];
            snprintf(text, sizeof text, "%lld", (long long)batch);
            anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_MAYBE, "a batch of %lld", (long long)batch),
                         param->value_span, text);
        }
    } else if (batch == 0) {
        anl_diagnostic_suggest(diagnostics, d,
                               "no batch fits; narrower layers, smaller images, fewer views or a shorter queue need less");
    }
}

void anl_resources_report(const anl_recipe *recipe, double epoch_steps, const anl_limits *limits, const anl_footprint *needs,
                          const char *biggest, anl_diagnostics *diagnostics)
{
    char bytes[32], limit[32], state[32], planned[32], edges[32];
    const anl_param *param = batch_param(recipe);
    anl_span where = param ? (param->value_span.line ? param->value_span : param->span) : recipe->span;
    if (limits->memory && needs->total > limits->memory) {
        anl_bytes_text((double)needs->total, bytes);
        anl_bytes_text((double)limits->memory, limit);
        anl_bytes_text((double)needs->state, state);
        anl_bytes_text((double)needs->planned, planned);
        anl_bytes_text((double)(needs->edges + needs->partials), edges);
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_memory_exceeded, where,
                         "with this batch the recipe needs %s of memory, and %s has %s", bytes, limits->name, limit);
        anl_diagnostic_note(diagnostics, d,
                            "%s for intermediate values, %s of weights and other state, %s of inputs, outputs and partial sums",
                            planned, state, edges);
        if (biggest)
            anl_diagnostic_note(diagnostics, d, "most of it in %s", biggest);
        suggest_batch(recipe, epoch_steps, limits, needs, diagnostics, d);
    }
    if (limits->storage_range && needs->largest > limits->storage_range) {
        anl_bytes_text((double)needs->largest, bytes);
        anl_bytes_text((double)limits->storage_range, limit);
        anl_span at = needs->largest_span.line ? needs->largest_span : where;
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_device_range, at, "the tensor `%s` takes %s, and %s binds at most %s at once",
                         needs->largest_name ? needs->largest_name : "", bytes, limits->name, limit);
        if (needs->larger > 1)
            anl_diagnostic_note(diagnostics, d, "%d tensors are larger than that; this is the largest", needs->larger);
        if (where.line && strncmp(where.file, "--", 2))
            anl_diagnostic_label(diagnostics, d, where, "the batch");
        suggest_batch(recipe, epoch_steps, limits, needs, diagnostics, d);
    }
}

void anl_lint_resources(anl_lint_pass *pass)
{
    anl_limits limits;
    if (!pass->options->assume || anl_assume_parse(pass->options->assume, pass->diagnostics, &limits) != ANL_OK || !pass->sound ||
        pass->recipe->library)
        return;
    anl_built built;
    if (anl_build(pass->recipe, 0, pass->diagnostics, &built) == ANL_OK &&
        anl_built_compile(&built, -1, NULL, pass->diagnostics) == ANL_OK) {
        anl_footprint needs = anl_built_footprint(&built, &limits);
        if (!anl_footprint_fits(&needs, &limits))
            anl_resources_report(pass->recipe, 0, &limits, &needs, biggest_of(&built, pass->arena), pass->diagnostics);
    }
    anl_built_free(&built);
}
