/* Block operations for one floating-point type: included by block.c with REAL = float and REAL = double.
 * In: REAL, NAME(x), REAL_EXP and friends, LANES. Out: static functions NAME(...), among them NAME(select).
 * Every loop is simple enough for the compiler to make vectors of it; results do not depend on how it does. */

#define A_OF(T) const T *a = block->value[op->a]
#define B_OF(T) const T *b = block->value[op->b]
#define C_OF(T) const T *c = block->value[op->c]
#define D_OF(T) T *restrict d = block->value[op->dst]
#define EACH for (int i = 0, n = block->n; i < n; i++)

#define UNARY(name, D, A, expression)                                                                                            \
    static void NAME(name)(const host_op *op, host_block *block)                                                                 \
    {                                                                                                                            \
        A_OF(A);                                                                                                                 \
        D_OF(D);                                                                                                                 \
        EACH                                                                                                                     \
        {                                                                                                                        \
            A x = a[i];                                                                                                          \
            d[i] = expression;                                                                                                   \
        }                                                                                                                        \
    }
#define BINARY(name, D, A, expression)                                                                                           \
    static void NAME(name)(const host_op *op, host_block *block)                                                                 \
    {                                                                                                                            \
        A_OF(A);                                                                                                                 \
        B_OF(A);                                                                                                                 \
        D_OF(D);                                                                                                                 \
        EACH                                                                                                                     \
        {                                                                                                                        \
            A x = a[i], y = b[i];                                                                                                \
            d[i] = expression;                                                                                                   \
        }                                                                                                                        \
    }

UNARY(negate, REAL, REAL, -x)
UNARY(abs, REAL, REAL, REAL_ABS(x))
UNARY(floor, REAL, REAL, REAL_FLOOR(x))
UNARY(exp, REAL, REAL, REAL_EXP(x))
UNARY(log, REAL, REAL, REAL_LOG(x))
UNARY(sqrt, REAL, REAL, REAL_SQRT(x))
UNARY(rsqrt, REAL, REAL, (REAL)1 / REAL_SQRT(x))
UNARY(tanh, REAL, REAL, REAL_TANH(x))
UNARY(erf, REAL, REAL, REAL_ERF(x))
BINARY(add, REAL, REAL, x + y)
BINARY(sub, REAL, REAL, x - y)
BINARY(mul, REAL, REAL, x *y)
BINARY(div, REAL, REAL, x / y)
BINARY(floordiv, REAL, REAL, REAL_FLOOR(x / y))
BINARY(mod, REAL, REAL, x - y * REAL_FLOOR(x / y))
BINARY(pow, REAL, REAL, REAL_POW(x, y))
BINARY(minimum, REAL, REAL, x < y ? x : y)
BINARY(maximum, REAL, REAL, x > y ? x : y)
BINARY(lt, int32_t, REAL, x < y)
BINARY(le, int32_t, REAL, x <= y)
BINARY(eq, int32_t, REAL, x == y)
BINARY(ne, int32_t, REAL, x != y)
UNARY(cast_from_int, REAL, int32_t, (REAL)x)
UNARY(cast_to_int, int32_t, REAL, x > (REAL)-2147483648.0 && x < (REAL)2147483648.0 ? (int32_t)x : INT32_MIN)
UNARY(cast_to_bool, int32_t, REAL, x != 0)
UNARY(copy, REAL, REAL, x)

/* Sine and cosine have a fast way for arguments of everyday size; a block with a greater one takes the library's. */
static void NAME(sincos)(const host_op *op, host_block *block, bool cosine)
{
    A_OF(REAL);
    D_OF(REAL);
    if (REAL_IS_FLOAT) {
        int large = 0;
        EACH large |= !(REAL_ABS(a[i]) < 32768);
        if (!large) {
            int shift = cosine;
            EACH d[i] = (REAL)fast_sine((float)a[i], shift);
            return;
        }
    }
    EACH d[i] = cosine ? REAL_COS(a[i]) : REAL_SIN(a[i]);
}
static void NAME(sin)(const host_op *op, host_block *block) { NAME(sincos)(op, block, false); }
static void NAME(cos)(const host_op *op, host_block *block) { NAME(sincos)(op, block, true); }

