/* Tests of the readers of medical files: DICOM, NIfTI, orientation, series.
 * In: files this test writes itself, byte by byte, into a temporary folder. Out: check's report; lines `skip` for readers that this build
 * has not. What must come back is known to the bit. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include "base/base.h"
#include "data/orient.h"
#include "data/pack.h"
#include "data/scan.h"
#include "data/series.h"

static char root[64];
static anl_arena *arena;

static const char *in_root(const char *name) { return anl_arena_printf(arena, "%s/%s", root, name); }

static void setup(void)
{
    strcpy(root, "/tmp/anlage-scan-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    arena = anl_arena_new();
}

static void teardown(void)
{
    DIR *open = opendir(root);
    for (struct dirent *found; open && (found = readdir(open));)
        unlink(in_root(found->d_name));
    if (open)
        closedir(open);
    rmdir(root);
    anl_arena_free(&arena);
}

static const char *write_bytes(const char *name, const void *bytes, size_t length)
{
    const char *path = in_root(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
    return path;
}

static double at(const anl_scan *scan, int64_t index)
{
    double value;
    anl_scan_stored(scan, index, 1, &value);
    return value;
}

/* Reads whole and by its header: both must say the same. */
static anl_scan good(const char *path)
{
    anl_scan scan, header;
    char reason[ANL_REASON_SIZE];
    ck_assert_msg(anl_scan_decode(path, &scan, reason) == ANL_OK, "%s: %s", path, reason);
    ck_assert_msg(anl_scan_probe(path, &header, reason) == ANL_OK, "%s: %s", path, reason);
    ck_assert_ptr_null(header.voxels);
    ck_assert_ptr_nonnull(scan.voxels);
    header.voxels = scan.voxels;
    /* NAN is not equal to itself */
    ck_assert(isnan(header.position) == isnan(scan.position));
    header.position = scan.position;
    ck_assert_int_eq(header.width, scan.width);
    ck_assert_int_eq(header.height, scan.height);
    ck_assert_int_eq(header.depth, scan.depth);
    ck_assert_int_eq(header.frames, scan.frames);
    ck_assert_int_eq(header.channels, scan.channels);
    ck_assert_int_eq(header.type, scan.type);
    ck_assert_int_eq(header.bits, scan.bits);
    ck_assert_int_eq(header.inverted, scan.inverted);
    ck_assert_int_eq(header.oriented, scan.oriented);
    ck_assert_int_eq(header.segmentation, scan.segmentation);
    ck_assert_str_eq(header.unit, scan.unit);
    ck_assert_str_eq(header.modality, scan.modality);
    ck_assert(header.slope == scan.slope && header.intercept == scan.intercept);
    ck_assert(!memcmp(header.window, scan.window, sizeof scan.window));
    ck_assert(!memcmp(header.spacing, scan.spacing, sizeof scan.spacing));
    ck_assert(!memcmp(header.affine, scan.affine, sizeof scan.affine));
    return scan;
}

static void refused(const char *path, const char *why)
{
    anl_scan scan;
    char reason[ANL_REASON_SIZE];
    ck_assert_int_ne(anl_scan_decode(path, &scan, reason), ANL_OK);
    ck_assert_ptr_null(scan.voxels);
    ck_assert_msg(strstr(reason, why), "expected `%s` in: %s", why, reason);
}

/* ---- DICOM, written by hand: explicit VR, little-endian ---- */

typedef struct dicom {
    uint8_t *bytes;
    size_t length, capacity;
} dicom;

static void add_bytes(dicom *d, const void *bytes, size_t length)
{
    if (d->length + length > d->capacity) {
        d->capacity = 2 * (d->length + length);
        d->bytes = realloc(d->bytes, d->capacity);
    }
    if (length)
        memcpy(d->bytes + d->length, bytes, length);
    d->length += length;
}

