/* 3x3 convolutions of stride 1, fused per block of tiles: inputs of the block to planes; then for
 * each panel of columns the products of all planes, and back to outputs with bias, residual and
 * activation. The transforms: simd_winograd.h. For kern_*.c of one instruction set only.
 *
 * Tiles of outputs go over the images of the batch, so that late stages still have enough rows for
 * a product. Scratch: input planes [side^2][tiles, c_in], product planes [side^2][tiles, columns],
 * their strides kept off multiples of 4 KB; a pixel of zeros; the tiles' row pointers. An output's
 * bits depend on its own tile only.
 *
 * A non-finite input makes all outputs of its tile NaN or infinite, not only those whose window it
 * is in. The loops over blocks, panels and planes: simd_wino_conv.h. */
#ifndef CORE_KERN_SIMD_WINO3X3_H
#define CORE_KERN_SIMD_WINO3X3_H

#include "core/kern/simd_product.h"
#include "core/kern/simd_winograd.h"

#ifdef SIMD_LANES

#define WINO_PAD 80 /* unused floats behind each plane */

/* A block of tiles, with its scratch and its position. */
struct wino {
    const struct sm_geometry *g;
    const struct sm_kernel_args *a;
    int outputs, side;
    int32_t across, down, tiles; /* tiles of one image; most tiles of a block */
    size_t channels;             /* c_in, rounded up to whole vectors */
    size_t in_apart, out_apart;  /* number of planes */
    float *zeros, *in, *out;
    const float **table;
};

static struct wino wino_of(const struct sm_geometry *g, const struct sm_kernel_args *a, int outputs)
{
    struct wino w = {.g = g, .a = a, .outputs = outputs, .side = outputs + 2};
    w.across = (g->w + outputs - 1) / outputs;
    w.down = (g->h + outputs - 1) / outputs;
    w.tiles = WINO_TILES(g->c_in);
    w.channels = simd_round_up((size_t)g->c_in);
    w.in_apart = w.tiles * w.channels + WINO_PAD;
    w.out_apart = (size_t)w.tiles * SIMD_WIDTH + WINO_PAD;
    w.zeros = a ? a->scratch : NULL;
    if (a) {
        size_t planes = (size_t)w.side * w.side;
        w.in = w.zeros + w.channels;
        w.out = w.in + planes * w.in_apart;
        w.table = (const float **)(w.out + planes * w.out_apart);
    }
    return w;
}

static size_t wino_scratch(const struct sm_geometry *g, int outputs)
{
    const struct wino w = wino_of(g, NULL, outputs);
    size_t floats = w.channels + (size_t)w.side * w.side * (w.in_apart + w.out_apart);
    return floats * sizeof(float) + (size_t)w.tiles * SIMD_ROWS * sizeof(float *);
}

/* Transforms the weights in double, rounds them once and packs them as [panel][plane][c_in,
 * columns]. */
static void wino_pack(float *out, const float *weight, const struct sm_geometry *g, int outputs)
{
    size_t planes = (size_t)(outputs + 2) * (size_t)(outputs + 2), c_in = (size_t)g->c_in;
    for (int32_t panel = 0; panel < simd_panels(g->c); panel++) {
        size_t columns = (size_t)simd_columns(g->c, panel), width = simd_round_up(columns);
        memset(out, 0, planes * c_in * width * sizeof *out);
        for (size_t i = 0; i < c_in * columns; i++) {
            double taps[WINO_SIDE_MAX * WINO_SIDE_MAX];
            size_t channel = i / columns, column = i % columns;
            wino_weight(taps, weight + channel * g->c + (size_t)panel * SIMD_WIDTH + column,
                        c_in * g->c, outputs);
            for (size_t p = 0; p < planes; p++)
                out[(p * c_in + channel) * width + column] = (float)taps[p];
        }
        out += planes * c_in * width;
    }
}

/* Returns the position of tile `tile` of the batch. */
struct wino_place {
    size_t image;
    int32_t y, x;
};

SIMD_INLINE struct wino_place wino_place(const struct wino *w, size_t tile)
{
    size_t image = (size_t)w->across * w->down, in = tile % image;
    return (struct wino_place){tile / image, (int32_t)(in / w->across) * w->outputs,
                               (int32_t)(in % w->across) * w->outputs};
}

/* Transforms tile `tile` of the batch into row `row` of the input planes. */
SIMD_INLINE void wino_read(const struct wino *w, size_t tile, int32_t row, const int outputs)
{
    const struct sm_geometry *g = w->g;
    const float *pixels[WINO_SIDE_MAX * WINO_SIDE_MAX];
    const struct wino_place at = wino_place(w, tile);
    const float *image = w->a->x + at.image * g->h_in * g->w_in * g->c_in;
    for (int32_t i = 0, n = 0; i < w->side; i++) {
        for (int32_t j = 0; j < w->side; j++, n++) {
            int32_t y = at.y - g->pad + i, x = at.x - g->pad + j;
            bool inside = y >= 0 && y < g->h_in && x >= 0 && x < g->w_in;
            pixels[n] = inside ? image + ((size_t)y * g->w_in + x) * g->c_in : w->zeros;
        }
    }
    float *out = w->in + row * w->channels;
    for (int32_t c = 0; c < g->c_in; c += SIMD_LANES)
        wino_input(out + c, w->in_apart, pixels, (size_t)c, simd_min(SIMD_LANES, g->c_in - c),
                   outputs);
}

/* Stores y = act(v + bias + residual) for one pixel, the first `count` lanes. */
SIMD_INLINE void wino_store(const struct wino *w, vec v, size_t at, size_t column, int32_t count)
{
    const struct sm_kernel_args *a = w->a;
    bool relu = w->g->activation == SM_ACT_RELU;
    at += column;
    if (count == SIMD_LANES) {
        v = v_add(v, v_load(a->bias + column));
        v = a->residual ? v_add(v, v_load(a->residual + at)) : v;
        v_store(a->y + at, relu ? v_relu(v) : v);
    } else {
        v = v_add(v, v_load_part(a->bias + column, count));
        v = a->residual ? v_add(v, v_load_part(a->residual + at, count)) : v;
        v_store_part(a->y + at, relu ? v_relu(v) : v, count);
    }
}

/* Transforms row `row` of the product planes into the outputs of tile `tile`. */
SIMD_INLINE void wino_write(const struct wino *w, size_t tile, int32_t row, int32_t panel,
                            const int outputs)
{
    const struct sm_geometry *g = w->g;
    const struct wino_place at = wino_place(w, tile);
    int32_t columns = simd_columns(g->c, panel), first = panel * SIMD_WIDTH;
    size_t width = simd_round_up((size_t)columns);
    void (*act)(float *, int32_t) =
        g->activation == SM_ACT_RELU ? NULL : simd_activations[g->activation];
    for (int32_t c = 0; c < columns; c += SIMD_LANES) {
        vec y[WINO_SIDE_MAX * WINO_SIDE_MAX];
        int32_t count = simd_min(SIMD_LANES, columns - c);
        wino_output(y, w->out + row * width + c, w->out_apart, outputs);
        for (int32_t i = 0; i < outputs && at.y + i < g->h; i++) {
            size_t pixel = (at.image * g->h + at.y + i) * g->w + at.x;
            for (int32_t j = 0; j < outputs && at.x + j < g->w; j++) {
                size_t to = (pixel + j) * g->c;
                wino_store(w, y[i * outputs + j], to, (size_t)(first + c), count);
                if (act)
                    act(w->a->y + to + first + c, count);
            }
        }
    }
}

#endif

#endif
