/* Expressions: text to a tree, and back.
 * In: the text of a scalar and where each byte of it stands in the file. Out: anl_expression with spans; one diagnostic where it
 * cannot be read. Precedence as in Python, lowest first: or, and, not, comparisons (no chains), + -, * / // %, unary -, **
 * (right), then calls, members, slices. */
#include "spec/syntax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

enum { PREC_OR = 1, PREC_AND, PREC_NOT, PREC_COMPARE, PREC_ADD, PREC_MUL, PREC_UNARY, PREC_POWER, PREC_POSTFIX };

typedef enum token_kind { T_END, T_NUMBER, T_DURATION, T_NAME, T_TEXT, T_SYMBOL } token_kind;

typedef struct token {
    token_kind kind;
    size_t start, end;
    double number;
    bool integer, epochs;
    const char *text; /* NAME, TEXT, SYMBOL */
} token;

typedef struct parser {
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    const char *text;
    const anl_text_map *map;
    size_t at;   /* behind the current token */
    size_t last; /* end of the token before the current one */
    token token;
    int depth;
    bool failed; /* reported: only the first problem of an expression is */
} parser;

static const struct {
    const char *symbol, *name;
    int precedence;
} operators[] = {
    {"or", "or", PREC_OR},
    {"and", "and", PREC_AND},
    {"<", "less", PREC_COMPARE},
    {"<=", "less_equal", PREC_COMPARE},
    {">", "greater", PREC_COMPARE},
    {">=", "greater_equal", PREC_COMPARE},
    {"==", "equal", PREC_COMPARE},
    {"!=", "not_equal", PREC_COMPARE},
    {"+", "add", PREC_ADD},
    {"-", "subtract", PREC_ADD},
    {"*", "multiply", PREC_MUL},
    {"/", "divide", PREC_MUL},
    {"//", "floor_divide", PREC_MUL},
    {"%", "modulo", PREC_MUL},
    {"**", "power", PREC_POWER},
};

static const char *const words[] = {"and", "or", "not", "true", "false"};

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool anl_name_valid(const char *text)
{
    if (!is_letter(text[0]) || !strcmp(text, "_"))
        return false;
    for (const char *c = text; *c; c++)
        if (!is_letter(*c) && !is_digit(*c))
            return false;
    for (size_t i = 0; i < ANL_COUNT(words); i++)
        if (!strcmp(text, words[i]))
            return false;
    return true;
}

/* ---- places ---- */

static anl_span place(const parser *p, size_t start, size_t end)
{
    const anl_text_map *map = p->map;
    if (map->source) {
        size_t from = map->offsets[start], to = end > start ? map->offsets[end - 1] + 1 : from + 1;
        /* The last byte may be one of an escape or of a wide character: up to the next byte's place, unless blanks lie between. */
        if (end > start && map->offsets[end] > to && !strchr(" \t\r\n", map->source->text[map->offsets[end] - 1]))
            to = map->offsets[end];
        return anl_source_span(map->source, from, to);
    }
    anl_span span = map->at;
    if (span.line < 1)
        span.line = 1;
    if (span.column < 1)
        span.column = 1;
    for (size_t i = 0; i < start; i++) {
        span.column++;
        if (p->text[i] == '\n') {
            span.line++;
            span.column = 1;
        }
    }
    span.length = end > start ? (int)(end - start) : 1;
    return span;
}

static anl_diagnostic *fail_at(parser *p, anl_code code, size_t start, size_t end, const char *message)
{
    if (p->failed)
        return NULL;
    p->failed = true;
    p->token.kind = T_END;
    return anl_diagnose(p->diagnostics, code, place(p, start, end), "%s", message);
}

static void suggest(parser *p, anl_diagnostic *d, const char *text)
{
    if (d)
        anl_diagnostic_suggest(p->diagnostics, d, "%s", text);
}

static const char *describe(parser *p)
{
    const token *t = &p->token;
    switch (t->kind) {
    case T_END:
        return "the expression ends";
    case T_TEXT:
        return "there is a quoted text";
    default:
        return anl_arena_printf(p->arena, "there is `%.*s`", (int)(t->end - t->start), p->text + t->start);
    }
}

static anl_diagnostic *expected(parser *p, const char *what)
{
    if (p->failed)
        return NULL;
    const char *message =
        anl_arena_printf(p->arena, "expected %s, but %s%s", what, describe(p), p->token.kind == T_END ? " here" : "");
    return fail_at(p, ANL_A_expression_syntax, p->token.start, p->token.end, message);
}

/* ---- tokens ---- */

