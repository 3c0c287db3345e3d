/* A streaming writer of JSON (RFC 8259).
 * In: values in the order they shall appear. Out: text with correct escapes, numbers that read back as the same double.
 * Commas and indentation follow from a stack of open objects and arrays. */
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_string(anl_text *text, const char *value)
{
    anl_text_add(text, "\"");
    size_t rest = strlen(value);
    while (rest) {
        size_t good = rest, bad = 0;
        if (!anl_utf8_valid(value, rest, &bad))
            good = bad;
        for (size_t i = 0; i < good; i++) {
            unsigned char c = (unsigned char)value[i];
            const char *named = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
            if (named)
                anl_text_add(text, named);
            else if (c < 0x20 || c == 0x7F)
                anl_text_printf(text, "\\u%04x", c);
            else
                anl_text_addn(text, value + i, 1);
        }
        value += good;
        rest -= good;
        if (rest) { /* the byte that is not UTF-8 */
            anl_text_add(text, "\\ufffd");
            value++;
            rest--;
        }
    }
    anl_text_add(text, "\"");
}

static void new_line(anl_json *json)
{
    if (json->pretty)
        anl_text_printf(json->text, "\n%*s", 2 * json->depth, "");
}

/* What comes before any value: a comma after the one before it, a line, the key. */
static void begin_value(anl_json *json, const char *key)
{
    if (json->depth) {
        bool *filled = &json->filled[json->depth - 1];
        if (*filled)
            anl_text_add(json->text, json->pretty ? "," : ", ");
        *filled = true;
        new_line(json);
    }
    if (key) {
        add_string(json->text, key);
        anl_text_add(json->text, ": ");
    }
}

static void open_nest(anl_json *json, const char *key, const char *bracket)
{
    assert(json->depth < ANL_JSON_DEPTH);
    begin_value(json, key);
    anl_text_add(json->text, bracket);
    json->filled[json->depth++] = false;
}

static void close_nest(anl_json *json, const char *bracket)
{
    assert(json->depth > 0);
    bool filled = json->filled[--json->depth];
    if (filled)
        new_line(json);
    anl_text_add(json->text, bracket);
}

void anl_json_object(anl_json *json, const char *key) { open_nest(json, key, "{"); }
void anl_json_object_end(anl_json *json) { close_nest(json, "}"); }
void anl_json_array(anl_json *json, const char *key) { open_nest(json, key, "["); }
void anl_json_array_end(anl_json *json) { close_nest(json, "]"); }

void anl_json_string(anl_json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        add_string(json->text, value);
    else
        anl_text_add(json->text, "null");
}

void anl_number_text(double value, char out[32])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (digits == 17 || strtod(out, NULL) == value)
            break;
    }
    for (char *c = out; *c; c++) /* a program that embeds the engine may have set a locale */
        if (*c == ',')
            *c = '.';
}

void anl_json_number(anl_json *json, const char *key, double value)
{
    char digits[32] = "null";
    if (isfinite(value))
        anl_number_text(value, digits);
    begin_value(json, key);
    anl_text_add(json->text, digits);
}

void anl_json_integer(anl_json *json, const char *key, int64_t value)
{
    begin_value(json, key);
    anl_text_printf(json->text, "%lld", (long long)value);
}

void anl_json_bool(anl_json *json, const char *key, bool value)
{
    begin_value(json, key);
    anl_text_add(json->text, value ? "true" : "false");
}

void anl_json_null(anl_json *json, const char *key)
{
    begin_value(json, key);
    anl_text_add(json->text, "null");
}
