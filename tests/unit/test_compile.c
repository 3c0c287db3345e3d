/* The compiler: what it makes of small graphs, judged three ways.
 * In: graphs made with the operation builders, by hand and by a seeded generator. Out: check's report.
 * Every program passes the second checker; fused programs give the numbers of the unfused float64 one on the host executor; and
 * the checker finds each of a list of planted faults. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/philox.h"
#include "compile/compile.h"
#include "device/device.h"
#include "ops/ops.h"

/* ---- running a graph ---- */
typedef struct numbers {
    double *v;
    int64_t count, capacity;
} numbers;

static void push(numbers *n, double x)
{
    if (n->count == n->capacity) {
        n->capacity = n->capacity ? n->capacity * 2 : 256;
        n->v = anl_realloc(n->v, sizeof(double) * (size_t)n->capacity);
    }
    n->v[n->count++] = x;
}

static double noise(uint64_t seed, int64_t i)
{
    uint64_t x = anl_hash(&i, sizeof i, seed);
    return (double)(float)((double)(x >> 40) / 16777216.0 * 2 - 1);
}

static void stop_with(anl_diagnostics *d, const char *what)
{
    anl_diagnostics_print(d, stderr, false);
    ck_abort_msg("%s", what);
}

static anl_program *compile_graph(anl_graph *g, bool f64, bool no_fusion, anl_state_layout **layout)
{
    anl_diagnostics *d = anl_diagnostics_new();
    anl_compile_options options = {.f64 = f64, .no_fusion = no_fusion};
    anl_program *p = NULL;
    if (anl_graph_verify(g, d) != ANL_OK)
        stop_with(d, "graph does not verify");
    if (anl_state_layout_new(&g, 1, f64, d, layout) != ANL_OK || anl_compile(g, *layout, &options, d, &p) != ANL_OK)
        stop_with(d, "does not compile");
    if (anl_program_check(p, d) != ANL_OK) {
        anl_graph_print(g, stderr);
        anl_program_print(p, stderr);
        stop_with(d, "the checker refuses the program");
    }
    anl_diagnostics_free(&d);
    return p;
}

static void put_number(char *bytes, const anl_program *p, anl_dtype dtype, int64_t i, double v)
{
    if (dtype == ANL_F32 && p->f64)
        ((double *)bytes)[i] = v;
    else if (dtype == ANL_F32)
        ((float *)bytes)[i] = (float)v;
    else
        ((int32_t *)bytes)[i] = dtype == ANL_BOOL ? v > 0 : (int32_t)(v * 4);
}

static double get_number(const char *bytes, const anl_program *p, anl_dtype dtype, int64_t i)
{
    if (dtype == ANL_F32)
        return p->f64 ? ((const double *)bytes)[i] : (double)((const float *)bytes)[i];
    return ((const int32_t *)bytes)[i];
}

static void read_port(const anl_program *p, const anl_port *port, const char *bytes, numbers *out)
{
    int64_t count = 1;
    for (int i = 0; i < port->rank; i++)
        count *= port->size[i];
    for (int64_t n = 0; n < count; n++) {
        int64_t at = port->base, rest = n;
        for (int i = port->rank - 1; i >= 0; i--) {
            at += rest % port->size[i] * port->stride[i];
            rest /= port->size[i];
        }
        push(out, get_number(bytes, p, port->dtype, at));
    }
}

static numbers run_program(const anl_program *p, bool plain, int steps)
{
    anl_diagnostics *d = anl_diagnostics_new();
    anl_device_options options = {.threads = 1, .f64 = p->f64, .plain = plain};
    anl_device *device = NULL;
    anl_memory *memory = NULL;
    anl_exec *exec = NULL;
    numbers out = {0};
    if (anl_host_open(&options, d, &device) != ANL_OK ||
        anl_memory_new(device, p->space_bytes[ANL_SPACE_STATE] ? p->space_bytes[ANL_SPACE_STATE] : 256, d, &memory) != ANL_OK)
        stop_with(d, "no host device");
    for (int s = 0; s < p->state_count; s++) {
        const anl_buffer *b = &p->buffers[p->states[s].buffer];
        char *bytes = anl_malloc((size_t)b->bytes);
        for (int64_t i = 0; i < b->count; i++)
            put_number(bytes, p, b->dtype, i, noise(anl_hash_text(p->states[s].name, 5), i));
        if (anl_memory_write(memory, b->offset, bytes, b->bytes, d) != ANL_OK)
            stop_with(d, "memory write");
        free(bytes);
    }
    if (anl_exec_new(device, p, memory, d, &exec) != ANL_OK)
        stop_with(d, "exec new");
    double *scalars = anl_malloc(sizeof(double) * (size_t)(p->scalar_count + 1));
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < p->input_count; i++) {
            const anl_buffer *b = &p->buffers[p->inputs[i].buffer];
            char *bytes = anl_malloc((size_t)b->bytes);
            for (int64_t n = 0; n < b->count; n++)
                put_number(bytes, p, b->dtype, n, noise(anl_hash_text(p->inputs[i].name, (uint64_t)step + 9), n));
            if (anl_exec_feed(exec, i, bytes, b->bytes, d) != ANL_OK)
                stop_with(d, "feed");
            free(bytes);
        }
        anl_program_scalars(p, step + 3, 10, 100, scalars);
        if (anl_exec_run(exec, step + 3, scalars, d) != ANL_OK)
            stop_with(d, "run");
        for (int o = 0; o < p->output_count; o++) {
            const anl_port *port = &p->outputs[o];
            if (port->buffer < 0) {
                push(&out, scalars[port->scalar]);
                continue;
            }
            const anl_buffer *b = &p->buffers[port->buffer];
            char *bytes = anl_malloc((size_t)b->bytes);
            if (anl_exec_fetch(exec, o, bytes, b->bytes, d) != ANL_OK)
                stop_with(d, "fetch");
            read_port(p, port, bytes, &out);
            free(bytes);
        }
    }
    for (int s = 0; s < p->state_count; s++) {
        const anl_buffer *b = &p->buffers[p->states[s].buffer];
        char *bytes = anl_malloc((size_t)b->bytes);
        if (anl_memory_read(memory, b->offset, bytes, b->bytes, d) != ANL_OK)
            stop_with(d, "memory read");
        read_port(p, &p->states[s], bytes, &out);
        free(bytes);
    }
    free(scalars);
    anl_exec_free(&exec);
    anl_memory_free(&memory);
    anl_device_close(&device);
    anl_diagnostics_free(&d);
    return out;
}

/* ---- a second reading of the program format: point by point, in double precision, nothing clever ---- */
typedef struct machine {
    const anl_program *p;
    char *space[5];
    double *scalars;
    int64_t step;
} machine;

static double load_element(const machine *m, int32_t buffer, int64_t i)
{
    const anl_buffer *b = &m->p->buffers[buffer];
    if (i < 0 || i >= b->count)
        ck_abort_msg("element %lld of %lld", (long long)i, (long long)b->count);
    if (b->space == ANL_SPACE_TABLE)
        return b->dtype == ANL_F32 ? (double)((const float *)b->table)[i] : ((const int32_t *)b->table)[i];
    const char *at = m->space[b->space] + b->offset;
    if (b->dtype == ANL_F32)
        return m->p->f64 ? ((const double *)at)[i] : (double)((const float *)at)[i];
    return ((const int32_t *)at)[i];
}

