/* Distances between representations, by hand. */
#include "fixture.h"

#include "core/score/align.h"

/* Three views of two rows of two numbers. */
static const float data[] = {3, 4, 0, 0, 0, 0, 6, 8, 3, 4, 5, 12};

static double between(size_t i, size_t j, enum sm_normalize normalize, enum sm_distance distance)
{
    double d[3], scale[6];
    struct sm_reps reps = {.data = data, .views = 3, .rows = 2, .dim = 2};
    sm_align_pairs(d, &reps, normalize, distance, scale);
    return d[j * (j - 1) / 2 + i];
}

static void distances_by_hand(void **state)
{
    (void)state;
    assert_float_equal(between(0, 1, SM_NORMALIZE_NONE, SM_DISTANCE_L2), sqrt(125), 1e-15);
    assert_float_equal(between(0, 1, SM_NORMALIZE_NONE, SM_DISTANCE_L1), 21, 1e-15);
    assert_float_equal(between(0, 1, SM_NORMALIZE_NONE, SM_DISTANCE_COSINE), 1, 1e-15);
    assert_float_equal(between(0, 1, SM_NORMALIZE_NONE, SM_DISTANCE_ANGULAR), .5, 1e-15);
    assert_float_equal(between(0, 1, SM_NORMALIZE_VECTOR, SM_DISTANCE_L2), sqrt(2), 1e-15);
    assert_float_equal(between(0, 1, SM_NORMALIZE_VECTOR, SM_DISTANCE_L1), 2.8, 1e-15);
    /* view 2 is (3, 4 | 5, 12), of norm sqrt(194); view 0 (3, 4 | 0, 0), of norm 5 */
    assert_float_equal(between(0, 2, SM_NORMALIZE_NONE, SM_DISTANCE_COSINE),
                       1 - 25 / (5 * sqrt(194)), 1e-15);
}

static void tokens_are_normalised_one_by_one(void **state)
{
    (void)state;
    /* rows of view 2: (.6, .8) and (5/13, 12/13); the zero row of view 0 stays zero */
    assert_float_equal(between(0, 2, SM_NORMALIZE_TOKEN, SM_DISTANCE_L2), 1, 1e-15);
    assert_float_equal(between(0, 2, SM_NORMALIZE_TOKEN, SM_DISTANCE_L1), 17. / 13, 1e-15);
    /* over the whole vector: dot 1, norms 1 and sqrt(2) */
    assert_float_equal(between(0, 2, SM_NORMALIZE_TOKEN, SM_DISTANCE_COSINE), 1 - sqrt(.5), 1e-15);
    assert_float_equal(between(0, 2, SM_NORMALIZE_TOKEN, SM_DISTANCE_ANGULAR), .25, 1e-15);
}

static void equal_views_are_at_zero(void **state)
{
    (void)state;
    float x[2 * 30];
    double d[1], scale[20];
    struct sm_reps reps = {.data = x, .views = 2, .rows = 10, .dim = 3};
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 30; i++)
            x[i] = x[30 + i] = (float)sin(i + 31 * round);
        for (int n = SM_NORMALIZE_VECTOR; n <= SM_NORMALIZE_NONE; n++) {
            for (int k = SM_DISTANCE_L2; k <= SM_DISTANCE_ANGULAR; k++) {
                sm_align_pairs(d, &reps, (enum sm_normalize)n, (enum sm_distance)k, scale);
                assert_true(d[0] == 0);
            }
        }
    }
}

static void zero_views_are_finite(void **state)
{
    (void)state;
    static const float x[8] = {0, 0, 0, 0, 1, 2, 3, 4};
    static const double want[] = {1, 5 / 2.7386127875258306, 1, .5}; /* l1: 10/sqrt(30) */
    double d[1], scale[4];
    struct sm_reps reps = {.data = x, .views = 2, .rows = 2, .dim = 2};
    for (int k = SM_DISTANCE_L2; k <= SM_DISTANCE_ANGULAR; k++) {
        sm_align_pairs(d, &reps, SM_NORMALIZE_VECTOR, (enum sm_distance)k, scale);
        assert_float_equal(d[0], want[k], 1e-14);
    }
}

static void anchor_is_the_first_row_of_pairs(void **state)
{
    (void)state;
    double pairs[3], anchor[2], scale[6];
    struct sm_reps reps = {.data = data, .views = 3, .rows = 2, .dim = 2};
    for (int k = SM_DISTANCE_L2; k <= SM_DISTANCE_ANGULAR; k++) {
        sm_align_pairs(pairs, &reps, SM_NORMALIZE_TOKEN, (enum sm_distance)k, scale);
        sm_align_anchor(anchor, &reps, SM_NORMALIZE_TOKEN, (enum sm_distance)k, scale);
        assert_true(anchor[0] == pairs[0] && anchor[1] == pairs[1]);
    }
}

/* Views that come later append their distances and touch nothing else. */
static void later_views_append(void **state)
{
    (void)state;
    void (*const align[])(double *, const struct sm_reps *, enum sm_normalize, enum sm_distance,
                          double *) = {sm_align_pairs, sm_align_anchor};
    const size_t of_two[] = {1, 1}, of_three[] = {3, 2};
    struct sm_reps whole = {.data = data, .views = 3, .rows = 2, .dim = 2};
    struct sm_reps two = {.data = data, .views = 2, .rows = 2, .dim = 2};
    struct sm_reps third = {.data = data, .views = 3, .rows = 2, .dim = 2, .first = 2};
    for (int m = 0; m < 2; m++) {
        double at_once[3], grown[3] = {-1, -1, -1}, scale[6];
        align[m](at_once, &whole, SM_NORMALIZE_TOKEN, SM_DISTANCE_L1, scale);
        align[m](grown, &two, SM_NORMALIZE_TOKEN, SM_DISTANCE_L1, scale);
        assert_memory_equal(grown, at_once, of_two[m] * sizeof *grown);
        assert_true(grown[of_two[m]] == -1);
        align[m](grown, &third, SM_NORMALIZE_TOKEN, SM_DISTANCE_L1, scale);
        assert_memory_equal(grown, at_once, of_three[m] * sizeof *grown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_by_hand),
        cmocka_unit_test(tokens_are_normalised_one_by_one),
        cmocka_unit_test(equal_views_are_at_zero),
        cmocka_unit_test(zero_views_are_finite),
        cmocka_unit_test(anchor_is_the_first_row_of_pairs),
        cmocka_unit_test(later_views_append),
    };
    return cmocka_run_group_tests_name("align", tests, NULL, NULL);
}
