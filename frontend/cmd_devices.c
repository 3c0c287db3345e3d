/* anlage devices: what a spec can run on here.
 * In: nothing. Out: a block for each device: driver, limits, and why one is unusable. */
#include <anlage/device.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const char usage[] =
    "usage: anlage devices\n"
    "\n"
    "Lists every device for --device, with its driver and the limits that matter. `*` marks what --device auto takes.\n";

static void print_bytes(const char *what, int64_t bytes)
{
    if (bytes >= (int64_t)1 << 30)
        printf("  %-14s %.1f GiB\n", what, (double)bytes / (1 << 30));
    else if (bytes > 0)
        printf("  %-14s %.0f MiB\n", what, (double)bytes / (1 << 20));
}

int anl_cmd_devices(int argc, char **argv)
{
    if (argc > 1) {
        if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
        return usage_error("devices", usage, "takes no argument `%s`", argv[1]);
    }
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_device_list list;
    anl_status status = anl_device_list_make(&list, diagnostics);
    bool vulkan = false;
    for (int i = 0; i < list.count; i++) {
        const anl_device_summary *d = &list.devices[i];
        vulkan |= !strncmp(d->selector, "vulkan", 6);
        printf("%s%c %s%s\n", d->selector, d->is_automatic ? '*' : ' ', d->name, d->is_cpu && strcmp(d->selector, "host") != 0 ? " (a CPU driver)" : "");
        if (d->unusable)
            printf("  %-14s %s\n", "unusable", d->unusable);
        if (d->driver)
            printf("  %-14s %s%s%s\n", "driver", d->driver, d->api ? ", " : "", d->api ? d->api : "");
        print_bytes("memory", d->memory);
        print_bytes("largest tensor", d->storage_range);
        if (d->max_invocations > 0)
            printf("  %-14s %d invocations, %d KiB shared memory\n", "workgroup", d->max_invocations, d->max_shared_bytes / 1024);
        if (d->subgroup_size > 0)
            printf("  %-14s %d%s\n", "subgroup", d->subgroup_size, d->subgroup_shuffle ? ", with shuffle" : "");
        if (d->max_invocations > 0)
            printf("  %-14s %s\n", "float16", d->float16 ? "yes" : "no");
    }
    if (status == ANL_OK && !vulkan)
        puts("no Vulkan device: install a driver (on Debian mesa-vulkan-drivers, or the vendor's)");
    anl_device_list_free(&list);
    return finish(&diagnostics, status);
}
