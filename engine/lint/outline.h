/* The outline of one file: what it defines, and every name that stands in it.
 * In: its text. Out: symbols and mentions with their places; what a mention means is found in lint/project.h, with the imports.
 * Read by itself: neither imports nor a sound text are needed. Internal to lint/. */
#ifndef ANL_LINT_OUTLINE_H
#define ANL_LINT_OUTLINE_H

#include "spec/keys.h"
#include "spec/recipe.h"

/* Also the order of a function's symbols: inputs stand before params. */
typedef enum symbol_kind {
    SYMBOL_FUNCTION,
    SYMBOL_INPUT,
    SYMBOL_REST, /* `...rest` of a signature, a name for axes */
    SYMBOL_PARAM,
    SYMBOL_WEIGHT,
    SYMBOL_STATE,
    SYMBOL_NODE,
    SYMBOL_MEMBER, /* of a function's result */
    SYMBOL_COUNTER,
    SYMBOL_FIELD,
    SYMBOL_MASK,
    SYMBOL_VIEW,
    SYMBOL_MODULE,
    SYMBOL_LOSS,
    SYMBOL_METRIC,
} symbol_kind;

typedef struct symbol {
    symbol_kind kind;
    const char *name;
    const char *scope; /* the function it belongs to; NULL: the spec */
    anl_span span;     /* of the name */
    size_t end;        /* of its value, in the text */
    const anl_key *key;
    const anl_syntax *value;
    const anl_expression *expression; /* nodes, views, members, losses, modules, params with a default; or NULL */
    const char *doc, *type;           /* or NULL; type: of a param, as declared */
} symbol;

/* The call in whose argument a name stands: what it may mean there depends on the callee. */
typedef struct argument_place {
    const anl_expression *call;
    int index; /* of call->arguments */
    bool fed;  /* the first input is the value so far of a pipeline */
    const char *scope;
} argument_place;

/* What a place is for. WORD: a value, or a word where there is none of that name. */
typedef enum wanted { WANTED_VALUE, WANTED_WORD, WANTED_AXES } wanted;

typedef enum mention_kind {
    MENTION_DEFINITION,
    MENTION_VALUE,
    MENTION_CALLEE,
    MENTION_ARGUMENT, /* name= of a call */
    MENTION_AXIS,
    MENTION_MEMBER,  /* x.name: a member of a result, or the size of an axis */
    MENTION_MODULE,  /* copy:, the beginning of a path of weights */
    MENTION_PART,    /* of a path of weights, behind the module: a call's or a weight's name */
    MENTION_COUNTER, /* as: i, where it is a counter; else a word */
    MENTION_IMPORT,
} mention_kind;

typedef struct mention {
    mention_kind kind;
    const char *name;
    const char *scope; /* the function in which it stands; NULL: the spec */
    anl_span span;
    const symbol *symbol;       /* DEFINITION */
    const argument_place *in;   /* VALUE: the argument that it is, or NULL. ARGUMENT: its own call */
    wanted want;                /* VALUE, outside of arguments */
    const anl_expression *base; /* MEMBER: of what */
    anl_span whole;             /* CALLEE: the call; MEMBER: x.name */
} mention;

typedef struct outline {
    anl_arena *arena;
    const anl_syntax *root; /* NULL: no YAML */
    bool whole;             /* nothing was left out: neither lines nor expressions that cannot be read */
    symbol *symbols;
    int symbol_count, symbol_capacity;
    mention *mentions;
    int mention_count, mention_capacity;
    anl_span *extents; /* of all expressions, the inner ones before the outer ones */
    int extent_count, extent_capacity;
} outline;

/* file: the name for spans. A text that is no YAML is read without the line that spoils it, where that helps. */
outline *outline_read(const char *file, const char *text, size_t length);
void outline_free(outline **o);

/* Where a value ends in the text, its last closing bracket not counted; 0: nowhere. */
size_t syntax_end(const anl_syntax *s);
bool span_holds(anl_span span, int line, int column); /* the place right behind it included */
bool span_same(anl_span a, anl_span b);

#endif
