/* Rules of modality: what a chain of operations does to an image, against what is known of such images.
 * In: the graphs of training, the modality that the fields declare, shards where some are given. Out: diagnostics A1101 to A1199.
 * Nothing is known here of functions or their names: flips, turns, windows and the like are found by what they do to single
 * elements. */
#include <math.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "lint/data.h"
#include "lint/facts.h"
#include "lint/probe.h"
#include "lint/walk.h"

enum { FROM_IMAGE = 1, FROM_WEIGHT = 2, FROM_DRAW = 4, REVERSED = 8, FLAT = 16, FLAT_MIXED = 32 };
enum { Z, Y, X };

/* A value as a * base + b, with a and b the same for all images. */
typedef struct form {
    const anl_node *base;
    double a, b;
} form;

typedef struct range {
    double low, high;
} range;

typedef struct checker {
    const anl_lint_pass *pass;
    const anl_lint_data *data; /* or NULL */
    const anl_graph *graph;
    const struct anl_static_field *field;
    const anl_modality *modality; /* declared, or of the shards; NULL: unknown */
    int channels;                 /* of the field; 1 without such an axis */
    const bool *wanted;           /* by id: a loss or metric is made from it */
    unsigned char *flags;         /* by id */
    form *forms;                  /* by id, of nodes made from the image */
    bool *origin;                 /* by id: a change of place that has been looked at */
    bool *cut;                    /* by id: a window of which A1107 was said */
    anl_probe *places;            /* sees places relative to the nearest origins … */
    anl_probe *values;            /* … and values from the field on */
} checker;

/* Any of the traits. */
static bool trait(const checker *c, int traits) { return c->modality && (c->modality->traits & traits); }

static bool is_field(void *context, const anl_node *node)
{
    const checker *c = context;
    return !strcmp(node->attrs.name, c->field->name);
}

/* Made from the image by operations alone, without weights. */
static bool plain_image(const checker *c, const anl_node *node)
{
    return c->wanted[node->id] && (c->flags[node->id] & FROM_IMAGE) && !(c->flags[node->id] & FROM_WEIGHT);
}

/* The same for every image and in every step. */
static bool fixed(const checker *c, const anl_node *node)
{
    return !(c->flags[node->id] & (FROM_IMAGE | FROM_WEIGHT | FROM_DRAW));
}

/* Drawn anew for each image, independent of what the image shows. */
static bool drawn(const checker *c, const anl_node *node)
{
    return (c->flags[node->id] & FROM_DRAW) && !(c->flags[node->id] & (FROM_IMAGE | FROM_WEIGHT));
}

static bool is_scalar(const anl_node *node, anl_scalar scalar)
{
    return node->op == ANL_OP_SCALAR && node->attrs.scalar == scalar;
}

static const double centre[3] = {0.5, 0.5, 0.5};

/* The size of the node's axis called z, y or x, hidden or not; 0: it has none. */
static int32_t space_size(const checker *c, const anl_node *node, int space)
{
    for (int i = 0; i < node->rank; i++)
        if (anl_probe_space(c->graph, node->axes[i].id) == space)
            return node->axes[i].size;
    return 0;
}

/* ---- one sweep over the graph ---- */

static bool reverses(const checker *c, const anl_node *node)
{
    return node->op == ANL_OP_SLICE && node->attrs.step < 0 && anl_probe_space(c->graph, node->attrs.axis[0]) >= 0;
}

static void mark(checker *c)
{
    for (int i = 0; i < c->graph->node_count; i++) {
        const anl_node *n = c->graph->nodes[i];
        unsigned flags = 0;
        for (int k = 0; k < n->input_count; k++)
            flags |= c->flags[n->inputs[k]->id];
        if (n->op == ANL_OP_FIELD)
            flags = is_field(c, n) ? FROM_IMAGE : 0;
        else if (n->op == ANL_OP_STATE)
            flags = FROM_WEIGHT;
        else if (n->op == ANL_OP_UNIFORM || n->op == ANL_OP_NORMAL)
            flags = FROM_DRAW;
        c->flags[i] = (unsigned char)flags;
    }
}

static double fixed_value(const checker *c, const anl_node *node)
{
    return fixed(c, node) ? anl_probe_near(c->values, node, centre, 0).value : NAN;
}

static form form_of(const checker *c, const anl_node *n)
{
    form own = {n, 1, 0};
    if (n->input_count == 1 && anl_walk_moves(n) && n->op != ANL_OP_PLACE && n->op != ANL_OP_WINDOWS)
        return c->forms[n->inputs[0]->id];
    if (n->op != ANL_OP_SCALAR || n->input_count > 2 || n->dtype != ANL_F32)
        return own;
    int image = n->input_count == 2 && plain_image(c, n->inputs[1]);
    if (!plain_image(c, n->inputs[image]) || (n->input_count == 2 && !fixed(c, n->inputs[!image])))
        return own;
    form f = c->forms[n->inputs[image]->id];
    double v = n->input_count == 2 ? fixed_value(c, n->inputs[!image]) : 0;
    switch (n->attrs.scalar) {
    case ANL_S_NEGATE:
        f.a = -f.a;
        f.b = -f.b;
        break;
    case ANL_S_CAST:
        break;
    case ANL_S_ADD:
        f.b += v;
        break;
    case ANL_S_SUB:
        f.a = image ? -f.a : f.a;
        f.b = image ? v - f.b : f.b - v;
        break;
    case ANL_S_MUL:
        f.a *= v;
        f.b *= v;
        break;
    case ANL_S_DIV:
        if (image)
            return own;
        f.a /= v;
        f.b /= v;
        break;
    default:
        return own;
    }
    return isfinite(f.a) && isfinite(f.b) && f.a != 0 ? f : own;
}

static void make_forms(checker *c)
{
    for (int i = 0; i < c->graph->node_count; i++)
        if (plain_image(c, c->graph->nodes[i]))
            c->forms[i] = form_of(c, c->graph->nodes[i]);
}

/* ---- what is known of values ---- */

/* The unit of the images' values; "": none. */
static const char *unit_of(const checker *c) { return c->field->unit ? c->field->unit : c->data ? c->data->unit : ""; }

static bool in_hounsfield(const checker *c) { return !strcmp(unit_of(c), "HU"); }

/* The values that images have as the graph is given them; false: not known. What is in no unit comes on a scale from 0 to 1:
 * exactly, or with few values beyond where each image has its own range. */
