/* Simplification: the graph is copied into normalised nodes.
 * In: a verified graph. Out: w->nodes: live nodes only, equal ones once, constants folded, sums split from factors that they do
 * not range over, operations without an instruction (windows' adjoint, segment sums, top k, integer powers) rewritten in others.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

#define FROM(like) .span = (like)->span, .path = (like)->path, .owner = (like)->owner, .stage = (like)->stage

/* ---- nodes, each once ---- */
static uint64_t node_hash(const anl_node *n)
{
    struct {
        int32_t op, dtype, rank, inputs, scalar, axis0, axis1, over_count, start, step, count, slide_count, role, table_count;
        double value;
        uint64_t key, name;
        uintptr_t state, table;
    } h = {n->op,
           n->dtype,
           n->rank,
           n->input_count,
           n->attrs.scalar,
           n->attrs.axis[0],
           n->attrs.axis[1],
           n->attrs.over_count,
           n->attrs.start,
           n->attrs.step,
           n->attrs.count,
           n->attrs.slide_count,
           n->attrs.role,
           n->attrs.table_count,
           n->attrs.value,
           n->attrs.key,
           n->attrs.name ? anl_hash_text(n->attrs.name, 0) : 0,
           n->attrs.state ? (uintptr_t)n->attrs.state->id + 1 : 0,
           0};
    uint64_t x = anl_hash(&h, sizeof h, 1);
    x = anl_hash(n->axes, sizeof n->axes[0] * (size_t)n->rank, x);
    x = anl_hash(n->attrs.over, sizeof n->attrs.over[0] * (size_t)n->attrs.over_count, x);
    for (int i = 0; i < n->input_count; i++)
        x = anl_hash(&n->inputs[i]->id, sizeof n->inputs[i]->id, x);
    return x;
}

static bool node_equal(const anl_node *a, const anl_node *b)
{
    const anl_attrs *p = &a->attrs, *q = &b->attrs;
    if (a->op != b->op || a->dtype != b->dtype || a->rank != b->rank || a->input_count != b->input_count)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->axes[i].id != b->axes[i].id || a->axes[i].size != b->axes[i].size)
            return false;
    for (int i = 0; i < a->input_count; i++)
        if (a->inputs[i] != b->inputs[i])
            return false;
    if (p->scalar != q->scalar || memcmp(&p->value, &q->value, sizeof p->value) != 0 || p->axis[0] != q->axis[0] ||
        p->axis[1] != q->axis[1] || p->over_count != q->over_count || p->start != q->start || p->step != q->step ||
        p->count != q->count || p->slide_count != q->slide_count || p->role != q->role || p->key != q->key ||
        p->state != q->state || p->table != q->table || p->table_count != q->table_count)
        return false;
    if (memcmp(p->over, q->over, sizeof p->over[0] * (size_t)p->over_count) != 0)
        return false;
    for (int s = 0; s < p->slide_count; s++)
        if (memcmp(&p->slide[s], &q->slide[s], sizeof p->slide[s]) != 0)
            return false;
    if ((p->name != NULL) != (q->name != NULL) || (p->name && strcmp(p->name, q->name) != 0))
        return false;
    return true;
}

static void hash_grow(anl_work *w)
{
    int size = w->hash_size > 0 ? w->hash_size * 2 : 1024;
    int32_t *table = ANL_NEW_ARRAY(w->arena, int32_t, size);
    for (int i = 0; i < size; i++)
        table[i] = -1;
    for (int n = 0; n < w->node_count; n++) {
        uint64_t h = node_hash(w->nodes[n]);
        while (table[h & (uint64_t)(size - 1)] >= 0)
            h++;
        table[h & (uint64_t)(size - 1)] = n;
    }
    w->hash = table;
    w->hash_size = size;
}

anl_node *anl_work_node(anl_work *w, const anl_node *proto)
{
    if (w->node_count * 2 >= w->hash_size)
        hash_grow(w);
    uint64_t mask = (uint64_t)w->hash_size - 1, h = node_hash(proto);
    for (; w->hash[h & mask] >= 0; h++)
        if (node_equal(w->nodes[w->hash[h & mask]], proto))
            return w->nodes[w->hash[h & mask]];
    anl_node *n = ANL_NEW(w->arena, anl_node);
    *n = *proto;
    n->inputs = ANL_NEW_ARRAY(w->arena, anl_node *, n->input_count + 1);
    if (n->input_count > 0)
        memcpy(n->inputs, proto->inputs, sizeof n->inputs[0] * (size_t)n->input_count);
    n->id = w->node_count;
    w->hash[h & mask] = n->id;
    ANL_PUSH(w->arena, w->nodes, w->node_count, w->node_capacity, n);
    return n;
}

/* ---- small builders; `like` says where they come from ---- */
static anl_node *constant(anl_work *w, const anl_node *like, anl_dtype dtype, double value)
{
    anl_node n = {.op = ANL_OP_CONST, .dtype = dtype, FROM(like)};
    n.attrs.value = value;
    return anl_work_node(w, &n);
}

static anl_node *simplify_scalar(anl_work *w, anl_node *proto);

