/* What part of the spread of the scores is noise of the drawn views, cohort by cohort, and the
 * scores shrunk by it.
 *
 * A score is shrunk towards the mean of its cohort and the reference together: the noisier it is,
 * the less it can stand out by luck. Lists and galleries rank by shrunken scores. Tests, p-values
 * and gates keep the scores as measured, because their validity rests on equal treatment of every
 * image. */
#include "core/audit/reliability.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "sslmem/recipe.h"

static const double wanted[SM_RELIABLES] = {[SM_RELIABLE_8] = .8, [SM_RELIABLE_9] = .9};

/* Scores of one cohort, and behind them those of the reference. */
struct pool {
    double *m, *se;
    size_t count;
};

static void gather(struct pool *pool, const struct sm_audit *audit, const struct sm_sample *sample)
{
    for (size_t i = 0; i < sample->count; i++) {
        pool->m[pool->count] = sample->m[i];
        pool->se[pool->count++] = audit->items[sample->item[i]].m_se;
    }
}

static bool has_many_encoders(const struct sm_audit *audit)
{
    const json_t *sides = json_object_get(audit->pair, "encoders");
    return json_array_size(json_object_get(sides, "f")) > 1 ||
           json_array_size(json_object_get(sides, "g")) > 1;
}

static void put_words(struct sm_audit_reliability_row *row, enum sm_cohort cohort, bool has_g)
{
    const struct sm_reliability *r = &row->of;
    char *at = row->words, *end = at + sizeof row->words;
    if (!isfinite(r->value)) {
        snprintf(at, sizeof row->words,
                 "what part of the spread of %s is noise of the views is unknown: %s",
                 sm_cohort_plural(cohort),
                 has_g ? "their scores have no standard error, or no spread"
                       : "the pair has no g, so there is no score m");
        return;
    }
    at += snprintf(at, (size_t)(end - at),
                   "%s %% of the variance of the scores of %s is noise of the drawn views: "
                   "reliability %s",
                   SM_THREE(100 * (1 - r->value)), sm_cohort_plural(cohort), SM_THREE(r->value));
    if (isfinite(r->interval.low))
        at += snprintf(at, (size_t)(end - at), ", 95 %% interval %s to %s",
                       SM_THREE(r->interval.low), SM_THREE(r->interval.high));
    if (isfinite(row->needed[SM_RELIABLE_8].views))
        snprintf(at, (size_t)(end - at), "; 0.8 takes %.0f views, 0.9 takes %.0f",
                 row->needed[SM_RELIABLE_8].views, row->needed[SM_RELIABLE_9].views);
}

static void fill_needed(struct sm_audit_reliability_row *row, double views)
{
    for (int i = 0; i < SM_RELIABLES; i++) {
        double needed = sm_views_needed(row->of.value, views, wanted[i]);
        row->needed[i] = (struct sm_audit_views_needed){wanted[i], needed};
        if (needed < SM_VIEWS_MIN) /* false for NAN */
            row->needed[i].views = SM_VIEWS_MIN;
    }
}

static enum sm_code fill_cohort(struct sm_audit_result *result, const struct sm_audit *audit,
                                struct pool *pool, enum sm_cohort cohort, struct sm_err *err)
{
    struct sm_audit_reliability *all = &result->summary.reliability;
    struct sm_audit_reliability_row *row = &all->cohorts[cohort];
    const struct sm_sample *sample = &result->samples.of[cohort];
    pool->count = 0;
    gather(pool, audit, sample);
    enum sm_code code = sm_reliability_make(&row->of, pool->m, pool->se, pool->count,
                                            (size_t)audit->spec->resamples, audit->spec->seed, err);
    if (cohort != audit->spec->reference)
        gather(pool, audit, &result->samples.of[audit->spec->reference]);
    sm_shrinkage_make(&row->shrinkage, pool->m, pool->se, pool->count);
    for (size_t i = 0; i < sample->count; i++)
        result->images[sample->item[i]].shrunken =
            sm_shrunken(&row->shrinkage, pool->m[i], pool->se[i]);
    row->key = sm_cohort_name(cohort);
    row->n = (int64_t)row->of.count;
    row->pooled_n = (int64_t)row->shrinkage.count;
    fill_needed(row, all->views);
    put_words(row, cohort, result->samples.has_g);
    return code;
}

/* Ranks candidates by shrunken score, equal ones by the score as measured: where all spread is
 * noise, every shrunken score is the mean. A candidate without a standard error counts as
 * measured. */
static enum sm_code rank_shrunken(struct sm_audit_result *result, const struct sm_audit *audit,
                                  struct sm_err *err)
{
    size_t n = result->samples.of[SM_COHORT_CANDIDATE].count;
    size_t *order = calloc(n + 1, sizeof *order);
    double *keys = calloc(n + 1, sizeof *keys);
    enum sm_code code = SM_OK;
    result->ranked_shrunken = calloc(n + 1, sizeof *result->ranked_shrunken);
    if (!order || !keys || !result->ranked_shrunken)
        code = sm_err_set(err, SM_NOMEM, "out of memory for the order of %zu images", n);
    for (size_t i = 0; code == SM_OK && i < n; i++) {
        double shrunken = result->images[result->ranked[i]].shrunken;
        keys[i] = isfinite(shrunken) ? shrunken : audit->items[result->ranked[i]].m;
    }
    if (code == SM_OK)
        code = sm_order_descending(order, keys, n, err);
    for (size_t i = 0; code == SM_OK && i < n; i++)
        result->ranked_shrunken[i] = result->ranked[order[i]];
    free(order);
    free(keys);
    return code;
}

enum sm_code sm_part_reliability(struct sm_audit_result *result, const struct sm_audit *audit,
                                 struct sm_err *err)
{
    struct sm_audit_reliability *out = &result->summary.reliability;
    size_t room = result->samples.scored + 1;
    struct pool pool = {calloc(room, sizeof *pool.m), calloc(room, sizeof *pool.se), 0};
    const json_t *views = json_object_get(audit->recipe, "views");
    enum sm_code code = SM_OK;
    out->resamples = audit->spec->resamples;
    if (json_object_get(audit->recipe, "target_se"))
        out->note = "views were added until a standard error was reached, so their number differs "
                    "by image: how many views another reliability takes is not told";
    else if (has_many_encoders(audit))
        out->note = "a side has several encoders: the noise contains the spread between them, "
                    "which more views do not lower, so how many views another reliability takes is "
                    "not told";
    else if (json_is_integer(views))
        out->views = (double)json_integer_value(views);
    if (!out->note && result->samples.has_g && sm_audit_stratified(audit))
        out->note = "the views are stratified, so the standard errors are upper bounds: the "
                    "reliability is a lower bound, the views needed are an upper bound, and scores "
                    "are shrunken too far rather than too little";
    if (!pool.m || !pool.se)
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu scores", result->samples.scored);
    for (int c = 0; code == SM_OK && c < SM_COHORTS; c++)
        code = fill_cohort(result, audit, &pool, (enum sm_cohort)c, err);
    free(pool.m);
    free(pool.se);
    return code == SM_OK ? rank_shrunken(result, audit, err) : code;
}
