/* Tests of the data layer: image readers, tables, packing, shards, data sets, order, loader.
 * In: files this test writes itself into a temporary folder. Out: check's report.
 * Every fixture is made with the same libraries' writers, so that what must come back is known to the bit. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tiffio.h>
#include <unistd.h>

#include <jpeglib.h> /* needs stdio.h before it */

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include "base/base.h"
#include "data/array.h"
#include "data/blosc_filter.h"
#include "data/csv.h"
#include "data/hdf5.h"
#include "data/scan.h"
#include "data/shard.h"

static char root[64];
static anl_arena *arena;
static anl_diagnostics *problems;

static const char *in_root(const char *name) { return anl_arena_printf(arena, "%s/%s", root, name); }

static void remove_all(const char *folder)
{
    DIR *open = opendir(folder);
    if (!open)
        return;
    for (struct dirent *found; (found = readdir(open));) {
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
            continue;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, found->d_name);
        struct stat about;
        if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode))
            remove_all(path);
        else
            unlink(path);
    }
    closedir(open);
    rmdir(folder);
}

static void setup(void)
{
    strcpy(root, "/tmp/anlage-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    arena = anl_arena_new();
    problems = anl_diagnostics_new();
}

static void teardown(void)
{
    remove_all(root);
    anl_diagnostics_free(&problems);
    anl_arena_free(&arena);
}

static bool has_code(anl_code code)
{
    for (int i = 0; i < anl_diagnostics_count(problems); i++)
        if (anl_diagnostics_get(problems, i)->code == code)
            return true;
    return false;
}

static const char *message(anl_code code)
{
    for (int i = 0; i < anl_diagnostics_count(problems); i++)
        if (anl_diagnostics_get(problems, i)->code == code)
            return anl_diagnostics_get(problems, i)->message;
    return "";
}

static void write_bytes(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static void write_text(const char *path, const char *text) { write_bytes(path, text, strlen(text)); }

static void *read_bytes(const char *path, size_t *length)
{
    char *text;
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, length), ANL_OK);
    return text;
}

/* A value that depends on everything, so that a transposed or shifted image shows. */
static int stored(const anl_scan *scan, int64_t index)
{
    double value;
    anl_scan_stored(scan, index, 1, &value);
    return (int)value;
}

static unsigned pattern(int x, int y, int c, int bits)
{
    unsigned v = (unsigned)(x * 37 + y * 101 + c * 59 + 7);
    return bits == 16 ? (v * 257 + 3 * v) & 65535 : v & ((1u << bits) - 1);
}

/* ---- TIFF ---- */

typedef struct tiff_case {
    int width, height, bits, samples, photometric, planar, compression, tile, rows_per_strip, format, extra;
} tiff_case;

static void put_sample(uint8_t *row, size_t i, int bits, unsigned v)
{
    if (bits == 16)
        ((uint16_t *)(void *)row)[i] = (uint16_t)v;
    else if (bits == 8)
        row[i] = (uint8_t)v;
    else
        row[i * (size_t)bits / 8] |= (uint8_t)(v << (8 - bits - (int)(i * (size_t)bits % 8)));
}

static void write_tiff_page(TIFF *tiff, const tiff_case *t)
{
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, t->width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, t->height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, t->bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, t->samples);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, t->photometric);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, t->planar);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, t->compression);
    if (t->format)
        TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, t->format);
    if (t->extra) {
        uint16_t kind = EXTRASAMPLE_UNASSALPHA;
        TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &kind);
    }
    if (t->photometric == PHOTOMETRIC_PALETTE) {
        uint16_t map[3][256];
        for (int i = 0; i < 1 << t->bits; i++)
            for (int c = 0; c < 3; c++)
                map[c][i] = (uint16_t)((i * (c + 1) * 3 & 255) << 8);
        TIFFSetField(tiff, TIFFTAG_COLORMAP, map[0], map[1], map[2]);
    }
    bool planar = t->planar == PLANARCONFIG_SEPARATE;
    int planes = planar ? t->samples : 1, per = planar ? 1 : t->samples;
    if (t->tile) {
        TIFFSetField(tiff, TIFFTAG_TILEWIDTH, t->tile);
        TIFFSetField(tiff, TIFFTAG_TILELENGTH, t->tile);
        size_t row = (size_t)TIFFTileRowSize(tiff);
        uint8_t *tile = malloc((size_t)TIFFTileSize(tiff));
        for (int plane = 0; plane < planes; plane++)
            for (int y0 = 0; y0 < t->height; y0 += t->tile)
                for (int x0 = 0; x0 < t->width; x0 += t->tile) {
                    memset(tile, 0, (size_t)TIFFTileSize(tiff));
                    for (int y = 0; y < t->tile; y++)
                        for (int x = 0; x < t->tile; x++)
                            for (int c = 0; c < per; c++)
                                put_sample(tile + row * (size_t)y, (size_t)(x * per + c), t->bits,
                                           pattern(x0 + x, y0 + y, plane + c, t->bits));
                    ck_assert_int_ge(TIFFWriteTile(tiff, tile, (uint32_t)x0, (uint32_t)y0, 0, (uint16_t)plane), 0);
                }
        free(tile);
    } else {
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, t->rows_per_strip);
        uint8_t *row = calloc(1, (size_t)TIFFScanlineSize(tiff) + 8);
        for (int plane = 0; plane < planes; plane++)
            for (int y = 0; y < t->height; y++) {
                memset(row, 0, (size_t)TIFFScanlineSize(tiff));
                for (int x = 0; x < t->width; x++)
                    for (int c = 0; c < per; c++)
                        put_sample(row, (size_t)(x * per + c), t->bits, pattern(x, y, plane + c, t->bits));
                ck_assert_int_ge(TIFFWriteScanline(tiff, row, (uint32_t)y, (uint16_t)plane), 0);
            }
        free(row);
    }
    TIFFWriteDirectory(tiff);
}

static void write_tiff(const char *path, const char *mode, const tiff_case *t, int pages)
{
    TIFF *tiff = TIFFOpen(path, mode);
    ck_assert_ptr_nonnull(tiff);
    for (int i = 0; i < pages; i++)
        write_tiff_page(tiff, t);
    TIFFClose(tiff);
}

START_TEST(tiff_reads_every_layout)
{
    static const int compressions[] = {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS};
    static const char *const modes[] = {"wl", "wb", "w8"}; /* little-endian, big-endian, BigTIFF */
    int cases = 0;
    for (int m = 0; m < 3; m++)
        for (int k = 0; k < 4; k++)
            for (int bits = 1; bits <= 16; bits *= 2)
                for (int tile = 0; tile <= 32; tile += 16)
                    for (int kind = 0; kind < 7; kind++) {
                        tiff_case t = {.width = 37,
                                       .height = 29,
                                       .bits = bits,
                                       .samples = 1,
                                       .photometric = PHOTOMETRIC_MINISBLACK,
                                       .planar = PLANARCONFIG_CONTIG,
                                       .compression = compressions[k],
                                       .tile = tile,
                                       .rows_per_strip = 5};
                        if (kind == 1)
                            t.photometric = PHOTOMETRIC_MINISWHITE;
                        if (kind == 2 || kind == 3 || kind == 4) {
                            t.photometric = PHOTOMETRIC_RGB;
                            t.samples = 3;
                            if (bits < 8)
                                continue;
                        }
                        if (kind == 3)
                            t.planar = PLANARCONFIG_SEPARATE;
                        if (kind == 4 || kind == 5) { /* with alpha */
                            t.samples++;
                            t.extra = 1;
                            if (bits < 8)
                                continue;
                        }
                        if (kind == 6) {
                            if (bits > 8)
                                continue;
                            t.photometric = PHOTOMETRIC_PALETTE;
                        }
                        const char *path = in_root("a.tif");
                        write_tiff(path, modes[m], &t, 1);
                        anl_scan image;
                        anl_status status = anl_scan_read(path, &image, problems);
                        ck_assert_msg(status == ANL_OK, "mode %s compression %d bits %d tile %d kind %d: %s", modes[m],
                                      compressions[k], bits, tile, kind, message(ANL_A_image_unreadable));
                        ck_assert_int_eq(image.width, 37);
                        ck_assert_int_eq(image.height, 29);
                        ck_assert_int_eq(image.bits, bits == 16 ? 16 : 8);
                        int channels = kind == 2 || kind == 3 || kind == 4 || kind == 6 ? 3 : 1;
                        ck_assert_int_eq(image.channels, channels);
                        for (int y = 0; y < 29; y++)
                            for (int x = 0; x < 37; x++)
                                for (int c = 0; c < channels; c++) {
                                    unsigned v = pattern(x, y, kind == 6 ? 0 : c, bits);
                                    if (kind == 6)
                                        v = (unsigned)((int)v * (c + 1) * 3 & 255);
                                    else if (bits < 8)
                                        v = v * 255 / ((1u << bits) - 1);
                                    if (kind == 1)
                                        v = (bits == 16 ? 65535 : 255) - v;
                                    const int got = stored(&image, (y * 37 + x) * channels + c);
                                    if ((unsigned)got != v) /* check writes each assertion to a file */
                                        ck_abort_msg("mode %s compression %d bits %d tile %d kind %d: %d at %d %d %d, not %u", modes[m], compressions[k], bits, tile, kind,
                                                     got, x, y, c, v);
                                }
                        anl_scan_free(&image);
                        cases++;
                    }
    ck_assert_int_gt(cases, 500);
    ck_assert_int_eq(anl_diagnostics_count(problems), 0);
}
END_TEST

static void refused(const char *path, const char *why)
{
    anl_scan image;
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    ck_assert_int_ne(anl_scan_read(path, &image, problems), ANL_OK);
    ck_assert_ptr_null(image.voxels);
    ck_assert_int_eq(anl_diagnostics_errors(problems), 1);
    ck_assert_msg(strstr(message(ANL_A_image_unreadable), why), "expected `%s` in: %s", why, message(ANL_A_image_unreadable));
}

START_TEST(tiff_pages_are_slices)
{
    tiff_case t = {.width = 8,
                   .height = 8,
                   .bits = 16,
                   .samples = 1,
                   .photometric = PHOTOMETRIC_MINISBLACK,
                   .planar = PLANARCONFIG_CONTIG,
                   .compression = COMPRESSION_NONE,
                   .rows_per_strip = 8};
    write_tiff(in_root("pages.tif"), "w", &t, 3);
    anl_scan image;
    ck_assert_int_eq(anl_scan_read(in_root("pages.tif"), &image, problems), ANL_OK);
    ck_assert_int_eq(image.depth, 3);
    for (int z = 0; z < 3; z++)
        ck_assert_uint_eq(stored(&image, 64 * z + 9), pattern(1, 1, 0, 16));
    anl_scan_free(&image);
    ck_assert_int_eq(anl_diagnostics_count(problems), 0);
    /* A thumbnail is no slice; a page of another size is refused. */
    for (int reduced = 0; reduced < 2; reduced++) {
        write_tiff(in_root("pages.tif"), "w", &t, 2);
        TIFF *tiff = TIFFOpen(in_root("pages.tif"), "a");
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 4);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 1);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        if (reduced)
            TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
        uint8_t row[4] = {1, 2, 3, 4};
        TIFFWriteScanline(tiff, row, 0, 0);
        TIFFClose(tiff);
        if (reduced) {
            ck_assert_int_eq(anl_scan_read(in_root("pages.tif"), &image, problems), ANL_OK);
            ck_assert_int_eq(image.depth, 2);
            anl_scan_free(&image);
        } else
            refused(in_root("pages.tif"), "page 3 (4 x 1, 8 bits)");
    }
}
END_TEST

static void write_numbers_tiff(const char *path, int bits, int format, const void *row)
{
    TIFF *tiff = TIFFOpen(path, "w");
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 4);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 1);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, bits);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, format);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFWriteScanline(tiff, (void *)(uintptr_t)row, 0, 0);
    TIFFClose(tiff);
}

START_TEST(tiff_numbers_of_every_kind_keep_their_values)
{
    const int8_t i8[] = {-128, -1, 0, 127};
    const int16_t i16[] = {-32768, -1024, 0, 32767};
    const int32_t i32[] = {INT32_MIN, -1, 70000, INT32_MAX};
    const uint32_t u32[] = {0, 1, 70000, UINT32_MAX};
    const float f32[] = {-1.5f, 0, 0.1f, 1e30f};
    const double f64[] = {-1.5, 0, 0.1, 1e300};
    const uint8_t u12[] = {0x00, 0x0f, 0xff, 0x80, 0x01, 0x23}; /* 0x000 0xfff 0x800 0x123 */
    const double packed12[] = {0, 0xfff, 0x800, 0x123};
    const struct {
        const void *row;
        int bits, format;
        anl_voxel type;
    } cases[] = {{i8, 8, SAMPLEFORMAT_INT, ANL_VOXEL_I16},     {i16, 16, SAMPLEFORMAT_INT, ANL_VOXEL_I16},
                 {i32, 32, SAMPLEFORMAT_INT, ANL_VOXEL_I32},   {u32, 32, SAMPLEFORMAT_UINT, ANL_VOXEL_F64},
                 {f32, 32, SAMPLEFORMAT_IEEEFP, ANL_VOXEL_F32}, {f64, 64, SAMPLEFORMAT_IEEEFP, ANL_VOXEL_F64},
                 {u12, 12, SAMPLEFORMAT_UINT, ANL_VOXEL_U16}};
    for (size_t k = 0; k < ANL_COUNT(cases); k++) {
        write_numbers_tiff(in_root("n.tif"), cases[k].bits, cases[k].format, cases[k].row);
        anl_scan scan;
        ck_assert_msg(anl_scan_read(in_root("n.tif"), &scan, problems) == ANL_OK, "%s", message(ANL_A_image_unreadable));
        ck_assert_int_eq(scan.type, cases[k].type);
        ck_assert_int_eq(scan.bits, cases[k].bits);
        double values[4];
        anl_scan_stored(&scan, 0, 4, values);
        for (int i = 0; i < 4; i++) {
            double expected = k == 0   ? i8[i]
                              : k == 1 ? i16[i]
                              : k == 2 ? i32[i]
                              : k == 3 ? u32[i]
                              : k == 4 ? (double)f32[i]
                              : k == 5 ? f64[i]
                                       : packed12[i];
            ck_assert_double_eq(values[i], expected);
        }
        anl_scan_free(&scan);
    }
}
END_TEST

