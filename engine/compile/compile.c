/* The compiler's driver: state layout, stages in order, and the finished program.
 * In: a graph, the layout of the state space, options. Out: a flat program.
 * All scratch lies in one arena that is freed at the end; the program owns its own. */
#include <stdlib.h>
#include <string.h>

#include "compile/work.h"

/* ---- diagnostics ---- */
void anl_work_fail(anl_work *w, anl_code code, const anl_node *n, const char *format, ...)
{
    anl_text text = {0};
    va_list args;
    va_start(args, format);
    anl_text_vprintf(&text, format, args);
    va_end(args);
    w->failed = true;
    anl_span none = {0};
    anl_diagnostic *d = anl_diagnose(w->diagnostics, code, n ? n->span : none, "%s", text.data ? text.data : "");
    if (d && n && n->path && n->path[0])
        anl_diagnostic_note(w->diagnostics, d, "in %s", n->path);
    anl_text_free(&text);
}

/* ---- state layout ---- */
typedef struct path_table {
    const char **path;
    int32_t *place;
    int size, count;
} path_table;

static int path_find(const path_table *t, const char *path)
{
    if (t->size == 0)
        return -1;
    for (uint64_t h = anl_hash_text(path, 0);; h++) {
        uint64_t at = h & (uint64_t)(t->size - 1);
        if (!t->path[at])
            return -1;
        if (strcmp(t->path[at], path) == 0)
            return t->place[at];
    }
}

static void path_add(anl_arena *arena, path_table *t, const char *path, int32_t place)
{
    if ((t->count + 1) * 2 > t->size) {
        path_table next = {.size = t->size ? t->size * 2 : 64, .count = t->count};
        next.path = ANL_NEW_ARRAY(arena, const char *, next.size);
        next.place = ANL_NEW_ARRAY(arena, int32_t, next.size);
        for (int i = 0; i < t->size; i++)
            if (t->path[i]) {
                uint64_t h = anl_hash_text(t->path[i], 0);
                while (next.path[h & (uint64_t)(next.size - 1)])
                    h++;
                next.path[h & (uint64_t)(next.size - 1)] = t->path[i];
                next.place[h & (uint64_t)(next.size - 1)] = t->place[i];
            }
        *t = next;
    }
    uint64_t h = anl_hash_text(path, 0);
    while (t->path[h & (uint64_t)(t->size - 1)])
        h++;
    t->path[h & (uint64_t)(t->size - 1)] = path;
    t->place[h & (uint64_t)(t->size - 1)] = place;
    t->count++;
}

static bool place_state(anl_state_layout *layout, path_table *paths, int *capacity, const anl_graph *g, const anl_state *s,
                        anl_diagnostics *diagnostics)
{
    int known = path_find(paths, s->path);
    int esize = layout->f64 && s->dtype == ANL_F32 ? 8 : 4;
    if (known >= 0) {
        const anl_state_place *p = &layout->places[known];
        bool same = p->rank == s->rank && p->dtype == s->dtype;
        for (int i = 0; same && i < s->rank; i++)
            same = p->size[i] == s->axes[i].size && strcmp(p->axis[i], anl_graph_axis_name(g, s->axes[i].id)) == 0;
        if (!same)
            anl_diagnose(diagnostics, ANL_A_program_invalid, s->span, "state %s has another shape in another phase", s->path);
        return same;
    }
    anl_state_place p = {
        .path = anl_arena_text(layout->arena, s->path), .dtype = s->dtype, .kind = s->kind, .rank = s->rank, .count = 1};
    for (int i = s->rank - 1; i >= 0; i--) {
        int d = s->order[i];
        p.stride[d] = p.count;
        p.count *= s->axes[d].size;
    }
    for (int i = 0; i < s->rank; i++) {
        p.axis[i] = anl_arena_text(layout->arena, anl_graph_axis_name(g, s->axes[i].id));
        p.size[i] = s->axes[i].size;
    }
    if (p.count >= INT32_MAX) {
        anl_diagnose(diagnostics, ANL_A_program_limit, s->span,
                     "state %s has %lld elements; a tensor holds fewer than 2147483647", s->path, (long long)p.count);
        return false;
    }
    if (s->arena) {
        if (!place_state(layout, paths, capacity, g, s->arena, diagnostics))
            return false;
        const anl_state_place *outer = &layout->places[path_find(paths, s->arena->path)];
        p.in_arena = true;
        p.offset = outer->offset + s->arena_offset * esize;
        if (s->arena_offset < 0 || s->arena_offset + p.count > outer->count) {
            anl_diagnose(diagnostics, ANL_A_program_invalid, s->span, "state %s reaches past the end of %s", s->path,
                         s->arena->path);
            return false;
        }
    } else {
        p.offset = layout->bytes;
        layout->bytes += (p.count * esize + ANL_ALIGNMENT - 1) / ANL_ALIGNMENT * ANL_ALIGNMENT;
    }
    path_add(layout->arena, paths, p.path, layout->count);
    ANL_PUSH(layout->arena, layout->places, layout->count, *capacity, p);
    return true;
}

