/* Random specs that are right: params, data, views, modules, functions, graph, state, losses, optimizer.
 * In: a random state. Out: a tree of YAML.
 * Everything is made where it is needed, so that nothing is left unused; the axes of every value are known, so that every expression fits.
 * The value that leads from the modules to a loss is changed only by operations through which a gradient flows. */
#include "specimen.h"

#include <string.h>

enum { RANK = 6, LONG = 90, ELEMENTS = 60000 };

typedef struct axis {
    const char *name;
    int size;
} axis;
typedef struct value {
    const char *text;
    bool simple; /* needs no parentheses as an operand */
    int rank;
    axis axes[RANK];
} value;

/* Where expressions are written: the spec or a function. */
typedef struct scope {
    yaml *params, *nodes;
    value inputs[4]; /* further values to be used */
    int input_count;
    bool function;
} scope;

typedef struct maker {
    anl_arena *arena;
    uint64_t *random;
    yaml *spec, *import, *functions, *views, *modules, *state, *losses, *rules;
    scope top;
    int names, axes, views_made, batch, rank; /* rank: of the space */
    value views_list[3], pooled[4];
    int pooled_count;
    value label; /* text NULL: there is none */
    yaml *pairs[8];
    double pair_low[8], pair_high[8];
    int pair_count;
} maker;

static int below(maker *m, int count) { return draw_below(m->random, count); }
static bool chance(maker *m, int percent) { return draw_chance(m->random, percent); }
static double real(maker *m, double low, double high)
{
    double x = low + (high - low) * (double)(draw(m->random) % 10001) / 10000;
    return (double)(long long)(x * 1000 + (x < 0 ? -0.5 : 0.5)) / 1000;
}

#define TEXT(...) anl_arena_printf(m->arena, __VA_ARGS__)
#define SCALAR(...) yaml_scalar(m->arena, __VA_ARGS__)

static const char *fresh(maker *m, const char *stem)
{
    static const char *const stems[] = {"alpha", "beta", "left", "right", "inner", "mix", "shade", "trace", "level_of", "part"};
    if (!stem)
        stem = stems[below(m, (int)ANL_COUNT(stems))];
    return TEXT("%s%s%d", stem, chance(m, 30) ? "_" : "", ++m->names);
}

static const char *fresh_axis(maker *m)
{
    static const char *const stems[] = {"side", "other", "kin", "group", "slot"};
    return TEXT("%s%d", stems[below(m, (int)ANL_COUNT(stems))], ++m->axes);
}

static void import(maker *m, const char *file)
{
    for (int i = 0; i < m->import->count; i++)
        if (!strcmp(m->import->items[i]->text, file))
            return;
    yaml_add(m->arena, m->import, SCALAR("%s", file));
}

/* ---- numbers, often as params ---- */

static yaml *param_entry(maker *m, const char *shown, const char *type, const char *range)
{
    static const char *const units[] = {"mm", "pixels", "percent", "images"};
    yaml *value = yaml_bare(m->arena, "%s", shown);
    if (chance(m, 50))
        return value;
    yaml *entry = yaml_mapping(m->arena);
    yaml_put(m->arena, entry, "default", value);
    if (type && chance(m, 40))
        yaml_put(m->arena, entry, "type", SCALAR("%s", type));
    if (range && chance(m, 50)) {
        yaml *list = yaml_list(m->arena);
        const char *comma = strchr(range, ' ');
        yaml_add(m->arena, list, yaml_bare(m->arena, "%.*s", (int)(comma - range), range));
        yaml_add(m->arena, list, yaml_bare(m->arena, "%s", comma + 1));
        yaml_put(m->arena, entry, "range", list);
    }
    if (range && chance(m, 30))
        yaml_put(m->arena, entry, "unit", SCALAR("%s", units[below(m, 4)]));
    if (chance(m, 20))
        yaml_put(m->arena, entry, "doc", SCALAR("%s", chance(m, 50) ? "what it is" : "a number; see the paper"));
    return entry;
}

static const char *number(maker *m, scope *s, double low, double high)
{
    double x = real(m, low, high);
    const char *shown = TEXT("%.3f", x);
    if (chance(m, 10) && low > 0)
        shown = TEXT("%.2e", x);
    if (!s || !chance(m, 25))
        return shown;
    const char *name = fresh(m, chance(m, 50) ? "rate" : NULL);
    yaml_put(m->arena, s->params, name, param_entry(m, shown, "number", TEXT("%g %g", low - 0.001, high + 0.001)));
    return name;
}

static const char *integer(maker *m, scope *s, int low, int high)
{
    int x = low + below(m, high - low + 1);
    if (!s || !chance(m, 25))
        return TEXT("%d", x);
    const char *name = fresh(m, chance(m, 50) ? "count" : NULL);
    yaml_put(m->arena, s->params, name, param_entry(m, TEXT("%d", x), "int", TEXT("%d %d", low, high)));
    return name;
}

/* The same as an integer that is needed here, too. */
static const char *sized(maker *m, scope *s, int size)
{
    if (chance(m, 30))
        return integer(m, s, size, size);
    return chance(m, 10) ? TEXT("%d // 2", 2 * size) : TEXT("%d", size);
}

