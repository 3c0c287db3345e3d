/* Cases of reductions: each of them over inner, outer, middle and all axes; long ones, few kept and many kept, ties, offsets,
 * tails. In: the tables below. Out: groups of cases. Positions and maxima are exact; whole numbers are exact; sums of floats are
 * held to the rounding of a sum in pieces. */
#include "suite.h"

static const struct {
    anl_op op;
    anl_dtype dtype;
    double low, high, unit, tolerance, scale;
} ops[] = {
    {ANL_OP_SUM, ANL_F32, -1, 1, 0, 2e-6, 0},       {ANL_OP_SUM, ANL_I32, -100, 100, 1, 0, 0},
    {ANL_OP_MAX, ANL_F32, -9, -1, 0, 0, 0},         {ANL_OP_MAX, ANL_I32, -900, -1, 1, 0, 0},
    {ANL_OP_ARGMAX, ANL_F32, -9, -1, 0, 0, 0},      {ANL_OP_ARGMAX, ANL_I32, -2, 2, 1, 0, 0},
    {ANL_OP_LOGSUMEXP, ANL_F32, -9, 9, 0, 4e-6, 0}, {ANL_OP_MEAN, ANL_F32, -1, 1, 0, 2e-6, 1},
    {ANL_OP_VARIANCE, ANL_F32, -1, 1, 0, 1e-5, 0},
};

static const struct {
    const char *shape, *over;
} shapes[] = {
    {"a 13", "a"},          {"a 5 b 13", "b"},        {"a 5 b 13", "a"},
    {"a 5 b 13", "a b"},    {"a 3 b 5 c 7", "b"},     {"a 3 b 5 c 7", "a c"},
    {"a 3 b 5 c 7", "c a"}, {"a 3 b 5 c 7", "b a"},   {"a 3 b 5 c 7", "a b c"},
    {"a 8 b 31 c 64", "b"}, {"a 8 b 31 c 64", "a b"}, {"a 8 b 31 c 64", "c"},
    {"a 4 b 64", "b"},      {"a 64 b 4", "a"},        {"a 257 b 3", "a"},
    {"a 3 b 257", "b"},     {"a 2 b 1031", "b"},      {"a 1031 b 2", "a"},
    {"a 1031 b 8", "a"},    {"a 127 b 31", "a b"},    {"a 1 b 7", "b"},
};

static void add(maker *m, size_t o, size_t s)
{
    begin(m, "%s %s, %s over %s", anl_op_describe(ops[o].op)->name, anl_dtype_name(ops[o].dtype), shapes[s].shape,
          shapes[s].over);
    anl_node *x = field(m, "x", ops[o].dtype, shapes[s].shape, ops[o].low, ops[o].high, ops[o].unit);
    check_scaled(m, reduce(m, ops[o].op, x, shapes[s].over), ops[o].tolerance, ops[o].scale);
}

static void build_table(maker *m, size_t first, size_t last)
{
    for (size_t o = first; o < last; o++)
        for (size_t s = 0; s < ANL_COUNT(shapes); s++)
            add(m, o, s);
}
static void build_sums(maker *m) { build_table(m, 0, 3); }
static void build_maxima(maker *m) { build_table(m, 3, 6); }
static void build_moments(maker *m) { build_table(m, 6, 9); }

