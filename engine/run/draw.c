/* Drawing a spec: which boxes there are, and what flows between them.
 * In: a spec file, overrides, how deep. Out: a drawing, written by draw_dot.c.
 * Nodes that stand one after the other under the same path are one box; boxes of one path are joined where no way leads from one
 * through another box to the other, so that the two calls of a shared module are drawn once and no drawing has a loop. */
#include "run/draw.h"

#include <anlage/diagnostic_codes.h>
#include <math.h>
#include <string.h>

#include "base/folders.h"
#include "lint/walk.h"
#include "spec/overrides.h"

enum { DEPTH = 3, LABELS = 3 };

/* ---- groups ---- */

static draw_group *child_of(drawing *d, draw_group *parent, const char *name, size_t length)
{
    for (int i = 0; i < parent->child_count; i++)
        if (strlen(parent->children[i]->name) == length && !memcmp(parent->children[i]->name, name, length))
            return parent->children[i];
    draw_group *g = ANL_NEW(d->arena, draw_group);
    *g =
        (draw_group){.name = anl_arena_copy(d->arena, name, length), .parent = parent, .depth = parent->depth + 1, .cluster = -1};
    for (int i = 0; i < d->recipe->module_count; i++)
        if (d->recipe->modules[i].copy && !strcmp(d->recipe->modules[i].name, g->name))
            g->copied = &d->recipe->modules[i];
    ANL_PUSH(d->arena, parent->children, parent->child_count, parent->child_capacity, g);
    return g;
}

/* The group of a whole path, or the deepest one that is drawn apart. */
static draw_group *group_of(drawing *d, const char *path, bool whole)
{
    draw_group *g = d->root;
    while (*path && (whole || draw_open(d, g))) {
        size_t length = strcspn(path, ".");
        g = child_of(d, g, path, length);
        path += length + (path[length] == '.');
    }
    return g;
}

bool draw_open(const drawing *d, const draw_group *group)
{
    return group->depth < (group->weights ? d->depth : d->depth - 1) || group->depth == 0;
}

draw_kind draw_kind_of(const drawing *d, const draw_group *group)
{
    while (group->depth > 1)
        group = group->parent;
    const anl_recipe *r = d->recipe;
    for (int i = 0; i < r->view_count; i++)
        if (!strcmp(r->views[i].name, group->name))
            return DRAW_VIEW;
    for (int i = 0; i < r->node_count; i++)
        if (!strcmp(r->nodes[i].name, group->name))
            return DRAW_NODE;
    for (int i = 0; i < r->loss_count; i++)
        if (!strcmp(r->losses[i].name, group->name))
            return DRAW_LOSS;
    for (int i = 0; i < r->metric_count; i++)
        if (!strcmp(r->metrics[i].name, group->name))
            return DRAW_METRIC;
    return DRAW_OTHER;
}

bool draw_state_named(const drawing *d, const anl_state *state)
{
    for (int i = 0; i < d->recipe->state_count; i++)
        if (!strcmp(d->recipe->states[i].name, state->path))
            return true;
    return false;
}

/* ---- what is drawn ---- */

static bool is_draw(const anl_node *n) { return n->op == ANL_OP_UNIFORM || n->op == ANL_OP_NORMAL; }

/* Elements of one input, elsewhere or under other names: no box of its own among others. */
static bool only_moves(const anl_node *n)
{
    switch (n->op) {
    case ANL_OP_STOP_GRADIENT:
    case ANL_OP_RENAME:
    case ANL_OP_TRANSPOSE:
    case ANL_OP_SLICE:
    case ANL_OP_SPLIT:
    case ANL_OP_MERGE:
        return true;
    default:
        return n->op == ANL_OP_SCALAR && n->attrs.scalar == ANL_S_CAST;
    }
}

/* By id: all that leads to losses, metrics and new values of the spec's own states and says something: what follows from
 * constants alone does not. */
