/* The rule set handles every right that the kernel's version knows and has no rules; landlock
 * denies what no rule allows. Open descriptors stay usable. */
#include "server/decode/landlock.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct landlock_ruleset_attr of ABI 6. An older kernel accepts it if the fields that
 * it does not know are zero. Defined here because system headers may be older than the kernel. */
struct ruleset {
    uint64_t files, ports, scopes;
};

/* All rights that each version knows, by version; the last row serves all later versions. */
static const struct ruleset handled[] = {
    {.files = 0},
    {.files = (1 << 13) - 1},
    {.files = (1 << 14) - 1},                          /* version 2 adds renames between folders */
    {.files = (1 << 15) - 1},                          /* version 3 adds truncation */
    {.files = (1 << 15) - 1, .ports = 3},              /* version 4 adds bind and connect */
    {.files = (1 << 16) - 1, .ports = 3},              /* version 5 adds ioctl on devices */
    {.files = (1 << 16) - 1, .ports = 3, .scopes = 3}, /* version 6 adds sockets and signals */
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
