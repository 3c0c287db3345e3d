/* The typed recipe: a spec file and its imports, read and checked as far as that goes without tracing.
 * In: YAML files and --set overrides. Out: functions, params, data, views, modules, state, graph, losses, train … as trees with
 * spans. Every value keeps the span it was written at, through imports and overrides. Immutable once read; one arena. */
#ifndef ANL_SPEC_RECIPE_H
#define ANL_SPEC_RECIPE_H

#include <anlage/diagnostic.h>
#include <anlage/spec.h>

#include "base/base.h"

/* ---- syntax: YAML with marks (anchors and aliases resolved with a limit, duplicate keys refused) ---- */
typedef enum anl_syntax_kind { ANL_Y_SCALAR, ANL_Y_LIST, ANL_Y_MAPPING } anl_syntax_kind;
typedef struct anl_syntax anl_syntax;
typedef struct anl_pair {
    const char *key;
    anl_span key_span;
    anl_syntax *value;
} anl_pair;
struct anl_syntax {
    anl_syntax_kind kind;
    anl_span span;
    bool quoted, block; /* scalars: quoted, or a block scalar; mappings and lists: block style (else flow) */
    bool broken;        /* was reported already (an expression torn apart by YAML); nothing more is to be said of it */
    const char *text;   /* scalar */
    const struct anl_source_file *source; /* scalar: the file and its bytes there, quotes included */
    size_t start, end;
    anl_syntax **items;
    anl_pair *pairs;
    int count;
};

/* ---- expressions ---- */
typedef enum anl_expression_kind {
    ANL_E_NUMBER,   /* number; integer says whether it was written without point or exponent */
    ANL_E_DURATION, /* 313it, 10ep: number, epochs */
    ANL_E_TEXT,     /* 'quoted' or "quoted" text inside an expression, or a YAML-quoted plain string where a text is expected */
    ANL_E_BOOL,     /* true, false */
    ANL_E_NAME,     /* name; `_` is the value so far */
    ANL_E_MEMBER,   /* items[0] . name */
    ANL_E_CALL,     /* items[0] is the callee (a name, or module member); arguments */
    ANL_E_LIST,     /* items */
    ANL_E_MAPPING,  /* arguments, all named: `into: {a: 2, b: 3}` in the arguments of a step; has no form in expression text */
    ANL_E_OPERATOR, /* name: "add", "less", "negate", … (names of graph/scalar.h); items: 1 or 2 operands. a > b is read as b < a;
                       a negated literal as a NUMBER */
    ANL_E_SLICE,    /* items[0] [ axis = start : stop ] or [ axis = at ]; several slices are nested */
    ANL_E_REST,     /* ...name: only in signatures */
    ANL_E_SPACE,    /* ~space (name "space"): only in signatures and axes: keys */
    /* pipelines, from YAML lists of steps */
    ANL_E_PIPELINE, /* items: steps in order; the first may be a plain expression (no `_`) that starts it; where it must be fed,
                       `_` is the input */
    ANL_E_REPEAT, /* repeat: times = items[0]; counter = name ("" if none); items[1] = pipeline of steps; item[2] (or NULL) = from
                     (first counter value) */
    ANL_E_STEP,   /* a step that is a call fed with the value so far: a bare name, or name: {arguments}; items[0] = callee,
                     arguments as written. The tracer gives the value so far to the first input that is not given by name. A step
                     written as mapping may use `_` in its arguments as well */
    ANL_E_ERROR   /* could not be read; reported already */
} anl_expression_kind;

typedef struct anl_expression anl_expression;
typedef struct anl_argument {
    const char *name; /* NULL: positional */
    anl_span name_span;
    anl_expression *value;
} anl_argument;
struct anl_expression {
    anl_expression_kind kind;
    anl_span span;
    double number;
    bool integer, truth, epochs;
    const char *name; /* see each kind */
    anl_expression **items;
    int item_count;
    anl_argument *arguments;
    int argument_count;
    const char *slice_axis;
    anl_span slice_axis_span; /* REPEAT: of the counter */
    anl_expression *start, *stop; /* SLICE: stop NULL and at true: a single index */
    bool at;
    int depth; /* of the tree below, for the limit */
};

/* A name in scope: `weight: {…}`, `now: expression`. */
typedef struct anl_named {
    const char *name;
    anl_span span;
    anl_expression *value;
} anl_named;

