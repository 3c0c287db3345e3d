/* The pages of the rules, taken apart.
 * In: the embedded texts (pages.c is made by embed.sh). Out: parts of a page, as stretches of its text.
 * A page is markdown with fixed sections; nothing here renders it. */
#include "rules.h"

#include <string.h>

static const rule_text *text_of(anl_code code)
{
    for (const rule_text *r = rule_texts; r->code; r++)
        if (r->code == code)
            return r;
    return NULL;
}

const char *rule_page(anl_code code)
{
    const rule_text *r = text_of(code);
    return r ? r->text : NULL;
}

const char *rule_about(anl_code code)
{
    const rule_text *r = text_of(code);
    return r ? r->shown : NULL;
}

static const char *line_end(const char *at)
{
    const char *end = strchr(at, '\n');
    return end ? end : at + strlen(at);
}

static const char *next_line(const char *at)
{
    const char *end = line_end(at);
    return *end ? end + 1 : end;
}

rule_part rule_title(const char *page) { return (rule_part){page, (size_t)(line_end(page) - page)}; }

/* Between the title and the first section. */
static rule_part lead(const char *page)
{
    const char *from = next_line(page);
    while (*from == '\n')
        from++;
    const char *to = strncmp(from, "## ", 3) ? strstr(from, "\n## ") : from;
    to = to ? to : from + strlen(from);
    while (to > from && to[-1] == '\n')
        to--;
    return (rule_part){from, (size_t)(to - from)};
}

/* The first line that begins with "KEY: ", or NULL. */
static const char *note_line(rule_part part, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = part.text; at < part.text + part.length; at = next_line(at))
        if (!strncmp(at, key, length) && !strncmp(at + length, ": ", 2))
            return at;
    return NULL;
}

rule_part rule_prose(const char *page)
{
    static const char *const keys[] = {"Source", "Also", "Options", "Tested"};
    rule_part prose = lead(page);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *note = note_line(prose, keys[i]);
        if (note)
            prose.length = (size_t)(note - prose.text);
    }
    while (prose.length && prose.text[prose.length - 1] == '\n')
        prose.length--;
    return prose;
}

rule_part rule_note(const char *page, const char *key)
{
    const char *at = note_line(lead(page), key);
    if (!at)
        return (rule_part){0};
    at += strlen(key) + 2;
    return (rule_part){at, (size_t)(line_end(at) - at)};
}

rule_part rule_example(const char *page, const char *section, int index, char name[64])
{
    const char *at = page;
    for (size_t length = strlen(section);; at = next_line(at)) {
        if (!*at)
            return (rule_part){0};
        if (!strncmp(at, "## ", 3) && !strncmp(at + 3, section, length) && at + 3 + length == line_end(at))
            break;
    }
    for (at = next_line(at); *at && strncmp(at, "## ", 3); at = next_line(at)) {
        if (strncmp(at, "```", 3))
            continue;
        const char *head = line_end(at), *space = memchr(at, ' ', (size_t)(head - at)), *from = next_line(at), *to = from;
        while (*to && strncmp(to, "```", 3))
            to = next_line(to);
        if (index-- == 0) {
            size_t length = space ? (size_t)(head - space - 1) : 0;
            strcpy(name, "spec.yaml");
            if (length && length < 64) {
                memcpy(name, space + 1, length);
                name[length] = 0;
            }
            return (rule_part){from, (size_t)(to - from)};
        }
        at = to;
    }
    return (rule_part){0};
}
