/* Texts about names, operations, keys and values.
 * In: what the outlines, the tables and the last checks know. Out: markdown for hover and completion.
 * Every text comes from the place where the thing is declared: docs of functions, the table of operations, the table of keys. */
#include "lint/describe.h"

#include <string.h>

#include "lint/forms.h"
#include "spec/syntax.h"

const char *symbol_word(symbol_kind kind)
{
    static const char *const words[] = {
        [SYMBOL_FUNCTION] = "function", [SYMBOL_INPUT] = "input", [SYMBOL_REST] = "rest of axes", [SYMBOL_PARAM] = "param",
        [SYMBOL_WEIGHT] = "weight",     [SYMBOL_STATE] = "state", [SYMBOL_NODE] = "node",         [SYMBOL_MEMBER] = "member",
        [SYMBOL_COUNTER] = "counter",   [SYMBOL_FIELD] = "field", [SYMBOL_MASK] = "mask",         [SYMBOL_VIEW] = "view",
        [SYMBOL_MODULE] = "module",     [SYMBOL_LOSS] = "loss",   [SYMBOL_METRIC] = "metric"};
    return words[kind];
}

static const anl_syntax *value_of(const symbol *s, const char *key)
{
    for (int i = 0; s->value && s->value->kind == ANL_Y_MAPPING && i < s->value->count; i++)
        if (!strcmp(s->value->pairs[i].key, key))
            return s->value->pairs[i].value;
    return NULL;
}

/* A value as it stands in the file, on one line. */
static void add_syntax(anl_text *out, const anl_syntax *s)
{
    enum { LONGEST = 100 };
    if (s->kind != ANL_Y_SCALAR) {
        bool list = s->kind == ANL_Y_LIST;
        anl_text_add(out, list ? "[" : "{");
        for (int i = 0; i < s->count; i++) {
            anl_text_add(out, i ? ", " : "");
            if (!list)
                anl_text_printf(out, "%s: ", s->pairs[i].key);
            add_syntax(out, list ? s->items[i] : s->pairs[i].value);
        }
        anl_text_add(out, list ? "]" : "}");
        return;
    }
    size_t length = strlen(s->text), shown = length < LONGEST ? length : LONGEST;
    while (shown < length && shown && ((unsigned char)s->text[shown] & 0xC0) == 0x80)
        shown--;
    for (size_t i = 0; i < shown; i++)
        anl_text_addn(out, s->text[i] == '\n' ? " " : s->text + i, 1);
    anl_text_add(out, shown < length ? "…" : "");
}

static const anl_syntax *default_value(const symbol *s)
{
    if (s->kind != SYMBOL_PARAM || !s->value)
        return NULL;
    if (s->value->kind == ANL_Y_MAPPING)
        return value_of(s, "default");
    return s->type && s->value->kind == ANL_Y_SCALAR && !strcmp(s->type, s->value->text) ? NULL : s->value;
}

const char *symbol_detail(anl_arena *arena, const symbol *s)
{
    anl_text text = {0};
    const anl_syntax *value = default_value(s), *axes = value_of(s, "axes");
    if (value) {
        anl_text_add(&text, "= ");
        add_syntax(&text, value);
    } else if (s->kind == SYMBOL_PARAM && s->type) {
        anl_text_add(&text, s->type);
    } else if (s->kind == SYMBOL_INPUT && s->value) {
        add_syntax(&text, s->value);
    } else if (axes) {
        add_syntax(&text, axes);
    } else if (s->kind == SYMBOL_MODULE && s->value) {
        add_syntax(&text, s->value);
    }
    const char *detail = text.data ? anl_arena_text(arena, text.data) : NULL;
    anl_text_free(&text);
    return detail;
}

