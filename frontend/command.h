/* What the subcommands share: arguments, signals, reporting, progress.
 * In: the command line. Out: exit codes 0 good, 1 problems, 2 wrong usage, 130 stopped. */
#ifndef ANLAGE_COMMAND_H
#define ANLAGE_COMMAND_H

#include <anlage/diagnostic.h>
#include <anlage/run.h>
#include <anlage/status.h>

enum { EXIT_GOOD = 0, EXIT_PROBLEMS = 1, EXIT_USAGE = 2, EXIT_INTERNAL = 3, EXIT_STOPPED = 130 };

int anl_cmd_bench(int argc, char **argv);
int anl_cmd_devices(int argc, char **argv);
int anl_cmd_draw(int argc, char **argv);
int anl_cmd_eval(int argc, char **argv);
int anl_cmd_explain(int argc, char **argv);
int anl_cmd_fmt(int argc, char **argv);
int anl_cmd_inspect(int argc, char **argv);
int anl_cmd_lint(int argc, char **argv);
int anl_cmd_lsp(int argc, char **argv);
int anl_cmd_ops(int argc, char **argv);
int anl_cmd_pack(int argc, char **argv);
int anl_cmd_preview(int argc, char **argv);
int anl_cmd_run(int argc, char **argv);
int anl_cmd_schema(int argc, char **argv);
int anl_cmd_train(int argc, char **argv);

/* A growing list of argument texts (--set, --feed, …). Never shrinks; lives until the process ends. */
typedef struct text_list {
    const char **items;
    int count;
} text_list;
void list_add(text_list *list, const char *item);
/* "a, b, max(c, over=[d, e])" -> pieces at commas outside brackets. */
void list_add_split(text_list *list, const char *text);

/* Calls with a path, or with all .yaml and .yml files below a folder, in the order of their names; with NULL for "-", standard input.
 * False: a folder without any. */
bool each_spec(const char *path, void (*call)(void *context, const char *path), void *context);
/* The memory itself; where it could not be had, the process says so and exits with EXIT_INTERNAL. */
void *need_memory(void *memory);
/* All that a stream holds; to be freed. */
char *read_all(FILE *stream, size_t *length);
/* Prints usage to stderr after "anlage COMMAND: message" and returns EXIT_USAGE. */
int usage_error(const char *command, const char *usage, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints the diagnostics to stderr, frees them, and turns the status into an exit code. */
int finish(anl_diagnostics **diagnostics, anl_status status);
/* After this Ctrl-C and SIGTERM only make stop_requested true; a second Ctrl-C ends the process. */
void catch_signals(void);
bool stop_requested(void *context);
/* A whole number of at least `least`; false: not one. */
bool parse_integer(const char *text, long long least, long long *out);
/* "40,80": a centre and a width above 0; false: not that. */
bool parse_window(const char *text, double window[2]);

#endif
