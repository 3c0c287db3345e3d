/* The canonical layout of spec files, for `anlage fmt` and editors.
 * In: the text of a spec, whole and with its comments. Out: the same spec in the layout that specs/README.md describes.
 * No state is kept: usable from several threads at once, each with its own diagnostics. */
#ifndef ANLAGE_FORMAT_H
#define ANLAGE_FORMAT_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stddef.h>

/* Lays a text out. file: the name for diagnostics. *out: allocated and NUL-terminated, to be freed by the caller; NULL unless ANL_OK.
 * Keys, values, their order and comments are those of the text: the result is read again and compared.
 * ANL_ERROR_SPEC: errors of YAML or of an expression; the text has no layout until they are mended. ANL_ERROR_FORMAT: the comparison
 * failed, which is a defect of this function; it is reported like an error. */
anl_status anl_format(const char *file, const char *text, size_t length, anl_diagnostics *diagnostics, char **out, size_t *out_length);

#endif
