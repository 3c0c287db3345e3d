/* Cases of contractions: products with batch axes and transposes, convolutions in their three roles, epilogues.
 * In: the tables below, and a choice of parameters in which any two values of any two parameters meet. Out: groups of cases.
 * Held to a few roundings of the size of the result: products are summed in float32 in some order. */
#include "suite.h"

static const double SUMMED = 1e-5;

/* ---- products ---- */
static const struct {
    const char *a, *b, *over, *out;
} dots[] = {
    {"i 13 k 7", "k 7 j 5", "k", "i 13 j 5"},
    {"i 13 k 7", "j 5 k 7", "k", "i 13 j 5"},
    {"k 7 i 13", "k 7 j 5", "k", "i 13 j 5"},
    {"k 7 i 13", "j 5 k 7", "k", "j 5 i 13"},
    {"i 64 k 64", "k 64 j 64", "k", "i 64 j 64"},
    {"i 64 k 64", "j 64 k 64", "k", "i 64 j 64"},
    {"k 64 i 64", "k 64 j 64", "k", "i 64 j 64"},
    {"k 64 i 64", "j 64 k 64", "k", "j 64 i 64"},
    {"i 127 k 31", "k 31 j 257", "k", "i 127 j 257"},
    {"i 127 k 257", "j 31 k 257", "k", "i 127 j 31"},
    {"i 65 k 16", "k 16 j 68", "k", "i 65 j 68"},
    {"i 1 k 64", "k 64 j 64", "k", "i 1 j 64"},
    {"k 64", "k 64 j 12", "k", "j 12"},
    {"i 64 k 64", "k 64", "k", "i 64"},
    {"k 1031", "k 1031", "k", ""},
    {"i 7", "j 12", "", "i 7 j 12"},
    {"i 7 k 1", "k 1 j 12", "k", "i 7 j 12"},
    {"i 5 k 13 l 4", "l 4 j 8 k 13", "k l", "i 5 j 8"},
    {"i 5 k 13 l 4", "k 13 l 4 j 8", "k l", "i 5 j 8"},
    {"v 2 i 5 k 12", "k 12 j 8 o 3", "k", "v 2 i 5 j 8 o 3"},
    {"n 3 i 13 k 8", "n 3 k 8 j 12", "k", "n 3 i 13 j 12"},
    {"n 3 i 13 k 8", "n 3 j 12 k 8", "k", "i 13 n 3 j 12"},
    {"i 13 n 3 k 8", "j 12 n 3 k 8", "k", "n 3 j 12 i 13"},
    {"n 31 k 8", "n 31 k 8", "k", "n 31"},
    {"n 31 i 4", "n 31 j 8", "", "n 31 i 4 j 8"},
    {"n 2 h 3 i 17 k 8", "n 2 h 3 j 17 k 8", "k", "n 2 h 3 i 17 j 17"},
    {"n 2 i 17 h 3 k 8", "n 2 j 17 h 3 k 8", "k", "n 2 h 3 i 17 j 17"},
    {"i 3 k 4099", "k 4099 j 8", "k", "i 3 j 8"},
    {"k 4099 i 3", "k 4099 j 5", "k", "i 3 j 5"},
    {"i 3 k 20000", "k 20000 j 4", "k", "i 3 j 4"},
    {"i 2 k 2", "k 2 j 2", "k", "i 2 j 2"},
    {"i 1031 k 3", "k 3 j 4", "k", "i 1031 j 4"},
};

static anl_node *dot(maker *m, anl_node *a, anl_node *b, const char *over, const char *out)
{
    int32_t ids[ANL_MAX_AXES];
    anl_axis axes[ANL_MAX_AXES];
    int count = axis_list(m, over, ids), rank = shape_axes(m, out, axes);
    return anl_g_contract(m->g, a, b, ids, count, ANL_ROLE_FORWARD, NULL, 0, axes, rank);
}

