/* The executor interface: every device runs the same programs through these calls.
 * In: compiled programs, feeds, per-step scalars, state bytes. Out: updated state, outputs.
 * A device object and what is made from it belong to one thread at a time. */
#ifndef ANL_DEVICE_DEVICE_H
#define ANL_DEVICE_DEVICE_H

#include <anlage/diagnostic.h>

#include "base/base.h"
#include "compile/program.h"

typedef struct anl_device anl_device;
typedef struct anl_memory anl_memory; /* a persistent state space on a device */
typedef struct anl_exec anl_exec;     /* a program made ready on a device, bound to a state space */

typedef struct anl_device_limits {
    int64_t storage_range;    /* bytes of one bound range */
    int64_t memory;           /* bytes of the device's largest heap */
    int64_t alignment;        /* of a bound range's offset */
    int max_invocations, max_shared_bytes, subgroup_size;
    bool subgroup_shuffle, float16;
} anl_device_limits;

typedef struct anl_device_info {
    const char *selector; /* "host", "vulkan:0" */
    const char *name, *driver, *api;
    bool is_cpu;
    const char *unusable; /* why not, or NULL */
    anl_device_limits limits;
} anl_device_info;

/* Options for tests and studies; zeroed is the default. */
typedef struct anl_device_options {
    int threads;                /* host: 0 = cores */
    bool f64;                   /* host: run programs compiled with f64 */
    const char *instructions;   /* host: use at most these: "base", "avx2", "avx512"; NULL: all that the processor has */
    bool plain;                 /* host: no BLAS, no fast paths (the oracle); vulkan: baseline variants only */
    bool validation;            /* vulkan: validation layers with synchronisation validation; any message fails the call that caused it */
    anl_device_limits clamp;    /* vulkan: non-zero fields lower the device's own limits (clamped profile); alignment raises */
    bool no_subgroups;          /* vulkan: as on a device without subgroup operations */
    const char *cache_folder;   /* NULL: $XDG_CACHE_HOME/anlage or ~/.cache/anlage; "" : none */
} anl_device_options;

/* Lists all devices. Freed with the arena. */
anl_status anl_devices_list(anl_arena *arena, const anl_device_options *options, anl_device_info **list, int *count, anl_diagnostics *diagnostics);
/* selector: auto (a real GPU, else host), host, vulkan, vulkan:N */
anl_status anl_device_open(const char *selector, const anl_device_options *options, anl_diagnostics *diagnostics, anl_device **out);
void anl_device_close(anl_device **device);
const anl_device_info *anl_device_describe(const anl_device *device);

/* All later calls report into the diagnostics they are given and return a status; after ANL_ERROR_DEVICE_LOST all calls on the device return it. */
anl_status anl_memory_new(anl_device *device, int64_t bytes, anl_diagnostics *diagnostics, anl_memory **out); /* zeroed */
void anl_memory_free(anl_memory **memory);
anl_status anl_memory_write(anl_memory *memory, int64_t offset, const void *bytes, int64_t count, anl_diagnostics *diagnostics);
anl_status anl_memory_read(anl_memory *memory, int64_t offset, void *bytes, int64_t count, anl_diagnostics *diagnostics);

/* Allocates the program's spaces, makes its pipelines, records its commands. The program and the memory must outlive the exec. Execs on one device share their TEMP
 * space where the executor can (only one runs at a time). */
anl_status anl_exec_new(anl_device *device, const anl_program *program, anl_memory *state, anl_diagnostics *diagnostics, anl_exec **out);
void anl_exec_free(anl_exec **exec);
/* Copies bytes into an input's buffer (whole buffer, in the program's element type, float32 or float64 / int32). */
anl_status anl_exec_feed(anl_exec *exec, int input, const void *bytes, int64_t count, anl_diagnostics *diagnostics);
/* Runs all kernels once and waits. scalars: [program->scalar_count], from anl_program_scalars; step feeds the draws. */
anl_status anl_exec_run(anl_exec *exec, int64_t step, const double *scalars, anl_diagnostics *diagnostics);
/* Reads an output's buffer (whole buffer, in the program's element type). */
anl_status anl_exec_fetch(anl_exec *exec, int output, void *bytes, int64_t count, anl_diagnostics *diagnostics);
/* Any buffer of any space after a run, for tests (TEMP contents are those left by the last writer). */
anl_status anl_exec_peek(anl_exec *exec, int buffer, void *bytes, int64_t count, anl_diagnostics *diagnostics);
/* Seconds that each kernel took in one run (kernel_count values), measured one by one; for explain --measure. */
anl_status anl_exec_profile(anl_exec *exec, int64_t step, const double *scalars, double *seconds, anl_diagnostics *diagnostics);

/* What an executor implements. */
typedef struct anl_device_class {
    const char *name;
    anl_status (*memory_new)(anl_device *, int64_t, anl_diagnostics *, anl_memory **);
    void (*memory_free)(anl_memory *);
    anl_status (*memory_write)(anl_memory *, int64_t, const void *, int64_t, anl_diagnostics *);
    anl_status (*memory_read)(anl_memory *, int64_t, void *, int64_t, anl_diagnostics *);
    anl_status (*exec_new)(anl_device *, const anl_program *, anl_memory *, anl_diagnostics *, anl_exec **);
    void (*exec_free)(anl_exec *);
    anl_status (*feed)(anl_exec *, int, const void *, int64_t, anl_diagnostics *);
    anl_status (*run)(anl_exec *, int64_t, const double *, anl_diagnostics *);
    anl_status (*fetch)(anl_exec *, int, void *, int64_t, anl_diagnostics *);
    anl_status (*peek)(anl_exec *, int, void *, int64_t, anl_diagnostics *);
    anl_status (*profile)(anl_exec *, int64_t, const double *, double *, anl_diagnostics *);
    void (*close)(anl_device *);
} anl_device_class;

/* First member of each executor's own device, memory and exec structures. */
struct anl_device {
    const anl_device_class *class;
    anl_device_info info;
    bool lost; /* set by device.c once a call returned ANL_ERROR_DEVICE_LOST; from then on all calls do */
};
struct anl_memory {
    anl_device *device;
};
struct anl_exec {
    anl_device *device;
};

anl_status anl_host_open(const anl_device_options *options, anl_diagnostics *diagnostics, anl_device **out);
anl_status anl_vulkan_open(int index, const anl_device_options *options, anl_diagnostics *diagnostics, anl_device **out); /* index -1: the first usable */
anl_status anl_vulkan_list(anl_arena *arena, const anl_device_options *options, anl_device_info **list, int *count, anl_diagnostics *diagnostics);
anl_status anl_host_list(anl_arena *arena, const anl_device_options *options, anl_device_info *info, anl_diagnostics *diagnostics);
/* The lowerings that measurement chose on a Vulkan device, as lines of text, and taking them over (before programs are made ready): a checkpoint
 * carries them, so that a resumed run computes the same bits. ANL_ERROR_ARGUMENT: not a Vulkan device. */
anl_status anl_vulkan_choices(const anl_device *device, anl_text *out);
anl_status anl_vulkan_choices_set(anl_device *device, const char *text);

#endif
