/* Evaluation: the metrics of a recipe over a split of its data.
 * In: an open session with weights, shards. Out: ROC AUC per label with a bootstrap interval by patient, accuracy, means.
 * Scores of a whole split are kept (8 bytes each), images are not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/roc.h"
#include "run/session.h"

enum { RESAMPLES = 1000 };
static const anl_span nowhere;

/* Collected values of one metric: [samples][labels]. */
typedef struct collected {
    int score, label, where; /* outputs; -1: none */
    int width;               /* values of a sample */
    double *scores, *labels, *wheres;
} collected;

static int find_output(anl_session *s, const char *metric, const char *part)
{
    return anl_session_output(&s->evaluate, anl_arena_printf(s->arena, "metric.%s.%s", metric, part));
}

/* Values of each sample of an output that has batch outermost in its declared axes; elsewhere it is an error. */
static anl_status output_width(anl_session *s, int output, const struct anl_static_metric *m, int *width, anl_diagnostics *diagnostics)
{
    const anl_port *port = &s->evaluate.program->outputs[output];
    if (port->rank < 1 || strcmp(port->axis[0], "batch") != 0) {
        anl_diagnose(diagnostics, ANL_A_metric_invalid, m->span, "metric `%s` needs scores and labels with the axis `batch` first", m->name);
        return ANL_ERROR_SPEC;
    }
    *width = (int)(anl_port_count(port) / port->size[0]);
    return ANL_OK;
}

static anl_status open_metric(anl_session *s, const struct anl_static_metric *m, int64_t samples, collected *c, anl_diagnostics *diagnostics)
{
    c->score = find_output(s, m->name, "score");
    c->label = find_output(s, m->name, "label");
    c->where = find_output(s, m->name, "where");
    int width = 0, label_width = 0, where_width = 0;
    anl_status status = c->score < 0 ? ANL_ERROR_SPEC : output_width(s, c->score, m, &width, diagnostics);
    if (!status && c->label >= 0)
        status = output_width(s, c->label, m, &label_width, diagnostics);
    if (!status && c->where >= 0)
        status = output_width(s, c->where, m, &where_width, diagnostics);
    bool mean = !strcmp(m->measure, "mean"), accuracy = !strcmp(m->measure, "accuracy");
    if (!status && !mean && (c->label < 0 || (!accuracy && label_width != width) || (accuracy && label_width != 1) ||
                             (c->where >= 0 && where_width != label_width))) {
        anl_diagnose(diagnostics, ANL_A_metric_invalid, m->span, "metric `%s`: scores, labels and where do not have the same axes (%d, %d and %d values a sample)",
                     m->name, width, label_width, where_width);
        status = ANL_ERROR_SPEC;
    }
    if (status)
        return status;
    c->width = width;
    size_t labels = (size_t)(label_width > width ? label_width : width);
    c->scores = malloc(sizeof(double) * (size_t)samples * (size_t)width + 1);
    c->labels = calloc((size_t)samples * labels + 1, sizeof(double));
    c->wheres = calloc((size_t)samples * labels + 1, sizeof(double));
    if (!c->scores || !c->labels || !c->wheres) {
        anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "not enough memory to keep the scores of %lld samples", (long long)samples);
        return ANL_ERROR_MEMORY;
    }
    return ANL_OK;
}

/* Appends the first `valid` samples of an output to rows starting at `at`. */
static anl_status collect(anl_session *s, int output, int64_t at, int valid, double *rows, double *scratch, anl_diagnostics *diagnostics)
{
    const anl_port *port = &s->evaluate.program->outputs[output];
    int64_t width = anl_port_count(port) / port->size[0];
    anl_status status = anl_session_fetch(s, &s->evaluate, output, 0, scratch, diagnostics);
    if (!status)
        memcpy(rows + at * width, scratch, sizeof(double) * (size_t)(valid * width));
    return status;
}

static const char *label_name(anl_session *s, const char *label_field, anl_dataset *data, int column, int width, anl_arena *arena)
{
    for (int f = 0; f < s->facts.field_count && label_field; f++)
        if (!strcmp(s->facts.fields[f].name, label_field)) {
            const char *name = anl_dataset_column(data, f, column);
            if (name)
                return anl_arena_text(arena, name);
        }
    return width == 1 ? "" : anl_arena_printf(arena, "%d", column);
}

