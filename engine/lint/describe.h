/* Places and names as people read them: what stands at a place, and texts about it.
 * In: a place, a target. Out: markdown.
 * Internal to lint/. */
#ifndef ANL_LINT_DESCRIBE_H
#define ANL_LINT_DESCRIBE_H

#include "lint/project.h"

/* What stands at a place of a file. */
typedef struct place_of_name {
    editor_file *file;
    int line, column; /* from 1; line 0: the file cannot be read */
    size_t offset;
    const mention *mention; /* NULL: no name */
    target target;
    project project;
} place_of_name;

place_of_name place_find(anl_editor *editor, anl_arena *arena, const char *path, size_t at);

const char *symbol_word(symbol_kind kind);                              /* "function" */
const char *symbol_detail(anl_arena *arena, const symbol *s);           /* "= 0.1", "[channel, ~space]"; or NULL */
void describe_symbol(anl_text *out, const project *p, const symbol *s); /* what it is, its signature, its doc */
void describe_operation(anl_text *out, const anl_builtin *b);
void describe_argument(anl_text *out, const anl_op_param *param);
void describe_key(anl_text *out, const anl_key *key);

#endif
