/* The compiled program: the boundary between compiler and devices.
 * In: nothing at run time but feeds, per-step scalars and persistent state. Out: state updates and outputs.
 * Flat and immutable: buffers with planned byte ranges, kernels in order, barriers. No graph, no names needed to run it.
 *
 * A kernel is a loop nest and an expression DAG. Three kinds:
 *   MAP       for each point of dims: evaluate the instructions, do the stores.
 *   REDUCE    dims = kept dims first, then reduced dims. For each kept point: evaluate the body over all reduced points, feed the
 *             accumulators; then evaluate the tail (which may use ACC) and do the stores.
 *   CONTRACT  a sum of products A*B (matrix product, convolution and its two gradients; anl_contract below), dims = the
 *             output's dims; the tail is evaluated for each output point with ACC 0 = the sum; then the stores.
 * Instruction order: [0, body_count) are evaluated over all dims (MAP, REDUCE); [body_count, instr_count) is the tail, over kept dims
 * (REDUCE, CONTRACT). A MAP has no tail; a CONTRACT no body. An instruction only refers to earlier ones. Tail instructions may refer to body
 * instructions only if those depend on no reduced dim: to keep executors simple the compiler never does it; the tail repeats what it needs. */
#ifndef ANL_COMPILE_PROGRAM_H
#define ANL_COMPILE_PROGRAM_H

#include <anlage/diagnostic.h>

#include "base/base.h"
#include "graph/scalar.h"

enum { ANL_MAX_DIMS = 12, ANL_MAX_ARGS = 16 };

/* ---- instructions ---- */
enum {
    ANL_X_CONST = 100, /* value (any dtype) */
    ANL_X_DIM,         /* int32: the index along kernel dim `slot` */
    ANL_X_LOAD,        /* element a (int32 instruction: element index within arg `slot`) where b (bool instruction, or -1: always); else `value`.
                          Where b is false nothing is read and a may be anything. */
    ANL_X_SCALAR,      /* float: per-step scalar `slot` */
    ANL_X_ACC,         /* tail: result of accumulator `slot`, component a (MOMENTS: 0 mean, 1 sum of squared deviations / count; else 0) */
    ANL_X_UNIFORM,     /* float in [0,1): anl_philox_unit(word 0) of counter {element a, sample b, step lo, step hi}, key {key lo, key hi};
                          a and b are int32 instructions (b may be -1: 0); step is the program's current step */
    ANL_X_NORMAL,      /* float: Box-Muller from the same counter: sqrt(-2 ln(1 - u0)) * cos(2 pi u1), u_i = unit(word i) */
};

typedef struct anl_instr {
    uint16_t op;   /* an anl_scalar or ANL_X_… */
    uint8_t dtype; /* of the result */
    int32_t a, b, c;
    int32_t slot;
    double value;
    uint64_t key;
} anl_instr;

typedef enum anl_combine { ANL_SUM, ANL_MAX, ANL_ARGMAX, ANL_LOGSUMEXP, ANL_MOMENTS } anl_combine;
/* SUM: float or int32. MAX: float or int32; of nothing: -inf / INT32_MIN. ARGMAX: int32, the linear index over the reduced dims (row major) of
 * the first greatest element. LOGSUMEXP: float, shifted by the maximum. MOMENTS: float, see ANL_X_ACC; Welford or shifted sums, not sum of squares. */
typedef struct anl_accumulator {
    anl_combine combine;
    anl_dtype dtype;
    int32_t instr; /* body instruction that is accumulated */
} anl_accumulator;

typedef struct anl_store {
    int32_t arg;   /* kernel argument (written) */
    int32_t index; /* int32 instruction: element index. Distinct points store to distinct elements. */
    int32_t value; /* instruction; its dtype is the buffer's */
} anl_store;

/* ---- contraction ----
 * One dimension of a contraction with its element stride in A, B and the output C (0 where the tensor lacks it). */
typedef struct anl_contract_dim {
    int32_t size;
    int64_t a, b, c;
} anl_contract_dim;

