/* Settings: with one table of rows, fills in a struct from a file, the environment and flags,
 * prints the help, and writes the struct as a file again.
 *
 *     static const struct sm_setting rows[] = {
 *         {"db", SM_SETTING_PATH, offsetof(struct c, db), "a.db", .max = 1024, .help = "a file"},
 *         {"queue-max", SM_SETTING_INT, offsetof(struct c, queue_max), "9", .section = "limits",
 *          .min = 1, .max = 100, .help = "items"},
 *         {0}};
 *     sm_settings_read(&c, &action, rows, argc, argv, &err);
 *
 * Spelling:   flag --queue-max, environment SSLMEM_QUEUE_MAX, file {"limits": {"queue_max": 9}}.
 * Precedence: flag, environment, file, fallback. A bad value is refused in every source, even if
 *             another source overrides it. --config or SSLMEM_CONFIG names the file. Unknown flags
 *             and keys are refused. Unknown variables are ignored, because other programs define
 *             some (an orchestrator's SSLMEM_PORT).
 * Owner:      the caller's struct holds all values; nothing to free.
 * Threads:    the read uses getenv: no thread may change the environment meanwhile. Afterwards only
 *             sm_settings_apply changes values, those of rows with `reloads`; other threads may
 *             read them at the same time.
 * Errors:     SM_INVALID names the source, the bad value and the valid ones; for the file also
 *             SM_NOT_FOUND, SM_IO, SM_LIMIT, SM_NOMEM.
 * Limits:     SM_SETTINGS_MAX rows, names of 32 bytes; a file of 64 KiB, 4 levels deep; a secret of
 *             SM_SECRET_BYTES - 1 bytes. */
#ifndef SERVER_BASE_SETTINGS_H
#define SERVER_BASE_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

#define SM_SETTINGS_MAX     64
#define SM_SECRET_BYTES     257
#define SM_TEXTS_MAX        16
#define SM_TEXTS_ITEM_BYTES 128

/* The field of a number; atomic, because some change while the service runs. */
typedef _Atomic int64_t sm_setting_int;

/* A list of texts; commas separate them in flags and variables. */
struct sm_texts {
    int count;
    char items[SM_TEXTS_MAX][SM_TEXTS_ITEM_BYTES];
};

/* A secret: the one line of a file that only its owner may read. The configuration has the path, so
 * neither a process list nor --print-config shows the secret. */
struct sm_secret {
    char path[1024]; /* path of the file; "": no secret */
    char value[SM_SECRET_BYTES];
};

enum sm_setting_kind {
    SM_SETTING_INT,      /* sm_setting_int within [min, max] */
    SM_SETTING_TEXT,     /* char[max]; may be empty only if the fallback is */
    SM_SETTING_PATH,     /* TEXT without control characters */
    SM_SETTING_CHOICE,   /* char[max], one of `choices` */
    SM_SETTING_ADDRESS,  /* char[max], address:port, or one of `choices` */
    SM_SETTING_LOOPBACK, /* ADDRESS on loopback, or unix: and an absolute path */
    SM_SETTING_TEXTS,    /* struct sm_texts of at most max items; "": no items */
    SM_SETTING_SECRET,   /* struct sm_secret; "": no secret */
};

struct sm_setting {
    const char *name; /* words with dashes, the unit last; NULL ends the table */
    enum sm_setting_kind kind;
    size_t offset;
    const char *fallback;
    int64_t min, max;
    const char *choices; /* accepted words, separated by "|": "on|off" */
    const char *section; /* object of the file that has the key; NULL: the top level */
    const char *help;
    bool reloads; /* for an INT only: sm_settings_apply changes it while the service runs */
};

enum sm_settings_action {
    SM_SETTINGS_RUN,
    SM_SETTINGS_HELP,
    SM_SETTINGS_CHECK, /* --check-config: report that the settings are valid, and exit */
    SM_SETTINGS_PRINT, /* --print-config: print sm_settings_json, and exit */
};

/* The source of each row's value, in the order of the rows. */
struct sm_settings_sources {
    char names[SM_SETTINGS_MAX][160];
};

/* Reads all sources into the struct `out`. Removes the flags of actions from argv and stores the
 * action; for SM_SETTINGS_HELP it reads nothing. */
enum sm_code sm_settings_read(void *out, struct sm_settings_sources *sources,
                              enum sm_settings_action *action, const struct sm_setting *rows,
                              int argc, char **argv, struct sm_err *err);
/* Returns the source of the row at `offset`: "default", the file and its key, a variable
 * ("SSLMEM_DB") or a flag ("--db"). */
const char *sm_settings_source(const struct sm_settings_sources *sources,
                               const struct sm_setting *rows, size_t offset);
/* Returns a file's document with these settings. New reference; NULL when out of memory. */
json_t *sm_settings_json(const void *values, const struct sm_setting *rows);
/* Copies the rows with `reloads` from `next` to `values`. Appends {"setting", "from", "to"} to
 * `changed` for each row that changed, and to `restart` the name of each row that differs but keeps
 * its value until a restart. Errors: SM_NOMEM. */
enum sm_code sm_settings_apply(void *values, const void *next, const struct sm_setting *rows,
                               json_t *changed, json_t *restart, struct sm_err *err);
/* Reads a secret from a file that no table of settings names; `source` names it in errors. */
enum sm_code sm_secret_read(struct sm_secret *out, const char *source, const char *path,
                            struct sm_err *err);
/* Returns an environment variable that is not a setting; NULL when it is not set. */
const char *sm_settings_variable(const char *name);

void sm_settings_help(FILE *out, const struct sm_setting *rows);

#endif
