/* An empty set of rules over everything that the kernel's version can handle: what no rule allows
 * is denied. Descriptors that are open stay usable. */
#include "server/decode/landlock.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct landlock_ruleset_attr of ABI 6; an older kernel takes it while the fields
 * that it does not know are zero. Written out, because headers lag behind kernels. */
struct ruleset {
    uint64_t files, ports, scopes;
};

/* All that each version can handle; the last row is for every later one. */
static const struct ruleset handled[] = {
    {.files = 0},
    {.files = (1 << 13) - 1},
    {.files = (1 << 14) - 1},                          /* 2: moves between folders */
    {.files = (1 << 15) - 1},                          /* 3: truncate */
    {.files = (1 << 15) - 1, .ports = 3},              /* 4: bind and connect */
    {.files = (1 << 16) - 1, .ports = 3},              /* 5: ioctl of devices */
    {.files = (1 << 16) - 1, .ports = 3, .scopes = 3}, /* 6: abstract sockets, signals */
};
enum { ABI_LAST = sizeof handled / sizeof *handled - 1 };

enum sm_code sm_landlock_enter(int *abi, struct sm_err *err)
{
    enum { ASK_VERSION = 1 };
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
    *abi = version > 0 ? (int)version : 0;
    if (version < 0 && errno != ENOSYS && errno != EOPNOTSUPP)
        return sm_err_set(err, SM_IO, "sandbox: landlock: %s", strerror(errno));
    if (*abi == 0)
        return SM_OK;
    const struct ruleset *rules = &handled[*abi < ABI_LAST ? *abi : ABI_LAST];
    int fd = (int)syscall(SYS_landlock_create_ruleset, rules, sizeof *rules, 0);
    if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        return sm_err_set(err, SM_IO, "sandbox: landlock: %s", strerror(errno));
    close(fd);
    return SM_OK;
}