static void fix_at(parser *p, anl_diagnostic *d, anl_applicability applicability, size_t start, size_t end, const char *text)
{
    if (!d)
        return;
    anl_diagnostic_suggest(p->diagnostics, d, "write `%s`", text);
    anl_span span = place(p, start, end);
    anl_fix_edit(p->diagnostics, anl_diagnostic_fix(p->diagnostics, d, applicability, "write `%s`", text), span, text);
}

/* 1_000 and 0x10, which other YAML readers know. unit: where the digits end. */
static bool foreign_number(parser *p, size_t unit, bool integer)
{
    const token *t = &p->token;
    const size_t length = t->end - t->start;
    const char *written = anl_arena_copy(p->arena, p->text + t->start, length);
    char plain[40];
    size_t kept = 0;
    for (size_t i = 0; i < length && kept + 1 < sizeof plain; i++)
        if (written[i] != '_')
            plain[kept++] = written[i];
    plain[kept] = 0;
    const char *message = NULL;
    if (integer && unit < t->end && p->text[unit] == '_' && kept && strspn(plain, "0123456789") == kept) {
        message = "digits are not grouped by `_`";
    } else if (written[0] == '0' && unit == t->start + 1 && strchr("xXoObB", written[1]) && written[1]) {
        const int base = strchr("xX", written[1]) ? 16 : strchr("oO", written[1]) ? 8 : 2;
        char *end = NULL;
        long long value = strtoll(plain + 2, &end, base);
        if (kept > 2 && kept < 16 && !*end && plain[2] != '-' && plain[2] != '+') {
            message = "numbers are decimal here";
            snprintf(plain, sizeof plain, "%lld", value);
        }
    }
    if (!message)
        return false;
    fix_at(p, fail_at(p, ANL_A_bad_number, t->start, t->end, message), ANL_FIX_SAFE, t->start, t->end, plain);
    return true;
}

/* 010 is ten here, as it reads; YAML 1.1 and C make eight of it. */
static void leading_zero(parser *p, size_t end)
{
    const size_t start = p->token.start;
    size_t first = start;
    while (first + 1 < end && p->text[first] == '0')
        first++;
    const char *written = anl_arena_copy(p->arena, p->text + start, end - start), *plain = anl_arena_copy(p->arena, p->text + first, end - first);
    anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_leading_zero, place(p, start, end), "`%s` is the number %s here", written, plain);
    if (strspn(written, "01234567") == strlen(written))
        anl_diagnostic_note(p->diagnostics, d, "many YAML readers take it for an octal number, %lld", strtoll(written, NULL, 8));
    fix_at(p, d, ANL_FIX_MAYBE, start, end, plain);
}

