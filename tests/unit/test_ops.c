/* Tests of the operation table: every gradient against finite differences, shapes and values of the builtins, every rule's diagnostic.
 * In: nothing. Out: check's verdicts.
 * The evaluator (evaluate.h) runs the operations' own lowerings in double precision. */
#include <anlage/ops.h>

#include "gradient_cases.h"

typedef struct bench {
    anl_graph *graph;
    anl_diagnostics *diagnostics;
    anl_context context;
    anl_axis ride[2];
} bench;

static void bench_start(bench *b)
{
    memset(b, 0, sizeof *b);
    b->graph = anl_graph_new();
    b->diagnostics = anl_diagnostics_new();
    b->context = (anl_context){.graph = b->graph, .diagnostics = b->diagnostics, .span = {"test.yaml", 1, 50, 1}, .batch_axis = -1, .draw_key = 77};
}

static void bench_end(bench *b)
{
    anl_graph_free(&b->graph);
    anl_diagnostics_free(&b->diagnostics);
}

static const char *all_problems(bench *b)
{
    anl_text text = {0};
    for (int i = 0; i < anl_diagnostics_count(b->diagnostics); i++)
        anl_text_printf(&text, "A%04d %s\n", anl_diagnostics_get(b->diagnostics, i)->code, anl_diagnostics_get(b->diagnostics, i)->message);
    const char *copy = anl_arena_text(b->graph->arena, text.data ? text.data : "");
    anl_text_free(&text);
    return copy;
}

static void assert_valid(bench *b)
{
    ck_assert_msg(anl_graph_verify(b->graph, b->diagnostics) == ANL_OK, "%s", all_problems(b));
    ck_assert_msg(anl_diagnostics_count(b->diagnostics) == 0, "%s", all_problems(b));
}

/* ---- gradients ---- */

typedef struct gradient_bench {
    bench b;
    int count;
    anl_node *in[3], *gradients[3];
    anl_node *loss; /* of the last order built */
    double *data[3];
    evaluator *e;
} gradient_bench;

/* A loss that no symmetry can fool: the sum of x times fixed numbers. */
static anl_node *weighted_sum(gradient_bench *t, anl_node *x, const char *name, uint64_t seed)
{
    anl_graph *g = t->b.graph;
    anl_node *weights = anl_graph_state_value(g, anl_graph_state(g, name, ANL_F32, ANL_STATE_OTHER, x->axes, x->rank));
    double *values = malloc(sizeof *values * (size_t)anl_node_count(weights));
    fill(values, anl_node_count(weights), -1, 1, seed);
    evaluator_give(t->e, weights, values);
    free(values);
    int32_t over[ANL_MAX_AXES];
    for (int i = 0; i < x->rank; i++)
        over[i] = x->axes[i].id;
    return anl_g_reduce(g, ANL_OP_SUM, anl_g_binary(g, ANL_S_MUL, x, weights), over, x->rank);
}

static void compare_with_differences(gradient_bench *t, const gradient_case *test, const char *order)
{
    const double h = 1e-5;
    for (int k = 0; k < t->count; k++) {
        const int64_t count = anl_node_count(t->in[k]);
        if (test->held && k == 0) {
            ck_assert_ptr_null(t->gradients[k]);
            continue;
        }
        double *analytic = calloc((size_t)count, sizeof *analytic);
        if (t->gradients[k]) {
            ck_assert_int_eq(t->gradients[k]->rank, t->in[k]->rank);
            for (int i = 0; i < t->in[k]->rank; i++)
                ck_assert_msg(t->gradients[k]->axes[i].id == t->in[k]->axes[i].id, "%s %s: a gradient is in another order", test->builtin, test->what);
            evaluator_forget(t->e);
            memcpy(analytic, evaluate(t->e, t->gradients[k]), sizeof *analytic * (size_t)count);
        }
        for (int64_t i = 0; i < count; i++) {
            double value = t->data[k][i], ends[2];
            for (int side = 0; side < 2; side++) {
                t->data[k][i] = value + (side ? h : -h);
                evaluator_forget(t->e);
                ends[side] = evaluate(t->e, t->loss)[0];
            }
            t->data[k][i] = value;
            double numeric = (ends[1] - ends[0]) / (2 * h);
            ck_assert_msg(fabs(numeric - analytic[i]) <= 1e-6 * fmax(1, fabs(numeric)), "%s %s, %s by input %d, element %d: %g, by differences %g", test->builtin,
                          test->what, order, k, (int)i, analytic[i], numeric);
        }
        free(analytic);
    }
    ck_assert_msg(!t->e->problem[0], "%s %s: %s", test->builtin, test->what, t->e->problem);
}

/* Builds case i with its first-order gradients. The caller frees with gradient_end. */
static void gradient_start(gradient_bench *t, const gradient_case *test)
{
    memset(t, 0, sizeof *t);
    bench_start(&t->b);
    t->e = evaluator_new(t->b.graph);
    t->e->step = 5;
    anl_value values[3] = {0};
    while (t->count < 3 && test->inputs[t->count]) {
        char name[] = "input0";
        name[5] = (char)('0' + t->count);
        t->in[t->count] = input_node(&t->b.context, name, test->inputs[t->count]);
        int64_t count = anl_node_count(t->in[t->count]);
        double *data = malloc(sizeof *data * (size_t)count);
        fill(data, count, test->low, test->high, 100 + (uint64_t)t->count);
        t->data[t->count] = evaluator_give(t->e, t->in[t->count], data);
        free(data);
        values[t->count] = v_node(t->in[t->count]);
        t->count++;
    }
    anl_value result = test->build(&t->b.context, values);
    ck_assert_msg(result.kind == ANL_V_NODE, "%s %s: %s", test->builtin, test->what, all_problems(&t->b));
    t->loss = weighted_sum(t, result.node, "weights", 1);
    ck_assert_int_eq(t->loss->rank, 0);
    ck_assert_msg(anl_gradient(t->b.graph, t->loss, t->in, t->count, t->gradients, t->b.diagnostics) == ANL_OK, "%s %s: %s", test->builtin, test->what,
                  all_problems(&t->b));
    assert_valid(&t->b);
}

