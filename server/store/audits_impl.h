/* What the files about audits share. Private to the store. */
#ifndef SERVER_STORE_AUDITS_IMPL_H
#define SERVER_STORE_AUDITS_IMPL_H

#include "server/db/document.h"
#include "server/store/audits.h"
#include "server/store/impl.h"

/* The row of an audit's job; SM_NOT_FOUND when there is no such audit. Inside a transaction. */
enum sm_code sm_store_audit_row(struct sm_job_row *out, struct sm_db *db, const char *id,
                                struct sm_err *err);

/* Deletion in steps: the first makes it that there is no such audit; the others delete a bounded
 * number of its items each, until there are no `more`. SM_CONFLICT when the audit is at another
 * revision; -1: at any. Inside a transaction. */
enum sm_code sm_store_audit_hide(struct sm_db *db, const char *id, int64_t revision,
                                 struct sm_err *err);
enum sm_code sm_store_delete_chunk(bool *more, struct sm_db *db, const char *id,
                                   struct sm_err *err);

/* Where the numbers of scores stand, by shape: few shapes serve all scores of an audit. */
struct sm_shape {
    int64_t id;
    struct sm_document_numbers numbers;
    json_t *common; /* the document, its holes filled with whatever */
};
struct sm_shapes {
    struct sm_shape *rows;
    size_t count;
};
enum sm_code sm_store_find_shape(const struct sm_shape **out, struct sm_shapes *shapes,
                                 struct sm_db *db, int64_t id, struct sm_err *err);
void sm_store_release_shapes(struct sm_shapes *shapes);

/* Documents of one connection's snapshot: BEGIN, `read`, end. */
typedef enum sm_code sm_store_read(void *out, struct sm_db *db, const void *arg,
                                   struct sm_err *err);
enum sm_code sm_store_snapshot(void *out, struct sm_store *store, sm_store_read *read,
                               const void *arg, struct sm_err *err);

/* {"id","name","state", …} of sm_store_audit. */
enum sm_code sm_store_audit_document(json_t **out, struct sm_db *db, const char *id,
                                     struct sm_err *err);

#endif
