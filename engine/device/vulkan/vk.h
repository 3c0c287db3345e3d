/* Inside the Vulkan executor: its structures and the calls between its files. Nobody else sees vulkan.h.
 * In: device.h's contract. Out: nothing outside this folder.
 * A kernel becomes one to three passes; a pass is GLSL text, integer parameters, bindings and a count of workgroups. */
#ifndef ANL_DEVICE_VULKAN_VK_H
#define ANL_DEVICE_VULKAN_VK_H

#include <anlage/diagnostic_codes.h>
#include <vulkan/vulkan.h>

#include "base/base.h"
#include "device/device.h"

/* ---- passes: what the GLSL writers hand to the executor ---- */
typedef enum vk_binding_type {
    VK_BIND_STORAGE, /* an argument's range as a storage buffer */
    VK_BIND_TEXEL4,  /* an argument's range as a texel buffer of rgba32f */
    VK_BIND_TEXEL1,  /* of r32f */
    VK_BIND_SCRATCH, /* the kernel's scratch range as a storage buffer */
    VK_BIND_PARAMS,  /* the pass's parameters as a uniform buffer */
    VK_BIND_STEP,    /* step number and per-step scalars as a uniform buffer */
} vk_binding_type;

typedef struct vk_binding {
    vk_binding_type type;
    int arg; /* index into kernel->args; -1 where the type needs none */
    bool written;
} vk_binding;

enum { VK_MAX_BINDINGS = 3 * ANL_MAX_ARGS + 3 };

typedef struct vk_pass {
    char *source; /* in the exec's arena */
    int32_t *params;
    int param_count;
    vk_binding bindings[VK_MAX_BINDINGS];
    int binding_count;
    int64_t groups;      /* workgroups, folded into x, y, z when recorded */
    int phase;           /* passes of one phase may run together; a barrier lies between phases */
    VkPipeline pipeline; /* borrowed from the device's table */
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
    VkDescriptorSet set;
    int64_t param_offset;
} vk_pass;

typedef struct vk_lowering { /* a kernel made into passes */
    vk_pass *passes;
    int pass_count, pass_capacity;
    int64_t scratch_bytes, scratch_offset;
} vk_lowering;

/* Adds an empty pass; earlier pointers to passes of the lowering are void then. */
vk_pass *vk_pass_add(anl_arena *arena, vk_lowering *lowering);

/* How a contraction is lowered; see contract.c. */
typedef enum vk_variant { VK_VARIANT_DIRECT, VK_VARIANT_TILE, VK_VARIANT_SHUFFLE, VK_VARIANT_COUNT } vk_variant;

/* ---- the device ---- */
typedef struct vk_chunk {
    VkBuffer buffer;
    VkDeviceMemory memory;
    int64_t start, bytes; /* of the space */
    uint8_t *mapped;      /* where host code can reach it directly */
} vk_chunk;

typedef struct vk_space {
    vk_chunk *chunks;
    int chunk_count;
    int64_t bytes;
} vk_space;

typedef struct vk_pipeline {
    uint64_t hash;
    char *source; /* owned; a hash alone is not trusted */
    VkPipeline pipeline;
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
} vk_pipeline;

typedef struct vk_layout {
    char signature[VK_MAX_BINDINGS + 1];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
} vk_layout;

typedef struct vk_choice {
    char key[96]; /* size class of a contraction */
    vk_variant variant;
} vk_choice;

typedef struct vk_device {
    anl_device base;
    anl_arena *arena;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory_properties;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    VkCommandPool pool;
    VkCommandBuffer immediate;
    VkSemaphore timeline;
    uint64_t timeline_value;
    bool lost, plain, validation, is_cpu;
    int64_t memory_limit, allocated; /* bytes in all spaces */
    int texel_bindings;
    int64_t max_allocation, texel_elements, uniform_range, align;
    int max_invocations, max_shared, subgroup; /* subgroup 0: shuffles may not be used */
    uint32_t max_groups[3];
    uint32_t memory_type, staging_type;
    bool unified; /* memory_type is mapped and cached: no staging */
    vk_space staging;
    /* messages of the validation layers since the last look */
    anl_text messages;
    int message_count;
    /* TEMP, shared by the execs: grows, and execs bind again when its generation moved on */
    vk_space temp;
    int64_t *temp_cuts;
    int temp_users;
    uint64_t temp_generation;
    /* pipelines */
    VkPipelineCache cache;
    char *cache_folder, *cache_file; /* NULL: none */
    size_t cache_bytes;
    vk_pipeline *pipelines;
    int pipeline_count, pipeline_capacity;
    vk_layout *layouts;
    int layout_count, layout_capacity;
    vk_choice *choices;
    int choice_count, choice_capacity;
    bool choices_changed, measuring;
    vk_variant measured_variant; /* while measuring */
} vk_device;

