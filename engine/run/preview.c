/* Preview sheets: real samples beside the views that a recipe makes of them.
 * In: a recipe, its shards, a device. Out: a sheet, written as PNG or HTML.
 * The samples and draws are those of training's first step: the batch is cut down to what is shown, which changes neither, as a
 * draw depends on (seed, path, step, sample in the batch) alone. For strengths the draws become inputs, and each sample of the
 * batch is one strength. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/shard_sample.h"
#include "run/preview.h"

static const anl_span nowhere;

enum { LOW, MIDDLE, HIGH, STRENGTHS, MOST_COPY_AXES = 4 };

/* A view and how its copies are told apart. */
typedef struct view {
    const char *name;
    int output;
    const anl_port *port;
    bool image;
    int rank[5]; /* of batch, channel, z, y, x in the port's axes; -1: it has none */
    const char *copy_axes[MOST_COPY_AXES];
    int copy_rank[MOST_COPY_AXES], copy_count, copies;
    view_draws draws;
    double *values;
    grey_window window;
} view;

typedef struct preview {
    const anl_preview_options *options;
    anl_diagnostics *diagnostics;
    anl_session *session;
    anl_dataset *data;
    anl_loader *loader;
    const anl_batch *batch;
    view *views;
    int view_count;
    anl_sample *samples;
    grey_window *sample_windows;
    int sample_count, batch_size;
    float **values, **masks; /* the batch as it is fed */
    float *unit_values;      /* room for one draw of all of the batch */
    size_t unit_capacity;
    const char *group;      /* strengths: the one whose draws change … */
    const char *group_view; /* … in this view … */
    int shared;             /* … at this strength where they are one for all samples … */
    bool at_positions;      /* … and who draws at every position only, so that there is no range to go through */
    sheet sheet;
    int columns;
} preview;

anl_status sheet_cannot_write(const char *path, const char *why, anl_diagnostics *diagnostics)
{
    anl_diagnose(diagnostics, ANL_A_preview_output, nowhere, "%s cannot be written: %s", path, why);
    return ANL_ERROR_FILE;
}

void sheet_free(sheet *s)
{
    for (int r = 0; r < s->row_count; r++)
        for (int c = 0; c < s->rows[r].cell_count; c++)
            for (int p = 0; p < s->rows[r].cells[c].picture_count; p++)
                free(s->rows[r].cells[c].pictures[p].pixels);
    s->row_count = 0;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t a = strlen(text), b = strlen(end);
    return a > b && !strcmp(text + a - b, end);
}

static anl_status no_memory(preview *p, const char *what)
{
    anl_diagnose(p->diagnostics, ANL_A_device_memory, nowhere, "not enough memory for %s", what);
    return ANL_ERROR_MEMORY;
}

/* What can be known before the work begins. */
static anl_status check_output(const anl_preview_options *o, anl_diagnostics *diagnostics)
{
    const bool png = ends_with(o->out, ".png");
    if (!png && !ends_with(o->out, ".html")) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_preview_output, nowhere, "`%s` does not end with .png or .html", o->out);
        anl_diagnostic_suggest(diagnostics, d, "-o sheet.png or -o sheet.html");
        return ANL_ERROR_ARGUMENT;
    }
    const char *slash = strrchr(o->out, '/');
    char folder[4096] = ".";
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - o->out + 1), o->out);
    if (access(folder, W_OK | X_OK) != 0)
        return sheet_cannot_write(o->out, strerror(errno), diagnostics);
    return png ? sheet_png_ready(o->out, diagnostics) : ANL_OK;
}

/* Opens the recipe with a batch of as many samples as the sheet needs, or as few as the recipe's range allows. */
static anl_status open_session(preview *p, int wanted)
{
    anl_run_source source = p->options->source;
    anl_status status = anl_session_open(&source, p->diagnostics, &p->session);
    if (status)
        return status;
    const anl_recipe *recipe = p->session->recipe;
    int size = wanted;
    for (int i = 0; i < recipe->param_count; i++) {
        const anl_expression *low = strcmp(recipe->params[i].name, "batch") ? NULL : recipe->params[i].low;
        if (low && low->kind == ANL_E_NUMBER && low->number > size)
            size = (int)low->number;
    }
    if (size != p->session->facts.batch) {
        char text[32];
        const char **overrides = anl_malloc(sizeof *overrides * (size_t)(source.override_count + 1));
        for (int i = 0; i < source.override_count; i++)
            overrides[i] = source.overrides[i];
        snprintf(text, sizeof text, "batch=%d", size);
        overrides[source.override_count++] = text;
        source.overrides = overrides;
        anl_session_free(&p->session);
        status = anl_session_open(&source, p->diagnostics, &p->session);
        free(overrides);
    }
    if (status)
        return status;
    p->batch_size = p->session->facts.batch;
    p->session->seed = p->options->seed;
    if (p->options->seed >= 0)
        p->session->facts.seed = p->options->seed;
    return ANL_OK;
}

