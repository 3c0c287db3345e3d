/* What the last checks saw: values by the place where they are written, weights by path.
 * In: the witness of a trace. Out: texts for people, and what may stand behind a dot.
 * Only values of open files are kept: nobody asks for those of others. */
#include "lint/editor.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

enum { SHOWN_ITEMS = 8, SHOWN_DEPTH = 3, KEPT_OF_ONE_PLACE = 24 };

/* ---- texts ---- */

static void add_axes(anl_text *out, const anl_graph *graph, const anl_node *node, bool hidden)
{
    bool any = false;
    for (int i = 0; i < node->rank; i++)
        if (graph->axis_names[node->axes[i].id].hidden == hidden) {
            anl_text_printf(out, "%s%s %d", any ? ", " : "[", anl_graph_axis_name(graph, node->axes[i].id), node->axes[i].size);
            any = true;
        }
    anl_text_add(out, any ? "]" : "");
}

static void add_node(anl_text *out, const anl_graph *graph, const anl_node *node)
{
    static const char *const names[] = {[ANL_F32] = "float32", [ANL_I32] = "int32", [ANL_BOOL] = "bool"};
    int hidden = 0;
    for (int i = 0; i < node->rank; i++)
        hidden += graph->axis_names[node->axes[i].id].hidden;
    anl_text_printf(out, "%s", names[node->dtype]);
    if (node->op == ANL_OP_CONST)
        anl_text_printf(out, " %g", node->attrs.value);
    anl_text_add(out, node->rank > hidden ? " " : "");
    add_axes(out, graph, node, false);
    anl_text_add(out, hidden ? ", riding along: " : "");
    add_axes(out, graph, node, true);
}

static void add_value(anl_text *out, const anl_graph *graph, const anl_value *v, int depth)
{
    switch (v->kind) {
    case ANL_V_NODE:
        add_node(out, graph, v->node);
        return;
    case ANL_V_INT:
        anl_text_printf(out, "%lld", (long long)v->integer);
        return;
    case ANL_V_NUMBER:
        anl_text_printf(out, "%.10g", v->number);
        return;
    case ANL_V_BOOL:
        anl_text_add(out, v->truth ? "true" : "false");
        return;
    case ANL_V_TEXT:
        anl_text_printf(out, "%s", v->text);
        return;
    case ANL_V_AXIS:
        anl_text_printf(out, "%s%s", depth ? "" : "axis ", anl_graph_axis_name(graph, v->axis));
        return;
    case ANL_V_DURATION:
        anl_text_printf(out, "%g%s", v->duration.count, v->duration.epochs ? "ep" : "it");
        return;
    case ANL_V_FUNCTION:
        anl_text_add(out, "a function");
        return;
    case ANL_V_LIST:
    case ANL_V_MAPPING: {
        bool list = v->kind == ANL_V_LIST;
        int count = list ? v->list.count : v->mapping.count;
        anl_text_add(out, list ? "[" : "{");
        for (int i = 0; i < count; i++) {
            if (i == SHOWN_ITEMS || depth == SHOWN_DEPTH) {
                anl_text_add(out, ", …");
                break;
            }
            anl_text_printf(out, "%s%s%s", i ? ", " : "", list ? "" : v->mapping.names[i], list ? "" : ": ");
            add_value(out, graph, list ? &v->list.items[i] : &v->mapping.items[i], depth + 1);
        }
        anl_text_add(out, list ? "]" : "}");
        return;
    }
    case ANL_V_NONE:
        return;
    }
}

/* ---- keeping ---- */

static size_t slot_of(const editor_check *check, const editor_file *file, anl_span span)
{
    const uint64_t key[4] = {(uint64_t)(uintptr_t)file, (uint64_t)span.line, (uint64_t)span.column, (uint64_t)span.length};
    size_t slot = (size_t)anl_hash(key, sizeof key, 0) & (size_t)(check->value_capacity - 1);
    for (const kept_value *v; (v = check->values[slot]); slot = (slot + 1) & (size_t)(check->value_capacity - 1))
        if (v->file == file && v->span.line == span.line && v->span.column == span.column && v->span.length == span.length)
            break;
    return slot;
}

static void grow(editor_hearing *h)
{
    editor_check *check = h->check;
    kept_value **old = check->values;
    int count = check->value_capacity;
    check->value_capacity = count ? 2 * count : 256;
    check->values = ANL_NEW_ARRAY(h->arena, kept_value *, check->value_capacity);
    for (int i = 0; i < count; i++)
        if (old[i])
            check->values[slot_of(check, old[i]->file, old[i]->span)] = old[i];
}

static void keep_parts(anl_arena *arena, kept_value *kept, const anl_graph *graph, const anl_value *v)
{
    const char *names[ANL_MAX_AXES + 64];
    if (v->kind == ANL_V_NODE)
        for (int i = 0; i < v->node->rank; i++)
            if (!graph->axis_names[v->node->axes[i].id].hidden)
                names[kept->part_count++] = anl_graph_axis_name(graph, v->node->axes[i].id);
    for (int i = 0; v->kind == ANL_V_MAPPING && i < v->mapping.count && i < 64; i++)
        names[kept->part_count++] = v->mapping.names[i];
    kept->members = v->kind == ANL_V_MAPPING;
    const char **copy = ANL_NEW_ARRAY(arena, const char *, kept->part_count + 1);
    for (int i = 0; i < kept->part_count; i++)
        copy[i] = anl_arena_text(arena, names[i]);
    kept->parts = copy;
}

