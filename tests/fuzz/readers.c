/* The fuzz targets of files: one for each reader of images, shards, manifests.
 * In: the bytes of a file. Out: an abort where what is read contradicts itself.
 * Files are in memory, under a name in /proc, so that every library opens them as it opens any; but HDF5 asks for a folder, too. */
#include "targets.h"

#include <anlage/dataset.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "data/json_reader.h"
#include "data/manifest.h"
#include "data/scan.h"
#include "data/shard.h"
#include "data/shard_sample.h"

#define MUST(what)                                                                                                               \
    do {                                                                                                                         \
        if (!(what)) {                                                                                                           \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what);                                                           \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

enum { SMALL = 1 << 20 }; /* values up to which all are looked at */

long fuzz_files_read;

typedef struct memory_file {
    int descriptor;
    char path[64];
} memory_file;

static memory_file file_of(const char *bytes, size_t length)
{
    memory_file file = {.descriptor = memfd_create("fuzz", MFD_CLOEXEC)};
    MUST(file.descriptor >= 0);
    MUST(write(file.descriptor, bytes, length) == (ssize_t)length);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.descriptor);
    return file;
}

/* ---- images ---- */

static void check_facts(const anl_scan *s)
{
    MUST(s->width >= 1 && s->height >= 1 && s->depth >= 1 && s->frames >= 1);
    MUST(s->width <= ANL_SCAN_MAX_SIDE && s->height <= ANL_SCAN_MAX_SIDE && s->depth <= ANL_SCAN_MAX_SIDE);
    MUST(s->channels == 1 || s->channels == 3);
    MUST(s->bits >= 1 && s->bits <= 8 * anl_voxel_bytes(s->type));
    MUST((size_t)anl_scan_count(s) <= ANL_SCAN_MAX_BYTES / (size_t)anl_voxel_bytes(s->type));
    MUST(isfinite(s->slope) && isfinite(s->intercept));
    for (int i = 0; i < 3; i++)
        MUST(isfinite(s->spacing[i]) && s->spacing[i] >= 0);
    for (int i = 0; i < 12 && s->oriented; i++)
        MUST(isfinite(s->affine[i / 4][i % 4]));
    MUST(isfinite(s->window[0]) && isfinite(s->window[1]) && s->window[1] >= 0);
    MUST(strnlen(s->unit, sizeof s->unit) < sizeof s->unit && strnlen(s->modality, sizeof s->modality) < sizeof s->modality);
    MUST(strnlen(s->patient, sizeof s->patient) < sizeof s->patient && strnlen(s->study, sizeof s->study) < sizeof s->study &&
         strnlen(s->series, sizeof s->series) < sizeof s->series);
    MUST(s->laterality == 0 || strchr("LRB", s->laterality));
}

/* Both ways of reading must tell the same. */
static void check_same(const anl_scan *a, const anl_scan *b)
{
    MUST(a->width == b->width && a->height == b->height && a->depth == b->depth && a->frames == b->frames && a->channels == b->channels);
    MUST(a->type == b->type && a->bits == b->bits && a->slope == b->slope && a->intercept == b->intercept && a->inverted == b->inverted);
    MUST(!strcmp(a->unit, b->unit) && !strcmp(a->modality, b->modality) && !strcmp(a->patient, b->patient) && !strcmp(a->study, b->study) &&
         !strcmp(a->series, b->series));
    MUST(!memcmp(a->spacing, b->spacing, sizeof a->spacing) && a->oriented == b->oriented && !memcmp(a->affine, b->affine, sizeof a->affine));
    MUST(a->segmentation == b->segmentation && a->place == b->place && a->laterality == b->laterality);
    MUST(!memcmp(a->window, b->window, sizeof a->window) && (a->position == b->position || (isnan(a->position) && isnan(b->position))));
}

/* Whole numbers lie within the bits that are said. */
static void check_values(const anl_scan *s)
{
    static double values[SMALL];
    const int64_t count = anl_scan_count(s);
    if (count > SMALL || s->type == ANL_VOXEL_F32 || s->type == ANL_VOXEL_F64)
        return;
    const bool is_signed = s->type == ANL_VOXEL_I16 || s->type == ANL_VOXEL_I32;
    const double least = is_signed ? -ldexp(1, s->bits - 1) : 0, most = ldexp(1, s->bits - (is_signed ? 1 : 0)) - 1;
    anl_scan_stored(s, 0, count, values);
    for (int64_t i = 0; i < count; i++)
        MUST(values[i] >= least && values[i] <= most);
}

