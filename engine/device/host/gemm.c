/* Matrix kernels: tiles of a float32 product that stay in vector registers.
 * In: pointers to rows of A, packed panels of B (product); columns of two matrices (outer). Out: a tile of C.
 * Compiled once per instruction set, with fused multiply-add where there is one. The order of each sum is fixed. */
#include "device/host/host.h"

#include <string.h>

#ifndef HOST_SIMD
#define HOST_SIMD base
#endif
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)

/* Bytes of a vector and rows of a tile: rows x 2 vectors of sums, 2 of B and one of A have to fit into the registers. */
#if defined __AVX512F__
enum { VECTOR = 64, ROWS = 12, OUTER_ROWS = 8 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define EACH_OUTER(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif defined __AVX2__
enum { VECTOR = 32, ROWS = 6, OUTER_ROWS = 6 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define EACH_OUTER(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
enum { VECTOR = 16, ROWS = 6, OUTER_ROWS = 6 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define EACH_OUTER(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif
enum { LANES = VECTOR / 4, COLUMNS = 2 * LANES };

typedef float vector __attribute__((vector_size(VECTOR), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define LOAD(pointer) (*(const vector *)(pointer))
#define STORE(pointer, value) (*(vector *)(pointer) = (value))

ALWAYS_INLINE void product_rows(const int rows, int column_count, const float *const *row, int taps, const int64_t *offset,
                                const float *const *panel, int depth, float *c, int64_t ldc)
{
    vector sum[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = (vector){0};
    for (int t = 0; t < taps; t++) {
        const float *a[ROWS];
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
            a[r] = row[r] + offset[t];
        const float *b = panel[t];
        for (int64_t k = 0; k < depth; k++) {
            vector b0 = LOAD(b + k * COLUMNS), b1 = LOAD(b + k * COLUMNS + LANES);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                float x = a[r][k];
                sum[r][0] += x * b0;
                sum[r][1] += x * b1;
            }
        }
    }
    if (column_count == COLUMNS) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            STORE(c + r * ldc, sum[r][0]);
            STORE(c + r * ldc + LANES, sum[r][1]);
        }
        return;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        float line[COLUMNS];
        STORE(line, sum[r][0]);
        STORE(line + LANES, sum[r][1]);
        memcpy(c + r * ldc, line, sizeof(float) * (size_t)column_count);
    }
}

ALWAYS_INLINE void outer_rows(const int rows, int steps, const float *x, const int64_t *xo, const float *y, const int64_t *yo,
                              float *c, int64_t ldc)
{
    vector sum[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        sum[r][0] = LOAD(c + r * ldc);
        sum[r][1] = LOAD(c + r * ldc + LANES);
    }
    for (int s = 0; s < steps; s++) {
        const float *a = x + xo[s], *b = y + yo[s];
        vector b0 = LOAD(b), b1 = LOAD(b + LANES);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            sum[r][0] += a[r] * b0;
            sum[r][1] += a[r] * b1;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        STORE(c + r * ldc, sum[r][0]);
        STORE(c + r * ldc + LANES, sum[r][1]);
    }
}

static void product(int row_count, int column_count, const float *const *row, int taps, const int64_t *offset,
                    const float *const *panel, int depth, float *c, int64_t ldc)
{
    switch (row_count) {
#define X(rows)                                                                                                                  \
    case rows:                                                                                                                   \
        product_rows(rows, column_count, row, taps, offset, panel, depth, c, ldc);                                               \
        break;
        EACH_ROWS(X)
#undef X
    }
}

static void outer(int row_count, int steps, const float *x, const int64_t *xo, const float *y, const int64_t *yo, float *c,
                  int64_t ldc)
{
    switch (row_count) {
#define X(rows)                                                                                                                  \
    case rows:                                                                                                                   \
        outer_rows(rows, steps, x, xo, y, yo, c, ldc);                                                                           \
        break;
        EACH_OUTER(X)
#undef X
    }
}

const host_gemm PASTE(anl_host_gemm_, HOST_SIMD) = {
    .rows = ROWS,
    .columns = COLUMNS,
    .outer_rows = OUTER_ROWS,
    .product = product,
    .outer = outer,
};
