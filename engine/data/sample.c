/* Samples of a data set: where each lies, and its bytes as float32 fields.
 * In: the number of a sample. Out: values and masks, from any thread.
 * In two steps, so that the library's lock is held for looking up only, and the disk can be told early what will be read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "data/set.h"

/* ---- values ---- */

typedef struct placing {
    const anl_set_field *field;
    double factor, shift;
    float *values;
} placing;

static void place_row(void *context, int z, int y, const double *row)
{
    const placing *p = context;
    const anl_set_field *f = p->field;
    float *to = p->values + (size_t)z * f->stride_z + (size_t)y * f->stride_y;
    for (int x = 0; x < f->x; x++)
        for (int c = 0; c < f->channel; c++) /* through double: 255 * (1/255) is exactly 1 */
            to[(size_t)x * f->stride_x + (size_t)c * f->stride_channel] =
                (float)(row[(size_t)x * (size_t)f->channel + (size_t)c] * p->factor + p->shift);
}

/* Whether the field's values lie as the shard's do. */
static bool same_order(const anl_set_field *f)
{
    return f->stride_channel == 1 ? f->stride_x == (size_t)f->channel && f->stride_y == f->stride_x * (size_t)f->x &&
                                        (!f->volume || f->stride_z == f->stride_y * (size_t)f->y)
                                  : f->channel == 1 && f->stride_x == 1 && f->stride_y == (size_t)f->x &&
                                        (!f->volume || f->stride_z == f->stride_y * (size_t)f->y);
}

/* Stored numbers to floats at the declared size and in the declared order. Outside the lock. */
static anl_status convert_image(placing *p, const anl_shard_image *image, void *stored)
{
    const anl_set_field *f = p->field;
    anl_scan scan = anl_shard_scan(image, stored);
    if (image->depth != f->z || image->height != f->y || image->width != f->x)
        return anl_scan_resample(&scan, 0, f->x, f->y, f->z, place_row, p);
    if (same_order(f) && anl_convert(image->type, stored, f->values, p->factor, p->shift, p->values))
        return ANL_OK;
    const int64_t values = (int64_t)f->x * f->channel;
    double *row = malloc(sizeof(double) * (size_t)values);
    if (!row)
        return ANL_ERROR_MEMORY;
    for (int z = 0; z < f->z; z++)
        for (int y = 0; y < f->y; y++) {
            anl_scan_stored(&scan, ((int64_t)z * f->y + y) * values, values, row);
            place_row(p, z, y, row);
        }
    free(row);
    return ANL_OK;
}

/* One label as the recipe sees it. False: missing. */
static bool take_label(const anl_set_field *f, double stored, float *value)
{
    bool missing = isnan(stored) || (f->declared.has_missing && (float)stored == (float)f->declared.missing);
    *value = missing ? 0 : (float)stored;
    return !missing;
}

static anl_status read_labels(const anl_set_field *f, const double *stored, bool known, float *values, float *mask,
                              anl_diagnostics *diagnostics, const char *path, int64_t at)
{
    bool all = true;
    if (f->one_hot)
        for (size_t i = 0; i < f->values; i++) {
            float code;
            bool here = take_label(f, stored[i / (size_t)f->word_count], &code);
            all = all && here;
            values[i] = here && known && i % (size_t)f->word_count == (size_t)code ? 1 : 0;
            if (mask)
                mask[i] = here && known ? 1 : 0;
        }
    else
        for (size_t i = 0; i < f->values; i++) {
            bool here = take_label(f, stored[i], &values[i]);
            all = all && here;
            if (!known)
                values[i] = 0;
            if (mask)
                mask[i] = here && known ? 1 : 0;
        }
    if (!all && !f->declared.has_mask && !f->declared.has_missing) {
        anl_diagnostic *problem =
            anl_diagnose(diagnostics, ANL_A_field_mismatch, f->declared.span, "sample %lld of %s has no label for the field `%s`",
                         (long long)at, path, f->declared.name);
        anl_diagnostic_note(diagnostics, problem,
                            "give the field `mask: NAME` and select with `where=NAME`, or leave such rows out of labels.csv");
        return ANL_ERROR_FORMAT;
    }
    return ANL_OK;
}

/* ---- locating ---- */

