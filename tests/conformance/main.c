/* The conformance tests: every primitive on every device and way of compiling, against the oracle.
 * In: --long (the full cross products), --device vulkan:N, --only TEXT (groups), --host (no Vulkan). Out: a line `ok WHERE:
 * GROUP/CASE` or `not ok WHERE: GROUP/CASE: why` for each case and place, `skip WHERE why`, and last `N passed, M failed`; exit
 * status 1 if any failed. The oracle is the host device in float64 with fusion off; on small cases it is itself compared with
 * definitions in plain loops. */
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

enum { WORKERS = 2 };

typedef struct place {
    const char *label;
    int worker;
    bool vulkan, no_fusion, both; /* both: as planned, and again with guards; else with guards only */
    anl_device_options options;
    anl_device *device, *twin; /* twin: like it, with one thread */
    double seconds, processor;
    int kernels;
} place;

static place places[] = {
    {.label = "host", .both = true, .options = {.threads = 2}},
    {.label = "host, unfused", .no_fusion = true, .options = {.threads = 3}},
    {.label = "host, plain", .options = {.threads = 1, .plain = true}},
    {.label = "vulkan", .worker = 1, .vulkan = true, .both = true, .options = {.validation = true}},
    {.label = "vulkan, unfused baseline", .vulkan = true, .no_fusion = true, .options = {.validation = true, .plain = true}},
    {.label = "vulkan, clamped",
     .vulkan = true,
     .options = {.validation = true,
                 .no_subgroups = true,
                 .clamp = {.max_invocations = 128, .max_shared_bytes = 16384, .alignment = 256}}},
};

static int passed, failed, skipped;
static bool covered[ANL_OP_COUNT][3], scalar_covered[ANL_SCALAR_COUNT][3], cast_covered[3][3];
static const char *builtins_covered[256];
static int builtin_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Of all threads: what a case costs, however busy the machine is. */
static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void report(const char *where, const char *group_name, const char *name, const char *why)
{
    if (why)
        printf("not ok %s: %s/%s: %s\n", where, group_name, name, why);
    else
        printf("ok %s: %s/%s\n", where, group_name, name);
    *(why ? &failed : &passed) += 1;
    fflush(stdout);
}

anl_value builtin(maker *m, const char *name, const char *arguments, int count, const anl_value *given)
{
    (void)count;
    builtins_covered[builtin_count < 255 ? builtin_count++ : builtin_count] =
        anl_builtin_find(name) ? anl_builtin_find(name)->name : "";
    anl_value v = call_list(&m->context, name, arguments, given);
    ck_assert_msg(v.kind != ANL_V_NONE, "%s %s: %s", m->name, name,
                  anl_diagnostics_count(m->diagnostics) ? anl_diagnostics_get(m->diagnostics, 0)->message : "no value");
    return v;
}

/* ---- comparing ---- */
static bool near_enough(double got, double want, double tolerance, double scale)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got) || tolerance == 0)
        return got == want;
    return fabs(got - want) <= tolerance * (fabs(want) + scale);
}

/* NULL, or how the numbers differ. */
static const char *compare(anl_arena *arena, const double *got, const double *want, int64_t count, double tolerance, double scale,
                           const char *what)
{
    double squares = 0;
    int64_t finite = 0, wrong = 0, first = -1;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(want[i])) {
            squares += want[i] * want[i];
            finite++;
        }
    scale = scale > 0 ? scale : finite ? sqrt(squares / (double)finite) : 0;
    for (int64_t i = 0; i < count; i++)
        if (!near_enough(got[i], want[i], tolerance, scale)) {
            first = first < 0 ? i : first;
            wrong++;
        }
    if (wrong == 0)
        return NULL;
    return anl_arena_printf(arena, "%s: %lld of %lld elements differ, the first is number %lld: %.*g, should be %.*g", what,
                            (long long)wrong, (long long)count, (long long)first, tolerance > 0 ? 9 : 17, got[first],
                            tolerance > 0 ? 9 : 17, want[first]);
}

typedef struct expected {
    double **outputs; /* [step][case]; cases that are states: after the last step */
    int64_t *counts;
    const char *why;
} expected;

static const char *read_case(loaded *l, const test_case *c, double **out, int64_t *count)
{
    return c->state ? loaded_state(l, c->state, out, count) : loaded_output(l, c->output, out, count);
}

