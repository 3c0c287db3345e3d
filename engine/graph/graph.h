/* The graph: values with named axes in static single assignment, between the language and the compiler.
 * In: nodes appended by the tracer and by gradients. Out: a list in topological order that can be printed and verified.
 * Nodes are immutable once appended, except that attributes may be filled in right after graph_node(). One arena per graph. */
#ifndef ANL_GRAPH_GRAPH_H
#define ANL_GRAPH_GRAPH_H

#include <anlage/diagnostic.h>

#include "base/base.h"
#include "graph/scalar.h"

enum { ANL_MAX_AXES = 12, ANL_MAX_INPUTS = 64 };

/* An axis of a value: which axis, and how long. Axes are identified by id within their graph (anl_graph_axis). */
typedef struct anl_axis {
    int32_t id;
    int32_t size;
} anl_axis;

/* Operations of the graph. Elementwise ones are ANL_OP_SCALAR with attrs.scalar. The table in ops/ says the rest of each. */
typedef enum anl_op {
    /* sources */
    ANL_OP_CONST,   /* value; no axes (broadcast by name rules) */
    ANL_OP_TABLE,   /* constant data: table, with axes */
    ANL_OP_INDEX,   /* int32, one axis: 0, 1, … */
    ANL_OP_FIELD,   /* a field of the batch (or its mask): name */
    ANL_OP_STATE,   /* the value of a state (weight or other) at the start of the step: state */
    ANL_OP_STEP,    /* no axes, float: the step; count = 0 step, 1 steps per epoch, 2 total steps. Elementwise chains on these alone are per-step scalars */
    ANL_OP_UNIFORM, /* float in [0,1), axes as given, key; the sample is the index along axis `batch` (axis[0] of attrs, or -1), the element the row-major
                       index over the other axes in the order of attrs.over (declared order) */
    ANL_OP_NORMAL,
    /* elementwise: inputs broadcast by axis id to this node's axes; inputs are dtype-converted explicitly by CAST */
    ANL_OP_SCALAR,
    ANL_OP_STOP_GRADIENT,
    /* reductions over attrs.over */
    ANL_OP_SUM,
    ANL_OP_MAX,
    ANL_OP_ARGMAX,    /* int32, row-major index over attrs.over in that order */
    ANL_OP_LOGSUMEXP,
    ANL_OP_MEAN,      /* the mean half of moments over attrs.over */
    ANL_OP_VARIANCE,  /* the biased variance half; the compiler computes both in one pass where both are used */
    /* movement: nothing is computed, elements are found elsewhere */
    ANL_OP_RENAME,    /* attrs.rename: same elements, other axis ids (position by position the output's axes correspond to the input's) */
    ANL_OP_TRANSPOSE, /* same axes in another order (the order of a node's axes is its memory order if it is stored) */
    ANL_OP_REPLICATE, /* a new axis of attrs.axis[0] along which all is equal */
    ANL_OP_SLICE,     /* along axis: out[i] = in[start + i * step]; step may be negative (flip) */
    ANL_OP_PLACE,     /* adjoint of slice: out[start + i * step] = in[i], elsewhere attrs.value; along axis, output size from the node's axes */
    ANL_OP_CONCAT,    /* inputs along axis, in order */
    ANL_OP_SPLIT,     /* axis -> several axes (attrs.over: the new ids, outermost first; sizes from the node) */
    ANL_OP_MERGE,     /* several axes (attrs.over, outermost first) -> one (attrs.axis[0]) that takes the place of the last of them */
    ANL_OP_WINDOWS,   /* along space axis `axis`: adds a tap axis: out[o, t] = in[o*stride + t*dilation - padding], outside: attrs.value */
    ANL_OP_UNWINDOWS, /* adjoint: out[i] = sum of in[o, t] with o*stride + t*dilation - padding == i (a reduction over taps) */
    ANL_OP_GATHER,    /* input 0: source; inputs 1..: int32 indices, one for each axis in attrs.over; those axes are replaced by the indices' axes (union by id);
                         outside the source: attrs.value */
    /* contraction */
    ANL_OP_CONTRACT,  /* see anl_contraction below */
    ANL_OP_SEGMENT_SUM, /* input: [axis, …]; attrs.table: start of each segment (count + 1 entries) along axis; output: axis replaced by attrs.axis[1] of that count */
    ANL_OP_TOP_K,     /* int32 indices of the attrs.count greatest along axis, greatest first, ties: lowest index; axis takes that size */
    ANL_OP_COUNT
} anl_op;