static void store_element(const machine *m, int32_t buffer, int64_t i, double v)
{
    const anl_buffer *b = &m->p->buffers[buffer];
    if (i < 0 || i >= b->count)
        ck_abort_msg("element %lld of %lld", (long long)i, (long long)b->count);
    char *at = m->space[b->space] + b->offset;
    if (b->dtype == ANL_F32 && m->p->f64)
        ((double *)at)[i] = v;
    else if (b->dtype == ANL_F32)
        ((float *)at)[i] = (float)v;
    else
        ((int32_t *)at)[i] = (int32_t)v;
}

static double whole_part(double v) { return v < 0 ? ceil(v) : floor(v); }

static double apply(const anl_instr *i, anl_dtype operand, double a, double b, double c)
{
    switch ((anl_scalar)i->op) {
    case ANL_S_NEGATE:
        return -a;
    case ANL_S_ABS:
        return fabs(a);
    case ANL_S_FLOOR:
        return floor(a);
    case ANL_S_EXP:
        return exp(a);
    case ANL_S_LOG:
        return log(a);
    case ANL_S_SQRT:
        return sqrt(a);
    case ANL_S_RSQRT:
        return 1 / sqrt(a);
    case ANL_S_TANH:
        return tanh(a);
    case ANL_S_ERF:
        return erf(a);
    case ANL_S_SIN:
        return sin(a);
    case ANL_S_COS:
        return cos(a);
    case ANL_S_NOT:
        return a == 0;
    case ANL_S_CAST:
        return i->dtype == ANL_BOOL ? a != 0 : i->dtype == ANL_I32 ? whole_part(a) : a;
    case ANL_S_ADD:
        return a + b;
    case ANL_S_SUB:
        return a - b;
    case ANL_S_MUL:
        return a * b;
    case ANL_S_DIV:
        return operand == ANL_I32 ? whole_part(a / b) : a / b;
    case ANL_S_FLOORDIV:
        return floor(a / b);
    case ANL_S_MOD:
        return a - b * floor(a / b);
    case ANL_S_POW:
        return pow(a, b);
    case ANL_S_MINIMUM:
        return a < b ? a : b;
    case ANL_S_MAXIMUM:
        return a > b ? a : b;
    case ANL_S_LT:
        return a < b;
    case ANL_S_LE:
        return a <= b;
    case ANL_S_EQ:
        return a == b;
    case ANL_S_NE:
        return a != b;
    case ANL_S_AND:
        return a != 0 && b != 0;
    case ANL_S_OR:
        return a != 0 || b != 0;
    case ANL_S_SELECT:
        return a != 0 ? b : c;
    case ANL_SCALAR_COUNT:
        break;
    }
    ck_abort_msg("unknown operation");
}

static void evaluate(const machine *m, const anl_kernel *k, int from, int to, const int32_t *point, const double (*acc)[2],
                     double *v)
{
    for (int n = from; n < to; n++) {
        const anl_instr *i = &k->instrs[n];
        switch (i->op) {
        case ANL_X_CONST:
            v[n] = i->value;
            break;
        case ANL_X_DIM:
            v[n] = point[i->slot];
            break;
        case ANL_X_LOAD:
            v[n] = i->b < 0 || v[i->b] != 0 ? load_element(m, k->args[i->slot].buffer, (int64_t)v[i->a]) : i->value;
            break;
        case ANL_X_SCALAR:
            v[n] = m->scalars[i->slot];
            break;
        case ANL_X_ACC:
            v[n] = acc[i->slot][i->a > 0];
            break;
        case ANL_X_UNIFORM:
        case ANL_X_NORMAL: {
            uint32_t counter[4] = {(uint32_t)(int32_t)v[i->a], i->b >= 0 ? (uint32_t)(int32_t)v[i->b] : 0, (uint32_t)m->step,
                                   (uint32_t)(m->step >> 32)};
            uint32_t key[2] = {(uint32_t)i->key, (uint32_t)(i->key >> 32)}, out[4];
            anl_philox(counter, key, out);
            double u0 = anl_philox_unit(out[0]), u1 = anl_philox_unit(out[1]);
            v[n] = i->op == ANL_X_UNIFORM ? u0 : sqrt(-2 * log(1 - u0)) * cos(2 * 3.14159265358979323846 * u1);
            break;
        }
        default:
            v[n] = apply(i, (anl_dtype)k->instrs[i->op == ANL_S_SELECT ? i->b : i->a].dtype, v[i->a], i->b >= 0 ? v[i->b] : 0,
                         i->c >= 0 ? v[i->c] : 0);
        }
    }
}

static bool next_point(const int32_t *dims, int from, int to, int32_t *point)
{
    for (int d = to - 1; d >= from; d--) {
        if (++point[d] < dims[d])
            return true;
        point[d] = 0;
    }
    return false;
}

static double contract_at(const machine *m, const anl_kernel *k, const int32_t *point)
{
    const anl_contract *t = &k->contract;
    int64_t a = t->a_base, b = t->b_base;
    int d = 0;
    for (int i = 0; i < t->batch_count; i++, d++) {
        a += point[d] * t->batch[i].a;
        b += point[d] * t->batch[i].b;
    }
    for (int i = 0; i < t->m_count; i++, d++)
        a += point[d] * t->m[i].a;
    const int32_t *own = point + d;
    d += t->window_count;
    for (int i = 0; i < t->n_count; i++, d++)
        b += point[d] * t->n[i].b;
    int32_t sizes[9], at[9] = {0};
    int count = 0;
    for (int i = 0; i < t->k_count; i++)
        sizes[count++] = t->k[i].size;
    for (int i = 0; i < t->window_count; i++)
        sizes[count++] = t->role == ANL_CONTRACT_WEIGHT ? t->window[i].out_size : t->window[i].tap_size;
    double sum = 0;
    do {
        int64_t ia = a, ib = b;
        bool inside = true;
        for (int i = 0; i < t->k_count; i++) {
            ia += at[i] * t->k[i].a;
            ib += at[i] * t->k[i].b;
        }
        for (int i = 0; i < t->window_count; i++) {
            const anl_window *w = &t->window[i];
            int32_t s = at[t->k_count + i];
            if (t->role == ANL_CONTRACT_FORWARD) {
                int32_t x = own[i] * w->stride + s * w->dilation - w->padding;
                inside = inside && x >= 0 && x < w->in_size;
                ia += x * w->x;
                ib += s * w->w;
            } else if (t->role == ANL_CONTRACT_DATA) {
                int32_t y = own[i] + w->padding - s * w->dilation;
                inside = inside && y >= 0 && y % w->stride == 0 && y / w->stride < w->out_size;
                ia += y / w->stride * w->y;
                ib += s * w->w;
            } else {
                int32_t x = s * w->stride + own[i] * w->dilation - w->padding;
                inside = inside && x >= 0 && x < w->in_size;
                ia += x * w->x;
                ib += s * w->y;
            }
        }
        if (inside)
            sum += load_element(m, k->args[t->a_arg].buffer, ia) * load_element(m, k->args[t->b_arg].buffer, ib);
    } while (next_point(sizes, 0, count, at));
    return sum;
}

