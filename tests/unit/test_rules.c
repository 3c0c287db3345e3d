/* Every code has its page, and the examples of each page give what it says.
 * In: the embedded pages. Out: check's report, one case a code.
 * Codes of programs, devices, data and runs (06 to 09) are given by no spec alone: their pages need prose only. */
#include <anlage/lint.h>
#include <anlage/modality.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"

/* Given by no spec alone. */
static bool runtime_code(anl_code code) { return code >= 600 || anl_code_internal(code); }

static int code_count(void)
{
    int count = 0;
    while (anl_code_at(count))
        count++;
    return count;
}

/* Options of the command, as the page says them. */
typedef struct words {
    char text[256];
    const char *sets[8], *data[8];
    anl_lint_options options;
} words;

static void read_options(const char *page, const char *key, words *w)
{
    rule_part part = rule_note(page, key);
    *w = (words){0};
    ck_assert_msg(part.length < sizeof w->text, "too many options");
    if (part.text)
        memcpy(w->text, part.text, part.length);
    w->text[part.length] = 0;
    w->options.overrides = w->sets;
    w->options.data = w->data;
    for (char *word = strtok(w->text, " "); word; word = strtok(NULL, " ")) {
        char *value = strtok(NULL, " ");
        ck_assert_msg(value != NULL, "option %s without a value", word);
        if (!strcmp(word, "--set"))
            w->sets[w->options.override_count++] = value;
        else if (!strcmp(word, "--data"))
            w->data[w->options.data_count++] = value;
        else if (!strcmp(word, "--assume"))
            w->options.assume = value;
        else
            ck_abort_msg("the option %s is none of lint's", word);
    }
}

/* Lints a section's example. */
static anl_diagnostics *lint_example(const char *page, const char *section, words *w)
{
    enum { MOST = 8 };
    static char names[MOST + 1][64];
    char *texts[MOST];
    anl_document documents[MOST + 1];
    int count = 0;
    for (rule_part part; (part = rule_example(page, section, count, names[count])).text; count++) {
        ck_assert_int_lt(count, MOST);
        texts[count] = strndup(part.text, part.length);
        documents[count] = (anl_document){names[count], texts[count], part.length};
    }
    ck_assert_msg(count > 0, "no example under `## %s`", section);
    int given = count;
    documents[count++] = (anl_document){"base.yaml", rule_base, strlen(rule_base)};
    w->options.documents = documents;
    w->options.document_count = count;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_lint(names[0], &w->options, diagnostics);
    for (int i = 0; i < given; i++)
        free(texts[i]);
    return diagnostics;
}

static int count_of(const anl_diagnostics *diagnostics, anl_code code, const anl_diagnostic **first)
{
    int count = 0;
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++)
        if (anl_diagnostics_get(diagnostics, i)->code == code && count++ == 0 && first)
            *first = anl_diagnostics_get(diagnostics, i);
    return count;
}

static bool also(const char *page, anl_code code)
{
    rule_part part = rule_note(page, "Also");
    char text[16];
    snprintf(text, sizeof text, "A%04d", code);
    return part.text && memmem(part.text, part.length, text, strlen(text));
}

static char *report_of(const anl_diagnostics *diagnostics)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics_print(diagnostics, out, false);
    fclose(out);
    return text;
}

/* The line of `# here` in the first file of the failing example, or 0. */
static int line_of_here(const char *page)
{
    char name[64];
    rule_part part = rule_example(page, "Fails", 0, name);
    int line = 1;
    for (size_t i = 0; i + 6 <= part.length; i++) {
        if (!memcmp(part.text + i, "# here", 6))
            return line;
        line += part.text[i] == '\n';
    }
    return 0;
}

/* What tests a code that cannot be shown in a page: a spec that promises the code, or a unit test that names it. */
static void check_tested(rule_part path, anl_code code)
{
    const char *root = getenv("ANL_TEST_ROOT");
    const char *const endings[] = {"", ".expect"};
    const bool unit = path.length > 2 && !memcmp(path.text + path.length - 2, ".c", 2);
    char name[512], text[64];
    if (unit)
        snprintf(text, sizeof text, "ANL_A_%s,", anl_code_name(code));
    else
        snprintf(text, sizeof text, " A%04d", code);
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        snprintf(name, sizeof name, "%s/%.*s%s", root ? root : ".", (int)path.length, path.text, endings[i]);
        FILE *file = fopen(name, "rb");
        char line[512];
        while (file && !found && fgets(line, sizeof line, file))
            found = (unit || !strncmp(line, "# expect: ", 10)) && strstr(line, text);
        if (file)
            fclose(file);
    }
    ck_assert_msg(found, "%.*s does not promise %s", (int)path.length, path.text, text);
}

