/* Checks the functions that kernels approximate, over the whole range of floats. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kern/kern.h"

/* Applies a function to `count` inputs through the kernel that contains it. */
static void apply(const struct sm_kern *row, enum sm_kernel kernel, enum sm_activation activation,
                  const float *x, float *y, int32_t count)
{
    struct shape s = rows(kernel, 1, 1, kernel == SM_KERNEL_GATE ? 2 * count : 1, count);
    float *pairs = buffer(2 * (size_t)count, false), *bias = buffer((size_t)count, false);
    s.g.activation = activation;
    for (int32_t i = 0; i < count; i++) {
        pairs[i] = kernel == SM_KERNEL_GATE ? x[i] : 1;
        pairs[count + i] = 1;
        bias[i] = 0;
    }
    run(row, &s, (struct sm_kernel_args){.x = pairs, .weight = x, .bias = bias, .y = y});
    free(pairs);
    free(bias);
}

static const struct function {
    const char *name;
    enum sm_kernel kernel;
    enum sm_activation activation;
    bool relative;    /* unit of `bound` is u |y|, else u |x|; u = 2^-24 */
    double bound;     /* largest error of every row */
    double values[5]; /* exact values at 1, -2, 0.1, -7, -infinity */
} functions[] = {
    {"gelu",
     SM_KERNEL_LINEAR,
     SM_ACT_GELU,
     false,
     4.5,
     {0.841344746069, -0.0455002638964, 0.0539827837277, -8.95868802704e-12, NAN}},
    {"gelu tanh",
     SM_KERNEL_LINEAR,
     SM_ACT_GELU_TANH,
     false,
     3,
     {0.841191990608, -0.0454023059122, 0.0539827510454, -2.31544226207e-15, NAN}},
    {"gelu quick",
     SM_KERNEL_LINEAR,
     SM_ACT_GELU_QUICK,
     false,
     2.5,
     {0.845795765933, -0.0643413768558, 0.0542447580836, -4.68716966828e-5, NAN}},
    {"tanh",
     SM_KERNEL_LINEAR,
     SM_ACT_TANH,
     true,
     2.5,
     {0.761594155956, -0.964027580076, 0.099667994625, -0.999998336944, -1}},
    {"silu",
     SM_KERNEL_GATE,
     SM_ACT_NONE,
     true,
     4,
     {0.73105857863, -0.238405844044, 0.0524979187479, -0.0063773583608, NAN}},
};

/* Compares every row with values at a few points that are easy to check by hand. */
static bool check_known(void)
{
    const float x[] = {1, -2, 0.1f, -7, -INFINITY};
    bool ok = true;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        for (size_t r = 0; sm_kern_at(r); r++) {
            float y[5 + GUARD];
            apply(sm_kern_at(r), functions[f].kernel, functions[f].activation, x, y, 5);
            for (int i = 0; i < 5; i++) {
                double value = functions[f].values[i];
                if (close_to((double)y[i], value, 8 * ULP * fabs((double)x[i]), true))
                    continue;
                printf("%s %s(%g) is %.9g, must be %.9g\n", sm_kern_at(r)->name, functions[f].name,
                       (double)x[i], (double)y[i], value);
                ok = false;
            }
        }
    }
    return ok;
}

/* Returns the largest error, in u of the argument or of the value; *at receives its argument. */
static double worst_error(double *at, const struct function *f, const float *x, const float *y,
                          const float *ref, int count)
{
    double worst = 0;
    for (int i = 0; i < count; i++) {
        double exact = (double)ref[i], unit = f->relative ? exact : (double)x[i];
        if (close_to((double)y[i], exact, 2e-36, true))
            continue;
        double off = fabs((double)y[i] - exact) / (ULP * fabs(unit));
        if (off > worst || isnan(off)) {
            worst = isnan(off) ? INFINITY : off;
            *at = (double)x[i];
        }
    }
    return worst;
}

/* Checks each function of each row on 2^20 floats over their whole range, including NaN and
 * infinities. The upper 20 bits take every value, the lower 12 are scattered. */
static bool check_range(bool print)
{
    enum { COUNT = 1 << 20 };
    static float x[COUNT], ref[COUNT], y[COUNT];
    bool ok = true;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = i << 12 | (i * 2654435761u >> 20);
        memcpy(&x[i], &bits, sizeof bits);
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        const struct function *f = &functions[i];
        apply(sm_kern_at(0), f->kernel, f->activation, x, ref, COUNT);
        for (size_t r = 1; sm_kern_at(r); r++) {
            double at = 0, worst;
            apply(sm_kern_at(r), f->kernel, f->activation, x, y, COUNT);
            worst = worst_error(&at, f, x, y, ref, COUNT);
            if (print || worst > f->bound)
                printf("%s %s is off by %.2f u of its %s at %.9g, bound %g\n", sm_kern_at(r)->name,
                       f->name, worst, f->relative ? "value" : "argument", at, f->bound);
            ok &= worst <= f->bound;
        }
    }
    return ok;
}

/* Checks exp over its range, by an attention with two keys: the softmax of (x, 0) is
 * exp(x) / (1 + exp(x)). The bound of 4e-7, or 6.7 u, covers exp, sum, division and product. */
static bool check_exp(const struct sm_kern *row, bool print)
{
    const struct shape s = attention(1, 2, 1, 1);
    double worst = 0;
    for (int i = -10000; i <= 10000; i += 7) {
        const float x = (float)i * 0.02f, qkv[6] = {x, 0, 0, 0, 1, 1}; /* two keys, values 0, 1 */
        float exact[2], y[2];
        run(sm_kern_at(0), &s, (struct sm_kernel_args){.x = qkv, .y = exact});
        run(row, &s, (struct sm_kernel_args){.x = qkv, .y = y});
        double off = fabs((double)y[0] - (double)exact[0]) - 1e-30;
        worst = fmax(worst, off / (ULP * fabs((double)exact[0])));
        if (off <= 4e-7 * fabs((double)exact[0]))
            continue;
        printf("%s exp(%g): softmax %.9g, ref %.9g\n", row->name, (double)x, (double)y[0],
               (double)exact[0]);
        return false;
    }
    if (print)
        printf("%s softmax of two is off by %.2f u of its value, bound 6.7\n", row->name, worst);
    return true;
}

/* Checks exp in every row, and that attention keeps a NaN with any low bits a NaN. */
static bool check_softmax(bool print)
{
    const struct shape s = attention(1, 2, 1, 1);
    for (size_t r = 1; sm_kern_at(r); r++)
        if (!check_exp(sm_kern_at(r), print))
            return false;
    for (uint32_t low = 0; low < 1024; low++) {
        uint32_t bits = 0x7fc00000 | low;
        float qkv[6] = {1, 0.5f, 2, 1, 1, 3}, y[2];
        memcpy(&qkv[4], &bits, sizeof bits); /* the second key */
        for (size_t r = 0; sm_kern_at(r); r++) {
            run(sm_kern_at(r), &s, (struct sm_kernel_args){.x = qkv, .y = y});
            if (isnan(y[0]) && isnan(y[1]))
                continue;
            printf("%s attention loses NaN %08x\n", sm_kern_at(r)->name, (unsigned)bits);
            return false;
        }
    }
    return true;
}

bool check_functions(bool print)
{
    bool ok = check_known();
    ok &= check_softmax(print);
    ok &= check_range(print);
    return ok;
}
