/* Single-token mutations of the stock specs, each linted: how many of those that change the meaning are reported, and where.
 * In: specs/ of the source tree, the number of mutations, a seed. Out: a table, with --list every mutation that is not reported or only
 * elsewhere; exit status 1 below the promised share, or where the linter crashed, hung or contradicted itself.
 * Whether a mutation changes the meaning is asked of the resolved recipe and of its graphs, not of the linter. A mutated library file is
 * linted through recipes that use all of it. Every mutation has a process of its own, so that a crash is one finding of many. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "spec/syntax.h"

enum { SECONDS = 60, NAMES = 40, HOSTS = 4, PROMISED = 93 };

/* ---- the specs and the recipes through which they are linted ---- */

static const struct {
    const char *path, *hosts[HOSTS]; /* no hosts: by itself */
} specs[] = {
    {"specs/pretrain/swav.yaml", {NULL}},
    {"specs/pretrain/bench.yaml", {NULL}},
    {"specs/finetune/classify.yaml", {NULL}},
    {"specs/hybrid/swav_classify.yaml", {NULL}},
    {"specs/lib/augment.yaml", {"tests/specs/accepted/library.yaml", "tests/specs/accepted/volumes.yaml"}},
    {"specs/lib/clustering.yaml", {"tests/specs/accepted/library.yaml"}},
    {"specs/lib/init.yaml", {"tests/specs/accepted/library.yaml"}},
    {"specs/lib/layers.yaml", {"tests/specs/accepted/library.yaml", "tests/specs/accepted/momentum.yaml"}},
    {"specs/lib/losses.yaml", {"tests/specs/accepted/library.yaml"}},
    {"specs/lib/momentum.yaml", {"tests/specs/accepted/library.yaml", "tests/specs/accepted/momentum.yaml"}},
    {"specs/lib/optimize.yaml",
     {"tests/specs/accepted/library.yaml", "tests/specs/accepted/momentum.yaml", "tests/specs/accepted/volumes.yaml"}},
    {"specs/lib/resnet.yaml", {"tests/specs/accepted/networks.yaml", "tests/specs/accepted/momentum.yaml"}},
};

typedef enum operator_kind { MISSPELT, RETYPED, DROPPED, MOVED, SWAPPED, OPERATORS } operator_kind;
static const char *const operator_names[] = {"key misspelt", "type changed", "line dropped", "indent moved", "name or axis swapped"};

/* A place that an operator may change. */
typedef struct site {
    int spec;
    size_t start, end;
    const char *key, *entry; /* the key whose value it is or stands in; the entry of a section or function around it */
    bool axis, scalar;       /* an axis's name; a whole YAML scalar */
} site;

typedef struct sites {
    site *items;
    int count, capacity;
} sites;

static anl_arena *arena;
static char *texts[ANL_COUNT(specs)];
static meaning meanings[ANL_COUNT(specs)][HOSTS];
static sites places[OPERATORS];
static sites words; /* what names and axes are swapped with */
static const char *axis_words[100];
static int axis_word_count;

static bool is_axis(const char *word)
{
    for (int i = 0; i < axis_word_count; i++)
        if (!strcmp(axis_words[i], word))
            return true;
    return false;
}

static const char *text_of(const site *s) { return anl_arena_copy(arena, texts[s->spec] + s->start, s->end - s->start); }

static size_t offset_of(const char *text, anl_span span)
{
    return (size_t)(line_start(text, span.line) - text) + (size_t)span.column - 1;
}

static void add(sites *list, site s) { ANL_PUSH(arena, list->items, list->count, list->capacity, s); }

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(*list, word))
            return true;
    return false;
}

static const char *const unread[] = {"doc", "title", NULL}; /* texts that mean nothing */
static const char *const reserved[] = {"and", "or", "not", "true", "false", "_", NULL};
static const char *const holders[] = {"nodes", "graph",  "views",  "modules",   "state", "losses",
                                      "params", "weights", "fields", "functions", "data",  NULL}; /* whose keys are entries */