static bool image_range(const checker *c, range *out)
{
    if (c->data)
        *out = (range){c->data->low, c->data->high};
    else if (in_hounsfield(c))
        *out = (range){-1024, 3071};
    else
        *out = (range){0, 1};
    return c->data || in_hounsfield(c) || !*unit_of(c);
}

/* How far beyond its range an image may go, as a share of it. */
static double slack(const checker *c) { return c->data && !c->data->nominal ? 1e-6 : 0.5; }

static void note_range(const checker *c, anl_diagnostic *d)
{
    anl_diagnostics *list = c->pass->diagnostics;
    if (c->data)
        anl_diagnostic_note(list, d, "the range is that of %s and the other shards given, of %d bits", c->data->shard,
                            c->data->bits);
    else if (in_hounsfield(c))
        anl_diagnostic_note(list, d, "of images in HU air is -1000, and hardly anything is above 3000");
    else
        anl_diagnostic_note(list, d,
                            "`%s` is in no unit: then values come on a scale from 0 to 1, whether 8 or 16 bits are stored",
                            c->field->name);
}

/* What becomes of the image's range at a node where no draw changes values. */
static bool steady_range(const checker *c, const anl_node *node, range of, range *out)
{
    const double image[2] = {of.low, of.high};
    double value[2] = {0, 0};
    for (int e = 0; e < 2; e++) {
        int known = 0;
        anl_probe_image(c->values, image[e]);
        for (int s = 0; s < 16; s++) {
            anl_element x = anl_probe_near(c->values, node, centre, s * ANL_PROBE_SCENARIOS / 16);
            if (!x.image || isnan(x.value)) /* beyond the image */
                continue;
            if (known++ && fabs(x.value - value[e]) > 1e-3 * (fabs(value[e]) + 1e-6 * fabs(of.high - of.low)))
                return false;
            value[e] = x.value;
        }
        if (!known)
            return false;
    }
    *out = (range){fmin(value[0], value[1]), fmax(value[0], value[1])};
    return true;
}

/* ---- messages ---- */

/* The expression that stands at a place, among those below e. */
static const anl_expression *expression_at(const anl_expression *e, anl_span span)
{
    if (!e)
        return NULL;
    if ((e->kind == ANL_E_STEP || e->kind == ANL_E_CALL || e->kind == ANL_E_NAME) && anl_span_same(e->span, span))
        return e;
    const anl_expression *found = NULL;
    for (int i = 0; !found && i < e->item_count; i++)
        found = expression_at(e->items[i], span);
    for (int i = 0; !found && i < e->argument_count; i++)
        found = expression_at(e->arguments[i].value, span);
    return found;
}

static const anl_expression *call_at(const anl_recipe *r, anl_span span)
{
    const anl_expression *found = NULL;
    for (int i = 0; !found && i < r->view_count; i++)
        found = expression_at(r->views[i].value, span);
    for (int i = 0; !found && i < r->node_count; i++)
        found = expression_at(r->nodes[i].value, span);
    for (int i = 0; !found && i < r->loss_count; i++)
        found = expression_at(r->losses[i].value, span);
    return found;
}

static const anl_param *param_called(const anl_recipe *r, const anl_expression *e)
{
    for (int i = 0; e && e->kind == ANL_E_NAME && i < r->param_count; i++)
        if (!strcmp(r->params[i].name, e->name))
            return &r->params[i];
    return NULL;
}

static bool is_number(const anl_expression *e, double number)
{
    return e && e->kind == ANL_E_NUMBER && fabs(e->number - number) < 1e-12;
}

/* How a change that happens with a probability is switched off: the param of the call that has it as value. */
static void suggest_off(const checker *c, anl_diagnostic *d, double chance)
{
    const anl_recipe *r = c->pass->recipe;
    const anl_expression *e = call_at(r, d->span);
    const anl_expression *callee = e && e->kind != ANL_E_NAME ? e->items[0] : e;
    const anl_function *f = callee && callee->kind == ANL_E_NAME ? anl_recipe_function(r, callee->name) : NULL;
    for (int i = 0; f && i < f->param_count; i++) {
        const anl_expression *value = NULL;
        for (int k = 0; k < e->argument_count; k++)
            if (e->arguments[k].name && !strcmp(e->arguments[k].name, f->params[i].name))
                value = e->arguments[k].value;
        const anl_param *param = param_called(r, value);
        if (param && is_number(param->value, chance)) {
            anl_diagnostic_suggest(c->pass->diagnostics, d, "switch it off with `--set %s=0`", param->name);
            if (anl_walk_own(c->pass, param->value_span))
                anl_fix_edit(
                    c->pass->diagnostics,
                    anl_diagnostic_fix(c->pass->diagnostics, d, ANL_FIX_MAYBE, "make 0 the default of `%s`", param->name),
                    param->value_span, "0.0");
            return;
        }
        if (!param && is_number(value ? value : f->params[i].value, chance)) {
            anl_diagnostic_suggest(c->pass->diagnostics, d, "switch it off with `%s: 0.0`", f->params[i].name);
            if (value && anl_walk_own(c->pass, value->span))
                anl_fix_edit(c->pass->diagnostics,
                             anl_diagnostic_fix(c->pass->diagnostics, d, ANL_FIX_MAYBE, "make `%s` 0", f->params[i].name),
                             value->span, "0.0");
            return;
        }
    }
    anl_diagnostic_suggest(c->pass->diagnostics, d, "leave it out");
}

static void note_modality(const checker *c, anl_diagnostic *d)
{
    anl_diagnostics *list = c->pass->diagnostics;
    if (c->field->modality_span.line)
        anl_diagnostic_label(list, d, c->field->modality_span, "`%s` is declared here", c->modality->name);
    else if (c->modality && c->data)
        anl_diagnostic_note(list, d, "%s says that the modality is %s", c->data->shard, c->modality->name);
}

/* ---- A1101: the word ---- */

