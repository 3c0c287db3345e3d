/* What a recipe needs of a device: numbers worked out by hand, and the largest batch against trying.
 * In: small recipes as texts, and stock specs. Out: check's report. */
#include <anlage/lint.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lint/resources.h"
#include "run/session.h"
#include "small_recipe.h"

static anl_recipe *read_small(anl_diagnostics *d)
{
    anl_document document = {"small.yaml", small_recipe, sizeof small_recipe - 1};
    anl_recipe *recipe = NULL;
    anl_status status = anl_recipe_read_documents("small.yaml", &document, 1, NULL, 0, NULL, d, &recipe);
    if (status != ANL_OK) {
        anl_diagnostics_print(d, stderr, false);
        ck_abort_msg("the small recipe does not read");
    }
    return recipe;
}

/* Codes that the linter reports, the text of the report in *report. */
static int lint(const char *path, const anl_document *document, const char *set, const char *assume, anl_code code, char **report)
{
    anl_lint_options options = {.overrides = &set,
                                .override_count = set != NULL,
                                .documents = document,
                                .document_count = document != NULL,
                                .assume = assume};
    anl_diagnostics *d = anl_diagnostics_new();
    anl_lint(path, &options, d);
    int count = 0;
    for (int i = 0; i < anl_diagnostics_count(d); i++)
        count += anl_diagnostics_get(d, i)->code == code;
    size_t length = 0;
    FILE *out = report ? open_memstream(report, &length) : NULL;
    if (out) {
        anl_diagnostics_print(d, out, false);
        fclose(out);
    }
    anl_diagnostics_free(&d);
    return count;
}

START_TEST(needs_are_those_worked_out_by_hand)
{
    anl_diagnostics *d = anl_diagnostics_new();
    anl_recipe *recipe = read_small(d);
    anl_built built;
    ck_assert_int_eq(anl_build(recipe, 0, d, &built), ANL_OK);
    ck_assert_int_eq(anl_built_compile(&built, -1, NULL, d), ANL_OK);
    ck_assert_int_eq(built.phases, 1);
    ck_assert_int_eq(built.count, 3); /* with evaluation and the first values */
    /* A matrix of 6 and a bias of 3, each of its own kind, so in arenas of 64 elements each; a velocity for each; and 10 of
     * `seen`: five spaces of 256 bytes. */
    ck_assert_int_eq(built.layout->bytes, 5 * 256);
    /* 8 images of 2 x 8 x 8 floats; 8 labels of 3. */
    const anl_program *train = built.programs[0];
    ck_assert_int_eq(train->space_bytes[ANL_SPACE_INPUT], 8 * 128 * 4 + 256);
    anl_limits none = {0};
    anl_footprint needs = anl_built_footprint(&built, &none);
    ck_assert_int_eq(needs.state, 5 * 256);
    ck_assert_int_eq(needs.planned, train->space_bytes[ANL_SPACE_TEMP]);
    ck_assert_int_eq(needs.edges, train->space_bytes[ANL_SPACE_INPUT] + train->space_bytes[ANL_SPACE_OUTPUT] +
                                      train->space_bytes[ANL_SPACE_TABLE]);
    ck_assert_int_eq(needs.total, needs.state + needs.planned + needs.edges + needs.partials);
    ck_assert_int_eq(needs.largest, 8 * 128 * 4);
    ck_assert_str_eq(needs.largest_name, "image");
    anl_built_free(&built);
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&d);
}
END_TEST