static void reduce_at(const machine *m, const anl_kernel *k, int32_t *point, double *v, double (*acc)[2])
{
    int64_t count = 1, n = 0;
    for (int d = k->kept_count; d < k->dim_count; d++)
        count *= k->dims[d];
    double *values = anl_malloc(sizeof(double) * (size_t)(count * k->accumulator_count));
    do {
        evaluate(m, k, 0, k->body_count, point, NULL, v);
        for (int a = 0; a < k->accumulator_count; a++)
            values[a * count + n] = v[k->accumulators[a].instr];
        n++;
    } while (next_point(k->dims, k->kept_count, k->dim_count, point));
    for (int a = 0; a < k->accumulator_count; a++) {
        const double *x = values + a * count;
        double sum = 0, top = x[0], mean = 0, square = 0;
        int64_t at = 0;
        for (int64_t i = 0; i < count; i++) {
            sum += x[i];
            if (x[i] > top) {
                top = x[i];
                at = i;
            }
        }
        mean = sum / (double)count;
        for (int64_t i = 0; i < count; i++)
            square += (x[i] - mean) * (x[i] - mean);
        double shifted = 0;
        for (int64_t i = 0; i < count; i++)
            shifted += exp(x[i] - top);
        acc[a][1] = square / (double)count;
        switch (k->accumulators[a].combine) {
        case ANL_SUM:
            acc[a][0] = sum;
            break;
        case ANL_MAX:
            acc[a][0] = top;
            break;
        case ANL_ARGMAX:
            acc[a][0] = (double)at;
            break;
        case ANL_LOGSUMEXP:
            acc[a][0] = isinf(top) ? top : top + log(shifted);
            break;
        case ANL_MOMENTS:
            acc[a][0] = mean;
            break;
        }
    }
    free(values);
}

static void interpret(const machine *m)
{
    for (int n = 0; n < m->p->kernel_count; n++) {
        const anl_kernel *k = &m->p->kernels[n];
        double *v = anl_malloc(sizeof(double) * (size_t)(k->instr_count + 1)), acc[16][2] = {{0}};
        int32_t point[ANL_MAX_DIMS] = {0};
        do {
            if (k->kind == ANL_KERNEL_REDUCE)
                reduce_at(m, k, point, v, acc);
            if (k->kind == ANL_KERNEL_CONTRACT)
                acc[0][0] = contract_at(m, k, point);
            evaluate(m, k, k->kind == ANL_KERNEL_REDUCE ? k->body_count : 0, k->instr_count, point, acc, v);
            for (int s = 0; s < k->store_count; s++)
                store_element(m, k->args[k->stores[s].arg].buffer, (int64_t)v[k->stores[s].index], v[k->stores[s].value]);
        } while (next_point(k->dims, 0, k->kept_count, point));
        free(v);
    }
}

static numbers run_interpreted(const anl_program *p, int steps)
{
    machine m = {.p = p};
    numbers out = {0};
    for (int s = 0; s < 5; s++) {
        m.space[s] = anl_malloc((size_t)p->space_bytes[s] + 256);
        memset(m.space[s], 0xEE, (size_t)p->space_bytes[s] + 256);
    }
    m.scalars = anl_malloc(sizeof(double) * (size_t)(p->scalar_count + 1));
    for (int s = 0; s < p->state_count; s++) {
        const anl_buffer *b = &p->buffers[p->states[s].buffer];
        for (int64_t i = 0; i < b->count; i++)
            put_number(m.space[b->space] + b->offset, p, b->dtype, i, noise(anl_hash_text(p->states[s].name, 5), i));
    }
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < p->input_count; i++) {
            const anl_buffer *b = &p->buffers[p->inputs[i].buffer];
            for (int64_t n = 0; n < b->count; n++)
                put_number(m.space[b->space] + b->offset, p, b->dtype, n,
                           noise(anl_hash_text(p->inputs[i].name, (uint64_t)step + 9), n));
        }
        m.step = step + 3;
        anl_program_scalars(p, m.step, 10, 100, m.scalars);
        interpret(&m);
        for (int o = 0; o < p->output_count; o++) {
            const anl_port *port = &p->outputs[o];
            if (port->buffer < 0)
                push(&out, m.scalars[port->scalar]);
            else
                read_port(p, port, m.space[ANL_SPACE_OUTPUT] + p->buffers[port->buffer].offset, &out);
        }
    }
    for (int s = 0; s < p->state_count; s++)
        read_port(p, &p->states[s], m.space[ANL_SPACE_STATE] + p->buffers[p->states[s].buffer].offset, &out);
    for (int s = 0; s < 5; s++)
        free(m.space[s]);
    free(m.scalars);
    return out;
}

static bool close_to(double a, double b, double tolerance)
{
    if (isnan(a) || isnan(b))
        return isnan(a) == isnan(b);
    if (isinf(a) || isinf(b))
        return a == b;
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

static void compare(anl_graph *g, const anl_program *p, const numbers *got, const numbers *want, double tolerance, double allowed,
                    const char *what)
{
    ck_assert_int_eq(got->count, want->count);
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < got->count; i++)
        if (!close_to(got->v[i], want->v[i], tolerance)) {
            wrong++;
            first = first < 0 ? i : first;
        }
    if ((double)wrong > allowed * (double)got->count) {
        anl_graph_print(g, stderr);
        anl_program_print(p, stderr);
        for (int k = 0; k < p->kernel_count && getenv("ANL_TEST_PRINT"); k++) {
            fprintf(stderr, "kernel %d\n", k);
            anl_kernel_print(p, k, stderr);
        }
        ck_abort_msg("%s: %lld of %lld numbers differ, first number %lld: %.9g, should be %.9g", what, (long long)wrong,
                     (long long)got->count, (long long)first, got->v[first], want->v[first]);
    }
}

/* Fused against unfused in float64, point by point; then the host device on both, and in float32. */
static void compare_all(anl_graph *g, double tolerance32, double allowed32)
{
    anl_state_layout *layout = NULL;
    anl_program *oracle = compile_graph(g, true, true, &layout);
    numbers want = run_interpreted(oracle, 2);
    anl_state_layout_free(&layout);
    anl_program *p = compile_graph(g, true, false, &layout);
    numbers got = run_interpreted(p, 2);
    compare(g, p, &got, &want, 1e-8, 0, "float64 fused");
    free(got.v);
    got = run_program(p, true, 2);
    compare(g, p, &got, &want, 1e-8, 0, "host: float64 fused");
    free(got.v);
    got = run_program(oracle, true, 2);
    compare(g, oracle, &got, &want, 1e-8, 0, "host: oracle");
    free(got.v);
    anl_program_free(&oracle);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    p = compile_graph(g, false, false, &layout);
    got = run_program(p, false, 2);
    compare(g, p, &got, &want, tolerance32, allowed32, "host: float32 fused");
    free(got.v);
    free(want.v);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
}

/* ---- building ---- */
static anl_node *field(anl_graph *g, const char *name, anl_dtype dtype, const anl_axis *axes, int rank)
{
    anl_node *n = anl_graph_node(g, ANL_OP_FIELD, dtype, 0, NULL);
    n->rank = rank;
    memcpy(n->axes, axes, sizeof(anl_axis) * (size_t)rank);
    n->attrs.name = anl_arena_text(g->arena, name);
    return n;
}

static anl_axis ax(anl_graph *g, const char *name, int32_t size) { return (anl_axis){anl_graph_axis(g, name), size}; }

static anl_node *add(anl_graph *g, anl_node *a, anl_node *b) { return anl_g_binary(g, ANL_S_ADD, a, b); }
static anl_node *mul(anl_graph *g, anl_node *a, anl_node *b) { return anl_g_binary(g, ANL_S_MUL, a, b); }
static anl_node *sub(anl_graph *g, anl_node *a, anl_node *b) { return anl_g_binary(g, ANL_S_SUB, a, b); }
static anl_node *num(anl_graph *g, double v) { return anl_g_const(g, ANL_F32, v); }

static anl_node *weight(anl_graph *g, const char *path, const anl_axis *axes, int rank)
{
    return anl_graph_state_value(g, anl_graph_state(g, path, ANL_F32, ANL_WEIGHT_MATRIX, axes, rank));
}

