/* Random specs that are right, through the whole of the language: linted, laid out, printed, traced, compiled, checked.
 * In: their number, a seed. Out: how many were good and what was reported of them; exit status 1 where one was not. A spec that was not
 * good is written to a file, with what was wrong with it.
 * Every spec has a process of its own, so that a crash is one finding of many. */
#include "specimen.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/format.h>

#include "base/folders.h"
#include "compile/compile.h"
#include "spec/recipe.h"
#include "trace/trace.h"

typedef struct outcome {
    bool good;
    int kernels, nodes, bytes, warnings;
    anl_code codes[8]; /* of warnings that are not expected to be missing */
    char said[2000];
} outcome;

static const char *const file = "spec.yaml";

static void say(outcome *o, const char *what, const anl_diagnostics *diagnostics)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    fprintf(out, "%s\n", what);
    if (diagnostics)
        anl_diagnostics_print(diagnostics, out, false);
    fclose(out);
    snprintf(o->said, sizeof o->said, "%s", text);
    free(text);
}

static anl_recipe *read_recipe(anl_arena *arena, const char *text, anl_diagnostics *diagnostics)
{
    anl_document document = {file, text, strlen(text)};
    anl_recipe *recipe = NULL;
    return anl_recipe_read_documents(file, &document, 1, NULL, 0, anl_folder_specs(arena), diagnostics, &recipe) == ANL_OK ? recipe : NULL;
}

static bool lint(const char *text, outcome *o)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_document document = {file, text, strlen(text)};
    anl_lint_options options = {.documents = &document, .document_count = 1};
    bool good = anl_lint(file, &options, diagnostics) == ANL_OK;
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++) {
        anl_code code = anl_diagnostics_get(diagnostics, i)->code;
        if (o->warnings < (int)ANL_COUNT(o->codes))
            o->codes[o->warnings++] = code;
        /* nothing is left unused, and nothing is allowed: these are never right here */
        good = good && code != ANL_A_unused_name && code != ANL_A_unused_node && code != ANL_A_allow_invalid && code != ANL_A_allow_unused;
    }
    if (!good)
        say(o, "it does not lint", diagnostics);
    anl_diagnostics_free(&diagnostics);
    return good;
}

/* Laid out and printed, it stays the same recipe. */
static bool means_the_same(anl_arena *arena, const char *text, outcome *o)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char *once = NULL, *twice = NULL;
    size_t once_length = 0, twice_length = 0;
    anl_text first = {0}, second = {0}, third = {0};
    const char *wrong = NULL;
    anl_recipe *recipe = read_recipe(arena, text, diagnostics), *laid = NULL, *printed = NULL;
    if (anl_format(file, text, strlen(text), diagnostics, &once, &once_length) != ANL_OK)
        wrong = "it cannot be laid out";
    else if (anl_format(file, once, once_length, diagnostics, &twice, &twice_length) != ANL_OK || strcmp(once, twice))
        wrong = "laid out again, it changes";
    else if (!recipe || !(laid = read_recipe(arena, once, diagnostics)))
        wrong = "laid out, it cannot be read";
    else if (anl_recipe_print(recipe, &first) != ANL_OK || anl_recipe_print(laid, &second) != ANL_OK || strcmp(first.data, second.data))
        wrong = "laid out, it means something else";
    else if (!(printed = read_recipe(arena, first.data, diagnostics)))
        wrong = "printed, it cannot be read";
    else if (anl_recipe_print(printed, &third) != ANL_OK || strcmp(first.data, third.data))
        wrong = "printed again, it changes";
    if (wrong)
        say(o, wrong, diagnostics);
    free(once);
    free(twice);
    anl_text_free(&first);
    anl_text_free(&second);
    anl_text_free(&third);
    anl_recipe_free(&recipe);
    anl_recipe_free(&laid);
    anl_recipe_free(&printed);
    anl_diagnostics_free(&diagnostics);
    return !wrong;
}

/* The program of one mode, judged by the second checker. */
static bool compiles(const anl_recipe *recipe, anl_trace_mode mode, double step, bool fused, outcome *o, anl_traced **traced)
{
    static const char *const modes[] = {"training", "evaluation", "its first values"};
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_trace_options options = {.mode = mode, .phase_step = (int64_t)step, .seed = -1};
    anl_compile_options how = {.no_fusion = !fused};
    anl_state_layout *layout = NULL;
    anl_program *program = NULL;
    const char *wrong = NULL;
    if (anl_trace(recipe, &options, diagnostics, traced) != ANL_OK)
        wrong = "cannot be traced";
    else if (anl_graph_verify((*traced)->graph, diagnostics) != ANL_OK)
        wrong = "is no right graph";
    else if (anl_state_layout_new(&(*traced)->graph, 1, false, diagnostics, &layout) != ANL_OK ||
             anl_compile((*traced)->graph, layout, &how, diagnostics, &program) != ANL_OK)
        wrong = "cannot be compiled";
    else if (anl_program_check(program, diagnostics) != ANL_OK)
        wrong = "is no right program";
    if (wrong) {
        char what[100];
        snprintf(what, sizeof what, "%s %s (%s)", modes[mode], wrong, fused ? "fused" : "unfused");
        say(o, what, diagnostics);
    } else {
        o->nodes += (*traced)->graph->node_count;
        o->kernels += program->kernel_count;
    }
    anl_program_free(&program);
    anl_state_layout_free(&layout);
    anl_diagnostics_free(&diagnostics);
    return !wrong;
}

