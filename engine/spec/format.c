/* The canonical layout of spec files.
 * In: a text. Out: the same text with other blanks and line breaks; keys, values, their order and all comments are as they were, which
 * is made sure of by reading the result again.
 *
 * libyaml's tokens are put in a row with the comments that lie between them, and written anew:
 * - Two blanks of indentation; lists are indented under their key; `- a: 1` begins a mapping on the line of its dash. UTF-8 without
 *   byte order mark, LF, no trailing blanks, one line end at the end of the file. Tabs remain only inside texts.
 * - Of blank lines in a row one is kept, none where a block or the file begins or ends. Between top-level entries of which one is a
 *   block there is one, above the comments that belong to the later one. Blank lines inside of texts are part of the texts.
 * - `key: value`, `{a: 1, b: [2, 3]}`; no comma behind the last item. A value that stands on the line below its key is drawn up if it
 *   fits. Values are not aligned in columns.
 * - `{…}` and `[…]` keep the author's line breaks between items; further ones come only where a line would exceed LIMIT. Items on
 *   lines of their own begin below the first one, and the closing bracket follows the last one.
 * - Expressions (the places are listed below) have blanks round binary operators and behind commas, none inside brackets, round `=`
 *   and `:`, or behind a sign. Parentheses and the spelling of numbers stay.
 * - Comments keep their place: on lines of their own at the indentation of what they stand in, or behind a value with at least two
 *   blanks before `#`, aligned with those of neighbouring lines where that fits. One blank at least follows `#`.
 * - Texts, quotes, folded lines and block scalars are kept, indented anew. */
#include <anlage/format.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "spec/syntax.h"

enum { LIMIT = 140, STEP = 2, COMMENT = 1000 /* a kind of piece beside libyaml's */ };
enum { AS_EXPRESSION = 1, AS_TEXT = 2 };

/* Where expressions stand; `*` is any key, `**` any keys or none. Lists add nothing to a path. */
static const char *const expression_places[] = {
    "data/*/fields/*/axes/*",    "functions/*/weights/*/axes/*", "functions/*/weights/*/init", "functions/*/weights/*/update",
    "functions/*/weights/*/project", "functions/*/state/*/axes/*", "functions/*/state/*/init", "functions/*/state/*/update",
    "functions/*/nodes/**",      "functions/*/returns/**",       "views/**",                   "modules/**",
    "state/*/axes/*",            "state/*/init",                 "state/*/update",             "graph/**",
    "losses/*/value",            "losses/*/weight",              "train/length",               "train/seed",
    "train/clip",                "train/optimizer/rule",         "train/optimizer/from",       "train/optimizer/until",
    "train/checkpoint/*",        "train/evaluate/*",             "metrics/*/score",            "metrics/*/label",
    "metrics/*/where",
};

/* A token or a comment. */
typedef struct piece {
    int kind; /* a yaml_token_type_t, or COMMENT */
    size_t start, end;
    const char *text; /* as it is to be written, its lines without indentation; NULL for punctuation */
    int column;       /* of a block scalar: that of its contents */
    bool block;       /* a block scalar */
    bool first;       /* first on its line */
    bool blank;       /* there is a blank line above */
    bool follows;     /* a comment that goes on with the one at the end of the line above it */
} piece;

/* A comment behind something, or one that follows such a one: where it is in the output, and the width of what stands before it. */
typedef struct tail {
    size_t offset;
    int line, width, comment_width;
} tail;

typedef struct layout {
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    const char *text;
    unsigned char *uses; /* of every byte, what the scalar is that begins there: bits AS_EXPRESSION, AS_TEXT (aliases: both) */
    piece *pieces;
    int count, capacity;
    const char **comments; /* all of them, in order */
    int comment_count, comment_capacity;
    int at; /* the piece to be written next */
    anl_text out;
    int line, column;
    tail *tails;
    int tail_count, tail_capacity;
    bool broken;  /* a comment ends the line */
    bool compact; /* behind a dash, where a block may begin */
    bool opened;  /* at the beginning of a block or of the file: no blank line */
    bool closed;  /* behind a text that ends with its own blank lines */
} layout;

/* Characters up to the end of the line. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text && *text != '\n'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* ---- the text without what the layout does not keep ---- */

