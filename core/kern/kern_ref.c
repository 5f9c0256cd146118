/* Row "ref": the specification of every kernel.
 *
 * Each output is one sum in a double, in the order of the formula, rounded to float once: products
 * of floats are exact in double, so the error of an output is half an ulp plus some 1e-16 of the
 * sum of |terms|. Output channels go in blocks of LANES so that weights are read row by row; that
 * changes no sum. Nothing here is meant to be fast. */
#include <math.h>
#include <string.h>

#include "core/kern/kern_rows.h"

#define LANES 64

/* Computes the formulas as written: GELU and its relatives of minus infinity are -inf * 0, NaN. */
static double activate(double v, enum sm_activation activation)
{
    switch (activation) {
    case SM_ACT_RELU:
        return v < 0 ? 0 : v;
    case SM_ACT_GELU:
        return 0.5 * v * (1 + erf(v * 0.70710678118654752440));
    case SM_ACT_GELU_TANH:
        return 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    case SM_ACT_GELU_QUICK:
        return v / (1 + exp(-1.702 * v));
    case SM_ACT_TANH:
        return tanh(v);
    case SM_ACT_NONE:
        break;
    }
    return v;
}

static int32_t min_i32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Adds sum_i x[i] weight[i, j] to acc[j] for `lanes` columns of a weight with `stride` columns. */
static void accumulate(double *acc, const float *x, const float *weight, int32_t count,
                       int32_t lanes, int32_t stride)
{
    for (int32_t i = 0; i < count; i++)
        for (int32_t j = 0; j < lanes; j++)
            acc[j] += (double)x[i] * (double)weight[(size_t)i * stride + j];
}

/* Computes y = act(acc + bias + residual) for columns first .. first + lanes of one output row
 * at offset `at`. */
static void finish(const struct sm_geometry *g, const struct sm_kernel_args *a, size_t at,
                   const double *acc, int32_t first, int32_t lanes)
{
    for (int32_t j = 0; j < lanes; j++) {
        double v = acc[j] + (double)a->bias[first + j];
        if (a->residual)
            v += (double)a->residual[at + first + j];
        a->y[at + first + j] = (float)activate(v, g->activation);
    }
}

static void ref_linear(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++) {
        for (int32_t first = 0; first < g->c; first += LANES) {
            int32_t lanes = min_i32(LANES, g->c - first);
            double acc[LANES] = {0};
            accumulate(acc, a->x + row * g->c_in, a->weight + first, g->c_in, lanes, g->c);
            finish(g, a, row * g->c, acc, first, lanes);
        }
    }
}

/* Sums over the window of output (oy, ox), for a block of output channels of one group: `image` and
 * `weight` start at the group's first input channel and the block's first column. */
static void window(double *acc, const struct sm_geometry *g, const float *image,
                   const float *weight, int32_t oy, int32_t ox, int32_t lanes)
{
    int32_t depth = g->c_in / g->groups;
    for (int32_t ky = 0; ky < g->k; ky++) {
        for (int32_t kx = 0; kx < g->k; kx++) {
            int32_t iy = oy * g->stride + ky - g->pad, ix = ox * g->stride + kx - g->pad;
            if (iy < 0 || iy >= g->h_in || ix < 0 || ix >= g->w_in)
                continue;
            accumulate(acc, image + ((size_t)iy * g->w_in + ix) * g->c_in,
                       weight + (size_t)(ky * g->k + kx) * depth * g->c, depth, lanes, g->c);
        }
    }
}

/* Computes all channels of output (oy, ox), whose row starts at `at`. A block of columns never
 * crosses into the next group. */
static void conv_position(const struct sm_geometry *g, const struct sm_kernel_args *a,
                          const float *image, size_t at, int32_t oy, int32_t ox)
{
    int32_t width = g->c / g->groups, depth = g->c_in / g->groups;
    for (int32_t group = 0; group < g->groups; group++) {
        for (int32_t column = 0; column < width; column += LANES) {
            int32_t lanes = min_i32(LANES, width - column), first = group * width + column;
            double acc[LANES] = {0};
            window(acc, g, image + (size_t)group * depth, a->weight + first, oy, ox, lanes);
            finish(g, a, at, acc, first, lanes);
        }
    }
}

static void ref_conv2d(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    for (int32_t n = 0; n < a->images; n++) {
        const float *image = a->x + (size_t)n * g->h_in * g->w_in * g->c_in;
        for (int32_t oy = 0; oy < g->h; oy++)
            for (int32_t ox = 0; ox < g->w; ox++)
                conv_position(g, a, image, (((size_t)n * g->h + oy) * g->w + ox) * g->c, oy, ox);
    }
}

