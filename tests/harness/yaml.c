/* Trees of YAML and their writing in a random layout.
 * In: mappings, lists and scalars. Out: a text. A value that stands twice in the tree may be written once, with an anchor.
 * Flow style is chosen for whole subtrees; scalars are quoted where their place asks for it, and sometimes where it does not. */
#include "yaml.h"

#include <string.h>

static yaml *scalar(anl_arena *arena, const char *format, va_list args)
{
    anl_text text = {0};
    anl_text_vprintf(&text, format, args);
    yaml *s = ANL_NEW(arena, yaml);
    s->text = anl_arena_copy(arena, text.data, text.length);
    anl_text_free(&text);
    return s;
}

yaml *yaml_scalar(anl_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    yaml *s = scalar(arena, format, args);
    va_end(args);
    return s;
}

yaml *yaml_bare(anl_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    yaml *s = scalar(arena, format, args);
    va_end(args);
    s->bare = true;
    return s;
}

yaml *yaml_text(anl_arena *arena, const char *text)
{
    yaml *s = yaml_scalar(arena, "%s", text);
    s->quoted = true;
    return s;
}

yaml *yaml_list(anl_arena *arena)
{
    yaml *s = ANL_NEW(arena, yaml);
    s->kind = YAML_LIST;
    return s;
}

yaml *yaml_mapping(anl_arena *arena)
{
    yaml *s = ANL_NEW(arena, yaml);
    s->kind = YAML_MAPPING;
    return s;
}

yaml *yaml_add(anl_arena *arena, yaml *list, yaml *item)
{
    ANL_PUSH(arena, list->items, list->count, list->capacity, item);
    item->times++;
    return item;
}

yaml *yaml_put(anl_arena *arena, yaml *mapping, const char *key, yaml *value)
{
    int count = mapping->count;
    ANL_PUSH(arena, mapping->keys, count, mapping->key_capacity, key);
    return yaml_add(arena, mapping, value);
}

typedef struct writer {
    anl_text *out;
    uint64_t *random;
    int anchors;
} writer;

static bool chance(writer *w, int percent) { return draw_chance(w->random, percent); }

static void comment(writer *w)
{
    static const char *const texts[] = {"why", "see above", "x: y", "\"quoted\"", "[1, 2", "Röntgen", "- no step"};
    anl_text_printf(w->out, "#%s%s", chance(w, 80) ? " " : "", texts[draw_below(w->random, (int)ANL_COUNT(texts))]);
}

static void end_line(writer *w)
{
    if (chance(w, 8)) {
        anl_text_add(w->out, "  ");
        comment(w);
    } else if (chance(w, 3)) {
        anl_text_add(w->out, "  ");
    }
    anl_text_add(w->out, "\n");
    if (chance(w, 3))
        anl_text_add(w->out, "\n");
}

static void blanks(writer *w, int count)
{
    for (int i = 0; i < count; i++)
        anl_text_add(w->out, " ");
}

static bool plain_in(const char *text, bool flow)
{
    const bool first = (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= '0' && text[0] <= '9') ||
                       text[0] == '_' || text[0] == '(' || text[0] == '.' || text[0] == '~' || (text[0] == '-' && text[1] != ' ' && text[1]);
    return first && !strstr(text, ": ") && !strstr(text, " #") && !(flow && strpbrk(text, ",[]{}:#"));
}

static void write_scalar(writer *w, const yaml *s, bool flow)
{
    const bool plain = !s->quoted && plain_in(s->text, flow);
    if (s->bare || (plain && !chance(w, 12))) {
        anl_text_add(w->out, s->text);
        return;
    }
    const char quote = chance(w, 75) ? '"' : '\'';
    anl_text_printf(w->out, "%c%s%c", quote, s->text, quote); /* neither quotes nor backslashes stand in the texts */
}

/* "&n1 " at the first of several places; at the others the alias, and true. */
static bool write_alias(writer *w, yaml *s)
{
    if (s->times < 2 || s->anchor < 0)
        return false;
    if (s->anchor) {
        anl_text_printf(w->out, "*n%d", s->anchor);
        return true;
    }
    s->anchor = ++w->anchors;
    anl_text_printf(w->out, "&n%d ", s->anchor);
    return false;
}

