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

/* Another file that may mention names: of a workspace. It is read when a question needs it. */
void anl_editor_know(anl_editor *editor, const char *path);

/* What stands at a place: documentation of operations, functions, params and keys; kind, axes, sizes and cost of values, as the
 * last checks saw them. Markdown; NULL: nothing is known of it. *range: what it is about. */
const char *anl_editor_hover(anl_editor *editor, const char *path, size_t at, anl_span *range);

/* Where the name at a place is defined: several places where a spec overrides what it imports; a file for an import. Returns how
 * many. */
int anl_editor_definition(anl_editor *editor, const char *path, size_t at, const anl_span **out);
/* Where it is mentioned, in all files that are known. */
int anl_editor_references(anl_editor *editor, const char *path, size_t at, bool definitions, const anl_span **out);
/* The name at a place, if it can be changed; else NULL, and why not. */
const char *anl_editor_renamed(anl_editor *editor, const char *path, size_t at, anl_span *range, const char **problem);
/* The edits that give it another name everywhere. ANL_ERROR_ARGUMENT: it cannot have that name, for the reason in *problem. */
anl_status anl_editor_rename(anl_editor *editor, const char *path, size_t at, const char *name, const anl_edit **edits,
                             int *count, const char **problem);

/* What a file defines, in its order. */
typedef struct anl_editor_symbol {
    const char *kind; /* "section", "function", "input", "param", "weight", "state", "node", "member", "view", "module", … */
    const char *name, *detail;
    anl_span span;     /* of the name */
    size_t start, end; /* of the whole */
    int depth;         /* 0: a section; the symbols behind with a greater depth lie inside */
} anl_editor_symbol;
int anl_editor_symbols(anl_editor *editor, const char *path, const anl_editor_symbol **out);

/* What may stand at a place. */
typedef struct anl_completion {
    const char *kind; /* as of symbols; besides "key", "operation", "word", "axis", "argument", "file", "unit" */
    const char *label;
    const char *text;         /* what replaces the word at the place */
    const char *detail, *doc; /* doc: markdown; either may be NULL */
    int order;                /* the likely ones have the lower numbers */
} anl_completion;
/* Works in texts that are broken. *from: where the word at the place begins; candidates begin with any letters, the client
 * chooses. */
int anl_editor_complete(anl_editor *editor, const char *path, size_t at, size_t *from, const anl_completion **out);

#endif