/* Names, keyword arguments and literals inside a scalar. */
static void find_words(int spec, const anl_syntax *s, const char *key, const char *entry)
{
    const char *text = texts[spec];
    for (size_t at = s->start, end; at < s->end; at = end) {
        for (end = at; end < s->end && (word_byte(text[end]) || (text[end] == '.' && at < end && text[at] >= '0' && text[at] <= '9'));)
            end++;
        if (end == at) {
            end++;
            continue;
        }
        site here = {spec, at, end, key, entry, false, false};
        const char *word = text_of(&here);
        here.axis = is_axis(word);
        bool literal = (word[0] >= '0' && word[0] <= '9') || !strcmp(word, "true") || !strcmp(word, "false");
        size_t next = end + strspn(text + end, " ");
        bool keyword = next < s->end && text[next] == '=' && text[next + 1] != '=' && next > s->start;
        if (literal)
            add(&places[RETYPED], here);
        if (keyword)
            add(&places[MISSPELT], here);
        if (!literal && !is_one_of(word, reserved)) {
            if (!keyword || here.axis)
                add(&places[SWAPPED], here);
            add(&words, here);
        }
    }
}

static void find_sites(int spec, const anl_syntax *s, const char *holder, const char *key, const char *entry)
{
    if (s->kind == ANL_Y_SCALAR && s->source && s->end > s->start && !is_one_of(key, unread)) {
        site whole = {spec, s->start, s->end, key, entry, false, true};
        add(&places[RETYPED], whole);
        if (!s->block && !strstr(s->text, ".yaml") && !strstr(s->text, ".h5")) /* paths are no names */
            find_words(spec, s, key, entry);
    }
    for (int i = 0; i < s->count; i++) {
        if (s->kind == ANL_Y_LIST) {
            find_sites(spec, s->items[i], holder, key, entry);
            continue;
        }
        const anl_pair *pair = &s->pairs[i];
        size_t at = offset_of(texts[spec], pair->key_span);
        site here = {spec, at, at + (size_t)pair->key_span.length, key, entry, !strcmp(key, "axes") && is_axis(pair->key), false};
        add(&places[MISSPELT], here);
        if (here.axis) {
            add(&places[SWAPPED], here);
            add(&words, here);
        }
        find_sites(spec, pair->value, key, pair->key, is_one_of(key, holders) ? pair->key : entry);
    }
}

/* Axes are what stands under `axes:` and in the lists of `inputs:`. */
static void find_axes(const anl_syntax *s, const char *holder, const char *key)
{
    bool input = !strcmp(holder, "inputs") && s->kind == ANL_Y_SCALAR;
    if (input && s->text[0] != '.' && s->text[0] != '~' && !is_axis(s->text))
        axis_words[axis_word_count++] = s->text;
    for (int i = 0; i < s->count; i++) {
        if (s->kind == ANL_Y_LIST) {
            find_axes(s->items[i], holder, key);
            continue;
        }
        if (!strcmp(key, "axes") && s->pairs[i].key[0] != '~' && !is_axis(s->pairs[i].key))
            axis_words[axis_word_count++] = s->pairs[i].key;
        find_axes(s->pairs[i].value, key, s->pairs[i].key);
    }
}

static bool read_specs(const char *root)
{
    const anl_syntax *trees[ANL_COUNT(specs)];
    for (size_t i = 0; i < ANL_COUNT(specs); i++) {
        size_t length;
        if (anl_file_read(arena, anl_arena_printf(arena, "%s/%s", root, specs[i].path), 0, &texts[i], &length) != ANL_OK) {
            fprintf(stderr, "cannot read %s\n", specs[i].path);
            return false;
        }
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        trees[i] = anl_syntax_parse(arena, specs[i].path, texts[i], length, diagnostics);
        anl_diagnostics_free(&diagnostics);
        if (!trees[i])
            return false;
        find_axes(trees[i], "", "");
    }
    for (size_t i = 0; i < ANL_COUNT(specs); i++) {
        find_sites((int)i, trees[i], "", "", "");
        for (int line = 1; line_start(texts[i], line); line++) {
            const char *start = line_start(texts[i], line);
            site here = {(int)i, (size_t)(start - texts[i]), (size_t)(start - texts[i]) + (size_t)line_length(start), "", "", false, false};
            if (line_blank(start))
                continue;
            add(&places[DROPPED], here);
            add(&places[MOVED], here);
        }
    }
    return true;
}

