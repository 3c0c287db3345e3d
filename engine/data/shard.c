/* The layout of shards: writing, reading and showing them.
 * In: see shard.h. Out: see shard.h.
 * Nothing written depends on time, place, or the order in which threads finish. */
#include "data/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>
#include <anlage/modality.h>

#include "base/config.h"
#include "data/blosc_filter.h"

enum { MOST_BOXES = 100000000 };

static anl_status fail(char *reason, anl_status status, const char *what)
{
    char why[ANL_REASON_SIZE];
    anl_hdf5_reason(why, sizeof why);
    snprintf(reason, ANL_REASON_SIZE, "%.80s: %.220s", what, why);
    return status;
}

size_t anl_shard_image_bytes(const anl_shard_image *i)
{
    return (size_t)i->depth * (size_t)i->height * (size_t)i->width * (size_t)i->channels * (size_t)anl_voxel_bytes(i->type);
}

anl_scan anl_shard_scan(const anl_shard_image *i, void *stored)
{
    anl_scan scan;
    anl_scan_reset(&scan);
    scan.width = i->width;
    scan.height = i->height;
    scan.depth = i->depth;
    scan.channels = i->channels;
    scan.type = i->type;
    scan.bits = i->bits;
    scan.slope = i->scale;
    scan.intercept = i->offset;
    scan.voxels = stored;
    return scan;
}

void anl_shard_extent(const anl_shard_image *image, const void *stored, double extent[2])
{
    enum { BLOCK = 2048 };
    double values[BLOCK];
    anl_scan scan = anl_shard_scan(image, (void *)stored);
    const int64_t count = anl_scan_count(&scan);
    extent[0] = INFINITY;
    extent[1] = -INFINITY;
    for (int64_t from = 0; from < count; from += BLOCK) {
        int64_t n = count - from < BLOCK ? count - from : BLOCK;
        anl_scan_stored(&scan, from, n, values);
        for (int64_t k = 0; k < n; k++) {
            extent[0] = values[k] < extent[0] ? values[k] : extent[0];
            extent[1] = values[k] > extent[1] ? values[k] : extent[1];
        }
    }
}

static const char *const values_words[] = {"full", "unit", "relative"};

static hid_t stored_type(anl_voxel type)
{
    switch (type) {
    case ANL_VOXEL_U8:
        return H5T_STD_U8LE;
    case ANL_VOXEL_U16:
        return H5T_STD_U16LE;
    case ANL_VOXEL_I16:
        return H5T_STD_I16LE;
    case ANL_VOXEL_I32:
        return H5T_STD_I32LE;
    default:
        return H5T_IEEE_F32LE;
    }
}

static hid_t memory_type(anl_voxel type)
{
    switch (type) {
    case ANL_VOXEL_U8:
        return H5T_NATIVE_UINT8;
    case ANL_VOXEL_U16:
        return H5T_NATIVE_UINT16;
    case ANL_VOXEL_I16:
        return H5T_NATIVE_INT16;
    case ANL_VOXEL_I32:
        return H5T_NATIVE_INT32;
    default:
        return H5T_NATIVE_FLOAT;
    }
}

/* [first, z, y, x, channel] or, of images, without z. Returns the rank. */
static int image_dims(const anl_shard_image *i, hsize_t first, hsize_t dims[5])
{
    int rank = 0;
    dims[rank++] = first;
    if (i->volume)
        dims[rank++] = (hsize_t)i->depth;
    dims[rank++] = (hsize_t)i->height;
    dims[rank++] = (hsize_t)i->width;
    dims[rank++] = (hsize_t)i->channels;
    return rank;
}

/* ---- what filters do ---- */

/* Byte k of every value together, as HDF5's shuffle filter has it. */
static void shuffle(const uint8_t *from, uint8_t *to, size_t count, size_t size, bool back)
{
    for (size_t k = 0; k < size; k++)
        for (size_t i = 0; i < count; i++)
            if (back)
                to[i * size + k] = from[k * count + i];
            else
                to[k * count + i] = from[i * size + k];
}

bool anl_shard_compress(const anl_shard_image *image, const void *stored, void **out, size_t *length)
{
    const size_t bytes = anl_shard_image_bytes(image), size = (size_t)anl_voxel_bytes(image->type);
    if (image->blosc > 0)
        return anl_blosc_pack(image->blosc, size, stored, bytes, out, length);
    uLongf room = compressBound((uLong)bytes);
    uint8_t *shuffled = size > 1 ? malloc(bytes) : NULL;
    *out = malloc(room);
    if (!*out || (size > 1 && !shuffled)) {
        free(shuffled);
        free(*out);
        return false;
    }
    if (shuffled)
        shuffle(stored, shuffled, bytes / size, size, false);
    int result = compress2(*out, &room, shuffled ? shuffled : stored, (uLong)bytes, image->deflate);
    free(shuffled);
    *length = room;
    if (result != Z_OK)
        free(*out);
    return result == Z_OK;
}

/* ---- writing ---- */

struct anl_shard_writer {
    const anl_shard_schema *schema;
    anl_arena *arena;
    hid_t file, image;
    int count, capacity;
    const char **files;    /* [capacity] */
    const char **patients; /* [capacity] or NULL */
    double **numbers;      /* per column [capacity] */
    const char ***texts;   /* per column [capacity] */
    double *range;         /* [capacity][2], relative values only */
    double *spacing;       /* [capacity][3] as z, y, x, or NULL */
    int32_t *box_samples;  /* [box_count]: which sample a box is of */
    double *boxes;         /* [box_count][box columns] */
    int64_t box_count, box_capacity;
    double least, greatest; /* of what is stored so far */
};

static bool write_attributes(hid_t file, const anl_shard_schema *schema, const char *split)
{
    bool good = anl_hdf5_write_int(file, "format", ANL_SHARD_FORMAT) &&
                anl_hdf5_write_text(file, "tool", "anlage pack " ANL_VERSION) && anl_hdf5_write_text(file, "split", split) &&
                anl_hdf5_write_text(file, "options", schema->options);
    char seed[32]; /* as text: HDF5 readers differ on 64-bit unsigned */
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)schema->seed);
    good = good && anl_hdf5_write_text(file, "seed", seed);
    if (schema->modality)
        good = good && anl_hdf5_write_text(file, "modality", schema->modality);
    return good;
}

