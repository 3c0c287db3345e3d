/* PNG through libpng.
 * In: an open file at its beginning. Out: grey or RGB pixels of 8 or 16 bits; alpha is dropped, palettes and
 * depths below 8 bits are expanded. A damaged file is a failure, never a partly filled image. */
#include "data/scan.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_work {
    char *reason;
    jmp_buf *back;
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
static anl_status decode(png_structp png, png_infop info, FILE *file, png_work *work, bool voxels, anl_scan *out)
{
    png_init_io(png, file);
    png_set_user_limits(png, ANL_SCAN_MAX_SIDE, ANL_SCAN_MAX_SIDE);
    /* Texts, profiles and the like are passed over: libpng would take as much memory for one as it says that it has. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, info);
    int depth = png_get_bit_depth(png, info), colour = png_get_color_type(png, info);
    out->bits = depth == 16 ? 16 : 8;
    out->type = depth == 16 ? ANL_VOXEL_U16 : ANL_VOXEL_U8;

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
    anl_status status = anl_scan_allocate(out, voxels, work->reason);
    if (status != ANL_OK || !voxels)
        return status;
    size_t row_bytes = png_get_rowbytes(png, info);
    size_t row_values = (size_t)out->width * (size_t)out->channels;
    if (row_bytes != row_values * (size_t)(out->bits / 8))
        return anl_scan_refuse(work->reason, ANL_ERROR_FORMAT, "PNG rows of %zu bytes where %zu values were expected", row_bytes,
                               row_values);
    work->row_list = malloc(sizeof *work->row_list * (size_t)out->height);
    if (!work->row_list)
        return anl_scan_refuse(work->reason, ANL_ERROR_MEMORY, "no memory for its rows");
    for (int y = 0; y < out->height; y++)
        work->row_list[y] = (png_bytep)out->voxels + row_bytes * (size_t)y;
    png_read_image(png, work->row_list);
    png_read_end(png, NULL);
    return ANL_OK;
}

static bool sniff(const unsigned char *first, size_t length) { return length >= 8 && !memcmp(first, "\x89PNG\r\n\x1a\n", 8); }

static anl_status read(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    (void)path;
    jmp_buf back;
    png_work work = {.reason = reason, .back = &back};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    anl_status status = ANL_ERROR_FORMAT;
    if (!info) {
        png_destroy_read_struct(png ? &png : NULL, NULL, NULL);
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "libpng cannot be started");
    }
    if (setjmp(back) == 0)
        status = decode(png, info, file, &work, voxels, out);
    else
        status = ANL_ERROR_FORMAT;
    png_destroy_read_struct(&png, &info, NULL);
    free(work.row_list);
    return status;
}

static const char *const endings[] = {".png", NULL};
const anl_scan_reader anl_reader_png = {"PNG", endings, sniff, read};