static void read_number(parser *p)
{
    const char *s = p->text + p->at, *c = s;
    bool integer = true;
    while (is_digit(*c))
        c++;
    if (*c == '.' && !is_letter(c[1]) && c[1] != '.') {
        integer = false;
        c++;
        while (is_digit(*c))
            c++;
    }
    if ((*c == 'e' || *c == 'E') && (is_digit(c[1]) || ((c[1] == '+' || c[1] == '-') && is_digit(c[2])))) {
        integer = false;
        c += 2;
        while (is_digit(*c))
            c++;
    }
    token *t = &p->token;
    t->kind = T_NUMBER;
    t->integer = integer;
    t->number = strtod(anl_arena_copy(p->arena, s, (size_t)(c - s)), NULL);
    size_t unit = (size_t)(c - p->text);
    while (is_letter(*c) || is_digit(*c))
        c++;
    t->end = p->at = (size_t)(c - p->text);
    if (!isfinite(t->number) || (integer && t->number > 9007199254740992.0)) {
        fail_at(p, ANL_A_bad_number, t->start, unit, "this number is too large");
        return;
    }
    size_t length = t->end - unit;
    if (foreign_number(p, unit, integer))
        return;
    if (integer && s[0] == '0' && is_digit(s[1]))
        leading_zero(p, unit);
    if (length == 0)
        return;
    t->kind = T_DURATION;
    t->epochs = length == 2 && !strncmp(p->text + unit, "ep", 2);
    if (t->epochs || (length == 2 && !strncmp(p->text + unit, "it", 2)))
        return;
    const char *written = anl_arena_copy(p->arena, p->text + unit, length);
    anl_diagnostic *d = fail_at(p, ANL_A_bad_unit, t->start, t->end, anl_arena_printf(p->arena, "`%s` is no unit", written));
    if (d)
        anl_diagnostic_note(p->diagnostics, d, "durations are counted in steps, `313it`, or in epochs, `10ep`");
    bool epochs = !strncmp(written, "ep", 2), steps = !strncmp(written, "it", 2) || !strncmp(written, "st", 2);
    if (epochs || steps)
        suggest(p, d,
                anl_arena_printf(p->arena, "write `%.*s%s`", (int)(unit - t->start), p->text + t->start, epochs ? "ep" : "it"));
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void read_text(parser *p)
{
    char quote = p->text[p->at];
    size_t at = p->at + 1, length = strlen(p->text + at), n = 0;
    char *text = anl_arena_alloc(p->arena, length + 1);
    while (p->text[at] && p->text[at] != quote) {
        char c = p->text[at++];
        if (c == '\\') {
            char kind = p->text[at];
            int high = 0, low = 0;
            if (kind == 'n' || kind == 't') {
                c = kind == 'n' ? '\n' : '\t';
                at++;
            } else if (kind == '\\' || kind == '\'' || kind == '"') {
                c = kind;
                at++;
            } else if (kind == 'x' && (high = hex_digit(p->text[at + 1])) >= 0 && (low = hex_digit(p->text[at + 2])) >= 0 &&
                       high + low > 0) {
                c = (char)(high * 16 + low);
                at += 3;
            } else {
                suggest(p, fail_at(p, ANL_A_expression_syntax, at - 1, at, "this backslash escape is unknown"),
                        "write `\\\\` for a backslash");
                return;
            }
        }
        text[n++] = c;
    }
    if (!p->text[at]) {
        fail_at(p, ANL_A_expression_syntax, p->token.start, p->token.start + 1, "this quoted text is not closed");
        return;
    }
    p->token.kind = T_TEXT;
    p->token.text = text;
    p->token.end = p->at = at + 1;
}

static void advance(parser *p)
{
    static const char *const symbols[] = {"...", "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/",
                                          "%",   "(",  ")",  "[",  "]",  ",",  ".",  ":", "=", "<", ">"};
    static const struct {
        const char *text, *remedy;
    } foreign[] = {
        {"&&", "write `and`"},
        {"||", "write `or`"},
        {"!", "write `not`"},
        {"^", "write `**` for powers"},
        {"@", "write `dot(a, b, over=…)`"},
        {"?", "write `if(condition, a, b)`"},
        {"~", "write `space`; `~space` stands in signatures and `axes:` only"},
        {"{", "braces belong to YAML; a list is `[…]`"},
    };
    /* What editors and word processors make of signs. */
    static const struct {
        const char *text, *ours;
    } lookalikes[] = {
        {"\xC2\xA0", " "},     {"\xE2\x80\x8B", ""},    {"\xE2\x80\x8E", ""},    {"\xE2\x80\x8F", ""},    {"\xE2\x81\xA0", ""},
        {"\xC2\xAD", ""},      {"\xE2\x80\xAF", " "},   {"\xE2\x80\x89", " "},   {"\xE2\x88\x92", "-"},   {"\xE2\x80\x93", "-"},
        {"\xE2\x80\x94", "-"}, {"\xC3\x97", "*"},       {"\xC2\xB7", "*"},       {"\xC3\xB7", "/"},       {"\xE2\x89\xA4", "<="},
        {"\xE2\x89\xA5", ">="}, {"\xE2\x89\xA0", "!="}, {"\xE2\x80\x9C", "'"},   {"\xE2\x80\x9D", "'"},   {"\xE2\x80\x9E", "'"},
        {"\xE2\x80\x98", "'"}, {"\xE2\x80\x99", "'"},
    };
    p->last = p->token.end;
    if (p->failed)
        return;
    while (p->text[p->at] && strchr(" \t\r\n", p->text[p->at]))
        p->at++;
    token *t = &p->token;
    *t = (token){.kind = T_END, .start = p->at, .end = p->at};
    const char *s = p->text + p->at;
    if (!*s)
        return;
    if (is_digit(*s) || (*s == '.' && is_digit(s[1]))) {
        read_number(p);
        return;
    }
    if (is_letter(*s)) {
        size_t length = 1;
        while (is_letter(s[length]) || is_digit(s[length]))
            length++;
        t->kind = T_NAME;
        t->text = anl_arena_copy(p->arena, s, length);
        t->end = p->at += length;
        return;
    }
    if (*s == '"' || *s == '\'') {
        read_text(p);
        return;
    }
    for (size_t i = 0; i < ANL_COUNT(symbols); i++) {
        size_t length = strlen(symbols[i]);
        if (strncmp(s, symbols[i], length))
            continue;
        t->kind = T_SYMBOL;
        t->text = symbols[i];
        t->end = p->at += length;
        return;
    }
    size_t length = 1;
    while (((unsigned char)s[length] & 0xC0) == 0x80)
        length++;
    for (size_t i = 0; i < ANL_COUNT(lookalikes); i++)
        if (!strncmp(s, lookalikes[i].text, strlen(lookalikes[i].text))) {
            const char *ours = lookalikes[i].ours;
            const bool blank = !*ours || *ours == ' ';
            fix_at(p,
                   fail_at(p, ANL_A_foreign_character, p->at, p->at + length,
                           blank ? "an invisible character stands here"
                                 : anl_arena_printf(p->arena, "`%.*s` is not `%s`, though it looks like it", (int)length, s, ours)),
                   ANL_FIX_SAFE, p->at, p->at + length, ours);
            return;
        }
    for (size_t i = 0; i < ANL_COUNT(foreign); i++)
        if (!strncmp(s, foreign[i].text, strlen(foreign[i].text))) {
            length = strlen(foreign[i].text);
            suggest(p,
                    fail_at(p, ANL_A_expression_syntax, p->at, p->at + length,
                            anl_arena_printf(p->arena, "`%s` is no part of an expression", foreign[i].text)),
                    foreign[i].remedy);
            return;
        }
    fail_at(p, ANL_A_expression_syntax, p->at, p->at + length,
            anl_arena_printf(p->arena, "`%.*s` is no part of an expression", (int)length, s));
}

static bool is_symbol(const parser *p, const char *symbol) { return p->token.kind == T_SYMBOL && !strcmp(p->token.text, symbol); }
static bool is_word(const parser *p, const char *word) { return p->token.kind == T_NAME && !strcmp(p->token.text, word); }

static bool take(parser *p, const char *symbol)
{
    if (!is_symbol(p, symbol))
        return false;
    advance(p);
    return true;
}

/* A closing bracket; the opening one is shown where it is missing. */
static void close_bracket(parser *p, const char *symbol, size_t open, const char *what)
{
    if (take(p, symbol))
        return;
    anl_diagnostic *d = expected(p, what);
    if (d)
        anl_diagnostic_label(p->diagnostics, d, place(p, open, open + 1), "opened here");
}

/* ---- grammar ---- */

static anl_expression *new_expression(parser *p, anl_expression_kind kind, size_t start)
{
    anl_expression *e = ANL_NEW(p->arena, anl_expression);
    e->kind = kind;
    e->span = place(p, start, p->token.end);
    return e;
}

static anl_expression *parse(parser *p, int least);

static void add_item(parser *p, anl_expression *e, anl_expression *item, int *capacity)
{
    ANL_PUSH(p->arena, e->items, e->item_count, *capacity, item);
    if (item->depth >= e->depth)
        e->depth = item->depth + 1;
}

static void check_depth(parser *p, const anl_expression *e, size_t start)
{
    if (e->depth <= ANL_EXPRESSION_DEPTH)
        return;
    anl_diagnostic *d = fail_at(p, ANL_A_too_deep, start, start + 1, "this expression is too long to be read as one");
    suggest(p, d, "give parts of it names of their own");
}

static void parse_arguments(parser *p, anl_expression *call, size_t open)
{
    int capacity = 0;
    bool named = false;
    while (!p->failed && !is_symbol(p, ")")) {
        anl_argument argument = {0};
        parser saved = *p;
        if (p->token.kind == T_NAME) {
            size_t start = p->token.start;
            const char *name = p->token.text;
            anl_span span = place(p, start, p->token.end);
            advance(p);
            if (is_symbol(p, "=")) {
                argument.name = name;
                argument.name_span = span;
                advance(p);
            } else if (!p->failed) {
                *p = saved;
            }
        }
        if (!argument.name && named && !p->failed) {
            suggest(p,
                    fail_at(p, ANL_A_expression_syntax, p->token.start, p->token.end,
                            "an argument without a name stands behind named ones"),
                    "name it, or put it first");
            return;
        }
        for (int i = 0; argument.name && i < call->argument_count; i++)
            if (call->arguments[i].name && !strcmp(call->arguments[i].name, argument.name)) {
                anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_duplicate_key, argument.name_span,
                                                 "the argument `%s` is given twice", argument.name);
                anl_diagnostic_label(p->diagnostics, d, call->arguments[i].name_span, "first here");
                p->failed = true;
                return;
            }
        named = named || argument.name;
        argument.value = parse(p, PREC_OR);
        ANL_PUSH(p->arena, call->arguments, call->argument_count, capacity, argument);
        if (argument.value->depth >= call->depth)
            call->depth = argument.value->depth + 1;
        if (!take(p, ","))
            break;
    }
    close_bracket(p, ")", open, "`,` or `)`");
}

