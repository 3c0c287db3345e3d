/* Blosc in a build without its library.
 * In: what blosc_filter.h says. Out: failure.
 * Shards that need it are refused when they are opened, unless HDF5 finds a filter of its own. */
#include "data/blosc_filter.h"

bool anl_blosc_there(void) { return false; }

void anl_blosc_register(void) {}

bool anl_blosc_use(hid_t options, int level, size_t size, size_t bytes)
{
    (void)options, (void)level, (void)size, (void)bytes;
    return false;
}

bool anl_blosc_pack(int level, size_t size, const void *from, size_t bytes, void **out, size_t *length)
{
    (void)level, (void)size, (void)from, (void)bytes;
    *out = NULL;
    *length = 0;
    return false;
}

bool anl_blosc_unpack(const void *packed, size_t length, void *to, size_t bytes)
{
    (void)packed, (void)length, (void)to, (void)bytes;
    return false;
}
