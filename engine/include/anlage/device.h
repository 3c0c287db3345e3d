/* What a recipe can run on here.
 * In: nothing. Out: every device with its driver, the limits that matter, and why one is unusable.
 * Drivers are only asked, nothing is allocated on a device. Not thread-safe: one call at a time. */
#ifndef ANLAGE_DEVICE_H
#define ANLAGE_DEVICE_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct anl_device_summary {
    const char *selector;    /* what --device takes: "host", "vulkan:0" */
    const char *name, *driver, *api;
    const char *unusable;    /* why, or NULL */
    bool is_cpu, is_automatic; /* is_automatic: what --device auto takes */
    int64_t memory;          /* bytes of the largest heap */
    int64_t storage_range;   /* largest tensor that can be bound, bytes; 0: no limit */
    int max_invocations, max_shared_bytes, subgroup_size; /* of a workgroup; 0: does not apply */
    bool subgroup_shuffle, float16;
} anl_device_summary;

typedef struct anl_device_list {
    anl_device_summary *devices;
    int count;
    void *owner;
} anl_device_list;

/* ANL_OK also where there is no Vulkan driver: the host device is always there. */
anl_status anl_device_list_make(anl_device_list *out, anl_diagnostics *diagnostics);
void anl_device_list_free(anl_device_list *list);

#endif