static void gradient_end(gradient_bench *t)
{
    evaluator_free(t->e);
    bench_end(&t->b);
}

START_TEST(gradients_agree_with_differences)
{
    const gradient_case *test = &gradient_cases[_i];
    gradient_bench t;
    gradient_start(&t, test);
    compare_with_differences(&t, test, "first order");
    if (!test->kinked) { /* gradients are nodes like others: derive them again */
        anl_node *sum = NULL;
        for (int k = 0; k < t.count; k++) {
            char name[] = "again0";
            name[5] = (char)('0' + k);
            ck_assert_ptr_nonnull(t.gradients[k]);
            anl_node *part = weighted_sum(&t, t.gradients[k], name, 10 + (uint64_t)k);
            sum = sum ? anl_g_binary(t.b.graph, ANL_S_ADD, sum, part) : part;
        }
        t.loss = sum;
        ck_assert_int_eq(anl_gradient(t.b.graph, t.loss, t.in, t.count, t.gradients, t.b.diagnostics), ANL_OK);
        assert_valid(&t.b);
        compare_with_differences(&t, test, "second order");
    }
    gradient_end(&t);
}
END_TEST

/* Nothing that has a gradient is without a case: builtins by name, operations and scalar operations by what the cases' graphs contain. */
START_TEST(every_gradient_has_a_case)
{
    bool ops[ANL_OP_COUNT] = {0}, scalars[ANL_SCALAR_COUNT] = {0};
    for (size_t i = 0; i < ANL_COUNT(gradient_cases); i++) {
        gradient_bench t;
        gradient_start(&t, &gradient_cases[i]);
        /* What the loss is made of, before gradients were added, and what gradients add, since most are derived again. */
        for (int k = 0; k < t.b.graph->node_count; k++) {
            const anl_node *node = t.b.graph->nodes[k];
            ops[node->op] = true;
            if (node->op == ANL_OP_SCALAR)
                scalars[node->attrs.scalar] = true;
        }
        gradient_end(&t);
    }
    for (int op = 0; op < ANL_OP_COUNT; op++)
        ck_assert_msg(!anl_op_describe((anl_op)op)->gradient || ops[op], "operation %s has a gradient and no case", anl_op_describe((anl_op)op)->name);
    for (int s = 0; s < ANL_SCALAR_COUNT; s++) {
        char types = anl_scalar_types((anl_scalar)s);
        bool flat = s == ANL_S_FLOORDIV;
        ck_assert_msg((types != 'f' && types != 'n' && types != 'w') || flat || scalars[s], "%s has no case", anl_scalar_name((anl_scalar)s));
    }
    for (int i = 0; anl_builtin_at(i); i++) {
        const anl_builtin *b = anl_builtin_at(i);
        bool differentiable = strncmp(b->gradient, "yes", 3) == 0 || strncmp(b->gradient, "to ", 3) == 0, found = false;
        for (size_t k = 0; k < ANL_COUNT(gradient_cases); k++)
            found |= strcmp(gradient_cases[k].builtin, b->name) == 0;
        ck_assert_msg(!differentiable || found, "%s has a gradient and no case", b->name);
    }
}
END_TEST