anl_status anl_shard_create(const char *path, const anl_shard_schema *schema, const char *split, int capacity,
                            anl_shard_writer **out, char reason[ANL_REASON_SIZE])
{
    *out = NULL;
    anl_hdf5_lock();
    anl_status status = ANL_OK;
    hid_t image = -1, file = anl_hdf5_create(path);
    if (file < 0)
        status = fail(reason, ANL_ERROR_FILE, "cannot create it");
    else if (!write_attributes(file, schema, split))
        status = fail(reason, ANL_ERROR_FILE, "cannot write its attributes");
    else {
        const anl_shard_image *i = &schema->image;
        hsize_t dims[5], chunk[5];
        int rank = image_dims(i, (hsize_t)capacity, dims);
        image_dims(i, 1, chunk);
        hid_t space = H5Screate_simple(rank, dims, dims), options = anl_hdf5_dataset_options(),
              access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Pset_chunk(options, rank, chunk);
        if (i->deflate > 0) {
            if (anl_voxel_bytes(i->type) > 1)
                H5Pset_shuffle(options);
            H5Pset_deflate(options, (unsigned)i->deflate);
        }
        if (i->blosc > 0)
            anl_blosc_use(options, i->blosc, (size_t)anl_voxel_bytes(i->type), anl_shard_image_bytes(i)); /* sizes were checked with the options */
        H5Pset_fill_time(options, H5D_FILL_TIME_NEVER); /* every sample is written */
        H5Pset_chunk_cache(access, 0, 0, 0);            /* chunks are written whole */
        image = H5Dcreate2(file, "image", stored_type(i->type), space, H5P_DEFAULT, options, access);
        H5Pclose(access);
        H5Pclose(options);
        H5Sclose(space);
        if (image < 0 || !anl_hdf5_write_double(image, "scale", i->scale) || !anl_hdf5_write_double(image, "offset", i->offset) ||
            !anl_hdf5_write_int(image, "bits", i->bits) || !anl_hdf5_write_text(image, "values", values_words[i->values]) ||
            (i->values == ANL_VALUES_UNIT && !anl_hdf5_write_text(image, "unit", i->unit)) ||
            (i->channels == 1 && !anl_hdf5_write_text(image, "photometric", "MONOCHROME2")) ||
            (i->channels == 3 && !anl_hdf5_write_text(image, "photometric", "RGB")))
            status = fail(reason, ANL_ERROR_FILE, "cannot create its images");
    }
    if (status != ANL_OK) {
        if (image >= 0)
            H5Dclose(image);
        if (file >= 0)
            H5Fclose(file);
    }
    anl_hdf5_unlock();
    if (status != ANL_OK)
        return status;
    anl_arena *arena = anl_arena_new();
    anl_shard_writer *writer = anl_malloc(sizeof *writer);
    *writer = (anl_shard_writer){.schema = schema,
                                 .arena = arena,
                                 .file = file,
                                 .image = image,
                                 .capacity = capacity,
                                 .least = INFINITY,
                                 .greatest = -INFINITY};
    writer->files = ANL_NEW_ARRAY(arena, const char *, capacity);
    if (schema->has_patient)
        writer->patients = ANL_NEW_ARRAY(arena, const char *, capacity);
    writer->numbers = ANL_NEW_ARRAY(arena, double *, schema->column_count + 1);
    writer->texts = ANL_NEW_ARRAY(arena, const char **, schema->column_count + 1);
    if (schema->image.values == ANL_VALUES_RELATIVE)
        writer->range = ANL_NEW_ARRAY(arena, double, 2 * capacity);
    if (schema->has_spacing)
        writer->spacing = ANL_NEW_ARRAY(arena, double, 3 * capacity);
    for (int c = 0; c < schema->column_count; c++)
        if (schema->columns[c].kind == ANL_COLUMN_TEXT)
            writer->texts[c] = ANL_NEW_ARRAY(arena, const char *, capacity);
        else
            writer->numbers[c] = ANL_NEW_ARRAY(arena, double, capacity);
    *out = writer;
    return ANL_OK;
}

static bool add_boxes(anl_shard_writer *w, const anl_shard_sample *sample)
{
    const size_t columns = (size_t)w->schema->box_column_count;
    if (w->box_count + sample->box_count > w->box_capacity) {
        const int64_t capacity = 2 * w->box_capacity + sample->box_count;
        int32_t *samples = realloc(w->box_samples, sizeof *samples * (size_t)capacity);
        w->box_samples = samples ? samples : w->box_samples;
        double *boxes = realloc(w->boxes, sizeof *boxes * columns * (size_t)capacity);
        w->boxes = boxes ? boxes : w->boxes;
        if (!samples || !boxes)
            return false;
        w->box_capacity = capacity;
    }
    for (int b = 0; b < sample->box_count; b++)
        w->box_samples[w->box_count + b] = w->count;
    if (sample->box_count > 0)
        memcpy(w->boxes + columns * (size_t)w->box_count, sample->boxes, sizeof *w->boxes * columns * (size_t)sample->box_count);
    w->box_count += sample->box_count;
    return true;
}

anl_status anl_shard_add(anl_shard_writer *writer, const anl_shard_sample *sample, char reason[ANL_REASON_SIZE])
{
    const anl_shard_schema *schema = writer->schema;
    if (writer->count >= writer->capacity) {
        snprintf(reason, ANL_REASON_SIZE, "it is full");
        return ANL_ERROR_ARGUMENT;
    }
    if (!add_boxes(writer, sample))
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for its boxes");
    anl_hdf5_lock();
    hsize_t offset[5] = {(hsize_t)writer->count};
    anl_status status = ANL_OK;
    errno = 0;
    if (H5Dwrite_chunk(writer->image, H5P_DEFAULT, 0, offset, sample->length, sample->stored) < 0)
        status = fail(reason, ANL_ERROR_FILE, "cannot write an image to it");
    anl_hdf5_unlock();
    if (status != ANL_OK)
        return status;
    if (schema->image.values != ANL_VALUES_RELATIVE) {
        writer->least = fmin(writer->least, sample->range[0]);
        writer->greatest = fmax(writer->greatest, sample->range[1]);
    }
    int i = writer->count++;
    writer->files[i] = anl_arena_text(writer->arena, sample->file);
    if (writer->patients)
        writer->patients[i] = sample->patient && sample->patient[0] ? anl_arena_text(writer->arena, sample->patient) : NULL;
    if (writer->range)
        memcpy(&writer->range[2 * i], sample->range, sizeof sample->range);
    for (int a = 0; a < 3 && writer->spacing; a++)
        writer->spacing[3 * i + a] = sample->spacing[2 - a];
    for (int c = 0; c < schema->column_count; c++)
        if (schema->columns[c].kind == ANL_COLUMN_TEXT)
            writer->texts[c][i] = anl_arena_text(writer->arena, sample->texts[c]);
        else
            writer->numbers[c][i] = sample->numbers[c];
    return ANL_OK;
}

int anl_shard_count(const anl_shard_writer *writer) { return writer->count; }

