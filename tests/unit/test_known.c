/* Known values: functions of the library against numbers worked out here, through the whole path from YAML to the device.
 * In: small specs written to a temporary folder. Out: check's report. Runs on the host in float64 without fusion and in float32 with it. */
#include "spec_fixture.h"

/* _i: 0 precise, 1 float32 fused. */
START_TEST(sinkhorn_is_balanced_and_shift_invariant)
{
    enum { B = 12, K = 4 };
    static const char spec[] = "anlage: 1\nimport: [lib/clustering.yaml]\nparams: {batch: 12}\n" DATA("{cluster: 4}")
        "graph:\n  plan: sinkhorn(x, epsilon=0.05, iterations=50)\n  shifted: sinkhorn(x + 7.25, epsilon=0.05, iterations=50)\n  few: sinkhorn(x, iterations=3)\n";
    static const char *const fetches[] = {"plan", "shifted", "few"};
    float x[B * K];
    for (int i = 0; i < B * K; i++)
        x[i] = 0.25f * (float)((i * 37) % 11) / 11.0f - 0.1f;
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 3);
    step(&f, 0, x);
    double plan[B * K], shifted[B * K], few[B * K], tolerance = _i == 0 ? 1e-9 : 2e-5;
    fetch(&f, "plan", B * K, plan);
    fetch(&f, "shifted", B * K, shifted);
    fetch(&f, "few", B * K, few);
    for (int b = 0; b < B; b++) {
        double row = 0, few_row = 0;
        for (int k = 0; k < K; k++) {
            row += plan[b * K + k];
            few_row += few[b * K + k];
            ck_assert_double_eq_tol(plan[b * K + k], shifted[b * K + k], _i == 0 ? 1e-9 : 2e-4);
        }
        ck_assert_double_eq_tol(row, 1, tolerance);
        ck_assert_double_eq_tol(few_row, 1, tolerance); /* rows are exact after any number of iterations */
    }
    for (int k = 0; k < K; k++) {
        double column = 0;
        for (int b = 0; b < B; b++)
            column += plan[b * K + k];
        ck_assert_double_eq_tol(column, (double)B / K, 1e-3);
    }
    close_spec(&f);
}
END_TEST

START_TEST(loss_of_collapsed_features_is_ln_k)
{
    enum { V = 3, B = 5, K = 7 };
    static const char spec[] = "anlage: 1\nimport: [lib/clustering.yaml]\nparams: {batch: 5}\n" DATA("{view: 3, cluster: 7}")
        "graph:\n  codes: sinkhorn(x[view=0:2])\n  value: swapped_cross_entropy(codes, x / 0.1)\n";
    static const char *const fetches[] = {"value"};
    float x[V * B * K];
    for (int i = 0; i < V * B * K; i++)
        x[i] = 0.375f;
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 1);
    step(&f, 0, x);
    double value;
    fetch(&f, "value", 1, &value);
    ck_assert_double_eq_tol(value, log(K), _i == 0 ? 1e-12 : 1e-6);
    close_spec(&f);
}
END_TEST

START_TEST(swapped_prediction_by_hand)
{
    /* Two views, one image, two clusters: codes of one view are its softmax after one row normalisation of the balanced plan. */
    enum { V = 2, B = 1, K = 2 };
    static const char spec[] = "anlage: 1\nimport: [lib/clustering.yaml]\nparams: {batch: 1}\n" DATA("{view: 2, cluster: 2}")
        "graph:\n  value: swapped_cross_entropy(x, x * 10)\n";
    static const char *const fetches[] = {"value"};
    float x[] = {0.3f, 0.7f, 0.9f, 0.1f}; /* fed as [batch, view, cluster] */
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 1);
    step(&f, 0, x);
    double value, z0 = log(exp(3.0) + exp(7.0)), z1 = log(exp(9.0) + exp(1.0));
    double view1_by_0 = -(0.3 * (9 - z1) + 0.7 * (1 - z1)), view0_by_1 = -(0.9 * (3 - z0) + 0.1 * (7 - z0));
    fetch(&f, "value", 1, &value);
    ck_assert_double_eq_tol(value, 0.5 * (view1_by_0 + view0_by_1), 2e-6);
    close_spec(&f);
}
END_TEST