static bool *shown_nodes(drawing *d)
{
    const anl_graph *graph = d->traced->graph;
    const anl_node **ends = NULL;
    int count = 0, capacity = 0;
    for (int i = 0; i < d->traced->loss_count; i++)
        ANL_PUSH(d->arena, ends, count, capacity, d->traced->losses[i].value);
    for (int i = 0; i < graph->output_count; i++)
        if (!d->traced->loss_count || !strncmp(graph->outputs[i].name, "metric.", 7))
            ANL_PUSH(d->arena, ends, count, capacity, graph->outputs[i].node);
    for (int i = 0; i < graph->state_count; i++)
        if (graph->states[i]->update && draw_state_named(d, graph->states[i]))
            ANL_PUSH(d->arena, ends, count, capacity, graph->states[i]->update);
    bool *shown = anl_walk_behind(d->arena, graph, ends, count, ANL_WAYS_VALUES);
    bool *says = ANL_NEW_ARRAY(d->arena, bool, graph->node_count + 1);
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        says[i] = n->op == ANL_OP_FIELD || n->op == ANL_OP_STATE || n->op == ANL_OP_STEP || is_draw(n);
        for (int k = 0; k < n->input_count; k++)
            says[i] = says[i] || says[n->inputs[k]->id];
        shown[i] = shown[i] && says[i];
    }
    return shown;
}

static int new_box(drawing *d, draw_kind kind, draw_group *group, const char *name)
{
    draw_box box = {.kind = kind, .group = group, .name = name};
    ANL_PUSH(d->arena, d->boxes, d->box_count, d->box_capacity, box);
    return d->box_count - 1;
}

static int named_box(drawing *d, draw_kind kind, const char *name)
{
    for (int i = 0; i < d->box_count; i++)
        if (d->boxes[i].kind == kind && !d->boxes[i].group && !strcmp(d->boxes[i].name, name))
            return i;
    return new_box(d, kind, NULL, name);
}

/* The box of a field, or of its mask, by the name that the spec sees; -1: no such name. */
static int field_box(drawing *d, const char *name)
{
    for (int i = 0; i < d->recipe->source_count; i++)
        for (int k = 0; k < d->recipe->sources[i].field_count; k++) {
            const anl_field_declaration *f = &d->recipe->sources[i].fields[k];
            bool mask = f->mask && !strcmp(f->mask, name);
            if (!mask && strcmp(f->name, name))
                continue;
            int box = named_box(d, DRAW_FIELD, name);
            d->boxes[box].say = mask ? anl_arena_printf(d->arena, "where %s is known", f->name) : f->modality;
            return box;
        }
    return -1;
}

/* The state whose new value a node belongs to: its path begins with the state's name. */
static const anl_state *state_of_path(const drawing *d, const char *path)
{
    size_t length = strcspn(path, ".");
    for (int i = 0; i < d->recipe->state_count; i++)
        if (strlen(d->recipe->states[i].name) == length && !memcmp(d->recipe->states[i].name, path, length))
            return anl_graph_find_state(d->traced->graph, d->recipe->states[i].name);
    return NULL;
}

/* ---- boxes: first what stands together, then what may be joined ---- */

typedef struct joining {
    int *into;   /* by box: where it went; itself, while it stands */
    int **after; /* by box: the boxes that it leads to (before joining) */
    int *after_count, *after_capacity;
    int **members; /* by box: the boxes in it */
    int *member_count, *member_capacity;
    int *mark, *stack;
    int turn;
} joining;

/* Whether a way leads from a to b through at least one other box. */
static bool leads_around(joining *j, int a, int b)
{
    int depth = 0;
    j->turn++;
    j->mark[a] = j->turn;
    j->stack[depth++] = a;
    while (depth) {
        int at = j->stack[--depth];
        for (int m = 0; m < j->member_count[at]; m++) {
            int member = j->members[at][m];
            for (int i = 0; i < j->after_count[member]; i++) {
                int next = j->into[j->after[member][i]];
                if (next == b && at != a)
                    return true;
                if (next == b || j->mark[next] == j->turn)
                    continue;
                j->mark[next] = j->turn;
                j->stack[depth++] = next;
            }
        }
    }
    return false;
}

