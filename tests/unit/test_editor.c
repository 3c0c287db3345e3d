/* Tests of what editors ask: names of all stock specs mean something and can be renamed without a new problem; any place of any
 * text, whole or torn off, can be asked about; completion in broken texts; values stay until they are seen anew.
 * In: specs/ of the source tree (ANL_TEST_ROOT), texts made here. Out: check's report. */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <anlage/editor.h>

#include "lint/cursor.h"
#include "lint/forms.h"
#include "lint/project.h"

static char root[512];
static const anl_lint_options none;

static const char *const recipes[] = {"specs/pretrain/swav.yaml",         "specs/pretrain/bench.yaml",
                                      "specs/finetune/classify.yaml",     "tests/specs/accepted/queue.yaml",
                                      "tests/specs/accepted/hybrid.yaml", "tests/specs/accepted/optimizer_rule.yaml",
                                      "tests/end_to_end/lsp/main.yaml"};

/* Sanitizers cost a factor of ten: fewer of the same are asked then. */
static int slower(void) { return getenv("ANL_SANITIZED") ? 7 : 1; }

static const char *path_of(const char *name)
{
    static char path[4][1024];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, 1024, "%s/%s", root, name);
    return out;
}

static char *text_of(const char *path, size_t *length)
{
    anl_arena *arena = anl_arena_new();
    char *text;
    ck_assert_int_eq(anl_file_read(arena, path, 0, &text, length), ANL_OK);
    char *copy = strndup(text, *length);
    anl_arena_free(&arena);
    return copy;
}

static void open_file(anl_editor *editor, const char *path)
{
    size_t length;
    char *text = text_of(path, &length);
    anl_editor_open(editor, path, text, length);
    free(text);
}

static int check(anl_editor *editor, const char *path)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_editor_check(editor, path, &none, diagnostics);
    int count = anl_diagnostics_count(diagnostics);
    anl_diagnostics_free(&diagnostics);
    return count;
}

/* ---- names ---- */

/* Every name of the stock specs is something that the rules of project.c find. */
START_TEST(test_all_names_are_known)
{
    anl_editor *editor = anl_editor_new();
    anl_arena *arena = anl_arena_new();
    project p = project_of(editor, arena, anl_editor_file(editor, path_of(recipes[_i])));
    int known = 0;
    for (int i = 0; i < p.count; i++) {
        const outline *o = editor_outline(editor, p.files[i]);
        for (int k = 0; k < o->mention_count; k++) {
            target t = project_target(&p, &o->mentions[k]);
            ck_assert_msg(t.kind != TARGET_NONE, "%s:%d:%d: what is `%s`?", p.files[i]->path, o->mentions[k].span.line,
                          o->mentions[k].span.column, o->mentions[k].name);
            known++;
        }
    }
    ck_assert_int_gt(known, 20);
    anl_arena_free(&arena);
    anl_editor_free(&editor);
}
END_TEST

static size_t offset_of(const char *text, anl_span span)
{
    const char *at = text;
    for (int line = 1; line < span.line; line++)
        at = strchr(at, '\n') + 1;
    return (size_t)(at - text) + (size_t)span.column - 1;
}

static int compare_edits(const void *left, const void *right)
{
    const anl_edit *a = left, *b = right;
    return a->span.line != b->span.line ? b->span.line - a->span.line : b->span.column - a->span.column;
}

/* Makes the edits in the editor's texts; in which files, is returned: they are to be closed again. */
static int apply(anl_editor *editor, const anl_edit *edits, int count, const char *files[64])
{
    anl_edit *sorted = malloc(sizeof *sorted * (size_t)(count + 1));
    int file_count = 0;
    for (int i = 0; i < count; i++) {
        sorted[i] = edits[i];
        sorted[i].span.file = strdup(edits[i].span.file);
        sorted[i].text = strdup(edits[i].text);
        int k = 0;
        while (k < file_count && strcmp(files[k], edits[i].span.file))
            k++;
        if (k == file_count) {
            ck_assert_int_lt(file_count, 64);
            files[file_count++] = strdup(edits[i].span.file);
        }
    }
    qsort(sorted, (size_t)count, sizeof *sorted, compare_edits); /* the last first: places before it stay */
    for (int k = 0; k < file_count; k++) {
        size_t length;
        char *text = strdup(anl_editor_text(editor, files[k], &length));
        for (int i = 0; i < count; i++) {
            if (strcmp(sorted[i].span.file, files[k]))
                continue;
            size_t at = offset_of(text, sorted[i].span);
            char *next = NULL;
            ck_assert_int_ge(asprintf(&next, "%.*s%s%s", (int)at, text, sorted[i].text, text + at + sorted[i].span.length), 0);
            free(text);
            text = next;
        }
        anl_editor_open(editor, files[k], text, strlen(text));
        free(text);
    }
    for (int i = 0; i < count; i++) {
        free((char *)sorted[i].span.file);
        free((char *)sorted[i].text);
    }
    free(sorted);
    return file_count;
}