static void build_dots(maker *m)
{
    for (size_t i = 0; i < ANL_COUNT(dots); i++) {
        begin(m, "[%s] with [%s] over %s to [%s]", dots[i].a, dots[i].b, dots[i].over, dots[i].out);
        anl_node *product = dot(m, FLOATS(m, "a", dots[i].a), FLOATS(m, "b", dots[i].b), dots[i].over, dots[i].out);
        check_scaled(m, product, SUMMED, product->rank ? 0 : 10);
    }
    begin(m, "whole numbers are exact");
    check_exact(m, dot(m, field(m, "a", ANL_F32, "i 33 k 40", -8, 8, 1), field(m, "b", ANL_F32, "k 40 j 36", -8, 8, 1), "k",
                       "i 33 j 36"));
}

/* Operands that are not stored as they are used. */
static void build_moved(maker *m)
{
    anl_graph *g = m->g;
    begin(m, "slices of both");
    anl_node *a = FLOATS(m, "a", "i 15 k 20"), *b = FLOATS(m, "b", "k 41 j 16");
    anl_node *even = anl_g_slice(g, b, axis_id(m, "k"), 1, 20, 2);
    check_close(m, dot(m, a, even, "k", "i 15 j 16"), SUMMED);
    check_close(
        m, dot(m, anl_g_slice(g, a, axis_id(m, "k"), 3, 16, 1), anl_g_slice(g, b, axis_id(m, "k"), 25, 16, 1), "k", "i 15 j 16"),
        SUMMED);
    check_close(m, dot(m, anl_g_slice(g, a, axis_id(m, "k"), 19, 20, -1), even, "k", "i 15 j 16"), SUMMED);
    check_close(m, dot(m, anl_g_slice(g, a, axis_id(m, "i"), 1, 7, 2), even, "k", "j 16 i 7"), SUMMED);
    begin(m, "one half with the other");
    anl_node *x = FLOATS(m, "x", "v 2 n 9 f 12");
    int32_t v = axis_id(m, "v");
    anl_axis none[1] = {{0, 0}};
    anl_node *first = anl_g_split(g, anl_g_slice(g, x, v, 0, 1, 1), v, none, 0),
             *second = anl_g_split(g, anl_g_slice(g, x, v, 1, 1, 1), v, none, 0);
    check_close(m, dot(m, first, anl_g_rename(g, second, axis_id(m, "n"), axis_id(m, "other")), "f", "n 9 other 9"), SUMMED);
    check_close(m, dot(m, first, second, "f", "n 9"), SUMMED);
    begin(m, "a value with itself");
    check_close(m, dot(m, x, anl_g_rename(g, x, axis_id(m, "n"), axis_id(m, "other")), "f", "v 2 n 9 other 9"), SUMMED);
    begin(m, "heads");
    anl_node *h = FLOATS(m, "h", "n 2 t 7 c 24");
    anl_axis parts[2] = {axis(m, "head", 3), axis(m, "c", 8)};
    anl_node *q = anl_g_split(g, h, axis_id(m, "c"), parts, 2), *k = anl_g_rename(g, q, axis_id(m, "t"), axis_id(m, "s"));
    anl_node *scores = dot(m, q, k, "c", "n 2 head 3 t 7 s 7");
    anl_node *weights = anl_g_unary(g, ANL_S_EXP, op2(m, ANL_S_SUB, scores, reduce(m, ANL_OP_LOGSUMEXP, scores, "s")));
    anl_node *mixed = dot(m, weights, k, "s", "n 2 t 7 head 3 c 8");
    int32_t both[2] = {axis_id(m, "head"), axis_id(m, "c")};
    check_close(m, anl_g_merge(g, mixed, both, 2, axis_id(m, "c")), 2e-5);
    begin(m, "computed operands");
    anl_node *ca = anl_g_unary(g, ANL_S_TANH, op2(m, ANL_S_MUL, a, number(m, 2)));
    check_close(m, dot(m, ca, op2(m, ANL_S_ADD, even, FLOATS(m, "bias", "j 16")), "k", "i 15 j 16"), 2e-5);
    begin(m, "replicated operands");
    check_close(m, dot(m, anl_g_replicate(g, a, axis_id(m, "r"), 3), even, "k", "r 3 i 15 j 16"), SUMMED);
    begin(m, "concatenated operands and results");
    anl_node *two[2] = {a, anl_g_slice(g, a, axis_id(m, "i"), 0, 5, 3)};
    anl_node *longer = dot(m, anl_g_concat(g, two, 2, axis_id(m, "i")), even, "k", "i 20 j 16");
    anl_node *ends[2] = {longer, op2(m, ANL_S_MUL, dot(m, a, even, "k", "i 15 j 16"), number(m, 2))};
    check_close(m, anl_g_concat(g, ends, 2, axis_id(m, "i")), SUMMED);
    begin(m, "functions of the language");
    check_close(m, BUILTIN(m, "dot", "a b over", v_node(a), v_node(even), v_axis(&m->context, "k")).node, SUMMED);
    anl_value image = v_node(FLOATS(m, "image", "n 2 c 3 y 8 x 9")), kernel = v_node(FLOATS(m, "kernel", "o 4 c 3 y 3 x 3"));
    check_close(m, BUILTIN(m, "convolve", "x weight over stride", image, kernel, v_axis(&m->context, "c"), v_int(2)).node,
                SUMMED);
    check_close(
        m,
        BUILTIN(m, "convolve", "x weight over dilation padding", image, kernel, v_axis(&m->context, "c"), v_int(2), v_int(1))
            .node,
        SUMMED);
}

