/* Configuration and certificate are reloaded independently: an error in one does not keep the other
 * from changing. */
#include "server/cmd/reload.h"

#include "server/base/log.h"

struct sm_http_limits sm_http_limits_of(const struct sm_config *config)
{
    return (struct sm_http_limits){
        .body_bytes_max = config->body_bytes_max,
        .spool_bytes_max = config->archive_bytes_max,
        .connections_per_client_max = config->connections_per_client_max,
        .streams_max = config->streams_max,
        .streams_per_client_max = config->streams_per_client_max,
        .head_deadline_ms = config->head_deadline_ms,
        .body_deadline_ms = config->body_deadline_ms,
        .body_rate_min = config->body_rate_min_bytes_per_s,
    };
}

static void reload_config(const struct sm_reload *r)
{
    struct sm_config next;
    struct sm_err err = {0};
    enum sm_settings_action action;
    json_t *changed = json_array(), *restart = json_array();
    enum sm_code code = sm_config_read(&next, &action, r->argc, r->argv, &err);
    if (code == SM_OK)
        code = sm_config_apply(r->config, &next, changed, restart, &err);
    if (code == SM_OK) {
        struct sm_http_limits limits = sm_http_limits_of(r->config);
        sm_http_set_limits(r->http, &limits);
        sm_jobs_set_queue_max(r->jobs, r->config->queue_max);
        sm_jobs_set_costs(r->jobs, r->config->queue_cost_ms_max, r->config->item_cost_ms_max);
        sm_log("info", "reloaded", "{s:O, s:O}", "changed", changed, "need_restart", restart);
    } else {
        sm_log("error", "reload_failed", "{s:s}", "text", err.text);
    }
    json_decref(changed);
    json_decref(restart);
}

static void reload_certificate(const struct sm_reload *r)
{
    struct sm_err err = {0};
    if (sm_tls_load(r->tls, &err) != SM_OK)
        sm_log("error", "certificate_kept", "{s:s}", "text", err.text);
}

void sm_reload(const struct sm_reload *reload)
{
    reload_config(reload);
    if (reload->tls)
        reload_certificate(reload);
}
