/* Cases that every executor must get right: each operation, load, store, draw, reduction and contraction, against double
 * precision and against loops written here. In: CASE_DEVICES. Out: tests for check. Sentinels lie around each tensor. */
#ifndef ANL_TESTS_DEVICE_CASES_H
#define ANL_TESTS_DEVICE_CASES_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "device/device.h"
#include "program_builder.h"

/* check's own asserts write to a pipe each time; over millions of elements that is too slow. */
#define REQUIRE(condition, ...)                                                                                                  \
    do {                                                                                                                         \
        if (!(condition))                                                                                                        \
            ck_abort_msg(__VA_ARGS__);                                                                                           \
    } while (0)

/* check writes a line to a file for each of its assertions; loops over millions of elements use this instead. */
#define REQUIRE(condition, ...)                                                                                                  \
    do {                                                                                                                         \
        if (!(condition))                                                                                                        \
            ck_abort_msg(__VA_ARGS__);                                                                                           \
    } while (0)

/* One way of running every case. CASE_DEVICES, defined by the includer, lists them. */
typedef struct case_device {
    const char *selector;
    anl_device_options options;
    double tolerance; /* times the case's own */
    bool same_bits;   /* as the first of the list gives */
    const char *name;
} case_device;

static const char oracle[] = "host";
static const anl_device_options oracle_options = {.threads = 2, .f64 = true, .plain = true};
static const case_device case_devices[] = {CASE_DEVICES};

/* ---- a case: a program, built for float32 and for float64 ---- */
typedef struct test_case {
    void (*build)(anl_program *p, const struct test_case *c);
    const int32_t *sizes; /* whatever the builder makes of them */
    int op, a, b, c;
    int32_t int_high; /* int32 inputs are in [0, int_high) */
    double low, high; /* float inputs */
    double tolerance; /* of float32 against float64: relative to 1 + |value| * scale */
    int64_t step;
    double scalars[PB_SCALARS];
} test_case;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Fills a buffer with values that float32 holds exactly. Blocks of `same seed` are the same for both precisions. */
static void fill(const anl_program *p, const test_case *c, int buffer, char *at)
{
    const anl_buffer *b = &p->buffers[buffer];
    uint64_t seed = 77 + (uint64_t)buffer;
    for (int64_t i = 0; i < b->count; i++) {
        double unit = (double)(next_random(&seed) & 0xFFFFFF) / 16777216.0;
        if (b->dtype == ANL_F32) {
            float value = (float)(c->low + (c->high - c->low) * unit);
            if (p->f64)
                ((double *)at)[i] = (double)value;
            else
                ((float *)at)[i] = value;
        } else if (b->dtype == ANL_I32) {
            ((int32_t *)at)[i] = (int32_t)(unit * c->int_high);
        } else {
            ((int32_t *)at)[i] = unit < 0.5;
        }
    }
}

/* Devices are opened once a test. */
static struct {
    const char *selector;
    anl_device_options options;
    anl_device *device;
} opened[16];
static int opened_count;

static anl_device *device_for(const char *selector, const anl_device_options *options)
{
    for (int i = 0; i < opened_count; i++)
        if (opened[i].selector == selector && memcmp(&opened[i].options, options, sizeof *options) == 0)
            return opened[i].device;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device *device = NULL;
    anl_status status = anl_device_open(selector, options, diagnostics, &device);
    if (status != ANL_OK)
        anl_diagnostics_print(diagnostics, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
    anl_diagnostics_free(&diagnostics);
    opened[opened_count].selector = selector;
    opened[opened_count].options = *options;
    opened[opened_count++].device = device;
    return device;
}

static void close_devices(void)
{
    while (opened_count > 0)
        anl_device_close(&opened[--opened_count].device);
}

/* Runs a program on a device; returns the whole state space after the run. */
static unsigned char *run_program(const anl_program *p, const test_case *c, const char *selector,
                                  const anl_device_options *options)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device *device = device_for(selector, options);
    anl_memory *memory = NULL;
    anl_exec *exec = NULL;
    int64_t bytes = p->space_bytes[ANL_SPACE_STATE];
    unsigned char *state = malloc((size_t)bytes);
    pb_guard_fill(p, ANL_SPACE_STATE, state);
    for (int b = 0; b < p->buffer_count; b++)
        if (p->buffers[b].space == ANL_SPACE_STATE)
            fill(p, c, b, (char *)state + p->buffers[b].offset);
    anl_status status = anl_memory_new(device, bytes, diagnostics, &memory);
    if (status == ANL_OK)
        status = anl_memory_write(memory, 0, state, bytes, diagnostics);
    if (status == ANL_OK)
        status = anl_exec_new(device, p, memory, diagnostics, &exec);
    for (int i = 0; status == ANL_OK && i < p->input_count; i++) {
        const anl_buffer *b = &p->buffers[p->inputs[i].buffer];
        char *input = malloc((size_t)b->bytes);
        fill(p, c, p->inputs[i].buffer, input);
        status = anl_exec_feed(exec, i, input, b->bytes, diagnostics);
        free(input);
    }
    if (status == ANL_OK)
        status = anl_exec_run(exec, c->step, c->scalars, diagnostics);
    if (status == ANL_OK)
        status = anl_memory_read(memory, 0, state, bytes, diagnostics);
    if (status != ANL_OK)
        anl_diagnostics_print(diagnostics, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
    ck_assert_int_eq(pb_guard_broken(p, ANL_SPACE_STATE, state), 0);
    anl_exec_free(&exec);
    anl_memory_free(&memory);
    anl_diagnostics_free(&diagnostics);
    return state;
}

static double value_at(const anl_program *p, int buffer, const unsigned char *state, int64_t i)
{
    const anl_buffer *b = &p->buffers[buffer];
    const unsigned char *at = state + b->offset;
    if (b->dtype != ANL_F32)
        return ((const int32_t *)at)[i];
    return p->f64 ? ((const double *)at)[i] : (double)((const float *)at)[i];
}

static bool near(double got, double expected, double tolerance)
{
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(got) : got == expected;
    return fabs(got - expected) <= tolerance * (1 + fabs(expected));
}

/* A run of the oracle, for comparing with loops written here. */
static unsigned char *oracle_run(const test_case *c, anl_program **p)
{
    *p = pb_new(true);
    c->build(*p, c);
    (*p)->scalar_count = PB_SCALARS;
    return run_program(*p, c, oracle, &oracle_options);
}

/* Compares every state tensor of the float32 runs with the double one, a run of the oracle. */
static void compare_with(const test_case *c, const anl_program *p64, const unsigned char *expected, const char *what)
{
    anl_program *p32 = pb_new(false);
    c->build(p32, c);
    p32->scalar_count = PB_SCALARS;
    unsigned char *first = NULL;
    /* Sanitizers slow the arithmetic down tenfold and look for other things: every third way of running it is enough for them, besides the oracle. */
    const size_t step = getenv("ANL_SANITIZED") ? 3 : 1;
    for (size_t variant = 0; variant < ANL_COUNT(case_devices); variant += step) {
        const case_device *v = &case_devices[variant];
        unsigned char *got = run_program(p32, c, v->selector, &v->options);
        for (int b = 0; b < p32->buffer_count; b++) {
            if (p32->buffers[b].space != ANL_SPACE_STATE)
                continue;
            for (int64_t i = 0; i < p32->buffers[b].count; i++) {
                double x = value_at(p32, b, got, i), y = value_at(p64, b, expected, i);
                REQUIRE(near(x, y, c->tolerance * v->tolerance), "%s: %s[%lld] is %.9g, expected %.9g (%s)", what,
                        p32->buffers[b].name, (long long)i, x, y, v->name);
            }
        }
        if (!first)
            first = got;
        else if (v->same_bits)
            ck_assert_msg(memcmp(first, got, (size_t)p32->space_bytes[ANL_SPACE_STATE]) == 0, "%s: other bits (%s)", what,
                          v->name);
        if (got != first)
            free(got);
    }
    free(first);
    anl_program_free(&p32);
}

static void check_case(const test_case *c, const char *what)
{
    anl_program *p64;
    unsigned char *expected = oracle_run(c, &p64);
    compare_with(c, p64, expected, what);
    free(expected);
    anl_program_free(&p64);
}


/* ---- scalar operations ---- */
/* out[i] = op(x[i], y[i], z[i]) with operand dtypes a, b, c and result dtype in sizes[1]. */
static void build_scalar(anl_program *p, const test_case *c)
{
    int32_t n = c->sizes[0];
    int types[3] = {c->a, c->b, c->c}, in[3] = {-1, -1, -1}, value[3] = {-1, -1, -1};
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "scalar", 1, 1, &n);
    int index = pb_dim(k, 0);
    for (int i = 0; i < 3; i++) {
        if (types[i] < 0)
            continue;
        in[i] = pb_buffer(p, ANL_SPACE_INPUT, (anl_dtype)types[i], n, "x");
        value[i] = pb_load(p, k, in[i], index, -1, 0);
    }
    int out = pb_buffer(p, ANL_SPACE_STATE, (anl_dtype)c->sizes[1], n, "out");
    pb_store(k, out, index, pb_op(k, (anl_dtype)c->sizes[1], c->op, value[0], value[1], value[2]));
}