typedef struct thumbnail {
    int width, rows;
    double least, most;
} thumbnail;

static void take_row(void *context, int z, int y, const double *row)
{
    thumbnail *t = context;
    (void)z;
    (void)y;
    t->rows++;
    for (int x = 0; x < t->width; x++) {
        t->least = fmin(t->least, row[x]);
        t->most = fmax(t->most, row[x]);
    }
}

static void make_thumbnail(const anl_scan *s)
{
    thumbnail t = {.width = 5 * s->channels};
    const int depth = s->depth < 3 ? s->depth : 3;
    if (anl_scan_count(s) <= SMALL) {
        MUST(anl_scan_resample(s, s->frames - 1, 5, 7, depth, take_row, &t) == ANL_OK);
        MUST(t.rows == 7 * depth);
    }
}

/* Only what the reader takes for its own: the others have targets of theirs. */
static void read_with(const anl_scan_reader *reader, const char *bytes, size_t length)
{
    if (anl_scan_sniff((const unsigned char *)bytes, length < ANL_SNIFF_BYTES ? length : ANL_SNIFF_BYTES) != reader)
        return;
    memory_file file = file_of(bytes, length);
    anl_scan header, scan;
    char header_reason[ANL_REASON_SIZE], reason[ANL_REASON_SIZE];
    const anl_status header_status = anl_scan_probe(file.path, &header, header_reason), status = anl_scan_decode(file.path, &scan, reason);
    MUST(!header.voxels);
    /* A file in memory can be read, and so can the module of DICOM. But NIfTI may be half of a pair. */
    MUST((header_status != ANL_ERROR_FILE && status != ANL_ERROR_FILE) || reader == &anl_reader_nifti);
    if (header_status == ANL_OK)
        check_facts(&header);
    else
        MUST(strnlen(header_reason, sizeof header_reason) > 0 && strnlen(header_reason, sizeof header_reason) < sizeof header_reason);
    if (status == ANL_OK) {
        MUST(header_status == ANL_OK && scan.voxels);
        check_same(&header, &scan);
        check_values(&scan);
        make_thumbnail(&scan);
        fuzz_files_read++;
    } else {
        MUST(!scan.voxels && strnlen(reason, sizeof reason) > 0 && strnlen(reason, sizeof reason) < sizeof reason);
        fuzz_files_read += strstr(reason, "this program was built without") != NULL;
    }
    anl_scan_free(&header);
    anl_scan_free(&scan);
    close(file.descriptor);
}

static void run_dicom(const char *bytes, size_t length) { read_with(&anl_reader_dicom, bytes, length); }
static void run_nifti(const char *bytes, size_t length) { read_with(&anl_reader_nifti, bytes, length); }
static void run_tiff(const char *bytes, size_t length) { read_with(&anl_reader_tiff, bytes, length); }
static void run_png(const char *bytes, size_t length) { read_with(&anl_reader_png, bytes, length); }
static void run_jpeg(const char *bytes, size_t length) { read_with(&anl_reader_jpeg, bytes, length); }

/* ---- shards ---- */

enum { BOXES = 2 }; /* room of a field */

/* A few samples: through HDF5 and past it, which must come to the same. */
static void read_samples(anl_shard *shard)
{
    const size_t size = anl_shard_image_bytes(&shard->image);
    unsigned char *through = malloc(size), *past = malloc(size);
    char reason[ANL_REASON_SIZE] = "";
    for (int64_t k = 0; k < 8 && k < shard->count; k++) {
        const int64_t sample = shard->count > 8 && k >= 4 ? shard->count - 8 + k : k; /* the first and the last */
        anl_shard_place place;
        double factor, shift;
        const anl_status status = anl_shard_read_image(shard, sample, through, reason);
        MUST(status == ANL_OK || reason[0]);
        if (anl_shard_locate(shard, sample, &place)) {
            anl_shard_expect(&place);
            if (anl_shard_read_place(&shard->image, &place, past, reason) == ANL_OK && status == ANL_OK)
                MUST(!memcmp(through, past, size));
            anl_shard_file_release(&place.file);
        }
        anl_shard_meaning(shard, sample, &factor, &shift);
        MUST(!isnan(factor) && !isnan(shift));
    }
    free(through);
    free(past);
}

