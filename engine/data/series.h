/* Slices that make a volume: their order, the step from one to the next.
 * In: positions in the patient, of the frames of one file or of several files. Out: an order and a step, or why they make none. */
#ifndef ANL_DATA_SERIES_H
#define ANL_DATA_SERIES_H

#include "data/scan.h"

#define ANL_SERIES_SAME 1e-3 /* mm: slices that are nearer lie at one place */

/* How far `to` lies beyond `from` along the normal, mm. */
double anl_series_apart(const double from[3], const double to[3], const double normal[3]);
/* sorted: indexes in the order of the positions along the normal; of those at one place, as they come. */
void anl_series_sort(const double (*positions)[3], const double normal[3], int count, int *sorted);
/* The step between sorted positions, two at least, mm. Refused: steps that differ by more than a tenth, as where slices are missing. */
anl_status anl_series_steps(const double (*positions)[3], int count, double step[3], char reason[ANL_REASON_SIZE]);

#endif