static void NAME(select_value)(const host_op *op, host_block *block)
{
    A_OF(int32_t);
    B_OF(REAL);
    C_OF(REAL);
    D_OF(REAL);
    EACH
    {
        REAL x = b[i], y = c[i];
        d[i] = a[i] ? x : y;
    }
}

static void NAME(constant)(const host_op *op, host_block *block)
{
    D_OF(REAL);
    REAL value = (REAL)op->value;
    EACH d[i] = value;
}

static void NAME(scalar)(const host_op *op, host_block *block)
{
    D_OF(REAL);
    REAL value = (REAL)block->scalars[op->slot];
    EACH d[i] = value;
}

/* ---- draws ---- */
static void NAME(uniform)(const host_op *op, host_block *block)
{
    A_OF(int32_t);
    const int32_t *b = op->b >= 0 ? block->value[op->b] : NULL;
    D_OF(REAL);
    uint32_t word[4][DRAWS];
    for (int from = 0; from < block->n; from += DRAWS) {
        int n = block->n - from < DRAWS ? block->n - from : DRAWS;
        draw(a + from, b ? b + from : NULL, n, block->step, op->key, word);
        for (int i = 0; i < n; i++)
            d[from + i] = (REAL)(int32_t)(word[0][i] >> 8) * (REAL)(1.0 / 16777216.0);
    }
}

static void NAME(normal)(const host_op *op, host_block *block)
{
    A_OF(int32_t);
    const int32_t *b = op->b >= 0 ? block->value[op->b] : NULL;
    D_OF(REAL);
    uint32_t word[4][DRAWS];
    for (int from = 0; from < block->n; from += DRAWS) {
        int n = block->n - from < DRAWS ? block->n - from : DRAWS;
        draw(a + from, b ? b + from : NULL, n, block->step, op->key, word);
        for (int i = 0; i < n; i++) {
            /* 1 - u0 and the turn u1 are exact in float32 */
            REAL rest = (REAL)(int32_t)(16777216 - (int32_t)(word[0][i] >> 8)) * (REAL)(1.0 / 16777216.0);
            REAL turn = (REAL)(int32_t)(word[1][i] >> 8) * (REAL)(1.0 / 16777216.0);
            d[from + i] = REAL_SQRT((REAL)-2 * REAL_LOG(rest)) * REAL_COS_TURN(turn);
        }
    }
}

/* ---- memory ---- */
static void NAME(load)(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    const REAL *from = (const REAL *)block->arg[op->slot] + access->base;
    walk at;
    walk_start(&at, access, block->p);
    if (access->stride[0] == 1 && at.left >= block->n && !op->copy) {
        block->value[op->dst] = (void *)(from + at.offset);
        return;
    }
    REAL *restrict d = block->home[op->dst];
    block->value[op->dst] = d;
    int left = block->n;
    int64_t stride = access->stride[0];
    while (left > 0) {
        int n = at.left < left ? (int)at.left : left;
        const REAL *run = from + at.offset;
        if (stride == 1) {
            for (int i = 0; i < n; i++)
                d[i] = run[i];
        } else if (stride == 0) {
            REAL value = *run;
            for (int i = 0; i < n; i++)
                d[i] = value;
        } else {
            for (int i = 0; i < n; i++)
                d[i] = run[i * stride];
        }
        d += n;
        left -= n;
        walk_next(&at, access, n);
    }
}

static void NAME(gather)(const host_op *op, host_block *block)
{
    A_OF(int32_t);
    D_OF(REAL);
    const REAL *from = block->arg[op->slot];
    EACH d[i] = from[a[i]];
}