/* ---- mutations ---- */

typedef struct mutation {
    operator_kind operator;
    int spec, line; /* of the mutated text; of a dropped line, the one that stands there now */
    char *text;
    const char *before, *after; /* what became what */
    const char *names[NAMES];   /* what the line says or said: lines that speak of these conflict with it */
    int name_count;
    const char *key; /* whose value it is, or stands in */
    int first, last; /* lines that count as the mutated one: that line, and for whole lines those that YAML holds together with it */
} mutation;

static void add_name(mutation *m, const char *name)
{
    if (name && name[0] && m->name_count < NAMES)
        m->names[m->name_count++] = name;
}

static void add_names(mutation *m, const char *text, size_t length)
{
    for (size_t at = 0, end; at < length && text[at] != '#'; at = end + (end == at)) {
        for (end = at; end < length && word_byte(text[end]);)
            end++;
        if (end > at && (text[at] < '0' || text[at] > '9'))
            add_name(m, anl_arena_copy(arena, text + at, end - at));
    }
}

static char *misspell(uint64_t *random, const char *word)
{
    size_t length = strlen(word);
    char *out = anl_arena_copy(arena, word, length + 1);
    size_t at = (size_t)draw_below(random, (int)length);
    char letter = (char)('a' + draw_below(random, 26));
    switch (draw_below(random, 4)) {
    case 0: /* neighbours exchanged */
        if (length > 1) {
            at = at + 1 < length ? at : at - 1;
            out[at] = word[at + 1];
            out[at + 1] = word[at];
        }
        break;
    case 1: /* one left out */
        if (length > 1)
            memmove(out + at, word + at + 1, length - at);
        break;
    case 2: /* one doubled */
        memcpy(out + at + 1, word + at, length - at);
        out[length + 1] = '\0';
        break;
    default:
        out[at] = letter;
    }
    return out;
}

/* Another type for a literal or for a whole value. A number for an expression is none: expressions are numbers, mostly. */
static const char *retype(uint64_t *random, const site *s, const char *old)
{
    char *end;
    strtod(old, &end);
    bool number = end > old && !*end, duration = end > old && (!strcmp(end, "ep") || !strcmp(end, "it"));
    if (duration)
        return draw_chance(random, 50) ? anl_arena_copy(arena, old, (size_t)(end - old)) : s->scalar ? "soon" : "true";
    if (!s->scalar) { /* inside an expression */
        const char *const others[] = {"true", "'text'", "3ep", "[1, 2]"};
        return others[draw_below(random, 4)];
    }
    const char *const of_number[] = {"true", "some words", "3ep", anl_arena_printf(arena, "[%s, %s]", old, old),
                                     anl_arena_printf(arena, "{a: %s}", old), anl_arena_printf(arena, "\"%s images\"", old)};
    const char *const of_others[] = {"true", "[1, 2]", "{a: 1}", "2ep"};
    return number ? of_number[draw_below(random, 6)] : of_others[draw_below(random, 4)];
}

static void replace(mutation *m, size_t start, size_t end, const char *with)
{
    anl_text text = {0};
    anl_text_addn(&text, texts[m->spec], start);
    anl_text_add(&text, with);
    anl_text_add(&text, texts[m->spec] + end);
    m->text = anl_arena_copy(arena, text.data, text.length);
    anl_text_free(&text);
    m->line = 1;
    for (const char *at = texts[m->spec]; at < texts[m->spec] + start; at++)
        m->line += *at == '\n';
    m->first = m->last = m->line;
}

/* The line above that holds this one, and the end of what this one holds. */
static void widen(mutation *m, const char *text, int line)
{
    const char *start = line_start(text, line);
    int indent = line_indent(start);
    for (m->first = line - 1; m->first > 1; m->first--) {
        const char *above = line_start(text, m->first);
        if (!line_blank(above) && line_indent(above) < indent)
            break;
    }
    for (m->last = line + 1;; m->last++) {
        const char *below = line_start(text, m->last);
        if (!below || (!line_blank(below) && line_indent(below) <= indent))
            break;
    }
}

