/* The corpus of the fuzz targets, replayed: every file that made trouble once, and a choice of others.
 * In: tests/fuzz/corpus/TARGET. Out: check's report, one case a target.
 * Under the sanitizers this finds what the fuzzer found. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/targets.h"

static void replay(const fuzz_target *target)
{
    const char *root = getenv("ANL_TEST_ROOT");
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/%s", root ? root : ".", target->name);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort), replayed = 0;
    ck_assert_msg(count > 2, "no corpus in %s", folder);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        FILE *file = entries[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        free(entries[i]);
        if (!file)
            continue;
        static char text[1 << 20];
        size_t length = fread(text, 1, sizeof text, file);
        fclose(file);
        char *exact = malloc(length ? length : 1); /* so that a sanitizer sees what reads beyond its end */
        memcpy(exact, text, length);
        target->run(exact, length);
        free(exact);
        replayed++;
    }
    free(entries);
    ck_assert_int_gt(replayed, 0);
}

START_TEST(replay_specs) { replay(&fuzz_targets[_i]); }
END_TEST

START_TEST(replay_files)
{
    const long before = fuzz_files_read;
    replay(&fuzz_readers[_i]);
    ck_assert_int_gt(fuzz_files_read - before, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus");
    TCase *targets = tcase_create("targets");
    tcase_set_timeout(targets, 300);
    tcase_add_loop_test(targets, replay_specs, 0, fuzz_target_count);
    tcase_add_loop_test(targets, replay_files, 0, fuzz_reader_count);
    suite_add_tcase(suite, targets);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
