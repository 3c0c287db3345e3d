/* From image files and a table of labels to shards.
 * In: folders, files, labels.csv. Out: shards of training, validation and test samples and a manifest.
 * Images are decoded by many threads, a few per thread at a time, and written in order: bytes never depend on the threads. */
#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>
#include <anlage/modality.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/folders.h"
#include "base/json.h"
#include "base/threads.h"
#include "data/csv.h"
#include "data/scan.h"
#include "data/shard.h"

#define MOST_SIZE 4096
#define RANGE_SHARE 0.005 /* of a sample's voxels, below and above its range */
#define RANGE_BINS 65536
#define MOST_WORDS 4096  /* a column with more different words is free text */
#define MOST_WARNINGS 50 /* of one kind; the rest are only counted */
#define DEEPEST_FOLDER 64
#define BLOCK_PER_THREAD 8

enum { TRAIN, VALID, TEST, SPLITS };
static const char *const split_names[SPLITS] = {"train", "valid", "test"};

/* What the header of a file says that the layout of the shards depends on. */
typedef struct seen {
    bool good; /* it can be read, so far */
    anl_values values;
    anl_voxel type;
    int bits, depth, frames;
    double slope, intercept;
    char unit[16], modality[16];
    bool spaced;
} seen;

typedef struct entry {
    const char *path; /* to open */
    const char *file; /* as it is written down */
    int64_t row;      /* of the table, or -1 */
    int unit;         /* what is split: patients, or samples that have none */
    seen seen;
} entry;

typedef struct unit {
    const char *name;
    uint64_t hash;
    double stratum;
    int split;
    bool patient;
} unit;

typedef struct committed {
    const char *file;
    const char *split;
    int64_t samples, bytes;
} committed;

typedef struct skipped {
    const char *file, *reason;
} skipped;

typedef struct pack {
    const anl_pack_options *options;
    anl_diagnostics *diagnostics;
    anl_arena *arena;
    anl_pool *pool;
    anl_csv csv; /* columns 0: no table */
    entry *entries;
    int entry_count, entry_capacity;
    unit *units;
    int unit_count;
    int patient_column; /* -1: none */
    anl_shard_column *columns;
    int *column_source; /* table column of each shard column */
    int column_count;
    double **numbers; /* per shard column [rows] */
    anl_shard_schema schema;
    bool slices;  /* each slice of a volume is a sample */
    bool windowed;
    int depths[2]; /* least and most bits of the sources */
    committed *shards;
    int shard_count, shard_capacity;
    skipped *skips;
    int skip_count, skip_capacity;
    int64_t done;
    int64_t split_samples[SPLITS];
} pack;

static anl_span at_row(const pack *p, int64_t row)
{
    return (anl_span){.file = p->csv.path, .line = row < 0 ? 1 : p->csv.lines[row], .column = 1, .length = 1};
}

/* ---- which images ---- */

/* In a folder, a file counts as an image by its name (and is then reported when it is none) or by its first bytes. */
static bool image_content(const char *path)
{
    unsigned char first[ANL_SNIFF_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t length = fread(first, 1, sizeof first, file);
    fclose(file);
    return anl_scan_sniff(first, length) != NULL;
}

static void add_entry(pack *p, const char *path, const char *file, int64_t row)
{
    entry e = {.path = path, .file = file, .row = row};
    ANL_PUSH(p->arena, p->entries, p->entry_count, p->entry_capacity, e);
}

typedef struct parent {
    const struct parent *up;
    dev_t device;
    ino_t inode;
} parent;

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static anl_status walk(pack *p, const char *folder, const char *shown, const parent *up, int depth)
{
    struct stat about;
    if (stat(folder, &about) != 0)
        return ANL_ERROR_FILE;
    for (const parent *q = up; q; q = q->up)
        if (q->device == about.st_dev && q->inode == about.st_ino)
            return ANL_OK; /* a link back up */
    parent here = {.up = up, .device = about.st_dev, .inode = about.st_ino};
    DIR *open = depth < DEEPEST_FOLDER ? opendir(folder) : NULL;
    if (!open) {
        anl_diagnose(p->diagnostics, ANL_A_image_unreadable, (anl_span){.file = folder}, "cannot read the folder %s: %s", folder,
                     depth < DEEPEST_FOLDER ? strerror(errno) : "too many folders inside each other");
        return ANL_ERROR_FILE;
    }
    const char **names = NULL;
    int count = 0, capacity = 0;
    for (struct dirent *found; (found = readdir(open));)
        if (found->d_name[0] != '.')
            ANL_PUSH(p->arena, names, count, capacity, anl_arena_text(p->arena, found->d_name));
    closedir(open);
    if (count > 0)
        qsort(names, (size_t)count, sizeof *names, by_text);
    anl_status status = ANL_OK;
    for (int i = 0; i < count && status == ANL_OK; i++) {
        const char *path = anl_path_join(p->arena, folder, names[i]);
        const char *file = shown[0] ? anl_path_join(p->arena, shown, names[i]) : names[i];
        if (stat(path, &about) != 0) {
            if (anl_scan_named(names[i])) /* a dangling link: reported with the unreadable images */
                add_entry(p, path, file, -1);
        } else if (S_ISDIR(about.st_mode))
            status = walk(p, path, file, &here, depth + 1);
        else if (S_ISREG(about.st_mode) && (anl_scan_named(names[i]) || image_content(path)))
            add_entry(p, path, file, -1);
    }
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static anl_status find_images(pack *p)
{
    const anl_pack_options *o = p->options;
    for (int i = 0; i < o->input_count; i++) {
        struct stat about;
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
            anl_status status = walk(p, input, o->input_count > 1 ? base_name(input) : "", NULL, 0);
            if (status != ANL_OK)
                return status;
        } else
            add_entry(p, input, base_name(input), -1);
    }
    return ANL_OK;
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

/* Rows of the table become entries. A row that says the same twice counts once; one that says two things of one file is an error.
 */
static anl_status take_rows(pack *p)
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
                anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, r), "this row names no file");
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
                    anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, r),
                                 "%s is listed twice with different values: `%s` is `%s` here and `%s` in line %d", rows[i].file,
                                 csv->names[differs], anl_csv_cell(csv, r, differs), anl_csv_cell(csv, rows[first].row, differs),
                                 csv->lines[rows[first].row]);
                anl_diagnostic_label(p->diagnostics, d, at_row(p, rows[first].row), "first listed here");
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
        anl_diagnose(p->diagnostics, ANL_A_duplicate_rows, at_row(p, first_repeated),
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
        add_entry(p, path, file, r);
    }
    return ANL_OK;
}

