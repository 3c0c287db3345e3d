/* One sample of a shard, for people: its image with the meaning of its values, and all that the shard says of it.
 * In: a shard and the number of a sample in it. Out: voxels, file, labels, boxes, spacing, unit, range.
 * Takes the HDF5 lock itself. */
#ifndef ANL_DATA_SHARD_SAMPLE_H
#define ANL_DATA_SHARD_SAMPLE_H

#include <anlage/diagnostic.h>

#include "base/base.h"
#include "data/shard.h"

/* A box in it, from `low` up to `high` along x, y, z in its pixels. */
typedef struct anl_sample_box {
    double low[3], high[3];
    const char *labels; /* "class mass", or "" */
} anl_sample_box;

typedef struct anl_sample {
    anl_shard_image image;
    float *voxels;        /* [z][y][x][channel], as the recipe's graph is given them; owned */
    const char *file;     /* the source, or "" */
    const char *labels;   /* "finding 1, kind mass", without those that are missing */
    anl_sample_box *boxes;
    int box_count;
    const char *unit;     /* "HU", or "" */
    const char *modality; /* or "" */
    double spacing[3];    /* mm along x, y, z; 0: not known */
    double range[2];      /* relative values: what is 0 and what is 1 */
} anl_sample;

/* Texts are in the arena. On failure nothing stays allocated (A0803). */
anl_status anl_sample_read(const char *shard, int64_t row, anl_arena *arena, anl_sample *out, anl_diagnostics *diagnostics);
void anl_sample_free(anl_sample *sample);

#endif