static const char *oracle_values(maker *m, const group *g, anl_device *device, expected *e)
{
    loaded *l = NULL;
    bool fused = g->flags & LARGE;
    e->outputs = ANL_NEW_ARRAY(m->arena, double *, m->case_count * m->step_count + 1);
    e->counts = ANL_NEW_ARRAY(m->arena, int64_t, m->case_count + 1);
    const char *why = loaded_new(device, m, true, !fused, &l);
    if (!why)
        why = loaded_start(l, false);
    for (int s = 0; s < m->step_count && !why; s++) {
        why = loaded_step(l, m->steps[s]);
        for (int c = 0; c < m->case_count && !why; c++)
            if (!m->cases[c].state || s == m->step_count - 1)
                why = read_case(l, &m->cases[c], &e->outputs[s * m->case_count + c], &e->counts[c]);
    }
    if (why)
        why = anl_arena_text(m->arena, why);
    loaded_free(&l);
    return why;
}

/* One result for all checks of a case: cases of one name follow each other. */
static void report_cases(maker *m, const char *where, const group *g, const char **why)
{
    for (int c = 0; c < m->case_count;) {
        const char *problem = NULL;
        int first = c;
        for (; c < m->case_count && strcmp(m->cases[c].name, m->cases[first].name) == 0; c++)
            problem = problem ? problem : why[c];
        report(where, g->name, m->cases[first].name, problem);
    }
}

/* bits: one number for each step and case that stands for all bits of its values. */
static const char *run_steps(maker *m, const expected *e, loaded *l, bool guarded, const char **why, uint64_t *bits)
{
    const char *problem = loaded_start(l, guarded);
    const char *what = guarded ? "apart" : "as planned";
    for (int s = 0; s < m->step_count && !problem; s++) {
        problem = loaded_step(l, m->steps[s]);
        for (int c = 0; c < m->case_count && !problem; c++) {
            if (m->cases[c].state && s < m->step_count - 1)
                continue;
            double *got = NULL;
            int64_t count = 0;
            int at = s * m->case_count + c;
            problem = read_case(l, &m->cases[c], &got, &count);
            if (!problem && count != e->counts[c])
                problem = "an output has another size than the oracle's";
            if (!problem && !why[c])
                why[c] = compare(m->arena, got, e->outputs[at], count, m->cases[c].tolerance, m->cases[c].scale, what);
            if (!problem)
                bits[at] = anl_hash(got, sizeof *got * (size_t)count, 1);
            free(got);
        }
    }
    return problem;
}

/* The same program again, on the host with another number of threads: the same bits. */
static const char *run_again(maker *m, const expected *e, place *p, loaded *l, const uint64_t *bits)
{
    const char **why = ANL_NEW_ARRAY(m->arena, const char *, m->case_count + 1);
    uint64_t *again = ANL_NEW_ARRAY(m->arena, uint64_t, m->case_count * m->step_count + 1);
    loaded *other = NULL;
    const char *problem = p->twin ? loaded_new(p->twin, m, false, p->no_fusion, &other) : NULL;
    if (!problem)
        problem = run_steps(m, e, p->twin ? other : l, false, why, again);
    for (int i = 0; i < m->case_count * m->step_count && !problem; i++)
        if (bits[i] != again[i])
            problem = anl_arena_printf(m->arena, "%s has other bits the second time", m->cases[i % m->case_count].name);
    problem = problem ? anl_arena_text(m->arena, problem) : NULL;
    loaded_free(&other);
    return problem;
}

static void run_place(maker *m, const group *g, place *p, const expected *e)
{
    double start = now(), processor = processor_seconds();
    const char **why = ANL_NEW_ARRAY(m->arena, const char *, m->case_count + 1);
    uint64_t *bits = ANL_NEW_ARRAY(m->arena, uint64_t, m->case_count * m->step_count + 1);
    loaded *l = NULL;
    bool large = g->flags & LARGE;
    const char *problem = loaded_new(p->device, m, false, p->no_fusion, &l);
    if (!problem && (p->both || large))
        problem = run_steps(m, e, l, false, why, bits);
    if (!problem && p->both && !large)
        report(p->label, g->name, "the same bits again", run_again(m, e, p, l, bits));
    if (!problem && !large) {
        problem = run_steps(m, e, l, true, why, bits);
        if (!problem)
            report(p->label, g->name, "sentinels", loaded_guards(l));
    }
    for (int c = 0; c < m->case_count && problem; c++)
        if (!why[c])
            why[c] = problem;
    report_cases(m, p->label, g, why);
    p->kernels += loaded_kernels(l);
    loaded_free(&l);
    p->seconds += now() - start;
    p->processor += processor_seconds() - processor;
}

