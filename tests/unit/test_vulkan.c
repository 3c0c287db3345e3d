/* The Vulkan executor: the cases of device_cases.h as the device is, with baseline kernels, and under a clamped profile, all with
 * the validation layers' synchronisation checks on; more workgroups than one dimension takes; accuracy of its functions; caches;
 * limits; what it lists. In: small programs made by hand. Out: check's report. Skipped, with a reason, where no Vulkan device is
 * usable. */
#define CLAMPED                                                                                                                  \
    {                                                                                                                            \
        .max_invocations = 128, .max_shared_bytes = 16384, .alignment = 256                                                      \
    }
#define CASE_DEVICES                                                                                                             \
    {"vulkan", {.validation = true, .cache_folder = ""}, 1.5, false, "as it is"},                                                \
        {"vulkan", {.validation = true, .plain = true, .cache_folder = ""}, 1.5, false, "plain"},                                \
    {                                                                                                                            \
        "vulkan", {.validation = true, .no_subgroups = true, .clamp = CLAMPED, .cache_folder = ""}, 1.5, false, "clamped"        \
    }
#include "device_cases.h"

#include <glob.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>

typedef struct made { /* a program ready to run */
    anl_diagnostics *diagnostics;
    anl_device *device;
    anl_memory *memory;
    anl_exec *exec;
} made;

static anl_status make(made *m, const anl_program *p, const anl_device_options *options)
{
    memset(m, 0, sizeof *m);
    m->diagnostics = anl_diagnostics_new();
    anl_status status = anl_device_open("vulkan", options, m->diagnostics, &m->device);
    if (status == ANL_OK)
        status = anl_memory_new(m->device, p->space_bytes[ANL_SPACE_STATE], m->diagnostics, &m->memory);
    if (status == ANL_OK)
        status = anl_exec_new(m->device, p, m->memory, m->diagnostics, &m->exec);
    return status;
}

static void unmake(made *m)
{
    anl_exec_free(&m->exec);
    anl_memory_free(&m->memory);
    anl_device_close(&m->device);
    anl_diagnostics_free(&m->diagnostics);
}

/* out[i] = 3 i + 1, an int per invocation */
static anl_program *count_program(int32_t n)
{
    anl_program *p = pb_new(false);
    int out = pb_buffer(p, ANL_SPACE_STATE, ANL_I32, n, "out");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "count", 1, 1, &n);
    int i = pb_dim(k, 0);
    pb_store(k, out, i, pb_op(k, ANL_I32, ANL_S_ADD, pb_op(k, ANL_I32, ANL_S_MUL, i, pb_int(k, 3), -1), pb_int(k, 1), -1));
    return p;
}

START_TEST(more_groups_than_a_dimension_takes)
{
    enum { N = 65535 * 128 + 77 }; /* a prime number of points keeps invocations scalar */
    anl_program *p = count_program(N);
    made m;
    ck_assert_int_eq(make(&m, p, &case_devices[2].options), ANL_OK);
    ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
    int32_t *out = malloc(sizeof(int32_t) * N);
    ck_assert_int_eq(anl_exec_peek(m.exec, 0, out, 4 * (int64_t)N, m.diagnostics), ANL_OK);
    for (int32_t i = 0; i < N; i++)
        REQUIRE(out[i] == 3 * i + 1, "element %d is %d", i, out[i]);
    free(out);
    unmake(&m);
    anl_program_free(&p);
}
END_TEST

/* ---- accuracy, relative to 1 ulp of the true value, over what float32 holds normally (drivers may flush subnormals) ---- */
static void build_function(anl_program *p, int op, int32_t n)
{
    int in = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "in"), out = pb_buffer(p, ANL_SPACE_STATE, ANL_F32, n, "out");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "function", 1, 1, &n);
    int index = pb_dim(k, 0);
    pb_store(k, out, index, pb_op(k, ANL_F32, op, pb_load(p, k, in, index, -1, 0), -1, -1));
}