static void NAME(gather_where)(const host_op *op, host_block *block)
{
    A_OF(int32_t);
    B_OF(int32_t);
    D_OF(REAL);
    const REAL *from = block->arg[op->slot];
    REAL otherwise = (REAL)op->value;
    EACH
    {
        /* element 0 exists always, so the read itself needs no condition and the loop can be a vector gather */
        REAL value = from[b[i] ? a[i] : 0];
        d[i] = b[i] ? value : otherwise;
    }
}

static void NAME(load_rows)(const host_op *op, host_block *block)
{
    const int32_t *at = block->row_value[op->a], *guard = op->b >= 0 ? block->row_value[op->b] : NULL;
    const REAL *from = block->arg[op->slot];
    REAL *restrict d = block->value[op->dst];
    REAL otherwise = (REAL)op->value;
    int row = (int)op->key, rows = block->n / row;
    int64_t stride = op->access.stride[0];
    for (int r = 0; r < rows; r++, d += row) {
        if (guard && !guard[r]) {
            for (int i = 0; i < row; i++)
                d[i] = otherwise;
        } else if (stride == 1) {
            memcpy(d, from + at[r], sizeof(REAL) * (size_t)row);
        } else {
            const REAL *run = from + at[r];
            for (int i = 0; i < row; i++)
                d[i] = run[i * stride];
        }
    }
}

static void NAME(expand)(const host_op *op, host_block *block)
{
    const REAL *a = block->row_value[op->dst];
    D_OF(REAL);
    int row = (int)op->key, rows = block->n / row;
    for (int r = 0; r < rows; r++, d += row) {
        REAL value = a[r];
        for (int i = 0; i < row; i++)
            d[i] = value;
    }
}

static void NAME(acc)(const host_op *op, host_block *block)
{
    block->value[op->dst] = (REAL *)block->acc[op->slot][op->component] + (block->p - block->acc_origin);
}

