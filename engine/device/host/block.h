/* Operations of a block beside those of the program: how a load is done when its index is not affine.
 * In: nothing. Out: numbers for host_simd.select. */
#ifndef ANL_DEVICE_HOST_BLOCK_H
#define ANL_DEVICE_HOST_BLOCK_H

enum { HOST_GATHER = 300, HOST_GATHER_WHERE, HOST_ACC_AFFINE };

#endif
