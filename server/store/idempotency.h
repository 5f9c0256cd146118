/* Answers kept for requests that are sent again with their Idempotency-Key.
 *
 * A key is claimed in the transaction of what its request makes (sm_job_in.idempotency and others),
 * so that after a crash both are there or none is: a key never makes two jobs. The answer is put
 * beside it afterwards. Found again, a key has an answer, or only the id of what was made, from
 * which an answer is to be made anew: the process ended in between, or it was none to keep.
 *
 * A row is forgotten when it is as old as was set, and before that when its scope has as many newer
 * ones as were set.
 *
 * Answers hold digests and scores of images: the erasure of an image takes the answers of its jobs
 * and scores along. A key whose job is there still finds it.
 *
 * Threads, errors: as store.h. */
#ifndef SERVER_STORE_IDEMPOTENCY_H
#define SERVER_STORE_IDEMPOTENCY_H

#include "server/store/store.h"

#define SM_IDEMPOTENCY_ANSWER_BYTES_MAX (64 << 10)

/* Whose key, which, and the SHA-256 of the request in hex. */
struct sm_idempotency_claim {
    char scope[64];
    char key[SM_IDEMPOTENCY_KEY_BYTES];
    char fingerprint[65];
};

/* To be called before there are other threads; until then a day and 100,000. */
void sm_store_idempotency_set(struct sm_store *store, int64_t keep_ms, int64_t keys_max);

struct sm_idempotency_answer {
    char fingerprint[65]; /* of the request that the key was used for */
    char resource
        [SM_ID_BYTES]; /* the job or audit that it made or moved, or that the answer is of */
    int status;        /* 0: no answer is kept, only the resource */
    json_t *headers;   /* name to text */
    char *body;
};
/* SM_NOT_FOUND: the key is new, or forgotten. */
enum sm_code sm_store_idempotency_answer(struct sm_idempotency_answer *out, struct sm_store *store,
                                         const char *scope, const char *key, struct sm_err *err);
void sm_idempotency_answer_release(struct sm_idempotency_answer *answer);

/* An answer to keep with its key; all is copied. */
struct sm_idempotency_answer_in {
    const struct sm_idempotency_claim *idempotency;
    const char *score; /* id of the score that it tells of when its request made nothing, or "" */
    int status;
    const json_t *headers;
    const char *body;
    size_t body_bytes;
};
enum sm_code sm_store_idempotency_keep(struct sm_store *store,
                                       const struct sm_idempotency_answer_in *answer,
                                       sm_store_done *done, void *arg, struct sm_err *err);

#endif
