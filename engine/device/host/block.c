/* What the host executor does with one block of values: every scalar operation, draws, loads, stores, accumulation.
 * In: pointers to blocks of up to HOST_BLOCK values that lie in the first-level cache. Out: another such block.
 * Compiled once per instruction set (HOST_SIMD names it). No fused multiply-add here: results are the same in each. */
#include "device/host/host.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "device/host/block.h"

#ifndef HOST_SIMD
#define HOST_SIMD base
#endif
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

/* ---- walking an affine access run by run ---- */
typedef struct walk {
    int64_t offset, outer; /* of the run's next element; of the run's first one */
    int64_t left;          /* elements left in the run */
    int64_t index[ANL_MAX_DIMS];
} walk;

static inline void walk_start(walk *at, const host_access *access, int64_t p)
{
    int last = access->count - 1;
    int64_t first = p;
    at->outer = 0;
    if (last > 0) {
        first = p % access->size[0];
        p /= access->size[0];
        for (int k = 1; k < last; k++) {
            at->index[k] = p % access->size[k];
            p /= access->size[k];
            at->outer += at->index[k] * access->stride[k];
        }
        at->index[last] = p;
        at->outer += p * access->stride[last];
    }
    at->offset = at->outer + first * access->stride[0];
    at->left = access->size[0] - first;
}

/* Goes on by n <= left elements. */
static inline void walk_next(walk *at, const host_access *access, int n)
{
    at->left -= n;
    if (at->left > 0) {
        at->offset += n * access->stride[0];
        return;
    }
    for (int k = 1; k < access->count; k++) {
        at->outer += access->stride[k];
        if (++at->index[k] < access->size[k])
            break;
        at->outer -= access->size[k] * access->stride[k];
        at->index[k] = 0;
    }
    at->offset = at->outer;
    at->left = access->size[0];
}

/* ---- float32 functions without branches, so that loops over them become vectors. Polynomials after Cephes (S. Moshier); erf
 * after N. Juffa. About 1 ulp each, 2 at worst; tests compare them with the C library over all magnitudes. ---- */
static inline float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
static inline uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

static inline float fast_exp(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float z = x > 89.0f ? 89.0f : x;
    z = z < -104.0f ? -104.0f : z;
    float shifted = z * 1.44269504088896341f + round;
    uint32_t k = bits_of(shifted) - 0x4B400000u;
    float n = shifted - round;
    float r = z - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    float y = p * r * r + r + 1.0f;
    uint32_t half = (uint32_t)((int32_t)k >> 1);
    return y * float_of((half + 127u) << 23) * float_of((k - half + 127u) << 23);
}

