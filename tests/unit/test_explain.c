/* Stock specs through the whole compiler, without a device.
 * In: specs/. Out: check's report: they compile in time, plan memory near its lower bound, satisfy the second checker in every
 * phase and mode, and can be explained. */
#include <anlage/program.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folders.h"
#include "compile/compile.h"
#include "run/account.h"
#include "run/session.h"
#include "small_recipe.h"
#include "spec/overrides.h"
#include "spec/recipe.h"
#include "trace/trace.h"

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *spec_path(char *out, size_t size, const char *name)
{
    const char *root = getenv("ANL_TEST_ROOT");
    snprintf(out, size, "%s/specs/%s", root ? root : ".", name);
    return out;
}

static void stop_with(anl_diagnostics *d, const char *what)
{
    anl_diagnostics_print(d, stderr, false);
    ck_abort_msg("%s", what);
}

typedef struct stock {
    const char *name;
    const char *overrides[8];
    int count;
    bool full_size; /* the size that has to compile within a second */
} stock;

static const stock stocks[] = {
    {"pretrain/bench.yaml", {0}, 0, false},
    {"pretrain/swav.yaml", {0}, 0, false},
    {"pretrain/swav.yaml", {"network=resnet50", "size=224", "locals=6", "local_size=96", "input=256", "width=64"}, 6, true},
    {"finetune/classify.yaml", {0}, 0, false},
};

static void judge(const anl_recipe *recipe, anl_trace_mode mode, int64_t step, bool full_size, anl_diagnostics *d)
{
    anl_trace_options options = {.mode = mode, .phase_step = step, .seed = -1};
    anl_traced *traced = NULL;
    if (anl_trace(recipe, &options, d, &traced) != ANL_OK)
        stop_with(d, "does not trace");
    for (int unfused = 0; unfused <= (full_size ? 0 : 1); unfused++) {
        anl_state_layout *layout = NULL;
        anl_program *p = NULL;
        anl_compile_options compile = {.no_fusion = unfused, .f64 = unfused};
        if (anl_state_layout_new(&traced->graph, 1, unfused, d, &layout) != ANL_OK)
            stop_with(d, "no state layout");
        double start = cpu_seconds();
        if (anl_compile(traced->graph, layout, &compile, d, &p) != ANL_OK)
            stop_with(d, "does not compile");
        double seconds = cpu_seconds() - start;
        if (anl_program_check(p, d) != ANL_OK)
            stop_with(d, "the checker refuses the program");
        ck_assert_double_le((double)p->space_bytes[ANL_SPACE_TEMP], 1.1 * (double)p->temp_lower_bound + ANL_ALIGNMENT);
#ifndef __SANITIZE_ADDRESS__
        if (full_size)
            ck_assert_msg(seconds < 1, "compiling took %.2f s", seconds);
#else
        (void)seconds;
#endif
        anl_program_free(&p);
        anl_state_layout_free(&layout);
    }
    anl_traced_free(&traced);
}

START_TEST(stock_specs_compile)
{
    const stock *s = &stocks[_i];
    char path[1024];
    anl_diagnostics *d = anl_diagnostics_new();
    anl_arena *arena = anl_arena_new();
    anl_override *overrides = NULL;
    anl_recipe *recipe = NULL;
    if (anl_overrides_parse(arena, s->overrides, s->count, d, &overrides) != ANL_OK ||
        anl_recipe_read(spec_path(path, sizeof path, s->name), overrides, s->count, anl_folder_specs(arena), d, &recipe) !=
            ANL_OK)
        stop_with(d, "does not read");
    judge(recipe, ANL_TRACE_TRAIN, 0, s->full_size, d);
    judge(recipe, ANL_TRACE_TRAIN, 1 << 20, s->full_size, d); /* the last phase */
    judge(recipe, ANL_TRACE_EVALUATE, 0, s->full_size, d);
    judge(recipe, ANL_TRACE_INITIALIZE, 0, s->full_size, d);
    anl_recipe_free(&recipe);
    anl_arena_free(&arena);
    anl_diagnostics_free(&d);
}
END_TEST

