/* anlage explain: what a spec compiles to.
 * In: a spec, --set, the stage to show. Out: sizes, costs and memory; or the graph; or the kernels. No device, no data needed. */
#include <anlage/program.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
    "usage: anlage explain SPEC [--set name=value]... [--stage graph|program] [options]\n"
    "\n"
    "Without --stage: parameters, FLOPs, memory, kernels, and a table by module.\n"
    "\n"
    "  --set name=value   override a param of the spec\n"
    "  --stage graph      the nodes with their axes\n"
    "  --stage program    the kernels, one line each: dims (kept ; reduced), buffers, instructions, cost, name;\n"
    "                     | is a barrier, > a written buffer\n"
    "  --kernel N         with --stage program: also the instructions of kernel N\n"
    "  --evaluate         the program of evaluation instead of training\n"
    "  --step N           the phase of training that step N belongs to\n"
    "  --unfused          every node its own kernel\n"
    "  --check            let the program checker judge it\n"
    "  --depth N          parts of a path that make a row of the tables (2)\n";

int anl_cmd_explain(int argc, char **argv)
{
    static const struct option options[] = {{"set", required_argument, 0, 's'},    {"stage", required_argument, 0, 'g'},
                                            {"kernel", required_argument, 0, 'k'}, {"evaluate", no_argument, 0, 'e'},
                                            {"step", required_argument, 0, 't'},   {"unfused", no_argument, 0, 'u'},
                                            {"check", no_argument, 0, 'c'},        {"depth", required_argument, 0, 'd'},
                                            {"help", no_argument, 0, 'h'},         {0}};
    text_list sets = {0};
    anl_explain_options explain = {.kernel = -1};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        long long number = 0;
        switch (c) {
        case 's':
            list_add(&sets, optarg);
            break;
        case 'g':
            if (!strcmp(optarg, "graph"))
                explain.stage = ANL_EXPLAIN_GRAPH;
            else if (!strcmp(optarg, "program"))
                explain.stage = ANL_EXPLAIN_PROGRAM;
            else
                return usage_error("explain", usage, "--stage is graph or program, not `%s`", optarg);
            break;
        case 'k':
        case 't':
        case 'd':
            if (!parse_integer(optarg, c == 'd' ? 1 : 0, &number) || number > (c == 't' ? INT64_MAX : INT32_MAX))
                return usage_error("explain", usage, "`%s` is no number that can be meant here", optarg);
            if (c == 'k')
                explain.kernel = (int)number;
            else if (c == 'd')
                explain.depth = (int)number;
            else
                explain.step = number;
            break;
        case 'e':
            explain.evaluate = true;
            break;
        case 'u':
            explain.unfused = true;
            break;
        case 'c':
            explain.checked = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_GOOD;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("explain", usage, "give one spec");
    explain.spec = argv[optind];
    explain.overrides = sets.items;
    explain.override_count = sets.count;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_explain(&explain, stdout, diagnostics);
    return finish(&diagnostics, status);
}