static void check_words(const anl_lint_pass *pass)
{
    for (int i = 0; i < pass->recipe->source_count; i++)
        for (int k = 0; k < pass->recipe->sources[i].field_count; k++) {
            const anl_field_declaration *f = &pass->recipe->sources[i].fields[k];
            if (!f->modality || anl_modality_find(f->modality))
                continue;
            anl_diagnostic *d = anl_diagnose(pass->diagnostics, ANL_A_unknown_modality, f->modality_span,
                                             "there is no modality `%s`", f->modality);
            anl_modality_explain(pass->diagnostics, d, f->modality);
            for (int j = 0; f->modality_param && j < pass->recipe->param_count; j++)
                if (!strcmp(pass->recipe->params[j].name, f->modality_param) && pass->recipe->params[j].value_span.line)
                    anl_diagnostic_label(pass->diagnostics, d, pass->recipe->params[j].value_span, "given here");
            const anl_modality *meant = anl_modality_meant(f->modality), *near = anl_modality_nearest(f->modality);
            if (near && !f->modality_param)
                anl_diagnostic_rename(pass->diagnostics, d, meant ? ANL_FIX_SAFE : ANL_FIX_MAYBE, f->modality_span, near->name);
        }
}

/* ---- A1102, A1103, A1110: changes of place ---- */

/* How the place in the image changes with the place in the result, of one scenario: rows z, y, x of the image. */
typedef struct placement {
    bool known;
    double m[3][3];
} placement;

static placement placement_of(const checker *c, const anl_node *node, int scenario)
{
    placement p = {.known = true};
    for (int k = Z; k <= X; k++) {
        int32_t size = space_size(c, node, k);
        if (size < 2)
            continue;
        double from[3] = {0.5, 0.5, 0.5}, to[3] = {0.5, 0.5, 0.5};
        from[k] = size < 4 ? 0 : 0.25;
        to[k] = size < 4 ? 1 : 0.75;
        anl_element a = anl_probe_near(c->places, node, from, scenario), b = anl_probe_near(c->places, node, to, scenario);
        if (!a.image || !b.image || isnan(a.value) || isnan(b.value))
            return (placement){0};
        double length = (double)(lround(to[k] * (size - 1)) - lround(from[k] * (size - 1)));
        for (int i = Z; i <= X; i++)
            p.m[i][k] = (b.at[i] - a.at[i]) / length;
    }
    return p;
}

/* The condition on a draw that decides between the scenarios marked and the others, and its chance. NULL: no single one does. */
static const anl_node *decider(const checker *c, const anl_node *node, const placement *all, const bool *marked, double *chance)
{
    bool *behind = anl_walk_behind(c->pass->arena, c->graph, &node, 1, ANL_WAYS_VALUES);
    for (int i = node->id; i >= 0; i--) {
        const anl_node *n = c->graph->nodes[i];
        *chance = behind[i] && is_scalar(n, ANL_S_LT) && drawn(c, n) ? fixed_value(c, n->inputs[1]) : NAN;
        bool decides = *chance > 0;
        for (int s = 0; decides && s < ANL_PROBE_SCENARIOS; s++)
            decides = !all[s].known || (anl_probe_near(c->places, n, centre, s).value != 0) == marked[s];
        if (decides)
            return n;
    }
    return NULL;
}

/* Where the spec itself has a node: its own place, or the call that leads to it. */
static anl_span own_place(const checker *c, const anl_node *n)
{
    return !n->site.line || anl_walk_own(c->pass, n->span) ? n->span : n->site;
}

/* A change of place is reported at the step that decides on it, which in a chain of steps may come before the one that makes it.
 */
static anl_diagnostic *report_place(const checker *c, anl_code code, const anl_node *node, const anl_node *place,
                                    const placement *all, const bool *marked, const char *what)
{
    double chance = NAN;
    const anl_node *decides = decider(c, node, all, marked, &chance);
    const bool before = decides && own_place(c, decides).line != own_place(c, place).line;
    anl_diagnostic *d = anl_walk_diagnose(c->pass, code, before ? decides : place, "%s", what);
    if (before)
        anl_diagnostic_label(c->pass->diagnostics, d, own_place(c, place), "done here");
    note_modality(c, d);
    suggest_off(c, d, chance);
    return d;
}

static const char *part_text(anl_arena *arena, int count, int known)
{
    return count == known ? "all images" : anl_arena_printf(arena, "%.0f %% of the images", 100.0 * count / known);
}

static void report_mirrored(const checker *c, const anl_node *node, const anl_node *place, const placement *all,
                            const bool *marked, const char *part)
{
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d =
        report_place(c, ANL_A_mirrored, node, place, all, marked,
                     anl_arena_printf(c->pass->arena, "%s are mirrored, left to right, where the side matters", part));
    anl_diagnostic_note(
        list, d,
        "a mirrored body hardly ever occurs (its heart is on the right), and the network learns that the side means nothing");
    anl_diagnostic_note(list, d, "where the side does not matter: `# lint: allow A%04d because <reason>`", ANL_A_mirrored);
}

static void report_upside_down(const checker *c, const anl_node *node, const anl_node *place, const placement *all,
                               const bool *marked, const char *part)
{
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d =
        report_place(c, ANL_A_upside_down, node, place, all, marked,
                     anl_arena_printf(c->pass->arena, "%s are turned upside down, where images are upright", part));
    anl_diagnostic_note(list, d, "%s is %s", c->modality->name, c->modality->doc);
    anl_diagnostic_note(list, d, "where up and down mean nothing: `# lint: allow A%04d because <reason>`", ANL_A_upside_down);
}

/* How many elements of the field lie between neighbours of the node along an axis; NaN: not known. */
static double stride_of(const checker *c, const anl_node *node, int space)
{
    double from[3] = {0.5, 0.5, 0.5}, to[3] = {0.5, 0.5, 0.5}, sum = 0;
    int32_t size = space_size(c, node, space);
    int known = 0;
    from[space] = size < 4 ? 0 : 0.25;
    to[space] = size < 4 ? 1 : 0.75;
    for (int s = 0; size > 1 && s < ANL_PROBE_SCENARIOS; s += ANL_PROBE_SCENARIOS / 8) {
        anl_element a = anl_probe_near(c->values, node, from, s), b = anl_probe_near(c->values, node, to, s);
        if (!a.image || !b.image)
            continue;
        sum += fabs(b.at[space] - a.at[space]) / (double)(lround(to[space] * (size - 1)) - lround(from[space] * (size - 1)));
        known++;
    }
    return known ? sum / known : NAN;
}

/* Whether neighbours of the node along two axes lie at different distances: as the shards say, or as is usual where the image was
 * not resampled. ratio: how often as far apart along the first; 0: not known. */
