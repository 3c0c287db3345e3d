/* The little JSON (RFC 8259) that reading manifests takes.
 * In: text. Out: its values as they come (manifests are long where packs are large), or a tree of them.
 * Used by one thread. Numbers are read in the locale of C, which the program never leaves. */
#ifndef ANL_DATA_JSON_READER_H
#define ANL_DATA_JSON_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Start with {.arena = arena, .at = text}. */
typedef struct anl_json_reader {
    anl_arena *arena; /* of strings */
    const char *at;
    bool bad;
} anl_json_reader;

bool anl_json_take(anl_json_reader *j, char c); /* whether it is next, past which it goes then */
/* A string without its quotes; escapes are decoded (surrogates, which file names of ours never hold, are refused). */
const char *anl_json_take_string(anl_json_reader *j);
int64_t anl_json_take_integer(anl_json_reader *j); /* 0 or more */
void anl_json_skip_value(anl_json_reader *j);

typedef enum anl_json_kind { ANL_JSON_TEXT, ANL_JSON_NUMBER, ANL_JSON_OBJECT, ANL_JSON_ARRAY } anl_json_kind;
typedef struct anl_json_value {
    anl_json_kind kind;
    const char *key;  /* in an object, else NULL */
    const char *text; /* of texts, and numbers as they are written */
    double number;
    struct anl_json_value *first, *next; /* what it holds, and what follows it there */
} anl_json_value;

/* NULL: it is not well-formed. */
const anl_json_value *anl_json_tree(anl_arena *arena, const char *text);
/* NULL, "" or 0: there is none. v may be NULL. */
const anl_json_value *anl_json_child(const anl_json_value *v, const char *key);
const char *anl_json_text_of(const anl_json_value *v, const char *key);
double anl_json_number_of(const anl_json_value *v, const char *key);

#endif
