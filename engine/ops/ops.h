/* The operation table: each primitive declared once, with signature, axis rule, gradient, cost, lowering and documentation.
 * In: bound arguments of a call (from the tracer), or nodes (from gradients). Out: nodes in the graph, scalar instructions for the
 * compiler, text for the reference. What differs between operations stands here and nowhere else. */
#ifndef ANL_OPS_OPS_H
#define ANL_OPS_OPS_H

#include <anlage/diagnostic.h>
#include <anlage/ops.h>

#include "base/base.h"
#include "graph/graph.h"

/* ---- values of the language: static ones (known when compiling) and nodes ---- */
typedef enum anl_value_kind {
    ANL_V_NONE,
    ANL_V_NODE,     /* a tensor or a per-step scalar */
    ANL_V_INT,      /* static */
    ANL_V_NUMBER,   /* static */
    ANL_V_BOOL,     /* static */
    ANL_V_TEXT,     /* static: a name used as an enumeration word or a string */
    ANL_V_AXIS,     /* static: an axis id */
    ANL_V_LIST,     /* of values (axes, numbers, nodes); an axis list such as `rest`, `space`, `all` is a list of ANL_V_AXIS */
    ANL_V_MAPPING,  /* named members: moments(x).mean */
    ANL_V_FUNCTION, /* the tracer's: a function or module, possibly with arguments bound */
    ANL_V_DURATION, /* static count with unit: it or ep */
} anl_value_kind;

typedef struct anl_value anl_value;
struct anl_value {
    anl_value_kind kind;
    anl_span span;   /* where it was written */
    anl_span origin; /* static values: where the number or word itself stands, whatever params and arguments it came through */
    bool outer;    /* marked outer(v): may bring new axes into an elementwise operation */
    union {
        anl_node *node;
        int64_t integer;
        double number;
        bool truth;
        const char *text;
        int32_t axis;
        struct {
            anl_value *items;
            int count;
        } list;
        struct {
            const char **names;
            anl_value *items;
            int count;
        } mapping;
        void *function;
        struct {
            double count;
            bool epochs; /* else steps */
        } duration;
    };
};

/* ---- calls from the language ---- */
typedef struct anl_context {
    anl_graph *graph;
    anl_diagnostics *diagnostics;
    anl_span span;            /* of the call */
    /* Draws: the call's ride-along axes with sizes (includes batch where it rides along), in declared order, and the path that keys them. */
    const anl_axis *ride;
    int ride_count;
    int32_t batch_axis;       /* id of the axis `batch` as the frame sees it (hidden or not), or -1 */
    uint64_t draw_key;        /* of this call: hash of (seed, path) or of key: */
    /* Optional (NULL: names are the graph's own axes, sizes are unknown): what the caller's frame knows of axes. */
    int32_t (*axis_named)(const struct anl_context *context, const char *name); /* the axis that a name means here; makes a private one where it is new */
    int32_t (*axis_size)(const struct anl_context *context, int32_t axis);      /* the size of an axis the frame knows, or 0 */
    void *user;
} anl_context;

/* One declared parameter of an operation. Kinds: v value (node or static number), a axis, A axis or list of axes, i int, n number, b bool, t word,
 * l list of values, m pairs (a mapping, or a list of two-element lists: axis first). Optional ones have a default in text form, as documentation prints it.
 * Pairs: in rename(x, view=assign) and replicate(x, view=2) they are the keyword arguments themselves. Names on the left are looked up among the axes
 * of the value (rename) or by context->axis_named (new axes: replicate, split); a list of [axis, …] pairs needs no lookup. */
typedef struct anl_op_param {
    const char *name;
    char kind;
    const char *fallback; /* NULL: required */
    const char *doc;
} anl_op_param;

typedef struct anl_builder {
    anl_graph *graph;
    anl_diagnostics *diagnostics; /* may be NULL in gradients */
} anl_builder;