/* conv(x: [channel, ~space], channels: int, stride=1) */
static void add_signature(anl_text *out, const project *p, const symbol *f)
{
    static const symbol_kind order[] = {SYMBOL_INPUT, SYMBOL_PARAM};
    anl_text_printf(out, "%s(", f->name);
    bool any = false;
    for (size_t i = 0; i < ANL_COUNT(order); i++)
        for (const symbol *s = NULL; (s = project_next(p, SYMBOL_NODE, f->name, NULL, s));) {
            if (s->kind != order[i])
                continue;
            const anl_syntax *value = default_value(s);
            anl_text_printf(out, "%s%s", any ? ", " : "", s->name);
            any = true;
            if (value) {
                anl_text_add(out, "=");
                add_syntax(out, value);
            } else if (s->kind == SYMBOL_INPUT && s->value) {
                anl_text_add(out, ": ");
                add_syntax(out, s->value);
            } else if (s->type) {
                anl_text_printf(out, ": %s", s->type);
            }
        }
    anl_text_add(out, ")");
}

static void add_paragraph(anl_text *out, const char *text)
{
    if (text && *text)
        anl_text_printf(out, "%s%s", out->length ? "\n\n" : "", text);
}

static void describe_param(anl_text *out, const symbol *s)
{
    const anl_syntax *value = default_value(s), *range = value_of(s, "range"), *unit = value_of(s, "unit");
    if (value) {
        anl_text_add(out, "\n\nDefault: `");
        add_syntax(out, value);
        anl_text_add(out, "`");
    } else if (s->type) {
        anl_text_printf(out, "\n\nIt must be given: %s", s->type);
    }
    if (unit && unit->kind == ANL_Y_SCALAR)
        anl_text_printf(out, value ? " %s" : ", in %s", unit->text);
    if (range) {
        anl_text_add(out, ", range `");
        add_syntax(out, range);
        anl_text_add(out, "`");
    }
    if (value && s->type)
        anl_text_printf(out, ", type %s", s->type);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void describe_symbol(anl_text *out, const project *p, const symbol *s)
{
    anl_text_printf(out, "**%s** `", symbol_word(s->kind));
    if (s->kind == SYMBOL_FUNCTION)
        add_signature(out, p, s);
    else
        anl_text_add(out, s->name);
    anl_text_add(out, "`");
    if (s->kind == SYMBOL_INPUT || s->kind == SYMBOL_WEIGHT || s->kind == SYMBOL_STATE || s->kind == SYMBOL_FIELD) {
        const anl_syntax *axes = s->kind == SYMBOL_INPUT ? s->value : value_of(s, "axes");
        if (axes) {
            anl_text_add(out, " `");
            add_syntax(out, axes);
            anl_text_add(out, "`");
        }
    } else if (s->kind == SYMBOL_MODULE && s->value) {
        anl_text_add(out, " = `");
        add_syntax(out, s->value);
        anl_text_add(out, "`");
    }
    if (s->scope)
        anl_text_printf(out, " of `%s`", s->scope);
    if (s->kind == SYMBOL_PARAM)
        describe_param(out, s);
    add_paragraph(out, s->doc);
    if (s->kind == SYMBOL_FUNCTION)
        for (const symbol *part = NULL; (part = project_next(p, SYMBOL_NODE, s->name, NULL, part));)
            if (part->kind == SYMBOL_PARAM && part->doc)
                anl_text_printf(out, "\n- `%s`: %s", part->name, part->doc);
    if (s->kind == SYMBOL_FUNCTION)
        anl_text_printf(out, "\n\n*%s:%d*", base_name(s->span.file), s->span.line);
}

void describe_argument(anl_text *out, const anl_op_param *param)
{
    anl_text_printf(out, "`%s`: %s, %s", param->name, anl_op_param_words(param->kind), param->doc);
    if (param->fallback && strcmp(param->fallback, "none"))
        anl_text_printf(out, "; `%s` where it is not given", param->fallback);
}

void describe_operation(anl_text *out, const anl_builtin *b)
{
    anl_text_add(out, "**operation** `");
    anl_builtin_signature(out, b);
    anl_text_add(out, "`");
    add_paragraph(out, b->doc);
    anl_text_add(out, "\n");
    for (int i = 0; i < b->param_count; i++) {
        anl_text_add(out, "\n- ");
        describe_argument(out, &b->params[i]);
    }
    if (b->axes)
        anl_text_printf(out, "\n\nAxes of the result: %s.", b->axes);
    if (b->gradient)
        anl_text_printf(out, "\nGradient: %s.", b->gradient);
    if (b->example)
        anl_text_printf(out, "\n\nExample: `%s`", b->example);
}

void describe_key(anl_text *out, const anl_key *key)
{
    anl_text_printf(out, "**key** `%s`%s", key->name, key->required ? " (required)" : "");
    add_paragraph(out, key->doc);
    for (int i = 0; key->words && key->words[i]; i++)
        anl_text_printf(out, "%s`%s`", i ? ", " : "\n\nOne of ", key->words[i]);
}

/* ---- hover ---- */

static void add_count(anl_text *out, double count, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    int i = 0;
    for (; count >= 1000 && i + 1 < (int)ANL_COUNT(prefixes); i++)
        count /= 1000;
    anl_text_printf(out, count < 10 && i ? "%.2f %s%s" : count < 100 && i ? "%.1f %s%s" : "%.0f %s%s", count, prefixes[i], unit);
}

static void add_kept(anl_text *out, const kept_value *v)
{
    anl_text_printf(out, "`%s`", v->text);
    if (v->bytes) {
        anl_text_add(out, ", ");
        add_count(out, (double)v->bytes, "B");
    }
    if (v->flops > 0) {
        anl_text_add(out, ", computed with ");
        add_count(out, v->flops, "FLOP");
    }
}

static void add_values(anl_text *out, const kept_value *v, const char *what)
{
    enum { SHOWN = 6 };
    if (!v)
        return;
    anl_text_printf(out, "%s%s", out->length ? "\n\n" : "", what);
    if (!v->next) {
        anl_text_add(out, *what ? " " : "");
        add_kept(out, v);
        return;
    }
    int shown = 0, more = 0;
    for (; v; v = v->next) {
        if (shown == SHOWN) {
            more += 1 + v->others;
            continue;
        }
        anl_text_printf(out, "\n- in `%s`%s: ", *v->path ? v->path : "the spec", v->others ? " and others" : "");
        add_kept(out, v);
        shown++;
    }
    if (more)
        anl_text_printf(out, "\n- and %d more", more);
}

static void add_weights(anl_text *out, const anl_editor *editor, const char *glob)
{
    int64_t numbers = 0;
    int count = editor_weights(editor, glob, &numbers);
    if (!count)
        return;
    anl_text_printf(out, "%s%d weight%s: ", out->length ? "\n\n" : "", count, count == 1 ? "" : "s");
    add_count(out, (double)numbers, "");
    anl_text_add(out, numbers < 1000 ? "numbers" : " numbers");
}

/* What a symbol comes to, where it is defined. */
static const kept_value *values_of(const anl_editor *editor, const place_of_name *p, const symbol *s)
{
    for (int i = 0; i < p->project.count; i++) {
        if (strcmp(p->project.files[i]->path, s->span.file))
            continue;
        const kept_value *v = editor_values(editor, p->project.files[i], s->span);
        return v || !s->expression ? v : editor_values(editor, p->project.files[i], s->expression->span);
    }
    return NULL;
}

static void describe_mention(anl_text *out, const anl_editor *editor, const place_of_name *p, const char *glob)
{
    const target *t = &p->target;
    const mention *m = p->mention;
    const kept_value *here = editor_values(editor, p->file, m->span);
    switch (t->kind) {
    case TARGET_SYMBOL:
        describe_symbol(out, &p->project, t->symbol);
        if (m->kind == MENTION_CALLEE) {
            add_values(out, editor_values(editor, p->file, m->whole), "This call:");
        } else if (t->symbol->kind != SYMBOL_FUNCTION && t->symbol->kind != SYMBOL_MODULE) {
            /* where it is defined stands what it cost; that is all there is for an argument's name, too */
            const kept_value *there = values_of(editor, p, t->symbol);
            bool same = !here || (there && !there->next && !here->next && !strcmp(there->text, here->text));
            add_values(out, same ? there : here, "");
        }
        if (glob) {
            add_weights(out, editor, glob);
        } else if (t->symbol->kind == SYMBOL_MODULE) {
            anl_text below = {0};
            anl_text_printf(&below, "%s.*", t->symbol->name);
            add_weights(out, editor, below.data);
            anl_text_free(&below);
        }
        break;
    case TARGET_OPERATION:
        describe_operation(out, t->operation);
        add_values(out, m->kind == MENTION_CALLEE ? editor_values(editor, p->file, m->whole) : here, "This call:");
        break;
    case TARGET_ARGUMENT:
        anl_text_printf(out, "**argument** of `%s`\n\n", t->operation->name);
        describe_argument(out, t->param);
        break;
    case TARGET_FORM:
        anl_text_printf(out, "`%s`", form_find(t->name)->signature);
        add_paragraph(out, form_find(t->name)->doc);
        add_values(out, m->kind == MENTION_CALLEE ? editor_values(editor, p->file, m->whole) : here, "Here:");
        break;
    case TARGET_AXIS:
        if (m->kind == MENTION_MEMBER) /* x.channel is its size; what operations return may have members, too */
            here = editor_values(editor, p->file, m->whole);
        anl_text_printf(out, "**%s** `%s`", m->kind == MENTION_MEMBER && here && here->bytes ? "member" : "axis", t->name);
        add_values(out, m->kind == MENTION_MEMBER ? here : NULL, "");
        break;
    case TARGET_WORD:
    case TARGET_NONE:
        add_values(out, here, "");
        break;
    case TARGET_FILE:
        break;
    }
}

/* What of the tree a place is in: the keys that lead to it, and the scalar. */
typedef struct tree_place {
    const char *keys[ANL_SYNTAX_DEPTH + 1];
    int count;
    const anl_pair *key; /* the place is in the key of this pair; keys lead to its value */
    const anl_syntax *scalar;
} tree_place;

static bool tree_find(tree_place *t, const anl_syntax *s, const place_of_name *p)
{
    if (t->count == ANL_SYNTAX_DEPTH)
        return false;
    if (s->kind == ANL_Y_SCALAR) {
        t->scalar = p->offset >= s->start && p->offset <= s->end && s->source ? s : NULL;
        return t->scalar != NULL;
    }
    for (int i = 0; i < s->count; i++) {
        t->keys[t->count++] = s->kind == ANL_Y_LIST ? "-" : s->pairs[i].key;
        if (s->kind == ANL_Y_MAPPING && span_holds(s->pairs[i].key_span, p->line, p->column)) {
            t->key = &s->pairs[i];
            return true;
        }
        if (tree_find(t, s->kind == ANL_Y_LIST ? s->items[i] : s->pairs[i].value, p))
            return true;
        t->count--;
    }
    return false;
}

static const anl_span *extent_at(const outline *o, const place_of_name *p)
{
    const anl_span *found = NULL;
    for (int i = 0; i < o->extent_count; i++)
        if (span_holds(o->extents[i], p->line, p->column) && (!found || o->extents[i].length < found->length))
            found = &o->extents[i];
    return found;
}

const char *anl_editor_hover(anl_editor *editor, const char *path, size_t at, anl_span *range)
{
    anl_arena *arena = anl_editor_answer(editor);
    place_of_name p = place_find(editor, arena, path, at);
    const outline *o = editor_outline(editor, p.file);
    if (!o || !o->root || !p.line)
        return NULL;
    anl_text text = {0};
    tree_place t = {0};
    bool in_tree = tree_find(&t, o->root, &p);
    const anl_key *key = in_tree ? anl_key_find(t.keys, t.count) : NULL;
    if (p.mention) {
        *range = p.mention->span;
        describe_mention(&text, editor, &p, t.scalar && key && key->type == ANL_K_GLOB ? t.scalar->text : NULL);
        if (p.target.kind == TARGET_FILE) {
            const editor_file *file = editor_import(editor, p.file, p.target.name);
            anl_text_printf(&text, file ? "**file** %s" : "there is no such file", file ? file->path : "");
        }
    } else if (t.key && key) {
        *range = t.key->key_span;
        describe_key(&text, key);
    } else if (t.scalar && key && key->type == ANL_K_GLOB) {
        *range = t.scalar->span;
        add_weights(&text, editor, t.scalar->text);
    } else {
        const anl_span *extent = extent_at(o, &p);
        if (extent) {
            *range = *extent;
            add_values(&text, editor_values(editor, p.file, *extent), "");
        }
    }
    range->file = p.file->path;
    const char *copy = text.length ? anl_arena_text(arena, text.data) : NULL;
    anl_text_free(&text);
    return copy;
}
