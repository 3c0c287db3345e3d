/* Image files: which reader takes a file, the bounds they all keep, and what a scan is to its users.
 * In: a path. Out: an anl_scan with the stored values, or a status with the reason in words.
 * The readers are in scan_*.c, resampling in resample.c. */
#include "data/scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <anlage/diagnostic_codes.h>

#include "base/base.h"

/* In the order in which they are asked: a DICOM file's preamble may begin like a TIFF (PS3.10, 7.1). */
static const anl_scan_reader *const readers[] = {
    &anl_reader_dicom,
    &anl_reader_nifti,
    &anl_reader_tiff,
    &anl_reader_png,
    &anl_reader_jpeg,
};

const char *anl_scan_kind(int index) { return index >= 0 && index < (int)ANL_COUNT(readers) ? readers[index]->name : NULL; }

const anl_scan_reader *anl_scan_sniff(const unsigned char *first, size_t length)
{
    for (size_t i = 0; i < ANL_COUNT(readers); i++)
        if (readers[i]->sniff(first, length))
            return readers[i];
    return NULL;
}

bool anl_scan_named(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < ANL_COUNT(readers); i++)
        for (const char *const *ending = readers[i]->endings; *ending; ending++) {
            size_t n = strlen(*ending);
            if (length > n && !strcasecmp(name + length - n, *ending))
                return true;
        }
    return false;
}

void anl_scan_reset(anl_scan *scan)
{
    *scan = (anl_scan){.depth = 1, .frames = 1, .turned = {1, 2, 3}, .channels = 1, .bits = 8, .slope = 1, .position = NAN, .place = -1};
}

void anl_scan_free(anl_scan *scan)
{
    if (!scan)
        return;
    free(scan->voxels);
    anl_scan_reset(scan);
}

int anl_voxel_bytes(anl_voxel type)
{
    switch (type) {
    case ANL_VOXEL_U8:
        return 1;
    case ANL_VOXEL_U16:
    case ANL_VOXEL_I16:
        return 2;
    case ANL_VOXEL_I32:
    case ANL_VOXEL_F32:
        return 4;
    case ANL_VOXEL_F64:
        return 8;
    }
    return 0;
}

const char *anl_voxel_name(anl_voxel type)
{
    static const char *const names[] = {"uint8", "uint16", "int16", "int32", "float32", "float64"};
    return names[type];
}

int64_t anl_scan_count(const anl_scan *scan)
{
    return (int64_t)scan->frames * scan->depth * scan->height * scan->width * scan->channels;
}

void anl_scan_stored(const anl_scan *scan, int64_t first, int64_t count, double *out)
{
#define TAKE(type)                                                                                                               \
    do {                                                                                                                         \
        const type *from = (const type *)scan->voxels + first;                                                                   \
        for (int64_t i = 0; i < count; i++)                                                                                      \
            out[i] = (double)from[i];                                                                                            \
    } while (0)
    switch (scan->type) {
    case ANL_VOXEL_U8:
        TAKE(uint8_t);
        break;
    case ANL_VOXEL_U16:
        TAKE(uint16_t);
        break;
    case ANL_VOXEL_I16:
        TAKE(int16_t);
        break;
    case ANL_VOXEL_I32:
        TAKE(int32_t);
        break;
    case ANL_VOXEL_F32:
        TAKE(float);
        break;
    case ANL_VOXEL_F64:
        TAKE(double);
        break;
    }
#undef TAKE
}

void anl_voxels_little(uint8_t *bytes, size_t count, size_t size)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t k = 0; k < count; k++)
        for (size_t a = 0; a < size / 2; a++) {
            uint8_t b = bytes[k * size + a];
            bytes[k * size + a] = bytes[k * size + size - 1 - a];
            bytes[k * size + size - 1 - a] = b;
        }
#else
    (void)bytes;
    (void)count;
    (void)size;
#endif
}

