/* Starts, limits and ends a decoder.
 *
 * The process is started with posix_spawn, never with fork. The parent runs BLAS, whose threads a
 * fork would leave in an undefined state, and whose fork handlers have been seen to hang.
 * posix_spawn copies no address space, runs no such handlers and goes straight to exec, so a
 * decoder can also be replaced while encoders run.
 *
 * The new process gets two descriptors, /dev/null as the three standard ones, only the environment
 * variables that loading needs, and its own process group. SIGINT, SIGTERM and SIGHUP stay blocked
 * in it: they are for the parent, which lets running images finish.
 *
 * The shared memory is a memfd sealed against any change of its size; otherwise a decoder could
 * shrink it and end the parent with SIGBUS. Each process has its own, which is released with it.
 *
 * The parent limits processor time with prlimit. The limit counts from the start of the process, so
 * it must be raised for each image, and only the parent can raise it. */
#include "server/decode/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/base/clock.h"
#include "server/decode/answer.h"
#include "server/decode/helper.h"
#include "server/decode/sandbox.h"

#define PROGRAM         "/proc/self/exe"
#define LIBRARY_PATH    "LD_LIBRARY_PATH="
#define ARGUMENTS_COUNT 8

static enum sm_code failed(struct sm_err *err, const char *step, int number)
{
    return sm_err_set(err, SM_IO, "decoder: %s: %s", step, strerror(number));
}

/* --- descriptors --- */

/* Moves `fd` above the descriptor numbers that the child uses, so that dup2 cannot overwrite it.
 * Closes `fd`; returns -1 with errno on failure. */
static int move_up(int fd)
{
    int up = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, SM_DECODE_MEMORY_FD + 1);
    int number = errno;
    if (fd >= 0)
        close(fd);
    errno = number;
    return up;
}