static void NAME(acc_affine)(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    const REAL *from = (const REAL *)block->acc[op->slot][op->component] + access->base;
    REAL *restrict d = block->home[op->dst];
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

static void NAME(store)(const host_op *op, host_block *block)
{
    const host_access *access = &op->access;
    const REAL *a = block->value[op->a];
    REAL *to = (REAL *)block->arg[op->slot] + access->base;
    walk at;
    walk_start(&at, access, block->p);
    int left = block->n;
    int64_t stride = access->stride[0];
    while (left > 0) {
        int n = at.left < left ? (int)at.left : left;
        REAL *run = to + at.offset;
        if (stride == 1) {
            if (run != a)
                memmove(run, a, (size_t)n * sizeof(REAL));
        } else {
            for (int i = 0; i < n; i++)
                run[i * stride] = a[i];
        }
        a += n;
        left -= n;
        walk_next(&at, access, n);
    }
}

static void NAME(scatter)(const host_op *op, host_block *block)
{
    A_OF(REAL);
    B_OF(int32_t);
    REAL *to = block->arg[op->slot];
    EACH to[b[i]] = a[i];
}

static host_fn *NAME(select)(int op, int dtype, int operand)
{
    bool real = operand == ANL_F32;
    switch (op) {
    case ANL_X_CONST:
        return dtype == ANL_F32 ? NAME(constant) : int_constant;
    case ANL_X_DIM:
        return int_affine;
    case ANL_X_LOAD:
        return dtype == ANL_F32 ? NAME(load) : int_load;
    case HOST_GATHER:
        return dtype == ANL_F32 ? NAME(gather) : int_gather;
    case HOST_GATHER_WHERE:
        return dtype == ANL_F32 ? NAME(gather_where) : int_gather_where;
    case HOST_LOAD_ROWS:
        return dtype == ANL_F32 ? NAME(load_rows) : int_load_rows;
    case HOST_EXPAND:
        return dtype == ANL_F32 ? NAME(expand) : int_expand;
    case HOST_ACC_AFFINE:
        return dtype == ANL_F32 ? NAME(acc_affine) : NULL;
    case ANL_X_SCALAR:
        return NAME(scalar);
    case ANL_X_ACC:
        return dtype == ANL_F32 ? NAME(acc) : int_acc;
    case ANL_X_UNIFORM:
        return NAME(uniform);
    case ANL_X_NORMAL:
        return NAME(normal);
    case ANL_S_NEGATE:
        return real ? NAME(negate) : int_negate;
    case ANL_S_ABS:
        return real ? NAME(abs) : int_abs;
    case ANL_S_FLOOR:
        return NAME(floor);
    case ANL_S_EXP:
        return NAME(exp);
    case ANL_S_LOG:
        return NAME(log);
    case ANL_S_SQRT:
        return NAME(sqrt);
    case ANL_S_RSQRT:
        return NAME(rsqrt);
    case ANL_S_TANH:
        return NAME(tanh);
    case ANL_S_ERF:
        return NAME(erf);
    case ANL_S_SIN:
        return NAME(sin);
    case ANL_S_COS:
        return NAME(cos);
    case ANL_S_NOT:
        return int_not;
    case ANL_S_CAST:
        if (dtype == ANL_F32)
            return real ? NAME(copy) : NAME(cast_from_int);
        if (dtype == ANL_I32)
            return real ? NAME(cast_to_int) : int_copy;
        return real ? NAME(cast_to_bool) : int_to_bool;
    case ANL_S_ADD:
        return real ? NAME(add) : int_add;
    case ANL_S_SUB:
        return real ? NAME(sub) : int_sub;
    case ANL_S_MUL:
        return real ? NAME(mul) : int_mul;
    case ANL_S_DIV:
        return real ? NAME(div) : int_div;
    case ANL_S_FLOORDIV:
        return real ? NAME(floordiv) : int_floordiv;
    case ANL_S_MOD:
        return real ? NAME(mod) : int_mod;
    case ANL_S_POW:
        return real ? NAME(pow) : NULL;
    case ANL_S_MINIMUM:
        return real ? NAME(minimum) : int_minimum;
    case ANL_S_MAXIMUM:
        return real ? NAME(maximum) : int_maximum;
    case ANL_S_LT:
        return real ? NAME(lt) : int_lt;
    case ANL_S_LE:
        return real ? NAME(le) : int_le;
    case ANL_S_EQ:
        return real ? NAME(eq) : int_eq;
    case ANL_S_NE:
        return real ? NAME(ne) : int_ne;
    case ANL_S_AND:
        return int_and;
    case ANL_S_OR:
        return int_or;
    case ANL_S_SELECT:
        return dtype == ANL_F32 ? NAME(select_value) : int_select;
    default:
        return NULL;
    }
}

static host_fn *NAME(select_store)(int dtype, bool scatter)
{
    if (dtype == ANL_F32)
        return scatter ? NAME(scatter) : NAME(store);
    return scatter ? int_scatter : int_store;
}

/* ---- accumulation ---- */
typedef REAL NAME(lanes) __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));

/* Sum of n values: 2 x LANES partial sums, which are then added pairwise in double. */
static double NAME(row_sum)(const REAL *v, int n)
{
    NAME(lanes) s = {0}, t = {0};
    int i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        s += *(const NAME(lanes) *)(v + i);
        t += *(const NAME(lanes) *)(v + i + LANES);
    }
    double total = 0;
    for (int j = 0; j < LANES; j++)
        total += (double)s[j] + (double)t[j];
    for (; i < n; i++)
        total += (double)v[i];
    return total;
}

static REAL NAME(row_max)(const REAL *v, int n)
{
    REAL lane[2 * LANES];
    for (int j = 0; j < 2 * LANES; j++)
        lane[j] = -(REAL)INFINITY;
    int i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (int j = 0; j < 2 * LANES; j++)
            lane[j] = v[i + j] > lane[j] ? v[i + j] : lane[j];
    REAL m = -(REAL)INFINITY;
    for (int j = 0; j < 2 * LANES; j++)
        m = lane[j] > m ? lane[j] : m;
    for (; i < n; i++)
        m = v[i] > m ? v[i] : m;
    return m;
}

