/* The private folder of a pack under way, OUT/.anlage-pack: what makes a pack that was stopped or killed go on where it was.
 * In: the plan (all that the shards depend on, as text) and finished shards. Out: the shards that a rerun need not make again, then the pack.
 *
 *   plan            the plan; written last when a pack begins, so that a folder without it holds nothing
 *   salt            32 random bytes for the ids of patients; nobody else may read them, and they go with the folder
 *   train-00000.h5  a finished shard;   train-00000.part  what is known of it, and where the next begins; written after it
 *   publishing      all shards are finished, and are moved to OUT
 *   lock            held by the process that packs
 *
 * The folder goes by a rename to .anlage-pack.done, which is then removed. Every file appears whole or not at all. OUT itself holds no part of a pack before all of it is finished. */
#ifndef ANL_DATA_PACK_WORK_H
#define ANL_DATA_PACK_WORK_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "data/histogram.h"
#include "data/patients.h"
#include "data/scan.h"

enum { ANL_SALT_BYTES = 32, ANL_PIXELS_BYTES = 16 };
extern const char *const anl_split_names[ANL_SPLITS];

/* What a file gave to a shard. */
typedef struct anl_pack_taken {
    int64_t entry;
    int samples;                      /* in this shard */
    uint8_t pixels[ANL_PIXELS_BYTES]; /* what its decoded scan is known by */
    double spacing[3];                /* of its samples, mm along x, y, z */
} anl_pack_taken;

/* A file that gave none. */
typedef struct anl_pack_left {
    int64_t entry;
    const char *reason;
} anl_pack_left;

typedef struct anl_pack_part {
    int split, number;
    const char *file;        /* its name: train-00000.h5 */
    int64_t samples, bytes;
    int64_t boxes, most_boxes, boxes_outside; /* of its samples, of one of them, and of its files in no sample */
    uint8_t sha256[32];
    int64_t next_entry;      /* the next shard of the split begins with this file … */
    int next_sample;         /* … and this of its samples */
    anl_pack_taken *taken;
    int taken_count, taken_capacity;
    anl_pack_left *left;     /* since the shard before */
    int left_count, left_capacity;
    anl_histogram *histograms; /* per modality */
} anl_pack_part;

/* Used by one thread. */
typedef struct anl_pack_work {
    anl_arena *arena;
    const char *out, *folder;
    int lock;
    bool publishing;
    int modalities; /* how many a part has histograms of */
    uint8_t salt[ANL_SALT_BYTES];
    anl_pack_part *parts;
    int part_count, part_capacity, resumed;
} anl_pack_work;

/* Begins or goes on. plan: lines of NAME, a tab, and a value. ANL_ERROR_FILE: OUT holds a pack, or one begun by another plan (unless overwrite),
 * or another process packs there, or it cannot be written; then nothing is changed. */
anl_status anl_pack_work_open(anl_arena *arena, const char *out, const char *plan, bool overwrite, int modalities, anl_diagnostics *diagnostics,
                              anl_pack_work *work);
/* Where the writer is to make the shard. */
const char *anl_pack_work_temporary(const anl_pack_work *work, const char *file);
/* Takes the finished shard from there. bytes and sha256 of the part are filled in. On failure errno says why. */
anl_status anl_pack_work_add(anl_pack_work *work, anl_pack_part *part);
/* Moves all shards to OUT, and writes the manifest there last. Replaces the pack that OUT may hold. On failure errno says why. */
anl_status anl_pack_work_publish(anl_pack_work *work, const char *manifest, size_t length);
/* Lets go. keep: what is finished stays for a rerun, if anything is. */
void anl_pack_work_close(anl_pack_work *work, bool keep);

#endif
