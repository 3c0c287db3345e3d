/* Cases of elementwise operations, casts, draws and sources: every scalar operation in each dtype, sizes, broadcasts, special
 * values. In: the tables below. Out: groups of cases. Tolerances are relative; additions, comparisons and whole numbers are exact
 * or correctly rounded. */
#include "suite.h"

static const int sizes[] = {1, 2, 7, 13, 31, 64, 127, 257, 1031};
static const double ROUNDED = 3e-7;  /* one or two correctly rounded operations */
static const double FUNCTION = 4e-6; /* exp and the like: a few ulps of the function and of its argument */

/* ---- one operand ---- */
static const struct {
    anl_scalar s;
    double low, high, unit, tolerance;
} unary[] = {
    {ANL_S_NEGATE, -5, 5, 0, 0},          {ANL_S_ABS, -5, 5, 0, 0},
    {ANL_S_FLOOR, -50, 50, 0, 0},         {ANL_S_FLOOR, -4, 4, 0.5, 0},
    {ANL_S_EXP, -20, 20, 0, FUNCTION},    {ANL_S_LOG, 1e-3, 30, 0, FUNCTION},
    {ANL_S_LOG, 0.9, 1.1, 0, FUNCTION},   {ANL_S_SQRT, 0, 100, 0, ROUNDED},
    {ANL_S_RSQRT, 1e-3, 10, 0, 1e-6},     {ANL_S_TANH, -6, 6, 0, FUNCTION},
    {ANL_S_TANH, -0.1, 0.1, 0, FUNCTION}, {ANL_S_ERF, -4, 4, 0, FUNCTION},
    {ANL_S_ERF, -0.1, 0.1, 0, FUNCTION},  {ANL_S_SIN, -8, 8, 0, FUNCTION},
    {ANL_S_SIN, -200, 200, 0, FUNCTION},  {ANL_S_COS, -8, 8, 0, FUNCTION},
    {ANL_S_COS, -200, 200, 0, FUNCTION},
};

static void build_unary(maker *m)
{
    for (size_t i = 0; i < ANL_COUNT(unary); i++) {
        static const char *const shapes[] = {"a 13 b 7", "a 5 b 64"};
        begin(m, "%s %g to %g", anl_scalar_name(unary[i].s), unary[i].low, unary[i].high);
        for (int k = 0; k < 2; k++)
            check_close(m,
                        anl_g_unary(m->g, unary[i].s,
                                    field(m, k ? "y" : "x", ANL_F32, shapes[k], unary[i].low, unary[i].high, unary[i].unit)),
                        unary[i].tolerance);
    }
    static const anl_scalar whole_ones[] = {ANL_S_NEGATE, ANL_S_ABS};
    for (size_t i = 0; i < ANL_COUNT(whole_ones); i++) {
        begin(m, "%s int", anl_scalar_name(whole_ones[i]));
        check_exact(m, anl_g_unary(m->g, whole_ones[i], field(m, "x", ANL_I32, "a 13 b 7", -1000000, 1000000, 1)));
        check_exact(m, anl_g_unary(m->g, whole_ones[i], field(m, "y", ANL_I32, "a 3 b 8", -2147483647, 2147483647, 1)));
    }
    begin(m, "not");
    check_exact(m, anl_g_unary(m->g, ANL_S_NOT, field(m, "x", ANL_BOOL, "a 13 b 7", 0, 1, 1)));
    check_exact(m, anl_g_unary(m->g, ANL_S_NOT, field(m, "y", ANL_BOOL, "a 13 b 8", 0, 1, 1)));
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++)
            if (from != to) {
                begin(m, "cast %s to %s", anl_dtype_name((anl_dtype)from), anl_dtype_name((anl_dtype)to));
                for (int k = 0; k < 2; k++)
                    check_exact(
                        m, anl_g_cast(m->g, (anl_dtype)to,
                                      field(m, k ? "y" : "x", (anl_dtype)from, k ? "a 5 b 16" : "a 11 b 7",
                                            from == ANL_BOOL ? 0 : -3, from == ANL_BOOL ? 1 : 3, from == ANL_F32 ? 0.25 : 1)));
            }
}

