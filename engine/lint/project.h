/* Names over files: what a mention means, where that is defined, where else it is mentioned.
 * In: outlines of a file and of what it imports. Out: targets and places.
 * The rules are the tracer's (trace/evaluate.c, trace/call.c), applied to the text alone. Internal to lint/. */
#ifndef ANL_LINT_PROJECT_H
#define ANL_LINT_PROJECT_H

#include "lint/editor.h"
#include "lint/outline.h"
#include "ops/ops.h"

/* A file with all that it imports; and, for a library, with what the recipes import that import it. */
typedef struct project {
    anl_arena *arena;
    editor_file **files;
    int count, capacity;
} project;

typedef enum target_kind {
    TARGET_NONE,
    TARGET_SYMBOL,
    TARGET_OPERATION,
    TARGET_FORM,     /* if, since, training, step …: words of the language itself */
    TARGET_ARGUMENT, /* of an operation */
    TARGET_AXIS,
    TARGET_WORD,
    TARGET_FILE,
} target_kind;

typedef struct target {
    target_kind kind;
    const char *name;
    const symbol *symbol; /* the first that defines it */
    const anl_builtin *operation;
    const anl_op_param *param; /* ARGUMENT */
} target;

const outline *editor_outline(anl_editor *editor, editor_file *file); /* of the text as it is, or as it could last be read */
/* The file of an import, or NULL. */
editor_file *editor_import(anl_editor *editor, const editor_file *importer, const char *text);
project project_of(anl_editor *editor, anl_arena *arena, editor_file *file);

/* The symbols of a name: those of `like`'s set of names (values, functions, members, losses, metrics) in a scope. */
const symbol *project_next(const project *p, symbol_kind like, const char *scope, const char *name, const symbol *after);
const symbol *project_value(const project *p, const char *scope, const char *name);
const symbol *project_function(const project *p, const char *name);
bool symbol_same_set(symbol_kind a, symbol_kind b);
bool symbol_is_axis(const symbol *s); /* a param or a rest that stands for axes */

target project_target(const project *p, const mention *m);
bool target_same(const target *a, const target *b);
/* The functions that a callee may be: itself, or those that a module is made of. At most `most`. */
int project_callees(const project *p, const char *scope, const char *name, const symbol **out, int most);
/* The param or input of a function, or of an operation, that an argument is for. */
typedef struct argument_target {
    const symbol *symbol;
    const anl_builtin *operation;
    const anl_op_param *param;
    bool pairs; /* a name of its own: of an axis */
} argument_target;
argument_target project_argument(const project *p, const argument_place *in);
wanted project_wanted(const argument_target *a);
/* The function whose members the value of an expression has, or NULL. */
const symbol *project_result(const project *p, const char *scope, const anl_expression *e, int depth);

#endif
