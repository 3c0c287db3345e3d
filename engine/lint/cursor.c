/* The context of a cursor, from the text in front of it.
 * In: bytes. Out: keys, scalar, call, word.
 * Block structure by indentation, flow structure by brackets; then the scalar as an expression that ends at the cursor. */
#include "lint/cursor.h"

#include <string.h>

typedef struct frame {
    int indent; /* of block collections */
    bool list, flow;
    const char *key; /* of a mapping: the one whose value comes; NULL: none yet */
} frame;

typedef struct scanner {
    anl_arena *arena;
    const char *text;
    size_t at, end; /* end: the cursor */
    frame frames[CURSOR_DEPTH];
    int depth;
    /* where the scalar at hand begins, and how it is quoted */
    size_t from;
    char quote;
    bool key, comment; /* the cursor is at a key, in a comment */
} scanner;

static bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

static frame *top(scanner *s) { return s->depth ? &s->frames[s->depth - 1] : NULL; }

static void push(scanner *s, frame f)
{
    if (s->depth < CURSOR_DEPTH)
        s->frames[s->depth++] = f;
}

static const char *slice(scanner *s, size_t from, size_t to)
{
    while (to > from && s->text[to - 1] == ' ')
        to--;
    if (to - from >= 2 && (s->text[from] == '"' || s->text[from] == '\'') && s->text[to - 1] == s->text[from]) {
        from++;
        to--;
    }
    return anl_arena_copy(s->arena, s->text + from, to - from);
}

/* A quoted scalar from its opening quote; false: the cursor is in it. */
static bool skip_quoted(scanner *s)
{
    char quote = s->text[s->at];
    s->from = s->at + 1;
    s->quote = quote;
    for (s->at++; s->at < s->end; s->at++) {
        if (quote == '"' && s->text[s->at] == '\\')
            s->at++;
        else if (s->text[s->at] == quote && s->at + 1 < s->end && quote == '\'' && s->text[s->at + 1] == quote)
            s->at++;
        else if (s->text[s->at] == quote)
            break;
    }
    if (s->at >= s->end)
        return false;
    s->at++;
    s->from--; /* the opening quote: it may have been a key */
    s->quote = 0;
    return true;
}

static bool comment_at(const scanner *s, size_t at)
{
    return s->text[at] == '#' && (at == 0 || s->text[at - 1] == ' ' || s->text[at - 1] == '\n' || s->text[at - 1] == '\t');
}

static void skip_line(scanner *s)
{
    while (s->at < s->end && s->text[s->at] != '\n')
        s->at++;
}

static void skip_comment(scanner *s)
{
    skip_line(s);
    s->comment = s->at >= s->end;
}

/* What stands between { } or [ ], from behind the opening bracket to behind the closing one; false: the cursor is in it. */
static bool skip_flow(scanner *s)
{
    int outer = s->depth - 1, parentheses = 0;
    bool fresh = true; /* no byte of the piece yet */
    s->from = s->at;
    s->key = !top(s)->list;
    while (s->at < s->end) {
        char c = s->text[s->at];
        if (c == '\n' || c == ' ' || c == '\t' || c == '\r') {
            s->at++;
            if (fresh)
                s->from = s->at;
            continue;
        }
        if (comment_at(s, s->at)) {
            skip_comment(s);
            continue;
        }
        if (fresh && (c == '{' || c == '[') && !parentheses) {
            push(s, (frame){.list = c == '[', .flow = true});
            s->at++;
            s->from = s->at;
            s->key = c == '{';
            continue;
        }
        if (fresh && (c == '"' || c == '\'') && !parentheses) {
            if (!skip_quoted(s))
                return false;
            fresh = false;
            continue;
        }
        if (fresh)
            s->from = s->at;
        fresh = false;
        frame *f = top(s);
        if (c == '(' || (c == '[' && s->at > 0 && is_word(s->text[s->at - 1])) || (c == '[' && parentheses))
            parentheses++;
        else if ((c == ')' || c == ']') && parentheses)
            parentheses--;
        else if (c == ':' && !f->list && !f->key && !parentheses && s->at + 1 <= s->end &&
                 (s->at + 1 == s->end || strchr(" \n,}\t", s->text[s->at + 1]))) {
            f->key = slice(s, s->from, s->at);
            s->key = false;
            fresh = true;
            s->from = s->at + 1;
        } else if (c == ',' && !parentheses) {
            f->key = NULL;
            s->key = !f->list;
            fresh = true;
            s->from = s->at + 1;
        } else if ((c == '}' || c == ']') && !parentheses) {
            s->depth--;
            s->at++;
            fresh = false;
            s->key = false;
            if (s->depth <= outer)
                return true;
            continue;
        }
        s->at++;
    }
    return false;
}