/* [low, high] within bounds; the same list may stand at several places, and gets an anchor then. */
static yaml *pair(maker *m, double low, double high)
{
    for (int i = 0; i < m->pair_count; i++)
        if (m->pair_low[i] == low && m->pair_high[i] == high && chance(m, 40))
            return m->pairs[i];
    double a = real(m, low, high), b = real(m, low, high);
    yaml *list = yaml_list(m->arena);
    yaml_add(m->arena, list, yaml_bare(m->arena, "%.3f", a < b ? a : b));
    yaml_add(m->arena, list, yaml_bare(m->arena, "%.3f", a < b ? b + 0.001 : a + 0.001));
    if (m->pair_count < 8) {
        m->pairs[m->pair_count] = list;
        m->pair_low[m->pair_count] = low;
        m->pair_high[m->pair_count++] = high;
    }
    return list;
}

/* ---- values and what can be made of them ---- */

static int find_axis(const value *v, const char *name)
{
    for (int i = 0; i < v->rank; i++)
        if (!strcmp(v->axes[i].name, name))
            return i;
    return -1;
}

static void drop_axis(value *v, int at)
{
    for (int i = at; i + 1 < v->rank; i++)
        v->axes[i] = v->axes[i + 1];
    v->rank--;
}

static int64_t elements(const value *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->rank; i++)
        n *= v->axes[i].size;
    return n;
}

static const char *operand(maker *m, const value *v)
{
    return v->simple && !chance(m, 5) ? v->text : TEXT("(%s)", v->text);
}

static value as_node(maker *m, scope *s, value v)
{
    const char *name = fresh(m, NULL);
    yaml_put(m->arena, s->nodes, name, SCALAR("%s", v.text));
    v.text = name;
    v.simple = true;
    return v;
}

static value call(value v, const char *text)
{
    v.text = text;
    v.simple = true;
    return v;
}

static value infix(value v, const char *text)
{
    v.text = text;
    v.simple = false;
    return v;
}

/* A function of one value, element by element, of the spec's own. */
static const char *elementwise_function(maker *m);
static value elementwise(maker *m, scope *s, value v);

static const char *elementwise_function(maker *m)
{
    const char *name = fresh(m, "shape");
    yaml *f = yaml_mapping(m->arena), *params = yaml_mapping(m->arena), *nodes = yaml_mapping(m->arena), *inputs = yaml_mapping(m->arena),
         *axes = yaml_list(m->arena);
    scope inside = {.params = params, .nodes = nodes, .function = true};
    value x = {.text = "x", .simple = true};
    if (chance(m, 60))
        yaml_put(m->arena, f, "doc", SCALAR("a shape of x, element by element"));
    yaml_add(m->arena, axes, yaml_bare(m->arena, "...axes"));
    yaml_put(m->arena, inputs, "x", axes);
    yaml_put(m->arena, f, "inputs", inputs);
    for (int i = 1 + below(m, 3); i > 0; i--) {
        x = elementwise(m, &inside, x);
        if (chance(m, 30) || strlen(x.text) > LONG)
            x = as_node(m, &inside, x);
    }
    if (params->count)
        yaml_put(m->arena, f, "params", params);
    if (nodes->count)
        yaml_put(m->arena, f, "nodes", nodes);
    yaml_put(m->arena, f, "returns", SCALAR("%s", x.text));
    yaml_put(m->arena, m->functions, name, f);
    return name;
}

static value elementwise(maker *m, scope *s, value v)
{
    const char *x = v.text, *o = operand(m, &v);
    switch (below(m, 22)) {
    case 0:
        return call(v, TEXT("tanh(%s)", x));
    case 1:
        return call(v, TEXT("sqrt(abs(%s) + %s)", x, number(m, s, 0.1, 1)));
    case 2:
        return call(v, TEXT("exp(clamp(%s, low=%s, high=%s))", x, number(m, s, -3, -1), number(m, s, 1, 3)));
    case 3:
        return call(v, TEXT("relu(%s)", x));
    case 4:
        return call(v, TEXT("sigmoid(%s)", x));
    case 5:
        return call(v, TEXT("softplus(%s)", x));
    case 6:
        return infix(v, TEXT("%s * %s + %s", o, number(m, s, 0.5, 2), number(m, s, -1, 1)));
    case 7:
        return infix(v, TEXT("%s ** 2", o));
    case 8:
        return infix(v, TEXT("%s / %s", o, number(m, s, 0.5, 3)));
    case 9:
        return call(v, TEXT("log(%s ** 2 + %s)", o, number(m, s, 0.5, 1)));
    case 10:
        return call(v, TEXT("rsqrt(%s ** 2 + 1)", o));
    case 11:
        return call(v, TEXT("%s(%s)", chance(m, 50) ? "sin" : "cos", x));
    case 12:
        return call(v, TEXT("erf(%s)", x));
    case 13:
        return call(v, TEXT("where(%s > %s, %s, %s)", o, number(m, s, -1, 1), x, number(m, s, -1, 1)));
    case 14:
        return call(v, TEXT("maximum(%s, %s)", x, number(m, s, -2, 0)));
    case 15:
        return infix(v, TEXT("-%s", o));
    case 16:
        return infix(v, TEXT("%s - %s", number(m, s, 0, 1), o));
    case 17:
        return call(v, TEXT("if(%s >= %s, %s, %s)", integer(m, s, 1, 3), integer(m, s, 1, 3), x, TEXT("tanh(%s)", x)));
    case 18:
        import(m, "lib/layers.yaml");
        return call(v, TEXT("gelu(%s)", x));
    case 19:
        return infix(v, TEXT("%s + stop_gradient(%s)", o, x));
    case 20:
        return infix(v, TEXT("%s * where(%s < %s and not (%s < %s), 1.0, 0.5)", o, o, number(m, s, 0.5, 1), o, number(m, s, -1, 0)));
    default:
        return s->function ? infix(v, TEXT("%s + 1", o)) : call(v, TEXT("%s(%s)", elementwise_function(m), x));
    }
}

