/* Tests of packing: going on after a stop, hashes of ids, identical images, spacing, cropping to the body, boxes, histograms.
 * In: files this test writes itself into a temporary folder. Out: check's report.
 * What is expected follows from how the files are made, not from what packing made of them once. */
#include <check.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include "base/base.h"
#include "data/body.h"
#include "data/histogram.h"
#include "data/patients.h"
#include "data/shard.h"
#include "data/shard_sample.h"

static char root[64];
static anl_arena *arena;
static anl_diagnostics *problems;

static const char *in_root(const char *name) { return anl_arena_printf(arena, "%s/%s", root, name); }

static void remove_all(const char *path)
{
    DIR *open = opendir(path);
    for (struct dirent *found; open && (found = readdir(open));)
        if (strcmp(found->d_name, ".") && strcmp(found->d_name, "..")) {
            char inner[512];
            snprintf(inner, sizeof inner, "%s/%s", path, found->d_name);
            remove_all(inner);
        }
    if (open)
        closedir(open);
    remove(path);
}

static void setup(void)
{
    strcpy(root, "/tmp/anlage-pack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    arena = anl_arena_new();
    problems = anl_diagnostics_new();
}

static void teardown(void)
{
    anl_diagnostics_free(&problems);
    anl_arena_free(&arena);
    remove_all(root);
}

static const anl_diagnostic *found(anl_code code)
{
    for (int i = 0; i < anl_diagnostics_count(problems); i++)
        if (anl_diagnostics_get(problems, i)->code == code)
            return anl_diagnostics_get(problems, i);
    return NULL;
}

static void write_bytes(const char *name, const void *bytes, size_t length)
{
    FILE *file = fopen(in_root(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static void write_text(const char *name, const char *text) { write_bytes(name, text, strlen(text)); }

/* 8 x 8 of 8 bits, all of one value. */
static void write_tiff(const char *name, int value)
{
    TIFF *tiff = TIFFOpen(in_root(name), "w");
    uint8_t row[8];
    memset(row, value, sizeof row);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 8);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 8);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    for (uint32_t y = 0; y < 8; y++)
        ck_assert_int_eq(TIFFWriteScanline(tiff, row, y, 0), 1);
    TIFFClose(tiff);
}

/* count images a00.tif …, of the value of their number, each three of one patient called as format says. */
static void make_set(const char *folder, int count, const char *format)
{
    anl_folder_make(in_root(folder));
    anl_text csv = {0};
    anl_text_add(&csv, "file,y,patient\n");
    for (int i = 0; i < count; i++) {
        write_tiff(anl_arena_printf(arena, "%s/a%02d.tif", folder, i), i);
        char name[32];
        snprintf(name, sizeof name, format, i / 3);
        anl_text_printf(&csv, "a%02d.tif,%d,%s\n", i, i % 2, name);
    }
    write_text(anl_arena_printf(arena, "%s/labels.csv", folder), csv.data);
    anl_text_free(&csv);
}

static anl_pack_options options_of(const char *folder, const char *out)
{
    const char **inputs = ANL_NEW(arena, const char *);
    inputs[0] = in_root(folder);
    return (anl_pack_options){.inputs = inputs,
                              .input_count = 1,
                              .labels = anl_arena_printf(arena, "%s/%s/labels.csv", root, folder),
                              .out = in_root(out),
                              .size = {8, 8, 8},
                              .channels = 1,
                              .shard_samples = 4,
                              .threads = 2};
}

static anl_pack_report packed(const anl_pack_options *o)
{
    anl_pack_report report;
    anl_status status = anl_pack(o, &report, problems);
    if (status != ANL_OK)
        anl_diagnostics_print(problems, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
    return report;
}

static char *text_of(const char *name)
{
    char *text;
    ck_assert_msg(anl_file_read(arena, in_root(name), 0, &text, NULL) == ANL_OK, "%s", name);
    return text;
}

/* The patient of each sample of a shard. */
static const char **patients_of(const char *path, int64_t *count)
{
    anl_shard shard;
    char reason[ANL_REASON_SIZE], **names;
    int64_t *rows;
    size_t name_count;
    anl_hdf5_lock();
    ck_assert_msg(anl_shard_open(in_root(path), &shard, reason) == ANL_OK, "%s", reason);
    ck_assert_int_eq(anl_shard_patients(&shard, &rows, &names, &name_count, reason), ANL_OK);
    *count = shard.count;
    const char **out = ANL_NEW_ARRAY(arena, const char *, shard.count);
    for (int64_t i = 0; i < shard.count; i++)
        out[i] = anl_arena_text(arena, names[rows[i]]);
    anl_shard_close(&shard);
    anl_hdf5_unlock();
    free(rows);
    free(names);
    return out;
}

/* ---- ids ---- */

START_TEST(ids_are_hashes_that_a_salt_decides)
{
    make_set("set", 12, "patient-%d");
    write_text("salt", "0123456789abcdef");
    anl_pack_options o = options_of("set", "kept");
    int64_t count;
    o.keep_ids = true;
    packed(&o);
    ck_assert_str_eq(patients_of("kept/train-00000.h5", &count)[3], "patient-1");
    const char **hashes[4];
    static const char *const outs[] = {"one", "two", "random", "again"};
    for (int i = 0; i < 4; i++) {
        o = options_of("set", outs[i]);
        o.salt = i < 2 ? in_root("salt") : NULL;
        packed(&o);
        hashes[i] = patients_of(anl_arena_printf(arena, "%s/train-00000.h5", outs[i]), &count);
        for (int k = 0; k < 4; k++) {
            ck_assert_uint_eq(strlen(hashes[i][k]), 17);
            ck_assert_int_eq(hashes[i][k][0], 'p');
            ck_assert_int_eq(strcmp(hashes[i][k], hashes[i][0]) == 0, k < 3); /* three images of the first patient */
        }
        ck_assert_ptr_null(strstr(text_of(anl_arena_printf(arena, "%s/manifest.json", outs[i])), "patient-"));
    }
    ck_assert_str_eq(hashes[0][0], hashes[1][0]);
    ck_assert_str_ne(hashes[0][0], hashes[2][0]);
    ck_assert_str_ne(hashes[2][0], hashes[3][0]);
    /* HMAC-SHA256 of the id with the salt, its first 8 bytes. */
    uint8_t digest[32];
    char hex[17];
    anl_hmac_sha256("0123456789abcdef", 16, "patient-0", 9, digest);
    anl_hex(digest, 8, hex);
    ck_assert_str_eq(hashes[0][0] + 1, hex);
    write_text("short", "0123456789abcde");
    o.salt = in_root("short");
    o.out = in_root("none");
    anl_pack_report report;
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_FILE);
    ck_assert_ptr_nonnull(found(ANL_A_salt_unusable));
    o.salt = in_root("absent");
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_FILE);
}
END_TEST

static int64_t shared_patients(const char *a, const char *b)
{
    anl_split_shard shards[] = {{in_root(anl_arena_printf(arena, "%s/train-00000.h5", a)), 0, 0}, {in_root(anl_arena_printf(arena, "%s/train-00000.h5", b)), 2, 1}};
    anl_shared_patients *list;
    int count;
    char reason[ANL_REASON_SIZE];
    ck_assert_int_eq(anl_patients_shared(shards, 2, 1000, arena, &list, &count, reason), ANL_OK);
    return count > 0 ? list[0].count : 0;
}

START_TEST(packs_of_one_salt_agree_on_who_is_who)
{
    write_text("salt", "0123456789abcdef");
    make_set("names", 4, "patient-%d");
    make_set("numbers", 4, "%d");
    static const struct {
        const char *set, *out;
        bool salted;
    } packs[] = {{"names", "a", true}, {"names", "b", true}, {"names", "c", false}, {"numbers", "d", true}, {"numbers", "e", true}};
    for (size_t i = 0; i < ANL_COUNT(packs); i++) {
        anl_pack_options o = options_of(packs[i].set, packs[i].out);
        o.salt = packs[i].salted ? in_root("salt") : NULL;
        packed(&o);
    }
    ck_assert_int_eq(shared_patients("a", "b"), 2);
    ck_assert_int_eq(shared_patients("a", "c"), 0);
    ck_assert_int_eq(shared_patients("d", "e"), 0); /* numbers that every set counts off anew */
    int64_t count;
    ck_assert_int_eq(patients_of("d/train-00000.h5", &count)[0][0], 'n');
}
END_TEST

START_TEST(names_that_tell_the_id_are_told)
{
    anl_folder_make(in_root("set"));
    write_tiff("set/IM-0007-a.tif", 1);
    write_tiff("set/b.tif", 2);
    write_text("set/labels.csv", "file,patient\nIM-0007-a.tif,IM-0007\nb.tif,IM-0008\n");
    anl_pack_options o = options_of("set", "out");
    o.anonymous_files = true;
    packed(&o);
    ck_assert_ptr_null(found(ANL_A_ids_in_names));
    anl_shard shard;
    char reason[ANL_REASON_SIZE], **files;
    size_t count;
    anl_hdf5_lock();
    ck_assert_int_eq(anl_shard_open(in_root("out/train-00000.h5"), &shard, reason), ANL_OK);
    ck_assert(anl_hdf5_read_texts(shard.file, "file", false, &files, &count));
    ck_assert_str_eq(files[0], "000001");
    ck_assert_str_eq(files[1], "000002");
    free(files);
    anl_shard_close(&shard);
    anl_hdf5_unlock();
    o.anonymous_files = false;
    o.overwrite = true;
    packed(&o);
    ck_assert_ptr_nonnull(found(ANL_A_ids_in_names));
    ck_assert_ptr_nonnull(strstr(found(ANL_A_ids_in_names)->message, "at least 1 of the 2 file names holds"));
}
END_TEST

/* ---- going on ---- */

static bool stop_late(void *context)
{
    int *polls = context;
    return ++*polls > 60;
}

START_TEST(a_stopped_pack_goes_on)
{
    make_set("set", 60, "patient-%d");
    write_tiff("set/a07.tif", 3); /* as a03.tif */
    write_text("set/a05.tif", "no picture");
    write_text("salt", "0123456789abcdef");
    anl_pack_options o = options_of("set", "whole");
    o.salt = in_root("salt");
    o.threads = 1;
    o.fraction_valid = o.fraction_test = 0.2;
    anl_pack_report whole = packed(&o), report;
    ck_assert_int_eq((int)whole.skipped, 1);
    ck_assert_int_eq((int)whole.repeated, 1);
    int polls = 0, rounds = 0;
    o.out = in_root("stopped");
    o.stop = stop_late;
    o.context = &polls;
    anl_status status;
    while ((status = anl_pack(&o, &report, problems)) == ANL_ERROR_STOPPED && rounds < 20) {
        ck_assert_int_eq(access(in_root("stopped/manifest.json"), F_OK), -1);
        polls = -4 * ++rounds; /* a little longer each time; the headers alone take 60 polls */
    }
    ck_assert_int_eq(status, ANL_OK);
    ck_assert_int_gt(rounds, 0);
    ck_assert_int_gt(report.resumed, 0);
    ck_assert_int_eq((int)report.packed, (int)whole.packed);
    ck_assert_int_eq((int)report.skipped, 1);
    ck_assert_int_eq((int)report.repeated, 1);
    ck_assert_str_eq(text_of("stopped/manifest.json"), text_of("whole/manifest.json")); /* with the sums of all shards */
    ck_assert_int_eq(anl_pack_verify(in_root("stopped"), stderr, problems), ANL_OK);
    /* A shard that was damaged meanwhile is made again. */
    polls = rounds = 0;
    o.out = in_root("damaged");
    while (anl_pack(&o, &report, problems) == ANL_ERROR_STOPPED && report.shards < 2)
        polls = -4 * ++rounds;
    ck_assert_int_ge(report.shards, 2);
    FILE *shard = fopen(in_root("damaged/.anlage-pack/train-00001.h5"), "r+");
    ck_assert_ptr_nonnull(shard);
    fseek(shard, 600, SEEK_SET);
    fputc('?', shard);
    fclose(shard);
    o.stop = NULL;
    report = packed(&o);
    ck_assert_int_eq(report.resumed, 1);
    ck_assert_str_eq(text_of("damaged/manifest.json"), text_of("whole/manifest.json"));
}
END_TEST

/* ---- identical images ---- */

START_TEST(identical_images_are_told_or_dropped)
{
    make_set("set", 12, "patient-%d");
    write_tiff("set/a11.tif", 0); /* as a00.tif, of another patient, with another label */
    write_tiff("set/a02.tif", 0); /* of the same patient, with the same label */
    anl_pack_options o = options_of("set", "kept");
    o.fraction_test = 0.5;
    for (o.seed = 0;; o.seed++) { /* such that the first is in test and its copy in training */
        o.overwrite = true;
        anl_diagnostics_free(&problems);
        problems = anl_diagnostics_new();
        anl_pack_report report = packed(&o);
        ck_assert_int_eq((int)report.repeated, 2);
        ck_assert_int_eq((int)report.dropped, 0);
        ck_assert_int_eq((int)report.packed, 12);
        ck_assert_ptr_nonnull(found(ANL_A_image_of_two_patients));
        ck_assert_ptr_nonnull(found(ANL_A_image_labelled_twice));
        if (found(ANL_A_image_in_two_splits) && strstr(found(ANL_A_image_in_two_splits)->notes[0], "a00.tif (test)"))
            break;
        ck_assert_uint_lt(o.seed, 50);
    }
    o.drop_duplicates = true;
    o.out = in_root("dropped");
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    anl_pack_report report = packed(&o);
    ck_assert_int_eq((int)report.repeated, 2);
    ck_assert_int_eq((int)report.dropped, 2);
    ck_assert_int_eq((int)report.packed, 10);
    ck_assert_int_eq((int)report.train, 6); /* training keeps its copy */
    ck_assert_int_eq((int)report.test, 4);
    ck_assert_ptr_null(found(ANL_A_image_in_two_splits));
}
END_TEST

/* ---- the body ---- */

static anl_scan scan_of(int width, int height, int depth, int frames)
{
    anl_scan s;
    char reason[ANL_REASON_SIZE];
    anl_scan_reset(&s);
    s.width = width;
    s.height = height;
    s.depth = depth;
    s.frames = frames;
    s.type = ANL_VOXEL_I16;
    s.bits = 16;
    ck_assert_int_eq(anl_scan_allocate(&s, true, reason), ANL_OK);
    return s;
}

static int16_t *voxel(const anl_scan *s, int frame, int z, int y, int x)
{
    return (int16_t *)s->voxels + (((int64_t)frame * s->depth + z) * s->height + y) * s->width + x;
}

static void fill(const anl_scan *s, int frame, const int box[3][2], int value)
{
    for (int z = box[2][0]; z < box[2][1]; z++)
        for (int y = box[1][0]; y < box[1][1]; y++)
            for (int x = box[0][0]; x < box[0][1]; x++)
                *voxel(s, frame, z, y, x) = (int16_t)value;
}

static void expect_box(const anl_scan *s, const int expected[3][2])
{
    int box[3][2];
    ck_assert(anl_body_box(s, box));
    for (int a = 0; a < 3; a++)
        ck_assert_msg(box[a][0] == expected[a][0] && box[a][1] == expected[a][1], "axis %d: %d to %d, expected %d to %d", a, box[a][0], box[a][1], expected[a][0],
                      expected[a][1]);
}

static const int whole[3][2] = {{0, 20}, {0, 16}, {0, 6}}, body[3][2] = {{4, 12}, {5, 11}, {2, 5}}, lung[3][2] = {{6, 9}, {7, 9}, {2, 5}},
                 table[3][2] = {{2, 18}, {13, 14}, {0, 6}}, corner[3][2] = {{12, 14}, {11, 12}, {4, 5}};

/* A body with a lung, above a table, in air; stored as HU + 1024. */
static anl_scan ct(void)
{
    anl_scan s = scan_of(20, 16, 6, 1);
    strcpy(s.unit, "HU");
    s.intercept = -1024;
    fill(&s, 0, whole, 24);
    fill(&s, 0, body, 1064);
    fill(&s, 0, lung, 224);
    fill(&s, 0, table, 1900);
    fill(&s, 0, corner, 1064); /* touches the body by an edge alone */
    return s;
}

START_TEST(the_body_is_the_largest_region)
{
    anl_scan s = ct();
    ck_assert_double_eq(anl_body_threshold(&s), 524);
    expect_box(&s, body);
    s.unit[0] = 0; /* without a unit Otsu's threshold lies between air and tissue, too */
    ck_assert_double_gt(anl_body_threshold(&s), 24);
    ck_assert_double_lt(anl_body_threshold(&s), 1064);
    expect_box(&s, body);
    fill(&s, 0, whole, 7); /* nothing stands out */
    ck_assert_double_nan(anl_body_threshold(&s));
    expect_box(&s, whole);
    anl_scan_free(&s);
    s = scan_of(20, 16, 1, 2); /* frames together */
    fill(&s, 0, (int[3][2]){{3, 6}, {3, 6}, {0, 1}}, 90);
    fill(&s, 1, (int[3][2]){{8, 12}, {1, 5}, {0, 1}}, 90);
    expect_box(&s, (int[3][2]){{3, 12}, {1, 6}, {0, 1}});
    anl_scan_free(&s);
    s = scan_of(64, 64, 1, 1); /* a spiral: runs that join late are one region */
    int from[2] = {2, 2}, to[2] = {62, 62};
    for (int turn = 0; turn < 6; turn++, from[0] += 4, from[1] += 4, to[0] -= 4, to[1] -= 4) {
        fill(&s, 0, (int[3][2]){{turn ? from[0] - 4 : from[0], to[0]}, {from[1], from[1] + 1}, {0, 1}}, 50);
        fill(&s, 0, (int[3][2]){{to[0] - 1, to[0]}, {from[1], to[1]}, {0, 1}}, 50);
        fill(&s, 0, (int[3][2]){{from[0], to[0]}, {to[1] - 1, to[1]}, {0, 1}}, 50);
        fill(&s, 0, (int[3][2]){{from[0], from[0] + 1}, {from[1] + 4, to[1]}, {0, 1}}, 50);
    }
    fill(&s, 0, (int[3][2]){{63, 64}, {0, 64}, {0, 1}}, 50); /* and a line beside it */
    expect_box(&s, (int[3][2]){{2, 62}, {2, 62}, {0, 1}});
    anl_scan_free(&s);
}
END_TEST

START_TEST(cropping_keeps_voxels_and_margin)
{
    static const struct {
        anl_body_margin margin;
        bool along_z;
        int box[3][2];
    } cases[] = {
        {{0, false}, true, {{4, 12}, {5, 11}, {2, 5}}},
        {{0, false}, false, {{4, 12}, {5, 11}, {0, 6}}},
        {{1, false}, true, {{3, 13}, {4, 12}, {1, 6}}},
        {{2, true}, true, {{0, 16}, {3, 13}, {1, 6}}}, /* half a mm along x, one along y, three along z */
        {{100, false}, true, {{0, 20}, {0, 16}, {0, 6}}},
    };
    char reason[ANL_REASON_SIZE];
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_scan s = ct(), before = ct();
        const int(*box)[2] = cases[i].box;
        for (int a = 0; a < 3; a++)
            s.spacing[a] = a == 0 ? 0.5 : a == 1 ? 1 : 3;
        int kept[3][2];
        ck_assert_int_eq(anl_body_crop(&s, cases[i].along_z, cases[i].margin, kept, reason), ANL_OK);
        ck_assert_mem_eq(kept, box, sizeof kept);
        ck_assert_int_eq(s.width, box[0][1] - box[0][0]);
        ck_assert_int_eq(s.height, box[1][1] - box[1][0]);
        ck_assert_int_eq(s.depth, box[2][1] - box[2][0]);
        for (int z = 0; z < s.depth; z++)
            for (int y = 0; y < s.height; y++)
                for (int x = 0; x < s.width; x++)
                    ck_assert_int_eq(*voxel(&s, 0, z, y, x), *voxel(&before, 0, z + box[2][0], y + box[1][0], x + box[0][0]));
        anl_scan_free(&s);
        anl_scan_free(&before);
    }
    anl_scan s = ct();
    int kept[3][2];
    ck_assert_int_eq(anl_body_crop(&s, true, (anl_body_margin){5, true}, kept, reason), ANL_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(reason, "spacing"));
    ck_assert_int_eq(s.width, 20);
    anl_scan_free(&s);
}
END_TEST

