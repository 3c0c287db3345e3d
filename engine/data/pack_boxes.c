/* Boxes around what is to be found in images: from a table, in pixels of the files, to the samples of a pack.
 * In: boxes.csv, the entries of a pack. Out: for each sample the boxes that lie in it, in its pixels, and what the table says of them.
 * A box goes the way of its image: turned, cropped, resampled and padded with it, and cut off where the image is. */
#include "data/pack.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"

enum { MOST_PROBLEMS = 20 };
static const char *const low_names[] = {"x0", "y0", "z0"}, *const high_names[] = {"x1", "y1", "z1"};
static const char *const start_names[] = {"x", "y", "z"}, *const size_names[] = {"width", "height", "depth"};

/* The columns of the table that say where a box is; -1: it has none. */
typedef struct corners {
    int low[3], high[3], frame;
    bool sizes; /* high: how large it is, not where it ends */
    int axes;
} corners;

/* ---- the table ---- */

static anl_status find_corners(anl_pack_state *p, corners *c)
{
    const anl_csv *csv = &p->boxes.csv;
    c->frame = anl_csv_column(csv, "frame");
    c->sizes = anl_csv_column(csv, low_names[0]) < 0 && anl_csv_column(csv, start_names[0]) >= 0;
    bool whole = true;
    for (int a = 0; a < 3; a++) {
        c->low[a] = anl_csv_column(csv, c->sizes ? start_names[a] : low_names[a]);
        c->high[a] = anl_csv_column(csv, c->sizes ? size_names[a] : high_names[a]);
        if (a < 2 || c->low[a] >= 0 || c->high[a] >= 0)
            whole = whole && c->low[a] > 0 && c->high[a] > 0;
    }
    c->axes = c->low[2] > 0 ? 3 : 2;
    if (whole)
        return ANL_OK;
    anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_csv_span(&p->boxes.csv, -1), "the table does not say where its boxes are");
    anl_diagnostic_note(p->diagnostics, d, "its first column is the file; x0, y0, x1, y1 (volumes: z0, z1, too) or x, y, width, height (z, depth) are in pixels of it");
    return ANL_ERROR_FORMAT;
}

/* Where the box of a row is. *none: the row says that there is none, by cells that are all empty. False: it makes no sense, and problem says why (in
 * the arena). */
static bool read_box(const anl_pack_state *p, const corners *c, locale_t c_locale, int64_t row, bool *none, const char **problem)
{
    const anl_pack_boxes *b = &p->boxes;
    int empty = 0;
    for (int a = 0; a < 3; a++)
        b->low[row][a] = b->high[row][a] = NAN;
    for (int a = 0; a < c->axes; a++) {
        double ends[2];
        const int columns[2] = {c->low[a], c->high[a]};
        for (int end = 0; end < 2; end++) {
            const char *cell = anl_csv_cell(&b->csv, row, columns[end]);
            if (anl_pack_missing_word(cell)) {
                empty++;
                ends[end] = NAN;
            } else if (!anl_pack_take_number(cell, c_locale, &ends[end])) {
                *problem = anl_arena_printf(p->arena, "`%s` is `%.60s`, which is no number", b->csv.names[columns[end]], cell);
                return false;
            }
        }
        if (isnan(ends[0]) != isnan(ends[1])) {
            *problem = anl_arena_printf(p->arena, "`%s` and `%s` belong together, and one of them is missing", b->csv.names[columns[0]],
                                        b->csv.names[columns[1]]);
            return false;
        }
        b->low[row][a] = ends[0];
        b->high[row][a] = c->sizes ? ends[0] + ends[1] : ends[1];
        if (b->high[row][a] <= b->low[row][a]) {
            *problem = c->sizes ? anl_arena_printf(p->arena, "its %s is %g; it must be above 0", size_names[a], ends[1])
                                : anl_arena_printf(p->arena, "%s is %g and %s %g; a box ends behind where it begins", low_names[a], ends[0], high_names[a], ends[1]);
            return false;
        }
    }
    b->frame[row] = -1;
    double frame = -1;
    const char *cell = c->frame > 0 ? anl_csv_cell(&b->csv, row, c->frame) : "";
    if (cell[0] && (!anl_pack_take_number(cell, c_locale, &frame) || frame < 0 || frame != floor(frame) || frame > 1e9)) {
        *problem = anl_arena_printf(p->arena, "`frame` is `%.60s`; frames are counted from 0", cell);
        return false;
    }
    b->frame[row] = (int)frame;
    *none = empty == 2 * c->axes;
    if (!*none && isnan(b->low[row][0] + b->low[row][1])) {
        *problem = "it says where the box is along some axes, but not along x and y";
        return false;
    }
    return true;
}

