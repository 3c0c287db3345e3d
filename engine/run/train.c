/* The training loop: batches in, steps run, metrics and checkpoints out.
 * In: a recipe, shards, a run folder. Out: RUN/spec.yaml, RUN/metrics.jsonl, RUN/checkpoints/.
 * What a step computes depends on (recipe, seed, step) and the state alone, so that a resumed run goes on with the same bits. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "lint/resources.h"
#include "run/session.h"

static const anl_span nowhere;

/* A loss that stays within this share of ln K for so many steps says nothing about its K classes. */
static const double STUCK_TOLERANCE = 1e-3;
enum { STUCK_STEPS = 200 };

typedef struct trainer {
    const anl_train_options *options;
    anl_session *session;
    anl_diagnostics *diagnostics;
    anl_dataset *data;
    anl_loader *loader;
    FILE *metrics;
    const char *metrics_path;
    int64_t step, total, last_checkpoint, first_step;
    double started, rate, mark_time;
    double loop_started;
    int64_t mark_step;
    int stuck_steps;
    bool stuck_told;
    double last_loss;
} trainer;

static int64_t to_steps(double count, bool epochs, double epoch_steps)
{
    double steps = epochs ? count * epoch_steps : count;
    return (int64_t)llround(steps);
}

static void tell(trainer *t, const char *event)
{
    if (!t->options->progress)
        return;
    double now = anl_seconds() - t->started;
    anl_train_progress p = {.step = t->step,
                            .total = t->total,
                            .epoch = (int64_t)((double)t->step / t->session->epoch_steps),
                            .loss = t->last_loss,
                            .rate = t->rate,
                            .seconds = now,
                            .left = t->rate > 0 ? (double)(t->total - t->step) * t->session->facts.batch / t->rate : NAN,
                            .event = event};
    t->options->progress(t->options->context, &p);
}

static const char *checkpoint_path(trainer *t, int64_t step)
{
    return anl_arena_printf(t->session->arena, "%s/checkpoints/step-%08lld.h5", t->options->out, (long long)step);
}

/* Deletes all but the newest `keep`. They were written in order, so the oldest known go first. */
static void drop_old_checkpoints(trainer *t, int64_t *written, int *count)
{
    int keep = t->session->facts.checkpoint_keep > 0 ? t->session->facts.checkpoint_keep : 3;
    while (*count > keep) {
        unlink(checkpoint_path(t, written[0]));
        memmove(written, written + 1, sizeof *written * (size_t)(*count - 1));
        (*count)--;
    }
}

static anl_status write_checkpoint(trainer *t, int64_t **written, int *count, int *capacity)
{
    if (t->last_checkpoint == t->step)
        return ANL_OK;
    anl_checkpoint_info info = {.step = t->step, .epoch_steps = t->session->epoch_steps, .seed = t->session->facts.seed};
    fflush(t->metrics);
    fsync(fileno(t->metrics)); /* a checkpoint never is ahead of its metrics */
    anl_status status = anl_checkpoint_write(t->session, checkpoint_path(t, t->step), &info, t->diagnostics);
    if (status)
        return status;
    t->last_checkpoint = t->step;
    ANL_PUSH(t->session->arena, *written, *count, *capacity, t->step);
    drop_old_checkpoints(t, *written, count);
    tell(t, anl_arena_printf(t->session->arena, "checkpoint at step %lld", (long long)t->step));
    return ANL_OK;
}

/* One line of metrics.jsonl. */
static anl_status write_line(trainer *t, anl_text *line)
{
    anl_text_add(line, "\n");
    fwrite(line->data, 1, line->length, t->metrics);
    anl_text_free(line);
    if (!ferror(t->metrics))
        return ANL_OK;
    anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "%s cannot be written: %s", t->metrics_path, strerror(errno));
    return ANL_ERROR_FILE;
}