/* One of the values of the scope, or v, with axes that v has all of. */
static const char *companion(maker *m, scope *s, const value *v)
{
    for (int tries = 0; tries < 4 && s->input_count; tries++) {
        const value *other = &s->inputs[below(m, s->input_count)];
        bool fits = true;
        for (int i = 0; i < other->rank; i++) {
            int at = find_axis(v, other->axes[i].name);
            fits = fits && at >= 0 && v->axes[at].size == other->axes[i].size;
        }
        if (fits)
            return other->text;
    }
    if (v->rank && chance(m, 40))
        return TEXT("index(%s, %s)", v->text, v->axes[below(m, v->rank)].name);
    if (v->rank && chance(m, 60))
        return TEXT("mean(%s, over=%s)", v->text, v->axes[below(m, v->rank)].name);
    return TEXT("tanh(%s)", v->text);
}

/* Something that speaks of axes. */
static value along(maker *m, scope *s, value v)
{
    if (!v.rank)
        return elementwise(m, s, v);
    const int at = below(m, v.rank), begin = below(m, 2);
    const axis a = v.axes[at];
    const char *x = v.text, *o = operand(m, &v);
    value r = v;
    switch (below(m, 18)) {
    case 0:
    case 1: {
        static const char *const words[] = {"sum", "mean", "max", "logsumexp", "min"};
        drop_axis(&r, at);
        return call(r, TEXT("%s(%s, over=%s)", words[below(m, 5)], x, a.name));
    }
    case 2:
        if (v.rank < 2)
            break;
        drop_axis(&r, 0);
        drop_axis(&r, 0);
        return call(r, TEXT("mean(%s, over=[%s, %s])", x, v.axes[0].name, v.axes[1].name));
    case 3:
        drop_axis(&r, at);
        return call(r, TEXT("mean(%s, over=%s, where=%s > %s)", x, a.name, o, number(m, s, -1, 0)));
    case 4:
        drop_axis(&r, at);
        return infix(r, TEXT("moments(%s, over=%s).%s", x, a.name, chance(m, 50) ? "mean" : "variance"));
    case 5: /* batch keeps its name: what rides along is known by it */
        if (!strcmp(a.name, "batch"))
            break;
        r.axes[at].name = fresh_axis(m);
        return call(r, TEXT("rename(%s, %s=%s)", x, a.name, r.axes[at].name));
    case 6:
        if (a.size < 3)
            break;
        r.axes[at].size = a.size - 1;
        return call(r, TEXT("%s[%s=%d:%d]", o, a.name, begin, begin + a.size - 1));
    case 7:
        drop_axis(&r, at);
        return call(r, TEXT("%s[%s=%d]", o, a.name, below(m, a.size)));
    case 8:
        if (elements(&v) > ELEMENTS)
            break;
        r.axes[at].size = 2 * a.size;
        return call(r, TEXT("concat([%s, %s], axis=%s)", x, chance(m, 50) ? x : TEXT("tanh(%s)", x), a.name));
    case 9:
        import(m, "lib/layers.yaml");
        return call(r, TEXT("%s(%s, over=%s)", chance(m, 40) ? "normalize" : chance(m, 50) ? "softmax" : "log_softmax", x, a.name));
    case 10: {
        const char *other = fresh_axis(m);
        if (v.rank < 2 || v.rank >= RANK)
            break;
        const int kept = (at + 1) % v.rank;
        if (!strcmp(v.axes[kept].name, "batch") || elements(&v) * v.axes[kept].size > ELEMENTS)
            break;
        r.axes[r.rank].name = other;
        r.axes[r.rank++].size = v.axes[kept].size;
        drop_axis(&r, at);
        return call(r, TEXT("dot(%s, rename(%s, %s=%s), over=%s)", x, x, v.axes[kept].name, other, a.name));
    }
    case 11:
        if (v.rank >= RANK || elements(&v) > ELEMENTS)
            break;
        r.axes[r.rank].name = fresh_axis(m);
        r.axes[r.rank++].size = 2;
        return call(r, TEXT("replicate(%s, %s=2)", x, r.axes[r.rank - 1].name));
    case 12:
        return infix(r, TEXT("%s + index(%s, %s) / %s.%s", o, x, a.name, o, a.name));
    case 13:
        return call(r, TEXT("flip(%s, %s)", x, a.name));
    case 14:
        return infix(r, TEXT("%s %s %s", o, chance(m, 50) ? "+" : chance(m, 50) ? "-" : "*", companion(m, s, &v)));
    case 15:
        return call(r, TEXT("minimum(%s, %s)", x, companion(m, s, &v)));
    case 16:
        return infix(r, TEXT("%s - max(%s, over=%s)", o, x, a.name));
    default:
        r.axes[at].size += 1;
        return call(r, TEXT("pad(%s, axis=%s, %s=1)", x, a.name, chance(m, 50) ? "before" : "after"));
    }
    return elementwise(m, s, v);
}