START_TEST(tiff_is_brought_upright)
{
    /* For each orientation: where the stored first row lies and where the stored first column lies. */
    for (int orientation = 1; orientation <= 8; orientation++) {
        TIFF *tiff = TIFFOpen(in_root("o.tif"), "w");
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 3);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 2);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 2);
        TIFFSetField(tiff, TIFFTAG_ORIENTATION, orientation);
        uint8_t rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
        TIFFWriteScanline(tiff, rows[0], 0, 0);
        TIFFWriteScanline(tiff, rows[1], 1, 0);
        TIFFClose(tiff);
        /* Expected upright images, row by row, after the TIFF 6.0 definition of the tag. */
        static const int expected[8][6] = {{1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, {6, 5, 4, 3, 2, 1}, {4, 5, 6, 1, 2, 3},
                                           {1, 4, 2, 5, 3, 6}, {4, 1, 5, 2, 6, 3}, {6, 3, 5, 2, 4, 1}, {3, 6, 2, 5, 1, 4}};
        anl_scan image;
        ck_assert_int_eq(anl_scan_read(in_root("o.tif"), &image, problems), ANL_OK);
        ck_assert_int_eq(image.width, orientation > 4 ? 2 : 3);
        for (int i = 0; i < 6; i++)
            ck_assert_msg(stored(&image, i) == expected[orientation - 1][i], "orientation %d, pixel %d is %d", orientation, i,
                          stored(&image, i));
        anl_scan_free(&image);
    }
}
END_TEST


START_TEST(unfit_images_are_refused_with_the_reason)
{
    tiff_case t = {.width = 8,
                   .height = 8,
                   .bits = 16,
                   .samples = 1,
                   .photometric = PHOTOMETRIC_MINISBLACK,
                   .planar = PLANARCONFIG_CONTIG,
                   .compression = COMPRESSION_NONE,
                   .rows_per_strip = 8};
    t.photometric = PHOTOMETRIC_CIELAB;
    t.samples = 3;
    write_tiff(in_root("lab.tif"), "w", &t, 1);
    refused(in_root("lab.tif"), "photometric");
    TIFF *tiff;
    refused(in_root("absent.png"), "No such file");
    refused(root, "not a regular file");
    write_text(in_root("empty.png"), "");
    refused(in_root("empty.png"), "empty");
    write_text(in_root("text.png"), "this is a text called a picture");
    refused(in_root("text.png"), "it is none of DICOM, NIfTI, TIFF, PNG, JPEG");
    char dicom[200] = "II*";
    memcpy(dicom + 128, "DICM", 4);
    write_bytes(in_root("scan.dcm"), dicom, sizeof dicom);
    refused(in_root("scan.dcm"), "DICOM");
    /* Sizes are checked before any pixel is allocated: 70,000 wide, and 60,000 x 60,000. */
    for (int k = 0; k < 2; k++) {
        tiff = TIFFOpen(in_root("huge.tif"), "w");
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, k ? 60000 : 70000);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, k ? 60000 : 1);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 1);
        uint8_t *one = calloc(1, 70000);
        TIFFWriteScanline(tiff, one, 0, 0);
        free(one);
        TIFFClose(tiff);
        refused(in_root("huge.tif"), k ? "1 GiB" : "65536");
    }
}
END_TEST

/* ---- PNG and JPEG ---- */

static void write_png(const char *path, int width, int height, int bits, int colour, bool interlaced)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, bits, colour,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        png_color colours[256];
        for (int i = 0; i < 256; i++)
            colours[i] = (png_color){(png_byte)(i * 3), (png_byte)(i * 6), (png_byte)(i * 9)};
        png_set_PLTE(png, info, colours, 1 << bits);
        png_byte alpha[2] = {7, 9};
        png_set_tRNS(png, info, alpha, 2, NULL);
    }
    png_write_info(png, info);
    int samples = png_get_channels(png, info);
    size_t bytes = png_get_rowbytes(png, info);
    png_bytep *rows = malloc(sizeof *rows * (size_t)height);
    for (int y = 0; y < height; y++) {
        rows[y] = calloc(1, bytes + 2);
        for (int x = 0; x < width; x++)
            for (int c = 0; c < samples; c++) {
                unsigned v = pattern(x, y, c, bits);
                if (bits == 16) {
                    rows[y][2 * (x * samples + c)] = (png_byte)(v >> 8);
                    rows[y][2 * (x * samples + c) + 1] = (png_byte)v;
                } else
                    put_sample(rows[y], (size_t)(x * samples + c), bits, v);
            }
    }
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    for (int y = 0; y < height; y++)
        free(rows[y]);
    free(rows);
    fclose(file);
}

START_TEST(png_reads_every_kind)
{
    static const int colours[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB_ALPHA,
                                  PNG_COLOR_TYPE_PALETTE};
    int cases = 0;
    for (int k = 0; k < 5; k++)
        for (int bits = 1; bits <= 16; bits *= 2)
            for (int interlaced = 0; interlaced < 2; interlaced++) {
                if ((bits < 8 && k != 0 && k != 4) || (bits == 16 && k == 4))
                    continue;
                write_png(in_root("a.png"), 21, 13, bits, colours[k], interlaced);
                anl_scan image;
                ck_assert_msg(anl_scan_read(in_root("a.png"), &image, problems) == ANL_OK, "%s",
                              message(ANL_A_image_unreadable));
                int channels = k == 1 || k == 3 || k == 4 ? 3 : 1;
                ck_assert_int_eq(image.channels, channels);
                ck_assert_int_eq(image.bits, bits == 16 ? 16 : 8);
                for (int y = 0; y < 13; y++)
                    for (int x = 0; x < 21; x++)
                        for (int c = 0; c < channels; c++) {
                            unsigned v = pattern(x, y, k == 4 ? 0 : c, bits);
                            if (k == 4)
                                v = v * 3 * (unsigned)(c + 1) & 255;
                            else if (bits < 8)
                                v = v * 255 / ((1u << bits) - 1);
                            ck_assert_uint_eq(stored(&image, (y * 21 + x) * channels + c), v);
                        }
                anl_scan_free(&image);
                cases++;
            }
    ck_assert_int_eq(cases, 30);
}
END_TEST

START_TEST(png_texts_cannot_exhaust_memory)
{
    write_png(in_root("a.png"), 21, 13, 8, PNG_COLOR_TYPE_GRAY, false);
    size_t length;
    uint8_t *bytes = read_bytes(in_root("a.png"), &length);
    static const uint8_t text[] = {0x70, 0, 0, 0, 't', 'E', 'X', 't', 'a'}; /* claims 1.75 GiB, behind signature and IHDR */
    FILE *file = fopen(in_root("b.png"), "wb");
    ck_assert(fwrite(bytes, 33, 1, file) == 1 && fwrite(text, sizeof text, 1, file) == 1 && fwrite(bytes + 33, length - 33, 1, file) == 1);
    ck_assert_int_eq(fclose(file), 0);
    refused(in_root("b.png"), "damaged PNG");
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!getenv("ANL_SANITIZED"))
        ck_assert_int_lt(usage.ru_maxrss, 300 * 1024);
}
END_TEST

/* scans: NULL, or the passes of a progressive file. */
static void write_jpeg_scans(const char *path, int width, int height, int channels, int quality, const jpeg_scan_info *scans, int scan_count)
{
    FILE *file = fopen(path, "wb");
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr manager;
    jpeg.err = jpeg_std_error(&manager);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)width;
    jpeg.image_height = (JDIMENSION)height;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    if (scans) {
        jpeg.scan_info = scans;
        jpeg.num_scans = scan_count;
    }
    jpeg_start_compress(&jpeg, TRUE);
    JSAMPLE *row = malloc((size_t)(width * channels));
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                row[x * channels + c] = (JSAMPLE)(x * 2 + y + c * 40);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    fclose(file);
}

static void write_jpeg(const char *path, int width, int height, int channels, int quality)
{
    write_jpeg_scans(path, width, height, channels, quality, NULL, 0);
}

START_TEST(jpeg_scans_are_bounded)
{
    jpeg_scan_info scans[1 + 2 * 63] = {{.comps_in_scan = 1}};
    for (int k = 1; k < 64; k++) { /* each frequency by itself, first without its lowest bit, then with it */
        scans[k] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = k, .Se = k, .Al = 1};
        scans[63 + k] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = k, .Se = k, .Ah = 1};
    }
    anl_scan few, image;
    write_jpeg(in_root("a.jpg"), 40, 30, 1, 90);
    ck_assert_int_eq(anl_scan_read(in_root("a.jpg"), &few, problems), ANL_OK);
    write_jpeg_scans(in_root("b.jpg"), 40, 30, 1, 90, scans, 1 + 2 * 63);
    refused(in_root("b.jpg"), "more than 100 scans");
    for (int k = 1; k < 64; k++)
        scans[k].Al = 0;
    write_jpeg_scans(in_root("b.jpg"), 40, 30, 1, 90, scans, 64); /* the same pixels, as no bit is missing */
    ck_assert_int_eq(anl_scan_read(in_root("b.jpg"), &image, problems), ANL_OK);
    ck_assert_int_eq(memcmp(few.voxels, image.voxels, 40 * 30), 0);
    anl_scan_free(&few);
    anl_scan_free(&image);
}
END_TEST

START_TEST(jpeg_reads_grey_and_colour)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        write_jpeg(in_root("a.jpg"), 40, 30, channels, 100);
        anl_scan image;
        ck_assert_int_eq(anl_scan_read(in_root("a.jpg"), &image, problems), ANL_OK);
        ck_assert_int_eq(image.channels, channels);
        ck_assert_int_eq(image.bits, 8);
        for (int y = 0; y < 30; y++)
            for (int x = 0; x < 40; x++)
                for (int c = 0; c < channels; c++)
                    ck_assert_int_le(abs(stored(&image, (y * 40 + x) * channels + c) - (x * 2 + y + c * 40)), 4);
        anl_scan_free(&image);
    }
    write_jpeg(in_root("cmyk.jpg"), 40, 30, 4, 100);
    refused(in_root("cmyk.jpg"), "CMYK");
}
END_TEST

START_TEST(truncated_and_damaged_files_never_become_pixels)
{
    tiff_case t = {.width = 40,
                   .height = 40,
                   .bits = 8,
                   .samples = 1,
                   .photometric = PHOTOMETRIC_MINISBLACK,
                   .planar = PLANARCONFIG_CONTIG,
                   .compression = COMPRESSION_LZW,
                   .rows_per_strip = 7};
    write_tiff(in_root("lzw"), "w", &t, 1);
    t.compression = COMPRESSION_NONE;
    t.tile = 16;
    write_tiff(in_root("tiles"), "w", &t, 1);
    write_png(in_root("png"), 40, 40, 16, PNG_COLOR_TYPE_GRAY, false);
    write_jpeg(in_root("jpeg"), 40, 40, 3, 80);
    static const char *const names[] = {"lzw", "tiles", "png", "jpeg"};
    uint64_t random = 1;
    for (int k = 0; k < 4; k++) {
        size_t length;
        uint8_t *bytes = read_bytes(in_root(names[k]), &length);
        anl_scan whole, image;
        ck_assert_int_eq(anl_scan_read(in_root(names[k]), &whole, problems), ANL_OK);
        size_t values = (size_t)anl_scan_count(&whole) * (size_t)anl_voxel_bytes(whole.type);
        /* Cut anywhere: either an error, or (only bytes behind the picture are gone) the very same picture. */
        for (size_t cut = 0; cut < length; cut += 1 + length / 97) {
            write_bytes(in_root("cut"), bytes, cut);
            anl_status status = anl_scan_read(in_root("cut"), &image, problems);
            if (status == ANL_OK)
                ck_assert_msg(memcmp(image.voxels, whole.voxels, values) == 0, "%s cut at %zu of %zu gives other pixels",
                              names[k], cut, length);
            else
                ck_assert_ptr_null(image.voxels);
            anl_scan_free(&image);
        }
        write_bytes(in_root("half"), bytes, length / 2);
        ck_assert_int_ne(anl_scan_read(in_root("half"), &image, problems), ANL_OK);
        /* Any byte changed: an error or an image, but no crash (the sanitizers look on). */
        for (int i = 0; i < 300; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % length;
            uint8_t kept = bytes[at];
            bytes[at] = (uint8_t)(random >> 13);
            write_bytes(in_root("changed"), bytes, length);
            bytes[at] = kept;
            if (anl_scan_read(in_root("changed"), &image, problems) == ANL_OK)
                ck_assert_int_gt(image.width, 0);
            else
                ck_assert_ptr_null(image.voxels);
            anl_scan_free(&image);
        }
        anl_scan_free(&whole);
    }
}
END_TEST

/* ---- resampling ---- */

typedef struct drawing {
    double *values;
    int width, height, channels;
} drawing;

static void draw(void *context, int z, int y, const double *row)
{
    drawing *d = context;
    y += z * d->height;
    memcpy(d->values + (size_t)(y * d->width * d->channels), row, sizeof(double) * (size_t)(d->width * d->channels));
}

