/* Tasks: whoever runs the units of an image, in whatever order, the score has the same bits. */
#include "fixture.h"

#include "sslmem/task.h"

enum { RECIPES = 6 };
static const char *const recipes[RECIPES] = {"{}",
                                             "{\"views\":23}",
                                             "{\"compare\":\"anchor\"}",
                                             "{\"compare\":\"anchor\",\"views\":21}",
                                             "{\"views\":23,\"draws\":\"stratified\"}",
                                             "{\"compare\":\"anchor\",\"draws\":\"stratified\"}"};
/* The last one, of 6x6 positions, takes views five by five, the others ten by ten. */
static struct folder wide_map;
static const char *const dirs[] = {GOLDEN "/vit", GOLDEN "/resnet", wide_map.path};
enum { DIRS = sizeof dirs / sizeof *dirs };

static int make_wide_map(void **state)
{
    (void)state;
    folder_open(&wide_map);
    folder_link(&wide_map, "f.pt", GOLDEN "/resnet/f.pt");
    folder_link(&wide_map, "g.pt", GOLDEN "/resnet/g.pt");
    folder_text(&wide_map, "pair.json",
                "{\"f\": [\"f.pt\"], \"g\": [\"g.pt\"], \"encoder\": {\"input_px\": 48}, "
                "\"recipe\": {\"augment\": \"simclr-cifar\"}}");
    return 0;
}

static int remove_wide_map(void **state)
{
    (void)state;
    folder_remove(&wide_map, (const char *const[]){"f.pt", "g.pt", "pair.json", NULL});
    return 0;
}

static struct sm_task *open_task(const struct sm_pair *pair, const struct sm_recipe *recipe)
{
    struct sm_file file;
    struct sm_task *task;
    struct sm_err err = {0};
    map_golden(&file, "wide.png");
    assert_ok(sm_task_open(&task, pair, recipe, file.bytes, file.bytes_count, &err));
    sm_file_release(&file); /* a task does not need it any more */
    return task;
}

static void assert_same_score(const struct sm_score *a, const struct sm_score *b,
                              const struct sm_pair *pair)
{
    json_t *of_a = sm_score_json(a, pair), *of_b = sm_score_json(b, pair);
    assert_true(json_equal(of_a, of_b));
    json_decref(of_a);
    json_decref(of_b);
}

/* Runs the units from the last to the first, by turns with each of three scorers. */
static struct sm_score score_backwards(const struct sm_pair *pair, const struct sm_recipe *recipe,
                                       struct sm_scorer *scorers[3])
{
    struct sm_score score;
    struct sm_err err = {0};
    size_t count, turn = 0;
    struct sm_task *task = open_task(pair, recipe);
    for (;;) {
        assert_ok(sm_task_round(&count, task, &err));
        if (count == 0)
            break;
        while (count-- > 0)
            assert_ok(sm_task_run(task, count, scorers[turn++ % 3], &err));
    }
    sm_task_finish(&score, task);
    sm_task_free(task);
    return score;
}

static void any_order_has_the_same_bits(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_scorer *alone, *scorers[3];
    for (int p = 0; p < DIRS; p++) {
        struct sm_pair *pair = open_pair(dirs[p]);
        assert_ok(sm_scorer_new(&alone, pair, &err));
        for (int i = 0; i < 3; i++)
            assert_ok(sm_scorer_new(&scorers[i], pair, &err));
        for (int r = 0; r < RECIPES; r++) {
            struct sm_recipe recipe = recipe_of(pair, recipes[r]);
            struct sm_score expected = score_with(alone, &recipe, "wide.png");
            struct sm_score got = score_backwards(pair, &recipe, scorers);
            assert_same_score(&got, &expected, pair);
        }
        for (int i = 0; i < 3; i++)
            sm_scorer_free(scorers[i]);
        sm_scorer_free(alone);
        sm_pair_close(pair);
    }
}

