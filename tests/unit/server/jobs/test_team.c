/* Teams: help changes no bit, happens, ends with the image, and does not hide a failure. */
#include "tests/unit/server/store/scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/file.h"
#include "server/jobs/team.h"

#define GOLDEN "tests/golden/score"

static struct sm_err err;
static struct sm_file wide;
static struct sm_team *team;
static atomic_bool over;
static atomic_int helped;

static int load(void **state)
{
    (void)state;
    sm_blas_single_thread(); /* as the service does */
    return sm_file_map(&wide, GOLDEN "/wide.png", 1 << 20, &err) == SM_OK ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    sm_file_release(&wide);
    return 0;
}

static struct sm_recipe recipe_of(const struct sm_pair *pair, int views, enum sm_compare compare)
{
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    recipe.views = views;
    recipe.compare = compare;
    return recipe;
}

/* The whole score as text. */
static char *text_of(const struct sm_score *score, const struct sm_pair *pair)
{
    json_t *document = sm_score_json(score, pair);
    char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(document);
    return text;
}

static char *score_alone(const struct sm_pair *pair, const struct sm_recipe *recipe)
{
    struct sm_scorer *scorer;
    struct sm_score score;
    assert_code(SM_OK, sm_scorer_new(&scorer, pair, &err));
    assert_code(SM_OK, sm_score_image(&score, scorer, recipe, wide.bytes, wide.bytes_count, &err));
    sm_scorer_free(scorer);
    return text_of(&score, pair);
}

static void *help(void *arg)
{
    struct sm_team_worker *worker;
    struct sm_err why = {0};
    if (sm_team_join(&worker, team, &why) != SM_OK)
        return arg;
    for (;;) {
        uint64_t seen = sm_team_news(team);
        if (over)
            break;
        if (sm_team_help(worker))
            helped++;
        else
            sm_team_wait(team, seen, 60000); /* the news must come */
    }
    sm_team_leave(worker);
    return NULL;
}

enum { HELPERS_MAX = 3 };
static pthread_t helpers[HELPERS_MAX];
static int helpers_count;

static void start(int count)
{
    assert_code(SM_OK, sm_team_new(&team, NULL, &err));
    over = false;
    helped = 0;
    for (helpers_count = 0; helpers_count < count; helpers_count++)
        assert_int_equal(pthread_create(&helpers[helpers_count], NULL, help, team), 0);
}

static void stop(void)
{
    void *failed;
    over = true;
    sm_team_tell(team);
    while (helpers_count > 0) {
        pthread_join(helpers[--helpers_count], &failed);
        assert_null(failed);
    }
    sm_team_free(team);
}

static struct sm_generation *open_pair(const char *dir)
{
    struct sm_pair *pair;
    struct sm_generation *generation;
    assert_code(SM_OK, sm_pair_open(&pair, dir, "blas", &err));
    assert_code(SM_OK, sm_generation_new(&generation, pair, 1, &err));
    return generation;
}

static void check_score(struct sm_team_worker *worker, struct sm_generation *generation,
                        const struct sm_recipe *recipe)
{
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_score score;
    struct sm_bytes bytes = {wide.bytes, wide.bytes_count};
    char *expected = score_alone(pair, recipe);
    assert_code(SM_OK, sm_team_score(&score, worker,
                                     &(struct sm_team_order){generation, recipe, bytes}, &err));
    char *text = text_of(&score, pair);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
}

/* On a busy machine a helper may come late, but not always. */
static void check_until_helped(struct sm_team_worker *worker, struct sm_generation *pair)
{
    struct sm_recipe recipe = recipe_of(sm_generation_pair(pair), 64, SM_COMPARE_PAIRS);
    for (int i = 0, before = helped; helped == before; i++) {
        assert_true(i < 5000);
        check_score(worker, pair, &recipe);
    }
}