static anl_expression *parse_slices(parser *p, anl_expression *base, size_t start, size_t open)
{
    do {
        anl_expression *slice = new_expression(p, ANL_E_SLICE, start);
        int capacity = 0;
        if (p->token.kind != T_NAME) {
            suggest(p, expected(p, "the name of an axis"), "slices name their axis: `x[view=0]`, `x[y=2:5]`");
            return base;
        }
        slice->slice_axis = p->token.text;
        slice->slice_axis_span = place(p, p->token.start, p->token.end);
        advance(p);
        if (!take(p, "=")) {
            suggest(p, expected(p, "`=` behind the axis"), "slices name their axis: `x[view=0]`, `x[y=2:5]`");
            return base;
        }
        add_item(p, slice, base, &capacity);
        if (!is_symbol(p, ":")) {
            slice->start = parse(p, PREC_OR);
            slice->at = true;
        }
        if (take(p, ":")) {
            slice->at = false;
            if (!is_symbol(p, "]") && !is_symbol(p, ","))
                slice->stop = parse(p, PREC_OR);
            if (!slice->start && !slice->stop) {
                suggest(p, expected(p, "a start or a stop"), "`x[y=2:]` begins at 2, `x[y=:5]` ends before 5");
                return base;
            }
        }
        for (int i = 0; i < 2; i++) {
            anl_expression *end = i ? slice->stop : slice->start;
            if (end && end->depth >= slice->depth)
                slice->depth = end->depth + 1;
        }
        slice->span =
            place(p, start, p->token.end); /* with the bracket or comma behind it; one slice of several has no end of its own */
        check_depth(p, slice, start);
        base = slice;
    } while (!p->failed && take(p, ","));
    size_t end = p->token.end;
    close_bracket(p, "]", open, "`,` or `]`");
    if (!p->failed)
        base->span = place(p, start, end);
    return base;
}

