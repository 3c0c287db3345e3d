/* One file's names, found by the table of keys.
 * In: a text. Out: its outline.
 * The table (spec/keys.h) says of each value whether it is an expression, a name, a path or a text; expressions are walked here.
 */
#include "lint/outline.h"

#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/syntax.h"

typedef struct walker {
    outline *o;
    const char *scope;           /* the function that is walked */
    const anl_expression *value; /* of the last key `value:` */
} walker;

bool span_holds(anl_span span, int line, int column)
{
    return span.line == line && span.column <= column && column <= span.column + (span.length > 0 ? span.length : 1);
}

bool span_same(anl_span a, anl_span b)
{
    return a.line == b.line && a.column == b.column && a.length == b.length && !strcmp(a.file, b.file);
}

static mention *add_mention(walker *w, mention_kind kind, const char *name, anl_span span)
{
    mention m = {.kind = kind, .name = name, .scope = w->scope, .span = span};
    ANL_PUSH(w->o->arena, w->o->mentions, w->o->mention_count, w->o->mention_capacity, m);
    return &w->o->mentions[w->o->mention_count - 1];
}

/* Where a value ends in the text, its last closing bracket not counted. */
size_t syntax_end(const anl_syntax *s)
{
    size_t end = s->kind == ANL_Y_SCALAR ? s->end : 0;
    for (int i = 0; s->kind != ANL_Y_SCALAR && i < s->count; i++) {
        size_t inner = syntax_end(s->kind == ANL_Y_LIST ? s->items[i] : s->pairs[i].value);
        end = inner > end ? inner : end;
    }
    return end;
}

static const anl_syntax *pair_value(const anl_syntax *s, const char *key)
{
    for (int i = 0; s->kind == ANL_Y_MAPPING && i < s->count; i++)
        if (!strcmp(s->pairs[i].key, key))
            return s->pairs[i].value;
    return NULL;
}

static const char *scalar_text(const anl_syntax *s) { return s && s->kind == ANL_Y_SCALAR ? s->text : NULL; }

static symbol *add_symbol(walker *w, symbol_kind kind, const char *name, anl_span span, const anl_key *key,
                          const anl_syntax *value)
{
    outline *o = w->o;
    symbol made = {
        .kind = kind, .name = name, .scope = kind == SYMBOL_FUNCTION ? NULL : w->scope, .span = span, .key = key, .value = value};
    made.end = value ? syntax_end(value) : 0;
    made.doc = value ? scalar_text(pair_value(value, "doc")) : NULL;
    ANL_PUSH(o->arena, o->symbols, o->symbol_count, o->symbol_capacity, made);
    add_mention(w, MENTION_DEFINITION, name, span);
    return &o->symbols[o->symbol_count - 1];
}

/* ---- expressions ---- */

static void walk_expression(walker *w, const anl_expression *e, const argument_place *in, wanted want);

/* The last name of `x.name`, which has no place of its own. */
static anl_span member_span(const anl_expression *e)
{
    anl_span span = e->span;
    int length = (int)strlen(e->name);
    if (span.length > length) {
        span.column += span.length - length;
        span.length = length;
    }
    return span;
}

static void walk_arguments(walker *w, const anl_expression *e, bool fed)
{
    for (int i = 0; i < e->argument_count; i++) {
        argument_place *in = ANL_NEW(w->o->arena, argument_place);
        *in = (argument_place){e, i, fed, w->scope};
        if (e->arguments[i].name)
            add_mention(w, MENTION_ARGUMENT, e->arguments[i].name, e->arguments[i].name_span)->in = in;
        bool path = e->arguments[i].name && (!strcmp(e->arguments[i].name, "as") || !strcmp(e->arguments[i].name, "key"));
        if (!path)
            walk_expression(w, e->arguments[i].value, in, WANTED_VALUE);
        else if (e->arguments[i].value->kind == ANL_E_NAME)
            add_mention(w, MENTION_COUNTER, e->arguments[i].value->name, e->arguments[i].value->span);
    }
}

