/* Diagnostics: problems as values, kept in a list, printed with their source lines.
 * In: code, place, message, labels, notes from any layer. Out: a sorted report for people.
 * Everything is copied into the list's arena, so that it outlives the spec it speaks of. */
#include <anlage/diagnostic.h>
#include <anlage/diagnostic_codes.h>

#include "base/base.h"
#include "base/report.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct source {
    const char *name;
    const char *text; /* NULL: known by name only */
    size_t length;
    size_t *lines; /* where each line begins */
    int line_count, line_capacity;
} source;

struct anl_diagnostics {
    anl_arena *arena;
    anl_diagnostic **items;
    int count, capacity;
    source *sources; /* in the order in which files were first seen: the order of the report */
    int source_count, source_capacity;
    int errors, warnings;
    int *table; /* open addressing, item + 1; size a power of two: repeated problems are found without a search */
    int table_size;
};

static const struct code {
    anl_code number;
    anl_severity severity;
    const char *name;
} codes[] = {
#define X(number, severity, name) {number, ANL_##severity, #name},
    ANL_DIAGNOSTIC_CODES(X)
#undef X
};

const char *anl_severity_word(anl_severity severity)
{
    return severity == ANL_ERROR ? "error" : severity == ANL_WARNING ? "warning" : "note";
}

static const struct code *find_code(anl_code number)
{
    for (size_t i = 0; i < ANL_COUNT(codes); i++)
        if (codes[i].number == number)
            return &codes[i];
    return NULL;
}

const char *anl_code_name(anl_code code)
{
    const struct code *found = find_code(code);
    return found ? found->name : "unknown_code";
}

anl_severity anl_code_severity(anl_code code)
{
    const struct code *found = find_code(code);
    return found ? found->severity : ANL_ERROR;
}

bool anl_code_internal(anl_code code)
{
    return code == ANL_A_graph_invalid || code == ANL_A_program_invalid || code == ANL_A_shader_build || code == ANL_A_layout_unsafe;
}

anl_code anl_code_at(int index) { return index >= 0 && (size_t)index < ANL_COUNT(codes) ? codes[index].number : 0; }

anl_diagnostics *anl_diagnostics_new(void)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *list = ANL_NEW(arena, anl_diagnostics);
    list->arena = arena;
    return list;
}

void anl_diagnostics_free(anl_diagnostics **list)
{
    if (!list || !*list)
        return;
    anl_arena *arena = (*list)->arena; /* the list lives in it */
    *list = NULL;
    anl_arena_free(&arena);
}

static int find_source(const anl_diagnostics *list, const char *file)
{
    for (int i = 0; i < list->source_count; i++)
        if (strcmp(list->sources[i].name, file) == 0)
            return i;
    return -1;
}

static source *need_source(anl_diagnostics *list, const char *file)
{
    int index = find_source(list, file);
    if (index < 0) {
        source fresh = {.name = anl_arena_text(list->arena, file)};
        ANL_PUSH(list->arena, list->sources, list->source_count, list->source_capacity, fresh);
        index = list->source_count - 1;
    }
    return &list->sources[index];
}

void anl_diagnostics_source(anl_diagnostics *list, const char *file, const char *text, size_t length)
{
    if (!list)
        return;
    source *s = need_source(list, file);
    s->text = anl_arena_copy(list->arena, text, length);
    s->length = length;
    s->line_count = 0;
    ANL_PUSH(list->arena, s->lines, s->line_count, s->line_capacity, 0);
    for (const char *c = s->text; (c = memchr(c, '\n', (size_t)(s->text + length - c)));) {
        size_t begin = (size_t)(++c - s->text);
        ANL_PUSH(list->arena, s->lines, s->line_count, s->line_capacity, begin);
    }
}

/* The span with its file name owned by the list. */
static anl_span keep_span(anl_diagnostics *list, anl_span span)
{
    if (span.file)
        span.file = need_source(list, span.file)->name;
    return span;
}

bool anl_span_same(anl_span a, anl_span b)
{
    return a.line == b.line && a.column == b.column && (a.file == b.file || (a.file && b.file && !strcmp(a.file, b.file)));
}

static bool same_span(anl_span a, anl_span b) /* both kept: names are unique pointers */
{
    return a.file == b.file && a.line == b.line && a.column == b.column;
}

