/* Depthwise convolutions, with one input channel for each output: sums over neighbouring channels,
 * no product. For kern_*.c of one instruction set only.
 *
 * A pass takes one vector of channels over an output row, STRIP outputs at a time, which share the
 * loads of the weights. A sum runs over the taps in order, however outputs are grouped, so that
 * changes no bit; taps outside the image are left out. */
#ifndef CORE_KERN_SIMD_DEPTHWISE_H
#define CORE_KERN_SIMD_DEPTHWISE_H

#include <stdbool.h>

#include "core/kern/simd_rows.h"

#ifdef SIMD_LANES

#define SIMD_STRIP 6 /* outputs computed together */

static bool simd_depthwise_fits(const struct sm_geometry *g)
{
    return g->groups > 1 && g->groups == g->c_in && g->c == g->c_in;
}

/* The window's rows inside the image, and the image's row under the first of them. */
struct simd_strip {
    const struct sm_geometry *g;
    const float *rows; /* row of the image, at the vector's channels */
    const float *weight;
    int32_t ky, ky_end;
};

/* Computes `outputs` neighbours whose columns kx .. kx_end are inside the image; `left` is column 0
 * of the first. */
SIMD_INLINE void simd_strip_sums(vec *acc, const struct simd_strip *s, int32_t left, int32_t kx,
                                 int32_t kx_end, int32_t count, const int outputs)
{
    size_t c = (size_t)s->g->c, row = c * s->g->w_in, step = c * s->g->stride;
    for (int o = 0; o < outputs; o++)
        acc[o] = v_zero();
    for (int32_t ky = s->ky; ky < s->ky_end; ky++) {
        for (int32_t k = kx; k < kx_end; k++) {
            const float *x = s->rows + (ky - s->ky) * row + (left + k) * c;
            vec w = simd_get(s->weight + ((size_t)ky * s->g->k + k) * c, count);
            SIMD_UNROLL
            for (int o = 0; o < outputs; o++)
                acc[o] = v_fma(simd_get(x + o * step, count), w, acc[o]);
        }
    }
}

/* Computes one vector of channels of one output row; `at` is the index of its first number in y. */
SIMD_INLINE void simd_depthwise_row(const struct simd_strip *s, const struct sm_kernel_args *a,
                                    size_t at, const float *bias, int32_t count)
{
    const struct sm_geometry *g = s->g;
    vec acc[SIMD_STRIP], b = simd_get(bias, count);
    for (int32_t ox = 0, done; ox < g->w; ox += done) {
        int32_t left = ox * g->stride - g->pad;
        int32_t right = left + (SIMD_STRIP - 1) * g->stride + g->k;
        done = left >= 0 && right <= g->w_in && ox + SIMD_STRIP <= g->w ? SIMD_STRIP : 1;
        if (done == SIMD_STRIP)
            simd_strip_sums(acc, s, left, 0, g->k, count, SIMD_STRIP);
        else
            simd_strip_sums(acc, s, left, left < 0 ? -left : 0,
                            left + g->k > g->w_in ? g->w_in - left : g->k, count, 1);
        for (int32_t o = 0; o < done; o++) {
            size_t to = at + (size_t)(ox + o) * g->c;
            vec v = v_add(acc[o], b);
            v = a->residual ? v_add(v, simd_get(a->residual + to, count)) : v;
            simd_put(a->y + to, v, count);
        }
    }
}

static void simd_depthwise(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    void (*act)(float *, int32_t) = simd_activations[g->activation];
    size_t row = (size_t)g->w_in * g->c, out = (size_t)g->w * g->c;
    for (int32_t i = 0; i < a->images * g->h; i++) {
        int32_t top = i % g->h * g->stride - g->pad;
        struct simd_strip s = {.g = g, .ky = top < 0 ? -top : 0};
        s.ky_end = top + g->k > g->h_in ? g->h_in - top : g->k;
        const float *image = a->x + (size_t)(i / g->h) * g->h_in * row;
        for (int32_t c = 0; c < g->c; c += SIMD_LANES) {
            s.rows = s.ky < s.ky_end ? image + (top + s.ky) * row + c : image;
            s.weight = a->weight + c;
            if (simd_count(g->c, c) == SIMD_LANES)
                simd_depthwise_row(&s, a, i * out + c, a->bias + c, SIMD_LANES);
            else
                simd_depthwise_row(&s, a, i * out + c, a->bias + c, g->c - c);
        }
        if (act)
            act(a->y + i * out, (int32_t)out);
    }
}

#endif

#endif
