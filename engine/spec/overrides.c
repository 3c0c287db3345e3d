/* Overrides as the command line writes them.
 * In: "name=value" texts. Out: parsed overrides.
 * A text that is not of that form is a diagnostic. */
#include "spec/overrides.h"

#include <string.h>

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