/* ---- spacing ---- */

/* A NIfTI-1 file of 16 bits. signs: along each axis 1 where it runs to the right, the front and the head, else -1; NULL: it does not say. */
static void put_nifti(const char *name, const int dims[3], const float spacing[3], const int *signs, const int16_t *values)
{
    const size_t count = (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2];
    uint8_t *bytes = calloc(352 + 2 * count, 1);
    const int32_t size = 348;
    const int16_t shape[8] = {3, (int16_t)dims[0], (int16_t)dims[1], (int16_t)dims[2], 1, 1, 1, 1}, type = 4, bits = 16, scanner = 1;
    const float pixels[8] = {1, spacing[0], spacing[1], spacing[2], 1, 1, 1, 1}, offset = 352, slope = 1;
    memcpy(bytes, &size, 4);
    memcpy(bytes + 40, shape, 16);
    memcpy(bytes + 70, &type, 2);
    memcpy(bytes + 72, &bits, 2);
    memcpy(bytes + 76, pixels, 32);
    memcpy(bytes + 108, &offset, 4);
    memcpy(bytes + 112, &slope, 4);
    bytes[123] = 2; /* mm */
    for (int a = 0; signs && a < 3; a++) {
        const float step = (float)signs[a] * spacing[a];
        memcpy(bytes + 280 + 20 * a, &step, 4); /* the diagonal of srow_x, srow_y, srow_z */
        memcpy(bytes + 254, &scanner, 2);
    }
    memcpy(bytes + 344, "n+1", 4);
    memcpy(bytes + 352, values, 2 * count);
    write_bytes(name, bytes, 352 + 2 * count);
    free(bytes);
}

