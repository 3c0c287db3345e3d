/* From GLSL text to pipelines, with two caches on disk.
 * In: a pass's text and bindings. Out: its pipeline and layouts, from the device's table where an equal text was seen before.
 * Cache files: SPIR-V by hash of text and glslang's version; the driver's pipeline cache by device and driver. A bad file is a
 * warning and made anew. */
#include <errno.h>
#include <glslang/Include/glslang_c_interface.h>
#include <glslang/Public/resource_limits_c.h>
#include <glslang/build_info.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "device/vulkan/vk.h"

#define GLSLANG_VERSION_NUMBER (GLSLANG_VERSION_MAJOR * 1000000 + GLSLANG_VERSION_MINOR * 1000 + GLSLANG_VERSION_PATCH)
enum { SPIRV_MAGIC = 0x07230203, CACHE_LIMIT = 256 << 20 };

static pthread_once_t glslang_once = PTHREAD_ONCE_INIT;
static void start_glslang(void) { glslang_initialize_process(); }

/* ---- cache files: 4 words of header (two of a checksum), then the content ---- */
static bool read_cached(vk_device *device, const char *path, uint8_t **bytes, size_t *length, anl_diagnostics *diagnostics)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    anl_arena *arena = anl_arena_new();
    char *text = NULL;
    size_t size = 0;
    bool ok = anl_file_read(arena, path, CACHE_LIMIT, &text, &size) == ANL_OK && size >= 16;
    uint64_t sum = 0;
    if (ok) {
        memcpy(&sum, text + 8, 8);
        ok = memcmp(text, "anlage01", 8) == 0 && sum == anl_hash(text + 16, size - 16, 1);
    }
    if (ok) {
        *length = size - 16;
        *bytes = anl_malloc(*length + 1);
        memcpy(*bytes, text + 16, *length);
    } else {
        anl_diagnose(diagnostics, ANL_A_device_cache, (anl_span){.file = path}, "cache file is damaged; it is made anew");
    }
    anl_arena_free(&arena);
    (void)device;
    return ok;
}

static void write_cached(const char *path, const void *bytes, size_t length, anl_diagnostics *diagnostics)
{
    uint8_t *all = anl_malloc(length + 16);
    uint64_t sum = anl_hash(bytes, length, 1);
    memcpy(all, "anlage01", 8);
    memcpy(all + 8, &sum, 8);
    memcpy(all + 16, bytes, length);
    if (anl_file_write_atomic(path, all, length + 16) != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_device_cache, (anl_span){.file = path}, "cache file cannot be written: %s",
                     strerror(errno));
    free(all);
}

/* ---- SPIR-V ---- */
static uint32_t *compile(const char *source, size_t *words, anl_text *log)
{
    pthread_once(&glslang_once, start_glslang);
    glslang_input_t input = {
        .language = GLSLANG_SOURCE_GLSL,
        .stage = GLSLANG_STAGE_COMPUTE,
        .client = GLSLANG_CLIENT_VULKAN,
        .client_version = GLSLANG_TARGET_VULKAN_1_1,
        .target_language = GLSLANG_TARGET_SPV,
        .target_language_version = GLSLANG_TARGET_SPV_1_3,
        .code = source,
        .default_version = 450,
        .default_profile = GLSLANG_NO_PROFILE,
        .messages = GLSLANG_MSG_SPV_RULES_BIT | GLSLANG_MSG_VULKAN_RULES_BIT,
        .resource = glslang_default_resource(),
    };
    uint32_t *spirv = NULL;
    glslang_program_t *program = NULL;
    glslang_shader_t *shader = glslang_shader_create(&input);
    if (!shader)
        return NULL;
    if (!glslang_shader_preprocess(shader, &input) || !glslang_shader_parse(shader, &input)) {
        anl_text_add(log, glslang_shader_get_info_log(shader));
    } else {
        program = glslang_program_create();
        glslang_program_add_shader(program, shader);
        if (!glslang_program_link(program, GLSLANG_MSG_SPV_RULES_BIT | GLSLANG_MSG_VULKAN_RULES_BIT)) {
            anl_text_add(log, glslang_program_get_info_log(program));
        } else {
            glslang_program_SPIRV_generate(program, GLSLANG_STAGE_COMPUTE);
            *words = glslang_program_SPIRV_get_size(program);
            spirv = anl_malloc(*words * 4);
            glslang_program_SPIRV_get(program, spirv);
        }
    }
    if (program)
        glslang_program_delete(program);
    glslang_shader_delete(shader);
    return spirv;
}

