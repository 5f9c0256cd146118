/* Uses O_TMPFILE, or on file systems without it a file that is unlinked at once. Disk space is
 * reserved before the body comes, so that a full disk refuses the request on its headers in place
 * of breaking the upload. */
#include "server/http/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int open_named(const char *folder)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/.spool-XXXXXX", folder) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

enum sm_code sm_spool_open(int *fd, const char *folder, int64_t bytes_count, struct sm_err *err)
{
    int failed = 0;
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        *fd = open_named(folder);
    if (*fd < 0)
        return sm_err_set(err, SM_IO, "spool in %.120s: %s", folder, strerror(errno));
    if (bytes_count > 0 && fallocate(*fd, FALLOC_FL_KEEP_SIZE, 0, bytes_count) != 0)
        failed = errno;
    if (failed != ENOSPC && failed != EDQUOT && failed != EFBIG)
        return SM_OK; /* if the file system cannot reserve, the body may still fit */
    close(*fd);
    *fd = -1;
    return sm_err_set(err, SM_FULL, "no disk room for %lld bytes now", (long long)bytes_count);
}

int64_t sm_spool_free(const char *folder)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0)
        return INT64_MAX;
    int64_t blocks = (int64_t)disk.f_bavail, block_bytes = (int64_t)disk.f_frsize;
    return blocks < INT64_MAX / block_bytes ? blocks * block_bytes : INT64_MAX;
}

enum sm_code sm_spool_room(const char *folder, int64_t bytes_count, int64_t reserve_bytes,
                           struct sm_err *err)
{
    int64_t free_bytes = sm_spool_free(folder);
    if (bytes_count <= free_bytes && reserve_bytes <= free_bytes - bytes_count)
        return SM_OK;
    return sm_err_set(err, SM_FULL,
                      "the disk has %lld bytes free, too few for a body of %lld bytes and the "
                      "reserve of %lld bytes",
                      (long long)free_bytes, (long long)bytes_count, (long long)reserve_bytes);
}

enum sm_code sm_spool_sha256(uint8_t out[32], int fd, struct sm_err *err)
{
    struct sha256_ctx sha256;
    uint8_t block[16384];
    off_t at = 0;
    ssize_t n;
    sha256_init(&sha256);
    while ((n = pread(fd, block, sizeof block, at)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0)
            sha256_update(&sha256, (size_t)n, block);
        at += n > 0 ? n : 0;
    }
    if (n < 0)
        return sm_err_set(err, SM_IO, "spool: %s", strerror(errno));
    sha256_digest(&sha256, SHA256_DIGEST_SIZE, out);
    return SM_OK;
}
