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

bool anl_span_same(anl_span a, anl_span b); /* whether both begin at one place */

typedef enum anl_severity { ANL_NOTE, ANL_WARNING, ANL_ERROR } anl_severity;

/* Every code once: X(number, severity, short name). Families: 01 text, 02 names, 03 types and units, 04 axes, 05 graph,
 * 06 program and memory, 07 device, 08 data, 09 run. Listed in diagnostic_codes.h. */
typedef int anl_code;

typedef struct anl_label {
    anl_span span;
    const char *text;
} anl_label;

/* How surely a fix does what the author meant. SAFE: the meaning is what it plainly was, or the only one that can be; applied by
 * `lint --fix`. MAYBE: likely, for a person to say yes to. PLACEHOLDERS: holds parts in <angle brackets> that must be filled in. */
typedef enum anl_applicability { ANL_FIX_SAFE, ANL_FIX_MAYBE, ANL_FIX_PLACEHOLDERS } anl_applicability;

/* The bytes of a span become text. Here the span's length may be 0 (insertion) and may go over the ends of lines. */
typedef struct anl_edit {
    anl_span span;
    const char *text;
} anl_edit;

typedef struct anl_fix {
    anl_applicability applicability;
    const char *title; /* "rename to `momentum`" */
    anl_edit *edits;   /* do not overlap; all or none are to be made */
    int edit_count, edit_capacity;
} anl_fix;

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
    anl_fix *fixes;         /* the best first */
    int fix_count, fix_capacity;
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
/* A change of the text that mends it. Give the fix its edits at once: the pointer is good until the diagnostic's next fix. A problem
 * that is reported again keeps its first fixes: NULL then, which anl_fix_edit takes. */
anl_fix *anl_diagnostic_fix(anl_diagnostics *list, anl_diagnostic *d, anl_applicability applicability, const char *title, ...)
    __attribute__((format(printf, 4, 5)));
void anl_fix_edit(anl_diagnostics *list, anl_fix *fix, anl_span span, const char *text);
/* The commonest fix: the name at span becomes another. Sets the suggestion "did you mean `name`?" too. */
void anl_diagnostic_rename(anl_diagnostics *list, anl_diagnostic *d, anl_applicability applicability, anl_span span, const char *name);
/* The nearest of names to a word that nothing knows, as the suggestion and, where the word stands at span (or at its end), as a fix.
 * vocabulary: the names are all that there can ever be, so that a single slip with no other name near is plain: a safe fix.
 * Returns the name, or NULL where none is near. */
const char *anl_diagnostic_nearest(anl_diagnostics *list, anl_diagnostic *d, anl_span span, const char *word, const char *const *names,
                                   int count, bool vocabulary);

/* Keeps the text of a source file, so that its lines can be shown. */
void anl_diagnostics_source(anl_diagnostics *list, const char *file, const char *text, size_t length);

int anl_diagnostics_count(const anl_diagnostics *list);
const anl_diagnostic *anl_diagnostics_get(const anl_diagnostics *list, int index);
int anl_diagnostics_errors(const anl_diagnostics *list);
int anl_diagnostics_warnings(const anl_diagnostics *list);
/* file:line:col: error[A0123]: message, the source line, a caret, labels, notes and suggestion; sorted by file order and line. */
void anl_diagnostics_print(const anl_diagnostics *list, FILE *out, bool colour);
/* The same report for programs. JSON: an object {"version": 1, "diagnostics": [...]}, described in specs/README.md. SARIF: 2.1.0.
 * GITHUB: workflow commands, one line each. about: the page of a code for SARIF's rules (markdown, its first line the title), or NULL. */
typedef enum anl_report_format { ANL_REPORT_TEXT, ANL_REPORT_JSON, ANL_REPORT_SARIF, ANL_REPORT_GITHUB } anl_report_format;
void anl_diagnostics_write(const anl_diagnostics *list, anl_report_format format, const char *(*about)(anl_code code), FILE *out);
/* Adds all of another list, with its source texts: one report over several specs. */
void anl_diagnostics_append(anl_diagnostics *list, const anl_diagnostics *other);
/* Takes away every diagnostic for which drop says so, and counts anew. */
void anl_diagnostics_filter(anl_diagnostics *list, bool (*drop)(void *context, const anl_diagnostic *d), void *context);
/* The text of a source file, or NULL where it is known by name only. Lives as long as the list. */
int anl_diagnostics_source_count(const anl_diagnostics *list);
const char *anl_diagnostics_source_name(const anl_diagnostics *list, int index);
const char *anl_diagnostics_text(const anl_diagnostics *list, const char *file, size_t *length);

const char *anl_code_name(anl_code code); /* "unknown_key" */
anl_severity anl_code_severity(anl_code code);
/* Codes that only a defect of anlage itself gives: no spec can. Their diagnostics say so in a note. */
bool anl_code_internal(anl_code code);
/* Every code, in ascending order; 0 beyond the last. */
anl_code anl_code_at(int index);

#endif
