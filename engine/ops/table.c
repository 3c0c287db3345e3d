/* The operation table as a whole: look-up, printing and verification of graphs, and the reference that people read.
 * In: the families' declarations. Out: one description for each operation and builtin, and texts made from them. */
#include <anlage/ops.h>

#include "ops/build.h"

static const anl_op_info *const infos[ANL_OP_COUNT] = {
#define X(op, name) [ANL_OP_##op] = &anl_info_##name,
    ANL_OP_INFOS(X)
#undef X
};

const anl_op_info *anl_op_describe(anl_op op) { return (int)op >= 0 && op < ANL_OP_COUNT ? infos[op] : NULL; }

static const anl_builtin_list *const families[] = {&anl_builtins_elementwise, &anl_builtins_source,      &anl_builtins_reduction, &anl_builtins_movement,
                                                   &anl_builtins_windows,     &anl_builtins_contraction, &anl_builtins_sampling};

const anl_builtin *anl_builtin_at(int index)
{
    for (size_t f = 0; f < ANL_COUNT(families) && index >= 0; f++) {
        if (index < families[f]->count)
            return &families[f]->items[index];
        index -= families[f]->count;
    }
    return NULL;
}

const anl_builtin *anl_builtin_find(const char *name)
{
    for (size_t f = 0; f < ANL_COUNT(families); f++)
        for (int i = 0; i < families[f]->count; i++) {
            const anl_builtin *b = &families[f]->items[i];
            if (b->name[0] == name[0] && !strcmp(b->name, name)) /* asked at every call of a recipe */
                return b;
        }
    return NULL;
}

/* ---- the graph as text ---- */

static void add_axis_list(anl_text *text, const anl_graph *graph, const char *label, const int32_t *axes, int count)
{
    anl_text_printf(text, " %s=[", label);
    for (int i = 0; i < count; i++)
        anl_text_printf(text, "%s%s", i ? ", " : "", anl_graph_axis_name(graph, axes[i]));
    anl_text_add(text, "]");
}