static bool unequal(const checker *c, const anl_node *node, int a, int b, double *ratio)
{
    *ratio = 0;
    double spacing[2] = {0, 0};
    for (int k = 0; k < 2 && c->data; k++)
        spacing[k] = sqrt(c->data->least_spacing[k ? b : a] * c->data->greatest_spacing[k ? b : a]);
    const bool known = spacing[0] > 0 && spacing[1] > 0;
    if (!known && (a != Z || !trait(c, ANL_M_THICK_SLICES)))
        return false;
    double stretch = stride_of(c, node, a) / stride_of(c, node, b);
    if (known)
        *ratio = spacing[0] / spacing[1] * stretch;
    return known ? *ratio > 1.25 || *ratio < 0.8 : stretch > 0.8 && stretch < 1.25;
}

static void note_spacing(const checker *c, anl_diagnostic *d, int a, int b, double ratio)
{
    static const char *const names[] = {"z", "y", "x"};
    if (ratio > 0)
        anl_diagnostic_note(c->pass->diagnostics, d, "in %s neighbours are %.3g times as far apart along %s as along %s",
                            c->data->shard, ratio > 1 ? ratio : 1 / ratio, names[ratio > 1 ? a : b], names[ratio > 1 ? b : a]);
    else
        anl_diagnostic_note(c->pass->diagnostics, d,
                            "slices of %s are mostly farther apart (z) than pixels (y, x); if these are not, `# lint: allow "
                            "A%04d because <reason>`",
                            c->modality->name, d->code);
}

/* The cosine between the steps that two axes make in the image, where neighbours along the first are ratio times as far apart. */
static double cosine(const double m[3][3], int a, int b, double ratio)
{
    double aa = ratio * m[a][a], ba = m[b][a], ab = ratio * m[a][b], bb = m[b][b];
    return (aa * ab + ba * bb) / sqrt((aa * aa + ba * ba) * (ab * ab + bb * bb));
}

static void check_rotation(const checker *c, const anl_node *node, const placement *all)
{
    static const char *const names[] = {"z", "y", "x"};
    for (int a = Z; a < X; a++)
        for (int b = a + 1; b <= X; b++) {
            const double length = fmin(space_size(c, node, a), space_size(c, node, b)) / 2, coarse = 1 / length;
            double ratio, skew = 0;
            if (length < 2)
                continue;
            int turned = 0;
            for (int s = 0; s < ANL_PROBE_SCENARIOS; s++)
                turned += all[s].known && fmin(fabs(all[s].m[a][b]), fabs(all[s].m[b][a])) > fmax(0.02, 1.5 * coarse);
            if (!turned || !unequal(c, node->inputs[0], a, b, &ratio))
                continue;
            /* A turn leaves right angles right: in pixels where spacing does not count, in mm where it does. */
            for (int s = 0; s < ANL_PROBE_SCENARIOS; s++)
                if (all[s].known && fmin(fabs(all[s].m[a][b]), fabs(all[s].m[b][a])) > fmax(0.02, 1.5 * coarse))
                    skew += fabs(cosine(all[s].m, a, b, ratio > 0 ? ratio : 1)) / turned;
            if (ratio > 0 ? skew < 0.1 + coarse : skew > 0.1 + coarse)
                continue;
            anl_diagnostic *d =
                anl_walk_diagnose(c->pass, ANL_A_rotation_anisotropic, node,
                                  "turned in pixels in the plane of %s and %s, whose spacings differ", names[a], names[b]);
            note_modality(c, d);
            note_spacing(c, d, a, b, ratio);
            anl_diagnostic_note(c->pass->diagnostics, d, "turned in pixels, the anatomy is sheared and stretched");
            anl_diagnostic_suggest(c->pass->diagnostics, d, "turn in the plane of y and x, or resample to one spacing first");
            return;
        }
}

static void check_place(const checker *c, const anl_node *node, const anl_node *place)
{
    placement all[ANL_PROBE_SCENARIOS];
    bool mirrored[ANL_PROBE_SCENARIOS], turned[ANL_PROBE_SCENARIOS];
    int known = 0, mirrored_count = 0, turned_count = 0;
    for (int s = 0; s < ANL_PROBE_SCENARIOS; s++) {
        all[s] = placement_of(c, node, s);
        const double(*m)[3] = all[s].m;
        double area = m[Y][Y] * m[X][X] - m[Y][X] * m[X][Y];
        known += all[s].known;
        mirrored[s] = all[s].known && area < 0 && m[X][X] < 0;
        turned[s] = all[s].known && m[Y][Y] < -0.05 && !mirrored[s];
        mirrored_count += mirrored[s];
        turned_count += turned[s];
    }
    if (known < 4)
        return;
    if (mirrored_count && trait(c, ANL_M_SIDED))
        report_mirrored(c, node, place, all, mirrored, part_text(c->pass->arena, mirrored_count, known));
    if (turned_count && trait(c, ANL_M_UPRIGHT))
        report_upside_down(c, node, place, all, turned, part_text(c->pass->arena, turned_count, known));
    if (node->op == ANL_OP_GATHER)
        check_rotation(c, node, all);
}

static bool same_place(const anl_node *a, const anl_node *b)
{
    return a->inputs[0] == b->inputs[0] && anl_span_same(a->span, b->span) && anl_span_same(a->site, b->site);
}

/* Walks along the ways of the image: each node that may change places is looked at relative to those before it. */
static void check_places(checker *c)
{
    const anl_node *sampled = NULL; /* the last that was looked at: its neighbours in one interpolation are like it */
    const anl_node **reversed =
        ANL_NEW_ARRAY(c->pass->arena, const anl_node *, c->graph->node_count); /* by id: a reversal that nothing has looked at */
    if (!trait(c, ANL_M_SIDED | ANL_M_UPRIGHT | ANL_M_THICK_SLICES) && !c->data)
        return;
    for (int i = 0; i < c->graph->node_count; i++) {
        const anl_node *n = c->graph->nodes[i];
        for (int k = 0; k < n->input_count && !reversed[i]; k++)
            reversed[i] = plain_image(c, n->inputs[k]) ? reversed[n->inputs[k]->id] : NULL;
        if (!plain_image(c, n) || space_size(c, n, X) < 2) {
            /* Where the image ends: reversals that hold for all images have not been seen yet. */
            const anl_node *entered = reversed[i] && c->wanted[i] ? reversed[i] : NULL;
            for (int k = 0; entered && k < n->input_count; k++)
                if (plain_image(c, n->inputs[k]) && reversed[n->inputs[k]->id] == entered) {
                    check_place(c, n->inputs[k], entered);
                    reversed[n->inputs[k]->id] = NULL;
                }
            reversed[i] = NULL;
            continue;
        }
        if (reverses(c, n))
            reversed[i] = n;
        bool moves = n->op == ANL_OP_GATHER ? plain_image(c, n->inputs[0]) && space_size(c, n->inputs[0], X) > 0
                     : is_scalar(n, ANL_S_SELECT)
                         ? drawn(c, n->inputs[0]) && plain_image(c, n->inputs[1]) && plain_image(c, n->inputs[2])
                         : n->op == ANL_OP_CONCAT;
        if (!moves || space_size(c, n, Y) < 2 || space_size(c, n, X) < 2)
            continue;
        if (n->op != ANL_OP_GATHER)
            check_place(c, n, reversed[i] ? reversed[i] : n);
        else if (!sampled || !same_place(sampled, n)) {
            check_place(c, n, n);
            sampled = n;
        }
        c->origin[i] = true;
        reversed[i] = NULL;
    }
}

