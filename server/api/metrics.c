/* GET /metrics: the counters of server/base/metrics.h, and values read on demand: queue, store,
 * pairs, process. In OpenMetrics if the client accepts that, else in Prometheus' text format.
 *
 * The admin listener always serves metrics. The public one does so only with the setting `metrics`
 * on, because they reveal the load and the versions of the service. */
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/api/ready.h"
#include "server/base/metrics.h"
#include "server/base/process.h"
#include "server/base/pulse.h"
#include "server/http/spool.h"
#include "sslmem/version.h"

#define DIGEST_SHOWN   12
#define DECODER_EVENTS 5

struct samples {
    struct sm_metric_sample *rows;
    size_t count;
};

/* Appends a sample; the caller has allocated enough rows. */
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

static void put_pairs(struct samples *samples, const struct sm_pair_state *states, int count)
{
    int ready = 0;
    for (int i = 0; i < count; i++) {
        const struct sm_generation *generation = states[i].generation;
        if (!generation)
            continue;
        char digest[DIGEST_SHOWN + 1], number[24];
        struct sm_metric_sample *row = put(samples, SM_METRIC_PAIR, 1);
        snprintf(digest, sizeof digest, "%s", sm_pair_digest(sm_generation_pair(generation)));
        snprintf(number, sizeof number, "%lld", (long long)sm_generation_number(generation));
        put_label(row, 0, states[i].name);
        put_label(row, 1, digest);
        put_label(row, 2, number);
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

static void put_pulses(struct samples *samples)
{
    struct sm_pulse_age ages[SM_PULSE_LOOPS_MAX];
    int late, count = sm_pulses_ages(ages);
    for (int i = 0; i < count; i++)
        put_label(put(samples, SM_METRIC_HEARTBEAT, (double)ages[i].age_ms / 1000), 0,
                  ages[i].loop);
    sm_pulses_check(&late, NULL);
    put(samples, SM_METRIC_LATE, late);
}

static void put_decoders(struct samples *samples, struct sm_decoders *decoders)
{
    struct sm_decoders_counts counts;
    sm_decoders_counts(&counts, decoders);
    const struct {
        const char *event;
        uint64_t count;
    } rows[DECODER_EVENTS] = {{"started", counts.started},
                              {"crashed", counts.crashed},
                              {"timed_out", counts.timed_out},
                              {"recycled", counts.recycled},
                              {"refused", counts.refused}};

    for (size_t i = 0; i < DECODER_EVENTS; i++)
        put_label(put(samples, SM_METRIC_DECODERS, (double)rows[i].count), 0, rows[i].event);
}

static char *write_text(const struct samples *samples, enum sm_metrics_format format)
{
    char *text = NULL;
    size_t text_bytes;
    FILE *out = open_memstream(&text, &text_bytes);
    if (!out)
        return NULL;
    sm_metrics_write(out, format, samples->rows, samples->count);
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}

static void put_checks(struct samples *samples, struct sm_request *request)
{
    struct sm_ready_check checks[SM_READY_CHECKS];
    if (!sm_api_ready(checks, request))
        return;
    for (int i = 0; i < SM_READY_CHECKS; i++)
        put_label(put(samples, SM_METRIC_READY, checks[i].ok), 0, checks[i].name);
}

static char *render(struct sm_request *request, enum sm_metrics_format format)
{
    const struct sm_api *api = sm_api_of(request);
    char *text = NULL;
    struct sm_pair_state *states;
    struct sm_err err;
    int count;
    if (sm_pairs_list(&states, &count, api->pairs, NULL, &err) != SM_OK)
        return NULL;
    /* A row for each pair, decoder event, loop and check; the other rows are fewer than metrics. */
    size_t max =
        (size_t)count + DECODER_EVENTS + SM_PULSE_LOOPS_MAX + SM_READY_CHECKS + SM_METRIC_COUNT;
    struct samples samples = {.rows = calloc(max, sizeof *samples.rows)};
    if (samples.rows) {
        put(&samples, SM_METRIC_QUEUE, (double)sm_store_queued_count(api->store));
        put(&samples, SM_METRIC_QUEUE_MAX, (double)api->config->queue_max);
        put(&samples, SM_METRIC_QUEUE_BYTES, (double)sm_store_queued_bytes(api->store));
        put(&samples, SM_METRIC_QUEUE_BYTES_MAX, (double)api->config->queue_bytes_max);
        put(&samples, SM_METRIC_QUEUE_COST, (double)sm_store_queued_cost_ms(api->store) / 1000);
        put(&samples, SM_METRIC_QUEUE_COST_MAX, (double)api->config->queue_cost_ms_max / 1000);
        put(&samples, SM_METRIC_STORE, sm_jobs_check_store(api->jobs, NULL) == SM_OK);
        put(&samples, SM_METRIC_WAL, (double)sm_store_wal_bytes(api->store));
        put(&samples, SM_METRIC_DB_FILE, (double)sm_store_file_bytes(api->store));
        put(&samples, SM_METRIC_DISK_FREE, (double)sm_spool_free(api->spool));
        put_pulses(&samples);
        put_checks(&samples, request);
        put_decoders(&samples, api->decoders);
        put_pairs(&samples, states, count);
        put_process(&samples, api);
        text = write_text(&samples, format);
    }
    free(samples.rows);
    sm_pairs_list_free(states, count);
    return text;
}

void sm_api_metrics(struct sm_request *request)
{
    const char *accept = sm_request_header(request, "Accept");
    bool open = accept && strcasestr(accept, "application/openmetrics-text");
    enum sm_metrics_format format = open ? SM_METRICS_OPENMETRICS : SM_METRICS_PROMETHEUS;
    sm_reply_text(request, 200, sm_metrics_media_types[format], render(request, format));
    sm_reply_header(request, "Cache-Control", "no-store");
}

void sm_api_public_metrics(struct sm_request *request)
{
    if (strcmp(sm_api_of(request)->config->metrics, "on") == 0)
        sm_api_metrics(request);
    else
        sm_reply_problem(request, SM_PROBLEM_ROUTE_UNKNOWN,
                         "metrics are not served here; see --metrics and --admin-listen");
}
