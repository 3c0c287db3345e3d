/* The host executor: the cases of device_cases.h on 1, 2, 3 and 8 threads, which must give the same bits, and without fast paths;
 * the accuracy of its functions; its own calls. In: small programs made by hand. Out: check's report. */
#define CASE_DEVICES                                                                                                             \
    {"host", {.threads = 1}, 1, true, "1 thread"}, {"host", {.threads = 2}, 1, true, "2 threads"},                               \
        {"host", {.threads = 3}, 1, true, "3 threads"}, {"host", {.threads = 8}, 1, true, "8 threads"},                          \
        {"host", {.threads = 2, .plain = true}, 1, false, "plain"},                                                              \
        {"host", {.threads = 2, .instructions = "base"}, 1, false, "base"},                                                      \
    {                                                                                                                            \
        "host", {.threads = 2, .instructions = "avx2"}, 1, false, "avx2"                                                         \
    }
#include "device_cases.h"

/* Large enough for the ways that only pay there. */
START_TEST(large_products)
{
    for (int role = ANL_CONTRACT_FORWARD; role <= ANL_CONTRACT_WEIGHT; role++) {
        shape s = {.batch = 1, .m = 520, .n = 513, .k = 530, .role = (anl_contract_role)role, .tail = role == ANL_CONTRACT_DATA};
        check_contract(&s, "large product");
    }
    shape deep = {.windows = 2,
                  .batch = 1,
                  .m = 30,
                  .n = 160,
                  .k = 144,
                  .in = {9, 9},
                  .taps = {3, 3},
                  .stride = {1, 1},
                  .dilation = {1, 1},
                  .padding = {1, 1}};
    for (int role = ANL_CONTRACT_FORWARD; role <= ANL_CONTRACT_WEIGHT; role++) {
        deep.role = (anl_contract_role)role;
        check_contract(&deep, "deep convolution");
    }
}
END_TEST

/* ---- accuracy of the float32 functions over all magnitudes, in units in the last place ---- */
static void build_function(anl_program *p, const test_case *c)
{
    int32_t n = c->sizes[0];
    int in = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "in"), out = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "out");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "function", 1, 1, &n);
    int index = pb_dim(k, 0);
    pb_store(k, out, index, pb_op(k, ANL_F32, c->op, pb_load(p, k, in, index, -1, 0), -1, -1));
}

static double ulps(float got, double expected)
{
    if (isnan(expected))
        return isnan(got) ? 0 : 1e9;
    if (isinf((float)expected) || isinf(got))
        return got == (float)expected ? 0 : isinf(got) && fabs(expected) > 3.4028e38 ? 0 : 1e9;
    int exponent;
    frexp(expected, &exponent);
    double unit = ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
    return fabs((double)got - expected) / unit;
}

START_TEST(function_accuracy)
{
    static const struct {
        int op;
        double (*reference)(double);
        double limit;
    } functions[] = {
        {ANL_S_EXP, exp, 2}, {ANL_S_LOG, log, 2}, {ANL_S_TANH, tanh, 3}, {ANL_S_ERF, erf, 3}, {ANL_S_SQRT, sqrt, 0.51},
    };
    enum { COUNT = 1 << 16 };
    static const int32_t sizes[] = {COUNT};
    float *values = malloc(sizeof(float) * COUNT), *results = malloc(sizeof(float) * COUNT);
    for (uint32_t i = 0; i < COUNT; i++) { /* the upper 16 bits: all signs, exponents, infinities, NaNs, subnormals */
        uint32_t bits = i << 16 | (i * 40503u & 0xFFFF);
        memcpy(&values[i], &bits, 4);
    }
    values[0] = 0;
    values[1] = -INFINITY;
    values[2] = INFINITY;
    for (size_t f = 0; f < ANL_COUNT(functions); f++) {
        for (int plain = 0; plain < 2; plain++) {
            anl_diagnostics *diagnostics = anl_diagnostics_new();
            anl_device *device;
            anl_memory *memory;
            anl_exec *exec;
            test_case c = {.build = build_function, .sizes = sizes, .op = functions[f].op};
            anl_program *p = pb_new(false);
            c.build(p, &c);
            ck_assert_int_eq(anl_device_open("host", &(anl_device_options){.threads = 1, .plain = plain}, diagnostics, &device),
                             ANL_OK);
            ck_assert_int_eq(anl_memory_new(device, p->space_bytes[ANL_SPACE_STATE], diagnostics, &memory), ANL_OK);
            ck_assert_int_eq(anl_memory_write(memory, p->buffers[0].offset, values, sizeof(float) * COUNT, diagnostics), ANL_OK);
            ck_assert_int_eq(anl_exec_new(device, p, memory, diagnostics, &exec), ANL_OK);
            ck_assert_int_eq(anl_exec_run(exec, 0, NULL, diagnostics), ANL_OK);
            ck_assert_int_eq(anl_exec_peek(exec, 1, results, sizeof(float) * COUNT, diagnostics), ANL_OK);
            for (int i = 0; i < COUNT; i++) {
                double wrong = ulps(results[i], functions[f].reference((double)values[i]));
                REQUIRE(wrong <= functions[f].limit, "function %zu of %.9g is %.9g, %.2f ulp from %.12g", f, (double)values[i],
                        (double)results[i], wrong, functions[f].reference((double)values[i]));
            }
            anl_exec_free(&exec);
            anl_memory_free(&memory);
            anl_device_close(&device);
            anl_program_free(&p);
            anl_diagnostics_free(&diagnostics);
        }
    }
    free(values);
    free(results);
}
END_TEST

