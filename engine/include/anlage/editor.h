/* What an editor asks of specs while they are typed: problems, names and what they mean, values, candidates, changes.
 * In: texts of files, saved or not, and places in them (bytes from the text's beginning). Out: places, texts for people, edits.
 * Not thread-safe. What is returned is borrowed: good until the next call with the same editor. */
#ifndef ANLAGE_EDITOR_H
#define ANLAGE_EDITOR_H

#include <anlage/diagnostic.h>
#include <anlage/lint.h>
#include <anlage/status.h>

typedef struct anl_editor anl_editor;

anl_editor *anl_editor_new(void);
void anl_editor_free(anl_editor **editor);

/* From now on this text stands for the file; it is copied. */
void anl_editor_open(anl_editor *editor, const char *path, const char *text, size_t length);
/* The file stands for itself again. */
void anl_editor_close(anl_editor *editor, const char *path);
/* Files on the disk may have changed. */
void anl_editor_refresh(anl_editor *editor);
/* A file's text, open or on the disk; NULL: it cannot be read. */
const char *anl_editor_text(anl_editor *editor, const char *path, size_t *length);
/* The folder with the pages of the rules, A0213.md and so on. */
const char *anl_editor_pages(void);

/* anl_lint of a file, with the open texts in place of the options' documents. What its values came to is kept for
 * anl_editor_hover. */
anl_status anl_editor_check(anl_editor *editor, const char *path, const anl_lint_options *options, anl_diagnostics *diagnostics);
/* Whether a file reads another one, as its last check saw: by an import, or an import's import. */
bool anl_editor_reads(anl_editor *editor, const char *path, const char *other);

#endif
