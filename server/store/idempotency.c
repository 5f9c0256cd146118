/* One table and two writes: the claim of a key, which is a step of other writes, and the storing of
 * its answer.
 *
 * Reads ignore expired rows. A new row replaces an expired row of its key and the oldest row of a
 * full scope; the heartbeat deletes all other expired rows. */
#include "server/store/idempotency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
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

static enum sm_code read_answer(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct sm_idempotency_answer *out = arg;
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
    int64_t rows;
    enum sm_code code = sm_db_each(
        &rows, db,
        "SELECT fingerprint, resource, status, headers, body FROM "
        "idempotency WHERE scope = $scope AND key = $key AND "
        "created_ms > $oldest",
        SM_BIND(SM_TEXT("$scope", f->scope), SM_TEXT("$key", key), SM_INT("$oldest", f->oldest_ms)),
        read_answer, f->out, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_NOT_FOUND, "the key is not known");
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
    int64_t oldest_ms = sm_clock_unix_ms() - store->idempotency_keep_ms;
    return sm_db_change(NULL, db, "DELETE FROM idempotency WHERE created_ms <= $oldest",
                        SM_BIND(SM_INT("$oldest", oldest_ms)), err);
}

/* Makes room for a new row: deletes an expired row of the key, and the oldest row of a full scope.
 */
static enum sm_code make_room(const struct sm_store *store, struct sm_db *db,
                              const struct sm_idempotency_claim *idempotency, struct sm_err *err)
{
    int64_t oldest_ms = sm_clock_unix_ms() - store->idempotency_keep_ms;
    enum sm_code code =
        sm_db_change(NULL, db,
                     "DELETE FROM idempotency WHERE scope = $scope AND key = $key "
                     "AND created_ms <= $oldest",
                     SM_BIND(SM_TEXT("$scope", idempotency->scope),
                             SM_TEXT("$key", idempotency->key), SM_INT("$oldest", oldest_ms)),
                     err);
    if (code == SM_OK)
        code = sm_db_change(NULL, db,
                            "DELETE FROM idempotency WHERE scope = $scope AND seq <= "
                            "(SELECT MAX(seq) FROM idempotency WHERE scope = $scope) - $others",
                            SM_BIND(SM_TEXT("$scope", idempotency->scope),
                                    SM_INT("$others", store->idempotency_keys_max - 1)),
                            err);
    return code;
}

struct answer {
    int status;
    char *headers, *body; /* NULL: no answer yet */
};

struct keeping {
    struct sm_write write;
    struct sm_store *store;
    struct sm_idempotency_claim idempotency;
    char score[SM_ID_BYTES];
    struct answer answer;
    sm_store_done *done;
    void *arg;
};

/* Inserts a row with its answer, or with none: `answer` is zeroed, and binds SQL NULL. */
static enum sm_code insert_row(const struct sm_store *store, struct sm_db *db,
                               const struct sm_idempotency_claim *idempotency, const char *resource,
                               const struct answer *answer, struct sm_err *err)
{
    enum sm_code code = make_room(store, db, idempotency, err);
    if (code != SM_OK)
        return code;
    return sm_db_change(
        NULL, db,
        "INSERT INTO idempotency (scope, key, seq, created_ms, fingerprint, "
        "resource, status, headers, body) VALUES ($scope, $key, "
        "(SELECT COALESCE(MAX(seq), 0) + 1 FROM idempotency WHERE scope = "
        "$scope), $now, $fingerprint, $resource, $status, $headers, $body)",
        SM_BIND(SM_TEXT("$scope", idempotency->scope), SM_TEXT("$key", idempotency->key),
                SM_INT("$now", sm_clock_unix_ms()),
                SM_HEX("$fingerprint", idempotency->fingerprint), SM_HEX("$resource", resource),
                SM_INT_IF(answer->body, "$status", answer->status),
                SM_TEXT("$headers", answer->headers), SM_TEXT("$body", answer->body)),
        err);
}

enum sm_code sm_store_idempotency_claim(const struct sm_store *store, struct sm_db *db,
                                        const struct sm_idempotency_claim *idempotency,
                                        const char *resource, struct sm_err *err)
{
    if (!idempotency || !idempotency->key[0])
        return SM_OK;
    return insert_row(store, db, idempotency, resource, &(struct answer){0}, err);
}

static enum sm_code update_row(struct sm_db *db, const struct keeping *k, struct sm_err *err)
{
    return sm_db_change(
        NULL, db,
        "UPDATE idempotency SET status = $status, headers = $headers, "
        "body = $body WHERE scope = $scope AND key = $key",
        SM_BIND(SM_TEXT("$scope", k->idempotency.scope), SM_TEXT("$key", k->idempotency.key),
                SM_INT("$status", k->answer.status), SM_TEXT("$headers", k->answer.headers),
                SM_TEXT("$body", k->answer.body)),
        err);
}

/* Tells whether an image of the answer was erased after the answer was made: the image of a score,
 * or any image of a job. */
static enum sm_code was_erased(bool *out, struct sm_db *db, const char *score, const char *job,
                               struct sm_err *err)
{
    bool found;
    enum sm_code code = sm_db_row(
        &found, db,
        score[0] ? "SELECT 1 FROM score WHERE id = $id"
                 : "SELECT 1 FROM job JOIN item ON item.job_id = job.id WHERE job.id = $id AND "
                   "job.kind = 'score' AND item.erased_ms IS NOT NULL LIMIT 1",
        SM_BIND(SM_HEX("$id", score[0] ? score : job)), NULL, err);
    *out = score[0] ? !found : found;
    return code;
}

static void keeping_free(struct keeping *k)
{
    free(k->answer.headers);
    free(k->answer.body);
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
                     : insert_row(k->store, db, &k->idempotency, k->score, &k->answer, err);
    sm_idempotency_answer_release(&known);
    return code;
}

enum sm_code sm_store_idempotency_forget(struct sm_db *db, const char *job, struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "UPDATE idempotency SET status = NULL, headers = NULL, "
                        "body = NULL WHERE resource = $job",
                        SM_BIND(SM_HEX("$job", job)), err);
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
    k->answer.status = answer->status;
    k->answer.headers = sm_json_text(answer->headers, JSON_COMPACT);
    k->answer.body = strndup(answer->body, answer->body_bytes);
    k->done = done;
    k->arg = arg;
    if (!k->answer.headers || !k->answer.body) {
        keeping_free(k);
        return sm_err_set(err, SM_NOMEM, "answer: out of memory");
    }
    k->write.growth_bytes = (int64_t)(answer->body_bytes + strlen(k->answer.headers));
    sm_writer_post(store->writer, &k->write);
    return SM_OK;
}