/* The field that a metric's label is, where it is one as it stands. */
static const char *label_field(anl_session *s, const char *metric)
{
    for (int i = 0; i < s->recipe->metric_count; i++) {
        const anl_expression *e = s->recipe->metrics[i].label;
        if (!strcmp(s->recipe->metrics[i].name, metric) && e && e->kind == ANL_E_NAME)
            return e->name;
    }
    return NULL;
}

anl_status anl_session_evaluate(anl_session *s, int split, bool (*stop)(void *), void *context, anl_arena *arena, anl_diagnostics *diagnostics,
                                anl_metric_value **values, int *value_count, int64_t *samples)
{
    *values = NULL;
    *value_count = 0;
    *samples = 0;
    int metrics = s->facts.metric_count;
    anl_dataset *data = NULL;
    anl_loader *loader = NULL;
    collected *got = ANL_NEW_ARRAY(s->arena, collected, metrics + 1);
    int64_t *patients = NULL;
    double *scratch = NULL;
    anl_status status = anl_session_dataset(s, split, diagnostics, &data);
    int64_t total = status ? 0 : anl_dataset_count(data);
    for (int m = 0; m < metrics && !status; m++)
        status = open_metric(s, &s->facts.metrics[m], total, &got[m], diagnostics);
    int64_t largest = 1;
    for (int i = 0; i < s->evaluate.program->output_count; i++)
        if (anl_port_count(&s->evaluate.program->outputs[i]) > largest)
            largest = anl_port_count(&s->evaluate.program->outputs[i]);
    if (!status) {
        scratch = anl_malloc(sizeof(double) * (size_t)largest);
        patients = anl_malloc(sizeof(int64_t) * (size_t)(total + 1));
        anl_loader_options options = {.batch = s->facts.batch, .ordered = true};
        status = anl_loader_new(data, &options, diagnostics, &loader);
    }
    int64_t at = 0;
    while (!status) {
        const anl_batch *batch;
        status = anl_loader_next(loader, &batch, diagnostics);
        if (status || !batch)
            break;
        if (stop && stop(context)) {
            status = ANL_ERROR_STOPPED;
            break;
        }
        status = anl_session_feed(s, &s->evaluate, batch->values, batch->masks, diagnostics);
        if (!status)
            status = anl_session_step(s, &s->evaluate, 0, diagnostics);
        for (int m = 0; m < metrics && !status; m++) {
            status = collect(s, got[m].score, at, batch->valid, got[m].scores, scratch, diagnostics);
            if (!status && got[m].label >= 0)
                status = collect(s, got[m].label, at, batch->valid, got[m].labels, scratch, diagnostics);
            if (!status && got[m].where >= 0)
                status = collect(s, got[m].where, at, batch->valid, got[m].wheres, scratch, diagnostics);
        }
        for (int i = 0; i < batch->valid; i++)
            patients[at + i] = anl_dataset_patient(data, batch->samples[i]);
        at += batch->valid;
    }
    *samples = at;
    int capacity = 0;
    for (int m = 0; m < metrics && !status; m++) {
        const struct anl_static_metric *metric = &s->facts.metrics[m];
        collected *c = &got[m];
        if (!strcmp(metric->measure, "roc_auc")) {
            double *score = anl_malloc(sizeof(double) * (size_t)(at + 1));
            uint8_t *label = anl_malloc((size_t)at + 1);
            int64_t *patient = anl_malloc(sizeof(int64_t) * (size_t)(at + 1));
            for (int w = 0; w < c->width; w++) {
                anl_metric_value v = {.metric = arena ? anl_arena_text(arena, metric->name) : metric->name};
                int64_t n = 0;
                for (int64_t i = 0; i < at; i++) {
                    if (c->where >= 0 && c->wheres[i * c->width + w] == 0)
                        continue;
                    score[n] = c->scores[i * c->width + w];
                    label[n] = c->labels[i * c->width + w] > 0.5;
                    v.positives += label[n];
                    v.negatives += !label[n];
                    patient[n++] = patients[i];
                }
                v.label = label_name(s, label_field(s, metric->name), data, w, c->width, arena);
                v.value = anl_roc_auc(score, label, n);
                v.patients = anl_roc_interval(score, label, patient, n, RESAMPLES, (uint64_t)s->facts.seed + (uint64_t)w, &v.low, &v.high);
                ANL_PUSH(arena, *values, *value_count, capacity, v);
            }
            free(score);
            free(label);
            free(patient);
        } else {
            bool accuracy = !strcmp(metric->measure, "accuracy");
            anl_metric_value v = {.metric = anl_arena_text(arena, metric->name), .label = "", .low = NAN, .high = NAN};
            double sum = 0, n = 0;
            for (int64_t i = 0; i < at; i++) {
                if (accuracy) {
                    if (c->where >= 0 && c->wheres[i] == 0)
                        continue;
                    int best = 0;
                    for (int w = 1; w < c->width; w++)
                        if (c->scores[i * c->width + w] > c->scores[i * c->width + best])
                            best = w;
                    sum += best == (int)lrint(c->labels[i]);
                    n++;
                } else {
                    for (int w = 0; w < c->width; w++)
                        if (c->where < 0 || c->wheres[i * c->width + w] != 0) {
                            sum += c->scores[i * c->width + w];
                            n++;
                        }
                }
            }
            v.value = n > 0 ? sum / n : NAN;
            ANL_PUSH(arena, *values, *value_count, capacity, v);
        }
    }
    for (int m = 0; m < metrics; m++) {
        free(got[m].scores);
        free(got[m].labels);
        free(got[m].wheres);
    }
    free(scratch);
    free(patients);
    anl_loader_free(&loader);
    anl_dataset_free(&data);
    return status;
}