static anl_node *scalar(anl_work *w, const anl_node *like, anl_scalar op, anl_dtype dtype, const anl_axis *axes, int rank,
                        int count, anl_node *a, anl_node *b, anl_node *c)
{
    anl_node *in[3] = {a, b, c};
    anl_node n = {.op = ANL_OP_SCALAR,
                  .dtype = dtype,
                  .rank = rank,
                  .input_count = count,
                  .inputs = in,
                  FROM(like)};
    n.attrs.scalar = op;
    if (rank > 0)
        memcpy(n.axes, axes, sizeof axes[0] * (size_t)rank);
    return simplify_scalar(w, &n);
}

static bool has_axis(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->rank; i++)
        if (n->axes[i].id == axis)
            return true;
    return false;
}

static int axis_at(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->rank; i++)
        if (n->axes[i].id == axis)
            return i;
    return -1;
}

static bool same_order(const anl_node *a, const anl_node *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->axes[i].id != b->axes[i].id)
            return false;
    return true;
}

/* Elementwise on the axes of a and b, in the order of `order` (those of its axes that either has). */
static anl_node *binary(anl_work *w, const anl_node *order, anl_scalar op, anl_node *a, anl_node *b)
{
    anl_axis axes[ANL_MAX_AXES];
    int rank = 0;
    for (int i = 0; i < order->rank; i++)
        if (has_axis(a, order->axes[i].id) || has_axis(b, order->axes[i].id))
            axes[rank++] = order->axes[i];
    return scalar(w, order, op, a->dtype, axes, rank, 2, a, b, NULL);
}

/* x with the axes order of n (same set). NULL if x lacks axes. */
static anl_node *in_order(anl_work *w, anl_node *x, const anl_node *n)
{
    if (x->rank != n->rank || x->dtype != n->dtype)
        return NULL;
    if (same_order(x, n))
        return x;
    for (int i = 0; i < n->rank; i++)
        if (!has_axis(x, n->axes[i].id))
            return NULL;
    anl_node t = {.op = ANL_OP_TRANSPOSE,
                  .dtype = n->dtype,
                  .rank = n->rank,
                  .input_count = 1,
                  .inputs = &x,
                  FROM(n)};
    memcpy(t.axes, n->axes, sizeof t.axes);
    if (x->op == ANL_OP_TRANSPOSE) {
        if (same_order(x->inputs[0], n))
            return x->inputs[0];
        t.inputs = &x->inputs[0];
    }
    return anl_work_node(w, &t);
}

static bool is_const(const anl_node *n, double *value)
{
    if (n->op != ANL_OP_CONST)
        return false;
    *value = n->attrs.value;
    return true;
}

static bool is_scalar(const anl_node *n, anl_scalar s) { return n->op == ANL_OP_SCALAR && n->attrs.scalar == s; }

static bool commutes(anl_scalar s)
{
    return s == ANL_S_ADD || s == ANL_S_MUL || s == ANL_S_EQ || s == ANL_S_NE || s == ANL_S_AND || s == ANL_S_OR;
}

/* x to an integer power, by squaring. */
static anl_node *integer_power(anl_work *w, const anl_node *like, anl_node *x, int n)
{
    if (n == 1)
        return x;
    anl_node *half = integer_power(w, like, x, n / 2);
    anl_node *square = binary(w, like, ANL_S_MUL, half, half);
    return n % 2 ? binary(w, like, ANL_S_MUL, square, x) : square;
}

static anl_node *simplify_power(anl_work *w, anl_node *p)
{
    double e;
    anl_node *x = p->inputs[0];
    if (!is_const(p->inputs[1], &e) || p->dtype != ANL_F32)
        return NULL;
    anl_node *r = NULL;
    if (e == 0.5)
        r = scalar(w, p, ANL_S_SQRT, ANL_F32, x->axes, x->rank, 1, x, NULL, NULL);
    else if (e == -0.5)
        r = scalar(w, p, ANL_S_RSQRT, ANL_F32, x->axes, x->rank, 1, x, NULL, NULL);
    else if (e == floor(e) && fabs(e) <= 64 && e != 0) {
        r = integer_power(w, p, x, (int)fabs(e));
        if (e < 0)
            r = scalar(w, p, ANL_S_DIV, ANL_F32, x->axes, x->rank, 2, constant(w, p, ANL_F32, 1), r, NULL);
    }
    return r ? in_order(w, r, p) : NULL;
}

