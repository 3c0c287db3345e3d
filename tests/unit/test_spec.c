/* Tests of the spec layer: expressions, places, pipelines, imports, overrides, printing, and files that are wrong.
 * In: texts written here, and tests/specs and specs/ of the source tree (ANL_TEST_ROOT). Out: check's report.
 * A text is read through a real file, since reading files is part of what is tested. */
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>

#include "spec/keys.h"
#include "spec/recipe.h"

static char folder[] = "/tmp/anlage-spec-XXXXXX";
static char written[64][96];
static int written_count;

static const char *file_path(const char *name)
{
    static char path[8][6400]; /* roomy: gcc reckons with every length that a name might have */
    static int next;
    char *out = path[next++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void write_bytes(const char *name, const char *bytes, size_t length)
{
    FILE *f = fopen(file_path(name), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, length, f), length);
    ck_assert_int_eq(fclose(f), 0);
    for (int i = 0; i < written_count; i++)
        if (!strcmp(written[i], name))
            return;
    ck_assert_int_lt(written_count, 64);
    snprintf(written[written_count++], sizeof written[0], "%s", name);
}

static void write_text(const char *name, const char *text) { write_bytes(name, text, strlen(text)); }

static void make_folder(void)
{
    strcpy(folder, "/tmp/anlage-spec-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    written_count = 0;
}

static void remove_folder(void)
{
    for (int i = 0; i < written_count; i++)
        unlink(file_path(written[i]));
    rmdir(file_path("library/lib"));
    rmdir(file_path("library"));
    rmdir(folder);
}

static const char *root(void)
{
    const char *path = getenv("ANL_TEST_ROOT");
    return path ? path : ".";
}

static const char *stock_library(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/specs", root());
    return path;
}

/* "line:column code" of each diagnostic, one a line, without those of other files. */
static const char *summary(const anl_diagnostics *list)
{
    static char text[4096];
    text[0] = '\0';
    for (int i = 0; i < anl_diagnostics_count(list); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(list, i);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%d:%d A%04d", i ? "\n" : "", d->span.line, d->span.column, d->code);
    }
    return text;
}

static anl_recipe *read_file(const char *path, const char *library, anl_diagnostics *diagnostics)
{
    anl_recipe *recipe = NULL;
    anl_status status = anl_recipe_read(path, NULL, 0, library, diagnostics, &recipe);
    ck_assert_int_eq(status == ANL_OK, anl_diagnostics_errors(diagnostics) == 0);
    return recipe;
}

/* Reads a text as spec.yaml; the diagnostics must be exactly these. */
static anl_recipe *read_expecting(const char *text, const char *expected)
{
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    write_text("spec.yaml", text);
    anl_recipe *recipe = read_file(file_path("spec.yaml"), NULL, diagnostics);
    if (strcmp(summary(diagnostics), expected))
        anl_diagnostics_print(diagnostics, stderr, false);
    ck_assert_str_eq(summary(diagnostics), expected);
    anl_diagnostics_free(&diagnostics);
    return recipe;
}

static char *print_recipe(const anl_recipe *recipe)
{
    anl_text text = {0};
    ck_assert_int_eq(anl_recipe_print(recipe, &text), ANL_OK);
    char *copy = strdup(text.data);
    anl_text_free(&text);
    return copy;
}

/* ---- expressions ---- */

/* Operands in brackets, operators first: what binds to what. */
static void describe(const anl_expression *e, char *out, size_t size)
{
    size_t used = strlen(out);
    out += used;
    size -= used;
    switch (e->kind) {
    case ANL_E_NUMBER:
        snprintf(out, size, e->integer ? "%.0f" : "%g", e->number);
        return;
    case ANL_E_DURATION:
        snprintf(out, size, "%g%s", e->number, e->epochs ? "ep" : "it");
        return;
    case ANL_E_TEXT:
        snprintf(out, size, "'%s'", e->name);
        return;
    case ANL_E_BOOL:
        snprintf(out, size, "%s", e->truth ? "true" : "false");
        return;
    case ANL_E_NAME:
        snprintf(out, size, "%s", e->name);
        return;
    default:
        break;
    }
    const char *kinds[] = {[ANL_E_MEMBER] = ".",          [ANL_E_CALL] = "call",     [ANL_E_LIST] = "list",
                           [ANL_E_SLICE] = "slice",       [ANL_E_STEP] = "step",     [ANL_E_MAPPING] = "mapping",
                           [ANL_E_PIPELINE] = "pipeline", [ANL_E_REPEAT] = "repeat", [ANL_E_ERROR] = "error"};
    snprintf(out, size, "(%s", e->kind == ANL_E_OPERATOR ? e->name : kinds[e->kind]);
    for (int i = 0; i < e->item_count; i++) {
        if (!e->items[i])
            continue;
        strncat(out, " ", size - strlen(out) - 1);
        describe(e->items[i], out, size);
    }
    for (int i = 0; i < e->argument_count; i++) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, " %s%s", e->arguments[i].name ? e->arguments[i].name : "", e->arguments[i].name ? "=" : "");
        describe(e->arguments[i].value, out, size);
    }
    if (e->kind == ANL_E_MEMBER || (e->kind == ANL_E_REPEAT && e->name[0])) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, " %s", e->name);
    }
    if (e->kind == ANL_E_SLICE) {
        size_t at = strlen(out);
        snprintf(out + at, size - at, " %s ", e->slice_axis);
        if (e->start)
            describe(e->start, out, size);
        strncat(out, e->at ? "" : ":", size - strlen(out) - 1);
        if (e->stop)
            describe(e->stop, out, size);
    }
    strncat(out, ")", size - strlen(out) - 1);
}

