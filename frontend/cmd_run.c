/* anlage run: evaluates named values of a spec on given arrays, or writes initial weights.
 * In: spec, HDF5 arrays for its fields, names and expressions. Out: an HDF5 file. */
#include <getopt.h>
#include <stdio.h>

#include "command.h"

static const char usage[] =
    "usage: anlage run SPEC --feed name=file.h5:/path... --fetch name,... --out out.h5 [--weights ckpt.h5] [--device D]\n"
    "       anlage run SPEC --init-weights out.h5\n"
    "\n"
    "  --feed name=file.h5:/path  an array for a field of the spec, [batch, axes as declared]; name:mask for its mask\n"
    "  --fetch a,b,...            nodes, views, losses (loss.NAME), expressions, gradient(path.of.weight)\n"
    "  --weights FILE             weights or a checkpoint; else the spec's initial values\n"
    "  --evaluate                 as in evaluation (training is false)\n"
    "  --step N                   the step that schedules and draws see (0)\n"
    "  --precise                  host in float64 without fusion: the reference\n"
    "  --set name=value           override a param of the spec\n";

int anl_cmd_run(int argc, char **argv)
{
    static const struct option options[] = {{"feed", required_argument, 0, 'f'},   {"fetch", required_argument, 0, 'g'}, {"out", required_argument, 0, 'o'},
                                            {"weights", required_argument, 0, 'w'}, {"device", required_argument, 0, 'd'}, {"set", required_argument, 0, 's'},
                                            {"init-weights", required_argument, 0, 'i'}, {"evaluate", no_argument, 0, 'e'}, {"step", required_argument, 0, 'n'},
                                            {"precise", no_argument, 0, 'p'},      {"validate", no_argument, 0, 'v'},    {"help", no_argument, 0, 'h'},
                                            {0}};
    anl_values_options o = {0};
    text_list sets = {0}, feeds = {0}, fetches = {0};
    long long number;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'f': list_add(&feeds, optarg); break;
        case 'g': list_add_split(&fetches, optarg); break;
        case 'o': o.out = optarg; break;
        case 'w': o.weights = optarg; break;
        case 'd': o.source.device = optarg; break;
        case 's': list_add(&sets, optarg); break;
        case 'i': o.init_weights = optarg; break;
        case 'e': o.evaluate = true; break;
        case 'p': o.source.precise = true; break;
        case 'v': o.source.validation = true; break;
        case 'n':
            if (!parse_integer(optarg, 0, &number))
                return usage_error("run", usage, "--step takes a step number, not `%s`", optarg);
            o.step = number;
            break;
        case 'h': fputs(usage, stdout); return EXIT_GOOD;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("run", usage, "give one spec");
    if (!o.init_weights && (fetches.count == 0 || !o.out))
        return usage_error("run", usage, "give --fetch and --out, or --init-weights");
    if (o.source.precise && !o.source.device)
        o.source.device = "host";
    o.source.spec = argv[optind];
    o.source.overrides = sets.items;
    o.source.override_count = sets.count;
    o.feeds = feeds.items;
    o.feed_count = feeds.count;
    o.fetches = fetches.items;
    o.fetch_count = fetches.count;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_run_values(&o, diagnostics);
    return finish(&diagnostics, status);
}