/* An elementwise node, after looking for something simpler. proto's inputs may be changed. */
static anl_node *simplify_scalar(anl_work *w, anl_node *p)
{
    anl_scalar op = p->attrs.scalar;
    double v[3] = {0};
    bool all = true;
    for (int i = 0; i < p->input_count; i++)
        all = is_const(p->inputs[i], &v[i]) && all;
    if (all && p->rank == 0 && p->input_count > 0)
        return constant(w, p, p->dtype, anl_scalar_evaluate(op, p->dtype, p->inputs[0]->dtype, v[0], v[1], v[2]));
    anl_node *r = NULL;
    if (op == ANL_S_POW && (r = simplify_power(w, p)))
        return r;
    if (op == ANL_S_CAST && p->inputs[0]->dtype == p->dtype && (r = in_order(w, p->inputs[0], p)))
        return r;
    if (w->options.no_fusion)
        return anl_work_node(w, p);

    /* a broadcast that the operation does by itself */
    for (int i = 0; i < p->input_count; i++) {
        while (p->inputs[i]->op == ANL_OP_REPLICATE) {
            int32_t axis = p->inputs[i]->attrs.axis[0];
            bool elsewhere = false;
            for (int j = 0; j < p->input_count; j++)
                elsewhere = elsewhere || (j != i && has_axis(p->inputs[j], axis));
            if (!elsewhere)
                break;
            p->inputs[i] = p->inputs[i]->inputs[0];
        }
        /* elementwise operations find axes by name, so order of an operand does not matter */
        if (p->inputs[i]->op == ANL_OP_TRANSPOSE)
            p->inputs[i] = p->inputs[i]->inputs[0];
    }
    anl_node *a = p->inputs[0], *b = p->input_count > 1 ? p->inputs[1] : NULL;
    double x;
    bool real = p->dtype == ANL_F32;
    if (commutes(op) && a->id > b->id) {
        p->inputs[0] = b;
        p->inputs[1] = a;
        a = p->inputs[0];
        b = p->inputs[1];
    }
    switch (op) {
    case ANL_S_ADD:
        if ((is_const(a, &x) && x == 0 && (r = in_order(w, b, p))) || (is_const(b, &x) && x == 0 && (r = in_order(w, a, p))))
            return r;
        if (is_scalar(b, ANL_S_NEGATE))
            return scalar(w, p, ANL_S_SUB, p->dtype, p->axes, p->rank, 2, a, b->inputs[0], NULL);
        if (is_scalar(a, ANL_S_NEGATE))
            return scalar(w, p, ANL_S_SUB, p->dtype, p->axes, p->rank, 2, b, a->inputs[0], NULL);
        break;
    case ANL_S_SUB:
        if (is_const(b, &x) && x == 0 && (r = in_order(w, a, p)))
            return r;
        if (is_scalar(b, ANL_S_NEGATE))
            return scalar(w, p, ANL_S_ADD, p->dtype, p->axes, p->rank, 2, a, b->inputs[0], NULL);
        if (is_const(a, &x) && x == 0)
            return scalar(w, p, ANL_S_NEGATE, p->dtype, p->axes, p->rank, 1, b, NULL, NULL);
        break;
    case ANL_S_MUL:
        for (int i = 0; i < 2; i++) {
            anl_node *k = p->inputs[i], *o = p->inputs[1 - i];
            if (!is_const(k, &x))
                continue;
            if (x == 1 && (r = in_order(w, o, p)))
                return r;
            if (x == -1)
                return scalar(w, p, ANL_S_NEGATE, p->dtype, p->axes, p->rank, 1, o, NULL, NULL);
            if (real && is_scalar(o, ANL_S_NEGATE))
                return scalar(w, p, ANL_S_MUL, p->dtype, p->axes, p->rank, 2, constant(w, p, p->dtype, -x), o->inputs[0], NULL);
            if (real && is_scalar(o, ANL_S_MUL))
                for (int j = 0; j < 2; j++) {
                    double y;
                    if (is_const(o->inputs[j], &y))
                        return scalar(w, p, ANL_S_MUL, p->dtype, p->axes, p->rank, 2, constant(w, p, p->dtype, x * y),
                                      o->inputs[1 - j], NULL);
                }
        }
        if (is_scalar(a, ANL_S_NEGATE) && is_scalar(b, ANL_S_NEGATE))
            return scalar(w, p, ANL_S_MUL, p->dtype, p->axes, p->rank, 2, a->inputs[0], b->inputs[0], NULL);
        break;
    case ANL_S_DIV:
        if (real && is_const(b, &x) && x != 0 && isfinite(1 / x))
            return scalar(w, p, ANL_S_MUL, p->dtype, p->axes, p->rank, 2, constant(w, p, p->dtype, 1 / x), a, NULL);
        break;
    case ANL_S_NEGATE:
        if (is_scalar(a, ANL_S_NEGATE) && (r = in_order(w, a->inputs[0], p)))
            return r;
        if (is_scalar(a, ANL_S_SUB))
            return scalar(w, p, ANL_S_SUB, p->dtype, p->axes, p->rank, 2, a->inputs[1], a->inputs[0], NULL);
        break;
    case ANL_S_NOT:
        if (is_scalar(a, ANL_S_NOT) && (r = in_order(w, a->inputs[0], p)))
            return r;
        break;
    case ANL_S_SELECT:
        if (is_const(a, &x) && (r = in_order(w, p->inputs[x != 0 ? 1 : 2], p)))
            return r;
        if (p->inputs[1] == p->inputs[2] && (r = in_order(w, p->inputs[1], p)))
            return r;
        break;
    case ANL_S_AND:
    case ANL_S_OR:
        for (int i = 0; i < 2; i++)
            if (is_const(p->inputs[i], &x) && (x != 0) == (op == ANL_S_AND) && (r = in_order(w, p->inputs[1 - i], p)))
                return r;
        break;
    default:
        break;
    }
    return anl_work_node(w, p);
}

/* ---- reductions ---- */
static bool in_list(const int32_t *list, int count, int32_t x)
{
    for (int i = 0; i < count; i++)
        if (list[i] == x)
            return true;
    return false;
}

static int uses_of(const anl_work *w, const anl_node *n) { return n->id < w->uses_capacity ? w->uses[n->id] : 0; }