START_TEST(function_accuracy)
{
    static const struct {
        const char *name;
        int op;
        double (*reference)(double);
        double low, high, limit; /* limit: relative error, or absolute below 1 for sin and cos */
        bool absolute;
    } functions[] = {
        {"exp", ANL_S_EXP, exp, -87, 88.7, 4e-7, false},       {"log", ANL_S_LOG, log, 1e-30, 1e30, 4e-7, false},
        {"log near 1", ANL_S_LOG, log, 0.9, 1.1, 4e-7, false}, {"tanh", ANL_S_TANH, tanh, -10, 10, 4e-7, false},
        {"erf", ANL_S_ERF, erf, -5, 5, 4e-7, false},           {"sqrt", ANL_S_SQRT, sqrt, 0, 1e6, 4e-7, false},
        {"sin", ANL_S_SIN, sin, -1000, 1000, 2e-7, true},      {"cos", ANL_S_COS, cos, -1000, 1000, 2e-7, true},
    };
    enum { COUNT = 1 << 15 };
    float *values = malloc(sizeof(float) * COUNT), *results = malloc(sizeof(float) * COUNT);
    for (size_t f = 0; f < ANL_COUNT(functions); f++) {
        anl_program *p = pb_new(false);
        build_function(p, functions[f].op, COUNT);
        bool wide = functions[f].low > 0 && functions[f].high / functions[f].low > 1e6;
        for (int i = 0; i < COUNT; i++) {
            double u = (double)i / (COUNT - 1);
            values[i] = (float)(wide ? functions[f].low * pow(functions[f].high / functions[f].low, u)
                                     : functions[f].low + (functions[f].high - functions[f].low) * u);
        }
        made m;
        ck_assert_int_eq(make(&m, p, &case_devices[0].options), ANL_OK);
        ck_assert_int_eq(anl_memory_write(m.memory, p->buffers[0].offset, values, 4 * COUNT, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_peek(m.exec, 1, results, 4 * COUNT, m.diagnostics), ANL_OK);
        for (int i = 0; i < COUNT; i++) {
            double right = functions[f].reference((double)values[i]), wrong = fabs((double)results[i] - right);
            REQUIRE(wrong <= functions[f].limit * (functions[f].absolute ? 1 : fabs(right)), "%s(%.9g) is %.9g, not %.9g",
                    functions[f].name, (double)values[i], (double)results[i], right);
        }
        unmake(&m);
        anl_program_free(&p);
    }
    free(values);
    free(results);
}
END_TEST

/* Infinities and NaN where they must come out. */
START_TEST(special_values)
{
    static const struct {
        int op;
        float in, out;
    } cases[] = {{ANL_S_EXP, -INFINITY, 0},
                 {ANL_S_EXP, INFINITY, INFINITY},
                 {ANL_S_EXP, 1000, INFINITY},
                 {ANL_S_EXP, -1000, 0},
                 {ANL_S_LOG, 0, -INFINITY},
                 {ANL_S_LOG, -1, NAN},
                 {ANL_S_LOG, INFINITY, INFINITY},
                 {ANL_S_SQRT, -1, NAN},
                 {ANL_S_TANH, INFINITY, 1},
                 {ANL_S_TANH, -INFINITY, -1},
                 {ANL_S_ERF, 100, 1},
                 {ANL_S_ERF, -100, -1},
                 {ANL_S_EXP, NAN, NAN},
                 {ANL_S_LOG, NAN, NAN},
                 {ANL_S_TANH, NAN, NAN},
                 {ANL_S_RSQRT, 0, INFINITY}};
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_program *p = pb_new(false);
        build_function(p, cases[i].op, 1);
        made m;
        float out = 0;
        ck_assert_int_eq(make(&m, p, &case_devices[0].options), ANL_OK);
        ck_assert_int_eq(anl_memory_write(m.memory, p->buffers[0].offset, &cases[i].in, 4, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_peek(m.exec, 1, &out, 4, m.diagnostics), ANL_OK);
        ck_assert_msg(isnan(cases[i].out) ? isnan(out) : out == cases[i].out, "case %zu: %g, not %g", i, (double)out,
                      (double)cases[i].out);
        unmake(&m);
        anl_program_free(&p);
    }
}
END_TEST

/* Work memory is shared: an exec runs on after another that needs more has made it move. */
static anl_program *temp_program(int32_t n, float add)
{
    anl_program *p = pb_new(false);
    int temp = pb_buffer(p, ANL_SPACE_TEMP, ANL_F32, n, "temp"), out = pb_buffer(p, ANL_SPACE_OUTPUT, ANL_F32, n, "out");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "first", 1, 1, &n);
    pb_store(k, temp, pb_dim(k, 0), pb_op(k, ANL_F32, ANL_S_CAST, pb_dim(k, 0), -1, -1));
    k = pb_kernel(p, ANL_KERNEL_MAP, "second", 1, 1, &n);
    pb_store(k, out, pb_dim(k, 0), pb_op(k, ANL_F32, ANL_S_ADD, pb_load(p, k, temp, pb_dim(k, 0), -1, 0), pb_float(k, add), -1));
    return p;
}