/* ---- the oracle against definitions ---- */
static double cost_of(const anl_node *n)
{
    double inline_cost = (double)anl_node_count(n);
    return n->op == ANL_OP_CONTRACT ? anl_op_describe(n->op)->flops(n) / 2
           : n->op == ANL_OP_TOP_K  ? 20 * inline_cost
           : n->input_count         ? fmax(inline_cost, (double)anl_node_count(n->inputs[0]))
                                    : inline_cost;
}

static bool small_enough(const anl_node *n, char *seen)
{
    if (seen[n->id])
        return true;
    seen[n->id] = 1;
    if (cost_of(n) > 2e5)
        return false;
    for (int i = 0; i < n->input_count; i++)
        if (!small_enough(n->inputs[i], seen))
            return false;
    return true;
}

static void give_values(maker *m, evaluator *e)
{
    for (int i = 0; i < m->value_count; i++) {
        const values *v = &m->values[i];
        int64_t count = anl_node_count(v->node);
        if (count > 200000)
            continue;
        double *data = anl_malloc(sizeof *data * (size_t)count), *ordered = anl_malloc(sizeof *data * (size_t)count);
        fill_values(v, v->node->op == ANL_OP_STATE ? 0 : m->steps[0], data);
        memcpy(ordered, data, sizeof *data * (size_t)count);
        if (v->node->op == ANL_OP_STATE) { /* declared order -> the node's */
            const anl_state *s = v->node->attrs.state;
            int64_t strides[ANL_MAX_AXES], stride = 1;
            for (int k = s->rank - 1; k >= 0; k--) {
                strides[k] = stride;
                stride *= s->axes[k].size;
            }
            for (int64_t n = 0; n < count; n++) {
                int64_t rest = n, from = 0;
                for (int k = v->node->rank - 1; k >= 0; k--) {
                    for (int d = 0; d < s->rank; d++)
                        if (s->axes[d].id == v->node->axes[k].id)
                            from += rest % v->node->axes[k].size * strides[d];
                    rest /= v->node->axes[k].size;
                }
                ordered[n] = data[from];
            }
        }
        evaluator_give(e, v->node, ordered);
        free(data);
        free(ordered);
    }
}

static void check_definitions(maker *m, const group *g, const expected *e)
{
    evaluator *ev = evaluator_new(m->g);
    ev->step = m->steps[0];
    give_values(m, ev);
    char *seen = anl_malloc((size_t)m->g->node_count);
    const char **why = ANL_NEW_ARRAY(m->arena, const char *, m->case_count + 1);
    maker part = *m; /* the cases that are small enough */
    part.cases = ANL_NEW_ARRAY(m->arena, test_case, m->case_count + 1);
    part.case_count = 0;
    for (int c = 0; c < m->case_count; c++) {
        memset(seen, 0, (size_t)m->g->node_count);
        if (m->cases[c].state || !small_enough(m->cases[c].node, seen))
            continue;
        const double *want = evaluate(ev, m->cases[c].node);
        why[part.case_count] = ev->problem[0] ? anl_arena_text(m->arena, ev->problem)
                               : e->counts[c] != anl_node_count(m->cases[c].node)
                                   ? "another size"
                                   : compare(m->arena, e->outputs[c], want, e->counts[c], m->cases[c].tolerance > 0 ? 1e-9 : 0,
                                             m->cases[c].scale, "against the definition");
        ev->problem[0] = 0;
        part.cases[part.case_count++] = m->cases[c];
    }
    report_cases(&part, "oracle", g, why);
    free(seen);
    evaluator_free(ev);
}

