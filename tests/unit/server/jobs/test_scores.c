/* Scores by jobs: same bits for any number of workers and while pairs are loaded again, history,
 * items that fail. */
#include "tests/unit/server/jobs/jobs_fixture.h"

#include <pthread.h>

enum { SEEDS = 6 };
static const char *const names[] = {"resnet", "vit"};

enum load { ALL_AT_ONCE, ONE_BY_ONE };

/* Takes the scores of a finished job's two images, as texts without id and time. */
static void take_texts(char *out[2], struct client *client)
{
    json_t *job = complete(client);
    assert_string_equal(text_at(job, "state"), "succeeded");
    for (size_t i = 0; i < 2; i++) {
        json_t *score = json_object_get(item_of(job, i), "score");
        assert_true(sm_id_valid(text_at(score, "id")));
        json_object_del(score, "id");
        json_object_del(score, "created");
        out[i] = json_dumps(score, JSON_COMPACT | JSON_REAL_PRECISION(17));
    }
    json_decref(job);
}

/* Every pair, seed and image through `workers` workers: under load each image by one of them, one
 * by one with the help of the others. */
static void score_all(char *out[2 * SEEDS * 2], int workers, enum load load)
{
    struct client clients[2 * SEEDS];
    const struct sm_file images[2] = {wide, tall};
    setup(NULL);
    start(workers, 1000);
    for (int k = 0; k < 2 * SEEDS; k++) {
        assert_code(SM_OK, submit(&clients[k], names[k % 2], (uint64_t)k / 2, images, 2));
        if (load == ONE_BY_ONE)
            take_texts(&out[2 * k], &clients[k]);
    }
    for (int k = 0; k < 2 * SEEDS && load == ALL_AT_ONCE; k++)
        take_texts(&out[2 * k], &clients[k]);
    stop();
    teardown(NULL);
}

/* As the library gives it to anybody, without a service. */
static char *score_alone(const char *pair_name, uint64_t seed, const struct sm_file *image)
{
    struct sm_generation *generation = take(pair_name);
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    struct sm_scorer *scorer;
    struct sm_score score;
    recipe.seed = seed;
    assert_code(SM_OK, sm_scorer_new(&scorer, pair, &err));
    assert_code(SM_OK,
                sm_score_image(&score, scorer, &recipe, image->bytes, image->bytes_count, &err));
    json_t *document = sm_score_json(&score, pair);
    char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(document);
    sm_scorer_free(scorer);
    sm_generation_give(generation);
    return text;
}

static void same_bits_for_any_number_of_workers(void **state)
{
    (void)state;
    enum { COUNT = 2 * SEEDS * 2, RUNS = 5 };
    static const struct {
        int workers;
        enum load load;
    } runs[RUNS] = {
        {1, ALL_AT_ONCE}, {2, ALL_AT_ONCE}, {4, ALL_AT_ONCE}, {2, ONE_BY_ONE}, {4, ONE_BY_ONE}};
    char *texts[RUNS][COUNT];
    for (int r = 0; r < RUNS; r++)
        score_all(texts[r], runs[r].workers, runs[r].load);
    for (int k = 0; k < COUNT; k++) {
        char *alone = score_alone(names[k / 2 % 2], (uint64_t)k / 4, k % 2 ? &tall : &wide);
        for (int r = 0; r < RUNS; r++)
            assert_string_equal(texts[r][k], alone);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(texts[0][j], texts[0][k]);
        free(alone);
    }
    for (int r = 0; r < RUNS; r++)
        for (int k = 0; k < COUNT; k++)
            free(texts[r][k]);
}

static void a_second_request_is_answered_from_history(void **state)
{
    (void)state;
    struct client client;
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    json_t *first = complete(&client);
    assert_true(json_is_false(json_object_get(item_of(first, 0), "from_history")));
    stop();
    reopen();
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    json_t *second = complete(&client);
    assert_true(json_is_true(json_object_get(item_of(second, 0), "from_history")));
    assert_true(json_equal(json_object_get(item_of(first, 0), "score"),
                           json_object_get(item_of(second, 0), "score")));
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 1);
    json_decref(first);
    json_decref(second);
    stop();
}

