/* JPEG through libjpeg-turbo.
 * In: an open file at its beginning. Out: grey or RGB pixels of 8 bits.
 * libjpeg fills what it cannot decode with grey and only warns; here such a warning is a failure. */
#include "data/scan.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* Each scan of a progressive file goes through the whole image, and takes next to no bytes where nothing changes: a small file could keep a
 * machine busy for long. Usual are up to a dozen; LibTIFF has the same bound. */
#define MOST_SCANS 100

typedef struct jpeg_work {
    struct jpeg_error_mgr manager; /* first: libjpeg hands back a pointer to it */
    struct jpeg_progress_mgr progress;
    char *reason;
    jmp_buf *back;
    volatile anl_status *status; /* after a jump */
} jpeg_work;

static void on_error(j_common_ptr info)
{
    jpeg_work *work = (jpeg_work *)info->err;
    char text[JMSG_LENGTH_MAX];
    work->manager.format_message(info, text);
    snprintf(work->reason, ANL_REASON_SIZE, "damaged JPEG: %s", text);
    longjmp(*work->back, 1);
}

static void on_message(j_common_ptr info, int level)
{
    if (level >= 0)
        return; /* traces */
    switch (info->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* padding between markers: no pixel is lost */
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
        return;
    default:
        on_error(info);
    }
}

static void on_progress(j_common_ptr info)
{
    jpeg_work *work = (jpeg_work *)info->err;
    if (((j_decompress_ptr)info)->input_scan_number <= MOST_SCANS)
        return;
    anl_scan_refuse(work->reason, ANL_ERROR_LIMIT, "JPEG of more than %d scans; write it anew with fewer", MOST_SCANS);
    *work->status = ANL_ERROR_LIMIT;
    longjmp(*work->back, 1);
}

static void on_output(j_common_ptr info) { (void)info; }

static anl_status decode(struct jpeg_decompress_struct *jpeg, FILE *file, jpeg_work *work, bool voxels, anl_scan *out)
{
    jpeg_create_decompress(jpeg);
    jpeg->progress = &work->progress;
    jpeg_stdio_src(jpeg, file);
    jpeg_read_header(jpeg, TRUE);
    switch (jpeg->jpeg_color_space) {
    case JCS_GRAYSCALE:
        jpeg->out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_RGB:
    case JCS_YCbCr:
        jpeg->out_color_space = JCS_RGB;
        break;
    default:
        return anl_scan_refuse(work->reason, ANL_ERROR_FORMAT,
                               "JPEG with %d colour components (CMYK or unknown); convert it to grey or RGB",
                               jpeg->num_components);
    }
    /* The accurate integer transform: the same pixels on every machine. */
    jpeg->dct_method = JDCT_ISLOW;
    out->width = (int)jpeg->image_width;
    out->height = (int)jpeg->image_height;
    out->channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : 3;
    anl_status status = anl_scan_allocate(out, voxels, work->reason);
    if (status != ANL_OK || !voxels)
        return status;
    size_t row_values = (size_t)out->width * (size_t)out->channels;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rows[1] = {(JSAMPLE *)out->voxels + row_values * jpeg->output_scanline};
        jpeg_read_scanlines(jpeg, rows, 1);
    }
    jpeg_finish_decompress(jpeg);
    return ANL_OK;
}

static bool sniff(const unsigned char *first, size_t length)
{
    return length >= 3 && first[0] == 0xFF && first[1] == 0xD8 && first[2] == 0xFF;
}

static anl_status read(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    (void)path;
    jmp_buf back;
    volatile anl_status jumped = ANL_ERROR_FORMAT;
    jpeg_work work = {.reason = reason, .back = &back, .status = &jumped};
    struct jpeg_decompress_struct jpeg;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&work.manager);
    work.manager.error_exit = on_error;
    work.manager.emit_message = on_message;
    work.manager.output_message = on_output;
    work.progress.progress_monitor = on_progress;
    anl_status status;
    if (setjmp(back) == 0)
        status = decode(&jpeg, file, &work, voxels, out);
    else
        status = jumped;
    jpeg_destroy_decompress(&jpeg);
    return status;
}

static const char *const endings[] = {".jpg", ".jpeg", NULL};
const anl_scan_reader anl_reader_jpeg = {"JPEG", endings, sniff, read};
