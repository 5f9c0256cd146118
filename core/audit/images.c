/* What each image gets from the cohorts, and the list of those that stand out.
 *
 * The reference cohort's own images are compared with the others of their cohort (leave one out):
 * compared with themselves too they could never look unusual. Their p-values are then uniform by
 * construction, which makes them no evidence. q-values belong to candidates only, since these are
 * what "memorized at FDR 5 %" is said of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/result.h"
#include "core/base/json.h"
#include "sslmem/stats.h"

#define P_BINS 20

static const double levels[SM_FDR_LEVELS] = {.01, .05, .1};

double sm_divisor(const struct sm_samples *samples)
{
    double range = samples->max - samples->min;
    return range > 0 ? range : NAN;
}

json_t *sm_normalization_json(const struct sm_samples *samples)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:o}", "population", "all scored images of this audit",
                     "n", (json_int_t)samples->scored, "min", sm_json_number(samples->min), "max",
                     sm_json_number(samples->max), "divisor", sm_json_number(sm_divisor(samples)));
}

/* Against the whole reference; an empty one says nothing. */
static void place(struct sm_image_stats *image, double m, const double *sorted, size_t count)
{
    image->percentile = sm_percentile_rank(sorted, count, m);
    image->p = count > 0 ? sm_conformal_p(sorted, count, m) : NAN;
}

/* Images of the reference by ascending m: `others` is the sorted cohort without the one in turn. */
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

enum sm_code sm_images_evaluate(struct sm_audit_result *result, const struct sm_audit *audit,
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
        *image = (struct sm_image_stats){NAN, NAN, NAN, NAN, NAN};
        if (!sm_item_scored(item))
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

static size_t count_at_most(const struct sm_audit_result *result, double limit, bool q)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct sm_image_stats *image = &result->images[c->item[i]];
        n += (q ? image->q : image->p) <= limit;
    }
    return n;
}

/* One level: how many candidates; how many of these would be chance; whether the reference is large
 * enough; how long a list is at least, if there is one: the k-th smallest p-value must be at most
 * q k/n, and none is below `smallest`. */
static json_t *level_json(const struct sm_audit_result *result, double q, size_t n, double smallest)
{
    bool defined = n > 0 && isfinite(smallest);
    double found = (double)count_at_most(result, q, true);
    return json_pack("{s:f, s:o, s:o, s:o, s:b, s:o}", "q", q, "count",
                     defined ? json_integer((json_int_t)found) : json_null(), "share",
                     sm_json_number(defined ? found / (double)n : NAN), "expected_false",
                     sm_json_number(defined ? found * q : NAN), "enough",
                     (int)(defined && smallest <= q), "at_least",
                     defined ? json_integer((json_int_t)ceil((double)n * smallest / q - 1e-9))
                             : json_null());
}

/* Candidates whose p-value is at most `p`, beside what chance would give: p-values come in steps of
 * 1/(n + 1), so the chance of one at or below p is the largest step below it. */
static json_t *p_level_json(const struct sm_audit_result *result, double p, size_t n,
                            size_t reference_n)
{
    double steps = (double)reference_n + 1;
    bool defined = n > 0 && reference_n > 0;
    return json_pack(
        "{s:f, s:o, s:o}", "p", p, "count",
        defined ? json_integer((json_int_t)count_at_most(result, p, false)) : json_null(),
        "expected", sm_json_number(defined ? (double)n * floor(p * steps + 1e-9) / steps : NAN));
}

/* Counts of the candidates' p-values in equal bins of (0, 1]. */
static json_t *p_histogram_json(const struct sm_audit_result *result)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    int64_t bins[P_BINS] = {0};
    json_t *out = json_array();
    for (size_t i = 0; i < c->count; i++) {
        double p = result->images[c->item[i]].p;
        int bin = isfinite(p) ? (int)ceil(p * P_BINS - 1e-9) - 1 : -1;
        if (bin >= 0 && bin < P_BINS)
            bins[bin]++;
    }
    for (int i = 0; i < P_BINS; i++)
        json_array_append_new(out, json_integer(bins[i]));
    return out;
}

json_t *sm_fdr_json(const struct sm_audit_result *result, const struct sm_audit *audit)
{
    size_t n = result->samples.of[SM_COHORT_CANDIDATE].count;
    size_t reference_n = result->samples.of[audit->spec->reference].count;
    double smallest = reference_n > 0 ? 1 / ((double)reference_n + 1) : NAN;
    json_t *by_q = json_array(), *by_p = json_array();
    for (int i = 0; i < SM_FDR_LEVELS; i++) {
        json_array_append_new(by_q, level_json(result, levels[i], n, smallest));
        json_array_append_new(by_p, p_level_json(result, levels[i], n, reference_n));
    }
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "reference",
                     sm_cohort_name(audit->spec->reference), "candidates", (json_int_t)n,
                     "reference_n", (json_int_t)reference_n, "p_smallest", sm_json_number(smallest),
                     "levels", by_q, "p_levels", by_p, "p_histogram", p_histogram_json(result));
}
