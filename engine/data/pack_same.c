/* Identical images of a pack: which files decode to the same pixels, and what that spoils.
 * In: what the pixels of each file are known by. Out: groups of files, and warnings.
 * An image that is there twice is counted twice; in two splits, or with two labels, it makes results look better or worse than they are. */
#include "data/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

enum { MOST_CLASSES = 16, MOST_EXAMPLES = 3 };

anl_pack_entry *anl_pack_same(anl_pack_state *p, anl_pack_entry *e)
{
    char hex[2 * ANL_PIXELS_BYTES + 1];
    anl_hex(e->pixels, ANL_PIXELS_BYTES, hex);
    anl_pack_entry *first = anl_lookup_find(&p->known, hex);
    if (!first)
        anl_lookup_add(p->arena, &p->known, anl_arena_text(p->arena, hex), e);
    return first;
}

typedef struct known {
    const uint8_t *pixels;
    int entry;
} known;

static int by_pixels(const void *a, const void *b)
{
    const known *x = a, *y = b;
    const int order = memcmp(x->pixels, y->pixels, ANL_PIXELS_BYTES);
    return order ? order : (x->entry > y->entry) - (x->entry < y->entry);
}

typedef struct group {
    int first, from, count; /* first: its first entry; from: among those known */
} group;

static int by_first(const void *a, const void *b) { return ((const group *)a)->first - ((const group *)b)->first; }

anl_pack_groups anl_pack_find_groups(const anl_pack_state *p)
{
    known *all = ANL_NEW_ARRAY(p->arena, known, p->entry_count);
    group *groups = ANL_NEW_ARRAY(p->arena, group, p->entry_count);
    int count = 0;
    for (int i = 0; i < p->entry_count; i++)
        if (p->entries[i].decoded)
            all[count++] = (known){p->entries[i].pixels, i};
    qsort(all, (size_t)count, sizeof *all, by_pixels);
    anl_pack_groups out = {.entries = ANL_NEW_ARRAY(p->arena, int, p->entry_count), .ends = ANL_NEW_ARRAY(p->arena, int, p->entry_count)};
    for (int i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && !memcmp(all[end].pixels, all[i].pixels, ANL_PIXELS_BYTES);)
            end++;
        if (end > i + 1)
            groups[out.count++] = (group){all[i].entry, i, end - i};
    }
    qsort(groups, (size_t)out.count, sizeof *groups, by_first);
    int at = 0;
    for (int g = 0; g < out.count; g++) {
        for (int i = 0; i < groups[g].count; i++)
            out.entries[at++] = all[groups[g].from + i].entry;
        out.ends[g] = at;
    }
    return out;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool anl_pack_classes(const anl_pack_state *p, int column, double **values, int *count)
{
    const anl_shard_column *c = &p->columns[column];
    *values = NULL;
    *count = 0;
    if (c->kind == ANL_COLUMN_TEXT)
        return false;
    if (c->kind == ANL_COLUMN_CODE) {
        *values = ANL_NEW_ARRAY(p->arena, double, c->value_count);
        for (*count = 0; *count < c->value_count; ++*count)
            (*values)[*count] = *count;
        return true;
    }
    double *found = ANL_NEW_ARRAY(p->arena, double, MOST_CLASSES);
    for (int i = 0; i < p->entry_count; i++) {
        const double v = p->numbers[column][p->entries[i].row];
        int k = 0;
        while (k < *count && found[k] != v)
            k++;
        if (k < *count || isnan(v))
            continue;
        if (*count == MOST_CLASSES)
            return false;
        found[(*count)++] = v;
    }
    qsort(found, (size_t)*count, sizeof *found, by_value);
    *values = found;
    return true;
}

typedef struct finding {
    int64_t groups;
    int shown[MOST_EXAMPLES][2]; /* entries */
    int column[MOST_EXAMPLES];
} finding;

static void find(finding *f, int first, int second, int column)
{
    if (f->groups < MOST_EXAMPLES) {
        f->shown[f->groups][0] = first;
        f->shown[f->groups][1] = second;
        f->column[f->groups] = column;
    }
    f->groups++;
}

