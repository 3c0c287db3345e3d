/* Overrides as the command line writes them.
 * In: "name=value" texts. Out: parsed overrides.
 * Shared by everything that opens a recipe. */
#ifndef ANL_SPEC_OVERRIDES_H
#define ANL_SPEC_OVERRIDES_H

#include "spec/recipe.h"

anl_status anl_overrides_parse(anl_arena *arena, const char *const *texts, int count, anl_diagnostics *diagnostics, anl_override **out);

#endif