static void build_epilogues(maker *m)
{
    static const struct {
        const char *a, *b, *out, *column;
    } rows[] = {{"i 33 k 20", "k 20 j 16", "i 33 j 16", "j 16"},
                {"i 21 k 7", "k 7 j 13", "i 21 j 13", "j 13"},
                {"k 20 i 70", "k 20 j 68", "j 68 i 70", "j 68"},
                {"i 9 k 3000", "k 3000 j 8", "i 9 j 8", "j 8"},
                {"n 2 i 9 k 12", "n 2 k 12 j 8", "n 2 i 9 j 8", "j 8"}};
    for (size_t r = 0; r < ANL_COUNT(rows); r++) {
        begin(m, "after [%s] with [%s]", rows[r].a, rows[r].b);
        anl_node *product = dot(m, FLOATS(m, "a", rows[r].a), FLOATS(m, "b", rows[r].b), "k", rows[r].out);
        anl_node *bias = FLOATS(m, "bias", rows[r].column), *other = FLOATS(m, "other", rows[r].out);
        anl_node *y = op2(m, ANL_S_ADD, op2(m, ANL_S_ADD, product, bias), other);
        check_close(m, op2(m, ANL_S_MAXIMUM, y, number(m, 0)), SUMMED);
    }
    begin(m, "result used twice");
    anl_node *product = dot(m, FLOATS(m, "a", "i 12 k 9"), FLOATS(m, "b", "k 9 j 8"), "k", "i 12 j 8");
    check_close(m, product, SUMMED);
    check_close(m, anl_g_unary(m->g, ANL_S_TANH, product), SUMMED);
    check_exact(m, reduce(m, ANL_OP_ARGMAX, product, "j"));
    begin(m, "comparison of a product");
    check_exact(
        m, op2(m, ANL_S_LT,
               dot(m, field(m, "a", ANL_F32, "i 12 k 9", -3, 3, 1), field(m, "b", ANL_F32, "k 9 j 8", -3, 3, 1), "k", "i 12 j 8"),
               number(m, 0.5)));
    begin(m, "result transposed and sliced");
    check_close(m, anl_g_slice(m->g, transpose(m, product, "j i"), axis_id(m, "i"), 11, 6, -2), SUMMED);
    begin(m, "positions in the tail");
    check_close(m,
                op2(m, ANL_S_MUL, product,
                    anl_g_cast(m->g, ANL_F32,
                               op2(m, ANL_S_ADD, anl_g_index(m->g, axis_id(m, "i"), 12), anl_g_index(m->g, axis_id(m, "j"), 8)))),
                SUMMED);
}

