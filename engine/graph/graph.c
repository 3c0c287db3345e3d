/* The graph: appending nodes, axes and states, and questions about them.
 * In: operations with their inputs. Out: nodes in topological order, in the graph's arena.
 * What an operation means is not known here (see ops/). */
#include "graph/graph.h"

#include <assert.h>
#include <string.h>

anl_graph *anl_graph_new(void) { return anl_graph_new_sized(0); }

anl_graph *anl_graph_new_sized(size_t bytes)
{
    anl_arena *arena = anl_arena_new_sized(bytes);
    anl_graph *graph = ANL_NEW(arena, anl_graph);
    graph->arena = arena;
    graph->path = "";
    return graph;
}

void anl_graph_free(anl_graph **graph)
{
    if (!*graph)
        return;
    anl_arena *arena = (*graph)->arena;
    anl_arena_free(&arena);
    *graph = NULL;
}

/* ---- axes ---- */

int32_t anl_graph_fresh_axis(anl_graph *graph, const char *name, bool hidden)
{
    struct anl_axis_name entry = {anl_arena_text(graph->arena, name), hidden, true};
    ANL_PUSH(graph->arena, graph->axis_names, graph->axis_count, graph->axis_capacity, entry);
    return graph->axis_count - 1;
}

int32_t anl_graph_find_axis(const anl_graph *graph, const char *name)
{
    for (int i = 0; i < graph->axis_count; i++)
        if (!graph->axis_names[i].fresh && anl_same(graph->axis_names[i].name, name))
            return i;
    return -1;
}

int32_t anl_graph_axis(anl_graph *graph, const char *name)
{
    int32_t axis = anl_graph_find_axis(graph, name);
    if (axis < 0) {
        axis = anl_graph_fresh_axis(graph, name, false);
        graph->axis_names[axis].fresh = false;
    }
    return axis;
}

const char *anl_graph_axis_name(const anl_graph *graph, int32_t axis)
{
    return axis >= 0 && axis < graph->axis_count ? graph->axis_names[axis].name : "?";
}

bool anl_is_space(const anl_graph *graph, int32_t axis)
{
    if (axis < 0 || axis >= graph->axis_count || graph->axis_names[axis].hidden)
        return false;
    const char *name = graph->axis_names[axis].name;
    return name[0] >= 'x' && name[0] <= 'z' && name[1] == 0;
}

/* ---- nodes ---- */

anl_node *anl_graph_node(anl_graph *graph, anl_op op, anl_dtype dtype, int input_count, anl_node *const *inputs)
{
    assert(input_count >= 0 && input_count <= ANL_MAX_INPUTS);
    anl_node *node = ANL_NEW(graph->arena, anl_node);
    node->id = graph->node_count;
    node->op = op;
    node->dtype = dtype;
    node->input_count = input_count;
    if (input_count > 0) {
        node->inputs = ANL_NEW_ARRAY(graph->arena, anl_node *, input_count);
        memcpy(node->inputs, inputs, sizeof *inputs * (size_t)input_count);
    }
    node->span = graph->span;
    node->site = graph->site;
    node->path = graph->path ? graph->path : "";
    node->owner = graph->owner ? graph->owner : node->path;
    node->stage = graph->stage;
    ANL_PUSH(graph->arena, graph->nodes, graph->node_count, graph->node_capacity, node);
    return node;
}

/* Inputs are hashed by id, not by address, so that nothing depends on where memory lies. What few operations have is left to the
 * comparison. */
