/* Two specs side by side: what differs in their resolved recipes and in their programs.
 * In: two accounts. Out: changes by path, as text or JSON.
 * Recipes are compared as they are printed once resolved: every expression has one form there, whichever file it came from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/account.h"
#include "spec/syntax.h"

/* ---- recipes ---- */
typedef struct comparison {
    anl_arena *arena;
    anl_change *changes;
    int count, capacity;
} comparison;

/* One line for a value, however it is written. */
static void render(const anl_syntax *s, anl_text *out)
{
    if (s->kind == ANL_Y_SCALAR) {
        anl_text_printf(out, s->quoted ? "\"%s\"" : "%s", s->text);
        return;
    }
    anl_text_add(out, s->kind == ANL_Y_LIST ? "[" : "{");
    for (int i = 0; i < s->count; i++) {
        if (i)
            anl_text_add(out, ", ");
        if (s->kind == ANL_Y_MAPPING)
            anl_text_printf(out, "%s: ", s->pairs[i].key);
        render(s->kind == ANL_Y_MAPPING ? s->pairs[i].value : s->items[i], out);
    }
    anl_text_add(out, s->kind == ANL_Y_LIST ? "]" : "}");
}

static const char *rendered(comparison *c, const anl_syntax *s)
{
    if (!s)
        return NULL;
    anl_text text = {0};
    render(s, &text);
    const char *copy = anl_arena_text(c->arena, text.data ? text.data : "");
    anl_text_free(&text);
    return copy;
}

static void note(comparison *c, const char *path, const anl_syntax *a, const anl_syntax *b)
{
    anl_change change = {!a ? ANL_ADDED : !b ? ANL_REMOVED : ANL_CHANGED, path, rendered(c, a), rendered(c, b)};
    ANL_PUSH(c->arena, c->changes, c->count, c->capacity, change);
}

static const anl_syntax *value_at(const anl_syntax *mapping, const char *key)
{
    for (int i = 0; mapping && mapping->kind == ANL_Y_MAPPING && i < mapping->count; i++)
        if (!strcmp(mapping->pairs[i].key, key))
            return mapping->pairs[i].value;
    return NULL;
}

static const char *joined(comparison *c, const char *path, const char *key)
{
    return *path ? anl_arena_printf(c->arena, "%s.%s", path, key) : key;
}

static void compare(comparison *c, const char *path, const anl_syntax *a, const anl_syntax *b);

static bool all_scalars(const anl_syntax *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->items[i]->kind != ANL_Y_SCALAR)
            return false;
    return true;
}

/* Steps that both have stay where they are (the longest common sequence); of what lies between, pairs are compared. */
static void compare_lists(comparison *c, const char *path, const anl_syntax *a, const anl_syntax *b)
{
    const char **x = ANL_NEW_ARRAY(c->arena, const char *, a->count + 1),
               **y = ANL_NEW_ARRAY(c->arena, const char *, b->count + 1);
    for (int i = 0; i < a->count; i++)
        x[i] = rendered(c, a->items[i]);
    for (int i = 0; i < b->count; i++)
        y[i] = rendered(c, b->items[i]);
    int width = b->count + 1, *longest = ANL_NEW_ARRAY(c->arena, int, (a->count + 1) * width);
    for (int i = a->count - 1; i >= 0; i--)
        for (int k = b->count - 1; k >= 0; k--) {
            int skip_a = longest[(i + 1) * width + k], skip_b = longest[i * width + k + 1];
            longest[i * width + k] = !strcmp(x[i], y[k]) ? longest[(i + 1) * width + k + 1] + 1
                                     : skip_a > skip_b   ? skip_a
                                                         : skip_b;
        }
    for (int i = 0, k = 0; i < a->count || k < b->count;) {
        if (i < a->count && k < b->count && !strcmp(x[i], y[k])) {
            i++;
            k++;
            continue;
        }
        int from = i, other = k;
        while (i < a->count && (k == b->count || longest[(i + 1) * width + k] == longest[i * width + k]) &&
               !(k < b->count && !strcmp(x[i], y[k])))
            i++;
        while (k < b->count && longest[i * width + k + 1] == longest[i * width + k] && !(i < a->count && !strcmp(x[i], y[k])))
            k++;
        for (int n = 0; n < i - from || n < k - other; n++)
            compare(c, anl_arena_printf(c->arena, "%s[%d]", path, (n < i - from ? from : other) + n),
                    n < i - from ? a->items[from + n] : NULL, n < k - other ? b->items[other + n] : NULL);
    }
}