START_TEST(scalar_operations)
{
    static const struct {
        int op, result, a, b, c;
        double low, high, tolerance;
    } cases[] = {
        {ANL_S_NEGATE, ANL_F32, ANL_F32, -1, -1, -3, 3, 0},
        {ANL_S_NEGATE, ANL_I32, ANL_I32, -1, -1, 0, 0, 0},
        {ANL_S_ABS, ANL_F32, ANL_F32, -1, -1, -3, 3, 0},
        {ANL_S_ABS, ANL_I32, ANL_I32, -1, -1, 0, 0, 0},
        {ANL_S_FLOOR, ANL_F32, ANL_F32, -1, -1, -30, 30, 0},
        {ANL_S_EXP, ANL_F32, ANL_F32, -1, -1, -20, 20, 3e-7},
        {ANL_S_LOG, ANL_F32, ANL_F32, -1, -1, 0, 20, 3e-7},
        {ANL_S_LOG, ANL_F32, ANL_F32, -1, -1, -1, 0, 3e-7},
        {ANL_S_SQRT, ANL_F32, ANL_F32, -1, -1, -1, 20, 1e-7},
        {ANL_S_RSQRT, ANL_F32, ANL_F32, -1, -1, 0.01, 20, 2e-7},
        {ANL_S_TANH, ANL_F32, ANL_F32, -1, -1, -4, 4, 3e-7},
        {ANL_S_ERF, ANL_F32, ANL_F32, -1, -1, -4, 4, 3e-7},
        {ANL_S_SIN, ANL_F32, ANL_F32, -1, -1, -40, 40, 2e-7},
        {ANL_S_COS, ANL_F32, ANL_F32, -1, -1, -40, 40, 2e-7},
        {ANL_S_SIN, ANL_F32, ANL_F32, -1, -1, 0, 1e6, 2e-7},
        {ANL_S_NOT, ANL_BOOL, ANL_BOOL, -1, -1, 0, 0, 0},
        {ANL_S_CAST, ANL_F32, ANL_I32, -1, -1, 0, 0, 0},
        {ANL_S_CAST, ANL_F32, ANL_BOOL, -1, -1, 0, 0, 0},
        {ANL_S_CAST, ANL_I32, ANL_F32, -1, -1, -30, 30, 0},
        {ANL_S_CAST, ANL_I32, ANL_BOOL, -1, -1, 0, 0, 0},
        {ANL_S_CAST, ANL_BOOL, ANL_I32, -1, -1, 0, 0, 0},
        {ANL_S_CAST, ANL_BOOL, ANL_F32, -1, -1, -1, 1, 0},
        {ANL_S_ADD, ANL_F32, ANL_F32, ANL_F32, -1, -1, 1, 1e-7},
        {ANL_S_ADD, ANL_I32, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_SUB, ANL_F32, ANL_F32, ANL_F32, -1, -1, 1, 1e-7},
        {ANL_S_SUB, ANL_I32, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_MUL, ANL_F32, ANL_F32, ANL_F32, -1, -1, 1, 1e-7},
        {ANL_S_MUL, ANL_I32, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_DIV, ANL_F32, ANL_F32, ANL_F32, -1, 0.1, 3, 1e-7},
        {ANL_S_POW, ANL_F32, ANL_F32, ANL_F32, -1, 0.1, 3, 3e-7},
        {ANL_S_MOD, ANL_F32, ANL_F32, ANL_F32, -1, 0.5, 1, 1e-6},
        {ANL_S_MINIMUM, ANL_F32, ANL_F32, ANL_F32, -1, -1, 1, 0},
        {ANL_S_MINIMUM, ANL_I32, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_MAXIMUM, ANL_F32, ANL_F32, ANL_F32, -1, -1, 1, 0},
        {ANL_S_MAXIMUM, ANL_I32, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_LT, ANL_BOOL, ANL_F32, ANL_F32, -1, -1, 1, 0},
        {ANL_S_LT, ANL_BOOL, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_LE, ANL_BOOL, ANL_F32, ANL_F32, -1, -1, 1, 0},
        {ANL_S_LE, ANL_BOOL, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_EQ, ANL_BOOL, ANL_F32, ANL_F32, -1, 1, 1, 0},
        {ANL_S_EQ, ANL_BOOL, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_NE, ANL_BOOL, ANL_F32, ANL_F32, -1, -1, 1, 0},
        {ANL_S_NE, ANL_BOOL, ANL_I32, ANL_I32, -1, 0, 0, 0},
        {ANL_S_AND, ANL_BOOL, ANL_BOOL, ANL_BOOL, -1, 0, 0, 0},
        {ANL_S_OR, ANL_BOOL, ANL_BOOL, ANL_BOOL, -1, 0, 0, 0},
        {ANL_S_SELECT, ANL_F32, ANL_BOOL, ANL_F32, ANL_F32, -1, 1, 0},
        {ANL_S_SELECT, ANL_I32, ANL_BOOL, ANL_I32, ANL_I32, 0, 0, 0},
    };
    static const int32_t sizes[] = {1, 7, 1024, 5003};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        for (size_t s = i % 2; s < ANL_COUNT(sizes); s += 2) { /* a driver takes long to make a kernel: each size for every other case */
            int32_t size[] = {sizes[s], cases[i].result};
            test_case c = {.build = build_scalar,
                           .sizes = size,
                           .op = cases[i].op,
                           .a = cases[i].a,
                           .b = cases[i].b,
                           .c = cases[i].c,
                           .int_high = 9,
                           .low = cases[i].low,
                           .high = cases[i].high,
                           .tolerance = cases[i].tolerance};
            char what[64];
            snprintf(what, sizeof what, "scalar case %zu, %d elements", i, sizes[s]);
            check_case(&c, what);
        }
    }
}
END_TEST