/* ---- A1104: colour where there is none ---- */

/* Inverts above a threshold: where(image > t, c - image, image). */
static bool solarizes(const checker *c, const anl_node *n)
{
    if (!is_scalar(n, ANL_S_SELECT) || !plain_image(c, n->inputs[0]) || !plain_image(c, n->inputs[1]) ||
        !plain_image(c, n->inputs[2]))
        return false;
    double value[2][2];
    for (int e = 0; e < 2; e++) {
        anl_probe_image(c->values, e ? 0.75 : 0.25);
        for (int k = 0; k < 2; k++)
            value[k][e] = anl_probe_near(c->values, n->inputs[1 + k], centre, 0).value;
    }
    double first = value[0][1] - value[0][0], second = value[1][1] - value[1][0], sum = value[0][0] + value[1][0];
    /* |x|, as where(x < 0, -x, x), has branches whose sum is 0 */
    return first * second < 0 && fabs(first + second) < 1e-6 * fabs(first) && fabs(sum) > 1e-3 * fabs(first);
}

static void check_colour(checker *c)
{
    anl_diagnostics *list = c->pass->diagnostics;
    if (c->channels != 1)
        return;
    for (int i = 0; i < c->graph->node_count; i++) {
        const anl_node *n = c->graph->nodes[i];
        if (!plain_image(c, n))
            continue;
        if (solarizes(c, n)) {
            anl_diagnostic *d = anl_walk_diagnose(c->pass, ANL_A_colour_on_grey, n,
                                                  "`%s` is solarized, but its one channel is no colour", c->field->name);
            anl_diagnostic_label(list, d, c->field->span, "declared with one channel");
            anl_diagnostic_note(list, d, "its values measure something: above the threshold what is dense becomes what is thin");
            anl_diagnostic_suggest(list, d, "leave it out; gain, offset and gamma change what an exposure changes");
            continue;
        }
        /* The mean over the one channel is the channel: mixing it at random with the image changes nothing. */
        bool flat = n->op == ANL_OP_SPLIT && !n->attrs.over_count &&
                    !strcmp(anl_graph_axis_name(c->graph, n->attrs.axis[0]), "channel") && space_size(c, n, X) > 0;
        flat |= n->op == ANL_OP_CONTRACT && !n->attrs.slide_count && n->attrs.over_count == 1 && space_size(c, n, X) > 0 &&
                !strcmp(anl_graph_axis_name(c->graph, n->attrs.over[0]), "channel") &&
                (drawn(c, n->inputs[0]) || drawn(c, n->inputs[1]));
        bool other = false, draw = n->op == ANL_OP_CONTRACT && flat, mixed = false,
             moves = anl_walk_moves(n) || n->op == ANL_OP_SCALAR;
        for (int k = 0; moves && k < n->input_count; k++) {
            unsigned f = c->flags[n->inputs[k]->id];
            flat |= f & FLAT;
            mixed |= f & FLAT_MIXED;
            other |= plain_image(c, n->inputs[k]) && !(f & (FLAT | FLAT_MIXED));
            draw |= drawn(c, n->inputs[k]);
        }
        mixed |= flat && other;
        if (draw && (mixed || n->op == ANL_OP_CONTRACT)) {
            anl_diagnostic *d =
                anl_walk_diagnose(c->pass, ANL_A_colour_on_grey, n,
                                  "the colour of `%s` is changed at random, but it has one channel", c->field->name);
            anl_diagnostic_label(list, d, c->field->span, "declared with one channel");
            anl_diagnostic_note(list, d,
                                "hue and saturation are differences between channels; with one channel this changes nothing, or "
                                "only the brightness");
            anl_diagnostic_suggest(list, d, "leave it out");
        } else
            c->flags[i] |= (unsigned char)(mixed ? FLAT_MIXED : flat ? FLAT : 0);
    }
}

/* ---- A1105: thresholds; A1112: Hounsfield units where there are none ---- */

/* Whether a number of this size is one of Hounsfield units that the images do not have. */
static bool misses_unit(const checker *c, double bound)
{
    return trait(c, ANL_M_HOUNSFIELD) && !*unit_of(c) && fabs(bound) >= 20 && !(c->data && c->data->high > 2);
}

static void report_unit(const checker *c, const anl_node *n, const char *what, range here)
{
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d = anl_walk_diagnose(c->pass, ANL_A_rescale_ignored, n,
                                          "%s is one of Hounsfield units, but `%s` has none: its values lie between %g and %g",
                                          what, c->field->name, here.low, here.high);
    anl_diagnostic_label(list, d, c->field->span, "declared without `unit: HU`");
    note_range(c, d);
    anl_diagnostic_suggest(
        list, d,
        "declare `unit: HU`; `anlage pack` applies the rescale slope and intercept of DICOM and NIfTI files, images of other "
        "kinds have lost them");
}

