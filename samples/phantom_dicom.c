/* Phantoms as DICOM (PS3.5, PS3.10): explicit little endian, nothing compressed.
 * In: a scan. Out: a file of one image, or of one slice of a series, or one of several frames whose places stand in functional groups
 * (PS3.3, C.7.6.16), as in the enhanced objects of CT and MR. Written here, as DCMTK's
 * tools would want a text dump and a process for each file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phantom_files.h"

typedef struct bytes {
    uint8_t *data;
    size_t length, capacity;
    bool failed; /* no memory */
} bytes;

static void add(bytes *b, const void *from, size_t length)
{
    if (b->length + length > b->capacity) {
        const size_t capacity = 2 * b->capacity + length;
        uint8_t *more = realloc(b->data, capacity);
        if (!more) {
            b->failed = true;
            return;
        }
        b->data = more;
        b->capacity = capacity;
    }
    memcpy(b->data + b->length, from, length);
    b->length += length;
}

static void add_16(bytes *b, unsigned v) { add(b, (uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8)}, 2); }
static void add_32(bytes *b, uint32_t v)
{
    add_16(b, v & 0xffff);
    add_16(b, v >> 16);
}

/* PS3.5, 7.1.2: lengths of these stand in 32 bits, of all others in 16. */
static void add_header(bytes *b, uint32_t tag, const char *vr, size_t length)
{
    add_16(b, tag >> 16);
    add_16(b, tag & 0xffff);
    add(b, vr, 2);
    if (!strcmp(vr, "OB") || !strcmp(vr, "OW") || !strcmp(vr, "SQ")) {
        add_16(b, 0);
        add_32(b, (uint32_t)length);
    } else
        add_16(b, (unsigned)length);
}

static void add_text(bytes *b, uint32_t tag, const char *vr, const char *text)
{
    const size_t length = strlen(text);
    add_header(b, tag, vr, length + length % 2);
    add(b, text, length);
    if (length % 2)
        add(b, strcmp(vr, "UI") ? " " : "", 1); /* ids end with 0 */
}

static void add_short(bytes *b, uint32_t tag, unsigned value)
{
    add_header(b, tag, "US", 2);
    add_16(b, value);
}

/* Decimal strings of at most 16 characters. */
static void add_numbers(bytes *b, uint32_t tag, const double *values, int count)
{
    char text[128] = "";
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.10g", i ? "\\" : "", values[i]);
    add_text(b, tag, "DS", text);
}

/* A sequence of one item; the item is freed. */
static void add_sequence(bytes *b, uint32_t tag, bytes *item)
{
    add_header(b, tag, "SQ", item->length + 8);
    add_16(b, 0xfffe);
    add_16(b, 0xe000);
    add_32(b, (uint32_t)item->length);
    add(b, item->data, item->length);
    b->failed = b->failed || item->failed;
    free(item->data);
    *item = (bytes){0};
}

/* Ids of the root that needs no registration (PS3.5, B.2). */
static void add_id(bytes *b, uint32_t tag, uint64_t number, const char *what)
{
    char text[65];
    uint64_t h = number * 0x9E3779B97F4A7C15u;
    for (; *what; what++)
        h = (h ^ (uint64_t)*what) * 0x100000001B3u;
    snprintf(text, sizeof text, "2.25.%" PRIu64, h);
    add_text(b, tag, "UI", text);
}