static void add_word(dicom *d, unsigned v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        add_bytes(d, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static void add_tag(dicom *d, uint32_t tag)
{
    add_word(d, tag >> 16, 2);
    add_word(d, tag & 0xFFFF, 2);
}

static bool is_long(const char *vr) { return strstr("OB OW OF OD SQ UN UT", vr) != NULL; }

static void add(dicom *d, uint32_t tag, const char *vr, const void *value, size_t length)
{
    add_tag(d, tag);
    add_bytes(d, vr, 2);
    size_t even = length + (length & 1);
    if (is_long(vr)) {
        add_word(d, 0, 2);
        add_word(d, (unsigned)even, 4);
    } else
        add_word(d, (unsigned)even, 2);
    add_bytes(d, value, length);
    if (length & 1)
        add_bytes(d, strcmp(vr, "UI") && vr[0] != 'O' ? " " : "", 1);
}

static void add_text(dicom *d, uint32_t tag, const char *vr, const char *text) { add(d, tag, vr, text, strlen(text)); }
static void add_us(dicom *d, uint32_t tag, unsigned v) { add(d, tag, "US", &(uint16_t){(uint16_t)v}, 2); }

/* Sequences and items of no stated length. */
static void begin_sequence(dicom *d, uint32_t tag)
{
    add_tag(d, tag);
    add_bytes(d, "SQ\0\0", 4);
    add_word(d, 0xFFFFFFFF, 4);
}
static void begin_item(dicom *d)
{
    add_tag(d, 0xFFFEE000);
    add_word(d, 0xFFFFFFFF, 4);
}
static void end_item(dicom *d)
{
    add_tag(d, 0xFFFEE00D);
    add_word(d, 0, 4);
}
static void end_sequence(dicom *d)
{
    add_tag(d, 0xFFFEE0DD);
    add_word(d, 0, 4);
}
static void begin_group(dicom *d, uint32_t tag)
{
    begin_sequence(d, tag);
    begin_item(d);
}
static void end_group(dicom *d)
{
    end_item(d);
    end_sequence(d);
}

static dicom begin(const char *syntax)
{
    dicom d = {0};
    uint8_t preamble[128] = {0};
    add_bytes(&d, preamble, sizeof preamble);
    add_bytes(&d, "DICM", 4);
    add(&d, 0x00020000, "UL", &(uint32_t){(uint32_t)(8 + strlen(syntax) + (strlen(syntax) & 1))}, 4);
    add_text(&d, 0x00020010, "UI", syntax);
    return d;
}
#define PLAIN "1.2.840.10008.1.2.1"
#define RLE "1.2.840.10008.1.2.5"
#define JPEG "1.2.840.10008.1.2.4.50"

typedef struct pixels {
    int width, height, samples, allocated, stored, high, is_signed;
    const char *photometric, *frames, *modality;
    bool planar;
} pixels;

static void add_pixel_module(dicom *d, const pixels *p)
{
    add_us(d, 0x00280002, (unsigned)p->samples);
    add_text(d, 0x00280004, "CS", p->photometric);
    if (p->samples > 1)
        add_us(d, 0x00280006, p->planar);
    if (p->frames)
        add_text(d, 0x00280008, "IS", p->frames);
    add_us(d, 0x00280010, (unsigned)p->height);
    add_us(d, 0x00280011, (unsigned)p->width);
    add_us(d, 0x00280100, (unsigned)p->allocated);
    add_us(d, 0x00280101, (unsigned)p->stored);
    add_us(d, 0x00280102, (unsigned)p->high);
    add_us(d, 0x00280103, (unsigned)p->is_signed);
}

/* Groups before 0028 */
static void add_front(dicom *d, const char *modality)
{
    add_text(d, 0x00080060, "CS", modality);
    add_text(d, 0x00100020, "LO", "P 17");
    add_text(d, 0x0020000D, "UI", "1.2.3");
    add_text(d, 0x0020000E, "UI", "1.2.3.4");
    add_text(d, 0x00200013, "IS", "7 ");
}

static const char *finish(dicom *d, const char *name, const void *voxels, size_t length)
{
    if (voxels)
        add(d, 0x7FE00010, "OW", voxels, length);
    const char *path = write_bytes(name, d->bytes, d->length);
    free(d->bytes);
    *d = (dicom){0};
    return path;
}

static const char *simple(const char *name, const pixels *p, const void *voxels, size_t length)
{
    dicom d = begin(PLAIN);
    add_front(&d, p->modality ? p->modality : "OT");
    add_pixel_module(&d, p);
    return finish(&d, name, voxels, length);
}

static bool have_dicom(void)
{
    const pixels p = {1, 1, 1, 8, 8, 7, 0, "MONOCHROME2", NULL, NULL, false};
    anl_scan scan;
    char reason[ANL_REASON_SIZE] = "";
    anl_status status = anl_scan_decode(simple("probe.dcm", &p, "\0\0", 2), &scan, reason);
    if (status == ANL_OK)
        anl_scan_free(&scan);
    return !strstr(reason, "built without DCMTK"); /* any other reason is a failure where it matters */
}

/* A coronal PET slice of 2 x 2, its values at a scale of its own; as an entry of a pack. */
static anl_pack_entry pet_slice(const char *name, int k, const char *position, const char *slope)
{
    const pixels p = {2, 2, 1, 16, 16, 15, 0, "MONOCHROME2", NULL, NULL, false};
    const uint16_t v[4] = {(uint16_t)(10 * k), (uint16_t)(10 * k + 1), (uint16_t)(10 * k + 2), (uint16_t)(10 * k + 3)};
    dicom d = begin(PLAIN);
    add_front(&d, "PT");
    add_text(&d, 0x00200032, "DS", position);
    add_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\0\\-1");
    add_pixel_module(&d, &p);
    add_text(&d, 0x00280030, "DS", "4\\4");
    add_text(&d, 0x00281052, "DS", "0");
    add_text(&d, 0x00281053, "DS", slope);
    const char *path = finish(&d, name, v, sizeof v);
    anl_scan *slice = anl_malloc(sizeof *slice);
    char reason[ANL_REASON_SIZE];
    ck_assert_int_eq(anl_scan_probe(path, slice, reason), ANL_OK);
    ck_assert(anl_pack_is_slice(slice));
    return (anl_pack_entry){.path = path,
                            .file = name,
                            .row = -1,
                            .slice = slice,
                            .seen = {.good = true, .type = slice->type, .bits = slice->bits, .slope = slice->slope, .depth = 1, .frames = 1}};
}

START_TEST(dicom_files_of_a_slice_each_become_a_volume)
{
    if (!have_dicom())
        return;
    anl_pack_entry entries[] = {pet_slice("c.dcm", 1, "-4\\20\\7", "2"), pet_slice("a.dcm", 2, "-4\\30\\7", "3"), pet_slice("b.dcm", 0, "-4\\10\\7", "1")};
    anl_pack_state p = {.arena = arena, .entries = entries, .entry_count = 3};
    ck_assert_int_eq(anl_pack_gather(&p), ANL_OK);
    ck_assert_int_eq(p.entry_count, 1);
    ck_assert_int_eq(entries[0].slice_count, 3);
    ck_assert_str_eq(entries[0].file, "b.dcm");
    ck_assert(entries[0].seen.type == ANL_VOXEL_F32 && entries[0].seen.depth == 3); /* three scales in one */
    anl_scan s;
    char reason[ANL_REASON_SIZE];
    ck_assert_msg(anl_pack_read(&entries[0], &s, reason) == ANL_OK, "%s", reason);
    ck_assert(s.width == 2 && s.height == 3 && s.depth == 2 && s.type == ANL_VOXEL_F32); /* axial: the slices lie along y */
    ck_assert(s.spacing[0] == 4 && s.spacing[1] == 10 && s.spacing[2] == 4);
    ck_assert(s.affine[0][3] == -4 && s.affine[1][3] == 10 && s.affine[2][3] == 3);
    for (int z = 0; z < 2; z++)
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 2; x++)
                ck_assert_double_eq(at(&s, (z * 3 + y) * 2 + x), (10 * y + 2 * (1 - z) + x) * (y + 1));
    anl_scan_free(&s);
    /* A file that has become another between header and voxels is not taken. */
    free(pet_slice("c.dcm", 1, "-4\\24\\7", "2").slice);
    ck_assert_int_eq(anl_pack_read(&entries[0], &s, reason), ANL_ERROR_FORMAT);
    ck_assert_str_eq(reason, "its files change while they are read");
    unlink(in_root("c.dcm"));
    ck_assert_int_eq(anl_pack_read(&entries[0], &s, reason), ANL_ERROR_FILE);
    ck_assert_str_eq(reason, "of its slice c.dcm: No such file or directory");
    /* Two files of one place, and steps that differ by more than a tenth. */
    anl_pack_entry twice[] = {pet_slice("a.dcm", 0, "0\\10\\0", "1"), pet_slice("b.dcm", 1, "0\\20\\0", "1"), pet_slice("c.dcm", 2, "0\\10\\0", "1")};
    p = (anl_pack_state){.arena = arena, .entries = twice, .entry_count = 3};
    ck_assert_int_eq(anl_pack_gather(&p), ANL_OK);
    ck_assert(twice[0].refused && strstr(twice[0].refused, "two of its 3 slices lie at one place, a.dcm and c.dcm"));
    for (int over = 0; over < 2; over++) {
        anl_pack_entry steps[] = {pet_slice("a.dcm", 0, "0\\10\\0", "1"), pet_slice("b.dcm", 1, over ? "0\\21.2\\0" : "0\\20.9\\0", "1"),
                                  pet_slice("c.dcm", 2, "0\\30\\0", "1")};
        p = (anl_pack_state){.arena = arena, .entries = steps, .entry_count = 3};
        ck_assert_int_eq(anl_pack_gather(&p), ANL_OK);
        ck_assert_int_eq(p.entry_count, 1);
        ck_assert(over == (steps[0].refused != NULL));
    }
}
END_TEST

START_TEST(dicom_values_are_the_bits_stored)
{
    if (!have_dicom()) {
        printf("skip DICOM built without DCMTK\n");
        return;
    }
    /* 12 bits at the bottom, an overlay above; the same in the middle of a word; signed; 8 bits in 16 */
    const uint16_t low[4] = {0x0001, 0xF002, 0x0FFF, 0x8800}, middle[4] = {0x0010, 0x002F, 0xFFF0, 0x8800};
    const pixels a = {2, 2, 1, 16, 12, 11, 0, "MONOCHROME2", NULL, "MR", false};
    anl_scan s = good(simple("a.dcm", &a, low, sizeof low));
    ck_assert_int_eq(s.type, ANL_VOXEL_U16);
    ck_assert_int_eq(s.bits, 12);
    ck_assert_str_eq(s.modality, "mr");
    ck_assert_str_eq(s.patient, "P 17");
    ck_assert_str_eq(s.study, "1.2.3");
    ck_assert_str_eq(s.series, "1.2.3.4");
    ck_assert_int_eq(s.place, 7);
    ck_assert(at(&s, 0) == 1 && at(&s, 1) == 2 && at(&s, 2) == 4095 && at(&s, 3) == 0x800);
    anl_scan_free(&s);
    const pixels b = {2, 2, 1, 16, 12, 15, 0, "MONOCHROME2", NULL, NULL, false};
    s = good(simple("b.dcm", &b, middle, sizeof middle));
    ck_assert(at(&s, 0) == 1 && at(&s, 1) == 2 && at(&s, 2) == 4095 && at(&s, 3) == 0x880);
    ck_assert_str_eq(s.modality, "");
    anl_scan_free(&s);
    const pixels c = {2, 2, 1, 16, 12, 11, 1, "MONOCHROME2", NULL, NULL, false};
    s = good(simple("c.dcm", &c, low, sizeof low));
    ck_assert_int_eq(s.type, ANL_VOXEL_I16);
    ck_assert(at(&s, 0) == 1 && at(&s, 1) == 2 && at(&s, 2) == -1 && at(&s, 3) == -2048);
    anl_scan_free(&s);
    const pixels e = {2, 2, 1, 16, 8, 7, 0, "MONOCHROME2", NULL, NULL, false};
    s = good(simple("e.dcm", &e, low, sizeof low));
    ck_assert_int_eq(s.type, ANL_VOXEL_U8);
    ck_assert(at(&s, 0) == 1 && at(&s, 1) == 2 && at(&s, 2) == 255 && at(&s, 3) == 0);
    anl_scan_free(&s);
    /* 32 bits: beyond the integers of float32 */
    const uint32_t wide[2] = {4294967295u, 16777217u};
    const pixels f = {2, 1, 1, 32, 32, 31, 0, "MONOCHROME2", NULL, NULL, false};
    s = good(simple("f.dcm", &f, wide, sizeof wide));
    ck_assert(at(&s, 0) == 4294967295.0 && at(&s, 1) == 16777217.0);
    anl_scan_free(&s);
    const pixels g = {2, 1, 1, 32, 32, 31, 1, "MONOCHROME2", NULL, NULL, false};
    s = good(simple("g.dcm", &g, wide, sizeof wide));
    ck_assert_int_eq(s.type, ANL_VOXEL_I32);
    ck_assert(at(&s, 0) == -1 && at(&s, 1) == 16777217.0);
    anl_scan_free(&s);
}
END_TEST

START_TEST(dicom_white_at_nought_is_turned_but_not_where_there_is_a_unit)
{
    if (!have_dicom())
        return;
    const uint16_t v[2] = {0, 1000};
    for (int ct = 0; ct < 2; ct++) {
        dicom d = begin(PLAIN);
        add_front(&d, ct ? "CT" : "DX");
        const pixels p = {2, 1, 1, 16, 12, 11, 0, "MONOCHROME1", NULL, NULL, false};
        add_pixel_module(&d, &p);
        add_text(&d, 0x00281050, "DS", "100\\300");
        add_text(&d, 0x00281051, "DS", "200\\400");
        if (ct) {
            add_text(&d, 0x00281052, "DS", "-1024");
            add_text(&d, 0x00281053, "DS", "+1.0e0");
        }
        anl_scan s = good(finish(&d, "m.dcm", v, sizeof v));
        ck_assert_int_eq(s.inverted, !ct);
        if (ct) {
            ck_assert_str_eq(s.unit, "HU");
            ck_assert(at(&s, 0) == 0 && at(&s, 1) == 1000 && s.slope == 1 && s.intercept == -1024 && s.window[0] == 100);
        } else {
            ck_assert_str_eq(s.modality, "radiograph");
            ck_assert(at(&s, 0) == 4095 && at(&s, 1) == 3095);
            ck_assert(s.window[0] == 3995 && s.window[1] == 200);
        }
        anl_scan_free(&s);
    }
}
END_TEST

START_TEST(dicom_colours_become_rgb)
{
    if (!have_dicom())
        return;
    const uint8_t mixed[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, planes[12] = {1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12};
    for (int planar = 0; planar < 2; planar++) {
        const pixels p = {2, 2, 3, 8, 8, 7, 0, "RGB", NULL, NULL, planar};
        anl_scan s = good(simple("rgb.dcm", &p, planar ? planes : mixed, 12));
        ck_assert_int_eq(s.channels, 3);
        for (int i = 0; i < 12; i++)
            ck_assert(at(&s, i) == i + 1);
        anl_scan_free(&s);
    }
    /* Black, white, pure red as YBR_FULL; and as pairs that share their colour */
    const uint8_t ybr[6] = {0, 128, 128, 76, 85, 255}, shared[4] = {76, 255, 128, 128};
    const pixels full = {2, 1, 3, 8, 8, 7, 0, "YBR_FULL", NULL, NULL, false}, half = {2, 1, 3, 8, 8, 7, 0, "YBR_FULL_422", NULL, NULL, false};
    anl_scan s = good(simple("ybr.dcm", &full, ybr, sizeof ybr));
    ck_assert(at(&s, 0) == 0 && at(&s, 1) == 0 && at(&s, 2) == 0);
    ck_assert(at(&s, 3) == 254 && at(&s, 4) == 0 && at(&s, 5) == 0);
    anl_scan_free(&s);
    s = good(simple("422.dcm", &half, shared, sizeof shared));
    for (int c = 0; c < 3; c++)
        ck_assert(at(&s, c) == 76 && at(&s, 3 + c) == 255);
    anl_scan_free(&s);
    /* A palette whose first entry is for 2: below it holds the first, beyond the last the last. */
    dicom d = begin(PLAIN);
    add_front(&d, "US");
    const pixels p = {4, 1, 1, 8, 8, 7, 0, "PALETTE COLOR", NULL, NULL, false};
    add_pixel_module(&d, &p);
    const uint16_t about[3] = {3, 2, 16}, red[3] = {10, 20, 30}, green[3] = {11, 21, 31}, blue[3] = {65535, 22, 32};
    for (unsigned c = 0; c < 3; c++)
        add(&d, 0x00281101 + c, "US", about, sizeof about);
    add(&d, 0x00281201, "OW", red, sizeof red);
    add(&d, 0x00281202, "OW", green, sizeof green);
    add(&d, 0x00281203, "OW", blue, sizeof blue);
    const uint8_t indexes[4] = {0, 2, 3, 9};
    s = good(finish(&d, "palette.dcm", indexes, sizeof indexes));
    ck_assert_int_eq(s.type, ANL_VOXEL_U16);
    const double rgb[12] = {10, 11, 65535, 10, 11, 65535, 20, 21, 22, 30, 31, 32};
    for (int i = 0; i < 12; i++)
        ck_assert(at(&s, i) == rgb[i]);
    ck_assert_str_eq(s.modality, "ultrasound");
    anl_scan_free(&s);
}
END_TEST

START_TEST(dicom_frames_of_one_bit_lie_without_gaps)
{
    if (!have_dicom())
        return;
    /* 3 x 1 bits, 3 frames: 101 011 110, the first bit lowest */
    const uint8_t bits[2] = {0x5 | 0x6 << 3 | (0x3 & 3) << 6, 0x0};
    const pixels p = {3, 1, 1, 1, 1, 0, 0, "MONOCHROME2", "3", "SEG", false};
    anl_scan s = good(simple("seg.dcm", &p, bits, sizeof bits));
    ck_assert_int_eq(s.frames, 3);
    ck_assert_int_eq(s.bits, 1);
    ck_assert(s.segmentation);
    const int expected[9] = {1, 0, 1, 0, 1, 1, 1, 1, 0};
    for (int i = 0; i < 9; i++)
        ck_assert(at(&s, i) == expected[i]);
    anl_scan_free(&s);
}
END_TEST

/* An enhanced file: for each frame a position along z (and x, for a shear), with a slope of its own where `slopes` has them. */
static const char *enhanced(const char *name, const double *z, const double *slopes, int frames)
{
    dicom d = begin(PLAIN);
    add_front(&d, "MR");
    char count[8];
    snprintf(count, sizeof count, "%d", frames);
    const pixels p = {2, 1, 1, 16, 16, 15, 0, "MONOCHROME2", count, NULL, false};
    add_pixel_module(&d, &p);
    begin_group(&d, 0x52009229);
    begin_group(&d, 0x00209116);
    add_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    end_group(&d);
    begin_group(&d, 0x00289110);
    add_text(&d, 0x00180050, "DS", "9");
    add_text(&d, 0x00280030, "DS", "0.5\\0.25");
    end_group(&d);
    end_group(&d);
    begin_sequence(&d, 0x52009230);
    for (int f = 0; f < frames; f++) {
        char text[64];
        begin_item(&d);
        begin_group(&d, 0x00209113);
        snprintf(text, sizeof text, "-10\\20\\%g", z[f]);
        add_text(&d, 0x00200032, "DS", text);
        end_group(&d);
        if (slopes) {
            begin_group(&d, 0x00289145);
            add_text(&d, 0x00281052, "DS", "5");
            snprintf(text, sizeof text, "%g", slopes[f]);
            add_text(&d, 0x00281053, "DS", text);
            end_group(&d);
        }
        end_item(&d);
    }
    end_sequence(&d);
    uint16_t *v = malloc(sizeof *v * 2 * (size_t)frames);
    for (int i = 0; i < 2 * frames; i++)
        v[i] = (uint16_t)i;
    const char *path = finish(&d, name, v, sizeof *v * 2 * (size_t)frames);
    free(v);
    return path;
}

START_TEST(dicom_frames_at_places_become_slices)
{
    if (!have_dicom())
        return;
    /* three places, two times, in disorder */
    const double z[6] = {4, 0, 2, 0, 4, 2};
    anl_scan s = good(enhanced("volume.dcm", z, NULL, 6));
    ck_assert_int_eq(s.depth, 3);
    ck_assert_int_eq(s.frames, 2);
    const int from[6] = {1, 2, 0, 3, 5, 4}; /* frame in the file of each slice */
    for (int i = 0; i < 6; i++)
        ck_assert(at(&s, 2 * i) == 2 * from[i] && at(&s, 2 * i + 1) == 2 * from[i] + 1);
    ck_assert(s.spacing[0] == 0.25 && s.spacing[1] == 0.5 && s.spacing[2] == 2);
    ck_assert(s.oriented && s.affine[0][0] == 0.25 && s.affine[1][1] == 0.5 && s.affine[2][2] == 2);
    ck_assert(s.affine[0][3] == -10 && s.affine[1][3] == 20 && s.affine[2][3] == 0);
    anl_scan_free(&s);
    /* a gap, or a place more often than others: no volume, but frames */
    const double gap[4] = {0, 1, 2, 4}, uneven[3] = {0, 1, 1};
    s = good(enhanced("gap.dcm", gap, NULL, 4));
    ck_assert(s.depth == 1 && s.frames == 4 && !s.oriented && at(&s, 5) == 5);
    anl_scan_free(&s);
    s = good(enhanced("uneven.dcm", uneven, NULL, 3));
    ck_assert(s.depth == 1 && s.frames == 3 && !s.oriented);
    anl_scan_free(&s);
    /* each frame with its own slope: values, not what was stored */
    const double slopes[2] = {0.5, 2}, two[2] = {0, 3};
    s = good(enhanced("slopes.dcm", two, slopes, 2));
    ck_assert(s.type == ANL_VOXEL_F32 && s.slope == 1 && s.intercept == 0 && s.depth == 2);
    ck_assert(at(&s, 0) == 5 && at(&s, 1) == 5.5 && at(&s, 2) == 9 && at(&s, 3) == 11);
    anl_scan_free(&s);
    const double same[2] = {0.5, 0.5};
    s = good(enhanced("same.dcm", two, same, 2));
    ck_assert(s.type == ANL_VOXEL_U16 && s.slope == 0.5 && s.intercept == 5 && s.spacing[2] == 3);
    anl_scan_free(&s);
}
END_TEST

START_TEST(dicom_frames_in_time_stay_frames)
{
    if (!have_dicom())
        return;
    const uint8_t v[6] = {1, 2, 3, 4, 5, 6};
    const pixels cine = {2, 1, 1, 8, 8, 7, 0, "MONOCHROME2", "3", "US", false};
    anl_scan s = good(simple("cine.dcm", &cine, v, sizeof v));
    ck_assert(s.frames == 3 && s.depth == 1 && at(&s, 4) == 5);
    anl_scan_free(&s);
    /* Scintigraphy: slices say so, and how far apart they are; against the normal */
    dicom d = begin(PLAIN);
    add_text(&d, 0x00080060, "CS", "NM");
    add_text(&d, 0x00180050, "DS", "4");
    add_text(&d, 0x00180088, "DS", "-4");
    begin_group(&d, 0x00540022);
    add_text(&d, 0x00200032, "DS", "1\\2\\30");
    add_text(&d, 0x00200037, "DS", "1\\0\\0\\0\\1\\0");
    end_group(&d);
    const pixels nm = {2, 1, 1, 8, 8, 7, 0, "MONOCHROME2", "3", NULL, false};
    add_pixel_module(&d, &nm);
    add(&d, 0x00280009, "AT", (const uint16_t[2]){0x0054, 0x0080}, 4);
    s = good(finish(&d, "nm.dcm", v, sizeof v));
    ck_assert(s.frames == 1 && s.depth == 3 && s.spacing[2] == 4);
    ck_assert(at(&s, 0) == 5 && at(&s, 4) == 1); /* turned round: upwards */
    ck_assert(s.affine[2][2] == 4 && s.affine[2][3] == 22);
    anl_scan_free(&s);
}
END_TEST

/* A frame of 2 x 2 of 16 bits as RLE: two segments of four bytes each. */
static size_t rle_frame(uint8_t out[128], int cut)
{
    memset(out, 0, 128);
    out[0] = 2;
    out[4] = 64;
    out[8] = 70;
    const uint8_t data[] = {0x03, 1, 2, 3, 4, 0x80, /* literal */
                            0xFE, 9, 0x00, 8, 0, 0} /* three of 9, one 8 */;
    memcpy(out + 64, data, sizeof data);
    return 64 + sizeof data - (size_t)cut;
}

static const char *compressed(const char *name, const char *syntax, const pixels *p, const void *data, size_t length)
{
    dicom d = begin(syntax);
    add_front(&d, "MR");
    add_pixel_module(&d, p);
    add_tag(&d, 0x7FE00010);
    add_bytes(&d, "OB\0\0", 4);
    add_word(&d, 0xFFFFFFFF, 4);
    add_tag(&d, 0xFFFEE000);
    add_word(&d, 0, 4);
    add_tag(&d, 0xFFFEE000);
    add_word(&d, (unsigned)length, 4);
    add_bytes(&d, data, length);
    end_sequence(&d);
    return finish(&d, name, NULL, 0);
}

START_TEST(dicom_rle_is_read_or_refused)
{
    if (!have_dicom())
        return;
    const pixels p = {2, 2, 1, 16, 16, 15, 0, "MONOCHROME2", NULL, NULL, false};
    uint8_t frame[128];
    size_t length = rle_frame(frame, 0);
    anl_scan s = good(compressed("rle.dcm", RLE, &p, frame, length));
    ck_assert(at(&s, 0) == 0x109 && at(&s, 1) == 0x209 && at(&s, 2) == 0x309 && at(&s, 3) == 0x408);
    anl_scan_free(&s);
    for (int cut = 4; cut <= 70; cut += 2) {
        length = rle_frame(frame, cut);
        refused(compressed("cut.dcm", RLE, &p, frame, length), cut < 13 ? "RLE data of frame 1 ends early" : "damaged DICOM: ");
    }
    length = rle_frame(frame, 0);
    frame[8] = 60; /* segments out of order */
    refused(compressed("order.dcm", RLE, &p, frame, length), "ends early");
    frame[8] = 255;
    frame[11] = 255; /* far away */
    refused(compressed("far.dcm", RLE, &p, frame, length), "ends early");
    frame[0] = 3;
    refused(compressed("three.dcm", RLE, &p, frame, length), "3 RLE segments, where 2 are needed");
    pixels more = p;
    more.frames = "2";
    refused(compressed("frames.dcm", RLE, &more, frame, length), "the data of 1 frame, where 2 are announced");
    refused(compressed("jpeg.dcm", JPEG, &p, frame, length), "frame 1 is no JPEG");
    refused(compressed("j2k.dcm", "1.2.840.10008.1.2.4.90", &p, frame, length), "JPEG 2000");
    refused(compressed("unknown.dcm", "1.2.3.4", &p, frame, length), "1.2.3.4");
    refused(compressed("plain.dcm", PLAIN, &p, frame, length), "compressed, though it says Little Endian Explicit");
}
END_TEST

START_TEST(dicom_that_is_wrong_is_refused_with_the_reason)
{
    if (!have_dicom())
        return;
    static const uint16_t v[4] = {1, 2, 3, 4};
    const pixels right = {2, 2, 1, 16, 12, 11, 0, "MONOCHROME2", NULL, NULL, false};
    pixels p = right;
    refused(simple("w.dcm", &p, v, 6), "6 bytes of pixels, where 8 are needed");
    p.width = p.height = 65535;
    refused(simple("w.dcm", &p, v, 8), "where 8589672450 are needed");
    p.width = 0;
    refused(simple("w.dcm", &p, v, 8), "rows and columns");
    p = right;
    p.frames = "2147483647";
    refused(simple("w.dcm", &p, v, 8), "bytes of pixels");
    p.frames = "1A";
    refused(simple("w.dcm", &p, v, 8), "its number of frames is `1A`");
    p.frames = "0";
    refused(simple("w.dcm", &p, v, 8), "its number of frames is `0`");
    p.frames = "1.5";
    refused(simple("w.dcm", &p, v, 8), "its number of frames is `1.5`");
    p = right;
    p.stored = 17;
    refused(simple("w.dcm", &p, v, 8), "number of bits stored");
    p = right;
    p.high = 10;
    refused(simple("w.dcm", &p, v, 8), "high bit");
    p = right;
    p.allocated = 12;
    refused(simple("w.dcm", &p, v, 8), "1, 8, 16 or 32 bits");
    p = right;
    p.photometric = "CMYK";
    refused(simple("w.dcm", &p, v, 8), "photometric interpretation CMYK");
    p = right;
    p.photometric = "RGB";
    refused(simple("w.dcm", &p, v, 8), "RGB with 1 samples per pixel");
    p.photometric = "PALETTE COLOR";
    refused(simple("w.dcm", &p, v, 8), "a lookup table is missing");
    dicom d = begin(PLAIN);
    add_front(&d, "SR");
    refused(finish(&d, "w.dcm", NULL, 0), "DICOM without pixels, of modality SR");
    d = begin(PLAIN);
    add_front(&d, "CT");
    add_pixel_module(&d, &right);
    add_text(&d, 0x00281052, "DS", "0");
    add_text(&d, 0x00281053, "DS", "0");
    refused(finish(&d, "w.dcm", v, 8), "slope is 0");
    /* as long as all that is needed, but cut */
    d = begin(PLAIN);
    add_front(&d, "CT");
    add_pixel_module(&d, &right);
    add(&d, 0x7FE00010, "OW", v, 8);
    for (size_t cut = 1; cut < 8; cut++)
        refused(write_bytes("cut.dcm", d.bytes, d.length - cut), "damaged DICOM: ");
    /* Whatever is cut off, it is refused and not guessed at. */
    for (size_t length = 0; length < d.length; length += 3) {
        anl_scan scan;
        char reason[ANL_REASON_SIZE];
        ck_assert_int_ne(anl_scan_decode(write_bytes("cut.dcm", d.bytes, length), &scan, reason), ANL_OK);
        ck_assert(reason[0]);
    }
    free(d.bytes);
}
END_TEST

START_TEST(dicom_cannot_exhaust_stack_or_memory)
{
    if (!have_dicom())
        return;
    dicom d = begin(PLAIN);
    add_front(&d, "CT");
    for (int i = 0; i < 50000; i++)
        begin_group(&d, 0x0040A730);
    refused(finish(&d, "deep.dcm", NULL, 0), "nested too deeply");
    /* elements that claim 4 GiB each */
    d = begin(PLAIN);
    add_front(&d, "CT");
    for (unsigned i = 0; i < 50; i++) {
        add_tag(&d, 0x00291010 + i);
        add_bytes(&d, "OB\0\0", 4);
        add_word(&d, 0xFFFFFFF0, 4);
    }
    refused(finish(&d, "claims.dcm", NULL, 0), "damaged DICOM: ");
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!getenv("ANL_SANITIZED"))
        ck_assert_int_lt(usage.ru_maxrss, 300 * 1024);
}
END_TEST

/* Whether any file of the folder holds the text; the files are removed. */
static bool told_and_removed(const char *folder, const char *const *texts, size_t count)
{
    bool told = false;
    DIR *open = opendir(in_root(folder));
    ck_assert_ptr_nonnull(open);
    for (struct dirent *found; (found = readdir(open));) {
        const char *path = anl_arena_printf(arena, "%s/%s/%s", root, folder, found->d_name);
        char *bytes;
        size_t length;
        if (found->d_name[0] == '.' || anl_file_read(arena, path, 0, &bytes, &length) != ANL_OK)
            continue;
        for (size_t i = 0; i < count; i++)
            told = told || memmem(bytes, length, texts[i], strlen(texts[i]));
        unlink(path);
    }
    closedir(open);
    rmdir(in_root(folder));
    return told;
}

START_TEST(dicom_packs_split_by_patient_and_name_none)
{
    if (!have_dicom())
        return; /* said above */
    const char *files[6];
    for (int i = 0; i < 6; i++) {
        const pixels p = {2, 2, 1, 16, 12, 11, 0, "MONOCHROME2", NULL, NULL, false};
        const uint16_t voxels[4] = {(uint16_t)i, 20, 30, 4000};
        dicom d = begin(PLAIN);
        add_text(&d, 0x00080020, "DA", "20011122");
        add_text(&d, 0x00080060, "CS", "CR");
        add_text(&d, 0x00080080, "LO", "Charite");
        add_text(&d, 0x00100010, "PN", "Roe^Richard ");
        add_text(&d, 0x00100020, "LO", i % 2 ? "HOSP 1077 " : "HOSP 2077 ");
        add_text(&d, 0x00100030, "DA", "19440506");
        add_text(&d, 0x0020000D, "UI", "1.2.3987");
        add_pixel_module(&d, &p);
        files[i] = finish(&d, anl_arena_printf(arena, "%d.dcm", i), voxels, sizeof voxels);
    }
    anl_pack_options o = {.inputs = files, .input_count = 6, .out = in_root("out"), .size = {2, 2}, .channels = 1, .fraction_test = 0.5, .threads = 1};
    anl_pack_report report;
    anl_diagnostics *problems = anl_diagnostics_new();
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_OK);
    ck_assert_int_eq(anl_diagnostics_count(problems), 0);
    ck_assert_int_eq((int)report.patients, 2);
    ck_assert_int_eq((int)report.train, 3); /* all of one patient */
    ck_assert_int_eq((int)report.test, 3);
    static const char *const texts[] = {"20011122", "Charite", "Roe", "HOSP", "1077", "19440506", "1.2.3987"};
    ck_assert(!told_and_removed("out", texts, ANL_COUNT(texts)));
    o.keep_ids = true; /* the one thing that is kept when it is asked for: the search does find */
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_OK);
    ck_assert(told_and_removed("out", texts, ANL_COUNT(texts)));
    o.keep_ids = false;
    const char *two[] = {files[1], files[3]}; /* one patient, perhaps because ids were blanked */
    o.inputs = two;
    o.input_count = 2;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_OK);
    ck_assert_int_eq(anl_diagnostics_count(problems), 1);
    ck_assert_int_eq(anl_diagnostics_get(problems, 0)->code, ANL_A_patients_unknown);
    told_and_removed("out", texts, ANL_COUNT(texts));
    anl_diagnostics_free(&problems);
}
END_TEST