/* ---- columns ---- */

static bool missing_word(const char *cell)
{
    static const char *const words[] = {"", "nan", "na", "n/a", "null", "none"};
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (strcasecmp(cell, words[i]) == 0)
            return true;
    return false;
}

static bool take_number(const char *cell, locale_t c_locale, double *value)
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

static anl_status read_column(pack *p, int source, locale_t c_locale, anl_shard_column *column, double **numbers)
{
    const anl_csv *csv = &p->csv;
    *numbers = ANL_NEW_ARRAY(p->arena, double, csv->rows);
    bool number = true, wide = false;
    for (int64_t r = 0; r < csv->rows && number; r++) {
        const char *cell = anl_csv_cell(csv, r, source);
        double v = NAN;
        if (!missing_word(cell)) {
            number = take_number(cell, c_locale, &v);
            /* Whole numbers must survive; fractions are rounded to float32 anyhow when they become labels. */
            wide = wide || (number && v == floor(v) && (double)(float)v != v) || (number && fabs(v) > 3.4e38);
        }
        (*numbers)[r] = v;
    }
    *column = (anl_shard_column){.name = csv->names[source], .kind = ANL_COLUMN_NUMBER, .wide = wide};
    if (number)
        return ANL_OK;
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
        return ANL_OK;
    }
    column->kind = ANL_COLUMN_CODE;
    column->values = words;
    column->value_count = (int)unique;
    for (int64_t r = 0; r < csv->rows; r++) {
        const char *cell = anl_csv_cell(csv, r, source);
        const char **found = cell[0] ? bsearch(&cell, words, unique, sizeof *words, by_text) : NULL;
        (*numbers)[r] = found ? (double)(found - words) : -1;
    }
    return ANL_OK;
}

static anl_status no_column(pack *p, const char *what, const char *name)
{
    anl_diagnostic *d =
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, -1), "there is no %s column `%s`", what, name);
    const char *nearest = anl_nearest(name, p->csv.names, p->csv.columns);
    if (nearest)
        anl_diagnostic_suggest(p->diagnostics, d, "did you mean `%s`?", nearest);
    return ANL_ERROR_FORMAT;
}

static anl_status read_columns(pack *p)
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
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, -1),
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
        if (strchr(name, '/') || strcmp(name, ".") == 0 || strlen(name) > 200) {
            anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, -1),
                         "column %d is called `%.60s`; names have at most 200 bytes and no `/`", c + 1, name);
            status = ANL_ERROR_FORMAT;
            continue;
        }
        p->column_source[p->column_count] = c;
        anl_status one = read_column(p, c, c_locale, &p->columns[p->column_count], &p->numbers[p->column_count]);
        status = one != ANL_OK ? one : status;
        p->column_count++;
    }
    if (c_locale)
        freelocale(c_locale);
    return status;
}

/* ---- splitting ---- */

static int by_unit_name(const void *a, const void *b)
{
    const unit *x = a, *y = b;
    if (x->patient != y->patient)
        return x->patient ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_stratum(const void *a, const void *b)
{
    const unit *x = *(const unit *const *)a, *y = *(const unit *const *)b;
    if (x->stratum != y->stratum)
        return x->stratum < y->stratum ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return by_unit_name(x, y);
}

static void make_unit(const pack *p, const entry *e, unit *out)
{
    const char *patient = p->patient_column >= 0 && e->row >= 0 ? anl_csv_cell(&p->csv, e->row, p->patient_column) : "";
    *out = (unit){.name = patient[0] ? patient : e->file, .patient = patient[0] != 0, .stratum = -INFINITY};
}

/* Patients (and samples without one) are put in the order of a seeded hash and dealt out: each goes to the split that is
 * furthest behind its share. So shares are exact, within every stratum too when the order is by stratum first. */
static anl_status split(pack *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    unit *units = ANL_NEW_ARRAY(p->arena, unit, p->entry_count);
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
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, at_row(p, -1),
                     "the splits cannot be balanced by `%s`: it has more than %d different words", o->stratify, MOST_WORDS);
        return ANL_ERROR_FORMAT;
    }
    for (int i = 0; i < p->entry_count; i++) {
        entry *e = &p->entries[i];
        unit key;
        make_unit(p, e, &key);
        unit *found = bsearch(&key, units, (size_t)count, sizeof *units, by_unit_name);
        e->unit = (int)(found - units);
        /* A patient belongs to the highest value any of its images has: one positive image makes a positive patient. */
        if (stratify >= 0 && p->numbers[stratify][e->row] > found->stratum)
            found->stratum = p->numbers[stratify][e->row];
    }
    unit **order = ANL_NEW_ARRAY(p->arena, unit *, count);
    for (int u = 0; u < count; u++) {
        units[u].hash = anl_hash_text(units[u].name, o->seed);
        report->patients += units[u].patient;
        order[u] = &units[u];
    }
    qsort(order, (size_t)count, sizeof *order, by_stratum);
    double share[SPLITS] = {1 - o->fraction_valid - o->fraction_test, o->fraction_valid, o->fraction_test};
    double given[SPLITS] = {0};
    for (int u = 0; u < count; u++) {
        int best = TRAIN;
        double most = -INFINITY;
        for (int s = 0; s < SPLITS; s++) {
            double behind = share[s] * (u + 1) - given[s];
            if (share[s] > 0 && behind > most + 1e-9) {
                most = behind;
                best = s;
            }
        }
        order[u]->split = best;
        given[best]++;
    }
    if (p->patient_column < 0 && p->csv.columns > 0 && share[TRAIN] < 1)
        anl_diagnose(
            p->diagnostics, ANL_A_patients_unknown, at_row(p, -1),
            "no column says which patient an image is of, so images are split one by one: a patient with several images may be "
            "in training and test at once");
    return ANL_OK;
}