static void add_attributes(anl_text *text, const anl_graph *graph, const anl_node *node)
{
    static const char *const roles[] = {"forward", "data", "weight"}, *const steps[] = {"step", "steps_per_epoch", "total_steps"};
    const anl_attrs *t = &node->attrs;
    switch (node->op) {
    case ANL_OP_CONST:
        anl_text_printf(text, " %g", t->value);
        break;
    case ANL_OP_FIELD:
        anl_text_printf(text, " %s", t->name);
        break;
    case ANL_OP_STATE:
        anl_text_printf(text, " %s", t->state->path);
        break;
    case ANL_OP_STEP:
        anl_text_printf(text, " %s", steps[t->count]);
        break;
    case ANL_OP_UNIFORM:
    case ANL_OP_NORMAL:
        anl_text_printf(text, " key=%016llx", (unsigned long long)t->key);
        add_axis_list(text, graph, "elements", t->over, t->over_count);
        break;
    case ANL_OP_SUM:
    case ANL_OP_MAX:
    case ANL_OP_ARGMAX:
    case ANL_OP_LOGSUMEXP:
    case ANL_OP_MEAN:
    case ANL_OP_VARIANCE:
        add_axis_list(text, graph, "over", t->over, t->over_count);
        break;
    case ANL_OP_REPLICATE:
    case ANL_OP_CONCAT:
        anl_text_printf(text, " axis=%s", anl_graph_axis_name(graph, t->axis[0]));
        break;
    case ANL_OP_SLICE:
        anl_text_printf(text, " axis=%s start=%d count=%d step=%d", anl_graph_axis_name(graph, t->axis[0]), t->start, t->count, t->step);
        break;
    case ANL_OP_PLACE:
        anl_text_printf(text, " axis=%s start=%d step=%d fill=%g", anl_graph_axis_name(graph, t->axis[0]), t->start, t->step, t->value);
        break;
    case ANL_OP_SPLIT:
        anl_text_printf(text, " axis=%s", anl_graph_axis_name(graph, t->axis[0]));
        add_axis_list(text, graph, "into", t->over, t->over_count);
        break;
    case ANL_OP_MERGE:
        add_axis_list(text, graph, "axes", t->over, t->over_count);
        anl_text_printf(text, " into=%s", anl_graph_axis_name(graph, t->axis[0]));
        break;
    case ANL_OP_GATHER:
        add_axis_list(text, graph, "axes", t->over, t->over_count);
        anl_text_printf(text, " outside=%g", t->value);
        break;
    case ANL_OP_WINDOWS:
    case ANL_OP_UNWINDOWS:
        anl_text_printf(text, " taps=%s fill=%g", anl_graph_axis_name(graph, t->axis[1]), t->value);
        break;
    case ANL_OP_CONTRACT:
        add_axis_list(text, graph, "over", t->over, t->over_count);
        if (t->slide_count)
            anl_text_printf(text, " %s", roles[t->role]);
        break;
    case ANL_OP_SEGMENT_SUM:
        anl_text_printf(text, " axis=%s into=%s", anl_graph_axis_name(graph, t->axis[0]), anl_graph_axis_name(graph, t->axis[1]));
        break;
    case ANL_OP_TOP_K:
        anl_text_printf(text, " axis=%s count=%d", anl_graph_axis_name(graph, t->axis[0]), t->count);
        break;
    default:
        break;
    }
    for (int i = 0; i < t->slide_count; i++) {
        const anl_slide *s = &t->slide[i];
        anl_text_printf(text, " %s(%d by %d to %d", anl_graph_axis_name(graph, s->axis), s->in_size, s->tap_size, s->out_size);
        if (s->stride != 1)
            anl_text_printf(text, ", stride %d", s->stride);
        if (s->dilation != 1)
            anl_text_printf(text, ", dilation %d", s->dilation);
        if (s->padding)
            anl_text_printf(text, ", padding %d", s->padding);
        anl_text_add(text, ")");
    }
}

static void print_node(const anl_graph *graph, const anl_node *node, FILE *out)
{
    anl_text text = {0};
    anl_text_printf(&text, "%%%d = %s(", node->id, node->op == ANL_OP_SCALAR ? anl_scalar_name(node->attrs.scalar) : anl_op_describe(node->op)->name);
    for (int i = 0; i < node->input_count; i++)
        anl_text_printf(&text, "%s%%%d", i ? ", " : "", node->inputs[i]->id);
    anl_text_add(&text, ")");
    add_attributes(&text, graph, node);
    anl_text_printf(&text, " %s [", anl_dtype_name(node->dtype));
    for (int i = 0; i < node->rank; i++)
        anl_text_printf(&text, "%s%s %d", i ? ", " : "", anl_graph_axis_name(graph, node->axes[i].id), node->axes[i].size);
    anl_text_add(&text, "]");
    if (node->path && node->path[0])
        anl_text_printf(&text, "  %s", node->path);
    fprintf(out, "%s\n", text.data);
    anl_text_free(&text);
}

void anl_graph_print(const anl_graph *graph, FILE *out)
{
    for (int i = 0; i < graph->node_count; i++)
        print_node(graph, graph->nodes[i], out);
    for (int i = 0; i < graph->state_count; i++)
        if (graph->states[i]->update)
            fprintf(out, "update %s = %%%d\n", graph->states[i]->path, graph->states[i]->update->id);
    for (int i = 0; i < graph->output_count; i++)
        fprintf(out, "output %s = %%%d\n", graph->outputs[i].name, graph->outputs[i].node->id);
}

/* ---- verification ---- */

