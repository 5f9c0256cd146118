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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(t_intervals_cover, restart),
        cmocka_unit_test_setup(clopper_pearson_covers, restart),
        cmocka_unit_test_setup(auc_intervals_cover, restart),
        cmocka_unit_test_setup(p_values_of_means_are_uniform, restart),
        cmocka_unit_test_setup(p_values_of_ranks_are_uniform, restart),
        cmocka_unit_test_setup(conformal_p_values_are_uniform, restart),
        cmocka_unit_test_setup(p_values_of_agreement_are_uniform, restart),
        cmocka_unit_test_setup(benjamini_hochberg_holds_its_rate, restart),
        cmocka_unit_test_setup(epsilon_bound_holds, restart),
    };
    return cmocka_run_group_tests_name("simulations", tests, NULL, NULL);
}