static anl_expression *parse_postfix(parser *p, anl_expression *e, size_t start)
{
    while (!p->failed) {
        size_t open = p->token.start;
        int capacity = 0;
        if ((p->token.kind == T_NUMBER || p->token.kind == T_DURATION) && p->text[open] == '.' && open == p->last) {
            /* layer1.0.conv1: behind a name, .0 is no number but a component of a path */
            size_t end = open + 1;
            while (is_digit(p->text[end]))
                end++;
            p->token.end = p->at = end;
            anl_expression *member = new_expression(p, ANL_E_MEMBER, start);
            member->name = anl_arena_copy(p->arena, p->text + open + 1, end - open - 1);
            add_item(p, member, e, &capacity);
            advance(p);
            e = member;
        } else if (take(p, "(")) {
            if (e->kind != ANL_E_NAME && e->kind != ANL_E_MEMBER) {
                suggest(p, fail_at(p, ANL_A_expression_syntax, open, open + 1, "only a name can be called"),
                        "write `*` for a product");
                return e;
            }
            anl_expression *call = ANL_NEW(p->arena, anl_expression);
            call->kind = ANL_E_CALL;
            add_item(p, call, e, &capacity);
            parse_arguments(p, call, open);
            call->span = place(p, start, p->last > start ? p->last : start + 1);
            e = call;
        } else if (take(p, ".")) {
            anl_expression *member = new_expression(p, ANL_E_MEMBER, start);
            if (p->token.kind != T_NAME) {
                expected(p, "the name of a member or of an axis behind `.`");
                return e;
            }
            member->name = p->token.text;
            add_item(p, member, e, &capacity);
            advance(p);
            e = member;
        } else if (take(p, "[")) {
            e = parse_slices(p, e, start, open);
        } else {
            break;
        }
        check_depth(p, e, start);
    }
    return e;
}

static anl_expression *error_expression(parser *p)
{
    anl_expression *e = ANL_NEW(p->arena, anl_expression);
    e->kind = ANL_E_ERROR;
    e->span = place(p, 0, strlen(p->text));
    return e;
}

