/* anlage train: runs a recipe, showing progress.
 * In: spec, run folder, device. Out: the run folder; a bar on a terminal, plain lines in a log. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"

static const char usage[] =
    "usage: anlage train SPEC --out RUN [--resume] [--device D] [--set name=value]...\n"
    "\n"
    "  --out RUN          folder for spec.yaml, metrics.jsonl and checkpoints/\n"
    "  --resume           go on from the run's last checkpoint (start if there is none)\n"
    "  --device D         auto (a GPU, else host), host, vulkan, vulkan:N\n"
    "  --set name=value   override a param of the spec; repeatable\n"
    "  --weights FILE     start from these weights instead of fresh ones\n"
    "  --stop-after N     stop with a checkpoint after N steps\n"
    "  --threads N        threads of the host device\n"
    "  --validate         Vulkan with validation layers; any message is an error\n"
    "\n"
    "Ctrl-C and SIGTERM stop after the step with a checkpoint; a second Ctrl-C stops at once.\n";

typedef struct display {
    bool terminal, bar_shown;
    double last_line;
} display;

static void duration(double seconds, char out[32])
{
    if (!isfinite(seconds)) {
        snprintf(out, 32, "-");
        return;
    }
    long long s = (long long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%lld:%02lld", s / 60, s % 60);
}

static void show(void *context, const anl_train_progress *p)
{
    display *d = context;
    char spent[32], left[32];
    duration(p->seconds, spent);
    duration(p->left, left);
    if (p->event) {
        if (d->bar_shown)
            fputs("\r\033[K", stderr);
        d->bar_shown = false;
        fprintf(stderr, "%8s  %s\n", spent, p->event);
        return;
    }
    bool last = p->step == p->total;
    if (d->terminal) {
        if (!last && p->seconds - d->last_line < 0.1)
            return;
        struct winsize size = {0};
        int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
        char text[160];
        int length = snprintf(text, sizeof text, " step %lld/%lld  epoch %lld  loss %.4f  %.1f images/s  %s left", (long long)p->step, (long long)p->total, (long long)p->epoch, p->loss,
                              p->rate, left);
        int width = columns - length - 3;
        if (width > 30)
            width = 30;
        fputs("\r\033[K", stderr);
        if (width >= 5) {
            int done = p->total > 0 ? (int)(width * p->step / p->total) : width;
            fputc('[', stderr);
            for (int i = 0; i < width; i++)
                fputc(i < done ? '#' : '.', stderr);
            fputc(']', stderr);
        }
        fprintf(stderr, "%.*s", columns - 1, text);
        d->bar_shown = true;
        if (last) {
            fputc('\n', stderr);
            d->bar_shown = false;
        }
        fflush(stderr);
        d->last_line = p->seconds;
    } else if (last || p->seconds - d->last_line >= 10 || d->last_line == 0) {
        fprintf(stderr, "%8s  step %lld/%lld  epoch %lld  loss %.4f  %.1f images/s  %s left\n", spent, (long long)p->step, (long long)p->total, (long long)p->epoch, p->loss, p->rate,
                left);
        d->last_line = p->seconds;
    }
}

int anl_cmd_train(int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, 0, 'o'},     {"resume", no_argument, 0, 'r'},           {"device", required_argument, 0, 'd'},
                                            {"set", required_argument, 0, 's'},     {"weights", required_argument, 0, 'w'},    {"stop-after", required_argument, 0, 'n'},
                                            {"threads", required_argument, 0, 't'}, {"validate", no_argument, 0, 'v'},         {"help", no_argument, 0, 'h'},
                                            {0}};
    anl_train_options o = {0};
    text_list sets = {0};
    display d = {.terminal = isatty(STDERR_FILENO)};
    long long number;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'o': o.out = optarg; break;
        case 'r': o.resume = true; break;
        case 'd': o.source.device = optarg; break;
        case 's': list_add(&sets, optarg); break;
        case 'w': o.weights = optarg; break;
        case 'v': o.source.validation = true; break;
        case 'n':
            if (!parse_integer(optarg, 1, &number))
                return usage_error("train", usage, "--stop-after takes a number of steps, not `%s`", optarg);
            o.stop_after = number;
            break;
        case 't':
            if (!parse_integer(optarg, 1, &number) || number > 4096)
                return usage_error("train", usage, "--threads takes a number of threads, not `%s`", optarg);
            o.source.threads = (int)number;
            break;
        case 'h': fputs(usage, stdout); return EXIT_GOOD;
        default: fputs(usage, stderr); return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc)
        return usage_error("train", usage, "give one spec");
    if (!o.out)
        return usage_error("train", usage, "give the run folder with --out");
    o.source.spec = argv[optind];
    o.source.overrides = sets.items;
    o.source.override_count = sets.count;
    o.progress = show;
    o.stop = stop_requested;
    o.context = &d;
    catch_signals();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_train(&o, diagnostics);
    if (d.bar_shown)
        fputc('\n', stderr);
    if (status == ANL_ERROR_STOPPED)
        fprintf(stderr, "stopped; go on with: anlage train %s/spec.yaml --out %s --resume\n", o.out, o.out);
    int code = finish(&diagnostics, status);
    if (code == EXIT_GOOD)
        printf("trained: %s (checkpoints/, metrics.jsonl, spec.yaml)\n", o.out);
    return code;
}