static uint64_t item_hash(anl_code code, anl_span span, const char *message)
{
    uint64_t key[3] = {(uint64_t)code, (uint64_t)span.line, (uint64_t)span.column};
    uint64_t hash = 0;
    for (int i = 0; i < 3; i++)
        hash = (hash ^ key[i]) * 0x9E3779B97F4A7C15u;
    return anl_hash_text(message, span.file ? anl_hash_text(span.file, hash) : hash);
}

static void fill_table(anl_diagnostics *list)
{
    if (list->table_size)
        memset(list->table, 0, sizeof *list->table * (size_t)list->table_size);
    for (int i = 0; i < list->count; i++) {
        const anl_diagnostic *d = list->items[i];
        uint64_t slot = item_hash(d->code, d->span, d->message);
        while (list->table[slot &= (uint64_t)list->table_size - 1])
            slot++;
        list->table[slot] = i + 1;
    }
}

static void grow_table(anl_diagnostics *list)
{
    list->table_size = list->table_size ? list->table_size * 2 : 64;
    list->table = ANL_NEW_ARRAY(list->arena, int, list->table_size);
    fill_table(list);
}

static char *format_text(anl_arena *arena, const char *format, va_list args)
{
    anl_text text = {0};
    anl_text_vprintf(&text, format, args);
    char *copy = anl_arena_copy(arena, text.data, text.length);
    anl_text_free(&text);
    return copy;
}

anl_diagnostic *anl_diagnose(anl_diagnostics *list, anl_code code, anl_span span, const char *format, ...)
{
    if (!list)
        return NULL;
    va_list args;
    va_start(args, format);
    const char *message = format_text(list->arena, format, args);
    va_end(args);
    span = keep_span(list, span);

    if (2 * (list->count + 1) > list->table_size)
        grow_table(list);
    uint64_t slot = item_hash(code, span, message);
    for (int found; (found = list->table[slot &= (uint64_t)list->table_size - 1]); slot++) {
        anl_diagnostic *d = list->items[found - 1];
        if (d->code == code && same_span(d->span, span) && strcmp(d->message, message) == 0)
            return d;
    }

    anl_diagnostic *d = ANL_NEW(list->arena, anl_diagnostic);
    *d = (anl_diagnostic){.code = code, .severity = anl_code_severity(code), .span = span, .message = message};
    ANL_PUSH(list->arena, list->items, list->count, list->capacity, d);
    list->table[slot] = list->count;
    list->errors += d->severity == ANL_ERROR;
    list->warnings += d->severity == ANL_WARNING;
    if (anl_code_internal(code))
        anl_diagnostic_note(list, d, "this is a defect of anlage, not of the spec; please report it with the spec");
    return d;
}

/* Labels and notes of a problem that is reported again are not repeated either. */
void anl_diagnostic_label(anl_diagnostics *list, anl_diagnostic *d, anl_span span, const char *format, ...)
{
    if (!list || !d)
        return;
    va_list args;
    va_start(args, format);
    anl_label label = {.span = keep_span(list, span), .text = format_text(list->arena, format, args)};
    va_end(args);
    for (int i = 0; i < d->label_count; i++)
        if (same_span(d->labels[i].span, label.span) && strcmp(d->labels[i].text, label.text) == 0)
            return;
    ANL_PUSH(list->arena, d->labels, d->label_count, d->label_capacity, label);
}

void anl_diagnostic_note(anl_diagnostics *list, anl_diagnostic *d, const char *format, ...)
{
    if (!list || !d)
        return;
    va_list args;
    va_start(args, format);
    const char *note = format_text(list->arena, format, args);
    va_end(args);
    for (int i = 0; i < d->note_count; i++)
        if (strcmp(d->notes[i], note) == 0)
            return;
    ANL_PUSH(list->arena, d->notes, d->note_count, d->note_capacity, note);
}

void anl_diagnostic_suggest(anl_diagnostics *list, anl_diagnostic *d, const char *format, ...)
{
    if (!list || !d)
        return;
    va_list args;
    va_start(args, format);
    d->suggestion = format_text(list->arena, format, args);
    va_end(args);
}

