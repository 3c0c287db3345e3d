/* anlage draw: the dataflow of a spec as a picture.
 * In: a spec, --set, the file to write. Out: DOT on stdout or in a file; or a picture, made by Graphviz's `dot`, which runs as a
 * child without a shell. A file is written whole or not at all. */
#include <anlage/draw.h>
#include <anlage/text.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"

extern char **environ;

static const char usage[] =
    "usage: anlage draw SPEC [-o FILE] [--set name=value]... [options]\n"
    "\n"
    "FILE ends with .svg, .pdf or .png, which Graphviz makes, or with .dot or .gv. Without -o: DOT on stdout.\n"
    "Boxes are parts of the spec with the number of their weights; edges are labelled with axes and sizes.\n"
    "\n"
    "  --set name=value   override a param of the spec\n"
    "  --depth N          parts of a path that are drawn apart where weights are, one fewer elsewhere (3)\n"
    "  --evaluate         evaluation instead of training\n"
    "  --step N           the phase of training that step N belongs to, instead of the last\n";

static int cannot(const char *what, const char *path)
{
    fprintf(stderr, "anlage draw: cannot %s `%s`: %s\n", what, path, strerror(errno));
    return EXIT_PROBLEMS;
}

/* Runs dot on the text; its picture is allocated into *picture. Returns an exit code, after a message where it is not EXIT_GOOD.
 */
static int run_dot(const char *format, const char *text, size_t length, char **picture, size_t *picture_length)
{
    char option[16];
    snprintf(option, sizeof option, "-T%s", format);
    char *const arguments[] = {"dot", option, NULL};
    FILE *input = tmpfile(); /* a file, not a second pipe: dot may write before it has read all */
    int output[2];
    if (!input || fwrite(text, 1, length, input) != length || fflush(input) != 0 || pipe(output) != 0) {
        int code = cannot("prepare to run", "dot");
        if (input)
            fclose(input);
        return code;
    }
    rewind(input);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(input), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, output[0]);
    pid_t child;
    int failed = posix_spawnp(&child, "dot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    fclose(input);
    close(output[1]);
    FILE *stream = fdopen(output[0], "rb");
    if (failed || !stream) {
        if (stream)
            fclose(stream);
        if (failed == ENOENT)
            fprintf(stderr,
                    "anlage draw: there is no `dot` here, which makes .%s files; install Graphviz (Debian: apt-get install "
                    "graphviz),\n"
                    "or write the graph itself: -o graph.dot\n",
                    format);
        else
            cannot("run", "dot");
        return EXIT_PROBLEMS;
    }
    *picture = read_all(stream, picture_length);
    fclose(stream);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || *picture_length == 0) {
        fprintf(stderr, "anlage draw: dot made no .%s file (%s %d); -o graph.dot writes the graph itself\n", format,
                WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return EXIT_PROBLEMS;
    }
    return EXIT_GOOD;
}

/* The format that a file's name asks for; NULL: none that is known. "dot": the text itself. */
static const char *format_of(const char *path)
{
    static const char *const known[] = {"svg", "pdf", "png", "dot", "gv"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof known / sizeof *known; i++)
        if (!strcmp(dot + 1, known[i]))
            return i < 3 ? known[i] : "dot";
    return NULL;
}

int anl_cmd_draw(int argc, char **argv)
{
    static const struct option options[] = {{"set", required_argument, 0, 's'},
                                            {"depth", required_argument, 0, 'd'},
                                            {"evaluate", no_argument, 0, 'e'},
                                            {"step", required_argument, 0, 't'},
                                            {"output", required_argument, 0, 'o'},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    text_list sets = {0};
    anl_draw_options draw = {.step = -1};
    const char *path = NULL, *format = "dot";
    for (int c; (c = getopt_long(argc, argv, "ho:", options, NULL)) != -1;) {
        long long number = 0;
        switch (c) {
        case 's':
            list_add(&sets, optarg);
            break;
        case 'd':
        case 't':
            if (!parse_integer(optarg, c == 'd' ? 1 : 0, &number) || (c == 'd' && number > INT32_MAX))
                return usage_error("draw", usage, "`%s` is no number that can be meant here", optarg);
            if (c == 'd')
                draw.depth = (int)number;
            else
                draw.step = number;
            break;
        case 'e':
            draw.evaluate = true;
            break;
        case 'o':
            path = optarg;
            format = format_of(path);
            if (!format)
                return usage_error("draw", usage, "`%s` does not end with .svg, .pdf, .png, .dot or .gv", path);
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
        return usage_error("draw", usage, "give one spec");
    draw.spec = argv[optind];
    draw.overrides = sets.items;
    draw.override_count = sets.count;
    char *text = NULL, *picture = NULL;
    size_t length = 0, picture_length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return cannot("write", path ? path : "stdout");
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_draw(&draw, out, diagnostics);
    bool written = fclose(out) == 0;
    int code = finish(&diagnostics, status);
    if (code == EXIT_GOOD && !written)
        code = cannot("write", path ? path : "stdout");
    if (code == EXIT_GOOD && strcmp(format, "dot"))
        code = run_dot(format, text, length, &picture, &picture_length);
    if (code == EXIT_GOOD && !path)
        fwrite(text, 1, length, stdout);
    else if (code == EXIT_GOOD && anl_text_write(path, picture ? picture : text, picture ? picture_length : length) != ANL_OK)
        code = cannot("write", path);
    free(picture);
    free(text);
    return code;
}
