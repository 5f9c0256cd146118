/* 3x3 convolutions of stride 1 by Winograd's minimal filtering, F(2x2) and F(4x4): a tile of 2x2
 * (4x4) outputs costs 16 (36) products instead of 36 (144). This file has the transforms;
 * simd_wino3x3.h calls them. For kern_*.c of one instruction set only.
 *
 * Toom-Cook over the points 0, +-1, infinity for 2x2 and 0, +-a, +-b, infinity with a = 5/8,
 * b = 3/2 for 4x4. For points x_i with M_i = product of (x - x_j), j != i, the three transforms of
 * one dimension are
 *
 *     filter  G    row i: (1, x_i, x_i^2) / M_i(x_i); infinity: the last tap
 *     input   B^T  row i: coefficients of M_i(x); infinity: of the product over all points
 *     output  A^T  row k: x_i^k; infinity: 1 in the last row
 *
 * and two dimensions are one after the other. All constants are exact in float. The usual points 0,
 * +-1, +-2 have twice the rms error of these (2.4e-6 against 1.1e-6 of the output's rms at 256
 * channels, direct sums 0.6e-6): the powers of both stay near 1. */
#ifndef CORE_KERN_SIMD_WINOGRAD_H
#define CORE_KERN_SIMD_WINOGRAD_H

#include <string.h>

#include "core/kern/kern.h"
#include "core/kern/simd.h"

#ifdef SIMD_LANES

#define WINO_SIDE_MAX 6 /* inputs of a tile in one dimension: outputs + 2 */
#define WINO_A        0.625f
#define WINO_B        1.5f
#define WINO_AA       (WINO_A * WINO_A)
#define WINO_BB       (WINO_B * WINO_B)

/* Computes B^T x for F(2x2); elements of x and y are `step` vectors apart. */
SIMD_INLINE void wino_input2(vec *y, const vec *x, int step)
{
    y[0] = v_sub(x[2 * step], x[0]);
    y[step] = v_add(x[step], x[2 * step]);
    y[2 * step] = v_sub(x[2 * step], x[step]);
    y[3 * step] = v_sub(x[3 * step], x[step]);
}

SIMD_INLINE void wino_output2(vec *y, const vec *x, int y_step, int step)
{
    y[0] = v_add(x[0], v_add(x[step], x[2 * step]));
    y[y_step] = v_add(v_sub(x[step], x[2 * step]), x[3 * step]);
}

SIMD_INLINE void wino_input4(vec *y, const vec *x, int step)
{
    const vec aa = v_set1(WINO_AA), bb = v_set1(WINO_BB), both = v_set1(WINO_AA + WINO_BB);
    const vec product = v_set1(WINO_AA * WINO_BB), a = v_set1(WINO_A), b = v_set1(WINO_B);
    vec even = v_fnma(bb, x[2 * step], x[4 * step]), odd = v_fnma(bb, x[step], x[3 * step]);
    y[0] = v_fma(product, x[0], v_fnma(both, x[2 * step], x[4 * step]));
    y[step] = v_fma(a, odd, even);
    y[2 * step] = v_fnma(a, odd, even);
    even = v_fnma(aa, x[2 * step], x[4 * step]);
    odd = v_fnma(aa, x[step], x[3 * step]);
    y[3 * step] = v_fma(b, odd, even);
    y[4 * step] = v_fnma(b, odd, even);
    y[5 * step] = v_fma(product, x[step], v_fnma(both, x[3 * step], x[5 * step]));
}

