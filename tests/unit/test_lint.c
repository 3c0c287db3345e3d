/* Tests of the public face of specs: loading, checking by tracing, printing, and damage that reaches the tracer.
 * In: specs of tests/specs and specs/ of the source tree (ANL_TEST_ROOT). Out: check's report. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>
#include <anlage/spec.h>

#include "base/base.h"

static const char *path_of(const char *name)
{
    static char path[1024];
    const char *root = getenv("ANL_TEST_ROOT");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    return path;
}

static anl_status lint(const char *path, const char *const *sets, int count, anl_diagnostics *diagnostics)
{
    anl_spec *spec = NULL;
    anl_status status = anl_spec_load(path, sets, count, diagnostics, &spec);
    if (spec) {
        anl_status checked = anl_spec_check(spec, diagnostics);
        status = status != ANL_OK ? status : checked;
    }
    anl_spec_free(&spec);
    ck_assert_ptr_null(spec);
    return status;
}

/* One set of arguments, the status and the code of the first diagnostic (0: none). */
static const struct {
    const char *path, *set;
    anl_status status;
    anl_code code;
} cases[] = {
    {"tests/specs/parts/small.yaml", NULL, ANL_OK, 0},
    {"tests/specs/accepted/functions.yaml", NULL, ANL_OK, 0}, /* a library: nothing to trace */
    {"tests/specs/accepted/queue.yaml", "memory=32", ANL_OK, 0},
    {"tests/specs/accepted/queue.yaml", "memory=8", ANL_ERROR_SPEC, 0}, /* smaller than the batch: found by tracing */
    {"tests/specs/accepted/queue.yaml", "memory", ANL_ERROR_ARGUMENT, ANL_A_unknown_param},
    {"tests/specs/accepted/queue.yaml", "memroy=8", ANL_ERROR_SPEC, ANL_A_unknown_param},
    {"tests/specs/accepted/queue.yaml", "memory=8 9", ANL_ERROR_SPEC, ANL_A_expression_syntax},
    {"tests/specs/nothing.yaml", NULL, ANL_ERROR_FILE, ANL_A_file_unreadable},
    {"tests/specs/rejected/missing_import.yaml", NULL, ANL_ERROR_SPEC, ANL_A_import_missing},
    {"tests/specs/rejected/cycle.yaml", NULL, ANL_ERROR_SPEC, ANL_A_cycle},
    {"tests/specs/warned/unused.yaml", NULL, ANL_OK, ANL_A_unused_name},
    {"specs/pretrain/bench.yaml", NULL, ANL_OK, ANL_A_few_samples}, /* its suppressions are anl_lint's */
    {"specs/finetune/classify.yaml", "classes=3", ANL_OK, 0},
};

START_TEST(test_statuses)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = lint(path_of(cases[_i].path), &cases[_i].set, cases[_i].set ? 1 : 0, diagnostics);
    int count = anl_diagnostics_count(diagnostics);
    ck_assert_msg(status == cases[_i].status, "%s: status %d", cases[_i].path, status);
    if (cases[_i].code || cases[_i].status == ANL_OK)
        ck_assert_int_eq(count ? anl_diagnostics_get(diagnostics, 0)->code : 0, cases[_i].code);
    ck_assert_int_eq(anl_diagnostics_errors(diagnostics) > 0, status != ANL_OK);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(test_print)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    const char *set = "memory=32";
    anl_spec *spec = NULL;
    ck_assert_int_eq(anl_spec_load(path_of("tests/specs/accepted/queue.yaml"), &set, 1, diagnostics, &spec), ANL_OK);
    char name[] = "/tmp/anlage-lint-XXXXXX";
    int file = mkstemp(name);
    ck_assert_int_ge(file, 0);
    FILE *out = fdopen(file, "w");
    ck_assert_int_eq(anl_spec_print(spec, out), ANL_OK);
    fclose(out);
    anl_spec_free(&spec);
    ck_assert_int_eq(lint(name, NULL, 0, diagnostics), ANL_OK); /* by itself: no imports, and memory is 32 */
    ck_assert_int_eq(anl_diagnostics_count(diagnostics), 0);
    unlink(name);
    ck_assert_int_eq(anl_spec_load(path_of("tests/specs/rejected/unknown_key.yaml"), NULL, 0, diagnostics, &spec),
                     ANL_ERROR_SPEC);
    ck_assert_ptr_nonnull(spec);
    ck_assert_int_eq(anl_spec_print(spec, stdout), ANL_ERROR_ARGUMENT);
    anl_spec_free(&spec);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* Words of a spec exchanged for other words, of it or likely ones: most of these are still YAML and expressions, and go wrong
 * later. */
