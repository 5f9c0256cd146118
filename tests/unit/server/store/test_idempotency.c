/* Keys with what their requests made, and the answers beside them. */
#include "server/store/claim.h"
#include "server/store/erase.h"
#include "server/store/idempotency.h"
#include "tests/unit/server/store/audit_fixture.h"

static struct sm_idempotency_claim once_of(const char *scope, const char *key, int fingerprint)
{
    struct sm_idempotency_claim idempotency = {0};
    snprintf(idempotency.scope, sizeof idempotency.scope, "%s", scope);
    snprintf(idempotency.key, sizeof idempotency.key, "%s", key);
    digest_of(idempotency.fingerprint, fingerprint);
    return idempotency;
}

/* A job with this key; its digest is of `recipe`, which must be hex to be taken. */
static enum sm_code admit_once(char id[SM_ID_BYTES], const struct sm_idempotency_claim *idempotency,
                               char recipe)
{
    struct sm_item_in item = {.name = "", .bytes = "x", .bytes_count = 1};
    struct sm_job_in job = {
        .pair = "alpha", .items = &item, .items_count = 1, .idempotency = idempotency};
    struct outcome outcome;
    digest_of(item.image_digest, 1);
    memset(job.recipe_digest, recipe, 64);
    sm_id_new(job.id);
    memcpy(id, job.id, sizeof job.id);
    job.recipe = json_object();
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    json_decref((json_t *)(uintptr_t)job.recipe);
    while (sem_wait(&outcome.done) != 0)
        ;
    return outcome.code;
}

static enum sm_code keep_about(const struct sm_idempotency_claim *idempotency, const char *score,
                               const char *body)
{
    struct outcome outcome;
    json_t *headers = json_pack("{s:s}", "ETag", "\"1\"");
    const struct sm_idempotency_answer_in answer = {.idempotency = idempotency,
                                                    .score = score,
                                                    .status = 201,
                                                    .headers = headers,
                                                    .body = body,
                                                    .body_bytes = strlen(body)};
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_idempotency_keep(store, &answer, admitted, &outcome, &err));
    json_decref(headers);
    while (sem_wait(&outcome.done) != 0)
        ;
    return outcome.code;
}

static enum sm_code keep(const struct sm_idempotency_claim *idempotency, const char *body)
{
    return keep_about(idempotency, "", body);
}

/* What is there of a key: its resource, and the body of its answer or "". */
static void check(const char *scope, const char *key, const char *resource, const char *body)
{
    struct sm_idempotency_answer answer;
    assert_code(SM_OK, sm_store_idempotency_answer(&answer, store, scope, key, &err));
    assert_string_equal(answer.resource, resource);
    assert_int_equal(answer.status, body[0] ? 201 : 0);
    if (body[0]) {
        assert_string_equal(answer.body, body);
        assert_string_equal(text_at(answer.headers, "ETag"), "\"1\"");
    }
    sm_idempotency_answer_release(&answer);
}

static void check_unknown(const char *scope, const char *key)
{
    struct sm_idempotency_answer answer;
    assert_code(SM_NOT_FOUND, sm_store_idempotency_answer(&answer, store, scope, key, &err));
    assert_string_equal(err.text, "the key is not known");
}

static void a_key_comes_with_its_job(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], other[SM_ID_BYTES];
    struct sm_idempotency_claim idempotency = once_of("", "k", 1);
    struct sm_idempotency_answer answer;
    check_unknown("", "k");
    assert_code(SM_OK, admit_once(id, &idempotency, 'a'));
    check("", "k", id, "");
    assert_code(SM_OK, keep(&idempotency, "{}"));
    check("", "k", id, "{}");
    reopen();
    check("", "k", id, "{}");
    assert_code(SM_OK, sm_store_idempotency_answer(&answer, store, "", "k", &err));
    assert_string_equal(answer.fingerprint, idempotency.fingerprint);
    sm_idempotency_answer_release(&answer);
    /* A second job of a key that is there is not made: both fail, and nothing changes. */
    assert_code(SM_INTERNAL, admit_once(other, &idempotency, 'a'));
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 1);
    check("", "k", id, "{}");
    /* A job that is not made leaves no key. */
    idempotency = once_of("", "l", 1);
    assert_true(admit_once(other, &idempotency, '?') != SM_OK);
    check_unknown("", "l");
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 1);
}

