/* Computes alignments, the score, their standard errors and the score's interval.
 *
 * An encoder's alignment is the mean of its distances. A side's alignment is the mean of the
 * distances averaged over its encoders. The score is the mean of the difference of the sides. One
 * jackknife over views serves all three. The spread between a side's encoders is a further part of
 * the error of m, with one degree of freedom less than encoders. Everything is a pass over at most
 * SM_DISTANCES_MAX numbers per encoder, in arrays on the stack (1 MiB). */
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

/* Copies the distances into the square that the jackknife reads. */
static void jackknife_pairs(struct sm_jackknife *out, const double *d, size_t views)
{
    double square[SM_VIEWS_MAX * SM_VIEWS_MAX];
    for (size_t j = 1; j < views; j++)
        for (size_t i = 0; i < j; i++)
            square[i * views + j] = *d++;
    sm_jackknife_pairs(out, square, views);
}

static const struct {
    size_t (*count)(size_t views);
    void (*jackknife)(struct sm_jackknife *out, const double *d, size_t views);
} modes[] = {
    [SM_COMPARE_PAIRS] = {pairs_count, jackknife_pairs},
    [SM_COMPARE_ANCHOR] = {anchors_count, sm_jackknife_mean},
};

size_t sm_distances_count(enum sm_compare compare, size_t views)
{
    return modes[compare].count(views);
}

/* Fills a side's alignment. `d_mean` receives the distances averaged over the side's encoders. */
static void align_side(struct sm_alignment *out, double *d_mean, const struct sm_distances *d,
                       int s)
{
    double values[SM_ENCODERS_MAX];
    struct sm_jackknife jackknife;
    size_t encoders = (size_t)d->encoders_count[s];
    size_t count = sm_distances_count(d->compare, d->views);
    for (size_t k = 0; k < encoders; k++) {
        modes[d->compare].jackknife(&jackknife, d->of[s][k], d->views);
        out->per_encoder[k] = jackknife.theta;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < encoders; k++)
            values[k] = d->of[s][k][i];
        d_mean[i] = sm_mean(values, encoders);
    }
    modes[d->compare].jackknife(&jackknife, d_mean, d->views);
    out->mean = jackknife.theta;
    out->se = jackknife.se;
    out->encoders_count = (int)encoders;
    out->sd_encoders = encoders > 1 ? sqrt(sm_variance(out->per_encoder, encoders)) : 0;
}

/* Returns the standard error of a side's mean that comes from the spread between its encoders. */
static double between_encoders(const struct sm_alignment *side)
{
    return side->sd_encoders / sqrt(side->encoders_count);
}

static void set_interval(struct sm_score *out, const struct sm_jackknife *views)
{
    const double se[] = {views->wide_se, between_encoders(&out->f), between_encoders(&out->g)};
    const double df[] = {views->df, out->f.encoders_count - 1, out->g.encoders_count - 1};
    struct sm_interval interval = sm_interval_of(out->m, se, df, 3);
    out->m_low = interval.low;
    out->m_high = interval.high;
}

void sm_combine(struct sm_score *out, const struct sm_distances *d)
{
    double of_f[SM_DISTANCES_MAX], difference[SM_DISTANCES_MAX];
    struct sm_jackknife views;
    align_side(&out->f, of_f, d, SM_SIDE_F);
    if (d->encoders_count[SM_SIDE_G] == 0) {
        out->g = (struct sm_alignment){.mean = NAN, .se = NAN, .sd_encoders = NAN};
        out->m = out->m_se = out->m_low = out->m_high = out->ratio = NAN;
        return;
    }
    align_side(&out->g, difference, d, SM_SIDE_G);
    for (size_t i = 0; i < sm_distances_count(d->compare, d->views); i++)
        difference[i] -= of_f[i];
    modes[d->compare].jackknife(&views, difference, d->views);

    double sum = out->g.mean + out->f.mean;
    double f = between_encoders(&out->f), g = between_encoders(&out->g);
    out->m = out->g.mean - out->f.mean;
    out->m_se = sqrt(views.se * views.se + f * f + g * g);
    set_interval(out, &views);
    out->ratio = sum > 0 ? out->m / sum : 0;
}

void sm_compare_with_reference(struct sm_score *score, const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    score->has_reference = r->count > 0 && strcmp(r->recipe_digest, score->recipe_digest) == 0;
    score->reliability_of_reference = score->has_reference ? r->reliability : NAN;
    if (!score->has_reference)
        return;
    const struct sm_reference_image *own = sm_reference_find(r, score->image_digest);
    score->centered = score->m - r->mean;
    if (own) {
        score->in_reference = SM_IN_REFERENCE_YES;
        score->reference_n = r->count - 1;
        score->percentile = sm_percentile_rank_without(r->sorted, r->count, own->m, score->m);
        score->p_value = sm_conformal_p_without(r->sorted, r->count, own->m, score->m);
    } else {
        score->in_reference = r->images ? SM_IN_REFERENCE_NO : SM_IN_REFERENCE_UNKNOWN;
        score->reference_n = r->count;
        score->percentile = sm_percentile_rank(r->sorted, r->count, score->m);
        score->p_value = sm_conformal_p(r->sorted, r->count, score->m);
    }
    if (score->reference_n == 0)
        score->p_value = NAN;
}
