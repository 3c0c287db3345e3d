/* What the files of the editor share: its files, what their last check saw, and what is found in their texts.
 * In: nothing. Out: declarations.
 * Internal to lint/. */
#ifndef ANL_LINT_EDITOR_H
#define ANL_LINT_EDITOR_H

#include <anlage/editor.h>

#include "lint/rules.h"

/* A file as the editor sees it. */
typedef struct editor_file {
    char *path, *identity; /* as it was first named; its real path, or the same */
    char *text;            /* NULL: not read, or not readable */
    size_t length;
    bool open, read;
    struct outline *outline; /* of this text, once it was asked for */
    struct outline *good;    /* of the last text that could be read, while this one cannot */
} editor_file;

/* What something in the text came to. */
typedef struct kept_value {
    const editor_file *file;
    anl_span span;            /* file: not used */
    const char *word;         /* that stands at the place, where it is one */
    const char *path;         /* of the call */
    const char *text;         /* "float32 [view 2, batch 64]", "0.1" */
    const char *const *parts; /* axes of a tensor, members of a result: what may stand behind a dot */
    int part_count;
    bool members;  /* parts are members */
    int64_t bytes; /* of a tensor */
    double flops;
    int others;              /* further calls in which it came to the same */
    struct kept_value *next; /* of the same place */
} kept_value;

typedef struct kept_weight {
    const char *path;
    int64_t count;
} kept_weight;

/* What the last check of a file saw. */
typedef struct editor_check {
    char *path;
    anl_arena *arena;
    const char **files; /* real paths of all that it read */
    int file_count;
    kept_value **values; /* open addressing by place; a power of two */
    int value_count, value_capacity;
    kept_weight *weights;
    int weight_count;
} editor_check;

struct anl_editor {
    editor_file **files;
    int file_count;
    editor_check **checks;
    int check_count;
    anl_arena *answer; /* of the last question */
};

/* A file of which values are seen, by the name that spans give it. */
typedef struct heard_file {
    const char *name;
    const editor_file *file; /* NULL: it is not open, so nobody asks */
    const char **lines;      /* where they begin */
    int line_count;
} heard_file;

/* values.c: for a check that runs; context: the editor_hearing */
typedef struct editor_hearing {
    anl_editor *editor;
    editor_check *check;
    anl_arena *arena;                /* the check's, if it comes to anything */
    struct heard_file *files, *last; /* of which values were seen */
    int file_count, file_capacity;
} editor_hearing;
void editor_hear_value(void *context, const anl_graph *graph, const anl_seen *seen);
void editor_hear_traces(void *context, const anl_lint_pass *pass);

editor_file *editor_need_file(anl_editor *editor, const char *path); /* its text is not read yet */
editor_file *anl_editor_file(anl_editor *editor, const char *path);  /* made where it is not known yet; its text is read */
anl_arena *anl_editor_answer(anl_editor *editor);                    /* a new one */
/* The values of a place, as the checks saw them: the one of `first` before those of others. NULL: none. */
const kept_value *editor_values(const anl_editor *editor, const editor_file *file, anl_span span);
/* The value of a name in a file that may have changed since: of the nearest place before `at`. NULL: none was seen. */
const kept_value *editor_value_named(const anl_editor *editor, const editor_file *file, const char *name, size_t at);
/* Weights whose path fits a glob: how many, and how many numbers they hold. */
int editor_weights(const anl_editor *editor, const char *glob, int64_t *numbers);

#endif
