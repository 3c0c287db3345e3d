/* Patients in two splits: a set of hashed names, each with the first shard of each split that it was seen in.
 * In: the patients of shards. Out: those seen in two splits.
 * With more names than may be remembered, each pass over the shards takes those whose hash falls to its share. */
#include "data/patients.h"

#include <stdlib.h>
#include <string.h>

#include "data/shard.h"

typedef struct seen {
    uint64_t key;              /* 0: free */
    int32_t shard[ANL_SPLITS]; /* the first of each split, from 1; 0: none */
} seen;

typedef struct search {
    const anl_split_shard *shards;
    anl_arena *arena;
    seen *slots;
    size_t slot_count, used;
    bool full;
    anl_shared_patients found[ANL_SPLITS][ANL_SPLITS][2];
} search;

static void report(search *s, int a, int b, bool one_pack, const char *name)
{
    int first = s->shards[a].split < s->shards[b].split ? a : b, second = first == a ? b : a;
    anl_shared_patients *f = &s->found[s->shards[first].split][s->shards[second].split][one_pack];
    f->split[0] = s->shards[first].split;
    f->split[1] = s->shards[second].split;
    f->one_pack = one_pack;
    if (f->count < ANL_PATIENTS_SHOWN) {
        f->names[f->count] = anl_arena_text(s->arena, name);
        f->shards[f->count][0] = first;
        f->shards[f->count][1] = second;
    }
    f->count++;
}

/* A name in a shard. Within a pack any two splits count, between packs only shards of different ones. */
static void take(search *s, uint64_t key, int shard, bool one_pack, const char *name)
{
    key += key == 0;
    size_t at = key & (s->slot_count - 1);
    while (s->slots[at].key && s->slots[at].key != key)
        at = (at + 1) & (s->slot_count - 1);
    seen *e = &s->slots[at];
    if (!e->key && 8 * s->used >= 7 * s->slot_count) {
        s->full = true;
        return;
    }
    s->used += !e->key;
    e->key = key;
    int split = s->shards[shard].split;
    if (e->shard[split])
        return; /* what it shares with others was said when it was first seen here */
    e->shard[split] = shard + 1;
    for (int other = 0; other < ANL_SPLITS; other++)
        if (other != split && e->shard[other] && (one_pack || s->shards[e->shard[other] - 1].pack != s->shards[shard].pack))
            report(s, e->shard[other] - 1, shard, one_pack, name);
}

bool anl_patient_counted_off(const char *name)
{
    const size_t length = strlen(name);
    if (length == 17 && name[0] == 'n' && strspn(name + 1, "0123456789abcdef") == 16)
        return true; /* the hash of such a name, as packing makes it */
    return length <= 4 && strspn(name, "0123456789") == length;
}

/* One pass: the names whose hash falls to its share. Counts them all where there are no slots yet. */
static anl_status pass_over(search *s, int count, size_t share, size_t shares, size_t *names_seen, char *reason)
{
    for (int i = 0; i < count; i++) {
        if (s->shards[i].split < 0 || s->shards[i].split >= ANL_SPLITS)
            continue;
        anl_shard shard;
        int64_t *rows = NULL;
        char **names = NULL, why[ANL_REASON_SIZE];
        size_t name_count = 0;
        anl_hdf5_lock();
        anl_status status = anl_shard_open(s->shards[i].path, &shard, why);
        if (status == ANL_OK) {
            status = anl_shard_patients(&shard, &rows, &names, &name_count, why);
            anl_shard_close(&shard);
        }
        anl_hdf5_unlock();
        if (status != ANL_OK) {
            snprintf(reason, ANL_REASON_SIZE, "%.100s: %.200s", s->shards[i].path, why);
            return status;
        }
        *names_seen += name_count;
        for (size_t k = 0; s->slots && k < name_count; k++) {
            uint64_t alone = anl_hash_text(names[k], 0x9E3779B97F4A7C15u);
            if ((alone >> 32) % shares != share)
                continue;
            take(s, anl_hash_text(names[k], (uint64_t)s->shards[i].pack), i, true, names[k]);
            if (!anl_patient_counted_off(names[k]))
                take(s, alone, i, false, names[k]);
        }
        free(rows);
        free(names);
    }
    return ANL_OK;
}

anl_status anl_patients_shared(const anl_split_shard *shards, int count, size_t limit, anl_arena *arena,
                               anl_shared_patients **out, int *out_count, char reason[ANL_REASON_SIZE])
{
    *out = NULL;
    *out_count = 0;
    search *s = ANL_NEW(arena, search);
    s->shards = shards;
    s->arena = arena;
    size_t names = 0;
    anl_status status = pass_over(s, count, 0, 1, &names, reason);
    if (status != ANL_OK || names == 0)
        return status;
    /* A name takes two slots: one within its pack, one for all. */
    size_t shares = (names + limit - 1) / limit, each = names / shares + 1;
    for (s->slot_count = 256; s->slot_count < each * 4;)
        s->slot_count *= 2;
    s->slots = malloc(sizeof *s->slots * s->slot_count);
    if (!s->slots) {
        snprintf(reason, ANL_REASON_SIZE, "no memory for the names of %zu patients", each);
        return ANL_ERROR_MEMORY;
    }
    for (size_t share = 0; share < shares && status == ANL_OK; share++) {
        memset(s->slots, 0, sizeof *s->slots * s->slot_count);
        s->used = 0;
        status = pass_over(s, count, share, shares, &names, reason);
    }
    if (status == ANL_OK && s->full) {
        snprintf(reason, ANL_REASON_SIZE, "the hashes of its patients' names fall together; not all could be compared");
        status = ANL_ERROR_LIMIT;
    }
    free(s->slots);
    int capacity = 0;
    for (int a = 0; a < ANL_SPLITS; a++)
        for (int b = 0; b < ANL_SPLITS; b++)
            for (int one = 1; one >= 0; one--)
                if (s->found[a][b][one].count)
                    ANL_PUSH(arena, *out, *out_count, capacity, s->found[a][b][one]);
    return status;
}
