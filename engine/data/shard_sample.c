/* One sample of a shard, for people: its image with the meaning of its values, and all that the shard says of it.
 * In: a shard and the number of a sample in it. Out: voxels, file, labels, boxes, spacing, unit, range.
 * Opens the shard anew for each: for a handful of samples, not for training. */
#include "data/shard_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const anl_span nowhere;

enum { AT_ONCE = 4096, MOST_BOXES = 1000 }; /* voxels on the stack; boxes of one sample */

/* The text of one row of a data set of strings; "" where there is none. */
static const char *row_text(const anl_shard *shard, const char *name, int64_t row, anl_arena *arena)
{
    char **texts = NULL;
    size_t count = 0;
    const char *text = "";
    if (H5Lexists(shard->file, name, H5P_DEFAULT) > 0 && anl_hdf5_read_texts(shard->file, name, false, &texts, &count) &&
        (uint64_t)row < count)
        text = anl_arena_text(arena, texts[row]);
    free(texts);
    return text;
}

static bool read_spacing(const anl_shard *shard, int64_t row, double spacing[3])
{
    if (H5Lexists(shard->file, "spacing", H5P_DEFAULT) <= 0)
        return true;
    hid_t data = H5Dopen2(shard->file, "spacing", H5P_DEFAULT);
    hid_t space = data >= 0 ? H5Dget_space(data) : -1;
    hsize_t dims[2] = {0}, one[2] = {1, 3}, start[2] = {(hsize_t)row, 0};
    double zyx[3];
    bool good = space >= 0 && H5Sget_simple_extent_ndims(space) == 2 && H5Sget_simple_extent_dims(space, dims, NULL) == 2 &&
                dims[0] == (hsize_t)shard->count && dims[1] == 3;
    hid_t memory = good ? H5Screate_simple(2, one, NULL) : -1;
    good = good && memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, one, NULL) >= 0 &&
           H5Dread(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, zyx) >= 0;
    for (int i = 0; i < 3 && good; i++)
        spacing[i] = zyx[2 - i];
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
    if (data >= 0)
        H5Dclose(data);
    return good;
}

static void say_label(anl_text *text, const char *name, double value, char **words)
{
    if (isnan(value))
        return;
    anl_text_printf(text, "%s%s ", text->length ? ", " : "", name);
    if (words)
        anl_text_add(text, words[(size_t)value]);
    else
        anl_text_printf(text, "%.6g", value);
}

static anl_status read_labels(const anl_shard *shard, int64_t row, anl_arena *arena, const char **out, char *reason)
{
    const char **names;
    int count;
    anl_text text = {0};
    anl_status status = anl_shard_columns(shard, arena, &names, &count, reason);
    for (int i = 0; i < count && status == ANL_OK; i++) {
        double *values;
        char **words;
        size_t word_count;
        status = anl_shard_labels(shard, names[i], &values, &words, &word_count, reason);
        if (status != ANL_OK)
            break;
        say_label(&text, names[i], values[row], words);
        free(values);
        free(words);
    }
    *out = anl_arena_text(arena, text.data ? text.data : "");
    anl_text_free(&text);
    return status;
}

static anl_status read_boxes(anl_shard *shard, int64_t row, anl_arena *arena, anl_sample *out, char *reason)
{
    const int64_t *first;
    const char **names;
    int count;
    anl_status status = anl_shard_boxes(shard, &first, reason);
    if (status != ANL_OK || !first)
        return status;
    const int64_t begin = first[row];
    const int boxes = first[row + 1] - begin < MOST_BOXES ? (int)(first[row + 1] - begin) : MOST_BOXES;
    out->boxes = ANL_NEW_ARRAY(arena, anl_sample_box, boxes + 1);
    anl_text *texts = ANL_NEW_ARRAY(arena, anl_text, boxes + 1);
    for (int b = 0; b < boxes; b++)
        out->boxes[b].high[2] = 1; /* of images, which have no corners along z */
    status = anl_shard_box_columns(shard, arena, &names, &count, reason);
    for (int i = 0; i < count && status == ANL_OK; i++) {
        double *values;
        char **words;
        size_t word_count;
        int axis;
        status = anl_shard_box_labels(shard, names[i], &values, &words, &word_count, reason);
        const bool corner = anl_shard_corner(&shard->image, names[i], &axis) > 0;
        for (int b = 0; b < boxes && status == ANL_OK; b++)
            if (corner)
                *(names[i][1] == '0' ? &out->boxes[b].low[axis] : &out->boxes[b].high[axis]) = values[begin + b];
            else
                say_label(&texts[b], names[i], values[begin + b], words);
        free(values);
        free(words);
    }
    for (int b = 0; b < boxes; b++) {
        out->boxes[b].labels = anl_arena_text(arena, texts[b].data ? texts[b].data : "");
        anl_text_free(&texts[b]);
    }
    out->box_count = boxes;
    return status;
}

