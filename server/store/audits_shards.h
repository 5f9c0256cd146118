/* Joins the shards of an audit, each from a database of its own, into one audit.
 *
 *     sm_store_audit_list(&list, part, &part_id, &err);       // for each: lists must be equal
 *     sm_store_audit_copy_list(store, &id, &first, &err);     // all images, none with a result
 *     sm_store_audit_copy_results(store, &id, &source, &err); // for each shard
 *     sm_store_audit_move(store, &id, SM_AUDIT_START, NULL, &err); // ends at once
 *
 * Every shard lists all images of the audit; those of other shards are cancelled (struct sm_shard).
 * A merged audit keeps that state for images that no shard has a result of, so it is partial.
 *
 * Threads: any; copies wait for the commit. Nobody else may use the source meanwhile.
 * Errors:  as in audits.h, for both audits; SM_CORRUPT: the source has an item that no audit
 *          stores, or a score that is not of its item or contradicts itself. */
#ifndef SERVER_STORE_AUDITS_SHARDS_H
#define SERVER_STORE_AUDITS_SHARDS_H

#include "server/store/audits.h"

struct sm_audit_list {
    int64_t count;
    char digest[65]; /* of index, cohort, name, class, group and image digest of each item */
};
/* Reads every item, whatever its state, and checks its score. */
enum sm_code sm_store_audit_list(struct sm_audit_list *out, struct sm_store *store,
                                 const struct sm_audit_id *audit, struct sm_err *err);

struct sm_audit_source {
    struct sm_store *store;
    struct sm_audit_id audit;
    struct sm_shard shard; /* whose results are copied */
};
/* Adds every item of the source to an open audit without items, as cancelled. */
enum sm_code sm_store_audit_copy_list(struct sm_store *store, const struct sm_audit_id *audit,
                                      const struct sm_audit_source *from, struct sm_err *err);
/* Copies scores, errors and thumbnails of the source's own items that have ended. SM_CONFLICT: an
 * item has its result already. */
enum sm_code sm_store_audit_copy_results(struct sm_store *store, const struct sm_audit_id *audit,
                                         const struct sm_audit_source *from, struct sm_err *err);

#endif
