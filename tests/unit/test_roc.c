/* ROC AUC and its interval: known values, ties, weights by patient, reproducibility.
 * In: nothing. Out: check's report. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "run/roc.h"

START_TEST(known_values)
{
    /* Worked by hand: pairs (positive, negative): 0.35>0.1, 0.35<0.4, 0.8>0.1, 0.8>0.4 -> 3 of 4. */
    double score[] = {0.1, 0.4, 0.35, 0.8};
    uint8_t label[] = {0, 0, 1, 1};
    ck_assert_double_eq_tol(anl_roc_auc(score, label, 4), 0.75, 1e-15);
    double same[] = {1, 1, 1, 1};
    ck_assert_double_eq_tol(anl_roc_auc(same, label, 4), 0.5, 1e-15);
    double apart[] = {0, 1, 2, 3};
    ck_assert_double_eq_tol(anl_roc_auc(apart, label, 4), 1.0, 1e-15);
    uint8_t swapped[] = {1, 1, 0, 0};
    ck_assert_double_eq_tol(anl_roc_auc(apart, swapped, 4), 0.0, 1e-15);
}
END_TEST

START_TEST(undefined_without_both_classes)
{
    double score[] = {1, 2, 3}, low, high;
    uint8_t ones[] = {1, 1, 1};
    int64_t patient[] = {0, 1, 2};
    ck_assert(isnan(anl_roc_auc(score, ones, 3)));
    ck_assert_int_eq(anl_roc_interval(score, ones, patient, 3, 100, 1, &low, &high), 3);
    ck_assert(isnan(low) && isnan(high));
    ck_assert(isnan(anl_roc_auc(score, ones, 0)));
}
END_TEST

/* Against counting all pairs. */
START_TEST(agrees_with_counting_pairs)
{
    enum { N = 200 };
    double score[N];
    uint8_t label[N];
    uint32_t state = 7;
    for (int i = 0; i < N; i++) {
        state = state * 1664525u + 1013904223u;
        label[i] = (state >> 20) % 3 == 0;
        score[i] = (double)((state >> 8) % 23) + label[i] * 4; /* many ties */
    }
    double wins = 0, pairs = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (label[i] && !label[j]) {
                wins += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
                pairs++;
            }
    ck_assert_double_eq_tol(anl_roc_auc(score, label, N), wins / pairs, 1e-12);
}
END_TEST

START_TEST(interval_is_by_patient)
{
    enum { PATIENTS = 40, EACH = 10, N = PATIENTS * EACH };
    static double score[N];
    static uint8_t label[N];
    static int64_t patient[N], alone[N];
    uint32_t state = 3;
    for (int p = 0; p < PATIENTS; p++) {
        state = state * 1664525u + 1013904223u;
        double own = (double)(state >> 8) / 16777216.0 + 0.3 * (p % 2);
        for (int e = 0; e < EACH; e++) { /* a patient's samples are all alike: as good as one */
            score[p * EACH + e] = own;
            label[p * EACH + e] = (uint8_t)(p % 2);
            patient[p * EACH + e] = 1000 - p;
            alone[p * EACH + e] = p * EACH + e;
        }
    }
    double low, high, again_low, again_high, narrow_low, narrow_high, auc = anl_roc_auc(score, label, N);
    ck_assert_int_eq(anl_roc_interval(score, label, patient, N, 1000, 5, &low, &high), PATIENTS);
    anl_roc_interval(score, label, patient, N, 1000, 5, &again_low, &again_high);
    ck_assert(low == again_low && high == again_high);
    ck_assert(low < auc && auc < high && low >= 0 && high <= 1);
    ck_assert_int_eq(anl_roc_interval(score, label, alone, N, 1000, 5, &narrow_low, &narrow_high), N);
    ck_assert_double_lt(narrow_high - narrow_low, 0.6 * (high - low));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roc");
    TCase *cases = tcase_create("roc");
    tcase_add_test(cases, known_values);
    tcase_add_test(cases, undefined_without_both_classes);
    tcase_add_test(cases, agrees_with_counting_pairs);
    tcase_add_test(cases, interval_is_by_patient);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