/* Index arithmetic that is not affine: floor division and modulo of numbers of either sign, compared with loops. */
static void build_division(anl_program *p, const test_case *c)
{
    int32_t n = c->sizes[0], by = c->sizes[1];
    int out[3];
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "division", 1, 1, &n);
    int index = pb_dim(k, 0), shifted = pb_op(k, ANL_I32, ANL_S_SUB, index, pb_int(k, n / 2), -1);
    for (int i = 0; i < 3; i++)
        out[i] = pb_buffer(p, ANL_SPACE_STATE, ANL_I32, n, "out");
    pb_store(k, out[0], index, pb_op(k, ANL_I32, ANL_S_FLOORDIV, shifted, pb_int(k, by), -1));
    pb_store(k, out[1], index, pb_op(k, ANL_I32, ANL_S_MOD, shifted, pb_int(k, by), -1));
    pb_store(k, out[2], index, pb_op(k, ANL_I32, ANL_S_DIV, index, pb_int(k, by), -1));
}

START_TEST(integer_division)
{
    static const int32_t sizes[] = {5003, 7};
    test_case c = {.build = build_division, .sizes = sizes};
    check_case(&c, "division");
    anl_program *p;
    unsigned char *state = oracle_run(&c, &p);
    for (int i = 0; i < sizes[0]; i++) {
        int x = i - sizes[0] / 2, q = x >= 0 ? x / 7 : -((-x + 6) / 7);
        REQUIRE((int)value_at(p, 0, state, i) == q, "element differs");
        REQUIRE((int)value_at(p, 1, state, i) == x - 7 * q, "element differs");
        REQUIRE((int)value_at(p, 2, state, i) == i / 7, "element differs");
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* ---- loads, stores, constants ---- */
/* A mix over [A, B, C]: whole tensors, per-A, per-C and per-[B, C] values, a transposed read, a constant, a step scalar, the
 * indices. */
static void build_broadcast(anl_program *p, const test_case *c)
{
    int32_t a = c->sizes[0], b = c->sizes[1], d = c->sizes[2], dims[] = {a, b, d};
    int whole = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, (int64_t)a * b * d, "whole"),
        outer = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, a, "outer");
    int inner = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, d, "inner"),
        plane = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, (int64_t)b * d, "plane");
    int middle = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, b, "middle"),
        whole_int = pb_buffer(p, ANL_SPACE_INPUT, ANL_I32, (int64_t)a * b * d, "int");
    int out = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)a * b * d, "out"),
        turned = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)a * b * d, "turned");
    int out_int = pb_buffer(p, ANL_SPACE_STATE, ANL_I32, (int64_t)a * b * d, "out_int");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "broadcast", 3, 3, dims);
    int linear = pb_linear(k, 3);
    int transposed = pb_affine(k, (int64_t[]){1, a, (int64_t)a * b}, 3, 0);
    int64_t per_outer[] = {1}, per_plane[] = {0, d, 1}, per_inner[] = {0, 0, 1}, per_middle[] = {0, 1};
    int x = pb_load(p, k, whole, linear, -1, 0);
    int y = pb_op(k, ANL_F32, ANL_S_EXP, pb_load(p, k, outer, pb_affine(k, per_outer, 1, 0), -1, 0), -1, -1);
    int z = pb_op(k, ANL_F32, ANL_S_MUL, pb_load(p, k, inner, pb_affine(k, per_inner, 3, 0), -1, 0), pb_scalar(k, 0), -1);
    int w = pb_load(p, k, plane, pb_affine(k, per_plane, 3, 0), -1, 0);
    int m = pb_load(p, k, middle, pb_affine(k, per_middle, 2, 0), -1, 0);
    int t = pb_load(p, k, whole, transposed, -1, 0);
    int sum = pb_op(k, ANL_F32, ANL_S_ADD, pb_op(k, ANL_F32, ANL_S_MUL, x, y, -1), z, -1);
    sum = pb_op(k, ANL_F32, ANL_S_ADD, sum, pb_op(k, ANL_F32, ANL_S_MUL, w, pb_float(k, 0.25), -1), -1);
    sum = pb_op(k, ANL_F32, ANL_S_SUB, sum, pb_op(k, ANL_F32, ANL_S_MUL, m, t, -1), -1);
    int dims_sum = pb_op(k, ANL_I32, ANL_S_ADD, pb_dim(k, 0), pb_op(k, ANL_I32, ANL_S_MUL, pb_dim(k, 1), pb_dim(k, 2), -1), -1);
    sum = pb_op(k, ANL_F32, ANL_S_ADD, sum, pb_op(k, ANL_F32, ANL_S_CAST, dims_sum, -1, -1), -1);
    pb_store(k, out, linear, sum);
    pb_store(k, turned, transposed, pb_op(k, ANL_F32, ANL_S_ADD, x, y, -1));
    pb_store(k, out_int, linear, pb_op(k, ANL_I32, ANL_S_ADD, pb_load(p, k, whole_int, linear, -1, 0), dims_sum, -1));
}

