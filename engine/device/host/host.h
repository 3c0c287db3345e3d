/* What the files of the host executor share: kernels made ready to run over cache-sized blocks.
 * In: kernels of a program. Out: bodies (lists of block operations), loops over them, contractions.
 * Nothing here is global: all working memory hangs on the device or the exec. */
#ifndef ANL_DEVICE_HOST_HOST_H
#define ANL_DEVICE_HOST_HOST_H

#include "base/base.h"
#include "base/threads.h"
#include "compile/program.h"
#include "device/device.h"

enum { HOST_BLOCK = 1024, HOST_ACCUMULATORS = 8, HOST_LINE = 64 };

/* ---- affine access: element = base + sum of stride * index over iteration dims, innermost first, neighbours merged ---- */
typedef struct host_access {
    int count;
    int64_t size[ANL_MAX_DIMS];
    int64_t stride[ANL_MAX_DIMS];
    int64_t base;
} host_access;

/* ---- one operation on a block ---- */
typedef struct host_op host_op;
typedef struct host_block host_block;
typedef void host_fn(const host_op *op, host_block *block);

struct host_op {
    host_fn *fn;
    int32_t dst, a, b, c; /* instruction numbers */
    int32_t slot;         /* argument, scalar, or accumulator */
    int32_t component;
    double value;
    uint64_t key;
    host_access access;
    bool copy;  /* a load that may not point into memory: a store changes it before it is used, or the block is spread */
    bool widen; /* slow: faster operations read it as a whole block */
};

/* What one thread works with on one body. */
struct host_block {
    int64_t p;                    /* first point of the block, in iteration order */
    int n;                        /* points */
    void **value;                 /* per instruction: where its block is */
    void **home;                  /* per instruction: its own buffer, or NULL */
    void **row_value, **row_home; /* the same for values computed once a row */
    void *const *arg;             /* per kernel argument: first element of the buffer */
    const double *scalars;
    uint64_t step;
    void *acc[HOST_ACCUMULATORS][2]; /* tails: results of the accumulators, element 0 is point acc_origin */
    int64_t acc_origin;
    void *memory; /* blocks of values */
    size_t memory_bytes;
    const void *prepared; /* body whose hoisted operations hold, for this run */
    int64_t prepared_run;
    int64_t slow_at; /* which stretch of slow values holds */
};

/* Instructions made ready for a domain cut into blocks. Four rates: hoisted (the same in every block), slow (one value for a
 * stretch of several blocks, evaluated at one point and spread), row (one value for each row of the innermost dim, most often the
 * channels: index arithmetic and guards), and the rest. */
typedef struct host_body {
    const anl_kernel *kernel;
    bool f64;
    int64_t total; /* points */
    int block;     /* largest n */
    host_op *hoisted, *slow, *rows, *ops, *stores;
    int hoisted_count, slow_count, row_op_count, op_count, store_count;
    int64_t slow_span;
    int64_t row; /* points of a row; 0: none are told apart */
    int32_t *row_home;
    int row_slot_count;
    size_t row_slot_bytes;
    int instr_count;
    int32_t *home; /* per instruction: slot number or -1 */
    int slot_count;
    size_t slot_bytes;
} host_body;

/* ---- what is compiled once per instruction set ---- */
typedef struct host_span { /* a block of values as [outer][reduced][inner] and where its accumulation starts */
    int outer, reduced, inner;
    int64_t first;        /* reduced index of the first row */
    double before;        /* rows accumulated before, same for all points of the block */
    int64_t state_stride; /* states between outer rows */
} host_span;

typedef struct host_simd {
    const char *name;
    /* The block function of an instruction: operand is the dtype of a (of b for SELECT); NULL: no such operation. */
    host_fn *(*select)(bool f64, int op, int dtype, int operand);
    host_fn *(*store)(bool f64, int dtype, bool scatter);
    void (*spread)(void *to, size_t element, int n); /* first element into all n */
    /* Accumulates a block of values into states (two doubles per kept point: s0[], s1[]); scratch holds 4 * HOST_BLOCK doubles.
     */
    void (*accumulate)(bool f64, anl_combine combine, bool integer, const void *values, const host_span *span, double *s0,
                       double *s1, void *scratch);
} host_simd;

