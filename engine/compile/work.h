/* What the compiler's stages share: normalised nodes, storage decisions, kernels in the making, planned buffers.
 * In: included by the files of compile/ only. Out: the structures that the stages hand on to each other.
 * Stages in order: simplify.c (graph -> nodes), store.c (what is stored, and where), group.c (kernels), lower.c and contract.c
 * (instructions), plan.c (schedule, memory, barriers), compile.c (driver and ports). */
#ifndef ANL_COMPILE_WORK_H
#define ANL_COMPILE_WORK_H

#include "compile/compile.h"
#include "ops/ops.h"

/* Operations that exist only inside the compiler. */
enum {
    ANL_W_UNWIN =
        ANL_OP_COUNT +
        1,         /* [.., in, tap, ..]: the term of UNWINDOWS that tap `t` adds to input position `i` (0 where there is none) */
    ANL_W_SEGMENT, /* [.., segment, within, ..]: element start[segment] + within, 0 past the segment's end */
    ANL_W_SQUEEZE, /* the input without axes of size 1 (attrs.over) */
};

/* Where a stored value lies: element = base + sum stride[i] * coordinate of its axis i. */
typedef struct anl_place {
    int32_t buffer; /* -1: nowhere yet */
    int64_t base;
    int64_t stride[ANL_MAX_AXES];
} anl_place;

enum { ANL_LEAF_MAX = 12 }; /* stored values that one expression reads; leaves room for what its kernel writes and merges */

typedef struct anl_info {
    bool host;        /* a per-step scalar */
    bool stored;      /* in memory: sources, and what is decided to be */
    bool source;      /* stored by nature: STATE, FIELD, TABLE */
    bool forced;      /* must be stored */
    bool heavy;       /* transcendental, draw or gather inside */
    bool pieces;      /* a stored CONCAT filled piece by piece */
    bool aliased;     /* lies inside the buffer of a concat */
    int32_t scalar;   /* host: instruction number, -1: none yet */
    int32_t slot;     /* host: scalar slot, -1: none yet */
    int32_t kernel;   /* that computes it; -1: none (sources, inlined) */
    int32_t concat;   /* aliased: the concat in whose buffer it lies; -1 */
    int32_t *writers; /* pieces: kernels that fill it */
    int writer_count, writer_capacity;
    int32_t absorbs;  /* root with an epilogue: id of the contraction that it takes in; -1 */
    int32_t absorbed; /* contraction: id of the root that takes it in; -1 */
    int32_t chain;    /* elementwise between a contraction and the root that absorbs it: the contraction's id; -1 */
    double flops;     /* of one element, inlined inputs included */
    int32_t weight;   /* instructions of one element, as a tree */
    int leaf_count;
    int32_t leaf[ANL_LEAF_MAX + 4];
    anl_place at;
} anl_info;

typedef struct anl_wbuffer {
    anl_buffer b;
    int32_t parent;       /* sub-range of this buffer, or -1 */
    int64_t inside;       /* bytes from the parent's start */
    int first, last;      /* kernel positions of the first write and the last use */
    const anl_node *node; /* for messages */
} anl_wbuffer;

/* One store of a kernel: the value of node over axes (node's axes are among them) goes to a place. */
typedef struct anl_root {
    anl_node *node;
    int rank;
    anl_axis axes[ANL_MAX_AXES];
    anl_place to;
    int32_t kernel;
    bool update; /* writes a state */
    bool own;    /* `to` is the node's own place (so that the store can go when nobody reads it) */
    bool fill;   /* writes fill_value at the elements of a table (pads of a concat) */
    double fill_value;
    int32_t fill_table; /* buffer */
    int32_t concat;     /* the concat that it fills a piece of; -1 */
    int leaf_count;
    int32_t leaf[ANL_MAX_INPUTS];
} anl_root;

typedef struct anl_wdim {
    int32_t axis, size;
    int group; /* dims of one group may merge */
} anl_wdim;

