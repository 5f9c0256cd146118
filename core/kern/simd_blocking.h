/* The sizes into which products are cut. They follow from the caches; this is their only table. A
 * row is for the smallest caches among the processors with its instruction set, never for one
 * processor by its name.
 *
 *                  first level   second level
 *     AVX2         32 KB         256 KB to 512 KB
 *     AVX-512      32 KB         1 MB
 *
 * Only SIMD_DEPTH may change bits. tests/bench/RESULTS.md has what other sizes gave. For
 * kern_*.c of one instruction set only. */
#ifndef CORE_KERN_SIMD_BLOCKING_H
#define CORE_KERN_SIMD_BLOCKING_H

#include "core/kern/simd.h"

#ifdef SIMD_LANES

/* Largest depth that is summed at a time: an AVX2 panel, 16 KB, leaves half of
 * the first level to rows and y; an AVX-512 panel, 64 KB, streams from the second. */
#define SIMD_DEPTH 256

/* Depth blocks of a slab: all panels go over one slab before the next begins, so that a block of
 * rows of a deep product is not a few rows only. */
#define SIMD_SLAB 3

/* Floats of input in a block of rows of one slab, which every panel reads: 3/8 of the second level,
 * because pages fall unevenly on its sets, and weights and y pass through it. */
#if SIMD_LANES == 16
#define SIMD_BLOCK_FLOATS (96 * 1024)
#else
#define SIMD_BLOCK_FLOATS (48 * 1024)
#endif

/* Most rows of a block: a panel of weights comes from the third level once for all of them. */
#define SIMD_BLOCK_ROWS 240

/* Layers with more weights than this have the next panel's weights prefetched: they do not stay in
 * the second level with a block of rows. */
#define SIMD_WEIGHT_FLOATS (2 * SIMD_BLOCK_FLOATS)

/* A block of rows is packed from so many columns and so much depth on. Packing costs as much as the
 * product with a few columns, and saves misses in every panel. */
#define SIMD_PACK_COLUMNS 192
#define SIMD_PACK_DEPTH   128

/* Attention: most floats of scores, and most tiles of queries, at a time. The scores stay in the
 * first level with one panel of keys or values, which all these tiles read. */
#define SIMD_SCORES      (6 * 1024)
#define SIMD_QUERY_TILES 4

/* Winograd: most tiles of a block, by input channels. Big weights want more rows in a product,
 * until the planes leave the second level. */
#define WINO_TILES(c_in) ((c_in) < 256 ? 48 : 96)

#endif

#endif
