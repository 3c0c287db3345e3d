/* Cases of movement: slices, places, concatenations, splits, merges, transposes, windows, gathers, in each dtype and chained.
 * In: the tables below. Out: groups of cases.
 * Nothing is computed, so everything is exact; each movement is checked bare and inside of a computation, where it is an index.
 */
#include "suite.h"

/* A value of any dtype; whole numbers, so that all dtypes are exact. */
static anl_node *any(maker *m, const char *name, anl_dtype dtype, const char *shape)
{
    return field(m, name, dtype, shape, dtype == ANL_BOOL ? 0 : -50, dtype == ANL_BOOL ? 1 : 50, 1);
}

/* The movement by itself, and between two computations. */
static void both(maker *m, anl_dtype dtype, const char *shape, anl_node *(*move)(maker *m, anl_node *x, int which), int which)
{
    anl_node *x = any(m, "x", dtype, shape);
    check_exact(m, move(m, x, which));
    anl_node *y = dtype == ANL_BOOL ? anl_g_unary(m->g, ANL_S_NOT, x) : op2(m, ANL_S_ADD, x, anl_g_const(m->g, dtype, 3));
    y = move(m, y, which);
    check_exact(m, dtype == ANL_BOOL ? op2(m, ANL_S_AND, y, move(m, x, which)) : op2(m, ANL_S_MUL, y, move(m, x, which)));
}

/* ---- along one axis ---- */
static const struct {
    const char *shape, *along;
    int start, count, step;
} slices[] = {
    {"a 13", "a", 0, 13, 1},       {"a 13", "a", 3, 7, 1},      {"a 13", "a", 1, 6, 2},
    {"a 13", "a", 12, 13, -1},     {"a 13", "a", 11, 6, -2},    {"a 13", "a", 5, 1, 1},
    {"a 5 b 13", "b", 2, 4, 3},    {"a 5 b 13", "a", 4, 5, -1}, {"a 5 b 13", "a", 0, 3, 2},
    {"a 3 b 64", "b", 4, 32, 1},   {"a 3 b 64", "b", 3, 32, 1}, {"a 3 b 64", "b", 0, 32, 2},
    {"a 3 b 64", "b", 63, 64, -1}, {"a 8 b 12", "a", 2, 4, 1},  {"a 3 b 7 c 4", "b", 6, 3, -3},
    {"a 3 b 7 c 4", "b", 1, 5, 1}, {"a 1031", "a", 1, 1029, 1}, {"a 257 b 8", "a", 256, 128, -2},
};

static anl_node *move_slice(maker *m, anl_node *x, int i)
{
    return anl_g_slice(m->g, x, axis_id(m, slices[i].along), slices[i].start, slices[i].count, slices[i].step);
}

/* The adjoint: elements go where the slice took them from. */
static anl_node *move_place(maker *m, anl_node *x, int i)
{
    int32_t along = axis_id(m, slices[i].along), size = anl_node_size(x, along);
    anl_node *part = anl_g_slice(m->g, x, along, 0, slices[i].count, 1);
    return anl_g_place(m->g, part, along, slices[i].start, slices[i].step, size + 3, x->dtype == ANL_BOOL ? 1 : 7);
}

static void build_slices(maker *m)
{
    for (int d = 0; d < 3; d++)
        for (size_t i = 0; i < ANL_COUNT(slices); i++) {
            if (d > 0 && !m->thorough && i % 3 != (size_t)d)
                continue;
            begin(m, "slice %s %s along %s from %d, %d by %d", anl_dtype_name((anl_dtype)d), slices[i].shape, slices[i].along,
                  slices[i].start, slices[i].count, slices[i].step);
            both(m, (anl_dtype)d, slices[i].shape, move_slice, (int)i);
            begin(m, "place %s %s along %s from %d, %d by %d", anl_dtype_name((anl_dtype)d), slices[i].shape, slices[i].along,
                  slices[i].start, slices[i].count, slices[i].step);
            both(m, (anl_dtype)d, slices[i].shape, move_place, (int)i);
        }
}

