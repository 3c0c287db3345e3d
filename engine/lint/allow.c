/* Suppressions in the text: `# lint: allow A0213 because …`, at the end of a line or on a line of its own above it.
 * In: the diagnostics found, with the sources they speak of. Out: the same without what is allowed.
 * Only warnings can be allowed: an error is what keeps a spec from running. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "lint/rules.h"
#include "spec/syntax.h"

typedef struct allowance {
    const char *file;
    int line; /* whose diagnostics are allowed */
    anl_code code;
    anl_span span, whole; /* the comment; with the blanks before it, or its line where it stands alone */
    bool used;
} allowance;

typedef struct allowances {
    anl_arena *arena;
    allowance *items;
    int count, capacity;
} allowances;

/* Whether a byte lies in a scalar: a `#` there begins no comment. */
static bool in_scalar(const anl_syntax *s, size_t at)
{
    if (!s)
        return false;
    if (s->kind == ANL_Y_SCALAR)
        return s->source && (s->quoted || s->block) && at >= s->start && at < s->end;
    for (int i = 0; i < s->count; i++)
        if (in_scalar(s->kind == ANL_Y_LIST ? s->items[i] : s->pairs[i].value, at))
            return true;
    return false;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static bool word(const char **at, const char *end, const char *expected)
{
    const char *from = skip_blanks(*at, end);
    size_t length = strlen(expected);
    if ((size_t)(end - from) < length || memcmp(from, expected, length) ||
        (from + length < end && isalnum((unsigned char)from[length])))
        return false;
    *at = from + length;
    return true;
}

static anl_code code_at(const char **at, const char *end)
{
    const char *from = skip_blanks(*at, end), *to = from;
    while (to < end && isalnum((unsigned char)*to))
        to++;
    if (to - from != 5 || *from != 'A')
        return 0;
    anl_code code = (anl_code)strtol(from + 1, NULL, 10);
    for (int i = 0; anl_code_at(i); i++)
        if (anl_code_at(i) == code) {
            *at = to;
            return code;
        }
    return 0;
}

/* One comment that begins with `# lint:`. */
static void read_comment(allowances *all, anl_diagnostics *diagnostics, anl_span span, anl_span whole, const char *at,
                         const char *end, int line)
{
    if (!word(&at, end, "allow")) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_allow_invalid, span, "a comment to the linter that it does not know");
        anl_diagnostic_suggest(diagnostics, d, "write `# lint: allow A0213 because <reason>`");
        return;
    }
    anl_code code = code_at(&at, end);
    if (!code) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_allow_invalid, span, "`lint: allow` needs the code of a diagnostic, such as A0213");
        anl_diagnostic_note(diagnostics, d, "the code stands in brackets in the report; one comment allows one code");
        return;
    }
    if (anl_code_severity(code) == ANL_ERROR) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_allow_invalid, span, "A%04d is an error and cannot be allowed", code);
        anl_diagnostic_note(diagnostics, d, "only warnings can: an error keeps the spec from running");
        return;
    }
    bool because = word(&at, end, "because");
    at = skip_blanks(at, end);
    if (!because || at == end || *at == '<') { /* <reason>: what an editor leaves to be filled in */
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_allow_invalid, span, "`lint: allow A%04d` does not say why", code);
        anl_diagnostic_suggest(diagnostics, d, "end it with `because <reason>`");
        return;
    }
    allowance a = {.file = span.file, .line = line, .code = code, .span = span, .whole = whole};
    ANL_PUSH(all->arena, all->items, all->count, all->capacity, a);
}

