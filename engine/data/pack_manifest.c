/* The manifest of a pack: what was packed, how, what became of each file, and how to tell later that the shards are still the same.
 * In: the state of a pack whose shards are finished. Out: JSON.
 * Nothing in it depends on time, place or threads. */
#include "data/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/json.h"

const char *anl_pack_shown(const anl_pack_state *p, const anl_pack_entry *e)
{
    if (!p->options->anonymous_files)
        return e->file;
    const long long number = (e->row >= 0 ? e->row : e - p->entries) + 1;
    return e->member > 0 ? anl_arena_printf(p->arena, "%06lld-%d", number, e->member) : anl_arena_printf(p->arena, "%06lld", number);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void write_options(const anl_pack_state *p, anl_json *json)
{
    const anl_pack_options *o = p->options;
    anl_json_integer(json, "width", o->size[0]);
    anl_json_integer(json, "height", o->size[1]);
    if (p->schema.image.volume)
        anl_json_integer(json, "depth", p->schema.image.depth);
    anl_json_string(json, "samples", p->schema.image.volume ? "volumes" : p->slices ? "slices" : "images");
    if (o->first_frame)
        anl_json_string(json, "frames", "the first of each file");
    if (o->crop_body)
        anl_json_string(json, "crop", anl_arena_printf(p->arena, "the body and %g %s around it", o->margin, o->margin_mm ? "mm" : "pixels"));
    if (o->spacing[0] > 0) {
        anl_json_array(json, "spacing");
        for (int a = p->schema.image.volume ? 2 : 1; a >= 0; a--)
            anl_json_number(json, NULL, o->spacing[a]);
        anl_json_array_end(json);
    }
    if (o->deflate > 0)
        anl_json_integer(json, "deflate", o->deflate);
    if (o->blosc > 0)
        anl_json_integer(json, "blosc", o->blosc);
    if (p->windowed) {
        anl_json_array(json, "window");
        anl_json_number(json, NULL, o->window[0]);
        anl_json_number(json, NULL, o->window[1]);
        anl_json_array_end(json);
    }
    anl_json_integer(json, "channels", o->channels);
    anl_json_number(json, "valid", o->fraction_valid);
    anl_json_number(json, "test", o->fraction_test);
    anl_json_integer(json, "shard_samples", o->shard_samples > 0 ? o->shard_samples : 1024);
    if (p->csv.columns > 0)
        anl_json_string(json, "labels", base_name(p->csv.path));
    if (p->boxes.csv.columns > 0)
        anl_json_string(json, "boxes", base_name(p->boxes.csv.path));
    if (p->patient_column >= 0)
        anl_json_string(json, "patient", p->csv.names[p->patient_column]);
    if (o->stratify)
        anl_json_string(json, "stratify", o->stratify);
    if (p->schema.has_patient)
        anl_json_string(json, "ids", o->keep_ids ? "as they are" : o->salt ? "hashes with a salt that was given" : "hashes with a salt that is kept nowhere");
    anl_json_string(json, "files", o->anonymous_files ? "by number" : "by name");
    anl_json_string(json, "duplicates", o->drop_duplicates ? "dropped" : "kept");
    anl_json_string(json, "resampling", "area average shrinking, linear growing, black around");
}

void anl_pack_options_text(const anl_pack_state *p, anl_text *text)
{
    anl_json json = {.text = text};
    anl_json_object(&json, NULL);
    write_options(p, &json);
    anl_json_object_end(&json);
}

static void write_splits(anl_json *json, const char *key, const int64_t counts[ANL_SPLITS])
{
    anl_json_object(json, key);
    for (int s = 0; s < ANL_SPLITS; s++)
        anl_json_integer(json, anl_split_names[s], counts[s]);
    anl_json_object_end(json);
}

/* Samples of each class and split; of other numbers, their ends. */
static void write_counts(const anl_pack_state *p, int column, anl_json *json)
{
    const anl_shard_column *c = &p->columns[column];
    double *values, least = INFINITY, greatest = -INFINITY;
    int count;
    const bool classes = anl_pack_classes(p, column, &values, &count);
    struct by_split {
        int64_t of[ANL_SPLITS];
    } *samples = ANL_NEW_ARRAY(p->arena, struct by_split, count + 1);
    int64_t missing[ANL_SPLITS] = {0};
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_entry *e = &p->entries[i];
        const int split = anl_pack_split_of(p, e);
        if (c->kind == ANL_COLUMN_TEXT) {
            missing[split] += anl_csv_cell(&p->csv, e->row, p->column_source[column])[0] ? 0 : e->samples;
            continue;
        }
        const double v = p->numbers[column][e->row];
        if (e->samples == 0)
            continue;
        if (isnan(v) || (c->kind == ANL_COLUMN_CODE && v < 0)) {
            missing[split] += e->samples;
            continue;
        }
        least = fmin(least, v);
        greatest = fmax(greatest, v);
        for (int k = 0; classes && k < count; k++)
            if (values[k] == v)
                samples[k].of[split] += e->samples;
    }
    if (classes) {
        anl_json_array(json, "counts");
        for (int k = 0; k < count; k++) {
            anl_json_object(json, NULL);
            if (c->kind == ANL_COLUMN_CODE)
                anl_json_string(json, "value", c->values[k]);
            else
                anl_json_number(json, "value", values[k]);
            for (int s = 0; s < ANL_SPLITS; s++)
                anl_json_integer(json, anl_split_names[s], samples[k].of[s]);
            anl_json_object_end(json);
        }
        anl_json_array_end(json);
    } else if (least <= greatest) {
        anl_json_number(json, "least", least);
        anl_json_number(json, "greatest", greatest);
    }
    write_splits(json, "missing", missing);
}

