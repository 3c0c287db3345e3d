/* Choosing among a contraction's lowerings by measurement.
 * In: a size class. Out: the fastest lowering that gives the same result as the baseline. Measured once per device and driver,
 * kept in the cache folder; a checkpoint may carry the choices, so that a resumed run computes the same bits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/vulkan/vk.h"

static const char *const variant_names[VK_VARIANT_COUNT] = {"direct", "tile", "shuffle"};

static void set_choice(vk_device *device, const char *key, vk_variant variant)
{
    for (int i = 0; i < device->choice_count; i++)
        if (strcmp(device->choices[i].key, key) == 0) {
            device->choices[i].variant = variant;
            return;
        }
    vk_choice choice = {.variant = variant};
    snprintf(choice.key, sizeof choice.key, "%s", key);
    ANL_PUSH(device->arena, device->choices, device->choice_count, device->choice_capacity, choice);
}

/* Lines "KEY VARIANT"; unknown ones are of another version and left out. */
static void read_choices(vk_device *device, const char *text)
{
    char key[64], name[64];
    int used;
    while (sscanf(text, " %63s %63s%n", key, name, &used) == 2) {
        text += used;
        for (int v = 0; v < VK_VARIANT_COUNT; v++)
            if (strcmp(name, variant_names[v]) == 0)
                set_choice(device, key, (vk_variant)v);
    }
}

static void write_choices(const vk_device *device, anl_text *out)
{
    anl_text_add(out, "");
    for (int i = 0; i < device->choice_count; i++)
        anl_text_printf(out, "%s %s\n", device->choices[i].key, variant_names[device->choices[i].variant]);
}

static char *choices_file(vk_device *device)
{
    if (!device->cache_file)
        return NULL;
    return anl_arena_printf(device->arena, "%s-%d.choices", device->cache_file, device->subgroup);
}

anl_status vk_choices_load(vk_device *device, anl_diagnostics *diagnostics)
{
    (void)diagnostics;
    char *path = choices_file(device);
    anl_arena *arena = anl_arena_new();
    char *text = NULL;
    size_t length;
    if (path && anl_file_read(arena, path, 1 << 20, &text, &length) == ANL_OK) /* none yet: measured when first needed */
        read_choices(device, text);
    anl_arena_free(&arena);
    return ANL_OK;
}

anl_status vk_choices_save(vk_device *device, anl_diagnostics *diagnostics)
{
    char *path = choices_file(device);
    if (!path || !device->choices_changed)
        return ANL_OK;
    anl_text text = {0};
    write_choices(device, &text);
    if (anl_file_write_atomic(path, text.data, text.length) != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_device_cache, (anl_span){.file = path}, "cache file cannot be written: %s",
                     strerror(errno));
    device->choices_changed = false;
    anl_text_free(&text);
    return ANL_OK;
}

/* ---- measuring ---- */
enum { ROWS = 1024, COLS = 64, REDS = 512, RUNS = 3 };

/* A matrix product whose operands lie as the class says: A's fours along k or m or nowhere, B's along n or k. */
static anl_program *sample_program(anl_arena *arena, char a_lies, char b_lies)
{
    int32_t rows = a_lies == 'x' ? ROWS - 1 : ROWS;
    anl_program *p = ANL_NEW(arena, anl_program);
    p->arena = arena;
    p->buffers = ANL_NEW_ARRAY(arena, anl_buffer, 3);
    p->buffer_count = 3;
    int64_t counts[] = {(int64_t)rows * REDS, (int64_t)REDS * COLS, (int64_t)rows * COLS};
    for (int i = 0; i < 3; i++) {
        anl_space space = i < 2 ? ANL_SPACE_INPUT : ANL_SPACE_OUTPUT;
        p->buffers[i] = (anl_buffer){.space = space,
                                     .dtype = ANL_F32,
                                     .name = "sample",
                                     .count = counts[i],
                                     .bytes = counts[i] * 4,
                                     .offset = p->space_bytes[space]};
        p->space_bytes[space] += (counts[i] * 4 + ANL_ALIGNMENT - 1) / ANL_ALIGNMENT * ANL_ALIGNMENT;
    }
    p->inputs = ANL_NEW_ARRAY(arena, anl_port, 2);
    p->outputs = ANL_NEW_ARRAY(arena, anl_port, 1);
    p->input_count = 2;
    p->output_count = 1;
    for (int i = 0; i < 2; i++)
        p->inputs[i] = (anl_port){.name = "sample", .buffer = i, .scalar = -1};
    p->outputs[0] = (anl_port){.name = "sample", .buffer = 2, .scalar = -1};
    anl_kernel *k = p->kernels = ANL_NEW_ARRAY(arena, anl_kernel, 1);
    p->kernel_count = 1;
    *k = (anl_kernel){.kind = ANL_KERNEL_CONTRACT,
                      .name = "sample",
                      .dim_count = 2,
                      .kept_count = 2,
                      .dims = {rows, COLS},
                      .arg_count = 3,
                      .barrier_before = true};
    for (int i = 0; i < 3; i++)
        k->args[i] = (anl_kernel_arg){.buffer = i, .read = i < 2, .written = i == 2};
    k->contract = (anl_contract){.role = ANL_CONTRACT_FORWARD, .m_count = 1, .n_count = 1, .k_count = 1, .a_arg = 0, .b_arg = 1};
    k->contract.m[0] = (anl_contract_dim){rows, a_lies == 'k' ? REDS : 1, 0, COLS};
    k->contract.n[0] = (anl_contract_dim){COLS, 0, b_lies == 'n' ? 1 : REDS, 1};
    k->contract.k[0] = (anl_contract_dim){REDS, a_lies == 'k' ? 1 : rows, b_lies == 'n' ? COLS : 1, 0};
    static const anl_instr list[] = {
        {.op = ANL_X_ACC, .dtype = ANL_F32, .a = 0, .b = -1, .c = -1},
        {.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = 0},
        {.op = ANL_X_CONST, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .value = COLS},
        {.op = ANL_S_MUL, .dtype = ANL_I32, .a = 1, .b = 2, .c = -1},
        {.op = ANL_X_DIM, .dtype = ANL_I32, .a = -1, .b = -1, .c = -1, .slot = 1},
        {.op = ANL_S_ADD, .dtype = ANL_I32, .a = 3, .b = 4, .c = -1},
    };
    k->instrs = ANL_NEW_ARRAY(arena, anl_instr, ANL_COUNT(list));
    memcpy(k->instrs, list, sizeof list);
    k->instr_count = (int)ANL_COUNT(list);
    k->stores = ANL_NEW_ARRAY(arena, anl_store, 1);
    k->store_count = 1;
    k->stores[0] = (anl_store){.arg = 2, .index = 5, .value = 0};
    return p;
}