/* ---- what the shards will hold ---- */

static void probe_one(void *context, int chunk, int thread)
{
    (void)thread;
    pack *p = context;
    anl_scan scan;
    char reason[ANL_REASON_SIZE];
    if (anl_scan_probe(p->entries[chunk].path, &scan, reason) != ANL_OK)
        return; /* reading it whole will say why */
    seen *s = &p->entries[chunk].seen;
    *s = (seen){.good = true,
                .type = scan.type,
                .bits = scan.bits,
                .depth = scan.depth,
                .frames = scan.frames,
                .slope = scan.slope,
                .intercept = scan.intercept,
                .spaced = scan.spacing[0] > 0 && scan.spacing[1] > 0};
    memcpy(s->unit, scan.unit, sizeof s->unit);
    memcpy(s->modality, scan.modality, sizeof s->modality);
    /* Photographs and exported images have a black and a white; what a device measured has a unit, or no scale of its own. */
    bool plain = (scan.type == ANL_VOXEL_U8 || scan.type == ANL_VOXEL_U16) && scan.slope == 1 && scan.intercept == 0;
    s->values = scan.unit[0] ? ANL_VALUES_UNIT : plain && !scan.modality[0] ? ANL_VALUES_FULL : ANL_VALUES_RELATIVE;
}

static bool integral(double v) { return v == floor(v); }

/* Ends of the values that a scan of this kind can hold. */
static void value_ends(const seen *s, double *least, double *most)
{
    bool is_signed = s->type == ANL_VOXEL_I16 || s->type == ANL_VOXEL_I32;
    double low = is_signed ? -ldexp(1, s->bits - 1) : 0, high = ldexp(1, s->bits - is_signed) - 1;
    double a = low * s->slope + s->intercept, b = high * s->slope + s->intercept;
    *least = a < b ? a : b;
    *most = a < b ? b : a;
}

static bool floating(anl_voxel type) { return type == ANL_VOXEL_F32 || type == ANL_VOXEL_F64; }