static void walk_callee(walker *w, const anl_expression *e)
{
    const anl_expression *callee = e->items[0];
    if (callee->kind == ANL_E_NAME)
        add_mention(w, MENTION_CALLEE, callee->name, callee->span)->whole = e->span;
    else
        walk_expression(w, callee, NULL, WANTED_VALUE);
}

static void walk_pipeline(walker *w, const anl_expression *e, bool fed)
{
    for (int i = 0; i < e->item_count; i++) {
        const anl_expression *step = e->items[i];
        ANL_PUSH(w->o->arena, w->o->extents, w->o->extent_count, w->o->extent_capacity, step->span);
        if (step->kind == ANL_E_STEP) {
            walk_callee(w, step);
            walk_arguments(w, step, fed || i > 0);
        } else if (step->kind == ANL_E_REPEAT) {
            if (step->name && *step->name)
                add_symbol(w, SYMBOL_COUNTER, step->name, step->slice_axis_span, NULL, NULL);
            for (int k = 0; k < step->item_count; k++)
                if (step->items[k] && k == 1 && step->items[k]->kind == ANL_E_PIPELINE)
                    walk_pipeline(w, step->items[k], true);
                else
                    walk_expression(w, step->items[k], NULL, WANTED_VALUE);
        } else if (i > 0 && step->kind == ANL_E_NAME) {
            add_mention(w, MENTION_CALLEE, step->name, step->span)->whole = step->span;
        } else {
            walk_expression(w, step, NULL, WANTED_VALUE);
        }
    }
}

static void walk_expression(walker *w, const anl_expression *e, const argument_place *in, wanted want)
{
    if (!e)
        return;
    mention *m;
    switch (e->kind) {
    case ANL_E_NAME:
        if (strcmp(e->name, "_")) {
            m = add_mention(w, MENTION_VALUE, e->name, e->span);
            m->in = in;
            m->want = want;
        }
        break;
    case ANL_E_MEMBER:
        walk_expression(w, e->items[0], NULL, WANTED_VALUE);
        m = add_mention(w, MENTION_MEMBER, e->name, member_span(e));
        m->base = e->items[0];
        m->whole = e->span;
        break;
    case ANL_E_CALL:
    case ANL_E_STEP:
        walk_callee(w, e);
        walk_arguments(w, e, e->kind == ANL_E_STEP);
        break;
    case ANL_E_LIST:
        for (int i = 0; i < e->item_count; i++)
            walk_expression(w, e->items[i], in, want);
        break;
    case ANL_E_MAPPING: /* pairs of an argument: `into: {a: 2, b: 3}` */
        for (int i = 0; i < e->argument_count; i++) {
            add_mention(w, MENTION_AXIS, e->arguments[i].name, e->arguments[i].name_span);
            walk_expression(w, e->arguments[i].value, in, want);
        }
        break;
    case ANL_E_OPERATOR: {
        bool compares = !strcmp(e->name, "equal") || !strcmp(e->name, "not_equal");
        for (int i = 0; i < e->item_count; i++)
            walk_expression(w, e->items[i], NULL, compares ? WANTED_WORD : WANTED_VALUE);
        break;
    }
    case ANL_E_SLICE:
        walk_expression(w, e->items[0], NULL, WANTED_VALUE);
        add_mention(w, MENTION_AXIS, e->slice_axis, e->slice_axis_span);
        walk_expression(w, e->start, NULL, WANTED_VALUE);
        walk_expression(w, e->stop, NULL, WANTED_VALUE);
        break;
    case ANL_E_PIPELINE:
        walk_pipeline(w, e, false);
        break;
    case ANL_E_ERROR:
        w->o->whole = false;
        break;
    default:
        break;
    }
    ANL_PUSH(w->o->arena, w->o->extents, w->o->extent_count, w->o->extent_capacity, e->span);
}