START_TEST(resampling_averages_areas_and_interpolates)
{
    uint16_t pixels[4 * 6];
    for (int i = 0; i < 24; i++)
        pixels[i] = (uint16_t)(i * i);
    anl_scan image = {.width = 6, .height = 4, .depth = 1, .frames = 1, .channels = 1, .type = ANL_VOXEL_U16, .voxels = pixels};
    double out[64];
    drawing d = {.values = out, .width = 3, .channels = 1};
    ck_assert_int_eq(anl_scan_resample(&image, 0, 3, 2, 1, draw, &d), ANL_OK);
    for (int y = 0; y < 2; y++)
        for (int x = 0; x < 3; x++) {
            double sum = 0;
            for (int v = 0; v < 2; v++)
                for (int u = 0; u < 2; u++)
                    sum += pixels[(2 * y + v) * 6 + 2 * x + u];
            ck_assert_double_eq_tol(out[y * 3 + x], sum / 4, 1e-9);
        }
    /* Six to four: each output pixel covers one and a half. */
    d.width = 4;
    ck_assert_int_eq(anl_scan_resample(&image, 0, 4, 4, 1, draw, &d), ANL_OK);
    ck_assert_double_eq_tol(out[0], (0 + 0.5 * 1) / 1.5, 1e-9);
    ck_assert_double_eq_tol(out[1], (0.5 * 1 + 4) / 1.5, 1e-9);
    /* The same size is the same image. */
    d.width = 6;
    ck_assert_int_eq(anl_scan_resample(&image, 0, 6, 4, 1, draw, &d), ANL_OK);
    for (int i = 0; i < 24; i++)
        ck_assert_double_eq(out[i], pixels[i]);
    /* Growing by two: pixel centres at 1/4 and 3/4, edges held. */
    uint16_t two[2] = {10, 30};
    anl_scan pair = {.width = 2, .height = 1, .depth = 1, .frames = 1, .channels = 1, .type = ANL_VOXEL_U16, .voxels = two};
    d.width = 4;
    ck_assert_int_eq(anl_scan_resample(&pair, 0, 4, 2, 1, draw, &d), ANL_OK);
    static const double grown[] = {10, 15, 25, 30};
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq_tol(out[i], grown[i % 4], 1e-12);
    /* The mean survives any shrinking, and a constant image stays constant, three channels apart. */
    enum { W = 53, H = 31 };
    uint16_t *big = malloc(sizeof *big * W * H * 3);
    double mean[3] = {0};
    for (int i = 0; i < W * H; i++)
        for (int c = 0; c < 3; c++) {
            big[3 * i + c] = c == 2 ? 777 : (uint16_t)(i * 7919 % 65536);
            mean[c] += big[3 * i + c];
        }
    anl_scan colour = {.width = W, .height = H, .depth = 1, .frames = 1, .channels = 3, .type = ANL_VOXEL_U16, .voxels = big};
    double *small = malloc(sizeof *small * W * H * 3);
    for (int w = 1; w <= W; w += 13)
        for (int h = 1; h <= H; h += 10) {
            d = (drawing){.values = small, .width = w, .channels = 3};
            ck_assert_int_eq(anl_scan_resample(&colour, 0, w, h, 1, draw, &d), ANL_OK);
            double sum[3] = {0};
            for (int i = 0; i < w * h; i++)
                for (int c = 0; c < 3; c++)
                    sum[c] += small[3 * i + c];
            for (int c = 0; c < 3; c++)
                ck_assert_double_eq_tol(sum[c] / (w * h), mean[c] / (W * H), 1e-6);
            for (int i = 0; i < w * h; i++)
                ck_assert_double_eq_tol(small[3 * i + 2], 777, 1e-9);
        }
    free(small);
    free(big);
    /* A volume along z: four slices of 0, 10, 20, 30 become two of 5 and 25, and eight by interpolation; frames are apart. */
    int16_t slices[2][4][2];
    for (int t = 0; t < 2; t++)
        for (int z = 0; z < 4; z++)
            slices[t][z][0] = slices[t][z][1] = (int16_t)(10 * z - 100 * t);
    anl_scan volume = {.width = 2, .height = 1, .depth = 4, .frames = 2, .channels = 1, .type = ANL_VOXEL_I16, .voxels = slices};
    for (int t = 0; t < 2; t++) {
        d = (drawing){.values = out, .width = 1, .height = 1, .channels = 1};
        ck_assert_int_eq(anl_scan_resample(&volume, t, 1, 1, 2, draw, &d), ANL_OK);
        ck_assert_double_eq_tol(out[0], 5 - 100 * t, 1e-9);
        ck_assert_double_eq_tol(out[1], 25 - 100 * t, 1e-9);
        ck_assert_int_eq(anl_scan_resample(&volume, t, 1, 1, 8, draw, &d), ANL_OK);
        static const double along[] = {0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30};
        for (int z = 0; z < 8; z++)
            ck_assert_double_eq_tol(out[z], along[z] - 100 * t, 1e-9);
    }
}
END_TEST

/* ---- tables ---- */

START_TEST(csv_follows_the_standard)
{
    write_text(in_root("a.csv"), "\xEF\xBB\xBF"
                                 "file,\"a name, quoted\",c\r\n"
                                 "x.png,\"say \"\"hi\"\"\",1\r\n"
                                 "\r\n"
                                 "\"two\nlines.png\",,3\r\n"
                                 "last.png,\"\",5");
    anl_csv csv;
    ck_assert_int_eq(anl_csv_read(arena, in_root("a.csv"), problems, &csv), ANL_OK);
    ck_assert_int_eq(csv.columns, 3);
    ck_assert_int_eq((int)csv.rows, 3);
    ck_assert_str_eq(csv.names[0], "file");
    ck_assert_str_eq(csv.names[1], "a name, quoted");
    ck_assert_str_eq(anl_csv_cell(&csv, 0, 1), "say \"hi\"");
    ck_assert_str_eq(anl_csv_cell(&csv, 1, 0), "two\nlines.png");
    ck_assert_str_eq(anl_csv_cell(&csv, 1, 1), "");
    ck_assert_str_eq(anl_csv_cell(&csv, 2, 2), "5");
    ck_assert_int_eq(csv.lines[0], 2);
    ck_assert_int_eq(csv.lines[1], 4);
    ck_assert_int_eq(csv.lines[2], 6);
    ck_assert_int_eq(anl_csv_column(&csv, "c"), 2);
    write_text(in_root("b.csv"), "file;y\na;1,5\n");
    ck_assert_int_eq(anl_csv_read(arena, in_root("b.csv"), problems, &csv), ANL_OK);
    ck_assert_str_eq(anl_csv_cell(&csv, 0, 1), "1,5");
    ck_assert_int_eq(anl_diagnostics_count(problems), 0);
}
END_TEST

START_TEST(csv_reports_each_problem_with_its_line)
{
    static const struct {
        const char *text, *why;
        int line;
    } cases[] = {
        {"", "empty", 1},
        {"file,y\na,1\nb\nc,3\n", "1 cells", 3},
        {"file,y\na,1,2\n", "3 cells", 2},
        {"file,y\na,\"1\n", "never ends", 2},
        {"file,y\na,\"1\"x\n", "closing quote", 2},
        {"file,y,y\na,1,2\n", "both called `y`", 1},
        {"file,,y\na,1,2\n", "no name", 1},
        {"file,y\na,1\nb,\xFF\n", "UTF-8", 3},
    };
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_diagnostics_free(&problems);
        problems = anl_diagnostics_new();
        write_text(in_root("a.csv"), cases[i].text);
        anl_csv csv;
        ck_assert_int_eq(anl_csv_read(arena, in_root("a.csv"), problems, &csv), ANL_ERROR_FORMAT);
        const anl_diagnostic *d = anl_diagnostics_get(problems, 0);
        ck_assert_msg(strstr(d->message, cases[i].why), "case %zu: %s", i, d->message);
        ck_assert_int_eq(d->span.line, cases[i].line);
    }
    anl_csv csv;
    ck_assert_int_eq(anl_csv_read(arena, in_root("absent.csv"), problems, &csv), ANL_ERROR_FILE);
}
END_TEST

/* ---- order ---- */

START_TEST(order_is_a_bijection)
{
    static const int64_t counts[] = {1, 2, 3, 4, 5, 7, 15, 16, 17, 63, 64, 65, 100, 255, 256, 257, 1000, 4097, 65537, 100003};
    for (size_t k = 0; k < ANL_COUNT(counts); k++)
        for (uint64_t key = 0; key < 3; key++) {
            uint8_t *seen = calloc(1, (size_t)counts[k]);
            for (int64_t i = 0; i < counts[k]; i++) {
                int64_t j = anl_order(i, counts[k], key);
                if (j < 0 || j >= counts[k] || seen[j]++) /* check writes each assertion to a file */
                    ck_abort_msg("%lld of %lld by key %llu is %lld, which is none or came before", (long long)i, (long long)counts[k], (unsigned long long)key, (long long)j);
            }
            free(seen);
        }
    /* Huge counts: in range, and distinct where distinct is checked. */
    int64_t last = -1;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t j = anl_order(i, (int64_t)1 << 40, 7);
        ck_assert(j >= 0 && j < (int64_t)1 << 40 && j != last);
        last = j;
    }
}
END_TEST

START_TEST(order_depends_on_the_key_and_mixes)
{
    enum { N = 10000 };
    int same = 0, neighbours = 0;
    double correlation = 0;
    for (int i = 0; i < N; i++) {
        int64_t a = anl_order(i, N, 1), b = anl_order(i, N, 2);
        same += a == b;
        neighbours += llabs(anl_order(i + 1 < N ? i + 1 : 0, N, 1) - a) == 1;
        correlation += ((double)i - N / 2.0) * ((double)a - N / 2.0) / ((double)N * N / 12.0) / N;
    }
    ck_assert_int_lt(same, 12);       /* expected 1 */
    ck_assert_int_lt(neighbours, 14); /* expected 2 */
    ck_assert(fabs(correlation) < 0.05);
    /* Every sample is equally likely first over keys: each of 10 gets its share of 20,000. */
    int first[10] = {0};
    for (uint64_t key = 0; key < 20000; key++)
        first[anl_order(0, 10, key * 0x9E3779B97F4A7C15u)]++;
    for (int i = 0; i < 10; i++)
        ck_assert_msg(abs(first[i] - 2000) < 250, "sample %d is first %d times", i, first[i]);
}
END_TEST

/* ---- packing and reading ---- */

/* 60 images of 12 patients: 16-bit TIFF of 24 x 16; y is missing for every tenth, finding.* are two columns, kind is words. */
static void make_set(const char *folder, bool mixed)
{
    anl_text csv = {0};
    anl_text_add(&csv, "file,y,finding.edema,finding.mass,kind,patient,note\n");
    anl_folder_make(in_root(folder));
    for (int i = 0; i < 60; i++) {
        const char *file = anl_arena_printf(arena, "i%02d.tif", i);
        const char *path = anl_arena_printf(arena, "%s/%s/%s", root, folder, file);
        TIFF *tiff = TIFFOpen(path, "w");
        int bits = mixed && i % 2 ? 8 : 16;
        TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 24);
        TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 16);
        TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, bits);
        TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 16);
        uint8_t row[48];
        for (int y = 0; y < 16; y++) {
            memset(row, 0, sizeof row);
            for (int x = 0; x < 24; x++)
                put_sample(row, (size_t)x, bits, pattern(x + i, y, 0, bits));
            TIFFWriteScanline(tiff, row, (uint32_t)y, 0);
        }
        TIFFClose(tiff);
        anl_text_printf(&csv, "%s,%s,%d,%s,%s,P%d,note %d\n", file,
                        i % 10 == 9  ? ""
                        : i % 3 == 0 ? "1"
                                     : "0",
                        i % 2, i % 5 == 0 ? "" : "0.25",
                        i % 3 == 0   ? "mass"
                        : i % 3 == 1 ? "cyst"
                                     : "normal",
                        i / 5, i);
    }
    write_text(anl_arena_printf(arena, "%s/%s/labels.csv", root, folder), csv.data);
    anl_text_free(&csv);
}

static anl_pack_options pack_options(const char *folder, const char *out)
{
    const char **inputs = ANL_NEW(arena, const char *);
    inputs[0] = in_root(folder);
    return (anl_pack_options){.inputs = inputs,
                              .input_count = 1,
                              .labels = anl_arena_printf(arena, "%s/%s/labels.csv", root, folder),
                              .out = in_root(out),
                              .size = {24, 24, 24},
                              .channels = 1,
                              .fraction_valid = 0.25,
                              .fraction_test = 0.25,
                              .seed = 5,
                              .shard_samples = 8,
                              .keep_ids = true,
                              .threads = 2};
}

static void show_problems(void) { anl_diagnostics_print(problems, stderr, false); }

static void packed(const anl_pack_options *o, anl_pack_report *report)
{
    anl_status status = anl_pack(o, report, problems);
    if (status != ANL_OK)
        show_problems();
    ck_assert_int_eq(status, ANL_OK);
}

static int count_files(const char *folder)
{
    int count = 0;
    DIR *open = opendir(folder);
    for (struct dirent *found; open && (found = readdir(open));)
        count += found->d_name[0] != '.';
    if (open)
        closedir(open);
    return count;
}

START_TEST(pack_is_the_same_for_any_number_of_threads)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "one");
    anl_pack_report first, second;
    o.threads = 1;
    packed(&o, &first);
    ck_assert_int_eq((int)first.images, 60);
    ck_assert_int_eq((int)first.packed, 60);
    ck_assert_int_eq((int)first.patients, 12);
    ck_assert_int_eq((int)first.train, 30);
    ck_assert_int_eq((int)first.valid, 15);
    ck_assert_int_eq((int)first.test, 15);
    ck_assert_int_eq(first.bits, 16);
    sleep(1); /* a timestamp, were there one, would differ */
    o.out = in_root("two");
    o.threads = 3;
    packed(&o, &second);
    ck_assert_int_eq(first.shards, second.shards);
    ck_assert_int_eq(count_files(in_root("one")), first.shards + 1);
    DIR *open = opendir(in_root("one"));
    int compared = 0;
    for (struct dirent *found; (found = readdir(open));) {
        if (found->d_name[0] == '.')
            continue;
        size_t a, b;
        void *one = read_bytes(anl_arena_printf(arena, "%s/one/%s", root, found->d_name), &a);
        void *two = read_bytes(anl_arena_printf(arena, "%s/two/%s", root, found->d_name), &b);
        ck_assert_uint_eq(a, b);
        ck_assert_msg(memcmp(one, two, a) == 0, "%s differs", found->d_name);
        compared++;
    }
    closedir(open);
    ck_assert_int_eq(compared, first.shards + 1);
    /* Another seed is another split. */
    o.out = in_root("three");
    o.seed = 6;
    packed(&o, &second);
    size_t a, b;
    void *one = read_bytes(in_root("one/test-00000.h5"), &a), *three = read_bytes(in_root("three/test-00000.h5"), &b);
    ck_assert(a != b || memcmp(one, three, a) != 0);
}
END_TEST