static void an_answer_without_a_job(void **state)
{
    (void)state;
    struct sm_idempotency_claim idempotency = once_of("", "k", 1);
    assert_code(SM_OK, keep(&idempotency, "first"));
    check("", "k", "", "first");
    assert_code(SM_OK, keep(&idempotency, "second"));
    check("", "k", "", "second");
    assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency"), 1);
}

static void an_audit_and_its_moves(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_idempotency_claim start = once_of("", "start", 1), again = once_of("", "again", 1);
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, sm_store_audit_order(store, OWN(id),
                                            &(struct sm_store_audit_order){.move = SM_AUDIT_START,
                                                                           .idempotency = &start},
                                            &err));
    check("", "start", id, "");
    assert_code(SM_CONFLICT,
                sm_store_audit_order(
                    store, OWN(id),
                    &(struct sm_store_audit_order){.move = SM_AUDIT_START, .idempotency = &again},
                    &err));
    check_unknown("", "again");
    assert_code(SM_OK, sm_store_audit_order(store, OWN(id),
                                            &(struct sm_store_audit_order){.move = SM_AUDIT_CANCEL,
                                                                           .idempotency = &again},
                                            &err));
    check("", "again", id, "");
}

static void scopes_do_not_see_each_other(void **state)
{
    (void)state;
    char ids[2][SM_ID_BYTES];
    struct sm_idempotency_claim idempotency[2] = {once_of("a", "k", 1), once_of("b", "k", 2)};
    for (int i = 0; i < 2; i++)
        assert_code(SM_OK, admit_once(ids[i], &idempotency[i], 'a'));
    assert_code(SM_OK, keep(&idempotency[1], "of b"));
    check("a", "k", ids[0], "");
    check("b", "k", ids[1], "of b");
    check_unknown("", "k");
}

static void the_oldest_go(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], key[12];
    sm_store_idempotency_set(store, 3600000, 3);
    struct sm_idempotency_claim other = once_of("other", "k", 1);
    assert_code(SM_OK, admit_once(id, &other, 'a'));
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%d", i);
        struct sm_idempotency_claim idempotency = once_of("", key, i);
        assert_code(SM_OK, admit_once(id, &idempotency, 'a'));
        assert_code(SM_OK, keep(&idempotency, key)); /* adds no row */
        assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency WHERE scope = ''"),
                         i < 3 ? i + 1 : 3);
    }
    check_unknown("", "1");
    check("", "4", id, "4");
    assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency WHERE scope = 'other'"), 1);
}