/* ---- convolutions ---- */
enum { PLAIN, GROUPED, DEPTHWISE, EACH_SAMPLE };
typedef struct convolution {
    int space, kernel, stride, dilation, even, mode, channels, order;
} convolution;
static const int kernels[] = {1, 2, 3, 5, 7}, channel_pairs[][2] = {{1, 1}, {3, 8}, {8, 31}, {31, 64}, {64, 3}, {8, 64}};
static const char *const mode_names[] = {"", " in groups", " by channel", " by sample"};
static const int choices[] = {3, 5, 3, 2, 2, 4, 6, 3}; /* of each parameter */

static convolution from_indices(const int *index)
{
    return (convolution){1 + index[0], kernels[index[1]], 1 + index[2], 1 + index[3], index[4], index[5], index[6], index[7]};
}

static int slides_of(maker *m, const convolution *c, anl_slide *slides)
{
    static const char *const names[] = {"z", "y", "x"};
    static const int sizes[3][2] = {{31, 32}, {11, 12}, {6, 7}};
    for (int i = 0; i < c->space; i++) {
        int in = sizes[c->space - 1][c->space == 3 ? (c->even + i) % 2 : c->even], reach = (c->kernel - 1) * c->dilation;
        int padding = c->even && reach < in ? 0 : reach / 2;
        if (c->even && i > 0 && c->kernel > 1)
            padding = reach / 2 + 1; /* more than "same" */
        slides[i] = (anl_slide){axis_id(m, names[3 - c->space + i]),
                                in,
                                c->kernel,
                                (in + 2 * padding - reach - 1) / c->stride + 1,
                                c->stride,
                                c->dilation,
                                padding};
    }
    return c->space;
}

/* Axes of X, W or Y: the order says how they lie in memory. */
static int tensor_axes(maker *m, const convolution *c, char part, const anl_slide *slides, anl_axis *out)
{
    int channels = channel_pairs[c->channels][0], outs = channel_pairs[c->channels][1], rank = 0;
    anl_axis n = axis(m, "n", c->mode == EACH_SAMPLE ? 3 : 2), g = axis(m, "g", 2), ch = axis(m, "c", channels),
             o = axis(m, "o", outs);
    if (c->mode == DEPTHWISE)
        ch.size = channels > outs ? channels : outs;
    anl_axis space[3];
    for (int i = 0; i < c->space; i++)
        space[i] = (anl_axis){slides[i].axis, part == 'x'   ? slides[i].in_size
                                              : part == 'w' ? slides[i].tap_size
                                                            : slides[i].out_size};
    bool has_n = part != 'w' || c->mode == EACH_SAMPLE, has_g = c->mode == GROUPED, has_c = part != 'y' || c->mode == DEPTHWISE;
    bool has_o = part != 'x' && c->mode != DEPTHWISE;
    if (has_n && c->order != 2)
        out[rank++] = n;
    if (has_g && c->order == 0)
        out[rank++] = g;
    if (c->order == 1) { /* channels first */
        if (has_g)
            out[rank++] = g;
        if (has_o)
            out[rank++] = o;
        if (has_c)
            out[rank++] = ch;
    }
    for (int i = 0; i < c->space; i++)
        out[rank++] = space[i];
    if (has_n && c->order == 2)
        out[rank++] = n;
    if (c->order != 1) {
        if (has_g && c->order == 2)
            out[rank++] = g;
        if (has_c)
            out[rank++] = ch;
        if (has_o)
            out[rank++] = o;
    }
    return rank;
}

static anl_node *tensor(maker *m, const convolution *c, char part, const anl_slide *slides)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = tensor_axes(m, c, part, slides, axes);
    anl_text shape = {0};
    for (int i = 0; i < rank; i++)
        anl_text_printf(&shape, "%s%s %d", i ? " " : "", anl_graph_axis_name(m->g, axes[i].id), axes[i].size);
    anl_node *n = FLOATS(m, part == 'x' ? "x" : part == 'w' ? "w" : "y", shape.data);
    anl_text_free(&shape);
    return n;
}

