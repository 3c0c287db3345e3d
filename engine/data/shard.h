/* A shard: one HDF5 file of samples. This is the only place that knows its layout.
 * In: samples to write, or a path to read. Out: files that h5py reads, or their images, labels and patients.
 *
 *   /image            [samples, y, x, channel], volumes [samples, z, y, x, channel]; uint8, uint16, int16, int32 or float32, one chunk per
 *                     sample, plain, shuffled and deflated, or by the filter 32001 (Blosc). The value is stored * scale + offset; attributes: scale, offset, bits (where fewer than the type's), and values:
 *                       full      0 is black and 1 is white, as in photographs
 *                       unit      measured, in the attribute `unit` (HU)
 *                       relative  of no fixed scale (MR): seen as (value - low) / (high - low), with /range of the sample
 *                     least, greatest: of all that is stored, unless it is relative; photometric, where it is grey or colour, as DICOM has
 *                     it: MONOCHROME2 (the greatest is white; readers see to it), MONOCHROME1 (the least is: of shards made by others) or
 *                     RGB; rescale_slope, rescale_intercept: of the source, where stored values are still without them (shards of others)
 *   /range            [samples, 2] float64, relative only: low and high, the values below which 0.5 % and 99.5 % of the sample lie
 *   /spacing          [samples, 3] float32: mm from centre to centre along z, y, x as stored here; 0: not known. Absent: known of none
 *   /labels/NAME      [samples] float32 or float64 (NaN: missing), or int32 codes (-1: missing) with attribute values: the words
 *   /texts/NAME       [samples] strings: columns of free text, which cannot be labels
 *   /patient          [samples] int64, row of /patients or -1;  /patients: strings: salted hashes (p or n and 16 digits, see patients.h), or ids
 *   /file             [samples] strings, the source: its name, or its number where names were to be left out
 *   attributes of /   format, tool, options (JSON), seed, split, modality if known;  of /labels: columns, in the order of
 * labels.csv
 */
#ifndef ANL_DATA_SHARD_H
#define ANL_DATA_SHARD_H

#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "data/hdf5.h"
#include "data/scan.h"

#define ANL_SHARD_FORMAT 2

typedef enum anl_column_kind { ANL_COLUMN_NUMBER, ANL_COLUMN_CODE, ANL_COLUMN_TEXT } anl_column_kind;

typedef struct anl_shard_column {
    const char *name;
    anl_column_kind kind;
    bool wide;                 /* numbers that float32 cannot hold exactly enough: stored as float64 */
    const char *const *values; /* codes: the words, sorted by bytes */
    int value_count;
} anl_shard_column;

/* How stored values are meant. */
typedef enum anl_values { ANL_VALUES_FULL, ANL_VALUES_UNIT, ANL_VALUES_RELATIVE } anl_values;

/* The images of a shard: what writer and reader agree on. */
typedef struct anl_shard_image {
    bool volume; /* has an axis z */
    int depth, height, width, channels;
    anl_voxel type; /* not float64 */
    int bits;
    double scale, offset;
    anl_values values;
    const char *unit; /* of ANL_VALUES_UNIT, else "" */
    int deflate, blosc; /* level of compression, 1 to 9, of one of the two; 0: none */
} anl_shard_image;
size_t anl_shard_image_bytes(const anl_shard_image *image); /* of one sample */
/* A sample as it lies in a file with compression, as HDF5's filters do it: shuffled by bytes and deflated, or by Blosc. *out: malloc'd. False: no memory. */
bool anl_shard_compress(const anl_shard_image *image, const void *stored, void **out, size_t *length);
/* A scan whose voxels are a stored sample, borrowed. */
anl_scan anl_shard_scan(const anl_shard_image *image, void *stored);

/* The least and greatest of a sample as it is stored, in this machine's byte order. */
void anl_shard_extent(const anl_shard_image *image, const void *stored, double extent[2]);

/* What all shards of one pack have in common. Borrowed by the writers. */
typedef struct anl_shard_schema {
    anl_shard_image image;
    const anl_shard_column *columns;
    int column_count;
    const anl_shard_column *box_columns; /* numbers and codes; x0, y0, (z0,) x1, y1, (z1,) in pixels of the sample are among them */
    int box_column_count;                /* 0: nothing is known of boxes */
    bool has_patient, has_spacing;
    uint64_t seed;
    const char *options;  /* JSON */
    const char *modality; /* or NULL */
} anl_shard_schema;

typedef struct anl_shard_sample {
    const void *stored; /* anl_shard_image_bytes, little-endian; or what anl_shard_compress made of them */
    size_t length;      /* bytes of it */
    const char *file, *patient; /* patient: NULL or "" where there is none */
    const double *numbers;      /* [columns], NaN or code -1 where missing (texts are skipped) */
    const char *const *texts;   /* [columns], only those of kind text are looked at */
    const double *boxes;        /* [box_count][box columns], NaN or code -1 where missing */
    int box_count;
    double range[2];            /* relative values: low and high; others: the least and greatest that is stored */
    double spacing[3];          /* mm along x, y, z; 0: not known */
} anl_shard_sample;

/* ---- writing (one thread per writer; takes the HDF5 lock itself) ---- */
typedef struct anl_shard_writer anl_shard_writer;
/* Creates the file at `path` (a temporary name; the caller commits it). capacity: most samples it will take. */
anl_status anl_shard_create(const char *path, const anl_shard_schema *schema, const char *split, int capacity,
                            anl_shard_writer **out, char reason[ANL_REASON_SIZE]);
