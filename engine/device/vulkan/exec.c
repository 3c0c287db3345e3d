/* Running programs: binds every tensor's own range, records the commands once, replays them.
 * In: a program, feeds, scalars. Out: state and outputs changed on the device.
 * Kernels between two of the program's barriers form a group; the passes of a group run phase by phase with a barrier between
 * phases. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/vulkan/vk.h"

/* A command buffer ends after about so many operations (flops and 4 x bytes), far below a GPU driver's time limit for one. */
static const double part_cost = 5e10;

static const char *space_name(anl_space space)
{
    static const char *const names[] = {"the weights and other state", "the intermediate values of a step", "the inputs",
                                        "the constants", "the outputs"};
    return names[space];
}

static vk_space *space_of(vk_exec *exec, anl_space space)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    switch (space) {
    case ANL_SPACE_STATE:
        return &exec->state->space;
    case ANL_SPACE_TEMP:
        return &device->temp;
    case ANL_SPACE_INPUT:
        return &exec->input;
    case ANL_SPACE_TABLE:
        return &exec->table;
    case ANL_SPACE_OUTPUT:
        return &exec->output;
    }
    return NULL;
}

/* ---- memory objects ---- */
static anl_status new_memory(anl_device *base, int64_t bytes, anl_diagnostics *diagnostics, anl_memory **out)
{
    vk_device *device = VK_DEVICE(base);
    *out = NULL;
    anl_status status = vk_check_lost(device, diagnostics);
    if (status != ANL_OK)
        return status;
    vk_memory *memory = anl_malloc(sizeof *memory);
    memset(memory, 0, sizeof *memory);
    memory->base.device = base;
    status = vk_space_new(device, bytes, NULL, 0, false, space_name(ANL_SPACE_STATE), diagnostics, &memory->space);
    status = vk_settle(device, status, diagnostics);
    if (status != ANL_OK) {
        vk_space_free(device, &memory->space);
        free(memory);
        return status;
    }
    *out = &memory->base;
    return ANL_OK;
}

static void free_memory(anl_memory *base)
{
    vk_memory *memory = (vk_memory *)base;
    vk_space_free(VK_DEVICE(base->device), &memory->space);
    free(memory);
}

static anl_status write_memory(anl_memory *base, int64_t offset, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(base->device);
    anl_status status = vk_check_lost(device, diagnostics);
    if (status == ANL_OK)
        status = vk_space_write(device, &((vk_memory *)base)->space, offset, bytes, count, diagnostics);
    return vk_settle(device, status, diagnostics);
}

static anl_status read_memory(anl_memory *base, int64_t offset, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(base->device);
    anl_status status = vk_check_lost(device, diagnostics);
    if (status == ANL_OK)
        status = vk_space_read(device, &((vk_memory *)base)->space, offset, bytes, count, diagnostics);
    return vk_settle(device, status, diagnostics);
}

/* ---- TEMP, shared ---- */
static int compare_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Byte offsets of a space that no buffer of the program straddles, sorted. */
static int clean_cuts(const anl_program *program, anl_space space, int64_t **out)
{
    int count = 0;
    int64_t *cuts = anl_malloc(sizeof *cuts * (size_t)(program->buffer_count + 1));
    for (int i = 0; i < program->buffer_count; i++) {
        const anl_buffer *b = &program->buffers[i];
        if (b->space != space || b->offset % ANL_ALIGNMENT != 0)
            continue;
        bool clean = true;
        for (int j = 0; j < program->buffer_count && clean; j++) {
            const anl_buffer *o = &program->buffers[j];
            clean = o->space != space || o->offset >= b->offset || o->offset + o->bytes <= b->offset;
        }
        if (clean)
            cuts[count++] = b->offset;
    }
    qsort(cuts, (size_t)count, sizeof *cuts, compare_int64);
    *out = cuts;
    return count;
}

