/* Volumes whose slices lie in files of their own: which files make one, in which order, and how they are read.
 * In: entries of a pack with the headers of single slices. Out: one entry for each volume, in place of its files.
 * Files of one series that face the same way, of the same size and spacing, are one volume; their order is that of their places along the normal, whatever
 * their names and numbers. Steps may differ by a tenth of the usual one (anl_series_steps): a volume with a slice missing or there twice is refused. */
#include "data/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"
#include "data/orient.h"
#include "data/series.h"

#define SAME_DIRECTION 1e-3 /* of unit vectors, along each axis */
#define SAME_SPACING 1e-3   /* a share of it */

bool anl_pack_is_slice(const anl_scan *s)
{
    return s->depth == 1 && s->frames == 1 && s->series[0] && s->oriented && isfinite(s->position) && !s->segmentation;
}

/* ---- which files ---- */

static int order(int a, int b) { return (a > b) - (a < b); }

/* What must be the same to the letter. */
static int compare_kinds(const anl_scan *a, const anl_scan *b)
{
    int by = strcmp(a->series, b->series);
    by = by ? by : strcmp(a->patient, b->patient);
    by = by ? by : strcmp(a->unit, b->unit);
    by = by ? by : order(a->width, b->width);
    by = by ? by : order(a->height, b->height);
    return by ? by : order(a->channels, b->channels);
}

static void direction_of(const anl_scan *s, int axis, double out[3])
{
    const double length = sqrt(s->affine[0][axis] * s->affine[0][axis] + s->affine[1][axis] * s->affine[1][axis] + s->affine[2][axis] * s->affine[2][axis]);
    for (int i = 0; i < 3; i++)
        out[i] = length > 0 ? s->affine[i][axis] / length : 0;
}

static bool lie_alike(const anl_scan *a, const anl_scan *b)
{
    for (int axis = 0; axis < 2; axis++) {
        double one[3], other[3];
        direction_of(a, axis, one);
        direction_of(b, axis, other);
        for (int i = 0; i < 3; i++)
            if (!(fabs(one[i] - other[i]) <= SAME_DIRECTION))
                return false;
        if (!(fabs(a->spacing[axis] - b->spacing[axis]) <= SAME_SPACING * a->spacing[axis]))
            return false;
    }
    return true;
}

static void position_of(const anl_scan *s, double out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = s->affine[i][3];
}

static void normal_of(const anl_scan *s, double out[3])
{
    double x[3], y[3];
    direction_of(s, 0, x);
    direction_of(s, 1, y);
    for (int i = 0; i < 3; i++)
        out[i] = x[(i + 1) % 3] * y[(i + 2) % 3] - x[(i + 2) % 3] * y[(i + 1) % 3];
}

typedef struct member {
    const anl_scan *slice;
    int entry, group; /* group: the member of the same kind that it lies alike with, the first of them */
} member;

static int by_kind(const void *a, const void *b)
{
    const member *x = a, *y = b;
    const int kind = compare_kinds(x->slice, y->slice);
    return kind ? kind : order(x->entry, y->entry);
}

static int by_group(const void *a, const void *b)
{
    const member *x = a, *y = b;
    const int group = order(x->group, y->group);
    return group ? group : order(x->entry, y->entry);
}

/* Members of one volume one behind the other; returns how many of `members` there are. */
static int group_slices(const anl_pack_state *p, member *members)
{
    int count = 0;
    for (int i = 0; i < p->entry_count; i++)
        if (p->entries[i].slice)
            members[count++] = (member){.slice = p->entries[i].slice, .entry = i};
    qsort(members, (size_t)count, sizeof *members, by_kind);
    int *firsts = anl_malloc(sizeof *firsts * ((size_t)count + 1));
    for (int from = 0, to; from < count; from = to) {
        int groups = 0;
        for (to = from; to < count && compare_kinds(members[from].slice, members[to].slice) == 0; to++) {
            int g = 0;
            while (g < groups && !lie_alike(members[firsts[g]].slice, members[to].slice))
                g++;
            if (g == groups)
                firsts[groups++] = to;
            members[to].group = firsts[g];
        }
    }
    free(firsts);
    qsort(members, (size_t)count, sizeof *members, by_group);
    return count;
}