START_TEST(work_memory_moves)
{
    anl_program *small = temp_program(100, 0.25f), *large = temp_program(100000, 0.75f);
    made m;
    anl_exec *other = NULL;
    ck_assert_int_eq(make(&m, small, &case_devices[0].options), ANL_OK);
    ck_assert_int_eq(anl_exec_new(m.device, large, m.memory, m.diagnostics, &other), ANL_OK);
    float *out = malloc(400000);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_fetch(m.exec, 0, out, 400, m.diagnostics), ANL_OK);
        for (int i = 0; i < 100; i++)
            ck_assert(out[i] == (float)i + 0.25f);
        ck_assert_int_eq(anl_exec_run(other, 0, NULL, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_fetch(other, 0, out, 400000, m.diagnostics), ANL_OK);
        for (int i = 0; i < 100000; i++)
            REQUIRE(out[i] == (float)i + 0.75f, "element %d", i);
    }
    anl_exec_free(&m.exec);
    ck_assert_int_eq(anl_exec_run(other, 0, NULL, m.diagnostics), ANL_OK);
    anl_exec_free(&other);
    free(out);
    unmake(&m);
    anl_program_free(&small);
    anl_program_free(&large);
}
END_TEST

/* Spaces that one allocation may not hold are cut between tensors. */
START_TEST(spaces_in_pieces)
{
    enum { LINKS = 24, COUNT = 4000 };
    int32_t n = COUNT;
    anl_program *p = pb_new(false);
    int from = pb_buffer(p, ANL_SPACE_TEMP, ANL_F32, n, "link"), out = pb_buffer(p, ANL_SPACE_OUTPUT, ANL_F32, n, "out");
    anl_kernel *k = pb_kernel(p, ANL_KERNEL_MAP, "first", 1, 1, &n);
    pb_store(k, from, pb_dim(k, 0), pb_op(k, ANL_F32, ANL_S_CAST, pb_dim(k, 0), -1, -1));
    for (int i = 0; i < LINKS; i++) {
        int to = i + 1 < LINKS ? pb_buffer(p, ANL_SPACE_TEMP, ANL_F32, n, "link") : out;
        k = pb_kernel(p, ANL_KERNEL_MAP, "next", 1, 1, &n);
        pb_store(k, to, pb_dim(k, 0), pb_op(k, ANL_F32, ANL_S_ADD, pb_load(p, k, from, pb_dim(k, 0), -1, 0), pb_float(k, 1), -1));
        from = to;
    }
    made m;
    anl_device_options options = {.validation = true, .cache_folder = "", .clamp = {.storage_range = 16384}};
    ck_assert_int_gt(p->space_bytes[ANL_SPACE_TEMP], 4 * 16384);
    ck_assert_int_eq(make(&m, p, &options), ANL_OK);
    ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
    float values[COUNT];
    ck_assert_int_eq(anl_exec_fetch(m.exec, 0, values, sizeof values, m.diagnostics), ANL_OK);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(values[i] == (float)(i + LINKS), "element %d", i);
    unmake(&m);
    anl_program_free(&p);
}
END_TEST