/* Of values x + 100 y + 1000 z. */
static void write_nifti(const char *name, const int dims[3], const float spacing[3])
{
    const int count = dims[0] * dims[1] * dims[2];
    int16_t *values = ANL_NEW_ARRAY(arena, int16_t, count);
    for (int i = 0; i < count; i++)
        values[i] = (int16_t)(i % dims[0] + 100 * (i / dims[0] % dims[1]) + 1000 * (i / (dims[0] * dims[1])));
    put_nifti(name, dims, spacing, NULL, values);
}

static bool reads_nifti(void)
{
    for (int i = 0; anl_scan_kind(i); i++)
        if (!strcmp(anl_scan_kind(i), "NIfTI"))
            return true;
    return false;
}

START_TEST(scans_are_brought_to_a_spacing)
{
    if (!reads_nifti()) {
        puts("skip scans_are_brought_to_a_spacing this build reads no NIfTI");
        return;
    }
    anl_folder_make(in_root("set"));
    write_nifti("set/a.nii", (int[3]){40, 10, 6}, (float[3]){1, 2, 4});
    anl_pack_options o = options_of("set", "out");
    o.labels = NULL;
    o.size[0] = 16; /* at 2 mm the scan is 20 x 10 x 12: cropped along x, padded along y, as it is along z */
    o.size[1] = 14;
    o.size[2] = 12;
    o.spacing[0] = o.spacing[1] = o.spacing[2] = 2;
    packed(&o);
    anl_shard shard;
    char reason[ANL_REASON_SIZE];
    int16_t values[12][14][16];
    anl_shard_facts facts;
    anl_hdf5_lock();
    ck_assert_int_eq(anl_shard_open(in_root("out/train-00000.h5"), &shard, reason), ANL_OK);
    ck_assert_int_eq(shard.image.type, ANL_VOXEL_I16);
    ck_assert_int_eq(anl_shard_read_image(&shard, 0, values, reason), ANL_OK);
    ck_assert_int_eq(anl_shard_read_facts(&shard, arena, &facts, reason), ANL_OK);
    for (int a = 0; a < 3; a++)
        ck_assert_double_eq(facts.least_spacing[a], 2);
    anl_shard_close(&shard);
    anl_hdf5_unlock();
    const int16_t darkest = values[0][0][0];
    for (int z = 0; z < 12; z++)
        for (int y = 0; y < 14; y++)
            for (int x = 0; x < 16; x++) {
                if (y < 2 || y >= 12) {
                    ck_assert_int_eq(values[z][y][x], darkest);
                    continue;
                }
                /* Along x the mean of two voxels; along z between two, with the ends held. */
                const double source_z = fmin(fmax((z + 0.5) / 2 - 0.5, 0), 5), expected = 2 * (x + 2) + 0.5 + 100 * (y - 2) + 1000 * source_z;
                ck_assert_msg(fabs(values[z][y][x] - expected) <= 0.5 + 1e-9, "%d %d %d: %d, expected %g", z, y, x, values[z][y][x], expected);
            }
    ck_assert_int_eq(darkest, 5); /* the least that is seen: 4.5, rounded */
    /* What does not say its spacing cannot be brought to one. */
    write_nifti("set/a.nii", (int[3]){4, 4, 4}, (float[3]){1, 0, 1});
    o.out = in_root("none");
    anl_pack_report report;
    ck_assert_int_ne(anl_pack(&o, &report, problems), ANL_OK);
    ck_assert_ptr_nonnull(found(ANL_A_image_skipped));
}
END_TEST

