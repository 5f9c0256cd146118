/* Statistics of each image against the cohorts, and the lists of candidates that stand out.
 *
 * An image of the reference cohort is compared with the others of its cohort (leave one out):
 * compared with itself too, it could never look unusual. Its p-value is uniform by construction and
 * therefore no evidence. Only candidates have q-values, because "memorized at FDR 5 %" is a
 * statement about candidates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/result.h"
#include "sslmem/stats.h"

static const double levels[SM_FDRS] = {[SM_FDR_1] = .01, [SM_FDR_5] = .05, [SM_FDR_10] = .1};

double sm_divisor(const struct sm_samples *samples)
{
    double range = samples->max - samples->min;
    return range > 0 ? range : NAN;
}

/* Compares a score with sorted reference scores; undefined without any. */
static void place(struct sm_image_stats *image, double m, const double *sorted, size_t count)
{
    image->percentile = sm_percentile_rank(sorted, count, m);
    image->p = count > 0 ? sm_conformal_p(sorted, count, m) : NAN;
}

/* Walks the reference by ascending m; `others` is the sorted cohort without the current image. */
static enum sm_code place_reference(struct sm_image_stats *images, const struct sm_sample *r,
                                    struct sm_err *err)
{
    size_t *order = calloc(r->count + 1, sizeof *order);
    double *others = calloc(r->count + 1, sizeof *others);
    enum sm_code code = SM_OK;
    if (!order || !others)
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu reference images", r->count);
    else
        code = sm_order_descending(order, r->m, r->count, err);
    if (code == SM_OK && r->count > 0)
        memcpy(others, r->sorted + 1, (r->count - 1) * sizeof *others);
    for (size_t i = 0; code == SM_OK && i < r->count; i++) {
        size_t at = order[r->count - 1 - i];
        place(&images[r->item[at]], r->m[at], others, r->count - 1);
        others[i] = r->sorted[i];
    }
    free(order);
    free(others);
    return code;
}

static enum sm_code q_values(struct sm_image_stats *images, const struct sm_sample *candidates,
                             struct sm_err *err)
{
    size_t n = candidates->count;
    double *q = calloc(n + 1, sizeof *q);
    if (!q)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu q-values", n);
    for (size_t i = 0; i < n; i++)
        q[i] = images[candidates->item[i]].p;
    enum sm_code code = sm_bh_q(q, q, n, err);
    for (size_t i = 0; code == SM_OK && i < n; i++)
        images[candidates->item[i]].q = q[i];
    free(q);
    return code;
}

static enum sm_code rank_candidates(struct sm_audit_result *result, struct sm_err *err)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    result->ranked = calloc(c->count + 1, sizeof *result->ranked);
    if (!result->ranked)
        return sm_err_set(err, SM_NOMEM, "out of memory for the order of %zu images", c->count);
    enum sm_code code = sm_order_descending(result->ranked, c->m, c->count, err);
    for (size_t i = 0; code == SM_OK && i < c->count; i++)
        result->ranked[i] = c->item[result->ranked[i]];
    return code;
}

static enum sm_code place_images(struct sm_audit_result *result, const struct sm_audit *audit,
                                 struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    const struct sm_sample *reference = &samples->of[audit->spec->reference];
    double mean = sm_mean(reference->m, reference->count), divisor = sm_divisor(samples);
    result->images = calloc(audit->items_count + 1, sizeof *result->images);
    if (!result->images)
        return sm_err_set(err, SM_NOMEM, "out of memory for the statistics of %zu images",
                          audit->items_count);
    for (size_t i = 0; i < audit->items_count; i++) {
        const struct sm_audit_item *item = &audit->items[i];
        struct sm_image_stats *image = &result->images[i];
        *image = (struct sm_image_stats){NAN, NAN, NAN, NAN, NAN, NAN};
        if (!sm_item_scored(item, samples->has_g) || !samples->has_g)
            continue;
        image->centered = item->m - mean;
        image->normalized = item->m / divisor;
        if (item->cohort != audit->spec->reference)
            place(image, item->m, reference->sorted, reference->count);
    }
    enum sm_code code = place_reference(result->images, reference, err);
    if (code == SM_OK && reference->count > 0)
        code = q_values(result->images, &samples->of[SM_COHORT_CANDIDATE], err);
    return code == SM_OK ? rank_candidates(result, err) : code;
}

