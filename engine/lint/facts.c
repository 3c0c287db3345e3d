/* Facts about values: one sweep in topological order, each node from its inputs; states take theirs from their updates.
 * In: a traced graph. Out: a fact for every node.
 * A queue, and weights that are projected, are judged by what their updates make of them: the sweep is repeated until that agrees. */
#include "lint/facts.h"

#include <string.h>

#include "ops/ops.h"

/* ---- axes ---- */
anl_axis_bits anl_axis_bits_carried(const anl_node *to, const anl_node *from, anl_axis_bits bits)
{
    anl_axis_bits out = 0;
    for (int i = 0; bits && i < from->rank; i++) {
        int at = bits >> i & 1 ? anl_node_axis(to, from->axes[i].id) : -1;
        if (at >= 0)
            out |= (anl_axis_bits)(1u << at);
    }
    return out;
}

static anl_axis_bits bit_of(const anl_node *n, int32_t axis)
{
    int at = anl_node_axis(n, axis);
    return (anl_axis_bits)(at < 0 ? 0 : 1u << at);
}

static anl_axis_bits all_axes(const anl_node *n) { return (anl_axis_bits)((1u << n->rank) - 1); }

anl_axis_bits anl_axis_bits_over(const anl_node *reduction)
{
    anl_axis_bits bits = 0;
    for (int i = 0; i < reduction->attrs.over_count; i++)
        bits |= bit_of(reduction->inputs[0], reduction->attrs.over[i]);
    return bits;
}

anl_axis_bits anl_fact_kept_axis(const anl_node *merge)
{
    anl_axis_bits kept = 0;
    int long_ones = 0;
    for (int i = 0; i < merge->attrs.over_count; i++) {
        int at = anl_node_axis(merge->inputs[0], merge->attrs.over[i]);
        long_ones += merge->inputs[0]->axes[at].size > 1;
        if (merge->inputs[0]->axes[at].size > 1 || (i == merge->attrs.over_count - 1 && !long_ones))
            kept = (anl_axis_bits)(1u << at);
    }
    return long_ones < 2 ? kept : 0;
}

/* ---- shapes of expressions ---- */
const anl_node *anl_fact_same_numbers(const anl_node *n)
{
    while (n->op == ANL_OP_RENAME || n->op == ANL_OP_TRANSPOSE || n->op == ANL_OP_REPLICATE || n->op == ANL_OP_STOP_GRADIENT ||
           anl_is_scalar(n, ANL_S_CAST))
        n = n->inputs[0];
    return n;
}

static bool uniform(const anl_facts *f, const anl_node *n) { return f->of[n->id].moments != NULL; }

/* The operand that is no plain number, where the other one is; *other: the number. */
static const anl_node *beside_number(const anl_facts *f, const anl_node *n, const anl_node **other)
{
    for (int k = 0; k < 2; k++)
        if (uniform(f, n->inputs[k])) {
            if (other)
                *other = n->inputs[k];
            return n->inputs[1 - k];
        }
    return NULL;
}

const anl_node *anl_fact_unguarded(const anl_facts *f, const anl_node *n)
{
    for (;;) {
        n = anl_fact_same_numbers(n);
        const anl_node *inner = anl_is_scalar(n, ANL_S_MAXIMUM) || anl_is_scalar(n, ANL_S_ADD) ? beside_number(f, n, NULL) : NULL;
        if (!inner)
            return n;
        n = inner;
    }
}

/* Behind factors and divisors that are plain numbers, too. */
static const anl_node *unscaled(const anl_facts *f, const anl_node *n)
{
    for (;;) {
        n = anl_fact_unguarded(f, n);
        if (anl_is_scalar(n, ANL_S_MUL) && beside_number(f, n, NULL))
            n = beside_number(f, n, NULL);
        else if (anl_is_scalar(n, ANL_S_DIV) && uniform(f, n->inputs[1]))
            n = n->inputs[0];
        else
            return n;
    }
}

