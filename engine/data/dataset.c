/* A set of shards as a data set: which shards, which columns, and samples as float32 fields.
 * In: a glob, the fields of a recipe. Out: values and masks of one field of one sample at a time, from any thread.
 * Shards are opened when a sample needs them; a bounded number stays open. A shard closed costs its name and two numbers. */
#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folders.h"
#include "data/manifest.h"
#include "data/set.h"

/* ---- shards and handles ---- */

static void close_handle(anl_dataset *d, anl_set_handle *h)
{
    if (h->shard < 0)
        return;
    d->shards[h->shard].handle = -1;
    for (int c = 0; c < d->total_columns; c++)
        free(h->columns[c]);
    free(h->columns);
    h->columns = NULL;
    anl_shard_close(&h->file);
    h->shard = -1;
}

static int word_at(const anl_set_field *f, const char *word)
{
    for (int w = 0; w < f->word_count; w++)
        if (!strcmp(f->words[w], word))
            return w;
    return -1;
}

/* The codes of one shard become the field's: shards of several sources have lists of words of their own. */
static bool take_words(const anl_set_field *f, char **words, size_t count, double *values, int64_t samples)
{
    if (!words || !f->words)
        return !words && !f->words;
    int *codes = anl_malloc(sizeof *codes * (count + 1));
    bool known = true;
    for (size_t w = 0; w < count; w++) {
        codes[w] = word_at(f, words[w]);
        known = known && codes[w] >= 0;
    }
    for (int64_t i = 0; i < samples && known; i++)
        if (!isnan(values[i]))
            values[i] = codes[(size_t)values[i]];
    free(codes);
    return known;
}

/* Corners in pixels become shares of the image. */
static void share_corners(const anl_shard *shard, const char *column, double *values, int64_t count)
{
    int axis;
    const int size = anl_shard_corner(&shard->image, column, &axis);
    for (int64_t i = 0; i < count && size > 0; i++)
        values[i] /= size;
}

/* A column that the shard's source does not have is missing in all of its samples, or boxes. */
static double *all_missing(int64_t samples)
{
    double *values = malloc(sizeof *values * (size_t)(samples + 1)); /* of no boxes, too, something */
    for (int64_t i = 0; values && i < samples; i++)
        values[i] = NAN;
    return values;
}

static anl_status check_image(const anl_set_field *f, const anl_shard *shard, char *reason)
{
    const anl_shard_image *i = &shard->image;
    const char *name = f->declared.name, *unit = f->declared.unit ? f->declared.unit : "";
    if (f->channel != i->channels)
        return anl_scan_refuse(reason, ANL_ERROR_SPEC,
                               "its images have %d channel%s, but `%s` declares %d; pack with --channels %d, or declare %d", i->channels,
                               i->channels == 1 ? "" : "s", name, f->channel, f->channel, i->channels);
    if (f->volume && !i->volume)
        return anl_scan_refuse(reason, ANL_ERROR_SPEC, "its samples are images, but `%s` declares an axis z; pack with --volumes, or leave z out",
                               name);
    if (!f->volume && i->volume)
        return anl_scan_refuse(reason, ANL_ERROR_SPEC,
                               "its samples are volumes of %d slices, but `%s` declares no axis z; declare it, or pack with --slices",
                               i->depth, name);
    if ((int64_t)f->y * i->width != (int64_t)f->x * i->height || (f->volume && (int64_t)f->z * i->height != (int64_t)f->y * i->depth)) {
        if (f->volume)
            return anl_scan_refuse(reason, ANL_ERROR_SPEC,
                                   "its volumes are %d x %d x %d (z, y, x), and %d x %d x %d has another shape; nothing is cropped or stretched",
                                   i->depth, i->height, i->width, f->z, f->y, f->x);
        return anl_scan_refuse(reason, ANL_ERROR_SPEC,
                               "its images are %d x %d (y, x), and %d x %d has another shape; nothing is cropped or stretched", i->height,
                               i->width, f->y, f->x);
    }
    if (i->values == ANL_VALUES_UNIT && strcmp(unit, shard->unit))
        return anl_scan_refuse(reason, ANL_ERROR_SPEC,
                               "its values are in %s, but `%s` %s%s; declare `unit: %s` and window in the graph, or pack with --window",
                               shard->unit, name, unit[0] ? "is declared in " : "declares no unit", unit, shard->unit);
    if (i->values != ANL_VALUES_UNIT && unit[0])
        return anl_scan_refuse(reason, ANL_ERROR_SPEC, "its values have no unit, but `%s` is declared in %s", name, unit);
    return ANL_OK;
}

static bool has_column(const anl_set_source *source, const anl_set_field *f, int column)
{
    return f->boxes > 0 ? anl_set_has_name(f->columns[column], source->box_names, source->box_name_count)
                        : anl_set_has_name(f->columns[column], source->names, source->name_count);
}

static anl_status read_column(anl_shard *shard, const anl_set_field *f, int column, double **values, char ***words, size_t *word_count, char *reason)
{
    return f->boxes > 0 ? anl_shard_box_labels(shard, f->columns[column], values, words, word_count, reason)
                        : anl_shard_labels(shard, f->columns[column], values, words, word_count, reason);
}

