/* Configuration of `sslmem serve`: one table of settings (settings.h) gives flags, environment
 * variables, the file, defaults, bounds, --help and the example in deploy/. */
#ifndef SERVER_BASE_CONFIG_H
#define SERVER_BASE_CONFIG_H

#include "server/base/settings.h"

struct sm_config {
    char listen[64];       /* address:port; port 0 picks one and prints it */
    char admin_listen[64]; /* the same for /metrics, or "off" */
    char metrics[8];       /* "on": /metrics on the public listener too */
    char pairs[1024];      /* folder of pair folders */
    char db[1024];         /* SQLite file */
    char kernels[16];      /* a choice, "auto" too */
    char sandbox[16];      /* "required" or "off" */
    int64_t workers;       /* 0: sm_config_workers */
    int64_t http_threads;
    char data_root[1024];  /* folder of manifests' files, "": none */
    char digest_key[1024]; /* file, "": the database's own */
    /* retention, in days; 0: for ever */
    int64_t retention_scores_days;
    int64_t retention_jobs_days;
    int64_t retention_thumbnails_days;
    int64_t retention_audits_days;
    /* limits */
    int64_t body_bytes_max;
    int64_t images_max; /* per request */
    int64_t queue_max;  /* items queued or running */
    int64_t queue_bytes_max;
    int64_t wait_default_ms;
    int64_t wait_max_ms;
    int64_t connections_max;
    int64_t idle_timeout_s;
    int64_t archive_bytes_max;
    int64_t audit_images_max; /* in one audit */
    int64_t database_bytes_max;
    int64_t disk_reserve_bytes; /* free beside every body that is taken */
};

enum sm_code sm_config_read(struct sm_config *out, enum sm_settings_action *action, int argc,
                            char **argv, struct sm_err *err);
json_t *sm_config_json(const struct sm_config *config); /* as a file */
void sm_config_help(FILE *out);

/* As given, or one per core. */
int sm_config_workers(const struct sm_config *config);

#endif
