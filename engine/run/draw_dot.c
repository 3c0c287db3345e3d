/* A drawing as text in the DOT language of Graphviz.
 * In: boxes, clusters, edges. Out: text; names of the spec stand in it as labels only, escaped, never as identifiers.
 * Labels are Graphviz's HTML-like ones: a name in bold, what is said about it smaller below. */
#include <string.h>

#include "lint/walk.h"
#include "ops/build.h"
#include "run/draw.h"

/* Fill of boxes, fill of clusters, line; by draw_kind. */
static const struct {
    const char *box, *cluster, *line;
} colours[] = {
    [DRAW_OTHER] = {"#ececec", "#f7f7f7", "#8a8a8a"},  [DRAW_VIEW] = {"#dcefdc", "#f3faf3", "#5a8f5a"},
    [DRAW_NODE] = {"#dbe7f6", "#f3f7fd", "#4f79ab"},   [DRAW_LOSS] = {"#fadcd5", "#fdf3f0", "#b3452c"},
    [DRAW_METRIC] = {"#ecdff5", "#f8f3fb", "#7d559c"}, [DRAW_STATE] = {"#fbeecb", "#fdf8ea", "#a3842f"},
    [DRAW_FIELD] = {"#ffffff", "#ffffff", "#444444"},  [DRAW_WEIGHTS] = {"#dbe7f6", "#f3f7fd", "#4f79ab"},
};

enum { WORDS = 4, COLUMNS = 44, EXPRESSION = 132 };

/* ---- text ---- */

/* For HTML-like labels and quoted strings alike: no character that means something to either, no control character, valid UTF-8.
 */
static void add_escaped(anl_text *out, const char *text)
{
    size_t rest = strlen(text);
    while (rest) {
        size_t good = rest, bad = 0;
        if (!anl_utf8_valid(text, rest, &bad))
            good = bad;
        for (size_t i = 0; i < good; i++) {
            unsigned char c = (unsigned char)text[i];
            if (strchr("&<>\"\\[]{}|", c) || c < 0x20 || c == 0x7f)
                anl_text_printf(out, "&#%d;", c < 0x20 || c == 0x7f ? ' ' : c);
            else
                anl_text_addn(out, text + i, 1);
        }
        text += good;
        rest -= good;
        if (rest) { /* the byte that is not UTF-8 */
            anl_text_add(out, "&#65533;");
            text++;
            rest--;
        }
    }
}

static void add_count(anl_text *out, int64_t n)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < length; i++)
        anl_text_printf(out, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", digits[i]);
}

/* Small text. colour NULL: grey. */
static void add_piece(anl_text *out, const char *text, const char *colour)
{
    anl_text_printf(out, "<font point-size=\"9\" color=\"%s\">", colour ? colour : "#555555");
    add_escaped(out, text);
    anl_text_add(out, "</font>");
}

/* … on a line of its own. */
static void add_line(anl_text *out, const char *text, const char *colour)
{
    if (out->length)
        anl_text_add(out, "<br/>");
    add_piece(out, text, colour);
}

static void add_title(anl_text *out, const char *text)
{
    anl_text_add(out, "<b>");
    add_escaped(out, text);
    anl_text_add(out, "</b>");
}

/* Broken after blanks, where lines get long. */
static void add_wrapped(drawing *d, anl_text *out, const char *text, const char *colour)
{
    while (*text) {
        size_t length = strlen(text), cut = length;
        if (length > COLUMNS)
            for (cut = COLUMNS; cut > COLUMNS / 3 && text[cut - 1] != ' ';)
                cut--;
        while (length > COLUMNS && cut <= COLUMNS / 3 && text[cut] && text[cut] != ' ') /* nowhere to break: at the next blank */
            cut++;
        add_line(out, anl_arena_copy(d->arena, text, cut), colour);
        text += cut;
        text += strspn(text, " ");
    }
}

/* ---- what is said about a box ---- */

static bool is_in(const draw_group *g, const draw_group *group)
{
    while (g && g != group)
        g = g->parent;
    return g != NULL;
}