START_TEST(dicom_needs_no_preamble_but_is_not_seen_everywhere)
{
    if (!have_dicom())
        return;
    const uint16_t v[4] = {1, 2, 3, 4};
    const pixels p = {2, 2, 1, 16, 12, 11, 0, "MONOCHROME2", NULL, NULL, false};
    dicom d = {0};
    add_front(&d, "MR");
    add_pixel_module(&d, &p);
    anl_scan s = good(finish(&d, "bare", v, sizeof v));
    ck_assert(at(&s, 3) == 4);
    anl_scan_free(&s);
    static const char *const others[] = {"", "\x08", "\x08\0\x05\0CS", "\x08\0\x05\0\x0a\0\0\0ISO_IR 100",
                                         "The quick brown fox jumps over the lazy dog, and again, and again, and again",
                                         "\x08\0\x05\0CS\x04\0abcd\x08\0\x05\0CS\x04\0abcd\x08\0\x05\0CS\x04\0abcd"};
    for (size_t i = 0; i < ANL_COUNT(others); i++)
        ck_assert(!anl_dicom_sniff((const unsigned char *)others[i], i == 3 ? 18 : i == 2 ? 6 : i == 5 ? 36 : strlen(others[i])));
    /* nothing that begins with noise or zeros */
    unsigned char noise[ANL_SNIFF_BYTES] = {0};
    ck_assert(!anl_dicom_sniff(noise, sizeof noise));
    uint64_t state = 1;
    for (int n = 0; n < 100000; n++) {
        for (size_t i = 0; i < 16; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            noise[i] = (unsigned char)(state >> 56);
        }
        noise[0] = 8;
        noise[1] = 0;
        ck_assert(!anl_dicom_sniff(noise, sizeof noise));
    }
}
END_TEST

