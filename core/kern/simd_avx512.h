/* AVX-512 (F, DQ, BW, VL): 16 lanes, 32 registers. A tile of 6 rows by 64 columns holds 24 sums
 * and leaves 4 registers for the weights, one for the broadcast and 3 to spare; six row pointers
 * fit the general registers, and 64 divides most channel counts. simd.h defines the
 * names. */
#ifndef CORE_KERN_SIMD_AVX512_H
#define CORE_KERN_SIMD_AVX512_H

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#include <stdint.h>

#define SIMD_LANES 16
#define SIMD_ROWS  6
#define SIMD_VECS  4

typedef __m512 vec;
typedef __mmask16 vmask;

#define V_OP static inline __attribute__((always_inline, unused))

V_OP vec v_zero(void)
{
    return _mm512_setzero_ps();
}

V_OP vec v_set1(float x)
{
    return _mm512_set1_ps(x);
}

V_OP vec v_load(const float *x)
{
    return _mm512_loadu_ps(x);
}

V_OP void v_store(float *y, vec v)
{
    _mm512_storeu_ps(y, v);
}

V_OP vec v_load_part(const float *x, int32_t n)
{
    return _mm512_maskz_loadu_ps((vmask)((1u << n) - 1), x);
}

V_OP void v_store_part(float *y, vec v, int32_t n)
{
    _mm512_mask_storeu_ps(y, (vmask)((1u << n) - 1), v);
}

V_OP vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

V_OP vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

V_OP vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

V_OP vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

V_OP vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

V_OP vec v_fnma(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

V_OP vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

V_OP vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

V_OP vec v_abs(vec a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}

V_OP vec v_copysign(vec a, vec sign)
{
    const vec bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, a), _mm512_and_ps(bit, sign));
}

V_OP vmask v_lt(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

V_OP vmask v_nan(vec a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}

V_OP vec v_select(vmask m, vec a, vec b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

V_OP vec v_exp2_add(vec e, vec t)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(e), n));
}

V_OP float v_sum(vec a)
{
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

V_OP float v_top(vec a)
{
    __m256 s = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#undef V_OP
#endif

#endif