static anl_status grow_temp(vk_device *device, const anl_program *program, anl_diagnostics *diagnostics)
{
    int64_t bytes = program->space_bytes[ANL_SPACE_TEMP];
    bool fits = device->temp.chunk_count > 0 && bytes <= device->temp.bytes - 256;
    for (int i = 0; fits && device->temp.chunk_count > 1 && i < program->buffer_count; i++) {
        const anl_buffer *b = &program->buffers[i];
        fits = b->space != ANL_SPACE_TEMP || vk_space_find(&device->temp, b->offset, b->bytes);
    }
    if (fits)
        return ANL_OK;
    int64_t *cuts = NULL;
    int count = bytes > device->max_allocation ? clean_cuts(program, ANL_SPACE_TEMP, &cuts) : 0;
    /* The old one goes first, so that both need not fit. */
    vk_space_free(device, &device->temp);
    device->temp_generation++;
    anl_status status = vk_space_new(device, bytes, cuts, count, false, space_name(ANL_SPACE_TEMP), diagnostics, &device->temp);
    free(cuts);
    return status;
}

/* ---- binding and recording ---- */
static anl_status bind_pass(vk_exec *exec, const anl_kernel *kernel, const vk_lowering *lowering, vk_pass *pass,
                            anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    VkResult r = vkAllocateDescriptorSets(device->device,
                                          &(VkDescriptorSetAllocateInfo){.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                                         .descriptorPool = exec->descriptors,
                                                                         .descriptorSetCount = 1,
                                                                         .pSetLayouts = &pass->set_layout},
                                          &pass->set);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkAllocateDescriptorSets", diagnostics);
    VkWriteDescriptorSet writes[VK_MAX_BINDINGS];
    VkDescriptorBufferInfo buffers[VK_MAX_BINDINGS];
    VkBufferView views[VK_MAX_BINDINGS];
    for (int i = 0; i < pass->binding_count; i++) {
        const vk_binding *b = &pass->bindings[i];
        writes[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                           .dstSet = pass->set,
                                           .dstBinding = (uint32_t)i,
                                           .descriptorCount = 1,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .pBufferInfo = &buffers[i],
                                           .pTexelBufferView = &views[i]};
        const vk_space *space;
        int64_t offset, range;
        const char *what = NULL;
        if (b->type == VK_BIND_SCRATCH) {
            space = &exec->scratch;
            offset = lowering->scratch_offset;
            range = lowering->scratch_bytes;
        } else if (b->type == VK_BIND_PARAMS) {
            space = &exec->params;
            offset = pass->param_offset;
            range = (pass->param_count + 3) / 4 * 16;
        } else if (b->type == VK_BIND_STEP) {
            space = &exec->params;
            offset = 0;
            range = exec->step_bytes;
        } else {
            const anl_buffer *buffer = &exec->program->buffers[kernel->args[b->arg].buffer];
            space = space_of(exec, buffer->space);
            int64_t delta = buffer->offset % device->align;
            offset = buffer->offset - delta;
            range = (delta + buffer->bytes + 15) / 16 * 16;
            if (range == 0)
                range = 16;
            what = buffer->name;
        }
        if (b->type != VK_BIND_PARAMS && b->type != VK_BIND_STEP && range > device->base.info.limits.storage_range) {
            anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_range, vk_nowhere,
                                             "tensor `%s` takes %.1f MiB and the device binds at most %.1f MiB at once",
                                             what ? what : kernel->name, (double)range / 1048576.0,
                                             (double)device->base.info.limits.storage_range / 1048576.0);
            anl_diagnostic_note(diagnostics, d, "kernel `%s`; a smaller batch, fewer views or smaller images make it smaller",
                                kernel->name);
            return ANL_ERROR_LIMIT;
        }
        const vk_chunk *chunk = vk_space_find(space, offset, range);
        if (!chunk) {
            anl_diagnose(diagnostics, ANL_A_device_range, vk_nowhere, "tensor `%s` lies across two allocations of device memory",
                         what ? what : kernel->name);
            return ANL_ERROR_LIMIT;
        }
        offset -= chunk->start;
        if (b->type == VK_BIND_TEXEL1 || b->type == VK_BIND_TEXEL4) {
            r = vkCreateBufferView(device->device,
                                   &(VkBufferViewCreateInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                                             .buffer = chunk->buffer,
                                                             .format = b->type == VK_BIND_TEXEL4 ? VK_FORMAT_R32G32B32A32_SFLOAT
                                                                                                 : VK_FORMAT_R32_SFLOAT,
                                                             .offset = (VkDeviceSize)offset,
                                                             .range = (VkDeviceSize)range},
                                   NULL, &views[i]);
            if (r != VK_SUCCESS)
                return vk_failed(device, r, "vkCreateBufferView", diagnostics);
            ANL_PUSH(exec->arena, exec->views, exec->view_count, exec->view_capacity, views[i]);
            writes[i].descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
        } else {
            buffers[i] = (VkDescriptorBufferInfo){chunk->buffer, (VkDeviceSize)offset, (VkDeviceSize)range};
            if (b->type == VK_BIND_PARAMS || b->type == VK_BIND_STEP)
                writes[i].descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
        }
    }
    vkUpdateDescriptorSets(device->device, (uint32_t)pass->binding_count, writes, 0, NULL);
    return ANL_OK;
}

