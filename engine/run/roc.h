/* Area under the ROC curve with a bootstrap interval by patient.
 * In: scores, labels, patients. Out: AUC and its 2.5 and 97.5 percentiles. */
#ifndef ANL_RUN_ROC_H
#define ANL_RUN_ROC_H

#include <stdint.h>

/* Probability that a positive scores above a negative, ties counting half (Mann-Whitney; Hanley and McNeil 1982). NaN without both classes.
 * label: 0 or 1; count samples. */
double anl_roc_auc(const double *score, const uint8_t *label, int64_t count);
/* Resamples patients with replacement (Efron's percentile bootstrap), seeded and reproducible. Resamples without both classes are left out. NaN if none
 * remains. Returns how many distinct patients there are. */
int64_t anl_roc_interval(const double *score, const uint8_t *label, const int64_t *patient, int64_t count, int resamples, uint64_t seed, double *low, double *high);

#endif
