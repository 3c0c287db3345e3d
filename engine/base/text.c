/* Comparing texts: edit distance, nearest word, globs, UTF-8; bytes for people.
 * In: byte strings, some of them from users. Out: distances, matches, verdicts.
 * Bounded work on any input: words beyond a length are never "near", globs match without recursion. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int smallest(int a, int b) { return a < b ? a : b; }

int anl_edit_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    /* Optimal string alignment: three rows of the table suffice, for the swap looks two rows back. */
    int *table = anl_malloc(sizeof(int) * 3 * (columns + 1));
    int *before = table, *above = table + columns + 1, *row = table + 2 * (columns + 1);
    for (size_t j = 0; j <= columns; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = (int)i;
        for (size_t j = 1; j <= columns; j++) {
            int cost = above[j - 1] + (a[i - 1] != b[j - 1]);
            cost = smallest(cost, smallest(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost = smallest(cost, before[j - 2] + 1);
            row[j] = cost;
        }
    }
    int distance = row[columns];
    free(table);
    return distance;
}

const char *anl_list_next(const char **at, size_t *length)
{
    while (**at) {
        const char *from = *at, *to = from + strcspn(from, ",");
        *at = *to ? to + 1 : to;
        while (from < to && *from == ' ')
            from++;
        while (to > from && to[-1] == ' ')
            to--;
        *length = (size_t)(to - from);
        if (to > from)
            return from;
    }
    return NULL;
}

const char *anl_nearest(const char *word, const char *const *candidates, int count)
{
    enum { LONGEST = 100 };
    size_t length = strlen(word);
    if (length > LONGEST)
        return NULL;
    const char *best = NULL;
    int best_distance = 0;
    for (int i = 0; i < count; i++) {
        const char *candidate = candidates[i];
        size_t other = candidate ? strlen(candidate) : 0;
        if (!other || other > LONGEST)
            continue;
        int limit = (int)(length > other ? length : other) / 3;
        int distance = anl_edit_distance(word, candidate);
        if (distance > limit && strcasecmp(word, candidate) == 0)
            distance = limit; /* only the case is wrong */
        if (distance <= limit && (!best || distance < best_distance)) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

bool anl_glob_match(const char *pattern, const char *text)
{
    /* On a mismatch, the last star takes one byte more: no star before it needs another try. */
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool anl_utf8_valid(const char *text, size_t length, size_t *bad_offset)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;
    while (i < length) {
        unsigned char first = bytes[i];
        size_t more = first < 0x80 ? 0 : first < 0xC2 ? 9 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 9;
        bool good = more < 9 && more < length - i;
        for (size_t k = 1; good && k <= more; k++)
            good = (bytes[i + k] & 0xC0) == 0x80;
        /* overlong forms, surrogates, beyond U+10FFFF: told by the second byte */
        if (good && more >= 2) {
            unsigned char second = bytes[i + 1];
            good = !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F) &&
                   !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
        }
        if (!good) {
            if (bad_offset)
                *bad_offset = i;
            return false;
        }
        i += more + 1;
    }
    return true;
}

/* ---- bytes ---- */
void anl_bytes_text(double bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    snprintf(out, 32, "%.*f %s", u == 0 ? 0 : 1, bytes, units[u]);
}

int64_t anl_bytes_parse(const char *text, const char **end)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}, {"kB", 1e3},
                 {"MB", 1e6},     {"GB", 1e9},        {"TB", 1e12},          {"B", 1}};
    const char *at = text;
    double value = 0, place = 1;
    int digits = 0;
    for (; *at >= '0' && *at <= '9'; at++, digits++)
        value = 10 * value + (*at - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, digits++)
            value += (*at - '0') * (place /= 10);
    for (size_t u = 0; u < ANL_COUNT(units); u++)
        if (!strncmp(at, units[u].name, strlen(units[u].name))) {
            value *= units[u].bytes;
            at += strlen(units[u].name);
            break;
        }
    *end = at;
    return digits && value < 9e18 ? (int64_t)value : -1;
}
