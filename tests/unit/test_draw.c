/* Drawings of specs as text: all that flows is there, weights are counted once, nothing goes in circles, names cannot break out.
 * In: specs/, tests/specs/accepted. Out: check's report. Graphviz itself is not needed (tests/end_to_end/draw.sh has it). */
#include <anlage/draw.h>
#include <anlage/program.h>
#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path_of(const char *name)
{
    static char out[2][600];
    static int turn;
    const char *root = getenv("ANL_TEST_ROOT");
    turn = !turn;
    snprintf(out[turn], sizeof out[turn], "%s/%s", root ? root : ".", name);
    return out[turn];
}

/* The drawing, to be freed; NULL where the spec gives diagnostics. */
static char *draw(const char *path, int depth, bool evaluate, const char *override)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics *d = anl_diagnostics_new();
    anl_draw_options options = {.spec = path, .depth = depth, .evaluate = evaluate, .step = -1};
    options.overrides = &override;
    options.override_count = override ? 1 : 0;
    anl_status status = anl_draw(&options, out, d);
    fclose(out);
    ck_assert_int_eq(status == ANL_OK, anl_diagnostics_errors(d) == 0);
    anl_diagnostics_free(&d);
    if (status == ANL_OK)
        return text;
    ck_assert_str_eq(text, "");
    free(text);
    return NULL;
}

static char *draw_good(const char *name, int depth, bool evaluate, const char *override)
{
    char *text = draw(path_of(name), depth, evaluate, override);
    ck_assert_msg(text != NULL, "%s cannot be drawn", name);
    return text;
}

static void has(const char *text, const char *part) { ck_assert_msg(strstr(text, part) != NULL, "there is no `%s`", part); }
static void has_not(const char *text, const char *part) { ck_assert_msg(!strstr(text, part), "there is `%s`", part); }

/* ---- the text as a graph ---- */
enum { MOST = 4000 };
typedef struct parsed {
    char ids[MOST][16];
    int id_count;
    int from[MOST], to[MOST], edge_count; /* of the step itself: not dashed */
    bool declared[MOST];
} parsed;

static int id_of(parsed *p, const char *at, size_t length)
{
    ck_assert_uint_lt(length, sizeof p->ids[0]);
    for (int i = 0; i < p->id_count; i++)
        if (strlen(p->ids[i]) == length && !memcmp(p->ids[i], at, length))
            return i;
    ck_assert_int_lt(p->id_count, MOST);
    memcpy(p->ids[p->id_count], at, length);
    return p->id_count++;
}

static parsed *parse(const char *text)
{
    parsed *p = calloc(1, sizeof *p);
    int depth = 0;
    ck_assert(!strncmp(text, "digraph anlage {\n", 17));
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *at = line + strspn(line, " ");
        size_t length = strcspn(at, " ");
        depth += end[-1] == '{' ? 1 : end[-1] == '}' ? -1 : 0;
        ck_assert(end[-1] == '{' || end[-1] == '}' || end[-1] == ';'); /* nothing in a label breaks lines */
        if (strncmp(at, "box", 3) && strncmp(at, "flow", 4))
            continue;
        int id = id_of(p, at, length);
        if (strncmp(at + length, " -> ", 4)) {
            ck_assert_msg(!p->declared[id], "%s is there twice", p->ids[id]);
            p->declared[id] = true;
            continue;
        }
        const char *other = at + length + 4;
        int to = id_of(p, other, strcspn(other, " ;"));
        const char *dashed = strstr(at, "style=dashed");
        if (dashed && dashed < end)
            continue;
        p->from[p->edge_count] = id;
        p->to[p->edge_count++] = to;
        ck_assert_int_lt(p->edge_count, MOST);
    }
    ck_assert_int_eq(depth, 0);
    for (int i = 0; i < p->id_count; i++)
        ck_assert_msg(p->declared[i], "%s is used and not declared", p->ids[i]);
    return p;
}