START_TEST(broadcasts)
{
    static const int32_t sizes[][3] = {{1, 1, 1},   {1, 1, 7},    {3, 5, 7},    {2, 1, 1031}, {5, 64, 32},
                                       {7, 11, 96}, {4, 16, 512}, {2, 3, 3001}, {1031, 1, 3}, {6, 32, 32}};
    for (size_t i = 0; i < ANL_COUNT(sizes); i++) {
        test_case c = {.build = build_broadcast,
                       .sizes = sizes[i],
                       .low = -1,
                       .high = 1,
                       .int_high = 100,
                       .tolerance = 1e-6,
                       .scalars = {0.75}};
        check_case(&c, "broadcast");
    }
    anl_program *p;
    test_case c = {.build = build_broadcast, .sizes = sizes[2], .low = -1, .high = 1, .int_high = 100, .scalars = {0.75}};
    unsigned char *state = oracle_run(&c, &p);
    double whole[105], outer[3], inner[7], plane[35], middle[5];
    fill(p, &c, 0, (char *)whole);
    fill(p, &c, 1, (char *)outer);
    fill(p, &c, 2, (char *)inner);
    fill(p, &c, 3, (char *)plane);
    fill(p, &c, 4, (char *)middle);
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 5; b++) {
            for (int d = 0; d < 7; d++) {
                int at = (a * 5 + b) * 7 + d, turned = a + b * 3 + d * 15;
                double sum = whole[at] * exp(outer[a]) + inner[d] * 0.75 + plane[b * 7 + d] * 0.25 - middle[b] * whole[turned] +
                             (a + b * d);
                REQUIRE(near(value_at(p, 6, state, at), sum, 1e-12), "element differs");
                REQUIRE(near(value_at(p, 7, state, turned), whole[at] + exp(outer[a]), 1e-12), "element differs");
            }
        }
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* Padding by a guard, a gather through a table of indices with a guard, a scatter, a table of floats, a bool tensor. */
static void build_gather(anl_program *p, const test_case *c)
{
    int32_t h = c->sizes[0], w = c->sizes[1], pad = c->sizes[2], dims[] = {h + 2 * pad, w + 2 * pad};
    int64_t padded = (int64_t)dims[0] * dims[1];
    int image = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, (int64_t)h * w, "image"),
        bools = pb_buffer(p, ANL_SPACE_INPUT, ANL_BOOL, (int64_t)h * w, "mask");
    int32_t *back = malloc(sizeof(int32_t) * (size_t)padded);
    for (int64_t i = 0; i < padded; i++)
        back[i] = (int32_t)(padded - 1 - i);
    float values[4] = {0.5f, 1.5f, -2.5f, 3.5f};
    int table = pb_table(p, ANL_I32, padded, back, "back"), floats = pb_table(p, ANL_F32, 4, values, "floats");
    free(back);
    int out = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, padded, "out"),
        spread = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, padded, "spread");
    int flags = pb_buffer(p, ANL_SPACE_STATE, ANL_BOOL, padded, "flags");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "pad", 2, 2, dims);
    int y = pb_op(k, ANL_I32, ANL_S_SUB, pb_dim(k, 0), pb_int(k, pad), -1),
        x = pb_op(k, ANL_I32, ANL_S_SUB, pb_dim(k, 1), pb_int(k, pad), -1);
    int inside = pb_op(k, ANL_BOOL, ANL_S_AND, pb_op(k, ANL_BOOL, ANL_S_LE, pb_int(k, 0), y, -1),
                       pb_op(k, ANL_BOOL, ANL_S_LT, y, pb_int(k, h), -1), -1);
    inside = pb_op(k, ANL_BOOL, ANL_S_AND, inside, pb_op(k, ANL_BOOL, ANL_S_LE, pb_int(k, 0), x, -1), -1);
    inside = pb_op(k, ANL_BOOL, ANL_S_AND, inside, pb_op(k, ANL_BOOL, ANL_S_LT, x, pb_int(k, w), -1), -1);
    int from = pb_op(k, ANL_I32, ANL_S_ADD, pb_op(k, ANL_I32, ANL_S_MUL, y, pb_int(k, w), -1), x, -1);
    int value = pb_load(p, k, image, from, inside, -7);
    int flag = pb_load(p, k, bools, from, inside, 1);
    int linear = pb_linear(k, 2), target = pb_load(p, k, table, linear, -1, 0);
    int factor = pb_load(p, k, floats, pb_op(k, ANL_I32, ANL_S_MOD, target, pb_int(k, 4), -1), -1, 0);
    pb_store(k, out, linear, value);
    pb_store(k, spread, target, pb_op(k, ANL_F32, ANL_S_MUL, value, factor, -1));
    pb_store(k, flags, linear, flag);
}

START_TEST(guards_and_gathers)
{
    static const int32_t sizes[][3] = {{1, 1, 1}, {5, 7, 2}, {40, 33, 3}, {3, 1200, 1}, {9, 9, 0}};
    for (size_t i = 0; i < ANL_COUNT(sizes); i++) {
        test_case c = {.build = build_gather, .sizes = sizes[i], .low = -1, .high = 1, .tolerance = 1e-6};
        check_case(&c, "gather");
    }
    test_case c = {.build = build_gather, .sizes = sizes[1], .low = -1, .high = 1};
    anl_program *p;
    unsigned char *state = oracle_run(&c, &p);
    double image[35];
    static const double factor[] = {0.5, 1.5, -2.5, 3.5};
    fill(p, &c, 0, (char *)image);
    for (int y = 0; y < 9; y++) {
        for (int x = 0; x < 11; x++) {
            int at = y * 11 + x, back = 98 - at;
            double expected = y >= 2 && y < 7 && x >= 2 && x < 9 ? image[(y - 2) * 7 + x - 2] : -7;
            REQUIRE(value_at(p, 4, state, at) == expected, "element differs");
            REQUIRE(value_at(p, 5, state, back) == expected * factor[back % 4], "element differs");
        }
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* x and v change in place, and what x was is stored elsewhere: an optimizer's kernel. */
static void build_in_place(anl_program *p, const test_case *c)
{
    int32_t n = c->sizes[0];
    int x = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "x"), v = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "v");
    int old = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "old"), g = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, n, "g");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "update", 1, 1, &n);
    k->in_place = true;
    int i = pb_dim(k, 0), weight = pb_load(p, k, x, i, -1, 0);
    int velocity = pb_op(k, ANL_F32, ANL_S_ADD, pb_op(k, ANL_F32, ANL_S_MUL, pb_load(p, k, v, i, -1, 0), pb_float(k, 0.5), -1),
                         pb_load(p, k, g, i, -1, 0), -1);
    pb_store(k, x, i, pb_op(k, ANL_F32, ANL_S_SUB, weight, pb_op(k, ANL_F32, ANL_S_MUL, velocity, pb_scalar(k, 1), -1), -1));
    pb_store(k, v, i, velocity);
    pb_store(k, old, i, weight);
}

START_TEST(in_place)
{
    static const int32_t sizes[] = {1, 1000, 1025, 70001};
    for (size_t s = 0; s < ANL_COUNT(sizes); s++) {
        test_case c = {
            .build = build_in_place, .sizes = &sizes[s], .low = -1, .high = 1, .tolerance = 1e-6, .scalars = {0, 0.125}};
        check_case(&c, "in place");
    }
    test_case c = {.build = build_in_place, .sizes = &sizes[1], .low = -1, .high = 1, .scalars = {0, 0.125}};
    anl_program *p;
    unsigned char *state = oracle_run(&c, &p);
    double x[1000], v[1000], g[1000];
    fill(p, &c, 0, (char *)x);
    fill(p, &c, 1, (char *)v);
    fill(p, &c, 3, (char *)g);
    for (int i = 0; i < 1000; i++) {
        REQUIRE(near(value_at(p, 0, state, i), x[i] - (v[i] * 0.5 + g[i]) * 0.125, 1e-12), "element differs");
        REQUIRE(value_at(p, 2, state, i) == x[i], "element differs");
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* ---- draws ---- */
static void build_draws(anl_program *p, const test_case *c)
{
    int32_t samples = c->sizes[0], elements = c->sizes[1], dims[] = {samples, elements};
    int u = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)samples * elements, "u"),
        z = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)samples * elements, "z");
    int per = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)samples * elements, "per");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "draws", 2, 2, dims);
    int linear = pb_linear(k, 2), sample = pb_op(k, ANL_I32, ANL_S_ADD, pb_dim(k, 0), pb_int(k, 1000), -1),
        element = pb_dim(k, 1);
    anl_instr draw = {.op = ANL_X_UNIFORM, .dtype = ANL_F32, .a = element, .b = sample, .c = -1, .key = 0x0123456789ABCDEFu};
    pb_store(k, u, linear, pb_instr(k, draw));
    draw.op = ANL_X_NORMAL;
    pb_store(k, z, linear, pb_instr(k, draw));
    draw.op = ANL_X_UNIFORM; /* one value a sample, without sample number */
    draw.a = sample;
    draw.b = -1;
    pb_store(k, per, linear, pb_op(k, ANL_F32, ANL_S_COS, pb_instr(k, draw), -1, -1));
}

