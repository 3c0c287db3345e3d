/* Elementwise operations: arithmetic, functions of one number, comparisons, where, cast.
 * In: operands aligned by axis name. Out: one value with the union of their axes (the language's rule makes it one operand's axes).
 * The list of scalar operations is graph/scalar.h; here stand their axis rule, simplification, gradients and builtins. */
#include "ops/build.h"

#include <math.h>

/* ---- the scalar operations as data ---- */

static const struct {
    const char *name;
    int arity;
    char types;
    int cost;
} scalars[] = {
#define X(name, text, arity, types, cost) {text, arity, types, cost},
    ANL_SCALARS(X)
#undef X
};

const char *anl_scalar_name(anl_scalar s) { return scalars[s].name; }
int anl_scalar_arity(anl_scalar s) { return scalars[s].arity; }
char anl_scalar_types(anl_scalar s) { return scalars[s].types; }
int anl_scalar_cost(anl_scalar s) { return scalars[s].cost; }

const char *anl_scalar_symbol(anl_scalar s)
{
    switch (s) {
    case ANL_S_NEGATE:
    case ANL_S_SUB:
        return "-";
    case ANL_S_ADD:
        return "+";
    case ANL_S_MUL:
        return "*";
    case ANL_S_DIV:
        return "/";
    case ANL_S_FLOORDIV:
        return "//";
    case ANL_S_MOD:
        return "%";
    case ANL_S_POW:
        return "**";
    case ANL_S_LT:
        return "<";
    case ANL_S_LE:
        return "<=";
    case ANL_S_EQ:
        return "==";
    case ANL_S_NE:
        return "!=";
    default:
        return scalars[s].name;
    }
}

const char *anl_dtype_name(anl_dtype dtype) { return dtype == ANL_F32 ? "f32" : dtype == ANL_I32 ? "i32" : "bool"; }
const char *anl_dtype_text(anl_dtype dtype) { return dtype == ANL_F32 ? "float" : dtype == ANL_I32 ? "int" : "bool"; }

/* ---- builders ---- */

static anl_dtype result_dtype(anl_scalar s, anl_node *const *operands)
{
    switch (scalars[s].types) {
    case 'n':
        return operands[0]->dtype;
    case 'c':
    case 'b':
        return ANL_BOOL;
    case 'w':
        return operands[1]->dtype;
    default:
        return ANL_F32;
    }
}

/* Operands whose own memory order says little: what is spread from less, or made from indices and constants. */
static bool weak_order(const anl_node *node)
{
    return node->op == ANL_OP_CONST || node->op == ANL_OP_TABLE || node->op == ANL_OP_INDEX || node->op == ANL_OP_REPLICATE;
}

/* Axes of the result, in the order of an operand that has them all if there is one. */
static void union_axes(const anl_graph *g, anl_node *draft, int count, anl_node *const *operands)
{
    const anl_node *base = operands[0];
    for (int i = 1; i < count; i++)
        if (operands[i]->rank > base->rank || (operands[i]->rank == base->rank && weak_order(base) && !weak_order(operands[i])))
            base = operands[i];
    anl_draft_axes(draft, base);
    for (int k = 0; k < count; k++) {
        int front = 0;
        for (int i = 0; i < operands[k]->rank; i++) {
            anl_axis axis = operands[k]->axes[i];
            if (anl_node_axis(draft, axis.id) >= 0)
                continue;
            assert(draft->rank < ANL_MAX_AXES);
            /* What is new goes in front, but space axes go behind what is there: [view, batch] and [y] make [view, batch, y]. */
            int at = anl_is_space(g, axis.id) ? draft->rank : front++;
            memmove(&draft->axes[at + 1], &draft->axes[at], sizeof draft->axes[0] * (size_t)(draft->rank - at));
            draft->axes[at] = axis;
            draft->rank++;
        }
    }
}

static int union_rank(anl_node *a, anl_node *b)
{
    int rank = a->rank;
    for (int i = 0; i < b->rank; i++)
        rank += anl_node_axis(a, b->axes[i].id) < 0;
    return rank;
}

/* An operand spread along axes that another operand has anyway need not be spread. */
static void strip_replicates(int count, anl_node **operands)
{
    for (int k = 0; k < count; k++)
        while (operands[k]->op == ANL_OP_REPLICATE || operands[k]->op == ANL_OP_TRANSPOSE) {
            bool elsewhere = operands[k]->op == ANL_OP_TRANSPOSE && operands[k]->inputs[0]->op == ANL_OP_REPLICATE;
            for (int i = 0; i < count && operands[k]->op == ANL_OP_REPLICATE; i++)
                elsewhere |= i != k && anl_node_axis(operands[i], operands[k]->attrs.axis[0]) >= 0;
            if (!elsewhere)
                break;
            operands[k] = operands[k]->inputs[0];
        }
}

/* a if it has all axes of the would-be result of a with b; else NULL: the shape would change. */
static anl_node *same_as(anl_node *a, anl_node *b) { return union_rank(a, b) == a->rank ? a : NULL; }

