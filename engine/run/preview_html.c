/* A sheet as one HTML file that needs nothing beside it: pictures are PNGs within it.
 * In: pictures and texts. Out: the file, whole or not at all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/png_write.h"
#include "run/preview.h"

static const char head[] =
    "<meta charset=\"utf-8\">\n"
    "<style>\n"
    "body { font: 13px sans-serif; margin: 16px; color: #222; background: #fff }\n"
    "h1 { font-size: 18px; margin: 0 0 4px } h2 { font-size: 14px; margin: 12px 0 4px; border-top: 1px solid #bbb; padding-top: "
    "8px }\n"
    "p { margin: 0 0 2px } .row { display: flex; gap: 14px; align-items: flex-start; overflow-x: auto }\n"
    ".cell { flex: none } .cell b { display: block; margin-bottom: 3px } .cell p { font-size: 11px; max-width: 24em }\n"
    ".planes { display: flex; gap: 4px; align-items: flex-start } figure { margin: 0 } figcaption { font-size: 10px; color: #666 "
    "}\n"
    "img { image-rendering: pixelated; display: block }\n"
    "</style>\n";

static void add_escaped(anl_text *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            anl_text_add(out, "&amp;");
            break;
        case '<':
            anl_text_add(out, "&lt;");
            break;
        case '>':
            anl_text_add(out, "&gt;");
            break;
        case '"':
            anl_text_add(out, "&quot;");
            break;
        default:
            anl_text_addn(out, text, 1);
        }
}

static void element(anl_text *out, const char *tag, const char *text)
{
    anl_text_printf(out, "<%s>", tag);
    add_escaped(out, text);
    anl_text_printf(out, "</%s>\n", tag);
}

static void add_base64(anl_text *out, const unsigned char *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        const size_t left = length - i;
        const uint32_t three =
            (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        const char four[4] = {digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                              left > 2 ? digits[three & 63] : '='};
        anl_text_addn(out, four, 4);
    }
}

static bool add_picture(anl_text *out, const sheet_picture *picture)
{
    unsigned char *bytes = NULL;
    size_t length = 0;
    const bool good = anl_png_write(picture->pixels, picture->width, picture->height, picture->channels, &bytes, &length);
    if (good) {
        anl_text_printf(out, "<figure><img width=\"%d\" height=\"%d\" src=\"data:image/png;base64,", picture->width,
                        picture->height);
        add_base64(out, bytes, length);
        anl_text_add(out, "\">\n");
        if (*picture->caption)
            element(out, "figcaption", picture->caption);
        anl_text_add(out, "</figure>\n");
    }
    free(bytes);
    return good;
}

anl_status sheet_write_html(const sheet *s, const char *path, anl_diagnostics *diagnostics)
{
    static const anl_span nowhere;
    anl_text out = {0};
    bool good = true;
    anl_text_add(&out, "<!DOCTYPE html>\n<html lang=\"en\">\n");
    anl_text_add(&out, head);
    element(&out, "title", s->title);
    element(&out, "h1", s->title);
    for (int i = 0; i < s->line_count; i++)
        element(&out, "p", s->lines[i]);
    for (int r = 0; r < s->row_count; r++) {
        element(&out, "h2", s->rows[r].title);
        anl_text_add(&out, "<div class=\"row\">\n");
        for (int c = 0; c < s->rows[r].cell_count; c++) {
            const sheet_cell *cell = &s->rows[r].cells[c];
            anl_text_add(&out, "<div class=\"cell\">\n");
            element(&out, "b", cell->title);
            anl_text_add(&out, "<div class=\"planes\">\n");
            for (int i = 0; i < cell->picture_count; i++)
                good = add_picture(&out, &cell->pictures[i]) && good;
            anl_text_add(&out, "</div>\n");
            for (int i = 0; i < cell->line_count; i++)
                element(&out, "p", cell->lines[i]);
            anl_text_add(&out, "</div>\n");
        }
        anl_text_add(&out, "</div>\n");
    }
    anl_text_add(&out, "</html>\n");
    anl_status status = ANL_OK;
    if (!good) {
        anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "not enough memory for the pictures of %s", path);
        status = ANL_ERROR_MEMORY;
    } else if (anl_file_write_atomic(path, out.data, out.length) != ANL_OK)
        status = sheet_cannot_write(path, strerror(errno), diagnostics);
    anl_text_free(&out);
    return status;
}
