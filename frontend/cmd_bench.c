/* anlage bench: the speed of a spec's training step, or of the loader.
 * In: spec and device, or shards. Out: a line `images_per_second N` (median), or a table of kernels. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/dataset.h>

#include "command.h"

static const char usage[] =
    "usage: anlage bench SPEC [--device D] [--steps N] [--warmup N] [--threads N] [--kernels] [--set name=value]...\n"
    "       anlage bench loader SHARDS [--batch N] [--threads N] [--warm]\n"
    "\n"
    "Trains on random images and prints images_per_second (median of the steps after warm-up).\n"
    "  --kernels  seconds of each kernel instead, the slowest first\n"
    "\n"
    "bench loader delivers batches of the shards (a glob, in quotes) in training order and prints images/s and GB/s beside\n"
    "the plain sequential reading of the same files, in turns; both from files that are not in memory, or with --warm from those that are.\n"
    "  --threads  that read and convert; one more looks up what comes next\n";

static int bench_loader(int argc, char **argv)
{
    static const struct option options[] = {{"batch", required_argument, 0, 'b'}, {"threads", required_argument, 0, 't'},
                                            {"warm", no_argument, 0, 'w'},        {"help", no_argument, 0, 'h'},
                                            {0}};
    anl_loader_bench_options o = {.batch = 64, .threads = 1};
    long long number;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'b':
            if (!parse_integer(optarg, 1, &number) || number > 65536)
                return usage_error("bench", usage, "--batch takes 1 to 65536 images, not `%s`", optarg);
            o.batch = (int)number;
            break;
        case 't':
            if (!parse_integer(optarg, 1, &number) || number > 4096)
                return usage_error("bench", usage, "--threads takes a number of threads, not `%s`", optarg);
            o.threads = (int)number;
            break;
        case 'w': o.warm = true; break;
        case 'h': fputs(usage, stdout); return EXIT_GOOD;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("bench", usage, "give the shards, as one pattern in quotes");
    o.pattern = argv[optind];
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_loader_bench_result r;
    anl_status status = anl_loader_bench(&o, diagnostics, &r);
    if (status == ANL_OK) {
        printf("samples    %lld, %.1f MB in files%s\n", (long long)r.samples, (double)r.bytes / 1e6, o.warm ? ", in memory" : "");
        printf("loader     %.0f images/s  %.3f GB/s  batch %d, %d thread%s\n", r.images_per_second, r.bytes_per_second / 1e9, o.batch, o.threads,
               o.threads == 1 ? "" : "s");
        printf("plain      %.3f GB/s, sequential\n", r.plain_bytes_per_second / 1e9);
        printf("ratio      %.2f\n", r.bytes_per_second / r.plain_bytes_per_second);
    }
    return finish(&diagnostics, status);
}

int anl_cmd_bench(int argc, char **argv)
{
    static const struct option options[] = {{"device", required_argument, 0, 'd'},  {"steps", required_argument, 0, 'n'}, {"warmup", required_argument, 0, 'w'},
                                            {"threads", required_argument, 0, 't'}, {"kernels", no_argument, 0, 'k'},     {"set", required_argument, 0, 's'},
                                            {"help", no_argument, 0, 'h'},          {0}};
    if (argc > 1 && !strcmp(argv[1], "loader"))
        return bench_loader(argc - 1, argv + 1);
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
