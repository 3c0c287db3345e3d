/* anlage lint: checks specs and reports every problem with place and remedy; makes the fixes that are safe.
 * In: spec files, folders or standard input. Out: the report on stdout; exit 0 clean, 1 problems, 2 wrong usage, 3 internal.
 * Warnings do not fail a run, unless --max-warnings says how many are too many. */
#include <anlage/lint.h>
#include <anlage/text.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "rules.h"

static const char usage[] =
    "usage: anlage lint SPEC... [--set name=value]... [options]\n"
    "       anlage lint --explain A0123\n"
    "\n"
    "SPEC is a file, a folder (all .yaml and .yml below it), or - for standard input.\n"
    "\n"
    "  --set name=value     override a param of the specs\n"
    "  --fix                make the fixes that are safe; --fix --diff only shows them\n"
    "  --format FORMAT      text, json, sarif or github\n"
    "  --max-warnings N     fail where there are more than N warnings\n"
    "  --data SHARDS        judge the specs against these shards too (files or globs)\n"
    "  --assume DEVICE      judge whether they fit a device: memory=8GiB,storage_range=128MiB,...\n"
    "  --explain CODE       what a code means, why it matters, with examples\n"
    "  --print              write the spec with its imports and overrides resolved instead of the report\n"
    "\n"
    "A warning is allowed in the text: `# lint: allow A0213 because <reason>`, on its line or on a line of its own above.\n";

typedef struct job {
    anl_lint_options options;
    anl_report_format format;
    bool fix, diff, print, colour;
    int errors, warnings, fixed;
    bool failed;
    anl_diagnostics *all; /* of every spec: formats other than text are one document */
} job;

/* ---- --explain ---- */
static void print_part(rule_part part) { printf("%.*s", (int)part.length, part.text); }

static int explain(const char *word)
{
    char *end;
    long number = strtol(*word == 'A' || *word == 'a' ? word + 1 : word, &end, 10);
    anl_code code = 0;
    for (int i = 0; anl_code_at(i); i++)
        if ((*end == 0 && end > word && anl_code_at(i) == number) || !strcmp(anl_code_name(anl_code_at(i)), word))
            code = anl_code_at(i);
    const char *page = rule_page(code);
    if (!page) {
        fprintf(stderr, "anlage lint: there is no code `%s`; codes look like A0213, and stand in brackets in the report\n", word);
        return EXIT_USAGE;
    }
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";
    static const char *const words[] = {"note", "warning", "error"};
    printf("%sA%04d %s (%s): ", bold, code, anl_code_name(code), words[anl_code_severity(code)]);
    print_part(rule_title(page));
    printf("%s\n\n", plain);
    print_part(rule_prose(page));
    putchar('\n');
    rule_part source = rule_note(page, "Source"), options = rule_note(page, "Options");
    if (source.text)
        printf("\nSource: %.*s\n", (int)source.length, source.text);
    if (options.text)
        printf("\nThe examples are judged with %.*s.\n", (int)options.length, options.text);
    static const char *const sections[][2] = {
        {"Fails", "This fails"}, {"Passes", "This passes"}, {"Fixed", "What --fix makes of it"}, {"Seen", "What it looks like"}};
    bool base = false;
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        char name[64];
        rule_part part;
        for (int i = 0; (part = rule_example(page, sections[s][0], i, name)).text; i++) {
            if (!i)
                printf("\n%s%s:%s\n", bold, sections[s][1], plain);
            else if (strcmp(sections[s][0], "Seen")) /* further files of an example; further reports have no names */
                printf("\n%s:\n", name);
            else
                putchar('\n');
            for (const char *line = part.text; line < part.text + part.length;) {
                const char *stop = memchr(line, '\n', (size_t)(part.text + part.length - line));
                printf("    %.*s\n", (int)(stop - line), line);
                line = stop + 1;
            }
            base = base || memmem(part.text, part.length, "base.yaml", 9);
        }
    }
    if (base)
        printf("\nbase.yaml:\n");
    for (const char *line = rule_base; base && *line;) {
        const char *stop = strchr(line, '\n');
        printf("    %.*s\n", (int)(stop - line), line);
        line = stop + 1;
    }
    return EXIT_GOOD;
}

/* ---- one spec ---- */
static void report(job *j, const anl_diagnostics *diagnostics)
{
    if (j->format == ANL_REPORT_TEXT)
        anl_diagnostics_print(diagnostics, stdout, j->colour);
    else
        anl_diagnostics_append(j->all, diagnostics);
    j->errors += anl_diagnostics_errors(diagnostics);
    j->warnings += anl_diagnostics_warnings(diagnostics);
}

/* The text of the spec with its safe fixes made, which may make further ones possible. NULL: nothing to mend. A fix after which there
 * are more errors than before would be wrong: the text before it stands. */
static char *mended(job *j, const char *path, anl_diagnostics **diagnostics, size_t *length)
{
    enum { ROUNDS = 10 };
    char *text = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        char *next = NULL;
        size_t next_length = 0;
        int count = 0;
        if (anl_lint_fix(*diagnostics, path, &next, &next_length, &count) != ANL_OK || !count) {
            free(next);
            break;
        }
        anl_document documents[2] = {{path, next, next_length}};
        anl_lint_options options = j->options;
        options.documents = documents;
        options.document_count = 1;
        anl_diagnostics *after = anl_diagnostics_new();
        anl_lint(path, &options, after);
        if (anl_diagnostics_errors(after) > anl_diagnostics_errors(*diagnostics)) {
            fprintf(stderr, "anlage lint: %s: the fixes would have made new errors; they were not made\n", path);
            anl_diagnostics_free(&after);
            free(next);
            break;
        }
        anl_diagnostics_free(diagnostics);
        *diagnostics = after;
        j->fixed += count;
        free(text);
        text = next;
        *length = next_length;
    }
    return text;
}

