/* Finding, opening and closing Vulkan devices.
 * In: an index and options. Out: a device ready for programs, or a list that says why one is of no use.
 * No loader or driver is an empty list, not an error. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/vulkan/vk.h"

static VKAPI_ATTR VkBool32 VKAPI_CALL take_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                   VkDebugUtilsMessageTypeFlagsEXT type,
                                                   const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    (void)severity;
    (void)type;
    vk_device *device = user;
    if (device->message_count++ < 20)
        anl_text_printf(&device->messages, "%s\n", data->pMessage);
    return VK_FALSE;
}

static bool has_extension(const char *layer, const char *name)
{
    uint32_t count = 0;
    if (vkEnumerateInstanceExtensionProperties(layer, &count, NULL) != VK_SUCCESS || count == 0)
        return false;
    VkExtensionProperties *list = anl_malloc(sizeof *list * count);
    bool found = false;
    if (vkEnumerateInstanceExtensionProperties(layer, &count, list) == VK_SUCCESS)
        for (uint32_t i = 0; i < count; i++)
            found |= strcmp(list[i].extensionName, name) == 0;
    free(list);
    return found;
}

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

/* An instance of Vulkan 1.2 (1.3 where known, so that its devices may be used). VK_NULL_HANDLE in *out and ANL_OK: there is no
 * Vulkan here. */
static anl_status new_instance(bool validation, vk_device *device, anl_diagnostics *diagnostics, VkInstance *out)
{
    *out = VK_NULL_HANDLE;
    uint32_t version = VK_API_VERSION_1_0;
    if (vkEnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_2)
        return ANL_OK;
    if (validation &&
        !(has_extension(validation_layer, "VK_EXT_validation_features") && has_extension(NULL, "VK_EXT_debug_utils"))) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_device_missing, vk_nowhere, "the Vulkan validation layers are not installed");
        anl_diagnostic_note(diagnostics, d, "Debian and Ubuntu have them in the package vulkan-validationlayers");
        return ANL_ERROR_DEVICE;
    }
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = take_message,
        .pUserData = device,
    };
    VkValidationFeatureEnableEXT sync = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .pNext = &messenger,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &sync};
    const char *layers[] = {validation_layer}, *extensions[] = {"VK_EXT_debug_utils"};
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "anlage", .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    if (validation) {
        info.pNext = &features;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = layers;
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = extensions;
    }
    VkResult r = vkCreateInstance(&info, NULL, out);
    if (r == VK_ERROR_INCOMPATIBLE_DRIVER) {
        *out = VK_NULL_HANDLE;
        return ANL_OK;
    }
    if (r != VK_SUCCESS) {
        *out = VK_NULL_HANDLE;
        return vk_failed(device, r, "vkCreateInstance", diagnostics);
    }
    if (validation) {
        PFN_vkCreateDebugUtilsMessengerEXT create =
            (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(*out, "vkCreateDebugUtilsMessengerEXT");
        if (create)
            create(*out, &messenger, NULL, &device->messenger);
    }
    return ANL_OK;
}

/* ---- what a physical device can do ---- */
typedef struct abilities {
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    VkPhysicalDeviceDriverProperties driver;
    int64_t max_allocation;
    int subgroup; /* 0: no dependable shuffles */
    uint32_t family;
    uint32_t memory_type, staging_type;
    bool unified;
    const char *unusable;
} abilities;

static bool find_memory(const VkPhysicalDeviceMemoryProperties *memory, VkMemoryPropertyFlags wanted, uint32_t *type)
{
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if ((memory->memoryTypes[i].propertyFlags & wanted) == wanted) {
            *type = i;
            return true;
        }
    return false;
}

/* Do all subgroups have the one size that the device reports? Some drivers choose a size per shader; lanes cannot be counted on
 * then. */
static bool fixed_subgroups(VkPhysicalDevice physical, uint32_t version)
{
    bool known = version >= VK_API_VERSION_1_3;
    uint32_t count = 0;
    if (!known && vkEnumerateDeviceExtensionProperties(physical, NULL, &count, NULL) == VK_SUCCESS && count > 0) {
        VkExtensionProperties *list = anl_malloc(sizeof *list * count);
        if (vkEnumerateDeviceExtensionProperties(physical, NULL, &count, list) == VK_SUCCESS)
            for (uint32_t i = 0; i < count; i++)
                known |= strcmp(list[i].extensionName, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME) == 0;
        free(list);
    }
    if (!known)
        return true;
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sizes};
    vkGetPhysicalDeviceProperties2(physical, &all);
    return sizes.minSubgroupSize == sizes.maxSubgroupSize;
}

