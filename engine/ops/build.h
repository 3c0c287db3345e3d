/* What the files of ops/ share: drafts of nodes, argument reading with diagnostics, coordinates, and the list of families.
 * In: nodes and bound arguments. Out: nodes, or a diagnostic with place, cause and remedy.
 * Internal to ops/. */
#ifndef ANL_OPS_BUILD_H
#define ANL_OPS_BUILD_H

#include <assert.h>
#include <string.h>

#include "ops/ops.h"

/* ---- the families: each file of primitives gives its operations and its builtins ---- */
#define ANL_OP_INFOS(X)                                                                                                          \
    X(CONST, const)                                                                                                              \
    X(TABLE, table)                                                                                                              \
    X(INDEX, index)                                                                                                              \
    X(FIELD, field)                                                                                                              \
    X(STATE, state)                                                                                                              \
    X(STEP, step)                                                                                                                \
    X(UNIFORM, uniform)                                                                                                          \
    X(NORMAL, normal)                                                                                                            \
    X(SCALAR, scalar)                                                                                                            \
    X(STOP_GRADIENT, stop_gradient)                                                                                              \
    X(SUM, sum)                                                                                                                  \
    X(MAX, max)                                                                                                                  \
    X(ARGMAX, argmax)                                                                                                            \
    X(LOGSUMEXP, logsumexp)                                                                                                      \
    X(MEAN, mean)                                                                                                                \
    X(VARIANCE, variance)                                                                                                        \
    X(RENAME, rename)                                                                                                            \
    X(TRANSPOSE, transpose)                                                                                                      \
    X(REPLICATE, replicate)                                                                                                      \
    X(SLICE, slice)                                                                                                              \
    X(PLACE, place)                                                                                                              \
    X(CONCAT, concat)                                                                                                            \
    X(SPLIT, split)                                                                                                              \
    X(MERGE, merge)                                                                                                              \
    X(WINDOWS, windows)                                                                                                          \
    X(UNWINDOWS, unwindows)                                                                                                      \
    X(GATHER, gather)                                                                                                            \
    X(CONTRACT, contract)                                                                                                        \
    X(SEGMENT_SUM, segment_sum)                                                                                                  \
    X(TOP_K, top_k)
#define X(op, name) extern const anl_op_info anl_info_##name;
ANL_OP_INFOS(X)
#undef X

typedef struct anl_builtin_list {
    const anl_builtin *items;
    int count;
} anl_builtin_list;
extern const anl_builtin_list anl_builtins_elementwise, anl_builtins_source, anl_builtins_reduction, anl_builtins_movement,
    anl_builtins_windows, anl_builtins_contraction, anl_builtins_sampling;

/* ---- drafts: a node on the stack, filled in and then interned ---- */
static inline anl_node anl_draft(anl_op op, anl_dtype dtype, int input_count, anl_node **inputs)
{
    anl_node draft;
    memset(&draft, 0, sizeof draft); /* all bytes: drafts are compared byte by byte */
    draft.op = op;
    draft.dtype = dtype;
    draft.input_count = input_count;
    draft.inputs = inputs;
    return draft;
}

static inline void anl_draft_axes(anl_node *draft, const anl_node *like)
{
    draft->rank = like->rank;
    memcpy(draft->axes, like->axes, sizeof draft->axes);
}

static inline void anl_draft_add_axis(anl_node *draft, anl_axis axis)
{
    assert(draft->rank < ANL_MAX_AXES);
    draft->axes[draft->rank++] = axis;
}

static inline bool anl_list_has(const int32_t *list, int count, int32_t axis)
{
    for (int i = 0; i < count; i++)
        if (list[i] == axis)
            return true;
    return false;
}

static inline bool anl_is_const(const anl_node *node, double value) { return node->op == ANL_OP_CONST && node->attrs.value == value; }

/* ---- builders beyond ops.h ---- */
anl_node *anl_g_scalar(anl_graph *g, anl_scalar s, anl_dtype dtype, int count, anl_node *const *operands); /* any elementwise, simplified */
anl_node *anl_g_float(anl_graph *g, anl_node *a); /* as float32 */
/* a with further axes, along which all is equal, so that it has the axes of like in like's order. a's axes are among like's. */
anl_node *anl_g_spread(anl_graph *g, anl_node *a, const anl_node *like);
anl_node *anl_g_as(anl_graph *g, anl_node *a, const anl_node *like); /* transposed to like's order; same axes */
anl_node *anl_g_sum_to(anl_graph *g, anl_node *a, const anl_node *like); /* summed over the axes that like lacks, in like's order */
anl_node *anl_g_drop(anl_graph *g, anl_node *a, int32_t axis); /* without an axis of size 1 */
/* Reduces by counting windows: taps of node's slide axis are named by fresh axes; returns the tap axis. */
anl_node *anl_g_flip(anl_graph *g, anl_node *a, int32_t axis);

