/* anlage preview: a contact sheet of samples and views.
 * In: spec, --set, its shards. Out: a PNG or an HTML file, and a line about it. */
#include <anlage/preview.h>
#include <getopt.h>
#include <stdio.h>

#include "command.h"

static const char usage[] =
    "usage: anlage preview SPEC -o sheet.png|sheet.html [--set name=value]... [options]\n"
    "\n"
    "Shows the first samples of training and each of their views, as training's first step sees them, with the values\n"
    "that were drawn for them. HTML stands alone, with the pictures in it.\n"
    "\n"
    "  -o FILE            FILE.png (needs cairo, see anlage --version) or FILE.html\n"
    "  --samples N        rows (4; with --strength 1)\n"
    "  --strength         a row for each augmentation instead: its draws at the low end, the middle and the high end\n"
    "                     of their ranges, all others held in the middle and chances off\n"
    "  --seed S           of order and draws, instead of the recipe's\n"
    "  --split NAME       train, valid or test (train)\n"
    "  --window C,W       grey levels of samples with a unit: centre and width (HU: 40,400; else from the data)\n"
    "  --device DEVICE    auto, host, vulkan, vulkan:N\n"
    "  --threads N        of the host device (0: all cores)\n"
    "  --set name=value   override a param of the spec\n";

int anl_cmd_preview(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, 0, 'o'},
                                            {"samples", required_argument, 0, 'n'},
                                            {"strength", no_argument, 0, 't'},
                                            {"seed", required_argument, 0, 'e'},
                                            {"split", required_argument, 0, 'p'},
                                            {"window", required_argument, 0, 'w'},
                                            {"device", required_argument, 0, 'd'},
                                            {"threads", required_argument, 0, 'j'},
                                            {"set", required_argument, 0, 's'},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    anl_preview_options o = {.seed = -1};
    text_list sets = {0};
    long long number;
    for (int c; (c = getopt_long(argc, argv, "ho:", options, NULL)) != -1;) {
        switch (c) {
        case 'o':
            o.out = optarg;
            break;
        case 't':
            o.strength = true;
            break;
        case 'p':
            o.split = optarg;
            break;
        case 'd':
            o.source.device = optarg;
            break;
        case 's':
            list_add(&sets, optarg);
            break;
        case 'n':
            if (!parse_integer(optarg, 1, &number) || number > 256)
                return usage_error("preview", usage, "--samples takes a number from 1 to 256, not `%s`", optarg);
            o.samples = (int)number;
            break;
        case 'j':
            if (!parse_integer(optarg, 0, &number) || number > 4096)
                return usage_error("preview", usage, "--threads takes a number of threads, not `%s`", optarg);
            o.source.threads = (int)number;
            break;
        case 'e':
            if (!parse_integer(optarg, 0, &number))
                return usage_error("preview", usage, "--seed takes a whole number from 0, not `%s`", optarg);
            o.seed = number;
            break;
        case 'w':
            if (!parse_window(optarg, o.window))
                return usage_error("preview", usage, "--window takes a centre and a width above 0, such as 40,400, not `%s`",
                                   optarg);
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
        return usage_error("preview", usage, "give one spec");
    if (!o.out)
        return usage_error("preview", usage, "give the file to write with -o: sheet.png or sheet.html");
    o.source.spec = argv[optind];
    o.source.overrides = sets.items;
    o.source.override_count = sets.count;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_preview_report report;
    anl_status status = anl_preview(&o, &report, diagnostics);
    if (status == ANL_OK) {
        printf("%s: %d sample%s, %d view%s, %d row%s", o.out, report.samples, report.samples == 1 ? "" : "s", report.views,
               report.views == 1 ? "" : "s", report.rows, report.rows == 1 ? "" : "s");
        if (report.width)
            printf(", %d x %d pixels", report.width, report.height);
        putchar('\n');
    }
    return finish(&diagnostics, status);
}
