/* SIGHUP: a running service reads its configuration and its certificate again.
 *
 * File, environment and flags are read as at the start. Settings that may change take effect from
 * the next request on; the log names changed settings that need a restart and keep their value. If
 * the configuration cannot be read, every setting keeps its value; likewise the certificate. */
#ifndef SERVER_CMD_RELOAD_H
#define SERVER_CMD_RELOAD_H

#include "server/base/config.h"
#include "server/http/http.h"
#include "server/jobs/jobs.h"

struct sm_reload {
    int argc; /* arguments for sm_config_read, as at the start */
    char **argv;
    struct sm_config *config; /* the service's configuration, which a reload changes */
    struct sm_http *http;
    struct sm_jobs *jobs;
    struct sm_tls *tls; /* NULL: the service has no certificate */
};

/* Reloads both. Call on the thread that started the service. Never fails: errors are logged. */
void sm_reload(const struct sm_reload *reload);

/* Returns the limits of a listener under this configuration. */
struct sm_http_limits sm_http_limits_of(const struct sm_config *config);

#endif
