/* Trees of YAML and their writing in a random layout.
 * In: mappings, lists and scalars. Out: a text that reads as that tree, whatever the layout.
 * For the generator of specs: block or flow, quotes, comments, blank lines, indentation, anchors. */
#ifndef ANL_TESTS_YAML_H
#define ANL_TESTS_YAML_H

#include "harness.h"

typedef enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAPPING } yaml_kind;
typedef struct yaml yaml;
struct yaml {
    yaml_kind kind;
    const char *text;  /* scalar */
    bool bare;         /* scalar: quotes would change its meaning */
    bool quoted;       /* scalar: a text, which stands in quotes */
    int times, anchor; /* how often it stands in the tree; its anchor's number once it was written */
    const char **keys; /* mapping */
    yaml **items;
    int count, capacity, key_capacity;
};

yaml *yaml_scalar(anl_arena *arena, const char *format, ...) ANL_PRINTF(2, 3); /* an expression or a word */
yaml *yaml_bare(anl_arena *arena, const char *format, ...) ANL_PRINTF(2, 3);
yaml *yaml_text(anl_arena *arena, const char *text);
yaml *yaml_list(anl_arena *arena);
yaml *yaml_mapping(anl_arena *arena);
yaml *yaml_add(anl_arena *arena, yaml *list, yaml *item);                       /* returns item */
yaml *yaml_put(anl_arena *arena, yaml *mapping, const char *key, yaml *value); /* returns value */
void yaml_write(const yaml *tree, uint64_t *random, anl_text *out);

#endif
