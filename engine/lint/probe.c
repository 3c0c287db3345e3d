/* Probing: one element at a time, back through the nodes that lead to it.
 * In: nodes and coordinates. Out: numbers. Nothing is exact but what is said of one element; images are taken to be the same
 * everywhere. The work for one element is bounded; beyond the bound it is not known. */
#include "lint/probe.h"

#include <math.h>
#include <string.h>

enum { MOST_STEPS = 20000, MOST_DEPTH = 1000, MOST_TERMS = 512, MEMO = 1024 };

typedef struct remembered {
    const anl_node *node;
    int32_t at[ANL_MAX_AXES];
    uint32_t stamp;
    anl_element element;
} remembered;

struct anl_probe {
    const anl_graph *graph;
    bool (*field)(void *context, const anl_node *node);
    void *context;
    const bool *origin;
    double image;
    int scenario, steps, depth;
    uint32_t stamp; /* of what is remembered: another after every change of scenario or image */
    remembered *memo;
};

static const anl_element unknown = {.value = NAN};

anl_probe *anl_probe_new(anl_arena *arena, const anl_graph *graph, bool (*field)(void *context, const anl_node *node),
                         void *context, const bool *origin)
{
    anl_probe *p = ANL_NEW(arena, anl_probe);
    *p = (anl_probe){.graph = graph, .field = field, .context = context, .origin = origin, .scenario = -1, .stamp = 1};
    p->memo = ANL_NEW_ARRAY(arena, remembered, MEMO);
    return p;
}

void anl_probe_image(anl_probe *probe, double image)
{
    probe->image = image;
    probe->stamp++;
}

int anl_probe_space(const anl_graph *graph, int32_t axis)
{
    const char *name = anl_graph_axis_name(graph, axis);
    return name[0] >= 'x' && name[0] <= 'z' && !name[1] ? 'z' - name[0] : -1;
}

static anl_element element(anl_probe *p, const anl_node *node, const int32_t *at);

/* The coordinates of an input whose axes are among the node's. */
static void project(const anl_node *node, const int32_t *at, const anl_node *input, int32_t *out)
{
    for (int i = 0; i < input->rank; i++) {
        int position = anl_node_axis(node, input->axes[i].id);
        out[i] = position >= 0 ? at[position] : 0;
    }
}

static anl_element projected(anl_probe *p, const anl_node *node, const int32_t *at, const anl_node *input)
{
    int32_t there[ANL_MAX_AXES];
    project(node, at, input, there);
    return element(p, input, there);
}

static anl_element number(double value) { return (anl_element){.value = value}; }

static anl_element image_element(const anl_probe *p, const anl_node *node, const int32_t *at)
{
    anl_element e = {.value = p->image, .image = true};
    for (int i = 0; i < node->rank; i++) {
        int space = anl_probe_space(p->graph, node->axes[i].id);
        if (space >= 0)
            e.at[space] = at[i];
    }
    return e;
}

/* In as many scenarios as there are, each draw lies once in each of as many stretches of 0 to 1; which in which differs between draws.
 * All images of the batch are one. */
static double draw(const anl_probe *p, const anl_node *node, const int32_t *at, uint64_t salt)
{
    int32_t sample[ANL_MAX_AXES] = {0};
    for (int i = 0; i < node->rank; i++)
        sample[i] = node->axes[i].id == node->attrs.axis[0] ? 0 : at[i];
    uint64_t hash = anl_hash(sample, sizeof *sample * (size_t)node->rank, node->attrs.key + salt);
    uint64_t stride = hash >> 32 | 1, start = hash & 0xffffffff;
    return ((double)((start + stride * (uint64_t)p->scenario) % ANL_PROBE_SCENARIOS) + 0.5) / ANL_PROBE_SCENARIOS;
}

