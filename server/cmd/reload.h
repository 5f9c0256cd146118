/* What SIGHUP does to a running service: reads the configuration and the certificate again.
 *
 * The file, the environment and the flags are read as at the start; limits that may change take
 * effect for what comes next, other settings keep their value and are named in the log. What cannot
 * be read leaves everything as it was. */
#ifndef SERVER_CMD_RELOAD_H
#define SERVER_CMD_RELOAD_H

#include "server/base/config.h"
#include "server/http/http.h"
#include "server/jobs/jobs.h"

struct sm_reload {
    int argc; /* as sm_config_read took them */
    char **argv;
    struct sm_config *config; /* of the service */
    struct sm_http *http;
    struct sm_jobs *jobs;
    struct sm_tls *tls; /* NULL: none */
};

/* From the thread that started the service. Never fails: what goes wrong is logged. */
void sm_reload(const struct sm_reload *reload);

/* The limits of a listener. */
struct sm_http_limits sm_http_limits_of(const struct sm_config *config);

#endif
