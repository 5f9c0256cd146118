/* Computes the scale of each output's error: the sum of the magnitudes of its terms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/kern/kern.h"

static float *magnitudes(const float *x, size_t count)
{
    float *out = buffer(count, false);
    for (size_t i = 0; i < count; i++)
        out[i] = fabsf(x[i]);
    return out;
}

/* Sums the magnitudes of the weighted normalised value and the bias, and adds the error of the
 * mean: (sum of |x|) / c in units of the standard deviation, times the weight. */
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

/* |x cos| + |rot(x) sin| for rotated values; 0 for the others, which are copied. */
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

/* Runs row "ref" on the magnitudes of all inputs, without activation. */
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

/* Magnitudes of the matrices of Winograd's transform in one dimension, A^T [(G g) * (B^T d)], over
 * the points 0, ±1 and infinity (2 outputs) or 0, ±5/8, ±3/2 and infinity (4 outputs). See
 * simd_winograd.h. */
struct winograd {
    int outputs;
    double g[6][3], b[6][6], a[4][6];
};

static struct winograd winograd_of(int outputs)
{
    static const double points[2][5] = {{0, 1, -1}, {0, 0.625, -0.625, 1.5, -1.5}};
    struct winograd w = {.outputs = outputs};
    const double *x = points[outputs == 4];
    double all[7] = {1}; /* coefficients of the product of all (t - x_j), lowest power first */
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

/* Returns element (i, j) of |B^T| |d| |B|, for one channel of the tile at (top, left). */
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

/* Adds element `at` of a transformed tile to the scales of the tile's outputs. */
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

/* Every number of A^T [(G g G^T) * (B^T d B)] A is a sum of products of the three matrices, the
 * weights and the whole tile. With the magnitudes of these terms as scale, the bound is that of any
 * sum. The scale is larger than that of the output's own window; the difference is the price of
 * F(4x4). A non-finite input makes the scales of all outputs of its tile infinite or NaN. */
void winograd_scales(double *out, const struct shape *s, const struct sizes *n,
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

int by_winograd(const struct sm_kern *row, const struct shape *s)
{
    const char *(*algorithm)(const struct sm_geometry *) = row->op[s->kernel].algorithm;
    int side = 0;
    return algorithm && sscanf(algorithm(&s->g), "winograd-%dx", &side) == 1 ? side : 0;
}

void scales(double *out, const struct shape *s, const struct sizes *n,
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
    case SM_KERNEL_GATE: /* the error is relative, unless silu(a) is below about 1e-36 */
        for (size_t i = 0; i < n->y; i++) {
            size_t c = (size_t)s->g.c, b = i / c * 2 * c + c + i % c;
            out[i] = fabs((double)exact[i]) + 1e-30 * fabs((double)a->x[b]);
        }
        return;
    default:
        /* Attention: outputs are means of v with |v| <= 1. The magnitude of scores is at most
         * sqrt(dim), and exp turns their error into a relative one. Other kernels are exact. */
        for (size_t i = 0; i < n->y; i++)
            out[i] = s->kernel == SM_KERNEL_ATTENTION ? 1 + sqrt(s->g.c / s->g.heads) : 0;
    }
}
