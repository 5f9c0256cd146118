/* Metrics: one table defines each metric's kind, name, unit and labels.
 *
 *     sm_metrics_start(&(struct sm_metrics_sets){.routes = …, .problems = …}, &err);
 *     sm_metric_add(SM_METRIC_ITEMS, 1, "computed");
 *     sm_metric_observe(SM_METRIC_COMMIT, us, NULL, NULL, NULL);
 *
 * A label has a closed set of values. Any other value counts as "other", so a client cannot create
 * series. Values that can be read at any time (the queue, memory, the pairs) are not counted here:
 * the caller of sm_metrics_write passes them as samples.
 *
 * Owner:   the process has one set of numbers, as it has one log.
 * Threads: add and observe from any thread; each does a few atomic additions without a lock, so
 *          text written meanwhile may include a request's count but not yet its sum. Call start
 *          before other threads exist; nothing is counted before it.
 * Cost:    a linear search of the set for each label; 8 bytes per number. */
#ifndef SERVER_BASE_METRICS_H
#define SERVER_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

/* X(NAME, KIND, "name", "unit", "labels", "help"). As OpenMetrics requires, a name ends with its
 * unit, if it has one, and a counter's name has _total after that. */
#define SM_METRICS(X)                                                                              \
    X(HTTP, HISTOGRAM, "sslmem_http_request_duration_seconds", "seconds", "route method status",   \
      "Requests by route template, from their headers to the end of the answer, waits included")   \
    X(HTTP_NOW, GAUGE, "sslmem_http_requests_in_progress", "", "", "Requests under way")           \
    X(CONNECTIONS, GAUGE, "sslmem_http_connections", "", "", "Connections that are open")          \
    X(CUTS, COUNTER, "sslmem_http_connections_cut_total", "", "cause",                             \
      "Connections closed because their client has too many, sends its request too slowly, or "    \
      "sends too many query parameters")                                                           \
    X(CERTIFICATE, GAUGE, "sslmem_tls_certificate_expiry_seconds", "seconds", "",                  \
      "When the certificate expires, Unix time; 0 without TLS")                                    \
    X(PROBLEMS, COUNTER, "sslmem_http_problems_total", "", "code",                                 \
      "Answers that were a problem document, by its code")                                         \
    X(AUTH_FAILURES, COUNTER, "sslmem_auth_failures_total", "", "failure",                         \
      "Requests without a good key, by what was wrong with it; limited: with too many of them, "   \
      "scope: the key was good and may not do that")                                               \
    X(QUEUE, SAMPLE, "sslmem_queue_items", "", "", "Images queued or running, audits left out")    \
    X(QUEUE_MAX, SAMPLE, "sslmem_queue_items_max", "", "",                                         \
      "Images queued or running, audits left out, over which requests are refused")                \
    X(QUEUE_BYTES, SAMPLE, "sslmem_queue_bytes", "bytes", "", "Bytes of these images")             \
    X(QUEUE_BYTES_MAX, SAMPLE, "sslmem_queue_max_bytes", "bytes", "",                              \
      "Bytes of these images, over which requests are refused")                                    \
    X(QUEUE_COST, SAMPLE, "sslmem_queue_cost_seconds", "seconds", "",                              \
      "Work of these images on a reference core")                                                  \
    X(QUEUE_COST_MAX, SAMPLE, "sslmem_queue_cost_max_seconds", "seconds", "",                      \
      "Work over which requests are refused")                                                      \
    X(WAIT, HISTOGRAM, "sslmem_queue_wait_seconds", "seconds", "",                                 \
      "From the admission of an image to the worker that takes it, audits left out")               \
    X(DECODE, HISTOGRAM, "sslmem_image_decode_seconds", "seconds", "",                             \
      "Decoding of an image to pixels")                                                            \
    X(DECODERS, COUNTER_SAMPLE, "sslmem_decoder_events_total", "", "event",                        \
      "Decoder processes: started, crashed on an image, timed_out, recycled, and refused starts")  \
    X(ENCODE, HISTOGRAM, "sslmem_encode_unit_seconds", "seconds", "",                              \
      "One encoder on one chunk of the views of an image")                                         \
    X(COMMIT, HISTOGRAM, "sslmem_db_commit_seconds", "seconds", "",                                \
      "One transaction with all writes that were waiting for it")                                  \
    X(WRITES, COUNTER, "sslmem_db_writes_total", "", "",                                           \
      "Writes in these transactions; by their number: the size of a group")                        \
    X(ITEMS, COUNTER, "sslmem_items_finished_total", "", "state",                                  \
      "Images that a worker finished: computed, found in history, or failed")                      \
    X(FAILURES, COUNTER, "sslmem_item_failures_total", "", "reason",                               \
      "Images that failed, by the code that their item stores")                                    \
    X(LEASES, COUNTER, "sslmem_leases_expired_total", "", "outcome",                               \
      "Images whose worker was lost: queued again, or failed after too many tries")                \
    X(EXPIRED, COUNTER, "sslmem_expired_rows_total", "", "table",                                  \
      "What was older than its retention period and was deleted")                                  \
    X(STORE, SAMPLE, "sslmem_store_healthy", "", "",                                               \
      "1 when the last commit succeeded, no result waits and the files are in place, else 0")      \
    X(WAL, SAMPLE, "sslmem_db_wal_bytes", "bytes", "", "Size of SQLite's write-ahead log")         \
    X(HEARTBEAT, SAMPLE, "sslmem_heartbeat_age_seconds", "seconds", "loop",                        \
      "Since the last turn of the slowest loop of each kind")                                      \
    X(LATE, SAMPLE, "sslmem_loops_late", "", "",                                                   \
      "Loops that have not turned within their bound; then GET /livez fails and names one")        \
    X(DB_FILE, SAMPLE, "sslmem_db_file_bytes", "bytes", "", "Size of the database's file")         \
    X(DISK_FREE, SAMPLE, "sslmem_disk_free_bytes", "bytes", "",                                    \
      "Room on the disk of the database; bodies that leave less than the reserve are refused")     \
    X(READY, SAMPLE, "sslmem_ready", "", "check", "1 for each check of GET /readyz that passes")   \
    X(PAIRS, SAMPLE, "sslmem_pairs", "", "state", "Pairs of the pairs folder, ready or failed")    \
    X(PAIR, INFO, "sslmem_pair_info", "", "pair digest generation",                                \
      "Each pair that is ready: the first 12 digits of its digest, and the number of its load")    \
    X(BUILD, INFO, "sslmem_build_info", "", "version method kernels blas",                         \
      "What this process is made of")                                                              \
    X(STARTED, SAMPLE, "process_start_time_seconds", "seconds", "",                                \
      "When the process began, Unix time")                                                         \
    X(CPU, COUNTER_SAMPLE, "process_cpu_seconds_total", "seconds", "",                             \
      "Time on processors, user and system")                                                       \
    X(MEMORY, SAMPLE, "process_resident_memory_bytes", "bytes", "", "Memory that is in use")       \
    X(FDS, SAMPLE, "process_open_fds", "", "", "File descriptors that are open")                   \
    X(FDS_MAX, SAMPLE, "process_max_fds", "", "", "File descriptors that may be open")