/* More than a million terms for one result, and few kept. */
static void build_long(maker *m)
{
    static const struct {
        const char *shape, *over;
    } rows[] = {
        {"a 1048583", "a"}, {"a 3 b 100003", "b"}, {"a 20011 b 8", "a"}, {"a 7001 b 3", "a"}, {"a 101 b 4 c 1009", "a c"}};
    for (size_t r = 0; r < ANL_COUNT(rows); r++)
        for (size_t o = 0; o < ANL_COUNT(ops); o++) {
            bool every = m->thorough || r == 0 || (o + r) % 3 == 0;
            if (!every)
                continue;
            begin(m, "%s %s, %s over %s", anl_op_describe(ops[o].op)->name, anl_dtype_name(ops[o].dtype), rows[r].shape,
                  rows[r].over);
            anl_node *x = field(m, "x", ops[o].dtype, rows[r].shape, ops[o].low, ops[o].high, ops[o].unit);
            /* a sum of n terms of either sign is about sqrt(n), its rounding error up to a few times that of each term */
            check_scaled(m, reduce(m, ops[o].op, x, rows[r].over),
                         ops[o].op == ANL_OP_SUM && ops[o].tolerance > 0 ? 1e-4 : 3 * ops[o].tolerance, ops[o].scale);
        }
    begin(m, "argmax finds the first of equals");
    anl_node *flat = field(m, "x", ANL_F32, "a 100003", -1, 0, 1);
    check_exact(m, reduce(m, ANL_OP_ARGMAX, flat, "a"));
    check_exact(m, reduce(m, ANL_OP_ARGMAX, field(m, "y", ANL_F32, "a 40000 b 3", -1, 0, 1), "a"));
}

static void build_many_kept(maker *m)
{
    for (size_t o = 0; o < ANL_COUNT(ops); o++) {
        begin(m, "%s %s", anl_op_describe(ops[o].op)->name, anl_dtype_name(ops[o].dtype));
        check_scaled(m,
                     reduce(m, ops[o].op, field(m, "x", ops[o].dtype, "a 30011 b 3", ops[o].low, ops[o].high, ops[o].unit), "b"),
                     2 * ops[o].tolerance, ops[o].scale);
        check_scaled(m,
                     reduce(m, ops[o].op, field(m, "y", ops[o].dtype, "b 5 a 20012", ops[o].low, ops[o].high, ops[o].unit), "b"),
                     2 * ops[o].tolerance, ops[o].scale);
    }
}

static void build_hard(maker *m)
{
    begin(m, "variance far from zero");
    anl_node *x = field(m, "x", ANL_F32, "a 4001 b 5", 1000, 1001, 0), *y = field(m, "y", ANL_F32, "b 4 a 8192", -5000, -4999, 0);
    check_close(m, reduce(m, ANL_OP_VARIANCE, x, "a"), 3e-4);
    check_close(m, reduce(m, ANL_OP_VARIANCE, y, "a"), 3e-4);
    check_close(m, reduce(m, ANL_OP_MEAN, x, "a"), 1e-6);
    check_close(m, reduce(m, ANL_OP_VARIANCE, field(m, "z", ANL_F32, "a 777 b 3", 3, 3, 0), "a"), 0);
    begin(m, "logsumexp of large numbers");
    check_close(m, reduce(m, ANL_OP_LOGSUMEXP, field(m, "l", ANL_F32, "a 7 b 300", 900, 1000, 0), "b"), 1e-6);
    check_close(m, reduce(m, ANL_OP_LOGSUMEXP, field(m, "n", ANL_F32, "a 7 b 300", -1000, -900, 0), "b"), 1e-6);
    check_close(m, reduce(m, ANL_OP_LOGSUMEXP, field(m, "s", ANL_F32, "a 7 b 5000", -300, 300, 0), "b"), 1e-6);
    begin(m, "logsumexp of minus infinity");
    check_close(m,
                reduce(m, ANL_OP_LOGSUMEXP,
                       GIVEN(m, "i", "a 2 b 7", -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1,
                             -INFINITY, 2, 3, 4, 5, 6),
                       "b"),
                4e-6);
    begin(m, "max of infinities");
    check_exact(m, reduce(m, ANL_OP_MAX,
                          GIVEN(m, "i", "a 3 b 5", -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1, INFINITY, 2, 3, 4, 1,
                                -INFINITY, 2, 3, 4),
                          "b"));
    begin(m, "sums wrap");
    check_exact(m, reduce(m, ANL_OP_SUM, field(m, "w", ANL_I32, "a 5 b 1031", 1e9, 2147483647, 1), "b"));
    begin(m, "order of over counts");
    anl_node *p = field(m, "p", ANL_F32, "a 5 b 7 c 4", -1, 1, 0);
    static const char *const orders[] = {"a b", "b a", "c a", "a c", "c b a", "b c", "b a c"};
    for (size_t i = 0; i < ANL_COUNT(orders); i++)
        check_exact(m, reduce(m, ANL_OP_ARGMAX, p, orders[i]));
    begin(m, "of a transposed value");
    anl_node *t = transpose(m, op2(m, ANL_S_MUL, p, number(m, 2)), "c a b");
    check_close(m, reduce(m, ANL_OP_SUM, t, "b"), 2e-6);
    check_close(m, reduce(m, ANL_OP_SUM, t, "c"), 2e-6);
    check_exact(m, reduce(m, ANL_OP_MAX, t, "a b"));
    begin(m, "of bools");
    check_exact(m, reduce(m, ANL_OP_SUM, field(m, "b", ANL_BOOL, "a 31 b 7", 0, 1, 1), "a"));
}