/* ---- NIfTI, written by hand ---- */

typedef struct nifti {
    int version; /* 1, 2 */
    bool big, packed;
    int64_t dims[8];
    int datatype, size; /* bytes of a value */
    double step[3], slope, intercept;
    int sform, qform, units, intent;
    double srow[3][4], quatern[3], offsets[3], qfac;
    const void *data; /* in this machine's order */
    size_t count;
} nifti;

static void put_number(uint8_t *to, const void *value, size_t size, bool big)
{
    memcpy(to, value, size);
    const uint16_t one = 1;
    if (big == (*(const uint8_t *)&one == 1))
        for (size_t i = 0; i < size / 2; i++) {
            uint8_t b = to[i];
            to[i] = to[size - 1 - i];
            to[size - 1 - i] = b;
        }
}
static void put_int(uint8_t *to, int64_t v, size_t size, bool big)
{
    if (size == 2)
        put_number(to, &(int16_t){(int16_t)v}, 2, big);
    else if (size == 4)
        put_number(to, &(int32_t){(int32_t)v}, 4, big);
    else
        put_number(to, &v, 8, big);
}
static void put_real(uint8_t *to, double v, size_t size, bool big)
{
    if (size == 4)
        put_number(to, &(float){(float)v}, 4, big);
    else
        put_number(to, &v, 8, big);
}

