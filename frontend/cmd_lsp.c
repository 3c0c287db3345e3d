/* anlage lsp: the language server, for editors.
 * In: messages of the Language Server Protocol 3.17 on standard input. Out: answers on standard output; exit 0 after shutdown and
 * exit, 1 where the client left without. Needs cJSON; without it, it says so and exits with 2. */
#include <getopt.h>
#include <stdio.h>

#include "command.h"
#include "lsp.h"
#include "version.h"

static const char usage[] =
    "usage: anlage lsp\n"
    "\n"
    "Speaks the Language Server Protocol on standard input and output; editors start it (README.md says how).\n"
    "Options that editors give in initializationOptions: {\"set\": [\"batch=128\"], \"data\": [\"shards/*.h5\"], \"assume\": "
    "\"memory=8GiB\"},\n"
    "with the meaning they have for anlage lint.\n"
    "\n"
    "  --stdio   what it does anyway; some clients insist on it\n";

int anl_cmd_lsp(int argc, char **argv)
{
    static const struct option options[] = {{"stdio", no_argument, 0, 'i'}, {"help", no_argument, 0, 'h'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
        if (c != 'i') {
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc)
        return usage_error("lsp", usage, "takes no argument `%s`", argv[optind]);
#if ANLAGE_HAVE_CJSON
    return lsp_serve();
#else
    fputs("anlage lsp: built without cJSON (Debian: libcjson-dev), so there is no language server\n", stderr);
    return EXIT_USAGE;
#endif
}