START_TEST(test_exchanged_words)
{
    static const char *const paths[] = {"tests/specs/parts/small.yaml", "tests/specs/accepted/queue.yaml",
                                        "tests/specs/accepted/hybrid.yaml", "tests/specs/accepted/optimizer_rule.yaml"};
    static const char *const likely[] = {
        "batch",     "all",    "space",    "rest", "0",          "-1",   "1e30", "2147483647", "mean",   "rename",
        "replicate", "weight", "gradient", "true", "since(1ep)", "step", "_",    "10ep",       "[y, x]", "concat([x, x], axis=y)",
        "next(x)"};
    char name[] = "/tmp/anlage-lint-XXXXXX";
    int file = mkstemp(name), good = 0, wrong = 0;
    ck_assert_int_ge(file, 0);
    close(file);
    uint64_t state = 77;
    for (size_t k = 0; k < ANL_COUNT(paths); k++) {
        anl_arena *arena = anl_arena_new();
        char *text;
        size_t length;
        ck_assert_int_eq(anl_file_read(arena, path_of(paths[k]), 0, &text, &length), ANL_OK);
        struct {
            size_t start, length;
        } words[2000];
        int count = 0;
        for (size_t i = 0; i < length && count < 2000; i++)
            if (is_word(text[i]) && (!i || !is_word(text[i - 1]))) {
                size_t end = i;
                while (end < length && is_word(text[end]))
                    end++;
                words[count].start = i;
                words[count++].length = end - i;
            }
        for (int n = 0; n < 60; n++) {
            anl_text damaged = {0};
            int at = (int)(next_random(&state) % (uint64_t)count), from = (int)(next_random(&state) % (uint64_t)count);
            bool own = next_random(&state) % 2;
            const char *word = likely[next_random(&state) % ANL_COUNT(likely)];
            anl_text_addn(&damaged, text, words[at].start);
            if (own)
                anl_text_addn(&damaged, text + words[from].start, words[from].length);
            else
                anl_text_add(&damaged, word);
            size_t behind = words[at].start + words[at].length;
            anl_text_addn(&damaged, text + behind, length - behind);
            FILE *f = fopen(name, "wb");
            ck_assert_uint_eq(fwrite(damaged.data, 1, damaged.length, f), damaged.length);
            fclose(f);
            anl_text_free(&damaged);
            anl_diagnostics *diagnostics = anl_diagnostics_new();
            anl_status status = lint(name, NULL, 0, diagnostics);
            ck_assert_int_eq(anl_diagnostics_errors(diagnostics) > 0, status != ANL_OK); /* no failure without a reason */
            good += status == ANL_OK;
            wrong += status != ANL_OK;
            anl_diagnostics_free(&diagnostics);
        }
        anl_arena_free(&arena);
    }
    ck_assert_int_gt(good, 10);
    ck_assert_int_gt(wrong, 50);
    unlink(name);
}
END_TEST

int main(void)
{
    setenv("ANLAGE_SPECS", path_of("specs"), 1);
    Suite *suite = suite_create("lint");
    TCase *all = tcase_create("lint");
    tcase_add_loop_test(all, test_statuses, 0, ANL_COUNT(cases));
    tcase_add_test(all, test_print);
    tcase_add_test(all, test_exchanged_words);
    tcase_set_timeout(all, 300);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
