/* Images of a dataset (sslmem/dataset.h) into an audit. An image with a file of its own stays there
 * and the store keeps its path; the store keeps the bytes of others. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/ingest/ingest_impl.h"

enum sm_code sm_ingest_check_cohort(const struct sm_dataset_item *item, const char *wanted,
                                    struct sm_err *err)
{
    if (item->cohort[0] == '\0' || strcmp(item->cohort, wanted) == 0)
        return SM_OK;
    return sm_err_set(err, SM_INVALID,
                      "image %lld, %.80s, is of cohort %.40s and given as %s: name the table with "
                      "--manifest, or take its column cohort away",
                      (long long)item->index, item->name, item->cohort, wanted);
}

/* Skips an image that cannot be read, or adds it as a failed item if it is over a limit. */
static enum sm_code take_failed(struct sm_ingest *ingest, const struct sm_dataset_item *item,
                                const struct sm_ingest_labels *labels, struct sm_err *err)
{
    if (item->error.code == SM_LIMIT)
        return sm_ingest_fail(ingest, labels, &item->error, err);
    sm_ingest_pass(ingest, 0, item->name,
                   item->error.code == SM_NOT_FOUND     ? SM_INGEST_FILE_MISSING
                   : item->error.code == SM_UNSUPPORTED ? SM_INGEST_NOT_AN_IMAGE
                                                        : SM_INGEST_UNREADABLE,
                   "%s", item->error.text);
    return SM_OK;
}

static enum sm_code take(struct sm_ingest *ingest, const struct sm_dataset_item *item, int cohort,
                         struct sm_err *err)
{
    const struct sm_ingest_labels labels = {.cohort = cohort,
                                            .name = item->name,
                                            .class_label = item->class_label,
                                            .group = item->group};
    char path[PATH_MAX];
    enum sm_code code = sm_ingest_check_cohort(item, sm_cohort_name((enum sm_cohort)cohort), err);
    if (code != SM_OK)
        return code;
    if (item->error.code != SM_OK)
        return take_failed(ingest, item, &labels, err);
    if (item->path && !realpath(item->path, path))
        return sm_err_set(err, SM_IO, "%.160s cannot be found", item->path);
    void *bytes = malloc(item->bytes_count);
    if (!bytes)
        return sm_err_set(err, SM_NOMEM, "ingest: no memory for %zu bytes", item->bytes_count);
    memcpy(bytes, item->bytes, item->bytes_count);
    return sm_ingest_put(ingest, &labels, bytes, item->bytes_count, item->path ? path : NULL, err);
}

enum sm_code sm_ingest_dataset(struct sm_ingest *ingest, struct sm_dataset *dataset, int cohort,
                               struct sm_err *err)
{
    struct sm_dataset_item item;
    bool found = true;
    enum sm_code code = SM_OK;
    while (code == SM_OK && found) {
        code = sm_ingest_check(ingest, err);
        if (code == SM_OK)
            code = sm_dataset_next(&item, &found, dataset, err);
        if (code == SM_OK && found)
            code = take(ingest, &item, cohort, err);
    }
    return code;
}