static void read_file(allowances *all, anl_diagnostics *diagnostics, const char *file)
{
    static const char mark[] = "# lint:";
    size_t length = 0;
    const char *text = anl_diagnostics_text(diagnostics, file, &length);
    if (!text || !memmem(text, length, mark, sizeof mark - 1))
        return;
    anl_syntax *root = anl_syntax_parse(all->arena, file, text, length, NULL);
    const char *end = text + length;
    int number = 1;
    for (const char *line = text, *next; line < end; line = next, number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        if (stop > line && stop[-1] == '\r')
            stop--;
        const char *at = memmem(line, (size_t)(stop - line), mark, sizeof mark - 1);
        if (!at || (at > line && !isblank((unsigned char)at[-1])) || in_scalar(root, (size_t)(at - text)))
            continue;
        int about = number;
        if (skip_blanks(line, stop) == at) /* a line of its own: about the next that is more than a comment */
            for (const char *below = next; below < end; below = memchr(below, '\n', (size_t)(end - below)), below = below ? below + 1 : end) {
                about++;
                const char *first = skip_blanks(below, end);
                if (first < end && *first != '#' && *first != '\n' && *first != '\r')
                    break;
            }
        anl_span span = {file, number, (int)(at - line) + 1, (int)(stop - at)};
        const char *first = at;
        while (first > line && isblank((unsigned char)first[-1]))
            first--;
        anl_span whole = {file, number, (int)(first - line) + 1, (int)((first == line ? next : stop) - first)};
        read_comment(all, diagnostics, span, whole, at + sizeof mark - 1, stop, about);
    }
}

static bool allowed(void *context, const anl_diagnostic *d)
{
    allowances *all = context;
    bool drop = false;
    for (int i = 0; i < all->count; i++)
        if (d->span.file && d->severity != ANL_ERROR && all->items[i].code == d->code && all->items[i].line == d->span.line &&
            !strcmp(all->items[i].file, d->span.file))
            drop = all->items[i].used = true;
    return drop;
}

void anl_lint_allow(const char *main, anl_diagnostics *diagnostics)
{
    allowances all = {.arena = anl_arena_new()};
    for (int i = 0; i < anl_diagnostics_source_count(diagnostics); i++)
        read_file(&all, diagnostics, anl_diagnostics_source_name(diagnostics, i));
    if (all.count)
        anl_diagnostics_filter(diagnostics, allowed, &all);
    bool whole = anl_diagnostics_errors(diagnostics) == 0; /* with errors, not every rule was asked */
    for (int i = 0; i < all.count; i++)
        if (whole && !all.items[i].used && !strcmp(all.items[i].file, main)) {
            anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_allow_unused, all.items[i].span,
                                             "nothing here gives A%04d: this allows nothing", all.items[i].code);
            anl_diagnostic_suggest(diagnostics, d, "take the comment away");
            anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_SAFE, "take the comment away"), all.items[i].whole, "");
        }
    anl_arena_free(&all.arena);
}

/* ---- the comment for a person to fill in ---- */

/* Whether a byte lies inside a scalar of any kind: a comment there would be text, or end it. */
static bool breaks_scalar(const anl_syntax *s, size_t at)
{
    if (!s)
        return false;
    if (s->kind == ANL_Y_SCALAR)
        return s->source && at > s->start && at < s->end;
    for (int i = 0; i < s->count; i++)
        if (breaks_scalar(s->kind == ANL_Y_LIST ? s->items[i] : s->pairs[i].value, at))
            return true;
    return false;
}

char *anl_lint_allowance(const anl_diagnostics *diagnostics, const anl_diagnostic *d, anl_span *where)
{
    size_t length = 0;
    const char *text = d->span.file && d->span.line ? anl_diagnostics_text(diagnostics, d->span.file, &length) : NULL;
    if (!text || d->severity == ANL_ERROR)
        return NULL;
    const char *line = text, *end = text + length;
    for (int i = 1; i < d->span.line && line; i++) {
        line = memchr(line, '\n', (size_t)(end - line));
        line = line ? line + 1 : NULL;
    }
    if (!line)
        return NULL;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    stop = stop ? stop : end;
    while (stop > line && isspace((unsigned char)stop[-1]))
        stop--;
    anl_arena *arena = anl_arena_new();
    anl_text out = {0};
    const anl_syntax *root = anl_syntax_parse(arena, d->span.file, text, length, NULL);
    if (!memmem(line, (size_t)(stop - line), "# lint:", 7) && !breaks_scalar(root, (size_t)(stop - text))) {
        *where = (anl_span){d->span.file, d->span.line, (int)(stop - line) + 1, 0};
        anl_text_printf(&out, "  # lint: allow A%04d because <reason>", d->code);
    } else if (!breaks_scalar(root, (size_t)(line - text))) {
        *where = (anl_span){d->span.file, d->span.line, 1, 0};
        anl_text_printf(&out, "%.*s# lint: allow A%04d because <reason>\n", (int)(skip_blanks(line, stop) - line), line, d->code);
    }
    anl_arena_free(&arena);
    return out.data;
}
