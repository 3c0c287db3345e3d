/* From image files and a table of labels to shards: which images, their labels and splits, and what the shards will hold.
 * In: folders, files, labels.csv. Out: shards of training, validation and test samples and a manifest.
 * Images are decoded by many threads, a few per thread at a time, and written in order: bytes never depend on the threads. */
#include "data/pack.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/diagnostic_codes.h>
#include <anlage/modality.h>

#include "base/folders.h"
#include "data/blosc_filter.h"

#define MOST_SIZE 4096
#define MOST_WORDS 4096 /* a column with more different words is free text */
#define DEEPEST_FOLDER 64

enum { TRAIN, VALID, TEST };

anl_span anl_pack_at_row(const anl_pack_state *p, int64_t row)
{
    if (!p->csv.lines)
        return (anl_span){0}; /* no table in lines */
    return anl_csv_span(&p->csv, row);
}

/* ---- which images ---- */

bool anl_pack_looks_like_image(const char *name, const char *path)
{
    if (anl_scan_named(name))
        return true;
    unsigned char first[ANL_SNIFF_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t length = fread(first, 1, sizeof first, file);
    fclose(file);
    return anl_scan_sniff(first, length) != NULL;
}

static anl_pack_entry *add_entry(anl_pack_state *p, const char *path, const char *file, int64_t row)
{
    anl_pack_entry e = {.path = path, .file = file, .row = row};
    ANL_PUSH(p->arena, p->entries, p->entry_count, p->entry_capacity, e);
    return &p->entries[p->entry_count - 1];
}

typedef struct parent {
    const struct parent *up;
    dev_t device;
    ino_t inode;
} parent;

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static anl_status cannot_list(anl_pack_state *p, const char *folder, const char *reason)
{
    anl_diagnose(p->diagnostics, ANL_A_image_unreadable, (anl_span){.file = folder}, "cannot read the folder %s: %s", folder, reason);
    return ANL_ERROR_FILE;
}

anl_status anl_pack_list(anl_pack_state *p, const char *folder, const char ***names, int *count)
{
    int capacity = 0;
    *names = NULL;
    *count = 0;
    DIR *open = opendir(folder);
    if (!open)
        return cannot_list(p, folder, strerror(errno));
    for (struct dirent *found; (found = readdir(open));)
        if (found->d_name[0] != '.')
            ANL_PUSH(p->arena, *names, *count, capacity, anl_arena_text(p->arena, found->d_name));
    closedir(open);
    if (*count > 0)
        qsort(*names, (size_t)*count, sizeof **names, by_text);
    return ANL_OK;
}

/* row: of the table that names the folder, or -1. */
static anl_status walk(anl_pack_state *p, const char *folder, const char *shown, int64_t row, const parent *up, int depth)
{
    struct stat about;
    if (stat(folder, &about) != 0)
        return ANL_ERROR_FILE;
    for (const parent *q = up; q; q = q->up)
        if (q->device == about.st_dev && q->inode == about.st_ino)
            return ANL_OK; /* a link back up */
    parent here = {.up = up, .device = about.st_dev, .inode = about.st_ino};
    if (depth == DEEPEST_FOLDER)
        return cannot_list(p, folder, "too many folders inside each other");
    const char **names;
    int count;
    anl_status status = anl_pack_list(p, folder, &names, &count);
    for (int i = 0; i < count && status == ANL_OK; i++) {
        const char *path = anl_path_join(p->arena, folder, names[i]);
        const char *file = shown[0] ? anl_path_join(p->arena, shown, names[i]) : names[i];
        if (stat(path, &about) != 0) {
            if (anl_scan_named(names[i])) /* a dangling link: reported with the unreadable images */
                add_entry(p, path, file, row);
        } else if (S_ISDIR(about.st_mode))
            status = walk(p, path, file, row, &here, depth + 1);
        else if (S_ISREG(about.st_mode) && anl_pack_looks_like_image(names[i], path))
            add_entry(p, path, file, row);
    }
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static anl_status find_images(anl_pack_state *p)
{
    const anl_pack_options *o = p->options;
    for (int i = 0; i < o->input_count; i++) {
        struct stat about;
        size_t colon;
        if (anl_array_named(o->inputs[i], &colon)) {
            anl_status status = anl_pack_add_array(p, o->inputs[i], colon);
            if (status != ANL_OK)
                return status;
            continue;
        }
        if (stat(o->inputs[i], &about) != 0) {
            anl_diagnose(p->diagnostics, ANL_A_image_unreadable, (anl_span){.file = o->inputs[i]}, "cannot read %s: %s",
                         o->inputs[i], strerror(errno));
            return ANL_ERROR_FILE;
        }
        if (p->csv.columns > 0)
            continue; /* the inputs are where the table's files are looked for */
        /* With one input, names are relative to it; with several, its own name tells them apart. */
        size_t length = strlen(o->inputs[i]);
        while (length > 1 && o->inputs[i][length - 1] == '/')
            length--;
        const char *input = anl_arena_copy(p->arena, o->inputs[i], length);
        if (S_ISDIR(about.st_mode)) {
            anl_status status = walk(p, input, o->input_count > 1 ? base_name(input) : "", -1, NULL, 0);
            if (status != ANL_OK)
                return status;
        } else if (anl_array_container(input))
            return anl_pack_refuse_container(p, input);
        else
            add_entry(p, input, base_name(input), -1);
    }
    const char *wrong = o->axes && p->array_count == 0      ? "--axes is of arrays in HDF5 files, FILE.h5:/NAME; there is none in the input"
                        : o->labels && p->array_count > 0   ? "the rows of a table name files; labels of an array are arrays, too: --labels-from FILE.h5:/NAME"
                                                            : NULL;
    if (!wrong)
        return ANL_OK;
    anl_diagnose(p->diagnostics, ANL_A_out_of_range, (anl_span){0}, "%s", wrong);
    return ANL_ERROR_ARGUMENT;
}

static bool exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

typedef struct named_row {
    const char *file;
    int64_t row;
} named_row;

static int by_file(const void *a, const void *b)
{
    const named_row *x = a, *y = b;
    int order = strcmp(x->file, y->file);
    return order ? order : (x->row < y->row ? -1 : x->row > y->row);
}

/* A row names an image, or a folder: then what it says holds for all images in that. */
static anl_status add_row(anl_pack_state *p, const char *path, const char *file, int64_t row)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
        add_entry(p, path, file, row)->named = true;
        return ANL_OK;
    }
    const int before = p->entry_count;
    anl_status status = walk(p, path, file, row, NULL, 0);
    if (status == ANL_OK && p->entry_count == before)
        add_entry(p, path, file, row)->refused = "it is a folder without images";
    return status;
}

