/* Preview: a contact sheet of real samples and of what a recipe's views make of them.
 * In: a spec file, overrides, its shards, a device by name. Out: one PNG or HTML file that people look at.
 * Reads the spec anew, opens the device, and leaves nothing behind but the file. One call at a time per thread. */
#ifndef ANLAGE_PREVIEW_H
#define ANLAGE_PREVIEW_H

#include <anlage/diagnostic.h>
#include <anlage/run.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct anl_preview_options {
    anl_run_source source;
    const char *split; /* train, valid, test; NULL: train */
    const char *out;   /* FILE.png or FILE.html */
    int samples;       /* rows; 0: 4, with strength 1 */
    int64_t seed;      /* of order and draws; -1: the recipe's */
    bool strength;     /* a row for each augmentation: its draws at the low end, the middle and the high end of their ranges */
    double
        window[2]; /* centre and width of the grey levels of samples that have a unit; width 0: HU 40, 400, else from the data */
} anl_preview_options;

typedef struct anl_preview_report {
    int samples, rows, views;
    int width, height; /* pixels of a PNG; else 0 */
} anl_preview_report;

/* Writes the sheet: the first samples in training order with the views of training's first step, exactly as training with the
 * same seed sees them. The same recipe, shards, seed and device give the same bytes. ANL_ERROR_SPEC, _FILE: the recipe or its
 * shards are wrong; ANL_ERROR_ARGUMENT: nothing to show (A0832), or a file of another kind (A0830); the file is then as it was.
 */
anl_status anl_preview(const anl_preview_options *options, anl_preview_report *report, anl_diagnostics *diagnostics);

#endif
