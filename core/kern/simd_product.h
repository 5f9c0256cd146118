/* Products of many rows with packed weights: linear layers and convolutions. For kern_*.c of one
 * instruction set only.
 *
 * Weights are packed once into panels of SIMD_WIDTH columns (the last one narrower, rounded up to
 * whole vectors with zeros), each [depth, columns]. A convolution is the same product with other
 * row pointers: no window is gathered.
 *
 *     taps     one segment of c_in numbers for each of the k * k taps; outside the image they are
 *              those of a row of zeros
 *     strips   with few channels: one segment of k * c_in numbers for each row of the window, from
 *              a copy of the image with its border (or from the image, without padding)
 *
 * Order: blocks of rows whose inputs stay in the second-level cache; panels; depth blocks of at
 * most SIMD_DEPTH; tiles. (Depth blocks outside the panels made no difference, for 3072 -> 768
 * either.) Rows are split evenly, so that no tile has one row where it could have five.
 * Each depth block has fresh sums, added to those before it: that halves the rounding error of deep
 * sums and costs one pass over the tile. The depth blocks follow from the geometry alone. */
#ifndef CORE_KERN_SIMD_PRODUCT_H
#define CORE_KERN_SIMD_PRODUCT_H

#include <math.h>
#include <string.h>

#include "core/kern/simd_math.h"
#include "core/kern/simd_tile.h"

#ifdef SIMD_LANES

#define SIMD_DEPTH        256
#define SIMD_BLOCK_FLOATS (96 * 1024) /* inputs of a block of rows: 384 KB */
#define SIMD_BLOCK_ROWS   240         /* at most */
#define SIMD_STRIPS       16          /* below so many channels a convolution goes by strips */

/* How the depth of a product is cut: `blocks` blocks of `segments` whole segments or of a part of
 * one. */
struct simd_depth {
    int32_t segments, depth; /* of the product */
    int32_t parts;           /* of a segment; 1: blocks are whole segments */
    int32_t group;           /* segments of a block */
    int32_t blocks;
};

SIMD_INLINE struct simd_depth simd_depth_of(int32_t segments, int32_t depth)
{
    int32_t group = depth < SIMD_DEPTH ? SIMD_DEPTH / depth : 1;
    int32_t parts = (depth + SIMD_DEPTH - 1) / SIMD_DEPTH;
    group = group < segments ? group : segments;
    return (struct simd_depth){segments, depth, parts, group,
                               parts > 1 ? segments * parts : (segments + group - 1) / group};
}

SIMD_INLINE int32_t simd_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Columns of panel `panel`. */
SIMD_INLINE int32_t simd_columns(int32_t c, int32_t panel)
{
    return simd_min(c - panel * SIMD_WIDTH, SIMD_WIDTH);
}

SIMD_INLINE int32_t simd_panels(int32_t c)
{
    return (c + SIMD_WIDTH - 1) / SIMD_WIDTH;
}

/* weight [depth, c] with rows `stride` apart -> panels. */
static void simd_pack(float *out, const float *weight, size_t depth, int32_t c, size_t stride)
{
    for (int32_t panel = 0; panel < simd_panels(c); panel++) {
        size_t columns = (size_t)simd_columns(c, panel), width = simd_round_up(columns);
        for (size_t k = 0; k < depth; k++, out += width) {
            memcpy(out, weight + k * stride + (size_t)panel * SIMD_WIDTH, columns * sizeof *out);
            memset(out + columns, 0, (width - columns) * sizeof *out);
        }
    }
}

/* Rows of a block: whole tiles, of inputs that fit. */
SIMD_INLINE int32_t simd_block_rows(size_t depth)
{
    size_t rows = SIMD_BLOCK_FLOATS / depth;
    rows = rows > SIMD_BLOCK_ROWS ? SIMD_BLOCK_ROWS : rows;
    return (int32_t)(rows < 4 * SIMD_ROWS ? 4 * SIMD_ROWS : rows / SIMD_ROWS * SIMD_ROWS);
}

SIMD_INLINE int32_t simd_tiles_of(int32_t rows)
{
    return (rows + SIMD_ROWS - 1) / SIMD_ROWS;
}

/* First row of tile `tile` of `tiles`. */
SIMD_INLINE int32_t simd_tile_row(int32_t rows, int32_t tile, int32_t tiles)
{
    return (int32_t)((int64_t)rows * tile / tiles);
}

/* Bytes of the row pointers of a block. */
SIMD_INLINE size_t simd_table_bytes(int32_t segments, size_t depth)
{
    size_t tiles = (size_t)simd_block_rows(depth) / SIMD_ROWS;
    return tiles * SIMD_ROWS * (size_t)segments * sizeof(float *);
}

/* Depth block `block` of one block of rows by one panel. `first` is the first row in y. */
static void simd_panel(const struct sm_geometry *g, const struct sm_kernel_args *a,
                       const float *const *table, const struct simd_depth *d, int32_t panel,
                       int32_t block, size_t first, int32_t rows)
{
    bool last = block == d->blocks - 1;
    int32_t columns = simd_columns(g->c, panel), tiles = simd_tiles_of(rows);
    int32_t segment = block / d->parts * d->group;
    size_t from = (size_t)panel * SIMD_WIDTH, at = first * (size_t)g->c + from;
    void (*act)(float *, int32_t) =
        last && g->activation != SM_ACT_RELU ? simd_activations[g->activation] : NULL;
    struct simd_tile t = {
        .segments = simd_min(d->group, d->segments - segment),
        .first = simd_tile_row(d->depth, block % d->parts, d->parts),
        .stride = (size_t)g->c,
        .add = block > 0,
        .bias = last ? a->bias + from : NULL,
        .floor = last && g->activation == SM_ACT_RELU ? 0 : -INFINITY,
    };
    t.depth = simd_tile_row(d->depth, block % d->parts + 1, d->parts) - t.first;
    t.weight = a->weight + from * d->segments * d->depth +
               simd_round_up((size_t)columns) * ((size_t)segment * d->depth + (size_t)t.first);
    for (int32_t tile = 0; tile < tiles; tile++) {
        int32_t row = simd_tile_row(rows, tile, tiles), next = simd_tile_row(rows, tile + 1, tiles);
        size_t skip = (size_t)(next - row) * g->c;
        t.rows = table + ((size_t)tile * d->segments + segment) * SIMD_ROWS;
        t.y = a->y + at + (size_t)row * g->c;
        t.residual = last && a->residual ? a->residual + at + (size_t)row * g->c : NULL;
        t.next_y = next < rows ? t.y + skip : NULL;
        t.next_residual = t.residual && next < rows ? t.residual + skip : NULL;
        simd_tile_run(&t, next - row, columns);
        for (int32_t r = row; act && r < next; r++)
            act(a->y + at + (size_t)r * g->c, columns);
    }
}

/* One block of rows by all panels; table [tile, segment, SIMD_ROWS]. */
static void simd_block(const struct sm_geometry *g, const struct sm_kernel_args *a,
                       const float *const *table, const struct simd_depth *d, size_t first,
                       int32_t rows)
{
    for (int32_t panel = 0; panel < simd_panels(g->c); panel++)
        for (int32_t block = 0; block < d->blocks; block++)
            simd_panel(g, a, table, d, panel, block, first, rows);
}

#endif

#endif