/* Rows of the table become entries. A row that says the same twice counts once; one that says two things of one file is an error.
 */
static anl_status take_rows(anl_pack_state *p)
{
    const anl_pack_options *o = p->options;
    const anl_csv *csv = &p->csv;
    named_row *rows = ANL_NEW_ARRAY(p->arena, named_row, csv->rows);
    bool *drop = ANL_NEW_ARRAY(p->arena, bool, csv->rows);
    for (int64_t r = 0; r < csv->rows; r++)
        rows[r] = (named_row){.file = anl_csv_cell(csv, r, 0), .row = r};
    qsort(rows, (size_t)csv->rows, sizeof *rows, by_file);
    int64_t repeated = 0, first_repeated = -1;
    int problems = 0;
    for (int64_t i = 0, first = 0; i < csv->rows; i++) {
        int64_t r = rows[i].row;
        if (!rows[i].file[0]) {
            if (problems++ < 20)
                anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, r), "this row names no file");
            first = i + 1;
            continue;
        }
        if (i == first || strcmp(rows[i].file, rows[first].file) != 0) {
            first = i;
            continue;
        }
        int differs = -1;
        for (int c = 1; c < csv->columns && differs < 0; c++)
            if (strcmp(anl_csv_cell(csv, r, c), anl_csv_cell(csv, rows[first].row, c)) != 0)
                differs = c;
        if (differs >= 0) {
            if (problems++ < 20) {
                anl_diagnostic *d =
                    anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, r),
                                 "%s is listed twice with different values: `%s` is `%s` here and `%s` in line %d", rows[i].file,
                                 csv->names[differs], anl_csv_cell(csv, r, differs), anl_csv_cell(csv, rows[first].row, differs),
                                 csv->lines[rows[first].row]);
                anl_diagnostic_label(p->diagnostics, d, anl_pack_at_row(p, rows[first].row), "first listed here");
            }
        } else {
            drop[r] = true;
            repeated++;
            if (first_repeated < 0 || r < first_repeated)
                first_repeated = r;
        }
    }
    if (problems > 0)
        return ANL_ERROR_FORMAT;
    if (repeated > 0)
        anl_diagnose(p->diagnostics, ANL_A_duplicate_rows, anl_pack_at_row(p, first_repeated),
                     "%lld row%s the same as an earlier one and count%s once", (long long)repeated,
                     repeated == 1 ? " is" : "s are", repeated == 1 ? "s" : "");
    const char *folder = anl_path_folder(p->arena, csv->path);
    for (int64_t r = 0; r < csv->rows; r++) {
        if (drop[r])
            continue;
        const char *file = anl_csv_cell(csv, r, 0), *path = anl_path_join(p->arena, folder, file);
        if (!exists(path))
            for (int i = 0; i < o->input_count; i++) {
                struct stat about;
                const char *input = o->inputs[i];
                if (stat(input, &about) == 0 && !S_ISDIR(about.st_mode))
                    input = anl_path_folder(p->arena, input);
                const char *other = anl_path_join(p->arena, input, file);
                if (exists(other)) {
                    path = other;
                    break;
                }
            }
        anl_status status = add_row(p, path, file, r);
        if (status != ANL_OK)
            return status;
    }
    return ANL_OK;
}