START_TEST(draws)
{
    static const int32_t sizes[][2] = {{1, 1}, {3, 77}, {5, 1024}, {4, 4096}, {3, 3000}};
    for (size_t s = 0; s < ANL_COUNT(sizes); s++) {
        test_case c = {.build = build_draws, .sizes = sizes[s], .tolerance = 2e-6, .step = 0x300000007};
        check_case(&c, "draws");
    }
    test_case c = {.build = build_draws, .sizes = sizes[1], .step = 0x300000007};
    anl_program *p;
    unsigned char *state = oracle_run(&c, &p);
    for (uint32_t sample = 0; sample < 3; sample++) {
        for (uint32_t element = 0; element < 77; element++) {
            uint32_t counter[] = {element, sample + 1000, 7, 3}, key[] = {0x89ABCDEFu, 0x01234567u}, word[4];
            anl_philox(counter, key, word);
            double u0 = anl_philox_unit(word[0]), u1 = anl_philox_unit(word[1]);
            REQUIRE(value_at(p, 0, state, sample * 77 + element) == u0, "element differs");
            REQUIRE(near(value_at(p, 1, state, sample * 77 + element),
                         sqrt(-2 * log(1 - u0)) * cos(2 * 3.14159265358979323846 * u1), 1e-12),
                    "element differs");
            uint32_t alone[] = {sample + 1000, 0, 7, 3};
            anl_philox(alone, key, word);
            REQUIRE(near(value_at(p, 2, state, sample * 77 + element), cos(anl_philox_unit(word[0])), 1e-12), "element differs");
        }
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* ---- reductions: [A, R, C] in memory; what is reduced, and in which order the kept dims are declared, by c->a ---- */
enum { REDUCE_MIDDLE, REDUCE_INNER, REDUCE_OUTER, REDUCE_ALL, REDUCE_SWAPPED, REDUCE_OUTER_INNER };

static void build_reduce(anl_program *p, const test_case *c)
{
    int32_t size[3] = {c->sizes[0], c->sizes[1], c->sizes[2]};
    static const int order[][3] = {{0, 2, 1}, {0, 1, 2}, {1, 2, 0}, {0, 1, 2}, {2, 0, 1}, {1, 0, 2}};
    static const int kept_counts[] = {2, 2, 2, 0, 2, 1};
    const int *o = order[c->a];
    int kept = kept_counts[c->a];
    int32_t dims[3];
    int64_t memory[3] = {(int64_t)size[1] * size[2], size[2], 1}, stride[3], kept_points = 1,
            total = (int64_t)size[0] * size[1] * size[2];
    for (int d = 0; d < 3; d++) {
        dims[d] = size[o[d]];
        stride[d] = memory[o[d]];
        if (d < kept)
            kept_points *= dims[d];
    }
    int x = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, total, "x"), n = pb_buffer(p, ANL_SPACE_INPUT, ANL_I32, total, "n");
    int per = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, size[2], "per");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_REDUCE, "reduce", 3, kept, dims);
    int index = pb_affine(k, stride, 3, 0);
    int64_t channel[3] = {o[0] == 2, o[1] == 2, o[2] == 2};
    int value =
        pb_op(k, ANL_F32, ANL_S_ADD, pb_load(p, k, x, index, -1, 0), pb_load(p, k, per, pb_affine(k, channel, 3, 0), -1, 0), -1);
    int count = pb_load(p, k, n, index, -1, 0);
    pb_accumulate(k, ANL_SUM, ANL_F32, value);
    pb_accumulate(k, ANL_MAX, ANL_F32, value);
    pb_accumulate(k, ANL_ARGMAX, ANL_I32, count);
    pb_accumulate(k, ANL_LOGSUMEXP, ANL_F32, value);
    pb_accumulate(k, ANL_MOMENTS, ANL_F32, value);
    pb_accumulate(k, ANL_SUM, ANL_I32, count);
    pb_accumulate(k, ANL_MAX, ANL_I32, count);
    pb_tail(k);
    int linear = pb_linear(k, kept);
    static const struct {
        int slot, component;
        anl_dtype dtype;
    } out[] = {{0, 0, ANL_F32}, {1, 0, ANL_F32}, {2, 0, ANL_I32}, {3, 0, ANL_F32},
               {4, 0, ANL_F32}, {4, 1, ANL_F32}, {5, 0, ANL_I32}, {6, 0, ANL_I32}};
    static const char *const names[] = {"sum", "max", "argmax", "logsumexp", "mean", "variance", "int sum", "int max"};
    for (size_t i = 0; i < ANL_COUNT(out); i++) {
        int to = pb_buffer(p, ANL_SPACE_STATE, out[i].dtype, kept_points, names[i]);
        int result = pb_acc(k, out[i].dtype, out[i].slot, out[i].component);
        if (i == 0) /* a tail with something to do; the mean keeps the tolerance independent of the size */
            result = pb_op(k, ANL_F32, ANL_S_DIV, result, pb_float(k, (double)total / (double)kept_points), -1);
        pb_store(k, to, linear, result);
    }
}

START_TEST(reductions)
{
    static const int32_t sizes[][3] = {{1, 1, 1},    {2, 3, 5},    {1, 1031, 1},  {31, 7, 300},  {3, 2100, 32}, {2, 9, 1500},
                                       {5000, 9, 1}, {4, 33, 128}, {1, 70000, 3}, {40000, 1, 2}, {64, 256, 16}, {7, 1, 2500}};
    for (size_t s = 0; s < ANL_COUNT(sizes); s++) {
        for (int arrangement = REDUCE_MIDDLE; arrangement <= REDUCE_OUTER_INNER; arrangement++) {
            test_case c = {.build = build_reduce,
                           .sizes = sizes[s],
                           .a = arrangement,
                           .low = 1,
                           .high = 3,
                           .int_high = 1000,
                           .tolerance = 2e-6};
            char what[64];
            snprintf(what, sizeof what, "reduction of %d x %d x %d, arrangement %d", sizes[s][0], sizes[s][1], sizes[s][2],
                     arrangement);
            check_case(&c, what);
        }
    }
    /* the oracle itself, against loops */
    test_case c = {.build = build_reduce, .sizes = sizes[1], .a = REDUCE_MIDDLE, .low = -2, .high = 2, .int_high = 10};
    anl_program *p;
    unsigned char *state = oracle_run(&c, &p);
    double x[30], per[5];
    int32_t n[30];
    fill(p, &c, 0, (char *)x);
    fill(p, &c, 1, (char *)n);
    fill(p, &c, 2, (char *)per);
    for (int a = 0; a < 2; a++) {
        for (int d = 0; d < 5; d++) {
            double sum = 0, max = -INFINITY, exps = 0, squares = 0;
            int best = 0, total = 0;
            for (int r = 0; r < 3; r++) {
                double v = x[(a * 3 + r) * 5 + d] + per[d];
                int32_t m = n[(a * 3 + r) * 5 + d];
                sum += v;
                max = v > max ? v : max;
                exps += exp(v);
                total += m;
                if (m > n[(a * 3 + best) * 5 + d])
                    best = r;
            }
            for (int r = 0; r < 3; r++)
                squares += pow(x[(a * 3 + r) * 5 + d] + per[d] - sum / 3, 2);
            int at = a * 5 + d;
            REQUIRE(near(value_at(p, 3, state, at), sum / 3, 1e-12), "element differs");
            REQUIRE(value_at(p, 4, state, at) == max, "element differs");
            REQUIRE((int)value_at(p, 5, state, at) == best, "element differs");
            REQUIRE(near(value_at(p, 6, state, at), log(exps), 1e-12), "element differs");
            REQUIRE(near(value_at(p, 7, state, at), sum / 3, 1e-12), "element differs");
            REQUIRE(near(value_at(p, 8, state, at), squares / 3, 1e-12), "element differs");
            REQUIRE((int)value_at(p, 9, state, at) == total, "element differs");
        }
    }
    free(state);
    anl_program_free(&p);
}
END_TEST

