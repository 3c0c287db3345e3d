/* A sheet as one PNG, drawn by cairo: a module of its own, see preview_module.h.
 * In: pictures and texts. Out: the bytes of a PNG. Pictures lie at whole pixels, none is interpolated.
 * Everything is measured once to know the size, and then drawn by the same code. */
#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/preview_module.h"

enum { MARGIN = 16, GAP = 14, PLANE_GAP = 4, LEAST_CELL = 132, LINE = 3 };

typedef struct page {
    cairo_t *cairo;
    bool draws; /* else only measures */
    const sheet *sheet;
    int *column; /* width of each column of cells */
    int columns, width, height;
} page;

static void ink(page *p, double size, bool bold, double grey)
{
    cairo_select_font_face(p->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(p->cairo, size);
    cairo_set_source_rgb(p->cairo, grey, grey, grey);
}

static double width_of(page *p, const char *text, size_t length)
{
    char part[512];
    cairo_text_extents_t extents;
    length = length < sizeof part ? length : sizeof part - 1;
    memcpy(part, text, length);
    part[length] = 0;
    cairo_text_extents(p->cairo, part, &extents);
    return extents.x_advance;
}

static size_t next_character(const char *text)
{
    size_t length = 1;
    while (((unsigned char)text[length] & 0xc0) == 0x80)
        length++;
    return length;
}

/* How much of the text goes on one line: whole words, or what fits of a word that is wider than the line. */
static size_t line_length(page *p, const char *text, int width)
{
    size_t fits = 0;
    for (size_t at = 0; text[at];) {
        at += strspn(text + at, " ");
        at += strcspn(text + at, " ");
        if (width_of(p, text, at) > width)
            break;
        fits = at;
    }
    if (fits)
        return fits;
    do
        fits += next_character(text + fits);
    while (text[fits] && text[fits] != ' ' && width_of(p, text, fits + next_character(text + fits)) <= width);
    return fits;
}

/* A paragraph; returns where the next one begins. */
static int paragraph(page *p, const char *text, int x, int y, int width, double size)
{
    const int step = (int)ceil(size) + LINE;
    while (*text) {
        const size_t length = line_length(p, text, width);
        if (p->draws) {
            char line[512];
            const size_t copied = length < sizeof line ? length : sizeof line - 1;
            memcpy(line, text, copied);
            line[copied] = 0;
            cairo_move_to(p->cairo, x, y + ceil(size));
            cairo_show_text(p->cairo, line);
        }
        y += step;
        text += length;
        text += strspn(text, " ");
    }
    return y;
}

static bool paint(page *p, const sheet_picture *picture, int x, int y)
{
    if (!p->draws)
        return true;
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, picture->width, picture->height);
    const bool good = cairo_surface_status(image) == CAIRO_STATUS_SUCCESS;
    if (good) {
        unsigned char *data = cairo_image_surface_get_data(image);
        const int stride = cairo_image_surface_get_stride(image);
        for (int v = 0; v < picture->height; v++)
            for (int u = 0; u < picture->width; u++) {
                const uint8_t *from =
                    picture->pixels + ((size_t)v * (size_t)picture->width + (size_t)u) * (size_t)picture->channels;
                const uint32_t red = from[0], green = from[picture->channels == 3], blue = from[picture->channels == 3 ? 2 : 0];
                ((uint32_t *)(void *)(data + (size_t)v * (size_t)stride))[u] = red << 16 | green << 8 | blue;
            }
        cairo_surface_mark_dirty(image);
        cairo_set_source_surface(p->cairo, image, x, y);
        cairo_pattern_set_filter(cairo_get_source(p->cairo), CAIRO_FILTER_NEAREST);
        cairo_paint(p->cairo);
    }
    cairo_surface_destroy(image);
    return good;
}

static int cell_width(const sheet_cell *cell)
{
    int width = 0;
    for (int i = 0; i < cell->picture_count; i++)
        width += cell->pictures[i].width + (i ? PLANE_GAP : 0);
    return width > LEAST_CELL ? width : LEAST_CELL;
}

static int draw_cell(page *p, const sheet_cell *cell, int x, int y, int width, bool *good)
{
    ink(p, 11, true, 0);
    y = paragraph(p, cell->title, x, y, width, 11) + LINE;
    int below = y, at = x;
    for (int i = 0; i < cell->picture_count; i++) {
        const sheet_picture *picture = &cell->pictures[i];
        *good = paint(p, picture, at, y) && *good;
        ink(p, 9, false, 0.35);
        int end = paragraph(p, picture->caption, at, y + picture->height + 1, picture->width + PLANE_GAP, 9);
        below = end > below ? end : below;
        at += picture->width + PLANE_GAP;
    }
    y = below + LINE;
    ink(p, 10, false, 0.2);
    for (int i = 0; i < cell->line_count; i++)
        y = paragraph(p, cell->lines[i], x, y, width, 10);
    return y;
}