/* width: numbers of a sample; 1 makes a list, more a table. */
static bool write_numbers(hid_t group, const char *name, hid_t stored, hid_t memory, const void *values, int64_t count, int width,
                          const anl_shard_column *column)
{
    hsize_t size[2] = {(hsize_t)count, (hsize_t)width};
    hid_t space = H5Screate_simple(width > 1 ? 2 : 1, size, NULL), options = anl_hdf5_dataset_options();
    hid_t data = H5Dcreate2(group, name, stored, space, H5P_DEFAULT, options, H5P_DEFAULT);
    bool good = data >= 0 && H5Dwrite(data, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    if (good && column && column->kind == ANL_COLUMN_CODE)
        good = anl_hdf5_write_texts(data, "values", true, column->values, (size_t)column->value_count);
    if (data >= 0 && H5Dclose(data) < 0)
        good = false;
    H5Pclose(options);
    H5Sclose(space);
    return good;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool write_patients(anl_shard_writer *w)
{
    const char **names = ANL_NEW_ARRAY(w->arena, const char *, w->count);
    int64_t *rows = ANL_NEW_ARRAY(w->arena, int64_t, w->count);
    size_t count = 0, unique = 0;
    for (int i = 0; i < w->count; i++)
        if (w->patients[i])
            names[count++] = w->patients[i];
    if (count > 0)
        qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            names[unique++] = names[i];
    for (int i = 0; i < w->count; i++) {
        const char **found =
            w->patients[i] && unique > 0 ? bsearch(&w->patients[i], names, unique, sizeof *names, by_text) : NULL;
        rows[i] = found ? found - names : -1;
    }
    return write_numbers(w->file, "patient", H5T_STD_I64LE, H5T_NATIVE_INT64, rows, w->count, 1, NULL) &&
           anl_hdf5_write_texts(w->file, "patients", false, names, unique);
}

static hid_t stored_number(const anl_shard_column *column)
{
    return column->kind == ANL_COLUMN_CODE ? H5T_STD_I32LE : column->wide ? H5T_IEEE_F64LE : H5T_IEEE_F32LE;
}

/* boxes/sample, and boxes/NAME for each column, in the order of attribute `columns`. */
static bool write_boxes(anl_shard_writer *w)
{
    const int columns = w->schema->box_column_count;
    hid_t options = anl_hdf5_group_options(), group = H5Gcreate2(w->file, "boxes", H5P_DEFAULT, options, H5P_DEFAULT);
    H5Pclose(options);
    double *values = malloc(sizeof *values * (size_t)(w->box_count + 1));
    const char **names = ANL_NEW_ARRAY(w->arena, const char *, columns);
    bool good = group >= 0 && values && write_numbers(group, "sample", H5T_STD_I32LE, H5T_NATIVE_INT32, w->box_samples, w->box_count, 1, NULL);
    for (int c = 0; c < columns && good; c++) {
        const anl_shard_column *column = &w->schema->box_columns[c];
        names[c] = column->name;
        for (int64_t b = 0; b < w->box_count; b++)
            values[b] = w->boxes[b * columns + c];
        good = write_numbers(group, column->name, stored_number(column), H5T_NATIVE_DOUBLE, values, w->box_count, 1, column);
    }
    good = good && anl_hdf5_write_texts(group, "columns", true, names, (size_t)columns);
    free(values);
    if (group >= 0)
        H5Gclose(group);
    return good;
}

static bool write_columns(anl_shard_writer *w)
{
    const anl_shard_schema *schema = w->schema;
    hid_t options = anl_hdf5_group_options();
    hid_t labels = H5Gcreate2(w->file, "labels", H5P_DEFAULT, options, H5P_DEFAULT), texts = -1;
    bool good = labels >= 0;
    for (int c = 0; c < schema->column_count && good; c++) {
        const anl_shard_column *column = &schema->columns[c];
        if (column->kind == ANL_COLUMN_TEXT) {
            if (texts < 0)
                texts = H5Gcreate2(w->file, "texts", H5P_DEFAULT, options, H5P_DEFAULT);
            good = texts >= 0 && anl_hdf5_write_texts(texts, column->name, false, w->texts[c], (size_t)w->count);
        } else
            good = write_numbers(labels, column->name, stored_number(column), H5T_NATIVE_DOUBLE, w->numbers[c], w->count, 1, column);
    }
    if (good) {
        const char **names = ANL_NEW_ARRAY(w->arena, const char *, schema->column_count + 1);
        size_t count = 0;
        for (int c = 0; c < schema->column_count; c++)
            if (schema->columns[c].kind != ANL_COLUMN_TEXT)
                names[count++] = schema->columns[c].name;
        if (count > 0)
            good = anl_hdf5_write_texts(labels, "columns", true, names, count);
    }
    if (texts >= 0)
        H5Gclose(texts);
    if (labels >= 0)
        H5Gclose(labels);
    H5Pclose(options);
    return good;
}

static void forget_writer(anl_shard_writer **writer)
{
    anl_arena_free(&(*writer)->arena);
    free((*writer)->box_samples);
    free((*writer)->boxes);
    free(*writer);
    *writer = NULL;
}

anl_status anl_shard_finish(anl_shard_writer **writer, char reason[ANL_REASON_SIZE])
{
    anl_shard_writer *w = *writer;
    anl_hdf5_lock();
    errno = 0;
    hsize_t dims[5];
    image_dims(&w->schema->image, (hsize_t)w->count, dims);
    anl_status status = ANL_OK;
    if (w->count < w->capacity && H5Dset_extent(w->image, dims) < 0)
        status = fail(reason, ANL_ERROR_FILE, "cannot set its number of samples");
    if (status == ANL_OK &&
        ((w->range && !write_numbers(w->file, "range", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, w->range, w->count, 2, NULL)) ||
         (w->spacing && !write_numbers(w->file, "spacing", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, w->spacing, w->count, 3, NULL))))
        status = fail(reason, ANL_ERROR_FILE, "cannot write what it knows of its images");
    if (status == ANL_OK && w->least <= w->greatest &&
        !(anl_hdf5_write_double(w->image, "least", w->least) && anl_hdf5_write_double(w->image, "greatest", w->greatest)))
        status = fail(reason, ANL_ERROR_FILE, "cannot write the range of its images");
    if (status == ANL_OK && w->schema->box_column_count > 0 && !write_boxes(w))
        status = fail(reason, ANL_ERROR_FILE, "cannot write its boxes");
    if (status == ANL_OK && (!write_columns(w) || (w->patients && !write_patients(w)) ||
                             !anl_hdf5_write_texts(w->file, "file", false, w->files, (size_t)w->count)))
        status = fail(reason, ANL_ERROR_FILE, "cannot write its columns");
    /* Closing flushes: a full disk shows here at the latest. */
    if (H5Dclose(w->image) < 0 && status == ANL_OK)
        status = fail(reason, ANL_ERROR_FILE, "cannot write it");
    if (H5Fclose(w->file) < 0 && status == ANL_OK)
        status = fail(reason, ANL_ERROR_FILE, "cannot write it");
    anl_hdf5_unlock();
    forget_writer(writer);
    return status;
}

void anl_shard_abandon(anl_shard_writer **writer)
{
    if (!*writer)
        return;
    anl_hdf5_lock();
    H5Dclose((*writer)->image);
    H5Fclose((*writer)->file);
    anl_hdf5_unlock();
    forget_writer(writer);
}

/* ---- reading ---- */

static anl_status refuse(anl_shard *shard, char *reason, const char *what)
{
    snprintf(reason, ANL_REASON_SIZE, "%s", what);
    anl_shard_close(shard);
    return ANL_ERROR_FORMAT;
}

/* One of the types that images have; false for others. */
static bool voxel_of(hid_t type, anl_voxel *out)
{
    size_t size = H5Tget_size(type);
    if (H5Tget_class(type) == H5T_FLOAT && size == 4)
        *out = ANL_VOXEL_F32;
    else if (H5Tget_class(type) != H5T_INTEGER)
        return false;
    else if (H5Tget_sign(type) == H5T_SGN_NONE && (size == 1 || size == 2))
        *out = size == 1 ? ANL_VOXEL_U8 : ANL_VOXEL_U16;
    else if (H5Tget_sign(type) == H5T_SGN_2 && (size == 2 || size == 4))
        *out = size == 2 ? ANL_VOXEL_I16 : ANL_VOXEL_I32;
    else
        return false;
    return true;
}

/* Reads a table [count, width] of numbers, malloc'd. */
static anl_status read_table(const anl_shard *shard, const char *name, int width, double **out, char *reason)
{
    hid_t data = H5Lexists(shard->file, name, H5P_DEFAULT) > 0 ? H5Dopen2(shard->file, name, H5P_DEFAULT) : -1;
    if (data < 0) {
        snprintf(reason, ANL_REASON_SIZE, "it holds no `%s`", name);
        return ANL_ERROR_FORMAT;
    }
    hid_t space = H5Dget_space(data), type = H5Dget_type(data);
    hsize_t dims[2] = {0};
    anl_status status = ANL_OK;
    if (H5Sget_simple_extent_ndims(space) != 2 || H5Sget_simple_extent_dims(space, dims, NULL) != 2 ||
        dims[0] != (hsize_t)shard->count || dims[1] != (hsize_t)width || H5Tget_class(type) != H5T_FLOAT) {
        snprintf(reason, ANL_REASON_SIZE, "its `%s` is not [samples, %d] of numbers", name, width);
        status = ANL_ERROR_FORMAT;
    }
    if (status == ANL_OK) {
        *out = malloc(sizeof(double) * (size_t)width * (size_t)shard->count);
        if (!*out) {
            snprintf(reason, ANL_REASON_SIZE, "no memory for its `%s`", name);
            status = ANL_ERROR_MEMORY;
        } else if (H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, *out) < 0) {
            status = fail(reason, ANL_ERROR_FORMAT, "one of its tables cannot be read");
            free(*out);
            *out = NULL;
        }
    }
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(data);
    return status;
}

static anl_shard_filters filters_of(hid_t data)
{
    hid_t options = H5Dget_create_plist(data);
    int count = options >= 0 && H5Pget_layout(options) == H5D_CHUNKED ? H5Pget_nfilters(options) : -1;
    H5Z_filter_t kinds[2] = {0, 0};
    for (int i = 0; i < count && count <= 2; i++) {
        unsigned flags, config;
        size_t none = 0;
        kinds[i] = H5Pget_filter2(options, (unsigned)i, &flags, &none, NULL, 0, NULL, &config);
    }
    if (options >= 0)
        H5Pclose(options);
    return count == 0                                                                       ? ANL_FILTERS_NONE
           : count == 1 && kinds[0] == H5Z_FILTER_DEFLATE                                   ? ANL_FILTERS_DEFLATE
           : count == 1 && kinds[0] == ANL_BLOSC_FILTER && anl_blosc_there()                ? ANL_FILTERS_BLOSC
           : count == 2 && kinds[0] == H5Z_FILTER_SHUFFLE && kinds[1] == H5Z_FILTER_DEFLATE ? ANL_FILTERS_SHUFFLE_DEFLATE
                                                                                            : ANL_FILTERS_OTHER;
}

static bool needs_blosc(hid_t data)
{
    hid_t options = H5Dget_create_plist(data);
    bool used = false;
    for (int i = 0; i < (options >= 0 ? H5Pget_nfilters(options) : 0); i++) {
        unsigned flags, config;
        size_t none = 0;
        used = used || H5Pget_filter2(options, (unsigned)i, &flags, &none, NULL, 0, NULL, &config) == ANL_BLOSC_FILTER;
    }
    if (options >= 0)
        H5Pclose(options);
    return used && H5Zfilter_avail(ANL_BLOSC_FILTER) <= 0;
}

struct anl_shard_file {
    int descriptor;
    atomic_int keepers;
};

static anl_shard_file *open_file(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    /* Samples come in random order: what lies behind one is not the next, and anl_shard_expect says what is. */
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    anl_shard_file *file = anl_malloc(sizeof *file);
    file->descriptor = descriptor;
    atomic_init(&file->keepers, 1);
    return file;
}

void anl_shard_file_release(anl_shard_file **file)
{
    anl_shard_file *f = *file;
    *file = NULL;
    if (!f || atomic_fetch_sub(&f->keepers, 1) > 1)
        return;
    close(f->descriptor);
    free(f);
}

/* A sample is read past the library where a chunk is a sample and its bytes are this machine's. */
static void prepare_direct(anl_shard *shard, const char *path)
{
    shard->filters = filters_of(shard->data);
    hid_t options = H5Dget_create_plist(shard->data);
    hsize_t chunk[5] = {0}, one[5];
    int rank = image_dims(&shard->image, 1, one);
    bool fits = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && shard->filters != ANL_FILTERS_OTHER && options >= 0 &&
                H5Pget_chunk(options, 5, chunk) == rank;
    for (int k = 0; k < rank && fits; k++)
        fits = chunk[k] == one[k];
    if (options >= 0)
        H5Pclose(options);
    hid_t type = H5Dget_type(shard->data);
    fits = fits && H5Tequal(type, stored_type(shard->image.type)) > 0;
    H5Tclose(type);
    if (fits)
        shard->past = open_file(path);
}

static anl_status read_image_facts(anl_shard *out, char *reason)
{
    anl_shard_image *i = &out->image;
    hid_t space = H5Dget_space(out->data), type = H5Dget_type(out->data);
    hsize_t dims[5] = {0};
    int rank = H5Sget_simple_extent_ndims(space);
    bool good = (rank == 4 || rank == 5) && H5Sget_simple_extent_dims(space, dims, NULL) == rank && voxel_of(type, &i->type);
    H5Sclose(space);
    H5Tclose(type);
    if (!good)
        return refuse(out, reason, "its `image` is not [samples, (z,) y, x, channel] of integers or float32");
    const hsize_t *plane = dims + rank - 3;
    i->volume = rank == 5;
    anl_scan bounds;
    anl_scan_reset(&bounds);
    good = dims[0] >= 1 && dims[0] <= INT32_MAX;
    for (int k = 1; k < rank; k++)
        good = good && dims[k] >= 1 && dims[k] <= ANL_SCAN_MAX_SIDE;
    if (!good)
        return refuse(out, reason, "its `image` has no samples or an impossible size");
    bounds.depth = i->depth = i->volume ? (int)dims[1] : 1;
    bounds.height = i->height = (int)plane[0];
    bounds.width = i->width = (int)plane[1];
    bounds.channels = i->channels = (int)plane[2];
    bounds.type = i->type;
    anl_status status = anl_scan_allocate(&bounds, false, reason);
    if (status != ANL_OK) {
        anl_shard_close(out);
        return status;
    }
    out->count = (int64_t)dims[0];
    char *values = NULL, *unit = NULL;
    long long bits = 8 * anl_voxel_bytes(i->type);
    if (!anl_hdf5_read_double(out->data, "scale", &i->scale) || !anl_hdf5_read_double(out->data, "offset", &i->offset) ||
        !anl_hdf5_read_int(out->data, "bits", &bits) || !anl_hdf5_read_text(out->data, "values", &values))
        return refuse(out, reason, "its `image` lacks one of the attributes scale, offset, bits, values");
    i->bits = (int)bits;
    int meaning = -1;
    for (size_t k = 0; k < ANL_COUNT(values_words); k++)
        if (!strcmp(values, values_words[k]))
            meaning = (int)k;
    free(values);
    if (meaning < 0 || !isfinite(i->scale) || !isfinite(i->offset) || bits < 1 || bits > 64)
        return refuse(out, reason, "the attributes of its `image` make no sense (scale, offset, bits or values)");
    i->values = (anl_values)meaning;
    if (i->values == ANL_VALUES_UNIT) {
        if (!anl_hdf5_read_text(out->data, "unit", &unit) || !unit[0] || strlen(unit) >= sizeof out->unit) {
            free(unit);
            return refuse(out, reason, "its `image` is measured in a unit that it does not name");
        }
        strcpy(out->unit, unit);
        free(unit);
    }
    i->unit = NULL; /* in out->unit: the struct may be copied */
    if (i->values == ANL_VALUES_RELATIVE) {
        status = read_table(out, "range", 2, &out->range, reason);
        if (status != ANL_OK)
            anl_shard_close(out);
    }
    return status;
}

anl_status anl_shard_open(const char *path, anl_shard *out, char reason[ANL_REASON_SIZE])
{
    *out = (anl_shard){.file = -1, .data = -1};
    errno = 0;
    out->file = anl_hdf5_open(path);
    if (out->file < 0)
        return fail(reason, errno == ENOENT || errno == EACCES ? ANL_ERROR_FILE : ANL_ERROR_FORMAT, "it cannot be opened");
    long long format;
    if (!anl_hdf5_read_int(out->file, "format", &format))
        return refuse(out, reason, "it is HDF5, but not a shard (no attribute `format`); shards are written by `anlage pack`");
    if (format != ANL_SHARD_FORMAT) {
        snprintf(reason, ANL_REASON_SIZE, "it has shard format %lld; this version reads %d", format, ANL_SHARD_FORMAT);
        anl_shard_close(out);
        return ANL_ERROR_FORMAT;
    }
    if (H5Lexists(out->file, "image", H5P_DEFAULT) <= 0)
        return refuse(out, reason, "it holds no `image`");
    anl_blosc_register();
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 0, 0, 0); /* samples come in random order: a cache would only copy */
    out->data = H5Dopen2(out->file, "image", access);
    H5Pclose(access);
    if (out->data < 0) {
        anl_status status = fail(reason, ANL_ERROR_FORMAT, "its images cannot be opened");
        anl_shard_close(out);
        return status;
    }
    if (needs_blosc(out->data))
        return refuse(out, reason, "its images are compressed by Blosc, and this program was built without libblosc; pack them with --deflate, or without");
    anl_status status = read_image_facts(out, reason);
    if (status == ANL_OK)
        prepare_direct(out, path);
    return status;
}