static char *explained(anl_explain_options options)
{
    char *text = NULL, path[1024];
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics *d = anl_diagnostics_new();
    options.spec = spec_path(path, sizeof path, "pretrain/bench.yaml");
    if (anl_explain(&options, out, d) != ANL_OK)
        stop_with(d, "cannot be explained");
    fclose(out);
    anl_diagnostics_free(&d);
    return text;
}

START_TEST(each_stage_is_printed)
{
    char *text = explained((anl_explain_options){.kernel = -1, .checked = true});
    static const char *const said[] = {"parameters    2,933,344 in 67 tensors", "GFLOP", "lower bound", "kernels", "barriers",
                                       "checker       agrees", "most in encoder.layer1", "\n  layer1"};
    for (size_t i = 0; i < ANL_COUNT(said); i++)
        ck_assert_msg(strstr(text, said[i]) != NULL, "the summary does not speak of %s", said[i]);
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_GRAPH, .kernel = -1});
    ck_assert_ptr_nonnull(strstr(text, "contract("));
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_PROGRAM, .kernel = 0});
    ck_assert_ptr_nonnull(strstr(text, "convolution gradient by kernel"));
    ck_assert_ptr_nonnull(strstr(text, "store #"));
    free(text);
    text = explained((anl_explain_options){.stage = ANL_EXPLAIN_PROGRAM, .evaluate = true, .unfused = true, .kernel = -1});
    ck_assert_ptr_nonnull(strstr(text, "kernels, "));
    free(text);
}
END_TEST

START_TEST(wrong_overrides_are_reported)
{
    char path[1024];
    const char *overrides[] = {"no_such_param=3"};
    anl_diagnostics *d = anl_diagnostics_new();
    anl_explain_options options = {
        .spec = spec_path(path, sizeof path, "pretrain/bench.yaml"), .overrides = overrides, .override_count = 1, .kernel = -1};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ck_assert_int_ne(anl_explain(&options, out, d), ANL_OK);
    fclose(out);
    ck_assert_int_gt(anl_diagnostics_errors(d), 0);
    ck_assert_int_eq(length, 0);
    free(text);
    anl_diagnostics_free(&d);
}
END_TEST


/* ---- accounts ---- */
/* The small recipe as a file, with one stretch of it replaced. */
static char *small_file(const char *from, const char *to)
{
    char *path = strdup("/tmp/anlage-small-XXXXXX.yaml"), *text = strdup(small_recipe);
    if (from) {
        char *at = strstr(text, from), *whole = NULL;
        ck_assert_ptr_nonnull(at);
        *at = 0;
        ck_assert_int_gt(asprintf(&whole, "%s%s%s", text, to, at + strlen(from)), 0);
        free(text);
        text = whole;
    }
    FILE *file = fdopen(mkstemps(path, 5), "w");
    fputs(text, file);
    fclose(file);
    free(text);
    return path;
}

static void open_account(anl_account *a, const anl_explain_options *o, const char *path)
{
    anl_diagnostics *d = anl_diagnostics_new();
    if (anl_account_open(a, o, path, d) != ANL_OK)
        stop_with(d, "no account");
    anl_diagnostics_free(&d);
}

