/* Linear layers and convolutions: finds the rows of a block, which simd_product.h multiplies.
 * For kern_*.c of one instruction set only. */
#ifndef CORE_KERN_SIMD_LINEAR_H
#define CORE_KERN_SIMD_LINEAR_H

#include "core/kern/kern_rows.h"
#include "core/kern/simd_product.h"

#ifdef SIMD_LANES

#define SIMD_STRIPS 16 /* a convolution with fewer input channels goes by strips */

static size_t simd_linear_packed(const struct sm_geometry *g)
{
    return (size_t)g->c_in * simd_round_up((size_t)g->c);
}

static void simd_linear_pack(float *out, const float *weight, const struct sm_geometry *g)
{
    simd_pack(out, weight, (size_t)g->c_in, g->c, (size_t)g->c);
}

static size_t simd_linear_scratch(const struct sm_geometry *g)
{
    return simd_block_bytes(g, 1, (size_t)g->c_in);
}

static void simd_linear(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    struct simd_block b = simd_block_of(g, 1, g->c_in, a->scratch);
    size_t rows = (size_t)a->images * g->h * g->w;
    size_t most = (size_t)simd_block_rows((size_t)g->c_in), blocks = (rows + most - 1) / most;
    for (size_t block = 0; block < blocks; block++) {
        size_t first = rows * block / blocks;
        simd_block_at(&b, first, rows * (block + 1) / blocks - first);
        for (int32_t tile = 0, row = 0; tile < b.split.tiles; tile++)
            for (int r = 0; row < simd_row(&b.split, tile + 1); row++, r++)
                b.table[tile * SIMD_ROWS + r] = a->x + (first + row) * g->c_in;
        simd_block_run(g, a, &b);
    }
}

/* A convolution as a product: the source of its rows. */
struct simd_windows {
    const struct sm_geometry *g;
    const float
        *zeros; /* [c_in], for taps outside the image; NULL: the convolution goes by strips */
    const float *images;   /* [image, height, width, c_in] */
    int32_t height, width; /* size of the source; for strips with its border */
    int32_t pad;           /* outputs not yet computed */
    int32_t segments, depth;
};

static bool simd_by_strips(const struct sm_geometry *g)
{
    return g->k > 1 && g->c_in < SIMD_STRIPS;
}

/* Writes the row pointers of one output, SIMD_ROWS apart. */
static void simd_point(const float **out, const struct simd_windows *w, size_t image, int32_t oy,
                       int32_t ox)
{
    const struct sm_geometry *g = w->g;
    int32_t top = oy * g->stride - w->pad, left = ox * g->stride - w->pad;
    const float *x = w->images + image * w->height * w->width * g->c_in;
    for (int32_t ky = 0; ky < g->k; ky++) {
        int32_t iy = top + ky;
        if (!w->zeros) {
            *out = x + ((size_t)iy * w->width + left) * g->c_in;
            out += SIMD_ROWS;
            continue;
        }
        for (int32_t kx = 0; kx < g->k; kx++, out += SIMD_ROWS) {
            int32_t ix = left + kx;
            bool inside = iy >= 0 && iy < w->height && ix >= 0 && ix < w->width;
            *out = inside ? x + ((size_t)iy * w->width + ix) * g->c_in : w->zeros;
        }
    }
}

/* Computes the images of `w`, whose outputs start at row `from` of y. */
static void simd_convolve(const struct simd_windows *w, const struct sm_kernel_args *a,
                          struct simd_block *b, size_t from, size_t images)
{
    const struct sm_geometry *g = w->g;
    size_t most = (size_t)simd_block_rows((size_t)w->segments * w->depth);
    size_t rows = images * g->h * g->w, blocks = (rows + most - 1) / most, image = 0;
    int32_t oy = 0, ox = 0;
    for (size_t block = 0; block < blocks; block++) {
        size_t first = rows * block / blocks;
        simd_block_at(b, from + first, rows * (block + 1) / blocks - first);
        for (int32_t tile = 0, row = 0; tile < b->split.tiles; tile++) {
            const float **out = b->table + (size_t)tile * w->segments * SIMD_ROWS;
            for (; row < simd_row(&b->split, tile + 1); row++) {
                simd_point(out++, w, image, oy, ox);
                ox = ox + 1 < g->w ? ox + 1 : 0;
                oy = ox ? oy : oy + 1 < g->h ? oy + 1 : 0;
                image += !ox && !oy;
            }
        }
        simd_block_run(g, a, b);
    }
}

/* Copies one image with a border of zeros. */
static void simd_border(float *out, const struct sm_geometry *g, const float *x)
{
    size_t side = (size_t)g->pad * g->c_in, row = (size_t)g->w_in * g->c_in;
    size_t edge = (2 * side + row) * (size_t)g->pad;
    memset(out, 0, edge * sizeof *out);
    out += edge;
    for (int32_t y = 0; y < g->h_in; y++, x += row, out += 2 * side + row) {
        memset(out, 0, side * sizeof *out);
        memcpy(out + side, x, row * sizeof *out);
        memset(out + side + row, 0, side * sizeof *out);
    }
    memset(out, 0, edge * sizeof *out);
}

static struct simd_windows simd_windows_of(const struct sm_geometry *g)
{
    bool strips = simd_by_strips(g);
    int32_t border = strips ? 2 * g->pad : 0;
    return (struct simd_windows){.g = g,
                                 .height = g->h_in + border,
                                 .width = g->w_in + border,
                                 .pad = strips ? 0 : g->pad,
                                 .segments = strips ? g->k : g->k * g->k,
                                 .depth = strips ? g->k * g->c_in : g->c_in};
}

/* Returns the floats of scratch: zeros for taps, or an image with its border. */
static size_t simd_windows_floats(const struct simd_windows *w)
{
    if (!simd_by_strips(w->g))
        return simd_round_up((size_t)w->g->c_in);
    return w->g->pad ? (size_t)w->height * w->width * w->g->c_in : 0;
}

static void simd_conv2d(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    struct simd_windows w = simd_windows_of(g);
    float *floats = a->scratch;
    struct simd_block b =
        simd_block_of(g, w.segments, w.depth, floats + simd_round_up(simd_windows_floats(&w)));
    size_t image = (size_t)g->h_in * g->w_in * g->c_in, positions = (size_t)g->h * g->w;
    w.images = a->x;
    if (!simd_by_strips(g)) {
        memset(floats, 0, (size_t)g->c_in * sizeof *floats);
        w.zeros = floats;
    }
    if (w.zeros || !g->pad) {
        simd_convolve(&w, a, &b, 0, (size_t)a->images);
        return;
    }
    w.images = floats;
    for (int32_t n = 0; n < a->images; n++) {
        simd_border(floats, g, a->x + n * image);
        simd_convolve(&w, a, &b, n * positions, 1);
    }
}

static size_t simd_conv2d_scratch(const struct sm_geometry *g)
{
    const struct simd_windows w = simd_windows_of(g);
    return simd_round_up(simd_windows_floats(&w)) * sizeof(float) +
           simd_block_bytes(g, w.segments, (size_t)w.segments * w.depth);
}

#endif

#endif