static void lint_path(job *j, const char *path)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_lint(path, &j->options, diagnostics);
    const char *before = NULL;
    size_t before_length = 0, length = 0;
    char *kept = NULL, *text = NULL;
    if (j->fix) {
        before = anl_diagnostics_text(diagnostics, path, &before_length);
        kept = before ? strndup(before, before_length) : NULL;
        text = mended(j, path, &diagnostics, &length);
        status = anl_diagnostics_errors(diagnostics) ? ANL_ERROR_SPEC : ANL_OK;
    }
    if (text && j->diff)
        anl_diff_print(path, kept, before_length, text, length, stdout);
    else if (text && j->options.document_count)
        fwrite(text, 1, length, stdout); /* standard input, mended */
    else if (text && anl_text_write(path, text, length) != ANL_OK) {
        anl_span where = {.file = path};
        anl_diagnose(diagnostics, ANL_A_file_unreadable, where, "cannot write `%s`; it is as it was", path);
        status = ANL_ERROR_FILE;
    }
    if (j->print && status == ANL_OK) {
        anl_spec *spec = NULL;
        status = anl_spec_load_documents(path, j->options.documents, j->options.document_count, j->options.overrides,
                                         j->options.override_count, diagnostics, &spec);
        if (status == ANL_OK)
            status = anl_spec_print(spec, stdout);
        anl_spec_free(&spec);
    }
    if (!j->print || status != ANL_OK)
        report(j, diagnostics);
    j->failed = j->failed || status != ANL_OK;
    free(kept);
    free(text);
    anl_diagnostics_free(&diagnostics);
}

static void lint_input(job *j)
{
    size_t length = 0;
    char *text = read_all(stdin, &length);
    anl_document input = {"<stdin>", text ? text : "", length};
    j->options.documents = &input;
    j->options.document_count = 1;
    lint_path(j, input.path);
    j->options.documents = NULL;
    j->options.document_count = 0;
    free(text);
}

static void lint_one(void *context, const char *path)
{
    if (path)
        lint_path(context, path);
    else
        lint_input(context);
}

int anl_cmd_lint(int argc, char **argv)
{
    static const struct option options[] = {
        {"set", required_argument, 0, 's'},          {"print", no_argument, 0, 'p'},   {"fix", no_argument, 0, 'x'},
        {"diff", no_argument, 0, 'd'},               {"format", required_argument, 0, 'f'}, {"max-warnings", required_argument, 0, 'w'},
        {"data", required_argument, 0, 'D'},         {"assume", required_argument, 0, 'a'}, {"explain", required_argument, 0, 'e'},
        {"help", no_argument, 0, 'h'},               {0}};
    static const char *const formats[] = {"text", "json", "sarif", "github"};
    text_list sets = {0}, data = {0};
    job j = {0};
    long long most = -1;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            list_add(&sets, optarg);
            break;
        case 'D':
            list_add(&data, optarg);
            break;
        case 'a':
            j.options.assume = optarg;
            break;
        case 'p':
            j.print = true;
            break;
        case 'x':
            j.fix = true;
            break;
        case 'd':
            j.diff = true;
            break;
        case 'w':
            if (!parse_integer(optarg, 0, &most))
                return usage_error("lint", usage, "--max-warnings is a number from 0, not `%s`", optarg);
            break;
        case 'f': {
            size_t f = 0;
            while (f < 4 && strcmp(optarg, formats[f]))
                f++;
            if (f == 4)
                return usage_error("lint", usage, "--format is text, json, sarif or github, not `%s`", optarg);
            j.format = (anl_report_format)f;
            break;
        }
        case 'e':
            return explain(optarg);
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
    if (j.diff && !j.fix)
        return usage_error("lint", usage, "--diff shows what --fix would do: give both");
    j.options.overrides = sets.items;
    j.options.override_count = sets.count;
    j.options.data = data.items;
    j.options.data_count = data.count;
    j.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    j.all = anl_diagnostics_new();
    for (int i = optind; i < argc; i++) /* a list for each spec: what two of them import is reported with both */
        if (!each_spec(argv[i], lint_one, &j))
            return usage_error("lint", usage, "no .yaml or .yml file below `%s`", argv[i]);
    if (j.format != ANL_REPORT_TEXT)
        anl_diagnostics_write(j.all, j.format, rule_about, stdout);
    else if (j.errors || j.warnings || j.fixed)
        fprintf(stderr, "%d error%s, %d warning%s", j.errors, j.errors == 1 ? "" : "s", j.warnings, j.warnings == 1 ? "" : "s");
    if (j.format == ANL_REPORT_TEXT && j.fixed)
        fprintf(stderr, ", %d %s", j.fixed, j.diff ? "could be fixed: run again without --diff" : "fixed");
    if (j.format == ANL_REPORT_TEXT && (j.errors || j.warnings || j.fixed))
        fputc('\n', stderr);
    anl_diagnostics_free(&j.all);
    if (most >= 0 && j.warnings > most) {
        fprintf(stderr, "anlage lint: %d warnings, more than the %lld that are allowed\n", j.warnings, most);
        j.failed = true;
    }
    return j.failed ? EXIT_PROBLEMS : EXIT_GOOD;
}
