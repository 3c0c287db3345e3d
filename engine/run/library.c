/* Where the stock library of specs lies, and overrides as the command line writes them.
 * In: environment, build configuration, "name=value" texts. Out: a folder; parsed overrides. */
#include "run/library.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ANL_SPECS_SOURCE
#define ANL_SPECS_SOURCE "specs"
#endif
#ifndef ANL_SPECS_INSTALLED
#define ANL_SPECS_INSTALLED "/usr/local/share/anlage/specs"
#endif

const char *anl_library_folder(anl_arena *arena)
{
    const char *given = getenv("ANLAGE_SPECS");
    if (given && *given)
        return anl_arena_text(arena, given);
    return access(ANL_SPECS_SOURCE "/lib", R_OK) == 0 ? ANL_SPECS_SOURCE : ANL_SPECS_INSTALLED;
}

anl_status anl_overrides_parse(anl_arena *arena, const char *const *texts, int count, anl_diagnostics *diagnostics, anl_override **out)
{
    *out = ANL_NEW_ARRAY(arena, anl_override, count + 1);
    anl_status status = ANL_OK;
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals || equals == texts[i]) {
            anl_span span = {.file = "--set", .line = 1, .column = 1, .length = (int)strlen(texts[i]) + 1};
            anl_diagnose(diagnostics, ANL_A_unknown_param, span, "`--set %s` is not of the form name=value", texts[i]);
            status = ANL_ERROR_ARGUMENT;
            continue;
        }
        (*out)[i].name = anl_arena_copy(arena, texts[i], (size_t)(equals - texts[i]));
        (*out)[i].value = anl_arena_text(arena, equals + 1);
    }
    return status;
}