anl_status anl_state_layout_new(anl_graph *const *graphs, int count, bool f64, anl_diagnostics *diagnostics,
                                anl_state_layout **out)
{
    anl_arena *arena = anl_arena_new();
    anl_state_layout *layout = ANL_NEW(arena, anl_state_layout);
    layout->arena = arena;
    layout->f64 = f64;
    path_table paths = {0};
    int capacity = 0;
    bool ok = true;
    for (int g = 0; g < count; g++)
        for (int s = 0; s < graphs[g]->state_count; s++)
            ok = place_state(layout, &paths, &capacity, graphs[g], graphs[g]->states[s], diagnostics) && ok;
    *out = layout;
    if (!ok)
        anl_state_layout_free(out);
    return ok ? ANL_OK : ANL_ERROR_SPEC;
}

void anl_state_layout_free(anl_state_layout **layout)
{
    if (!layout || !*layout)
        return;
    anl_arena *arena = (*layout)->arena;
    *layout = NULL;
    anl_arena_free(&arena);
}

int anl_state_layout_find(const anl_state_layout *layout, const char *path)
{
    for (int i = 0; i < layout->count; i++)
        if (strcmp(layout->places[i].path, path) == 0)
            return i;
    return -1;
}

bool anl_place_is_arena(const anl_state_layout *layout, int place)
{
    const anl_state_place *p = &layout->places[place];
    if (p->in_arena)
        return false;
    int64_t end = p->offset + p->count * (layout->f64 && p->dtype == ANL_F32 ? 8 : 4);
    for (int i = 0; i < layout->count; i++)
        if (layout->places[i].in_arena && layout->places[i].offset >= p->offset && layout->places[i].offset < end)
            return true;
    return false;
}

/* ---- the program ---- */
static void prepare_states(anl_work *w)
{
    const anl_state_layout *layout = w->layout;
    path_table paths = {0};
    w->state_buffer = ANL_NEW_ARRAY(w->arena, int32_t, layout->count + 1);
    for (int i = 0; i < layout->count; i++) {
        const anl_state_place *p = &layout->places[i];
        path_add(w->arena, &paths, p->path, i);
        w->state_buffer[i] = anl_work_buffer(w, ANL_SPACE_STATE, p->dtype, p->count, anl_arena_text(w->out, p->path), NULL);
        w->buffers[w->state_buffer[i]].b.offset = p->offset;
    }
    int most = 0;
    for (int i = 0; i < w->graph->state_count; i++)
        most = w->graph->states[i]->id > most ? w->graph->states[i]->id : most;
    w->state_place = ANL_NEW_ARRAY(w->arena, int32_t, most + 1);
    for (int i = 0; i < w->graph->state_count; i++) {
        const anl_state *s = w->graph->states[i];
        w->state_place[s->id] = path_find(&paths, s->path);
        if (w->state_place[s->id] >= 0)
            w->buffers[w->state_buffer[w->state_place[s->id]]].b.span = s->span;
        if (w->state_place[s->id] < 0) {
            anl_work_fail(w, ANL_A_program_invalid, NULL, "state %s has no place in the state layout", s->path);
            w->state_place[s->id] = 0;
        }
    }
}

