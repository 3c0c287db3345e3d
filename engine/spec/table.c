/* The table of the language's keys.
 * In: nothing. Out: keys with type and documentation, as keys.h describes them.
 * A key that is not here cannot be read; one that is here is in the schema, in completion and in hover. */
#include <string.h>

#include <anlage/modality.h>

#include "base/base.h"
#include "spec/keys.h"

#define KEYS(list)                                                                                                               \
    {                                                                                                                            \
        (list), ANL_COUNT(list)                                                                                                  \
    }
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TRUTH WORDS("true", "false")

/* ---- what stands behind names of the author's choosing, and inside lists ---- */

static const anl_key size_of_axis = {
    "axis", "The size of this axis. `~space` stands for the space axes (z, y, x) that the input has.", .type = ANL_K_VALUE};
static const anl_key named_node = {
    "node", "A value of the dataflow: an expression, or a list of steps that are each fed with the one before.",
    .type = ANL_K_NODE};

/* ---- params ---- */

static const char *const param_types[] = {"int",  "number",   "bool",     "axis", "axes", "text",
                                          "list", "duration", "function", "any",  NULL};
static const anl_key param_list[] = {
    [PARAM_DEFAULT] = {"default",
                       "The value, unless `--set` or an importing file gives another. Without it the param must be given.",
                       .type = ANL_K_VALUE},
    [PARAM_TYPE] = {"type", "What the value must be; without it, what the default is.", .type = ANL_K_WORD, .words = param_types},
    [PARAM_RANGE] = {"range", "The least and the greatest value that make sense: `[least, greatest]`.", .type = ANL_K_RANGE},
    [PARAM_UNIT] = {"unit", "What the number counts or measures: images, pixels, degrees.", .type = ANL_K_TEXT},
    [PARAM_DOC] = {"doc", "What the param is for, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_param_keys = KEYS(param_list);
static const anl_key param_entry = {
    "param", "A tunable value: its default, its type alone (then it must be given), or a mapping with both.", .type = ANL_K_VALUE,
    .words = param_types, .keys = &anl_param_keys};

/* ---- data ---- */

static const anl_key labels_list[] = {
    [LABELS_FRACTION] = {"fraction", "The share of the labels that training sees, from 0 to 1; the others count as missing.",
                         .type = ANL_K_VALUE},
    [LABELS_BY] = {"by", "Whether whole patients or single samples keep their labels.", .type = ANL_K_WORD,
                   .words = WORDS("patient", "sample")},
    [LABELS_DROP] = {"drop", "Leave out samples without any label.", .type = ANL_K_TRUTH, .words = TRUTH},
};
const anl_keys anl_labels_keys = KEYS(labels_list);

static const anl_key field_list[] = {
    [FIELD_AXES] = {"axes", "The axes of one sample's value with their sizes, without batch: `{channel: 1, y: 96, x: 96}`.",
                    .type = ANL_K_NONE, .entry = &size_of_axis},
    [FIELD_MODALITY] = {"modality", "How the images were made, for the rules that know modalities (`anlage lint --explain A1101` lists them).",
                        .type = ANL_K_PATH, .words = anl_modality_names},
    [FIELD_COLUMN] = {"column",
                      "The columns of the shards that a label is: one, or a list; without it, those of the field's name.",
                      .type = ANL_K_COLUMNS},
    [FIELD_BOXES] = {"boxes",
                     "What is read of the boxes of an image (`anlage pack --boxes`), `[y0, x0, y1, x1]` or a column of the table: the first axis runs over boxes, the "
                     "last over these. Corners are shares of the image, 0 to 1.",
                     .type = ANL_K_COLUMNS},
    [FIELD_MASK] = {"mask", "The name under which the graph sees where the value is known.", .type = ANL_K_NAME},
    [FIELD_FIT] = {"fit", "How images of other sizes were fitted to the axes.", .type = ANL_K_TEXT},
    [FIELD_MISSING] = {"missing", "The number that stands for a missing value in the shards.", .type = ANL_K_VALUE},
    [FIELD_UNIT] = {"unit", "What the numbers measure.", .type = ANL_K_TEXT},
    [FIELD_DOC] = {"doc", "What the field is, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_field_keys = KEYS(field_list);
static const anl_key field_entry = {"field", "What one sample holds under this name.", .type = ANL_K_NONE,
                                    .keys = &anl_field_keys};

static const anl_key part_list[] = {
    [PART_SHARDS] = {"shards", "Its packed files: a glob, relative to where the command runs, or a param that is one.",
                     .type = ANL_K_PATH, .required = true},
    [PART_WEIGHT] = {"weight", "Its share of the samples drawn in training, relative to the other sources' weights; without it, 1.",
                     .type = ANL_K_VALUE},
    [PART_DOC] = {"doc", "Where these data come from, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_part_keys = KEYS(part_list);
static const anl_key part_entry = {"source", "One of the sources of a mixture.", .type = ANL_K_NONE, .keys = &anl_part_keys};

static const anl_key source_list[] = {
    [SOURCE_SHARDS] = {"shards", "The packed files: a glob, relative to where the command runs, or a param that is one.",
                       .type = ANL_K_PATH},
    [SOURCE_SOURCES] = {"sources", "Instead of `shards`: several sources that are mixed by weight.", .type = ANL_K_NONE,
                        .entry = &part_entry},
    [SOURCE_FIELDS] = {"fields", "What a sample holds. In `valid` and `test` without it: as in `train`.", .type = ANL_K_NONE,
                       .entry = &field_entry},
    [SOURCE_LABELS] = {"labels", "How many of the labels are used.", .type = ANL_K_NONE, .keys = &anl_labels_keys},
    [SOURCE_BALANCE] = {"balance", "A label column of the shards whose values training draws equally often.", .type = ANL_K_TEXT},
    [SOURCE_DOC] = {"doc", "Where the data come from, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_source_keys = KEYS(source_list);

static const anl_key data_list[] = {
    [DATA_TRAIN] = {"train", "What is trained on.", .type = ANL_K_NONE, .keys = &anl_source_keys},
    [DATA_VALID] = {"valid", "What metrics are computed on during training.", .type = ANL_K_NONE, .keys = &anl_source_keys},
    [DATA_TEST] = {"test", "What `anlage eval` judges on.", .type = ANL_K_NONE, .keys = &anl_source_keys},
};
const anl_keys anl_data_keys = KEYS(data_list);

/* ---- weights, state, functions, modules ---- */

static const anl_key declaration_list[] = {
    [DECLARATION_AXES] = {"axes", "Its axes with their sizes, in the order in which files have them.", .type = ANL_K_NONE,
                          .entry = &size_of_axis},
    [DECLARATION_LIKE] = {"like", "A value whose axes it has, instead of `axes:`.", .type = ANL_K_TEXT},
    [DECLARATION_INIT] = {"init", "Its first value; `axes` in it are its own axes.", .type = ANL_K_VALUE, .required = true},
    [DECLARATION_PROJECT] = {"project", "What is made of it at the beginning and after each update, such as a unit length.",
                             .type = ANL_K_NODE},
    [DECLARATION_DOC] = {"doc", "What it is, in a sentence.", .type = ANL_K_TEXT},
    [DECLARATION_KIND] = {"kind", "What optimizer rules see as `kind`; other, where it is not given.", .type = ANL_K_WORD,
                          .words = WORDS("matrix", "bias", "norm", "other")},
    [STATE_UPDATE] = {"update", "Its value after the step; `next(v)` in it is the new value of another.", .type = ANL_K_NODE},
    [STATE_CALLS] = {"calls", "What becomes of the new values of several calls in one step: their mean.", .type = ANL_K_WORD,
                     .words = WORDS("mean")},
};
const anl_keys anl_weight_keys = {declaration_list, WEIGHT_KEYS}, anl_state_keys = {declaration_list, STATE_KEYS};
static const anl_key weight_entry = {"weight", "A trained array. Its path is the module, the calls on the way, and this name.",
                                     .type = ANL_K_NONE, .keys = &anl_weight_keys};
static const anl_key state_entry = {"state", "An array that lives from step to step without gradients: statistics, queues.",
                                    .type = ANL_K_NONE, .keys = &anl_state_keys};
static const anl_key input_entry = {
    "input", "The axes that the function sees of this input; `~space` is at least one of z, y and x, `...rest` binds all others.",
    .type = ANL_K_SIGNATURE};

static const anl_key function_list[] = {
    [FUNCTION_DOC] = {"doc", "What it computes, in a sentence, and the source of its formula.", .type = ANL_K_TEXT},
    [FUNCTION_INPUTS] = {"inputs",
                         "Its tensors, each with the axes that it sees: `{x: [channel, ~space]}`. Other axes ride along.",
                         .type = ANL_K_NONE, .entry = &input_entry},
    [FUNCTION_PARAMS] = {"params", "Its static arguments, each with a default or a type.", .type = ANL_K_NONE,
                         .entry = &param_entry},
    [FUNCTION_WEIGHTS] = {"weights", "Its trained arrays.", .type = ANL_K_NONE, .entry = &weight_entry},
    [FUNCTION_STATE] = {"state", "Its arrays that live from step to step.", .type = ANL_K_NONE, .entry = &state_entry},
    [FUNCTION_NODES] = {"nodes", "Values with names, in any order.", .type = ANL_K_NONE, .entry = &named_node},
    [FUNCTION_RETURNS] = {"returns", "Its result: an expression, a list of steps, or a mapping of named members.",
                          .type = ANL_K_NODE, .required = true, .entry = &named_node},
};
const anl_keys anl_function_keys = KEYS(function_list);
static const anl_key function_entry = {"function", "A function of the language: inputs, params and weights to a result.",
                                       .type = ANL_K_NONE, .keys = &anl_function_keys};

static const anl_key module_list[] = {
    [MODULE_COPY] = {"copy", "The module whose weights it begins with.", .type = ANL_K_MODULE, .required = true},
    [MODULE_UPDATE] = {"update", "The rule by which it follows its source, such as `ema(momentum=0.999)`; without it, it stays.",
                       .type = ANL_K_VALUE},
    [MODULE_DOC] = {"doc", "What it is for, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_module_keys = KEYS(module_list);
static const anl_key module_entry = {
    "module", "A function with weights of its own, `linear(to=class, size=14)`, or a copy of another module.",
    .type = ANL_K_VALUE, .keys = &anl_module_keys};

/* ---- losses, training, evaluation ---- */

static const anl_key loss_list[] = {
    [LOSS_VALUE] = {"value", "What is made small: a value without axes.", .type = ANL_K_NODE, .required = true},
    [LOSS_WEIGHT] = {"weight", "Its factor in the sum of all losses; may be a schedule. 1 where it is not given.",
                     .type = ANL_K_VALUE},
    [LOSS_DOC] = {"doc", "What it is for, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_loss_keys = KEYS(loss_list);
static const anl_key loss_entry = {"loss", "A value without axes that training makes small; several add up.", .type = ANL_K_NODE,
                                   .keys = &anl_loss_keys};

static const anl_key checkpoint_list[] = {
    [CHECKPOINT_EVERY] = {"every", "How often a checkpoint is written: `1ep`, `500it`.", .type = ANL_K_DURATION,
                          .required = true},
    [CHECKPOINT_KEEP] = {"keep", "How many of the last checkpoints are kept.", .type = ANL_K_VALUE},
};
const anl_keys anl_checkpoint_keys = KEYS(checkpoint_list);
static const anl_key evaluate_list[] = {
    [EVALUATE_EVERY] = {"every", "How often the metrics are computed on `valid`.", .type = ANL_K_DURATION, .required = true},
};
const anl_keys anl_evaluate_keys = KEYS(evaluate_list);
static const anl_key rule_list[] = {
    [RULE_WEIGHTS] = {"weights", "A glob over the paths of weights; of several rules the last that matches holds.",
                      .type = ANL_K_GLOB, .required = true},
    [RULE_RULE] = {"rule", "The update rule with its params: `sgd(lr=0.1)`; `frozen` leaves the weights as they are.",
                   .type = ANL_K_VALUE, .required = true},
    [RULE_FROM] = {"from", "When the rule begins to hold.", .type = ANL_K_DURATION},
    [RULE_UNTIL] = {"until", "When the rule ceases to hold.", .type = ANL_K_DURATION},
};
const anl_keys anl_rule_keys = KEYS(rule_list);

static const anl_key train_list[] = {
    [TRAIN_LENGTH] = {"length", "How long to train: `100ep`, `20000it`.", .type = ANL_K_DURATION, .required = true},
    [TRAIN_SEED] = {"seed", "Of all draws: initial values, augmentation, order of the data. 0 where it is not given.",
                    .type = ANL_K_VALUE},
    [TRAIN_OPTIMIZER] = {"optimizer", "Update rules, each for the weights that its glob matches.", .type = ANL_K_LIST,
                         .required = true, .keys = &anl_rule_keys},
    [TRAIN_CHECKPOINT] = {"checkpoint", "When checkpoints are written, and how many are kept.", .type = ANL_K_NONE,
                          .keys = &anl_checkpoint_keys},
    [TRAIN_EVALUATE] = {"evaluate", "When the metrics are computed on `valid`.", .type = ANL_K_NONE, .keys = &anl_evaluate_keys},
    [TRAIN_CLIP] = {"clip", "The greatest norm of all gradients together; longer ones are scaled down to it.",
                    .type = ANL_K_VALUE},
};
const anl_keys anl_train_keys = KEYS(train_list);

static const anl_key initialize_list[] = {
    [INITIALIZE_CHECKPOINT] = {"checkpoint", "A checkpoint, or the folder of a run, whose last one is meant.", .type = ANL_K_PATH,
                               .required = true},
    [INITIALIZE_FROM] = {"from", "The module's path in the checkpoint; without it, the same as here.", .type = ANL_K_TEXT},
    [INITIALIZE_OPTIONAL] = {"optional", "An empty path of the checkpoint means: start from scratch.", .type = ANL_K_TRUTH,
                             .words = TRUTH},
};
const anl_keys anl_initialize_keys = KEYS(initialize_list);
static const anl_key initialize_entry = {"path of a module", "Where the weights below this path come from.", .type = ANL_K_NONE,
                                         .keys = &anl_initialize_keys};

static const anl_key metric_list[] = {
    [METRIC_MEASURE] = {"measure", "What is computed of score and label over the whole data set.", .type = ANL_K_WORD,
                        .required = true, .words = WORDS("roc_auc", "accuracy", "mean")},
    [METRIC_SCORE] = {"score", "The value that is judged.", .type = ANL_K_NODE, .required = true},
    [METRIC_LABEL] = {"label", "The truth; all measures but `mean` need it.", .type = ANL_K_NODE},
    [METRIC_WHERE] = {"where", "Where the label counts, such as a field's mask.", .type = ANL_K_NODE},
    [METRIC_DOC] = {"doc", "What it tells, in a sentence.", .type = ANL_K_TEXT},
};
const anl_keys anl_metric_keys = KEYS(metric_list);
static const anl_key metric_entry = {"metric", "A number about a whole data set.", .type = ANL_K_NONE, .keys = &anl_metric_keys};

/* ---- the file ---- */

static const anl_key file_list[] = {
    [FILE_VERSION] = {"anlage", "The version of the language: 1.", .type = ANL_K_VERSION, .required = true},
    [FILE_TITLE] = {"title", "What the recipe does, in a line.", .type = ANL_K_TEXT},
    [FILE_DOC] = {"doc", "What the file is for and how to use it.", .type = ANL_K_TEXT},
    [FILE_IMPORT] = {"import",
                     "Files whose functions and sections are taken over, looked for beside this file and in the stock library; "
                     "what is given here wins, key by key.",
                     .type = ANL_K_FILES},
    [FILE_PARAMS] = {"params", "Every number that one may want to tune; `--set name=value` overrides one.", .type = ANL_K_NONE,
                     .entry = &param_entry},
    [FILE_FUNCTIONS] = {"functions", "Functions of the language, for this file and those that import it.", .type = ANL_K_NONE,
                        .entry = &function_entry},
    [FILE_SECTIONS +
        SECTION_DATA] = {"data", "The shards to read, and what a sample holds.", .type = ANL_K_NONE, .keys = &anl_data_keys},
    [FILE_SECTIONS +
        SECTION_VIEWS] = {"views", "Augmentation: values made of the fields. A draw after `replicate` differs from view to view.",
                          .type = ANL_K_NONE, .entry = &named_node},
    [FILE_SECTIONS + SECTION_MODULES] = {"modules", "Functions with weights. Calling a module twice shares them.",
                                         .type = ANL_K_NONE, .entry = &module_entry},
    [FILE_SECTIONS + SECTION_STATE] = {"state", "Arrays that live from step to step, such as queues.", .type = ANL_K_NONE,
                                       .entry = &state_entry},
    [FILE_SECTIONS +
        SECTION_GRAPH] = {"graph", "Values with names, in any order: plain dataflow.", .type = ANL_K_NONE, .entry = &named_node},
    [FILE_SECTIONS +
        SECTION_LOSSES] = {"losses", "What training makes small; several add up.", .type = ANL_K_NONE, .entry = &loss_entry},
    [FILE_SECTIONS + SECTION_TRAIN] = {"train", "Length, optimizer, checkpoints.", .type = ANL_K_NONE, .keys = &anl_train_keys},
    [FILE_SECTIONS + SECTION_INITIALIZE] = {"initialize", "Weights of modules taken from checkpoints.", .type = ANL_K_NONE,
                                            .entry = &initialize_entry},
    [FILE_SECTIONS +
        SECTION_METRICS] = {"metrics", "What `anlage eval` and `evaluate:` report.", .type = ANL_K_NONE, .entry = &metric_entry},
};
const anl_keys anl_file_keys = KEYS(file_list);
const anl_key anl_spec_key = {"spec", "A spec of Anlage: a recipe of training, or a library of functions.", .type = ANL_K_NONE,
                              .keys = &anl_file_keys};

/* ---- pipelines ---- */

static const anl_key repeat_list[] = {
    [REPEAT_TIMES] = {"times", "How often; known when compiling.", .type = ANL_K_VALUE, .required = true},
    [REPEAT_AS] = {"as", "The name of the counter. With it, each turn has weights of its own, below the number.",
                   .type = ANL_K_NAME},
    [REPEAT_FROM] = {"from", "The counter's first value; 0 where it is not given.", .type = ANL_K_VALUE},
    [REPEAT_STEPS] = {"steps", "The steps of one turn.", .type = ANL_K_STEPS, .required = true},
};
const anl_keys anl_repeat_keys = KEYS(repeat_list);
static const anl_key step_list[] = {
    {"repeat", "The same steps several times, each turn fed with the one before.", .type = ANL_K_NONE, .keys = &anl_repeat_keys},
};
static const anl_keys step_keys = KEYS(step_list);
static const anl_key argument_entry = {"argument", "An argument by its name; lists and mappings hold values.",
                                       .type = ANL_K_ARGUMENT};
static const anl_key call_list[] = {
    [CALL_AS] = {"as", "The call's name in the paths of its weights and draws; it may hold dots, and `\"\"` adds nothing.",
                 .type = ANL_K_TEXT},
    [CALL_KEY] = {"key", "A fixed name for the draws, instead of their path.", .type = ANL_K_TEXT},
};
static const anl_keys call_keys = KEYS(call_list);
static const anl_key call_entry = {"function",
                                   "A function, module or operation with its arguments; its first input is the value so far.",
                                   .type = ANL_K_NONE, .keys = &call_keys, .entry = &argument_entry};
const anl_key anl_step_key = {"step", "A name, `name: {arguments}`, or an expression in which `_` is the value so far.",
                              .type = ANL_K_VALUE, .keys = &step_keys, .entry = &call_entry};

/* ---- look-up ---- */

static bool holds_steps(const anl_key *key) { return key->type == ANL_K_NODE || key->type == ANL_K_STEPS; }

/* Its items are of its own type. */
static bool holds_list(const anl_key *key)
{
    static const anl_key_type types[] = {ANL_K_LIST, ANL_K_VALUE, ANL_K_FILES, ANL_K_SIGNATURE, ANL_K_RANGE};
    for (size_t i = 0; i < ANL_COUNT(types); i++)
        if (key->type == types[i])
            return true;
    return false;
}

static const anl_key *below(const anl_key *key, const char *name)
{
    if (!strcmp(name, "-"))
        return holds_steps(key) ? &anl_step_key : holds_list(key) ? key : NULL;
    for (int i = 0; key->keys && i < key->keys->count; i++)
        if (!strcmp(key->keys->list[i].name, name))
            return &key->keys->list[i];
    return key->entry;
}

const anl_key *anl_key_find(const char *const *path, int count)
{
    const anl_key *key = &anl_spec_key;
    for (int i = 0; i < count && key; i++)
        key = below(key, path[i]);
    return key;
}
