/* Audits in the store: a job of kind "audit", whose items belong to cohorts and are scored like all
 * others.
 *
 *     open -> running <-> paused -> succeeded | failed | cancelled
 *
 * An open audit takes images and none of them is claimed; started, no more images are taken. Audits
 * are claimed after all plain jobs, oldest first, and come to an end by their last item, like a
 * job.
 *
 * Every change of an audit raises its revision, which is its ETag and the id of its events.
 *
 * Errors: SM_NOT_FOUND (no such audit), SM_CONFLICT (not in that state; the text names both
 * states),
 *         otherwise those of store.h. Documents are new references. Calls wait for the commit. */
#ifndef SERVER_STORE_AUDITS_H
#define SERVER_STORE_AUDITS_H

#include "server/store/store.h"
#include "sslmem/audit.h"

struct sm_store_audit_in {
    char id[SM_ID_BYTES];
    int64_t tenant;
    const char *pair;
    const json_t *recipe; /* canonical document */
    char recipe_digest[65];
    const json_t *pair_document; /* sm_pair_json: what the report says of the pair */
    const json_t *spec;          /* sm_audit_spec_json */
    const struct sm_idempotency_claim *idempotency; /* the key of its request, or NULL */
    const struct sm_caller *caller;                 /* on whose behalf; NULL: the service's own */
    struct sm_origin origin;
};
enum sm_code sm_store_audit_create(struct sm_store *store, const struct sm_store_audit_in *in,
                                   struct sm_err *err);

/* An image: bytes, or a file of the data root that is read when its turn comes. */
struct sm_store_audit_image_in {
    enum sm_cohort cohort;
    const char *name, *class_label, *group; /* "" where there is none */
    char image_digest[65];
    const void *bytes; /* NULL: `path` */
    size_t bytes_count;
    const char *path; /* absolute, as the importer opened it */
    int64_t cost_ms;  /* sm_cost_ms; 0 counts as 1 */
    /* Other than SM_OK: it could not be taken (not readable, not an image), and is a failed item
     * from the start. */
    enum sm_code failed;
    const char *failed_text;
};
/* Adds images in one transaction, in order. An image that its cohort has already is left alone and
 * counted, so that an upload cut short can be sent again. SM_LIMIT past `items_max` in all;
 * SM_CANCELLED: the caller's key has ended. */
struct sm_store_audit_intake {
    const struct sm_store_audit_image_in *images;
    size_t images_count;
    int64_t items_max;
    const struct sm_caller *caller; /* on whose behalf; NULL: the service's own */
};
struct sm_store_audit_added {
    int64_t added_count, duplicate_count;
};
enum sm_code sm_store_audit_add(struct sm_store_audit_added *out, struct sm_store *store,
                                const char *id, const struct sm_store_audit_intake *in,
                                struct sm_err *err);
/* Pair and recipe that its images are scored with. */
struct sm_store_audit_scoring {
    char pair[64];
    json_t *recipe; /* the canonical document; a new reference */
};
enum sm_code sm_store_audit_scoring(struct sm_store_audit_scoring *out, struct sm_store *store,
                                    const char *id, struct sm_err *err);
enum sm_store_audit_move { SM_AUDIT_START, SM_AUDIT_PAUSE, SM_AUDIT_RESUME, SM_AUDIT_CANCEL };
/* Starting an audit that runs, pausing a paused one and so on: SM_CONFLICT. Pausing lets the images
 * that are being scored finish. `reason` (may be NULL) is kept while paused. */
enum sm_code sm_store_audit_move(struct sm_store *store, const char *id,
                                 enum sm_store_audit_move move, const char *reason,
                                 struct sm_err *err);
/* The same for a request. A start takes a score for each image from the caller's budget, in the
 * transaction after which no image can join. SM_LIMIT: too few are left; SM_CANCELLED: the key has
 * ended; SM_INVALID: the pair of a start or resumption is not loaded. */