/* *first: the name of the first column, or NULL. */
/* *first: a column of boxes, if any. */
static void read_boxes(anl_shard *shard, anl_arena *arena, const char **first)
{
    char reason[ANL_REASON_SIZE] = "";
    const int64_t *places;
    if (anl_shard_boxes(shard, &places, reason) != ANL_OK) {
        MUST(reason[0] && !places);
        return;
    }
    for (int64_t i = 0; places && i < shard->count; i++)
        MUST(places[0] == 0 && places[i] <= places[i + 1]);
    const char **columns;
    int column_count;
    if (anl_shard_box_columns(shard, arena, &columns, &column_count, reason) != ANL_OK)
        column_count = 0;
    *first = column_count > 0 ? columns[0] : NULL;
    for (int c = 0; places && c < column_count && c < 8; c++) {
        double *values;
        char **words;
        size_t word_count;
        int axis;
        if (anl_shard_box_labels(shard, columns[c], &values, &words, &word_count, reason) == ANL_OK)
            for (int64_t i = 0; words && i < places[shard->count]; i++)
                MUST(isnan(values[i]) || (values[i] >= 0 && values[i] < (double)word_count && strlen(words[(int64_t)values[i]]) < SIZE_MAX));
        else
            MUST(!values && !words);
        MUST(anl_shard_corner(&shard->image, columns[c], &axis) >= 0);
        free(values);
        free(words);
    }
}

static void read_columns(const anl_shard *shard, anl_arena *arena, const char **first)
{
    char reason[ANL_REASON_SIZE] = "";
    anl_shard_facts facts;
    MUST(anl_shard_read_facts(shard, arena, &facts, reason) == ANL_OK || reason[0]);
    int64_t *rows;
    char **names;
    size_t name_count;
    reason[0] = '\0';
    if (anl_shard_patients(shard, &rows, &names, &name_count, reason) == ANL_OK)
        for (int64_t i = 0; rows && i < shard->count; i++)
            MUST(rows[i] >= -1 && rows[i] < (int64_t)name_count && (rows[i] < 0 || strlen(names[rows[i]]) < SIZE_MAX));
    else
        MUST(reason[0] && !rows && !names);
    free(rows);
    free(names);
    const char **columns;
    int column_count;
    if (anl_shard_columns(shard, arena, &columns, &column_count, reason) != ANL_OK)
        return;
    *first = column_count > 0 ? columns[0] : NULL;
    for (int c = 0; c < column_count && c < 8; c++) {
        double *values;
        char **words;
        size_t word_count;
        if (anl_shard_labels(shard, columns[c], &values, &words, &word_count, reason) == ANL_OK)
            for (int64_t i = 0; words && i < shard->count; i++)
                MUST(isnan(values[i]) || (values[i] >= 0 && values[i] < (double)word_count && strlen(words[(int64_t)values[i]]) < SIZE_MAX));
        else
            MUST(!values && !words);
        free(values);
        free(words);
    }
}

/* As a recipe reads it, with the label and what is known of boxes, if any. */
static void read_dataset(const char *path, const anl_shard_image *image, const char *label, const char *box)
{
    const anl_field fields[] = {
        {.name = "image", .rank = 3, .axis = {"channel", "y", "x"}, .size = {image->channels, image->height, image->width},
         .unit = image->values == ANL_VALUES_UNIT ? "HU" : NULL},
        {.name = "label", .column = label, .has_mask = true},
        {.name = "box", .rank = 1, .axis = {"box"}, .size = {BOXES}, .boxes = box, .has_mask = true},
    };
    anl_field used[3] = {fields[0]};
    int count = 1;
    for (int f = 1; f < 3; f++)
        if (f == 1 ? label : box)
            used[count++] = fields[f];
    const anl_dataset_options options = {.pattern = path, .label_fraction = 1};
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_dataset *dataset = NULL;
    anl_status status = anl_dataset_open(&options, used, count, diagnostics, &dataset);
    if (status == ANL_OK) {
        float *values = malloc(sizeof *values * (size_t)(image->channels * image->height * image->width)), few[BOXES], masks[BOXES];
        const int64_t last = anl_dataset_count(dataset) - 1;
        status = anl_dataset_read(dataset, last, 0, values, NULL, diagnostics);
        for (int f = 1; f < count && status == ANL_OK; f++) {
            status = anl_dataset_read(dataset, last, f, few, masks, diagnostics);
            for (int i = 0; i < (used[f].boxes ? BOXES : 1); i++)
                MUST(status != ANL_OK || masks[i] == 1 || (masks[i] == 0 && few[i] == 0));
        }
        anl_dataset_patient(dataset, 0);
        anl_dataset_free(&dataset);
        free(values);
    }
    MUST(status == ANL_OK || anl_diagnostics_errors(diagnostics) > 0);
    anl_diagnostics_free(&diagnostics);
}