/* ---- one volume ---- */

/* Slices whose values are scaled apart, as of PET, come to one scale as float32. */
static void join_values(anl_pack_seen *all, const anl_scan *slice)
{
    const bool same = all->type == slice->type && all->slope == slice->slope && all->intercept == slice->intercept;
    all->bits = slice->bits > all->bits ? slice->bits : all->bits;
    if (same)
        return;
    all->type = ANL_VOXEL_F32;
    all->bits = 32;
    all->slope = 1;
    all->intercept = 0;
}

/* The order of the slices, from the feet up as nearly as they lie so, or why they make no volume (in the arena). */
static const char *order_slices(const anl_pack_state *p, const member *members, int count, int *sorted)
{
    double(*positions)[3] = anl_malloc(sizeof *positions * (size_t)count), (*ordered)[3] = anl_malloc(sizeof *ordered * (size_t)count);
    double normal[3], step[3];
    char reason[ANL_REASON_SIZE];
    const char *refused = NULL;
    for (int i = 0; i < count; i++)
        position_of(members[i].slice, positions[i]);
    normal_of(members[0].slice, normal);
    anl_series_sort((const double(*)[3])positions, normal, count, sorted);
    for (int i = 0; i < count; i++)
        memcpy(ordered[i], positions[sorted[i]], sizeof ordered[i]);
    for (int i = 1; i < count && !refused; i++)
        if (anl_series_apart(ordered[i - 1], ordered[i], normal) <= ANL_SERIES_SAME)
            refused = anl_arena_printf(p->arena,
                                       "two of its %d slices lie at one place, %s and %s: a copy, or another echo or time; leave one out, or say --slices to pack all one by one",
                                       count, p->entries[members[sorted[i - 1]].entry].file, p->entries[members[sorted[i]].entry].file);
    if (!refused && anl_series_steps((const double(*)[3])ordered, count, step, reason) != ANL_OK)
        refused = anl_arena_printf(p->arena, "%s; --slices packs those that are there one by one", reason);
    free(positions);
    free(ordered);
    return refused;
}

/* Rows that name slices of one volume must say the same of them. */
static anl_status check_row(anl_pack_state *p, int64_t first, int64_t other)
{
    for (int c = 1; c < p->csv.columns; c++) {
        const char *a = anl_csv_cell(&p->csv, first, c), *b = anl_csv_cell(&p->csv, other, c);
        if (strcmp(a, b) == 0)
            continue;
        anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, other),
                                         "`%s` is `%s` of %s and `%s` of %s, but both are slices of one volume", p->csv.names[c], b,
                                         anl_csv_cell(&p->csv, other, 0), a, anl_csv_cell(&p->csv, first, 0));
        anl_diagnostic_label(p->diagnostics, d, anl_pack_at_row(p, first), "another slice of it is listed here");
        anl_diagnostic_suggest(p->diagnostics, d, "say --slices to make each slice a sample with labels of its own");
        return ANL_ERROR_FORMAT;
    }
    return ANL_OK;
}

