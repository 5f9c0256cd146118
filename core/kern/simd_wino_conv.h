/* 3x3 convolutions of stride 1 by Winograd: the loops over blocks of tiles, panels of columns and
 * planes. simd_wino3x3.h has their steps. For kern_*.c of one instruction set only. */
#ifndef CORE_KERN_SIMD_WINO_CONV_H
#define CORE_KERN_SIMD_WINO_CONV_H

#include "core/kern/simd_wino3x3.h"

#ifdef SIMD_LANES

#ifndef SIMD_WINOGRAD_4X4
#define SIMD_WINOGRAD_4X4 1
#endif
#define WINO_C_MIN 8 /* with fewer channels the transforms cost more than they save */

/* Returns the side of a tile in outputs; 0: not by Winograd. It depends on the geometry alone,
 * because it decides bits, and provenance records it. */
static int wino_outputs(const struct sm_geometry *g)
{
    if (g->k != 3 || g->stride != 1 || g->groups != 1 || g->pad > 2)
        return 0;
    if (g->c_in < WINO_C_MIN || g->c < WINO_C_MIN || g->h < 2 || g->w < 2)
        return 0;
    return SIMD_WINOGRAD_4X4 && g->h > 4 && g->w > 4 ? 4 : 2;
}

/* Multiplies plane `plane` of a block of `rows` tiles by one panel. */
static void wino_plane(const struct wino *w, int plane, int32_t panel,
                       const struct simd_split *rows)
{
    const struct simd_depth d = simd_depth_of(1, w->g->c_in);
    int32_t columns = (int32_t)simd_round_up((size_t)simd_columns(w->g->c, panel));
    size_t planes = (size_t)w->side * w->side, depth = (size_t)w->g->c_in;
    const float *weight =
        w->a->weight + depth * (planes * panel * SIMD_WIDTH + (size_t)plane * columns);
    for (int32_t block = 0; block < d.parts; block++) {
        int32_t from = simd_cut(d.depth, block, d.parts);
        struct simd_tile t = {.segments = 1,
                              .first = from + (int32_t)(plane * w->in_apart),
                              .depth = simd_cut(d.depth, block + 1, d.parts) - from,
                              .weight = weight + (size_t)from * columns,
                              .stride = (size_t)columns,
                              .add = block > 0,
                              .floor = -INFINITY};
        for (int32_t tile = 0; tile < rows->tiles; tile++) {
            int32_t row = simd_row(rows, tile);
            t.rows = w->table + (size_t)tile * SIMD_ROWS;
            t.y = w->out + plane * w->out_apart + (size_t)row * columns;
            simd_tile_run(&t, simd_row(rows, tile + 1) - row, columns);
        }
    }
}

/* Computes tiles first .. first + rows of the batch. */
SIMD_INLINE void wino_block_run(const struct wino *w, size_t first, int32_t rows, const int outputs)
{
    const struct simd_split split = simd_split_of(rows);
    for (int32_t tile = 0, row = 0; tile < split.tiles; tile++)
        for (int r = 0; row < simd_row(&split, tile + 1); row++, r++)
            w->table[tile * SIMD_ROWS + r] = w->in + row * w->channels;
    for (int32_t row = 0; row < rows; row++)
        wino_read(w, first + row, row, outputs);
    for (int32_t panel = 0; panel < simd_panels(w->g->c); panel++) {
        for (int plane = 0; plane < w->side * w->side; plane++)
            wino_plane(w, plane, panel, &split);
        for (int32_t row = 0; row < rows; row++)
            wino_write(w, first + row, row, panel, outputs);
    }
}

static void wino_block2(const struct wino *w, size_t first, int32_t rows)
{
    wino_block_run(w, first, rows, 2);
}

static void wino_block4(const struct wino *w, size_t first, int32_t rows)
{
    wino_block_run(w, first, rows, 4);
}

static void simd_winograd(const struct sm_geometry *g, const struct sm_kernel_args *a, int outputs)
{
    const struct wino w = wino_of(g, a, outputs);
    size_t tiles = (size_t)a->images * w.across * w.down;
    size_t blocks = (tiles + w.tiles - 1) / w.tiles;
    memset(w.zeros, 0, w.channels * sizeof *w.zeros);
    for (size_t block = 0; block < blocks; block++) {
        size_t first = tiles * block / blocks;
        int32_t rows = (int32_t)(tiles * (block + 1) / blocks - first);
        (outputs == 4 ? wino_block4 : wino_block2)(&w, first, rows);
    }
}

static size_t wino_packed(const struct sm_geometry *g, int outputs)
{
    size_t side = (size_t)outputs + 2;
    return side * side * (size_t)g->c_in * simd_round_up((size_t)g->c);
}

#endif

#endif
