/* Settings: one table of rows makes a struct out of a file, the environment and flags, and makes
 * the help and the file again.
 *
 *     static const struct sm_setting rows[] = {
 *         {"db", SM_SETTING_PATH, offsetof(struct c, db), "a.db", .max = 1024, .help = "a file"},
 *         {"queue-max", SM_SETTING_INT, offsetof(struct c, queue_max), "9", .section = "limits",
 *          .min = 1, .max = 100, .help = "items"},
 *         {0}};
 *     sm_settings_read(&c, &action, rows, argc, argv, &err);
 *
 * Spelling:   flag --queue-max, environment SSLMEM_QUEUE_MAX, file {"limits": {"queue_max": 9}}.
 * Precedence: flag, environment, file, fallback. A bad value is refused wherever it stands, also
 *             where another source overrides it. The file is what --config or SSLMEM_CONFIG names.
 *             Unknown flags and keys are refused; unknown variables are not: others make some up
 *             (an orchestrator's SSLMEM_PORT).
 * Owner:      the struct holds everything.
 * Threads:    reads the environment, which nobody may change. sm_settings_apply writes rows that
 *             `reloads` while others read them; no other row changes after the read.
 * Errors:     SM_INVALID with the source, what is and what may be; of the file also SM_NOT_FOUND,
 *             SM_IO, SM_LIMIT, SM_NOMEM.
 * Limits:     SM_SETTINGS_MAX rows, names of 32 bytes; a file of 64 KiB, 4 levels deep; a secret of
 *             SM_SECRET_BYTES - 1. */
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

/* The field of a number. Atomic: some change while the service runs. */
typedef _Atomic int64_t sm_setting_int;

/* A list of texts; commas part them in flags and variables. */
struct sm_texts {
    int count;
    char items[SM_TEXTS_MAX][SM_TEXTS_ITEM_BYTES];
};

/* What a file that only its owner may read says on its one line. Configurations name the file:
 * neither a process list nor --print-config shows more than that. */
struct sm_secret {
    char path[1024]; /* "": none */
    char value[SM_SECRET_BYTES];
};

enum sm_setting_kind {
    SM_SETTING_INT,      /* sm_setting_int within [min, max] */
    SM_SETTING_TEXT,     /* char[max], not empty unless the fallback is */
    SM_SETTING_PATH,     /* the same without control characters */
    SM_SETTING_CHOICE,   /* char[max], one of `choices` */
    SM_SETTING_ADDRESS,  /* char[max], address:port, or one of `choices` */
    SM_SETTING_LOOPBACK, /* the same, and of this machine alone; or unix: and an absolute path */
    SM_SETTING_TEXTS,    /* struct sm_texts of at most max items, "" for none */
    SM_SETTING_SECRET,   /* struct sm_secret, "" for none */
};

struct sm_setting {
    const char *name; /* as a flag: words with dashes, the unit last. NULL ends the table */
    enum sm_setting_kind kind;
    size_t offset;
    const char *fallback;
    int64_t min, max;
    const char *choices; /* "a|b" */
    const char *section; /* of the file; NULL: its top */
    const char *help;
    bool reloads; /* of an INT: takes effect while the service runs */
};

enum sm_settings_action {
    SM_SETTINGS_RUN,
    SM_SETTINGS_HELP,
    SM_SETTINGS_CHECK, /* --check-config: the settings are good, say so and end */
    SM_SETTINGS_PRINT, /* --print-config: print sm_settings_json and end */
};

/* Where each row's value came from, in the order of the rows. */
struct sm_settings_sources {
    char names[SM_SETTINGS_MAX][160];
};

enum sm_code sm_settings_read(void *out, struct sm_settings_sources *sources,
                              enum sm_settings_action *action, const struct sm_setting *rows,
                              int argc, char **argv, struct sm_err *err);
/* Of the row at `offset`: "default", the file and the key, "SSLMEM_DB", "--db". */
const char *sm_settings_source(const struct sm_settings_sources *sources,
                               const struct sm_setting *rows, size_t offset);
/* A document that reads back as the same settings. New reference; NULL when out of memory. */
json_t *sm_settings_json(const void *values, const struct sm_setting *rows);
/* Takes over from `next` the rows that reload. What differs is added to two lists: `changed` gets
 * {"setting", "from", "to"}, `restart` the names of rows that keep their value. SM_NOMEM. */
enum sm_code sm_settings_apply(void *values, const void *next, const struct sm_setting *rows,
                               json_t *changed, json_t *restart, struct sm_err *err);
/* The secret in a file, outside of a table of settings; `source` names it in errors. */
enum sm_code sm_secret_read(struct sm_secret *out, const char *source, const char *path,
                            struct sm_err *err);
/* An environment variable of a command's own; NULL when it is not set. */
const char *sm_settings_variable(const char *name);

void sm_settings_help(FILE *out, const struct sm_setting *rows);

#endif