START_TEST(gradient_of_softplus_and_ties)
{
    /* At exactly 0: softplus has the sigmoid's 1/2, relu and abs have 0; a maximum gives its gradient to the first greatest alone. */
    static const struct {
        const char *builtin;
        double expected;
    } at_zero[] = {{"softplus", 0.5}, {"sigmoid", 0.25}, {"relu", 0}, {"abs", 0}};
    for (size_t i = 0; i < ANL_COUNT(at_zero); i++) {
        bench b;
        bench_start(&b);
        evaluator *e = evaluator_new(b.graph);
        anl_node *x = input_node(&b.context, "x", ""), *gradient;
        anl_node *y = CALL(&b.context, at_zero[i].builtin, "x", v_node(x)).node;
        ck_assert_int_eq(anl_gradient(b.graph, y, &x, 1, &gradient, b.diagnostics), ANL_OK);
        evaluator_give(e, x, &(double){0});
        ck_assert_msg(fabs(evaluate(e, gradient)[0] - at_zero[i].expected) < 1e-15, "%s: %g", at_zero[i].builtin, evaluate(e, gradient)[0]);
        evaluator_free(e);
        bench_end(&b);
    }
    bench b;
    bench_start(&b);
    evaluator *e = evaluator_new(b.graph);
    anl_node *x = input_node(&b.context, "x", "batch 4"), *gradient;
    anl_node *y = CALL(&b.context, "max", "x over", v_node(x), v_axis(&b.context, "batch")).node;
    ck_assert_int_eq(anl_gradient(b.graph, y, &x, 1, &gradient, b.diagnostics), ANL_OK);
    evaluator_give(e, x, (double[]){1, 3, 3, 2});
    const double *g = evaluate(e, gradient);
    ck_assert(g[0] == 0 && g[1] == 1 && g[2] == 0 && g[3] == 0);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(where_keeps_nan_out_of_gradients)
{
    bench b;
    bench_start(&b);
    evaluator *e = evaluator_new(b.graph);
    anl_context *c = &b.context;
    anl_node *x = input_node(c, "x", "batch 3"), *gradient;
    anl_value known = operate(c, ANL_S_LT, v_int(0), v_node(x));
    anl_node *loss = CALL(c, "mean", "x over where", operate(c, ANL_S_MUL, v_node(x), v_node(x)), v_axis(c, "batch"), known).node;
    ck_assert_int_eq(anl_gradient(b.graph, loss, &x, 1, &gradient, b.diagnostics), ANL_OK);
    evaluator_give(e, x, (double[]){NAN, 2, 4});
    ck_assert(evaluate(e, loss)[0] == 10);
    const double *g = evaluate(e, gradient);
    ck_assert(g[1] == 2 && g[2] == 4);
    /* of nothing: 0, with gradient 0 */
    evaluator_give(e, x, (double[]){-1, -2, -4});
    evaluator_forget(e);
    ck_assert(evaluate(e, loss)[0] == 0);
    g = evaluate(e, gradient);
    ck_assert(g[0] == 0 && g[1] == 0 && g[2] == 0);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(missing_gradient_names_its_path)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_node *x = input_node(c, "x", "memory 5 channel 2"), *gradient, *free_of;
    anl_value taken = CALL(c, "gather", "source axis index", v_node(x), v_axis(c, "memory"), v_int(3));
    anl_node *loss = CALL(c, "sum", "x over", CALL(c, "exp", "x", taken), v_axis(c, "channel")).node;
    ck_assert_int_eq(anl_gradient(b.graph, loss, &x, 1, &gradient, b.diagnostics), ANL_ERROR_SPEC);
    ck_assert_int_eq(anl_diagnostics_errors(b.diagnostics), 1);
    const anl_diagnostic *d = anl_diagnostics_get(b.diagnostics, 0);
    ck_assert_int_eq(d->code, ANL_A_missing_gradient);
    ck_assert_msg(strstr(d->message, "`gather`") != NULL, "%s", d->message);
    ck_assert_int_eq(d->note_count, 1);
    ck_assert_msg(strstr(d->notes[0], "`sum` of `exp` of `gather`") != NULL, "%s", d->notes[0]);
    ck_assert_ptr_nonnull(d->suggestion);
    /* Held constant, or not on the path, it is no problem. */
    anl_diagnostics_free(&b.diagnostics);
    b.diagnostics = c->diagnostics = anl_diagnostics_new();
    taken = CALL(c, "gather", "source axis index", CALL(c, "stop_gradient", "x", v_node(x)), v_axis(c, "memory"), v_int(3));
    loss = CALL(c, "sum", "x over", CALL(c, "exp", "x", taken), v_axis(c, "channel")).node;
    ck_assert_int_eq(anl_gradient(b.graph, loss, &x, 1, &free_of, b.diagnostics), ANL_OK);
    ck_assert_ptr_null(free_of);
    bench_end(&b);
}
END_TEST

/* ---- values ---- */

static void expect(bench *b, evaluator *e, anl_value value, const char *axes, int count, const double *expected)
{
    ck_assert_msg(value.kind == ANL_V_NODE, "%s", all_problems(b));
    assert_valid(b);
    const char *text = anl_axes_text(b->graph, b->graph->arena, value.node->axes, value.node->rank);
    ck_assert_str_eq(text, axes);
    const double *found = evaluate(e, value.node);
    ck_assert_msg(!e->problem[0], "%s", e->problem);
    ck_assert_int_eq(anl_node_count(value.node), count);
    for (int i = 0; i < count; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) < 1e-12 || (isinf(expected[i]) && found[i] == expected[i]), "element %d: %g, expected %g", i, found[i],
                      expected[i]);
}
#define EXPECT(value, axes, ...) expect(&b, e, value, axes, (int)ANL_COUNT(((double[]){__VA_ARGS__})), (double[]){__VA_ARGS__})

