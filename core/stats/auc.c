/* Area under the ROC curve (AUC) and its intervals: DeLong's, Newcombe's and the bootstrap's.
 *
 * A member's placement is the share of others below it, with ties counted half. The AUC is the mean
 * placement. DeLong's variance is the sum over both sides of the variance of the placements divided
 * by their count (DeLong, DeLong and Clarke-Pearson 1988). Equal values have equal placements, so
 * sums run over the groups of the pooled sample (Sun and Xu 2014 use midranks for the same result).
 *
 * Newcombe's interval holds the values A with |auc - A| <= z sqrt(V(A)). V is the variance of
 * Hanley and McNeil (1982) with both counts in the numerator replaced by their mean (Newcombe,
 * Statistics in Medicine 25, 2006, method 5). Its width is never 0. But V depends on the data only
 * through auc, and is too small if the smaller side has the larger spread. DeLong's interval is
 * right in that case for large samples, but far too narrow near 0 and 1 and for small samples. So
 * each end of the stated interval is the wider of the two; tests/unit/core/stats/test_simulation.c
 * measures what it covers.
 *
 * A bootstrap sample counts how often each group is drawn for the others, sums the counts up, and
 * reads off the placements of the members it draws: O(n) without a sort. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats/pooled.h"
#include "core/stats/resample.h"
#include "core/stats/special.h"
#include "sslmem/stats.h"

static const double z_95 = 1.95996398454005423552;

/* Sums squared differences of placements from their mean: squares[0] members', squares[1]
 * others'. */
static void placement_squares(double squares[2], const struct sm_pooled *pooled, double auc)
{
    double a_count = (double)pooled->a_count, b_count = (double)pooled->b_count;
    size_t a_below = 0, b_below = 0;
    squares[0] = squares[1] = 0;
    for (size_t i = 0; i < pooled->count; i++) {
        const struct sm_tied *g = &pooled->groups[i];
        size_t a_above = pooled->a_count - a_below - g->a;
        double of_a = ((double)b_below + (double)g->b / 2) / b_count - auc;
        double of_b = ((double)a_above + (double)g->a / 2) / a_count - auc;
        squares[0] += (double)g->a * of_a * of_a;
        squares[1] += (double)g->b * of_b * of_b;
        a_below += g->a;
        b_below += g->b;
    }
}

static void delong(struct sm_auc *out, const struct sm_pooled *pooled)
{
    double m = (double)pooled->a_count, n = (double)pooled->b_count, squares[2];
    placement_squares(squares, pooled, out->auc);
    double se = sqrt(squares[0] / (m - 1) / m + squares[1] / (n - 1) / n);
    if (!(se > 0)) /* also if se is NaN: a side has one value */
        return;
    out->se = se;
    out->delong.low = fmax(0, out->auc - z_95 * se);
    out->delong.high = fmin(1, out->auc + z_95 * se);
    out->p_two_sided = 2 * sm_normal_upper(fabs(out->auc - 0.5) / se);
}

static bool newcombe_holds(double candidate, double auc, double m, double n)
{
    double a = candidate, mean = (m + n) / 2 - 1, off = auc - a;
    double variance = a * (1 - a) * (1 + mean * (1 - a) / (2 - a) + mean * a / (1 + a)) / (m * n);
    return off * off <= z_95 * z_95 * variance;
}

/* Returns the end of the interval between auc, which is inside, and `outside` (0 or 1), by
 * bisection down to the last bit. */
static double newcombe_end(double auc, double outside, double m, double n)
{
    double inside = auc;
    for (;;) {
        double middle = inside + (outside - inside) / 2;
        if (middle == inside || middle == outside)
            return inside;
        *(newcombe_holds(middle, auc, m, n) ? &inside : &outside) = middle;
    }
}

static void newcombe(struct sm_auc *out, const struct sm_pooled *pooled)
{
    double m = (double)pooled->a_count, n = (double)pooled->b_count;
    out->newcombe.low = newcombe_end(out->auc, 0, m, n);
    out->newcombe.high = newcombe_end(out->auc, 1, m, n);
    out->interval.low = fmin(out->newcombe.low, out->delong.low); /* fmin and fmax ignore a NaN */
    out->interval.high = fmax(out->newcombe.high, out->delong.high);
}