const anl_node *anl_fact_own_reduction(const anl_facts *f, const anl_node *n, const anl_node *x, anl_op op)
{
    n = unscaled(f, n);
    return n->op == op && anl_fact_same_numbers(n->inputs[0]) == anl_fact_same_numbers(x) ? n : NULL;
}

/* The sum of squares of x along one axis; -1: n is none. */
static int32_t sum_of_squares(const anl_facts *f, const anl_node *n, const anl_node *x)
{
    n = anl_fact_unguarded(f, n);
    const anl_node *a = NULL, *b = NULL;
    if (n->op == ANL_OP_SUM && anl_is_scalar(n->inputs[0], ANL_S_MUL)) {
        a = n->inputs[0]->inputs[0];
        b = n->inputs[0]->inputs[1];
    } else if (n->op == ANL_OP_CONTRACT && !n->attrs.slide_count) {
        a = n->inputs[0];
        b = n->inputs[1];
    }
    x = anl_fact_same_numbers(x);
    if (!a || n->attrs.over_count != 1 || anl_fact_same_numbers(a) != x || anl_fact_same_numbers(b) != x)
        return -1;
    return n->attrs.over[0];
}

/* Whether x is divided by its own length: x * rsqrt(sum(x * x)), x / sqrt(sum(x * x)). Gives the axis, or -1. */
static int32_t own_length(const anl_facts *f, const anl_node *n)
{
    for (int k = 0; k < 2 && anl_is_scalar(n, ANL_S_MUL); k++) {
        const anl_node *r = anl_fact_same_numbers(n->inputs[1 - k]);
        int32_t axis = anl_is_scalar(r, ANL_S_RSQRT) ? sum_of_squares(f, r->inputs[0], n->inputs[k]) : -1;
        if (axis >= 0)
            return axis;
    }
    if (!anl_is_scalar(n, ANL_S_DIV))
        return -1;
    const anl_node *root = anl_fact_unguarded(f, n->inputs[1]);
    return anl_is_scalar(root, ANL_S_SQRT) ? sum_of_squares(f, root->inputs[0], n->inputs[0]) : -1;
}

/* ---- bounds ---- */
static void set_bounds(anl_fact *out, double low, double high)
{
    out->low = low == low ? low : -INFINITY;
    out->high = high == high ? high : INFINITY;
}

static double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; } /* no bound: 0 of infinitely much is 0 */

static void multiply(anl_fact *out, double a, double b, double c, double d)
{
    double p[4] = {product(a, c), product(a, d), product(b, c), product(b, d)}, low = p[0], high = p[0];
    for (int i = 1; i < 4; i++) {
        low = p[i] < low ? p[i] : low;
        high = p[i] > high ? p[i] : high;
    }
    set_bounds(out, low, high);
}

static double exp_low(double x) { return x < anl_exp_underflow() ? 0 : x > anl_exp_overflow() ? INFINITY : exp(x); }
static double exp_high(double x) { return x > anl_exp_overflow() ? INFINITY : exp(x); }
static double log_of(double x) { return x <= 0 ? -INFINITY : log(x); }

/* exp(-m) + exp(x - m) with m = maximum(x, 0): one of the two is 1. */
static bool is_shifted_sum(const anl_facts *f, const anl_node *n)
{
    for (int k = 0; k < 2; k++) {
        const anl_node *a = anl_fact_same_numbers(n->inputs[k]), *b = anl_fact_same_numbers(n->inputs[1 - k]);
        if (!anl_is_scalar(a, ANL_S_EXP) || !anl_is_scalar(b, ANL_S_EXP) || !anl_is_scalar(a->inputs[0], ANL_S_NEGATE) ||
            !anl_is_scalar(b->inputs[0], ANL_S_SUB))
            continue;
        const anl_node *m = anl_fact_same_numbers(a->inputs[0]->inputs[0]), *x = anl_fact_same_numbers(b->inputs[0]->inputs[0]);
        if (m == anl_fact_same_numbers(b->inputs[0]->inputs[1]) && anl_is_scalar(m, ANL_S_MAXIMUM) &&
            anl_fact_unguarded(f, m) == anl_fact_unguarded(f, x))
            return true;
    }
    return false;
}

