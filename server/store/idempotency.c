/* One table, two writes: a claim, which is a step of other writes, and the keeping of an answer.
 *
 * What is too old is not seen by reads and gives way to writes of the same key; the heartbeat
 * sweeps the rest. What is over the limit of its scope goes with the write that comes in. */
#include "server/store/idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/store/audits_impl.h"

void sm_store_idempotency_set(struct sm_store *store, int64_t keep_ms, int64_t keys_max)
{
    store->idempotency_keep_ms = keep_ms;
    store->idempotency_keys_max = keys_max;
}

/* --- reads --- */

struct finding {
    struct sm_idempotency_answer *out;
    const char *scope;
    int64_t oldest_ms;
};

static enum sm_code read_answer(struct sm_idempotency_answer *out, const struct sm_stmt *q,
                                struct sm_err *err)
{
    sm_stmt_get_digest(out->fingerprint, q, 0);
    sm_stmt_get_id(out->resource, q, 1);
    if (sm_stmt_is_null(q, 2))
        return SM_OK;
    out->status = (int)sm_stmt_get_int(q, 2);
    out->headers = json_loads(sm_stmt_get_text(q, 3), 0, NULL);
    out->body = strdup(sm_stmt_get_text(q, 4));
    return out->headers && out->body ? SM_OK
                                     : sm_err_set(err, SM_NOMEM, "stored answer: out of memory");
}