static const anl_expression *walk_wanted(walker *w, const anl_syntax *s, anl_span where, wanted want)
{
    const anl_expression *e = anl_syntax_expression(w->o->arena, s, where, false);
    walk_expression(w, e, NULL, want);
    return e;
}

/* An expression; with steps, a list of these as well. */
static const anl_expression *walk_value(walker *w, const anl_key *key, const anl_syntax *s, anl_span where)
{
    const bool steps = key->type == ANL_K_NODE || key->type == ANL_K_STEPS;
    const anl_expression *e = anl_syntax_expression(w->o->arena, s, where, steps);
    walk_expression(w, e, NULL, WANTED_VALUE);
    return e;
}

/* ---- names that are no expressions ---- */

static anl_span part_of(const anl_syntax *s, size_t from, size_t length)
{
    anl_span span = s->span;
    span.column += (int)(from + (s->quoted ? 1 : 0));
    span.length = (int)length;
    return span;
}

/* encoder.layer1.*: the first part of a path is a module. */
static void walk_path(walker *w, const char *text, anl_span span, bool quoted)
{
    span.column += quoted;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ".");
        const char *name = anl_arena_copy(w->o->arena, at, length);
        anl_span part = span;
        part.column += (int)(at - text);
        part.length = (int)length;
        if (anl_name_valid(name))
            add_mention(w, at == text ? MENTION_MODULE : MENTION_PART, name, part);
        at += length + (at[length] == '.');
    }
}

static void walk_signature(walker *w, const anl_syntax *s)
{
    for (int i = 0; s->kind == ANL_Y_LIST && i < s->count; i++) {
        const anl_syntax *item = s->items[i];
        const char *text = scalar_text(item);
        size_t mark = text && !strncmp(text, "...", 3) ? 3 : text && text[0] == '~' ? 1 : 0;
        if (!text || !anl_name_valid(text + mark))
            continue;
        anl_span span = part_of(item, mark, strlen(text + mark));
        if (mark != 3) {
            add_mention(w, MENTION_AXIS, text + mark, span);
            continue;
        }
        bool known = false; /* the rest of another input is the same list */
        for (int k = 0; k < w->o->symbol_count; k++) {
            const symbol *other = &w->o->symbols[k];
            known = known || (other->kind == SYMBOL_REST && other->scope == w->scope && !strcmp(other->name, text + mark));
        }
        if (known)
            add_mention(w, MENTION_VALUE, text + mark, span);
        else
            add_symbol(w, SYMBOL_REST, text + mark, span, NULL, NULL);
    }
}

/* ---- by the table ---- */

static void walk(walker *w, const anl_key *key, const anl_syntax *s, anl_span where);

static bool is_word(const anl_key *key, const char *text)
{
    for (int i = 0; key->words && key->words[i]; i++)
        if (!strcmp(key->words[i], text))
            return true;
    return false;
}

static bool symbol_of_entry(const walker *w, const anl_key *key, const anl_key *entry, symbol_kind *kind)
{
    static const struct {
        const char *entry;
        symbol_kind kind;
    } kinds[] = {{"param", SYMBOL_PARAM},   {"function", SYMBOL_FUNCTION}, {"input", SYMBOL_INPUT},
                 {"weight", SYMBOL_WEIGHT}, {"state", SYMBOL_STATE},       {"field", SYMBOL_FIELD},
                 {"module", SYMBOL_MODULE}, {"loss", SYMBOL_LOSS},         {"metric", SYMBOL_METRIC}};
    if (!strcmp(entry->name, "node")) {
        *kind = !strcmp(key->name, "returns")              ? SYMBOL_MEMBER
                : !w->scope && !strcmp(key->name, "views") ? SYMBOL_VIEW
                                                           : SYMBOL_NODE;
        return true;
    }
    for (size_t i = 0; i < ANL_COUNT(kinds); i++)
        if (!strcmp(entry->name, kinds[i].entry)) {
            *kind = kinds[i].kind;
            return true;
        }
    return false;
}

