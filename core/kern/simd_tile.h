/* The micro-kernel: multiplies up to SIMD_ROWS rows, given by pointers, by a panel of up to
 * SIMD_VECS vectors of columns, with the sums in registers. Linear layers, all convolutions,
 * Winograd's products and both products of attention call it. For kern_*.c of one instruction set
 * only.
 *
 * Bits. A sum starts at zero and takes its terms in order, each by one fma; then come the
 * factor, the sum of earlier depth blocks, bias, residual, floor. The number of rows or vectors
 * of a tile changes none of this, so the bits of an output do not depend on its neighbours. */
#ifndef CORE_KERN_SIMD_TILE_H
#define CORE_KERN_SIMD_TILE_H

#include "core/kern/simd_sums.h"

#ifdef SIMD_LANES

/* Adds x[r, v] to acc[r][v]. */
SIMD_INLINE void simd_tile_add(vec acc[SIMD_ROWS][SIMD_VECS], const float *x, size_t stride,
                               const int rows, const int vecs)
{
    SIMD_UNROLL
    for (int r = 0; r < rows; r++)
        SIMD_UNROLL
    for (int v = 0; v < vecs; v++)
        acc[r][v] = v_add(acc[r][v], v_load(x + r * stride + v * SIMD_LANES));
}

SIMD_INLINE void simd_tile_any(const struct simd_tile *t, const int rows, const int vecs)
{
    vec acc[SIMD_ROWS][SIMD_VECS];
    if (t->packed)
        simd_tile_stream(acc, t, rows, vecs);
    else
        simd_tile_sums(acc, t, rows, vecs);
    if (t->factors) {
        SIMD_UNROLL
        for (int r = 0; r < rows; r++)
            SIMD_UNROLL
        for (int v = 0; v < vecs; v++)
            acc[r][v] = v_mul(acc[r][v], v_set1(t->factors[r]));
    }
    if (t->add)
        simd_tile_add(acc, t->y, t->stride, rows, vecs);
    if (t->bias)
        simd_tile_add(acc, t->bias, 0, rows, vecs);
    if (t->residual)
        simd_tile_add(acc, t->residual, t->stride, rows, vecs);
    const vec floor = v_set1(t->floor);
    SIMD_UNROLL
    for (int r = 0; r < rows; r++)
        SIMD_UNROLL
    for (int v = 0; v < vecs; v++)
        v_store(t->y + r * t->stride + v * SIMD_LANES, v_max(floor, acc[r][v]));
}

#define SIMD_TILE(rows, vecs)                                                                      \
    static void tile_##rows##x##vecs(const struct simd_tile *t)                                    \
    {                                                                                              \
        simd_tile_any(t, rows, vecs);                                                              \
    }
#define SIMD_TILES(vecs)                                                                           \
    SIMD_TILE(1, vecs)                                                                             \
    SIMD_TILE(2, vecs)                                                                             \
    SIMD_TILE(3, vecs) SIMD_TILE(4, vecs) SIMD_TILE(5, vecs) SIMD_TILE(6, vecs)
#define SIMD_TILES_ROW(vecs)                                                                       \
    {                                                                                              \
        tile_1x##vecs, tile_2x##vecs, tile_3x##vecs, tile_4x##vecs, tile_5x##vecs, tile_6x##vecs   \
    }

SIMD_TILES(1)
SIMD_TILES(2)
#if SIMD_VECS == 4
SIMD_TILES(3)
SIMD_TILES(4)
#endif

/* [vecs - 1][rows - 1]; each stores full vectors. */
static void (*const simd_tiles[SIMD_VECS][SIMD_ROWS])(const struct simd_tile *) = {
    SIMD_TILES_ROW(1),
    SIMD_TILES_ROW(2),
#if SIMD_VECS == 4
    SIMD_TILES_ROW(3),
    SIMD_TILES_ROW(4),
#endif
};
#undef SIMD_TILE
#undef SIMD_TILES
#undef SIMD_TILES_ROW

/* Computes a tile whose last vector has fewer columns than lanes: stores whole vectors in a buffer
 * and copies the columns to y. Sums and their order are the same. */
static void simd_tile_part(const struct simd_tile *t, int rows, int vecs, int32_t columns)
{
    float buffer[SIMD_ROWS * SIMD_WIDTH];
    struct simd_tile whole = {.rows = t->rows,
                              .packed = t->packed,

                              .segments = t->segments,
                              .first = t->first,
                              .depth = t->depth,
                              .weight = t->weight,
                              .factors = t->factors,
                              .y = buffer,
                              .stride = SIMD_WIDTH,
                              .floor = -__builtin_inff()};
    simd_tiles[vecs - 1][rows - 1](&whole);
    for (int r = 0; r < rows; r++) {
        for (int32_t i = 0; i < columns; i += SIMD_LANES) {
            int32_t n = columns - i < SIMD_LANES ? columns - i : SIMD_LANES;
            size_t at = r * t->stride + i;
            vec v = v_load(buffer + r * SIMD_WIDTH + i);
            v = t->add ? v_add(v, v_load_part(t->y + at, n)) : v;
            v = t->bias ? v_add(v, v_load_part(t->bias + i, n)) : v;
            v = t->residual ? v_add(v, v_load_part(t->residual + at, n)) : v;
            v_store_part(t->y + at, v_max(v_set1(t->floor), v), n);
        }
    }
}

/* Computes a tile of 1 to SIMD_WIDTH `columns`. */
SIMD_INLINE void simd_tile_run(const struct simd_tile *t, int rows, int32_t columns)
{
    int vecs = (columns + SIMD_LANES - 1) / SIMD_LANES;
    if (columns % SIMD_LANES)
        simd_tile_part(t, rows, vecs, columns);
    else
        simd_tiles[vecs - 1][rows - 1](t);
}

#endif

#endif