static void look(VkPhysicalDevice physical, abilities *out)
{
    memset(out, 0, sizeof *out);
    vkGetPhysicalDeviceProperties(physical, &out->properties);
    vkGetPhysicalDeviceMemoryProperties(physical, &out->memory);
    if (out->properties.apiVersion < VK_API_VERSION_1_2) {
        out->unusable = "its driver is older than Vulkan 1.2";
        return;
    }
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                                                          .pNext = &subgroup};
    out->driver =
        (VkPhysicalDeviceDriverProperties){.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES, .pNext = &maintenance};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &out->driver};
    vkGetPhysicalDeviceProperties2(physical, &all);
    out->driver.pNext = NULL;
    out->max_allocation =
        maintenance.maxMemoryAllocationSize > INT64_MAX ? INT64_MAX : (int64_t)maintenance.maxMemoryAllocationSize;
    uint32_t size = fixed_subgroups(physical, out->properties.apiVersion) ? subgroup.subgroupSize : 0;
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) && size >= 4 && size <= 64 && (size & (size - 1)) == 0)
        out->subgroup = (int)size;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &timeline};
    vkGetPhysicalDeviceFeatures2(physical, &features);
    uint32_t count = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, NULL);
    VkQueueFamilyProperties *families = anl_malloc(sizeof *families * (count + 1));
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    out->family = UINT32_MAX;
    for (uint32_t i = 0; i < count && out->family == UINT32_MAX; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
            out->family = i;
    free(families);
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, visible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
                                coherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    out->unified = find_memory(&out->memory, local | visible | coherent | cached, &out->memory_type);
    bool memory = out->unified || find_memory(&out->memory, local, &out->memory_type);
    bool staging = find_memory(&out->memory, visible | coherent | cached, &out->staging_type) ||
                   find_memory(&out->memory, visible | coherent, &out->staging_type);
    if (!timeline.timelineSemaphore)
        out->unusable = "its driver lacks timeline semaphores";
    else if (out->family == UINT32_MAX)
        out->unusable = "it has no compute queue";
    else if (!memory || !staging)
        out->unusable = "it has no usable memory type";
    else if (out->properties.limits.maxPerStageDescriptorStorageBuffers < ANL_MAX_ARGS + 1)
        out->unusable = "a shader may bind too few storage buffers";
}

static int64_t lowered(int64_t value, int64_t clamp) { return clamp > 0 && clamp < value ? clamp : value; }

/* Bytes that may be allocated in all. A CPU driver's heap is host memory, whatever size it names; it would give more than there
 * is and leave the reckoning to the first touch. */
static int64_t memory_limit(const abilities *a, const anl_device_limits *clamp)
{
    uint32_t heap = a->memory.memoryTypes[a->memory_type].heapIndex;
    int64_t bytes = (int64_t)a->memory.memoryHeaps[heap].size;
    int64_t host = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    if (a->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU && host > bytes)
        bytes = host;
    return lowered(bytes, clamp->memory);
}

static void describe(anl_arena *arena, const abilities *a, int index, const anl_device_options *options, anl_device_info *info)
{
    const VkPhysicalDeviceLimits *limits = &a->properties.limits;
    memset(info, 0, sizeof *info);
    info->selector = anl_arena_printf(arena, "vulkan:%d", index);
    info->name = anl_arena_text(arena, a->properties.deviceName);
    info->driver =
        anl_arena_printf(arena, "%s%s%s", a->driver.driverName, a->driver.driverInfo[0] ? " " : "", a->driver.driverInfo);
    info->api = anl_arena_printf(arena, "Vulkan %u.%u.%u", VK_API_VERSION_MAJOR(a->properties.apiVersion),
                                 VK_API_VERSION_MINOR(a->properties.apiVersion), VK_API_VERSION_PATCH(a->properties.apiVersion));
    info->is_cpu = a->properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    info->unusable = a->unusable;
    const anl_device_limits *clamp = &options->clamp;
    anl_device_limits *l = &info->limits;
    l->storage_range = lowered(limits->maxStorageBufferRange, clamp->storage_range);
    l->memory = memory_limit(a, clamp);
    l->alignment = (int64_t)limits->minStorageBufferOffsetAlignment;
    if ((int64_t)limits->minTexelBufferOffsetAlignment > l->alignment)
        l->alignment = (int64_t)limits->minTexelBufferOffsetAlignment;
    if (l->alignment < 16)
        l->alignment = 16;
    if (clamp->alignment > l->alignment)
        l->alignment = clamp->alignment;
    int invocations = (int)limits->maxComputeWorkGroupInvocations;
    if (limits->maxComputeWorkGroupSize[0] < (uint32_t)invocations)
        invocations = (int)limits->maxComputeWorkGroupSize[0];
    l->max_invocations = (int)lowered(invocations, clamp->max_invocations);
    l->max_shared_bytes = (int)lowered(limits->maxComputeSharedMemorySize, clamp->max_shared_bytes);
    l->subgroup_size = options->no_subgroups ? 0 : a->subgroup;
    l->subgroup_shuffle = l->subgroup_size > 0;
    l->float16 = false; /* nothing here stores float16 yet */
}

