/* Checks and what they allow, with others in between: whatever the order, no limit is passed. */
#include "server/base/clock.h"
#include "tests/unit/server/store/audit_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "server/store/api_keys.h"

#define ROUNDS 60

static struct sm_api_keys *keys;

static int setup_keys(void **state)
{
    setup(state);
    assert_code(SM_OK, sm_api_keys_open(&keys, scratch.db, &err)); /* beside the store */
    return 0;
}

static int teardown_keys(void **state)
{
    sm_api_keys_close(keys);
    keys = NULL;
    return teardown(state);
}

static struct sm_caller make_key(int64_t scores_per_day, int64_t expires_ms)
{
    struct sm_caller caller;
    struct sm_token token;
    enum sm_api_key_verdict verdict;
    char id[SM_ID_BYTES];
    const struct sm_api_key_in in = {.tenant = "default",
                                     .scopes = "score,audit",
                                     .scores_per_day = scores_per_day,
                                     .expires_ms = expires_ms};
    assert_code(SM_OK, sm_api_keys_create(id, &token, keys, &in, &err));
    assert_code(SM_OK, sm_store_api_key_check(&caller, &verdict, store, token.text, &err));
    assert_int_equal(verdict, SM_API_KEY_GOOD);
    return caller;
}

static int64_t spent(void)
{
    return read_int("SELECT COALESCE(SUM(scores_count), 0) FROM key_day");
}

/* A job of `count` images by the caller: what the commit said. */
static enum sm_code admit_by(const struct sm_caller *caller, const char *pair, int count)
{
    struct sm_item_in items[8];
    struct sm_charge charge = {.caller = *caller, .amount.scores = count};
    struct sm_job_in job = {.pair = pair, .items = items, .items_count = count, .charge = &charge};
    struct outcome outcome;
    sm_id_new(job.id);
    memset(job.recipe_digest, 'a', 64);
    for (int i = 0; i < count; i++) {
        items[i] = (struct sm_item_in){.name = "", .bytes = "image", .bytes_count = 5};
        digest_of(items[i].image_digest, i);
    }
    json_t *recipe = json_pack("{s:i}", "views", 10);
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, NULL));
    json_decref(recipe);
    while (sem_wait(&outcome.done) != 0)
        ;
    return outcome.code;
}

static enum sm_code start_by(const struct sm_caller *caller, const char *id, struct sm_err *why)
{
    return sm_store_audit_order(
        store, OWN(id), &(struct sm_store_audit_order){.move = SM_AUDIT_START, .caller = caller},
        why);
}

/* --- the budget of a day ----------------------------------------------------------------- */

struct party {
    const struct sm_caller *caller;
    const char *audit;
    int first;
    enum sm_code code;
    pthread_barrier_t *together;
};

static void *add_one(void *arg)
{
    struct party *p = arg;
    char name[32];
    struct sm_store_audit_added added;
    struct sm_store_audit_image_in image = {.cohort = SM_COHORT_EXTERNAL,
                                            .name = name,
                                            .class_label = "",
                                            .group = "",
                                            .bytes = "x",
                                            .bytes_count = 1};
    snprintf(name, sizeof name, "%d", p->first);
    digest_of(image.image_digest, p->first);
    pthread_barrier_wait(p->together);
    p->code = sm_store_audit_add(
        &added, store, OWN(p->audit),
        &(struct sm_store_audit_intake){
            .images = &image, .images_count = 1, .items_max = MANY, .caller = p->caller},
        NULL);
    return NULL;
}

static void *start_now(void *arg)
{
    struct party *p = arg;
    pthread_barrier_wait(p->together);
    p->code = start_by(p->caller, p->audit, NULL);
    return NULL;
}