/* The weights and states that the boxes of a group read. */
static const anl_state *const *states_of(const drawing *d, const draw_group *group, int *count)
{
    const anl_state **list = NULL;
    int capacity = 0;
    *count = 0;
    for (int i = 0; i < d->box_count; i++)
        for (int k = 0; is_in(d->boxes[i].group, group) && k < d->boxes[i].state_count; k++) {
            const anl_state *s = d->boxes[i].states[k];
            bool known = false;
            for (int m = 0; m < *count; m++)
                known = known || list[m] == s;
            if (!known)
                ANL_PUSH(d->arena, list, *count, capacity, s);
        }
    return list;
}

/* Their number. Shared ones belong to a module that was drawn before: in another box, or in another group where one is given. */
static const char *weights_text(drawing *d, const anl_state *const *states, int count, const draw_box *box,
                                const draw_group *group)
{
    static const char *const words[] = {" weights", " shared weights", " of state"};
    int64_t numbers[3] = {0};
    for (int i = 0; i < count; i++) {
        int64_t size = 1;
        for (int k = 0; k < states[i]->rank; k++)
            size *= states[i]->axes[k].size;
        const draw_box *owner = &d->boxes[d->owner[states[i]->id]];
        bool shared = group ? !is_in(owner->group, group) : owner != box;
        numbers[states[i]->kind == ANL_STATE_OTHER ? 2 : shared] += size;
    }
    anl_text line = {0};
    for (int i = 0; i < 3; i++) {
        if (!numbers[i])
            continue;
        anl_text_add(&line, line.length ? ", " : "");
        add_count(&line, numbers[i]);
        anl_text_add(&line, words[i]);
    }
    const char *text = anl_arena_text(d->arena, line.data ? line.data : "");
    anl_text_free(&line);
    return text;
}

static void add_weights(drawing *d, anl_text *out, const draw_box *box)
{
    const char *text = weights_text(d, box->states, box->state_count, box, NULL);
    if (*text)
        add_line(out, text, NULL);
}

/* How often a module is called here: as often as the least read of its weights is read. */
static int calls_of(const drawing *d, const draw_group *group, const anl_state *const *states, int count)
{
    int *reads = ANL_NEW_ARRAY(d->arena, int, d->traced->graph->state_count + 1), calls = 0;
    for (int i = 0; i < d->box_count; i++)
        for (int k = 0; is_in(d->boxes[i].group, group) && k < d->boxes[i].node_count; k++)
            for (int m = 0; m < d->boxes[i].nodes[k]->input_count; m++)
                if (d->boxes[i].nodes[k]->inputs[m]->op == ANL_OP_STATE)
                    reads[d->boxes[i].nodes[k]->inputs[m]->attrs.state->id]++;
    for (int i = 0; i < count; i++)
        if (states[i]->kind != ANL_STATE_OTHER && (!calls || reads[states[i]->id] < calls))
            calls = reads[states[i]->id];
    return calls;
}

static const char *over_text(drawing *d, const anl_node *n)
{
    const char *text = "";
    for (int i = 0; i < n->attrs.over_count; i++)
        text = anl_arena_printf(d->arena, "%s%s%s", text, i ? ", " : "", anl_graph_axis_name(d->traced->graph, n->attrs.over[i]));
    return text;
}

static const char *kernel_text(drawing *d, const anl_node *n)
{
    const char *text = "convolve ";
    int stride = 1, dilation = 1;
    for (int i = 0; i < n->attrs.slide_count; i++) {
        const anl_slide *s = &n->attrs.slide[i];
        text = anl_arena_printf(d->arena, "%s%s%d", text, i ? "×" : "", s->tap_size);
        stride = s->stride > stride ? s->stride : stride;
        dilation = s->dilation > dilation ? s->dilation : dilation;
    }
    if (stride > 1)
        text = anl_arena_printf(d->arena, "%s, stride %d", text, stride);
    return dilation > 1 ? anl_arena_printf(d->arena, "%s, dilation %d", text, dilation) : text;
}

/* Whether an input with all of the node's axes comes from another box. */
static bool from_elsewhere(const drawing *d, const anl_node *n, int input)
{
    int box = d->box_of[n->inputs[input]->id];
    return box >= 0 && box != d->box_of[n->id] && n->inputs[input]->rank == n->rank;
}