START_TEST(batch_norm_by_hand)
{
    static const char spec[] = "anlage: 1\nimport: [lib/layers.yaml, lib/optimize.yaml]\nparams: {batch: 4}\n" DATA("{channel: 2}")
        "modules: {bn: batch_norm()}\ngraph: {y: bn(x)}\nlosses: {l: {value: \"mean(y * y, over=all)\"}}\n" TRAIN("sgd(lr=0.0)");
    float x[] = {1, 10, 2, 10, 3, 10, 4, 14}; /* channel 0: 1 2 3 4; channel 1: 10 10 10 14 */
    fixture f;
    open_spec(&f, spec, _i == 0, NULL, 0);
    step(&f, 0, x);
    float mean[2], var[2];
    state(&f, "bn.running_mean", 2, mean);
    state(&f, "bn.running_var", 2, var);
    ck_assert_float_eq_tol(mean[0], 0.25f, 1e-6f);
    ck_assert_float_eq_tol(mean[1], 1.1f, 1e-6f);
    ck_assert_float_eq_tol(var[0], 0.9f + 0.1f * 5.0f / 3.0f, 1e-6f); /* the unbiased variance is kept */
    ck_assert_float_eq_tol(var[1], 0.9f + 0.1f * 4.0f, 1e-6f);
    close_spec(&f);
    static const char *const fetches[] = {"y"};
    open_spec(&f, spec, _i == 0, fetches, 1);
    step(&f, 0, x);
    double y[8];
    fetch(&f, "y", 8, y);
    ck_assert_double_eq_tol(y[0], -1.5 / sqrt(1.25 + 1e-5), 1e-5);
    ck_assert_double_eq_tol(y[6], 1.5 / sqrt(1.25 + 1e-5), 1e-5);
    ck_assert_double_eq_tol(y[7], 3.0 / sqrt(3.0 + 1e-5), 1e-5);
    close_spec(&f);
}
END_TEST

/* One weight [out 1, f 3], first value 0.5, whose gradient is the mean of x over the batch. */
#define RULE_SPEC(rule, kind)                                                                                                                   \
    "anlage: 1\nimport: [lib/optimize.yaml]\nparams: {batch: 2}\n" DATA("{f: 3}")                                                                \
    "functions:\n  line:\n    doc: A weighted sum.\n    inputs: {x: [f]}\n    weights: {weight: {axes: {f: x.f}, init: 0.5, kind: " kind "}}\n"      \
    "    returns: sum(x * weight, over=f)\n"                                                                                                     \
    "modules: {m: line()}\ngraph: {y: m(x)}\nlosses: {l: {value: \"mean(y, over=batch)\"}}\n" TRAIN(rule)

static const float rule_x[] = {0.1f, -0.2f, 0.3f, 0.3f, 0.0f, -0.1f};
static const double rule_gradient[] = {0.2, -0.1, 0.1};

START_TEST(sgd_by_hand)
{
    fixture f;
    open_spec(&f, RULE_SPEC("sgd(lr=0.1, momentum=0.9, weight_decay=0.01)", "matrix"), _i == 0, NULL, 0);
    double w[3] = {0.5, 0.5, 0.5}, v[3] = {0};
    float got[3], x[6];
    for (int s = 0; s < 3; s++) {
        memcpy(x, rule_x, sizeof x);
        step(&f, s, x);
        state(&f, "m.weight", 3, got);
        for (int i = 0; i < 3; i++) {
            v[i] = 0.9 * v[i] + rule_gradient[i] + 0.01 * w[i];
            w[i] -= 0.1 * v[i];
            ck_assert_double_eq_tol(got[i], w[i], 1e-6);
        }
    }
    close_spec(&f);
}
END_TEST

START_TEST(lars_by_hand)
{
    fixture f;
    open_spec(&f, RULE_SPEC("lars(lr=0.2, momentum=0.9, weight_decay=0.01, trust=0.001)", "matrix"), _i == 0, NULL, 0);
    double w[3] = {0.5, 0.5, 0.5}, v[3] = {0};
    float got[3], x[6];
    for (int s = 0; s < 3; s++) {
        memcpy(x, rule_x, sizeof x);
        step(&f, s, x);
        state(&f, "m.weight", 3, got);
        double wn = sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2]), gn = sqrt(0.04 + 0.01 + 0.01);
        double ratio = 0.001 * wn / (gn + 0.01 * wn + 1e-8);
        for (int i = 0; i < 3; i++) {
            v[i] = 0.9 * v[i] + ratio * (rule_gradient[i] + 0.01 * w[i]);
            w[i] -= 0.2 * v[i];
            ck_assert_double_eq_tol(got[i], w[i], 1e-7);
        }
        ck_assert(fabs(got[0] - 0.5) > 1e-5); /* it does move */
    }
    close_spec(&f);
}
END_TEST

START_TEST(lars_leaves_other_kinds_unscaled)
{
    fixture f;
    open_spec(&f, RULE_SPEC("lars(lr=0.2, momentum=0.9, weight_decay=0.5, trust=0.001)", "norm"), _i == 0, NULL, 0);
    float got[3], x[6];
    memcpy(x, rule_x, sizeof x);
    step(&f, 0, x);
    state(&f, "m.weight", 3, got);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(got[i], 0.5 - 0.2 * rule_gradient[i], 1e-6);
    close_spec(&f);
}
END_TEST