/* Lays all out; sets the height. False: no memory. */
static bool lay_out(page *p)
{
    const sheet *s = p->sheet;
    bool good = true;
    const int width = p->width - 2 * MARGIN;
    ink(p, 16, true, 0);
    int y = paragraph(p, s->title, MARGIN, MARGIN, width, 16) + LINE;
    ink(p, 11, false, 0.2);
    for (int i = 0; i < s->line_count; i++)
        y = paragraph(p, s->lines[i], MARGIN, y, width, 11);
    for (int r = 0; r < s->row_count; r++) {
        const sheet_row *row = &s->rows[r];
        y += GAP / 2;
        if (p->draws) {
            cairo_set_source_rgb(p->cairo, 0.75, 0.75, 0.75);
            cairo_rectangle(p->cairo, MARGIN, y, width, 1);
            cairo_fill(p->cairo);
        }
        y += GAP / 2;
        ink(p, 12, true, 0);
        y = paragraph(p, row->title, MARGIN, y, width, 12) + LINE;
        int end = y, x = MARGIN;
        for (int c = 0; c < row->cell_count; c++) {
            int below = draw_cell(p, &row->cells[c], x, y, p->column[c], &good);
            end = below > end ? below : end;
            x += p->column[c] + GAP;
        }
        y = end;
    }
    p->height = y + MARGIN;
    return good;
}

typedef struct bytes {
    unsigned char *data;
    size_t length, capacity;
} bytes;

static cairo_status_t take(void *context, const unsigned char *from, unsigned int length)
{
    bytes *b = context;
    if (b->length + length > b->capacity) {
        const size_t capacity = 2 * b->capacity + length;
        unsigned char *more = realloc(b->data, capacity);
        if (!more)
            return CAIRO_STATUS_NO_MEMORY;
        b->data = more;
        b->capacity = capacity;
    }
    memcpy(b->data + b->length, from, length);
    b->length += length;
    return CAIRO_STATUS_SUCCESS;
}

static void open_page(page *p, cairo_surface_t *surface)
{
    p->cairo = cairo_create(surface);
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_SLIGHT);
    cairo_set_font_options(p->cairo, options);
    cairo_font_options_destroy(options);
}

bool anl_preview_module(const sheet *s, int *width, int *height, unsigned char **out, size_t *length)
{
    page p = {.sheet = s};
    *out = NULL;
    *length = 0;
    for (int r = 0; r < s->row_count; r++)
        p.columns = s->rows[r].cell_count > p.columns ? s->rows[r].cell_count : p.columns;
    p.column = calloc((size_t)p.columns + 1, sizeof *p.column);
    if (!p.column)
        return false;
    p.width = 2 * MARGIN - GAP;
    for (int c = 0; c < p.columns; c++) {
        for (int r = 0; r < s->row_count; r++)
            if (c < s->rows[r].cell_count && cell_width(&s->rows[r].cells[c]) > p.column[c])
                p.column[c] = cell_width(&s->rows[r].cells[c]);
        p.width += p.column[c] + GAP;
    }
    p.width = p.width < 480 ? 480 : p.width;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    open_page(&p, surface);
    bool good = lay_out(&p) && cairo_status(p.cairo) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(p.cairo);
    cairo_surface_destroy(surface);
    *width = p.width;
    *height = p.height;
    if (good && p.width <= SHEET_MOST_SIDE && p.height <= SHEET_MOST_SIDE) {
        bytes png = {0};
        surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, p.width, p.height);
        open_page(&p, surface);
        cairo_set_source_rgb(p.cairo, 1, 1, 1);
        cairo_paint(p.cairo);
        p.draws = true;
        good = lay_out(&p) && cairo_status(p.cairo) == CAIRO_STATUS_SUCCESS &&
               cairo_surface_write_to_png_stream(surface, take, &png) == CAIRO_STATUS_SUCCESS;
        cairo_destroy(p.cairo);
        cairo_surface_destroy(surface);
        if (good) {
            *out = png.data;
            *length = png.length;
        } else
            free(png.data);
    }
    free(p.column);
    return good;
}
