/* A naive evaluator of graphs in double precision: the independent oracle of operations, gradients and the compiler.
 * In: a graph and the values of its fields and states (row-major in the node's axes). Out: the value of any node.
 * Operations that can be inlined run their own lowering, element by element, each load checked against its guards and bounds; reductions
 * and contractions are plain loops written from the definition. Nothing is fused and every node is stored. */
#ifndef ANL_TESTS_EVALUATE_H
#define ANL_TESTS_EVALUATE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "ops/build.h"

typedef struct evaluator {
    anl_lowering lowering; /* first: callbacks get a pointer to it */
    anl_graph *graph;
    double **values; /* by node id; NULL: not computed yet */
    bool *given;
    int capacity;
    int64_t step;
    double steps_per_epoch, total_steps;
    char problem[256]; /* empty: all went well */
    /* the instructions of the element being evaluated */
    struct evaluated {
        anl_dtype dtype;
        double value;
    } *instrs;
    int instr_count, instr_capacity;
    int32_t guards[256];
    int guard_count;
} evaluator;

static inline const double *evaluate(evaluator *e, const anl_node *node);

static inline void evaluator_problem(evaluator *e, const anl_node *node, const char *what)
{
    if (!e->problem[0])
        snprintf(e->problem, sizeof e->problem, "%%%d (%s): %s", node ? node->id : -1, node ? anl_op_describe(node->op)->name : "?", what);
}

static inline int32_t evaluator_push(evaluator *e, anl_dtype dtype, double value)
{
    if (e->instr_count == e->instr_capacity) {
        e->instr_capacity = e->instr_capacity ? 2 * e->instr_capacity : 256;
        e->instrs = realloc(e->instrs, sizeof *e->instrs * (size_t)e->instr_capacity);
        if (!e->instrs)
            abort();
    }
    e->instrs[e->instr_count] = (struct evaluated){dtype, value};
    return e->instr_count++;
}

static inline int32_t evaluator_emit(anl_lowering *l, anl_scalar op, anl_dtype dtype, int32_t a, int32_t b, int32_t c)
{
    evaluator *e = (evaluator *)l;
    int arity = anl_scalar_arity(op);
    int32_t operands[3] = {a, b, c};
    double v[3] = {0};
    for (int i = 0; i < arity; i++) {
        if (operands[i] < 0 || operands[i] >= e->instr_count) {
            evaluator_problem(e, NULL, "an instruction lacks an operand");
            return evaluator_push(e, dtype, 0);
        }
        v[i] = e->instrs[operands[i]].value;
    }
    return evaluator_push(e, dtype, anl_scalar_evaluate(op, dtype, e->instrs[op == ANL_S_SELECT ? b : a].dtype, v[0], v[1], v[2]));
}

static inline int32_t evaluator_constant(anl_lowering *l, anl_dtype dtype, double value) { return evaluator_push((evaluator *)l, dtype, value); }

