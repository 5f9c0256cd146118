/* Alignment, score and their standard errors.
 *
 * An encoder's alignment is the mean of its distances, a side's the mean of the distances averaged
 * over its encoders, the score the mean of the difference of the sides: one jackknife over views
 * serves all three. Everything is a pass over at most SM_DISTANCES_MAX numbers per encoder, in
 * arrays on the stack (64 KiB). */
#include "core/score/combine.h"

#include <math.h>
#include <string.h>

#include "sslmem/stats.h"

static size_t pairs_count(size_t views)
{
    return views * (views - 1) / 2;
}

static size_t anchors_count(size_t views)
{
    return views;
}

/* The jackknife reads a square. */
static void jackknife_pairs(double *theta, double *se, const double *d, size_t views)
{
    double square[SM_VIEWS_MAX * SM_VIEWS_MAX];
    for (size_t j = 1; j < views; j++)
        for (size_t i = 0; i < j; i++)
            square[i * views + j] = *d++;
    sm_jackknife_pairs(theta, se, square, views);
}

static const struct {
    size_t (*count)(size_t views);
    void (*jackknife)(double *theta, double *se, const double *d, size_t views);
} modes[] = {
    [SM_COMPARE_PAIRS] = {pairs_count, jackknife_pairs},
    [SM_COMPARE_ANCHOR] = {anchors_count, sm_jackknife_mean},
};

size_t sm_distances_count(enum sm_compare compare, size_t views)
{
    return modes[compare].count(views);
}

/* `d_mean` receives the distances averaged over the side's encoders. */
static void align_side(struct sm_alignment *out, double *d_mean, const struct sm_distances *d,
                       int s)
{
    double values[SM_ENCODERS_MAX], se;
    size_t encoders = (size_t)d->encoders_count[s];
    size_t count = sm_distances_count(d->compare, d->views);
    for (size_t k = 0; k < encoders; k++)
        modes[d->compare].jackknife(&out->per_encoder[k], &se, d->of[s][k], d->views);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < encoders; k++)
            values[k] = d->of[s][k][i];
        d_mean[i] = sm_mean(values, encoders);
    }
    modes[d->compare].jackknife(&out->mean, &out->se, d_mean, d->views);
    out->encoders_count = (int)encoders;
    out->sd_encoders = encoders > 1 ? sqrt(sm_variance(out->per_encoder, encoders)) : 0;
}

static double between_encoders(const struct sm_alignment *side)
{
    return side->sd_encoders * side->sd_encoders / side->encoders_count;
}

void sm_combine(struct sm_score *out, const struct sm_distances *d)
{
    double of_f[SM_DISTANCES_MAX], difference[SM_DISTANCES_MAX], theta, se;
    align_side(&out->f, of_f, d, SM_SIDE_F);
    align_side(&out->g, difference, d, SM_SIDE_G);
    for (size_t i = 0; i < sm_distances_count(d->compare, d->views); i++)
        difference[i] -= of_f[i];
    modes[d->compare].jackknife(&theta, &se, difference, d->views);

    double sum = out->g.mean + out->f.mean;
    out->m = out->g.mean - out->f.mean;
    out->m_se = sqrt(se * se + between_encoders(&out->f) + between_encoders(&out->g));
    out->ratio = sum > 0 ? out->m / sum : 0;
}

void sm_compare_with_reference(struct sm_score *score, const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    score->has_reference = r->count > 0 && strcmp(r->recipe_digest, score->recipe_digest) == 0;
    if (!score->has_reference)
        return;
    score->centered = score->m - r->mean;
    score->percentile = sm_percentile_rank(r->sorted, r->count, score->m);
    score->p_value = sm_conformal_p(r->sorted, r->count, score->m);
}
