/* The store: every query of the service, over SQLite in WAL mode.
 *
 * One writer thread owns the only connection that writes and checkpoints. Writes are queued to it
 * and committed in groups (BEGIN IMMEDIATE, synchronous FULL); the callback of a write runs after
 * its commit. Reads run on the calling thread, with read-only connections from a pool.
 *
 * Times are Unix milliseconds in columns and structs, and RFC 3339 UTC in documents.
 *
 * Owner:   returned documents are new references, returned texts are the caller's to free.
 * Threads: every function may be called from any thread unless its comment says otherwise.
 * Errors:  SM_NOT_FOUND, SM_BUSY, SM_FULL and SM_IO (in SQLite's own words), SM_CORRUPT, SM_NOMEM.
 *          SM_CONFLICT at open: another daemon holds the database, or the schema is of another
 *          version. */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/caller.h"
#include "sslmem/err.h"

#define SM_ID_BYTES         37 /* text of a UUIDv7 and its NUL */
#define SM_SCORES_LIMIT_MAX 200
#define SM_DAY_MS           INT64_C(86400000) /* days are days of UTC */

struct sm_store;

/* Opens the database or creates it, takes the daemon lock, applies missing migrations, queues items
 * again that an earlier process left running, and starts the writer. */
enum sm_code sm_store_open(struct sm_store **out, const char *path, struct sm_err *err);
void sm_store_close(struct sm_store *store); /* commits queued writes first; NULL is accepted */
/* Limits the size of the database, and sets how many bytes of the disk it leaves free. Writes that
 * exceed a limit, or would take the room kept for results (room.c), fail with SM_FULL. */
enum sm_code sm_store_limit(struct sm_store *store, int64_t bytes_max, int64_t disk_reserve_bytes,
                            struct sm_err *err);
/* Applies missing migrations and nothing else; `applied` counts them. For `sslmem migrate`. */
enum sm_code sm_store_migrate(const char *path, int *applied, struct sm_err *err);

/* --- reads --- */

/* Reads of scores and jobs name a tenant; rows of other tenants are not found. */

/* Returns the document as one line of JSON with its newline. The stored document is text, which
 * most reads only pass on. */
enum sm_code sm_store_score_line(char **out, struct sm_store *store, int64_t tenant, const char *id,
                                 struct sm_err *err);
/* Returns the score with this score key as a document. */
enum sm_code sm_store_score_by_key(json_t **out, struct sm_store *store, int64_t tenant,
                                   const char *key, struct sm_err *err);

enum sm_order { SM_ORDER_NEWEST, SM_ORDER_OLDEST, SM_ORDER_HIGHEST, SM_ORDER_LOWEST };

struct sm_score_filter {
    int64_t tenant;
    const char *pair;         /* NULL: any */
    const char *image_digest; /* NULL: any */
    bool has_since, has_until, has_min, has_max;
    int64_t since_ms, until_ms; /* since <= created < until */
    double min, max;            /* min <= m <= max */
    enum sm_order order;
    int limit;          /* 1 to SM_SCORES_LIMIT_MAX */
    bool has_after;     /* continue after the row with the next two values */
    double after_value; /* creation in Unix ms, or m, depending on the order */
    char after_id[SM_ID_BYTES];
};

/* One page. If `more` rows remain, `last_value` and the last of `ids` are the `after_value` and
 * `after_id` of the next page. */
struct sm_score_page {
    char *scores; /* a JSON array as text; the caller frees it */
    int count;    /* elements of the array */
    bool more;
    double last_value;
    char ids[SM_SCORES_LIMIT_MAX][SM_ID_BYTES]; /* of the scores, in order */
};
enum sm_code sm_store_scores(struct sm_score_page *out, struct sm_store *store,
                             const struct sm_score_filter *filter, struct sm_err *err);

/* Returns a job with its items:
 * {"id","state","pair","recipe" (digest),"created","started","finished" (null before),
 *  "items_count","succeeded_count","failed_count","items":[
 *    {"index","state","name","image" (digest),"score" (whole document, or absent),"from_history",
 *     "error":{"code","detail"} (or absent),"erased" (time; then without image and score)}],
 *  "request_id","trace_id" (absent if the request had none)} */
enum sm_code sm_store_job(json_t **out, struct sm_store *store, int64_t tenant, const char *id,
                          struct sm_err *err);

/* Return number, image size and cost of the queued and running items of plain jobs, from memory.
 * Items of audits do not count, because they wait behind all others. */
int64_t sm_store_queued_count(struct sm_store *store);
int64_t sm_store_queued_bytes(struct sm_store *store);
int64_t sm_store_queued_cost_ms(struct sm_store *store);
int64_t sm_store_wal_bytes(const struct sm_store *store);  /* size of SQLite's log on disk */
int64_t sm_store_file_bytes(const struct sm_store *store); /* size of the database file */
/* Checks that the files were not replaced since they were opened. */
enum sm_code sm_store_check_files(struct sm_store *store, struct sm_err *err);
/* Checks the same, and that the last commit succeeded. */
enum sm_code sm_store_check(struct sm_store *store, struct sm_err *err);

