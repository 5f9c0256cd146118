/* Polls for the lock, because F_OFD_SETLKW has no time limit. */
#include "server/db/write_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"

#define LOOK_NS 1000000 /* between two tries */

enum sm_code sm_write_lock_open(struct sm_write_lock *lock, const char *db_path, struct sm_err *err)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s.lock", db_path);
    if (length < 0 || (size_t)length >= sizeof path)
        return sm_err_set(err, SM_LIMIT, "database path has %zu bytes, at most %zu",
                          strlen(db_path), sizeof path - sizeof ".lock");
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock->fd < 0)
        return sm_err_set(err, SM_IO, "lock %s: %s", path, strerror(errno));
    return SM_OK;
}

void sm_write_lock_close(struct sm_write_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    *lock = (struct sm_write_lock){.fd = -1};
}

static bool set_lock(const struct sm_write_lock *lock, short type)
{
    struct flock byte = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    return fcntl(lock->fd, F_OFD_SETLK, &byte) == 0;
}

enum sm_code sm_write_lock_take(struct sm_write_lock *lock, struct sm_err *err)
{
    int64_t until_ms = sm_clock_monotonic_ms() + SM_WRITE_LOCK_MS;
    while (lock->fd >= 0 && !lock->taken && !set_lock(lock, F_WRLCK)) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return sm_err_set(err, SM_IO, "database: turn to write: %s", strerror(errno));
        if (sm_clock_monotonic_ms() > until_ms)
            return sm_err_set(err, SM_BUSY, "database: another process has been writing for %d ms",
                              SM_WRITE_LOCK_MS);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    lock->taken = lock->fd >= 0;
    return SM_OK;
}

void sm_write_lock_give(struct sm_write_lock *lock)
{
    if (lock->taken)
        set_lock(lock, F_UNLCK);
    lock->taken = false;
}
