/* The walls, each tried from inside by a process of its own: this program, started again. */
#include "tests/unit/asserts.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/decode/helper.h"
#include "server/decode/landlock.h"
#include "server/decode/sandbox.h"

/* --- inside --- */

enum { HELD = 0, NOT_HELD = 9, SKIPPED = 10 };

/* Without seccomp, to see that landlock holds by itself. */
static int try_landlock(void)
{
    struct sm_err err = {0};
    int abi;
    int network = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (sm_landlock_enter(&abi, &err) != SM_OK)
        return NOT_HELD;
    if (abi == 0)
        return SKIPPED;
    bool held = open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES;
    held = held && open("/tmp", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES;
    held = held && open("/tmp/sslmem-try", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES;
    if (abi >= 4)
        held = held && bind(network, (struct sockaddr *)&any, sizeof any) < 0 && errno == EACCES;
    if (abi >= 6)
        held = held && kill(getppid(), 0) < 0 && errno == EPERM;
    return held ? HELD : NOT_HELD;
}

/* Memory up to the bound and no further; given back, it can be had again. */
static int try_memory(void)
{
    struct sm_err err = {0};
    int abi;
    const size_t budget = (size_t)64 << 20, most = (size_t)48 << 20, more = (size_t)65 << 20;
    if (sm_sandbox_enter(&abi, 3, budget, &err) != SM_OK)
        _exit(NOT_HELD);
    for (int i = 0; i < 3; i++) {
        char *block = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            _exit(NOT_HELD);
        memset(block, 1, most);
        munmap(block, most);
        if (mmap(NULL, more, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
            errno != ENOMEM)
            _exit(NOT_HELD);
    }
    _exit(HELD);
}

/* The limits that no call inside could show, seccomp being in front of them. */
static int try_limits(void)
{
    static const int zero[] = {RLIMIT_NPROC, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_NOFILE,
                               RLIMIT_FSIZE};
    const size_t count = sizeof zero / sizeof *zero - SM_SANDBOX_SANITIZER;
    struct sm_err err = {0};
    struct rlimit limit;
    int abi, ends[2];
    pid_t inside;
    if (pipe2(ends, O_CLOEXEC) != 0 || (inside = fork()) < 0)
        return NOT_HELD;
    if (inside == 0) { /* waits in its one socket */
        char byte;
        dup2(ends[0], 3);
        if (sm_sandbox_enter(&abi, 3, 1 << 20, &err) != SM_OK)
            _exit(NOT_HELD);
        _exit(read(3, &byte, 1) == 1 ? HELD : NOT_HELD);
    }
    bool held = false;
    for (int wait = 0; !held && wait < 30000; wait++) {
        usleep(1000);
        held = true;
        for (size_t i = 0; i < count; i++)
            held = held && prlimit(inside, zero[i], NULL, &limit) == 0 && limit.rlim_cur == 0 &&
                   limit.rlim_max == 0;
    }
    int status = write(ends[1], "x", 1) == 1 ? 0 : -1;
    waitpid(inside, &status, 0);
    /* On a busy machine ThreadSanitizer makes calls of its own in the child, which end it. */
    bool ended = SM_SANDBOX_SANITIZER && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    return held && (ended || (WIFEXITED(status) && WEXITSTATUS(status) == HELD)) ? HELD : NOT_HELD;
}

static const struct {
    const char *name;
    int (*run)(void);
} inside[] = {{"landlock", try_landlock}, {"memory", try_memory}, {"limits", try_limits}};

/* --- outside --- */

static int run_inside(const char *word, const char *name)
{
    char first[32], second[32];
    char *argv[] = {(char[]){"test_sandbox"}, first, second, NULL};
    char *environment[] = {(char[]){"OPENBLAS_NUM_THREADS=1"},
                           (char[]){"ASAN_OPTIONS=detect_leaks=0"}, NULL};
    pid_t pid;
    int status;
    snprintf(first, sizeof first, "%s", word);
    snprintf(second, sizeof second, "%s", name);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environment), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void forbidden_calls_kill(void **state)
{
    (void)state;
    static const char *const names[] = {"create", "descriptor", "exec",   "executable-memory",
                                        "fork",   "kill",       "limits", "open",
                                        "ptrace", "socket"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int status = run_inside("--try", names[i]);
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        bool refused = SM_SANDBOX_SANITIZER && WIFEXITED(status) && WEXITSTATUS(status) == 4;
        if (!killed && !refused)
            fail_msg("%s: status %#x", names[i], (unsigned)status);
    }
}

static void an_unknown_try_is_told(void **state)
{
    (void)state;
    int status = run_inside("--try", "nothing");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void walls_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        int status = run_inside("inside", inside[i].name);
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
            print_message("%s: the kernel has none: skipped\n", inside[i].name);
        else if (!WIFEXITED(status) || WEXITSTATUS(status) != HELD)
            fail_msg("%s: status %#x", inside[i].name, (unsigned)status);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_calls_kill),
        cmocka_unit_test(an_unknown_try_is_told),
        cmocka_unit_test(walls_hold),
    };
    if (argc == 3 && strcmp(argv[1], "--try") == 0) {
        char command[] = "decode-helper";
        argv[0] = command;
        return sm_decode_helper(argc, argv);
    }
    for (size_t i = 0; argc == 3 && i < sizeof inside / sizeof *inside; i++)
        if (strcmp(argv[2], inside[i].name) == 0)
            return inside[i].run();
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
