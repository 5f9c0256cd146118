/* Keys: made, checked, rotated and ended beside an open store; and scores, jobs and audits of
 * tenants that do not see each other. */
#include "server/base/clock.h"
#include "tests/unit/server/store/audit_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/store/access.h"
#include "server/store/api_keys.h"

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

static const struct sm_api_key_in reader = {.tenant = "a", .scopes = "read"};

static void make(char id[SM_ID_BYTES], struct sm_token *token, const struct sm_api_key_in *in)
{
    assert_code(SM_OK, sm_api_keys_create(id, token, keys, in, &err));
}

static enum sm_api_key_verdict check(struct sm_caller *caller, const char *text)
{
    enum sm_api_key_verdict verdict;
    assert_code(SM_OK, sm_store_api_key_check(caller, &verdict, store, text, &err));
    if (verdict != SM_API_KEY_GOOD) {
        static const struct sm_caller nobody;
        assert_memory_equal(caller, &nobody, sizeof nobody);
    }
    return verdict;
}

static void without_keys_everybody_may(void **state)
{
    (void)state;
    struct sm_caller caller;
    bool has_keys = true;
    assert_code(SM_OK, sm_store_has_api_keys(&has_keys, store, &err));
    assert_false(has_keys);
    assert_int_equal(check(&caller, NULL), SM_API_KEY_GOOD);
    assert_string_equal(caller.api_key_id, "");
    assert_string_equal(caller.scopes, SM_SCOPES);
    assert_int_equal(caller.tenant, SM_TENANT_DEFAULT);
    assert_int_equal(check(&caller, "whatever"), SM_API_KEY_GOOD);
}

static void a_key_says_who_asks(void **state)
{
    (void)state;
    struct sm_caller caller;
    struct sm_token token, other;
    char id[SM_ID_BYTES], id2[SM_ID_BYTES];
    bool has_keys;
    make(id, &token, &reader);
    make(id2, &other,
         &(struct sm_api_key_in){.tenant = "default",
                                 .scopes = "metrics,score,score",
                                 .scores_per_day = 7,
                                 .rounds = true,
                                 .decimals = 0});
    assert_code(SM_OK, sm_store_has_api_keys(&has_keys, store, &err));
    assert_true(has_keys);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_GOOD);
    assert_string_equal(caller.api_key_id, id);
    assert_string_equal(caller.scopes, "read");
    assert_int_equal(caller.tenant, 1);
    assert_false(caller.rounds);
    assert_int_equal(caller.scores_per_day, 0);
    assert_int_equal(check(&caller, other.text), SM_API_KEY_GOOD);
    assert_string_equal(caller.scopes, "score metrics");
    assert_int_equal(caller.tenant, SM_TENANT_DEFAULT);
    assert_true(caller.rounds);
    assert_int_equal(caller.scores_per_day, 7);
    assert_int_equal(check(&caller, NULL), SM_API_KEY_MISSING);
    assert_int_equal(check(&caller, ""), SM_API_KEY_UNKNOWN);
    sm_token_new(&other, token.prefix);
    assert_int_equal(check(&caller, other.text), SM_API_KEY_WRONG);
    sm_token_new(&other, NULL);
    assert_int_equal(check(&caller, other.text), SM_API_KEY_UNKNOWN);
}

/* Nothing in the file is the secret. */
static void no_secret_is_stored(void **state)
{
    (void)state;
    struct sm_token token;
    char id[SM_ID_BYTES], path[4200];
    make(id, &token, &reader);
    snprintf(path, sizeof path, "%s-wal", scratch.db);
    const char *files[] = {scratch.db, path};
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "rb");
        static char bytes[4 << 20];
        assert_non_null(file);
        size_t count = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        assert_true(count < sizeof bytes);
        assert_null(memmem(bytes, count, token.text + 18, 43));
    }
    assert_int_equal(read_int("SELECT COUNT(*) FROM api_key WHERE length(hash) = 32"), 1);
}

