/* anlage schema: the JSON Schema with which editors complete and check the keys of specs.
 * In: nothing. Out: the schema on stdout. */
#include <anlage/schema.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
    "usage: anlage schema > anlage.schema.json\n"
    "\n"
    "Prints a JSON Schema (draft 7) of spec files. yaml-language-server completes and checks keys with it where a spec's first "
    "line is\n"
    "\n"
    "  # yaml-language-server: $schema=anlage.schema.json\n"
    "\n"
    "(a path relative to the spec), or where the editor's setting yaml.schemas names it for the specs' paths.\n";

int anl_cmd_schema(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return EXIT_GOOD;
    }
    if (argc > 1)
        return usage_error("schema", usage, "`%s` is no argument of it", argv[1]);
    anl_schema_print(stdout);
    return EXIT_GOOD;
}