/* Header and data; the offsets are those of the two standards. */
static uint8_t *nifti_bytes(const nifti *n, size_t *length)
{
    const bool two = n->version == 2;
    const size_t header = two ? 544 : 352;
    *length = header + n->count * (size_t)n->size;
    uint8_t *b = anl_arena_alloc(arena, *length);
    put_int(b, two ? 540 : 348, 4, n->big);
    memcpy(b + (two ? 4 : 344), two ? "n+2\0\r\n\032\n" : "n+1", two ? 8 : 4);
    for (int i = 0; i < 8; i++)
        put_int(b + (two ? 16 + 8 * i : 40 + 2 * i), n->dims[i], two ? 8 : 2, n->big);
    put_int(b + (two ? 12 : 70), n->datatype, 2, n->big);
    put_int(b + (two ? 14 : 72), 8 * n->size, 2, n->big);
    const size_t real = two ? 8 : 4;
    put_real(b + (two ? 104 : 76), n->qfac, real, n->big);
    for (int i = 0; i < 3; i++) {
        put_real(b + (two ? 104u + 8u * (unsigned)(i + 1) : 76u + 4u * (unsigned)(i + 1)), n->step[i], real, n->big);
        put_real(b + (two ? 352u + 8u * (unsigned)i : 256u + 4u * (unsigned)i), n->quatern[i], real, n->big);
        put_real(b + (two ? 376u + 8u * (unsigned)i : 268u + 4u * (unsigned)i), n->offsets[i], real, n->big);
        for (int a = 0; a < 4; a++)
            put_real(b + (two ? 400u + 32u * (unsigned)i + 8u * (unsigned)a : 280u + 16u * (unsigned)i + 4u * (unsigned)a), n->srow[i][a],
                     real, n->big);
    }
    if (two)
        put_int(b + 168, (int64_t)header, 8, n->big);
    else
        put_real(b + 108, (double)header, 4, n->big);
    put_real(b + (two ? 176 : 112), n->slope, real, n->big);
    put_real(b + (two ? 184 : 116), n->intercept, real, n->big);
    put_int(b + (two ? 344 : 252), n->qform, two ? 4 : 2, n->big);
    put_int(b + (two ? 348 : 254), n->sform, two ? 4 : 2, n->big);
    if (two)
        put_int(b + 500, n->units, 4, n->big);
    else
        b[123] = (uint8_t)n->units;
    put_int(b + (two ? 504 : 68), n->intent, two ? 4 : 2, n->big);
    for (size_t i = 0; i < n->count; i++)
        put_number(b + header + i * (size_t)n->size, (const uint8_t *)n->data + i * (size_t)n->size, (size_t)n->size, n->big && n->datatype < 2304 && n->datatype != 128);
    return b;
}

