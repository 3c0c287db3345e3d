/* Image files: which reader takes a file, the bounds they all keep, and resampling.
 * In: a path. Out: an anl_image with the stored integers, or a status with the reason in words.
 * The three readers are in image_tiff.c, image_png.c and image_jpeg.c. */
#include "data/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/diagnostic_codes.h>

anl_image_kind anl_image_sniff(const unsigned char *b, size_t length)
{
    if (length >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        return ANL_IMAGE_PNG;
    if (length >= 3 && b[0] == 0xFF && b[1] == 0xD8 && b[2] == 0xFF)
        return ANL_IMAGE_JPEG;
    /* 42 is TIFF, 43 is BigTIFF; both in either byte order. */
    if (length >= 4 && b[0] == 'I' && b[1] == 'I' && (b[2] == 42 || b[2] == 43) && b[3] == 0)
        return ANL_IMAGE_TIFF;
    if (length >= 4 && b[0] == 'M' && b[1] == 'M' && b[2] == 0 && (b[3] == 42 || b[3] == 43))
        return ANL_IMAGE_TIFF;
    return ANL_IMAGE_UNKNOWN;
}

anl_status anl_image_allocate(anl_image *image, char reason[ANL_REASON_SIZE])
{
    if (image->width < 1 || image->height < 1) {
        snprintf(reason, ANL_REASON_SIZE, "it has no pixels (%d x %d)", image->width, image->height);
        return ANL_ERROR_FORMAT;
    }
    if (image->width > ANL_IMAGE_MAX_SIDE || image->height > ANL_IMAGE_MAX_SIDE) {
        snprintf(reason, ANL_REASON_SIZE, "it is %d x %d pixels; at most %d a side are read", image->width, image->height,
                 ANL_IMAGE_MAX_SIDE);
        return ANL_ERROR_LIMIT;
    }
    size_t values = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    if (values > ANL_IMAGE_MAX_BYTES / sizeof(uint16_t)) {
        snprintf(reason, ANL_REASON_SIZE, "its %d x %d x %d values need more than 1 GiB", image->width, image->height,
                 image->channels);
        return ANL_ERROR_LIMIT;
    }
    image->pixels = calloc(values, sizeof(uint16_t));
    if (!image->pixels) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for its %zu values", values);
        return ANL_ERROR_MEMORY;
    }
    return ANL_OK;
}

void anl_image_free(anl_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    memset(image, 0, sizeof *image);
}

static anl_status read_image(const char *path, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE])
{
    memset(facts, 0, sizeof *facts);
    facts->pages = 1;
    reason[0] = '\0';
    FILE *file = fopen(path, "rb");
    if (!file) {
        snprintf(reason, ANL_REASON_SIZE, "%s", strerror(errno));
        return ANL_ERROR_FILE;
    }
    struct stat about;
    unsigned char first[132] = {0};
    anl_status status = ANL_OK;
    if (fstat(fileno(file), &about) != 0) {
        snprintf(reason, ANL_REASON_SIZE, "%s", strerror(errno));
        status = ANL_ERROR_FILE;
    } else if (!S_ISREG(about.st_mode)) {
        snprintf(reason, ANL_REASON_SIZE, "it is not a regular file");
        status = ANL_ERROR_FILE;
    } else if (about.st_size == 0) {
        snprintf(reason, ANL_REASON_SIZE, "the file is empty");
        status = ANL_ERROR_FORMAT;
    }
    if (status == ANL_OK) {
        size_t length = fread(first, 1, sizeof first, file);
        if (ferror(file)) {
            snprintf(reason, ANL_REASON_SIZE, "%s", strerror(errno));
            status = ANL_ERROR_FILE;
        } else if (memcmp(first + 128, "DICM", 4) == 0) {
            /* Its preamble may begin like a TIFF (PS3.10, 7.1), so this comes first. */
            snprintf(reason, ANL_REASON_SIZE, "it is DICOM, which is not read; export it as 16-bit TIFF or PNG");
            status = ANL_ERROR_FORMAT;
        } else {
            facts->kind = anl_image_sniff(first, length);
            rewind(file);
            switch (facts->kind) {
            case ANL_IMAGE_TIFF:
                status = anl_image_decode_tiff(file, out, facts, reason);
                break;
            case ANL_IMAGE_PNG:
                status = anl_image_decode_png(file, out, facts, reason);
                break;
            case ANL_IMAGE_JPEG:
                status = anl_image_decode_jpeg(file, out, facts, reason);
                break;
            default:
                snprintf(reason, ANL_REASON_SIZE, "it is neither TIFF nor PNG nor JPEG");
                status = ANL_ERROR_FORMAT;
            }
        }
    }
    fclose(file);
    return status;
}

anl_status anl_image_decode(const char *path, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE])
{
    memset(out, 0, sizeof *out);
    anl_status status = read_image(path, out, facts, reason);
    if (status != ANL_OK)
        anl_image_free(out);
    return status;
}