static void a_revoked_key_is_not_good_at_once(void **state)
{
    (void)state;
    struct sm_caller caller;
    struct sm_token token;
    char id[SM_ID_BYTES];
    make(id, &token, &reader);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_GOOD);
    assert_code(SM_OK, sm_api_keys_revoke(keys, id, &err));
    assert_int_equal(check(&caller, token.text), SM_API_KEY_REVOKED);
    int64_t revoked_ms = read_int("SELECT revoked_ms FROM api_key");
    assert_code(SM_OK, sm_api_keys_revoke(keys, id, &err));
    assert_int_equal(read_int("SELECT revoked_ms FROM api_key"), revoked_ms);
    assert_int_equal(check(&caller, NULL),
                     SM_API_KEY_MISSING); /* a key there was, so one is needed */
    assert_code(SM_CONFLICT, sm_api_keys_rotate(&token, keys, id, 0, 0, &err));
    char text[100];
    snprintf(text, sizeof text, "key %s is revoked: make a new one", id);
    assert_string_equal(err.text, text);
}

static void an_expired_key_is_not_good(void **state)
{
    (void)state;
    struct sm_caller caller;
    struct sm_token token;
    char id[SM_ID_BYTES], text[100];
    struct sm_api_key_in in = reader;
    in.expires_ms = sm_clock_unix_ms() + 60000;
    make(id, &token, &in);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_GOOD);
    in.expires_ms = sm_clock_unix_ms() - 1;
    make(id, &token, &in);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_EXPIRED);
    assert_code(SM_CONFLICT, sm_api_keys_rotate(&token, keys, id, 0, 0, &err));
    snprintf(text, sizeof text, "key %s has expired: make a new one", id);
    assert_string_equal(err.text, text);
}

static void a_rotated_key_has_two_secrets_for_a_while(void **state)
{
    (void)state;
    struct sm_caller caller;
    struct sm_token first, second, third, fourth;
    char id[SM_ID_BYTES];
    int64_t later_ms = sm_clock_unix_ms() + 60000;
    make(id, &first, &reader);
    assert_code(SM_OK, sm_api_keys_rotate(&second, keys, id, later_ms, later_ms, &err));
    assert_string_equal(second.prefix, first.prefix);
    assert_int_equal(check(&caller, first.text), SM_API_KEY_GOOD);
    assert_int_equal(check(&caller, second.text), SM_API_KEY_GOOD);
    assert_string_equal(caller.api_key_id, id);
    assert_true(read_int("SELECT expires_ms FROM api_key") == later_ms);
    assert_code(SM_OK, sm_api_keys_rotate(&third, keys, id, later_ms, 0, &err));
    assert_int_equal(check(&caller, first.text), SM_API_KEY_WRONG);
    assert_int_equal(check(&caller, second.text), SM_API_KEY_GOOD);
    assert_int_equal(check(&caller, third.text), SM_API_KEY_GOOD);
    assert_true(read_int("SELECT expires_ms FROM api_key") == later_ms);
    assert_code(SM_OK, sm_api_keys_rotate(&fourth, keys, id, sm_clock_unix_ms(), 0, &err));
    assert_int_equal(check(&caller, third.text), SM_API_KEY_WRONG); /* no overlap */
    assert_int_equal(check(&caller, fourth.text), SM_API_KEY_GOOD);
}

static void the_day_of_use_is_kept(void **state)
{
    (void)state;
    struct sm_caller caller;
    struct sm_token token;
    char id[SM_ID_BYTES];
    make(id, &token, &reader);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_GOOD);
    int64_t today = sm_clock_unix_ms() / SM_DAY_MS;
    for (int i = 0; i < 500 && read_int("SELECT COALESCE(last_used_day, 0) FROM api_key") == 0; i++)
        usleep(10000);
    int64_t day = read_int("SELECT last_used_day FROM api_key");
    assert_true(day == today || day == today + 1);
}

