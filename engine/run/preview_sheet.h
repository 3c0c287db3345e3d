/* A sheet: rows of cells with pictures and texts.
 * In: pixels, UTF-8. Out: what preview.c fills and the writers read. Plain data: whoever fills it owns it. */
#ifndef ANL_RUN_PREVIEW_SHEET_H
#define ANL_RUN_PREVIEW_SHEET_H

#include <stdint.h>

typedef struct sheet_picture {
    int width, height, channels; /* 1 grey, 3 RGB */
    uint8_t *pixels;             /* owned by the sheet */
    const char *caption;         /* "" */
} sheet_picture;

typedef struct sheet_cell {
    const char *title;
    sheet_picture pictures[3]; /* side by side: the planes of a volume */
    int picture_count;
    const char **lines; /* paragraphs below */
    int line_count, line_capacity;
} sheet_cell;

typedef struct sheet_row {
    const char *title;
    sheet_cell *cells;
    int cell_count;
} sheet_row;

typedef struct sheet {
    const char *title;
    const char **lines;
    int line_count, line_capacity;
    sheet_row *rows;
    int row_count;
} sheet;

#endif