static anl_field image_field(void)
{
    return (anl_field){.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {1, 24, 24}};
}

static anl_dataset *opened(const char *pattern, const anl_field *fields, int count, double fraction, bool by_patient, bool drop)
{
    anl_dataset_options o = {.pattern = pattern,
                             .folder = root,
                             .label_fraction = fraction,
                             .label_by_patient = by_patient,
                             .drop_unlabelled = drop,
                             .seed = 3};
    anl_dataset *set = NULL;
    anl_status status = anl_dataset_open(&o, fields, count, problems, &set);
    if (status != ANL_OK)
        show_problems();
    ck_assert_int_eq(status, ANL_OK);
    return set;
}

START_TEST(samples_come_back_as_declared)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq(report.shards, 8); /* 60 samples in shards of 8 */
    anl_field fields[] = {
        image_field(),
        {.name = "image", .rank = 3, .axis = {"x", "channel", "y"}, .size = {24, 1, 24}},
        {.name = "y", .has_mask = true},
        {.name = "finding", .rank = 1, .axis = {"class"}, .size = {2}, .has_mask = true},
        {.name = "kind", .rank = 1, .axis = {"class"}, .size = {3}},
        {.name = "code", .column = "kind"},
        {.name = "both",
         .rank = 1,
         .axis = {"class"},
         .size = {2},
         .column = "finding.mass, y",
         .missing = 1,
         .has_missing = true,
         .has_mask = true},
        {.name = "image", .rank = 2, .axis = {"y", "x"}, .size = {12, 12}, .has_mask = true},
    };
    anl_dataset *set = opened("out/train-*.h5", fields, ANL_COUNT(fields), 1, false, false);
    ck_assert_int_eq((int)anl_dataset_count(set), 60);
    ck_assert_str_eq(anl_dataset_column(set, 3, 0), "finding.edema");
    ck_assert_str_eq(anl_dataset_column(set, 3, 1), "finding.mass");
    ck_assert_ptr_null(anl_dataset_column(set, 3, 2));
    ck_assert_str_eq(anl_dataset_column(set, 4, 1), "mass");
    ck_assert_str_eq(anl_dataset_column(set, 6, 1), "y");
    float a[576], b[576], mask[576];
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, a, NULL, problems), ANL_OK);
        ck_assert_int_eq(anl_dataset_read(set, i, 1, b, NULL, problems), ANL_OK);
        for (int y = 0; y < 24; y++)
            for (int x = 0; x < 24; x++) {
                /* 24 x 16 on a canvas of 24 x 24: four rows of zeros above and below */
                bool inside = y >= 4 && y < 20;
                float expected = inside ? (float)(pattern(x + i, y - 4, 0, 16) * (1.0 / 65535.0)) : 0;
                ck_assert_float_eq(a[y * 24 + x], expected);
                ck_assert_float_eq(b[x * 24 + y], expected);
            }
        ck_assert_int_eq(anl_dataset_read(set, i, 2, b, mask, problems), ANL_OK);
        ck_assert_float_eq(mask[0], i % 10 == 9 ? 0 : 1);
        ck_assert_float_eq(b[0], i % 10 == 9 ? 0 : i % 3 == 0 ? 1 : 0);
        ck_assert_int_eq(anl_dataset_read(set, i, 3, b, mask, problems), ANL_OK);
        ck_assert_float_eq(b[0], i % 2);
        ck_assert_float_eq(mask[0], 1);
        ck_assert_float_eq(b[1], i % 5 == 0 ? 0 : 0.25f);
        ck_assert_float_eq(mask[1], i % 5 == 0 ? 0 : 1);
        int kind = i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : 2; /* cyst, mass, normal */
        ck_assert_int_eq(anl_dataset_read(set, i, 4, b, NULL, problems), ANL_OK);
        for (int k = 0; k < 3; k++)
            ck_assert_float_eq(b[k], k == kind);
        ck_assert_int_eq(anl_dataset_read(set, i, 5, b, NULL, problems), ANL_OK);
        ck_assert_float_eq(b[0], kind);
        ck_assert_int_eq(anl_dataset_read(set, i, 6, b, mask, problems), ANL_OK);
        ck_assert_float_eq(mask[1], i % 10 == 9 || i % 3 == 0 ? 0 : 1); /* 1 means missing here */
        ck_assert_float_eq(b[1], 0);
        /* Halved: the mean of each two by two. */
        ck_assert_int_eq(anl_dataset_read(set, i, 7, b, mask, problems), ANL_OK);
        for (int y = 0; y < 12; y++)
            for (int x = 0; x < 12; x++) {
                float mean = (a[48 * y + 2 * x] + a[48 * y + 2 * x + 1] + a[48 * y + 24 + 2 * x] + a[48 * y + 25 + 2 * x]) / 4;
                ck_assert_float_eq_tol(b[12 * y + x], mean, 1e-6f);
                ck_assert_float_eq(mask[12 * y + x], 1);
            }
    }
    /* Patients: twelve, five images each, as in the table. */
    int64_t patients[60];
    for (int i = 0; i < 60; i++)
        patients[i] = anl_dataset_patient(set, i);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < 60; j++)
            ck_assert_int_eq(patients[i] == patients[j], i / 5 == j / 5);
    ck_assert_int_eq(anl_dataset_read(set, 60, 0, a, NULL, problems), ANL_ERROR_ARGUMENT);
    anl_dataset_free(&set);
    ck_assert_ptr_null(set);
}
END_TEST

START_TEST(no_patient_is_in_two_splits)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.stratify = "y";
    anl_pack_report report;
    packed(&o, &report);
    static const char *const splits[] = {"train", "valid", "test"};
    int seen[12] = {0}, total = 0;
    for (int s = 0; s < 3; s++) {
        for (int number = 0; number < 8; number++) {
            const char *path = anl_arena_printf(arena, "%s/out/%s-%05d.h5", root, splits[s], number);
            if (access(path, R_OK) != 0)
                break;
            anl_hdf5_lock();
            hid_t file = anl_hdf5_open(path);
            char **names, *split;
            size_t count;
            ck_assert(anl_hdf5_read_texts(file, "patients", false, &names, &count));
            ck_assert(anl_hdf5_read_text(file, "split", &split));
            ck_assert_str_eq(split, splits[s]);
            free(split);
            for (size_t i = 0; i < count; i++) {
                int patient = atoi(names[i] + 1);
                ck_assert(seen[patient] == 0 || seen[patient] == s + 1);
                total += seen[patient] == 0;
                seen[patient] = s + 1;
            }
            free(names);
            H5Fclose(file);
            anl_hdf5_unlock();
        }
    }
    ck_assert_int_eq(total, 12);
}
END_TEST

START_TEST(mixed_depths_become_sixteen_bits)
{
    make_set("set", true);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq(report.bits, 16);
    anl_field field = image_field();
    anl_dataset *set = opened("out/*.h5", &field, 1, 1, false, false);
    float values[576];
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, values, NULL, problems), ANL_OK);
        double expected = i % 2 ? pattern(3 + i, 2, 0, 8) * 257 * (1.0 / 65535.0) : pattern(3 + i, 2, 0, 16) * (1.0 / 65535.0);
        ck_assert_float_eq(values[6 * 24 + 3], (float)expected);
    }
    anl_dataset_free(&set);
    size_t length;
    ck_assert_ptr_nonnull(strstr(read_bytes(in_root("out/manifest.json"), &length), "sources of 8 to 16 bits"));
}
END_TEST

START_TEST(colour_and_grey_are_converted)
{
    anl_folder_make(in_root("set"));
    write_png(in_root("set/grey.png"), 8, 8, 8, PNG_COLOR_TYPE_GRAY, false);
    write_png(in_root("set/rgb.png"), 8, 8, 8, PNG_COLOR_TYPE_RGB, false);
    anl_pack_report report;
    for (int channels = 1; channels <= 3; channels += 2) {
        anl_pack_options o = pack_options("set", anl_arena_printf(arena, "out%d", channels));
        o.labels = NULL;
        o.size[0] = o.size[1] = 8;
        o.channels = channels;
        o.fraction_valid = o.fraction_test = 0;
        packed(&o, &report);
        ck_assert_int_eq((int)report.patients, 0);
        anl_field field = {.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {channels, 8, 8}};
        anl_dataset *set = opened(anl_arena_printf(arena, "out%d/*.h5", channels), &field, 1, 1, false, false);
        float values[192];
        for (int i = 0; i < 2; i++) { /* grey.png sorts before rgb.png */
            ck_assert_int_eq(anl_dataset_read(set, i, 0, values, NULL, problems), ANL_OK);
            double r = pattern(2, 3, 0, 8), g = i ? pattern(2, 3, 1, 8) : r, b = i ? pattern(2, 3, 2, 8) : r;
            double expected[3] = {channels == 3 ? r : floor((299 * r + 587 * g + 114 * b) / 1000 + 0.5), g, b};
            for (int c = 0; c < channels; c++)
                ck_assert_float_eq(values[64 * c + 3 * 8 + 2], (float)(expected[c] * (1.0 / 255.0)));
        }
        /* Without a patient column every sample is its own patient. */
        ck_assert_int_ne((int)anl_dataset_patient(set, 0), (int)anl_dataset_patient(set, 1));
        anl_dataset_free(&set);
        /* A set of other channels, or of another shape, is refused with what to do. */
        anl_field wrong[] = {{.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {4 - channels, 8, 8}},
                             {.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {channels, 8, 9}},
                             {.name = "image", .rank = 3, .axis = {"z", "y", "x"}, .size = {1, 8, 8}},
                             {.name = "y"}};
        for (size_t k = 0; k < ANL_COUNT(wrong); k++) {
            anl_dataset_options options = {
                .pattern = "*.h5", .folder = anl_arena_printf(arena, "%s/out%d", root, channels), .label_fraction = 1};
            anl_diagnostics_free(&problems);
            problems = anl_diagnostics_new();
            ck_assert_int_eq(anl_dataset_open(&options, &wrong[k], 1, problems, &set), ANL_ERROR_SPEC);
            ck_assert_ptr_null(set);
            ck_assert(has_code(ANL_A_field_mismatch));
        }
    }
}
END_TEST

/* Signed volumes of 4 slices of 8 x 16; slice z of file f is 100 f + 10 z - 50, with a bright corner. */
static void make_volumes(const char *folder, int files)
{
    anl_folder_make(in_root(folder));
    for (int f = 0; f < files; f++) {
        TIFF *tiff = TIFFOpen(in_root(anl_arena_printf(arena, "%s/v%d.tif", folder, f)), "w");
        for (int z = 0; z < 4; z++) {
            TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 16);
            TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 8);
            TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 16);
            TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
            TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_INT);
            TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
            for (int y = 0; y < 8; y++) {
                int16_t row[16];
                for (int x = 0; x < 16; x++)
                    row[x] = (int16_t)(100 * f + 10 * z - 50 + (x == 0 && y == 0 ? 7 : 0));
                TIFFWriteScanline(tiff, row, (uint32_t)y, 0);
            }
            TIFFWriteDirectory(tiff);
        }
        TIFFClose(tiff);
    }
}