static void write_columns(const anl_pack_state *p, anl_json *json)
{
    anl_json_array(json, "columns");
    for (int c = 0; c < p->column_count; c++) {
        static const char *const kinds[] = {"number", "words", "text"};
        anl_json_object(json, NULL);
        anl_json_string(json, "name", p->columns[c].name);
        anl_json_string(json, "kind", kinds[p->columns[c].kind]);
        write_counts(p, c, json);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

static void write_boxes(const anl_pack_state *p, const anl_pack_report *report, anl_json *json)
{
    int64_t of[ANL_SPLITS] = {0};
    for (int i = 0; i < p->work.part_count; i++)
        of[p->work.parts[i].split] += p->work.parts[i].boxes;
    anl_json_object(json, "boxes");
    for (int s = 0; s < ANL_SPLITS; s++)
        anl_json_integer(json, anl_split_names[s], of[s]);
    anl_json_integer(json, "most", report->most_boxes);
    anl_json_integer(json, "outside", report->boxes_outside);
    anl_json_integer(json, "unnamed", p->boxes.unnamed);
    anl_json_array(json, "columns");
    for (int c = 0; c < p->boxes.column_count; c++)
        anl_json_string(json, NULL, p->boxes.columns[c].name);
    anl_json_array_end(json);
    anl_json_object_end(json);
}

static void write_histograms(const anl_pack_state *p, anl_json *json)
{
    anl_json_array(json, "histograms");
    for (int m = 0; m < p->modality_count; m++) {
        anl_histogram sum = {0};
        for (int i = 0; i < p->work.part_count; i++)
            anl_histogram_add(&sum, &p->work.parts[i].histograms[m]);
        if (anl_histogram_total(&sum) == 0)
            continue;
        anl_json_object(json, NULL);
        anl_json_string(json, "modality", p->modalities[m]);
        anl_json_number(json, "from", p->axis.from);
        anl_json_number(json, "to", p->axis.to);
        anl_json_string(json, "bins", p->axis.octaves ? "octaves" : "even");
        anl_json_integer(json, "below", sum.below);
        anl_json_integer(json, "above", sum.above);
        anl_json_array(json, "counts");
        json->pretty = false; /* 64 numbers on a line */
        for (int b = 0; b < ANL_HISTOGRAM_BINS; b++)
            anl_json_integer(json, NULL, sum.bins[b]);
        anl_json_array_end(json);
        json->pretty = true;
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the samples as they are stored, by file. */
static void write_spacing(const anl_pack_state *p, anl_json *json)
{
    double *found = ANL_NEW_ARRAY(p->arena, double, p->entry_count);
    anl_json_object(json, "spacing");
    for (int a = 2; a >= 0; a--) {
        static const char *const names[] = {"x", "y", "z"};
        int count = 0;
        for (int i = 0; i < p->entry_count; i++)
            if (p->entries[i].samples > 0 && p->entries[i].spacing[a] > 0)
                found[count++] = p->entries[i].spacing[a];
        if (count == 0)
            continue;
        qsort(found, (size_t)count, sizeof *found, by_number);
        anl_json_object(json, names[a]);
        anl_json_integer(json, "files", count);
        anl_json_number(json, "least", found[0]);
        anl_json_number(json, "median", found[count / 2]);
        anl_json_number(json, "greatest", found[count - 1]);
        anl_json_object_end(json);
    }
    anl_json_object_end(json);
}

static void write_groups(const anl_pack_state *p, const anl_pack_groups *groups, anl_json *json)
{
    anl_json_array(json, "identical");
    for (int g = 0, at = 0; g < groups->count; at = groups->ends[g++]) {
        anl_json_array(json, NULL);
        for (int i = at; i < groups->ends[g]; i++) {
            const anl_pack_entry *e = &p->entries[groups->entries[i]];
            anl_json_object(json, NULL);
            anl_json_string(json, "file", anl_pack_shown(p, e));
            anl_json_string(json, "split", anl_split_names[anl_pack_split_of(p, e)]);
            if (e->dropped)
                anl_json_bool(json, "dropped", true);
            anl_json_object_end(json);
        }
        anl_json_array_end(json);
    }
    anl_json_array_end(json);
}

static void write_shards(const anl_pack_state *p, anl_json *json)
{
    anl_json_array(json, "shards");
    for (int i = 0; i < p->work.part_count; i++) {
        const anl_pack_part *part = &p->work.parts[i];
        char hex[65];
        anl_hex(part->sha256, sizeof part->sha256, hex);
        anl_json_object(json, NULL);
        anl_json_string(json, "file", part->file);
        anl_json_string(json, "split", anl_split_names[part->split]);
        anl_json_integer(json, "samples", part->samples);
        anl_json_integer(json, "bytes", part->bytes);
        anl_json_string(json, "sha256", hex);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

/* How many files each volume was put together from, by the name that its sample has. */
static void write_series(const anl_pack_state *p, anl_json *json)
{
    anl_json_array(json, "series");
    for (int i = 0; i < p->entry_count; i++) {
        if (!p->entries[i].slices)
            continue;
        anl_json_object(json, NULL);
        anl_json_string(json, "file", anl_pack_shown(p, &p->entries[i]));
        anl_json_integer(json, "slices", p->entries[i].slice_count);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

static void write_skipped(const anl_pack_state *p, anl_json *json)
{
    anl_json_array(json, "skipped");
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_entry *e = &p->entries[i];
        if (!e->left)
            continue;
        anl_json_object(json, NULL);
        anl_json_string(json, "file", anl_pack_shown(p, e));
        anl_json_string(json, "reason", e->left);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

void anl_pack_manifest_text(const anl_pack_state *p, const anl_pack_report *report, const anl_pack_groups *groups, anl_text *text)
{
    const anl_shard_image *image = &p->schema.image;
    anl_json json = {.text = text, .pretty = true};
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->options->seed);
    anl_json_object(&json, NULL);
    anl_json_integer(&json, "format", ANL_SHARD_FORMAT);
    anl_json_string(&json, "tool", "anlage pack " ANL_VERSION);
    anl_json_string(&json, "seed", seed);
    anl_json_object(&json, "options");
    write_options(p, &json);
    anl_json_object_end(&json);
    anl_json_string(&json, "type", anl_voxel_name(image->type));
    anl_json_integer(&json, "bits", image->bits);
    anl_json_number(&json, "scale", image->scale);
    anl_json_number(&json, "offset", image->offset);
    anl_json_string(&json, "values", image->values == ANL_VALUES_FULL   ? "0 black to 1 white"
                                     : image->values == ANL_VALUES_UNIT ? image->unit
                                                                        : "relative to the range of each sample");
    if (p->depths[0] == p->depths[1])
        anl_json_string(&json, "depths", anl_arena_printf(p->arena, "%d-bit sources", p->depths[0]));
    else if (p->depths[1] > 0)
        anl_json_string(&json, "depths", anl_arena_printf(p->arena, "sources of %d to %d bits", p->depths[0], p->depths[1]));
    if (p->schema.modality)
        anl_json_string(&json, "modality", p->schema.modality);
    anl_json_integer(&json, "images", report->images);
    anl_json_integer(&json, "packed", report->packed);
    anl_json_integer(&json, "patients", report->patients);
    anl_json_integer(&json, "repeated", report->repeated);
    anl_json_integer(&json, "dropped", report->dropped);
    write_splits(&json, "samples", p->split_samples);
    write_columns(p, &json);
    if (p->boxes.csv.columns > 0)
        write_boxes(p, report, &json);
    write_histograms(p, &json);
    write_spacing(p, &json);
    write_shards(p, &json);
    write_groups(p, groups, &json);
    if (report->series > 0)
        write_series(p, &json);
    write_skipped(p, &json);
    anl_json_object_end(&json);
    anl_text_add(text, "\n");
}
