/* What a recipe needs of a device, and whether it fits one.
 * In: a recipe; a device as a text ("memory=8GiB,storage_range=128MiB") or with its real limits. Out: bytes, diagnostics with
 * place, and the largest batch that fits. No device is touched.
 *
 * Names in the text: memory (bytes that programs may take in all), storage_range (bytes of the largest tensor that can be bound),
 * invocations and shared_memory (of a workgroup; kernels need 128 and 16 KiB, which Vulkan guarantees). Units: B, KiB, MiB, GiB,
 * TiB, kB, MB, GB, TB. */
#ifndef ANL_LINT_RESOURCES_H
#define ANL_LINT_RESOURCES_H

#include "compile/cost.h"
#include "lint/rules.h"

typedef struct anl_limits {
    const char *name;              /* for messages: "the device", "NVIDIA … (vulkan:0)" */
    int64_t memory, storage_range; /* bytes; 0: no limit */
} anl_limits;
/* ANL_ERROR_ARGUMENT after a diagnostic (A1202). */
anl_status anl_assume_parse(const char *text, anl_diagnostics *diagnostics, anl_limits *out);

/* What one run takes: the programs of its phases, and that of evaluation, over one state. */
typedef struct anl_footprint {
    int64_t state;    /* weights, optimizer state, queues */
    int64_t planned;  /* memory of intermediate values: one space, of the program that needs most */
    int64_t edges;    /* inputs, outputs and tables of all programs */
    int64_t partials; /* bound on partial sums */
    int64_t total;
    int64_t largest;          /* the largest tensor that a kernel binds … */
    const char *largest_name; /* … what it is; lives as long as the program … */
    anl_span largest_span;
    int larger; /* … and how many are larger than the limit */
} anl_footprint;
/* Adds a program; storage_range: for `larger`. */
void anl_footprint_add(anl_footprint *footprint, const anl_program *program, int64_t storage_range);
bool anl_footprint_fits(const anl_footprint *footprint, const anl_limits *limits);

/* All that a recipe becomes, without a device: its graphs, one layout of the state, and the programs that are asked for. */
typedef struct anl_built {
    anl_traced **traced;    /* phases of training in order, then evaluation, then the first values */
    anl_program **programs; /* of all but the last; NULL: not compiled */
    int64_t *first_step;    /* of a phase */
    int phases, count;      /* count: with evaluation */
    anl_state_layout *layout;
    bool evaluates; /* training evaluates between its epochs, in the same memory */
    anl_arena *arena;
} anl_built;
/* Traces; epoch_steps as in trace.h. *out is to be freed whatever the status is. */
anl_status anl_build(const anl_recipe *recipe, double epoch_steps, anl_diagnostics *diagnostics, anl_built *out);
/* Compiles one, or, where it is -1, all of them. */
anl_status anl_built_compile(anl_built *built, int which, const anl_compile_options *options, anl_diagnostics *diagnostics);
void anl_built_free(anl_built *built);
/* The footprint of training, or that of evaluation where it takes more. largest_name lives as long as built. */
anl_footprint anl_built_footprint(const anl_built *built, const anl_limits *limits);

/* Whether training evaluates between its epochs. */
bool anl_trains_with_evaluation(const anl_static_recipe *facts);

/* The largest batch within the param's range with which the recipe fits; 0: none does; -1: the recipe has no param `batch`.
 * needs: its footprint as it is. */
int64_t anl_largest_batch(const anl_recipe *recipe, double epoch_steps, const anl_limits *limits, const anl_footprint *needs);

/* The largest batch that the param's range allows. */
int64_t anl_batch_limit(const anl_recipe *recipe);

/* Reports what does not fit (A1201, A0706), with the largest batch that would. biggest: what takes most of it, as
 * anl_cost_biggest says it, or NULL. epoch_steps -1: no batch is searched for. */
void anl_resources_report(const anl_recipe *recipe, double epoch_steps, const anl_limits *limits, const anl_footprint *needs,
                          const char *biggest, anl_diagnostics *diagnostics);
anl_lint_family anl_lint_resources;

#endif