START_TEST(volumes_stay_volumes_or_become_slices)
{
    make_volumes("set", 3);
    anl_pack_options o = pack_options("set", "volumes");
    anl_pack_report report;
    o.labels = NULL;
    o.fraction_valid = o.fraction_test = 0;
    o.size[0] = 16;
    o.size[1] = 8;
    o.size[2] = 4;
    packed(&o, &report);
    ck_assert(report.volume);
    ck_assert_int_eq((int)report.packed, 3);
    anl_field field = {.name = "image", .rank = 4, .axis = {"channel", "z", "y", "x"}, .size = {1, 4, 8, 16}};
    anl_dataset *set = opened("volumes/*.h5", &field, 1, 1, false, false);
    float values[4 * 8 * 16];
    for (int f = 0; f < 3; f++) { /* of no fixed scale: each from its own least to its own greatest value */
        ck_assert_int_eq(anl_dataset_read(set, f, 0, values, NULL, problems), ANL_OK);
        for (int z = 0; z < 4; z++) /* the corners are beyond the range's 0.5 %, the slices are its ends */
            ck_assert_float_eq_tol(values[128 * z + 1], (float)z / 3, 2e-3f);
        ck_assert_float_eq_tol(values[0] - values[1], 7.0f / 30, 2e-3f);
    }
    anl_dataset_free(&set);
    /* Half the size, in the field: two slices of the mean of two. */
    field = (anl_field){.name = "image", .rank = 4, .axis = {"z", "y", "x", "channel"}, .size = {2, 4, 8, 1}};
    set = opened("volumes/*.h5", &field, 1, 1, false, false);
    ck_assert_int_eq(anl_dataset_read(set, 1, 0, values, NULL, problems), ANL_OK);
    ck_assert_float_eq_tol(values[1], 5.0f / 30, 2e-3f);
    ck_assert_float_eq_tol(values[33], 25.0f / 30, 2e-3f);
    anl_dataset_free(&set);
    /* Each slice a sample; what the window shows becomes 0 to 1, and around the scan is black. */
    o = pack_options("set", "slices");
    o.labels = NULL;
    o.fraction_valid = o.fraction_test = 0;
    o.size[0] = o.size[1] = 16;
    o.form = ANL_PACK_SLICES;
    o.window[0] = 0;
    o.window[1] = 200;
    packed(&o, &report);
    ck_assert(!report.volume);
    ck_assert_int_eq((int)report.packed, 12);
    field = (anl_field){.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {1, 16, 16}};
    set = opened("slices/*.h5", &field, 1, 1, false, false);
    ck_assert_int_eq((int)anl_dataset_count(set), 12);
    for (int k = 0; k < 12; k++) {
        ck_assert_int_eq(anl_dataset_read(set, k, 0, values, NULL, problems), ANL_OK);
        double v = (100 * (k / 4) + 10 * (k % 4) - 50 + 100) / 200.0;
        ck_assert_float_eq_tol(values[16 * 8 + 8], (float)(v > 1 ? 1 : v), 1.0f / 65535);
        ck_assert_float_eq(values[0], 0);
    }
    anl_dataset_free(&set);
    /* A field that wants another form is refused with what to do. */
    field = (anl_field){.name = "image", .rank = 3, .axis = {"z", "y", "x"}, .size = {4, 16, 16}};
    anl_dataset_options options = {.pattern = "slices/*.h5", .folder = root, .label_fraction = 1};
    ck_assert_int_eq(anl_dataset_open(&options, &field, 1, problems, &set), ANL_ERROR_SPEC);
    ck_assert_ptr_nonnull(strstr(message(ANL_A_field_mismatch), "--volumes"));
    /* Images and volumes together: one must say which is meant. */
    write_png(in_root("set/flat.png"), 8, 8, 8, PNG_COLOR_TYPE_GRAY, false);
    o = pack_options("set", "both");
    o.labels = NULL;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_FORMAT);
    ck_assert(has_code(ANL_A_image_pages));
    ck_assert_int_eq(count_files(in_root("both")), 0);
    o.form = ANL_PACK_VOLUMES;
    packed(&o, &report);
    ck_assert_int_eq((int)report.packed, 3);
    ck_assert_int_eq((int)report.skipped, 1);
}
END_TEST

/* Packs the volumes of "set"; method 0: as they are, 1: deflated, 2: by Blosc. */
static const char *const methods[] = {"plain", "deflated", "blosc"};
static void pack_by(int method)
{
    anl_pack_report report;
    anl_pack_options o = pack_options("set", methods[method]);
    o.labels = NULL;
    o.fraction_valid = o.fraction_test = 0;
    o.size[0] = 16;
    o.size[1] = 8;
    o.size[2] = 4;
    o.deflate = method == 1 ? 6 : 0;
    o.blosc = method == 2 ? 6 : 0;
    packed(&o, &report);
}

static anl_status read_both(int method, float values[2][512])
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "%s/*.h5", methods[method]);
    anl_field field = {.name = "image", .rank = 4, .axis = {"channel", "z", "y", "x"}, .size = {1, 4, 8, 16}};
    anl_dataset *set = opened(pattern, &field, 1, 1, false, false);
    anl_status status = ANL_OK;
    for (int i = 0; i < 2 && status == ANL_OK; i++)
        status = anl_dataset_read(set, i, 0, values[i], NULL, problems);
    anl_dataset_free(&set);
    return status;
}

static void compare_with_plain(int method)
{
    make_volumes("set", 2);
    static float values[2][2][512];
    pack_by(0);
    pack_by(method);
    ck_assert_int_eq(read_both(0, values[0]), ANL_OK);
    ck_assert_int_eq(read_both(method, values[1]), ANL_OK);
    ck_assert_int_eq(memcmp(values[0], values[1], sizeof values[0]), 0);
    /* The library's own filters read them as well. */
    char reason[ANL_REASON_SIZE], name[64];
    snprintf(name, sizeof name, "%s/train-00000.h5", methods[method]);
    anl_shard shard;
    int16_t stored[512];
    anl_shard_place place;
    anl_hdf5_lock();
    ck_assert_int_eq(anl_shard_open(in_root(name), &shard, reason), ANL_OK);
    ck_assert_int_eq(shard.filters, method == 1 ? ANL_FILTERS_SHUFFLE_DEFLATE : ANL_FILTERS_BLOSC);
    ck_assert_int_eq(anl_shard_read_image(&shard, 1, stored, reason), ANL_OK);
    ck_assert(anl_shard_locate(&shard, 0, &place));
    anl_shard_close(&shard);
    anl_shard_file_release(&place.file);
    anl_hdf5_unlock();
    ck_assert_uint_lt(place.length, sizeof stored);
    for (int z = 0; z < 4; z++)
        ck_assert_int_eq(stored[128 * z + 1], 50 + 10 * z);
    /* Damaged bytes are an error, never another image: deflate has a sum over all of them, Blosc says how many they were. */
    size_t length;
    uint8_t *bytes = read_bytes(in_root(name), &length);
    bytes[place.address + (method == 1 ? place.length / 2 : 4)] ^= 0x55;
    write_bytes(in_root(name), bytes, length);
    ck_assert_int_eq(read_both(method, values[1]), ANL_ERROR_FORMAT);
    ck_assert(has_code(ANL_A_shard_invalid));
}

START_TEST(compressed_shards_hold_the_same) { compare_with_plain(1); }
END_TEST

START_TEST(shards_by_blosc_hold_the_same)
{
    if (anl_blosc_there())
        compare_with_plain(2);
    else
        puts("skip shards_by_blosc_hold_the_same this build has no Blosc");
}
END_TEST

/* Whatever is damaged: an error, or bytes within bounds. */
START_TEST(blosc_stands_damage_and_compresses_for_the_library)
{
    if (!anl_blosc_there())
        return;
    static uint16_t plain[4096], back[4096];
    for (int i = 0; i < 4096; i++)
        plain[i] = (uint16_t)(i * i / 64);
    void *made;
    size_t length;
    ck_assert(anl_blosc_pack(5, 2, plain, sizeof plain, &made, &length));
    ck_assert_uint_lt(length, sizeof plain);
    ck_assert(anl_blosc_unpack(made, length, back, sizeof back) && !memcmp(plain, back, sizeof plain));
    ck_assert(!anl_blosc_unpack(made, length, back, sizeof back - 2)); /* another size than was asked for */
    uint8_t *part = malloc(length);
    for (size_t cut = 0; cut < length; cut += 7) {
        memcpy(part, made, cut);
        ck_assert(!anl_blosc_unpack(part, cut, back, sizeof back));
    }
    for (size_t at = 0; at < length; at++) {
        memcpy(part, made, length);
        part[at] ^= 0xA5;
        anl_blosc_unpack(part, length, back, sizeof back);
    }
    free(part);
    free(made);
    /* Through the library, both ways. */
    anl_hdf5_lock();
    hid_t file = anl_hdf5_create(in_root("filter.h5")), options = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t size = 4096;
    H5Pset_chunk(options, 1, &size);
    ck_assert(anl_blosc_use(options, 5, 2, sizeof plain));
    hid_t space = H5Screate_simple(1, &size, NULL), data = H5Dcreate2(file, "x", H5T_NATIVE_UINT16, space, H5P_DEFAULT, options, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, plain), 0);
    H5Dclose(data);
    H5Fclose(file);
    file = anl_hdf5_open(in_root("filter.h5"));
    data = H5Dopen2(file, "x", H5P_DEFAULT);
    memset(back, 0, sizeof back);
    ck_assert_int_ge(H5Dread(data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, back), 0);
    ck_assert_uint_lt(H5Dget_storage_size(data), sizeof plain);
    H5Dclose(data);
    H5Sclose(space);
    H5Pclose(options);
    H5Fclose(file);
    anl_hdf5_unlock();
    ck_assert(!memcmp(plain, back, sizeof plain));
}
END_TEST

/* ---- arrays of HDF5 files ---- */