anl_status anl_evaluate(const anl_evaluate_options *options, anl_diagnostics *diagnostics, anl_evaluation *out)
{
    *out = (anl_evaluation){0};
    static const char *const splits[] = {"train", "valid", "test"};
    int split = -1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(options->split ? options->split : "test", splits[i]))
            split = i;
    if (split < 0) {
        anl_diagnose(diagnostics, ANL_A_metric_invalid, nowhere, "there is no split `%s`: it is train, valid or test", options->split);
        return ANL_ERROR_ARGUMENT;
    }
    anl_session *s = NULL;
    anl_arena *arena = anl_arena_new();
    anl_status status = anl_session_open(&options->source, diagnostics, &s);
    if (!status && s->facts.metric_count == 0) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_metric_invalid, s->recipe->span, "the recipe has no metrics to evaluate");
        anl_diagnostic_note(diagnostics, d, "add for example\n  metrics:\n    auc: {measure: roc_auc, score: logits, label: finding}");
        status = ANL_ERROR_SPEC;
    }
    if (!status)
        status = anl_session_prepare(s, &options->source, ANL_PREPARE_EVALUATE, 1000, NULL, 0, diagnostics);
    const char *path;
    if (!status)
        status = anl_checkpoint_find(s->arena, options->checkpoint, nowhere, diagnostics, &path);
    if (!status)
        status = anl_checkpoint_read(s, path, false, NULL, diagnostics);
    if (!status)
        status = anl_session_evaluate(s, split, options->stop, options->context, arena, diagnostics, &out->values, &out->count, &out->samples);
    if (!status)
        out->device = anl_arena_text(arena, anl_device_describe(s->device)->name);
    out->owner = arena;
    anl_session_free(&s);
    if (status)
        anl_evaluation_free(out);
    return status;
}

void anl_evaluation_free(anl_evaluation *evaluation)
{
    anl_arena *arena = evaluation->owner;
    if (arena)
        anl_arena_free(&arena);
    *evaluation = (anl_evaluation){0};
}

void anl_evaluation_write(const anl_evaluation *e, const char *split, FILE *out)
{
    anl_text text = {0};
    anl_json json = {.text = &text};
    anl_json_object(&json, NULL);
    anl_json_string(&json, "split", split);
    anl_json_integer(&json, "samples", e->samples);
    anl_json_array(&json, "metrics");
    for (int i = 0; i < e->count; i++) {
        const anl_metric_value *v = &e->values[i];
        anl_json_object(&json, NULL);
        anl_json_string(&json, "metric", v->metric);
        anl_json_string(&json, "label", v->label);
        anl_json_number(&json, "value", v->value);
        anl_json_number(&json, "low", v->low);
        anl_json_number(&json, "high", v->high);
        anl_json_integer(&json, "positives", v->positives);
        anl_json_integer(&json, "negatives", v->negatives);
        anl_json_integer(&json, "patients", v->patients);
        anl_json_object_end(&json);
    }
    anl_json_array_end(&json);
    anl_json_object_end(&json);
    anl_text_add(&text, "\n");
    fwrite(text.data, 1, text.length, out);
    anl_text_free(&text);
}
