/* Device memory: spaces of one allocation where the device allows it, moved to and from host memory.
 * In: sizes, bytes. Out: buffers bound to memory, zeroed.
 * Also here: failed calls turned into diagnostics, and the validation layers' messages. */
#include <stdlib.h>
#include <string.h>

#include "device/vulkan/vk.h"

const anl_span vk_nowhere = {0};

const char *vk_result_name(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "initialization failed";
    case VK_ERROR_DEVICE_LOST:
        return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED:
        return "memory map failed";
    case VK_ERROR_LAYER_NOT_PRESENT:
        return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
        return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS:
        return "too many objects";
    case VK_ERROR_FRAGMENTED_POOL:
        return "fragmented pool";
    case VK_ERROR_OUT_OF_POOL_MEMORY:
        return "out of pool memory";
    case VK_TIMEOUT:
        return "timeout";
    default:
        return "unknown error";
    }
}

anl_status vk_failed(vk_device *device, VkResult result, const char *call, anl_diagnostics *diagnostics)
{
    if (result == VK_ERROR_DEVICE_LOST) {
        if (device)
            device->lost = true;
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_lost, vk_nowhere, "the device was lost in %s", call);
        anl_diagnostic_note(diagnostics, d, "open it again, and go on from the last checkpoint (--resume)");
        return ANL_ERROR_DEVICE_LOST;
    }
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_memory, vk_nowhere, "%s: %s", call, vk_result_name(result));
        anl_diagnostic_note(diagnostics, d, "a smaller batch or smaller images need less; so does closing what else uses the device");
        return ANL_ERROR_MEMORY;
    }
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_device_call, vk_nowhere, "%s failed: %s (%d)", call, vk_result_name(result), result);
    anl_diagnostic_note(diagnostics, d, "--validate shows whether the call or the driver is wrong; --device host needs no driver");
    return ANL_ERROR_DEVICE;
}

anl_status vk_settle(vk_device *device, anl_status status, anl_diagnostics *diagnostics)
{
    if (device->message_count == 0)
        return status;
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_device_call, vk_nowhere, "the validation layers sent %d messages", device->message_count);
    anl_diagnostic_note(diagnostics, d, "%s", device->messages.data);
    anl_text_free(&device->messages);
    device->message_count = 0;
    return status == ANL_OK ? ANL_ERROR_DEVICE : status;
}

anl_status vk_check_lost(vk_device *device, anl_diagnostics *diagnostics)
{
    if (!device->lost)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_device_lost, vk_nowhere, "the device was lost earlier; open it again to go on");
    return ANL_ERROR_DEVICE_LOST;
}

/* ---- spaces ---- */
void vk_space_free(vk_device *device, vk_space *space)
{
    for (int i = 0; i < space->chunk_count; i++) {
        vkDestroyBuffer(device->device, space->chunks[i].buffer, NULL);
        vkFreeMemory(device->device, space->chunks[i].memory, NULL);
        device->allocated -= space->chunks[i].bytes;
    }
    free(space->chunks);
    memset(space, 0, sizeof *space);
}

static anl_status new_chunk(vk_device *device, vk_chunk *chunk, bool host, const char *what, anl_diagnostics *diagnostics)
{
    VkResult r =
        vkCreateBuffer(device->device,
                       &(VkBufferCreateInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                             .size = (VkDeviceSize)chunk->bytes,
                                             .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
                                                      VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT},
                       NULL, &chunk->buffer);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreateBuffer", diagnostics);
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device->device, chunk->buffer, &needs);
    uint32_t type = host ? device->staging_type : device->memory_type;
    r = needs.memoryTypeBits >> type & 1
            ? vkAllocateMemory(device->device,
                               &(VkMemoryAllocateInfo){.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                                       .allocationSize = needs.size,
                                                       .memoryTypeIndex = type},
                               NULL, &chunk->memory)
            : VK_ERROR_FEATURE_NOT_PRESENT;
    if (r != VK_SUCCESS) {
        vkDestroyBuffer(device->device, chunk->buffer, NULL);
        if (r != VK_ERROR_OUT_OF_DEVICE_MEMORY && r != VK_ERROR_OUT_OF_HOST_MEMORY)
            return vk_failed(device, r, "vkAllocateMemory", diagnostics);
        uint32_t heap = device->memory_properties.memoryTypes[type].heapIndex;
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_device_memory, vk_nowhere, "%s need %.1f MiB and the device could not give them",
                         what, (double)chunk->bytes / 1048576.0);
        anl_diagnostic_note(diagnostics, d, "the heap has %.1f MiB in all; a smaller batch or smaller images need less",
                            (double)device->memory_properties.memoryHeaps[heap].size / 1048576.0);
        return ANL_ERROR_MEMORY;
    }
    r = vkBindBufferMemory(device->device, chunk->buffer, chunk->memory, 0);
    if (r == VK_SUCCESS && (host || device->unified))
        r = vkMapMemory(device->device, chunk->memory, 0, VK_WHOLE_SIZE, 0, (void **)&chunk->mapped);
    if (r != VK_SUCCESS) {
        vkDestroyBuffer(device->device, chunk->buffer, NULL);
        vkFreeMemory(device->device, chunk->memory, NULL);
        return vk_failed(device, r, "vkBindBufferMemory", diagnostics);
    }
    return ANL_OK;
}