static bool has_code(const anl_diagnostics *list, anl_code code, const char *text)
{
    for (int i = 0; i < anl_diagnostics_count(list); i++)
        if (anl_diagnostics_get(list, i)->code == code && strstr(anl_diagnostics_get(list, i)->message, text))
            return true;
    return false;
}

START_TEST(a_tensor_beyond_the_range_is_named)
{
    anl_program *p = count_program(5000);
    made m;
    anl_device_options options = {.validation = true, .cache_folder = "", .clamp = {.storage_range = 16384}};
    ck_assert_int_eq(make(&m, p, &options), ANL_ERROR_LIMIT);
    ck_assert(has_code(m.diagnostics, ANL_A_device_range, "`out`"));
    unmake(&m);
    anl_program_free(&p);
}
END_TEST

START_TEST(too_little_memory_is_told)
{
    anl_program *p = temp_program(1 << 20, 1);
    made m;
    anl_device_options options = {.validation = true, .cache_folder = "", .clamp = {.memory = 6 << 20}};
    ck_assert_int_eq(make(&m, p, &options), ANL_ERROR_MEMORY);
    ck_assert_ptr_null(m.exec);
    ck_assert(has_code(m.diagnostics, ANL_A_device_memory, "the outputs need"));
    anl_memory *huge = NULL;
    ck_assert_int_eq(anl_memory_new(m.device, INT64_MAX / 2, m.diagnostics, &huge), ANL_ERROR_MEMORY);
    ck_assert_ptr_null(huge);
    /* the device goes on */
    anl_program *small = temp_program(1000, 1);
    ck_assert_int_eq(anl_exec_new(m.device, small, m.memory, m.diagnostics, &m.exec), ANL_OK);
    ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
    unmake(&m);
    anl_program_free(&p);
    anl_program_free(&small);
}
END_TEST

/* Damaged cache files are a warning and made anew. */
START_TEST(damaged_caches_are_made_anew)
{
    char folder[] = "/tmp/anlage-test-vulkan-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    anl_device_options options = {.validation = true, .cache_folder = folder};
    char pattern[100];
    snprintf(pattern, sizeof pattern, "%s/*", folder);
    for (int round = 0; round < 3; round++) {
        anl_program *p = count_program(50);
        made m;
        int32_t out[50];
        ck_assert_int_eq(make(&m, p, &options), ANL_OK);
        ck_assert_int_eq(anl_exec_run(m.exec, 0, NULL, m.diagnostics), ANL_OK);
        ck_assert_int_eq(anl_exec_peek(m.exec, 0, out, sizeof out, m.diagnostics), ANL_OK);
        for (int i = 0; i < 50; i++)
            ck_assert_int_eq(out[i], 3 * i + 1);
        ck_assert_int_eq(has_code(m.diagnostics, ANL_A_device_cache, "damaged"), round == 2);
        ck_assert_int_eq(anl_diagnostics_errors(m.diagnostics), 0);
        unmake(&m);
        anl_program_free(&p);
        glob_t found = {0};
        ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
        ck_assert_uint_ge(found.gl_pathc, 1);
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (round == 1) {
                FILE *file = fopen(found.gl_pathv[i], "r+");
                ck_assert_ptr_nonnull(file);
                fseek(file, 40, SEEK_SET);
                fputs("garbage", file);
                fclose(file);
            } else if (round == 2) {
                unlink(found.gl_pathv[i]);
            }
        }
        globfree(&found);
    }
    rmdir(folder);
}
END_TEST