static const char *normal_text(anl_arena *arena, const char *text, size_t *length)
{
    static const char marks[] = "\xEF\xBB\xBF\xEF\xBB\xBF"; /* two of them the reader refuses, as it does any but the first */
    const bool one = *length >= 3 && !memcmp(text, marks, 3), two = *length >= 6 && !memcmp(text, marks, 6);
    size_t from = one && !two ? 3 : 0, n = 0;
    char *out = anl_arena_alloc(arena, *length - from + 1);
    for (size_t i = from; i < *length; i++) {
        if (text[i] == '\r' && i + 1 < *length && text[i + 1] == '\n')
            continue;
        out[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    *length = n;
    return out;
}

/* ---- which scalars are expressions ---- */

static bool place_matches(const char *place, const char *const *path, int depth)
{
    for (int i = 0;; i++) {
        size_t length = strcspn(place, "/");
        if (length == 2 && !strncmp(place, "**", 2))
            return true;
        if (i == depth || (strncmp(place, "*", length) && (strlen(path[i]) != length || strncmp(place, path[i], length))))
            return false;
        if (!place[length])
            return i + 1 == depth;
        place += length + 1;
    }
}

static bool is_expression_place(const char *const *path, int depth)
{
    if (depth && !strcmp(path[depth - 1], "as")) /* a path */
        return false;
    for (size_t i = 0; i < ANL_COUNT(expression_places); i++)
        if (place_matches(expression_places[i], path, depth))
            return true;
    return false;
}

static anl_expression *read_expression(anl_arena *arena, const anl_syntax *s, anl_diagnostics *diagnostics)
{
    anl_text_map map = anl_syntax_map(arena, s);
    return anl_expression_read(arena, s->text, &map, diagnostics);
}

static bool is_expression(const layout *f, size_t start) { return f->uses && f->uses[start] == AS_EXPRESSION; }

static void find_expressions(layout *f, const anl_syntax *s, const char **path, int depth)
{
    if (s->kind == ANL_Y_MAPPING) {
        for (int i = 0; i < s->count; i++) {
            path[depth] = s->pairs[i].key;
            find_expressions(f, s->pairs[i].value, path, depth + 1);
        }
    } else if (s->kind == ANL_Y_LIST) {
        for (int i = 0; i < s->count; i++)
            find_expressions(f, s->items[i], path, depth);
    } else if (!s->broken && !anl_syntax_null(s)) {
        int use = is_expression_place(path, depth) ? AS_EXPRESSION : AS_TEXT;
        if (use == AS_EXPRESSION && !(f->uses[s->start] & use))
            read_expression(f->arena, s, f->diagnostics);
        f->uses[s->start] |= (unsigned char)use;
    }
}

/* ---- scalars and comments as they are to be written ---- */

static const char *comment_text(layout *f, size_t start, size_t end)
{
    while (end > start + 1 && is_blank(f->text[end - 1]))
        end--;
    const char *from = f->text + start + 1;
    bool glued = end > start + 1 && !is_blank(*from) && *from != '#' && *from != '!';
    char *text = anl_arena_printf(f->arena, "#%s%.*s", glued ? " " : "", (int)(end - start - 1), from);
    for (char *c = text; *c; c++)
        if (*c == '\t')
            *c = ' ';
    return text;
}

/* The lines of a scalar without indentation and without the blanks at their ends: YAML drops both itself. */
static const char *scalar_lines(layout *f, const char *raw)
{
    anl_text out = {0};
    bool escapes = *raw == '"';
    for (;;) {
        const char *end = raw + strcspn(raw, "\n"), *last = end, *slash;
        while (*end && last > raw && is_blank(last[-1]))
            last--;
        for (slash = last; slash > raw && slash[-1] == '\\';)
            slash--;
        if (escapes && (last - slash) % 2 && last < end) /* an escaped blank is part of the text */
            last++;
        anl_text_addn(&out, raw, (size_t)(last - raw));
        if (!*end)
            break;
        anl_text_add(&out, "\n");
        raw = end + 1;
        while (is_blank(*raw))
            raw++;
    }
    const char *text = anl_arena_copy(f->arena, out.data ? out.data : "", out.length);
    anl_text_free(&out);
    return text;
}

static const char *scalar_text(layout *f, size_t start, size_t end)
{
    const char *raw = anl_arena_copy(f->arena, f->text + start, end - start);
    size_t length = end - start, quotes = length >= 2 && (raw[0] == '"' || raw[0] == '\'');
    const char *inner = anl_arena_copy(f->arena, raw + quotes, length - 2 * quotes);
    /* With an escape or a doubled quote in it the text is not the expression. */
    bool plain = !quotes || !strpbrk(inner, raw[0] == '"' ? "\\\n" : "'\n");
    if (is_expression(f, start) && plain) {
        anl_text out = {0};
        anl_text_addn(&out, raw, quotes);
        anl_expression_layout(f->arena, inner, f->diagnostics, &out);
        anl_text_addn(&out, raw, quotes);
        raw = anl_arena_copy(f->arena, out.data ? out.data : "", out.length);
        anl_text_free(&out);
    }
    return scalar_lines(f, raw);
}

/* ---- the pieces ---- */

static piece *add_piece(layout *f, int kind, size_t start, size_t end)
{
    size_t line = start;
    while (line > 0 && is_blank(f->text[line - 1]))
        line--;
    piece p = {.kind = kind, .start = start, .end = end, .first = line == 0 || f->text[line - 1] == '\n'};
    if (p.first && line > 0) {
        size_t above = line - 1;
        while (above > 0 && is_blank(f->text[above - 1]))
            above--;
        p.blank = above == 0 || f->text[above - 1] == '\n';
    }
    ANL_PUSH(f->arena, f->pieces, f->count, f->capacity, p);
    return &f->pieces[f->count - 1];
}

/* The last piece goes to place i. */
static void move_last(layout *f, int i)
{
    piece last = f->pieces[f->count - 1];
    memmove(&f->pieces[i + 1], &f->pieces[i], sizeof last * (size_t)(f->count - 1 - i));
    f->pieces[i] = last;
}

static int column_of(const layout *f, size_t offset)
{
    size_t line = offset;
    while (line > 0 && f->text[line - 1] != '\n')
        line--;
    int column = 0;
    for (; line < offset; line++)
        column += ((unsigned char)f->text[line] & 0xC0) != 0x80;
    return column;
}

/* Comments of a gap between tokens. False: there is something else in it, which cannot be. */
static bool add_comments(layout *f, size_t from, size_t to)
{
    while (from < to) {
        if (f->text[from] != '#') {
            if (!is_blank(f->text[from]) && f->text[from] != '\n')
                return false;
            from++;
            continue;
        }
        size_t end = from + strcspn(f->text + from, "\n");
        piece *p = add_piece(f, COMMENT, from, end);
        p->text = comment_text(f, from, end);
        p->column = column_of(f, from);
        const piece *above = f->count > 1 ? p - 1 : NULL;
        p->follows = p->first && !p->blank && above && above->kind == COMMENT && (!above->first || above->follows) &&
                     above->column == p->column;
        ANL_PUSH(f->arena, f->comments, f->comment_count, f->comment_capacity, p->text);
        from = end;
    }
    return true;
}

/* A comment may stand behind the `|` of a block scalar. */
static void add_header_comment(layout *f, size_t start)
{
    size_t end = start + strcspn(f->text + start, "\n");
    const char *hash = memchr(f->text + start, '#', end - start);
    if (hash)
        ANL_PUSH(f->arena, f->comments, f->comment_count, f->comment_capacity, comment_text(f, (size_t)(hash - f->text), end));
}

static int content_column(const layout *f, size_t start, size_t end, int block)
{
    size_t at = start + 1;
    for (; at < end && f->text[at] != '\n' && f->text[at] != '#'; at++)
        if (f->text[at] >= '1' && f->text[at] <= '9')
            return (block < 0 ? 0 : block) + f->text[at] - '0';
    at += strcspn(f->text + at, "\n");
    int column = 0;
    for (; at < end && (f->text[at] == '\n' || f->text[at] == ' '); at++)
        column = f->text[at] == '\n' ? 0 : column + 1;
    return column;
}

static void take_token(layout *f, const yaml_token_t *token, size_t start, size_t end, int *columns, int *depth)
{
    piece *p;
    int i;
    switch (token->type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
        if (*depth < ANL_SYNTAX_DEPTH) /* deeper texts were refused */
            columns[(*depth)++] = (int)token->start_mark.column;
        break;
    case YAML_BLOCK_END_TOKEN:
        /* The comments in front of it are the block's as far as they are indented like it. */
        add_piece(f, token->type, start, end);
        for (i = f->count - 1; i > 0 && f->pieces[i - 1].kind == COMMENT && f->pieces[i - 1].first && !f->pieces[i - 1].follows;)
            i--;
        while (i < f->count - 1 && *depth && f->pieces[i].column >= columns[*depth - 1])
            i++;
        move_last(f, i);
        *depth -= *depth > 0;
        return;
    case YAML_FLOW_ENTRY_TOKEN: /* a comment between an item and its comma goes behind the comma */
        add_piece(f, token->type, start, end);
        for (i = f->count - 1; i > 0 && f->pieces[i - 1].kind == COMMENT;)
            i--;
        move_last(f, i);
        return;
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN: /* no comma behind the last item */
        for (i = f->count; i > 0 && f->pieces[i - 1].kind == COMMENT;)
            i--;
        if (i > 0 && f->pieces[i - 1].kind == YAML_FLOW_ENTRY_TOKEN) {
            memmove(&f->pieces[i - 1], &f->pieces[i], sizeof *f->pieces * (size_t)(f->count - i));
            f->count--;
        }
        break;
    case YAML_SCALAR_TOKEN:
        p = add_piece(f, token->type, start, end);
        p->block = token->data.scalar.style == YAML_LITERAL_SCALAR_STYLE || token->data.scalar.style == YAML_FOLDED_SCALAR_STYLE;
        if (p->block) {
            p->column = content_column(f, start, end, *depth ? columns[*depth - 1] : -1);
            p->text = "|";
            add_header_comment(f, start);
        } else {
            p->text = scalar_text(f, start, end);
        }
        return;
    case YAML_ALIAS_TOKEN:
    case YAML_ANCHOR_TOKEN:
    case YAML_VERSION_DIRECTIVE_TOKEN:
    case YAML_TAG_DIRECTIVE_TOKEN:
        p = add_piece(f, token->type, start, end);
        p->text = anl_arena_copy(f->arena, f->text + start, end - start);
        return;
    default:
        break;
    }
    add_piece(f, token->type, start, end);
}

/* False: libyaml cannot read the text, or a byte of it is neither token nor comment nor blank. */
static bool take_pieces(layout *f, size_t length)
{
    /* libyaml counts characters */
    size_t *offsets = ANL_NEW_ARRAY(f->arena, size_t, length + 1), characters = 0;
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)f->text[i] & 0xC0) != 0x80)
            offsets[characters++] = i;
    offsets[characters] = length;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)f->text, length);
    int columns[ANL_SYNTAX_DEPTH], depth = 0;
    size_t last = 0;
    bool good = true, ended = false;
    while (good && !ended) {
        yaml_token_t token;
        if (!yaml_parser_scan(&parser, &token)) {
            good = false;
            break;
        }
        size_t start = offsets[token.start_mark.index < characters ? token.start_mark.index : characters];
        size_t end = offsets[token.end_mark.index < characters ? token.end_mark.index : characters];
        ended = token.type == YAML_STREAM_END_TOKEN;
        if (ended)
            start = end = length;
        good = start >= last && add_comments(f, last, start);
        if (good)
            take_token(f, &token, start, end, columns, &depth);
        last = end;
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&parser);
    return good;
}

