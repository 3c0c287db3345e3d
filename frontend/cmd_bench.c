/* anlage bench: the speed of a spec's training step.
 * In: spec, device. Out: a line `images_per_second N` (median), or a table of kernels. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"

static const char usage[] =
    "usage: anlage bench SPEC [--device D] [--steps N] [--warmup N] [--threads N] [--kernels] [--set name=value]...\n"
    "\n"
    "Trains on random images and prints images_per_second (median of the steps after warm-up).\n"
    "  --kernels  seconds of each kernel instead, the slowest first\n";

int anl_cmd_bench(int argc, char **argv)
{
    static const struct option options[] = {{"device", required_argument, 0, 'd'},  {"steps", required_argument, 0, 'n'}, {"warmup", required_argument, 0, 'w'},
                                            {"threads", required_argument, 0, 't'}, {"kernels", no_argument, 0, 'k'},     {"set", required_argument, 0, 's'},
                                            {"help", no_argument, 0, 'h'},          {0}};
    anl_run_source source = {0};
    text_list sets = {0};
    long long steps = 20, warmup = 3, threads = 0;
    bool kernels = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'd': source.device = optarg; break;
        case 's': list_add(&sets, optarg); break;
        case 'k': kernels = true; break;
        case 'n':
            if (!parse_integer(optarg, 1, &steps) || steps > 1000000)
                return usage_error("bench", usage, "--steps takes a number from 1 to 1000000, not `%s`", optarg);
            break;
        case 'w':
            if (!parse_integer(optarg, 1, &warmup) || warmup > 1000000)
                return usage_error("bench", usage, "--warmup takes a number from 1 to 1000000, not `%s`", optarg);
            break;
        case 't':
            if (!parse_integer(optarg, 1, &threads) || threads > 4096)
                return usage_error("bench", usage, "--threads takes a number of threads, not `%s`", optarg);
            break;
        case 'h': fputs(usage, stdout); return EXIT_GOOD;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("bench", usage, "give one spec");
    source.spec = argv[optind];
    source.overrides = sets.items;
    source.override_count = sets.count;
    source.threads = (int)threads;
    catch_signals();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    if (kernels)
        return finish(&diagnostics, anl_bench_kernels(&source, stdout, diagnostics));
    anl_bench_result r;
    anl_status status = anl_bench(&source, (int)warmup, (int)steps, stop_requested, NULL, diagnostics, &r);
    if (status == ANL_OK) {
        printf("%s: batch %d, %d steps, median %.2f ms (%.2f to %.2f), ready after %.1f s, loss %.4f\n", r.device, r.batch, r.steps, r.step_ms, r.fastest_ms, r.slowest_ms,
               r.prepare_seconds, r.loss);
        printf("images_per_second %.1f\n", r.images_per_second);
        free(r.device);
    }
    return finish(&diagnostics, status);
}