void anl_shard_close(anl_shard *shard)
{
    if (shard->data >= 0)
        H5Dclose(shard->data);
    if (shard->file >= 0)
        H5Fclose(shard->file);
    free(shard->range);
    free(shard->boxes);
    free(shard->places);
    anl_shard_file_release(&shard->past);
    *shard = (anl_shard){.file = -1, .data = -1};
}

anl_status anl_shard_read_image(const anl_shard *shard, int64_t sample, void *stored, char reason[ANL_REASON_SIZE])
{
    hsize_t start[5] = {(hsize_t)sample}, count[5];
    int rank = image_dims(&shard->image, 1, count);
    hid_t space = H5Dget_space(shard->data), memory = H5Screate_simple(rank, count, NULL);
    anl_status status = ANL_OK;
    if (space < 0 || memory < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(shard->data, memory_type(shard->image.type), memory, space, H5P_DEFAULT, stored) < 0)
        status = fail(reason, ANL_ERROR_FORMAT, "an image cannot be read");
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Sclose(memory);
    return status;
}

bool anl_shard_locate(anl_shard *shard, int64_t sample, anl_shard_place *out)
{
    if (!shard->past)
        return false;
    if (!shard->places)
        shard->places = calloc((size_t)shard->count, 2 * sizeof *shard->places);
    if (!shard->places)
        return false;
    uint64_t *known = &shard->places[2 * sample];
    if (known[1] == 0) {
        hsize_t offset[5] = {(hsize_t)sample}, length = 0;
        unsigned mask = 0;
        haddr_t address = HADDR_UNDEF;
        if (H5Dget_chunk_info_by_coord(shard->data, offset, &mask, &address, &length) < 0 || address == HADDR_UNDEF || mask != 0)
            return false; /* a chunk that was never written, or one that a filter left out: the library knows */
        if (length == 0 || (shard->filters == ANL_FILTERS_NONE && length != anl_shard_image_bytes(&shard->image)))
            return false;
        known[0] = address;
        known[1] = length;
    }
    atomic_fetch_add(&shard->past->keepers, 1);
    *out = (anl_shard_place){.file = shard->past, .filters = shard->filters, .address = known[0], .length = known[1]};
    return true;
}