static const struct {
    const char *text, *tree;
} expressions[] = {
    {"1", "1"},
    {"1.5", "1.5"},
    {".5", "0.5"},
    {"1e-5", "1e-05"},
    {"-1", "-1"},
    {"2.0", "2"},
    {"313it", "313it"},
    {"10ep", "10ep"},
    {"0.5ep", "0.5ep"},
    {"true", "true"},
    {"yes", "yes"},
    {"a + b * c", "(add a (multiply b c))"},
    {"a - b - c", "(subtract (subtract a b) c)"},
    {"a - (b - c)", "(subtract a (subtract b c))"},
    {"a ** b ** c", "(power a (power b c))"},
    {"(a ** b) ** c", "(power (power a b) c)"},
    {"-a ** 2", "(negate (power a 2))"},
    {"(-a) ** 2", "(power (negate a) 2)"},
    {"(-1) ** 2", "(power -1 2)"},
    {"2 ** -x", "(power 2 (negate x))"},
    {"- -a", "(negate (negate a))"},
    {"a // b % c / d", "(divide (modulo (floor_divide a b) c) d)"},
    {"a < b and b <= c or not d", "(or (and (less a b) (less_equal b c)) (not d))"},
    {"a > b", "(less b a)"},
    {"a >= b", "(less_equal b a)"},
    {"a == b", "(equal a b)"},
    {"(a < b) == (c != d)", "(equal (less a b) (not_equal c d))"},
    {"not a == b", "(not (equal a b))"},
    {"f()", "(call f)"},
    {"f(a, b,)", "(call f a b)"},
    {"f(x, from=0, to=1, as=g)", "(call f x from=0 to=1 as=g)"},
    {"f(over=[a, b])", "(call f over=(list a b))"},
    {"[]", "(list)"},
    {"x.channel", "(. x channel)"},
    {"a.b.c(1).d", "(. (call (. (. a b) c) 1) d)"},
    {"gradient(encoder.layer1.0.1.weight)", "(call gradient (. (. (. (. encoder layer1) 0) 1) weight))"},
    {"x[view=0]", "(slice x view 0)"},
    {"x[view=0:2]", "(slice x view 0:2)"},
    {"x[y=1:]", "(slice x y 1:)"},
    {"x[y=:n - 1]", "(slice x y :(subtract n 1))"},
    {"x[a=0, b=1:3]", "(slice (slice x a 0) b 1:3)"},
    {"queue[memory=0:65536 - batch]", "(slice queue memory 0:(subtract 65536 batch))"},
    {"f(x)[a=0].b", "(. (slice (call f x) a 0) b)"},
    {"'it\\'s'", "'it's'"},
    {"\"a \\\"b\\\"\"", "'a \"b\"'"},
    {"if(stride == 1 and x.channel == channels, x, projection(x, channels, stride, as=downsample))",
     "(call if (and (equal stride 1) (equal (. x channel) channels)) x (call projection x channels stride as=downsample))"},
    {"_ / maximum(sum(_, over=batch), 1e-30)", "(divide _ (call maximum (call sum _ over=batch) 1e-30))"},
};

START_TEST(test_expression_trees)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char text[1024] = "";
    anl_expression *e = anl_expression_parse(arena, expressions[_i].text, (anl_span){0}, diagnostics);
    ck_assert_msg(e != NULL, "%s: %s", expressions[_i].text, summary(diagnostics));
    describe(e, text, sizeof text);
    ck_assert_str_eq(text, expressions[_i].tree);
    ck_assert_int_eq(anl_diagnostics_count(diagnostics), 0);
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}
END_TEST

/* Printed inside a recipe and read again, an expression is the same tree. */
START_TEST(test_expression_round_trip)
{
    make_folder();
    char text[2048];
    const char *inner = expressions[_i].text;
    snprintf(text, sizeof text, "anlage: 1\ngraph:\n  value: |-\n    %s\n", inner);
    anl_recipe *first = read_expecting(text, "");
    char *printed = print_recipe(first);
    anl_recipe *second = read_expecting(printed, "");
    char *again = print_recipe(second);
    ck_assert_str_eq(printed, again);
    char a[1024] = "", b[1024] = "";
    describe(first->nodes[0].value, a, sizeof a);
    describe(second->nodes[0].value, b, sizeof b);
    ck_assert_str_eq(a, expressions[_i].tree);
    ck_assert_str_eq(b, expressions[_i].tree);
    free(printed);
    free(again);
    anl_recipe_free(&first);
    anl_recipe_free(&second);
    remove_folder();
}
END_TEST

static const struct {
    const char *text;
    anl_code code;
    int column, length;
    const char *suggestion; /* part of it, or NULL */
} expression_errors[] = {
    {"", ANL_A_expression_syntax, 1, 1, NULL},
    {"a +", ANL_A_expression_syntax, 4, 1, NULL},
    {"a b", ANL_A_expression_syntax, 3, 1, NULL},
    {"f(a", ANL_A_expression_syntax, 4, 1, NULL},
    {"f(a b)", ANL_A_expression_syntax, 5, 1, NULL},
    {"(a", ANL_A_expression_syntax, 3, 1, NULL},
    {"(a, b)", ANL_A_expression_syntax, 3, 1, "[a, b]"},
    {"[a", ANL_A_expression_syntax, 3, 1, NULL},
    {"a)", ANL_A_expression_syntax, 2, 1, NULL},
    {"x[0]", ANL_A_expression_syntax, 3, 1, "x[view=0]"},
    {"x[y]", ANL_A_expression_syntax, 4, 1, "x[view=0]"},
    {"x[y==1]", ANL_A_expression_syntax, 4, 2, "x[view=0]"},
    {"x[y=:]", ANL_A_expression_syntax, 6, 1, NULL},
    {"x[y=1:2:3]", ANL_A_expression_syntax, 8, 1, NULL},
    {"a = b", ANL_A_expression_syntax, 3, 1, "=="},
    {"a && b", ANL_A_expression_syntax, 3, 2, "and"},
    {"a || b", ANL_A_expression_syntax, 3, 2, "or"},
    {"!a", ANL_A_expression_syntax, 1, 1, "not"},
    {"a ^ 2", ANL_A_expression_syntax, 3, 1, "**"},
    {"a @ b", ANL_A_expression_syntax, 3, 1, "dot"},
    {"~space", ANL_A_expression_syntax, 1, 1, "space"},
    {"...rest", ANL_A_expression_syntax, 1, 3, NULL},
    {"a ? b : c", ANL_A_expression_syntax, 3, 1, "if("},
    {"a < b < c", ANL_A_expression_syntax, 7, 1, "a < b and b < c"},
    {"a + not b", ANL_A_expression_syntax, 5, 3, "parentheses"},
    {"f(a)(b)", ANL_A_expression_syntax, 5, 1, NULL},
    {"x .3", ANL_A_expression_syntax, 3, 2, NULL},
    {"x.", ANL_A_expression_syntax, 3, 1, NULL},
    {"'open", ANL_A_expression_syntax, 1, 1, NULL},
    {"'a\\q'", ANL_A_expression_syntax, 3, 1, NULL},
    {"f(a=1, 2)", ANL_A_expression_syntax, 8, 1, NULL},
    {"f(a=1, a=2)", ANL_A_duplicate_key, 8, 1, NULL},
    {"10min", ANL_A_bad_unit, 1, 5, NULL},
    {"10epochs", ANL_A_bad_unit, 1, 8, "10ep"},
    {"3steps", ANL_A_bad_unit, 1, 6, "3it"},
    {"15 ep", ANL_A_bad_unit, 1, 5, "15ep"},
    {"1e400", ANL_A_bad_number, 1, 5, NULL},
    {"99999999999999999999", ANL_A_bad_number, 1, 20, NULL},
    {"a + \xc3\xa4", ANL_A_expression_syntax, 5, 2, NULL},
};

