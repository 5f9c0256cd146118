/* Audits in the store. An audit is a job of kind "audit": its items belong to cohorts and are
 * scored like the items of all other jobs.
 *
 *     open -> running <-> paused -> succeeded | failed | cancelled
 *
 * An open audit takes images, and no worker claims them. A started audit takes no more images.
 * Workers claim its items after those of all plain jobs, oldest audit first. An audit ends with its
 * last item, like a job.
 *
 * Every change of an audit raises its revision, which is its ETag and the id of its events.
 *
 * Tenancy: every call about an audit takes struct sm_audit_id, and every query has the tenant in
 * its WHERE. So another tenant's audit is SM_NOT_FOUND here, whatever a caller forgets. No call
 * looks an audit up without its tenant.
 *
 * Errors: SM_NOT_FOUND (the tenant has no such audit), SM_CONFLICT (not in the state that the call
 *         needs; the text names both states), otherwise those of store.h.
 * Threads: any. Calls that change an audit wait for the commit.
 * Owner:   the caller owns what it gets: documents are new references. */
#ifndef SERVER_STORE_AUDITS_H
#define SERVER_STORE_AUDITS_H

#include "server/store/state.h"
#include "server/store/store.h"
#include "sslmem/audit.h"

/* An audit and the tenant that it must belong to. A text that is no id matches no audit. */
struct sm_audit_id {
    int64_t tenant;
    char id[SM_ID_BYTES];
};

struct sm_store_audit_in {
    struct sm_audit_id audit; /* its new id */
    const char *pair;
    const json_t *recipe; /* canonical document */
    char recipe_digest[65];
    const json_t *pair_document;                    /* sm_pair_json, for the report */
    const json_t *spec;                             /* sm_audit_spec_json */
    const struct sm_idempotency_claim *idempotency; /* of the request; NULL: none */
    const struct sm_caller *caller;                 /* NULL: the service itself */
    struct sm_origin origin;
};
/* SM_CANCELLED: the caller's key has ended. */
enum sm_code sm_store_audit_create(struct sm_store *store, const struct sm_store_audit_in *in,
                                   struct sm_err *err);

/* An image: bytes, or the path of a file that is read when a worker claims the item. */
struct sm_store_audit_image_in {
    enum sm_cohort cohort;
    const char *name, *class_label, *group; /* "": none */
    char image_digest[65];
    const void *bytes; /* NULL: `path` */
    size_t bytes_count;
    const char *path; /* absolute, as the importer opened it */
    int64_t cost_ms;  /* sm_cost_ms; 0 counts as 1 */
    /* Other than SM_OK: the image cannot be scored (unreadable, or no image), and becomes an item
     * that has failed already. */
    enum sm_code failed;
    const char *failed_text;
};
/* An item with index % count == part is the shard's own; count 0: every item is. */
struct sm_shard {
    int64_t part, count;
};
struct sm_store_audit_intake {
    const struct sm_store_audit_image_in *images;
    size_t images_count;
    struct sm_shard shard;          /* items of other shards become cancelled, without an image */
    int64_t items_max;              /* items of the audit in all */
    const struct sm_caller *caller; /* NULL: the service itself */
};
struct sm_store_audit_added {
    int64_t added_count, duplicate_count;
};
/* Adds images in their order, in one transaction. An image that its cohort has already is counted
 * as a duplicate, so that an interrupted upload can be sent again. SM_LIMIT: more than `items_max`;
 * SM_CANCELLED: the caller's key has ended. */
enum sm_code sm_store_audit_add(struct sm_store_audit_added *out, struct sm_store *store,
                                const struct sm_audit_id *audit,
                                const struct sm_store_audit_intake *in, struct sm_err *err);

/* Pair and recipe that score the audit's images. */
struct sm_store_audit_scoring {
    char pair[64];
    json_t *recipe; /* the canonical document; a new reference */
};
enum sm_code sm_store_audit_scoring(struct sm_store_audit_scoring *out, struct sm_store *store,
                                    const struct sm_audit_id *audit, struct sm_err *err);

enum sm_store_audit_move { SM_AUDIT_START, SM_AUDIT_PAUSE, SM_AUDIT_RESUME, SM_AUDIT_CANCEL };
/* Moves the audit for the service itself. SM_CONFLICT: already there (starting a running audit,
 * pausing a paused one). A pause lets images finish that are being scored. `reason` (may be NULL)
 * is kept while the audit is paused. */
enum sm_code sm_store_audit_move(struct sm_store *store, const struct sm_audit_id *audit,
                                 enum sm_store_audit_move move, const char *reason,
                                 struct sm_err *err);
struct sm_store_audit_order {
    enum sm_store_audit_move move;
    const struct sm_idempotency_claim *idempotency; /* of the request; NULL: none */
    const struct sm_caller *caller;                 /* NULL: the service itself */
};
/* Moves the audit for a request. A start charges the caller's budget with one score for each image,
 * in the transaction that closes the audit to images. SM_LIMIT: the budget is too small;
 * SM_CANCELLED: the key has ended; SM_INVALID: the pair of a start or resumption is not loaded. */