/* ---- two operands ---- */
static const struct {
    anl_scalar s;
    double low, high, unit, low2, high2, unit2, tolerance;
} binary[] = {
    {ANL_S_ADD, -5, 5, 0, -5, 5, 0, ROUNDED},     {ANL_S_SUB, -5, 5, 0, -5, 5, 0, ROUNDED},
    {ANL_S_MUL, -5, 5, 0, -5, 5, 0, ROUNDED},     {ANL_S_DIV, -5, 5, 0, 0.5, 3, 0, ROUNDED},
    {ANL_S_FLOORDIV, -20, 20, 0.125, 1, 4, 1, 0}, {ANL_S_MOD, -20, 20, 0.125, 1, 4, 1, 0},
    {ANL_S_POW, 0.1, 5, 0, -3, 3, 0, 2e-5},       {ANL_S_MINIMUM, -5, 5, 0.5, -5, 5, 0.5, 0},
    {ANL_S_MAXIMUM, -5, 5, 0.5, -5, 5, 0.5, 0},   {ANL_S_LT, -5, 5, 0.5, -5, 5, 0.5, 0},
    {ANL_S_LE, -5, 5, 0.5, -5, 5, 0.5, 0},        {ANL_S_EQ, -3, 3, 0.5, -3, 3, 0.5, 0},
    {ANL_S_NE, -3, 3, 0.5, -3, 3, 0.5, 0},
};

static void build_binary(maker *m)
{
    static const char *const shapes[][2] = {
        {"a 13 b 7", "a 13 b 7"}, {"a 5 b 64", "a 5 b 64"}, {"a 5 b 8", "b 8"}, {"a 4 b 9", "a 4"}};
    for (size_t i = 0; i < ANL_COUNT(binary); i++) {
        begin(m, "%s", anl_scalar_name(binary[i].s));
        for (size_t k = 0; k < ANL_COUNT(shapes); k++) {
            char x[8], y[8];
            snprintf(x, sizeof x, "x%d", (int)k);
            snprintf(y, sizeof y, "y%d", (int)k);
            check_close(m,
                        op2(m, binary[i].s, field(m, x, ANL_F32, shapes[k][0], binary[i].low, binary[i].high, binary[i].unit),
                            field(m, y, ANL_F32, shapes[k][1], binary[i].low2, binary[i].high2, binary[i].unit2)),
                        binary[i].tolerance);
        }
    }
    static const anl_scalar whole_ones[] = {ANL_S_ADD,     ANL_S_SUB,     ANL_S_MUL, ANL_S_DIV, ANL_S_FLOORDIV, ANL_S_MOD,
                                            ANL_S_MINIMUM, ANL_S_MAXIMUM, ANL_S_LT,  ANL_S_LE,  ANL_S_EQ,       ANL_S_NE};
    for (size_t i = 0; i < ANL_COUNT(whole_ones); i++) {
        anl_scalar s = whole_ones[i];
        bool divides = s == ANL_S_DIV || s == ANL_S_FLOORDIV || s == ANL_S_MOD;
        begin(m, "%s int", anl_scalar_name(s));
        double low = s == ANL_S_DIV ? 0 : -40, reach = s == ANL_S_EQ || s == ANL_S_NE ? 3 : 40;
        for (int k = 0; k < 2; k++)
            check_exact(
                m, op2(m, s, field(m, k ? "z" : "x", ANL_I32, k ? "a 3 b 64" : "a 13 b 7", low < 0 ? -reach : low, reach, 1),
                       field(m, k ? "w" : "y", ANL_I32, k ? "b 64" : "a 13 b 7", divides ? 1 : -reach, divides ? 9 : reach, 1)));
        if (s == ANL_S_FLOORDIV || s == ANL_S_MOD) /* negative divisors */
            check_exact(m, op2(m, s, field(m, "n", ANL_I32, "a 61", -40, 40, 1), field(m, "d", ANL_I32, "a 61", -9, -1, 1)));
    }
    begin(m, "wrap");
    anl_node *big = field(m, "x", ANL_I32, "a 33", 1e9, 2147483647, 1);
    check_exact(m, op2(m, ANL_S_ADD, big, big));
    check_exact(m, op2(m, ANL_S_MUL, big, whole(m, 7)));
    check_exact(m, op2(m, ANL_S_SUB, whole(m, -2000000000), big));
    static const anl_scalar logic[] = {ANL_S_AND, ANL_S_OR};
    for (size_t i = 0; i < ANL_COUNT(logic); i++) {
        begin(m, "%s", anl_scalar_name(logic[i]));
        check_exact(m, op2(m, logic[i], field(m, "x", ANL_BOOL, "a 13 b 7", 0, 1, 1), field(m, "y", ANL_BOOL, "b 7", 0, 1, 1)));
        check_exact(m, op2(m, logic[i], field(m, "z", ANL_BOOL, "a 13 b 8", 0, 1, 1), field(m, "w", ANL_BOOL, "a 13", 0, 1, 1)));
    }
    for (int d = 0; d < 3; d++) {
        begin(m, "where %s", anl_dtype_name((anl_dtype)d));
        double low = d == ANL_BOOL ? 0 : -9, high = d == ANL_BOOL ? 1 : 9;
        check_exact(m, anl_g_where(m->g, field(m, "c", ANL_BOOL, "a 13", 0, 1, 1),
                                   field(m, "x", (anl_dtype)d, "a 13 b 7", low, high, 0.5),
                                   field(m, "y", (anl_dtype)d, "b 7", low, high, 0.5)));
        check_exact(m, anl_g_where(m->g, field(m, "d", ANL_BOOL, "a 5 b 16", 0, 1, 1),
                                   field(m, "z", (anl_dtype)d, "b 16", low, high, 0.5),
                                   field(m, "w", (anl_dtype)d, "a 5", low, high, 0.5)));
    }
    begin(m, "powers by whole numbers");
    anl_node *x = field(m, "x", ANL_F32, "a 63", -3, 3, 0);
    static const double exponents[] = {2, 3, 4, 5, -1, -2};
    for (size_t i = 0; i < ANL_COUNT(exponents); i++)
        check_close(m, op2(m, ANL_S_POW, x, number(m, exponents[i])), 2e-6);
}

