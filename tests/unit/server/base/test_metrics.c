/* Metrics without a server: closed sets, exact sums from many threads, the text of both formats, what
 * a label's value may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/metrics.h"

#define THREADS 4
#define ROUNDS  20000

static const char *const routes[] = {"/a", "/b/{id}", "/a", NULL};
static const char *const problems[] = {"internal", "busy", NULL};

static int start(void **state)
{
    struct sm_err err;
    (void)state;
    return sm_metrics_start(&(struct sm_metrics_sets){routes, problems}, &err) == SM_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    sm_metrics_stop();
    return 0;
}

static char *text_of(enum sm_metrics_format format, const struct sm_metric_sample *samples,
                     size_t samples_count)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    sm_metrics_write(out, format, samples, samples_count);
    fclose(out);
    return text;
}

static void expect(enum sm_metrics_format format, const struct sm_metric_sample *samples,
                   size_t samples_count, const char *line)
{
    char *text = text_of(format, samples, samples_count);
    if (!strstr(text, line))
        fail_msg("no '%s' in:\n%s", line, text);
    free(text);
}

static void *count_much(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        sm_metric_add(SM_METRIC_WRITES, 1, NULL);
        sm_metric_add(SM_METRIC_ITEMS, 1, i % 2 ? "computed" : "history");
        sm_metric_observe(SM_METRIC_HTTP, i % 2 ? 100 : 101, "/a", "GET", "2xx");
    }
    return arg;
}

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect(SM_METRICS_PROMETHEUS, NULL, 0, "\nsslmem_db_writes_total 80000\n");
    expect(SM_METRICS_PROMETHEUS, NULL, 0,
           "\nsslmem_items_finished_total{state=\"computed\"} 40000\n"
           "sslmem_items_finished_total{state=\"history\"} 40000\n"
           "sslmem_items_finished_total{state=\"failed\"} 0\n");
#define SERIES "{route=\"/a\",method=\"GET\",status=\"2xx\""
#define HTTP   "sslmem_http_request_duration_seconds"
    /* a bound belongs to its bucket */
    expect(SM_METRICS_PROMETHEUS, NULL, 0,
           "\n" HTTP "_bucket" SERIES ",le=\"0.0001\"} 40000\n" HTTP "_bucket" SERIES
           ",le=\"0.00025\"} 80000\n");
    expect(SM_METRICS_PROMETHEUS, NULL, 0,
           "\n" HTTP "_bucket" SERIES ",le=\"+Inf\"} 80000\n" HTTP "_sum" SERIES "} 8.04\n" HTTP
           "_count" SERIES "} 80000\n");
}

static void unknown_values_are_other(void **state)
{
    (void)state;
    sm_metric_observe(SM_METRIC_HTTP, 60000001, "/etc/passwd", "BREW", "0xx");
    sm_metric_add(SM_METRIC_PROBLEMS, 1, "x\"} 1\n");
    char *text = text_of(SM_METRICS_PROMETHEUS, NULL, 0);
    assert_null(strstr(text, "passwd"));
    assert_null(strstr(text, "BREW"));
    assert_non_null(strstr(
        text, HTTP "_bucket{route=\"other\",method=\"other\",status=\"other\",le=\"60.0\"} 0\n" HTTP
                   "_bucket{route=\"other\",method=\"other\",status=\"other\",le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(text, "sslmem_http_problems_total{code=\"internal\"} 0\n"
                                 "sslmem_http_problems_total{code=\"busy\"} 0\n"
                                 "sslmem_http_problems_total{code=\"other\"} 1\n"));
    assert_null(strstr(text, "/b/{id}")); /* has not happened */
    free(text);
}

static void names_fit_the_format(void **state)
{
    (void)state;
    expect(SM_METRICS_PROMETHEUS, NULL, 0,
           "# TYPE sslmem_db_writes_total counter\nsslmem_db_writes_total 0\n");
    expect(SM_METRICS_OPENMETRICS, NULL, 0,
           "# TYPE sslmem_db_writes counter\nsslmem_db_writes_total 0\n");
    expect(SM_METRICS_OPENMETRICS, NULL, 0,
           "# TYPE sslmem_db_commit_seconds histogram\n# UNIT sslmem_db_commit_seconds seconds\n");
    char *text = text_of(SM_METRICS_OPENMETRICS, NULL, 0);
    assert_string_equal(text + strlen(text) - 7, "\n# EOF\n");
    free(text);
}

static void samples_are_escaped(void **state)
{
    (void)state;
    const struct sm_metric_sample samples[] = {
        {SM_METRIC_PAIR, 1, {"a\"b\\c\nd", "0123", "7"}},
        {SM_METRIC_QUEUE, 12.5, {""}},
    };
    expect(SM_METRICS_PROMETHEUS, samples, 2,
           "\nsslmem_pair_info{pair=\"a\\\"b\\\\c\\nd\",digest=\"0123\",generation=\"7\"} 1\n");
    expect(SM_METRICS_OPENMETRICS, samples, 2,
           "# TYPE sslmem_pair "
           "info\nsslmem_pair_info{pair=\"a\\\"b\\\\c\\nd\",digest=\"0123\",generation=\"7\"} 1\n");
    expect(SM_METRICS_PROMETHEUS, samples, 2, "\nsslmem_queue_items 12.5\n");
}

static void gauges_go_down(void **state)
{
    (void)state;
    sm_metric_add(SM_METRIC_HTTP_NOW, 3, NULL);
    sm_metric_add(SM_METRIC_HTTP_NOW, -1, NULL);
    expect(SM_METRICS_PROMETHEUS, NULL, 0, "\nsslmem_http_requests_in_progress 2\n");
}

static void before_the_start_nothing_is_counted(void **state)
{
    (void)state;
    sm_metric_add(SM_METRIC_ITEMS, 1, "computed");
    sm_metric_observe(SM_METRIC_HTTP, 1, "/a", "GET", "2xx");
    char *text = text_of(SM_METRICS_PROMETHEUS, NULL, 0);
    assert_null(strchr(text, '{'));
    free(text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_start_nothing_is_counted),
        cmocka_unit_test_setup_teardown(nothing_is_lost_between_threads, start, stop),
        cmocka_unit_test_setup_teardown(unknown_values_are_other, start, stop),
        cmocka_unit_test_setup_teardown(names_fit_the_format, start, stop),
        cmocka_unit_test_setup_teardown(samples_are_escaped, start, stop),
        cmocka_unit_test_setup_teardown(gauges_go_down, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