static void join_boxes(drawing *d)
{
    anl_arena *arena = d->arena;
    const anl_graph *graph = d->traced->graph;
    int count = d->box_count;
    joining j = {.into = ANL_NEW_ARRAY(arena, int, count + 1),
                 .after = ANL_NEW_ARRAY(arena, int *, count + 1),
                 .after_count = ANL_NEW_ARRAY(arena, int, count + 1),
                 .after_capacity = ANL_NEW_ARRAY(arena, int, count + 1),
                 .members = ANL_NEW_ARRAY(arena, int *, count + 1),
                 .member_count = ANL_NEW_ARRAY(arena, int, count + 1),
                 .member_capacity = ANL_NEW_ARRAY(arena, int, count + 1),
                 .mark = ANL_NEW_ARRAY(arena, int, count + 1),
                 .stack = ANL_NEW_ARRAY(arena, int, count + 1)};
    for (int i = 0; i < count; i++) {
        j.into[i] = i;
        ANL_PUSH(arena, j.members[i], j.member_count[i], j.member_capacity[i], i);
    }
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->input_count; k++) {
            int from = d->box_of[graph->nodes[i]->inputs[k]->id], to = d->box_of[i];
            if (from < 0 || to < 0 || from == to || d->boxes[to].kind == DRAW_STATE) /* what a state becomes is no way on */
                continue;
            if (!j.after_count[from] || j.after[from][j.after_count[from] - 1] != to)
                ANL_PUSH(arena, j.after[from], j.after_count[from], j.after_capacity[from], to);
        }
    for (int b = 0; b < count; b++)
        for (int a = 0; a < b; a++) {
            if (d->boxes[b].group == NULL || d->boxes[a].group != d->boxes[b].group || j.into[a] != a || leads_around(&j, a, b) ||
                leads_around(&j, b, a))
                continue;
            j.into[b] = a;
            ANL_PUSH(arena, j.members[a], j.member_count[a], j.member_capacity[a], b);
            break;
        }
    int *number = ANL_NEW_ARRAY(arena, int, count + 1), kept = 0;
    for (int i = 0; i < count; i++)
        if (j.into[i] == i) {
            number[i] = kept;
            d->boxes[kept++] = d->boxes[i];
        }
    d->box_count = kept;
    for (int i = 0; i < graph->node_count; i++)
        if (d->box_of[i] >= 0)
            d->box_of[i] = number[j.into[d->box_of[i]]];
}

static void make_boxes(drawing *d, const bool *shown)
{
    const anl_graph *graph = d->traced->graph;
    int last = -1;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        d->box_of[i] = -1;
        if (!shown[i])
            continue;
        const anl_state *becomes = n->op == ANL_OP_STATE ? NULL : state_of_path(d, n->path);
        int field = field_box(d, n->path);
        if (field >= 0)
            d->box_of[i] = field;
        else if (n->op == ANL_OP_FIELD)
            d->box_of[i] = named_box(d, DRAW_FIELD, n->attrs.name);
        else if (n->op == ANL_OP_STATE && draw_state_named(d, n->attrs.state))
            d->box_of[i] = named_box(d, DRAW_STATE, n->attrs.state->path);
        else if (becomes)
            d->box_of[i] = named_box(d, DRAW_STATE, becomes->path);
        else if (n->op != ANL_OP_STATE) {
            draw_group *g = group_of(d, n->path, false);
            if (last < 0 || d->boxes[last].group != g)
                last = new_box(d, draw_kind_of(d, g), g, NULL);
            d->box_of[i] = last;
        }
    }
    join_boxes(d);
    for (int i = 0; i < graph->node_count; i++) {
        if (d->box_of[i] < 0)
            continue;
        draw_box *box = &d->boxes[d->box_of[i]];
        ANL_PUSH(d->arena, box->nodes, box->node_count, box->node_capacity, graph->nodes[i]);
        box->draws += is_draw(graph->nodes[i]);
    }
}

/* ---- weights ---- */

static bool has_part(const char *path, const char *part, size_t length)
{
    for (; *path; path += strcspn(path, ".") + (path[strcspn(path, ".")] == '.'))
        if (strcspn(path, ".") == length && !memcmp(path, part, length))
            return true;
    return false;
}