/* The first of the entries becomes that of the volume; the others are marked as parts of it. */
static anl_status make_volume(anl_pack_state *p, const member *members, int count)
{
    int64_t row = -1;
    int keeper = -1; /* of those that were asked for, the first */
    for (int i = 0; i < count; i++) {
        anl_pack_entry *e = &p->entries[members[i].entry];
        if (e->beside)
            continue;
        keeper = keeper < 0 ? i : keeper;
        if (row < 0)
            row = e->row;
        else if (e->row >= 0 && e->row != row && check_row(p, row, e->row) != ANL_OK)
            return ANL_ERROR_FORMAT;
    }
    if (keeper < 0)
        return ANL_OK; /* all of them only lay beside files that were asked for */
    int *sorted = anl_malloc(sizeof *sorted * (size_t)count);
    const char *refused = order_slices(p, members, count, sorted);
    const char **paths = ANL_NEW_ARRAY(p->arena, const char *, count);
    anl_pack_seen seen = p->entries[members[sorted[0]].entry].seen;
    for (int i = 0; i < count; i++) {
        anl_pack_entry *e = &p->entries[members[sorted[i]].entry];
        paths[i] = e->path;
        join_values(&seen, e->slice);
        e->part = true;
    }
    seen.depth = count;
    anl_pack_entry *volume = &p->entries[members[keeper].entry];
    const anl_pack_entry *first = &p->entries[members[sorted[0]].entry];
    if (volume->row < 0 || !volume->named) { /* what the table names keeps that name */
        volume->path = first->path;
        volume->file = first->file;
    }
    volume->row = row;
    volume->seen = seen;
    volume->slices = paths;
    volume->slice_count = count;
    volume->refused = refused;
    volume->part = false;
    free(sorted);
    return ANL_OK;
}

/* Files of one row of the table, where it names a folder, are told apart by their number in it. */
static void number_members(anl_pack_state *p)
{
    for (int from = 0, to; from < p->entry_count; from = to) {
        for (to = from + 1; to < p->entry_count && p->entries[from].row >= 0 && p->entries[to].row == p->entries[from].row;)
            to++;
        for (int i = from; i < to && to > from + 1; i++)
            p->entries[i].member = i - from + 1;
    }
}

anl_status anl_pack_gather(anl_pack_state *p)
{
    member *members = anl_malloc(sizeof *members * ((size_t)p->entry_count + 1));
    const int count = group_slices(p, members);
    anl_status status = ANL_OK;
    for (int from = 0, to; from < count && status == ANL_OK; from = to) {
        for (to = from + 1; to < count && members[to].group == members[from].group;)
            to++;
        if (to > from + 1)
            status = make_volume(p, members + from, to - from);
    }
    free(members);
    int kept = 0;
    for (int i = 0; i < p->entry_count; i++) {
        free(p->entries[i].slice);
        p->entries[i].slice = NULL;
        if (!p->entries[i].part && !p->entries[i].beside)
            p->entries[kept++] = p->entries[i];
    }
    p->entry_count = kept;
    number_members(p);
    return status;
}

/* ---- the rest of a series of which the table names a slice ---- */

static const char *identity(const anl_pack_state *p, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return NULL;
    return anl_arena_printf(p->arena, "%llx:%llx", (unsigned long long)about.st_dev, (unsigned long long)about.st_ino);
}

anl_status anl_pack_add_beside(anl_pack_state *p)
{
    anl_lookup folders = {0}, known = {0};
    const int named = p->entry_count;
    for (int i = 0; i < named; i++) {
        const char *file = identity(p, p->entries[i].path);
        if (file && !anl_lookup_find(&known, file))
            anl_lookup_add(p->arena, &known, file, p /* it is there */);
    }
    for (int i = 0; i < named; i++) {
        const anl_pack_entry e = p->entries[i];
        const char *folder = e.slice && e.named ? anl_path_folder(p->arena, e.path) : NULL;
        if (!folder || anl_lookup_find(&folders, folder))
            continue;
        anl_lookup_add(p->arena, &folders, folder, p);
        const char **names, *shown = anl_path_folder(p->arena, e.file);
        int count;
        anl_status status = anl_pack_list(p, folder, &names, &count);
        if (status != ANL_OK)
            return status;
        for (int k = 0; k < count; k++) {
            const char *path = anl_path_join(p->arena, folder, names[k]), *file = identity(p, path);
            if (!file || anl_lookup_find(&known, file) || !anl_pack_looks_like_image(names[k], path))
                continue;
            anl_lookup_add(p->arena, &known, file, p);
            const anl_pack_entry beside = {.path = path, .file = anl_path_join(p->arena, shown, names[k]), .row = -1, .beside = true};
            ANL_PUSH(p->arena, p->entries, p->entry_count, p->entry_capacity, beside);
        }
    }
    return ANL_OK;
}