struct bootstrap {
    const struct sm_pooled *pooled;
    uint32_t *group_of_a, *group_of_b; /* group of each value: [a_count], [b_count] */
    /* [groups + 1]: resampled others below each group. Until the prefix sum, below[g + 1] counts
     * those in group g. */
    uint32_t *below;
    double *aucs; /* AUC of each resample: [resamples] */
};

static void count_others(struct bootstrap *s, struct sm_draws draws)
{
    size_t index[4], count = s->pooled->b_count;
    memset(s->below, 0, (s->pooled->count + 1) * sizeof *s->below);
    for (size_t i = 0; i < count; i += 4) {
        sm_draw_four(index, &draws, count);
        for (size_t j = 0; j < 4 && i + j < count; j++)
            s->below[s->group_of_b[index[j]] + 1]++;
    }
    for (size_t i = 0; i < s->pooled->count; i++)
        s->below[i + 1] += s->below[i];
}

static double resample_auc(struct bootstrap *s, uint64_t seed, size_t number)
{
    struct sm_draws draws = sm_draws_of(seed, number, SM_RESAMPLE_MEMBERS);
    size_t index[4], count = s->pooled->a_count;
    uint64_t twice_u = 0;
    count_others(s, sm_draws_of(seed, number, SM_RESAMPLE_OTHERS));
    for (size_t i = 0; i < count; i += 4) {
        sm_draw_four(index, &draws, count);
        for (size_t j = 0; j < 4 && i + j < count; j++) {
            const uint32_t *below = &s->below[s->group_of_a[index[j]]];
            twice_u += (uint64_t)below[0] + below[1];
        }
    }
    return (double)twice_u / 2 / ((double)count * (double)s->pooled->b_count);
}

static void list_groups(struct bootstrap *s)
{
    size_t a = 0, b = 0;
    for (size_t i = 0; i < s->pooled->count; i++) {
        const struct sm_tied *g = &s->pooled->groups[i];
        for (size_t j = 0; j < g->a; j++)
            s->group_of_a[a++] = (uint32_t)i;
        for (size_t j = 0; j < g->b; j++)
            s->group_of_b[b++] = (uint32_t)i;
    }
}

static enum sm_code bootstrap(struct sm_interval *out, const struct sm_pooled *pooled,
                              size_t resamples, uint64_t seed, struct sm_err *err)
{
    struct bootstrap s = {
        .pooled = pooled,
        .group_of_a = calloc(pooled->a_count, sizeof *s.group_of_a),
        .group_of_b = calloc(pooled->b_count, sizeof *s.group_of_b),
        .below = calloc(pooled->count + 1, sizeof *s.below),
        .aucs = calloc(resamples, sizeof *s.aucs),
    };
    enum sm_code code = SM_OK;
    if (s.group_of_a && s.group_of_b && s.below && s.aucs) {
        list_groups(&s);
        for (size_t i = 0; i < resamples; i++)
            s.aucs[i] = resample_auc(&s, seed, i);
        sm_sort(s.aucs, resamples);
        double low = sm_quantile(s.aucs, resamples, 0.025);
        double high = sm_quantile(s.aucs, resamples, 0.975);
        if (low < high) /* all resamples can have one AUC */
            *out = (struct sm_interval){low, high};
    } else {
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu bootstrap samples of %zu values",
                          resamples, pooled->a_count + pooled->b_count);
    }
    free(s.group_of_a);
    free(s.group_of_b);
    free(s.below);
    free(s.aucs);
    return code;
}

enum sm_code sm_auc_make(struct sm_auc *out, const double *members, size_t members_count,
                         const double *others, size_t others_count, size_t resamples, uint64_t seed,
                         struct sm_err *err)
{
    const struct sm_interval none = {NAN, NAN};
    *out = (struct sm_auc){NAN, NAN, none, none, none, none, NAN, false};
    if (members_count == 0 || others_count == 0)
        return SM_OK;
    struct sm_pooled pooled;
    enum sm_code code = sm_pool(&pooled, members, members_count, others, others_count, err);
    if (code != SM_OK)
        return code;
    out->auc =
        (double)sm_pooled_twice_u(&pooled) / 2 / ((double)members_count * (double)others_count);
    out->enough = members_count >= SM_AUC_SIDE_MIN && others_count >= SM_AUC_SIDE_MIN;
    delong(out, &pooled);
    newcombe(out, &pooled);
    if (resamples > 0 && isfinite(out->se))
        code = bootstrap(&out->bootstrap, &pooled, resamples, seed, err);
    sm_pooled_release(&pooled);
    return code;
}