/* ---- columns ---- */

bool anl_pack_missing_word(const char *cell)
{
    static const char *const words[] = {"", "nan", "na", "n/a", "null", "none"};
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (strcasecmp(cell, words[i]) == 0)
            return true;
    return false;
}

bool anl_pack_take_number(const char *cell, locale_t c_locale, double *value)
{
    /* Decimal notation only: strtod would also take 0x10, inf and the user's decimal comma. */
    if (strspn(cell, "+-.0123456789eE \t") != strlen(cell))
        return false;
    char *end;
    *value = strtod_l(cell, &end, c_locale);
    if (end == cell || !isfinite(*value))
        return false;
    while (*end == ' ' || *end == '\t')
        end++;
    return *end == '\0';
}

bool anl_pack_can_be_column(const char *name) { return !strchr(name, '/') && strcmp(name, ".") != 0 && strlen(name) <= 200; }

void anl_pack_read_column(anl_pack_state *p, const anl_csv *csv, int source, locale_t c_locale, anl_shard_column *column, double **numbers)
{
    *numbers = ANL_NEW_ARRAY(p->arena, double, csv->rows);
    bool number = true, wide = false;
    for (int64_t r = 0; r < csv->rows && number; r++) {
        const char *cell = anl_csv_cell(csv, r, source);
        double v = NAN;
        if (!anl_pack_missing_word(cell)) {
            number = anl_pack_take_number(cell, c_locale, &v);
            /* Whole numbers must survive; fractions are rounded to float32 anyhow when they become labels. */
            wide = wide || (number && v == floor(v) && (double)(float)v != v) || (number && fabs(v) > 3.4e38);
        }
        (*numbers)[r] = v;
    }
    *column = (anl_shard_column){.name = csv->names[source], .kind = ANL_COLUMN_NUMBER, .wide = wide};
    if (number)
        return;
    const char **words = ANL_NEW_ARRAY(p->arena, const char *, csv->rows);
    size_t count = 0, unique = 0;
    for (int64_t r = 0; r < csv->rows; r++)
        if (anl_csv_cell(csv, r, source)[0])
            words[count++] = anl_csv_cell(csv, r, source);
    qsort(words, count, sizeof *words, by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(words[i], words[unique - 1]) != 0)
            words[unique++] = words[i];
    if (unique > MOST_WORDS) {
        column->kind = ANL_COLUMN_TEXT;
        return;
    }
    column->kind = ANL_COLUMN_CODE;
    column->values = words;
    column->value_count = (int)unique;
    for (int64_t r = 0; r < csv->rows; r++) {
        const char *cell = anl_csv_cell(csv, r, source);
        const char **found = cell[0] ? bsearch(&cell, words, unique, sizeof *words, by_text) : NULL;
        (*numbers)[r] = found ? (double)(found - words) : -1;
    }
}

static anl_status no_column(anl_pack_state *p, const char *what, const char *name)
{
    anl_diagnostic *d =
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, -1), "there is no %s column `%s`", what, name);
    const char *nearest = anl_nearest(name, p->csv.names, p->csv.columns);
    if (nearest)
        anl_diagnostic_suggest(p->diagnostics, d, "did you mean `%s`?", nearest);
    return ANL_ERROR_FORMAT;
}

static anl_status read_columns(anl_pack_state *p)
{
    const anl_pack_options *o = p->options;
    const anl_csv *csv = &p->csv;
    p->patient_column = -1;
    if (csv->columns == 0) {
        const char *asked = o->patient ? o->patient : o->stratify;
        if (!asked)
            return ANL_OK;
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, (anl_span){0},
                     "the column `%s` is asked for, but there is no table of labels", asked);
        return ANL_ERROR_ARGUMENT;
    }
    p->patient_column = anl_csv_column(csv, o->patient ? o->patient : "patient");
    if (o->patient && p->patient_column < 0)
        return no_column(p, "patient", o->patient);
    if (o->stratify && (anl_csv_column(csv, o->stratify) < 1 || anl_csv_column(csv, o->stratify) == p->patient_column))
        return no_column(p, "label", o->stratify);
    if (p->patient_column == 0) {
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, -1),
                     "the first column is the file, so it cannot be the patient");
        return ANL_ERROR_FORMAT;
    }
    p->columns = ANL_NEW_ARRAY(p->arena, anl_shard_column, csv->columns);
    p->column_source = ANL_NEW_ARRAY(p->arena, int, csv->columns);
    p->numbers = ANL_NEW_ARRAY(p->arena, double *, csv->columns);
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    anl_status status = ANL_OK;
    for (int c = 1; c < csv->columns; c++) {
        const char *name = csv->names[c];
        if (c == p->patient_column)
            continue;
        if (!anl_pack_can_be_column(name)) {
            anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, -1),
                         "column %d is called `%.60s`; names have at most 200 bytes and no `/`", c + 1, name);
            status = ANL_ERROR_FORMAT;
            continue;
        }
        p->column_source[p->column_count] = c;
        anl_pack_read_column(p, csv, c, c_locale, &p->columns[p->column_count], &p->numbers[p->column_count]);
        p->column_count++;
    }
    if (c_locale)
        freelocale(c_locale);
    return status;
}