/* Knows the draws of all views, and for strengths makes them inputs of the program. */
static void rewrite(void *context, anl_graph *graph)
{
    preview *p = context;
    anl_arena *arena = p->session->arena;
    for (int v = 0; v < p->view_count; v++)
        for (int o = 0; o < graph->output_count; o++)
            if (!strcmp(graph->outputs[o].name, p->views[v].name))
                draws_find(graph, graph->outputs[o].node, p->views[v].name, p->session->recipe, p->diagnostics, arena,
                           &p->views[v].draws);
    for (int i = 0; p->options->strength && i < graph->node_count; i++) {
        anl_node *node = graph->nodes[i];
        if (node->op != ANL_OP_UNIFORM && node->op != ANL_OP_NORMAL)
            continue;
        node->op = ANL_OP_FIELD;
        node->attrs.name = anl_arena_printf(graph->arena, "draw:%d", i);
    }
}

/* Finds the axes of a view's output. */
static void know_axes(view *v)
{
    static const char *const names[] = {"batch", "channel", "z", "y", "x"};
    const anl_port *port = v->port;
    v->copies = 1;
    for (int k = 0; k < 5; k++)
        v->rank[k] = -1;
    v->image = port->dtype == ANL_F32 && port->buffer >= 0;
    for (int a = 0; a < port->rank; a++) {
        if (!axis_of_copies(port->axis[a])) {
            for (int k = 0; k < 5; k++)
                if (!strcmp(port->axis[a], names[k]))
                    v->rank[k] = a;
        } else if (v->copy_count == MOST_COPY_AXES) {
            v->image = false;
        } else {
            v->copy_axes[v->copy_count] = port->axis[a];
            v->copy_rank[v->copy_count++] = a;
            v->copies *= port->size[a];
        }
    }
    v->image = v->image && v->rank[3] >= 0 && v->rank[4] >= 0;
}

static bool reads_state(const anl_program *program)
{
    for (int k = 0; k < program->kernel_count; k++)
        for (int a = 0; a < program->kernels[k].arg_count; a++)
            if (program->kernels[k].args[a].read && program->buffers[program->kernels[k].args[a].buffer].space == ANL_SPACE_STATE)
                return true;
    return false;
}

static anl_status prepare(preview *p)
{
    anl_session *s = p->session;
    const anl_recipe *recipe = s->recipe;
    const char **names = ANL_NEW_ARRAY(s->arena, const char *, recipe->view_count + 1);
    p->views = ANL_NEW_ARRAY(s->arena, view, recipe->view_count + 1);
    p->view_count = recipe->view_count;
    for (int i = 0; i < recipe->view_count; i++)
        names[i] = p->views[i].name = recipe->views[i].name;
    if (!recipe->view_count) {
        anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_preview_empty, recipe->span, "the recipe has no `views:` to show");
        anl_diagnostic_suggest(p->diagnostics, d, "make views of a field, such as `views: {global: [image, …]}`");
        return ANL_ERROR_ARGUMENT;
    }
    s->rewrite = rewrite;
    s->rewrite_context = p;
    anl_status status =
        anl_session_prepare(s, &p->options->source, ANL_PREPARE_TRAIN, 1000, names, recipe->view_count, p->diagnostics);
    if (!status && reads_state(s->phases[0].program))
        status = anl_session_initialize(s, p->diagnostics);
    int images = 0;
    for (int i = 0; i < p->view_count && !status; i++) {
        view *v = &p->views[i];
        v->output = anl_session_output(&s->phases[0], v->name);
        v->port = v->output >= 0 ? &s->phases[0].program->outputs[v->output] : NULL;
        if (v->port)
            know_axes(v);
        images += v->image;
    }
    if (!status && !images) {
        anl_diagnose(p->diagnostics, ANL_A_preview_empty, recipe->views[0].span,
                     "none of the recipe's views is an image with the axes y and x");
        return ANL_ERROR_ARGUMENT;
    }
    return status;
}

/* ---- samples ---- */

