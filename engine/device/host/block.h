/* Operations of a block beside those of the program: how a load is done when its index is not affine.
 * In: nothing. Out: numbers for host_simd.select. */
#ifndef ANL_DEVICE_HOST_BLOCK_H
#define ANL_DEVICE_HOST_BLOCK_H

/* LOAD_ROWS: rows that lie together (or evenly) in memory, each where its row value says. EXPAND: a row value for all points of
 * its row. */
enum { HOST_GATHER = 300, HOST_GATHER_WHERE, HOST_ACC_AFFINE, HOST_LOAD_ROWS, HOST_EXPAND };

#endif