static inline int32_t evaluator_draw(anl_lowering *l, anl_op op, uint64_t key, int32_t element, int32_t sample)
{
    evaluator *e = (evaluator *)l;
    uint32_t words[4], keys[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t counter[4] = {(uint32_t)e->instrs[element].value, sample < 0 ? 0 : (uint32_t)e->instrs[sample].value, (uint32_t)e->step,
                           (uint32_t)((uint64_t)e->step >> 32)};
    anl_philox(counter, keys, words);
    double u0 = anl_philox_unit(words[0]), u1 = anl_philox_unit(words[1]);
    return evaluator_push(e, ANL_F32, op == ANL_OP_UNIFORM ? u0 : sqrt(-2 * log(1 - u0)) * cos(2 * 3.14159265358979323846 * u1));
}

static inline bool evaluator_guarded_off(const evaluator *e)
{
    for (int i = 0; i < e->guard_count; i++)
        if (e->instrs[e->guards[i]].value == 0)
            return true;
    return false;
}

static inline int32_t evaluator_value(anl_lowering *l, const anl_node *node, const int32_t *coordinates)
{
    evaluator *e = (evaluator *)l;
    if (evaluator_guarded_off(e))
        return evaluator_push(e, node->dtype, NAN); /* must not be used */
    int64_t index = 0;
    for (int i = 0; i < node->rank; i++) {
        double at = e->instrs[coordinates[i]].value;
        if (!(at >= 0 && at < node->axes[i].size)) {
            evaluator_problem(e, node, "read outside its axes");
            return evaluator_push(e, node->dtype, NAN);
        }
        index = index * node->axes[i].size + (int64_t)at;
    }
    return evaluator_push(e, node->dtype, e->values[node->id][index]);
}

static inline void evaluator_push_guard(anl_lowering *l, int32_t guard)
{
    evaluator *e = (evaluator *)l;
    e->guards[e->guard_count++] = guard;
}
static inline void evaluator_pop_guard(anl_lowering *l) { ((evaluator *)l)->guard_count--; }

static inline int32_t evaluator_table(anl_lowering *l, const anl_node *node, int32_t index)
{
    evaluator *e = (evaluator *)l;
    double at = e->instrs[index].value;
    if (evaluator_guarded_off(e))
        return evaluator_push(e, node->dtype, NAN);
    if (!(at >= 0 && at < node->attrs.table_count)) {
        evaluator_problem(e, node, "read outside its table");
        return evaluator_push(e, node->dtype, NAN);
    }
    double value = node->dtype == ANL_F32 ? (double)((const float *)node->attrs.table)[(int)at] : (double)((const int32_t *)node->attrs.table)[(int)at];
    return evaluator_push(e, node->dtype, value);
}

static inline evaluator *evaluator_new(anl_graph *graph)
{
    evaluator *e = calloc(1, sizeof *e);
    e->lowering = (anl_lowering){evaluator_emit,       evaluator_constant,  evaluator_draw, evaluator_value,
                                 evaluator_push_guard, evaluator_pop_guard, evaluator_table};
    e->graph = graph;
    e->steps_per_epoch = 10;
    e->total_steps = 100;
    return e;
}

static inline void evaluator_reserve(evaluator *e)
{
    if (e->capacity >= e->graph->node_count)
        return;
    e->values = realloc(e->values, sizeof *e->values * (size_t)e->graph->node_count);
    e->given = realloc(e->given, sizeof *e->given * (size_t)e->graph->node_count);
    for (int i = e->capacity; i < e->graph->node_count; i++) {
        e->values[i] = NULL;
        e->given[i] = false;
    }
    e->capacity = e->graph->node_count;
}

/* Forgets everything computed, keeps what was given. */
static inline void evaluator_forget(evaluator *e)
{
    for (int i = 0; i < e->capacity; i++)
        if (!e->given[i]) {
            free(e->values[i]);
            e->values[i] = NULL;
        }
}

static inline void evaluator_free(evaluator *e)
{
    for (int i = 0; i < e->capacity; i++)
        free(e->values[i]);
    free(e->values);
    free(e->given);
    free(e->instrs);
    free(e);
}

/* The value of a field or state (or of any node, to cut the graph there); the caller may go on writing into the returned array. */
static inline double *evaluator_give(evaluator *e, const anl_node *node, const double *data)
{
    size_t bytes = sizeof(double) * (size_t)anl_node_count(node);
    evaluator_reserve(e);
    free(e->values[node->id]);
    e->values[node->id] = malloc(bytes);
    memcpy(e->values[node->id], data, bytes);
    e->given[node->id] = true;
    return e->values[node->id];
}

/* ---- plain loops ---- */

/* Row-major index of the element of node at coordinates given by axis id (looked up in ids). */
static inline int64_t evaluator_index(const anl_node *node, const int32_t *ids, const int64_t *at, int count)
{
    int64_t index = 0;
    for (int i = 0; i < node->rank; i++) {
        int k = 0;
        while (k < count && ids[k] != node->axes[i].id)
            k++;
        index = index * node->axes[i].size + (k < count ? at[k] : 0);
    }
    return index;
}

/* Steps through sizes, last one fastest; false at the end. */
static inline bool evaluator_next(int64_t *at, const int64_t *sizes, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        if (++at[i] < sizes[i])
            return true;
        at[i] = 0;
    }
    return false;
}