SIMD_INLINE void wino_output4(vec *y, const vec *x, int y_step, int step)
{
    vec even_a = v_add(x[step], x[2 * step]), odd_a = v_sub(x[step], x[2 * step]);
    vec even_b = v_add(x[3 * step], x[4 * step]), odd_b = v_sub(x[3 * step], x[4 * step]);
    y[0] = v_add(x[0], v_add(even_a, even_b));
    y[y_step] = v_fma(v_set1(WINO_A), odd_a, v_mul(v_set1(WINO_B), odd_b));
    y[2 * y_step] = v_fma(v_set1(WINO_AA), even_a, v_mul(v_set1(WINO_BB), even_b));
    y[3 * y_step] =
        v_add(v_fma(v_set1(WINO_AA * WINO_A), odd_a, v_mul(v_set1(WINO_BB * WINO_B), odd_b)),
              x[5 * step]);
}

/* Transforms one vector of channels of a tile: side * side inputs to as many planes, `apart` floats
 * from one to the next. Reads the first `count` lanes only. */
SIMD_INLINE void wino_input(float *out, size_t apart, const float *const *pixels, size_t channel,
                            int32_t count, const int outputs)
{
    const int side = outputs + 2;
    vec x[WINO_SIDE_MAX * WINO_SIDE_MAX], y[WINO_SIDE_MAX * WINO_SIDE_MAX];
    for (int i = 0; i < side * side; i++)
        x[i] = count == SIMD_LANES ? v_load(pixels[i] + channel)
                                   : v_load_part(pixels[i] + channel, count);
    for (int i = 0; i < side; i++)
        outputs == 4 ? wino_input4(y + i, x + i, side) : wino_input2(y + i, x + i, side);
    for (int i = 0; i < side; i++)
        outputs == 4 ? wino_input4(x + i * side, y + i * side, 1)
                     : wino_input2(x + i * side, y + i * side, 1);
    for (int i = 0; i < side * side; i++)
        v_store(out + i * apart, x[i]);
}

/* Transforms one vector of columns of a tile: planes to y [outputs, outputs]. */
SIMD_INLINE void wino_output(vec *y, const float *in, size_t apart, const int outputs)
{
    const int side = outputs + 2;
    vec x[WINO_SIDE_MAX * WINO_SIDE_MAX], rows[WINO_SIDE_MAX * WINO_SIDE_MAX];
    for (int i = 0; i < side * side; i++)
        x[i] = v_load(in + i * apart);
    for (int i = 0; i < side; i++)
        outputs == 4 ? wino_output4(rows + i, x + i, side, side)
                     : wino_output2(rows + i, x + i, side, side);
    for (int i = 0; i < outputs; i++)
        outputs == 4 ? wino_output4(y + i * outputs, rows + i * side, 1, 1)
                     : wino_output2(y + i * outputs, rows + i * side, 1, 1);
}

/* Computes G g in one dimension: 3 taps to outputs + 2 numbers. */
static void wino_filter(double *y, size_t y_step, const double *g, size_t step, int outputs)
{
    static const double points[2][4] = {{1, -1}, {WINO_A, -WINO_A, WINO_B, -WINO_B}};
    const double *x = points[outputs == 4];
    double at_zero = 1;
    for (int i = 0; i < outputs; i++) {
        double under = x[i];
        for (int j = 0; j < outputs; j++)
            under *= j == i ? 1 : x[i] - x[j];
        y[(size_t)(i + 1) * y_step] = (g[0] + x[i] * (g[step] + x[i] * g[2 * step])) / under;
        at_zero *= -x[i];
    }
    y[0] = g[0] / at_zero;
    y[(size_t)(outputs + 1) * y_step] = g[2 * step];
}

/* Transforms 3x3 taps, `apart` floats from one to the next, to [side, side]. */
static void wino_weight(double *out, const float *weight, size_t apart, int outputs)
{
    double g[9], half[3 * WINO_SIDE_MAX];
    size_t side = (size_t)outputs + 2;
    for (size_t i = 0; i < 9; i++)
        g[i] = (double)weight[i * apart];
    for (size_t i = 0; i < 3; i++)
        wino_filter(half + i * side, 1, g + 3 * i, 1, outputs);
    for (size_t i = 0; i < side; i++)
        wino_filter(out + i, side, half + i, side, outputs);
}

#endif

#endif
