/* Files below a data root: nothing outside of it is opened, whatever a path says or links to.
 *
 * Owner:   sm_root_close accepts a zeroed object whose fd is -1. Threads: no state of their own. */
#ifndef SERVER_INGEST_ROOT_H
#define SERVER_INGEST_ROOT_H

#include <limits.h>

#include "server/ingest/ingest_impl.h"

struct sm_root {
    int fd;
    char path[PATH_MAX]; /* absolute, links resolved: the operator's own choice */
};

/* SM_UNSUPPORTED when there is none, SM_IO when it cannot be opened. */
enum sm_code sm_root_open(struct sm_root *out, const char *path, struct sm_err *err);
void sm_root_close(struct sm_root *root);

/* Opens `path`, relative to the root, as open(2) would. -1 with errno: EXDEV, it is absolute or
 * leads outside; ELOOP, a link is on the way. */
int sm_root_at(const struct sm_root *root, const char *path, int flags);

/* Takes the file at `path` into the audit: an image, a failed item, or a skipped one. */
enum sm_code sm_root_take(struct sm_ingest *ingest, const struct sm_root *root, const char *path,
                          const struct sm_ingest_labels *labels, int64_t line, struct sm_err *err);

/* The walk that serves where the kernel has no openat2; for the tests. */
int sm_root_walk(int root, const char *path, int flags);

#endif
