/* Pooling, normalisation and gates: each is one pass over the numbers, by vectors of channels, as
 * in rows "ref" and "blas". For kern_*.c of one instruction set only. */
#ifndef CORE_KERN_SIMD_ROWS_H
#define CORE_KERN_SIMD_ROWS_H

#include <math.h>

#include "core/kern/simd_math.h"

#ifdef SIMD_LANES

SIMD_INLINE int32_t simd_count(int32_t c, int32_t at)
{
    return c - at < SIMD_LANES ? c - at : SIMD_LANES;
}

SIMD_INLINE vec simd_get(const float *x, int32_t count)
{
    return count == SIMD_LANES ? v_load(x) : v_load_part(x, count);
}

SIMD_INLINE void simd_put(float *y, vec v, int32_t count)
{
    if (count == SIMD_LANES)
        v_store(y, v);
    else
        v_store_part(y, v, count);
}

/* Returns the maximum of one vector of channels over the window at pixel `x`, `rows` by `columns`
 * inside the image. A NaN is the maximum; of zeros with different signs the first stays, as in row
 * "ref". */
SIMD_INLINE vec simd_window_max(const float *x, size_t row, size_t pixel, int32_t rows,
                                int32_t columns, int32_t count)
{
    vec top = v_set1(-INFINITY);
    for (int32_t i = 0; i < rows; i++) {
        for (int32_t j = 0; j < columns; j++) {
            vec v = simd_get(x + i * row + j * pixel, count);
            top = v_select(v_nan(v), v, v_max(v, top));
        }
    }
    return top;
}

static void simd_maxpool(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t pixel = (size_t)g->c, row = pixel * g->w_in, image = row * g->h_in;
    float *y = a->y;
    for (int32_t i = 0; i < a->images * g->h; i++) {
        int32_t top = i % g->h * g->stride - g->pad, from = top < 0 ? 0 : top;
        int32_t end = top + g->k < g->h_in ? top + g->k : g->h_in;
        for (int32_t ox = 0; ox < g->w; ox++, y += g->c) {
            int32_t left = ox * g->stride - g->pad, first = left < 0 ? 0 : left;
            int32_t last = left + g->k < g->w_in ? left + g->k : g->w_in;
            const float *x = a->x + i / g->h * image + from * row + first * pixel;
            for (int32_t c = 0; c < g->c; c += SIMD_LANES)
                simd_put(y + c,
                         simd_window_max(x + c, row, pixel, end - from, last - first,
                                         simd_count(g->c, c)),
                         simd_count(g->c, c));
        }
    }
}

/* Normalises one row: computes the mean, stores the centred row in y so that the variance is that
 * of exactly these numbers, then scales it. Lanes behind the end are zero and add nothing. */
SIMD_INLINE void simd_normalise(float *y, const float *x, const struct sm_geometry *g,
                                const struct sm_kernel_args *a)
{
    vec sum = v_zero(), squares = v_zero();
    int32_t c = 0;
    for (; c < g->c; c += SIMD_LANES)
        sum = v_add(sum, simd_get(x + c, simd_count(g->c, c)));
    const vec mean = v_set1(v_sum(sum) / (float)g->c);
    for (c = 0; c + SIMD_LANES <= g->c; c += SIMD_LANES) {
        vec v = v_sub(v_load(x + c), mean);
        v_store(y + c, v);
        squares = v_fma(v, v, squares);
    }
    if (c < g->c) {
        v_store_part(y + c, v_sub(v_load_part(x + c, g->c - c), mean), g->c - c);
        vec v = v_load_part(y + c, g->c - c);
        squares = v_fma(v, v, squares);
    }
    const vec scale = v_set1((float)(1 / sqrt((double)v_sum(squares) / g->c + g->eps)));
    for (c = 0; c < g->c; c += SIMD_LANES) {
        int32_t count = simd_count(g->c, c);
        vec v = v_mul(simd_get(y + c, count), scale);
        simd_put(y + c, v_fma(v, simd_get(a->weight + c, count), simd_get(a->bias + c, count)),
                 count);
    }
}

static void simd_layernorm(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++)
        simd_normalise(a->y + row * g->c, a->x + row * g->c, g, a);
}

static void simd_gate(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++) {
        const float *x = a->x + row * 2 * g->c;
        float *y = a->y + row * g->c;
        for (int32_t c = 0; c < g->c; c += SIMD_LANES) {
            int32_t count = simd_count(g->c, c);
            vec v = simd_get(x + c, count), b = simd_get(x + g->c + c, count);
            simd_put(y + c, v_mul(v_mul(v, v_sigmoid(v)), b), count);
        }
    }
}

#endif

#endif