/* Whether a - b is at most 0, since b is the greatest of a, or more. */
static bool is_below_own_maximum(const anl_node *n)
{
    const anl_node *b = anl_fact_same_numbers(n->inputs[1]);
    return (b->op == ANL_OP_MAX || b->op == ANL_OP_LOGSUMEXP) &&
           anl_fact_same_numbers(b->inputs[0]) == anl_fact_same_numbers(n->inputs[0]);
}

static void scalar_bounds(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    const anl_fact *a = &f->of[n->inputs[0]->id], *b = n->input_count > 1 ? &f->of[n->inputs[1]->id] : a,
                   *c = n->input_count > 2 ? &f->of[n->inputs[2]->id] : b;
    switch (n->attrs.scalar) {
    case ANL_S_NEGATE:
        set_bounds(out, -a->high, -a->low);
        return;
    case ANL_S_ABS:
        set_bounds(out, a->low > 0 ? a->low : a->high < 0 ? -a->high : 0, fmax(fabs(a->low), fabs(a->high)));
        return;
    case ANL_S_FLOOR:
        set_bounds(out, floor(a->low), floor(a->high));
        return;
    case ANL_S_EXP:
        set_bounds(out, exp_low(a->low), exp_high(a->high));
        return;
    case ANL_S_LOG:
        set_bounds(out, log_of(a->low), log_of(a->high));
        return;
    case ANL_S_SQRT:
        set_bounds(out, sqrt(fmax(a->low, 0)), sqrt(fmax(a->high, 0)));
        return;
    case ANL_S_RSQRT:
        set_bounds(out, a->high > 0 ? 1 / sqrt(a->high) : 0, a->low > 0 ? 1 / sqrt(a->low) : INFINITY);
        return;
    case ANL_S_TANH:
        set_bounds(out, tanh(a->low), tanh(a->high));
        return;
    case ANL_S_ERF:
        set_bounds(out, erf(a->low), erf(a->high));
        return;
    case ANL_S_SIN:
    case ANL_S_COS:
        set_bounds(out, -1, 1);
        return;
    case ANL_S_CAST:
        set_bounds(out, n->dtype == ANL_BOOL ? 0 : a->low, n->dtype == ANL_BOOL ? 1 : a->high);
        return;
    case ANL_S_ADD:
        if (is_shifted_sum(f, n))
            set_bounds(out, 1, 2);
        else
            set_bounds(out, a->low + b->low, a->high + b->high);
        return;
    case ANL_S_SUB:
        set_bounds(out, a->low - b->high, is_below_own_maximum(n) ? 0 : a->high - b->low);
        return;
    case ANL_S_MUL:
        if (n->inputs[0] == n->inputs[1]) {
            double least = a->low > 0 ? a->low : a->high < 0 ? -a->high : 0, most = fmax(fabs(a->low), fabs(a->high));
            set_bounds(out, least * least, most * most);
        } else {
            multiply(out, a->low, a->high, b->low, b->high);
        }
        return;
    case ANL_S_DIV:
        if (b->low > 0 || b->high < 0)
            multiply(out, a->low, a->high, 1 / b->high, 1 / b->low);
        else
            set_bounds(out, a->low >= 0 && b->low >= 0 ? 0 : -INFINITY, INFINITY);
        if (a->low >= 0 && anl_fact_own_reduction(f, n->inputs[1], n->inputs[0], ANL_OP_SUM) ==
                               anl_fact_unguarded(f, n->inputs[1])) /* a share of the whole */
            set_bounds(out, 0, 1);
        return;
    case ANL_S_MOD:
        set_bounds(out, b->low > 0 ? 0 : -INFINITY, b->low > 0 ? b->high : INFINITY);
        return;
    case ANL_S_POW: {
        bool even = b->moments && b->low == b->high && fmod(b->low, 2) == 0;
        set_bounds(out, even || a->low >= 0 ? 0 : -INFINITY, a->low >= 0 && a->high <= 1 && b->low >= 0 ? 1 : INFINITY);
        return;
    }
    case ANL_S_MINIMUM:
        set_bounds(out, fmin(a->low, b->low), fmin(a->high, b->high));
        return;
    case ANL_S_MAXIMUM:
        set_bounds(out, fmax(a->low, b->low), fmax(a->high, b->high));
        return;
    case ANL_S_SELECT:
        set_bounds(out, fmin(b->low, c->low), fmax(b->high, c->high));
        return;
    case ANL_S_NOT:
    case ANL_S_LT:
    case ANL_S_LE:
    case ANL_S_EQ:
    case ANL_S_NE:
    case ANL_S_AND:
    case ANL_S_OR:
        set_bounds(out, 0, 1);
        return;
    default:
        return;
    }
}

