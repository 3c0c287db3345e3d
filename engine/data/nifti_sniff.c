/* Which files are NIfTI, in builds with its library and without.
 * In: the first bytes of a file, compressed or not. Out: a verdict. */
#include <string.h>
#include <zlib.h>

#include "data/scan.h"

/* Sizes of headers in either order of bytes: NIfTI-1 and ANALYZE 7.5, NIfTI-2. partial: the mark at the end of the first may not be
 * there yet. */
static bool begins(const unsigned char *b, size_t length, bool partial)
{
    static const unsigned char one[2][4] = {{0x5C, 1, 0, 0}, {0, 0, 1, 0x5C}}, two[2][4] = {{0x1C, 2, 0, 0}, {0, 0, 2, 0x1C}};
    for (int big = 0; big < 2; big++) {
        if (length >= 12 && !memcmp(b, two[big], 4))
            return !memcmp(b + 4, "n+2\0\r\n\032\n", 8) || !memcmp(b + 4, "ni2\0\r\n\032\n", 8);
        if (length >= 42 && !memcmp(b, one[big], 4)) {
            const int dimensions = big ? b[40] << 8 | b[41] : b[41] << 8 | b[40];
            const bool marked = length >= 348 ? !memcmp(b + 344, "n+1\0", 4) || !memcmp(b + 344, "ni1\0", 4) : partial;
            return dimensions >= 1 && dimensions <= 7 && (marked || b[38] == 'r'); /* ANALYZE has r for regular */
        }
    }
    return false;
}

bool anl_nifti_sniff(const unsigned char *first, size_t length)
{
    if (length < 18 || first[0] != 0x1F || first[1] != 0x8B)
        return begins(first, length, false);
    unsigned char out[348];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)first, .avail_in = (uInt)length, .next_out = out, .avail_out = sizeof out};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return false;
    inflate(&z, Z_SYNC_FLUSH);
    const size_t got = sizeof out - z.avail_out;
    inflateEnd(&z);
    return begins(out, got, true);
}