static value changed(maker *m, scope *s, value v) { return chance(m, 50) ? along(m, s, v) : elementwise(m, s, v); }

/* A chain of changes, as nested expression, as nodes of their own, or as a pipeline. */
static value chain(maker *m, scope *s, value v, int length)
{
    if (chance(m, 25)) {
        yaml *steps = yaml_list(m->arena);
        yaml_add(m->arena, steps, SCALAR("%s", v.text));
        value so_far = call(v, "_");
        for (int i = 0; i < length; i++) {
            if (chance(m, 20)) {
                static const char *const words[] = {"relu", "tanh", "sigmoid", "softplus"};
                yaml_add(m->arena, steps, SCALAR("%s", words[below(m, 4)]));
                continue;
            }
            if (chance(m, 20) && so_far.rank) {
                yaml *step = yaml_mapping(m->arena), *arguments = yaml_mapping(m->arena);
                const int at = below(m, so_far.rank);
                yaml_put(m->arena, arguments, "over", SCALAR("%s", so_far.axes[at].name));
                yaml_put(m->arena, step, chance(m, 50) ? "mean" : "sum", arguments);
                yaml_add(m->arena, steps, step);
                drop_axis(&so_far, at);
                continue;
            }
            value next = changed(m, s, so_far);
            yaml_add(m->arena, steps, SCALAR("%s", next.text));
            so_far = call(next, "_");
        }
        const char *name = fresh(m, NULL);
        yaml_put(m->arena, s->nodes, name, steps);
        return call(so_far, name);
    }
    for (int i = 0; i < length; i++) {
        if (strlen(v.text) > LONG || (chance(m, 25) && i))
            v = as_node(m, s, v);
        v = changed(m, s, v);
    }
    return as_node(m, s, v);
}

/* ---- views ---- */

static yaml *step_of(maker *m, const char *name, yaml *arguments)
{
    if (!arguments->count)
        return SCALAR("%s", name);
    yaml *step = yaml_mapping(m->arena);
    yaml_put(m->arena, step, name, arguments);
    return step;
}

static yaml *maybe(maker *m, yaml *arguments, int percent, const char *key, yaml *value)
{
    if (chance(m, percent))
        yaml_put(m->arena, arguments, key, value);
    return arguments;
}

static value view(maker *m, const value *image, int views, int size)
{
    const char *name = fresh(m, "seen");
    yaml *steps = yaml_list(m->arena);
    value v = *image;
    import(m, "lib/augment.yaml");
    yaml_add(m->arena, steps, SCALAR("image"));
    if (views > 1) {
        yaml *arguments = yaml_mapping(m->arena);
        yaml_put(m->arena, arguments, "view", SCALAR("%s", sized(m, &m->top, views)));
        yaml_add(m->arena, steps, step_of(m, "replicate", arguments));
        v.axes[v.rank].name = "view";
        v.axes[v.rank++].size = views;
    }
    yaml *crop = yaml_mapping(m->arena);
    yaml_put(m->arena, crop, "size", SCALAR("%s", sized(m, &m->top, size)));
    maybe(m, crop, 60, "area", pair(m, 0.3, 0.9));
    if (m->rank == 2 && chance(m, 40)) {
        maybe(m, crop, 50, "aspect", pair(m, 0.8, 1.2));
        yaml_add(m->arena, steps, step_of(m, "random_crop", crop));
    } else {
        maybe(m, crop, 40, "degrees", SCALAR("%s", number(m, NULL, 1, 20)));
        maybe(m, crop, 40, "flip", SCALAR("%s", number(m, NULL, 0.1, 0.6)));
        maybe(m, crop, 20, "supersample", SCALAR("2"));
        yaml_add(m->arena, steps, step_of(m, "random_affine_crop", crop));
    }
    for (int i = 0; i < v.rank; i++)
        if (strlen(v.axes[i].name) == 1)
            v.axes[i].size = size;
    for (int i = below(m, 4), kind = below(m, 7); i > 0; i--, kind = (kind + 1 + below(m, 2)) % 7) {
        yaml *a = yaml_mapping(m->arena);
        const char *step = "random_noise", *as = NULL;
        switch (kind) {
        case 0:
            step = "random_intensity";
            maybe(m, a, 70, "gain", pair(m, 0.7, 1.3));
            maybe(m, a, 50, "offset", pair(m, -0.1, 0.1));
            maybe(m, a, 30, "gamma", pair(m, 0.7, 1.3));
            break;
        case 1:
            if (chance(m, 50))
                yaml_put(m->arena, a, "std", SCALAR("%s", number(m, &m->top, 0.01, 0.1)));
            break;
        case 2:
            step = "random_flip";
            maybe(m, a, 50, "probability", SCALAR("%s", number(m, NULL, 0.1, 0.9)));
            maybe(m, a, 50, "axis", SCALAR("%s", chance(m, 50) ? "y" : "x"));
            break;
        case 3:
            if (m->rank == 2) {
                step = "random_blur";
                maybe(m, a, 50, "deviation", pair(m, 0.2, 1.5));
                yaml_put(m->arena, a, "radius", SCALAR("%d", 1 + below(m, 3)));
            }
            break;
        case 4:
            if (m->rank == 2) {
                step = "energy_bands";
                yaml_put(m->arena, a, "bands", SCALAR("%s", integer(m, NULL, 1, 2)));
                maybe(m, a, 50, "gain", pair(m, 0.7, 1.3));
            }
            break;
        case 5:
            if (m->rank == 2) {
                step = "random_rotation";
                yaml_put(m->arena, a, "degrees", SCALAR("%s", number(m, NULL, 1, 30)));
            }
            break;
        default:
            yaml_add(m->arena, steps, SCALAR("_ * uniform(%s, %s) + %s", number(m, NULL, 0.7, 0.9), number(m, NULL, 1, 1.2), number(m, &m->top, -0.1, 0.1)));
            continue;
        }
        for (int k = 0; k < steps->count; k++) /* a second call of one name must be named */
            if ((steps->items[k]->kind == YAML_SCALAR && !strcmp(steps->items[k]->text, step)) ||
                (steps->items[k]->kind == YAML_MAPPING && !strcmp(steps->items[k]->keys[0], step)))
                as = fresh(m, "again");
        if (as)
            yaml_put(m->arena, a, "as", SCALAR("%s", as));
        yaml_add(m->arena, steps, step_of(m, step, a));
    }
    yaml_put(m->arena, m->views, name, steps);
    v.text = name;
    v.simple = true;
    return v;
}

