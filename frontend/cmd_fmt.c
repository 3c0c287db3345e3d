/* anlage fmt: puts specs into their one canonical layout.
 * In: spec files, folders or standard input. Out: the files rewritten, or what would change; exit 0 good, 1 problems, 2 wrong usage.
 * A file with errors of YAML or expressions is left as it is. */
#include <anlage/format.h>
#include <anlage/text.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

static const char usage[] = "usage: anlage fmt SPEC... [--check] [--diff]\n"
                            "\n"
                            "SPEC is a file, a folder (all .yaml and .yml below it), or - for standard input, then the result goes to stdout.\n"
                            "Comments, keys, values and their order stay as they are; only blanks and line breaks change.\n"
                            "\n"
                            "  --check   change nothing, name the files that would change, and fail if there is one\n"
                            "  --diff    change nothing, show what would change\n";

typedef struct job {
    bool check, diff, failed;
    int changed;
} job;

static void format_text(job *j, const char *path, const char *text, size_t length)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char *laid = NULL;
    size_t laid_length = 0;
    bool input = !path, good = anl_format(input ? "<stdin>" : path, text, length, diagnostics, &laid, &laid_length) == ANL_OK;
    bool changed = good && (laid_length != length || memcmp(laid, text, length));
    j->changed += changed;
    if (j->diff && changed)
        anl_diff_print(input ? "<stdin>" : path, text, length, laid, laid_length, stdout);
    else if (j->check && changed)
        printf("%s\n", input ? "<stdin>" : path);
    else if (input && !j->check && !j->diff)
        fwrite(good ? laid : text, 1, good ? laid_length : length, stdout);
    else if (changed && !j->check && anl_text_write(path, laid, laid_length) != ANL_OK) {
        fprintf(stderr, "anlage fmt: cannot write `%s`: %s; it is as it was\n", path, strerror(errno));
        good = false;
    }
    anl_diagnostics_print(diagnostics, stderr, isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
    j->failed = j->failed || !good;
    free(laid);
    anl_diagnostics_free(&diagnostics);
}

static void format_one(void *context, const char *path)
{
    job *j = context;
    FILE *file = path ? fopen(path, "rb") : stdin;
    if (!file) {
        fprintf(stderr, "anlage fmt: cannot read `%s`: %s\n", path, strerror(errno));
        j->failed = true;
        return;
    }
    size_t length = 0;
    char *text = read_all(file, &length);
    bool broken = ferror(file);
    if (path)
        fclose(file);
    if (broken) {
        fprintf(stderr, "anlage fmt: cannot read `%s`\n", path ? path : "standard input");
        j->failed = true;
    } else {
        format_text(j, path, text, length);
    }
    free(text);
}

int anl_cmd_fmt(int argc, char **argv)
{
    static const struct option options[] = {
        {"check", no_argument, 0, 'c'}, {"diff", no_argument, 0, 'd'}, {"help", no_argument, 0, 'h'}, {0}};
    job j = {0};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            j.check = true;
            break;
        case 'd':
            j.diff = true;
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
        return usage_error("fmt", usage, "give a spec");
    for (int i = optind; i < argc; i++)
        if (!each_spec(argv[i], format_one, &j))
            return usage_error("fmt", usage, "no .yaml or .yml file below `%s`", argv[i]);
    if (j.check && j.changed)
        fprintf(stderr, "%d file%s would change: run anlage fmt\n", j.changed, j.changed == 1 ? "" : "s");
    return j.failed || (j.check && j.changed) ? EXIT_PROBLEMS : EXIT_GOOD;
}