/* Whether the state belongs where the node is computed; else the module is used as a value there, `prototypes()`. */
static bool owns(const anl_node *n, const anl_state *state) { return has_part(n->path, state->path, strcspn(state->path, ".")); }

static void add_state(drawing *d, int box, const anl_state *state)
{
    draw_box *b = &d->boxes[box];
    for (int i = 0; i < b->state_count; i++)
        if (b->states[i] == state)
            return;
    ANL_PUSH(d->arena, b->states, b->state_count, b->state_capacity, state);
}

/* Which box reads which weights. A module that is used as a value gets a box of its own. */
static void place_states(drawing *d)
{
    const anl_graph *graph = d->traced->graph;
    int *owner = ANL_NEW_ARRAY(d->arena, int, graph->state_count + 1);
    for (int i = 0; i < graph->state_count; i++)
        owner[i] = -1;
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; d->box_of[i] >= 0 && k < graph->nodes[i]->input_count; k++) {
            const anl_node *n = graph->nodes[i], *input = n->inputs[k];
            if (input->op != ANL_OP_STATE || draw_state_named(d, input->attrs.state))
                continue;
            const anl_state *state = input->attrs.state;
            int box = d->box_of[i];
            if (!owns(n, state)) {
                box = named_box(d, DRAW_WEIGHTS, anl_arena_copy(d->arena, state->path, strcspn(state->path, ".")));
                d->box_of[input->id] = box;
            }
            add_state(d, box, state);
            if (owner[state->id] < 0)
                owner[state->id] = box;
        }
    d->owner = owner;
}

static void count_boxes(drawing *d)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < d->box_count; i++) { /* all; then without those that are a part of an edge */
            draw_box *b = &d->boxes[i];
            if (pass == 1 && b->group && b->group->boxes > 1 && !b->state_count && !b->draws) {
                b->through = true;
                for (int k = 0; k < b->node_count; k++)
                    b->through = b->through && only_moves(b->nodes[k]);
            }
        }
        for (int i = 0; i < d->box_count; i++)
            for (draw_group *g = d->boxes[i].group; g; g = g->parent)
                g->boxes = 0;
        for (int i = 0; i < d->box_count; i++)
            for (draw_group *g = d->boxes[i].through ? NULL : d->boxes[i].group; g; g = g->parent) {
                g->boxes++;
                if (!g->first || d->boxes[i].nodes[0]->id < g->first->id)
                    g->first = d->boxes[i].nodes[0];
            }
    }
}

/* ---- edges ---- */

const char *draw_axes(const drawing *d, const anl_axis *axes, int rank)
{
    const char *text = "";
    for (int i = 0; i < rank; i++)
        text = anl_arena_printf(d->arena, "%s%s%s %d", text, i ? ", " : "", anl_graph_axis_name(d->traced->graph, axes[i].id),
                                axes[i].size);
    return text;
}

static const char *axes_text(const drawing *d, const anl_node *n)
{
    const bool state = n->op == ANL_OP_STATE; /* whose axes are those of the spec; a node has them as they lie in memory */
    return draw_axes(d, state ? n->attrs.state->axes : n->axes, n->rank);
}

static void add_edge(drawing *d, draw_edge edge, const char *label)
{
    draw_edge *e = NULL;
    for (int i = 0; i < d->edge_count && !e; i++) {
        draw_edge *other = &d->edges[i];
        if (other->from == edge.from && other->to == edge.to && other->stopped == edge.stopped && other->later == edge.later)
            e = other;
    }
    if (!e) {
        ANL_PUSH(d->arena, d->edges, d->edge_count, d->edge_capacity, edge);
        e = &d->edges[d->edge_count - 1];
    }
    e->gradient = e->gradient || edge.gradient;
    for (int i = 0; i < e->label_count; i++)
        if (!strcmp(e->labels[i], label))
            return;
    const char *told = e->label_count == LABELS ? "…" : label;
    if (*label && e->label_count <= LABELS)
        ANL_PUSH(d->arena, e->labels, e->label_count, e->label_capacity, told);
}