START_TEST(test_expression_errors)
{
    anl_arena *arena = anl_arena_new();
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_expression *e = anl_expression_parse(arena, expression_errors[_i].text, (anl_span){0}, diagnostics);
    ck_assert_msg(e == NULL, "%s was read", expression_errors[_i].text);
    ck_assert_int_eq(anl_diagnostics_count(diagnostics), 1);
    const anl_diagnostic *d = anl_diagnostics_get(diagnostics, 0);
    ck_assert_int_eq(d->code, expression_errors[_i].code);
    ck_assert_msg(d->span.column == expression_errors[_i].column && d->span.length == expression_errors[_i].length,
                  "%s: column %d length %d", expression_errors[_i].text, d->span.column, d->span.length);
    if (expression_errors[_i].suggestion) {
        ck_assert_ptr_nonnull(d->suggestion);
        ck_assert_msg(strstr(d->suggestion, expression_errors[_i].suggestion) != NULL, "%s", d->suggestion);
    }
    anl_diagnostics_free(&diagnostics);
    anl_arena_free(&arena);
}
END_TEST

START_TEST(test_expression_depth)
{
    static const char *const parts[][3] = {{"(", "1", ")"},   {"[", "", "]"},     {"f(", "", ")"},    {"-", "x", ""},
                                           {"not ", "x", ""}, {"2 ** ", "x", ""}, {"x[y=", "0", "]"}, {"", "x", ".y"},
                                           {"", "1", " + 1"}, {"", "x", "[y=0]"}};
    for (size_t k = 0; k < ANL_COUNT(parts); k++)
        for (int deep = 0; deep < 2; deep++) {
            int times = deep ? 20000 : 90;
            anl_text text = {0};
            for (int i = 0; i < times; i++)
                anl_text_add(&text, parts[k][0]);
            anl_text_add(&text, parts[k][1]);
            for (int i = 0; i < times; i++)
                anl_text_add(&text, parts[k][2]);
            anl_arena *arena = anl_arena_new();
            anl_diagnostics *diagnostics = anl_diagnostics_new();
            anl_expression *e = anl_expression_parse(arena, text.data, (anl_span){0}, diagnostics);
            ck_assert_msg((e == NULL) == (deep == 1), "%s %d", parts[k][0], deep);
            if (deep)
                ck_assert_int_eq(anl_diagnostics_get(diagnostics, 0)->code, ANL_A_too_deep);
            anl_diagnostics_free(&diagnostics);
            anl_arena_free(&arena);
            anl_text_free(&text);
        }
}
END_TEST

/* ---- places ---- */

START_TEST(test_places)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"anlage: 1\ngraph:\n  a: f(x, ?)\n", "3:11 A0107"},
        {"anlage: 1\ngraph:\n  a: 'f(x, ?)'\n", "3:12 A0107"},
        {"anlage: 1\ngraph:\n  a: 'f(''x'', ?)'\n", "3:16 A0107"},
        {"anlage: 1\ngraph:\n  a: \"f(\\\"x\\\", ?)\"\n", "3:16 A0107"},
        {"anlage: 1\ngraph:\n  a: \"f(\\x41, ?)\"\n", "3:15 A0107"},
        {"anlage: 1\ngraph:\n  a: |\n    f(x,\n      ?)\n", "5:7 A0107"},
        {"anlage: 1\ngraph:\n  a: >- # folded\n    f(x,\n    ?)\n", "5:5 A0107"},
        {"anlage: 1\ngraph:\n  a: f(x,\n    y,\n\n     ?)\n", "6:6 A0107"},
        {"anlage: 1\ngraph:\n  a: \"f(x, \\\n    ?)\"\n", "4:5 A0107"},
        {"anlage: 1\r\ngraph:\r\n  a: f(x,\r\n    ?)\r\n", "4:5 A0107"},
        {"\xEF\xBB\xBF"
         "anlage: 1\ngraph: {a: x ? y}\n",
         "2:14 A0107"},
        {"anlage: 1\ntitle: \"\xc3\xa4\xc3\xb6\" \ngraph: {\"\xc3\xa4\": x}\n", "3:9 A0107"},
        {"anlage: 1\ngraph: {a: &b 3, c: *b, d: &e x ? y}\n", "2:33 A0107"},
        {"anlage: 1\ngraph: {a: '\xc3\xa4'}\n", "2:13 A0107"},
        {"anlage: 1\ngraph:\n  a:\n    - x\n    - f: {b: 3 +}\n", "5:17 A0107"},
    };
    make_folder();
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        anl_recipe *recipe = read_expecting(cases[i].text, cases[i].expected);
        anl_recipe_free(&recipe);
    }
    remove_folder();
}
END_TEST

