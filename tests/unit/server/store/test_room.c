/* A small database: what was admitted is always finished, whatever else is written meanwhile. */
#include "tests/unit/server/store/audit_fixture.h"

#include <math.h>

#include "server/store/access.h"
#include "server/store/api_keys.h"
#include "server/store/idempotency.h"

#define LIMIT ((int64_t)3 << 20)
#define NOISE 12500 /* bytes of a PNG of 64x64 pixels that cannot be compressed */

static double any(void)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static json_t *side(int encoders)
{
    json_t *list = json_array();
    for (int i = 0; i < encoders; i++)
        json_array_append_new(list, json_real(any()));
    return json_pack("{s:f, s:f, s:o, s:f}", "alignment", any(), "se", any(), "encoders", list,
                     "sd_encoders", any());
}

/* As long as a real one. */
static json_t *document(const char *digest, const char *key, double m, int encoders)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:i, s:i}, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:i, "
                     "s:{s:s, s:i, s:f, s:f, s:f, s:f, s:f}, s:{s:s, s:s}}",
                     "method", "sslmem/1", "pair", "alpha", "image", "digest", digest, "media_type",
                     "image/png", "width_px", 640, "height_px", 480, "m", m, "m_low", any(),
                     "m_high", any(), "m_se", any(), "ratio", any(), "f", side(encoders), "g",
                     side(encoders), "views_used", 33, "reference", "cohort", "external", "n", 500,
                     "mean", .1, "sd", .2, "centered", any(), "percentile", 100 * any(), "p_value",
                     any(), "provenance", "key", key, "library", "1");
}

static enum sm_code finish_one(const struct sm_claim *claim, int encoders, size_t thumbnail_bytes)
{
    static uint8_t noise[NOISE];
    char name[100], score_id[SM_ID_BYTES];
    bool finished;
    double m = any();
    for (size_t i = 0; i < thumbnail_bytes; i++)
        noise[i] = (uint8_t)(256 * any());
    snprintf(name, sizeof name, "%s %d", claim->job_id, claim->index);
    json_t *score = document(claim->image_digest, key_of(name), m, encoders);
    assert_non_null(score);
    enum sm_code code =
        sm_store_finish(store,
                        &(struct sm_finish){.job_id = claim->job_id,
                                            .index = claim->index,
                                            .owner = "w",
                                            .score_key = key_of(name),
                                            .score = score,
                                            .m = m,
                                            .image_digest = claim->image_digest,
                                            .thumbnail = thumbnail_bytes ? noise : NULL,
                                            .thumbnail_bytes = thumbnail_bytes},
                        score_id, &finished, &err);
    json_decref(score);
    return code;
}

static int64_t used_bytes(void)
{
    return 4096 * (read_int("SELECT page_count FROM pragma_page_count") -
                   read_int("SELECT freelist_count FROM pragma_freelist_count"));
}

/* Finishes all that waits; how many there were. */
static int finish_all(int encoders, size_t thumbnail_bytes)
{
    struct sm_claim claim;
    int count = 0;
    while (sm_store_claim(&claim, store, "w", 0, &err) == SM_OK) {
        assert_code(SM_OK, finish_one(&claim, encoders, thumbnail_bytes));
        sm_claim_free(&claim);
        count++;
    }
    return count;
}

/* Images of random digests, so that every index grows where it likes. */
static enum sm_code admit_random(int bytes_count)
{
    static uint8_t bytes[100000];
    struct sm_item_in item = {
        .name = "an image of the client.png", .bytes = bytes, .bytes_count = (size_t)bytes_count};
    struct sm_job_in job = {.pair = "alpha", .items = &item, .items_count = 1};
    struct outcome outcome;
    sm_id_new(job.id);
    memset(job.recipe_digest, 'a', 64);
    sm_sha256_hex(item.image_digest, job.id, strlen(job.id));
    json_t *recipe = json_pack("{s:i}", "views", 10);
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    json_decref(recipe);
    while (sem_wait(&outcome.done) != 0)
        ;
    err = outcome.err;
    return outcome.code;
}

static void check_full(void)
{
    long long room, kept, images, more;
    assert_int_equal(sscanf(err.text,
                            "the database may grow by %lld bytes and keeps %lld for the results of "
                            "%lld images that wait, no room for %lld more",
                            &room, &kept, &images, &more),
                     4);
    assert_true(room - kept < more);
}

/* How many were admitted; all of them are finished. */
static int fill_and_finish(int bytes_count, int encoders)
{
    int count = 0;
    enum sm_code code;
    while ((code = admit_random(bytes_count)) == SM_OK)
        count++;
    assert_int_equal(code, SM_FULL);
    check_full();
    assert_int_equal(sm_store_queued_count(store), count);
    int64_t before = used_bytes();
    assert_int_equal(finish_all(encoders, 0), count);
    print_message("%d images of %d bytes, %d encoders a side: %.0f bytes more a result\n", count,
                  bytes_count, encoders, (double)(used_bytes() - before) / count);
    assert_code(SM_OK, sm_store_check(store, &err));
    return count;
}

static void what_is_admitted_is_finished(void **state)
{
    (void)state;
    static const int sizes[] = {100, 1500, 700, 20000};
    assert_code(SM_OK, sm_store_limit(store, LIMIT, 0, &err));
    for (int i = 0; i < 4; i++)
        assert_true(fill_and_finish(sizes[i], i % 2 ? 1 : 8) > 0);
    assert_true(used_bytes() <= LIMIT);
}