/* ---- one node ---- */
/* All elements one number that depends on the step alone: its value at each moment. */
static void find_moments(anl_facts *f, anl_arena *arena, const anl_node *n, anl_fact *out)
{
    if (n->op != ANL_OP_CONST && n->op != ANL_OP_STEP && n->op != ANL_OP_SCALAR) {
        bool moved = n->input_count == 1 && (anl_fact_same_numbers(n) != n || n->op == ANL_OP_SLICE || n->op == ANL_OP_SPLIT ||
                                             n->op == ANL_OP_MERGE || n->op == ANL_OP_MAX || n->op == ANL_OP_MEAN);
        out->moments = moved ? f->of[n->inputs[0]->id].moments : NULL;
        return;
    }
    for (int k = 0; k < n->input_count; k++)
        if (!uniform(f, n->inputs[k]))
            return;
    double *moments = ANL_NEW_ARRAY(arena, double, ANL_MOMENTS);
    for (int i = 0; i < ANL_MOMENTS; i++) {
        double v[3] = {0};
        for (int k = 0; k < n->input_count && k < 3; k++)
            v[k] = f->of[n->inputs[k]->id].moments[i];
        if (n->op == ANL_OP_CONST)
            moments[i] = n->attrs.value;
        else if (n->op == ANL_OP_STEP)
            moments[i] = n->attrs.count == 0 ? f->steps[i] : n->attrs.count == 1 ? 1000 : (double)f->traced->total_steps;
        else
            moments[i] = anl_scalar_evaluate(n->attrs.scalar, n->dtype, n->inputs[0]->dtype, v[0], v[1], v[2]);
    }
    out->moments = moments;
}

static void moment_bounds(anl_fact *out)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < ANL_MOMENTS; i++) {
        low = out->moments[i] < low ? out->moments[i] : low;
        high = out->moments[i] > high ? out->moments[i] : high;
    }
    if (low <= high)
        set_bounds(out, low, high);
}

static double reduced_count(const anl_node *n) { return (double)anl_node_count(n->inputs[0]) / (double)anl_node_count(n); }

/* What comes from several inputs that lie side by side, element by element. */
static void merge_inputs(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    anl_axis_bits present = 0, differing = 0;
    for (int k = 0; k < n->input_count; k++) {
        const anl_node *x = n->inputs[k];
        const anl_fact *in = &f->of[x->id];
        out->from |= in->from;
        out->samples |= anl_axis_bits_carried(n, x, in->samples);
        anl_axis_bits same = anl_axis_bits_carried(n, x, in->same), has = anl_axis_bits_carried(n, x, all_axes(x));
        present |= has;
        differing |= (anl_axis_bits)(has & ~same);
    }
    out->same = (anl_axis_bits)(present & ~differing);
}