/* Renaming any name of a recipe or of what it imports leaves a spec without problems. Every ANL_TEST_STEP-th name, 7 where it is
 * not set. */
START_TEST(test_renaming)
{
    const char *recipe = strdup(path_of(recipes[_i])), *step = getenv("ANL_TEST_STEP");
    const int stride = step ? atoi(step) : 7 * slower();
    anl_editor *editor = anl_editor_new();
    anl_arena *arena = anl_arena_new();
    project p = project_of(editor, arena, anl_editor_file(editor, recipe));
    struct name {
        char *file, *name;
        size_t at;
    } *names = NULL;
    int count = 0, capacity = 0, renamed = 0;
    for (int i = 0; i < p.count; i++) {
        const outline *o = editor_outline(editor, p.files[i]);
        for (int k = 0; k < o->symbol_count; k++) {
            struct name n = {strdup(p.files[i]->path), strdup(o->symbols[k].name),
                             offset_of(p.files[i]->text, o->symbols[k].span)};
            ANL_PUSH(arena, names, count, capacity, n);
        }
    }
    ck_assert_int_eq(check(editor, recipe), 0);
    for (int i = _i % stride; i < count; i += stride) {
        const anl_edit *edits;
        const char *problem, *files[64];
        int edit_count;
        if (anl_editor_rename(editor, names[i].file, names[i].at, "fresh_name", &edits, &edit_count, &problem) != ANL_OK) {
            ck_assert_msg(strstr(problem, "its name") || strstr(problem, "of this name") || strstr(problem, "a path of weights"),
                          "%s: %s", names[i].name, problem);
            continue;
        }
        ck_assert_int_ge(edit_count, 1);
        int file_count = apply(editor, edits, edit_count, files);
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_editor_check(editor, recipe, &none, diagnostics);
        if (anl_diagnostics_count(diagnostics)) {
            anl_diagnostics_print(diagnostics, stderr, false);
            ck_abort_msg("%s of %s was renamed", names[i].name, names[i].file);
        }
        anl_diagnostics_free(&diagnostics);
        renamed++;
        for (int k = 0; k < file_count; k++) {
            anl_editor_close(editor, files[k]);
            free((char *)files[k]);
        }
    }
    ck_assert_int_gt(renamed, 0);
    for (int i = 0; i < count; i++) {
        free(names[i].file);
        free(names[i].name);
    }
    free((char *)recipe);
    anl_arena_free(&arena);
    anl_editor_free(&editor);
}
END_TEST

/* The language's own words are those of the tracer: each is understood where it may stand. */
START_TEST(test_forms)
{
    static const char spec[] =
        "anlage: 1\nparams: {batch: 2}\ndata:\n  train:\n    shards: none-*.h5\n    fields:\n"
        "      image: {axes: {channel: 2, y: 4, x: 4}}\n"
        "functions:\n  f:\n    inputs: {x: [channel, ~space]}\n    returns: sum(x, over=space)\ngraph:\n  value: %s\n";
    static const char *const uses[][2] = {{"if", "if(true, image, image)"},
                                          {"since", "if(since(1ep), image, image)"},
                                          {"training", "if(training, image, image)"},
                                          {"step", "image * step"},
                                          {"epoch", "image * epoch"},
                                          {"length", "image * length"},
                                          {"all", "sum(image, over=all)"},
                                          {"space", "f(image)"},
                                          {"axes", "sum(image, over=image.axes)"},
                                          {"first", "image * [1, 2].first"},
                                          {"last", "image * [1, 2].last"},
                                          {"count", "image * [1, 2].count"},
                                          {"as", "f(image, as=g)"},
                                          {"key", "f(image, key=g)"}};
    for (int i = 0; form_at(i); i++) {
        bool told = form_at(i)->kind == FORM_RULE || form_at(i)->kind == FORM_FUNCTION || !strcmp(form_at(i)->name, "_") ||
                    !strcmp(form_at(i)->name, "next"); /* in the stock specs */
        for (size_t k = 0; k < ANL_COUNT(uses); k++) {
            if (strcmp(uses[k][0], form_at(i)->name))
                continue;
            char text[1000];
            snprintf(text, sizeof text, spec, uses[k][1]);
            anl_editor *editor = anl_editor_new();
            anl_editor_open(editor, "/nowhere/spec.yaml", text, strlen(text));
            ck_assert_msg(check(editor, "/nowhere/spec.yaml") == 0, "%s", uses[k][1]);
            anl_editor_free(&editor);
            told = true;
        }
        ck_assert_msg(told, "no use of %s is tested", form_at(i)->name);
    }
}
END_TEST