void sm_ref_maxpool(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t positions = (size_t)a->images * g->h * g->w;
    for (size_t p = 0; p < positions; p++) {
        size_t image = p / ((size_t)g->h * g->w);
        int32_t oy = (int32_t)(p / g->w % g->h), ox = (int32_t)(p % g->w);
        float *y = a->y + p * g->c;
        for (int32_t c = 0; c < g->c; c++)
            y[c] = -INFINITY;
        for (int32_t t = 0; t < g->k * g->k; t++) {
            int32_t iy = oy * g->stride + t / g->k - g->pad;
            int32_t ix = ox * g->stride + t % g->k - g->pad;
            if (iy < 0 || iy >= g->h_in || ix < 0 || ix >= g->w_in)
                continue;
            const float *x = a->x + ((image * g->h_in + iy) * g->w_in + ix) * g->c;
            for (int32_t c = 0; c < g->c; c++)
                y[c] = x[c] > y[c] || isnan(x[c]) ? x[c] : y[c];
        }
    }
}

static void ref_avgpool(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t positions = (size_t)a->images * g->h * g->w;
    for (size_t p = 0; p < positions; p++) {
        size_t image = p / ((size_t)g->h * g->w);
        size_t top = p / g->w % g->h * g->stride, left = p % g->w * g->stride;
        const float *x = a->x + ((image * g->h_in + top) * g->w_in + left) * g->c;
        for (int32_t c = 0; c < g->c; c++) {
            double sum = 0;
            for (int32_t ky = 0; ky < g->k; ky++)
                for (int32_t kx = 0; kx < g->k; kx++)
                    sum += (double)x[((size_t)ky * g->w_in + kx) * g->c + c];
            a->y[p * g->c + c] = (float)(sum / ((double)g->k * g->k));
        }
    }
}

static void ref_layernorm(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++) {
        const float *x = a->x + row * g->c;
        float *y = a->y + row * g->c;
        double mean = 0, variance = 0;
        for (int32_t i = 0; i < g->c; i++)
            mean += (double)x[i];
        mean /= g->c;
        for (int32_t i = 0; i < g->c; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean);
        double scale = 1 / sqrt(variance / g->c + g->eps);
        for (int32_t i = 0; i < g->c; i++)
            y[i] =
                (float)(((double)x[i] - mean) * scale * (double)a->weight[i] + (double)a->bias[i]);
    }
}

/* Computes the softmax over the keys of query q, head dimensions dim .. of x [tokens, 3 * c];
 * scores [tokens]. */
static void softmax_scores(double *scores, const struct sm_geometry *g, const float *x,
                           int32_t query, int32_t head)
{
    int32_t dim = g->c / g->heads;
    const float *q = x + (size_t)query * 3 * g->c + (size_t)head * dim;
    double top = -INFINITY, sum = 0;
    for (int32_t t = 0; t < g->h; t++) {
        const float *k = x + (size_t)t * 3 * g->c + g->c + (size_t)head * dim;
        double dot = 0;
        for (int32_t d = 0; d < dim; d++)
            dot += (double)q[d] * (double)k[d];
        scores[t] = dot / sqrt(dim);
        top = scores[t] > top ? scores[t] : top;
    }
    for (int32_t t = 0; t < g->h; t++)
        sum += scores[t] = exp(scores[t] - top);
    for (int32_t t = 0; t < g->h; t++)
        scores[t] /= sum;
}

static void ref_attention(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    double *scores = a->scratch;
    int32_t dim = g->c / g->heads;
    for (int32_t n = 0; n < a->images; n++) {
        const float *x = a->x + (size_t)n * g->h * 3 * g->c;
        for (int32_t i = 0; i < g->h * g->heads; i++) {
            int32_t query = i / g->heads, head = i % g->heads;
            softmax_scores(scores, g, x, query, head);
            float *y = a->y + ((size_t)n * g->h + query) * g->c + (size_t)head * dim;
            for (int32_t d = 0; d < dim; d++) {
                double sum = 0;
                for (int32_t t = 0; t < g->h; t++)
                    sum += scores[t] * (double)x[((size_t)t * 3 + 2) * g->c + head * dim + d];
                y[d] = (float)sum;
            }
        }
    }
}

static size_t ref_attention_scratch(const struct sm_geometry *g)
{
    return (size_t)g->h * sizeof(double);
}