START_TEST(costs_are_those_worked_out_by_hand)
{
    char *path = small_file(NULL, NULL);
    anl_account a;
    open_account(&a, &(anl_explain_options){.kernel = -1}, path);
    ck_assert_int_eq(a.total.weights, 3 * 2 + 3);
    ck_assert_int_eq(a.total.tensors, 2);
    ck_assert_int_eq(a.total.optimizer, 4 * 9);
    ck_assert_int_eq(a.total.state, 4 * 10);
    const struct {
        const char *path;
        int64_t weights, optimizer, state, activations;
        double forward, backward, update;
        int kernels;
    } lines[] = {
        /* the mean of 64 pixels of 8 x 2 channels: 1024 additions, 16 products; its 16 results are kept */
        {"scores", 0, 0, 0, 64, 1024 + 16, 0, 0, 1},
        /* 8 x 3 sums of 2 products, and the bias; by the matrix the same again, by the bias 8 x 3 sums; 2 x 64 numbers of the two arenas,
         * of each: 0.9 v + g, w - lr v, the rate being known before; 24 scores are kept */
        {"head", 9, 36, 0, 96, 2 * 2 * 24 + 24, 2 * 2 * 24 + 24, 2 * 64 * 5, 3},
        /* 24 differences, squared and added up, and one product; a difference, a product, and twice of it */
        {"squares", 0, 0, 0, 0, 3 * 24 + 1, 3 * 24, 0, 2},
        /* 1024 additions; of 10 numbers a product and a sum */
        {"seen", 0, 0, 40, 0, 0, 0, 1024 + 2 * 10, 2},
        {"optimizer", 0, 0, 0, 0, 0, 0, 0, 2},
    };
    ck_assert_int_eq(a.tree->count, 1 + (int)ANL_COUNT(lines));
    for (size_t i = 0; i < ANL_COUNT(lines); i++) {
        const anl_cost_line *l = anl_account_line(&a, lines[i].path);
        ck_assert_msg(l != NULL, "no line `%s`", lines[i].path);
        ck_assert_int_eq(l->all.weights, lines[i].weights);
        ck_assert_int_eq(l->all.optimizer, lines[i].optimizer);
        ck_assert_int_eq(l->all.state, lines[i].state);
        ck_assert_int_eq(l->all.activations, lines[i].activations);
        ck_assert_double_eq(l->all.flops[ANL_STAGE_FORWARD], lines[i].forward);
        ck_assert_double_eq(l->all.flops[ANL_STAGE_BACKWARD], lines[i].backward);
        ck_assert_double_eq(l->all.flops[ANL_STAGE_UPDATE], lines[i].update);
        ck_assert_int_eq(l->all.kernels, lines[i].kernels);
    }
    anl_account_free(&a);
    unlink(path);
    free(path);
}
END_TEST

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)); }

/* A line is what is its own and what lies below it; the whole is what the program says of itself. */
static void check_sums(const anl_account *a)
{
    const anl_cost_tree *t = a->tree;
    double flops = 0, bytes = 0;
    for (int i = 0; i < t->count; i++) {
        anl_cost sum = t->lines[i].own;
        for (int k = i + 1; k < t->count; k++)
            if (t->lines[k].parent == i) {
                const anl_cost *c = &t->lines[k].all;
                sum.weights += c->weights;
                sum.optimizer += c->optimizer;
                sum.state += c->state;
                sum.activations += c->activations;
                sum.peak += c->peak;
                sum.kernels += c->kernels;
                sum.estimate += c->estimate;
                sum.seconds += c->seconds;
                for (int s = 0; s < ANL_STAGE_COUNT; s++) {
                    sum.flops[s] += c->flops[s];
                    sum.bytes[s] += c->bytes[s];
                }
            }
        const anl_cost *all = &t->lines[i].all;
        ck_assert_msg(sum.weights == all->weights && sum.optimizer == all->optimizer && sum.state == all->state &&
                          sum.activations == all->activations && sum.peak == all->peak && sum.kernels == all->kernels &&
                          near(sum.estimate, all->estimate) && near(sum.seconds, all->seconds),
                      "`%s` does not add up", t->lines[i].path);
        for (int s = 0; s < ANL_STAGE_COUNT; s++)
            ck_assert_msg(near(sum.flops[s], all->flops[s]) && near(sum.bytes[s], all->bytes[s]), "`%s` does not add up",
                          t->lines[i].path);
        ck_assert_int_lt(t->lines[i].parent, i);
    }
    for (int k = 0; k < a->program->kernel_count; k++) {
        flops += a->program->kernels[k].flops;
        bytes += a->program->kernels[k].bytes;
    }
    ck_assert(near(flops, anl_cost_flops(&a->total)));
    ck_assert(near(bytes, anl_cost_bytes(&a->total)));
    ck_assert_int_eq(a->total.kernels, a->program->kernel_count);
    /* all that is in use at the peak has a line, but for what fills up to the alignment */
    int64_t bound = a->program->temp_lower_bound;
    ck_assert_int_le(a->total.peak, bound);
    ck_assert_int_ge(a->total.peak, bound - (int64_t)a->program->buffer_count * ANL_ALIGNMENT);
    ck_assert_int_ge(100 * a->total.peak, 99 * bound - 100 * ANL_ALIGNMENT * 8);
}

