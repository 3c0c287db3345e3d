/* Optimizer arenas by number: several weights larger than a lane in one arena, against the rule computed for each weight here.
 * In: a small spec written to a temporary folder. Out: check's report. Runs on the host in float64 without fusion and in float32
 * with it. Covers: offsets and pads, sums over one weight (LARS), moments with bias correction, a momentum copy that mirrors an
 * arena, clipping by the global norm. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/session.h"

static char folder[64];
static anl_session *session;
static anl_diagnostics *diagnostics;
static anl_phase *phase;

enum { BATCH = 6, IN = 5, HIDDEN = 70, OUT = 9, WEIGHTS = 4, LARGEST = HIDDEN * OUT };

static const struct {
    const char *path, *copy;
    int count;
    bool matrix;
} weights[WEIGHTS] = {{"student.first.weight", "teacher.first.weight", HIDDEN *IN, true},
                      {"student.first.bias", "teacher.first.bias", HIDDEN, false},
                      {"student.second.weight", "teacher.second.weight", OUT *HIDDEN, true},
                      {"student.second.bias", "teacher.second.bias", OUT, false}};

static void make_folder(void)
{
    strcpy(folder, "/tmp/anlage-arena-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    unlink(path);
    rmdir(folder);
}

static void good(anl_status status)
{
    if (status)
        anl_diagnostics_print(diagnostics, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
}

static void open_spec(const char *rule, const char *clip, bool precise)
{
    char path[128];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f,
            "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml, lib/momentum.yaml]\nparams: {batch: 6}\n"
            "data: {train: {shards: none, fields: {x: {axes: {channel: 5}}}}}\n"
            "functions:\n  network:\n    inputs: {x: [channel]}\n"
            "    returns: [x, {linear: {as: first, from: channel, to: channel, size: 70}}, relu, {linear: {as: second, from: "
            "channel, to: channel, size: 9}}]\n"
            "modules: {student: network, teacher: {copy: student, update: \"ema(momentum=0.9)\"}}\n"
            "losses: {l: {value: \"mean((student(x) - 0.5 * teacher(x) - 1) ** 2, over=all)\"}}\n"
            "train: {length: 10it, optimizer: [{weights: \"*\", rule: \"%s\"}]%s}\n",
            rule, clip);
    ck_assert_int_eq(fclose(f), 0);
    diagnostics = anl_diagnostics_new();
    anl_run_source source = {.spec = path, .device = "host", .precise = precise};
    good(anl_session_open(&source, diagnostics, &session));
    good(anl_session_prepare(session, &source, ANL_PREPARE_TRAIN, 10, NULL, 0, diagnostics));
    good(anl_session_initialize(session, diagnostics));
    phase = anl_session_phase(session, 0);
}

static void close_spec(void)
{
    anl_session_free(&session);
    anl_diagnostics_free(&diagnostics);
}

static void read_state(const char *path, int count, double *out)
{
    float values[LARGEST];
    void *bytes;
    int place = anl_state_layout_find(session->layout, path);
    ck_assert_msg(place >= 0, "no state %s", path);
    ck_assert_int_eq(session->layout->places[place].count, count);
    good(anl_session_state_read(session, &bytes, diagnostics));
    anl_place_get(session, bytes, place, values);
    free(bytes);
    for (int i = 0; i < count; i++)
        out[i] = values[i];
}

static void step(int64_t at, float *x)
{
    for (int i = 0; i < BATCH * IN; i++)
        x[i] = (float)((i * 29 + (int)at * 7) % 13) / 13.0f - 0.4f;
    float *values[] = {x}, *masks[] = {NULL};
    good(anl_session_feed(session, phase, values, masks, diagnostics));
    good(anl_session_step(session, phase, at, diagnostics));
}

static void outputs(const double w[WEIGHTS][LARGEST], const float *x, double *hidden, double *out)
{
    for (int h = 0; h < HIDDEN; h++) {
        hidden[h] = w[1][h];
        for (int i = 0; i < IN; i++)
            hidden[h] += w[0][h * IN + i] * x[i];
        if (hidden[h] < 0)
            hidden[h] = 0;
    }
    for (int o = 0; o < OUT; o++) {
        out[o] = w[3][o];
        for (int h = 0; h < HIDDEN; h++)
            out[o] += w[2][o * HIDDEN + h] * hidden[h];
    }
}

/* Of mean((student - 0.5 teacher - 1)^2), where the teacher is constant. */
static void gradients(const double w[WEIGHTS][LARGEST], const double copy[WEIGHTS][LARGEST], const float *x,
                      double g[WEIGHTS][LARGEST])
{
    memset(g, 0, sizeof(double) * WEIGHTS * LARGEST);
    for (int n = 0; n < BATCH; n++) {
        double hidden[HIDDEN], out[OUT], other_hidden[HIDDEN], other[OUT], back[HIDDEN] = {0};
        outputs(w, x + n * IN, hidden, out);
        outputs(copy, x + n * IN, other_hidden, other);
        for (int o = 0; o < OUT; o++) {
            double d = 2 * (out[o] - 0.5 * other[o] - 1) / (BATCH * OUT);
            g[3][o] += d;
            for (int h = 0; h < HIDDEN; h++) {
                g[2][o * HIDDEN + h] += d * hidden[h];
                back[h] += d * w[2][o * HIDDEN + h];
            }
        }
        for (int h = 0; h < HIDDEN; h++) {
            if (hidden[h] <= 0)
                continue;
            g[1][h] += back[h];
            for (int i = 0; i < IN; i++)
                g[0][h * IN + i] += back[h] * x[n * IN + i];
        }
    }
}