static inline float fast_log(float x)
{
    bool small = x < FLT_MIN;
    float scaled = small ? x * 8388608.0f : x;
    uint32_t bits = bits_of(scaled) - 0x3F3504F3u;
    float e = (float)((int32_t)bits >> 23) - (small ? 23.0f : 0.0f);
    float f = float_of((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
    float z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f + -1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f + -1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f + -1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f + -2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * z;
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    float r = (f + y) + e * 0.693359375f;
    r = x == 0.0f ? -INFINITY : r;
    r = x < 0.0f ? NAN : r;
    r = x > FLT_MAX ? x : r;
    return x != x ? x : r;
}

static inline float fast_tanh(float x)
{
    float a = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z + -5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z + -3.33332819422e-1f;
    float near = p * z * x + x;
    float far = 1.0f - 2.0f / (fast_exp(2.0f * a) + 1.0f);
    far = x < 0.0f ? -far : far;
    return a < 0.625f ? near : far;
}

static inline float fast_erf(float x)
{
    float a = fabsf(x), s = x * x;
    float clamped = a > 10.0f ? 10.0f : a, sc = clamped * clamped;
    float r = -1.72853470e-5f * clamped + 3.83197126e-4f;
    float u = -3.88396438e-3f * clamped + 2.42546219e-2f;
    r = r * sc + u;
    r = r * clamped + -1.06777877e-1f;
    r = r * clamped + -6.34846687e-1f;
    r = r * clamped + -1.28717512e-1f;
    r = r * clamped + -clamped;
    float far = 1.0f - fast_exp(r);
    far = x < 0.0f ? -far : far;
    float q = -5.96761703e-4f;
    q = q * s + 4.99119423e-3f;
    q = q * s + -2.67681349e-2f;
    q = q * s + 1.12819925e-1f;
    q = q * s + -3.76125336e-1f;
    q = q * s + 1.28379166e-1f;
    q = q * x + x;
    return a > 0.927734375f ? far : q;
}

/* Sine (shift 0) or cosine (1) of r quarter turns past quadrant q. */
static inline float quadrant_sine(float r, int32_t q)
{
    float z = r * r;
    float s = -1.9515295891e-4f;
    s = s * z + 8.3321608736e-3f;
    s = s * z + -1.6666654611e-1f;
    s = s * z * r + r;
    float c = 2.443315711809948e-5f;
    c = c * z + -1.388731625493765e-3f;
    c = c * z + 4.166664568298827e-2f;
    c = c * z * z - 0.5f * z + 1.0f;
    float y = q & 1 ? c : s;
    return q & 2 ? -y : y;
}

/* For |x| < 32768: the quadrant is taken off in double precision. */
static inline float fast_sine(float x, int shift)
{
    const double round = 6755399441055744.0;
    double k = ((double)x * 0.63661977236758134308 + round) - round;
    float r = (float)((double)x - k * 1.57079632679489661923);
    return quadrant_sine(r, (int32_t)k + shift);
}

/* cos(2 pi u) for u in [0, 1). */
static inline float fast_cosine_turn(float u)
{
    float quarter = 4.0f * u, k = (float)(int32_t)(quarter + 0.5f);
    return quadrant_sine((quarter - k) * 1.57079632679f, (int32_t)k + 1);
}

/* ---- draws: DRAWS counters at a time through Philox ---- */
enum { DRAWS = 64 };

static void draw(const int32_t *restrict element, const int32_t *restrict sample, int n, uint64_t step, uint64_t key,
                 uint32_t word[restrict 4][DRAWS])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t second[DRAWS];
    for (int i = 0; i < n; i++)
        second[i] = sample ? (uint32_t)sample[i] : 0;
    uint32_t low = (uint32_t)step, high = (uint32_t)(step >> 32);
    for (int i = 0; i < n; i++) {
        uint32_t counter[4] = {(uint32_t)element[i], second[i], low, high}, k[2] = {k0, k1}, out[4];
        anl_philox(counter, k, out);
        word[0][i] = out[0];
        word[1][i] = out[1];
    }
}

/* ---- int32 and bool (kept as int32 0 or 1). Arithmetic wraps. ---- */
#define EACH for (int i = 0, n = block->n; i < n; i++)
#define INT_UNARY(name, expression)                                                                                              \
    static void int_##name(const host_op *op, host_block *block)                                                                 \
    {                                                                                                                            \
        const int32_t *a = block->value[op->a];                                                                                  \
        int32_t *restrict d = block->value[op->dst];                                                                             \
        EACH                                                                                                                     \
        {                                                                                                                        \
            int32_t x = a[i];                                                                                                    \
            d[i] = expression;                                                                                                   \
        }                                                                                                                        \
    }
#define INT_BINARY(name, expression)                                                                                             \
    static void int_##name(const host_op *op, host_block *block)                                                                 \
    {                                                                                                                            \
        const int32_t *a = block->value[op->a];                                                                                  \
        const int32_t *b = block->value[op->b];                                                                                  \
        int32_t *restrict d = block->value[op->dst];                                                                             \
        EACH                                                                                                                     \
        {                                                                                                                        \
            int32_t x = a[i], y = b[i];                                                                                          \
            d[i] = expression;                                                                                                   \
        }                                                                                                                        \
    }
#define WRAP(x, operation, y) (int32_t)((uint32_t)(x)operation(uint32_t)(y))

/* Quotients of int32 are exact in double: the nearest multiple is further away than rounding reaches. */
static inline int32_t int_quotient(int32_t x, int32_t y) { return (int32_t)((double)x / (double)y); }
static inline int32_t int_floor_quotient(int32_t x, int32_t y) { return (int32_t)floor((double)x / (double)y); }

INT_UNARY(negate, WRAP(0, -, x))
INT_UNARY(abs, x < 0 ? WRAP(0, -, x) : x)
INT_UNARY(not, x == 0)
INT_UNARY(copy, x)
INT_UNARY(to_bool, x != 0)
INT_BINARY(add, WRAP(x, +, y))
INT_BINARY(sub, WRAP(x, -, y))
INT_BINARY(mul, WRAP(x, *, y))
INT_BINARY(div, int_quotient(x, y))
INT_BINARY(floordiv, int_floor_quotient(x, y))
INT_BINARY(mod, WRAP(x, -, WRAP(y, *, int_floor_quotient(x, y))))
INT_BINARY(minimum, x < y ? x : y)
INT_BINARY(maximum, x > y ? x : y)
INT_BINARY(lt, x < y)
INT_BINARY(le, x <= y)
INT_BINARY(eq, x == y)
INT_BINARY(ne, x != y)
INT_BINARY(and, (x != 0) & (y != 0))
INT_BINARY(or, (x != 0) | (y != 0))

static void int_select(const host_op *op, host_block *block)
{
    const int32_t *a = block->value[op->a];
    const int32_t *b = block->value[op->b];
    const int32_t *c = block->value[op->c];
    int32_t *restrict d = block->value[op->dst];
    EACH
    {
        int32_t x = b[i], y = c[i];
        d[i] = a[i] ? x : y;
    }
}

static void int_constant(const host_op *op, host_block *block)
{
    int32_t *restrict d = block->value[op->dst];
    int32_t value = (int32_t)op->value;
    EACH d[i] = value;
}

/* An affine index itself. */
static void int_affine(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    int32_t *restrict d = block->value[op->dst];
    walk at;
    walk_start(&at, access, block->p);
    int left = block->n;
    int32_t stride = (int32_t)access->stride[0];
    while (left > 0) {
        int n = at.left < left ? (int)at.left : left;
        int32_t first = (int32_t)(access->base + at.offset);
        for (int i = 0; i < n; i++)
            d[i] = first + i * stride;
        d += n;
        left -= n;
        walk_next(&at, access, n);
    }
}

static void int_load(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    const int32_t *from = (const int32_t *)block->arg[op->slot] + access->base;
    int32_t *restrict d = block->home[op->dst];
    block->value[op->dst] = d;
    walk at;
    walk_start(&at, access, block->p);
    int left = block->n;
    int64_t stride = access->stride[0];
    while (left > 0) {
        int n = at.left < left ? (int)at.left : left;
        for (int i = 0; i < n; i++)
            d[i] = from[at.offset + i * stride];
        d += n;
        left -= n;
        walk_next(&at, access, n);
    }
}

static void int_gather(const host_op *op, host_block *block)
{
    const int32_t *a = block->value[op->a], *from = block->arg[op->slot];
    int32_t *restrict d = block->value[op->dst];
    EACH d[i] = from[a[i]];
}

static void int_gather_where(const host_op *op, host_block *block)
{
    const int32_t *a = block->value[op->a], *b = block->value[op->b], *from = block->arg[op->slot];
    int32_t *restrict d = block->value[op->dst];
    int32_t otherwise = (int32_t)op->value;
    EACH
    {
        int32_t value = from[b[i] ? a[i] : 0];
        d[i] = b[i] ? value : otherwise;
    }
}

static void int_load_rows(const host_op *op, host_block *block)
{
    const int32_t *at = block->row_value[op->a], *guard = op->b >= 0 ? block->row_value[op->b] : NULL,
                  *from = block->arg[op->slot];
    int32_t *restrict d = block->value[op->dst];
    int32_t otherwise = (int32_t)op->value;
    int row = (int)op->key, rows = block->n / row;
    int64_t stride = op->access.stride[0];
    for (int r = 0; r < rows; r++, d += row) {
        bool inside = !guard || guard[r];
        const int32_t *run = from + (inside ? at[r] : 0);
        for (int i = 0; i < row; i++)
            d[i] = inside ? run[i * stride] : otherwise;
    }
}

static void int_expand(const host_op *op, host_block *block)
{
    const int32_t *a = block->row_value[op->dst];
    int32_t *restrict d = block->value[op->dst];
    int row = (int)op->key, rows = block->n / row;
    for (int r = 0; r < rows; r++, d += row) {
        int32_t value = a[r];
        for (int i = 0; i < row; i++)
            d[i] = value;
    }
}

static void int_acc(const host_op *op, host_block *block)
{
    block->value[op->dst] = (int32_t *)block->acc[op->slot][op->component] + (block->p - block->acc_origin);
}

static void int_store(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    const int32_t *a = block->value[op->a];
    int32_t *to = (int32_t *)block->arg[op->slot] + access->base;
    walk at;
    walk_start(&at, access, block->p);
    int left = block->n;
    int64_t stride = access->stride[0];
    while (left > 0) {
        int n = at.left < left ? (int)at.left : left;
        for (int i = 0; i < n; i++)
            to[at.offset + i * stride] = a[i];
        a += n;
        left -= n;
        walk_next(&at, access, n);
    }
}

static void int_scatter(const host_op *op, host_block *block)
{
    const int32_t *a = block->value[op->a], *b = block->value[op->b];
    int32_t *to = block->arg[op->slot];
    EACH to[b[i]] = a[i];
}
#undef EACH

/* ---- the two floating-point types ---- */
#define REAL float
#define NAME(x) float_##x
#define LANES 16
#define REAL_IS_FLOAT 1
#define REAL_ABS fabsf
#define REAL_FLOOR floorf
#define REAL_SQRT sqrtf
#define REAL_EXP fast_exp
#define REAL_LOG fast_log
#define REAL_TANH fast_tanh
#define REAL_ERF fast_erf
#define REAL_SIN sinf
#define REAL_COS cosf
#define REAL_POW powf
#define REAL_COS_TURN fast_cosine_turn
#include "device/host/block_real.h"
#undef REAL
#undef NAME
#undef LANES
#undef REAL_IS_FLOAT
#undef REAL_ABS
#undef REAL_FLOOR
#undef REAL_SQRT
#undef REAL_EXP
#undef REAL_LOG
#undef REAL_TANH
#undef REAL_ERF
#undef REAL_SIN
#undef REAL_COS
#undef REAL_POW
#undef REAL_COS_TURN

#define REAL double
#define NAME(x) double_##x
#define LANES 8
#define REAL_IS_FLOAT 0
#define REAL_ABS fabs
#define REAL_FLOOR floor
#define REAL_SQRT sqrt
#define REAL_EXP exp
#define REAL_LOG log
#define REAL_TANH tanh
#define REAL_ERF erf
#define REAL_SIN sin
#define REAL_COS cos
#define REAL_POW pow
#define REAL_COS_TURN(u) cos(6.28318530717958647692 * (u))
#include "device/host/block_real.h"

/* ---- what body.c and the loops call ---- */
static host_fn *select_operation(bool f64, int op, int dtype, int operand)
{
    return f64 ? double_select(op, dtype, operand) : float_select(op, dtype, operand);
}

static host_fn *select_store(bool f64, int dtype, bool scatter)
{
    return f64 ? double_select_store(dtype, scatter) : float_select_store(dtype, scatter);
}

static void spread(void *to, size_t element, int n)
{
    if (element == 8) {
        double *d = to, value = d[0];
        for (int i = 1; i < n; i++)
            d[i] = value;
    } else {
        uint32_t *d = to, value = d[0];
        for (int i = 1; i < n; i++)
            d[i] = value;
    }
}

static void accumulate(bool f64, anl_combine combine, bool integer, const void *values, const host_span *span, double *s0,
                       double *s1, void *scratch)
{
    if (integer) { /* exact in double */
        double *wide = (double *)scratch + 3 * HOST_BLOCK;
        const int32_t *v = values;
        int n = span->outer * span->reduced * span->inner;
        for (int i = 0; i < n; i++)
            wide[i] = v[i];
        double_accumulate(combine, wide, span, s0, s1, scratch);
    } else if (f64) {
        double_accumulate(combine, values, span, s0, s1, scratch);
    } else {
        float_accumulate(combine, values, span, s0, s1, scratch);
    }
}

const host_simd PASTE(anl_host_simd_, HOST_SIMD) = {
    .name = TEXT(HOST_SIMD),
    .select = select_operation,
    .store = select_store,
    .spread = spread,
    .accumulate = accumulate,
};