/* Opens a shard's file and reads what the fields need. Under the lock. */
static anl_status open_handle(anl_dataset *d, int s, int64_t expected, anl_set_handle *h, char *reason)
{
    const anl_set_source *source = &d->sources[d->shards[s].source];
    anl_status status = anl_shard_open(d->shards[s].path, &h->file, reason);
    if (status != ANL_OK)
        return status;
    h->columns = calloc((size_t)d->total_columns + 1, sizeof *h->columns);
    if (!h->columns) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for its labels");
        status = ANL_ERROR_MEMORY;
    }
    if (status == ANL_OK && expected >= 0 && h->file.count != expected) {
        snprintf(reason, ANL_REASON_SIZE, "it holds %lld samples where its manifest says %lld; it was changed after packing",
                 (long long)h->file.count, (long long)expected);
        status = ANL_ERROR_FORMAT;
    }
    const int64_t *boxes = NULL;
    if (status == ANL_OK && d->has_boxes)
        status = anl_shard_boxes(&h->file, &boxes, reason);
    int at = 0;
    for (int f = 0; f < d->field_count && status == ANL_OK; f++) {
        const anl_set_field *field = &d->fields[f];
        if (field->image)
            status = check_image(field, &h->file, reason);
        for (int c = 0; c < field->column_count && status == ANL_OK; c++, at++) {
            const int64_t count = field->boxes == 0 ? h->file.count : boxes ? boxes[h->file.count] : 0;
            if (!has_column(source, field, c)) {
                h->columns[at] = all_missing(count);
                if (!h->columns[at])
                    status = anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for its labels");
                continue;
            }
            char **words;
            size_t word_count;
            status = read_column(&h->file, field, c, &h->columns[at], &words, &word_count, reason);
            if (status == ANL_OK && field->boxes > 0)
                share_corners(&h->file, field->columns[c], h->columns[at], count);
            if (status == ANL_OK && !take_words(field, words, word_count, h->columns[at], count)) {
                snprintf(reason, ANL_REASON_SIZE, "its column `%.120s` has other words than the same column of the first shard",
                         field->columns[c]);
                status = ANL_ERROR_SPEC;
            }
            free(words);
        }
    }
    if (status != ANL_OK) {
        for (int c = 0; h->columns && c < d->total_columns; c++)
            free(h->columns[c]);
        free(h->columns);
        h->columns = NULL;
        anl_shard_close(&h->file);
        return status;
    }
    h->shard = s;
    d->shards[s].handle = (int)(h - d->handles);
    return ANL_OK;
}

int64_t anl_set_shard_samples(const anl_dataset *d, int s)
{
    return (s + 1 < d->shard_count ? d->shards[s + 1].first : d->raw_count) - d->shards[s].first;
}

anl_status anl_set_handle_of(anl_dataset *d, int s, int64_t expected, anl_set_handle **out, char *reason)
{
    anl_set_handle *h = NULL;
    if (d->shards[s].handle >= 0)
        h = &d->handles[d->shards[s].handle];
    else {
        for (int i = 0; i < d->most_open; i++) {
            anl_set_handle *candidate = &d->handles[i];
            if (candidate->shard < 0) {
                h = candidate;
                break;
            }
            if (!h || candidate->used < h->used)
                h = candidate;
        }
        close_handle(d, h);
        anl_status status = open_handle(d, s, expected, h, reason);
        if (status != ANL_OK)
            return status;
    }
    h->used = ++d->clock;
    *out = h;
    return ANL_OK;
}

/* ---- fields ---- */

static bool axis_is(const anl_field *f, int axis, const char *name) { return strcmp(f->axis[axis], name) == 0; }

static anl_status resolve_image(anl_set_field *f, anl_diagnostics *diagnostics)
{
    f->image = true;
    f->channel = f->z = 1;
    size_t stride = 1;
    for (int a = f->declared.rank - 1; a >= 0; a--) {
        int size = f->declared.size[a];
        if (axis_is(&f->declared, a, "channel")) {
            f->channel = size;
            f->stride_channel = stride;
        } else if (axis_is(&f->declared, a, "z")) {
            f->volume = true;
            f->z = size;
            f->stride_z = stride;
        } else if (axis_is(&f->declared, a, "y")) {
            f->y = size;
            f->stride_y = stride;
        } else if (axis_is(&f->declared, a, "x")) {
            f->x = size;
            f->stride_x = stride;
        } else {
            anl_diagnose(diagnostics, ANL_A_field_mismatch, f->declared.span,
                         "field `%s` has the axis `%s`; an image from shards has channel, z, y and x", f->declared.name,
                         f->declared.axis[a]);
            return ANL_ERROR_SPEC;
        }
        stride *= (size_t)size;
    }
    return ANL_OK;
}

void anl_set_suggest_column(anl_diagnostics *diagnostics, anl_diagnostic *problem, const char *word, const char **names, int count)
{
    const char *nearest = anl_nearest(word, names, count);
    if (nearest)
        anl_diagnostic_suggest(diagnostics, problem, "did you mean `%s`?", nearest);
    if (count == 0) {
        anl_diagnostic_note(diagnostics, problem, "the shards have no labels; pack with --labels labels.csv");
        return;
    }
    anl_text list = {0};
    for (int i = 0; i < count && i < 24; i++)
        anl_text_printf(&list, "%s`%s`", i > 0 ? ", " : "", names[i]);
    anl_diagnostic_note(diagnostics, problem, "the shards have the columns %s%s", list.data, count > 24 ? ", ..." : "");
    anl_text_free(&list);
}