static void compare(comparison *c, const char *path, const anl_syntax *a, const anl_syntax *b)
{
    if (!a || !b || a->kind != b->kind) {
        note(c, path, a, b);
    } else if (a->kind == ANL_Y_MAPPING) {
        for (int i = 0; i < a->count; i++)
            if (strcmp(a->pairs[i].key, "doc"))
                compare(c, joined(c, path, a->pairs[i].key), a->pairs[i].value, value_at(b, a->pairs[i].key));
        for (int i = 0; i < b->count; i++)
            if (strcmp(b->pairs[i].key, "doc") && !value_at(a, b->pairs[i].key))
                compare(c, joined(c, path, b->pairs[i].key), NULL, b->pairs[i].value);
    } else if (a->kind == ANL_Y_LIST && !(all_scalars(a) && all_scalars(b) && a->count == b->count)) {
        compare_lists(c, path, a, b);
    } else if (strcmp(rendered(c, a), rendered(c, b))) {
        note(c, path, a, b);
    }
}

/* The names that stand in a tree, however deep: enough to know which functions a recipe may reach. */
static bool mentions(const anl_syntax *s, const char *name)
{
    size_t length = strlen(name);
    if (s->kind == ANL_Y_SCALAR) {
        for (const char *at = strstr(s->text, name); at; at = strstr(at + 1, name)) {
            char before = at > s->text ? at[-1] : ' ', after = at[length];
#define IS_WORD(ch) (((ch) >= 'a' && (ch) <= 'z') || ((ch) >= 'A' && (ch) <= 'Z') || ((ch) >= '0' && (ch) <= '9') || (ch) == '_')
            if (!IS_WORD(before) && !IS_WORD(after))
                return true;
#undef IS_WORD
        }
        return false;
    }
    for (int i = 0; i < s->count; i++)
        if (s->kind == ANL_Y_MAPPING ? !strcmp(s->pairs[i].key, name) || mentions(s->pairs[i].value, name)
                                     : mentions(s->items[i], name))
            return true;
    return false;
}

/* Which functions the recipe reaches: those that its other sections name, and those that these name. */
static bool *reached(comparison *c, const anl_syntax *recipe, const anl_syntax *functions)
{
    bool *used = ANL_NEW_ARRAY(c->arena, bool, functions ? functions->count + 1 : 1);
    for (int i = 0; functions && i < functions->count; i++)
        for (int s = 0; s < recipe->count && !used[i]; s++)
            used[i] = recipe->pairs[s].value != functions && mentions(recipe->pairs[s].value, functions->pairs[i].key);
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; functions && i < functions->count; i++)
            for (int k = 0; k < functions->count && !used[i]; k++)
                if (used[k] && k != i && mentions(functions->pairs[k].value, functions->pairs[i].key))
                    used[i] = more = true;
    }
    return used;
}

static anl_syntax *resolved(anl_arena *arena, const anl_recipe *recipe, anl_diagnostics *diagnostics)
{
    anl_text text = {0};
    anl_syntax *tree = NULL;
    if (anl_recipe_print(recipe, &text) == ANL_OK)
        tree = anl_syntax_parse(arena, recipe->file, anl_arena_text(arena, text.data), text.length, diagnostics);
    anl_text_free(&text);
    return tree;
}

anl_status anl_compare_recipes(anl_arena *arena, const anl_recipe *a, const anl_recipe *b, anl_diagnostics *diagnostics,
                               anl_change **changes, int *count)
{
    comparison c = {.arena = arena};
    const anl_syntax *x = resolved(arena, a, diagnostics), *y = resolved(arena, b, diagnostics);
    if (!x || !y)
        return ANL_ERROR_SPEC;
    const anl_syntax *mine = value_at(x, "functions"), *theirs = value_at(y, "functions");
    const bool *used_a = reached(&c, x, mine), *used_b = reached(&c, y, theirs);
    for (int s = 0; s < x->count; s++)
        if (x->pairs[s].value != mine)
            compare(&c, x->pairs[s].key, x->pairs[s].value, value_at(y, x->pairs[s].key));
    for (int s = 0; s < y->count; s++)
        if (y->pairs[s].value != theirs && !value_at(x, y->pairs[s].key))
            compare(&c, y->pairs[s].key, NULL, y->pairs[s].value);
    for (int side = 0; side < 2; side++) {
        const anl_syntax *own = side ? theirs : mine, *other = side ? mine : theirs;
        for (int i = 0; own && i < own->count; i++) {
            const char *name = own->pairs[i].key;
            const anl_syntax *there = value_at(other, name);
            bool used = (side ? used_b : used_a)[i];
            for (int k = 0; there && k < other->count && !used; k++)
                used = !strcmp(other->pairs[k].key, name) && (side ? used_a : used_b)[k];
            if (used && !(side && there))
                compare(&c, joined(&c, "functions", name), side ? NULL : own->pairs[i].value, side ? own->pairs[i].value : there);
        }
    }
    *changes = c.changes;
    *count = c.count;
    return ANL_OK;
}

