/* Functions of row "blas", written so that compilers vectorise the loops around them: no branch, no
 * call, no table. For kern*.c only.
 *
 * Each states its largest error against row "ref", in u = 2^-24 of its argument or value, over all
 * floats (`kern --errors` measures it). At NaN and the infinities they follow the formulas:
 * GELU, its relatives and the gate give NaN at minus infinity, which is -inf times 0. */
#ifndef CORE_KERN_KERN_MATH_H
#define CORE_KERN_KERN_MATH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Returns condition ? a : b by selecting bits: gcc vectorises a comparison that becomes a mask, but
 * not arithmetic behind a branch, which might trap. */
static inline float choose(bool condition, float a, float b)
{
    uint32_t mask = -(uint32_t)condition, a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a_bits);
    memcpy(&b_bits, &b, sizeof b_bits);
    a_bits = (a_bits & mask) | (b_bits & ~mask);
    memcpy(&a, &a_bits, sizeof a);
    return a;
}

/* Computes erf as a rational function, odd degree 13 over even degree 8, on [-4, 4] (Eigen's and
 * XLA's coefficients). With it GELU is within 4.0 u |x|. */
static inline float gelu(float v)
{
    float x = v * 0.70710678f;
    x = choose(x > 4.0f, 4.0f, x);
    x = choose(x < -4.0f, -4.0f, x);
    float s = x * x;
    float p = -2.72614225801306e-10f;
    p = p * s + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * s + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return 0.5f * v * (1.0f + x * p / q);
}

/* Computes exp of a value <= 0: n = round(x log2 e), a polynomial in the rest, n added to the
 * exponent. Within 1.1 ulp on [-87, 0]; below, exp(-87) = 1.6e-38. The sum with 1.5 * 2^23
 * leaves n in the low bits of the float. The payload of a NaN would be shifted into the exponent
 * too; the last line prevents that. */
static inline float exp_negative(float x)
{
    const float shift = 12582912.0f;
    x = choose(x < -87.0f, -87.0f, x);
    float t = x * 1.44269504f + shift;
    float n = t - shift;
    float r = x - n * 0.693359375f - n * -2.12194440e-4f;
    float q = 0.00139261771f;
    q = q * r + 0.00836317427f;
    q = q * r + 0.0416665561f;
    q = q * r + 0.166665778f;
    q = q * r + 0.5f;
    float e = 1.0f + (r + r * r * q);
    uint32_t bits, exponent;
    memcpy(&bits, &e, sizeof bits);
    memcpy(&exponent, &t, sizeof exponent);
    bits += exponent << 23;
    memcpy(&e, &bits, sizeof e);
    return choose(isnan(x), x, e);
}

/* Computes exp(-x) for x >= 0, and 0 below 1.6e-38, so that its product with any factor vanishes as
 * in the formulas below. */
static inline float decay(float x)
{
    return choose(x > 87.0f, 0.0f, exp_negative(-x));
}

/* Computes 1 / (1 + exp(-x)) without overflow or cancellation. */
static inline float sigmoid(float x)
{
    float e = decay(fabsf(x));
    return choose(x < 0, e, 1.0f) / (1.0f + e);
}

/* Uses 1 + tanh(u) = 2 sigmoid(2 u); the constants are sqrt(8 / pi) and that times 0.044715. Within
 * 2.6 u |x|. */
static inline float gelu_tanh(float v)
{
    return v * sigmoid(v * (1.5957691216f + 0.0713548162726f * (v * v)));
}

/* Within 2.3 u |x|. */
static inline float gelu_quick(float v)
{
    return v * sigmoid(1.702f * v);
}

/* An odd polynomial of degree 11 (interpolation of (tanh(x) / x - 1) / x^2 at Chebyshev nodes in
 * x^2) below 0.625, where (1 - e) / (1 + e) would cancel. Within 2.0 u |tanh x|. */
static inline float tanh_both(float v)
{
    float x = fabsf(v), s = v * v;
    float p = -0.00609671418f;
    p = p * s + 0.0209971797f;
    p = p * s + -0.0538509078f;
    p = p * s + 0.133327693f;
    p = p * s + -0.333333284f;
    float e = decay(2.0f * x);
    return choose(x < 0.625f, v + v * s * p, copysignf((1.0f - e) / (1.0f + e), v));
}

#endif