void anl_shard_expect(const anl_shard_place *place)
{
    posix_fadvise(place->file->descriptor, (off_t)place->address, (off_t)place->length, POSIX_FADV_WILLNEED); /* advice: it may fail */
}

static anl_status read_bytes(const anl_shard_place *place, uint8_t *to, char *reason)
{
    for (uint64_t done = 0; done < place->length;) {
        ssize_t got = pread(place->file->descriptor, to + done, place->length - done, (off_t)(place->address + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "an image cannot be read: %s", got < 0 ? strerror(errno) : "the file ends early");
        done += (uint64_t)got;
    }
    return ANL_OK;
}

static bool inflate_whole(const uint8_t *packed, uint64_t length, uint8_t *plain, size_t bytes)
{
    uLongf made = (uLongf)bytes;
    return uncompress(plain, &made, packed, (uLong)length) == Z_OK && made == bytes;
}

static anl_status unpack_place(const anl_shard_image *image, const anl_shard_place *place, uint8_t *stored, char *reason)
{
    const size_t bytes = anl_shard_image_bytes(image), size = (size_t)anl_voxel_bytes(image->type);
    const bool shuffled = place->filters == ANL_FILTERS_SHUFFLE_DEFLATE && size > 1;
    uint8_t *packed = place->length <= ANL_SCAN_MAX_BYTES * 2 ? malloc(place->length) : NULL, *plain = shuffled ? malloc(bytes) : stored;
    anl_status status = packed && plain ? read_bytes(place, packed, reason) : anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for an image");
    if (status == ANL_OK && !(place->filters == ANL_FILTERS_BLOSC ? anl_blosc_unpack(packed, place->length, plain, bytes)
                                                                   : inflate_whole(packed, place->length, plain, bytes)))
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "an image cannot be read: its compressed bytes are damaged");
    if (status == ANL_OK && shuffled)
        shuffle(plain, stored, bytes / size, size, true);
    if (shuffled)
        free(plain);
    free(packed);
    return status;
}

anl_status anl_shard_read_place(const anl_shard_image *image, const anl_shard_place *place, void *stored, char reason[ANL_REASON_SIZE])
{
    return place->filters == ANL_FILTERS_NONE ? read_bytes(place, stored, reason) : unpack_place(image, place, stored, reason);
}

typedef struct name_list {
    anl_arena *arena;
    const char **names;
    int count, capacity;
} name_list;

static herr_t take_name(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group;
    (void)info;
    name_list *list = context;
    ANL_PUSH(list->arena, list->names, list->count, list->capacity, anl_arena_text(list->arena, name));
    return 0;
}