/* Thumbnails are kept room for, too; a start needs what the images of the audit were promised. */
static void an_audit_that_is_added_is_finished(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    int count = 0;
    assert_code(SM_OK, sm_store_limit(store, LIMIT, 0, &err));
    create_audit(id, true);
    while (add_images(id, SM_COHORT_EXTERNAL, count, 10) == SM_OK)
        count += 10;
    check_full();
    assert_in_range(count, 50, 250);
    assert_code(SM_OK, sm_store_limit(store, used_bytes() + 20000, 0, &err));
    assert_code(SM_FULL, sm_store_audit_move(store, OWN(id), SM_AUDIT_START, NULL, &err));
    assert_code(SM_OK, sm_store_limit(store, LIMIT, 0, &err));
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_START, NULL, &err));
    int64_t before = used_bytes();
    assert_int_equal(finish_all(1, NOISE), count);
    print_message("thumbnails: %.0f bytes more a result\n",
                  (double)(used_bytes() - before) / count);
}

/* Reads, stored answers and charges do not take what results need. */
static void others_leave_the_room(void **state)
{
    (void)state;
    struct sm_api_keys *keys;
    struct sm_token token;
    char api_key_id[SM_ID_BYTES];
    static char ids[500][SM_ID_BYTES];
    int count = 0;
    assert_code(SM_OK, sm_api_keys_open(&keys, scratch.db, &err));
    const struct sm_api_key_in in = {.tenant = "default", .scopes = "read"};
    assert_code(SM_OK, sm_api_keys_create(api_key_id, &token, keys, &in, &err));
    sm_api_keys_close(keys);
    assert_code(SM_OK, sm_store_limit(store, LIMIT, 0, &err));
    while (admit_random(300) == SM_OK)
        count++;
    const struct sm_access access = {api_key_id, "r", "listScores", ids, 500};
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 500; k++)
            sm_id_new(ids[k]);
        sm_store_log_access(store, &access);
    }
    int64_t logged = read_int("SELECT COUNT(*) FROM access");
    for (int tries = 0; tries < 3000 && sm_store_access_full(store); tries++)
        usleep(10000);
    char body[5000];
    struct sm_idempotency_claim idempotency = {.scope = "s", .key = "k"};
    struct outcome outcome;
    json_t *headers = json_object();
    memset(body, 'b', sizeof body);
    memset(idempotency.fingerprint, 'a', 64);
    const struct sm_idempotency_answer_in answer = {.idempotency = &idempotency,
                                                    .score = "",
                                                    .status = 200,
                                                    .headers = headers,
                                                    .body = body,
                                                    .body_bytes = sizeof body};
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_idempotency_keep(store, &answer, admitted, &outcome, &err));
    while (sem_wait(&outcome.done) != 0)
        ;
    json_decref(headers);
    assert_int_equal(outcome.code, SM_FULL);
    logged = read_int("SELECT COUNT(*) FROM access");
    assert_in_range(logged, 1, 99); /* some of them had room, the rest is in the service's log */
    assert_int_equal(finish_all(8, 0), count);
}

/* The disk counts as well: a reserve that it does not have leaves no room. */
static void the_disk_counts(void **state)
{
    (void)state;
    assert_code(SM_OK, sm_store_limit(store, INT64_C(1) << 40, INT64_C(1) << 50, &err));
    assert_code(SM_FULL, admit_random(10));
    assert_code(SM_OK, sm_store_limit(store, INT64_C(1) << 40, 0, &err));
    assert_code(SM_OK, admit_random(10));
    assert_int_equal(finish_all(1, 0), 1);
}

/* Only one of the admissions that come at once has room: the others see it. */
static void the_last_room_is_given_once(void **state)
{
    (void)state;
    enum { EACH = 30 };
    static uint8_t bytes[40000];
    struct outcome outcomes[EACH];
    int count = 0;
    assert_code(SM_OK, sm_store_limit(store, used_bytes() + 150000, 0, &err));
    json_t *recipe = json_pack("{s:i}", "views", 10);
    for (int i = 0; i < EACH; i++) {
        struct sm_item_in item = {.name = "", .bytes = bytes, .bytes_count = sizeof bytes};
        struct sm_job_in job = {
            .pair = "alpha", .recipe = recipe, .items = &item, .items_count = 1};
        sm_id_new(job.id);
        memset(job.recipe_digest, 'a', 64);
        sm_sha256_hex(item.image_digest, job.id, strlen(job.id));
        sem_init(&outcomes[i].done, 0, 0);
        assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcomes[i], &err));
    }
    json_decref(recipe);
    for (int i = 0; i < EACH; i++) {
        while (sem_wait(&outcomes[i].done) != 0)
            ;
        assert_true(outcomes[i].code == SM_OK || outcomes[i].code == SM_FULL);
        count += outcomes[i].code == SM_OK;
    }
    assert_in_range(count, 1, 3);
    assert_int_equal(sm_store_queued_count(store), count);
    assert_int_equal(finish_all(1, 0), count);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(what_is_admitted_is_finished), TEST(an_audit_that_is_added_is_finished),
        TEST(others_leave_the_room),        TEST(the_disk_counts),
        TEST(the_last_room_is_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
