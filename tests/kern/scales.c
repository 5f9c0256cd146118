/* What each output's error is measured by. */
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