bool anl_set_has_name(const char *name, const char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

void anl_set_report(anl_diagnostics *diagnostics, anl_status status, anl_span span, const char *what, const char *path,
                    const char *reason)
{
    bool field = status == ANL_ERROR_SPEC;
    anl_diagnostic *d =
        anl_diagnose(diagnostics, field ? ANL_A_field_mismatch : ANL_A_shard_invalid, span, "%s %s: %s", what, path, reason);
    if (!field)
        anl_diagnostic_note(diagnostics, d, "copy it anew, or pack the images again; `anlage inspect` says whether a shard can be read");
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The words of a column in all sources that have it, sorted; none where it holds numbers. first: the first shard of each source. */
static anl_status gather_words(anl_dataset *d, anl_set_field *f, int column, anl_shard *first, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    int capacity = 0, seen = 0;
    for (int s = 0; s < d->source_count; s++) {
        const anl_set_source *source = &d->sources[s];
        const char *path = d->shards[source->first_shard].path;
        if (!has_column(source, f, column))
            continue;
        double *values;
        char **words;
        size_t count;
        anl_status status = read_column(&first[s], f, column, &values, &words, &count, reason);
        if (status != ANL_OK) {
            anl_set_report(diagnostics, status, f->declared.span, "cannot read the labels of", path, reason);
            return status;
        }
        free(values);
        if (words && f->column_count > 1)
            anl_diagnose(diagnostics, ANL_A_field_mismatch, f->declared.span,
                         "column `%s` of the field `%s` holds words; among several columns all must hold numbers", f->columns[column],
                         f->declared.name);
        else if (seen++ && !words != !f->words)
            anl_diagnose(diagnostics, ANL_A_field_mismatch, f->declared.span,
                         "column `%s` of the field `%s` holds words in one source and numbers in another (%s)", f->columns[column],
                         f->declared.name, path);
        else {
            for (size_t w = 0; words && w < count; w++)
                if (word_at(f, words[w]) < 0)
                    ANL_PUSH(d->arena, f->words, f->word_count, capacity, anl_arena_text(d->arena, words[w]));
            free(words);
            continue;
        }
        free(words);
        return ANL_ERROR_SPEC;
    }
    if (f->word_count > 1)
        qsort(f->words, (size_t)f->word_count, sizeof *f->words, by_text);
    return ANL_OK;
}

/* A source without one of the columns: the field must be able to say so. */
static anl_status check_absent(const anl_dataset *d, const anl_set_field *f, anl_diagnostics *diagnostics)
{
    if (f->declared.has_mask || f->declared.has_missing)
        return ANL_OK;
    for (int s = 0; s < d->source_count; s++)
        for (int c = 0; c < f->column_count; c++)
            if (!has_column(&d->sources[s], f, c)) {
                anl_diagnostic *problem =
                    anl_diagnose(diagnostics, ANL_A_field_mismatch, f->declared.span, "the source `%s` has no column `%s` for the field `%s`",
                                 d->sources[s].name, f->columns[c], f->declared.name);
                anl_diagnostic_note(diagnostics, problem, "where labels may be missing, give the field `mask: NAME` and select with `where=NAME`");
                return ANL_ERROR_SPEC;
            }
    return ANL_OK;
}

/* Names in a list with commas become the field's columns. */
static void split_names(anl_dataset *d, anl_set_field *f, const char *list)
{
    int capacity = 0;
    size_t length;
    for (const char *name; (name = anl_list_next(&list, &length));)
        ANL_PUSH(d->arena, f->columns, f->column_count, capacity, anl_arena_copy(d->arena, name, length));
}

bool anl_field_boxes_fit(const anl_field *field, anl_diagnostics *diagnostics)
{
    if (field->rank != 1 && field->rank != 2)
        anl_diagnose(diagnostics, ANL_A_field_mismatch, field->span,
                     "field `%s` of boxes has %d axes; the first is as long as the most boxes that are read of an image, and a second may follow for what is said of each",
                     field->name, field->rank);
    else if (!field->has_mask && !field->has_missing) {
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, field->span,
                                               "images have different numbers of boxes, and the field `%s` cannot say which of its %d there are", field->name,
                                               field->size[0]);
        anl_diagnostic_note(diagnostics, problem, "give it `mask: NAME` and select with `where=NAME`");
    } else
        return true;
    return false;
}

static anl_status resolve_boxes(anl_set_field *f, anl_diagnostics *diagnostics)
{
    const anl_field *declared = &f->declared;
    if (declared->column)
        anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span, "field `%s` is of labels (`column:`) or of boxes (`boxes:`), not of both", declared->name);
    else if (anl_field_boxes_fit(declared, diagnostics)) {
        f->boxes = declared->size[0];
        return ANL_OK;
    }
    return ANL_ERROR_SPEC;
}