/* ---- functions with weights ---- */

static yaml *signature(maker *m, const char *first, const char *second)
{
    yaml *list = yaml_list(m->arena);
    yaml_add(m->arena, list, yaml_bare(m->arena, "%s", first));
    if (second)
        yaml_add(m->arena, list, yaml_bare(m->arena, "%s", second));
    yaml *inputs = yaml_mapping(m->arena);
    yaml_put(m->arena, inputs, "x", list);
    return inputs;
}

static const char *init(maker *m)
{
    switch (below(m, 4)) {
    case 0:
        import(m, "lib/init.yaml");
        return "kaiming_normal(fan=out)";
    case 1:
        import(m, "lib/init.yaml");
        return "xavier_uniform(from=channel, to=out)";
    case 2:
        return TEXT("normal(0, %s, axes=axes)", number(m, NULL, 0.05, 0.3));
    default:
        return TEXT("uniform(-1, 1, axes=axes) * %s", number(m, NULL, 0.1, 0.5));
    }
}

static yaml *weight(maker *m, yaml *axes, const char *first, const char *kind)
{
    yaml *w = yaml_mapping(m->arena);
    yaml_put(m->arena, w, "axes", axes);
    yaml_put(m->arena, w, "init", SCALAR("%s", first));
    yaml_put(m->arena, w, "kind", SCALAR("%s", kind));
    return w;
}

/* A convolution of the spec's own, with a bias or without. */
static const char *convolution(maker *m)
{
    const char *name = fresh(m, "fold");
    yaml *f = yaml_mapping(m->arena), *params = yaml_mapping(m->arena), *weights = yaml_mapping(m->arena), *axes = yaml_mapping(m->arena);
    yaml_put(m->arena, params, "channels", yaml_bare(m->arena, "int")); /* quoted, it would be a text */
    yaml_put(m->arena, params, "kernel", yaml_bare(m->arena, "%d", chance(m, 70) ? 3 : 1));
    yaml_put(m->arena, params, "stride", yaml_bare(m->arena, "1"));
    yaml_put(m->arena, axes, "out", SCALAR("channels"));
    yaml_put(m->arena, axes, "channel", SCALAR("x.channel"));
    yaml_put(m->arena, axes, "~space", SCALAR("kernel"));
    yaml_put(m->arena, weights, "weight", weight(m, axes, init(m), "matrix"));
    const char *made = "rename(convolve(x, weight, over=channel, stride=stride), out=channel)";
    if (chance(m, 40)) {
        yaml *own = yaml_mapping(m->arena);
        yaml_put(m->arena, own, "channel", SCALAR("channels"));
        yaml_put(m->arena, weights, "bias", weight(m, own, "0", "bias"));
        made = TEXT("%s + bias", made);
    }
    yaml_put(m->arena, f, "inputs", signature(m, "channel", "~space"));
    yaml_put(m->arena, f, "params", params);
    yaml_put(m->arena, f, "weights", weights);
    yaml_put(m->arena, f, "returns", SCALAR("%s", made));
    yaml_put(m->arena, m->functions, name, f);
    return name;
}

static const char *library(maker *m, const char *layer)
{
    import(m, "lib/layers.yaml");
    return layer;
}