/* ---- any place of any text ---- */

static void ask_everything(anl_editor *editor, const char *path, size_t at)
{
    anl_span range;
    const anl_span *spans;
    const anl_completion *candidates;
    const char *problem;
    size_t from;
    anl_editor_hover(editor, path, at, &range);
    anl_editor_definition(editor, path, at, &spans);
    anl_editor_renamed(editor, path, at, &range, &problem);
    anl_editor_complete(editor, path, at, &from, &candidates);
    ck_assert_uint_le(from, at);
}

START_TEST(test_any_place)
{
    size_t length;
    const char *path = strdup(path_of(recipes[_i]));
    char *text = text_of(path, &length);
    anl_editor *editor = anl_editor_new();
    anl_editor_open(editor, path, text, length);
    check(editor, path);
    for (size_t at = 0; at <= length + 1; at += 3 * (size_t)slower())
        ask_everything(editor, path, at);
    const anl_editor_symbol *symbols;
    int count = anl_editor_symbols(editor, path, &symbols);
    ck_assert_int_gt(count, 3);
    for (int i = 0; i < count; i++) {
        ck_assert_uint_le(symbols[i].start, symbols[i].end);
        ck_assert_uint_le(symbols[i].end, length);
    }
    for (size_t end = 0; end < length; end += 17 * (size_t)slower()) { /* torn off anywhere, asked at the end and in the middle */
        anl_editor_open(editor, path, text, end);
        ask_everything(editor, path, end);
        ask_everything(editor, path, end / 2);
        anl_editor_symbols(editor, path, &symbols);
    }
    free(text);
    free((char *)path);
    anl_editor_free(&editor);
}
END_TEST

/* ---- completion ---- */

/* The text, with | for the cursor; what is to be among the candidates, and what is not. */
static const struct {
    const char *text, *wanted, *unwanted;
} completions[] = {
    {"|", "anlage", "pooled"},
    {"anlage: 1\npa|", "params", "anlage"},
    {"anlage: 1\nfunctions:\n  f:\n    |", "returns", "params_of"},
    {"anlage: 1\nfunctions:\n  f:\n    weights:\n      w: {kind: |", "matrix", "mean"},
    {"anlage: 1\nfunctions:\n  f:\n    weights:\n      w:\n        |", "init", "update"},
    {"anlage: 1\nfunctions:\n  f:\n    inputs: {x: [|", "~space", "mean"},
    {"anlage: 1\nfunctions:\n  f:\n    inputs: {x: [channel]}\n    params: {over: axis}\n    returns: mean(x, over=|", "over",
     "exp"},
    {"anlage: 1\nfunctions:\n  f:\n    inputs: {x: [channel]}\n    returns: x.|", "channel", "exp"},
    {"anlage: 1\nfunctions:\n  f:\n    inputs: {x: [channel]}\n    nodes:\n      part: x\n    returns: p|", "part", "over"},
    {"anlage: 1\nfunctions:\n  f: {inputs: {x: [channel]}, returns: x}\ngraph:\n  a: f(|", "x", NULL},
    {"anlage: 1\nfunctions:\n  f: {inputs: {x: [channel]}, returns: {first_part: x}}\ngraph:\n  a: f(image)\n  b: a.|",
     "first_part", "exp"},
    {"anlage: 1\ngraph:\n  a: exp(1) # |", NULL, "exp"},
    {"anlage: 1\ngraph:\n  a: \"exp(|", "x", NULL},
    {"anlage: 1\ngraph:\n  a:\n    - |", "repeat", "params"},
    {"anlage: 1\ngraph:\n  a:\n    - 1\n    - repeat: {|", "times", "exp"},
    {"anlage: 1\ngraph:\n  a:\n    - 1\n    - sum: {|", "over", "x"},
    {"anlage: 1\ngraph:\n  a:\n    - 1\n    - sum:\n        |", "over", "x"},
    {"anlage: 1\ngraph:\n  a: [1, (2\n  b: e|", "exp", NULL},
    {"anlage: 1\nmodules:\n  m: exp(1)\n  t: {copy: |", "m", "exp"},
    {"anlage: 1\nmodules:\n  m: |", "if", "exp"},
    {"anlage: 1\nmetrics:\n  m:\n    measure: |", "roc_auc", "exp"},
    {"anlage: 1\nmodules:\n  m: exp(1)\ntrain:\n  optimizer:\n    - weights: \"|", "m", "exp"},
    {"anlage: 1\ntrain:\n  optimizer:\n    - {weights: \"*\", |", "rule", "length"},
    {"anlage: 1\ntrain:\n  checkpoint: {|", "every", "length"},
    {"anlage: 1\ndata:\n  train:\n    fields:\n      image: {axes: {channel: 1}}\n      mask: {axes: {|", "channel", "exp"},
    {"anlage: 1\nparams:\n  when: {default: 3ep}\n  other: 3\ntrain:\n  length: |", "when", NULL},
    {"anlage: 1\nparams:\n  a: {type: te|", "text", "exp"},
};

