/* Every row of every kernel against row "ref", on random and hostile shapes; `--bench` times the
 * rows, `--errors` prints what the approximations of functions are off by.
 *
 *     kern            compare, exit 1 when a row differs, writes a byte outside its output or
 *                     changes its inputs
 *     kern --bench    milliseconds per call on shapes of real networks
 *
 * Tolerance. A float sum of m terms differs from the exact one by at most about m u S, u = 2^-24
 * and S the sum of the terms' magnitudes (Higham, Accuracy and Stability, 3.1); blocked and
 * vectorised sums behave like sqrt(m) or better. So every case computes S beside each output (the
 * same kernel by row "ref" on |x|, |weight|, |bias|, |residual|) and allows 4 (8 + sqrt(m)) u S:
 * tight enough that a dropped term, a wrong padding or a wrong order fails at once. Every
 * activation is Lipschitz (below 1.13) and approximated within a few u of its argument: all stay
 * within the same form. Softmax weights carry the relative error of exp (1.1 ulp) and of their
 * scores, LayerNorm that of the mean: their S stands in the functions below. Kernels that only move
 * or add once must agree bit for bit.
 *
 * Winograd's convolutions add up other magnitudes, those of their transforms: winograd_scales.
 *
 * Special values. Where ref gives NaN a row gives NaN, where it gives an infinity the same one;
 * Winograd may give a NaN for it, and spread it over the tile.
 *
 * The specification itself. Shared code cannot disagree with itself, so what ref does is checked
 * against other statements of the same thing: convolution in groups against one with a weight of
 * mostly zeros, pooling against a convolution, moves against indices, functions against values
 * known to 10 digits. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/rng.h"
#include "core/nn/kern.h"
#include "sslmem/encoder.h"

#define GUARD    64 /* floats after every output that must stay as they are */
#define CANARY   12345.25f
#define ULP      5.9604645e-8
#define DENORMAL 1.5e-45 /* what a product loses at most when it underflows */

struct shape {
    enum sm_kernel kernel;
    int32_t images;
    struct sm_geometry g; /* as graph.c would complete it */
    bool residual;
    bool no_weight;  /* PREPEND: nothing to add */
    bool special;    /* some inputs are NaN or infinite */
    float magnitude; /* of x; 0 is 1 */
};

static uint32_t counter;

/* Uniform in [-1, 1). */
static float draw(void)
{
    uint32_t r[4];
    sm_philox(r, (uint32_t[2]){1, 2}, (uint32_t[4]){counter++, 0, 0, 0});
    return (float)(2 * sm_unit(r[0], r[1]) - 1);
}

