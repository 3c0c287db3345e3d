/* What the subcommands share: arguments, signals, reporting.
 * In: the command line. Out: exit codes, lines on stderr.
 * The stop flag is the one variable that a signal handler can reach. */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int number)
{
    if (stop_flag && number == SIGINT) {
        static const char text[] = "\nstopped at once; the last checkpoint stands\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        _exit(EXIT_STOPPED);
    }
    stop_flag = 1;
}

void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool stop_requested(void *context)
{
    (void)context;
    return stop_flag != 0;
}

void *need_memory(void *memory)
{
    if (!memory) {
        fputs("anlage: out of memory\n", stderr);
        exit(EXIT_INTERNAL);
    }
    return memory;
}

void list_add(text_list *list, const char *item)
{
    list->items = need_memory(realloc(list->items, sizeof *list->items * (size_t)(list->count + 1)));
    list->items[list->count++] = item;
}

void list_add_split(text_list *list, const char *text)
{
    int depth = 0;
    const char *start = text;
    for (const char *c = text;; c++) {
        if (*c == '(' || *c == '[')
            depth++;
        if (*c == ')' || *c == ']')
            depth--;
        if (*c == 0 || (*c == ',' && depth == 0)) {
            const char *from = start, *to = c;
            while (from < to && *from == ' ')
                from++;
            while (to > from && to[-1] == ' ')
                to--;
            if (to > from)
                list_add(list, strndup(from, (size_t)(to - from)));
            if (*c == 0)
                return;
            start = c + 1;
        }
    }
}

char *read_all(FILE *stream, size_t *length)
{
    char *text = NULL, block[65536];
    FILE *out = open_memstream(&text, length);
    for (size_t got; out && (got = fread(block, 1, sizeof block, stream)) > 0;)
        fwrite(block, 1, got, out);
    return need_memory(out && fclose(out) == 0 ? text : NULL);
}

static bool is_spec(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int each_below(const char *path, void (*call)(void *context, const char *path), void *context, int depth)
{
    enum { DEEPEST = 32 };
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, by_name), found = 0;
    for (int i = 0; i < count; i++) {
        char *inner = NULL;
        struct stat about;
        if (entries[i]->d_name[0] != '.' && asprintf(&inner, "%s/%s", path, entries[i]->d_name) >= 0 && stat(inner, &about) == 0) {
            if (S_ISDIR(about.st_mode) && depth < DEEPEST)
                found += each_below(inner, call, context, depth + 1);
            else if (S_ISREG(about.st_mode) && is_spec(inner)) {
                call(context, inner);
                found++;
            }
        }
        free(inner);
        free(entries[i]);
    }
    free(entries);
    return found;
}

bool each_spec(const char *path, void (*call)(void *context, const char *path), void *context)
{
    struct stat about;
    if (!strcmp(path, "-")) {
        call(context, NULL);
    } else if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        return each_below(path, call, context, 0) > 0;
    } else {
        call(context, path);
    }
    return true;
}

int usage_error(const char *command, const char *usage, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "anlage %s: ", command);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n\n%s", usage);
    return EXIT_USAGE;
}

int finish(anl_diagnostics **diagnostics, anl_status status)
{
    anl_diagnostics_print(*diagnostics, stderr, isatty(STDERR_FILENO));
    int errors = anl_diagnostics_errors(*diagnostics);
    anl_diagnostics_free(diagnostics);
    if (status == ANL_ERROR_STOPPED)
        return EXIT_STOPPED;
    if (status != ANL_OK && errors == 0) {
        fprintf(stderr, "anlage: failed with status %d and said nothing of why; please report it\n", (int)status);
        return EXIT_INTERNAL;
    }
    return status == ANL_OK ? EXIT_GOOD : EXIT_PROBLEMS;
}

bool parse_integer(const char *text, long long least, long long *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least)
        return false;
    *out = value;
    return true;
}

bool parse_window(const char *text, double window[2])
{
    int used = 0;
    return sscanf(text, "%lf,%lf%n", &window[0], &window[1], &used) == 2 && !text[used] && window[1] > 0 && window[1] < 1e30 &&
           window[0] > -1e30 && window[0] < 1e30;
}
