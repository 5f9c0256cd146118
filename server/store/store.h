/* The store: every query of the service, each idempotency, over SQLite in WAL mode.
 *
 * One writer thread owns the only connection that writes and checkpoints; writes are queued to it
 * and committed in groups (BEGIN IMMEDIATE, synchronous FULL), and a write's callback runs after
 * its commit. Reads run on the calling thread, on short read-only connections from a pool.
 *
 * Threads: every function may be called from any thread unless it says otherwise.
 * Errors:  SM_NOT_FOUND, SM_BUSY, SM_FULL and SM_IO (SQLite's own words), SM_CORRUPT, SM_NOMEM;
 *          SM_CONFLICT at open: another daemon holds the database, or its schema is not ours.
 *
 * Documents returned are new references. Times are Unix milliseconds in columns and RFC 3339 UTC in
 * documents. */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/caller.h"
#include "sslmem/err.h"

#define SM_ID_BYTES         37 /* a UUIDv7 in text and its NUL */
#define SM_SCORES_LIMIT_MAX 200
#define SM_DAY_MS           INT64_C(86400000) /* days are those of UTC */

struct sm_store;

/* Opens (and creates) the database, takes the daemon lock beside it, applies missing migrations,
 * starts the writer. Items that an earlier process left running are queued again. */
enum sm_code sm_store_open(struct sm_store **out, const char *path, struct sm_err *err);
void sm_store_close(struct sm_store *store); /* drains the writer's queue first */
/* How large the database may become, and what it leaves of the disk. Writes that need more fail
 * with SM_FULL; so do those that would take the room for results to come (room.c). */
enum sm_code sm_store_limit(struct sm_store *store, int64_t bytes_max, int64_t disk_reserve_bytes,
                            struct sm_err *err);
/* Applies missing migrations and nothing else; `applied` counts them. For `sslmem migrate`. */
enum sm_code sm_store_migrate(const char *path, int *applied, struct sm_err *err);

/* --- reads --- */

/* Scores and jobs are those of a tenant; another's are not found.
 *
 * The document as one line of JSON, its end included, to be freed: what is stored is already text,
 * and most reads only pass it on. */
enum sm_code sm_store_score_line(char **out, struct sm_store *store, int64_t tenant, const char *id,
                                 struct sm_err *err);
enum sm_code sm_store_score_by_key(json_t **out, struct sm_store *store, int64_t tenant,
                                   const char *key, struct sm_err *err);

enum sm_order { SM_ORDER_NEWEST, SM_ORDER_OLDEST, SM_ORDER_HIGHEST, SM_ORDER_LOWEST };

struct sm_score_filter {
    int64_t tenant;
    const char *pair;         /* NULL: any */
    const char *image_digest; /* NULL: any */
    bool has_since, has_until, has_min, has_max;
    int64_t since_ms, until_ms; /* since <= created < until */
    double min, max;            /* of m, inclusive */
    enum sm_order order;
    int limit;          /* 1..SM_SCORES_LIMIT_MAX */
    bool has_after;     /* continue after the row with these keys */
    double after_value; /* created in ms, or m, by order */
    char after_id[SM_ID_BYTES];
};

/* One page. `more` tells whether rows remain; then the caller takes the keys of the last row as the
 * next cursor: created_ms or m, by order, stands in `last_value`, its id is the last of `ids`. */
struct sm_score_page {
    char *scores; /* a JSON array as text, to be freed */
    int count;    /* of its elements */
    bool more;
    double last_value;
    char ids[SM_SCORES_LIMIT_MAX][SM_ID_BYTES]; /* of each */
};
enum sm_code sm_store_scores(struct sm_score_page *out, struct sm_store *store,
                             const struct sm_score_filter *filter, struct sm_err *err);

/* {"id","state","pair","recipe" (digest),"created","started","finished" (null before),
 *  "items_count","succeeded_count","failed_count","items":[
 *    {"index","state","name","image" (digest),"score" (whole document, or absent),"from_history",
 *     "error":{"code","detail"} (or absent),"erased" (when; then without image and score)}],
 *  "request_id","trace_id" (absent where nobody or no trace asked)} */