anl_fix *anl_diagnostic_fix(anl_diagnostics *list, anl_diagnostic *d, anl_applicability applicability, const char *format, ...)
{
    if (!list || !d)
        return NULL;
    va_list args;
    va_start(args, format);
    anl_fix fix = {.applicability = applicability, .title = format_text(list->arena, format, args)};
    va_end(args);
    for (int i = 0; i < d->fix_count; i++)
        if (strcmp(d->fixes[i].title, fix.title) == 0)
            return NULL;
    ANL_PUSH(list->arena, d->fixes, d->fix_count, d->fix_capacity, fix);
    return &d->fixes[d->fix_count - 1];
}

void anl_fix_edit(anl_diagnostics *list, anl_fix *fix, anl_span span, const char *text)
{
    if (!list || !fix)
        return;
    anl_edit edit = {.span = keep_span(list, span), .text = anl_arena_text(list->arena, text)};
    ANL_PUSH(list->arena, fix->edits, fix->edit_count, fix->edit_capacity, edit);
}

void anl_diagnostic_rename(anl_diagnostics *list, anl_diagnostic *d, anl_applicability applicability, anl_span span, const char *name)
{
    anl_diagnostic_suggest(list, d, "did you mean `%s`?", name);
    anl_fix_edit(list, anl_diagnostic_fix(list, d, applicability, "write `%s`", name), span, name);
}

/* The bytes at a place that are the word, which may be quoted or stand at the end (`value.word`). Length 0: they are not there. */
static anl_span place_of_word(const anl_diagnostics *list, anl_span span, const char *word)
{
    const int index = span.file ? find_source(list, span.file) : -1, length = (int)strlen(word);
    anl_span at = span;
    at.length = 0;
    if (index < 0 || !list->sources[index].text || span.line < 1 || span.line > list->sources[index].line_count || span.column < 1)
        return at;
    const source *s = &list->sources[index];
    const size_t begin = s->lines[span.line - 1] + (size_t)span.column - 1;
    if (begin + (size_t)span.length > s->length || span.length < length)
        return at;
    const char *text = s->text + begin;
    const bool quoted = span.length == length + 2 && (text[0] == '"' || text[0] == '\'') && text[0] == text[span.length - 1];
    const int before = quoted ? 1 : span.length - length;
    if (memcmp(text + before, word, (size_t)length))
        return at;
    at.column += before;
    at.length = length;
    return at;
}

const char *anl_diagnostic_nearest(anl_diagnostics *list, anl_diagnostic *d, anl_span span, const char *word, const char *const *names,
                                   int count, bool vocabulary)
{
    enum { SLIP = 1, SHORTEST = 4 };
    const char *near = anl_nearest(word, names, count);
    if (!list || !d || !near)
        return near;
    bool plain = vocabulary && strlen(word) >= SHORTEST && (anl_edit_distance(word, near) <= SLIP || !strcasecmp(word, near));
    for (int i = 0; plain && i < count; i++)
        plain = !names[i] || !strcmp(names[i], near) || anl_edit_distance(word, names[i]) > SLIP + 1;
    anl_span at = place_of_word(list, span, word);
    if (at.length)
        anl_diagnostic_rename(list, d, plain ? ANL_FIX_SAFE : ANL_FIX_MAYBE, at, near);
    else
        anl_diagnostic_suggest(list, d, "did you mean `%s`?", near);
    return near;
}

anl_diagnostic *anl_diagnostics_added(anl_diagnostics *list, int index) { return list->items[index]; }

void anl_diagnostics_append(anl_diagnostics *list, const anl_diagnostics *other)
{
    for (int i = 0; i < other->source_count; i++)
        if (other->sources[i].text)
            anl_diagnostics_source(list, other->sources[i].name, other->sources[i].text, other->sources[i].length);
    for (int i = 0; i < other->count; i++) {
        const anl_diagnostic *from = other->items[i];
        anl_diagnostic *d = anl_diagnose(list, from->code, from->span, "%s", from->message);
        for (int k = 0; k < from->label_count; k++)
            anl_diagnostic_label(list, d, from->labels[k].span, "%s", from->labels[k].text);
        for (int k = 0; k < from->note_count; k++)
            anl_diagnostic_note(list, d, "%s", from->notes[k]);
        if (from->suggestion)
            anl_diagnostic_suggest(list, d, "%s", from->suggestion);
        for (int k = 0; k < from->fix_count; k++) {
            anl_fix *fix = anl_diagnostic_fix(list, d, from->fixes[k].applicability, "%s", from->fixes[k].title);
            for (int e = 0; e < from->fixes[k].edit_count; e++)
                anl_fix_edit(list, fix, from->fixes[k].edits[e].span, from->fixes[k].edits[e].text);
        }
    }
}

