/* Reading of image files and resampling, as the rest of the data layer uses them.
 * In: files, told apart by their first bytes. Out: scans, or a reason why not.
 * No function here keeps state, so any number of threads may call them at once. */
#ifndef ANL_DATA_SCAN_H
#define ANL_DATA_SCAN_H

#include <anlage/scan.h>
#include <stddef.h>
#include <stdio.h>

#define ANL_REASON_SIZE 320
enum { ANL_SNIFF_BYTES = 352 }; /* enough for every reader to tell its files: NIfTI has its mark at 344 */

/* A kind of file. Each reader is one declaration in a file of its own; the table is in scan.c. */
typedef struct anl_scan_reader {
    const char *name;           /* "DICOM", as people call it */
    const char *const *endings; /* usual names, lower case with the dot, NULL at the end: ".dcm" */
    /* Whether these are the first bytes of such a file (fewer than ANL_SNIFF_BYTES where it is shorter). */
    bool (*sniff)(const unsigned char *first, size_t length);
    /* Reads: with voxels false no more than the header, and out->voxels stays NULL; all else is filled in alike. `out` comes with
     * the defaults of anl_scan_reset. file: open at its beginning; path: for libraries that open files themselves. On failure
     * `reason` says why in words that follow "cannot read PATH: "; what is in out then is freed by the caller. */
    anl_status (*read)(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE]);
} anl_scan_reader;
extern const anl_scan_reader anl_reader_dicom, anl_reader_nifti, anl_reader_tiff, anl_reader_png, anl_reader_jpeg;

/* Whether these are the first bytes of such a file, in a build with its library or without. */
bool anl_dicom_sniff(const unsigned char *first, size_t length);
bool anl_nifti_sniff(const unsigned char *first, size_t length);

/* The reader whose files begin so, or NULL. */
const anl_scan_reader *anl_scan_sniff(const unsigned char *first, size_t length);
/* Whether a file of this name is usually a scan. */
bool anl_scan_named(const char *name);
/* Reads a scan whole, or (anl_scan_probe) all but its voxels. On failure *out is empty and reason says why. */
anl_status anl_scan_decode(const char *path, anl_scan *out, char reason[ANL_REASON_SIZE]);
anl_status anl_scan_probe(const char *path, anl_scan *out, char reason[ANL_REASON_SIZE]);

/* Everything as unknown: one voxel's depth and frame, slope 1. */
void anl_scan_reset(anl_scan *scan);
/* Checks the bounds of width, height, depth, frames, channels and type as set in *scan; with voxels, allocates them zeroed. */
anl_status anl_scan_allocate(anl_scan *scan, bool voxels, char reason[ANL_REASON_SIZE]);
/* From this machine's byte order to the files': little-endian, and back. */
void anl_voxels_little(uint8_t *bytes, size_t count, size_t size);
/* reason = …; returns status. */
anl_status anl_scan_refuse(char reason[ANL_REASON_SIZE], anl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Turns black and white round: stored becomes least + most - stored, where these are the ends of unsigned values of scan->bits.
 */
void anl_scan_invert(anl_scan *scan);

/* Separable resampling of one frame with double accumulators: along each axis by area average when it shrinks, linear (voxel
 * centres, edges held) when it grows. emit is called once for each output row, z by z and from top to bottom, with out_width *
 * channels stored values. */
anl_status anl_scan_resample(const anl_scan *scan, int frame, int out_width, int out_height, int out_depth,
                             void (*emit)(void *context, int z, int y, const double *row), void *context);

#endif
