/* DICOM (PS3.3 and PS3.5): what the values that DCMTK reads mean.
 * In: an open file. Out: frames as a scan: those that are slices of a volume lie along its depth, ordered by their position; others
 * (time points, runs of a cine loop, projections) are its frames. Values are those stored, without overlays in their upper bits;
 * slope, intercept and unit say what they stand for. White is never 0 (MONOCHROME1 is turned), but where values have a unit they
 * keep it and are not turned. Palettes and YBR become RGB. */
#include "data/dicom.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/modality.h>

#include "base/base.h"
#include "base/folders.h"
#include "data/orient.h"
#include "data/series.h"

/* Set once, before the first file is read. */
static const anl_dicom_library *dicom;
static char not_loaded[256];

/* PS3.6 */
enum {
    MODALITY = 0x00080060,
    PATIENT_ID = 0x00100020,
    SLICE_THICKNESS = 0x00180050,
    SPACING_BETWEEN_SLICES = 0x00180088,
    IMAGER_PIXEL_SPACING = 0x00181164,
    NOMINAL_SCANNED_PIXEL_SPACING = 0x00182010,
    ULTRASOUND_REGIONS = 0x00186011,
    REGION_UNITS_X = 0x00186024,
    REGION_UNITS_Y = 0x00186026,
    REGION_DELTA_X = 0x0018602C,
    REGION_DELTA_Y = 0x0018602E,
    STUDY = 0x0020000D,
    SERIES = 0x0020000E,
    INSTANCE_NUMBER = 0x00200013,
    IMAGE_POSITION = 0x00200032,
    IMAGE_ORIENTATION = 0x00200037,
    LATERALITY = 0x00200060,
    IMAGE_LATERALITY = 0x00200062,
    FRAME_ANATOMY = 0x00209071,
    FRAME_LATERALITY = 0x00209072,
    PLANE_POSITION = 0x00209113,
    PLANE_ORIENTATION = 0x00209116,
    SAMPLES_PER_PIXEL = 0x00280002,
    PHOTOMETRIC = 0x00280004,
    PLANAR = 0x00280006,
    NUMBER_OF_FRAMES = 0x00280008,
    FRAME_INCREMENT = 0x00280009,
    ROWS = 0x00280010,
    COLUMNS = 0x00280011,
    PIXEL_SPACING = 0x00280030,
    BITS_ALLOCATED = 0x00280100,
    BITS_STORED = 0x00280101,
    HIGH_BIT = 0x00280102,
    PIXEL_REPRESENTATION = 0x00280103,
    WINDOW_CENTER = 0x00281050,
    WINDOW_WIDTH = 0x00281051,
    RESCALE_INTERCEPT = 0x00281052,
    RESCALE_SLOPE = 0x00281053,
    RESCALE_TYPE = 0x00281054,
    RED_DESCRIPTOR = 0x00281101,
    RED_DATA = 0x00281201,
    RED_SEGMENTS = 0x00281221,
    MODALITY_LUT = 0x00283000,
    LUT_DESCRIPTOR = 0x00283002,
    LUT_DATA = 0x00283006,
    PIXEL_MEASURES = 0x00289110,
    FRAME_VOI_LUT = 0x00289132,
    PIXEL_VALUE_TRANSFORMATION = 0x00289145,
    DETECTORS = 0x00540022,
    SLICE_VECTOR = 0x00540080,
    UNITS = 0x00541001,
    DOSE_UNITS = 0x30040002,
    FRAME_OFFSETS = 0x3004000C,
    DOSE_SCALING = 0x3004000E,
};

/* How the samples of a pixel become channels. */
typedef enum colours { GREY, RGB, YBR, YBR_422, PALETTE } colours;

typedef struct header {
    int width, height, frames, samples;
    int allocated, stored, high; /* bits */
    bool is_signed, planar, inverted;
    colours colours;
    char photometric[24], code[24]; /* code: the modality as DICOM has it */
    anl_dicom_pixels pixels;
    anl_dicom_frame coded; /* compressed: what each frame must be */
    bool scaled_apart;     /* frames have slopes and intercepts of their own: values are scaled while read, to float32 */
    bool looked_up;        /* through a modality LUT */
} header;

/* A value of the data set itself, or of the functional groups of a frame, where it may stand in either. */
static int numbers_of(anl_dicom *d, int frame, uint32_t sequence, uint32_t tag, double *values, int count)
{
    int n = sequence ? dicom->numbers(d, (anl_dicom_place){frame, sequence, tag}, values, count) : 0;
    return n > 0 ? n : dicom->numbers(d, (anl_dicom_place){-1, 0, tag}, values, count);
}

static bool number_of(anl_dicom *d, int frame, uint32_t sequence, uint32_t tag, double *value)
{
    return numbers_of(d, frame, sequence, tag, value, 1) > 0;
}