static void scalar_fact(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    merge_inputs(f, n, out);
    scalar_bounds(f, n, out);
    const anl_node *x = n->inputs[0];
    int32_t axis = own_length(f, n);
    if (axis >= 0) {
        out->unit = bit_of(n, axis);
    } else if (anl_is_scalar(n, ANL_S_NEGATE)) {
        out->unit = f->of[x->id].unit;
    }
    /* exp(x - logsumexp(x)), p / sum(p) */
    const anl_node *whole = NULL;
    if (anl_is_scalar(n, ANL_S_EXP) && anl_is_scalar(x, ANL_S_SUB))
        whole = anl_fact_own_reduction(f, x->inputs[1], x->inputs[0], ANL_OP_LOGSUMEXP);
    else if (anl_is_scalar(n, ANL_S_DIV) && f->of[x->id].low >= 0)
        whole = anl_fact_own_reduction(f, n->inputs[1], x, ANL_OP_SUM);
    const anl_node *factor = NULL, *scaled = anl_is_scalar(n, ANL_S_MUL) ? beside_number(f, n, &factor) : NULL;
    if (anl_is_scalar(n, ANL_S_DIV) && uniform(f, n->inputs[1]))
        scaled = x;
    if (whole && whole->attrs.over_count == 1)
        out->softmax = bit_of(n, whole->attrs.over[0]);
    else if (scaled)
        out->softmax = anl_axis_bits_carried(n, scaled, f->of[scaled->id].softmax);
}

static anl_axis_bits with_axis(anl_axis_bits bits, anl_axis_bits axis, bool on)
{
    return (anl_axis_bits)(on ? bits | axis : bits & ~axis);
}

static void moved_fact(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    const anl_node *x = n->inputs[0];
    const anl_fact *in = &f->of[x->id];
    const anl_axis_bits along = bit_of(n, n->attrs.axis[0]);
    merge_inputs(f, n, out);
    set_bounds(out, in->low, in->high);
    out->unit = anl_axis_bits_carried(n, x, in->unit);
    out->softmax = anl_axis_bits_carried(n, x, in->softmax);
    switch (n->op) {
    case ANL_OP_RENAME:
        out->samples = in->samples;
        out->unit = in->unit;
        out->softmax = in->softmax;
        out->same = in->same;
        break;
    case ANL_OP_REPLICATE:
        out->same = with_axis(out->same, along, (in->from & ANL_FROM_FIELD) && !(in->from & ANL_FROM_WEIGHT));
        break;
    case ANL_OP_SLICE:
        out->unit = with_axis(out->unit, along, false);
        out->softmax = with_axis(out->softmax, along, false);
        break;
    case ANL_OP_PLACE:
    case ANL_OP_WINDOWS:
        out->low = fmin(out->low, n->attrs.value);
        out->high = fmax(out->high, n->attrs.value);
        out->unit = out->softmax = 0;
        out->same = with_axis(out->same, along, false);
        break;
    case ANL_OP_CONCAT:
        for (int k = 1; k < n->input_count; k++) {
            const anl_fact *other = &f->of[n->inputs[k]->id];
            out->low = fmin(out->low, other->low);
            out->high = fmax(out->high, other->high);
            out->unit &= anl_axis_bits_carried(n, n->inputs[k], other->unit);
            out->softmax &= anl_axis_bits_carried(n, n->inputs[k], other->softmax);
        }
        out->unit = with_axis(out->unit, along, false);
        out->softmax = with_axis(out->softmax, along, false);
        out->same = with_axis(out->same, along, false);
        break;
    case ANL_OP_SPLIT: {
        const anl_axis_bits whole = bit_of(x, n->attrs.axis[0]);
        for (int i = 0; i < n->attrs.over_count; i++) {
            out->samples = with_axis(out->samples, bit_of(n, n->attrs.over[i]), in->samples & whole);
            out->same = with_axis(out->same, bit_of(n, n->attrs.over[i]), in->same & whole);
        }
        break;
    }
    case ANL_OP_MERGE: {
        const anl_axis_bits kept = anl_fact_kept_axis(n);
        bool samples = false, same = true;
        if (kept) { /* the others are of size 1 */
            out->samples = with_axis(out->samples, along, in->samples & kept);
            out->same = with_axis(out->same, along, in->same & kept);
            out->unit = with_axis(out->unit, along, in->unit & kept);
            out->softmax = with_axis(out->softmax, along, in->softmax & kept);
            break;
        }
        for (int i = 0; i < n->attrs.over_count; i++) {
            samples |= (in->samples & bit_of(x, n->attrs.over[i])) != 0;
            same &= (in->same & bit_of(x, n->attrs.over[i])) != 0;
        }
        out->samples = with_axis(out->samples, along, samples);
        out->same = with_axis(out->same, along, same);
        out->unit = with_axis(out->unit, along, false);
        out->softmax = with_axis(out->softmax, along, false);
        break;
    }
    default:
        break;
    }
}