anl_status vk_space_new(vk_device *device, int64_t bytes, const int64_t *cuts, int cut_count, bool host, const char *what,
                        anl_diagnostics *diagnostics, vk_space *out)
{
    memset(out, 0, sizeof *out);
    /* Room for the last tensor to be read in whole fours. */
    bytes = (bytes + 255) / 256 * 256 + 256;
    anl_status status = ANL_OK;
    if (bytes > device->memory_limit - device->allocated) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_memory, vk_nowhere,
                                         "%s need %.1f MiB and the device has %.1f MiB, of which %.1f MiB are taken", what,
                                         (double)bytes / 1048576.0, (double)device->memory_limit / 1048576.0,
                                         (double)device->allocated / 1048576.0);
        anl_diagnostic_note(diagnostics, d, "a smaller batch or smaller images need less");
        return ANL_ERROR_MEMORY;
    }
    int64_t start = 0;
    while (start < bytes && status == ANL_OK) {
        int64_t end = bytes;
        if (end - start > device->max_allocation) {
            end = start + device->max_allocation / 256 * 256;
            int64_t cut = start;
            for (int i = 0; i < cut_count && cuts[i] <= end; i++)
                if (cuts[i] > start)
                    cut = cuts[i];
            if (cuts && cut == start) {
                anl_diagnose(
                    diagnostics, ANL_A_device_memory, vk_nowhere,
                    "%s need one piece of more than %.1f MiB, the most that the device gives at once; use a smaller batch", what,
                    (double)device->max_allocation / 1048576.0);
                status = ANL_ERROR_MEMORY;
                break;
            }
            end = cuts ? cut : end;
        }
        out->chunks = anl_realloc(out->chunks, sizeof(vk_chunk) * (size_t)(out->chunk_count + 1));
        vk_chunk *chunk = &out->chunks[out->chunk_count];
        *chunk = (vk_chunk){.start = start, .bytes = end - start};
        status = new_chunk(device, chunk, host, what, diagnostics);
        if (status == ANL_OK) {
            out->chunk_count++;
            device->allocated += chunk->bytes;
        }
        start = end;
    }
    out->bytes = bytes;
    if (status == ANL_OK) {
        bool direct = out->chunk_count > 0 && out->chunks[0].mapped;
        if (direct) {
            for (int i = 0; i < out->chunk_count; i++)
                memset(out->chunks[i].mapped, 0, (size_t)out->chunks[i].bytes);
        } else {
            status = vk_immediate_begin(device, diagnostics);
            for (int i = 0; i < out->chunk_count && status == ANL_OK; i++)
                vkCmdFillBuffer(device->immediate, out->chunks[i].buffer, 0, VK_WHOLE_SIZE, 0);
            if (status == ANL_OK)
                status = vk_immediate_end(device, diagnostics);
        }
    }
    if (status != ANL_OK)
        vk_space_free(device, out);
    return status;
}

const vk_chunk *vk_space_find(const vk_space *space, int64_t offset, int64_t count)
{
    for (int i = 0; i < space->chunk_count; i++) {
        const vk_chunk *c = &space->chunks[i];
        if (offset >= c->start && offset + count <= c->start + c->bytes)
            return c;
    }
    return NULL;
}

/* ---- work that is waited for ---- */
anl_status vk_wait(vk_device *device, uint64_t value, anl_diagnostics *diagnostics)
{
    VkResult r = vkWaitSemaphores(device->device,
                                  &(VkSemaphoreWaitInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                                         .semaphoreCount = 1,
                                                         .pSemaphores = &device->timeline,
                                                         .pValues = &value},
                                  UINT64_MAX);
    return r == VK_SUCCESS ? ANL_OK : vk_failed(device, r, "vkWaitSemaphores", diagnostics);
}