/* What a person would call the operation; NULL for arithmetic and for what only moves. */
static const char *word_of(drawing *d, const anl_node *n)
{
    double bound;
    switch (n->op) {
    case ANL_OP_SCALAR:
        switch (n->attrs.scalar) {
        case ANL_S_MAXIMUM:
            return anl_walk_constant(n->inputs[1], &bound) && bound == 0 ? "relu" : "maximum";
        case ANL_S_ADD: /* where ways meet, as at the end of a residual block */
            return from_elsewhere(d, n, 0) && from_elsewhere(d, n, 1) ? "add" : NULL;
        case ANL_S_NEGATE:
        case ANL_S_SUB:
        case ANL_S_MUL:
        case ANL_S_DIV:
        case ANL_S_CAST:
            return NULL;
        default:
            return anl_scalar_name(n->attrs.scalar);
        }
    case ANL_OP_STOP_GRADIENT:
        return "stop_gradient";
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_MEAN:
        if (n->inputs[0]->op == ANL_OP_WINDOWS)
            return n->op == ANL_OP_MAX ? "max_pool" : "mean_pool";
        __attribute__((fallthrough));
    case ANL_OP_ARGMAX:
    case ANL_OP_LOGSUMEXP:
    case ANL_OP_VARIANCE:
        return anl_arena_printf(d->arena, "%s over %s", anl_op_describe(n->op)->name, over_text(d, n));
    case ANL_OP_CONTRACT:
        return n->attrs.slide_count ? kernel_text(d, n) : anl_arena_printf(d->arena, "dot over %s", over_text(d, n));
    case ANL_OP_REPLICATE:
        return anl_arena_printf(d->arena, "replicate %s %d", anl_graph_axis_name(d->traced->graph, n->attrs.axis[0]),
                                anl_node_size(n, n->attrs.axis[0]));
    case ANL_OP_CONCAT:
        return anl_arena_printf(d->arena, "%s %s", anl_op_describe(n->op)->name,
                                anl_graph_axis_name(d->traced->graph, n->attrs.axis[0]));
    case ANL_OP_GATHER:
    case ANL_OP_TOP_K:
        return anl_op_describe(n->op)->name;
    default:
        return NULL;
    }
}

/* Of operations that have no name of their own: the words for them, at most a few; then what little there is. */
static const char *words_of(drawing *d, const draw_box *box, int *number)
{
    const char *words[WORDS + 1], *text = "";
    int count = 0;
    for (int i = 0; i < box->node_count; i++) {
        const char *word = word_of(d, box->nodes[i]);
        bool known = !word;
        for (int k = 0; k < count; k++)
            known = known || !strcmp(words[k], word);
        if (!known && count <= WORDS) {
            words[count] = count == WORDS ? "…" : word;
            count++;
        }
    }
    *number = count;
    for (int i = 0; i < box->node_count && !count; i++) {
        const anl_node *n = box->nodes[i];
        if (n->op == ANL_OP_SCALAR && n->attrs.scalar != ANL_S_CAST)
            words[count++] = i + 1 == box->node_count ? anl_scalar_name(n->attrs.scalar) : "arithmetic";
        else if (i + 1 == box->node_count)
            words[count++] = anl_op_describe(n->op)->name;
    }
    for (int i = 0; i < count; i++)
        text = anl_arena_printf(d->arena, "%s%s%s", text, i ? ", " : "", words[i]);
    return text;
}

/* One kind of convolution by its kernel, several by their number. */
static const char *contractions_of(drawing *d, const draw_box *box)
{
    const char *one = NULL;
    int count = 0;
    const anl_state **seen = ANL_NEW_ARRAY(d->arena, const anl_state *, box->node_count + 1);
    for (int i = 0; i < box->node_count; i++) {
        const anl_node *n = box->nodes[i];
        const anl_node *weight = n->op == ANL_OP_CONTRACT ? anl_walk_moved(n->inputs[1]) : NULL;
        if (!weight || weight->op != ANL_OP_STATE || !n->attrs.slide_count)
            continue;
        bool known = false;
        for (int k = 0; k < count; k++)
            known = known || seen[k] == weight->attrs.state;
        if (known)
            continue;
        seen[count++] = weight->attrs.state;
        one = kernel_text(d, n);
    }
    return count > 1 ? anl_arena_printf(d->arena, "%d convolutions", count) : one;
}

