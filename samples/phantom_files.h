/* Files of phantoms: one scan as TIFF, NIfTI or DICOM.
 * In: voxels as whole numbers, and what they stand for. Out: a file that says as much of it as its format can.
 * All return false after a line on stderr; what was half written is removed. */
#ifndef ANLAGE_PHANTOM_FILES_H
#define ANLAGE_PHANTOM_FILES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum phantom_kind { PHANTOM_RADIOGRAPH, PHANTOM_CT, PHANTOM_MR, PHANTOM_ULTRASOUND } phantom_kind;

typedef struct phantom_scan {
    phantom_kind kind;
    int width, height, depth;
    int bits;               /* used by the voxels: 8 or 12 */
    const uint16_t *voxels; /* [z][y][x]: x to the patient's left, y to the back, z to the head */
    double intercept;       /* CT: Hounsfield units are voxel + intercept */
    double spacing[3];      /* mm along x, y, z */
    bool white_first;       /* DICOM: stored with white as 0 (MONOCHROME1) */
    const char *patient;
    uint64_t number; /* one scan, one number: ids are made of it */
} phantom_scan;

/* Pages of 16 bits (8: ultrasound); TIFF has no place for spacing along z, or for units. */
bool phantom_write_tiff(const char *path, const phantom_scan *scan);
/* NIfTI-1, gzipped where the name says so, x to the right and y to the front as is usual in it: turned about against the other
 * formats. */
bool phantom_write_nifti(const char *path, const phantom_scan *scan);
/* One image, or one multi-frame image with a frame a slice; explicit little endian. */
bool phantom_write_dicom(const char *path, const phantom_scan *scan);
/* A slice of it as an image of a series: all slices of a scan have the ids of study and series in common. */
bool phantom_write_dicom_slice(const char *path, const phantom_scan *scan, int slice);
bool phantom_has_nifti(void);

#endif
