/* AVX2 and FMA: 8 lanes, 16 registers. A tile of 6 rows by 16 columns holds 12 sums and leaves two
 * registers for the weights and two for broadcasts. Masks are vectors of all or no bits. simd.h
 * defines the names. */
#ifndef CORE_KERN_SIMD_AVX2_H
#define CORE_KERN_SIMD_AVX2_H

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stdint.h>

#define SIMD_LANES 8
#define SIMD_ROWS  6
#define SIMD_VECS  2

typedef __m256 vec;
typedef __m256 vmask;

#define V_OP static inline __attribute__((always_inline, unused))

V_OP vec v_zero(void)
{
    return _mm256_setzero_ps();
}

V_OP vec v_set1(float x)
{
    return _mm256_set1_ps(x);
}

V_OP vec v_load(const float *x)
{
    return _mm256_loadu_ps(x);
}

V_OP void v_store(float *y, vec v)
{
    _mm256_storeu_ps(y, v);
}

/* Returns a mask with all bits set in the first n lanes. */
V_OP __m256i v_first(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

V_OP vec v_load_part(const float *x, int32_t n)
{
    return _mm256_maskload_ps(x, v_first(n));
}

V_OP void v_store_part(float *y, vec v, int32_t n)
{
    _mm256_maskstore_ps(y, v_first(n), v);
}

V_OP vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

V_OP vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

V_OP vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

V_OP vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

V_OP vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

V_OP vec v_fnma(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

V_OP vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

V_OP vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

V_OP vec v_abs(vec a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

V_OP vec v_copysign(vec a, vec sign)
{
    const vec bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, sign));
}

V_OP vmask v_lt(vec a, vec b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

V_OP vmask v_nan(vec a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}

V_OP vec v_select(vmask m, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, m);
}

V_OP vec v_exp2_add(vec e, vec t)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), n));
}

V_OP float v_sum(vec a)
{
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

V_OP float v_top(vec a)
{
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#undef V_OP
#endif

#endif
