/* Tasks: whoever runs the units of an image, in whatever order, the score has the same bits. */
#include "fixture.h"

#include "sslmem/task.h"

enum { RECIPES = 4 };
static const char *const recipes[RECIPES] = {"{}", "{\"views\":23}", "{\"compare\":\"anchor\"}",
                                             "{\"compare\":\"anchor\",\"views\":21}"};
/* The last one takes views five by five, the others ten by ten. */
static const char *const dirs[] = {GOLDEN "/vit", GOLDEN "/resnet",
                                   "deploy/demo/pairs/fashion-vit"};
enum { DIRS = sizeof dirs / sizeof *dirs };

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

/* Chunks depend on views and encoder alone; the anchor makes no chunk of its own. */
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
        for (size_t views = 2; views <= SM_VIEWS_MAX; views++) {
            char text[64];
            size_t units = encoders * ((views + chunk_views[p] - 1) / chunk_views[p]);
            snprintf(text, sizeof text, "{\"views\":%zu}", views);
            assert_int_equal(units_of(pair, text), units);
            snprintf(text, sizeof text, "{\"views\":%zu,\"compare\":\"anchor\"}", views);
            assert_int_equal(units_of(pair, text), units);
        }
        sm_pair_close(pair);
    }
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
        cmocka_unit_test(bad_images_open_no_task),
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
