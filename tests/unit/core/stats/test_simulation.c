/* Do intervals cover, are p-values uniform where nothing is to be found, do bounds hold? Draws with
 * fixed seeds, so a run never differs from the last one.
 *
 * Tolerances: a share of N draws that is right with probability q has standard deviation
 * sqrt(q (1 - q)/N); four of them contain a right method with probability .9999, and so did the
 * seeds here. What is only asymptotically right is allowed a stated share besides. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/stats/share.h"
#include "sslmem/reliability.h"
#include "sslmem/stats.h"
#include "tests/unit/asserts.h"

#define DRAWS 2000

static struct sm_err err;
static uint32_t source[4]; /* the counter; a test's setup sets it back */

static int restart(void **state)
{
    (void)state;
    source[0] = source[1] = 0;
    return 0;
}

static double uniform(void)
{
    uint32_t words[4];
    sm_philox(words, (uint32_t[2]){20240116, 7}, source);
    source[0]++;
    return sm_unit(words[0], words[1]);
}

static double normal(void)
{
    double radius = sqrt(-2 * log(1 - uniform()));
    return radius * cos(6.283185307179586 * uniform());
}

static void fill(double *x, size_t count, double mean, double sd)
{
    for (size_t i = 0; i < count; i++)
        x[i] = mean + sd * normal();
}

static size_t binomial(size_t count, double p)
{
    size_t successes = 0;
    for (size_t i = 0; i < count; i++)
        successes += uniform() < p;
    return successes;
}

static bool misses(struct sm_interval i, double truth)
{
    return !(i.low <= truth && truth <= i.high);
}

/* `hits` of DRAWS with a chance in [low, high]. */
static void check_share(const char *what, size_t hits, double low, double high)
{
    double share = (double)hits / DRAWS;
    double below = 4 * sqrt(low * (1 - low) / DRAWS), above = 4 * sqrt(high * (1 - high) / DRAWS);
    if (!(share >= low - below && share <= high + above))
        fail_msg("%s: %g of the draws, must be from %g to %g", what, share, low, high);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: sqrt(N) times the greatest distance from the diagonal is above 2.23 with
 * probability 1e-4. `besides` is how far the true distribution may be from it. */
static void check_uniform(const char *what, double p[DRAWS], double besides)
{
    double distance = 0;
    qsort(p, DRAWS, sizeof *p, ascending);
    for (size_t i = 0; i < DRAWS; i++) {
        double below = (double)i / DRAWS, upto = (double)(i + 1) / DRAWS;
        distance = fmax(distance, fmax(p[i] - below, upto - p[i]));
    }
    if (!(distance <= 2.23 / sqrt(DRAWS) + besides))
        fail_msg("%s: p-values are %g off the diagonal", what, distance);
}

static void t_intervals_cover(void **state)
{
    (void)state;
    size_t student = 0, welch = 0, one = 0;
    for (int i = 0; i < DRAWS; i++) {
        double a[9], b[14];
        struct sm_ttest t;
        fill(a, 9, .5, 2);
        fill(b, 14, -.25, 2);
        sm_ttest_student(&t, a, 9, b, 14);
        student += misses((struct sm_interval){t.low, t.high}, .75);
        sm_ttest_one(&t, a, 9);
        one += misses((struct sm_interval){t.low, t.high}, .5);
        fill(b, 14, -.25, .5);
        sm_ttest_welch(&t, a, 9, b, 14);
        welch += misses((struct sm_interval){t.low, t.high}, .75);
    }
    check_share("Student misses", student, .05, .05);
    check_share("one sample misses", one, .05, .05);
    check_share("Welch misses", welch, .045, .055); /* Satterthwaite's df approximate */
}

/* Discrete: the chance of a miss is at most .05 for any p, and comes near it for large n p only. */
static void clopper_pearson_covers(void **state)
{
    (void)state;
    static const double chances[] = {.001, .02, .3, .5, .95};
    for (int c = 0; c < 5; c++) {
        size_t missed = 0;
        for (int i = 0; i < DRAWS; i++)
            missed += misses(sm_clopper_pearson(binomial(200, chances[c]), 200, .95), chances[c]);
        check_share("Clopper and Pearson miss", missed, c < 2 ? 0 : .025, .05);
    }
}

/* How many of DRAWS intervals miss. An interval without width misses, as does none. */
struct auc_misses {
    size_t stated, delong, newcombe;
};

/* Scores of spread `sd` against those of spread 1: AUC = Phi(shift/sqrt(1 + sd^2)). */
static struct auc_misses auc_misses(double auc, double shift, double sd, size_t members,
                                    size_t others)
{
    double a[30], b[100];
    struct auc_misses missed = {0};
    for (int i = 0; i < DRAWS; i++) {
        struct sm_auc got;
        fill(a, members, shift, sd);
        fill(b, others, 0, 1);
        assert_ok(sm_auc_make(&got, a, members, b, others, 0, 0, &err));
        assert_true(got.interval.low < got.interval.high);
        missed.stated += misses(got.interval, auc);
        missed.newcombe += misses(got.newcombe, auc);
        missed.delong += misses(got.delong, auc);
    }
    return missed;
}

static double covered(size_t missed)
{
    return 100 * (1 - (double)missed / DRAWS);
}

/* The stated interval, down to four a side and up to sides that are always apart: the table of
 * core/stats/README.md. It may cover too much: that is the price of the wider end of two. */
static void auc_interval_covers_small_cohorts(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{4, 4}, {10, 10}, {30, 30}, {4, 100}};
    static const double aucs[][2] = {
        {.5, 0}, {.8, .8416212335729143}, {.95, 1.6448536269514722}, {1, 100}};
    print_message("%10s %5s %9s %9s %9s\n", "scores", "AUC", "stated", "DeLong", "Newcombe");
    for (int s = 0; s < 4; s++) {
        for (int k = 0; k < 4; k++) {
            struct auc_misses missed =
                auc_misses(aucs[k][0], aucs[k][1] * sqrt(2), 1, sizes[s][0], sizes[s][1]);
            print_message("%4zu + %3zu %5.2f %7.1f %% %7.1f %% %7.1f %%\n", sizes[s][0],
                          sizes[s][1], aucs[k][0], covered(missed.stated), covered(missed.delong),
                          covered(missed.newcombe));
            check_share("AUC misses", missed.stated, 0, aucs[k][0] < 1 ? .05 : 0);
        }
    }
    /* Ten candidates of three times the spread of a hundred others: the worst for Newcombe alone. */
    struct auc_misses unlike = auc_misses(.5, 0, 3, 10, 100);
    print_message("unlike spreads: stated %.1f %%\n", covered(unlike.stated));
    check_share("AUC of unlike spreads misses", unlike.stated, 0, .09);
}