anl_status anl_scan_allocate(anl_scan *s, bool voxels, char reason[ANL_REASON_SIZE])
{
    if (s->width < 1 || s->height < 1 || s->depth < 1 || s->frames < 1)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it has no pixels (%d x %d x %d, %d frames)", s->width, s->height,
                               s->depth, s->frames);
    if (s->width > ANL_SCAN_MAX_SIDE || s->height > ANL_SCAN_MAX_SIDE || s->depth > ANL_SCAN_MAX_SIDE)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it is %d x %d x %d voxels; at most %d a side are read", s->width,
                               s->height, s->depth, ANL_SCAN_MAX_SIDE);
    if (s->channels != 1 && s->channels != 3)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it has %d channels; grey and RGB are read", s->channels);
    size_t values = ANL_SCAN_MAX_BYTES / (size_t)anl_voxel_bytes(s->type); /* as many as there may be */
    const int sizes[] = {s->width, s->height, s->depth, s->frames, s->channels};
    for (size_t i = 0; i < ANL_COUNT(sizes); i++)
        values /= (size_t)sizes[i];
    if (values == 0)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "its %d x %d x %d x %d values of %d channel%s need more than 1 GiB",
                               s->width, s->height, s->depth, s->frames, s->channels, s->channels == 1 ? "" : "s");
    if (!voxels)
        return ANL_OK;
    s->voxels = calloc((size_t)anl_scan_count(s), (size_t)anl_voxel_bytes(s->type));
    if (!s->voxels)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for its %lld values", (long long)anl_scan_count(s));
    return ANL_OK;
}

void anl_scan_invert(anl_scan *s)
{
    const int64_t count = anl_scan_count(s);
    const int bits = s->bits;
    switch (s->type) {
    case ANL_VOXEL_U8:
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)s->voxels)[i] = (uint8_t)(((1u << bits) - 1) - ((uint8_t *)s->voxels)[i]);
        break;
    case ANL_VOXEL_U16:
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)s->voxels)[i] = (uint16_t)(((1u << bits) - 1) - ((uint16_t *)s->voxels)[i]);
        break;
    case ANL_VOXEL_I16: /* least + most is -1 */
        for (int64_t i = 0; i < count; i++)
            ((int16_t *)s->voxels)[i] = (int16_t)(-1 - ((int16_t *)s->voxels)[i]);
        break;
    case ANL_VOXEL_I32:
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)s->voxels)[i] = -1 - ((int32_t *)s->voxels)[i];
        break;
    case ANL_VOXEL_F32:
        for (int64_t i = 0; i < count; i++)
            ((float *)s->voxels)[i] = -((float *)s->voxels)[i];
        break;
    case ANL_VOXEL_F64:
        for (int64_t i = 0; i < count; i++)
            ((double *)s->voxels)[i] = -((double *)s->voxels)[i];
        break;
    }
    s->inverted = true;
}

static anl_status read_open(const char *path, FILE *file, bool voxels, anl_scan *out, char *reason)
{
    struct stat about;
    if (fstat(fileno(file), &about) != 0)
        return anl_scan_refuse(reason, ANL_ERROR_FILE, "%s", strerror(errno));
    if (!S_ISREG(about.st_mode))
        return anl_scan_refuse(reason, ANL_ERROR_FILE, "it is not a regular file");
    if (about.st_size == 0)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "the file is empty");
    unsigned char first[ANL_SNIFF_BYTES] = {0};
    size_t length = fread(first, 1, sizeof first, file);
    if (ferror(file))
        return anl_scan_refuse(reason, ANL_ERROR_FILE, "%s", strerror(errno));
    const anl_scan_reader *reader = anl_scan_sniff(first, length);
    if (reader) {
        rewind(file);
        return reader->read(path, file, voxels, out, reason);
    }
    anl_text kinds = {0};
    for (size_t i = 0; i < ANL_COUNT(readers); i++)
        anl_text_printf(&kinds, "%s%s", i ? ", " : "", readers[i]->name);
    anl_status status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is none of %.200s", kinds.data);
    anl_text_free(&kinds);
    return status;
}

static anl_status read_scan(const char *path, bool voxels, anl_scan *out, char *reason)
{
    anl_scan_reset(out);
    reason[0] = '\0';
    FILE *file = fopen(path, "rb");
    if (!file)
        return anl_scan_refuse(reason, ANL_ERROR_FILE, "%s", strerror(errno));
    anl_status status = read_open(path, file, voxels, out, reason);
    fclose(file);
    if (status != ANL_OK)
        anl_scan_free(out);
    return status;
}

anl_status anl_scan_decode(const char *path, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    return read_scan(path, true, out, reason);
}

anl_status anl_scan_probe(const char *path, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    return read_scan(path, false, out, reason);
}

anl_status anl_scan_read(const char *path, anl_scan *out, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    anl_status status = anl_scan_decode(path, out, reason);
    if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_image_unreadable, (anl_span){.file = path}, "cannot read the image %s: %s", path, reason);
    return status;
}
