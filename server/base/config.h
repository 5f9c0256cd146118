/* Configuration of `sslmem serve`: one table of settings (settings.h) gives flags, environment
 * variables, the file, defaults, bounds, --help and the example in deploy/. */
#ifndef SERVER_BASE_CONFIG_H
#define SERVER_BASE_CONFIG_H

#include "server/base/settings.h"

struct sm_config {
    char listen[64];        /* address:port; port 0 picks one and prints it */
    char admin_listen[128]; /* the same for /metrics, or "unix:/path", or "off" */
    char metrics[8];        /* "on": /metrics on the public listener too */
    char pairs[1024];       /* folder of pair folders */
    char db[1024];          /* SQLite file */
    char kernels[16];       /* a choice, "auto" too */
    char sandbox[16];       /* "required" or "off" */
    sm_setting_int workers; /* 0: sm_config_workers */
    sm_setting_int http_threads;
    char data_root[1024];  /* folder of manifests' files, "": none */
    char digest_key[1024]; /* file, "": the database's own */
    char tls_cert[1024];   /* PEM files, both or none */
    char tls_key[1024];
    struct sm_texts trusted_proxies; /* networks, see peer.h */
    struct sm_texts cors_origins;    /* as browsers send them: "https://host" or with ":port" */
    sm_setting_int drain_delay_ms;
    /* retention, in days; 0: for ever */
    sm_setting_int retention_scores_days;
    sm_setting_int retention_jobs_days;
    sm_setting_int retention_thumbnails_days;
    sm_setting_int retention_audits_days;
    /* limits */
    sm_setting_int body_bytes_max;
    sm_setting_int images_max; /* per request */
    sm_setting_int queue_max;  /* items queued or running */
    sm_setting_int queue_bytes_max;
    sm_setting_int item_cost_ms_max; /* sslmem/cost.h; of an image, of those of a request, ... */
    sm_setting_int request_cost_ms_max;
    sm_setting_int queue_cost_ms_max; /* ... of those queued or running */
    sm_setting_int wait_default_ms;
    sm_setting_int wait_max_ms;
    sm_setting_int connections_max;
    sm_setting_int idle_timeout_s;
    sm_setting_int archive_bytes_max;
    sm_setting_int audit_images_max;           /* in one audit */
    sm_setting_int connections_per_client_max; /* and requests under way */
    sm_setting_int streams_max;                /* of events */
    sm_setting_int streams_per_client_max;
    sm_setting_int head_deadline_ms;
    sm_setting_int body_deadline_ms;
    sm_setting_int body_rate_min_bytes_per_s;
    sm_setting_int drain_limit_ms;
    sm_setting_int ready_disk_bytes;
    sm_setting_int heartbeat_max_s;
    sm_setting_int idempotency_keep_s;
    sm_setting_int idempotency_keys_max; /* of one API key */
    sm_setting_int database_bytes_max;
    sm_setting_int disk_reserve_bytes; /* free beside every body that is taken */
    sm_setting_int auth_failures_max;  /* of an address in a minute */
};

enum sm_code sm_config_read(struct sm_config *out, enum sm_settings_action *action, int argc,
                            char **argv, struct sm_err *err);
json_t *sm_config_json(const struct sm_config *config); /* as a file */
/* See sm_settings_apply. */
enum sm_code sm_config_apply(struct sm_config *config, const struct sm_config *next,
                             json_t *changed, json_t *restart, struct sm_err *err);
void sm_config_help(FILE *out);

/* As given, or sm_process_cores. */
int sm_config_workers(const struct sm_config *config);

#endif