/* Where the space axes of a convolution lie. Input, kernel and output positions of one space axis have the same axis id but other sizes. */
typedef struct anl_slide {
    int32_t axis;
    int32_t in_size, tap_size, out_size, stride, dilation, padding;
} anl_slide;

typedef enum anl_role { ANL_ROLE_FORWARD, ANL_ROLE_DATA, ANL_ROLE_WEIGHT } anl_role;

typedef struct anl_node anl_node;
typedef struct anl_state anl_state;

typedef struct anl_attrs {
    anl_scalar scalar;
    double value;           /* CONST, fills */
    int32_t axis[2];        /* the axis an operation works along, see each op */
    int32_t over[ANL_MAX_AXES];
    int32_t over_count;
    int32_t start, step, count; /* SLICE, PLACE; TOP_K; STEP */
    anl_slide slide[3];     /* WINDOWS, UNWINDOWS use slide[0] (axis[1]: the tap axis); CONTRACT: all */
    int32_t slide_count;
    anl_role role;          /* CONTRACT: FORWARD a = X, b = W; DATA a = Y gradient, b = W; WEIGHT a = X, b = Y gradient. Plain dot: FORWARD, no slides.
                               Summed: attrs.over (and taps, or positions). Axes that both inputs share and that are neither summed nor slid over are pointwise. */
    uint64_t key;           /* draws */
    const char *name;       /* FIELD: name of the field; "NAME" or "NAME:mask" */
    anl_state *state;
    const void *table;      /* TABLE: int32_t or float elements; SEGMENT_SUM: int32_t starts */
    int32_t table_count;
} anl_attrs;

struct anl_node {
    int32_t id; /* position in the graph */
    anl_op op;
    anl_dtype dtype;
    int32_t rank;
    anl_axis axes[ANL_MAX_AXES]; /* in memory order, should the value be stored: row-major, the last axis innermost */
    int32_t input_count;
    anl_node **inputs;
    anl_attrs attrs;
    anl_span span;    /* the expression or step it comes from */
    anl_span site;    /* the call in the spec itself by which a function of a library came to make it; line 0: span is the spec's own */
    const char *path; /* spec path for people: "pooled.encoder.layer1.0.body.bn1"; may be "" */
    const char *owner; /* the path under which its cost is counted: within a module the module's, as its weights' paths are ("encoder.layer1.0.bn1"),
                          for an update that of the state, else `path` */
    anl_stage stage;
    struct anl_written { /* where the size of an axis of it was written, as far as that is known; for messages */
        int32_t axis;
        anl_span span;
        const struct anl_written *next;
    } *written;
};

/* A value that persists from step to step. */
typedef enum anl_state_kind { ANL_WEIGHT_MATRIX, ANL_WEIGHT_BIAS, ANL_WEIGHT_NORM, ANL_WEIGHT_OTHER, ANL_STATE_OTHER } anl_state_kind;
struct anl_state {
    const char *path; /* "encoder.layer1.0.conv1.weight" */
    anl_state_kind kind;
    anl_dtype dtype;
    int32_t rank;
    anl_axis axes[ANL_MAX_AXES]; /* declared order (files) */
    int32_t order[ANL_MAX_AXES]; /* memory order: positions into axes, outermost first: space axes as declared, then the others reversed,
                                    so that a kernel [out, channel, y, x] lies as [y, x, channel, out] */
    const anl_state *arena;      /* non-NULL: lies inside this other state (the flat arena of an optimizer group) … */
    int64_t arena_offset;        /* … at this element */
    anl_node *value;             /* the ANL_OP_STATE node, or NULL until used */
    anl_node *update;            /* new value at the end of the step (any axis order), or NULL */
    anl_span span;
    int32_t id;
};

typedef struct anl_output {
    const char *name;
    anl_node *node;
} anl_output;