static void add_convolution(maker *m, const convolution *c)
{
    anl_slide slides[3];
    int count = slides_of(m, c, slides);
    int32_t n = axis_id(m, "n"), ch = axis_id(m, "c"), o = axis_id(m, "o");
    begin(m, "%d axes, kernel %d, stride %d, dilation %d, %s, %d to %d%s, order %d", c->space, c->kernel, c->stride, c->dilation,
          c->even ? "even" : "odd", channel_pairs[c->channels][0], channel_pairs[c->channels][1], mode_names[c->mode], c->order);
    anl_node *x = tensor(m, c, 'x', slides), *w = tensor(m, c, 'w', slides), *y = tensor(m, c, 'y', slides);
    int sums = c->mode != DEPTHWISE;
    check_close(m, anl_g_contract(m->g, x, w, &ch, sums, ANL_ROLE_FORWARD, slides, count, y->axes, y->rank), SUMMED);
    check_close(m, anl_g_contract(m->g, y, w, &o, sums, ANL_ROLE_DATA, slides, count, x->axes, x->rank), SUMMED);
    double terms = 2; /* of a sum in the kernel's gradient: its result may be small by chance */
    for (int i = 0; i < count; i++)
        terms *= slides[i].out_size;
    check_scaled(m, anl_g_contract(m->g, x, y, &n, c->mode != EACH_SAMPLE, ANL_ROLE_WEIGHT, slides, count, w->axes, w->rank),
                 SUMMED, sqrt(terms) / 3);
}

/* Few rows in which any value of one parameter meets any value of any other, found greedily; the same every time. */
enum { PARAMETERS = 8, MOST = 6 };
static int pairwise(convolution *out, int limit)
{
    static bool met[PARAMETERS][MOST][PARAMETERS][MOST];
    memset(met, 0, sizeof met);
    uint64_t random = 12345;
    int count = 0;
    for (int idle = 0; count < limit && idle < 20;) {
        int best[PARAMETERS] = {0}, most = 0;
        for (int trial = 0; trial < 300; trial++) {
            int index[PARAMETERS], gain = 0;
            for (int p = 0; p < PARAMETERS; p++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                index[p] = (int)((random >> 33) % (uint64_t)choices[p]);
            }
            for (int p = 0; p < PARAMETERS; p++)
                for (int q = 0; q < p; q++)
                    gain += !met[p][index[p]][q][index[q]];
            if (gain > most) {
                most = gain;
                memcpy(best, index, sizeof best);
            }
        }
        idle = most ? 0 : idle + 1;
        if (!most)
            continue;
        for (int p = 0; p < PARAMETERS; p++)
            for (int q = 0; q < p; q++)
                met[p][best[p]][q][best[q]] = true;
        out[count++] = from_indices(best);
    }
    return count;
}

static void build_convolutions(maker *m, int space)
{
    convolution rows[200];
    if (!m->thorough) {
        int count = pairwise(rows, 200);
        for (int i = 0; i < count; i++)
            if (rows[i].space == space)
                add_convolution(m, &rows[i]);
        return;
    }
    int number = 0; /* all sizes, the other parameters in turn */
    for (int k = 0; k < 5; k++)
        for (int s = 0; s < 3; s++)
            for (int d = 0; d < 2; d++)
                for (int e = 0; e < 2; e++, number++) {
                    int index[PARAMETERS] = {space - 1, k, s, d, e, number % 4, number * 5 / 4 % 6, number % 3};
                    convolution c = from_indices(index);
                    add_convolution(m, &c);
                }
}
static void build_line(maker *m) { build_convolutions(m, 1); }
static void build_plane(maker *m) { build_convolutions(m, 2); }
static void build_volume(maker *m) { build_convolutions(m, 3); }