static anl_node *simplified(anl_graph *g, anl_scalar s, anl_dtype dtype, int count, anl_node **o)
{
    anl_node *a = o[0], *b = count > 1 ? o[1] : NULL, *c = count > 2 ? o[2] : NULL;
    bool all_const = true;
    for (int i = 0; i < count; i++)
        all_const &= o[i]->op == ANL_OP_CONST;
    if (all_const) {
        anl_dtype operand = s == ANL_S_SELECT ? o[1]->dtype : a->dtype;
        double value = anl_scalar_evaluate(s, dtype, operand, a->attrs.value, b ? b->attrs.value : 0, c ? c->attrs.value : 0);
        bool by_zero = operand == ANL_I32 && (s == ANL_S_DIV || s == ANL_S_FLOORDIV || s == ANL_S_MOD) && b->attrs.value == 0;
        return by_zero ? NULL : anl_g_const(g, dtype, value);
    }
    bool is_float = dtype == ANL_F32;
    switch (s) {
    case ANL_S_CAST:
        if (a->dtype == dtype)
            return a;
        /* bool -> int -> float is bool -> float. */
        if (a->op == ANL_OP_SCALAR && a->attrs.scalar == ANL_S_CAST && a->dtype == ANL_I32 && a->inputs[0]->dtype == ANL_BOOL)
            return anl_g_cast(g, dtype, a->inputs[0]);
        /* A choice between constants is one in any dtype. */
        if (a->op == ANL_OP_SCALAR && a->attrs.scalar == ANL_S_SELECT && a->inputs[1]->op == ANL_OP_CONST && a->inputs[2]->op == ANL_OP_CONST)
            return anl_g_where(g, a->inputs[0], anl_g_cast(g, dtype, a->inputs[1]), anl_g_cast(g, dtype, a->inputs[2]));
        break;
    case ANL_S_NEGATE:
        if (a->op == ANL_OP_SCALAR && a->attrs.scalar == ANL_S_NEGATE)
            return a->inputs[0];
        break;
    case ANL_S_NOT:
        if (a->op == ANL_OP_SCALAR && a->attrs.scalar == ANL_S_NOT)
            return a->inputs[0];
        break;
    case ANL_S_FLOOR:
        if (a->op == ANL_OP_SCALAR && (a->attrs.scalar == ANL_S_FLOOR || (a->attrs.scalar == ANL_S_CAST && a->inputs[0]->dtype != ANL_F32)))
            return a;
        break;
    case ANL_S_ADD:
        if (anl_is_const(b, 0))
            return a;
        if (anl_is_const(a, 0))
            return b;
        if (b->op == ANL_OP_SCALAR && b->attrs.scalar == ANL_S_NEGATE)
            return anl_g_binary(g, ANL_S_SUB, a, b->inputs[0]);
        break;
    case ANL_S_SUB:
        if (anl_is_const(b, 0))
            return a;
        if (anl_is_const(a, 0))
            return anl_g_unary(g, ANL_S_NEGATE, b);
        if (b->op == ANL_OP_SCALAR && b->attrs.scalar == ANL_S_NEGATE)
            return anl_g_binary(g, ANL_S_ADD, a, b->inputs[0]);
        break;
    case ANL_S_MUL:
        for (int i = 0; i < 2; i++) {
            if (anl_is_const(o[i], 1))
                return o[1 - i];
            if (anl_is_const(o[i], -1))
                return anl_g_unary(g, ANL_S_NEGATE, o[1 - i]);
            /* Two constant factors in a row are one. */
            anl_node *other = o[1 - i];
            if (is_float && o[i]->op == ANL_OP_CONST && other->op == ANL_OP_SCALAR && other->attrs.scalar == ANL_S_MUL)
                for (int k = 0; k < 2; k++)
                    if (other->inputs[k]->op == ANL_OP_CONST)
                        return anl_g_binary(g, ANL_S_MUL, other->inputs[1 - k], anl_g_binary(g, ANL_S_MUL, other->inputs[k], o[i]));
        }
        break;
    case ANL_S_DIV:
    case ANL_S_FLOORDIV:
        if (anl_is_const(b, 1) && (s == ANL_S_DIV || !is_float))
            return a;
        break;
    case ANL_S_POW:
        if (anl_is_const(b, 1))
            return a;
        if (anl_is_const(b, 2))
            return anl_g_binary(g, ANL_S_MUL, a, a);
        if (anl_is_const(b, 0.5))
            return anl_g_unary(g, ANL_S_SQRT, a);
        if (anl_is_const(b, -0.5))
            return anl_g_unary(g, ANL_S_RSQRT, a);
        if (anl_is_const(b, -1))
            return anl_g_binary(g, ANL_S_DIV, anl_g_const(g, ANL_F32, 1), a);
        break;
    case ANL_S_AND:
    case ANL_S_OR:
        for (int i = 0; i < 2; i++)
            if (anl_is_const(o[i], s == ANL_S_AND))
                return o[1 - i];
        if (a == b)
            return a;
        break;
    case ANL_S_SELECT: {
        if (b == c)
            return same_as(b, a);
        if (a->op != ANL_OP_CONST)
            break;
        anl_node *kept = a->attrs.value != 0 ? b : c, *other = kept == b ? c : b;
        return same_as(kept, other);
    }
    default:
        break;
    }
    return NULL;
}

anl_node *anl_g_scalar(anl_graph *g, anl_scalar s, anl_dtype dtype, int count, anl_node *const *given)
{
    assert(count == scalars[s].arity);
    anl_node *operands[3];
    memcpy(operands, given, sizeof *given * (size_t)count);
    strip_replicates(count, operands);
    anl_node *simple = simplified(g, s, dtype, count, operands);
    if (simple)
        return simple;
    anl_node draft = anl_draft(ANL_OP_SCALAR, dtype, count, operands);
    draft.attrs.scalar = s;
    union_axes(g, &draft, count, operands);
    return anl_graph_intern(g, &draft);
}

anl_node *anl_g_unary(anl_graph *g, anl_scalar s, anl_node *a)
{
    assert(s != ANL_S_CAST);
    anl_node *operands[] = {a, a}; /* result_dtype reads a second one for the select, which this is not: but the compiler cannot know */
    return anl_g_scalar(g, s, result_dtype(s, operands), 1, operands);
}

anl_node *anl_g_binary(anl_graph *g, anl_scalar s, anl_node *a, anl_node *b)
{
    anl_node *operands[2] = {a, b};
    assert(a->dtype == b->dtype);
    return anl_g_scalar(g, s, result_dtype(s, operands), 2, operands);
}

anl_node *anl_g_where(anl_graph *g, anl_node *c, anl_node *a, anl_node *b)
{
    anl_node *operands[3] = {c, a, b};
    assert(c->dtype == ANL_BOOL && a->dtype == b->dtype);
    return anl_g_scalar(g, ANL_S_SELECT, a->dtype, 3, operands);
}