/* Finds the columns behind a field of labels or boxes in the sources; names: of all of them. Under the lock. */
static anl_status resolve_labels(anl_dataset *d, anl_set_field *f, anl_shard *first, const char **names, int name_count,
                                 anl_diagnostics *diagnostics)
{
    const char *where = d->source_count > 1 ? "any of the sources" : d->shards[0].path;
    const anl_field *declared = &f->declared;
    const int along = f->boxes > 0; /* the axis of columns or words */
    int capacity = 0;
    if (declared->rank > along + 1) {
        anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span, "label field `%s` has %d axes; it can have one or none",
                     declared->name, declared->rank);
        return ANL_ERROR_SPEC;
    }
    const bool axis = declared->rank == along + 1;
    int wanted = axis ? declared->size[along] : 1;
    if (declared->boxes || declared->column)
        split_names(d, f, declared->boxes ? declared->boxes : declared->column);
    else if (anl_set_has_name(declared->name, names, name_count))
        ANL_PUSH(d->arena, f->columns, f->column_count, capacity, declared->name);
    else {
        size_t length = strlen(declared->name);
        for (int i = 0; i < name_count; i++)
            if (strncmp(names[i], declared->name, length) == 0 && names[i][length] == '.')
                ANL_PUSH(d->arena, f->columns, f->column_count, capacity, names[i]);
    }
    if (f->boxes > 0 && name_count == 0) {
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span, "there are no boxes for the field `%s` in %s", declared->name, where);
        anl_diagnostic_note(diagnostics, problem, "pack with --boxes boxes.csv");
        return ANL_ERROR_SPEC;
    }
    if (f->column_count == 0) {
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span,
                                               "no column for the field `%s` in %s", declared->name, where);
        anl_set_suggest_column(diagnostics, problem, declared->name, names, name_count);
        return ANL_ERROR_SPEC;
    }
    for (int c = 0; c < f->column_count; c++)
        if (!anl_set_has_name(f->columns[c], names, name_count)) {
            anl_diagnostic *problem =
                anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span, "no column `%s`%s for the field `%s` in %s",
                             f->columns[c], f->boxes > 0 ? " of boxes" : "", declared->name, d->shards[0].path);
            anl_set_suggest_column(diagnostics, problem, f->columns[c], names, name_count);
            return ANL_ERROR_SPEC;
        }
    /* A column of words stands alone: as its code, or one-hot along an axis as long as its list of words. */
    anl_status status = check_absent(d, f, diagnostics);
    for (int c = 0; c < f->column_count && status == ANL_OK; c++)
        status = gather_words(d, f, c, first, diagnostics);
    if (status != ANL_OK)
        return status;
    if (f->words && axis && f->word_count == wanted)
        f->one_hot = true;
    else if (f->words && axis) {
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span,
                                               "field `%s` has %d along `%s`, but column `%s` has %d words", declared->name,
                                               wanted, declared->axis[along], f->columns[0], f->word_count);
        for (int w = 0; w < f->word_count && w < 16; w++)
            anl_diagnostic_note(diagnostics, problem, "word %d is `%s`", w, f->words[w]);
        return ANL_ERROR_SPEC;
    } else if (f->column_count != wanted) {
        anl_diagnostic *problem =
            anl_diagnose(diagnostics, ANL_A_field_mismatch, declared->span, "field `%s` needs %d column%s, but %d %s given",
                         declared->name, wanted, wanted == 1 ? "" : "s", f->column_count, f->column_count == 1 ? "is" : "are");
        anl_set_suggest_column(diagnostics, problem, declared->name, names, name_count);
        return ANL_ERROR_SPEC;
    }
    return ANL_OK;
}

static anl_status copy_fields(anl_dataset *d, const anl_field *fields, int count, anl_diagnostics *diagnostics)
{
    d->fields = ANL_NEW_ARRAY(d->arena, anl_set_field, count + 1);
    d->field_count = count;
    anl_status status = ANL_OK;
    for (int i = 0; i < count; i++) {
        anl_set_field *f = &d->fields[i];
        f->declared = fields[i];
        anl_field *to = &f->declared;
        to->name = anl_arena_text(d->arena, fields[i].name);
        to->column = fields[i].column ? anl_arena_text(d->arena, fields[i].column) : NULL;
        to->boxes = fields[i].boxes ? anl_arena_text(d->arena, fields[i].boxes) : NULL;
        to->unit = fields[i].unit ? anl_arena_text(d->arena, fields[i].unit) : NULL;
        if (to->span.file)
            to->span.file = anl_arena_text(d->arena, to->span.file);
        f->values = 1;
        bool has_y = false, has_x = false;
        if (to->rank < 0 || to->rank > 8) {
            anl_diagnose(diagnostics, ANL_A_field_mismatch, to->span, "field `%s` has %d axes", to->name, to->rank);
            return ANL_ERROR_SPEC;
        }
        for (int a = 0; a < to->rank; a++) {
            to->axis[a] = anl_arena_text(d->arena, fields[i].axis[a]);
            has_y = has_y || strcmp(to->axis[a], "y") == 0;
            has_x = has_x || strcmp(to->axis[a], "x") == 0;
            if (to->size[a] < 1 || (int64_t)f->values * to->size[a] > INT32_MAX) {
                anl_diagnose(diagnostics, ANL_A_field_mismatch, to->span,
                             "axis `%s` of the field `%s` has the impossible size %d", to->axis[a], to->name, to->size[a]);
                return ANL_ERROR_SPEC;
            }
            f->values *= (size_t)to->size[a];
        }
        if (to->boxes) {
            d->has_boxes = true;
            anl_status one = resolve_boxes(f, diagnostics);
            status = one == ANL_OK ? status : one;
        } else if (has_y && has_x) {
            d->has_image = true;
            anl_status one = resolve_image(f, diagnostics);
            status = one == ANL_OK ? status : one;
        } else if (strcmp(to->name, "image") == 0) {
            anl_diagnose(diagnostics, ANL_A_field_mismatch, to->span, "the field `image` needs the axes y and x");
            status = ANL_ERROR_SPEC;
        }
    }
    return status;
}

/* ---- opening ---- */