static const char *write_packed(const char *name, const uint8_t *bytes, size_t length)
{
    const char *path = in_root(name);
    gzFile file = gzopen(path, "wb");
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)length), (int)length);
    gzclose(file);
    return path;
}

static const char *write_nifti(const nifti *n)
{
    size_t length;
    uint8_t *b = nifti_bytes(n, &length);
    return n->packed ? write_packed("n.nii.gz", b, length) : write_bytes("n.nii", b, length);
}

static bool have_nifti(void)
{
    const uint8_t v = 1;
    const nifti n = {.version = 1, .dims = {3, 1, 1, 1}, .datatype = 2, .size = 1, .data = &v, .count = 1};
    anl_scan scan;
    char reason[ANL_REASON_SIZE] = "";
    if (anl_scan_decode(write_nifti(&n), &scan, reason) == ANL_OK)
        anl_scan_free(&scan);
    return !strstr(reason, "built without libnifti2");
}

START_TEST(nifti_reads_every_type_exactly)
{
    if (!have_nifti()) {
        printf("skip NIfTI built without libnifti2\n");
        return;
    }
    static const uint8_t u8[4] = {0, 1, 200, 255};
    static const int8_t i8[4] = {-128, -1, 0, 127};
    static const int16_t i16[4] = {-32768, -1, 300, 32767};
    static const uint16_t u16[4] = {0, 1, 40000, 65535};
    static const int32_t i32[4] = {INT32_MIN, -1, 16777217, INT32_MAX};
    static const uint32_t u32[4] = {0, 1, 16777217, UINT32_MAX};
    static const int64_t i64[4] = {-9007199254740992, -1, 5, 9007199254740992};
    static const uint64_t u64[4] = {0, 1, 5, 9007199254740992};
    static const float f32[4] = {-1.5f, 0, 1e-30f, 1e30f};
    static const double f64[4] = {-1.5, 0, 1e-300, 1e300};
    static const struct {
        int datatype, size, bits;
        const void *data;
        anl_voxel type;
        double values[4];
    } types[] = {{2, 1, 8, u8, ANL_VOXEL_U8, {0, 1, 200, 255}},
                 {256, 1, 8, i8, ANL_VOXEL_I16, {-128, -1, 0, 127}},
                 {4, 2, 16, i16, ANL_VOXEL_I16, {-32768, -1, 300, 32767}},
                 {512, 2, 16, u16, ANL_VOXEL_U16, {0, 1, 40000, 65535}},
                 {8, 4, 32, i32, ANL_VOXEL_I32, {-2147483648.0, -1, 16777217, 2147483647}},
                 {768, 4, 32, u32, ANL_VOXEL_F64, {0, 1, 16777217, 4294967295.0}},
                 {1024, 8, 64, i64, ANL_VOXEL_F64, {-9007199254740992.0, -1, 5, 9007199254740992.0}},
                 {1280, 8, 64, u64, ANL_VOXEL_F64, {0, 1, 5, 9007199254740992.0}},
                 {16, 4, 32, f32, ANL_VOXEL_F32, {-1.5, 0, 1e-30f, 1e30f}},
                 {64, 8, 64, f64, ANL_VOXEL_F64, {-1.5, 0, 1e-300, 1e300}}};
    for (size_t t = 0; t < ANL_COUNT(types); t++)
        for (int form = 0; form < 8; form++) {
            const nifti n = {.version = form & 1 ? 2 : 1, .big = form & 2, .packed = form & 4, .dims = {4, 2, 1, 1, 2}, .step = {1, 1, 1},
                             .datatype = types[t].datatype, .size = types[t].size, .data = types[t].data, .count = 4};
            anl_scan s = good(write_nifti(&n));
            ck_assert_int_eq(s.type, types[t].type);
            ck_assert_int_eq(s.bits, types[t].bits);
            ck_assert(s.width == 2 && s.height == 1 && s.depth == 1 && s.frames == 2 && s.channels == 1);
            ck_assert(s.slope == 1 && s.intercept == 0 && !s.oriented && !s.unit[0]);
            for (int i = 0; i < 4; i++)
                ck_assert_msg(at(&s, i) == types[t].values[i], "type %d form %d: %g", types[t].datatype, form, at(&s, i));
            anl_scan_free(&s);
        }
    const int64_t beyond[1] = {9007199254740993};
    const nifti wide = {.version = 1, .dims = {1, 1}, .datatype = 1024, .size = 8, .data = beyond, .count = 1};
    refused(write_nifti(&wide), "beyond 2^53");
    static const uint8_t colours[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    nifti rgb = {.version = 1, .big = true, .dims = {2, 2, 1}, .datatype = 128, .size = 3, .data = colours, .count = 2, .slope = 3};
    for (int alpha = 0; alpha < 2; alpha++) {
        rgb.datatype = alpha ? 2304 : 128;
        rgb.size = 3 + alpha;
        anl_scan s = good(write_nifti(&rgb));
        ck_assert(s.channels == 3 && s.type == ANL_VOXEL_U8 && s.bits == 8 && s.slope == 1);
        for (int i = 0; i < 6; i++)
            ck_assert(at(&s, i) == i + 1 + (alpha && i > 2));
        anl_scan_free(&s);
    }
    nifti complex = {.version = 1, .dims = {1, 1}, .datatype = 32, .size = 8, .data = beyond, .count = 1};
    refused(write_nifti(&complex), "values of type COMPLEX64");
}
END_TEST

START_TEST(nifti_keeps_scale_spacing_and_place)
{
    if (!have_nifti())
        return;
    int16_t v[24];
    for (int i = 0; i < 24; i++)
        v[i] = (int16_t)i;
    /* 2 x 3 x 4 to the right, the front, the head (RAS), 2 mm; in metres and by the quaternion, too */
    nifti n = {.version = 1, .dims = {3, 2, 3, 4}, .datatype = 4, .size = 2, .data = v, .count = 24, .step = {9, 9, 9}, .units = 2, .slope = 0.5, .intercept = -3, .sform = 1,
               .srow = {{2, 0, 0, 10}, {0, 2, 0, 20}, {0, 0, 2, 30}}};
    for (int form = 0; form < 3; form++) {
        if (form == 1) {
            n.units = 1;
            n.step[0] = n.step[1] = n.step[2] = 0.009;
            for (int i = 0; i < 3; i++)
                for (int a = 0; a < 4; a++)
                    n.srow[i][a] /= 1000;
        } else if (form == 2) {
            n.units = 2;
            n.sform = 0;
            n.qform = 1;
            n.qfac = 1;
            n.step[0] = n.step[1] = n.step[2] = 2;
            n.offsets[0] = 10;
            n.offsets[1] = 20;
            n.offsets[2] = 30;
        }
        anl_scan s = good(write_nifti(&n));
        ck_assert(s.width == 2 && s.height == 3 && s.depth == 4 && s.slope == 0.5 && s.intercept == -3);
        for (int a = 0; a < 3; a++)
            ck_assert_double_eq_tol(s.spacing[a], 2, 1e-6);
        ck_assert(s.oriented);
        for (int z = 0; z < 4; z++)
            for (int y = 0; y < 3; y++)
                for (int x = 0; x < 2; x++)
                    ck_assert(at(&s, (z * 3 + y) * 2 + x) == (z * 3 + 2 - y) * 2 + 1 - x);
        /* The first voxel is now the one farthest to the right and the front: x = 12, y = 24 in RAS */
        ck_assert_double_eq_tol(s.affine[0][3], -12, 1e-5);
        ck_assert_double_eq_tol(s.affine[1][3], -24, 1e-5);
        ck_assert_double_eq_tol(s.affine[2][3], 30, 1e-5);
        for (int i = 0; i < 3; i++)
            for (int a = 0; a < 3; a++)
                ck_assert_double_eq_tol(s.affine[i][a], i == a ? 2 : 0, 1e-6);
        anl_scan_free(&s);
    }
    /* No place, a scale that is none, steps that are none; labels */
    const nifti bare = {.version = 2, .dims = {3, 2, 3, 4}, .datatype = 4, .size = 2, .data = v, .count = 24, .step = {1.5, -2, NAN}, .slope = NAN, .intent = 1002};
    anl_scan s = good(write_nifti(&bare));
    ck_assert(!s.oriented && s.slope == 1 && s.intercept == 0 && s.segmentation);
    ck_assert(s.spacing[0] == 1.5 && s.spacing[1] == 2 && s.spacing[2] == 0);
    ck_assert(at(&s, 5) == 5);
    anl_scan_free(&s);
    nifti flat = n;
    flat.sform = 1; /* an affine without volume is none; the quaternion holds */
    memset(flat.srow, 0, sizeof flat.srow);
    s = good(write_nifti(&flat));
    ck_assert(s.oriented && fabs(s.affine[2][3] - 30) < 1e-5);
    anl_scan_free(&s);
}
END_TEST

START_TEST(nifti_pairs_are_read_together)
{
    if (!have_nifti())
        return;
    static const uint16_t v[2] = {0x1F8B, 513}; /* looks compressed, and is not */
    const nifti n = {.version = 1, .big = true, .dims = {1, 2}, .datatype = 512, .size = 2, .data = v, .count = 2};
    size_t length;
    uint8_t *b = nifti_bytes(&n, &length);
    memcpy(b + 344, "ni1", 4);
    put_real(b + 108, 0, 4, true);
    const char *path = write_bytes("p.hdr", b, 348);
    refused(path, "there is no .img file");
    write_bytes("p.img", b + 352, 4);
    anl_scan s = good(path);
    ck_assert(at(&s, 0) == 0x1F8B && at(&s, 1) == 513);
    anl_scan_free(&s);
    write_bytes("p.img", b + 352, 3);
    refused(path, "it ends early, with 3 bytes of voxels, where 4 are needed");
    unlink(in_root("p.img"));
    write_packed("p.img.gz", b + 352, 4);
    s = good(path);
    ck_assert(at(&s, 1) == 513);
    anl_scan_free(&s);
    write_bytes("q.img", b + 352, 4);
    s = good(write_packed("q.hdr.gz", b, 348));
    ck_assert(at(&s, 1) == 513);
    anl_scan_free(&s);
    memset(b + 344, 0, 4);
    b[38] = 'r';
    refused(write_bytes("a.hdr", b, 348), "ANALYZE 7.5");
}
END_TEST

START_TEST(nifti_that_is_wrong_is_refused_with_the_reason)
{
    if (!have_nifti())
        return;
    static const uint8_t v[64] = {1};
    const nifti right = {.version = 1, .dims = {3, 4, 4, 4}, .datatype = 2, .size = 1, .data = v, .count = 64};
    for (int form = 0; form < 4; form++) {
        nifti n = right;
        n.version = 1 + form % 2;
        n.big = form / 2;
        n.dims[1] = 32767;
        n.dims[2] = 32767;
        n.dims[3] = 32767;
        refused(write_nifti(&n), "need more than 1 GiB");
        n.dims[1] = n.version == 2 ? INT64_MAX : -1;
        refused(write_nifti(&n), "a dimension of");
        n = right;
        n.dims[0] = 5;
        n.dims[4] = 1;
        n.dims[5] = 3;
        refused(write_nifti(&n), "3 values per voxel along dimension 5");
        n = right;
        n.datatype = 77;
        refused(write_nifti(&n), "type 77");
        n = right;
        n.dims[0] = 8;
        refused(write_nifti(&n), n.version == 2 ? "it has 8 dimensions" : "it is none of");
    }
    /* Cut anywhere, packed or not: refused. */
    size_t length;
    uint8_t *b = nifti_bytes(&right, &length);
    anl_scan scan;
    char reason[ANL_REASON_SIZE];
    for (size_t cut = 0; cut < length; cut++) {
        ck_assert_int_ne(anl_scan_decode(write_bytes("cut.nii", b, cut), &scan, reason), ANL_OK);
        ck_assert_int_ne(anl_scan_decode(write_packed("cut.nii.gz", b, cut), &scan, reason), ANL_OK);
    }
    ck_assert_msg(strstr(reason, "its data ends early"), "%s", reason);
    size_t packed_length;
    char *packed;
    ck_assert_int_eq(anl_file_read(arena, write_packed("all.nii.gz", b, length), 0, &packed, &packed_length), ANL_OK);
    for (size_t cut = 0; cut < packed_length; cut++)
        ck_assert_msg(anl_scan_decode(write_bytes("cut.nii.gz", packed, cut), &scan, reason) != ANL_OK, "cut at %zu of %zu", cut, packed_length);
    packed[packed_length - 6] ^= 1; /* the checksum */
    refused(write_bytes("sum.nii.gz", packed, packed_length), "damaged NIfTI: ");
    const nifti large = {.version = 1, .packed = true, .dims = {3, 128, 128, 32}, .datatype = 2, .size = 1, .data = anl_arena_alloc(arena, 1 << 19), .count = 1 << 19};
    ck_assert_int_eq(anl_file_read(arena, write_nifti(&large), 0, &packed, &packed_length), ANL_OK);
    packed[packed_length - 6] ^= 1;
    refused(write_bytes("sum.nii.gz", packed, packed_length), "damaged NIfTI: its ");
    /* Far more behind the voxels than belongs there costs little time. */
    uint8_t *bomb = calloc(1, 64 << 20);
    memcpy(bomb, b, length);
    anl_scan s = good(write_packed("bomb.nii.gz", bomb, 64 << 20));
    anl_scan_free(&s);
    put_real(bomb + 108, 1e30, 4, false);
    refused(write_bytes("far.nii", bomb, length), "voxels begin at byte 1e+30");
    put_real(bomb + 108, NAN, 4, false);
    refused(write_bytes("far.nii", bomb, length), "voxels begin at byte");
    free(bomb);
}
END_TEST

/* ---- orientation and series ---- */

START_TEST(volumes_are_brought_into_one_orientation)
{
    /* The value of a voxel tells where it lies: 100 z + 10 y + x in the patient, whatever order and direction the file has. */
    static const int orders[6][3] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    static const int extent[3] = {2, 3, 4};
    for (int o = 0; o < 6; o++)
        for (int flips = 0; flips < 8; flips++)
            for (int wide = 0; wide < 2; wide++) {
                anl_scan s;
                anl_scan_reset(&s);
                int size[3];
                for (int a = 0; a < 3; a++) {
                    const int along = orders[o][a];
                    const bool back = flips >> a & 1;
                    size[a] = extent[along];
                    s.spacing[a] = along + 1;
                    s.affine[along][a] = back ? -(along + 1) : along + 1;
                    s.affine[along][3] = back ? (along + 1) * (extent[along] - 1) : 0;
                }
                s.width = size[0];
                s.height = size[1];
                s.depth = size[2];
                s.oriented = true;
                s.type = wide ? ANL_VOXEL_F64 : ANL_VOXEL_U16;
                s.frames = 2;
                char reason[ANL_REASON_SIZE];
                ck_assert_int_eq(anl_scan_allocate(&s, true, reason), ANL_OK);
                for (int64_t i = 0; i < anl_scan_count(&s); i++) {
                    const int64_t v = i % 24, at[3] = {v % size[0], v / size[0] % size[1], v / size[0] / size[1]};
                    int place[3];
                    for (int a = 0; a < 3; a++)
                        place[orders[o][a]] = (int)(flips >> a & 1 ? size[a] - 1 - at[a] : at[a]);
                    const int value = place[0] + 10 * place[1] + 100 * place[2] + (i >= 24 ? 1000 : 0);
                    if (wide)
                        ((double *)s.voxels)[i] = value;
                    else
                        ((uint16_t *)s.voxels)[i] = (uint16_t)value;
                }
                ck_assert_int_eq(anl_scan_orient(&s, reason), ANL_OK);
                ck_assert(s.width == 2 && s.height == 3 && s.depth == 4);
                for (int f = 0; f < 2; f++)
                    for (int z = 0; z < 4; z++)
                        for (int y = 0; y < 3; y++)
                            for (int x = 0; x < 2; x++)
                                ck_assert(at(&s, ((f * 4 + z) * 3 + y) * 2 + x) == x + 10 * y + 100 * z + 1000 * f);
                for (int i = 0; i < 3; i++) {
                    ck_assert(s.spacing[i] == i + 1 && s.affine[i][3] == 0);
                    for (int a = 0; a < 3; a++)
                        ck_assert(s.affine[i][a] == (a == i ? i + 1 : 0));
                }
                anl_scan_free(&s);
            }
}
END_TEST

START_TEST(single_slices_keep_their_plane)
{
    /* NIfTI's axes, to the right, the front, the head, as a coronal and a sagittal slice */
    static const struct {
        double affine[3][4];
        double out[3][2]; /* directions of x and y afterwards */
    } cases[] = {
        {{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}}, {{1, 0}, {0, 1}, {0, 0}}},  /* axial */
        {{{-1, 0, 0, 0}, {0, 0, -1, 0}, {0, 1, 0, 0}}, {{1, 0}, {0, 0}, {0, -1}}}, /* coronal */
        {{{0, 0, -1, 0}, {-1, 0, 0, 0}, {0, 1, 0, 0}}, {{0, 0}, {1, 0}, {0, -1}}}, /* sagittal */
        {{{0, 0, -1, 0}, {0, -1, 0, 0}, {1, 0, 0, 0}}, {{0, 0}, {1, 0}, {0, -1}}}, /* sagittal, the other way round */
    };
    for (size_t c = 0; c < ANL_COUNT(cases); c++) {
        anl_scan s;
        anl_scan_reset(&s);
        s.width = 3;
        s.height = 2;
        s.oriented = true;
        memcpy(s.affine, cases[c].affine, sizeof s.affine);
        char reason[ANL_REASON_SIZE];
        ck_assert_int_eq(anl_scan_allocate(&s, true, reason), ANL_OK);
        ck_assert_int_eq(anl_scan_orient(&s, reason), ANL_OK);
        ck_assert_int_eq(s.depth, 1);
        for (int i = 0; i < 3; i++)
            for (int a = 0; a < 2; a++)
                ck_assert_msg(s.affine[i][a] == cases[c].out[i][a], "case %zu: %d %d is %g", c, i, a, s.affine[i][a]);
        anl_scan_free(&s);
    }
}
END_TEST