anl_node *anl_g_cast(anl_graph *g, anl_dtype dtype, anl_node *a) { return a->dtype == dtype ? a : anl_g_scalar(g, ANL_S_CAST, dtype, 1, &a); }
anl_node *anl_g_float(anl_graph *g, anl_node *a) { return anl_g_cast(g, ANL_F32, a); }

anl_node *anl_g_stop_gradient(anl_graph *g, anl_node *a)
{
    if (a->dtype != ANL_F32 || a->op == ANL_OP_CONST || a->op == ANL_OP_STOP_GRADIENT)
        return a;
    anl_node draft = anl_draft(ANL_OP_STOP_GRADIENT, a->dtype, 1, &a);
    anl_draft_axes(&draft, a);
    return anl_graph_intern(g, &draft);
}

/* ---- verification ---- */

static const char *verify_scalar(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    anl_scalar s = node->attrs.scalar;
    if ((int)s < 0 || s >= ANL_SCALAR_COUNT || node->input_count != scalars[s].arity)
        return "wrong number of operands";
    int covered = 0;
    for (int k = 0; k < node->input_count; k++)
        for (int i = 0; i < node->inputs[k]->rank; i++)
            if (anl_node_size(node, node->inputs[k]->axes[i].id) != node->inputs[k]->axes[i].size)
                return "an operand's axis is missing in the result, or has another size";
    for (int i = 0; i < node->rank; i++)
        for (int k = 0; k < node->input_count; k++)
            if (anl_node_axis(node->inputs[k], node->axes[i].id) >= 0) {
                covered++;
                break;
            }
    if (covered != node->rank)
        return "the result has an axis that no operand has";
    const anl_dtype a = node->inputs[0]->dtype;
    switch (scalars[s].types) {
    case 'f':
        for (int k = 0; k < node->input_count; k++)
            if (node->inputs[k]->dtype != ANL_F32)
                return "takes floats";
        return node->dtype == ANL_F32 ? NULL : "gives a float";
    case 'n':
    case 'c':
        if (a == ANL_BOOL || (node->input_count > 1 && node->inputs[1]->dtype != a))
            return "takes two numbers of one dtype";
        return node->dtype == (scalars[s].types == 'n' ? a : ANL_BOOL) ? NULL : "wrong result dtype";
    case 'b':
        for (int k = 0; k < node->input_count; k++)
            if (node->inputs[k]->dtype != ANL_BOOL)
                return "takes conditions";
        return node->dtype == ANL_BOOL ? NULL : "gives a condition";
    case 'w':
        return a == ANL_BOOL && node->inputs[1]->dtype == node->dtype && node->inputs[2]->dtype == node->dtype ? NULL : "wrong dtypes";
    default:
        return NULL;
    }
}

static const char *verify_same(const anl_graph *graph, const anl_node *node)
{
    (void)graph;
    return node->input_count == 1 && anl_node_same_axes(node, node->inputs[0]) && node->dtype == node->inputs[0]->dtype ? NULL
                                                                                                                         : "differs from its input";
}

/* ---- gradients ---- */

static anl_node *number(anl_graph *g, double value) { return anl_g_const(g, ANL_F32, value); }
static anl_node *mul(anl_graph *g, anl_node *a, anl_node *b) { return anl_g_binary(g, ANL_S_MUL, a, b); }

/* Gradient by operand k, before summing over axes that the operand lacks. y: the node itself, h: gradient by it. NULL: none. */
static anl_node *scalar_gradient(anl_graph *g, anl_node *y, anl_node *h, int k)
{
    anl_node *a = y->inputs[0], *b = y->input_count > 1 ? y->inputs[1] : NULL;
    anl_node *zero = number(g, 0);
    switch (y->attrs.scalar) {
    case ANL_S_NEGATE:
        return anl_g_unary(g, ANL_S_NEGATE, h);
    case ANL_S_ABS: /* 0 at 0 */
        return anl_g_where(g, anl_g_binary(g, ANL_S_LT, zero, a), h,
                           anl_g_where(g, anl_g_binary(g, ANL_S_LT, a, zero), anl_g_unary(g, ANL_S_NEGATE, h), zero));
    case ANL_S_EXP:
        return mul(g, h, y);
    case ANL_S_LOG:
        return anl_g_binary(g, ANL_S_DIV, h, a);
    case ANL_S_SQRT:
        return anl_g_binary(g, ANL_S_DIV, mul(g, h, number(g, 0.5)), y);
    case ANL_S_RSQRT: /* -1/2 a^(-3/2) */
        return mul(g, mul(g, h, number(g, -0.5)), mul(g, y, mul(g, y, y)));
    case ANL_S_TANH:
        return mul(g, h, anl_g_binary(g, ANL_S_SUB, number(g, 1), mul(g, y, y)));
    case ANL_S_ERF: /* 2/sqrt(pi) exp(-a^2) */
        return mul(g, mul(g, h, number(g, 1.12837916709551257390)), anl_g_unary(g, ANL_S_EXP, anl_g_unary(g, ANL_S_NEGATE, mul(g, a, a))));
    case ANL_S_SIN:
        return mul(g, h, anl_g_unary(g, ANL_S_COS, a));
    case ANL_S_COS:
        return anl_g_unary(g, ANL_S_NEGATE, mul(g, h, anl_g_unary(g, ANL_S_SIN, a)));
    case ANL_S_CAST:
        return h; /* float to float does not occur; see gradient_scalar_node for the others */
    case ANL_S_ADD:
        return h;
    case ANL_S_SUB:
        return k == 0 ? h : anl_g_unary(g, ANL_S_NEGATE, h);
    case ANL_S_MUL:
        return mul(g, h, k == 0 ? b : a);
    case ANL_S_DIV:
        if (k == 0)
            return b->op == ANL_OP_CONST && b->attrs.value != 0 ? mul(g, h, number(g, 1 / b->attrs.value)) : anl_g_binary(g, ANL_S_DIV, h, b);
        return anl_g_unary(g, ANL_S_NEGATE, anl_g_binary(g, ANL_S_DIV, mul(g, h, y), b));
    case ANL_S_MOD: /* a - b floor(a / b) */
        return k == 0 ? h : anl_g_unary(g, ANL_S_NEGATE, mul(g, h, anl_g_unary(g, ANL_S_FLOOR, anl_g_binary(g, ANL_S_DIV, a, b))));
    case ANL_S_POW:
        if (k == 0) {
            anl_node *less = anl_g_binary(g, ANL_S_SUB, b, number(g, 1));
            return mul(g, h, mul(g, b, anl_g_binary(g, ANL_S_POW, a, less)));
        } else { /* a^b ln a; where a <= 0 the power does not depend smoothly on b: 0 */
            anl_node *positive = anl_g_binary(g, ANL_S_LT, zero, a);
            anl_node *log = anl_g_unary(g, ANL_S_LOG, anl_g_where(g, positive, a, number(g, 1)));
            return mul(g, h, mul(g, y, log));
        }
    case ANL_S_MINIMUM:
    case ANL_S_MAXIMUM: {
        /* To whichever was taken; the second operand where they are equal, as in evaluation. With a constant second operand
         * the result tells which it was, and need not be kept beside the operand. */
        anl_node *x = b->op == ANL_OP_CONST ? y : a;
        anl_node *first = y->attrs.scalar == ANL_S_MAXIMUM ? anl_g_binary(g, ANL_S_LT, b, x) : anl_g_binary(g, ANL_S_LT, x, b);
        return k == 0 ? anl_g_where(g, first, h, zero) : anl_g_where(g, first, zero, h);
    }
    case ANL_S_SELECT:
        return k == 0 ? NULL : k == 1 ? anl_g_where(g, a, h, zero) : anl_g_where(g, a, zero, h);
    default: /* FLOOR, FLOORDIV: constant almost everywhere */
        return NULL;
    }
}