static anl_status read_samples(preview *p, int wanted)
{
    static const char *const splits[] = {"train", "valid", "test"};
    anl_session *s = p->session;
    int split = -1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(p->options->split ? p->options->split : "train", splits[i]))
            split = i;
    if (split < 0) {
        anl_diagnose(p->diagnostics, ANL_A_preview_empty, nowhere, "there is no split `%s`; there are train, valid and test",
                     p->options->split);
        return ANL_ERROR_ARGUMENT;
    }
    anl_status status = anl_session_dataset(s, split, p->diagnostics, &p->data);
    if (status)
        return status;
    const int64_t count = anl_dataset_count(p->data);
    p->sample_count = wanted < count ? wanted : (int)count;
    p->samples = ANL_NEW_ARRAY(s->arena, anl_sample, p->sample_count + 1);
    const anl_loader_options loader = {.batch = p->sample_count, .seed = (uint64_t)s->facts.seed, .ahead = 1};
    if (p->sample_count == 0) {
        anl_diagnose(p->diagnostics, ANL_A_preview_empty, nowhere, "the shards of `%s` hold no samples", splits[split]);
        return ANL_ERROR_ARGUMENT;
    }
    status = anl_loader_new(p->data, &loader, p->diagnostics, &p->loader);
    if (!status)
        status = anl_loader_next(p->loader, &p->batch, p->diagnostics);
    for (int i = 0; i < p->sample_count && !status; i++) {
        int64_t row = 0;
        const char *shard = anl_dataset_place(p->data, p->batch->samples[i], &row);
        status = anl_sample_read(shard, row, s->arena, &p->samples[i], p->diagnostics);
    }
    p->sheet.title = anl_arena_printf(s->arena, "%s", s->recipe->title ? s->recipe->title : p->options->source.spec);
    ANL_PUSH(s->arena, p->sheet.lines, p->sheet.line_count, p->sheet.line_capacity,
             anl_arena_printf(s->arena, "%d of %lld samples of %s, in training order; draws as in its first step; seed %lld",
                              p->sample_count, (long long)count, splits[split], (long long)s->facts.seed));
    return status;
}

/* The batch as it is fed: for strengths every sample of it is sample `only`, else each its own, the last one again where there
 * are more. */
static anl_status fill_batch(preview *p, int only)
{
    const anl_static_recipe *facts = &p->session->facts;
    if (!p->values) {
        p->values = ANL_NEW_ARRAY(p->session->arena, float *, facts->field_count + 1);
        p->masks = ANL_NEW_ARRAY(p->session->arena, float *, facts->field_count + 1);
    }
    for (int f = 0; f < facts->field_count; f++) {
        size_t count = 1;
        for (int a = 0; a < facts->fields[f].rank; a++)
            count *= (size_t)facts->fields[f].size[a];
        for (int mask = 0; mask < 2; mask++) {
            float **to = mask ? &p->masks[f] : &p->values[f];
            const float *from = mask ? p->batch->masks[f] : p->batch->values[f];
            if (!from)
                continue;
            if (!*to && !(*to = malloc(sizeof **to * count * (size_t)p->batch_size)))
                return no_memory(p, "a batch");
            for (int i = 0; i < p->batch_size; i++) {
                const int sample = only >= 0 ? only : i < p->sample_count ? i : p->sample_count - 1;
                memcpy(*to + (size_t)i * count, from + (size_t)sample * count, sizeof **to * count);
            }
        }
    }
    return ANL_OK;
}

/* ---- draws ---- */

/* What is drawn in an ordinary step: the device's own. */
static double drawn(void *context, const view_draw *d, int64_t element, int64_t sample)
{
    (void)context;
    return draw_value(&d->shape, element, sample, 0);
}

static bool in_group(const preview *p, const char *view, const view_draw *d)
{
    return p->group && !strcmp(p->group_view, view) && !strcmp(p->group, d->group);
}

/* What a draw is set to for strengths: `sample` says which. Ranges at their ends for the group that is shown, in the middle for
 * all others. A chance happens for what lies within its call, and in its own group in the middle and high; else not. What is
 * drawn at every position stays random in its own group, equal for all strengths (or, where there is nothing else, off, drawn,
 * and drawn again), and in the middle elsewhere. Several normal values fall or rise: all alike would often be no change, as of a
 * curve's slopes. */