/* Where the key of a line ends at its colon, or 0. */
static size_t key_end(const scanner *s, size_t from)
{
    char quote = from < s->end && (s->text[from] == '"' || s->text[from] == '\'') ? s->text[from] : 0;
    for (size_t i = from + (quote != 0); i < s->end && s->text[i] != '\n'; i++) {
        if (quote) {
            quote = s->text[i] == quote ? 0 : quote;
            continue;
        }
        if (comment_at(s, i) || (i == from && strchr("{[|>", s->text[i])))
            return 0;
        if (s->text[i] == ':' && (i + 1 == s->end || strchr(" \n\t\r", s->text[i + 1])))
            return i;
    }
    return 0;
}

static void pop_to(scanner *s, int indent, bool key)
{
    while (s->depth && (top(s)->indent > indent || (key && top(s)->indent == indent && top(s)->list)))
        s->depth--;
}

static void skip_blanks(scanner *s)
{
    while (s->at < s->end && (s->text[s->at] == ' ' || s->text[s->at] == '\t'))
        s->at++;
}

/* The rest of a line that is the value of what stands before it; false: the cursor is in it. */
static bool skip_value(scanner *s, int indent)
{
    skip_blanks(s);
    s->from = s->at;
    s->key = false;
    if (s->at >= s->end)
        return false;
    char c = s->text[s->at];
    if (c == '{' || c == '[') {
        push(s, (frame){.list = c == '[', .flow = true, .indent = indent});
        s->at++;
        if (!skip_flow(s))
            return false;
    } else if (c == '"' || c == '\'') {
        if (!skip_quoted(s))
            return false;
    } else if (c == '|' || c == '>') { /* lines that are deeper belong to it */
        for (;;) {
            skip_line(s);
            if (s->at >= s->end)
                return false;
            size_t next = s->at + 1, column = 0;
            while (next < s->end && s->text[next] == ' ')
                next++, column++;
            if (next < s->end && s->text[next] != '\n' && (int)column <= indent)
                return true;
            if (next >= s->end) {
                s->from = next;
                s->at = s->end;
                return (int)column <= indent;
            }
            s->at = next;
        }
    }
    while (s->at < s->end && s->text[s->at] != '\n') {
        if (comment_at(s, s->at)) {
            skip_comment(s);
            break;
        }
        s->at++;
    }
    return s->at < s->end;
}

/* One line of block structure; false: the cursor is in it. */
static bool scan_line(scanner *s)
{
    size_t begin = s->at;
    skip_blanks(s);
    int column = (int)(s->at - begin);
    s->from = s->at;
    s->key = true;
    if (s->at >= s->end) { /* an empty line: a key may begin */
        pop_to(s, column, true);
        if (s->depth && !top(s)->list && top(s)->indent == column)
            top(s)->key = NULL;
        return false;
    }
    if (s->text[s->at] == '#')
        skip_comment(s);
    if (s->at >= s->end || s->text[s->at] == '\n')
        return s->at < s->end;
    while (s->text[s->at] == '-' && (s->at + 1 >= s->end || strchr(" \n", s->text[s->at + 1]))) {
        pop_to(s, column, false);
        if (!top(s) || !top(s)->list || top(s)->indent != column)
            push(s, (frame){.list = true, .indent = column});
        s->at++;
        skip_blanks(s);
        column = (int)(s->at - begin);
        s->from = s->at;
        if (s->at >= s->end)
            return false;
        if (s->text[s->at] == '\n')
            return true;
    }
    size_t colon = key_end(s, s->at);
    if (colon) {
        pop_to(s, column, true);
        if (!top(s) || top(s)->list || top(s)->indent != column)
            push(s, (frame){.indent = column});
        top(s)->key = slice(s, s->at, colon);
        s->at = colon + 1;
        return skip_value(s, column);
    }
    /* no colon: an item, a value on a line of its own, or a key that is being written */
    pop_to(s, column, false);
    bool in_mapping = s->depth && !top(s)->list && top(s)->indent == column;
    if (in_mapping)
        top(s)->key = NULL;
    bool more = skip_value(s, column);
    if (!(top(s) && top(s)->flow))
        s->key = !more && !s->quote;
    return more;
}

