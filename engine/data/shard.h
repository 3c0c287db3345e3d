/* A shard: one HDF5 file of samples. This is the only place that knows its layout.
 * In: samples to write, or a path to read. Out: files that h5py reads, or their images, labels and patients.
 *
 *   /image            [samples, y, x, channel] uint8 or uint16, one chunk per sample; attribute scale: stored * scale is 0..1
 *   /labels/NAME      [samples] float32 or float64 (NaN: missing), or int32 codes (-1: missing) with attribute values: the words
 *   /texts/NAME       [samples] strings: columns of free text, which cannot be labels
 *   /patient          [samples] int64, row of /patients or -1;  /patients: strings
 *   /file             [samples] strings, the source
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
#include "data/image.h"

#define ANL_SHARD_FORMAT 1

typedef enum anl_column_kind { ANL_COLUMN_NUMBER, ANL_COLUMN_CODE, ANL_COLUMN_TEXT } anl_column_kind;

typedef struct anl_shard_column {
    const char *name;
    anl_column_kind kind;
    bool wide;                 /* numbers that float32 cannot hold exactly enough: stored as float64 */
    const char *const *values; /* codes: the words, sorted by bytes */
    int value_count;
} anl_shard_column;

/* What all shards of one pack have in common. Borrowed by the writers. */
typedef struct anl_shard_schema {
    int size, channels, bits;
    double scale;
    const anl_shard_column *columns;
    int column_count;
    bool has_patient;
    uint64_t seed;
    const char *options;  /* JSON */
    const char *modality; /* or NULL */
} anl_shard_schema;

/* ---- writing (one thread per writer; takes the HDF5 lock itself) ---- */
typedef struct anl_shard_writer anl_shard_writer;
/* Creates the file at `path` (a temporary name; the caller commits it). capacity: most samples it will take. */
anl_status anl_shard_create(const char *path, const anl_shard_schema *schema, const char *split, int capacity,
                            anl_shard_writer **out, char reason[ANL_REASON_SIZE]);
/* pixels: size*size*channels values of `bits`, little-endian. numbers: [columns], NaN or code -1 where missing (texts are
 * skipped). texts: [columns], only those of kind text are looked at. patient: NULL or "" where there is none. Texts are copied.
 */
anl_status anl_shard_add(anl_shard_writer *writer, const void *pixels, const char *file, const char *patient,
                         const double *numbers, const char *const *texts, char reason[ANL_REASON_SIZE]);
int anl_shard_count(const anl_shard_writer *writer);
/* Writes the columns and closes the file. Frees the writer whatever the outcome. */
anl_status anl_shard_finish(anl_shard_writer **writer, char reason[ANL_REASON_SIZE]);
/* Closes and frees; the file is left for the caller to remove. */
void anl_shard_abandon(anl_shard_writer **writer);

/* ---- reading (all under the HDF5 lock, held by the caller) ---- */
typedef struct anl_shard {
    hid_t file, image;
    int64_t count;
    int height, width, channels, bits;
    double scale;
} anl_shard;
/* On failure nothing stays open and reason says why. */
anl_status anl_shard_open(const char *path, anl_shard *out, char reason[ANL_REASON_SIZE]);
void anl_shard_close(anl_shard *shard);
/* height*width*channels values of 1 (bits 8) or 2 bytes in this machine's byte order. */
anl_status anl_shard_read_image(const anl_shard *shard, int64_t sample, void *pixels, char reason[ANL_REASON_SIZE]);
/* Names of the label columns in the order of labels.csv; in the arena. */
anl_status anl_shard_columns(const anl_shard *shard, anl_arena *arena, const char ***names, int *count,
                             char reason[ANL_REASON_SIZE]);
/* One label column. values: [count] malloc'd, NaN where missing, codes as numbers. words: NULL for numbers, else like
 * anl_hdf5_read_texts. */
anl_status anl_shard_labels(const anl_shard *shard, const char *name, double **values, char ***words, size_t *word_count,
                            char reason[ANL_REASON_SIZE]);
/* rows: [count] malloc'd indexes into names or -1. Both NULL when the shard has no patients. */
anl_status anl_shard_patients(const anl_shard *shard, int64_t **rows, char ***names, size_t *name_count,
                              char reason[ANL_REASON_SIZE]);

#endif