/* ---- boxes ---- */

/* A volume that is dark but for a box in it, and its row in the table: both in voxels of the file. */
static void write_boxed(const char *name, const int dims[3], const float spacing[3], const int *signs, const int box[3][2])
{
    int16_t *values = ANL_NEW_ARRAY(arena, int16_t, dims[0] * dims[1] * dims[2]);
    for (int z = box[2][0]; z < box[2][1]; z++)
        for (int y = box[1][0]; y < box[1][1]; y++)
            for (int x = box[0][0]; x < box[0][1]; x++)
                values[(z * dims[1] + y) * dims[0] + x] = 1000;
    put_nifti(name, dims, spacing, signs, values);
}

/* Where a sample is brighter than half: first and beyond the last along x, y, z. False: nowhere. */
static bool bright(const anl_sample *s, int box[3][2])
{
    const anl_shard_image *i = &s->image;
    for (int a = 0; a < 3; a++) {
        box[a][0] = INT_MAX;
        box[a][1] = 0;
    }
    for (int z = 0; z < i->depth; z++)
        for (int y = 0; y < i->height; y++)
            for (int x = 0; x < i->width; x++)
                if (s->voxels[(z * i->height + y) * i->width + x] > 0.5f) {
                    const int at[3] = {x, y, z};
                    for (int a = 0; a < 3; a++) {
                        box[a][0] = at[a] < box[a][0] ? at[a] : box[a][0];
                        box[a][1] = at[a] + 1 > box[a][1] ? at[a] + 1 : box[a][1];
                    }
                }
    return box[0][1] > 0;
}

