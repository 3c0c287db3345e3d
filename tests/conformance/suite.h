/* What the conformance tests share: a group of cases as it is being built, and the groups there are.
 * In: builders of small graphs. Out: named cases, each a value of the graph with the tolerance it is held to.
 * A group is one graph: many cases share a program, so that a device is asked once for all of them. */
#ifndef ANL_TESTS_CONFORMANCE_SUITE_H
#define ANL_TESTS_CONFORMANCE_SUITE_H

#include <stdlib.h>

/* calls.h is written for `check`; here a wrong call is a fault of the test itself and ends it. */
#define ck_assert_msg(condition, ...)                                                                                            \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            printf("not ok %s:%d: ", __FILE__, __LINE__);                                                                        \
            printf(__VA_ARGS__);                                                                                                 \
            printf("\n");                                                                                                        \
            exit(2);                                                                                                             \
        }                                                                                                                        \
    } while (0)

#include "../unit/calls.h"

enum { LARGE = 1 /* fused only, one step, compared with a fused oracle, no guards: for sizes, not for arithmetic */ };

typedef struct values { /* what a field or a state holds at the start */
    const char *name;
    anl_node *node;
    double low, high, unit; /* multiples of unit; 0: any */
    const double *given;    /* repeated, or NULL */
    int given_count;
} values;

typedef struct test_case {
    const char *name;
    const char *output; /* of the graph, or … */
    const char *state;  /* … a state's path */
    anl_node *node;
    double tolerance; /* of |expected| + scale; 0: exact */
    double scale;     /* 0: the root mean square of what is expected */
} test_case;

typedef struct maker {
    anl_graph *g;
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    anl_context context; /* for builtins */
    bool thorough;       /* --long */
    const char *name;    /* of the case being built */
    values *values;
    int value_count, value_capacity;
    test_case *cases;
    int case_count, case_capacity;
    int64_t steps[3];
    int step_count;
} maker;

typedef struct group {
    const char *name;
    void (*build)(maker *m);
    unsigned flags;
} group;

/* Names what follows; all checks until the next one are of this case. */
void begin(maker *m, const char *format, ...) ANL_PRINTF(2, 3);
/* Fields and states: shape as "batch 3 y 2", values in low … high, in multiples of unit (0: any float32). */
anl_node *field(maker *m, const char *name, anl_dtype dtype, const char *shape, double low, double high, double unit);
anl_node *field_given(maker *m, const char *name, anl_dtype dtype, const char *shape, const double *list, int count);
anl_state *state(maker *m, const char *name, anl_dtype dtype, const char *shape, double low, double high, double unit);
#define FLOATS(m, name, shape) field((m), (name), ANL_F32, (shape), -1, 1, 0)
#define GIVEN(m, name, shape, ...)                                                                                               \
    field_given(m, name, ANL_F32, shape, (const double[]){__VA_ARGS__},                                                          \
                (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))
/* Holds a value to the oracle's. */
void check_close(maker *m, anl_node *node, double tolerance);
void check_scaled(maker *m, anl_node *node, double tolerance,
                  double scale); /* where the result is small against what it is made of */
void check_exact(maker *m, anl_node *node);
void check_state(maker *m, anl_state *s, double tolerance);

static inline int32_t axis_id(maker *m, const char *name) { return anl_graph_axis(m->g, name); }
static inline anl_axis axis(maker *m, const char *name, int32_t size) { return (anl_axis){anl_graph_axis(m->g, name), size}; }
int shape_axes(maker *m, const char *shape, anl_axis *out);
int axis_list(maker *m, const char *names, int32_t *out);
static inline anl_node *number(maker *m, double value) { return anl_g_const(m->g, ANL_F32, value); }
static inline anl_node *whole(maker *m, int32_t value) { return anl_g_const(m->g, ANL_I32, value); }
static inline anl_node *op2(maker *m, anl_scalar s, anl_node *a, anl_node *b) { return anl_g_binary(m->g, s, a, b); }
static inline anl_node *reduce(maker *m, anl_op op, anl_node *a, const char *over)
{
    int32_t ids[ANL_MAX_AXES];
    int count = axis_list(m, over, ids);
    return anl_g_reduce(m->g, op, a, ids, count);
}
static inline anl_node *transpose(maker *m, anl_node *a, const char *order)
{
    int32_t ids[ANL_MAX_AXES];
    int count = axis_list(m, order, ids);
    return anl_g_transpose(m->g, a, ids, count);
}
/* A builtin by name; remembered as covered. */
anl_value builtin(maker *m, const char *name, const char *arguments, int count, const anl_value *given);
#define BUILTIN(m, name, arguments, ...)                                                                                         \
    builtin(m, name, arguments, (int)(sizeof((const anl_value[]){__VA_ARGS__}) / sizeof(anl_value)),                             \
            (const anl_value[]){__VA_ARGS__})

extern const group element_groups[], reduction_groups[], movement_groups[], contraction_groups[], state_groups[],
    gradient_groups[];
extern const int element_group_count, reduction_group_count, movement_group_count, contraction_group_count, state_group_count,
    gradient_group_count;

/* gradients.c: derivatives by central differences, through the compiled oracle program; reports each case to `report`. */
void differences(void (*report)(const char *name, const char *why), const char *only);
/* Builtins whose gradient has a case there. */
bool gradient_has_case(const char *builtin);

/* run.c: a float64 program of the graph, run as often as wanted on the oracle's device. */
typedef struct oracle oracle;
oracle *oracle_new(maker *m, bool fused, char *why, size_t why_size);
void oracle_free(oracle *o);
/* Sets the value of a field (all its elements, in its own axes' order). */
void oracle_feed(oracle *o, anl_node *field, const double *data);
bool oracle_run(oracle *o, int64_t step);
/* Row-major in the output's axes; valid until the next call. */
const double *oracle_output(oracle *o, const char *name, int64_t *count);
const double *oracle_state(oracle *o, const char *path, int64_t *count);

/* Deterministic data of a field or state for a step, in its memory order. */
void fill_values(const values *v, int64_t step, double *out);
maker *maker_new(bool thorough);
void maker_free(maker *m);

#endif