/* The paths that match a pattern, sorted by bytes whatever the locale. The caller calls globfree where it is ANL_OK. */
static anl_status find_shards(const char *folder, const char *source_pattern, anl_span span, anl_diagnostics *diagnostics, glob_t *found)
{
    anl_text pattern = {0};
    if (source_pattern[0] != '/' && folder && folder[0]) {
        for (const char *c = folder; *c; c++) { /* the folder is a name, not a pattern */
            if (strchr("*?[]{}\\~", *c))
                anl_text_add(&pattern, "\\");
            anl_text_addn(&pattern, c, 1);
        }
        anl_text_add(&pattern, "/");
    }
    anl_text_add(&pattern, source_pattern);
    errno = 0;
    int result = glob(pattern.data, GLOB_NOSORT | GLOB_BRACE, NULL, found);
    if (result != 0) {
        anl_diagnostic *problem =
            anl_diagnose(diagnostics, ANL_A_shard_missing, span, "no shard matches %s%s%s", pattern.data,
                         result == GLOB_NOMATCH ? "" : ": ", result == GLOB_NOMATCH ? "" : strerror(errno ? errno : EIO));
        anl_diagnostic_note(diagnostics, problem,
                            "shards are written by `anlage pack DIR --labels labels.csv --size N --out DIR`");
        if (result != GLOB_NOSPACE)
            globfree(found);
    } else
        qsort(found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, by_text);
    anl_text_free(&pattern);
    return result == 0 ? ANL_OK : ANL_ERROR_FILE;
}

/* All sources, and the shards of each; a set without sources is one of itself. */
static anl_status list_shards(anl_dataset *d, const anl_dataset_options *options, anl_diagnostics *diagnostics)
{
    const anl_dataset_source whole = {.name = "data", .pattern = options->pattern, .weight = 1, .span = options->span};
    const anl_dataset_source *sources = options->source_count > 0 ? options->sources : &whole;
    d->source_count = options->source_count > 0 ? options->source_count : 1;
    d->sources = ANL_NEW_ARRAY(d->arena, anl_set_source, d->source_count);
    if (d->source_count > d->most_open) {
        anl_diagnose(diagnostics, ANL_A_out_of_range, options->span, "a mixture of %d sources is too many; at most %d can be open at once",
                     d->source_count, d->most_open);
        return ANL_ERROR_LIMIT;
    }
    glob_t *found = anl_malloc(sizeof *found * (size_t)d->source_count);
    anl_status status = ANL_OK;
    int opened = 0;
    size_t total = 0;
    for (; opened < d->source_count && status == ANL_OK; opened++) {
        const anl_dataset_source *source = &sources[opened];
        d->sources[opened] = (anl_set_source){
            .name = anl_arena_text(d->arena, source->name), .span = source->span, .weight = source->weight, .first_shard = (int)total};
        if (!(source->weight > 0 && isfinite(source->weight))) {
            anl_diagnose(diagnostics, ANL_A_out_of_range, source->span, "the weight of the source `%s` is %g; it must be above 0", source->name,
                         source->weight);
            status = ANL_ERROR_SPEC;
            break;
        }
        status = find_shards(options->folder, source->pattern, source->span, diagnostics, &found[opened]);
        if (status != ANL_OK)
            break;
        total += found[opened].gl_pathc;
        d->sources[opened].shard_count = (int)found[opened].gl_pathc;
        if (total > INT32_MAX / 2) {
            anl_diagnose(diagnostics, ANL_A_out_of_range, source->span, "more than %d shards", INT32_MAX / 2);
            status = ANL_ERROR_LIMIT;
        }
    }
    if (status == ANL_OK)
        d->shards = ANL_NEW_ARRAY(d->arena, anl_set_shard, total);
    for (int s = 0; s < opened; s++) {
        for (size_t i = 0; i < found[s].gl_pathc && status == ANL_OK; i++)
            d->shards[d->shard_count++] =
                (anl_set_shard){.path = anl_arena_text(d->arena, found[s].gl_pathv[i]), .source = s, .handle = -1};
        globfree(&found[s]);
    }
    free(found);
    return status;
}

/* Names of columns of all sources, in the order in which they first come. */
typedef struct column_names {
    const char **list;
    int count, capacity;
} column_names;

static void add_names(anl_dataset *d, column_names *names, const char **more, int count)
{
    for (int i = 0; i < count; i++)
        if (!anl_set_has_name(more[i], names->list, names->count))
            ANL_PUSH(d->arena, names->list, names->count, names->capacity, more[i]);
}

/* Warns where an image has more boxes than fields have room for; first: the first shard of each source. Under the lock. */
static anl_status judge_boxes(const anl_dataset *d, anl_shard *first, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    int64_t most = 0;
    for (int s = 0; s < d->source_count; s++) {
        const int64_t *boxes;
        anl_status status = anl_shard_boxes(&first[s], &boxes, reason);
        if (status != ANL_OK) {
            anl_set_report(diagnostics, status, d->sources[s].span, "cannot read the boxes of", d->shards[d->sources[s].first_shard].path, reason);
            return status;
        }
        for (int64_t i = 0; i < first[s].count && boxes; i++)
            most = boxes[i + 1] - boxes[i] > most ? boxes[i + 1] - boxes[i] : most;
    }
    for (int f = 0; f < d->field_count; f++)
        if (d->fields[f].boxes > 0 && d->fields[f].boxes < most) {
            const anl_field *declared = &d->fields[f].declared;
            anl_diagnostic *problem =
                anl_diagnose(diagnostics, ANL_A_boxes_cut, declared->span, "an image has %lld boxes, and `%s` takes the first %d of each; the others are left out",
                             (long long)most, declared->name, d->fields[f].boxes);
            anl_diagnostic_suggest(diagnostics, problem, "%s: %lld", declared->axis[0], (long long)most);
        }
    return ANL_OK;
}