/* Uniform among first .. last. */
static int32_t pick(int32_t first, int32_t last)
{
    return first + (int32_t)(0.5f * (draw() + 1) * (float)(last - first + 1)) % (last - first + 1);
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

/* Random, without guard: AddressSanitizer sees a read behind it. */
static float *input(size_t count)
{
    float *out = malloc(count ? count * sizeof *out : 1);
    if (!out)
        abort();
    for (size_t i = 0; i < count; i++)
        out[i] = draw();
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
    size_t x, weight, bias, residual, y;
    double terms; /* in one output's sum */
};

static struct sizes measure(const struct shape *s)
{
    const struct sm_geometry *g = &s->g;
    size_t in = (size_t)g->h_in * g->w_in * g->c_in, out = (size_t)g->h * g->w * g->c;
    struct sizes n = {in * s->images, 0, (size_t)g->c, out * s->images, out * s->images, 0};
    switch (s->kernel) {
    case SM_KERNEL_CONV2D:
        n.terms = (double)g->k * g->k * g->c_in / g->groups;
        n.weight = (size_t)n.terms * g->c;
        break;
    case SM_KERNEL_LINEAR:
        n.terms = g->c_in;
        n.weight = (size_t)g->c_in * g->c;
        break;
    case SM_KERNEL_AVGPOOL:
        n.terms = (double)g->k * g->k;
        break;
    case SM_KERNEL_LAYERNORM:
        n.terms = g->c;
        n.weight = (size_t)g->c;
        break;
    case SM_KERNEL_ATTENTION:
        n.terms = g->h + g->c;
        break;
    case SM_KERNEL_ROPE:
        n.weight = n.bias = (size_t)(g->h - g->skip) * (g->c_in / 3 / g->heads);
        break;
    case SM_KERNEL_PREPEND:
        n.weight = s->no_weight ? 0 : (size_t)(g->h - g->rows) * g->c;
        n.bias = (size_t)g->rows * g->c;
        n.residual = n.bias * s->images;
        break;
    default:
        break;
    }
    return n;
}

/* NULL where the row takes weights as they are. What lies behind them must not be written. */
static float *packed_weight(const struct sm_kern *row, const struct shape *s, const float *weight)
{
    if (!row->op[s->kernel].packed_floats)
        return NULL;
    size_t count = row->op[s->kernel].packed_floats(&s->g);
    float *packed = buffer(count, true);
    row->op[s->kernel].pack(packed, weight, &s->g);
    for (size_t i = 0; i < GUARD; i++) {
        if (packed[count + i] != CANARY) {
            printf("%s %s packs too much\n", row->name, sm_kernel_name(s->kernel));
            exit(1);
        }
    }
    return packed;
}

static void run(const struct sm_kern *row, const struct shape *s, struct sm_kernel_args a)
{
    size_t (*bytes)(const struct sm_geometry *) = row->op[s->kernel].scratch_bytes;
    size_t count = bytes ? bytes(&s->g) / sizeof(float) : 0;
    float *scratch = buffer(count, true);
    float *packed = packed_weight(row, s, a.weight);
    a.scratch = scratch;
    a.images = s->images;
    a.weight = packed ? packed : a.weight;
    row->op[s->kernel].run(&s->g, &a);
    free(packed);
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

/* |x cos| + |rot(x) sin| of the rotated values; the rest is copied. */
static void rope_scales(double *out, const struct shape *s, const struct sizes *n,
                        const struct sm_kernel_args *a)
{
    size_t width = (size_t)s->g.c_in, dim = width / 3 / s->g.heads;
    for (size_t i = 0; i < n->y; i++) {
        size_t row = i / width % s->g.h, column = i % width, d = column % dim;
        out[i] = 0;
        if (row < (size_t)s->g.skip || column >= width / 3 * 2)
            continue;
        size_t at = (row - s->g.skip) * dim + d, other = i - d + (d + dim / 2) % dim;
        out[i] = fabs((double)a->x[i] * (double)a->weight[at]) +
                 fabs((double)a->x[other] * (double)a->bias[at]);
    }
}

/* What row "ref" gives for magnitudes, without activation. */
static void magnitude_scales(double *out, const struct shape *s, const struct sizes *n,
                             const struct sm_kernel_args *a)
{
    struct shape plain = *s;
    plain.g.activation = SM_ACT_NONE;
    float *x = magnitudes(a->x, n->x), *weight = magnitudes(a->weight, n->weight);
    float *bias = magnitudes(a->bias, n->bias), *y = buffer(n->y, false);
    float *residual = a->residual ? magnitudes(a->residual, n->y) : NULL;
    run(sm_kern_at(0), &plain,
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

/* One dimension of Winograd's transforms over the points 0, ±1 (±5/8, ±3/2) and infinity, and what
 * the magnitudes of a transform add up to: A^T [(G g) * (B^T d)], see simd_winograd.h. */
struct winograd {
    int outputs;
    double g[6][3], b[6][6], a[4][6];
};

static struct winograd winograd_of(int outputs)
{
    static const double points[2][5] = {{0, 1, -1}, {0, 0.625, -0.625, 1.5, -1.5}};
    struct winograd w = {.outputs = outputs};
    const double *x = points[outputs == 4];
    double all[7] = {1}; /* product of (t - x_j) over the points, ascending */
    for (int i = 0; i <= outputs; i++) {
        double some[7] = {1}, under = 1;
        for (int j = 0, degree = 0; j <= outputs; j++) {
            for (int k = degree + 1; j != i && k >= 0; k--)
                some[k] = (k ? some[k - 1] : 0) - x[j] * some[k];
            degree += j != i;
            under *= j != i ? x[i] - x[j] : 1;
        }
        for (int k = 0; k < 3; k++)
            w.g[i][k] = fabs(pow(x[i], k) / under);
        for (int k = 0; k <= outputs; k++)
            w.b[i][k] = fabs(some[k]);
        for (int k = 0; k < outputs; k++)
            w.a[k][i] = fabs(pow(x[i], k));
        for (int k = i + 1; k >= 0; k--)
            all[k] = (k ? all[k - 1] : 0) - x[i] * all[k];
    }
    for (int k = 0; k <= outputs + 1; k++)
        w.b[outputs + 1][k] = fabs(all[k]);
    w.g[outputs + 1][2] = w.a[outputs - 1][outputs + 1] = 1;
    return w;
}

/* |B^T| |d| |B| of channel `channel` of the tile at (top, left), element (i, j). */
static double winograd_input(const struct winograd *w, const struct sm_geometry *g,
                             const float *image, int32_t top, int32_t left, int32_t channel, int i,
                             int j)
{
    double sum = 0;
    for (int y = 0; y < w->outputs + 2; y++) {
        for (int x = 0; x < w->outputs + 2; x++) {
            int32_t iy = top + y, ix = left + x;
            if (iy >= 0 && iy < g->h_in && ix >= 0 && ix < g->w_in && w->b[i][y] * w->b[j][x] > 0)
                sum += w->b[i][y] * w->b[j][x] *
                       fabs((double)image[((size_t)iy * g->w_in + ix) * g->c_in + channel]);
        }
    }
    return sum;
}

/* Adds element (i, j) of a tile to the scales of its outputs. */
static void winograd_tile(double *out, const struct winograd *w, const struct sm_geometry *g,
                          const float *image, const float *weight, int32_t oy, int32_t ox, int at)
{
    int i = at / (w->outputs + 2), j = at % (w->outputs + 2);
    for (int32_t channel = 0; channel < g->c_in; channel++) {
        double d = winograd_input(w, g, image, oy - g->pad, ox - g->pad, channel, i, j);
        for (int32_t c = 0; c < g->c; c++) {
            double taps = 0;
            for (int t = 0; t < 9; t++)
                taps += w->g[i][t / 3] * w->g[j][t % 3] *
                        fabs((double)weight[((size_t)t * g->c_in + channel) * g->c + c]);
            for (int y = 0; y < w->outputs && oy + y < g->h; y++)
                for (int x = 0; x < w->outputs && ox + x < g->w; x++)
                    if (w->a[y][i] * w->a[x][j] > 0)
                        out[(((size_t)oy + y) * g->w + ox + x) * g->c + c] +=
                            w->a[y][i] * w->a[x][j] * taps * d;
        }
    }
}

/* What Winograd really adds up: every number of A^T [(G g G^T) * (B^T d B)] A is a sum, and its
 * magnitudes are those of the three matrices, of the weights and of the whole tile. In these the
 * bound is the one of any sum; what is beyond the window's own magnitudes is the price of F(4x4). A
 * non-finite input makes the scale of all outputs of its tile infinite or NaN. */
static void winograd_scales(double *out, const struct shape *s, const struct sizes *n,
                            const struct sm_kernel_args *a, int outputs)
{
    const struct sm_geometry *g = &s->g;
    const struct winograd w = winograd_of(outputs);
    size_t image = (size_t)g->h_in * g->w_in * g->c_in, result = (size_t)g->h * g->w * g->c;
    for (size_t i = 0; i < n->y; i++)
        out[i] = fabs((double)a->bias[i % g->c]) + (a->residual ? fabs((double)a->residual[i]) : 0);
    for (int32_t p = 0; p < s->images; p++)
        for (int32_t y = 0; y < g->h; y += outputs)
            for (int32_t x = 0; x < g->w; x += outputs)
                for (int at = 0; at < (outputs + 2) * (outputs + 2); at++)
                    winograd_tile(out + p * result, &w, g, a->x + p * image, a->weight, y, x, at);
}

/* Outputs of a tile's side, 0: directly. */
static int by_winograd(const struct sm_kern *row, const struct shape *s)
{
    const char *(*algorithm)(const struct sm_geometry *) = row->op[s->kernel].algorithm;
    int side = 0;
    return algorithm && sscanf(algorithm(&s->g), "winograd-%dx", &side) == 1 ? side : 0;
}

/* What each output's error is measured by: its sum of magnitudes. */
static void scales(double *out, const struct shape *s, const struct sizes *n,
                   const struct sm_kernel_args *a, const float *exact)
{
    switch (s->kernel) {
    case SM_KERNEL_CONV2D:
    case SM_KERNEL_LINEAR:
    case SM_KERNEL_AVGPOOL:
        magnitude_scales(out, s, n, a);
        return;
    case SM_KERNEL_LAYERNORM:
        layernorm_scales(out, s, n, a, exact);
        return;
    case SM_KERNEL_ROPE:
        rope_scales(out, s, n, a);
        return;
    case SM_KERNEL_GATE: /* relative, until silu(a) vanishes below some 1e-36 */
        for (size_t i = 0; i < n->y; i++) {
            size_t c = (size_t)s->g.c, b = i / c * 2 * c + c + i % c;
            out[i] = fabs((double)exact[i]) + 1e-30 * fabs((double)a->x[b]);
        }
        return;
    default:
        /* Attention: outputs are means of v, |v| <= 1, and scores are at most sqrt(dim) in
         * magnitude, which exp turns into a relative error. The rest is exact. */
        for (size_t i = 0; i < n->y; i++)
            out[i] = s->kernel == SM_KERNEL_ATTENTION ? 1 + sqrt(s->g.c / s->g.heads) : 0;
    }
}

/* NaN for NaN, the same infinity for an infinity, else within `allowed`, which is nothing where an
 * infinity went into the sum. */
static bool close_to(double y, double exact, double allowed, bool special)
{
    if (special && (!isfinite(exact) || !isfinite(allowed)))
        return isnan(exact) ? isnan(y) : y == exact;
    return fabs(y - exact) <= allowed;
}

static bool agrees(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                   const float *exact, const float *y, const double *scale)
{
    for (size_t i = 0; i < n->y; i++) {
        double allowed = 4 * (8 + sqrt(n->terms)) * ULP * scale[i];
        if (allowed > 0)
            allowed += (2 + n->terms) * DENORMAL;
        if (close_to((double)y[i], (double)exact[i], allowed, s->special))
            continue;
        if (s->special && !isfinite(scale[i]) && by_winograd(row, s) && !isfinite(y[i]))
            continue; /* spread over the tile */
        printf("%s %s: output %zu is %.9g, ref %.9g, difference %.3g, allowed %.3g\n", row->name,
               sm_kernel_name(s->kernel), i, (double)y[i], (double)exact[i],
               fabs((double)y[i] - (double)exact[i]), allowed);
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

static void print_shape(const struct shape *s)
{
    const struct sm_geometry *g = &s->g;
    printf("  at images %d, %dx%dx%d -> %dx%dx%d, k %d, stride %d, pad %d, groups %d, heads %d, "
           "skip %d, rows %d, activation %d%s%s%s\n",
           s->images, g->h_in, g->w_in, g->c_in, g->h, g->w, g->c, g->k, g->stride, g->pad,
           g->groups, g->heads, g->skip, g->rows, g->activation, s->residual ? ", residual" : "",
           s->no_weight ? ", no weight" : "", s->special ? ", special" : "");
}

/* A NaN with a payload is worth a place: its low bits must not leak into a number. */
static void make_special(float *x, size_t count)
{
    const float values[] = {NAN,   nanf("0x1ff"), INFINITY, -INFINITY, 0.0f,
                            -0.0f, 1e-40f,        -1e-40f,  3e4f,      -3e4f};
    for (size_t i = 0; i < count; i++)
        if (pick(0, 15) == 0)
            x[i] = values[pick(0, sizeof values / sizeof values[0] - 1)];
}

static float *make_x(const struct shape *s, size_t count)
{
    float *x = input(count);
    for (size_t i = 0; i < count && s->magnitude > 0; i++)
        x[i] *= s->magnitude;
    for (size_t i = 0; i < count && s->kernel == SM_KERNEL_LAYERNORM; i++)
        x[i] += (float)s->g.skip; /* an offset: cancellation in the variance */
    if (s->special)
        make_special(x, count);
    return x;
}

/* Winograd's bound is one for the worst case, some 100 times what random numbers give. These must
 * hold the bound of direct sums too, in the root of the mean of squares over all outputs. */
static bool agrees_in_mean(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                           const float *exact, const float *y, const double *scale)
{
    double errors = 0, scales = 0;
    for (size_t i = 0; i < n->y; i++) {
        errors += pow((double)y[i] - (double)exact[i], 2);
        scales += pow(scale[i], 2);
    }
    double allowed = 4 * (8 + sqrt(n->terms)) * ULP * sqrt(scales);
    if (s->special || errors <= allowed * allowed)
        return true;
    printf("%s %s is off by %.3g in the mean, allowed %.3g\n", row->name, sm_kernel_name(s->kernel),
           sqrt(errors / (double)n->y), allowed / sqrt((double)n->y));
    return false;
}

/* Twice, over different leftovers: the result is the same, bit for bit, and inputs stay. */
static bool check_row(const struct sm_kern *row, const struct shape *s, const struct sizes *n,
                      struct sm_kernel_args a, const float *exact, const double *scale,
                      const double *direct)
{
    float *x = input(n->x), *y = buffer(n->y, false), *again = buffer(n->y, true);
    memcpy(x, a.x, n->x * sizeof *x);
    a.y = y;
    run(row, s, a);
    bool ok = agrees(row, s, n, exact, y, scale) &&
              (scale == direct || agrees_in_mean(row, s, n, exact, y, direct));
    a.y = again;
    run(row, s, a);
    if (ok && memcmp(y, again, (n->y + GUARD) * sizeof *y) != 0) {
        printf("%s %s gives other bits the second time\n", row->name, sm_kernel_name(s->kernel));
        ok = false;
    }
    if (ok && memcmp(x, a.x, n->x * sizeof *x) != 0) {
        printf("%s %s changes its input\n", row->name, sm_kernel_name(s->kernel));
        ok = false;
    }
    free(x);
    free(y);
    free(again);
    return ok;
}

static bool check(const struct shape *s)
{
    struct sizes n = measure(s);
    float *x = make_x(s, n.x), *weight = input(n.weight), *bias = input(n.bias);
    float *residual = s->residual ? input(n.residual) : NULL, *exact = buffer(n.y, false);
    double *scale = malloc(n.y * sizeof *scale);
    const struct sm_kernel_args a = {.x = x,
                                     .weight = s->no_weight ? NULL : weight,
                                     .bias = bias,
                                     .residual = residual,
                                     .y = exact};
    bool ok = scale != NULL;
    run(sm_kern_at(0), s, a);
    scales(scale, s, &n, &a, exact);
    ok = ok && agrees(sm_kern_at(0), s, &n, exact, exact, scale); /* its guard, and no NaN */
    double *tiles = malloc(n.y * sizeof *tiles);
    for (size_t r = 1, known = 0; ok && sm_kern_at(r); r++) {
        size_t side = (size_t)by_winograd(sm_kern_at(r), s);
        if (side && side != known)
            winograd_scales(tiles, s, &n, &a, (int)(known = side));
        ok = check_row(sm_kern_at(r), s, &n, a, exact, side ? tiles : scale, scale);
    }
    free(tiles);
    if (!ok)
        print_shape(s);
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
                                .groups = 1,
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
        struct shape s =
            conv(n, h, width, c_in, c, w[0], w[1], w[2], (enum sm_activation)(i % 6), i % 2);
        s.special = i % 7 == 0;
        ok &= check(&s);
    }
    const struct shape hostile[] = {
        conv(1, 1, 1, 3, 5, 7, 2, 3, SM_ACT_RELU, false), /* the window is wider than the image */
        conv(3, 1, 1, 4, 4, 3, 1, 1, SM_ACT_RELU, true),  /* all padding but one */
        conv(2, 2, 1, 3, 2, 7, 1, 3, SM_ACT_NONE, false),
        conv(16, 31, 29, 3, 8, 3, 1, 1, SM_ACT_RELU, false), /* many blocks of rows */
        conv(2, 20, 20, 1, 1, 1, 1, 0, SM_ACT_NONE, true),
        conv(1, 9, 9, 256, 512, 3, 1, 1, SM_ACT_RELU, true), /* a deep sum */
        conv(2, 6, 5, 300, 24, 3, 1, 1, SM_ACT_GELU, true),  /* and deeper than a block of it */
        conv(2, 3, 4, 520, 70, 3, 1, 1, SM_ACT_RELU, false),
        conv(1, 5, 6, 300, 33, 3, 2, 1, SM_ACT_NONE, true),
        conv(9, 13, 11, 70, 40, 3, 1, 1, SM_ACT_NONE, true), /* many blocks of tiles */
        conv(1, 7, 9, 24, 24, 3, 1, 0, SM_ACT_TANH, false),
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

/* Channels in `groups`: `depth` in and `width` out of each. */
static struct shape grouped(int32_t images, int32_t h, int32_t w, int32_t groups, int32_t depth,
                            int32_t width, int32_t k, int32_t stride, int32_t pad)
{
    struct shape s =
        conv(images, h, w, groups * depth, groups * width, k, stride, pad, SM_ACT_NONE, false);
    s.g.groups = groups;
    return s;
}

static bool check_groups(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 600; i++) {
        int32_t k = pick(1, 7), pad = pick(0, 3), side = k > 2 * pad ? k - 2 * pad : 1;
        int32_t groups = pick(1, i % 8 ? 8 : 40), depth = i % 3 ? pick(1, 9) : 1;
        int32_t width = i % 2 ? depth : pick(1, i % 16 ? 9 : 70);
        struct shape s = grouped(pick(1, 4), side + pick(0, 8), side + pick(0, 8), groups, depth,
                                 width, k, pick(1, 4), pad);
        s.g.activation = (enum sm_activation)pick(SM_ACT_NONE, SM_ACT_TANH);
        s.residual = pick(0, 1);
        s.special = i % 5 == 0;
        ok &= check(&s);
    }
    const struct shape hostile[] = {
        grouped(1, 1, 1, 2, 1, 1, 7, 4, 3),   grouped(5, 1, 33, 96, 1, 1, 7, 1, 3),
        grouped(2, 23, 1, 65, 1, 1, 3, 2, 1), grouped(3, 21, 19, 8, 4, 4, 3, 1, 1), /* blocks */
        grouped(2, 5, 6, 33, 1, 3, 5, 1, 2),  grouped(1, 6, 5, 2, 1, 40, 3, 1, 1),
        grouped(2, 9, 7, 3, 5, 2, 1, 1, 0), /* pointwise, in groups */
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

/* The bits of an image are those that it has alone: they depend neither on how many there are nor
 * on the rows that share a tile. Of the packed rows this is promised, and what batches rely on. */
static bool check_alone(void)
{
    const struct shape shapes[] = {
        conv(7, 9, 9, 20, 70, 3, 1, 1, SM_ACT_RELU, true),
        conv(7, 4, 4, 300, 40, 3, 1, 1, SM_ACT_NONE, true),
        conv(5, 11, 9, 40, 66, 3, 2, 1, SM_ACT_GELU, false),
        conv(5, 13, 13, 3, 33, 7, 2, 3, SM_ACT_RELU, false),
        conv(7, 5, 5, 600, 70, 1, 1, 0, SM_ACT_RELU, true),
        attention(5, 33, 96, 2),
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shape all = shapes[i], one = shapes[i];
        struct sizes n = measure(&all);
        size_t x_size = n.x / all.images, y_size = n.y / all.images;
        float *x = buffer(n.x, true), *weight = buffer(n.weight, true),
              *bias = buffer(n.bias, true);
        float *residual = all.residual ? buffer(n.residual, true) : NULL;
        float *y = buffer(n.y, false), *alone = buffer(y_size, false);
        one.images = 1;
        for (size_t r = 2; sm_kern_at(r); r++) {
            struct sm_kernel_args a = {
                .x = x, .weight = weight, .bias = bias, .residual = residual, .y = y};
            run(sm_kern_at(r), &all, a);
            a.y = alone;
            for (int32_t p = 0; p < all.images; p++, a.x += x_size) {
                run(sm_kern_at(r), &one, a);
                a.residual = a.residual ? a.residual + y_size : NULL;
                if (!memcmp(alone, y + p * y_size, y_size * sizeof *y))
                    continue;
                printf("%s: image %d has other bits alone\n", sm_kern_at(r)->name, (int)p);
                print_shape(&all);
                ok = false;
            }
        }
        free(x);
        free(weight);
        free(bias);
        free(residual);
        free(y);
        free(alone);
    }
    return ok;
}

/* The rule that decides a convolution's algorithm, and with it its bits. */
static bool check_algorithms(void)
{
    const struct {
        struct shape s;
        const char *expected;
    } cases[] = {
        {conv(1, 32, 32, 64, 64, 3, 1, 1, SM_ACT_RELU, false), "winograd-4x4"},
        {conv(1, 5, 5, 8, 8, 3, 1, 1, SM_ACT_RELU, false), "winograd-4x4"},
        {conv(1, 4, 5, 8, 8, 3, 1, 1, SM_ACT_RELU, false), "winograd-2x2"},
        {conv(1, 2, 2, 512, 512, 3, 1, 1, SM_ACT_RELU, false), "winograd-2x2"},
        {conv(1, 1, 9, 64, 64, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 7, 64, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 7, 3, 1, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 64, 3, 2, 1, SM_ACT_RELU, false), "direct"},
        {conv(1, 32, 32, 64, 64, 5, 1, 2, SM_ACT_RELU, false), "direct"},
        {grouped(1, 32, 32, 2, 32, 32, 3, 1, 1), "direct"},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t r = 2; sm_kern_at(r); r++) {
            const char *name = sm_kern_at(r)->op[SM_KERNEL_CONV2D].algorithm(&cases[i].s.g);
            if (!strcmp(name, cases[i].expected))
                continue;
            printf("%s goes by %s, must be %s\n", sm_kern_at(r)->name, name, cases[i].expected);
            print_shape(&cases[i].s);
            ok = false;
        }
    }
    return ok;
}

static bool check_avgpools(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t k = pick(1, 7), c = pick(1, 70);
        struct shape s = conv(pick(1, 5), k + pick(0, 9), k + pick(0, 9), c, c, k, pick(1, 4), 0,
                              SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_AVGPOOL;
        s.special = i % 4 == 0;
        ok &= check(&s);
    }
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
        s.special = true;
        s.g.c = s.g.c_in = side + 15;
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
        s.g.activation = (enum sm_activation)(i % 6);
        s.residual = i / 64;
        s.special = i % 5 == 0;
        s.magnitude = i % 4 ? 0 : 20;
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
    static const int32_t dims[][2] = {{1, 1},   {3, 3},   {24, 3}, {64, 1}, {21, 7},
                                      {128, 2}, {96, 3},  {96, 2}, {72, 1}, {160, 2},
                                      {88, 1},  {128, 1}, {67, 1}};
    bool ok = true;
    for (size_t i = 0; i < 9 * sizeof dims / sizeof dims[0]; i++) {
        int32_t n = 1 + (int32_t)(i % 3), t = tokens[i % 9];
        struct shape s = attention(n, t, dims[i / 9][0], dims[i / 9][1]);
        ok &= check(&s);
        s = rows(SM_KERNEL_MEAN, n, t, s.g.c, s.g.c);
        s.g.skip = t > 1;
        s.g.h = 1;
        ok &= check(&s);
        s = conv(n, t, 3, 3, 3, 1, 1, 0, SM_ACT_NONE, false);
        s.kernel = SM_KERNEL_LAYOUT;
        ok &= check(&s);
    }
    const struct shape hostile[] = {attention(1, 1025, 64, 1), attention(2, 50, 140, 2),
                                    attention(1, 259, 300, 1)};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ok &= check(&hostile[i]);
    return ok;
}

static struct shape rope(int32_t images, int32_t tokens, int32_t dim, int32_t heads, int32_t skip)
{
    struct shape s = rows(SM_KERNEL_ROPE, images, tokens, 3 * dim, 3 * dim);
    s.g.heads = heads;
    s.g.skip = skip;
    return s;
}

static bool check_ropes(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 150; i++) {
        int32_t heads = pick(1, 7), dim = i % 5 ? 2 * pick(1, 20) : pick(1, 9), t = pick(1, 30);
        struct shape s = rope(pick(1, 5), t, heads * dim, heads, i % 4 ? pick(0, t) : 0);
        s.special = i % 6 == 0;
        ok &= check(&s);
    }
    return ok;
}

static bool check_gates(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t c = pick(1, i % 9 ? 70 : 700);
        struct shape s = rows(SM_KERNEL_GATE, pick(1, 5), pick(1, 20), 2 * c, c);
        s.magnitude = i % 3 ? 8 : 150;
        s.special = i % 3 == 1; /* not with small silu(a) times infinity: the row has 0 times it */
        ok &= check(&s);
    }
    return ok;
}

/* One output of PREPEND or PICK, by index. */
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

/* Every row against indices: bits, but for a NaN's. */
static bool check_moved(const struct shape *s)
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

static bool check_prepends(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 200; i++) {
        int32_t tokens = pick(1, 20), c = pick(1, 40);
        struct shape s = rows(SM_KERNEL_PREPEND, pick(1, 4), tokens, c, c);
        s.g.w_in = i % 3 ? 1 : pick(1, 5); /* a map */
        s.g.skip = i % 2 ? pick(0, tokens * s.g.w_in - 1) : 0;
        s.g.rows = pick(0, 5);
        s.g.h = tokens * s.g.w_in - s.g.skip + s.g.rows;
        s.residual = pick(0, 1) && s.g.rows;
        s.no_weight = pick(0, 1);
        s.special = i % 5 == 0;
        ok &= check(&s) && check_moved(&s);
    }
    return ok;
}

static bool check_picks(void)
{
    bool ok = true;
    for (int32_t i = 0; i < 100; i++) {
        int32_t tokens = pick(1, 20), c = pick(1, 40);
        struct shape s = rows(SM_KERNEL_PICK, pick(1, 4), tokens, c, c);
        s.g.w_in = i % 3 ? 1 : pick(1, 5);
        s.g.skip = pick(0, tokens * s.g.w_in - 1);
        s.g.rows = pick(1, tokens * s.g.w_in - s.g.skip);
        s.g.h = s.g.rows;
        s.special = i % 5 == 0;
        ok &= check(&s) && check_moved(&s);
    }
    return ok;
}

/* The weight of a convolution in one group that does the same. */
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

/* Groups are a weight with zeros, bit for bit in the reference; and a mean is a convolution. */
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

/* Functions that a sweep of inputs reaches through one kernel each. */
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
    bool relative;    /* bound in u |y|, else in u |x| */
    double bound;     /* of every row */
    double values[5]; /* at 1, -2, 0.1, -7, -infinity */
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

/* The formulas, at few points that everyone can check. */
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

/* q, k, v of 4 numbers, the first row skipped. */
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

/* How far row `row` is off, in u of the argument or the value, at most; `at` that argument. */
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

/* Each function of each row over the whole range of floats, NaN and infinities included: 2^20
 * patterns of bits, the low ones scattered. */
static bool check_functions(bool print)
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

/* exp over its range, by an attention with two keys: a softmax of (x, 0) is exp(x) / (1 + exp(x)).
 * Bound: 4e-7, 6.7 u, for exp, the sum, the division and the product. */
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

/* And a NaN, whatever its bits, stays one. */
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

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What a row needs to run on a shape again and again. */
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

/* Best of a few calls, rows in alternation; ref gets one, it is slow by intention. */
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

static void bench_all(void)
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

int main(int argc, char **argv)
{
    sm_blas_single_thread();
    if (argc == 2 && !strcmp(argv[1], "--bench")) {
        printf("%s\n", sm_blas_version());
        bench_all();
        return 0;
    }
    bool print = argc == 2 && !strcmp(argv[1], "--errors");
    bool ok = check_convs();
    ok &= check_groups();
    ok &= check_alone();
    ok &= check_algorithms();
    ok &= check_pools();
    ok &= check_avgpools();
    ok &= check_rows();
    ok &= check_tokens();
    ok &= check_ropes();
    ok &= check_gates();
    ok &= check_prepends();
    ok &= check_picks();
    ok &= check_dense();
    ok &= check_means();
    ok &= check_known();
    ok &= check_known_rope();
    ok &= check_softmax(print);
    ok &= check_functions(print);
    printf("kernels: %s\n", ok ? "all rows agree with ref" : "FAILED");
    return ok ? 0 : 1;
}