static void barrier(VkCommandBuffer commands)
{
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                         &(VkMemoryBarrier){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                            .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                            .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT},
                         0, NULL, 0, NULL);
}

static anl_status record_pass(vk_device *device, VkCommandBuffer commands, const vk_pass *pass, const char *name,
                              anl_diagnostics *diagnostics)
{
    if (pass->groups == 0)
        return ANL_OK;
    uint64_t x = (uint64_t)pass->groups, y = 1, z = 1;
    if (x > device->max_groups[0]) {
        y = (x + device->max_groups[0] - 1) / device->max_groups[0];
        if (y > device->max_groups[1]) {
            z = (y + device->max_groups[1] - 1) / device->max_groups[1];
            y = device->max_groups[1];
        }
        x = (x + y * z - 1) / (y * z);
    }
    if (z > device->max_groups[2]) {
        anl_diagnose(diagnostics, ANL_A_program_limit, vk_nowhere, "kernel `%s` needs more workgroups than the device can run: a smaller batch or smaller images make it fit",
                     name);
        return ANL_ERROR_LIMIT;
    }
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pass->pipeline);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pass->layout, 0, 1, &pass->set, 0, NULL);
    vkCmdDispatch(commands, (uint32_t)x, (uint32_t)y, (uint32_t)z);
    return ANL_OK;
}

/* Kernels [first, last): a group, or one kernel. */
static anl_status record_group(vk_exec *exec, VkCommandBuffer commands, int first, int last, anl_diagnostics *diagnostics)
{
    anl_status status = ANL_OK;
    int phases = 0;
    for (int k = first; k < last; k++)
        for (int p = 0; p < exec->lowerings[k].pass_count; p++)
            if (exec->lowerings[k].passes[p].phase + 1 > phases)
                phases = exec->lowerings[k].passes[p].phase + 1;
    for (int phase = 0; phase < phases; phase++) {
        if (phase > 0)
            barrier(commands);
        for (int k = first; k < last && status == ANL_OK; k++)
            for (int p = 0; p < exec->lowerings[k].pass_count && status == ANL_OK; p++)
                if (exec->lowerings[k].passes[p].phase == phase)
                    status = record_pass(VK_DEVICE(exec->base.device), commands, &exec->lowerings[k].passes[p],
                                         exec->program->kernels[k].name, diagnostics);
    }
    return status;
}

static anl_status begin_part(vk_exec *exec, int first, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    vk_part part = {.first = first, .last = first};
    VkResult r = vkAllocateCommandBuffers(device->device,
                                          &(VkCommandBufferAllocateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                                         .commandPool = exec->pool,
                                                                         .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                                         .commandBufferCount = 1},
                                          &part.commands);
    if (r == VK_SUCCESS)
        r = vkBeginCommandBuffer(part.commands,
                                 &(VkCommandBufferBeginInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO});
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkBeginCommandBuffer", diagnostics);
    vkCmdPipelineBarrier(
        part.commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
        &(VkMemoryBarrier){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                           .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                           .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_UNIFORM_READ_BIT},
        0, NULL, 0, NULL);
    ANL_PUSH(exec->arena, exec->parts, exec->part_count, exec->part_capacity, part);
    return ANL_OK;
}

static anl_status end_part(vk_exec *exec, int last, anl_diagnostics *diagnostics)
{
    vk_part *part = &exec->parts[exec->part_count - 1];
    part->last = last;
    vkCmdPipelineBarrier(part->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                         &(VkMemoryBarrier){.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                            .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                            .dstAccessMask = VK_ACCESS_HOST_READ_BIT},
                         0, NULL, 0, NULL);
    VkResult r = vkEndCommandBuffer(part->commands);
    return r == VK_SUCCESS ? ANL_OK : vk_failed(VK_DEVICE(exec->base.device), r, "vkEndCommandBuffer", diagnostics);
}

