/* The reference of the language's operations, printed from the one table that defines them.
 * In: names. Out: text for people. Thread-safe: the table is constant. */
#ifndef ANLAGE_OPS_H
#define ANLAGE_OPS_H

#include <stdbool.h>
#include <stdio.h>

/* name NULL: all, a line each, by family; else its page: signature, axes, types, gradient, example. Prints nothing for an unknown name. */
void anl_ops_print(FILE *out, const char *name);
bool anl_ops_has(const char *name);
/* The operation that was probably meant, or NULL. */
const char *anl_ops_nearest(const char *name);

#endif
