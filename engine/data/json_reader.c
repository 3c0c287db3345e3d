/* The little JSON (RFC 8259) that reading manifests takes.
 * In: text. Out: its values as they come, or a tree of them.
 * What is not well-formed sets `bad`; nothing is guessed at. */
#include "data/json_reader.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NESTED 32

static void skip_space(anl_json_reader *j)
{
    while (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r')
        j->at++;
}

bool anl_json_take(anl_json_reader *j, char c)
{
    skip_space(j);
    if (*j->at != c)
        return false;
    j->at++;
    return true;
}

/* Goes past a string and adds it to text. */
static void read_string(anl_json_reader *j, anl_text *text)
{
    if (!anl_json_take(j, '"')) {
        j->bad = true;
        return;
    }
    while (!j->bad && *j->at != '"') {
        if ((unsigned char)*j->at < 0x20)
            j->bad = true;
        else if (*j->at != '\\') {
            size_t run = 1;
            while ((unsigned char)j->at[run] >= 0x20 && j->at[run] != '"' && j->at[run] != '\\')
                run++;
            anl_text_addn(text, j->at, run);
            j->at += run;
        } else {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            const char *found = j->at[1] ? strchr(from, j->at[1]) : NULL;
            if (found) {
                anl_text_addn(text, &to[found - from], 1);
                j->at += 2;
            } else {
                unsigned code = 0;
                int digits = 0;
                if (j->at[1] == 'u')
                    while (digits < 4 && j->at[2 + digits] && strchr("0123456789abcdefABCDEF", j->at[2 + digits])) {
                        char digit[2] = {j->at[2 + digits], 0};
                        code = code * 16 + (unsigned)strtoul(digit, NULL, 16);
                        digits++;
                    }
                if (digits != 4 || code == 0 || code >= 0x80) {
                    j->bad = true;
                    break;
                }
                char byte = (char)code;
                anl_text_addn(text, &byte, 1);
                j->at += 6;
            }
        }
    }
    if (!j->bad)
        j->at++;
}

const char *anl_json_take_string(anl_json_reader *j)
{
    anl_text text = {0};
    read_string(j, &text);
    const char *kept = anl_arena_text(j->arena, text.data ? text.data : "");
    anl_text_free(&text);
    return kept;
}

/* What is skipped takes no memory: in the manifest of 100,000 shards that is most of it. */
static void skip_string(anl_json_reader *j)
{
    anl_text text = {0};
    read_string(j, &text);
    anl_text_free(&text);
}


static void skip_nested(anl_json_reader *j, int depth)
{
    skip_space(j);
    if (depth > MOST_NESTED)
        j->bad = true;
    else if (*j->at == '"')
        skip_string(j);
    else if (*j->at == '{' || *j->at == '[') {
        bool object = *j->at == '{';
        char end = object ? '}' : ']';
        j->at++;
        if (anl_json_take(j, end))
            return;
        do {
            if (object) {
                skip_string(j);
                if (!anl_json_take(j, ':'))
                    j->bad = true;
            }
            if (!j->bad)
                skip_nested(j, depth + 1);
        } while (!j->bad && anl_json_take(j, ','));
        if (!j->bad && !anl_json_take(j, end))
            j->bad = true;
    } else {
        size_t length = strspn(j->at, "+-.0123456789eEaflnrstu"); /* numbers, true, false, null */
        if (length == 0)
            j->bad = true;
        j->at += length;
    }
}

void anl_json_skip_value(anl_json_reader *j) { skip_nested(j, 0); }

int64_t anl_json_take_integer(anl_json_reader *j)
{
    skip_space(j);
    char *end;
    long long value = strtoll(j->at, &end, 10);
    if (end == j->at || value < 0)
        j->bad = true;
    j->at = end;
    return value;
}

static anl_json_value *tree(anl_json_reader *j, const char *key, int depth)
{
    anl_json_value *v = ANL_NEW(j->arena, anl_json_value);
    v->key = key;
    skip_space(j);
    if (depth > MOST_NESTED)
        j->bad = true;
    else if (*j->at == '"') {
        v->kind = ANL_JSON_TEXT;
        v->text = anl_json_take_string(j);
    } else if (*j->at == '{' || *j->at == '[') {
        const bool object = *j->at == '{';
        const char end = object ? '}' : ']';
        anl_json_value **next = &v->first;
        v->kind = object ? ANL_JSON_OBJECT : ANL_JSON_ARRAY;
        j->at++;
        if (anl_json_take(j, end))
            return v;
        do {
            const char *name = object ? anl_json_take_string(j) : NULL;
            if (object && !anl_json_take(j, ':'))
                j->bad = true;
            if (!j->bad) {
                *next = tree(j, name, depth + 1);
                next = &(*next)->next;
            }
        } while (!j->bad && anl_json_take(j, ','));
        if (!j->bad && !anl_json_take(j, end))
            j->bad = true;
    } else {
        const char *from = j->at;
        anl_json_skip_value(j);
        v->kind = ANL_JSON_NUMBER;
        v->text = anl_arena_copy(j->arena, from, (size_t)(j->at - from));
        char *end;
        v->number = strtod(v->text, &end); /* true, false, null: 0, and their text */
    }
    return v;
}

const anl_json_value *anl_json_tree(anl_arena *arena, const char *text)
{
    anl_json_reader j = {.arena = arena, .at = text};
    const anl_json_value *v = tree(&j, NULL, 0);
    skip_space(&j);
    return j.bad || *j.at ? NULL : v;
}

const anl_json_value *anl_json_child(const anl_json_value *v, const char *key)
{
    for (const anl_json_value *c = v ? v->first : NULL; c; c = c->next)
        if (c->key && !strcmp(c->key, key))
            return c;
    return NULL;
}

const char *anl_json_text_of(const anl_json_value *v, const char *key)
{
    const anl_json_value *c = anl_json_child(v, key);
    return c && c->text ? c->text : "";
}

double anl_json_number_of(const anl_json_value *v, const char *key)
{
    const anl_json_value *c = anl_json_child(v, key);
    return c && c->kind == ANL_JSON_NUMBER ? c->number : 0;
}