START_TEST(series_are_sorted_and_gaps_found)
{
    const double normal[3] = {0, 0.6, 0.8};
    double positions[5][3];
    static const int disorder[5] = {3, 0, 4, 2, 1};
    for (int i = 0; i < 5; i++)
        for (int a = 0; a < 3; a++)
            positions[i][a] = 2.5 * disorder[i] * normal[a] + (a == 0 ? 7 : 0);
    int sorted[5];
    anl_series_sort((const double(*)[3])positions, normal, 5, sorted);
    double ordered[5][3], step[3];
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(disorder[sorted[i]], i);
        memcpy(ordered[i], positions[sorted[i]], sizeof ordered[i]);
    }
    char reason[ANL_REASON_SIZE];
    ck_assert_int_eq(anl_series_steps((const double(*)[3])ordered, 5, step, reason), ANL_OK);
    for (int a = 0; a < 3; a++)
        ck_assert_double_eq_tol(step[a], 2.5 * normal[a], 1e-12);
    memcpy(ordered[2], ordered[3], sizeof ordered[2]);
    memcpy(ordered[3], ordered[4], sizeof ordered[3]); /* the third is missing */
    ck_assert_int_eq(anl_series_steps((const double(*)[3])ordered, 4, step, reason), ANL_ERROR_FORMAT);
    ck_assert_msg(strstr(reason, "5 mm from slice 2 to the next, 2.5 mm usually"), "%s", reason);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scan");
    TCase *dicoms = tcase_create("dicom");
    tcase_add_checked_fixture(dicoms, setup, teardown);
    tcase_set_timeout(dicoms, 120);
    tcase_add_test(dicoms, dicom_files_of_a_slice_each_become_a_volume);
    tcase_add_test(dicoms, dicom_values_are_the_bits_stored);
    tcase_add_test(dicoms, dicom_white_at_nought_is_turned_but_not_where_there_is_a_unit);
    tcase_add_test(dicoms, dicom_colours_become_rgb);
    tcase_add_test(dicoms, dicom_frames_of_one_bit_lie_without_gaps);
    tcase_add_test(dicoms, dicom_frames_at_places_become_slices);
    tcase_add_test(dicoms, dicom_frames_in_time_stay_frames);
    tcase_add_test(dicoms, dicom_rle_is_read_or_refused);
    tcase_add_test(dicoms, dicom_that_is_wrong_is_refused_with_the_reason);
    tcase_add_test(dicoms, dicom_cannot_exhaust_stack_or_memory);
    tcase_add_test(dicoms, dicom_needs_no_preamble_but_is_not_seen_everywhere);
    tcase_add_test(dicoms, dicom_packs_split_by_patient_and_name_none);
    suite_add_tcase(suite, dicoms);
    TCase *niftis = tcase_create("nifti");
    tcase_add_checked_fixture(niftis, setup, teardown);
    tcase_set_timeout(niftis, 120);
    tcase_add_test(niftis, nifti_reads_every_type_exactly);
    tcase_add_test(niftis, nifti_keeps_scale_spacing_and_place);
    tcase_add_test(niftis, nifti_pairs_are_read_together);
    tcase_add_test(niftis, nifti_that_is_wrong_is_refused_with_the_reason);
    suite_add_tcase(suite, niftis);
    TCase *places = tcase_create("places");
    tcase_add_checked_fixture(places, setup, teardown);
    tcase_add_test(places, volumes_are_brought_into_one_orientation);
    tcase_add_test(places, single_slices_keep_their_plane);
    tcase_add_test(places, series_are_sorted_and_gaps_found);
    suite_add_tcase(suite, places);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
