/* The canary: the same score again and again is well, another one is not, and it takes no one's
 * time. */
#include "tests/unit/server/store/scratch.h"

#include <math.h>
#include <string.h>

#include "server/jobs/pairs.h"

#define GOLDEN "tests/golden/score"

static struct sm_pairs *pairs;
static struct sm_generation *generation;
static struct sm_canary *canary;
static struct sm_err err;
static char reason[160];

static int begin(void **state)
{
    (void)state;
    sm_blas_single_thread();
    assert_code(SM_OK, sm_pairs_load_one(&pairs, GOLDEN "/resnet", "blas", &err));
    assert_code(SM_OK, sm_pairs_take(&generation, pairs, "resnet", &err));
    canary = sm_generation_canary(generation);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sm_generation_give(generation);
    sm_pairs_free(pairs);
    return 0;
}

static bool yes(void *arg)
{
    (void)arg;
    return true;
}

static bool no(void *arg)
{
    (void)arg;
    return false;
}

static bool take_turn(bool busy, bool (*give_up)(void *arg))
{
    static const int thread;
    return sm_canary_take_turn(pairs, &(struct sm_canary_turn){&thread, busy, give_up, NULL});
}

static void the_same_score_is_well(void **state)
{
    (void)state;
    assert_true(canary->sings);
    assert_true(isfinite(canary->first) && canary->first != 0);
    assert_true(sm_canary_is_well(reason, generation));
    assert_false(take_turn(false, no)); /* not yet */
    for (int i = 0; i < 3; i++) {
        canary->due_ms = 0;
        canary->last = NAN;
        assert_true(take_turn(false, no));
        assert_true(canary->last == canary->first); /* every bit */
        assert_true(sm_canary_is_well(reason, generation));
    }
    assert_true(canary->due_ms >= canary->scored_ms + SM_CANARY_PERIOD_MS);
}

static void another_score_is_not(void **state)
{
    (void)state;
    char text[160];
    double first = canary->first;
    canary->first = first + 2e-6 * (1 + fabs(first));
    canary->due_ms = 0;
    assert_true(take_turn(false, no));
    assert_false(sm_canary_is_well(reason, generation));
    snprintf(text, sizeof text,
             "pair resnet: the canary scores %.9g, it scored %.9g after the load", first,
             canary->first);
    assert_string_equal(reason, text);
    canary->first = first + 0.5e-6 * (1 + fabs(first));
    canary->due_ms = 0;
    assert_true(take_turn(false, no));
    assert_true(sm_canary_is_well(reason, generation));
    canary->first = NAN;
    canary->due_ms = 0;
    assert_true(take_turn(false, no));
    assert_false(sm_canary_is_well(reason, generation));
}

static void it_gives_up_and_comes_back(void **state)
{
    (void)state;
    canary->due_ms = 0;
    assert_true(take_turn(false, yes));
    assert_true(sm_canary_is_well(reason, generation));
    assert_false(canary->taken);
    assert_true(canary->due_ms > canary->scored_ms);
    assert_true(canary->due_ms < canary->scored_ms + SM_CANARY_PERIOD_MS);
}

/* One that is due waits for an idle thread, but not for ever. */
static void busy_threads_take_it_late(void **state)
{
    (void)state;
    canary->due_ms -= SM_CANARY_PERIOD_MS + 1000;
    canary->scored_ms = canary->due_ms - SM_CANARY_PERIOD_MS;
    assert_false(take_turn(true, no));
    canary->due_ms -= 10 * SM_CANARY_PERIOD_MS;
    canary->scored_ms -= 10 * SM_CANARY_PERIOD_MS;
    assert_true(take_turn(true, no));
    canary->due_ms = 0;
    canary->sings = false; /* as under a recipe that refuses the image */
    assert_false(take_turn(false, no));
    assert_true(sm_canary_is_well(reason, generation));
}

/* Golden, demo: every recipe at hand takes the image. */
static void pairs_of_every_kind_have_one(void **state)
{
    (void)state;
    static const char *const dirs[] = {GOLDEN "/vit", "deploy/demo/pairs/fashion-simclr",
                                       "deploy/demo/pairs/fashion-vit"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        struct sm_pairs *one;
        struct sm_pair_state *states;
        int count;
        assert_code(SM_OK, sm_pairs_load_one(&one, dirs[i], "auto", &err));
        assert_code(SM_OK, sm_pairs_list(&states, &count, one, NULL, &err));
        assert_true(sm_generation_canary(states->generation)->sings);
        sm_pairs_list_free(states, count);
        sm_pairs_free(one);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    static const struct CMUnitTest tests[] = {
        TEST(the_same_score_is_well),       TEST(another_score_is_not),
        TEST(it_gives_up_and_comes_back),   TEST(busy_threads_take_it_late),
        TEST(pairs_of_every_kind_have_one),
    };
    return cmocka_run_group_tests_name("canary", tests, NULL, NULL);
}
