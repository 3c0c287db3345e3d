/* What a program costs, as a tree by the paths of the spec.
 * In: a graph with its layout and program. Out: the lines of the tree.
 * Lines are made in the order in which the graph computes; those to which nothing came are left out. */
#include "compile/cost.h"

#include <stdlib.h>
#include <string.h>

const anl_cost_rates anl_cost_nominal = {.flops = 20, .bytes = 1};

typedef struct entry entry;
struct entry {
    const char *path;
    entry *parent, *first, *last, *next;
    int depth;
    anl_cost own, all;
};

typedef struct builder {
    anl_arena *arena;
    const anl_state_layout *layout;
    const anl_program *program;
    anl_lookup entries, places; /* places: position + 1 */
    bool *is_arena;             /* by place */
    entry root;
    entry *shared; /* where kernels count that work for several weights */
    int count;
} builder;

/* The entry of a path and those above it. */
static entry *entry_of(builder *b, const char *path)
{
    if (!path || !*path)
        return &b->root;
    entry *known = anl_lookup_find(&b->entries, path);
    if (known)
        return known;
    const char *dot = strrchr(path, '.');
    entry *parent = dot ? entry_of(b, anl_arena_copy(b->arena, path, (size_t)(dot - path))) : &b->root;
    entry *e = ANL_NEW(b->arena, entry);
    e->path = anl_arena_text(b->arena, path);
    e->parent = parent;
    e->depth = parent->depth + 1;
    if (parent->last)
        parent->last->next = e;
    else
        parent->first = e;
    parent->last = e;
    anl_lookup_add(b->arena, &b->entries, e->path, e);
    b->count++;
    return e;
}

static int place_of(const builder *b, const char *path) { return (int)(intptr_t)anl_lookup_find(&b->places, path) - 1; }

/* A weight or state counts with what holds it: "encoder.conv1.weight" with "encoder.conv1". The optimizer's state of a weight is
 * called WEIGHT:NAME. NULL: an arena, of several weights. */
static entry *entry_of_owner(builder *b, const char *owner)
{
    int place = owner ? place_of(b, owner) : -1;
    if (place < 0)
        return entry_of(b, owner);
    if (b->is_arena[place])
        return NULL;
    const char *colon = strchr(owner, ':');
    char *path = anl_arena_copy(b->arena, owner, colon ? (size_t)(colon - owner) : strlen(owner));
    char *dot = strrchr(path, '.');
    if (dot)
        *dot = 0;
    return entry_of(b, path);
}

static void mark_arenas(builder *b)
{
    const anl_state_layout *l = b->layout;
    b->is_arena = ANL_NEW_ARRAY(b->arena, bool, l->count + 1);
    for (int i = 0, arena = -1; i < l->count; i++) {
        if (l->places[i].in_arena &&
            (arena < 0 || l->places[i].offset < l->places[arena].offset ||
             l->places[i].offset >= l->places[arena].offset + l->places[arena].count * (l->f64 ? 8 : 4))) {
            for (arena = 0; arena < l->count; arena++) { /* members of one arena mostly follow one another */
                const anl_state_place *p = &l->places[arena];
                if (!p->in_arena && l->places[i].offset >= p->offset &&
                    l->places[i].offset < p->offset + p->count * (l->f64 ? 8 : 4))
                    break;
            }
            b->is_arena[arena] = true;
        }
        if (!anl_lookup_find(&b->places, l->places[i].path))
            anl_lookup_add(b->arena, &b->places, l->places[i].path, (void *)(intptr_t)(i + 1));
    }
}

/* ---- state ---- */
static void count_states(builder *b)
{
    const anl_state_layout *l = b->layout;
    int size = l->f64 ? 8 : 4;
    for (int i = 0; i < l->count; i++) {
        const anl_state_place *p = &l->places[i];
        if (b->is_arena[i])
            continue;
        anl_cost *own = &entry_of_owner(b, p->path)->own;
        if (strchr(p->path, ':'))
            own->optimizer += p->count * size;
        else if (p->kind == ANL_STATE_OTHER)
            own->state += p->count * size;
        else {
            own->weights += p->count;
            own->tensors++;
        }
    }
}

/* ---- kernels ---- */
static void add_work(anl_cost *own, const anl_kernel *k, double share, anl_cost_rates rates, double seconds)
{
    double arithmetic = k->flops / rates.flops, traffic = k->bytes / rates.bytes;
    own->flops[k->stage] += share * k->flops;
    own->bytes[k->stage] += share * k->bytes;
    own->estimate += share * (arithmetic > traffic ? arithmetic : traffic);
    own->seconds += share * seconds;
}