/* A param's default, where it is an expression. */
static const anl_syntax *default_of(const anl_syntax *s, const char **type)
{
    const anl_syntax *value = s->kind == ANL_Y_MAPPING ? pair_value(s, "default") : s;
    *type = s->kind == ANL_Y_MAPPING ? scalar_text(pair_value(s, "type")) : NULL;
    bool text = value && value->kind == ANL_Y_SCALAR && (*type ? !strcmp(*type, "text") : value->quoted);
    return text ? NULL : value;
}

static void walk_entry(walker *w, const anl_key *key, const anl_pair *pair)
{
    const anl_key *entry = key->entry;
    symbol_kind kind;
    if (!strcmp(entry->name, "axis")) {
        const char *name = pair->key + (pair->key[0] == '~');
        anl_span span = pair->key_span;
        span.column += pair->key[0] == '~';
        span.length -= pair->key[0] == '~';
        add_mention(w, MENTION_AXIS, name, span);
        walk(w, entry, pair->value, pair->key_span);
        return;
    }
    if (!symbol_of_entry(w, key, entry, &kind)) {
        walk_path(w, pair->key, pair->key_span, false); /* initialize: the path of a module */
        walk(w, entry, pair->value, pair->key_span);
        return;
    }
    symbol *made = add_symbol(w, kind, pair->key, pair->key_span, entry, pair->value);
    const int at = (int)(made - w->o->symbols); /* the list grows below */
    const char *outer = w->scope;
    if (kind == SYMBOL_FUNCTION)
        w->scope = pair->key;
    const anl_expression *e = NULL;
    if (kind == SYMBOL_PARAM) {
        const char *type = NULL;
        const anl_syntax *value = default_of(pair->value, &type);
        bool alone = value == pair->value && value->kind == ANL_Y_SCALAR && is_word(entry, value->text);
        if (alone)
            type = value->text;
        else if (value && value->kind != ANL_Y_MAPPING)
            e = walk_wanted(w, value, pair->key_span,
                            type && (!strcmp(type, "axis") || !strcmp(type, "axes")) ? WANTED_AXES : WANTED_VALUE);
        const anl_syntax *range = pair_value(pair->value, "range");
        if (range)
            walk_wanted(w, range, pair->key_span, WANTED_VALUE);
        w->o->symbols[at].type = type;
    } else if (pair->value->kind != ANL_Y_MAPPING && (entry->type == ANL_K_NODE || entry->type == ANL_K_VALUE)) {
        e = walk_value(w, entry, pair->value, pair->key_span);
    } else {
        w->value = NULL;
        walk(w, entry, pair->value, pair->key_span);
        e = w->value; /* of a loss */
    }
    w->o->symbols[at].expression = e;
    w->scope = outer;
}

static void walk_scalar(walker *w, const anl_key *key, const anl_syntax *s)
{
    switch (key->type) {
    case ANL_K_FILES:
        add_mention(w, MENTION_IMPORT, s->text, part_of(s, 0, (size_t)(s->quoted ? s->span.length - 2 : s->span.length)));
        break;
    case ANL_K_PATH:
    case ANL_K_COLUMNS:
        if (!s->quoted && anl_name_valid(s->text))
            add_mention(w, MENTION_VALUE, s->text, s->span)->want = WANTED_WORD; /* a param, or a text */
        break;
    case ANL_K_NAME:
        if (anl_name_valid(s->text))
            add_symbol(w, !strcmp(key->name, "mask") ? SYMBOL_MASK : SYMBOL_COUNTER, s->text, part_of(s, 0, strlen(s->text)), key,
                       NULL);
        break;
    case ANL_K_MODULE:
    case ANL_K_GLOB:
        walk_path(w, s->text, s->span, s->quoted);
        break;
    case ANL_K_TEXT:
        if (!strcmp(key->name, "like") && anl_name_valid(s->text))
            add_mention(w, MENTION_VALUE, s->text, part_of(s, 0, strlen(s->text)));
        break;
    default:
        break;
    }
}