typedef struct ways {
    const bool *ahead, *behind; /* of weights that are trained; of losses: gradients flow where both are */
} ways;

/* Whether gradients end in this value or in what it merely moves, whether any would have come or not. */
static bool stops(const drawing *d, const anl_node *n, int box)
{
    for (; d->box_of[n->id] == box && only_moves(n) && !d->evaluate; n = n->inputs[0])
        if (n->op == ANL_OP_STOP_GRADIENT)
            return true;
    return false;
}

/* The edge to a node from what it is made of, through boxes that are a part of it. */
static void add_input(drawing *d, const ways *w, const anl_node *n, const anl_node *input)
{
    int to = d->box_of[n->id], from = d->box_of[input->id];
    bool stopped = n->op == ANL_OP_STOP_GRADIENT && !d->evaluate && d->boxes[to].kind != DRAW_STATE;
    const char *taken = "";
    const anl_node *at = input;
    for (; from >= 0 && d->boxes[from].through; from = d->box_of[at->id]) {
        stopped = stopped || stops(d, at, from);
        if (at->op == ANL_OP_SLICE && at->attrs.step == 1) {
            const char *axis = anl_graph_axis_name(d->traced->graph, at->attrs.axis[0]);
            taken = at->attrs.count == 1
                        ? anl_arena_printf(d->arena, "[%s=%d]", axis, at->attrs.start)
                        : anl_arena_printf(d->arena, "[%s=%d:%d]", axis, at->attrs.start, at->attrs.start + at->attrs.count);
        }
        at = at->inputs[0];
    }
    if (from < 0 || from == to || (at->op == ANL_OP_STATE && owns(n, at->attrs.state)))
        return;
    stopped = stopped || stops(d, at, from);
    draw_edge edge = {.from = from,
                      .to = to,
                      .stopped = stopped,
                      .later = d->boxes[to].kind == DRAW_STATE,
                      .gradient = !stopped && w->ahead[at->id] && w->behind[n->id] && anl_walk_passes(n, ANL_WAYS_GRADIENTS)};
    const char *axes = axes_text(d, input);
    add_edge(d, edge, *taken && *axes ? anl_arena_printf(d->arena, "%s  %s", taken, axes) : *taken ? taken : axes);
}

/* The value of a loss or metric, where it is not in a box of that name: to an end of its own. */
static void add_end(drawing *d, const ways *w, const anl_node *value, int end, const char *role)
{
    const anl_node *at = value;
    while (d->box_of[at->id] >= 0 && d->boxes[d->box_of[at->id]].through)
        at = at->inputs[0];
    if (d->box_of[at->id] < 0)
        return;
    draw_edge edge = {.from = d->box_of[at->id], .to = end, .gradient = w->ahead[at->id] && w->behind[at->id]};
    const char *axes = axes_text(d, value);
    add_edge(d, edge, anl_arena_printf(d->arena, "%s%s%s", role, *role && *axes ? ": " : "", axes));
}

static void add_ends(drawing *d, const ways *w)
{
    const anl_graph *graph = d->traced->graph;
    for (int i = 0; i < d->traced->loss_count; i++) {
        const anl_traced_loss *loss = &d->traced->losses[i];
        int box = d->box_of[loss->value->id];
        const draw_group *g = box >= 0 ? d->boxes[box].group : NULL;
        for (; g && g->depth > 1; g = g->parent)
            ;
        if (g && !strcmp(g->name, loss->name) && draw_kind_of(d, g) == DRAW_LOSS)
            d->boxes[box].ends = true;
        else
            add_end(d, w, loss->value, named_box(d, DRAW_LOSS, loss->name), "");
    }
    for (int i = 0; i < graph->output_count; i++) {
        if (strncmp(graph->outputs[i].name, "metric.", 7))
            continue;
        const char *name = graph->outputs[i].name + 7, *dot = strrchr(name, '.');
        int box = named_box(d, DRAW_METRIC, anl_arena_copy(d->arena, name, (size_t)(dot - name)));
        for (int k = 0; k < d->recipe->metric_count; k++)
            if (!strcmp(d->recipe->metrics[k].name, d->boxes[box].name))
                d->boxes[box].say = d->recipe->metrics[k].measure;
        add_end(d, w, graph->outputs[i].node, box, dot + 1);
    }
}

