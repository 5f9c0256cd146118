/* Every row of every kernel against row "ref", on random and hostile shapes; `--bench` times the
 * rows.
 *
 *     kern            compare, exit 1 when a row differs, writes a byte outside its output or
 * changes its inputs kern --bench    milliseconds per call on shapes of real networks
 *
 * Tolerance. A float sum of m terms differs from the exact one by at most about m u S, u = 2^-24
 * and S the sum of the terms' magnitudes (Higham, Accuracy and Stability, 3.1); blocked and
 * vectorised sums behave like sqrt(m) or better. So every case computes S beside each output (the
 * same kernel by row "ref" on |x|, |weight|, |bias|, |residual|) and allows 4 (8 + sqrt(m)) u S:
 * tight enough that a dropped term, a wrong padding or a wrong order fails at once. GELU is
 * Lipschitz (below 1.13) and its approximation within 2.4e-7 |x|, ReLU is Lipschitz: both stay
 * within the same form. Softmax weights carry the relative error of exp (1.1 ulp) and of their
 * scores, LayerNorm that of the mean: their S stands in the functions below. Kernels that only move
 * or add once must agree bit for bit. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/nn/kern.h"
#include "sslmem/encoder.h"

#define GUARD  64 /* floats after every output that must stay as they are */
#define CANARY 12345.25f
#define ULP    5.9604645e-8

struct shape {
    enum sm_kernel kernel;
    int32_t images;
    struct sm_geometry g; /* as graph.c would complete it */
    bool residual;
};

static uint32_t counter;

/* Uniform in [-1, 1). */
static float draw(void)
{
    uint32_t r[4];
    sm_philox(r, (uint32_t[2]){1, 2}, (uint32_t[4]){counter++, 0, 0, 0});
    return (float)(2 * sm_unit(r[0], r[1]) - 1);
}

static float *buffer(size_t count, bool random)
{
    float *out = aligned_alloc(64, (count + GUARD + 15) / 16 * 64);
    if (!out)
        abort();
    for (size_t i = 0; i < count; i++)
        out[i] = random ? draw() : CANARY;
    for (size_t i = count; i < count + GUARD; i++)
        out[i] = CANARY;
    return out;
}

static float *magnitudes(const float *x, size_t count)
{
    float *out = buffer(count, false);
    for (size_t i = 0; i < count; i++)
        out[i] = fabsf(x[i]);
    return out;
}

struct sizes {
    size_t x, weight, bias, y;
    double terms; /* in one output's sum */
};

static struct sizes measure(const struct shape *s)
{
    const struct sm_geometry *g = &s->g;
    size_t in = (size_t)g->h_in * g->w_in * g->c_in, out = (size_t)g->h * g->w * g->c;
    size_t weights[SM_KERNELS] = {
        [SM_KERNEL_CONV2D] = (size_t)g->k * g->k * g->c_in * g->c,
        [SM_KERNEL_LINEAR] = (size_t)g->c_in * g->c,
        [SM_KERNEL_LAYERNORM] = (size_t)g->c,
        [SM_KERNEL_EMBED] = (size_t)(g->h - 1) * g->c,
    };
    double terms[SM_KERNELS] = {
        [SM_KERNEL_CONV2D] = (double)g->k * g->k * g->c_in,
        [SM_KERNEL_LINEAR] = g->c_in,
        [SM_KERNEL_LAYERNORM] = g->c,
        [SM_KERNEL_ATTENTION] = g->h + g->c,
    };
    return (struct sizes){in * s->images, weights[s->kernel], (size_t)g->c, out * s->images,
                          terms[s->kernel]};
}