/* ---- splitting ---- */

static int by_unit_name(const void *a, const void *b)
{
    const anl_pack_unit *x = a, *y = b;
    if (x->patient != y->patient)
        return x->patient ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_stratum(const void *a, const void *b)
{
    const anl_pack_unit *x = *(const anl_pack_unit *const *)a, *y = *(const anl_pack_unit *const *)b;
    if (x->stratum != y->stratum)
        return x->stratum < y->stratum ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return by_unit_name(x, y);
}

/* Whose image it is: as the table says, or, where it says nothing of patients, the file. "": not known. */
static const char *patient_of(const anl_pack_state *p, const anl_pack_entry *e)
{
    if (p->patient_column >= 0)
        return e->row >= 0 ? anl_csv_cell(&p->csv, e->row, p->patient_column) : "";
    return e->seen.patient;
}

static void make_unit(const anl_pack_state *p, const anl_pack_entry *e, anl_pack_unit *out)
{
    const char *patient = patient_of(p, e);
    *out = (anl_pack_unit){.name = patient[0] ? patient : e->file, .patient = patient[0] != 0, .stratum = -INFINITY};
}

/* Patients (and samples without one) are put in the order of a seeded hash and dealt out: each goes to the split that is
 * furthest behind its share. So shares are exact, within every stratum too when the order is by stratum first. */
static anl_status split(anl_pack_state *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    anl_pack_unit *units = ANL_NEW_ARRAY(p->arena, anl_pack_unit, p->entry_count);
    for (int i = 0; i < p->entry_count; i++)
        make_unit(p, &p->entries[i], &units[i]);
    qsort(units, (size_t)p->entry_count, sizeof *units, by_unit_name);
    int count = 0;
    for (int i = 0; i < p->entry_count; i++)
        if (i == 0 || by_unit_name(&units[i], &units[count - 1]) != 0)
            units[count++] = units[i];
    p->units = units;
    p->unit_count = count;
    int stratify = -1;
    for (int c = 0; c < p->column_count; c++)
        if (o->stratify && strcmp(p->columns[c].name, o->stratify) == 0)
            stratify = c;
    if (stratify >= 0 && p->columns[stratify].kind == ANL_COLUMN_TEXT) {
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, anl_pack_at_row(p, -1),
                     "the splits cannot be balanced by `%s`: it has more than %d different words", o->stratify, MOST_WORDS);
        return ANL_ERROR_FORMAT;
    }
    for (int i = 0; i < p->entry_count; i++) {
        anl_pack_entry *e = &p->entries[i];
        anl_pack_unit key;
        make_unit(p, e, &key);
        anl_pack_unit *found = bsearch(&key, units, (size_t)count, sizeof *units, by_unit_name);
        e->unit = (int)(found - units);
        /* A patient belongs to the highest value any of its images has: one positive image makes a positive patient. */
        if (stratify >= 0 && p->numbers[stratify][e->row] > found->stratum)
            found->stratum = p->numbers[stratify][e->row];
    }
    anl_pack_unit **order = ANL_NEW_ARRAY(p->arena, anl_pack_unit *, count);
    for (int u = 0; u < count; u++) {
        units[u].hash = anl_hash_text(units[u].name, o->seed);
        report->patients += units[u].patient;
        order[u] = &units[u];
    }
    qsort(order, (size_t)count, sizeof *order, by_stratum);
    double share[ANL_SPLITS] = {1 - o->fraction_valid - o->fraction_test, o->fraction_valid, o->fraction_test};
    double given[ANL_SPLITS] = {0};
    for (int u = 0; u < count; u++) {
        int best = TRAIN;
        double most = -INFINITY;
        for (int s = 0; s < ANL_SPLITS; s++) {
            double behind = share[s] * (u + 1) - given[s];
            if (share[s] > 0 && behind > most + 1e-9) {
                most = behind;
                best = s;
            }
        }
        order[u]->split = best;
        given[best]++;
    }
    const bool several = share[TRAIN] < 1 && share[VALID] < 1 && share[TEST] < 1;
    if (p->patient_column < 0 && p->csv.columns > 0 && several && report->patients == 0)
        anl_diagnose(
            p->diagnostics, ANL_A_patients_unknown, anl_pack_at_row(p, -1),
            "no column says which patient an image is of, so images are split one by one: a patient with several images may be "
            "in training and test at once");
    else if (p->patient_column < 0 && several && report->patients == 1 && count == 1 && p->entry_count > 1)
        anl_diagnose(p->diagnostics, ANL_A_patients_unknown, (anl_span){.file = p->entries[0].path},
                     "all %d files name the same patient, so all are in one split; where ids were blanked, a column `patient` in a table can tell them apart",
                     p->entry_count);
    return ANL_OK;
}

