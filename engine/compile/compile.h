/* The compiler: a graph with gradients and updates becomes a flat program.
 * In: a verified graph. Out: a program: kernels fused, memory planned, barriers placed. No device is needed or known. */
#ifndef ANL_COMPILE_COMPILE_H
#define ANL_COMPILE_COMPILE_H

#include "compile/program.h"
#include "graph/graph.h"

typedef struct anl_compile_options {
    bool f64;       /* the oracle: floats are float64 */
    bool no_fusion; /* every node its own kernel (the oracle) */
} anl_compile_options;

/* Where each state lies in the state space: shared by the programs of all phases, so made once from all graphs and given to each compilation. */
typedef struct anl_state_place {
    const char *path;
    anl_dtype dtype;
    anl_state_kind kind;
    int rank;
    const char *axis[ANL_MAX_AXES];  /* declared order */
    int32_t size[ANL_MAX_AXES];
    int64_t stride[ANL_MAX_AXES];    /* elements */
    int64_t count;
    int64_t offset;                  /* bytes in the state space (a state inside an arena: the arena's offset + its element offset) */
    bool in_arena;
} anl_state_place;
typedef struct anl_state_layout {
    anl_arena *arena;
    anl_state_place *places; /* in order of first appearance */
    int count;
    int64_t bytes;
    bool f64;
} anl_state_layout;
anl_status anl_state_layout_new(anl_graph *const *graphs, int count, bool f64, anl_diagnostics *diagnostics, anl_state_layout **out);
void anl_state_layout_free(anl_state_layout **layout);
int anl_state_layout_find(const anl_state_layout *layout, const char *path); /* -1: none */
/* Whether a place is the flat arena of an optimizer group: its members have places of their own. */
bool anl_place_is_arena(const anl_state_layout *layout, int place);

/* Graph inputs are the FIELD nodes (ports named NAME and NAME:mask, axes batch + declared); outputs the graph's outputs; updates of states are effects. */
anl_status anl_compile(anl_graph *graph, const anl_state_layout *layout, const anl_compile_options *options, anl_diagnostics *diagnostics,
                       anl_program **out);

#endif
