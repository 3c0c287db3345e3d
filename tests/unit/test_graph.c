/* Tests of the graph: axes and their names, one node for equal drafts, memory order of states, printing, and a verifier that finds what is wrong.
 * In: nothing. Out: check's verdicts. */
#include "calls.h"

static anl_graph *graph;

static void setup(void) { graph = anl_graph_new(); }
static void teardown(void)
{
    anl_graph_free(&graph);
    ck_assert_ptr_null(graph);
}

static anl_node *field(const char *name, int rank, const anl_axis *axes)
{
    anl_node *node = anl_graph_node(graph, ANL_OP_FIELD, ANL_F32, 0, NULL);
    node->attrs.name = anl_arena_text(graph->arena, name);
    node->rank = rank;
    memcpy(node->axes, axes, sizeof *axes * (size_t)rank);
    return node;
}

START_TEST(axes_by_name)
{
    int32_t y = anl_graph_axis(graph, "y");
    ck_assert_int_eq(anl_graph_axis(graph, "y"), y);
    ck_assert_int_eq(anl_graph_find_axis(graph, "x"), -1);
    int32_t hidden = anl_graph_fresh_axis(graph, "y", true), private = anl_graph_fresh_axis(graph, "channel", false);
    ck_assert_int_ne(hidden, y);
    ck_assert_int_eq(anl_graph_find_axis(graph, "y"), y);
    ck_assert_int_eq(anl_graph_find_axis(graph, "channel"), -1); /* private ones are not found by name */
    ck_assert_int_ne(anl_graph_axis(graph, "channel"), private);
    ck_assert_str_eq(anl_graph_axis_name(graph, hidden), "y");
    ck_assert(anl_is_space(graph, y) && !anl_is_space(graph, hidden) && !anl_is_space(graph, private) && !anl_is_space(graph, -1));
    ck_assert(!anl_is_space(graph, anl_graph_axis(graph, "xy")));
}
END_TEST

START_TEST(states_lie_with_channels_innermost)
{
    anl_axis axes[4] = {{anl_graph_axis(graph, "out"), 8}, {anl_graph_axis(graph, "channel"), 4}, {anl_graph_axis(graph, "y"), 3}, {anl_graph_axis(graph, "x"), 5}};
    anl_state *state = anl_graph_state(graph, "encoder.conv1.weight", ANL_F32, ANL_WEIGHT_MATRIX, axes, 4);
    anl_node *value = anl_graph_state_value(graph, state);
    ck_assert_ptr_eq(anl_graph_state_value(graph, state), value);
    ck_assert_ptr_eq(anl_graph_find_state(graph, "encoder.conv1.weight"), state);
    ck_assert_ptr_null(anl_graph_find_state(graph, "encoder.conv1"));
    ck_assert_str_eq(anl_axes_text(graph, graph->arena, value->axes, 4), "[y 3, x 5, channel 4, out 8]");
    ck_assert_int_eq(anl_node_count(value), 480);
    ck_assert_int_eq(anl_node_axis(value, axes[0].id), 3);
    ck_assert_int_eq(anl_node_size(value, axes[1].id), 4);
    ck_assert_int_eq(anl_node_size(value, anl_graph_axis(graph, "z")), 0);
}
END_TEST