static anl_expression *parse_primary(parser *p)
{
    token *t = &p->token;
    size_t start = t->start;
    anl_expression *e;
    int capacity = 0;
    if (p->failed)
        return error_expression(p);
    switch (t->kind) {
    case T_NUMBER:
        e = new_expression(p, ANL_E_NUMBER, start);
        e->number = t->number;
        e->integer = t->integer;
        advance(p);
        if (is_word(p, "it") || is_word(p, "ep")) {
            anl_diagnostic *d = fail_at(p, ANL_A_bad_unit, start, t->end, "no blank stands between a number and its unit");
            suggest(p, d, anl_arena_printf(p->arena, "write `%.*s%s`", (int)(p->last - start), p->text + start, t->text));
        }
        return e;
    case T_DURATION:
        e = new_expression(p, ANL_E_DURATION, start);
        e->number = t->number;
        e->epochs = t->epochs;
        advance(p);
        return e;
    case T_TEXT:
        e = new_expression(p, ANL_E_TEXT, start);
        e->name = t->text;
        advance(p);
        return e;
    case T_NAME:
        if (is_word(p, "true") || is_word(p, "false")) {
            e = new_expression(p, ANL_E_BOOL, start);
            e->truth = t->text[0] == 't';
            advance(p);
            return e;
        }
        if (is_word(p, "and") || is_word(p, "or") || is_word(p, "not"))
            break;
        e = new_expression(p, ANL_E_NAME, start);
        e->name = t->text;
        advance(p);
        return parse_postfix(p, e, start);
    case T_SYMBOL:
        if (take(p, "(")) {
            e = parse(p, PREC_OR);
            if (is_symbol(p, ","))
                suggest(p, expected(p, "`)`"), "a list is written `[a, b]`");
            close_bracket(p, ")", start, "`)`");
            return parse_postfix(p, e, start);
        }
        if (take(p, "[")) {
            e = new_expression(p, ANL_E_LIST, start);
            while (!p->failed && !is_symbol(p, "]")) {
                add_item(p, e, parse(p, PREC_OR), &capacity);
                if (!take(p, ","))
                    break;
            }
            close_bracket(p, "]", start, "`,` or `]`");
            e->span = place(p, start, p->last > start ? p->last : start + 1);
            return parse_postfix(p, e, start);
        }
        if (is_symbol(p, "...")) {
            suggest(p, fail_at(p, ANL_A_expression_syntax, start, t->end, "`...` stands in signatures only"),
                    "write the name alone");
            return error_expression(p);
        }
        break;
    case T_END:
        break;
    }
    expected(p, "a value");
    return error_expression(p);
}

static anl_expression *make_operator(parser *p, const char *name, size_t start, anl_expression *a, anl_expression *b)
{
    anl_expression *e = ANL_NEW(p->arena, anl_expression);
    int capacity = 0;
    e->kind = ANL_E_OPERATOR;
    e->name = name;
    if (!strncmp(name, "greater", 7)) { /* a > b is b < a: the operation table has one of the two */
        anl_expression *t = a;
        a = b;
        b = t;
        e->name = strcmp(name, "greater") ? "less_equal" : "less";
    }
    add_item(p, e, a, &capacity);
    if (b)
        add_item(p, e, b, &capacity);
    e->span = place(p, start, p->last > start ? p->last : start + 1);
    check_depth(p, e, start);
    return e;
}

/* An expression whose operators bind at least as tightly as `least`. */
static anl_expression *parse(parser *p, int least)
{
    if (p->failed)
        return error_expression(p);
    size_t start = p->token.start;
    if (p->depth >= ANL_SYNTAX_DEPTH) {
        anl_diagnostic *d = fail_at(p, ANL_A_too_deep, start, start + 1, "this expression is nested too deeply");
        if (d)
            anl_diagnostic_note(p->diagnostics, d, "at most %d levels", ANL_SYNTAX_DEPTH);
        return error_expression(p);
    }
    p->depth++;
    anl_expression *e;
    if (is_word(p, "not")) {
        if (least > PREC_NOT) {
            suggest(p, expected(p, "a value"), "put `not …` in parentheses");
            return error_expression(p);
        }
        advance(p);
        anl_expression *operand = parse(p, PREC_NOT);
        e = make_operator(p, "not", start, operand, NULL);
    } else if (is_symbol(p, "-") || is_symbol(p, "+")) {
        bool negative = is_symbol(p, "-");
        advance(p);
        e = parse(p, PREC_UNARY);
        if (negative && e->kind == ANL_E_NUMBER) {
            e->number = -e->number;
            e->span = place(p, start, p->last > start ? p->last : start + 1);
        } else if (negative) {
            e = make_operator(p, "negate", start, e, NULL);
        }
    } else {
        e = parse_primary(p);
    }
    while (!p->failed && (p->token.kind == T_SYMBOL || p->token.kind == T_NAME)) {
        size_t i = 0;
        while (i < ANL_COUNT(operators) && strcmp(p->token.text, operators[i].symbol))
            i++;
        if (i == ANL_COUNT(operators) || operators[i].precedence < least)
            break;
        int precedence = operators[i].precedence;
        advance(p);
        anl_expression *right = parse(p, precedence == PREC_POWER ? PREC_UNARY : precedence + 1);
        e = make_operator(p, operators[i].name, start, e, right);
        if (precedence == PREC_COMPARE && !p->failed && p->token.kind == T_SYMBOL) {
            for (size_t k = 0; k < ANL_COUNT(operators); k++)
                if (operators[k].precedence == PREC_COMPARE && !strcmp(p->token.text, operators[k].symbol)) {
                    suggest(p, fail_at(p, ANL_A_expression_syntax, p->token.start, p->token.end, "comparisons do not chain"),
                            "write `a < b and b < c`");
                    break;
                }
        }
    }
    p->depth--;
    return p->failed ? error_expression(p) : e;
}