/* Adds an array to a file, in chunks of two along its first axis, deflated. */
static void add_array(const char *file, const char *name, hid_t type, hid_t memory, int rank, const hsize_t *dims, const void *values)
{
    anl_hdf5_lock();
    hid_t opened = access(in_root(file), F_OK) == 0 ? H5Fopen(in_root(file), H5F_ACC_RDWR, H5P_DEFAULT) : anl_hdf5_create(in_root(file));
    hid_t space = H5Screate_simple(rank, dims, NULL), options = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[5];
    memcpy(chunk, dims, sizeof *dims * (size_t)rank);
    chunk[0] = dims[0] < 2 ? dims[0] : 2;
    H5Pset_chunk(options, rank, chunk);
    H5Pset_deflate(options, 4);
    hid_t data = H5Dcreate2(opened, name, type, space, H5P_DEFAULT, options, H5P_DEFAULT);
    ck_assert_int_ge(H5Dwrite(data, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Dclose(data);
    H5Pclose(options);
    H5Sclose(space);
    H5Fclose(opened);
    anl_hdf5_unlock();
}

static void add_attribute(const char *file, const char *name, const char *attribute, int count, const double *numbers, const char *text)
{
    anl_hdf5_lock();
    hid_t opened = H5Fopen(in_root(file), H5F_ACC_RDWR, H5P_DEFAULT), data = H5Dopen2(opened, name, H5P_DEFAULT);
    if (text)
        ck_assert(anl_hdf5_write_text(data, attribute, text));
    else {
        const hsize_t size = (hsize_t)count;
        hid_t space = H5Screate_simple(1, &size, NULL), made = H5Acreate2(data, attribute, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
        ck_assert_int_ge(H5Awrite(made, H5T_NATIVE_DOUBLE, numbers), 0);
        H5Aclose(made);
        H5Sclose(space);
    }
    H5Dclose(data);
    H5Fclose(opened);
    anl_hdf5_unlock();
}

static void refuse_array(const char *name, const char *axes, const char *why)
{
    char reason[ANL_REASON_SIZE];
    anl_array a;
    ck_assert_int_ne(anl_array_open(in_root("a.h5"), name, axes, &a, reason), ANL_OK);
    ck_assert_msg(strstr(reason, why), "expected `%s` in: %s", why, reason);
}

START_TEST(arrays_are_read_scan_by_scan)
{
    /* Two orders of the axes of the same three volumes of 2 x 4 x 5; values are 1000 n + 100 z + 10 y + x. */
    static int16_t nzyx[3][2][4][5], xnzy[5][3][2][4];
    for (int n = 0; n < 3; n++)
        for (int z = 0; z < 2; z++)
            for (int y = 0; y < 4; y++)
                for (int x = 0; x < 5; x++)
                    nzyx[n][z][y][x] = xnzy[x][n][z][y] = (int16_t)(1000 * n + 100 * z + 10 * y + x - 500);
    add_array("a.h5", "plain", H5T_STD_I16BE, H5T_NATIVE_INT16, 4, (hsize_t[]){3, 2, 4, 5}, nzyx);
    add_array("a.h5", "turned", H5T_STD_I16LE, H5T_NATIVE_INT16, 4, (hsize_t[]){5, 3, 2, 4}, xnzy);
    add_attribute("a.h5", "plain", "spacing", 3, (double[]){5, 0.5, 0.25}, NULL);
    add_attribute("a.h5", "plain", "unit", 0, NULL, "HU");
    add_attribute("a.h5", "plain", "scale", 1, (double[]){2}, NULL);
    add_attribute("a.h5", "plain", "offset", 1, (double[]){-1024}, NULL);
    char reason[ANL_REASON_SIZE];
    for (int turned = 0; turned < 2; turned++) {
        anl_array a;
        ck_assert_msg(anl_array_open(in_root("a.h5"), turned ? "/turned" : "/plain", turned ? "x,n,z,y" : NULL, &a, reason) == ANL_OK, "%s", reason);
        ck_assert_int_eq(a.count, 3);
        for (int n = 2; n >= 0; n--) {
            anl_scan s;
            ck_assert_msg(anl_array_read(&a, n, &s, reason) == ANL_OK, "%s", reason);
            ck_assert(s.depth == 2 && s.height == 4 && s.width == 5 && s.channels == 1 && s.type == ANL_VOXEL_I16);
            ck_assert(!memcmp(s.voxels, nzyx[n], sizeof nzyx[n]));
            if (!turned) {
                ck_assert(s.spacing[0] == 0.25 && s.spacing[1] == 0.5 && s.spacing[2] == 5 && s.slope == 2 && s.intercept == -1024);
                ck_assert_str_eq(s.unit, "HU");
            }
            anl_scan_free(&s);
        }
        anl_array_close(&a);
    }
    /* Other types and ranks: unsigned 32 bits exactly, one image, colours. */
    const uint32_t wide[6] = {4294967295u, 16777217u, 0, 1, 2, 3};
    add_array("a.h5", "wide", H5T_STD_U32LE, H5T_NATIVE_UINT32, 2, (hsize_t[]){2, 3}, wide);
    add_array("a.h5", "colour", H5T_STD_U32LE, H5T_NATIVE_UINT32, 4, (hsize_t[]){1, 1, 2, 3}, wide);
    anl_array a;
    anl_scan s;
    ck_assert_int_eq(anl_array_open(in_root("a.h5"), "/wide", NULL, &a, reason), ANL_OK);
    ck_assert_int_eq(anl_array_read(&a, 0, &s, reason), ANL_OK);
    ck_assert(a.count == 1 && s.type == ANL_VOXEL_F64 && s.height == 2 && s.width == 3);
    ck_assert(((double *)s.voxels)[0] == 4294967295.0 && ((double *)s.voxels)[1] == 16777217.0);
    anl_scan_free(&s);
    anl_array_close(&a);
    ck_assert_int_eq(anl_array_open(in_root("a.h5"), "/colour", NULL, &a, reason), ANL_OK);
    ck_assert(a.about.channels == 3 && a.about.width == 2 && a.about.depth == 1);
    anl_array_close(&a);
    ck_assert_int_eq(anl_array_open(in_root("a.h5"), "/colour", "nzyx", &a, reason), ANL_OK);
    ck_assert(a.about.channels == 1 && a.about.width == 3 && a.about.height == 2);
    anl_array_close(&a);
    /* What is refused. */
    add_array("a.h5", "four", H5T_STD_U32LE, H5T_NATIVE_UINT32, 4, (hsize_t[]){1, 1, 1, 4}, wide);
    add_array("a.h5", "line", H5T_STD_U32LE, H5T_NATIVE_UINT32, 1, (hsize_t[]){6}, wide);
    add_array("a.h5", "spaced", H5T_STD_U32LE, H5T_NATIVE_UINT32, 2, (hsize_t[]){2, 3}, wide);
    add_attribute("a.h5", "spaced", "spacing", 2, (double[]){1, -1}, NULL);
    refuse_array("/four", NULL, "say with --axes");
    refuse_array("/four", "nyxc", "it has 4 channels");
    refuse_array("/four", "nnyx", "cannot be `nnyx`");
    refuse_array("/four", "nzyq", "cannot be `nzyq`");
    refuse_array("/four", "nzyc", "y and x are among them");
    refuse_array("/line", NULL, "images have two at least");
    refuse_array("/spaced", NULL, "`spacing` is no number of mm");
    refuse_array("/none", NULL, "there is no such array");
    /* More than there can be: nothing is read or allocated. */
    anl_hdf5_lock();
    hid_t opened = H5Fopen(in_root("a.h5"), H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate_simple(3, (hsize_t[]){2, 60000, 60000}, NULL);
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(options, 3, (hsize_t[]){1, 100, 100});
    H5Dclose(H5Dcreate2(opened, "vast", H5T_STD_U8LE, space, H5P_DEFAULT, options, H5P_DEFAULT));
    H5Pclose(options);
    H5Sclose(space);
    H5Fclose(opened);
    anl_hdf5_unlock();
    refuse_array("/vast", NULL, "more than 1 GiB");
}
END_TEST

START_TEST(arrays_are_packed_with_arrays_of_labels)
{
    static uint8_t images[6][8][8];
    for (int n = 0; n < 6; n++)
        memset(images[n], 40 * n, sizeof images[n]);
    add_array("a.h5", "x", H5T_STD_U8LE, H5T_NATIVE_UINT8, 3, (hsize_t[]){6, 8, 8}, images);
    add_array("a.h5", "y", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, 4, (hsize_t[]){6, 1, 1, 1}, (double[]){0, 1, NAN, 0.5, 0, 1});
    add_array("a.h5", "who", H5T_STD_I64LE, H5T_NATIVE_INT, 1, (hsize_t[]){6}, (int[]){7, 7, 8, 8, 9, 9});
    const char *texts[] = {"cat", "dog", "cat", "", "dog", "cat"};
    anl_hdf5_lock();
    hid_t file = H5Fopen(in_root("a.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    ck_assert(anl_hdf5_write_texts(file, "word", false, texts, 6));
    H5Fclose(file);
    anl_hdf5_unlock();
    char input[128], y[128], who[128], word[128];
    snprintf(input, sizeof input, "%s:/x", in_root("a.h5"));
    snprintf(y, sizeof y, "%s:/y", in_root("a.h5"));
    snprintf(who, sizeof who, "%s:/who", in_root("a.h5"));
    snprintf(word, sizeof word, "%s:/word", in_root("a.h5"));
    const char *inputs[] = {input}, *from[] = {y, who, word};
    anl_pack_options o = pack_options("set", "out");
    o.labels = NULL;
    o.inputs = inputs;
    o.input_count = 1;
    o.labels_from = from;
    o.labels_from_count = 3;
    o.patient = "who";
    o.size[0] = o.size[1] = 8;
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    ck_assert(report.packed == 6 && report.patients == 3);
    const anl_field fields[] = {{.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {1, 8, 8}}, {.name = "y", .has_mask = true},
                                {.name = "word", .has_mask = true}};
    anl_dataset *set = opened("out/*.h5", fields, 3, 1, false, false);
    float image[64], value, mask;
    const float expected[] = {0, 1, 0, 0.5f, 0, 1}, codes[] = {0, 1, 0, 0, 1, 0};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, image, NULL, problems), ANL_OK);
        ck_assert_float_eq(image[63], (float)(40 * i) / 255);
        ck_assert_int_eq(anl_dataset_read(set, i, 1, &value, &mask, problems), ANL_OK);
        ck_assert(mask == (i != 2) && value == expected[i]);
        ck_assert_int_eq(anl_dataset_read(set, i, 2, &value, &mask, problems), ANL_OK);
        ck_assert(mask == (i != 3) && value == codes[i]);
    }
    anl_dataset_free(&set);
}
END_TEST

static bool stop_now(void *context)
{
    int *polls = context;
    return ++*polls > 2;
}

START_TEST(bad_input_is_skipped_counted_or_refused)
{
    make_set("set", false);
    /* One image garbage, one cut short, one missing. */
    write_text(in_root("set/i03.tif"), "II*\0 not a picture");
    size_t length;
    void *bytes = read_bytes(in_root("set/i04.tif"), &length);
    write_bytes(in_root("set/i04.tif"), bytes, length / 2);
    unlink(in_root("set/i05.tif"));
    anl_pack_options o = pack_options("set", "out");
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq((int)report.skipped, 3);
    ck_assert_int_eq((int)report.packed, 57);
    ck_assert_int_eq((int)(report.train + report.valid + report.test), 57);
    ck_assert_int_eq(anl_diagnostics_warnings(problems), 3);
    ck_assert(has_code(ANL_A_image_skipped));
    ck_assert_ptr_nonnull(strstr(read_bytes(in_root("out/manifest.json"), &length), "i05.tif"));
    /* A folder that holds a pack is not mixed with another. */
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_FILE);
    ck_assert(has_code(ANL_A_data_write));
    o.overwrite = true;
    o.size[0] = o.size[1] = 12;
    packed(&o, &report);
    ck_assert_int_eq(count_files(in_root("out")), report.shards + 1);
    /* Stopped: nothing is left. */
    int polls = 0;
    o = pack_options("set", "stopped");
    o.stop = stop_now;
    o.context = &polls;
    o.threads = 1;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_STOPPED);
    ck_assert_int_eq(count_files(in_root("stopped")), 0);
    /* Tables that cannot be right. */
    static const struct {
        const char *text, *patient, *stratify;
        anl_code code;
    } cases[] = {
        {"", NULL, NULL, ANL_A_labels_invalid},
        {"file,y\n", NULL, NULL, ANL_A_labels_invalid},
        {"file,y\n", NULL, NULL, ANL_A_labels_invalid},
        {"file,y\ni01.tif,1\ni01.tif,0\n", NULL, NULL, ANL_A_labels_invalid},
        {"file,y\n,1\n", NULL, NULL, ANL_A_labels_invalid},
        {"file,a/b\ni01.tif,1\n", NULL, NULL, ANL_A_labels_invalid},
        {"file,y,patient\ni01.tif,1,a\n", "patint", NULL, ANL_A_labels_invalid},
        {"file,y,patient\ni01.tif,1,a\n", NULL, "z", ANL_A_labels_invalid},
        {"file,y\nnowhere.tif,1\n", NULL, NULL, ANL_A_data_too_small},
    };
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_diagnostics_free(&problems);
        problems = anl_diagnostics_new();
        write_text(in_root("set/labels.csv"), cases[i].text);
        o = pack_options("set", "bad");
        o.patient = cases[i].patient;
        o.stratify = cases[i].stratify;
        anl_status status = anl_pack(&o, &report, problems);
        ck_assert_msg(status != ANL_OK, "case %zu is taken", i);
        ck_assert_msg(has_code(cases[i].code), "case %zu: %s", i, anl_diagnostics_get(problems, 0)->message);
        ck_assert_int_eq(count_files(in_root("bad")), 0);
    }
    /* The same row twice counts once. */
    write_text(in_root("set/labels.csv"), "file,y\ni01.tif,1\ni02.tif,0\ni01.tif,1\n");
    o = pack_options("set", "twice");
    packed(&o, &report);
    ck_assert_int_eq((int)report.images, 2);
    ck_assert(has_code(ANL_A_duplicate_rows));
    ck_assert(has_code(ANL_A_patients_unknown));
    /* Options out of range. */
    o.size[0] = o.size[1] = 0;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_ARGUMENT);
    o.size[0] = o.size[1] = 8;
    o.fraction_valid = 0.9;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_ARGUMENT);
}
END_TEST

START_TEST(a_full_disk_is_an_error_that_leaves_nothing)
{
    make_set("set", false);
    /* In a child: files cannot grow beyond 6,000 bytes there, as on a full disk. */
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit = {6000, 6000};
        setrlimit(RLIMIT_FSIZE, &limit);
        anl_pack_options o = pack_options("set", "full");
        anl_pack_report report;
        anl_status status = anl_pack(&o, &report, problems);
        bool told = strstr(message(ANL_A_data_write), "File too large") != NULL;
        exit(status == ANL_ERROR_FILE && told ? 0 : status == ANL_OK ? 1 : 2); /* not _exit: what runs at exit must not crash either */
    }
    int state = 0;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 0, "child state %x", state);
    ck_assert_int_eq(count_files(in_root("full")), 0);
}
END_TEST

START_TEST(labels_can_be_few)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_field fields[] = {{.name = "finding", .rank = 1, .axis = {"class"}, .size = {2}, .has_mask = true}};
    float values[2], mask[2];
    /* By patient: a third of twelve patients keeps all its labels, the others none. */
    anl_dataset *set = opened("out/*.h5", fields, 1, 1 / 3.0, true, false);
    ck_assert_int_eq((int)anl_dataset_count(set), 60);
    int known[12] = {0}, patients = 0;
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, values, mask, problems), ANL_OK);
        known[i / 5] += (int)mask[0];
        if (mask[0] == 0)
            ck_assert(values[0] == 0 && values[1] == 0 && mask[1] == 0);
    }
    for (int p = 0; p < 12; p++) {
        ck_assert(known[p] == 0 || known[p] == 5);
        patients += known[p] == 5;
    }
    ck_assert_int_eq(patients, 4);
    anl_dataset_free(&set);
    /* The same with the others left out. */
    set = opened("out/*.h5", fields, 1, 1 / 3.0, true, true);
    ck_assert_int_eq((int)anl_dataset_count(set), 20);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, values, mask, problems), ANL_OK);
        ck_assert_float_eq(mask[0], 1);
    }
    anl_dataset_free(&set);
    /* By sample. */
    set = opened("out/*.h5", fields, 1, 0.25, false, false);
    int count = 0;
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, values, mask, problems), ANL_OK);
        count += (int)mask[0];
    }
    ck_assert_int_eq(count, 15);
    anl_dataset_free(&set);
    /* Without a mask dropped labels could not be told from zeros; neither could missing ones. */
    fields[0].has_mask = false;
    anl_dataset_options options = {.pattern = "out/*.h5", .folder = root, .label_fraction = 0.5};
    ck_assert_int_eq(anl_dataset_open(&options, fields, 1, problems, &set), ANL_ERROR_SPEC);
    options.label_fraction = 0;
    ck_assert_int_eq(anl_dataset_open(&options, fields, 1, problems, &set), ANL_ERROR_SPEC);
    options.label_fraction = 1;
    ck_assert_int_eq(anl_dataset_open(&options, fields, 1, problems, &set), ANL_OK);
    ck_assert_int_eq(anl_dataset_read(set, 1, 0, values, NULL, problems), ANL_OK);
    ck_assert_int_eq(anl_dataset_read(set, 0, 0, values, NULL, problems), ANL_ERROR_FORMAT);
    anl_dataset_free(&set);
}
END_TEST

START_TEST(damaged_and_foreign_shards_are_errors)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_field fields[] = {image_field(), {.name = "y", .has_mask = true}};
    anl_dataset_options options = {.pattern = "out/train-*.h5", .folder = root, .label_fraction = 1};
    anl_dataset *set;
    size_t length;
    uint8_t *bytes = read_bytes(in_root("out/train-00003.h5"), &length);
    /* Cut short: the size in the manifest no longer fits, so it is opened, and found out. */
    uint64_t random = 11;
    for (int k = 0; k < 12; k++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        write_bytes(in_root("out/train-00003.h5"), bytes, (size_t)(random >> 33) % length);
        ck_assert_int_ne(anl_dataset_open(&options, fields, 2, problems, &set), ANL_OK);
        ck_assert_ptr_null(set);
    }
    ck_assert(has_code(ANL_A_shard_invalid));
    ck_assert_ptr_null(strstr(message(ANL_A_shard_invalid), "no reason"));
    /* Changed in place: an error or a value, no crash. In a child, since HDF5 1.10 does not free all it had when it gives up. */
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        for (int k = 0; k < 60; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % (k < 40 ? 4000 : length);
            uint8_t kept = bytes[at];
            bytes[at] ^= (uint8_t)(1 + (random >> 20 & 127));
            write_bytes(in_root("out/train-00003.h5"), bytes, length);
            bytes[at] = kept;
            float values[576], mask[1];
            if (anl_dataset_open(&options, fields, 2, problems, &set) == ANL_OK) {
                for (int i = 24; i < 32; i++) {
                    anl_status a = anl_dataset_read(set, i, 0, values, NULL, problems);
                    anl_status b = anl_dataset_read(set, i, 1, values, mask, problems);
                    if ((a != ANL_OK || b != ANL_OK) && anl_diagnostics_errors(problems) == 0)
                        _exit(1);
                }
                anl_dataset_free(&set);
            }
            FILE *nowhere = fopen("/dev/null", "w");
            anl_shard_inspect(in_root("out/train-00003.h5"), nowhere, problems);
            fclose(nowhere);
        }
        _exit(0);
    }
    int state = 0;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFEXITED(state) && WEXITSTATUS(state) == 0, "child state %x", state);
    write_bytes(in_root("out/train-00003.h5"), bytes, length);
    ck_assert_int_eq(anl_dataset_open(&options, fields, 2, problems, &set), ANL_OK);
    ck_assert_int_eq((int)anl_dataset_count(set), 60);
    anl_dataset_free(&set);
    /* A manifest that is not one changes nothing. */
    static const char *const manifests[] = {
        "", "{", "[]", "{\"shards\": [{\"file\": \"train-00000.h5\", \"samples\": -3, \"bytes\": 1}]}", "{\"a\": [[[["};
    for (size_t i = 0; i < ANL_COUNT(manifests); i++) {
        write_text(in_root("out/manifest.json"), manifests[i]);
        ck_assert_int_eq(anl_dataset_open(&options, fields, 2, problems, &set), ANL_OK);
        ck_assert_int_eq((int)anl_dataset_count(set), 60);
        anl_dataset_free(&set);
    }
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    options.pattern = "nothing-*.h5";
    ck_assert_int_eq(anl_dataset_open(&options, fields, 2, problems, &set), ANL_ERROR_FILE);
    ck_assert(has_code(ANL_A_shard_missing));
    fields[1].column = "yy";
    options.pattern = "out/train-*.h5";
    ck_assert_int_eq(anl_dataset_open(&options, fields, 2, problems, &set), ANL_ERROR_SPEC);
    ck_assert(has_code(ANL_A_field_mismatch));
}
END_TEST