static anl_status list_columns(const anl_shard *shard, const char *group_name, anl_arena *arena, const char ***names, int *count, char *reason)
{
    *names = NULL;
    *count = 0;
    if (H5Lexists(shard->file, group_name, H5P_DEFAULT) <= 0)
        return ANL_OK;
    hid_t group = H5Gopen2(shard->file, group_name, H5P_DEFAULT);
    if (group < 0)
        return fail(reason, ANL_ERROR_FORMAT, "its labels cannot be opened");
    name_list list = {.arena = arena};
    char **ordered;
    size_t ordered_count;
    anl_status status = ANL_OK;
    if (anl_hdf5_read_texts(group, "columns", true, &ordered, &ordered_count)) {
        for (size_t i = 0; i < ordered_count; i++)
            ANL_PUSH(arena, list.names, list.count, list.capacity, anl_arena_text(arena, ordered[i]));
        free(ordered);
    } else if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, take_name, &list) < 0)
        status = fail(reason, ANL_ERROR_FORMAT, "its labels cannot be listed");
    H5Gclose(group);
    *names = list.names;
    *count = list.count;
    return status;
}

/* A column of a group, [count]. what: "label column", for people. */
static anl_status read_column(const anl_shard *shard, const char *group, const char *what, const char *name, int64_t count, double **values, char ***words,
                              size_t *word_count, char *reason)
{
    *values = NULL;
    *words = NULL;
    *word_count = 0;
    char path[1024];
    int length = snprintf(path, sizeof path, "%s/%s", group, name);
    if (length >= (int)sizeof path || H5Lexists(shard->file, group, H5P_DEFAULT) <= 0 || H5Lexists(shard->file, path, H5P_DEFAULT) <= 0) {
        snprintf(reason, ANL_REASON_SIZE, "it has no %s `%.200s`", what, name);
        return ANL_ERROR_FORMAT;
    }
    hid_t data = H5Dopen2(shard->file, path, H5P_DEFAULT);
    if (data < 0)
        return fail(reason, ANL_ERROR_FORMAT, "a label column cannot be opened");
    hid_t space = H5Dget_space(data), type = H5Dget_type(data);
    H5T_class_t class = H5Tget_class(type);
    bool one = H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_npoints(space) == count;
    H5Sclose(space);
    H5Tclose(type);
    anl_status status = ANL_OK;
    if (!one || (class != H5T_FLOAT && class != H5T_INTEGER)) {
        snprintf(reason, ANL_REASON_SIZE, "its %s `%.200s` is not one number for each", what, name);
        status = ANL_ERROR_FORMAT;
    } else {
        *values = malloc(sizeof(double) * (size_t)(count + 1));
        if (!*values) {
            snprintf(reason, ANL_REASON_SIZE, "no memory for a %s", what);
            status = ANL_ERROR_MEMORY;
        } else if (H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, *values) < 0)
            status = fail(reason, ANL_ERROR_FORMAT, "a label column cannot be read");
        else if (anl_hdf5_read_texts(data, "values", true, words, word_count)) {
            for (int64_t i = 0; i < count; i++) {
                if ((*values)[i] == -1)
                    (*values)[i] = NAN;
                else if (!((*values)[i] >= 0 && (*values)[i] < (double)*word_count)) {
                    snprintf(reason, ANL_REASON_SIZE, "its %s `%.200s` has a code without a word", what, name);
                    status = ANL_ERROR_FORMAT;
                    break;
                }
            }
        }
    }
    H5Dclose(data);
    if (status != ANL_OK) {
        free(*values);
        free(*words);
        *values = NULL;
        *words = NULL;
    }
    return status;
}

anl_status anl_shard_columns(const anl_shard *shard, anl_arena *arena, const char ***names, int *count,
                             char reason[ANL_REASON_SIZE])
{
    return list_columns(shard, "labels", arena, names, count, reason);
}

anl_status anl_shard_labels(const anl_shard *shard, const char *name, double **values, char ***words, size_t *word_count,
                            char reason[ANL_REASON_SIZE])
{
    return read_column(shard, "labels", "label column", name, shard->count, values, words, word_count, reason);
}

anl_status anl_shard_box_columns(const anl_shard *shard, anl_arena *arena, const char ***names, int *count, char reason[ANL_REASON_SIZE])
{
    return list_columns(shard, "boxes", arena, names, count, reason);
}

anl_status anl_shard_boxes(anl_shard *shard, const int64_t **first, char reason[ANL_REASON_SIZE])
{
    *first = shard->boxes;
    if (shard->boxes || H5Lexists(shard->file, "boxes", H5P_DEFAULT) <= 0)
        return ANL_OK;
    hid_t data = H5Lexists(shard->file, "boxes/sample", H5P_DEFAULT) > 0 ? H5Dopen2(shard->file, "boxes/sample", H5P_DEFAULT) : -1;
    hid_t space = data >= 0 ? H5Dget_space(data) : -1, type = data >= 0 ? H5Dget_type(data) : -1;
    const hssize_t boxes = space >= 0 && H5Sget_simple_extent_ndims(space) == 1 ? H5Sget_simple_extent_npoints(space) : -1;
    bool good = boxes >= 0 && boxes <= MOST_BOXES && H5Tget_class(type) == H5T_INTEGER;
    int64_t *samples = good ? malloc(sizeof *samples * (size_t)(boxes + 1)) : NULL, *ends = good ? calloc((size_t)shard->count + 1, sizeof *ends) : NULL;
    const bool memory = !good || (samples && ends);
    good = good && memory && H5Dread(data, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, samples) >= 0;
    for (int64_t b = 0; b < boxes && good; b++) {
        good = samples[b] >= (b > 0 ? samples[b - 1] : 0) && samples[b] < shard->count;
        if (good)
            ends[samples[b] + 1] = b + 1;
    }
    for (int64_t s = 1; s <= shard->count && good; s++)
        ends[s] = ends[s] > ends[s - 1] ? ends[s] : ends[s - 1];
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (data >= 0)
        H5Dclose(data);
    free(samples);
    if (good) {
        *first = shard->boxes = ends;
        return ANL_OK;
    }
    free(ends);
    return memory ? anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its boxes are not the number of a sample each, in order")
                  : anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for its boxes");
}

anl_status anl_shard_box_labels(anl_shard *shard, const char *name, double **values, char ***words, size_t *word_count, char reason[ANL_REASON_SIZE])
{
    const int64_t *first;
    *values = NULL;
    *words = NULL;
    anl_status status = anl_shard_boxes(shard, &first, reason);
    return status != ANL_OK ? status : read_column(shard, "boxes", "column of boxes", name, first ? first[shard->count] : 0, values, words, word_count, reason);
}

int anl_corner_axis(const char *column)
{
    return column[0] >= 'x' && column[0] <= 'z' && (column[1] == '0' || column[1] == '1') && !column[2] ? column[0] - 'x' : -1;
}

int anl_shard_corner(const anl_shard_image *image, const char *name, int *axis)
{
    const int sizes[] = {image->width, image->height, image->depth};
    *axis = anl_corner_axis(name);
    return *axis < 0 ? 0 : sizes[*axis];
}