static enum sm_code open_memory(uint8_t **memory, int *fd, struct sm_err *err)
{
    *fd = move_up(memfd_create("sslmem-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (*fd < 0 || ftruncate(*fd, SM_DECODE_MEMORY_BYTES) != 0 ||
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return failed(err, "shared memory", errno);
    void *at = mmap(NULL, SM_DECODE_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (at == MAP_FAILED)
        return failed(err, "shared memory", errno);
    *memory = at;
    return SM_OK;
}

static enum sm_code open_sockets(int *ours, int *theirs, struct sm_err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return failed(err, "socket pair", errno);
    *ours = move_up(pair[0]);
    *theirs = move_up(pair[1]);
    return *ours >= 0 && *theirs >= 0 ? SM_OK : failed(err, "socket pair", errno);
}

/* --- the process --- */

/* The options are for sanitizer builds, others ignore them: a failed allocation returns NULL as in
 * other builds, and reports need no files, which the sandbox forbids to open. */
static void fill_environment(char *environment[5])
{
    static char blas[] = "OPENBLAS_NUM_THREADS=1",
                asan[] = "ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=16:"
                         "symbolize=0:detect_leaks=0",
                tsan[] = "TSAN_OPTIONS=allocator_may_return_null=1:symbolize=0";
    char **at = environment;
    *at++ = blas;
    *at++ = asan;
    *at++ = tsan;
    for (char **given = environ; *given; given++)
        if (strncmp(*given, LIBRARY_PATH, strlen(LIBRARY_PATH)) == 0 && at < environment + 4)
            *at++ = *given;
    *at = NULL;
}

static int set_actions(posix_spawn_file_actions_t *actions, int socket, int memory)
{
    int failure = 0;
    for (int fd = 0; failure == 0 && fd <= 2; fd++)
        if (fd != 2 || !SM_SANDBOX_SANITIZER) /* sanitizers report on fd 2 */
            failure = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    if (failure == 0)
        failure = posix_spawn_file_actions_adddup2(actions, socket, SM_DECODE_SOCKET_FD);
    if (failure == 0)
        failure = posix_spawn_file_actions_adddup2(actions, memory, SM_DECODE_MEMORY_FD);
    return failure;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t blocked, defaults;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGHUP);
    sigfillset(&defaults);
    posix_spawnattr_setsigmask(attributes, &blocked);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
}

static enum sm_code spawn(pid_t *out, char **arguments, int socket, int memory, struct sm_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *environment[5];
    fill_environment(environment);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int failure = set_actions(&actions, socket, memory);
    if (failure == 0)
        failure = set_attributes(&attributes);
    if (failure == 0)
        failure = posix_spawn(out, PROGRAM, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failure == 0)
        return SM_OK;
    *out = 0;
    return failed(err, "starting " PROGRAM, failure);
}

enum sm_code sm_child_start(struct sm_child *out, const struct sm_decoders_params *params,
                            struct sm_err *err)
{
    static const char *const usual[] = {"sslmem", SM_DECODE_COMMAND, NULL};
    const char *const *command = params->command ? params->command : usual;
    char memory_text[24], *arguments[ARGUMENTS_COUNT + 2] = {0};
    int socket = -1, memory = -1, count = 0;
    *out = (struct sm_child){0};
    for (; command[count] && count < ARGUMENTS_COUNT; count++)
        arguments[count] = (char *)command[count];
    snprintf(memory_text, sizeof memory_text, "%" PRIu64, params->memory_max_bytes);
    arguments[count] = memory_text;
    enum sm_code code = open_memory(&out->memory, &memory, err);
    if (code == SM_OK)
        code = open_sockets(&out->socket, &socket, err);
    if (code == SM_OK)
        code = spawn(&out->pid, arguments, socket, memory, err);
    if (socket >= 0)
        close(socket);
    if (memory >= 0)
        close(memory);
    if (code != SM_OK)
        sm_child_end(out);
    return code;
}

enum sm_code sm_child_await(struct sm_child *child, struct sm_err *err)
{
    struct sm_decode_hello hello;
    long count = sm_child_receive(child, &hello, sizeof hello, SM_DECODE_START_MAX_MS);
    bool sound = count > 0 && sm_hello_is_sound(&hello, (size_t)count);
    if (sound && hello.code == SM_OK) {
        child->landlock_abi = hello.landlock_abi;
        return SM_OK;
    }
    int status = sm_child_end(child);
    if (sound)
        return sm_err_set(err, (enum sm_code)hello.code, "%s", hello.text);
    if (count > 0)
        return sm_err_set(err, SM_IO, "decoder: it gave no sound hello");
    if (count < 0)
        return sm_err_set(err, SM_IO, "decoder: not ready after %d ms", SM_DECODE_START_MAX_MS);
    return sm_err_set(err, SM_IO, "decoder: it ended before it was ready, %s %d",
                      WIFSIGNALED(status) ? "by signal" : "with exit code",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int sm_child_end(struct sm_child *child)
{
    int status = 0;
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    if (child->memory)
        munmap(child->memory, SM_DECODE_MEMORY_BYTES);
    if (child->socket > 0)
        close(child->socket);
    *child = (struct sm_child){0};
    return status;
}

bool sm_child_limit_cpu(const struct sm_child *child, int cpu_max_s)
{
    clockid_t clock;
    struct timespec used;
    struct rlimit limit;
    if (clock_getcpuclockid(child->pid, &clock) != 0 || clock_gettime(clock, &used) != 0 ||
        prlimit(child->pid, RLIMIT_CPU, NULL, &limit) != 0)
        return false;
    rlim_t wanted = (rlim_t)used.tv_sec + 1 + (rlim_t)cpu_max_s;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return prlimit(child->pid, RLIMIT_CPU, &limit, NULL) == 0;
}

/* --- packets --- */

bool sm_child_is_quiet(const struct sm_child *child)
{
    char byte;
    ssize_t count;
    do
        count = recv(child->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    return count < 0 && errno == EAGAIN;
}

long sm_child_receive(const struct sm_child *child, void *packet, size_t room_bytes, int wait_ms)
{
    int64_t until_ms = sm_clock_monotonic_ms() + wait_ms;
    for (;;) {
        int64_t left_ms = until_ms - sm_clock_monotonic_ms();
        struct pollfd on = {.fd = child->socket, .events = POLLIN};
        int ready = poll(&on, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0)
            return -1;
        ssize_t count =
            ready < 0 ? -1 : recv(child->socket, packet, room_bytes, MSG_DONTWAIT | MSG_TRUNC);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        return count < 0 ? 0 : count;
    }
}

bool sm_child_send(const struct sm_child *child, const void *packet, size_t packet_bytes)
{
    ssize_t count;
    do
        count = send(child->socket, packet, packet_bytes, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count == (ssize_t)packet_bytes;
}