/* ln K for a K that some log-sum-exp of the graph runs over, near to loss; 0: none. */
static int collapsed_to(const anl_phase *phase, double loss)
{
    const anl_graph *graph = phase->traced->graph;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *node = graph->nodes[i];
        if (node->op != ANL_OP_LOGSUMEXP)
            continue;
        double k = 1;
        for (int a = 0; a < node->attrs.over_count; a++)
            k *= anl_node_size(node->inputs[0], node->attrs.over[a]);
        if (k > 1 && fabs(loss - log(k)) < STUCK_TOLERANCE * log(k))
            return (int)k;
    }
    return 0;
}

static anl_status record_step(trainer *t, anl_phase *phase, int64_t step)
{
    anl_session *s = t->session;
    double total = NAN, value;
    anl_text line = {0};
    anl_json json = {.text = &line};
    anl_json_object(&json, NULL);
    anl_json_integer(&json, "step", step + 1);
    anl_json_number(&json, "epoch", (double)(step + 1) / s->epoch_steps);
    const char *bad = NULL;
    for (int i = 0; i < phase->program->output_count; i++) {
        const anl_port *port = &phase->program->outputs[i];
        bool loss = !strcmp(port->name, "loss") || !strncmp(port->name, "loss.", 5);
        if (!loss && strcmp(port->name, "lr") != 0)
            continue;
        if (anl_port_count(port) != 1)
            continue;
        anl_status status = anl_session_fetch(s, phase, i, step, &value, t->diagnostics);
        if (status) {
            anl_text_free(&line);
            return status;
        }
        if (!strcmp(port->name, "loss"))
            total = value;
        if (loss && !isfinite(value) && (!bad || !strcmp(bad, "loss")))
            bad = port->name;
        anl_json_number(&json, port->name, value);
    }
    t->last_loss = total;
    double now = anl_seconds();
    if (now - t->mark_time > 0.5 || t->rate == 0) {
        double rate = (double)(step + 1 - t->mark_step) * s->facts.batch / (now - t->mark_time);
        t->rate = t->rate > 0 ? 0.8 * t->rate + 0.2 * rate : rate;
        t->mark_time = now;
        t->mark_step = step + 1;
    }
    anl_json_number(&json, "images_per_second", t->rate);
    anl_json_number(&json, "seconds", now - t->started);
    anl_json_number(&json, "waited", anl_loader_waited(t->loader)); /* of these seconds, those in which there was no batch yet */
    anl_json_object_end(&json);
    anl_status status = write_line(t, &line);
    if (status)
        return status;
    if (bad) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_loss_not_finite, nowhere, "`%s` is not a finite number at step %lld", bad, (long long)step + 1);
        if (t->last_checkpoint > 0)
            anl_diagnostic_note(t->diagnostics, d, "the run stops here; the checkpoint of step %lld still stands", (long long)t->last_checkpoint);
        else
            anl_diagnostic_note(t->diagnostics, d, "the run stops here, before its first checkpoint");
        anl_diagnostic_note(t->diagnostics, d, "a lower learning rate, a longer warm-up or a larger epsilon or temperature often helps");
        return ANL_ERROR_SPEC;
    }
    int k = collapsed_to(phase, total);
    t->stuck_steps = k ? t->stuck_steps + 1 : 0;
    if (t->stuck_steps >= STUCK_STEPS && !t->stuck_told) {
        t->stuck_told = true;
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_loss_stuck, nowhere, "the loss has been ln %d = %.4f for %d steps (at step %lld): all %d classes look alike", k,
                                         log(k), STUCK_STEPS, (long long)step + 1, k);
        anl_diagnostic_note(t->diagnostics, d, "the features have probably collapsed: try a smaller epsilon (0.03), fewer clusters or a smaller learning rate");
        tell(t, anl_arena_printf(s->arena, "warning: the loss stays at ln %d", k));
    }
    return ANL_OK;
}

/* Keeps only the lines up to a step: what was measured after the checkpoint is measured again. */
static anl_status cut_metrics(trainer *t, int64_t step)
{
    FILE *file = fopen(t->metrics_path, "r+");
    if (!file) {
        if (errno == ENOENT)
            return ANL_OK;
        anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "%s cannot be opened: %s", t->metrics_path, strerror(errno));
        return ANL_ERROR_FILE;
    }
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    off_t keep = 0;
    while ((length = getline(&line, &size, file)) > 0) {
        long long at;
        if (line[length - 1] != '\n' || sscanf(line, "{\"step\": %lld", &at) != 1 || at > step)
            break;
        keep += length;
    }
    free(line);
    int failed = ftruncate(fileno(file), keep);
    fclose(file);
    if (failed) {
        anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "%s cannot be cut to step %lld: %s", t->metrics_path, (long long)step, strerror(errno));
        return ANL_ERROR_FILE;
    }
    return ANL_OK;
}