struct sm_store_audit_order {
    enum sm_store_audit_move move;
    const struct sm_idempotency_claim *idempotency; /* the key of the request, or NULL */
    const struct sm_caller *caller;                 /* NULL: the service's own */
};
enum sm_code sm_store_audit_order(struct sm_store *store, const char *id,
                                  const struct sm_store_audit_order *order, struct sm_err *err);
/* Everything of it, its scores too where no other item has them. SM_CONFLICT while it runs. */
enum sm_code sm_store_audit_delete(struct sm_store *store, const char *id, struct sm_err *err);
/* The same of the audit at this revision, -1 being any; SM_CONFLICT when it is at another. */
enum sm_code sm_store_audit_delete_at(struct sm_store *store, const char *id, int64_t revision,
                                      struct sm_err *err);

/* SM_NOT_FOUND unless it is there and of that tenant. */
enum sm_code sm_store_audit_owned(struct sm_store *store, int64_t tenant, const char *id,
                                  struct sm_err *err);

/* {"id","name","state","reason" (paused) ,"revision","pair","recipe" (digest),"spec",
 *  "created","started","finished","items_count","waiting_count","succeeded_count",
 *  "failed_count","erased_count","cost_ms","done_cost_ms" (of all images, of those that ended),
 *  "completeness" (sm_completeness_json),
 *  "cohorts":{"candidate":{"items_count","succeeded_count","failed_count"} …},
 *  "failures":[{"code","count"} …],"request_id","trace_id" (as of a job)} */
enum sm_code sm_store_audit(json_t **out, struct sm_store *store, const char *id,
                            struct sm_err *err);
int64_t sm_store_audit_revision(struct sm_store *store,
                                const char *id); /* cheap; -1: no such audit */

/* A tenant's, newest first; `after` (may be "") is the id of the last one of the page before.
 * {"audits": […], "more"} */
enum sm_code sm_store_audits(json_t **out, struct sm_store *store, int64_t tenant,
                             const char *after, int limit, struct sm_err *err);

/* sd of the reference that its scores have, 0 without one: what was the pair's when it was made. */
enum sm_code sm_store_audit_spread(double *out, struct sm_store *store, const char *id,
                                   struct sm_err *err);

struct sm_store_audit_items_filter {
    int cohort;        /* enum sm_cohort, or -1: any */
    const char *state; /* NULL: any */
    int64_t after;     /* index of the last item of the page before, or -1 */
    int limit;
};
/* Items by index: {"items": [{"index","cohort","name","class","group","image"
 * (digest),"state","score" (id),"m","m_se","error","erased" (when)} …], "more",
 * "flags" (of the pair)}. */
enum sm_code sm_store_audit_items(json_t **out, struct sm_store *store, const char *id,
                                  const struct sm_store_audit_items_filter *filter,
                                  struct sm_err *err);

/* All that sm_audit_evaluate needs, to be released; of a running audit what is there so far. `key`
 * is the secret of exports: the database's own, made at its creation, or the one that was set. */
struct sm_store_audit_record {
    struct sm_audit audit; /* its pointers lead into this object */
    struct sm_audit_spec spec;
    uint8_t digest_key[32];
    void *memory;
};
/* Exports name images by this key in place of the database's own, so that those of several
 * databases agree. To be called before there are other threads. */
void sm_store_set_digest_key(struct sm_store *store, const uint8_t digest_key[32]);
enum sm_code sm_store_audit_record(struct sm_store_audit_record *out, struct sm_store *store,
                                   const char *id, struct sm_err *err);
void sm_store_audit_record_release(struct sm_store_audit_record *record);

/* PNG of an item, at most 64 pixels a side, kept when the spec asks for it; NULL when there is
 * none. To be freed. */
void *sm_store_audit_thumbnail(struct sm_store *store, const char *id, int64_t index,
                               size_t *bytes_count);

#endif
