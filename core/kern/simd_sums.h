/* The sums of a micro-kernel's tile, which simd_tile.h finishes and stores. For kern_*.c of one
 * instruction set only.
 *
 * Depth comes in segments: within one the rows are contiguous, between two the pointers change (the
 * taps of a window). Weights are one contiguous stream [segments * depth, vecs * SIMD_LANES],
 * aligned.
 *
 * Speed. Each step of a full AVX-512 tile is 24 fma on 4 loads of weights and 6 broadcasts, of an
 * AVX2 tile 12 on 2 and 6. From the first-level cache that is as fast as the processor multiplies,
 * so everything else here is about misses. Packed rows are one stream, which the processor
 * prefetches; six rows apart by a multiple of 4 KB share a set of the cache. The lines of y and
 * residual that the next tile will touch are prefetched one row at a time, spread over this tile's
 * depth: in one burst they would hold back the weights. So are the rows that are packed next and
 * the weights of the next panel. */
#ifndef CORE_KERN_SIMD_SUMS_H
#define CORE_KERN_SIMD_SUMS_H

#include <stdbool.h>

#include "core/kern/simd.h"

#ifdef SIMD_LANES

#define SIMD_LINE 16 /* floats of a cache line */

struct simd_tile {
    const float *const *rows; /* [segments, SIMD_ROWS] */
    const float *packed; /* the same numbers packed, [segments * depth, rows]; NULL: not packed */
    int32_t segments, first, depth; /* columns first .. first + depth of every segment */
    const float *weight;
    const float *factors;  /* [rows]; NULL: all are 1 */
    const float *bias;     /* [vecs * SIMD_LANES]; NULL: all are 0 */
    const float *residual; /* shaped as y; NULL: all are 0 */
    float *y;
    size_t stride; /* from one row of y and of residual to the next */
    bool add;      /* adds to y, which holds the sum of earlier depth blocks */
    float floor;   /* 0 or -INFINITY: y = max(floor, sum) */
    const float *next_y, *next_residual; /* SIMD_ROWS rows to prefetch; NULL: none */
    const float *next_weight;            /* weights to prefetch while packed rows are read … */
    int32_t lines;                       /* … so many cache lines every 16 steps */
    const float *const *next_rows; /* rows of one segment to prefetch while packed rows are read */
    int32_t ahead;                 /* number of next_rows */
};

/* Prefetches row `row` of the next tile. */
SIMD_INLINE void simd_prefetch(const struct simd_tile *t, int row, int vecs)
{
    for (int v = 0; t->next_y && v < vecs; v++)
        __builtin_prefetch(t->next_y + row * t->stride + v * SIMD_LANES, 1);
    for (int v = 0; t->next_residual && v < vecs; v++)
        __builtin_prefetch(t->next_residual + row * t->stride + v * SIMD_LANES, 0);
}

SIMD_INLINE void simd_tile_clear(vec acc[SIMD_ROWS][SIMD_VECS], const int rows, const int vecs)
{
    SIMD_UNROLL
    for (int r = 0; r < rows; r++)
        SIMD_UNROLL
    for (int v = 0; v < vecs; v++)
        acc[r][v] = v_zero();
}

/* Sums packed rows. */
SIMD_INLINE void simd_tile_stream(vec acc[SIMD_ROWS][SIMD_VECS], const struct simd_tile *t,
                                  const int rows, const int vecs)
{
    const float *w = t->weight, *x = t->packed, *next = t->next_weight;
    const int32_t depth = t->segments * t->depth;
    int fetched = 0;
    simd_tile_clear(acc, rows, vecs);
    for (int32_t k = 0; k < depth;) {
        int32_t end = depth - k > SIMD_LINE ? k + SIMD_LINE : depth;
        if (fetched < SIMD_ROWS)
            simd_prefetch(t, fetched++, vecs);
        for (int32_t i = 0; i < t->lines; i++, next += SIMD_LINE)
            __builtin_prefetch(next);
        for (int32_t r = 0; r < t->ahead; r++)
            __builtin_prefetch(t->next_rows[r] + t->first + k);
        SIMD_UNROLL
        for (; k < end; k++, w += vecs * SIMD_LANES, x += rows) {
            vec b[SIMD_VECS];
            SIMD_UNROLL
            for (int v = 0; v < vecs; v++)
                b[v] = v_load(w + v * SIMD_LANES);
            SIMD_UNROLL
            for (int r = 0; r < rows; r++) {
                vec a = v_set1(x[r]);
                SIMD_UNROLL
                for (int v = 0; v < vecs; v++)
                    acc[r][v] = v_fma(a, b[v], acc[r][v]);
            }
        }
    }
}

/* Sums rows that are not packed, by their pointers. */
SIMD_INLINE void simd_tile_sums(vec acc[SIMD_ROWS][SIMD_VECS], const struct simd_tile *t,
                                const int rows, const int vecs)
{
    const float *w = t->weight;
    int fetched = 0;
    simd_tile_clear(acc, rows, vecs);
    int32_t chunk = (int32_t)((int64_t)t->segments * t->depth / SIMD_ROWS) + 1;
    for (int32_t s = 0; s < t->segments; s++) {
        const float *x[SIMD_ROWS];
        SIMD_UNROLL
        for (int r = 0; r < rows; r++)
            x[r] = t->rows[s * SIMD_ROWS + r] + t->first;
        for (int32_t k = 0; k < t->depth;) {
            int32_t end = t->depth - k > chunk ? k + chunk : t->depth;
            if (fetched < SIMD_ROWS)
                simd_prefetch(t, fetched++, vecs);
            for (; k < end; k++, w += vecs * SIMD_LANES) {
                vec b[SIMD_VECS];
                SIMD_UNROLL
                for (int v = 0; v < vecs; v++)
                    b[v] = v_load(w + v * SIMD_LANES);
                SIMD_UNROLL
                for (int r = 0; r < rows; r++) {
                    vec a = v_set1(x[r][k]);
                    SIMD_UNROLL
                    for (int v = 0; v < vecs; v++)
                        acc[r][v] = v_fma(a, b[v], acc[r][v]);
                }
            }
        }
    }
}

#endif

#endif