START_TEST(values_of_movement)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    evaluator *e = evaluator_new(b.graph);
    anl_node *x = input_node(c, "x", "y 2 x 3");
    evaluator_give(e, x, (double[]){1, 2, 3, 4, 5, 6});
    anl_value v = v_node(x);
    EXPECT(CALL(c, "flip", "x axis", v, v_axis(c, "x")), "[y 2, x 3]", 3, 2, 1, 6, 5, 4);
    EXPECT(CALL(c, "slice", "x axis index", v, v_axis(c, "x"), v_int(-1)), "[y 2]", 3, 6);
    EXPECT(CALL(c, "slice", "x axis start end", v, v_axis(c, "x"), v_int(1), v_int(3)), "[y 2, x 2]", 2, 3, 5, 6);
    EXPECT(CALL(c, "slice", "x axis step", v, v_axis(c, "x"), v_int(2)), "[y 2, x 2]", 1, 3, 4, 6);
    EXPECT(CALL(c, "pad", "x axis before after value", v, v_axis(c, "y"), v_int(1), v_int(0), v_int(9)), "[y 3, x 3]", 9, 9, 9, 1, 2, 3, 4, 5, 6);
    EXPECT(CALL(c, "merge", "x axes into", v, v_axes(c, "y x"), v_axis(c, "p")), "[p 6]", 1, 2, 3, 4, 5, 6);
    EXPECT(CALL(c, "merge", "x axes into", v, v_axes(c, "x y"), v_axis(c, "p")), "[p 6]", 1, 4, 2, 5, 3, 6);
    anl_value merged = CALL(c, "merge", "x axes into", v, v_axes(c, "x y"), v_axis(c, "p"));
    anl_value parts[2] = {v_pair(c, "a", v_int(3)), v_pair(c, "b", v_int(2))};
    EXPECT(CALL(c, "split", "x axis into", merged, v_axis(c, "p"), v_list(c, 2, parts)), "[a 3, b 2]", 1, 4, 2, 5, 3, 6);
    EXPECT(renamed(c, v, "x", "column"), "[y 2, column 3]", 1, 2, 3, 4, 5, 6);
    anl_value swap[2] = {v_pair(c, "x", v_axis(c, "y")), v_pair(c, "y", v_axis(c, "x"))};
    EXPECT(CALL(c, "rename", "x pairs", v, v_list(c, 2, swap)), "[x 2, y 3]", 1, 2, 3, 4, 5, 6);
    anl_value both[2] = {v, CALL(c, "slice", "x axis start end", v, v_axis(c, "y"), v_int(0), v_int(1))};
    EXPECT(CALL(c, "concat", "values axis", v_list(c, 2, both), v_axis(c, "y")), "[y 3, x 3]", 1, 2, 3, 4, 5, 6, 1, 2, 3);
    anl_value pair = v_pair(c, "view", v_int(2));
    EXPECT(CALL(c, "replicate", "x pairs", both[1], v_list(c, 1, &pair)), "[view 2, y 1, x 3]", 1, 2, 3, 1, 2, 3);
    EXPECT(CALL(c, "index", "v axis", v, v_axis(c, "x")), "[x 3]", 0, 1, 2);
    anl_value size = CALL(c, "size", "v axes", v, v_axes(c, "x y other"));
    ck_assert(size.kind == ANL_V_INT && size.integer == 6);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(values_of_windows_and_convolutions)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    evaluator *e = evaluator_new(b.graph);
    anl_node *x = input_node(c, "x", "x 5"), *w = input_node(c, "w", "x 3");
    evaluator_give(e, x, (double[]){1, 2, 4, 8, 16});
    evaluator_give(e, w, (double[]){1, 10, 100});
    anl_value v = v_node(x), k = v_node(w), none = v_axes(c, "");
    EXPECT(CALL(c, "convolve", "x weight over", v, k, none), "[x 5]", 210, 421, 842, 1684, 168);
    EXPECT(CALL(c, "convolve", "x weight over stride", v, k, none, v_int(2)), "[x 3]", 210, 842, 168);
    EXPECT(CALL(c, "convolve", "x weight over padding", v, k, none, v_int(0)), "[x 3]", 421, 842, 1684);
    EXPECT(CALL(c, "convolve", "x weight over dilation", v, k, none, v_int(2)), "[x 5]", 410, 820, 1641, 82, 164);
    EXPECT(CALL(c, "max_pool", "x kernel", v, v_int(2)), "[x 2]", 2, 8);
    EXPECT(CALL(c, "max_pool", "x kernel stride padding", operate(c, ANL_S_NEGATE, v, v), v_int(3), v_int(2), v_int(1)), "[x 3]", -1, -2, -8);
    EXPECT(CALL(c, "mean_pool", "x kernel stride padding", v, v_int(3), v_int(2), v_int(1)), "[x 3]", 1, 14.0 / 3, 8);
    anl_value pair = v_pair(c, "x", v_axis(c, "t"));
    EXPECT(CALL(c, "windows", "x kernel into stride fill", v, v_int(3), v_list(c, 1, &pair), v_int(2), v_int(-1)), "[x 3, t 3]", -1, 1, 2, 2, 4, 8, 8, 16, -1);
    /* channels of the weight become innermost */
    anl_node *image = input_node(c, "image", "batch 2 channel 3 y 4 x 4"), *kernel = input_node(c, "kernel", "out 5 channel 3 y 3 x 3");
    anl_value y = CALL(c, "convolve", "x weight over", v_node(image), v_node(kernel), v_axis(c, "channel"));
    ck_assert_str_eq(anl_axes_text(b.graph, b.graph->arena, y.node->axes, y.node->rank), "[y 4, x 4, batch 2, out 5]");
    ck_assert(anl_op_describe(y.node->op)->flops(y.node) == 2.0 * 4 * 4 * 2 * 5 * 3 * 3 * 3);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(values_of_reductions)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    evaluator *e = evaluator_new(b.graph);
    anl_node *x = input_node(c, "x", "y 2 x 3");
    evaluator_give(e, x, (double[]){1, 5, 3, 4, 5, 0});
    anl_value v = v_node(x), all = v_axes(c, "y x");
    EXPECT(CALL(c, "sum", "x over", v, all), "[]", 18);
    EXPECT(CALL(c, "sum", "x over", v, v_axis(c, "y")), "[x 3]", 5, 10, 3);
    EXPECT(CALL(c, "mean", "x over", v, v_axis(c, "x")), "[y 2]", 3, 3);
    EXPECT(CALL(c, "max", "x over", v, all), "[]", 5);
    EXPECT(CALL(c, "min", "x over", v, v_axis(c, "y")), "[x 3]", 1, 5, 0);
    EXPECT(CALL(c, "argmax", "x over", v, all), "[]", 1);
    EXPECT(CALL(c, "argmax", "x over", v, v_axes(c, "x y")), "[]", 2); /* counted along y first: 1 4 5 5 3 0 */
    EXPECT(CALL(c, "logsumexp", "x over", operate(c, ANL_S_MUL, v, v_int(1000)), v_axis(c, "x")), "[y 2]", 5000, 5000);
    EXPECT(moments(c, v, "x", 1), "[y 2]", 8.0 / 3, 14.0 / 3);
    EXPECT(moments(c, v, "x", 2), "[y 2]", 4, 7);
    anl_value mask = operate(c, ANL_S_LT, v, v_int(4));
    EXPECT(CALL(c, "sum", "x over", mask, all), "[]", 3);
    EXPECT(CALL(c, "mean", "x over where", v, all, mask), "[]", 4.0 / 3);
    EXPECT(CALL(c, "mean", "x over where", v, v_axis(c, "y"), mask), "[x 3]", 1, 0, 1.5);
    EXPECT(CALL(c, "mean", "x over where", v, all, operate(c, ANL_S_LT, CALL(c, "index", "v axis", v, v_axis(c, "y")), v_int(1))), "[]", 3);
    EXPECT(CALL(c, "sum", "x over", v, v_axes(c, "")), "[y 2, x 3]", 1, 5, 3, 4, 5, 0); /* an empty rest */
    EXPECT(CALL(c, "argmax", "x over", v, v_axes(c, "")), "[y 2, x 3]", 0, 0, 0, 0, 0, 0);
    anl_value top = CALL(c, "top_k", "x axis count", v, v_axis(c, "x"), v_int(2));
    EXPECT(top.mapping.items[0], "[y 2, x 2]", 5, 3, 5, 4);
    EXPECT(top.mapping.items[1], "[y 2, x 2]", 1, 2, 1, 0);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(values_of_sampling)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    evaluator *e = evaluator_new(b.graph);
    anl_node *image = input_node(c, "image", "y 2 x 3"), *at = input_node(c, "at", "p 6");
    evaluator_give(e, image, (double[]){1, 2, 4, 10, 20, 40});
    evaluator_give(e, at, (double[]){0, 0.5, 2, 2.25, -0.5, 1e30});
    anl_value v = v_node(image), p = v_node(at);
    EXPECT(CALL(c, "sample", "image x y", v, p, v_int(0)), "[p 6]", 1, 1.5, 4, 3, 0.5, 0);
    EXPECT(CALL(c, "sample", "image x y outside", v, p, v_number(0.5), v_text("edge")), "[p 6]", 5.5, 8.25, 22, 22, 5.5, 22);
    EXPECT(CALL(c, "gather", "source axis index outside", v, v_axis(c, "x"), CALL(c, "cast", "x to", p, v_text("int")), v_int(-1)), "[y 2, p 6]", 1, 1, 4, 4, 1, -1,
           10, 10, 40, 40, 10, -1);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(draws_depend_on_key_sample_element_and_step_alone)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    int32_t batch = anl_graph_axis(b.graph, "batch"), view = anl_graph_axis(b.graph, "view");
    b.ride[0] = (anl_axis){view, 2};
    b.ride[1] = (anl_axis){batch, 3};
    c->ride = b.ride;
    c->ride_count = 2;
    c->batch_axis = batch;
    evaluator *e = evaluator_new(b.graph);
    e->step = 7;
    anl_value own[1] = {v_pair(c, "channel", v_int(4))};
    anl_value u = CALL(c, "uniform", "axes", v_list(c, 1, own));
    ck_assert_int_eq(u.node->rank, 3);
    double expected[24];
    for (uint32_t v = 0; v < 2; v++)
        for (uint32_t s = 0; s < 3; s++)
            for (uint32_t k = 0; k < 4; k++) {
                uint32_t words[4];
                anl_philox((uint32_t[]){v * 4 + k, s, 7, 0}, (uint32_t[]){77, 0}, words);
                expected[(v * 3 + s) * 4 + k] = anl_philox_unit(words[0]);
            }
    expect(&b, e, u, "[view 2, batch 3, channel 4]", 24, expected);
    /* read in another order: the same numbers */
    int32_t order[3] = {anl_graph_axis(b.graph, "channel"), batch, view};
    anl_node *turned = anl_g_transpose(b.graph, u.node, order, 3);
    for (int i = 0; i < 24; i++)
        ck_assert(evaluate(e, turned)[i] == expected[(i % 2 * 3 + i / 2 % 3) * 4 + i / 6]);
    anl_value k = CALL(c, "integer", "low high", v_int(-2), v_int(3)), coin = CALL(c, "bernoulli", "p", v_number(0.25));
    ck_assert(k.node->dtype == ANL_I32 && coin.node->dtype == ANL_BOOL);
    const double *integers = evaluate(e, k.node);
    for (int i = 0; i < 6; i++)
        ck_assert(integers[i] >= -2 && integers[i] < 3 && integers[i] == floor(integers[i]));
    assert_valid(&b);
    evaluator_free(e);
    bench_end(&b);
}
END_TEST