/* A convolution's space axis. It ties an input position, a kernel tap and an output position:
 *     input = output * stride + tap * dilation - padding,   with 0 <= input < in_size (elsewhere the term is 0).
 * X is the tensor over input positions, W over taps, Y over output positions; role says which of the three is computed. */
typedef struct anl_window {
    int32_t in_size, tap_size, out_size;
    int32_t stride, dilation, padding;
    int64_t x, w, y; /* element strides of this axis in X, W, Y */
} anl_window;

typedef enum anl_contract_role {
    ANL_CONTRACT_FORWARD, /* A = X, B = W, C = Y: sum over k and taps                        */
    ANL_CONTRACT_DATA,    /* A = Y, B = W, C = X: sum over k and taps (gradient by the input) */
    ANL_CONTRACT_WEIGHT,  /* A = X, B = Y, C = W: sum over k and output positions (gradient by the kernel) */
} anl_contract_role;

enum { ANL_MAX_CONTRACT_DIMS = 6 };
/* C[batch, m, n] (+ windows) = sum over k (+ windows) of A[batch, m, k] * B[batch, n, k].
 *   batch: in A, B and C;  m: in A and C;  n: in B and C;  k: in A and B. Plain matrix products have window_count 0 (role FORWARD).
 * Kernel dims (what ANL_X_DIM counts in the tail) are, in this order: batch[], m[], then per window the output's own position (FORWARD: out,
 * DATA: in, WEIGHT: tap), then n[]. Strides of C are informative: what is stored where is said by the stores, whose trivial
 * form is one store of ACC 0 at the affine index sum(dim * c) (executors may recognise it with anl_kernel_plain_store). */
typedef struct anl_contract {
    anl_contract_role role;
    int batch_count, m_count, n_count, k_count, window_count;
    anl_contract_dim batch[ANL_MAX_CONTRACT_DIMS], m[ANL_MAX_CONTRACT_DIMS], n[ANL_MAX_CONTRACT_DIMS], k[ANL_MAX_CONTRACT_DIMS];
    anl_window window[3];
    int32_t a_arg, b_arg; /* kernel arguments read */
    int64_t a_base, b_base; /* element offsets */
} anl_contract;

/* ---- kernels ---- */
typedef enum anl_kernel_kind { ANL_KERNEL_MAP, ANL_KERNEL_REDUCE, ANL_KERNEL_CONTRACT } anl_kernel_kind;

typedef struct anl_kernel_arg {
    int32_t buffer; /* index into program->buffers */
    bool read, written;
} anl_kernel_arg;

typedef struct anl_kernel {
    anl_kernel_kind kind;
    const char *name; /* for people: spec path and operations, e.g. "encoder.layer1.0.bn1 moments" */
    int dim_count, kept_count; /* MAP, CONTRACT: kept_count == dim_count */
    int32_t dims[ANL_MAX_DIMS];
    anl_instr *instrs;
    int instr_count, body_count;
    anl_accumulator *accumulators;
    int accumulator_count;
    anl_store *stores;
    int store_count;
    anl_kernel_arg args[ANL_MAX_ARGS]; /* an arg appears once; buffers bound to one kernel overlap in bytes only where read in place (see in_place) */
    int arg_count;
    anl_contract contract;
    /* True where a store overwrites elements of a buffer that the same kernel reads: each point then reads only the element it itself writes (same index),
     * so any order and any parallelism over points is fine. */
    bool in_place;
    const char *owner; /* the path under which it is counted, and the part of the step: those of the contraction, or else of the first value stored */
    anl_stage stage;
    double flops, bytes; /* estimate for explain */
    bool barrier_before; /* a full memory barrier must separate it from the kernels since the last barrier */
} anl_kernel;

/* ---- buffers ---- */
typedef enum anl_space {
    ANL_SPACE_STATE, /* persistent: weights, optimizer state, queues; shared by the programs of all phases */
    ANL_SPACE_TEMP,  /* planned memory of one run; contents undefined before and after */
    ANL_SPACE_INPUT, /* fed before a run */
    ANL_SPACE_TABLE, /* constants of the program (int32 or float) */
    ANL_SPACE_OUTPUT /* read after a run */
} anl_space;