/* Opens the first shard of each source and resolves the columns of labels and boxes. Under the lock. */
static anl_status resolve_columns(anl_dataset *d, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    anl_shard *first = anl_malloc(sizeof *first * (size_t)d->source_count);
    column_names labels = {0}, boxes = {0};
    int opened = 0;
    anl_status status = ANL_OK;
    for (; opened < d->source_count && status == ANL_OK; opened++) {
        anl_set_source *source = &d->sources[opened];
        const char *path = d->shards[source->first_shard].path;
        status = anl_shard_open(path, &first[opened], reason);
        if (status != ANL_OK) {
            anl_set_report(diagnostics, status, source->span, "cannot read the shard", path, reason);
            break;
        }
        status = anl_shard_columns(&first[opened], d->arena, &source->names, &source->name_count, reason);
        if (status != ANL_OK)
            anl_set_report(diagnostics, status, source->span, "cannot read the shard", path, reason);
        else if (d->has_boxes && (status = anl_shard_box_columns(&first[opened], d->arena, &source->box_names, &source->box_name_count, reason)) != ANL_OK)
            anl_set_report(diagnostics, status, source->span, "cannot read the shard", path, reason);
        add_names(d, &labels, source->names, source->name_count);
        add_names(d, &boxes, source->box_names, source->box_name_count);
        size_t bytes = anl_shard_image_bytes(&first[opened].image);
        d->sample_bytes = bytes > d->sample_bytes ? bytes : d->sample_bytes;
    }
    bool good = status == ANL_OK;
    for (int f = 0; f < d->field_count && good; f++)
        if (!d->fields[f].image) {
            const column_names *names = d->fields[f].boxes > 0 ? &boxes : &labels;
            anl_status one = resolve_labels(d, &d->fields[f], first, names->list, names->count, diagnostics);
            if (one != ANL_OK)
                status = one; /* go on: all fields are reported in one go */
            d->total_columns += d->fields[f].column_count;
            d->label_count += anl_set_label_count(&d->fields[f]);
        }
    if (status == ANL_OK && d->has_boxes)
        status = judge_boxes(d, first, diagnostics);
    for (int s = 0; s < opened; s++)
        anl_shard_close(&first[s]);
    free(first);
    return status;
}

/* Number of samples of every shard: from the manifest beside it where that knows a file of just this size, else by opening it.
 * The first shard of every folder is opened in any case, and whatever is opened is checked against the fields. Under the lock. */
static anl_status count_samples(anl_dataset *d, anl_diagnostics *diagnostics)
{
    char reason[ANL_REASON_SIZE];
    anl_arena *arena = anl_arena_new(); /* manifests are needed only here */
    anl_manifest_shard *manifest = NULL;
    anl_lookup groups = {0};
    int manifest_count = 0;
    intptr_t group = 0;
    const char *folder = NULL;
    anl_status status = ANL_OK;
    int reported = 0;
    for (int s = 0; s < d->shard_count && reported < 20; s++) {
        anl_set_shard *entry = &d->shards[s];
        const char *slash = strrchr(entry->path, '/');
        size_t length = slash ? (size_t)(slash - entry->path) + 1 : 0;
        bool new_folder = !folder || strlen(folder) != length || strncmp(folder, entry->path, length) != 0;
        if (new_folder) {
            folder = anl_arena_copy(arena, entry->path, length);
            group = (intptr_t)anl_lookup_find(&groups, folder);
            if (!group) {
                group = groups.count + 1;
                anl_lookup_add(arena, &groups, folder, (void *)group);
            }
            manifest_count = 0;
            if (anl_manifest_read(arena, anl_arena_printf(arena, "%smanifest.json", folder), &manifest, &manifest_count) !=
                ANL_OK)
                manifest_count = 0;
        }
        entry->group = (int)group;
        entry->first = d->raw_count;
        const anl_manifest_shard *known = anl_manifest_find(manifest, manifest_count, entry->path + length);
        struct stat about;
        if (known && (stat(entry->path, &about) != 0 || about.st_size != known->bytes))
            known = NULL;
        int64_t samples = known ? known->samples : -1;
        if (new_folder || !known) {
            anl_set_handle *h;
            anl_status one = anl_set_handle_of(d, s, -1, &h, reason);
            if (one != ANL_OK) {
                anl_set_report(diagnostics, one, d->span, "cannot use the shard", entry->path, reason);
                status = status == ANL_OK ? one : status;
                reported++;
                continue;
            }
            samples = h->file.count;
        }
        d->raw_count += samples;
    }
    anl_arena_free(&arena);
    return status;
}

/* ---- patients and the label subset ---- */

typedef struct patient_table {
    const char **names;
    int *groups;
    int32_t *slots; /* open addressing, -1: free */
    int count, capacity, group_count, group_capacity;
    size_t slot_count;
} patient_table;