/* The batch that is found fits, and the next larger one does not, as compiling them says. */
START_TEST(largest_batch_is_the_largest)
{
    static const int64_t memories[] = {16 << 10, 100 << 10, 1 << 20, 3 << 20};
    anl_diagnostics *d = anl_diagnostics_new();
    anl_recipe *recipe = read_small(d);
    anl_document document = {"small.yaml", small_recipe, sizeof small_recipe - 1};
    for (size_t i = 0; i < ANL_COUNT(memories); i++) {
        anl_limits limits = {.name = "it", .memory = memories[i]};
        anl_built built;
        ck_assert_int_eq(anl_build(recipe, 0, d, &built), ANL_OK);
        ck_assert_int_eq(anl_built_compile(&built, -1, NULL, d), ANL_OK);
        anl_footprint needs = anl_built_footprint(&built, &limits);
        int64_t batch = anl_largest_batch(recipe, 0, &limits, &needs);
        anl_built_free(&built);
        ck_assert_int_gt(batch, 0);
        char set[32], assume[32];
        snprintf(assume, sizeof assume, "memory=%lld", (long long)memories[i]);
        snprintf(set, sizeof set, "batch=%lld", (long long)batch);
        ck_assert_msg(lint("small.yaml", &document, set, assume, ANL_A_memory_exceeded, NULL) == 0, "%s does not fit %s", set,
                      assume);
        snprintf(set, sizeof set, "batch=%lld", (long long)batch + 1);
        ck_assert_msg(lint("small.yaml", &document, set, assume, ANL_A_memory_exceeded, NULL) == 1, "%s fits %s", set, assume);
    }
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&d);
}
END_TEST

/* Only the image is larger than a range: 512 bytes a sample. The param's range ends before the limit is reached, too. */
START_TEST(largest_tensor_bounds_the_batch)
{
    anl_diagnostics *d = anl_diagnostics_new();
    anl_recipe *recipe = read_small(d);
    anl_built built;
    ck_assert_int_eq(anl_build(recipe, 0, d, &built), ANL_OK);
    ck_assert_int_eq(anl_built_compile(&built, -1, NULL, d), ANL_OK);
    anl_limits limits = {.name = "it", .storage_range = 5200};
    anl_footprint needs = anl_built_footprint(&built, &limits);
    ck_assert_int_eq(anl_largest_batch(recipe, 0, &limits, &needs), 10);
    limits.storage_range = (int64_t)1 << 40;
    ck_assert_int_eq(anl_largest_batch(recipe, 0, &limits, &needs), 100000);
    limits.storage_range = 500;
    ck_assert_int_eq(anl_largest_batch(recipe, 0, &limits, &needs), 0);
    anl_built_free(&built);
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&d);
    anl_document document = {"small.yaml", small_recipe, sizeof small_recipe - 1};
    char *report = NULL;
    ck_assert_int_eq(lint("small.yaml", &document, "batch=20", "storage_range=5200", ANL_A_device_range, &report), 1);
    ck_assert_ptr_nonnull(strstr(report, "small.yaml:8:7: error[A0706]: the tensor `image` takes 10.0 KiB"));
    ck_assert_ptr_nonnull(strstr(report, "--set batch=10"));
    free(report);
}
END_TEST

START_TEST(what_takes_most_is_named)
{
    char path[1024], *report = NULL;
    const char *root = getenv("ANL_TEST_ROOT");
    snprintf(path, sizeof path, "%s/specs/pretrain/swav.yaml", root ? root : ".");
    ck_assert_int_eq(lint(path, NULL, NULL, "memory=128MiB", ANL_A_memory_exceeded, &report), 1);
    ck_assert_ptr_nonnull(strstr(report, "swav.yaml:10:20: error[A1201]"));
    ck_assert_ptr_nonnull(strstr(report, "most of it in encoder.layer1"));
    free(report);
    anl_document document = {"small.yaml", small_recipe, sizeof small_recipe - 1};
    ck_assert_int_eq(lint("small.yaml", &document, "slots=1048576", "memory=2MiB", ANL_A_memory_exceeded, &report), 1);
    ck_assert_ptr_nonnull(strstr(report, "most of it in seen 4.0 MiB"));
    ck_assert_ptr_nonnull(strstr(report, "no batch fits"));
    free(report);
    /* nothing is said without a device */
    ck_assert_int_eq(lint("small.yaml", &document, "slots=1048576", NULL, ANL_A_memory_exceeded, NULL), 0);
}
END_TEST

