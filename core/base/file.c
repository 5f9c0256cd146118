/* Files are mapped instead of read: the kernel shares a checkpoint's pages with its page cache and
 * can drop them when memory is short. Writing goes through a temporary file, so that a reader sees
 * either the old file or the new one. */
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum sm_code sm_file_map(struct sm_file *out, const char *path, int64_t bytes_max,
                         struct sm_err *err)
{
    *out = (struct sm_file){0};
    /* Without O_NONBLOCK, opening a FIFO waits for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%s: %s", path,
                          strerror(errno));
    enum sm_code code = SM_OK;
    struct stat st;
    void *bytes;
    if (fstat(fd, &st) != 0) {
        code = sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        code = sm_err_set(err, SM_IO, "%s: not a regular file", path);
    } else if (st.st_size > bytes_max) {
        code = sm_err_set(err, SM_LIMIT, "%s: file has %lld bytes, limit is %lld", path,
                          (long long)st.st_size, (long long)bytes_max);
    } else if (st.st_size > 0) {
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            code = sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
        else
            *out = (struct sm_file){.bytes = bytes, .bytes_count = (size_t)st.st_size};
    }
    close(fd);
    return code;
}

void sm_file_release(struct sm_file *file)
{
    if (file->bytes)
        munmap((void *)(uintptr_t)file->bytes, file->bytes_count);
    *file = (struct sm_file){0};
}

ssize_t sm_file_read(int fd, void *bytes, size_t bytes_max)
{
    size_t count = 0;
    while (count < bytes_max) {
        ssize_t n = read(fd, (char *)bytes + count, bytes_max - count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        count += (size_t)n;
    }
    return (ssize_t)count;
}

static int write_all(int fd, const uint8_t *bytes, size_t bytes_count)
{
    while (bytes_count > 0) {
        ssize_t n = write(fd, bytes, bytes_count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        bytes_count -= (size_t)n;
    }
    return fsync(fd);
}

/* Replaces the file `path`, which is no link. */
static enum sm_code replace(const char *path, const void *bytes, size_t bytes_count,
                            struct sm_err *err)
{
    char temporary[4096];
    struct stat old;
    mode_t mode = stat(path, &old) == 0 ? old.st_mode & 07777 : 0644;
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return sm_err_set(err, SM_LIMIT, "path of %zu bytes, limit is %zu", strlen(path),
                          sizeof temporary - sizeof ".XXXXXX");
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
    bool written = write_all(fd, bytes, bytes_count) == 0 && fchmod(fd, mode) == 0;
    int saved = errno;
    close(fd);
    if (written && rename(temporary, path) == 0)
        return SM_OK;
    if (written)
        saved = errno;
    unlink(temporary);
    return sm_err_set(err, SM_IO, "%s: %s", path, strerror(saved));
}

enum sm_code sm_file_write(const char *path, const void *bytes, size_t bytes_count,
                           struct sm_err *err)
{
    char *target = realpath(path, NULL);
    enum sm_code code = replace(target ? target : path, bytes, bytes_count, err);
    free(target);
    return code;
}