static bool printable(const anl_expression *e)
{
    if (!e)
        return true;
    if (e->kind == ANL_E_PIPELINE || e->kind == ANL_E_REPEAT || e->kind == ANL_E_STEP || e->kind == ANL_E_MAPPING ||
        e->kind == ANL_E_ERROR)
        return false;
    for (int i = 0; i < e->item_count; i++)
        if (!printable(e->items[i]))
            return false;
    for (int i = 0; i < e->argument_count; i++)
        if (!printable(e->arguments[i].value))
            return false;
    return printable(e->start) && printable(e->stop);
}

/* The expression as text, a pipeline by the names of its steps. NULL where it has none or is too long to be read at a glance. */
static const char *expression_text(drawing *d, const anl_expression *e)
{
    if (!e)
        return NULL;
    const bool steps = e->kind == ANL_E_PIPELINE;
    anl_text text = {0};
    bool good = true;
    for (int i = 0; good && i < (steps ? e->item_count : 1); i++) {
        const anl_expression *item = steps ? e->items[i] : e;
        anl_text_add(&text, i ? " → " : "");
        if (item->kind == ANL_E_REPEAT)
            anl_text_add(&text, "repeat");
        else if ((good = printable(item->kind == ANL_E_STEP ? item->items[0] : item)))
            anl_expression_print(item->kind == ANL_E_STEP ? item->items[0] : item, &text);
    }
    const char *copy = good && text.length <= EXPRESSION ? anl_arena_text(d->arena, text.data) : NULL;
    anl_text_free(&text);
    return copy;
}

static const anl_loss *loss_named(const drawing *d, const char *name)
{
    for (int i = 0; i < d->recipe->loss_count; i++)
        if (!strcmp(d->recipe->losses[i].name, name))
            return &d->recipe->losses[i];
    return NULL;
}

/* What the spec says behind the name. */
static const char *expression_of(drawing *d, const char *name, draw_kind kind)
{
    const anl_recipe *r = d->recipe;
    for (int i = 0; kind == DRAW_VIEW && i < r->view_count; i++)
        if (!strcmp(r->views[i].name, name))
            return expression_text(d, r->views[i].value);
    for (int i = 0; kind == DRAW_NODE && i < r->node_count; i++)
        if (!strcmp(r->nodes[i].name, name))
            return expression_text(d, r->nodes[i].value);
    return kind == DRAW_LOSS && loss_named(d, name) ? expression_text(d, loss_named(d, name)->value) : NULL;
}

/* NULL: the loss has none. */
static const char *loss_weight_text(drawing *d, const char *name)
{
    const anl_loss *loss = loss_named(d, name);
    if (!loss || !loss->weight)
        return NULL;
    const char *weight = expression_text(d, loss->weight);
    return anl_arena_printf(d->arena, "weight: %s", weight ? weight : "scheduled");
}

static void add_loss_weight(drawing *d, anl_text *out, const char *name)
{
    const char *text = loss_weight_text(d, name);
    if (text)
        add_wrapped(d, out, text, colours[DRAW_LOSS].line);
}

/* The parts below `top` that lead to `group`: "a.b". */
static const char *path_below(drawing *d, const draw_group *top, const draw_group *group)
{
    const char *text = "";
    for (; group != top; group = group->parent)
        text = anl_arena_printf(d->arena, "%s%s%s", group->name, *text ? "." : "", text);
    return text;
}

/* A number of like parts, "0", "1", …: 0 where they have names. */
static int blocks_of(const draw_group *g)
{
    for (int i = 0; i < g->child_count; i++)
        if (!strchr("0123456789", g->children[i]->name[0]) || !g->children[i]->contracts)
            return 0;
    return g->child_count;
}

static const char *copy_text(drawing *d, const anl_module *module)
{
    const char *rule = module->update ? expression_text(d, module->update) : NULL;
    return anl_arena_printf(d->arena, "copy of %s%s%s", module->copy, rule ? ": " : "", rule ? rule : "");
}

