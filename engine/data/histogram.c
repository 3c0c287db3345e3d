/* Histograms with fixed bins.
 * In: values. Out: counts.
 * A value is in the bin that begins at it or below; the end of the last bin counts to it. */
#include "data/histogram.h"

#include <math.h>
#include <string.h>

anl_histogram_axis anl_histogram_axis_of(const char *unit)
{
    if (!unit || !unit[0])
        return (anl_histogram_axis){0, 1, false};
    if (!strcmp(unit, "HU"))
        return (anl_histogram_axis){-1024, 3072, false};
    return (anl_histogram_axis){0x1p-32, 0x1p32, true};
}

void anl_histogram_count(anl_histogram *h, anl_histogram_axis axis, double value)
{
    if (value < axis.from)
        h->below++;
    else if (value > axis.to)
        h->above++;
    else {
        int bin = axis.octaves ? ilogb(value) - ilogb(axis.from) : (int)((value - axis.from) / (axis.to - axis.from) * ANL_HISTOGRAM_BINS);
        h->bins[bin < ANL_HISTOGRAM_BINS ? bin : ANL_HISTOGRAM_BINS - 1]++;
    }
}

void anl_histogram_add(anl_histogram *sum, const anl_histogram *more)
{
    sum->below += more->below;
    sum->above += more->above;
    for (int b = 0; b < ANL_HISTOGRAM_BINS; b++)
        sum->bins[b] += more->bins[b];
}

int64_t anl_histogram_total(const anl_histogram *h)
{
    int64_t total = h->below + h->above;
    for (int b = 0; b < ANL_HISTOGRAM_BINS; b++)
        total += h->bins[b];
    return total;
}

double anl_histogram_edge(anl_histogram_axis axis, int bin)
{
    return axis.octaves ? ldexp(axis.from, bin) : axis.from + (axis.to - axis.from) * bin / ANL_HISTOGRAM_BINS;
}

double anl_histogram_quantile(const anl_histogram *h, anl_histogram_axis axis, double share)
{
    const double wanted = share * (double)anl_histogram_total(h);
    double sum = (double)h->below;
    if (!(anl_histogram_total(h) > 0))
        return NAN;
    if (sum > wanted)
        return axis.from;
    for (int b = 0; b < ANL_HISTOGRAM_BINS; b++) {
        sum += (double)h->bins[b];
        if (h->bins[b] > 0 && sum >= wanted)
            return (anl_histogram_edge(axis, b) + anl_histogram_edge(axis, b + 1)) / 2;
    }
    return axis.to;
}
