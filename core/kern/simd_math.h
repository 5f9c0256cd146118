/* The functions of kern_math.h for vectors. kern_math.h states their bounds and their values at NaN
 * and the infinities. Here a product and a sum are one fma wherever possible. For kern_*.c of one
 * instruction set only. */
#ifndef CORE_KERN_SIMD_MATH_H
#define CORE_KERN_SIMD_MATH_H

#include "core/kern/kern.h"
#include "core/kern/simd.h"

#ifdef SIMD_LANES

/* Evaluates a polynomial by Horner's rule; c[0] is the coefficient of the highest power. */
SIMD_INLINE vec v_poly(vec x, const float *c, int count)
{
    vec p = v_set1(c[0]);
    for (int i = 1; i < count; i++)
        p = v_fma(p, x, v_set1(c[i]));
    return p;
}

/* Computes exp of a value <= 0; below -87 it returns exp(-87). */
SIMD_INLINE vec v_exp_negative(vec x)
{
    static const float c[] = {0.00139261771f, 0.00836317427f, 0.0416665561f, 0.166665778f, 0.5f};
    const vec shift = v_set1(12582912.0f), low = v_max(v_set1(-87.0f), x);
    vec t = v_fma(low, v_set1(1.44269504f), shift);
    vec n = v_sub(t, shift);
    vec r = v_fnma(n, v_set1(-2.12194440e-4f), v_fnma(n, v_set1(0.693359375f), low));
    vec e = v_fma(v_mul(r, r), v_poly(r, c, 5), r);
    return v_select(v_nan(x), x, v_exp2_add(v_add(e, v_set1(1.0f)), t));
}

/* Computes exp(-x) for x >= 0; from 87 on it returns 0. */
SIMD_INLINE vec v_decay(vec x)
{
    return v_select(v_lt(v_set1(87.0f), x), v_zero(), v_exp_negative(v_sub(v_zero(), x)));
}

SIMD_INLINE vec v_sigmoid(vec x)
{
    const vec one = v_set1(1.0f);
    vec e = v_decay(v_abs(x));
    return v_div(v_select(v_lt(x, v_zero()), e, one), v_add(one, e));
}

SIMD_INLINE vec v_gelu(vec v)
{
    static const float over[] = {-2.72614225801306e-10f, 2.77068142495902e-08f,
                                 -2.10102402082508e-06f, -5.69250639462346e-05f,
                                 -7.34990630326855e-04f, -2.95459980854025e-03f,
                                 -1.60960333262415e-02f};
    static const float under[] = {-1.45660718464996e-05f, -2.13374055278905e-04f,
                                  -1.68282697438203e-03f, -7.37332916720468e-03f,
                                  -1.42647390514189e-02f};
    vec x = v_mul(v, v_set1(0.70710678f));
    x = v_max(v_set1(-4.0f), v_min(v_set1(4.0f), x));
    vec s = v_mul(x, x), half = v_mul(v_set1(0.5f), v);
    vec erf = v_div(v_mul(x, v_poly(s, over, 7)), v_poly(s, under, 5));
    return v_mul(half, v_add(v_set1(1.0f), erf));
}

SIMD_INLINE vec v_gelu_tanh(vec v)
{
    vec inner = v_fma(v_set1(0.0713548162726f), v_mul(v, v), v_set1(1.5957691216f));
    return v_mul(v, v_sigmoid(v_mul(v, inner)));
}

SIMD_INLINE vec v_gelu_quick(vec v)
{
    return v_mul(v, v_sigmoid(v_mul(v_set1(1.702f), v)));
}

SIMD_INLINE vec v_tanh(vec v)
{
    static const float c[] = {-0.00609671418f, 0.0209971797f, -0.0538509078f, 0.133327693f,
                              -0.333333284f};
    const vec one = v_set1(1.0f);
    vec x = v_abs(v), s = v_mul(v, v), e = v_decay(v_add(x, x));
    vec far = v_copysign(v_div(v_sub(one, e), v_add(one, e)), v);
    return v_select(v_lt(x, v_set1(0.625f)), v_fma(v_mul(v, s), v_poly(s, c, 5), v), far);
}

/* NaN stays NaN, because v_max then returns its second argument. */
SIMD_INLINE vec v_relu(vec v)
{
    return v_max(v_zero(), v);
}

/* Defines one loop for each activation: y = act(y). */
#define SIMD_ACTIVATION(name)                                                                      \
    static void act_##name(float *y, int32_t count)                                                \
    {                                                                                              \
        int32_t i = 0;                                                                             \
        for (; i + SIMD_LANES <= count; i += SIMD_LANES)                                           \
            v_store(y + i, v_##name(v_load(y + i)));                                               \
        if (i < count)                                                                             \
            v_store_part(y + i, v_##name(v_load_part(y + i, count - i)), count - i);               \
    }
SIMD_ACTIVATION(relu)
SIMD_ACTIVATION(gelu)
SIMD_ACTIVATION(gelu_tanh)
SIMD_ACTIVATION(gelu_quick)
SIMD_ACTIVATION(tanh)
#undef SIMD_ACTIVATION

/* The loop of each activation; NULL: none is needed. */
static void (*const simd_activations[])(float *, int32_t) = {
    [SM_ACT_NONE] = NULL,
    [SM_ACT_RELU] = act_relu,
    [SM_ACT_GELU] = act_gelu,
    [SM_ACT_GELU_TANH] = act_gelu_tanh,
    [SM_ACT_GELU_QUICK] = act_gelu_quick,
    [SM_ACT_TANH] = act_tanh,
};

#endif

#endif
