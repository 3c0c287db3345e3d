/* Where things are found on this machine.
 * In: the environment and what the build knows. Out: paths in an arena.
 * Read at each call: there is no state to go stale. */
#include "base/folders.h"

#include "base/config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In the source tree while that exists, else where it was installed. */
static const char *folder_of_build(const char *source, const char *installed)
{
    struct stat about;
    return stat(source, &about) == 0 && S_ISDIR(about.st_mode) ? source : installed;
}

const char *anl_folder_specs(anl_arena *arena)
{
    const char *chosen = getenv("ANLAGE_SPECS");
    if (chosen && *chosen)
        return anl_arena_text(arena, chosen);
    return folder_of_build(ANL_SOURCE_ROOT "/specs", ANL_DATA_INSTALLED "/specs");
}

const char *anl_folder_rules(void)
{
    return folder_of_build(ANL_SOURCE_ROOT "/frontend/rules", ANL_DATA_INSTALLED "/rules");
}

/* Where it was built while that exists, else where it was installed. */
static const char *module_of_build(const char *built, const char *installed)
{
    struct stat about;
    return stat(built, &about) == 0 ? built : installed;
}

const char *anl_module_dicom(void)
{
    return module_of_build(ANL_MODULES_BUILT "/anlage_dicom.so", ANL_MODULES_INSTALLED "/anlage_dicom.so");
}

const char *anl_module_preview(void)
{
    return module_of_build(ANL_PREVIEW_BUILT "/anlage_preview.so", ANL_MODULES_INSTALLED "/anlage_preview.so");
}

const char *anl_folder_cache(anl_arena *arena)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') /* the XDG specification: relative paths are to be ignored */
        return anl_arena_printf(arena, "%s/anlage", cache);
    return home && *home ? anl_arena_printf(arena, "%s/.cache/anlage", home) : NULL;
}

const char *anl_path_join(anl_arena *arena, const char *folder, const char *name)
{
    if (name[0] == '/' || !folder || !*folder)
        return anl_arena_text(arena, name);
    bool ends = folder[strlen(folder) - 1] == '/';
    return anl_arena_printf(arena, "%s%s%s", folder, ends ? "" : "/", name);
}

const char *anl_path_folder(anl_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    return slash == path ? "/" : anl_arena_copy(arena, path, (size_t)(slash - path));
}