anl_status anl_image_probe(const char *path, anl_image_facts *facts, char reason[ANL_REASON_SIZE])
{
    return read_image(path, NULL, facts, reason);
}

anl_status anl_image_read(const char *path, anl_image *out, anl_diagnostics *diagnostics)
{
    anl_image_facts facts;
    char reason[ANL_REASON_SIZE];
    anl_status status = anl_image_decode(path, out, &facts, reason);
    anl_span place = {.file = path};
    if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_image_unreadable, place, "cannot read the image %s: %s", path, reason);
    else if (facts.pages > 1)
        anl_diagnose(diagnostics, ANL_A_image_pages, place, "%s has %d pages; only the first is read", path, facts.pages);
    return status;
}

/* ---- resampling ---- */

/* The source pixels behind each output pixel along one axis: count[i] of them from first[i], with weights at weight[start[i]]. */
typedef struct taps {
    int *first, *count;
    size_t *start;
    double *weight;
} taps;

static void free_taps(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->start);
    free(t->weight);
}

static bool make_taps(taps *t, int in, int out)
{
    /* Shrinking: an output pixel covers in/out source pixels, so it touches at most that many and two more. */
    size_t most = out < in ? (size_t)(in / out) + 3 : 2;
    t->first = malloc(sizeof(int) * (size_t)out);
    t->count = malloc(sizeof(int) * (size_t)out);
    t->start = malloc(sizeof(size_t) * (size_t)out);
    t->weight = malloc(sizeof(double) * most * (size_t)out);
    if (!t->first || !t->count || !t->start || !t->weight)
        return false;
    size_t used = 0;
    for (int i = 0; i < out; i++) {
        t->start[i] = used;
        if (out < in) {
            /* Exact in integers: pixel i covers [i*in, (i+1)*in) in units of 1/out source pixels. */
            int64_t from = (int64_t)i * in, to = from + in;
            int first = (int)(from / out), last = (int)((to - 1) / out);
            t->first[i] = first;
            t->count[i] = last - first + 1;
            for (int s = first; s <= last; s++) {
                int64_t left = (int64_t)s * out, right = left + out;
                int64_t covered = (right < to ? right : to) - (left > from ? left : from);
                t->weight[used++] = (double)covered / (double)in;
            }
        } else {
            double centre = ((double)i + 0.5) * (double)in / (double)out - 0.5;
            if (centre < 0)
                centre = 0;
            if (centre > in - 1)
                centre = in - 1;
            int first = (int)centre;
            double part = centre - first;
            t->first[i] = first;
            t->count[i] = part > 0 ? 2 : 1;
            t->weight[used++] = part > 0 ? 1 - part : 1;
            if (part > 0)
                t->weight[used++] = part;
        }
    }
    return true;
}

anl_status anl_image_resample(const anl_image *image, int out_width, int out_height,
                              void (*emit)(void *context, int y, const double *row), void *context)
{
    int channels = image->channels;
    size_t row_values = (size_t)out_width * (size_t)channels;
    taps across = {0}, down = {0};
    /* Two resampled source rows are kept: neighbouring output rows share at most that many. */
    double *kept[2] = {malloc(sizeof(double) * row_values), malloc(sizeof(double) * row_values)};
    double *row = malloc(sizeof(double) * row_values);
    int kept_row[2] = {-1, -1};
    anl_status status = ANL_ERROR_MEMORY;
    if (kept[0] && kept[1] && row && make_taps(&across, image->width, out_width) && make_taps(&down, image->height, out_height)) {
        status = ANL_OK;
        for (int y = 0; y < out_height; y++) {
            memset(row, 0, sizeof(double) * row_values);
            for (int j = 0; j < down.count[y]; j++) {
                int source = down.first[y] + j, slot = source & 1;
                double weight = down.weight[down.start[y] + (size_t)j];
                if (kept_row[slot] != source) {
                    const uint16_t *from = image->pixels + (size_t)source * (size_t)image->width * (size_t)channels;
                    for (int x = 0; x < out_width; x++) {
                        const double *w = across.weight + across.start[x];
                        const uint16_t *pixel = from + (size_t)across.first[x] * (size_t)channels;
                        for (int c = 0; c < channels; c++) {
                            double sum = 0;
                            for (int i = 0; i < across.count[x]; i++)
                                sum += w[i] * pixel[(size_t)i * (size_t)channels + (size_t)c];
                            kept[slot][(size_t)x * (size_t)channels + (size_t)c] = sum;
                        }
                    }
                    kept_row[slot] = source;
                }
                for (size_t i = 0; i < row_values; i++)
                    row[i] += weight * kept[slot][i];
            }
            emit(context, y, row);
        }
    }
    free_taps(&across);
    free_taps(&down);
    free(kept[0]);
    free(kept[1]);
    free(row);
    return status;
}