/* Seconds of the best run; results in out. */
static anl_status time_variant(vk_device *device, const anl_program *p, vk_variant variant, float *out, double *seconds,
                               anl_diagnostics *diagnostics)
{
    anl_exec *exec = NULL;
    device->measuring = true;
    device->measured_variant = variant;
    anl_status status = vk_device_class.exec_new(&device->base, p, NULL, diagnostics, &exec);
    device->measuring = false;
    for (int i = 0; i < 2 && status == ANL_OK; i++) {
        float *values = anl_malloc((size_t)p->buffers[i].bytes);
        uint32_t seed = 1;
        for (int64_t j = 0; j < p->buffers[i].count; j++) { /* small whole numbers: every order of summing gives the same sum */
            seed = seed * 1664525u + 1013904223u;
            values[j] = (float)(int)(seed >> 29) - 3.0f;
        }
        status = vk_device_class.feed(exec, i, values, p->buffers[i].bytes, diagnostics);
        free(values);
    }
    *seconds = 1e30;
    for (int i = 0; i <= RUNS && status == ANL_OK; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        status = vk_device_class.run(exec, 0, NULL, diagnostics);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double took = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        if (i > 0 && took < *seconds) /* the first run may still compile */
            *seconds = took;
    }
    if (status == ANL_OK)
        status = vk_device_class.fetch(exec, 0, out, p->buffers[2].bytes, diagnostics);
    if (exec)
        vk_device_class.exec_free(exec);
    return status;
}

vk_variant vk_choose(vk_device *device, char a_lies, char b_lies)
{
    if (device->measuring)
        return device->measured_variant;
    if (device->plain)
        return VK_VARIANT_TILE;
    char key[32];
    snprintf(key, sizeof key, "product-%c%c", a_lies, b_lies);
    for (int i = 0; i < device->choice_count; i++)
        if (strcmp(device->choices[i].key, key) == 0)
            return device->choices[i].variant;
    if (device->validation) /* timings mean nothing under the layers, and tests want the lowering that has most to go wrong */
        return VK_VARIANT_SHUFFLE;
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *unheard = anl_diagnostics_new(); /* a lowering that does not run here is not chosen: that is all */
    anl_program *p = sample_program(arena, a_lies, b_lies);
    float *base = anl_malloc((size_t)p->buffers[2].bytes), *other = anl_malloc((size_t)p->buffers[2].bytes);
    double base_seconds = 0, other_seconds = 0;
    vk_variant best = VK_VARIANT_TILE;
    if (time_variant(device, p, VK_VARIANT_TILE, base, &base_seconds, unheard) == ANL_OK &&
        time_variant(device, p, VK_VARIANT_SHUFFLE, other, &other_seconds, unheard) == ANL_OK &&
        memcmp(base, other, (size_t)p->buffers[2].bytes) == 0 && other_seconds < base_seconds)
        best = VK_VARIANT_SHUFFLE;
    free(base);
    free(other);
    anl_diagnostics_free(&unheard);
    anl_arena_free(&arena);
    set_choice(device, key, best);
    device->choices_changed = true;
    return best;
}

/* ---- for checkpoints ---- */
anl_status anl_vulkan_choices(const anl_device *device, anl_text *out)
{
    if (device->class != &vk_device_class)
        return ANL_ERROR_ARGUMENT;
    write_choices((const vk_device *)device, out);
    return ANL_OK;
}

anl_status anl_vulkan_choices_set(anl_device *device, const char *text)
{
    if (device->class != &vk_device_class)
        return ANL_ERROR_ARGUMENT;
    read_choices(VK_DEVICE(device), text);
    return ANL_OK;
}