/* Eight images are there and ten may be scored; four more come in while it is started. */
static void what_joins_an_audit_is_paid_for(void **state)
{
    (void)state;
    int started = 0, refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        char id[SM_ID_BYTES], sql[200];
        struct sm_caller caller = make_key(10, 0);
        struct party parties[5];
        pthread_t threads[5];
        pthread_barrier_t together;
        int64_t before = spent();
        create_audit(id, false);
        assert_code(SM_OK, add_images(id, SM_COHORT_EXTERNAL, 0, 8));
        pthread_barrier_init(&together, NULL, 5);
        for (int i = 0; i < 5; i++) {
            parties[i] = (struct party){&caller, id, 100 + i, SM_OK, &together};
            assert_int_equal(
                pthread_create(&threads[i], NULL, i == 2 ? start_now : add_one, &parties[i]), 0);
        }
        for (int i = 0; i < 5; i++)
            pthread_join(threads[i], NULL);
        pthread_barrier_destroy(&together);
        snprintf(sql, sizeof sql,
                 "SELECT items_count FROM job WHERE kind = 'audit' ORDER BY id DESC LIMIT 1");
        int64_t items = read_int(sql), paid = spent() - before;
        if (parties[2].code == SM_OK) {
            assert_int_equal(paid, items);
            assert_in_range(items, 8, 10);
            assert_code(SM_CONFLICT, add_images(id, SM_COHORT_EXTERNAL, 200, 1));
            started++;
        } else {
            assert_int_equal(parties[2].code, SM_LIMIT);
            assert_int_equal(paid, 0);
            assert_int_equal(items, 12); /* nothing stopped them: it is open */
            refused++;
        }
    }
    assert_int_equal(started + refused, ROUNDS);
}

static void *post_jobs(void *arg)
{
    struct party *p = arg;
    pthread_barrier_wait(p->together);
    for (int i = 0; i < 10; i++)
        p->first += admit_by(p->caller, "alpha", 3) == SM_OK ? 3 : 0;
    return NULL;
}

/* Jobs, answers from history and audits draw from one row. */
static void every_way_draws_from_one_budget(void **state)
{
    (void)state;
    struct sm_caller caller = make_key(50, 0);
    struct party parties[4];
    pthread_t threads[4];
    pthread_barrier_t together;
    int64_t out = 0;
    const struct sm_charge one = {.caller = caller, .amount.scores = 1};
    char id[SM_ID_BYTES];
    pthread_barrier_init(&together, NULL, 5);
    for (int i = 0; i < 4; i++) {
        parties[i] = (struct party){&caller, NULL, 0, SM_OK, &together};
        assert_int_equal(pthread_create(&threads[i], NULL, post_jobs, &parties[i]), 0);
    }
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_EXTERNAL, 0, 7));
    pthread_barrier_wait(&together);
    out += start_by(&caller, id, NULL) == SM_OK ? 7 : 0;
    while (spend_now(&one, NULL) == SM_OK)
        out++;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        out += parties[i].first;
    }
    pthread_barrier_destroy(&together);
    while (spend_now(&one, NULL) == SM_OK)
        out++;
    assert_int_equal(out, 50);
    assert_int_equal(spent(), 50);
}

static void a_charge_and_its_job_are_one(void **state)
{
    (void)state;
    struct sm_caller caller = make_key(4, 0);
    assert_code(SM_OK, admit_by(&caller, "alpha", 3));
    assert_code(SM_LIMIT, admit_by(&caller, "alpha", 2));
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 1);
    assert_int_equal(spent(), 3);
    assert_int_equal(sm_store_queued_count(store), 3);
    assert_code(SM_OK, admit_by(&caller, "alpha", 1));
    assert_int_equal(spent(), 4);
}

/* --- keys that end ----------------------------------------------------------------------- */

static void check_ended(const struct sm_caller *caller, const char *audit, const char *text)
{
    struct sm_store_audit_added added;
    struct sm_store_audit_intake none = {.items_max = 1, .caller = caller};
    int64_t jobs = read_int("SELECT COUNT(*) FROM job");
    assert_code(SM_CANCELLED, admit_by(caller, "alpha", 1));
    assert_code(SM_CANCELLED, start_by(caller, audit, &err));
    assert_string_equal(err.text, text);
    assert_code(SM_CANCELLED, sm_store_audit_add(&added, store, OWN(audit), &none, &err));
    json_t *document = json_object();
    struct sm_store_audit_in in = {.caller = caller,
                                   .pair = "alpha",
                                   .recipe = document,
                                   .pair_document = document,
                                   .spec = document};
    assert_code(SM_CANCELLED, sm_store_audit_create(store, &in, &err));
    json_decref(document);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), jobs);
}

