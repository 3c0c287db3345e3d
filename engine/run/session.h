/* A recipe made ready to run: traced, compiled and bound to a device.
 * In: a spec file, overrides, a device. Out: programs for each phase and for evaluation over one state space.
 * Shared by training, evaluation, single runs and benchmarks. */
#ifndef ANL_RUN_SESSION_H
#define ANL_RUN_SESSION_H

#include <anlage/dataset.h>
#include <anlage/run.h>

#include "compile/compile.h"
#include "device/device.h"
#include "spec/recipe.h"
#include "trace/trace.h"

/* One program, from a step on. */
typedef struct anl_phase {
    int64_t first_step;
    anl_traced *traced;
    anl_program *program;
    anl_exec *exec;
} anl_phase;

typedef struct anl_session {
    anl_arena *arena;
    anl_recipe *recipe;
    anl_static_recipe facts;
    anl_device *device;
    bool f64;
    double epoch_steps;
    int64_t total_steps;
    anl_phase *phases; /* training, in order of first_step */
    int phase_count;
    anl_phase evaluate; /* program NULL: not made */
    anl_phase initial;
    anl_state_layout *layout;
    anl_memory *memory;
    int64_t seed;        /* of draws; -1: the recipe's */
    /* May change the graph of what is fetched before it is compiled; or NULL. */
    void (*rewrite)(void *context, anl_graph *graph);
    void *rewrite_context;
    const char *choices; /* lowerings that a resumed run was made with, to be taken over before programs are made ready; or NULL */
    void *staging; /* for feeds that must be laid out anew */
    size_t staging_bytes;
} anl_session;

/* Reads the recipe and its static facts. */
anl_status anl_session_open(const anl_run_source *source, anl_diagnostics *diagnostics, anl_session **out);
void anl_session_free(anl_session **session);

enum { ANL_PREPARE_TRAIN = 1, ANL_PREPARE_EVALUATE = 2 };
/* Traces and compiles what is asked for, opens the device and allocates the state. epoch_steps: steps of an epoch. fetches as in trace.h; with fetches only those are computed. */
anl_status anl_session_prepare(anl_session *session, const anl_run_source *source, int what, double epoch_steps, const char *const *fetches,
                               int fetch_count, anl_diagnostics *diagnostics);
/* Runs the initial values' program on the host and writes the state. */
anl_status anl_session_initialize(anl_session *session, anl_diagnostics *diagnostics);

anl_phase *anl_session_phase(anl_session *session, int64_t step);
anl_status anl_session_dataset(anl_session *session, int split, anl_diagnostics *diagnostics, anl_dataset **out);
/* Feeds one batch, field by field. values/masks: [field] in declared order with batch first. */
anl_status anl_session_feed(anl_session *session, anl_phase *phase, float *const *values, float *const *masks, anl_diagnostics *diagnostics);
/* Feeds one input of the program, its elements in its axes' order. */
anl_status anl_session_feed_input(anl_session *session, anl_phase *phase, int input, const float *values, anl_diagnostics *diagnostics);
anl_status anl_session_step(anl_session *session, anl_phase *phase, int64_t step, anl_diagnostics *diagnostics);
/* An output's elements in its axes' order as doubles; output by name. count must match. -1 from find: no such output. */
int anl_session_output(const anl_phase *phase, const char *name);
int64_t anl_port_count(const anl_port *port);
anl_status anl_session_fetch(anl_session *session, anl_phase *phase, int output, int64_t step, double *out, anl_diagnostics *diagnostics);

/* The whole state space in host memory, and one state of it in declared order as float32 or int32 (4 bytes an element). */
anl_status anl_session_state_read(anl_session *session, void **bytes, anl_diagnostics *diagnostics); /* free() it */
anl_status anl_session_state_write(anl_session *session, const void *bytes, anl_diagnostics *diagnostics);
void anl_place_get(const anl_session *session, const void *state, int place, void *out);
void anl_place_set(const anl_session *session, void *state, int place, const void *in);

/* ---- checkpoints (checkpoint.c) ---- */
typedef struct anl_checkpoint_info {
    int64_t step;
    double epoch_steps;
    int64_t seed;
} anl_checkpoint_info;
anl_status anl_checkpoint_write(anl_session *session, const char *path, const anl_checkpoint_info *info, anl_diagnostics *diagnostics);
/* Everything, by path; every state of the layout must be there with the same axes (states_required), or at least those found (else). */
anl_status anl_checkpoint_read(anl_session *session, const char *path, bool all, anl_checkpoint_info *info, anl_diagnostics *diagnostics);
/* Weights and states under `from.` become those under `module.`. Returns how many in *count. */
anl_status anl_checkpoint_module(anl_session *session, const char *path, const char *from, const char *module, anl_span span, int *count,
                                 anl_diagnostics *diagnostics);
/* Bytes of a checkpoint file, within a few percent. */
int64_t anl_checkpoint_bytes(const anl_state_layout *layout);
/* The device's choices of lowerings that a checkpoint carries; NULL: none, or no such file. */
const char *anl_checkpoint_choices(anl_arena *arena, const char *path);
/* The newest checkpoint of a run folder that opens, in *path; NULL: the folder has none. Newer broken ones are warned of.
 * ANL_ERROR_FORMAT: it has some, and none opens. */
anl_status anl_checkpoint_latest(anl_arena *arena, const char *folder, anl_diagnostics *diagnostics, const char **path);
/* The checkpoint behind a path that a user gives: the file, or of a run folder its newest whole one. */
anl_status anl_checkpoint_find(anl_arena *arena, const char *named, anl_span span, anl_diagnostics *diagnostics, const char **path);

/* ---- evaluation on an open session (evaluate.c) ---- */
anl_status anl_session_evaluate(anl_session *session, int split, bool (*stop)(void *), void *context, anl_arena *arena, anl_diagnostics *diagnostics,
                                anl_metric_value **values, int *count, int64_t *samples);

/* ---- timing on an open session (bench.c) ---- */
typedef struct anl_profile {
    anl_session *session;
    anl_phase *phase;
    double *seconds; /* [kernel_count]: each kernel on its own, the median of a few runs */
    double step;     /* a whole step, the median of a few */
} anl_profile;
/* Prepares a recipe on its device and runs steps of random images, from `step` on, or batches of its evaluation. *out is to be freed
 * whatever the status is. */
anl_status anl_profile_run(const anl_run_source *source, bool evaluate, int64_t step, anl_diagnostics *diagnostics, anl_profile *out);
void anl_profile_free(anl_profile *profile);

double anl_seconds(void); /* monotonic */

#endif