/* A tower of convolutions, perhaps repeated and normalised, and its pooling. */
static const char *tower(maker *m, int *channels)
{
    const char *name = fresh(m, "tower"), *conv = chance(m, 50) ? convolution(m) : library(m, "conv");
    yaml *f = yaml_mapping(m->arena), *body = yaml_list(m->arena), *params = yaml_mapping(m->arena);
    yaml_put(m->arena, f, "inputs", signature(m, "channel", "~space"));
    yaml_put(m->arena, params, "width", yaml_bare(m->arena, "%d", *channels = 2 + below(m, 4)));
    yaml_put(m->arena, f, "params", params);
    yaml_add(m->arena, body, SCALAR("x"));
    yaml *first = yaml_mapping(m->arena);
    yaml_put(m->arena, first, "channels", SCALAR("width"));
    if (!strcmp(conv, "conv"))
        yaml_put(m->arena, first, "kernel", SCALAR("3"));
    if (chance(m, 60))
        yaml_put(m->arena, first, "stride", SCALAR("2"));
    yaml_add(m->arena, body, step_of(m, conv, first));
    if (chance(m, 60))
        yaml_add(m->arena, body, SCALAR("%s", library(m, "batch_norm")));
    yaml_add(m->arena, body, SCALAR("%s", chance(m, 60) ? "relu" : library(m, "gelu")));
    if (chance(m, 30)) {
        yaml *pool = yaml_mapping(m->arena);
        yaml_put(m->arena, pool, "kernel", SCALAR("2"));
        yaml_add(m->arena, body, step_of(m, chance(m, 50) ? "max_pool" : "mean_pool", pool));
    }
    if (chance(m, 60)) {
        yaml *repeat = yaml_mapping(m->arena), *inner = yaml_mapping(m->arena), *steps = yaml_list(m->arena), *a = yaml_mapping(m->arena);
        const int times = 1 + below(m, 3);
        const bool grows = chance(m, 40);
        yaml_put(m->arena, a, "channels", SCALAR(grows ? "width * 2 ** i" : "width"));
        if (!strcmp(conv, "conv"))
            yaml_put(m->arena, a, "kernel", SCALAR("3"));
        yaml_add(m->arena, steps, step_of(m, conv, a));
        if (chance(m, 40))
            yaml_add(m->arena, steps, SCALAR("%s", library(m, "batch_norm")));
        yaml_add(m->arena, steps, SCALAR("relu"));
        yaml_put(m->arena, inner, "times", SCALAR("%d", times));
        yaml_put(m->arena, inner, "as", SCALAR("i"));
        yaml_put(m->arena, inner, "steps", steps);
        yaml_put(m->arena, repeat, "repeat", inner);
        yaml_add(m->arena, body, repeat);
        *channels = grows ? *channels << (times - 1) : *channels;
    }
    if (chance(m, 50)) {
        yaml_add(m->arena, body, SCALAR("%s", library(m, "global_mean")));
    } else {
        yaml *over = yaml_mapping(m->arena);
        yaml_put(m->arena, over, "over", SCALAR("space"));
        yaml_add(m->arena, body, step_of(m, "mean", over));
    }
    if (chance(m, 50)) {
        yaml_put(m->arena, f, "returns", body);
    } else {
        yaml *nodes = yaml_mapping(m->arena);
        yaml_put(m->arena, nodes, "body", body);
        yaml_put(m->arena, f, "nodes", nodes);
        yaml_put(m->arena, f, "returns", SCALAR("body"));
    }
    yaml_put(m->arena, m->functions, name, f);
    return name;
}

/* ---- the whole ---- */

static value encoder(maker *m, const value *seen, const char **module)
{
    int channels = 0;
    const char *name = *module = fresh(m, "encoder");
    int space = 0;
    for (int i = 0; i < seen->rank; i++)
        if (strlen(seen->axes[i].name) == 1)
            space = seen->axes[i].size;
    if (space >= 32 && chance(m, 60)) {
        import(m, "lib/resnet.yaml");
        const int width = 2 + below(m, 2);
        yaml_put(m->arena, m->modules, name, SCALAR("resnet18(width=%s)", sized(m, &m->top, width)));
        channels = 8 * width;
    } else {
        const char *f = tower(m, &channels);
        yaml_put(m->arena, m->modules, name, SCALAR("%s", f));
    }
    value v = *seen;
    for (int i = v.rank - 1; i >= 0; i--)
        if (strlen(v.axes[i].name) == 1)
            drop_axis(&v, i);
    v.axes[find_axis(&v, "channel")].size = channels;
    return as_node(m, &m->top, call(v, TEXT("%s(%s)", name, seen->text)));
}

static value head(maker *m, value v, const char **module)
{
    const char *name = *module = fresh(m, "head");
    const int at = find_axis(&v, "channel"), size = 3 + below(m, 4);
    import(m, "lib/layers.yaml");
    if (chance(m, 40)) {
        yaml_put(m->arena, m->modules, name, SCALAR("projection_head(hidden=%s, features=%s)", integer(m, &m->top, 4, 9), sized(m, &m->top, size)));
        v.axes[at].name = "feature";
    } else {
        const char *to = chance(m, 40) ? "channel" : chance(m, 50) ? "feature" : fresh_axis(m);
        yaml_put(m->arena, m->modules, name, SCALAR("linear(from=channel, to=%s, size=%s)", to, sized(m, &m->top, size)));
        v.axes[at].name = to;
    }
    v.axes[at].size = size;
    return as_node(m, &m->top, call(v, TEXT("%s(%s)", name, v.text)));
}