START_TEST(adamw_by_hand)
{
    fixture f;
    open_spec(&f, RULE_SPEC("adamw(lr=0.01, weight_decay=0.1)", "matrix"), _i == 0, NULL, 0);
    double w[3] = {0.5, 0.5, 0.5}, m[3] = {0}, s2[3] = {0};
    float got[3], x[6];
    for (int s = 0; s < 4; s++) {
        memcpy(x, rule_x, sizeof x);
        for (int i = 0; i < 6; i++)
            x[i] *= (float)(s + 1); /* a gradient that changes */
        step(&f, s, x);
        state(&f, "m.weight", 3, got);
        for (int i = 0; i < 3; i++) {
            double g = rule_gradient[i] * (s + 1);
            m[i] = 0.9 * m[i] + 0.1 * g;
            s2[i] = 0.999 * s2[i] + 0.001 * g * g;
            double mh = m[i] / (1 - pow(0.9, s + 1)), sh = s2[i] / (1 - pow(0.999, s + 1));
            w[i] -= 0.01 * (mh / (sqrt(sh) + 1e-8) + 0.1 * w[i]);
            ck_assert_double_eq_tol(got[i], w[i], 2e-6);
        }
    }
    close_spec(&f);
}
END_TEST

START_TEST(cosine_with_warm_up)
{
    static const char spec[] = "anlage: 1\nimport: [lib/optimize.yaml]\nparams: {batch: 2}\n" DATA("{f: 3}")
        "functions:\n  line:\n    doc: A weighted sum.\n    inputs: {x: [f]}\n    weights: {weight: {axes: {f: x.f}, init: 0.5}}\n    returns: sum(x * weight, over=f)\n"
        "modules: {m: line()}\ngraph: {y: m(x)}\nlosses: {l: {value: \"mean(y, over=batch)\"}}\n"
        "train: {length: 10ep, optimizer: [{weights: \"*\", rule: \"sgd(lr=cosine(from=0.6, to=0.1, warmup=2ep))\"}]}\n";
    fixture f;
    open_spec(&f, spec, _i == 0, NULL, 0); /* an epoch has 10 steps */
    int lr = anl_session_output(f.phase, "lr");
    ck_assert_int_ge(lr, 0);
    for (int s = 0; s < 100; s += 7) {
        double got, t = (s - 20) / 80.0;
        double expected = s < 20 ? 0.6 * (s + 1) / 20 : 0.1 + 0.5 * 0.5 * (1 + cos(M_PI * t));
        ck_assert_int_eq(anl_session_fetch(f.session, f.phase, lr, s, &got, f.diagnostics), ANL_OK);
        ck_assert_double_eq_tol(got, expected, 1e-9);
    }
    close_spec(&f);
}
END_TEST

START_TEST(bands_sum_to_the_image)
{
    enum { N = 2 * 24 * 20 };
    static const char spec[] = "anlage: 1\nimport: [lib/augment.yaml]\nparams: {batch: 2}\n" DATA("{channel: 1, y: 24, x: 20}")
        "graph:\n  same: energy_bands(x, bands=3, gain=[1.0, 1.0])\n  other: energy_bands(x, bands=3, gain=[0.5, 1.5])\n";
    static const char *const fetches[] = {"same", "other"};
    static float x[N];
    static double same[N], other[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)((i * 7919) % 1000) / 1000.0f;
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 2);
    step(&f, 0, x);
    fetch(&f, "same", N, same);
    fetch(&f, "other", N, other);
    double difference = 0;
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(same[i], x[i], 1e-5);
        difference = fmax(difference, fabs(other[i] - x[i]));
    }
    ck_assert_double_gt(difference, 0.01);
    close_spec(&f);
}
END_TEST

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    Suite *suite = suite_create("known values");
    TCase *cases = tcase_create("known values");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, sinkhorn_is_balanced_and_shift_invariant, 0, 2);
    tcase_add_loop_test(cases, loss_of_collapsed_features_is_ln_k, 0, 2);
    tcase_add_loop_test(cases, swapped_prediction_by_hand, 0, 2);
    tcase_add_loop_test(cases, batch_norm_by_hand, 0, 2);
    tcase_add_loop_test(cases, sgd_by_hand, 0, 2);
    tcase_add_loop_test(cases, lars_by_hand, 0, 2);
    tcase_add_loop_test(cases, lars_leaves_other_kinds_unscaled, 0, 2);
    tcase_add_loop_test(cases, adamw_by_hand, 0, 2);
    tcase_add_loop_test(cases, cosine_with_warm_up, 0, 2);
    tcase_add_loop_test(cases, bands_sum_to_the_image, 0, 2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_folder();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
