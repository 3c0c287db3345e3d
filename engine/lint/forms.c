/* The language's own words, once.
 * In: nothing. Out: the table.
 * The tracer knows them by name (trace/call.c, trace/evaluate.c, trace/optimize.c); a test holds this table against it. */
#include "lint/forms.h"

#include <stddef.h>
#include <string.h>

#include "base/base.h"

static const form forms[] = {
    {"if", FORM_CALL, "if(condition, a, b)",
     "One of two values, by a condition that is known when compiling; the other one is not evaluated. To choose element by "
     "element: `where`."},
    {"since", FORM_CALL, "since(duration)",
     "Whether training has come so far; known when compiling. Each such time begins a phase with a program of its own."},
    {"next", FORM_CALL, "next(state)", "The value that a state or weight of this scope will have after the step."},
    {"training", FORM_VALUE, "training", "Whether this is the program of training or of evaluation; known when compiling."},
    {"step", FORM_VALUE, "step", "The number of the step, from 0."},
    {"epoch", FORM_VALUE, "epoch", "The epoch, from 0, with fractions: the step divided by the steps of an epoch."},
    {"length", FORM_VALUE, "length", "The steps of the whole training."},
    {"_", FORM_VALUE, "_", "The value so far of a pipeline."},
    {"all", FORM_AXES, "all", "All axes that the value has and that are visible here."},
    {"space", FORM_AXES, "space", "The space axes (z, y, x) that the inputs of the function have."},
    {"axes", FORM_MEMBER, "x.axes", "The visible axes of a value, as a list."},
    {"first", FORM_MEMBER, "list.first", "The first item of a list."},
    {"last", FORM_MEMBER, "list.last", "The last item of a list."},
    {"count", FORM_MEMBER, "list.count", "How many items a list has."},
    {"as", FORM_ARGUMENT, "as=name", "The call's part in the paths of its weights and draws, instead of the function's name."},
    {"key", FORM_ARGUMENT, "key=name", "Pins the path of the call's draws, so that they stay the same wherever it moves."},
    {"frozen", FORM_FUNCTION, "frozen", "The rule that leaves weights as they are; no gradient is computed for them."},
    {"weight", FORM_RULE, "weight", "In rules of optimizers and copies: the weight that is updated."},
    {"gradient", FORM_RULE, "gradient", "In rules of optimizers: the gradient of the loss by the weight."},
    {"kind", FORM_RULE, "kind", "In rules of optimizers: the weight's kind, matrix, bias, norm or other; known when compiling."},
    {"age", FORM_RULE, "age", "In rules of optimizers: the steps since the weight began to be trained."},
    {"gradient_norm", FORM_RULE, "gradient_norm", "In rules of optimizers: the norm of all gradients together, before `clip`."},
    {"source", FORM_RULE, "source", "In rules of copies: the new value of the weight that is followed."},
};

const form *form_at(int index) { return index >= 0 && (size_t)index < ANL_COUNT(forms) ? &forms[index] : NULL; }

const form *form_find(const char *name)
{
    for (size_t i = 0; i < ANL_COUNT(forms); i++)
        if (!strcmp(forms[i].name, name))
            return &forms[i];
    return NULL;
}
