/* Checks row "ref" against other definitions of the same results. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kern/kern.h"

/* Returns one output of PREPEND or PICK, found by its index. */
static float moved(const struct shape *s, const struct sm_kernel_args *a, size_t at)
{
    const struct sm_geometry *g = &s->g;
    size_t c = (size_t)g->c, column = at % c, row = at / c % g->h, image = at / c / g->h;
    size_t head = s->kernel == SM_KERNEL_PREPEND ? (size_t)g->rows : 0;
    if (row < head)
        return a->bias[row * c + column] +
               (a->residual ? a->residual[(image * head + row) * c + column] : 0);
    size_t from = image * g->h_in * g->w_in + g->skip + row - head;
    float x = a->x[from * c + column];
    bool adds = s->kernel == SM_KERNEL_PREPEND && a->weight;
    return adds ? x + a->weight[(row - head) * c + column] : x;
}

bool check_moved(const struct shape *s)
{
    struct sizes n = measure(s);
    float *x = make_x(s, n.x), *weight = buffer(n.weight, true), *bias = buffer(n.bias, true);
    float *residual = s->residual ? buffer(n.residual, true) : NULL;
    bool ok = true;
    for (size_t r = 0; ok && sm_kern_at(r); r++) {
        float *y = buffer(n.y, true);
        const struct sm_kernel_args a = {.x = x,
                                         .weight = s->no_weight ? NULL : weight,
                                         .bias = n.bias ? bias : NULL,
                                         .residual = residual,
                                         .y = y,
                                         .images = s->images};
        run(sm_kern_at(r), s, a);
        for (size_t i = 0; ok && i < n.y; i++) {
            float expected = moved(s, &a, i);
            ok = (isnan(expected) && isnan(y[i])) || !memcmp(&expected, &y[i], sizeof expected);
            if (!ok)
                printf("%s %s: output %zu is %.9g, by index %.9g\n", sm_kern_at(r)->name,
                       sm_kernel_name(s->kernel), i, (double)y[i], (double)expected);
        }
        free(y);
    }
    if (!ok)
        print_shape(s);
    free(x);
    free(weight);
    free(bias);
    free(residual);
    return ok;
}

/* Returns the weight with which a convolution in one group gives the same result as `weight` in
 * g->groups groups. */
static float *dense_weight(const float *weight, const struct sm_geometry *g)
{
    size_t taps = (size_t)g->k * g->k, c_in = (size_t)g->c_in, c = (size_t)g->c;
    size_t depth = c_in / g->groups, width = c / g->groups;
    float *out = buffer(taps * c_in * c, false);
    for (size_t i = 0; i < taps * c_in * c; i++) {
        size_t tap = i / c / c_in, channel = i / c % c_in, column = i % c;
        out[i] = channel / depth == column / width
                     ? weight[(tap * depth + channel % depth) * c + column]
                     : 0;
    }
    return out;
}

/* Checks that a convolution in groups equals one whose weight has zeros elsewhere, bit for bit. */
static bool check_dense(void)
{
    bool ok = true;
    for (int32_t i = 0; ok && i < 60; i++) {
        int32_t k = pick(1, 4), depth = pick(1, 4);
        struct shape s = grouped(pick(1, 3), k + pick(0, 5), k + pick(0, 5), pick(1, 6), depth,
                                 pick(1, 5), k, pick(1, 3), pick(0, 2));
        struct sizes n = measure(&s);
        float *x = buffer(n.x, true), *weight = buffer(n.weight, true);
        float *bias = buffer(n.bias, true), *dense = dense_weight(weight, &s.g);
        float *y = buffer(n.y, false), *expected = buffer(n.y, false);
        run(sm_kern_at(0), &s,
            (struct sm_kernel_args){.x = x, .weight = weight, .bias = bias, .y = y});
        s.g.groups = 1;
        run(sm_kern_at(0), &s,
            (struct sm_kernel_args){.x = x, .weight = dense, .bias = bias, .y = expected});
        ok = !memcmp(y, expected, n.y * sizeof *y);
        if (!ok)
            printf("ref: groups differ from a weight with zeros\n");
        free(x);
        free(weight);
        free(bias);
        free(dense);
        free(y);
        free(expected);
    }
    return ok;
}

static bool check_means(void)
{
    enum { SIDE = 9 };
    float x[2 * SIDE * SIDE], ones[49], zero[1] = {0}, mean[2 * SIDE * SIDE], sum[2 * SIDE * SIDE];
    bool ok = true;
    for (int i = 0; i < 49; i++)
        ones[i] = 1;
    for (int32_t k = 1; k <= 7; k++) {
        for (int32_t stride = 1; stride <= 4; stride++) {
            struct shape s = conv(2, SIDE, SIDE - 1, 1, 1, k, stride, 0, SM_ACT_NONE, false);
            for (size_t i = 0; i < measure(&s).x; i++)
                x[i] = draw();
            run(sm_kern_at(0), &s,
                (struct sm_kernel_args){.x = x, .weight = ones, .bias = zero, .y = sum});
            s.kernel = SM_KERNEL_AVGPOOL;
            run(sm_kern_at(0), &s, (struct sm_kernel_args){.x = x, .y = mean});
            for (size_t i = 0; i < measure(&s).y; i++)
                ok &= fabs((double)mean[i] - (double)sum[i] / (k * k)) <= 2 * ULP;
        }
    }
    if (!ok)
        printf("ref: avgpool is not a mean\n");
    return ok;
}

/* Checks rope on two rows of q, k and v with 4 numbers each; the first row is skipped. */
static bool check_known_rope(void)
{
    const float x[24] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
                         1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const float cosines[4] = {0.5f, 0.25f, 2, 1}, sines[4] = {1, 2, 0.5f, 4};
    const float expected[24] = {1,     2,     3,    4,  5,     6,      7,     8,  9, 10, 11, 12,
                                -2.5f, -7.5f, 6.5f, 12, -4.5f, -14.5f, 16.5f, 32, 9, 10, 11, 12};
    struct shape s = rope(1, 2, 4, 1, 1);
    bool ok = true;
    for (size_t r = 0; sm_kern_at(r); r++) {
        float y[24];
        run(sm_kern_at(r), &s,
            (struct sm_kernel_args){.x = x, .weight = cosines, .bias = sines, .y = y});
        ok &= !memcmp(y, expected, sizeof y);
    }
    if (!ok)
        printf("rope gives other numbers than by hand\n");
    return ok;
}

bool check_spec(void)
{
    bool ok = check_dense();
    ok &= check_means();
    ok &= check_known_rope();
    return ok;
}
