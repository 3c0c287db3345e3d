/* Where the stock library of specs lies, and overrides as the command line writes them.
 * In: environment, build configuration, "name=value" texts. Out: a folder; parsed overrides. */
#ifndef ANL_RUN_LIBRARY_H
#define ANL_RUN_LIBRARY_H

#include "spec/recipe.h"

/* $ANLAGE_SPECS, else the source tree's specs/ if it is there, else the installed one; the folder that holds lib/, pretrain/, …. */
const char *anl_library_folder(anl_arena *arena);
anl_status anl_overrides_parse(anl_arena *arena, const char *const *texts, int count, anl_diagnostics *diagnostics, anl_override **out);

#endif