static int by_offset(const void *a, const void *b)
{
    const anl_state_place *x = *(const anl_state_place *const *)a, *y = *(const anl_state_place *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Each member of an arena has its part of the kernel, padding included: so it costs the same whatever else lies there. */
static void share_out(builder *b, const anl_kernel *k, anl_cost_rates rates, double seconds)
{
    const anl_state_layout *l = b->layout;
    const anl_state_place *arena = &l->places[place_of(b, k->owner)];
    const anl_state_place **members = ANL_NEW_ARRAY(b->arena, const anl_state_place *, l->count + 1);
    int64_t end = arena->offset + arena->count * (l->f64 ? 8 : 4);
    int count = 0;
    for (int i = 0; i < l->count; i++)
        if (l->places[i].in_arena && l->places[i].offset >= arena->offset && l->places[i].offset < end)
            members[count++] = &l->places[i];
    if (count > 1)
        qsort(members, (size_t)count, sizeof(*members), by_offset);
    for (int i = 0; i < count; i++) {
        int64_t from = i ? members[i]->offset : arena->offset, to = i + 1 < count ? members[i + 1]->offset : end;
        add_work(&entry_of_owner(b, members[i]->path)->own, k, (double)(to - from) / (double)(end - arena->offset), rates,
                 seconds);
    }
}

static void count_kernels(builder *b, anl_cost_rates rates, const double *seconds)
{
    const anl_program *p = b->program;
    int64_t *left = ANL_NEW_ARRAY(b->arena, int64_t, p->buffer_count + 1);
    for (int i = 0; i < p->buffer_count; i++)
        left[i] = p->buffers[i].space == ANL_SPACE_TEMP ? p->buffers[i].bytes : 0;
    for (int i = 0; i < p->kernel_count; i++) {
        const anl_kernel *k = &p->kernels[i];
        entry *e = entry_of_owner(b, k->owner);
        if (e)
            add_work(&e->own, k, 1, rates, seconds ? seconds[i] : 0);
        else
            share_out(b, k, rates, seconds ? seconds[i] : 0);
        if (!e)
            e = b->shared = entry_of(b, "optimizer");
        e->own.kernels++;
        int64_t points = p->f64 ? 8 : 4;
        for (int d = 0; d < k->kept_count; d++)
            points *= k->dims[d];
        for (int a = 0; a < k->arg_count && k->stage == ANL_STAGE_FORWARD; a++) {
            int32_t buffer = k->args[a].buffer;
            int64_t written = !k->args[a].written ? 0 : points < left[buffer] ? points : left[buffer];
            e->own.activations += written; /* what is written twice is there once */
            left[buffer] -= written;
        }
    }
}

/* ---- the peak ---- */
static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Each byte in use at the peak counts for the kernel that wrote it: parts of a tensor may be written by several, and are buffers
 * inside its buffer. So the range of bytes is cut at all buffers' ends, and each piece belongs to the smallest buffer around it.
 */
static void count_peak(builder *b)
{
    const anl_program *p = b->program;
    int *live = ANL_NEW_ARRAY(b->arena, int, p->buffer_count + 1), count = 0, cuts = 0;
    int64_t *cut = ANL_NEW_ARRAY(b->arena, int64_t, 2 * p->buffer_count + 1);
    entry **writer = ANL_NEW_ARRAY(b->arena, entry *, p->buffer_count + 1);
    for (int i = 0; i < p->buffer_count; i++) {
        const anl_buffer *x = &p->buffers[i];
        if (x->space != ANL_SPACE_TEMP || x->first < 0 || x->first > p->temp_peak || x->last < p->temp_peak)
            continue;
        live[count++] = i;
        cut[cuts++] = x->offset;
        cut[cuts++] = x->offset + x->bytes;
    }
    for (int i = p->kernel_count - 1; i >= 0; i--)
        for (int a = 0; a < p->kernels[i].arg_count; a++)
            if (p->kernels[i].args[a].written) {
                entry *e = entry_of_owner(b, p->kernels[i].owner);
                writer[p->kernels[i].args[a].buffer] = e ? e : b->shared;
            }
    if (cuts > 1)
        qsort(cut, (size_t)cuts, sizeof *cut, by_number);
    for (int c = 0; c + 1 < cuts; c++) {
        if (cut[c] == cut[c + 1])
            continue;
        int smallest = -1;
        for (int i = 0; i < count; i++) {
            const anl_buffer *x = &p->buffers[live[i]];
            bool holds = x->offset <= cut[c] && cut[c + 1] <= x->offset + x->bytes && writer[live[i]];
            if (holds && (smallest < 0 || x->bytes < p->buffers[smallest].bytes))
                smallest = live[i];
        }
        if (smallest >= 0)
            writer[smallest]->own.peak += cut[c + 1] - cut[c];
    }
}

/* ---- the tree ---- */
static void add(anl_cost *to, const anl_cost *c)
{
    to->weights += c->weights;
    to->tensors += c->tensors;
    to->optimizer += c->optimizer;
    to->state += c->state;
    to->activations += c->activations;
    to->peak += c->peak;
    to->kernels += c->kernels;
    for (int s = 0; s < ANL_STAGE_COUNT; s++) {
        to->flops[s] += c->flops[s];
        to->bytes[s] += c->bytes[s];
    }
    to->estimate += c->estimate;
    to->seconds += c->seconds;
}

static bool sum_up(entry *e)
{
    e->all = e->own;
    bool any = e->own.weights || e->own.optimizer || e->own.state || e->own.kernels || e->own.peak;
    for (int s = 0; s < ANL_STAGE_COUNT; s++)
        any = any || e->own.bytes[s] > 0;
    for (entry *c = e->first, *before = NULL; c; c = c->next) {
        if (sum_up(c)) {
            add(&e->all, &c->all);
            before = c;
            any = true;
        } else if (before) {
            before->next = c->next;
        } else {
            e->first = c->next;
        }
    }
    return any;
}

/* Behind all that is computed. */
static void move_last(entry *e)
{
    entry *parent = e->parent;
    if (parent->last == e)
        return;
    for (entry **at = &parent->first; *at; at = &(*at)->next)
        if (*at == e) {
            *at = e->next;
            break;
        }
    e->next = NULL;
    parent->last->next = e;
    parent->last = e;
}

static void list_lines(anl_cost_tree *tree, const entry *e, int parent)
{
    int at = tree->count++;
    tree->lines[at] = (anl_cost_line){.path = e->path, .parent = parent, .depth = e->depth, .own = e->own, .all = e->all};
    for (const entry *c = e->first; c; c = c->next) {
        tree->lines[at].children++;
        list_lines(tree, c, at);
    }
}

anl_cost_tree *anl_cost_tree_new(anl_arena *arena, const anl_graph *graph, const anl_state_layout *layout,
                                 const anl_program *program, anl_cost_rates rates, const double *seconds)
{
    builder b = {.arena = arena, .layout = layout, .program = program, .root = {.path = ""}};
    mark_arenas(&b);
    const char *before = NULL;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *n = graph->nodes[i];
        if (n->stage == ANL_STAGE_FORWARD && n->owner != before) /* neighbours mostly share one */
            entry_of_owner(&b, n->owner);
        before = n->owner;
    }
    count_states(&b);
    count_kernels(&b, rates, seconds);
    count_peak(&b);
    if (b.shared)
        move_last(b.shared);
    sum_up(&b.root);
    anl_cost_tree *tree = ANL_NEW(arena, anl_cost_tree);
    tree->lines = ANL_NEW_ARRAY(arena, anl_cost_line, b.count + 1);
    list_lines(tree, &b.root, -1);
    return tree;
}

int anl_cost_find(const anl_cost_tree *tree, const char *path)
{
    for (int i = 0; i < tree->count; i++)
        if (!strcmp(tree->lines[i].path, path))
            return i;
    return -1;
}

double anl_cost_flops(const anl_cost *cost)
{
    double sum = 0;
    for (int s = 0; s < ANL_STAGE_COUNT; s++)
        sum += cost->flops[s];
    return sum;
}

double anl_cost_bytes(const anl_cost *cost)
{
    double sum = 0;
    for (int s = 0; s < ANL_STAGE_COUNT; s++)
        sum += cost->bytes[s];
    return sum;
}

/* ---- in words ---- */
static int64_t memory_of(const anl_cost_line *line)
{
    return line->all.peak + 4 * line->all.weights + line->all.optimizer + line->all.state;
}

static int by_memory(const void *a, const void *b)
{
    const anl_cost_line *x = *(const anl_cost_line *const *)a, *y = *(const anl_cost_line *const *)b;
    int64_t p = memory_of(x), q = memory_of(y);
    return p != q ? (p < q) - (p > q) : (x > y) - (x < y);
}

const char *anl_cost_biggest(anl_arena *arena, const anl_graph *graph, const anl_state_layout *layout, const anl_program *program)
{
    enum { SHOWN = 3, DEPTH = 2 };
    const anl_cost_tree *tree = anl_cost_tree_new(arena, graph, layout, program, anl_cost_nominal, NULL);
    const anl_cost_line **lines = ANL_NEW_ARRAY(arena, const anl_cost_line *, tree->count + 1);
    int count = 0;
    for (int i = 1; i < tree->count; i++)
        if (tree->lines[i].depth == DEPTH || (tree->lines[i].depth < DEPTH && !tree->lines[i].children))
            lines[count++] = &tree->lines[i];
    if (count > 1)
        qsort(lines, (size_t)count, sizeof(*lines), by_memory);
    anl_text text = {0};
    for (int i = 0; i < count && i < SHOWN && memory_of(lines[i]) > 0; i++) {
        char bytes[32];
        anl_bytes_text((double)memory_of(lines[i]), bytes);
        anl_text_printf(&text, "%s%s %s", i ? ", " : "", lines[i]->path, bytes);
    }
    const char *out = text.length ? anl_arena_text(arena, text.data) : NULL;
    anl_text_free(&text);
    return out;
}