/* ---- writing ---- */

static void put(layout *f, const char *text)
{
    anl_text_add(&f->out, text);
    for (; *text; text++) {
        f->line += *text == '\n';
        f->column = *text == '\n' ? 0 : f->column + (((unsigned char)*text & 0xC0) != 0x80);
    }
}

static void new_line(layout *f, int indent)
{
    if (f->out.length)
        put(f, "\n");
    for (int i = 0; i < indent; i++)
        put(f, " ");
    f->broken = false;
}

/* A piece that begins a line of a block. */
static void begin_line(layout *f, const piece *p, int indent)
{
    if (!f->compact) {
        if (p->blank && f->out.length && !f->opened && !f->closed)
            put(f, "\n");
        new_line(f, indent);
    }
    f->compact = f->opened = f->closed = false;
}

static int kind_at(const layout *f) { return f->pieces[f->at].kind; }

/* The place of the next piece that is no comment. */
static int behind_comments(const layout *f)
{
    int i = f->at;
    while (f->pieces[i].kind == COMMENT)
        i++;
    return i;
}

/* The comment at the end of this line, with the lines that follow it. */
static void put_tail(layout *f)
{
    while (kind_at(f) == COMMENT && (!f->pieces[f->at].first || f->pieces[f->at].follows)) {
        const char *text = f->pieces[f->at].text;
        if (f->pieces[f->at++].first)
            new_line(f, 0);
        tail t = {f->out.length, f->line, f->column, width_of(text)};
        ANL_PUSH(f->arena, f->tails, f->tail_count, f->tail_capacity, t);
        put(f, text);
        f->broken = true;
        f->compact = false;
    }
}