/* ---- what is not a plain number ---- */
static void build_special(maker *m)
{
    static const struct {
        anl_scalar s;
        double list[8];
        int count;
    } one[] = {
        {ANL_S_EXP, {-INFINITY, INFINITY, 0, NAN, -300, -0.0}, 6},
        {ANL_S_LOG, {INFINITY, 1, NAN, -1, 1e-30, 1e30}, 6},
        {ANL_S_SQRT, {INFINITY, 0, NAN, -1, 1e-30, 1e30}, 6},
        {ANL_S_RSQRT, {INFINITY, 4, NAN, 1e-30, 1e30}, 5},
        {ANL_S_TANH, {INFINITY, -INFINITY, NAN, 0, 90, -90, 1e-20}, 7},
        {ANL_S_ERF, {INFINITY, -INFINITY, NAN, 0, 90, -90, 1e-20}, 7},
        {ANL_S_FLOOR, {INFINITY, -INFINITY, NAN, 0, -0.5, 1e20, -1e-20, 8388609}, 8},
        {ANL_S_ABS, {INFINITY, -INFINITY, NAN, 0, -0.0, -1e30}, 6},
        {ANL_S_NEGATE, {INFINITY, -INFINITY, NAN, 0, -0.0, -1e30}, 6},
    };
    for (size_t i = 0; i < ANL_COUNT(one); i++) {
        begin(m, "%s", anl_scalar_name(one[i].s));
        check_close(m, anl_g_unary(m->g, one[i].s, field_given(m, "x", ANL_F32, "a 24", one[i].list, one[i].count)), FUNCTION);
    }
    static const anl_scalar two[] = {ANL_S_ADD, ANL_S_MUL, ANL_S_DIV, ANL_S_MINIMUM, ANL_S_MAXIMUM,
                                     ANL_S_LT,  ANL_S_LE,  ANL_S_EQ,  ANL_S_NE};
    for (size_t i = 0; i < ANL_COUNT(two); i++) {
        begin(m, "%s", anl_scalar_name(two[i]));
        check_exact(m, op2(m, two[i], GIVEN(m, "x", "a 7 b 7", INFINITY, -INFINITY, NAN, 0, 1, -1, 2),
                           GIVEN(m, "y", "a 7", INFINITY, -INFINITY, NAN, 0.5, 1, -1, 2)));
    }
    begin(m, "where keeps NaN out");
    anl_node *x = GIVEN(m, "x", "a 12", NAN, 2, INFINITY, -1);
    anl_node *safe = op2(m, ANL_S_LT, x, number(m, 100));
    check_close(m, anl_g_where(m->g, safe, op2(m, ANL_S_MUL, x, x), number(m, 7)), ROUNDED);
    check_close(m, anl_g_where(m->g, safe, anl_g_unary(m->g, ANL_S_EXP, x), number(m, -INFINITY)), FUNCTION);
}