static anl_element scalar(anl_probe *p, const anl_node *node, const int32_t *at)
{
    const anl_dtype operand = node->inputs[0]->dtype;
    anl_element in[3] = {{0}}, result = {0};
    if (node->attrs.scalar == ANL_S_SELECT) { /* what is not chosen need not be known */
        in[0] = projected(p, node, at, node->inputs[0]);
        if (isnan(in[0].value))
            return unknown;
        return projected(p, node, at, node->inputs[in[0].value != 0 ? 1 : 2]);
    }
    for (int k = 0; k < node->input_count; k++) {
        in[k] = projected(p, node, at, node->inputs[k]);
        if (isnan(in[k].value))
            return unknown;
        if (in[k].image && !result.image)
            result = in[k]; /* interpolation: the first of the neighbours stands for all */
    }
    result.value = anl_scalar_evaluate(node->attrs.scalar, node->dtype, operand, in[0].value, in[1].value, in[2].value);
    return result;
}

/* Sums over axes of a node: of few terms exactly; the image is the same everywhere, so its mean is what lies in the middle. */
static anl_element reduced(anl_probe *p, const anl_node *node, const int32_t *at)
{
    const anl_node *input = node->inputs[0];
    int32_t there[ANL_MAX_AXES];
    int64_t terms = 1;
    project(node, at, input, there);
    for (int k = 0; k < node->attrs.over_count; k++)
        terms *= anl_node_size(input, node->attrs.over[k]);
    if (node->op == ANL_OP_MEAN || terms > MOST_TERMS) {
        for (int k = 0; k < node->attrs.over_count; k++)
            there[anl_node_axis(input, node->attrs.over[k])] = anl_node_size(input, node->attrs.over[k]) / 2;
        anl_element middle = element(p, input, there);
        if (!middle.image || (node->op != ANL_OP_MEAN && node->op != ANL_OP_MAX && node->op != ANL_OP_SUM))
            return unknown;
        middle.value *= node->op == ANL_OP_SUM ? (double)terms : 1;
        return middle;
    }
    if (node->op != ANL_OP_SUM && node->op != ANL_OP_MAX)
        return unknown;
    anl_element total = {.value = node->op == ANL_OP_MAX ? -INFINITY : 0};
    for (int64_t t = 0; t < terms; t++) {
        int64_t rest = t;
        for (int k = 0; k < node->attrs.over_count; k++) {
            int32_t size = anl_node_size(input, node->attrs.over[k]);
            there[anl_node_axis(input, node->attrs.over[k])] = (int32_t)(rest % size);
            rest /= size;
        }
        anl_element e = element(p, input, there);
        if (isnan(e.value))
            return unknown;
        double sum = node->op == ANL_OP_MAX ? fmax(total.value, e.value) : total.value + e.value;
        if (e.image && !total.image)
            total = e;
        total.value = sum;
    }
    return total;
}

/* A convolution or product of which one side holds no image: the sum over the taps, with the image as it is under the middle one.
 */
static anl_element contracted(anl_probe *p, const anl_node *node, const int32_t *at)
{
    const anl_node *a = node->inputs[0], *b = node->inputs[1];
    const anl_attrs *t = &node->attrs;
    if (t->role != ANL_ROLE_FORWARD)
        return unknown;
    int32_t of_a[ANL_MAX_AXES], of_b[ANL_MAX_AXES];
    project(node, at, a, of_a);
    project(node, at, b, of_b);
    int64_t terms = 1;
    for (int k = 0; k < t->over_count; k++)
        terms *= anl_node_size(a, t->over[k]);
    for (int k = 0; k < t->slide_count; k++)
        terms *= t->slide[k].tap_size;
    if (terms > MOST_TERMS)
        return unknown;
    anl_element total = {0};
    for (int64_t i = 0; i < terms; i++) {
        int64_t rest = i;
        bool inside = true, middle = true;
        for (int k = 0; k < t->over_count; k++) {
            int32_t size = anl_node_size(a, t->over[k]);
            of_a[anl_node_axis(a, t->over[k])] = of_b[anl_node_axis(b, t->over[k])] = (int32_t)(rest % size);
            rest /= size;
        }
        for (int k = 0; k < t->slide_count; k++) {
            const anl_slide *s = &t->slide[k];
            int32_t tap = (int32_t)(rest % s->tap_size), out = at[anl_node_axis(node, s->axis)];
            rest /= s->tap_size;
            int64_t in = (int64_t)out * s->stride + (int64_t)tap * s->dilation - s->padding;
            of_a[anl_node_axis(a, s->axis)] = (int32_t)in;
            of_b[anl_node_axis(b, s->axis)] = tap;
            inside = inside && in >= 0 && in < s->in_size;
            middle = middle && tap == s->tap_size / 2;
        }
        if (!inside)
            continue;
        anl_element x = element(p, a, of_a), w = element(p, b, of_b);
        if (isnan(x.value) || isnan(w.value) || w.image)
            return unknown;
        double sum = total.value + x.value * w.value;
        if (x.image && (middle || !total.image))
            total = x;
        total.value = sum;
    }
    return total;
}