static anl_status gradient_scalar_node(anl_graph *graph, anl_node *node, anl_node *gradient, anl_node **input_gradients)
{
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k]->dtype != ANL_F32 || node->inputs[k]->op == ANL_OP_CONST)
            continue;
        anl_node *by = scalar_gradient(graph, node, gradient, k);
        if (by)
            input_gradients[k] = anl_g_sum_to(graph, by, node->inputs[k]);
    }
    return ANL_OK;
}

static anl_status gradient_none(anl_graph *graph, anl_node *node, anl_node *gradient, anl_node **input_gradients)
{
    (void)graph;
    (void)node;
    (void)gradient;
    (void)input_gradients;
    return ANL_OK;
}

/* ---- lowering ---- */

static int32_t lower_scalar(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t operands[3] = {-1, -1, -1};
    for (int k = 0; k < node->input_count; k++) {
        int32_t at[ANL_MAX_AXES];
        anl_project(node, coordinates, node->inputs[k], at);
        operands[k] = l->value(l, node->inputs[k], at);
    }
    return l->emit(l, node->attrs.scalar, node->dtype, operands[0], operands[1], operands[2]);
}

static int32_t lower_same(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    int32_t at[ANL_MAX_AXES];
    anl_project(node, coordinates, node->inputs[0], at);
    return l->value(l, node->inputs[0], at);
}

static double flops_scalar(const anl_node *node) { return (double)scalars[node->attrs.scalar].cost * (double)anl_node_count(node); }
static double flops_none(const anl_node *node)
{
    (void)node;
    return 0;
}

const anl_op_info anl_info_scalar = {.op = ANL_OP_SCALAR,
                                     .name = "scalar",
                                     .verify = verify_scalar,
                                     .gradient = gradient_scalar_node,
                                     .lower = lower_scalar,
                                     .flops = flops_scalar};
const anl_op_info anl_info_stop_gradient = {.op = ANL_OP_STOP_GRADIENT,
                                            .name = "stop_gradient",
                                            .verify = verify_same,
                                            .gradient = gradient_none,
                                            .lower = lower_same,
                                            .flops = flops_none};

/* ---- operators of the language ---- */

static bool is_static_number(const anl_value *v) { return v->kind == ANL_V_INT || v->kind == ANL_V_NUMBER || v->kind == ANL_V_BOOL; }
static double static_number(const anl_value *v)
{
    return v->kind == ANL_V_INT ? (double)v->integer : v->kind == ANL_V_BOOL ? (double)v->truth : v->number;
}

static anl_status wrong_operand(anl_context *context, anl_scalar s, const anl_value *value, const char *wanted)
{
    anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, value), "`%s` takes %s, but this is %s", anl_scalar_symbol(s), wanted,
                anl_value_kind_text(value));
    return ANL_ERROR_SPEC;
}

static anl_value static_bool(const anl_context *context, bool truth)
{
    anl_value value = {.kind = ANL_V_BOOL, .span = context->span};
    value.truth = truth;
    return value;
}

static anl_value static_float(const anl_context *context, double number)
{
    anl_value value = {.kind = ANL_V_NUMBER, .span = context->span};
    value.number = number;
    return value;
}