static anl_status record(vk_exec *exec, anl_diagnostics *diagnostics)
{
    const anl_program *program = exec->program;
    anl_status status = ANL_OK;
    double cost = 0;
    bool open = false;
    for (int first = 0; first < program->kernel_count && status == ANL_OK;) {
        int last = first + 1;
        while (last < program->kernel_count && !program->kernels[last].barrier_before)
            last++;
        double group = 0;
        for (int k = first; k < last; k++)
            group += program->kernels[k].flops + 4 * program->kernels[k].bytes;
        if (open && cost + group > part_cost) {
            status = end_part(exec, first, diagnostics);
            open = false;
        }
        if (status == ANL_OK && !open) {
            status = begin_part(exec, first, diagnostics);
            cost = 0;
            open = true;
        } else if (status == ANL_OK && program->kernels[first].barrier_before) {
            barrier(exec->parts[exec->part_count - 1].commands);
        }
        if (status == ANL_OK)
            status = record_group(exec, exec->parts[exec->part_count - 1].commands, first, last, diagnostics);
        cost += group;
        first = last;
    }
    if (status == ANL_OK && open)
        status = end_part(exec, program->kernel_count, diagnostics);
    return status;
}

static void unbind(vk_exec *exec)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    if (exec->pool)
        vkDestroyCommandPool(device->device, exec->pool, NULL);
    if (exec->descriptors)
        vkDestroyDescriptorPool(device->device, exec->descriptors, NULL);
    for (int i = 0; i < exec->view_count; i++)
        vkDestroyBufferView(device->device, exec->views[i], NULL);
    exec->pool = VK_NULL_HANDLE;
    exec->descriptors = VK_NULL_HANDLE;
    exec->view_count = exec->part_count = 0;
}

/* Descriptor sets and command buffers; again whenever TEMP has moved. */
static anl_status bind(vk_exec *exec, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    unbind(exec);
    uint32_t sets = 0, storage = 1, texel = 1, uniform = 1;
    for (int k = 0; k < exec->program->kernel_count; k++)
        for (int p = 0; p < exec->lowerings[k].pass_count; p++) {
            const vk_pass *pass = &exec->lowerings[k].passes[p];
            sets++;
            for (int i = 0; i < pass->binding_count; i++) {
                vk_binding_type t = pass->bindings[i].type;
                *(t == VK_BIND_TEXEL1 || t == VK_BIND_TEXEL4 ? &texel
                  : t == VK_BIND_PARAMS || t == VK_BIND_STEP ? &uniform
                                                             : &storage) += 1;
            }
        }
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, storage},
                                    {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, texel},
                                    {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, uniform}};
    VkResult r = vkCreateDescriptorPool(
        device->device,
        &(VkDescriptorPoolCreateInfo){
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = sets + 1, .poolSizeCount = 3, .pPoolSizes = sizes},
        NULL, &exec->descriptors);
    if (r == VK_SUCCESS)
        r = vkCreateCommandPool(
            device->device,
            &(VkCommandPoolCreateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = device->family},
            NULL, &exec->pool);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreateDescriptorPool", diagnostics);
    anl_status status = ANL_OK;
    for (int k = 0; k < exec->program->kernel_count && status == ANL_OK; k++)
        for (int p = 0; p < exec->lowerings[k].pass_count && status == ANL_OK; p++)
            status = bind_pass(exec, &exec->program->kernels[k], &exec->lowerings[k], &exec->lowerings[k].passes[p], diagnostics);
    if (status == ANL_OK)
        status = record(exec, diagnostics);
    exec->temp_generation = device->temp_generation;
    return status;
}

static anl_status fill_tables(vk_exec *exec, anl_diagnostics *diagnostics)
{
    const anl_program *program = exec->program;
    anl_status status = ANL_OK;
    for (int i = 0; i < program->buffer_count && status == ANL_OK; i++) {
        const anl_buffer *b = &program->buffers[i];
        if (b->space == ANL_SPACE_TABLE && b->table)
            status = vk_space_write(VK_DEVICE(exec->base.device), &exec->table, b->offset, b->table, b->count * 4, diagnostics);
    }
    return status;
}

