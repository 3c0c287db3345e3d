/* A sheet as a PNG file, drawn by a module that is loaded for it.
 * In: pictures and texts. Out: the file, whole or not at all; or what hinders it.
 * Single-threaded, as commands are. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/folders.h"
#include "run/preview.h"
#include "run/preview_module.h"

static const anl_span nowhere;
static sheet_draw *draw; /* of the module, which stays for the life of the process */

anl_status sheet_png_ready(const char *path, anl_diagnostics *diagnostics)
{
    void *module = draw ? NULL : dlopen(anl_module_preview(), RTLD_NOW | RTLD_LOCAL);
    if (module)
        *(void **)&draw =
            dlsym(module, "anl_preview_module"); /* as POSIX has it: ISO C knows no way from a pointer to a function */
    if (draw)
        return ANL_OK;
    const char *why = dlerror();
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_preview_missing, nowhere, "%s cannot be drawn: the module for it cannot be loaded: %s",
                     path, why ? why : "it lacks anl_preview_module");
    anl_diagnostic_suggest(diagnostics, d, "write -o sheet.html, which needs none, or install cairo (Debian: libcairo2)");
    return ANL_ERROR_FILE;
}

anl_status sheet_write_png(const sheet *s, const char *path, int *width, int *height, anl_diagnostics *diagnostics)
{
    anl_status status = sheet_png_ready(path, diagnostics);
    if (status)
        return status;
    unsigned char *png;
    size_t length;
    if (!draw(s, width, height, &png, &length)) {
        anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "not enough memory for a sheet of %d x %d pixels", *width,
                     *height);
        return ANL_ERROR_MEMORY;
    }
    if (!png) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_preview_output, nowhere,
                                         "the sheet would be %d x %d pixels, more than a picture can have (%d)", *width, *height,
                                         SHEET_MOST_SIDE);
        anl_diagnostic_suggest(diagnostics, d, "take fewer --samples, or write -o sheet.html");
        return ANL_ERROR_LIMIT;
    }
    if (anl_file_write_atomic(path, png, length) != ANL_OK)
        status = sheet_cannot_write(path, strerror(errno), diagnostics);
    free(png);
    return status;
}
