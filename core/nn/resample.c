/* Both kinds of bicubic resampling are separable: each output position of an axis has a list of
 * taps (source index, weight). As in PyTorch, the columns are resampled first, then the rows, and
 * the intermediate result is rounded to float. Sums are in double, which PyTorch's are not.
 *
 *   plain, offset    4 taps around (i + 0.5) * scale - 0.5, indexes clamped at the borders;
 *                    aten/src/ATen/native/UpSample.h, get_cubic_upsample_coefficients, a = -0.75
 *   antialias        all taps under the kernel, which widens by the scale when the table shrinks;
 *                    taps outside the table are left out and the others are normalised to sum 1;
 *                    aten/src/ATen/native/cpu/UpSampleKernel.cpp, aa_filter of
 *                    HelperInterpCubic, a = -0.5
 *
 * scale is grid / side if the size is given. DINO instead gives a factor of (side + 0.1) / grid,
 * and PyTorch steps by its inverse, so that DINO's grid ends 0.1 of a patch early. The offset moves
 * every position a little, even if the sizes agree.
 *
 * PyTorch keeps scale and weights in float, which moves a weight by about 1e-6 at large
 * coordinates. The weights here equal PyTorch's to an ulp: scale is rounded to float at the same
 * places, and the polynomials use the fused multiply-adds of its builds for AVX2.
 *
 * Cost: grid_h * cols * dim + rows * cols * dim sums of taps, and grid_h * cols * dim floats. */
#include "core/nn/resample.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

struct rule {
    float a;
    double offset;
    bool antialias;
};

static const struct rule rules[] = {
    [SM_POS_RESIZE_PLAIN] = {-0.75f, 0, false},
    [SM_POS_RESIZE_OFFSET] = {-0.75f, 0.1, false},
    [SM_POS_RESIZE_ANTIALIAS] = {-0.5f, 0, true},
};

/* Taps of one axis. Output position i is the sum over t < taps of weight[i * taps + t] *
 * source[index[i * taps + t]]. */
struct axis {
    int32_t taps;
    int32_t *index;
    float *weight;
};

/* Returns the cubic convolution kernel at |x|; it is 0 from 2 on. */
static float cubic(float x, float a)
{
    x = fabsf(x);
    if (x < 1)
        return fmaf(fmaf(a + 2, x, -(a + 3)) * x, x, 1);
    if (x < 2)
        return fmaf(fmaf(fmaf(a, x, -5 * a), x, 8 * a), x, -4 * a);
    return 0;
}

static int32_t clamp(int64_t i, int32_t count)
{
    return i < 0 ? 0 : i < count ? (int32_t)i : count - 1;
}

/* Fills four taps per output position: the two source positions on either side of it. */
static void fill_plain(struct axis *axis, int32_t grid, int32_t side, float scale, float a)
{
    for (int32_t i = 0; i < side; i++) {
        double at = (double)scale * (i + 0.5) - 0.5, below = floor(at);
        float t = (float)(at - below);
        const float distance[4] = {t + 1, t, 1 - t, 1 - t + 1};
        for (int32_t j = 0; j < 4; j++) {
            axis->index[i * 4 + j] = clamp((int64_t)below + j - 1, grid);
            axis->weight[i * 4 + j] = cubic(distance[j], a);
        }
    }
}

/* Fills the taps of an antialiased axis: all source positions whose centres the kernel covers. */
static void fill_antialias(struct axis *axis, int32_t grid, int32_t side, float scale, float a)
{
    float support = scale >= 1 ? 2 * scale : 2, inverse = scale >= 1 ? 1 / scale : 1;
    for (int32_t i = 0; i < side; i++) {
        float center = (float)((double)scale * (i + 0.5)), sum = 0;
        int32_t *index = axis->index + (size_t)i * axis->taps;
        float *weight = axis->weight + (size_t)i * axis->taps;
        int64_t first = (int64_t)((double)(center - support) + 0.5);
        int64_t end = (int64_t)((double)(center + support) + 0.5);
        first = first > 0 ? first : 0;
        end = end < grid ? end : grid;
        assert(end - first <= axis->taps);
        for (int64_t j = 0; j < axis->taps; j++) {
            index[j] = clamp(first + j, grid);
            if (first + j < end)
                weight[j] = cubic(((float)(first + j) - center + 0.5f) * inverse, a);
            sum += weight[j];
        }
        for (int32_t j = 0; j < axis->taps; j++)
            weight[j] = sum != 0 ? weight[j] / sum : 0;
    }
}

static void axis_release(struct axis *axis)
{
    free(axis->index);
    free(axis->weight);
}

