/* The host device: programs in plain C on threads. Fallback where there is no GPU, and, in double precision, the oracle.
 * In: programs, feeds, scalars, state. Out: state, outputs.
 * One TEMP space and one set of working memory per device, shared by its execs and grown to the largest. */
#include "device/host/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/config.h"


static const anl_span nowhere;

typedef struct host_memory {
    anl_memory base;
    char *bytes;
    int64_t count;
} host_memory;

typedef struct host_device {
    anl_device base;
    anl_arena *arena; /* texts of info */
    const host_simd *simd;
    const host_blas *blas;
    bool f64, plain;
    anl_pool *pool;
    int thread_count;
    host_thread *threads;
    char *temp;
    int64_t temp_bytes;
    void *shared;
    size_t shared_bytes;
    int64_t serial;
} host_device;

typedef struct host_exec {
    anl_exec base;
    const anl_program *program;
    host_memory *state;
    anl_arena *arena;
    host_kernel **kernels;
    char *space[5]; /* INPUT, TABLE, OUTPUT: owned; STATE and TEMP are looked up at each run */
} host_exec;

static const host_gemm *best_gemm(const host_simd *simd)
{
#if ANL_HOST_X86
    if (simd == &anl_host_simd_avx512)
        return &anl_host_gemm_avx512;
    if (simd == &anl_host_simd_avx2)
        return &anl_host_gemm_avx2;
#endif
    (void)simd;
    return &anl_host_gemm_base;
}

/* ---- memory ---- */
/* Large blocks start at a huge page, so that they can be made of them. */
static void *allocate(size_t bytes)
{
    enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : PAGE;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, bytes > 0 ? bytes : alignment);
#ifdef MADV_HUGEPAGE
    if (memory && alignment == HUGE_PAGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* only a hint: without huge pages all is the same, slower */
#endif
    return memory;
}

static anl_status no_memory(anl_diagnostics *diagnostics, const char *what, int64_t bytes)
{
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "host memory ran out: %s needs %.1f MiB", what,
                                     (double)bytes / 1048576.0);
    anl_diagnostic_note(diagnostics, d, "a smaller batch or image size needs less");
    return ANL_ERROR_MEMORY;
}

static anl_status memory_new(anl_device *device, int64_t bytes, anl_diagnostics *diagnostics, anl_memory **out)
{
    host_memory *memory = anl_malloc(sizeof *memory);
    *memory = (host_memory){.base.device = device, .count = bytes, .bytes = allocate((size_t)bytes)};
    if (!memory->bytes) {
        free(memory);
        return no_memory(diagnostics, "the state", bytes);
    }
    memset(memory->bytes, 0, (size_t)bytes);
    *out = &memory->base;
    return ANL_OK;
}

static void memory_free(anl_memory *memory)
{
    free(((host_memory *)memory)->bytes);
    free(memory);
}

static anl_status check_range(const char *what, int64_t offset, int64_t count, int64_t size, anl_diagnostics *diagnostics)
{
    if (offset >= 0 && count >= 0 && offset <= size && count <= size - offset)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_device_range, nowhere, "%s: bytes %lld to %lld do not lie within its %lld", what,
                 (long long)offset, (long long)(offset + count), (long long)size);
    return ANL_ERROR_ARGUMENT;
}

static anl_status memory_write(anl_memory *memory, int64_t offset, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    host_memory *m = (host_memory *)memory;
    anl_status status = check_range("state", offset, count, m->count, diagnostics);
    if (status == ANL_OK && count > 0)
        memcpy(m->bytes + offset, bytes, (size_t)count);
    return status;
}

static anl_status memory_read(anl_memory *memory, int64_t offset, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    host_memory *m = (host_memory *)memory;
    anl_status status = check_range("state", offset, count, m->count, diagnostics);
    if (status == ANL_OK && count > 0)
        memcpy(bytes, m->bytes + offset, (size_t)count);
    return status;
}

/* ---- exec ---- */
static void exec_free(anl_exec *exec)
{
    host_exec *e = (host_exec *)exec;
    for (int s = 0; s < 5; s++)
        free(e->space[s]);
    anl_arena_free(&e->arena);
    free(e);
}

static bool grow(void **memory, size_t *have, size_t need)
{
    if (need <= *have)
        return true;
    void *larger = allocate(need);
    if (!larger)
        return false;
    free(*memory);
    *memory = larger;
    *have = need;
    return true;
}

