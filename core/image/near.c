/* The rule for near-duplicates.
 *
 * Small images are compared by their profiles at the pitch of their pixels, because no resampling
 * then blurs the comparison: a crop shifts the profiles by whole pixels, and the sizes say by how
 * many at most. What a crop cuts off is unknown, so profiles of a crop are compared without their
 * means, scaled to the sums of the smaller image. Images of one size are compared with their means,
 * because encoding again keeps them.
 *
 * The limits were chosen on Fashion-MNIST (28x28) and on photographs of 64x85 pixels
 * (deploy/demo/controls measures them). An image of little contrast must agree more closely: a
 * difference of SM_PIXELS_LEVELS would be most of what it shows. */
#include <math.h>

#include "sslmem/pixels.h"

#define LEVELS_LARGE 8.0
#define LEVELS_LEAST 1.0  /* rounding of the features and of JPEG */
#define SHARE        0.25 /* of the contrast */

struct profile {
    const uint8_t *levels;
    int32_t count;  /* pixels along the profile */
    int32_t across; /* pixels that a level is the mean of */
};

static double mean_of(const uint8_t *levels, int32_t count)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += levels[i];
    return (double)sum / count;
}

/* Sum of squared differences of profiles of one size. */
static double plain_difference(const struct profile *a, const struct profile *b)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < a->count; i++) {
        int32_t d = (int32_t)a->levels[i] - (int32_t)b->levels[i];
        sum += d * d;
    }
    return sum;
}

/* Sum of squared differences, without their means, of the smaller profile from a part of the larger
 * one. */
static double difference(const struct profile *large, const struct profile *small, int32_t offset)
{
    const uint8_t *a = large->levels + offset;
    double scale = (double)large->across / small->across, sum = 0;
    double shift = scale * mean_of(a, small->count) - mean_of(small->levels, small->count);
    for (int32_t i = 0; i < small->count; i++) {
        double d = scale * a[i] - small->levels[i] - shift;
        sum += d * d;
    }
    return sum;
}

static double least_difference(const struct profile *large, const struct profile *small,
                               bool same_size)
{
    if (same_size)
        return plain_difference(large, small);
    double least = difference(large, small, 0);
    for (int32_t offset = 1; offset <= large->count - small->count; offset++)
        least = fmin(least, difference(large, small, offset));
    return least;
}

static double squares(const struct profile *p)
{
    double mean = mean_of(p->levels, p->count), sum = 0;
    for (int32_t i = 0; i < p->count; i++)
        sum += (p->levels[i] - mean) * (p->levels[i] - mean);
    return sum;
}

/* Returns the largest sum of squares of `count` differences; `contrast`: that of the image. */
static double limit_of(double contrast, int32_t count, double levels)
{
    double least = LEVELS_LEAST * LEVELS_LEAST * count, most = levels * levels * count;
    return fmax(least, fmin(most, SHARE * SHARE * contrast));
}

static bool profiles_agree(const struct sm_pixels *large, const struct sm_pixels *small)
{
    struct profile rows = {large->rows, large->height_px, large->width_px},
                   columns = {large->columns, large->width_px, large->height_px},
                   small_rows = {small->rows, small->height_px, small->width_px},
                   small_columns = {small->columns, small->width_px, small->height_px};
    bool same_size = rows.count == small_rows.count && columns.count == small_columns.count;
    int32_t count = small_rows.count + small_columns.count;
    double most = SM_PIXELS_LEVELS * SM_PIXELS_LEVELS * count;
    double sum = least_difference(&rows, &small_rows, same_size);
    if (sum <= most)
        sum += least_difference(&columns, &small_columns, same_size);
    if (sum > most || sum <= LEVELS_LEAST * LEVELS_LEAST * count)
        return sum <= most;
    return sum <= limit_of(squares(&small_rows) + squares(&small_columns), count, SM_PIXELS_LEVELS);
}

/* Without the means: cropping and encoding again keep the pattern better than the level. */
static bool luminances_agree(const struct sm_pixels *a, const struct sm_pixels *b)
{
    enum { COUNT = SM_PIXELS_GRID * SM_PIXELS_GRID };
    struct profile p = {a->luminance, COUNT, 1}, q = {b->luminance, COUNT, 1};
    double sum = difference(&p, &q, 0), contrast = fmin(squares(&p), squares(&q));
    double means = mean_of(p.levels, COUNT) - mean_of(q.levels, COUNT);
    return sum <= limit_of(contrast, COUNT, LEVELS_LARGE) && fabs(means) <= LEVELS_LARGE;
}

static int bits_of(uint64_t x)
{
    int count = 0;
    for (; x; x &= x - 1)
        count++;
    return count;
}

bool sm_pixels_near(const struct sm_pixels *a, const struct sm_pixels *b)
{
    int32_t taller = a->height_px - b->height_px, wider = a->width_px - b->width_px;
    if (!sm_pixels_has_profiles(a) || !sm_pixels_has_profiles(b))
        return bits_of(a->hash ^ b->hash) <= SM_PIXELS_HASH_BITS && luminances_agree(a, b);
    if (taller < 0 || wider < 0) { /* a must be the larger one */
        const struct sm_pixels *c = a;
        a = b;
        b = c;
        taller = -taller;
        wider = -wider;
    }
    return taller >= 0 && taller <= SM_PIXELS_CROP_MAX && wider >= 0 &&
           wider <= SM_PIXELS_CROP_MAX && profiles_agree(a, b);
}
