/* From image files and a table of labels to shards.
 * In: folders, files, labels.csv. Out: shards of training, validation and test samples and a manifest.
 * Images are decoded by many threads, a few per thread at a time, and written in order: bytes never depend on the threads. */
#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

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
#include "data/image.h"
#include "data/shard.h"

#define MOST_SIZE 4096
#define MOST_WORDS 4096  /* a column with more different words is free text */
#define MOST_WARNINGS 50 /* of one kind; the rest are only counted */
#define DEEPEST_FOLDER 64
#define BLOCK_PER_THREAD 8

enum { TRAIN, VALID, TEST, SPLITS };
static const char *const split_names[SPLITS] = {"train", "valid", "test"};

typedef struct entry {
    const char *path; /* to open */
    const char *file; /* as it is written down */
    int64_t row;      /* of the table, or -1 */
    int unit;         /* what is split: patients, or samples that have none */
    int8_t bits;      /* by its header; 0: unreadable */
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
    bool mixed; /* 8- and 16-bit sources */
    committed *shards;
    int shard_count, shard_capacity;
    skipped *skips;
    int skip_count, skip_capacity;
    int64_t done, paged;
    const char *first_paged;
    int64_t split_samples[SPLITS];
} pack;

static anl_span at_row(const pack *p, int64_t row)
{
    return (anl_span){.file = p->csv.path, .line = row < 0 ? 1 : p->csv.lines[row], .column = 1, .length = 1};
}

/* ---- which images ---- */

