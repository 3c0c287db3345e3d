/* What the seeded harnesses share.
 * In: texts. Out: see the header.
 * The meaning is taken from the graphs before compilation: equal graphs compile to equal programs. */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/folders.h"
#include "spec/overrides.h"
#include "spec/recipe.h"
#include "trace/trace.h"

uint64_t draw(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return anl_hash(state, sizeof *state, 11);
}

int draw_below(uint64_t *state, int count) { return (int)(draw(state) % (uint64_t)count); }

bool draw_chance(uint64_t *state, int percent) { return draw_below(state, 100) < percent; }

const char *line_start(const char *text, int line)
{
    for (; text && line > 1; line--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text && *text ? text : NULL;
}

int line_length(const char *start) { return (int)strcspn(start, "\n"); }

int line_indent(const char *start) { return (int)strspn(start, " "); }

bool line_blank(const char *start)
{
    start += strspn(start, " \t\r");
    return *start == '\0' || *start == '\n' || *start == '#';
}

bool word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

bool has_word(const char *text, size_t length, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; size && (at = memmem(at, (size_t)(text + length - at), word, size)); at++)
        if ((at == text || !word_byte(at[-1])) && (at + size == text + length || !word_byte(at[size])))
            return true;
    return false;
}

void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(3);
    }
    return memory;
}

bool run_apart(void (*work)(void *context), void *context, int seconds, char *said, size_t said_size)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm((unsigned)seconds);
        work(context);
        fflush(stderr);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        snprintf(said, said_size, "no process could be started");
        return false;
    }
    if (WIFSIGNALED(status))
        snprintf(said, said_size, "ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        snprintf(said, said_size, "ended with status %d", WEXITSTATUS(status));
    return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Descriptions say nothing to the engine. */
static void forget_descriptions(anl_recipe *recipe)
{
    recipe->title = recipe->doc = NULL;
    for (int i = 0; i < recipe->param_count; i++)
        recipe->params[i].doc = NULL;
    for (int i = 0; i < recipe->function_count; i++) {
        recipe->functions[i]->doc = NULL;
        for (int k = 0; k < recipe->functions[i]->param_count; k++)
            recipe->functions[i]->params[k].doc = NULL;
    }
}

static uint64_t hash_file(FILE *out, char **text, size_t *length)
{
    fclose(out);
    uint64_t hash = anl_hash(*text, *length, 5);
    free(*text);
    return hash;
}

static void print_facts(const anl_static_recipe *s, FILE *out)
{
    fprintf(out, "%d %lld %.17g%d %.17g%d %d %.17g%d\n", s->batch, (long long)s->seed, s->train_length, s->train_length_epochs,
            s->checkpoint_every, s->checkpoint_every_epochs, s->checkpoint_keep, s->evaluate_every, s->evaluate_every_epochs);
    for (int i = 0; i < 3; i++)
        fprintf(out, "%s %.17g %d %d\n", s->shards[i] ? s->shards[i] : "-", s->label_fraction[i], s->label_by_patient[i],
                s->drop_unlabelled[i]);
    for (int i = 0; i < s->field_count; i++) {
        const struct anl_static_field *f = &s->fields[i];
        fprintf(out, "%s %s %s %s %d %.17g", f->name, f->mask ? f->mask : "-", f->column ? f->column : "-",
                f->modality ? f->modality : "-", f->has_missing, f->missing);
        for (int k = 0; k < f->rank; k++)
            fprintf(out, " %s %d", f->axis[k], f->size[k]);
        fprintf(out, "\n");
    }
    for (int i = 0; i < s->initialization_count; i++)
        fprintf(out, "%s %s %s\n", s->initializations[i].module, s->initializations[i].checkpoint,
                s->initializations[i].from ? s->initializations[i].from : "-");
    for (int i = 0; i < s->metric_count; i++)
        fprintf(out, "%s %s %d\n", s->metrics[i].name, s->metrics[i].measure, s->metrics[i].where);
}

/* One graph; false: there is none. */
static bool print_trace(const anl_recipe *recipe, anl_trace_mode mode, double step, anl_diagnostics *diagnostics, FILE *out,
                        anl_traced **traced)
{
    anl_trace_options options = {.mode = mode, .phase_step = (int64_t)step, .seed = -1};
    bool good = anl_trace(recipe, &options, diagnostics, traced) == ANL_OK;
    if (good) {
        fprintf(out, "mode %d %lld\n", (int)mode, (long long)(*traced)->total_steps);
        anl_graph_print((*traced)->graph, out);
    } else {
        anl_traced_free(traced);
    }
    return good;
}

meaning meaning_of(const char *path, const anl_lint_options *options)
{
    meaning result = {0};
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_override *overrides = NULL;
    anl_recipe *recipe = NULL;
    if (anl_overrides_parse(arena, options->overrides, options->override_count, diagnostics, &overrides) == ANL_OK &&
        anl_recipe_read_documents(path, options->documents, options->document_count, overrides, options->override_count,
                                  anl_folder_specs(arena), diagnostics, &recipe) == ANL_OK) {
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        anl_static_recipe facts;
        bool good = recipe->library || anl_trace_static(recipe, arena, diagnostics, &facts) == ANL_OK;
        if (good && !recipe->library) {
            print_facts(&facts, out);
            anl_traced *train = NULL, *other = NULL;
            if (recipe->loss_count) {
                good = print_trace(recipe, ANL_TRACE_TRAIN, 0, diagnostics, out, &train);
                for (int i = 0; train && i < train->boundary_count; i++, anl_traced_free(&other)) {
                    fprintf(out, "at %.17g\n", train->boundaries[i]);
                    good = print_trace(recipe, ANL_TRACE_TRAIN, train->boundaries[i], diagnostics, out, &other) && good;
                }
                anl_traced_free(&train);
            }
            good = print_trace(recipe, ANL_TRACE_EVALUATE, 0, diagnostics, out, &other) && good;
            anl_traced_free(&other);
            good = print_trace(recipe, ANL_TRACE_INITIALIZE, 0, diagnostics, out, &other) && good;
            anl_traced_free(&other);
        }
        result.computed = hash_file(out, &text, &length);
        result.sound = good;
        anl_text printed = {0};
        forget_descriptions(recipe);
        if (anl_recipe_print(recipe, &printed) == ANL_OK)
            result.declared = anl_hash(printed.data, printed.length, 7);
        anl_text_free(&printed);
    }
    anl_recipe_free(&recipe);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
    return result;
}