/* Convolution 3x3 of x [.., y, x, channel] to `out` channels. */
static anl_node *conv(anl_graph *g, const char *path, anl_node *x, int out, int kernel, int stride)
{
    int32_t channel = anl_graph_axis(g, "channel"), o = anl_graph_axis(g, "out"), ay = anl_graph_axis(g, "y"),
            axx = anl_graph_axis(g, "x");
    int in = anl_node_size(x, channel), h = anl_node_size(x, ay), w = anl_node_size(x, axx), pad = kernel / 2;
    anl_axis axes[4] = {{o, out}, {channel, in}, {ay, kernel}, {axx, kernel}};
    anl_node *k = weight(g, path, axes, 4);
    int oh = (h + 2 * pad - kernel) / stride + 1, ow = (w + 2 * pad - kernel) / stride + 1;
    anl_slide slides[2] = {{ay, h, kernel, oh, stride, 1, pad}, {axx, w, kernel, ow, stride, 1, pad}};
    anl_axis result[ANL_MAX_AXES];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        anl_axis a = x->axes[i];
        if (a.id == channel)
            continue;
        if (a.id == ay)
            a.size = oh;
        if (a.id == axx)
            a.size = ow;
        result[rank++] = a;
    }
    result[rank++] = (anl_axis){o, out};
    anl_node *y = anl_g_contract(g, x, k, &channel, 1, ANL_ROLE_FORWARD, slides, 2, result, rank);
    return anl_g_rename(g, y, o, channel);
}

static anl_node *norm(anl_graph *g, const char *path, anl_node *x)
{
    int32_t channel = anl_graph_axis(g, "channel"), over[ANL_MAX_AXES];
    int count = 0;
    for (int i = 0; i < x->rank; i++)
        if (x->axes[i].id != channel)
            over[count++] = x->axes[i].id;
    anl_axis axes[1] = {{channel, anl_node_size(x, channel)}};
    char name[128];
    snprintf(name, sizeof name, "%s.weight", path);
    anl_node *w = weight(g, name, axes, 1);
    snprintf(name, sizeof name, "%s.bias", path);
    anl_node *b = weight(g, name, axes, 1);
    anl_node *mean = anl_g_reduce(g, ANL_OP_MEAN, x, over, count), *var = anl_g_reduce(g, ANL_OP_VARIANCE, x, over, count);
    snprintf(name, sizeof name, "%s.running_mean", path);
    anl_state *running = anl_graph_state(g, name, ANL_F32, ANL_STATE_OTHER, axes, 1);
    anl_node *old = anl_graph_state_value(g, running);
    running->update = add(g, old, mul(g, num(g, 0.1), sub(g, mean, old)));
    anl_node *scale = anl_g_unary(g, ANL_S_RSQRT, add(g, var, num(g, 1e-5)));
    return add(g, mul(g, mul(g, sub(g, x, mean), scale), w), b);
}

static anl_node *relu(anl_graph *g, anl_node *x) { return anl_g_binary(g, ANL_S_MAXIMUM, x, num(g, 0)); }

static anl_node *total(anl_graph *g, anl_node *x)
{
    int32_t over[ANL_MAX_AXES];
    for (int i = 0; i < x->rank; i++)
        over[i] = x->axes[i].id;
    return x->rank > 0 ? anl_g_reduce(g, ANL_OP_SUM, x, over, x->rank) : x;
}

/* Every weight goes down its gradient. */
static void descend(anl_graph *g, anl_node *loss)
{
    anl_node *wrt[256], *gradients[256];
    anl_state *states[256];
    int count = 0;
    for (int i = 0; i < g->state_count && count < 256; i++)
        if (g->states[i]->value && !g->states[i]->update && g->states[i]->dtype == ANL_F32) {
            states[count] = g->states[i];
            wrt[count++] = g->states[i]->value;
        }
    anl_diagnostics *d = anl_diagnostics_new();
    if (anl_gradient(g, loss, wrt, count, gradients, d) != ANL_OK)
        stop_with(d, "no gradient");
    for (int i = 0; i < count; i++)
        if (gradients[i])
            states[i]->update = sub(g, wrt[i], mul(g, num(g, 0.01), gradients[i]));
    anl_diagnostics_free(&d);
}

static anl_node *image(anl_graph *g, int batch, int size, int channels)
{
    anl_axis axes[4] = {ax(g, "batch", batch), ax(g, "y", size), ax(g, "x", size), ax(g, "channel", channels)};
    return field(g, "image", ANL_F32, axes, 4);
}

/* ---- tests ---- */
START_TEST(elementwise_chain_is_one_kernel)
{
    anl_graph *g = anl_graph_new();
    anl_node *x = image(g, 4, 6, 5);
    anl_axis c[1] = {ax(g, "channel", 5)};
    anl_node *b = field(g, "bias", ANL_F32, c, 1);
    anl_graph_output(g, "y", relu(g, add(g, mul(g, x, num(g, 2)), b)));
    anl_state_layout *layout;
    anl_program *p = compile_graph(g, false, false, &layout);
    ck_assert_int_eq(p->kernel_count, 1);
    ck_assert_int_eq(p->kernels[0].dim_count, 2); /* pixels, channels */
    ck_assert_int_eq(p->kernels[0].dims[0], 4 * 36);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    compare_all(g, 1e-5, 0);
    anl_graph_free(&g);
}
END_TEST

START_TEST(block_forward_and_backward)
{
    anl_graph *g = anl_graph_new();
    anl_node *x = image(g, 4, 8, 3);
    anl_node *h = relu(g, norm(g, "bn0", conv(g, "conv0.weight", x, 8, 3, 1)));
    anl_node *body = relu(g, norm(g, "bn1", conv(g, "conv1.weight", h, 8, 3, 1)));
    body = norm(g, "bn2", conv(g, "conv2.weight", body, 8, 3, 1));
    anl_node *y = relu(g, add(g, body, h));
    anl_node *loss = total(g, mul(g, y, y));
    anl_graph_output(g, "loss", loss);
    descend(g, loss);
    anl_state_layout *layout;
    anl_program *p = compile_graph(g, false, false, &layout);
    if (getenv("ANL_TEST_PRINT"))
        anl_program_print(p, stdout);
    /* 3 convolutions with 3 products each, but no gradient by the image: 8; for each normalisation: moments, apply, two sums,
     * gradient: 12; loss; and the updates that are no tails: 3 weights */
    ck_assert_int_le(p->kernel_count, 8 + 12 + 1 + 6);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    compare_all(g, 5e-3, 0.01);
    anl_graph_free(&g);
}
END_TEST

START_TEST(pooling_forward_and_backward)
{
    anl_graph *g = anl_graph_new();
    anl_node *x = image(g, 3, 9, 2);
    anl_node *h = conv(g, "conv.weight", x, 4, 3, 2);
    int32_t ay = anl_graph_axis(g, "y"), axx = anl_graph_axis(g, "x");
    int32_t taps[2] = {anl_graph_fresh_axis(g, "ty", true), anl_graph_fresh_axis(g, "tx", true)};
    anl_node *p = anl_g_windows(g, h, (anl_slide){ay, 5, 3, 3, 2, 1, 1}, taps[0], -INFINITY);
    p = anl_g_windows(g, p, (anl_slide){axx, 5, 3, 3, 2, 1, 1}, taps[1], -INFINITY);
    p = anl_g_reduce(g, ANL_OP_MAX, p, taps, 2);
    anl_node *loss = total(g, mul(g, p, p));
    anl_graph_output(g, "loss", loss);
    anl_graph_output(g, "pooled", p);
    descend(g, loss);
    compare_all(g, 1e-3, 0);
    anl_graph_free(&g);
}
END_TEST