static bool text_of(anl_dicom *d, uint32_t sequence, uint32_t tag, char *text, size_t size)
{
    return (sequence && dicom->text(d, (anl_dicom_place){0, sequence, tag}, text, size)) ||
           dicom->text(d, (anl_dicom_place){-1, 0, tag}, text, size);
}

/* A whole number that must be within bounds where it is there. */
static bool whole_of(anl_dicom *d, uint32_t tag, int least, int most, int *value)
{
    double v;
    if (!number_of(d, -1, 0, tag, &v) || v != floor(v) || v < least || v > most)
        return false;
    *value = (int)v;
    return true;
}

/* Ids have at most 64 characters; a longer one, cut, could be another's. */
static void take_id(anl_dicom *d, uint32_t tag, char id[72])
{
    char text[1024];
    text_of(d, 0, tag, text, sizeof text);
    if (strlen(text) < 72)
        strcpy(id, text);
    else
        snprintf(id, 72, "%.40s %016llx", text, (unsigned long long)anl_hash_text(text, 0));
}

/* ---- the pixels ---- */

static anl_status read_colours(header *h, char *reason)
{
    static const struct {
        const char *name;
        colours colours;
        int samples;
    } known[] = {{"MONOCHROME1", GREY, 1}, {"MONOCHROME2", GREY, 1},     {"PALETTE COLOR", PALETTE, 1},
                 {"RGB", RGB, 3},          {"YBR_FULL", YBR, 3},         {"YBR_FULL_422", YBR_422, 3}};
    for (size_t i = 0; i < ANL_COUNT(known); i++)
        if (!strcmp(h->photometric, known[i].name)) {
            if (h->samples != known[i].samples)
                return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: %s with %d samples per pixel", h->photometric,
                                       h->samples);
            h->colours = known[i].colours;
            h->inverted = i == 0;
            /* Decoding a JPEG evens out what was subsampled. */
            if (h->colours == YBR_422 && h->pixels.kind != ANL_DICOM_PLAIN)
                h->colours = YBR;
            return ANL_OK;
        }
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM with photometric interpretation %s; grey, RGB, YBR_FULL and palettes are read",
                           h->photometric[0] ? h->photometric : "unknown");
}

/* Bits of a sample, and where they lie in a word. */
static anl_status read_bits(anl_dicom *d, header *h, char *reason)
{
    if (!whole_of(d, BITS_ALLOCATED, 1, 64, &h->allocated) ||
        (h->allocated != 1 && h->allocated != 8 && h->allocated != 16 && h->allocated != 32))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM whose samples do not take 1, 8, 16 or 32 bits each");
    if (!whole_of(d, BITS_STORED, 1, h->allocated, &h->stored))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the number of bits stored is missing or not 1 to %d",
                               h->allocated);
    if (!whole_of(d, HIGH_BIT, h->stored - 1, h->allocated - 1, &h->high))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the high bit is missing or not %d to %d", h->stored - 1,
                               h->allocated - 1);
    int representation = 0;
    if (!whole_of(d, PIXEL_REPRESENTATION, 0, 1, &representation))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: whether its pixels have a sign is not said");
    h->is_signed = representation == 1;
    if (h->pixels.kind == ANL_DICOM_JPEG || h->pixels.kind == ANL_DICOM_JPEG_LS) {
        anl_status status = dicom->first_frame(d, &h->coded, reason);
        if (status != ANL_OK)
            return status;
        if (h->coded.bits < 2 || h->coded.bits > 16 || h->allocated < h->coded.bits)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: compressed samples of %d bits, where %d are allocated",
                                   h->coded.bits, h->allocated);
        /* The codec's word is as wide as it must be; its precision is the last word on how many bits there are. */
        h->allocated = h->coded.bits > 8 ? 16 : 8;
        if (h->stored > h->coded.bits)
            h->stored = h->coded.bits;
        if (h->high >= h->coded.bits)
            h->high = h->coded.bits - 1;
    }
    if (h->allocated == 32 && h->pixels.big_endian)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM in big-endian order with samples of 32 bits");
    if (h->allocated == 1 && (h->samples != 1 || h->pixels.kind != ANL_DICOM_PLAIN))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM with %d samples of 1 bit per pixel, or compressed ones", h->samples);
    if (h->colours != GREY && h->is_signed)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: colours below 0");
    if (h->colours == YBR_422 && (h->width % 2 || h->allocated != 8))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: YBR_FULL_422 of %d columns and %d bits", h->width, h->allocated);
    return ANL_OK;
}

static size_t frame_values(const header *h)
{
    return (size_t)h->width * (size_t)h->height * (size_t)(h->colours == YBR_422 ? 2 : h->samples);
}

static anl_status read_frame_count(anl_dicom *d, header *h, char *reason)
{
    char text[24];
    h->frames = 1;
    if (text_of(d, 0, NUMBER_OF_FRAMES, text, sizeof text) && !whole_of(d, NUMBER_OF_FRAMES, 1, INT32_MAX, &h->frames))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its number of frames is `%s`", text);
    return ANL_OK;
}