/* The columns of the shards: the corners, then all that the table says of boxes beside them. */
static anl_status read_columns(anl_pack_state *p, const corners *c, locale_t c_locale)
{
    anl_pack_boxes *b = &p->boxes;
    b->columns = ANL_NEW_ARRAY(p->arena, anl_shard_column, b->csv.columns + 6);
    b->numbers = ANL_NEW_ARRAY(p->arena, double *, b->csv.columns + 6);
    b->axes = p->schema.image.volume ? 3 : 2;
    for (int end = 0; end < 2; end++)
        for (int a = 0; a < b->axes; a++)
            b->columns[b->column_count++] = (anl_shard_column){.name = end ? high_names[a] : low_names[a], .kind = ANL_COLUMN_NUMBER};
    anl_status status = ANL_OK;
    for (int k = 1; k < b->csv.columns; k++) {
        bool corner = k == c->frame;
        for (int a = 0; a < 3; a++)
            corner = corner || k == c->low[a] || k == c->high[a];
        if (corner)
            continue;
        const char *name = b->csv.names[k];
        if (!anl_pack_can_be_column(name) || !strcmp(name, "sample") || anl_corner_axis(name) >= 0) {
            anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_csv_span(&b->csv, -1),
                         "column %d is called `%.60s`; names of what is said of boxes have at most 200 bytes, no `/`, and are not sample, x0, y0, z0, x1, y1 or z1", k + 1,
                         name);
            status = ANL_ERROR_FORMAT;
            continue;
        }
        anl_pack_read_column(p, &b->csv, k, c_locale, &b->columns[b->column_count], &b->numbers[b->column_count]);
        if (b->columns[b->column_count].kind == ANL_COLUMN_TEXT) {
            anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_csv_span(&b->csv, -1), "column `%s` has too many different words to be told of boxes; leave it out", name);
            status = ANL_ERROR_FORMAT;
        }
        b->column_count++;
    }
    p->schema.box_columns = b->columns;
    p->schema.box_column_count = b->column_count;
    return status;
}

/* ---- which image a row is of ---- */

typedef struct place {
    int entry, slice; /* entry -1: several go by that name; slice: of a volume whose slices are files, or -1 */
} place;

static void name_entry(const anl_pack_state *p, anl_lookup *names, const char *name, int entry, int slice)
{
    place *at = anl_lookup_find(names, name);
    if (at) {
        at->entry = at->entry == entry ? entry : -1;
        return;
    }
    at = ANL_NEW(p->arena, place);
    *at = (place){entry, slice};
    anl_lookup_add(p->arena, names, name, at);
}

/* An image is known by the name that the pack or its table of labels has for it, and by its path; a volume by those of its slices, and by their
 * folder. */
static void name_entries(const anl_pack_state *p, anl_lookup *names)
{
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_entry *e = &p->entries[i];
        if (e->row >= 0 && e->member == 0)
            name_entry(p, names, anl_csv_cell(&p->csv, e->row, 0), i, -1);
        for (int z = 0; z < e->slice_count; z++)
            name_entry(p, names, e->slices[z], i, z);
        if (e->slices) {
            name_entry(p, names, anl_path_folder(p->arena, e->slices[0]), i, -1);
            name_entry(p, names, anl_path_folder(p->arena, e->file), i, -1);
        } else
            name_entry(p, names, e->file, i, -1);
        if (!e->slices && !e->array)
            name_entry(p, names, e->path, i, -1);
    }
}

static const place *find_place(const anl_pack_state *p, const anl_lookup *names, const char *file)
{
    const place *at = anl_lookup_find(names, file);
    if (!at)
        at = anl_lookup_find(names, anl_path_join(p->arena, anl_path_folder(p->arena, p->boxes.csv.path), file));
    for (int i = 0; i < p->options->input_count && !at; i++)
        at = anl_lookup_find(names, anl_path_join(p->arena, p->options->inputs[i], file));
    return at;
}