/* ---- as text ---- */
enum { LINE = 110, GIST = 90 }; /* a value that is longer than a gist and is in one spec only is not shown */

static void print_change(const anl_change *c, int width, FILE *out)
{
    if (c->kind == ANL_CHANGED) {
        if (width + (int)strlen(c->a) + (int)strlen(c->b) + 8 <= LINE)
            fprintf(out, "  %-*s  %s -> %s\n", width, c->path, c->a, c->b);
        else
            fprintf(out, "  %s\n    - %s\n    + %s\n", c->path, c->a, c->b);
        return;
    }
    const char *value = c->kind == ANL_REMOVED ? c->a : c->b;
    fprintf(out, "  %-*s  only in %s%s%s\n", width, c->path, c->kind == ANL_REMOVED ? "A" : "B",
            strlen(value) <= GIST ? ": " : "", strlen(value) <= GIST ? value : "");
}

typedef struct pair {
    const char *path;
    const anl_cost_line *a, *b; /* NULL: not there */
} pair;

/* The lines of both trees down to a depth, in the order of A, then those of B alone. */
static pair *pair_lines(const anl_account *a, const anl_account *b, int depth, int *count)
{
    pair *pairs = ANL_NEW_ARRAY(a->arena, pair, a->tree->count + b->tree->count);
    *count = 0;
    for (int i = 1; i < a->tree->count; i++)
        if (a->tree->lines[i].depth <= depth)
            pairs[(*count)++] = (pair){a->tree->lines[i].path, &a->tree->lines[i], anl_account_line(b, a->tree->lines[i].path)};
    for (int i = 1; i < b->tree->count; i++)
        if (b->tree->lines[i].depth <= depth && !anl_account_line(a, b->tree->lines[i].path))
            pairs[(*count)++] = (pair){b->tree->lines[i].path, NULL, &b->tree->lines[i]};
    return pairs;
}

/* What a line is compared by. */
enum { METRICS = 6 };
static const struct {
    const char *name;
    anl_total_unit unit;
} metrics[METRICS] = {{"parameters", ANL_TOTAL_COUNT}, {"state", ANL_TOTAL_BYTES}, {"activations", ANL_TOTAL_BYTES},
                      {"work", ANL_TOTAL_FLOPS},       {"moved", ANL_TOTAL_BYTES}, {"kernels", ANL_TOTAL_COUNT}};

static double metric(const anl_cost_line *l, int which)
{
    const double values[METRICS] = {(double)l->all.weights,     (double)(l->all.optimizer + l->all.state),
                                    (double)l->all.activations, anl_cost_flops(&l->all),
                                    anl_cost_bytes(&l->all),    l->all.kernels};
    return values[which];
}

/* "12 -> 13", or "-" where the two are alike; a spec that lacks the line shows as "none". */
static bool print_metric(const pair *p, int which, char out[80])
{
    char a[32] = "none", b[32] = "none";
    double x = p->a ? metric(p->a, which) : 0, y = p->b ? metric(p->b, which) : 0;
    if (p->a)
        anl_total_text(metrics[which].unit, x, a);
    if (p->b)
        anl_total_text(metrics[which].unit, y, b);
    bool differs = strcmp(a, b) != 0; /* what shares kernels with a change differs a little, too: no one asks for that */
    if (differs)
        snprintf(out, 80, "%s -> %s", a, b);
    else
        strcpy(out, "-");
    return differs;
}

static bool differs(const pair *p)
{
    char cell[80];
    bool any = false;
    for (int m = 0; m < METRICS; m++)
        any = print_metric(p, m, cell) || any;
    return any;
}

/* Columns in which nothing differs, and lines that do not, are left out. */
static void print_lines(const pair *pairs, int count, FILE *out)
{
    char cell[80];
    int width = 0, widths[METRICS] = {0};
    for (int i = 0; i < count; i++) {
        if (differs(&pairs[i]) && (int)strlen(pairs[i].path) > width)
            width = (int)strlen(pairs[i].path);
        for (int m = 0; m < METRICS; m++)
            if (print_metric(&pairs[i], m, cell) && (int)strlen(cell) > widths[m])
                widths[m] = (int)strlen(cell);
    }
    if (!width)
        return;
    fprintf(out, "\n  %-*s", width, "");
    for (int m = 0; m < METRICS; m++) {
        if (widths[m] && (int)strlen(metrics[m].name) > widths[m])
            widths[m] = (int)strlen(metrics[m].name);
        if (widths[m])
            fprintf(out, "  %*s", widths[m], metrics[m].name);
    }
    for (int i = 0; i < count; i++) {
        if (!differs(&pairs[i]))
            continue;
        fprintf(out, "\n  %-*s", width, pairs[i].path);
        for (int m = 0; m < METRICS; m++) {
            print_metric(&pairs[i], m, cell);
            if (widths[m])
                fprintf(out, "  %*s", widths[m], cell);
        }
    }
    fputc('\n', out);
}

