/* Data sets on disk and the way of samples into a training step.
 * In: HDF5 shards written by `anlage pack`. Out: batches of float32 fields in a seeded order, prefetched by threads.
 * A sample's place in the order is a bijection of its number (no stored permutation): resumable at any step. */
#ifndef ANLAGE_DATASET_H
#define ANLAGE_DATASET_H

#include <anlage/diagnostic.h>
#include <anlage/scan.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- a shard set as a data set ---- */
/* One field of a sample as the recipe declares it (see language.md, "Data and missing labels"). */
typedef struct anl_field {
    const char *name;    /* "image", or the label column(s): a field with an axis of size n > 1 reads columns of that group */
    int rank;            /* without batch */
    const char *axis[8]; /* names in declared order: e.g. channel, y, x  or  class */
    int size[8];
    double missing;      /* a label equal to this (or empty in labels.csv) is missing: 0 is written and the mask is 0 */
    bool has_missing;
    bool has_mask;       /* a second array [batch, axes] of 0/1 float32 follows */
    /* For labels: name of a column, a comma-separated list of columns, or NULL: a column (or columns `name.*`) called like the field.
     * A column of words is its code (0, 1, ... by sorted word) without axes, one-hot with an axis as long as its list of words. */
    const char *column;
    /* For what is known of boxes: names of columns of them, separated by commas, in the order of the field's last axis; its first axis is as long as the
     * most boxes that a sample is read with: those behind them are left out, and where there are fewer, the rest is missing. Corners (x0, y0, z0, x1, y1,
     * z1) are shares of the image, 0 to 1. A column of words stands alone, as of labels. Or NULL. */
    const char *boxes;
    const char *unit;    /* images: the unit of the values, "HU"; NULL: none, values are about 0 (black) to 1 (white) */
    anl_span span;       /* where the spec declares it */
} anl_field;

/* Whether a field of boxes has an axis for them and perhaps one for what is said of each, and can say how many there are; what is wrong is told (A0805). */
bool anl_field_boxes_fit(const anl_field *field, anl_diagnostics *diagnostics);
/* The axis of a corner of boxes by the name of its column, "x0" or "z1": 0 for x, 1 for y, 2 for z; -1: it is no corner. */
int anl_corner_axis(const char *column);

typedef struct anl_dataset anl_dataset;
/* One source of a mixture. */
typedef struct anl_dataset_source {
    const char *name;    /* for people */
    const char *pattern; /* as anl_dataset_options.pattern */
    double weight;       /* of its samples are drawn weight / sum of weights in training */
    anl_span span;
} anl_dataset_source;
typedef struct anl_dataset_options {
    const char *pattern;       /* glob of shards, relative to folder or absolute; not looked at where there are sources */
    const anl_dataset_source *sources; /* of a mixture */
    int source_count;
    const char *balance;       /* a label column whose values are drawn equally often, or NULL. Costs a pass over that column of all
                                  shards at opening and four bytes per sample */
    anl_span balance_span;
    const char *folder;        /* what relative patterns start from; NULL: the current folder */
    anl_span span;             /* where the spec says so */
    double label_fraction;     /* 1: all labels known; less: this share of patients (or samples) keeps its labels */
    bool label_by_patient;
    bool drop_unlabelled;      /* true: samples whose labels were dropped are left out of the set (supervised on few labels) */
    uint64_t seed;             /* of the label subset */
} anl_dataset_options;

/* The shards of a mixture are one set, source after source. A source without a field's column has that label missing everywhere, which takes a
 * mask or a missing value; columns of words have the words of all sources.
 * Opens all shards that match and checks that each field can be had from every one of them. Constant memory per shard. */
anl_status anl_dataset_open(const anl_dataset_options *options, const anl_field *fields, int field_count,
                            anl_diagnostics *diagnostics, anl_dataset **out);
void anl_dataset_free(anl_dataset **dataset);
int64_t anl_dataset_count(const anl_dataset *dataset);
/* Paths of its shards, in order; NULL beyond the last. */
const char *anl_dataset_shard(const anl_dataset *dataset, int index);
/* The shard that holds a sample, and which of its samples it is. */
const char *anl_dataset_place(const anl_dataset *dataset, int64_t sample, int64_t *row);
/* The fields as they were declared, in order; NULL beyond the last. */
int anl_dataset_field_count(const anl_dataset *dataset);
const anl_field *anl_dataset_field(const anl_dataset *dataset, int field);
/* Patient of sample i as a stable small integer (samples without one: unique), for intervals by patient. The first call reads the
 * patients of all shards (4 bytes per sample); -1 when that fails. The same name in two folders is two patients. */