static void walk(walker *w, const anl_key *key, const anl_syntax *s, anl_span where)
{
    if (s->kind == ANL_Y_MAPPING && (key->keys || key->entry)) {
        for (int i = 0; i < s->count; i++) {
            const anl_pair *pair = &s->pairs[i];
            const anl_key *known = NULL;
            for (int k = 0; key->keys && k < key->keys->count && !known; k++)
                known = !strcmp(key->keys->list[k].name, pair->key) ? &key->keys->list[k] : NULL;
            if (known && !strcmp(known->name, "value") && pair->value->kind != ANL_Y_MAPPING)
                w->value = walk_value(w, known, pair->value, pair->key_span);
            else if (known)
                walk(w, known, pair->value, pair->key_span);
            else if (key->entry)
                walk_entry(w, key, pair);
        }
        return;
    }
    switch (key->type) {
    case ANL_K_DURATION:
    case ANL_K_VALUE:
    case ANL_K_NODE:
    case ANL_K_STEPS:
    case ANL_K_RANGE:
        if (s->kind != ANL_Y_MAPPING && !anl_syntax_null(s))
            walk_value(w, key, s, where);
        return;
    case ANL_K_SIGNATURE:
        walk_signature(w, s);
        return;
    default:
        break;
    }
    if (s->kind == ANL_Y_LIST)
        for (int i = 0; i < s->count; i++)
            walk(w, key, s->items[i], s->span);
    else if (s->kind == ANL_Y_SCALAR && s->source && !s->broken)
        walk_scalar(w, key, s);
}

/* ---- texts that are no YAML ---- */

/* False: it was blank already. */
static bool blank_line(char *text, size_t length, int line)
{
    char *at = text, *end = text + length;
    for (; line > 1 && at; line--) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    bool changed = false;
    for (; at && at < end && *at != '\n'; at++) {
        changed = changed || *at != ' ';
        *at = ' ';
    }
    return changed;
}

/* The tree of a text; where a line spoils it, without that line. Places stay what they are: blanks stand for what is left out. */
static const anl_syntax *tolerant_tree(anl_arena *arena, const char *file, const char *text, size_t length, bool *whole)
{
    enum { TRIES = 4 };
    char *mended = anl_arena_copy(arena, text, length);
    for (int i = 0; i < TRIES; i++) {
        anl_diagnostics *problems = anl_diagnostics_new();
        const anl_syntax *root = anl_syntax_parse(arena, file, mended, length, problems);
        int line = 0, opened = 0;
        for (int k = 0; !root && k < anl_diagnostics_count(problems); k++) {
            const anl_diagnostic *d = anl_diagnostics_get(problems, k);
            line = d->severity == ANL_ERROR ? d->span.line : line;
            opened = d->label_count ? d->labels[0].span.line : opened;
        }
        anl_diagnostics_free(&problems);
        *whole = root && i == 0;
        if (root || !line)
            return root;
        /* A bracket that is not closed is reported where the next line does not fit: the line that opened it is to blame. */
        if (!opened || opened >= line || !blank_line(mended, length, opened))
            while (line && !blank_line(mended, length, line))
                line--;
    }
    return NULL;
}

outline *outline_read(const char *file, const char *text, size_t length)
{
    anl_arena *arena = anl_arena_new();
    outline *o = ANL_NEW(arena, outline);
    o->arena = arena;
    o->root = tolerant_tree(arena, anl_arena_text(arena, file), text, length, &o->whole);
    walker w = {.o = o};
    if (o->root)
        walk(&w, &anl_spec_key, o->root, o->root->span);
    for (int i = 0, k = 0; i < o->mention_count; i++) /* definitions, in their order; the lists no longer grow */
        if (o->mentions[i].kind == MENTION_DEFINITION)
            o->mentions[i].symbol = &o->symbols[k++];
    return o;
}

void outline_free(outline **o)
{
    if (!*o)
        return;
    anl_arena *arena = (*o)->arena; /* the outline lies in it */
    *o = NULL;
    anl_arena_free(&arena);
}