#define SM_METRIC_ENUM(NAME, kind, name, unit, labels, help) SM_METRIC_##NAME,
enum sm_metric { SM_METRICS(SM_METRIC_ENUM) SM_METRIC_COUNT };

/* Label values that only higher floors know: NULL-terminated static texts, repetitions allowed. */
struct sm_metrics_sets {
    const char *const *routes, *const *problems;
};
enum sm_code sm_metrics_start(const struct sm_metrics_sets *sets, struct sm_err *err);
void sm_metrics_stop(void); /* call it after all other threads have ended */

/* Adds to a counter or gauge with at most one label; `label` is its value, NULL without a label. */
void sm_metric_add(enum sm_metric metric, int64_t delta, const char *label);
/* Adds a duration in microseconds to a histogram; a, b, c: the values of its labels, else NULL. */
void sm_metric_observe(enum sm_metric metric, int64_t us, const char *a, const char *b,
                       const char *c);

#define SM_METRIC_LABELS_MAX  4
#define SM_METRIC_LABEL_BYTES 96

/* A number that the caller of sm_metrics_write has just read. */
struct sm_metric_sample {
    enum sm_metric metric;
    double value;
    char labels[SM_METRIC_LABELS_MAX][SM_METRIC_LABEL_BYTES];
};

enum sm_metrics_format { SM_METRICS_PROMETHEUS, SM_METRICS_OPENMETRICS };
extern const char *const sm_metrics_media_types[];
/* Writes all metrics in the order of the table, as Prometheus text 0.0.4 or OpenMetrics 1.0. */
void sm_metrics_write(FILE *out, enum sm_metrics_format format,
                      const struct sm_metric_sample *samples, size_t samples_count);
/* Writes the documentation: a Markdown table with a row for each metric. */
void sm_metrics_describe(FILE *out);

#endif