/* Maximum over sliding windows with a guard: pooling. */
static void build_pool(anl_program *p, const test_case *c)
{
    int32_t n = c->sizes[0], in = c->sizes[1], out = (in - 1) / 2 + 1, channels = c->sizes[2],
            dims[] = {n, out, out, channels, 3, 3};
    int x = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, (int64_t)n * in * in * channels, "x");
    int y = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, (int64_t)n * out * out * channels, "max");
    int where = pb_buffer(p, ANL_SPACE_STATE, ANL_I32, (int64_t)n * out * out * channels, "where");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_REDUCE, "pool", 6, 4, dims);
    int row = pb_affine(k, (int64_t[]){0, 2, 0, 0, 1, 0}, 6, -1), column = pb_affine(k, (int64_t[]){0, 0, 2, 0, 0, 1}, 6, -1);
    int inside = pb_op(k, ANL_BOOL, ANL_S_LE, pb_int(k, 0), row, -1);
    inside = pb_op(k, ANL_BOOL, ANL_S_AND, inside, pb_op(k, ANL_BOOL, ANL_S_LT, row, pb_int(k, in), -1), -1);
    inside = pb_op(k, ANL_BOOL, ANL_S_AND, inside, pb_op(k, ANL_BOOL, ANL_S_LE, pb_int(k, 0), column, -1), -1);
    inside = pb_op(k, ANL_BOOL, ANL_S_AND, inside, pb_op(k, ANL_BOOL, ANL_S_LT, column, pb_int(k, in), -1), -1);
    int64_t s = (int64_t)in * channels;
    int index = pb_affine(k, (int64_t[]){s * in, 2 * s, 2 * channels, 1, s, channels}, 6, -s - channels);
    int value = pb_load(p, k, x, index, inside, -1024);
    pb_accumulate(k, ANL_MAX, ANL_F32, value);
    pb_accumulate(k, ANL_ARGMAX, ANL_I32, value);
    pb_tail(k);
    int linear = pb_linear(k, 4);
    pb_store(k, y, linear, pb_acc(k, ANL_F32, 0, 0));
    pb_store(k, where, linear, pb_acc(k, ANL_I32, 1, 0));
}

START_TEST(pooling)
{
    static const int32_t sizes[][3] = {{1, 1, 1}, {2, 5, 3}, {3, 16, 32}, {2, 30, 1}, {1, 9, 1100}};
    for (size_t s = 0; s < ANL_COUNT(sizes); s++) {
        test_case c = {.build = build_pool, .sizes = sizes[s], .low = -1, .high = 1};
        check_case(&c, "pooling");
    }
}
END_TEST

/* The variance of values far from zero survives float32. */
START_TEST(moments_are_stable)
{
    static const int32_t sizes[] = {1, 50000, 8};
    test_case c = {.build = build_reduce, .sizes = sizes, .a = REDUCE_MIDDLE, .low = 9999, .high = 10001, .int_high = 3};
    anl_program *p = pb_new(false);
    c.build(p, &c);
    unsigned char *state = run_program(p, &c, case_devices[0].selector, &case_devices[0].options);
    anl_program *p64;
    unsigned char *expected = oracle_run(&c, &p64);
    for (int i = 0; i < 8; i++) /* the inputs themselves are rounded to 1e-3 */
        REQUIRE(fabs(value_at(p, 8, state, i) / value_at(p64, 8, expected, i) - 1) < 1e-3, "element differs");
    free(state);
    free(expected);
    anl_program_free(&p);
    anl_program_free(&p64);
}
END_TEST

/* ---- contractions ---- */
typedef struct shape {
    int windows, batch, m, n, k; /* sizes; batch 1: no such dim */
    int in[3], taps[3], stride[3], dilation[3], padding[3];
    anl_contract_role role;
    int layout; /* 0: channels last; 1: k and n far apart; 2: batch innermost, as in a depthwise convolution */
    int tail;   /* 0: plain store; 1: bias and maximum; 2: transposed store */
    int pieces; /* m is two dims, the inner of this size (0: one dim) */
} shape;

static int out_size(const shape *s, int w)
{
    return s->windows > w ? (s->in[w] + 2 * s->padding[w] - s->dilation[w] * (s->taps[w] - 1) - 1) / s->stride[w] + 1 : 1;
}

typedef struct contract_case {
    test_case base;
    shape shape;
} contract_case;

/* X [batch, image, positions, in-channel], W [batch, taps, in-channel, out-channel], Y [batch, image, positions, out-channel].
 * Sizes by role: FORWARD m image, n out, k in; DATA m image, n in, k out; WEIGHT m in, n out, k image. */