START_TEST(more_shards_than_may_stay_open)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    o.shard_samples = 1;
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq(report.shards, 60);
    /* A process with few descriptors keeps only a few shards open. */
    struct rlimit before, few;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 32;
    setrlimit(RLIMIT_NOFILE, &few);
    anl_field fields[] = {image_field(), {.name = "code", .column = "kind"}};
    anl_dataset *set = opened("out/*.h5", fields, 2, 1, false, false);
    float values[576];
    for (int k = 0; k < 240; k++) {
        int64_t i = anl_order(k % 60, 60, (uint64_t)k / 60);
        ck_assert_int_eq(anl_dataset_read(set, i, 0, values, NULL, problems), ANL_OK);
        ck_assert_float_eq(values[4 * 24], (float)(pattern((int)i, 0, 0, 16) * (1.0 / 65535.0)));
        ck_assert_int_eq(anl_dataset_read(set, i, 1, values, NULL, problems), ANL_OK);
        ck_assert_float_eq(values[0], i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : 2);
    }
    /* Read ahead, too: samples whose files are kept, and those for which that would be too many. */
    anl_loader_options options = {.batch = 20, .threads = 3};
    anl_loader *loader;
    ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
    for (int k = 0; k < 12; k++) {
        const anl_batch *batch;
        ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
        for (int i = 0; i < 20; i++) {
            ck_assert_float_eq(batch->values[0][576 * i + 4 * 24], (float)(pattern((int)batch->samples[i], 0, 0, 16) * (1.0 / 65535.0)));
            ck_assert_float_eq(batch->values[1][i], batch->samples[i] % 3 == 0 ? 1 : batch->samples[i] % 3 == 1 ? 0 : 2);
        }
    }
    anl_loader_free(&loader);
    anl_dataset_free(&set);
    setrlimit(RLIMIT_NOFILE, &before);
}
END_TEST

START_TEST(many_shards_are_opened_when_they_are_needed)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    o.shard_samples = 60;
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq(report.shards, 1);
    /* All others are damaged files of just that size: the manifest's word is taken until one of their samples is read. */
    enum { SHARDS = 20000 };
    size_t length;
    void *bytes = read_bytes(in_root("out/train-00000.h5"), &length);
    memset(bytes, 0, length);
    write_bytes(in_root("damaged"), bytes, length);
    anl_text manifest = {0};
    anl_text_add(&manifest, "{\"seed\": 5, \"shards\": [");
    for (int i = 0; i < SHARDS; i++) {
        char name[64];
        snprintf(name, sizeof name, "train-%05d.h5", i);
        if (i > 0)
            ck_assert_int_eq(link(in_root("damaged"), anl_arena_printf(arena, "%s/out/%s", root, name)), 0);
        anl_text_printf(&manifest, "%s{\"file\": \"%s\", \"split\": \"train\", \"samples\": 60, \"bytes\": %zu}", i ? ", " : "", name, length);
    }
    anl_text_add(&manifest, "]}");
    write_text(in_root("out/manifest.json"), manifest.data);
    anl_text_free(&manifest);
    anl_field field = image_field();
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    anl_dataset *set = opened("out/*.h5", &field, 1, 1, false, false);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    ck_assert_int_eq((int)anl_dataset_count(set), 60 * SHARDS);
    double spent = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    ck_assert_msg(spent < 1, "opening %d shards took %.2f s", SHARDS, spent); /* a fifth of what 100,000 may take is 0.2 */
    float values[576];
    ck_assert_int_eq(anl_dataset_read(set, 59, 0, values, NULL, problems), ANL_OK);
    ck_assert_int_eq(anl_dataset_read(set, 60, 0, values, NULL, problems), ANL_ERROR_FORMAT);
    anl_dataset_free(&set);
}
END_TEST

/* ---- loader ---- */

static uint64_t take(anl_loader *loader, int fields, const size_t *sizes, int64_t *step)
{
    const anl_batch *batch;
    ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
    if (!batch) {
        *step = -1;
        return 0;
    }
    *step = batch->step;
    uint64_t hash = anl_hash(batch->samples, sizeof(int64_t) * 7, 0);
    for (int f = 0; f < fields; f++) {
        hash = anl_hash(batch->values[f], sizeof(float) * sizes[f] * 7, hash);
        if (batch->masks[f])
            hash = anl_hash(batch->masks[f], sizeof(float) * sizes[f] * 7, hash);
    }
    return hash;
}

START_TEST(loader_is_resumable_and_the_same_for_any_number_of_threads)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_field fields[] = {image_field(), {.name = "y", .has_mask = true}};
    static const size_t sizes[] = {576, 1};
    anl_dataset *set = opened("out/*.h5", fields, 2, 1, false, false);
    enum { STEPS = 40 }; /* 60 samples, batches of 7: 8 steps an epoch, 4 samples left out of each */
    uint64_t expected[STEPS];
    anl_loader_options options = {.batch = 7, .seed = 9};
    anl_loader *loader;
    ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
    int64_t step;
    for (int s = 0; s < STEPS; s++) {
        expected[s] = take(loader, 2, sizes, &step);
        ck_assert_int_eq((int)step, s);
    }
    ck_assert(anl_loader_waited(loader) >= 0);
    anl_loader_free(&loader);
    ck_assert_ptr_null(loader);
    for (int s = 1; s < STEPS; s++)
        ck_assert(expected[s] != expected[s - 1]);
    for (int threads = 1; threads <= 4; threads++)
        for (int first = 0; first < STEPS; first += 13) {
            options = (anl_loader_options){.batch = 7, .seed = 9, .first_step = first, .threads = threads, .ahead = 1 + threads};
            ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
            for (int s = first; s < STEPS; s++) {
                ck_assert_uint_eq(take(loader, 2, sizes, &step), expected[s]);
                ck_assert_int_eq((int)step, s);
            }
            anl_loader_free(&loader);
        }
    /* Each epoch shows a sample at most once. */
    options = (anl_loader_options){.batch = 7, .seed = 9};
    ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
    int seen[60] = {0};
    for (int s = 0; s < 16; s++) {
        const anl_batch *batch;
        ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
        ck_assert_int_eq(batch->valid, 7);
        for (int i = 0; i < 7; i++)
            ck_assert_int_le(++seen[batch->samples[i]], s < 8 ? 1 : 2);
    }
    anl_loader_free(&loader);
    /* Freed at once, with threads in the middle of their work. */
    for (int k = 0; k < 20; k++) {
        options = (anl_loader_options){.batch = 7, .threads = 3, .ahead = 5};
        ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
        anl_loader_free(&loader);
    }
    options = (anl_loader_options){.batch = 61};
    ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_ERROR_ARGUMENT);
    ck_assert(has_code(ANL_A_data_too_small));
    anl_dataset_free(&set);
}
END_TEST

/* ---- mixtures ---- */

/* Packs 60 samples into a/ and the first 20 of them into b/, with other words and without the column y. */
static void make_mixture(void)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "a");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_text csv = {0};
    anl_text_add(&csv, "file,kind,patient\n");
    for (int i = 0; i < 20; i++)
        anl_text_printf(&csv, "i%02d.tif,%s,P%d\n", i, i % 4 ? "mass" : "nodule", i / 5);
    write_text(in_root("set/few.csv"), csv.data);
    anl_text_free(&csv);
    o.labels = in_root("set/few.csv");
    o.out = in_root("b");
    packed(&o, &report);
    ck_assert_int_eq((int)report.packed, 20);
}

static const anl_dataset_source two_to_one[] = {{.name = "a", .pattern = "a/*.h5", .weight = 2},
                                                {.name = "b", .pattern = "b/*.h5", .weight = 1}};

static anl_dataset *mixed(anl_dataset_options o, const anl_field *fields, int count)
{
    o.sources = two_to_one;
    o.source_count = 2;
    o.folder = root;
    o.label_fraction = o.label_fraction > 0 ? o.label_fraction : 1;
    anl_dataset *set = NULL;
    anl_status status = anl_dataset_open(&o, fields, count, problems, &set);
    if (status != ANL_OK)
        show_problems();
    ck_assert_int_eq(status, ANL_OK);
    return set;
}

/* How often each sample comes in epochs [first, end). */
static void count_draws(const anl_dataset *set, int first, int end, int *times)
{
    memset(times, 0, sizeof *times * (size_t)anl_dataset_count(set));
    for (int e = first; e < end; e++)
        for (int64_t k = 0; k < anl_dataset_count(set); k++) {
            int64_t sample = anl_dataset_draw(set, e, k, 11);
            ck_assert(sample >= 0 && sample < anl_dataset_count(set));
            times[sample]++;
        }
}

START_TEST(mixtures_draw_by_weight)
{
    make_mixture();
    anl_field fields[] = {image_field(), {.name = "y", .has_mask = true}, {.name = "kind", .rank = 1, .axis = {"class"}, .size = {4}}};
    anl_dataset *set = mixed((anl_dataset_options){0}, fields, 3);
    ck_assert_int_eq((int)anl_dataset_count(set), 80);
    /* Words are those of both; a column that b has not is missing in all its samples. */
    static const char *const words[] = {"cyst", "mass", "nodule", "normal"};
    for (int w = 0; w < 4; w++)
        ck_assert_str_eq(anl_dataset_column(set, 2, w), words[w]);
    static float image[576];
    float value, mask, kind[4];
    for (int i = 0; i < 80; i++) {
        int k = i < 60 ? i : i - 60;
        ck_assert_int_eq(anl_dataset_read(set, i, 0, image, NULL, problems), ANL_OK);
        ck_assert_float_eq(image[4 * 24], (float)(pattern(k, 0, 0, 16) * (1.0 / 65535.0)));
        ck_assert_int_eq(anl_dataset_read(set, i, 1, &value, &mask, problems), ANL_OK);
        ck_assert_float_eq(mask, i < 60 && i % 10 != 9 ? 1 : 0);
        ck_assert_int_eq(anl_dataset_read(set, i, 2, kind, NULL, problems), ANL_OK);
        int word = i < 60 ? (k % 3 == 0 ? 1 : k % 3 == 1 ? 0 : 3) : k % 4 ? 1 : 2;
        for (int w = 0; w < 4; w++)
            ck_assert_float_eq(kind[w], w == word ? 1 : 0);
    }
    /* In each epoch b has a third of the places: 27 of 80, well mixed. In the long run all samples of a source come alike. */
    int times[80], early = 0;
    for (int e = 0; e < 3; e++) {
        int of_b = 0;
        count_draws(set, e, e + 1, times);
        for (int i = 60; i < 80; i++)
            of_b += times[i];
        ck_assert_int_eq(of_b, 27);
        for (int i = 0; i < 60; i++)
            ck_assert_int_le(times[i], 2);
    }
    for (int k = 0; k < 40; k++)
        early += anl_dataset_draw(set, 0, k, 11) >= 60;
    ck_assert(early > 5 && early < 22);
    count_draws(set, 0, 60, times);
    for (int i = 0; i < 80; i++)
        ck_assert_int_eq(times[i], i < 60 ? 53 : 81);
    /* The same at any number of threads and after a resume. */
    uint64_t expected[24];
    static const size_t sizes[] = {576, 1, 4};
    for (int run = 0; run < 4; run++) {
        anl_loader_options options = {.batch = 7, .seed = 4, .threads = 1 + run, .first_step = run * 6};
        anl_loader *loader;
        ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
        for (int s = run * 6; s < 24; s++) {
            int64_t step;
            uint64_t hash = take(loader, 3, sizes, &step);
            ck_assert_int_eq((int)step, s);
            if (run == 0)
                expected[s] = hash;
            ck_assert_uint_eq(hash, expected[s]);
        }
        anl_loader_free(&loader);
    }
    anl_dataset_free(&set);
    /* A plain set's order is the bijection alone, and one source is a plain set. */
    anl_dataset_options plain = {.pattern = "a/*.h5", .folder = root, .label_fraction = 1};
    ck_assert_int_eq(anl_dataset_open(&plain, fields, 1, problems, &set), ANL_OK);
    int64_t epoch = 3;
    for (int k = 0; k < 60; k++)
        ck_assert_int_eq((int)anl_dataset_draw(set, epoch, k, 11), (int)anl_order(k, 60, anl_hash(&epoch, sizeof epoch, 11)));
    anl_dataset_free(&set);
}
END_TEST