typedef struct claim {
    int entry;
    int64_t row;
} claim;

static int by_entry(const void *a, const void *b)
{
    const claim *x = a, *y = b;
    return x->entry != y->entry ? (x->entry < y->entry ? -1 : 1) : x->row < y->row ? -1 : x->row > y->row;
}

static void report(anl_pack_state *p, int *problems, int64_t row, const char *problem)
{
    if ((*problems)++ < MOST_PROBLEMS)
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_csv_span(&p->boxes.csv, row), "%s", problem);
}

anl_status anl_pack_read_boxes(anl_pack_state *p)
{
    anl_pack_boxes *b = &p->boxes;
    corners c;
    anl_status status = anl_csv_read(p->arena, p->options->boxes, p->diagnostics, &b->csv);
    if (status == ANL_OK)
        status = find_corners(p, &c);
    if (status != ANL_OK)
        return status;
    const int64_t rows = b->csv.rows;
    b->low = (double(*)[3])ANL_NEW_ARRAY(p->arena, double, 3 * rows + 1);
    b->high = (double(*)[3])ANL_NEW_ARRAY(p->arena, double, 3 * rows + 1);
    b->frame = ANL_NEW_ARRAY(p->arena, int, rows + 1);
    b->rows = ANL_NEW_ARRAY(p->arena, int64_t, rows + 1);
    b->firsts = ANL_NEW_ARRAY(p->arena, int64_t, p->entry_count + 1);
    claim *claims = ANL_NEW_ARRAY(p->arena, claim, rows + 1);
    anl_lookup names = {0};
    name_entries(p, &names);
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    int64_t count = 0;
    int problems = 0;
    for (int64_t r = 0; r < rows; r++) {
        const char *file = anl_csv_cell(&b->csv, r, 0), *problem = NULL;
        bool none = false;
        if (!file[0])
            problem = "this row names no file";
        else
            read_box(p, &c, c_locale, r, &none, &problem);
        const place *at = problem ? NULL : find_place(p, &names, file);
        if (!problem && !at) {
            b->first_unnamed = b->unnamed++ == 0 ? r : b->first_unnamed;
            continue;
        }
        if (!problem && at->entry < 0)
            problem = anl_arena_printf(p->arena, "several images go by the name %.200s; name a slice of the one that is meant", file);
        if (!problem && !none && at->slice >= 0) { /* it lies in that slice */
            b->low[r][2] = at->slice;
            b->high[r][2] = at->slice + 1;
        }
        if (!problem && !none && isnan(b->low[r][2]) && p->entries[at->entry].seen.depth > 1)
            problem = anl_arena_printf(p->arena, "%.200s has %d slices, and this row does not say by z0 and z1 in which of them the box lies", file,
                                       p->entries[at->entry].seen.depth);
        if (problem)
            report(p, &problems, r, problem);
        else if (!none)
            claims[count++] = (claim){at->entry, r};
    }
    status = read_columns(p, &c, c_locale);
    if (c_locale)
        freelocale(c_locale);
    if (problems > MOST_PROBLEMS)
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, (anl_span){.file = b->csv.path}, "%d more rows of %s make no sense", problems - MOST_PROBLEMS, b->csv.path);
    qsort(claims, (size_t)count, sizeof *claims, by_entry);
    for (int64_t i = 0, e = 0; e <= p->entry_count; e++) {
        while (i < count && claims[i].entry < e)
            i++;
        b->firsts[e] = i;
    }
    for (int64_t i = 0; i < count; i++)
        b->rows[i] = claims[i].row;
    return problems > 0 ? ANL_ERROR_FORMAT : status;
}

/* ---- into the samples ---- */

/* The box in voxels of the scan as it was read. */
static void turn_box(const anl_scan *scan, const int dims[3], double low[3], double high[3])
{
    const double was[2][3] = {{low[0], low[1], low[2]}, {high[0], high[1], high[2]}};
    for (int a = 0; a < 3; a++) {
        const int from = abs(scan->turned[a]) - 1;
        const bool back = scan->turned[a] < 0;
        low[a] = back ? dims[a] - was[1][from] : was[0][from];
        high[a] = back ? dims[a] - was[0][from] : was[1][from];
    }
}

