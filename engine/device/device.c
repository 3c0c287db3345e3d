/* Devices: choosing one by name, and the calls every executor answers, with their arguments checked.
 * In: a selector; programs, memories, bytes. Out: whatever the chosen executor does.
 * A lost device stays lost: every later call returns at once. */
#include "device/device.h"

#include <stdlib.h>
#include <string.h>

static const anl_span nowhere;

anl_status anl_devices_list(anl_arena *arena, const anl_device_options *options, anl_device_info **list, int *count,
                            anl_diagnostics *diagnostics)
{
    static const anl_device_options defaults;
    *list = NULL;
    *count = 0;
    anl_device_info *others = NULL;
    int other_count = 0;
    if (!options)
        options = &defaults;
    anl_status status = anl_vulkan_list(arena, options, &others, &other_count, diagnostics);
    if (status == ANL_ERROR_MEMORY)
        return status;
    if (status != ANL_OK)
        other_count = 0; /* the list's own diagnostics say why; the host device is there all the same */
    anl_device_info *all = ANL_NEW_ARRAY(arena, anl_device_info, other_count + 1);
    if (other_count > 0)
        memcpy(all, others, sizeof *all * (size_t)other_count);
    anl_status host = anl_host_list(arena, options, &all[other_count], diagnostics);
    if (host != ANL_OK)
        return host;
    *list = all;
    *count = other_count + 1;
    return ANL_OK;
}

/* The first usable GPU's index among Vulkan devices, or -1. */
static int find_gpu(const anl_device_options *options)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *ignored = anl_diagnostics_new(); /* no Vulkan at all is no problem for `auto` */
    anl_device_info *list = NULL;
    int count = 0, found = -1;
    if (anl_vulkan_list(arena, options, &list, &count, ignored) == ANL_OK) {
        for (int i = 0; i < count && found < 0; i++) {
            const char *colon = list[i].selector ? strchr(list[i].selector, ':') : NULL;
            if (!list[i].is_cpu && !list[i].unusable && colon)
                found = atoi(colon + 1);
        }
    }
    anl_diagnostics_free(&ignored);
    anl_arena_free(&arena);
    return found;
}

anl_status anl_device_open(const char *selector, const anl_device_options *options, anl_diagnostics *diagnostics,
                           anl_device **out)
{
    static const anl_device_options defaults;
    *out = NULL;
    if (!options)
        options = &defaults;
    if (!selector || strcmp(selector, "auto") == 0) {
        int gpu = find_gpu(options);
        return gpu >= 0 ? anl_vulkan_open(gpu, options, diagnostics, out) : anl_host_open(options, diagnostics, out);
    }
    if (strcmp(selector, "host") == 0)
        return anl_host_open(options, diagnostics, out);
    if (strcmp(selector, "vulkan") == 0)
        return anl_vulkan_open(-1, options, diagnostics, out);
    if (strncmp(selector, "vulkan:", 7) == 0) {
        char *end;
        long index = strtol(selector + 7, &end, 10);
        if (selector[7] >= '0' && selector[7] <= '9' && *end == '\0' && index <= 1000)
            return anl_vulkan_open((int)index, options, diagnostics, out);
    }
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_missing, nowhere, "there is no device `%s`", selector);
    anl_diagnostic_note(diagnostics, d, "devices are auto, host, vulkan and vulkan:N; `anlage devices` lists them");
    return ANL_ERROR_ARGUMENT;
}

void anl_device_close(anl_device **device)
{
    if (!device || !*device)
        return;
    (*device)->class->close(*device);
    *device = NULL;
}

const anl_device_info *anl_device_describe(const anl_device *device) { return &device->info; }

/* ---- calls ---- */
static anl_status refuse_lost(anl_device *device, anl_diagnostics *diagnostics)
{
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_lost, nowhere, "device %s was lost before", device->info.selector);
    anl_diagnostic_note(diagnostics, d, "open it again, and go on from the last checkpoint (--resume)");
    return ANL_ERROR_DEVICE_LOST;
}

static anl_status result(anl_device *device, anl_status status)
{
    if (status == ANL_ERROR_DEVICE_LOST)
        device->lost = true;
    return status;
}

static anl_status wrong_argument(anl_device *device, anl_diagnostics *diagnostics, const char *what, int64_t given,
                                 int64_t expected)
{
    anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "device %s: %s is %lld, expected %lld", device->info.selector, what,
                 (long long)given, (long long)expected);
    return ANL_ERROR_ARGUMENT;
}

anl_status anl_memory_new(anl_device *device, int64_t bytes, anl_diagnostics *diagnostics, anl_memory **out)
{
    *out = NULL;
    if (device->lost)
        return refuse_lost(device, diagnostics);
    if (bytes < 0)
        return wrong_argument(device, diagnostics, "size of a memory", bytes, 0);
    return result(device, device->class->memory_new(device, bytes, diagnostics, out));
}

void anl_memory_free(anl_memory **memory)
{
    if (!memory || !*memory)
        return;
    (*memory)->device->class->memory_free(*memory);
    *memory = NULL;
}

anl_status anl_memory_write(anl_memory *memory, int64_t offset, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    anl_device *device = memory->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->memory_write(memory, offset, bytes, count, diagnostics));
}

anl_status anl_memory_read(anl_memory *memory, int64_t offset, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    anl_device *device = memory->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->memory_read(memory, offset, bytes, count, diagnostics));
}

anl_status anl_exec_new(anl_device *device, const anl_program *program, anl_memory *state, anl_diagnostics *diagnostics,
                        anl_exec **out)
{
    *out = NULL;
    if (device->lost)
        return refuse_lost(device, diagnostics);
    if (state && state->device != device) {
        anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "device %s: the state belongs to another device (%s)",
                     device->info.selector, state->device->info.selector);
        return ANL_ERROR_ARGUMENT;
    }
    return result(device, device->class->exec_new(device, program, state, diagnostics, out));
}

void anl_exec_free(anl_exec **exec)
{
    if (!exec || !*exec)
        return;
    (*exec)->device->class->exec_free(*exec);
    *exec = NULL;
}

anl_status anl_exec_feed(anl_exec *exec, int input, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    anl_device *device = exec->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->feed(exec, input, bytes, count, diagnostics));
}

anl_status anl_exec_run(anl_exec *exec, int64_t step, const double *scalars, anl_diagnostics *diagnostics)
{
    anl_device *device = exec->device;
    return device->lost ? refuse_lost(device, diagnostics) : result(device, device->class->run(exec, step, scalars, diagnostics));
}

anl_status anl_exec_fetch(anl_exec *exec, int output, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    anl_device *device = exec->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->fetch(exec, output, bytes, count, diagnostics));
}

anl_status anl_exec_peek(anl_exec *exec, int buffer, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    anl_device *device = exec->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->peek(exec, buffer, bytes, count, diagnostics));
}

anl_status anl_exec_profile(anl_exec *exec, int64_t step, const double *scalars, double *seconds, anl_diagnostics *diagnostics)
{
    anl_device *device = exec->device;
    return device->lost ? refuse_lost(device, diagnostics)
                        : result(device, device->class->profile(exec, step, scalars, seconds, diagnostics));
}