/* ---- reading ---- */

static void copy_slice(const anl_scan *slice, int z, anl_scan *volume)
{
    const int64_t count = anl_scan_count(slice);
    if (volume->type == slice->type && volume->slope == slice->slope && volume->intercept == slice->intercept) {
        const size_t bytes = (size_t)count * (size_t)anl_voxel_bytes(slice->type);
        memcpy((uint8_t *)volume->voxels + bytes * (size_t)z, slice->voxels, bytes);
        return;
    }
    float *to = (float *)volume->voxels + count * z; /* see join_values */
    double values[512];
    for (int64_t at = 0; at < count; at += (int64_t)ANL_COUNT(values)) {
        const int64_t part = count - at < (int64_t)ANL_COUNT(values) ? count - at : (int64_t)ANL_COUNT(values);
        anl_scan_stored(slice, at, part, values);
        for (int64_t k = 0; k < part; k++)
            to[at + k] = (float)(values[k] * slice->slope + slice->intercept);
    }
}

static anl_status changed(char *reason) { return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its files change while they are read"); }

static anl_status read_slices(const anl_pack_entry *e, double (*positions)[3], anl_scan *out, char *reason)
{
    for (int z = 0; z < e->slice_count; z++) {
        anl_scan slice;
        char why[ANL_REASON_SIZE];
        anl_status status = anl_scan_decode(e->slices[z], &slice, why);
        if (status != ANL_OK) {
            const char *name = strrchr(e->slices[z], '/');
            return anl_scan_refuse(reason, status, "of its slice %.100s: %.200s", name ? name + 1 : e->slices[z], why);
        }
        if (z == 0) {
            *out = slice;
            out->voxels = NULL;
            out->depth = e->slice_count;
            out->type = e->seen.type;
            out->bits = e->seen.bits;
            out->slope = e->seen.slope;
            out->intercept = e->seen.intercept;
            status = anl_scan_allocate(out, true, reason);
        }
        if (status == ANL_OK && (!anl_pack_is_slice(&slice) || compare_kinds(out, &slice) || !lie_alike(out, &slice)))
            status = changed(reason);
        if (status == ANL_OK && out->type != ANL_VOXEL_F32 &&
            (slice.type != out->type || slice.slope != out->slope || slice.intercept != out->intercept))
            status = changed(reason);
        if (status == ANL_OK) {
            position_of(&slice, positions[z]);
            copy_slice(&slice, z, out);
        }
        anl_scan_free(&slice);
        if (status != ANL_OK)
            return status;
    }
    return ANL_OK;
}

anl_status anl_pack_read(const anl_pack_entry *e, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    anl_scan_reset(out);
    if (e->refused)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "%s", e->refused);
    if (e->array)
        return anl_array_read(e->array, e->index, out, reason);
    if (!e->slices)
        return anl_scan_decode(e->path, out, reason);
    double(*positions)[3] = malloc(sizeof *positions * (size_t)e->slice_count), step[3], normal[3];
    if (!positions)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for the places of its slices");
    anl_status status = read_slices(e, positions, out, reason);
    if (status == ANL_OK) {
        char ignored[ANL_REASON_SIZE];
        normal_of(out, normal);
        if (anl_series_steps((const double(*)[3])positions, e->slice_count, step, ignored) != ANL_OK ||
            anl_series_apart(positions[0], positions[1], normal) <= 0)
            status = changed(reason); /* they were even before */
    }
    if (status == ANL_OK) {
        out->spacing[2] = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
        for (int i = 0; i < 3; i++) {
            out->affine[i][2] = step[i];
            out->affine[i][3] = positions[0][i];
        }
        out->position = NAN;
        out->place = -1;
        status = anl_scan_orient(out, reason);
    }
    free(positions);
    if (status != ANL_OK)
        anl_scan_free(out);
    return status;
}