static double forced(const preview *p, const char *view, const view_draw *d, int64_t element, int64_t sample)
{
    const double last = 1 - 0x1p-24;
    const bool normal = d->shape.op == ANL_OP_NORMAL, own = in_group(p, view, d);
    if (d->condition) {
        const bool inner = p->group && !strcmp(p->group_view, view) && group_within(p->group, d->group);
        return inner || (own && sample != LOW) ? 0 : last;
    }
    if (own && !d->few && !(p->at_positions && sample == LOW))
        return draw_value(&d->shape, element, p->at_positions && sample == HIGH, 0);
    if (!own || !d->few || sample == MIDDLE || sample >= STRENGTHS)
        return normal ? 0 : 0.5;
    if (!normal)
        return sample == LOW ? 0 : last;
    const double most = d->values > 1 ? 2.0 * (double)draw_place(d, element) / (double)(d->values - 1) - 1 : 1;
    return sample == LOW ? -most : most;
}

typedef struct setting {
    const preview *p;
    const char *view;
} setting;

static double set_value(void *context, const view_draw *d, int64_t element, int64_t sample)
{
    const setting *s = context;
    return forced(s->p, s->view, d, element, d->shape.attrs.axis[0] >= 0 ? sample : s->p->shared);
}

/* Feeds one draw that has become an input. */
static anl_status feed_draw(preview *p, anl_phase *phase, int input, const char *view, const view_draw *d)
{
    const anl_port *port = &phase->program->inputs[input];
    const anl_node *n = &d->shape;
    const int64_t count = anl_port_count(port);
    if (p->unit_capacity < (size_t)count) {
        float *more = realloc(p->unit_values, sizeof *more * (size_t)count);
        if (!more)
            return no_memory(p, "the draws");
        p->unit_values = more;
        p->unit_capacity = (size_t)count;
    }
    int32_t at[ANL_MAX_DIMS] = {0};
    int64_t step[ANL_MAX_DIMS] = {0}, scale = 1;
    int batch = -1;
    for (int a = n->attrs.over_count - 1; a >= 0; a--) {
        const int position = anl_node_axis(n, n->attrs.over[a]);
        step[position] = scale;
        scale *= n->axes[position].size;
    }
    if (n->attrs.axis[0] >= 0)
        batch = anl_node_axis(n, n->attrs.axis[0]);
    for (int64_t e = 0; e < count; e++) {
        int64_t element = 0;
        for (int a = 0; a < port->rank; a++)
            element += at[a] * step[a];
        p->unit_values[e] = (float)forced(p, view, d, element, batch >= 0 ? at[batch] : p->shared);
        for (int a = port->rank - 1; a >= 0 && ++at[a] == port->size[a]; a--)
            at[a] = 0;
    }
    return anl_session_feed_input(p->session, phase, input, p->unit_values, p->diagnostics);
}

static anl_status feed(preview *p, anl_phase *phase)
{
    if (!p->options->strength)
        return anl_session_feed(p->session, phase, p->values, p->masks, p->diagnostics);
    anl_status status = ANL_OK;
    for (int i = 0; i < phase->program->input_count && !status; i++) {
        const char *name = phase->program->inputs[i].name;
        if (strncmp(name, "draw:", 5)) {
            const char *colon = strchr(name, ':');
            const size_t length = colon ? (size_t)(colon - name) : strlen(name);
            for (int f = 0; f < p->session->facts.field_count && !status; f++)
                if (!strncmp(p->session->facts.fields[f].name, name, length) && !p->session->facts.fields[f].name[length])
                    status = anl_session_feed_input(p->session, phase, i, colon ? p->masks[f] : p->values[f], p->diagnostics);
            continue;
        }
        /* The view that is shown first: a draw that several views share belongs to its group there. */
        const view_draw *found = NULL;
        const char *of = "";
        for (int v = 0; v < p->view_count; v++)
            for (int d = 0; d < p->views[v].draws.count; d++) {
                const view_draw *draw = &p->views[v].draws.draws[d];
                if (!strcmp(draw->node->attrs.name, name) && (!found || in_group(p, p->views[v].name, draw))) {
                    found = draw;
                    of = p->views[v].name;
                }
            }
        if (found)
            status = feed_draw(p, phase, i, of, found);
    }
    return status;
}

static anl_status run(preview *p)
{
    anl_phase *phase = &p->session->phases[0];
    anl_status status = feed(p, phase);
    if (!status)
        status = anl_session_step(p->session, phase, 0, p->diagnostics);
    for (int i = 0; i < p->view_count && !status; i++) {
        view *v = &p->views[i];
        if (!v->image)
            continue;
        if (!v->values && !(v->values = malloc(sizeof *v->values * (size_t)anl_port_count(v->port))))
            return no_memory(p, "the views");
        status = anl_session_fetch(p->session, phase, v->output, 0, v->values, p->diagnostics);
    }
    return status;
}