/* ---- axes ---- */
static const struct {
    const char *shape, *order;
} orders[] = {
    {"a 13 b 7", "b a"},       {"a 64 b 32", "b a"},           {"a 3 b 5 c 7", "a c b"},       {"a 3 b 5 c 7", "b a c"},
    {"a 3 b 5 c 7", "b c a"},  {"a 3 b 5 c 7", "c a b"},       {"a 3 b 5 c 7", "c b a"},       {"a 4 b 8 c 12", "c b a"},
    {"a 4 b 8 c 12", "b a c"}, {"a 2 b 3 c 4 d 5", "d b a c"}, {"a 2 b 3 c 4 d 5", "b d c a"}, {"a 1 b 7 c 1 d 4", "d c b a"},
    {"a 127 b 257", "b a"},
};
static anl_node *move_order(maker *m, anl_node *x, int i) { return transpose(m, x, orders[i].order); }

static anl_node *move_split(maker *m, anl_node *x, int i)
{
    anl_axis parts[3] = {axis(m, "p", 2), axis(m, "q", 3), axis(m, "r", 4)};
    return anl_g_split(m->g, x, axis_id(m, i == 0 ? "a" : "b"), parts, 3);
}

static const struct {
    const char *shape, *merged;
} merges[] = {{"a 3 b 5 c 7", "a b"},   {"a 3 b 5 c 7", "b c"}, {"a 3 b 5 c 7", "b a"}, {"a 3 b 5 c 7", "a c"},
              {"a 3 b 5 c 7", "c a b"}, {"a 4 b 8", "a b"},     {"a 4 b 8", "b a"}};
static anl_node *move_merge(maker *m, anl_node *x, int i)
{
    int32_t ids[ANL_MAX_AXES];
    int count = axis_list(m, merges[i].merged, ids);
    return anl_g_merge(m->g, x, ids, count, axis_id(m, "flat"));
}

static anl_node *move_rename(maker *m, anl_node *x, int i)
{
    (void)i;
    anl_node *y = anl_g_rename(m->g, x, axis_id(m, "a"), axis_id(m, "other"));
    return anl_g_rename(m->g, anl_g_rename(m->g, y, axis_id(m, "b"), axis_id(m, "a")), axis_id(m, "other"), axis_id(m, "b"));
}

static anl_node *move_replicate(maker *m, anl_node *x, int i)
{
    anl_node *y = anl_g_replicate(m->g, x, axis_id(m, "copy"), 3);
    return i == 0 ? y : i == 1 ? transpose(m, y, "a copy b") : transpose(m, y, "a b copy");
}

static void build_axes(maker *m)
{
    for (int d = 0; d < 3; d++) {
        const char *dtype = anl_dtype_name((anl_dtype)d);
        for (size_t i = 0; i < ANL_COUNT(orders); i++) {
            if (d > 0 && !m->thorough && i % 3 != (size_t)d)
                continue;
            begin(m, "transpose %s %s to %s", dtype, orders[i].shape, orders[i].order);
            both(m, (anl_dtype)d, orders[i].shape, move_order, (int)i);
        }
        for (int i = 0; i < 2; i++) {
            begin(m, "split %s %s", dtype, i ? "inner" : "outer");
            both(m, (anl_dtype)d, "a 24 b 24", move_split, i);
        }
        for (size_t i = 0; i < ANL_COUNT(merges); i++) {
            begin(m, "merge %s %s: %s", dtype, merges[i].shape, merges[i].merged);
            both(m, (anl_dtype)d, merges[i].shape, move_merge, (int)i);
        }
        begin(m, "rename %s", dtype);
        both(m, (anl_dtype)d, "a 9 b 9", move_rename, 0);
        for (int i = 0; i < 3; i++) {
            begin(m, "replicate %s, place %d", dtype, i);
            both(m, (anl_dtype)d, "a 5 b 12", move_replicate, i);
        }
    }
}

