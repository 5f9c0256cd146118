/* Configuration of `sslmem serve`. One table of settings (settings.h) defines flags, environment
 * variables, keys of the file, defaults, bounds, --help and the example in deploy/. */
#ifndef SERVER_BASE_CONFIG_H
#define SERVER_BASE_CONFIG_H

#include "server/base/settings.h"

struct sm_config {
    char listen[64];        /* address:port; port 0: the kernel picks the port */
    char admin_listen[128]; /* listener of /metrics: address:port, "unix:/path" or "off" */
    char metrics[8];        /* "on": the public listener serves /metrics too */
    char pairs[1024];       /* the pairs folder, with a sub-folder for each pair */
    char db[1024];          /* path of the SQLite file */
    char kernels[16];       /* name of a kernel row, or "auto" */
    char sandbox[16];       /* "required" or "off" */
    sm_setting_int workers; /* threads that compute; 0: one per core (sm_config_workers) */
    sm_setting_int http_threads;
    char data_root[1024];  /* folder whose files manifests may name; "": no manifests */
    char digest_key[1024]; /* path of the digest key; "": the database has its own */
    char tls_cert[1024];   /* path of the PEM certificate; "": HTTP, and tls_key is "" too */
    char tls_key[1024];
    struct sm_texts trusted_proxies; /* addresses and networks that sm_network_parse accepts */
    struct sm_texts cors_origins;    /* origins in the form that sm_origin_valid accepts */
    sm_setting_int drain_delay_ms;
    /* retention in days; 0: for ever */
    sm_setting_int retention_scores_days;
    sm_setting_int retention_jobs_days;
    sm_setting_int retention_thumbnails_days;
    sm_setting_int retention_audits_days;
    /* limits */
    sm_setting_int body_bytes_max;
    sm_setting_int images_max; /* images per request */
    sm_setting_int queue_max;  /* items queued or running */
    sm_setting_int queue_bytes_max;
    sm_setting_int item_cost_ms_max;    /* cost of one image (sslmem/cost.h) */
    sm_setting_int request_cost_ms_max; /* cost of all images of a request */
    sm_setting_int queue_cost_ms_max;   /* cost of all items queued or running */
    sm_setting_int wait_default_ms;
    sm_setting_int wait_max_ms;
    sm_setting_int connections_max;
    sm_setting_int idle_timeout_s;
    sm_setting_int archive_bytes_max;
    sm_setting_int audit_images_max;           /* images per audit */
    sm_setting_int connections_per_client_max; /* connections, and requests under way */
    sm_setting_int streams_max;                /* open event streams */
    sm_setting_int streams_per_client_max;
    sm_setting_int head_deadline_ms;
    sm_setting_int body_deadline_ms;
    sm_setting_int body_rate_min_bytes_per_s;
    sm_setting_int drain_limit_ms;
    sm_setting_int ready_disk_bytes;
    sm_setting_int heartbeat_max_s;
    sm_setting_int idempotency_keep_s;
    sm_setting_int idempotency_keys_max; /* stored answers per API key */
    sm_setting_int database_bytes_max;
    sm_setting_int disk_reserve_bytes; /* free disk space that every body must leave */
    sm_setting_int auth_failures_max;  /* failed authentications per address and minute */
};

/* Reads all sources as sm_settings_read does, and checks the settings against each other. On
 * failure, or if *action is SM_SETTINGS_HELP, *out is zeroed. */
enum sm_code sm_config_read(struct sm_config *out, enum sm_settings_action *action, int argc,
                            char **argv, struct sm_err *err);
json_t *sm_config_json(const struct sm_config *config); /* see sm_settings_json */
/* See sm_settings_apply. */
enum sm_code sm_config_apply(struct sm_config *config, const struct sm_config *next,
                             json_t *changed, json_t *restart, struct sm_err *err);
void sm_config_help(FILE *out);

/* Returns the setting `workers`, or sm_process_cores() if it is 0. */
int sm_config_workers(const struct sm_config *config);

#endif
