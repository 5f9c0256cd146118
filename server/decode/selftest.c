/* One row for each kind of attack: files, sockets, new processes, other processes, executable
 * memory, a descriptor other than the socket, raising the limits.
 *
 * Each attempt uses syscall(), because glibc's functions could make other calls first, and those
 * would be stopped in place of the one under test. */
#include "server/decode/selftest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/decode/protocol.h"
#include "server/decode/sandbox.h"

enum { EXIT_NOT_LOCKED_IN = 1, EXIT_UNKNOWN = 2, EXIT_DONE = 3, EXIT_REFUSED = 4 };

#define TRY_MEMORY_BYTES (UINT64_C(64) << 20)

static long try_open(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static long try_create(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/tmp/sslmem-try", O_WRONLY | O_CREAT | O_EXCL, 0600);
}

static long try_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long try_fork(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long try_exec(void)
{
    char name[] = "true", *argv[] = {name, NULL};
    return syscall(SYS_execve, "/bin/true", argv, argv + 1);
}

static long try_kill(void)
{
    return syscall(SYS_kill, getppid(), 0);
}

static long try_ptrace(void)
{
    return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static long try_executable_memory(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1
               ? -1
               : 0;
}

static long try_descriptor(void)
{
    return syscall(SYS_write, 1, "out\n", 4);
}

static long try_limits(void)
{
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    return syscall(SYS_prlimit64, 0, RLIMIT_AS, &none, NULL);
}

static const struct {
    const char *name;
    long (*run)(void); /* returns -1 when refused */
} tries[] = {
    {"open", try_open},
    {"create", try_create},
    {"socket", try_socket},
    {"fork", try_fork},
    {"exec", try_exec},
    {"kill", try_kill},
    {"ptrace", try_ptrace},
    {"executable-memory", try_executable_memory},
    {"descriptor", try_descriptor},
    {"limits", try_limits},
};
enum { TRIES_COUNT = sizeof tries / sizeof *tries };

static int print_names(void)
{
    fputs("--try knows", stderr);
    for (int i = 0; i < TRIES_COUNT; i++)
        fprintf(stderr, " %s", tries[i].name);
    fputs("\n", stderr);
    return EXIT_UNKNOWN;
}

int sm_decode_selftest(const char *name)
{
    struct sm_err err = {0};
    int i = 0, landlock_abi;
    while (i < TRIES_COUNT && strcmp(tries[i].name, name) != 0)
        i++;
    if (i == TRIES_COUNT)
        return print_names();
    if (sm_sandbox_enter(&landlock_abi, SM_DECODE_SOCKET_FD, TRY_MEMORY_BYTES, &err) != SM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_NOT_LOCKED_IN;
    }
    _exit(tries[i].run() == -1 ? EXIT_REFUSED : EXIT_DONE);
}