static void the_list_tells_all_but_secrets(void **state)
{
    (void)state;
    struct sm_token token;
    char id[SM_ID_BYTES];
    json_t *list;
    struct sm_api_key_in in = {.tenant = "a.b-c_9",
                               .scopes = "read,audit",
                               .scores_per_day = 5,
                               .rounds = true,
                               .decimals = 3,
                               .expires_ms = sm_clock_unix_ms() - 1};
    make(id, &token, &in);
    usleep(2000);
    make(id, &token, &reader);
    assert_code(SM_OK, sm_api_keys_list(&list, keys, &err));
    assert_int_equal(json_array_size(list), 2);
    const json_t *one = json_array_get(list, 0), *two = json_array_get(list, 1);
    assert_string_equal(text_at(one, "tenant"), "a.b-c_9");
    assert_string_equal(text_at(one, "state"), "expired");
    assert_int_equal(json_integer_value(json_object_get(one, "budget_per_day")), 5);
    assert_int_equal(json_integer_value(json_object_get(one, "round")), 3);
    assert_int_equal(json_array_size(json_object_get(one, "scopes")), 2);
    assert_string_equal(text_at(two, "id"), id);
    assert_string_equal(text_at(two, "prefix"), token.prefix);
    assert_string_equal(text_at(two, "state"), "active");
    assert_true(json_is_null(json_object_get(two, "expires")));
    assert_true(json_is_null(json_object_get(two, "round")));
    char *text = json_dumps(list, 0);
    assert_null(strstr(text, token.text + 18));
    free(text);
    json_decref(list);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct sm_api_key_in in;
        const char *text;
    } rows[] = {
        {{.tenant = "", .scopes = "read"}, "the tenant has 0 bytes, must have 1 to 63"},
        {{.tenant = "A", .scopes = "read"},
         "tenant 'A' must be of a to z, 0 to 9, '-', '_' and '.'"},
        {{.tenant = "a", .scopes = ""}, "a key needs a scope, there are 0"},
        {{.tenant = "a", .scopes = "read,"},
         "scope '' is none of score, read, audit, admin, metrics"},
        {{.tenant = "a", .scopes = "read write"},
         "scope 'read write' is none of score, read, audit, admin, metrics"},
        {{.tenant = "a", .scopes = "read", .rounds = true, .decimals = 16},
         "16 decimals, must be 0 to 15"},
    };
    struct sm_token token;
    char id[SM_ID_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_INVALID, sm_api_keys_create(id, &token, keys, &rows[i].in, &err));
        assert_string_equal(err.text, rows[i].text);
    }
    assert_code(SM_NOT_FOUND, sm_api_keys_revoke(keys, "none", &err));
    assert_string_equal(err.text, "there is no key with id 'none'");
    assert_code(SM_NOT_FOUND, sm_api_keys_rotate(&token, keys, "none", 0, 0, &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM api_key"), 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM tenant"), 1);
}

/* Two connections that write all the time never meet. */
static atomic_bool writing, failed;

static void *keep_writing(void *arg)
{
    (void)arg;
    while (atomic_load(&writing)) {
        char id[SM_ID_BYTES];
        struct sm_item_in item = {.name = "", .bytes = "x", .bytes_count = 1};
        struct sm_job_in job = {.pair = "alpha", .items = &item, .items_count = 1};
        struct outcome outcome;
        digest_of(item.image_digest, 1);
        sm_id_new(job.id);
        memcpy(id, job.id, sizeof id);
        memset(job.recipe_digest, 'a', 64);
        json_t *recipe = json_object();
        job.recipe = recipe;
        sem_init(&outcome.done, 0, 0);
        if (sm_store_admit(store, &job, admitted, &outcome, NULL) == SM_OK)
            while (sem_wait(&outcome.done) != 0)
                ;
        json_decref(recipe);
        if (outcome.code != SM_OK)
            atomic_store(&failed, true);
    }
    return NULL;
}