/* Working memory of the device, so that every kernel of the exec finds enough. */
static anl_status grow_device(host_device *device, const host_exec *e, anl_diagnostics *diagnostics)
{
    size_t block = 0, scratch = 0, shared = 0;
    for (int k = 0; k < e->program->kernel_count; k++) {
        const host_kernel *kernel = e->kernels[k];
        block = kernel->block_bytes > block ? kernel->block_bytes : block;
        scratch = kernel->thread_bytes > scratch ? kernel->thread_bytes : scratch;
        shared = kernel->shared_bytes > shared ? kernel->shared_bytes : shared;
    }
    for (int t = 0; t < device->thread_count; t++) {
        host_thread *thread = &device->threads[t];
        if (!grow(&thread->block.memory, &thread->block.memory_bytes, block) ||
            !grow(&thread->scratch, &thread->scratch_bytes, scratch))
            return no_memory(diagnostics, "a thread's working memory", (int64_t)(block + scratch));
    }
    if (!grow(&device->shared, &device->shared_bytes, shared))
        return no_memory(diagnostics, "the kernels' working memory", (int64_t)shared);
    size_t have = (size_t)device->temp_bytes;
    void *temp = device->temp;
    if (!grow(&temp, &have, (size_t)e->program->space_bytes[ANL_SPACE_TEMP]))
        return no_memory(diagnostics, "the temporary tensors", e->program->space_bytes[ANL_SPACE_TEMP]);
    device->temp = temp;
    device->temp_bytes = (int64_t)have;
    return ANL_OK;
}

static void fill_tables(const host_exec *e)
{
    const anl_program *p = e->program;
    for (int b = 0; b < p->buffer_count; b++) {
        const anl_buffer *buffer = &p->buffers[b];
        if (buffer->space != ANL_SPACE_TABLE || !buffer->table)
            continue;
        char *to = e->space[ANL_SPACE_TABLE] + buffer->offset;
        if (buffer->dtype == ANL_F32 && p->f64) {
            for (int64_t i = 0; i < buffer->count; i++)
                ((double *)to)[i] = (double)((const float *)buffer->table)[i];
        } else {
            memcpy(to, buffer->table, (size_t)buffer->count * 4);
        }
    }
}

static anl_status make_kernels(host_device *device, host_exec *e, anl_diagnostics *diagnostics)
{
    const anl_program *program = e->program;
    host_make make = {.arena = e->arena,
                      .simd = device->simd,
                      .gemm = best_gemm(device->simd),
                      .f64 = program->f64,
                      .plain = device->plain,
                      .diagnostics = diagnostics};
    e->kernels = ANL_NEW_ARRAY(e->arena, host_kernel *, program->kernel_count + 1);
    for (int k = 0; k < program->kernel_count; k++) {
        const anl_kernel *kernel = &program->kernels[k];
        if (kernel->accumulator_count > HOST_ACCUMULATORS) {
            anl_diagnose(diagnostics, ANL_A_program_limit, nowhere, "kernel `%s` has %d accumulators; the host device takes %d",
                         kernel->name, kernel->accumulator_count, HOST_ACCUMULATORS);
            return ANL_ERROR_LIMIT;
        }
        switch (kernel->kind) {
        case ANL_KERNEL_MAP:
            e->kernels[k] = anl_host_map_new(&make, kernel);
            break;
        case ANL_KERNEL_REDUCE:
            e->kernels[k] = anl_host_reduce_new(&make, kernel);
            break;
        case ANL_KERNEL_CONTRACT:
            e->kernels[k] = anl_host_contract_new(&make, kernel);
            break;
        }
        if (!e->kernels[k])
            return ANL_ERROR_DEVICE; /* diagnosed where it was found */
    }
    return ANL_OK;
}

