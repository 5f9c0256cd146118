/* Opens files below a data root. Nothing outside the root is opened, whatever a path contains and
 * wherever links lead.
 *
 * Owner:   the caller closes the root; a root whose fd is -1 has nothing to close.
 * Threads: no state. */
#ifndef SERVER_INGEST_ROOT_H
#define SERVER_INGEST_ROOT_H

#include <limits.h>

#include "server/ingest/ingest_impl.h"

struct sm_root {
    int fd;
    char path[PATH_MAX]; /* absolute; its links are resolved, since the operator chose it */
};

/* Opens the data root. Errors: SM_UNSUPPORTED (`path` is NULL or ""), SM_IO (it cannot be opened).
 * Sets out->fd even after an error. */
enum sm_code sm_root_open(struct sm_root *out, const char *path, struct sm_err *err);
void sm_root_close(struct sm_root *root);

/* Opens `path`, relative to the root, as open(2) does. Returns -1 with errno: EXDEV if the path is
 * absolute or has "..", ELOOP if any part of it is a link. */
int sm_root_at(const struct sm_root *root, const char *path, int flags);

/* Adds the file at `path` to the audit as an image or a failed item, or skips it. `line`: its line
 * in a manifest, else 0. */
enum sm_code sm_root_take(struct sm_ingest *ingest, const struct sm_root *root, const char *path,
                          const struct sm_ingest_labels *labels, int64_t line, struct sm_err *err);

/* The implementation of sm_root_at for kernels without openat2; public for tests. */
int sm_root_walk(int root, const char *path, int flags);

#endif