/* A measured choice is kept as text, and taken over from it. */
START_TEST(choices_travel)
{
    contract_case c = {.base = {.build = build_contract, .low = -1, .high = 1}, .shape = {.batch = 1, .m = 64, .n = 32, .k = 64}};
    anl_program *p = pb_new(false);
    c.base.build(p, &c.base);
    made first, second;
    anl_device_options options = {.cache_folder = ""};
    ck_assert_int_eq(make(&first, p, &options), ANL_OK);
    anl_text text = {0};
    ck_assert_int_eq(anl_vulkan_choices(first.device, &text), ANL_OK);
    if (anl_device_describe(first.device)->limits.subgroup_shuffle)
        ck_assert_int_eq(strncmp(text.data, "product-kn ", strlen("product-kn ")), 0);
    ck_assert_int_eq(anl_device_open("vulkan", &options, first.diagnostics, &second.device), ANL_OK);
    ck_assert_int_eq(anl_vulkan_choices_set(second.device, "product-kn tile\nproduct-zz unheard-of\n"), ANL_OK);
    anl_text_free(&text);
    text = (anl_text){0};
    ck_assert_int_eq(anl_vulkan_choices(second.device, &text), ANL_OK);
    ck_assert_str_eq(text.data, "product-kn tile\n");
    anl_text_free(&text);
    anl_device_close(&second.device);
    unmake(&first);
    anl_program_free(&p);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
    anl_program *p = temp_program(10, 1);
    made m;
    float values[10];
    ck_assert_int_eq(make(&m, p, &case_devices[0].options), ANL_OK);
    ck_assert_int_ne(anl_exec_fetch(m.exec, 0, values, 36, m.diagnostics), ANL_OK);
    ck_assert_int_ne(anl_memory_read(m.memory, 1 << 20, values, 40, m.diagnostics), ANL_OK);
    double seconds[2] = {-1, -1};
    ck_assert_int_eq(anl_exec_profile(m.exec, 0, NULL, seconds, m.diagnostics), ANL_OK);
    ck_assert(seconds[0] >= 0 && seconds[1] >= 0);
    unmake(&m);
    anl_program_free(&p);
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device *device = NULL;
    ck_assert_int_eq(anl_device_open("vulkan:99", NULL, diagnostics, &device), ANL_ERROR_DEVICE);
    ck_assert(has_code(diagnostics, ANL_A_device_missing, "vulkan:99"));
    anl_diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(lists_devices)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device_info *list;
    int count;
    ck_assert_int_eq(anl_vulkan_list(arena, NULL, &list, &count, diagnostics), ANL_OK);
    for (int i = 0; i < count; i++) {
        ck_assert_uint_gt(strlen(list[i].name), 0);
        ck_assert_int_eq(atoi(list[i].selector + strlen("vulkan:")), i);
        if (!list[i].unusable) {
            ck_assert_int_ge(list[i].limits.max_invocations, 128);
            ck_assert_int_ge(list[i].limits.max_shared_bytes, 16384);
            ck_assert(list[i].limits.storage_range >= 1 << 27);
        }
    }
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}
END_TEST

/* Is there a usable device, with the layers? If not, says why. */
static bool usable(void)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device *device = NULL;
    anl_status status = anl_device_open("vulkan", &case_devices[0].options, diagnostics, &device);
    if (status == ANL_OK) {
        printf("device: %s, %s\n", anl_device_describe(device)->name, anl_device_describe(device)->driver);
        anl_device_close(&device);
    } else {
        printf("skipped: ");
        anl_diagnostics_print(diagnostics, stdout, false);
    }
    anl_diagnostics_free(&diagnostics);
    fflush(stdout);
    return status == ANL_OK;
}

int main(void)
{
    if (!usable())
        return 77;
    Suite *suite = suite_create("vulkan");
    TCase *cases = tcase_create("cases"), *group = tcase_create("device");
    tcase_set_timeout(cases, 600);
    tcase_set_timeout(group, 600);
    add_device_cases(cases);
    suite_add_tcase(suite, cases);
    tcase_add_test(group, more_groups_than_a_dimension_takes);
    tcase_add_test(group, function_accuracy);
    tcase_add_test(group, special_values);
    tcase_add_test(group, work_memory_moves);
    tcase_add_test(group, a_tensor_beyond_the_range_is_named);
    tcase_add_test(group, spaces_in_pieces);
    tcase_add_test(group, too_little_memory_is_told);
    tcase_add_test(group, damaged_caches_are_made_anew);
    tcase_add_test(group, choices_travel);
    tcase_add_test(group, wrong_calls_are_refused);
    tcase_add_test(group, lists_devices);
    suite_add_tcase(suite, group);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