/* ---- concatenations and chains ---- */
static void build_concats(maker *m)
{
    static const struct {
        const char *shapes[3], *along;
    } rows[] = {{{"a 5 b 7", "a 1 b 7", "a 8 b 7"}, "a"},    {{"a 5 b 7", "a 5 b 1", "a 5 b 8"}, "b"},
                {{"a 5 b 8", "a 5 b 16", "a 5 b 4"}, "b"},   {{"a 13", "a 64", NULL}, "a"},
                {{"a 2 b 3 c 4", "a 2 b 9 c 4", NULL}, "b"}, {{"a 2 b 3 c 4", "b 3 c 4 a 5", NULL}, "a"}};
    for (int d = 0; d < 3; d++)
        for (size_t i = 0; i < ANL_COUNT(rows); i++) {
            begin(m, "concat %s %s along %s", anl_dtype_name((anl_dtype)d), rows[i].shapes[0], rows[i].along);
            anl_node *parts[3], *changed[3];
            int count = 0;
            for (; count < 3 && rows[i].shapes[count]; count++) {
                char name[8];
                snprintf(name, sizeof name, "x%d", count);
                parts[count] = any(m, name, (anl_dtype)d, rows[i].shapes[count]);
                changed[count] = d == ANL_BOOL ? anl_g_unary(m->g, ANL_S_NOT, parts[count])
                                               : op2(m, ANL_S_MUL, parts[count], anl_g_const(m->g, (anl_dtype)d, 2 + count));
            }
            anl_node *c = anl_g_concat(m->g, parts, count, axis_id(m, rows[i].along));
            check_exact(m, c);
            c = anl_g_concat(m->g, changed, count, axis_id(m, rows[i].along));
            check_exact(m, d == ANL_BOOL ? anl_g_unary(m->g, ANL_S_NOT, c) : anl_g_unary(m->g, ANL_S_ABS, c));
        }
    begin(m, "parts of a concat of reductions");
    anl_node *x = any(m, "x", ANL_F32, "a 6 b 10"), *y = any(m, "y", ANL_F32, "a 6 b 3");
    anl_node *two[2] = {reduce(m, ANL_OP_SUM, x, "b"), reduce(m, ANL_OP_MAX, y, "b")};
    anl_node *joined = anl_g_concat(m->g, two, 2, axis_id(m, "a"));
    check_exact(m, joined);
    check_exact(m, op2(m, ANL_S_ADD, anl_g_slice(m->g, joined, axis_id(m, "a"), 6, 6, 1), two[0]));
    begin(m, "one part twice");
    anl_node *twice[3] = {x, op2(m, ANL_S_ADD, x, number(m, 1)), x};
    check_exact(m, anl_g_concat(m->g, twice, 3, axis_id(m, "b")));
    begin(m, "slices of a concat of slices");
    anl_node *halves[2] = {anl_g_slice(m->g, x, axis_id(m, "b"), 9, 5, -2), anl_g_slice(m->g, x, axis_id(m, "b"), 0, 10, 1)};
    anl_node *mixed = anl_g_concat(m->g, halves, 2, axis_id(m, "b"));
    check_exact(m, anl_g_slice(m->g, op2(m, ANL_S_ADD, mixed, number(m, 1)), axis_id(m, "b"), 3, 6, 2));
    begin(m, "merged, transposed, split, sliced");
    anl_axis parts[2] = {axis(m, "p", 12), axis(m, "q", 5)};
    anl_node *z = transpose(m, op2(m, ANL_S_MUL, x, number(m, 3)), "b a");
    int32_t ab[2] = {axis_id(m, "a"), axis_id(m, "b")};
    z = anl_g_split(m->g, anl_g_merge(m->g, z, ab, 2, axis_id(m, "flat")), axis_id(m, "flat"), parts, 2);
    z = anl_g_slice(m->g, transpose(m, z, "q p"), axis_id(m, "p"), 10, 4, -3);
    check_exact(m, z);
    check_exact(m, reduce(m, ANL_OP_SUM, z, "q"));
    begin(m, "functions of the language");
    anl_value v = v_node(any(m, "v", ANL_F32, "a 6 b 9"));
    check_exact(m, BUILTIN(m, "slice", "x axis index", v, v_axis(&m->context, "b"), v_int(-2)).node);
    check_exact(
        m,
        BUILTIN(m, "pad", "x axis before after value", v, v_axes(&m->context, "a b"), v_int(2), v_int(1), v_number(0.25)).node);
    check_exact(m, BUILTIN(m, "flip", "x axis", v, v_axes(&m->context, "a b")).node);
    check_exact(m, BUILTIN(m, "gather", "source axis index", v, v_axis(&m->context, "a"), v_int(3)).node);
}