START_TEST(static_operands_give_static_results)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_value r = operate(c, ANL_S_FLOORDIV, v_int(-7), v_int(2));
    ck_assert(r.kind == ANL_V_INT && r.integer == -4);
    r = operate(c, ANL_S_MOD, v_int(-7), v_int(2));
    ck_assert(r.kind == ANL_V_INT && r.integer == 1);
    r = operate(c, ANL_S_DIV, v_int(7), v_int(2));
    ck_assert(r.kind == ANL_V_NUMBER && r.number == 3.5);
    r = operate(c, ANL_S_POW, v_int(2), v_int(40));
    ck_assert(r.kind == ANL_V_INT && r.integer == 1LL << 40);
    r = operate(c, ANL_S_POW, v_int(2), v_int(-1));
    ck_assert(r.kind == ANL_V_NUMBER && r.number == 0.5);
    r = operate(c, ANL_S_EQ, v_text("matrix"), v_text("matrix"));
    ck_assert(r.kind == ANL_V_BOOL && r.truth);
    r = operate(c, ANL_S_AND, v_bool(true), v_bool(false));
    ck_assert(r.kind == ANL_V_BOOL && !r.truth);
    anl_value duration = {.kind = ANL_V_DURATION, .duration = {10, true}};
    r = operate(c, ANL_S_MUL, duration, v_number(0.5));
    ck_assert(r.kind == ANL_V_DURATION && r.duration.count == 5 && r.duration.epochs);
    ck_assert_int_eq(anl_diagnostics_count(b.diagnostics), 0);
    ck_assert_int_eq(b.graph->node_count, 0);
    static const struct {
        anl_scalar s;
        int64_t a, b;
        anl_code code;
    } wrong[] = {{ANL_S_DIV, 1, 0, ANL_A_out_of_range}, {ANL_S_MOD, 1, 0, ANL_A_out_of_range}, {ANL_S_MUL, INT64_MAX, 2, ANL_A_out_of_range},
                 {ANL_S_POW, 10, 30, ANL_A_out_of_range}, {ANL_S_AND, 1, 1, ANL_A_type_mismatch}};
    for (size_t i = 0; i < ANL_COUNT(wrong); i++) {
        ck_assert_int_eq(operate(c, wrong[i].s, v_int(wrong[i].a), v_int(wrong[i].b)).kind, ANL_V_NONE);
        ck_assert_int_eq(anl_diagnostics_get(b.diagnostics, anl_diagnostics_count(b.diagnostics) - 1)->code, wrong[i].code);
    }
    bench_end(&b);
}
END_TEST

