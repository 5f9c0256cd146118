/* A series is a block of atomic numbers: a single one, or for a histogram its buckets, the overflow
 * bucket and the sum. All series of a metric are in one array. A series' index has one digit per
 * label, the index of the label's value; the last value of each label is "other". A histogram's
 * count is the sum of its buckets, so the two never disagree.
 *
 * Series of metrics with at most one label are written even at 0, so that a rate sees their first
 * event. Series of several labels, or with the value "other", are written once they have counted
 * something. */
#include "server/base/metrics.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define OTHER       "other"
#define LABEL_BYTES 16 /* bytes of a label's name and its NUL */

enum kind { COUNTER, GAUGE, HISTOGRAM, INFO, SAMPLE, COUNTER_SAMPLE };

static const struct metric {
    enum kind kind;
    const char *name, *unit, *labels, *help;
} table[] = {
#define ROW(NAME, kind, name, unit, labels, help) {kind, name, unit, labels, help},
    SM_METRICS(ROW)
#undef ROW
};

static const struct {
    const char *prometheus, *openmetrics, *suffix; /* suffix: of sample names in OpenMetrics */
} kinds[] = {
    [COUNTER] = {"counter", "counter", "_total"},
    [GAUGE] = {"gauge", "gauge", ""},
    [HISTOGRAM] = {"histogram", "histogram", ""},
    [INFO] = {"gauge", "info", "_info"},
    [SAMPLE] = {"gauge", "gauge", ""},
    [COUNTER_SAMPLE] = {"counter", "counter", "_total"},
};

/* Upper bounds of the buckets: from a refusal on the headers to an image that takes a minute. */
static const int64_t bounds_us[] = {100,     250,     500,     1000,     2500,     5000,
                                    10000,   25000,   50000,   100000,   250000,   500000,
                                    1000000, 2500000, 5000000, 10000000, 30000000, 60000000};
enum { BOUNDS = sizeof bounds_us / sizeof *bounds_us, HISTOGRAM_CELLS = BOUNDS + 2 };

static const char *const methods[] = {"GET",    "HEAD",  "POST",    "PUT",
                                      "DELETE", "PATCH", "OPTIONS", NULL};
static const char *const statuses[] = {"1xx", "2xx", "3xx", "4xx", "5xx", NULL};
static const char *const states[] = {"computed", "history", "failed", NULL};
static const char *const causes[] = {"client_limit", "head_deadline", "body_deadline", "parameters",
                                     NULL};
static const char *const failures[] = {"missing", "unknown", "wrong",   "revoked",
                                       "expired", "scope",   "limited", NULL};
static const char *const outcomes[] = {"queued", "failed", NULL};
static const char *const tables[] = {"thumbnails", "audits", "jobs", "scores", NULL};
static const char *reasons[SM_INTERNAL + 1]; /* names of the codes after SM_OK; set at the start */

enum { ROUTES, PROBLEMS }; /* sm_metrics_start fills in the values of these sets */
static struct set {
    const char *label;
    const char *const *values; /* NULL-terminated, without repetitions */
} sets[] = {
    [ROUTES] = {"route"},  [PROBLEMS] = {"code"}, {"method", methods},   {"status", statuses},
    {"reason", reasons},   {"state", states},     {"outcome", outcomes}, {"cause", causes},
    {"failure", failures}, {"table", tables},
};
enum { SETS = sizeof sets / sizeof *sets };

static atomic_llong *cells[SM_METRIC_COUNT]; /* the numbers of each metric; NULL before the start */

/* --- series --- */

/* Splits the label names of a metric, in order; returns their number. */
static int split_labels(char names[SM_METRIC_LABELS_MAX][LABEL_BYTES], const struct metric *metric)
{
    int count = 0;
    for (const char *at = metric->labels; *at; count++) {
        size_t length = strcspn(at, " ");
        memcpy(names[count], at, length);
        names[count][length] = '\0';
        at += length + (at[length] == ' ');
    }
    return count;
}

static const struct set *find_set(const char *label)
{
    int i = 0;
    while (i < SETS && strcmp(sets[i].label, label) != 0)
        i++;
    return i < SETS ? &sets[i] : NULL;
}

static size_t values_count(const struct set *set)
{
    size_t count = 0;
    while (set->values[count])
        count++;
    return count + 1; /* one more for the value "other" */
}

static size_t value_index(const struct set *set, const char *value)
{
    size_t i = 0;
    while (set->values[i] && (!value || strcmp(set->values[i], value) != 0))
        i++;
    return i;
}

