/* The table of settings, and the checks that involve several settings. */
#include "server/base/config.h"

#include <inttypes.h>

#include "server/base/peer.h"
#include "server/base/process.h"

#define FIELD(member) offsetof(struct sm_config, member)
#define TEXT(member)  FIELD(member), .max = sizeof((struct sm_config *)0)->member
#define LIST(member)  FIELD(member), .max = SM_TEXTS_MAX
#define LIMIT(name_, member, fallback_, min_, max_, help_)                                         \
    {                                                                                              \
        name_, SM_SETTING_INT, FIELD(member), fallback_, min_, max_, .section = "limits",          \
                                                                     .help = help_                 \
    }

/* A limit that SIGHUP reloads while the service runs. */
#define LIVE(name_, member, fallback_, min_, max_, help_)                                          \
    {                                                                                              \
        name_, SM_SETTING_INT, FIELD(member), fallback_, min_, max_,                               \
            .section = "limits", .help = help_, .reloads = true                                    \
    }

#define RETENTION(name_, member, what)                                                             \
    {                                                                                              \
        name_, SM_SETTING_INT, FIELD(member), "0", 0, 36500,                                       \
            .section = "retention", .help = "days that " what " are kept; 0: for ever"             \
    }

static const struct sm_setting settings[] = {
    {"listen", SM_SETTING_ADDRESS, TEXT(listen), .fallback = "127.0.0.1:8080",
     .help = "address:port; port 0 picks a free one and prints it"},
    {"admin-listen", SM_SETTING_LOOPBACK, TEXT(admin_listen), .fallback = "off", .choices = "off",
     .help = "loopback address:port or unix:/path that serves /metrics and nothing else"},
    {"metrics", SM_SETTING_CHOICE, TEXT(metrics), .fallback = "off", .choices = "on|off",
     .help = "whether the public listener serves /metrics"},
    {"pairs", SM_SETTING_PATH, TEXT(pairs), .fallback = "pairs", .help = "folder of pair folders"},
    {"db", SM_SETTING_PATH, TEXT(db), .fallback = "sslmem.db",
     .help = "SQLite file, created when missing"},
    {"kernels", SM_SETTING_CHOICE, TEXT(kernels), .fallback = "auto",
     .choices = "auto|ref|blas|avx2|avx512",
     .help = "which kernels run the encoders; auto: the fastest that the processor has"},
    {"sandbox", SM_SETTING_CHOICE, TEXT(sandbox), .fallback = "required", .choices = "required|off",
     .help = "images are decoded in locked-in processes, or not; required: start only with them"},
    {"workers", SM_SETTING_INT, FIELD(workers), "0", 0, 1024,
     .help = "threads that compute; 0: one per core that it may use"},
    {"http-threads", SM_SETTING_INT, FIELD(http_threads), "2", 1, 64,
     .help = "threads that serve HTTP"},
    {"data-root", SM_SETTING_PATH, TEXT(data_root), .fallback = "",
     .help = "folder whose files manifests of audits may name; none: manifests are refused"},
    {"digest-key", SM_SETTING_PATH, TEXT(digest_key), .fallback = "",
     .help = "file of 64 hex digits (mode 0600): the key under which reports name images, for "
             "several databases to agree; none: the database's own"},
    {"tls-cert", SM_SETTING_PATH, TEXT(tls_cert), .fallback = "",
     .help =
         "PEM file of the certificate and its chain: HTTPS in place of HTTP; none: HTTP. SIGHUP "
         "reads it again"},
    {"tls-key", SM_SETTING_PATH, TEXT(tls_key), .fallback = "",
     .help = "PEM file of its key, which only its owner may read. SIGHUP reads it again"},
    {"trusted-proxies", SM_SETTING_TEXTS, LIST(trusted_proxies), .fallback = "",
     .help = "addresses and networks (10.0.0.0/8) whose Forwarded headers are believed"},
    {"cors-origins", SM_SETTING_TEXTS, LIST(cors_origins), .fallback = "",
     .help = "origins (https://host) whose pages may use the service from a browser; none: CORS is "
             "off"},
    {"drain-delay-ms", SM_SETTING_INT, FIELD(drain_delay_ms), "0", 0, 3600000,
     .help =
         "after SIGTERM /readyz fails and all else is served for so long, for a balancer to see"},
    RETENTION("retention-scores-days", retention_scores_days, "scores that no audit has"),
    RETENTION("retention-jobs-days", retention_jobs_days, "jobs that have ended"),
    RETENTION("retention-thumbnails-days", retention_thumbnails_days,
              "thumbnails of audits that have ended"),
    RETENTION("retention-audits-days", retention_audits_days, "audits that have ended"),
    LIVE("body-bytes-max", body_bytes_max, "16777216", 1024, INT64_C(1) << 30,
         "longest request body"),
    LIVE("images-max", images_max, "64", 1, 1024, "images per request"),
    LIVE("queue-max", queue_max, "10000", 1, 10000000,
         "images queued or running, over which requests are refused"),
    LIMIT("queue-bytes-max", queue_bytes_max, "1073741824", 1, INT64_C(1) << 40,
          "bytes of these images, over which requests are refused"),
    LIVE("item-cost-ms-max", item_cost_ms_max, "300000", 1, INT64_C(1) << 40,
         "work of one image by its recipe, in ms of a reference core"),
    LIVE("request-cost-ms-max", request_cost_ms_max, "3600000", 1, INT64_C(1) << 40,
         "work of all images of a request"),
    LIVE("queue-cost-ms-max", queue_cost_ms_max, "36000000", 1, INT64_C(1) << 40,
         "work of the images queued or running, over which requests are refused"),
    LIVE("wait-default-ms", wait_default_ms, "10000", 0, 3600000,
         "wait for the score when the request does not say how long"),
    LIVE("wait-max-ms", wait_max_ms, "60000", 0, 3600000,
         "longest wait that a request may ask for"),
    LIMIT("connections-max", connections_max, "1024", 1, 1000000, "connections at once"),
    LIMIT("idle-timeout-s", idle_timeout_s, "30", 1, 86400,
          "seconds after which a silent connection is closed"),
    LIVE("archive-bytes-max", archive_bytes_max, "1073741824", 1024, INT64_C(1) << 40,
         "longest archive or manifest of an audit"),
    LIVE("audit-images-max", audit_images_max, "1000000", 1, 10000000, "images in an audit"),
    LIVE("connections-per-client-max", connections_per_client_max, "64", 1, 1000000,
         "connections at once of one address (IPv6: of a /64), and requests of one client behind a "
         "trusted proxy"),
    LIVE("streams-max", streams_max, "64", 1, 100000, "event streams at once"),
    LIVE("streams-per-client-max", streams_per_client_max, "16", 1, 100000,
         "event streams at once of one client"),
    LIVE("head-deadline-ms", head_deadline_ms, "10000", 100, 3600000,
         "for the handshake and head of a request, on top of idle-timeout-s"),
    LIVE("body-deadline-ms", body_deadline_ms, "120000", 100, 3600000,
         "from the headers of a request to the end of its body, and on top ..."),
    LIVE("body-rate-min-bytes-per-s", body_rate_min_bytes_per_s, "1048576", 1, INT64_C(1) << 40,
         "... its length at so many bytes per second"),
    LIMIT("drain-limit-ms", drain_limit_ms, "60000", 100, 86400000,
          "from the signal to the end of the process, forced if need be"),
    LIMIT("ready-disk-bytes", ready_disk_bytes, "268435456", 0, INT64_C(1) << 50,
          "room on the database's disk, below which /readyz fails"),
    LIMIT("heartbeat-max-s", heartbeat_max_s, "300", 1, 86400,
          "seconds within which every loop of the service must turn, or /livez fails"),
    LIMIT("idempotency-keep-s", idempotency_keep_s, "86400", 1, 2592000,
          "seconds for which answers to requests with an Idempotency-Key are kept"),
    LIMIT("idempotency-keys-max", idempotency_keys_max, "100000", 1, 10000000,
          "such answers at once, over which the oldest go earlier"),
    LIMIT("database-bytes-max", database_bytes_max, "1099511627776", 1 << 16, INT64_C(1) << 43,
          "size of the SQLite file, over which nothing is taken and audits pause"),
    LIMIT("disk-reserve-bytes", disk_reserve_bytes, "67108864", 1, INT64_C(1) << 50,
          "room on the database's disk that a body must leave"),
    LIMIT("auth-failures-max", auth_failures_max, "30", 1, 1000000,
          "requests without a good key, from an address in a minute"),
    {0},
};