/* Comments on lines of their own. */
static void put_comments(layout *f, int indent)
{
    while (kind_at(f) == COMMENT) {
        f->compact = false;
        begin_line(f, &f->pieces[f->at], indent);
        put(f, f->pieces[f->at++].text);
        f->broken = true;
    }
}

static void put_lines(layout *f, const char *text, int indent)
{
    for (;;) {
        size_t length = strcspn(text, "\n");
        put(f, anl_arena_copy(f->arena, text, length));
        if (!text[length])
            return;
        text += length + 1;
        new_line(f, *text && *text != '\n' ? indent : 0);
    }
}

/* A block scalar in a block of that indentation; -2: in none. */
static void put_block_scalar(layout *f, const piece *p, int indent)
{
    const char *at = f->text + p->start, *end = f->text + p->end;
    const char *stop = at + strcspn(at, "\n"), *hash = memchr(at, '#', (size_t)(stop - at));
    char style[] = {*at, 0}, chomp[2] = "";
    bool digit = false;
    for (const char *c = at + 1; c < (hash ? hash : stop); c++) {
        digit = digit || (*c >= '1' && *c <= '9');
        if (*c == '+' || *c == '-')
            chomp[0] = *c;
    }
    if (stop < end && end[-1] != '\n') { /* the last line of the file lacks its end, which is now added */
        const char *line = end;
        while (line > stop + 1 && line[-1] != '\n')
            line--;
        if (strspn(line, " ") >= (size_t)(end - line) && end - line <= p->column)
            end = line; /* blanks beyond the column of its contents are text */
        else
            chomp[0] = '-';
    }
    put(f, style);
    put(f, digit ? "2" : "");
    put(f, chomp);
    if (hash) {
        put(f, "  ");
        put(f, comment_text(f, (size_t)(hash - f->text), (size_t)(stop - f->text)));
    }
    int column = indent < 0 ? STEP : indent + STEP;
    /* Nothing but blanks are no text, since they say themselves where it would begin, unless the header says so. */
    const bool empty = !digit && stop + strspn(stop, " \n") >= end;
    size_t pending = 0; /* blank lines: those at the end count only if the text keeps them */
    for (at = stop < end ? stop + 1 : end; at < end;) {
        size_t length = strcspn(at, "\n"), blanks = strspn(at, " ");
        size_t skip = blanks < (size_t)p->column ? blanks : (size_t)p->column;
        if (skip == length || empty) {
            pending++;
        } else {
            for (; pending; pending--)
                put(f, "\n");
            new_line(f, column);
            put(f, anl_arena_copy(f->arena, at + skip, length - skip));
        }
        at += length + (at[length] == '\n');
    }
    f->closed = *chomp == '+';
    for (; pending && f->closed; pending--)
        put(f, "\n");
}