static void free_exec(anl_exec *base)
{
    vk_exec *exec = (vk_exec *)base;
    vk_device *device = VK_DEVICE(base->device);
    unbind(exec);
    vk_space_free(device, &exec->input);
    vk_space_free(device, &exec->table);
    vk_space_free(device, &exec->output);
    vk_space_free(device, &exec->params);
    vk_space_free(device, &exec->scratch);
    if (exec->uses_temp && --device->temp_users == 0) {
        vk_space_free(device, &device->temp);
        device->temp_generation++;
    }
    anl_arena *arena = exec->arena;
    anl_arena_free(&arena);
}

static anl_status new_exec(anl_device *base, const anl_program *program, anl_memory *state, anl_diagnostics *diagnostics,
                           anl_exec **out)
{
    vk_device *device = VK_DEVICE(base);
    *out = NULL;
    anl_status status = vk_check_lost(device, diagnostics);
    if (status != ANL_OK)
        return status;
    if (program->f64) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_device_unfit, vk_nowhere, "double precision runs on the host device only");
        anl_diagnostic_note(diagnostics, d, "--device host, or no --precise");
        return ANL_ERROR_DEVICE;
    }
    if (state && ((vk_memory *)state)->space.bytes < program->space_bytes[ANL_SPACE_STATE]) {
        anl_diagnose(diagnostics, ANL_A_program_invalid, vk_nowhere, "the program needs %lld bytes of state and was given %lld",
                     (long long)program->space_bytes[ANL_SPACE_STATE], (long long)((vk_memory *)state)->space.bytes);
        return ANL_ERROR_ARGUMENT;
    }
    anl_arena *arena = anl_arena_new();
    vk_exec *exec = ANL_NEW(arena, vk_exec);
    exec->arena = arena;
    exec->base.device = base;
    exec->program = program;
    exec->state = (vk_memory *)state;
    exec->uses_temp = true;
    device->temp_users++;
    exec->lowerings = ANL_NEW_ARRAY(arena, vk_lowering, program->kernel_count + 1);
    exec->step_bytes = (program->scalar_count + 2 + 3) / 4 * 16;
    int64_t params = (exec->step_bytes + 255) / 256 * 256, scratch = 0, used = 0;
    if (exec->step_bytes > device->uniform_range) {
        anl_diagnose(diagnostics, ANL_A_program_limit, vk_nowhere, "the program has %d numbers that change from step to step (schedules); the device holds %lld",
                     program->scalar_count, (long long)device->uniform_range / 4 - 2);
        status = ANL_ERROR_LIMIT;
    }
    for (int k = 0; k < program->kernel_count && status == ANL_OK; k++) {
        vk_lowering *l = &exec->lowerings[k];
        const anl_kernel *kernel = &program->kernels[k];
        status = vk_lower_kernel(device, program, kernel, arena, diagnostics, l);
        for (int p = 0; p < l->pass_count && status == ANL_OK; p++) {
            l->passes[p].param_offset = params;
            params += (l->passes[p].param_count * 4 + 255) / 256 * 256;
            status = vk_pipeline_get(device, &l->passes[p], kernel->name ? kernel->name : "?", diagnostics);
        }
        /* Kernels of one group run side by side: each has scratch of its own. Groups follow one another and share it. */
        if (kernel->barrier_before)
            used = 0;
        l->scratch_offset = used;
        used += (l->scratch_bytes + 255) / 256 * 256;
        if (used > scratch)
            scratch = used;
    }
    if (status == ANL_OK)
        status = grow_temp(device, program, diagnostics);
    if (status == ANL_OK)
        status = vk_space_new(device, program->space_bytes[ANL_SPACE_INPUT], NULL, 0, false, space_name(ANL_SPACE_INPUT),
                              diagnostics, &exec->input);
    if (status == ANL_OK)
        status = vk_space_new(device, program->space_bytes[ANL_SPACE_TABLE], NULL, 0, false, space_name(ANL_SPACE_TABLE),
                              diagnostics, &exec->table);
    if (status == ANL_OK)
        status = vk_space_new(device, program->space_bytes[ANL_SPACE_OUTPUT], NULL, 0, false, space_name(ANL_SPACE_OUTPUT),
                              diagnostics, &exec->output);
    if (status == ANL_OK)
        status = vk_space_new(device, params, NULL, 0, true, "the kernels' parameters", diagnostics, &exec->params);
    if (status == ANL_OK)
        status = vk_space_new(device, scratch, NULL, 0, false, "partial results", diagnostics, &exec->scratch);
    for (int k = 0; k < program->kernel_count && status == ANL_OK; k++)
        for (int p = 0; p < exec->lowerings[k].pass_count && status == ANL_OK; p++) {
            const vk_pass *pass = &exec->lowerings[k].passes[p];
            status = vk_space_write(device, &exec->params, pass->param_offset, pass->params, pass->param_count * 4, diagnostics);
        }
    if (status == ANL_OK)
        status = fill_tables(exec, diagnostics);
    if (status == ANL_OK)
        status = bind(exec, diagnostics);
    if (status == ANL_OK)
        status = vk_pipelines_save(device, diagnostics);
    if (status == ANL_OK && !device->measuring)
        status = vk_choices_save(device, diagnostics);
    status = vk_settle(device, status, diagnostics);
    if (status != ANL_OK) {
        free_exec(&exec->base);
        return status;
    }
    *out = &exec->base;
    return ANL_OK;
}