static anl_element gathered(anl_probe *p, const anl_node *node, const int32_t *at)
{
    const anl_node *source = node->inputs[0];
    int32_t there[ANL_MAX_AXES];
    project(node, at, source, there);
    for (int k = 0; k < node->attrs.over_count; k++) {
        int position = anl_node_axis(source, node->attrs.over[k]);
        anl_element index = projected(p, node, at, node->inputs[1 + k]);
        if (!(index.value >= 0 && index.value < source->axes[position].size))
            return unknown;
        there[position] = (int32_t)index.value;
    }
    return element(p, source, there);
}

/* Movement: the element that lies here comes from one input, from elsewhere. */
static anl_element moved(anl_probe *p, const anl_node *node, const int32_t *at)
{
    const anl_node *input = node->inputs[0];
    const anl_attrs *t = &node->attrs;
    int32_t there[ANL_MAX_AXES];
    project(node, at, input, there);
    int along = anl_node_axis(input, t->axis[0]);
    switch (node->op) {
    case ANL_OP_RENAME:
        memcpy(there, at, sizeof *at * (size_t)node->rank);
        break;
    case ANL_OP_SLICE:
        there[along] = t->start + there[along] * t->step;
        break;
    case ANL_OP_PLACE: {
        int32_t from = there[along] - t->start;
        if (!t->step || from % t->step || from / t->step < 0 || from / t->step >= t->count)
            return number(t->value);
        there[along] = from / t->step;
        break;
    }
    case ANL_OP_CONCAT: {
        int32_t from = at[anl_node_axis(node, t->axis[0])];
        for (int k = 0; k < node->input_count; k++) {
            int32_t size = anl_node_size(node->inputs[k], t->axis[0]);
            if (from < size) {
                project(node, at, node->inputs[k], there);
                there[anl_node_axis(node->inputs[k], t->axis[0])] = from;
                return element(p, node->inputs[k], there);
            }
            from -= size;
        }
        return unknown;
    }
    case ANL_OP_SPLIT:
        there[along] = 0;
        for (int k = 0; k < t->over_count; k++)
            there[along] = there[along] * anl_node_size(node, t->over[k]) + at[anl_node_axis(node, t->over[k])];
        break;
    case ANL_OP_MERGE: {
        int32_t rest = at[anl_node_axis(node, t->axis[0])];
        for (int k = t->over_count - 1; k >= 0; k--) {
            int32_t size = anl_node_size(input, t->over[k]);
            there[anl_node_axis(input, t->over[k])] = rest % size;
            rest /= size;
        }
        break;
    }
    case ANL_OP_WINDOWS: {
        const anl_slide *s = &t->slide[0];
        int64_t from = (int64_t)at[anl_node_axis(node, s->axis)] * s->stride +
                       (int64_t)at[anl_node_axis(node, t->axis[1])] * s->dilation - s->padding;
        if (from < 0 || from >= s->in_size)
            return number(t->value);
        there[anl_node_axis(input, s->axis)] = (int32_t)from;
        break;
    }
    default: /* transpose, replicate, stop_gradient: what the input has at its axes */
        break;
    }
    return element(p, input, there);
}

