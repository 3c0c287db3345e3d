/* The linter: every problem of a spec in one report, without device and without data.
 * In: a spec, as file or as unsaved text, and what it is to be judged against. Out: diagnostics.
 * One checker serves `lint`, `train`, `explain` and editors. No state is kept: usable from several threads at once. */
#ifndef ANLAGE_LINT_H
#define ANLAGE_LINT_H

#include <anlage/diagnostic.h>
#include <anlage/spec.h>
#include <anlage/status.h>

typedef struct anl_lint_options {
    const char *const *overrides; /* "name=value" */
    int override_count;
    const anl_document *documents; /* texts that stand for files: unsaved ones of an editor, standard input */
    int document_count;
    const char *const *data; /* shards (files or globs) that the spec is to be judged against */
    int data_count;
    const char *assume; /* a device, "memory=8GiB,storage_range=128MiB,…" (resources.h lists the names), or NULL: fitting is not judged */
} anl_lint_options;

/* Reads the spec and judges it by every rule; inline suppressions (`# lint: allow A0123 because …`) are applied.
 * ANL_OK: no errors (warnings there may be). ANL_ERROR_FILE: it cannot be read. ANL_ERROR_SPEC, ANL_ERROR_ARGUMENT: errors. */
anl_status anl_lint(const char *path, const anl_lint_options *options, anl_diagnostics *diagnostics);

/* Judges a spec that is loaded, without the suppressions. options may be NULL; its overrides and documents are not read. */
anl_status anl_spec_judge(const anl_spec *spec, const anl_lint_options *options, anl_diagnostics *diagnostics);

/* The comment that allows a warning where it stands, for a person to give the reason in it: *where is the place to put it. Allocated,
 * to be freed by the caller; NULL: an error, which cannot be allowed, or no place for a comment. */
char *anl_lint_allowance(const anl_diagnostics *diagnostics, const anl_diagnostic *d, anl_span *where);

/* A text with all safe fixes made that the diagnostics offer for `file`; where two overlap, the first is made. *out: allocated, to be
 * freed by the caller; *count: fixes made. ANL_ERROR_ARGUMENT: the file's text is not among the sources. */
anl_status anl_lint_fix(const anl_diagnostics *diagnostics, const char *file, char **out, size_t *length, int *count);

#endif