/* Whether there are as many pixels as the header says: before anything is allocated for them. */
static anl_status check_amount(const header *h, char *reason)
{
    const anl_dicom_pixels *p = &h->pixels;
    if (p->kind == ANL_DICOM_RLE || p->kind == ANL_DICOM_JPEG || p->kind == ANL_DICOM_JPEG_LS) {
        if (p->parts < h->frames)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: it has the data of %d frame%s, where %d are announced", p->parts,
                                   p->parts == 1 ? "" : "s", h->frames);
        return ANL_OK;
    }
    const double bits = (double)frame_values(h) * h->frames * h->allocated, needed = ceil(bits / 8);
    if ((double)p->bytes < needed)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: it has %.0f bytes of pixels, where %.0f are needed",
                               (double)p->bytes, needed);
    return ANL_OK;
}

static anl_status read_header(anl_dicom *d, header *h, char *reason)
{
    text_of(d, 0, MODALITY, h->code, sizeof h->code);
    anl_status status = dicom->find_pixels(d, &h->pixels, reason);
    if (status != ANL_OK)
        return status;
    if (h->pixels.kind == ANL_DICOM_NONE)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM without pixels%s%s", h->code[0] ? ", of modality " : "", h->code);
    if (!whole_of(d, ROWS, 1, 65535, &h->height) || !whole_of(d, COLUMNS, 1, 65535, &h->width))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its numbers of rows and columns are missing or 0");
    if (!whole_of(d, SAMPLES_PER_PIXEL, 1, 4, &h->samples))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its number of samples per pixel is missing or not 1 to 4");
    status = read_frame_count(d, h, reason);
    if (status != ANL_OK)
        return status;
    text_of(d, 0, PHOTOMETRIC, h->photometric, sizeof h->photometric);
    status = read_colours(h, reason);
    if (status != ANL_OK)
        return status;
    if (h->pixels.kind == ANL_DICOM_FLOAT || h->pixels.kind == ANL_DICOM_DOUBLE) {
        if (h->colours != GREY)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: colours of floating-point numbers");
        h->allocated = h->stored = h->pixels.kind == ANL_DICOM_FLOAT ? 32 : 64;
    } else
        status = read_bits(d, h, reason);
    int planar = 0;
    h->planar = h->samples > 1 && whole_of(d, PLANAR, 0, 1, &planar) && planar == 1;
    if (h->colours == YBR_422 && h->planar)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: YBR_FULL_422 in planes");
    return status == ANL_OK ? check_amount(h, reason) : status;
}

static void choose_type(const header *h, anl_scan *out)
{
    out->bits = h->stored;
    if (h->pixels.kind == ANL_DICOM_FLOAT)
        out->type = ANL_VOXEL_F32;
    else if (h->pixels.kind == ANL_DICOM_DOUBLE)
        out->type = ANL_VOXEL_F64;
    else if (h->is_signed)
        out->type = h->stored > 16 ? ANL_VOXEL_I32 : ANL_VOXEL_I16;
    else if (h->stored > 16)
        out->type = ANL_VOXEL_F64; /* holds them all */
    else
        out->type = h->stored > 8 ? ANL_VOXEL_U16 : ANL_VOXEL_U8;
}

/* ---- lookup tables (PS3.3, C.11.1 and C.7.6.3.1.5) ---- */

typedef struct table {
    uint16_t *words; /* owned */
    size_t entries;
    double first; /* stored value of the first entry; those below have its value, those beyond the last that of the last */
    int bits;
} table;

static anl_status read_table(anl_dicom *d, const header *h, uint32_t sequence, uint32_t descriptor, uint32_t data, table *out, char *reason)
{
    double about[3];
    size_t count;
    if (dicom->numbers(d, (anl_dicom_place){-1, sequence, descriptor}, about, 3) != 3 ||
        !dicom->words(d, (anl_dicom_place){-1, sequence, data}, &out->words, &count))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: a lookup table is missing");
    out->entries = about[0] == 0 ? 65536 : (size_t)about[0];
    out->first = about[1];
    if (h->is_signed && out->first > 32767)
        out->first -= 65536;
    out->bits = (int)about[2];
    if (about[0] < 0 || about[0] > 65535 || out->bits < 8 || out->bits > 16)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: a lookup table of %.0f entries of %.0f bits", about[0], about[2]);
    if (out->bits == 8 && count == (out->entries + 1) / 2) { /* two a word, the first in the lower byte */
        uint16_t *apart = malloc(sizeof *apart * 2 * count);
        if (!apart)
            return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for a lookup table");
        for (size_t i = 0; i < count; i++) {
            apart[2 * i] = out->words[i] & 255;
            apart[2 * i + 1] = out->words[i] >> 8;
        }
        free(out->words);
        out->words = apart;
        count *= 2;
    }
    if (count < out->entries)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: a lookup table has %zu entries, where %zu are announced", count,
                               out->entries);
    return ANL_OK;
}