static void help_changes_no_bit(void **state)
{
    (void)state;
    static const char *const dirs[] = {GOLDEN "/vit", GOLDEN "/resnet",
                                       "deploy/demo/pairs/fashion-vit"};
    static const int views[] = {2, 21};
    struct sm_generation *pairs[3];
    struct sm_team_worker *worker;
    for (int p = 0; p < 3; p++)
        pairs[p] = open_pair(dirs[p]);
    for (int count = 0; count <= HELPERS_MAX; count++) {
        start(count);
        assert_code(SM_OK, sm_team_join(&worker, team, &err));
        for (int i = 0; i < 3 * 2 * 2; i++) {
            struct sm_generation *pair = pairs[i % 3];
            struct sm_recipe r =
                recipe_of(sm_generation_pair(pair), views[i / 3 % 2], (enum sm_compare)(i / 6));
            check_score(worker, pair, &r);
            r.target_se = 1e-3; /* in rounds */
            check_score(worker, pair, &r);
        }
        if (count > 0)
            check_until_helped(worker, pairs[0]);
        sm_team_leave(worker);
        stop();
    }
    for (int p = 0; p < 3; p++)
        sm_generation_give(pairs[p]);
}

static void *score_own(void *arg)
{
    struct sm_generation *pair = arg;
    struct sm_team_worker *worker;
    assert_code(SM_OK, sm_team_join(&worker, team, &err));
    for (int views = 3; views < 12; views++) {
        struct sm_recipe recipe = recipe_of(sm_generation_pair(pair), views, SM_COMPARE_PAIRS);
        check_score(worker, pair, &recipe);
    }
    sm_team_leave(worker);
    return NULL;
}

/* Several open images at once, and threads that stop having one of their own. */
static void owners_and_helpers_run_together(void **state)
{
    (void)state;
    struct sm_generation *pair = open_pair(GOLDEN "/resnet");
    pthread_t owner;
    start(0);
    for (; helpers_count < 2; helpers_count++)
        assert_int_equal(pthread_create(&helpers[helpers_count], NULL, help, team), 0);
    assert_int_equal(pthread_create(&owner, NULL, score_own, pair), 0);
    score_own(pair);
    pthread_join(owner, NULL);
    stop();
    sm_generation_give(pair);
}

static void what_is_wrong_with_an_image_is_told(void **state)
{
    (void)state;
    struct sm_generation *pair = open_pair(GOLDEN "/vit");
    const struct sm_recipe *recipe = sm_pair_recipe(sm_generation_pair(pair));
    struct sm_team_worker *worker;
    struct sm_score score;
    start(2);
    assert_code(SM_OK, sm_team_join(&worker, team, &err));
    assert_code(SM_UNSUPPORTED,
                sm_team_score(&score, worker,
                              &(struct sm_team_order){pair, recipe, {"no image", 8}}, &err));
    assert_string_equal(score.score_key, "");
    check_score(worker, pair, recipe);
    assert_false(sm_team_help(worker)); /* nothing stays open */
    sm_team_leave(worker);
    stop();
    sm_generation_give(pair);
}

/* --- looks ---------------------------------------------------------------------------------- */

/* A host that scores the same image in the middle of another, or ends the score. */
struct host {
    struct sm_team_worker *worker;
    struct sm_generation *pair;
    const struct sm_recipe *recipe;
    int looks, nested;
    bool busy, ends;
};

static bool look(void *arg, const struct sm_team_order *order, int64_t cost_ms, struct sm_err *why)
{
    struct host *h = arg;
    assert_true(cost_ms >= 1);
    if (h->ends) {
        sm_err_set(why, SM_CONFLICT, "ended by its host");
        return false;
    }
    h->looks++;
    if (h->busy)
        return true;
    h->busy = true; /* the one in between is not left for another */
    check_score(h->worker, h->pair, h->recipe);
    assert_ptr_equal(order->tag, h);
    h->nested++;
    h->busy = false;
    return true;
}

static struct sm_team_order long_order(struct sm_generation *pair, const struct sm_recipe *recipe)
{
    return (struct sm_team_order){pair, recipe, {wide.bytes, wide.bytes_count}};
}

