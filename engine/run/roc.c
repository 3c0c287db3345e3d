/* Area under the ROC curve with a bootstrap interval by patient.
 * In: scores, labels, patients. Out: AUC and its 2.5 and 97.5 percentiles.
 * Samples are sorted once; a resample only changes their weights. */
#include "run/roc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/philox.h"

typedef struct ranked {
    double score;
    int64_t sample;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static ranked *rank_scores(const double *score, int64_t count)
{
    ranked *order = anl_malloc(sizeof(ranked) * (size_t)(count + 1));
    for (int64_t i = 0; i < count; i++)
        order[i] = (ranked){score[i], i};
    qsort(order, (size_t)count, sizeof *order, by_score);
    return order;
}

/* weight[group[i]] copies of sample i; weight NULL: one of each. */
static double weighted_auc(const ranked *order, const uint8_t *label, int64_t count, const int32_t *weight, const int32_t *group)
{
    double below = 0, wins = 0, positives = 0;
    for (int64_t i = 0; i < count;) {
        double tied_positive = 0, tied_negative = 0;
        int64_t j = i;
        for (; j < count && order[j].score == order[i].score; j++) {
            int64_t s = order[j].sample;
            double w = weight ? weight[group[s]] : 1;
            if (label[s])
                tied_positive += w;
            else
                tied_negative += w;
        }
        wins += tied_positive * (below + 0.5 * tied_negative);
        below += tied_negative;
        positives += tied_positive;
        i = j;
    }
    return positives > 0 && below > 0 ? wins / (positives * below) : NAN;
}

double anl_roc_auc(const double *score, const uint8_t *label, int64_t count)
{
    ranked *order = rank_scores(score, count);
    double auc = weighted_auc(order, label, count, NULL, NULL);
    free(order);
    return auc;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Linear interpolation between order statistics. */
static double percentile(const double *sorted, int count, double p)
{
    double at = p * (count - 1);
    int i = (int)at;
    return i + 1 < count ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[count - 1];
}

int64_t anl_roc_interval(const double *score, const uint8_t *label, const int64_t *patient, int64_t count, int resamples, uint64_t seed, double *low, double *high)
{
    *low = *high = NAN;
    if (count == 0)
        return 0;
    ranked *order = rank_scores(score, count);
    int64_t *known = anl_malloc(sizeof(int64_t) * (size_t)count);
    memcpy(known, patient, sizeof(int64_t) * (size_t)count);
    qsort(known, (size_t)count, sizeof *known, by_number);
    int32_t groups = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || known[i] != known[groups - 1])
            known[groups++] = known[i];
    int32_t *group = anl_malloc(sizeof(int32_t) * (size_t)count);
    for (int64_t i = 0; i < count; i++)
        group[i] = (int32_t)((int64_t *)bsearch(&patient[i], known, (size_t)groups, sizeof *known, by_number) - known);
    int32_t *weight = anl_malloc(sizeof(int32_t) * (size_t)groups);
    double *aucs = anl_malloc(sizeof(double) * (size_t)resamples);
    int got = 0;
    for (int r = 0; r < resamples; r++) {
        memset(weight, 0, sizeof(int32_t) * (size_t)groups);
        for (int32_t g = 0; g < groups; g++) {
            uint32_t counter[4] = {(uint32_t)g, (uint32_t)r, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, word[4];
            anl_philox(counter, key, word);
            weight[(int32_t)(anl_philox_unit(word[0]) * groups)]++;
        }
        double auc = weighted_auc(order, label, count, weight, group);
        if (!isnan(auc))
            aucs[got++] = auc;
    }
    if (got > 0) {
        qsort(aucs, (size_t)got, sizeof *aucs, by_value);
        *low = percentile(aucs, got, 0.025);
        *high = percentile(aucs, got, 0.975);
    }
    free(aucs);
    free(weight);
    free(group);
    free(known);
    free(order);
    return groups;
}