static void check_threshold(const checker *c, const anl_node *n)
{
    range image, here;
    if ((!is_scalar(n, ANL_S_LT) && !is_scalar(n, ANL_S_LE)) || !image_range(c, &image))
        return;
    int side = plain_image(c, n->inputs[1]);
    if (!plain_image(c, n->inputs[side]) || !fixed(c, n->inputs[!side]))
        return;
    form f = c->forms[n->inputs[side]->id];
    double t = (fixed_value(c, n->inputs[!side]) - f.b) / f.a;
    if (isnan(t) || !steady_range(c, f.base, image, &here))
        return;
    if (misses_unit(c, t)) {
        report_unit(c, n, anl_arena_printf(c->pass->arena, "the threshold %g", t), here);
        return;
    }
    bool byte = c->data && c->data->bits > 8 && !*unit_of(c) && here.high >= 1000 && t >= 100 && t <= 255;
    if (!byte && t <= here.high + slack(c) * (here.high - here.low))
        return;
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d;
    if (byte)
        d = anl_walk_diagnose(c->pass, ANL_A_threshold_outside, n,
                              "the threshold %g is one of 8 bits, but the images have values from %g to %g", t, here.low,
                              here.high);
    else
        d = anl_walk_diagnose(c->pass, ANL_A_threshold_outside, n,
                              "no image reaches the threshold %g: their values lie between %g and %g", t, here.low, here.high);
    note_range(c, d);
    if (!byte && here.high <= 1 && t > 1 && t <= 255)
        anl_diagnostic_suggest(list, d, "%g of 255 is %.3g", t, t / 255);
}

/* ---- A1106: means of natural images ---- */

static void check_scale(checker *c)
{
    static const struct {
        double mean, deviation;
    } known[] = {{0.485, 0.229}, {0.456, 0.224}, {0.406, 0.225}, {0.449, 0.226}}; /* red, green, blue and grey of ImageNet */
    if ((!c->modality || (c->modality->traits & ANL_M_COLOUR)) && c->channels != 1)
        return;
    for (int i = 0; i < c->graph->node_count; i++) {
        const anl_node *n = c->graph->nodes[i];
        form f = c->forms[i];
        if (!plain_image(c, n) || n->op != ANL_OP_SCALAR || f.base == n)
            continue;
        for (size_t k = 0; k < ANL_COUNT(known); k++) {
            double mean = -f.b / f.a, deviation = 1 / f.a;
            bool bytes = mean > 2;
            double unit = bytes ? 255 : 1;
            if (fabs(mean / unit - known[k].mean) > 5e-4 || fabs(deviation / unit - known[k].deviation) > 5e-4)
                continue;
            anl_diagnostics *list = c->pass->diagnostics;
            anl_diagnostic *d =
                anl_walk_diagnose(c->pass, ANL_A_natural_image_scale, n,
                                  "%s images are scaled by mean %g and deviation %g, those of natural photographs",
                                  c->modality ? c->modality->name : "one-channel", mean, deviation);
            if (c->modality)
                note_modality(c, d);
            else
                anl_diagnostic_label(list, d, c->field->span, "declared with one channel");
            anl_diagnostic_note(
                list, d, "%s",
                c->data ? anl_arena_printf(c->pass->arena, "the values of %s lie between %g and %g", c->data->shard, c->data->low,
                                           c->data->high)
                        : "0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 are the colours of ImageNet on a scale from 0 to 1");
            anl_diagnostic_suggest(
                list, d,
                "use the mean and deviation of these images (`anlage inspect` prints them), or leave the scale as it is");
            break;
        }
    }
}

/* ---- A1107, A1108: windows ---- */

/* clamp(inside, low, high), with fixed bounds. */
static bool is_clamp(const checker *c, const anl_node *n, const anl_node **inside, range *bounds)
{
    if ((!is_scalar(n, ANL_S_MINIMUM) && !is_scalar(n, ANL_S_MAXIMUM)) || !plain_image(c, n))
        return false;
    for (int k = 0; k < 2; k++) {
        const anl_node *in = n->inputs[k];
        if (!fixed(c, n->inputs[!k]) || !plain_image(c, in))
            continue;
        in = anl_walk_moved(in);
        if (!(is_scalar(in, ANL_S_MINIMUM) || is_scalar(in, ANL_S_MAXIMUM)) || in->attrs.scalar == n->attrs.scalar)
            continue;
        for (int j = 0; j < 2; j++) {
            if (!fixed(c, in->inputs[!j]) || !plain_image(c, in->inputs[j]))
                continue;
            double outer = fixed_value(c, n->inputs[!k]), inner = fixed_value(c, in->inputs[!j]);
            *inside = in->inputs[j];
            *bounds = is_scalar(n, ANL_S_MINIMUM) ? (range){inner, outer} : (range){outer, inner};
            return bounds->low < bounds->high;
        }
    }
    return false;
}

/* The window in units of the image, as it is on average where its bounds are drawn. */
static void check_window(const checker *c, const anl_node *n, const anl_node *inside, range bounds)
{
    range image, window = {0, 0};
    if (!image_range(c, &image))
        return;
    const double width = image.high - image.low, beyond = slack(c) * width, ends[2] = {image.low - beyond, image.high + beyond};
    double value[2][16];
    for (int e = 0; e < 2; e++) {
        anl_probe_image(c->values, ends[e]);
        for (int s = 0; s < 16; s++)
            value[e][s] = anl_probe_near(c->values, inside, centre, s * ANL_PROBE_SCENARIOS / 16).value;
    }
    int known = 0, beside = 0, lost = 0;
    for (int s = 0; s < 16; s++) {
        double low = fmin(value[0][s], value[1][s]), high = fmax(value[0][s], value[1][s]),
               slope = (value[1][s] - value[0][s]) / (ends[1] - ends[0]);
        if (isnan(slope)) /* beyond the image */
            continue;
        if (slope == 0) /* nothing of it is left: said of an earlier window */
            return;
        known++;
        beside += high <= bounds.low || low >= bounds.high;
        lost += fabs(slope) * width < 0.02 * (bounds.high - bounds.low);
        double a = ends[0] + (bounds.low - value[0][s]) / slope, b = ends[0] + (bounds.high - value[0][s]) / slope;
        window.low += fmin(a, b);
        window.high += fmax(a, b);
    }
    if (!known || (beside < known && lost < known))
        return;
    window.low /= known;
    window.high /= known;
    if (misses_unit(c, window.low) || misses_unit(c, window.high)) {
        report_unit(c, n, anl_arena_printf(c->pass->arena, "the window from %.4g to %.4g", window.low, window.high), image);
        return;
    }
    if (beside < known)
        return;
    anl_diagnostic *d =
        anl_walk_diagnose(c->pass, ANL_A_window_outside, n,
                          "the window from %.4g to %.4g holds none of the images' values, which lie between %g and %g",
                          window.low, window.high, image.low, image.high);
    note_range(c, d);
    anl_diagnostic_note(c->pass->diagnostics, d, "every image becomes one even grey");
}