static anl_node *squeeze(anl_work *w, const anl_node *like, anl_node *x, const int32_t *over, int count)
{
    anl_node n = {
        .op = (anl_op)ANL_W_SQUEEZE, .dtype = x->dtype, .input_count = 1, .inputs = &x, FROM(like)};
    for (int i = 0; i < x->rank; i++)
        if (!in_list(over, count, x->axes[i].id))
            n.axes[n.rank++] = x->axes[i];
    for (int i = 0; i < count; i++)
        n.attrs.over[n.attrs.over_count++] = over[i];
    return n.rank == x->rank ? x : anl_work_node(w, &n);
}

static anl_node *reduce(anl_work *w, const anl_node *like, anl_op op, anl_node *x, const int32_t *over, int count,
                        bool may_merge);

/* Factors of a product, signs apart. */
typedef struct factors {
    anl_node *up[24], *down[24];
    int up_count, down_count;
    double sign;
} factors;

static bool collect(factors *f, anl_node *x, bool down, int depth)
{
    if (is_scalar(x, ANL_S_NEGATE)) {
        f->sign = -f->sign;
        return collect(f, x->inputs[0], down, depth);
    }
    if (depth > 0 && is_scalar(x, ANL_S_MUL))
        return collect(f, x->inputs[0], down, depth - 1) && collect(f, x->inputs[1], down, depth - 1);
    if (depth > 0 && !down && is_scalar(x, ANL_S_DIV))
        return collect(f, x->inputs[0], false, depth - 1) && collect(f, x->inputs[1], true, depth - 1);
    if (f->up_count >= 24 || f->down_count >= 24)
        return false;
    if (down)
        f->down[f->down_count++] = x;
    else
        f->up[f->up_count++] = x;
    return true;
}

static bool ranges_over(const anl_node *n, const int32_t *over, int count)
{
    for (int i = 0; i < n->rank; i++)
        if (in_list(over, count, n->axes[i].id))
            return true;
    return false;
}

static void sort_by_id(anl_node **list, int count)
{
    for (int i = 1; i < count; i++) {
        anl_node *n = list[i];
        int j = i;
        for (; j > 0 && list[j - 1]->id > n->id; j--)
            list[j] = list[j - 1];
        list[j] = n;
    }
}

/* sum(a * b) = a * sum(b) where a does not range over the summed axes. Gradients of normalisations become few sums by this. */
static anl_node *factor_sum(anl_work *w, const anl_node *like, anl_node *x, const int32_t *over, int count)
{
    factors f = {.sign = 1};
    if (x->dtype != ANL_F32 || !collect(&f, x, false, 12))
        return NULL;
    anl_node *in[24], *out[24], *below[24];
    int in_count = 0, out_count = 0, below_count = 0;
    for (int i = 0; i < f.up_count; i++) {
        if (ranges_over(f.up[i], over, count))
            in[in_count++] = f.up[i];
        else
            out[out_count++] = f.up[i];
    }
    anl_node *inner_down[24];
    int inner_down_count = 0;
    for (int i = 0; i < f.down_count; i++) {
        if (ranges_over(f.down[i], over, count))
            inner_down[inner_down_count++] = f.down[i];
        else
            below[below_count++] = f.down[i];
    }
    if (out_count == 0 && below_count == 0 && f.sign > 0)
        return NULL;
    sort_by_id(in, in_count);
    sort_by_id(inner_down, inner_down_count);
    anl_node *product = in_count > 0 ? in[0] : NULL;
    for (int i = 1; i < in_count; i++)
        product = binary(w, x, ANL_S_MUL, product, in[i]);
    for (int i = 0; i < inner_down_count; i++)
        product = binary(w, x, ANL_S_DIV, product ? product : constant(w, like, ANL_F32, 1), inner_down[i]);
    double number = f.sign;
    int32_t rest[ANL_MAX_AXES];
    int rest_count = 0;
    for (int i = 0; i < count; i++) {
        if (product && has_axis(product, over[i]))
            rest[rest_count++] = over[i];
        else
            number *= anl_node_size(x, over[i]);
    }
    anl_node *r = product ? (rest_count > 0 ? reduce(w, like, ANL_OP_SUM, product, rest, rest_count, true) : product) : NULL;
    for (int i = 0; i < out_count; i++)
        r = r ? binary(w, x, ANL_S_MUL, r, out[i]) : out[i];
    if (!r)
        r = constant(w, like, ANL_F32, 1);
    for (int i = 0; i < below_count; i++)
        r = binary(w, x, ANL_S_DIV, r, below[i]);
    if (number != 1)
        r = scalar(w, like, ANL_S_MUL, ANL_F32, r->axes, r->rank, 2, constant(w, like, ANL_F32, number), r, NULL);
    return r;
}