/* ---- scalar operations ---- */
const char *anl_scalar_name(anl_scalar s);
int anl_scalar_arity(anl_scalar s);
char anl_scalar_types(anl_scalar s);
int anl_scalar_cost(anl_scalar s);
const char *anl_dtype_name(anl_dtype dtype);                                                                /* "f32" */
const char *anl_dtype_text(anl_dtype dtype);                                                                /* "float" */

/* ---- reading arguments; all add a diagnostic and return false / NULL on a problem ---- */
anl_diagnostic *anl_problem(anl_context *context, anl_code code, anl_span span, const char *format, ...) ANL_PRINTF(4, 5);
anl_span anl_value_span(const anl_context *context, const anl_value *value); /* the value's, else its node's, else the call's */
/* A tensor as it is; a static number or bool as a constant of its natural type. */
anl_node *anl_read_node(anl_context *context, const anl_value *value);
anl_node *anl_read_float(anl_context *context, const anl_value *value);
bool anl_read_int(anl_context *context, const anl_value *value, int64_t fallback, int64_t low, int64_t high, const char *what, int64_t *out);
bool anl_read_number(anl_context *context, const anl_value *value, double fallback, const char *what, double *out);
bool anl_read_axis(anl_context *context, const anl_value *value, int32_t *out);
/* Axes of over= and the like: an axis, a list, nested lists; without repeats. A0403 when omitted. */
bool anl_read_axes(anl_context *context, const anl_value *value, const char *call, int32_t *out, int *count);
/* One item for each space axis; all of them must be axes of node (A0404). */
bool anl_check_axis(anl_context *context, const anl_node *node, int32_t axis, anl_span span, anl_span node_span, const char *call);
typedef struct anl_axis_pair {
    const char *name; /* left side as written, or NULL where it is an axis */
    int32_t axis;     /* left side as an axis, or -1 */
    const anl_value *value;
    anl_span span;
} anl_axis_pair;
bool anl_read_pairs(anl_context *context, const anl_value *value, anl_axis_pair *out, int limit, int *count);
int32_t anl_pair_new_axis(anl_context *context, const anl_axis_pair *pair);                           /* left side as a new axis' id */
int32_t anl_pair_axis_of(anl_context *context, const anl_axis_pair *pair, const anl_node *node);      /* left side as one of node's axes; -1 */
int32_t anl_value_new_axis(anl_context *context, const anl_value *value);                        /* an axis, or a name; -1 with a diagnostic */
const char *anl_visible_axes(anl_context *context, const anl_node *node);                        /* "[batch 64, channel 3]"; hidden ones left out */
bool anl_axis_visible(const anl_graph *graph, int32_t axis);

static inline anl_value anl_node_value(const anl_context *context, anl_node *node)
{
    anl_value value = {.kind = ANL_V_NODE, .span = context->span};
    value.node = node;
    return value;
}
/* Checks the axis rule of elementwise operations (A0401, A0402). */
bool anl_check_elementwise(anl_context *context, const char *name, const anl_value *operands, anl_node *const *nodes, int count);
/* Checks that axes which two values share have the same size, but for those listed. */
bool anl_check_shared(anl_context *context, const anl_value *a, const anl_node *na, const anl_value *b, const anl_node *nb, const int32_t *except,
                      int except_count);

/* ---- lowering ---- */
static inline void anl_project(const anl_node *node, const int32_t *coordinates, const anl_node *input, int32_t *out)
{
    for (int i = 0; i < input->rank; i++) {
        int position = anl_node_axis(node, input->axes[i].id);
        assert(position >= 0);
        out[i] = coordinates[position];
    }
}
static inline int32_t anl_l_int(anl_lowering *l, int64_t value) { return l->constant(l, ANL_I32, (double)value); }
static inline int32_t anl_l(anl_lowering *l, anl_scalar s, int32_t a, int32_t b) { return l->emit(l, s, ANL_I32, a, b, -1); }
static inline int32_t anl_l_bool(anl_lowering *l, anl_scalar s, int32_t a, int32_t b) { return l->emit(l, s, ANL_BOOL, a, b, -1); }
/* 0 <= i < size as a bool instruction. */
static inline int32_t anl_l_inside(anl_lowering *l, int32_t i, int32_t size)
{
    return anl_l_bool(l, ANL_S_AND, anl_l_bool(l, ANL_S_LE, anl_l_int(l, 0), i), anl_l_bool(l, ANL_S_LT, i, anl_l_int(l, size)));
}
/* The value of input at coordinates where guard holds, else fill. */
static inline int32_t anl_l_guarded(anl_lowering *l, const anl_node *input, const int32_t *coordinates, int32_t guard, double fill)
{
    l->push_guard(l, guard);
    int32_t value = l->value(l, input, coordinates);
    l->pop_guard(l);
    return l->emit(l, ANL_S_SELECT, input->dtype, guard, value, l->constant(l, input->dtype, fill));
}

#endif
