/* Blosc as a filter of HDF5, and without HDF5's lock.
 * In: bytes of a sample, or a chunk of a shard. Out: the other.
 * Only Blosc's calls with a context are used: they keep no state, so any number of threads may be in them. */
#include "data/blosc_filter.h"

#include <blosc.h>
#include <limits.h>
#include <stdlib.h>

/* Decodes fastest of those that every build of the library has; how well it does is in the README. */
#define CODEC BLOSC_LZ4_COMPNAME

/* What the filter writes down of itself in a file. */
enum { REVISION, FORMAT, SIZE, BYTES, LEVEL, SHUFFLE, CODE, PROPERTIES };

bool anl_blosc_there(void) { return true; }

static int compress(int level, int shuffle, size_t size, const char *codec, const void *from, size_t bytes, void **out)
{
    const size_t room = bytes + BLOSC_MAX_OVERHEAD; /* enough for bytes that cannot be made fewer */
    *out = bytes <= BLOSC_MAX_BUFFERSIZE ? malloc(room) : NULL;
    const int length = *out ? blosc_compress_ctx(level, shuffle, size, bytes, from, *out, room, codec, 0, 1) : 0;
    if (length > 0)
        return length;
    free(*out);
    *out = NULL;
    return 0;
}

/* The size of what a chunk holds; 0: it is none. */
static size_t plain_bytes(const void *packed, size_t length)
{
    size_t bytes = 0;
    return length >= BLOSC_MIN_HEADER_LENGTH && blosc_cbuffer_validate(packed, length, &bytes) == 0 ? bytes : 0;
}

/* See H5Zregister: *buffer of *room bytes, of which `length` count, is exchanged for another. 0: failed. */
static size_t filter(unsigned flags, size_t count, const unsigned properties[], size_t length, size_t *room, void **buffer)
{
    void *out = NULL;
    size_t made = 0;
    if (flags & H5Z_FLAG_REVERSE) {
        const size_t bytes = plain_bytes(*buffer, length);
        out = bytes > 0 ? malloc(bytes) : NULL;
        made = out && anl_blosc_unpack(*buffer, length, out, bytes) ? bytes : 0;
    } else if (count == PROPERTIES) {
        const char *codec = NULL;
        if (blosc_compcode_to_compname((int)properties[CODE], &codec) >= 0)
            made = (size_t)compress((int)properties[LEVEL], (int)properties[SHUFFLE], properties[SIZE], codec, *buffer, length, &out);
    }
    if (made == 0) {
        free(out);
        return 0;
    }
    H5free_memory(*buffer);
    *buffer = out;
    *room = made;
    return made;
}

void anl_blosc_register(void)
{
    static const H5Z_class2_t class = {H5Z_CLASS_T_VERS, ANL_BLOSC_FILTER, 1, 1, "blosc", NULL, NULL, filter};
    H5Zregister(&class);
}

bool anl_blosc_use(hid_t options, int level, size_t size, size_t bytes)
{
    if (bytes > UINT_MAX)
        return false;
    const unsigned properties[PROPERTIES] = {[REVISION] = 2,
                                             [FORMAT] = BLOSC_VERSION_FORMAT,
                                             [SIZE] = (unsigned)size,
                                             [BYTES] = (unsigned)bytes,
                                             [LEVEL] = (unsigned)level,
                                             [SHUFFLE] = BLOSC_SHUFFLE,
                                             [CODE] = (unsigned)blosc_compname_to_compcode(CODEC)};
    anl_blosc_register();
    return H5Pset_filter(options, ANL_BLOSC_FILTER, H5Z_FLAG_MANDATORY, PROPERTIES, properties) >= 0;
}

bool anl_blosc_pack(int level, size_t size, const void *from, size_t bytes, void **out, size_t *length)
{
    *length = (size_t)compress(level, BLOSC_SHUFFLE, size, CODEC, from, bytes, out);
    return *length > 0;
}

bool anl_blosc_unpack(const void *packed, size_t length, void *to, size_t bytes)
{
    return bytes > 0 && plain_bytes(packed, length) == bytes && blosc_decompress_ctx(packed, to, bytes, 1) == (int)bytes;
}