static bool image_name(const char *name)
{
    static const char *const endings[] = {".tif", ".tiff", ".png", ".jpg", ".jpeg"};
    size_t length = strlen(name);
    for (size_t i = 0; i < ANL_COUNT(endings); i++) {
        size_t n = strlen(endings[i]);
        if (length > n && strcasecmp(name + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}

/* In a folder, a file counts as an image by its name (and is then reported when it is none) or by its first bytes. */
static bool image_content(const char *path)
{
    unsigned char first[8];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t length = fread(first, 1, sizeof first, file);
    fclose(file);
    return anl_image_sniff(first, length) != ANL_IMAGE_UNKNOWN;
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
        anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = folder}, "cannot read the folder %s: %s", folder,
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
            if (image_name(names[i])) /* a dangling link: reported with the unreadable images */
                add_entry(p, path, file, -1);
        } else if (S_ISDIR(about.st_mode))
            status = walk(p, path, file, &here, depth + 1);
        else if (S_ISREG(about.st_mode) && (image_name(names[i]) || image_content(path)))
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

/* ---- decoding ---- */

typedef struct result {
    uint8_t *pixels;
    anl_status status;
    int pages;
    char reason[ANL_REASON_SIZE];
} result;

typedef struct block {
    const pack *pack;
    const entry **entries;
    result *results;
} block;

typedef struct canvas {
    uint8_t *pixels;
    int size, channels, bits, left, top, width, source_channels;
    double factor;
} canvas;

static void put_row(void *context, int y, const double *row)
{
    const canvas *c = context;
    double most = c->bits == 16 ? 65535 : 255;
    size_t at = ((size_t)(c->top + y) * (size_t)c->size + (size_t)c->left) * (size_t)c->channels;
    for (int x = 0; x < c->width; x++)
        for (int k = 0; k < c->channels; k++, at++) {
            const double *from = row + (size_t)x * (size_t)c->source_channels;
            double v;
            if (c->source_channels == 3 && c->channels == 1) /* ITU-R BT.601 luma; exact where the three are equal */
                v = from[0] == from[1] && from[1] == from[2] ? from[0] : (299 * from[0] + 587 * from[1] + 114 * from[2]) / 1000;
            else
                v = from[c->source_channels == 3 ? k : 0];
            v = floor(v * c->factor + 0.5);
            unsigned stored = v <= 0 ? 0 : v >= most ? (unsigned)most : (unsigned)v;
            if (c->bits == 16) {
                c->pixels[2 * at] = (uint8_t)(stored & 255);
                c->pixels[2 * at + 1] = (uint8_t)(stored >> 8);
            } else
                c->pixels[at] = (uint8_t)stored;
        }
}

static void decode_one(void *context, int chunk, int thread)
{
    (void)thread;
    const block *b = context;
    const anl_shard_schema *schema = &b->pack->schema;
    result *r = &b->results[chunk];
    anl_image image;
    anl_image_facts facts;
    r->pixels = NULL;
    r->status = anl_image_decode(b->entries[chunk]->path, &image, &facts, r->reason);
    r->pages = facts.pages;
    if (r->status != ANL_OK)
        return;
    int size = schema->size, longer = image.width > image.height ? image.width : image.height;
    /* Round half up, in integers. */
    int width = (int)((2 * (int64_t)image.width * size + longer) / (2 * (int64_t)longer));
    int height = (int)((2 * (int64_t)image.height * size + longer) / (2 * (int64_t)longer));
    width = width < 1 ? 1 : width;
    height = height < 1 ? 1 : height;
    r->pixels = calloc((size_t)size * (size_t)size * (size_t)schema->channels, (size_t)schema->bits / 8);
    canvas c = {.pixels = r->pixels,
                .size = size,
                .channels = schema->channels,
                .bits = schema->bits,
                .left = (size - width) / 2,
                .top = (size - height) / 2,
                .width = width,
                .source_channels = image.channels,
                .factor = schema->bits == 16 && image.bits == 8 ? 257 : 1};
    r->status = r->pixels ? anl_image_resample(&image, width, height, put_row, &c) : ANL_ERROR_MEMORY;
    if (r->status != ANL_OK) {
        snprintf(r->reason, sizeof r->reason, "no memory to resample it");
        free(r->pixels);
        r->pixels = NULL;
    }
    anl_image_free(&image);
}

static void probe_one(void *context, int chunk, int thread)
{
    (void)thread;
    pack *p = context;
    anl_image_facts facts;
    char reason[ANL_REASON_SIZE];
    if (anl_image_probe(p->entries[chunk].path, &facts, reason) == ANL_OK)
        p->entries[chunk].bits = (int8_t)facts.bits;
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

static anl_status add_sample(pack *p, anl_shard_writer *writer, const entry *e, const result *r, char *reason)
{
    const char *patient = p->patient_column >= 0 ? anl_csv_cell(&p->csv, e->row, p->patient_column) : NULL;
    double *numbers = anl_malloc(sizeof *numbers * ((size_t)p->column_count + 1));
    const char **texts = anl_malloc(sizeof *texts * ((size_t)p->column_count + 1));
    for (int c = 0; c < p->column_count; c++) {
        numbers[c] = p->numbers[c][e->row];
        texts[c] = anl_csv_cell(&p->csv, e->row, p->column_source[c]);
    }
    anl_status status = anl_shard_add(writer, r->pixels, e->file, patient, numbers, texts, reason);
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
            if (r->status == ANL_OK && status == ANL_OK) {
                if (r->pages > 1 && p->paged++ == 0)
                    p->first_paged = e->path;
                if (!writer) {
                    const char *path =
                        anl_path_join(p->arena, o->out, anl_arena_printf(p->arena, "%s-%05d.h5", split_names[split], number));
                    temporary = anl_arena_printf(p->arena, "%s.tmp-%ld", path, (long)getpid());
                    status = anl_shard_create(temporary, &p->schema, split_names[split], shard_samples, &writer, reason);
                }
                if (status == ANL_OK)
                    status = add_sample(p, writer, e, r, reason);
                if (status != ANL_OK)
                    status = cannot_write(p, temporary, reason);
                else {
                    p->split_samples[split]++;
                    if (anl_shard_count(writer) == shard_samples)
                        status = commit_shard(p, &writer, split, number++);
                }
            }
            free(r->pixels);
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
    anl_json_integer(json, "size", o->size);
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
    anl_json_string(json, "resampling", "area average shrinking, bilinear growing, zero padding");
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
    anl_json_integer(&json, "bits", p->schema.bits);
    anl_json_number(&json, "scale", p->schema.scale);
    if (p->mixed)
        anl_json_string(&json, "depths", "8- and 16-bit sources: 8-bit values are multiplied by 257");
    else
        anl_json_string(&json, "depths", p->schema.bits == 16 ? "16-bit sources" : "8-bit sources");
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
    else if (o->size < 1 || o->size > MOST_SIZE)
        wrong = "the size must be 1 to 4096 pixels";
    else if (o->channels != 1 && o->channels != 3)
        wrong = "there can be 1 or 3 channels";
    else if (!(o->fraction_valid >= 0 && o->fraction_test >= 0 && o->fraction_valid + o->fraction_test <= 1 + 1e-9))
        wrong = "the shares of the splits must be 0 or more and together at most 1";
    else if (o->shard_samples < 0 || o->threads < 0)
        wrong = "numbers of samples and threads cannot be negative";
    if (!wrong)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_out_of_range, (anl_span){0}, "%s", wrong);
    return ANL_ERROR_ARGUMENT;
}

static const char *find_modality(const pack *p)
{
    if (p->options->modality)
        return p->options->modality;
    for (int c = 0; c < p->column_count; c++)
        if (strcmp(p->columns[c].name, "modality") == 0 && p->columns[c].kind == ANL_COLUMN_CODE &&
            p->columns[c].value_count == 1)
            return p->columns[c].values[0];
    return NULL;
}

static anl_status write_all(pack *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    anl_text text = {0};
    anl_json json = {.text = &text};
    anl_json_object(&json, NULL);
    write_options(p, &json);
    anl_json_object_end(&json);
    anl_parallel(p->pool, p->entry_count, probe_one, p);
    bool narrow = false, deep = false;
    for (int i = 0; i < p->entry_count; i++) {
        narrow = narrow || p->entries[i].bits == 8;
        deep = deep || p->entries[i].bits == 16;
    }
    p->mixed = narrow && deep;
    p->schema = (anl_shard_schema){.size = o->size,
                                   .channels = o->channels,
                                   .bits = deep ? 16 : 8,
                                   .scale = deep ? 1.0 / 65535.0 : 1.0 / 255.0,
                                   .columns = p->columns,
                                   .column_count = p->column_count,
                                   .has_patient = p->patient_column >= 0,
                                   .seed = o->seed,
                                   .options = anl_arena_text(p->arena, text.data),
                                   .modality = find_modality(p)};
    anl_text_free(&text);
    report->bits = p->schema.bits;
    anl_status status = prepare_folder(p);
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
    if (p->paged > 0)
        anl_diagnose(p->diagnostics, ANL_A_image_pages, (anl_span){.file = p->first_paged},
                     "%lld file%s several pages, of which only the first is read (the first such file is %s)",
                     (long long)p->paged, p->paged == 1 ? " has" : "s have", p->first_paged);
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
                     "there are no TIFF, PNG or JPEG images here");
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
