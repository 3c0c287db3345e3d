/* Writing kernels out as GLSL: shared by writer.c (maps, reductions) and contract.c (contractions).
 * In: a kernel's instructions. Out: GLSL text that takes its sizes from a parameter buffer, so that kernels that differ in
 * sizes alone have one text and share a pipeline. */
#ifndef ANL_DEVICE_VULKAN_WRITER_H
#define ANL_DEVICE_VULKAN_WRITER_H

#include "device/vulkan/vk.h"

/* A loop axis of a pass. Kernel dim = axis value * step + first. Axes of one segment that no index tells apart are merged
 * into one; then dim is the innermost merged. */
typedef struct vk_axis {
    int dim; /* kernel dim */
    int32_t size;
    int32_t step, first;
    int segment;
    char name[16]; /* GLSL variable that holds the axis value (in the vector axis: of lane 0) */
} vk_axis;

enum { VK_MAX_AXES = ANL_MAX_DIMS + 4 };

typedef struct vk_writer {
    vk_device *device;
    const anl_program *program;
    const anl_kernel *kernel;
    vk_pass *pass;
    anl_arena *arena;
    anl_text declarations; /* bindings */
    anl_text functions;    /* after the parameters */
    anl_text body;         /* of main */
    bool uses_math, uses_philox, uses_reduce, uses_shuffle;
    int param_capacity;
    /* axes of the part being written */
    vk_axis axes[VK_MAX_AXES];
    int axis_count;
    int32_t first[ANL_MAX_DIMS]; /* of each kernel dim */
    int vector;                  /* the axis that four lanes run along, or -1 */
    bool vector_accumulators;    /* accumulators hold four lanes too */
    bool *live, *vary;
    const char *prefix; /* of value names */
} vk_writer;

void vk_writer_begin(vk_writer *w, vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                     vk_pass *pass);
/* Puts the pass's text together. local: invocations per workgroup. */
void vk_writer_end(vk_writer *w, int local);

/* Adds a parameter and returns its name (arena). */
const char *vk_param(vk_writer *w, int64_t value);
int vk_bind(vk_writer *w, vk_binding_type type, int arg, bool written);
/* An argument's element offset within the range that is bound for it. */
int64_t vk_arg_delta(const vk_writer *w, int arg);
bool vk_texel_fits(const vk_writer *w, int arg, int components);
const char *vk_load4(vk_writer *w, int arg, const char *quad_index); /* text: vec4 at element 4 * quad_index of a float tensor */
const char *vk_load1(vk_writer *w, int arg, const char *index);      /* text: one element as it lies (float or int) */

/* Marks what the given roots (and, where `stores`, the stores) need, and merges axes that no index tells apart. */
void vk_writer_axes(vk_writer *w, const vk_axis *axes, int count, const int32_t *roots, int root_count, bool stores);
/* How many loads and stores would be contiguous with `axis` as vector axis; -1: the size does not allow it. */
int vk_vector_score(vk_writer *w, int axis, bool stores);
void vk_set_vector(vk_writer *w, int axis);
/* Text of n / divisor for a uint expression n < 2^31 and a divisor of at least 2. */
const char *vk_divide(vk_writer *w, const char *n, int32_t divisor);
/* Writes instructions [first, last) that are live. */
void vk_write_instrs(vk_writer *w, anl_text *out, int first, int last);
/* Writes all stores. */
void vk_write_stores(vk_writer *w, anl_text *out);
/* Text of an instruction's value; as_vector: in four lanes whether it varies or not. */
const char *vk_value(vk_writer *w, int32_t instr, bool as_vector);
/* Splits `linear` (a GLSL uint expression, < 2^31) into the axes of a segment, innermost fastest, declaring their names. The
 * vector axis counts in fours. */
void vk_write_split(vk_writer *w, anl_text *out, const char *linear, int segment);

/* contract.c */
anl_status vk_lower_contract(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                             anl_diagnostics *diagnostics, vk_lowering *out);
/* kernels.c: passes that sum `splits` partial results in fixed order and evaluate the kernel's tail. axes: the outputs' axes, in
 * the order in which partial results lie in scratch from word (vec: quad) `base`: [split][axes]. */
void vk_lower_partials(vk_device *device, const anl_program *program, const anl_kernel *kernel, anl_arena *arena,
                       const vk_axis *axes, int axis_count, int64_t splits, int phase, bool vec, int64_t base, vk_lowering *out);
/* Invocations per workgroup for a pass of so many invocations. */
int vk_pass_local(const vk_device *device, int64_t invocations);

#endif