/* ---- the device's own calls ---- */
START_TEST(wrong_calls_are_refused)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device *device = NULL;
    ck_assert_int_eq(anl_device_open("toaster", NULL, diagnostics, &device), ANL_ERROR_ARGUMENT);
    ck_assert_ptr_null(device);
    ck_assert_int_eq(anl_device_open("vulkan:x", NULL, diagnostics, &device), ANL_ERROR_ARGUMENT);
    ck_assert_int_eq(anl_device_open("host", &(anl_device_options){.instructions = "z80"}, diagnostics, &device),
                     ANL_ERROR_ARGUMENT);
    ck_assert_int_eq(anl_diagnostics_errors(diagnostics), 3);
    ck_assert_int_eq(anl_device_open("host", NULL, diagnostics, &device), ANL_OK);
    static const int32_t sizes[] = {10, ANL_F32};
    test_case c = {.build = build_scalar, .sizes = sizes, .op = ANL_S_NEGATE, .a = ANL_F32, .b = -1, .c = -1};
    anl_program *p = pb_new(false);
    c.build(p, &c);
    anl_memory *memory = NULL;
    anl_exec *exec = NULL;
    ck_assert_int_eq(anl_memory_new(device, 16, diagnostics, &memory), ANL_OK);
    ck_assert_int_eq(anl_exec_new(device, p, memory, diagnostics, &exec), ANL_ERROR_ARGUMENT); /* too small */
    ck_assert_ptr_null(exec);
    anl_memory_free(&memory);
#ifndef __SANITIZE_ADDRESS__ /* which ends the program where malloc would return NULL */
    ck_assert_int_eq(anl_memory_new(device, INT64_MAX / 2, diagnostics, &memory), ANL_ERROR_MEMORY);
    ck_assert_ptr_null(memory);
#endif
    ck_assert_int_eq(anl_memory_new(device, p->space_bytes[ANL_SPACE_STATE], diagnostics, &memory), ANL_OK);
    ck_assert_int_eq(anl_exec_new(device, p, memory, diagnostics, &exec), ANL_OK);
    float values[10] = {0};
    ck_assert_int_eq(anl_exec_feed(exec, 0, values, 36, diagnostics), ANL_ERROR_ARGUMENT);
    ck_assert_int_eq(anl_exec_feed(exec, 1, values, 40, diagnostics), ANL_ERROR_ARGUMENT);
    ck_assert_int_eq(anl_exec_fetch(exec, 0, values, 40, diagnostics), ANL_ERROR_ARGUMENT); /* no outputs */
    ck_assert_int_eq(anl_exec_peek(exec, 7, values, 40, diagnostics), ANL_ERROR_ARGUMENT);
    ck_assert_int_eq(anl_memory_read(memory, p->space_bytes[ANL_SPACE_STATE] - 4, values, 8, diagnostics), ANL_ERROR_ARGUMENT);
    double seconds = -1;
    ck_assert_int_eq(anl_exec_profile(exec, 0, NULL, &seconds, diagnostics), ANL_OK);
    ck_assert(seconds >= 0);
    device->lost = true; /* as after a call that lost it */
    ck_assert_int_eq(anl_exec_run(exec, 0, NULL, diagnostics), ANL_ERROR_DEVICE_LOST);
    ck_assert_int_eq(anl_memory_read(memory, 0, values, 8, diagnostics), ANL_ERROR_DEVICE_LOST);
    anl_exec_free(&exec);
    anl_memory_free(&memory);
    anl_program_free(&p);
    anl_device_close(&device);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(describes_itself)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device_info info;
    ck_assert_int_eq(anl_host_list(arena, &(anl_device_options){0}, &info, diagnostics), ANL_OK);
    ck_assert_str_eq(info.selector, "host");
    ck_assert(info.is_cpu);
    ck_assert_ptr_null(info.unusable);
    ck_assert_int_gt(info.limits.memory, 1 << 20);
    ck_assert_uint_gt(strlen(info.name), 0);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}
