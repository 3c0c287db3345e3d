/* What the files of packing share: pack.c finds images, tables and splits; pack_series.c puts slices together; pack_arrays.c reads
 * HDF5 arrays; pack_boxes.c knows boxes; pack_samples.c decodes and fits; pack_write.c writes; pack_same.c finds
 * identical images; pack_manifest.c writes down what was packed.
 * In: options. Out: the state of one pack, of one thread but for what says otherwise. */
#ifndef ANL_DATA_PACK_H
#define ANL_DATA_PACK_H

#include <anlage/dataset.h>
#include <locale.h>

#include "base/threads.h"
#include "data/array.h"
#include "data/csv.h"
#include "data/histogram.h"
#include "data/pack_work.h"
#include "data/shard.h"

/* What the header of a file says that the layout of the shards depends on. */
typedef struct anl_pack_seen {
    bool good; /* it can be read, so far */
    anl_values values;
    anl_voxel type;
    int bits, depth, frames;
    double slope, intercept;
    char unit[16], modality[16], patient[72];
    bool spaced;
} anl_pack_seen;

typedef struct anl_pack_entry {
    const char *path; /* to open */
    const char *file; /* as it is named; see anl_pack_shown */
    int64_t row;      /* of the table, or -1 */
    int member;       /* its number among those of its row, where that names a folder of several; 0: it is alone */
    bool named;       /* the row names it, not a folder in which it lies */
    const char **slices;    /* of a volume whose slices are files: they, in order; else NULL */
    int slice_count;
    const anl_array *array; /* of a scan that lies in an array: that, … */
    int64_t index;          /* … and its number in it */
    const char *refused;    /* why it is not to be read, or NULL */
    anl_scan *slice;        /* until volumes are gathered: what the header of a single slice says; malloc'd */
    bool beside, part;      /* … it only lies beside a file of the table; it became part of another entry */
    int unit;         /* what is split: patients, or samples that have none */
    int modality;     /* of the list of the pack */
    anl_pack_seen seen;
    /* once it was decoded */
    bool decoded, dropped;
    int64_t samples;
    uint8_t pixels[ANL_PIXELS_BYTES];
    double spacing[3]; /* of its samples, mm along x, y, z */
    const char *left;  /* why nothing is packed of it, or NULL */
} anl_pack_entry;

typedef struct anl_pack_unit {
    const char *name;   /* of the patient, or the file */
    const char *stored; /* … as the shards have it */
    uint64_t hash;
    double stratum;
    int split;
    bool patient;
} anl_pack_unit;

/* The rows of a table of boxes, by entry. */
typedef struct anl_pack_boxes {
    anl_csv csv;                  /* columns 0: there is none */
    double (*low)[3], (*high)[3]; /* [rows]: the first and beyond the last pixel along x, y, z of the file; z NAN: not said, of files of one slice */
    int *frame;                   /* [rows]: -1: all */
    int64_t *rows, *firsts;       /* those of entry e are rows[firsts[e]] to rows[firsts[e + 1] - 1], in the table's order */
    int axes;                     /* of a box in a sample */
    anl_shard_column *columns;    /* of the shards: corners, then what the table says beside them … */
    double **numbers;             /* … by row; NULL for corners */
    int column_count;
    int64_t unnamed, first_unnamed; /* rows whose image is not in the pack */
} anl_pack_boxes;

typedef struct anl_pack_state {
    const anl_pack_options *options;
    anl_diagnostics *diagnostics;
    anl_arena *arena;
    anl_pool *pool;
    anl_csv csv; /* columns 0: no table; from labels.csv, or (then without lines) from arrays of labels */
    anl_array **arrays;
    int array_count, array_capacity;
    anl_pack_entry *entries;
    int entry_count, entry_capacity;
    anl_pack_unit *units;
    int unit_count;
    int patient_column; /* -1: none */
    anl_shard_column *columns;
    int *column_source; /* table column of each shard column */
    int column_count;
    double **numbers; /* per shard column [rows] */
    anl_shard_schema schema;
    anl_pack_boxes boxes;
    bool slices; /* each slice of a volume is a sample */
    bool windowed;
    int depths[2]; /* least and most bits of the sources */
    const char **modalities;
    int modality_count, modality_capacity;
    anl_histogram_axis axis; /* of the histograms */
    const uint8_t *salt;
    size_t salt_length;
    anl_pack_work work;
    anl_lookup known; /* decoded images, by what their pixels are known by */
    int skip_count;
    int64_t done;
    int64_t split_samples[ANL_SPLITS];
} anl_pack_state;

static inline int anl_pack_split_of(const anl_pack_state *p, const anl_pack_entry *e) { return p->units[e->unit].split; }
/* A file as shards and manifest name it: by name, or by number. */
const char *anl_pack_shown(const anl_pack_state *p, const anl_pack_entry *e);
anl_span anl_pack_at_row(const anl_pack_state *p, int64_t row);

/* ---- pack.c, for pack_series.c ---- */
/* The names in a folder but hidden ones, sorted; in the arena. */
anl_status anl_pack_list(anl_pack_state *p, const char *folder, const char ***names, int *count);
/* In a folder, a file counts as an image by its name (and is then reported when it is none) or by its first bytes. */
bool anl_pack_looks_like_image(const char *name, const char *path);

