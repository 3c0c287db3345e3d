/* Self-supervised numerics: what is well formed and yet cannot learn, or leaves float32.
 * In: graphs of the first and the last phase of training. Out: diagnostics A1001 to A1018, A1020, A1023, A1024.
 * Everything is found from structure: a balanced assignment is whatever divides by its own sums over samples and over something else in turn;
 * a queue is a state that takes in values of the batch and keeps a slice of itself; scores are contractions of what depends on data. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "lint/facts.h"
#include "lint/literal.h"

typedef struct numerics {
    anl_lint_pass *pass;
    const anl_facts *f;
    const struct link *links; /* by node id */
    bool first, last;         /* of the phases */
    bool *told;               /* by node id: divisors that were reported */
} numerics;

static const anl_fact *fact(const numerics *n, const anl_node *node) { return &n->f->of[node->id]; }
static bool has_data(const numerics *n, const anl_node *node)
{
    return fact(n, node)->from & (ANL_FROM_FIELD | ANL_FROM_STATE);
}

#define REPORT(n, code, node, ...) anl_walk_diagnose((n)->pass, ANL_A_##code, node, __VA_ARGS__)
#define NOTE(n, d, ...) anl_diagnostic_note((n)->pass->diagnostics, d, __VA_ARGS__)
#define SUGGEST(n, d, ...) anl_diagnostic_suggest((n)->pass->diagnostics, d, __VA_ARGS__)

static const char *axis_name(const numerics *n, int32_t axis) { return anl_graph_axis_name(n->f->graph, axis); }

/* ---- what goes into an exponential: contractions, divided by numbers, shifted, with a bias ---- */
enum { MOST = 8 };
typedef struct scores {
    const anl_node *contractions[MOST], *biases[MOST], *scales[MOST];
    int contraction_count, bias_count, scale_count;
    bool shifted_over_samples; /* by the greatest of all samples together */
    bool other;                /* there is more to it than that */
} scores;

static void push(const anl_node **list, int *count, const anl_node *node)
{
    for (int i = 0; i < *count; i++)
        if (list[i] == node)
            return;
    if (*count < MOST)
        list[(*count)++] = node;
}

static void explore(const numerics *n, const anl_node *x, scores *out, int depth)
{
    for (;;) {
        if (x->op == ANL_OP_CONTRACT) {
            push(out->contractions, &out->contraction_count, x);
            return;
        }
        if (x->op == ANL_OP_CONCAT && depth < 4) {
            for (int i = 0; i < x->input_count; i++)
                explore(n, x->inputs[i], out, depth + 1);
            return;
        }
        if (x->input_count == 1 && (anl_walk_moves(x) || anl_is_scalar(x, ANL_S_CAST))) {
            x = x->inputs[0];
            continue;
        }
        const anl_node *a = x->input_count == 2 ? x->inputs[0] : NULL, *b = a ? x->inputs[1] : NULL;
        if (a && (anl_is_scalar(x, ANL_S_DIV) || anl_is_scalar(x, ANL_S_MUL) || anl_is_scalar(x, ANL_S_MAXIMUM) ||
                  anl_is_scalar(x, ANL_S_MINIMUM))) {
            const bool scales = anl_is_scalar(x, ANL_S_DIV) || anl_is_scalar(x, ANL_S_MUL);
            if (fact(n, a)->moments && !anl_is_scalar(x, ANL_S_DIV)) {
                const anl_node *swap = a;
                a = b;
                b = swap;
            }
            if (fact(n, b)->moments) {
                if (scales)
                    push(out->scales, &out->scale_count, x);
                x = a;
                continue;
            }
        }
        if (a && (anl_is_scalar(x, ANL_S_ADD) || anl_is_scalar(x, ANL_S_SUB))) {
            if (!has_data(n, a) && anl_is_scalar(x, ANL_S_ADD)) {
                const anl_node *swap = a;
                a = b;
                b = swap;
            }
            const anl_node *moved = anl_fact_same_numbers(b);
            if (moved->op == ANL_OP_MAX || moved->op == ANL_OP_LOGSUMEXP) {
                const anl_node *of = moved->inputs[0];
                out->shifted_over_samples |= (anl_axis_bits_over(moved) & fact(n, of)->samples) != 0;
                x = a;
                continue;
            }
            if (!has_data(n, b)) {
                if (fact(n, b)->from & ANL_FROM_WEIGHT)
                    push(out->biases, &out->bias_count, x);
                x = a;
                continue;
            }
        }
        out->other = true;
        return;
    }
}

/* The factor that numbers put on the scores, where all of them are constant or nearly so; at one moment. */
static double scale_at(const numerics *n, const scores *s, int moment)
{
    double scale = 1;
    for (int i = 0; i < s->scale_count; i++) {
        const anl_node *x = s->scales[i];
        const double *b = fact(n, x->inputs[1])->moments, *a = fact(n, x->inputs[0])->moments;
        if (anl_is_scalar(x, ANL_S_DIV))
            scale /= b[moment];
        else
            scale *= b ? b[moment] : a[moment];
    }
    return scale;
}

static double greatest_scale(const numerics *n, const scores *s)
{
    double most = 0;
    for (int i = 0; i < ANL_MOMENTS; i++)
        most = fmax(most, fabs(scale_at(n, s, i)));
    return most;
}

static void label_scales(const numerics *n, anl_diagnostic *d, const scores *s)
{
    for (int i = 0; i < s->scale_count; i++)
        anl_literal_label(n->pass, d, anl_literal_of_operand(n->pass, s->scales[i]));
}

/* ---- cosines: both sides of unit length along the axis that is summed ---- */
static bool is_unit_side(const numerics *n, const anl_node *contraction, int side)
{
    const anl_node *x = contraction->inputs[side];
    int at = contraction->attrs.over_count == 1 ? anl_node_axis(x, contraction->attrs.over[0]) : -1;
    return at >= 0 && (fact(n, x)->unit >> at & 1);
}

static bool is_cosine(const numerics *n, const anl_node *contraction)
{
    return is_unit_side(n, contraction, 0) && is_unit_side(n, contraction, 1);
}

