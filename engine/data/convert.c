/* Stored numbers to float32, the inner loop of loading.
 * In: one sample as stored. Out: its values in the same order.
 * Compiled with more optimisation than the rest: straight loops, which become vectors. */
#include "data/set.h"

bool anl_convert(anl_voxel type, const void *stored, size_t count, double factor, double shift, float *out)
{
    /* Through double, so that 255 * (1/255) is exactly 1, and 16 bits and float32 lose nothing. */
#define CONVERT(kind)                                                                                                            \
    do {                                                                                                                         \
        const kind *restrict from = stored;                                                                                      \
        float *restrict to = out;                                                                                                \
        for (size_t i = 0; i < count; i++)                                                                                       \
            to[i] = (float)((double)from[i] * factor + shift);                                                                   \
    } while (0)
    switch (type) {
    case ANL_VOXEL_U8: CONVERT(uint8_t); return true;
    case ANL_VOXEL_U16: CONVERT(uint16_t); return true;
    case ANL_VOXEL_I16: CONVERT(int16_t); return true;
    case ANL_VOXEL_I32: CONVERT(int32_t); return true;
    case ANL_VOXEL_F32: CONVERT(float); return true;
    case ANL_VOXEL_F64: return false;
    }
    return false;
#undef CONVERT
}
