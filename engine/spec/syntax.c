/* YAML text to a tree with marks.
 * In: the bytes of a file. Out: scalars, lists and mappings, each with its place; or a diagnostic that says in plain words what
 * YAML could not read. libyaml's events are composed here rather than by its own loader, so that duplicate keys, depth and alias
 * expansion can be limited with a place. */
#include "spec/syntax.h"

#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>
#include <yaml.h>

typedef struct anchor {
    const char *name;
    anl_syntax *node; /* NULL while it is being read */
    int nodes;        /* of the tree, aliases expanded */
} anchor;

typedef struct composer {
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    anl_source_file *source;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event, failed;
    int depth, nodes;
    anchor *anchors;
    int anchor_count, anchor_capacity;
    size_t scalar_start, scalar_end; /* the last scalar: an expression torn apart by YAML is found by it */
    bool scalar_plain;
    size_t torn; /* start of the unbalanced plain scalar of the innermost open flow collection, or SIZE_MAX */
} composer;

/* ---- places ---- */

anl_span anl_source_span(const anl_source_file *source, size_t start, size_t end)
{
    if (start > source->length)
        start = source->length;
    int low = 0, high = source->line_count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (source->lines[middle] <= start)
            low = middle;
        else
            high = middle - 1;
    }
    size_t line_end = low + 1 < source->line_count ? source->lines[low + 1] - 1 : source->length;
    if (line_end > start && source->text[line_end - 1] == '\r')
        line_end--;
    if (end > line_end)
        end = line_end;
    anl_span span = {source->file, low + 1, (int)(start - source->lines[low]) + 1, end > start ? (int)(end - start) : 1};
    return span;
}