/* ---- what is covered ---- */
static void cover(const anl_node *n, char *seen)
{
    if (seen[n->id])
        return;
    seen[n->id] = 1;
    const anl_node *input = n->input_count ? n->inputs[0] : n;
    covered[n->op][n->op == ANL_OP_ARGMAX || n->op == ANL_OP_TOP_K ? input->dtype : n->dtype] = true;
    if (n->op == ANL_OP_SCALAR && n->attrs.scalar == ANL_S_CAST)
        cast_covered[input->dtype][n->dtype] = true;
    if (n->op == ANL_OP_SCALAR)
        scalar_covered[n->attrs.scalar][n->attrs.scalar == ANL_S_SELECT ? n->dtype : input->dtype] = true;
    for (int i = 0; i < n->input_count; i++)
        cover(n->inputs[i], seen);
}

static void cover_group(maker *m)
{
    char *seen = anl_malloc((size_t)m->g->node_count);
    memset(seen, 0, (size_t)m->g->node_count);
    for (int c = 0; c < m->case_count; c++)
        cover(m->cases[c].node, seen);
    free(seen);
}

/* The dtypes (of the first operand) with which an operation must have a case. */
static const char *dtypes_of(anl_op op)
{
    switch (op) {
    case ANL_OP_CONST:
    case ANL_OP_FIELD:
    case ANL_OP_STATE:
    case ANL_OP_RENAME:
    case ANL_OP_TRANSPOSE:
    case ANL_OP_REPLICATE:
    case ANL_OP_SLICE:
    case ANL_OP_PLACE:
    case ANL_OP_CONCAT:
    case ANL_OP_SPLIT:
    case ANL_OP_MERGE:
    case ANL_OP_WINDOWS:
    case ANL_OP_GATHER:
    case ANL_OP_SCALAR:
        return "fib";
    case ANL_OP_TABLE:
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_ARGMAX:
    case ANL_OP_TOP_K:
        return "fi";
    case ANL_OP_INDEX:
        return "i";
    case ANL_OP_STEP:
    case ANL_OP_UNIFORM:
    case ANL_OP_NORMAL:
    case ANL_OP_STOP_GRADIENT:
    case ANL_OP_LOGSUMEXP:
    case ANL_OP_MEAN:
    case ANL_OP_VARIANCE:
    case ANL_OP_UNWINDOWS:
    case ANL_OP_CONTRACT:
    case ANL_OP_SEGMENT_SUM:
        return "f";
    case ANL_OP_COUNT:
        break;
    }
    return "fib";
}

static const char *scalar_dtypes(anl_scalar s)
{
    switch (anl_scalar_types(s)) {
    case 'f':
        return "f";
    case 'n':
    case 'c':
        return "fi";
    case 'b':
        return "b";
    default:
        return "fib";
    }
}

static void check_coverage(void)
{
    static const char letters[] = "fib";
    for (int op = 0; op < ANL_OP_COUNT; op++)
        for (int d = 0; d < 3; d++)
            if (strchr(dtypes_of((anl_op)op), letters[d])) {
                char name[96];
                snprintf(name, sizeof name, "%s of %s", anl_op_describe((anl_op)op)->name, anl_dtype_name((anl_dtype)d));
                report("coverage", "operation", name, covered[op][d] ? NULL : "has no case");
            }
    for (int s = 0; s < ANL_SCALAR_COUNT; s++)
        for (int d = 0; d < 3; d++)
            if (strchr(scalar_dtypes((anl_scalar)s), letters[d])) {
                char name[96];
                snprintf(name, sizeof name, "%s of %s", anl_scalar_name((anl_scalar)s), anl_dtype_name((anl_dtype)d));
                report("coverage", "scalar", name, scalar_covered[s][d] ? NULL : "has no case");
            }
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 3; to++)
            if (from != to) {
                char name[96];
                snprintf(name, sizeof name, "%s to %s", anl_dtype_name((anl_dtype)from), anl_dtype_name((anl_dtype)to));
                report("coverage", "cast", name, cast_covered[from][to] ? NULL : "has no case");
            }
    for (int i = 0; anl_builtin_at(i); i++) {
        const anl_builtin *b = anl_builtin_at(i);
        bool differentiable = strncmp(b->gradient, "yes", 3) == 0 || strncmp(b->gradient, "to ", 3) == 0,
             found = gradient_has_case(b->name);
        for (int k = 0; k < builtin_count && !differentiable; k++)
            found = found || strcmp(builtins_covered[k], b->name) == 0;
        report("coverage", differentiable ? "gradient" : "builtin", b->name, found ? NULL : "has no case");
    }
}