typedef struct anl_buffer {
    anl_space space;
    anl_dtype dtype;
    const char *name;
    int64_t count;  /* elements */
    int64_t offset; /* bytes from the start of its space; a multiple of ANL_ALIGNMENT for whole tensors (see anl_program_state for sub-ranges) */
    int64_t bytes;
    const void *table; /* SPACE_TABLE: count elements (int32_t, or float) */
    int32_t first, last; /* SPACE_TEMP: the kernels between which its bytes, or those of the tensor that it is a part of, are in use */
    anl_span span;       /* the place in the spec that it comes from; lives as long as the recipe */
} anl_buffer;
enum { ANL_ALIGNMENT = 256 };

/* A named tensor at the program's edge: inputs, outputs and state. Axes in declared order; strides say how it lies in its buffer. */
typedef struct anl_port {
    const char *name;
    int32_t buffer; /* -1: an output that is a per-step scalar (see scalar) */
    int32_t scalar;
    anl_dtype dtype;
    int rank;
    const char *axis[ANL_MAX_DIMS];
    int32_t size[ANL_MAX_DIMS];
    int64_t stride[ANL_MAX_DIMS]; /* elements */
    int64_t base;                 /* element of the buffer where it starts */
} anl_port;

/* Per-step scalars are small expressions over the step, computed on the host in double precision: instructions of their own list,
 * ops: CONST, the anl_scalars, and these. */
enum { ANL_X_STEP = 200, ANL_X_STEPS_PER_EPOCH, ANL_X_TOTAL_STEPS };

typedef struct anl_program {
    anl_arena *arena; /* owns everything below */
    bool f64;         /* floats are float64 (the oracle) */
    anl_buffer *buffers;
    int buffer_count;
    anl_kernel *kernels;
    int kernel_count;
    anl_port *inputs, *outputs, *states;
    int input_count, output_count, state_count;
    anl_instr *scalar_instrs;
    int scalar_instr_count;
    int32_t *scalars; /* scalar slot -> instruction */
    int scalar_count;
    int64_t space_bytes[5];   /* size of each space */
    int64_t temp_lower_bound; /* largest sum of bytes live at once … */
    int temp_peak;            /* … which is while this kernel runs */
} anl_program;

void anl_program_free(anl_program **program);
void anl_program_print(const anl_program *program, FILE *out); /* one line a kernel: dims, args, barrier, flops, bytes, name */

void anl_kernel_print(const anl_program *program, int kernel, FILE *out); /* its instructions */

/* The values of all per-step scalars. out: [scalar_count] */
void anl_program_scalars(const anl_program *program, int64_t step, double steps_per_epoch, double total_steps, double *out);

/* ---- what executors need to know of an instruction list ---- */
/* If int32 instruction `instr` is affine in the kernel's dims: true, index = base + sum coefficient[d] * dim d. */
bool anl_kernel_affine(const anl_kernel *kernel, int32_t instr, int64_t coefficient[ANL_MAX_DIMS], int64_t *base);
/* The same for all of the first `count` instructions at once. */
void anl_kernel_affine_all(const anl_kernel *kernel, int count, bool *known, int64_t (*coefficient)[ANL_MAX_DIMS], int64_t *base);
/* True if the kernel's tail is nothing but one store of ACC 0 at an affine index. */
bool anl_kernel_plain_store(const anl_kernel *kernel, int64_t coefficient[ANL_MAX_DIMS], int64_t *base);

/* Bytes that partial sums of one contraction may take: it is split into as many as fit. */
enum { ANL_PARTIAL_LIMIT = 64 << 20 };
/* A bound on the bytes that partial sums of kernels that may run side by side take, besides the planned memory. */
int64_t anl_program_partials(const anl_program *program);

/* The second checker: recomputes liveness, hazards, bounds and well-formedness from the program alone. */
anl_status anl_program_check(const anl_program *program, anl_diagnostics *diagnostics);

#endif