static bool are_cosines(const numerics *n, const scores *s)
{
    for (int i = 0; i < s->contraction_count; i++)
        if (!is_cosine(n, s->contractions[i]))
            return false;
    return s->contraction_count > 0 && !s->other;
}

/* ---- balanced assignments ---- */
typedef struct link link;
struct link { /* a division by the own sum, in a chain of such */
    const anl_node *root; /* what the chain begins with; NULL: the node is none */
    const anl_node *by_samples, *by_others; /* of the chain so far: the last that is over samples alone, and over other axes alone */
    bool logarithmic, continued;
};

/* The reduction by which a node is normalised: x / sum(x), x * (1 / sum(x)), x - logsumexp(x). */
static const anl_node *normalisation(const numerics *n, const anl_node *x, const anl_node **of, bool *logarithmic)
{
    *logarithmic = false;
    *of = x->input_count ? x->inputs[0] : NULL;
    if (anl_is_scalar(x, ANL_S_DIV))
        return anl_fact_own_reduction(n->f, x->inputs[1], x->inputs[0], ANL_OP_SUM);
    if (anl_is_scalar(x, ANL_S_SUB)) {
        *logarithmic = true;
        return anl_fact_own_reduction(n->f, x->inputs[1], x->inputs[0], ANL_OP_LOGSUMEXP);
    }
    for (int k = 0; k < 2 && anl_is_scalar(x, ANL_S_MUL); k++) {
        const anl_node *r = anl_fact_same_numbers(x->inputs[1 - k]);
        *of = x->inputs[k];
        if (anl_is_scalar(r, ANL_S_DIV) && fact(n, r->inputs[0])->moments)
            return anl_fact_own_reduction(n->f, r->inputs[1], x->inputs[k], ANL_OP_SUM);
    }
    return NULL;
}

/* Behind factors and axes: the division before this one, if it is one. */
static const anl_node *earlier(const numerics *n, const anl_node *x)
{
    for (;;) {
        x = anl_fact_same_numbers(x);
        if ((anl_is_scalar(x, ANL_S_DIV) || anl_is_scalar(x, ANL_S_MUL)) && fact(n, x->inputs[1])->moments)
            x = x->inputs[0];
        else if (anl_is_scalar(x, ANL_S_MUL) && fact(n, x->inputs[0])->moments)
            x = x->inputs[1];
        else
            return x;
    }
}

static link *find_links(const numerics *n)
{
    const anl_graph *g = n->f->graph;
    link *links = ANL_NEW_ARRAY(n->pass->arena, link, g->node_count + 1);
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i], *of = NULL;
        bool logarithmic;
        const anl_node *sum = n->f->loss[i] && x->op == ANL_OP_SCALAR ? normalisation(n, x, &of, &logarithmic) : NULL;
        if (!sum)
            continue;
        const anl_node *before = earlier(n, of);
        link *l = &links[i], *up = &links[before->id];
        if (up->root && up->logarithmic == logarithmic) {
            *l = *up;
            l->continued = false;
            up->continued = true;
        } else {
            *l = (link){.root = before, .logarithmic = logarithmic};
        }
        const anl_axis_bits over = anl_axis_bits_over(sum), samples = fact(n, sum->inputs[0])->samples;
        if (over && !(over & ~samples))
            l->by_samples = sum;
        else if (over && !(over & samples))
            l->by_others = sum;
    }
    return links;
}

/* The end of a chain that divides by sums over samples and by sums over something else, of exponentials or in logarithms. */
static bool is_assignment(const link *l)
{
    return l->root && !l->continued && l->by_samples && l->by_others && (l->logarithmic || anl_is_scalar(l->root, ANL_S_EXP));
}

static double reduced(const anl_node *sum) { return (double)anl_node_count(sum->inputs[0]) / (double)anl_node_count(sum); }

/* Whether a value is made from a state that is no weight: the queue. */
static bool is_queued(const numerics *n, const anl_node *x) { return fact(n, x)->from & ANL_FROM_STATE; }

static void label_size(const numerics *n, anl_diagnostic *d, const anl_node *x, int32_t axis)
{
    const anl_graph *g = n->f->graph;
    for (int i = 0; i < g->state_count; i++) { /* the spec's own number, where a state has the axis from it */
        const anl_state *s = g->states[i];
        int at = s->value ? anl_node_axis(s->value, axis) : -1;
        if (at < 0 || s->value->axes[at].size != anl_node_size(x, axis) || !n->f->loss[s->value->id])
            continue;
        anl_literal set = anl_literal_of_size(n->pass, s, axis_name(n, axis));
        if (set.span.line || set.span.file)
            anl_literal_label(n->pass, d, set);
        return;
    }
}

static void check_samples(const numerics *n, const anl_node *node, const link *l)
{
    const double samples = reduced(l->by_samples), clusters = reduced(l->by_others);
    if (samples >= clusters || !n->last)
        return;
    const anl_node *x = l->by_others->inputs[0];
    const bool queue = is_queued(n, l->root);
    const int32_t axis = l->by_others->attrs.over[0];
    anl_diagnostic *d = REPORT(n, few_samples, node, "%g samples%s are shared out equally among %g along `%s`: each gets less than one", samples,
                               queue ? ", those of the queue included," : "", clusters, axis_name(n, axis));
    label_size(n, d, x, axis);
    NOTE(n, d, "the assignment gives every cluster the same mass, here that of %.2g samples: unlike images are put together, or one image is "
               "torn over several clusters", samples / clusters);
    SUGGEST(n, d, queue ? "lengthen the queue to %g or more, or take fewer clusters"
                        : "add a queue of earlier samples (%g or more), enlarge the batch, or take fewer clusters",
            queue ? clusters - samples + n->f->traced->batch : clusters - samples);
}

static const char *side_name(const numerics *n, const anl_node *x)
{
    x = anl_walk_moved(x);
    return x->op == ANL_OP_STATE ? x->attrs.state->path : fact(n, x)->from & ANL_FROM_FIELD ? "the features" : x->path;
}