/* ---- what the shards will hold ---- */

/* Whether slices that lie in files of their own become volumes: where volumes are asked for, or nothing is and samples have a size along z. Without
 * being asked, files that the table names one by one stay the samples they are named as. */
static bool gathers(const anl_pack_options *o) { return o->form == ANL_PACK_VOLUMES || (o->form == ANL_PACK_AUTO && o->size[2] > 0); }

typedef struct probing {
    anl_pack_state *pack;
    int from; /* the first entry */
} probing;

static void probe_one(void *context, int chunk, int thread)
{
    (void)thread;
    const probing *w = context;
    anl_pack_state *p = w->pack;
    anl_pack_entry *e = &p->entries[w->from + chunk];
    anl_scan scan;
    char reason[ANL_REASON_SIZE];
    if (p->options->stop && p->options->stop(p->options->context))
        return; /* the caller sees it, too */
    if (e->array)
        scan = e->array->about;
    else if (anl_scan_probe(e->path, &scan, reason) != ANL_OK || scan.segmentation)
        return; /* reading it whole will say why it is left out */
    if (gathers(p->options) && anl_pack_is_slice(&scan) && (p->options->form == ANL_PACK_VOLUMES || !e->named)) {
        e->slice = anl_malloc(sizeof *e->slice);
        *e->slice = scan;
    }
    anl_pack_seen *s = &e->seen;
    *s = (anl_pack_seen){.good = true,
                .type = scan.type,
                .bits = scan.bits,
                .depth = scan.depth,
                .frames = scan.frames,
                .slope = scan.slope,
                .intercept = scan.intercept,
                .spaced = scan.spacing[0] > 0 && scan.spacing[1] > 0};
    memcpy(s->unit, scan.unit, sizeof s->unit);
    memcpy(s->modality, scan.modality, sizeof s->modality);
    memcpy(s->patient, scan.patient, sizeof s->patient);
    /* Photographs and exported images have a black and a white; what a device measured has a unit, or no scale of its own. A place in the
     * patient is measured too: NIfTI says no modality, and its whole numbers are seldom all of those that their type holds. */
    bool plain = (scan.type == ANL_VOXEL_U8 || scan.type == ANL_VOXEL_U16) && scan.slope == 1 && scan.intercept == 0 && !scan.oriented;
    s->values = scan.unit[0] ? ANL_VALUES_UNIT : plain && !scan.modality[0] ? ANL_VALUES_FULL : ANL_VALUES_RELATIVE;
}

static anl_status probe(anl_pack_state *p, int from)
{
    const anl_pack_options *o = p->options;
    anl_parallel(p->pool, p->entry_count - from, probe_one, &(probing){p, from});
    return o->stop && o->stop(o->context) ? ANL_ERROR_STOPPED : ANL_OK;
}

/* What the headers say of all files, and then one entry for each volume, however many files it lies in. */
static anl_status probe_all(anl_pack_state *p, anl_pack_report *report)
{
    anl_status status = probe(p, 0);
    const int asked = p->entry_count;
    if (status == ANL_OK && p->options->form == ANL_PACK_VOLUMES)
        status = anl_pack_add_beside(p);
    if (status == ANL_OK)
        status = probe(p, asked);
    if (status == ANL_OK)
        status = anl_pack_gather(p);
    for (int i = 0; i < p->entry_count; i++) {
        free(p->entries[i].slice); /* where it was not gathered */
        report->series += p->entries[i].slice_count > 0;
        report->series_files += p->entries[i].slice_count;
    }
    report->images = p->entry_count;
    return status;
}

static bool integral(double v) { return v == floor(v); }

/* Ends of the values that a scan of this kind can hold. */
static void value_ends(const anl_pack_seen *s, double *least, double *most)
{
    bool is_signed = s->type == ANL_VOXEL_I16 || s->type == ANL_VOXEL_I32;
    double low = is_signed ? -ldexp(1, s->bits - 1) : 0, high = ldexp(1, s->bits - is_signed) - 1;
    double a = low * s->slope + s->intercept, b = high * s->slope + s->intercept;
    *least = a < b ? a : b;
    *most = a < b ? b : a;
}

static bool floating(anl_voxel type) { return type == ANL_VOXEL_F32 || type == ANL_VOXEL_F64; }