static void build_contract(anl_program *p, const test_case *tc)
{
    const shape *s = &((const contract_case *)tc)->shape;
    int64_t image = s->role == ANL_CONTRACT_WEIGHT ? s->k : s->m;
    int64_t in_channel = s->role == ANL_CONTRACT_FORWARD ? s->k : s->role == ANL_CONTRACT_DATA ? s->n : s->m;
    int64_t out_channel = s->role == ANL_CONTRACT_DATA ? s->k : s->n;
    int64_t xs[3], ws[3], ys[3], in_total = 1, tap_total = 1, out_total = 1;
    for (int w = s->windows - 1; w >= 0; w--) {
        xs[w] = in_total;
        ws[w] = tap_total;
        ys[w] = out_total;
        in_total *= s->in[w];
        tap_total *= s->taps[w];
        out_total *= out_size(s, w);
    }
    /* element strides of channel, position and image, innermost first by layout */
    int64_t xc = 1, xp = in_channel, wi = out_channel, wo = 1, wt = in_channel * out_channel, yc = 1, yp = out_channel;
    if (s->layout == 1) {
        xc = in_total;
        xp = 1;
        wi = tap_total;
        wo = tap_total * in_channel;
        wt = 1;
        yc = out_total;
        yp = 1;
    }
    int64_t xi = in_channel * in_total, yi = out_channel * out_total;
    int64_t xb = xi * image, wb = in_channel * out_channel * tap_total, yb = yi * image;
    int64_t counts[3] = {xb * s->batch, wb * s->batch, yb * s->batch};
    if (s->layout == 2) {
        int64_t *others[] = {&xc, &xp, &xi, &wi, &wo, &wt, &yc, &yp, &yi};
        for (size_t i = 0; i < ANL_COUNT(others); i++)
            *others[i] *= s->batch;
        xb = wb = yb = 1;
    }
    int a_tensor = s->role == ANL_CONTRACT_DATA ? 2 : 0, b_tensor = s->role == ANL_CONTRACT_WEIGHT ? 2 : 1;
    int c_tensor = s->role == ANL_CONTRACT_FORWARD ? 2 : s->role == ANL_CONTRACT_DATA ? 0 : 1;
    static const char *const names[] = {"x", "w", "y"};
    int a = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, counts[a_tensor], names[a_tensor]),
        b = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, counts[b_tensor], names[b_tensor]);
    int out = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, counts[c_tensor], names[c_tensor]),
        bias = pb_buffer(p, ANL_SPACE_INPUT, ANL_F32, s->n, "bias");

    anl_contract c = {.role = s->role, .m_count = 1, .n_count = 1, .k_count = 1, .window_count = s->windows};
    if (s->batch > 1) {
        int64_t strides[3] = {xb, wb, yb};
        c.batch_count = 1;
        c.batch[0] = (anl_contract_dim){s->batch, strides[a_tensor], strides[b_tensor], strides[c_tensor]};
    }
    anl_contract_dim image_dim, in_dim, out_dim;
    switch (s->role) {
    case ANL_CONTRACT_FORWARD:
        image_dim = (anl_contract_dim){s->m, xi, 0, yi};
        in_dim = (anl_contract_dim){s->k, xc, wi, 0};
        out_dim = (anl_contract_dim){s->n, 0, wo, yc};
        c.m[0] = image_dim, c.n[0] = out_dim, c.k[0] = in_dim;
        break;
    case ANL_CONTRACT_DATA:
        image_dim = (anl_contract_dim){s->m, yi, 0, xi};
        in_dim = (anl_contract_dim){s->n, 0, wi, xc};
        out_dim = (anl_contract_dim){s->k, yc, wo, 0};
        c.m[0] = image_dim, c.n[0] = in_dim, c.k[0] = out_dim;
        break;
    case ANL_CONTRACT_WEIGHT:
        image_dim = (anl_contract_dim){s->k, xi, yi, 0};
        in_dim = (anl_contract_dim){s->m, xc, 0, wi};
        out_dim = (anl_contract_dim){s->n, 0, yc, wo};
        c.m[0] = in_dim, c.n[0] = out_dim, c.k[0] = image_dim;
        break;
    }
    if (s->pieces > 0) {
        c.m_count = 2;
        c.m[1] = c.m[0];
        c.m[1].size = s->pieces;
        c.m[0].size /= s->pieces;
        c.m[0].a *= s->pieces;
        c.m[0].c *= s->pieces;
    }
    for (int w = 0; w < s->windows; w++)
        c.window[w] = (anl_window){.in_size = s->in[w],
                                   .tap_size = s->taps[w],
                                   .out_size = out_size(s, w),
                                   .stride = s->stride[w],
                                   .dilation = s->dilation[w],
                                   .padding = s->padding[w],
                                   .x = xs[w] * xp,
                                   .w = ws[w] * wt,
                                   .y = ys[w] * yp};
    int32_t dims[ANL_MAX_DIMS];
    int64_t stride[ANL_MAX_DIMS];
    int d = 0;
    for (int i = 0; i < c.batch_count; i++, d++)
        dims[d] = c.batch[i].size, stride[d] = c.batch[i].c;
    for (int i = 0; i < c.m_count; i++, d++)
        dims[d] = c.m[i].size, stride[d] = c.m[i].c;
    for (int w = 0; w < s->windows; w++, d++) {
        dims[d] = s->role == ANL_CONTRACT_FORWARD ? c.window[w].out_size : s->role == ANL_CONTRACT_DATA ? s->in[w] : s->taps[w];
        stride[d] = s->role == ANL_CONTRACT_FORWARD ? c.window[w].y
                    : s->role == ANL_CONTRACT_DATA  ? c.window[w].x
                                                    : c.window[w].w;
    }
    int n_dim = d;
    for (int i = 0; i < c.n_count; i++, d++)
        dims[d] = c.n[i].size, stride[d] = c.n[i].c;
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_CONTRACT, "contract", d, d, dims);
    c.a_arg = pb_arg(k, a, true, false);
    c.b_arg = pb_arg(k, b, true, false);
    k->contract = c;
    int sum = pb_acc(k, ANL_F32, 0, 0);
    if (s->tail == 1) {
        int64_t channel[ANL_MAX_DIMS] = {0};
        channel[n_dim] = 1;
        sum = pb_op(k, ANL_F32, ANL_S_ADD, sum, pb_load(p, k, bias, pb_affine(k, channel, d, 0), -1, 0), -1);
        sum = pb_op(k, ANL_F32, ANL_S_MAXIMUM, sum, pb_float(k, 0), -1);
    }
    if (s->tail == 2) { /* the points in the opposite order of dims */
        int64_t step = 1;
        for (int i = 0; i < d; i++) {
            stride[i] = step;
            step *= dims[i];
        }
    }
    pb_store(k, out, pb_affine(k, stride, d, 0), sum);
}

/* The same by loops: fills Y, X or W of the plain-store form. */
static void loop_contract(const shape *s, const double *a, const double *b, double *c)
{
    int in[3] = {1, 1, 1}, taps[3] = {1, 1, 1}, out[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1},
        padding[3] = {0};
    for (int w = 0; w < s->windows; w++) {
        in[w] = s->in[w], taps[w] = s->taps[w], out[w] = out_size(s, w);
        stride[w] = s->stride[w], dilation[w] = s->dilation[w], padding[w] = s->padding[w];
    }
    int image = s->role == ANL_CONTRACT_WEIGHT ? s->k : s->m, ci = s->role == ANL_CONTRACT_FORWARD ? s->k
                                                                   : s->role == ANL_CONTRACT_DATA  ? s->n
                                                                                                   : s->m;
    int co = s->role == ANL_CONTRACT_DATA ? s->k : s->n;
    int64_t in_total = (int64_t)in[0] * in[1] * in[2], out_total = (int64_t)out[0] * out[1] * out[2],
            tap_total = (int64_t)taps[0] * taps[1] * taps[2];
    for (int batch = 0; batch < s->batch; batch++)
        for (int g = 0; g < image; g++)
            for (int64_t o = 0; o < out_total; o++)
                for (int64_t t = 0; t < tap_total; t++) {
                    int64_t op[3] = {o / (out[1] * out[2]), o / out[2] % out[1], o % out[2]},
                            tp[3] = {t / (taps[1] * taps[2]), t / taps[2] % taps[1], t % taps[2]};
                    int64_t position = 0;
                    bool inside = true;
                    for (int w = 0; w < 3; w++) {
                        int64_t at = op[w] * stride[w] + tp[w] * dilation[w] - padding[w];
                        inside = inside && at >= 0 && at < in[w];
                        position = position * in[w] + at;
                    }
                    for (int i = 0; inside && i < ci; i++)
                        for (int j = 0; j < co; j++) {
                            int64_t x = s->layout != 1 ? position * ci + i : position + i * in_total;
                            int64_t w = s->layout != 1 ? (t * ci + i) * co + j : ((int64_t)j * ci + i) * tap_total + t;
                            int64_t y = s->layout != 1 ? o * co + j : o + j * out_total;
                            x += g * in_total * ci;
                            y += g * out_total * co;
                            x = s->layout == 2 ? x * s->batch + batch : x + (int64_t)batch * image * in_total * ci;
                            w = s->layout == 2 ? w * s->batch + batch : w + (int64_t)batch * tap_total * ci * co;
                            y = s->layout == 2 ? y * s->batch + batch : y + (int64_t)batch * image * out_total * co;
                            if (s->role == ANL_CONTRACT_FORWARD)
                                c[y] += a[x] * b[w];
                            else if (s->role == ANL_CONTRACT_DATA)
                                c[x] += a[y] * b[w];
                            else
                                c[w] += a[x] * b[y];
                        }
                }
}