static void NAME(row_moments)(const REAL *v, int n, double *mean, double *m2)
{
    double average = NAME(row_sum)(v, n) / n;
    REAL shift = (REAL)average;
    NAME(lanes) s1 = {0}, s2 = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        NAME(lanes) e = *(const NAME(lanes) *)(v + i) - shift;
        s1 += e;
        s2 += e * e;
    }
    double a = 0, b = 0;
    for (int j = 0; j < LANES; j++) {
        a += (double)s1[j];
        b += (double)s2[j];
    }
    for (; i < n; i++) {
        REAL e = v[i] - shift;
        a += (double)e;
        b += (double)(e * e);
    }
    *mean = (double)shift + a / n;
    *m2 = b - a * a / n;
}

static double NAME(row_exp_sum)(const REAL *v, int n, REAL shift, REAL *restrict scratch)
{
    for (int i = 0; i < n; i++)
        scratch[i] = REAL_EXP(v[i] - shift);
    return NAME(row_sum)(scratch, n);
}

/* Sums down `rows` rows of n columns into t, four rows at a time. */
static void NAME(column_sum)(const REAL *v, int rows, int n, REAL *restrict t)
{
    int r = 0;
    if (rows >= 4) {
        for (int j = 0; j < n; j++)
            t[j] = (v[j] + v[n + j]) + (v[2 * n + j] + v[3 * n + j]);
        r = 4;
    } else {
        for (int j = 0; j < n; j++)
            t[j] = v[j];
        r = 1;
    }
    for (; r + 4 <= rows; r += 4) {
        const REAL *q = v + (int64_t)r * n;
        for (int j = 0; j < n; j++)
            t[j] += (q[j] + q[n + j]) + (q[2 * n + j] + q[3 * n + j]);
    }
    for (; r < rows; r++) {
        const REAL *q = v + (int64_t)r * n;
        for (int j = 0; j < n; j++)
            t[j] += q[j];
    }
}

static void NAME(column_max)(const REAL *v, int rows, int n, REAL *restrict t)
{
    for (int j = 0; j < n; j++)
        t[j] = -(REAL)INFINITY;
    for (int r = 0; r < rows; r++) {
        const REAL *q = v + (int64_t)r * n;
        for (int j = 0; j < n; j++)
            t[j] = q[j] > t[j] ? q[j] : t[j];
    }
}

