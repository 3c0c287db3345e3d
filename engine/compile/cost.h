/* What a program costs, as a tree by the paths of the spec.
 * In: a graph with its layout and program; seconds per kernel, where they were measured. Out: lines, each with what is its own
 * and what is below it; the whole adds up to the first. A kernel counts where its contraction, or else its first result, belongs;
 * gradients count where the value does that they are of, updates where the weight does. */
#ifndef ANL_COMPILE_COST_H
#define ANL_COMPILE_COST_H

#include "compile/compile.h"

typedef struct anl_cost {
    int64_t weights, tensors; /* elements of weights; how many weights */
    int64_t optimizer, state; /* bytes: the optimizer's state of these weights; other state (running statistics, queues) */
    int64_t activations;      /* bytes that the forward pass writes to planned memory */
    int64_t peak;             /* bytes in use when most are */
    int kernels;
    double flops[ANL_STAGE_COUNT], bytes[ANL_STAGE_COUNT]; /* bytes: read and written */
    double estimate;                                       /* seconds, at the rates given */
    double seconds;                                        /* measured */
} anl_cost;

typedef struct anl_cost_line {
    const char *path; /* "encoder.layer1.0"; "" is the whole */
    int parent;       /* -1: the whole */
    int depth;        /* parts of the path; 0: the whole */
    int children;     /* lines directly below */
    anl_cost own, all;
} anl_cost_line;

typedef struct anl_cost_tree {
    anl_cost_line *lines; /* in the order of computation, each before what is below it; lines[0] is the whole */
    int count;
} anl_cost_tree;

typedef struct anl_cost_rates {
    double flops, bytes; /* per second */
} anl_cost_rates;
/* Without a device: only shares can be told, by the ratio that current GPUs have. */
extern const anl_cost_rates anl_cost_nominal;

/* Updates of weights that lie in one arena are shared out by size; as kernels they count under "optimizer".
 * seconds: [kernel_count], or NULL. The tree lives in the arena. */
anl_cost_tree *anl_cost_tree_new(anl_arena *arena, const anl_graph *graph, const anl_state_layout *layout,
                                 const anl_program *program, anl_cost_rates rates, const double *seconds);
/* "encoder.layer1 60.1 MiB, encoder.bn1 40.0 MiB, queue 8.0 MiB": what takes most of the memory, state included; NULL: nothing
 * does. */
const char *anl_cost_biggest(anl_arena *arena, const anl_graph *graph, const anl_state_layout *layout,
                             const anl_program *program);
int anl_cost_find(const anl_cost_tree *tree, const char *path); /* -1: none */
double anl_cost_flops(const anl_cost *cost);                    /* of all stages */
double anl_cost_bytes(const anl_cost *cost);

#endif