static bool mutate(uint64_t *random, operator_kind operator, mutation *m)
{
    const sites *list = &places[operator];
    const site *s = &list->items[draw_below(random, list->count)];
    const char *old = text_of(s), *new = old, *text = texts[s->spec];
    *m = (mutation){.operator = operator, .spec = s->spec, .before = old, .key = s->key};
    int by[] = {-2, -1, 1, 2}, step = by[draw_below(random, 4)];
    switch (operator) {
    case MISSPELT:
        new = misspell(random, old);
        break;
    case RETYPED:
        new = retype(random, s, old);
        break;
    case SWAPPED:
        for (int tries = 0; tries < 1000; tries++) {
            const site *other = &words.items[draw_below(random, words.count)];
            new = text_of(other);
            if (other->spec == s->spec && other->axis == s->axis && strcmp(new, old))
                break;
            new = old;
        }
        break;
    case DROPPED:
        replace(m, s->start, s->end + (text[s->end] == '\n'), "");
        widen(m, text, m->line);
        m->last--; /* one line is gone */
        add_names(m, old, strlen(old));
        m->after = "";
        return true;
    case MOVED:
        if (line_indent(text + s->start) + step < 0)
            return false;
        new = step > 0 ? anl_arena_printf(arena, "%*s%s", step, "", old) : old - step;
        replace(m, s->start, s->end, new);
        widen(m, text, m->line);
        add_names(m, old, strlen(old));
        m->after = new;
        return true;
    case OPERATORS:
        break;
    }
    if (!strcmp(old, new))
        return false;
    replace(m, s->start, s->end, new);
    m->after = new;
    if (operator != RETYPED) {
        add_name(m, old);
        add_name(m, new);
    } else {
        add_names(m, old, strlen(old));
    }
    add_name(m, s->key);
    add_name(m, s->entry);
    return true;
}

/* ---- judgement ---- */

typedef enum verdict { SAME, ON_LINE, LABELLED, CONFLICT, ELSEWHERE, UNREPORTED, BROKEN, VERDICTS } verdict;
static const char *const verdict_names[] = {"same meaning", "on the line", "labelled", "conflict", "elsewhere", "unreported", "BROKEN"};

typedef struct outcome {
    verdict verdict;
    bool declared_only; /* the resolved recipe differs, its graphs do not */
    char said[400];
} outcome;

static bool in_file(anl_span span, const char *path)
{
    const char *name = strrchr(path, '/');
    size_t length = span.file ? strlen(span.file) : 0, size = strlen(name);
    return span.line > 0 && length >= size && !strcmp(span.file + length - size, name);
}

static bool on_line(const mutation *m, anl_span span)
{
    return in_file(span, specs[m->spec].path) && span.line >= m->first && span.line <= m->last;
}

static bool speaks(const mutation *m, const char *text, size_t length)
{
    for (int i = 0; i < m->name_count; i++)
        if (has_word(text, length, m->names[i]))
            return true;
    return false;
}

/* Whether the line at which something is reported speaks of what was mutated, or the message names it. */
static bool conflicts(const mutation *m, const anl_diagnostics *diagnostics, const anl_diagnostic *d)
{
    /* Without an import, the first line that misses what it brought is the one that conflicts. */
    if (m->operator == DROPPED && !strncmp(m->before, "import:", 7) &&
        (d->code == ANL_A_unknown_name || d->code == ANL_A_unknown_function || d->code == ANL_A_missing_key))
        return true;
    for (int i = -1; i < d->label_count; i++) {
        anl_span span = i < 0 ? d->span : d->labels[i].span;
        size_t length = 0;
        const char *text = span.file && span.line > 0 ? anl_diagnostics_text(diagnostics, span.file, &length) : NULL;
        const char *start = text ? line_start(text, span.line) : NULL;
        if (start && speaks(m, start, (size_t)line_length(start)))
            return true;
    }
    for (const char *at = strchr(d->message, '`'), *end; at && (end = strchr(at + 1, '`')); at = strchr(end + 1, '`'))
        if (speaks(m, at + 1, (size_t)(end - at - 1)))
            return true;
    return false;
}

