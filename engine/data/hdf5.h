/* HDF5 with errors as text and one thread at a time.
 * In: calls made under the lock of hdf5_lock.h. Out: the reason of the last failure; files, attributes and texts in short.
 * What is written depends on its content only, never on the time. */
#ifndef ANL_DATA_HDF5_H
#define ANL_DATA_HDF5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

#include "data/hdf5_lock.h"

/* The helpers below are called under the lock and return a negative value or false on failure. */

/* Opens a file for reading; no lock file or file lock is insisted on, so that read-only and network file systems work. */
hid_t anl_hdf5_open(const char *path);
/* Creates (truncates) a file whose bytes depend on its content only: no timestamps. */
hid_t anl_hdf5_create(const char *path);
/* Creation property lists without timestamps; the caller closes them with H5Pclose. */
hid_t anl_hdf5_group_options(void);
hid_t anl_hdf5_dataset_options(void);
bool anl_hdf5_write_text(hid_t object, const char *name, const char *value); /* UTF-8, fixed length */
bool anl_hdf5_write_int(hid_t object, const char *name, long long value);
bool anl_hdf5_write_double(hid_t object, const char *name, double value);
bool anl_hdf5_read_text(hid_t object, const char *name, char **value); /* malloc'd; fixed or variable length */
bool anl_hdf5_read_int(hid_t object, const char *name, long long *value);
bool anl_hdf5_read_double(hid_t object, const char *name, double *value);
/* A list of strings as an attribute or dataset: values is an array of count malloc'd texts in one malloc'd block. */
bool anl_hdf5_write_texts(hid_t parent, const char *name, bool attribute, const char *const *values, size_t count);
bool anl_hdf5_read_texts(hid_t parent, const char *name, bool attribute, char ***values, size_t *count);

#endif
