/* How a product is cut into panels, depth blocks, blocks of rows and tiles, and its numbers packed.
 * The order in which these are multiplied: simd_product.h; the sizes: simd_blocking.h. For kern_*.c
 * of one instruction set only. */
#ifndef CORE_KERN_SIMD_BLOCK_H
#define CORE_KERN_SIMD_BLOCK_H

#include <string.h>

#include "core/kern/kern.h"
#include "core/kern/simd_blocking.h"
#include "core/kern/simd_tile.h"

#ifdef SIMD_LANES

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

/* Where part `part` of `parts` of a depth begins. It decides bits. */
SIMD_INLINE int32_t simd_cut(int32_t depth, int32_t part, int32_t parts)
{
    return (int32_t)((int64_t)depth * part / parts);
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
        const float *in = weight + (size_t)panel * SIMD_WIDTH;
        for (size_t k = 0; k < depth; k++, in += stride, out += width) {
            size_t i = 0;
            for (; i + SIMD_LANES <= columns; i += SIMD_LANES)
                v_store(out + i, v_load(in + i));
            if (i < columns)
                v_store(out + i, v_load_part(in + i, (int32_t)(columns - i)));
        }
    }
}

/* Of a depth, what a slab has at most. */
SIMD_INLINE size_t simd_slab_depth(size_t depth)
{
    return depth < SIMD_SLAB * SIMD_DEPTH ? depth : SIMD_SLAB * SIMD_DEPTH;
}

/* Rows of a block: whole tiles, of inputs that fit. */
SIMD_INLINE int32_t simd_block_rows(size_t depth)
{
    size_t rows = SIMD_BLOCK_FLOATS / simd_slab_depth(depth);
    rows = rows > SIMD_BLOCK_ROWS ? SIMD_BLOCK_ROWS : rows;
    return (int32_t)(rows / SIMD_ROWS * SIMD_ROWS);
}

/* Rows split evenly into tiles; where a tile begins takes no division, which would hold up the
 * product behind it. */
struct simd_split {
    int32_t tiles, least, more; /* `more` tiles have least + 1 rows, the others `least` */
};

SIMD_INLINE struct simd_split simd_split_of(int32_t rows)
{
    int32_t tiles = (rows + SIMD_ROWS - 1) / SIMD_ROWS;
    return (struct simd_split){tiles, rows / tiles, rows % tiles};
}

/* First row of tile `tile`. */
SIMD_INLINE int32_t simd_row(const struct simd_split *split, int32_t tile)
{
    return tile * split->least + simd_min(tile, split->more);
}

/* A block of rows, and what it works with. */
struct simd_block {
    struct simd_depth d;
    const float **table; /* [tile, segment, SIMD_ROWS] */
    float *packed;       /* [depth block of a slab][tile][depth, rows]; NULL: rows stay in place */
    size_t first;        /* row of y */
    int32_t rows;
    struct simd_split split;
    int32_t slab, end; /* depth blocks slab .. end are being done */
};

/* Rows of the product from `first` on. */
SIMD_INLINE void simd_block_at(struct simd_block *b, size_t first, size_t rows)
{
    b->first = first;
    b->rows = (int32_t)rows;
    b->split = simd_split_of(b->rows);
}

/* Floats of a block's packed rows, with what the last store writes behind them. */
SIMD_INLINE size_t simd_packed_floats(const struct sm_geometry *g, size_t depth)
{
    if (g->c < SIMD_PACK_COLUMNS || depth < SIMD_PACK_DEPTH)
        return 0;
    return simd_round_up((size_t)simd_block_rows(depth) * simd_slab_depth(depth) + 8);
}

/* Scratch of a block. */
SIMD_INLINE size_t simd_block_bytes(const struct sm_geometry *g, int32_t segments, size_t depth)
{
    size_t tiles = (size_t)simd_block_rows(depth) / SIMD_ROWS;
    return simd_packed_floats(g, depth) * sizeof(float) +
           tiles * SIMD_ROWS * (size_t)segments * sizeof(float *);
}

/* A block without rows. `scratch` is aligned to vectors. */
SIMD_INLINE struct simd_block simd_block_of(const struct sm_geometry *g, int32_t segments,
                                            int32_t depth, float *scratch)
{
    size_t packed = simd_packed_floats(g, (size_t)segments * depth);
    return (struct simd_block){.d = simd_depth_of(segments, depth),
                               .table = (const float **)(scratch + packed),
                               .packed = packed ? scratch : NULL};
}

/* The rows of a tile to [segments * depth, rows]. */
SIMD_INLINE void simd_pack_rows(float *out, const struct simd_tile *t, const int32_t rows)
{
    for (int32_t s = 0; s < t->segments; s++) {
        const float *const *in = t->rows + s * SIMD_ROWS;
        int32_t k = 0;
        for (; k + 8 <= t->depth; k += 8, out += 8 * rows)
            simd_interleave8(out, in, rows, (size_t)t->first + k);
        for (; k < t->depth; k++, out += rows)
            for (int32_t r = 0; r < rows; r++)
                out[r] = in[r][t->first + k];
    }
}

#endif

#endif