static verdict judge(const mutation *m, const anl_diagnostics *diagnostics)
{
    verdict best = UNREPORTED;
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(diagnostics, i);
        verdict v = on_line(m, d->span) ? ON_LINE : conflicts(m, diagnostics, d) ? CONFLICT : ELSEWHERE;
        for (int k = 0; v != ON_LINE && k < d->label_count; k++)
            v = on_line(m, d->labels[k].span) ? LABELLED : v;
        for (int k = 0; v != ON_LINE && k < d->fix_count; k++)
            for (int j = 0; j < d->fixes[k].edit_count; j++)
                v = on_line(m, d->fixes[k].edits[j].span) ? LABELLED : v;
        best = v < best ? v : best;
    }
    return best;
}

static void say(outcome *o, const anl_diagnostics *diagnostics)
{
    const anl_diagnostic *d = anl_diagnostics_count(diagnostics) ? anl_diagnostics_get(diagnostics, 0) : NULL;
    if (d && !o->said[0])
        snprintf(o->said, sizeof o->said, "%s:%d: A%04d: %s", d->span.file ? d->span.file : "", d->span.line, d->code, d->message);
}

/* Runs in a process of its own. */
static void examine(const char *root, const mutation *m, outcome *o)
{
    const char *path = anl_arena_printf(arena, "%s/%s", root, specs[m->spec].path);
    anl_document document = {path, m->text, strlen(m->text)};
    anl_lint_options options = {.documents = &document, .document_count = 1};
    verdict best = UNREPORTED;
    bool changed = false;
    o->declared_only = true;
    if (specs[m->spec].hosts[0]) { /* a library file by itself, as in an editor */
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_lint(path, &options, diagnostics);
        best = judge(m, diagnostics);
        say(o, diagnostics);
        anl_diagnostics_free(&diagnostics);
    }
    for (int i = 0; i < HOSTS; i++) {
        const char *host = specs[m->spec].hosts[i];
        if (!host && i > 0)
            break;
        host = host ? anl_arena_printf(arena, "%s/%s", root, host) : path;
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_status status = anl_lint(host, &options, diagnostics);
        int errors = anl_diagnostics_errors(diagnostics);
        verdict v = judge(m, diagnostics);
        say(o, diagnostics);
        anl_diagnostics_free(&diagnostics);
        if ((status == ANL_OK) != (errors == 0)) {
            snprintf(o->said, sizeof o->said, "status %d with %d errors", (int)status, errors);
            o->verdict = BROKEN;
            return;
        }
        meaning now = errors ? (meaning){0} : meaning_of(host, &options), was = meanings[m->spec][i];
        if (!errors && !now.sound) {
            snprintf(o->said, sizeof o->said, "linted without errors, but cannot be traced");
            o->verdict = BROKEN;
            return;
        }
        changed = changed || errors || now.computed != was.computed || now.declared != was.declared;
        o->declared_only = o->declared_only && !errors && now.computed == was.computed;
        best = v < best ? v : best;
    }
    o->verdict = changed ? best : SAME;
}

typedef struct task {
    const char *root;
    const mutation *mutation;
    outcome *outcome;
} task;

static void work(void *context)
{
    task *k = context;
    examine(k->root, k->mutation, k->outcome);
}

static void run(const char *root, const mutation *m, outcome *o)
{
    memset(o, 0, sizeof *o);
    task k = {root, m, o};
    if (!run_apart(work, &k, SECONDS, o->said, sizeof o->said))
        o->verdict = BROKEN;
}

/* What an unreported mutation is, by the mutation alone: what a linter would have to know to find fault with it. */
typedef enum excuse { STEP_LESS, LINE_LESS, OTHER_PATH, OTHER_ENTRY, OTHER_NAME, UNCOMPUTED, OTHER_TYPE, EXCUSES } excuse;
static const char *const excuse_names[] = {"a step of a pipeline left out",     "another line left out",
                                           "another path of weights (as:)",     "another name of an entry that nothing names",
                                           "another name that may stand there", "no graph differs (a branch not taken, a range, a name)",
                                           "another type that may stand there"};

