/* Row "blas": products by OpenBLAS, everything around them in plain loops that compilers vectorise.
 *
 * Rows per product. sgemm packs its right-hand side (our weights) at every call, so tall products
 * are better, but the epilogue (bias, residual, activation) wants to find its rows in the
 * second-level cache. Measured: blocks of ROWS rows are best except for big weights, where the
 * packing dominates and all rows go through together. Convolutions gather ROWS windows at a time
 * (im2col) over the images of the batch, so late stages with few positions per image still make one
 * tall product; 1x1 stride 1 needs no gathering.
 *
 * Bits. The shape of every product depends on the geometry and the number of images only, never on
 * pointers or load, and OpenBLAS runs one thread per caller; so equal inputs give equal bits. Sums
 * outside BLAS go over LANES partial sums, added up in a fixed order. No step converts a float to
 * an integer, so NaN and infinity pass through defined. */
#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/nn/kern_rows.h"

#define ROWS        384
#define WEIGHTS_BIG (512 * 1024) /* elements from which all rows share one product */
#define QUERIES     256          /* attention rows per product: bounds the score matrix */
#define LANES       16

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* erf as a rational function, odd degree 13 over even degree 8, on [-4, 4] (Eigen's and XLA's
 * coefficients). With it GELU is within 2.4e-7 |x|. */
static inline float gelu(float v)
{
    float x = v * 0.70710678f;
    x = x > 4.0f ? 4.0f : x;
    x = x < -4.0f ? -4.0f : x;
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

/* exp of a value <= 0: n = round(x log2 e), a polynomial in the rest, n added to the exponent.
 * Within 1.1 ulp on
 * [-87, 0]; below, exp(-87) = 1.6e-38. The sum with 1.5 * 2^23 leaves n in the low bits of the
 * float. */
static inline float exp_negative(float x)
{
    const float shift = 12582912.0f;
    x = x < -87.0f ? -87.0f : x;
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
    return e;
}

static void act_none(float *y, int32_t count)
{
    (void)y;
    (void)count;
}

static void act_relu(float *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        y[i] = y[i] < 0 ? 0 : y[i];
}

static void act_gelu(float *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        y[i] = gelu(y[i]);
}

static void (*const activations[])(float *, int32_t) = {
    [SM_ACT_NONE] = act_none, [SM_ACT_RELU] = act_relu, [SM_ACT_GELU] = act_gelu};

/* y = act(y + bias + residual) on rows first .. first + rows. */
static void epilogue(const struct sm_geometry *g, const struct sm_kernel_args *a, size_t first,
                     size_t rows)
{
    const float *bias = a->bias;
    for (size_t row = first; row < first + rows; row++) {
        float *y = a->y + row * g->c;
        if (a->residual) {
            const float *residual = a->residual + row * g->c;
            for (int32_t i = 0; i < g->c; i++)
                y[i] = y[i] + bias[i] + residual[i];
        } else {
            for (int32_t i = 0; i < g->c; i++)
                y[i] += bias[i];
        }
        activations[g->activation](y, g->c);
    }
}

/* y [rows, c] = x [rows, depth] weight [depth, c], from row `first` of y. */
static void product(const struct sm_geometry *g, const struct sm_kernel_args *a, const float *x,
                    size_t first, size_t rows, int32_t depth)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, g->c, depth, 1.0f, x, depth,
                a->weight, g->c, 0.0f, a->y + first * g->c, g->c);
    epilogue(g, a, first, rows);
}

static void blas_linear(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    size_t block = (int64_t)g->c_in * g->c < WEIGHTS_BIG ? ROWS : rows;
    for (size_t first = 0; first < rows; first += block)
        product(g, a, a->x + first * g->c_in, first, min_size(block, rows - first), g->c_in);
}

/* Window of one output position of one image -> out [k, k, c_in]. The columns of a window row are
 * contiguous in NHWC. */
static void gather(float *out, const struct sm_geometry *g, const float *image, int32_t oy,
                   int32_t ox)
{
    int32_t left = ox * g->stride - g->pad;
    int32_t from = left < 0 ? -left : 0;
    int32_t to = left + g->k > g->w_in ? g->w_in - left : g->k;
    size_t c = (size_t)g->c_in;
    from = from < g->k ? from : g->k;
    to = to > from ? to : from;
    for (int32_t ky = 0; ky < g->k; ky++, out += g->k * c) {
        int32_t iy = oy * g->stride - g->pad + ky;
        if (iy < 0 || iy >= g->h_in || from == to) {
            memset(out, 0, g->k * c * sizeof *out);
            continue;
        }
        memset(out, 0, from * c * sizeof *out);
        memcpy(out + from * c, image + ((size_t)iy * g->w_in + (left + from)) * c,
               (to - from) * c * sizeof *out);
        memset(out + to * c, 0, (g->k - to) * c * sizeof *out);
    }
}

static bool pointwise(const struct sm_geometry *g)
{
    return g->k == 1 && g->stride == 1 && g->pad == 0;
}