static int32_t find_patient(anl_arena *arena, patient_table *t, const char *name, int group)
{
    if ((size_t)t->count * 2 >= t->slot_count) {
        size_t slots = t->slot_count ? t->slot_count * 2 : 256;
        int32_t *fresh = anl_malloc(sizeof *fresh * slots);
        for (size_t i = 0; i < slots; i++)
            fresh[i] = -1;
        for (int p = 0; p < t->count; p++) {
            size_t at = anl_hash_text(t->names[p], (uint64_t)t->groups[p]) & (slots - 1);
            while (fresh[at] >= 0)
                at = (at + 1) & (slots - 1);
            fresh[at] = p;
        }
        free(t->slots);
        t->slots = fresh;
        t->slot_count = slots;
    }
    size_t at = anl_hash_text(name, (uint64_t)group) & (t->slot_count - 1);
    for (; t->slots[at] >= 0; at = (at + 1) & (t->slot_count - 1)) {
        int32_t p = t->slots[at];
        if (t->groups[p] == group && strcmp(t->names[p], name) == 0)
            return p;
    }
    t->slots[at] = t->count;
    ANL_PUSH(arena, t->groups, t->group_count, t->group_capacity, group);
    ANL_PUSH(arena, t->names, t->count, t->capacity, anl_arena_text(arena, name));
    return t->count - 1;
}

/* Loads the patient of every sample: four bytes each, so only where intervals or label subsets by patient need them.
 * The same name in two folders is two patients: packs number theirs apart. Under the lock. */
static anl_status load_patients(anl_dataset *d, const char ***names_out, anl_arena *arena, char *reason, const char **where)
{
    int32_t *patient_of = malloc(sizeof *patient_of * (size_t)d->raw_count);
    if (!patient_of) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for the patients of %lld samples", (long long)d->raw_count);
        *where = d->shards[0].path;
        return ANL_ERROR_MEMORY;
    }
    patient_table table = {0};
    anl_status status = ANL_OK;
    for (int s = 0; s < d->shard_count && status == ANL_OK; s++) {
        anl_set_handle *h;
        int64_t *rows = NULL;
        char **names = NULL;
        size_t name_count = 0;
        *where = d->shards[s].path;
        status = anl_set_handle_of(d, s, anl_set_shard_samples(d, s), &h, reason);
        if (status == ANL_OK)
            status = anl_shard_patients(&h->file, &rows, &names, &name_count, reason);
        if (status == ANL_OK) {
            int32_t *global = anl_malloc(sizeof *global * (name_count + 1));
            for (size_t i = 0; i < name_count; i++)
                global[i] = find_patient(arena, &table, names[i], d->shards[s].group);
            for (int64_t i = 0; i < h->file.count; i++)
                patient_of[d->shards[s].first + i] = rows && rows[i] >= 0 ? global[rows[i]] : -1;
            free(global);
        }
        free(rows);
        free(names);
    }
    free(table.slots);
    if (status != ANL_OK) {
        free(patient_of);
        return status;
    }
    d->patient_of = patient_of;
    d->patient_count = table.count;
    *names_out = table.names;
    return ANL_OK;
}

bool anl_set_known(const anl_dataset *d, int64_t raw)
{
    if (d->known_patient) {
        int32_t p = d->patient_of[raw];
        /* Samples without a patient draw alone, against the same share. */
        if (p >= 0)
            return d->known_patient[p];
    }
    return d->known_samples < 0 || anl_order(raw, d->raw_count, d->label_key) < d->known_samples;
}

typedef struct ranked {
    uint64_t hash;
    int patient;
} ranked;

static int by_hash(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : x->patient - y->patient;
}

static anl_status choose_labels(anl_dataset *d, const anl_dataset_options *options, anl_diagnostics *diagnostics)
{
    d->known_samples = -1;
    d->count = d->raw_count;
    if (options->label_fraction == 1)
        return ANL_OK;
    if (!(options->label_fraction > 0 && options->label_fraction < 1)) {
        anl_diagnose(diagnostics, ANL_A_out_of_range, options->span,
                     "the share of labels is %g; it must be above 0 and at most 1", options->label_fraction);
        return ANL_ERROR_SPEC;
    }
    if (!options->drop_unlabelled)
        for (int f = 0; f < d->field_count; f++)
            if (!d->fields[f].image && !d->fields[f].declared.has_mask) {
                anl_diagnose(diagnostics, ANL_A_field_mismatch, d->fields[f].declared.span,
                             "labels are to be dropped, but the field `%s` has no mask to say where; give it `mask: NAME`",
                             d->fields[f].declared.name);
                return ANL_ERROR_SPEC;
            }
    d->label_key = anl_hash("labels", 6, options->seed);
    /* At least one, so that a small share of a small set is not nothing. */
    d->known_samples = (int64_t)floor(options->label_fraction * (double)d->raw_count + 0.5);
    if (d->known_samples < 1)
        d->known_samples = 1;
    if (options->label_by_patient) {
        char reason[ANL_REASON_SIZE];
        const char *where = "", **names = NULL;
        anl_arena *arena = anl_arena_new();
        anl_hdf5_lock();
        anl_status status = load_patients(d, &names, arena, reason, &where);
        anl_hdf5_unlock();
        if (status != ANL_OK)
            anl_set_report(diagnostics, status, options->span, "cannot read the patients of", where, reason);
        else if (d->patient_count == 0)
            anl_diagnose(diagnostics, ANL_A_patients_unknown, options->span,
                         "labels are to be kept by patient, but the shards have no patients; they are kept by sample");
        else {
            /* The patients of the smallest hashes: an exact share, and the same patients whatever the order of shards. */
            ranked *ranks = anl_malloc(sizeof *ranks * (size_t)d->patient_count);
            d->known_patient = calloc((size_t)d->patient_count, 1);
            int64_t keep = (int64_t)floor(options->label_fraction * (double)d->patient_count + 0.5);
            if (!d->known_patient) {
                anl_diagnose(diagnostics, ANL_A_device_memory, options->span, "not enough memory for the choice of patients");
                status = ANL_ERROR_MEMORY;
            } else {
                for (int64_t p = 0; p < d->patient_count; p++)
                    ranks[p] = (ranked){.hash = anl_hash_text(names[p], d->label_key), .patient = (int)p};
                qsort(ranks, (size_t)d->patient_count, sizeof *ranks, by_hash);
                for (int64_t p = 0; p < (keep < 1 ? 1 : keep); p++)
                    d->known_patient[ranks[p].patient] = 1;
            }
            free(ranks);
        }
        anl_arena_free(&arena);
        if (status != ANL_OK)
            return status;
    }
    if (options->drop_unlabelled) {
        int64_t count = 0;
        for (int64_t i = 0; i < d->raw_count; i++)
            count += anl_set_known(d, i);
        d->kept = malloc(sizeof *d->kept * (size_t)(count > 0 ? count : 1));
        if (!d->kept) {
            anl_diagnose(diagnostics, ANL_A_device_memory, options->span, "not enough memory for the numbers of %lld samples",
                         (long long)count);
            return ANL_ERROR_MEMORY;
        }
        d->count = 0;
        for (int64_t i = 0; i < d->raw_count; i++)
            if (anl_set_known(d, i))
                d->kept[d->count++] = i;
    }
    return ANL_OK;
}

