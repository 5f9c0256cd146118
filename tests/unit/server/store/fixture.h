/* An open store in a scratch folder, and steps that tests of the store share. */
#ifndef TESTS_UNIT_SERVER_STORE_FIXTURE_H
#define TESTS_UNIT_SERVER_STORE_FIXTURE_H

#include "tests/unit/server/store/scratch.h"

#include <math.h>
#include <semaphore.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/store/budget.h"
#include "server/store/impl.h"

static struct scratch scratch;
static struct sm_err err;
static struct sm_store *store;

static inline int setup(void **state)
{
    (void)state;
    err = (struct sm_err){0};
    scratch_make(&scratch);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    sm_store_close(store);
    store = NULL;
    scratch_remove(&scratch);
    return 0;
}

static inline void reopen(void)
{
    sm_store_close(store);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
}

static inline int64_t read_int(const char *sql)
{
    struct sm_db *reader;
    struct sm_stmt *q;
    bool row;
    assert_code(SM_OK, sm_db_open(&reader, scratch.db, SM_DB_READ, &err));
    assert_code(SM_OK, sm_db_query(&q, reader, sql, &err));
    assert_code(SM_OK, sm_stmt_step(q, &row, &err));
    assert_true(row);
    int64_t value = sm_stmt_get_int(q, 0);
    sm_stmt_reset(q);
    sm_db_close(reader);
    return value;
}

struct outcome {
    sem_t done;
    enum sm_code code;
    struct sm_err err;
};

static inline void admitted(void *arg, enum sm_code code, const struct sm_err *why)
{
    struct outcome *outcome = arg;
    outcome->code = code;
    outcome->err = *why;
    sem_post(&outcome->done);
}

/* Posts a charge without a job and waits for its commit. */
static inline enum sm_code spend_now(const struct sm_charge *charge, struct sm_err *why)
{
    struct outcome outcome;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_spend(store, charge, admitted, &outcome, NULL));
    while (sem_wait(&outcome.done) != 0)
        ;
    if (why)
        *why = outcome.err;
    return outcome.code;
}

/* Writes the digest of item `k`: the decimal number k, filled up with zeros to 64 digits. */
static inline void digest_of(char out[65], int k)
{
    snprintf(out, 65, "%064d", k);
}

/* Admits a job of `count` items whose digests begin at `first` and waits for the commit. */
static inline enum sm_code admit_costing(char id[SM_ID_BYTES], const char *pair, int first,
                                         int count, int64_t cost_ms)
{
    struct sm_item_in items[8];
    char bytes[8][16];
    struct sm_job_in job = {.pair = pair, .items = items, .items_count = count};
    struct outcome outcome;
    assert_true(count <= 8);
    sm_id_new(job.id);
    memcpy(id, job.id, sizeof job.id);
    memset(job.recipe_digest, 'a', 64);
    for (int i = 0; i < count; i++) {
        int length = snprintf(bytes[i], sizeof bytes[i], "image %d", first + i);
        items[i] = (struct sm_item_in){.name = i ? "" : "first.png",
                                       .bytes = bytes[i],
                                       .bytes_count = (size_t)length,
                                       .cost_ms = cost_ms};
        digest_of(items[i].image_digest, first + i);
    }
    json_t *recipe = json_pack("{s:i}", "views", 10);
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    json_decref(recipe);
    memset(bytes, 0, sizeof bytes); /* the store must have its own copy */
    while (sem_wait(&outcome.done) != 0)
        ;
    usleep(2000); /* the next id is of a later millisecond, so it sorts after this one */
    return outcome.code;
}

static inline enum sm_code admit(char id[SM_ID_BYTES], const char *pair, int first, int count)
{
    return admit_costing(id, pair, first, count, 0);
}

/* Returns the score key that belongs to a test's name for it, valid until the next call. */
static inline const char *key_of(const char *name)
{
    static _Thread_local char key[SM_SHA256_HEX];
    sm_sha256_hex(key, name, strlen(name));
    return key;
}

static inline enum sm_code finish(const struct sm_claim *claim, const char *owner, const char *key,
                                  double m, char score_id[SM_ID_BYTES], bool *job_finished)
{
    json_t *score = json_pack("{s:s, s:s, s:o}", "image", claim->image_digest, "pair", claim->pair,
                              "m", isnan(m) ? json_null() : json_real(m));
    enum sm_code code = sm_store_finish(store,
                                        &(struct sm_finish){.job_id = claim->job_id,
                                                            .index = claim->index,
                                                            .owner = owner,
                                                            .score_key = key_of(key),
                                                            .score = score,
                                                            .m = m,
                                                            .image_digest = claim->image_digest},
                                        score_id, job_finished, &err);
    json_decref(score);
    return code;
}

/* Admits, claims and finishes one item, which gives one score. */
static inline void add_score(const char *pair, int image, double m, char score_id[SM_ID_BYTES])
{
    char id[SM_ID_BYTES], key[80];
    struct sm_claim claim;
    bool job_finished;
    assert_code(SM_OK, admit(id, pair, image, 1));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    snprintf(key, sizeof key, "%s/%d/%.17g", pair, image, m);
    assert_code(SM_OK, finish(&claim, "w", key, m, score_id, &job_finished));
    assert_true(job_finished);
    sm_claim_free(&claim);
}

static inline const char *text_at(const json_t *document, const char *name)
{
    const char *text = json_string_value(json_object_get(document, name));
    return text ? text : "(none)";
}

/* Parses the scores of a page (new reference) and frees its text. */
static inline json_t *scores_of(struct sm_score_page *page)
{
    json_t *scores = json_loads(page->scores, 0, NULL);
    assert_non_null(scores);
    assert_int_equal(json_array_size(scores), page->count);
    free(page->scores);
    return scores;
}

static inline void check_job(const char *id, const char *state, int succeeded, int failed)
{
    json_t *job;
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, id, &err));
    assert_string_equal(text_at(job, "state"), state);
    assert_int_equal(json_integer_value(json_object_get(job, "succeeded_count")), succeeded);
    assert_int_equal(json_integer_value(json_object_get(job, "failed_count")), failed);
    json_decref(job);
}

#endif