static bool is_flow_start(int kind) { return kind == YAML_FLOW_SEQUENCE_START_TOKEN || kind == YAML_FLOW_MAPPING_START_TOKEN; }
static bool is_flow_end(int kind) { return kind == YAML_FLOW_SEQUENCE_END_TOKEN || kind == YAML_FLOW_MAPPING_END_TOKEN; }

/* Whether what begins at piece i has room on a line from a column on, with the comma or the brackets behind it. Of what goes over
 * several lines this is asked of the first one; *single: it is one line. in_flow: an item of `{…}` or `[…]`, which may be a pair. */
static bool fits(const layout *f, int i, int column, bool in_flow, bool *single)
{
    *single = true;
    for (int depth = 0; column <= LIMIT; i++) {
        const piece *p = &f->pieces[i];
        if (is_flow_end(p->kind)) {
            column++;
            if (depth == 0) /* of the collection round the item; the next pass counts the one round that */
                continue;
            depth--;
        } else if (in_flow && depth == 0 && i > 0 && is_flow_end(f->pieces[i - 1].kind) && p->kind != YAML_FLOW_ENTRY_TOKEN) {
            return true;
        } else if (p->kind == YAML_FLOW_ENTRY_TOKEN) {
            column++;
            if (depth == 0)
                break;
            *single = !f->pieces[i + 1].first;
            if (!*single)
                break;
            column++;
        } else if (p->kind == COMMENT) {
            *single = false;
            break;
        } else if (p->text) {
            column += width_of(p->text) + (p->kind == YAML_ANCHOR_TOKEN);
            *single = !p->block && !strchr(p->text, '\n');
            if (!*single)
                break;
        } else {
            column += is_flow_start(p->kind) ? 1 : p->kind == YAML_VALUE_TOKEN ? 2 : 0;
            depth += is_flow_start(p->kind);
        }
        if (!in_flow && depth == 0 && p->kind != YAML_ANCHOR_TOKEN)
            break;
    }
    return column <= LIMIT;
}