/* 1,000 and 1:30 and key:value, where the expression was thought to be over. */
static void foreign_end(parser *p, anl_diagnostic *d, const anl_expression *e)
{
    const char *at = p->text + p->last, *rest = at + 1;
    const size_t start = (size_t)(at - p->text), digits = strspn(rest, "0123456789");
    const bool numbers = e->kind == ANL_E_NUMBER && e->integer && digits && !rest[digits];
    if (*at == ',' && numbers)
        fix_at(p, d, ANL_FIX_MAYBE, 0, strlen(p->text), anl_arena_printf(p->arena, "%.*s%s", (int)start, p->text, rest));
    else if (*at == ':' && numbers)
        suggest(p, d, "numbers are decimal; a time is a duration, `90it` or `2ep`");
    else if (*at == ':' && (e->kind == ANL_E_NAME || e->kind == ANL_E_MEMBER) && *rest != ' ')
        suggest(p, d, "a key and its value: write a blank behind the colon");
}

anl_expression *anl_expression_read(anl_arena *arena, const char *text, const anl_text_map *map, anl_diagnostics *diagnostics)
{
    parser p = {.arena = arena, .diagnostics = diagnostics, .text = text, .map = map};
    advance(&p);
    anl_expression *e = parse(&p, PREC_OR);
    if (!p.failed && p.token.kind != T_END) {
        if (is_symbol(&p, "="))
            suggest(&p, expected(&p, "an operator or the end"), "write `==` to compare");
        else
            foreign_end(&p, expected(&p, "an operator or the end"), e);
    }
    return p.failed ? error_expression(&p) : e;
}

anl_expression *anl_expression_parse(anl_arena *arena, const char *text, anl_span at, anl_diagnostics *diagnostics)
{
    anl_text_map map = {NULL, NULL, at};
    anl_expression *e = anl_expression_read(arena, text, &map, diagnostics);
    return e->kind == ANL_E_ERROR ? NULL : e;
}

bool anl_expression_uses(const anl_expression *e, const char *name)
{
    if (!e)
        return false;
    if (e->kind == ANL_E_NAME)
        return !strcmp(e->name, name);
    for (int i = 0; i < e->item_count; i++)
        if (anl_expression_uses(e->items[i], name))
            return true;
    for (int i = 0; i < e->argument_count; i++)
        if (anl_expression_uses(e->arguments[i].value, name))
            return true;
    return anl_expression_uses(e->start, name) || anl_expression_uses(e->stop, name);
}

/* ---- back to text ---- */

static int precedence_of(const anl_expression *e)
{
    if (e->kind == ANL_E_NUMBER && (e->number < 0 || (e->number == 0 && signbit(e->number))))
        return PREC_UNARY;
    if (e->kind != ANL_E_OPERATOR)
        return PREC_POSTFIX;
    if (!strcmp(e->name, "negate"))
        return PREC_UNARY;
    if (!strcmp(e->name, "not"))
        return PREC_NOT;
    for (size_t i = 0; i < ANL_COUNT(operators); i++)
        if (!strcmp(e->name, operators[i].name))
            return operators[i].precedence;
    return PREC_POSTFIX;
}

static void print(const anl_expression *e, int least, anl_text *out)
{
    bool enclose = precedence_of(e) < least;
    if (enclose)
        anl_text_add(out, "(");
    anl_expression_print(e, out);
    if (enclose)
        anl_text_add(out, ")");
}

static void print_number(double number, bool integer, anl_text *out)
{
    char text[40];
    if (integer) {
        snprintf(text, sizeof text, "%.0f", number);
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, number);
            if (strtod(text, NULL) == number)
                break;
        }
        if (!strpbrk(text, ".e"))
            strcat(text, ".0");
    }
    anl_text_add(out, text);
}

/* Quoted so that neither the expression's reader nor a plain YAML scalar around it takes any of it for something else. */
static void print_text(const char *text, anl_text *out)
{
    anl_text_add(out, "'");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '\\' || *c == '\'')
            anl_text_printf(out, "\\%c", *c);
        else if (*c < 0x20 || *c == ':' || *c == '#' || *c == 0x7f)
            anl_text_printf(out, "\\x%02x", *c);
        else if (*c == ' ' && (c[1] == ' ' || c == (const unsigned char *)text || !c[1]))
            anl_text_add(out, "\\x20"); /* YAML would not fold it on one line, but stays readable at the ends */
        else
            anl_text_addn(out, (const char *)c, 1);
    }
    anl_text_add(out, "'");
}

static void print_arguments(const anl_expression *e, anl_text *out)
{
    anl_text_add(out, "(");
    for (int i = 0; i < e->argument_count; i++) {
        anl_text_add(out, i ? ", " : "");
        if (e->arguments[i].name)
            anl_text_printf(out, "%s=", e->arguments[i].name);
        anl_expression_print(e->arguments[i].value, out);
    }
    anl_text_add(out, ")");
}

