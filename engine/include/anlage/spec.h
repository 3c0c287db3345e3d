/* Specs: reading and checking them without running anything.
 * In: a spec file and overrides of its params. Out: every problem in it, and the spec with its imports resolved, as one YAML
 * text. A loaded spec is immutable; it may be used from several threads, each with its own diagnostics. */
#ifndef ANLAGE_SPEC_H
#define ANLAGE_SPEC_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdio.h>

typedef struct anl_spec anl_spec;

/* A text that stands for the file of that path, whether there is one or not. */
typedef struct anl_document {
    const char *path, *text;
    size_t length;
} anl_document;

/* Reads a spec with its imports. overrides: "name=value" texts for its params. Problems that show without following the
 * computation (YAML, expressions, keys, names of params, types, ranges) go to diagnostics. *out is the spec as far as it was
 * understood, so that anl_spec_check can find more, or NULL where the file could not be read at all; free it with anl_spec_free.
 * ANL_OK: no errors. ANL_ERROR_FILE: the file cannot be read. ANL_ERROR_SPEC, ANL_ERROR_ARGUMENT: it, or an override, is wrong.
 */
anl_status anl_spec_load(const char *path, const char *const *overrides, int count, anl_diagnostics *diagnostics, anl_spec **out);

/* The same, where documents stand for files, the spec itself or its imports. */
anl_status anl_spec_load_documents(const char *path, const anl_document *documents, int document_count, const char *const *overrides,
                                   int count, anl_diagnostics *diagnostics, anl_spec **out);

/* Follows the whole computation of the spec (for each phase of training, for evaluation, and for its initial values) with static
 * axes, without data and without a device: names, axes, gradients, rules. A file of functions alone has nothing to follow.
 * ANL_OK: no errors here nor in anl_spec_load. */
anl_status anl_spec_check(const anl_spec *spec, anl_diagnostics *diagnostics);

/* The spec with imports and overrides resolved, as one YAML file. Only for a spec that was read without errors, else
 * ANL_ERROR_ARGUMENT. */
anl_status anl_spec_print(const anl_spec *spec, FILE *out);

void anl_spec_free(anl_spec **spec);

#endif