/* All weights in one arena with an optimizer over it: gradients land in place, sums per weight scale them. */
START_TEST(arena_with_optimizer)
{
    anl_graph *g = anl_graph_new();
    enum { WEIGHTS = 6 };
    int32_t flat = anl_graph_axis(g, "flat");
    anl_axis in = ax(g, "a0", 5);
    anl_axis batch = ax(g, "batch", 7);
    anl_axis axes0[2] = {batch, in};
    anl_node *x = field(g, "x", ANL_F32, axes0, 2);
    int32_t starts[WEIGHTS + 1] = {0};
    for (int i = 0; i < WEIGHTS; i++)
        starts[i + 1] = starts[i] + ((5 + i) * (6 + i) + 63) / 64 * 64;
    anl_axis whole[1] = {{flat, starts[WEIGHTS]}};
    anl_state *arena = anl_graph_state(g, "arena", ANL_F32, ANL_WEIGHT_OTHER, whole, 1);
    anl_state *velocity = anl_graph_state(g, "velocity", ANL_F32, ANL_STATE_OTHER, whole, 1);
    anl_node *wrt[WEIGHTS], *gradients[WEIGHTS], *pieces[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        char axis[16];
        snprintf(axis, sizeof axis, "a%d", i + 1);
        anl_axis next = ax(g, axis, 6 + i);
        anl_axis axes[2] = {next, in};
        anl_state *s = anl_graph_state(g, name, ANL_F32, ANL_WEIGHT_MATRIX, axes, 2);
        s->arena = arena;
        s->arena_offset = starts[i];
        wrt[i] = anl_graph_state_value(g, s);
        anl_axis out[2] = {batch, next};
        x = anl_g_contract(g, x, wrt[i], &in.id, 1, ANL_ROLE_FORWARD, NULL, 0, out, 2);
        x = anl_g_unary(g, ANL_S_TANH, x);
        in = next;
    }
    anl_node *loss = total(g, mul(g, x, x));
    anl_graph_output(g, "loss", loss);
    anl_diagnostics *d = anl_diagnostics_new();
    if (anl_gradient(g, loss, wrt, WEIGHTS, gradients, d) != ANL_OK)
        stop_with(d, "no gradient");
    anl_diagnostics_free(&d);
    for (int i = 0; i < WEIGHTS; i++) {
        int32_t both[2] = {gradients[i]->axes[0].id, gradients[i]->axes[1].id};
        pieces[i] = anl_g_merge(g, gradients[i], both, 2, flat);
        pieces[i] = anl_g_place(g, pieces[i], flat, 0, 1, starts[i + 1] - starts[i], 0);
    }
    anl_node *gradient = anl_g_concat(g, pieces, WEIGHTS, flat);
    anl_node *w = anl_graph_state_value(g, arena), *v = anl_graph_state_value(g, velocity);
    int32_t *table = ANL_NEW_ARRAY(g->arena, int32_t, WEIGHTS + 1);
    memcpy(table, starts, sizeof starts);
    int32_t segment = anl_graph_axis(g, "segment");
    anl_node *norm_w = anl_g_unary(g, ANL_S_SQRT, anl_g_segment_sum(g, mul(g, w, w), flat, table, WEIGHTS, segment));
    anl_node *norm_g =
        anl_g_unary(g, ANL_S_SQRT, anl_g_segment_sum(g, mul(g, gradient, gradient), flat, table, WEIGHTS, segment));
    anl_node *ratio = anl_g_binary(g, ANL_S_DIV, norm_w, add(g, norm_g, num(g, 1e-3)));
    int32_t *of = ANL_NEW_ARRAY(g->arena, int32_t, starts[WEIGHTS]);
    for (int i = 0; i < WEIGHTS; i++)
        for (int e = starts[i]; e < starts[i + 1]; e++)
            of[e] = i;
    anl_node *index = anl_g_table(g, ANL_I32, of, whole, 1);
    anl_node *each = anl_g_gather(g, ratio, &segment, &index, 1, 0);
    anl_node *lr = mul(g, num(g, 0.1), anl_g_unary(g, ANL_S_COS, mul(g, anl_g_step(g, 0), num(g, 0.1))));
    anl_graph_output(g, "lr", lr);
    velocity->update = add(g, mul(g, num(g, 0.9), v), mul(g, each, gradient));
    arena->update = sub(g, w, mul(g, lr, velocity->update));
    anl_state_layout *layout;
    anl_program *p = compile_graph(g, false, false, &layout);
    if (getenv("ANL_TEST_PRINT"))
        anl_program_print(p, stdout);
    int copies = 0, in_place = 0;
    for (int k = 0; k < p->kernel_count; k++) {
        copies += strncmp(p->kernels[k].name, "copy", 4) == 0;
        in_place += p->kernels[k].in_place;
    }
    ck_assert_int_eq(copies, 0);
    ck_assert_int_eq(in_place, 1); /* velocity and weights in one kernel */
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    compare_all(g, 2e-3, 0);
    anl_graph_free(&g);
}
END_TEST

/* A queue that shifts, and two states that exchange their values: neither can be written in place. */
START_TEST(updates_take_effect_together)
{
    anl_graph *g = anl_graph_new();
    anl_axis memory[2] = {ax(g, "memory", 12), ax(g, "feature", 3)}, batch[2] = {ax(g, "batch", 4), ax(g, "feature", 3)};
    anl_state *queue = anl_graph_state(g, "queue", ANL_F32, ANL_STATE_OTHER, memory, 2);
    anl_node *keys = field(g, "keys", ANL_F32, batch, 2), *old = anl_graph_state_value(g, queue);
    anl_node *parts[2] = {anl_g_rename(g, keys, batch[0].id, memory[0].id), anl_g_slice(g, old, memory[0].id, 0, 8, 1)};
    queue->update = anl_g_concat(g, parts, 2, memory[0].id);
    anl_state *a = anl_graph_state(g, "a", ANL_F32, ANL_STATE_OTHER, memory, 2),
              *b = anl_graph_state(g, "b", ANL_F32, ANL_STATE_OTHER, memory, 2);
    a->update = mul(g, anl_graph_state_value(g, b), num(g, 2));
    b->update = add(g, anl_g_slice(g, anl_graph_state_value(g, a), memory[0].id, 11, 12, -1), old);
    anl_graph_output(g, "sum", total(g, old));
    compare_all(g, 1e-5, 0);
    anl_graph_free(&g);
}
END_TEST

START_TEST(top_k_and_gather)
{
    anl_graph *g = anl_graph_new();
    anl_axis axes[2] = {ax(g, "batch", 5), ax(g, "memory", 23)};
    anl_node *x = field(g, "x", ANL_F32, axes, 2);
    anl_node *top = anl_graph_node(g, ANL_OP_TOP_K, ANL_I32, 1, &x);
    top->rank = 2;
    top->axes[0] = axes[0];
    top->axes[1] = (anl_axis){axes[1].id, 4};
    top->attrs.axis[0] = axes[1].id;
    top->attrs.count = 4;
    anl_graph_output(g, "index", top);
    anl_graph_output(g, "value", anl_g_gather(g, x, &axes[1].id, &top, 1, 0));
    compare_all(g, 1e-5, 0);
    anl_graph_free(&g);
}
END_TEST

/* ---- random graphs ---- */
static uint64_t seed_state;
static int pick(int count);

