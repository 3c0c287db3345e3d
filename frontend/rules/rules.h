/* The pages of the rules: what a code means, why it matters, examples.
 * In: the embedded A<number>.md. Out: their texts and parts.
 * The format of a page stands in frontend/rules/README.md. */
#ifndef ANLAGE_RULES_H
#define ANLAGE_RULES_H

#include <anlage/diagnostic.h>

typedef struct rule_text {
    anl_code code; /* 0 ends the table */
    const char *text;
    const char *shown; /* without the lines that only tests read */
} rule_text;
extern const rule_text rule_texts[];
extern const char *const rule_base; /* the spec that examples import as base.yaml */

/* The page of a code as it is written, or NULL. */
const char *rule_page(anl_code code);
/* The same as readers see it: markdown whose first line is the title. */
const char *rule_about(anl_code code);

/* A part of a page: a stretch of its text. */
typedef struct rule_part {
    const char *text; /* NULL: not there */
    size_t length;
} rule_part;
rule_part rule_title(const char *page);
rule_part rule_prose(const char *page); /* between the title and the notes or the first section */
/* The rest of the line behind the prose that begins with "KEY: ": Source, Also, Options, Tested. */
rule_part rule_note(const char *page, const char *key);
/* The index-th file of a section (Fails, Passes, Fixed, Seen). name: of the file, at most 63 characters; "spec.yaml" where the fence says none. */
rule_part rule_example(const char *page, const char *section, int index, char name[64]);

#endif