static anl_status exec_new(anl_device *base, const anl_program *program, anl_memory *state, anl_diagnostics *diagnostics,
                           anl_exec **out)
{
    host_device *device = (host_device *)base;
    int64_t state_bytes = state ? ((host_memory *)state)->count : 0;
    if (state_bytes < program->space_bytes[ANL_SPACE_STATE]) {
        anl_diagnose(diagnostics, ANL_A_device_range, nowhere, "the program's state takes %lld bytes, the memory given has %lld",
                     (long long)program->space_bytes[ANL_SPACE_STATE], (long long)state_bytes);
        return ANL_ERROR_ARGUMENT;
    }
    host_exec *e = anl_malloc(sizeof *e);
    *e = (host_exec){.base.device = base, .program = program, .state = (host_memory *)state, .arena = anl_arena_new()};
    anl_status status = make_kernels(device, e, diagnostics);
    static const anl_space own[] = {ANL_SPACE_INPUT, ANL_SPACE_TABLE, ANL_SPACE_OUTPUT};
    for (size_t s = 0; s < ANL_COUNT(own) && status == ANL_OK; s++) {
        int64_t bytes = program->space_bytes[own[s]];
        e->space[own[s]] = allocate((size_t)bytes);
        if (!e->space[own[s]])
            status = no_memory(diagnostics, "inputs, outputs and tables", bytes);
        else
            memset(e->space[own[s]], 0, (size_t)bytes);
    }
    if (status == ANL_OK)
        status = grow_device(device, e, diagnostics);
    if (status != ANL_OK) {
        exec_free(&e->base);
        return status;
    }
    fill_tables(e);
    *out = &e->base;
    return ANL_OK;
}

static char *address(const host_exec *e, int buffer)
{
    const anl_buffer *b = &e->program->buffers[buffer];
    char *base = b->space == ANL_SPACE_STATE  ? e->state->bytes
                 : b->space == ANL_SPACE_TEMP ? ((host_device *)e->base.device)->temp
                                              : e->space[b->space];
    return base + b->offset;
}

static void run_kernel(host_exec *e, int k, int64_t step, const double *scalars)
{
    host_device *device = (host_device *)e->base.device;
    const anl_kernel *kernel = &e->program->kernels[k];
    host_run run = {.scalars = scalars,
                    .step = (uint64_t)step,
                    .serial = ++device->serial,
                    .pool = device->pool,
                    .threads = device->threads,
                    .shared = device->shared};
    for (int a = 0; a < kernel->arg_count; a++)
        run.arg[a] = address(e, kernel->args[a].buffer);
    e->kernels[k]->class->run(e->kernels[k], &run);
}

static anl_status exec_run(anl_exec *exec, int64_t step, const double *scalars, anl_diagnostics *diagnostics)
{
    (void)diagnostics;
    host_exec *e = (host_exec *)exec;
    for (int k = 0; k < e->program->kernel_count; k++)
        run_kernel(e, k, step, scalars);
    return ANL_OK;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static anl_status exec_profile(anl_exec *exec, int64_t step, const double *scalars, double *seconds, anl_diagnostics *diagnostics)
{
    (void)diagnostics;
    host_exec *e = (host_exec *)exec;
    for (int k = 0; k < e->program->kernel_count; k++) {
        double start = seconds_now();
        run_kernel(e, k, step, scalars);
        seconds[k] = seconds_now() - start;
    }
    return ANL_OK;
}

static anl_status check_port(const host_exec *e, const char *what, const anl_port *ports, int port_count, int port, int64_t count,
                             anl_diagnostics *diagnostics)
{
    if (port < 0 || port >= port_count || ports[port].buffer < 0) {
        anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "the program has no %s %d with a buffer", what, port);
        return ANL_ERROR_ARGUMENT;
    }
    int64_t bytes = e->program->buffers[ports[port].buffer].bytes;
    if (bytes == count)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "%s `%s` takes %lld bytes, %lld were given", what, ports[port].name,
                 (long long)bytes, (long long)count);
    return ANL_ERROR_ARGUMENT;
}

static anl_status exec_feed(anl_exec *exec, int input, const void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    host_exec *e = (host_exec *)exec;
    anl_status status = check_port(e, "input", e->program->inputs, e->program->input_count, input, count, diagnostics);
    if (status == ANL_OK)
        memcpy(address(e, e->program->inputs[input].buffer), bytes, (size_t)count);
    return status;
}

static anl_status exec_fetch(anl_exec *exec, int output, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    host_exec *e = (host_exec *)exec;
    anl_status status = check_port(e, "output", e->program->outputs, e->program->output_count, output, count, diagnostics);
    if (status == ANL_OK)
        memcpy(bytes, address(e, e->program->outputs[output].buffer), (size_t)count);
    return status;
}

static anl_status exec_peek(anl_exec *exec, int buffer, void *bytes, int64_t count, anl_diagnostics *diagnostics)
{
    host_exec *e = (host_exec *)exec;
    if (buffer < 0 || buffer >= e->program->buffer_count) {
        anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "the program has no buffer %d", buffer);
        return ANL_ERROR_ARGUMENT;
    }
    anl_status status = check_range(e->program->buffers[buffer].name, 0, count, e->program->buffers[buffer].bytes, diagnostics);
    if (status == ANL_OK)
        memcpy(bytes, address(e, buffer), (size_t)count);
    return status;
}

