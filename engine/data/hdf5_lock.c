/* One lock around every HDF5 call of the process.
 * In: threads that want to use HDF5. Out: one at a time.
 * The only process-wide variable of the engine: the library it guards is process-wide itself. */
#include "data/hdf5_lock.h"

#include <hdf5.h>
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void anl_hdf5_lock(void)
{
    pthread_mutex_lock(&lock);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors become diagnostics */
}

void anl_hdf5_unlock(void) { pthread_mutex_unlock(&lock); }
