/* What the files of the ingest floor share. Private to it. */
#ifndef SERVER_INGEST_INGEST_IMPL_H
#define SERVER_INGEST_INGEST_IMPL_H

#include "server/ingest/ingest.h"
#include "server/ingest/label.h"

/* An image of the batch, with what its row of `images` points to. */
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
    json_t *skipped; /* the first SM_INGEST_SKIPPED_MAX */
    bool lost;       /* memory for a line of it */
};

/* An image with its bytes, which are stolen, or the file at `path` whose bytes these are. */
enum sm_code sm_ingest_put(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                           void *bytes, size_t bytes_count, const char *path, struct sm_err *err);
/* An image that cannot be taken. */
enum sm_code sm_ingest_fail(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                            const struct sm_err *why, struct sm_err *err);
/* What is no image. `line` is 0 outside of a manifest. */
void sm_ingest_pass(struct sm_ingest *ingest, int64_t line, const char *name,
                    enum sm_ingest_skip reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* SM_CANCELLED once the work is to stop. */
enum sm_code sm_ingest_check(const struct sm_ingest *ingest, struct sm_err *err);

#endif
