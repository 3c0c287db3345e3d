/* What is known of the values of a graph before it runs: bounds, unit length, which axes are samples, what is equal along an axis.
 * In: a traced graph. Out: a fact for every node, by id. Facts are sound but for float32's rounding: a bound is never too tight, a
 * claim (unit length, equality) is made only where the structure of the graph shows it.
 * Everything is a few sweeps over the nodes. */
#ifndef ANL_LINT_FACTS_H
#define ANL_LINT_FACTS_H

#include <float.h>
#include <math.h>

#include "lint/walk.h"

/* What a value depends on. */
enum {
    ANL_FROM_FIELD = 1,  /* the data */
    ANL_FROM_WEIGHT = 2, /* also of copies */
    ANL_FROM_STATE = 4,  /* state that is no weight: queues, running statistics */
    ANL_FROM_DRAW = 8,
};

/* Steps at which schedules are looked at: the first, the last, and between them denser at the beginning, where warm-ups are. */
enum { ANL_MOMENTS = 12 };

/* Axes as bits: bit i is the axis at position i of the node. */
typedef uint16_t anl_axis_bits;

typedef struct anl_fact {
    double low, high;      /* bounds of all elements, in float32: what underflows is 0, what overflows is infinite */
    const double *moments; /* [ANL_MOMENTS] where all elements are one number that depends on the step alone; else NULL */
    anl_axis_bits samples; /* axes along which the samples of a batch lie (or those of earlier batches, in a queue) */
    anl_axis_bits unit;    /* axes along which vectors have unit length */
    anl_axis_bits softmax; /* axes along which the values are positive and sum to one, but for one factor */
    anl_axis_bits same;    /* axes along which all is equal, since the data was replicated along them */
    uint8_t from;
} anl_fact;

typedef struct anl_facts {
    const anl_traced *traced;
    const anl_graph *graph;
    anl_fact *of;         /* by node id */
    const bool *loss;     /* by node id: the losses' values are made from it */
    const bool *learning; /* by node id: on a way along which a gradient flows from a loss to a weight */
    anl_users users;
    double steps[ANL_MOMENTS];
} anl_facts;

anl_facts *anl_facts_of(anl_arena *arena, const anl_recipe *recipe, const anl_traced *traced);

/* Found once for the first and for the last phase, since several families want them. */
const anl_facts *anl_facts_shared(anl_lint_pass *pass, const anl_traced *traced);

static inline const anl_fact *anl_fact_of(const anl_facts *f, const anl_node *n) { return &f->of[n->id]; }

/* float32: exp of more is infinite (88.72); exp of less is no normal number, and devices may flush it to 0 (-87.34); below that not even
 * a denormal one is left (-103.28). */
static inline double anl_exp_overflow(void) { return log(FLT_MAX); }
static inline double anl_exp_underflow(void) { return log(FLT_MIN); }
static inline double anl_exp_vanish(void) { return log(FLT_TRUE_MIN); }

/* Whether 0 is the greatest lower bound that is known, so that nothing keeps the value from being 0. Of bounds that are not known
 * (negative infinity) nothing is said. */
static inline bool anl_may_vanish(const anl_fact *f) { return f->low >= 0 && f->low < FLT_MIN && f->high > f->low; }

static inline bool anl_is_scalar(const anl_node *n, anl_scalar s) { return n->op == ANL_OP_SCALAR && n->attrs.scalar == s; }
/* Behind what only gives elements other axes or cuts gradients: the same numbers. */
const anl_node *anl_fact_same_numbers(const anl_node *n);
/* The value behind what keeps it off 0: maximum(x, c), x + c. */
const anl_node *anl_fact_unguarded(const anl_facts *f, const anl_node *n);
/* The reduction of x itself that n is, as sum(x, …) or logsumexp(x, …), guarded or scaled; NULL: it is none. */
const anl_node *anl_fact_own_reduction(const anl_facts *f, const anl_node *n, const anl_node *x, anl_op op);
anl_axis_bits anl_axis_bits_over(const anl_node *reduction); /* in the axes of its input */
/* A merge of axes all but one of which have size 1, as x[view=0] makes it: the one that is kept, in the axes of its input; 0: another merge. */
anl_axis_bits anl_fact_kept_axis(const anl_node *merge);
anl_axis_bits anl_axis_bits_carried(const anl_node *to, const anl_node *from, anl_axis_bits bits); /* by axis id */

#endif