/* Both static integers (bools count as 0 and 1). */
static anl_status static_integers(anl_context *context, anl_scalar s, const anl_value *operands, int count, anl_value *result)
{
    int64_t a = (int64_t)static_number(&operands[0]), b = count > 1 ? (int64_t)static_number(&operands[1]) : 0, r = 0;
    if (operands[0].kind == ANL_V_INT)
        a = operands[0].integer;
    if (count > 1 && operands[1].kind == ANL_V_INT)
        b = operands[1].integer;
    bool overflow = false;
    switch (s) {
    case ANL_S_NEGATE:
        overflow = __builtin_sub_overflow((int64_t)0, a, &r);
        break;
    case ANL_S_ABS:
        overflow = a < 0 && __builtin_sub_overflow((int64_t)0, a, &r);
        r = a < 0 ? r : a;
        break;
    case ANL_S_ADD:
        overflow = __builtin_add_overflow(a, b, &r);
        break;
    case ANL_S_SUB:
        overflow = __builtin_sub_overflow(a, b, &r);
        break;
    case ANL_S_MUL:
        overflow = __builtin_mul_overflow(a, b, &r);
        break;
    case ANL_S_FLOORDIV:
    case ANL_S_MOD:
        if (b == 0) {
            anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &operands[1]), "division by zero");
            return ANL_ERROR_SPEC;
        }
        overflow = a == INT64_MIN && b == -1;
        if (overflow)
            break;
        bool apart = a % b != 0 && (a < 0) != (b < 0);
        r = s == ANL_S_MOD ? a % b + (apart ? b : 0) : a / b - apart;
        break;
    case ANL_S_POW:
        r = 1;
        for (int64_t i = 0; i < b && !overflow && a != 1 && a != 0 && a != -1; i++)
            overflow = __builtin_mul_overflow(r, a, &r);
        if (a == 0)
            r = b == 0;
        if (a == -1)
            r = b % 2 ? -1 : 1;
        break;
    case ANL_S_MINIMUM:
        r = a < b ? a : b;
        break;
    case ANL_S_MAXIMUM:
        r = a > b ? a : b;
        break;
    default:
        r = a;
        break;
    }
    if (overflow) {
        anl_problem(context, ANL_A_out_of_range, context->span, "this integer does not fit in 64 bits");
        return ANL_ERROR_SPEC;
    }
    anl_value value = {.kind = ANL_V_INT, .span = context->span};
    value.integer = r;
    *result = value;
    return ANL_OK;
}

static anl_status static_numbers(anl_context *context, anl_scalar s, const anl_value *operands, int count, anl_value *result)
{
    double a = static_number(&operands[0]), b = count > 1 ? static_number(&operands[1]) : 0;
    bool integers = operands[0].kind != ANL_V_NUMBER && (count < 2 || operands[1].kind != ANL_V_NUMBER);
    if (scalars[s].types == 'c') {
        if (integers && operands[0].kind == ANL_V_INT && operands[1].kind == ANL_V_INT) { /* beyond 2^53 doubles would not tell them apart */
            int64_t i = operands[0].integer, j = operands[1].integer;
            *result = static_bool(context, s == ANL_S_LT ? i < j : s == ANL_S_LE ? i <= j : s == ANL_S_EQ ? i == j : i != j);
        } else {
            *result = static_bool(context, anl_scalar_evaluate(s, ANL_BOOL, ANL_F32, a, b, 0) != 0);
        }
        return ANL_OK;
    }
    if (s == ANL_S_FLOOR && integers)
        return static_integers(context, s, operands, count, result);
    if (integers && ((scalars[s].types == 'n' && s != ANL_S_DIV) || (s == ANL_S_POW && b >= 0)))
        return static_integers(context, s, operands, count, result);
    if ((s == ANL_S_DIV || s == ANL_S_FLOORDIV || s == ANL_S_MOD) && b == 0) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &operands[1]), "division by zero");
        return ANL_ERROR_SPEC;
    }
    double r = anl_scalar_evaluate(s, ANL_F32, ANL_F32, a, b, 0);
    if (!isfinite(r) && isfinite(a) && isfinite(b)) {
        anl_problem(context, ANL_A_out_of_range, context->span, "`%s` of %g%s%g is not a finite number", anl_scalar_symbol(s), a, count > 1 ? " and " : "",
                    count > 1 ? b : 0.0);
        return ANL_ERROR_SPEC;
    }
    *result = static_float(context, r);
    return ANL_OK;
}

/* Durations: sums and comparisons of one unit, and scaling by numbers. */
static anl_status durations(anl_context *context, anl_scalar s, const anl_value *operands, int count, anl_value *result)
{
    const anl_value *a = &operands[0], *b = count > 1 ? &operands[1] : NULL;
    anl_value value = {.kind = ANL_V_DURATION, .span = context->span};
    if (b && a->kind == ANL_V_DURATION && b->kind == ANL_V_DURATION) {
        if (a->duration.epochs != b->duration.epochs) {
            anl_diagnostic *d = anl_problem(context, ANL_A_bad_unit, context->span, "`%s` of a duration in epochs and one in steps", anl_scalar_symbol(s));
            anl_diagnostic_note(context->diagnostics, d, "how many steps an epoch has is not known when a spec is read");
            return ANL_ERROR_SPEC;
        }
        double x = a->duration.count, y = b->duration.count;
        if (scalars[s].types == 'c') {
            *result = static_bool(context, anl_scalar_evaluate(s, ANL_BOOL, ANL_F32, x, y, 0) != 0);
            return ANL_OK;
        }
        if (s == ANL_S_DIV && y != 0) {
            *result = static_float(context, x / y);
            return ANL_OK;
        }
        if (s == ANL_S_ADD || s == ANL_S_SUB || s == ANL_S_MINIMUM || s == ANL_S_MAXIMUM) {
            value.duration.count = anl_scalar_evaluate(s, ANL_F32, ANL_F32, x, y, 0);
            value.duration.epochs = a->duration.epochs;
            *result = value;
            return ANL_OK;
        }
    } else if (b && (s == ANL_S_MUL || (s == ANL_S_DIV && a->kind == ANL_V_DURATION))) {
        const anl_value *duration = a->kind == ANL_V_DURATION ? a : b, *factor = duration == a ? b : a;
        if (is_static_number(factor) && (s == ANL_S_MUL || static_number(factor) != 0)) {
            value.duration.count = s == ANL_S_MUL ? duration->duration.count * static_number(factor) : duration->duration.count / static_number(factor);
            value.duration.epochs = duration->duration.epochs;
            *result = value;
            return ANL_OK;
        }
    }
    anl_problem(context, ANL_A_bad_unit, context->span, "`%s` has no meaning for %s%s%s", anl_scalar_symbol(s), anl_value_kind_text(a), b ? " and " : "",
                b ? anl_value_kind_text(b) : "");
    return ANL_ERROR_SPEC;
}

