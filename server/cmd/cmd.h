/* Subcommands: one function each, argv[0] is the subcommand's name. They return the process's exit
 * code: 0 done, 1 something failed (the text on standard error says what), 2 wrong usage.
 *
 *     const char *pair = NULL;
 *     const struct sm_option options[] = {{"pair", "DIR", "folder", &pair, .required = true}, {0}};
 *     const struct sm_usage usage = {"score", "IMAGE...", "Scores images.", options, 1, INT_MAX};
 *     int done = sm_usage_read(&operands, &usage, argc, argv);
 *     if (done >= 0)
 *         return done; // --help was printed, or the usage was wrong */
#ifndef SERVER_CMD_CMD_H
#define SERVER_CMD_CMD_H

#include <jansson.h>
#include <stdbool.h>

#include "server/base/config.h"
#include "sslmem/score.h"

#define SM_COST_SAID_MS 600000 /* work over it is announced; sslmem/cost.h */

enum { SM_EXIT_OK = 0, SM_EXIT_FAILED = 1, SM_EXIT_USAGE = 2 };

struct sm_option {
    const char *name;  /* without dashes; NULL ends the table */
    const char *value; /* what the value is called in --help; NULL: a switch */
    const char *help;
    const char **into; /* receives the value, "" for a switch */
    bool required;
    int times_max; /* above 1: `into` is an array of as many, filled from its first NULL on */
};

struct sm_usage {
    const char *command;
    const char *operands; /* as shown in the usage line, "" for none */
    const char *summary;
    const struct sm_option *options;
    int operands_min, operands_max;
    const char *exit_codes; /* beside 0, 1 and 2, as in --help; NULL: none */
};

/* Reads options ("--name value" or "--name=value", "--" ends them) into the table's targets and the
 * rest into *operands (a NULL-terminated tail of argv, reordered). -1: go on; else the exit code.
 */
int sm_usage_read(char ***operands, const struct sm_usage *usage, int argc, char **argv);

/* Reads --workers: 0 and no text are sm_process_cores. SM_INVALID. */
enum sm_code sm_read_workers(size_t *out, const char *text, struct sm_err *err);

/* "sslmem score: <text>" on standard error; returns SM_EXIT_FAILED. */
int sm_fail(const char *command, const struct sm_err *err);

/* One JSON object on one line of standard output. Takes the reference. */
void sm_print_line(json_t *node);
/* A path as JSON, escaped where it is no UTF-8. */
json_t *sm_path_json(const char *path);

/* The whole JSON document in a file, at most 1 MiB. */
enum sm_code sm_json_read_file(json_t **out, const char *path, struct sm_err *err);

/* How a checkpoint is to be read: `config_path`, over it `key` and `preset` (NULL: none), and what
 * stands beside the checkpoint. */
enum sm_code sm_read_encoder_config(struct sm_encoder_config *out, const char *config_path,
                                    const char *key, const char *preset, const char *ckpt_path,
                                    struct sm_err *err);

/* The pair's flags on standard error, a line each. */
void sm_say_pair_flags(const struct sm_pair *pair);

/* The pair in `dir` and the recipe to use on it: its own, or `recipe_path` read over it. Says the
 * pair's flags. */
enum sm_code sm_open_pair(struct sm_pair **out, struct sm_recipe *recipe, const char *dir,
                          const char *recipe_path, const char *kernels, struct sm_err *err);

/* Whether `path` is an SQLite database that is there: opening another would make one. The text
 * names the path. SM_NOT_FOUND, SM_CORRUPT, SM_IO. */
enum sm_code sm_check_database(const char *path, struct sm_err *err);

/* `sslmem serve --check-config`: looks at every file and folder that the configuration names, and
 * says on standard error what is wrong with each. Starts and makes nothing; returns the exit code.
 */
int sm_check_config(const struct sm_config *config);

int sm_cmd_serve(int argc, char **argv);
int sm_cmd_score(int argc, char **argv);
int sm_cmd_views(int argc, char **argv);
int sm_cmd_encode(int argc, char **argv);
int sm_cmd_inspect(int argc, char **argv);
int sm_cmd_reference(int argc, char **argv);
int sm_cmd_compare(int argc, char **argv);
int sm_cmd_audit(int argc, char **argv);
int sm_cmd_migrate(int argc, char **argv);
int sm_cmd_backup(int argc, char **argv);
int sm_cmd_restore(int argc, char **argv);
int sm_cmd_erase(int argc, char **argv);
int sm_cmd_key(int argc, char **argv);

#endif
