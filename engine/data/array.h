/* An array of an HDF5 file as scans, one for each place along its first axis.
 * In: FILE.h5:/path and the names of its axes. Out: scans, read one by one; or why not.
 * What the array says of itself in attributes is kept: spacing (mm along z, y, x, or y, x), unit, scale and offset (the value is stored * scale + offset),
 * modality; values = "full" (as in shards) means that the ends of its integers are black and white. */
#ifndef ANL_DATA_ARRAY_H
#define ANL_DATA_ARRAY_H

#include "data/hdf5.h"
#include "data/scan.h"

#define ANL_ARRAY_MOST 20000000 /* scans */

/* Reading takes the HDF5 lock itself: any number of threads. */
typedef struct anl_array {
    const char *file, *path; /* borrowed */
    hid_t opened, data, memory;
    int rank, n; /* n: which of the axes counts the scans; -1: it is one scan */
    int axes[5]; /* what each axis of the file is: an index into "zyxc", or -1 for n */
    int64_t dims[5], count;
    anl_scan about; /* of each scan, without voxels */
} anl_array;

/* Whether NAME is FILE:/PATH, with FILE there; then *colon is where FILE ends. */
bool anl_array_named(const char *name, size_t *colon);
/* Whether a file is HDF5. */
bool anl_array_container(const char *file);
/* axes: letters of n, z, y, x, c in the order of the file, with commas between them or not ("n,c,y,x"); NULL: by the rank, yx, nyx, nyxc or nzyx (whether
 * there are 1 or 3 along the last), nzyxc. file and path are borrowed. On failure nothing stays open. */
anl_status anl_array_open(const char *file, const char *path, const char *axes, anl_array *out, char reason[ANL_REASON_SIZE]);
void anl_array_close(anl_array *array);
anl_status anl_array_read(const anl_array *array, int64_t index, anl_scan *out, char reason[ANL_REASON_SIZE]);

/* A list of labels: numbers or strings, of one axis (others may be of size 1). texts: as in a table, "" or "nan" where missing; in one malloc'd block. */
anl_status anl_array_texts(const char *file, const char *path, char ***texts, int64_t *count, char reason[ANL_REASON_SIZE]);

#endif