/* The run folder: checked to be free or this recipe's before the work begins; made once the recipe is known to run. */
static anl_status open_folder(trainer *t, bool make)
{
    anl_session *s = t->session;
    const char *out = t->options->out;
    char *spec_path = anl_arena_printf(s->arena, "%s/spec.yaml", out);
    t->metrics_path = anl_arena_printf(s->arena, "%s/metrics.jsonl", out);
    anl_text text = {0};
    anl_status status = anl_recipe_print(s->recipe, &text);
    bool exists = access(spec_path, F_OK) == 0;
    if (!status && exists && !t->options->resume) {
        anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "%s already holds a run", out);
        anl_diagnostic_suggest(t->diagnostics, d, "--resume goes on with it; another --out starts a new one");
        status = ANL_ERROR_FILE;
    }
    if (!status && exists) {
        char *kept = NULL;
        size_t length = 0;
        status = anl_file_read(s->arena, spec_path, 0, &kept, &length);
        if (status)
            anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "%s cannot be read: %s", spec_path, strerror(errno));
        else if (strcmp(kept, text.data) != 0) {
            anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_recipe_changed, nowhere, "the recipe is not the one that %s was started with", out);
            anl_diagnostic_suggest(t->diagnostics, d, "resume with the kept recipe: anlage train %s --out %s --resume", spec_path, out);
            status = ANL_ERROR_SPEC;
        }
    }
    if (!status && !exists && make) {
        status = anl_folder_make(anl_arena_printf(s->arena, "%s/checkpoints", out));
        if (!status)
            status = anl_file_write_atomic(spec_path, text.data, text.length);
        if (status)
            anl_diagnose(t->diagnostics, ANL_A_run_folder, nowhere, "the run folder %s cannot be written: %s", out, strerror(errno));
    }
    anl_text_free(&text);
    return status;
}

static anl_status initialize_modules(trainer *t)
{
    anl_session *s = t->session;
    for (int i = 0; i < s->facts.initialization_count; i++) {
        const struct anl_static_initialization *init = &s->facts.initializations[i];
        if (!init->checkpoint || !init->checkpoint[0])
            continue;
        const char *path;
        anl_status status = anl_checkpoint_find(s->arena, init->checkpoint, init->span, t->diagnostics, &path);
        if (status)
            return status;
        int count;
        status = anl_checkpoint_module(s, path, init->from ? init->from : init->module, init->module, init->span, &count, t->diagnostics);
        if (status)
            return status;
        tell(t, anl_arena_printf(s->arena, "%s: %d tensors from %s", init->module, count, path));
    }
    return ANL_OK;
}

/* Weights: from the last checkpoint, from a file, or new. Sets t->step. */
static anl_status start_state(trainer *t)
{
    anl_session *s = t->session;
    if (t->options->resume) {
        const char *path;
        anl_status status = anl_checkpoint_latest(s->arena, t->options->out, t->diagnostics, &path);
        if (status)
            return status;
        if (path) {
            anl_checkpoint_info info;
            status = anl_checkpoint_read(s, path, true, &info, t->diagnostics);
            if (status)
                return status;
            if (info.epoch_steps != s->epoch_steps) {
                anl_diagnostic *d = anl_diagnose(t->diagnostics, ANL_A_recipe_changed, nowhere, "an epoch had %.0f steps when %s was written, now it has %.0f", info.epoch_steps,
                                                 path, s->epoch_steps);
                anl_diagnostic_note(t->diagnostics, d, "the data have changed; start a new run to train on them");
                return ANL_ERROR_SPEC;
            }
            t->step = t->last_checkpoint = info.step;
            tell(t, anl_arena_printf(s->arena, "resumed at step %lld from %s", (long long)info.step, path));
            return ANL_OK;
        }
    }
    anl_status status = anl_session_initialize(s, t->diagnostics);
    if (!status && t->options->weights) {
        const char *path;
        status = anl_checkpoint_find(s->arena, t->options->weights, nowhere, t->diagnostics, &path);
        if (!status)
            status = anl_checkpoint_read(s, path, false, NULL, t->diagnostics);
    }
    if (!status)
        status = initialize_modules(t);
    return status;
}