/* 64 views of much blur: some seconds of a sanitizer build, some tenths of one of a release. */
static struct sm_recipe long_recipe(const struct sm_pair *pair)
{
    struct sm_recipe recipe = recipe_of(pair, 64, SM_COMPARE_PAIRS);
    struct sm_augment *a = &recipe.augment;
    a->count = 0;
    a->ops[a->count++] = (struct sm_op){.kind = SM_OP_RESIZE, .p = 1, .size_px = 200};
    a->ops[a->count++] = (struct sm_op){.kind = SM_OP_GAUSSIAN_BLUR, .p = 1, .sigma = {2, 2}};
    a->ops[a->count++] = (struct sm_op){.kind = SM_OP_RANDOM_RESIZED_CROP,
                                        .p = 1,
                                        .size_px = sm_pair_input_px(pair),
                                        .scale = {.5, 1},
                                        .ratio = {1, 1}};
    return recipe;
}

static void an_image_in_between_changes_no_bit(void **state)
{
    (void)state;
    for (int helpers_wanted = 0; helpers_wanted < 3; helpers_wanted += 2) {
        struct sm_generation *pair = open_pair(GOLDEN "/vit");
        const struct sm_pair *of = sm_generation_pair(pair);
        struct sm_recipe slow = long_recipe(of);
        struct host host = {.pair = pair, .recipe = sm_pair_recipe(of)};
        struct sm_score score;
        start(helpers_wanted);
        assert_code(SM_OK, sm_team_join(&host.worker, team, &err));
        sm_team_set_host(host.worker, &(struct sm_host){look, &host});
        struct sm_team_order order = long_order(pair, &slow);
        order.tag = &host;
        assert_code(SM_OK, sm_team_score(&score, host.worker, &order, &err));
        char *expected = score_alone(of, &slow), *text = text_of(&score, of);
        assert_string_equal(text, expected);
        assert_true(host.nested > 0);
        free(expected);
        free(text);
        sm_team_leave(host.worker);
        stop();
        sm_generation_give(pair);
    }
}

static void a_score_ends_at_its_bounds(void **state)
{
    (void)state;
    struct sm_generation *pair = open_pair(GOLDEN "/vit");
    struct sm_recipe slow = long_recipe(sm_generation_pair(pair));
    struct host host = {.ends = true};
    struct sm_team_worker *worker;
    struct sm_score score;
    start(1);
    assert_code(SM_OK, sm_team_join(&worker, team, &err));
    /* The image is weighed when it is decoded, whatever its header said. */
    struct sm_team_order order = long_order(pair, &slow);
    order.cost_ms_max = 1;
    assert_code(SM_LIMIT, sm_team_score(&score, worker, &order, &err));
    assert_non_null(strstr(err.text, "ms with this recipe, the limit is 1"));
    order.cost_ms_max = 0;
    order.cpu_ms = 5;
    assert_code(SM_LIMIT, sm_team_score(&score, worker, &order, &err));
    assert_non_null(strstr(err.text, "ms of processor time, the limit is 5"));
    order.cpu_ms = 0;
    sm_team_set_host(worker, &(struct sm_host){look, &host});
    assert_code(SM_CONFLICT, sm_team_score(&score, worker, &order, &err));
    assert_string_equal(err.text, "ended by its host");
    sm_team_set_host(worker, &(struct sm_host){0});
    sm_team_give_up_at(team, 0);
    assert_code(SM_CANCELLED, sm_team_score(&score, worker, &order, &err));
    assert_string_equal(err.text, "the service is stopping");
    sm_team_give_up_at(team, INT64_MAX);
    check_score(worker, pair, sm_pair_recipe(sm_generation_pair(pair)));
    sm_team_leave(worker);
    stop();
    sm_generation_give(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_in_between_changes_no_bit),
        cmocka_unit_test(a_score_ends_at_its_bounds),
        cmocka_unit_test(help_changes_no_bit),
        cmocka_unit_test(owners_and_helpers_run_together),
        cmocka_unit_test(what_is_wrong_with_an_image_is_told),
    };
    return cmocka_run_group_tests_name("team", tests, load, unload);
}
