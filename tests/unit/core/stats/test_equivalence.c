/* Fieller's interval, equivalence tests and the distance of an AUC from guessing: against SciPy
 * (tests/golden/make_unlearning.py), where nothing is defined, and on drawn samples: do intervals
 * cover, and how often do the tests show what is not so? */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "sslmem/equivalence.h"
#include "tests/unit/core/stats/vectors.h"

struct group {
    struct vector x, y;
    struct sm_pairs pairs;
};

static struct group group_of(const json_t *node)
{
    struct group g = {0};
    if (!json_is_object(node))
        return g;
    g.x = values(node, "x");
    g.y = values(node, "y");
    g.pairs = (struct sm_pairs){g.x.x, g.y.x, g.x.count};
    return g;
}

static void let_go(struct group *a, struct group *b)
{
    free(a->x.x);
    free(a->y.x);
    free(b->x.x);
    free(b->y.x);
}

static void fieller_matches_the_roots_of_the_test(void **state)
{
    (void)state;
    json_t *cases = load("fieller"), *c;
    size_t i, bounded = 0, unbounded = 0;
    json_array_foreach(cases, i, c)
    {
        struct group a = group_of(json_object_get(c, "a")), b = group_of(json_object_get(c, "b"));
        struct sm_ratio got;
        sm_fieller(&got, &a.pairs, b.pairs.count ? &b.pairs : NULL);
        check("x", got.x, field(c, "x"), 1e-12, 1e-16);
        check("y", got.y, field(c, "y"), 1e-12, 1e-16);
        check("df", got.df, field(c, "df"), 0, 0);
        check("ratio", got.value, field(c, "value"), 1e-11, 1e-14);
        check("low", got.low, field(c, "low"), 1e-9, 1e-11);
        check("high", got.high, field(c, "high"), 1e-9, 1e-11);
        bounded += isfinite(got.low);
        unbounded += isnan(got.low);
        let_go(&a, &b);
    }
    assert_true(bounded >= 5 && unbounded >= 2);
    json_decref(cases);
}

static void equivalence_matches_scipy(void **state)
{
    (void)state;
    json_t *cases = load("tost"), *c;
    size_t i;
    json_array_foreach(cases, i, c)
    {
        struct group a = group_of(json_object_get(c, "a")), b = group_of(json_object_get(c, "b"));
        struct sm_tost got;
        sm_tost_welch(&got, &a.pairs, b.pairs.count ? &b.pairs : NULL,
                      (struct sm_margin){field(c, "delta"), field(c, "share")});
        check("margin", got.margin, field(c, "margin"), 1e-11, 1e-16);
        check("p above", got.p_above, field(c, "p_above"), 1e-8, 1e-300);
        check("p below", got.p_below, field(c, "p_below"), 1e-8, 1e-300);
        check("p", got.p, field(c, "p"), 1e-8, 1e-300);
        let_go(&a, &b);
    }
    json_decref(cases);
}

static void deviations_go_both_ways(void **state)
{
    (void)state;
    json_t *cases = load("deviation"), *c;
    size_t i;
    struct sm_auc_deviation got;
    json_array_foreach(cases, i, c)
    {
        const json_t *ends = json_object_get(c, "interval");
        struct sm_auc auc = {.auc = field(c, "auc"), .interval = {at(ends, 0), at(ends, 1)}};
        sm_auc_deviation(&got, &auc);
        check("value", got.value, field(c, "value"), 1e-15, 0);
        check("low", got.low, field(c, "low"), 1e-15, 0);
        check("high", got.high, field(c, "high"), 1e-15, 0);
    }
    json_decref(cases);
    sm_auc_deviation(&got, &(struct sm_auc){.auc = NAN, .interval = {NAN, NAN}});
    assert_true(isnan(got.value) && isnan(got.low) && isnan(got.high));
}

static void what_cannot_be_known_is_undefined(void **state)
{
    (void)state;
    static const double y[] = {.1, .3, .2, .4}, none[4] = {0}, same[] = {.1, .1, .1, .1};
    const struct sm_pairs half = {y, y, 4}, gone = {none, y, 4}, one = {y, y, 1};
    const struct sm_pairs flat = {same, y, 4}, still = {none, none, 4};
    struct sm_ratio ratio;
    struct sm_tost test;
    sm_fieller(&ratio, &one, NULL);
    assert_true(isnan(ratio.value) && isnan(ratio.x) && isnan(ratio.df));
    sm_fieller(&ratio, &half, &one);
    assert_true(isnan(ratio.value));
    sm_fieller(&ratio, &half, NULL); /* x is y: known, without an interval */
    assert_true(ratio.value == 1 && isnan(ratio.low) && isnan(ratio.high));
    sm_fieller(&ratio, &gone, NULL);
    assert_true(ratio.value == 0 && isnan(ratio.low));
    sm_fieller(&ratio, &still, NULL);
    assert_true(isnan(ratio.value) && isnan(ratio.low));
    sm_fieller(&ratio, &flat, NULL);
    assert_true(ratio.low < .4 && ratio.high > .4); /* the spread of y counts */
    sm_tost_welch(&test, &flat, NULL, (struct sm_margin){.2, 0});
    assert_true(test.margin == .2 && isnan(test.p_above) && isnan(test.p));
    sm_tost_welch(&test, &one, NULL, (struct sm_margin){.2, 0});
    assert_true(isnan(test.margin) && isnan(test.p));
    sm_tost_welch(&test, &half, NULL, (struct sm_margin){-.2, 0});
    assert_true(test.margin == -.2 && isnan(test.p));
}

