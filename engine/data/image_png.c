/* PNG through libpng.
 * In: an open file at its beginning. Out: grey or RGB pixels of 8 or 16 bits; alpha is dropped, palettes and
 * depths below 8 bits are expanded. A damaged file is a failure, never a partly filled image. */
#include "data/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_work {
    char *reason;
    jmp_buf *back;
    png_bytep rows;
    png_bytep *row_list;
} png_work;

static void on_error(png_structp png, png_const_charp text)
{
    png_work *work = png_get_error_ptr(png);
    snprintf(work->reason, ANL_REASON_SIZE, "damaged PNG: %s", text);
    longjmp(*work->back, 1);
}

/* libpng warns about ancillary chunks only; they do not touch the pixels. */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* Everything that may jump is in here; what must survive the jump lives behind pointers. */
static anl_status decode(png_structp png, png_infop info, FILE *file, png_work *work, anl_image *out, anl_image_facts *facts)
{
    png_init_io(png, file);
    png_set_user_limits(png, ANL_IMAGE_MAX_SIDE, ANL_IMAGE_MAX_SIDE);
    png_read_info(png, info);
    int depth = png_get_bit_depth(png, info), colour = png_get_color_type(png, info);
    facts->bits = depth == 16 ? 16 : 8;
    if (!out)
        return ANL_OK;

    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    else if (colour == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    /* Transparency of a palette would come back as alpha; it is dropped with the rest. */
    png_set_strip_alpha(png);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (depth == 16)
        png_set_swap(png);
#endif
    png_set_interlace_handling(png);
    png_read_update_info(png, info);

    out->width = (int)png_get_image_width(png, info);
    out->height = (int)png_get_image_height(png, info);
    out->channels = png_get_channels(png, info);
    out->bits = facts->bits;
    if (out->channels != 1 && out->channels != 3) {
        snprintf(work->reason, ANL_REASON_SIZE, "PNG with %d channels", out->channels);
        return ANL_ERROR_FORMAT;
    }
    anl_status status = anl_image_allocate(out, work->reason);
    if (status != ANL_OK)
        return status;
    size_t row_bytes = png_get_rowbytes(png, info);
    size_t row_values = (size_t)out->width * (size_t)out->channels;
    if (row_bytes != row_values * (size_t)(out->bits / 8)) {
        snprintf(work->reason, ANL_REASON_SIZE, "PNG rows of %zu bytes where %zu values were expected", row_bytes, row_values);
        return ANL_ERROR_FORMAT;
    }
    work->row_list = malloc(sizeof *work->row_list * (size_t)out->height);
    if (out->bits == 8)
        work->rows = malloc(row_bytes * (size_t)out->height);
    if (!work->row_list || (out->bits == 8 && !work->rows)) {
        snprintf(work->reason, ANL_REASON_SIZE, "no memory for its rows");
        return ANL_ERROR_MEMORY;
    }
    /* 16-bit rows go straight into place. */
    unsigned char *base = out->bits == 16 ? (unsigned char *)out->pixels : work->rows;
    for (int y = 0; y < out->height; y++)
        work->row_list[y] = base + row_bytes * (size_t)y;
    png_read_image(png, work->row_list);
    png_read_end(png, NULL);
    if (out->bits == 8)
        for (size_t i = 0, n = row_values * (size_t)out->height; i < n; i++)
            out->pixels[i] = work->rows[i];
    return ANL_OK;
}

anl_status anl_image_decode_png(FILE *file, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE])
{
    jmp_buf back;
    png_work work = {.reason = reason, .back = &back};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    anl_status status = ANL_ERROR_FORMAT;
    if (!info) {
        snprintf(reason, ANL_REASON_SIZE, "libpng cannot be started");
        png_destroy_read_struct(png ? &png : NULL, NULL, NULL);
        return ANL_ERROR_MEMORY;
    }
    if (setjmp(back) == 0)
        status = decode(png, info, file, &work, out, facts);
    else
        status = ANL_ERROR_FORMAT;
    png_destroy_read_struct(&png, &info, NULL);
    free(work.rows);
    free(work.row_list);
    return status;
}