/* The type for measured or relative values: as stored where all files agree, else the least that holds every value they may have. */
static void choose_type(const pack *p, anl_shard_image *image)
{
    const seen *first = NULL;
    bool same = true, whole = true;
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < p->entry_count; i++) {
        const seen *s = &p->entries[i].seen;
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

static anl_status mixed(pack *p, anl_code code, int some, const char *first, const char *message, const char *remedy)
{
    anl_diagnostic *d = anl_diagnose(p->diagnostics, code, (anl_span){.file = first}, message, some, first);
    anl_diagnostic_note(p->diagnostics, d, "%s", remedy);
    return ANL_ERROR_FORMAT;
}

/* Images or volumes, and the type and meaning of what is stored. */
static anl_status choose_image(pack *p)
{
    const anl_pack_options *o = p->options;
    int kinds[3] = {0}, deep = 0, flat = 0;
    const entry *first_of[3] = {NULL}, *first_deep = NULL, *other_unit = NULL;
    p->depths[0] = 64;
    for (int i = 0; i < p->entry_count; i++) {
        const entry *e = &p->entries[i];
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
        return mixed(p, ANL_A_image_pages, deep, first_deep->path, "%d of the files have several slices or pages, the others have one (the first such file is %s)",
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
                               .deflate = o->deflate};
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

/* ---- decoding ---- */

typedef struct result {
    uint8_t *stored; /* samples one behind the other */
    void **packed;      /* per sample, where they are compressed, … */
    size_t *lengths;    /* … and its bytes */
    int count;
    double (*range)[2]; /* per sample */
    double spacing[3];  /* of all */
    int frames, depth;  /* of the file: they name the samples */
    anl_status status;
    char reason[ANL_REASON_SIZE];
} result;

typedef struct block {
    const pack *pack;
    const entry **entries;
    result *results;
} block;

/* A sample while it is filled: where the resampled scan lies in it, and how its values become stored ones. */
typedef struct canvas {
    const anl_shard_image *image;
    uint8_t *stored;
    int shape[3], at[3]; /* of the resampled scan, along x, y, z, and where it begins */
    int source_channels;
    double factor, shift, low, high; /* stored = value of the scan * factor + shift, within low and high */
    double least;                    /* of what was put */
} canvas;

static void put(const canvas *c, size_t at, double v)
{
    if (c->image->type == ANL_VOXEL_F32) {
        ((float *)c->stored)[at] = (float)v;
        return;
    }
    v = floor(v + 0.5);
    v = v < c->low ? c->low : v > c->high ? c->high : v;
    switch (c->image->type) {
    case ANL_VOXEL_U8:
        c->stored[at] = (uint8_t)v;
        break;
    case ANL_VOXEL_U16:
        ((uint16_t *)c->stored)[at] = (uint16_t)v;
        break;
    case ANL_VOXEL_I16:
        ((int16_t *)c->stored)[at] = (int16_t)v;
        break;
    default:
        ((int32_t *)c->stored)[at] = (int32_t)v;
    }
}

static size_t place_of(const canvas *c, int z, int y, int x)
{
    const anl_shard_image *i = c->image;
    return (((size_t)z * (size_t)i->height + (size_t)y) * (size_t)i->width + (size_t)x) * (size_t)i->channels;
}

static void put_row(void *context, int z, int y, const double *row)
{
    canvas *c = context;
    const int channels = c->image->channels;
    size_t at = place_of(c, c->at[2] + z, c->at[1] + y, c->at[0]);
    for (int x = 0; x < c->shape[0]; x++)
        for (int k = 0; k < channels; k++, at++) {
            const double *from = row + (size_t)x * (size_t)c->source_channels;
            double v;
            if (c->source_channels == 3 && channels == 1) /* ITU-R BT.601 luma; exact where the three are equal */
                v = from[0] == from[1] && from[1] == from[2] ? from[0] : (299 * from[0] + 587 * from[1] + 114 * from[2]) / 1000;
            else
                v = from[c->source_channels == 3 ? k : 0];
            v = v * c->factor + c->shift;
            c->least = v < c->least ? v : c->least;
            put(c, at, v);
        }
}

/* What lies around the scan is black; where black is no value of its own, as dark as the scan gets. */
static void put_around(const canvas *c)
{
    const anl_shard_image *i = c->image;
    if (i->values == ANL_VALUES_FULL)
        return; /* zeroed */
    for (int z = 0; z < i->depth; z++)
        for (int y = 0; y < i->height; y++) {
            bool inside = z >= c->at[2] && z < c->at[2] + c->shape[2] && y >= c->at[1] && y < c->at[1] + c->shape[1];
            for (int x = 0; x < i->width; x++)
                if (!inside || x < c->at[0] || x >= c->at[0] + c->shape[0])
                    for (int k = 0; k < i->channels; k++)
                        put(c, place_of(c, z, y, x) + (size_t)k, c->least);
        }
}

/* The values below which RANGE_SHARE of the scan in the canvas lies, and above which as much does: from a histogram, so in linear time. */
static anl_status find_range(const canvas *c, double range[2])
{
    const anl_shard_image *i = c->image;
    const int64_t values = (int64_t)c->shape[0] * i->channels;
    double *row = malloc(sizeof(double) * (size_t)values), low = INFINITY, high = -INFINITY;
    int64_t *bins = calloc(RANGE_BINS, sizeof *bins);
    if (!row || !bins) {
        free(row);
        free(bins);
        return ANL_ERROR_MEMORY;
    }
    anl_scan scan = anl_shard_scan(i, c->stored);
    for (int pass = 0; pass < 2; pass++)
        for (int z = 0; z < c->shape[2]; z++)
            for (int y = 0; y < c->shape[1]; y++) {
                anl_scan_stored(&scan, (int64_t)place_of(c, c->at[2] + z, c->at[1] + y, c->at[0]), values, row);
                for (int64_t k = 0; k < values; k++)
                    if (pass == 0) {
                        low = row[k] < low ? row[k] : low;
                        high = row[k] > high ? row[k] : high;
                    } else if (high > low)
                        bins[(int)((row[k] - low) / (high - low) * (RANGE_BINS - 1))]++;
            }
    range[0] = low;
    range[1] = high;
    const double beyond = RANGE_SHARE * (double)values * c->shape[1] * c->shape[2];
    for (int end = 0; end < 2 && high > low; end++) {
        double sum = 0;
        for (int b = 0; b < RANGE_BINS; b++) {
            int bin = end ? RANGE_BINS - 1 - b : b;
            sum += (double)bins[bin];
            if (sum > beyond) {
                range[end] = low + (high - low) * bin / (RANGE_BINS - 1);
                break;
            }
        }
    }
    for (int end = 0; end < 2; end++)
        range[end] = range[end] * i->scale + i->offset;
    free(row);
    free(bins);
    return ANL_OK;
}

/* The scan at the size of the samples: its longest side fills them, its shape (in mm, where the spacing is known) is kept. */
static void fit(canvas *c, const anl_scan *scan, double spacing[3])
{
    const anl_shard_image *i = c->image;
    const int size[3] = {i->width, i->height, i->depth}, dims[3] = {scan->width, scan->height, scan->depth};
    const int axes = i->volume ? 3 : 2;
    bool known = true;
    for (int a = 0; a < axes; a++)
        known = known && scan->spacing[a] > 0;
    double extent[3] = {1, 1, 1};
    int tight = 0; /* the axis that fills its size */
    for (int a = 0; a < axes; a++) {
        extent[a] = known ? dims[a] * scan->spacing[a] : dims[a];
        if (size[a] * extent[tight] < size[tight] * extent[a])
            tight = a;
    }
    for (int a = 0; a < 3; a++) {
        double share = a < axes ? floor((2 * extent[a] * size[tight] + extent[tight]) / (2 * extent[tight])) : 1; /* rounds half up */
        c->shape[a] = share < 1 ? 1 : share > size[a] ? size[a] : (int)share;
        c->at[a] = (size[a] - c->shape[a]) / 2;
        spacing[a] = known && a < axes ? extent[a] / c->shape[a] : scan->spacing[a];
    }
}

static void values_to_stored(const pack *p, const anl_scan *scan, canvas *c)
{
    const anl_shard_image *i = c->image;
    bool is_signed = i->type == ANL_VOXEL_I16 || i->type == ANL_VOXEL_I32;
    c->low = is_signed ? -ldexp(1, 8 * anl_voxel_bytes(i->type) - 1) : 0;
    c->high = is_signed ? -1 - c->low : ldexp(1, i->values == ANL_VALUES_FULL ? i->bits : 8 * anl_voxel_bytes(i->type)) - 1;
    if (p->windowed) {
        double bottom = p->options->window[0] - p->options->window[1] / 2, stretch = c->high / p->options->window[1];
        c->factor = scan->slope * stretch;
        c->shift = (scan->intercept - bottom) * stretch;
    } else if (i->values == ANL_VALUES_FULL) {
        c->factor = c->high / (ldexp(1, scan->bits) - 1);
        c->shift = 0;
    } else {
        c->factor = scan->slope / i->scale;
        c->shift = (scan->intercept - i->offset) / i->scale;
    }
}

static bool all_finite(const anl_scan *scan)
{
    const int64_t count = anl_scan_count(scan);
    if (scan->type == ANL_VOXEL_F32) {
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(((const float *)scan->voxels)[k]))
                return false;
    } else if (scan->type == ANL_VOXEL_F64)
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(((const double *)scan->voxels)[k]))
                return false;
    return true;
}

static anl_status make_samples(const pack *p, anl_scan *scan, result *r)
{
    const anl_shard_image *image = &p->schema.image;
    if (image->volume && scan->depth == 1)
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "it is a single slice, not a volume");
    if (!image->volume && !p->slices && scan->depth > 1)
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "the file changes while it is read");
    if (!all_finite(scan))
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "some of its values are not finite numbers");
    r->frames = p->options->first_frame ? 1 : scan->frames;
    r->depth = scan->depth;
    const int per_frame = image->volume ? 1 : scan->depth;
    const size_t bytes = anl_shard_image_bytes(image);
    r->count = r->frames * per_frame;
    r->stored = calloc((size_t)r->count, bytes);
    r->range = calloc((size_t)r->count, sizeof *r->range);
    if (!r->stored || !r->range)
        return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory for its %d samples", r->count);
    canvas c = {.image = image, .source_channels = scan->channels};
    values_to_stored(p, scan, &c);
    fit(&c, scan, r->spacing);
    anl_scan view = *scan; /* of one slice, where these are samples */
    if (!image->volume)
        view.depth = 1;
    view.frames = r->count;
    anl_status status = ANL_OK;
    for (int k = 0; k < r->count && status == ANL_OK; k++) {
        c.stored = r->stored + bytes * (size_t)k;
        c.least = INFINITY;
        status = anl_scan_resample(&view, k, c.shape[0], c.shape[1], c.shape[2], put_row, &c);
        if (status == ANL_OK)
            put_around(&c);
        if (status == ANL_OK && image->values == ANL_VALUES_RELATIVE)
            status = find_range(&c, r->range[k]);
        else if (status == ANL_OK)
            anl_shard_extent(image, c.stored, r->range[k]);
    }
    if (status != ANL_OK)
        return anl_scan_refuse(r->reason, status, "no memory to resample it");
    anl_voxels_little(r->stored, (size_t)r->count * bytes / (size_t)anl_voxel_bytes(image->type), (size_t)anl_voxel_bytes(image->type));
    if (image->deflate == 0)
        return ANL_OK;
    r->packed = calloc((size_t)r->count, sizeof *r->packed);
    r->lengths = calloc((size_t)r->count, sizeof *r->lengths);
    for (int k = 0; k < r->count; k++)
        if (!r->packed || !r->lengths || !anl_shard_deflate(image, r->stored + bytes * (size_t)k, &r->packed[k], &r->lengths[k])) {
            if (r->packed)
                r->packed[k] = NULL;
            return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory to compress it");
        }
    free(r->stored); /* as large as all samples together */
    r->stored = NULL;
    return ANL_OK;
}