/* `{…}` or `[…]`. Items on lines of their own begin where the first one does. */
static void put_flow(layout *f)
{
    put(f, kind_at(f) == YAML_FLOW_SEQUENCE_START_TOKEN ? "[" : "{");
    f->at++;
    int indent = f->column;
    put_tail(f);
    bool begun = false, space = false; /* of the item; a blank is needed before what comes next */
    for (bool first = true;;) {
        const piece *p = &f->pieces[f->at];
        if (p->kind == COMMENT) {
            new_line(f, begun ? indent + STEP : indent);
            put(f, p->text);
            f->at++;
            f->broken = true;
        } else if (is_flow_end(p->kind)) {
            if (f->broken)
                new_line(f, indent - 1);
            else if (space) /* a key without value */
                put(f, " ");
            put(f, p->kind == YAML_FLOW_SEQUENCE_END_TOKEN ? "]" : "}");
            f->at++;
            return;
        } else if (p->kind == YAML_FLOW_ENTRY_TOKEN) {
            if (f->broken)
                new_line(f, indent);
            else if (space)
                put(f, " ");
            put(f, ",");
            f->at++;
            put_tail(f);
            begun = first = space = false;
        } else {
            bool single;
            if (f->broken)
                new_line(f, begun && p->kind != YAML_VALUE_TOKEN ? indent + STEP : indent);
            else if (!begun && !first && (p->first || !fits(f, f->at, f->column + 1, true, &single)))
                new_line(f, indent);
            else if (begun ? space : !first)
                put(f, " ");
            begun = true;
            space = p->kind == YAML_VALUE_TOKEN || p->kind == YAML_ANCHOR_TOKEN;
            if (is_flow_start(p->kind)) {
                put_flow(f);
            } else {
                f->at++;
                if (p->kind == YAML_VALUE_TOKEN) {
                    put(f, ":");
                } else if (p->kind == YAML_KEY_TOKEN && p->end > p->start && p[1].text && strchr(p[1].text, '\n')) {
                    put(f, "?"); /* a key of several lines needs it */
                    space = true;
                } else if (p->text) {
                    put_lines(f, p->text, indent + STEP);
                }
            }
            put_tail(f);
        }
    }
}

static void put_mapping(layout *f, int indent, bool top);
static void put_sequence(layout *f, int indent, bool bare);

/* What stands behind `key:` or `-` in a block of that indentation; -2: the whole text. column: of the key or dash as it was. */
static void put_node(layout *f, int indent, int column, bool entry)
{
    put_tail(f);
    int inner = indent < 0 ? 0 : indent + STEP, next = behind_comments(f);
    int kind = f->pieces[next].kind;
    if (kind == YAML_ANCHOR_TOKEN) {
        put_comments(f, inner);
        if (f->broken || indent < 0)
            begin_line(f, &f->pieces[f->at], inner);
        else
            put(f, " ");
        put(f, f->pieces[f->at++].text);
        put_tail(f);
        entry = false;
        next = behind_comments(f);
        kind = f->pieces[next].kind;
    }
    bool bare = kind == YAML_BLOCK_ENTRY_TOKEN && !entry && indent >= 0; /* a list that is not indented under its key */
    if (bare || kind == YAML_BLOCK_MAPPING_START_TOKEN || kind == YAML_BLOCK_SEQUENCE_START_TOKEN) {
        f->compact = entry && !f->broken && next == f->at;
        f->opened = f->opened || indent >= 0;
        if (f->compact)
            put(f, " ");
        put_comments(f, inner);
        f->at += !bare;
        if (kind == YAML_BLOCK_MAPPING_START_TOKEN)
            put_mapping(f, inner, indent < 0);
        else
            put_sequence(f, inner, bare);
        return;
    }
    const piece *p = &f->pieces[next];
    if (!p->text && !is_flow_start(kind)) { /* no value: comments below it that are indented stay so */
        while (kind_at(f) == COMMENT && indent >= 0 && f->pieces[f->at].column > column) {
            f->opened = true;
            begin_line(f, &f->pieces[f->at], inner);
            put(f, f->pieces[f->at++].text);
            f->broken = true;
        }
        return;
    }
    put_comments(f, inner);
    bool single, room = fits(f, f->at, f->column + 1, false, &single);
    if (f->broken || (p->first && indent >= 0 && !(room && single)) || indent < 0) {
        f->opened = f->opened || indent >= 0;
        begin_line(f, p, inner);
    } else {
        put(f, " ");
    }
    if (is_flow_start(kind)) {
        put_flow(f);
    } else {
        f->at++;
        if (p->block)
            put_block_scalar(f, p, indent);
        else
            put_lines(f, p->text, inner);
    }
    put_tail(f);
}