static size_t units_of(const struct sm_pair *pair, const char *recipe_text)
{
    size_t count;
    struct sm_err err = {0};
    struct sm_recipe recipe = recipe_of(pair, recipe_text);
    struct sm_task *task = open_task(pair, &recipe);
    assert_ok(sm_task_round(&count, task, &err));
    sm_task_free(task);
    return count;
}

/* Chunks depend on views and encoder alone; the anchor makes no chunk of its own. Above 64 views a
 * round has as many whole chunks as 64 views have. */
static void units_are_encoders_times_chunks(void **state)
{
    (void)state;
    static const size_t chunk_views[DIRS] = {SM_CHUNK_VIEWS_FEW, SM_CHUNK_VIEWS_FEW,
                                             SM_CHUNK_VIEWS};
    for (int p = 0; p < DIRS; p++) {
        struct sm_pair *pair = open_pair(dirs[p]);
        size_t encoders = 0;
        for (const char *side = "fg"; *side; side++)
            for (int k = 0; sm_pair_encoder(pair, *side, k); k++)
                encoders++;
        assert_int_equal(sm_task_chunk_views(sm_pair_encoder(pair, 'f', 0)), chunk_views[p]);
        for (size_t views = 2; views <= SM_VIEWS_MAX; views += views < 70 ? 1 : 31) {
            char text[64];
            size_t units = encoders * (views > 64 ? 64 / chunk_views[p]
                                                  : (views + chunk_views[p] - 1) / chunk_views[p]);
            snprintf(text, sizeof text, "{\"views\":%zu}", views);
            assert_int_equal(units_of(pair, text), units);
            snprintf(text, sizeof text, "{\"views\":%zu,\"compare\":\"anchor\"}", views);
            assert_int_equal(units_of(pair, text), units);
        }
        sm_pair_close(pair);
    }
}

/* --- until the standard error is small enough --- */

static void assert_same_numbers(const struct sm_score *a, const struct sm_score *b)
{
    assert_memory_equal(&a->f, &b->f, sizeof a->f);
    assert_memory_equal(&a->g, &b->g, sizeof a->g);
    assert_memory_equal(&a->m, &b->m, sizeof a->m);
    assert_memory_equal(&a->m_se, &b->m_se, sizeof a->m_se);
    assert_memory_equal(&a->ratio, &b->ratio, sizeof a->ratio);
}

static struct sm_score score_fixed(struct sm_scorer *scorer, struct sm_recipe recipe, int32_t views)
{
    recipe.target_se = 0;
    recipe.views = views;
    return score_with(scorer, &recipe, "wide.png");
}

/* Any target: the numbers of the fixed recipe with as many views, which meet it first. */
static void check_target(const struct sm_pair *pair, struct sm_scorer *scorer,
                         struct sm_recipe recipe, double target_se)
{
    int32_t chunk = (int32_t)sm_task_chunk_views(sm_pair_encoder(pair, 'f', 0));
    recipe.target_se = target_se;
    struct sm_score got = score_with(scorer, &recipe, "wide.png");
    struct sm_score fixed = score_fixed(scorer, recipe, got.views_used);
    assert_same_numbers(&got, &fixed);
    assert_int_equal(fixed.views_used, got.views_used);
    assert_string_not_equal(got.score_key, fixed.score_key);
    assert_true(got.views_used == recipe.views ||
                (got.m_se <= target_se && got.views_used % chunk == 0));
    for (int32_t views = chunk; views < got.views_used; views += chunk)
        assert_true(score_fixed(scorer, recipe, views).m_se > target_se);
}