typedef struct vk_memory {
    anl_memory base;
    vk_space space;
} vk_memory;

typedef struct vk_part { /* one command buffer of a recorded run */
    VkCommandBuffer commands;
    int first, last; /* kernels [first, last) */
} vk_part;

typedef struct vk_exec {
    anl_exec base;
    anl_arena *arena;
    const anl_program *program;
    vk_memory *state;
    vk_space input, table, output, params, scratch;
    int64_t step_bytes;
    vk_lowering *lowerings; /* per kernel */
    VkDescriptorPool descriptors;
    VkBufferView *views;
    int view_count, view_capacity;
    vk_part *parts;
    int part_count, part_capacity;
    VkCommandPool pool;
    uint64_t temp_generation;
    bool uses_temp;
} vk_exec;

#define VK_DEVICE(d) ((vk_device *)(d))

/* ---- errors (error.c) ---- */
const char *vk_result_name(VkResult result);
/* Turns a failed call into a diagnostic and a status; remembers a lost device. */
anl_status vk_failed(vk_device *device, VkResult result, const char *call, anl_diagnostics *diagnostics);
/* Moves the validation layers' messages into diagnostics; ANL_ERROR_DEVICE if there were any, else `status`. */
anl_status vk_settle(vk_device *device, anl_status status, anl_diagnostics *diagnostics);
anl_status vk_check_lost(vk_device *device, anl_diagnostics *diagnostics);
extern const anl_span vk_nowhere;

/* ---- memory (memory.c) ---- */
/* One allocation, or several where max_allocation or a cut (sorted byte offsets that no tensor straddles) says so. Zeroed. what:
 * for messages. */
anl_status vk_space_new(vk_device *device, int64_t bytes, const int64_t *cuts, int cut_count, bool host, const char *what,
                        anl_diagnostics *diagnostics, vk_space *out);
void vk_space_free(vk_device *device, vk_space *space);
/* The chunk that holds bytes [offset, offset + count) entirely, or NULL. */
const vk_chunk *vk_space_find(const vk_space *space, int64_t offset, int64_t count);
anl_status vk_space_write(vk_device *device, vk_space *space, int64_t offset, const void *bytes, int64_t count,
                          anl_diagnostics *diagnostics);
anl_status vk_space_read(vk_device *device, vk_space *space, int64_t offset, void *bytes, int64_t count,
                         anl_diagnostics *diagnostics);
/* A command buffer that is recorded, submitted and waited for at once. */
anl_status vk_immediate_begin(vk_device *device, anl_diagnostics *diagnostics);
anl_status vk_immediate_end(vk_device *device, anl_diagnostics *diagnostics);
anl_status vk_wait(vk_device *device, uint64_t value, anl_diagnostics *diagnostics);

/* ---- shaders and pipelines (pipeline.c) ---- */
anl_status vk_pipelines_open(vk_device *device, const char *folder, anl_diagnostics *diagnostics);
void vk_pipelines_close(vk_device *device);
anl_status vk_pipelines_save(vk_device *device, anl_diagnostics *diagnostics);
/* Fills pipeline and layouts of a pass. name: the kernel, for messages. */
anl_status vk_pipeline_get(vk_device *device, vk_pass *pass, const char *name, anl_diagnostics *diagnostics);

/* ---- GLSL writers (writer.c, contract.c) ---- */
anl_status vk_lower_kernel(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                           anl_diagnostics *diagnostics, vk_lowering *out);

/* ---- choices of lowerings by measurement (choose.c) ---- */
anl_status vk_choices_load(vk_device *device, anl_diagnostics *diagnostics);
anl_status vk_choices_save(vk_device *device, anl_diagnostics *diagnostics);
/* The lowering of products where the shuffle variant is legal too. a_lies: 'k', 'm' or 'x' (neither), b_lies: 'n' or 'k': where
 * aligned fours run. */
vk_variant vk_choose(vk_device *device, char a_lies, char b_lies);

/* ---- opening (open.c) and running (exec.c) ---- */
void vk_device_close(anl_device *device);
extern const anl_device_class vk_device_class;

#endif
