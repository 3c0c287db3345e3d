/* What a recipe can run on here, for people.
 * In: the executors' own lists. Out: public summaries. */
#include <anlage/device.h>
#include <string.h>

#include "device/device.h"

anl_status anl_device_list_make(anl_device_list *out, anl_diagnostics *diagnostics)
{
    anl_arena *arena = anl_arena_new();
    anl_device_info *infos = NULL;
    anl_device_options options = {0};
    *out = (anl_device_list){.owner = arena};
    anl_status status = anl_devices_list(arena, &options, &infos, &out->count, diagnostics);
    if (status) {
        anl_device_list_free(out);
        return status;
    }
    out->devices = ANL_NEW_ARRAY(arena, anl_device_summary, out->count + 1);
    int automatic = -1;
    for (int i = 0; i < out->count; i++) {
        const anl_device_info *d = &infos[i];
        out->devices[i] = (anl_device_summary){.selector = d->selector,
                                               .name = d->name,
                                               .driver = d->driver,
                                               .api = d->api,
                                               .unusable = d->unusable,
                                               .is_cpu = d->is_cpu,
                                               .memory = d->limits.memory,
                                               .storage_range = d->limits.storage_range,
                                               .max_invocations = d->limits.max_invocations,
                                               .max_shared_bytes = d->limits.max_shared_bytes,
                                               .subgroup_size = d->limits.subgroup_size,
                                               .subgroup_shuffle = d->limits.subgroup_shuffle,
                                               .float16 = d->limits.float16};
        /* As anl_device_open: the first real GPU, else the host. */
        if (automatic < 0 && !d->is_cpu && !d->unusable)
            automatic = i;
    }
    for (int i = 0; i < out->count && automatic < 0; i++)
        if (!strcmp(out->devices[i].selector, "host"))
            automatic = i;
    if (automatic >= 0)
        out->devices[automatic].is_automatic = true;
    return ANL_OK;
}

void anl_device_list_free(anl_device_list *list)
{
    anl_arena *arena = list->owner;
    if (arena)
        anl_arena_free(&arena);
    *list = (anl_device_list){0};
}