static anl_node *reduce(anl_work *w, const anl_node *like, anl_op op, anl_node *x, const int32_t *over, int count, bool may_merge)
{
    anl_node n = {.op = op,
                  .dtype = op == ANL_OP_ARGMAX ? ANL_I32 : x->dtype,
                  .input_count = 1,
                  .inputs = &x,
                  FROM(like)};
    bool unit = true;
    for (int i = 0; i < x->rank; i++) {
        if (in_list(over, count, x->axes[i].id))
            unit = unit && x->axes[i].size == 1;
        else
            n.axes[n.rank++] = x->axes[i];
    }
    if (unit && (op == ANL_OP_SUM || op == ANL_OP_MAX || op == ANL_OP_MEAN || op == ANL_OP_LOGSUMEXP))
        return squeeze(w, like, x, over, count);
    if (!w->options.no_fusion && op == ANL_OP_SUM) {
        anl_node *r = factor_sum(w, like, x, over, count);
        if (r && (r = in_order(w, r, &n)))
            return r;
        int32_t all[ANL_MAX_AXES];
        if (may_merge && x->op == ANL_OP_SUM && uses_of(w, x) <= 1 && count + x->attrs.over_count <= ANL_MAX_AXES &&
            x->inputs[0]->rank <= ANL_MAX_AXES) {
            memcpy(all, over, sizeof all[0] * (size_t)count);
            memcpy(all + count, x->attrs.over, sizeof all[0] * (size_t)x->attrs.over_count);
            r = reduce(w, like, ANL_OP_SUM, x->inputs[0], all, count + x->attrs.over_count, false);
            if ((r = in_order(w, r, &n)))
                return r;
        }
        if (x->op == ANL_OP_TRANSPOSE) {
            r = reduce(w, like, ANL_OP_SUM, x->inputs[0], over, count, may_merge);
            if ((r = in_order(w, r, &n)))
                return r;
        }
    }
    memcpy(n.attrs.over, over, sizeof over[0] * (size_t)count);
    n.attrs.over_count = count;
    if (op != ANL_OP_ARGMAX)
        for (int i = 1; i < count; i++)
            for (int j = i; j > 0 && n.attrs.over[j - 1] > n.attrs.over[j]; j--) {
                int32_t t = n.attrs.over[j];
                n.attrs.over[j] = n.attrs.over[j - 1];
                n.attrs.over[j - 1] = t;
            }
    return anl_work_node(w, &n);
}

/* ---- rewritten operations ---- */
/* UNWINDOWS: a sum over taps of the terms that each tap adds. Where the input is itself such a sum (the next space axis), both
 * become one. */
static anl_node *unwindows(anl_work *w, const anl_node *p, anl_node *x)
{
    const anl_slide *s = &p->attrs.slide[0];
    int32_t tap = p->attrs.axis[1], merged[ANL_MAX_AXES];
    int merged_count = 0;
    merged[merged_count++] = tap;
    if (!w->options.no_fusion && x->op == ANL_OP_SUM && x->inputs[0]->op == (anl_op)ANL_W_UNWIN && uses_of(w, x) <= 1 &&
        x->inputs[0]->rank < ANL_MAX_AXES && x->attrs.over_count + 1 < ANL_MAX_AXES) {
        for (int i = 0; i < x->attrs.over_count; i++)
            merged[merged_count++] = x->attrs.over[i];
        x = x->inputs[0];
    }
    anl_node n = {.op = (anl_op)ANL_W_UNWIN,
                  .dtype = x->dtype,
                  .rank = x->rank,
                  .input_count = 1,
                  .inputs = &x,
                  FROM(p)};
    memcpy(n.axes, x->axes, sizeof n.axes);
    n.axes[axis_at(x, s->axis)].size = s->in_size;
    if (s->dilation ==
        1) /* of the taps, only every stride-th reaches a given position: a coordinate j stands for tap phase + j * stride */
        n.axes[axis_at(x, tap)].size = (s->tap_size + s->stride - 1) / s->stride;
    n.attrs.axis[0] = s->axis;
    n.attrs.axis[1] = tap;
    n.attrs.slide[0] = *s;
    n.attrs.slide_count = 1;
    anl_node *r = reduce(w, p, ANL_OP_SUM, anl_work_node(w, &n), merged, merged_count, false);
    return in_order(w, r, p);
}

static int gcd(int a, int b) { return b == 0 ? a : gcd(b, a % b); }

/* Splits axis into [outer id, inner id], inner of the given size. */
static anl_node *split_axis(anl_work *w, const anl_node *like, anl_node *x, int32_t axis, anl_axis outer, anl_axis inner)
{
    anl_node n = {.op = ANL_OP_SPLIT, .dtype = x->dtype, .input_count = 1, .inputs = &x, FROM(like)};
    for (int i = 0; i < x->rank; i++) {
        if (x->axes[i].id != axis) {
            n.axes[n.rank++] = x->axes[i];
        } else {
            n.axes[n.rank++] = outer;
            n.axes[n.rank++] = inner;
        }
    }
    n.attrs.axis[0] = axis;
    n.attrs.over[0] = outer.id;
    n.attrs.over[1] = inner.id;
    n.attrs.over_count = 2;
    return anl_work_node(w, &n);
}

/* SEGMENT_SUM: segments of very different lengths share one rectangular domain [segment, longest], so first sums over aligned
 * blocks make it small. */