void anl_diagnostics_filter(anl_diagnostics *list, bool (*drop)(void *context, const anl_diagnostic *d), void *context)
{
    if (!list)
        return;
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        anl_diagnostic *d = list->items[i];
        if (!drop(context, d)) {
            list->items[kept++] = d;
            continue;
        }
        list->errors -= d->severity == ANL_ERROR;
        list->warnings -= d->severity == ANL_WARNING;
    }
    list->count = kept;
    fill_table(list);
}

int anl_diagnostics_source_count(const anl_diagnostics *list) { return list->source_count; }

const char *anl_diagnostics_source_name(const anl_diagnostics *list, int index)
{
    return index >= 0 && index < list->source_count ? list->sources[index].name : NULL;
}

const char *anl_diagnostics_text(const anl_diagnostics *list, const char *file, size_t *length)
{
    int index = list && file ? find_source(list, file) : -1;
    if (index < 0 || !list->sources[index].text)
        return NULL;
    *length = list->sources[index].length;
    return list->sources[index].text;
}

int anl_diagnostics_count(const anl_diagnostics *list) { return list ? list->count : 0; }

const anl_diagnostic *anl_diagnostics_get(const anl_diagnostics *list, int index)
{
    return list && index >= 0 && index < list->count ? list->items[index] : NULL;
}

int anl_diagnostics_errors(const anl_diagnostics *list) { return list ? list->errors : 0; }
int anl_diagnostics_warnings(const anl_diagnostics *list) { return list ? list->warnings : 0; }

/* ---- printing ---- */

static const char BOLD[] = "\033[1m", RED[] = "\033[1;31m", YELLOW[] = "\033[1;33m", BLUE[] = "\033[1;34m", CYAN[] = "\033[1;36m",
                  GREEN[] = "\033[1;32m", PLAIN[] = "\033[0m";

/* A stretch of text from outside, safe for a terminal: control bytes and what is not UTF-8 become `?`;
 * further lines of a message are indented by `indent`. */
static void print_safe(FILE *out, const char *text, size_t length, int indent)
{
    while (length) {
        size_t good = length, bad = 0;
        if (!anl_utf8_valid(text, length, &bad))
            good = bad;
        for (size_t i = 0; i < good; i++) {
            unsigned char c = (unsigned char)text[i];
            /* U+0080..U+009F (C2 80..9F) are controls as well */
            bool control = (c < 0x20 && c != '\t') || c == 0x7F;
            bool control2 = c == 0xC2 && i + 1 < good && (unsigned char)text[i + 1] < 0xA0;
            if (c == '\n' && indent >= 0)
                fprintf(out, "\n%*s", indent, "");
            else if (control || control2)
                fputc('?', out);
            else
                fputc(c, out);
            i += control2;
        }
        text += good;
        length -= good;
        if (length) {
            fputc('?', out);
            text++;
            length--;
        }
    }
}

static void print_text(FILE *out, const char *text, int indent) { print_safe(out, text, strlen(text), indent); }

