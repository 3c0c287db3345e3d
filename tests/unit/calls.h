/* Calls of builtins from C, as the tracer makes them, for tests of operations.
 * In: a name, the names of its arguments and their values. Out: the value, with diagnostics in the context. */
#ifndef ANL_TESTS_CALLS_H
#define ANL_TESTS_CALLS_H

#ifndef ck_assert_msg /* a runner of another kind brings its own */
#include <check.h>
#endif

#include <anlage/diagnostic_codes.h>

#include "evaluate.h"

/* A place of its own for each argument, so that tests see which one a diagnostic means. */
static inline anl_value placed(anl_value value, int column)
{
    value.span = (anl_span){"test.yaml", 1, column, 1};
    return value;
}
static inline anl_value v_node(anl_node *node)
{
    anl_value value = {.kind = ANL_V_NODE};
    value.node = node;
    return value;
}
static inline anl_value v_int(int64_t integer)
{
    anl_value value = {.kind = ANL_V_INT};
    value.integer = integer;
    return value;
}
static inline anl_value v_number(double number)
{
    anl_value value = {.kind = ANL_V_NUMBER};
    value.number = number;
    return value;
}
static inline anl_value v_bool(bool truth)
{
    anl_value value = {.kind = ANL_V_BOOL};
    value.truth = truth;
    return value;
}
static inline anl_value v_text(const char *text)
{
    anl_value value = {.kind = ANL_V_TEXT};
    value.text = text;
    return value;
}
static inline anl_value v_axis(anl_context *c, const char *name)
{
    anl_value value = {.kind = ANL_V_AXIS};
    value.axis = anl_graph_axis(c->graph, name);
    return value;
}
static inline anl_value v_list(anl_context *c, int count, const anl_value *items)
{
    anl_value value = {.kind = ANL_V_LIST};
    value.list.items = ANL_NEW_ARRAY(c->graph->arena, anl_value, count + 1);
    memcpy(value.list.items, items, sizeof *items * (size_t)count);
    value.list.count = count;
    return value;
}
/* "y x" as a list of axes. */
static inline anl_value v_axes(anl_context *c, const char *names)
{
    anl_value items[ANL_MAX_AXES];
    int count = 0;
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        items[count++] = v_axis(c, name);
    return v_list(c, count, items);
}
/* One pair axis: value. */
static inline anl_value v_pair(anl_context *c, const char *axis, anl_value value)
{
    anl_value items[2] = {v_axis(c, axis), value};
    return v_list(c, 2, items);
}

/* The value of a builtin; names: "x over where", the arguments given, in the order in which they follow. Kind NONE after a problem. */
static inline anl_value call_list(anl_context *c, const char *builtin, const char *names, const anl_value *given)
{
    anl_value arguments[10] = {0}, result = {0};
    const anl_builtin *b = anl_builtin_find(builtin);
    ck_assert_msg(b != NULL, "no builtin %s", builtin);
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", names);
    int next = 0;
    for (char *name; (name = strtok_r(rest, " ", &rest)); next++) {
        int k = 0;
        while (k < b->param_count && strcmp(b->params[k].name, name))
            k++;
        ck_assert_msg(k < b->param_count, "%s has no argument %s", builtin, name);
        arguments[k] = given[next];
    }
    for (int k = 0; k < b->param_count; k++)
        ck_assert_msg(b->params[k].fallback || arguments[k].kind != ANL_V_NONE || b->params[k].kind == 'A', "%s needs %s", builtin, b->params[k].name);
    anl_status status = b->build(c, arguments, &result);
    ck_assert_msg((status == ANL_OK) == (result.kind != ANL_V_NONE), "%s: status and result disagree", builtin);
    ck_assert_msg(status == ANL_OK || anl_diagnostics_errors(c->diagnostics) > 0, "%s fails without a diagnostic", builtin);
    return result;
}
#define CALL(c, builtin, names, ...) call_list(c, builtin, names, (const anl_value[]){__VA_ARGS__})

static inline anl_value operate(anl_context *c, anl_scalar s, anl_value a, anl_value b)
{
    anl_value operands[2] = {a, b}, result;
    anl_operator(c, s, operands, anl_scalar_arity(s), &result);
    return result;
}

/* "view 2 batch 3" as a state of that shape: a value to be given. */
static inline anl_node *input_node(anl_context *c, const char *name, const char *shape)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = 0;
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", shape);
    for (char *axis; (axis = strtok_r(rest, " ", &rest));)
        axes[rank++] = (anl_axis){anl_graph_axis(c->graph, axis), atoi(strtok_r(rest, " ", &rest))};
    return anl_graph_state_value(c->graph, anl_graph_state(c->graph, name, ANL_F32, ANL_WEIGHT_OTHER, axes, rank));
}

/* Numbers in low … high without order, the same in every run. */
static inline void fill(double *values, int64_t count, double low, double high, uint64_t seed)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = low + (high - low) * (double)(anl_hash(&i, sizeof i, seed) >> 11) / 9007199254740992.0;
}

#endif