static excuse excuse_of(const mutation *m, const outcome *o)
{
    if (m->operator == DROPPED)
        return m->before[strspn(m->before, " ")] == '-' ? STEP_LESS : LINE_LESS;
    if (m->key && !strcmp(m->key, "as"))
        return OTHER_PATH;
    if (o->declared_only)
        return UNCOMPUTED;
    return m->operator == MISSPELT ? OTHER_ENTRY : m->operator == SWAPPED ? OTHER_NAME : OTHER_TYPE;
}

static void show(const mutation *m, const outcome *o)
{
    const char *start = line_start(m->text, m->line);
    printf("%s, %s: %s:%d: `%s` -> `%s`%s\n", verdict_names[o->verdict], operator_names[m->operator], specs[m->spec].path, m->line,
           m->before, m->after, o->declared_only && o->verdict == UNREPORTED ? " (declared only: no graph differs)" : "");
    if (start && m->operator != DROPPED && m->operator != MOVED)
        printf("    %.*s\n", line_length(start), start);
    if (o->said[0])
        printf("    %s\n", o->said);
}

int main(int argc, char **argv)
{
    int count = 1000;
    bool list = false;
    uint64_t random = 3;
    const char *root = getenv("ANL_TEST_ROOT");
    root = root ? root : ".";
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--list"))
            list = true;
        else if (!strncmp(argv[i], "--seed=", 7))
            random = strtoull(argv[i] + 7, NULL, 10);
        else
            count = atoi(argv[i]);
    arena = anl_arena_new();
    setenv("ANLAGE_SPECS", anl_arena_printf(arena, "%s/specs", root), 1);
    if (count < 1 || !read_specs(root)) {
        fprintf(stderr, "usage: mutations [COUNT] [--seed=N] [--list]; ANL_TEST_ROOT is the source tree\n");
        return 2;
    }
    for (size_t i = 0; i < ANL_COUNT(specs); i++)
        for (int k = 0; k < HOSTS && (k == 0 || specs[i].hosts[k]); k++) {
            const char *host = specs[i].hosts[k] ? specs[i].hosts[k] : specs[i].path;
            anl_lint_options none = {0};
            meanings[i][k] = meaning_of(anl_arena_printf(arena, "%s/%s", root, host), &none);
            if (!meanings[i][k].sound) {
                fprintf(stderr, "%s is not sound\n", host);
                return 1;
            }
        }
    outcome *o = shared_memory(sizeof *o);
    int counts[OPERATORS][VERDICTS] = {0}, excuses[EXCUSES] = {0};
    for (int i = 0; i < count; i++) {
        mutation m;
        while (!mutate(&random, (operator_kind)(i % OPERATORS), &m))
            ;
        run(root, &m, o);
        counts[m.operator][o->verdict]++;
        if (o->verdict == UNREPORTED)
            excuses[excuse_of(&m, o)]++;
        if (o->verdict == BROKEN || (list && o->verdict >= ELSEWHERE))
            show(&m, o);
    }
    printf("%-22s", "");
    for (int v = 0; v < VERDICTS; v++)
        printf(" %12s", verdict_names[v]);
    printf(" %12s\n", "at the place");
    int total[VERDICTS] = {0}, all_changed = 0, all_found = 0;
    for (int k = 0; k <= OPERATORS; k++) {
        const int *row = k < OPERATORS ? counts[k] : total;
        int changed = 0, found = row[ON_LINE] + row[LABELLED] + row[CONFLICT];
        printf("%-22s", k < OPERATORS ? operator_names[k] : "all");
        for (int v = 0; v < VERDICTS; v++) {
            printf(" %12d", row[v]);
            changed += v == SAME ? 0 : row[v];
            if (k < OPERATORS)
                total[v] += row[v];
        }
        printf(" %11.1f%%\n", changed ? 100.0 * found / changed : 100.0);
        all_changed = changed;
        all_found = found;
    }
    for (int k = 0; k < EXCUSES; k++)
        if (excuses[k])
            printf("unreported, %s: %d\n", excuse_names[k], excuses[k]);
    printf("%d mutations, %d change the meaning, %d of these (%.1f %%) are reported at their place\n", count, all_changed, all_found,
           100.0 * all_found / (all_changed ? all_changed : 1));
    bool good = total[BROKEN] == 0 && all_found * 100 >= all_changed * PROMISED;
    anl_arena_free(&arena);
    return good ? 0 : 1;
}