START_TEST(test_spans_of_values)
{
    make_folder();
    anl_recipe *r = read_expecting("anlage: 1\n"
                                   "graph:\n"
                                   "  scores: dot(features, prototypes(), over=feature)\n",
                                   "");
    const anl_expression *e = r->nodes[0].value;
    ck_assert_int_eq(r->nodes[0].span.column, 3);
    ck_assert_int_eq(r->nodes[0].span.length, 6);
    ck_assert_int_eq(e->span.line, 3);
    ck_assert_int_eq(e->span.column, 11);
    ck_assert_int_eq(e->span.length, 41);
    ck_assert_int_eq(e->arguments[1].value->span.column, 25);
    ck_assert_int_eq(e->arguments[1].value->span.length, 12);
    ck_assert_int_eq(e->arguments[2].name_span.column, 39);
    ck_assert_int_eq(e->arguments[2].name_span.length, 4);
    ck_assert_int_eq(e->arguments[2].value->span.column, 44);
    ck_assert_str_eq(e->span.file, file_path("spec.yaml"));
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

/* ---- pipelines ---- */

START_TEST(test_pipelines)
{
    static const struct {
        const char *steps, *tree;
    } cases[] = {
        {"[image, head]", "(pipeline image (step head))"},
        {"\n    - concat([a, b], axis=view)\n    - head\n    - normalize: {over: feature}\n",
         "(pipeline (call concat (list a b) axis=view) (step head) (step normalize over=feature))"},
        {"\n    - image\n    - random_intensity(gain=[0.8, 1.2])\n",
         "(pipeline image (step random_intensity gain=(list 0.8 1.2)))"},
        {"\n    - image\n    - random_intensity: {gain: [0.8, 1.2]}\n",
         "(pipeline image (step random_intensity gain=(list 0.8 1.2)))"},
        {"\n    - image\n    - maximum(_, 0)\n", "(pipeline image (call maximum _ 0))"},
        {"\n    - image\n    - _ + 1\n    - -_\n", "(pipeline image (add _ 1) (negate _))"},
        {"\n    - image\n    - conv: {channels: _.channel * 2, as: conv1}\n",
         "(pipeline image (step conv channels=(multiply (. _ channel) 2) as=conv1))"},
        {"\n    - conv:\n    - relu: {}\n", "(pipeline (step conv) (step relu))"},
        {"\n    - image\n    - conv: {as: layer1.0}\n    - conv: {as: 0}\n",
         "(pipeline image (step conv as='layer1.0') (step conv as='0'))"},
        {"\n    - image\n    - conv: {as: \"\"}\n    - conv: {as: \"0\"}\n",
         "(pipeline image (step conv as='') (step conv as='0'))"},
        {"\n    - image\n    - split: {axis: y, into: {a: 2, b: n // 2}}\n",
         "(pipeline image (step split axis=y into=(mapping a=2 b=(floor_divide n 2))))"},
        {"\n    - image\n    - f: {list: [{a: 2}, 3, {}]}\n", "(pipeline image (step f list=(list (mapping a=2) 3 (mapping))))"},
        {"\n    - x\n    - repeat: {times: n - 1, as: i, from: 1, steps: [block, _ + i]}\n",
         "(pipeline x (repeat (subtract n 1) (pipeline (step block) (add _ i)) 1 i))"},
        {"\n    - x\n    - repeat:\n        times: 2\n        steps:\n          - block(3)\n          - repeat: {times: 3, "
         "steps: [relu]}\n",
         "(pipeline x (repeat 2 (pipeline (step block 3) (repeat 3 (pipeline (step relu))))))"},
        {"\n    - x\n    - encoder.stem\n    - _.image\n", "(pipeline x (step (. encoder stem)) (. _ image))"},
    };
    make_folder();
    for (size_t i = 0; i < ANL_COUNT(cases); i++) {
        char text[1024], tree[1024] = "", again[1024] = "";
        snprintf(text, sizeof text, "anlage: 1\ngraph:\n  value: %s\n", cases[i].steps);
        anl_recipe *r = read_expecting(text, "");
        describe(r->nodes[0].value, tree, sizeof tree);
        ck_assert_str_eq(tree, cases[i].tree);
        char *printed = print_recipe(r);
        anl_recipe_free(&r);
        r = read_expecting(printed, "");
        describe(r->nodes[0].value, again, sizeof again);
        ck_assert_str_eq(again, cases[i].tree);
        free(printed);
        anl_recipe_free(&r);
    }
    remove_folder();
}
END_TEST

/* ---- sections ---- */

START_TEST(test_sections)
{
    make_folder();
    anl_recipe *r = read_expecting("anlage: 1\n"
                                   "title: All sections\n"
                                   "params:\n"
                                   "  batch: {default: 64, range: [2, 8192], unit: images, doc: How many at once}\n"
                                   "  shards: {default: 'a/b-*.h5', type: text}\n"
                                   "  other: \"quoted text\"\n"
                                   "  warm: 5ep\n"
                                   "  label: {default: lesion, type: text}\n"
                                   "data:\n"
                                   "  train:\n"
                                   "    shards: shards\n"
                                   "    fields:\n"
                                   "      image: {axes: {channel: 1, y: 8, x: 8}, modality: radiograph, fit: pad}\n"
                                   "      finding: {axes: {class: 14}, missing: -1, mask: known, column: findings}\n"
                                   "      one: {axes: {}, column: label}\n"
                                   "    labels: {fraction: 0.1, by: patient, drop: true}\n"
                                   "  test: {shards: \"shards\"}\n"
                                   "modules:\n"
                                   "  student: encoder(features=3)\n"
                                   "  teacher: {copy: student, update: \"ema(momentum=0.999)\"}\n"
                                   "state:\n"
                                   "  queue: {axes: {memory: 8, feature: 3}, init: 0, update: queue}\n"
                                   "losses:\n"
                                   "  short: mean(student(image), over=all)\n"
                                   "  long: {value: short, weight: 0.5}\n"
                                   "train:\n"
                                   "  length: 10ep\n"
                                   "  seed: 7\n"
                                   "  clip: 1.0\n"
                                   "  optimizer: [{weights: 'student.*', rule: sgd, from: warm, until: 7it}]\n"
                                   "  checkpoint: {every: 1ep, keep: 3}\n"
                                   "  evaluate: {every: 2ep}\n"
                                   "initialize:\n"
                                   "  student.trunk: {checkpoint: run/last.h5, from: encoder, optional: true}\n"
                                   "metrics:\n"
                                   "  area: {measure: roc_auc, score: student(image), label: finding, where: known}\n",
                                   "");
    ck_assert_str_eq(r->title, "All sections");
    ck_assert(!r->library);
    ck_assert_int_eq(r->param_count, 5);
    ck_assert_str_eq(r->params[0].unit, "images");
    ck_assert(r->params[0].high->number == 8192);
    ck_assert_int_eq(r->params[1].value->kind, ANL_E_TEXT);
    ck_assert_int_eq(r->params[2].value->kind, ANL_E_TEXT);
    ck_assert_int_eq(r->params[3].value->kind, ANL_E_DURATION);
    ck_assert_int_eq(r->source_count, 2);
    ck_assert_int_eq(r->sources[0].shards->kind, ANL_E_NAME);
    ck_assert_int_eq(r->sources[1].shards->kind, ANL_E_TEXT);
    ck_assert_int_eq(r->sources[0].field_count, 3);
    ck_assert_int_eq(r->sources[0].fields[0].axis_count, 3);
    ck_assert_str_eq(r->sources[0].fields[0].axes[1].name, "y");
    ck_assert_str_eq(r->sources[0].fields[0].fit, "pad");
    ck_assert_str_eq(r->sources[0].fields[1].mask, "known");
    ck_assert_str_eq(r->sources[0].fields[1].column, "findings");
    ck_assert_ptr_null(r->sources[0].fields[1].column_param);
    ck_assert_str_eq(r->sources[0].fields[2].column, "lesion");
    ck_assert_str_eq(r->sources[0].fields[2].column_param, "label");
    ck_assert(r->sources[0].fields[1].missing->number == -1);
    ck_assert_str_eq(r->sources[0].label_by, "patient");
    ck_assert(r->sources[0].drop_unlabelled);
    ck_assert_str_eq(r->modules[1].copy, "student");
    ck_assert_int_eq(r->modules[1].update->kind, ANL_E_CALL);
    ck_assert_int_eq(r->state_count, 1);
    ck_assert(!r->states[0].is_weight);
    ck_assert_int_eq(r->loss_count, 2);
    ck_assert_ptr_null(r->losses[0].weight);
    ck_assert(r->train_length->epochs && r->train_length->number == 10);
    ck_assert(r->seed->number == 7);
    ck_assert_str_eq(r->rules[0].weights, "student.*");
    ck_assert_int_eq(r->rules[0].from->kind, ANL_E_NAME);
    ck_assert(!r->rules[0].until->epochs);
    ck_assert_str_eq(r->initializations[0].module, "student.trunk");
    ck_assert_str_eq(r->initializations[0].checkpoint->name, "run/last.h5");
    ck_assert(r->initializations[0].optional);
    ck_assert_str_eq(r->metrics[0].measure, "roc_auc");
    char *printed = print_recipe(r);
    anl_recipe *second = read_expecting(printed, "");
    char *again = print_recipe(second);
    ck_assert_str_eq(printed, again);
    free(printed);
    free(again);
    anl_recipe_free(&second);
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

START_TEST(test_function)
{
    make_folder();
    anl_recipe *r =
        read_expecting("anlage: 1\n"
                       "functions:\n"
                       "  f:\n"
                       "    doc: \"Of everything: a bit\"\n"
                       "    inputs: {x: [channel, ~space, ...rest], y: []}\n"
                       "    params: {channels: int, stride: 1, over: axis, name: \"a b\"}\n"
                       "    weights:\n"
                       "      w: {axes: {channel: x.channel, ~space: 3}, init: 0, kind: matrix, project: normalize(w)}\n"
                       "    state:\n"
                       "      s: {like: w, init: 0, update: s + 1, calls: mean}\n"
                       "    nodes: {a: x + 1}\n"
                       "    returns: {first: a, second: x}\n",
                       "");
    ck_assert(r->library);
    const anl_function *f = anl_recipe_function(r, "f");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_null(anl_recipe_function(r, "g"));
    ck_assert_int_eq(f->input_count, 2);
    ck_assert_int_eq(f->inputs[0].axes[1].kind, ANL_P_SPACE);
    ck_assert_int_eq(f->inputs[0].axes[2].kind, ANL_P_REST);
    ck_assert_str_eq(f->inputs[0].axes[2].name, "rest");
    ck_assert_int_eq(f->inputs[1].axis_count, 0);
    ck_assert_str_eq(f->params[0].type, "int");
    ck_assert_ptr_null(f->params[0].value);
    ck_assert_ptr_null(f->params[1].type);
    ck_assert_str_eq(f->params[2].type, "axis");
    ck_assert_int_eq(f->params[3].value->kind, ANL_E_TEXT);
    ck_assert_int_eq(f->declaration_count, 2);
    ck_assert(f->declarations[0].is_weight && !f->declarations[1].is_weight);
    ck_assert_int_eq(f->declarations[0].axes[1].kind, ANL_P_SPACE);
    ck_assert_ptr_nonnull(f->declarations[0].project);
    ck_assert_str_eq(f->declarations[1].like, "w");
    ck_assert_str_eq(f->declarations[1].calls, "mean");
    ck_assert_int_eq(f->member_count, 2);
    ck_assert_ptr_null(f->returns);
    char *printed = print_recipe(r);
    anl_recipe *second = read_expecting(printed, "");
    char *again = print_recipe(second);
    ck_assert_str_eq(printed, again);
    free(printed);
    free(again);
    anl_recipe_free(&second);
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

/* ---- imports ---- */

START_TEST(test_import_diamond)
{
    make_folder();
    write_text("base.yaml", "anlage: 1\nfunctions: {f: {inputs: {x: []}, returns: x}}\n");
    write_text("left.yaml", "anlage: 1\nimport: base.yaml\n");
    write_text("right.yaml", "anlage: 1\nimport: [./base.yaml]\n");
    anl_recipe *r = read_expecting("anlage: 1\nimport: [left.yaml, right.yaml]\n", "");
    ck_assert_int_eq(r->function_count, 1);
    ck_assert_int_eq(r->file_count, 4);
    ck_assert_str_eq(r->functions[0]->file, file_path("base.yaml"));
    ck_assert_str_eq(r->functions[0]->span.file, file_path("base.yaml"));
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

START_TEST(test_import_library)
{
    make_folder();
    ck_assert_int_eq(mkdir(file_path("library"), 0700), 0);
    ck_assert_int_eq(mkdir(file_path("library/lib"), 0700), 0);
    write_text("library/lib/stock.yaml", "anlage: 1\nfunctions: {f: {inputs: {x: []}, returns: x}}\n");
    write_text("spec.yaml", "anlage: 1\nimport: [stock.yaml, ../lib/stock.yaml, lib/stock.yaml, library/lib/stock.yaml]\n");
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    char library[512];
    snprintf(library, sizeof library, "%s", file_path("library"));
    anl_recipe *r = read_file(file_path("spec.yaml"), library, diagnostics);
    ck_assert_str_eq(summary(diagnostics), "");
    ck_assert_int_eq(r->function_count, 1);
    anl_recipe_free(&r);
    write_text("spec.yaml", "anlage: 1\nimport: stok.yaml\n");
    r = read_file(file_path("spec.yaml"), library, diagnostics);
    ck_assert_str_eq(summary(diagnostics), "2:9 A0110");
    ck_assert_str_eq(anl_diagnostics_get(diagnostics, 0)->suggestion, "did you mean `stock.yaml`?");
    anl_recipe_free(&r);
    anl_diagnostics_free(&diagnostics);
    remove_folder();
}
END_TEST

START_TEST(test_import_overrides)
{
    make_folder();
    write_text("base.yaml", "anlage: 1\n"
                            "params: {batch: {default: 64, range: [2, 128], unit: images}, size: 3, on: true}\n"
                            "graph: {a: 1, b: a + 1}\n"
                            "state: {q: {axes: {m: 3, n: 4}, init: 0}}\n"
                            "losses: {l: {value: b, weight: 1}, k: {value: a}}\n"
                            "train: {length: 3ep, optimizer: [{weights: '*', rule: sgd}], checkpoint: {every: 1ep}}\n");
    anl_recipe *r = read_expecting("anlage: 1\n"
                                   "import: base.yaml\n"
                                   "params: {batch: 32, size: {unit: pixels}}\n"
                                   "graph: {b: a + 2, c: b}\n"
                                   "state: {q: {axes: {k: 5}}}\n"
                                   "losses: {l: {weight: 0.5}}\n"
                                   "train: {checkpoint: {keep: 2}}\n",
                                   "");
    ck_assert_int_eq(r->param_count, 3);
    ck_assert(r->params[0].value->number == 32);
    ck_assert_str_eq(r->params[0].value_span.file, file_path("spec.yaml"));
    ck_assert_int_eq(r->params[0].value_span.line, 3);
    ck_assert_str_eq(r->params[0].unit, "images");
    ck_assert(r->params[1].value->number == 3);
    ck_assert_str_eq(r->params[1].unit, "pixels");
    ck_assert_int_eq(r->node_count, 3);
    ck_assert_str_eq(r->nodes[1].name, "b");
    ck_assert_str_eq(r->nodes[1].span.file, file_path("spec.yaml"));
    ck_assert_str_eq(r->nodes[0].span.file, file_path("base.yaml"));
    ck_assert_int_eq(r->states[0].axis_count, 1);
    ck_assert_int_eq(r->loss_count, 2);
    ck_assert(r->losses[0].weight->number == 0.5);
    ck_assert_str_eq(r->losses[0].value->name, "b");
    ck_assert(r->checkpoint_every->number == 1 && r->checkpoint_keep->number == 2);
    anl_recipe_free(&r);
    r = read_expecting("anlage: 1\nimport: base.yaml\nparams: {batch: 200, size: true, on: 3}\n",
                       "3:28 A0301\n3:38 A0301\n3:17 A0302");
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

/* ---- --set ---- */

static const char *set_spec = "anlage: 1\n"
                              "params:\n"
                              "  batch: {default: 64, range: [2, 128]}\n"
                              "  lr: 1\n"
                              "  momentum: 0.9\n"
                              "  flag: false\n"
                              "  path: {default: '', type: text}\n"
                              "  warm: 5ep\n"
                              "  gain: [0.8, 1.2]\n"
                              "  given: int\n"
                              "  double: batch * 2\n";

static const struct {
    const char *name, *value, *expected;
} overrides[] = {
    {"batch", "32", ""},
    {"batch", "64 * 2", ""},
    {"batch", "1", "1:7 A0302"},
    {"batch", "64 * 3", "1:7 A0302"},
    {"batch", "true", "1:7 A0301"},
    {"batch", "", "1:7 A0107"},
    {"batch", "3 +", "1:10 A0107"},
    {"batch", "10ep", "1:7 A0303"},
    {"batsh", "32", "1:1 A0206"},
    {"lr", "0.5", ""},
    {"momentum", "1", ""},
    {"momentum", "'x'", "1:10 A0301"},
    {"flag", "true", ""},
    {"flag", "1", "1:6 A0301"},
    {"path", "a/b-*.h5", ""},
    {"path", "\"a b\"", ""},
    {"path", "", ""},
    {"warm", "313it", ""},
    {"warm", "3", "1:6 A0303"},
    {"warm", "3 ep", "1:6 A0303"},
    {"gain", "[1, 2]", ""},
    {"gain", "1", "1:6 A0301"},
    {"given", "3.5", "1:7 A0301"},
    {"double", "batch + 1", ""},
};

START_TEST(test_overrides)
{
    make_folder();
    write_text("spec.yaml", set_spec);
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_override set[] = {{overrides[_i].name, overrides[_i].value}, {"given", "3"}};
    anl_recipe *r = NULL;
    bool fails = overrides[_i].expected[0];
    anl_status status = anl_recipe_read(file_path("spec.yaml"), set, strcmp(set[0].name, "given") ? 2 : 1, NULL, diagnostics, &r);
    ck_assert_int_eq(status, fails ? ANL_ERROR_SPEC : ANL_OK);
    ck_assert_ptr_nonnull(r);
    ck_assert_msg(!strcmp(summary(diagnostics), overrides[_i].expected), "%s=%s: %s", set[0].name, set[0].value,
                  summary(diagnostics));
    if (fails) {
        ck_assert_str_eq(anl_diagnostics_get(diagnostics, 0)->span.file, "--set");
    } else {
        for (int i = 0; i < r->param_count; i++)
            if (!strcmp(r->params[i].name, set[0].name))
                ck_assert_str_eq(r->params[i].value_span.file, "--set");
        char *printed = print_recipe(r); /* with the winning values: reads without --set */
        anl_recipe *second = read_expecting(printed, "");
        char *again = print_recipe(second);
        ck_assert_str_eq(printed, again);
        free(printed);
        free(again);
        anl_recipe_free(&second);
    }
    anl_recipe_free(&r);
    anl_diagnostics_free(&diagnostics);
    remove_folder();
}
END_TEST

START_TEST(test_override_missing)
{
    make_folder();
    anl_recipe *r = read_expecting("anlage: 1\nparams: {given: int}\ngraph: {a: given}\n", "2:10 A0205");
    anl_recipe_free(&r);
    remove_folder();
}
END_TEST

/* ---- limits ---- */

START_TEST(test_limits)
{
    make_folder();
    anl_text text = {0};
    anl_text_add(&text, "anlage: 1\nparams:\n");
    for (int i = 0; i < 60000; i++)
        anl_text_printf(&text, "  p%d: 1\n", i);
    anl_recipe *r = read_expecting(text.data, "50000:11 A0106"); /* values are counted, keys too */
    ck_assert_ptr_null(r);
    anl_text_free(&text);
    size_t size = 5 << 20;
    char *big = malloc(size);
    memset(big, '#', size);
    write_bytes("spec.yaml", big, size);
    free(big);
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    ck_assert_int_eq(anl_recipe_read(file_path("spec.yaml"), NULL, 0, NULL, diagnostics, &r), ANL_ERROR_FILE);
    ck_assert_str_eq(summary(diagnostics), "0:0 A0109");
    anl_diagnostics_free(&diagnostics);
    diagnostics = anl_diagnostics_new();
    ck_assert_int_eq(anl_recipe_read(file_path("nothing.yaml"), NULL, 0, NULL, diagnostics, &r), ANL_ERROR_FILE);
    ck_assert_ptr_null(r);
    ck_assert_str_eq(summary(diagnostics), "0:0 A0109");
    anl_diagnostics_free(&diagnostics);
    remove_folder();
}
END_TEST

/* ---- the corpora ---- */

typedef struct names {
    char name[256][128];
    int count;
} names;

static int compare_names(const void *a, const void *b) { return strcmp(a, b); }

static void list_specs(const char *path, names *out)
{
    out->count = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t length = strlen(e->d_name);
        if (length > 5 && length < 128 && !strcmp(e->d_name + length - 5, ".yaml") && out->count < 256)
            strcpy(out->name[out->count++], e->d_name);
    }
    if (d)
        closedir(d);
    qsort(out->name, (size_t)out->count, sizeof out->name[0], compare_names);
}

/* What a rejected spec promises: "line:column code" in its first lines, or in a file NAME.expect beside it. */
static void read_promise(const char *path, char *expected, size_t size, bool *traced)
{
    char line[512], sidecar[1100];
    expected[0] = '\0';
    *traced = false;
    snprintf(sidecar, sizeof sidecar, "%s.expect", path);
    for (int k = 0; k < 2; k++) {
        FILE *f = fopen(k ? sidecar : path, "rb");
        while (f && fgets(line, sizeof line, f)) {
            line[strcspn(line, "\n")] = '\0';
            if (!strncmp(line, "# expect: ", 10)) {
                const char *place = line + 10, *colon = strstr(place, ".yaml:");
                size_t used = strlen(expected);
                snprintf(expected + used, size - used, "%s%s", used ? "\n" : "", colon ? colon + 6 : place);
            }
            *traced = *traced || !strcmp(line, "# stage: trace");
        }
        if (f)
            fclose(f);
    }
}

START_TEST(test_rejected)
{
    names specs;
    char path[1024], expected[1024], place[512];
    snprintf(place, sizeof place, "%s/tests/specs/rejected", root());
    list_specs(place, &specs);
    ck_assert_int_gt(specs.count, 50);
    for (int i = 0; i < specs.count; i++) {
        snprintf(path, sizeof path, "%s/%s", place, specs.name[i]);
        bool traced;
        read_promise(path, expected, sizeof expected, &traced);
        ck_assert_msg(expected[0], "%s promises nothing", specs.name[i]);
        anl_diagnostics *diagnostics = anl_diagnostics_new();
        anl_recipe *r = read_file(path, NULL, diagnostics);
        ck_assert_msg(!strcmp(summary(diagnostics), traced ? "" : expected), "%s: %s", specs.name[i], summary(diagnostics));
        anl_recipe_free(&r);
        anl_diagnostics_free(&diagnostics);
    }
}
END_TEST

static const char *const corpora[] = {"tests/specs/accepted", "tests/specs/parts", "specs/lib",
                                      "specs/pretrain",       "specs/finetune",    "specs/hybrid"};

START_TEST(test_accepted_round_trip)
{
    names specs;
    char path[1024], place[512];
    int read = 0;
    make_folder();
    for (size_t k = 0; k < ANL_COUNT(corpora); k++) {
        snprintf(place, sizeof place, "%s/%s", root(), corpora[k]);
        list_specs(place, &specs);
        for (int i = 0; i < specs.count; i++) {
            if (!strncmp(specs.name[i], "loop_", 5))
                continue;
            snprintf(path, sizeof path, "%s/%s", place, specs.name[i]);
            anl_diagnostics *diagnostics = anl_diagnostics_new();
            anl_recipe *r = read_file(path, stock_library(), diagnostics);
            if (anl_diagnostics_count(diagnostics))
                anl_diagnostics_print(diagnostics, stderr, false);
            ck_assert_msg(!anl_diagnostics_count(diagnostics), "%s: %s", path, summary(diagnostics));
            char *printed = print_recipe(r);
            anl_recipe *second = read_expecting(printed, "");
            char *again = print_recipe(second);
            ck_assert_str_eq(printed, again);
            ck_assert_int_eq(r->function_count, second->function_count);
            ck_assert_int_eq(r->node_count, second->node_count);
            free(printed);
            free(again);
            anl_recipe_free(&r);
            anl_recipe_free(&second);
            anl_diagnostics_free(&diagnostics);
            read++;
        }
    }
    ck_assert_int_ge(read, 5);
    remove_folder();
}
END_TEST

/* ---- damaged files ---- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Bytes changed, removed, doubled, moved: whatever comes of it, reading ends with diagnostics or with a recipe that prints and
 * reads again. */
START_TEST(test_mutations)
{
    static const char spice[] = "{}[]()&*!|>'\"%@`,:#?-=~._ \t\n\\/<+0azT\xc3\xff";
    names specs;
    char path[1024], place[512];
    uint64_t state = 20240607;
    int tried = 0, whole = 0;
    make_folder();
    char kept[1024];
    snprintf(kept, sizeof kept, "%s", file_path("spec.yaml"));
    for (size_t k = 0; k < 2; k++) {
        snprintf(place, sizeof place, "%s/%s", root(), corpora[k]);
        list_specs(place, &specs);
        for (int i = 0; i < specs.count; i++) {
            snprintf(path, sizeof path, "%s/%s", place, specs.name[i]);
            anl_arena *arena = anl_arena_new();
            char *text;
            size_t length;
            ck_assert_int_eq(anl_file_read(arena, path, 0, &text, &length), ANL_OK);
            char *damaged = malloc(2 * length + 16);
            for (int n = 0; n < 400; n++) {
                size_t size = length;
                memcpy(damaged, text, length);
                int changes = 1 + (int)(next_random(&state) % 4);
                for (int c = 0; c < changes && size > 4; c++) {
                    size_t at = next_random(&state) % size, span = 1 + next_random(&state) % 12;
                    if (at + span > size)
                        span = size - at;
                    switch (next_random(&state) % 4) {
                    case 0:
                        damaged[at] = spice[next_random(&state) % (sizeof spice - 1)];
                        break;
                    case 1:
                        memmove(damaged + at, damaged + at + span, size - at - span);
                        size -= span;
                        break;
                    case 2:
                        if (size + span > 2 * length)
                            break;
                        memmove(damaged + at + span, damaged + at, size - at);
                        size += span;
                        break;
                    default:
                        memmove(damaged + at + 1, damaged + at, size - at);
                        damaged[at] = spice[next_random(&state) % (sizeof spice - 1)];
                        size++;
                        break;
                    }
                }
                write_bytes("spec.yaml", damaged, size);
                anl_diagnostics *diagnostics = anl_diagnostics_new();
                anl_recipe *r = read_file(kept, stock_library(), diagnostics);
                tried++;
                FILE *null = fopen("/dev/null", "w");
                anl_diagnostics_print(diagnostics, null, true);
                fclose(null);
                if (r && !anl_diagnostics_errors(diagnostics)) {
                    char *printed = print_recipe(r);
                    anl_recipe *second = read_expecting(printed, "");
                    char *again = print_recipe(second);
                    ck_assert_str_eq(printed, again);
                    free(printed);
                    free(again);
                    anl_recipe_free(&second);
                    whole++;
                }
                anl_recipe_free(&r);
                anl_diagnostics_free(&diagnostics);
            }
            free(damaged);
            anl_arena_free(&arena);
        }
    }
    ck_assert_int_ge(tried, 2000);
    ck_assert_int_gt(whole, 50);
    remove_folder();
}
END_TEST

/* Every key of the table is found by its path, and has a name and a documentation of its own. */
static int check_keys(const anl_key *key, const char **path, int depth, const anl_keys **seen)
{
    int count = 1;
    for (int i = 0; key->keys && seen[i] != key->keys; i++)
        if (!seen[i]) {
            seen[i] = key->keys;
            break;
        }
    ck_assert_msg(key->name && key->doc && strlen(key->doc) > 10, "a key below %s says nothing", depth ? path[depth - 1] : "/");
    ck_assert_ptr_eq(anl_key_find(path, depth), key);
    ck_assert((key->type == ANL_K_WORD || key->type == ANL_K_TRUTH) <= (key->words != NULL));
    ck_assert(key->type != ANL_K_NONE || key->keys || key->entry);
    for (int i = 0; key->keys && i < key->keys->count; i++) {
        path[depth] = key->keys->list[i].name;
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(key->keys->list[k].name, path[depth]);
        count += check_keys(&key->keys->list[i], path, depth + 1, seen);
    }
    path[depth] = "a name of its own";
    if (key->entry)
        count += check_keys(key->entry, path, depth + 1, seen);
    return count;
}

START_TEST(test_keys)
{
    static const anl_keys *const read[] = {
        &anl_file_keys,       &anl_param_keys,  &anl_data_keys,     &anl_source_keys,     &anl_labels_keys,   &anl_field_keys,
        &anl_module_keys,     &anl_loss_keys,   &anl_train_keys,    &anl_checkpoint_keys, &anl_evaluate_keys, &anl_rule_keys,
        &anl_initialize_keys, &anl_metric_keys, &anl_function_keys, &anl_weight_keys,     &anl_state_keys,    &anl_repeat_keys};
    const anl_keys *seen[64] = {NULL};
    const char *path[16] = {"graph", "features", "-"};
    ck_assert_int_gt(check_keys(&anl_step_key, path, 3, seen), 6);
    ck_assert_int_gt(check_keys(&anl_spec_key, path, 0, seen), 80);
    for (size_t i = 0; i < ANL_COUNT(read); i++) { /* what the reader reads can be reached by a path */
        int k = 0;
        while (seen[k] && seen[k] != read[i])
            k++;
        ck_assert_msg(seen[k] != NULL, "the keys that begin with `%s` cannot be reached", read[i]->list[0].name);
    }
    ck_assert_str_eq(anl_key_find((const char *[]){"views", "v", "-", "repeat", "steps", "-", "repeat", "times"}, 8)->name,
                     "times");
    ck_assert_str_eq(anl_key_find((const char *[]){"train", "optimizer", "-", "until"}, 4)->name, "until");
    ck_assert_ptr_null(anl_key_find((const char *[]){"train", "optimiser"}, 2));
    ck_assert_ptr_null(anl_key_find((const char *[]){"train", "length", "-", "a"}, 4));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spec");
    TCase *expression = tcase_create("expressions");
    tcase_add_loop_test(expression, test_expression_trees, 0, ANL_COUNT(expressions));
    tcase_add_loop_test(expression, test_expression_round_trip, 0, ANL_COUNT(expressions));
    tcase_add_loop_test(expression, test_expression_errors, 0, ANL_COUNT(expression_errors));
    tcase_add_test(expression, test_expression_depth);
    tcase_set_timeout(expression, 60);
    suite_add_tcase(suite, expression);
    TCase *recipe = tcase_create("recipes");
    tcase_add_test(recipe, test_places);
    tcase_add_test(recipe, test_spans_of_values);
    tcase_add_test(recipe, test_pipelines);
    tcase_add_test(recipe, test_sections);
    tcase_add_test(recipe, test_keys);
    tcase_add_test(recipe, test_function);
    tcase_add_test(recipe, test_import_diamond);
    tcase_add_test(recipe, test_import_library);
    tcase_add_test(recipe, test_import_overrides);
    tcase_add_loop_test(recipe, test_overrides, 0, ANL_COUNT(overrides));
    tcase_add_test(recipe, test_override_missing);
    tcase_add_test(recipe, test_limits);
    tcase_set_timeout(recipe, 60);
    suite_add_tcase(suite, recipe);
    TCase *corpus = tcase_create("corpora");
    tcase_add_test(corpus, test_rejected);
    tcase_add_test(corpus, test_accepted_round_trip);
    tcase_add_test(corpus, test_mutations);
    tcase_set_timeout(corpus, 300);
    suite_add_tcase(suite, corpus);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