anl_status anl_shard_patients(const anl_shard *shard, int64_t **rows, char ***names, size_t *name_count,
                              char reason[ANL_REASON_SIZE])
{
    *rows = NULL;
    *names = NULL;
    *name_count = 0;
    if (H5Lexists(shard->file, "patient", H5P_DEFAULT) <= 0)
        return ANL_OK;
    hid_t data = H5Dopen2(shard->file, "patient", H5P_DEFAULT);
    if (data < 0)
        return fail(reason, ANL_ERROR_FORMAT, "its patients cannot be opened");
    hid_t space = H5Dget_space(data), type = H5Dget_type(data);
    bool good = H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_npoints(space) == shard->count &&
                H5Tget_class(type) == H5T_INTEGER;
    H5Sclose(space);
    H5Tclose(type);
    *rows = good ? malloc(sizeof(int64_t) * (size_t)shard->count) : NULL;
    good = *rows && H5Dread(data, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, *rows) >= 0 &&
           anl_hdf5_read_texts(shard->file, "patients", false, names, name_count);
    for (int64_t i = 0; i < shard->count && good; i++)
        good = (*rows)[i] >= -1 && (*rows)[i] < (int64_t)*name_count;
    H5Dclose(data);
    if (!good) {
        free(*rows);
        free(*names);
        *rows = NULL;
        *names = NULL;
        snprintf(reason, ANL_REASON_SIZE, "its patients are not one row number of `patients` per sample");
        return ANL_ERROR_FORMAT;
    }
    return ANL_OK;
}

/* ---- for people ---- */

static void show_text_attribute(hid_t file, const char *name, FILE *out)
{
    char *text;
    if (anl_hdf5_read_text(file, name, &text)) {
        fprintf(out, "  %-10s %s\n", name, text);
        free(text);
    }
}

static void show_column(const char *name, const double *values, int64_t count, char **words, size_t word_count, FILE *out)
{
    int64_t known = 0;
    double low = INFINITY, high = -INFINITY, sum = 0;
    bool binary = true;
    for (int64_t i = 0; i < count; i++)
        if (!isnan(values[i])) {
            known++;
            sum += values[i];
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
            binary = binary && (values[i] == 0 || values[i] == 1);
        }
    fprintf(out, "  %-20s %8lld known %8lld missing  ", name, (long long)known, (long long)(count - known));
    if (words) {
        for (size_t w = 0; w < word_count && w < 8; w++) {
            int64_t n = 0;
            for (int64_t i = 0; i < count; i++)
                n += values[i] == (double)w;
            fprintf(out, "%s%s %lld", w > 0 ? ", " : "", words[w], (long long)n);
        }
        if (word_count > 8)
            fprintf(out, ", and %zu more words", word_count - 8);
        fputc('\n', out);
    } else if (known == 0)
        fprintf(out, "-\n");
    else if (binary)
        fprintf(out, "1 in %.0f (%.1f %%)\n", sum, 100 * sum / (double)known);
    else
        fprintf(out, "%g to %g, mean %.6g\n", low, high, sum / (double)known);
}

/* What a stored value means in the sample, as the recipe's graph is given it. */
void anl_shard_meaning(const anl_shard *shard, int64_t sample, double *factor, double *shift)
{
    const anl_shard_image *i = &shard->image;
    *factor = i->scale;
    *shift = i->offset;
    if (i->values != ANL_VALUES_RELATIVE)
        return;
    double low = shard->range[2 * sample], high = shard->range[2 * sample + 1];
    if (!isfinite(low) || !isfinite(high) || high <= low) /* all voxels are equal: all are 0 */
        high = low = isfinite(low) ? low : 0;
    double width = high > low ? high - low : 1;
    *factor /= width;
    *shift = (*shift - low) / width;
}

typedef struct sample_values {
    double low, high, mean, deviation;
    int64_t samples;
} sample_values;

/* A few samples, evenly spaced, are enough for an impression. */
static anl_status look_at_samples(const anl_shard *shard, int64_t most, sample_values *out, char *reason)
{
    enum { AT_ONCE = 4096 };
    double values[AT_ONCE];
    void *stored = malloc(anl_shard_image_bytes(&shard->image));
    anl_scan scan = anl_shard_scan(&shard->image, stored);
    const int64_t count = anl_scan_count(&scan);
    if (!stored) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for an image");
        return ANL_ERROR_MEMORY;
    }
    *out = (sample_values){.low = INFINITY, .high = -INFINITY, .samples = shard->count < most ? shard->count : most};
    double sum = 0, squares = 0;
    anl_status status = ANL_OK;
    for (int64_t k = 0; k < out->samples && status == ANL_OK; k++) {
        double factor, shift;
        status = anl_shard_read_image(shard, k * shard->count / out->samples, stored, reason);
        if (status != ANL_OK)
            break;
        anl_shard_meaning(shard, k * shard->count / out->samples, &factor, &shift);
        for (int64_t first = 0; first < count; first += AT_ONCE) {
            const int64_t n = count - first < AT_ONCE ? count - first : AT_ONCE;
            anl_scan_stored(&scan, first, n, values);
            for (int64_t i = 0; i < n; i++) {
                double v = values[i] * factor + shift;
                sum += v;
                squares += v * v;
                out->low = v < out->low ? v : out->low;
                out->high = v > out->high ? v : out->high;
            }
        }
    }
    free(stored);
    double n = (double)count * (double)out->samples, variance = squares / n - sum / n * (sum / n);
    out->mean = sum / n;
    out->deviation = sqrt(variance > 0 ? variance : 0);
    return status;
}

static const char *text_in(anl_arena *arena, hid_t object, const char *name)
{
    char *text;
    if (!anl_hdf5_read_text(object, name, &text))
        return NULL;
    const char *kept = anl_arena_text(arena, text);
    free(text);
    return kept;
}

static anl_status read_range(const anl_shard *shard, anl_shard_facts *out, char *reason)
{
    const anl_shard_image *i = &shard->image;
    double least, greatest;
    sample_values v;
    if (i->values == ANL_VALUES_RELATIVE) { /* by far the most lie between */
        out->low = 0;
        out->high = 1;
        return ANL_OK;
    }
    if (anl_hdf5_read_double(shard->data, "least", &least) && anl_hdf5_read_double(shard->data, "greatest", &greatest) &&
        isfinite(least) && isfinite(greatest)) {
        double a = least * i->scale + i->offset, b = greatest * i->scale + i->offset;
        out->low = a < b ? a : b;
        out->high = a < b ? b : a;
        return ANL_OK;
    }
    anl_status status = look_at_samples(shard, 8, &v, reason);
    out->low = v.low;
    out->high = v.high;
    return status;
}

static anl_status read_spacing(const anl_shard *shard, anl_shard_facts *out, char *reason)
{
    double *spacing;
    if (H5Lexists(shard->file, "spacing", H5P_DEFAULT) <= 0)
        return ANL_OK;
    anl_status status = read_table(shard, "spacing", 3, &spacing, reason);
    if (status != ANL_OK)
        return status;
    for (int64_t s = 0; s < shard->count; s++)
        for (int a = 0; a < 3; a++) {
            double mm = spacing[3 * s + a];
            if (!(mm > 0) || !isfinite(mm))
                continue;
            if (out->greatest_spacing[a] == 0 || mm < out->least_spacing[a])
                out->least_spacing[a] = mm;
            if (mm > out->greatest_spacing[a])
                out->greatest_spacing[a] = mm;
        }
    free(spacing);
    return ANL_OK;
}