START_TEST(lines_add_up)
{
    char path[1024];
    static const char *const specs[] = {"pretrain/bench.yaml", "pretrain/swav.yaml", "finetune/classify.yaml"};
    for (size_t i = 0; i < 2 * ANL_COUNT(specs); i++) {
        anl_account a;
        anl_explain_options options = {.kernel = -1, .evaluate = i % 2, .step = 1 << 20};
        open_account(&a, &options, spec_path(path, sizeof path, specs[i / 2]));
        check_sums(&a);
        const anl_cost_line *encoder = anl_account_line(&a, "encoder");
        ck_assert_ptr_nonnull(encoder);
        ck_assert_int_eq(encoder->all.weights, 2795744);
        /* a gradient costs about two forward passes */
        double forward = encoder->all.flops[ANL_STAGE_FORWARD], backward = encoder->all.flops[ANL_STAGE_BACKWARD];
        ck_assert(i % 2 ? backward == 0 : backward > 1.8 * forward && backward < 2.2 * forward);
        anl_account_free(&a);
    }
}
END_TEST

/* A checkpoint of the recipe's own states, written for real. */
START_TEST(checkpoints_are_as_large_as_said)
{
    char path[1024];
    static const char *const sets[] = {"input=48", "size=32", "local_size=16", "batch=4", "width=8", "clusters=32", "queue_length=64"};
    static const char *const specs[] = {"pretrain/swav.yaml", "finetune/classify.yaml"};
    for (int i = 0; i < 2; i++) {
        anl_explain_options options = {.overrides = i ? (const char *const[]){"batch=2"} : sets, .override_count = i ? 1 : 7, .kernel = -1};
        anl_account a;
        open_account(&a, &options, spec_path(path, sizeof path, specs[i]));
        anl_run_source source = {.spec = path, .overrides = options.overrides, .override_count = options.override_count, .device = "host"};
        anl_diagnostics *d = anl_diagnostics_new();
        anl_session *s = NULL;
        char file[] = "/tmp/anlage-checkpoint-XXXXXX";
        close(mkstemp(file));
        anl_checkpoint_info info = {.step = 1, .epoch_steps = 1};
        if (anl_session_open(&source, d, &s) != ANL_OK ||
            anl_session_prepare(s, &source, ANL_PREPARE_TRAIN, 1000, NULL, 0, d) != ANL_OK ||
            anl_checkpoint_write(s, file, &info, d) != ANL_OK)
            stop_with(d, "no checkpoint");
        struct stat about;
        ck_assert_int_eq(stat(file, &about), 0);
        ck_assert_msg(fabs((double)a.checkpoint / (double)about.st_size - 1) < 0.02, "%s: %lld bytes were said, %lld were written", specs[i],
                      (long long)a.checkpoint, (long long)about.st_size);
        unlink(file);
        anl_session_free(&s);
        anl_diagnostics_free(&d);
        anl_account_free(&a);
    }
}
END_TEST

START_TEST(measured_time_has_a_place)
{
    char *path = small_file(NULL, NULL);
    anl_diagnostics *d = anl_diagnostics_new();
    anl_account a;
    anl_explain_options options = {.kernel = -1, .measure = true, .device = "host", .threads = 1};
    open_account(&a, &options, path);
    if (anl_account_measure(&a, &options, d) != ANL_OK)
        stop_with(d, "not measured");
    check_sums(&a);
    ck_assert_ptr_nonnull(strstr(a.device, "(host)"));
    ck_assert_double_gt(a.rates.flops, 1e6);
    ck_assert_double_gt(a.rates.bytes, 1e6);
    ck_assert_double_gt(a.step_seconds, 0);
    ck_assert_double_gt(anl_account_line(&a, "head")->all.seconds, 0);
    /* what moves more than it computes is estimated by what it moves */
    const anl_cost *mean = &anl_account_line(&a, "scores")->all;
    ck_assert(near(mean->estimate, fmax(anl_cost_flops(mean) / a.rates.flops, anl_cost_bytes(mean) / a.rates.bytes)));
    anl_account_free(&a);
    anl_diagnostics_free(&d);
    unlink(path);
    free(path);
}
END_TEST

/* ---- comparing ---- */
typedef struct planted {
    const char *from, *to;
    struct {
        const char *path, *a, *b;
        anl_change_kind kind;
    } changes[3];
} planted;