/* ---- all together ---- */
static void run_group(const group *g, bool thorough, anl_device *oracle_device, bool definitions)
{
    maker *m = maker_new(thorough);
    m->name = g->name;
    g->build(m);
    const char *why = NULL;
    expected e = {0};
    if (anl_graph_verify(m->g, m->diagnostics) != ANL_OK)
        why = anl_diagnostics_count(m->diagnostics) ? anl_diagnostics_get(m->diagnostics, 0)->message : "does not verify";
    if (definitions)
        cover_group(m);
    if (!why)
        why = oracle_values(m, g, oracle_device, &e);
    if (why) {
        report("oracle", g->name, "all", why);
    } else {
        if (definitions && !(g->flags & LARGE))
            check_definitions(m, g, &e);
        for (size_t p = 0; p < ANL_COUNT(places); p++)
            if (places[p].device && !(g->flags & LARGE && places[p].no_fusion))
                run_place(m, g, &places[p], &e);
    }
    for (int i = 0; e.outputs && i < m->case_count * m->step_count; i++)
        free(e.outputs[i]);
    maker_free(m);
}

/* The checks themselves: a store past a tensor's end and a missing barrier must be found, or the rest proves little.
 * (Two writes of one place go unnoticed by the validation layers, which let them pass for bound storage buffers: there numbers
 * must tell.) */
static void check_checks(place *p)
{
    for (int what = 0; what < 2; what++) {
        if (what == NO_BARRIERS && !p->options.validation)
            continue; /* the host device runs kernels one after the other */
        maker *m = maker_new(false);
        begin(m, "planted");
        anl_node *x = FLOATS(m, "x", "a 13"), *y = op2(m, ANL_S_ADD, x, number(m, 1));
        check_close(m, y, 1e-6);
        if (what == NO_BARRIERS)
            check_close(m, op2(m, ANL_S_DIV, y, reduce(m, ANL_OP_SUM, y, "a")), 1e-6);
        loaded *l = NULL;
        const char *why = loaded_new(p->device, m, false, true, &l), *found = NULL;
        if (!why) {
            loaded_plant(l, (fault)what);
            found = loaded_start(l, true);
            if (!found)
                found = loaded_step(l, 3);
            if (what == ONE_TOO_MANY)
                why = found;
        }
        if (!why && what == ONE_TOO_MANY)
            found = loaded_guards(l);
        report(p->label, "planted", what == NO_BARRIERS ? "a missing barrier" : "one element too many",
               why     ? why
               : found ? NULL
                       : "was not noticed");
        loaded_free(&l);
        maker_free(m);
    }
}

static void report_difference(const char *name, const char *why) { report("differences", "gradients", name, why); }

static const struct {
    const group *groups;
    const int *count;
} lists[] = {{element_groups, &element_group_count},   {reduction_groups, &reduction_group_count},
             {movement_groups, &movement_group_count}, {contraction_groups, &contraction_group_count},
             {state_groups, &state_group_count},       {gradient_groups, &gradient_group_count}};

typedef struct options {
    const char *vulkan, *only;
    bool thorough, host;
} options;

