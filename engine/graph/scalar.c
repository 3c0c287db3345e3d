/* The scalar operations on numbers, in double precision.
 * In: an operation, types, operands. Out: its value; int32 results wrap as on a device.
 * Constant folding and per-step scalars go through here, so that they agree. */
#include "graph/scalar.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* int32 wraps, as on a device. */
static double wrap(int64_t value) { return (double)(int32_t)(uint32_t)(uint64_t)value; }

double anl_scalar_evaluate(anl_scalar s, anl_dtype dtype, anl_dtype operand, double a, double b, double c)
{
    bool whole = operand == ANL_I32;
    int64_t i = whole ? (int64_t)a : 0, j = whole ? (int64_t)b : 0;
    switch (s) {
    case ANL_S_NEGATE:
        return whole ? wrap(-i) : -a;
    case ANL_S_ABS:
        return whole ? wrap(i < 0 ? -i : i) : fabs(a);
    case ANL_S_FLOOR:
        return floor(a);
    case ANL_S_EXP:
        return exp(a);
    case ANL_S_LOG:
        return log(a);
    case ANL_S_SQRT:
        return sqrt(a);
    case ANL_S_RSQRT:
        return 1 / sqrt(a);
    case ANL_S_TANH:
        return tanh(a);
    case ANL_S_ERF:
        return erf(a);
    case ANL_S_SIN:
        return sin(a);
    case ANL_S_COS:
        return cos(a);
    case ANL_S_NOT:
        return a == 0;
    case ANL_S_CAST:
        if (dtype == ANL_BOOL)
            return a != 0;
        if (dtype == ANL_I32) /* saturates, so that folding never overflows */
            return a >= INT32_MAX ? INT32_MAX : a <= INT32_MIN ? INT32_MIN : a == a ? trunc(a) : 0;
        return a;
    case ANL_S_ADD:
        return whole ? wrap(i + j) : a + b;
    case ANL_S_SUB:
        return whole ? wrap(i - j) : a - b;
    case ANL_S_MUL:
        return whole ? wrap(i * j) : a * b;
    case ANL_S_DIV:
        return whole ? (j ? wrap(i / j) : 0) : a / b;
    case ANL_S_FLOORDIV:
        return whole ? (j ? wrap(i / j - (i % j != 0 && (i < 0) != (j < 0))) : 0) : floor(a / b);
    case ANL_S_MOD:
        return whole ? (j ? wrap(i % j + (i % j != 0 && (i < 0) != (j < 0) ? j : 0)) : 0) : a - b * floor(a / b);
    case ANL_S_POW:
        return pow(a, b);
    case ANL_S_MINIMUM:
        return a < b ? a : b;
    case ANL_S_MAXIMUM:
        return a > b ? a : b;
    case ANL_S_LT:
        return a < b;
    case ANL_S_LE:
        return a <= b;
    case ANL_S_EQ:
        return a == b;
    case ANL_S_NE:
        return a != b;
    case ANL_S_AND:
        return a != 0 && b != 0;
    case ANL_S_OR:
        return a != 0 || b != 0;
    case ANL_S_SELECT:
        return a != 0 ? b : c;
    case ANL_SCALAR_COUNT:
        break;
    }
    return 0;
}