static const planted plants[] = {
    {NULL, NULL, {{0}}},
    {"default: 8,", "default: 9,", {{"params.batch.default", "8", "9", ANL_CHANGED}}},
    {"over=all)", "over=all) * 2", {{"losses.squares.value", "mean((scores - label) ** 2, over=all)", "mean((scores - label) ** 2, over=all) * 2", ANL_CHANGED}}},
    {"0.9 * velocity", "0.8 * velocity", {{"functions.momentum.state.velocity.update", "0.9 * velocity + gradient", "0.8 * velocity + gradient", ANL_CHANGED}}},
    {"  length: 10it\n", "  length: 10it\n  seed: 3\n", {{"train.seed", NULL, "3", ANL_ADDED}}},
    {", slots: 10}", "}", {{"params.slots", "{default: 10}", NULL, ANL_REMOVED}, {0}}},
    {"graph:\n", "graph:\n  more: image + 1\n", {{"graph.more", NULL, "image + 1", ANL_ADDED}}},
};

/* Recipes that are read suffice: they need not be traced. */
START_TEST(exactly_what_was_changed_is_told)
{
    const planted *p = &plants[_i];
    char *paths[2] = {small_file(NULL, NULL), small_file(p->from, p->to)};
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *d = anl_diagnostics_new();
    anl_recipe *recipes[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        anl_recipe_read(paths[i], NULL, 0, NULL, d, &recipes[i]);
    anl_change *changes = NULL;
    int count = 0, expected = 0;
    ck_assert_int_eq(anl_compare_recipes(arena, recipes[0], recipes[1], d, &changes, &count), ANL_OK);
    for (; p->from && p->changes[expected].path; expected++) {
        ck_assert_int_lt(expected, count);
        ck_assert_str_eq(changes[expected].path, p->changes[expected].path);
        ck_assert_int_eq(changes[expected].kind, p->changes[expected].kind);
        ck_assert_pstr_eq(changes[expected].a, p->changes[expected].a);
        ck_assert_pstr_eq(changes[expected].b, p->changes[expected].b);
    }
    ck_assert_int_eq(count, expected);
    for (int i = 0; i < 2; i++) {
        anl_recipe_free(&recipes[i]);
        unlink(paths[i]);
        free(paths[i]);
    }
    anl_diagnostics_free(&d);
    anl_arena_free(&arena);
}
END_TEST

/* A step put into a chain is one step more, not a change of all that come after it; functions that no spec reaches are not told of. */
START_TEST(chains_and_functions_are_compared_by_what_they_share)
{
    char *paths[2] = {small_file("  scores: head(mean(image, over=[y, x]))", "  scores:\n    - mean(image, over=[y, x])\n    - head\n    - _ + 1\n    - _ * 2"),
                      small_file("  scores: head(mean(image, over=[y, x]))",
                                 "  scores:\n    - mean(image, over=[y, x])\n    - _ * 3\n    - head\n    - _ + 1\n    - _ * 4")};
    FILE *more = fopen(paths[1], "a");
    fputs("  # a function that nothing calls\n", more);
    fclose(more);
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *d = anl_diagnostics_new();
    anl_recipe *recipes[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(anl_recipe_read(paths[i], NULL, 0, NULL, d, &recipes[i]), ANL_OK);
    anl_function unused = *recipes[1]->functions[0];
    unused.name = "nobody";
    const anl_function **functions = ANL_NEW_ARRAY(arena, const anl_function *, recipes[1]->function_count + 1);
    memcpy(functions, recipes[1]->functions, sizeof *functions * (size_t)recipes[1]->function_count);
    anl_recipe other = *recipes[1];
    functions[other.function_count++] = &unused;
    other.functions = (anl_function **)functions;
    anl_change *changes = NULL;
    int count = 0;
    ck_assert_int_eq(anl_compare_recipes(arena, recipes[0], &other, d, &changes, &count), ANL_OK);
    ck_assert_int_eq(count, 2);
    ck_assert_str_eq(changes[0].path, "graph.scores[1]");
    ck_assert_int_eq(changes[0].kind, ANL_ADDED);
    ck_assert_str_eq(changes[0].b, "_ * 3");
    ck_assert_str_eq(changes[1].path, "graph.scores[3]");
    ck_assert_str_eq(changes[1].a, "_ * 2");
    ck_assert_str_eq(changes[1].b, "_ * 4");
    for (int i = 0; i < 2; i++) {
        anl_recipe_free(&recipes[i]);
        unlink(paths[i]);
        free(paths[i]);
    }
    anl_diagnostics_free(&d);
    anl_arena_free(&arena);
}
END_TEST

static char *compared(const char *a, const char *b, bool json)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics *d = anl_diagnostics_new();
    anl_explain_options options = {.spec = a, .other = b, .kernel = -1, .json = json};
    if (anl_explain(&options, out, d) != ANL_OK)
        stop_with(d, "cannot be compared");
    fclose(out);
    anl_diagnostics_free(&d);
    return text;
}

START_TEST(programs_are_compared_by_line)
{
    char *a = small_file(NULL, NULL), *b = small_file("features=3", "features=4"), *c = small_file("{class: 3}", "{class: 4}");
    char *same = compared(a, a, false);
    ck_assert_ptr_nonnull(strstr(same, "recipe\n  the same\n"));
    ck_assert_ptr_nonnull(strstr(same, "program\n  needs and costs the same\n"));
    free(same);
    /* both changes together, since classes of scores and labels must agree */
    char *both = small_file("features=3", "features=4");
    char *text = NULL;
    FILE *file = fopen(c, "r");
    size_t size = 0;
    ck_assert_int_gt(getdelim(&text, &size, 0, file), 0);
    fclose(file);
    char *at = strstr(text, "features=3");
    ck_assert_ptr_nonnull(at);
    at[9] = '4';
    file = fopen(both, "w");
    fputs(text, file);
    fclose(file);
    free(text);
    char *told = compared(a, both, false);
    ck_assert_ptr_nonnull(strstr(told, "data.train.fields.label.axes.class  3 -> 4\n"));
    ck_assert_ptr_nonnull(strstr(told, "affine(features=3) -> affine(features=4)\n"));
    ck_assert_ptr_nonnull(strstr(told, "9 -> 12"));
    char *lines = strstr(told, "\n  head ");
    ck_assert_ptr_nonnull(lines);
    ck_assert_ptr_null(strstr(lines, "\n  seen ")); /* nothing changed there */
    free(told);
    const char *files[] = {a, b, c, both};
    for (int i = 0; i < 4; i++)
        unlink(files[i]);
    free(a);
    free(b);
    free(c);
    free(both);
}
END_TEST

/* ---- JSON ---- */
/* RFC 8259, read by a second hand: the end of the value that starts at `at`, or NULL. */
static const char *json_value(const char *at);
static const char *json_space(const char *at) { return at + strspn(at, " \t\r\n"); }

static const char *json_string(const char *at)
{
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return NULL;
        if (*at == '\\' && !strchr("\"\\/bfnrtu", *++at))
            return NULL;
    }
    return at + 1;
}

