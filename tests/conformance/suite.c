/* Building groups of cases: names, inputs, what is checked; see suite.h.
 * In: shapes and ranges. Out: a graph whose outputs and states are to be compared.
 * Data depend on names and steps alone. */
#include "suite.h"

#include "run.h"

maker *maker_new(bool thorough)
{
    anl_arena *arena = anl_arena_new();
    maker *m = ANL_NEW(arena, maker);
    m->arena = arena;
    m->g = anl_graph_new();
    m->diagnostics = anl_diagnostics_new();
    m->context = (anl_context){.graph = m->g, .diagnostics = m->diagnostics, .batch_axis = -1, .draw_key = 77};
    m->thorough = thorough;
    m->name = "";
    m->steps[0] = 3;
    m->steps[1] = 4;
    m->step_count = 1;
    return m;
}

void maker_free(maker *m)
{
    anl_graph_free(&m->g);
    anl_diagnostics_free(&m->diagnostics);
    anl_arena *arena = m->arena;
    anl_arena_free(&arena);
}

void begin(maker *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    anl_text t = {0};
    anl_text_vprintf(&t, format, args);
    va_end(args);
    m->name = anl_arena_text(m->arena, t.data);
    m->g->path = m->name;
    anl_text_free(&t);
    for (int i = 0; i < m->case_count; i++)
        ck_assert_msg(strcmp(m->cases[i].name, m->name), "two cases are called %s", m->name);
}

int shape_axes(maker *m, const char *shape, anl_axis *out)
{
    int rank = 0;
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", shape);
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        out[rank++] = axis(m, name, atoi(strtok_r(rest, " ", &rest)));
    return rank;
}

int axis_list(maker *m, const char *names, int32_t *out)
{
    int count = 0;
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        out[count++] = axis_id(m, name);
    return count;
}

static values *add_values(maker *m, const char *name, double low, double high, double unit)
{
    values v = {.name = name, .low = low, .high = high, .unit = unit};
    ANL_PUSH(m->arena, m->values, m->value_count, m->value_capacity, v);
    return &m->values[m->value_count - 1];
}

anl_node *field(maker *m, const char *name, anl_dtype dtype, const char *shape, double low, double high, double unit)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = shape_axes(m, shape, axes);
    const char *path = anl_arena_printf(m->g->arena, "%s/%s", m->name, name);
    for (int i = 0; i < m->value_count; i++)
        ck_assert_msg(strcmp(m->values[i].name, path), "two fields are called %s", path);
    anl_node *n = anl_graph_node(m->g, ANL_OP_FIELD, dtype, 0, NULL);
    n->rank = rank;
    memcpy(n->axes, axes, sizeof(anl_axis) * (size_t)rank);
    n->attrs.name = path;
    add_values(m, path, low, high, dtype == ANL_F32 ? unit : 1)->node = n;
    return n;
}

anl_node *field_given(maker *m, const char *name, anl_dtype dtype, const char *shape, const double *list, int count)
{
    anl_node *n = field(m, name, dtype, shape, 0, 1, 0);
    values *v = &m->values[m->value_count - 1];
    double *copy = ANL_NEW_ARRAY(m->arena, double, count);
    memcpy(copy, list, sizeof *copy * (size_t)count);
    v->given = copy;
    v->given_count = count;
    return n;
}

anl_state *state(maker *m, const char *name, anl_dtype dtype, const char *shape, double low, double high, double unit)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = shape_axes(m, shape, axes);
    anl_state *s =
        anl_graph_state(m->g, anl_arena_printf(m->g->arena, "%s/%s", m->name, name), dtype, ANL_STATE_OTHER, axes, rank);
    values *v = add_values(m, s->path, low, high, dtype == ANL_F32 ? unit : 1);
    v->node = anl_graph_state_value(m->g, s);
    return s;
}

/* Axes of a state's node are in memory order; data are in declared order, as ports have it. */
void fill_values(const values *v, int64_t step, double *out)
{
    int64_t count = anl_node_count(v->node);
    uint64_t seed = anl_hash_text(v->name, (uint64_t)step + 1);
    bool whole_numbers = v->node->dtype != ANL_F32;
    for (int64_t i = 0; i < count; i++) {
        if (v->given) {
            out[i] = v->given[i % v->given_count];
            if (!whole_numbers)
                out[i] = (double)(float)out[i];
            continue;
        }
        uint64_t x = (uint64_t)i * 0x9E3779B97F4A7C15u + seed; /* splitmix64 */
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        double unit = (double)((x ^ (x >> 31)) >> 11) / 9007199254740992.0;
        double value = v->low + (v->high - v->low) * unit;
        if (v->unit > 0)
            value = v->low + v->unit * floor(unit * (floor((v->high - v->low) / v->unit + 1e-9) + 1)); /* both ends included */
        out[i] = v->node->dtype == ANL_F32 ? (double)(float)value : value;
    }
}

static void add_case(maker *m, test_case c)
{
    c.name = m->name;
    ANL_PUSH(m->arena, m->cases, m->case_count, m->case_capacity, c);
}

void check_scaled(maker *m, anl_node *node, double tolerance, double scale)
{
    const char *output = anl_arena_printf(m->g->arena, "%s#%d", m->name, m->case_count);
    anl_graph_output(m->g, output, node);
    add_case(m, (test_case){.output = output, .node = node, .tolerance = tolerance, .scale = scale});
}

void check_close(maker *m, anl_node *node, double tolerance) { check_scaled(m, node, tolerance, 0); }

void check_exact(maker *m, anl_node *node) { check_close(m, node, 0); }

void check_state(maker *m, anl_state *s, double tolerance)
{
    add_case(m, (test_case){.state = s->path, .node = s->update, .tolerance = tolerance});
}

/* ---- the oracle by itself ---- */
struct oracle {
    anl_device *device;
    loaded *l;
    double *last;
};

oracle *oracle_new(maker *m, bool fused, char *why, size_t why_size)
{
    oracle *o = anl_malloc(sizeof *o);
    *o = (oracle){0};
    anl_device_options options = {.threads = 2, .f64 = true, .plain = true};
    const char *problem = anl_host_open(&options, m->diagnostics, &o->device) == ANL_OK ? NULL : "no host device";
    if (!problem)
        problem = loaded_new(o->device, m, true, !fused, &o->l);
    if (!problem)
        problem = loaded_start(o->l, false);
    if (!problem)
        return o;
    snprintf(why, why_size, "%s", problem);
    oracle_free(o);
    return NULL;
}

void oracle_free(oracle *o)
{
    loaded_free(&o->l);
    anl_device_close(&o->device);
    free(o->last);
    free(o);
}

void oracle_feed(oracle *o, anl_node *field_node, const double *data) { loaded_replace(o->l, field_node->attrs.name, data); }

bool oracle_run(oracle *o, int64_t step) { return loaded_step(o->l, step) == NULL; }

const double *oracle_output(oracle *o, const char *name, int64_t *count)
{
    free(o->last);
    o->last = NULL;
    return loaded_output(o->l, name, &o->last, count) ? NULL : o->last;
}

const double *oracle_state(oracle *o, const char *path, int64_t *count)
{
    free(o->last);
    o->last = NULL;
    return loaded_state(o->l, path, &o->last, count) ? NULL : o->last;
}
