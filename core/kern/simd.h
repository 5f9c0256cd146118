/* Vectors of floats: a thin layer over one instruction set, so that kernels are written once.
 *
 *     kern_avx2.c    compiled with -mavx2 -mfma     gets simd_avx2.h, 8 lanes
 *     kern_avx512.c  compiled with -mavx512f …      gets simd_avx512.h, 16 lanes
 *
 * The compiler flags of the including file choose. Without one of these sets SIMD_LANES is not
 * defined and the simd_*.h headers are empty. A set defines:
 *
 *     SIMD_LANES, SIMD_ROWS, SIMD_VECS   lanes of a vector; rows and vectors of a product's tile
 *     vec, vmask                         SIMD_LANES floats; one condition for each
 *     v_zero v_set1 v_load v_store       any alignment
 *     v_load_part v_store_part           the first n lanes, 1 <= n <= SIMD_LANES, no other byte is
 *                                        touched; loaded lanes from n on are zero
 *     v_add v_sub v_mul v_div
 *     v_fma v_fnma                       a * b + c and c - a * b, rounded once
 *     v_max v_min                        the second argument where one is NaN
 *     v_abs v_copysign                   magnitude of the first, sign of the second
 *     v_lt v_nan v_select                a < b; NaN; mask ? a : b
 *     v_exp2_add(e, t)                   the low bits of t's bit pattern added to e's exponent
 *     v_sum v_top                        sum and maximum over the lanes, in a fixed order
 *
 * Everything is static: no function compiled for a wide set may be the one copy that the linker
 * keeps for everybody. For kern_*.c of one set only. */
#ifndef CORE_KERN_SIMD_H
#define CORE_KERN_SIMD_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include "core/kern/simd_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "core/kern/simd_avx2.h"
#endif

#ifdef SIMD_LANES
#define SIMD_WIDTH  (SIMD_VECS * SIMD_LANES) /* columns of a full panel */
#define SIMD_INLINE static inline __attribute__((always_inline, unused))
/* Precedes loops whose vectors must stay in registers. */
#define SIMD_UNROLL _Pragma("GCC unroll 8")

SIMD_INLINE size_t simd_round_up(size_t count)
{
    return (count + SIMD_LANES - 1) / SIMD_LANES * SIMD_LANES;
}

/* Transposes: y[l * y_stride + i] = a[i][l], l ascending. */
SIMD_INLINE void simd_columns8(float *y, size_t y_stride, __m256 a[8])
{
    __m256 b[8];
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++)
        _mm256_storeu_ps(y + i * y_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    for (int i = 0; i < 4; i++)
        _mm256_storeu_ps(y + (i + 4) * y_stride, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
}

/* Transposes 8 by 8 numbers: y[l * y_stride + i] = x[i * x_stride + l]. */
SIMD_INLINE void simd_transpose8(float *y, size_t y_stride, const float *x, size_t x_stride)
{
    __m256 a[8];
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps(x + i * x_stride);
    simd_columns8(y, y_stride, a);
}

/* Interleaves columns at .. at + 7 of `count` rows (1 to 8): y[l * count + r]. May overwrite seven
 * floats behind them. */
SIMD_INLINE void simd_interleave8(float *y, const float *const *rows, int32_t count, size_t at)
{
    __m256 a[8];
    for (int32_t r = 0; r < 8; r++)
        a[r] = r < count ? _mm256_loadu_ps(rows[r] + at) : _mm256_setzero_ps();
    simd_columns8(y, (size_t)count, a);
}
#endif

#endif