/* --- writes: queued; `done` runs on the writer thread after the commit or the failure --- */

typedef void sm_store_done(void *arg, enum sm_code code, const struct sm_err *err);

struct sm_idempotency_claim; /* idempotency.h */
struct sm_charge;            /* budget.h */

/* The request that made a job, for the job's document and log lines. */
struct sm_origin {
    char request[65]; /* X-Request-Id, or "" */
    char trace[33];   /* trace-id of its traceparent header, or "" */
};

struct sm_item_in {
    const char *name; /* the client's name for the image in UTF-8, or "" */
    char image_digest[65];
    const void *bytes; /* copied before the function returns */
    size_t bytes_count;
    int64_t cost_ms; /* sm_cost_ms; 0 counts as 1 */
};

struct sm_job_in {
    char id[SM_ID_BYTES]; /* made by the caller: sm_id_new */
    int64_t tenant;
    const char *pair;
    const json_t *recipe; /* canonical document */
    char recipe_digest[65];
    const struct sm_item_in *items;
    int items_count;
    const struct sm_idempotency_claim *idempotency; /* the request's idempotency key, or NULL */
    const struct sm_charge *charge; /* caller and amount to charge; NULL: no charge */
    bool patient; /* while every worker has an item, the commit may wait for another for a moment */
    struct sm_origin origin;
};

/* Admits a job: stores its row and its items with their images. Copies all of `job`. `done` gets
 * SM_LIMIT or SM_CANCELLED if the charge is refused, SM_INVALID if the pair is not loaded; then
 * nothing is admitted. */
enum sm_code sm_store_admit(struct sm_store *store, const struct sm_job_in *job,
                            sm_store_done *done, void *arg, struct sm_err *err);

/* A claimed item; sm_claim_free frees it. */
struct sm_claim {
    char job_id[SM_ID_BYTES];
    struct sm_origin origin;
    int64_t tenant;
    int index;
    int attempt;
    int64_t cost_ms;
    char pair[64];
    char recipe_digest[65];
    json_t *recipe;
    char image_digest[65];
    void *bytes;
    size_t bytes_count;
    bool audit, keep_thumbnail, keep_pixels;
    char pair_digest[65]; /* digest of the pair when the audit was made; "" without one */
    /* A code other than SM_OK: the image's file could not be read, or has changed. Then `bytes` is
     * NULL, and the caller finishes the item with this error. */
    struct sm_err unreadable;
};
/* Waits up to `timeout_ms` for a queued item and leases it to `owner`. Plain jobs come before
 * audits, and jobs of one kind in the order of their turn: time of admission plus cost of the
 * dearest item. SM_NOT_FOUND: no item came in time. */
enum sm_code sm_store_claim(struct sm_claim *out, struct sm_store *store, const char *owner,
                            int timeout_ms, struct sm_err *err);
void sm_claim_free(struct sm_claim *claim);
/* Queues a claimed item again, for any owner, without counting the try. SM_CONFLICT: the lease is
 * no longer the owner's. */
enum sm_code sm_store_requeue(struct sm_store *store, const struct sm_claim *claim,
                              const char *owner, struct sm_err *err);

/* Finishes an item in one of three ways:
 *   score     `score` is a computed document. It is stored unless its tenant has a score with this
 *             score key already; `score_id` receives the id of the stored one.
 *   key only  `score` is NULL: the item gets the score with this score key from history;
 *             SM_NOT_FOUND if there is none, and then the item stays running.
 *   error     `error_code` is not SM_OK.
 * With its last item the job is finished, and `job_finished` is true. The image is deleted in the
 * same transaction. Waits for the commit. SM_CONFLICT: the owner no longer holds the item. */
struct sm_finish {
    const char *job_id;
    int index;
    const char *owner;
    const char *score_key;
    const json_t *score;            /* document, or NULL */
    double m;                       /* the document's m */
    const char *image_digest;       /* the document's image */
    const void *thumbnail, *pixels; /* PNG; packed features (include/sslmem/pixels.h); or NULL */
    size_t thumbnail_bytes, pixels_bytes;
    enum sm_code error_code;
    const char *error_text;
    struct sm_standing *next; /* claim.h: begins to stand with the finish; NULL: none */
    void (*done)(void *arg, bool job_finished), *arg; /* on the writer thread after the commit */
};
enum sm_code sm_store_finish(struct sm_store *store, const struct sm_finish *finish,
                             char score_id[SM_ID_BYTES], bool *job_finished, struct sm_err *err);

#endif