static void run(const struct sm_kern *row, const struct shape *s, struct sm_kernel_args a)
{
    size_t (*bytes)(const struct sm_geometry *) = row->op[s->kernel].scratch_bytes;
    size_t count = bytes ? bytes(&s->g) / sizeof(float) : 0;
    float *scratch = buffer(count, true);
    a.scratch = scratch;
    a.images = s->images;
    row->op[s->kernel].run(&s->g, &a);
    for (size_t i = 0; i < GUARD; i++) {
        if (scratch[count + i] != CANARY) {
            printf("%s %s wrote behind its scratch\n", row->name, sm_kernel_name(s->kernel));
            exit(1);
        }
    }
    free(scratch);
}

/* Normalised values, weighted, plus bias; and the mean's own error, (sum of |x|) / c, in units of
 * the deviation. */
static void layernorm_scales(double *out, const struct shape *s, const struct sizes *n,
                             const struct sm_kernel_args *a, const float *exact)
{
    size_t c = (size_t)s->g.c;
    for (size_t row = 0; row < n->y / c; row++) {
        double mean = 0, magnitude = 0, variance = 0;
        for (size_t i = 0; i < c; i++) {
            mean += (double)a->x[row * c + i] / s->g.c;
            magnitude += fabs((double)a->x[row * c + i]) / s->g.c;
        }
        for (size_t i = 0; i < c; i++)
            variance += pow((double)a->x[row * c + i] - mean, 2) / s->g.c;
        for (size_t i = 0; i < c; i++)
            out[row * c + i] = fabs((double)exact[row * c + i]) + 2 * fabs((double)a->bias[i]) +
                               fabs((double)a->weight[i]) * magnitude / sqrt(variance + s->g.eps);
    }
}

/* What each output's error is measured by: its sum of magnitudes. */
static void scales(double *out, const struct shape *s, const struct sizes *n,
                   const struct sm_kernel_args *a, const float *exact)
{
    struct shape plain = *s;
    plain.g.activation = SM_ACT_NONE;
    if (s->kernel == SM_KERNEL_LAYERNORM) {
        layernorm_scales(out, s, n, a, exact);
        return;
    }
    if (s->kernel != SM_KERNEL_CONV2D && s->kernel != SM_KERNEL_LINEAR) {
        /* Attention: outputs are means of v, |v| <= 1, and scores are at most sqrt(dim) in
         * magnitude, which exp turns into a relative error. The rest is exact. */
        for (size_t i = 0; i < n->y; i++)
            out[i] = s->kernel == SM_KERNEL_ATTENTION ? 1 + sqrt(s->g.c / s->g.heads) : 0;
        return;
    }
    float *x = magnitudes(a->x, n->x), *weight = magnitudes(a->weight, n->weight);
    float *bias = magnitudes(a->bias, n->bias), *y = buffer(n->y, false);
    float *residual = a->residual ? magnitudes(a->residual, n->y) : NULL;
    run(sm_kern_rows[0], &plain,
        (struct sm_kernel_args){
            .x = x, .weight = weight, .bias = bias, .residual = residual, .y = y});
    for (size_t i = 0; i < n->y; i++)
        out[i] = (double)y[i];
    free(x);
    free(weight);
    free(bias);
    free(y);
    free(residual);
}

static bool agrees(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                   const float *exact, const float *y, const double *scale)
{
    for (size_t i = 0; i < n->y; i++) {
        double allowed = 4 * (8 + sqrt(n->terms)) * ULP * scale[i];
        double difference = fabs((double)y[i] - (double)exact[i]);
        if (difference <= allowed)
            continue;
        printf("%s %s: output %zu is %.9g, ref %.9g, difference %.3g, allowed %.3g\n", row->name,
               sm_kernel_name(s->kernel), i, (double)y[i], (double)exact[i], difference, allowed);
        return false;
    }
    for (size_t i = n->y; i < n->y + GUARD; i++) {
        if (y[i] != CANARY) {
            printf("%s %s wrote behind its output\n", row->name, sm_kernel_name(s->kernel));
            return false;
        }
    }
    return true;
}

