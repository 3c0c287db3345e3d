/* A drawing: boxes for parts of the forward graph, in clusters along the paths of the spec, and what flows between them.
 * In: a traced graph. Out: plain data that draw_dot.c writes as text.
 * Internal to run/. */
#ifndef ANL_RUN_DRAW_H
#define ANL_RUN_DRAW_H

#include <anlage/draw.h>

#include "spec/recipe.h"
#include "trace/trace.h"

/* What a name of the spec is, for colours. */
typedef enum draw_kind {
    DRAW_OTHER,
    DRAW_VIEW,
    DRAW_NODE,
    DRAW_LOSS,
    DRAW_METRIC,
    DRAW_STATE,
    DRAW_FIELD,
    DRAW_WEIGHTS
} draw_kind;

/* A prefix of paths: "pooled", "pooled.encoder", … */
typedef struct draw_group {
    const char *name; /* its last part */
    struct draw_group *parent;
    int depth; /* of the first parts: 1; of the root: 0 */
    struct draw_group **children;
    int child_count, child_capacity;
    bool weights;             /* there are some below … */
    bool contracts;           /* … that are those of a convolution or a product */
    const anl_module *copied; /* the module that it is, where that is a copy of another; else NULL */
    int boxes;                /* below it, itself included */
    int cluster;              /* number among the clusters, or -1: it is one box, or nothing */
    const anl_node *first;
} draw_group;

/* What is drawn as one: operations of one group, a field, a state, the weights of a module that is used as a value, or an end. */
typedef struct draw_box {
    draw_kind kind;
    draw_group *group;      /* operations: theirs; else NULL */
    const char *name, *say; /* others: what they are called, and a line about them or NULL */
    const anl_node **nodes;
    int node_count, node_capacity;
    const anl_state **states; /* weights, and states of modules, that its operations read */
    int state_count, state_capacity;
    bool through; /* nothing but elements that move, between other boxes: drawn as a part of the edge */
    bool ends;    /* a loss's value is in it */
    int draws;    /* random ones */
} draw_box;

/* One arrow for all that flows from one box to another in the same way. */
typedef struct draw_edge {
    int from, to;
    bool gradient; /* one flows back */
    bool stopped;  /* none does: a stop_gradient is in the way */
    bool later;    /* the new value of a state: takes effect at the end of the step … */
    bool back;     /* … and is made of what the state is in this one */
    const char **labels;
    int label_count, label_capacity;
} draw_edge;

/* A module that follows another. */
typedef struct draw_copy {
    const anl_module *module;
    int from, to; /* boxes */
    const draw_group *from_group, *to_group;
} draw_copy;

typedef struct drawing {
    anl_arena *arena;
    const anl_recipe *recipe;
    const anl_traced *traced;
    bool evaluate;
    int64_t step; /* at which the phase begins */
    int depth;
    draw_group *root;
    draw_box *boxes;
    int box_count, box_capacity;
    draw_edge *edges;
    int edge_count, edge_capacity;
    draw_copy *copies;
    int copy_count, copy_capacity;
    int *box_of;      /* by node id; -1: not drawn */
    const int *owner; /* by state id: the first box that reads it, or -1 */
} drawing;

/* draw.c */
bool draw_open(const drawing *d, const draw_group *group); /* drawn apart, as long as there is more than one box in it */
draw_kind draw_kind_of(const drawing *d, const draw_group *group);
bool draw_state_named(const drawing *d, const anl_state *state); /* declared by the spec itself, not by a function */

const char *draw_axes(const drawing *d, const anl_axis *axes, int rank); /* "view 2, batch 64" */

/* draw_dot.c */
void draw_write(drawing *d, FILE *out);

#endif