static void check_scores(const numerics *n, const scores *s)
{
    for (int i = 0; i < s->contraction_count; i++) {
        const anl_node *c = s->contractions[i];
        if (c->attrs.over_count != 1 || c->attrs.slide_count)
            continue;
        const int32_t axis = c->attrs.over[0];
        for (int k = 0; k < 2; k++) {
            const anl_node *x = c->inputs[k];
            const bool data = has_data(n, x) != 0, weights = !data && fact(n, x)->from & ANL_FROM_WEIGHT;
            if (is_unit_side(n, c, k) || has_data(n, c->inputs[1 - k]) == data || (weights && s->bias_count) || (!data && !weights))
                continue;
            const anl_node *moved = anl_walk_moved(x);
            const bool named = moved->op == ANL_OP_STATE;
            anl_diagnostic *d =
                data && !named
                    ? REPORT(n, unnormalised_scores, c, "the features have any length along `%s` when they are assigned", axis_name(n, axis))
                    : REPORT(n, unnormalised_scores, c, "`%s` holds vectors of any length along `%s`, and %s", side_name(n, x), axis_name(n, axis),
                             data ? "they are assigned to clusters" : "samples are assigned by them");
            if (named && moved->attrs.state->span.line)
                anl_diagnostic_label(n->pass->diagnostics, d, moved->attrs.state->span, "`%s` is declared here", moved->attrs.state->path);
            NOTE(n, d, "the temperature of the assignment is meant for cosines: of longer vectors it makes hard assignments, and long prototypes "
                       "draw all samples to themselves");
            if (data)
                SUGGEST(n, d, "give them unit length first: normalize(…, over=%s)", axis_name(n, axis));
            else
                SUGGEST(n, d, "keep it of unit length: project: normalize(%s, over=%s), as unit_vectors has it",
                        moved->op == ANL_OP_STATE && strrchr(moved->attrs.state->path, '.') ? strrchr(moved->attrs.state->path, '.') + 1 : "weight",
                        axis_name(n, axis));
        }
    }
    for (int i = 0; i < s->bias_count; i++) {
        const anl_node *x = s->biases[i];
        anl_diagnostic *d = REPORT(n, biased_prototypes, x, "a bias is added to the scores that are assigned");
        NOTE(n, d, "in the assignment it cancels, since each cluster is divided by its own sum; in the prediction it does not: the network can meet "
                   "the balance by its biases instead of its features");
        SUGGEST(n, d, "take the product with the prototypes alone: dot(features, unit_vectors(…), over=…)");
    }
}

static void check_underflow(const numerics *n, const anl_node *exponential, const scores *s)
{
    const anl_fact *in = fact(n, exponential->inputs[0]);
    if (!s->shifted_over_samples || !are_cosines(n, s) || isinf(in->low) || in->low >= anl_exp_underflow() || !s->scale_count)
        return;
    const double range = -in->low, limit = 2 / -anl_exp_underflow();
    anl_diagnostic *d = REPORT(n, exp_underflow, s->scales[0],
                               "exp of down to -%.3g is 0 in float32: samples whose scores all lie far below the greatest get no assignment", range);
    label_scales(n, d, s);
    NOTE(n, d, "cosines differ by up to 2, and exp(-87.3) is the least normal float32: below an epsilon of %.2g sums over a sample or a cluster "
               "may be 0", limit);
    SUGGEST(n, d, "an epsilon of %.3g or more; or subtract each sample's own maximum: max(scores, over=cluster)", ceil(limit * 1000) / 1000);
}

static void check_assignments(const numerics *n)
{
    const anl_graph *g = n->f->graph;
    for (int i = 0; i < g->node_count; i++) {
        const link *l = &n->links[i];
        if (!is_assignment(l))
            continue;
        const anl_node *root = l->root, *node = g->nodes[i];
        scores s = {0};
        explore(n, l->logarithmic ? root : root->inputs[0], &s, 0);
        check_samples(n, node, l);
        check_scores(n, &s);
        if (!l->logarithmic)
            check_underflow(n, root, &s);
        if (n->f->learning[i]) {
            anl_diagnostic *d = REPORT(n, assignment_learns, node, "a gradient flows through the balanced assignment into what it assigns");
            NOTE(n, d, "then the targets move towards the predictions as well, and both can agree on anything");
            SUGGEST(n, d, "stop_gradient(…) around the assignment");
        }
    }
}

/* ---- queues ---- */
typedef struct queue {
    const anl_state *state;
    const anl_node *update; /* the concatenation, or the part of a batch that is kept */
    int32_t axis;
    int length, fresh; /* samples that it holds, and that come in with every step */
} queue;

static const anl_node *reads_itself(const anl_node *x, const anl_state *s)
{
    const anl_node *slice = anl_fact_same_numbers(x);
    if (slice->op != ANL_OP_SLICE)
        return NULL;
    const anl_node *value = anl_fact_same_numbers(slice->inputs[0]);
    return value->op == ANL_OP_STATE && value->attrs.state == s ? slice : NULL;
}

static bool find_queue(const numerics *n, const anl_state *s, queue *out)
{
    if (s->kind != ANL_STATE_OTHER || !s->value || !s->update || !n->f->loss[s->value->id])
        return false;
    const anl_node *x = anl_fact_same_numbers(s->update);
    *out = (queue){.state = s, .update = x};
    if (x->op == ANL_OP_CONCAT) {
        bool itself = false, data = false;
        out->axis = x->attrs.axis[0];
        for (int i = 0; i < x->input_count; i++) {
            const anl_node *slice = reads_itself(x->inputs[i], s);
            itself |= slice != NULL;
            if (slice)
                continue;
            data |= (fact(n, x->inputs[i])->from & ANL_FROM_FIELD) != 0;
            out->fresh += anl_node_size(x->inputs[i], out->axis);
        }
        out->length = anl_node_size(x, out->axis);
        return itself && data;
    }
    if (x->op == ANL_OP_SLICE && fact(n, x)->from & ANL_FROM_FIELD) { /* shorter than a batch: it keeps a part of it */
        int at = anl_node_axis(x->inputs[0], x->attrs.axis[0]);
        out->axis = x->attrs.axis[0];
        out->fresh = at >= 0 && (fact(n, x->inputs[0])->samples >> at & 1) ? x->inputs[0]->axes[at].size : 0;
        out->length = anl_node_size(x, out->axis);
        return out->fresh > out->length && out->length > 0;
    }
    return false;
}