static inline void evaluate_reduction(const anl_node *node, const double *x, double *out)
{
    const anl_node *input = node->inputs[0];
    int32_t ids[2 * ANL_MAX_AXES];
    int64_t sizes[2 * ANL_MAX_AXES], at[2 * ANL_MAX_AXES] = {0};
    int kept = node->rank, reduced = node->attrs.over_count;
    int64_t n = 1, outside = 0;
    for (int i = 0; i < kept; i++) {
        ids[i] = node->axes[i].id;
        sizes[i] = node->axes[i].size;
    }
    for (int i = 0; i < reduced; i++) {
        ids[kept + i] = node->attrs.over[i];
        sizes[kept + i] = anl_node_size(input, node->attrs.over[i]);
        n *= sizes[kept + i];
    }
    double *terms = malloc(sizeof *terms * (size_t)n);
    do {
        int64_t count = 0, best = 0;
        do
            terms[count++] = x[evaluator_index(input, ids, at, kept + reduced)];
        while (evaluator_next(at + kept, sizes + kept, reduced));
        double sum = 0, squares = 0, exponentials = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += terms[i];
            if (terms[i] > terms[best])
                best = i;
        }
        for (int64_t i = 0; i < n; i++) {
            squares += (terms[i] - sum / (double)n) * (terms[i] - sum / (double)n);
            exponentials += exp(terms[i] - terms[best]);
        }
        if (node->dtype == ANL_I32 && node->op == ANL_OP_SUM)
            sum = anl_scalar_evaluate(ANL_S_ADD, ANL_I32, ANL_I32, sum, 0, 0); /* wraps */
        double mean = sum / (double)n, lse = isinf(terms[best]) ? terms[best] : terms[best] + log(exponentials);
        out[outside++] = node->op == ANL_OP_SUM        ? sum
                         : node->op == ANL_OP_MAX      ? terms[best]
                         : node->op == ANL_OP_ARGMAX   ? (double)best
                         : node->op == ANL_OP_MEAN     ? mean
                         : node->op == ANL_OP_VARIANCE ? squares / (double)n
                                                       : lse;
    } while (evaluator_next(at, sizes, kept));
    free(terms);
}

/* Sum of products over attrs.over and, for each space axis, over all (output position, tap) pairs that reach an input position. */
static inline void evaluate_contraction(const anl_node *node, const double *a, const double *b, double *out)
{
    const anl_attrs *t = &node->attrs;
    const anl_node *na = node->inputs[0], *nb = node->inputs[1];
    int32_t ids[3 * ANL_MAX_AXES];
    int64_t sizes[3 * ANL_MAX_AXES], at[3 * ANL_MAX_AXES] = {0};
    int count = 0, slides = t->slide_count;
    for (int i = 0; i < node->rank; i++) {
        bool slid = false;
        for (int k = 0; k < slides; k++)
            slid |= t->slide[k].axis == node->axes[i].id;
        if (slid)
            continue;
        ids[count] = node->axes[i].id;
        sizes[count++] = node->axes[i].size;
    }
    for (int i = 0; i < t->over_count; i++) {
        ids[count] = t->over[i];
        sizes[count++] = anl_node_size(na, t->over[i]);
    }
    int plain = count;
    for (int k = 0; k < slides; k++) {
        sizes[count++] = t->slide[k].out_size;
        sizes[count++] = t->slide[k].tap_size;
    }
    memset(out, 0, sizeof *out * (size_t)anl_node_count(node));
    do {
        int32_t all[4 * ANL_MAX_AXES];
        int64_t ia[4 * ANL_MAX_AXES], ib[4 * ANL_MAX_AXES], ic[4 * ANL_MAX_AXES];
        bool inside = true;
        memcpy(all, ids, sizeof *ids * (size_t)plain);
        memcpy(ia, at, sizeof *at * (size_t)plain);
        memcpy(ib, at, sizeof *at * (size_t)plain);
        memcpy(ic, at, sizeof *at * (size_t)plain);
        for (int k = 0; k < slides; k++) {
            const anl_slide *s = &t->slide[k];
            int64_t y = at[plain + 2 * k], w = at[plain + 2 * k + 1], x = y * s->stride + w * s->dilation - s->padding;
            inside &= x >= 0 && x < s->in_size;
            all[plain + k] = s->axis;
            ia[plain + k] = t->role == ANL_ROLE_DATA ? y : x;
            ib[plain + k] = t->role == ANL_ROLE_WEIGHT ? y : w;
            ic[plain + k] = t->role == ANL_ROLE_FORWARD ? y : t->role == ANL_ROLE_DATA ? x : w;
        }
        if (inside)
            out[evaluator_index(node, all, ic, plain + slides)] +=
                a[evaluator_index(na, all, ia, plain + slides)] * b[evaluator_index(nb, all, ib, plain + slides)];
    } while (evaluator_next(at, sizes, count));
}