/* The type for measured or relative values: as stored where all files agree, else the least that holds every value they may have. */
static void choose_type(const anl_pack_state *p, anl_shard_image *image)
{
    const anl_pack_seen *first = NULL;
    bool same = true, whole = true;
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_seen *s = &p->entries[i].seen;
        if (!s->good)
            continue;
        if (!first)
            first = s;
        same = same && s->type == first->type && s->bits == first->bits && s->slope == first->slope && s->intercept == first->intercept;
        whole = whole && !floating(s->type) && integral(s->slope) && integral(s->intercept);
        if (!floating(s->type)) {
            double low, high;
            value_ends(s, &low, &high);
            least = low < least ? low : least;
            most = high > most ? high : most;
        }
    }
    image->scale = 1;
    image->offset = 0;
    if (same && first->type != ANL_VOXEL_F64) {
        image->type = first->type;
        image->bits = first->bits;
        image->scale = first->slope;
        image->offset = first->intercept;
        return;
    }
    if (whole && least >= 0 && most <= UINT16_MAX)
        image->type = ANL_VOXEL_U16;
    else if (whole && least >= INT16_MIN && most <= INT16_MAX)
        image->type = ANL_VOXEL_I16;
    else
        image->type = ANL_VOXEL_F32;
    image->bits = 8 * anl_voxel_bytes(image->type);
}

static anl_status mixed(anl_pack_state *p, anl_code code, int some, const char *first, const char *message, const char *remedy)
{
    anl_diagnostic *d = anl_diagnose(p->diagnostics, code, (anl_span){.file = first}, message, some, first);
    anl_diagnostic_note(p->diagnostics, d, "%s", remedy);
    return ANL_ERROR_FORMAT;
}

/* Images or volumes, and the type and meaning of what is stored. */
static anl_status choose_image(anl_pack_state *p)
{
    const anl_pack_options *o = p->options;
    int kinds[3] = {0}, deep = 0, flat = 0;
    const anl_pack_entry *first_of[3] = {NULL}, *first_deep = NULL, *other_unit = NULL;
    p->depths[0] = 64;
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_entry *e = &p->entries[i];
        if (!e->seen.good)
            continue;
        if (kinds[e->seen.values]++ == 0)
            first_of[e->seen.values] = e;
        if (e->seen.values == ANL_VALUES_UNIT && strcmp(e->seen.unit, first_of[ANL_VALUES_UNIT]->seen.unit) && !other_unit)
            other_unit = e;
        if (e->seen.depth > 1 && deep++ == 0)
            first_deep = e;
        flat += e->seen.depth == 1;
        p->depths[0] = e->seen.bits < p->depths[0] ? e->seen.bits : p->depths[0];
        p->depths[1] = e->seen.bits > p->depths[1] ? e->seen.bits : p->depths[1];
    }
    if (o->form == ANL_PACK_AUTO && deep > 0 && flat > 0)
        return mixed(p, ANL_A_image_pages, deep, first_deep->path, "%d of the files or series have several slices or pages, the others have one (the first such file is %s)",
                     "say --slices to make each slice a sample, or --volumes to take the volumes only");
    p->slices = o->form == ANL_PACK_SLICES;
    p->windowed = o->window[1] > 0;
    anl_shard_image *image = &p->schema.image;
    *image = (anl_shard_image){.volume = o->form == ANL_PACK_VOLUMES || (o->form == ANL_PACK_AUTO && deep > 0),
                               .depth = 1,
                               .height = o->size[1],
                               .width = o->size[0],
                               .channels = o->channels,
                               .type = ANL_VOXEL_U8,
                               .bits = 8,
                               .scale = 1.0 / 255,
                               .unit = "",
                               .deflate = o->deflate,
                               .blosc = o->blosc};
    if (image->volume)
        image->depth = o->size[2];
    const int full = kinds[ANL_VALUES_FULL], measured = kinds[ANL_VALUES_UNIT], relative = kinds[ANL_VALUES_RELATIVE];
    if (full + measured + relative == 0)
        return ANL_OK; /* none can be read: reported when they are */
    if (p->windowed) {
        image->type = ANL_VOXEL_U16;
        image->bits = 16;
        image->scale = 1.0 / 65535;
        return ANL_OK;
    }
    if (measured > 0 && full + relative > 0)
        return mixed(p, ANL_A_values_mixed, measured, first_of[ANL_VALUES_UNIT]->path,
                     "%d of the files are measured in a unit, the others are not (the first measured one is %s)",
                     "pack them apart, or bring all to one scale with --window CENTRE,WIDTH");
    if (other_unit)
        return mixed(p, ANL_A_values_mixed, 1, other_unit->path, "%d of the files, %s, is measured in another unit than the others", "pack them apart");
    if (full > 0 && relative == 0) {
        image->bits = p->depths[1];
        image->type = image->bits > 8 ? ANL_VOXEL_U16 : ANL_VOXEL_U8;
        image->scale = 1 / (ldexp(1, image->bits) - 1);
        return ANL_OK;
    }
    image->values = measured > 0 ? ANL_VALUES_UNIT : ANL_VALUES_RELATIVE;
    image->unit = measured > 0 ? first_of[ANL_VALUES_UNIT]->seen.unit : "";
    choose_type(p, image);
    return ANL_OK;
}

