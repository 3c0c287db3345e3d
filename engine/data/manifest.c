/* Reading manifest.json, and the little JSON that takes.
 * In: JSON text. Out: the list under "shards". Everything else is skipped, but must be well-formed.
 * A manifest that is not what it should be is ignored by the caller: the shards say the same, more slowly. */
#include "data/manifest.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NESTED 32

typedef struct json {
    anl_arena *arena;
    const char *at;
    bool bad;
} json;

static void skip_space(json *j)
{
    while (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r')
        j->at++;
}

static bool take(json *j, char c)
{
    skip_space(j);
    if (*j->at != c)
        return false;
    j->at++;
    return true;
}

/* A string without its quotes; escapes are decoded (surrogates, which file names of ours never hold, are refused). */
static const char *take_string(json *j)
{
    if (!take(j, '"')) {
        j->bad = true;
        return "";
    }
    anl_text text = {0};
    while (!j->bad && *j->at != '"') {
        if ((unsigned char)*j->at < 0x20)
            j->bad = true;
        else if (*j->at != '\\')
            anl_text_addn(&text, j->at++, 1);
        else {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            const char *found = j->at[1] ? strchr(from, j->at[1]) : NULL;
            if (found) {
                anl_text_addn(&text, &to[found - from], 1);
                j->at += 2;
            } else {
                unsigned code = 0;
                int digits = 0;
                if (j->at[1] == 'u')
                    while (digits < 4 && j->at[2 + digits] && strchr("0123456789abcdefABCDEF", j->at[2 + digits])) {
                        char digit[2] = {j->at[2 + digits], 0};
                        code = code * 16 + (unsigned)strtoul(digit, NULL, 16);
                        digits++;
                    }
                if (digits != 4 || code == 0 || code >= 0x80) {
                    j->bad = true;
                    break;
                }
                char byte = (char)code;
                anl_text_addn(&text, &byte, 1);
                j->at += 6;
            }
        }
    }
    if (!j->bad)
        j->at++;
    const char *kept = anl_arena_text(j->arena, text.data ? text.data : "");
    anl_text_free(&text);
    return kept;
}

static void skip_value(json *j, int depth)
{
    skip_space(j);
    if (depth > MOST_NESTED)
        j->bad = true;
    else if (*j->at == '"')
        take_string(j);
    else if (*j->at == '{' || *j->at == '[') {
        bool object = *j->at == '{';
        char end = object ? '}' : ']';
        j->at++;
        if (take(j, end))
            return;
        do {
            if (object) {
                take_string(j);
                if (!take(j, ':'))
                    j->bad = true;
            }
            if (!j->bad)
                skip_value(j, depth + 1);
        } while (!j->bad && take(j, ','));
        if (!j->bad && !take(j, end))
            j->bad = true;
    } else {
        size_t length = strspn(j->at, "+-.0123456789eEaflnrstu"); /* numbers, true, false, null */
        if (length == 0)
            j->bad = true;
        j->at += length;
    }
}

static int64_t take_integer(json *j)
{
    skip_space(j);
    char *end;
    long long value = strtoll(j->at, &end, 10);
    if (end == j->at || value < 0)
        j->bad = true;
    j->at = end;
    return value;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const anl_manifest_shard *)a)->file, ((const anl_manifest_shard *)b)->file);
}

anl_status anl_manifest_read(anl_arena *arena, const char *path, anl_manifest_shard **shards, int *count)
{
    *shards = NULL;
    *count = 0;
    char *text;
    size_t length;
    anl_status status = anl_file_read(arena, path, 0, &text, &length);
    if (status != ANL_OK)
        return ANL_ERROR_FILE;
    json j = {.arena = arena, .at = text};
    int capacity = 0;
    bool seen = false;
    if (!take(&j, '{'))
        return ANL_ERROR_FORMAT;
    do {
        const char *key = take_string(&j);
        if (j.bad || !take(&j, ':'))
            return ANL_ERROR_FORMAT;
        if (strcmp(key, "shards") != 0) {
            skip_value(&j, 0);
            continue;
        }
        seen = true;
        if (!take(&j, '['))
            return ANL_ERROR_FORMAT;
        if (take(&j, ']'))
            continue;
        do {
            anl_manifest_shard shard = {.file = "", .samples = -1, .bytes = -1};
            if (!take(&j, '{'))
                return ANL_ERROR_FORMAT;
            do {
                const char *name = take_string(&j);
                if (j.bad || !take(&j, ':'))
                    return ANL_ERROR_FORMAT;
                if (strcmp(name, "file") == 0)
                    shard.file = take_string(&j);
                else if (strcmp(name, "samples") == 0)
                    shard.samples = take_integer(&j);
                else if (strcmp(name, "bytes") == 0)
                    shard.bytes = take_integer(&j);
                else
                    skip_value(&j, 0);
            } while (!j.bad && take(&j, ','));
            if (j.bad || !take(&j, '}') || !shard.file[0] || shard.samples < 1 || shard.bytes < 1)
                return ANL_ERROR_FORMAT;
            ANL_PUSH(arena, *shards, *count, capacity, shard);
        } while (take(&j, ','));
        if (!take(&j, ']'))
            return ANL_ERROR_FORMAT;
    } while (!j.bad && take(&j, ','));
    if (j.bad || !take(&j, '}') || !seen)
        return ANL_ERROR_FORMAT;
    if (*count > 0)
        qsort(*shards, (size_t)*count, sizeof **shards, by_name);
    return ANL_OK;
}

const anl_manifest_shard *anl_manifest_find(const anl_manifest_shard *shards, int count, const char *file)
{
    anl_manifest_shard key = {.file = file};
    return count > 0 ? bsearch(&key, shards, (size_t)count, sizeof *shards, by_name) : NULL;
}
