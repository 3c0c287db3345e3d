/* Stock specs through the whole compiler, without a device.
 * In: specs/. Out: check's report: they compile in time, plan memory near its lower bound, satisfy the second checker in every
 * phase and mode, and can be explained. */
#include <anlage/program.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/folders.h"
#include "compile/compile.h"
#include "spec/overrides.h"
#include "spec/recipe.h"
#include "trace/trace.h"

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *spec_path(char *out, size_t size, const char *name)
{
    const char *root = getenv("ANL_TEST_ROOT");
    snprintf(out, size, "%s/specs/%s", root ? root : ".", name);
    return out;
}

static void stop_with(anl_diagnostics *d, const char *what)
{
    anl_diagnostics_print(d, stderr, false);
    ck_abort_msg("%s", what);
}

typedef struct stock {
    const char *name;
    const char *overrides[8];
    int count;
    bool full_size; /* the size that has to compile within a second */
} stock;

static const stock stocks[] = {
    {"pretrain/bench.yaml", {0}, 0, false},
    {"pretrain/swav.yaml", {0}, 0, false},
    {"pretrain/swav.yaml", {"network=resnet50", "size=224", "locals=6", "local_size=96", "input=256", "width=64"}, 6, true},
    {"finetune/classify.yaml", {0}, 0, false},
};

static void judge(const anl_recipe *recipe, anl_trace_mode mode, int64_t step, bool full_size, anl_diagnostics *d)
{
    anl_trace_options options = {.mode = mode, .phase_step = step, .seed = -1};
    anl_traced *traced = NULL;
    if (anl_trace(recipe, &options, d, &traced) != ANL_OK)
        stop_with(d, "does not trace");
    for (int unfused = 0; unfused <= (full_size ? 0 : 1); unfused++) {
        anl_state_layout *layout = NULL;
        anl_program *p = NULL;
        anl_compile_options compile = {.no_fusion = unfused, .f64 = unfused};
        if (anl_state_layout_new(&traced->graph, 1, unfused, d, &layout) != ANL_OK)
            stop_with(d, "no state layout");
        double start = cpu_seconds();
        if (anl_compile(traced->graph, layout, &compile, d, &p) != ANL_OK)
            stop_with(d, "does not compile");
        double seconds = cpu_seconds() - start;
        if (anl_program_check(p, d) != ANL_OK)
            stop_with(d, "the checker refuses the program");
        ck_assert_double_le((double)p->space_bytes[ANL_SPACE_TEMP], 1.1 * (double)p->temp_lower_bound + ANL_ALIGNMENT);
#ifndef __SANITIZE_ADDRESS__
        if (full_size)
            ck_assert_msg(seconds < 1, "compiling took %.2f s", seconds);
#else
        (void)seconds;
#endif
        anl_program_free(&p);
        anl_state_layout_free(&layout);
    }
    anl_traced_free(&traced);
}

START_TEST(stock_specs_compile)
{
    const stock *s = &stocks[_i];
    char path[1024];
    anl_diagnostics *d = anl_diagnostics_new();
    anl_arena *arena = anl_arena_new();
    anl_override *overrides = NULL;
    anl_recipe *recipe = NULL;
    if (anl_overrides_parse(arena, s->overrides, s->count, d, &overrides) != ANL_OK ||
        anl_recipe_read(spec_path(path, sizeof path, s->name), overrides, s->count, anl_folder_specs(arena), d, &recipe) !=
            ANL_OK)
        stop_with(d, "does not read");
    judge(recipe, ANL_TRACE_TRAIN, 0, s->full_size, d);
    judge(recipe, ANL_TRACE_TRAIN, 1 << 20, s->full_size, d); /* the last phase */
    judge(recipe, ANL_TRACE_EVALUATE, 0, s->full_size, d);
    judge(recipe, ANL_TRACE_INITIALIZE, 0, s->full_size, d);
    anl_recipe_free(&recipe);
    anl_arena_free(&arena);
    anl_diagnostics_free(&d);
}
END_TEST

static char *explained(anl_explain_options options)
{
    char *text = NULL, path[1024];
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics *d = anl_diagnostics_new();
    options.spec = spec_path(path, sizeof path, "pretrain/bench.yaml");
    if (anl_explain(&options, out, d) != ANL_OK)
        stop_with(d, "cannot be explained");
    fclose(out);
    anl_diagnostics_free(&d);
    return text;
}

START_TEST(each_stage_is_printed)
{
    char *text = explained((anl_explain_options){.kernel = -1, .checked = true});
    static const char *const said[] = {"parameters",          "FLOPs",         "lower bound", "kernels", "barriers",
                                       "checker      agrees", "encoder.layer1"};
    for (size_t i = 0; i < ANL_COUNT(said); i++)
        ck_assert_msg(strstr(text, said[i]) != NULL, "the summary does not speak of %s", said[i]);
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_GRAPH, .kernel = -1});
    ck_assert_ptr_nonnull(strstr(text, "contract("));
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_PROGRAM, .kernel = 0});
    ck_assert_ptr_nonnull(strstr(text, "convolution gradient by kernel"));
    ck_assert_ptr_nonnull(strstr(text, "store #"));
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_PROGRAM, .evaluate = true, .unfused = true, .kernel = -1});
    ck_assert_ptr_nonnull(strstr(text, "kernels, "));
    free(text);
}
END_TEST

START_TEST(wrong_overrides_are_reported)
{
    char path[1024];
    const char *overrides[] = {"no_such_param=3"};
    anl_diagnostics *d = anl_diagnostics_new();
    anl_explain_options options = {
        .spec = spec_path(path, sizeof path, "pretrain/bench.yaml"), .overrides = overrides, .override_count = 1, .kernel = -1};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ck_assert_int_ne(anl_explain(&options, out, d), ANL_OK);
    fclose(out);
    ck_assert_int_gt(anl_diagnostics_errors(d), 0);
    ck_assert_int_eq(length, 0);
    free(text);
    anl_diagnostics_free(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *c = tcase_create("specs");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, stock_specs_compile, 0, (int)ANL_COUNT(stocks));
    tcase_add_test(c, each_stage_is_printed);
    tcase_add_test(c, wrong_overrides_are_reported);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
