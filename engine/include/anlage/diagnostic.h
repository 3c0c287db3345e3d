/* Diagnostics: problems as values, with code, place, cause and remedy.
 * A fallible function adds to its caller's list and returns a status; nothing is printed from inside the engine.
 * Not thread-safe: one list per thread. */
#ifndef ANLAGE_DIAGNOSTIC_H
#define ANLAGE_DIAGNOSTIC_H

#include <anlage/diagnostic_codes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a source file. Lines and columns count from 1; line 0 means "no place" (file may still be set). */
typedef struct anl_span {
    const char *file; /* as the user named it; lives as long as the diagnostics or spec that owns it */
    int line, column;
    int length; /* bytes on that line; at least 1 where line > 0 */
} anl_span;

typedef enum anl_severity { ANL_NOTE, ANL_WARNING, ANL_ERROR } anl_severity;

/* Every code once: X(number, severity, short name). Families: 01 text, 02 names, 03 types and units, 04 axes, 05 graph,
 * 06 program and memory, 07 device, 08 data, 09 run. Listed in diagnostic_codes.h. */
typedef int anl_code;

typedef struct anl_label {
    anl_span span;
    const char *text;
} anl_label;

typedef struct anl_diagnostic {
    anl_code code; /* printed as A0123 */
    anl_severity severity;
    anl_span span;
    const char *message;
    anl_label *labels; /* secondary places, in order */
    int label_count, label_capacity;
    const char **notes;
    int note_count, note_capacity;
    const char *suggestion; /* "did you mean `momentum`?" or NULL */
} anl_diagnostic;

typedef struct anl_diagnostics anl_diagnostics;

anl_diagnostics *anl_diagnostics_new(void);
void anl_diagnostics_free(anl_diagnostics **list);
/* Adds a problem and returns it for labels and notes. An identical one (code, place, message) is added once. All texts are copied. */
anl_diagnostic *anl_diagnose(anl_diagnostics *list, anl_code code, anl_span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void anl_diagnostic_label(anl_diagnostics *list, anl_diagnostic *d, anl_span span, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void anl_diagnostic_note(anl_diagnostics *list, anl_diagnostic *d, const char *format, ...) __attribute__((format(printf, 3, 4)));
void anl_diagnostic_suggest(anl_diagnostics *list, anl_diagnostic *d, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Keeps the text of a source file, so that its lines can be shown. */
void anl_diagnostics_source(anl_diagnostics *list, const char *file, const char *text, size_t length);

int anl_diagnostics_count(const anl_diagnostics *list);
const anl_diagnostic *anl_diagnostics_get(const anl_diagnostics *list, int index);
int anl_diagnostics_errors(const anl_diagnostics *list);
int anl_diagnostics_warnings(const anl_diagnostics *list);
/* file:line:col: error[A0123]: message, the source line, a caret, labels, notes and suggestion; sorted by file order and line. */
void anl_diagnostics_print(const anl_diagnostics *list, FILE *out, bool colour);
const char *anl_code_name(anl_code code); /* "unknown_key" */

#endif