/* ---- feeds, runs, fetches ---- */
static anl_status ready(vk_exec *exec, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    anl_status status = vk_check_lost(device, diagnostics);
    if (status == ANL_OK && exec->temp_generation != device->temp_generation) {
        status = grow_temp(device, exec->program, diagnostics);
        if (status == ANL_OK)
            status = bind(exec, diagnostics);
    }
    return status;
}

static anl_status move_buffer(vk_exec *exec, int buffer, const void *in, void *out, int64_t count, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    const anl_buffer *b = &exec->program->buffers[buffer];
    anl_status status = vk_check_lost(device, diagnostics);
    if (status == ANL_OK && count != b->count * 4) {
        anl_diagnose(diagnostics, ANL_A_feed_invalid, vk_nowhere, "buffer `%s` has %lld bytes, not %lld", b->name,
                     (long long)b->count * 4, (long long)count);
        return ANL_ERROR_ARGUMENT;
    }
    if (status == ANL_OK && !space_of(exec, b->space)->chunk_count)
        status = ready(exec, diagnostics);
    if (status == ANL_OK)
        status = in ? vk_space_write(device, space_of(exec, b->space), b->offset, in, count, diagnostics)
                    : vk_space_read(device, space_of(exec, b->space), b->offset, out, count, diagnostics);
    return vk_settle(device, status, diagnostics);
}

static anl_status feed(anl_exec *base, int input, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    vk_exec *exec = (vk_exec *)base;
    return move_buffer(exec, exec->program->inputs[input].buffer, bytes, NULL, count, diagnostics);
}

static anl_status fetch(anl_exec *base, int output, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    vk_exec *exec = (vk_exec *)base;
    const anl_port *port = &exec->program->outputs[output];
    if (port->buffer < 0) { /* a per-step scalar: the caller computed it */
        anl_diagnose(diagnostics, ANL_A_fetch_unknown, vk_nowhere, "output `%s` is a per-step scalar and has no buffer",
                     port->name);
        return ANL_ERROR_ARGUMENT;
    }
    return move_buffer(exec, port->buffer, NULL, bytes, count, diagnostics);
}

static anl_status peek(anl_exec *base, int buffer, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    return move_buffer((vk_exec *)base, buffer, NULL, bytes, count, diagnostics);
}

static void write_step(vk_exec *exec, int64_t step, const double *scalars)
{
    uint32_t *words = (uint32_t *)exec->params.chunks[0].mapped;
    words[0] = (uint32_t)(uint64_t)step;
    words[1] = (uint32_t)((uint64_t)step >> 32);
    for (int i = 0; i < exec->program->scalar_count; i++) {
        float value = (float)scalars[i];
        memcpy(&words[2 + i], &value, sizeof value);
    }
}

