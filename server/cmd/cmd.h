/* Subcommands, and what they share. Each subcommand is one function; argv[0] is its name. It
 * returns the exit code of the process: 0 done, 1 failed (standard error says why), 2 wrong usage.
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
#include <stdio.h>

#include "server/base/config.h"
#include "sslmem/score.h"

#define SM_COST_SAID_MS 600000 /* commands announce work of this cost or more; sslmem/cost.h */

enum { SM_EXIT_OK = 0, SM_EXIT_FAILED = 1, SM_EXIT_USAGE = 2 };

struct sm_option {
    const char *name;  /* without the leading dashes; NULL ends the table */
    const char *value; /* placeholder for the value in --help; NULL: a switch */
    const char *help;
    const char **into; /* receives the value, "" for a switch */
    bool required;
    int times_max; /* above 1: how often it may be given; `into` has room for that many values */
};

struct sm_usage {
    const char *command;
    const char *operands; /* as the usage line shows them; "": none */
    const char *summary;
    const struct sm_option *options;
    int operands_min, operands_max;
    const char *exit_codes; /* text for --help about codes other than 0, 1, 2; NULL: no others */
};

/* Reads options ("--name value" or "--name=value"; "--" ends them) into the targets of the table.
 * *operands receives the other arguments: a NULL-terminated part of argv, which is reordered.
 * Returns -1 if the command should go on, else the exit code. */
int sm_usage_read(char ***operands, const struct sm_usage *usage, int argc, char **argv);

/* A word behind `sslmem`, or behind one of its subcommands. */
struct sm_verb {
    const char *name;                  /* NULL ends the table */
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
    const char *summary;               /* NULL: internal, neither listed nor suggested */
};
/* Returns the verb of that name, or NULL. */
const struct sm_verb *sm_verb_find(const struct sm_verb *verbs, const char *name);
/* Returns the name of the verb that a misspelt one stands for, or NULL. */
const char *sm_verb_nearest(const struct sm_verb *verbs, const char *given);
void sm_verbs_print(FILE *out, const struct sm_verb *verbs);
/* Runs the verb argv[1] of a subcommand; prints the verbs for --help and for an unknown one.
 * Returns the exit code. */
int sm_verbs_run(const char *command, const char *operands, const char *summary,
                 const struct sm_verb *verbs, int argc, char **argv);

/* Reads the number of --workers; 0 or a NULL text gives sm_process_cores. Errors: SM_INVALID. */
enum sm_code sm_read_workers(size_t *out, const char *text, struct sm_err *err);

/* Prints the error to standard error as "sslmem COMMAND: <text>"; returns SM_EXIT_FAILED. */
int sm_fail(const char *command, const struct sm_err *err);

/* Prints `node` as one line of JSON on standard output; NULL prints an error "no_memory". Takes the
 * reference. */
void sm_print_line(json_t *node);
/* Returns the path as a JSON string (new reference), escaped if it is not UTF-8. */
json_t *sm_path_json(const char *path);

/* Parses a JSON file of at most 1 MiB; *out is a new reference. A `path` that begins with a brace
 * is the JSON text itself. */
enum sm_code sm_json_read_file(json_t **out, const char *path, struct sm_err *err);

/* Builds the configuration for a checkpoint: reads the JSON file `config_path`, overrides it with
 * `key` and `preset` (all three may be NULL), and completes it (sm_encoder_config_complete). */
enum sm_code sm_read_encoder_config(struct sm_encoder_config *out, const char *config_path,
                                    const char *key, const char *preset, const char *ckpt_path,
                                    struct sm_err *err);

/* Reads the value of an option that chooses among `names` (NULL-terminated); `text` NULL chooses
 * the first. SM_INVALID names all. */
enum sm_code sm_read_choice(int *out, const char *option, const char *text,
                            const char *const *names, struct sm_err *err);

/* Prints each of the pair's flags as a line on standard error. */
void sm_say_pair_flags(const struct sm_pair *pair);

/* Opens the pair in `dir` and prints its flags. `recipe` receives the pair's own recipe, changed by
 * the fields of the JSON file `recipe_path` (NULL: unchanged). `kernels` NULL: "auto". */
enum sm_code sm_open_pair(struct sm_pair **out, struct sm_recipe *recipe, const char *dir,
                          const char *recipe_path, const char *kernels, struct sm_err *err);

/* Checks that `path` is an existing SQLite database, because opening a missing file would create
 * one. The error text names the path. SM_NOT_FOUND (missing or empty), SM_CORRUPT, SM_IO. */
enum sm_code sm_check_database(const char *path, struct sm_err *err);

/* Checks that the configuration names a folder of pairs. SM_INVALID (it is a pair), SM_NOT_FOUND,
 * SM_IO. */
enum sm_code sm_check_pairs(const struct sm_config *config, struct sm_err *err);

/* Runs `sslmem serve --check-config`: checks every file and folder that the configuration names and
 * prints each problem to standard error. Starts and creates nothing; returns the exit code. */
int sm_check_config(const struct sm_config *config);

int sm_cmd_serve(int argc, char **argv);
int sm_cmd_score(int argc, char **argv);
int sm_cmd_views(int argc, char **argv);
int sm_cmd_encode(int argc, char **argv);
int sm_cmd_inspect(int argc, char **argv);
int sm_cmd_reference(int argc, char **argv);
int sm_cmd_pair(int argc, char **argv);
int sm_cmd_split(int argc, char **argv);
int sm_cmd_compare(int argc, char **argv);
int sm_cmd_audit(int argc, char **argv);
int sm_cmd_migrate(int argc, char **argv);
int sm_cmd_backup(int argc, char **argv);
int sm_cmd_restore(int argc, char **argv);
int sm_cmd_erase(int argc, char **argv);
int sm_cmd_key(int argc, char **argv);

#endif
