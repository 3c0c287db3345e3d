/* YAML text to a tree with marks, and the way from an expression inside a scalar back to its place in the file.
 * In: the bytes of one file. Out: anl_syntax (recipe.h) whose scalars know their exact bytes in the file.
 * Internal to spec/; recipe.h is what other layers see. */
#ifndef ANL_SPEC_SYNTAX_H
#define ANL_SPEC_SYNTAX_H

#include "spec/recipe.h"

enum {
    ANL_SYNTAX_DEPTH = 100,      /* of nested lists and mappings, and of nested parentheses in an expression */
    ANL_SYNTAX_NODES = 100000,   /* values of one file after its aliases are expanded */
    ANL_SYNTAX_BYTES = 4 << 20,  /* of one file */
    ANL_EXPRESSION_DEPTH = 1000, /* of an expression's tree: a long sum is a deep tree without nested parentheses */
};

/* One file's text, and where its lines begin. */
typedef struct anl_source_file {
    const char *file; /* as the user named it */
    const char *text; /* NUL-terminated, without a byte order mark */
    size_t length;
    size_t *lines; /* offset of each line's first byte */
    int line_count;
    size_t *characters; /* character index (what libyaml counts) -> offset in bytes; NULL where all is ASCII */
    size_t character_count;
} anl_source_file;

/* The source of a piece of text that is read as an expression: byte i of the text stands at offsets[i] of the file. */
typedef struct anl_text_map {
    const anl_source_file *source; /* NULL: the text stands at `at`, as it is */
    const size_t *offsets;         /* one more than the text has bytes */
    anl_span at;
} anl_text_map;

anl_span anl_source_span(const anl_source_file *source, size_t start, size_t end);

/* Where an import is looked for, in this order; NULLs at the end. importer: the path of the file that imports. */
enum { ANL_IMPORT_PLACES = 3 };
void anl_import_places(anl_arena *arena, const char *importer, const char *text, const char *library,
                       const char *places[ANL_IMPORT_PLACES]);

/* The tree of a text. NULL after a diagnostic where it cannot be read as YAML. */
anl_syntax *anl_syntax_parse(anl_arena *arena, const char *file, const char *text, size_t length, anl_diagnostics *diagnostics);
/* The place of each byte of a scalar's text. */
anl_text_map anl_syntax_map(anl_arena *arena, const anl_syntax *scalar);
/* A scalar that other YAML readers would take for a truth value or for nothing, where a text is read: A0118. what: "`mask:`". */
void anl_trap_text(anl_diagnostics *diagnostics, const anl_syntax *s, const char *what);
/* `key:value` without the blank that makes two of it: A0119. at: where the text stands in the source. False: it is none. */
bool anl_trap_blank(anl_diagnostics *diagnostics, const anl_source_file *source, size_t at, const char *text, size_t length);
bool anl_syntax_null(const anl_syntax *s); /* nothing was written */

/* A value as it stands, without diagnostics: for editors, which read files one by one. A list is one of values or, where steps may
 * stand, a pipeline. */
anl_expression *anl_syntax_expression(anl_arena *arena, const anl_syntax *s, anl_span where, bool steps);

/* The expression of a text; of kind ANL_E_ERROR after a diagnostic, never NULL. */
anl_expression *anl_expression_read(anl_arena *arena, const char *text, const anl_text_map *map, anl_diagnostics *diagnostics);
bool anl_name_valid(const char *text); /* a letter or _, then letters, digits and _; not a word of the expression language */
bool anl_expression_uses(const anl_expression *e, const char *name);
/* The text of an expression that can be read, with blanks where they are usual and its line ends kept. */
void anl_expression_layout(anl_arena *arena, const char *text, anl_diagnostics *diagnostics, anl_text *out);

#endif