/* == and != of words and axes. Returns false if they are not such. */
static bool words_equal(const anl_value *a, const anl_value *b, bool *equal)
{
    if (a->kind == ANL_V_TEXT && b->kind == ANL_V_TEXT)
        *equal = strcmp(a->text, b->text) == 0;
    else if (a->kind == ANL_V_AXIS && b->kind == ANL_V_AXIS)
        *equal = a->axis == b->axis;
    else if (a->kind == ANL_V_NONE || b->kind == ANL_V_NONE)
        *equal = a->kind == b->kind;
    else
        return false;
    return true;
}

/* Operands as nodes of a common dtype. what: 'n' numbers, 'f' floats, 'b' conditions, '=' anything comparable. */
static bool common_nodes(anl_context *context, anl_scalar s, const anl_value *operands, int count, char what, anl_node **nodes)
{
    bool any_float = what == 'f', any_int = false, any_bool_node = false;
    for (int i = 0; i < count; i++) {
        const anl_value *v = &operands[i];
        if (v->kind == ANL_V_NODE) {
            any_float |= v->node->dtype == ANL_F32;
            any_int |= v->node->dtype == ANL_I32;
            any_bool_node |= v->node->dtype == ANL_BOOL;
        } else if (v->kind == ANL_V_NUMBER) { /* a whole number adopts an int tensor's dtype */
            any_float |= v->number != floor(v->number) || fabs(v->number) > INT32_MAX;
        } else if (v->kind == ANL_V_INT) {
            any_float |= v->integer > INT32_MAX || v->integer < INT32_MIN;
            any_int |= what == '='; /* comparing a condition with 1 compares ints */
        } else if (v->kind != ANL_V_BOOL) {
            wrong_operand(context, s, v, what == 'b' ? "conditions" : "numbers");
            return false;
        }
    }
    anl_dtype dtype = any_float ? ANL_F32 : any_int ? ANL_I32 : what == '=' || !any_bool_node ? ANL_I32 : ANL_F32;
    if (what == 'b')
        dtype = ANL_BOOL;
    for (int i = 0; i < count; i++)
        if (operands[i].kind == ANL_V_BOOL) /* beside a condition, with which it is compared */
            nodes[i] = anl_g_const(context->graph, dtype, operands[i].truth);
        else if (!(nodes[i] = anl_value_node(context, &operands[i], dtype)))
            return false;
    return true;
}

static bool is_condition(const anl_value *v) { return v->kind == ANL_V_BOOL || (v->kind == ANL_V_NODE && v->node->dtype == ANL_BOOL); }

anl_status anl_operator(anl_context *context, anl_scalar s, const anl_value *operands, int count, anl_value *result)
{
    assert(count == scalars[s].arity && s != ANL_S_CAST && s != ANL_S_SELECT);
    *result = (anl_value){.kind = ANL_V_NONE, .span = context->span};
    bool any_node = false, any_duration = false, all_static = true;
    for (int i = 0; i < count; i++) {
        any_node |= operands[i].kind == ANL_V_NODE;
        any_duration |= operands[i].kind == ANL_V_DURATION;
        all_static &= is_static_number(&operands[i]);
    }
    bool equal;
    if ((s == ANL_S_EQ || s == ANL_S_NE) && words_equal(&operands[0], &operands[1], &equal)) {
        *result = static_bool(context, equal == (s == ANL_S_EQ));
        return ANL_OK;
    }
    if (any_duration && !any_node)
        return durations(context, s, operands, count, result);
    if (scalars[s].types == 'b') {
        for (int i = 0; i < count; i++)
            if (!is_condition(&operands[i]))
                return wrong_operand(context, s, &operands[i], "conditions (comparisons, masks)");
        if (!any_node) {
            bool a = operands[0].truth, b = count > 1 && operands[1].truth;
            *result = static_bool(context, s == ANL_S_NOT ? !a : s == ANL_S_AND ? a && b : a || b);
            return ANL_OK;
        }
    } else {
        /* true and false, written or known, are no numbers; a tensor of conditions counts as zeros and ones */
        for (int i = 0; i < count; i++)
            if (operands[i].kind == ANL_V_BOOL && (scalars[s].types != 'c' || !is_condition(&operands[!i])))
                return wrong_operand(context, s, &operands[i], "numbers");
        if (all_static)
            return static_numbers(context, s, operands, count, result);
    }
    char what = scalars[s].types == 'c' ? '=' : scalars[s].types;
    if (s == ANL_S_DIV)
        what = 'f';
    anl_node *nodes[3];
    if (!common_nodes(context, s, operands, count, what, nodes))
        return ANL_ERROR_SPEC;
    if (!anl_check_elementwise(context, anl_scalar_symbol(s), operands, nodes, count))
        return ANL_ERROR_SPEC;
    if (nodes[0]->dtype == ANL_I32 && (s == ANL_S_FLOORDIV || s == ANL_S_MOD) && anl_is_const(nodes[1], 0)) {
        anl_problem(context, ANL_A_out_of_range, anl_value_span(context, &operands[1]), "division by zero");
        return ANL_ERROR_SPEC;
    }
    *result = anl_node_value(context, anl_g_scalar(context->graph, s, result_dtype(s, nodes), count, nodes));
    return ANL_OK;
}

/* ---- builtins ---- */

#define UNARY(function, scalar)                                                                                    \
    static anl_status function(anl_context *context, const anl_value *arguments, anl_value *result)               \
    {                                                                                                              \
        return anl_operator(context, scalar, arguments, 1, result);                                               \
    }