int64_t anl_dataset_patient(anl_dataset *dataset, int64_t sample);
/* Names of the columns behind a label field, e.g. for a table of AUC per label; the words, where a column of words is read one-hot. */
const char *anl_dataset_column(const anl_dataset *dataset, int field, int index);
/* Reads one sample of one field: values [axes in declared order] float32 and, where the field has one, mask. Images and volumes: in
 * their unit (HU), from 0 (black) to 1 (white), or relative to the sample's own range, as the shard says; fitted to the declared size (a shard
 * of other size but the same shape is resampled: by area when shrinking, linear when growing). Thread-safe. */
anl_status anl_dataset_read(anl_dataset *dataset, int64_t sample, int field, float *values, float *mask, anl_diagnostics *diagnostics);

/* ---- order ---- */
/* The sample at a place of an epoch of as many places as there are samples. Without sources and balance each sample comes once.
 * With them every source, and in it every value of the balanced column, has its share of the places, in mixed order, and goes through its own
 * samples in a seeded order of its own, from epoch to epoch: none comes again before all others have come (or were left
 * out with the last part batch of an epoch). Samples without a value
 * of the balanced column keep the share they have in their source. O(1), or O(log) of sources and values. */
int64_t anl_dataset_draw(const anl_dataset *dataset, int64_t epoch, int64_t place, uint64_t seed);
/* Bijection of 0..count-1 onto itself, keyed; O(1), no memory: a Feistel network over the next power of four with cycle walking. */
int64_t anl_order(int64_t index, int64_t count, uint64_t key);

/* ---- loader: threads fill batches ahead of the step that uses them, and one more tells the disk ahead of them ---- */
typedef struct anl_loader anl_loader;
typedef struct anl_batch {
    int64_t step;
    float **values;     /* per field: [batch, axes in declared order] */
    float **masks;      /* per field: the same shape, or NULL */
    int64_t *samples;   /* [batch]: dataset index of each sample */
    int valid;          /* real samples; the rest of the last batch of an ordered pass repeats the last one */
} anl_batch;
typedef struct anl_loader_options {
    int batch;
    uint64_t seed;
    int64_t first_step; /* resume here */
    bool ordered;       /* evaluation: samples 0.. in order, last batch padded; false: seeded order per epoch, last part batch dropped */
    int ahead;          /* batches decoded ahead; 0: 4 */
    int threads;        /* 0: 1 */
} anl_loader_options;
anl_status anl_loader_new(anl_dataset *dataset, const anl_loader_options *options, anl_diagnostics *diagnostics, anl_loader **out);
void anl_loader_free(anl_loader **loader);
/* The next batch; waits for it. The batch is lent until the next call. In an ordered pass *batch is NULL after the last one.
 * An unreadable sample is an error here (shards were checked when packed), never a silent replacement. */
anl_status anl_loader_next(anl_loader *loader, const anl_batch **batch, anl_diagnostics *diagnostics);
double anl_loader_waited(const anl_loader *loader); /* seconds spent waiting in anl_loader_next so far */

/* Batches of all images of the shards that match, in training order, beside reading the same files from end to end. Before each of the two the
 * files are dropped from the system's cache, as far as it lets them go. seconds: at least so long is read, whole epochs. */
typedef struct anl_loader_bench_options {
    const char *pattern; /* glob of shards */
    int batch, threads;  /* 0: 64, 1 */
    bool warm;           /* leave the cache as it is */
    double seconds;      /* 0: 2 */
} anl_loader_bench_options;
typedef struct anl_loader_bench_result {
    int64_t samples, bytes;                  /* of the set, as stored */
    double images_per_second, bytes_per_second; /* the loader's: stored bytes of the samples it delivered */
    double plain_bytes_per_second;           /* sequential */
} anl_loader_bench_result;
anl_status anl_loader_bench(const anl_loader_bench_options *options, anl_diagnostics *diagnostics, anl_loader_bench_result *out);

