/* One binary: a table of subcommands. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "server/cmd/cmd.h"
#include "server/decode/helper.h"
#include "sslmem/version.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"serve", sm_cmd_serve, "run the scoring service"},
    {"score", sm_cmd_score, "score images without a server"},
    {"reference", sm_cmd_reference, "measure and register a pair's reference cohort"},
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
    {SM_DECODE_COMMAND, sm_decode_helper, NULL}, /* not for people */
};
enum { COMMANDS_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fprintf(out,
            "sslmem %s: how strongly does an image encoder memorize single training images?\n"
            "\nusage: sslmem COMMAND [options]\n\n",
            SM_VERSION);
    for (int i = 0; i < COMMANDS_COUNT; i++)
        if (commands[i].summary)
            fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\nsslmem COMMAND --help tells more. Exit codes: 0 done, 1 something failed, "
                 "2 wrong usage.\n");
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
    for (int i = 0; i < COMMANDS_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            signal(SIGPIPE, SIG_IGN);
            signal(SIGXFSZ, SIG_IGN); /* a file over the process's limit is an error of its write */
            sm_blas_single_thread();
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    if (*name) {
        struct sm_err err = {0};
        sm_err_set(&err, SM_INVALID, "unknown command \"%.100s\"", name);
        fprintf(stderr, "sslmem: %s\n", err.text);
    }
    print_help(stderr);
    return SM_EXIT_USAGE;
}