/* Where the queue's part joins the batch's. */
static const anl_node *joins(const numerics *n, const anl_node *x, const bool *ahead)
{
    const anl_node *found = NULL;
    for (int i = x->id; i >= 0 && !found; i--) {
        const anl_node *c = n->f->graph->nodes[i];
        if (c->op != ANL_OP_CONCAT || !n->f->loss[i] || !ahead[i])
            continue;
        for (int k = 0; k < c->input_count; k++)
            if (!ahead[c->inputs[k]->id])
                found = c;
    }
    return found;
}

static void check_early(const numerics *n, const queue *q)
{
    const anl_graph *g = n->f->graph;
    const anl_node *from[1] = {q->state->value};
    const bool *ahead = anl_walk_ahead(n->pass->arena, g, from, 1, ANL_WAYS_VALUES);
    for (int i = 0; i < g->node_count; i++) {
        const link *l = &n->links[i];
        if (!is_assignment(l) || !ahead[l->root->id])
            continue;
        const anl_node *join = joins(n, l->root, ahead);
        anl_diagnostic *d = REPORT(n, early_queue, join ? join : g->nodes[i],
                                   "the queue `%s` takes part in the balanced assignment from the first step", q->state->path);
        anl_diagnostic_label(n->pass->diagnostics, d, q->state->span, "it begins with what `init` says, not with images");
        anl_literal_label(n->pass, d, anl_literal_of_since(n->pass, (join ? join : g->nodes[i])->span));
        NOTE(n, d, "for the first %d steps it holds first values, and later features of an encoder that still changes fast; they take clusters "
                   "away from the batch", (q->length + q->fresh - 1) / q->fresh);
        SUGGEST(n, d, "begin with the batch alone: if(since(15ep), concat([…, …], axis=batch), …)");
        return;
    }
}

/* The state's own axis for the queue's, which may have another name in its update. */
static int32_t own_axis(const queue *q)
{
    const anl_node *value = q->state->value;
    for (int i = 0; i < value->rank && anl_node_axis(value, q->axis) < 0; i++)
        if (value->axes[i].size == q->length && anl_node_axis(q->update, value->axes[i].id) < 0)
            return value->axes[i].id;
    return q->axis;
}

static void check_queues(const numerics *n)
{
    const anl_graph *g = n->f->graph;
    for (int i = 0; i < g->state_count; i++) {
        queue q;
        if (!find_queue(n, g->states[i], &q))
            continue;
        if (n->first)
            check_early(n, &q);
        if (q.length % q.fresh == 0)
            continue;
        const int below = q.length / q.fresh * q.fresh, above = below + q.fresh;
        anl_diagnostic *d = REPORT(n, uneven_queue, q.update, "the queue `%s` has %d places, and %d samples come in with every step", q.state->path,
                                   q.length, q.fresh);
        anl_literal set = anl_literal_of_size(n->pass, q.state, axis_name(n, own_axis(&q)));
        anl_literal_label(n->pass, d, set);
        NOTE(n, d, below ? "of the oldest batch only a part is kept: which of its images count for one step more is decided by their place in it"
                         : "it holds a part of the last batch, whatever stands first in it");
        if (below)
            SUGGEST(n, d, "a multiple of the batch: %d or %d", below, above);
        else
            SUGGEST(n, d, "a multiple of the batch: %d or more", above);
        if (set.literal && set.span.line) {
            char text[16];
            snprintf(text, sizeof text, "%d", above);
            anl_fix_edit(n->pass->diagnostics,
                         anl_diagnostic_fix(n->pass->diagnostics, d, ANL_FIX_MAYBE, "make it %d, the next multiple of the batch", above), set.span, text);
        }
    }
}

/* ---- temperatures ---- */
static void check_temperature(const numerics *n, const anl_node *x, bool softmax)
{
    scores s = {0};
    explore(n, x, &s, 0);
    if (!s.contraction_count || s.other)
        return;
    for (int i = 0; i < s.scale_count; i++) {
        const anl_node *scale = s.scales[i];
        const anl_fact *divisor = fact(n, scale->inputs[1]);
        if (!anl_is_scalar(scale, ANL_S_DIV) || divisor->low > 0)
            continue;
        n->told[scale->id] = true;
        anl_diagnostic *d = divisor->low == 0 ? REPORT(n, temperature, scale, "these scores are divided by a temperature of 0")
                                              : REPORT(n, temperature, scale, "these scores are divided by a temperature of %g", divisor->low);
        anl_literal_label(n->pass, d, anl_literal_of_operand(n->pass, scale));
        NOTE(n, d, divisor->low == 0 ? "the result is infinite, or no number" : "a negative temperature makes the least similar pair the most likely one");
        SUGGEST(n, d, "a temperature above 0; 0.05 to 0.5 is usual for cosines");
        return;
    }
    const double scale = greatest_scale(n, &s), limit = -1 / anl_exp_vanish();
    if (!softmax || !are_cosines(n, &s) || !(scale > 1 / limit))
        return;
    anl_diagnostic *d = REPORT(n, small_temperature, s.scales[0], "a temperature of %.3g turns the softmax into a hard maximum", 1 / scale);
    label_scales(n, d, &s);
    NOTE(n, d, "exp(-1 / temperature), the weight of a pair at right angles beside an aligned one, is less than any float32 below a temperature of "
               "%.2g: no gradient is left for it", limit);
    SUGGEST(n, d, "0.05 to 0.5 is usual for cosines");
}

