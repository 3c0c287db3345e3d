/* The lock around the HDF5 library.
 * In: calls of the library between anl_hdf5_lock and anl_hdf5_unlock. Out: one thread in it at a time, and nothing printed by it.
 * Everything in the process that uses HDF5 (shards, checkpoints, feeds) must hold it: the library Debian ships is not
 * thread-safe. */
#ifndef ANL_DATA_HDF5_LOCK_H
#define ANL_DATA_HDF5_LOCK_H

#include <stddef.h>

/* Takes the process-wide lock and silences HDF5's printing of errors. A thread may take it again while it holds it. */
void anl_hdf5_lock(void);
/* Restores the printing and releases the lock. errno is kept. */
void anl_hdf5_unlock(void);
/* While the lock is held: why the last call that failed did, e.g. "unable to open file (truncated file: eof = ...)". */
void anl_hdf5_reason(char *text, size_t size);

#endif
