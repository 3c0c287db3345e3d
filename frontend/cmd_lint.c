/* anlage lint: checks specs and reports every problem with place and remedy.
 * In: spec files, --set. Out: diagnostics on stderr; exit 1 if any spec has an error. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include <anlage/spec.h>

#include "command.h"

static const char usage[] = "usage: anlage lint SPEC... [--set name=value]... [--print]\n"
                            "\n"
                            "  --set name=value   override a param of the specs\n"
                            "  --print            write the spec with its imports and overrides resolved to stdout\n";

int anl_cmd_lint(int argc, char **argv)
{
    static const struct option options[] = {
        {"set", required_argument, 0, 's'}, {"print", no_argument, 0, 'p'}, {"help", no_argument, 0, 'h'}, {0}};
    text_list sets = {0};
    bool print = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            list_add(&sets, optarg);
            break;
        case 'p':
            print = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_GOOD;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return usage_error("lint", usage, "give a spec");
    int errors = 0, warnings = 0;
    bool failed = false;
    for (int i = optind; i < argc; i++) { /* a list for each spec: what two of them import is reported with both */
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_spec *spec = NULL;
        anl_status status = anl_spec_load(argv[i], sets.items, sets.count, diagnostics, &spec);
        if (spec) {
            anl_status checked = anl_spec_check(spec, diagnostics);
            status = status != ANL_OK ? status : checked;
        }
        anl_diagnostics_print(diagnostics, stderr, isatty(STDERR_FILENO));
        if (status == ANL_OK && print)
            status = anl_spec_print(spec, stdout);
        failed = failed || status != ANL_OK;
        errors += anl_diagnostics_errors(diagnostics);
        warnings += anl_diagnostics_warnings(diagnostics);
        anl_spec_free(&spec);
        anl_diagnostics_free(&diagnostics);
    }
    if (errors || warnings)
        fprintf(stderr, "%d error%s, %d warning%s\n", errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
    return failed ? EXIT_PROBLEMS : EXIT_GOOD;
}