static void set_axes(anl_work *w, anl_port *p, const anl_node *n, const int64_t *stride)
{
    p->rank = n->rank;
    for (int i = 0; i < n->rank; i++) {
        p->axis[i] =
            n->axes[i].id < w->graph->axis_count ? anl_arena_text(w->out, anl_graph_axis_name(w->graph, n->axes[i].id)) : "axis";
        p->size[i] = n->axes[i].size;
        p->stride[i] = stride[i];
    }
}

static void make_ports(anl_work *w)
{
    anl_program *p = w->program;
    anl_graph *g = w->graph;
    p->inputs = ANL_NEW_ARRAY(w->out, anl_port, w->node_count + 1);
    for (int i = 0; i < w->node_count; i++) {
        const anl_node *n = w->nodes[i];
        if (n->op != ANL_OP_FIELD)
            continue;
        anl_port *port = &p->inputs[p->input_count++];
        *port = (anl_port){
            .name = anl_arena_text(w->out, n->attrs.name), .buffer = w->info[i].at.buffer, .scalar = -1, .dtype = n->dtype};
        set_axes(w, port, n, w->info[i].at.stride);
    }
    p->outputs = ANL_NEW_ARRAY(w->out, anl_port, g->output_count + 1);
    for (int i = 0; i < g->output_count; i++) {
        anl_node *n = w->outputs[i];
        if (!n)
            continue;
        anl_port *port = &p->outputs[p->output_count++];
        *port = (anl_port){.name = anl_arena_text(w->out, g->outputs[i].name), .buffer = -1, .scalar = -1, .dtype = n->dtype};
        if (!w->info[n->id].stored) {
            port->scalar = anl_work_slot(w, n);
            continue;
        }
        port->buffer = w->output_at[i].buffer;
        port->base = w->output_at[i].base;
        /* declared order: as the graph has it, wherever it lies in memory */
        const anl_node *declared = g->outputs[i].node;
        int64_t stride[ANL_MAX_AXES] = {0};
        for (int a = 0; a < declared->rank; a++)
            for (int b = 0; b < n->rank; b++)
                if (n->axes[b].id == declared->axes[a].id)
                    stride[a] = w->output_at[i].stride[b];
        set_axes(w, port, declared, stride);
    }
    p->states = ANL_NEW_ARRAY(w->out, anl_port, w->layout->count + 1);
    for (int i = 0; i < w->layout->count; i++) {
        const anl_state_place *s = &w->layout->places[i];
        anl_port *port = &p->states[p->state_count++];
        *port = (anl_port){.name = anl_arena_text(w->out, s->path),
                           .buffer = w->state_buffer[i],
                           .scalar = -1,
                           .dtype = s->dtype,
                           .rank = s->rank};
        for (int a = 0; a < s->rank; a++) {
            port->axis[a] = anl_arena_text(w->out, s->axis[a]);
            port->size[a] = s->size[a];
            port->stride[a] = s->stride[a];
        }
    }
}

static const void *table_copy(anl_work *w, const anl_buffer *b)
{
    void *copy = anl_arena_alloc(w->out, (size_t)b->count * 4 + 4); /* int32_t or float, also in a float64 program */
    memcpy(copy, b->table, (size_t)b->count * 4);
    return copy;
}

