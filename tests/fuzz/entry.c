/* A fuzz target as libFuzzer calls it.
 * In: bytes, libFuzzer's; FUZZ_TABLE and FUZZ_TARGET: which target. Out: nothing. */
#include "targets.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    FUZZ_TABLE[FUZZ_TARGET].run((const char *)data, size);
    return 0;
}
