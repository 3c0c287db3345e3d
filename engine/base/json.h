/* A streaming writer of JSON (RFC 8259).
 * In: values in the order they shall appear. Out: text with correct escapes, numbers that read back as the same double.
 * Not thread-safe: one writer per thread. */
#ifndef ANL_BASE_JSON_H
#define ANL_BASE_JSON_H

#include "base/base.h"

enum { ANL_JSON_DEPTH = 64 };

/* Start with {.text = &text}. In an object every value needs a key; in an array and at the top, key is NULL. */
typedef struct anl_json {
    anl_text *text;
    bool pretty; /* one value per line, indented by two spaces */
    int depth;
    bool filled[ANL_JSON_DEPTH]; /* whether the open object or array holds something */
} anl_json;

void anl_json_object(anl_json *json, const char *key);
void anl_json_object_end(anl_json *json);
void anl_json_array(anl_json *json, const char *key);
void anl_json_array_end(anl_json *json);
/* NULL is written as null; bytes that are not UTF-8 become U+FFFD. */
void anl_json_string(anl_json *json, const char *key, const char *value);
/* The shortest form that reads back as the same double. JSON has no NaN and no infinity: those become null. */
void anl_json_number(anl_json *json, const char *key, double value);
void anl_json_integer(anl_json *json, const char *key, int64_t value);
void anl_json_bool(anl_json *json, const char *key, bool value);
void anl_json_null(anl_json *json, const char *key);

/* The shortest decimal form that reads back as the same double ("0.1", "1e+300", "nan"), whatever the locale. */
void anl_number_text(double value, char out[32]);

#endif
