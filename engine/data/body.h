/* Where the body is in a scan, and cropping to it.
 * In: a scan. Out: the box around the largest connected region that is brighter than air, and the scan cropped to it.
 * Air is what lies at or below -500 HU where values are in HU, at or below Otsu's threshold (IEEE Trans. SMC 9(1):62-66, 1979) over 256 bins
 * elsewhere. Voxels are connected by their faces. Of several frames the boxes are put together. */
#ifndef ANL_DATA_BODY_H
#define ANL_DATA_BODY_H

#include "data/scan.h"

typedef struct anl_body_margin {
    double size;
    bool mm; /* or voxels */
} anl_body_margin;

/* What is brighter is body, in stored values. NAN: all values are the same. */
double anl_body_threshold(const anl_scan *scan);
/* box[axis]: first and beyond the last along x, y, z. false: there is no memory. Without a body, the box is the scan. */
bool anl_body_box(const anl_scan *scan, int box[3][2]);
/* Crops to the body and what is within the margin of it; along z only if asked. box: what was kept, as of anl_body_box. On failure the scan is as it
 * was, and reason says why: no memory, or a margin in mm where the spacing is not known. */
anl_status anl_body_crop(anl_scan *scan, bool along_z, anl_body_margin margin, int box[3][2], char reason[ANL_REASON_SIZE]);

#endif