static const char *verify_node(const anl_graph *graph, const anl_node *node, int position)
{
    const anl_op_info *info = anl_op_describe(node->op);
    if (!info)
        return "no such operation";
    if (node->id != position)
        return "its number is not its position";
    if (node->rank < 0 || node->rank > ANL_MAX_AXES)
        return "too many axes";
    for (int i = 0; i < node->input_count; i++) {
        const anl_node *input = node->inputs[i];
        if (!input || input->id < 0 || input->id >= node->id || graph->nodes[input->id] != input)
            return "an input does not come before it";
    }
    for (int i = 0; i < node->rank; i++) {
        if (node->axes[i].id < 0 || node->axes[i].id >= graph->axis_count)
            return "an axis that the graph does not know";
        if (node->axes[i].size < 1)
            return "an axis without elements";
        for (int k = 0; k < i; k++)
            if (node->axes[k].id == node->axes[i].id)
                return "an axis twice";
    }
    if ((int)node->dtype < 0 || node->dtype > ANL_BOOL)
        return "no such dtype";
    return info->verify(graph, node);
}

static bool in_graph(const anl_graph *graph, const anl_node *node)
{
    return node->id >= 0 && node->id < graph->node_count && graph->nodes[node->id] == node;
}

anl_status anl_graph_verify(const anl_graph *graph, anl_diagnostics *diagnostics)
{
    anl_status status = ANL_OK;
    for (int i = 0; i < graph->node_count; i++) {
        const anl_node *node = graph->nodes[i];
        const char *wrong = verify_node(graph, node, i);
        if (!wrong)
            continue;
        const anl_op_info *info = anl_op_describe(node->op);
        const char *name = node->op == ANL_OP_SCALAR ? anl_scalar_name(node->attrs.scalar) : info ? info->name : "?";
        anl_diagnose(diagnostics, ANL_A_graph_invalid, node->span, "internal: node %%%d (`%s`%s%s): %s", i, name, node->path && node->path[0] ? ", " : "",
                     node->path ? node->path : "", wrong);
        status = ANL_ERROR_SPEC;
    }
    for (int i = 0; i < graph->state_count; i++) {
        const anl_state *s = graph->states[i];
        const anl_node *update = s->update;
        bool fits = !update || (in_graph(graph, update) && update->rank == s->rank && update->dtype == s->dtype);
        for (int k = 0; fits && update && k < s->rank; k++)
            fits = anl_node_size(update, s->axes[k].id) == s->axes[k].size;
        if (!fits) {
            anl_diagnose(diagnostics, ANL_A_graph_invalid, s->span, "internal: the update of `%s` does not fit its axes", s->path);
            status = ANL_ERROR_SPEC;
        }
    }
    for (int i = 0; i < graph->output_count; i++)
        if (!in_graph(graph, graph->outputs[i].node)) {
            anl_diagnose(diagnostics, ANL_A_graph_invalid, graph->outputs[i].node->span, "internal: output `%s` is not a node of the graph", graph->outputs[i].name);
            status = ANL_ERROR_SPEC;
        }
    return status;
}

/* ---- the reference ---- */

const char *anl_op_param_words(char kind)
{
    switch (kind) {
    case 'v':
        return "value";
    case 'a':
        return "axis";
    case 'A':
        return "axes";
    case 'i':
        return "integer";
    case 'n':
        return "number";
    case 'b':
        return "true or false";
    case 't':
        return "word";
    case 'l':
        return "list";
    case 'm':
        return "pairs";
    default:
        return "";
    }
}

void anl_builtin_signature(anl_text *text, const anl_builtin *b)
{
    anl_text_printf(text, "%s(", b->name);
    for (int i = 0; i < b->param_count; i++) {
        const anl_op_param *p = &b->params[i];
        anl_text_printf(text, "%s%s", i ? ", " : "", strcmp(p->name, "pairs") == 0 ? p->doc : p->name);
        if (p->fallback && strcmp(p->fallback, "none") != 0)
            anl_text_printf(text, "=%s", p->fallback);
        else if (p->fallback)
            anl_text_add(text, "=…");
    }
    anl_text_add(text, ")");
}