UNARY(build_exp, ANL_S_EXP)
UNARY(build_log, ANL_S_LOG)
UNARY(build_sqrt, ANL_S_SQRT)
UNARY(build_rsqrt, ANL_S_RSQRT)
UNARY(build_tanh, ANL_S_TANH)
UNARY(build_erf, ANL_S_ERF)
UNARY(build_sin, ANL_S_SIN)
UNARY(build_cos, ANL_S_COS)
UNARY(build_abs, ANL_S_ABS)

static anl_status build_floor(anl_context *context, const anl_value *arguments, anl_value *result)
{
    if (arguments[0].kind == ANL_V_NODE && arguments[0].node->dtype == ANL_I32) {
        *result = arguments[0];
        return ANL_OK;
    }
    return anl_operator(context, ANL_S_FLOOR, arguments, 1, result);
}

static anl_status build_minimum(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return anl_operator(context, ANL_S_MINIMUM, arguments, 2, result);
}

static anl_status build_maximum(anl_context *context, const anl_value *arguments, anl_value *result)
{
    return anl_operator(context, ANL_S_MAXIMUM, arguments, 2, result);
}

static anl_status build_relu(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_value operands[2] = {arguments[0], {.kind = ANL_V_INT, .span = context->span}};
    return anl_operator(context, ANL_S_MAXIMUM, operands, 2, result);
}

static anl_status build_clamp(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_value operands[2] = {arguments[0], arguments[1]};
    *result = arguments[0];
    if (arguments[1].kind != ANL_V_NONE && anl_operator(context, ANL_S_MAXIMUM, operands, 2, result) != ANL_OK)
        return ANL_ERROR_SPEC;
    if (arguments[2].kind == ANL_V_NONE)
        return ANL_OK;
    operands[0] = *result;
    operands[0].span = arguments[0].span;
    operands[1] = arguments[2];
    return anl_operator(context, ANL_S_MINIMUM, operands, 2, result);
}

/* 1/2 + tanh(x/2)/2: neither it nor its gradient overflows. */
static anl_status build_sigmoid(anl_context *context, const anl_value *arguments, anl_value *result)
{
    if (is_static_number(&arguments[0]) && arguments[0].kind != ANL_V_BOOL) {
        *result = static_float(context, 1 / (1 + exp(-static_number(&arguments[0]))));
        return ANL_OK;
    }
    anl_graph *g = context->graph;
    anl_node *x = anl_read_float(context, &arguments[0]);
    if (!x)
        return ANL_ERROR_SPEC;
    anl_node *half = number(g, 0.5);
    *result = anl_node_value(context, anl_g_binary(g, ANL_S_ADD, mul(g, anl_g_unary(g, ANL_S_TANH, mul(g, x, half)), half), half));
    return ANL_OK;
}

/* m + log(exp(-m) + exp(x - m)) with m = max(x, 0) held constant: exact, without overflow, and its gradient is the sigmoid also at 0. */
static anl_status build_softplus(anl_context *context, const anl_value *arguments, anl_value *result)
{
    anl_graph *g = context->graph;
    anl_node *x = anl_read_float(context, &arguments[0]);
    if (!x)
        return ANL_ERROR_SPEC;
    anl_node *m = anl_g_stop_gradient(g, anl_g_binary(g, ANL_S_MAXIMUM, x, number(g, 0)));
    anl_node *sum = anl_g_binary(g, ANL_S_ADD, anl_g_unary(g, ANL_S_EXP, anl_g_unary(g, ANL_S_NEGATE, m)),
                                 anl_g_unary(g, ANL_S_EXP, anl_g_binary(g, ANL_S_SUB, x, m)));
    *result = anl_node_value(context, anl_g_binary(g, ANL_S_ADD, m, anl_g_unary(g, ANL_S_LOG, sum)));
    return ANL_OK;
}

static anl_status build_where(anl_context *context, const anl_value *arguments, anl_value *result)
{
    if (!is_condition(&arguments[0]))
        return wrong_operand(context, ANL_S_SELECT, &arguments[0], "a condition (a comparison, a mask) first");
    bool conditions = is_condition(&arguments[1]) && is_condition(&arguments[2]);
    for (int i = 1; i < 3; i++)
        if (arguments[i].kind == ANL_V_BOOL && !conditions)
            return wrong_operand(context, ANL_S_SELECT, &arguments[i], "two numbers or two conditions to choose from");
    anl_node *nodes[3];
    if (!(nodes[0] = anl_value_node(context, &arguments[0], ANL_BOOL)) ||
        !common_nodes(context, ANL_S_SELECT, &arguments[1], 2, conditions ? 'b' : 'n', &nodes[1]))
        return ANL_ERROR_SPEC;
    if (!anl_check_elementwise(context, "where", arguments, nodes, 3))
        return ANL_ERROR_SPEC;
    *result = anl_node_value(context, anl_g_where(context->graph, nodes[0], nodes[1], nodes[2]));
    return ANL_OK;
}

static anl_status build_cast(anl_context *context, const anl_value *arguments, anl_value *result)
{
    static const char *const words[] = {"float", "int", "bool"};
    static const anl_dtype dtypes[] = {ANL_F32, ANL_I32, ANL_BOOL};
    anl_node *x = anl_read_node(context, &arguments[0]);
    if (!x)
        return ANL_ERROR_SPEC;
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (arguments[1].kind == ANL_V_TEXT && strcmp(arguments[1].text, words[i]) == 0) {
            *result = anl_node_value(context, anl_g_cast(context->graph, dtypes[i], x));
            return ANL_OK;
        }
    anl_problem(context, ANL_A_type_mismatch, anl_value_span(context, &arguments[1]), "`cast` makes float, int or bool");
    return ANL_ERROR_SPEC;
}

static anl_status build_outer(anl_context *context, const anl_value *arguments, anl_value *result)
{
    (void)context;
    *result = arguments[0];
    result->outer = true;
    return ANL_OK;
}