/* ---- sizes and broadcasts ---- */
static void build_sizes(maker *m)
{
    static const char *const patterns[] = {"a %d", "a %d b 3", "a 3 b %d", "a 2 b %d c 4"};
    for (size_t s = 0; s < ANL_COUNT(sizes); s++)
        for (size_t k = 0; k < ANL_COUNT(patterns); k++) {
            char shape[64];
            snprintf(shape, sizeof shape, patterns[k], sizes[s]);
            begin(m, "size %s", shape);
            anl_node *x = FLOATS(m, "x", shape), *y = FLOATS(m, "y", shape);
            check_close(m, op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, x, y), number(m, 1)), ROUNDED);
        }
}

static void build_broadcasts(maker *m)
{
    static const struct {
        const char *what, *x, *y;
    } rows[] = {
        {"same", "a 3 b 5 c 7", "a 3 b 5 c 7"},
        {"no outer", "a 3 b 5 c 7", "b 5 c 7"},
        {"no middle", "a 3 b 5 c 7", "a 3 c 7"},
        {"no inner", "a 3 b 5 c 7", "a 3 b 5"},
        {"only outer", "a 3 b 5 c 7", "a 3"},
        {"only middle", "a 3 b 5 c 7", "b 5"},
        {"only inner", "a 3 b 5 c 7", "c 7"},
        {"one number", "a 3 b 5 c 7", ""},
        {"one number first", "", "a 3 b 5 c 7"},
        {"transposed", "a 13 b 7", "b 7 a 13"},
        {"rotated", "a 3 b 5 c 7", "c 7 a 3 b 5"},
        {"reversed", "a 3 b 5 c 7", "c 7 b 5 a 3"},
        {"transposed and less", "a 3 b 5 c 7", "c 7 a 3"},
        {"outer product", "a 13", "b 7"},
        {"outer product, one shared", "a 3 c 7", "b 5 c 7"},
        {"size one", "a 1 b 7", "a 1"},
        {"fours, no outer", "a 3 b 5 c 8", "b 5 c 8"},
        {"fours, no middle", "a 3 b 5 c 8", "a 3 c 8"},
        {"fours, no inner", "a 3 b 5 c 8", "a 3 b 5"},
        {"fours, transposed", "a 16 b 8", "b 8 a 16"},
        {"fours, outer product", "a 12", "b 8"},
        {"large, no inner", "a 300 b 40", "a 300"},
        {"large, no outer", "a 300 b 40", "b 40"},
    };
    for (size_t i = 0; i < ANL_COUNT(rows); i++) {
        begin(m, "%s", rows[i].what);
        anl_node *x = FLOATS(m, "x", rows[i].x), *y = FLOATS(m, "y", rows[i].y);
        check_close(m, op2(m, ANL_S_SUB, x, y), ROUNDED);
        check_exact(
            m, op2(m, ANL_S_MAXIMUM, field(m, "i", ANL_I32, rows[i].x, -9, 9, 1), field(m, "j", ANL_I32, rows[i].y, -9, 9, 1)));
        check_exact(m,
                    op2(m, ANL_S_AND, field(m, "p", ANL_BOOL, rows[i].x, 0, 1, 1), field(m, "q", ANL_BOOL, rows[i].y, 0, 1, 1)));
    }
    begin(m, "three ways");
    check_exact(m, anl_g_where(m->g, op2(m, ANL_S_LT, FLOATS(m, "c", "a 7"), number(m, 0)), FLOATS(m, "x", "b 5 a 7"),
                               FLOATS(m, "y", "b 5")));
    begin(m, "twelve axes");
    anl_node *x = FLOATS(m, "x", "a 2 b 1 c 2 d 3 e 1 f 2 g 2 h 1 i 2 j 2 k 1 l 2"), *y = FLOATS(m, "y", "l 2 a 2 d 3 j 2");
    check_close(m, op2(m, ANL_S_MUL, x, y), ROUNDED);
    check_close(m, transpose(m, op2(m, ANL_S_MUL, x, x), "l k j i h g f e d c b a"), ROUNDED);
}

