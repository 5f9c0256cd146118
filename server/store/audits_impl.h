/* Steps that the files about audits share. Private to the store. */
#ifndef SERVER_STORE_AUDITS_IMPL_H
#define SERVER_STORE_AUDITS_IMPL_H

#include "server/db/document.h"
#include "server/db/query.h"
#include "server/store/audits.h"
#include "server/store/impl.h"

/* Binds $id and $tenant. A statement about an audit has both in its WHERE: job.tenant_id where it
 * reads the job's row, else OF_TENANT, which the database evaluates once for the statement. Only
 * INSERT has neither: it follows sm_store_audit_row in the same transaction. */
#define BIND_AUDIT(audit) SM_HEX("$id", (audit)->id), SM_INT("$tenant", (audit)->tenant)
#define OF_TENANT                                                                                  \
    " AND EXISTS (SELECT 1 FROM job WHERE job.id = $id"                                            \
    " AND job.tenant_id = $tenant)"

/* Returns SM_NOT_FOUND about the audit. */
enum sm_code sm_store_no_audit(const struct sm_audit_id *audit, struct sm_err *err);
/* Returns SM_NOMEM about the audit. */
enum sm_code sm_store_audit_no_memory(const struct sm_audit_id *audit, struct sm_err *err);

/* Calls `on_row` with the single row of a query that binds BIND_AUDIT; SM_NOT_FOUND without one. */
enum sm_code sm_store_audit_query(struct sm_db *db, const char *sql,
                                  const struct sm_audit_id *audit, sm_db_on_row *on_row, void *arg,
                                  struct sm_err *err);

/* Reads the row of the audit's job. Call inside a transaction. */
enum sm_code sm_store_audit_row(struct sm_job_row *out, struct sm_db *db,
                                const struct sm_audit_id *audit, struct sm_err *err);

/* Deletion in steps, each inside a transaction. The first step hides the audit: no query finds it
 * any more. SM_CONFLICT: the audit runs, or is not at `revision` (-1: any). Every later step
 * deletes a bounded number of items; the last one deletes the job, and sets `more` to false. */
enum sm_code sm_store_audit_hide(struct sm_db *db, const struct sm_audit_id *audit,
                                 int64_t revision, struct sm_err *err);
enum sm_code sm_store_audit_delete_chunk(bool *more, struct sm_db *db,
                                         const struct sm_audit_id *audit, struct sm_err *err);

/* Positions of a score's numbers in its stored text, by shape. Few shapes serve all scores of an
 * audit. */
struct sm_shape {
    int64_t id;
    struct sm_document_numbers numbers;
    json_t *common; /* the document; the values of its holes mean nothing */
};
struct sm_shapes {
    struct sm_shape *rows;
    size_t count;
};
/* Reads a shape once, then finds it in `shapes`. `out` is valid until the next call. */
enum sm_code sm_store_find_shape(const struct sm_shape **out, struct sm_shapes *shapes,
                                 struct sm_db *db, int64_t id, struct sm_err *err);
void sm_store_release_shapes(struct sm_shapes *shapes);

/* Runs `read` inside a read transaction of one connection, so that all its queries see the same
 * moment. */
typedef enum sm_code sm_store_read(void *out, struct sm_db *db, const void *arg,
                                   struct sm_err *err);
enum sm_code sm_store_snapshot(void *out, struct sm_store *store, sm_store_read *read,
                               const void *arg, struct sm_err *err);

/* Reads document and head (sm_store_audit). Call inside a transaction. */
enum sm_code sm_store_audit_document(json_t **out, struct sm_audit_head *head, struct sm_db *db,
                                     const struct sm_audit_id *audit, struct sm_err *err);

#endif