static anl_element compute(anl_probe *p, const anl_node *node, const int32_t *at)
{
    switch (node->op) {
    case ANL_OP_CONST:
        return number(node->attrs.value);
    case ANL_OP_INDEX:
        return number(at[0]);
    case ANL_OP_TABLE: {
        int64_t i = 0;
        for (int k = 0; k < node->rank; k++)
            i = i * node->axes[k].size + at[k];
        return number(node->dtype == ANL_F32 ? ((const float *)node->attrs.table)[i] : ((const int32_t *)node->attrs.table)[i]);
    }
    case ANL_OP_STEP: /* schedules: from the first step to the last */
        return number(node->attrs.count == 1   ? 1000
                      : node->attrs.count == 2 ? 100000
                                               : 100000.0 * p->scenario / ANL_PROBE_SCENARIOS);
    case ANL_OP_UNIFORM:
        return number(draw(p, node, at, 0));
    case ANL_OP_NORMAL:
        return number(sqrt(-2 * log(draw(p, node, at, 0))) * cos(6.283185307179586 * draw(p, node, at, 1)));
    case ANL_OP_SCALAR:
        return scalar(p, node, at);
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_MEAN:
        return reduced(p, node, at);
    case ANL_OP_CONTRACT:
        return contracted(p, node, at);
    case ANL_OP_GATHER:
        return gathered(p, node, at);
    case ANL_OP_STOP_GRADIENT:
    case ANL_OP_RENAME:
    case ANL_OP_TRANSPOSE:
    case ANL_OP_REPLICATE:
    case ANL_OP_SLICE:
    case ANL_OP_PLACE:
    case ANL_OP_CONCAT:
    case ANL_OP_SPLIT:
    case ANL_OP_MERGE:
    case ANL_OP_WINDOWS:
        return moved(p, node, at);
    default: /* fields that are no images, weights and other state, and what is not worth the while */
        return unknown;
    }
}

static anl_element element(anl_probe *p, const anl_node *node, const int32_t *at)
{
    if ((p->origin && p->origin[node->id]) || (node->op == ANL_OP_FIELD && p->field(p->context, node)))
        return image_element(p, node, at);
    if (node->input_count == 0)
        return compute(p, node, at);
    if (p->steps++ > MOST_STEPS || p->depth > MOST_DEPTH)
        return unknown;
    uint64_t hash = (uint64_t)node->id;
    for (int i = 0; i < node->rank; i++)
        hash = (hash ^ (uint64_t)(uint32_t)at[i]) * 0x9E3779B97F4A7C15u;
    remembered *r = &p->memo[(hash >> 32) % MEMO];
    if (r->node == node && r->stamp == p->stamp && !memcmp(r->at, at, sizeof *at * (size_t)node->rank))
        return r->element;
    p->depth++;
    anl_element e = compute(p, node, at);
    p->depth--;
    *r = (remembered){.node = node, .stamp = p->stamp, .element = e};
    memcpy(r->at, at, sizeof *at * (size_t)node->rank);
    return e;
}

anl_element anl_probe_at(anl_probe *probe, const anl_node *node, const int32_t *coordinates, int scenario)
{
    if (scenario != probe->scenario)
        probe->stamp++;
    probe->scenario = scenario;
    probe->steps = probe->depth = 0;
    return element(probe, node, coordinates);
}

anl_element anl_probe_near(anl_probe *probe, const anl_node *node, const double space[3], int scenario)
{
    int32_t at[ANL_MAX_AXES] = {0};
    for (int i = 0; i < node->rank; i++) {
        int32_t size = node->axes[i].size;
        int along = anl_probe_space(probe->graph, node->axes[i].id);
        if (along >= 0)
            at[i] = (int32_t)lround(space[along] * (size - 1));
        else
            at[i] =
                (int32_t)(((anl_hash_text(anl_graph_axis_name(probe->graph, node->axes[i].id), 0) >> 16) + (uint64_t)scenario) %
                          (uint64_t)size);
    }
    return anl_probe_at(probe, node, at, scenario);
}
