/* anlage eval: metrics of a checkpoint on a split.
 * In: spec, checkpoint or run folder. Out: a table, or JSON. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
    "usage: anlage eval SPEC --checkpoint FILE-or-RUN [--split test] [--device D] [--json] [--set name=value]...\n"
    "\n"
    "Prints each metric of the spec; ROC AUC per label with a 95 % bootstrap interval that resamples patients.\n";

static void print_number(double value, int width)
{
    if (isnan(value))
        printf("%*s", width, "-");
    else
        printf("%*.4f", width, value);
}

int anl_cmd_eval(int argc, char **argv)
{
    static const struct option options[] = {{"checkpoint", required_argument, 0, 'c'}, {"split", required_argument, 0, 'p'}, {"device", required_argument, 0, 'd'},
                                            {"set", required_argument, 0, 's'},        {"json", no_argument, 0, 'j'},        {"help", no_argument, 0, 'h'},
                                            {0}};
    anl_evaluate_options o = {0};
    text_list sets = {0};
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'c': o.checkpoint = optarg; break;
        case 'p': o.split = optarg; break;
        case 'd': o.source.device = optarg; break;
        case 's': list_add(&sets, optarg); break;
        case 'j': json = true; break;
        case 'h': fputs(usage, stdout); return EXIT_GOOD;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("eval", usage, "give one spec");
    if (!o.checkpoint)
        return usage_error("eval", usage, "give a checkpoint or a run folder with --checkpoint");
    o.source.spec = argv[optind];
    o.source.overrides = sets.items;
    o.source.override_count = sets.count;
    o.stop = stop_requested;
    catch_signals();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_evaluation e;
    anl_status status = anl_evaluate(&o, diagnostics, &e);
    if (status == ANL_OK && json) {
        anl_evaluation_write(&e, o.split ? o.split : "test", stdout);
    } else if (status == ANL_OK) {
        int width = 6;
        for (int i = 0; i < e.count; i++) {
            int length = (int)(strlen(e.values[i].metric) + strlen(e.values[i].label) + 1);
            width = length > width ? length : width;
        }
        printf("%s: %lld samples on %s\n", o.split ? o.split : "test", (long long)e.samples, e.device);
        printf("%-*s %8s %8s %8s %9s %9s %8s\n", width, "metric", "value", "low", "high", "positive", "negative", "patients");
        for (int i = 0; i < e.count; i++) {
            const anl_metric_value *v = &e.values[i];
            char name[256];
            snprintf(name, sizeof name, "%s%s%s", v->metric, v->label[0] ? " " : "", v->label);
            printf("%-*s ", width, name);
            print_number(v->value, 8);
            putchar(' ');
            print_number(v->low, 8);
            putchar(' ');
            print_number(v->high, 8);
            printf(" %9lld %9lld %8lld\n", (long long)v->positives, (long long)v->negatives, (long long)v->patients);
        }
    }
    anl_evaluation_free(&e);
    return finish(&diagnostics, status);
}