static void forget_result(result *r)
{
    for (int k = 0; r->packed && k < r->count; k++)
        free(r->packed[k]);
    free(r->packed);
    free(r->lengths);
    free(r->stored);
    free(r->range);
    r->packed = NULL;
    r->lengths = NULL;
    r->stored = NULL;
    r->range = NULL;
    r->count = 0;
}

static void decode_one(void *context, int chunk, int thread)
{
    (void)thread;
    const block *b = context;
    result *r = &b->results[chunk];
    *r = (result){0};
    anl_scan scan;
    r->status = anl_scan_decode(b->entries[chunk]->path, &scan, r->reason);
    if (r->status == ANL_OK) {
        r->status = make_samples(b->pack, &scan, r);
        anl_scan_free(&scan);
    }
    if (r->status != ANL_OK)
        forget_result(r);
}

/* ---- writing ---- */

static anl_status cannot_write(pack *p, const char *path, const char *reason)
{
    anl_diagnostic *d =
        anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = path}, "cannot write %s: %s", path, reason);
    anl_diagnostic_note(p->diagnostics, d, "nothing of this pack is kept; check the space and the rights of the folder");
    return ANL_ERROR_FILE;
}

static anl_status commit_shard(pack *p, anl_shard_writer **writer, int split, int number)
{
    char reason[ANL_REASON_SIZE];
    const char *file = anl_arena_printf(p->arena, "%s-%05d.h5", split_names[split], number);
    const char *path = anl_path_join(p->arena, p->options->out, file);
    const char *temporary = anl_arena_printf(p->arena, "%s.tmp-%ld", path, (long)getpid());
    int samples = anl_shard_count(*writer);
    anl_status status = anl_shard_finish(writer, reason);
    if (status == ANL_OK && samples == 0) {
        unlink(temporary);
        return ANL_OK;
    }
    struct stat about;
    if (status == ANL_OK && (anl_file_commit(temporary, path) != ANL_OK || stat(path, &about) != 0)) {
        snprintf(reason, sizeof reason, "%s", strerror(errno));
        status = ANL_ERROR_FILE;
    }
    if (status != ANL_OK) {
        unlink(temporary);
        return cannot_write(p, path, reason);
    }
    committed c = {.file = file, .split = split_names[split], .samples = samples, .bytes = about.st_size};
    ANL_PUSH(p->arena, p->shards, p->shard_count, p->shard_capacity, c);
    return ANL_OK;
}