/* Bodies in front of a reduction, tails behind it, several of one value. */
static void build_fused(maker *m)
{
    begin(m, "normalised over one axis");
    anl_node *x = FLOATS(m, "x", "n 11 c 12 s 9"), *w = FLOATS(m, "w", "c 12");
    anl_node *mean = reduce(m, ANL_OP_MEAN, x, "n s"), *variance = reduce(m, ANL_OP_VARIANCE, x, "n s");
    anl_node *y = op2(m, ANL_S_MUL,
                      op2(m, ANL_S_MUL, op2(m, ANL_S_SUB, x, mean),
                          anl_g_unary(m->g, ANL_S_RSQRT, op2(m, ANL_S_ADD, variance, number(m, 1e-5)))),
                      w);
    check_close(m, y, 1e-5);
    check_close(m, mean, 1e-5);
    check_close(m, variance, 1e-5);
    begin(m, "softmax");
    anl_node *l = field(m, "l", ANL_F32, "n 13 k 37", -10, 10, 0);
    anl_node *p = anl_g_unary(m->g, ANL_S_EXP, op2(m, ANL_S_SUB, l, reduce(m, ANL_OP_MAX, l, "k")));
    check_close(m, op2(m, ANL_S_DIV, p, reduce(m, ANL_OP_SUM, p, "k")), 1e-5);
    check_close(m, op2(m, ANL_S_SUB, l, reduce(m, ANL_OP_LOGSUMEXP, l, "k")), 1e-5);
    begin(m, "alternating sums");
    anl_node *q = field(m, "q", ANL_F32, "n 16 k 20", 0.1, 1, 0);
    for (int i = 0; i < 3; i++) {
        q = op2(m, ANL_S_DIV, q, op2(m, ANL_S_MAXIMUM, reduce(m, ANL_OP_SUM, q, "n"), number(m, 1e-30)));
        q = op2(m, ANL_S_DIV, q, op2(m, ANL_S_MAXIMUM, reduce(m, ANL_OP_SUM, q, "k"), number(m, 1e-30)));
    }
    check_close(m, q, 2e-5);
    begin(m, "distance with a tail");
    anl_node *a = FLOATS(m, "a", "i 17 f 12"), *b = FLOATS(m, "b", "j 9 f 12");
    anl_node *d = op2(m, ANL_S_SUB, a, b);
    check_close(
        m, anl_g_unary(m->g, ANL_S_SQRT, op2(m, ANL_S_ADD, reduce(m, ANL_OP_SUM, op2(m, ANL_S_MUL, d, d), "f"), number(m, 1e-6))),
        1e-5);
    begin(m, "where inside");
    anl_node *known = field(m, "known", ANL_BOOL, "i 17", 0, 1, 1);
    anl_node *count = anl_g_cast(m->g, ANL_F32, reduce(m, ANL_OP_SUM, known, "i"));
    anl_node *sum = reduce(m, ANL_OP_SUM, anl_g_where(m->g, known, a, number(m, 0)), "i");
    check_close(m, op2(m, ANL_S_DIV, sum, op2(m, ANL_S_MAXIMUM, count, number(m, 1))), 5e-6);
    begin(m, "functions of the language");
    anl_value v = v_node(FLOATS(m, "v", "a 9 b 7 c 4"));
    check_exact(m, BUILTIN(m, "argmax", "x over", v, v_axes(&m->context, "c a")).node);
    anl_value moments = BUILTIN(m, "moments", "x over", v, v_axes(&m->context, "a c"));
    for (int i = 0; i < moments.mapping.count; i++)
        check_close(m, moments.mapping.items[i].node, 1e-5);
    check_close(
        m,
        BUILTIN(m, "mean", "x over where", v, v_axes(&m->context, "a c"), operate(&m->context, ANL_S_LT, v, v_number(0.2))).node,
        1e-5);
}