anl_status vk_immediate_begin(vk_device *device, anl_diagnostics *diagnostics)
{
    VkResult r = vkBeginCommandBuffer(device->immediate,
                                      &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                                                  .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT});
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkBeginCommandBuffer", diagnostics);
    vkCmdPipelineBarrier(device->immediate, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1,
                         &(VkMemoryBarrier){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                            .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                            .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT},
                         0, NULL, 0, NULL);
    return ANL_OK;
}

anl_status vk_immediate_end(vk_device *device, anl_diagnostics *diagnostics)
{
    vkCmdPipelineBarrier(device->immediate, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                         &(VkMemoryBarrier){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                            .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                            .dstAccessMask = VK_ACCESS_HOST_READ_BIT},
                         0, NULL, 0, NULL);
    VkResult r = vkEndCommandBuffer(device->immediate);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkEndCommandBuffer", diagnostics);
    uint64_t value = ++device->timeline_value;
    VkTimelineSemaphoreSubmitInfo timeline = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                              .signalSemaphoreValueCount = 1,
                                              .pSignalSemaphoreValues = &value};
    r = vkQueueSubmit(device->queue, 1,
                      &(VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                      .pNext = &timeline,
                                      .commandBufferCount = 1,
                                      .pCommandBuffers = &device->immediate,
                                      .signalSemaphoreCount = 1,
                                      .pSignalSemaphores = &device->timeline},
                      VK_NULL_HANDLE);
    if (r != VK_SUCCESS) {
        device->timeline_value--;
        return vk_failed(device, r, "vkQueueSubmit", diagnostics);
    }
    return vk_wait(device, value, diagnostics);
}

/* Moves bytes through the staging buffer, or directly. Exactly one of `in` and `out` is set. */
static anl_status move(vk_device *device, vk_space *space, int64_t offset, const uint8_t *in, uint8_t *out, int64_t count,
                       anl_diagnostics *diagnostics)
{
    if (offset < 0 || count < 0 || offset + count > space->bytes) {
        anl_diagnose(diagnostics, ANL_A_device_call, vk_nowhere, "bytes %lld to %lld are outside of a space of %lld",
                     (long long)offset, (long long)(offset + count), (long long)space->bytes);
        return ANL_ERROR_ARGUMENT;
    }
    while (count > 0) {
        const vk_chunk *chunk = NULL;
        for (int i = 0; i < space->chunk_count; i++)
            if (offset >= space->chunks[i].start && offset < space->chunks[i].start + space->chunks[i].bytes)
                chunk = &space->chunks[i];
        if (!chunk)
            return ANL_ERROR_ARGUMENT;
        int64_t at = offset - chunk->start, n = count < chunk->bytes - at ? count : chunk->bytes - at;
        if (chunk->mapped) {
            if (in)
                memcpy(chunk->mapped + at, in, (size_t)n);
            else
                memcpy(out, chunk->mapped + at, (size_t)n);
        } else {
            const vk_chunk *staging = &device->staging.chunks[0];
            if (n > staging->bytes)
                n = staging->bytes;
            if (in)
                memcpy(staging->mapped, in, (size_t)n);
            anl_status status = vk_immediate_begin(device, diagnostics);
            if (status != ANL_OK)
                return status;
            VkBufferCopy copy = {
                .srcOffset = in ? 0 : (VkDeviceSize)at, .dstOffset = in ? (VkDeviceSize)at : 0, .size = (VkDeviceSize)n};
            vkCmdCopyBuffer(device->immediate, in ? staging->buffer : chunk->buffer, in ? chunk->buffer : staging->buffer, 1,
                            &copy);
            status = vk_immediate_end(device, diagnostics);
            if (status != ANL_OK)
                return status;
            if (out)
                memcpy(out, staging->mapped, (size_t)n);
        }
        offset += n;
        count -= n;
        in = in ? in + n : NULL;
        out = out ? out + n : NULL;
    }
    return ANL_OK;
}

anl_status vk_space_write(vk_device *device, vk_space *space, int64_t offset, const void *bytes, int64_t count,
                          anl_diagnostics *diagnostics)
{
    return move(device, space, offset, bytes, NULL, count, diagnostics);
}

anl_status vk_space_read(vk_device *device, vk_space *space, int64_t offset, void *bytes, int64_t count,
                         anl_diagnostics *diagnostics)
{
    return move(device, space, offset, NULL, bytes, count, diagnostics);
}
