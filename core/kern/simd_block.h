/* Cuts a product into panels, depth blocks, blocks of rows and tiles, and packs its numbers.
 * simd_product.h multiplies them; simd_blocking.h has the sizes. For kern_*.c of one instruction
 * set only. */
#ifndef CORE_KERN_SIMD_BLOCK_H
#define CORE_KERN_SIMD_BLOCK_H

#include <string.h>

#include "core/kern/kern.h"
#include "core/kern/simd_blocking.h"
#include "core/kern/simd_tile.h"

#ifdef SIMD_LANES

/* The cut of a product's depth: `blocks` blocks, each of `segments` whole segments or of a part of
 * one. */
struct simd_depth {
    int32_t segments, depth; /* segments of the whole product */
    int32_t parts;           /* blocks in a segment; 1: a block is one or more whole segments */
    int32_t group;           /* segments in a block */
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

/* Returns the first index of part `part` when a depth is cut into `parts`. It decides bits. */
SIMD_INLINE int32_t simd_cut(int32_t depth, int32_t part, int32_t parts)
{
    return (int32_t)((int64_t)depth * part / parts);
}

/* Returns the number of columns of panel `panel`. */
SIMD_INLINE int32_t simd_columns(int32_t c, int32_t panel)
{
    return simd_min(c - panel * SIMD_WIDTH, SIMD_WIDTH);
}

SIMD_INLINE int32_t simd_panels(int32_t c)
{
    return (c + SIMD_WIDTH - 1) / SIMD_WIDTH;
}

/* Packs weight [depth, c], with rows `stride` apart, into panels. */
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

/* Returns the largest depth of a slab. */
SIMD_INLINE size_t simd_slab_depth(size_t depth)
{
    return depth < SIMD_SLAB * SIMD_DEPTH ? depth : SIMD_SLAB * SIMD_DEPTH;
}

/* Returns the rows of a block: whole tiles whose inputs fit the second-level cache. */
SIMD_INLINE int32_t simd_block_rows(size_t depth)
{
    size_t rows = SIMD_BLOCK_FLOATS / simd_slab_depth(depth);
    rows = rows > SIMD_BLOCK_ROWS ? SIMD_BLOCK_ROWS : rows;
    return (int32_t)(rows / SIMD_ROWS * SIMD_ROWS);
}

/* Rows split evenly into tiles. The first row of a tile is found without a division, which would
 * delay the product behind it. */
struct simd_split {
    int32_t tiles, least, more; /* `more` tiles have least + 1 rows, the others `least` */
};

SIMD_INLINE struct simd_split simd_split_of(int32_t rows)
{
    int32_t tiles = (rows + SIMD_ROWS - 1) / SIMD_ROWS;
    return (struct simd_split){tiles, rows / tiles, rows % tiles};
}

/* Returns the first row of tile `tile`. */
SIMD_INLINE int32_t simd_row(const struct simd_split *split, int32_t tile)
{
    return tile * split->least + simd_min(tile, split->more);
}

/* A block of rows, with its scratch and its position. */
struct simd_block {
    struct simd_depth d;
    const float **table; /* [tile, segment, SIMD_ROWS] */
    float *packed;       /* [depth block of a slab][tile][depth, rows]; NULL: rows stay in place */
    size_t first;        /* first row of y */
    int32_t rows;
    struct simd_split split;
    int32_t slab, end; /* depth blocks of the current slab: slab .. end */
};

/* The rows of the product from `first` on. */
SIMD_INLINE void simd_block_at(struct simd_block *b, size_t first, size_t rows)
{
    b->first = first;
    b->rows = (int32_t)rows;
    b->split = simd_split_of(b->rows);
}

/* Returns the floats of a block's packed rows, with those that the last store writes behind
 * them. */
SIMD_INLINE size_t simd_packed_floats(const struct sm_geometry *g, size_t depth)
{
    if (g->c < SIMD_PACK_COLUMNS || depth < SIMD_PACK_DEPTH)
        return 0;
    return simd_round_up((size_t)simd_block_rows(depth) * simd_slab_depth(depth) + 8);
}

/* Returns the floats of a block's scratch. */
SIMD_INLINE size_t simd_block_bytes(const struct sm_geometry *g, int32_t segments, size_t depth)
{
    size_t tiles = (size_t)simd_block_rows(depth) / SIMD_ROWS;
    return simd_packed_floats(g, depth) * sizeof(float) +
           tiles * SIMD_ROWS * (size_t)segments * sizeof(float *);
}

/* Makes a block without rows. `scratch` is aligned to vectors. */
SIMD_INLINE struct simd_block simd_block_of(const struct sm_geometry *g, int32_t segments,
                                            int32_t depth, float *scratch)
{
    size_t packed = simd_packed_floats(g, (size_t)segments * depth);
    return (struct simd_block){.d = simd_depth_of(segments, depth),
                               .table = (const float **)(scratch + packed),
                               .packed = packed ? scratch : NULL};
}

/* Packs the rows of a tile to [segments * depth, rows]. */
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