/* ---- the range of float32 ---- */
/* The exponential of which this is a sum, the one that may grow most; NULL: it is no such sum. */
static const anl_node *summed_exponential(const numerics *n, const anl_node *x, int depth)
{
    x = anl_fact_unguarded(n->f, x);
    if (x->op == ANL_OP_SUM || x->op == ANL_OP_MEAN) {
        x = anl_fact_same_numbers(x->inputs[0]);
        if (anl_is_scalar(x, ANL_S_SELECT)) /* sum(…, where=) */
            x = anl_fact_same_numbers(x->inputs[1]);
        return anl_is_scalar(x, ANL_S_EXP) ? x : NULL;
    }
    if (!anl_is_scalar(x, ANL_S_ADD) || depth > 3)
        return NULL;
    const anl_node *a = summed_exponential(n, x->inputs[0], depth + 1), *b = summed_exponential(n, x->inputs[1], depth + 1);
    return !a || (b && fact(n, b->inputs[0])->high > fact(n, a->inputs[0])->high) ? b : a;
}

static void check_overflow(const numerics *n, const anl_node *exponential)
{
    const anl_fact *in = fact(n, exponential->inputs[0]);
    if (!(in->high > anl_exp_overflow()) || !(in->from & ANL_FROM_WEIGHT) || in->moments)
        return;
    scores s = {0};
    explore(n, exponential->inputs[0], &s, 0);
    const bool cosines = are_cosines(n, &s) && s.scale_count;
    if (isinf(in->high) && !s.contraction_count)
        return; /* of what goes in here too little is known */
    n->told[exponential->id] = true;
    if (isinf(in->high)) {
        anl_diagnostic *d = REPORT(n, exp_overflow, exponential, "nothing keeps what goes into this exp below 88.7, above which it is infinite in float32");
        NOTE(n, d, "infinity divided by infinity is no number: one large score ends the training");
        SUGGEST(n, d, "subtract the maximum first, exp(x - max(x, over=…)), which changes no quotient; or use softmax or logsumexp, which do");
        return;
    }
    anl_diagnostic *d = REPORT(n, exp_overflow, cosines ? s.scales[0] : exponential, "exp of up to %.3g: above 88.7 it is infinite in float32", in->high);
    label_scales(n, d, &s);
    if (cosines)
        NOTE(n, d, "cosines reach 1: divided by less than %.3g they overflow", 1 / anl_exp_overflow());
    SUGGEST(n, d, "subtract the maximum first, exp((x - max(x, over=…)) / …), which changes no quotient; or divide by more");
}

static bool only_selected(const numerics *n, const anl_node *x)
{
    bool any = false;
    for (int i = n->f->users.start[x->id]; i < n->f->users.start[x->id + 1]; i++) {
        const anl_node *user = n->f->users.items[i];
        if (!n->f->loss[user->id])
            continue;
        if (!anl_is_scalar(user, ANL_S_SELECT))
            return false;
        any = true;
    }
    return any;
}

static bool is_root(const anl_node *x) { return anl_is_scalar(x, ANL_S_SQRT); }
static bool is_length(const anl_node *x) /* or a product of two */
{
    return is_root(x) || (anl_is_scalar(x, ANL_S_MUL) && (is_root(anl_fact_same_numbers(x->inputs[0])) || is_root(anl_fact_same_numbers(x->inputs[1]))));
}

static void check_divisor(const numerics *n, const anl_node *x)
{
    const bool root = anl_is_scalar(x, ANL_S_RSQRT);
    const anl_node *divisor = root ? x->inputs[0] : x->inputs[1];
    const anl_fact *by = fact(n, divisor);
    if (by->moments) {
        if (by->low != 0 || by->high != 0 || n->told[x->id])
            return;
        anl_diagnostic *d = REPORT(n, division_by_zero, x, "this divides by 0");
        anl_literal_label(n->pass, d, anl_literal_of_operand(n->pass, x));
        NOTE(n, d, "the result is infinite, or no number");
        return;
    }
    const anl_node *exponential = summed_exponential(n, divisor, 0);
    if (exponential && n->told[exponential->id])
        return;
    if (!anl_may_vanish(by) || !(by->from & (ANL_FROM_FIELD | ANL_FROM_WEIGHT)) || only_selected(n, x))
        return;
    const anl_node *inner = anl_fact_same_numbers(divisor);
    n->told[inner->id] = true;
    if (is_length(inner) || root) {
        anl_diagnostic *d = REPORT(n, vanishing_divisor, x, "this divides by a length or deviation that may be 0");
        NOTE(n, d, "a vector of zeros (all units off, a constant image) then gives no number, and so does the whole batch's gradient");
        SUGGEST(n, d, root ? "rsqrt(maximum(…, 1e-24))" : "add a small number under the root, or normalize(x, over=…), which guards it");
        return;
    }
    anl_diagnostic *d = REPORT(n, vanishing_divisor, x, "this divides by a sum that may be 0");
    NOTE(n, d, exponential ? "exp of a very negative number is 0 in float32" : "where all its terms are 0 the quotient is no number");
    SUGGEST(n, d, "keep it off 0: maximum(…, 1e-30) for a sum of positive numbers, maximum(…, 1) for a count; mean(…, where=) is guarded");
}

static void check_logarithm(const numerics *n, const anl_node *x)
{
    const anl_fact *in = fact(n, x->inputs[0]);
    const anl_node *exponential = summed_exponential(n, x->inputs[0], 0), *share = x->inputs[0];
    if (anl_is_scalar(share, ANL_S_DIV) && anl_is_scalar(anl_fact_same_numbers(share->inputs[0]), ANL_S_EXP))
        exponential = summed_exponential(n, share->inputs[1], 0);
    if (in->moments || !anl_may_vanish(in) || !(in->from & (ANL_FROM_FIELD | ANL_FROM_WEIGHT)) || only_selected(n, x) ||
        (exponential && n->told[exponential->id]))
        return;
    anl_diagnostic *d = REPORT(n, log_of_zero, x, "this logarithm is of a number that may be 0 in float32");
    NOTE(n, d, "its value is then minus infinity, and its gradient no number");
    if (in->softmax)
        SUGGEST(n, d, "log_softmax(…, over=…) has the logarithm of probabilities without computing them");
    else if (exponential)
        SUGGEST(n, d, "logsumexp(…, over=…) neither underflows nor overflows; the logarithm of exp(a) / sum(exp(b)) is a - logsumexp(b)");
    else if (in->high <= 1)
        SUGGEST(n, d, "work with the logits: -softplus(-x) is log(sigmoid(x)); or log(maximum(…, 1e-30))");
    else
        SUGGEST(n, d, "log(maximum(…, 1e-30)), or log(1 + …)");
}

