/* The inside of a data set, for the files that open it and that read from it.
 * In: what dataset.c found in the shards. Out: samples in two steps: located under the library's lock, fetched outside of it.
 * All but the handles is constant once the set is open. */
#ifndef ANL_DATA_SET_H
#define ANL_DATA_SET_H

#include <anlage/dataset.h>
#include <stdatomic.h>

#include "data/shard.h"

/* Open shards; each costs a file descriptor and its label columns. */
#define ANL_MOST_OPEN 64
/* Files that samples located ahead may keep open beside these. */
#define ANL_MOST_KEPT 256

typedef struct anl_set_field {
    anl_field declared; /* texts are in the data set's arena */
    bool image;
    bool volume;                                         /* has an axis z */
    int channel, z, y, x;                                /* images: sizes; channel and z are 1 where the field has no such axis */
    size_t stride_channel, stride_z, stride_y, stride_x; /* in declared order */
    size_t values;                             /* per sample */
    int boxes;                                 /* of a sample, where the field is of boxes; else 0 */
    const char **columns;                      /* labels and boxes: columns in the shards */
    int column_count;
    bool one_hot;       /* one column of words; the axis runs over the words */
    const char **words; /* the words of a column of words (then column_count is 1) */
    int word_count;
} anl_set_field;

typedef struct anl_set_source {
    const char *name;
    anl_span span;
    double weight;
    int first_shard, shard_count;
    const char **names, **box_names; /* of its label columns, and those of its boxes */
    int name_count, box_name_count;
    int64_t first, count; /* its samples in the set */
} anl_set_source;

/* Samples that are drawn alike: of one source and, where they are balanced, of one value. */
typedef struct anl_stratum {
    int64_t first, count;
    const uint32_t *members; /* [count]; NULL: first, first + 1, … */
    double share;            /* of the places of an epoch */
    int64_t before, quota;   /* places before its own, and its own */
} anl_stratum;

typedef struct anl_set_shard {
    const char *path;
    int64_t first; /* number of its first sample in the whole set */
    int source;
    int group;     /* folder: shards of one pack share columns and patients */
    int handle;    /* index of its open handle, or -1 */
} anl_set_shard;

typedef struct anl_set_handle {
    int shard; /* -1: free */
    uint64_t used;
    anl_shard file;
    double **columns; /* [sum of column_count over fields][samples, or boxes of all samples] */
} anl_set_handle;

struct anl_dataset {
    anl_arena *arena;
    size_t sample_bytes; /* as stored, in the first shard */
    anl_set_field *fields;
    int field_count, total_columns;
    size_t label_count; /* of a sample: what anl_located has room for */
    bool has_image, has_boxes;
    anl_set_source *sources;
    int source_count;
    anl_set_shard *shards;
    int shard_count;
    anl_stratum *strata;
    int stratum_count;
    uint32_t *members; /* of all strata, or NULL */
    int64_t raw_count;      /* samples in the shards */
    int64_t count;          /* samples in the set */
    int64_t *kept;          /* set -> shards, where labels are dropped together with their samples; else NULL */
    uint8_t *known_patient; /* with a label subset by patient: whether a patient keeps its labels */
    int64_t known_samples;  /* with a label subset by sample: how many of the raw samples keep theirs; -1: all */
    uint64_t label_key;
    int32_t *patient_of; /* [raw_count], loaded when asked for; -1: none */
    int64_t patient_count;
    anl_span span;
    atomic_int kept_files; /* of located samples, where there are more shards than may be open */
    int most_kept;
    /* All below is under the HDF5 lock: whoever needs a handle needs the library next. */
    anl_set_handle handles[ANL_MOST_OPEN];
    int most_open;
    uint64_t clock;
};

/* The open handle of shard s; the one used longest ago makes room. expected: its samples, or -1. Under the lock. */
anl_status anl_set_handle_of(anl_dataset *set, int shard, int64_t expected, anl_set_handle **out, char *reason);
int64_t anl_set_shard_samples(const anl_dataset *set, int shard);
/* Whether a sample of the shards keeps its labels. */
bool anl_set_known(const anl_dataset *set, int64_t raw);
/* A shard that cannot be used, or (ANL_ERROR_SPEC) one that does not fit the fields. */
void anl_set_report(anl_diagnostics *diagnostics, anl_status status, anl_span span, const char *what, const char *path,
                    const char *reason);

/* How many numbers of the shards the field is made of in a sample; 0 for images. */
static inline size_t anl_set_label_count(const anl_set_field *f) { return (size_t)f->column_count * (size_t)(f->boxes > 0 ? f->boxes : 1); }

bool anl_set_has_name(const char *name, const char **names, int count);
/* A column that is not there: which is meant, and which there are. */
void anl_set_suggest_column(anl_diagnostics *diagnostics, anl_diagnostic *problem, const char *word, const char **names, int count);
/* What is drawn how often; all else of the set is known. */
anl_status anl_set_stratify(anl_dataset *set, const anl_dataset_options *options, anl_diagnostics *diagnostics);

/* A sample, found: all that takes the library's lock. */
typedef struct anl_located {
    int64_t raw, at; /* its number in the shards and in its shard */
    int shard;
    anl_shard_image image;
    anl_shard_place place; /* file NULL: the library must be asked again */
    bool kept;             /* place.file counts among the set's kept_files */
    double factor, shift;  /* the meaning of stored values */
    double *labels;        /* [label_count], the caller's: field after field, of boxes box after box */
} anl_located;
/* Room for the bytes of one sample, of one thread: grows, and is freed with anl_room_free. */
typedef struct anl_room {
    void *bytes;
    size_t size;
    bool filled; /* with the sample at hand: set it to false for another one */
} anl_room;

/* Locates a sample and tells the system that it will be read. Thread-safe; waits for the library, not for the disk. */
anl_status anl_set_locate(anl_dataset *set, int64_t sample, anl_located *located, anl_diagnostics *diagnostics);
/* One field of a located sample, as anl_dataset_read. Thread-safe. */
anl_status anl_set_fetch(anl_dataset *set, const anl_located *located, anl_room *room, int field, float *values, float *mask,
                         anl_diagnostics *diagnostics);
void anl_set_let_go(anl_dataset *set, anl_located *located);
void anl_room_free(anl_room *room);

/* Stored numbers to floats: value * factor + shift in double, all in order. False: not a type of shards. */
bool anl_convert(anl_voxel type, const void *stored, size_t count, double factor, double shift, float *out);

#endif