static anl_status physical_devices(VkInstance instance, VkPhysicalDevice **list, uint32_t *count, anl_diagnostics *diagnostics)
{
    *count = 0;
    VkResult r = vkEnumeratePhysicalDevices(instance, count, NULL);
    *list = anl_malloc(sizeof **list * (*count + 1));
    if (r == VK_SUCCESS && *count > 0)
        r = vkEnumeratePhysicalDevices(instance, count, *list);
    if (r != VK_SUCCESS && r != VK_INCOMPLETE && r != VK_ERROR_INITIALIZATION_FAILED) {
        free(*list);
        *list = NULL;
        return vk_failed(NULL, r, "vkEnumeratePhysicalDevices", diagnostics);
    }
    return ANL_OK;
}

anl_status anl_vulkan_list(anl_arena *arena, const anl_device_options *options, anl_device_info **list, int *count,
                           anl_diagnostics *diagnostics)
{
    static const anl_device_options none = {0};
    *list = NULL;
    *count = 0;
    VkInstance instance;
    anl_status status = new_instance(false, NULL, diagnostics, &instance);
    if (status != ANL_OK || !instance)
        return status;
    VkPhysicalDevice *physical;
    uint32_t found;
    status = physical_devices(instance, &physical, &found, diagnostics);
    if (status == ANL_OK) {
        *list = ANL_NEW_ARRAY(arena, anl_device_info, found + 1);
        *count = (int)found;
        for (uint32_t i = 0; i < found; i++) {
            abilities a;
            look(physical[i], &a);
            describe(arena, &a, (int)i, options ? options : &none, &(*list)[i]);
        }
        free(physical);
    }
    vkDestroyInstance(instance, NULL);
    return status;
}

static void close_device(anl_device *base)
{
    vk_device *device = VK_DEVICE(base);
    if (device->device) {
        anl_diagnostics *unheard = anl_diagnostics_new(); /* closing has nobody to tell; a cache not saved costs time only */
        vk_pipelines_save(device, unheard);
        vk_choices_save(device, unheard);
        anl_diagnostics_free(&unheard);
        vkDeviceWaitIdle(device->device);
        vk_space_free(device, &device->temp);
        vk_space_free(device, &device->staging);
        vk_pipelines_close(device);
        if (device->timeline)
            vkDestroySemaphore(device->device, device->timeline, NULL);
        if (device->pool)
            vkDestroyCommandPool(device->device, device->pool, NULL);
        vkDestroyDevice(device->device, NULL);
    }
    if (device->messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(device->instance, "vkDestroyDebugUtilsMessengerEXT");
        if (destroy)
            destroy(device->instance, device->messenger, NULL);
    }
    if (device->instance)
        vkDestroyInstance(device->instance, NULL);
    anl_text_free(&device->messages);
    anl_arena *arena = device->arena;
    anl_arena_free(&arena);
}

static anl_status start(vk_device *device, const abilities *a, const anl_device_options *options, anl_diagnostics *diagnostics)
{
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = a->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
                                                          .timelineSemaphore = VK_TRUE};
    VkResult r = vkCreateDevice(device->physical,
                                &(VkDeviceCreateInfo){.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                                      .pNext = &timeline,
                                                      .queueCreateInfoCount = 1,
                                                      .pQueueCreateInfos = &queue},
                                NULL, &device->device);
    if (r != VK_SUCCESS) {
        device->device = VK_NULL_HANDLE;
        return vk_failed(device, r, "vkCreateDevice", diagnostics);
    }
    vkGetDeviceQueue(device->device, a->family, 0, &device->queue);
    r = vkCreateCommandPool(device->device,
                            &(VkCommandPoolCreateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                                       .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                                       .queueFamilyIndex = a->family},
                            NULL, &device->pool);
    if (r == VK_SUCCESS)
        r = vkAllocateCommandBuffers(device->device,
                                     &(VkCommandBufferAllocateInfo){.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                                    .commandPool = device->pool,
                                                                    .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                                    .commandBufferCount = 1},
                                     &device->immediate);
    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    if (r == VK_SUCCESS)
        r = vkCreateSemaphore(device->device,
                              &(VkSemaphoreCreateInfo){.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type}, NULL,
                              &device->timeline);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "making the device's queue", diagnostics);
    anl_status status = ANL_OK;
    if (!device->unified)
        status = vk_space_new(device, 16 << 20, NULL, 0, true, "staging buffers", diagnostics, &device->staging);
    if (status == ANL_OK)
        status = vk_pipelines_open(device, options->cache_folder, diagnostics);
    if (status == ANL_OK)
        status = vk_choices_load(device, diagnostics);
    return status;
}