/* ---- pictures ---- */

static shown sample_shown(const anl_sample *s)
{
    const anl_shard_image *i = &s->image;
    shown w = {.values = s->voxels, .size = {i->width, i->height, i->depth}, .channels = i->channels, .channel_stride = 1};
    w.stride[0] = i->channels;
    w.stride[1] = w.stride[0] * i->width;
    w.stride[2] = w.stride[1] * i->height;
    memcpy(w.spacing, s->spacing, sizeof w.spacing);
    w.boxes = s->boxes;
    w.box_count = s->box_count;
    return w;
}

/* Places of a copy along its axes, the last axis fastest. */
static void copy_places(const view *v, int copy, int at[MOST_COPY_AXES])
{
    for (int a = v->copy_count - 1; a >= 0; a--) {
        at[a] = copy % v->port->size[v->copy_rank[a]];
        copy /= v->port->size[v->copy_rank[a]];
    }
}

static shown view_shown(const view *v, int sample, int copy)
{
    int64_t stride[ANL_MAX_DIMS], scale = 1, base = 0;
    for (int a = v->port->rank - 1; a >= 0; a--) {
        stride[a] = scale;
        scale *= v->port->size[a];
    }
    int at[MOST_COPY_AXES];
    copy_places(v, copy, at);
    for (int a = 0; a < v->copy_count; a++)
        base += at[a] * stride[v->copy_rank[a]];
    if (v->rank[0] >= 0)
        base += sample * stride[v->rank[0]];
    shown w = {.values = v->values + base, .doubles = true, .channels = v->rank[1] >= 0 ? v->port->size[v->rank[1]] : 1};
    w.channel_stride = v->rank[1] >= 0 ? stride[v->rank[1]] : 0;
    for (int i = 0; i < 3; i++) { /* x, y, z */
        const int axis = v->rank[4 - i];
        w.size[i] = axis >= 0 ? v->port->size[axis] : 1;
        w.stride[i] = axis >= 0 ? stride[axis] : 0;
    }
    return w;
}

static const char *number_range(anl_arena *arena, double low, double high, const char *unit)
{
    return anl_arena_printf(arena, "%.4g to %.4g%s%s", low, high, *unit ? " " : "", unit);
}

/* The grey levels of samples: what their values mean, one window for all of a unit. */
static bool choose_sample_windows(preview *p)
{
    anl_arena *arena = p->session->arena;
    p->sample_windows = ANL_NEW_ARRAY(arena, grey_window, p->sample_count + 1);
    value_pool pool = {0};
    double range[2] = {0, 1};
    bool good = true;
    for (int i = 0; i < p->sample_count; i++) {
        const shown w = sample_shown(&p->samples[i]);
        if (p->samples[i].image.values == ANL_VALUES_UNIT)
            good = good && pool_add(&pool, &w);
    }
    pool_range(&pool, 0.01, 0.99, range);
    pool_free(&pool);
    for (int i = 0; i < p->sample_count; i++) {
        const anl_sample *s = &p->samples[i];
        grey_window *w = &p->sample_windows[i];
        *w = (grey_window){0, 1, "black 0, white 1"};
        if (s->image.values == ANL_VALUES_RELATIVE)
            w->text = anl_arena_printf(arena, "black to white: %s, this sample's own range",
                                       number_range(arena, s->range[0], s->range[1], ""));
        if (s->image.values != ANL_VALUES_UNIT)
            continue;
        double window[2] = {p->options->window[0], p->options->window[1]};
        const char *why = "";
        if (!(window[1] > 0) && !strcmp(s->unit, "HU")) {
            window[0] = 40;
            window[1] = 400;
        } else if (!(window[1] > 0)) {
            window[0] = (range[0] + range[1]) / 2;
            window[1] = range[1] > range[0] ? range[1] - range[0] : 1;
            why = ", 1 % to 99 % of all samples here";
        }
        w->low = window[0] - window[1] / 2;
        w->high = window[0] + window[1] / 2;
        w->text = anl_arena_printf(arena, "black to white: %s%s", number_range(arena, w->low, w->high, s->unit), why);
    }
    return good;
}

/* The grey levels of a view: 0 to 1 where its values lie about there, else where most of all its images lie. The same for all
 * rows. */
