/* The places that reports show: not only where a problem is, but whence its values came.
 * In: tests/specs/shown/NAME.yaml with lines `# options: --set name=value …`, `# expect: PLACE CODE`, `# shows: PLACE text`,
 * where a place is LINE:COLUMN or FILE:LINE:COLUMN. Out: check's report. What a spec says is all that there may be: every
 * diagnostic is expected, every label shown. */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/lint.h>

enum { MOST = 64 };

static char *specs[256];
static int spec_count;

static const char *root(void)
{
    const char *path = getenv("ANL_TEST_ROOT");
    return path ? path : ".";
}

typedef struct promise {
    char place[256], text[512]; /* of expect: the code */
    bool label, kept;
} promise;

typedef struct spec {
    char path[1024];
    promise promises[MOST];
    int count;
    char words[1024];
    const char *sets[8];
    int set_count;
} spec;

static void read_spec(const char *name, spec *s)
{
    memset(s, 0, sizeof *s);
    snprintf(s->path, sizeof s->path, "%s/tests/specs/shown/%s", root(), name);
    FILE *file = fopen(s->path, "r");
    ck_assert_msg(file != NULL, "%s cannot be read", s->path);
    char line[1024];
    while (fgets(line, sizeof line, file) && line[0] == '#') {
        line[strcspn(line, "\n")] = 0;
        promise p = {0};
        if (!strncmp(line, "# options: ", 11)) {
            snprintf(s->words, sizeof s->words, "%s", line + 11);
        } else if (sscanf(line, "# expect: %255s %511[^\n]", p.place, p.text) == 2) {
            ck_assert_int_lt(s->count, MOST);
            s->promises[s->count++] = p;
        } else if (sscanf(line, "# shows: %255s %511[^\n]", p.place, p.text) == 2) {
            ck_assert_int_lt(s->count, MOST);
            p.label = true;
            s->promises[s->count++] = p;
        } else {
            ck_assert_msg(strncmp(line, "# expect", 8) && strncmp(line, "# shows", 7), "%s: cannot read: %s", name, line);
        }
    }
    fclose(file);
    for (char *word = strtok(s->words, " "); word; word = strtok(NULL, " "))
        if (strcmp(word, "--set")) {
            ck_assert_int_lt(s->set_count, 8);
            s->sets[s->set_count++] = word;
        }
}

static bool is_at(const char *name, const char *place, anl_span span)
{
    char text[1200];
    const char *slash = span.file ? strrchr(span.file, '/') : NULL, *file = slash ? slash + 1 : span.file;
    if (file && !strcmp(file, name))
        snprintf(text, sizeof text, "%d:%d", span.line, span.column);
    else
        snprintf(text, sizeof text, "%s:%d:%d", file ? file : "", span.line, span.column);
    return !strcmp(text, place);
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

START_TEST(places)
{
    spec s;
    read_spec(specs[_i], &s);
    anl_lint_options options = {.overrides = s.sets, .override_count = s.set_count};
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_lint(s.path, &options, diagnostics);
    char *report = report_of(diagnostics);
    for (int i = 0; i < anl_diagnostics_count(diagnostics); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(diagnostics, i);
        char code[8];
        snprintf(code, sizeof code, "A%04d", d->code);
        for (int k = -1; k < d->label_count; k++) {
            anl_span span = k < 0 ? d->span : d->labels[k].span;
            bool found = false;
            for (int j = 0; j < s.count && !found; j++) {
                promise *p = &s.promises[j];
                found = !p->kept && p->label == (k >= 0) && is_at(specs[_i], p->place, span) &&
                        !strcmp(p->text, k < 0 ? code : d->labels[k].text);
                p->kept = p->kept || found;
            }
            ck_assert_msg(found, "%s does not say that %s:%d:%d is shown: %s\n%s", specs[_i], span.file, span.line, span.column,
                          k < 0 ? d->message : d->labels[k].text, report);
        }
    }
    for (int j = 0; j < s.count; j++)
        ck_assert_msg(s.promises[j].kept, "%s: not shown: %s %s\n%s", specs[_i], s.promises[j].place, s.promises[j].text, report);
    free(report);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int main(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/specs/shown", root());
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));)
        if (strstr(e->d_name, ".yaml") && spec_count < 256)
            specs[spec_count++] = strdup(e->d_name);
    if (folder)
        closedir(folder);
    qsort(specs, (size_t)spec_count, sizeof *specs, by_name);
    Suite *suite = suite_create("shown");
    TCase *all = tcase_create("places");
    tcase_add_loop_test(all, places, 0, spec_count);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner) + (spec_count == 0);
    srunner_free(runner);
    for (int i = 0; i < spec_count; i++)
        free(specs[i]);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