static enum sm_code check_lists(const struct sm_config *config,
                                const struct sm_settings_sources *from, struct sm_err *err)
{
    struct sm_network network;
    if (!config->tls_cert[0] != !config->tls_key[0])
        return sm_err_set(err, SM_INVALID, "tls-%s is given without tls-%s",
                          config->tls_cert[0] ? "cert" : "key",
                          config->tls_cert[0] ? "key" : "cert");
    for (int i = 0; i < config->trusted_proxies.count; i++)
        if (!sm_network_parse(&network, config->trusted_proxies.items[i]))
            return sm_err_set(err, SM_INVALID,
                              "trusted-proxies (%.60s): %.60s is no address or network such as "
                              "10.0.0.0/8",
                              sm_settings_source(from, settings, FIELD(trusted_proxies)),
                              config->trusted_proxies.items[i]);
    for (int i = 0; i < config->cors_origins.count; i++)
        if (!sm_origin_valid(config->cors_origins.items[i]))
            return sm_err_set(err, SM_INVALID,
                              "cors-origins (%.60s): %.60s is no origin such as "
                              "https://host or http://host:8080, in lower case",
                              sm_settings_source(from, settings, FIELD(cors_origins)),
                              config->cors_origins.items[i]);
    return SM_OK;
}

enum sm_code sm_config_read(struct sm_config *out, enum sm_settings_action *action, int argc,
                            char **argv, struct sm_err *err)
{
    struct sm_config config = {0};
    struct sm_settings_sources from;
    *out = config;
    enum sm_code code = sm_settings_read(&config, &from, action, settings, argc, argv, err);
    if (code != SM_OK || *action == SM_SETTINGS_HELP)
        return code;
    if (config.wait_default_ms > config.wait_max_ms)
        return sm_err_set(
            err, SM_INVALID,
            "wait-default-ms (%.60s) is %" PRId64 ", more than wait-max-ms (%.60s), "
            "%" PRId64,
            sm_settings_source(&from, settings, FIELD(wait_default_ms)), config.wait_default_ms,
            sm_settings_source(&from, settings, FIELD(wait_max_ms)), config.wait_max_ms);
    if ((code = check_lists(&config, &from, err)) != SM_OK)
        return code;
    if (config.drain_delay_ms >= config.drain_limit_ms)
        return sm_err_set(
            err, SM_INVALID,
            "drain-delay-ms (%.60s) is %" PRId64 ", not less than drain-limit-ms (%.60s), "
            "%" PRId64,
            sm_settings_source(&from, settings, FIELD(drain_delay_ms)), config.drain_delay_ms,
            sm_settings_source(&from, settings, FIELD(drain_limit_ms)), config.drain_limit_ms);
    *out = config;
    return SM_OK;
}

enum sm_code sm_config_apply(struct sm_config *config, const struct sm_config *next,
                             json_t *changed, json_t *restart, struct sm_err *err)
{
    return sm_settings_apply(config, next, settings, changed, restart, err);
}

json_t *sm_config_json(const struct sm_config *config)
{
    return sm_settings_json(config, settings);
}

void sm_config_help(FILE *out)
{
    sm_settings_help(out, settings);
}

int sm_config_workers(const struct sm_config *config)
{
    return config->workers > 0 ? (int)config->workers : sm_process_cores();
}