static void check_root(const numerics *n, const anl_node *x)
{
    const anl_fact *in = fact(n, x->inputs[0]);
    if (!n->f->learning[x->id] || n->told[x->id] || in->moments || !anl_may_vanish(in) || only_selected(n, x))
        return;
    for (int i = n->f->users.start[x->id]; i < n->f->users.start[x->id + 1]; i++) /* it guards what is divided by it, not its own gradient */
        if (anl_is_scalar(n->f->users.items[i], ANL_S_DIV) && n->f->loss[n->f->users.items[i]->id] && n->told[n->f->users.items[i]->id])
            return;
    anl_diagnostic *d = REPORT(n, root_of_zero, x, "the gradient of this square root is infinite where its argument is 0, which it may be");
    NOTE(n, d, "an infinite factor times the zero behind it is no number, in all weights before it");
    SUGGEST(n, d, "sqrt(… + 1e-12)");
}

/* ---- probabilities taken for logits ---- */
static void told_twice(const numerics *n, const anl_node *x, const anl_node *probabilities)
{
    anl_diagnostic *d = REPORT(n, softmax_twice, x, "probabilities go in here where logits are expected");
    const anl_node *made = anl_walk_moved(probabilities);
    if (made->span.line && !anl_span_same(made->span, d->span))
        anl_diagnostic_label(n->pass->diagnostics, d, anl_walk_own(n->pass, made->span) || !made->site.line ? made->span : made->site,
                             "they are probabilities already from here");
    NOTE(n, d, "of numbers between 0 and 1 the softmax is nearly even and the sigmoid nearly 1/2 to 3/4: the loss has a floor, and small gradients");
    SUGGEST(n, d, "pass the logits: these losses take the softmax or sigmoid themselves");
}

/* m + log(exp(-m) + exp(x - m)) with m = maximum(x, 0): softplus(x). Gives x. */
static const anl_node *softplus_of(const anl_node *x)
{
    const anl_node *sum = x->inputs[0];
    for (int k = 0; k < 2 && anl_is_scalar(sum, ANL_S_ADD); k++) {
        const anl_node *a = sum->inputs[k], *b = sum->inputs[1 - k];
        if (!anl_is_scalar(a, ANL_S_EXP) || !anl_is_scalar(b, ANL_S_EXP) || !anl_is_scalar(a->inputs[0], ANL_S_NEGATE) ||
            !anl_is_scalar(b->inputs[0], ANL_S_SUB))
            continue;
        const anl_node *m = anl_fact_same_numbers(a->inputs[0]->inputs[0]);
        if (m == anl_fact_same_numbers(b->inputs[0]->inputs[1]) && anl_is_scalar(m, ANL_S_MAXIMUM))
            return b->inputs[0]->inputs[0];
    }
    return NULL;
}

static void check_probabilities(const numerics *n, const anl_node *x)
{
    const anl_node *in = x->op == ANL_OP_LOGSUMEXP ? x->inputs[0] : softplus_of(x);
    if (!in || !(fact(n, in)->from & ANL_FROM_WEIGHT))
        return;
    const anl_fact *f = fact(n, in);
    if (x->op == ANL_OP_LOGSUMEXP ? (f->softmax & anl_axis_bits_over(x)) != 0 : f->low >= 0 && f->high <= 1 && f->high > f->low)
        told_twice(n, x, in);
}

/* ---- views that are equal ---- */
static int carried(const anl_node *to, const anl_node *from, int at) /* an axis from an input to its user; -1: it ends there */
{
    if (to->op == ANL_OP_RENAME)
        return at;
    if (to->op == ANL_OP_MERGE && anl_fact_kept_axis(to) == (anl_axis_bits)(1u << at))
        return anl_node_axis(to, to->attrs.axis[0]);
    for (int i = 0; i < to->attrs.over_count; i++)
        if (to->op != ANL_OP_SPLIT && to->attrs.over[i] == from->axes[at].id)
            return -1;
    return anl_node_axis(to, from->axes[at].id);
}

/* Whether along an axis along which x is equal, a user tells its elements apart without anything random. A mean or sum over them does
 * not: batch normalisation takes one, and what is random may come after it. */
static bool told_apart(const numerics *n, const anl_node *x, int at, const anl_node *user)
{
    int there = carried(user, x, at);
    if (user->op == ANL_OP_SLICE && user->attrs.axis[0] == x->axes[at].id)
        return true;
    if (there >= 0 ? fact(n, user)->same >> there & 1 : user->op != ANL_OP_CONTRACT && user->op != ANL_OP_MERGE)
        return false;
    for (int k = 0; there >= 0 && k < user->input_count; k++) { /* a draw that differs along it: dropout, noise on features */
        const anl_node *other = user->inputs[k];
        if (other != x && (fact(n, other)->from & (ANL_FROM_DRAW | ANL_FROM_FIELD)) == ANL_FROM_DRAW &&
            anl_node_axis(other, user->axes[there].id) >= 0)
            return false;
    }
    return true;
}

