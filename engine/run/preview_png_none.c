/* Stands in for preview_png.c in builds without cairo.
 * In: a sheet that should become a PNG. Out: a diagnostic that says what is missing.
 * Sheets as HTML need no cairo. */
#include "run/preview.h"

anl_status sheet_png_ready(const char *path, anl_diagnostics *diagnostics)
{
    static const anl_span nowhere;
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_preview_missing, nowhere, "this anlage was built without cairo, which draws %s", path);
    anl_diagnostic_suggest(diagnostics, d,
                           "write -o sheet.html, which needs none, or install cairo (Debian: libcairo2-dev) and build again");
    return ANL_ERROR_LIMIT;
}

anl_status sheet_write_png(const sheet *s, const char *path, int *width, int *height, anl_diagnostics *diagnostics)
{
    (void)s;
    *width = *height = 0;
    return sheet_png_ready(path, diagnostics);
}