static void contract_fact(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    const anl_node *x = n->inputs[0], *y = n->inputs[1];
    const anl_fact *a = &f->of[x->id], *b = &f->of[y->id];
    merge_inputs(f, n, out);
    for (int i = 0; i < n->attrs.slide_count; i++)
        out->same = with_axis(out->same, bit_of(n, n->attrs.slide[i].axis), false);
    if (n->attrs.over_count == 1 && !n->attrs.slide_count && (a->unit & bit_of(x, n->attrs.over[0])) &&
        (b->unit & bit_of(y, n->attrs.over[0]))) {
        set_bounds(out, -1, 1); /* a cosine */
        return;
    }
    double terms = 1;
    for (int i = 0; i < n->attrs.over_count; i++)
        terms *= anl_node_size(x, n->attrs.over[i]);
    for (int i = 0; i < n->attrs.slide_count; i++)
        terms *= n->attrs.slide[i].tap_size;
    anl_fact each = {0};
    multiply(&each, a->low, a->high, b->low, b->high);
    set_bounds(out, product(each.low, terms), product(each.high, terms));
    if (n->attrs.slide_count) { /* padding takes terms away */
        out->low = fmin(out->low, 0);
        out->high = fmax(out->high, 0);
    }
}

static bool is_over(const anl_node *n, int32_t axis)
{
    for (int i = 0; i < n->attrs.over_count; i++)
        if (n->attrs.over[i] == axis)
            return true;
    return false;
}

/* Whether each sum is of exponentials shifted by the greatest among them, of which one is 1: sum(exp((x - max(x)) / c)). */
static bool has_greatest(const anl_facts *f, const anl_node *sum)
{
    const anl_node *x = anl_fact_same_numbers(sum->inputs[0]);
    if (!anl_is_scalar(x, ANL_S_EXP))
        return false;
    x = anl_fact_same_numbers(x->inputs[0]);
    if (anl_is_scalar(x, ANL_S_DIV) && uniform(f, x->inputs[1]))
        x = anl_fact_same_numbers(x->inputs[0]);
    const anl_node *greatest = anl_is_scalar(x, ANL_S_SUB) ? anl_fact_same_numbers(x->inputs[1]) : sum;
    if (greatest->op != ANL_OP_MAX || !is_below_own_maximum(x))
        return false;
    for (int i = 0; i < greatest->attrs.over_count; i++)
        if (!is_over(sum, greatest->attrs.over[i]))
            return false;
    return true;
}

static void reduction_fact(const anl_facts *f, const anl_node *n, anl_fact *out)
{
    const anl_fact *in = &f->of[n->inputs[0]->id];
    const double count = reduced_count(n);
    merge_inputs(f, n, out);
    switch (n->op) {
    case ANL_OP_SUM:
        set_bounds(out, has_greatest(f, n) ? 1 : product(in->low, count), product(in->high, count));
        break;
    case ANL_OP_LOGSUMEXP:
        set_bounds(out, in->low + log(count), in->high + log(count));
        break;
    case ANL_OP_VARIANCE:
        set_bounds(out, 0, (in->high - in->low) * (in->high - in->low) / 4);
        break;
    case ANL_OP_ARGMAX:
        set_bounds(out, 0, count - 1);
        break;
    default: /* MAX, MEAN */
        set_bounds(out, in->low, in->high);
    }
}

