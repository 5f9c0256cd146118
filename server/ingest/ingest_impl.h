/* Shared by the files of server/ingest, and private to them. */
#ifndef SERVER_INGEST_INGEST_IMPL_H
#define SERVER_INGEST_INGEST_IMPL_H

#include "server/ingest/ingest.h"
#include "server/ingest/label.h"

/* The memory to which an image's row in the batch points. */
struct sm_ingest_held {
    char name[SM_LABEL_BYTES], class_label[SM_LABEL_BYTES], group[SM_LABEL_BYTES];
    char *path;
    void *bytes;
};

struct sm_ingest {
    struct sm_ingest_params params;
    struct sm_audit_id audit;

    struct sm_store_audit_image_in images[SM_INGEST_BATCH_IMAGES];
    struct sm_ingest_held held[SM_INGEST_BATCH_IMAGES];
    size_t batch_count, batch_bytes;

    int64_t added_count, duplicate_count, failed_count;
    int64_t skipped_count[SM_INGEST_SKIPS_COUNT];
    json_t *skipped; /* the first SM_INGEST_SKIPPED_MAX skipped inputs, for the report */
    bool lost;       /* the report lacks a row, because memory ran out */
};

/* Adds an image to the batch. Steals `bytes`. If `path` is not NULL, the bytes are those of that
 * file, and the store keeps the path in place of the bytes. */
enum sm_code sm_ingest_put(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                           void *bytes, size_t bytes_count, const char *path, struct sm_err *err);
/* Adds a failed item for an image that cannot be scored; `why`: the item's error. */
enum sm_code sm_ingest_fail(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                            const struct sm_err *why, struct sm_err *err);
/* Skips an input and reports it. `line`: its line in the manifest, else 0. */
void sm_ingest_pass(struct sm_ingest *ingest, int64_t line, const char *name,
                    enum sm_ingest_skip reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Returns SM_INVALID if the dataset says that an image is of another cohort. */
enum sm_code sm_ingest_check_cohort(const struct sm_dataset_item *item, const char *wanted,
                                    struct sm_err *err);
/* Returns SM_CANCELLED once `stop` is set. */
enum sm_code sm_ingest_check(const struct sm_ingest *ingest, struct sm_err *err);

#endif