static void blas_conv2d(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    if (pointwise(g)) {
        blas_linear(g, a);
        return;
    }
    float *windows = a->scratch;
    int32_t depth = g->k * g->k * g->c_in;
    size_t positions = (size_t)g->h * g->w, rows = a->images * positions;
    for (size_t first = 0; first < rows; first += ROWS) {
        size_t count = min_size(ROWS, rows - first);
        for (size_t i = 0; i < count; i++) {
            size_t p = (first + i) % positions, image = (first + i) / positions;
            gather(windows + i * depth, g, a->x + image * g->h_in * g->w_in * g->c_in,
                   (int32_t)(p / g->w), (int32_t)(p % g->w));
        }
        product(g, a, windows, first, count, depth);
    }
}

static size_t blas_conv2d_scratch(const struct sm_geometry *g)
{
    return pointwise(g) ? 0 : (size_t)ROWS * g->k * g->k * g->c_in * sizeof(float);
}

/* LANES partial sums, added pairwise. */
static float sum_lanes(float *lanes)
{
    for (int32_t half = LANES / 2; half; half /= 2)
        for (int32_t l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

static float sum(const float *x, int32_t count)
{
    float lanes[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int32_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l];
    for (int32_t l = 0; i < count; i++, l++)
        lanes[l] += x[i];
    return sum_lanes(lanes);
}

static float sum_squares(const float *x, int32_t count)
{
    float lanes[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int32_t l = 0; l < LANES; l++)
            lanes[l] += x[i + l] * x[i + l];
    for (int32_t l = 0; i < count; i++, l++)
        lanes[l] += x[i] * x[i];
    return sum_lanes(lanes);
}

/* The centred row is kept in y, so that the variance is that of exactly these numbers. */
static void blas_layernorm(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    size_t rows = (size_t)a->images * g->h * g->w;
    for (size_t row = 0; row < rows; row++) {
        const float *x = a->x + row * g->c;
        float *y = a->y + row * g->c;
        float mean = sum(x, g->c) / (float)g->c;
        for (int32_t i = 0; i < g->c; i++)
            y[i] = x[i] - mean;
        double variance = (double)sum_squares(y, g->c) / g->c;
        float scale = (float)(1 / sqrt(variance + g->eps));
        for (int32_t i = 0; i < g->c; i++)
            y[i] = y[i] * scale * a->weight[i] + a->bias[i];
    }
}

/* scores -> exp(scores - max); returns 1 / sum. */
static float exp_row(float *scores, int32_t count)
{
    float top = scores[0];
    for (int32_t i = 1; i < count; i++)
        top = scores[i] > top ? scores[i] : top;
    for (int32_t i = 0; i < count; i++)
        scores[i] = exp_negative(scores[i] - top);
    return 1.0f / sum(scores, count);
}

/* One block of queries of one head: x is the image's [h, 3 * c] at the head's first column, y its
 * [h, c]. */
static void attend(const struct sm_geometry *g, const float *x, float *y, float *scores,
                   int32_t first, int32_t rows)
{
    int32_t dim = g->c / g->heads, width = 3 * g->c;
    float scale = (float)(1 / sqrt(dim)), norm[QUERIES];
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, g->h, dim, scale,
                x + (size_t)first * width, width, x + g->c, width, 0.0f, scores, g->h);
    for (int32_t r = 0; r < rows; r++)
        norm[r] = exp_row(scores + (size_t)r * g->h, g->h);
    y += (size_t)first * g->c;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, dim, g->h, 1.0f, scores, g->h,
                x + 2 * (size_t)g->c, width, 0.0f, y, g->c);
    for (int32_t r = 0; r < rows; r++)
        for (int32_t d = 0; d < dim; d++)
            y[(size_t)r * g->c + d] *= norm[r];
}

static void blas_attention(const struct sm_geometry *g, const struct sm_kernel_args *a)
{
    int32_t dim = g->c / g->heads;
    for (int32_t n = 0; n < a->images; n++) {
        for (int32_t head = 0; head < g->heads; head++) {
            const float *x = a->x + (size_t)n * g->h * 3 * g->c + (size_t)head * dim;
            float *y = a->y + (size_t)n * g->h * g->c + (size_t)head * dim;
            for (int32_t first = 0; first < g->h; first += QUERIES) {
                int32_t left = g->h - first;
                attend(g, x, y, a->scratch, first, left < QUERIES ? left : QUERIES);
            }
        }
    }
}

static size_t blas_attention_scratch(const struct sm_geometry *g)
{
    return min_size(QUERIES, (size_t)g->h) * (size_t)g->h * sizeof(float);
}

const struct sm_kern sm_kern_blas = {
    "blas",
    {
        [SM_KERNEL_LAYOUT] = {sm_ref_layout, NULL},
        [SM_KERNEL_CONV2D] = {blas_conv2d, blas_conv2d_scratch},
        [SM_KERNEL_MAXPOOL] = {sm_ref_maxpool, NULL},
        [SM_KERNEL_LINEAR] = {blas_linear, NULL},
        [SM_KERNEL_LAYERNORM] = {blas_layernorm, NULL},
        [SM_KERNEL_ATTENTION] = {blas_attention, blas_attention_scratch},
        [SM_KERNEL_PREPEND] = {sm_ref_prepend, NULL},
        [SM_KERNEL_MEAN] = {sm_ref_mean, NULL},
        [SM_KERNEL_PICK] = {sm_ref_pick, NULL},
    },
};