static enum sm_code axis_init(struct axis *axis, int32_t grid, int32_t side,
                              const struct rule *rule, struct sm_err *err)
{
    float scale = (float)grid / (float)side;
    if (rule->offset > 0)
        scale = (float)(1 / ((side + rule->offset) / grid));
    *axis = (struct axis){.taps = 4};
    if (rule->antialias)
        axis->taps = 2 * (int32_t)ceilf(scale >= 1 ? 2 * scale : 2) + 1;
    axis->index = calloc((size_t)side * (size_t)axis->taps, sizeof *axis->index);
    axis->weight = calloc((size_t)side * (size_t)axis->taps, sizeof *axis->weight);
    if (!axis->index || !axis->weight)
        return sm_err_set(err, SM_NOMEM, "no memory to resample %d positions to %d", (int)grid,
                          (int)side);
    (rule->antialias ? fill_antialias : fill_plain)(axis, grid, side, scale, rule->a);
    return SM_OK;
}

/* Writes output position i to out [dim]; source positions of the axis are `step` floats apart. */
static void apply(float *out, const float *source, size_t step, const struct axis *axis, int32_t i,
                  int32_t dim)
{
    const int32_t *index = axis->index + (size_t)i * axis->taps;
    const float *weight = axis->weight + (size_t)i * axis->taps;
    for (int32_t c = 0; c < dim; c++) {
        double sum = 0;
        for (int32_t t = 0; t < axis->taps; t++)
            if (weight[t] != 0)
                sum += (double)weight[t] * (double)source[(size_t)index[t] * step + c];
        out[c] = (float)sum;
    }
}

static enum sm_code check_table(int32_t h, int32_t w, int32_t dim, struct sm_err *err)
{
    int64_t count;
    assert(h > 0 && w > 0 && dim > 0);
    if (h > SM_POS_SIDE_MAX || w > SM_POS_SIDE_MAX)
        return sm_err_set(err, SM_LIMIT, "a position table of %dx%d, most is %d a side", (int)h,
                          (int)w, SM_POS_SIDE_MAX);
    if (__builtin_mul_overflow((int64_t)h * w, (int64_t)dim, &count) || count > INT32_MAX)
        return sm_err_set(err, SM_LIMIT, "a position table of %dx%dx%d numbers, most is %d", (int)h,
                          (int)w, (int)dim, (int)INT32_MAX);
    return SM_OK;
}

enum sm_code sm_pos_resample(float *out, const float *table, int32_t grid_h, int32_t grid_w,
                             int32_t dim, int32_t rows, int32_t cols, enum sm_pos_resize rule,
                             struct sm_err *err)
{
    struct axis x = {0}, y = {0};
    float *between = NULL; /* the table after its columns are resampled: [grid_h, cols, dim] */
    assert(rule > SM_POS_RESIZE_UNSET && rule <= SM_POS_RESIZE_ANTIALIAS);
    enum sm_code code = check_table(grid_h, grid_w, dim, err);
    if (code == SM_OK)
        code = check_table(rows, cols, dim, err);
    if (code == SM_OK)
        code = check_table(grid_h, cols, dim, err);
    if (code != SM_OK)
        return code;
    if (grid_h == rows && grid_w == cols && !(rules[rule].offset > 0)) {
        memcpy(out, table, (size_t)rows * (size_t)cols * (size_t)dim * sizeof *out);
        return SM_OK;
    }
    code = axis_init(&x, grid_w, cols, &rules[rule], err);
    if (code == SM_OK)
        code = axis_init(&y, grid_h, rows, &rules[rule], err);
    if (code != SM_OK)
        goto out;
    size_t row = (size_t)cols * (size_t)dim;
    between = malloc((size_t)grid_h * row * sizeof *between);
    if (!between) {
        code = sm_err_set(err, SM_NOMEM, "no memory for a position table of %dx%dx%d", (int)grid_h,
                          (int)cols, (int)dim);
        goto out;
    }
    for (size_t p = 0; p < (size_t)grid_h * cols; p++)
        apply(between + p * dim, table + p / cols * grid_w * dim, dim, &x, (int32_t)(p % cols),
              dim);
    for (int32_t i = 0; i < rows; i++)
        apply(out + (size_t)i * row, between, row, &y, i, (int32_t)row);
out:
    axis_release(&x);
    axis_release(&y);
    free(between);
    return code;
}

/* The angles of a patch fill quarters of head_dim: from row, from column, then both again. */
void sm_rope_tables(float *cosines, float *sines, const double *periods, int32_t head_dim,
                    int32_t rows, int32_t cols)
{
    int32_t quarter = head_dim / 4;
    assert(rows > 0 && cols > 0 && head_dim > 0 && head_dim % 4 == 0);
    for (int64_t p = 0; p < (int64_t)rows * cols; p++) {
        const double at[2] = {2 * ((double)(p / cols) + 0.5) / rows - 1,
                              2 * ((double)(p % cols) + 0.5) / cols - 1};
        for (int32_t i = 0; i < head_dim; i++) {
            double angle = 2 * PI * at[i / quarter % 2] / periods[i % quarter];
            cosines[p * head_dim + i] = (float)cos(angle);
            sines[p * head_dim + i] = (float)sin(angle);
        }
    }
}