/* Kahn: takes away what nothing leads to, until nothing is left. */
static bool has_circle(const parsed *p)
{
    bool *gone = calloc(MOST, 1);
    int left = p->id_count;
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < p->id_count; i++) {
            bool led_to = gone[i];
            for (int k = 0; k < p->edge_count && !led_to; k++)
                led_to = p->to[k] == i && !gone[p->from[k]];
            if (led_to)
                continue;
            gone[i] = more = true;
            left--;
        }
    }
    free(gone);
    return left > 0;
}

static void check_drawing(const char *name, const char *text)
{
    parsed *p = parse(text);
    ck_assert_msg(p->id_count > 2 && p->edge_count > 0, "%s: nothing flows", name);
    ck_assert_msg(!has_circle(p), "%s: goes in circles", name);
    free(p);
}

static bool has_losses(const char *name)
{
    static char text[1 << 16];
    FILE *file = fopen(path_of(name), "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return strstr(text, "\nlosses:") || (strstr(text, "\nimport: ") && !strstr(text, "\nfunctions:")); /* or those of a recipe it builds upon */
}

START_TEST(test_all)
{
    static const char *const folders[] = {"tests/specs/accepted", "specs/pretrain", "specs/finetune", "specs/hybrid", "specs/lib"};
    int drawn = 0;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        DIR *folder = opendir(path_of(folders[f]));
        ck_assert_ptr_nonnull(folder);
        for (struct dirent *e; (e = readdir(folder));) {
            char name[400];
            snprintf(name, sizeof name, "%s/%s", folders[f], e->d_name);
            if (!strstr(e->d_name, ".yaml"))
                continue;
            for (int depth = 1; depth <= 7; depth += getenv("ANL_SANITIZED") ? 6 : 2)
                for (int evaluate = 0; evaluate < 2; evaluate++) {
                    char *text = draw(path_of(name), depth, evaluate, NULL), *again = draw(path_of(name), depth, evaluate, NULL);
                    ck_assert_msg(!!text == has_losses(name), "%s", name); /* libraries have nothing to draw */
                    if (text) {
                        ck_assert_str_eq(text, again);
                        check_drawing(name, text);
                        drawn++;
                    }
                    free(text);
                    free(again);
                }
        }
        closedir(folder);
    }
    ck_assert_int_ge(drawn, 10 * 8);
}
END_TEST

START_TEST(test_clusters)
{
    char *text = draw_good("specs/pretrain/swav.yaml", 0, false, "network=resnet50");
    has(text, "<b>encoder</b>");
    has(text, "5,889,504 weights"); /* as anlage explain says */
    has(text, "2 calls");           /* the global and the local views go through one encoder */
    has(text, "<b>layer3 ×6</b>");
    has(text, "19 convolutions");
    has(text, "convolve 7×7, stride 2");
    has(text, "view 2, batch 64, y 16, x 16, channel 128");
    has(text, "view 4, batch 64, y 8, x 8, channel 128");
    has(text, "<b>random_affine_crop</b>");
    has(text, "5 draws");
    has(text, "stop_gradient");
    has(text, "loss\u00a0</font><b>clustering</b>");
    has(text, "shape=cylinder");
    has(text, "<b>prototypes</b>"); /* a module used as a value */
    has_not(text, "<b>conv2</b>");
    free(text);
    text = draw_good("specs/pretrain/swav.yaml", 6, false, "network=resnet50");
    has(text, "<b>conv2</b>");
    has(text, "<b>shortcut</b>");
    has(text, ">add, relu<");
    free(text);
}
END_TEST