/* x is equal along an axis although it has been encoded, or goes into `encoded`, which encodes it. */
static void told_same(const numerics *n, const anl_node *x, int at, const anl_node *encoded)
{
    while (!(x->op == ANL_OP_REPLICATE && anl_node_axis(x, x->attrs.axis[0]) == at)) {
        const anl_node *next = NULL;
        for (int k = 0; k < x->input_count && !next; k++) {
            int there = x->op == ANL_OP_RENAME ? at : anl_node_axis(x->inputs[k], x->axes[at].id);
            if (there < 0 || !(fact(n, x->inputs[k])->same >> there & 1))
                continue;
            next = x->inputs[k];
            at = there;
        }
        if (!next)
            return;
        x = next;
        if (fact(n, x)->from & ANL_FROM_WEIGHT)
            encoded = x;
    }
    anl_diagnostic *d = REPORT(n, identical_views, x, "the %d images along `%s` are equal: nothing random happens to each before they are encoded",
                               x->axes[at].size, axis_name(n, x->axes[at].id));
    anl_span where = encoded->site.line ? encoded->site : encoded->span;
    if (where.line && !anl_span_same(where, d->span))
        anl_diagnostic_label(n->pass->diagnostics, d, where, "encoded here");
    NOTE(n, d, "to predict one view from an equal one needs no learning; draws before `replicate` are shared by all views, and so are those written at "
               "the top level of a spec: only a function draws anew along the axes that ride along");
    SUGGEST(n, d, "put random functions (crop, intensity, noise) behind `replicate`");
}

/* The value before an index along an axis along which it is equal. */
static const anl_node *before_index(const numerics *n, const anl_node *x, const anl_node **slice, int *at)
{
    *slice = NULL;
    for (;;) {
        x = anl_fact_same_numbers(x);
        const bool drop = (x->op == ANL_OP_MERGE && anl_fact_kept_axis(x)) || (x->op == ANL_OP_SPLIT && !x->attrs.over_count);
        *at = x->op == ANL_OP_SLICE ? anl_node_axis(x->inputs[0], x->attrs.axis[0]) : -1;
        if (*at >= 0 && (fact(n, x->inputs[0])->same >> *at & 1)) {
            *slice = x;
            return x->inputs[0];
        }
        if (!drop)
            return x;
        x = x->inputs[0];
    }
}

/* Two views that are taken by index and encoded one by one. */
static void check_indexed(const numerics *n)
{
    const anl_graph *g = n->f->graph;
    const anl_node **taken = ANL_NEW_ARRAY(n->pass->arena, const anl_node *, g->node_count + 1); /* by the value: the first slice of it */
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i], *slice;
        for (int k = 0; k < 2 && x->op == ANL_OP_CONTRACT && n->f->loss[i]; k++) {
            int at;
            if ((fact(n, x->inputs[k])->from & (ANL_FROM_FIELD | ANL_FROM_WEIGHT)) != ANL_FROM_FIELD ||
                !(fact(n, x->inputs[1 - k])->from & ANL_FROM_WEIGHT))
                continue;
            const anl_node *whole = before_index(n, x->inputs[k], &slice, &at);
            if (!slice)
                continue;
            const anl_node *first = taken[whole->id];
            taken[whole->id] = first ? first : slice;
            if (first && first != slice && first->attrs.axis[0] == slice->attrs.axis[0])
                told_same(n, whole, at, x);
        }
    }
}

static void check_views(const numerics *n)
{
    const anl_graph *g = n->f->graph;
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i];
        const anl_fact *f = fact(n, x);
        if (!f->same || !n->f->loss[i] || (f->from & (ANL_FROM_FIELD | ANL_FROM_WEIGHT)) != (ANL_FROM_FIELD | ANL_FROM_WEIGHT))
            continue;
        for (int at = 0; at < x->rank; at++) {
            bool apart = false;
            if (x->axes[at].size < 2 || !(f->same >> at & 1))
                continue;
            for (int u = n->f->users.start[i]; u < n->f->users.start[i + 1] && !apart; u++)
                apart = n->f->loss[n->f->users.items[u]->id] && told_apart(n, x, at, n->f->users.items[u]);
            if (apart)
                told_same(n, x, at, x);
        }
    }
}

/* The images that the weights of a module see first: one value, or none where there are several. */
static const anl_node *only_images(const numerics *n, const char *module, const anl_node **contraction)
{
    const anl_graph *g = n->f->graph;
    const size_t length = strlen(module);
    const anl_node *images = NULL;
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i];
        for (int k = 0; k < 2 && x->op == ANL_OP_CONTRACT && n->f->loss[i]; k++) {
            const anl_node *weight = anl_fact_same_numbers(x->inputs[k]), *data = anl_fact_same_numbers(x->inputs[1 - k]);
            if (weight->op != ANL_OP_STATE || strncmp(weight->attrs.state->path, module, length) || weight->attrs.state->path[length] != '.' ||
                (fact(n, data)->from & (ANL_FROM_FIELD | ANL_FROM_WEIGHT)) != ANL_FROM_FIELD)
                continue;
            if (images && images != data)
                return NULL;
            images = data;
            *contraction = x;
        }
    }
    return images;
}

/* A teacher that is shown exactly the images of its student, one view of each. */
static void check_teachers(const numerics *n)
{
    const anl_recipe *r = n->pass->recipe;
    const anl_graph *g = n->f->graph;
    int rank = 0; /* of images as they come: what has more axes has views */
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i]->op == ANL_OP_FIELD && g->nodes[i]->rank > rank)
            rank = g->nodes[i]->rank;
    for (int i = 0; i < r->module_count; i++) {
        if (!r->modules[i].copy)
            continue;
        const anl_node *taught = NULL, *teaching = NULL;
        const anl_node *student = only_images(n, r->modules[i].copy, &taught),
                       *teacher = only_images(n, r->modules[i].name, &teaching);
        if (!student || student != teacher || student->rank > rank)
            continue;
        anl_diagnostic *d = anl_diagnose(n->pass->diagnostics, ANL_A_identical_views, teaching->site.line ? teaching->site : teaching->span,
                                         "`%s` is shown the very images that `%s` is shown", r->modules[i].name, r->modules[i].copy);
        if (taught->site.line)
            anl_diagnostic_label(n->pass->diagnostics, d, taught->site, "`%s` sees them here", r->modules[i].copy);
        NOTE(n, d, "a copy that follows its source slowly gives nearly the same for the same image: there is little to learn from it");
        SUGGEST(n, d, "give it another view: global[view=1] beside global[view=0], or a second call of the augmentation");
    }
}