/* The module that the groups from `group` up to `top` are a copy in, or NULL. */
static const anl_module *copied_in(const draw_group *top, const draw_group *group)
{
    for (; group->depth && group->depth >= top->depth; group = group->parent)
        if (group->copied)
            return group->copied;
    return NULL;
}

static void describe_operations(drawing *d, const draw_box *box, anl_text *out)
{
    const draw_group *g = box->group, *top = NULL;
    for (const draw_group *at = g; at->depth; at = at->parent)
        if (at->boxes == 1)
            top = at;
    if (!top && !draw_open(d, g)) /* several boxes of one function, apart because something lies between them */
        top = g;
    int words; /* of operations that have names */
    const char *operations = words_of(d, box, &words);
    if (!top) {
        add_wrapped(d, out, operations, "#222222");
    } else {
        const char *below = path_below(d, top, g), *says = top->depth == 1 ? expression_of(d, top->name, box->kind) : NULL;
        const char *contractions = contractions_of(d, box);
        if (box->kind == DRAW_LOSS && top->depth == 1)
            add_piece(out, "loss\u00a0", colours[DRAW_LOSS].line);
        add_title(out, blocks_of(g) > 1 ? anl_arena_printf(d->arena, "%s ×%d", top->name, blocks_of(g)) : top->name);
        if (says)
            add_wrapped(d, out, says, NULL);
        else if (*below)
            add_line(out, below, NULL);
        if (contractions)
            add_line(out, contractions, NULL);
        else if (!says && !*below && !box->state_count && !g->child_count && (top->depth == 1 || words == 1))
            add_wrapped(d, out, operations, NULL);
        if (box->kind == DRAW_LOSS)
            add_loss_weight(d, out, top->name);
        if (copied_in(top, g))
            add_wrapped(d, out, copy_text(d, copied_in(top, g)), colours[DRAW_STATE].line);
    }
    add_weights(d, out, box);
    if (box->draws)
        add_line(out, anl_arena_printf(d->arena, "%d draw%s", box->draws, box->draws == 1 ? "" : "s"), "#a05a00");
}

static void write_box(drawing *d, const draw_box *box, anl_text *out, int indent)
{
    anl_text label = {0};
    if (box->group) {
        describe_operations(d, box, &label);
    } else {
        if (box->kind == DRAW_LOSS || box->kind == DRAW_METRIC)
            add_piece(&label, box->kind == DRAW_LOSS ? "loss\u00a0" : "metric\u00a0", colours[box->kind].line);
        add_title(&label, box->name);
        const anl_state *state = box->kind == DRAW_STATE ? anl_graph_find_state(d->traced->graph, box->name) : NULL;
        const char *axes = state ? draw_axes(d, state->axes, state->rank) : "";
        if (*axes)
            add_line(&label, axes, NULL);
        if (box->say)
            add_line(&label, box->say, NULL);
        if (box->kind == DRAW_LOSS)
            add_loss_weight(d, &label, box->name);
        add_weights(d, &label, box);
    }
    const char *shape = box->kind == DRAW_STATE                                               ? "cylinder"
                        : !box->group && (box->kind == DRAW_LOSS || box->kind == DRAW_METRIC) ? "ellipse"
                        : box->kind == DRAW_FIELD                                             ? "folder"
                        : box->kind == DRAW_WEIGHTS                                           ? "component"
                                                                                              : "box";
    bool end = box->ends || (!box->group && box->kind == DRAW_LOSS);
    anl_text_printf(out, "%*sbox%d [shape=%s, style=\"filled%s\", fillcolor=\"%s\", color=\"%s\"%s%s, label=<%s>", indent, "",
                    (int)(box - d->boxes), shape,
                    !strcmp(shape, "box") ? copied_in(d->root, box->group) ? ",rounded,dashed" : ",rounded" : "",
                    colours[box->kind].box, colours[box->kind].line, end ? ", peripheries=2" : "",
                    box->draws ? ", penwidth=1.6" : "", label.data);
    if (box->node_count && box->group) {
        const anl_node *n = box->nodes[0];
        anl_text_add(out, ", tooltip=\"");
        add_escaped(out, n->path);
        if (n->span.line)
            add_escaped(out, anl_arena_printf(d->arena, " (%s:%d)", n->span.file, n->span.line));
        anl_text_add(out, "\"");
    }
    anl_text_add(out, "];\n");
    anl_text_free(&label);
}