START_TEST(equal_drafts_are_one_node)
{
    int32_t x = anl_graph_axis(graph, "x");
    anl_node *a = anl_g_index(graph, x, 5);
    ck_assert_ptr_eq(anl_g_index(graph, x, 5), a);
    ck_assert_ptr_ne(anl_g_index(graph, x, 6), a);
    anl_node *f = field("image", 1, &(anl_axis){x, 5});
    anl_node *e = anl_g_unary(graph, ANL_S_EXP, f);
    ck_assert_ptr_eq(anl_g_unary(graph, ANL_S_EXP, f), e);
    ck_assert_ptr_ne(anl_g_unary(graph, ANL_S_LOG, f), e);
    /* constants differ by dtype and by every bit */
    ck_assert_ptr_ne(anl_g_const(graph, ANL_F32, 1), anl_g_const(graph, ANL_I32, 1));
    ck_assert_ptr_ne(anl_g_const(graph, ANL_F32, 0.0), anl_g_const(graph, ANL_F32, -0.0));
    /* also when the table of them has grown several times */
    anl_node *many[5000];
    for (int i = 0; i < 5000; i++)
        many[i] = anl_g_const(graph, ANL_F32, i + 0.5);
    int count = graph->node_count;
    for (int i = 0; i < 5000; i++)
        ck_assert_ptr_eq(anl_g_const(graph, ANL_F32, i + 0.5), many[i]);
    ck_assert_int_eq(graph->node_count, count);
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    ck_assert_int_eq(anl_graph_verify(graph, diagnostics), ANL_OK);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(prints_one_line_a_node)
{
    int32_t batch = anl_graph_axis(graph, "batch"), channel = anl_graph_axis(graph, "channel"), y = anl_graph_axis(graph, "y");
    anl_axis axes[3] = {{batch, 2}, {y, 8}, {channel, 3}}, out[3] = {{batch, 2}, {y, 4}, {anl_graph_axis(graph, "out"), 5}};
    anl_node *image = field("image", 3, axes);
    anl_axis declared[3] = {{anl_graph_axis(graph, "out"), 5}, {channel, 3}, {y, 3}};
    anl_state *state = anl_graph_state(graph, "conv.weight", ANL_F32, ANL_WEIGHT_MATRIX, declared, 3);
    graph->path = "conv";
    anl_slide slide = {.axis = y, .in_size = 8, .tap_size = 3, .out_size = 4, .stride = 2, .dilation = 1, .padding = 1};
    anl_node *z = anl_g_contract(graph, image, anl_graph_state_value(graph, state), &channel, 1, ANL_ROLE_FORWARD, &slide, 1, out, 3);
    anl_node *mean = anl_g_reduce(graph, ANL_OP_MEAN, anl_g_binary(graph, ANL_S_MUL, z, anl_g_const(graph, ANL_F32, 0.5)), &batch, 1);
    anl_graph_output(graph, "result", anl_g_flip(graph, mean, y));
    state->update = state->value;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    anl_graph_print(graph, stream);
    fclose(stream);
    ck_assert_str_eq(text, "%0 = field() image f32 [batch 2, y 8, channel 3]\n"
                           "%1 = state() conv.weight f32 [y 3, channel 3, out 5]  conv\n"
                           "%2 = contract(%0, %1) over=[channel] forward y(8 by 3 to 4, stride 2, padding 1) f32 [batch 2, y 4, out 5]  conv\n"
                           "%3 = constant() 0.5 f32 []  conv\n"
                           "%4 = multiply(%2, %3) f32 [batch 2, y 4, out 5]  conv\n"
                           "%5 = mean(%4) over=[batch] f32 [y 4, out 5]  conv\n"
                           "%6 = slice(%5) axis=y start=3 count=4 step=-1 f32 [y 4, out 5]  conv\n"
                           "update conv.weight = %1\n"
                           "output result = %6\n");
    free(text);
}
END_TEST

/* A small graph with one node of each kind of trouble: each change below must be found. */
typedef struct breakage {
    const char *what;
    void (*damage)(anl_node **nodes); /* see build_sound */
} breakage;

static anl_node **build_sound(void)
{
    int32_t batch = anl_graph_axis(graph, "batch"), x = anl_graph_axis(graph, "x"), tap = anl_graph_axis(graph, "tap"), view = anl_graph_axis(graph, "view");
    anl_node **n = ANL_NEW_ARRAY(graph->arena, anl_node *, 20);
    anl_axis axes[2] = {{batch, 4}, {x, 6}};
    n[0] = field("image", 2, axes);
    n[1] = anl_g_unary(graph, ANL_S_EXP, n[0]);
    n[2] = anl_g_binary(graph, ANL_S_LT, n[0], n[1]);
    n[3] = anl_g_where(graph, n[2], n[0], n[1]);
    n[4] = anl_g_reduce(graph, ANL_OP_SUM, n[3], &x, 1);
    n[5] = anl_g_reduce(graph, ANL_OP_ARGMAX, n[3], &x, 1);
    n[6] = anl_g_rename(graph, n[0], x, tap);
    n[7] = anl_g_replicate(graph, n[0], view, 2);
    n[8] = anl_g_slice(graph, n[0], x, 1, 3, 2);
    n[9] = anl_g_place(graph, n[0], x, 2, 1, 9, 0);
    n[10] = anl_g_concat(graph, (anl_node *[]){n[0], n[1]}, 2, x);
    n[11] = anl_g_split(graph, n[0], x, (anl_axis[]){{view, 2}, {tap, 3}}, 2);
    n[12] = anl_g_merge(graph, n[0], (int32_t[]){batch, x}, 2, view);
    anl_slide slide = {.axis = x, .in_size = 6, .tap_size = 3, .out_size = 6, .stride = 1, .dilation = 1, .padding = 1};
    n[13] = anl_g_windows(graph, n[0], slide, tap, 0);
    n[14] = anl_g_unwindows(graph, n[13], slide, tap);
    n[15] = anl_g_gather(graph, n[0], &x, &n[5], 1, 0);
    n[16] = anl_g_contract(graph, n[0], n[1], &x, 1, ANL_ROLE_FORWARD, NULL, 0, (anl_axis[]){{batch, 4}}, 1);
    n[17] = anl_g_transpose(graph, n[0], (int32_t[]){x, batch}, 2);
    n[18] = anl_g_draw(graph, ANL_OP_UNIFORM, 3, axes, 2, batch);
    n[19] = anl_g_index(graph, x, 6);
    return n;
}

static void later_input(anl_node **n) { n[1]->inputs[0] = n[4]; }
static void axis_twice(anl_node **n) { n[1]->axes[1] = n[1]->axes[0]; }
static void size_zero(anl_node **n) { n[0]->axes[0].size = 0; }
static void unknown_axis(anl_node **n) { n[0]->axes[0].id = 99; }
static void wrong_number(anl_node **n) { n[1]->id = 7; }
static void wrong_dtype(anl_node **n) { n[1]->dtype = ANL_I32; }
static void comparison_dtype(anl_node **n) { n[2]->dtype = ANL_F32; }
static void where_dtype(anl_node **n) { n[3]->inputs[0] = n[0]; }
static void kept_axis(anl_node **n) { n[4]->attrs.over[0] = n[0]->axes[0].id; }
static void over_nothing(anl_node **n) { n[4]->attrs.over_count = 0; }
static void argmax_dtype(anl_node **n) { n[5]->dtype = ANL_F32; }
static void rename_size(anl_node **n) { n[6]->axes[1].size = 5; }
static void replicate_axis(anl_node **n) { n[7]->attrs.axis[0] = n[0]->axes[0].id; }
static void slice_outside(anl_node **n) { n[8]->attrs.start = 2; }
static void place_outside(anl_node **n) { n[9]->attrs.start = 4; }
static void concat_short(anl_node **n) { n[10]->axes[1].size = 11; }
static void split_product(anl_node **n) { n[11]->axes[2].size = 4; }
static void merge_product(anl_node **n) { n[12]->axes[0].size = 25; }
static void windows_size(anl_node **n) { n[13]->attrs.slide[0].out_size = 5; }
static void unwindows_size(anl_node **n) { n[14]->axes[1].size = 7; }
static void gather_float(anl_node **n) { n[15]->inputs[1] = n[4]; }
static void contract_axis(anl_node **n) { n[16]->attrs.over_count = 0; }
static void contract_role(anl_node **n) { n[16]->attrs.role = ANL_ROLE_DATA; }
static void transpose_axes(anl_node **n) { n[17]->axes[0].size = 4; }
static void draw_axes(anl_node **n) { n[18]->attrs.over_count = 0; }
static void index_dtype(anl_node **n) { n[19]->dtype = ANL_F32; }
static void no_field_name(anl_node **n) { n[0]->attrs.name = NULL; }
static void too_few_operands(anl_node **n) { n[2]->input_count = 1; }

static const breakage breakages[] = {
    {"an input comes later", later_input},    {"an axis twice", axis_twice},         {"an empty axis", size_zero},
    {"an unknown axis", unknown_axis},        {"a wrong number", wrong_number},      {"exp gives an int", wrong_dtype},
    {"a comparison gives a float", comparison_dtype}, {"where of a float", where_dtype}, {"a sum keeps what it sums over", kept_axis},
    {"a sum over nothing", over_nothing},     {"argmax gives a float", argmax_dtype}, {"rename changes a size", rename_size},
    {"replicate along an axis that is there", replicate_axis}, {"slice reaches outside", slice_outside}, {"place reaches outside", place_outside},
    {"concat loses elements", concat_short},  {"split gains elements", split_product}, {"merge gains elements", merge_product},
    {"windows do not fit", windows_size},     {"unwindows do not fit", unwindows_size}, {"gather by floats", gather_float},
    {"contraction keeps an axis", contract_axis}, {"a product in another role", contract_role}, {"transpose changes a size", transpose_axes},
    {"a draw's axes are not its own", draw_axes}, {"an index that is a float", index_dtype}, {"a field without name", no_field_name},
    {"too few operands", too_few_operands},
};

START_TEST(verifier_finds_each_breakage)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_node **nodes = build_sound();
    ck_assert_int_eq(anl_graph_verify(graph, diagnostics), ANL_OK);
    ck_assert_int_eq(anl_diagnostics_count(diagnostics), 0);
    breakages[_i].damage(nodes);
    ck_assert_msg(anl_graph_verify(graph, diagnostics) == ANL_ERROR_SPEC, "%s is not found", breakages[_i].what);
    const anl_diagnostic *d = anl_diagnostics_get(diagnostics, 0);
    ck_assert_int_eq(d->code, ANL_A_graph_invalid);
    ck_assert_msg(d->note_count == 1 && strstr(d->notes[0], "report it"), "a defect of anlage is not called one");
    anl_diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(verifier_checks_updates_and_outputs)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_axis axis = {anl_graph_axis(graph, "x"), 3};
    anl_state *state = anl_graph_state(graph, "s", ANL_F32, ANL_STATE_OTHER, &axis, 1);
    state->update = anl_g_const(graph, ANL_F32, 1);
    ck_assert_int_eq(anl_graph_verify(graph, diagnostics), ANL_ERROR_SPEC);
    state->update = anl_graph_state_value(graph, state);
    ck_assert_int_eq(anl_graph_verify(graph, diagnostics), ANL_OK);
    anl_node stray = {.id = 0};
    anl_graph_output(graph, "o", &stray);
    ck_assert_int_eq(anl_graph_verify(graph, diagnostics), ANL_ERROR_SPEC);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *tcase = tcase_create("graph");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, axes_by_name);
    tcase_add_test(tcase, states_lie_with_channels_innermost);
    tcase_add_test(tcase, equal_drafts_are_one_node);
    tcase_add_test(tcase, prints_one_line_a_node);
    tcase_add_loop_test(tcase, verifier_finds_each_breakage, 0, (int)ANL_COUNT(breakages));
    tcase_add_test(tcase, verifier_checks_updates_and_outputs);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