static uint64_t draft_hash(const anl_node *draft)
{
    const anl_attrs *a = &draft->attrs;
    uint64_t words[16 + ANL_MAX_AXES], bits;
    int count = 0;
    memcpy(&bits, &a->value, sizeof bits);
    words[count++] = (uint64_t)draft->op << 32 | (uint64_t)draft->dtype << 16 | (uint64_t)a->scalar;
    words[count++] = bits;
    words[count++] = (uint64_t)(uint32_t)a->axis[0] << 32 | (uint32_t)a->axis[1];
    words[count++] = (uint64_t)(uint32_t)a->start << 32 | (uint32_t)a->count;
    words[count++] = a->key;
    if (a->over_count)
        words[count++] = anl_hash(a->over, sizeof a->over[0] * (size_t)a->over_count, 0);
    for (int i = 0; i < draft->rank; i++)
        words[count++] = (uint64_t)(uint32_t)draft->axes[i].id << 32 | (uint32_t)draft->axes[i].size;
    uint64_t hash = anl_hash(words, sizeof *words * (size_t)count, 0);
    for (int i = 0; i < draft->input_count; i++)
        hash = (hash ^ (uint64_t)draft->inputs[i]->id) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static bool draft_equal(const anl_node *a, const anl_node *b)
{
    return a->op == b->op && a->dtype == b->dtype && a->rank == b->rank && a->input_count == b->input_count &&
           memcmp(a->axes, b->axes, sizeof a->axes[0] * (size_t)a->rank) == 0 &&
           (a->input_count == 0 || memcmp(a->inputs, b->inputs, sizeof *a->inputs * (size_t)a->input_count) == 0) &&
           memcmp(&a->attrs, &b->attrs, sizeof a->attrs) == 0;
}

static void interned_grow(anl_graph *graph)
{
    int capacity = graph->interned_capacity ? graph->interned_capacity * 2 : 1024;
    struct anl_interned *table = ANL_NEW_ARRAY(graph->arena, struct anl_interned, capacity);
    for (int i = 0; i < graph->interned_capacity; i++) {
        if (!graph->interned[i].node)
            continue;
        uint64_t slot = graph->interned[i].hash & (uint64_t)(capacity - 1);
        while (table[slot].node)
            slot = (slot + 1) & (uint64_t)(capacity - 1);
        table[slot] = graph->interned[i];
    }
    graph->interned = table;
    graph->interned_capacity = capacity;
}

anl_node *anl_graph_intern(anl_graph *graph, const anl_node *draft)
{
    if (2 * graph->interned_count >= graph->interned_capacity)
        interned_grow(graph);
    uint64_t mask = (uint64_t)(graph->interned_capacity - 1), hash = draft_hash(draft), slot = hash & mask;
    for (; graph->interned[slot].node; slot = (slot + 1) & mask)
        if (graph->interned[slot].hash == hash && draft_equal(graph->interned[slot].node, draft))
            return graph->interned[slot].node;
    anl_node *node = anl_graph_node(graph, draft->op, draft->dtype, draft->input_count, draft->inputs);
    node->rank = draft->rank;
    memcpy(node->axes, draft->axes, sizeof node->axes);
    memcpy(&node->attrs, &draft->attrs, sizeof node->attrs);
    graph->interned[slot] = (struct anl_interned){hash, node};
    graph->interned_count++;
    return node;
}

/* ---- states and outputs ---- */

anl_state *anl_graph_state(anl_graph *graph, const char *path, anl_dtype dtype, anl_state_kind kind, const anl_axis *axes, int rank)
{
    assert(rank >= 0 && rank <= ANL_MAX_AXES);
    anl_state *state = ANL_NEW(graph->arena, anl_state);
    state->path = anl_arena_text(graph->arena, path);
    state->dtype = dtype;
    state->kind = kind;
    state->rank = rank;
    int count = 0;
    for (int i = 0; i < rank; i++) {
        state->axes[i] = axes[i];
        if (anl_is_space(graph, axes[i].id))
            state->order[count++] = i;
    }
    for (int i = rank - 1; i >= 0; i--)
        if (!anl_is_space(graph, axes[i].id))
            state->order[count++] = i;
    state->span = graph->span;
    state->id = graph->state_count;
    ANL_PUSH(graph->arena, graph->states, graph->state_count, graph->state_capacity, state);
    if (!anl_lookup_find(&graph->paths, state->path)) /* of two of one path, the first is found */
        anl_lookup_add(graph->arena, &graph->paths, state->path, state);
    return state;
}

anl_state *anl_graph_find_state(const anl_graph *graph, const char *path) { return anl_lookup_find(&graph->paths, path); }

anl_node *anl_graph_state_value(anl_graph *graph, anl_state *state)
{
    if (!state->value) {
        anl_node *node = anl_graph_node(graph, ANL_OP_STATE, state->dtype, 0, NULL);
        node->rank = state->rank;
        for (int i = 0; i < state->rank; i++)
            node->axes[i] = state->axes[state->order[i]];
        node->attrs.state = state;
        state->value = node;
    }
    return state->value;
}

void anl_graph_output(anl_graph *graph, const char *name, anl_node *node)
{
    anl_output output = {anl_arena_text(graph->arena, name), node};
    ANL_PUSH(graph->arena, graph->outputs, graph->output_count, graph->output_capacity, output);
}

/* ---- axes of a node ---- */

int anl_node_axis(const anl_node *node, int32_t axis)
{
    for (int i = 0; i < node->rank; i++)
        if (node->axes[i].id == axis)
            return i;
    return -1;
}

int32_t anl_node_size(const anl_node *node, int32_t axis)
{
    int position = anl_node_axis(node, axis);
    return position < 0 ? 0 : node->axes[position].size;
}

int64_t anl_node_count(const anl_node *node)
{
    int64_t count = 1;
    for (int i = 0; i < node->rank; i++)
        count *= node->axes[i].size;
    return count;
}

bool anl_node_same_axes(const anl_node *a, const anl_node *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (anl_node_size(b, a->axes[i].id) != a->axes[i].size)
            return false;
    return true;
}

const char *anl_axes_text(const anl_graph *graph, anl_arena *arena, const anl_axis *axes, int rank)
{
    const char *text = "[";
    for (int i = 0; i < rank; i++)
        text = anl_arena_printf(arena, "%s%s%s %d", text, i ? ", " : "", anl_graph_axis_name(graph, axes[i].id), axes[i].size);
    return anl_arena_printf(arena, "%s]", text);
}
