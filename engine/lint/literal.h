/* Where a number that a graph was made with is written: through the arguments of calls, params of functions and of the spec.
 * In: the place of an operation, and of the spec's own call that led to it. Out: the place of the literal, and what it is called there.
 * Tracing forgets where static numbers came from; this finds them again in the recipe, for messages only. */
#ifndef ANL_LINT_LITERAL_H
#define ANL_LINT_LITERAL_H

#include "lint/rules.h"

typedef struct anl_literal {
    anl_span span;    /* of the literal, or of the smallest expression that makes the number; line 0: not found */
    const char *name; /* the last name that stands for it on the way ("epsilon"); NULL: written at the operation itself */
    bool literal;     /* a plain number stands there, … */
    bool duration;    /* … with a unit of time */
    double number;    /* which */
} anl_literal;

/* The number that is an operand of the operation of a node (`/ epsilon`). */
anl_literal anl_literal_of_operand(const anl_lint_pass *pass, const anl_node *node);
/* What an argument of a call at the spec's top level was set to, such as that of an optimizer rule. */
anl_literal anl_literal_of(const anl_lint_pass *pass, const anl_expression *expression);
/* Sizes: the axis of a state, as its declaration says it. */
anl_literal anl_literal_of_size(const anl_lint_pass *pass, const anl_state *state, const char *axis);
/* When what stands at this place begins: the duration of the since() in the same top-level expression. */
anl_literal anl_literal_of_since(const anl_lint_pass *pass, anl_span span);
/* "`epsilon` is set here", unless the diagnostic itself stands there, or nothing was found. */
void anl_literal_label(const anl_lint_pass *pass, anl_diagnostic *d, anl_literal setting);

/* ---- expressions with the scope they are read in, for those that ask more of them ---- */
typedef struct anl_reading {
    const anl_function *function; /* whose body is read; NULL: the spec's top level */
    const anl_expression *call;   /* that led here, … */
    const anl_expression *bound;  /* … and the one that made the module which was called, or NULL */
    const struct anl_reading *caller;
} anl_reading;
/* The function that a call calls, through modules; NULL: a builtin, or nothing known. */
const anl_function *anl_reading_callee(const anl_recipe *recipe, const anl_expression *call, const anl_expression **bound);
/* What a name stands for in a reading: its expression, and the reading that this is written in. NULL: an input, an axis, a state, unknown. */
const anl_expression *anl_reading_name(const anl_recipe *recipe, const anl_reading *in, const char *name, const anl_reading **where);

#endif