/* One axis of a declared tensor, or of a signature. */
typedef enum anl_axis_pattern_kind { ANL_P_AXIS, ANL_P_REST, ANL_P_SPACE } anl_axis_pattern_kind;
typedef struct anl_axis_pattern {
    anl_axis_pattern_kind kind;
    const char *name; /* the axis, or an axis param of the function; REST: what the rest is called; SPACE: "space" */
    anl_span span;
    anl_expression *size; /* declarations only */
} anl_axis_pattern;

typedef struct anl_input {
    const char *name;
    anl_span span;
    anl_axis_pattern *axes;
    int axis_count;
} anl_input;

/* A value of a param that another one overrides. */
typedef struct anl_setting {
    anl_span span;
    const struct anl_setting *before;
} anl_setting;

typedef struct anl_param {
    const char *name;
    anl_span span;
    const char *type;           /* int, number, bool, axis, axes, text, list, any …; NULL: as the default's */
    anl_expression *value;      /* default, or what --set or an import override gave; NULL: required */
    anl_span value_span;        /* where the winning value was written (file "--set" for overrides) */
    const anl_setting *before;  /* the values that it overrides, the last first */
    anl_expression *low, *high; /* range, or NULL */
    const char *unit, *doc;
} anl_param;

/* A weight or a state. */
typedef struct anl_declaration {
    const char *name;
    anl_span span;
    anl_axis_pattern *axes;
    int axis_count;
    const char *like; /* `like: weight`: the axes of that value (optimizer state), or NULL */
    anl_expression *init;
    const char *kind; /* matrix, bias, norm, other; NULL: other */
    bool is_weight;
    anl_expression *update, *project; /* or NULL */
    const char *calls;                /* "mean" or NULL */
} anl_declaration;

typedef struct anl_function {
    const char *name, *doc;
    anl_span span;
    anl_input *inputs;
    int input_count;
    anl_param *params;
    int param_count;
    anl_declaration *declarations; /* weights, then state */
    int declaration_count;
    anl_named *nodes;
    int node_count;
    anl_expression *returns; /* an expression, a pipeline, or (returns: {a: …, b: …}) … */
    anl_named *members;      /* … a mapping of members */
    int member_count;
    const char *file;
} anl_function;

/* ---- sections of a spec ---- */
typedef struct anl_field_declaration {
    const char *name;
    anl_span span;
    anl_axis_pattern *axes; /* without batch */
    int axis_count;
    const char *modality, *column, *boxes, *mask, *fit, *unit; /* or NULL; mask: the name under which the mask is visible */
    const char *column_param, *boxes_param, *modality_param;   /* the param whose text `column`, `boxes` or `modality` is, or NULL */
    anl_span modality_span;                            /* line 0: none is declared */
    anl_expression *missing;
} anl_field_declaration;

/* One source of a mixture. */
typedef struct anl_source_part {
    const char *name;
    anl_span span;
    anl_expression *shards, *weight; /* weight NULL: 1 */
} anl_source_part;

typedef struct anl_source {
    const char *name; /* train, valid, test */
    anl_span span;
    anl_expression *shards; /* a text, or a param that is one; NULL: parts */
    anl_source_part *parts;
    int part_count;
    const char *balance; /* a label column, or NULL */
    anl_span balance_span;
    anl_field_declaration *fields; /* empty in valid and test: as train's */
    int field_count;
    anl_expression *label_fraction; /* or NULL */
    const char *label_by;           /* "patient", "sample" or NULL */
    bool drop_unlabelled;           /* labels: {…, drop: true} */
    anl_span labels_span;
} anl_source;

typedef struct anl_module {
    const char *name;
    anl_span span;
    anl_expression *value; /* network(width=32), or … */
    const char *copy;      /* … the module it copies, with … */
    anl_span copy_span;
    anl_expression *update; /* … its rule: a call such as ema(momentum=0.999), or NULL */
} anl_module;

typedef struct anl_loss {
    const char *name;
    anl_span span;
    anl_expression *value, *weight; /* weight NULL: 1 */
} anl_loss;

typedef struct anl_optimizer_rule {
    anl_span span;
    const char *weights; /* glob over paths */
    anl_span weights_span;
    anl_expression *rule;         /* a call with arguments, or a name; `frozen` is a function of the library or built in */
    anl_expression *from, *until; /* durations or NULL: the rule holds in [from, until) */
} anl_optimizer_rule;