/* ---- windows ---- */
static anl_slide slide(maker *m, const char *name, int in, int kernel, int stride, int dilation, int padding)
{
    return (anl_slide){axis_id(m, name), in,       kernel, (in + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1,
                       stride,           dilation, padding};
}

static void build_windows(maker *m)
{
    static const int rows[][5] = {/* in, kernel, stride, dilation, padding */
                                  {13, 3, 1, 1, 1}, {13, 3, 2, 1, 1}, {12, 2, 2, 1, 0}, {13, 5, 1, 2, 4}, {13, 3, 3, 2, 2},
                                  {12, 1, 2, 1, 0}, {16, 4, 1, 1, 0}, {31, 7, 2, 1, 3}, {7, 7, 1, 1, 3},  {9, 2, 3, 3, 1}};
    for (size_t i = 0; i < ANL_COUNT(rows); i++) {
        const int *r = rows[i];
        begin(m, "%d by %d, stride %d, dilation %d, padding %d", r[0], r[1], r[2], r[3], r[4]);
        char shape[32];
        for (int d = 0; d < 3; d++) {
            snprintf(shape, sizeof shape, d == 1 ? "x %d c 4" : "b 3 x %d", r[0]);
            anl_slide s = slide(m, "x", r[0], r[1], r[2], r[3], r[4]);
            anl_node *x = any(m, d == 0 ? "x" : d == 1 ? "i" : "p", (anl_dtype)d, shape);
            anl_node *w = anl_g_windows(m->g, x, s, axis_id(m, "tap"), d == ANL_BOOL ? 1 : -60);
            check_exact(m, w);
            if (d == ANL_BOOL)
                continue;
            check_exact(m, reduce(m, ANL_OP_MAX, w, "tap"));
            check_exact(m, reduce(m, ANL_OP_SUM, w, "tap"));
            if (d == ANL_F32) {
                check_exact(m, anl_g_unwindows(m->g, op2(m, ANL_S_MUL, w, number(m, 2)), s, axis_id(m, "tap")));
                check_exact(m, reduce(m, ANL_OP_ARGMAX, w, "tap"));
            }
        }
    }
    begin(m, "of two axes");
    anl_node *x = any(m, "x", ANL_F32, "b 2 y 9 x 8 c 4");
    anl_slide sy = slide(m, "y", 9, 3, 2, 1, 1), sx = slide(m, "x", 8, 3, 2, 1, 1);
    anl_node *w = anl_g_windows(m->g, anl_g_windows(m->g, x, sy, axis_id(m, "ty"), -60), sx, axis_id(m, "tx"), -60);
    check_exact(m, reduce(m, ANL_OP_MAX, w, "ty tx"));
    anl_node *g = any(m, "g", ANL_F32, "b 2 y 5 x 4 c 4");
    anl_node *spread = anl_g_where(m->g, op2(m, ANL_S_EQ, w, reduce(m, ANL_OP_MAX, w, "ty tx")), g, number(m, 0));
    check_exact(m, anl_g_unwindows(m->g, anl_g_unwindows(m->g, spread, sx, axis_id(m, "tx")), sy, axis_id(m, "ty")));
    begin(m, "pooling of the language");
    anl_value v = v_node(any(m, "v", ANL_F32, "c 3 y 12 x 10"));
    check_exact(m, BUILTIN(m, "max_pool", "x kernel stride padding", v, v_int(3), v_int(2), v_int(1)).node);
    check_close(m, BUILTIN(m, "mean_pool", "x kernel", v, v_int(2)).node, 1e-6);
}

/* ---- gathers ---- */
static void build_gathers(maker *m)
{
    static const struct {
        const char *source, *axes, *index;
    } rows[] = {
        {"a 13", "a", "i 20"},         {"a 13 b 7", "a", "i 20"},       {"a 13 b 7", "b", "i 20"},
        {"a 13 b 8", "a", "i 16"},     {"a 13 b 7", "a", "b 7"},        {"a 13 b 7", "b", "a 13 i 3"},
        {"a 5 b 7 c 4", "a b", "i 9"}, {"a 5 b 7 c 4", "b", "c 4 i 6"}, {"c 4 a 5 b 7", "b a", "n 2 i 9"},
        {"a 257", "a", "i 1031"},
    };
    for (int d = 0; d < 3; d++)
        for (size_t i = 0; i < ANL_COUNT(rows); i++) {
            begin(m, "%s %s at %s of %s", anl_dtype_name((anl_dtype)d), rows[i].source, rows[i].axes, rows[i].index);
            int32_t axes[4];
            int count = axis_list(m, rows[i].axes, axes);
            anl_node *source = any(m, "x", (anl_dtype)d, rows[i].source), *index[4];
            for (int k = 0; k < count; k++) {
                int32_t size = anl_node_size(source, axes[k]);
                index[k] = field(m, k ? "j" : "i", ANL_I32, rows[i].index, -3, size + 3, 1); /* some lie outside */
            }
            check_exact(m, anl_g_gather(m->g, source, axes, index, count, d == ANL_BOOL ? 1 : -99));
            if (d == ANL_BOOL)
                continue;
            anl_node *changed = op2(m, ANL_S_MUL, source, anl_g_const(m->g, (anl_dtype)d, 2));
            for (int k = 0; k < count; k++)
                index[k] = op2(m, ANL_S_ADD, index[k], whole(m, 1));
            anl_node *taken = anl_g_gather(m->g, changed, axes, index, count, 5);
            check_exact(m, op2(m, ANL_S_ADD, taken, taken));
        }
    begin(m, "far outside");
    anl_node *x = any(m, "x", ANL_F32, "a 9 b 4");
    int32_t a = axis_id(m, "a");
    anl_node *far = field(m, "far", ANL_I32, "i 64", -2147483647, 2147483647, 1);
    check_exact(m, anl_g_gather(m->g, x, &a, &far, 1, 3));
    begin(m, "interpolation");
    static const char *const outside[] = {"zero", "edge"};
    for (int i = 0; i < 2; i++) {
        anl_value image = v_node(FLOATS(m, i ? "image1" : "image0", "n 2 c 3 y 9 x 11"));
        anl_value y = v_node(field(m, i ? "y1" : "y0", ANL_F32, "n 2 y 5 x 6", -2, 11, 0)),
                  xx = v_node(field(m, i ? "x1" : "x0", ANL_F32, "n 2 y 5 x 6", -2, 13, 0));
        check_close(m, BUILTIN(m, "sample", "image y x outside", image, y, xx, v_text(outside[i])).node, 1e-5);
    }
    begin(m, "sums of gathered rows");
    anl_node *rows_of = FLOATS(m, "rows", "memory 50 f 12"), *which = field(m, "which", ANL_I32, "n 7 k 5", 0, 49, 1);
    int32_t memory = axis_id(m, "memory");
    check_close(m, reduce(m, ANL_OP_SUM, anl_g_gather(m->g, rows_of, &memory, &which, 1, 0), "k"), 2e-6);
}

const group movement_groups[] = {
    {"slices", build_slices, 0},   {"axes", build_axes, 0},       {"concats", build_concats, 0},
    {"windows", build_windows, 0}, {"gathers", build_gathers, 0},
};
const int movement_group_count = ANL_COUNT(movement_groups);