static heard_file *file_heard(editor_hearing *h, const char *name)
{
    for (int i = 0; i < h->file_count; i++)
        if (h->files[i].name == name) /* every file has its name once */
            return &h->files[i];
    const editor_file *file = anl_editor_file(h->editor, name);
    heard_file heard = {.name = name, .file = file->open ? file : NULL};
    int capacity = 0;
    for (const char *at = file->open ? file->text : NULL; at;) {
        ANL_PUSH(h->arena, heard.lines, heard.line_count, capacity, at);
        at = memchr(at, '\n', (size_t)(file->text + file->length - at));
        at = at ? at + 1 : NULL;
    }
    ANL_PUSH(h->arena, h->files, h->file_count, h->file_capacity, heard);
    return &h->files[h->file_count - 1];
}

/* The word at a place, or NULL where there is more than a word. */
static const char *word_at(const editor_hearing *h, anl_span span)
{
    const heard_file *heard = h->last;
    if (span.line > heard->line_count || span.length < 1)
        return NULL;
    const char *from = heard->lines[span.line - 1] + span.column - 1, *end = heard->file->text + heard->file->length;
    if (end - from < span.length)
        return NULL;
    for (int i = 0; i < span.length; i++)
        if (from[i] != '_' && !isalnum((unsigned char)from[i]))
            return NULL;
    return anl_arena_copy(h->arena, from, (size_t)span.length);
}

void editor_hear_value(void *context, const anl_graph *graph, const anl_seen *seen)
{
    editor_hearing *h = context;
    editor_check *check = h->check;
    if (check->arena != h->arena)
        return;
    if (!h->last || h->last->name != seen->span.file)
        h->last = file_heard(h, seen->span.file);
    const editor_file *file = h->last->file;
    if (!file)
        return;
    if (2 * (check->value_count + 1) > check->value_capacity)
        grow(h);
    kept_value **first = &check->values[slot_of(check, file, seen->span)];
    anl_text text = {0};
    anl_text_add(&text, "");
    add_value(&text, graph, seen->value, 0);
    int of_place = 0;
    kept_value **at = first;
    for (; *at && (strcmp((*at)->text, text.data) || ((*at)->flops == 0 && seen->flops > 0)); at = &(*at)->next)
        of_place++;
    if (*at) {
        (*at)->others += strcmp((*at)->path, seen->path) != 0;
    } else if (of_place < KEPT_OF_ONE_PLACE) {
        check->value_count += !*first;
        kept_value *kept = ANL_NEW(h->arena, kept_value);
        *kept = (kept_value){.file = file, .span = seen->span, .flops = seen->flops};
        kept->span.file = NULL;
        kept->word = word_at(h, seen->span);
        kept->path = anl_arena_text(h->arena, seen->path);
        kept->text = anl_arena_text(h->arena, text.data);
        kept->bytes = seen->value->kind == ANL_V_NODE ? 4 * anl_node_count(seen->value->node) : 0;
        keep_parts(h->arena, kept, graph, seen->value);
        *at = kept;
    }
    anl_text_free(&text);
}

void editor_hear_traces(void *context, const anl_lint_pass *pass)
{
    editor_hearing *h = context;
    const anl_traced *traced = pass->train ? pass->train : pass->evaluate;
    if (!traced || h->check->arena != h->arena)
        return;
    h->check->weights = ANL_NEW_ARRAY(h->arena, kept_weight, traced->graph->state_count + 1);
    for (int i = 0; i < traced->graph->state_count; i++) {
        const anl_state *s = traced->graph->states[i];
        if (s->kind == ANL_STATE_OTHER)
            continue;
        kept_weight *w = &h->check->weights[h->check->weight_count++];
        w->path = anl_arena_text(h->arena, s->path);
        w->count = 1;
        for (int k = 0; k < s->rank; k++)
            w->count *= s->axes[k].size;
    }
}

/* ---- asking ---- */

const kept_value *editor_values(const anl_editor *editor, const editor_file *file, anl_span span)
{
    const kept_value *found = NULL;
    for (int i = 0; i < editor->check_count; i++) {
        const editor_check *check = editor->checks[i];
        const kept_value *v = check->value_capacity ? check->values[slot_of(check, file, span)] : NULL;
        if (v && (!found || !strcmp(check->path, file->path)))
            found = v;
    }
    return found;
}

const kept_value *editor_value_named(const anl_editor *editor, const editor_file *file, const char *name, size_t at)
{
    int line = 1, nearest = 0;
    for (size_t i = 0; i < at && i < file->length; i++)
        line += file->text[i] == '\n';
    const kept_value *found = NULL;
    for (int i = 0; i < editor->check_count; i++)
        for (int k = 0; k < editor->checks[i]->value_capacity; k++) {
            const kept_value *v = editor->checks[i]->values[k];
            if (!v || v->file != file || !v->word || strcmp(v->word, name) || !v->part_count)
                continue;
            int distance = abs(v->span.line - line);
            if (!found || distance < nearest) {
                found = v;
                nearest = distance;
            }
        }
    return found;
}

int editor_weights(const anl_editor *editor, const char *glob, int64_t *numbers)
{
    int most = 0;
    *numbers = 0;
    for (int i = 0; i < editor->check_count; i++) {
        const editor_check *check = editor->checks[i];
        int count = 0;
        int64_t sum = 0;
        for (int k = 0; k < check->weight_count; k++)
            if (anl_glob_match(glob, check->weights[k].path)) {
                count++;
                sum += check->weights[k].count;
            }
        if (count > most) {
            most = count;
            *numbers = sum;
        }
    }
    return most;
}