static bool check(const struct shape *s)
{
    struct sizes n = measure(s);
    float *x = buffer(n.x, true), *weight = buffer(n.weight, true), *bias = buffer(n.bias, true);
    float *residual = s->residual ? buffer(n.y, true) : NULL, *exact = buffer(n.y, false);
    double *scale = malloc(n.y * sizeof *scale);
    struct sm_kernel_args a = {
        .x = x, .weight = weight, .bias = bias, .residual = residual, .y = exact};
    bool ok = scale != NULL;
    for (size_t i = 0; s->kernel == SM_KERNEL_LAYERNORM && i < n.x; i++)
        x[i] += (float)s->g.skip; /* an offset: cancellation in the variance */
    run(sm_kern_rows[0], s, a);
    scales(scale, s, &n, &a, exact);
    ok = ok && agrees(sm_kern_rows[0], s, &n, exact, exact, scale); /* its guard, and no NaN */
    for (const struct sm_kern *const *row = sm_kern_rows + 1; ok && *row; row++) {
        float *y = buffer(n.y, false);
        float *again = buffer(n.y, true);
        memcpy(again + n.y, y + n.y, GUARD * sizeof *y);
        a.y = y;
        run(*row, s, a);
        ok = agrees(*row, s, &n, exact, y, scale);
        a.y = again;
        run(*row, s, a);
        if (ok && memcmp(y, again, n.y * sizeof *y) != 0) {
            printf("%s %s gives other bits the second time\n", (*row)->name,
                   sm_kernel_name(s->kernel));
            ok = false;
        }
        free(y);
        free(again);
    }
    if (!ok)
        printf("  at images %d, %dx%dx%d -> %dx%dx%d, k %d, stride %d, pad %d, heads %d\n",
               s->images, s->g.h_in, s->g.w_in, s->g.c_in, s->g.h, s->g.w, s->g.c, s->g.k,
               s->g.stride, s->g.pad, s->g.heads);
    free(x);
    free(weight);
    free(bias);
    free(residual);
    free(exact);
    free(scale);
    return ok;
}

static struct shape conv(int32_t images, int32_t h, int32_t w, int32_t c_in, int32_t c, int32_t k,
                         int32_t stride, int32_t pad, enum sm_activation act, bool residual)
{
    return (struct shape){.kernel = SM_KERNEL_CONV2D,
                          .images = images,
                          .g = {.h_in = h,
                                .w_in = w,
                                .c_in = c_in,
                                .h = (h + 2 * pad - k) / stride + 1,
                                .w = (w + 2 * pad - k) / stride + 1,
                                .c = c,
                                .k = k,
                                .stride = stride,
                                .pad = pad,
                                .activation = act},
                          .residual = residual};
}

static struct shape rows(enum sm_kernel kernel, int32_t images, int32_t h, int32_t c_in, int32_t c)
{
    return (struct shape){
        .kernel = kernel,
        .images = images,
        .g = {.h_in = h, .w_in = 1, .c_in = c_in, .h = h, .w = 1, .c = c, .eps = 1e-6}};
}

static struct shape attention(int32_t images, int32_t tokens, int32_t dim, int32_t heads)
{
    struct shape s = rows(SM_KERNEL_ATTENTION, images, tokens, 3 * dim, dim);
    s.g.heads = heads;
    return s;
}