/* Whether a way leads from one box to another within the step. */
static bool leads(const drawing *d, int from, int to)
{
    bool *seen = ANL_NEW_ARRAY(d->arena, bool, d->box_count), more = true;
    for (seen[from] = true; more && !seen[to];) {
        more = false;
        for (int i = 0; i < d->edge_count; i++)
            if (!d->edges[i].later && seen[d->edges[i].from] && !seen[d->edges[i].to])
                more = seen[d->edges[i].to] = true;
    }
    return seen[to];
}

static bool of_copy(const drawing *d, const anl_state *state)
{
    for (int i = 0; i < d->recipe->module_count; i++)
        if (d->recipe->modules[i].copy && !strncmp(d->recipe->modules[i].name, state->path, strcspn(state->path, ".")) &&
            strlen(d->recipe->modules[i].name) == strcspn(state->path, "."))
            return true;
    return false;
}

static void make_edges(drawing *d)
{
    const anl_graph *graph = d->traced->graph;
    const anl_node **weights = ANL_NEW_ARRAY(d->arena, const anl_node *, graph->state_count + 1);
    int count = 0;
    for (int i = 0; i < graph->state_count; i++)
        if (graph->states[i]->kind != ANL_STATE_OTHER && graph->states[i]->value && !of_copy(d, graph->states[i]) && !d->evaluate)
            weights[count++] = graph->states[i]->value;
    ways w = {anl_walk_ahead(d->arena, graph, weights, count, ANL_WAYS_GRADIENTS),
              anl_walk_losses(d->arena, d->traced, ANL_WAYS_GRADIENTS)};
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; d->box_of[i] >= 0 && !d->boxes[d->box_of[i]].through && k < graph->nodes[i]->input_count; k++)
            add_input(d, &w, graph->nodes[i], graph->nodes[i]->inputs[k]);
    for (int i = 0; i < graph->state_count; i++) { /* a new value that is a node of another name */
        const anl_node *update = graph->states[i]->update;
        if (!update || !draw_state_named(d, graph->states[i]) || d->box_of[update->id] < 0)
            continue;
        int box = named_box(d, DRAW_STATE, graph->states[i]->path);
        if (d->box_of[update->id] != box && !d->boxes[d->box_of[update->id]].through)
            add_edge(d, (draw_edge){.from = d->box_of[update->id], .to = box, .later = true}, axes_text(d, update));
    }
    add_ends(d, &w);
    for (int i = 0; i < d->edge_count; i++)
        d->edges[i].back = d->edges[i].later && leads(d, d->edges[i].to, d->edges[i].from);
}

/* ---- modules that follow others ---- */

/* The first box that reads states of the module, and the module's group around it. */
static int box_of_module(const drawing *d, const char *name, const draw_group **group)
{
    size_t length = strlen(name);
    *group = NULL;
    for (int i = 0; i < d->box_count; i++)
        for (int k = 0; k < d->boxes[i].state_count; k++) {
            const char *path = d->boxes[i].states[k]->path;
            if (strncmp(path, name, length) || path[length] != '.')
                continue;
            for (const draw_group *g = d->boxes[i].group; g && !*group; g = g->parent)
                if (g->parent && !strcmp(g->name, name))
                    *group = g;
            return i;
        }
    return -1;
}

static void make_copies(drawing *d)
{
    for (int i = 0; i < d->recipe->module_count; i++) {
        const anl_module *m = &d->recipe->modules[i];
        if (!m->copy)
            continue;
        draw_copy copy = {.module = m};
        copy.from = box_of_module(d, m->copy, &copy.from_group);
        copy.to = box_of_module(d, m->name, &copy.to_group);
        if (copy.from >= 0 && copy.to >= 0)
            ANL_PUSH(d->arena, d->copies, d->copy_count, d->copy_capacity, copy);
    }
}

/* ---- the whole ---- */