/* --- reliability --- */

#define RELIABILITY_DRAWS 500

/* Images of spread 1 whose noise has the stated standard deviation, and a standard error that is
 * estimated with 9 degrees of freedom, as of 10 views. Returns how many intervals miss. */
static size_t reliability_misses(double noise, size_t count)
{
    double m[500], se[500], truth = 1 / (1 + noise * noise);
    size_t missed = 0;
    for (int i = 0; i < RELIABILITY_DRAWS; i++) {
        struct sm_reliability got;
        for (size_t k = 0; k < count; k++) {
            double chi = 0;
            for (int j = 0; j < 9; j++) {
                double x = normal();
                chi += x * x;
            }
            m[k] = normal() + noise * normal();
            se[k] = noise * sqrt(chi / 9);
        }
        assert_ok(sm_reliability_make(&got, m, se, count, 400, (uint64_t)i, &err));
        missed += misses(got.interval, truth);
    }
    return missed;
}

/* The bootstrap is first-order right: it covers 95 % of large cohorts, and less of small ones,
 * since a resample has less spread than the cohort. The table of core/stats/README.md. */
static void reliability_interval_covers(void **state)
{
    (void)state;
    static const size_t counts[] = {20, 80, 500};
    static const double least[] = {.86, .91, .93}; /* what is measured, less about a point */
    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 3; k++) {
            double reliability = (double[]){.4, .6, .8}[k];
            size_t missed = reliability_misses(sqrt(1 / reliability - 1), counts[c]);
            double share = 1 - (double)missed / RELIABILITY_DRAWS;
            print_message("%3zu images, reliability %.1f: covered %.1f %%\n", counts[c],
                          reliability, 100 * share);
            assert_true(share >= least[c]);
        }
    }
}