/* A convolution of any kind over y and x: summed or pointwise over channel, any stride, padding and dilation. */
static anl_node *random_conv(anl_graph *g, anl_node *a, int number)
{
    int32_t channel = anl_graph_axis(g, "channel"), ay = anl_graph_axis(g, "y"), axx = anl_graph_axis(g, "x");
    if (anl_node_axis(a, channel) < 0 || anl_node_axis(a, ay) < 0 || anl_node_axis(a, axx) < 0 || anl_node_count(a) > 30000)
        return NULL;
    anl_slide slides[2];
    int32_t space[2] = {ay, axx};
    char name[32];
    snprintf(name, sizeof name, "out%d", number);
    anl_axis axes[4];
    int rank = 0;
    bool pointwise = pick(3) == 0, widen = !pointwise || pick(2);
    if (widen)
        axes[rank++] = ax(g, name, 1 + pick(4));
    axes[rank++] = (anl_axis){channel, anl_node_size(a, channel)};
    for (int i = 0; i < 2; i++) {
        int size = anl_node_size(a, space[i]), tap = 1 + pick(3), stride = 1 + pick(2), dilation = 1 + pick(2),
            pad = pick(tap + 1);
        int reach = (tap - 1) * dilation + 1;
        if (size + 2 * pad < reach)
            return NULL;
        slides[i] = (anl_slide){space[i], size, tap, (size + 2 * pad - reach) / stride + 1, stride, dilation, pad};
        axes[rank++] = (anl_axis){space[i], tap};
    }
    anl_axis result[ANL_MAX_AXES];
    int result_rank = 0;
    for (int i = 0; i < a->rank; i++) {
        anl_axis x = a->axes[i];
        if (x.id == channel && !pointwise)
            continue;
        if (x.id == ay)
            x.size = slides[0].out_size;
        if (x.id == axx)
            x.size = slides[1].out_size;
        result[result_rank++] = x;
    }
    if (widen)
        result[result_rank++] = axes[0];
    if (result_rank > 7)
        return NULL;
    snprintf(name, sizeof name, "kernel%d", number);
    anl_node *k = weight(g, name, axes, rank);
    return mul(g, anl_g_contract(g, a, k, &channel, pointwise ? 0 : 1, ANL_ROLE_FORWARD, slides, 2, result, result_rank),
               num(g, 0.3));
}

static int pick(int count)
{
    seed_state = seed_state * 6364136223846793005u + 1442695040888963407u;
    return count > 0 ? (int)((seed_state >> 33) % (uint64_t)count) : 0;
}