static void loss(maker *m, value v)
{
    const char *name = fresh(m, "loss");
    yaml *l = yaml_mapping(m->arena);
    const char *inside = chance(m, 40) ? TEXT("%s ** 2", operand(m, &v)) : TEXT(chance(m, 50) ? "softplus(%s)" : "abs(%s)", v.text);
    yaml_put(m->arena, l, "value", v.rank ? SCALAR("mean(%s, over=all)", inside) : SCALAR("%s", inside));
    if (chance(m, 15)) {
        yaml_put(m->arena, l, "weight", SCALAR("%s", number(m, &m->top, 0.1, 2)));
    } else if (chance(m, 15)) {
        import(m, "lib/optimize.yaml");
        yaml_put(m->arena, l, "weight",
                 SCALAR("linear_ramp(from=0.0, to=%s, length=%s)", number(m, NULL, 0.5, 2), chance(m, 50) ? "3ep" : "20it"));
    }
    yaml_put(m->arena, m->losses, name, l);
}

static const char *schedule(maker *m)
{
    switch (below(m, 4)) {
    case 0:
        return TEXT("cosine(from=%s, to=%s%s)", number(m, &m->top, 0.01, 0.5), number(m, NULL, 0, 0.005), chance(m, 50) ? ", warmup=1ep" : "");
    case 1:
        return TEXT("warmup(to=%s, length=%s)", number(m, &m->top, 0.01, 0.3), chance(m, 50) ? "10it" : "1ep");
    case 2:
        return TEXT("where(step < 10it, %s, %s)", number(m, NULL, 0.001, 0.01), number(m, NULL, 0.01, 0.1));
    default:
        return number(m, &m->top, 0.001, 0.1);
    }
}

static void rule(maker *m, const char *glob, bool frozen)
{
    yaml *r = yaml_mapping(m->arena);
    import(m, "lib/optimize.yaml");
    yaml_put(m->arena, r, "weights", yaml_text(m->arena, glob));
    if (frozen) {
        yaml_put(m->arena, r, "rule", SCALAR("frozen"));
        yaml_put(m->arena, r, "until", SCALAR("%s", chance(m, 50) ? "1ep" : "25it"));
    } else {
        static const char *const rules[] = {"sgd", "lars", "adamw"};
        const char *extra = chance(m, 40) ? TEXT(", weight_decay=%s", number(m, NULL, 0.0001, 0.01)) : "";
        const int kind = below(m, 3);
        yaml_put(m->arena, r, "rule", SCALAR("%s(lr=%s%s%s)", rules[kind], schedule(m), extra, kind == 0 ? ", decay_all=false" : ""));
        if (strcmp(glob, "*") && chance(m, 30))
            yaml_put(m->arena, r, "from", SCALAR("2ep"));
    }
    yaml_add(m->arena, m->rules, r);
}

static void memory(maker *m, value v)
{
    /* the last values of a feature, remembered: the mean over the batch follows slowly */
    const char *name = fresh(m, "memory");
    int at = -1;
    for (int i = 0; i < v.rank; i++)
        if (strcmp(v.axes[i].name, "batch") && strcmp(v.axes[i].name, "view"))
            at = i;
    if (at < 0 || find_axis(&v, "batch") < 0)
        return;
    const char *kept = v.axes[at].name, *others = NULL;
    for (int i = 0; i < v.rank; i++)
        if (i != at)
            others = others ? TEXT("%s, %s", others, v.axes[i].name) : v.axes[i].name;
    yaml *s = yaml_mapping(m->arena), *axes = yaml_mapping(m->arena);
    yaml_put(m->arena, axes, kept, SCALAR("%d", v.axes[at].size));
    yaml_put(m->arena, s, "axes", axes);
    yaml_put(m->arena, s, "init", SCALAR("%s", chance(m, 50) ? "0" : "normal(0, 0.1, axes=axes)"));
    yaml_put(m->arena, s, "update", SCALAR("%s + %s * (mean(stop_gradient(%s), over=[%s]) - %s)", name, number(m, &m->top, 0.05, 0.5), v.text, others, name));
    yaml_put(m->arena, m->state, name, s);
    value centred = v;
    centred.text = TEXT("%s - %s", v.text, name);
    centred.simple = false;
    loss(m, as_node(m, &m->top, centred));
}