START_TEST(dtypes_follow_the_operands)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_value x = v_node(input_node(c, "x", "x 3")), i = CALL(c, "index", "v axis", x, v_axis(c, "x")), mask = operate(c, ANL_S_LT, x, v_int(1));
    ck_assert_int_eq(operate(c, ANL_S_ADD, i, v_int(1)).node->dtype, ANL_I32);
    ck_assert_int_eq(operate(c, ANL_S_ADD, i, v_number(2)).node->dtype, ANL_I32);
    ck_assert_int_eq(operate(c, ANL_S_ADD, i, v_number(2.5)).node->dtype, ANL_F32);
    ck_assert_int_eq(operate(c, ANL_S_DIV, i, v_int(2)).node->dtype, ANL_F32);
    ck_assert_int_eq(operate(c, ANL_S_FLOORDIV, i, v_int(2)).node->dtype, ANL_I32);
    ck_assert_int_eq(operate(c, ANL_S_MUL, i, x).node->dtype, ANL_F32);
    ck_assert_int_eq(operate(c, ANL_S_MUL, mask, x).node->dtype, ANL_F32);
    ck_assert_int_eq(operate(c, ANL_S_ADD, mask, mask).node->dtype, ANL_F32);
    ck_assert_int_eq(operate(c, ANL_S_ADD, mask, i).node->dtype, ANL_I32);
    ck_assert_int_eq(operate(c, ANL_S_EQ, i, v_int(1)).node->dtype, ANL_BOOL);
    ck_assert_int_eq(operate(c, ANL_S_NOT, mask, mask).node->dtype, ANL_BOOL);
    ck_assert_int_eq(CALL(c, "where", "condition a b", mask, v_int(1), v_int(0)).node->dtype, ANL_I32);
    ck_assert_int_eq(CALL(c, "where", "condition a b", mask, x, v_int(0)).node->dtype, ANL_F32);
    ck_assert_int_eq(CALL(c, "where", "condition a b", mask, mask, v_bool(true)).node->dtype, ANL_BOOL);
    ck_assert_int_eq(CALL(c, "exp", "x", i).node->dtype, ANL_F32);
    assert_valid(&b);
    bench_end(&b);
}
END_TEST

START_TEST(builders_simplify)
{
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_value x = v_node(input_node(c, "x", "batch 2 x 3"));
    anl_graph *g = b.graph;
    ck_assert_ptr_eq(operate(c, ANL_S_MUL, x, v_int(1)).node, x.node);
    ck_assert_ptr_eq(operate(c, ANL_S_ADD, v_int(0), x).node, x.node);
    ck_assert_ptr_eq(operate(c, ANL_S_POW, x, v_int(1)).node, x.node);
    ck_assert_ptr_eq(operate(c, ANL_S_NEGATE, operate(c, ANL_S_NEGATE, x, x), x).node, x.node);
    ck_assert_ptr_eq(CALL(c, "flip", "x axis", CALL(c, "flip", "x axis", x, v_axis(c, "x")), v_axis(c, "x")).node, x.node);
    ck_assert_ptr_eq(renamed(c, renamed(c, x, "x", "u"), "u", "x").node, x.node);
    ck_assert_ptr_eq(operate(c, ANL_S_ADD, x, v_int(3)).node, operate(c, ANL_S_ADD, x, v_number(3)).node);
    anl_node *sum = anl_g_reduce(g, ANL_OP_SUM, anl_g_replicate(g, x.node, anl_graph_axis(g, "view"), 5), (int32_t[]){anl_graph_axis(g, "view")}, 1);
    ck_assert(sum->op == ANL_OP_SCALAR && sum->attrs.scalar == ANL_S_MUL);
    anl_node *one = anl_g_slice(g, x.node, anl_graph_axis(g, "x"), 1, 1, 1);
    ck_assert_int_ne(anl_g_reduce(g, ANL_OP_SUM, one, (int32_t[]){anl_graph_axis(g, "x")}, 1)->op, ANL_OP_SUM);
    assert_valid(&b);
    bench_end(&b);
}
END_TEST

/* ---- diagnostics ---- */

typedef struct wrong_call {
    const char *what;
    anl_value (*build)(anl_context *c, const anl_value *in);
    anl_code code;
    const char *message;  /* a part of it */
    int label_column;     /* of the first label; 0: none expected */
    const char *remedy;   /* a part of the suggestion, or NULL */
} wrong_call;

/* in[0]: [batch 4, cluster 3] at column 10, in[1]: [batch 5, feature 2] at column 20, in[2]: [y 4, x 4] at column 30 */
BUILD(wrong_size, operate(c, ANL_S_ADD, in[0], CALL(c, "mean", "x over", in[1], v_axis(c, "feature"))))
BUILD(wrong_size_direct, operate(c, ANL_S_MUL, placed(v_node(input_node(c, "p", "batch 5 cluster 3")), 40), in[0]))
BUILD(wrong_outer, operate(c, ANL_S_MUL, in[0], in[2]))
BUILD(wrong_over, CALL(c, "sum", "x", in[0]))
BUILD(wrong_axis, CALL(c, "sum", "x over", in[0], placed(v_axis(c, "clusters"), 25)))
BUILD(wrong_over_kind, CALL(c, "sum", "x over", in[0], v_int(1)))
BUILD(wrong_dot_axis, CALL(c, "dot", "a b over", in[0], in[1], placed(v_axis(c, "feature"), 25)))
BUILD(wrong_dot_size, CALL(c, "dot", "a b over", in[0], in[1], v_axis(c, "batch")))
BUILD(wrong_mask, CALL(c, "mean", "x over where", in[0], v_axis(c, "batch"), in[0]))
BUILD(wrong_mask_axis, CALL(c, "mean", "x over where", in[0], v_axis(c, "batch"), operate(c, ANL_S_LT, in[2], v_int(0))))
BUILD(wrong_convolve, CALL(c, "convolve", "x weight over", in[2], in[1], v_axes(c, "")))
BUILD(wrong_convolve_size,
      CALL(c, "convolve", "x weight over padding", in[2], placed(v_node(input_node(c, "k", "y 7 x 3")), 40), v_axes(c, ""), v_int(0)))