/* As it is shown to people. */
static void read_shown(const char *path)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_sample sample;
    if (anl_sample_read(path, 0, arena, &sample, diagnostics) == ANL_OK) {
        MUST(sample.voxels && sample.file && sample.labels && sample.unit && sample.modality);
        for (int b = 0; b < sample.box_count; b++)
            MUST(sample.boxes[b].labels);
        anl_sample_free(&sample);
    } else
        MUST(anl_diagnostics_errors(diagnostics) > 0);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    const int errors = anl_diagnostics_errors(diagnostics);
    MUST(out);
    MUST(anl_shard_inspect(path, out, diagnostics) == ANL_OK || errors > 0 || anl_diagnostics_errors(diagnostics) > 0);
    fclose(out);
    free(text);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}

static void run_shard(const char *bytes, size_t length)
{
    memory_file file = {.path = "/tmp/anlage-fuzz-XXXXXX"};
    file.descriptor = mkstemp(file.path);
    MUST(file.descriptor >= 0);
    MUST(write(file.descriptor, bytes, length) == (ssize_t)length);
    anl_arena *arena = anl_arena_new();
    char reason[ANL_REASON_SIZE] = "";
    const char *label = NULL, *box = NULL;
    anl_shard shard;
    anl_hdf5_lock();
    const anl_status status = anl_shard_open(file.path, &shard, reason);
    MUST(status == ANL_OK || reason[0]);
    const bool small = status == ANL_OK && shard.count <= SMALL && anl_shard_image_bytes(&shard.image) <= SMALL;
    const anl_shard_image image = shard.image;
    if (small) {
        read_samples(&shard);
        read_columns(&shard, arena, &label);
        read_boxes(&shard, arena, &box);
    }
    if (status == ANL_OK)
        anl_shard_close(&shard);
    anl_hdf5_unlock();
    fuzz_files_read += status == ANL_OK;
    if (small) {
        read_dataset(file.path, &image, label, box);
        read_shown(file.path);
    }
    anl_arena_free(&arena);
    unlink(file.path);
    close(file.descriptor);
}

/* ---- manifests ---- */

/* In a folder of its own, since folders are what is asked about. */
static void run_manifest(const char *bytes, size_t length)
{
    char folder[] = "/tmp/anlage-fuzz-XXXXXX", path[sizeof folder + 16];
    memory_file file = file_of(bytes, length);
    MUST(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    MUST(symlink(file.path, path) == 0);

    anl_arena *arena = anl_arena_new();
    anl_diagnostics *inspected = anl_diagnostics_new(), *verified = anl_diagnostics_new(); /* the same problem is told once in each */
    anl_manifest_shard *shards;
    int count;
    if (anl_manifest_read(arena, path, &shards, &count) == ANL_OK) {
        fuzz_files_read++;
        for (int i = 0; i < count; i++) {
            MUST(shards[i].file[0] && shards[i].samples > 0 && shards[i].bytes > 0);
            MUST(anl_manifest_find(shards, count, shards[i].file));
        }
    }
    char *text = NULL;
    size_t text_length = 0;
    FILE *out = open_memstream(&text, &text_length);
    MUST(out);
    MUST((anl_pack_inspect(folder, out, inspected) == ANL_OK) == (anl_diagnostics_errors(inspected) == 0));
    MUST((anl_pack_verify(folder, out, verified) == ANL_OK) == (anl_diagnostics_errors(verified) == 0));
    fclose(out);
    free(text);
    anl_diagnostics_free(&inspected);
    anl_diagnostics_free(&verified);
    anl_arena_free(&arena);

    unlink(path);
    rmdir(folder);
    close(file.descriptor);
}

const fuzz_target fuzz_readers[] = {{"dicom", run_dicom}, {"nifti", run_nifti}, {"tiff", run_tiff},        {"png", run_png},
                                    {"jpeg", run_jpeg},   {"shard", run_shard}, {"manifest", run_manifest}};
const int fuzz_reader_count = sizeof fuzz_readers / sizeof *fuzz_readers;