/* For lowering: the compiler walks from a stored value back to loads, op by op, in terms of coordinates. */
typedef struct anl_lowering anl_lowering;
struct anl_lowering {
    /* Emits (or finds) a scalar instruction; returns its number. Folds constants; int32 algebra with 0 and 1 simplified. */
    int32_t (*emit)(anl_lowering *, anl_scalar op, anl_dtype dtype, int32_t a, int32_t b, int32_t c);
    int32_t (*constant)(anl_lowering *, anl_dtype dtype, double value);
    int32_t (*draw)(anl_lowering *, anl_op op, uint64_t key, int32_t element, int32_t sample);
    /* The value of a node at the coordinates (one int32 instruction for each of its axes, in its axis order): recursion into the producer,
     * or a load where the compiler stores it. */
    int32_t (*value)(anl_lowering *, const anl_node *node, const int32_t *coordinates);
    /* Loads made by `value` calls between push and pop are guarded: they read only where guard (bool instruction) holds. Nests (and). */
    void (*push_guard)(anl_lowering *, int32_t guard);
    void (*pop_guard)(anl_lowering *);
    /* Element of a constant table of the node (attrs.table). */
    int32_t (*table)(anl_lowering *, const anl_node *node, int32_t index);
};

typedef struct anl_op_info {
    anl_op op;
    const char *name;      /* graph printer's name */
    /* The axis rule for a finished node: recompute dtype and axes from inputs and attrs, compare (verifier). Returns NULL or what is wrong. */
    const char *(*verify)(const anl_graph *graph, const anl_node *node);
    /* Gradient: given node and the gradient of the loss by it (same axes as a set, any order), fill input_gradients (NULL: none flows). Written with the anl_g_… builders.
     * NULL: not differentiable by design (integer results, sources). ANL_ERROR_SPEC from it: a missing gradient rule. */
    anl_status (*gradient)(anl_graph *graph, anl_node *node, anl_node *gradient, anl_node **input_gradients);
    bool gradient_missing; /* differentiable in principle, rule not written (for input 0): diagnostic A0502 names the path */
    /* Lowering for operations that can be inlined into any kernel: value of the node at coordinates. NULL: reductions and contractions, which the compiler knows. */
    int32_t (*lower)(anl_lowering *, const anl_node *node, const int32_t *coordinates);
    double (*flops)(const anl_node *node); /* total */
} anl_op_info;
const anl_op_info *anl_op_describe(anl_op op);

/* Functions that the language sees; most map to one op, some build several nodes (moments, mean, dot, convolve, sample, pooling). */
typedef struct anl_builtin {
    const char *name;
    const char *family;    /* elementwise, source, draw, reduction, movement, contraction, sampling, other */
    const char *doc;       /* what it computes, axes, dtype; source of a formula */
    const char *example;
    anl_op_param params[10];
    int param_count;
    /* arguments[i] belongs to params[i]; omitted optional ones have kind ANL_V_NONE. On a problem: diagnostic, and result kind ANL_V_NONE. */
    anl_status (*build)(anl_context *context, const anl_value *arguments, anl_value *result);
    const char *axes;     /* the axis rule, in words: axes of the result */
    const char *gradient; /* "yes", or what flows and why not */
} anl_builtin;
const anl_builtin *anl_builtin_find(const char *name);
const anl_builtin *anl_builtin_at(int index); /* NULL past the end: for the reference, completion, did-you-mean */
void anl_builtin_signature(anl_text *text, const anl_builtin *b); /* "mean(x, over, where=…)" */
const char *anl_op_param_words(char kind);                        /* "axes" */
/* anl_ops_print, anl_ops_has, anl_ops_nearest: <anlage/ops.h> */

/* Operators of expressions: `+ - * / // ** %`, comparisons, and/or/not, unary minus. Static operands give static results; with a node the axis rule holds
 * (A0402 without outer). name is the scalar's name ("add", "less", …). */