/* Matrix kernels on float32 (gemm.c): tiles that stay in registers. */
typedef struct host_gemm {
    int rows, columns; /* tile of `rows` */
    int outer_rows;    /* tile of `outer`: outer_rows x columns */
    /* c[r * ldc + j] = sum over taps t and k < depth of row[r][offset[t] + k] * panel[t][k * columns + j], r < row_count, j <
     * column_count. */
    void (*product)(int row_count, int column_count, const float *const *row, int taps, const int64_t *offset,
                    const float *const *panel, int depth, float *c, int64_t ldc);
    /* c[r * ldc + j] += sum over s < steps of x[xo[s] + r] * y[yo[s] + j], r < row_count, all columns. */
    void (*outer)(int row_count, int steps, const float *x, const int64_t *xo, const float *y, const int64_t *yo, float *c,
                  int64_t ldc);
} host_gemm;
extern const host_gemm anl_host_gemm_base;
#if ANL_HOST_X86
extern const host_gemm anl_host_gemm_avx2, anl_host_gemm_avx512;
#endif

/* ---- bodies (body.c) ---- */
typedef struct host_body_options {
    bool f64;
    const host_simd *simd;
    int first, last; /* instructions [first, last) */
    int dim_count;   /* iteration dims, outermost first: kernel dims in the order of `order` */
    int order[ANL_MAX_DIMS];
    int block;       /* points per block at most */
    int64_t granule; /* every block starts at a multiple of this; block is one too */
    int64_t stretch; /* no block straddles a multiple of this (0: not known) */
    bool stores;     /* roots: the stores; else the accumulators' instructions */
    bool acc_affine; /* ACC is read at acc_stride (by kernel dim); else at the point's number */
    int64_t acc_stride[ANL_MAX_DIMS];
} host_body_options;
/* Memory from the arena. NULL after a diagnostic (an instruction that does not exist). */
host_body *anl_host_body_new(anl_arena *arena, const anl_kernel *kernel, const host_body_options *options,
                             anl_diagnostics *diagnostics);
/* Bytes one thread needs for a body's blocks. */
size_t anl_host_body_bytes(const host_body *body);
/* Binds a thread's block to a body for this run; block->memory must be large enough. */
void anl_host_body_enter(const host_body *body, const host_simd *simd, host_block *block, int64_t run);
/* Evaluates all operations at points [p, p+n); with stores done. */
void anl_host_body_evaluate(const host_body *body, const host_simd *simd, host_block *block, int64_t p, int n, bool store);
/* Block size and granule for a plain walk over dims. */
void anl_host_block_shape(int dim_count, const int32_t *dims, int *block, int64_t *granule, int64_t *stretch);

/* ---- kernels (loops.c, contract.c) ---- */
typedef struct host_thread { /* one per thread of the pool */
    host_block block;
    void *scratch; /* kernel's own working memory */
    size_t scratch_bytes;
} host_thread;

typedef struct host_run { /* one run of one kernel */
    void *arg[ANL_MAX_ARGS];
    const double *scalars;
    uint64_t step;
    int64_t serial; /* never the same twice on a device */
    anl_pool *pool;
    host_thread *threads;
    void *shared; /* working memory that the threads share */
} host_run;

typedef struct host_kernel host_kernel;
typedef struct host_kernel_class {
    void (*run)(const host_kernel *kernel, host_run *run);
} host_kernel_class;

/* Base of what each kind prepares. */
struct host_kernel {
    const host_kernel_class *class;
    const anl_kernel *kernel;
    const host_simd *simd;
    bool f64;
    size_t thread_bytes; /* scratch per thread */
    size_t block_bytes;  /* blocks per thread: the largest of its bodies */
    size_t shared_bytes;
};

/* OpenBLAS, loaded when a device is opened: its threads begin with the library, and most commands need neither. */
typedef struct host_blas host_blas;
const host_blas *anl_host_blas_load(anl_arena *arena);     /* NULL: built without it, or not there */
const char *anl_host_blas_config(const host_blas *blas); /* what it says of itself; NULL: "without BLAS" */

typedef struct host_make {
    anl_arena *arena;
    const host_simd *simd;
    const host_gemm *gemm;
    const host_blas *blas; /* NULL: our own tiles do all products */
    bool f64, plain;
    anl_diagnostics *diagnostics;
} host_make;
host_kernel *anl_host_map_new(const host_make *make, const anl_kernel *kernel);
host_kernel *anl_host_reduce_new(const host_make *make, const anl_kernel *kernel);
host_kernel *anl_host_contract_new(const host_make *make, const anl_kernel *kernel);

/* ---- instruction sets ---- */
extern const host_simd anl_host_simd_base;
#if ANL_HOST_X86
extern const host_simd anl_host_simd_avx2, anl_host_simd_avx512;
#endif

static inline int64_t host_minimum(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t host_maximum(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t host_round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

#endif