/* Changes of gain and offset by draws, and what they are made to. NULL: there are none. */
static const anl_node *jitter_of(const checker *c, const anl_node *n, const anl_node **jitter)
{
    const anl_node *below = NULL, *at = n;
    *jitter = NULL;
    for (;;) {
        const anl_node *next = NULL;
        bool draws = false;
        if (at->input_count == 1 && anl_walk_moves(at))
            next = at->inputs[0];
        else if (at->op == ANL_OP_SCALAR && at->input_count <= 2 && at->dtype == ANL_F32) {
            int image = at->input_count == 2 && plain_image(c, at->inputs[1]);
            const anl_node *other = at->input_count == 2 ? at->inputs[!image] : NULL;
            bool changes =
                is_scalar(at, ANL_S_ADD) || is_scalar(at, ANL_S_SUB) || is_scalar(at, ANL_S_MUL) || is_scalar(at, ANL_S_DIV);
            if (plain_image(c, at->inputs[image]) && (!other || fixed(c, other) || drawn(c, other)))
                next = at->inputs[image];
            draws = other && changes && drawn(c, other) && !space_size(c, other, X); /* noise has its own draw at every pixel */
        }
        if (draws) {
            *jitter = *jitter ? *jitter : at;
            below = next;
        }
        if (c->cut[at->id])
            return NULL;
        if (!next || !plain_image(c, next))
            return below;
        at = next;
    }
}

static void check_jitter(const checker *c, const anl_node *n, const anl_node *inside, range bounds)
{
    const anl_node *jitter, *before = jitter_of(c, inside, &jitter);
    if (!before || (!c->modality && !c->data))
        return;
    /* The window in units of what is changed: between it and the change there may be a fixed scale. */
    const anl_node *base = inside;
    form f = {inside, 1, 0};
    while (base != jitter && c->forms[base->id].base != base) {
        form g = c->forms[base->id];
        f = (form){g.base, f.a * g.a, f.a * g.b + f.b};
        base = g.base;
    }
    range image, here, window = {(bounds.low - f.b) / f.a, (bounds.high - f.b) / f.a};
    if (window.low > window.high)
        window = (range){window.high, window.low};
    bool known = image_range(c, &image);
    if (misses_unit(c, window.low) || misses_unit(c, window.high)) /* it is meant for images in HU */
        image = (range){-1024, 3071};
    if (!known || !steady_range(c, before, image, &here))
        return;
    double width = here.high - here.low;
    if (width <= 0 || (window.low <= here.low + 0.05 * width && window.high >= here.high - 0.05 * width))
        return;
    /* A random window is drawn on purpose: it scales by much; jitter leaves values about as they are. */
    double ends[2][2];
    for (int s = 0; s < 16; s++) {
        for (int e = 0; e < 2; e++) {
            anl_probe_image(c->values, e ? image.high : image.low);
            ends[e][0] = anl_probe_near(c->values, before, centre, s * 4).value;
            ends[e][1] = anl_probe_near(c->values, jitter, centre, s * 4).value;
        }
        double gain = (ends[1][1] - ends[0][1]) / (ends[1][0] - ends[0][0]);
        if (!isnan(gain) && !(gain > 1.0 / 3 && gain < 3))
            return;
    }
    c->cut[n->id] = true;
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d =
        anl_walk_diagnose(c->pass, ANL_A_jitter_before_window, n,
                          "the window from %g to %g comes after the brightness was changed at random", window.low, window.high);
    anl_span changed = own_place(c, jitter);
    if (!anl_span_same(changed, d->span))
        anl_diagnostic_label(list, d, changed, "changed here");
    note_modality(c, d);
    anl_diagnostic_note(
        list, d,
        "values from %g to %g are changed and then cut off: what the window shows moves at random, and structures drop out of it",
        here.low, here.high);
    anl_diagnostic_suggest(list, d, "apply the window first, then change brightness and contrast of what it shows");
}

/* ---- A1109: blur ---- */

typedef struct blur {
    const anl_node *node;
    int space;
    int32_t taps;
    double shape; /* the kernel one pixel beside the middle, relative to the middle */
} blur;

static double kernel_shape(const checker *c, const anl_node *kernel, int space)
{
    int32_t at[ANL_MAX_AXES] = {0};
    double value[2];
    for (int beside = 0; beside < 2; beside++) {
        for (int i = 0; i < kernel->rank; i++) {
            int k = anl_probe_space(c->graph, kernel->axes[i].id);
            at[i] = k < 0 ? 0 : kernel->axes[i].size / 2 + (k == space ? beside : 0);
        }
        value[beside] = anl_probe_at(c->values, kernel, at, 7).value;
    }
    return value[1] / value[0];
}

static void report_blur(const checker *c, const blur *b, int other, double ratio)
{
    static const char *const names[] = {"z", "y", "x"};
    anl_diagnostics *list = c->pass->diagnostics;
    anl_diagnostic *d;
    if (other >= 0) {
        d = anl_walk_diagnose(c->pass, ANL_A_blur_in_pixels, b->node,
                              "blurred over as many pixels along %s as along %s, whose spacings differ", names[b->space],
                              names[other]);
        note_spacing(c, d, b->space, other, ratio);
    } else {
        d = anl_walk_diagnose(c->pass, ANL_A_blur_in_pixels, b->node,
                              "blurred over a width in pixels, but the images' spacings differ");
        anl_diagnostic_note(list, d, "in %s and the other shards given pixels are %.3g to %.3g mm apart", c->data->shard,
                            c->data->least_spacing[b->space], c->data->greatest_spacing[b->space]);
    }
    if (c->modality)
        note_modality(c, d);
    anl_diagnostic_note(list, d, "in mm the blur is wider where pixels lie farther apart");
    anl_diagnostic_suggest(list, d,
                           other >= 0 ? "give each axis a width in proportion to its spacing"
                                      : "pack at one spacing, or take the width in mm");
}