enum sm_code sm_store_audit_order(struct sm_store *store, const struct sm_audit_id *audit,
                                  const struct sm_store_audit_order *order, struct sm_err *err);

/* Deletes the audit with its items, and their scores unless other items have them. `revision`: the
 * only one to delete, SM_CONFLICT at another; -1: any. SM_CONFLICT while the audit runs. */
enum sm_code sm_store_audit_delete(struct sm_store *store, const struct sm_audit_id *audit,
                                   int64_t revision, struct sm_err *err);

/* The fields of an audit's row that code decides by; documents are for clients. */
struct sm_audit_head {
    struct sm_audit_id audit;
    int64_t revision;
    enum sm_state state;
    bool finished; /* succeeded, failed or cancelled */
    char pair[64];
    int64_t done_count;            /* items that succeeded or failed */
    int64_t cost_ms, done_cost_ms; /* of all items; of those that ended */
};
/* Reads one row: cheap enough for every request and every poll of a stream. */
enum sm_code sm_store_audit_head(struct sm_audit_head *out, struct sm_store *store,
                                 const struct sm_audit_id *audit, struct sm_err *err);

/* Reads the document, and the head (may be NULL) of the same moment. The document is
 * {"id","name","state","reason" (while paused),"revision","pair","recipe" (digest),"spec",
 *  "created","started","finished","items_count","waiting_count","succeeded_count",
 *  "failed_count","erased_count","cost_ms","done_cost_ms" (as in the head),
 *  "completeness" (sm_completeness_json),
 *  "cohorts":{"candidate":{"items_count","succeeded_count","failed_count"} …},
 *  "failures":[{"code","count"} …],"flags" (of the pair),"request_id","trace_id" (as of a
 *  job)} */
enum sm_code sm_store_audit(json_t **out, struct sm_audit_head *head, struct sm_store *store,
                            const struct sm_audit_id *audit, struct sm_err *err);

/* A page of a tenant's audits, newest first. */
struct sm_store_audit_page {
    json_t *audits;              /* array of documents of sm_store_audit */
    struct sm_audit_head *heads; /* [count], in the same order */
    int count;
    bool more; /* older ones follow */
};
/* `after` is the id of the last audit of the page before, "" for the first page. `limit` is from 1
 * to SM_SCORES_LIMIT_MAX. Release the page; after an error it is empty. */
enum sm_code sm_store_audits(struct sm_store_audit_page *out, struct sm_store *store,
                             int64_t tenant, const char *after, int limit, struct sm_err *err);
void sm_store_audit_page_release(struct sm_store_audit_page *page);

/* Reads the standard deviation of the reference of the audit's pair; 0 when the pair has none under
 * the audit's recipe. */
enum sm_code sm_store_audit_spread(double *out, struct sm_store *store,
                                   const struct sm_audit_id *audit, struct sm_err *err);

struct sm_store_audit_items_filter {
    int cohort;        /* enum sm_cohort, or -1: any */
    const char *state; /* NULL: any */
    int64_t after;     /* index of the last item of the page before, or -1 */
    int limit;
};
/* A page of items by index: {"index","cohort","name","class","group","image" (digest),"state",
 * "score" (id),"m","m_se","error","erased" (time)}. */
struct sm_store_audit_items_page {
    json_t *items; /* array */
    json_t *flags; /* array: the flags of the pair */
    int64_t last;  /* index of the last item of the page */
    bool more;
};
/* SM_INVALID: `filter->state` is no state. Release the page; after an error it is empty. */
enum sm_code sm_store_audit_items(struct sm_store_audit_items_page *out, struct sm_store *store,
                                  const struct sm_audit_id *audit,
                                  const struct sm_store_audit_items_filter *filter,
                                  struct sm_err *err);
void sm_store_audit_items_page_release(struct sm_store_audit_items_page *page);

/* The input of sm_audit_evaluate: all items that have ended, also of a running audit. */
struct sm_store_audit_record {
    struct sm_audit audit; /* its pointers lead into this object */
    struct sm_audit_spec spec;
    uint8_t digest_key[32]; /* secret of exports: the database's own, or the one that was set */
    void *memory;
};
/* Sets the secret under which exports name images, so that several databases agree. Call it before
 * other threads use the store. */
void sm_store_set_digest_key(struct sm_store *store, const uint8_t digest_key[32]);
enum sm_code sm_store_audit_record(struct sm_store_audit_record *out, struct sm_store *store,
                                   const struct sm_audit_id *audit, struct sm_err *err);
void sm_store_audit_record_release(struct sm_store_audit_record *record);

/* Returns the PNG of an item, at most 64 pixels a side, for the caller to free. NULL: the tenant
 * has no such item, or its audit keeps no thumbnails. */
void *sm_store_audit_thumbnail(struct sm_store *store, const struct sm_audit_id *audit,
                               int64_t index, size_t *bytes_count);

#endif
