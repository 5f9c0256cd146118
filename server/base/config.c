/* The table of settings, and what is to hold between them. */
#include "server/base/config.h"

#include <inttypes.h>
#include <unistd.h>

#define FIELD(member) offsetof(struct sm_config, member)
#define TEXT(member)  FIELD(member), .max = sizeof((struct sm_config *)0)->member
#define LIMIT(name_, member, fallback_, min_, max_, help_)                                         \
    {                                                                                              \
        name_, SM_SETTING_INT, FIELD(member), fallback_, min_, max_, .section = "limits",          \
                                                                     .help = help_                 \
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
     .help = "loopback address:port that serves /metrics and nothing else"},
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
     .help = "threads that compute; 0: one per core"},
    {"http-threads", SM_SETTING_INT, FIELD(http_threads), "2", 1, 64,
     .help = "threads that serve HTTP"},
    {"data-root", SM_SETTING_PATH, TEXT(data_root), .fallback = "",
     .help = "folder whose files manifests of audits may name; none: manifests are refused"},
    {"digest-key", SM_SETTING_PATH, TEXT(digest_key), .fallback = "",
     .help = "file of 64 hex digits: the key under which reports name images, for several "
             "databases to agree; none: the database's own"},
    RETENTION("retention-scores-days", retention_scores_days, "scores that no audit has"),
    RETENTION("retention-jobs-days", retention_jobs_days, "jobs that have ended"),
    RETENTION("retention-thumbnails-days", retention_thumbnails_days,
              "thumbnails of audits that have ended"),
    RETENTION("retention-audits-days", retention_audits_days, "audits that have ended"),
    LIMIT("body-bytes-max", body_bytes_max, "16777216", 1024, INT64_C(1) << 30,
          "longest request body"),
    LIMIT("images-max", images_max, "64", 1, 1024, "images per request"),
    LIMIT("queue-max", queue_max, "10000", 1, 10000000,
          "images queued or running, over which requests are refused"),
    LIMIT("queue-bytes-max", queue_bytes_max, "1073741824", 1, INT64_C(1) << 40,
          "bytes of these images, over which requests are refused"),
    LIMIT("wait-default-ms", wait_default_ms, "10000", 0, 3600000,
          "wait for the score when the request does not say how long"),
    LIMIT("wait-max-ms", wait_max_ms, "60000", 0, 3600000,
          "longest wait that a request may ask for"),
    LIMIT("connections-max", connections_max, "1024", 1, 1000000, "connections at once"),
    LIMIT("idle-timeout-s", idle_timeout_s, "30", 1, 86400,
          "seconds after which a silent connection is closed"),
    LIMIT("archive-bytes-max", archive_bytes_max, "1073741824", 1024, INT64_C(1) << 40,
          "longest archive or manifest of an audit"),
    LIMIT("audit-images-max", audit_images_max, "1000000", 1, 10000000, "images in an audit"),
    LIMIT("database-bytes-max", database_bytes_max, "1099511627776", 1 << 16, INT64_C(1) << 43,
          "size of the SQLite file, over which nothing is taken and audits pause"),
    LIMIT("disk-reserve-bytes", disk_reserve_bytes, "67108864", 1, INT64_C(1) << 50,
          "room on the database's disk that a body must leave"),
    {0},
};

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
    *out = config;
    return SM_OK;
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
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (config->workers > 0)
        return (int)config->workers;
    return cores > 0 ? (int)cores : 1;
}