/* --- simulation --- */

#define DRAWS  2000
#define BEFORE .5 /* standard deviations */
#define ALIKE  .6 /* correlation of residual and memorization before: both have g's alignment */

static uint32_t counter[4];

static double uniform(void)
{
    uint32_t words[4];
    sm_philox(words, (uint32_t[2]){20261201, 9}, counter);
    counter[0]++;
    return sm_unit(words[0], words[1]);
}

static double normal(void)
{
    double radius = sqrt(-2 * log(1 - uniform()));
    return radius * cos(6.283185307179586 * uniform());
}

#define IMAGES_MAX 400
static double xs[2][IMAGES_MAX], ys[2][IMAGES_MAX];

/* Draws forget images (0) and externals (1): offsets of 3 and -2 in both, which must cancel. */
static void draw(struct sm_pairs out[2], const size_t counts[2], double left)
{
    for (int k = 0; k < 2; k++) {
        double before = k == 0 ? BEFORE : 0;
        for (size_t i = 0; i < counts[k]; i++) {
            double common = normal(), own = sqrt(1 - ALIKE * ALIKE);
            ys[k][i] = 3 + before + ALIKE * common + own * normal();
            xs[k][i] = -2 + left * before + ALIKE * common + own * normal();
        }
        out[k] = (struct sm_pairs){xs[k], ys[k], counts[k]};
    }
}

/* `hits` of DRAWS with a chance from `low` to `high`, and four standard deviations besides. */
static void check_share(const char *what, int hits, double low, double high)
{
    double share = (double)hits / DRAWS;
    double below = 4 * sqrt(low * (1 - low) / DRAWS), above = 4 * sqrt(high * (1 - high) / DRAWS);
    if (!(share >= low - below && share <= high + above))
        fail_msg("%s: %g of the draws, must be from %g to %g", what, share, low, high);
}

/* The degrees of freedom are a lower bound, so the intervals may cover up to 97 %. */
static void fieller_covers(void **state)
{
    (void)state;
    static const size_t counts[][2] = {{200, 200}, {60, 200}, {60, 60}};
    static const double truths[] = {0, .5, 1, -.5};
    for (size_t c = 0; c < 3; c++)
        for (size_t t = 0; t < 4; t++) {
            int covered = 0;
            for (int i = 0; i < DRAWS; i++) {
                struct sm_pairs groups[2];
                struct sm_ratio r;
                draw(groups, counts[c], truths[t]);
                sm_fieller(&r, &groups[0], &groups[1]);
                /* No interval is the whole line, or nearly: it covers. */
                covered += isnan(r.low) || (r.low <= truths[t] && truths[t] <= r.high);
            }
            check_share("Fieller's intervals with the truth", covered, .95, .97);
        }
}

/* At the edge of the region equivalence is shown in at most 5 % of the draws, also where the margin
 * is a share of what was measured before; inside it is shown often, given enough images. */
static void equivalence_errs_in_one_of_twenty(void **state)
{
    (void)state;
    static const struct {
        double left, share;
        double low, high;
    } truths[] = {{.6, .6, 0, .05}, {-.6, .6, 0, .05}, {.8, .6, 0, .002}, {0, .6, .9, 1}};
    for (size_t t = 0; t < 4; t++) {
        int by_share = 0, by_delta = 0;
        for (int i = 0; i < DRAWS; i++) {
            struct sm_pairs groups[2];
            struct sm_tost test;
            draw(groups, (size_t[]){400, 400}, truths[t].left);
            sm_tost_welch(&test, &groups[0], &groups[1],
                          (struct sm_margin){.share = truths[t].share});
            by_share += test.p <= .05;
            sm_tost_welch(&test, &groups[0], &groups[1],
                          (struct sm_margin){.delta = truths[t].share * BEFORE});
            by_delta += test.p <= .05;
        }
        check_share("equivalence within a share", by_share, truths[t].low, truths[t].high);
        check_share("equivalence within delta", by_delta, truths[t].low, truths[t].high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fieller_matches_the_roots_of_the_test),
        cmocka_unit_test(equivalence_matches_scipy),
        cmocka_unit_test(deviations_go_both_ways),
        cmocka_unit_test(what_cannot_be_known_is_undefined),
        cmocka_unit_test(fieller_covers),
        cmocka_unit_test(equivalence_errs_in_one_of_twenty),
    };
    return cmocka_run_group_tests_name("equivalence", tests, NULL, NULL);
}
