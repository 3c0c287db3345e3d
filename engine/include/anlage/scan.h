/* Scans: decoded image files of any kind, with the meaning of their values.
 * In: TIFF, PNG, JPEG, DICOM, NIfTI files and HDF5 arrays, told apart by content. Out: voxels as stored, and what the file says
 * of them. Reading keeps no state: usable from several threads at once. */
#ifndef ANLAGE_SCAN_H
#define ANLAGE_SCAN_H

#include <anlage/diagnostic.h>
#include <anlage/status.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum anl_voxel { ANL_VOXEL_U8, ANL_VOXEL_U16, ANL_VOXEL_I16, ANL_VOXEL_I32, ANL_VOXEL_F32, ANL_VOXEL_F64 } anl_voxel;

typedef struct anl_scan {
    int width, height, depth; /* along x, y, z; depth is 1 for an image, and the slices of a volume lie along it */
    int frames;               /* what is no space: time points, echoes, directions; 1 */
    int channels;             /* 1, or 3 (RGB; alpha is dropped) */
    anl_voxel type;
    int bits;     /* of the values: 8, 12, 16 …; at most those of the type */
    void *voxels; /* [frame][z][y][x][channel] in this machine's byte order; owned. NULL after a probe */
    /* The value of a voxel is stored * slope + intercept, in unit. 0 is black: what was stored the other way round has been
     * turned. */
    double slope, intercept;
    char unit[16];     /* "HU"; "" where the file names none */
    bool inverted;     /* the file had white as its least value (MONOCHROME1, MINISWHITE), and has been turned */
    double spacing[3]; /* mm from centre to centre along x, y, z; 0: not known */
    bool oriented;
    double affine[3][4]; /* from voxel (x, y, z, 1) to mm in the patient: to the left, to the back, upwards (LPS, as in DICOM) */
    int turned[3];       /* axis a (x, y, z) is axis |turned[a]| - 1 of the file, backwards where it is negative: 1, 2, 3 is as it lies there */
    bool segmentation;   /* its values number what a voxel belongs to: it is no image */
    double window[2];    /* centre and width of the values worth showing, as the file says; width 0: none */
    char modality[16];   /* a word of the modality table ("ct", "mr", "radiograph", "ultrasound", …) or "" */
    char patient[72], study[72]; /* ids as they stand in the file, or "" */
    char series[72];             /* what files of one volume have in common, or "" */
    double position;             /* of a slice along its normal, mm: orders the files of a series; NAN: not known */
    int64_t place;               /* its number in the series as the file says (InstanceNumber), or -1 */
    char laterality;             /* 'L', 'R', 'B'; 0: not known */
} anl_scan;

/* Bounds that hold for every reader, checked before voxels are allocated. */
#define ANL_SCAN_MAX_SIDE 65536
#define ANL_SCAN_MAX_BYTES ((size_t)1 << 30)

/* Reads a file by content, not by name. NAME may be FILE.h5:/path for one array of an HDF5 file. Fails with a diagnostic that
 * names file and reason (A0801); never invents voxels: a damaged part is a failure. After a failure *out is empty. */
anl_status anl_scan_read(const char *path, anl_scan *out, anl_diagnostics *diagnostics);
void anl_scan_free(anl_scan *scan);

int anl_voxel_bytes(anl_voxel type);
const char *anl_voxel_name(anl_voxel type); /* "uint8", as numpy has it */
/* Voxels of all frames, times channels. */
int64_t anl_scan_count(const anl_scan *scan);
/* Stored values as doubles: `count` from element `first` on. */
void anl_scan_stored(const anl_scan *scan, int64_t first, int64_t count, double *out);

/* What a file holds, as text for people: size, type, values, place in the patient, and a SHA-256 of the voxels in little-endian
 * order, [frame][z][y][x][channel]. Ids of patients are told only as being there. */
anl_status anl_scan_inspect(const char *path, FILE *out, anl_diagnostics *diagnostics);

/* Names of the kinds of files that this build reads, for people; NULL beyond the last. */
const char *anl_scan_kind(int index);

#endif
