/* Running a recipe: training, evaluation, single evaluations of named values, benchmarks.
 * In: a spec file, overrides, shards, a device by name. Out: run folders, checkpoints, metrics, arrays.
 * Every function reads the spec anew, opens the device, and leaves nothing behind but the files it names. One call at a time per thread. */
#ifndef ANLAGE_RUN_H
#define ANLAGE_RUN_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What all of them need. Zeroed members are the defaults. */
typedef struct anl_run_source {
    const char *spec;
    const char *const *overrides; /* "name=value" */
    int override_count;
    const char *device;           /* auto, host, vulkan, vulkan:N; NULL: auto */
    int threads;                  /* host: 0 = cores */
    bool validation;              /* vulkan: with validation layers; any message is an error */
    bool precise;                 /* host only: no fusion, float64 (the oracle); for anl_run_values */
} anl_run_source;

typedef struct anl_train_progress {
    int64_t step, total, epoch; /* steps done, steps in all, epoch that runs */
    double loss, rate;          /* total loss; images per second, smoothed */
    double seconds, left;       /* since the start of this process; estimated until the end */
    const char *event;          /* NULL: a step; else a line for people ("checkpoint …", "phase …", "device …") */
} anl_train_progress;

typedef struct anl_train_options {
    anl_run_source source;
    const char *out;           /* run folder: spec.yaml, metrics.jsonl, checkpoints/ */
    bool resume;
    const char *weights;       /* start from these weights (a file of anl_run_values' init_weights or a checkpoint), or NULL */
    int64_t stop_after;        /* stop with a checkpoint after so many steps of this call; 0: the recipe's length */
    void (*progress)(void *context, const anl_train_progress *progress);
    bool (*stop)(void *context); /* polled once a step: true stops with a checkpoint */
    void *context;
} anl_train_options;

/* Trains. ANL_ERROR_STOPPED after a requested stop (a checkpoint was written). On any error the last checkpoint stands. */
anl_status anl_train(const anl_train_options *options, anl_diagnostics *diagnostics);

typedef struct anl_metric_value {
    const char *metric, *label;   /* "auc", "hemorrhage" */
    double value, low, high;      /* with a 95 % bootstrap interval by patient; NaN where it is undefined */
    int64_t positives, negatives, patients;
} anl_metric_value;
typedef struct anl_evaluation {
    anl_metric_value *values;
    int count;
    int64_t samples;
    const char *device;
    void *owner;
} anl_evaluation;
typedef struct anl_evaluate_options {
    anl_run_source source;
    const char *checkpoint; /* file, or a run folder (its latest) */
    const char *split;      /* train, valid, test; NULL: test */
    bool (*stop)(void *context);
    void *context;
} anl_evaluate_options;
anl_status anl_evaluate(const anl_evaluate_options *options, anl_diagnostics *diagnostics, anl_evaluation *out);
/* As JSON: split, samples, and for each metric its name, label, value with the ends of its interval (null: none), positives, negatives and
 * patients. split: what it was made of. */
void anl_evaluation_write(const anl_evaluation *evaluation, const char *split, FILE *out);
void anl_evaluation_free(anl_evaluation *evaluation);

typedef struct anl_values_options {
    anl_run_source source;
    const char *const *feeds;   /* "image=file.h5:/path", "finding:mask=file.h5:/mask" */
    int feed_count;
    const char *const *fetches; /* names, expressions, gradient(path) */
    int fetch_count;
    const char *out;            /* HDF5 file; each fetch is a dataset named by its text, axes in an attribute */
    const char *weights;        /* weights or checkpoint, or NULL: initial values */
    const char *init_weights;   /* write initial values of all states to this file and do nothing else */
    bool evaluate;              /* training is false */
    int64_t step;
} anl_values_options;
anl_status anl_run_values(const anl_values_options *options, anl_diagnostics *diagnostics);

typedef struct anl_bench_result {
    char *device;                  /* owned: free() it */
    int batch, steps;
    double images_per_second;      /* batch / median step time */
    double step_ms, fastest_ms, slowest_ms;
    double prepare_seconds;        /* compiling, pipelines, first step */
    double loss;
} anl_bench_result;
/* Steps of training on random images, without shards. warmup and steps 0: 3 and 20. */
anl_status anl_bench(const anl_run_source *source, int warmup, int steps, bool (*stop)(void *), void *context,
                     anl_diagnostics *diagnostics, anl_bench_result *out);
/* As anl_bench, but prints seconds per kernel, the slowest first. */
anl_status anl_bench_kernels(const anl_run_source *source, FILE *out, anl_diagnostics *diagnostics);

#endif