static void writers_take_turns(void **state)
{
    (void)state;
    pthread_t thread;
    struct sm_token token;
    char id[SM_ID_BYTES];
    atomic_store(&writing, true);
    assert_int_equal(pthread_create(&thread, NULL, keep_writing, NULL), 0);
    for (int i = 0; i < 50; i++) {
        make(id, &token, &reader);
        sm_api_keys_close(keys);
        assert_code(SM_OK, sm_api_keys_open(&keys, scratch.db, &err));
    }
    atomic_store(&writing, false);
    pthread_join(thread, NULL);
    assert_false(atomic_load(&failed));
    assert_int_equal(read_int("SELECT COUNT(*) FROM api_key"), 50);
    assert_int_equal(read_int("SELECT COUNT(*) FROM pragma_integrity_check "
                              "WHERE integrity_check <> 'ok'"),
                     0);
}

/* While another holds the turn nothing is written, and that is said in time. */
static void a_turn_that_does_not_end_is_reported(void **state)
{
    (void)state;
    struct sm_token token;
    char id[SM_ID_BYTES], path[4200];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    snprintf(path, sizeof path, "%s.lock", scratch.db);
    int fd = open(path, O_RDWR);
    while (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        usleep(1000);
    assert_code(SM_BUSY, sm_api_keys_create(id, &token, keys, &reader, &err));
    assert_string_equal(err.text, "database: another process has been writing for 5000 ms");
    close(fd);
    assert_code(SM_OK, sm_api_keys_create(id, &token, keys, &reader, &err));
}

/* --- tenants --- */

#define OTHER 1

static void admit_as(int64_t tenant, char id[SM_ID_BYTES], int image)
{
    struct sm_item_in item = {.name = "", .bytes = "x", .bytes_count = 1};
    struct sm_job_in job = {.tenant = tenant, .pair = "alpha", .items = &item, .items_count = 1};
    struct outcome outcome;
    digest_of(item.image_digest, image);
    sm_id_new(job.id);
    memcpy(id, job.id, sizeof job.id);
    memset(job.recipe_digest, 'a', 64);
    json_t *recipe = json_object();
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    json_decref(recipe);
    while (sem_wait(&outcome.done) != 0)
        ;
    assert_code(SM_OK, outcome.code);
}

/* The same content, asked for by a tenant. */
static void score_as(int64_t tenant, char job_id[SM_ID_BYTES], char score_id[SM_ID_BYTES])
{
    struct sm_claim claim;
    bool finished;
    admit_as(tenant, job_id, 7);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_true(claim.tenant == tenant);
    assert_code(SM_OK, finish(&claim, "w", "k", .25, score_id, &finished));
    sm_claim_free(&claim);
}

static int count_scores(int64_t tenant)
{
    struct sm_score_page page;
    int count = 0;
    for (int order = SM_ORDER_NEWEST; order <= SM_ORDER_LOWEST; order++) {
        struct sm_score_filter filter = {.tenant = tenant, .order = order, .limit = 5};
        assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
        free(page.scores);
        assert_true(order == SM_ORDER_NEWEST || page.count == count);
        count = page.count;
    }
    return count;
}

static void tenants_have_scores_of_their_own(void **state)
{
    (void)state;
    struct sm_token token;
    char id[SM_ID_BYTES], job[2][SM_ID_BYTES], score[2][SM_ID_BYTES], *line;
    json_t *document;
    make(id, &token, &reader); /* tenant 1 */
    score_as(SM_TENANT_DEFAULT, job[0], score[0]);
    assert_code(SM_NOT_FOUND, sm_store_score_by_key(&document, store, OTHER, key_of("k"), &err));
    score_as(OTHER, job[1], score[1]);
    assert_string_not_equal(score[0], score[1]);
    for (int64_t who = 0; who < 2; who++) {
        assert_code(SM_OK, sm_store_score_line(&line, store, who, score[who], &err));
        free(line);
        assert_code(SM_NOT_FOUND, sm_store_score_line(&line, store, who, score[!who], &err));
        assert_code(SM_OK, sm_store_score_by_key(&document, store, who, key_of("k"), &err));
        assert_string_equal(text_at(document, "id"), score[who]);
        json_decref(document);
        assert_code(SM_OK, sm_store_job(&document, store, who, job[who], &err));
        const json_t *item = json_array_get(json_object_get(document, "items"), 0);
        assert_string_equal(text_at(json_object_get(item, "score"), "id"), score[who]);
        assert_true(json_is_false(json_object_get(item, "from_history")));
        json_decref(document);
        assert_code(SM_NOT_FOUND, sm_store_job(&document, store, who, job[!who], &err));
        assert_int_equal(count_scores(who), 1);
    }
    score_as(OTHER, job[1], score[0]); /* again: its own from before */
    assert_string_equal(score[0], score[1]);
    assert_int_equal(count_scores(OTHER), 1);
    assert_int_equal(count_scores(2), 0);
}

static void tenants_have_audits_of_their_own(void **state)
{
    (void)state;
    struct sm_token token;
    char id[SM_ID_BYTES], audit[SM_ID_BYTES];
    struct sm_store_audit_page page;
    struct sm_audit_head head;
    make(id, &token, &reader);
    create_audit(audit, false);
    assert_true(revision_of(audit) >= 0);
    assert_code(SM_NOT_FOUND, sm_store_audit_head(&head, store, owned_by(OTHER, audit).at, &err));
    for (int64_t who = 0; who < 2; who++) {
        assert_code(SM_OK, sm_store_audits(&page, store, who, "", 5, &err));
        assert_int_equal(page.count, who == 0);
        sm_store_audit_page_release(&page);
    }
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(audit), -1, &err));
    assert_int_equal(revision_of(audit), -1);
}