static anl_node *segment_sum(anl_work *w, const anl_node *p, anl_node *x)
{
    const int32_t *starts = p->attrs.table;
    int segments = axis_at(p, p->attrs.axis[1]) >= 0 ? anl_node_size(p, p->attrs.axis[1]) : p->attrs.table_count - 1;
    int32_t axis = p->attrs.axis[0];
    for (int round = 0; round < 4; round++) {
        int size = anl_node_size(x, axis), common = size, longest = 0;
        for (int s = 0; s <= segments; s++)
            common = gcd(common, starts[s]);
        for (int s = 0; s < segments; s++)
            longest = starts[s + 1] - starts[s] > longest ? starts[s + 1] - starts[s] : longest;
        int block = 0;
        for (int b = 2; b <= 512 && b <= common; b++)
            if (common % b == 0)
                block = b;
        if ((double)longest * segments <= 2.0 * size || block < 4 || x->rank + 1 > ANL_MAX_AXES)
            break;
        int32_t *shorter = ANL_NEW_ARRAY(w->arena, int32_t, segments + 1);
        for (int s = 0; s <= segments; s++)
            shorter[s] = starts[s] / block;
        starts = shorter;
        anl_axis outer = {w->next_axis++, size / block}, inner = {w->next_axis++, block};
        x = reduce(w, p, ANL_OP_SUM, split_axis(w, p, x, axis, outer, inner), &inner.id, 1, false);
        axis = outer.id;
    }
    int longest = 1;
    for (int s = 0; s < segments; s++)
        longest = starts[s + 1] - starts[s] > longest ? starts[s + 1] - starts[s] : longest;
    int32_t within = w->next_axis++;
    anl_node n = {
        .op = (anl_op)ANL_W_SEGMENT, .dtype = x->dtype, .input_count = 1, .inputs = &x, FROM(p)};
    for (int i = 0; i < x->rank; i++) {
        if (x->axes[i].id != axis) {
            n.axes[n.rank++] = x->axes[i];
        } else {
            n.axes[n.rank++] = (anl_axis){p->attrs.axis[1], segments};
            n.axes[n.rank++] = (anl_axis){within, longest};
        }
    }
    n.attrs.axis[0] = axis;
    n.attrs.axis[1] = p->attrs.axis[1];
    n.attrs.over[0] = within;
    n.attrs.over_count = 1;
    n.attrs.table = starts;
    n.attrs.table_count = segments + 1;
    return in_order(w, reduce(w, p, ANL_OP_SUM, anl_work_node(w, &n), &within, 1, false), p);
}

/* TOP_K: k times the greatest of what comes after the previous in (value descending, index ascending). */
static anl_node *top_k(anl_work *w, const anl_node *p, anl_node *x)
{
    int32_t axis = p->attrs.axis[0];
    int k = p->attrs.count;
    anl_axis along = x->axes[axis_at(x, axis)];
    anl_node index = {.op = ANL_OP_INDEX, .dtype = ANL_I32, .rank = 1, .axes = {along}, FROM(p)};
    index.attrs.axis[0] = axis;
    anl_node *position = anl_work_node(w, &index), *rest = x;
    anl_node **picks = ANL_NEW_ARRAY(w->arena, anl_node *, k);
    for (int i = 0; i < k; i++) {
        anl_node *pick = reduce(w, p, ANL_OP_ARGMAX, rest, &axis, 1, false);
        anl_node g = {.op = ANL_OP_REPLICATE,
                      .dtype = ANL_I32,
                      .rank = 1,
                      .axes = {{axis, 1}},
                      .input_count = 1,
                      .inputs = &pick,
                      FROM(p)};
        for (int j = 0; j < pick->rank; j++)
            g.axes[g.rank++] = pick->axes[j];
        g.attrs.axis[0] = axis;
        picks[i] = anl_work_node(w, &g);
        if (i + 1 == k)
            break;
        anl_node *keep = scalar(w, p, ANL_S_NE, ANL_BOOL, x->axes, x->rank, 2, position, pick, NULL);
        rest = scalar(w, p, ANL_S_SELECT, x->dtype, x->axes, x->rank, 3, keep, rest,
                      constant(w, p, x->dtype, x->dtype == ANL_I32 ? INT32_MIN : -INFINITY));
    }
    if (k == 1)
        return in_order(w, picks[0], p);
    anl_node c = {.op = ANL_OP_CONCAT,
                  .dtype = ANL_I32,
                  .rank = picks[0]->rank,
                  .input_count = k,
                  .inputs = picks,
                  FROM(p)};
    memcpy(c.axes, picks[0]->axes, sizeof c.axes);
    c.axes[0].size = k;
    c.attrs.axis[0] = axis;
    return in_order(w, anl_work_node(w, &c), p);
}

/* ---- movement ---- */
static anl_node *simplify_slice(anl_work *w, anl_node *p)
{
    anl_node *x = p->inputs[0];
    int at = axis_at(p, p->attrs.axis[0]), from = axis_at(x, p->attrs.axis[0]);
    if (at < 0 || from < 0)
        return anl_work_node(w, p);
    int32_t size = p->axes[at].size, start = p->attrs.start, step = p->attrs.step, axis = p->attrs.axis[0];
    if (size == 1)
        step = 1;
    if (start == 0 && step == 1 && size == x->axes[from].size)
        return in_order(w, x, p) ? in_order(w, x, p) : anl_work_node(w, p);
    if (w->options.no_fusion)
        return anl_work_node(w, p);
    anl_node n = *p;
    n.attrs.step = step;
    if (x->op == ANL_OP_SLICE && x->attrs.axis[0] == axis && same_order(x, p)) {
        n.inputs = &x->inputs[0];
        n.attrs.start = x->attrs.start + start * x->attrs.step;
        n.attrs.step = step * x->attrs.step;
        return simplify_slice(w, &n);
    }
    if (x->op == ANL_OP_CONCAT && x->attrs.axis[0] == axis) {
        int32_t low = step > 0 ? start : start + step * (size - 1), high = step > 0 ? start + step * (size - 1) : start,
                at_piece = 0;
        for (int i = 0; i < x->input_count; i++) {
            int32_t length = anl_node_size(x->inputs[i], axis);
            if (low >= at_piece && high < at_piece + length) {
                anl_node *piece =
                    in_order(w, x->inputs[i], &(anl_node){.dtype = x->dtype, .rank = x->rank, FROM(p)});
                piece = piece ? piece : x->inputs[i];
                if (!same_order(piece, p))
                    break;
                n.inputs = &piece;
                n.attrs.start = start - at_piece;
                return simplify_slice(w, &n);
            }
            at_piece += length;
        }
    }
    return anl_work_node(w, &n);
}