START_TEST(boxes_go_where_their_image_goes)
{
    if (!reads_nifti()) {
        puts("skip boxes_go_where_their_image_goes this build reads no NIfTI");
        return;
    }
    static const int straight[3] = {-1, -1, 1}, turned[3] = {1, 1, -1}, mixed[3] = {1, -1, -1}; /* the first are as packs have them: left, back, up */
    static const struct {
        const char *about;
        const int *signs;
        float spacing[3];
        double asked;
        int size[3];
        bool crop;
        int margin;
        bool slices;
    } cases[] = {
        {"as it lies", NULL, {1, 1, 1}, 0, {24, 20, 12}, false, 0, false},
        {"oriented", straight, {1, 1, 1}, 0, {24, 20, 12}, false, 0, false},
        {"turned along all axes", turned, {1, 1, 1}, 0, {24, 20, 12}, false, 0, false},
        {"turned along two", mixed, {1, 1, 1}, 0, {24, 20, 12}, false, 0, false},
        {"padded", turned, {1, 1, 1}, 0, {24, 32, 16}, false, 0, false},
        {"enlarged", turned, {1, 1, 1}, 0, {48, 40, 24}, false, 0, false},
        {"reduced", mixed, {1, 1, 1}, 0, {12, 10, 6}, false, 0, false},
        {"at a spacing, padded and cut off", turned, {1, 1, 2}, 1, {18, 24, 28}, false, 0, false},
        {"cropped to the body", mixed, {1, 1, 1}, 0, {10, 8, 6}, true, 1, false},
        {"cropped with a margin", turned, {1, 1, 1}, 0, {12, 10, 8}, true, 2, false},
        {"slice by slice", turned, {1, 1, 1}, 0, {24, 20, 12}, false, 0, true},
        {"slice by slice, enlarged and cropped", mixed, {1, 1, 1}, 0, {24, 20, 12}, true, 2, true},
    };
    static const int dims[3] = {24, 20, 12}, box[3][2] = {{4, 12}, {10, 16}, {2, 6}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        const char *set = anl_arena_printf(arena, "set%zu", i), *out = anl_arena_printf(arena, "out%zu", i);
        anl_folder_make(in_root(set));
        write_boxed(anl_arena_printf(arena, "%s/a.nii", set), dims, cases[i].spacing, cases[i].signs, box);
        write_text(anl_arena_printf(arena, "%s/boxes.csv", set), "file,class,x0,y0,z0,x1,y1,z1\na.nii,mass,4,10,2,12,16,6\n");
        anl_pack_options o = options_of(set, out);
        o.labels = NULL;
        o.boxes = in_root(anl_arena_printf(arena, "%s/boxes.csv", set));
        memcpy(o.size, cases[i].size, sizeof o.size);
        o.spacing[0] = o.spacing[1] = o.spacing[2] = cases[i].asked;
        o.crop_body = cases[i].crop;
        o.margin = cases[i].margin;
        o.shard_samples = 100;
        o.form = cases[i].slices ? ANL_PACK_SLICES : ANL_PACK_AUTO;
        const anl_pack_report report = packed(&o);
        int with = 0;
        for (int64_t k = 0; k < report.packed; k++) {
            anl_sample sample;
            int seen[3][2];
            ck_assert_int_eq(anl_sample_read(in_root(anl_arena_printf(arena, "%s/train-00000.h5", out)), k, arena, &sample, problems), ANL_OK);
            const bool there = bright(&sample, seen);
            ck_assert_msg(sample.box_count == there, "%s: sample %d: %d boxes", cases[i].about, (int)k, sample.box_count);
            with += there;
            for (int a = 0; a < (cases[i].slices ? 2 : 3) && there; a++) /* all sizes here are whole multiples or parts: no edge falls within a voxel */
                ck_assert_msg(fabs(sample.boxes[0].low[a] - seen[a][0]) < 1e-4 && fabs(sample.boxes[0].high[a] - seen[a][1]) < 1e-4,
                              "%s: along %c the box is %g to %g, and bright is %d to %d", cases[i].about, "xyz"[a], sample.boxes[0].low[a], sample.boxes[0].high[a], seen[a][0],
                              seen[a][1]);
            if (there)
                ck_assert_str_eq(sample.boxes[0].labels, "class mass");
            anl_sample_free(&sample);
        }
        ck_assert_int_eq(with, cases[i].slices ? 4 : 1);
        ck_assert_int_eq((int)report.boxes, with);
        ck_assert_int_eq((int)report.boxes_outside, 0);
    }
}
END_TEST

static anl_status opened(const anl_field *fields, int count, const anl_dataset_source *sources, int source_count, anl_dataset **set)
{
    const anl_dataset_options o = {.pattern = "out/train-*.h5", .sources = sources, .source_count = source_count, .folder = root, .label_fraction = 1};
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    return anl_dataset_open(&o, fields, count, problems, set);
}