BUILD(wrong_pool, CALL(c, "max_pool", "x kernel", in[0], v_int(2)))
BUILD(wrong_stride, CALL(c, "max_pool", "x kernel stride", in[2], v_int(2), v_int(0)))
BUILD(wrong_slice, CALL(c, "slice", "x axis index", in[0], v_axis(c, "cluster"), v_int(3)))
BUILD(wrong_empty, CALL(c, "slice", "x axis start end", in[0], v_axis(c, "cluster"), v_int(2), v_int(2)))
static anl_value wrong_split(anl_context *c, const anl_value *in)
{
    anl_value pairs[2] = {v_pair(c, "a", v_int(2)), v_pair(c, "b", v_int(3))};
    return CALL(c, "split", "x axis into", in[0], v_axis(c, "batch"), v_list(c, 2, pairs));
}
static anl_value wrong_concat(anl_context *c, const anl_value *in)
{
    anl_value parts[2] = {in[0], in[1]};
    return CALL(c, "concat", "values axis", v_list(c, 2, parts), v_axis(c, "batch"));
}
BUILD(wrong_rename, renamed(c, in[0], "batch", "cluster"))
BUILD(wrong_rename_from, renamed(c, in[0], "batches", "assign"))
BUILD(wrong_gather, CALL(c, "gather", "source axis index", in[0], v_axis(c, "cluster"), in[0]))
BUILD(wrong_sample, CALL(c, "sample", "image z", in[2], v_int(1)))
BUILD(wrong_sample_none, CALL(c, "sample", "image", in[2]))
BUILD(wrong_where, CALL(c, "where", "condition a b", in[0], in[0], in[0]))
BUILD(wrong_word, CALL(c, "exp", "x", placed(v_text("hello"), 40)))
BUILD(wrong_mapping, operate(c, ANL_S_ADD, CALL(c, "moments", "x over", in[0], v_axis(c, "batch")), v_int(1)))
BUILD(wrong_static, CALL(c, "max_pool", "x kernel", in[2], CALL(c, "sum", "x over", in[2], v_axes(c, "y x"))))
BUILD(wrong_draw, CALL(c, "uniform", "axes", v_axis(c, "unheard_of")))
BUILD(wrong_top, CALL(c, "top_k", "x axis count", in[0], v_axis(c, "cluster"), v_int(4)))
BUILD(wrong_index, CALL(c, "index", "v axis", in[0], placed(v_axis(c, "x"), 25)))
BUILD(wrong_and, operate(c, ANL_S_AND, in[0], v_bool(true)))
BUILD(wrong_cast, CALL(c, "cast", "x to", in[0], v_text("double")))

static const wrong_call wrong_calls[] = {
    {"size mismatch", wrong_size, ANL_A_axis_mismatch, "axis `batch` is 5 in one value and 4 in the other", 10, NULL},
    {"size mismatch of operands", wrong_size_direct, ANL_A_axis_mismatch, "axis `batch` is 4 in one value and 5 in the other", 40, NULL},
    {"outer product", wrong_outer, ANL_A_outer_product, "neither has all axes of the other", 10, "outer("},
    {"no over", wrong_over, ANL_A_missing_over, "`sum` needs over=", 0, "over=all"},
    {"axis not there", wrong_axis, ANL_A_missing_axis, "no axis `clusters`; its axes are [cluster 3, batch 4]", 10, "did you mean `cluster`?"},
    {"over is no axis", wrong_over_kind, ANL_A_type_mismatch, "takes an axis or a list of axes here, but this is an integer", 0, NULL},
    {"dot over what one lacks", wrong_dot_axis, ANL_A_missing_axis, "no axis `feature`", 10, NULL},
    {"dot over another size", wrong_dot_size, ANL_A_axis_mismatch, "axis `batch` is 4 in one value and 5 in the other", 20, NULL},
    {"where is no condition", wrong_mask, ANL_A_type_mismatch, "takes a condition", 0, NULL},
    {"where has a foreign axis", wrong_mask_axis, ANL_A_missing_axis, "the condition has axis `y`", 10, NULL},
    {"weight without space", wrong_convolve, ANL_A_missing_axis, "has no space axis", 0, "dot("},
    {"kernel too large", wrong_convolve_size, ANL_A_empty_result, "axis `y` of size 4 with padding 0 is shorter than the kernel's reach of 7", 30, NULL},
    {"pooling without space", wrong_pool, ANL_A_missing_axis, "has no space axis", 0, NULL},
    {"stride 0", wrong_stride, ANL_A_out_of_range, "a stride must lie in 1", 0, NULL},
    {"index outside", wrong_slice, ANL_A_out_of_range, "index 3 is outside axis `cluster` of size 3", 0, NULL},
    {"empty slice", wrong_empty, ANL_A_empty_result, "is empty", 0, NULL},
    {"split into other sizes", wrong_split, ANL_A_axis_mismatch, "axis `batch` is 4 here, but its parts multiply to 6", 0, NULL},
    {"concat of other axes", wrong_concat, ANL_A_missing_axis, "lacks axis `cluster`", 10, NULL},
    {"rename onto an axis", wrong_rename, ANL_A_duplicate_axis, "two axes", 0, NULL},
    {"rename of no axis", wrong_rename_from, ANL_A_missing_axis, "no axis `batches`", 0, "did you mean `batch`?"},
    {"gather by floats", wrong_gather, ANL_A_type_mismatch, "takes int positions", 0, "cast("},
    {"sample along no axis", wrong_sample, ANL_A_missing_axis, "has no axis `z`", 0, NULL},
    {"sample without coordinates", wrong_sample_none, ANL_A_missing_argument, "needs coordinates", 0, NULL},
    {"where without condition", wrong_where, ANL_A_type_mismatch, "a condition", 0, NULL},
    {"a word", wrong_word, ANL_A_type_mismatch, "this is a word", 0, NULL},
    {"a mapping", wrong_mapping, ANL_A_type_mismatch, "this is a mapping", 0, NULL},
    {"computed shape", wrong_static, ANL_A_not_static, "must be known when the spec is read", 0, NULL},
    {"draw along an unknown axis", wrong_draw, ANL_A_missing_axis, "the size of axis `unheard_of` is not known", 0, "like="},
    {"too many of the top", wrong_top, ANL_A_out_of_range, "must lie in 1", 0, NULL},
    {"index along no axis", wrong_index, ANL_A_missing_axis, "no axis `x`", 10, NULL},
    {"and of numbers", wrong_and, ANL_A_type_mismatch, "`and` takes conditions", 0, NULL},
    {"cast to an unknown type", wrong_cast, ANL_A_type_mismatch, "float, int or bool", 0, NULL},
};