static const char *label_text(const anl_pack_state *p, const anl_pack_entry *e, int column) { return anl_csv_cell(&p->csv, e->row, p->column_source[column]); }

/* The first column of classes in which the two differ, or -1. What is missing in one contradicts nothing. */
static int differing_label(const anl_pack_state *p, const bool *classes, const anl_pack_entry *a, const anl_pack_entry *b)
{
    for (int c = 0; c < p->column_count; c++) {
        if (!classes[c])
            continue;
        const double x = p->numbers[c][a->row], y = p->numbers[c][b->row];
        const bool words = p->columns[c].kind == ANL_COLUMN_CODE, known = words ? x >= 0 && y >= 0 : !isnan(x) && !isnan(y);
        if (known && x != y)
            return c;
    }
    return -1;
}

static anl_diagnostic *tell(const anl_pack_state *p, anl_code code, const finding *f, const char *what)
{
    const anl_pack_entry *first = &p->entries[f->shown[0][0]];
    anl_diagnostic *d = anl_diagnose(p->diagnostics, code, (anl_span){.file = first->path}, "%lld image%s %s", (long long)f->groups, f->groups == 1 ? "" : "s", what);
    for (int i = 0; i < MOST_EXAMPLES && i < f->groups; i++) {
        const anl_pack_entry *a = &p->entries[f->shown[i][0]], *b = &p->entries[f->shown[i][1]];
        const int c = f->column[i];
        if (c >= 0)
            anl_diagnostic_note(p->diagnostics, d, "%s has `%s` %s, and %s has %s", a->file, p->columns[c].name, label_text(p, a, c), b->file, label_text(p, b, c));
        else
            anl_diagnostic_note(p->diagnostics, d, "%s (%s) is the same as %s (%s)", a->file, anl_split_names[anl_pack_split_of(p, a)], b->file,
                                anl_split_names[anl_pack_split_of(p, b)]);
    }
    return d;
}

void anl_pack_judge_groups(const anl_pack_state *p, const anl_pack_groups *groups)
{
    finding splits = {0}, patients = {0}, labels = {0};
    bool *classes = ANL_NEW_ARRAY(p->arena, bool, p->column_count + 1);
    for (int c = 0; c < p->column_count; c++) {
        double *values;
        int count;
        classes[c] = anl_pack_classes(p, c, &values, &count);
    }
    for (int g = 0, at = 0; g < groups->count; at = groups->ends[g++]) {
        const anl_pack_entry *a = &p->entries[groups->entries[at]];
        bool split = false, patient = false, label = false;
        for (int i = at + 1; i < groups->ends[g]; i++) {
            const int k = groups->entries[i];
            const anl_pack_entry *b = &p->entries[k];
            if (!split && !p->options->drop_duplicates && anl_pack_split_of(p, a) != anl_pack_split_of(p, b)) {
                split = true;
                find(&splits, groups->entries[at], k, -1);
            }
            if (!patient && a->unit != b->unit && p->units[a->unit].patient && p->units[b->unit].patient) {
                patient = true;
                find(&patients, groups->entries[at], k, -1);
            }
            const int column = label ? -1 : differing_label(p, classes, a, b);
            if (column >= 0) {
                label = true;
                find(&labels, groups->entries[at], k, column);
            }
        }
    }
    anl_diagnostic *d;
    if (splits.groups > 0) {
        d = tell(p, ANL_A_image_in_two_splits, &splits, splits.groups == 1 ? "is in two splits" : "are in two splits");
        anl_diagnostic_suggest(p->diagnostics, d, "--duplicates drop keeps one of each, in training before validation before test");
    }
    if (patients.groups > 0)
        tell(p, ANL_A_image_of_two_patients, &patients, patients.groups == 1 ? "is said to be of two patients" : "are said to be of two patients");
    if (labels.groups > 0)
        tell(p, ANL_A_image_labelled_twice, &labels, labels.groups == 1 ? "has two different labels" : "have two different labels");
}