static void expect_field(anl_dataset *set, int64_t sample, int field, int count, const float *values, const float *mask)
{
    float read[64], known[64];
    ck_assert_int_eq(anl_dataset_read(set, sample, field, read, known, problems), ANL_OK);
    for (int i = 0; i < count; i++)
        ck_assert_msg(fabsf(read[i] - values[i]) < 1e-6f && (!mask || known[i] == mask[i]), "field %d of sample %d, value %d: %g (mask %g), not %g", field, (int)sample, i,
                      read[i], mask ? known[i] : 0, values[i]);
}

START_TEST(boxes_that_are_in_no_sample_are_told)
{
    make_set("set", 3, "P%d");
    write_text("set/boxes.csv", "file,class,x,y,width,height\n"
                                "a00.tif,mass,1,2,3,4\n"
                                "a00.tif,mass,-2,6,4,9\n" /* cut off by the image */
                                "a01.tif,,,,,\n"          /* none */
                                "a02.tif,mass,8,1,3,3\n"  /* outside */
                                "b.tif,mass,1,2,3,4\n");  /* of no image */
    anl_pack_options o = options_of("set", "out");
    o.boxes = in_root("set/boxes.csv");
    const anl_pack_report report = packed(&o);
    ck_assert_int_eq((int)report.boxes, 2);
    ck_assert_int_eq((int)report.most_boxes, 2);
    ck_assert_int_eq((int)report.boxes_outside, 1);
    int told = 0;
    for (int i = 0; i < anl_diagnostics_count(problems); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(problems, i);
        told += d->code == ANL_A_boxes_left_out && (strstr(d->message, "b.tif") ? d->span.line == 6 : strstr(d->message, "1 box lies outside") != NULL);
    }
    ck_assert_int_eq(told, 2);
    anl_sample sample;
    ck_assert_int_eq(anl_sample_read(in_root("out/train-00000.h5"), 0, arena, &sample, problems), ANL_OK);
    static const double expected[2][4] = {{1, 2, 4, 6}, {0, 6, 2, 8}};
    ck_assert_int_eq(sample.box_count, 2);
    for (int b = 0; b < 2; b++)
        for (int k = 0; k < 4; k++)
            ck_assert_double_eq_tol((k < 2 ? sample.boxes[b].low : sample.boxes[b].high)[k % 2], expected[b][k], 1e-6);
    anl_sample_free(&sample);
    ck_assert_ptr_nonnull(strstr(text_of("out/manifest.json"), "\"most\": 2"));
    /* Another table is another pack; of one without rows, no image has a box. */
    o.overwrite = true;
    write_text("set/boxes.csv", "file,x0,y0,x1,y1\na00.tif,1,2,3,4\n");
    ck_assert_int_eq((int)packed(&o).boxes, 1);
    write_text("set/boxes.csv", "file,x0,y0,x1,y1\n");
    ck_assert_int_eq((int)packed(&o).boxes, 0);
    anl_dataset *set;
    const anl_field field = {.name = "corners", .rank = 2, .axis = {"box", "corner"}, .size = {3, 4}, .boxes = "y0, x0, y1, x1", .has_mask = true};
    ck_assert_int_eq(opened(&field, 1, NULL, 0, &set), ANL_OK);
    expect_field(set, 0, 0, 12, (float[12]){0}, (float[12]){0});
    anl_dataset_free(&set);
}
END_TEST

START_TEST(tables_of_boxes_are_judged)
{
    static const struct {
        const char *table, *message;
        int line;
    } cases[] = {
        {"file,class\na00.tif,mass\n", "does not say where its boxes are", 1},
        {"file,x0,y0,x1\na00.tif,1,2,3\n", "does not say where its boxes are", 1},
        {"file,x0,y0,x1,y1,z0\na00.tif,1,2,3,4,0\n", "does not say where its boxes are", 1},
        {"file,x0,y0,x1,y1\n,1,2,3,4\n", "names no file", 2},
        {"file,x0,y0,x1,y1\na00.tif,1,two,3,4\n", "`y0` is `two`, which is no number", 2},
        {"file,x0,y0,x1,y1\na00.tif,1,2,3,0x4\n", "`y1` is `0x4`, which is no number", 2},
        {"file,x0,y0,x1,y1\na00.tif,1,2,,4\n", "`x0` and `x1` belong together", 2},
        {"file,x0,y0,x1,y1\na00.tif,,2,,4\n", "not along x and y", 2},
        {"file,x0,y0,x1,y1\na01.tif,1,2,3,4\na00.tif,3,2,3,4\n", "x0 is 3 and x1 3; a box ends behind where it begins", 3},
        {"file,x,y,width,height\na00.tif,3,2,3,-4\n", "its height is -4; it must be above 0", 2},
        {"file,x0,y0,x1,y1,frame\na00.tif,1,2,3,4,-1\n", "frames are counted from 0", 2},
        {"file,x0,y0,x1,y1,frame\na00.tif,1,2,3,4,0.5\n", "frames are counted from 0", 2},
        {"file,x0,y0,x1,y1,sample\na00.tif,1,2,3,4,5\n", "are not sample", 1},
        {"file,x0,y0,x1,y1,a/b\na00.tif,1,2,3,4,5\n", "no `/`", 1},
        {"file,x0,y0,x1,y1\na00.tif,1,2,3\n", "has 4 cells", 2},
    };
    make_set("set", 3, "P%d");
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        write_text("set/boxes.csv", cases[i].table);
        anl_pack_options o = options_of("set", "out");
        o.boxes = in_root("set/boxes.csv");
        anl_pack_report report;
        anl_diagnostics_free(&problems);
        problems = anl_diagnostics_new();
        ck_assert_msg(anl_pack(&o, &report, problems) == ANL_ERROR_FORMAT, "%s", cases[i].table);
        const anl_diagnostic *d = found(ANL_A_labels_invalid);
        ck_assert_msg(d && strstr(d->message, cases[i].message) && d->span.line == cases[i].line, "%s: line %d: %s", cases[i].table, d ? d->span.line : 0,
                      d ? d->message : "nothing");
        ck_assert_int_ne(access(in_root("out/manifest.json"), F_OK), 0);
    }
    anl_pack_options o = options_of("set", "out");
    o.boxes = in_root("set/none.csv");
    anl_pack_report report;
    ck_assert_int_ne(anl_pack(&o, &report, problems), ANL_OK);
    if (!reads_nifti())
        return;
    /* A volume's boxes need a z. */
    anl_folder_make(in_root("deep"));
    write_nifti("deep/a.nii", (int[3]){8, 8, 6}, (float[3]){1, 1, 1});
    write_text("deep/boxes.csv", "file,x0,y0,x1,y1\na.nii,1,2,3,4\n");
    o = options_of("deep", "out");
    o.labels = NULL;
    o.boxes = in_root("deep/boxes.csv");
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    ck_assert_int_eq(anl_pack(&o, &report, problems), ANL_ERROR_FORMAT);
    ck_assert_ptr_nonnull(strstr(found(ANL_A_labels_invalid)->message, "6 slices"));
}
END_TEST

