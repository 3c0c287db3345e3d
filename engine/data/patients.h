/* Patients that stand in two splits at once: what is learnt of them in training is asked for again in validation or test.
 * In: shards and the split each is of. Out: which patients are shared, between which shards.
 * Only hashes of names are kept, and no more of them at a time than a limit: beyond it the shards are read several times. */
#ifndef ANL_DATA_PATIENTS_H
#define ANL_DATA_PATIENTS_H

#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "data/scan.h"

enum { ANL_SPLITS = 3, ANL_PATIENTS_SHOWN = 4 };

typedef struct anl_split_shard {
    const char *path;
    int split; /* 0 train, 1 valid, 2 test; anything else: is not looked at */
    int pack;  /* shards of one folder are of one pack; the same name in two packs may be two patients */
} anl_split_shard;

typedef struct anl_shared_patients {
    int split[2]; /* the lesser first */
    bool one_pack;
    int64_t count;
    const char *names[ANL_PATIENTS_SHOWN]; /* the first of them, and for each the two shards, by their place in the list */
    int shards[ANL_PATIENTS_SHOWN][2];
} anl_shared_patients;

/* *out: one entry for each pair of splits that share patients, within packs and between them, in the arena. limit: names
 * remembered at a time. Names of up to four digits are counted off anew in every pack and say nothing between packs. On failure
 * reason says why, after the name of the shard. */
anl_status anl_patients_shared(const anl_split_shard *shards, int count, size_t limit, anl_arena *arena,
                               anl_shared_patients **out, int *out_count, char reason[ANL_REASON_SIZE]);

/* Whether a name says nothing outside of its pack: up to four digits, or their hash (n and 16 digits; other hashes begin with p). */
bool anl_patient_counted_off(const char *name);

#endif