static bool compiles_all(anl_arena *arena, const char *text, outcome *o)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_recipe *recipe = read_recipe(arena, text, diagnostics);
    anl_traced *train = NULL, *other = NULL;
    bool good = recipe && compiles(recipe, ANL_TRACE_TRAIN, 0, true, o, &train);
    for (int i = 0; good && i < train->boundary_count; i++, anl_traced_free(&other))
        good = compiles(recipe, ANL_TRACE_TRAIN, train->boundaries[i], true, o, &other);
    good = good && compiles(recipe, ANL_TRACE_EVALUATE, 0, false, o, &other);
    anl_traced_free(&other);
    good = good && compiles(recipe, ANL_TRACE_INITIALIZE, 0, true, o, &other);
    anl_traced_free(&other);
    anl_traced_free(&train);
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&diagnostics);
    return good;
}

typedef struct task {
    const char *text;
    outcome *outcome;
} task;

static void examine(void *context)
{
    task *k = context;
    anl_arena *arena = anl_arena_new();
    k->outcome->bytes = (int)strlen(k->text);
    k->outcome->good = lint(k->text, k->outcome) && means_the_same(arena, k->text, k->outcome) && compiles_all(arena, k->text, k->outcome);
    anl_arena_free(&arena);
}

static bool is_good(const char *text, outcome *o)
{
    memset(o, 0, sizeof *o);
    task k = {text, o};
    return run_apart(examine, &k, 120, o->said, sizeof o->said) && o->good;
}

/* Specs that were found here and were not good, once. */
static bool old_findings(const char *root, outcome *o)
{
    char pattern[1024];
    snprintf(pattern, sizeof pattern, "%s/tests/harness/found/*.yaml", root);
    glob_t found;
    if (glob(pattern, 0, NULL, &found)) {
        printf("nothing matches %s\n", pattern);
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        anl_arena *arena = anl_arena_new();
        char *text;
        size_t length;
        if (anl_file_read(arena, found.gl_pathv[i], 0, &text, &length) != ANL_OK || !is_good(text, o)) {
            printf("%s: %s\n", found.gl_pathv[i], o->said);
            good = false;
        }
        anl_arena_free(&arena);
    }
    globfree(&found);
    return good;
}

int main(int argc, char **argv)
{
    int count = 300, good = 0, kept = 0;
    uint64_t seed = 1;
    const char *root = getenv("ANL_TEST_ROOT"), *folder = getenv("WORK");
    root = root ? root : ".";
    bool print = false;
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--seed=", 7))
            seed = strtoull(argv[i] + 7, NULL, 10);
        else if (!strcmp(argv[i], "--print"))
            print = true;
        else
            count = atoi(argv[i]);
    if (count < 1) {
        fprintf(stderr, "usage: specimens [COUNT] [--seed=N] [--print]; ANL_TEST_ROOT is the source tree, WORK the folder for what was not good\n");
        return 2;
    }
    anl_arena *paths = anl_arena_new();
    setenv("ANLAGE_SPECS", anl_arena_printf(paths, "%s/specs", root), 1);
    outcome *o = shared_memory(sizeof *o);
    const bool before = old_findings(root, o);
    double kernels = 0, nodes = 0, bytes = 0;
    int warned[2000] = {0};
    for (int i = 0; i < count; i++) {
        anl_arena *arena = anl_arena_new();
        uint64_t random = seed + (uint64_t)i;
        anl_text text = {0};
        yaml_write(specimen_make(arena, &random), &random, &text);
        if (print)
            printf("%s---\n", text.data);
        if (is_good(text.data, o)) {
            good++;
        } else if (kept++ < 50) {
            char *path = anl_arena_printf(arena, "%s/specimen-%llu.yaml", folder ? folder : ".", (unsigned long long)seed + (unsigned long long)i);
            bool written = anl_file_write_atomic(path, text.data, text.length) == ANL_OK;
            printf("%s%s: %s\n", path, written ? "" : " (could not be written)", o->said);
        }
        for (int w = 0; w < o->warnings; w++)
            warned[o->codes[w] < (int)ANL_COUNT(warned) ? o->codes[w] : (int)ANL_COUNT(warned) - 1]++;
        kernels += o->kernels;
        nodes += o->nodes;
        bytes += o->bytes;
        anl_text_free(&text);
        anl_arena_free(&arena);
    }
    printf("%d specs, %d good; on average %.0f bytes, %.0f nodes, %.0f kernels\n", count, good, bytes / count, nodes / count, kernels / count);
    for (int code = 1; code < 1000; code++)
        if (warned[code])
            printf("A%04d %s: %d\n", code, anl_code_name(code), warned[code]);
    anl_arena_free(&paths);
    return good == count && before ? 0 : 1;
}
