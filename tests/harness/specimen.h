/* Random specs that are right.
 * In: a random state. Out: a tree of YAML, to be written in any layout.
 * A spec made of the same state is the same on every machine. */
#ifndef ANL_TESTS_SPECIMEN_H
#define ANL_TESTS_SPECIMEN_H

#include "yaml.h"

yaml *specimen_make(anl_arena *arena, uint64_t *random);

#endif