/* What groups hold, before it is decided which of them are drawn apart. */
static void mark_groups(drawing *d, const bool *shown)
{
    const anl_graph *graph = d->traced->graph;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        if (!shown[i] || n->op == ANL_OP_STATE)
            continue;
        bool weights = false, contracts = n->op == ANL_OP_CONTRACT && anl_walk_moved(n->inputs[1])->op == ANL_OP_STATE;
        for (int k = 0; k < n->input_count; k++)
            weights = weights || (n->inputs[k]->op == ANL_OP_STATE && !draw_state_named(d, n->inputs[k]->attrs.state) &&
                                  owns(n, n->inputs[k]->attrs.state));
        for (draw_group *g = group_of(d, n->path, true); g; g = g->parent) {
            g->weights = g->weights || weights;
            g->contracts = g->contracts || contracts;
        }
    }
}

static anl_status trace(const anl_draw_options *o, drawing *d, anl_diagnostics *diagnostics, anl_traced **out)
{
    anl_trace_options options = {
        .mode = o->evaluate ? ANL_TRACE_EVALUATE : ANL_TRACE_TRAIN, .phase_step = o->step < 0 ? 0 : o->step, .seed = -1};
    const char **names = NULL;
    int capacity = 0;
    for (int i = 0; !d->recipe->loss_count && i < d->recipe->node_count; i++) /* nothing says what is wanted: all */
        ANL_PUSH(d->arena, names, options.fetch_count, capacity, d->recipe->nodes[i].name);
    options.fetches = names;
    anl_traced *first = NULL, *last = NULL;
    anl_status status = anl_trace(d->recipe, &options, diagnostics, &first);
    if (status == ANL_OK && o->step < 0 && !o->evaluate && first->boundary_count) {
        d->step = options.phase_step = (int64_t)ceil(first->boundaries[first->boundary_count - 1] - 1e-9);
        status = anl_trace(d->recipe, &options, diagnostics, &last);
        anl_traced_free(&first);
    } else {
        last = first;
    }
    *out = last;
    return status;
}

static anl_status nothing_drawn(const drawing *d, anl_diagnostics *diagnostics)
{
    anl_diagnostic *problem =
        anl_diagnose(diagnostics, ANL_A_missing_key, d->recipe->span, "there is no dataflow here to be drawn");
    anl_diagnostic_suggest(diagnostics, problem, "%s",
                           d->recipe->library ? "draw a recipe that imports these functions" : "give it `graph:` and `losses:`");
    return ANL_ERROR_SPEC;
}

anl_status anl_draw(const anl_draw_options *options, FILE *out, anl_diagnostics *diagnostics)
{
    anl_arena *arena = anl_arena_new();
    anl_override *overrides = NULL;
    anl_recipe *recipe = NULL;
    anl_traced *traced = NULL;
    anl_status status = anl_overrides_parse(arena, options->overrides, options->override_count, diagnostics, &overrides);
    if (status == ANL_OK)
        status =
            anl_recipe_read(options->spec, overrides, options->override_count, anl_folder_specs(arena), diagnostics, &recipe);
    drawing d = {.arena = arena,
                 .recipe = recipe,
                 .evaluate = options->evaluate,
                 .step = options->step < 0 ? 0 : options->step,
                 .depth = options->depth > 0 ? options->depth : DEPTH};
    if (status == ANL_OK)
        status = trace(options, &d, diagnostics, &traced);
    if (status == ANL_OK) {
        d.traced = traced;
        d.root = ANL_NEW(arena, draw_group);
        d.root->name = "";
        d.root->cluster = -1;
        d.box_of = ANL_NEW_ARRAY(arena, int, traced->graph->node_count + 1);
        const bool *shown = shown_nodes(&d);
        mark_groups(&d, shown);
        make_boxes(&d, shown);
        place_states(&d);
        count_boxes(&d);
        make_edges(&d);
        make_copies(&d);
        if (d.box_count)
            draw_write(&d, out);
        else
            status = nothing_drawn(&d, diagnostics);
    }
    anl_traced_free(&traced);
    anl_recipe_free(&recipe);
    anl_arena_free(&arena);
    return status;
}
