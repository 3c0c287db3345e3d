/* The `anlage` command: finds the subcommand and hands over.
 * In: the command line. Out: the subcommand's exit code. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "version.h"

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"lint", "check specs: all problems, with place and remedy", anl_cmd_lint},
    {"fmt", "put specs into their one canonical layout", anl_cmd_fmt},
    {"lsp", "language server for editors, on standard input and output", anl_cmd_lsp},
    {"pack", "make data sets (HDF5 shards) of images and labels", anl_cmd_pack},
    {"inspect", "show what a shard holds", anl_cmd_inspect},
    {"preview", "a sheet of samples and of the views that a spec makes of them", anl_cmd_preview},
    {"train", "pretrain or fine-tune as a spec says", anl_cmd_train},
    {"eval", "metrics of a trained run, with intervals by patient", anl_cmd_eval},
    {"run", "evaluate named values of a spec on given arrays", anl_cmd_run},
    {"bench", "images per second of a spec's training step", anl_cmd_bench},
    {"explain", "what a spec compiles to: sizes, costs, memory, kernels", anl_cmd_explain},
    {"draw", "a spec's dataflow as a picture (SVG, PDF, PNG, DOT)", anl_cmd_draw},
    {"devices", "what a spec can run on here", anl_cmd_devices},
    {"ops", "reference of the language's operations", anl_cmd_ops},
    {"schema", "JSON Schema of specs, for editors", anl_cmd_schema},
};

static void print_help(FILE *out)
{
    fputs("anlage: pretraining of medical image encoders, from specs\n\nusage: anlage COMMAND [arguments]   (anlage COMMAND --help says more)\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n  --version  version and what it was built with\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help(stdout);
        return EXIT_GOOD;
    }
    if (!strcmp(name, "--version")) {
        puts(ANLAGE_VERSION_TEXT);
        return EXIT_GOOD;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "anlage: there is no command `%s`\n\n", name);
    print_help(stderr);
    return EXIT_USAGE;
}