/* ---- edges ---- */

static const char *colour_of(const drawing *d, const draw_edge *e)
{
    return e->stopped ? "#c0281c" : e->gradient || d->evaluate ? "#222222" : "#9a9a9a";
}

/* The innermost cluster around both ends. */
static const draw_group *around(const drawing *d, const draw_edge *e)
{
    for (const draw_group *g = d->boxes[e->from].group; g; g = g->parent)
        for (const draw_group *other = d->boxes[e->to].group; other && (g->boxes > 1 || !g->depth); other = other->parent)
            if (g == other)
                return g;
    return d->root;
}

/* What flows along an edge stands in the edge, as a node without a border: Graphviz keeps such nodes inside of their cluster and
 * clear of all lines, which it does not for labels. */
static void write_flow(drawing *d, const draw_edge *e, anl_text *out, int indent)
{
    anl_text label = {0};
    if (e->stopped)
        add_line(&label, "stop_gradient", "#c0281c");
    for (int i = 0; i < e->label_count; i++)
        add_line(&label, e->labels[i], NULL);
    if (label.length)
        anl_text_printf(out, "%*sflow%d [shape=none, margin=\"0.02,0.01\", height=0.1, label=<%s>];\n", indent, "",
                        (int)(e - d->edges), label.data);
    anl_text_free(&label);
}

static void write_edge(const drawing *d, const draw_edge *e, anl_text *out)
{
    const char *constraint = e->later ? e->back ? ", style=dashed, constraint=false" : ", style=dashed" : "";
    const char *tail = e->stopped ? "tee" : "none";
    if (!e->stopped && !e->label_count) {
        anl_text_printf(out, "  box%d -> box%d [color=\"%s\"%s];\n", e->from, e->to, colour_of(d, e), constraint);
        return;
    }
    anl_text_printf(out, "  box%d -> flow%d [color=\"%s\", dir=both, arrowhead=none, arrowtail=%s%s];\n", e->from,
                    (int)(e - d->edges), colour_of(d, e), tail, constraint);
    anl_text_printf(out, "  flow%d -> box%d [color=\"%s\"%s];\n", (int)(e - d->edges), e->to, colour_of(d, e), constraint);
}

static void write_copy(const draw_copy *c, anl_text *out)
{
    anl_text_printf(out, "  box%d -> box%d [style=dashed, constraint=false, color=\"%s\"", c->from, c->to,
                    colours[DRAW_STATE].line);
    if (c->from_group && c->from_group->cluster >= 0)
        anl_text_printf(out, ", ltail=cluster%d", c->from_group->cluster);
    if (c->to_group && c->to_group->cluster >= 0)
        anl_text_printf(out, ", lhead=cluster%d", c->to_group->cluster);
    anl_text_add(out, "];\n");
}

/* ---- clusters ---- */

static void write_group(drawing *d, draw_group *g, anl_text *out, int *clusters);

/* The boxes of a group and the groups in it, in the order of the spec's dataflow. */
static void write_members(drawing *d, draw_group *g, anl_text *out, int *clusters)
{
    bool *told = ANL_NEW_ARRAY(d->arena, bool, g->child_count + 1);
    int box = 0;
    for (;;) {
        while (box < d->box_count && (d->boxes[box].through || d->boxes[box].group != g))
            box++;
        int child = -1;
        for (int i = 0; i < g->child_count; i++)
            if (!told[i] && g->children[i]->boxes && (child < 0 || g->children[i]->first->id < g->children[child]->first->id))
                child = i;
        if (box == d->box_count && child < 0)
            break;
        if (child < 0 || (box < d->box_count && d->boxes[box].nodes[0]->id < g->children[child]->first->id)) {
            write_box(d, &d->boxes[box++], out, 2 + 2 * g->depth);
        } else {
            told[child] = true;
            write_group(d, g->children[child], out, clusters);
        }
    }
    for (int i = 0; i < d->edge_count; i++)
        if (around(d, &d->edges[i]) == g)
            write_flow(d, &d->edges[i], out, 2 + 2 * g->depth);
}