/* Names the kernels that were in flight when the device was lost. */
static void explain_loss(vk_exec *exec, uint64_t first_value, anl_diagnostics *diagnostics)
{
    vk_device *device = VK_DEVICE(exec->base.device);
    uint64_t done = 0;
    if (vkGetSemaphoreCounterValue(device->device, device->timeline, &done) != VK_SUCCESS || done < first_value ||
        done == UINT64_MAX)
        done = first_value;
    int index = (int)(done - first_value);
    if (index >= exec->part_count)
        index = exec->part_count - 1;
    if (index < 0)
        return;
    const vk_part *part = &exec->parts[index];
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_device_lost, vk_nowhere, "the device was lost while kernels %d to %d of %d ran",
                     part->first, part->last - 1, exec->program->kernel_count);
    for (int k = part->first; k < part->last && k < part->first + 40; k++)
        anl_diagnostic_note(diagnostics, d, "kernel %d: %s", k, exec->program->kernels[k].name);
}

static anl_status run(anl_exec *base, int64_t step, const double *scalars, anl_diagnostics *diagnostics)
{
    vk_exec *exec = (vk_exec *)base;
    vk_device *device = VK_DEVICE(base->device);
    anl_status status = ready(exec, diagnostics);
    if (status != ANL_OK)
        return vk_settle(device, status, diagnostics);
    write_step(exec, step, scalars);
    uint64_t before = device->timeline_value;
    for (int i = 0; i < exec->part_count && status == ANL_OK; i++) {
        uint64_t wait = device->timeline_value, signal = wait + 1;
        VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
        VkTimelineSemaphoreSubmitInfo timeline = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                                  .waitSemaphoreValueCount = 1,
                                                  .pWaitSemaphoreValues = &wait,
                                                  .signalSemaphoreValueCount = 1,
                                                  .pSignalSemaphoreValues = &signal};
        VkResult r = vkQueueSubmit(device->queue, 1,
                                   &(VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                                   .pNext = &timeline,
                                                   .waitSemaphoreCount = 1,
                                                   .pWaitSemaphores = &device->timeline,
                                                   .pWaitDstStageMask = &stage,
                                                   .commandBufferCount = 1,
                                                   .pCommandBuffers = &exec->parts[i].commands,
                                                   .signalSemaphoreCount = 1,
                                                   .pSignalSemaphores = &device->timeline},
                                   VK_NULL_HANDLE);
        if (r == VK_SUCCESS)
            device->timeline_value = signal;
        else
            status = vk_failed(device, r, "vkQueueSubmit", diagnostics);
    }
    if (status == ANL_OK)
        status = vk_wait(device, device->timeline_value, diagnostics);
    if (status == ANL_ERROR_DEVICE_LOST)
        explain_loss(exec, before, diagnostics);
    return vk_settle(device, status, diagnostics);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static anl_status profile(anl_exec *base, int64_t step, const double *scalars, double *seconds, anl_diagnostics *diagnostics)
{
    vk_exec *exec = (vk_exec *)base;
    vk_device *device = VK_DEVICE(base->device);
    anl_status status = ready(exec, diagnostics);
    if (status == ANL_OK)
        write_step(exec, step, scalars);
    /* What a submission costs by itself is taken off: the least of a few empty ones. */
    double empty = 1;
    for (int i = 0; i < 5 && status == ANL_OK; i++) {
        status = vk_immediate_begin(device, diagnostics);
        double start = seconds_now();
        if (status == ANL_OK)
            status = vk_immediate_end(device, diagnostics);
        double took = seconds_now() - start;
        if (took < empty)
            empty = took;
    }
    for (int k = 0; k < exec->program->kernel_count && status == ANL_OK; k++) {
        status = vk_immediate_begin(device, diagnostics);
        if (status == ANL_OK)
            status = record_group(exec, device->immediate, k, k + 1, diagnostics);
        double start = seconds_now();
        if (status == ANL_OK)
            status = vk_immediate_end(device, diagnostics);
        double took = seconds_now() - start - empty;
        seconds[k] = took > 0 ? took : 0;
    }
    return vk_settle(device, status, diagnostics);
}

const anl_device_class vk_device_class = {
    .name = "vulkan",
    .memory_new = new_memory,
    .memory_free = free_memory,
    .memory_write = write_memory,
    .memory_read = read_memory,
    .exec_new = new_exec,
    .exec_free = free_exec,
    .feed = feed,
    .run = run,
    .fetch = fetch,
    .peek = peek,
    .profile = profile,
    .close = vk_device_close,
};