/* --- views --- */

#define VIEW_DIM    16
#define LATENT_MAX  20
#define VIEWS_MAX   1200
#define IMAGES      4
#define VIEW_MODELS 6

/* An image under two encoders: latent views z of `latent` dimensions, normal or with the tails of
 * Student's t at 3 df, go to representations offset + z weights. */
struct model {
    int latent;
    bool heavy;
    double offset[VIEW_DIM], weights[2][LATENT_MAX][VIEW_DIM];
};

static void make_model(struct model *m, int latent, bool heavy)
{
    *m = (struct model){.latent = latent, .heavy = heavy};
    for (int d = 0; d < VIEW_DIM; d++)
        m->offset[d] = 2 * normal();
    for (int i = 0; i < latent; i++) {
        for (int d = 0; d < VIEW_DIM; d++) {
            m->weights[0][i][d] = normal() / sqrt(latent);
            m->weights[1][i][d] = m->weights[0][i][d] + normal() / sqrt(4 * latent);
        }
    }
}

static void normalise(double *x)
{
    double squares = 0;
    for (int d = 0; d < VIEW_DIM; d++)
        squares += x[d] * x[d];
    for (int d = 0; d < VIEW_DIM; d++)
        x[d] /= sqrt(squares);
}

/* One view as both encoders represent it; `scale` 0: the unaugmented image. */
static void draw_view(double out[2][VIEW_DIM], const struct model *m, double scale)
{
    double z[LATENT_MAX], chi = 0;
    for (int i = 0; i < m->latent; i++)
        z[i] = normal() * scale;
    for (int i = 0; m->heavy && i < 3; i++) {
        double x = normal();
        chi += x * x;
    }
    for (int e = 0; e < 2; e++) {
        for (int d = 0; d < VIEW_DIM; d++) {
            double sum = 0;
            for (int i = 0; i < m->latent; i++)
                sum += z[i] * m->weights[e][i][d];
            out[e][d] = m->offset[d] + sum * (m->heavy ? sqrt(3 / chi) : 1);
        }
        normalise(out[e]);
    }
}

static double distance_difference(double (*a)[VIEW_DIM], double (*b)[VIEW_DIM])
{
    double squares[2] = {0};
    for (int e = 0; e < 2; e++)
        for (int d = 0; d < VIEW_DIM; d++)
            squares[e] += (a[e][d] - b[e][d]) * (a[e][d] - b[e][d]);
    return sqrt(squares[1]) - sqrt(squares[0]);
}

static double views[VIEWS_MAX][2][VIEW_DIM];

static void draw_views(const struct model *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        draw_view(views[i], m, 1);
}

static double true_pairs(const struct model *m)
{
    double sum = 0;
    draw_views(m, VIEWS_MAX);
    for (size_t i = 0; i < VIEWS_MAX; i++)
        for (size_t j = i + 1; j < VIEWS_MAX; j++)
            sum += distance_difference(views[i], views[j]);
    return sum / ((double)VIEWS_MAX * (VIEWS_MAX - 1) / 2);
}

