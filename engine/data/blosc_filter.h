/* Blosc as a filter of HDF5, and without HDF5's lock.
 * In: bytes of a sample, or a chunk of a shard. Out: the other; the form is that of the registered filter 32001, which h5py reads with hdf5plugin, and
 * Debian's tools with hdf5-filter-plugin-blosc-serial. In a build without libblosc all of it fails, and anl_blosc_there says so.
 * Blosc has no checksum: damage that still decodes is seen by the SHA-256 of the shard alone, as in shards without compression. */
#ifndef ANL_DATA_BLOSC_FILTER_H
#define ANL_DATA_BLOSC_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "data/hdf5.h"

#define ANL_BLOSC_FILTER 32001

bool anl_blosc_there(void);
/* Makes the filter known to the library, however often it is called; adds it to the creation properties of a data set of values of `size` bytes in chunks of
 * `bytes`. Both under the HDF5 lock. */
void anl_blosc_register(void);
bool anl_blosc_use(hid_t options, int level, size_t size, size_t bytes);
/* *out: malloc'd. The same bytes on every machine of one version of the library. False: no memory. */
bool anl_blosc_pack(int level, size_t size, const void *from, size_t bytes, void **out, size_t *length);
/* False: these do not come to that many bytes; then what is in `to` has no meaning. */
bool anl_blosc_unpack(const void *packed, size_t length, void *to, size_t bytes);

#endif