static void put_sequence(layout *f, int indent, bool bare)
{
    for (;;) {
        int kind = f->pieces[behind_comments(f)].kind;
        if (bare && kind != YAML_BLOCK_ENTRY_TOKEN) /* nothing ends it; the comments are those of the mapping */
            return;
        put_comments(f, indent);
        const piece *p = &f->pieces[f->at++];
        if (kind != YAML_BLOCK_ENTRY_TOKEN)
            return;
        begin_line(f, p, indent);
        put(f, "-");
        put_node(f, indent, column_of(f, p->start), true);
    }
}

/* Whether the value of the key at piece i is a block. */
static bool is_section(const layout *f, int i)
{
    while (f->pieces[i].kind == YAML_KEY_TOKEN || f->pieces[i].text)
        i++;
    if (f->pieces[i].kind != YAML_VALUE_TOKEN)
        return false;
    i++;
    while (f->pieces[i].kind == COMMENT || f->pieces[i].kind == YAML_ANCHOR_TOKEN)
        i++;
    int kind = f->pieces[i].kind;
    return kind == YAML_BLOCK_MAPPING_START_TOKEN || kind == YAML_BLOCK_SEQUENCE_START_TOKEN || kind == YAML_BLOCK_ENTRY_TOKEN;
}

/* A blank line in front of what leads to the key at piece `key`, unless there is one on the way. */
static void separate(layout *f, int key)
{
    for (int i = f->at; i <= key; i++)
        if (f->pieces[i].blank)
            return;
    f->pieces[f->at].blank = true;
}

/* A key that can only be written behind `? `: of several lines, or with comments beside it. */
static bool needs_question(const piece *p)
{
    if (p->kind != YAML_KEY_TOKEN || p->end == p->start)
        return false;
    p += p[1].kind == YAML_ANCHOR_TOKEN ? 2 : 1;
    return p->kind == COMMENT || p->block || (p->text && (strchr(p->text, '\n') || p[1].kind == COMMENT));
}

static void put_mapping(layout *f, int indent, bool top)
{
    bool was_section = false;
    for (bool first = true;; first = false) {
        int next = behind_comments(f), kind = f->pieces[next].kind;
        bool section = top && is_section(f, next);
        if (!first && (section || was_section) && (kind == YAML_KEY_TOKEN || kind == YAML_VALUE_TOKEN))
            separate(f, next);
        was_section = section;
        put_comments(f, indent);
        const piece *p = &f->pieces[f->at];
        if (kind != YAML_KEY_TOKEN && kind != YAML_VALUE_TOKEN) { /* the end */
            f->at++;
            return;
        }
        begin_line(f, p, indent);
        int column = column_of(f, p->start);
        bool question = needs_question(p);
        f->at += kind == YAML_KEY_TOKEN;
        if (question) {
            put(f, "?");
            put_node(f, indent, column, true);
            put_comments(f, indent);
            if (kind_at(f) != YAML_VALUE_TOKEN)
                continue;
            begin_line(f, &f->pieces[f->at], indent);
        }
        for (; f->pieces[f->at].text; f->at++) { /* an anchor, the key */
            put(f, f->pieces[f->at].text);
            put(f, f->pieces[f->at].kind == YAML_ANCHOR_TOKEN ? " " : "");
        }
        f->at += kind_at(f) == YAML_VALUE_TOKEN;
        put(f, ":");
        put_node(f, indent, column, false);
    }
}

static void put_document(layout *f)
{
    for (;;) {
        int kind = f->pieces[behind_comments(f)].kind;
        bool begins = kind == YAML_DOCUMENT_START_TOKEN, ends = kind == YAML_DOCUMENT_END_TOKEN;
        if (kind == YAML_STREAM_START_TOKEN) {
            f->at++; /* no comment comes before it */
        } else if (begins || ends || kind == YAML_VERSION_DIRECTIVE_TOKEN || kind == YAML_TAG_DIRECTIVE_TOKEN) {
            put_comments(f, 0);
            const piece *p = &f->pieces[f->at++];
            begin_line(f, p, 0);
            put(f, begins ? "---" : ends ? "..." : p->text);
            put_tail(f);
        } else if (kind == YAML_STREAM_END_TOKEN) {
            put_comments(f, 0);
            return;
        } else {
            put_node(f, -STEP, -1, false);
        }
    }
}