/* ---- the whole ---- */

static bool spacing_good(const double spacing[3])
{
    bool none = true;
    for (int a = 0; a < 3; a++)
        none = none && !(spacing[a] != 0);
    for (int a = 0; a < 3; a++)
        if (!none && !(spacing[a] > 1e-6 && spacing[a] < 1e6))
            return false;
    return true;
}

static anl_status check_options(const anl_pack_options *o, anl_diagnostics *diagnostics)
{
    const char *wrong = NULL;
    if (!o->out || !o->out[0])
        wrong = "a folder to write to is needed";
    else if (o->input_count < 1 && !o->labels)
        wrong = "folders or files to read are needed";
    else if (o->size[0] < 1 || o->size[0] > MOST_SIZE || o->size[1] < 1 || o->size[1] > MOST_SIZE || o->size[2] < 0 ||
             o->size[2] > MOST_SIZE)
        wrong = "the sizes must be 1 to 4096 pixels";
    else if ((int64_t)o->size[0] * o->size[1] * (o->size[2] > 0 ? o->size[2] : 1) > (int64_t)ANL_SCAN_MAX_BYTES / 12)
        wrong = "a sample of this size takes more than 1 GiB";
    else if (o->deflate < 0 || o->deflate > 9)
        wrong = "the level of compression is 0 (none) to 9";
    else if (o->blosc < 0 || o->blosc > 9 || (o->blosc > 0 && o->deflate > 0))
        wrong = "samples are compressed by Blosc, at a level of 1 to 9, or by deflate, not by both";
    else if (o->blosc > 0 && !anl_blosc_there())
        wrong = "this program was built without libblosc; compress with --deflate, or not";
    else if (!(o->window[1] >= 0) || !isfinite(o->window[0]) || !isfinite(o->window[1]))
        wrong = "a window has a centre and a positive width";
    else if (o->channels != 1 && o->channels != 3)
        wrong = "there can be 1 or 3 channels";
    else if (!(o->fraction_valid >= 0 && o->fraction_test >= 0 && o->fraction_valid + o->fraction_test <= 1 + 1e-9))
        wrong = "the shares of the splits must be 0 or more and together at most 1";
    else if (o->shard_samples < 0 || o->threads < 0)
        wrong = "numbers of samples and threads cannot be negative";
    else if (!spacing_good(o->spacing))
        wrong = "a spacing is a number of mm above 0 along each axis";
    else if (!(o->margin >= 0 && o->margin < 1e6))
        wrong = "a margin is 0 or more";
    else if (o->labels && o->labels_from_count > 0)
        wrong = "labels come from a table or from arrays, not from both";
    else if (o->labels_from_count < 0 || o->labels_from_count > 1000)
        wrong = "there can be at most 1000 arrays of labels";
    else if (o->keep_ids && o->salt)
        wrong = "a salt is for ids that become hashes; these are to be kept";
    if (!wrong && o->modality && !anl_modality_meant(o->modality)) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_unknown_modality, (anl_span){0}, "there is no modality `%s`", o->modality);
        anl_modality_explain(diagnostics, d, o->modality);
        return ANL_ERROR_ARGUMENT;
    }
    if (!wrong)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_out_of_range, (anl_span){0}, "%s", wrong);
    return ANL_ERROR_ARGUMENT;
}

/* By its name in the table, whatever usual word for it was given. */
static const char *named(const char *word)
{
    const anl_modality *meant = anl_modality_meant(word);
    return meant ? meant->name : word;
}

static const char *find_modality(const anl_pack_state *p)
{
    if (p->options->modality)
        return named(p->options->modality);
    for (int c = 0; c < p->column_count; c++)
        if (strcmp(p->columns[c].name, "modality") == 0 && p->columns[c].kind == ANL_COLUMN_CODE &&
            p->columns[c].value_count == 1)
            return named(p->columns[c].values[0]);
    const char *found = NULL; /* what all files say that say something */
    for (int i = 0; i < p->entry_count; i++) {
        const char *word = p->entries[i].seen.modality;
        if (word[0] && found && strcmp(word, found))
            return NULL;
        found = word[0] ? word : found;
    }
    return found ? named(found) : NULL;
}