/* The places of one worker; the first worker also checks the oracle itself. Returns whether all was well enough to be counted. */
static bool work(const options *o, int worker)
{
    double start = now();
    anl_diagnostics *d = anl_diagnostics_new();
    anl_device *oracle_device = NULL;
    anl_device_options oracle_options = {.threads = 2, .f64 = true, .plain = true};
    if (anl_host_open(&oracle_options, d, &oracle_device) != ANL_OK) {
        anl_diagnostics_print(d, stdout, false);
        return false;
    }
    for (size_t p = 0; p < ANL_COUNT(places); p++) {
        if (places[p].worker != worker)
            continue;
        anl_diagnostics *said = anl_diagnostics_new();
        if (places[p].vulkan && o->host)
            printf("skip %s: --host\n", places[p].label);
        else if (anl_device_open(places[p].vulkan ? o->vulkan : "host", &places[p].options, said, &places[p].device) != ANL_OK)
            printf("skip %s: %s\n", places[p].label,
                   anl_diagnostics_count(said) ? anl_diagnostics_get(said, 0)->message : "cannot be opened");
        else
            printf("# %s: %s, %s\n", places[p].label, anl_device_describe(places[p].device)->name,
                   anl_device_describe(places[p].device)->driver);
        skipped += !places[p].device;
        anl_device_options alone = places[p].options;
        alone.threads = 1;
        if (places[p].device && places[p].both && !places[p].vulkan &&
            anl_device_open("host", &alone, said, &places[p].twin) != ANL_OK)
            report(places[p].label, "device", "with one thread", "cannot be opened");
        anl_diagnostics_free(&said);
        if (places[p].device && (!o->only || strstr("planted", o->only)))
            check_checks(&places[p]);
    }
    for (size_t l = 0; l < ANL_COUNT(lists); l++)
        for (int i = 0; i < *lists[l].count; i++) {
            const group *g = &lists[l].groups[i];
            if (o->only && !strstr(g->name, o->only))
                continue;
            double begun = now(), processor = processor_seconds();
            run_group(g, o->thorough, oracle_device, worker == 0);
            printf("# %s: %.1f s, processors %.1f s\n", g->name, now() - begun, processor_seconds() - processor);
        }
    if (worker == 0) {
        double begun = now();
        differences(report_difference, o->only);
        printf("# differences: %.1f s\n", now() - begun);
        if (!o->only)
            check_coverage();
    }
    for (size_t p = 0; p < ANL_COUNT(places); p++) {
        if (places[p].device)
            printf("# %s: %.1f s, processors %.1f s, %d kernels\n", places[p].label, places[p].seconds, places[p].processor,
                   places[p].kernels);
        anl_device_close(&places[p].twin);
        anl_device_close(&places[p].device);
    }
    anl_device_close(&oracle_device);
    anl_diagnostics_free(&d);
    printf("# worker %d: %.1f s, processors %.1f s\n", worker, now() - start, processor_seconds());
    return true;
}

/* Workers are processes of their own, since making pipelines ready takes one processor; they meet before anything is opened. */
int main(int argc, char **argv)
{
    options o = {.vulkan = "vulkan"};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0) {
            o.thorough = true;
        } else if (strcmp(argv[i], "--host") == 0) {
            o.host = true;
        } else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
            o.vulkan = argv[++i];
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            o.only = argv[++i];
        } else {
            fprintf(stderr, "usage: conformance [--long] [--host] [--device vulkan:N] [--only TEXT]\n");
            return 2;
        }
    }
    double start = now();
    int counts[WORKERS][3] = {{0}}, channel[WORKERS][2];
    pid_t children[WORKERS];
    FILE *said[WORKERS];
    for (int w = 0; w < WORKERS; w++) {
        said[w] = tmpfile();
        if (!said[w] || pipe(channel[w]) != 0) {
            perror("conformance");
            return 2;
        }
        fflush(stdout);
        children[w] = fork();
        if (children[w] < 0) {
            perror("conformance");
            return 2;
        }
        if (children[w] == 0) {
            dup2(fileno(said[w]), STDOUT_FILENO);
            bool well = work(&o, w);
            int mine[3] = {passed, failed, skipped};
            well = well && fflush(stdout) == 0 && write(channel[w][1], mine, sizeof mine) == (ssize_t)sizeof mine;
            _exit(well ? 0 : 3);
        }
        close(channel[w][1]);
    }
    for (int w = 0; w < WORKERS; w++) {
        int status = 0;
        waitpid(children[w], &status, 0);
        char line[4096];
        rewind(said[w]);
        while (fgets(line, sizeof line, said[w]))
            fputs(line, stdout);
        if (read(channel[w][0], counts[w], sizeof counts[w]) != (ssize_t)sizeof counts[w]) {
            printf("not ok worker %d: ended with status %d before it was done\n", w,
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            counts[w][1]++;
        }
        passed += counts[w][0];
        failed += counts[w][1];
        skipped += counts[w][2];
    }
    printf("# %.1f s\n%d passed, %d failed", now() - start, passed, failed);
    if (skipped)
        printf(", %d skipped", skipped);
    printf("\n");
    return failed > 0 || passed == 0;
}
