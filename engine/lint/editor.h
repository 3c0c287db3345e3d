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
} editor_file;

/* What the last check of a file saw. */
typedef struct editor_check {
    char *path;
    anl_arena *arena;
    const char **files; /* real paths of all that it read */
    int file_count;
} editor_check;

struct anl_editor {
    editor_file **files;
    int file_count;
    editor_check **checks;
    int check_count;
    anl_arena *answer; /* of the last question */
};

editor_file *anl_editor_file(anl_editor *editor, const char *path); /* made where it is not known yet; its text is read */
anl_arena *anl_editor_answer(anl_editor *editor);                   /* a new one */

#endif