void sm_ref_layout(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t plane = (size_t)g->h * g->w;
    for (int32_t n = 0; n < a->images; n++) {
        const float *x = a->x + (size_t)n * plane * g->c;
        float *y = a->y + (size_t)n * plane * g->c;
        for (size_t p = 0; p < plane; p++)
            for (int32_t c = 0; c < g->c; c++)
                y[p * g->c + c] = x[c * plane + p];
    }
}

/* Rotates one head's q or k: y = x cos + rot(x) sin, rot(x) = [-x[half:], x[:half]]. */
static void rotate(float *y, const float *x, const float *cosines, const float *sines, int32_t dim)
{
    int32_t half = dim / 2, rest = dim - half;
    for (int32_t d = 0; d < dim; d++) {
        double turned = d < rest ? -(double)x[half + d] : (double)x[d - rest];
        y[d] = (float)((double)x[d] * (double)cosines[d] + turned * (double)sines[d]);
    }
}

static void ref_rope(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    int32_t c = g->c_in / 3, dim = c / g->heads;
    size_t width = 3 * (size_t)c, rows = (size_t)a->images * g->h;
    for (size_t i = 0; i < rows; i++) {
        const float *x = a->x + i * width;
        float *y = a->y + i * width;
        size_t row = i % (size_t)g->h, skip = (size_t)g->skip;
        memcpy(y, x, width * sizeof *y);
        for (int32_t at = 0; row >= skip && at < 2 * c; at += dim)
            rotate(y + at, x + at, a->weight + (row - skip) * dim, a->bias + (row - skip) * dim,
                   dim);
    }
}

static void ref_gate(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++) {
        const float *x = a->x + row * 2 * g->c;
        for (int32_t c = 0; c < g->c; c++) {
            double v = (double)x[c];
            a->y[row * g->c + c] = (float)(v / (1 + exp(-v)) * (double)x[g->c + c]);
        }
    }
}

/* Computes y = x + more; without `more` it copies, which keeps the sign of zeros. */
static void add(float *y, const float *x, const float *more, size_t count)
{
    if (!more && count)
        memcpy(y, x, count * sizeof *y);
    for (size_t i = 0; more && i < count; i++)
        y[i] = x[i] + more[i];
}

void sm_ref_prepend(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t head = (size_t)g->rows * g->c, body = (size_t)(g->h - g->rows) * g->c;
    size_t image = (size_t)g->h_in * g->w_in * g->c, skip = (size_t)g->skip * g->c;
    for (int32_t n = 0; n < a->images; n++) {
        float *y = a->y + n * (head + body);
        add(y, a->bias, a->residual ? a->residual + n * head : NULL, head);
        add(y + head, a->x + n * image + skip, a->weight, body);
    }
}

void sm_ref_mean(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    int32_t rows = g->h_in * g->w_in;
    for (int32_t n = 0; n < a->images; n++) {
        const float *x = a->x + (size_t)n * rows * g->c;
        for (int32_t c = 0; c < g->c; c++) {
            double sum = 0;
            for (int32_t r = g->skip; r < rows; r++)
                sum += (double)x[(size_t)r * g->c + c];
            a->y[(size_t)n * g->c + c] = (float)(sum / (rows - g->skip));
        }
    }
}

void sm_ref_pick(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t image = (size_t)g->h_in * g->w_in * g->c, picked = (size_t)g->rows * g->c;
    for (int32_t n = 0; n < a->images; n++)
        memcpy(a->y + n * picked, a->x + n * image + (size_t)g->skip * g->c, picked * sizeof *a->y);
}

const struct sm_kern sm_kern_ref = {
    .name = "ref",
    .op =
        {
            [SM_KERNEL_LAYOUT] = {sm_ref_layout, NULL},
            [SM_KERNEL_CONV2D] = {ref_conv2d, NULL},
            [SM_KERNEL_MAXPOOL] = {sm_ref_maxpool, NULL},
            [SM_KERNEL_AVGPOOL] = {ref_avgpool, NULL},
            [SM_KERNEL_LINEAR] = {ref_linear, NULL},
            [SM_KERNEL_LAYERNORM] = {ref_layernorm, NULL},
            [SM_KERNEL_ATTENTION] = {ref_attention, ref_attention_scratch},
            [SM_KERNEL_ROPE] = {ref_rope, NULL},
            [SM_KERNEL_GATE] = {ref_gate, NULL},
            [SM_KERNEL_PREPEND] = {sm_ref_prepend, NULL},
            [SM_KERNEL_MEAN] = {sm_ref_mean, NULL},
            [SM_KERNEL_PICK] = {sm_ref_pick, NULL},
        },
};
