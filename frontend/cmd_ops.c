/* anlage ops: the reference of the language's operations, printed from the operation table.
 * In: nothing, or names. Out: an overview, or each operation's page. */
#include <anlage/ops.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] = "usage: anlage ops [NAME]...\n\nWithout a name: all operations, a line each. With names: their pages.\n";

int anl_cmd_ops(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(usage, stdout);
        return EXIT_GOOD;
    }
    if (argc == 1) {
        anl_ops_print(stdout, NULL);
        return EXIT_GOOD;
    }
    int code = EXIT_GOOD;
    for (int i = 1; i < argc; i++) {
        if (anl_ops_has(argv[i])) {
            if (i > 1)
                putchar('\n');
            anl_ops_print(stdout, argv[i]);
            continue;
        }
        const char *near = anl_ops_nearest(argv[i]);
        fprintf(stderr, "anlage ops: there is no operation `%s`%s%s%s\n", argv[i], near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
        code = EXIT_PROBLEMS;
    }
    return code;
}