typedef struct anl_initialization {
    const char *module; /* module path prefix here */
    anl_span span;
    anl_expression *checkpoint; /* text */
    const char *from;           /* module path prefix in the checkpoint; NULL: the same */
    bool optional;              /* an empty checkpoint text means: start from scratch */
} anl_initialization;

typedef struct anl_metric {
    const char *name, *measure; /* roc_auc, accuracy, mean */
    anl_span span, measure_span;
    anl_expression *score, *label, *where; /* where or NULL */
} anl_metric;

/* An import of the file itself. */
typedef struct anl_import {
    anl_span span;
    const char *text;   /* as written */
    const char **files; /* it, and all that it imports in turn, as functions name their files */
    int file_count;
    bool sections; /* one of them holds more than functions */
} anl_import;

typedef struct anl_recipe {
    anl_arena *arena;
    const char *file, *title, *doc;
    anl_span span;
    bool library; /* nothing but functions: there is no graph to trace */
    anl_param *params;
    int param_count;
    anl_function **functions; /* all, with imported ones; a later import or the file itself may not redefine a name (A0209) */
    int function_count;
    anl_lookup function_names; /* name -> function */
    anl_source *sources;
    int source_count;
    anl_named *views;
    int view_count;
    anl_module *modules;
    int module_count;
    anl_declaration *states; /* top-level state: */
    int state_count;
    anl_named *nodes; /* graph: */
    int node_count;
    anl_loss *losses;
    int loss_count;
    anl_optimizer_rule *rules;
    int rule_count;
    anl_expression *train_length; /* duration */
    anl_expression *seed;         /* train: seed, or NULL: 0 */
    anl_expression *checkpoint_every;
    anl_expression *checkpoint_keep;
    anl_expression *evaluate_every; /* train: {evaluate: {every: 1ep}} or NULL */
    anl_expression *gradient_clip;  /* train: {clip: …}: maximal global gradient norm, or NULL */
    anl_span train_span;
    anl_initialization *initializations;
    int initialization_count;
    anl_metric *metrics;
    int metric_count;
    const char **files; /* every file read */
    int file_count;
    anl_import *imports;
    int import_count;
} anl_recipe;

/* One --set name=value. The value is parsed as an expression or YAML scalar. */
typedef struct anl_override {
    const char *name, *value;
} anl_override;

/* Reads and checks. All problems go to diagnostics; *out is a recipe as far as it could be understood (so that tracing can go on
 * finding problems), or NULL where even the file could not be read as YAML. ANL_OK only without errors. library: the folder of
 * stock specs, which holds lib/, for imports that are not found relative to the importing file; NULL: none. */
anl_status anl_recipe_read(const char *path, const anl_override *overrides, int override_count, const char *library,
                           anl_diagnostics *diagnostics, anl_recipe **out);
/* The same, where documents stand for files: the spec or what it imports. They need not outlive the call. */
anl_status anl_recipe_read_documents(const char *path, const anl_document *documents, int document_count,
                                     const anl_override *overrides, int override_count, const char *library,
                                     anl_diagnostics *diagnostics, anl_recipe **out);
void anl_recipe_free(anl_recipe **recipe);
/* The recipe after imports and overrides as one YAML text: kept in runs. Reading it again gives the same recipe. */
anl_status anl_recipe_print(const anl_recipe *recipe, anl_text *out);

/* An expression from text, for --fetch and tests; span positions count within text. NULL after a diagnostic. */
anl_expression *anl_expression_parse(anl_arena *arena, const char *text, anl_span at, anl_diagnostics *diagnostics);
/* As text that reads back to the same tree; pipelines and mappings have none. */
void anl_expression_print(const anl_expression *e, anl_text *out);
/* A name that nothing has and that other YAML readers would take for a truth value or for nothing: A0117. False: it is none. */
bool anl_trap_name(anl_diagnostics *diagnostics, anl_span span, const char *word);
/* Where a diagnostic shows the value of a param that overrides others (an import's, or by --set), shows those, too. */
void anl_recipe_label_settings(const anl_recipe *recipe, anl_diagnostics *diagnostics, anl_diagnostic *d);
const anl_function *anl_recipe_function(const anl_recipe *recipe, const char *name);

#endif