static void old_ones_are_forgotten(void **state)
{
    (void)state;
    char ids[2][SM_ID_BYTES];
    struct sm_idempotency_claim idempotency = once_of("", "k", 1), kept = once_of("", "kept", 1);
    assert_code(SM_OK, admit_once(ids[0], &idempotency, 'a'));
    assert_code(SM_OK, keep(&idempotency, "old"));
    assert_code(SM_OK, keep(&kept, "old"));
    usleep(2000);
    sm_store_idempotency_set(store, 1, 100);
    check_unknown("", "k");
    assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency"), 2);
    /* Their keys are free again, in either way to be written. */
    assert_code(SM_OK, admit_once(ids[1], &idempotency, 'a'));
    assert_code(SM_OK, keep(&kept, "new"));
    sm_store_idempotency_set(store, 3600000, 100);
    check("", "k", ids[1], "");
    check("", "kept", "", "new");
    /* And the heartbeat sweeps what nobody asks for. */
    assert_code(SM_OK, sm_store_heartbeat(store, "w", &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency"), 2);
    usleep(2000);
    sm_store_idempotency_set(store, 1, 100);
    assert_code(SM_OK, sm_store_heartbeat(store, "w", &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM idempotency"), 0);
}

/* With the image go the answers about it, those too that are still on their way. */
static void erasure(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], late[SM_ID_BYTES], score_id[SM_ID_BYTES], digest[65];
    struct sm_idempotency_claim idempotency = once_of("", "k", 1), after = once_of("", "late", 1),
                                history = once_of("", "history", 1),
                                other = once_of("", "other", 1);
    struct sm_erased erased;
    struct sm_erasure image = {.digest = digest};
    add_score("alpha", 1, .5, score_id);
    assert_code(SM_OK, admit_once(id, &idempotency, 'a'));
    assert_code(SM_OK, admit_once(late, &after, 'a'));
    assert_code(SM_OK, keep(&idempotency, "of the image"));
    assert_code(SM_OK, keep_about(&history, score_id, "of its score"));
    assert_code(SM_OK, keep(&other, "of another"));
    check("", "history", score_id, "of its score");
    digest_of(digest, 1);
    assert_code(SM_OK, sm_store_erase(&erased, store, &image, 1, &err));
    sm_erased_release(&erased);
    check("", "k", id, "");
    check_unknown("", "history");
    check("", "other", "", "of another");
    assert_code(SM_OK, keep(&after, "too late"));
    check("", "late", late, "");
    assert_code(SM_OK, keep_about(&history, score_id, "too late"));
    check_unknown("", "history");
}

/* No statement reads the table from end to end. */
static void plans(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], explain[1200];
    struct sm_idempotency_claim idempotency = once_of("", "k", 1);
    struct sm_db *db;
    bool row;
    int checked = 0;
    assert_code(SM_OK, admit_once(id, &idempotency, 'a'));
    assert_code(SM_OK, keep(&idempotency, "{}"));
    check("", "k", id, "{}");
    assert_code(SM_OK, sm_store_heartbeat(store, "w", &err));
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_READ, &err));
    for (int i = 0; i < 2 * SM_DB_STATEMENTS_MAX; i++) {
        const char *sql = i % 2 ? sm_db_statement(store->readers[0], i / 2)
                                : sm_db_statement(store->write_db, i / 2);
        struct sm_stmt *q;
        if (!sql || !strstr(sql, "idempotency"))
            continue;
        snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
        assert_code(SM_OK, sm_db_query(&q, db, explain, &err));
        while (sm_stmt_step(q, &row, &err) == SM_OK && row)
            if (strstr(sm_stmt_get_text(q, 3), "SCAN i"))
                fail_msg("%s: %s", sql, sm_stmt_get_text(q, 3));
        sm_stmt_reset(q);
        checked++;
    }
    assert_int_equal(checked, 7);
    sm_db_close(db);
}

static void a_deletion_of_one_revision(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], text[200];
    create_audit(id, false);
    int64_t revision = revision_of(id);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 2));
    int64_t now = revision_of(id);
    assert_true(now > revision);
    assert_code(SM_CONFLICT, sm_store_audit_delete(store, OWN(id), revision, &err));
    snprintf(text, sizeof text, "audit %s is at revision %d, not at %d", id, (int)now,
             (int)revision);
    assert_string_equal(err.text, text);
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), now, &err));
    assert_code(SM_NOT_FOUND, sm_store_audit_delete(store, OWN(id), now, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_comes_with_its_job, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_without_a_job, setup, teardown),
        cmocka_unit_test_setup_teardown(an_audit_and_its_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(scopes_do_not_see_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_go, setup, teardown),
        cmocka_unit_test_setup_teardown(old_ones_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(erasure, setup, teardown),
        cmocka_unit_test_setup_teardown(plans, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deletion_of_one_revision, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
