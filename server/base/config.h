/* Configuration of `sslmem serve`: one table of options gives flags, environment variables,
 * defaults, bounds and --help.
 *
 * Precedence: flag, then environment (SSLMEM_<NAME>), then default. */
#ifndef SERVER_BASE_CONFIG_H
#define SERVER_BASE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

struct sm_config {
    char listen[64];         /* --listen           address:port; port 0 picks one and prints it */
    char pairs[1024];        /* --pairs            folder of pair folders */
    char db[1024];           /* --db               SQLite file */
    char kernels[16];        /* --kernels          a choice, "auto" too */
    char sandbox[16];        /* --sandbox          "required" or "off" */
    int64_t workers;         /* --workers          as given, or one per core */
    int64_t http_threads;    /* --http-threads */
    int64_t body_bytes_max;  /* --body-bytes-max */
    int64_t images_max;      /* --images-max        per request */
    int64_t queue_max;       /* --queue-max         items queued or running */
    int64_t wait_default_ms; /* --wait-default-ms   without Prefer: wait */
    int64_t wait_max_ms;     /* --wait-max-ms */
    int64_t connections_max; /* --connections-max */
    int64_t idle_timeout_s;  /* --idle-timeout-s */
};

/* Fills defaults, then the environment, then argv (options only; "--name value" or "--name=value").
 * *help is set when --help was seen. */
enum sm_code sm_config_read(struct sm_config *out, int argc, char **argv, bool *help,
                            struct sm_err *err);
void sm_config_help(FILE *out);

#endif
