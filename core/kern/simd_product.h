/* Products of many rows with packed weights: linear layers and convolutions. For kern_*.c of one
 * instruction set only.
 *
 * Weights are packed once, into panels of SIMD_WIDTH columns (the last one narrower, rounded up to
 * whole vectors with zeros), each [depth, columns]. A convolution is the same product with other
 * row pointers.
 *
 *     taps     one segment of c_in numbers for each of the k * k taps; outside the image they are
 *              those of a row of zeros
 *     strips   with few channels: one segment of k * c_in numbers for each row of the window, from
 *              a copy of the image with its border (or from the image, without padding)
 *
 * Order: blocks of rows; slabs of their depth, which stay in the second-level cache, packed where
 * many panels read them; panels; depth blocks of at most SIMD_DEPTH; tiles. Rows are split evenly,
 * so that no tile has one row where it could have five. The sizes: simd_blocking.h.
 * Each depth block has fresh sums, added to those before it: that halves the rounding error of deep
 * sums and costs one pass over the tile. The depth blocks follow from the geometry alone. */
#ifndef CORE_KERN_SIMD_PRODUCT_H
#define CORE_KERN_SIMD_PRODUCT_H

#include <math.h>

#include "core/kern/simd_block.h"
#include "core/kern/simd_math.h"

#ifdef SIMD_LANES

/* Returns how many numbers of each row come before depth block `block`. */
SIMD_INLINE size_t simd_before(const struct simd_depth *d, int32_t block)
{
    return (size_t)(block / d->parts * d->group) * d->depth +
           (size_t)simd_cut(d->depth, block % d->parts, d->parts);
}

SIMD_INLINE const float *simd_weight(const struct sm_geometry *g, const struct sm_kernel_args *a,
                                     const struct simd_depth *d, int32_t panel, int32_t block)
{
    return a->weight + (size_t)panel * SIMD_WIDTH * d->segments * d->depth +
           simd_round_up((size_t)simd_columns(g->c, panel)) * simd_before(d, block);
}

/* Divides the prefetch of the next panel's weights among the tiles of this panel. Returns the
 * floats for each tile. */
static size_t simd_panel_ahead(struct simd_tile *t, const struct sm_geometry *g,
                               const struct sm_kernel_args *a, const struct simd_block *b,
                               int32_t panel, int32_t block)
{
    bool within = block + 1 < b->end;
    size_t floats = (size_t)b->d.segments * b->d.depth * g->c;
    int32_t tiles = b->split.tiles;
    if (!b->packed || floats <= SIMD_WEIGHT_FLOATS || (!within && panel + 1 == simd_panels(g->c)))
        return 0;
    t->next_weight = within ? simd_weight(g, a, &b->d, panel, block + 1)
                            : simd_weight(g, a, &b->d, panel + 1, b->slab);
    t->lines = (SIMD_WIDTH + tiles - 1) / tiles;
    return (size_t)(t->segments * t->depth * SIMD_WIDTH / tiles / SIMD_LINE * SIMD_LINE);
}

/* Packs the rows of tile `tile` to `out`, and asks the product to prefetch the rows of the next. */
static void simd_tile_pack(float *out, struct simd_tile *t, const struct simd_block *b,
                           int32_t tile, int32_t rows)
{
    int32_t next = simd_row(&b->split, tile + 1);
    if (rows == SIMD_ROWS)
        simd_pack_rows(out, t, SIMD_ROWS);
    else
        simd_pack_rows(out, t, rows);
    t->next_rows = t->rows + (size_t)b->d.segments * SIMD_ROWS;
    t->ahead = t->segments == 1 && next < b->rows ? simd_row(&b->split, tile + 2) - next : 0;
}

/* Multiplies depth block `block` of a block of rows by one panel. With the first panel each tile is
 * packed just before its product, which then finds it in the first level. */
static void simd_panel(const struct sm_geometry *g, const struct sm_kernel_args *a,
                       const struct simd_block *b, int32_t panel, int32_t block)
{
    const struct simd_depth *d = &b->d;
    bool last = block == d->blocks - 1;
    int32_t columns = simd_columns(g->c, panel), tiles = b->split.tiles;
    int32_t segment = block / d->parts * d->group;
    size_t from = (size_t)panel * SIMD_WIDTH, at = b->first * (size_t)g->c + from;
    void (*act)(float *, int32_t) =
        last && g->activation != SM_ACT_RELU ? simd_activations[g->activation] : NULL;
    struct simd_tile t = {
        .segments = simd_min(d->group, d->segments - segment),
        .first = simd_cut(d->depth, block % d->parts, d->parts),
        .weight = simd_weight(g, a, d, panel, block),
        .stride = (size_t)g->c,
        .add = block > 0,
        .bias = last ? a->bias + from : NULL,
        .floor = last && g->activation == SM_ACT_RELU ? 0 : -INFINITY,
    };
    t.depth = simd_cut(d->depth, block % d->parts + 1, d->parts) - t.first;
    size_t step = simd_panel_ahead(&t, g, a, b, panel, block);
    float *packed = b->packed;
    if (packed)
        packed += (simd_before(d, block) - simd_before(d, b->slab)) * b->rows;
    for (int32_t tile = 0, row = 0, next; tile < tiles; tile++, row = next) {
        next = simd_row(&b->split, tile + 1);
        size_t skip = (size_t)(next - row) * g->c;
        t.rows = b->table + ((size_t)tile * d->segments + segment) * SIMD_ROWS;
        t.y = a->y + at + (size_t)row * g->c;
        t.residual = last && a->residual ? a->residual + at + (size_t)row * g->c : NULL;
        t.next_y = next < b->rows ? t.y + skip : NULL;
        t.next_residual = t.residual && next < b->rows ? t.residual + skip : NULL;
        if (packed && panel == 0)
            simd_tile_pack(packed, &t, b, tile, next - row);
        t.packed = packed;
        simd_tile_run(&t, next - row, columns);
        packed += packed ? (size_t)(next - row) * (t.segments * t.depth) : 0;
        t.next_weight += step;
        for (int32_t r = row; act && r < next; r++)
            act(a->y + at + (size_t)r * g->c, columns);
    }
}

/* Multiplies one block of rows by all panels. */
static void simd_block_run(const struct sm_geometry *g, const struct sm_kernel_args *a,
                           struct simd_block *b)
{
    for (b->slab = 0; b->slab < b->d.blocks; b->slab = b->end) {
        b->end = simd_min(b->slab + SIMD_SLAB, b->d.blocks);
        for (int32_t panel = 0; panel < simd_panels(g->c); panel++)
            for (int32_t block = b->slab; block < b->end; block++)
                simd_panel(g, a, b, panel, block);
    }
}

#endif

#endif