static void skip(pack *p, const entry *e, const char *reason)
{
    if (p->skip_count < MOST_WARNINGS) {
        anl_span place = e->row >= 0 ? at_row(p, e->row) : (anl_span){.file = e->path};
        anl_diagnose(p->diagnostics, ANL_A_image_skipped, place, "%s is skipped: %s", e->path, reason);
    }
    skipped s = {.file = e->file, .reason = anl_arena_text(p->arena, reason)};
    ANL_PUSH(p->arena, p->skips, p->skip_count, p->skip_capacity, s);
}

/* Sample k of a file: the file's name, and which frame and slice of it, where there are several. */
static const char *sample_name(pack *p, const entry *e, const result *r, int k)
{
    const bool volume = p->schema.image.volume;
    const int slices = volume ? 1 : r->depth;
    if (r->frames == 1 && slices == 1)
        return e->file;
    if (slices == 1)
        return anl_arena_printf(p->arena, "%s#t%d", e->file, k);
    if (r->frames == 1)
        return anl_arena_printf(p->arena, "%s#z%d", e->file, k);
    return anl_arena_printf(p->arena, "%s#t%dz%d", e->file, k / slices, k % slices);
}

static anl_status add_sample(pack *p, anl_shard_writer *writer, const entry *e, const result *r, int k, char *reason)
{
    double *numbers = anl_malloc(sizeof *numbers * ((size_t)p->column_count + 1));
    const char **texts = anl_malloc(sizeof *texts * ((size_t)p->column_count + 1));
    for (int c = 0; c < p->column_count; c++) {
        numbers[c] = p->numbers[c][e->row];
        texts[c] = anl_csv_cell(&p->csv, e->row, p->column_source[c]);
    }
    const size_t bytes = anl_shard_image_bytes(&p->schema.image);
    anl_shard_sample sample = {.stored = r->packed ? r->packed[k] : r->stored + bytes * (size_t)k,
                               .length = r->packed ? r->lengths[k] : bytes,
                               .file = sample_name(p, e, r, k),
                               .patient = p->patient_column >= 0 ? anl_csv_cell(&p->csv, e->row, p->patient_column) : NULL,
                               .numbers = numbers,
                               .texts = texts,
                               .range = {r->range[k][0], r->range[k][1]},
                               .spacing = {r->spacing[0], r->spacing[1], r->spacing[2]}};
    anl_status status = anl_shard_add(writer, &sample, reason);
    free(numbers);
    free(texts);
    return status;
}

/* Decodes and writes one split. */
static anl_status write_split(pack *p, int split, int shard_samples, block *b, int block_size)
{
    const anl_pack_options *o = p->options;
    anl_shard_writer *writer = NULL;
    char reason[ANL_REASON_SIZE];
    const char *temporary = NULL;
    int number = 0, next = 0;
    anl_status status = ANL_OK;
    while (status == ANL_OK) {
        int count = 0;
        for (; next < p->entry_count && count < block_size; next++)
            if (p->units[p->entries[next].unit].split == split)
                b->entries[count++] = &p->entries[next];
        if (count == 0)
            break;
        if (o->stop && o->stop(o->context)) {
            status = ANL_ERROR_STOPPED;
            break;
        }
        anl_parallel(p->pool, count, decode_one, b);
        for (int i = 0; i < count; i++) {
            const entry *e = b->entries[i];
            const result *r = &b->results[i];
            if (r->status != ANL_OK && status == ANL_OK)
                skip(p, e, r->reason);
            for (int k = 0; k < r->count && status == ANL_OK; k++) {
                if (!writer) {
                    const char *path =
                        anl_path_join(p->arena, o->out, anl_arena_printf(p->arena, "%s-%05d.h5", split_names[split], number));
                    temporary = anl_arena_printf(p->arena, "%s.tmp-%ld", path, (long)getpid());
                    status = anl_shard_create(temporary, &p->schema, split_names[split], shard_samples, &writer, reason);
                }
                if (status == ANL_OK)
                    status = add_sample(p, writer, e, r, k, reason);
                if (status != ANL_OK)
                    status = cannot_write(p, temporary, reason);
                else {
                    p->split_samples[split]++;
                    if (anl_shard_count(writer) == shard_samples)
                        status = commit_shard(p, &writer, split, number++);
                }
            }
            forget_result(&b->results[i]);
        }
        p->done += count;
        if (o->progress && status == ANL_OK)
            o->progress(o->context, p->done, p->entry_count);
    }
    if (status == ANL_OK && writer)
        status = commit_shard(p, &writer, split, number);
    if (writer) {
        anl_shard_abandon(&writer);
        unlink(temporary);
    }
    return status;
}