static anl_status evaluate_now(trainer *t, int split)
{
    anl_metric_value *values;
    int count;
    int64_t samples;
    anl_session *s = t->session;
    anl_status status =
        anl_session_evaluate(s, split, t->options->stop, t->options->context, s->arena, t->diagnostics, &values, &count, &samples);
    if (status)
        return status;
    anl_text told = {0}, line = {0};
    anl_json json = {.text = &line};
    anl_json_object(&json, NULL);
    anl_json_integer(&json, "step", t->step);
    anl_json_number(&json, "epoch", (double)t->step / s->epoch_steps);
    anl_json_string(&json, "split", split == 1 ? "valid" : "test");
    anl_json_integer(&json, "samples", samples);
    for (int i = 0; i < count; i++) {
        const char *name = anl_arena_printf(s->arena, "%s%s%s", values[i].metric, values[i].label[0] ? "." : "", values[i].label);
        anl_json_number(&json, name, values[i].value);
        anl_text_printf(&told, "%s%s %.4f", i ? ", " : "", name, values[i].value);
    }
    anl_json_object_end(&json);
    status = write_line(t, &line);
    tell(t, anl_arena_printf(s->arena, "valid at step %lld: %s", (long long)t->step, told.data ? told.data : ""));
    anl_text_free(&told);
    return status;
}

static anl_status train_steps(trainer *t)
{
    anl_session *s = t->session;
    int64_t checkpoint_every = to_steps(s->facts.checkpoint_every, s->facts.checkpoint_every_epochs, s->epoch_steps);
    int64_t evaluate_every = s->evaluate.program ? to_steps(s->facts.evaluate_every, s->facts.evaluate_every_epochs, s->epoch_steps) : 0;
    int64_t *written = NULL;
    int written_count = 0, written_capacity = 0;
    if (t->last_checkpoint > 0)
        ANL_PUSH(s->arena, written, written_count, written_capacity, t->last_checkpoint);
    int64_t stop_at = t->options->stop_after > 0 ? t->step + t->options->stop_after : INT64_MAX;
    anl_status status = ANL_OK;
    anl_phase *phase = NULL;
    t->first_step = t->mark_step = t->step;
    t->mark_time = t->loop_started = anl_seconds();
    bool stopped = false;
    while (t->step < t->total && !status) {
        stopped = t->options->stop && t->options->stop(t->options->context);
        if (stopped || t->step >= stop_at)
            break;
        anl_phase *now = anl_session_phase(s, t->step);
        if (now != phase && s->phase_count > 1)
            tell(t, anl_arena_printf(s->arena, "phase from step %lld: %d kernels", (long long)now->first_step, now->program->kernel_count));
        phase = now;
        const anl_batch *batch;
        status = anl_loader_next(t->loader, &batch, t->diagnostics);
        if (!status)
            status = anl_session_feed(s, phase, batch->values, batch->masks, t->diagnostics);
        if (!status)
            status = anl_session_step(s, phase, t->step, t->diagnostics);
        if (!status)
            status = record_step(t, phase, t->step);
        if (status)
            return status; /* the state after this step is not kept */
        t->step++;
        tell(t, NULL);
        if (checkpoint_every > 0 && t->step % checkpoint_every == 0)
            status = write_checkpoint(t, &written, &written_count, &written_capacity);
        if (!status && evaluate_every > 0 && t->step % evaluate_every == 0 && t->step < t->total)
            status = evaluate_now(t, 1);
    }
    if (!status)
        status = write_checkpoint(t, &written, &written_count, &written_capacity);
    if (!status && t->step == t->total && evaluate_every > 0)
        status = evaluate_now(t, 1);
    if (t->step > t->first_step) {
        double waited = anl_loader_waited(t->loader), whole = anl_seconds() - t->loop_started;
        tell(t, anl_arena_printf(s->arena, "%lld steps in %.1f s; waited for data %.2f s (%.1f %%)", (long long)(t->step - t->first_step), whole, waited,
                                 100 * waited / whole));
    }
    return status ? status : stopped ? ANL_ERROR_STOPPED : ANL_OK;
}

