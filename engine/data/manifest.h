/* manifest.json beside the shards of a pack: what was packed, how, and how many samples each shard holds.
 * In: the folder. Out: shard names, sizes and counts. The manifest is a shortcut; the shards are the truth. */
#ifndef ANL_DATA_MANIFEST_H
#define ANL_DATA_MANIFEST_H

#include <anlage/status.h>
#include <stdint.h>

#include "base/base.h"

typedef struct anl_manifest_shard {
    const char *file; /* name in the folder */
    int64_t samples, bytes;
} anl_manifest_shard;

/* Reads path. shards are sorted by name. ANL_ERROR_FILE: there is none; ANL_ERROR_FORMAT: it is not one of ours. */
anl_status anl_manifest_read(anl_arena *arena, const char *path, anl_manifest_shard **shards, int *count);
const anl_manifest_shard *anl_manifest_find(const anl_manifest_shard *shards, int count, const char *file);

#endif