static uint16_t look_up(const table *t, double stored)
{
    double i = stored - t->first;
    i = i < 0 ? 0 : i > (double)(t->entries - 1) ? (double)(t->entries - 1) : i;
    return t->words[(size_t)i];
}

/* ---- frames ---- */

typedef struct work {
    anl_dicom *d;
    const header *h;
    anl_scan *out;
    table tables[3]; /* palette: red, green, blue; modality LUT: the first */
    double *scales;  /* slope and intercept of each frame, where they have their own */
    uint8_t *frame;  /* as it lies in the file */
} work;

/* Sample i of a frame as stored: its bits out of a word, with its sign. */
static inline double sample_at(const header *h, const uint8_t *frame, size_t i)
{
    uint32_t word;
    if (h->pixels.kind == ANL_DICOM_FLOAT) {
        float v;
        memcpy(&v, frame + 4 * i, 4);
        return v;
    }
    if (h->pixels.kind == ANL_DICOM_DOUBLE) {
        double v;
        memcpy(&v, frame + 8 * i, 8);
        return v;
    }
    if (h->allocated == 8)
        word = frame[i];
    else if (h->allocated == 16) {
        uint16_t v;
        memcpy(&v, frame + 2 * i, 2);
        word = v;
    } else if (h->allocated == 32)
        memcpy(&word, frame + 4 * i, 4);
    else
        return frame[i / 8] >> (i % 8) & 1; /* PS3.5, 8.1.1: the first in the lowest bit */
    word >>= h->high + 1 - h->stored;
    if (h->stored < 32)
        word &= (UINT32_C(1) << h->stored) - 1;
    if (h->is_signed && word >> (h->stored - 1))
        return (double)word - ldexp(1, h->stored);
    return word;
}

static void put(anl_scan *out, size_t at, double v)
{
    switch (out->type) {
    case ANL_VOXEL_U8:
        ((uint8_t *)out->voxels)[at] = (uint8_t)v;
        break;
    case ANL_VOXEL_U16:
        ((uint16_t *)out->voxels)[at] = (uint16_t)v;
        break;
    case ANL_VOXEL_I16:
        ((int16_t *)out->voxels)[at] = (int16_t)v;
        break;
    case ANL_VOXEL_I32:
        ((int32_t *)out->voxels)[at] = (int32_t)v;
        break;
    case ANL_VOXEL_F32:
        ((float *)out->voxels)[at] = (float)v;
        break;
    case ANL_VOXEL_F64:
        ((double *)out->voxels)[at] = v;
        break;
    }
}

static double clamp(double v, double most) { return v < 0 ? 0 : v > most ? most : v; }

/* YBR_FULL to RGB (PS3.3, C.7.6.3.1.2). */
static void put_ybr(anl_scan *out, size_t at, int bits, double y, double b, double r)
{
    const double most = ldexp(1, bits) - 1, middle = ldexp(1, bits - 1);
    b -= middle;
    r -= middle;
    put(out, at, floor(clamp(y + 1.402 * r, most) + 0.5));
    put(out, at + 1, floor(clamp(y - 0.344136 * b - 0.714136 * r, most) + 0.5));
    put(out, at + 2, floor(clamp(y + 1.772 * b, most) + 0.5));
}

/* A frame in w->frame becomes frame number `to` of the scan. rgb: the decoder has brought YBR to RGB. */
static void place_frame(const work *w, int number, size_t to, bool rgb)
{
    const header *h = w->h;
    const size_t pixels = (size_t)h->width * (size_t)h->height;
    size_t at = pixels * (size_t)w->out->channels * to;
    const bool in_planes = h->planar && h->pixels.kind == ANL_DICOM_PLAIN;
    const size_t step = in_planes ? 1 : (size_t)h->samples, plane = in_planes ? pixels : 1;
    switch (h->colours) {
    case GREY:
        for (size_t i = 0; i < pixels; i++) {
            double v = sample_at(h, w->frame, i);
            if (h->looked_up)
                v = look_up(&w->tables[0], v);
            else if (h->scaled_apart)
                v = v * w->scales[2 * number] + w->scales[2 * number + 1];
            put(w->out, at + i, v);
        }
        break;
    case PALETTE:
        for (size_t i = 0; i < pixels; i++)
            for (size_t c = 0; c < 3; c++)
                put(w->out, at + 3 * i + c, look_up(&w->tables[c], sample_at(h, w->frame, i)));
        break;
    case RGB:
    case YBR:
        for (size_t i = 0; i < pixels; i++, at += 3) {
            double v[3];
            for (size_t c = 0; c < 3; c++)
                v[c] = sample_at(h, w->frame, i * step + c * plane);
            if (h->colours == YBR && !rgb)
                put_ybr(w->out, at, h->stored, v[0], v[1], v[2]);
            else
                for (size_t c = 0; c < 3; c++)
                    put(w->out, at + c, v[c]);
        }
        break;
    case YBR_422: /* Y, Y, B, R for each two pixels */
        for (size_t i = 0; i < pixels; i++, at += 3) {
            const size_t pair = i / 2 * 4;
            put_ybr(w->out, at, h->stored, sample_at(h, w->frame, pair + i % 2), sample_at(h, w->frame, pair + 2),
                    sample_at(h, w->frame, pair + 3));
        }
        break;
    }
}