anl_status anl_pack_place_boxes(const anl_pack_state *p, const anl_pack_entry *e, const anl_scan *scan, const anl_pack_way *way, anl_pack_result *r)
{
    const anl_pack_boxes *b = &p->boxes;
    const int64_t first = b->firsts[e - p->entries], end = b->firsts[e - p->entries + 1];
    const bool volume = p->schema.image.volume;
    const int slices = volume ? 1 : r->depth;
    int64_t capacity = 0;
    bool *somewhere = calloc((size_t)(end - first) + 1, sizeof *somewhere);
    r->box_ends = calloc((size_t)r->count, sizeof *r->box_ends);
    if (!somewhere || !r->box_ends) {
        free(somewhere);
        return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory for its boxes");
    }
    for (int k = 0; k < r->count; k++) {
        for (int64_t i = first; i < end; i++) {
            const int64_t row = b->rows[i];
            const int frame = k / slices, z = k % slices;
            anl_pack_box box = {.row = row};
            memcpy(box.low, b->low[row], sizeof box.low);
            memcpy(box.high, b->high[row], sizeof box.high);
            if (isnan(box.low[2])) {
                box.low[2] = 0;
                box.high[2] = 1;
            }
            turn_box(scan, way->dims, box.low, box.high);
            bool seen = b->frame[row] < 0 || b->frame[row] == frame;
            for (int a = 0; a < 3; a++) {
                box.low[a] -= way->cropped[a];
                box.high[a] -= way->cropped[a];
                if (a == 2 && !volume) { /* in the slices whose middle it holds, or, thinner, in the one that holds its own */
                    const double middle = floor((box.low[2] + box.high[2]) / 2);
                    seen = seen && ((box.low[2] <= z + 0.5 && z + 0.5 < box.high[2]) || middle == z);
                    continue;
                }
                const double scale = (double)way->shape[a] / way->kept[a], shift = way->at[a] - way->from[a];
                box.low[a] = fmax(box.low[a] * scale + shift, way->at[a]);
                box.high[a] = fmin(box.high[a] * scale + shift, way->at[a] + way->inner[a]);
                seen = seen && box.low[a] < box.high[a];
            }
            if (!seen)
                continue;
            if (r->box_count == capacity) {
                capacity = 2 * capacity + 8;
                anl_pack_box *more = realloc(r->boxes, sizeof *more * (size_t)capacity);
                if (!more) {
                    free(somewhere);
                    return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory for its boxes");
                }
                r->boxes = more;
            }
            r->boxes[r->box_count++] = box;
            somewhere[i - first] = true;
        }
        r->box_ends[k] = r->box_count;
    }
    for (int64_t i = first; i < end; i++)
        r->boxes_outside += !somewhere[i - first];
    free(somewhere);
    return ANL_OK;
}

void anl_pack_box_numbers(const anl_pack_state *p, const anl_pack_box *box, double *out)
{
    const anl_pack_boxes *b = &p->boxes;
    int c = 0;
    for (int a = 0; a < b->axes; a++)
        out[c++] = box->low[a];
    for (int a = 0; a < b->axes; a++)
        out[c++] = box->high[a];
    for (; c < b->column_count; c++)
        out[c] = b->numbers[c][box->row];
}

void anl_pack_judge_boxes(const anl_pack_state *p, int64_t outside)
{
    const anl_pack_boxes *b = &p->boxes;
    if (b->unnamed > 0) {
        anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_boxes_left_out, anl_csv_span(&b->csv, b->first_unnamed),
                                         "%lld row%s of boxes name%s an image that is not in the pack; the first is %.200s", (long long)b->unnamed,
                                         b->unnamed == 1 ? "" : "s", b->unnamed == 1 ? "s" : "", anl_csv_cell(&b->csv, b->first_unnamed, 0));
        anl_diagnostic_note(p->diagnostics, d, "images are named as in the table of labels, or relative to the table of boxes or to an input");
    }
    if (outside > 0)
        anl_diagnose(p->diagnostics, ANL_A_boxes_left_out, (anl_span){.file = b->csv.path},
                     "%lld box%s outside of what is packed of %s, and %s left out", (long long)outside, outside == 1 ? " lies" : "es lie",
                     outside == 1 ? "its image" : "their images", outside == 1 ? "is" : "are");
}
