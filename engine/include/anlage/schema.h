/* The JSON Schema of spec files, for editors, printed from the tables with which specs are read.
 * In: nothing. Out: text. Thread-safe: the tables are constant. */
#ifndef ANLAGE_SCHEMA_H
#define ANLAGE_SCHEMA_H

#include <stdio.h>

/* Prints the schema (JSON Schema draft 7, http://json-schema.org/draft-07/schema): all keys of all sections, with what may stand
 * behind them, and the operations as steps. What needs the text of expressions (names, axes, types of values) is left to the
 * linter. */
void anl_schema_print(FILE *out);

#endif