static enum sm_code find(void *arg, struct sm_db *db, const void *key, struct sm_err *err)
{
    const struct finding *f = arg;
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(&q, db,
                                    "SELECT fingerprint, resource, status, headers, body FROM "
                                    "idempotency WHERE scope = $scope AND key = $key AND "
                                    "created_ms > $oldest",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$scope", f->scope);
    sm_stmt_text(q, "$key", key);
    sm_stmt_int(q, "$oldest", f->oldest_ms);
    code = sm_stmt_step(q, &row, err);
    if (code == SM_OK)
        code = row ? read_answer(f->out, q, err)
                   : sm_err_set(err, SM_NOT_FOUND, "the key is not known");
    sm_stmt_reset(q);
    return code;
}

enum sm_code sm_store_idempotency_answer(struct sm_idempotency_answer *out, struct sm_store *store,
                                         const char *scope, const char *key, struct sm_err *err)
{
    struct finding f = {out, scope, sm_clock_unix_ms() - store->idempotency_keep_ms};
    *out = (struct sm_idempotency_answer){0};
    enum sm_code code = sm_store_snapshot(&f, store, find, key, err);
    if (code != SM_OK)
        sm_idempotency_answer_release(out);
    return code;
}

void sm_idempotency_answer_release(struct sm_idempotency_answer *answer)
{
    json_decref(answer->headers);
    free(answer->body);
    *answer = (struct sm_idempotency_answer){0};
}

/* --- writes --- */

enum sm_code sm_store_idempotency_sweep(const struct sm_store *store, struct sm_db *db,
                                        struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code =
        sm_db_query(&q, db, "DELETE FROM idempotency WHERE created_ms <= $oldest", err);
    if (code != SM_OK)
        return code;
    sm_stmt_int(q, "$oldest", sm_clock_unix_ms() - store->idempotency_keep_ms);
    return sm_stmt_run(q, NULL, err);
}

/* Makes room: of this key when it is too old, and of the oldest one of its scope. */
static enum sm_code make_room(const struct sm_store *store, struct sm_db *db,
                              const struct sm_idempotency_claim *idempotency, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "DELETE FROM idempotency WHERE scope = $scope AND key = $key "
                                    "AND created_ms <= $oldest",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$scope", idempotency->scope);
    sm_stmt_text(q, "$key", idempotency->key);
    sm_stmt_int(q, "$oldest", sm_clock_unix_ms() - store->idempotency_keep_ms);
    code = sm_stmt_run(q, NULL, err);
    if (code == SM_OK)
        code = sm_db_query(&q, db,
                           "DELETE FROM idempotency WHERE scope = $scope AND seq <= "
                           "(SELECT MAX(seq) FROM idempotency WHERE scope = $scope) - $others",
                           err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$scope", idempotency->scope);
    sm_stmt_int(q, "$others", store->idempotency_keys_max - 1);
    return sm_stmt_run(q, NULL, err);
}

struct keeping {
    struct sm_write write;
    struct sm_store *store;
    struct sm_idempotency_claim idempotency;
    char score[SM_ID_BYTES];
    int status;
    char *headers, *body;
    sm_store_done *done;
    void *arg;
};

/* What an answer binds; nothing without one. */
static void bind_answer(struct sm_stmt *q, const struct keeping *k)
{
    if (!k)
        return;
    sm_stmt_int(q, "$status", k->status);
    sm_stmt_text(q, "$headers", k->headers);
    sm_stmt_text(q, "$body", k->body);
}

static enum sm_code insert_row(const struct sm_store *store, struct sm_db *db,
                               const struct sm_idempotency_claim *idempotency, const char *resource,
                               const struct keeping *answer, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = make_room(store, db, idempotency, err);
    if (code == SM_OK)
        code = sm_db_query(&q, db,
                           "INSERT INTO idempotency (scope, key, seq, created_ms, fingerprint, "
                           "resource, status, headers, body) VALUES ($scope, $key, "
                           "(SELECT COALESCE(MAX(seq), 0) + 1 FROM idempotency WHERE scope = "
                           "$scope), $now, $fingerprint, $resource, $status, $headers, $body)",
                           err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$scope", idempotency->scope);
    sm_stmt_text(q, "$key", idempotency->key);
    sm_stmt_int(q, "$now", sm_clock_unix_ms());
    sm_stmt_hex(q, "$fingerprint", idempotency->fingerprint);
    sm_stmt_hex(q, "$resource", resource);
    bind_answer(q, answer);
    return sm_stmt_run(q, NULL, err);
}

enum sm_code sm_store_idempotency_claim(const struct sm_store *store, struct sm_db *db,
                                        const struct sm_idempotency_claim *idempotency,
                                        const char *resource, struct sm_err *err)
{
    if (!idempotency || !idempotency->key[0])
        return SM_OK;
    return insert_row(store, db, idempotency, resource, NULL, err);
}

static enum sm_code update_row(struct sm_db *db, const struct keeping *k, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "UPDATE idempotency SET status = $status, headers = $headers, "
                                    "body = $body WHERE scope = $scope AND key = $key",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_text(q, "$scope", k->idempotency.scope);
    sm_stmt_text(q, "$key", k->idempotency.key);
    bind_answer(q, k);
    return sm_stmt_run(q, NULL, err);
}

/* Whether the images that an answer tells of were erased since it was made: the one of a score, or
 * any of a job. */
static enum sm_code was_erased(bool *out, struct sm_db *db, const char *score, const char *job,
                               struct sm_err *err)
{
    struct sm_stmt *q;
    bool row;
    enum sm_code code = sm_db_query(
        &q, db,
        score[0] ? "SELECT 1 FROM score WHERE id = $id"
                 : "SELECT 1 FROM job JOIN item ON item.job_id = job.id WHERE job.id = $id AND "
                   "job.kind = 'score' AND item.erased_ms IS NOT NULL LIMIT 1",
        err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$id", score[0] ? score : job);
    code = sm_stmt_step(q, &row, err);
    *out = score[0] ? !row : row;
    sm_stmt_reset(q);
    return code;
}

static void keeping_free(struct keeping *k)
{
    free(k->headers);
    free(k->body);
    free(k);
}

static enum sm_code run_keep(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    const struct keeping *k = (const struct keeping *)write;
    struct sm_idempotency_answer known = {0};
    struct finding f = {&known, k->idempotency.scope,
                        sm_clock_unix_ms() - k->store->idempotency_keep_ms};
    bool erased = false;
    enum sm_code code = find(&f, db, k->idempotency.key, err);
    bool there = code == SM_OK;
    if (there || code == SM_NOT_FOUND)
        code = was_erased(&erased, db, k->score, known.resource, err);
    if (code == SM_OK && !erased)
        code = there ? update_row(db, k, err)
                     : insert_row(k->store, db, &k->idempotency, k->score, k, err);
    sm_idempotency_answer_release(&known);
    return code;
}

enum sm_code sm_store_idempotency_forget(struct sm_db *db, const char *job, struct sm_err *err)
{
    struct sm_stmt *q;
    enum sm_code code = sm_db_query(&q, db,
                                    "UPDATE idempotency SET status = NULL, headers = NULL, "
                                    "body = NULL WHERE resource = $job",
                                    err);
    if (code != SM_OK)
        return code;
    sm_stmt_hex(q, "$job", job);
    return sm_stmt_run(q, NULL, err);
}

static void kept(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct keeping *k = (struct keeping *)write;
    k->done(k->arg, code, err);
    keeping_free(k);
}

enum sm_code sm_store_idempotency_keep(struct sm_store *store,
                                       const struct sm_idempotency_answer_in *answer,
                                       sm_store_done *done, void *arg, struct sm_err *err)
{
    struct keeping *k = calloc(1, sizeof *k);
    if (!k)
        return sm_err_set(err, SM_NOMEM, "answer: out of memory");
    k->write = (struct sm_write){.run = run_keep, .done = kept};
    k->store = store;
    k->idempotency = *answer->idempotency;
    snprintf(k->score, sizeof k->score, "%s", answer->score);
    k->status = answer->status;
    k->headers = json_dumps(answer->headers, JSON_COMPACT);
    k->body = strndup(answer->body, answer->body_bytes);
    k->done = done;
    k->arg = arg;
    if (!k->headers || !k->body) {
        keeping_free(k);
        return sm_err_set(err, SM_NOMEM, "answer: out of memory");
    }
    k->write.growth_bytes = (int64_t)(answer->body_bytes + strlen(k->headers));
    sm_writer_post(store->writer, &k->write);
    return SM_OK;
}