static bool choose_view_windows(preview *p)
{
    bool good = true;
    for (int i = 0; i < p->view_count; i++) {
        view *v = &p->views[i];
        value_pool pool = {0};
        double range[2];
        const int samples = p->options->strength ? STRENGTHS : p->sample_count;
        for (int n = 0; v->image && n < samples && (n == 0 || v->rank[0] >= 0); n++)
            for (int c = 0; c < v->copies; c++) {
                const shown w = view_shown(v, n, c);
                good = good && pool_add(&pool, &w);
            }
        pool_range(&pool, 0.01, 0.99, range);
        pool_free(&pool);
        v->window = (grey_window){0, 1, "black 0, white 1"};
        if (range[0] < -0.25 || range[1] > 1.25) {
            v->window.low = range[0];
            v->window.high = range[1] > range[0] ? range[1] : range[0] + 1;
            v->window.text = anl_arena_printf(p->session->arena, "black to white: %s, 1 %% to 99 %% of all %s here",
                                              number_range(p->session->arena, range[0], range[1], ""), v->name);
        }
    }
    return good;
}

/* "96 x 96", x first, as sizes of pictures are given. */
static const char *size_text(anl_arena *arena, const int size[3], bool volume)
{
    return volume ? anl_arena_printf(arena, "%d x %d x %d", size[0], size[1], size[2])
                  : anl_arena_printf(arena, "%d x %d", size[0], size[1]);
}

static void say(preview *p, sheet_cell *cell, const char *text)
{
    if (*text)
        ANL_PUSH(p->session->arena, cell->lines, cell->line_count, cell->line_capacity, text);
}

static void say_boxes(preview *p, const anl_sample *s, sheet_cell *cell)
{
    enum { MOST = 12 };
    anl_text text = {0};
    for (int b = 0; b < s->box_count && b < MOST; b++)
        anl_text_printf(&text, "%s%s%s%s", b ? "; " : s->box_count > 1 ? "boxes: " : "box: ", show_colour(b), *s->boxes[b].labels ? " " : "", s->boxes[b].labels);
    if (s->box_count > MOST)
        anl_text_printf(&text, "; and %d more", s->box_count - MOST);
    say(p, cell, text.data ? anl_arena_text(p->session->arena, text.data) : "");
    anl_text_free(&text);
}

static bool sample_cell(preview *p, int sample, sheet_cell *cell)
{
    anl_arena *arena = p->session->arena;
    const anl_sample *s = &p->samples[sample];
    const shown w = sample_shown(s);
    const char *scale = "", *spacing = "";
    if (s->spacing[0] > 0 && s->spacing[1] > 0)
        spacing = s->image.volume
                      ? anl_arena_printf(arena, "%.3g x %.3g x %.3g mm a voxel", s->spacing[0], s->spacing[1], s->spacing[2])
                      : anl_arena_printf(arena, "%.3g x %.3g mm a pixel", s->spacing[0], s->spacing[1]);
    cell->title = anl_arena_printf(arena, "sample, %s", size_text(arena, w.size, s->image.volume));
    if (!show(&w, &p->sample_windows[sample], arena, cell, &scale))
        return false;
    say(p, cell, s->labels);
    say_boxes(p, s, cell);
    say(p, cell, *s->modality ? anl_arena_printf(arena, "packed as %s", s->modality) : "");
    say(p, cell, spacing);
    say(p, cell, p->sample_windows[sample].text);
    say(p, cell, scale);
    return true;
}

/* Beneath a view: what was drawn for it, one paragraph a call. only: this group alone, or NULL for all. */
static void say_draws(preview *p, const view *v, int sample, int copy, const char *only, draw_unit *unit, void *context,
                      sheet_cell *cell)
{
    anl_arena *arena = p->session->arena;
    int at[MOST_COPY_AXES];
    copy_places(v, copy, at);
    anl_text text = {0};
    const char *group = NULL, *label = "";
    for (int i = 0; i <= v->draws.count; i++) {
        const view_draw *d = i < v->draws.count ? &v->draws.draws[i] : NULL;
        if (d && (!d->few || d->fixed || (only && strcmp(only, d->group))))
            continue;
        if (group && (!d || strcmp(group, d->group))) {
            say(p, cell, anl_arena_text(arena, text.data));
            text.length = 0;
        }
        if (!d)
            break;
        if (!group || strcmp(group, d->group) || !text.length) {
            const char *last = strrchr(d->group, '.');
            anl_text_printf(&text, "%s: %s", last ? last + 1 : d->group, d->label);
        } else if (strcmp(label, d->label))
            anl_text_printf(&text, ", %s", d->label);
        group = d->group;
        label = d->label;
        anl_text_printf(&text, " %s", draw_text(d, sample, v->copy_axes, at, v->copy_count, unit, context, arena));
    }
    anl_text_free(&text);
}