static void find_fact(anl_facts *f, anl_arena *arena, const anl_node *n, const anl_fact *states)
{
    anl_fact *out = &f->of[n->id];
    *out = (anl_fact){.low = -INFINITY, .high = INFINITY, .moments = out->moments};
    if (!out->moments) /* they depend on no state, so one sweep finds them */
        find_moments(f, arena, n, out);
    switch (n->op) {
    case ANL_OP_CONST:
    case ANL_OP_STEP:
        break;
    case ANL_OP_INDEX:
        set_bounds(out, 0, n->axes[0].size - 1);
        break;
    case ANL_OP_FIELD:
        out->from = ANL_FROM_FIELD;
        out->samples = bit_of(n, anl_graph_find_axis(f->graph, "batch"));
        if (n->attrs.name && strchr(n->attrs.name, ':')) /* a mask */
            set_bounds(out, 0, 1);
        break;
    case ANL_OP_STATE:
        out->from = n->attrs.state->kind == ANL_STATE_OTHER ? ANL_FROM_STATE : ANL_FROM_WEIGHT;
        out->unit = states[n->attrs.state->id].unit;
        out->samples = states[n->attrs.state->id].samples;
        break;
    case ANL_OP_UNIFORM: /* below 1: the greatest is 1 - 2^-24 */
    case ANL_OP_NORMAL:
        out->from = ANL_FROM_DRAW;
        out->samples = bit_of(n, n->attrs.axis[0]);
        if (n->op == ANL_OP_UNIFORM)
            set_bounds(out, 0, 1 - 0x1p-24);
        break;
    case ANL_OP_SCALAR:
        scalar_fact(f, n, out);
        break;
    case ANL_OP_CONTRACT:
        contract_fact(f, n, out);
        break;
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_ARGMAX:
    case ANL_OP_LOGSUMEXP:
    case ANL_OP_MEAN:
    case ANL_OP_VARIANCE:
        reduction_fact(f, n, out);
        break;
    case ANL_OP_GATHER: {
        merge_inputs(f, n, out);
        for (int i = 0; i < n->rank; i++) /* an axis of the source that is replaced is gone, though an index may have its name */
            if (is_over(n, n->axes[i].id))
                out->same = with_axis(out->same, (anl_axis_bits)(1u << i), false);
        const anl_fact *in = &f->of[n->inputs[0]->id];
        set_bounds(out, fmin(in->low, n->attrs.value), fmax(in->high, n->attrs.value));
        break;
    }
    case ANL_OP_UNWINDOWS:
    case ANL_OP_SEGMENT_SUM:
    case ANL_OP_TOP_K:
        merge_inputs(f, n, out);
        out->same = 0;
        break;
    default:
        if (anl_walk_moves(n))
            moved_fact(f, n, out);
    }
    if (out->unit) {
        out->low = fmax(out->low, -1);
        out->high = fmin(out->high, 1);
    }
    if (out->moments)
        moment_bounds(out);
}

/* ---- states ---- */
/* Whether a weight declares a projection: then it is of the form that gives it even where this phase does not update it. */
static bool declares_projection(const anl_recipe *recipe, const anl_state *s)
{
    for (int i = 0; i < recipe->function_count; i++)
        for (int k = 0; k < recipe->functions[i]->declaration_count; k++) {
            const anl_declaration *d = &recipe->functions[i]->declarations[k];
            if (d->is_weight && d->project && anl_span_same(d->span, s->span))
                return true;
        }
    return false;
}

static void suppose(const anl_recipe *recipe, const anl_graph *g, anl_fact *states)
{
    for (int i = 0; i < g->state_count; i++) {
        const anl_state *s = g->states[i];
        const bool weight = s->kind != ANL_STATE_OTHER;
        if (s->value && !s->arena && (s->update || !weight || declares_projection(recipe, s)))
            states[i].unit = all_axes(s->value);
    }
}