/* Frames of one bit follow each other without a gap, in the middle of bytes, too. */
static anl_status read_one_bit(const work *w, int number, char *reason)
{
    const uint64_t count = frame_values(w->h), first = count * (uint64_t)number;
    const uint64_t from = first / 8, to = (first + count + 7) / 8;
    const unsigned shift = (unsigned)(first % 8);
    anl_status status = dicom->read(w->d, from, (size_t)(to - from), w->frame, reason);
    if (status == ANL_OK && shift)
        for (uint64_t i = 0; i < to - from; i++)
            w->frame[i] = (uint8_t)(w->frame[i] >> shift | (i + 1 < to - from ? w->frame[i + 1] << (8 - shift) : 0));
    return status;
}

static anl_status read_frames(work *w, const int *order, char *reason)
{
    const header *h = w->h;
    const size_t bytes = (frame_values(h) * (size_t)h->allocated + 7) / 8;
    w->frame = malloc(bytes + 1); /* one bit: may begin and end within a byte */
    if (!w->frame)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for a frame");
    anl_status status = ANL_OK;
    for (int f = 0; f < h->frames && status == ANL_OK; f++) {
        bool rgb = false;
        if (h->allocated == 1)
            status = read_one_bit(w, f, reason);
        else if (h->pixels.kind == ANL_DICOM_PLAIN || h->pixels.kind == ANL_DICOM_FLOAT || h->pixels.kind == ANL_DICOM_DOUBLE)
            status = dicom->read(w->d, (uint64_t)bytes * (uint64_t)f, bytes, w->frame, reason);
        else
            status = dicom->decode(w->d, &(anl_dicom_frame){h->width, h->height, h->samples, h->coded.bits}, h->allocated / 8, w->frame,
                                      &rgb, reason);
        if (status == ANL_OK)
            place_frame(w, f, (size_t)(order ? order[f] : f), rgb);
    }
    return status;
}

/* ---- what the values are ---- */

static void read_unit(anl_dicom *d, const header *h, bool rescaled, char unit[16])
{
    char text[24];
    if (!strcmp(h->code, "CT") && rescaled) {
        /* Absent means HU in a CT image (PS3.3, C.8.2.1); other words are virtual or derived images of energies. */
        if (!text_of(d, PIXEL_VALUE_TRANSFORMATION, RESCALE_TYPE, text, sizeof text) || !strcmp(text, "HU"))
            strcpy(unit, "HU");
    } else if (!strcmp(h->code, "PT") && text_of(d, 0, UNITS, text, sizeof text))
        strcpy(unit, !strcmp(text, "BQML") ? "Bq/ml" : !strcmp(text, "GML") ? "g/ml" : "");
    else if (!strcmp(h->code, "RTDOSE") && text_of(d, 0, DOSE_UNITS, text, sizeof text) && !strcmp(text, "GY"))
        strcpy(unit, "Gy");
}

static anl_status read_scale(anl_dicom *d, work *w, header *h, anl_scan *out, char *reason)
{
    double slope = 1, intercept = 0, table_about[3];
    if (h->colours != GREY || h->pixels.kind == ANL_DICOM_FLOAT || h->pixels.kind == ANL_DICOM_DOUBLE)
        return ANL_OK;
    if (dicom->numbers(d, (anl_dicom_place){-1, MODALITY_LUT, LUT_DESCRIPTOR}, table_about, 3) > 0) {
        anl_status status = read_table(d, h, MODALITY_LUT, LUT_DESCRIPTOR, LUT_DATA, &w->tables[0], reason);
        h->looked_up = true;
        out->type = w->tables[0].bits > 8 ? ANL_VOXEL_U16 : ANL_VOXEL_U8;
        out->bits = w->tables[0].bits;
        return status;
    }
    bool rescaled = false;
    for (int f = 0; f < h->frames; f++) {
        double own[2] = {1, 0};
        if (number_of(d, f, PIXEL_VALUE_TRANSFORMATION, RESCALE_SLOPE, &own[0])) {
            rescaled = true;
            if (!number_of(d, f, PIXEL_VALUE_TRANSFORMATION, RESCALE_INTERCEPT, &own[1]))
                return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: a rescale slope without an intercept");
        } else if (number_of(d, -1, 0, DOSE_SCALING, &own[0]))
            rescaled = true;
        if (own[0] == 0)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: its rescale slope is 0");
        if (f == 0) {
            slope = own[0];
            intercept = own[1];
        } else if (own[0] != slope || own[1] != intercept) {
            if (!w->scales) {
                w->scales = malloc(sizeof *w->scales * 2 * (size_t)h->frames);
                if (!w->scales)
                    return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for the scales of its frames");
                for (int g = 0; g < f; g++) {
                    w->scales[2 * g] = slope;
                    w->scales[2 * g + 1] = intercept;
                }
            }
        }
        if (w->scales) {
            w->scales[2 * f] = own[0];
            w->scales[2 * f + 1] = own[1];
        }
        if (dicom->frame_groups(d) == 0)
            break; /* all frames share what the data set says */
    }
    read_unit(d, h, rescaled, out->unit);
    h->scaled_apart = w->scales != NULL;
    if (h->scaled_apart) {
        out->type = ANL_VOXEL_F32;
        out->bits = 32;
    } else {
        out->slope = slope;
        out->intercept = intercept;
    }
    return ANL_OK;
}