static bool view_cell(preview *p, const view *v, int sample, int copy, const char *title, sheet_cell *cell)
{
    anl_arena *arena = p->session->arena;
    const shown w = view_shown(v, sample, copy);
    const char *scale = "", *which = "";
    if (v->copies > 1)
        which = anl_arena_printf(arena, " %d of %d", copy + 1, v->copies);
    cell->title =
        anl_arena_printf(arena, "%s%s, %s", title, p->options->strength ? "" : which, size_text(arena, w.size, v->rank[2] >= 0));
    return show(&w, &v->window, arena, cell, &scale);
}

static void say_windows(preview *p)
{
    anl_arena *arena = p->session->arena;
    for (int i = 0; i < p->view_count; i++) {
        const view *v = &p->views[i];
        ANL_PUSH(arena, p->sheet.lines, p->sheet.line_count, p->sheet.line_capacity,
                 v->image ? anl_arena_printf(arena, "%s: %s", v->name, v->window.text)
                          : anl_arena_printf(arena, "%s: not shown, as it is no image with the axes y and x", v->name));
    }
}

static const char *row_title(preview *p, int sample)
{
    const char *file = p->samples[sample].file;
    return anl_arena_printf(p->session->arena, "%d  %s", sample + 1, *file ? file : "(the shard names no file)");
}

static anl_status make_rows(preview *p)
{
    anl_arena *arena = p->session->arena;
    int columns = 1;
    for (int i = 0; i < p->view_count; i++)
        columns += p->views[i].image ? p->views[i].copies : 0;
    anl_status status = fill_batch(p, -1);
    if (!status)
        status = run(p);
    if (status)
        return status;
    bool good = choose_sample_windows(p) && choose_view_windows(p);
    p->sheet.rows = ANL_NEW_ARRAY(arena, sheet_row, p->sample_count);
    say_windows(p);
    for (int s = 0; s < p->sample_count && good; s++) {
        sheet_row *row = &p->sheet.rows[p->sheet.row_count++];
        row->title = row_title(p, s);
        row->cells = ANL_NEW_ARRAY(arena, sheet_cell, columns);
        row->cell_count = 1;
        good = sample_cell(p, s, &row->cells[0]);
        for (int i = 0; i < p->view_count && good; i++)
            for (int c = 0; p->views[i].image && c < p->views[i].copies && good; c++) {
                sheet_cell *cell = &row->cells[row->cell_count++];
                good = view_cell(p, &p->views[i], s, c, p->views[i].name, cell);
                say_draws(p, &p->views[i], s, c, NULL, drawn, NULL, cell);
            }
    }
    return good ? ANL_OK : no_memory(p, "the pictures");
}

/* ---- strengths ---- */

/* Whether the draw is the first of its group in the view that changes anything. */
static bool first_of_group(const view_draws *draws, int index)
{
    for (int i = 0; i < index; i++)
        if (!draws->draws[i].fixed && !strcmp(draws->draws[i].group, draws->draws[index].group))
            return false;
    return !draws->draws[index].fixed;
}

static bool only_at_positions(const view_draws *draws, const char *group)
{
    for (int i = 0; i < draws->count; i++)
        if (!draws->draws[i].fixed && draws->draws[i].few && !strcmp(draws->draws[i].group, group))
            return false;
    return true;
}

static bool shares_draws(const view_draws *draws, const char *group)
{
    for (int i = 0; i < draws->count; i++)
        if (draws->draws[i].shape.attrs.axis[0] < 0 && !strcmp(draws->draws[i].group, group))
            return true;
    return false;
}