static anl_graph *random_graph(uint64_t seed, int length)
{
    static const char *const names[] = {"batch", "view", "channel", "y", "x", "cluster"};
    static const int small[] = {3, 2, 4, 5, 6, 7}, large[] = {24, 2, 16, 12, 11, 40};
    seed_state = seed * 977 + 13;
    pick(2);
    const int *sizes = pick(4) == 0 ? large : small;
    int axes_count = sizes == large ? 5 : 6;
    anl_graph *g = anl_graph_new();
    anl_node *pool[400];
    anl_state *states[4];
    int count = 0, state_count = 0, fresh = 0;
    anl_axis all[6];
    for (int i = 0; i < 6; i++)
        all[i] = ax(g, names[i], sizes[i]);
    for (int i = 0; i < 5; i++) {
        anl_axis axes[6];
        int rank = 0;
        for (int a = 0; a < axes_count; a++)
            if (pick(2) && rank < (sizes == large ? 3 : 6))
                axes[rank++] = all[a];
        char name[16];
        snprintf(name, sizeof name, "%c%d", i < 3 ? 'f' : 's', i);
        if (i < 3) {
            pool[count++] = field(g, name, ANL_F32, axes, rank);
        } else {
            states[state_count] = anl_graph_state(g, name, ANL_F32, ANL_STATE_OTHER, axes, rank);
            pool[count++] = anl_graph_state_value(g, states[state_count++]);
        }
    }
    anl_node *mask = field(g, "known", ANL_BOOL, all, 1), *whole = field(g, "count", ANL_I32, all, 1);
    for (int step = 0; step < length; step++) {
        anl_node *a = pool[pick(3) ? count - 1 - pick(count < 6 ? count : 6) : pick(count)], *b = pool[pick(count)], *r = NULL;
        int32_t axis = a->rank ? a->axes[pick(a->rank)].id : -1;
        switch (pick(22)) {
        case 0:
        case 1:
        case 2: {
            static const anl_scalar ops[] = {ANL_S_ADD, ANL_S_SUB, ANL_S_MUL, ANL_S_MAXIMUM, ANL_S_MINIMUM};
            bool clash = false;
            int rank = a->rank;
            for (int i = 0; i < b->rank; i++) {
                clash = clash || (anl_node_axis(a, b->axes[i].id) >= 0 && anl_node_size(a, b->axes[i].id) != b->axes[i].size);
                rank += anl_node_axis(a, b->axes[i].id) < 0;
            }
            if (!clash && rank <= 6)
                r = anl_g_binary(g, ops[pick(5)], a, b);
            break;
        }
        case 3:
            r = anl_g_unary(g, ANL_S_TANH, a);
            break;
        case 4:
            r = anl_g_unary(g, ANL_S_EXP, anl_g_unary(g, ANL_S_TANH, a));
            break;
        case 5:
            if (pick(2) && anl_node_size(a, all[0].id) == all[0].size) { /* selected by a mask, or weighted by a number of ones */
                anl_node *n = anl_g_binary(g, ANL_S_ADD, whole, anl_g_cast(g, ANL_I32, mask));
                int32_t batch = all[0].id;
                anl_node *most = anl_g_reduce(g, pick(2) ? ANL_OP_MAX : ANL_OP_SUM, n, &batch, 1);
                r = pick(2) ? anl_g_where(g, mask, a, mul(g, a, num(g, 0.5)))
                            : mul(g, a, mul(g, num(g, 0.05), anl_g_cast(g, ANL_F32, pick(2) ? n : most)));
                break;
            }
            r = anl_g_where(g, anl_g_binary(g, ANL_S_LT, num(g, 0.1), a), a, mul(g, a, num(g, 0.3)));
            break;
        case 6:
        case 7: {
            static const anl_op ops[] = {ANL_OP_SUM, ANL_OP_MAX, ANL_OP_LOGSUMEXP, ANL_OP_MEAN, ANL_OP_VARIANCE, ANL_OP_ARGMAX};
            int32_t over[ANL_MAX_AXES];
            int n = 0;
            for (int i = 0; i < a->rank; i++)
                if (pick(2))
                    over[n++] = a->axes[i].id;
            if (n == 0)
                break;
            int op = pick(6);
            if (op == 3 && pick(2)) {
                anl_node *m = anl_g_reduce(g, ANL_OP_MEAN, a, over, n), *v = anl_g_reduce(g, ANL_OP_VARIANCE, a, over, n);
                r = mul(g, sub(g, a, m), anl_g_unary(g, ANL_S_RSQRT, add(g, v, num(g, 0.1))));
                break;
            }
            r = anl_g_reduce(g, ops[op], op == 0 ? mul(g, a, num(g, 0.2)) : a, over, n);
            if (ops[op] == ANL_OP_ARGMAX)
                r = mul(g, anl_g_cast(g, ANL_F32, r), num(g, 0.05));
            break;
        }
        case 8:
            if (axis >= 0) {
                int size = anl_node_size(a, axis), start = pick(size), n = 1 + pick(size - start);
                r = pick(3) ? anl_g_slice(g, a, axis, start, n, 1) : anl_g_slice(g, a, axis, size - 1, size, -1);
            }
            break;
        case 9:
            if (axis >= 0 && anl_node_size(a, axis) < 20)
                r = anl_g_place(g, a, axis, pick(3), 1 + pick(2), anl_node_size(a, axis) * 2 + 3, pick(2) ? 0 : 0.5);
            break;
        case 10:
            if (axis >= 0 && a->rank < 6) {
                anl_node *parts[6];
                int n = 2 + pick(5);
                for (int i = 0; i < n; i++) {
                    anl_node *p = pick(2) ? mul(g, a, num(g, 0.1 * (1 + i))) : a;
                    parts[i] = pick(2) && anl_node_size(a, axis) > 1
                                   ? anl_g_slice(g, p, axis, 0, 1 + pick(anl_node_size(a, axis) - 1), 1)
                                   : p;
                }
                r = anl_g_concat(g, parts, n, axis);
                if (anl_node_count(r) > 200000)
                    r = NULL;
            }
            break;
        case 11:
            if (axis >= 0 && a->rank < 6 && anl_node_size(a, axis) % 2 == 0 && anl_node_size(a, axis) > 2) {
                char n1[16], n2[16];
                snprintf(n1, sizeof n1, "p%d", fresh);
                snprintf(n2, sizeof n2, "q%d", fresh++);
                anl_axis into[2] = {ax(g, n1, 2), ax(g, n2, anl_node_size(a, axis) / 2)};
                r = anl_g_split(g, a, axis, into, 2);
            }
            break;
        case 12:
            if (a->rank >= 2) {
                int32_t both[2] = {a->axes[0].id, a->axes[a->rank - 1].id};
                char n1[16];
                snprintf(n1, sizeof n1, "m%d", fresh++);
                r = anl_g_merge(g, a, both, 2, anl_graph_axis(g, n1));
            }
            break;
        case 13:
            if (a->rank >= 2) {
                int32_t order[ANL_MAX_AXES];
                for (int i = 0; i < a->rank; i++)
                    order[i] = a->axes[(i + 1) % a->rank].id;
                r = anl_g_transpose(g, a, order, a->rank);
            }
            break;
        case 14:
            if (axis >= 0 && a->rank < 6) {
                int size = anl_node_size(a, axis), tap = 1 + pick(3), stride = 1 + pick(2), pad = pick(2);
                int out = (size + 2 * pad - tap) / stride + 1;
                if (size + 2 * pad < tap)
                    break;
                int32_t t = anl_graph_fresh_axis(g, "tap", true);
                anl_slide s = {axis, size, tap, out, stride, 1, pad};
                anl_node *wnd = anl_g_windows(g, a, s, t, 0.25);
                r = pick(2) ? anl_g_reduce(g, pick(2) ? ANL_OP_MAX : ANL_OP_MEAN, wnd, &t, 1)
                            : anl_g_unwindows(g, mul(g, wnd, wnd), s, t);
            }
            break;
        case 15:
        case 16: {
            /* a contraction over a shared axis */
            int32_t over[ANL_MAX_AXES];
            int n = 0, rank = 0;
            anl_axis out[ANL_MAX_AXES * 2];
            bool clash = false;
            for (int i = 0; i < a->rank; i++) {
                int shared = anl_node_axis(b, a->axes[i].id);
                clash = clash || (shared >= 0 && b->axes[shared].size != a->axes[i].size);
                if (shared >= 0 && pick(3))
                    over[n++] = a->axes[i].id;
                else
                    out[rank++] = a->axes[i];
            }
            for (int i = 0; i < b->rank; i++)
                if (anl_node_axis(a, b->axes[i].id) < 0)
                    out[rank++] = b->axes[i];
            if (clash || n == 0 || rank > 6)
                break;
            r = mul(g, anl_g_contract(g, a, b, over, n, ANL_ROLE_FORWARD, NULL, 0, out, rank), num(g, 0.2));
            if (pick(2))
                r = anl_g_unary(g, ANL_S_TANH, r);
            break;
        }
        case 17: {
            anl_node *u = anl_g_draw(g, pick(2) ? ANL_OP_UNIFORM : ANL_OP_NORMAL, 100 + (uint64_t)step, a->axes, a->rank,
                                     a->rank ? a->axes[0].id : -1);
            r = mul(g, a, u);
            break;
        }
        case 18:
            if (axis >= 0) {
                anl_node *i = anl_g_index(g, axis, anl_node_size(a, axis));
                anl_node *shift = anl_g_binary(g, ANL_S_MOD, anl_g_binary(g, ANL_S_ADD, i, anl_g_const(g, ANL_I32, 2)),
                                               anl_g_const(g, ANL_I32, anl_node_size(a, axis) + 1));
                r = anl_g_gather(g, a, &axis, &shift, 1, 0.5);
            }
            break;
        case 20:
        case 21:
            r = random_conv(g, a, step);
            break;
        case 19:
            r = mul(g, a, anl_g_unary(g, ANL_S_COS, mul(g, anl_g_step(g, 0), num(g, 0.3))));
            break;
        }
        if (r && r->dtype == ANL_F32 && anl_node_count(r) <= 200000 && count < 400)
            pool[count++] = r;
    }
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        anl_graph_output(g, name, pool[i == 0 ? count - 1 : pick(count)]);
    }
    /* every other graph learns: kernels and states go down the gradient of something */
    if (pick(2)) {
        anl_node *loss = total(g, anl_g_unary(g, ANL_S_TANH, pool[count - 1])), *wrt[64], *gradients[64];
        anl_state *learns[64];
        int n = 0;
        for (int i = 0; i < g->state_count && n < 64; i++)
            if (g->states[i]->value) {
                learns[n] = g->states[i];
                wrt[n++] = g->states[i]->value;
            }
        anl_diagnostics *d = anl_diagnostics_new(); /* a gather on the way has no gradient: then nothing learns */
        if (anl_gradient(g, loss, wrt, n, gradients, d) == ANL_OK)
            for (int i = 0; i < n; i++)
                if (gradients[i])
                    learns[i]->update = sub(g, wrt[i], mul(g, num(g, 0.1), anl_g_unary(g, ANL_S_TANH, gradients[i])));
        anl_diagnostics_free(&d);
    }
    /* updates of the others: anything that has the state's axes */
    for (int s = 0; s < state_count; s++)
        for (int i = count - 1; i >= 0 && !states[s]->update; i--)
            if (anl_node_same_axes(pool[i], states[s]->value) && pool[i] != states[s]->value) {
                states[s]->update = anl_g_unary(g, ANL_S_TANH, pool[i]);
                break;
            }
    return g;
}

START_TEST(random_graphs)
{
    int from = getenv("ANL_TEST_SEED") ? atoi(getenv("ANL_TEST_SEED")) : _i * 50,
        to = from + (getenv("ANL_TEST_SEED") ? 1 : getenv("ANL_SANITIZED") ? 5 : 50);
    for (int seed = from; seed < to; seed++) {
        anl_graph *g = random_graph((uint64_t)seed, 10 + seed % 60);
        if (getenv("ANL_TEST_SEED") || getenv("ANL_TEST_PRINT"))
            fprintf(stderr, "seed %d\n", seed);
        compare_all(g, 2e-2, 0.02);
        anl_graph_free(&g);
    }
}
END_TEST

/* ---- the checker finds planted faults ---- */
static anl_program *sample_program(anl_graph **g, anl_state_layout **layout)
{
    *g = anl_graph_new();
    anl_node *x = image(*g, 4, 8, 3);
    anl_node *h = relu(*g, norm(*g, "bn0", conv(*g, "conv0.weight", x, 8, 3, 1)));
    anl_node *y = norm(*g, "bn1", conv(*g, "conv1.weight", h, 8, 3, 1));
    anl_node *loss = total(*g, mul(*g, y, y));
    anl_graph_output(*g, "loss", loss);
    descend(*g, loss);
    return compile_graph(*g, false, false, layout);
}