/* Under the lock. */
static anl_status read_all(anl_shard *shard, int64_t row, anl_arena *arena, anl_sample *out, char *reason)
{
    out->image = shard->image;
    out->unit = anl_arena_text(arena, shard->unit);
    out->file = row_text(shard, "file", row, arena);
    if (shard->range)
        memcpy(out->range, shard->range + 2 * row, sizeof out->range);
    char *modality = NULL;
    out->modality = "";
    if (H5Aexists(shard->file, "modality") > 0 && anl_hdf5_read_text(shard->file, "modality", &modality))
        out->modality = anl_arena_text(arena, modality);
    free(modality);
    anl_status status = read_labels(shard, row, arena, &out->labels, reason);
    if (status == ANL_OK)
        status = read_boxes(shard, row, arena, out, reason);
    if (status == ANL_OK && !read_spacing(shard, row, out->spacing)) {
        snprintf(reason, ANL_REASON_SIZE, "its `spacing` is not [samples, 3] of numbers");
        status = ANL_ERROR_FORMAT;
    }
    const anl_shard_image *i = &shard->image;
    const int64_t count = (int64_t)i->depth * i->height * i->width * i->channels;
    void *stored = status == ANL_OK ? malloc(anl_shard_image_bytes(i)) : NULL;
    out->voxels = status == ANL_OK ? malloc(sizeof *out->voxels * (size_t)count) : NULL;
    if (status == ANL_OK && (!stored || !out->voxels)) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for sample %lld", (long long)row);
        status = ANL_ERROR_MEMORY;
    }
    if (status == ANL_OK)
        status = anl_shard_read_image(shard, row, stored, reason);
    if (status == ANL_OK) {
        double factor, shift;
        anl_shard_meaning(shard, row, &factor, &shift);
        const anl_scan scan = anl_shard_scan(i, stored);
        double some[AT_ONCE];
        for (int64_t first = 0; first < count; first += AT_ONCE) {
            const int64_t n = count - first < AT_ONCE ? count - first : AT_ONCE;
            anl_scan_stored(&scan, first, n, some);
            for (int64_t k = 0; k < n; k++)
                out->voxels[first + k] = (float)(some[k] * factor + shift);
        }
    }
    free(stored);
    return status;
}

anl_status anl_sample_read(const char *path, int64_t row, anl_arena *arena, anl_sample *out, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    anl_shard shard;
    *out = (anl_sample){0};
    anl_hdf5_lock();
    anl_status status = anl_shard_open(path, &shard, reason);
    if (status == ANL_OK) {
        status = row >= 0 && row < shard.count ? read_all(&shard, row, arena, out, reason) : ANL_ERROR_ARGUMENT;
        if (status == ANL_ERROR_ARGUMENT)
            snprintf(reason, sizeof reason, "it holds no sample %lld", (long long)row);
        anl_shard_close(&shard);
    }
    anl_hdf5_unlock();
    if (status != ANL_OK) {
        anl_sample_free(out);
        anl_diagnose(diagnostics, status == ANL_ERROR_MEMORY ? ANL_A_device_memory : ANL_A_shard_invalid, nowhere,
                     "sample %lld of %s cannot be read: %s", (long long)row, path, reason);
    }
    return status;
}

void anl_sample_free(anl_sample *sample)
{
    free(sample->voxels);
    sample->voxels = NULL;
}
