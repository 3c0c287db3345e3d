/* What the files that read a recipe share: the reader's state, keys of mappings, values.
 * In: nothing. Out: declarations.
 * Internal to spec/. */
#ifndef ANL_SPEC_READER_H
#define ANL_SPEC_READER_H

#include "spec/keys.h"
#include "spec/syntax.h"

typedef struct loaded_file {
    const char *name, *identity; /* as shown; its real path */
    bool open;                   /* being read: importing it again is a loop */
    bool sections;               /* it holds more than functions */
    int *imports;                /* positions in reader.files */
    int import_count, import_capacity;
} loaded_file;

/* One entry of a `params:` or `functions:` section, in the order of the files. */
typedef struct entry {
    anl_pair pair;
    const char *file;
} entry;

typedef struct reader {
    anl_arena *arena;
    anl_diagnostics *diagnostics;
    anl_recipe *recipe;
    const char *library;
    const anl_document *documents; /* texts that stand for files */
    int document_count;
    loaded_file *files;
    int file_count, file_capacity;
    entry *params, *functions;
    int param_count, param_capacity, function_count, function_capacity;
    anl_syntax *sections[SECTION_COUNT];
    anl_span section_spans[SECTION_COUNT];
    int capacities[12];
} reader;

/* What a mapping has behind one of its keys. */
typedef struct key {
    const anl_key *about;
    anl_syntax *value; /* NULL: not there */
    anl_span span;     /* of the key; no line: not there */
} key;

/* Names of one scope, for duplicates over its sections. */
typedef struct scope {
    struct {
        const char *name, *what;
        anl_span span;
    } * names;
    int count, capacity;
} scope;

/* keys.c */
/* Reports a node of the wrong kind; nothing where it is reported already. remedy may be NULL. */
void anl_reader_wrong_kind(reader *r, const anl_syntax *s, anl_span where, const char *expected, const char *remedy);
/* False after a diagnostic: not a name. */
bool anl_reader_check_name(reader *r, const char *what, const char *name, anl_span span);
/* Fills keys, one for each that the mapping may have; unknown, empty and missing ones are reported. False: no mapping. */
bool anl_reader_keys(reader *r, const anl_syntax *s, anl_span where, const char *what, const anl_keys *about, key *keys);
/* A plain text (doc, title, unit), or NULL. */
const char *anl_reader_text(reader *r, const key *k);
/* A word out of the few that the key allows, or NULL. */
const char *anl_reader_word(reader *r, const key *k);
/* true or false. */
bool anl_reader_truth(reader *r, const key *k);

/* values.c */
anl_expression *anl_reader_make(reader *r, anl_expression_kind kind, anl_span span);
anl_expression *anl_reader_make_text(reader *r, const char *text, anl_span span);
/* A value: an expression, a YAML list of values or, with mappings, a mapping of values. */
anl_expression *anl_reader_value(reader *r, const anl_syntax *s, anl_span where, bool mappings);
/* A node: an expression or a pipeline. */
anl_expression *anl_reader_node(reader *r, const anl_syntax *s, anl_span where);
anl_expression *anl_reader_node_key(reader *r, const key *k);
anl_expression *anl_reader_value_key(reader *r, const key *k);
/* Of the recipe; NULL: none. */
const anl_param *anl_reader_find_param(const reader *r, const char *name);
/* A path: the unquoted name of a param, or the text as it stands. */
anl_expression *anl_reader_path_key(reader *r, const key *k);
/* A time in steps or epochs; a bare number is refused. */
anl_expression *anl_reader_duration_key(reader *r, const key *k);
/* [channel, ~space, ...rest] */
void anl_reader_signature(reader *r, const anl_syntax *s, anl_span where, anl_input *input);
/* {channel: 1, ~space: kernel}; returns how many. */
int anl_reader_axes(reader *r, const key *k, anl_axis_pattern **axes);

/* params.c */
/* The number of an expression of literals and params; false: not known here. */
bool anl_reader_evaluate(const reader *r, const anl_expression *e, int depth, double *value);
/* One param, new or again (overridden in the parts that are given). */
void anl_reader_param(reader *r, const anl_pair *pair, anl_param *param, bool again);
/* All params of the spec, from all of its files. */
void anl_reader_params(reader *r);
/* --set, then types, ranges and missing values. */
void anl_reader_overrides(reader *r, const anl_override *overrides, int count);

/* functions.c */
void anl_reader_declarations(reader *r, const key *k, bool is_weight, anl_declaration **list, int *count, int *capacity);
void anl_reader_named(reader *r, const anl_syntax *s, anl_span where, const char *what, anl_named **list, int *count);
/* False after a diagnostic: the name is taken in this scope. */
bool anl_reader_declare(reader *r, scope *s, const char *name, const char *what, anl_span span);
/* All functions, from all files. */
void anl_reader_functions(reader *r);

/* sections.c */
/* All sections of the merged files. */
void anl_reader_sections(reader *r);

/* Drops the items of a list whose name is taken: they are reported, and what comes of them would only confuse. */
#define KEEP_NEW(list, count, what)                                                                                              \
    do {                                                                                                                         \
        int kept = 0;                                                                                                            \
        for (int i = 0; i < (count); i++)                                                                                        \
            if (anl_reader_declare(r, &names, (list)[i].name, what, (list)[i].span))                                             \
                (list)[kept++] = (list)[i];                                                                                      \
        (count) = kept;                                                                                                          \
    } while (0)

#endif