/* ---- packing ---- */
typedef enum anl_pack_form { ANL_PACK_AUTO, ANL_PACK_SLICES, ANL_PACK_VOLUMES } anl_pack_form;
typedef struct anl_pack_options {
    const char *const *inputs; /* folders and files; FILE.h5:/NAME for an array of an HDF5 file, each place along its first axis an image */
    int input_count;
    const char *labels;        /* labels.csv or NULL; its first column is the file (relative to the csv's folder or an input folder), or a folder, all
                                  images of which then have the row's labels */
    const char *boxes;         /* boxes.csv or NULL: first the file, then x0, y0, x1, y1 (volumes: z0, z1, too) or x, y, width, height (z, depth): the first
                                  and beyond the last pixel of the file as it lies there, slices of a series counted along its normal; frame, of files with
                                  several: counted from 0, else all; other columns say something of the box, as those of labels.csv of the image. A row whose
                                  cells are empty there says that the image has none, as does an image without a row */
    const char *axes;          /* of these arrays, letters of n (images), z, y, x, c in their order, "ncyx"; NULL: by their number, yx, nyx, nyxc or nzyx
                                  (whether there are 1 or 3 along the last), nzyxc */
    const char *const *labels_from; /* … and instead of labels: FILE.h5:/NAME for each column, a list of numbers or strings as long as the one input */
    int labels_from_count;
    const char *out;           /* folder */
    int size[3];               /* along x, y, z (z: volumes only): scans are resampled to fit (area average when shrinking, linear when growing), in
                                  their shape in mm where the spacing is known, and padded around: black, or as dark as the scan gets */
    anl_pack_form form;        /* AUTO: files of several slices become volumes, files of one become images; both kinds are A0809. VOLUMES, and AUTO where
                                  size[2] is not 0: DICOM files of one slice each that are of one series, orientation, size and spacing are one volume
                                  (VOLUMES: with those beside it in its folder, where the table names one). Its slices are ordered by their places along
                                  the normal, and must be evenly apart to a tenth of the step, none missing and none twice, or it is skipped (A0807) */
    bool first_frame;          /* of files with several (time points, …) only the first becomes samples; else all do */
    int deflate, blosc;        /* level of compression of the samples, 1 to 9, of one of the two; 0: none. Blosc takes a build with libblosc */
    double window[2];          /* centre and width: values become 0 at its lower end and 1 at its upper end; width 0: they keep their meaning */
    int channels;              /* 1 or 3 */
    double fraction_valid, fraction_test; /* e.g. 0.15, 0.15 */
    uint64_t seed;
    int shard_samples;         /* 0: 1024 */
    const char *patient;       /* name of the patient column; NULL: "patient" where there is one */
    int threads;               /* 0: cores */
    const char *stratify;      /* name of a label column whose values are spread evenly over the splits, or NULL */
    const char *modality;      /* e.g. "ct", kept in the shards; NULL: a column `modality` with one value, else unknown */
    const char *salt;          /* file of 16 bytes or more: packs with the same salt give a patient the same hash. NULL: 32 random bytes, kept nowhere
                                  once the pack is finished */
    bool keep_ids;             /* ids of patients are stored as they are, not as hashes */
    bool anonymous_files;      /* files are stored by number: their row in the table, or their place among the files, from 1 */
    bool drop_duplicates;      /* of files with the same pixels only the first is packed: training before validation before test */
    double spacing[3];         /* mm along x, y, z: scans are resampled to it, then cropped or padded to the size, about their middle; 0: to fit */
    bool crop_body;            /* scans are cropped to the body first: the largest connected region above -500 HU, or above Otsu's threshold */
    double margin;             /* … and what is left around it … */
    bool margin_mm;            /* … in mm, or in pixels */
    bool overwrite;            /* replaces the pack in OUT, or one that was begun there with other input; otherwise both are refused */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *context;
    bool (*stop)(void *context);
} anl_pack_options;
typedef struct anl_pack_report {
    int64_t images, packed, skipped;   /* files, samples, files; a series that is a volume counts as one file … */
    int64_t series, series_files;      /* … and is counted here, with the files it lies in */
    int bits;                         /* of the samples as stored */
    bool volume;
    char unit[16];                    /* of their values, or "" */
    int64_t train, valid, test;       /* samples */
    int64_t patients;                 /* 0: not known */
    int64_t repeated, dropped;        /* files whose pixels another file has, too; those of them that were not packed again */
    int64_t boxes, most_boxes, boxes_outside; /* in samples, of one of them, and left out as they lie outside of what is packed */
    int shards, resumed;              /* resumed: that were finished before */
} anl_pack_report;
/* Writes OUT/train-00000.h5 …, valid-…, test-…, and OUT/manifest.json. Unreadable images become warnings A0807 and are counted.
 * The same images, table and options give the same bytes, on any number of threads. With a table, its rows are the set; without,
 * every image under the inputs is. Without a column of patients, files that name their patient (DICOM) are split by that. OUT holds shards only once
 * all are finished. Stopped, killed, or out of space: finished shards are kept in OUT/.anlage-pack, and the same call goes on from there;
 * ANL_ERROR_STOPPED, _FILE, _FORMAT. Other input than it was begun with is A0813. */
anl_status anl_pack(const anl_pack_options *options, anl_pack_report *report, anl_diagnostics *diagnostics);
/* What the manifest of a pack says, as text for people; whether the shards still have the sums it gives (A0819 for each that has not). */
anl_status anl_pack_inspect(const char *folder, FILE *out, anl_diagnostics *diagnostics);
anl_status anl_pack_verify(const char *folder, FILE *out, anl_diagnostics *diagnostics);
/* What a shard holds, as text for people. */
anl_status anl_shard_inspect(const char *path, FILE *out, anl_diagnostics *diagnostics);

#endif
