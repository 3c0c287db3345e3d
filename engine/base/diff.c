/* Unified diffs, and writing a text back to its file.
 * In: two texts. Out: their difference by lines, by the greedy shortest edit script (Myers 1986).
 * Where texts differ in thousands of lines the script is no longer the shortest: everything between their common ends is shown. */
#include <anlage/text.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base.h"

enum { CONTEXT = 3, MOST_EDITS = 2000 };

typedef struct line {
    const char *text;
    size_t length; /* with its line end, if it has one */
} line;

typedef struct side {
    line *lines;
    int count;
} side;

static side split(anl_arena *arena, const char *text, size_t length)
{
    side s = {0};
    int capacity = 0;
    for (const char *at = text, *end = text + length; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop + 1 : end;
        line l = {at, (size_t)(stop - at)};
        ANL_PUSH(arena, s.lines, s.count, capacity, l);
        at = stop;
    }
    return s;
}

static bool same(const line *a, const line *b) { return a->length == b->length && !memcmp(a->text, b->text, a->length); }

/* Marks the lines of a that go and the lines of b that come, between their common beginning and end. */
static void mark(anl_arena *arena, const side *a, const side *b, int from, int a_to, int b_to, bool *gone, bool *come)
{
    int n = a_to - from, m = b_to - from, most = n + m < MOST_EDITS ? n + m : MOST_EDITS;
    int **trace = ANL_NEW_ARRAY(arena, int *, most + 1);
    int *v = ANL_NEW_ARRAY(arena, int, 2 * most + 3), found = -1;
    for (int d = 0; d <= most && found < 0; d++) {
        trace[d] = anl_arena_alloc(arena, sizeof(int) * (size_t)(2 * d + 3)); /* what v was before this round, from -d - 1 */
        memcpy(trace[d], v + most + 1 - d - 1, sizeof(int) * (size_t)(2 * d + 3));
        for (int k = -d; k <= d; k += 2) {
            int *at = v + most + 1 + k;
            int x = k == -d || (k != d && at[-1] < at[1]) ? at[1] : at[-1] + 1;
            while (x < n && x - k < m && same(&a->lines[from + x], &b->lines[from + x - k]))
                x++;
            *at = x;
            if (x >= n && x - k >= m) {
                found = d;
                break;
            }
        }
    }
    if (found < 0) {
        memset(gone + from, 1, (size_t)n);
        memset(come + from, 1, (size_t)m);
        return;
    }
    int x = n, y = m;
    for (int d = found; d > 0; d--) {
        const int *before = trace[d] + d + 1;
        int k = x - y;
        bool down = k == -d || (k != d && before[k - 1] < before[k + 1]);
        int k_before = down ? k + 1 : k - 1, x_before = before[k_before];
        if (down)
            come[from + x_before - k_before] = true;
        else
            gone[from + x_before] = true;
        x = x_before;
        y = x_before - k_before;
    }
}

static void print_range(FILE *out, int from, int count)
{
    fprintf(out, "%d", count ? from + 1 : from);
    if (count != 1)
        fprintf(out, ",%d", count);
}

static void print_line(FILE *out, char sign, const line *l)
{
    fputc(sign, out);
    fwrite(l->text, 1, l->length, out);
    if (!l->length || l->text[l->length - 1] != '\n')
        fputs("\n\\ No newline at end of file\n", out);
}

void anl_diff_print(const char *name, const char *before, size_t before_length, const char *after, size_t after_length, FILE *out)
{
    if (before_length == after_length && !memcmp(before, after, after_length))
        return;
    anl_arena *arena = anl_arena_new();
    side a = split(arena, before, before_length), b = split(arena, after, after_length);
    bool *gone = ANL_NEW_ARRAY(arena, bool, a.count + 1), *come = ANL_NEW_ARRAY(arena, bool, b.count + 1);
    int from = 0, a_to = a.count, b_to = b.count;
    while (from < a_to && from < b_to && same(&a.lines[from], &b.lines[from]))
        from++;
    while (a_to > from && b_to > from && same(&a.lines[a_to - 1], &b.lines[b_to - 1]))
        a_to--, b_to--;
    mark(arena, &a, &b, from, a_to, b_to, gone, come);

    fprintf(out, "--- %s\n+++ %s\n", name, name);
    for (int i = 0, j = 0; i < a.count || j < b.count;) {
        if (!gone[i] && !come[j]) {
            i++, j++;
            continue;
        }
        /* a hunk: until as many lines in a row are common as two contexts have */
        int first = i < CONTEXT ? i : CONTEXT, a_end = i, b_end = j, common = 0;
        for (int p = i, q = j; (p < a.count || q < b.count) && common <= 2 * CONTEXT;) {
            if (p < a.count && gone[p])
                p++, common = 0;
            else if (q < b.count && come[q])
                q++, common = 0;
            else
                p++, q++, common++;
            if (!common)
                a_end = p, b_end = q;
        }
        int last = a.count - a_end < CONTEXT ? a.count - a_end : CONTEXT;
        i -= first, j -= first;
        a_end += last, b_end += last;
        fputs("@@ -", out);
        print_range(out, i, a_end - i);
        fputs(" +", out);
        print_range(out, j, b_end - j);
        fputs(" @@\n", out);
        while (i < a_end || j < b_end)
            if (i < a_end && gone[i])
                print_line(out, '-', &a.lines[i++]);
            else if (j < b_end && come[j])
                print_line(out, '+', &b.lines[j++]);
            else
                print_line(out, ' ', &a.lines[i++]), j++;
    }
    anl_arena_free(&arena);
}

anl_status anl_text_write(const char *path, const char *text, size_t length)
{
    char *real = realpath(path, NULL); /* the file, where path is a link to it */
    struct stat about;
    bool existed = real && stat(real, &about) == 0;
    anl_status status = anl_file_write_atomic(real ? real : path, text, length);
    if (status == ANL_OK && existed && chmod(real, about.st_mode & 07777) != 0)
        status = ANL_ERROR_FILE;
    int reason = errno;
    free(real);
    errno = reason;
    return status;
}