static void NAME(accumulate)(anl_combine combine, const void *values, const host_span *span, double *s0, double *s1,
                             void *scratch)
{
    const REAL *v = values;
    int rows = span->reduced, n = span->inner;
    REAL *t0 = scratch, *t1 = t0 + HOST_BLOCK, *t2 = t1 + HOST_BLOCK;
    for (int o = 0; o < span->outer; o++, v += (int64_t)rows * n, s0 += span->state_stride, s1 += span->state_stride) {
        switch (combine) {
        case ANL_SUM:
            if (n == 1) {
                s0[0] += NAME(row_sum)(v, rows);
            } else if (rows == 1) {
                for (int j = 0; j < n; j++)
                    s0[j] += (double)v[j];
            } else {
                NAME(column_sum)(v, rows, n, t0);
                for (int j = 0; j < n; j++)
                    s0[j] += (double)t0[j];
            }
            break;
        case ANL_MAX:
            if (n == 1) {
                double m = (double)NAME(row_max)(v, rows);
                s0[0] = m > s0[0] ? m : s0[0];
            } else {
                NAME(column_max)(v, rows, n, t0);
                for (int j = 0; j < n; j++) {
                    double m = (double)t0[j];
                    s0[j] = m > s0[j] ? m : s0[j];
                }
            }
            break;
        case ANL_ARGMAX:
            if (n == 1) {
                double m = (double)NAME(row_max)(v, rows);
                if (m > s0[0]) {
                    int i = 0;
                    while ((double)v[i] != m)
                        i++;
                    s0[0] = m;
                    s1[0] = (double)(span->first + i);
                }
            } else {
                for (int j = 0; j < n; j++) {
                    t0[j] = -(REAL)INFINITY;
                    t1[j] = 0;
                }
                for (int r = 0; r < rows; r++) { /* rows of a block are few enough to be counted in REAL */
                    const REAL *q = v + (int64_t)r * n;
                    REAL index = (REAL)r;
                    for (int j = 0; j < n; j++) {
                        bool more = q[j] > t0[j];
                        t0[j] = more ? q[j] : t0[j];
                        t1[j] = more ? index : t1[j];
                    }
                }
                for (int j = 0; j < n; j++) {
                    double m = (double)t0[j], index = (double)span->first + (double)t1[j];
                    bool more = m > s0[j];
                    s0[j] = more ? m : s0[j];
                    s1[j] = more ? index : s1[j];
                }
            }
            break;
        case ANL_LOGSUMEXP:
            if (n == 1) {
                double m = (double)NAME(row_max)(v, rows);
                if (m > s0[0]) {
                    s1[0] *= exp(s0[0] - m);
                    s0[0] = m;
                }
                /* nothing but -inf so far: the sum stays 0; a NaN below makes it NaN */
                REAL shift = s0[0] == -INFINITY ? 0 : (REAL)s0[0];
                s1[0] += s0[0] == INFINITY ? 0 : NAME(row_exp_sum)(v, rows, shift, t0);
            } else {
                NAME(column_max)(v, rows, n, t0);
                for (int j = 0; j < n; j++) {
                    double m = (double)t0[j];
                    if (m > s0[j]) {
                        s1[j] *= exp(s0[j] - m);
                        s0[j] = m;
                    }
                    t0[j] = s0[j] == -INFINITY ? 0 : (REAL)s0[j];
                    t1[j] = 0;
                }
                for (int r = 0; r < rows; r++) {
                    const REAL *q = v + (int64_t)r * n;
                    for (int j = 0; j < n; j++)
                        t1[j] += t0[j] == (REAL)INFINITY ? (REAL)0 : REAL_EXP(q[j] - t0[j]);
                }
                for (int j = 0; j < n; j++)
                    s1[j] += (double)t1[j];
            }
            break;
        case ANL_MOMENTS: {
            double before = span->before, all = before + rows, share = rows / all, weight = before * rows / all;
            if (n == 1) {
                double mean, m2;
                NAME(row_moments)(v, rows, &mean, &m2);
                double delta = mean - s0[0];
                s0[0] += delta * share;
                s1[0] += m2 + delta * delta * weight;
            } else {
                REAL scale = (REAL)1 / (REAL)rows;
                NAME(column_sum)(v, rows, n, t0);
                for (int j = 0; j < n; j++) {
                    t0[j] *= scale;
                    t1[j] = t2[j] = 0;
                }
                for (int r = 0; r < rows; r++) {
                    const REAL *q = v + (int64_t)r * n;
                    for (int j = 0; j < n; j++) {
                        REAL e = q[j] - t0[j];
                        t1[j] += e;
                        t2[j] += e * e;
                    }
                }
                for (int j = 0; j < n; j++) {
                    double off = (double)t1[j], mean = (double)t0[j] + off / rows, m2 = (double)t2[j] - off * off / rows;
                    double delta = mean - s0[j];
                    s0[j] += delta * share;
                    s1[j] += m2 + delta * delta * weight;
                }
            }
            break;
        }
        }
    }
}

#undef A_OF
#undef B_OF
#undef C_OF
#undef D_OF
#undef EACH
#undef UNARY
#undef BINARY