/* Where the size of a batch was written. */
static anl_span batch_place(const anl_recipe *recipe)
{
    for (int i = 0; i < recipe->param_count; i++)
        if (!strcmp(recipe->params[i].name, "batch"))
            return recipe->params[i].value_span;
    return recipe->span;
}

anl_status anl_train(const anl_train_options *options, anl_diagnostics *diagnostics)
{
    trainer t = {.options = options, .diagnostics = diagnostics, .started = anl_seconds(), .last_loss = NAN};
    anl_status status = anl_session_open(&options->source, diagnostics, &t.session);
    if (!status)
        status = open_folder(&t, false);
    if (!status)
        status = anl_session_dataset(t.session, 0, diagnostics, &t.data);
    if (!status) {
        anl_session *s = t.session;
        int64_t count = anl_dataset_count(t.data);
        if (count < s->facts.batch) {
            anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_data_too_small, batch_place(s->recipe), "the training set has %lld samples, fewer than one batch of %d", (long long)count,
                                             s->facts.batch);
            anl_diagnostic_suggest(diagnostics, d, "--set batch=%lld", (long long)(count > 1 ? count : 1));
            status = ANL_ERROR_SPEC;
        } else {
            const char *last = NULL;
            if (options->resume)
                status = anl_checkpoint_latest(s->arena, options->out, diagnostics, &last);
            s->choices = last ? anl_checkpoint_choices(s->arena, last) : NULL;
            int what = ANL_PREPARE_TRAIN | (anl_trains_with_evaluation(&s->facts) ? ANL_PREPARE_EVALUATE : 0);
            if (!status)
                status = anl_session_prepare(s, &options->source, what, (double)(count / s->facts.batch), NULL, 0, diagnostics);
            t.total = s->total_steps;
        }
    }
    if (!status)
        status = start_state(&t);
    if (!status)
        status = open_folder(&t, true);
    if (!status && options->resume)
        status = cut_metrics(&t, t.step);
    if (!status) {
        t.metrics = fopen(t.metrics_path, "a");
        if (!t.metrics) {
            anl_diagnose(diagnostics, ANL_A_run_folder, nowhere, "%s cannot be written: %s", t.metrics_path, strerror(errno));
            status = ANL_ERROR_FILE;
        } else {
            setvbuf(t.metrics, NULL, _IOLBF, 0);
        }
    }
    if (!status) {
        const anl_device_info *device = anl_device_describe(t.session->device);
        anl_session *s = t.session;
        tell(&t, anl_arena_printf(s->arena, "%s (%s), %lld samples, batch %d, %lld steps, %.1f MB of state, %.1f MB of workspace, ready after %.1f s", device->name,
                                  device->selector, (long long)anl_dataset_count(t.data), s->facts.batch, (long long)t.total, (double)s->layout->bytes / 1e6,
                                  (double)s->phases[0].program->space_bytes[ANL_SPACE_TEMP] / 1e6, anl_seconds() - t.started));
        anl_loader_options loader = {.batch = s->facts.batch, .seed = (uint64_t)s->facts.seed, .first_step = t.step};
        status = anl_loader_new(t.data, &loader, diagnostics, &t.loader);
    }
    if (!status)
        status = train_steps(&t);
    if (t.metrics && fclose(t.metrics) != 0 && !status) {
        anl_diagnose(diagnostics, ANL_A_run_folder, nowhere, "%s cannot be written: %s", t.metrics_path, strerror(errno));
        status = ANL_ERROR_FILE;
    }
    anl_loader_free(&t.loader);
    anl_dataset_free(&t.data);
    anl_session_free(&t.session);
    return status;
}