static void pairs_of(struct sm_jackknife *out, const struct model *m, size_t count)
{
    double d[20 * 20];
    draw_views(m, count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            d[i * count + j] = distance_difference(views[i], views[j]);
    sm_jackknife_pairs(out, d, count);
}

static double true_anchor(const struct model *m)
{
    double anchor[2][VIEW_DIM], sum = 0;
    draw_view(anchor, m, 0);
    for (int round = 0; round < 10; round++) {
        draw_views(m, VIEWS_MAX);
        for (size_t i = 0; i < VIEWS_MAX; i++)
            sum += distance_difference(anchor, views[i]);
    }
    return sum / (10 * VIEWS_MAX);
}

static void anchor_of(struct sm_jackknife *out, const struct model *m, size_t count)
{
    double anchor[2][VIEW_DIM], d[20];
    draw_view(anchor, m, 0);
    draw_views(m, count);
    for (size_t i = 0; i < count; i++)
        d[i] = distance_difference(anchor, views[i]);
    sm_jackknife_mean(out, d, count);
}

static const struct {
    const char *name;
    double (*truth)(const struct model *m);
    void (*score)(struct sm_jackknife *out, const struct model *m, size_t count);
} modes[] = {{"pairs", true_pairs, pairs_of}, {"anchor", true_anchor, anchor_of}};

/* What the draws of one number of views come to. */
struct tally {
    size_t missed;
    double errors, se, wide_se; /* sums of squares */
};

static void tally_draws(struct tally *t, int mode, const struct model *m, double truth,
                        size_t count)
{
    for (int i = 0; i < DRAWS / IMAGES; i++) {
        struct sm_jackknife got;
        modes[mode].score(&got, m, count);
        t->missed += misses(sm_interval_of(got.theta, &got.wide_se, &got.df, 1), truth);
        t->errors += (got.theta - truth) * (got.theta - truth);
        t->se += got.se * got.se;
        t->wide_se += got.wide_se * got.wide_se;
    }
}

/* Intervals of scores cover 93 to 97 % over all models, at each number of views and in both modes;
 * of one model 4 sd more or less. The squared standard error is the variance: to 12 % above, since
 * it is never below what independent distances would have, and 8 % below. The jackknife alone is
 * above it. */
static void view_intervals_cover(void **state)
{
    (void)state;
    static const size_t counts[] = {5, 10, 20};
    for (int mode = 0; mode < 2; mode++) {
        struct tally all[3] = {0};
        for (int k = 0; k < VIEW_MODELS; k++) {
            struct tally own[3] = {0};
            for (int image = 0; image < IMAGES; image++) {
                struct model m;
                make_model(&m, (int[]){2, 5, 20}[k % 3], k > 2);
                double truth = modes[mode].truth(&m);
                for (int c = 0; c < 3; c++)
                    tally_draws(&own[c], mode, &m, truth, counts[c]);
            }
            for (int c = 0; c < 3; c++) {
                check_share(modes[mode].name, own[c].missed, .03, .07);
                all[c].missed += own[c].missed;
                all[c].errors += own[c].errors;
                all[c].se += own[c].se;
                all[c].wide_se += own[c].wide_se;
            }
        }
        for (int c = 0; c < 3; c++) {
            double covered = 1 - (double)all[c].missed / (VIEW_MODELS * DRAWS);
            double ratio = all[c].se / all[c].errors;
            print_message("%-6s %2zu views: covered %.3f, se^2 / variance %.3f, jackknife %.3f\n",
                          modes[mode].name, counts[c], covered, ratio,
                          all[c].wide_se / all[c].errors);
            assert_true(covered >= .93 && covered <= .97);
            assert_true(ratio >= .92 && ratio <= (c ? 1.12 : 1.2));
            assert_true(mode == 1 || all[c].wide_se > 1.02 * all[c].se);
        }
    }
}

/* Normal scores one apart: AUC = Phi(1/sqrt(2)). Both intervals are first-order right: two points
 * are allowed besides at these sizes. */
static void auc_intervals_cover(void **state)
{
    (void)state;
    double truth = erfc(-.5) / 2;
    size_t delong = 0, bootstrap = 0;
    for (int i = 0; i < DRAWS; i++) {
        double a[80], b[60];
        struct sm_auc auc;
        fill(a, 80, 1, 1);
        fill(b, 60, 0, 1);
        assert_ok(sm_auc_make(&auc, a, 80, b, 60, 200, (uint64_t)i, &err));
        delong += misses(auc.delong, truth);
        bootstrap += misses(auc.bootstrap, truth);
    }
    check_share("DeLong misses", delong, .03, .07);
    check_share("bootstrap misses", bootstrap, .03, .07);
}

static void p_values_of_means_are_uniform(void **state)
{
    (void)state;
    static double welch[DRAWS], greater[DRAWS], one[DRAWS];
    for (int i = 0; i < DRAWS; i++) {
        double a[12], b[20];
        struct sm_ttest t;
        fill(a, 12, 3, 1);
        fill(b, 20, 3, 4);
        sm_ttest_welch(&t, a, 12, b, 20);
        welch[i] = t.p_two_sided;
        greater[i] = t.p_greater;
        fill(a, 12, 0, 4);
        sm_ttest_one(&t, a, 12);
        one[i] = t.p_two_sided;
    }
    check_uniform("Welch", welch, .005);
    check_uniform("Welch, one-sided", greater, .005);
    check_uniform("one sample", one, 0);
}

/* P(U = u) at its mean is the greatest step: 1/(sd sqrt(2 pi)), sd = 67.6 for 30 a side; a two-sided
 * p takes two. Of the C(15, 6) orders of 6 and 9 values 453 have an exact p at or below .1. */
static void p_values_of_ranks_are_uniform(void **state)
{
    (void)state;
    static double two_sided[DRAWS], greater[DRAWS], delong[DRAWS];
    size_t exact = 0;
    for (int i = 0; i < DRAWS; i++) {
        double a[90], b[90];
        struct sm_mwu u;
        struct sm_auc auc;
        fill(a, 90, 0, 1);
        fill(b, 90, 0, 1);
        assert_ok(sm_mann_whitney(&u, a, 30, b, 30, &err));
        two_sided[i] = u.p_two_sided;
        greater[i] = u.p_greater;
        assert_ok(sm_mann_whitney(&u, a, 6, b, 9, &err));
        exact += u.p_greater <= .1;
        assert_ok(sm_auc_make(&auc, a, 90, b, 90, 0, 0, &err));
        delong[i] = auc.p_two_sided;
    }
    check_uniform("Mann-Whitney", two_sided, .012);
    check_uniform("Mann-Whitney, one-sided", greater, .006);
    check_share("exact Mann-Whitney", exact, 453.0 / 5005, 453.0 / 5005);
    check_uniform("DeLong", delong, .02);
}

/* Of 100 exchangeable values each rank is as likely: p is uniform on k/100 exactly. */
static void conformal_p_values_are_uniform(void **state)
{
    (void)state;
    static double p[DRAWS];
    for (int i = 0; i < DRAWS; i++) {
        double ref[99];
        fill(ref, 99, 0, 1);
        qsort(ref, 99, sizeof *ref, ascending);
        p[i] = sm_conformal_p(ref, 99, normal());
    }
    check_uniform("conformal", p, .01);
}

/* Scores with much noise; those above the quantile .7 are measured again with little noise, which
 * they keep. Returns the p-value of the first of 40 values against the last 99 or, where those are
 * not measured again, against them as they were. */
static double two_stage_p(bool same_threshold)
{
    double first[139], last[139], sorted[139];
    for (int i = 0; i < 139; i++) {
        double truth = normal(), noise = normal();
        first[i] = truth + noise;
        last[i] = truth + .3 * normal();
        sorted[i] = first[i];
    }
    qsort(sorted, 139, sizeof *sorted, ascending);
    double threshold = sm_quantile(sorted, 139, .7);
    for (int i = 0; i < 139; i++)
        if (first[i] > threshold && (same_threshold || i < 40))
            first[i] = last[i];
    qsort(first + 40, 99, sizeof *first, ascending);
    return sm_conformal_p(first + 40, 99, first[0]);
}

/* A threshold that pooled scores decide, for candidates and reference alike, maps exchangeable
 * scores to exchangeable scores: p stays uniform on k/100. If candidates alone were measured again,
 * it would not. */
static void two_stages_with_one_threshold_keep_p_values_uniform(void **state)
{
    (void)state;
    static double p[DRAWS];
    size_t small = 0;
    for (int i = 0; i < DRAWS; i++) {
        p[i] = two_stage_p(true);
        small += two_stage_p(false) <= .05;
    }
    check_uniform("two stages", p, .01);
    assert_true((double)small / DRAWS < .05 - 4 * sqrt(.05 * .95 / DRAWS)); /* finds too little */
}

/* Pearson's p is exact for normal values. Kendall's S moves by two, its sd is 85 for 40 pairs;
 * Spearman's t is approximate. */
static void p_values_of_agreement_are_uniform(void **state)
{
    (void)state;
    static double pearson[DRAWS], spearman[DRAWS], kendall[DRAWS];
    for (int i = 0; i < DRAWS; i++) {
        double x[40], y[40];
        struct sm_correlation c;
        fill(x, 40, 0, 1);
        fill(y, 40, 0, 1);
        sm_pearson(&c, x, y, 7);
        pearson[i] = c.p_two_sided;
        assert_ok(sm_spearman(&c, x, y, 40, &err));
        spearman[i] = c.p_two_sided;
        assert_ok(sm_kendall(&c, x, y, 40, &err));
        kendall[i] = c.p_two_sided;
    }
    check_uniform("Pearson", pearson, 0);
    check_uniform("Spearman", spearman, .01);
    check_uniform("Kendall", kendall, .02);
}

/* 30 of 50 hypotheses are true: for independent tests the expected share of true ones among those
 * rejected is .2 * 30/50 exactly. */
static void benjamini_hochberg_holds_its_rate(void **state)
{
    (void)state;
    static double shares[DRAWS];
    size_t found = 0;
    for (int i = 0; i < DRAWS; i++) {
        double q[50];
        size_t wrong = 0, right = 0;
        for (int j = 0; j < 50; j++)
            q[j] = erfc((normal() + (j < 30 ? 0 : 2.5)) / sqrt(2)) / 2;
        assert_ok(sm_bh_q(q, q, 50, &err));
        for (int j = 0; j < 50; j++)
            *(j < 30 ? &wrong : &right) += q[j] <= .2;
        shares[i] = wrong ? (double)wrong / (double)(wrong + right) : 0;
        found += right;
    }
    double se = sqrt(sm_variance(shares, DRAWS) / DRAWS);
    assert_true(fabs(sm_mean(shares, DRAWS) - .12) <= 4 * se && se < .01);
    assert_true(found > DRAWS * 20 / 2); /* not by finding nothing */
}

/* Randomised response, and with probability delta the plain answer: (epsilon, delta)-DP and no
 * better. */
static void epsilon_bound_holds(void **state)
{
    (void)state;
    static const double deltas[] = {0, .05};
    for (int d = 0; d < 2; d++) {
        double truth = 1.5, fpr = (1 - deltas[d]) / (1 + exp(truth));
        double tpr = deltas[d] + fpr * exp(truth);
        size_t over = 0, weak = 0;
        for (int i = 0; i < DRAWS; i++) {
            size_t tp = binomial(150, tpr), fp = binomial(250, fpr);
            double bound = sm_epsilon_lower(tp, 150, fp, 250, deltas[d], .95);
            over += bound > truth;
            weak += bound < .5;
        }
        check_share("bound over epsilon", over, 0, .05);
        check_share("bound says little", weak, 0, .05);
    }
}

/* The percentile interval of a quotient of three counts, two of them small, may be a little short. */
static void used_shares_are_covered(void **state)
{
    (void)state;
    static const double truths[] = {0, .3, .7, 1};
    for (size_t t = 0; t < sizeof truths / sizeof *truths; t++) {
        size_t missed = 0;
        for (size_t i = 0; i < DRAWS; i++) {
            double p = truths[t] * .6 + (1 - truths[t]) * .1;
            const struct sm_share_counts counts = {
                {binomial(200, p), 200}, {binomial(60, .6), 60}, {binomial(100, .1), 100}};
            struct sm_used_share got;
            assert_ok(sm_used_share(&got, &counts, 200, i, &err));
            missed += misses(got.interval, truths[t]);
        }
        check_share("intervals of a used share that miss it", missed, .05, .06);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t_intervals_cover, restart),
        cmocka_unit_test_setup(clopper_pearson_covers, restart),
        cmocka_unit_test_setup(auc_intervals_cover, restart),
        cmocka_unit_test_setup(auc_interval_covers_small_cohorts, restart),
        cmocka_unit_test_setup(reliability_interval_covers, restart),
        cmocka_unit_test_setup(view_intervals_cover, restart),
        cmocka_unit_test_setup(p_values_of_means_are_uniform, restart),
        cmocka_unit_test_setup(p_values_of_ranks_are_uniform, restart),
        cmocka_unit_test_setup(conformal_p_values_are_uniform, restart),
        cmocka_unit_test_setup(two_stages_with_one_threshold_keep_p_values_uniform, restart),
        cmocka_unit_test_setup(p_values_of_agreement_are_uniform, restart),
        cmocka_unit_test_setup(benjamini_hochberg_holds_its_rate, restart),
        cmocka_unit_test_setup(epsilon_bound_holds, restart),
        cmocka_unit_test_setup(used_shares_are_covered, restart),
    };
    return cmocka_run_group_tests_name("simulations", tests, NULL, NULL);
}