static void write_flow(writer *w, yaml *s, int indent)
{
    if (write_alias(w, s))
        return;
    if (s->kind == YAML_SCALAR) {
        write_scalar(w, s, true);
        return;
    }
    const bool list = s->kind == YAML_LIST;
    anl_text_add(w->out, list ? "[" : "{");
    if (chance(w, 8))
        anl_text_add(w->out, " ");
    for (int i = 0; i < s->count; i++) {
        if (i) {
            anl_text_add(w->out, ",");
            if (chance(w, 4)) {
                anl_text_add(w->out, "\n");
                blanks(w, indent + 2 + draw_below(w->random, 4));
            } else if (!chance(w, 4)) {
                anl_text_add(w->out, " ");
            } else {
                anl_text_add(w->out, "  ");
            }
        }
        if (!list)
            anl_text_printf(w->out, "%s: ", s->keys[i]);
        write_flow(w, s->items[i], indent);
    }
    anl_text_add(w->out, list ? "]" : "}");
}

static int weight(const yaml *s)
{
    int sum = s->kind == YAML_SCALAR ? (int)strlen(s->text) : 4;
    for (int i = 0; i < s->count; i++)
        sum += weight(s->items[i]) + 4;
    return sum;
}

static void write_block(writer *w, yaml *s, int indent, bool here);

/* What stands behind `key:` or `-`. */
static void write_value(writer *w, yaml *s, int indent, int step)
{
    const int size = weight(s);
    if (s->kind == YAML_SCALAR && !s->bare && !s->quoted && !strchr(s->text, '#') && chance(w, 3)) {
        anl_text_add(w->out, chance(w, 50) ? " >-\n" : " |-\n");
        blanks(w, indent + step);
        anl_text_printf(w->out, "%s\n", s->text);
    } else if (s->kind == YAML_SCALAR) {
        blanks(w, 1 + (chance(w, 4) ? 2 : 0));
        write_scalar(w, s, false);
        end_line(w);
    } else if (!s->count || s->anchor > 0 || chance(w, size < 60 ? 80 : size < 120 ? 50 : 5)) {
        anl_text_add(w->out, " ");
        write_flow(w, s, indent);
        end_line(w);
    } else {
        if (s->times > 1) {
            anl_text_add(w->out, " ");
            write_alias(w, s);
        }
        end_line(w);
        write_block(w, s, indent + step, false);
    }
}

/* here: the first line's indentation is written already (behind a `-`). */
static void write_block(writer *w, yaml *s, int indent, bool here)
{
    const int step = chance(w, 85) ? 2 : 1 + draw_below(w->random, 4);
    for (int i = 0; i < s->count; i++) {
        if (!here && chance(w, 6)) {
            /* no deeper than the entry: under a block scalar it would be part of the text */
            blanks(w, chance(w, 70) ? indent : draw_below(w->random, indent + 1));
            comment(w);
            anl_text_add(w->out, "\n");
        }
        if (!here)
            blanks(w, indent);
        here = false;
        yaml *item = s->items[i];
        if (s->kind == YAML_MAPPING) {
            anl_text_printf(w->out, chance(w, 3) ? "\"%s\":" : "%s:", s->keys[i]);
            write_value(w, item, indent, step);
            continue;
        }
        anl_text_add(w->out, "-");
        if (item->kind == YAML_MAPPING && item->count && item->times < 2 && chance(w, 60)) {
            const int by = 1 + (chance(w, 10) ? draw_below(w->random, 3) : 0);
            blanks(w, by);
            write_block(w, item, indent + 1 + by, true);
        } else {
            write_value(w, item, indent, step);
        }
    }
}

void yaml_write(const yaml *tree, uint64_t *random, anl_text *out)
{
    writer w = {.out = out, .random = random};
    if (chance(&w, 20)) {
        comment(&w);
        anl_text_add(out, "\n");
    }
    write_block(&w, (yaml *)tree, 0, false);
}