/* Texts are copied. */
anl_status anl_shard_add(anl_shard_writer *writer, const anl_shard_sample *sample, char reason[ANL_REASON_SIZE]);
int anl_shard_count(const anl_shard_writer *writer);
/* Writes the columns and closes the file. Frees the writer whatever the outcome. */
anl_status anl_shard_finish(anl_shard_writer **writer, char reason[ANL_REASON_SIZE]);
/* Closes and frees; the file is left for the caller to remove. */
void anl_shard_abandon(anl_shard_writer **writer);

/* ---- reading (all under the HDF5 lock, held by the caller) ---- */
/* How the library's filters, if any, can be done without it, by several threads at once. */
typedef enum anl_shard_filters {
    ANL_FILTERS_NONE,
    ANL_FILTERS_DEFLATE,         /* … of plain bytes */
    ANL_FILTERS_SHUFFLE_DEFLATE, /* … of shuffled ones */
    ANL_FILTERS_BLOSC,           /* … where this build has it */
    ANL_FILTERS_OTHER,           /* the library reads */
} anl_shard_filters;

/* A file for reading past the library; closed with the last who keeps it. */
typedef struct anl_shard_file anl_shard_file;

typedef struct anl_shard {
    hid_t file, data;     /* data: the image */
    anl_shard_file *past; /* the same file, for reading past the library; NULL: the library reads */
    anl_shard_filters filters;
    uint64_t *places; /* [count][2]: address and length of each sample once it was looked for (the library goes through all chunks each time) */
    int64_t count;
    anl_shard_image image;
    char unit[16];
    double *range; /* [count][2] where values are relative, else NULL */
    int64_t *boxes; /* anl_shard_boxes, once it was asked */
} anl_shard;
/* On failure nothing stays open and reason says why. */
anl_status anl_shard_open(const char *path, anl_shard *out, char reason[ANL_REASON_SIZE]);
void anl_shard_close(anl_shard *shard);
/* One sample, anl_shard_image_bytes in this machine's byte order. */
anl_status anl_shard_read_image(const anl_shard *shard, int64_t sample, void *stored, char reason[ANL_REASON_SIZE]);
/* Where a sample lies in the file, so that it can be read outside of the lock. false: the library must read it. */
typedef struct anl_shard_place {
    anl_shard_file *file; /* kept open, whether the shard is closed meanwhile or not, until anl_shard_file_release */
    anl_shard_filters filters;
    uint64_t address, length;
} anl_shard_place;
bool anl_shard_locate(anl_shard *shard, int64_t sample, anl_shard_place *out);
/* From here on not under the lock, by any thread. Tells the system that the place will be read soon; returns without waiting for it. */
void anl_shard_expect(const anl_shard_place *place);
/* Reads what was located. */
anl_status anl_shard_read_place(const anl_shard_image *image, const anl_shard_place *place, void *stored, char reason[ANL_REASON_SIZE]);
void anl_shard_file_release(anl_shard_file **file);
/* What the graph is given of a stored value of the sample: stored * factor + shift. */
void anl_shard_meaning(const anl_shard *shard, int64_t sample, double *factor, double *shift);
/* Names of the label columns in the order of labels.csv; in the arena. */
anl_status anl_shard_columns(const anl_shard *shard, anl_arena *arena, const char ***names, int *count,
                             char reason[ANL_REASON_SIZE]);
/* One label column. values: [count] malloc'd, NaN where missing, codes as numbers. words: NULL for numbers, else like
 * anl_hdf5_read_texts. */
anl_status anl_shard_labels(const anl_shard *shard, const char *name, double **values, char ***words, size_t *word_count,
                            char reason[ANL_REASON_SIZE]);
/* Boxes: those of sample s are first[s] to first[s + 1] - 1 of the values of each of their columns. *first: [count + 1], the shard's; NULL: it
 * was packed without. */
anl_status anl_shard_boxes(anl_shard *shard, const int64_t **first, char reason[ANL_REASON_SIZE]);
anl_status anl_shard_box_columns(const anl_shard *shard, anl_arena *arena, const char ***names, int *count, char reason[ANL_REASON_SIZE]);
/* As anl_shard_labels, of the boxes of all samples. */
anl_status anl_shard_box_labels(anl_shard *shard, const char *name, double **values, char ***words, size_t *word_count, char reason[ANL_REASON_SIZE]);
/* For a column that is a corner of boxes: the size of the image along its axis, in pixels, and *axis, 0 for x to 2 for z; else 0. */
int anl_shard_corner(const anl_shard_image *image, const char *name, int *axis);
/* What else is known of a shard's images. */
typedef struct anl_shard_facts {
    const char *split, *modality, *photometric;       /* NULL: not said */
    double low, high;                                 /* of the values that the graph is given */
    bool rescale_known;                               /* the source's slope and intercept are still to be applied to stored values */
    double rescale_slope, rescale_intercept;          /* 1 and 0 otherwise */
    double least_spacing[3], greatest_spacing[3];     /* mm along z, y, x, over all samples; 0: not known */
} anl_shard_facts;
/* The texts are in the arena. Where the range is not written down, it is that of a few samples. */
anl_status anl_shard_read_facts(const anl_shard *shard, anl_arena *arena, anl_shard_facts *out, char reason[ANL_REASON_SIZE]);
/* rows: [count] malloc'd indexes into names or -1. Both NULL when the shard has no patients. */
anl_status anl_shard_patients(const anl_shard *shard, int64_t **rows, char ***names, size_t *name_count,
                              char reason[ANL_REASON_SIZE]);

#endif