static double count_at_most(const struct sm_audit_result *result, double limit, bool q)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct sm_image_stats *image = &result->images[c->item[i]];
        n += (q ? image->q : image->p) <= limit;
    }
    return (double)n;
}

/* A list that is not empty has at least `at_least` candidates: it holds k candidates only if the
 * k-th smallest of n p-values is at most q k/n, and no p-value is below 1/(reference_n + 1). */
static void fill_level(struct sm_audit_fdr_level *out, double q, const struct sm_audit_fdr *fdr,
                       const struct sm_audit_result *result)
{
    double n = (double)fdr->candidates;
    out->q = q;
    if (!(n > 0 && isfinite(fdr->p_smallest)))
        return;
    out->count = count_at_most(result, q, true);
    out->share = out->count / n;
    out->expected_false = out->count * q;
    out->enough = fdr->p_smallest <= q;
    out->at_least = ceil(n * fdr->p_smallest / q - 1e-9);
}

/* p-values come in steps of 1/(reference_n + 1), so the chance of a p-value of at most p is the
 * largest step that is not above p. */
static void fill_p_level(struct sm_audit_p_level *out, double p, const struct sm_audit_fdr *fdr,
                         const struct sm_audit_result *result)
{
    double steps = (double)fdr->reference_n + 1;
    out->p = p;
    if (fdr->candidates == 0 || fdr->reference_n == 0)
        return;
    out->count = count_at_most(result, p, false);
    out->expected = (double)fdr->candidates * floor(p * steps + 1e-9) / steps;
}

static void count_p_values(int64_t bins[SM_P_BINS], const struct sm_audit_result *result)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    for (size_t i = 0; i < c->count; i++) {
        double p = result->images[c->item[i]].p;
        int bin = isfinite(p) ? (int)ceil(p * SM_P_BINS - 1e-9) - 1 : -1;
        if (bin >= 0 && bin < SM_P_BINS)
            bins[bin]++;
    }
}

static void fill_fdr(struct sm_audit_fdr *fdr, const struct sm_audit_result *result,
                     enum sm_cohort reference)
{
    fdr->reference = reference;
    fdr->candidates = (int64_t)result->samples.of[SM_COHORT_CANDIDATE].count;
    fdr->reference_n = (int64_t)result->samples.of[reference].count;
    if (fdr->reference_n > 0)
        fdr->p_smallest = 1 / ((double)fdr->reference_n + 1);
    for (int i = 0; i < SM_FDRS; i++) {
        fill_level(&fdr->levels[i], levels[i], fdr, result);
        fill_p_level(&fdr->p_levels[i], levels[i], fdr, result);
    }
    count_p_values(fdr->p_histogram, result);
}

enum sm_code sm_part_images(struct sm_audit_result *result, const struct sm_audit *audit,
                            struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    struct sm_audit_images *images = &result->summary.images;
    enum sm_code code = place_images(result, audit, err);
    if (code != SM_OK)
        return code;
    images->total = (int64_t)audit->items_count;
    images->scored = (int64_t)samples->scored;
    images->failed = (int64_t)samples->failed;
    if (audit->items_count > 0)
        images->failed_share = (double)samples->failed / (double)audit->items_count;
    result->summary.normalization =
        (struct sm_audit_normalization){.population = "all scored images of this audit",
                                        .n = (int64_t)samples->scored,
                                        .min = samples->min,
                                        .max = samples->max,
                                        .divisor = sm_divisor(samples)};
    fill_fdr(&result->summary.fdr, result, audit->spec->reference);
    return SM_OK;
}
