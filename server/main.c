/* The program: finds its first argument in a table of subcommands and runs that one. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/cmd/cmd.h"
#include "server/decode/helper.h"
#include "sslmem/version.h"

static const struct sm_verb commands[] = {
    {"serve", sm_cmd_serve, "run the scoring service"},
    {"score", sm_cmd_score, "score images without a server"},
    {"reference", sm_cmd_reference, "measure and register a pair's reference cohort"},
    {"pair", sm_cmd_pair, "make a pair from checkpoints, or check one"},
    {"split", sm_cmd_split, "divide a dataset into cohorts before training"},
    {"compare", sm_cmd_compare, "t-tests between two files of scores"},
    {"views", sm_cmd_views, "write the augmented views of an image"},
    {"encode", sm_cmd_encode, "run one encoder on prepared input"},
    {"inspect", sm_cmd_inspect, "say what a checkpoint is"},
    {"audit", sm_cmd_audit, "cohorts of images in, statistics and a report out"},
    {"migrate", sm_cmd_migrate, "bring a database up to date"},
    {"backup", sm_cmd_backup, "copy a database, also of a running service"},
    {"restore", sm_cmd_restore, "put such a copy in place"},
    {"erase", sm_cmd_erase, "take images out of a database"},
    {"key", sm_cmd_key, "keys of the service's clients"},
    {SM_DECODE_COMMAND, sm_decode_helper, NULL}, /* internal: not shown in --help */
    {0},
};

/* forbid_blas_threads executes the program again with OPENBLAS_NUM_THREADS=1, unless the variable
 * is 1 already. Otherwise OpenBLAS starts threads while it is loaded, before main. They are of no
 * use, because every worker calls BLAS on its own thread; they take memory that a limited process
 * lacks, and one of them has been seen to spin in the exit handler of a process that failed.
 *
 * The function is in .preinit_array, which runs before the constructors of every shared library.
 * Sanitizers and environ are not initialised at that time, so it makes only system calls. If /proc
 * is not mounted, or there are over VARIABLES_MAX variables, the program runs with the threads. */
#define BLAS_THREADS    "OPENBLAS_NUM_THREADS="
#define VARIABLES_MAX   4096
#define BEFORE_THE_REST __attribute__((no_sanitize("address", "undefined", "thread")))

BEFORE_THE_REST static int begins_with(const char *text, const char *start)
{
    while (*start != '\0' && *text == *start) {
        text++;
        start++;
    }
    return *start == '\0' ? text[0] : -1;
}

BEFORE_THE_REST static void forbid_blas_threads(int argc, char **argv, char **variables)
{
    static char path[4096], one[] = BLAS_THREADS "1", *given[VARIABLES_MAX + 2];
    size_t count = 0;
    (void)argc;
    for (char **v = variables; *v; v++) {
        int value = begins_with(*v, BLAS_THREADS);
        if (value == '1' && (*v)[sizeof BLAS_THREADS] == '\0')
            return;
        if (value >= 0)
            continue;
        if (count == VARIABLES_MAX)
            return;
        given[count++] = *v;
    }
    given[count] = one;
    long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
    if (length > 0)
        syscall(SYS_execve, path, argv, given);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const first)(int, char **, char **) = forbid_blas_threads;

static void print_help(FILE *out)
{
    fprintf(out,
            "sslmem %s: how strongly does an image encoder memorize single training images?\n"
            "\nusage: sslmem COMMAND [options]\n\n",
            SM_VERSION);
    sm_verbs_print(out, commands);
    fprintf(out, "\nsslmem COMMAND --help tells more. Exit codes: 0 done, 1 something failed, "
                 "2 wrong usage.\n");
}

static int unknown_command(const char *given)
{
    struct sm_err err = {0};
    const char *nearest = sm_verb_nearest(commands, given);
    sm_err_set(&err, SM_INVALID, "unknown command \"%.100s\"%s%s", given,
               nearest ? "; the nearest is " : "", nearest ? nearest : "");
    fprintf(stderr, "sslmem: %s; see sslmem --help\n", err.text);
    return SM_EXIT_USAGE;
}

/* What a command has printed may be its result, so what a full disk swallowed is no success. */
static int check_output(const char *name, int result)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || result != SM_EXIT_OK)
        return result;
    fprintf(stderr, "sslmem %s: standard output cannot be written\n", name);
    return SM_EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return SM_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        puts("sslmem " SM_VERSION);
        return SM_EXIT_OK;
    }
    const struct sm_verb *command = sm_verb_find(commands, name);
    if (command) {
        signal(SIGPIPE, SIG_IGN);
        signal(SIGXFSZ, SIG_IGN); /* a write past RLIMIT_FSIZE then fails with EFBIG */
        sm_blas_single_thread();
        return check_output(name, command->run(argc - 1, argv + 1));
    }
    if (*name)
        return unknown_command(name);
    print_help(stderr);
    return SM_EXIT_USAGE;
}