static anl_status read_palette(anl_dicom *d, work *w, const header *h, anl_scan *out, char *reason)
{
    double ignored;
    if (dicom->numbers(d, (anl_dicom_place){-1, 0, RED_SEGMENTS}, &ignored, 1) > 0)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "DICOM with a segmented palette; convert it to RGB");
    for (int c = 0; c < 3; c++) {
        anl_status status = read_table(d, h, 0, RED_DESCRIPTOR + (uint32_t)c, RED_DATA + (uint32_t)c, &w->tables[c], reason);
        if (status != ANL_OK)
            return status;
        if (w->tables[c].bits != w->tables[0].bits)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged DICOM: the tables of its palette have different bits");
    }
    out->bits = w->tables[0].bits;
    out->type = out->bits > 8 ? ANL_VOXEL_U16 : ANL_VOXEL_U8;
    return ANL_OK;
}

/* ---- where it is ---- */

static void read_spacing(anl_dicom *d, anl_scan *out)
{
    double yx[2], z;
    static const uint32_t tags[] = {PIXEL_SPACING, IMAGER_PIXEL_SPACING, NOMINAL_SCANNED_PIXEL_SPACING};
    for (size_t i = 0; i < ANL_COUNT(tags) && out->spacing[0] == 0; i++)
        if (numbers_of(d, 0, PIXEL_MEASURES, tags[i], yx, 2) == 2 && yx[0] > 0 && yx[1] > 0) {
            out->spacing[0] = yx[1];
            out->spacing[1] = yx[0];
        }
    if (out->spacing[0] == 0 && dicom->items(d, ULTRASOUND_REGIONS) == 1) {
        double unit[2];
        const anl_dicom_place places[] = {{-1, ULTRASOUND_REGIONS, REGION_UNITS_X},
                                          {-1, ULTRASOUND_REGIONS, REGION_UNITS_Y},
                                          {-1, ULTRASOUND_REGIONS, REGION_DELTA_X},
                                          {-1, ULTRASOUND_REGIONS, REGION_DELTA_Y}};
        if (dicom->numbers(d, places[0], &unit[0], 1) && dicom->numbers(d, places[1], &unit[1], 1) &&
            dicom->numbers(d, places[2], &yx[1], 1) && dicom->numbers(d, places[3], &yx[0], 1) && unit[0] == 3 && unit[1] == 3 &&
            yx[0] != 0 && yx[1] != 0) { /* 3: cm */
            out->spacing[0] = 10 * fabs(yx[1]);
            out->spacing[1] = 10 * fabs(yx[0]);
        }
    }
    if ((numbers_of(d, 0, PIXEL_MEASURES, SPACING_BETWEEN_SLICES, &z, 1) > 0 && z != 0) ||
        (numbers_of(d, 0, PIXEL_MEASURES, SLICE_THICKNESS, &z, 1) > 0 && z > 0))
        out->spacing[2] = fabs(z);
}

/* Direction of rows and columns, of unit length and at right angles. */
static bool orientation_of(anl_dicom *d, int frame, double o[6])
{
    if (numbers_of(d, frame, PLANE_ORIENTATION, IMAGE_ORIENTATION, o, 6) != 6 &&
        dicom->numbers(d, (anl_dicom_place){-1, DETECTORS, IMAGE_ORIENTATION}, o, 6) != 6)
        return false;
    double a = 0, b = 0, ab = 0;
    for (int i = 0; i < 3; i++) {
        a += o[i] * o[i];
        b += o[3 + i] * o[3 + i];
        ab += o[i] * o[3 + i];
    }
    return fabs(a - 1) < 0.01 && fabs(b - 1) < 0.01 && fabs(ab) < 0.01;
}

static bool position_of(anl_dicom *d, int frame, double p[3])
{
    return numbers_of(d, frame, PLANE_POSITION, IMAGE_POSITION, p, 3) == 3 ||
           dicom->numbers(d, (anl_dicom_place){-1, DETECTORS, IMAGE_POSITION}, p, 3) == 3;
}

static void set_affine(anl_scan *out, const double o[6], const double step[3], const double origin[3])
{
    for (int i = 0; i < 3; i++) {
        out->affine[i][0] = o[i] * (out->spacing[0] > 0 ? out->spacing[0] : 1);
        out->affine[i][1] = o[3 + i] * (out->spacing[1] > 0 ? out->spacing[1] : 1);
        out->affine[i][2] = step[i];
        out->affine[i][3] = origin[i];
    }
    out->oriented = true;
}

