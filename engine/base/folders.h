/* Where things are found on this machine.
 * In: the environment and what the build knows. Out: paths in an arena. */
#ifndef ANL_BASE_FOLDERS_H
#define ANL_BASE_FOLDERS_H

#include "base/base.h"

/* The folder that holds lib/, pretrain/, finetune/: $ANLAGE_SPECS, else specs/ of the source tree this was built from
 * while that exists, else the installed one. Always a path; whether it can be read shows when it is. */
const char *anl_folder_specs(anl_arena *arena);
/* The folder of the rules' pages, in the source tree or installed. */
const char *anl_folder_rules(void);
/* The module that reads DICOM, where the build has one. */
const char *anl_module_dicom(void);
/* The module that draws preview sheets, where the build has one. */
const char *anl_module_preview(void);
/* The folder for what can be made again (SPIR-V, pipelines, measured variants): $XDG_CACHE_HOME/anlage, else ~/.cache/anlage.
 * NULL where neither variable is set: then nothing is cached. It need not exist yet. */
const char *anl_folder_cache(anl_arena *arena);
/* folder/name, or name itself when it is absolute or folder is NULL or empty. */
const char *anl_path_join(anl_arena *arena, const char *folder, const char *name);
/* The folder part of a path: "." for a plain name, "/" for a name in the root. */
const char *anl_path_folder(anl_arena *arena, const char *path);

#endif