/* --- budgets --- */

static struct sm_caller with_budget(int64_t scores_per_day)
{
    struct sm_caller caller;
    struct sm_token token;
    char id[SM_ID_BYTES];
    struct sm_api_key_in in = reader;
    in.scores_per_day = scores_per_day;
    make(id, &token, &in);
    assert_int_equal(check(&caller, token.text), SM_API_KEY_GOOD);
    return caller;
}

static enum sm_code spend(const struct sm_caller *caller, int64_t count, struct sm_err *why)
{
    const struct sm_charge charge = {.caller = *caller, .amount.scores = count};
    return spend_now(&charge, why);
}

static void refuses(const struct sm_caller *caller, int64_t count, const char *text)
{
    assert_code(SM_LIMIT, spend(caller, count, &err));
    assert_string_equal(err.text, text);
}

static void a_budget_is_spent_and_no_more(void **state)
{
    (void)state;
    struct sm_caller caller = with_budget(10), other = with_budget(1), free_one = with_budget(0);
    assert_code(SM_OK, sm_store_has_budget(store, &caller, &err));
    assert_code(SM_OK, spend(&caller, 8, &err));
    refuses(&caller, 3, "asked for: 3; left of the 10 scores that this key has for a day: 2");
    assert_code(SM_OK, sm_store_has_budget(store, &caller, &err));
    assert_code(SM_OK, spend(&caller, 2, &err));
    refuses(&caller, 1, "asked for: 1; left of the 10 scores that this key has for a day: 0");
    assert_code(SM_LIMIT, sm_store_has_budget(store, &caller, &err));
    assert_code(SM_OK, spend(&caller, 0, &err));
    assert_code(SM_OK, spend(&other, 1, &err));
    assert_code(SM_OK, spend(&free_one, INT64_C(1) << 40, &err));
    assert_code(SM_OK, sm_store_has_budget(store, &free_one, &err));
    reopen();
    refuses(&caller, 1, "asked for: 1; left of the 10 scores that this key has for a day: 0");
    assert_int_equal(read_int("SELECT SUM(scores_count) FROM key_day"), 11);
}

static void yesterday_does_not_count(void **state)
{
    (void)state;
    struct sm_caller caller = with_budget(10);
    assert_code(SM_OK, spend(&caller, 10, &err));
    sm_store_close(store);
    struct sm_db *db;
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db, "UPDATE key_day SET day = day - 1", &err));
    sm_db_close(db);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    assert_code(SM_OK, spend(&caller, 10, &err));
}

static atomic_int taken;

static void *take_all(void *caller)
{
    for (int i = 0; i < 200; i++)
        if (spend(caller, 1, NULL) == SM_OK)
            atomic_fetch_add(&taken, 1);
    return NULL;
}