anl_status anl_dataset_open(const anl_dataset_options *options, const anl_field *fields, int field_count,
                            anl_diagnostics *diagnostics, anl_dataset **out)
{
    *out = NULL;
    anl_arena *arena = anl_arena_new();
    anl_dataset *d = ANL_NEW(arena, anl_dataset);
    d->arena = arena;
    d->span = options->span;
    if (d->span.file)
        d->span.file = anl_arena_text(arena, d->span.file);
    /* A quarter of the descriptors this process may have, at most: a recipe reads several sets. */
    long descriptors = sysconf(_SC_OPEN_MAX);
    d->most_kept = descriptors > 0 && descriptors < 4 * ANL_MOST_KEPT ? (int)(descriptors / 4) : ANL_MOST_KEPT;
    d->most_open = descriptors > 0 && descriptors / 4 < ANL_MOST_OPEN ? (int)(descriptors / 4) : ANL_MOST_OPEN;
    if (d->most_open < 1)
        d->most_open = 1;
    for (int i = 0; i < ANL_MOST_OPEN; i++)
        d->handles[i].shard = -1;
    anl_status status = copy_fields(d, fields, field_count, diagnostics);
    if (status == ANL_OK)
        status = list_shards(d, options, diagnostics);
    if (status == ANL_OK) {
        anl_hdf5_lock();
        status = resolve_columns(d, diagnostics);
        if (status == ANL_OK)
            status = count_samples(d, diagnostics);
        anl_hdf5_unlock();
    }
    if (status == ANL_OK)
        status = choose_labels(d, options, diagnostics);
    if (status == ANL_OK)
        status = anl_set_stratify(d, options, diagnostics);
    if (status == ANL_OK)
        *out = d;
    else
        anl_dataset_free(&d);
    return status;
}

void anl_dataset_free(anl_dataset **dataset)
{
    anl_dataset *d = *dataset;
    if (!d)
        return;
    anl_hdf5_lock();
    for (int i = 0; i < ANL_MOST_OPEN; i++)
        close_handle(d, &d->handles[i]);
    anl_hdf5_unlock();
    free(d->kept);
    free(d->members);
    free(d->known_patient);
    free(d->patient_of);
    anl_arena *arena = d->arena;
    anl_arena_free(&arena);
    *dataset = NULL;
}

int64_t anl_dataset_count(const anl_dataset *dataset) { return dataset->count; }

const char *anl_dataset_shard(const anl_dataset *dataset, int index)
{
    return index >= 0 && index < dataset->shard_count ? dataset->shards[index].path : NULL;
}

int anl_dataset_field_count(const anl_dataset *dataset) { return dataset->field_count; }

const anl_field *anl_dataset_field(const anl_dataset *dataset, int field)
{
    return field >= 0 && field < dataset->field_count ? &dataset->fields[field].declared : NULL;
}

int64_t anl_dataset_patient(anl_dataset *d, int64_t sample)
{
    if (sample < 0 || sample >= d->count)
        return -1;
    int64_t raw = d->kept ? d->kept[sample] : sample;
    anl_hdf5_lock();
    anl_status status = ANL_OK;
    if (!d->patient_of) {
        char reason[ANL_REASON_SIZE];
        const char *where, **names;
        anl_arena *arena = anl_arena_new();
        status = load_patients(d, &names, arena, reason, &where);
        anl_arena_free(&arena);
    }
    int64_t patient = status != ANL_OK ? -1 : d->patient_of[raw] >= 0 ? d->patient_of[raw] : d->patient_count + raw;
    anl_hdf5_unlock();
    return patient;
}

const char *anl_dataset_column(const anl_dataset *dataset, int field_index, int index)
{
    if (field_index < 0 || field_index >= dataset->field_count)
        return NULL;
    const anl_set_field *f = &dataset->fields[field_index];
    if (f->one_hot)
        return index >= 0 && index < f->word_count ? f->words[index] : NULL;
    return index >= 0 && index < f->column_count ? f->columns[index] : NULL;
}