static anl_status get_spirv(vk_device *device, const char *source, const char *name, uint32_t **spirv, size_t *words,
                            anl_diagnostics *diagnostics)
{
    char *path = NULL;
    if (device->cache_folder) {
        uint8_t digest[32];
        anl_text text = {0};
        anl_text_printf(&text, "glslang %d\n%s", GLSLANG_VERSION_NUMBER, source);
        anl_sha256(text.data, text.length, digest);
        anl_text_free(&text);
        anl_text_printf(&text, "%s/", device->cache_folder);
        for (int i = 0; i < 20; i++)
            anl_text_printf(&text, "%02x", digest[i]);
        anl_text_add(&text, ".spv");
        path = text.data;
        uint8_t *bytes;
        size_t length;
        if (read_cached(device, path, &bytes, &length, diagnostics)) {
            uint32_t magic = 0;
            if (length >= 20 && length % 4 == 0)
                memcpy(&magic, bytes, 4);
            if (magic == SPIRV_MAGIC) {
                *spirv = (uint32_t *)bytes;
                *words = length / 4;
                free(path);
                return ANL_OK;
            }
            free(bytes);
        }
    }
    anl_text log = {0};
    *spirv = compile(source, words, &log);
    if (!*spirv) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_shader_build, vk_nowhere,
                                         "kernel `%s`: the shader compiler refused the generated text", name);
        while (log.length && strchr(" \n\t", log.data[log.length - 1]))
            log.data[--log.length] = '\0';
        anl_diagnostic_note(diagnostics, d, "%s", log.length ? log.data : "no reason given");
        anl_text_free(&log);
        free(path);
        return ANL_ERROR_DEVICE;
    }
    anl_text_free(&log);
    if (path)
        write_cached(path, *spirv, *words * 4, diagnostics);
    free(path);
    return ANL_OK;
}

/* ---- layouts ---- */
static anl_status get_layout(vk_device *device, vk_pass *pass, anl_diagnostics *diagnostics)
{
    char signature[VK_MAX_BINDINGS + 1];
    VkDescriptorSetLayoutBinding bindings[VK_MAX_BINDINGS];
    for (int i = 0; i < pass->binding_count; i++) {
        vk_binding_type t = pass->bindings[i].type;
        bool texel = t == VK_BIND_TEXEL1 || t == VK_BIND_TEXEL4, uniform = t == VK_BIND_PARAMS || t == VK_BIND_STEP;
        signature[i] = texel ? 't' : uniform ? 'u' : 's';
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = (uint32_t)i,
            .descriptorType = texel     ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                              : uniform ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER
                                        : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    signature[pass->binding_count] = 0;
    for (int i = 0; i < device->layout_count; i++)
        if (strcmp(device->layouts[i].signature, signature) == 0) {
            pass->set_layout = device->layouts[i].set_layout;
            pass->layout = device->layouts[i].layout;
            return ANL_OK;
        }
    vk_layout layout;
    strcpy(layout.signature, signature);
    VkResult r = vkCreateDescriptorSetLayout(
        device->device,
        &(VkDescriptorSetLayoutCreateInfo){.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = (uint32_t)pass->binding_count,
                                           .pBindings = bindings},
        NULL, &layout.set_layout);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreateDescriptorSetLayout", diagnostics);
    r = vkCreatePipelineLayout(device->device,
                               &(VkPipelineLayoutCreateInfo){.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                                             .setLayoutCount = 1,
                                                             .pSetLayouts = &layout.set_layout},
                               NULL, &layout.layout);
    if (r != VK_SUCCESS) {
        vkDestroyDescriptorSetLayout(device->device, layout.set_layout, NULL);
        return vk_failed(device, r, "vkCreatePipelineLayout", diagnostics);
    }
    ANL_PUSH(device->arena, device->layouts, device->layout_count, device->layout_capacity, layout);
    pass->set_layout = layout.set_layout;
    pass->layout = layout.layout;
    return ANL_OK;
}

anl_status vk_pipeline_get(vk_device *device, vk_pass *pass, const char *name, anl_diagnostics *diagnostics)
{
    anl_status status = get_layout(device, pass, diagnostics);
    if (status != ANL_OK)
        return status;
    uint64_t hash = anl_hash_text(pass->source, 0);
    for (int i = 0; i < device->pipeline_count; i++) {
        vk_pipeline *p = &device->pipelines[i];
        /* The layout belongs to the text: its declarations name every binding. */
        if (p->hash == hash && p->layout == pass->layout && strcmp(p->source, pass->source) == 0) {
            pass->pipeline = p->pipeline;
            return ANL_OK;
        }
    }
    uint32_t *spirv;
    size_t words;
    status = get_spirv(device, pass->source, name, &spirv, &words, diagnostics);
    if (status != ANL_OK)
        return status;
    VkShaderModule module;
    VkResult r = vkCreateShaderModule(
        device->device,
        &(VkShaderModuleCreateInfo){.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = words * 4, .pCode = spirv},
        NULL, &module);
    free(spirv);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreateShaderModule", diagnostics);
    VkPipeline pipeline;
    r = vkCreateComputePipelines(
        device->device, device->cache, 1,
        &(VkComputePipelineCreateInfo){.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                       .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                 .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                 .module = module,
                                                 .pName = "main"},
                                       .layout = pass->layout},
        NULL, &pipeline);
    vkDestroyShaderModule(device->device, module, NULL);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreateComputePipelines", diagnostics);
    vk_pipeline entry = {.hash = hash, .source = strdup(pass->source), .pipeline = pipeline, .layout = pass->layout};
    ANL_PUSH(device->arena, device->pipelines, device->pipeline_count, device->pipeline_capacity, entry);
    pass->pipeline = pipeline;
    return ANL_OK;
}