static bool has_cells(const struct metric *metric)
{
    return metric->kind == COUNTER || metric->kind == GAUGE || metric->kind == HISTOGRAM;
}

static size_t cells_of(const struct metric *metric)
{
    return metric->kind == HISTOGRAM ? HISTOGRAM_CELLS : 1;
}

static size_t series_count(const struct metric *metric)
{
    char names[SM_METRIC_LABELS_MAX][LABEL_BYTES];
    int labels = split_labels(names, metric);
    size_t count = 1;
    for (int i = 0; i < labels; i++)
        count *= values_count(find_set(names[i]));
    return count;
}

/* Returns the first cell of the series with these label values; NULL before the start. */
static atomic_llong *find_cells(enum sm_metric metric, const char *const values[])
{
    char names[SM_METRIC_LABELS_MAX][LABEL_BYTES];
    if (!cells[metric])
        return NULL;
    int labels = split_labels(names, &table[metric]);
    size_t series = 0;
    for (int i = 0; i < labels; i++) {
        const struct set *set = find_set(names[i]);
        series = series * values_count(set) + value_index(set, values[i]);
    }
    return cells[metric] + series * cells_of(&table[metric]);
}

static void add(atomic_llong *cell, int64_t delta)
{
    atomic_fetch_add_explicit(cell, delta, memory_order_relaxed);
}

void sm_metric_add(enum sm_metric metric, int64_t delta, const char *label)
{
    atomic_llong *cell = find_cells(metric, &label);
    if (cell)
        add(cell, delta);
}

void sm_metric_observe(enum sm_metric metric, int64_t us, const char *a, const char *b,
                       const char *c)
{
    const char *const values[] = {a, b, c};
    atomic_llong *cell = find_cells(metric, values);
    int bucket = 0;
    if (!cell)
        return;
    while (bucket < BOUNDS && us > bounds_us[bucket])
        bucket++;
    add(cell + bucket, 1);
    add(cell + BOUNDS + 1, us);
}

/* --- start and stop --- */

/* Returns a copy of the set without repetitions, which the caller frees; NULL: out of memory. */
static const char *const *unique(const char *const *values)
{
    size_t count = 0, kept = 0;
    while (values[count])
        count++;
    const char **out = calloc(count + 1, sizeof *out);
    for (size_t i = 0; out && i < count; i++) {
        size_t j = 0;
        while (j < kept && strcmp(out[j], values[i]) != 0)
            j++;
        out[j] = values[i];
        kept += j == kept;
    }
    return out;
}

enum sm_code sm_metrics_start(const struct sm_metrics_sets *brought, struct sm_err *err)
{
    bool whole = (sets[ROUTES].values = unique(brought->routes)) &&
                 (sets[PROBLEMS].values = unique(brought->problems));
    for (int code = SM_OK + 1; code <= SM_INTERNAL; code++)
        reasons[code - 1] = sm_code_name(code);
    for (int i = 0; whole && i < SM_METRIC_COUNT; i++)
        if (has_cells(&table[i])) {
            cells[i] = calloc(series_count(&table[i]) * cells_of(&table[i]), sizeof *cells[i]);
            whole = cells[i] != NULL;
        }
    if (whole)
        return SM_OK;
    sm_metrics_stop();
    return sm_err_set(err, SM_NOMEM, "metrics: out of memory");
}

void sm_metrics_stop(void)
{
    for (int i = 0; i < SM_METRIC_COUNT; i++) {
        free(cells[i]);
        cells[i] = NULL;
    }
    for (int i = ROUTES; i <= PROBLEMS; i++) {
        free((void *)(uintptr_t)sets[i].values);
        sets[i].values = NULL;
    }
}

/* --- text --- */