static anl_node *simplify_concat(anl_work *w, anl_node *p)
{
    if (p->input_count == 1) {
        anl_node *r = in_order(w, p->inputs[0], p);
        return r ? r : anl_work_node(w, p);
    }
    int total = 0;
    for (int i = 0; i < p->input_count; i++) {
        const anl_node *x = p->inputs[i];
        total += x->op == ANL_OP_CONCAT && x->attrs.axis[0] == p->attrs.axis[0] ? x->input_count : 1;
    }
    if (total == p->input_count || w->options.no_fusion)
        return anl_work_node(w, p);
    anl_node n = *p;
    n.inputs = ANL_NEW_ARRAY(w->arena, anl_node *, total);
    n.input_count = 0;
    for (int i = 0; i < p->input_count; i++) {
        anl_node *x = p->inputs[i];
        bool flat = x->op == ANL_OP_CONCAT && x->attrs.axis[0] == p->attrs.axis[0];
        for (int j = 0; j < (flat ? x->input_count : 1); j++)
            n.inputs[n.input_count++] = flat ? x->inputs[j] : x;
    }
    return anl_work_node(w, &n);
}

/* True where the graph has a variance of the same input over the same axes, so that mean and variance come from one pass. */
static bool has_variance(const anl_graph *g, const int32_t *variance_of, const anl_node *n)
{
    for (int32_t v = variance_of[n->inputs[0]->id]; v >= 0;) {
        const anl_node *m = g->nodes[v];
        if (m->attrs.over_count == n->attrs.over_count) {
            bool same = true;
            for (int i = 0; i < n->attrs.over_count; i++)
                same = same && in_list(m->attrs.over, m->attrs.over_count, n->attrs.over[i]);
            return same;
        }
        break;
    }
    return false;
}

static anl_node *rewrite(anl_work *w, const anl_node *old, anl_node **in, bool keep_mean)
{
    anl_node p = *old;
    p.inputs = in;
    anl_node *r;
    switch ((int)p.op) {
    case ANL_OP_STOP_GRADIENT:
        r = in_order(w, in[0], &p);
        return r ? r : anl_work_node(w, &p);
    case ANL_OP_SCALAR:
        return simplify_scalar(w, &p);
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_ARGMAX:
    case ANL_OP_LOGSUMEXP:
        r = in_order(w, reduce(w, &p, p.op, in[0], p.attrs.over, p.attrs.over_count, true), &p);
        return r ? r : anl_work_node(w, &p);
    case ANL_OP_MEAN:
        if (!keep_mean && !w->options.no_fusion && p.dtype == ANL_F32) {
            double count = 1;
            for (int i = 0; i < p.attrs.over_count; i++)
                count *= anl_node_size(in[0], p.attrs.over[i]);
            r = reduce(w, &p, ANL_OP_SUM, in[0], p.attrs.over, p.attrs.over_count, true);
            return scalar(w, &p, ANL_S_MUL, ANL_F32, p.axes, p.rank, 2, constant(w, &p, ANL_F32, 1 / count), r, NULL);
        }
        r = in_order(w, reduce(w, &p, p.op, in[0], p.attrs.over, p.attrs.over_count, false), &p);
        return r ? r : anl_work_node(w, &p);
    case ANL_OP_VARIANCE:
        r = in_order(w, reduce(w, &p, p.op, in[0], p.attrs.over, p.attrs.over_count, false), &p);
        return r ? r : anl_work_node(w, &p);
    case ANL_OP_TRANSPOSE:
        r = in_order(w, in[0], &p);
        return r && r->op != ANL_OP_TRANSPOSE ? r : r ? r : anl_work_node(w, &p);
    case ANL_OP_SLICE:
        return simplify_slice(w, &p);
    case ANL_OP_PLACE:
        if (p.attrs.start == 0 && p.attrs.step == 1 &&
            anl_node_size(in[0], p.attrs.axis[0]) == anl_node_size(&p, p.attrs.axis[0]) && (r = in_order(w, in[0], &p)))
            return r;
        return anl_work_node(w, &p);
    case ANL_OP_CONCAT:
        return simplify_concat(w, &p);
    case ANL_OP_UNWINDOWS:
        return unwindows(w, &p, in[0]);
    case ANL_OP_SEGMENT_SUM:
        return segment_sum(w, &p, in[0]);
    case ANL_OP_TOP_K:
        return top_k(w, &p, in[0]);
    default:
        return anl_work_node(w, &p);
    }
}

static void mark(anl_node *n, bool *live, anl_node ***stack, int *count, int *capacity, anl_arena *arena)
{
    if (!n || live[n->id])
        return;
    live[n->id] = true;
    ANL_PUSH(arena, *stack, *count, *capacity, n);
}

