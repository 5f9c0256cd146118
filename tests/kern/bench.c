/* Prints milliseconds per call on shapes of real networks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/kern/kern.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A row that is prepared to run repeatedly on one shape. */
struct prepared {
    const struct sm_kern *row;
    float *packed, *scratch;
    double best;
};

static void bench_row(struct prepared *p, const struct shape *s, struct sm_kernel_args a)
{
    a.scratch = p->scratch;
    a.images = s->images;
    a.weight = p->packed ? p->packed : a.weight;
    double begin = seconds();
    p->row->op[s->kernel].run(&s->g, &a);
    p->best = fmin(p->best, seconds() - begin);
}

/* Prints the best of CALLS calls of each row, in alternation. Row "ref" is called once, because it
 * is written to be clear, not fast. */
static void bench(const char *title, struct shape s)
{
    enum { ROWS = 8, CALLS = 9 };
    struct prepared rows[ROWS];
    struct sizes n = measure(&s);
    float *x = buffer(n.x, true), *weight = buffer(n.weight, true), *bias = buffer(n.bias, true);
    float *residual = s.residual ? buffer(n.residual, true) : NULL, *y = buffer(n.y, false);
    const struct sm_kernel_args a = {
        .x = x, .weight = weight, .bias = bias, .residual = residual, .y = y};
    size_t count = 0;
    for (; count < ROWS && sm_kern_at(count); count++) {
        const struct sm_kern *row = sm_kern_at(count);
        size_t (*bytes)(const struct sm_geometry *) = row->op[s.kernel].scratch_bytes;
        rows[count] =
            (struct prepared){row, packed_weight(row, &s, weight),
                              buffer(bytes ? bytes(&s.g) / sizeof(float) : 0, true), INFINITY};
    }
    for (int i = 0; i < CALLS; i++)
        for (size_t r = i > 0; r < count; r++)
            bench_row(&rows[r], &s, a);
    printf("%-38s", title);
    for (size_t r = 0; r < count; r++) {
        printf("  %s %9.3f ms", rows[r].row->name, 1e3 * rows[r].best);
        free(rows[r].packed);
        free(rows[r].scratch);
    }
    printf("\n");
    free(x);
    free(weight);
    free(bias);
    free(residual);
    free(y);
}

void bench_all(void)
{
    struct shape fc1 = rows(SM_KERNEL_LINEAR, 10, 197, 384, 1536);
    struct shape gate = rows(SM_KERNEL_GATE, 10, 197, 2048, 1024);
    fc1.g.activation = SM_ACT_GELU;
    bench("conv 3x3 32x32x64, 10 images", conv(10, 32, 32, 64, 64, 3, 1, 1, SM_ACT_RELU, true));
    bench("conv 3x3 4x4x512, 10 images", conv(10, 4, 4, 512, 512, 3, 1, 1, SM_ACT_RELU, true));
    bench("conv 1x1 16x16x256, 10 images", conv(10, 16, 16, 256, 64, 1, 1, 0, SM_ACT_RELU, false));
    bench("conv 7x7 s2 224x224x3, 1 image", conv(1, 224, 224, 3, 64, 7, 2, 3, SM_ACT_RELU, false));
    bench("linear 197x384x1536 gelu, 10", fc1);
    fc1.g.activation = SM_ACT_GELU_TANH;
    bench("linear 197x384x1536 gelu tanh, 10", fc1);
    fc1.g.activation = SM_ACT_GELU_QUICK;
    bench("linear 197x384x1536 gelu quick, 10", fc1);
    fc1.g.activation = SM_ACT_TANH;
    bench("linear 197x384x1536 tanh, 10", fc1);
    fc1.g.activation = SM_ACT_RELU;
    bench("linear 197x384x1536 relu, 10", fc1);
    bench("grouped 3x3 28x28x256, 32 groups, 10", grouped(10, 28, 28, 32, 8, 8, 3, 1, 1));
    bench("grouped 3x3 28x28x128, 32 groups, 10", grouped(10, 28, 28, 32, 4, 4, 3, 1, 1));
    bench("depthwise 7x7 56x56x96, 10", grouped(10, 56, 56, 96, 1, 1, 7, 1, 3));
    bench("depthwise 7x7 7x7x768, 10", grouped(10, 7, 7, 768, 1, 1, 7, 1, 3));
    struct shape pool = conv(10, 112, 112, 64, 64, 3, 2, 1, SM_ACT_NONE, false);
    pool.kernel = SM_KERNEL_MAXPOOL;
    bench("maxpool 3x3 s2 112x112x64, 10", pool);
    bench("rope 197x384, 6 heads, 10", rope(10, 197, 384, 6, 5));
    bench("gate 197x(2*1024), 10", gate);
    bench("layernorm 197x384, 10", rows(SM_KERNEL_LAYERNORM, 10, 197, 384, 384));
    bench("attention 257x192, 3 heads, 10", attention(10, 257, 192, 3));
    bench("attention 197x384, 6 heads, 10", attention(10, 197, 384, 6));
    bench("attention 197x768, 12 heads, 10", attention(10, 197, 768, 12));
    bench("attention 1025x64, 1 head, 10", attention(10, 1025, 64, 1));
}