/* Columns that a text takes: UTF-8 continuation bytes take none. */
static int signature_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

/* Text broken at spaces to lines of at most width columns, each after an indent. */
static void print_wrapped(FILE *out, const char *text, int indent, int width)
{
    while (*text) {
        int length = 0, columns = 0, last = 0;
        for (; text[length] && (columns <= width - indent || !last); length++) {
            columns += ((unsigned char)text[length] & 0xC0) != 0x80; /* UTF-8: continuation bytes take no column */
            if (text[length] == ' ' && columns <= width - indent + 1)
                last = length;
        }
        int take = text[length] || columns > width - indent ? (last ? last : length) : length;
        fprintf(out, "%*s%.*s\n", indent, "", take, text);
        text += take;
        while (*text == ' ')
            text++;
    }
}

static void print_one(FILE *out, const anl_builtin *b)
{
    anl_text text = {0};
    anl_builtin_signature(&text, b);
    fprintf(out, "%s\n", text.data);
    anl_text_free(&text);
    print_wrapped(out, b->doc, 4, 100);
    fprintf(out, "\n");
    int widest = 0;
    for (int i = 0; i < b->param_count; i++)
        if ((int)strlen(b->params[i].name) > widest)
            widest = (int)strlen(b->params[i].name);
    for (int i = 0; i < b->param_count; i++) {
        const anl_op_param *p = &b->params[i];
        fprintf(out, "    %-*s  %s: %s", widest, p->name, anl_op_param_words(p->kind), p->doc);
        if (p->fallback && strcmp(p->fallback, "none") != 0)
            fprintf(out, " (default: %s)", p->fallback);
        else if (p->fallback)
            fprintf(out, " (optional)");
        fprintf(out, "\n");
    }
    fprintf(out, "\n    axes      %s\n    gradient  %s\n    example   %s\n", b->axes, b->gradient, b->example);
}

void anl_ops_print(FILE *out, const char *name)
{
    if (name) {
        const anl_builtin *b = anl_builtin_find(name);
        if (b)
            print_one(out, b);
        return;
    }
    /* By family, in the order in which families first appear. */
    for (int i = 0; anl_builtin_at(i); i++) {
        const char *family = anl_builtin_at(i)->family;
        bool told = false;
        for (int k = 0; k < i; k++)
            told |= strcmp(anl_builtin_at(k)->family, family) == 0;
        if (told)
            continue;
        fprintf(out, "%s%s\n", i ? "\n" : "", family);
        for (int k = i; anl_builtin_at(k); k++) {
            const anl_builtin *b = anl_builtin_at(k);
            if (strcmp(b->family, family) != 0)
                continue;
            anl_text text = {0};
            anl_builtin_signature(&text, b);
            int length = (int)strcspn(b->doc, ";."); /* the first part of the first sentence; a number's point does not end it */
            while (b->doc[length] == '.' && b->doc[length + 1] != ' ' && b->doc[length + 1])
                length += 1 + (int)strcspn(b->doc + length + 1, ";.");
            if (signature_columns(text.data) > 34)
                fprintf(out, "  %s\n  %-34s  %.*s\n", text.data, "", length, b->doc);
            else
                fprintf(out, "  %s%*s  %.*s\n", text.data, 34 - signature_columns(text.data), "", length, b->doc);
            anl_text_free(&text);
        }
    }
    fprintf(out, "\noperators\n  + - * / // %% **   < <= > >= == !=   and or not\n"
                 "      Elementwise. The result has exactly the axes of one operand; outer(v) allows a product of axes.\n");
}

bool anl_ops_has(const char *name) { return anl_builtin_find(name) != NULL; }

const char *anl_ops_nearest(const char *name)
{
    const char *names[256];
    int count = 0;
    for (; count < (int)ANL_COUNT(names) && anl_builtin_at(count); count++)
        names[count] = anl_builtin_at(count)->name;
    return anl_nearest(name, names, count);
}
