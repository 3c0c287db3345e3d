/* The keys of the language: what every mapping of a spec may hold, what it is for and what may stand behind it.
 * In: nothing. Out: one table, with which the reader checks keys and from which the JSON Schema, completion and hover are made.
 * The table is constant; usable from several threads. */
#ifndef ANL_SPEC_KEYS_H
#define ANL_SPEC_KEYS_H

#include <stdbool.h>

/* What may stand behind a key, besides a mapping. */
typedef enum anl_key_type {
    ANL_K_NONE,      /* nothing else: a mapping it is */
    ANL_K_TEXT,      /* a plain text; words, where given, are usual ones */
    ANL_K_WORD,      /* one of words */
    ANL_K_TRUTH,     /* true or false, which are its words */
    ANL_K_VERSION,   /* of the language: 1 */
    ANL_K_FILES,     /* the path of a file, or a list of them */
    ANL_K_PATH,      /* a text, or the unquoted name of a param that is one */
    ANL_K_COLUMNS,   /* names of columns, as a list or as a text with commas; or the unquoted name of a param that is such a text */
    ANL_K_NAME,      /* a name that is given here */
    ANL_K_MODULE,    /* the name of a module */
    ANL_K_GLOB,      /* a glob over the paths of weights */
    ANL_K_DURATION,  /* an expression in steps or epochs: 313it, 10ep */
    ANL_K_VALUE,     /* an expression, or a list of them; words, where given, have a meaning of their own */
    ANL_K_ARGUMENT,  /* the same, or a mapping of them */
    ANL_K_NODE,      /* an expression, or a list of steps */
    ANL_K_STEPS,     /* a list of steps */
    ANL_K_RANGE,     /* [least, greatest] */
    ANL_K_SIGNATURE, /* a list of axes: [channel, ~space, ...rest] */
    ANL_K_LIST,      /* a list of mappings; keys are theirs */
} anl_key_type;

typedef struct anl_key anl_key;
typedef struct anl_keys anl_keys;

/* A key, or what stands behind a name of the author's choosing. */
struct anl_key {
    const char *name; /* of an entry: what the name names, "field" */
    const char *doc;
    anl_key_type type;
    bool required;
    const char *const *words; /* ANL_K_WORD, ANL_K_TRUTH: all that may stand there. ANL_K_TEXT: usual ones. NULL-terminated */
    const anl_keys *keys;     /* it may be a mapping with these keys, or NULL */
    const anl_key *entry;     /* it may be a mapping of the author's names (besides keys), each as this says, or NULL */
};

struct anl_keys {
    const anl_key *list;
    int count;
};

/* A spec file as a whole: its type is ANL_K_NONE, its keys are the sections. */
extern const anl_key anl_spec_key;
/* A step of a pipeline: an expression, `repeat` with its keys, or a callee (the entry) with its arguments. */
extern const anl_key anl_step_key;

/* What stands at a path of keys from the top: {"data", "train", "fields", "image", "axes"}; a name of the author's choosing leads
 * to the entry, "-" to the items of a list. The empty path is the file. NULL: nothing that the language knows. */
const anl_key *anl_key_find(const char *const *path, int count);

/* ---- for the reader: the mappings, and where in them each key stands ---- */
enum {
    SECTION_DATA,
    SECTION_VIEWS,
    SECTION_MODULES,
    SECTION_STATE,
    SECTION_GRAPH,
    SECTION_LOSSES,
    SECTION_TRAIN,
    SECTION_INITIALIZE,
    SECTION_METRICS,
    SECTION_COUNT
};
enum { FILE_VERSION, FILE_TITLE, FILE_DOC, FILE_IMPORT, FILE_PARAMS, FILE_FUNCTIONS, FILE_SECTIONS };
enum { FILE_KEYS = FILE_SECTIONS + SECTION_COUNT };
enum { PARAM_DEFAULT, PARAM_TYPE, PARAM_RANGE, PARAM_UNIT, PARAM_DOC, PARAM_KEYS };
enum { DATA_TRAIN, DATA_VALID, DATA_TEST, DATA_KEYS };
enum { SOURCE_SHARDS, SOURCE_SOURCES, SOURCE_FIELDS, SOURCE_LABELS, SOURCE_BALANCE, SOURCE_DOC, SOURCE_KEYS };
enum { PART_SHARDS, PART_WEIGHT, PART_DOC, PART_KEYS };
enum { LABELS_FRACTION, LABELS_BY, LABELS_DROP, LABELS_KEYS };
enum { FIELD_AXES, FIELD_MODALITY, FIELD_COLUMN, FIELD_BOXES, FIELD_MASK, FIELD_FIT, FIELD_MISSING, FIELD_UNIT, FIELD_DOC, FIELD_KEYS };
enum { MODULE_COPY, MODULE_UPDATE, MODULE_DOC, MODULE_KEYS };
enum { LOSS_VALUE, LOSS_WEIGHT, LOSS_DOC, LOSS_KEYS };
enum { TRAIN_LENGTH, TRAIN_SEED, TRAIN_OPTIMIZER, TRAIN_CHECKPOINT, TRAIN_EVALUATE, TRAIN_CLIP, TRAIN_KEYS };
enum { CHECKPOINT_EVERY, CHECKPOINT_KEEP, CHECKPOINT_KEYS };
enum { EVALUATE_EVERY, EVALUATE_KEYS };
enum { RULE_WEIGHTS, RULE_RULE, RULE_FROM, RULE_UNTIL, RULE_KEYS };
enum { INITIALIZE_CHECKPOINT, INITIALIZE_FROM, INITIALIZE_OPTIONAL, INITIALIZE_KEYS };
enum { METRIC_MEASURE, METRIC_SCORE, METRIC_LABEL, METRIC_WHERE, METRIC_DOC, METRIC_KEYS };
enum {
    FUNCTION_DOC,
    FUNCTION_INPUTS,
    FUNCTION_PARAMS,
    FUNCTION_WEIGHTS,
    FUNCTION_STATE,
    FUNCTION_NODES,
    FUNCTION_RETURNS,
    FUNCTION_KEYS
};
/* A weight has the first of them, a state all. */
enum {
    DECLARATION_AXES,
    DECLARATION_LIKE,
    DECLARATION_INIT,
    DECLARATION_PROJECT,
    DECLARATION_DOC,
    DECLARATION_KIND,
    WEIGHT_KEYS,
    STATE_UPDATE = WEIGHT_KEYS,
    STATE_CALLS,
    STATE_KEYS
};
enum { CALL_AS, CALL_KEY };
enum { REPEAT_TIMES, REPEAT_AS, REPEAT_FROM, REPEAT_STEPS, REPEAT_KEYS };

extern const anl_keys anl_file_keys, anl_param_keys, anl_data_keys, anl_source_keys, anl_part_keys, anl_labels_keys, anl_field_keys,
    anl_module_keys, anl_loss_keys, anl_train_keys, anl_checkpoint_keys, anl_evaluate_keys, anl_rule_keys, anl_initialize_keys,
    anl_metric_keys, anl_function_keys, anl_weight_keys, anl_state_keys, anl_repeat_keys;

#endif