static double norm(const double *a, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

typedef void (*rule)(double *w, const double *g, double *a, double *b, int count, bool matrix, int64_t age);

static void lars(double *w, const double *g, double *v, double *unused, int count, bool matrix, int64_t age)
{
    (void)unused;
    (void)age;
    double wn = norm(w, count), gn = norm(g, count), decay = matrix ? 0.01 : 0;
    double ratio = matrix && wn > 0 && gn > 0 ? 0.02 * wn / (gn + decay * wn + 1e-8) : 1;
    for (int i = 0; i < count; i++) {
        v[i] = 0.9 * v[i] + ratio * (g[i] + decay * w[i]);
        w[i] -= 0.1 * v[i];
    }
}

static void adamw(double *w, const double *g, double *m, double *s, int count, bool matrix, int64_t age)
{
    for (int i = 0; i < count; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        s[i] = 0.999 * s[i] + 0.001 * g[i] * g[i];
        double mean = m[i] / (1 - pow(0.9, (double)age + 1)), square = s[i] / (1 - pow(0.999, (double)age + 1));
        w[i] -= 0.01 * (mean / (sqrt(square) + 1e-8) + (matrix ? 0.1 : 0) * w[i]);
    }
}

static void sgd(double *w, const double *g, double *v, double *unused, int count, bool matrix, int64_t age)
{
    (void)unused;
    (void)matrix;
    (void)age;
    for (int i = 0; i < count; i++) {
        v[i] = 0.9 * v[i] + g[i];
        w[i] -= 0.1 * v[i];
    }
}

static const struct {
    const char *text, *clip;
    rule rule;
    const char *states[2];
    double limit;
} rules[] = {{"lars(lr=0.1, momentum=0.9, weight_decay=0.01, trust=0.02)", "", lars, {"velocity", NULL}, 0},
             {"adamw(lr=0.01, weight_decay=0.1)", "", adamw, {"mean", "square"}, 0},
             {"sgd(lr=0.1)", ", clip: 0.05", sgd, {"velocity", NULL}, 0.05}};

static void compare(const char *path, const double *wanted, int count, double tolerance)
{
    double got[LARGEST];
    read_state(path, count, got);
    for (int i = 0; i < count; i++)
        ck_assert_msg(fabs(got[i] - wanted[i]) <= tolerance * (1 + fabs(wanted[i])), "%s[%d] is %.9g, not %.9g", path, i, got[i],
                      wanted[i]);
}

START_TEST(rules_over_arenas)
{
    const int r = _i / 2;
    open_spec(rules[r].text, rules[r].clip, _i % 2 == 0);
    static double w[WEIGHTS][LARGEST], copy[WEIGHTS][LARGEST], a[WEIGHTS][LARGEST], b[WEIGHTS][LARGEST], g[WEIGHTS][LARGEST];
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    for (int k = 0; k < WEIGHTS; k++) {
        read_state(weights[k].path, weights[k].count, w[k]);
        compare(weights[k].copy, w[k], weights[k].count, 0); /* a copy begins as what it copies */
        memcpy(copy[k], w[k], sizeof w[k]);
        ck_assert(norm(w[k], weights[k].count) > 0);
    }
    for (int64_t s = 0; s < 3; s++) {
        float x[BATCH * IN];
        step(s, x);
        gradients(w, copy, x, g);
        double global = 0;
        for (int k = 0; k < WEIGHTS; k++) {
            double n = norm(g[k], weights[k].count);
            ck_assert(n > 0);
            global += n * n;
        }
        global = sqrt(global);
        for (int k = 0; k < WEIGHTS; k++) {
            if (rules[r].limit > 0) {
                ck_assert(global > rules[r].limit);
                for (int i = 0; i < weights[k].count; i++)
                    g[k][i] *= rules[r].limit / (global + 1e-6);
            }
            rules[r].rule(w[k], g[k], a[k], b[k], weights[k].count, weights[k].matrix, s);
            compare(weights[k].path, w[k], weights[k].count, 3e-5);
            for (int i = 0; i < 2 && rules[r].states[i]; i++) {
                char path[128];
                snprintf(path, sizeof path, "%s:%s", weights[k].path, rules[r].states[i]);
                compare(path, i ? b[k] : a[k], weights[k].count, 3e-5);
            }
            for (int i = 0; i < weights[k].count; i++)
                copy[k][i] += 0.1 * (w[k][i] - copy[k][i]); /* follows the new value */
            compare(weights[k].copy, copy[k], weights[k].count, 3e-5);
        }
    }
    close_spec();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arenas");
    TCase *tests = tcase_create("rules");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, rules_over_arenas, 0, 2 * (int)ANL_COUNT(rules));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
