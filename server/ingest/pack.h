/* A folder's images as tar archives of a bounded size, for a service that takes them: in the order
 * and under the names that sm_ingest_folder gives them, so that the audit has the same items.
 *
 *     sm_pack_folder(&(struct sm_pack_params){.folder = "train", .send = send, …}, &err);
 *
 * Owner:   everything is borrowed during the call. Threads: no state.
 * Errors:  SM_IO, SM_NOMEM, SM_CANCELLED (`stop`), those of `send`. */
#ifndef SERVER_INGEST_PACK_H
#define SERVER_INGEST_PACK_H

#include <stdatomic.h>
#include <stdio.h>

#include "sslmem/err.h"

#define SM_PACK_BYTES (32 << 20) /* an archive ends with the image that reaches it */

struct sm_pack_params {
    const char *folder;
    const atomic_bool *stop; /* NULL, or set by a signal or another thread */
    /* Every archive, once it is whole. */
    enum sm_code (*send)(void *arg, FILE *tar, struct sm_err *err);
    /* What cannot be read and is left out. */
    void (*pass)(void *arg, const char *name, const char *why);
    void *arg;
};
enum sm_code sm_pack_folder(const struct sm_pack_params *params, struct sm_err *err);

#endif