/* Copies the live part of a node list; outputs and updates are mapped. */
static void pass(anl_work *w, anl_node **source, int count, anl_node **outputs, anl_node **updates)
{
    bool *live = ANL_NEW_ARRAY(w->arena, bool, count + 1);
    anl_node **stack = NULL;
    int stack_count = 0, stack_capacity = 0;
    for (int i = 0; i < w->graph->output_count; i++)
        mark(outputs[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    for (int i = 0; i < w->graph->state_count; i++)
        mark(updates[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    while (stack_count > 0) {
        anl_node *n = stack[--stack_count];
        for (int i = 0; i < n->input_count; i++)
            mark(n->inputs[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    }
    int32_t *variance_of = ANL_NEW_ARRAY(w->arena, int32_t, count + 1);
    int32_t *old_uses = ANL_NEW_ARRAY(w->arena, int32_t, count + 1);
    for (int i = 0; i < count; i++)
        variance_of[i] = -1;
    for (int i = 0; i < count; i++) {
        if (!live[i])
            continue;
        if (source[i]->op == ANL_OP_VARIANCE)
            variance_of[source[i]->inputs[0]->id] = i;
        for (int j = 0; j < source[i]->input_count; j++)
            old_uses[source[i]->inputs[j]->id]++;
    }
    for (int i = 0; i < w->graph->output_count; i++)
        if (outputs[i])
            old_uses[outputs[i]->id]++;
    for (int i = 0; i < w->graph->state_count; i++)
        if (updates[i])
            old_uses[updates[i]->id]++;
    w->nodes = NULL;
    w->node_count = w->node_capacity = w->hash_size = 0;
    w->uses = NULL;
    w->uses_capacity = 0;
    anl_node **map = ANL_NEW_ARRAY(w->arena, anl_node *, count + 1);
    /* use counts of new nodes, as far as known: a node made from one old node is used as often as that */
    for (int i = 0; i < count; i++) {
        if (!live[i])
            continue;
        const anl_node *n = source[i];
        anl_node **in = ANL_NEW_ARRAY(w->arena, anl_node *, n->input_count + 4);
        for (int j = 0; j < n->input_count; j++)
            in[j] = map[n->inputs[j]->id];
        bool keep_mean = false;
        if (n->op == ANL_OP_MEAN) {
            anl_graph view = {.nodes = source, .node_count = count};
            keep_mean = has_variance(&view, variance_of, n);
        }
        map[i] = rewrite(w, n, in, keep_mean);
        if (w->node_count + 1 > w->uses_capacity) {
            int next = w->node_count * 2 + 1024;
            int32_t *grown = ANL_NEW_ARRAY(w->arena, int32_t, next);
            for (int k = 0; k < next; k++)
                grown[k] = k < w->uses_capacity ? w->uses[k] : 0;
            w->uses = grown;
            w->uses_capacity = next;
        }
        w->uses[map[i]->id] += old_uses[i];
    }
    for (int i = 0; i < w->graph->output_count; i++)
        outputs[i] = outputs[i] ? map[outputs[i]->id] : NULL;
    for (int i = 0; i < w->graph->state_count; i++)
        updates[i] = updates[i] ? map[updates[i]->id] : NULL;
}

void anl_work_simplify(anl_work *w)
{
    anl_graph *g = w->graph;
    w->next_axis = g->axis_count;
    w->outputs = ANL_NEW_ARRAY(w->arena, anl_node *, g->output_count + 1);
    w->updates = ANL_NEW_ARRAY(w->arena, anl_node *, g->state_count + 1);
    for (int i = 0; i < g->output_count; i++)
        w->outputs[i] = g->outputs[i].node;
    for (int i = 0; i < g->state_count; i++)
        w->updates[i] = g->states[i]->update;
    pass(w, g->nodes, g->node_count, w->outputs, w->updates);
    /* again on the result: what became equal or single only then; the last pass drops what is dead */
    int rounds = w->options.no_fusion ? 1 : 2;
    for (int round = 0; round < rounds; round++) {
        anl_node **nodes = w->nodes;
        int count = w->node_count;
        pass(w, nodes, count, w->outputs, w->updates);
    }
    /* dead nodes of the last pass: drop, renumber */
    bool *live = ANL_NEW_ARRAY(w->arena, bool, w->node_count + 1);
    anl_node **stack = NULL;
    int stack_count = 0, stack_capacity = 0;
    for (int i = 0; i < g->output_count; i++)
        mark(w->outputs[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    for (int i = 0; i < g->state_count; i++)
        mark(w->updates[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    while (stack_count > 0) {
        anl_node *n = stack[--stack_count];
        for (int i = 0; i < n->input_count; i++)
            mark(n->inputs[i], live, &stack, &stack_count, &stack_capacity, w->arena);
    }
    int kept = 0;
    for (int i = 0; i < w->node_count; i++)
        if (live[i])
            w->nodes[kept++] = w->nodes[i];
    for (int i = 0; i < kept; i++)
        w->nodes[i]->id = i;
    w->node_count = kept;
    w->hash_size = 0; /* ids changed: no more nodes are looked up */
    w->uses = ANL_NEW_ARRAY(w->arena, int32_t, kept + 1);
    w->uses_capacity = kept;
    for (int i = 0; i < kept; i++)
        for (int j = 0; j < w->nodes[i]->input_count; j++)
            w->uses[w->nodes[i]->inputs[j]->id]++;
}