static bool continues(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

/* Line number, the source line, and under it `mark` below the span. Nothing where the text is not known. */
static void print_line(const anl_diagnostics *list, FILE *out, anl_span span, char mark, const char *colour, const char *frame,
                       const char *plain)
{
    enum { WIDEST = 140, BEFORE = 60 };
    int index = span.file ? find_source(list, span.file) : -1;
    if (index < 0 || !list->sources[index].text || span.line < 1 || span.line > list->sources[index].line_count)
        return;
    const source *s = &list->sources[index];
    size_t begin = s->lines[span.line - 1];
    size_t end = span.line < s->line_count ? s->lines[span.line] - 1 : s->length;
    if (end > begin && s->text[end - 1] == '\r')
        end--;
    const char *line = s->text + begin;
    size_t length = end - begin;

    size_t from = span.column > 1 ? (size_t)span.column - 1 : 0;
    if (from > length)
        from = length;
    size_t to = from + (span.length > 1 ? (size_t)span.length : 1);
    if (to > length)
        to = length > from ? length : from + 1;

    /* of a very long line, the part around the place */
    size_t first = 0, last = length;
    if (length > WIDEST) {
        first = from > BEFORE ? from - BEFORE : 0;
        last = first + WIDEST < length ? first + WIDEST : length;
        while (first < from && continues(line[first]))
            first++;
        while (last < length && last > from && continues(line[last]))
            last--;
        if (to > last && last > from)
            to = last;
    }
    const char *cut = first ? "..." : "";

    fprintf(out, "%s%5d |%s %s", frame, span.line, plain, cut);
    print_safe(out, line + first, last - first, -1);
    fprintf(out, "%s\n%s      |%s %*s", last < length ? "..." : "", frame, plain, (int)strlen(cut), "");
    for (size_t i = first; i < from; i++)
        if (!continues(line[i]))
            fputc(line[i] == '\t' ? '\t' : ' ', out);
    fputs(colour, out);
    for (size_t i = from; i < to; i++)
        if (i == from || i >= length || !continues(line[i]))
            fputc(mark, out);
    fprintf(out, "%s\n", plain);
}

static void print_place(FILE *out, anl_span span)
{
    if (!span.file)
        return;
    print_text(out, span.file, 0);
    if (span.line > 0)
        fprintf(out, ":%d:%d", span.line, span.column > 0 ? span.column : 1);
    fputs(": ", out);
}

typedef struct ranked {
    int file, line, column, index;
} ranked;

static int compare_ranked(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

const anl_diagnostic **anl_diagnostics_sorted(const anl_diagnostics *list)
{
    ranked *order = anl_malloc(sizeof *order * (size_t)(list->count + 1));
    for (int i = 0; i < list->count; i++) {
        anl_span span = list->items[i]->span;
        /* what has no file comes last: it is about the whole */
        int file = span.file ? find_source(list, span.file) : list->source_count;
        order[i] = (ranked){.file = file, .line = span.line, .column = span.column, .index = i};
    }
    qsort(order, (size_t)list->count, sizeof *order, compare_ranked);
    const anl_diagnostic **sorted = anl_malloc(sizeof *sorted * (size_t)(list->count + 1));
    for (int i = 0; i < list->count; i++)
        sorted[i] = list->items[order[i].index];
    free(order);
    return sorted;
}

void anl_diagnostics_print(const anl_diagnostics *list, FILE *out, bool colour)
{
    if (!list || !list->count)
        return;
    const anl_diagnostic **sorted = anl_diagnostics_sorted(list);
    const char *bold = colour ? BOLD : "", *plain = colour ? PLAIN : "", *frame = colour ? BLUE : "";
    for (int i = 0; i < list->count; i++) {
        const anl_diagnostic *d = sorted[i];
        const char *word = anl_severity_word(d->severity);
        const char *shade = !colour ? "" : d->severity == ANL_ERROR ? RED : d->severity == ANL_WARNING ? YELLOW : CYAN;
        fputs(bold, out);
        print_place(out, d->span);
        fprintf(out, "%s%s%s[A%04d]%s%s: ", plain, shade, word, d->code, plain, bold);
        print_text(out, d->message, 4);
        fprintf(out, "%s\n", plain);
        print_line(list, out, d->span, '^', shade, frame, plain);
        for (int k = 0; k < d->label_count; k++) {
            fprintf(out, "  %s-->%s ", frame, plain);
            print_place(out, d->labels[k].span);
            print_text(out, d->labels[k].text, 6);
            fputc('\n', out);
            print_line(list, out, d->labels[k].span, '-', frame, frame, plain);
        }
        for (int k = 0; k < d->note_count; k++) {
            fprintf(out, "  %snote:%s ", colour ? CYAN : "", plain);
            print_text(out, d->notes[k], 8);
            fputc('\n', out);
        }
        if (d->suggestion) {
            fprintf(out, "  %shelp:%s ", colour ? GREEN : "", plain);
            print_text(out, d->suggestion, 8);
            fputc('\n', out);
        }
    }
    free(sorted);
}
