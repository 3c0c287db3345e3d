/* What the seeded harnesses share: random numbers, lines of texts, and what a spec means.
 * In: texts that stand for files. Out: numbers, places, fingerprints.
 * Programs of their own beside the unit tests, since they run as long as one lets them. */
#ifndef ANL_TESTS_HARNESS_H
#define ANL_TESTS_HARNESS_H

#include <anlage/lint.h>

#include "base/base.h"

/* ---- random numbers: the same in every run and on every machine ---- */
uint64_t draw(uint64_t *state);
int draw_below(uint64_t *state, int count); /* 0 … count - 1 */
bool draw_chance(uint64_t *state, int percent);

/* ---- lines, counted from 1 ---- */
const char *line_start(const char *text, int line); /* NULL: there is no such line */
int line_length(const char *start);                 /* without its end */
int line_indent(const char *start);
bool line_blank(const char *start); /* nothing but blanks and comment */
bool has_word(const char *text, size_t length, const char *word);
bool word_byte(char c);

/* ---- processes ---- */
void *shared_memory(size_t bytes); /* zeros, seen by this process and those it starts; never NULL */
/* work in a process of its own, which has so many seconds. False: it crashed or was stopped, and said tells how. */
bool run_apart(void (*work)(void *context), void *context, int seconds, char *said, size_t said_size);

/* ---- meaning ---- */
/* What a recipe declares (its resolved text without titles and descriptions) and what it computes (static facts and graphs of every
 * phase, of evaluation and of the initial values), each as a hash. sound: it could be read and traced without errors. */
typedef struct meaning {
    uint64_t declared, computed;
    bool sound;
} meaning;
meaning meaning_of(const char *path, const anl_lint_options *options);

#endif
