/* The order of samples as a keyed bijection, so that no permutation is ever stored.
 * In: an index, the count and a key. Out: the sample's number. Stateless.
 * Format-preserving permutation by a Feistel network with cycle walking (Black and Rogaway, CT-RSA 2002). */
#include <anlage/dataset.h>

/* Finaliser of MurmurHash3 (public domain, A. Appleby): every input bit reaches every output bit. */
static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ (x >> 33);
}

int64_t anl_order(int64_t index, int64_t count, uint64_t key)
{
    if (count <= 1 || index < 0 || index >= count)
        return index;
    unsigned half = 1; /* bits of each half: the domain is the least power of four that holds count */
    while (half < 31 && ((uint64_t)1 << (2 * half)) < (uint64_t)count)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, value = (uint64_t)index;
    /* The domain is less than four times count, so a walk takes fewer than four turns on average; it ends, because
     * the walk stays on the cycle of index, and index itself is below count. */
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint64_t round = 0; round < 8; round++) {
            uint64_t next = left ^ (mix(mix(right + (round << 56)) ^ key) & mask);
            left = right;
            right = next;
        }
        value = left << half | right;
    } while (value >= (uint64_t)count);
    return (int64_t)value;
}