/* As networks have them: larger planes, channels in fours, and what follows a convolution. */
static void build_networks(maker *m)
{
    static const struct {
        int n, size, kernel, stride, channels, outs;
    } rows[] = {{2, 24, 3, 1, 16, 32}, {2, 33, 7, 2, 1, 16},  {3, 16, 1, 1, 32, 64}, {3, 17, 1, 2, 32, 16},
                {2, 15, 3, 2, 32, 32}, {2, 9, 3, 2, 20, 320}, {2, 11, 7, 2, 8, 64}};
    for (size_t r = 0; r < ANL_COUNT(rows); r++) {
        begin(m, "%d of %d, kernel %d, stride %d, %d to %d", rows[r].n, rows[r].size, rows[r].kernel, rows[r].stride,
              rows[r].channels, rows[r].outs);
        int in = rows[r].size, k = rows[r].kernel, s = rows[r].stride, out = (in + 2 * (k / 2) - k) / s + 1;
        anl_slide slides[2] = {{axis_id(m, "y"), in, k, out, s, 1, k / 2}, {axis_id(m, "x"), in, k, out, s, 1, k / 2}};
        anl_axis xs[4] = {axis(m, "n", rows[r].n), axis(m, "y", in), axis(m, "x", in), axis(m, "c", rows[r].channels)};
        anl_axis ys[4] = {xs[0], axis(m, "y", out), axis(m, "x", out), axis(m, "o", rows[r].outs)};
        char shape[64];
        snprintf(shape, sizeof shape, "n %d y %d x %d c %d", rows[r].n, in, in, rows[r].channels);
        anl_node *x = FLOATS(m, "x", shape);
        snprintf(shape, sizeof shape, "y %d x %d c %d o %d", k, k, rows[r].channels, rows[r].outs);
        anl_node *w = FLOATS(m, "w", shape);
        snprintf(shape, sizeof shape, "n %d y %d x %d o %d", rows[r].n, out, out, rows[r].outs);
        anl_node *gradient = FLOATS(m, "g", shape);
        snprintf(shape, sizeof shape, "o %d", rows[r].outs);
        anl_node *bias = FLOATS(m, "bias", shape);
        int32_t c = xs[3].id, o = ys[3].id, n = xs[0].id;
        anl_node *y = anl_g_contract(m->g, x, w, &c, 1, ANL_ROLE_FORWARD, slides, 2, ys, 4);
        check_close(m, op2(m, ANL_S_MAXIMUM, op2(m, ANL_S_ADD, op2(m, ANL_S_ADD, y, bias), gradient), number(m, 0)), SUMMED);
        anl_node *back = anl_g_contract(m->g, gradient, w, &o, 1, ANL_ROLE_DATA, slides, 2, xs, 4);
        check_close(m, anl_g_where(m->g, op2(m, ANL_S_LT, number(m, 0), x), back, number(m, 0)), SUMMED);
        check_close(m, anl_g_contract(m->g, x, gradient, &n, 1, ANL_ROLE_WEIGHT, slides, 2, w->axes, 4), 2e-5);
        check_scaled(m, reduce(m, ANL_OP_MEAN, y, "n y x"), 1e-6, 4);
    }
}

static void build_many_products(maker *m)
{
    begin(m, "seventy thousand small ones");
    check_close(m, dot(m, FLOATS(m, "a", "n 70001 i 2 k 3"), FLOATS(m, "b", "n 70001 k 3 j 4"), "k", "n 70001 i 2 j 4"), SUMMED);
}

const group contraction_groups[] = {
    {"products", build_dots, 0},
    {"products of moved values", build_moved, 0},
    {"epilogues", build_epilogues, 0},
    {"convolutions of a line", build_line, 0},
    {"convolutions of a plane", build_plane, 0},
    {"convolutions of a volume", build_volume, 0},
    {"convolutions in networks", build_networks, 0},
    {"many products", build_many_products, LARGE},
};
const int contraction_group_count = ANL_COUNT(contraction_groups);