static void write_group(drawing *d, draw_group *g, anl_text *out, int *clusters)
{
    if (g->boxes == 1) { /* as that box, which says of what it is */
        for (int i = 0; i < d->box_count; i++)
            for (const draw_group *at = d->boxes[i].through ? NULL : d->boxes[i].group; at; at = at->parent)
                if (at == g)
                    write_box(d, &d->boxes[i], out, 2 * g->depth);
        return;
    }
    draw_kind kind = draw_kind_of(d, g);
    int count, indent = 2 * g->depth;
    anl_text label = {0};
    const anl_state *const *states = states_of(d, g, &count);
    if (g->depth == 1 && kind == DRAW_LOSS)
        add_piece(&label, "loss\u00a0", colours[DRAW_LOSS].line);
    add_title(&label, g->name);
    const char *weights = g->depth > 1 ? weights_text(d, states, count, NULL, g) : "";
    const char *weight = g->depth == 1 && kind == DRAW_LOSS ? loss_weight_text(d, g->name) : NULL;
    int calls = g->depth == 2 ? calls_of(d, g, states, count) : 0;
    if (*weights)
        add_piece(&label, anl_arena_printf(d->arena, "\u00a0\u00a0%s", weights), NULL);
    if (calls > 1)
        add_piece(&label, anl_arena_printf(d->arena, ", %d calls", calls), NULL);
    if (weight)
        add_piece(&label, anl_arena_printf(d->arena, "\u00a0\u00a0%s", weight), colours[DRAW_LOSS].line);
    if (g->copied)
        add_piece(&label, anl_arena_printf(d->arena, "\u00a0\u00a0%s", copy_text(d, g->copied)), colours[DRAW_STATE].line);
    g->cluster = (*clusters)++;
    anl_text_printf(out,
                    "%*ssubgraph cluster%d {\n%*s  graph [style=\"filled,rounded%s\", fillcolor=\"%s\", color=\"%s\", "
                    "labeljust=l, label=<%s>];\n",
                    indent, "", g->cluster, indent, "", g->copied ? ",dashed" : "",
                    g->depth % 2 ? colours[kind].cluster : "#ffffff", colours[kind].line, label.data);
    anl_text_free(&label);
    write_members(d, g, out, clusters);
    anl_text_printf(out, "%*s}\n", indent, "");
}

void draw_write(drawing *d, FILE *out)
{
    anl_text text = {0}, label = {0};
    int clusters = 0;
    const char *when = d->evaluate ? "evaluation" : d->step > 0 ? "training, last phase" : "training";
    if (d->recipe->title) {
        anl_text_add(&label, "<font point-size=\"14\">");
        add_title(&label, d->recipe->title);
        anl_text_add(&label, "</font>");
    }
    add_line(&label,
             anl_arena_printf(d->arena, "%s, batch %d%s", when, d->traced->batch,
                              d->evaluate ? "" : "; black: gradients flow back, grey: none do, dashed: at the end of the step"),
             NULL);
    anl_text_printf(&text,
                    "digraph anlage {\n"
                    "  graph [label=<%s<br/>>, labelloc=t, fontname=\"Helvetica\", fontsize=11, compound=true, nodesep=0.3, "
                    "ranksep=0.2];\n"
                    "  node [fontname=\"Helvetica\", fontsize=11, margin=\"0.12,0.06\", height=0.3];\n"
                    "  edge [fontname=\"Helvetica\", fontsize=9, arrowsize=0.6];\n",
                    label.data);
    for (int i = 0; i < d->box_count; i++)
        if (!d->boxes[i].group)
            write_box(d, &d->boxes[i], &text, 2);
    write_members(d, d->root, &text, &clusters);
    for (int i = 0; i < d->edge_count; i++)
        write_edge(d, &d->edges[i], &text);
    for (int i = 0; i < d->copy_count; i++)
        write_copy(&d->copies[i], &text);
    anl_text_add(&text, "}\n");
    fputs(text.data, out);
    anl_text_free(&label);
    anl_text_free(&text);
}