static void columns_agree_with_the_document(void **state)
{
    (void)state;
    struct client client;
    struct sm_score_page page;
    start(1, 10);
    assert_code(SM_OK, submit(&client, "vit", 3, &tall, 1));
    json_t *job = complete(&client);
    const char *digest = text_at(item_of(job, 0), "image");
    double m = json_real_value(json_object_get(json_object_get(item_of(job, 0), "score"), "m"));
    struct sm_score_filter filter = {.pair = "vit",
                                     .image_digest = digest,
                                     .has_min = true,
                                     .min = m,
                                     .has_max = true,
                                     .max = m,
                                     .limit = 5};
    assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
    assert_int_equal(page.count, 1);
    free(page.scores);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score WHERE length(key) = 32 AND "
                              "length(image_digest) = 32"),
                     1);
    json_decref(job);
    stop();
}

static void what_is_wrong_with_an_item_fails_that_item(void **state)
{
    (void)state;
    struct client client;
    const struct sm_file images[] = {
        wide, {(const uint8_t *)"no image", 8}, {wide.bytes, wide.bytes_count / 2}};
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 5, images, 3));
    json_t *job = complete(&client);
    assert_string_equal(text_at(job, "state"), "succeeded");
    assert_int_equal(json_integer_value(json_object_get(job, "succeeded_count")), 1);
    assert_int_equal(json_integer_value(json_object_get(job, "failed_count")), 2);
    assert_string_equal(text_at(json_object_get(item_of(job, 1), "error"), "code"), "unsupported");
    assert_string_equal(text_at(json_object_get(item_of(job, 2), "error"), "code"), "corrupt");
    assert_true(strlen(text_at(json_object_get(item_of(job, 2), "error"), "detail")) > 10);
    json_decref(job);

    /* Nothing is admitted for a pair that went away after the request's own look. */
    assert_code(SM_OK, submit(&client, "gone", 5, images, 1));
    assert_int_equal(await(&client, SM_TICKET_FAILED), SM_TICKET_FAILED);
    assert_int_equal(err.code, SM_INVALID);
    assert_string_equal(err.text, "pair 'gone' is not loaded any more");
    sm_ticket_release(client.ticket);
    sem_destroy(&client.woken);
    stop();
}

static atomic_bool over;

static void *keep_loading(void *arg)
{
    static const char *const both[] = {"resnet", "vit"};
    struct sm_err why = {0};
    bool created;
    int count = 0;
    for (; !over; count++)
        if (sm_pairs_put(pairs, both[count % 2], &created, &why) != SM_OK || created)
            break;
    *(int *)arg = over ? count : -1;
    return NULL;
}

/* Generations come and go under images that are scored with the help of others; the bits stay. */
static void pairs_are_loaded_again_under_load(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };
    struct client clients[2];
    const struct sm_file images[2] = {wide, tall};
    pthread_t loader;
    int loads = 0;
    over = false;
    start(3, 1000);
    assert_int_equal(pthread_create(&loader, NULL, keep_loading, &loads), 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < 2; k++)
            assert_code(SM_OK, submit(&clients[k], names[k], round, images, 2));
        for (int k = 0; k < 2; k++) {
            char *texts[2];
            take_texts(texts, &clients[k]);
            for (int i = 0; i < 2; i++) {
                char *alone = score_alone(names[k], round, &images[i]);
                assert_string_equal(texts[i], alone);
                free(alone);
                free(texts[i]);
            }
        }
    }
    over = true;
    pthread_join(loader, NULL);
    assert_true(loads > 2);
    stop();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_jobs, teardown_jobs)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_for_any_number_of_workers),
        TEST(pairs_are_loaded_again_under_load),
        TEST(a_second_request_is_answered_from_history),
        TEST(columns_agree_with_the_document),
        TEST(what_is_wrong_with_an_item_fails_that_item),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
