/* GET /metrics: what is counted (server/base/metrics.h), and what is read now: queue, store, pairs,
 * process. OpenMetrics for who accepts it, else Prometheus' text.
 *
 * The admin listener always serves it, the public one only with `metrics` on: it says how busy the
 * service is and what it is made of. */
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/metrics.h"
#include "server/base/process.h"
#include "server/http/spool.h"
#include "sslmem/version.h"

#define DIGEST_SHOWN 12

struct samples {
    struct sm_metric_sample *rows;
    size_t count;
};

/* The caller made room. */
static struct sm_metric_sample *put(struct samples *samples, enum sm_metric metric, double value)
{
    struct sm_metric_sample *row = &samples->rows[samples->count++];

    *row = (struct sm_metric_sample){.metric = metric, .value = value};
    return row;
}

static void put_label(struct sm_metric_sample *row, int index, const char *text)
{
    snprintf(row->labels[index], sizeof row->labels[index], "%s", text);
    sm_make_ascii(row->labels[index]);
}

static void put_pairs(struct samples *samples, const struct sm_pairs *pairs)
{
    int count = sm_pairs_count(pairs), ready = 0;

    for (int i = 0; i < count; i++) {
        const struct sm_pair *pair = sm_pairs_at(pairs, i, NULL);
        if (pair == NULL)
            continue;
        char digest[DIGEST_SHOWN + 1];
        struct sm_metric_sample *row = put(samples, SM_METRIC_PAIR, 1);
        snprintf(digest, sizeof digest, "%s", sm_pair_digest(pair));
        put_label(row, 0, sm_pairs_name(pairs, i));
        put_label(row, 1, digest);
        ready++;
    }
    put_label(put(samples, SM_METRIC_PAIRS, ready), 0, "ready");
    put_label(put(samples, SM_METRIC_PAIRS, count - ready), 0, "failed");
}

static void put_process(struct samples *samples, const struct sm_api *api)
{
    struct sm_process process;
    struct sm_metric_sample *build = put(samples, SM_METRIC_BUILD, 1);

    put_label(build, 0, SM_VERSION);
    put_label(build, 1, SM_METHOD);
    put_label(build, 2, sm_kernels_find(api->config->kernels));
    put_label(build, 3, sm_blas_version());
    sm_process_read(&process);
    put(samples, SM_METRIC_STARTED, (double)api->started_ms / 1000);
    put(samples, SM_METRIC_CPU, process.cpu_seconds);
    put(samples, SM_METRIC_MEMORY, (double)process.resident_bytes);
    put(samples, SM_METRIC_FDS, (double)process.fds_count);
    put(samples, SM_METRIC_FDS_MAX, (double)process.fds_max);
}

static char *render(const struct sm_api *api, enum sm_metrics_format format)
{
    char *text = NULL;
    size_t text_bytes;
    /* one a pair, and fewer than one more for each metric */
    size_t max = (size_t)sm_pairs_count(api->pairs) + SM_METRIC_COUNT;
    struct samples samples = {.rows = calloc(max, sizeof *samples.rows)};
    FILE *out = samples.rows == NULL ? NULL : open_memstream(&text, &text_bytes);

    if (out == NULL) {
        free(samples.rows);
        return NULL;
    }
    put(&samples, SM_METRIC_QUEUE, (double)sm_store_queued_count(api->store));
    put(&samples, SM_METRIC_QUEUE_MAX, (double)api->config->queue_max);
    put(&samples, SM_METRIC_QUEUE_BYTES, (double)sm_store_queued_bytes(api->store));
    put(&samples, SM_METRIC_QUEUE_BYTES_MAX, (double)api->config->queue_bytes_max);
    put(&samples, SM_METRIC_STORE, sm_store_healthy(api->store));
    put(&samples, SM_METRIC_WAL, (double)sm_store_wal_bytes(api->store));
    put(&samples, SM_METRIC_DB_FILE, (double)sm_store_file_bytes(api->store));
    put(&samples, SM_METRIC_DISK_FREE, (double)sm_spool_free(api->spool));
    put_pairs(&samples, api->pairs);
    put_process(&samples, api);
    sm_metrics_write(out, format, samples.rows, samples.count);
    free(samples.rows);
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}

void sm_api_metrics(struct sm_request *request)
{
    const char *accept = sm_request_header(request, "Accept");
    bool open = accept != NULL && strcasestr(accept, "application/openmetrics-text") != NULL;
    enum sm_metrics_format format = open ? SM_METRICS_OPENMETRICS : SM_METRICS_PROMETHEUS;

    sm_reply_text(request, 200, sm_metrics_media_types[format], render(sm_api_of(request), format));
}

void sm_api_public_metrics(struct sm_request *request)
{
    if (strcmp(sm_api_of(request)->config->metrics, "on") == 0)
        sm_api_metrics(request);
    else
        sm_reply_problem(request, SM_PROBLEM_ROUTE_UNKNOWN,
                         "metrics are not served here; see --metrics and --admin-listen");
}