static void check_contract(const shape *s, const char *what)
{
    contract_case c = {.base = {.build = build_contract, .low = -1, .high = 1}, .shape = *s};
    int64_t terms = s->k;
    for (int w = 0; w < s->windows; w++)
        terms *= s->role == ANL_CONTRACT_WEIGHT ? out_size(s, w) : s->taps[w];
    c.base.tolerance = 1e-6 + 6e-7 * sqrt((double)terms) + 2e-8 * (double)terms; /* rounding grows with the partial sums, too */
    anl_program *p;
    unsigned char *state = oracle_run(&c.base, &p);
    compare_with(&c.base, p, state, what);
    if (s->tail != 0) {
        free(state);
        anl_program_free(&p);
        return;
    }
    double *a = malloc((size_t)p->buffers[0].bytes), *b = malloc((size_t)p->buffers[1].bytes),
           *expected = calloc((size_t)p->buffers[2].count, sizeof(double));
    fill(p, &c.base, 0, (char *)a);
    fill(p, &c.base, 1, (char *)b);
    loop_contract(s, a, b, expected);
    for (int64_t i = 0; i < p->buffers[2].count; i++)
        REQUIRE(near(value_at(p, 2, state, i), expected[i], 1e-10), "%s: oracle differs from loops at %lld", what, (long long)i);
    free(a);
    free(b);
    free(expected);
    free(state);
    anl_program_free(&p);
}

START_TEST(matrix_products)
{
    static const int sizes[][3] = {{1, 1, 1},    {7, 5, 3},    {33, 65, 129},  {1, 300, 128},
                                   {300, 1, 17}, {64, 64, 64}, {130, 96, 600}, {13, 33, 1}};
    for (size_t i = 0; i < ANL_COUNT(sizes); i++)
        for (int role = ANL_CONTRACT_FORWARD; role <= ANL_CONTRACT_WEIGHT; role++)
            for (int layout = 0; layout < 2; layout++) {
                const int batch = (i + (size_t)role + (size_t)layout) % 2 ? 1 : 3; /* of all pairs, not of all triples */
                shape s = {.batch = batch,
                           .m = sizes[i][0],
                           .n = sizes[i][1],
                           .k = sizes[i][2],
                           .role = (anl_contract_role)role,
                           .layout = layout,
                           .tail = (int)(i + (size_t)batch + (size_t)layout) % 3};
                char what[80];
                snprintf(what, sizeof what, "product %d x %d x %d, role %d, layout %d, batch %d", s.m, s.n, s.k, role, layout,
                         batch);
                check_contract(&s, what);
            }
}
END_TEST

START_TEST(convolutions)
{
    static const shape shapes[] = {
        {.windows = 1,
         .batch = 1,
         .m = 3,
         .n = 8,
         .k = 5,
         .in = {17},
         .taps = {3},
         .stride = {1},
         .dilation = {1},
         .padding = {1}},
        {.windows = 1,
         .batch = 2,
         .m = 2,
         .n = 3,
         .k = 2,
         .in = {9},
         .taps = {2},
         .stride = {3},
         .dilation = {2},
         .padding = {0}},
        {.windows = 2,
         .batch = 1,
         .m = 3,
         .n = 32,
         .k = 1,
         .in = {20, 18},
         .taps = {7, 7},
         .stride = {2, 2},
         .dilation = {1, 1},
         .padding = {3, 3}},
        {.windows = 2,
         .batch = 1,
         .m = 4,
         .n = 32,
         .k = 32,
         .in = {8, 8},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 2,
         .batch = 1,
         .m = 5,
         .n = 64,
         .k = 32,
         .in = {8, 7},
         .taps = {3, 3},
         .stride = {2, 2},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 2,
         .batch = 1,
         .m = 2,
         .n = 65,
         .k = 33,
         .in = {5, 6},
         .taps = {1, 1},
         .stride = {2, 2},
         .dilation = {1, 1},
         .padding = {0, 0}},
        {.windows = 2,
         .batch = 1,
         .m = 2,
         .n = 7,
         .k = 130,
         .in = {4, 4},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {2, 2},
         .padding = {2, 2}},
        {.windows = 2,
         .batch = 1,
         .m = 3,
         .n = 17,
         .k = 16,
         .in = {11, 6},
         .taps = {2, 5},
         .stride = {3, 1},
         .dilation = {2, 1},
         .padding = {1, 4}},
        {.windows = 2,
         .batch = 1,
         .m = 17,
         .n = 40,
         .k = 300,
         .in = {2, 2},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 2,
         .batch = 4,
         .m = 3,
         .n = 1,
         .k = 1,
         .in = {12, 10},
         .taps = {5, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {2, 1}},
        {.windows = 2,
         .batch = 8,
         .m = 2,
         .n = 1,
         .k = 1,
         .in = {9, 9},
         .taps = {3, 3},
         .stride = {2, 2},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 2,
         .batch = 40,
         .m = 3,
         .n = 1,
         .k = 1,
         .in = {7, 9},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 3,
         .batch = 1,
         .m = 2,
         .n = 6,
         .k = 4,
         .in = {5, 6, 7},
         .taps = {3, 2, 3},
         .stride = {1, 2, 2},
         .dilation = {1, 1, 1},
         .padding = {1, 0, 1}},
        {.windows = 3,
         .batch = 1,
         .m = 1,
         .n = 16,
         .k = 8,
         .in = {4, 4, 4},
         .taps = {3, 3, 3},
         .stride = {1, 1, 1},
         .dilation = {1, 1, 1},
         .padding = {1, 1, 1}},
        {.windows = 2,
         .batch = 1,
         .m = 4,
         .n = 9,
         .k = 3,
         .in = {1, 1},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1}},
        {.windows = 2,
         .batch = 1,
         .m = 6,
         .n = 24,
         .k = 12,
         .in = {6, 6},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1},
         .pieces = 2},
        {.windows = 2,
         .batch = 1,
         .m = 40,
         .n = 32,
         .k = 32,
         .in = {16, 16},
         .taps = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .padding = {1, 1}},
    };
    for (size_t i = 0; i < ANL_COUNT(shapes); i++)
        for (int role = ANL_CONTRACT_FORWARD; role <= ANL_CONTRACT_WEIGHT; role++)
            for (int layout = 0; layout < 3; layout++)
                for (int tail = 0; tail < 3; tail++) {
                    if ((layout == 0 ? tail != (int)(i + (size_t)role) % 3 : tail > 0) || (layout == 2 && shapes[i].batch == 1))
                        continue; /* each tail with each role and each shape, not with all pairs of them */
                    shape s = shapes[i];
                    s.role = (anl_contract_role)role;
                    s.layout = layout;
                    s.tail = tail;
                    char what[80];
                    snprintf(what, sizeof what, "convolution %zu, role %d, layout %d, tail %d", i, role, layout, tail);
                    check_contract(&s, what);
                }
}
END_TEST

static inline void add_device_cases(TCase *group)
{
    tcase_add_checked_fixture(group, NULL, close_devices);
    tcase_add_test(group, scalar_operations);
    tcase_add_test(group, integer_division);
    tcase_add_test(group, broadcasts);
    tcase_add_test(group, guards_and_gathers);
    tcase_add_test(group, in_place);
    tcase_add_test(group, draws);
    tcase_add_test(group, reductions);
    tcase_add_test(group, pooling);
    tcase_add_test(group, moments_are_stable);
    tcase_add_test(group, matrix_products);
    tcase_add_test(group, convolutions);
}

#endif
