/* Distances between representations.
 *
 * Normalisation is a factor per row, kept in double and applied while summing. So there is no
 * normalised copy and no second rounding to float. Cost: one pass over rows * dim numbers for each
 * of K(K-1)/2 pairs of views. For K = 10 and a CIFAR ResNet's 16 x 512 map that is far below one
 * forward. */
#include "core/score/align.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* One representation and the factor of each of its rows. */
struct vector {
    const float *x;      /* [rows, dim] */
    const double *scale; /* [rows] factor of each row */
    size_t rows, dim;
};

static struct vector vector_at(const struct sm_reps *reps, const double *scale, size_t view)
{
    return (struct vector){reps->data + view * reps->rows * reps->dim, scale + view * reps->rows,
                           reps->rows, reps->dim};
}

static double squares(const float *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

static double inverse_norm(double norm_squared)
{
    return norm_squared > 0 ? 1 / sqrt(norm_squared) : 1;
}

static void scale_rows(double *scale, const struct sm_reps *reps, enum sm_normalize normalize)
{
    size_t length = reps->rows * reps->dim;
    for (size_t v = reps->first; v < reps->views; v++) {
        const float *x = reps->data + v * length;
        double whole = normalize == SM_NORMALIZE_VECTOR ? inverse_norm(squares(x, length)) : 1;
        for (size_t r = 0; r < reps->rows; r++)
            scale[v * reps->rows + r] = normalize == SM_NORMALIZE_TOKEN
                                            ? inverse_norm(squares(x + r * reps->dim, reps->dim))
                                            : whole;
    }
}

static double l2(const struct vector *a, const struct vector *b)
{
    double sum = 0;
    for (size_t r = 0, i = 0; r < a->rows; r++) {
        for (size_t end = i + a->dim; i < end; i++) {
            double difference = a->x[i] * a->scale[r] - b->x[i] * b->scale[r];
            sum += difference * difference;
        }
    }
    return sqrt(sum);
}

static double l1(const struct vector *a, const struct vector *b)
{
    double sum = 0;
    for (size_t r = 0, i = 0; r < a->rows; r++)
        for (size_t end = i + a->dim; i < end; i++)
            sum += fabs(a->x[i] * a->scale[r] - b->x[i] * b->scale[r]);
    return sum;
}

/* Returns the cosine. sqrt(aa * bb) equals aa exactly for equal vectors, which sqrt(aa) * sqrt(bb)
 * need not, so their cosine is exactly 1. */
static double cosine_of(const struct vector *a, const struct vector *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t r = 0, i = 0; r < a->rows; r++) {
        for (size_t end = i + a->dim; i < end; i++) {
            double u = a->x[i] * a->scale[r], v = b->x[i] * b->scale[r];
            ab += u * v;
            aa += u * u;
            bb += v * v;
        }
    }
    double c = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : ab;
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

static double cosine(const struct vector *a, const struct vector *b)
{
    return 1 - cosine_of(a, b);
}

static double angular(const struct vector *a, const struct vector *b)
{
    return acos(cosine_of(a, b)) / pi;
}

static double (*const distances[])(const struct vector *, const struct vector *) = {
    [SM_DISTANCE_L2] = l2,
    [SM_DISTANCE_L1] = l1,
    [SM_DISTANCE_COSINE] = cosine,
    [SM_DISTANCE_ANGULAR] = angular,
};

void sm_align_pairs(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                    enum sm_distance distance, double *scale)
{
    scale_rows(scale, reps, normalize);
    for (size_t j = reps->first > 0 ? reps->first : 1; j < reps->views; j++) {
        double *column = d + j * (j - 1) / 2;
        struct vector b = vector_at(reps, scale, j);
        for (size_t i = 0; i < j; i++) {
            struct vector a = vector_at(reps, scale, i);
            column[i] = distances[distance](&a, &b);
        }
    }
}

void sm_align_anchor(double *d, const struct sm_reps *reps, enum sm_normalize normalize,
                     enum sm_distance distance, double *scale)
{
    scale_rows(scale, reps, normalize);
    struct vector anchor = vector_at(reps, scale, 0);
    for (size_t j = reps->first > 0 ? reps->first : 1; j < reps->views; j++) {
        struct vector view = vector_at(reps, scale, j);
        d[j - 1] = distances[distance](&anchor, &view);
    }
}