static void a_target_takes_the_views_that_it_needs(void **state)
{
    (void)state;
    static const double parts[] = {1e-6, .5, .75, 1, 1.5, 1e6}; /* of the error of 23 views */
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    for (int p = 0; p < DIRS; p++) {
        struct sm_pair *pair = open_pair(dirs[p]);
        int32_t chunk = (int32_t)sm_task_chunk_views(sm_pair_encoder(pair, 'f', 0));
        assert_ok(sm_scorer_new(&scorer, pair, &err));
        for (int r = 0; r < 2; r++) {
            struct sm_recipe recipe =
                recipe_of(pair, r ? "{\"views\":43,\"compare\":\"anchor\"}" : "{\"views\":43}");
            double error = score_fixed(scorer, recipe, 23).m_se;
            for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
                check_target(pair, scorer, recipe, parts[i] * error);
            recipe.target_se = 1e-6 * error;
            assert_int_equal(score_with(scorer, &recipe, "wide.png").views_used, 43);
            recipe.target_se = 1e6 * error;
            assert_int_equal(score_with(scorer, &recipe, "wide.png").views_used, chunk);
            struct sm_score backwards =
                score_backwards(pair, &recipe, (struct sm_scorer *[3]){scorer, scorer, scorer});
            struct sm_score forwards = score_with(scorer, &recipe, "wide.png");
            assert_same_score(&backwards, &forwards, pair);
        }
        sm_scorer_free(scorer);
        sm_pair_close(pair);
    }
}

/* Views up to the limit come in several rounds, which a target of almost 0 cuts into single chunks:
 * the bits are the same. The jackknife is read off all of them. */
static void many_views_are_rounds_of_the_same_bits(void **state)
{
    (void)state;
    static const int32_t counts[] = {65, SM_VIEWS_MAX};
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    for (int p = 0; p < DIRS; p++) {
        struct sm_pair *pair = open_pair(dirs[p]);
        assert_ok(sm_scorer_new(&scorer, pair, &err));
        for (size_t i = 0; i < 2 * sizeof counts / sizeof *counts; i++) {
            struct sm_recipe recipe = recipe_of(pair, i % 2 ? "{\"compare\":\"anchor\"}" : "{}");
            recipe.views = counts[i / 2];
            struct sm_score fixed = score_fixed(scorer, recipe, recipe.views);
            assert_int_equal(fixed.views_used, recipe.views);
            recipe.target_se = 1e-300;
            struct sm_score chunks = score_with(scorer, &recipe, "wide.png");
            assert_same_numbers(&fixed, &chunks);
            assert_true(fixed.m_se > 0 && fixed.m_low < fixed.m && fixed.m < fixed.m_high);
        }
        sm_scorer_free(scorer);
        sm_pair_close(pair);
    }
}

/* Two views of pairs have no standard error: no target can be met. */
static void no_error_meets_no_target(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    struct sm_recipe recipe = recipe_of(pair, "{\"views\":2,\"target_se\":1000}");
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score score = score_with(scorer, &recipe, "wide.png");
    assert_true(isnan(score.m_se) && score.views_used == 2);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
}

static void the_number_used_is_in_the_document(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_recipe recipe = recipe_of(pair, "{\"views\":33,\"target_se\":1000}");
    for (int sequential = 1; sequential >= 0; sequential--) {
        struct sm_score score = score_with(scorer, &recipe, "wide.png");
        json_t *doc = sm_score_json(&score, pair);
        const json_t *used = json_object_get(doc, "views_used");
        if (sequential)
            assert_int_equal(json_integer_value(used), SM_CHUNK_VIEWS_FEW);
        else
            assert_null(used);
        json_decref(doc);
        recipe.target_se = 0;
    }
    sm_scorer_free(scorer);
    sm_pair_close(pair);
}

static void bad_images_open_no_task(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_task *task;
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    assert_int_equal(sm_task_open(&task, pair, sm_pair_recipe(pair), "not an image", 12, &err),
                     SM_UNSUPPORTED);
    assert_null(task);
    sm_task_free(task);
    sm_pair_close(pair);
}

int main(void)
{
    sm_blas_single_thread();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_has_the_same_bits),
        cmocka_unit_test(units_are_encoders_times_chunks),
        cmocka_unit_test(a_target_takes_the_views_that_it_needs),
        cmocka_unit_test(many_views_are_rounds_of_the_same_bits),
        cmocka_unit_test(no_error_meets_no_target),
        cmocka_unit_test(the_number_used_is_in_the_document),
        cmocka_unit_test(bad_images_open_no_task),
    };
    return cmocka_run_group_tests_name("task", tests, make_wide_map, remove_wide_map);
}