START_TEST(checker_finds_faults)
{
    anl_graph *g;
    anl_state_layout *layout;
    anl_program *p = sample_program(&g, &layout);
    anl_diagnostics *d = anl_diagnostics_new();
    ck_assert_int_eq(anl_program_check(p, d), ANL_OK);
#define CAUGHT(what)                                                                                                             \
    do {                                                                                                                         \
        anl_diagnostics *mine = anl_diagnostics_new();                                                                           \
        ck_assert_msg(anl_program_check(p, mine) != ANL_OK, "not found: %s", what);                                              \
        anl_diagnostics_free(&mine);                                                                                             \
    } while (0)
    for (int k = 0; k < p->kernel_count; k++) {
        anl_kernel *x = &p->kernels[k];
        if (x->barrier_before) {
            x->barrier_before = false;
            CAUGHT("a barrier is missing");
            x->barrier_before = true;
        }
        for (int i = 0; i < x->instr_count; i++) {
            anl_instr saved = x->instrs[i];
            if (saved.op == ANL_X_LOAD) {
                x->instrs[i].slot = ANL_MAX_ARGS + 1;
                CAUGHT("a load from no argument");
                x->instrs[i] = saved;
            }
            if (saved.op < ANL_SCALAR_COUNT) {
                x->instrs[i].a = i;
                CAUGHT("an operand that comes later");
                x->instrs[i] = saved;
            }
        }
        for (int s = 0; s < x->store_count; s++) {
            anl_store saved = x->stores[s];
            x->stores[s].value = x->instr_count;
            CAUGHT("a store of nothing");
            x->stores[s] = saved;
        }
        for (int e = 0; e < x->dim_count; e++) {
            x->dims[e] += 1;
            CAUGHT("a dim too long");
            x->dims[e] -= 1;
        }
        if (x->kind == ANL_KERNEL_CONTRACT) {
            x->contract.a_base += 1 << 20;
            CAUGHT("operand A out of bounds");
            x->contract.a_base -= 1 << 20;
        }
        if (x->in_place) {
            x->in_place = false;
            CAUGHT("in place and not marked");
            x->in_place = true;
        }
    }
    int moved = 0;
    for (int b = 0; b < p->buffer_count; b++) {
        if (p->buffers[b].space != ANL_SPACE_TEMP)
            continue;
        p->buffers[b].offset += 8;
        CAUGHT("an offset that is not aligned");
        p->buffers[b].offset -= 8;
        /* onto another that lives at the same time: the first kernel that has both */
        for (int k = 0; k < p->kernel_count && moved < 8; k++) {
            int at = -1, other = -1;
            for (int a = 0; a < p->kernels[k].arg_count; a++) {
                if (p->kernels[k].args[a].buffer == b)
                    at = a;
                else if (p->buffers[p->kernels[k].args[a].buffer].space == ANL_SPACE_TEMP && p->kernels[k].args[a].written)
                    other = a;
            }
            if (at < 0 || other < 0)
                continue;
            int64_t saved = p->buffers[b].offset;
            p->buffers[b].offset = p->buffers[p->kernels[k].args[other].buffer].offset;
            CAUGHT("two live buffers at one place");
            p->buffers[b].offset = saved;
            moved++;
            break;
        }
    }
    ck_assert_int_gt(moved, 0);
    /* a kernel that comes too early */
    int swapped = 0;
    for (int k = 1; k < p->kernel_count && swapped < 4; k++) {
        if (!p->kernels[k].barrier_before)
            continue;
        bool feeds = false;
        for (int a = 0; a < p->kernels[k].arg_count; a++)
            for (int c = 0; c < p->kernels[k - 1].arg_count; c++)
                feeds = feeds || (p->kernels[k].args[a].read && p->kernels[k - 1].args[c].written &&
                                  p->kernels[k].args[a].buffer == p->kernels[k - 1].args[c].buffer);
        if (!feeds)
            continue;
        anl_kernel t = p->kernels[k];
        p->kernels[k] = p->kernels[k - 1];
        p->kernels[k - 1] = t;
        CAUGHT("a value is read before it is written");
        t = p->kernels[k];
        p->kernels[k] = p->kernels[k - 1];
        p->kernels[k - 1] = t;
        swapped++;
    }
    ck_assert_int_gt(swapped, 0);
    ck_assert_int_eq(anl_program_check(p, d), ANL_OK);
    anl_diagnostics_free(&d);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    anl_graph_free(&g);
}
END_TEST

/* A deep network in a few sizes at once, forward and backward: compile time, and memory against its bound. */
START_TEST(deep_network)
{
    anl_graph *g = anl_graph_new();
    anl_node *loss = num(g, 0);
    for (int crop = 0; crop < 2; crop++) {
        anl_node *x = image(g, crop ? 12 : 4, crop ? 16 : 32, 3);
        x->attrs.name = crop ? "small" : "large";
        anl_node *h = relu(g, norm(g, "bn", conv(g, "conv.weight", x, 16, 3, 1)));
        for (int i = 0; i < 16; i++) {
            char name[3][48];
            anl_node *body = h;
            for (int k = 0; k < 3; k++) {
                snprintf(name[0], sizeof name[0], "b%d.conv%d.weight", i, k);
                snprintf(name[1], sizeof name[1], "b%d.bn%d", i, k);
                body = norm(g, name[1], conv(g, name[0], body, 16, k == 1 ? 3 : 1, 1));
                body = k < 2 ? relu(g, body) : body;
            }
            h = relu(g, add(g, body, h));
        }
        loss = add(g, loss, total(g, mul(g, h, h)));
    }
    anl_graph_output(g, "loss", loss);
    descend(g, loss);
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    anl_state_layout *layout;
    anl_diagnostics *d = anl_diagnostics_new();
    ck_assert_int_eq(anl_state_layout_new(&g, 1, false, d, &layout), ANL_OK);
    anl_program *p = NULL;
    if (anl_compile(g, layout, NULL, d, &p) != ANL_OK)
        stop_with(d, "does not compile");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    if (getenv("ANL_TEST_PRINT")) {
        anl_program_print(p, stdout);
        printf("%d nodes, %d kernels, %.3f s, memory %.4f of the bound\n", g->node_count, p->kernel_count, seconds,
               (double)p->space_bytes[ANL_SPACE_TEMP] / (double)p->temp_lower_bound);
    }
    ck_assert_double_lt((double)p->space_bytes[ANL_SPACE_TEMP], 1.1 * (double)p->temp_lower_bound);
    if (anl_program_check(p, d) != ANL_OK)
        stop_with(d, "the checker refuses the program");
    ck_assert_double_lt(seconds, 10);
    anl_program_free(&p);
    anl_state_layout_free(&layout);
    anl_diagnostics_free(&d);
    anl_graph_free(&g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compile");
    TCase *c = tcase_create("programs");
    tcase_set_timeout(c, 300);
    tcase_add_test(c, elementwise_chain_is_one_kernel);
    tcase_add_test(c, block_forward_and_backward);
    tcase_add_test(c, pooling_forward_and_backward);
    tcase_add_test(c, arena_with_optimizer);
    tcase_add_test(c, updates_take_effect_together);
    tcase_add_test(c, top_k_and_gather);
    tcase_add_loop_test(c, random_graphs, 0, 6);
    tcase_add_test(c, checker_finds_faults);
    tcase_add_test(c, deep_network);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