void anl_compare_print(const anl_account *a, const anl_account *b, const anl_change *changes, int count, int depth, FILE *out)
{
    fprintf(out, "A: %s\nB: %s\n\nrecipe\n", a->spec, b->spec);
    int width = 0;
    for (int i = 0; i < count; i++)
        width =
            (int)strlen(changes[i].path) > width && strlen(changes[i].path) <= LINE / 2 ? (int)strlen(changes[i].path) : width;
    for (int i = 0; i < count; i++)
        print_change(&changes[i], width, out);
    if (!count)
        fputs("  the same\n", out);
    fprintf(out, "\nprogram\n");
    anl_total x[ANL_TOTALS], y[ANL_TOTALS];
    anl_account_totals(a, x);
    anl_account_totals(b, y);
    bool any = false;
    for (int i = 0; i < ANL_TOTALS; i++) {
        char of_a[32], of_b[32], difference[32];
        if (x[i].value == y[i].value)
            continue;
        if (!any)
            fprintf(out, "  %-16s  %12s  %12s  %14s\n", "", "A", "B", "B - A");
        any = true;
        anl_total_text(x[i].unit, x[i].value, of_a);
        anl_total_text(x[i].unit, y[i].value, of_b);
        anl_total_text(x[i].unit, y[i].value - x[i].value, difference);
        fprintf(out, "  %-16s  %12s  %12s  %14s\n", x[i].name, of_a, of_b,
                anl_arena_printf(a->arena, "%s%s", y[i].value > x[i].value ? "+" : "", difference));
    }
    if (!any)
        fputs("  needs and costs the same\n", out);
    int pair_count;
    pair *pairs = pair_lines(a, b, depth > 0 ? depth : 2, &pair_count);
    print_lines(pairs, pair_count, out);
}

/* ---- as JSON ---- */
static void write_cost(anl_json *j, const char *key, const anl_cost_line *l)
{
    if (!l) {
        anl_json_null(j, key);
        return;
    }
    anl_json_object(j, key);
    anl_json_integer(j, "parameters", l->all.weights);
    anl_json_integer(j, "optimizer_bytes", l->all.optimizer);
    anl_json_integer(j, "state_bytes", l->all.state);
    anl_json_integer(j, "activation_bytes", l->all.activations);
    anl_json_integer(j, "flops", llround(anl_cost_flops(&l->all)));
    anl_json_integer(j, "moved_bytes", llround(anl_cost_bytes(&l->all)));
    anl_json_integer(j, "kernels", l->all.kernels);
    anl_json_object_end(j);
}

void anl_compare_json(const anl_account *a, const anl_account *b, const anl_change *changes, int count, int depth, FILE *out)
{
    static const char *const kinds[] = {"changed", "removed", "added"};
    anl_text text = {0};
    anl_json json = {.text = &text, .pretty = true}, *j = &json;
    anl_json_object(j, NULL);
    anl_json_integer(j, "version", 1);
    anl_json_string(j, "a", a->spec);
    anl_json_string(j, "b", b->spec);
    anl_json_array(j, "recipe");
    for (int i = 0; i < count; i++) {
        anl_json_object(j, NULL);
        anl_json_string(j, "path", changes[i].path);
        anl_json_string(j, "change", kinds[changes[i].kind]);
        anl_json_string(j, "a", changes[i].a);
        anl_json_string(j, "b", changes[i].b);
        anl_json_object_end(j);
    }
    anl_json_array_end(j);
    anl_json_object(j, "totals");
    anl_total x[ANL_TOTALS], y[ANL_TOTALS];
    anl_account_totals(a, x);
    anl_account_totals(b, y);
    for (int i = 0; i < ANL_TOTALS; i++) {
        anl_json_object(j, x[i].key);
        anl_json_integer(j, "a", llround(x[i].value));
        anl_json_integer(j, "b", llround(y[i].value));
        anl_json_object_end(j);
    }
    anl_json_object_end(j);
    anl_json_array(j, "lines");
    int pair_count;
    pair *pairs = pair_lines(a, b, depth > 0 ? depth : INT32_MAX, &pair_count);
    for (int i = 0; i < pair_count; i++) {
        if (!differs(&pairs[i]))
            continue;
        anl_json_object(j, NULL);
        anl_json_string(j, "path", pairs[i].path);
        write_cost(j, "a", pairs[i].a);
        write_cost(j, "b", pairs[i].b);
        anl_json_object_end(j);
    }
    anl_json_array_end(j);
    anl_json_object_end(j);
    anl_text_add(&text, "\n");
    fwrite(text.data, 1, text.length, out);
    anl_text_free(&text);
}