static const char *json_members(const char *at, char end, bool keys)
{
    at = json_space(at);
    if (*at == end)
        return at + 1;
    for (;; at = json_space(at + 1)) {
        if (keys) {
            at = json_string(at);
            at = at ? json_space(at) : NULL;
            if (!at || *at != ':')
                return NULL;
            at = json_space(at + 1);
        }
        at = json_value(at);
        at = at ? json_space(at) : NULL;
        if (!at || (*at != ',' && *at != end))
            return NULL;
        if (*at == end)
            return at + 1;
    }
}

static const char *json_value(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    if (*at == '{' || *at == '[')
        return json_members(at + 1, *at == '{' ? '}' : ']', *at == '{');
    if (*at == '"')
        return json_string(at);
    for (int i = 0; i < 3; i++)
        if (!strncmp(at, words[i], strlen(words[i])))
            return at + strlen(words[i]);
    char *end;
    size_t length = strspn(at, "-+.eE0123456789");
    strtod(at, &end);
    return length && end == at + length && (*at == '-' || (*at >= '0' && *at <= '9')) ? end : NULL;
}

static void check_json(const char *text)
{
    const char *end = json_value(json_space(text));
    ck_assert_msg(end && *json_space(end) == 0, "no JSON: %.200s", end ? end : text);
    ck_assert_ptr_nonnull(strstr(text, "{\n  \"version\": 1,"));
}