START_TEST(test_states)
{
    char *text = draw_good("tests/specs/accepted/queue.yaml", 0, false, NULL);
    has(text, "copy of student: follow(momentum=0.99)");
    has(text, "ltail=cluster");
    has(text, "memory 128, feature 32");
    has(text, "&#91;view=1&#93;  batch 16, channel 1, y 48, x 48"); /* what the teacher sees of the views */
    free(text);
    text = draw_good("tests/specs/accepted/hybrid.yaml", 0, false, NULL);
    has(text, "weight: minimum(step / 10, 1)");
    has(text, "where finding is known");
    has(text, "radiograph");
    free(text);
    text = draw_good("specs/finetune/classify.yaml", 0, true, NULL);
    has(text, "roc_auc");
    has(text, "score: ");
    has(text, " of state"); /* running statistics are read */
    has_not(text, "draws");
    free(text);
}
END_TEST

/* Numbers before a word, added. */
static long long sum_before(const char *text, const char *word)
{
    long long sum = 0;
    for (const char *at = text; (at = strstr(at, word)); at++) {
        const char *from = at;
        long long number = 0, place = 1;
        for (; from > text && strchr("0123456789,", from[-1]); from--)
            if (from[-1] != ',') {
                number += (from[-1] - '0') * place;
                place *= 10;
            }
        sum += number;
    }
    return sum;
}

/* Each weight is counted in one box: together they are the parameters that explain names. */
START_TEST(test_weights)
{
    static const char *const specs[] = {"specs/pretrain/swav.yaml", "specs/finetune/classify.yaml",
                                        "tests/specs/accepted/hybrid.yaml", "tests/specs/accepted/clustering.yaml"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        char *text = draw_good(specs[i], 1, false, NULL), *explained = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&explained, &length);
        anl_diagnostics *d = anl_diagnostics_new();
        anl_explain_options options = {.spec = path_of(specs[i]), .kernel = -1};
        ck_assert_int_eq(anl_explain(&options, out, d), ANL_OK);
        fclose(out);
        anl_diagnostics_free(&d);
        const char *line = strstr(explained, "parameters ");
        ck_assert_ptr_nonnull(line);
        char first[80] = "";
        sscanf(line, "parameters %79[0-9,]", first);
        strcat(first, " in");
        ck_assert_int_eq(sum_before(text, " weights"), sum_before(first, " in"));
        free(explained);
        free(text);
    }
}
END_TEST

START_TEST(test_escapes)
{
    char path[] = "/tmp/anlage-draw-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    fputs("anlage: 1\n"
          "title: 'a <b> & \"c\" > \\ | {d} ; digraph x { y -> z }'\n"
          "params: {batch: 2}\n"
          "data: {train: {shards: s, fields: {node: {axes: {edge: 2}, modality: 'm\"];<&>'}}}}\n"
          "functions:\n"
          "  digraph:\n"
          "    inputs: {x: [edge]}\n"
          "    weights: {strict: {axes: {edge: 2}, init: 1}}\n"
          "    returns: x * strict\n"
          "modules: {subgraph: digraph}\n"
          "graph: {graph: subgraph(node)}\n"
          "losses: {edge: {value: 'mean(graph ** 2, over=all)', weight: \"if(1 < 2 and 3 > 2, 0.5, 2)\"}}\n"
          "train: {length: 1ep, optimizer: [{weights: '*', rule: frozen}]}\n",
          file);
    fclose(file);
    char *text = draw(path, 0, false, NULL);
    unlink(path);
    ck_assert_ptr_nonnull(text);
    check_drawing("escapes", text);
    has(text, "a &#60;b&#62; &#38; &#34;c&#34; &#62; &#92; &#124; &#123;d&#125; ; digraph x &#123; y -&#62; z &#125;");
    has(text, "m&#34;&#93;;&#60;&#38;&#62;");
    has(text, "weight: if(1 &#60; 2 and 2 &#60; 3");
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("draw");
    TCase *all = tcase_create("drawings");
    tcase_add_test(all, test_all);
    tcase_add_test(all, test_clusters);
    tcase_add_test(all, test_states);
    tcase_add_test(all, test_weights);
    tcase_add_test(all, test_escapes);
    tcase_set_timeout(all, 300);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