/* ---- chains ---- */
static void build_chains(maker *m)
{
    begin(m, "values used several times");
    anl_node *x = FLOATS(m, "x", "a 17 b 12"), *y = FLOATS(m, "y", "b 12");
    anl_node *e = anl_g_unary(m->g, ANL_S_EXP, x), *s = op2(m, ANL_S_ADD, e, y);
    check_close(m, e, FUNCTION);
    check_close(m, s, FUNCTION);
    check_close(m, op2(m, ANL_S_MUL, op2(m, ANL_S_DIV, e, op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, s, s), number(m, 1))), e),
                FUNCTION);
    begin(m, "a long chain");
    anl_node *z = FLOATS(m, "z", "a 5 b 31");
    for (int i = 0; i < 40; i++) {
        z = op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, z, number(m, 0.9)), number(m, 0.01 * i));
        if (i % 8 == 0)
            z = anl_g_unary(m->g, ANL_S_TANH, z);
    }
    check_close(m, z, 1e-5);
    begin(m, "many inputs");
    anl_node *sum = NULL;
    for (int i = 0; i < 24; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", i);
        anl_node *term = FLOATS(m, name, i % 3 == 0 ? "a 9 b 8" : i % 3 == 1 ? "b 8" : "a 9");
        sum = sum ? op2(m, ANL_S_ADD, sum, op2(m, ANL_S_MUL, term, number(m, 1 + i))) : term;
    }
    check_close(m, sum, 3e-6);
    begin(m, "functions of the language");
    anl_value v = v_node(FLOATS(m, "v", "a 9 b 7")), w = v_node(field(m, "w", ANL_F32, "a 9 b 7", -30, 30, 0));
    static const char *const names[] = {"relu", "sigmoid", "softplus", "floor", "exp", "abs"};
    for (size_t i = 0; i < ANL_COUNT(names); i++)
        check_close(m, BUILTIN(m, names[i], "x", i < 3 ? w : v).node, FUNCTION);
    check_close(m, BUILTIN(m, "clamp", "x low high", v, v_number(-0.5), v_number(0.25)).node, 0);
    check_close(m, BUILTIN(m, "stop_gradient", "x", v).node, 0);
    check_exact(m, BUILTIN(m, "cast", "x to", w, v_text("int")).node);
    anl_value size = BUILTIN(m, "size", "v axes", v, v_axes(&m->context, "a b"));
    ck_assert_msg(size.kind == ANL_V_INT && size.integer == 63, "size of 9 by 7");
    check_exact(m, BUILTIN(m, "index", "v axis", v, v_axis(&m->context, "b")).node);
}