/* Frames of several places become slices: `order` gets for each frame its place in the scan. False: they make no volume, and stay
 * frames. */
static bool stack_frames(const double (*positions)[3], const double normal[3], int frames, int *order, int *depth, double step[3],
                         double origin[3])
{
    int *sorted = malloc(sizeof *sorted * (size_t)frames), count = 0;
    double(*levels)[3] = malloc(sizeof *levels * (size_t)frames);
    bool good = sorted && levels;
    if (good) {
        anl_series_sort(positions, normal, frames, sorted);
        for (int i = 0; i < frames; i++)
            if (i == 0 || anl_series_apart(positions[sorted[i - 1]], positions[sorted[i]], normal) > ANL_SERIES_SAME)
                memcpy(levels[count++], positions[sorted[i]], sizeof levels[0]);
        const int repeats = frames / count;
        good = count > 1 && count * repeats == frames;
        for (int i = 0; i < frames && good; i++) /* each level as often as the others */
            good = fabs(anl_series_apart(levels[i / repeats], positions[sorted[i]], normal)) < repeats * ANL_SERIES_SAME;
        char ignored[ANL_REASON_SIZE];
        good = good && anl_series_steps((const double(*)[3])levels, count, step, ignored) == ANL_OK;
        if (good) {
            for (int k = 0; k < count; k++)
                for (int r = 0; r < repeats; r++)
                    order[sorted[k * repeats + r]] = r * count + k;
            *depth = count;
            memcpy(origin, levels[0], sizeof levels[0]);
        }
    }
    free(sorted);
    free(levels);
    return good;
}

/* The positions of all frames; false: some have none, or they face different ways. */
static bool frame_positions(anl_dicom *d, const header *h, const double o[6], double (*positions)[3])
{
    if (dicom->frame_groups(d) == h->frames) {
        for (int f = 0; f < h->frames; f++) {
            double own[6];
            if (!orientation_of(d, f, own) || !position_of(d, f, positions[f]))
                return false;
            for (int i = 0; i < 6; i++)
                if (fabs(own[i] - o[i]) > 1e-3)
                    return false;
        }
        return true;
    }
    /* Dose grids: offsets along the normal (PS3.3, C.8.8.3.2). */
    double *offsets = malloc(sizeof *offsets * (size_t)h->frames), origin[3];
    bool good = offsets && position_of(d, -1, origin) &&
                dicom->numbers(d, (anl_dicom_place){-1, 0, FRAME_OFFSETS}, offsets, h->frames) == h->frames;
    const double normal[3] = {o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]};
    const double from = good && offsets[0] != 0 ? offsets[0] : 0; /* then they are positions, not offsets */
    for (int f = 0; f < h->frames && good; f++)
        for (int i = 0; i < 3; i++)
            positions[f][i] = origin[i] + (offsets[f] - from) * normal[i];
    free(offsets);
    return good;
}

/* Slices of a reconstructed scintigram lie one behind the other at a known distance (PS3.3, C.8.4.8). */
static bool counted_slices(anl_dicom *d, const header *h, const anl_scan *out)
{
    double increments[4];
    return h->frames > 1 && dicom->frame_groups(d) == 0 && out->spacing[2] > 0 &&
           dicom->numbers(d, (anl_dicom_place){-1, 0, FRAME_INCREMENT}, increments, 4) == 1 && increments[0] == SLICE_VECTOR;
}

static anl_status place_in_patient(anl_dicom *d, const header *h, anl_scan *out, int **order, char *reason)
{
    double o[6], origin[3], step[3], between, way = 1;
    read_spacing(d, out);
    const bool facing = orientation_of(d, 0, o);
    const double normal[3] = {o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]};
    out->frames = h->frames;
    if (counted_slices(d, h, out)) {
        out->frames = 1;
        out->depth = h->frames;
        way = number_of(d, -1, 0, SPACING_BETWEEN_SLICES, &between) && between < 0 ? -1 : 1; /* against the normal (PS3.3, C.8.4.15) */
    }
    if (!facing)
        return ANL_OK;
    if (h->frames > 1 && out->depth == 1) {
        double(*positions)[3] = malloc(sizeof *positions * (size_t)h->frames);
        *order = malloc(sizeof **order * (size_t)h->frames);
        if (!positions || !*order) {
            free(positions);
            return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for the places of its frames");
        }
        const bool placed = frame_positions(d, h, o, positions);
        if (placed && stack_frames((const double(*)[3])positions, normal, h->frames, *order, &out->depth, step, origin)) {
            out->frames = h->frames / out->depth;
            out->spacing[2] = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
            set_affine(out, o, step, origin);
        } else {
            free(*order);
            *order = NULL;
        }
        free(positions);
        if (out->oriented || placed)
            return ANL_OK; /* several places that make no volume: none is the scan's */
    }
    if (position_of(d, 0, origin)) {
        for (int i = 0; i < 3; i++)
            step[i] = way * normal[i] * (out->spacing[2] > 0 ? out->spacing[2] : 1);
        set_affine(out, o, step, origin);
        out->position = origin[0] * normal[0] + origin[1] * normal[1] + origin[2] * normal[2];
    }
    return ANL_OK;
}