/* What was asked for, without paths: the same wherever the images lie. */
static void write_options(const pack *p, anl_json *json)
{
    const anl_pack_options *o = p->options;
    anl_json_integer(json, "width", o->size[0]);
    anl_json_integer(json, "height", o->size[1]);
    if (p->schema.image.volume)
        anl_json_integer(json, "depth", p->schema.image.depth);
    anl_json_string(json, "samples", p->schema.image.volume ? "volumes" : p->slices ? "slices" : "images");
    if (o->first_frame)
        anl_json_string(json, "frames", "the first of each file");
    if (o->deflate > 0)
        anl_json_integer(json, "deflate", o->deflate);
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
    if (p->patient_column >= 0)
        anl_json_string(json, "patient", p->csv.names[p->patient_column]);
    if (o->stratify)
        anl_json_string(json, "stratify", o->stratify);
    anl_json_string(json, "resampling", "area average shrinking, linear growing, black around");
}

static anl_status write_manifest(pack *p, const anl_pack_report *report)
{
    anl_text text = {0};
    anl_json json = {.text = &text, .pretty = true};
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->options->seed);
    anl_json_object(&json, NULL);
    anl_json_integer(&json, "format", ANL_SHARD_FORMAT);
    anl_json_string(&json, "tool", "anlage pack " ANL_VERSION);
    anl_json_string(&json, "seed", seed);
    anl_json_object(&json, "options");
    write_options(p, &json);
    anl_json_object_end(&json);
    anl_json_string(&json, "type", anl_voxel_name(p->schema.image.type));
    anl_json_integer(&json, "bits", p->schema.image.bits);
    anl_json_number(&json, "scale", p->schema.image.scale);
    anl_json_number(&json, "offset", p->schema.image.offset);
    anl_json_string(&json, "values", p->schema.image.values == ANL_VALUES_FULL   ? "0 black to 1 white"
                                     : p->schema.image.values == ANL_VALUES_UNIT ? p->schema.image.unit
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
    anl_json_object(&json, "samples");
    for (int s = 0; s < SPLITS; s++)
        anl_json_integer(&json, split_names[s], p->split_samples[s]);
    anl_json_object_end(&json);
    anl_json_array(&json, "columns");
    for (int c = 0; c < p->column_count; c++) {
        anl_json_object(&json, NULL);
        anl_json_string(&json, "name", p->columns[c].name);
        static const char *const kinds[] = {"number", "words", "text"};
        anl_json_string(&json, "kind", kinds[p->columns[c].kind]);
        if (p->columns[c].kind == ANL_COLUMN_CODE) {
            anl_json_array(&json, "values");
            for (int v = 0; v < p->columns[c].value_count; v++)
                anl_json_string(&json, NULL, p->columns[c].values[v]);
            anl_json_array_end(&json);
        }
        anl_json_object_end(&json);
    }
    anl_json_array_end(&json);
    anl_json_array(&json, "shards");
    for (int s = 0; s < p->shard_count; s++) {
        anl_json_object(&json, NULL);
        anl_json_string(&json, "file", p->shards[s].file);
        anl_json_string(&json, "split", p->shards[s].split);
        anl_json_integer(&json, "samples", p->shards[s].samples);
        anl_json_integer(&json, "bytes", p->shards[s].bytes);
        anl_json_object_end(&json);
    }
    anl_json_array_end(&json);
    anl_json_array(&json, "skipped");
    for (int s = 0; s < p->skip_count; s++) {
        anl_json_object(&json, NULL);
        anl_json_string(&json, "file", p->skips[s].file);
        anl_json_string(&json, "reason", p->skips[s].reason);
        anl_json_object_end(&json);
    }
    anl_json_array_end(&json);
    anl_json_object_end(&json);
    anl_text_add(&text, "\n");
    const char *path = anl_path_join(p->arena, p->options->out, "manifest.json");
    anl_status status = anl_file_write_atomic(path, text.data, text.length);
    if (status != ANL_OK)
        status = cannot_write(p, path, strerror(errno));
    anl_text_free(&text);
    return status;
}

/* train-00012.h5 and the like, and the manifest. */
static bool our_file(const char *name)
{
    if (strcmp(name, "manifest.json") == 0)
        return true;
    for (int s = 0; s < SPLITS; s++) {
        size_t length = strlen(split_names[s]);
        if (strncmp(name, split_names[s], length) == 0 && name[length] == '-') {
            size_t digits = strspn(name + length + 1, "0123456789");
            if (digits >= 5 && strcmp(name + length + 1 + digits, ".h5") == 0)
                return true;
        }
    }
    return false;
}