START_TEST(boxes_become_fields)
{
    make_set("set", 3, "P%d");
    write_text("set/boxes.csv", "file,class,score,x0,y0,x1,y1\n"
                                "a02.tif,mass,0.5,0,2,4,8\n"
                                "a00.tif,nodule,,2,2,4,6\n"
                                "a02.tif,,0.25,4,0,8,1\n"
                                "a02.tif,cyst,1,1,1,2,2\n");
    anl_pack_options o = options_of("set", "out");
    o.boxes = in_root("set/boxes.csv");
    packed(&o);
    o.boxes = NULL;
    o.out = in_root("plain");
    packed(&o);
    const anl_field fields[] = {
        {.name = "corners", .rank = 2, .axis = {"box", "corner"}, .size = {3, 4}, .boxes = "y0, x0, y1, x1", .has_mask = true},
        {.name = "kind", .rank = 1, .axis = {"box"}, .size = {3}, .boxes = "class", .has_mask = true},
        {.name = "hot", .rank = 2, .axis = {"box", "class"}, .size = {2, 3}, .boxes = "class", .has_mask = true},
        {.name = "both", .rank = 2, .axis = {"box", "what"}, .size = {3, 2}, .boxes = "score,x1", .missing = 0.25, .has_missing = true, .has_mask = true},
        {.name = "y"},
    };
    const anl_dataset_source sources[] = {{.name = "a", .pattern = "out/*.h5", .weight = 1}, {.name = "b", .pattern = "plain/*.h5", .weight = 1}};
    for (int mixture = 0; mixture < 2; mixture++) {
        anl_dataset *set;
        ck_assert_int_eq(opened(fields, ANL_COUNT(fields), sources, mixture ? 2 : 0, &set), ANL_OK);
        const anl_diagnostic *cut = found(ANL_A_boxes_cut); /* `hot` has room for two of three */
        ck_assert_ptr_nonnull(cut);
        ck_assert_ptr_nonnull(strstr(cut->message, "has 3 boxes, and `hot` takes the first 2"));
        expect_field(set, 0, 0, 12, (float[]){0.25f, 0.25f, 0.75f, 0.5f, 0, 0, 0, 0, 0, 0, 0, 0}, (float[]){1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0});
        expect_field(set, 1, 0, 12, (float[12]){0}, (float[12]){0});
        expect_field(set, 2, 0, 12, (float[]){0.25f, 0, 1, 0.5f, 0, 0.5f, 0.125f, 1, 0.125f, 0.125f, 0.25f, 0.25f}, (float[]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
        expect_field(set, 0, 1, 3, (float[]){2, 0, 0}, (float[]){1, 0, 0}); /* cyst, mass, nodule */
        expect_field(set, 2, 1, 3, (float[]){1, 0, 0}, (float[]){1, 0, 1});
        expect_field(set, 0, 2, 6, (float[]){0, 0, 1, 0, 0, 0}, (float[]){1, 1, 1, 0, 0, 0});
        expect_field(set, 2, 2, 6, (float[]){0, 1, 0, 0, 0, 0}, (float[]){1, 1, 1, 0, 0, 0});
        expect_field(set, 0, 3, 6, (float[]){0, 0.5f, 0, 0, 0, 0}, (float[]){0, 1, 0, 0, 0, 0});
        expect_field(set, 2, 3, 6, (float[]){0.5f, 0.5f, 0, 1, 1, 0}, (float[]){1, 1, 0, 1, 1, 0}); /* a score of 0.25, and an x1 of a quarter, are missing */
        expect_field(set, 2, 4, 1, (float[]){0}, NULL);
        ck_assert_str_eq(anl_dataset_column(set, 0, 1), "x0");
        ck_assert_str_eq(anl_dataset_column(set, 2, 1), "mass");
        if (mixture) /* the other source knows nothing of boxes */
            expect_field(set, 3, 0, 12, (float[12]){0}, (float[12]){0});
        /* The loader has them as reading does. */
        anl_loader *loader;
        const anl_batch *batch;
        ck_assert_int_eq(anl_loader_new(set, &(anl_loader_options){.batch = 3, .ordered = true}, problems, &loader), ANL_OK);
        ck_assert_int_eq(anl_loader_next(loader, &batch, problems), ANL_OK);
        ck_assert_float_eq(batch->values[0][24], 0.25f);
        ck_assert_float_eq(batch->masks[0][24], 1);
        ck_assert_float_eq(batch->masks[0][12], 0);
        anl_loader_free(&loader);
        anl_dataset_free(&set);
    }
    static const struct {
        anl_field field;
        const char *message;
    } wrong[] = {
        {{.name = "f", .rank = 2, .axis = {"box", "corner"}, .size = {3, 4}, .boxes = "y0, x0, y1, x1"}, "cannot say which of its 3"},
        {{.name = "f", .rank = 0, .boxes = "x0", .has_mask = true}, "has 0 axes"},
        {{.name = "f", .rank = 2, .axis = {"box", "corner"}, .size = {3, 3}, .boxes = "y0, x0, y1, x1", .has_mask = true}, "needs 3 columns, but 4 are given"},
        {{.name = "f", .rank = 2, .axis = {"box", "corner"}, .size = {3, 2}, .boxes = "y0, kind", .has_mask = true}, "no column `kind` of boxes"},
        {{.name = "f", .rank = 2, .axis = {"box", "class"}, .size = {3, 5}, .boxes = "class", .has_mask = true}, "has 3 words"},
        {{.name = "f", .rank = 1, .axis = {"box"}, .size = {3}, .boxes = "class", .column = "y", .has_mask = true}, "not of both"},
    };
    for (size_t i = 0; i < ANL_COUNT(wrong); i++) {
        anl_dataset *set;
        ck_assert_int_eq(opened(&wrong[i].field, 1, NULL, 0, &set), ANL_ERROR_SPEC);
        ck_assert_msg(found(ANL_A_field_mismatch) && strstr(found(ANL_A_field_mismatch)->message, wrong[i].message), "%s: %s", wrong[i].message,
                      anl_diagnostics_get(problems, 0)->message);
    }
    anl_dataset *set;
    ck_assert_int_eq(opened(fields, 1, &sources[1], 1, &set), ANL_ERROR_SPEC);
    ck_assert_ptr_nonnull(strstr(found(ANL_A_field_mismatch)->message, "there are no boxes"));
}
END_TEST

/* ---- histograms ---- */

START_TEST(histograms_have_fixed_bins)
{
    static const struct {
        const char *unit;
        double value;
        int bin; /* -1: below, 64: above */
    } cases[] = {{NULL, 0, 0},     {NULL, 1, 63},     {"", 0.5, 32},       {NULL, -0.001, -1},  {NULL, 1.001, 64},    {"HU", -1024, 0},  {"HU", 0, 16},
                 {"HU", -0.5, 15}, {"HU", 3072, 63},  {"HU", 3072.5, 64},  {"HU", -1025, -1},   {"Bq/ml", 1, 32},     {"Bq/ml", 1.99, 32}, {"Bq/ml", 2, 33},
                 {"g/ml", 0, -1},  {"g/ml", -3, -1},  {"Gy", 0x1p-32, 0},  {"Gy", 0x1p32, 63},  {"Gy", 0x1p33, 64}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_histogram h = {0};
        anl_histogram_count(&h, anl_histogram_axis_of(cases[i].unit), cases[i].value);
        ck_assert_int_eq((int)anl_histogram_total(&h), 1);
        const int64_t there = cases[i].bin < 0 ? h.below : cases[i].bin > 63 ? h.above : h.bins[cases[i].bin];
        ck_assert_msg(there == 1, "case %zu", i);
    }
    anl_histogram h = {0};
    const anl_histogram_axis axis = anl_histogram_axis_of("HU");
    for (int v = 0; v < 100; v++)
        anl_histogram_count(&h, axis, v < 30 ? -1000 : 40);
    ck_assert_double_eq(anl_histogram_quantile(&h, axis, 0.2), -992);
    ck_assert_double_eq(anl_histogram_quantile(&h, axis, 0.5), 32);
    /* Of a pack: 12 images of 64 pixels of the values 0 to 11 of 255, in bins a 64th wide: four values to a bin. */
    make_set("set", 12, "%d");
    anl_pack_options o = options_of("set", "out");
    o.size[1] = 12; /* what lies around an image does not count */
    packed(&o);
    ck_assert_ptr_nonnull(strstr(text_of("out/manifest.json"), "\"counts\": [256, 256, 256, 0, 0, 0,"));
}
END_TEST

/* ---- manifests of others ---- */

START_TEST(damaged_manifests_are_refused)
{
    make_set("set", 6, "%d");
    anl_pack_options o = options_of("set", "out");
    packed(&o);
    char *good = text_of("out/manifest.json");
    const size_t length = strlen(good);
    FILE *nowhere = fopen("/dev/null", "w");
    ck_assert_ptr_nonnull(nowhere);
    ck_assert_int_eq(anl_pack_inspect(in_root("out"), nowhere, problems), ANL_OK);
    for (size_t cut = 0; cut + 1 < length; cut += 37) { /* only the last line end may be missing */
        write_bytes("out/manifest.json", good, cut);
        ck_assert_int_eq(anl_pack_inspect(in_root("out"), nowhere, problems), ANL_ERROR_FORMAT);
        ck_assert_int_eq(anl_pack_verify(in_root("out"), nowhere, problems), ANL_ERROR_FORMAT);
    }
    for (size_t at = 0; at < length; at += 11) { /* any byte: refused or shown, but no crash */
        char *bad = anl_arena_copy(arena, good, length);
        bad[at] = "-9e[]{}\",:n"[at / 11 % 11];
        write_bytes("out/manifest.json", bad, length);
        anl_pack_inspect(in_root("out"), nowhere, problems);
    }
    static const char *const odd[] = {"", "[]", "{}", "{\"shards\": 3}", "{\"shards\": [], \"histograms\": [{\"counts\": [-1, 1e308, nan], \"below\": -1e300}]}",
                                      "{\"shards\": [{}, 1, \"x\"], \"columns\": [1], \"identical\": [1, []], \"options\": {\"a\": []}}"};
    for (size_t i = 0; i < ANL_COUNT(odd); i++) {
        write_text("out/manifest.json", odd[i]);
        ck_assert_int_eq(anl_pack_inspect(in_root("out"), nowhere, problems), i < 4 ? ANL_ERROR_FORMAT : ANL_OK);
    }
    char deep[2000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    write_text("out/manifest.json", deep);
    ck_assert_int_eq(anl_pack_inspect(in_root("out"), nowhere, problems), ANL_ERROR_FORMAT);
    /* Not even whether another file is there is told: it may never end. */
    static const char *const elsewhere[] = {"/dev/zero", "../../../../../../../../dev/zero", "./train-00000.h5", ""};
    for (size_t i = 0; i < ANL_COUNT(elsewhere); i++) {
        write_text("out/manifest.json", anl_arena_printf(arena, "{\"shards\": [{\"file\": \"%s\", \"sha256\": \"00\"}]}", elsewhere[i]));
        anl_diagnostics_free(&problems);
        problems = anl_diagnostics_new();
        ck_assert_int_eq(anl_pack_verify(in_root("out"), nowhere, problems), ANL_ERROR_FORMAT);
        ck_assert_int_eq(anl_diagnostics_errors(problems), 1);
        ck_assert_ptr_nonnull(strstr(anl_diagnostics_get(problems, 0)->message, "names no file of its own folder"));
    }
    fclose(nowhere);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    const struct {
        const char *name;
        const TTest *test;
    } tests[] = {
#define T(name) {#name, name}
        T(ids_are_hashes_that_a_salt_decides),
        T(packs_of_one_salt_agree_on_who_is_who),
        T(names_that_tell_the_id_are_told),
        T(a_stopped_pack_goes_on),
        T(identical_images_are_told_or_dropped),
        T(the_body_is_the_largest_region),
        T(cropping_keeps_voxels_and_margin),
        T(scans_are_brought_to_a_spacing),
        T(boxes_go_where_their_image_goes),
        T(boxes_that_are_in_no_sample_are_told),
        T(tables_of_boxes_are_judged),
        T(boxes_become_fields),
        T(histograms_have_fixed_bins),
        T(damaged_manifests_are_refused),
#undef T
    };
    for (size_t i = 0; i < ANL_COUNT(tests); i++) {
        TCase *one = tcase_create(tests[i].name);
        tcase_set_timeout(one, 120);
        tcase_add_checked_fixture(one, setup, teardown);
        tcase_add_test(one, tests[i].test);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
