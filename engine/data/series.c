/* Slices that make a volume: their order, the step from one to the next.
 * In: positions in the patient, of the frames of one file or of several files. Out: an order and a step, or why they make none. */
#include "data/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

double anl_series_apart(const double from[3], const double to[3], const double normal[3])
{
    return (to[0] - from[0]) * normal[0] + (to[1] - from[1]) * normal[1] + (to[2] - from[2]) * normal[2];
}

typedef struct level {
    double at;
    int index;
} level;

static int by_level(const void *a, const void *b)
{
    const level *x = a, *y = b;
    if (fabs(x->at - y->at) > 0)
        return x->at < y->at ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

void anl_series_sort(const double (*positions)[3], const double normal[3], int count, int *sorted)
{
    static const double origin[3];
    level *levels = anl_malloc(sizeof *levels * ((size_t)count + 1));
    for (int i = 0; i < count; i++) /* in steps in which places are the same: they keep their order */
        levels[i] = (level){floor(anl_series_apart(origin, positions[i], normal) / ANL_SERIES_SAME + 0.5), i};
    qsort(levels, (size_t)count, sizeof *levels, by_level);
    for (int i = 0; i < count; i++)
        sorted[i] = levels[i].index;
    free(levels);
}

static double distance(const double a[3], const double b[3])
{
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]));
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

anl_status anl_series_steps(const double (*positions)[3], int count, double step[3], char reason[ANL_REASON_SIZE])
{
    double length = 0;
    for (int a = 0; a < 3; a++)
        step[a] = (positions[count - 1][a] - positions[0][a]) / (count - 1);
    length = sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2]);
    bool even = length > ANL_SERIES_SAME;
    for (int i = 1; i < count && even; i++) {
        const double expected[3] = {positions[0][0] + step[0] * i, positions[0][1] + step[1] * i, positions[0][2] + step[2] * i};
        even = distance(expected, positions[i]) <= 0.1 * length;
    }
    if (even)
        return ANL_OK;
    double *steps = anl_malloc(sizeof *steps * (size_t)count);
    for (int i = 1; i < count; i++)
        steps[i - 1] = distance(positions[i], positions[i - 1]);
    qsort(steps, (size_t)(count - 1), sizeof *steps, by_number);
    const double usual = steps[(count - 2) / 2];
    int worst = 1;
    for (int i = 2; i < count; i++)
        if (fabs(distance(positions[i], positions[i - 1]) - usual) > fabs(distance(positions[worst], positions[worst - 1]) - usual))
            worst = i;
    free(steps);
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                           "its %d slices are not evenly apart: %.4g mm from slice %d to the next, %.4g mm usually; some may be missing",
                           count, distance(positions[worst], positions[worst - 1]), worst, usual);
}
