/* Reader of comma-separated tables (RFC 4180).
 * In: a path. Out: header and cells in an arena, or diagnostics with the line of each problem.
 * Cells are unquoted in place: the text of the file is the storage. */
#include "data/csv.h"

#include <errno.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#define MOST_PROBLEMS 20
#define MOST_SHOWN ((size_t)1 << 20)

typedef struct reader {
    const char *path;
    char *at, *end;
    char separator;
    int line;
    anl_diagnostics *diagnostics;
    int problems;
} reader;

static anl_diagnostic *problem(reader *r, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static anl_diagnostic *problem(reader *r, int line, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->problems++;
    anl_span span = {.file = r->path, .line = line, .column = 1, .length = 1};
    return anl_diagnose(r->diagnostics, ANL_A_labels_invalid, span, "%s", text);
}

/* Reads one cell and moves behind its separator. Returns true when the row goes on. */
static bool read_cell(reader *r, char **cell)
{
    char *to;
    if (r->at < r->end && *r->at == '"') {
        int began = r->line;
        char *from = r->at + 1;
        *cell = to = from;
        for (;; from++) {
            if (from >= r->end) {
                problem(r, began, "a quoted cell begins here and never ends");
                break;
            }
            if (*from == '"') {
                if (from + 1 < r->end && from[1] == '"')
                    from++;
                else {
                    from++;
                    break;
                }
            } else if (*from == '\n')
                r->line++;
            *to++ = *from;
        }
        r->at = from < r->end ? from : r->end;
        if (r->at < r->end && *r->at != r->separator && *r->at != '\n' && *r->at != '\r') {
            problem(r, r->line, "text follows the closing quote of a cell; a quote inside a cell is written \"\"");
            while (r->at < r->end && *r->at != r->separator && *r->at != '\n' && *r->at != '\r')
                r->at++;
        }
    } else {
        *cell = r->at;
        while (r->at < r->end && *r->at != r->separator && *r->at != '\n' && *r->at != '\r')
            r->at++;
        to = r->at;
    }
    /* The byte at `at` is looked at before it is overwritten, since a cell ends right there. */
    char stop = r->at < r->end ? *r->at : '\n';
    bool more = false;
    if (r->at < r->end) {
        if (stop == '\r' && r->at + 1 < r->end && r->at[1] == '\n')
            r->at++;
        r->at++;
    }
    if (stop == r->separator)
        more = true;
    else
        r->line++;
    *to = '\0'; /* at most the end of the text, where the reader of files keeps a NUL */
    return more;
}

anl_status anl_csv_read(anl_arena *arena, const char *path, anl_diagnostics *diagnostics, anl_csv *out)
{
    memset(out, 0, sizeof *out);
    out->path = anl_arena_text(arena, path);
    anl_span file = {.file = out->path};
    char *text;
    size_t length, bad;
    anl_status status = anl_file_read(arena, path, 0, &text, &length);
    if (status != ANL_OK) {
        anl_diagnose(diagnostics, ANL_A_labels_invalid, file, "cannot read the labels: %s", strerror(errno));
        return status;
    }
    if (length <= MOST_SHOWN) /* so that problems can show their line; the text is cut into cells below */
        anl_diagnostics_source(diagnostics, out->path, text, length);
    reader r = {.path = out->path, .at = text, .end = text + length, .line = 1, .diagnostics = diagnostics};
    if (!anl_utf8_valid(text, length, &bad) || memchr(text, 0, length)) {
        const char *nul = memchr(text, 0, length);
        size_t where = nul && (anl_utf8_valid(text, length, &bad) || (size_t)(nul - text) < bad) ? (size_t)(nul - text) : bad;
        int line = 1;
        for (size_t i = 0; i < where; i++)
            line += text[i] == '\n';
        anl_diagnostic *d = problem(&r, line, "this is not text in UTF-8 (byte %zu of the file)", where + 1);
        anl_diagnostic_note(diagnostics, d, "save the table as CSV in UTF-8");
        return ANL_ERROR_FORMAT;
    }
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3;
    /* The header decides the separator. */
    r.separator = ',';
    size_t header = strcspn(r.at, "\r\n");
    if (!memchr(r.at, ',', header)) {
        if (memchr(r.at, ';', header))
            r.separator = ';';
        else if (memchr(r.at, '\t', header))
            r.separator = '\t';
    }
    int capacity = 0, line_capacity = 0, cell_capacity = 0, cell_count = 0, row_count = 0, name_count = 0;
    const char **cells = NULL, **names = NULL;
    int *lines = NULL;
    while (r.at < r.end && r.problems < MOST_PROBLEMS) {
        if (*r.at == '\n' || *r.at == '\r') { /* empty lines say nothing */
            char first = *r.at++;
            if (first == '\r' && r.at < r.end && *r.at == '\n')
                r.at++;
            r.line++;
            continue;
        }
        int began = r.line, count = 0;
        bool more = true;
        if (!names) {
            while (more) {
                char *cell;
                more = read_cell(&r, &cell);
                ANL_PUSH(arena, names, name_count, capacity, cell);
            }
            for (int i = 0; i < name_count; i++) {
                if (!names[i][0])
                    problem(&r, began, "column %d has no name", i + 1);
                for (int j = 0; j < i && names[i][0]; j++)
                    if (strcmp(names[i], names[j]) == 0)
                        problem(&r, began, "columns %d and %d are both called `%s`", j + 1, i + 1, names[i]);
            }
            continue;
        }
        while (more) {
            char *cell;
            more = read_cell(&r, &cell);
            if (count++ < name_count)
                ANL_PUSH(arena, cells, cell_count, cell_capacity, cell);
        }
        if (count != name_count) {
            problem(&r, began, "this row has %d cells, but the header has %d", count, name_count);
            for (; count < name_count; count++)
                ANL_PUSH(arena, cells, cell_count, cell_capacity, "");
        }
        ANL_PUSH(arena, lines, row_count, line_capacity, began);
        if (cell_count > INT32_MAX / 4) {
            problem(&r, began, "more than %d cells", INT32_MAX / 4);
            break;
        }
    }
    if (r.problems == 0 && !names)
        problem(&r, 1, "the table is empty");
    if (r.problems > 0)
        return ANL_ERROR_FORMAT;
    out->columns = name_count;
    out->names = names;
    out->rows = row_count;
    out->cells = cells;
    out->lines = lines;
    return ANL_OK;
}

int anl_csv_column(const anl_csv *csv, const char *name)
{
    for (int i = 0; i < csv->columns; i++)
        if (strcmp(csv->names[i], name) == 0)
            return i;
    return -1;
}