static void assemble(anl_work *w)
{
    anl_program *p = w->program;
    int32_t *renumber = ANL_NEW_ARRAY(w->arena, int32_t, w->buffer_count + 1);
    for (int b = 0; b < w->buffer_count; b++)
        renumber[b] = -1;
    make_ports(w);
    p->kernels = ANL_NEW_ARRAY(w->out, anl_kernel, w->order_count + 1);
    for (int i = 0; i < w->order_count; i++)
        p->kernels[p->kernel_count++] = w->groups[w->order[i]].kernel;
    for (int i = 0; i < p->kernel_count; i++)
        for (int a = 0; a < p->kernels[i].arg_count; a++)
            renumber[p->kernels[i].args[a].buffer] = 0;
    for (int i = 0; i < p->input_count; i++)
        renumber[p->inputs[i].buffer] = 0;
    for (int i = 0; i < p->output_count; i++)
        if (p->outputs[i].buffer >= 0)
            renumber[p->outputs[i].buffer] = 0;
    for (int i = 0; i < p->state_count; i++)
        renumber[p->states[i].buffer] = 0;
    p->buffers = ANL_NEW_ARRAY(w->out, anl_buffer, w->buffer_count + 1);
    for (int b = 0; b < w->buffer_count; b++) {
        if (renumber[b] < 0)
            continue;
        renumber[b] = p->buffer_count;
        p->buffers[p->buffer_count] = w->buffers[b].b;
        if (w->buffers[b].b.table)
            p->buffers[p->buffer_count].table = table_copy(w, &w->buffers[b].b);
        p->buffer_count++;
    }
    for (int i = 0; i < p->kernel_count; i++)
        for (int a = 0; a < p->kernels[i].arg_count; a++)
            p->kernels[i].args[a].buffer = renumber[p->kernels[i].args[a].buffer];
    for (int i = 0; i < p->input_count; i++)
        p->inputs[i].buffer = renumber[p->inputs[i].buffer];
    for (int i = 0; i < p->output_count; i++)
        if (p->outputs[i].buffer >= 0)
            p->outputs[i].buffer = renumber[p->outputs[i].buffer];
    for (int i = 0; i < p->state_count; i++)
        p->states[i].buffer = renumber[p->states[i].buffer];
    p->scalar_instrs = ANL_NEW_ARRAY(w->out, anl_instr, w->scalar_count + 1);
    if (w->scalar_count > 0)
        memcpy(p->scalar_instrs, w->scalars, sizeof(anl_instr) * (size_t)w->scalar_count);
    p->scalar_instr_count = w->scalar_count;
    p->scalars = ANL_NEW_ARRAY(w->out, int32_t, w->slot_count + 1);
    if (w->slot_count > 0)
        memcpy(p->scalars, w->slots, sizeof(int32_t) * (size_t)w->slot_count);
    p->scalar_count = w->slot_count;
}

anl_status anl_compile(anl_graph *graph, const anl_state_layout *layout, const anl_compile_options *options,
                       anl_diagnostics *diagnostics, anl_program **out)
{
    anl_work work = {.graph = graph, .layout = layout, .diagnostics = diagnostics}, *w = &work;
    *out = NULL;
    if (options)
        w->options = *options;
    if (w->options.f64 != layout->f64) {
        anl_diagnose(diagnostics, ANL_A_program_invalid, (anl_span){0}, "the state layout is made for another float size");
        return ANL_ERROR_ARGUMENT;
    }
    w->arena = anl_arena_new();
    w->out = anl_arena_new();
    w->program = ANL_NEW(w->out, anl_program);
    w->program->arena = w->out;
    w->program->f64 = w->options.f64;
    prepare_states(w);
    void (*const stages[])(anl_work *) = {anl_work_simplify, anl_work_decide, anl_work_place, anl_work_group,
                                          anl_work_lower,    anl_work_plan,   assemble};
    for (int i = 0; i < (int)ANL_COUNT(stages) && !w->failed; i++)
        stages[i](w);
    anl_arena_free(&w->arena);
    if (w->failed) {
        anl_program_free(&w->program);
        return ANL_ERROR_LIMIT;
    }
    *out = w->program;
    return ANL_OK;
}