const char *const sm_metrics_media_types[] = {
    [SM_METRICS_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
    [SM_METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

static void write_label(FILE *out, const char *name, const char *value, bool first)
{
    fprintf(out, "%s%s=\"", first ? "" : ",", name);
    for (; *value; value++)
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    fputc('"', out);
}

/* Appends `more` ("_bucket") to the name and adds a label `le`; either may be NULL. */
static void write_sample(FILE *out, const struct metric *metric, const char *more,
                         const char *const *values, const char *le, double value)
{
    char names[SM_METRIC_LABELS_MAX][LABEL_BYTES];
    int labels = split_labels(names, metric);
    fprintf(out, "%s%s", metric->name, more ? more : "");
    if (labels > 0 || le)
        fputc('{', out);
    for (int i = 0; i < labels; i++)
        write_label(out, names[i], values[i], i == 0);
    if (le)
        write_label(out, "le", le, labels == 0);
    fprintf(out, "%s %.15g\n", labels > 0 || le ? "}" : "", value);
}

static void write_histogram(FILE *out, const struct metric *metric, const char *const *values,
                            const atomic_llong *cell)
{
    long long count = 0;
    char le[24];
    for (int i = 0; i <= BOUNDS; i++) {
        count += atomic_load_explicit(&cell[i], memory_order_relaxed);
        if (i == BOUNDS)
            snprintf(le, sizeof le, "+Inf");
        else if (bounds_us[i] % 1000000 == 0)
            snprintf(le, sizeof le, "%.1f", (double)bounds_us[i] / 1e6);
        else
            snprintf(le, sizeof le, "%.6g", (double)bounds_us[i] / 1e6);
        write_sample(out, metric, "_bucket", values, le, (double)count);
    }
    long long sum_us = atomic_load_explicit(&cell[BOUNDS + 1], memory_order_relaxed);
    write_sample(out, metric, "_sum", values, NULL, (double)sum_us / 1e6);
    write_sample(out, metric, "_count", values, NULL, (double)count);
}

static bool touched(const atomic_llong *cell, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (atomic_load_explicit(&cell[i], memory_order_relaxed) != 0)
            return true;
    return false;
}

static void write_cells(FILE *out, enum sm_metric id)
{
    const struct metric *metric = &table[id];
    char names[SM_METRIC_LABELS_MAX][LABEL_BYTES];
    const char *values[SM_METRIC_LABELS_MAX];
    int labels = split_labels(names, metric);
    size_t count = cells[id] ? series_count(metric) : 0, width = cells_of(metric);
    for (size_t series = 0; series < count; series++) {
        const atomic_llong *cell = cells[id] + series * width;
        bool odd = false; /* a label has the value "other" */
        size_t rest = series;
        for (int i = labels - 1; i >= 0; i--) {
            const struct set *set = find_set(names[i]);
            size_t index = rest % values_count(set);
            rest /= values_count(set);
            values[i] = set->values[index] ? set->values[index] : OTHER;
            odd |= !set->values[index];
        }
        if ((labels > 1 || odd) && !touched(cell, width))
            continue;
        if (metric->kind == HISTOGRAM)
            write_histogram(out, metric, values, cell);
        else
            write_sample(out, metric, NULL, values, NULL,
                         (double)atomic_load_explicit(cell, memory_order_relaxed));
    }
}

static void write_head(FILE *out, const struct metric *metric, enum sm_metrics_format format)
{
    int length = (int)strlen(metric->name);
    bool open = format == SM_METRICS_OPENMETRICS;
    if (open) /* the suffix is part of a sample's name, not of the family's */
        length -= (int)strlen(kinds[metric->kind].suffix);
    fprintf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", length, metric->name, metric->help, length,
            metric->name, open ? kinds[metric->kind].openmetrics : kinds[metric->kind].prometheus);
    if (open && *metric->unit)
        fprintf(out, "# UNIT %.*s %s\n", length, metric->name, metric->unit);
}

void sm_metrics_write(FILE *out, enum sm_metrics_format format,
                      const struct sm_metric_sample *samples, size_t samples_count)
{
    for (int id = 0; id < SM_METRIC_COUNT; id++) {
        write_head(out, &table[id], format);
        if (has_cells(&table[id]))
            write_cells(out, id);
        for (size_t i = 0; i < samples_count; i++) {
            const char *values[SM_METRIC_LABELS_MAX];
            for (int k = 0; k < SM_METRIC_LABELS_MAX; k++)
                values[k] = samples[i].labels[k];
            if ((int)samples[i].metric == id)
                write_sample(out, &table[id], NULL, values, NULL, samples[i].value);
        }
    }
    if (format == SM_METRICS_OPENMETRICS)
        fputs("# EOF\n", out);
}

void sm_metrics_describe(FILE *out)
{
    fputs("| name | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n", out);
    for (const struct metric *m = table; m < table + SM_METRIC_COUNT; m++)
        fprintf(out, "| `%s` | %s | %s | %s | %s |\n", m->name, kinds[m->kind].openmetrics, m->unit,
                m->labels, m->help);
}