/* ---- the rest ---- */

static void read_about(anl_dicom *d, const header *h, anl_scan *out)
{
    char text[24];
    double number;
    const anl_modality *modality = h->code[0] ? anl_modality_meant(h->code) : NULL;
    out->segmentation = !strcmp(h->code, "SEG");
    if (modality && strcmp(modality->name, "other"))
        snprintf(out->modality, sizeof out->modality, "%s", modality->name);
    take_id(d, PATIENT_ID, out->patient);
    take_id(d, STUDY, out->study);
    take_id(d, SERIES, out->series);
    if (number_of(d, -1, 0, INSTANCE_NUMBER, &number) && number == floor(number) && fabs(number) < 1e15)
        out->place = (int64_t)number;
    if (dicom->text(d, (anl_dicom_place){0, FRAME_ANATOMY, FRAME_LATERALITY}, text, sizeof text) ||
        text_of(d, 0, IMAGE_LATERALITY, text, sizeof text) || text_of(d, 0, LATERALITY, text, sizeof text))
        out->laterality = (char)(text[1] == 0 && strchr("LRB", text[0]) ? text[0] : 0);
    double centre, width;
    if (numbers_of(d, 0, FRAME_VOI_LUT, WINDOW_CENTER, &centre, 1) > 0 && numbers_of(d, 0, FRAME_VOI_LUT, WINDOW_WIDTH, &width, 1) > 0 &&
        width > 0 && h->colours == GREY) {
        out->window[0] = centre;
        out->window[1] = width;
    }
}

/* White at 0 is turned round, and with it what the window says. A unit (HU) stays what it is: it has no black. */
static void turn(anl_scan *out)
{
    if (out->unit[0] || out->segmentation)
        return;
    const bool is_signed = out->type == ANL_VOXEL_I16 || out->type == ANL_VOXEL_I32;
    const bool floating = out->type == ANL_VOXEL_F32 || out->type == ANL_VOXEL_F64;
    const double ends = floating ? 0 : is_signed ? -1 : ldexp(1, out->bits) - 1; /* least + most */
    if (out->voxels)
        anl_scan_invert(out);
    out->inverted = true;
    if (out->window[1] > 0)
        out->window[0] = out->slope * ends + 2 * out->intercept - out->window[0];
}

static anl_status read_open(anl_dicom *d, bool voxels, work *w, int **order, anl_scan *out, char *reason)
{
    header h = {0};
    w->h = &h;
    anl_status status = read_header(d, &h, reason);
    if (status != ANL_OK)
        return status;
    out->width = h.width;
    out->height = h.height;
    out->channels = h.colours == GREY ? 1 : 3;
    choose_type(&h, out);
    status = h.colours == PALETTE ? read_palette(d, w, &h, out, reason) : read_scale(d, w, &h, out, reason);
    if (status == ANL_OK)
        status = place_in_patient(d, &h, out, order, reason);
    if (status == ANL_OK)
        status = anl_scan_allocate(out, voxels, reason);
    if (status == ANL_OK && voxels)
        status = read_frames(w, *order, reason);
    if (status != ANL_OK)
        return status;
    read_about(d, &h, out);
    if (h.inverted)
        turn(out);
    return out->depth > 1 ? anl_scan_orient(out, reason) : ANL_OK;
}

static void load(void)
{
    void *module = dlopen(anl_module_dicom(), RTLD_NOW | RTLD_LOCAL); /* stays for the life of the process */
    dicom = module ? (const anl_dicom_library *)dlsym(module, "anl_dicom_module") : NULL;
    if (!dicom) {
        const char *why = dlerror();
        snprintf(not_loaded, sizeof not_loaded, "%s", why ? why : "it lacks anl_dicom_module");
    }
}

static anl_status read(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)path;
    pthread_once(&once, load);
    if (!dicom)
        return anl_scan_refuse(reason, ANL_ERROR_FILE, "it is DICOM, and the module that reads it cannot be loaded: %s", not_loaded);
    anl_dicom *d;
    anl_status status = dicom->open(file, &d, reason);
    if (status != ANL_OK)
        return status;
    work w = {.d = d, .out = out};
    int *order = NULL;
    status = read_open(d, voxels, &w, &order, out, reason);
    for (int c = 0; c < 3; c++)
        free(w.tables[c].words);
    free(w.scales);
    free(w.frame);
    free(order);
    dicom->close(&d);
    return status;
}

static const char *const endings[] = {".dcm", ".dicom", NULL};
const anl_scan_reader anl_reader_dicom = {"DICOM", endings, anl_dicom_sniff, read};