START_TEST(page)
{
    anl_code code = anl_code_at(_i);
    const char *text = rule_page(code);
    ck_assert_msg(text != NULL, "A%04d %s has no page frontend/rules/A%04d.md (the build lists the folder when it is configured)", code, anl_code_name(code), code);
    ck_assert_msg(rule_title(text).length > 0 && rule_prose(text).length > 0, "A%04d: a title and prose are wanted", code);
    ck_assert_msg(!strstr(rule_about(code), "\nAlso: ") && !strstr(rule_about(code), "\nTested: "),
                  "A%04d: readers would see what only tests read", code);
    rule_part tested = rule_note(text, "Tested");
    if (tested.text) {
        check_tested(tested, code);
        return;
    }
    char name[64];
    if (runtime_code(code) && !rule_example(text, "Fails", 0, name).text)
        return;

    words w;
    read_options(text, "Options", &w);
    anl_diagnostics *fails = lint_example(text, "Fails", &w);
    const anl_diagnostic *first = NULL;
    char *report = report_of(fails);
    ck_assert_msg(count_of(fails, code, &first) > 0, "A%04d: the failing example does not give it, but:\n%s", code, report);
    for (int i = 0; i < anl_diagnostics_count(fails); i++) {
        anl_code other = anl_diagnostics_get(fails, i)->code;
        ck_assert_msg(other == code || also(text, other), "A%04d: the failing example gives A%04d as well:\n%s", code, other, report);
    }
    int here = line_of_here(text);
    ck_assert_msg(!here || first->span.line == here, "A%04d: expected at line %d:\n%s", code, here, report);
    ck_assert_msg(first->span.file != NULL, "A%04d has no place:\n%s", code, report);

    char *fixed = NULL;
    size_t length = 0;
    int fixes = 0;
    bool safe = anl_lint_fix(fails, "spec.yaml", &fixed, &length, &fixes) == ANL_OK && fixes > 0;
    rule_part expected = rule_example(text, "Fixed", 0, name);
    ck_assert_msg(!safe || expected.text, "A%04d: a safe fix is offered, but there is no `## Fixed`; it makes:\n%s", code, fixed);
    ck_assert_msg(safe || !expected.text, "A%04d: `## Fixed`, but no safe fix is offered:\n%s", code, report);
    if (safe) {
        ck_assert_msg(expected.length == length && !memcmp(expected.text, fixed, length), "A%04d: the fix makes:\n%s", code, fixed);
        anl_diagnostics *after = lint_example(text, "Fixed", &w);
        char *rest = report_of(after);
        ck_assert_msg(count_of(after, code, NULL) == 0, "A%04d: after the fix there still is:\n%s", code, rest);
        free(rest);
        anl_diagnostics_free(&after);
    }
    free(fixed);
    free(report);
    anl_diagnostics_free(&fails);

    if (rule_note(text, "Options that pass").text)
        read_options(text, "Options that pass", &w);
    anl_diagnostics *passes = lint_example(text, "Passes", &w);
    report = report_of(passes);
    ck_assert_msg(anl_diagnostics_count(passes) == 0, "A%04d: the passing example does not pass:\n%s", code, report);
    free(report);
    anl_diagnostics_free(&passes);
}
END_TEST

/* The page of A1101 lists the table of modalities. */
START_TEST(modalities)
{
    const char *page = rule_page(ANL_A_unknown_modality);
    for (int i = 0; anl_modality_names[i]; i++)
        ck_assert_msg(strstr(page, anl_modality_names[i]) != NULL, "A1101 does not say what `%s` is", anl_modality_names[i]);
}
END_TEST

/* No page without a code. */
START_TEST(no_other_pages)
{
    for (const rule_text *r = rule_texts; r->code; r++) {
        bool known = false;
        for (int i = 0; anl_code_at(i); i++)
            known = known || anl_code_at(i) == r->code;
        ck_assert_msg(known, "frontend/rules/A%04d.md is of no code", r->code);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rules");
    TCase *pages = tcase_create("pages");
    tcase_set_timeout(pages, 60);
    tcase_add_loop_test(pages, page, 0, code_count());
    tcase_add_test(pages, modalities);
    tcase_add_test(pages, no_other_pages);
    suite_add_tcase(suite, pages);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