static void check_blur(checker *c)
{
    blur *all = NULL;
    int count = 0, capacity = 0;
    for (int i = 0; i < c->graph->node_count; i++) {
        const anl_node *n = c->graph->nodes[i];
        if (n->op != ANL_OP_CONTRACT || n->attrs.role != ANL_ROLE_FORWARD || !plain_image(c, n) ||
            !plain_image(c, n->inputs[0]) || (c->flags[n->inputs[1]->id] & FROM_IMAGE))
            continue;
        for (int k = 0; k < n->attrs.slide_count; k++) {
            const anl_slide *s = &n->attrs.slide[k];
            blur b = {n, anl_probe_space(c->graph, s->axis), s->tap_size, 0};
            if (s->tap_size < 2 || b.space < 0)
                continue;
            b.shape = kernel_shape(c, n->inputs[1], b.space);
            ANL_PUSH(c->pass->arena, all, count, capacity, b);
        }
    }
    for (int i = 0; i < count; i++) {
        double ratio;
        for (int k = 0; k < count; k++)
            if (all[i].space < all[k].space && all[i].taps == all[k].taps &&
                anl_span_same(all[i].node->site, all[k].node->site) &&
                fabs(all[i].shape - all[k].shape) <= 1e-3 * fabs(all[k].shape) &&
                unequal(c, all[i].node->inputs[0], all[i].space, all[k].space, &ratio)) {
                report_blur(c, &all[i], all[k].space, ratio);
                return;
            }
        if (c->data && c->data->greatest_spacing[all[i].space] >= 2 * c->data->least_spacing[all[i].space] &&
            c->data->least_spacing[all[i].space] > 0) {
            report_blur(c, &all[i], -1, 0);
            return;
        }
    }
}

/* ---- A1111, A1112, A1115: what the shards say ---- */

static void check_shards(const checker *c)
{
    anl_diagnostics *list = c->pass->diagnostics;
    const anl_modality *declared = c->field->modality ? anl_modality_find(c->field->modality) : NULL;
    if (declared && c->data->modality && declared != c->data->modality) {
        anl_diagnostic *d =
            anl_diagnose(list, ANL_A_modality_mismatch, c->field->modality_span, "`%s` is declared as %s, but the shards hold %s",
                         c->field->name, declared->name, c->data->modality->name);
        anl_diagnostic_note(list, d, "so says %s", c->data->shard);
        anl_diagnostic_suggest(list, d, "`modality: %s`", c->data->modality->name);
    }
    bool inverted = false, rescaled = false;
    for (int i = 0; i < c->graph->node_count; i++) {
        if (!plain_image(c, c->graph->nodes[i]))
            continue;
        form f = c->forms[i];
        inverted |= f.a < 0;
        rescaled |= c->data->unscaled && fabs(f.a - c->data->slope) <= 1e-3 * fabs(c->data->slope) &&
                    fabs(f.b - c->data->intercept) <= 1e-3 * fabs(c->data->intercept) + 1e-9;
    }
    anl_span place = c->field->modality_span.line ? c->field->modality_span : c->field->span;
    if (c->data->inverted && !inverted) {
        anl_diagnostic *d = anl_diagnose(list, ANL_A_inverted_grey, place,
                                         "the images of %s are MONOCHROME1, the least value is white, and nothing inverts them",
                                         c->data->inverted);
        anl_diagnostic_note(list, d, "beside images in which the greatest value is white, air and bone change places");
        anl_diagnostic_suggest(list, d, "invert them when they are packed, or with the step `1 - _`");
    }
    if (c->data->unscaled && !rescaled) {
        anl_diagnostic *d =
            anl_diagnose(list, ANL_A_rescale_ignored, place,
                         "the stored values of %s still want their rescale slope and intercept", c->data->unscaled);
        anl_diagnostic_note(list, d, "as they are loaded they are in no unit; thresholds and windows in HU mean nothing");
        anl_diagnostic_suggest(list, d, "apply them when the images are packed, or begin with the step `_ * %.9g %c %.9g`",
                               c->data->slope, c->data->intercept < 0 ? '-' : '+', fabs(c->data->intercept));
    }
}

/* ---- the family ---- */

static void check_graph(anl_lint_pass *pass, const anl_lint_data *data, const anl_traced *traced,
                        const struct anl_static_field *field)
{
    checker c = {.pass = pass, .data = data, .graph = traced->graph, .field = field, .channels = 1};
    const int count = traced->graph->node_count;
    c.modality = field->modality ? anl_modality_find(field->modality) : data ? data->modality : NULL;
    for (int a = 0; a < field->rank; a++)
        if (!strcmp(field->axis[a], "channel"))
            c.channels = field->size[a];
    if (traced->loss_count)
        c.wanted = anl_facts_shared(pass, traced)->loss;
    else {
        const anl_node **outputs = ANL_NEW_ARRAY(pass->arena, const anl_node *, traced->graph->output_count + 1);
        for (int i = 0; i < traced->graph->output_count; i++)
            outputs[i] = traced->graph->outputs[i].node;
        c.wanted = anl_walk_behind(pass->arena, traced->graph, outputs, traced->graph->output_count, ANL_WAYS_VALUES);
    }
    c.flags = ANL_NEW_ARRAY(pass->arena, unsigned char, count + 1);
    c.forms = ANL_NEW_ARRAY(pass->arena, form, count + 1);
    c.origin = ANL_NEW_ARRAY(pass->arena, bool, count + 1);
    c.cut = ANL_NEW_ARRAY(pass->arena, bool, count + 1);
    c.places = anl_probe_new(pass->arena, traced->graph, is_field, &c, c.origin);
    c.values = anl_probe_new(pass->arena, traced->graph, is_field, &c, NULL);
    mark(&c);
    make_forms(&c);
    check_places(&c);
    check_colour(&c);
    check_scale(&c);
    for (int i = 0; i < count; i++) {
        const anl_node *n = traced->graph->nodes[i], *inside;
        range bounds;
        if (!c.wanted[i])
            continue;
        check_threshold(&c, n);
        if (is_clamp(&c, n, &inside, &bounds)) {
            check_window(&c, n, inside, bounds);
            check_jitter(&c, n, inside, bounds);
        }
    }
    check_blur(&c);
    if (data)
        check_shards(&c);
}

static bool is_image(const struct anl_static_field *field)
{
    bool y = false, x = false;
    for (int a = 0; a < field->rank; a++) {
        y |= !strcmp(field->axis[a], "y");
        x |= !strcmp(field->axis[a], "x");
    }
    return y && x;
}

void anl_lint_modality(anl_lint_pass *pass)
{
    check_words(pass);
    const anl_lint_data *data = anl_lint_read_data(pass);
    if (!pass->sound || !pass->facts)
        return;
    const anl_traced *graphs[2] = {pass->train ? pass->train : pass->evaluate, pass->train ? pass->last : NULL};
    for (int f = 0; f < pass->facts->field_count; f++)
        for (int g = 0; is_image(&pass->facts->fields[f]) && g < 2; g++)
            if (graphs[g] && (g == 0 || graphs[g] != graphs[0]))
                check_graph(pass, data, graphs[g], &pass->facts->fields[f]);
}