/* Positions of the greatest, sums over segments. */
static void build_picked(maker *m)
{
    static const struct {
        const char *shape, *along;
        int count;
    } rows[] = {{"a 13", "a", 4},          {"a 5 b 37", "b", 5},  {"a 37 b 5", "a", 3},
                {"a 3 b 20 c 4", "b", 20}, {"a 6 b 300", "b", 2}, {"a 9 b 4", "b", 1}};
    for (size_t i = 0; i < ANL_COUNT(rows); i++) {
        begin(m, "top_k %s along %s, %d", rows[i].shape, rows[i].along, rows[i].count);
        for (int whole_numbers = 0; whole_numbers < 2; whole_numbers++) {
            anl_value x = v_node(
                field(m, whole_numbers ? "i" : "x", whole_numbers ? ANL_I32 : ANL_F32, rows[i].shape, -3, 3, whole_numbers));
            anl_value top = BUILTIN(m, "top_k", "x axis count", x, v_axis(&m->context, rows[i].along), v_int(rows[i].count));
            for (int k = 0; k < top.mapping.count; k++)
                check_exact(m, top.mapping.items[k].node);
        }
    }
    static const int32_t starts[] = {0, 3, 3, 10, 11, 300}, inner[] = {2, 5, 9};
    begin(m, "segment sums");
    check_close(m, anl_g_segment_sum(m->g, FLOATS(m, "x", "flat 300"), axis_id(m, "flat"), starts, 5, axis_id(m, "s")), 2e-6);
    check_close(m, anl_g_segment_sum(m->g, FLOATS(m, "y", "flat 300 c 5"), axis_id(m, "flat"), starts, 5, axis_id(m, "s")), 2e-6);
    check_close(m, anl_g_segment_sum(m->g, FLOATS(m, "z", "c 5 flat 12 d 4"), axis_id(m, "flat"), inner, 2, axis_id(m, "s")),
                2e-6);
    begin(m, "segment sums of a product, long");
    static int32_t many[66];
    for (int i = 0; i < 66; i++)
        many[i] = i * i * 5;
    anl_node *g = FLOATS(m, "g", "flat 22000");
    check_close(m,
                anl_g_unary(m->g, ANL_S_SQRT,
                            anl_g_segment_sum(m->g, op2(m, ANL_S_MUL, g, g), axis_id(m, "flat"), many, 65, axis_id(m, "s"))),
                5e-6);
}

const group reduction_groups[] = {
    {"sums", build_sums, 0},
    {"maxima", build_maxima, 0},
    {"moments", build_moments, 0},
    {"long reductions", build_long, 0},
    {"many kept", build_many_kept, 0},
    {"hard reductions", build_hard, 0},
    {"fused reductions", build_fused, 0},
    {"picked", build_picked, 0},
};
const int reduction_group_count = ANL_COUNT(reduction_groups);