anl_status anl_operator(anl_context *context, anl_scalar scalar, const anl_value *operands, int count, anl_value *result);
const char *anl_scalar_symbol(anl_scalar s); /* "+", "//" …, or its name */
/* A static number, or a node, as a node of dtype (constant, cast). NULL with a diagnostic if it is neither. */
anl_node *anl_value_node(anl_context *context, const anl_value *value, anl_dtype dtype);
const char *anl_value_kind_text(const anl_value *value); /* "a list", "an axis", "a tensor [batch 64]" … for messages */

/* ---- builders: nodes without diagnostics, for gradients, the tracer and tests. Arguments must be right (asserted). ---- */
anl_node *anl_g_const(anl_graph *g, anl_dtype dtype, double value);
anl_node *anl_g_unary(anl_graph *g, anl_scalar s, anl_node *a);
anl_node *anl_g_binary(anl_graph *g, anl_scalar s, anl_node *a, anl_node *b); /* axes: those of the operand with more, then what only the other has in front */
anl_node *anl_g_where(anl_graph *g, anl_node *c, anl_node *a, anl_node *b);
anl_node *anl_g_cast(anl_graph *g, anl_dtype dtype, anl_node *a);
anl_node *anl_g_reduce(anl_graph *g, anl_op op, anl_node *a, const int32_t *over, int over_count);
anl_node *anl_g_index(anl_graph *g, int32_t axis, int32_t size);
anl_node *anl_g_rename(anl_graph *g, anl_node *a, int32_t from, int32_t to);
anl_node *anl_g_transpose(anl_graph *g, anl_node *a, const int32_t *order /* axis ids, outermost first */, int count);
anl_node *anl_g_replicate(anl_graph *g, anl_node *a, int32_t axis, int32_t size); /* outermost */
anl_node *anl_g_slice(anl_graph *g, anl_node *a, int32_t axis, int32_t start, int32_t count, int32_t step);
anl_node *anl_g_place(anl_graph *g, anl_node *a, int32_t axis, int32_t start, int32_t step, int32_t size, double fill);
anl_node *anl_g_concat(anl_graph *g, anl_node *const *inputs, int count, int32_t axis);
anl_node *anl_g_split(anl_graph *g, anl_node *a, int32_t axis, const anl_axis *into, int count);
anl_node *anl_g_merge(anl_graph *g, anl_node *a, const int32_t *axes, int count, int32_t into);
anl_node *anl_g_windows(anl_graph *g, anl_node *a, anl_slide slide, int32_t tap_axis, double fill);
anl_node *anl_g_unwindows(anl_graph *g, anl_node *a, anl_slide slide, int32_t tap_axis);
anl_node *anl_g_gather(anl_graph *g, anl_node *source, const int32_t *axes, anl_node *const *indices, int count, double fill);
anl_node *anl_g_contract(anl_graph *g, anl_node *a, anl_node *b, const int32_t *over, int over_count, anl_role role, const anl_slide *slides,
                         int slide_count, const anl_axis *out_axes, int out_rank /* the output's axes in memory order */);
anl_node *anl_g_draw(anl_graph *g, anl_op op, uint64_t key, const anl_axis *axes, int rank, int32_t batch_axis);
anl_node *anl_g_table(anl_graph *g, anl_dtype dtype, const void *data, const anl_axis *axes, int rank);
anl_node *anl_g_segment_sum(anl_graph *g, anl_node *a, int32_t axis, const int32_t *starts, int segments, int32_t segment_axis);
anl_node *anl_g_step(anl_graph *g, int which);
anl_node *anl_g_stop_gradient(anl_graph *g, anl_node *a);

/* ---- reverse mode ---- */
/* Appends nodes for the gradients of `loss` (no axes) by each of wrt[i]; gradients[i] has wrt[i]'s axes in its memory order, or is NULL where no
 * path leads from it to the loss. A missing rule on a path is A0502 with the operations on the path named. */
anl_status anl_gradient(anl_graph *graph, anl_node *loss, anl_node *const *wrt, int count, anl_node **gradients, anl_diagnostics *diagnostics);

#endif
