/* Histograms of the values that are packed, with bins that depend on nothing but what the values mean, so that packs can be compared.
 * In: values. Out: counts, one for each of the bins and for what lies below and above them.
 *
 *   0 black to 1 white, and relative to the range of each sample    0 to 1 in 64 bins; 1 is in the last
 *   HU                                                               -1024 to 3072 in 64 bins of 64 HU
 *   other units (Bq/ml, g/ml, Gy), where values span many decades    2^-32 to 2^32, a bin an octave; nought and less lie below
 */
#ifndef ANL_DATA_HISTOGRAM_H
#define ANL_DATA_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>

enum { ANL_HISTOGRAM_BINS = 64 };

typedef struct anl_histogram_axis {
    double from, to;
    bool octaves;
} anl_histogram_axis;

typedef struct anl_histogram {
    int64_t below, above, bins[ANL_HISTOGRAM_BINS];
} anl_histogram;

/* unit: NULL or "" where values have none. */
anl_histogram_axis anl_histogram_axis_of(const char *unit);
void anl_histogram_count(anl_histogram *histogram, anl_histogram_axis axis, double value);
void anl_histogram_add(anl_histogram *sum, const anl_histogram *more);
int64_t anl_histogram_total(const anl_histogram *histogram);
/* Where bin begins; ANL_HISTOGRAM_BINS: where the last ends. */
double anl_histogram_edge(anl_histogram_axis axis, int bin);
/* The middle of the bin in which a share (0 to 1) of the values, from the least on, is reached. NAN: there are none; beyond the bins: their end. */
double anl_histogram_quantile(const anl_histogram *histogram, anl_histogram_axis axis, double share);

#endif