/* ---- pack_series.c ---- */
/* Whether a probed scan is a slice that may belong to a volume: alone in its file, of a series, at a known place. */
bool anl_pack_is_slice(const anl_scan *scan);
/* Adds the files that lie in one folder with slices that the table names: they may be the rest of their series. */
anl_status anl_pack_add_beside(anl_pack_state *p);
/* Entries of slices of one volume become one entry. ANL_ERROR_FORMAT: the table says different things of slices of one. */
anl_status anl_pack_gather(anl_pack_state *p);
/* Reads the scan of an entry, from one file or from many. Any number of threads at once. */
anl_status anl_pack_read(const anl_pack_entry *e, anl_scan *out, char reason[ANL_REASON_SIZE]);

/* ---- pack_arrays.c ---- */
/* The scans of an array become entries. colon: where the name of its file ends. */
anl_status anl_pack_add_array(anl_pack_state *p, const char *input, size_t colon);
/* Says which arrays an HDF5 file has that was given without one; never ANL_OK. */
anl_status anl_pack_refuse_container(anl_pack_state *p, const char *file);
/* Fills the table from arrays of labels. */
anl_status anl_pack_array_labels(anl_pack_state *p);
void anl_pack_close_arrays(anl_pack_state *p);

/* ---- pack.c, for pack_boxes.c ---- */
bool anl_pack_can_be_column(const char *name); /* of an HDF5 group */
bool anl_pack_missing_word(const char *cell);
bool anl_pack_take_number(const char *cell, locale_t c_locale, double *value);
/* A column of a table as numbers or codes by row, or as text; all in the arena. */
void anl_pack_read_column(anl_pack_state *p, const anl_csv *csv, int source, locale_t c_locale, anl_shard_column *column, double **numbers);

/* ---- pack_samples.c ---- */
/* A box of a sample, in its pixels. */
typedef struct anl_pack_box {
    int64_t row; /* of the table */
    double low[3], high[3];
} anl_pack_box;
typedef struct anl_pack_result {
    uint8_t *stored;    /* samples one behind the other */
    void **packed;      /* per sample, where they are compressed, … */
    size_t *lengths;    /* … and its bytes */
    int count;
    double (*range)[2]; /* per sample */
    double spacing[3];  /* of all */
    int frames, depth;  /* of the file: they name the samples */
    uint8_t pixels[ANL_PIXELS_BYTES];
    anl_histogram histogram; /* of all samples */
    anl_pack_box *boxes;     /* sample after sample */
    int box_count, *box_ends; /* box_ends[k]: where those of sample k end; NULL: there are none */
    int64_t boxes_outside;   /* rows that are in none */
    anl_status status;
    char reason[ANL_REASON_SIZE];
} anl_pack_result;
/* Decodes a file into samples. Any number of threads at once. */
void anl_pack_decode(const anl_pack_state *p, const anl_pack_entry *e, anl_pack_result *out);
void anl_pack_forget(anl_pack_result *result);

/* ---- pack_boxes.c ---- */
/* What became of a scan on its way into samples, along x, y, z. */
typedef struct anl_pack_way {
    int dims[3], cropped[3], kept[3]; /* as it was read; where the part begins that was kept of it, and its size … */
    int shape[3];                     /* … which became this size, … */
    int from[3], inner[3];            /* … of which this part is seen … */
    int at[3];                        /* … here in the sample */
} anl_pack_way;
/* Reads options->boxes; all entries and the image of the schema are known. Every row that makes no sense is reported (A0802). */
anl_status anl_pack_read_boxes(anl_pack_state *p);
/* The boxes of the samples of a file. Any number of threads at once. */
anl_status anl_pack_place_boxes(const anl_pack_state *p, const anl_pack_entry *e, const anl_scan *scan, const anl_pack_way *way, anl_pack_result *r);
/* One box as the columns of the schema have it. */
void anl_pack_box_numbers(const anl_pack_state *p, const anl_pack_box *box, double *out);
/* Warns of boxes that are in no sample. */
void anl_pack_judge_boxes(const anl_pack_state *p, int64_t outside);

/* ---- pack_write.c ---- */
/* Writes all shards, and the manifest; goes on where a pack by the same plan was. */
anl_status anl_pack_write(anl_pack_state *p, anl_pack_report *report);

/* ---- pack_same.c ---- */
/* The first file that had the same pixels, or NULL: then it is now known as the first. */
anl_pack_entry *anl_pack_same(anl_pack_state *p, anl_pack_entry *e);
/* Files with the same pixels: entries of each group, one behind the other, in the order of the set; ends[g]: where group g ends. In the arena. */
typedef struct anl_pack_groups {
    int *entries, *ends, count;
} anl_pack_groups;
anl_pack_groups anl_pack_find_groups(const anl_pack_state *p);
/* Warns of what identical images spoil. */
void anl_pack_judge_groups(const anl_pack_state *p, const anl_pack_groups *groups);
/* Whether the column's values are few enough to be classes; *values: the different ones, ascending, in the arena (codes of words as numbers). */
bool anl_pack_classes(const anl_pack_state *p, int column, double **values, int *count);

/* ---- pack_manifest.c ---- */
/* What was asked for, without paths: the same wherever the images lie. */
void anl_pack_options_text(const anl_pack_state *p, anl_text *text);
void anl_pack_manifest_text(const anl_pack_state *p, const anl_pack_report *report, const anl_pack_groups *groups, anl_text *text);

#endif