anl_status anl_shard_read_facts(const anl_shard *shard, anl_arena *arena, anl_shard_facts *out, char reason[ANL_REASON_SIZE])
{
    *out = (anl_shard_facts){.split = text_in(arena, shard->file, "split"),
                             .modality = text_in(arena, shard->file, "modality"),
                             .photometric = text_in(arena, shard->data, "photometric"),
                             .rescale_slope = 1};
    anl_status status = read_range(shard, out, reason);
    if (status == ANL_OK)
        status = read_spacing(shard, out, reason);
    bool slope = anl_hdf5_read_double(shard->data, "rescale_slope", &out->rescale_slope),
         intercept = anl_hdf5_read_double(shard->data, "rescale_intercept", &out->rescale_intercept);
    out->rescale_known = slope || intercept;
    if (status == ANL_OK && (!isfinite(out->rescale_slope) || !isfinite(out->rescale_intercept))) {
        snprintf(reason, ANL_REASON_SIZE, "its rescale slope and intercept are no finite numbers");
        status = ANL_ERROR_FORMAT;
    }
    return status;
}

static anl_status show_images(const anl_shard *shard, FILE *out, char *reason)
{
    sample_values v;
    anl_status status = look_at_samples(shard, 32, &v, reason);
    if (status == ANL_OK)
        fprintf(out, "  values     %.4g to %.4g%s%s, mean %.4g, deviation %.4g (of %lld samples)\n", v.low, v.high,
                shard->image.values == ANL_VALUES_UNIT ? " " : "", shard->unit, v.mean, v.deviation, (long long)v.samples);
    return status;
}

static void show_facts(const anl_shard_facts *facts, FILE *out)
{
    static const char *const names[] = {"z", "y", "x"};
    if (facts->photometric)
        fprintf(out, "  grey       %s\n", facts->photometric);
    if (facts->rescale_known)
        fprintf(out, "  rescale    slope %g, intercept %g: not applied\n", facts->rescale_slope, facts->rescale_intercept);
    for (int a = 0, first = 1; a < 3; a++)
        if (facts->greatest_spacing[a] > 0) {
            fprintf(out, "%s%s %.4g", first ? "  spacing    " : ", ", names[a], facts->least_spacing[a]);
            if (facts->greatest_spacing[a] != facts->least_spacing[a])
                fprintf(out, " to %.4g", facts->greatest_spacing[a]);
            fputs(" mm", out);
            first = 0;
        }
    if (facts->greatest_spacing[2] > 0 || facts->greatest_spacing[1] > 0 || facts->greatest_spacing[0] > 0)
        fputc('\n', out);
    if (facts->modality) {
        const anl_modality *known = anl_modality_find(facts->modality);
        fprintf(out, "  modality   %s%s%s%s\n", facts->modality, known ? " (" : "", known ? known->doc : "", known ? ")" : "");
    }
}

static void show_image(const anl_shard *shard, FILE *out)
{
    const anl_shard_image *i = &shard->image;
    fprintf(out, "  image      ");
    if (i->volume)
        fprintf(out, "%d x ", i->depth);
    fprintf(out, "%d x %d, %d channel%s, %s", i->height, i->width, i->channels, i->channels == 1 ? "" : "s", anl_voxel_name(i->type));
    if (i->bits != 8 * anl_voxel_bytes(i->type))
        fprintf(out, " of %d bits", i->bits);
    switch (i->values) {
    case ANL_VALUES_FULL:
        fprintf(out, ", 0 black to 1 white\n");
        break;
    case ANL_VALUES_UNIT:
        fprintf(out, ", in %s (stored * %.9g %c %.9g)\n", shard->unit, i->scale, i->offset < 0 ? '-' : '+', fabs(i->offset));
        break;
    case ANL_VALUES_RELATIVE:
        fprintf(out, ", no fixed scale: 0 and 1 are the ends of each sample's own range\n");
        break;
    }
}

static anl_status show_boxes(anl_shard *shard, anl_arena *arena, FILE *out, char *reason)
{
    const int64_t *first;
    int64_t most = 0, with = 0;
    anl_status status = anl_shard_boxes(shard, &first, reason);
    if (status != ANL_OK || !first)
        return status;
    for (int64_t s = 0; s < shard->count; s++) {
        const int64_t count = first[s + 1] - first[s];
        most = count > most ? count : most;
        with += count > 0;
    }
    const int64_t boxes = first[shard->count];
    fprintf(out, "  boxes      %lld, in %lld of the samples, at most %lld in one\n", (long long)boxes, (long long)with, (long long)most);
    const char **columns;
    int column_count;
    status = anl_shard_box_columns(shard, arena, &columns, &column_count, reason);
    for (int c = 0; c < column_count && status == ANL_OK; c++) {
        double *values;
        char **words;
        size_t word_count;
        status = anl_shard_box_labels(shard, columns[c], &values, &words, &word_count, reason);
        if (status == ANL_OK)
            show_column(columns[c], values, boxes, words, word_count, out);
        free(values);
        free(words);
    }
    return status;
}

anl_status anl_shard_inspect(const char *path, FILE *out, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    anl_arena *arena = anl_arena_new();
    anl_hdf5_lock();
    anl_shard shard;
    anl_status status = anl_shard_open(path, &shard, reason);
    if (status == ANL_OK) {
        fprintf(out, "%s\n", path);
        fprintf(out, "  samples    %lld\n", (long long)shard.count);
        show_image(&shard, out);
        status = show_images(&shard, out, reason);
        anl_shard_facts facts;
        if (status == ANL_OK)
            status = anl_shard_read_facts(&shard, arena, &facts, reason);
        if (status == ANL_OK)
            show_facts(&facts, out);
        static const char *const texts[] = {"split", "tool", "seed", "options"};
        for (size_t i = 0; i < ANL_COUNT(texts); i++)
            show_text_attribute(shard.file, texts[i], out);
        int64_t *rows = NULL;
        char **names = NULL;
        size_t name_count = 0;
        if (status == ANL_OK)
            status = anl_shard_patients(&shard, &rows, &names, &name_count, reason);
        if (status == ANL_OK) {
            if (rows)
                fprintf(out, "  patients   %zu\n", name_count);
            else
                fprintf(out, "  patients   unknown\n");
        }
        free(rows);
        free(names);
        const char **columns = NULL;
        int column_count = 0;
        if (status == ANL_OK)
            status = anl_shard_columns(&shard, arena, &columns, &column_count, reason);
        fprintf(out, "  labels     %d\n", column_count);
        for (int c = 0; c < column_count && status == ANL_OK; c++) {
            double *values;
            char **words;
            size_t word_count;
            status = anl_shard_labels(&shard, columns[c], &values, &words, &word_count, reason);
            if (status == ANL_OK)
                show_column(columns[c], values, shard.count, words, word_count, out);
            free(values);
            free(words);
        }
        if (status == ANL_OK)
            status = show_boxes(&shard, arena, out, reason);
        anl_shard_close(&shard);
    }
    anl_hdf5_unlock();
    anl_arena_free(&arena);
    if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_shard_invalid, (anl_span){.file = path}, "cannot read the shard %s: %s", path, reason);
    return status;
}