static bool check_convs(void)
{
    static const int32_t windows[][3] = {{1, 1, 0}, {1, 2, 0}, {3, 1, 1}, {3, 2, 1}, {3, 1, 0},
                                         {5, 1, 2}, {7, 2, 3}, {4, 4, 0}, {3, 1, 2}};
    static const int32_t channels[] = {1, 3, 7, 17, 64, 65};
    bool ok = true;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0] * 36; i++) {
        const int32_t *w = windows[i / 36];
        int32_t c_in = channels[i / 6 % 6], c = channels[i % 6];
        int32_t n = 1 + (int32_t)(i % (c_in * c > 500 ? 2 : 16));
        int32_t h = w[0] + (int32_t)(i * 7 % 9), width = w[0] + (int32_t)(i * 5 % 11);
        struct shape s = conv(n, h, width, c_in, c, w[0], w[1], w[2], i % 3, i % 2);
        ok &= check(&s);
    }
    const struct shape hostile[] = {
        conv(1, 1, 1, 3, 5, 7, 2, 3, SM_ACT_RELU, false), /* the window is wider than the image */
        conv(3, 1, 1, 4, 4, 3, 1, 1, SM_ACT_RELU, true),  /* all padding but one */
        conv(2, 2, 1, 3, 2, 7, 1, 3, SM_ACT_NONE, false),
        conv(16, 31, 29, 3, 8, 3, 1, 1, SM_ACT_RELU, false), /* many blocks of rows */
        conv(2, 20, 20, 1, 1, 1, 1, 0, SM_ACT_NONE, true),
        conv(1, 9, 9, 256, 512, 3, 1, 1, SM_ACT_RELU, true), /* a deep sum */
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

static bool check_pools(void)
{
    bool ok = true;
    for (int32_t side = 1; side < 12; side++) {
        struct shape s =
            conv(1 + side % 4, side, side + 2, side, side, 3, 2, 1, SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_MAXPOOL;
        ok &= check(&s);
    }
    return ok;
}

static bool check_rows(void)
{
    static const int32_t sizes[] = {1, 3, 7, 16, 17, 64, 100, 385};
    bool ok = true;
    for (size_t i = 0; i < 8 * 8 * 2; i++) {
        int32_t a = sizes[i % 8], b = sizes[i / 8 % 8],
                n = 1 + (int32_t)(i % (a * b > 5000 ? 2 : 16));
        struct shape s = rows(SM_KERNEL_LINEAR, n, 1 + (int32_t)(i * 3 % 50), a, b);
        s.g.activation = i % 3;
        s.residual = i / 64;
        ok &= check(&s);
        s = rows(SM_KERNEL_LAYERNORM, n, b, a, a);
        s.g.skip = i / 64 ? 60 : 0;
        s.g.eps = i % 2 ? 1e-6 : 1e-5;
        ok &= check(&s);
    }
    /* big weights go through in one product */
    struct shape big = rows(SM_KERNEL_LINEAR, 3, 200, 768, 700);
    ok &= check(&big);
    return ok;
}

static bool check_tokens(void)
{
    static const int32_t tokens[] = {1, 2, 5, 17, 65, 197, 257, 300, 513};
    static const int32_t dims[][2] = {{1, 1}, {3, 3}, {24, 3}, {64, 1}, {21, 7}, {128, 2}};
    bool ok = true;
    for (size_t i = 0; i < 9 * 6; i++) {
        int32_t n = 1 + (int32_t)(i % 3), t = tokens[i % 9];
        struct shape s = attention(n, t, dims[i / 9][0], dims[i / 9][1]);
        ok &= check(&s);
        s = rows(SM_KERNEL_EMBED, n, t, s.g.c, s.g.c);
        s.g.h = t + 1;
        ok &= check(&s);
        s = rows(SM_KERNEL_MEAN, n, t, s.g.c, s.g.c);
        s.g.skip = t > 1;
        s.g.h = 1;
        ok &= check(&s);
        s.kernel = SM_KERNEL_PICK;
        s.g.skip = t / 2;
        ok &= check(&s);
        s = conv(n, t, 3, 3, 3, 1, 1, 0, SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_LAYOUT;
        ok &= check(&s);
    }
    return ok;
}

/* GELU and exp alone, over their whole range: a linear with weight 1 and an attention with two
 * keys. */
static bool check_ranges(void)
{
    enum { COUNT = 20001 };
    static float x[COUNT], zero[1], one[1] = {1}, y[2][COUNT];
    bool ok = true;
    struct shape s = rows(SM_KERNEL_LINEAR, 1, COUNT, 1, 1);
    s.g.activation = SM_ACT_GELU;
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(i - COUNT / 2) * 1e-3f;
    for (int r = 0; sm_kern_rows[r] && r < 2; r++)
        run(sm_kern_rows[r], &s,
            (struct sm_kernel_args){.x = x, .weight = one, .bias = zero, .y = y[r]});
    for (int i = 0; i < COUNT && ok; i++)
        ok = fabs((double)y[1][i] - (double)y[0][i]) <= 3e-7 * fabs((double)x[i]) + 1e-30;
    if (!ok)
        printf("gelu leaves 3e-7 |x|\n");
    s = attention(1, 2, 1, 1);
    for (int i = 0; i < COUNT && ok; i += 7) {
        const float qkv[6] = {x[i] * 20, 0, 0, 0, 1, 1}; /* two keys, values 0 and 1 */
        for (int r = 0; r < 2; r++)
            run(sm_kern_rows[r], &s, (struct sm_kernel_args){.x = qkv, .y = y[r]});
        ok = fabs((double)y[1][0] - (double)y[0][0]) <= 4e-7 * fabs((double)y[0][0]) + 1e-30;
        if (!ok)
            printf("exp(%g): softmax %.9g, ref %.9g\n", (double)qkv[0], (double)y[1][0],
                   (double)y[0][0]);
    }
    return ok;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of a few calls; ref gets one, it is slow by intention. */
static void bench(const char *title, struct shape s)
{
    struct sizes n = measure(&s);
    float *x = buffer(n.x, true), *weight = buffer(n.weight, true), *bias = buffer(n.bias, true);
    float *residual = s.residual ? buffer(n.y, true) : NULL, *y = buffer(n.y, false);
    const struct sm_kernel_args a = {
        .x = x, .weight = weight, .bias = bias, .residual = residual, .y = y};
    printf("%-34s", title);
    for (const struct sm_kern *const *row = sm_kern_rows; *row; row++) {
        double best = INFINITY;
        for (int i = 0; i < (row == sm_kern_rows ? 1 : 5); i++) {
            double begin = seconds();
            run(*row, &s, a);
            best = fmin(best, seconds() - begin);
        }
        printf("  %s %9.3f ms", (*row)->name, 1e3 * best);
    }
    printf("\n");
    free(x);
    free(weight);
    free(bias);
    free(residual);
    free(y);
}

static void bench_all(void)
{
    struct shape fc1 = rows(SM_KERNEL_LINEAR, 10, 197, 384, 1536);
    fc1.g.activation = SM_ACT_GELU;
    bench("conv 3x3 32x32x64, 10 images", conv(10, 32, 32, 64, 64, 3, 1, 1, SM_ACT_RELU, true));
    bench("conv 3x3 4x4x512, 10 images", conv(10, 4, 4, 512, 512, 3, 1, 1, SM_ACT_RELU, true));
    bench("conv 1x1 16x16x256, 10 images", conv(10, 16, 16, 256, 64, 1, 1, 0, SM_ACT_RELU, false));
    bench("conv 7x7 s2 224x224x3, 1 image", conv(1, 224, 224, 3, 64, 7, 2, 3, SM_ACT_RELU, false));
    bench("linear 197x384x1536 gelu, 10", fc1);
    bench("layernorm 197x384, 10", rows(SM_KERNEL_LAYERNORM, 10, 197, 384, 384));
    bench("attention 197x384, 6 heads, 10", attention(10, 197, 384, 6));
}

int main(int argc, char **argv)
{
    sm_blas_single_thread();
    if (argc == 2 && !strcmp(argv[1], "--bench")) {
        printf("%s\n", sm_blas_version());
        bench_all();
        return 0;
    }
    bool ok = check_convs();
    ok &= check_pools();
    ok &= check_rows();
    ok &= check_tokens();
    ok &= check_ranges();
    printf("kernels: %s\n", ok ? "all rows agree with ref" : "FAILED");
    return ok ? 0 : 1;
}