static anl_status strength_row(preview *p, int sample, const view *v, const char *group)
{
    static const char *const titles[2][STRENGTHS] = {{"low", "middle", "high"}, {"off", "drawn", "drawn again"}};
    anl_arena *arena = p->session->arena;
    p->group = group;
    p->group_view = v->name;
    p->at_positions = only_at_positions(&v->draws, group);
    p->shared = LOW;
    anl_status status = run(p);
    if (status)
        return status;
    if (!p->sheet.row_count && !choose_view_windows(p))
        return no_memory(p, "the grey levels");
    sheet_row *row = &p->sheet.rows[p->sheet.row_count++];
    row->title = anl_arena_printf(arena, "%s: %s", v->name, group);
    if (p->sample_count > 1)
        row->title = anl_arena_printf(arena, "%s  %s", row_title(p, sample), row->title);
    row->cells = ANL_NEW_ARRAY(arena, sheet_cell, 1 + STRENGTHS);
    row->cell_count = 1;
    bool good = sample_cell(p, sample, &row->cells[0]);
    setting set = {p, v->name};
    for (int s = 0; s < STRENGTHS && good; s++) {
        p->shared = s;
        if (s && shares_draws(&v->draws, group) && (status = run(p)))
            return status;
        sheet_cell *cell = &row->cells[row->cell_count++];
        good = view_cell(p, v, s, 0, titles[p->at_positions][s], cell);
        say_draws(p, v, s, 0, group, set_value, &set, cell);
    }
    return good ? ANL_OK : no_memory(p, "the pictures");
}

static anl_status make_strengths(preview *p)
{
    anl_arena *arena = p->session->arena;
    int rows = 0;
    for (int i = 0; i < p->view_count; i++)
        for (int d = 0; p->views[i].image && d < p->views[i].draws.count; d++)
            rows += first_of_group(&p->views[i].draws, d);
    if (!rows) {
        anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_preview_empty, p->session->recipe->views[0].span,
                                         "no view draws anything at random, so there are no strengths to show");
        anl_diagnostic_suggest(p->diagnostics, d, "leave out --strength");
        return ANL_ERROR_ARGUMENT;
    }
    ANL_PUSH(arena, p->sheet.lines, p->sheet.line_count, p->sheet.line_capacity,
             "each row: the draws of one augmentation at the low end, the middle and the high end of their ranges (normal ones "
             "at -1, 0 and 1 deviations, several "
             "falling and rising; chances off, on, on); what is drawn at every pixel is the same in all three; all others in the "
             "middle, chances off");
    if (p->sample_count == 1)
        ANL_PUSH(arena, p->sheet.lines, p->sheet.line_count, p->sheet.line_capacity, row_title(p, 0));
    p->sheet.rows = ANL_NEW_ARRAY(arena, sheet_row, rows * p->sample_count);
    anl_status status = choose_sample_windows(p) ? ANL_OK : no_memory(p, "the grey levels");
    for (int s = 0; s < p->sample_count && !status; s++) {
        status = fill_batch(p, s);
        for (int i = 0; i < p->view_count; i++)
            for (int d = 0; p->views[i].image && d < p->views[i].draws.count && !status; d++)
                if (first_of_group(&p->views[i].draws, d))
                    status = strength_row(p, s, &p->views[i], p->views[i].draws.draws[d].group);
    }
    say_windows(p);
    return status;
}

anl_status anl_preview(const anl_preview_options *options, anl_preview_report *report, anl_diagnostics *diagnostics)
{
    preview p = {.options = options, .diagnostics = diagnostics};
    const int wanted = options->samples > 0 ? options->samples : options->strength ? 1 : 4;
    *report = (anl_preview_report){0};
    anl_status status = check_output(options, diagnostics);
    if (!status)
        status = open_session(&p, options->strength ? STRENGTHS : wanted);
    if (!status)
        status = read_samples(&p, wanted);
    if (!status)
        status = prepare(&p);
    if (!status)
        status = options->strength ? make_strengths(&p) : make_rows(&p);
    if (!status) {
        report->samples = p.sample_count;
        report->rows = p.sheet.row_count;
        for (int i = 0; i < p.view_count; i++)
            report->views += p.views[i].image;
        status = ends_with(options->out, ".png")
                     ? sheet_write_png(&p.sheet, options->out, &report->width, &report->height, diagnostics)
                     : sheet_write_html(&p.sheet, options->out, diagnostics);
    }
    sheet_free(&p.sheet);
    for (int i = 0; i < p.sample_count && p.samples; i++)
        anl_sample_free(&p.samples[i]);
    for (int i = 0; i < p.view_count; i++)
        free(p.views[i].values);
    for (int f = 0; p.values && f < p.session->facts.field_count; f++) {
        free(p.values[f]);
        free(p.masks[f]);
    }
    free(p.unit_values);
    anl_loader_free(&p.loader);
    anl_dataset_free(&p.data);
    anl_session_free(&p.session);
    return status;
}
