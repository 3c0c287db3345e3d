/* Tracing: a typed recipe becomes a graph: functions are applied, modules make weights, draws get keys, losses get gradients, optimizer rules become updates.
 * In: recipe, operation table. Out: one graph for a phase of training, for evaluation, or for making initial values.
 * Everything static (params, axis sizes, static if, since) is decided here. */
#ifndef ANL_TRACE_TRACE_H
#define ANL_TRACE_TRACE_H

#include <anlage/dataset.h>

#include "graph/graph.h"
#include "ops/ops.h"
#include "spec/recipe.h"

/* What something in the text came to while it was traced. */
typedef struct anl_seen {
    anl_span span; /* of an expression or step, or of a name where it is defined */
    const anl_value *value;
    const char *path; /* of the call that it belongs to; "" at the top */
    double flops;     /* of what it computes itself; named values that it mentions count for themselves */
} anl_seen;

/* For editors: is told of every value of the first phase of training, those of no use to a loss included. */
typedef struct anl_witness {
    void (*see)(void *context, const anl_graph *graph, const anl_seen *seen);
    void *context;
} anl_witness;

typedef enum anl_trace_mode {
    ANL_TRACE_TRAIN,      /* losses, gradients, updates of weights, state and optimizer state */
    ANL_TRACE_EVALUATE,   /* training is false; losses and metrics' scores and labels; no updates */
    ANL_TRACE_INITIALIZE, /* every state's first value, as updates */
} anl_trace_mode;

typedef struct anl_trace_options {
    anl_trace_mode mode;
    double epoch_steps;  /* steps of an epoch, for since() and schedules in static places; 0: unknown (lint: 1000) */
    int64_t phase_step;  /* since(t) is true where t <= phase_step */
    int64_t seed;        /* -1: the recipe's */
    const char *const *fetches; /* further outputs by name or expression: nodes, losses, views, `gradient(path.of.weight)`; all are outputs of the graph */
    int fetch_count;
    bool fetch_only;     /* nothing but fetches: no losses, no updates (anlage run) */
    const struct anl_traced *census; /* a sound trace of the same recipe with the same epoch_steps, seed and fetches, or NULL: what it found out about
                                        all phases together is taken over, so that only the one pass is made. It must outlive the result. */
    const anl_witness *witness; /* or NULL */
} anl_trace_options;

typedef struct anl_traced_loss {
    const char *name;
    anl_node *value, *weight;
} anl_traced_loss;

/* What changes at a boundary. */
typedef enum anl_boundary {
    ANL_BOUNDARY_THAWS, /* a rule `frozen` ends: more weights are trained */
    ANL_BOUNDARY_RULES, /* other rules hold */
    ANL_BOUNDARY_GRAPH, /* a since(): what is computed */
} anl_boundary;

typedef struct anl_traced {
    anl_graph *graph; /* owned. Outputs: "loss" (total), "loss.NAME", "lr" where optimizer rules have a param lr (of the first), metrics as "metric.NAME.score", …".label", "….where", fetches by their text */
    anl_traced_loss *losses;
    int loss_count;
    int batch;
    int64_t total_steps;     /* train length, in steps */
    double *boundaries;      /* sorted distinct steps > 0 at which some since() or rule from/until changes: one program per phase between them */
    const anl_boundary *boundary_kinds;
    int boundary_count;
    anl_diagnostics *diagnostics; /* not owned */
    const void *census;           /* for anl_trace_options.census */
} anl_traced;

/* All problems found go to diagnostics. Free with anl_traced_free. The recipe must outlive the result (spans, names). */
anl_status anl_trace(const anl_recipe *recipe, const anl_trace_options *options, anl_diagnostics *diagnostics, anl_traced **out);
void anl_traced_free(anl_traced **traced);
/* The first step after `step` at which a phase begins, as far as this trace knows; INT64_MAX: none. */
int64_t anl_traced_next_phase(const anl_traced *traced, int64_t step);

/* What the run needs of the recipe in static form: evaluated params. */
typedef struct anl_static_recipe {
    int batch;
    int64_t seed;
    const char *shards[3]; /* train, valid, test; NULL: none. A glob: of mixtures, of all their sources */
    struct anl_static_part { const char *name, *shards; double weight; anl_span span; } *parts[3]; /* of a mixture */
    int part_count[3];
    const char *balance[3]; anl_span balance_span[3]; /* a label column, or NULL */
    double train_length; bool train_length_epochs;
    double checkpoint_every; bool checkpoint_every_epochs; int checkpoint_keep;
    double evaluate_every; bool evaluate_every_epochs; /* 0: never */
    double label_fraction[3]; /* 1: all */
    bool label_by_patient[3], drop_unlabelled[3];
    struct anl_static_field {
        const char *name, *mask, *column, *boxes, *modality, *unit;
        int rank; const char *axis[ANL_MAX_AXES]; int size[ANL_MAX_AXES];
        bool has_missing; double missing;
        anl_span span, modality_span;
    } *fields; /* of train */
    int field_count;
    struct anl_static_initialization { const char *module, *checkpoint, *from; anl_span span; } *initializations;
    int initialization_count;
    struct anl_static_metric { const char *name, *measure; bool where; anl_span span; } *metrics;
    int metric_count;
} anl_static_recipe;
anl_status anl_trace_static(const anl_recipe *recipe, anl_arena *arena, anl_diagnostics *diagnostics, anl_static_recipe *out);
/* Its fields as a data set wants them. */
const anl_field *anl_trace_fields(const anl_static_recipe *facts, anl_arena *arena);

#endif