START_TEST(descriptions_are_read)
{
    static const struct {
        const char *text;
        int64_t memory, range;
    } good[] = {{"memory=8GiB", (int64_t)8 << 30, 0},
                {"storage_range=128MiB,memory=1.5KiB", 1536, 128 << 20},
                {"memory=2GB,invocations=256,shared_memory=32KiB", 2000000000, 0},
                {"memory=1000", 1000, 0}};
    for (size_t i = 0; i < ANL_COUNT(good); i++) {
        anl_diagnostics *d = anl_diagnostics_new();
        anl_limits limits;
        ck_assert_int_eq(anl_assume_parse(good[i].text, d, &limits), ANL_OK);
        ck_assert_int_eq(limits.memory, good[i].memory);
        ck_assert_int_eq(limits.storage_range, good[i].range);
        ck_assert_int_eq(anl_diagnostics_count(d), 0);
        anl_diagnostics_free(&d);
    }
    static const char *const wrong[] = {"",
                                        "memory",
                                        "memory=",
                                        "memory=8XiB",
                                        "memory=-1",
                                        "memroy=8GiB",
                                        "memory=8GiB;x=1",
                                        "invocations=64",
                                        "memory=0",
                                        "memory=99999999999TiB"};
    for (size_t i = 0; i < ANL_COUNT(wrong); i++) {
        anl_diagnostics *d = anl_diagnostics_new();
        anl_limits limits;
        ck_assert_msg(anl_assume_parse(wrong[i], d, &limits) == ANL_ERROR_ARGUMENT, "`%s` was accepted", wrong[i]);
        ck_assert_int_eq(anl_diagnostics_get(d, 0)->code, ANL_A_assume_invalid);
        if (i == 5)
            ck_assert_str_eq(anl_diagnostics_get(d, 0)->suggestion, "did you mean `memory`?");
        anl_diagnostics_free(&d);
    }
}
END_TEST

/* State of more bytes than this machine has: told with its place before anything is allocated. */
START_TEST(runs_are_judged_before_they_begin)
{
    enum { SLOTS = 1000000000 };
#ifndef __SANITIZE_ADDRESS__
    struct rlimit most = {(rlim_t)4 << 30, (rlim_t)4 << 30}; /* should it be allocated all the same */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &most), 0);
#endif
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    char path[] = "/tmp/anlage-large-XXXXXX", *text = strdup(small_recipe), *graph = strstr(text, "graph:\n");
    FILE *file = fdopen(mkstemp(path), "w");
    fwrite(text, 1, (size_t)(graph - text), file);
    for (int i = 0; i < memory / (4 * (int64_t)SLOTS) + 2; i++)
        fprintf(file, "  large%d: {axes: {slot: %d}, init: 0, update: large%d + 1}\n", i, SLOTS, i);
    fputs(graph, file);
    fclose(file);
    anl_run_source source = {.spec = path, .device = "host", .threads = 1};
    anl_diagnostics *d = anl_diagnostics_new();
    anl_session *s = NULL;
    ck_assert_int_eq(anl_session_open(&source, d, &s), ANL_OK);
    ck_assert_int_eq(anl_session_prepare(s, &source, ANL_PREPARE_TRAIN, 1000, NULL, 0, d), ANL_ERROR_LIMIT);
    ck_assert_int_eq(anl_diagnostics_errors(d), 1); /* that nothing reads these states is a warning */
    const anl_diagnostic *told = anl_diagnostics_get(d, anl_diagnostics_count(d) - 1);
    ck_assert_int_eq(told->code, ANL_A_memory_exceeded);
    ck_assert_int_eq(told->span.line, 3); /* the batch */
    ck_assert_ptr_nonnull(strstr(told->message, "(host) has "));
    ck_assert_ptr_nonnull(strstr(told->notes[told->note_count - 1], "large0 3.7 GiB"));
    ck_assert_ptr_nonnull(strstr(told->suggestion, "no batch fits"));
    anl_session_free(&s);
    anl_diagnostics_free(&d);
    unlink(path);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resources");
    TCase *c = tcase_create("fit");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, needs_are_those_worked_out_by_hand);
    tcase_add_test(c, largest_batch_is_the_largest);
    tcase_add_test(c, largest_tensor_bounds_the_batch);
    tcase_add_test(c, what_takes_most_is_named);
    tcase_add_test(c, descriptions_are_read);
    tcase_add_test(c, runs_are_judged_before_they_begin);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