typedef struct anl_graph {
    anl_arena *arena; /* owned */
    anl_node **nodes;
    int node_count, node_capacity;
    struct anl_axis_name {
        const char *name;
        bool hidden; /* a ride-along axis inside a function: not to be named, not part of `all` */
        bool fresh;  /* made by anl_graph_fresh_axis: not found by name */
    } *axis_names;
    int axis_count, axis_capacity;
    anl_lookup paths; /* of states */
    anl_state **states;
    int state_count, state_capacity;
    anl_output *outputs;
    int output_count, output_capacity;
    const char *path;     /* given to new nodes, as are … */
    const char *owner;    /* … this (NULL: path), … */
    anl_stage stage;      /* … this, and … */
    anl_span span, site;  /* … these */
    struct anl_interned {
        uint64_t hash;
        anl_node *node;
    } *interned; /* hash table of the nodes that anl_graph_intern made; capacity a power of two */
    int interned_count, interned_capacity;
} anl_graph;

anl_graph *anl_graph_new(void);
anl_graph *anl_graph_new_sized(size_t bytes); /* for a graph that will need about so much */
void anl_graph_free(anl_graph **graph);
/* The axis called name (made on first use). */
int32_t anl_graph_axis(anl_graph *graph, const char *name);
int32_t anl_graph_find_axis(const anl_graph *graph, const char *name); /* -1: none of that name yet */
/* A new axis, distinct from all others, that prints as name: hides ride-along axes and makes private ones. */
int32_t anl_graph_fresh_axis(anl_graph *graph, const char *name, bool hidden);
const char *anl_graph_axis_name(const anl_graph *graph, int32_t axis);
bool anl_is_space(const anl_graph *graph, int32_t axis); /* z, y or x */

/* Appends a node with input_count inputs (copied); dtype, axes and attrs are to be filled in by the caller at once. */
anl_node *anl_graph_node(anl_graph *graph, anl_op op, anl_dtype dtype, int input_count, anl_node *const *inputs);
/* The node that equals draft in op, dtype, axes, inputs and attrs, made if there is none yet (draft: zeroed, then filled in; it is copied). */
anl_node *anl_graph_intern(anl_graph *graph, const anl_node *draft);
anl_state *anl_graph_state(anl_graph *graph, const char *path, anl_dtype dtype, anl_state_kind kind, const anl_axis *axes, int rank);
anl_state *anl_graph_find_state(const anl_graph *graph, const char *path);
anl_node *anl_graph_state_value(anl_graph *graph, anl_state *state); /* its ANL_OP_STATE node, axes in memory order */
void anl_graph_output(anl_graph *graph, const char *name, anl_node *node);

/* ---- axes of a node ---- */
int anl_node_axis(const anl_node *node, int32_t axis);       /* position, or -1 */
int32_t anl_node_size(const anl_node *node, int32_t axis);   /* size, or 0 */
int64_t anl_node_count(const anl_node *node);                /* elements */
bool anl_node_same_axes(const anl_node *a, const anl_node *b); /* as sets, sizes equal */
const char *anl_axes_text(const anl_graph *graph, anl_arena *arena, const anl_axis *axes, int rank); /* "[view 2, batch 64, channel 32]" */

/* ---- where sizes come from, for messages ---- */
void anl_graph_size_written(anl_graph *graph, anl_node *node, int32_t axis, anl_span span);
/* The place that made the axis as long as it is: a declaration, or an operation that changes sizes. */
anl_span anl_node_axis_origin(const anl_node *node, int32_t axis);
/* Adds "`channel` is 512 from here", unless the diagnostic itself stands there. */
void anl_graph_label_axis(anl_diagnostics *list, anl_diagnostic *d, const anl_graph *graph, const anl_node *node, int32_t axis);

/* ---- printing and verification (defined in ops/, which knows each operation) ---- */
void anl_graph_print(const anl_graph *graph, FILE *out); /* one line a node: %12 = multiply(%3, %7) f32 [batch 64, channel 32]  path */
/* Checks what every later stage relies on: inputs precede uses, axes unique, sizes positive, each op's shape rule, dtypes. */
anl_status anl_graph_verify(const anl_graph *graph, anl_diagnostics *diagnostics);

#endif
