/* The canonical layout: what becomes of texts, and that it becomes of itself.
 * In: cases of text before and after. Out: check's report, one case each.
 * That nothing but blanks changes is made sure of by anl_format itself; cases here say what the layout is. */
#include <anlage/format.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct example {
    const char *name, *before, *after; /* after NULL: as before */
} cases[] = {
    {"nothing to do", "anlage: 1\nparams: {a: 1}\n", NULL},
    {"blanks", "anlage:   1  \nparams:  { a : 1 ,b: 2 }\t\n", "anlage: 1\nparams: {a: 1, b: 2}\n"},
    {"line ends", "anlage: 1\r\ntitle: x\r\n", "anlage: 1\ntitle: x\n"},
    {"byte order mark", "\xEF\xBB\xBF" "anlage: 1\n", "anlage: 1\n"},
    {"no line end", "anlage: 1", "anlage: 1\n"},
    {"many blank lines", "anlage: 1\n\n\n\ntitle: x\n\n\n", "anlage: 1\n\ntitle: x\n"},
    {"indentation", "anlage: 1\n\nparams:\n      a: 1\n      b:\n          default: 2\n", "anlage: 1\n\nparams:\n  a: 1\n  b:\n    default: 2\n"},
    {"lists under their key", "anlage: 1\n\nviews:\n  v:\n  - image\n  -   relu\n", "anlage: 1\n\nviews:\n  v:\n    - image\n    - relu\n"},
    {"a blank line between sections", "anlage: 1\nparams:\n  a: 1\ngraph:\n  b: a\n", "anlage: 1\n\nparams:\n  a: 1\n\ngraph:\n  b: a\n"},
    {"comments", "anlage: 1 # one\n#two\nparams: {a: 1} #three\n", "anlage: 1  # one\n# two\nparams: {a: 1}  # three\n"},
    {"a comment belongs to what follows", "anlage: 1\n\ngraph:\n    # about a\n  a: 1\n", "anlage: 1\n\ngraph:\n  # about a\n  a: 1\n"},
    {"comments in a flow list", "anlage: 1\nparams: {a: 1, # first\n  b: 2}\n", "anlage: 1\nparams: {a: 1,  # first\n         b: 2}\n"},
    {"the last comment", "anlage: 1\n# the end", "anlage: 1\n# the end\n"},
    {"expressions", "anlage: 1\n\ngraph:\n  a: max( x,over = [ y,x ] )*2+-1\n", "anlage: 1\n\ngraph:\n  a: max(x, over=[y, x]) * 2 + -1\n"},
    {"quoted expressions", "anlage: 1\n\ngraph:\n  a: \"x[view=0 : 2]\"\n", "anlage: 1\n\ngraph:\n  a: \"x[view=0:2]\"\n"},
    {"texts are no expressions", "anlage: 1\ntitle: a+b  , c\n", NULL},
    {"parentheses stay", "anlage: 1\n\ngraph:\n  a: (1 + 2) + (3)\n", NULL},
    {"quotes stay", "anlage: 1\ntitle: 'it''s'\ndoc: \"a\\tb\"\n", NULL},
    {"block scalars", "anlage: 1\ndoc: |\n     one\n       two\n\n     three\n", "anlage: 1\ndoc: |\n  one\n    two\n\n  three\n"},
    {"folded scalars", "anlage: 1\ndoc: >-\n    one\n    two\n", "anlage: 1\ndoc: >-\n  one\n  two\n"},
    {"anchors", "anlage: 1\n\nviews:\n  a: &b [image,relu]\n  c: *b\n", "anlage: 1\n\nviews:\n  a: &b [image, relu]\n  c: *b\n"},
    {"quoted keys", "anlage: 1\n\ngraph:\n  \"a\" :  1\n", "anlage: 1\n\ngraph:\n  \"a\": 1\n"},
    {"empty values", "anlage: 1\n\ngraph:\n  a:\n", NULL},
    {"mappings in lists", "anlage: 1\n\nviews:\n  v:\n    -   image\n    - conv:   {channels: 3}\n    - repeat:\n        times:  2\n        steps:\n        - relu\n",
     "anlage: 1\n\nviews:\n  v:\n    - image\n    - conv: {channels: 3}\n    - repeat:\n        times: 2\n        steps:\n          - relu\n"},
    {"the author's breaks", "anlage: 1\nparams: {a: 1,\n    b: 2}\n", "anlage: 1\nparams: {a: 1,\n         b: 2}\n"},
    {"a value below its key", "anlage: 1\ntitle:\n  short\n", "anlage: 1\ntitle: short\n"},
    {"no comma behind the last", "anlage: 1\nparams: {a: 1,}\n", "anlage: 1\nparams: {a: 1}\n"},
    {"other alphabets", "anlage: 1\ntitle: Röntgen 胸部\n", NULL},
};

START_TEST(layout)
{
    const struct example *e = &cases[_i];
    const char *expected = e->after ? e->after : e->before, *text = e->before;
    char *made = NULL;
    for (int round = 0; round < 2; round++) { /* laid out again, nothing changes */
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        char *out = NULL;
        size_t length = 0;
        anl_status status = anl_format("spec.yaml", text, strlen(text), diagnostics, &out, &length);
        if (status != ANL_OK)
            anl_diagnostics_print(diagnostics, stdout, false);
        ck_assert_msg(status == ANL_OK, "%s: round %d", e->name, round);
        ck_assert_msg(!strcmp(out, expected) && strlen(out) == length, "%s, round %d:\n%s\nexpected:\n%s", e->name, round, out, expected);
        anl_diagnostics_free(&diagnostics);
        free(made);
        text = made = out;
    }
    free(made);
}
END_TEST

static const char *const broken[] = {"anlage: 1\nparams: {a: 1\n", "anlage: 1\n\ngraph:\n  a: (1 +\n", "anlage: 1\nanlage: 1\n", "\xFF\xFE", ""};

START_TEST(broken_texts)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char *out = NULL;
    size_t length = 0;
    ck_assert_int_eq(anl_format("spec.yaml", broken[_i], strlen(broken[_i]), diagnostics, &out, &length), ANL_ERROR_SPEC);
    ck_assert_ptr_null(out);
    ck_assert_int_gt(anl_diagnostics_errors(diagnostics), 0);
    anl_diagnostics_free(&diagnostics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("format");
    TCase *all = tcase_create("layout");
    tcase_add_loop_test(all, layout, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(all, broken_texts, 0, (int)(sizeof broken / sizeof *broken));
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