START_TEST(test_completion)
{
    const char *text = completions[_i].text, *cursor = strchr(text, '|');
    char *whole = NULL;
    ck_assert_int_ge(asprintf(&whole, "%.*s%s\n", (int)(cursor - text), text, cursor + 1), 0);
    anl_editor *editor = anl_editor_new();
    anl_editor_open(editor, "/nowhere/spec.yaml", whole, strlen(whole));
    size_t from;
    const anl_completion *list;
    int count = anl_editor_complete(editor, "/nowhere/spec.yaml", (size_t)(cursor - text), &from, &list);
    bool wanted = !completions[_i].wanted;
    for (int i = 0; i < count; i++) {
        wanted = wanted || !strcmp(list[i].label, completions[_i].wanted);
        ck_assert_msg(!completions[_i].unwanted || strcmp(list[i].label, completions[_i].unwanted), "%s: offers %s", text,
                      list[i].label);
    }
    ck_assert_msg(wanted, "%s: does not offer %s", text, completions[_i].wanted);
    free(whole);
    anl_editor_free(&editor);
}
END_TEST

/* ---- values ---- */

START_TEST(test_values)
{
    anl_editor *editor = anl_editor_new();
    const char *recipe = strdup(path_of("tests/end_to_end/lsp/main.yaml")),
               *library = strdup(path_of("tests/end_to_end/lsp/parts.yaml"));
    size_t length;
    open_file(editor, recipe);
    ck_assert(!anl_editor_reads(editor, recipe, library));
    ck_assert_int_eq(check(editor, recipe), 0);
    ck_assert(anl_editor_reads(editor, recipe, library));
    const char *text = anl_editor_text(editor, recipe, &length);
    size_t pooled = (size_t)(strstr(text, "pooled: ") - text);
    anl_span range;
    ck_assert(strstr(anl_editor_hover(editor, recipe, pooled, &range), "[batch 8, channel 2]"));
    ck_assert_int_eq(range.length, 6);
    /* a change upstream is seen with the next check; an unreadable text keeps what was seen */
    char *changed = strdup(text);
    memcpy(strstr(changed, "channel: 2"), "channel: 5", 10);
    anl_editor_open(editor, recipe, changed, strlen(changed));
    check(editor, recipe);
    ck_assert(strstr(anl_editor_hover(editor, recipe, pooled, &range), "[batch 8, channel 5]"));
    changed[strlen(changed) - 2] = '{';
    anl_editor_open(editor, recipe, changed, strlen(changed));
    ck_assert_int_gt(check(editor, recipe), 0);
    ck_assert(strstr(anl_editor_hover(editor, recipe, pooled, &range), "[batch 8, channel 5]"));
    anl_editor_close(editor, recipe);
    ck_assert_int_eq(check(editor, recipe), 0);
    free(changed);
    free((char *)recipe);
    free((char *)library);
    anl_editor_free(&editor);
}
END_TEST

int main(void)
{
    const char *given = getenv("ANL_TEST_ROOT");
    char *real = realpath(given ? given : ".", NULL);
    snprintf(root, sizeof root, "%s", real);
    free(real);
    setenv("ANLAGE_SPECS", path_of("specs"), 1);
    Suite *suite = suite_create("editor");
    TCase *all = tcase_create("editor");
    tcase_add_loop_test(all, test_all_names_are_known, 0, ANL_COUNT(recipes));
    tcase_add_loop_test(all, test_renaming, 0, ANL_COUNT(recipes));
    tcase_add_loop_test(all, test_any_place, 0, ANL_COUNT(recipes));
    tcase_add_loop_test(all, test_completion, 0, ANL_COUNT(completions));
    tcase_add_test(all, test_forms);
    tcase_add_test(all, test_values);
    tcase_set_timeout(all, 300);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
