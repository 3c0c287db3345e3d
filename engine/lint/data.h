/* The shards that a spec is judged against (`--data`): what they hold, as far as rules ask for it.
 * In: a pass with patterns of shards. Out: one summary of them all; problems that show in them alone. */
#ifndef ANL_LINT_DATA_H
#define ANL_LINT_DATA_H

#include <anlage/modality.h>

#include "lint/rules.h"

typedef struct anl_lint_data {
    const char *shard;            /* the first of them, for messages */
    const anl_modality *modality; /* that all of them name; NULL: none, or several */
    double low, high;             /* all values lie between, as the graph is given them … */
    bool nominal;                 /* … but for a few, where each image has a scale of its own */
    int bits;                     /* of the stored values: the most that any shard has */
    const char *unit;             /* of all of them; "": none, or several */
    const char *inverted;         /* a shard in which the least value is white, or NULL */
    const char *unscaled;         /* a shard whose stored values still want … */
    double slope, intercept;      /* … this slope and intercept, as factor and offset of the values that the graph is given */
    double least_spacing[3], greatest_spacing[3]; /* mm along z, y, x; 0: not known of all shards */
} anl_lint_data;

/* Reads the shards and reports what is wrong with them: columns and axes that the fields do not find, patients in two splits.
 * NULL: none are given, or none can be read, or the spec's fields are not known. */
const anl_lint_data *anl_lint_read_data(const anl_lint_pass *pass);

#endif