/* ---- sources and draws ---- */
static void build_sources(maker *m)
{
    m->step_count = 3;
    m->steps[0] = 0;
    m->steps[1] = 7;
    m->steps[2] = ((int64_t)1 << 33) + 5; /* both words of the counter's step */
    for (int d = 0; d < 3; d++) {
        begin(m, "const %s", anl_dtype_name((anl_dtype)d));
        anl_node *c = anl_g_const(m->g, (anl_dtype)d, d == ANL_BOOL ? 1 : -3);
        check_exact(m, anl_g_where(m->g, field(m, "c", ANL_BOOL, "a 9", 0, 1, 1), c, anl_g_const(m->g, (anl_dtype)d, 0)));
        check_exact(m, anl_g_replicate(m->g, c, axis_id(m, "b"), 5));
    }
    begin(m, "table");
    static const float reals[] = {0.5f, -1.25f, 3, 4, 5, 6, 7.75f};
    static const int32_t wholes[] = {5, -4, 3, 2, 1, 0, 2147483647};
    anl_axis seven = axis(m, "a", 7);
    check_exact(m, op2(m, ANL_S_MUL, anl_g_table(m->g, ANL_F32, reals, &seven, 1), field(m, "x", ANL_F32, "b 5 a 7", -4, 4, 1)));
    check_exact(m, op2(m, ANL_S_SUB, anl_g_table(m->g, ANL_I32, wholes, &seven, 1), field(m, "i", ANL_I32, "b 5 a 7", -4, 4, 1)));
    check_exact(m, anl_g_table(m->g, ANL_F32, reals, &seven, 1));
    begin(m, "index");
    check_exact(m, op2(m, ANL_S_MUL, anl_g_index(m->g, axis_id(m, "a"), 31),
                       op2(m, ANL_S_ADD, anl_g_index(m->g, axis_id(m, "b"), 12), whole(m, 2))));
    check_exact(m, anl_g_index(m->g, axis_id(m, "a"), 257));
    begin(m, "step");
    for (int which = 0; which < 3; which++) {
        anl_node *s = anl_g_step(m->g, which);
        char name[8];
        snprintf(name, sizeof name, "x%d", which);
        check_close(m, op2(m, ANL_S_MUL, FLOATS(m, name, "a 9"), op2(m, ANL_S_ADD, s, number(m, 1))), 1e-6);
        check_close(m, anl_g_unary(m->g, ANL_S_SQRT, op2(m, ANL_S_ADD, s, number(m, 3))), 1e-6);
    }
    begin(m, "where by step");
    check_exact(m, anl_g_where(m->g, op2(m, ANL_S_LT, anl_g_step(m->g, 0), number(m, 5)), field(m, "x", ANL_F32, "a 9", -4, 4, 1),
                               number(m, -7)));
    static const char *const shapes[] = {"a 13", "batch 5 a 7", "a 3 batch 4 b 8", "batch 64", "batch 31 a 4 b 2 c 8", ""};
    for (size_t k = 0; k < ANL_COUNT(shapes); k++)
        for (int batch = 0; batch < 2; batch++)
            for (int normal = 0; normal < 2; normal++) {
                anl_axis axes[ANL_MAX_AXES];
                int rank = shape_axes(m, shapes[k], axes);
                if (batch && !strstr(shapes[k], "batch"))
                    continue;
                begin(m, "%s %s%s", normal ? "normal" : "uniform", rank ? shapes[k] : "of no axes", batch ? " by sample" : "");
                anl_node *u = anl_g_draw(m->g, normal ? ANL_OP_NORMAL : ANL_OP_UNIFORM, 0x9E3779B97F4A7C15u * (k + 1), axes, rank,
                                         batch ? axis_id(m, "batch") : -1);
                check_close(m, u, normal ? 1e-5 : 0);
                if (!normal)
                    check_exact(m, op2(m, ANL_S_LT, u, number(m, 0.5)));
            }
    begin(m, "draws of the language");
    anl_value like = v_node(FLOATS(m, "like", "batch 6 y 5"));
    check_exact(m, BUILTIN(m, "bernoulli", "p axes like", v_number(0.3), v_axes(&m->context, "batch y"), like).node);
    check_exact(m, BUILTIN(m, "integer", "low high axes like", v_int(-3), v_int(11), v_axes(&m->context, "batch y"), like).node);
    check_close(m, BUILTIN(m, "uniform", "low high axes like", v_number(2), v_number(5), v_axes(&m->context, "y"), like).node,
                ROUNDED);
    check_close(
        m, BUILTIN(m, "normal", "mean std axes like", v_number(2), v_number(5), v_axes(&m->context, "y batch"), like).node, 1e-5);
    begin(m, "a field held constant");
    check_exact(m, anl_g_stop_gradient(m->g, FLOATS(m, "x", "a 7")));
}

/* ---- more than 65,535 workgroups ---- */
static void build_many_groups(maker *m)
{
    /* an odd count, so that no lane takes four: 156,251 groups of 128 */
    begin(m, "twenty million elements");
    int32_t n = 20000003;
    anl_node *i = anl_g_index(m->g, axis_id(m, "a"), n);
    anl_node *low = anl_g_cast(m->g, ANL_F32, op2(m, ANL_S_MOD, i, whole(m, 4093)));
    check_exact(m, op2(m, ANL_S_SUB, op2(m, ANL_S_MUL, low, number(m, 0.5)),
                       anl_g_cast(m->g, ANL_F32, op2(m, ANL_S_FLOORDIV, i, whole(m, 4093)))));
}

static void build_many_reduced(maker *m)
{
    begin(m, "nine million sums");
    anl_node *i = anl_g_index(m->g, axis_id(m, "a"), 9000011), *t = anl_g_index(m->g, axis_id(m, "t"), 3);
    anl_node *term =
        op2(m, ANL_S_MOD, op2(m, ANL_S_ADD, op2(m, ANL_S_MUL, i, whole(m, 7)), op2(m, ANL_S_MUL, t, whole(m, 1000003))),
            whole(m, 1009));
    check_exact(m, reduce(m, ANL_OP_SUM, anl_g_cast(m->g, ANL_F32, term), "t"));
}

const group element_groups[] = {
    {"unary", build_unary, 0},
    {"binary", build_binary, 0},
    {"special values", build_special, 0},
    {"sizes", build_sizes, 0},
    {"broadcasts", build_broadcasts, 0},
    {"chains", build_chains, 0},
    {"sources", build_sources, 0},
    {"many groups", build_many_groups, LARGE},
    {"many groups reduced", build_many_reduced, LARGE},
};
const int element_group_count = ANL_COUNT(element_groups);