END_TEST

/* ---- what program.c says of instruction lists, which this executor builds on ---- */
START_TEST(affine_indices)
{
    anl_program *p = pb_new(false);
    int32_t dims[] = {6, 8, 5};
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "affine", 3, 3, dims);
    int64_t coefficient[ANL_MAX_DIMS], base;
    int sum = pb_affine(k, (int64_t[]){40, 5, 1}, 3, 3);
    ck_assert(anl_kernel_affine(k, sum, coefficient, &base));
    ck_assert(coefficient[0] == 40 && coefficient[1] == 5 && coefficient[2] == 1 && base == 3);
    int linear = pb_linear(k, 3);
    int outer = pb_op(k, ANL_I32, ANL_S_FLOORDIV, linear, pb_int(k, 5), -1),
        inner = pb_op(k, ANL_I32, ANL_S_MOD, linear, pb_int(k, 5), -1);
    ck_assert(anl_kernel_affine(k, outer, coefficient, &base));
    ck_assert(coefficient[0] == 8 && coefficient[1] == 1 && coefficient[2] == 0 && base == 0);
    ck_assert(anl_kernel_affine(k, inner, coefficient, &base));
    ck_assert(coefficient[0] == 0 && coefficient[1] == 0 && coefficient[2] == 1 && base == 0);
    int crooked = pb_op(k, ANL_I32, ANL_S_FLOORDIV, linear, pb_int(k, 3), -1);
    ck_assert(!anl_kernel_affine(k, crooked, coefficient, &base));
    int negative = pb_op(k, ANL_I32, ANL_S_FLOORDIV, pb_affine(k, (int64_t[]){5, 0, 1}, 3, -10), pb_int(k, 5), -1);
    ck_assert(anl_kernel_affine(k, negative, coefficient, &base));
    ck_assert(coefficient[0] == 1 && coefficient[2] == 0 && base == -2);
    int bounded = pb_op(k, ANL_I32, ANL_S_MINIMUM, pb_dim(k, 2), pb_int(k, 4), -1);
    ck_assert(anl_kernel_affine(k, bounded, coefficient, &base) && coefficient[2] == 1);
    int clipped = pb_op(k, ANL_I32, ANL_S_MINIMUM, pb_dim(k, 2), pb_int(k, 3), -1);
    ck_assert(!anl_kernel_affine(k, clipped, coefficient, &base));
    anl_program_free(&p);
}
END_TEST

START_TEST(step_scalars)
{
    anl_program *p = pb_new(false);
    anl_instr step = {.op = ANL_X_STEP, .a = -1, .b = -1, .c = -1},
              epoch = {.op = ANL_X_STEPS_PER_EPOCH, .a = -1, .b = -1, .c = -1};
    anl_instr total = {.op = ANL_X_TOTAL_STEPS, .a = -1, .b = -1, .c = -1};
    anl_instr list[] = {step,
                        epoch,
                        total,
                        {.op = ANL_S_DIV, .a = 0, .b = 1, .c = -1},
                        {.op = ANL_S_DIV, .a = 0, .b = 2, .c = -1},
                        {.op = ANL_X_CONST, .value = 0.5},
                        {.op = ANL_S_LT, .dtype = ANL_BOOL, .a = 4, .b = 5, .c = -1},
                        {.op = ANL_S_SELECT, .a = 6, .b = 3, .c = 5}};
    memcpy(p->scalar_instrs, list, sizeof list);
    p->scalar_instr_count = (int)ANL_COUNT(list);
    p->scalar_count = 2;
    p->scalars[0] = 3;
    p->scalars[1] = 7;
    double out[2];
    anl_program_scalars(p, 25, 100, 1000, out);
    ck_assert(out[0] == 0.25 && out[1] == 0.25);
    anl_program_scalars(p, 900, 100, 1000, out);
    ck_assert(out[0] == 9 && out[1] == 0.5);
    anl_program_free(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *group = tcase_create("host");
    tcase_set_timeout(group, 300);
    add_device_cases(group);
    tcase_add_test(group, affine_indices);
    tcase_add_test(group, step_scalars);
    tcase_add_test(group, large_products);
    tcase_add_test(group, function_accuracy);
    tcase_add_test(group, wrong_calls_are_refused);
    tcase_add_test(group, describes_itself);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
