/* Four walls, each of which holds without the others:
 *
 *   rlimits    limit address space; files cannot grow, descriptors and processes cannot be created
 *   no_new_privs, not dumpable: exec gains no rights, no other process of this user can trace the
 *              decoder, and no core file contains a client's image
 *   landlock   where the kernel has it: an empty set of rules over all rights that it knows, so the
 *              process opens no file, binds or connects no port, signals no process outside
 *   seccomp    a list of allowed calls; any other kills the process. The list is short, because a
 *              decoder only needs memory: read and write are allowed on its socket, mmap for
 *              anonymous pages that are not executable
 *
 * The parent limits processor time (child.c), because that limit must move with each image.
 *
 * The limit of address space is the present size plus a budget: the libraries of the process, and
 * the terabytes of a sanitizer's shadow memory, are mapped already.
 *
 * Sanitizer runtimes lock, yield, print and inspect their process before they exit. Their builds
 * allow these calls too, refuse calls that open or query files with EACCES in place of killing, and
 * let files grow, so that a finding is reported, also into a file. A release build allows none of
 * this. */
#include "server/decode/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/decode/landlock.h"

static enum sm_code failed(struct sm_err *err, const char *step, int number)
{
    return sm_err_set(err, SM_IO, "sandbox: %s: %s", step, strerror(number));
}

/* --- rlimits --- */

static enum sm_code mapped_bytes(uint64_t *out, struct sm_err *err)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int number = errno;
    if (fd >= 0)
        close(fd);
    uint64_t pages = strtoull(text, NULL, 10);
    if (count <= 0 || pages == 0)
        return failed(err, "/proc/self/statm", count < 0 ? number : ENODATA);
    *out = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return SM_OK;
}

static enum sm_code set_limits(uint64_t memory_bytes, struct sm_err *err)
{
    uint64_t mapped = 0;
    enum sm_code code = mapped_bytes(&mapped, err);
    if (code != SM_OK)
        return code;
    const struct {
        const char *name;
        int resource;
        rlim_t max;
    } limits[] = {
        {"RLIMIT_AS", RLIMIT_AS, mapped + memory_bytes},
        {"RLIMIT_FSIZE", RLIMIT_FSIZE, SM_SANDBOX_SANITIZER ? RLIM_INFINITY : 0},
        {"RLIMIT_NPROC", RLIMIT_NPROC, 0},
        {"RLIMIT_CORE", RLIMIT_CORE, 0},
        {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (setrlimit(limits[i].resource, &(struct rlimit){limits[i].max, limits[i].max}) != 0)
            return failed(err, limits[i].name, errno);
    return SM_OK;
}

/* Forbids new descriptors. Called after sm_landlock_enter, which briefly needs one. */
static enum sm_code forbid_descriptors(struct sm_err *err)
{
    return setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, 0}) == 0
               ? SM_OK
               : failed(err, "RLIMIT_NOFILE", errno);
}

/* --- seccomp --- */

/* The action for a call whose arguments meet up to two conditions. */
struct rule {
    int call;
    uint32_t action;
    unsigned conditions_count;
    struct scmp_arg_cmp conditions[2];
};

#define ANY(name)                                                                                  \
    {                                                                                              \
        SCMP_SYS(name), SCMP_ACT_ALLOW, 0,                                                         \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define ON_FD(name, fd)                                                                            \
    {                                                                                              \
        SCMP_SYS(name), SCMP_ACT_ALLOW, 1,                                                         \
        {                                                                                          \
            {                                                                                      \
                0, SCMP_CMP_EQ, (fd), 0                                                            \
            }                                                                                      \
        }                                                                                          \
    }
#define REFUSED(name)                                                                              \
    {                                                                                              \
        SCMP_SYS(name), SCMP_ACT_ERRNO(EACCES), 0,                                                 \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define ARGUMENT(n, mask, value)                                                                   \
    {                                                                                              \
        (n), SCMP_CMP_MASKED_EQ, (mask), (value)                                                   \
    }

static enum sm_code add_rules(scmp_filter_ctx filter, const struct rule *rules, size_t count,
                              struct sm_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int failure = seccomp_rule_add_array(filter, rules[i].action, rules[i].call,
                                             rules[i].conditions_count, rules[i].conditions);
        if (failure != 0)
            return failed(err, "a rule of seccomp", -failure);
    }
    return SM_OK;
}

static enum sm_code fill(scmp_filter_ctx filter, int socket_fd, struct sm_err *err)
{
    const struct rule rules[] = {
        ON_FD(read, (scmp_datum_t)socket_fd),
        ON_FD(write, (scmp_datum_t)socket_fd),
        {SCMP_SYS(mmap),
         SCMP_ACT_ALLOW,
         2,
         {ARGUMENT(2, PROT_EXEC, 0), ARGUMENT(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
        ANY(munmap),
        ANY(mremap),
        ANY(madvise),
        ANY(brk),
        ANY(exit_group),
    };
    enum sm_code code = add_rules(filter, rules, sizeof rules / sizeof *rules, err);
#if SM_SANDBOX_SANITIZER
    const struct rule of_runtimes[] = {
        ON_FD(write, 2),     ANY(futex),         ANY(sched_yield),     ANY(getpid),
        ANY(gettid),         ANY(sigaltstack),   ANY(rt_sigaction),    ANY(rt_sigprocmask),
        ANY(mprotect),       ANY(clock_gettime), ANY(clock_nanosleep), ANY(nanosleep),
        ANY(tgkill),         ANY(prctl),         ANY(close),           ANY(rt_sigreturn),
        REFUSED(openat),     REFUSED(open),      REFUSED(readlink),    REFUSED(stat),
        REFUSED(newfstatat), REFUSED(ioctl),     REFUSED(getrlimit),   REFUSED(prlimit64),
    };
    if (code == SM_OK)
        code = add_rules(filter, of_runtimes, sizeof of_runtimes / sizeof *of_runtimes, err);
#endif
    return code;
}

static enum sm_code enter_seccomp(int socket_fd, struct sm_err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return sm_err_set(err, SM_UNSUPPORTED, "sandbox: no seccomp filter");
    enum sm_code code = fill(filter, socket_fd, err);
    int failure = code == SM_OK ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : 0;
    if (code == SM_OK && failure == 0)
        failure = seccomp_load(filter);
    if (failure != 0)
        code = sm_err_set(err, SM_UNSUPPORTED, "sandbox: seccomp: %s", strerror(-failure));
    seccomp_release(filter);
    return code;
}

/* --- the whole --- */

enum sm_code sm_sandbox_enter(int *landlock_abi, int socket_fd, uint64_t memory_bytes,
                              struct sm_err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(err, "no_new_privs", errno);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failed(err, "not dumpable", errno);
    enum sm_code code = set_limits(memory_bytes, err);
    if (code == SM_OK)
        code = sm_landlock_enter(landlock_abi, err);
    if (code == SM_OK)
        code = forbid_descriptors(err);
    return code == SM_OK ? enter_seccomp(socket_fd, err) : code;
}