/* A draw that is one for the whole batch, at work on its images. */
static void check_draw(const numerics *n, const anl_node *x)
{
    const anl_node *draw = NULL;
    bool images = false;
    for (int k = 0; k < x->input_count; k++) {
        const anl_fact *f = fact(n, x->inputs[k]);
        images |= f->samples && (f->from & ANL_FROM_FIELD) && !(f->from & ANL_FROM_WEIGHT);
        if (f->from == ANL_FROM_DRAW && !f->samples)
            draw = x->inputs[k];
    }
    while (draw && images && draw->op != ANL_OP_UNIFORM && draw->op != ANL_OP_NORMAL) {
        const anl_node *next = NULL;
        for (int k = 0; k < draw->input_count; k++)
            if (fact(n, draw->inputs[k])->from & ANL_FROM_DRAW)
                next = draw->inputs[k];
        draw = next;
    }
    if (!draw || !images)
        return;
    anl_diagnostic *d = REPORT(n, shared_draw, draw, "all images of a batch share this draw");
    NOTE(n, d, "draws are independent along the axes that ride along with the call of a function; at the top level of a spec nothing rides along");
    SUGGEST(n, d, "move it into a function: functions: {jitter: {inputs: {x: [channel, ~space]}, returns: x * uniform(…)}}");
}

/* ---- the rest ---- */
static void check_itself(const numerics *n, const anl_node *x)
{
    const anl_node *a = x->inputs[0], *b = x->inputs[1];
    while (a->op == ANL_OP_STOP_GRADIENT)
        a = a->inputs[0];
    while (b->op == ANL_OP_STOP_GRADIENT)
        b = b->inputs[0];
    if (a != b || !is_cosine(n, x) || !(fact(n, x)->from & ANL_FROM_FIELD))
        return;
    anl_diagnostic *d = REPORT(n, identical_views, x, "this is the cosine of a value with itself, which is 1");
    NOTE(n, d, "both sides are the same view of the same images");
}

static void check_statistics(const numerics *n, const anl_node *x)
{
    enum { FEW = 8 };
    const double count = reduced(x);
    if (count >= FEW || !(anl_axis_bits_over(x) & fact(n, x->inputs[0])->samples) || !n->f->learning[x->id])
        return;
    anl_diagnostic *d = REPORT(n, few_statistics, x, "mean and variance of %g values normalise them in training", count);
    NOTE(n, d, "of so few the estimates differ from batch to batch by as much as what they normalise, and evaluation uses others");
    SUGGEST(n, d, "a larger batch, or a normalisation within each sample: layer_norm");
}

static void check_weights_of_losses(const numerics *n)
{
    for (int i = 0; i < n->f->traced->loss_count; i++) {
        const anl_node *weight = n->f->traced->losses[i].weight;
        const anl_fact *f = weight ? fact(n, weight) : NULL;
        if (!f || !f->moments || f->low != 0 || f->high != 0)
            continue;
        const anl_loss *loss = NULL;
        for (int k = 0; k < n->pass->recipe->loss_count; k++)
            if (!strcmp(n->pass->recipe->losses[k].name, n->f->traced->losses[i].name))
                loss = &n->pass->recipe->losses[k];
        if (!loss || !loss->weight)
            continue;
        anl_diagnostic *d = anl_diagnose(n->pass->diagnostics, ANL_A_weightless_loss, loss->weight->span,
                                         "the loss `%s` has weight 0 during the whole training", loss->name);
        anl_literal_label(n->pass, d, anl_literal_of(n->pass, loss->weight));
        NOTE(n, d, "it is computed, and changes nothing");
    }
}

static void check_graph(anl_lint_pass *pass, const anl_traced *traced)
{
    numerics n = {.pass = pass, .f = anl_facts_shared(pass, traced), .first = traced == pass->train, .last = traced == pass->last};
    const anl_graph *g = traced->graph;
    n.told = ANL_NEW_ARRAY(pass->arena, bool, g->node_count + 1);
    n.links = find_links(&n);
    check_assignments(&n);
    check_queues(&n);
    check_views(&n);
    check_indexed(&n);
    check_teachers(&n);
    check_weights_of_losses(&n);
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i];
        if (!n.f->loss[i])
            continue;
        if (x->op == ANL_OP_LOGSUMEXP || anl_is_scalar(x, ANL_S_EXP))
            check_temperature(&n, x->inputs[0], x->op == ANL_OP_LOGSUMEXP);
        if (x->op == ANL_OP_LOGSUMEXP || anl_is_scalar(x, ANL_S_LOG))
            check_probabilities(&n, x);
        if (x->op == ANL_OP_SCALAR || x->op == ANL_OP_GATHER)
            check_draw(&n, x);
        if (x->op == ANL_OP_VARIANCE)
            check_statistics(&n, x);
        if (x->op == ANL_OP_CONTRACT)
            check_itself(&n, x);
        const anl_node *sum = anl_is_scalar(x, ANL_S_LOG) ? x->inputs[0] : anl_is_scalar(x, ANL_S_DIV) ? x->inputs[1] : NULL;
        const anl_node *exponential = sum ? summed_exponential(&n, sum, 0) : NULL;
        if (exponential)
            check_overflow(&n, exponential);
    }
    for (int i = 0; i < g->node_count; i++) {
        const anl_node *x = g->nodes[i];
        if (!n.f->loss[i])
            continue;
        if (x->dtype == ANL_F32 && (anl_is_scalar(x, ANL_S_DIV) || anl_is_scalar(x, ANL_S_RSQRT)))
            check_divisor(&n, x);
        if (anl_is_scalar(x, ANL_S_LOG))
            check_logarithm(&n, x);
    }
    for (int i = 0; i < g->node_count; i++)
        if (n.f->loss[i] && is_root(g->nodes[i]))
            check_root(&n, g->nodes[i]);
}

void anl_lint_numerics(anl_lint_pass *pass)
{
    if (!pass->sound || !pass->train)
        return;
    check_graph(pass, pass->last);
    if (pass->train != pass->last)
        check_graph(pass, pass->train);
}
