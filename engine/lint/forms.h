/* The language's own words: what the tracer understands without an operation, a function or a param of that name.
 * In: a name. Out: what it means, for hover and completion.
 * The table is constant. Internal to lint/. */
#ifndef ANL_LINT_FORMS_H
#define ANL_LINT_FORMS_H

typedef enum form_kind {
    FORM_CALL,     /* if(…) */
    FORM_VALUE,    /* step */
    FORM_AXES,     /* all */
    FORM_MEMBER,   /* x.axes */
    FORM_ARGUMENT, /* as= */
    FORM_FUNCTION, /* where a rule is wanted */
    FORM_RULE,     /* given to rules of optimizers and copies */
} form_kind;

typedef struct form {
    const char *name;
    form_kind kind;
    const char *signature, *doc;
} form;

const form *form_find(const char *name);
const form *form_at(int index); /* NULL past the end */

#endif
