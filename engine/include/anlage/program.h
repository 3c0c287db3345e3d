/* Programs: what a spec compiles to, explained without data, and without a device unless one is asked for.
 * In: a spec file and overrides of its params. Out: text: sizes, costs and memory; the graph; the kernels.
 * Thread-safe: every call stands alone. */
#ifndef ANLAGE_PROGRAM_H
#define ANLAGE_PROGRAM_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum anl_explain_stage {
    ANL_EXPLAIN_SUMMARY, /* parameters, state, FLOPs, bytes, planned memory against its lower bound, kernels; then the costs by path */
    ANL_EXPLAIN_GRAPH,   /* the nodes with their axes */
    ANL_EXPLAIN_PROGRAM, /* the kernels, one line each */
} anl_explain_stage;

typedef struct anl_explain_options {
    const char *spec;
    const char *other; /* SUMMARY: what differs in this spec, in its recipe and in its program; NULL: nothing is compared */
    const char *const *overrides; /* "name=value" */
    int override_count;
    anl_explain_stage stage;
    bool evaluate;   /* the program of evaluation instead of training */
    int64_t step;    /* training: the phase that this step belongs to (since() and rules with from/until make phases) */
    bool unfused;    /* every node its own kernel */
    bool checked;    /* let the second checker judge the program as well */
    int kernel;      /* PROGRAM: also the instructions of this kernel; -1: none */
    int depth;       /* SUMMARY: how many parts of a path make a row; 0: 2, in JSON all */
    bool json;       /* SUMMARY: as JSON, described in specs/README.md */
    const char *assume; /* SUMMARY: whether it fits such a device, as anl_lint_options.assume, or NULL */
    const char *device; /* SUMMARY: whether it fits this device (host, vulkan:N), or with measure: where it is run; NULL: none, or auto */
    bool measure;       /* SUMMARY: run the step, and show its time beside the estimate */
    int threads;        /* measure, host: 0 = cores */
} anl_explain_options;

/* Prints to out. ANL_ERROR_SPEC: the spec is wrong, diagnostics say where. ANL_ERROR_LIMIT: it cannot be compiled.
 * ANL_ERROR_FORMAT: the checker found a fault in the program. */
anl_status anl_explain(const anl_explain_options *options, FILE *out, anl_diagnostics *diagnostics);

#endif