static void two_cannot_take_the_same_score(void **state)
{
    (void)state;
    struct sm_caller caller = with_budget(300);
    pthread_t threads[4];
    atomic_store(&taken, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_all, &caller), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&taken), 300);
}

/* --- the log of reads --- */

static void reads_are_kept_for_good(void **state)
{
    (void)state;
    static const char *const changes[] = {"UPDATE access SET request = 'y'", "DELETE FROM access",
                                          "UPDATE access_record SET access_id = 2",
                                          "DELETE FROM access_record"};
    struct sm_caller caller = with_budget(0);
    char ids[3][SM_ID_BYTES];
    struct sm_db *db;
    for (int i = 0; i < 3; i++)
        sm_id_new(ids[i]);
    memcpy(ids[2], ids[0], SM_ID_BYTES); /* told twice, noted once */
    struct sm_access access = {caller.api_key_id, "r-1", "listScores", ids, 3};
    assert_false(sm_store_access_full(store));
    sm_store_log_access(store, &access);
    sm_store_log_access(store, &access);
    access.records_count = 0;
    sm_store_log_access(store, &access);
    reopen();
    assert_int_equal(read_int("SELECT COUNT(*) FROM access WHERE request = 'r-1' AND "
                              "operation = 'listScores' AND length(key_id) = 16"),
                     2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM access_record"), 4);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        assert_int_not_equal(sm_db_exec(db, changes[i], &err), SM_OK);
        assert_non_null(strstr(err.text, "the access log is append-only"));
    }
    sm_db_close(db);
    assert_int_equal(read_int("SELECT COUNT(*) FROM access_record"), 4);
}

/* Holds the writer, so that nothing is committed. */
static sem_t gate;

static enum sm_code run_gate(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write, (void)db, (void)why;
    while (sem_wait(&gate) != 0)
        ;
    return SM_OK;
}

static void gate_done(struct sm_write *write, enum sm_code code, const struct sm_err *why)
{
    (void)write, (void)code, (void)why;
}

static void a_log_that_does_not_keep_up_is_full(void **state)
{
    (void)state;
    struct sm_caller caller = with_budget(0);
    static char ids[1000][SM_ID_BYTES];
    struct sm_write hold = {.run = run_gate, .done = gate_done};
    for (int i = 0; i < 1000; i++)
        sm_id_new(ids[i]);
    struct sm_access access = {caller.api_key_id, "r", "listScores", ids, 1000};
    sem_init(&gate, 0, 0);
    sm_writer_post(store->writer, &hold);
    for (int i = 0; i < SM_ACCESS_WAITING_MAX / 1000; i++)
        sm_store_log_access(store, &access);
    assert_false(sm_store_access_full(store));
    access.records_count = 1;
    sm_store_log_access(store, &access);
    assert_true(sm_store_access_full(store));
    sem_post(&gate);
    for (int i = 0; i < 3000 && sm_store_access_full(store); i++)
        usleep(10000);
    assert_false(sm_store_access_full(store));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_keys, teardown_keys)
    static const struct CMUnitTest tests[] = {
        TEST(without_keys_everybody_may),
        TEST(a_key_says_who_asks),
        TEST(no_secret_is_stored),
        TEST(a_revoked_key_is_not_good_at_once),
        TEST(an_expired_key_is_not_good),
        TEST(a_rotated_key_has_two_secrets_for_a_while),
        TEST(the_day_of_use_is_kept),
        TEST(the_list_tells_all_but_secrets),
        TEST(what_cannot_be_is_refused),
        TEST(writers_take_turns),
        TEST(a_turn_that_does_not_end_is_reported),
        TEST(tenants_have_scores_of_their_own),
        TEST(tenants_have_audits_of_their_own),
        TEST(a_budget_is_spent_and_no_more),
        TEST(yesterday_does_not_count),
        TEST(two_cannot_take_the_same_score),
        TEST(reads_are_kept_for_good),
        TEST(a_log_that_does_not_keep_up_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
