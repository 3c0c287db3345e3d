/* A mutator that keeps the checksums of a PNG's chunks right, so that what was changed is looked at and not only its checksum.
 * In: a file, libFuzzer's seed. Out: the changed file. One of 16 is left with wrong checksums. */
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

size_t LLVMFuzzerMutate(unsigned char *data, size_t size, size_t limit);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t limit, unsigned seed);

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t limit, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, limit);
    /* A chunk: length of its data, four letters, the data, a checksum of letters and data (PNG specification, 5.3). */
    for (size_t at = 8; seed % 16 && at + 12 <= size;) {
        const size_t length = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12)
            break;
        const uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
        at += length + 12;
    }
    return size;
}
