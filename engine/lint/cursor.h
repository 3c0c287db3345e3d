/* Where a cursor stands in a text that need not be sound: under which keys, in which call, behind which dot.
 * In: the text up to the cursor. Out: the context for completion.
 * Reads what one writes in a spec, not all of YAML; nothing in front of the cursor can make it fail. Internal to lint/. */
#ifndef ANL_LINT_CURSOR_H
#define ANL_LINT_CURSOR_H

#include "base/base.h"

enum { CURSOR_DEPTH = 64, CURSOR_ARGUMENTS = 32 };

typedef struct cursor_call {
    const char *callee;
    const char *arguments[CURSOR_ARGUMENTS]; /* names of those so far, the current one last; NULL: given by position */
    int count;
    bool begins; /* nothing but the word at the cursor stands in the current one */
} cursor_call;

typedef struct cursor {
    const char *path[CURSOR_DEPTH]; /* keys from the top; "-" for the items of a list */
    int depth;
    bool key;         /* a key of the mapping at path may begin here */
    bool value;       /* a value of path may stand here */
    size_t from;      /* where the scalar begins */
    char quote;       /* 0, ' or " */
    size_t word;      /* where the word at the cursor begins */
    const char *base; /* behind a dot: the name before it, "" where it is no name; else NULL */
    bool slice;       /* behind x[: the name of an axis */
    cursor_call call; /* callee NULL: in none */
    bool item;        /* of a list of steps: behind a dash */
} cursor;

void cursor_find(anl_arena *arena, const char *text, size_t at, cursor *out);

#endif