START_TEST(wrong_calls_are_diagnosed)
{
    const wrong_call *test = &wrong_calls[_i];
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_value in[3] = {placed(v_node(input_node(c, "a", "batch 4 cluster 3")), 10), placed(v_node(input_node(c, "b", "batch 5 feature 2")), 20),
                       placed(v_node(input_node(c, "c", "y 4 x 4")), 30)};
    anl_value result = test->build(c, in);
    ck_assert_msg(result.kind == ANL_V_NONE, "%s is accepted", test->what);
    ck_assert_msg(anl_diagnostics_count(b.diagnostics) == 1, "%s: %s", test->what, all_problems(&b));
    const anl_diagnostic *d = anl_diagnostics_get(b.diagnostics, 0);
    ck_assert_msg(d->code == test->code, "%s: A%04d %s", test->what, d->code, d->message);
    ck_assert_msg(strstr(d->message, test->message) != NULL, "%s: %s", test->what, d->message);
    ck_assert_msg(d->span.line == 1, "%s has no place", test->what);
    if (test->label_column) {
        bool shown = false;
        for (int i = 0; i < d->label_count; i++)
            shown |= d->labels[i].span.column == test->label_column;
        ck_assert_msg(shown, "%s does not show column %d: %s", test->what, test->label_column, d->message);
    }
    if (test->remedy)
        ck_assert_msg(d->suggestion && strstr(d->suggestion, test->remedy), "%s suggests %s", test->what, d->suggestion ? d->suggestion : "nothing");
    bench_end(&b);
}
END_TEST

START_TEST(hidden_axes_need_no_outer)
{
    /* What rides along is not seen: a function may scale coordinates by a number that differs from sample to sample. */
    bench b;
    bench_start(&b);
    anl_context *c = &b.context;
    anl_axis axes[1] = {{anl_graph_fresh_axis(b.graph, "batch", true), 3}};
    anl_node *scale = anl_graph_state_value(b.graph, anl_graph_state(b.graph, "scale", ANL_F32, ANL_STATE_OTHER, axes, 1));
    anl_value index = CALL(c, "index", "v axis", v_node(input_node(c, "x", "y 4 x 4")), v_axis(c, "x"));
    anl_value product = operate(c, ANL_S_MUL, index, v_node(scale));
    ck_assert_int_eq(product.kind, ANL_V_NODE);
    ck_assert_str_eq(anl_axes_text(b.graph, b.graph->arena, product.node->axes, product.node->rank), "[batch 3, x 4]");
    assert_valid(&b);
    bench_end(&b);
}
END_TEST

/* ---- the reference ---- */

START_TEST(reference_is_complete)
{
    for (int i = 0; anl_builtin_at(i); i++) {
        const anl_builtin *b = anl_builtin_at(i);
        ck_assert_msg(b->doc && b->doc[0] && b->example && b->example[0] && b->axes && b->gradient && b->family, "%s is not documented", b->name);
        ck_assert_ptr_eq(anl_builtin_find(b->name), b);
        for (int k = 0; k < b->param_count; k++) {
            ck_assert_msg(b->params[k].name && b->params[k].doc && strchr("vaAinbtlm", b->params[k].kind), "%s: parameter %d", b->name, k);
            ck_assert_msg(k == 0 || b->params[k].fallback || !b->params[k - 1].fallback, "%s: %s must be given, but what precedes it need not", b->name,
                          b->params[k].name);
        }
        ck_assert(b->param_count == (int)ANL_COUNT(b->params) || !b->params[b->param_count].name);
        char *page = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&page, &length);
        anl_ops_print(out, b->name);
        fclose(out);
        ck_assert_msg(strncmp(page, b->name, strlen(b->name)) == 0 && strstr(page, b->example), "%s: %s", b->name, page);
        free(page);
    }
    ck_assert(anl_ops_has("dot") && !anl_ops_has("conv2d"));
    ck_assert_str_eq(anl_ops_nearest("convolv"), "convolve");
    for (int op = 0; op < ANL_OP_COUNT; op++) {
        const anl_op_info *info = anl_op_describe((anl_op)op);
        ck_assert_msg(info && info->op == (anl_op)op && info->name && info->verify && info->flops, "operation %d is not described", op);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *gradients = tcase_create("gradients");
    tcase_set_timeout(gradients, 120);
    tcase_add_loop_test(gradients, gradients_agree_with_differences, 0, (int)ANL_COUNT(gradient_cases));
    tcase_add_test(gradients, every_gradient_has_a_case);
    tcase_add_test(gradients, gradient_of_softplus_and_ties);
    tcase_add_test(gradients, where_keeps_nan_out_of_gradients);
    tcase_add_test(gradients, missing_gradient_names_its_path);
    suite_add_tcase(suite, gradients);
    TCase *values = tcase_create("values");
    tcase_add_test(values, values_of_movement);
    tcase_add_test(values, values_of_windows_and_convolutions);
    tcase_add_test(values, values_of_reductions);
    tcase_add_test(values, values_of_sampling);
    tcase_add_test(values, draws_depend_on_key_sample_element_and_step_alone);
    tcase_add_test(values, static_operands_give_static_results);
    tcase_add_test(values, dtypes_follow_the_operands);
    tcase_add_test(values, builders_simplify);
    suite_add_tcase(suite, values);
    TCase *diagnostics = tcase_create("diagnostics");
    tcase_add_loop_test(diagnostics, wrong_calls_are_diagnosed, 0, (int)ANL_COUNT(wrong_calls));
    tcase_add_test(diagnostics, hidden_axes_need_no_outer);
    tcase_add_test(diagnostics, reference_is_complete);
    suite_add_tcase(suite, diagnostics);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