/* The modality of each file: what the table says of it, or the file itself, or what holds for all. Histograms are kept apart by it. */
static void find_modalities(anl_pack_state *p)
{
    int column = -1;
    for (int c = 0; c < p->column_count; c++)
        if (strcmp(p->columns[c].name, "modality") == 0 && p->columns[c].kind == ANL_COLUMN_CODE)
            column = c;
    for (int i = 0; i < p->entry_count; i++) {
        anl_pack_entry *e = &p->entries[i];
        const double code = column >= 0 && e->row >= 0 ? p->numbers[column][e->row] : -1;
        const char *word = p->schema.modality ? p->schema.modality
                           : code >= 0        ? named(p->columns[column].values[(int)code])
                           : e->seen.modality[0] ? named(e->seen.modality)
                                                 : "unknown";
        for (e->modality = 0; e->modality < p->modality_count && strcmp(p->modalities[e->modality], word); e->modality++)
            ;
        if (e->modality == p->modality_count)
            ANL_PUSH(p->arena, p->modalities, p->modality_count, p->modality_capacity, word);
    }
}

/* All that is decided before an image is decoded. */
static anl_status lay_out(anl_pack_state *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    anl_status status = choose_image(p);
    if (status == ANL_OK && p->schema.image.volume && o->size[2] < 1) {
        anl_diagnose(p->diagnostics, ANL_A_out_of_range, (anl_span){0}, "volumes need a size along z, too");
        status = ANL_ERROR_ARGUMENT;
    }
    if (status == ANL_OK && o->boxes)
        status = anl_pack_read_boxes(p);
    if (status != ANL_OK)
        return status;
    p->schema.columns = p->columns;
    p->schema.column_count = p->column_count;
    p->schema.has_patient = p->patient_column >= 0 || report->patients > 0;
    for (int i = 0; i < p->entry_count; i++)
        p->schema.has_spacing = p->schema.has_spacing || p->entries[i].seen.spaced;
    p->schema.seed = o->seed;
    p->schema.modality = find_modality(p);
    find_modalities(p);
    p->axis = anl_histogram_axis_of(p->schema.image.values == ANL_VALUES_UNIT ? p->schema.image.unit : NULL);
    anl_text text = {0};
    anl_pack_options_text(p, &text);
    p->schema.options = anl_arena_text(p->arena, text.data);
    anl_text_free(&text);
    report->bits = p->schema.image.bits;
    report->volume = p->schema.image.volume;
    if (p->schema.image.values == ANL_VALUES_UNIT)
        strcpy(report->unit, p->schema.image.unit);
    return ANL_OK;
}

/* A salt that packs share. Fewer bytes could be tried out. */
static anl_status read_salt(anl_pack_state *p)
{
    const char *path = p->options->salt;
    char *bytes;
    if (anl_file_read(p->arena, path, 1 << 20, &bytes, &p->salt_length) == ANL_OK && p->salt_length >= 16) {
        p->salt = (const uint8_t *)bytes;
        return ANL_OK;
    }
    anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_salt_unusable, (anl_span){.file = path}, "cannot take the salt from %s: %s", path,
                                     bytes ? "it has fewer than 16 bytes" : strerror(errno));
    anl_diagnostic_suggest(p->diagnostics, d, "make one with `head -c 32 /dev/urandom > %s`, and keep it secret", path);
    return ANL_ERROR_FILE;
}

anl_status anl_pack(const anl_pack_options *options, anl_pack_report *report, anl_diagnostics *diagnostics)
{
    memset(report, 0, sizeof *report);
    anl_status status = check_options(options, diagnostics);
    if (status != ANL_OK)
        return status;
    anl_pack_state p = {.options = options, .diagnostics = diagnostics, .arena = anl_arena_new(), .patient_column = -1};
    if (options->salt)
        status = read_salt(&p);
    if (status == ANL_OK && options->labels)
        status = anl_csv_read(p.arena, options->labels, diagnostics, &p.csv);
    if (status == ANL_OK && options->labels && p.csv.rows == 0) {
        anl_diagnose(diagnostics, ANL_A_labels_invalid, anl_pack_at_row(&p, -1), "the table has a header but no rows");
        status = ANL_ERROR_FORMAT;
    }
    if (status == ANL_OK)
        status = find_images(&p);
    if (status == ANL_OK && options->labels)
        status = take_rows(&p);
    else if (status == ANL_OK && options->labels_from_count > 0)
        status = anl_pack_array_labels(&p);
    if (status == ANL_OK)
        status = read_columns(&p);
    report->images = p.entry_count;
    if (status == ANL_OK && p.entry_count == 0) {
        anl_diagnose(diagnostics, ANL_A_data_too_small, (anl_span){.file = options->input_count ? options->inputs[0] : NULL},
                     "there are no images here");
        status = ANL_ERROR_FILE;
    }
    if (status == ANL_OK) {
        p.pool = anl_pool_new(options->threads);
        status = probe_all(&p, report);
        if (status == ANL_OK)
            status = split(&p, report);
        if (status == ANL_OK)
            status = lay_out(&p, report);
        if (status == ANL_OK)
            status = anl_pack_write(&p, report);
        anl_pool_free(&p.pool);
    }
    anl_pack_close_arrays(&p);
    anl_arena_free(&p.arena);
    return status;
}