/* An upload takes its time: the key that it began with may end meanwhile. */
static void a_key_that_ends_during_an_upload(void **state)
{
    (void)state;
    struct sm_caller nobody = {.scopes = SM_SCOPES};
    char id[SM_ID_BYTES];
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_EXTERNAL, 0, 1));
    assert_code(SM_OK, admit_by(&nobody, "alpha", 1)); /* while there is no key */
    struct sm_caller revoked = make_key(0, 0);
    struct sm_caller expired = make_key(9, sm_clock_unix_ms() + 400);
    assert_code(SM_OK, admit_by(&revoked, "alpha", 1));
    assert_code(SM_OK, admit_by(&expired, "alpha", 1));
    check_ended(&nobody, id, "a key is needed since the first one was made");
    assert_code(SM_OK, sm_api_keys_revoke(keys, revoked.api_key_id, &err));
    check_ended(&revoked, id, "the key was revoked or expired while its request ran");
    usleep(450000);
    check_ended(&expired, id, "the key was revoked or expired while its request ran");
    assert_int_equal(spent(), 1);
}

/* --- pairs that are unloaded ------------------------------------------------------------- */

static atomic_bool loaded;

static bool is_loaded(void *pairs, const char *name)
{
    (void)pairs, (void)name;
    return atomic_load(&loaded);
}

static enum sm_code unload(void *arg, struct sm_err *why)
{
    (void)arg, (void)why;
    atomic_store(&loaded, false);
    return SM_OK;
}

static void *admit_one(void *arg)
{
    struct party *p = arg;
    static const struct sm_caller service;
    pthread_barrier_wait(p->together);
    p->code = admit_by(&service, "alpha", 1);
    return NULL;
}

/* Either the image is seen by the unload, or the unload by the image. */
static void no_image_waits_for_an_unloaded_pair(void **state)
{
    (void)state;
    sm_store_set_pairs(store, is_loaded, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct party p;
        pthread_t thread;
        pthread_barrier_t together;
        struct sm_claim claim;
        bool finished;
        int64_t waiting;
        char score_id[SM_ID_BYTES];
        atomic_store(&loaded, true);
        pthread_barrier_init(&together, NULL, 2);
        p = (struct party){NULL, NULL, 0, SM_OK, &together};
        assert_int_equal(pthread_create(&thread, NULL, admit_one, &p), 0);
        pthread_barrier_wait(&together);
        assert_code(SM_OK, sm_store_unless_waiting(&waiting, store, "alpha", unload, NULL, &err));
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&together);
        assert_int_equal(atomic_load(&loaded), waiting > 0);
        assert_int_equal(p.code, waiting > 0 ? SM_OK : SM_INVALID);
        if (waiting == 0)
            continue;
        assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
        assert_code(SM_OK, finish(&claim, "w", key_of("k"), 1, score_id, &finished));
        sm_claim_free(&claim);
    }
}

static void a_pair_that_is_gone_starts_no_audit(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_EXTERNAL, 0, 1));
    sm_store_set_pairs(store, is_loaded, NULL);
    atomic_store(&loaded, false);
    assert_code(SM_INVALID, start_by(NULL, id, &err));
    assert_string_equal(err.text, "pair 'alpha' is not loaded any more");
    atomic_store(&loaded, true);
    assert_code(SM_OK, start_by(NULL, id, &err));
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_PAUSE, "", &err));
    atomic_store(&loaded, false);
    assert_code(SM_INVALID, sm_store_audit_move(store, OWN(id), SM_AUDIT_RESUME, NULL, &err));
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_CANCEL, NULL, &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_keys, teardown_keys)
    static const struct CMUnitTest tests[] = {
        TEST(what_joins_an_audit_is_paid_for),     TEST(every_way_draws_from_one_budget),
        TEST(a_charge_and_its_job_are_one),        TEST(a_key_that_ends_during_an_upload),
        TEST(no_image_waits_for_an_unloaded_pair), TEST(a_pair_that_is_gone_starts_no_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
