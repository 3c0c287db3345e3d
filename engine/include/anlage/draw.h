/* Drawing a spec: the dataflow of a training step or of evaluation as a graph for Graphviz.
 * In: a spec file and overrides of its params. Out: text in the DOT language. Needs neither a device nor data.
 * Thread-safe: every call stands alone. */
#ifndef ANLAGE_DRAW_H
#define ANLAGE_DRAW_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct anl_draw_options {
    const char *spec;
    const char *const *overrides; /* "name=value" */
    int override_count;
    bool evaluate; /* evaluation instead of training */
    int64_t step;  /* training: the phase that this step belongs to; -1: the last phase, in which all is in use */
    int depth;     /* parts of a path that are drawn apart where weights are, one fewer elsewhere; 0: 3 */
} anl_draw_options;

/* Prints the forward part: from the fields to the losses, metrics and new values of states. Equal specs give equal texts.
 * ANL_ERROR_SPEC: the spec is wrong, diagnostics say where; ANL_ERROR_FILE, ANL_ERROR_ARGUMENT: it, or an override, cannot be
 * read. */
anl_status anl_draw(const anl_draw_options *options, FILE *out, anl_diagnostics *diagnostics);

#endif