/* What the updates make of the states; whether, and of which, that is other than was supposed. */
static bool correct(const anl_facts *f, anl_fact *states, bool *changed)
{
    bool any = false;
    for (int i = 0; i < f->graph->state_count; i++) {
        const anl_state *s = f->graph->states[i];
        changed[i] = false;
        if (!s->value || !s->update || s->arena)
            continue;
        const anl_fact *new = &f->of[s->update->id];
        anl_axis_bits unit = states[i].unit & anl_axis_bits_carried(s->value, s->update, new->unit);
        anl_axis_bits samples = states[i].samples | anl_axis_bits_carried(s->value, s->update, new->samples);
        changed[i] = unit != states[i].unit || samples != states[i].samples;
        any = any || changed[i];
        states[i].unit = unit;
        states[i].samples = samples;
    }
    return any;
}

/* Once more, for what depends on states of which something else is known now. */
static void sweep_again(anl_facts *f, anl_arena *arena, const anl_fact *states, const bool *changed, bool *again)
{
    for (int i = 0; i < f->graph->node_count; i++) {
        const anl_node *n = f->graph->nodes[i];
        again[i] = n->op == ANL_OP_STATE && changed[n->attrs.state->id];
        for (int k = 0; k < n->input_count; k++)
            again[i] = again[i] || again[n->inputs[k]->id];
        if (again[i])
            find_fact(f, arena, n, states);
    }
}

anl_facts *anl_facts_of(anl_arena *arena, const anl_recipe *recipe, const anl_traced *traced)
{
    const anl_graph *g = traced->graph;
    anl_facts *f = ANL_NEW(arena, anl_facts);
    f->traced = traced;
    f->graph = g;
    f->of = ANL_NEW_ARRAY(arena, anl_fact, g->node_count + 1);
    const double last = traced->total_steps > 1 ? (double)traced->total_steps - 1 : 0;
    static const double parts[ANL_MOMENTS] = {0, 0, 0, 1. / 256, 1. / 64, 1. / 32, 1. / 16, 1. / 8, 1. / 4, 1. / 2, 3. / 4, 1};
    for (int i = 0; i < ANL_MOMENTS; i++)
        f->steps[i] = fmin(last, i < 3 ? i : floor(parts[i] * last));
    anl_fact *states = ANL_NEW_ARRAY(arena, anl_fact, g->state_count + 1);
    suppose(recipe, g, states);
    bool *changed = ANL_NEW_ARRAY(arena, bool, g->state_count + 1), *again = ANL_NEW_ARRAY(arena, bool, g->node_count + 1);
    for (int i = 0; i < g->node_count; i++)
        find_fact(f, arena, g->nodes[i], states);
    /* Bits of unit length are only taken away, bits of samples only added; long chains of states are given the benefit of the doubt. */
    for (int sweeps = 1; correct(f, states, changed) && sweeps < 8; sweeps++)
        sweep_again(f, arena, states, changed, again);

    f->users = anl_walk_users(arena, g);
    f->loss = anl_walk_losses(arena, traced, ANL_WAYS_VALUES);
    const anl_node **weights = ANL_NEW_ARRAY(arena, const anl_node *, g->state_count + 1);
    for (int i = 0; i < g->state_count; i++)
        weights[i] = g->states[i]->kind != ANL_STATE_OTHER ? g->states[i]->value : NULL;
    bool *learning = anl_walk_losses(arena, traced, ANL_WAYS_GRADIENTS),
         *ahead = anl_walk_ahead(arena, g, weights, g->state_count, ANL_WAYS_GRADIENTS);
    for (int i = 0; i < g->node_count; i++)
        learning[i] = learning[i] && ahead[i];
    f->learning = learning;
    return f;
}

const anl_facts *anl_facts_shared(anl_lint_pass *pass, const anl_traced *traced)
{
    anl_facts **found = &pass->facts_found[traced == pass->last];
    if (!*found)
        *found = anl_facts_of(pass->arena, pass->recipe, traced);
    return *found;
}