START_TEST(labels_can_be_few_in_mixtures)
{
    make_mixture();
    anl_field fields[] = {{.name = "code", .column = "kind", .has_mask = true}};
    /* Twelve patients of a, four of b: half of the sixteen keep their labels. */
    anl_dataset *set = mixed((anl_dataset_options){.label_fraction = 0.5, .label_by_patient = true, .seed = 3}, fields, 1);
    float value, mask;
    int known = 0;
    bool keeps[80];
    for (int i = 0; i < 80; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, &value, &mask, problems), ANL_OK);
        keeps[i] = mask == 1;
        known += keeps[i];
        ck_assert_int_eq(keeps[i], keeps[i / 5 * 5]);
    }
    ck_assert_int_eq(known, 40);
    anl_dataset_free(&set);
    /* Left out with their labels, the others are never drawn; the sources keep their shares. */
    set = mixed((anl_dataset_options){.label_fraction = 0.5, .label_by_patient = true, .drop_unlabelled = true, .seed = 3}, fields, 1);
    ck_assert_int_eq((int)anl_dataset_count(set), 40);
    int of_a = 0, of_b = 0, times[40];
    for (int i = 0; i < 60; i++)
        of_a += keeps[i];
    count_draws(set, 0, 2, times);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(anl_dataset_read(set, i, 0, &value, &mask, problems), ANL_OK);
        ck_assert_float_eq(mask, 1);
        of_b += i >= of_a ? times[i] : 0;
    }
    ck_assert(of_a > 0 && of_a < 40);
    ck_assert_int_eq(of_b, 2 * 13);
    anl_dataset_free(&set);
}
END_TEST

START_TEST(values_are_drawn_evenly)
{
    make_mixture();
    /* y in a: 18 times 1, 36 times 0, 6 times missing. Those without keep their share. */
    anl_field field = {.name = "y", .has_mask = true};
    anl_dataset_options o = {.pattern = "a/*.h5", .folder = root, .label_fraction = 1, .balance = "y"};
    anl_dataset *set;
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_OK);
    int times[80], places[3] = {0};
    count_draws(set, 5, 6, times);
    for (int i = 0; i < 60; i++)
        places[i % 10 == 9 ? 2 : i % 3 == 0] += times[i];
    ck_assert_int_eq(places[0], 27);
    ck_assert_int_eq(places[1], 27);
    ck_assert_int_eq(places[2], 6);
    count_draws(set, 0, 4, times);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(times[i], i % 10 == 9 ? 4 : i % 3 == 0 ? 6 : 3);
    anl_dataset_free(&set);
    /* Each source of a mixture by itself: three words of a in 53 places, two of b in 27. */
    anl_field kind = {.name = "code", .column = "kind"};
    set = mixed((anl_dataset_options){.balance = "kind"}, &kind, 1);
    int of[5] = {0};
    count_draws(set, 0, 1, times);
    for (int i = 0; i < 80; i++)
        of[i < 60 ? i % 3 : i % 4 ? 3 : 4] += times[i];
    for (int k = 0; k < 5; k++)
        ck_assert_int_le(abs(of[k] - (k < 3 ? 18 : 13)), 1);
    ck_assert_int_eq(of[3] + of[4], 27);
    anl_dataset_free(&set);
    /* A column that one source has not: it is drawn as it is. */
    set = mixed((anl_dataset_options){.balance = "y"}, &kind, 1);
    count_draws(set, 0, 60, times);
    for (int i = 60; i < 80; i++)
        ck_assert_int_eq(times[i], 81);
    anl_dataset_free(&set);
    /* Dropped labels do not count. */
    o.label_fraction = 0.5;
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_OK);
    places[0] = places[1] = places[2] = 0;
    count_draws(set, 0, 1, times);
    int lost = 0;
    for (int i = 0; i < 60; i++) {
        float value, mask;
        ck_assert_int_eq(anl_dataset_read(set, i, 0, &value, &mask, problems), ANL_OK);
        places[mask == 0 ? 2 : (int)value] += times[i];
        lost += mask == 0;
    }
    ck_assert_int_eq(places[2], lost);
    ck_assert_int_le(abs(places[0] - places[1]), 1);
    anl_dataset_free(&set);
}
END_TEST

START_TEST(unfit_mixtures_are_refused)
{
    make_mixture();
    anl_dataset *set;
    anl_dataset_source sources[] = {two_to_one[0], two_to_one[1]};
    anl_dataset_options o = {.folder = root, .label_fraction = 1, .sources = sources, .source_count = 2};
    anl_field field = {.name = "y"};
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_ERROR_SPEC);
    ck_assert_str_eq(message(ANL_A_field_mismatch), "the source `b` has no column `y` for the field `y`");
    field = image_field();
    sources[1].weight = 0;
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_ERROR_SPEC);
    ck_assert_str_eq(message(ANL_A_out_of_range), "the weight of the source `b` is 0; it must be above 0");
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    sources[1].weight = 0.001;
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_ERROR_SPEC);
    ck_assert(strstr(message(ANL_A_out_of_range), "20 samples would be drawn less than once in an epoch of 80"));
    sources[1] = (anl_dataset_source){.name = "c", .pattern = "c/*.h5", .weight = 1};
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_ERROR_FILE);
    ck_assert(has_code(ANL_A_shard_missing));
    o = (anl_dataset_options){.folder = root, .label_fraction = 1, .pattern = "a/*.h5", .balance = "kinds"};
    ck_assert_int_eq(anl_dataset_open(&o, &field, 1, problems, &set), ANL_ERROR_SPEC);
    ck_assert_str_eq(message(ANL_A_field_mismatch), "no column `kinds` to balance by");
}
END_TEST

START_TEST(ordered_pass_ends_with_a_padded_batch)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_field fields[] = {image_field(), {.name = "y", .has_mask = true}};
    anl_dataset *set = opened("out/*.h5", fields, 2, 1, false, false);
    for (int threads = 1; threads <= 3; threads += 2) {
        anl_loader_options options = {.batch = 7, .ordered = true, .threads = threads};
        anl_loader *loader;
        const anl_batch *batch;
        ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
        int64_t next = 0;
        for (int s = 0; s < 9; s++) {
            ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
            ck_assert_ptr_nonnull(batch);
            ck_assert_int_eq(batch->valid, s == 8 ? 4 : 7);
            for (int i = 0; i < batch->valid; i++)
                ck_assert_int_eq((int)batch->samples[i], (int)next++);
            for (int i = batch->valid; i < 7; i++) {
                ck_assert_int_eq((int)batch->samples[i], 59);
                ck_assert_int_eq(memcmp(batch->values[0] + 576 * i, batch->values[0] + 576 * 3, 576 * sizeof(float)), 0);
            }
        }
        for (int k = 0; k < 3; k++) {
            ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
            ck_assert_ptr_null(batch);
        }
        anl_loader_free(&loader);
    }
    anl_dataset_free(&set);
}
END_TEST

START_TEST(loader_bench_counts_what_it_read)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    int64_t bytes = 0;
    struct stat about;
    for (int i = 0; i < report.shards; i++) {
        ck_assert_int_eq(stat(in_root(anl_arena_printf(arena, "out/train-%05d.h5", i)), &about), 0);
        bytes += about.st_size;
    }
    anl_loader_bench_options options = {.pattern = in_root("out/*.h5"), .batch = 8, .threads = 2, .seconds = 0.02};
    anl_loader_bench_result r;
    for (options.warm = false;; options.warm = true) {
        ck_assert_int_eq(anl_loader_bench(&options, problems, &r), ANL_OK);
        ck_assert_int_eq(r.samples, 60);
        ck_assert_int_eq(r.bytes, bytes);
        ck_assert_double_gt(r.plain_bytes_per_second, 0);
        ck_assert_double_eq_tol(r.bytes_per_second, r.images_per_second * (double)bytes / 60, 1e-6 * r.bytes_per_second);
        if (options.warm)
            break;
    }
    options.pattern = in_root("none-*.h5");
    ck_assert_int_eq(anl_loader_bench(&options, problems, &r), ANL_ERROR_FILE);
    ck_assert(has_code(ANL_A_shard_missing));
}
END_TEST

START_TEST(loader_hands_on_errors)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.fraction_valid = o.fraction_test = 0;
    anl_pack_report report;
    packed(&o, &report);
    anl_field field = image_field();
    anl_dataset *set = opened("out/*.h5", &field, 1, 1, false, false);
    unlink(in_root("out/train-00005.h5")); /* samples 40 to 47 */
    anl_loader_options options = {.batch = 8, .ordered = true, .threads = 2};
    anl_loader *loader;
    const anl_batch *batch;
    ck_assert_int_eq(anl_loader_new(set, &options, problems, &loader), ANL_OK);
    for (int s = 0; s < 5; s++) {
        ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
        ck_assert_int_eq((int)batch->samples[0], 8 * s);
    }
    ck_assert_int_eq(anl_diagnostics_errors(problems), 0);
    ck_assert_int_ne(anl_loader_next(loader, &batch, problems), ANL_OK);
    ck_assert_ptr_null(batch);
    ck_assert_ptr_nonnull(strstr(message(ANL_A_shard_invalid), "train-00005.h5"));
    ck_assert_int_ne(anl_loader_next(loader, &batch, problems), ANL_OK); /* and stays so */
    anl_loader_free(&loader);
    anl_dataset_free(&set);
}
END_TEST

START_TEST(inspect_tells_what_is_there)
{
    make_set("set", false);
    anl_pack_options o = pack_options("set", "out");
    o.modality = "ct";
    anl_pack_report report;
    packed(&o, &report);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ck_assert_int_eq(anl_shard_inspect(in_root("out/train-00000.h5"), out, problems), ANL_OK);
    fclose(out);
    static const char *const words[] = {
        "samples    8", "24 x 24, 1 channel, uint16", "modality   ct", "finding.edema", "cyst", "patients", "seed       5"};
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        ck_assert_msg(strstr(text, words[i]), "no `%s` in:\n%s", words[i], text);
    free(text);
    ck_assert_int_ne(anl_shard_inspect(in_root("set/i00.tif"), stderr, problems), ANL_OK);
    ck_assert(has_code(ANL_A_shard_invalid));
}
END_TEST

START_TEST(real_sets_pack)
{
    const char *source = getenv("ANL_TEST_ROOT");
    const char *data = anl_arena_printf(arena, "%s/../shared/data/ct_ich", source ? source : ".");
    if (access(anl_arena_printf(arena, "%s/labels.csv", data), R_OK) != 0) {
        printf("skipped: %s is not here\n", data);
        return;
    }
    anl_pack_options o = {.inputs = &data,
                          .input_count = 1,
                          .labels = anl_arena_printf(arena, "%s/labels.csv", data),
                          .out = in_root("ct"),
                          .size = {64, 64, 64},
                          .channels = 1,
                          .fraction_valid = 0.15,
                          .fraction_test = 0.15,
                          .stratify = "y"};
    anl_pack_report report;
    packed(&o, &report);
    ck_assert_int_eq((int)report.packed, 1691);
    ck_assert_int_eq((int)report.skipped, 0);
    ck_assert_int_eq((int)report.patients, 56);
    anl_field fields[] = {{.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {1, 64, 64}}, {.name = "y"}};
    anl_dataset *set = opened("ct/*.h5", fields, 2, 1, false, false);
    int positives = 0;
    for (int64_t i = 0; i < anl_dataset_count(set); i++) {
        float y;
        ck_assert_int_eq(anl_dataset_read(set, i, 1, &y, NULL, problems), ANL_OK);
        positives += y == 1;
    }
    ck_assert_int_eq(positives, 202); /* as the set's description says */
    anl_dataset_free(&set);
}
END_TEST

int main(void)
{
    TIFFSetWarningHandler(NULL); /* of the fixtures' writer */
    Suite *suite = suite_create("data");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(tiff_reads_every_layout),
        T(tiff_pages_are_slices),
        T(tiff_numbers_of_every_kind_keep_their_values),
        T(tiff_is_brought_upright),
        T(unfit_images_are_refused_with_the_reason),
        T(png_reads_every_kind),
        T(png_texts_cannot_exhaust_memory),
        T(jpeg_reads_grey_and_colour),
        T(jpeg_scans_are_bounded),
        T(truncated_and_damaged_files_never_become_pixels),
        T(resampling_averages_areas_and_interpolates),
        T(csv_follows_the_standard),
        T(csv_reports_each_problem_with_its_line),
        T(order_is_a_bijection),
        T(order_depends_on_the_key_and_mixes),
        T(pack_is_the_same_for_any_number_of_threads),
        T(samples_come_back_as_declared),
        T(no_patient_is_in_two_splits),
        T(mixed_depths_become_sixteen_bits),
        T(colour_and_grey_are_converted),
        T(volumes_stay_volumes_or_become_slices),
        T(compressed_shards_hold_the_same),
        T(shards_by_blosc_hold_the_same),
        T(arrays_are_read_scan_by_scan),
        T(arrays_are_packed_with_arrays_of_labels),
        T(blosc_stands_damage_and_compresses_for_the_library),
        T(bad_input_is_skipped_counted_or_refused),
        T(a_full_disk_is_an_error_that_leaves_nothing),
        T(labels_can_be_few),
        T(damaged_and_foreign_shards_are_errors),
        T(more_shards_than_may_stay_open),
        T(many_shards_are_opened_when_they_are_needed),
        T(loader_is_resumable_and_the_same_for_any_number_of_threads),
        T(mixtures_draw_by_weight),
        T(labels_can_be_few_in_mixtures),
        T(values_are_drawn_evenly),
        T(unfit_mixtures_are_refused),
        T(ordered_pass_ends_with_a_padded_batch),
        T(loader_bench_counts_what_it_read),
        T(loader_hands_on_errors),
        T(inspect_tells_what_is_there),
        T(real_sets_pack),
#undef T
    };
    for (size_t i = 0; i < ANL_COUNT(tests); i++) {
        TCase *one = tcase_create(tests[i].name);
        tcase_set_timeout(one, 240);
        tcase_add_checked_fixture(one, setup, teardown);
        tcase_add_test(one, tests[i].test);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