/* ---- the device ---- */
static void device_close(anl_device *base)
{
    host_device *device = (host_device *)base;
    for (int t = 0; t < device->thread_count; t++) {
        free(device->threads[t].block.memory);
        free(device->threads[t].scratch);
    }
    free(device->threads);
    free(device->temp);
    free(device->shared);
    anl_pool_free(&device->pool);
    anl_arena_free(&device->arena);
    free(device);
}

static const anl_device_class host_class = {
    .name = "host",
    .memory_new = memory_new,
    .memory_free = memory_free,
    .memory_write = memory_write,
    .memory_read = memory_read,
    .exec_new = exec_new,
    .exec_free = exec_free,
    .feed = exec_feed,
    .run = exec_run,
    .fetch = exec_fetch,
    .peek = exec_peek,
    .profile = exec_profile,
    .close = device_close,
};

/* The best instruction set that the processor has, or `most` where that is less. NULL: there is no such name. */
static const host_simd *best_simd(const char *most)
{
    static const char *const names[3] = {"base", "avx2", "avx512"};
    const host_simd *all[3] = {&anl_host_simd_base};
    bool had[3] = {true};
    int limit = -1;
#if ANL_HOST_X86
    all[1] = &anl_host_simd_avx2;
    had[1] = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    all[2] = &anl_host_simd_avx512;
    had[2] = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && had[1];
#endif
    for (int i = 0; i < 3; i++)
        if (!most || strcmp(names[i], most) == 0)
            limit = i;
    while (limit > 0 && !had[limit])
        limit--;
    return limit < 0 ? NULL : all[limit];
}

static const char *processor_name(anl_arena *arena)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[512];
    const char *name = NULL;
    while (file && !name && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        colon += strspn(colon, ": \t");
        name = anl_arena_copy(arena, colon, strcspn(colon, "\n"));
    }
    if (file)
        fclose(file);
    return name ? name : "processor";
}

static void describe(anl_arena *arena, const host_blas *blas, const char *instructions, int threads, anl_device_info *info)
{
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    *info = (anl_device_info){.selector = "host", .name = processor_name(arena), .is_cpu = true};
    info->driver = anl_arena_text(arena, anl_host_blas_config(blas));
    info->api = anl_arena_printf(arena, "C, %s instructions, %d thread%s", instructions, threads, threads == 1 ? "" : "s");
    info->limits = (anl_device_limits){.storage_range = memory, .memory = memory, .alignment = ANL_ALIGNMENT};
}

anl_status anl_host_list(anl_arena *arena, const anl_device_options *options, anl_device_info *info, anl_diagnostics *diagnostics)
{
    (void)diagnostics;
    anl_pool *pool = options && options->threads > 0 ? NULL : anl_pool_new(0); /* asks how many cores this process may use */
    describe(arena, anl_host_blas_load(arena), best_simd(NULL)->name, pool ? anl_pool_threads(pool) : options->threads, info);
    anl_pool_free(&pool);
    return ANL_OK;
}

anl_status anl_host_open(const anl_device_options *options, anl_diagnostics *diagnostics, anl_device **out)
{
    *out = NULL;
    if (options->threads < 0 || options->threads > 4096) {
        anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "%d threads were asked for; 0 (one a core) to 4096 can be had",
                     options->threads);
        return ANL_ERROR_ARGUMENT;
    }
    const host_simd *simd = best_simd(options->plain ? "base" : options->instructions);
    if (!simd) {
        anl_diagnose(diagnostics, ANL_A_device_call, nowhere, "the host device knows no instruction set `%s`",
                     options->instructions);
        return ANL_ERROR_ARGUMENT;
    }
    host_device *device = anl_malloc(sizeof *device);
    *device = (host_device){.base.class = &host_class, .arena = anl_arena_new(), .f64 = options->f64, .plain = options->plain};
    device->simd = simd;
    device->pool = anl_pool_new(options->threads);
    device->thread_count = anl_pool_threads(device->pool);
    device->threads = anl_malloc(sizeof *device->threads * (size_t)device->thread_count);
    memset(device->threads, 0, sizeof *device->threads * (size_t)device->thread_count);
    device->blas = anl_host_blas_load(device->arena);
    describe(device->arena, device->blas, simd->name, device->thread_count, &device->base.info);
    *out = &device->base;
    return ANL_OK;
}