void anl_expression_print(const anl_expression *e, anl_text *out)
{
    switch (e->kind) {
    case ANL_E_NUMBER:
        print_number(e->number, e->integer, out);
        return;
    case ANL_E_DURATION:
        print_number(e->number, e->number == floor(e->number) && fabs(e->number) < 1e15, out);
        anl_text_add(out, e->epochs ? "ep" : "it");
        return;
    case ANL_E_TEXT:
        print_text(e->name, out);
        return;
    case ANL_E_BOOL:
        anl_text_add(out, e->truth ? "true" : "false");
        return;
    case ANL_E_NAME:
        anl_text_add(out, e->name);
        return;
    case ANL_E_MEMBER:
        if (e->items[0]->kind == ANL_E_NUMBER) { /* 1.x would read as the number 1. */
            anl_text_add(out, "(");
            anl_expression_print(e->items[0], out);
            anl_text_add(out, ")");
        } else {
            print(e->items[0], PREC_POSTFIX, out);
        }
        anl_text_printf(out, ".%s", e->name);
        return;
    case ANL_E_CALL:
    case ANL_E_STEP:
        print(e->items[0], PREC_POSTFIX, out);
        print_arguments(e, out);
        return;
    case ANL_E_LIST:
        anl_text_add(out, "[");
        for (int i = 0; i < e->item_count; i++) {
            anl_text_add(out, i ? ", " : "");
            anl_expression_print(e->items[i], out);
        }
        anl_text_add(out, "]");
        return;
    case ANL_E_SLICE:
        print(e->items[0], PREC_POSTFIX, out);
        anl_text_printf(out, "[%s=", e->slice_axis);
        if (e->start)
            anl_expression_print(e->start, out);
        if (!e->at)
            anl_text_add(out, ":");
        if (e->stop)
            anl_expression_print(e->stop, out);
        anl_text_add(out, "]");
        return;
    case ANL_E_OPERATOR: {
        int precedence = precedence_of(e);
        if (e->item_count == 1) {
            anl_text_add(out, !strcmp(e->name, "not") ? "not " : "-");
            print(e->items[0], precedence, out);
            return;
        }
        bool power = precedence == PREC_POWER, compare = precedence == PREC_COMPARE;
        const char *symbol = "?";
        for (size_t i = 0; i < ANL_COUNT(operators); i++)
            if (!strcmp(e->name, operators[i].name))
                symbol = operators[i].symbol;
        print(e->items[0], power || compare ? precedence + 1 : precedence, out);
        anl_text_printf(out, " %s ", symbol);
        print(e->items[1], power ? PREC_UNARY : precedence + 1, out);
        return;
    }
    case ANL_E_MAPPING:
    case ANL_E_REST:
    case ANL_E_SPACE:
    case ANL_E_PIPELINE:
    case ANL_E_REPEAT:
    case ANL_E_ERROR:
        break;
    }
    anl_text_add(out, "<?>"); /* has no form as expression text; the recipe's printer writes these as YAML */
}

/* ---- the same tokens with blanks as they are usual ---- */

void anl_expression_layout(anl_arena *arena, const char *text, anl_diagnostics *diagnostics, anl_text *out)
{
    anl_text_map map = {0};
    parser p = {.arena = arena, .diagnostics = diagnostics, .text = text, .map = &map};
    size_t end = 0;
    bool first = true, value = false, tight = true, spaced = false; /* of the token before: ends a value, wants none or one behind it */
    for (advance(&p); p.token.kind != T_END; advance(&p)) {
        const token *t = &p.token;
        bool word = is_word(&p, "and") || is_word(&p, "or") || is_word(&p, "not"), binary = word;
        for (size_t i = 0; i < ANL_COUNT(operators); i++)
            binary = binary || is_symbol(&p, operators[i].symbol);
        bool sign = (is_symbol(&p, "-") || is_symbol(&p, "+")) && !value;
        bool closes = t->kind == T_SYMBOL && strchr("),].=:", t->text[0]) && strcmp(t->text, "==");
        if (memchr(text + end, '\n', t->start - end) && !first)
            anl_text_add(out, "\n");
        else if (!first && !tight && !closes && (spaced || binary))
            anl_text_add(out, " ");
        anl_text_addn(out, text + t->start, t->end - t->start);
        bool opens = t->kind == T_SYMBOL && strchr("([.=:", t->text[0]) && strcmp(t->text, "==");
        value = (t->kind != T_SYMBOL && !word) || is_symbol(&p, ")") || is_symbol(&p, "]");
        tight = opens || sign;
        spaced = binary || is_symbol(&p, ",");
        first = false;
        end = t->end;
    }
}