/* Comments at the ends of lines that follow one another begin in one column, where they all have room there. */
static void align_tails(layout *f, anl_text *out)
{
    size_t from = 0;
    for (int i = 0, end; i < f->tail_count; i = end) {
        int width = 0, longest = 0;
        for (end = i; end < f->tail_count && f->tails[end].line == f->tails[i].line + end - i; end++) {
            width = f->tails[end].width > width ? f->tails[end].width : width;
            longest = f->tails[end].comment_width > longest ? f->tails[end].comment_width : longest;
        }
        bool aligned = width + 2 + longest <= LIMIT;
        for (int k = i, column = 0; k < end; k++) {
            const tail *t = &f->tails[k];
            if (t->width) /* else it goes on with the one above */
                column = (aligned ? width : t->width) + 2;
            anl_text_addn(out, f->out.data + from, t->offset - from);
            anl_text_printf(out, "%*s", column - t->width, "");
            from = t->offset;
        }
    }
    anl_text_addn(out, f->out.data + from, f->out.length - from);
    anl_text_add(out, "\n");
}

/* ---- the whole ---- */

static bool same(layout *f, const anl_syntax *a, const anl_syntax *b)
{
    if (a->kind != b->kind || a->count != b->count || a->quoted != b->quoted || a->block != b->block)
        return false;
    if (a->kind == ANL_Y_SCALAR) {
        if (!strcmp(a->text, b->text))
            return true;
        if (!is_expression(f, a->start))
            return false;
        anl_text texts[2] = {0};
        anl_expression_print(read_expression(f->arena, a, f->diagnostics), &texts[0]);
        anl_expression_print(read_expression(f->arena, b, f->diagnostics), &texts[1]);
        bool equal = !strcmp(texts[0].data, texts[1].data);
        anl_text_free(&texts[0]);
        anl_text_free(&texts[1]);
        return equal;
    }
    for (int i = 0; i < a->count; i++)
        if (a->kind == ANL_Y_MAPPING ? strcmp(a->pairs[i].key, b->pairs[i].key) || !same(f, a->pairs[i].value, b->pairs[i].value)
                                     : !same(f, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool same_comments(const layout *f, const layout *g)
{
    bool equal = f->comment_count == g->comment_count;
    for (int i = 0; equal && i < f->comment_count; i++)
        equal = !strcmp(f->comments[i], g->comments[i]);
    return equal;
}

/* The text as a tree, without errors; else NULL. */
static anl_syntax *read_tree(layout *f, const char *file, size_t length)
{
    const char *path[ANL_SYNTAX_DEPTH + 1];
    anl_syntax *tree = anl_syntax_parse(f->arena, file, f->text, length, f->diagnostics);
    f->uses = anl_arena_alloc(f->arena, length + 1);
    if (tree)
        find_expressions(f, tree, path, 0);
    return anl_diagnostics_errors(f->diagnostics) ? NULL : tree;
}

anl_status anl_format(const char *file, const char *text, size_t length, anl_diagnostics *diagnostics, char **out, size_t *out_length)
{
    anl_status status = ANL_OK;
    anl_arena *arena = anl_arena_new();
    anl_text laid = {0};
    *out = NULL;
    *out_length = 0;
    /* Judged with a list of its own, since the caller's may hold these very errors already. */
    layout f = {.arena = arena, .diagnostics = anl_diagnostics_new()}, g = f;
    f.text = normal_text(arena, text, &length);
    anl_syntax *before = read_tree(&f, file, length), *after = NULL;
    if (!before) {
        anl_diagnostics *own = f.diagnostics;
        f.diagnostics = diagnostics;
        read_tree(&f, file, length);
        f.diagnostics = own;
        status = ANL_ERROR_SPEC;
    } else if (before->kind == ANL_Y_SCALAR) { /* no spec, and at the top `---` or `...` would turn into the mark of a document */
        anl_text_addn(&laid, f.text, length);
    } else {
        bool good = take_pieces(&f, length);
        if (good) {
            put_document(&f);
            align_tails(&f, &laid);
            g.text = laid.data;
            after = read_tree(&g, file, laid.length);
            good = after && same(&f, before, after) && take_pieces(&g, laid.length) && same_comments(&f, &g);
        }
        if (!good) {
            anl_diagnose(diagnostics, ANL_A_layout_unsafe, (anl_span){.file = file},
                         "the layout of this file would change what it says; it is left as it is");
            status = ANL_ERROR_FORMAT;
        }
    }
    if (status == ANL_OK) {
        *out = laid.data;
        *out_length = laid.length;
        laid = (anl_text){0};
    }
    anl_text_free(&laid);
    anl_text_free(&f.out);
    anl_diagnostics_free(&f.diagnostics);
    anl_arena_free(&arena);
    return status;
}