static inline void evaluate_along(const anl_node *node, const double *x, double *out)
{
    const anl_node *input = node->inputs[0];
    int along = anl_node_axis(input, node->attrs.axis[0]);
    int64_t outer = 1, inner = 1, size = input->axes[along].size, result = node->axes[along].size;
    for (int i = 0; i < input->rank; i++)
        *(i < along ? &outer : &inner) *= i == along ? 1 : input->axes[i].size;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const double *from = x + o * size * inner + i;
            double *to = out + o * result * inner + i;
            if (node->op == ANL_OP_SEGMENT_SUM) {
                const int32_t *starts = node->attrs.table;
                for (int64_t s = 0; s < result; s++) {
                    to[s * inner] = 0;
                    for (int32_t k = starts[s]; k < starts[s + 1]; k++)
                        to[s * inner] += from[k * inner];
                }
                continue;
            }
            for (int64_t k = 0; k < result; k++) { /* TOP_K: the greatest that is not taken yet */
                int64_t best = -1;
                for (int64_t c = 0; c < size; c++) {
                    bool taken = false;
                    for (int64_t p = 0; p < k; p++)
                        taken |= to[p * inner] == (double)c;
                    if (!taken && (best < 0 || from[c * inner] > from[best * inner]))
                        best = c;
                }
                to[k * inner] = (double)best;
            }
        }
}

/* The value of a node, row-major in its axes. On a problem e->problem is set and the result is partly NaN. */
static inline const double *evaluate(evaluator *e, const anl_node *node)
{
    evaluator_reserve(e);
    if (e->values[node->id])
        return e->values[node->id];
    int64_t count = anl_node_count(node);
    for (int i = 0; i < node->input_count; i++)
        evaluate(e, node->inputs[i]);
    double *out = calloc((size_t)count, sizeof *out);
    const double *first = node->input_count ? e->values[node->inputs[0]->id] : NULL;
    const anl_op_info *info = anl_op_describe(node->op);
    if (info->lower) {
        int64_t at[ANL_MAX_AXES] = {0}, sizes[ANL_MAX_AXES], element = 0;
        for (int i = 0; i < node->rank; i++)
            sizes[i] = node->axes[i].size;
        do {
            int32_t coordinates[ANL_MAX_AXES];
            e->instr_count = e->guard_count = 0;
            for (int i = 0; i < node->rank; i++)
                coordinates[i] = evaluator_push(e, ANL_I32, (double)at[i]);
            int32_t result = info->lower(&e->lowering, node, coordinates);
            if (e->instrs[result].dtype != node->dtype)
                evaluator_problem(e, node, "the lowering gives another dtype");
            if (e->guard_count)
                evaluator_problem(e, node, "a guard stays on");
            out[element++] = e->instrs[result].value;
        } while (evaluator_next(at, sizes, node->rank));
    } else {
        switch (node->op) {
        case ANL_OP_STEP:
            out[0] = node->attrs.count == 0 ? (double)e->step : node->attrs.count == 1 ? e->steps_per_epoch : e->total_steps;
            break;
        case ANL_OP_SUM:
        case ANL_OP_MAX:
        case ANL_OP_ARGMAX:
        case ANL_OP_LOGSUMEXP:
        case ANL_OP_MEAN:
        case ANL_OP_VARIANCE:
            evaluate_reduction(node, first, out);
            break;
        case ANL_OP_CONTRACT:
            evaluate_contraction(node, first, e->values[node->inputs[1]->id], out);
            break;
        case ANL_OP_SEGMENT_SUM:
        case ANL_OP_TOP_K:
            evaluate_along(node, first, out);
            break;
        default:
            evaluator_problem(e, node, "its value was not given");
            break;
        }
    }
    e->values[node->id] = out;
    return out;
}

#endif