START_TEST(json_is_json)
{
    char *text = explained((anl_explain_options){.kernel = -1, .json = true});
    check_json(text);
    ck_assert_ptr_nonnull(strstr(text, "\"parameters\": 2933344"));
    ck_assert_ptr_nonnull(strstr(text, "\"path\": \"encoder.layer1.0.conv1\"")); /* all lines */
    free(text);
    text = explained((anl_explain_options){.kernel = -1, .json = true, .evaluate = true, .depth = 1, .assume = "memory=1GiB"});
    check_json(text);
    ck_assert_ptr_nonnull(strstr(text, "\"largest_batch\""));
    ck_assert_ptr_nonnull(strstr(text, "\"storage_range_bytes\": null"));
    ck_assert_ptr_null(strstr(text, "\"path\": \"encoder.layer1\""));
    free(text);
    char *a = small_file(NULL, NULL), *b = small_file("title: Small", "title: \"Sm\\\"al\\tl\"");
    text = compared(a, b, true);
    check_json(text);
    ck_assert_ptr_nonnull(strstr(text, "\"path\": \"title\""));
    free(text);
    anl_diagnostics *d = anl_diagnostics_new();
    anl_explain_options options = {.spec = a, .kernel = -1, .json = true, .measure = true, .device = "host"};
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (anl_explain(&options, out, d) != ANL_OK)
        stop_with(d, "cannot be measured");
    fclose(out);
    check_json(text);
    ck_assert_ptr_nonnull(strstr(text, "\"estimate_seconds\""));
    free(text);
    anl_diagnostics_free(&d);
    unlink(a);
    unlink(b);
    free(a);
    free(b);
}
END_TEST

START_TEST(libraries_compute_nothing)
{
    char path[1024], *text = NULL;
    size_t length = 0;
    anl_diagnostics *d = anl_diagnostics_new();
    anl_explain_options options = {.spec = spec_path(path, sizeof path, "lib/losses.yaml"), .kernel = -1};
    FILE *out = open_memstream(&text, &length);
    ck_assert_int_eq(anl_explain(&options, out, d), ANL_OK);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "functions; nothing is computed"));
    free(text);
    anl_diagnostics_free(&d);
}
END_TEST

START_TEST(devices_are_judged)
{
    char *text = explained((anl_explain_options){.kernel = -1, .depth = 1, .assume = "memory=1GiB"});
    ck_assert_ptr_nonnull(strstr(text, "  fits          the assumed device: "));
    ck_assert_ptr_nonnull(strstr(text, "the largest batch that fits is "));
    free(text);
    text = explained((anl_explain_options){.kernel = -1, .depth = 1, .assume = "storage_range=1KiB"});
    ck_assert_ptr_nonnull(strstr(text, "  does not fit  the assumed device: largest tensor "));
    ck_assert_ptr_nonnull(strstr(text, "no batch fits"));
    free(text);
    text = explained((anl_explain_options){.kernel = -1, .depth = 1, .device = "host"});
    ck_assert_ptr_nonnull(strstr(text, "(host): "));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explain");
    TCase *c = tcase_create("specs");
    tcase_set_timeout(c, 300);
    tcase_add_loop_test(c, stock_specs_compile, 0, (int)ANL_COUNT(stocks));
    tcase_add_test(c, each_stage_is_printed);
    tcase_add_test(c, wrong_overrides_are_reported);
    tcase_add_test(c, costs_are_those_worked_out_by_hand);
    tcase_add_test(c, lines_add_up);
    tcase_add_test(c, checkpoints_are_as_large_as_said);
    tcase_add_test(c, measured_time_has_a_place);
    tcase_add_loop_test(c, exactly_what_was_changed_is_told, 0, (int)ANL_COUNT(plants));
    tcase_add_test(c, chains_and_functions_are_compared_by_what_they_share);
    tcase_add_test(c, programs_are_compared_by_line);
    tcase_add_test(c, json_is_json);
    tcase_add_test(c, devices_are_judged);
    tcase_add_test(c, libraries_compute_nothing);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
