/* Packs the images of a folder or dataset into tar archives of bounded size, for upload to a
 * service. Order, names and labels are those of sm_ingest_folder and sm_ingest_dataset, so that the
 * audit gets the same items. In the archives of a dataset, KEY.json with the labels stands before
 * each image (core/data/sample.h).
 *
 *     sm_pack_folder(&(struct sm_pack_params){.folder = "train", .send = send, …}, &err);
 *
 * Owner:   the call borrows its arguments. Threads: no state.
 * Errors:  SM_IO, SM_NOMEM, SM_CANCELLED (`stop`), those of `send`. */
#ifndef SERVER_INGEST_PACK_H
#define SERVER_INGEST_PACK_H

#include <stdatomic.h>
#include <stdio.h>

#include "sslmem/dataset.h"

#define SM_PACK_BYTES (32 << 20) /* the image that reaches this size is an archive's last */

struct sm_pack_params {
    const char *folder;
    const atomic_bool *stop; /* NULL, or set by a signal or another thread */
    /* Called with each complete archive, which is freed afterwards. */
    enum sm_code (*send)(void *arg, FILE *tar, struct sm_err *err);
    /* Called for each file or folder that cannot be read and is left out. */
    void (*pass)(void *arg, const char *name, const char *why);
    void *arg;
};
enum sm_code sm_pack_folder(const struct sm_pack_params *params, struct sm_err *err);

/* Packs the dataset from its next image on; params->folder is not read. SM_INVALID if the dataset
 * says that an image is of another cohort than `cohort`. */
enum sm_code sm_pack_dataset(const struct sm_pack_params *params, struct sm_dataset *dataset,
                             const char *cohort, struct sm_err *err);

#endif