typedef struct anl_group {
    anl_kernel_kind kind;
    int32_t *roots;
    int root_count, root_capacity;
    anl_node *contract;          /* CONTRACT: the contraction */
    int kept_rank, reduced_rank; /* domain */
    anl_axis kept[ANL_MAX_AXES], reduced[ANL_MAX_AXES];
    uint64_t domain; /* hash of the sets kept, reduced */
    int32_t *leaves; /* stored nodes read, sorted by id */
    int leaf_count, leaf_capacity;
    int outputs;
    int64_t weight;
    int32_t order; /* place in the original order: the latest node among the roots */
    bool update, has_fill, no_join;
    int32_t merged_into; /* -1: alive */
    anl_kernel kernel;   /* after lowering; args hold wbuffer numbers */
    int32_t *before;     /* schedule: groups that must precede */
    int before_count, before_capacity;
    int position;
} anl_group;

typedef struct anl_work {
    anl_arena *arena; /* scratch, freed after compiling */
    anl_arena *out;   /* the program's */
    anl_graph *graph;
    const anl_state_layout *layout;
    anl_compile_options options;
    anl_diagnostics *diagnostics;
    anl_program *program;
    bool failed;

    anl_node **nodes;
    int node_count, node_capacity;
    int32_t *hash;
    int hash_size;
    int32_t next_axis;
    anl_node **outputs; /* parallel to graph->outputs */
    anl_node **updates; /* parallel to graph->states; NULL: none */
    int32_t *uses;      /* by node id */
    int uses_capacity;
    int32_t *extra; /* by node id: as output or update */

    anl_info *info;
    int32_t *use_start, *use_list; /* consumers of node n: use_list[use_start[n] .. use_start[n + 1]) */
    int32_t *state_buffer;         /* by place in the layout */
    int32_t *state_place;          /* by graph state id: place in the layout */
    anl_place *output_at;          /* by output */

    anl_wbuffer *buffers;
    int buffer_count, buffer_capacity;
    anl_root *roots;
    int root_count, root_capacity;
    anl_group *groups;
    int group_count, group_capacity;
    int32_t *order; /* groups in schedule order */
    int order_count;

    anl_instr *scalars;
    int scalar_count, scalar_capacity;
    int32_t *slots;
    int slot_count, slot_capacity;
} anl_work;

/* ---- simplify.c ---- */
void anl_work_simplify(anl_work *w);
anl_node *anl_work_node(anl_work *w, const anl_node *proto); /* finds or appends */

/* ---- store.c ---- */
void anl_work_decide(anl_work *w); /* what is stored */
void anl_work_place(anl_work *w);  /* buffers, places and roots */
bool anl_work_view(anl_work *w, anl_node *n, anl_node **leaf, int64_t *base, int64_t stride[ANL_MAX_AXES]);
int anl_work_leaves(anl_work *w, anl_node *root, int32_t *list,
                    int limit); /* stored values that inlining root reads; limit + 1: more */
int32_t anl_work_buffer(anl_work *w, anl_space space, anl_dtype dtype, int64_t count, const char *name, const anl_node *node);
int anl_work_esize(const anl_work *w, anl_dtype dtype);
bool anl_is_inline_movement(int op);
bool anl_is_reduction(int op);

/* ---- group.c ---- */
void anl_work_group(anl_work *w);

/* ---- contract.c ---- */
/* Dims and strides of a contraction before merging. dims[]: the kernel's dims with axis and group. */
bool anl_work_contract(anl_work *w, anl_node *c, const anl_root *root, anl_contract *out, anl_wdim *dims, int *dim_count);
/* Merges dim q into p (adjacent in one group) in the description; indices as in kernel dims. */
void anl_contract_merge(anl_contract *c, int p);
bool anl_contract_can_merge(const anl_contract *c, int p);
void anl_contract_merge_k(anl_contract *c);

/* ---- lower.c ---- */
void anl_work_lower(anl_work *w);
int32_t anl_work_slot(anl_work *w, anl_node *n); /* slot of a per-step scalar */

/* ---- plan.c ---- */
void anl_work_plan(anl_work *w);

void anl_work_fail(anl_work *w, anl_code code, const anl_node *n, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