anl_status anl_vulkan_open(int index, const anl_device_options *options, anl_diagnostics *diagnostics, anl_device **out)
{
    static const anl_device_options none = {0};
    if (!options)
        options = &none;
    *out = NULL;
    anl_arena *arena = anl_arena_new();
    vk_device *device = ANL_NEW(arena, vk_device);
    device->arena = arena;
    device->base.class = &vk_device_class;
    VkPhysicalDevice *physical = NULL;
    uint32_t found = 0;
    abilities a = {0};
    if (options->f64) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_device_unfit, vk_nowhere, "double precision runs on the host device only");
        anl_diagnostic_note(diagnostics, d, "--device host, or no --precise");
        close_device(&device->base);
        return ANL_ERROR_DEVICE;
    }
    anl_status status = new_instance(options->validation, device, diagnostics, &device->instance);
    if (status == ANL_OK && device->instance)
        status = physical_devices(device->instance, &physical, &found, diagnostics);
    if (status == ANL_OK) {
        for (uint32_t i = 0; index < 0 && i < found; i++) {
            look(physical[i], &a);
            if (!a.unusable)
                index = (int)i;
        }
        if (index < 0 || index >= (int)found) {
            anl_diagnostic *d =
                index < 0 ? anl_diagnose(diagnostics, ANL_A_device_missing, vk_nowhere, "there is no usable Vulkan device here")
                          : anl_diagnose(diagnostics, ANL_A_device_missing, vk_nowhere,
                                         "there is no device `vulkan:%d`; %u are known", index, found);
            anl_diagnostic_note(
                diagnostics, d,
                "`anlage devices` lists them; a driver for machines without a GPU is in the package mesa-vulkan-drivers");
            status = ANL_ERROR_DEVICE;
        }
    }
    if (status == ANL_OK) {
        look(physical[index], &a);
        if (a.unusable) {
            anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_unfit, vk_nowhere,
                                             "device `vulkan:%d` (%s) cannot be used: %s", index, a.properties.deviceName, a.unusable);
            anl_diagnostic_note(diagnostics, d, "a newer driver may do; --device auto takes the best device that can be used");
            status = ANL_ERROR_DEVICE;
        }
    }
    if (status == ANL_OK) {
        describe(arena, &a, index, options, &device->base.info);
        const anl_device_limits *l = &device->base.info.limits;
        device->physical = physical[index];
        device->properties = a.properties;
        device->memory_properties = a.memory;
        device->family = a.family;
        device->plain = options->plain;
        device->validation = options->validation;
        device->is_cpu = device->base.info.is_cpu;
        device->unified = a.unified;
        device->memory_type = a.memory_type;
        device->staging_type = a.staging_type;
        /* A clamped range clamps allocations with it: spaces in several pieces are else seen on the largest machines only. */
        device->max_allocation = lowered(a.max_allocation, 4 * options->clamp.storage_range);
        device->texel_elements = a.properties.limits.maxTexelBufferElements;
        device->texel_bindings = (int)a.properties.limits.maxPerStageDescriptorSampledImages;
        device->memory_limit = l->memory;
        device->uniform_range = a.properties.limits.maxUniformBufferRange;
        device->align = l->alignment > ANL_ALIGNMENT ? l->alignment : ANL_ALIGNMENT;
        device->max_invocations = l->max_invocations;
        device->max_shared = l->max_shared_bytes;
        device->subgroup = l->subgroup_size;
        for (int i = 0; i < 3; i++)
            device->max_groups[i] = a.properties.limits.maxComputeWorkGroupCount[i];
        status = start(device, &a, options, diagnostics);
    }
    free(physical);
    status = vk_settle(device, status, diagnostics);
    if (status != ANL_OK) {
        close_device(&device->base);
        return status;
    }
    *out = &device->base;
    return ANL_OK;
}

void vk_device_close(anl_device *device) { close_device(device); }