static anl_status build_stop_gradient(anl_context *context, const anl_value *arguments, anl_value *result)
{
    if (arguments[0].kind == ANL_V_MAPPING) { /* of each member */
        anl_value copy = arguments[0];
        copy.mapping.items = ANL_NEW_ARRAY(context->graph->arena, anl_value, copy.mapping.count ? copy.mapping.count : 1);
        for (int i = 0; i < copy.mapping.count; i++)
            if (build_stop_gradient(context, &arguments[0].mapping.items[i], &copy.mapping.items[i]) != ANL_OK)
                return ANL_ERROR_SPEC;
        *result = copy;
        return ANL_OK;
    }
    if (arguments[0].kind != ANL_V_NODE) {
        *result = arguments[0];
        return ANL_OK;
    }
    *result = anl_node_value(context, anl_g_stop_gradient(context->graph, arguments[0].node));
    return ANL_OK;
}

#define X_PARAM {"x", 'v', NULL, "any axes"}

static const anl_builtin builtins[] = {
    {"exp", "elementwise", "The exponential function. Float.", "exp(scores / epsilon)", {X_PARAM}, 1, build_exp, "those of x", "yes"},
    {"log", "elementwise", "The natural logarithm; -inf at 0, NaN below. Float.", "log(maximum(p, 1e-30))", {X_PARAM}, 1, build_log, "those of x", "yes"},
    {"sqrt", "elementwise", "The square root; NaN below 0; its gradient at 0 is infinite. Float.", "sqrt(variance + 1e-5)", {X_PARAM}, 1, build_sqrt, "those of x", "yes"},
    {"rsqrt", "elementwise", "One over the square root. Float.", "(x - m) * rsqrt(v + 1e-5)", {X_PARAM}, 1, build_rsqrt, "those of x", "yes"},
    {"tanh", "elementwise", "The hyperbolic tangent. Float.", "tanh(x)", {X_PARAM}, 1, build_tanh, "those of x", "yes"},
    {"erf", "elementwise", "The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x. Float.", "x * 0.5 * (1 + erf(x * 0.7071067811865476))",
     {X_PARAM}, 1, build_erf, "those of x", "yes"},
    {"sin", "elementwise", "The sine of an angle in radians. Float.", "sin(angle)", {X_PARAM}, 1, build_sin, "those of x", "yes"},
    {"cos", "elementwise", "The cosine of an angle in radians. Float.", "cos(angle)", {X_PARAM}, 1, build_cos, "those of x", "yes"},
    {"abs", "elementwise", "The absolute value; its gradient at 0 is 0. Float or int.", "abs(x)", {X_PARAM}, 1, build_abs, "those of x", "yes"},
    {"floor", "elementwise", "The greatest whole number not above x; no gradient flows. Float stays float.", "floor(x)", {X_PARAM}, 1, build_floor, "those of x", "none: constant almost everywhere"},
    {"minimum", "elementwise", "The lesser of two; the gradient goes to the one that was taken, to b where they are equal.", "minimum(x, 1)",
     {{"a", 'v', NULL, "any axes"}, {"b", 'v', NULL, "any axes"}}, 2, build_minimum, "those of the operands; one of them has all, unless others are marked outer", "yes, to what was selected"},
    {"maximum", "elementwise", "The greater of two; the gradient goes to the one that was taken, to b where they are equal.", "maximum(x, 1e-30)",
     {{"a", 'v', NULL, "any axes"}, {"b", 'v', NULL, "any axes"}}, 2, build_maximum, "those of the operands; one of them has all, unless others are marked outer", "yes, to what was selected"},
    {"relu", "elementwise", "maximum(x, 0); its gradient at 0 is 0.", "relu(body + shortcut)", {X_PARAM}, 1, build_relu, "those of x", "yes; 0 at 0"},
    {"sigmoid", "elementwise", "1 / (1 + exp(-x)), without overflow. Float.", "sigmoid(logit)", {X_PARAM}, 1, build_sigmoid, "those of x", "yes"},
    {"softplus", "elementwise", "log(1 + exp(x)), without overflow; its gradient is the sigmoid. Float.", "softplus(negative - positive)", {X_PARAM}, 1,
     build_softplus, "those of x", "yes"},
    {"clamp", "elementwise", "minimum(maximum(x, low), high).", "clamp(x, 0, 1)",
     {X_PARAM, {"low", 'v', "none", "lower bound"}, {"high", 'v', "none", "upper bound"}}, 3, build_clamp, "those of the operands; one of them has all, unless others are marked outer", "yes, to what was selected"},
    {"where", "elementwise",
     "a where the condition holds, else b. It selects and never multiplies: what is not selected may be NaN in the value, and gets gradient 0.",
     "where(known, finding, 0)",
     {{"condition", 'v', NULL, "bool"}, {"a", 'v', NULL, "where it holds"}, {"b", 'v', NULL, "elsewhere"}}, 3, build_where, "those of the operands; one of them has all, unless others are marked outer", "yes, to what was selected"},
    {"cast", "elementwise", "Conversion to float, int (toward zero) or bool (not 0).", "cast(known, float)",
     {X_PARAM, {"to", 't', NULL, "float, int or bool"}}, 2, build_cast, "those of x", "none: numbers that are no floats have none"},
    {"outer", "elementwise", "v, allowed to bring new axes into an elementwise operation: the result then has the axes of both operands.",
     "index(pair, assign) != outer(index(pair, view))", {{"v", 'v', NULL, "any value"}}, 1, build_outer, "those of v", "yes"},
    {"stop_gradient", "elementwise", "x, through which no gradient flows.", "stop_gradient(codes)", {X_PARAM}, 1, build_stop_gradient, "those of x", "none, on purpose"},
};
const anl_builtin_list anl_builtins_elementwise = {builtins, ANL_COUNT(builtins)};