yaml *specimen_make(anl_arena *arena, uint64_t *random)
{
    maker *m = ANL_NEW(arena, maker);
    m->arena = arena;
    m->random = random;
    yaml **trees[] = {&m->import, &m->rules}, **mappings[] = {&m->spec,    &m->functions, &m->views, &m->modules,
                                                               &m->state,   &m->losses,    &m->top.params, &m->top.nodes};
    for (size_t i = 0; i < ANL_COUNT(trees); i++)
        *trees[i] = yaml_list(arena);
    for (size_t i = 0; i < ANL_COUNT(mappings); i++)
        *mappings[i] = yaml_mapping(arena);
    m->rank = chance(m, 85) ? 2 : 3;
    m->batch = 2 + below(m, 5);
    yaml_put(arena, m->top.params, "batch", chance(m, 50) ? yaml_bare(arena, "%d", m->batch) : param_entry(m, TEXT("%d", m->batch), "int", "2 64"));

    /* data */
    const int size = m->rank == 3 ? 10 : chance(m, 30) ? 36 : 16 + 2 * below(m, 5), channels = 1 + below(m, 2);
    value image = {.text = "image", .simple = true, .rank = 2, .axes = {{"batch", m->batch}, {"channel", channels}}};
    yaml *axes = yaml_mapping(arena), *field = yaml_mapping(arena), *fields = yaml_mapping(arena), *train_data = yaml_mapping(arena),
         *data = yaml_mapping(arena);
    yaml_put(arena, axes, "channel", SCALAR("%d", channels));
    static const char *const names[] = {"z", "y", "x"};
    for (int i = 3 - m->rank; i < 3; i++) {
        const int length = size + (i == 2 ? below(m, 4) : 0);
        yaml_put(arena, axes, names[i], SCALAR("%s", sized(m, &m->top, length)));
        image.axes[image.rank++] = (axis){names[i], length};
    }
    yaml_put(arena, field, "axes", axes);
    yaml_put(arena, fields, "image", field);
    const int classes = 2 + below(m, 3);
    const bool labelled = chance(m, 50);
    if (labelled) {
        yaml *label = yaml_mapping(arena), *of = yaml_mapping(arena);
        yaml_put(arena, of, "class", SCALAR("%d", classes));
        yaml_put(arena, label, "axes", of);
        yaml_put(arena, label, "missing", SCALAR("-1"));
        yaml_put(arena, label, "mask", SCALAR("known"));
        yaml_put(arena, fields, "finding", label);
    }
    yaml_put(arena, train_data, "shards", yaml_text(arena, "none-*.h5"));
    yaml_put(arena, train_data, "fields", fields);
    yaml_put(arena, data, "train", train_data);

    /* views, encoders, heads, and what is made of them */
    const int view_count = 1 + below(m, 2);
    const char *encoder_name = NULL, *head_name = NULL;
    for (int i = 0; i < view_count; i++) {
        const int shown = m->rank == 3 ? 8 : size > 32 && chance(m, 70) ? 32 : 12 + 2 * below(m, 3);
        value seen = view(m, &image, chance(m, 70) ? 2 + below(m, 2) : 1, shown), pooled = encoder(m, &seen, &encoder_name);
        value features = chance(m, 60) ? head(m, pooled, &head_name) : pooled;
        if (m->top.input_count < 4)
            m->top.inputs[m->top.input_count++] = pooled;
        loss(m, chain(m, &m->top, features, 1 + below(m, 6)));
        if (chance(m, 30))
            memory(m, features);
        if (labelled && i == 0) {
            const char *classifier = fresh(m, "classifier");
            import(m, "lib/layers.yaml");
            import(m, "lib/losses.yaml");
            yaml_put(arena, m->modules, classifier, SCALAR("linear(from=channel, to=class, size=%d)", classes));
            const char *name = fresh(m, "logits");
            yaml_put(arena, m->top.nodes, name, SCALAR("%s(%s)", classifier, pooled.text));
            yaml *l = yaml_mapping(arena);
            yaml_put(arena, l, "value", SCALAR("mean(binary_cross_entropy(%s, finding), over=all, where=known)", name));
            yaml_put(arena, m->losses, "findings", l);
        }
    }

    /* training */
    yaml *train = yaml_mapping(arena);
    yaml_put(arena, train, "length", SCALAR("%s", chance(m, 50) ? "50it" : chance(m, 50) ? "12ep" : "4 * 3ep"));
    if (chance(m, 30))
        yaml_put(arena, train, "seed", SCALAR("%d", below(m, 100)));
    if (chance(m, 20))
        yaml_put(arena, train, "clip", SCALAR("%s", number(m, &m->top, 0.5, 5)));
    rule(m, "*", false);
    if (chance(m, 40))
        rule(m, TEXT("%s.*", encoder_name), chance(m, 60));
    if (head_name && chance(m, 30))
        rule(m, TEXT("%s.*", head_name), chance(m, 60));
    yaml_put(arena, train, "optimizer", m->rules);
    if (chance(m, 50)) {
        yaml *checkpoint = yaml_mapping(arena);
        yaml_put(arena, checkpoint, "every", SCALAR("%s", chance(m, 50) ? "1ep" : "20it"));
        maybe(m, checkpoint, 50, "keep", SCALAR("3"));
        yaml_put(arena, train, "checkpoint", checkpoint);
    }

    /* the sections, mostly in the usual order */
    yaml_put(arena, m->spec, "anlage", yaml_bare(arena, "1"));
    if (chance(m, 70))
        yaml_put(arena, m->spec, "title", chance(m, 50) ? yaml_text(arena, "A recipe: made by chance") : SCALAR("A recipe made by chance"));
    struct {
        const char *key;
        yaml *value;
    } sections[] = {{"import", m->import},   {"params", m->top.params}, {"data", data},       {"functions", m->functions}, {"views", m->views},
                    {"modules", m->modules}, {"state", m->state},       {"graph", m->top.nodes}, {"losses", m->losses},    {"train", train}};
    const int count = (int)ANL_COUNT(sections);
    for (int i = chance(m, 25) ? count - 1 : 0; i > 0; i--) {
        const int k = below(m, i + 1);
        const char *key = sections[i].key;
        yaml *section = sections[i].value;
        sections[i] = sections[k];
        sections[k].key = key;
        sections[k].value = section;
    }
    for (int i = 0; i < count; i++)
        if (sections[i].value->count)
            yaml_put(arena, m->spec, sections[i].key, sections[i].value);
    return m->spec;
}