enum sm_code sm_store_job(json_t **out, struct sm_store *store, int64_t tenant, const char *id,
                          struct sm_err *err);

/* Items of plain jobs queued or running; kept in memory. Those of audits do not count: they wait
 * behind all others. */
int64_t sm_store_queued_count(struct sm_store *store);
int64_t sm_store_queued_bytes(struct sm_store *store);     /* of the images of these items */
int64_t sm_store_queued_cost_ms(struct sm_store *store);   /* of these items */
int64_t sm_store_wal_bytes(const struct sm_store *store);  /* of SQLite's log on disk */
int64_t sm_store_file_bytes(const struct sm_store *store); /* of the database */
/* Whether the files are still those that were opened; looks anew. */
enum sm_code sm_store_check_files(struct sm_store *store, struct sm_err *err);
/* Whether it can be written: the same, and the last commit succeeded. */
enum sm_code sm_store_check(struct sm_store *store, struct sm_err *err);

/* --- writes: queued; `done` runs on the writer thread after the commit (or the failure) --- */

typedef void sm_store_done(void *arg, enum sm_code code, const struct sm_err *err);

struct sm_idempotency_claim; /* idempotency.h */
struct sm_charge;            /* budget.h */

/* Who asked for a job: for its document and its lines in the log. */
struct sm_origin {
    char request[65]; /* X-Request-Id, or "" */
    char trace[33];   /* trace-id of its traceparent, or "" */
};

struct sm_item_in {
    const char *name; /* the client's name for it in UTF-8, or "" */
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
    const struct sm_idempotency_claim *idempotency; /* the key of its request, or NULL */
    const struct sm_charge *charge; /* whose it is and what it takes; NULL: the service's own */
    struct sm_origin origin;
};

/* Admits a job: one row and its items with their bytes. Nothing is admitted, and SM_LIMIT or
 * SM_CANCELLED said, when the charge is refused; SM_INVALID: the pair is not loaded. */
enum sm_code sm_store_admit(struct sm_store *store, const struct sm_job_in *job,
                            sm_store_done *done, void *arg, struct sm_err *err);

/* A claimed item; the bytes are the claimer's to free. */
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
    bool audit, keep_thumbnail;
    char pair_digest[65]; /* of the pair that the audit was made under; "" without one */
    /* code other than SM_OK: why the file of an audit's item could not be read, or is another now.
     * There are no bytes then; the item is to be finished with this error. */
    struct sm_err unreadable;
};
/* Waits up to `timeout_ms` for a queued item and leases it to `owner`: plain jobs before audits, by
 * their turns: when a job came, plus what its dearest item costs. SM_NOT_FOUND when none came. */
enum sm_code sm_store_claim(struct sm_claim *out, struct sm_store *store, const char *owner,
                            int timeout_ms, struct sm_err *err);
void sm_claim_free(struct sm_claim *claim);
/* Queues a claimed item again, for anybody, without counting the try. SM_CONFLICT when the lease is
 * no longer the owner's. */
enum sm_code sm_store_requeue(struct sm_store *store, const struct sm_claim *claim,
                              const char *owner, struct sm_err *err);

/* Finishes an item in one of three ways, and the job with its last item; *job_finished tells.
 *   score     a computed document, stored once per key and tenant; `score_id` receives the id of
 *             the row that stands, which is an earlier one when the key was there
 *   key only  the score of that key, from history; SM_NOT_FOUND when there is none: the item goes
 *             on
 *   error     error_code other than SM_OK
 * Drops the image bytes in the same transaction. Waits for the commit. SM_CONFLICT when the lease
 * is no longer the owner's: the item is another's, or finished. */
struct sm_finish {
    const char *job_id;
    int index;
    const char *owner;
    const char *score_key;
    const json_t *score;      /* document, or NULL */
    double m;                 /* of the document */
    const char *image_digest; /* of the document */
    const void *thumbnail;    /* PNG, or NULL */
    size_t thumbnail_bytes;
    enum sm_code error_code;
    const char *error_text;
};
enum sm_code sm_store_finish(struct sm_store *store, const struct sm_finish *finish,
                             char score_id[SM_ID_BYTES], bool *job_finished, struct sm_err *err);

#endif
