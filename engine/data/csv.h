/* Tables of text: labels.csv.
 * In: a file in the manner of RFC 4180 (quotes, CRLF or LF, UTF-8 with or without a byte-order mark). Out: cells with their
 * lines. Comma, or, when the header has none, semicolon or tab. */
#ifndef ANL_DATA_CSV_H
#define ANL_DATA_CSV_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdint.h>

#include "base/base.h"

typedef struct anl_csv {
    const char *path;
    int columns;
    const char **names; /* the header, [columns] */
    int64_t rows;
    const char **cells; /* [rows][columns], never NULL */
    int *lines;         /* [rows]: where a row begins */
} anl_csv;

/* Everything lives in the arena. A header without rows is a table. Problems in rows are all reported (up to 20) before it gives up. */
anl_status anl_csv_read(anl_arena *arena, const char *path, anl_diagnostics *diagnostics, anl_csv *out);
static inline const char *anl_csv_cell(const anl_csv *csv, int64_t row, int column)
{
    return csv->cells[row * csv->columns + column];
}
/* Where a row stands; -1: the header. */
static inline anl_span anl_csv_span(const anl_csv *csv, int64_t row)
{
    return (anl_span){.file = csv->path, .line = row < 0 ? 1 : csv->lines[row], .column = 1, .length = 1};
}
int anl_csv_column(const anl_csv *csv, const char *name); /* -1: none */

#endif
