/* anlage explain: what a spec compiles to, and what differs between two.
 * In: one spec or two, --set, what to show. Out: sizes, costs and memory; or the graph; or the kernels. No data is needed, and no
 * device unless one is asked for. */
#include <anlage/program.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
    "usage: anlage explain SPEC [--set name=value]... [options]\n"
    "       anlage explain A.yaml B.yaml [--set name=value]... [options]\n"
    "\n"
    "Parameters, state, work, memory and kernels of a spec's training step, and the costs by path: gradients count where the\n"
    "value does that they are of, updates where the weight does. With two specs: what differs in the recipes and in the "
    "programs.\n"
    "\n"
    "  --set name=value   override a param of the spec\n"
    "  --depth N          parts of a path that make a row (2; with --format json all)\n"
    "  --format FORMAT    text or json\n"
    "  --evaluate         the program of evaluation instead of training\n"
    "  --step N           the phase of training that step N belongs to\n"
    "  --assume DEVICE    whether it fits such a device, and the largest batch that does: memory=8GiB,storage_range=128MiB,...\n"
    "  --device DEVICE    whether it fits this device: host, vulkan, vulkan:N; with --measure: where to run it (auto)\n"
    "  --measure          run the step on random images, and show its time beside the estimate\n"
    "  --threads N        of the host device (0: all cores)\n"
    "  --check            let the program checker judge it\n"
    "  --unfused          every node its own kernel\n"
    "  --stage graph      instead: the nodes with their axes\n"
    "  --stage program    instead: the kernels, one line each: dims (kept ; reduced), buffers, instructions, cost, name;\n"
    "                     | is a barrier, > a written buffer\n"
    "  --kernel N         with --stage program: also the instructions of kernel N\n";

int anl_cmd_explain(int argc, char **argv)
{
    static const struct option options[] = {
        {"set", required_argument, 0, 's'},     {"stage", required_argument, 0, 'g'},  {"kernel", required_argument, 0, 'k'},
        {"evaluate", no_argument, 0, 'e'},      {"step", required_argument, 0, 't'},   {"unfused", no_argument, 0, 'u'},
        {"check", no_argument, 0, 'c'},         {"depth", required_argument, 0, 'd'},  {"format", required_argument, 0, 'f'},
        {"assume", required_argument, 0, 'a'},  {"device", required_argument, 0, 'D'}, {"measure", no_argument, 0, 'm'},
        {"threads", required_argument, 0, 'n'}, {"help", no_argument, 0, 'h'},         {0}};
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
        case 'f':
            if (strcmp(optarg, "text") && strcmp(optarg, "json"))
                return usage_error("explain", usage, "--format is text or json, not `%s`", optarg);
            explain.json = !strcmp(optarg, "json");
            break;
        case 'a':
            explain.assume = optarg;
            break;
        case 'D':
            explain.device = optarg;
            break;
        case 'm':
            explain.measure = true;
            break;
        case 'k':
        case 't':
        case 'd':
        case 'n':
            if (!parse_integer(optarg, c == 'd' ? 1 : 0, &number) || number > (c == 't' ? INT64_MAX : INT32_MAX))
                return usage_error("explain", usage, "`%s` is no number that can be meant here", optarg);
            if (c == 'k')
                explain.kernel = (int)number;
            else if (c == 'd')
                explain.depth = (int)number;
            else if (c == 'n')
                explain.threads = (int)number;
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
    if (optind + 1 != argc && optind + 2 != argc)
        return usage_error("explain", usage, "give one spec, or two to compare");
    explain.spec = argv[optind];
    explain.other = optind + 2 == argc ? argv[optind + 1] : NULL;
    bool summary = explain.stage == ANL_EXPLAIN_SUMMARY;
    if (explain.other && (!summary || explain.measure || explain.assume || explain.device))
        return usage_error("explain", usage, "--stage, --measure, --assume and --device are for one spec");
    if (!summary && (explain.json || explain.measure || explain.assume || explain.device))
        return usage_error("explain", usage, "--format, --measure, --assume and --device do not go with --stage");
    if (explain.assume && explain.device && !explain.measure)
        return usage_error("explain", usage, "a device is either assumed or named");
    if (explain.unfused && explain.measure)
        return usage_error("explain", usage, "devices run the fused program: --unfused does not go with --measure");
    explain.overrides = sets.items;
    explain.override_count = sets.count;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_explain(&explain, stdout, diagnostics);
    return finish(&diagnostics, status);
}