/* ---- the driver's cache ---- */
anl_status vk_pipelines_open(vk_device *device, const char *folder, anl_diagnostics *diagnostics)
{
    if (folder && folder[0]) {
        device->cache_folder = anl_arena_text(device->arena, folder);
    } else if (!folder) {
        const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        if (cache && cache[0] == '/')
            device->cache_folder = anl_arena_printf(device->arena, "%s/anlage", cache);
        else if (home && home[0] == '/')
            device->cache_folder = anl_arena_printf(device->arena, "%s/.cache/anlage", home);
    }
    if (device->cache_folder && anl_folder_make(device->cache_folder) != ANL_OK) {
        anl_diagnose(diagnostics, ANL_A_device_cache, (anl_span){.file = device->cache_folder},
                     "the cache folder cannot be made: %s; going on without", strerror(errno));
        device->cache_folder = NULL;
    }
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (device->cache_folder) {
        anl_text path = {0};
        anl_text_printf(&path, "%s/", device->cache_folder);
        for (int i = 0; i < (int)VK_UUID_SIZE; i++)
            anl_text_printf(&path, "%02x", device->properties.pipelineCacheUUID[i]);
        anl_text_printf(&path, "-%08x.pipelines", device->properties.driverVersion);
        device->cache_file = anl_arena_text(device->arena, path.data);
        anl_text_free(&path);
        if (read_cached(device, device->cache_file, &bytes, &length, diagnostics)) {
            /* Drivers should refuse what is not theirs, but not all do. */
            VkPipelineCacheHeaderVersionOne header;
            bool ours = length >= sizeof header;
            if (ours) {
                memcpy(&header, bytes, sizeof header);
                ours = header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
                       header.vendorID == device->properties.vendorID && header.deviceID == device->properties.deviceID &&
                       memcmp(header.pipelineCacheUUID, device->properties.pipelineCacheUUID, VK_UUID_SIZE) == 0;
            }
            if (!ours)
                length = 0;
        }
    }
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = length, .pInitialData = length ? bytes : NULL};
    VkResult r = vkCreatePipelineCache(device->device, &info, NULL, &device->cache);
    free(bytes);
    if (r != VK_SUCCESS)
        return vk_failed(device, r, "vkCreatePipelineCache", diagnostics);
    device->cache_bytes = length;
    return ANL_OK;
}

anl_status vk_pipelines_save(vk_device *device, anl_diagnostics *diagnostics)
{
    if (!device->cache_file || device->lost)
        return ANL_OK;
    size_t length = 0;
    VkResult r = vkGetPipelineCacheData(device->device, device->cache, &length, NULL);
    if (r != VK_SUCCESS || length == 0 || length == device->cache_bytes)
        return ANL_OK;
    uint8_t *bytes = anl_malloc(length);
    r = vkGetPipelineCacheData(device->device, device->cache, &length, bytes);
    if (r == VK_SUCCESS) {
        write_cached(device->cache_file, bytes, length, diagnostics);
        device->cache_bytes = length;
    }
    free(bytes);
    return ANL_OK;
}

void vk_pipelines_close(vk_device *device)
{
    for (int i = 0; i < device->pipeline_count; i++) {
        vkDestroyPipeline(device->device, device->pipelines[i].pipeline, NULL);
        free(device->pipelines[i].source);
    }
    for (int i = 0; i < device->layout_count; i++) {
        vkDestroyPipelineLayout(device->device, device->layouts[i].layout, NULL);
        vkDestroyDescriptorSetLayout(device->device, device->layouts[i].set_layout, NULL);
    }
    if (device->cache)
        vkDestroyPipelineCache(device->device, device->cache, NULL);
    device->pipeline_count = device->layout_count = 0;
}