/* ---- the scalar as an expression ---- */

typedef struct level {
    char bracket;
    cursor_call call;
} level;

static void scan_expression(scanner *s, cursor *out)
{
    enum { LEVELS = 32 };
    level *levels = ANL_NEW_ARRAY(s->arena, level, LEVELS + 1);
    int depth = 0;
    size_t name = 0, name_end = 0; /* the last name */
    for (size_t i = s->from; i < s->end; i++) {
        char c = s->text[i];
        level *l = &levels[depth];
        if (is_word(c)) {
            name = i;
            while (i + 1 < s->end && is_word(s->text[i + 1]))
                i++;
            name_end = i + 1;
            if (name_end < s->end) /* not the word at the cursor */
                l->call.begins = false;
            continue;
        }
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            continue;
        if ((c == '\'' || c == '"') && c != s->quote) {
            while (i + 1 < s->end && s->text[i + 1] != c)
                i++;
            i++;
            l->call.begins = false;
            continue;
        }
        bool behind_name = name_end == i && name_end > name;
        if ((c == '(' || c == '[') && depth < LEVELS) {
            l->call.begins = false;
            level next = {.bracket = c};
            if (c == '(') {
                next.call.callee = behind_name ? anl_arena_copy(s->arena, s->text + name, name_end - name) : NULL;
                next.call.count = 1;
                next.call.begins = true;
            } else if (behind_name || (i > s->from && strchr(")]", s->text[i - 1]))) {
                next.bracket = 's';
            } else {
                next.call = l->call; /* a list is still the argument of the call */
            }
            levels[++depth] = next;
        } else if ((c == ')' || c == ']') && depth) {
            depth--;
        } else if (c == ',') {
            if (l->bracket == '(' && l->call.count < CURSOR_ARGUMENTS)
                l->call.arguments[l->call.count++] = NULL;
            l->call.begins = l->bracket == '(';
        } else if (c == '=' && l->bracket == '(' && behind_name && (i + 1 >= s->end || s->text[i + 1] != '=')) {
            l->call.arguments[l->call.count - 1] = anl_arena_copy(s->arena, s->text + name, name_end - name);
            l->call.begins = false;
        } else {
            l->call.begins = false;
            if (c == '=' && l->bracket == 's')
                l->bracket = 'v'; /* the position, no longer the axis */
        }
    }
    out->word = s->end;
    while (out->word > s->from && is_word(s->text[out->word - 1]))
        out->word--;
    if (out->word > s->from && s->text[out->word - 1] == '.' && !(out->word >= s->from + 2 && s->text[out->word - 2] == '.')) {
        size_t base = out->word - 1;
        while (base > s->from && is_word(s->text[base - 1]))
            base--;
        out->base = anl_arena_copy(s->arena, s->text + base, out->word - 1 - base);
    }
    out->slice = levels[depth].bracket == 's';
    out->call = levels[depth].call;
}

void cursor_find(anl_arena *arena, const char *text, size_t at, cursor *out)
{
    *out = (cursor){0};
    scanner s = {.arena = arena, .text = text, .end = at};
    bool open = true;
    while (s.at < s.end && (open = scan_line(&s)))
        if (s.at < s.end)
            s.at++;                           /* the line's end */
    if (open && at && text[at - 1] == '\n') { /* at the very beginning of a line */
        s.from = at;
        s.key = true;
        pop_to(&s, 0, true);
        if (s.depth)
            top(&s)->key = NULL;
    } else if (at == 0) {
        s.key = true;
    }
    out->from = s.from;
    out->quote = s.quote;
    out->word = at;
    if (s.comment)
        return;
    out->key = s.key && !s.quote;
    for (int i = 0; i < s.depth && out->depth < CURSOR_DEPTH; i++) {
        if (s.frames[i].list)
            out->path[out->depth++] = "-";
        else if (s.frames[i].key)
            out->path[out->depth++] = s.frames[i].key;
    }
    const frame *last = s.depth ? &s.frames[s.depth - 1] : NULL;
    out->item = last && last->list;
    out->value = out->depth && (last->list || last->key);
    if (s.from > at)
        s.from = at;
    scan_expression(&s, out);
}
