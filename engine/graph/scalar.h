/* The scalar operations: what one element of an elementwise operation computes. Declared once; the graph's elementwise
 * operations, the compiler's constant folding, the host executor and the GLSL writer all speak of these.
 * In: 1 to 3 scalars. Out: one scalar. Types: see each row. Evaluated in the value's type: float32 (float64 in the oracle) or int32.
 *
 * X(NAME, "name", arity, types, cost): types: f = float -> float, n = float or int32 (both operands alike) -> the same,
 * c = two n -> bool, b = bool -> bool, w = where(bool, t, t) -> t, t = cast to the type the instruction says. cost: flops.
 *
 * Meaning where C leaves a choice (every executor does the same):
 *   DIV on int32 truncates toward zero and is only emitted for positive operands of index arithmetic; FLOORDIV and MOD on int32 floor
 *   (MOD has the divisor's sign); MOD on float: a - b * floor(a / b). Division by integer zero never occurs (the compiler sees to it).
 *   MINIMUM, MAXIMUM: a < b ? a : b, a > b ? a : b (so a NaN in a gives b). POW: a < 0 gives NaN unless b is a constant integer, which
 *   the compiler writes as products. FLOOR rounds down. CAST float -> int32 truncates; any -> bool is != 0; bool -> 0/1. SQRT of a negative is NaN.
 *   RSQRT: 1/sqrt(a). SELECT picks lazily or not, as the executor likes: both sides are always safe to evaluate. */
#ifndef ANL_GRAPH_SCALAR_H
#define ANL_GRAPH_SCALAR_H

#define ANL_SCALARS(X)                     \
    X(NEGATE, "negate", 1, 'n', 1)         \
    X(ABS, "abs", 1, 'n', 1)               \
    X(FLOOR, "floor", 1, 'f', 1)           \
    X(EXP, "exp", 1, 'f', 8)               \
    X(LOG, "log", 1, 'f', 8)               \
    X(SQRT, "sqrt", 1, 'f', 4)             \
    X(RSQRT, "rsqrt", 1, 'f', 4)           \
    X(TANH, "tanh", 1, 'f', 12)            \
    X(ERF, "erf", 1, 'f', 16)              \
    X(SIN, "sin", 1, 'f', 8)               \
    X(COS, "cos", 1, 'f', 8)               \
    X(NOT, "not", 1, 'b', 1)               \
    X(CAST, "cast", 1, 't', 1)             \
    X(ADD, "add", 2, 'n', 1)               \
    X(SUB, "subtract", 2, 'n', 1)          \
    X(MUL, "multiply", 2, 'n', 1)          \
    X(DIV, "divide", 2, 'n', 2)            \
    X(FLOORDIV, "floor_divide", 2, 'n', 3) \
    X(MOD, "modulo", 2, 'n', 4)            \
    X(POW, "power", 2, 'f', 16)            \
    X(MINIMUM, "minimum", 2, 'n', 1)       \
    X(MAXIMUM, "maximum", 2, 'n', 1)       \
    X(LT, "less", 2, 'c', 1)               \
    X(LE, "less_equal", 2, 'c', 1)         \
    X(EQ, "equal", 2, 'c', 1)              \
    X(NE, "not_equal", 2, 'c', 1)          \
    X(AND, "and", 2, 'b', 1)               \
    X(OR, "or", 2, 'b', 1)                 \
    X(SELECT, "where", 3, 'w', 1)

typedef enum anl_scalar {
#define X(name, text, arity, types, cost) ANL_S_##name,
    ANL_SCALARS(X)
#undef X
        ANL_SCALAR_COUNT
} anl_scalar;

/* The part of a step that something is computed in: losses and what leads to them, their gradients, the new values of weights and state. */
typedef enum anl_stage { ANL_STAGE_FORWARD, ANL_STAGE_BACKWARD, ANL_STAGE_UPDATE, ANL_STAGE_COUNT } anl_stage;

typedef enum anl_dtype { ANL_F32, ANL_I32, ANL_BOOL } anl_dtype; /* each takes 4 bytes in memory (8 for floats in the oracle) */

/* The value of an operation on numbers; dtype: of the result, operand: of the first operand (the condition's, for SELECT). Operands that the
 * operation does not have are ignored. int32 division by zero gives 0. */
double anl_scalar_evaluate(anl_scalar scalar, anl_dtype dtype, anl_dtype operand, double a, double b, double c);

#endif