typedef struct object {
    const char *modality, *image, *frames; /* and the SOP classes of one image and of several (PS3.4, B.5) */
} object;
static const object objects[] = {
    [PHANTOM_RADIOGRAPH] = {"DX", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.13.1.1"},
    [PHANTOM_CT] = {"CT", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"},
    [PHANTOM_MR] = {"MR", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"},
    [PHANTOM_ULTRASOUND] = {"US", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.6.2"},
};

static void add_position(bytes *b, const phantom_scan *s, int slice)
{
    const double at[3] = {-0.5 * (s->width - 1) * s->spacing[0], -0.5 * (s->height - 1) * s->spacing[1],
                          (slice - 0.5 * (s->depth - 1)) * s->spacing[2]};
    add_numbers(b, 0x00200032, at, 3);
}

static const double upright[6] = {1, 0, 0, 0, 1, 0};

static void add_scale(bytes *b, const phantom_scan *s)
{
    add_numbers(b, 0x00281052, &s->intercept, 1);
    add_numbers(b, 0x00281053, &(double){1}, 1);
    add_text(b, 0x00281054, "LO", "HU");
}

/* What all frames share, and where each lies. */
static void add_groups(bytes *b, const phantom_scan *s)
{
    const double plane[2] = {s->spacing[1], s->spacing[0]};
    bytes shared = {0}, item = {0}, frames = {0};
    add_numbers(&item, 0x00200037, upright, 6);
    add_sequence(&shared, 0x00209116, &item);
    add_numbers(&item, 0x00180050, &s->spacing[2], 1);
    add_numbers(&item, 0x00180088, &s->spacing[2], 1);
    add_numbers(&item, 0x00280030, plane, 2);
    add_sequence(&shared, 0x00289110, &item);
    if (s->intercept != 0) {
        add_scale(&item, s);
        add_sequence(&shared, 0x00289145, &item);
    }
    add_sequence(b, 0x52009229, &shared);
    for (int z = 0; z < s->depth; z++) {
        bytes frame = {0};
        add_position(&item, s, z);
        add_sequence(&frame, 0x00209113, &item);
        add_16(&frames, 0xfffe);
        add_16(&frames, 0xe000);
        add_32(&frames, (uint32_t)frame.length);
        add(&frames, frame.data, frame.length);
        frames.failed = frames.failed || frame.failed;
        free(frame.data);
    }
    add_header(b, 0x52009230, "SQ", frames.length);
    add(b, frames.data, frames.length);
    b->failed = b->failed || frames.failed;
    free(frames.data);
}

/* Of one slice, or of all (slice < 0). */
static void add_pixels(bytes *b, const phantom_scan *s, int slice)
{
    const size_t plane = (size_t)s->width * (size_t)s->height, count = slice < 0 ? plane * (size_t)s->depth : plane;
    const uint16_t *voxels = s->voxels + (slice < 0 ? 0 : plane * (size_t)slice);
    const unsigned most = (1u << s->bits) - 1;
    if (s->bits == 8) {
        add_header(b, 0x7fe00010, "OB", count + count % 2);
        for (size_t i = 0; i < count; i++)
            add(b, &(uint8_t){(uint8_t)(s->white_first ? most - voxels[i] : voxels[i])}, 1);
        if (count % 2)
            add(b, "", 1);
        return;
    }
    add_header(b, 0x7fe00010, "OW", 2 * count);
    for (size_t i = 0; i < count; i++)
        add_16(b, s->white_first ? most - voxels[i] : voxels[i]);
}

/* One slice of a series, or (slice < 0) the whole scan. */
static bool write_object(const char *path, const phantom_scan *s, int slice)
{
    const object *o = &objects[s->kind];
    const bool frames = slice < 0 && s->depth > 1, placed = !frames && (slice >= 0 || s->kind != PHANTOM_RADIOGRAPH);
    const char *class = frames ? o->frames : o->image;
    const uint64_t instance = s->number + (uint64_t)(slice + 1) * 0xD1B54A32D192ED03u;
    char number[16];
    bytes meta = {0}, b = {0};
    add_header(&meta, 0x00020001, "OB", 2);
    add_16(&meta, 0x0100);
    add_text(&meta, 0x00020002, "UI", class);
    add_id(&meta, 0x00020003, instance, "instance");
    add_text(&meta, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    add_text(&meta, 0x00020012, "UI", "2.25.1");

    add(&b, (uint8_t[128]){0}, 128);
    add(&b, "DICM", 4);
    add_header(&b, 0x00020000, "UL", 4);
    add_32(&b, (uint32_t)meta.length);
    add(&b, meta.data, meta.length);
    add_text(&b, 0x00080016, "UI", class);
    add_id(&b, 0x00080018, instance, "instance");
    add_text(&b, 0x00080060, "CS", o->modality);
    add_text(&b, 0x00080070, "LO", "Anlage phantoms");
    add_text(&b, 0x00100010, "PN", "Phantom");
    add_text(&b, 0x00100020, "LO", s->patient);
    const double plane[2] = {s->spacing[1], s->spacing[0]};
    if (placed)
        add_numbers(&b, 0x00180050, &s->spacing[2], 1);
    if (!frames && !placed)
        add_numbers(&b, 0x00181164, plane, 2);
    add_id(&b, 0x0020000d, s->number, "study");
    add_id(&b, 0x0020000e, s->number, "series");
    snprintf(number, sizeof number, "%d", slice < 0 ? 1 : slice + 1);
    add_text(&b, 0x00200013, "IS", number);
    if (placed) {
        add_position(&b, s, slice < 0 ? 0 : slice);
        add_numbers(&b, 0x00200037, upright, 6);
    }
    add_short(&b, 0x00280002, 1);
    add_text(&b, 0x00280004, "CS", s->white_first ? "MONOCHROME1" : "MONOCHROME2");
    if (frames) {
        snprintf(number, sizeof number, "%d", s->depth);
        add_text(&b, 0x00280008, "IS", number);
    }
    add_short(&b, 0x00280010, (unsigned)s->height);
    add_short(&b, 0x00280011, (unsigned)s->width);
    if (placed)
        add_numbers(&b, 0x00280030, plane, 2);
    add_short(&b, 0x00280100, s->bits == 8 ? 8 : 16);
    add_short(&b, 0x00280101, (unsigned)s->bits);
    add_short(&b, 0x00280102, (unsigned)s->bits - 1);
    add_short(&b, 0x00280103, 0);
    if (!frames && s->intercept != 0)
        add_scale(&b, s);
    if (frames)
        add_groups(&b, s);
    add_pixels(&b, s, slice);

    bool good = !meta.failed && !b.failed;
    if (!good)
        fprintf(stderr, "phantoms: out of memory\n");
    FILE *file = good ? fopen(path, "wb") : NULL;
    if (good && (!file || fwrite(b.data, 1, b.length, file) != b.length)) {
        fprintf(stderr, "phantoms: %s: %s\n", path, strerror(errno));
        good = false;
    }
    if (file && fclose(file) != 0 && good) {
        fprintf(stderr, "phantoms: %s: %s\n", path, strerror(errno));
        good = false;
    }
    if (file && !good)
        remove(path);
    free(meta.data);
    free(b.data);
    return good;
}

bool phantom_write_dicom(const char *path, const phantom_scan *scan) { return write_object(path, scan, -1); }

bool phantom_write_dicom_slice(const char *path, const phantom_scan *scan, int slice) { return write_object(path, scan, slice); }