static anl_status prepare_folder(pack *p)
{
    const char *out = p->options->out;
    if (anl_folder_make(out) != ANL_OK) {
        anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = out}, "cannot make the folder %s: %s", out,
                     strerror(errno));
        return ANL_ERROR_FILE;
    }
    DIR *open = opendir(out);
    if (!open) {
        anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = out}, "cannot read the folder %s: %s", out,
                     strerror(errno));
        return ANL_ERROR_FILE;
    }
    anl_status status = ANL_OK;
    for (struct dirent *found; status == ANL_OK && (found = readdir(open));) {
        if (!our_file(found->d_name))
            continue;
        const char *path = anl_path_join(p->arena, out, found->d_name);
        if (!p->options->overwrite) {
            /* Old shards beside new ones would be read as one set. */
            anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = out},
                                             "the folder %s holds a pack already (%s)", out, found->d_name);
            anl_diagnostic_note(p->diagnostics, d, "choose another folder, or say --force to replace it");
            status = ANL_ERROR_FILE;
        } else if (unlink(path) != 0) {
            anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = path}, "cannot remove %s: %s", path,
                         strerror(errno));
            status = ANL_ERROR_FILE;
        }
    }
    closedir(open);
    return status;
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
    else if (!(o->window[1] >= 0) || !isfinite(o->window[0]) || !isfinite(o->window[1]))
        wrong = "a window has a centre and a positive width";
    else if (o->channels != 1 && o->channels != 3)
        wrong = "there can be 1 or 3 channels";
    else if (!(o->fraction_valid >= 0 && o->fraction_test >= 0 && o->fraction_valid + o->fraction_test <= 1 + 1e-9))
        wrong = "the shares of the splits must be 0 or more and together at most 1";
    else if (o->shard_samples < 0 || o->threads < 0)
        wrong = "numbers of samples and threads cannot be negative";
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

static const char *find_modality(const pack *p)
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

static anl_status write_all(pack *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    anl_text text = {0};
    anl_json json = {.text = &text};
    anl_json_object(&json, NULL);
    anl_parallel(p->pool, p->entry_count, probe_one, p);
    anl_status status = choose_image(p);
    if (status == ANL_OK && p->schema.image.volume && o->size[2] < 1) {
        anl_diagnose(p->diagnostics, ANL_A_out_of_range, (anl_span){0}, "volumes need a size along z, too");
        status = ANL_ERROR_ARGUMENT;
    }
    write_options(p, &json);
    anl_json_object_end(&json);
    p->schema.columns = p->columns;
    p->schema.column_count = p->column_count;
    p->schema.has_patient = p->patient_column >= 0;
    for (int i = 0; i < p->entry_count; i++)
        p->schema.has_spacing = p->schema.has_spacing || p->entries[i].seen.spaced;
    p->schema.seed = o->seed;
    p->schema.options = anl_arena_text(p->arena, text.data);
    p->schema.modality = find_modality(p);
    anl_text_free(&text);
    report->bits = p->schema.image.bits;
    report->volume = p->schema.image.volume;
    if (p->schema.image.values == ANL_VALUES_UNIT)
        strcpy(report->unit, p->schema.image.unit);
    if (status != ANL_OK)
        return status;
    status = prepare_folder(p);
    if (status != ANL_OK)
        return status;
    int block_size = anl_pool_threads(p->pool) * BLOCK_PER_THREAD;
    block b = {.pack = p,
               .entries = ANL_NEW_ARRAY(p->arena, const entry *, block_size),
               .results = ANL_NEW_ARRAY(p->arena, result, block_size)};
    for (int s = 0; s < SPLITS && status == ANL_OK; s++)
        status = write_split(p, s, o->shard_samples > 0 ? o->shard_samples : 1024, &b, block_size);
    report->skipped = p->skip_count;
    for (int s = 0; s < SPLITS; s++)
        report->packed += p->split_samples[s];
    report->train = p->split_samples[TRAIN];
    report->valid = p->split_samples[VALID];
    report->test = p->split_samples[TEST];
    report->shards = p->shard_count;
    if (p->skip_count > MOST_WARNINGS)
        anl_diagnose(p->diagnostics, ANL_A_image_skipped, (anl_span){0}, "%d more images are skipped; manifest.json lists all",
                     p->skip_count - MOST_WARNINGS);
    if (status == ANL_OK && report->packed == 0) {
        anl_diagnose(p->diagnostics, ANL_A_data_too_small, (anl_span){.file = o->labels}, "none of the %d images could be read",
                     p->entry_count);
        status = ANL_ERROR_FORMAT;
    }
    if (status == ANL_OK)
        status = write_manifest(p, report);
    if (status != ANL_OK)
        for (int s = 0; s < p->shard_count; s++) /* half a pack would be taken for a whole one */
            unlink(anl_path_join(p->arena, o->out, p->shards[s].file));
    return status;
}

anl_status anl_pack(const anl_pack_options *options, anl_pack_report *report, anl_diagnostics *diagnostics)
{
    memset(report, 0, sizeof *report);
    anl_status status = check_options(options, diagnostics);
    if (status != ANL_OK)
        return status;
    pack p = {.options = options, .diagnostics = diagnostics, .arena = anl_arena_new(), .patient_column = -1};
    if (options->labels)
        status = anl_csv_read(p.arena, options->labels, diagnostics, &p.csv);
    if (status == ANL_OK)
        status = find_images(&p);
    if (status == ANL_OK && p.csv.columns > 0)
        status = take_rows(&p);
    if (status == ANL_OK)
        status = read_columns(&p);
    report->images = p.entry_count;
    if (status == ANL_OK && p.entry_count == 0) {
        anl_diagnose(diagnostics, ANL_A_data_too_small, (anl_span){.file = options->input_count ? options->inputs[0] : NULL},
                     "there are no images here");
        status = ANL_ERROR_FILE;
    }
    if (status == ANL_OK)
        status = split(&p, report);
    if (status == ANL_OK) {
        p.pool = anl_pool_new(options->threads);
        status = write_all(&p, report);
        anl_pool_free(&p.pool);
    }
    anl_arena_free(&p.arena);
    return status;
}
