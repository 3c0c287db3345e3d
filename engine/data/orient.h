/* Volumes in one orientation, whatever the file's.
 * In: a scan that says where it lies in the patient. Out: the same scan with its axes exchanged and turned round. */
#ifndef ANL_DATA_ORIENT_H
#define ANL_DATA_ORIENT_H

#include "data/scan.h"

/* Volumes: x runs from the patient's right to the left, y from front to back, z from the feet to the head (as nearly as their axes
 * do): the axial slices of a volume look as radiologists see them. A scan of one slice keeps its plane: axial slices as above; coronal
 * ones have x from right to left and y from head to feet, sagittal ones x from front to back and y from head to feet. Voxels are moved,
 * never interpolated; the affine follows them. Nothing happens to scans that are not oriented. */
anl_status anl_scan_orient(anl_scan *scan, char reason[ANL_REASON_SIZE]);

#endif