static anl_source_file *make_source(anl_arena *arena, const char *file, const char *text, size_t length)
{
    anl_source_file *source = ANL_NEW(arena, anl_source_file);
    source->file = anl_arena_text(arena, file);
    source->text = anl_arena_copy(arena, text, length);
    source->length = length;
    size_t lines = 1, characters = 0;
    for (size_t i = 0; i < length; i++) {
        lines += text[i] == '\n';
        characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    source->lines = ANL_NEW_ARRAY(arena, size_t, lines);
    source->line_count = 1;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n')
            source->lines[source->line_count++] = i + 1;
    source->character_count = characters;
    if (characters != length) {
        source->characters = ANL_NEW_ARRAY(arena, size_t, characters + 1);
        size_t n = 0;
        for (size_t i = 0; i < length; i++)
            if (((unsigned char)text[i] & 0xC0) != 0x80)
                source->characters[n++] = i;
        source->characters[n] = length;
    }
    return source;
}

/* libyaml counts characters; everything else here counts bytes. */
static size_t mark_offset(const composer *c, yaml_mark_t mark)
{
    if (mark.index >= c->source->character_count)
        return c->source->length;
    return c->source->characters ? c->source->characters[mark.index] : mark.index;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* A node's mark begins at its anchor or tag; the node itself comes after those. */
static size_t skip_properties(const anl_source_file *source, size_t at, size_t end)
{
    while (at < end && (source->text[at] == '&' || source->text[at] == '!')) {
        while (at < end && !is_blank(source->text[at]))
            at++;
        while (at < end && is_blank(source->text[at]))
            at++;
    }
    return at;
}

anl_text_map anl_syntax_map(anl_arena *arena, const anl_syntax *scalar)
{
    size_t length = strlen(scalar->text);
    size_t *offsets = ANL_NEW_ARRAY(arena, size_t, length + 1);
    anl_text_map map = {scalar->source, offsets, scalar->span};
    const char *from = scalar->source->text;
    size_t at = scalar->start, end = scalar->end;
    char quote = 0;
    if (scalar->block) { /* the header line: | or >, indicators, comment */
        while (at < end && from[at] != '\n')
            at++;
    } else if (scalar->quoted) {
        quote = from[at++];
        end--;
    }
    for (size_t i = 0; i < length; i++) {
        char c = scalar->text[i];
        if (is_blank(c) && !(quote == '"' && at < end && from[at] == '\\')) { /* folded line ends stand for one or no blank */
            offsets[i] = at;
            if (at < end && is_blank(from[at]))
                at++;
            continue;
        }
        while (at < end && is_blank(from[at]))
            at++;
        while (quote == '"' && at + 1 < end && from[at] == '\\' && (from[at + 1] == '\n' || from[at + 1] == '\r')) {
            at++; /* an escaped line end stands for nothing */
            while (at < end && is_blank(from[at]))
                at++;
        }
        offsets[i] = at;
        size_t taken = 1;
        if (quote == '"' && from[at] == '\\' && at + 1 < end) {
            char kind = from[at + 1];
            taken = kind == 'x' ? 4 : kind == 'u' ? 6 : kind == 'U' ? 10 : 2;
            while (i + 1 < length && ((unsigned char)scalar->text[i + 1] & 0xC0) == 0x80) /* one escape, several bytes */
                offsets[++i] = at;
        } else if (quote == '\'' && c == '\'') {
            taken = 2;
        }
        at = at + taken < end ? at + taken : end;
    }
    offsets[length] = at;
    return map;
}

bool anl_syntax_null(const anl_syntax *s)
{
    return s->kind == ANL_Y_SCALAR && !s->quoted && !s->block && !s->text[0] && !s->broken;
}

/* ---- what libyaml says, in plain words ---- */

static const struct {
    const char *theirs, *ours, *remedy;
} problems[] = {
    {"mapping values are not allowed in this context", "a `: ` cannot stand here",
     "check the indentation, or put the text in quotes if the colon belongs to it"},
    {"did not find expected key", "a key was expected here",
     "check the indentation: keys of one mapping begin in the same column"},
    {"did not find expected '-' indicator", "a list item, `- …`, was expected here",
     "check the indentation: items of one list begin in the same column"},
    {"did not find expected ',' or '}'", "a `,` or `}` was expected here", NULL},
    {"did not find expected ',' or ']'", "a `,` or `]` was expected here", NULL},
    {"could not find expected ':'", "a `:` was expected after this key",
     "check the indentation, and that the key is followed by `: `"},
    {"found unexpected end of stream", "the file ends inside quotes", "close the quotes"},
    {"found unexpected document indicator", "the file's end mark stands inside quotes", "close the quotes"},
    {"found unknown escape character", "this backslash escape is unknown", "write `\\\\` for a backslash, or use single quotes"},
    {"did not find expected node content", "a value was expected here", NULL},
    {"block sequence entries are not allowed in this context", "a list item cannot stand here",
     "begin the list on its own line, below its key"},
    {"block mapping entries are not allowed in this context", "a mapping cannot stand here", NULL},
    {"mapping keys are not allowed in this context", "a key cannot stand here", NULL},
    {"did not find expected alphabetic or numeric character", "a name was expected after `&` or `*`",
     "put text that begins with `*` or `&` in quotes"},
    {"did not find expected <document start>", "text after the end of the document", "a spec file is one YAML document"},
    {"found a tab character that violates indentation", "a tab cannot indent", "use spaces"},
    {"found a tab character where an indentation space is expected", "a tab cannot indent", "use spaces"},
    {"control characters are not allowed", "control characters are not allowed", "remove the character"},
};

/* The whole expression that begins at start, as far as brackets tell. */
static size_t expression_end(const anl_source_file *source, size_t start)
{
    int depth = 0;
    size_t at = start;
    for (; at < source->length && source->text[at] != '\n'; at++) {
        char c = source->text[at];
        if (c == '(' || c == '[' || c == '{') {
            depth++;
        } else if (c == ')' || c == ']' || c == '}') {
            if (depth-- == 0)
                break;
        } else if (c == ',' && depth == 0) {
            break;
        }
    }
    while (at > start && is_blank(source->text[at - 1]))
        at--;
    return at;
}

static void diagnose_torn(composer *c, size_t start)
{
    size_t end = expression_end(c->source, start);
    anl_diagnostic *d = anl_diagnose(c->diagnostics, ANL_A_unquoted_expression, anl_source_span(c->source, start, end),
                                     "YAML takes this expression apart: commas and brackets end a value inside `{…}` and `[…]`");
    int length = (int)(end - start);
    const char *text = c->source->text + start;
    if (memchr(text, '"', (size_t)length))
        anl_diagnostic_suggest(c->diagnostics, d, "quote it: '%.*s'", length, text);
    else
        anl_diagnostic_suggest(c->diagnostics, d, "quote it: \"%.*s\"", length, text);
}

/* `size:64` on the line of a problem or the one above it: read as a text, which the next key cannot follow. */
static bool glued_above(composer *c, size_t at)
{
    const anl_source_file *source = c->source;
    for (int line = anl_source_span(source, at, at).line; line > 0 && line + 1 >= anl_source_span(source, at, at).line; line--) {
        size_t start = source->lines[line - 1], end = line < source->line_count ? source->lines[line] - 1 : source->length;
        while (start < end && (source->text[start] == ' ' || source->text[start] == '-'))
            start++;
        if (anl_trap_blank(c->diagnostics, source, start, source->text + start, strcspn(source->text + start, " \n")))
            return true;
    }
    return false;
}

static void diagnose_parser(composer *c)
{
    yaml_parser_t *p = &c->parser;
    c->failed = true;
    const char *problem = p->problem ? p->problem : "unreadable";
    size_t at = mark_offset(c, p->problem_mark);
    if (p->error == YAML_READER_ERROR)
        at = p->problem_offset;
    if (p->error == YAML_MEMORY_ERROR)
        problem = "out of memory";
    char here = at < c->source->length ? c->source->text[at] : '\0';
    if (p->error == YAML_PARSER_ERROR && strstr(problem, "did not find expected ',' or")) {
        /* x[view=0] or concat([a, b]) inside {…}: the bracket begins a YAML list in the middle of a value. */
        bool glued = (here == '[' || here == '{') && at > 0 && !is_blank(c->source->text[at - 1]) && c->scalar_plain;
        if (c->torn != SIZE_MAX || glued) {
            diagnose_torn(c, c->torn != SIZE_MAX ? c->torn : c->scalar_start);
            return;
        }
    }
    const char *ours = problem, *remedy = NULL;
    for (size_t i = 0; i < ANL_COUNT(problems); i++)
        if (!strcmp(problem, problems[i].theirs)) {
            ours = problems[i].ours;
            remedy = problems[i].remedy;
        }
    if (!strcmp(problem, "found character that cannot start any token")) {
        ours = here == '\t' ? "a tab cannot indent" : "text cannot begin with this character";
        remedy = here == '\t' ? "use spaces" : "put the text in quotes";
    }
    if ((strstr(problem, "mapping values are not allowed") || strstr(problem, "could not find expected ':'")) && glued_above(c, at))
        return;
    anl_diagnostic *d = anl_diagnose(c->diagnostics, ANL_A_yaml_syntax, anl_source_span(c->source, at, at + 1), "%s", ours);
    if (p->context && p->context_mark.index != p->problem_mark.index && p->error != YAML_READER_ERROR) {
        size_t from = mark_offset(c, p->context_mark);
        anl_diagnostic_label(c->diagnostics, d, anl_source_span(c->source, from, from + 1), "%s", p->context);
    }
    if (remedy)
        anl_diagnostic_suggest(c->diagnostics, d, "%s", remedy);
}

/* ---- events to a tree ---- */

static bool next_event(composer *c)
{
    if (c->has_event)
        yaml_event_delete(&c->event);
    c->has_event = false;
    if (c->failed)
        return false;
    if (!yaml_parser_parse(&c->parser, &c->event)) {
        diagnose_parser(c);
        return false;
    }
    c->has_event = true;
    return true;
}

static anl_diagnostic *fail(composer *c, anl_code code, size_t start, size_t end, const char *message)
{
    c->failed = true;
    return anl_diagnose(c->diagnostics, code, anl_source_span(c->source, start, end), "%s", message);
}

static bool count_nodes(composer *c, int nodes, size_t start, size_t end)
{
    if (nodes > ANL_SYNTAX_NODES - c->nodes) {
        anl_diagnostic *d =
            fail(c, ANL_A_alias_limit, start, end, "this file holds too many values once its aliases are expanded");
        anl_diagnostic_note(c->diagnostics, d, "at most %d values in one file", ANL_SYNTAX_NODES);
        return false;
    }
    c->nodes += nodes;
    return true;
}

/* Opening minus closing parentheses of a plain scalar; the lowest value on the way tells of a closing one too many. */
static int parentheses(const char *text)
{
    int depth = 0;
    for (; *text; text++)
        depth += (*text == '(') - (*text == ')');
    return depth;
}

static bool is_plain(const anl_syntax *s) { return s->kind == ANL_Y_SCALAR && !s->quoted && !s->block; }

static bool is_torn_key(const anl_pair *pair) { return anl_syntax_null(pair->value) && strpbrk(pair->key, "=()"); }

/* {value: max(a, over=b)} reads as {"value": "max(a", "over=b)": null}. Such a value is reported once and marked broken; the
 * pieces that were torn off it are removed. */
static void mend_mapping(composer *c, anl_syntax *s, const size_t *key_starts)
{
    int kept = 0;
    for (int i = 0; i < s->count; i++) {
        anl_pair *pair = &s->pairs[i];
        int depth = is_plain(pair->value) ? parentheses(pair->value->text) : 0;
        if (depth > 0) {
            diagnose_torn(c, pair->value->start);
            pair->value->broken = true;
            s->pairs[kept++] = *pair;
            while (depth > 0 && i + 1 < s->count) {
                i++;
                depth += parentheses(s->pairs[i].key);
                if (is_plain(s->pairs[i].value))
                    depth += parentheses(s->pairs[i].value->text);
            }
            continue;
        }
        if (anl_syntax_null(pair->value) && anl_trap_blank(c->diagnostics, c->source, key_starts[i], pair->key, strlen(pair->key))) {
            s->broken = true;
            continue;
        }
        if (is_torn_key(pair)) {
            s->broken = true;
            const char *equal = strchr(pair->key, '=');
            if (equal && !strpbrk(pair->key, "()")) {
                anl_diagnostic *d =
                    anl_diagnose(c->diagnostics, ANL_A_unquoted_expression, pair->key_span, "`=` gives no value in a mapping");
                anl_diagnostic_suggest(c->diagnostics, d, "write `%.*s: %s`", (int)(equal - pair->key), pair->key, equal + 1);
            } else {
                diagnose_torn(c, key_starts[i]);
            }
            continue;
        }
        s->pairs[kept++] = *pair;
    }
    s->count = kept;
}

static void mend_list(composer *c, anl_syntax *s)
{
    int kept = 0;
    for (int i = 0; i < s->count; i++) {
        anl_syntax *item = s->items[i];
        int depth = is_plain(item) ? parentheses(item->text) : 0;
        s->items[kept++] = item;
        if (depth <= 0)
            continue;
        diagnose_torn(c, item->start);
        item->broken = true;
        while (depth > 0 && i + 1 < s->count) {
            i++;
            if (is_plain(s->items[i]))
                depth += parentheses(s->items[i]->text);
        }
    }
    s->count = kept;
}

typedef struct keyed {
    const char *key;
    int index;
} keyed;

static int compare_keys(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Reports each key that stands twice; the first one counts. */
static void check_duplicates(composer *c, anl_syntax *s)
{
    if (s->count < 2)
        return;
    keyed *sorted = anl_malloc(sizeof *sorted * (size_t)s->count);
    bool *drop = anl_malloc(sizeof *drop * (size_t)s->count);
    memset(drop, 0, sizeof *drop * (size_t)s->count);
    for (int i = 0; i < s->count; i++)
        sorted[i] = (keyed){s->pairs[i].key, i};
    qsort(sorted, (size_t)s->count, sizeof *sorted, compare_keys);
    bool any = false;
    for (int i = 1, first = 0; i < s->count; i++) {
        if (strcmp(sorted[i].key, sorted[first].key)) {
            first = i;
            continue;
        }
        const anl_pair *again = &s->pairs[sorted[i].index];
        anl_diagnostic *d = anl_diagnose(c->diagnostics, ANL_A_duplicate_key, again->key_span,
                                         "the key `%s` stands twice in this mapping", again->key);
        anl_diagnostic_label(c->diagnostics, d, s->pairs[sorted[first].index].key_span, "first here");
        drop[sorted[i].index] = any = true;
    }
    if (any) {
        int kept = 0;
        for (int i = 0; i < s->count; i++)
            if (!drop[i])
                s->pairs[kept++] = s->pairs[i];
        s->count = kept;
    }
    free(sorted);
    free(drop);
}

static anl_syntax *compose(composer *c);

static anl_syntax *compose_scalar(composer *c)
{
    yaml_event_t *e = &c->event;
    anl_syntax *s = ANL_NEW(c->arena, anl_syntax);
    size_t end = mark_offset(c, e->end_mark);
    s->kind = ANL_Y_SCALAR;
    s->source = c->source;
    s->start = skip_properties(c->source, mark_offset(c, e->start_mark), end);
    s->end = end;
    s->block = e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE || e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE;
    s->quoted =
        e->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE || e->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    s->span = anl_source_span(c->source, s->start, s->end);
    if (memchr(e->data.scalar.value, 0, e->data.scalar.length)) {
        fail(c, ANL_A_yaml_syntax, s->start, s->end, "a text cannot contain the character NUL");
        return NULL;
    }
    s->text = anl_arena_copy(c->arena, (const char *)e->data.scalar.value, e->data.scalar.length);
    c->scalar_start = s->start;
    c->scalar_end = s->end;
    c->scalar_plain = is_plain(s) && s->text[0];
    return s;
}

static anl_syntax *compose_list(composer *c)
{
    anl_syntax *s = ANL_NEW(c->arena, anl_syntax);
    s->kind = ANL_Y_LIST;
    s->block = c->event.data.sequence_start.style != YAML_FLOW_SEQUENCE_STYLE;
    size_t start = skip_properties(c->source, mark_offset(c, c->event.start_mark), c->source->length);
    int capacity = 0;
    size_t torn = c->torn;
    c->torn = SIZE_MAX;
    c->depth++;
    while (next_event(c) && c->event.type != YAML_SEQUENCE_END_EVENT) {
        anl_syntax *item = compose(c);
        if (!item)
            return NULL;
        ANL_PUSH(c->arena, s->items, s->count, capacity, item);
        if (!s->block && c->torn == SIZE_MAX && is_plain(item) && parentheses(item->text) > 0)
            c->torn = item->start;
    }
    if (c->failed)
        return NULL;
    c->depth--;
    c->torn = torn;
    s->span = anl_source_span(c->source, start, mark_offset(c, c->event.end_mark));
    if (!s->block)
        mend_list(c, s);
    return s;
}

static anl_syntax *compose_mapping(composer *c)
{
    anl_syntax *s = ANL_NEW(c->arena, anl_syntax);
    s->kind = ANL_Y_MAPPING;
    s->block = c->event.data.mapping_start.style != YAML_FLOW_MAPPING_STYLE;
    size_t start = skip_properties(c->source, mark_offset(c, c->event.start_mark), c->source->length);
    size_t *key_starts = NULL;
    int capacity = 0, start_count = 0, start_capacity = 0;
    size_t torn = c->torn;
    c->torn = SIZE_MAX;
    c->depth++;
    while (next_event(c) && c->event.type != YAML_MAPPING_END_EVENT) {
        if (c->event.type != YAML_SCALAR_EVENT) {
            size_t at = mark_offset(c, c->event.start_mark);
            if (c->torn != SIZE_MAX) {
                c->failed = true;
                diagnose_torn(c, c->torn);
            } else {
                fail(c, ANL_A_yaml_syntax, at, at + 1, "a key must be a word");
            }
            return NULL;
        }
        anl_syntax *key = compose(c);
        if (!key)
            return NULL;
        if (!*key->text) {
            fail(c, ANL_A_yaml_syntax, key->start, key->start + 1, "a key must be a word, and this one is empty");
            return NULL;
        }
        ANL_PUSH(c->arena, key_starts, start_count, start_capacity, key->start);
        if (!next_event(c))
            return NULL;
        anl_syntax *value = compose(c);
        if (!value)
            return NULL;
        anl_pair pair = {key->text, key->span, value};
        ANL_PUSH(c->arena, s->pairs, s->count, capacity, pair);
        if (!s->block && c->torn == SIZE_MAX && is_plain(value) && parentheses(value->text) > 0)
            c->torn = value->start;
    }
    if (c->failed)
        return NULL;
    c->depth--;
    c->torn = torn;
    s->span = anl_source_span(c->source, start, mark_offset(c, c->event.end_mark));
    if (!s->block)
        mend_mapping(c, s, key_starts);
    check_duplicates(c, s);
    return s;
}

/* The node that begins with the current event. NULL: failed, reported. */
static anl_syntax *compose(composer *c)
{
    yaml_event_t *e = &c->event;
    size_t start = mark_offset(c, e->start_mark), end = mark_offset(c, e->end_mark);
    if (e->type == YAML_ALIAS_EVENT) {
        const char *name = (const char *)e->data.alias.anchor;
        for (int i = c->anchor_count - 1; i >= 0; i--) { /* a later anchor of the same name hides the earlier */
            anchor *a = &c->anchors[i];
            if (strcmp(a->name, name))
                continue;
            if (!a->node) {
                fail(c, ANL_A_yaml_syntax, start, end, "this alias stands for the value that it is part of");
                return NULL;
            }
            return count_nodes(c, a->nodes, start, end) ? a->node : NULL;
        }
        anl_diagnostic *d = fail(c, ANL_A_yaml_syntax, start, end, "this alias has no anchor");
        anl_diagnostic_suggest(c->diagnostics, d, "give the value an anchor, `&%s`, or quote text that begins with `*`", name);
        return NULL;
    }
    const char *name = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        name = (const char *)e->data.scalar.anchor;
        tag = (const char *)e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        name = (const char *)e->data.sequence_start.anchor;
        tag = (const char *)e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        name = (const char *)e->data.mapping_start.anchor;
        tag = (const char *)e->data.mapping_start.tag;
    }
    if (tag) {
        fail(c, ANL_A_yaml_syntax, start, end, "YAML tags (`!…`) mean nothing here");
        return NULL;
    }
    if (c->depth >= ANL_SYNTAX_DEPTH && e->type != YAML_SCALAR_EVENT) {
        anl_diagnostic *d = fail(c, ANL_A_too_deep, start, start + 1, "lists and mappings are nested too deeply");
        anl_diagnostic_note(c->diagnostics, d, "at most %d levels", ANL_SYNTAX_DEPTH);
        return NULL;
    }
    if (!count_nodes(c, 1, start, end))
        return NULL;
    int index = -1, before = c->nodes - 1;
    if (name) {
        index = c->anchor_count;
        anchor a = {anl_arena_text(c->arena, name), NULL, 0};
        ANL_PUSH(c->arena, c->anchors, c->anchor_count, c->anchor_capacity, a);
    }
    anl_syntax *s = e->type == YAML_SCALAR_EVENT           ? compose_scalar(c)
                    : e->type == YAML_SEQUENCE_START_EVENT ? compose_list(c)
                                                           : compose_mapping(c);
    if (s && index >= 0) {
        c->anchors[index].node = s;
        c->anchors[index].nodes = c->nodes - before;
    }
    return s;
}

static anl_syntax *compose_document(composer *c)
{
    if (!next_event(c) || !next_event(c)) /* stream start; document start or stream end */
        return NULL;
    if (c->event.type == YAML_STREAM_END_EVENT) {
        fail(c, ANL_A_empty_file, 0, 1, "the file is empty");
        return NULL;
    }
    if (!next_event(c))
        return NULL;
    anl_syntax *root = compose(c);
    if (!root || !next_event(c) || !next_event(c)) /* document end; stream end or another document */
        return NULL;
    if (c->event.type != YAML_STREAM_END_EVENT) {
        size_t at = mark_offset(c, c->event.start_mark);
        fail(c, ANL_A_yaml_syntax, at, at + 1, "a second document begins here; a spec file is one YAML document");
        return NULL;
    }
    if (anl_syntax_null(root)) {
        fail(c, ANL_A_empty_file, 0, 1, "the file is empty");
        return NULL;
    }
    return root;
}

anl_syntax *anl_syntax_parse(anl_arena *arena, const char *file, const char *text, size_t length, anl_diagnostics *diagnostics)
{
    if (length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        length -= 3;
    }
    composer c = {.arena = arena, .diagnostics = diagnostics, .torn = SIZE_MAX};
    c.source = make_source(arena, file, text, length);
    anl_diagnostics_source(diagnostics, c.source->file, c.source->text, length);
    size_t bad = 0;
    if (!anl_utf8_valid(text, length, &bad)) {
        anl_diagnostic *d = fail(&c, ANL_A_invalid_utf8, bad, bad + 1, "the file is not UTF-8 text");
        anl_diagnostic_note(diagnostics, d, "byte 0x%02x at offset %zu", (unsigned char)text[bad], bad);
        anl_diagnostic_suggest(diagnostics, d, "save the file as UTF-8");
        return NULL;
    }
    const char *mark = memmem(text, length, "\xEF\xBB\xBF", 3);
    if (mark) {
        size_t at = (size_t)(mark - text);
        anl_diagnostic *d = fail(&c, ANL_A_invisible_character, at, at + 3, "a byte order mark stands in the middle of the file");
        anl_diagnostic_note(diagnostics, d, "it is invisible, and would become part of a name or a text; files glued together have them");
        anl_span span = anl_source_span(c.source, at, at + 3);
        anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_SAFE, "take it away"), span, "");
        return NULL;
    }
    if (!yaml_parser_initialize(&c.parser)) {
        fail(&c, ANL_A_yaml_syntax, 0, 1, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)c.source->text, length);
    anl_syntax *root = compose_document(&c);
    if (c.has_event)
        yaml_event_delete(&c.event);
    yaml_parser_delete(&c.parser);
    return c.failed ? NULL : root;
}
