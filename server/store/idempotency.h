/* Stored answers for requests that are sent again with the same Idempotency-Key.
 *
 * A key is claimed in the transaction that stores the request's resource (sm_job_in.idempotency and
 * others). After a crash either both exist or neither does, so a key never makes two jobs. The
 * answer is stored later, in a second write. A key that is found again has an answer or only the id
 * of its resource; from the id the caller makes the answer again. That happens if the process ended
 * between the two writes, or the answer was not one to keep.
 *
 * A key is forgotten when it is older than the configured period, or when its scope has the
 * configured number of newer keys.
 *
 * Answers contain digests and scores of images, so erasing an image deletes the answers of its jobs
 * and scores. The key of a job that still exists keeps the id.
 *
 * Owner, threads, errors: as store.h. */
#ifndef SERVER_STORE_IDEMPOTENCY_H
#define SERVER_STORE_IDEMPOTENCY_H

#include "server/store/store.h"

#define SM_IDEMPOTENCY_ANSWER_BYTES_MAX (64 << 10)

/* A key, its scope (the id of the API key, "" without one), and the SHA-256 of the request in hex.
 */
struct sm_idempotency_claim {
    char scope[64];
    char key[SM_IDEMPOTENCY_KEY_BYTES];
    char fingerprint[65];
};

/* Sets the period and the number of keys per scope. Call it before other threads use the store. The
 * defaults are a day and 100,000. */
void sm_store_idempotency_set(struct sm_store *store, int64_t keep_ms, int64_t keys_max);

struct sm_idempotency_answer {
    char fingerprint[65]; /* of the request that the key was used for */
    char resource
        [SM_ID_BYTES]; /* job or audit that the request made or moved; or score of the answer */
    int status;        /* 0: no answer is kept, only the resource */
    json_t *headers;   /* object: name to text */
    char *body;
};
/* Reads what is stored for a key. SM_NOT_FOUND: the key is new, or forgotten. */
enum sm_code sm_store_idempotency_answer(struct sm_idempotency_answer *out, struct sm_store *store,
                                         const char *scope, const char *key, struct sm_err *err);
void sm_idempotency_answer_release(struct sm_idempotency_answer *answer);

/* An answer to store with its key. */
struct sm_idempotency_answer_in {
    const struct sm_idempotency_claim *idempotency;
    const char *score; /* id of the answered score if the request stored nothing, else "" */
    int status;
    const json_t *headers;
    const char *body;
    size_t body_bytes;
};
/* Copies the answer and queues its write; `done` runs after the commit, unless this function
 * returns an error. An answer whose image was erased meanwhile is not stored. */
enum sm_code sm_store_idempotency_keep(struct sm_store *store,
                                       const struct sm_idempotency_answer_in *answer,
                                       sm_store_done *done, void *arg, struct sm_err *err);

#endif
