/* openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS keeps a path below the root in one call.
 * On kernels before 5.6, sm_root_walk opens one name at a time with O_NOFOLLOW, which has the same
 * effect. Both are called only for paths without "..", so that they accept the same paths. */
#include "server/ingest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/file.h"
#include "sslmem/image.h"

enum sm_code sm_root_open(struct sm_root *out, const char *path, struct sm_err *err)
{
    out->fd = -1;
    if (!path || path[0] == '\0')
        return sm_err_set(err, SM_UNSUPPORTED, "no data root is configured");
    if (!realpath(path, out->path) ||
        (out->fd = open(out->path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return sm_err_set(err, SM_IO, "data root %.120s: %s", path, strerror(errno));
    return SM_OK;
}

void sm_root_close(struct sm_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    root->fd = -1;
}

/* Returns true if the path is relative and has no "..". */
static bool goes_down(const char *path)
{
    if (path[0] == '/')
        return false;
    for (const char *at = path; *at != '\0'; at += strspn(at, "/")) {
        size_t n = strcspn(at, "/");
        if (n == 2 && memcmp(at, "..", 2) == 0)
            return false;
        at += n;
    }
    return true;
}

int sm_root_walk(int root, const char *path, int flags)
{
    int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (at >= 0) {
        char name[NAME_MAX + 1];
        size_t n = strcspn(path, "/");
        const char *rest = path + n + strspn(path + n, "/");
        int next = -1;
        if (n > NAME_MAX) {
            errno = ENAMETOOLONG;
        } else {
            memcpy(name, path, n);
            name[n] = '\0';
            /* A link at the end of the path fails with ELOOP, a link before it with ENOTDIR. */
            next = openat(at, name,
                          *rest == '\0' ? flags | O_NOFOLLOW
                                        : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            struct stat status;
            if (next < 0 && errno == ENOTDIR &&
                fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
                errno = ELOOP;
        }
        int failed = errno;
        close(at);
        errno = failed;
        if (*rest == '\0')
            return next;
        at = next;
        path = rest;
    }
    return -1;
}

int sm_root_at(const struct sm_root *root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    if (!goes_down(path)) {
        errno = EXDEV;
        return -1;
    }
    if (path[0] == '\0') {
        errno = ENOENT;
        return -1;
    }
    int fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof how);
    return fd < 0 && errno == ENOSYS ? sm_root_walk(root->fd, path, flags) : fd;
}

/* --- taking a file --- */

static enum sm_ingest_skip reason_of(int error)
{
    static const struct {
        int error;
        enum sm_ingest_skip reason;
    } rows[] = {{ENOENT, SM_INGEST_FILE_MISSING}, {ENOTDIR, SM_INGEST_FILE_MISSING},
                {EXDEV, SM_INGEST_FILE_OUTSIDE},  {ELOOP, SM_INGEST_LINK},
                {ENXIO, SM_INGEST_NOT_A_FILE},    {EISDIR, SM_INGEST_NOT_A_FILE}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].error == error)
            return rows[i].reason;
    return SM_INGEST_UNREADABLE;
}

/* Adds or skips an open regular file of `size` bytes. If the file grows meanwhile, the rest is not
 * read, and the digest will differ when the item is scored. */
static enum sm_code take_open(struct sm_ingest *ingest, int fd, size_t size, const char *full_path,
                              const struct sm_ingest_labels *labels, int64_t line,
                              struct sm_err *err)
{
    struct sm_err why = {0};
    size_t wanted = size > SM_IMAGE_BYTES_MAX ? 4096 : size;
    uint8_t *bytes = malloc(wanted + 1);
    enum sm_code code = SM_OK;
    if (!bytes)
        return sm_err_set(err, SM_NOMEM, "ingest: no memory for %zu bytes", wanted);
    ssize_t count = sm_file_read(fd, bytes, wanted);
    if (count < 0) {
        sm_err_set(&why, SM_IO, "the file cannot be read: %s", strerror(errno));
        code = sm_ingest_fail(ingest, labels, &why, err);
    } else if (count == 0) {
        sm_ingest_pass(ingest, line, labels->name, SM_INGEST_EMPTY, "the file has 0 bytes");
    } else if (!sm_image_sniff(bytes, (size_t)count)) {
        sm_ingest_pass_stranger(ingest, line, labels->name, bytes, (size_t)count);
    } else if (size > SM_IMAGE_BYTES_MAX) {
        sm_err_set(&why, SM_LIMIT, SM_IMAGE_TOO_LARGE, SM_IMAGE_BYTES_MAX);
        code = sm_ingest_fail(ingest, labels, &why, err);
    } else {
        return sm_ingest_put(ingest, labels, bytes, (size_t)count, full_path, err);
    }
    free(bytes);
    return code;
}

enum sm_code sm_root_take(struct sm_ingest *ingest, const struct sm_root *root, const char *path,
                          const struct sm_ingest_labels *labels, int64_t line, struct sm_err *err)
{
    char full_path[2 * PATH_MAX];
    struct stat status;
    enum sm_code code = sm_ingest_check(ingest, err);
    if (code != SM_OK)
        return code;
    /* O_NONBLOCK: the open must not wait for the other end of a pipe. */
    int fd = sm_root_at(root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        sm_ingest_pass(ingest, line, labels->name, reason_of(errno), "%s",
                       errno == EXDEV ? "the path leads out of the data root" : strerror(errno));
        return SM_OK;
    }
    snprintf(full_path, sizeof full_path, "%s/%s", root->path, path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        sm_ingest_pass(ingest, line, labels->name, SM_INGEST_NOT_A_FILE, "not a regular file");
    else
        code = take_open(ingest, fd, (size_t)status.st_size, full_path, labels, line, err);
    close(fd);
    return code;
}
