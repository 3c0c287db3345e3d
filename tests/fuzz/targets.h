/* What is fuzzed: each target takes any bytes, and must neither crash, hang, leak nor contradict itself.
 * In: bytes. Out: nothing; a contradiction aborts.
 * Built twice: with libFuzzer (fuzz_NAME), and into the unit test that replays the corpus. targets.c has those of specs, readers.c those of files. */
#ifndef ANL_FUZZ_TARGETS_H
#define ANL_FUZZ_TARGETS_H

#include <stddef.h>

typedef struct fuzz_target {
    const char *name; /* of its folder in tests/fuzz/corpus */
    void (*run)(const char *text, size_t length);
} fuzz_target;
extern const fuzz_target fuzz_targets[], fuzz_readers[];
extern const int fuzz_target_count, fuzz_reader_count;
extern long fuzz_files_read; /* by the readers' targets, with success, or that the build has no library for: a target that reads none tests nothing */

#endif
