/* Reading manifest.json.
 * In: JSON text. Out: the list under "shards". Everything else is skipped, but must be well-formed.
 * A manifest that is not what it should be is ignored by the caller: the shards say the same, more slowly. */
#include "data/manifest.h"

#include "data/json_reader.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const anl_manifest_shard *)a)->file, ((const anl_manifest_shard *)b)->file);
}

/* file: of the text and all strings; arena: of what is kept. */
static anl_status read_shards(anl_arena *file, anl_arena *arena, const char *path, anl_manifest_shard **shards, int *count)
{
    char *text;
    size_t length;
    anl_status status = anl_file_read(file, path, 0, &text, &length);
    if (status != ANL_OK)
        return ANL_ERROR_FILE;
    anl_json_reader j = {.arena = file, .at = text};
    int capacity = 0;
    bool seen = false;
    if (!anl_json_take(&j, '{'))
        return ANL_ERROR_FORMAT;
    do {
        const char *key = anl_json_take_string(&j);
        if (j.bad || !anl_json_take(&j, ':'))
            return ANL_ERROR_FORMAT;
        if (strcmp(key, "shards") != 0) {
            anl_json_skip_value(&j);
            continue;
        }
        seen = true;
        if (!anl_json_take(&j, '['))
            return ANL_ERROR_FORMAT;
        if (anl_json_take(&j, ']'))
            continue;
        do {
            anl_manifest_shard shard = {.file = "", .samples = -1, .bytes = -1};
            if (!anl_json_take(&j, '{'))
                return ANL_ERROR_FORMAT;
            do {
                const char *name = anl_json_take_string(&j);
                if (j.bad || !anl_json_take(&j, ':'))
                    return ANL_ERROR_FORMAT;
                if (strcmp(name, "file") == 0)
                    shard.file = anl_arena_text(arena, anl_json_take_string(&j));
                else if (strcmp(name, "samples") == 0)
                    shard.samples = anl_json_take_integer(&j);
                else if (strcmp(name, "bytes") == 0)
                    shard.bytes = anl_json_take_integer(&j);
                else
                    anl_json_skip_value(&j);
            } while (!j.bad && anl_json_take(&j, ','));
            if (j.bad || !anl_json_take(&j, '}') || !shard.file[0] || shard.samples < 1 || shard.bytes < 1)
                return ANL_ERROR_FORMAT;
            ANL_PUSH(arena, *shards, *count, capacity, shard);
        } while (anl_json_take(&j, ','));
        if (!anl_json_take(&j, ']'))
            return ANL_ERROR_FORMAT;
    } while (!j.bad && anl_json_take(&j, ','));
    if (j.bad || !anl_json_take(&j, '}') || !seen)
        return ANL_ERROR_FORMAT;
    if (*count > 0)
        qsort(*shards, (size_t)*count, sizeof **shards, by_name);
    return ANL_OK;
}

anl_status anl_manifest_read(anl_arena *arena, const char *path, anl_manifest_shard **shards, int *count)
{
    *shards = NULL;
    *count = 0;
    anl_arena *file = anl_arena_new(); /* the text is long, and what is kept of it is short */
    anl_status status = read_shards(file, arena, path, shards, count);
    anl_arena_free(&file);
    return status;
}

const anl_manifest_shard *anl_manifest_find(const anl_manifest_shard *shards, int count, const char *file)
{
    anl_manifest_shard key = {.file = file};
    return count > 0 ? bsearch(&key, shards, (size_t)count, sizeof *shards, by_name) : NULL;
}