static int find_shard(const anl_dataset *d, int64_t raw)
{
    int low = 0, high = d->shard_count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (d->shards[middle].first <= raw)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

const char *anl_dataset_place(const anl_dataset *d, int64_t sample, int64_t *row)
{
    if (sample < 0 || sample >= d->count)
        return NULL;
    const int64_t raw = d->kept ? d->kept[sample] : sample;
    const int s = find_shard(d, raw);
    *row = raw - d->shards[s].first;
    return d->shards[s].path;
}

/* What the shard says of a sample in the columns of all fields. */
static void take_labels(const anl_dataset *d, const anl_set_handle *h, int64_t at, double *labels)
{
    int column = 0;
    for (int f = 0; f < d->field_count; f++) {
        const anl_set_field *field = &d->fields[f];
        const int64_t *boxes = field->boxes > 0 ? h->file.boxes : NULL;
        const int64_t first = boxes ? boxes[at] : 0, end = boxes ? boxes[at + 1] : 0;
        if (field->boxes == 0)
            for (int c = 0; c < field->column_count; c++)
                *labels++ = h->columns[column + c][at];
        for (int64_t b = first; b < first + field->boxes; b++)
            for (int c = 0; c < field->column_count; c++)
                *labels++ = b < end ? h->columns[column + c][b] : NAN;
        column += field->column_count;
    }
}

anl_status anl_set_locate(anl_dataset *d, int64_t sample, anl_located *l, anl_diagnostics *diagnostics)
{
    if (sample < 0 || sample >= d->count) {
        anl_diagnose(diagnostics, ANL_A_shard_invalid, d->span, "there is no sample %lld", (long long)sample);
        return ANL_ERROR_ARGUMENT;
    }
    *l = (anl_located){.raw = d->kept ? d->kept[sample] : sample, .labels = l->labels};
    l->shard = find_shard(d, l->raw);
    l->at = l->raw - d->shards[l->shard].first;
    char reason[ANL_REASON_SIZE];
    anl_set_handle *h;
    anl_hdf5_lock();
    anl_status status = anl_set_handle_of(d, l->shard, anl_set_shard_samples(d, l->shard), &h, reason);
    if (status == ANL_OK) {
        l->image = h->file.image;
        anl_shard_meaning(&h->file, l->at, &l->factor, &l->shift);
        take_labels(d, h, l->at, l->labels);
        if (d->has_image)
            anl_shard_locate(&h->file, l->at, &l->place);
    }
    anl_hdf5_unlock();
    if (status != ANL_OK) {
        char what[64];
        snprintf(what, sizeof what, "cannot read sample %lld of", (long long)l->at);
        anl_set_report(diagnostics, status, d->span, what, d->shards[l->shard].path, reason);
        return status;
    }
    if (!l->place.file)
        return ANL_OK;
    anl_shard_expect(&l->place);
    if (d->shard_count > d->most_open) { /* the shard may be closed before the sample is fetched, the file stays open */
        l->kept = atomic_fetch_add(&d->kept_files, 1) < d->most_kept;
        if (!l->kept) {
            atomic_fetch_sub(&d->kept_files, 1);
            anl_shard_file_release(&l->place.file);
        }
    }
    return ANL_OK;
}

void anl_set_let_go(anl_dataset *d, anl_located *l)
{
    anl_shard_file_release(&l->place.file);
    if (l->kept)
        atomic_fetch_sub(&d->kept_files, 1);
    l->kept = false;
}

/* ---- fetching ---- */

void anl_room_free(anl_room *room)
{
    free(room->bytes);
    *room = (anl_room){0};
}

static anl_status read_stored(anl_dataset *d, const anl_located *l, anl_room *room, char *reason)
{
    const size_t bytes = anl_shard_image_bytes(&l->image);
    if (room->size < bytes) {
        anl_room_free(room);
        room->bytes = malloc(bytes);
        if (!room->bytes) {
            snprintf(reason, ANL_REASON_SIZE, "no memory for an image");
            return ANL_ERROR_MEMORY;
        }
        room->size = bytes;
    }
    if (l->place.file)
        return anl_shard_read_place(&l->image, &l->place, room->bytes, reason);
    anl_set_handle *h;
    anl_shard_place place = {0};
    anl_hdf5_lock();
    anl_status status = anl_set_handle_of(d, l->shard, anl_set_shard_samples(d, l->shard), &h, reason);
    if (status == ANL_OK && !anl_shard_locate(&h->file, l->at, &place))
        status = anl_shard_read_image(&h->file, l->at, room->bytes, reason);
    anl_hdf5_unlock();
    if (place.file)
        status = anl_shard_read_place(&l->image, &place, room->bytes, reason);
    anl_shard_file_release(&place.file);
    return status;
}

anl_status anl_set_fetch(anl_dataset *d, const anl_located *l, anl_room *room, int field_index, float *values, float *mask,
                         anl_diagnostics *diagnostics)
{
    const anl_set_field *f = &d->fields[field_index];
    const char *path = d->shards[l->shard].path;
    char reason[ANL_REASON_SIZE];
    if (!f->image) {
        const double *labels = l->labels;
        for (int before = 0; before < field_index; before++)
            labels += anl_set_label_count(&d->fields[before]);
        return read_labels(f, labels, anl_set_known(d, l->raw), values, mask, diagnostics, path, l->at);
    }
    anl_status status = room->filled ? ANL_OK : read_stored(d, l, room, reason);
    if (status != ANL_OK) {
        char what[64];
        snprintf(what, sizeof what, "cannot read sample %lld of", (long long)l->at);
        anl_set_report(diagnostics, status, d->span, what, path, reason);
        return status;
    }
    room->filled = true;
    status = convert_image(&(placing){.field = f, .factor = l->factor, .shift = l->shift, .values = values}, &l->image, room->bytes);
    if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_device_memory, d->span, "not enough memory to resample sample %lld of %s", (long long)l->at,
                     path);
    for (size_t i = 0; mask && i < f->values; i++)
        mask[i] = 1;
    return status;
}

anl_status anl_dataset_read(anl_dataset *d, int64_t sample, int field_index, float *values, float *mask,
                            anl_diagnostics *diagnostics)
{
    if (field_index < 0 || field_index >= d->field_count) {
        anl_diagnose(diagnostics, ANL_A_shard_invalid, d->span, "there is no field %d", field_index);
        return ANL_ERROR_ARGUMENT;
    }
    anl_room room = {0};
    double few[16];
    anl_located located = {.labels = d->label_count > ANL_COUNT(few) ? anl_malloc(sizeof(double) * d->label_count) : few};
    anl_status status = anl_set_locate(d, sample, &located, diagnostics);
    if (status == ANL_OK)
        status = anl_set_fetch(d, &located, &room, field_index, values, mask, diagnostics);
    anl_set_let_go(d, &located);
    anl_room_free(&room);
    if (located.labels != few)
        free(located.labels);
    return status;
}
