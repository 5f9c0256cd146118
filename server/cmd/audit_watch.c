/* Stop signals, and the result in words.
 *
 * Between two looks at the audit the main thread sleeps on a pipe. The signal handler only sets a
 * flag and writes to that pipe, which wakes the main thread at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "server/cmd/audit.h"
#include "server/ingest/ingest.h"

#define SKIPPED_SHOWN 5

/* --- signals --- */

atomic_bool sm_stop_asked;
static volatile sig_atomic_t stop_signal;
static int stop_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int saved = errno;
    stop_signal = number;
    atomic_store(&sm_stop_asked, true);
    ssize_t written = write(stop_pipe[1], "", 1);
    (void)written; /* a full pipe wakes the reader too */
    errno = saved;
}

void sm_stop_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        stop_pipe[0] = stop_pipe[1] = -1; /* a stop is then noticed when the sleep ends */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int sm_stop_signal(void)
{
    return stop_signal;
}

enum sm_code sm_stop_wait(int64_t ms, struct sm_err *err)
{
    struct pollfd ready = {.fd = stop_pipe[0], .events = POLLIN};
    if (!atomic_load(&sm_stop_asked))
        poll(&ready, 1, (int)ms); /* an interrupted sleep is only shorter */
    if (!atomic_load(&sm_stop_asked))
        return SM_OK;
    return sm_err_set(err, SM_CANCELLED, "stopped by signal %d", (int)stop_signal);
}

static int64_t count_of(const json_t *node, const char *key)
{
    return json_integer_value(json_object_get(node, key));
}

static const char *text_of(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

/* --- what was taken --- */

enum sm_code sm_cmd_audit_check_taken(const char *what, const json_t *report, struct sm_err *err)
{
    char nothing[SM_INGEST_NOTHING_BYTES];
    if (sm_ingest_took(report))
        return SM_OK;
    sm_ingest_say_nothing(nothing, report);
    return sm_err_set(err, SM_INVALID, "%.100s: %.140s", what, nothing);
}

static void say_skipped(const json_t *report)
{
    const json_t *skipped = json_object_get(report, "skipped");
    size_t count = json_array_size(skipped);
    for (size_t i = 0; i < count && i < SKIPPED_SHOWN; i++) {
        const json_t *row = json_array_get(skipped, i);
        int64_t line = count_of(row, "line");
        if (line > 0)
            fprintf(stderr, "  line %lld: ", (long long)line);
        fprintf(stderr, "%s%s: %s (%s)\n", line > 0 ? "" : "  ", sm_shown(text_of(row, "name")),
                sm_shown(text_of(row, "reason")), sm_shown(text_of(row, "detail")));
    }
    if (count_of(report, "skipped_count") > SKIPPED_SHOWN)
        fputs("  and so on\n", stderr);
}

void sm_cmd_audit_say_taken(const struct sm_cmd_audit_plan *plan, const char *what,
                            const json_t *report)
{
    static const struct {
        const char *key, *text;
    } rows[] = {{"duplicate_count", "there already"},
                {"failed_count", "not readable"},
                {"skipped_count", "skipped"}};

    if (plan->quiet)
        return;
    fprintf(stderr, "%s: %lld images", sm_shown(what), (long long)count_of(report, "added_count"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (count_of(report, rows[i].key) > 0)
            fprintf(stderr, ", %lld %s", (long long)count_of(report, rows[i].key), rows[i].text);
    fputc('\n', stderr);
    say_skipped(report);
}

/* --- the result --- */

bool sm_cmd_audit_say_incomplete(FILE *file, const char *whose, const json_t *node)
{
    struct sm_completeness completeness;
    char words[SM_COMPLETENESS_BYTES];
    sm_completeness_read(&completeness, node);
    if (completeness.state == SM_COMPLETION_COMPLETE)
        return true;
    fprintf(file, "%s%s images scored: no final result, gates are not judged\n", whose,
            sm_completeness_words(words, &completeness));
    return false;
}

static void say_cohorts(const json_t *summary)
{
    json_t *cohorts = json_object_get(summary, "cohorts");
    for (int i = 0; i < SM_COHORTS; i++) {
        const char *name = sm_cohort_name((enum sm_cohort)i);
        const json_t *cohort = json_object_get(cohorts, name);
        if (count_of(cohort, "n") == 0)
            continue;
        printf("%-12s %6lld image%s", name, (long long)count_of(cohort, "n"),
               count_of(cohort, "n") == 1 ? "" : "s");
        if (json_is_number(json_object_get(cohort, "mean")))
            printf(", mean m %+.5f", json_number_value(json_object_get(cohort, "mean")));
        if (json_is_number(json_object_get(cohort, "sd")))
            printf(" (sd %.5f)", json_number_value(json_object_get(cohort, "sd")));
        if (count_of(cohort, "failed") > 0)
            printf(", %lld failed", (long long)count_of(cohort, "failed"));
        putchar('\n');
    }
}

/* Prints the sentence in `part` of the summary about candidates and the reference cohort. */
static void say_words(const json_t *summary, const char *part)
{
    char key[64];
    snprintf(key, sizeof key, "candidate_%s", text_of(summary, "reference"));
    const char *words = text_of(json_object_get(json_object_get(summary, part), key), "words");
    if (*words)
        puts(sm_shown(words));
}

/* Returns true if the pair has no g: the signals of f alone are the result. */
static bool is_alone(const json_t *summary)
{
    return json_is_true(json_object_get(json_object_get(summary, "outsider"), "alone"));
}

/* Prints a sentence for each signal of f alone. */
static void say_outsider(const json_t *summary)
{
    const json_t *outsider = json_object_get(summary, "outsider");
    const json_t *used = json_object_get(outsider, "used_share");
    json_t *signals = json_object_get(outsider, "signals"), *signal;
    const char *key;
    json_object_foreach(signals, key, signal) puts(sm_shown(text_of(signal, "words")));
    if (json_is_null(json_object_get(used, "note")))
        puts(sm_shown(text_of(used, "words")));
}

/* Prints what part of the spread of the candidates is noise. */
static void say_reliability(const json_t *summary)
{
    const json_t *cohorts = json_object_get(json_object_get(summary, "reliability"), "cohorts");
    const char *words = text_of(json_object_get(cohorts, "candidate"), "words");
    if (*words)
        puts(sm_shown(words));
}

static void say_fdr(const json_t *summary)
{
    const json_t *fdr = json_object_get(summary, "fdr");
    const json_t *levels = json_object_get(fdr, "levels"), *level;
    size_t i;
    json_array_foreach(levels, i, level)
    {
        if (json_is_true(json_object_get(level, "enough")))
            printf("memorized at FDR %g %%: %lld of %lld candidates\n",
                   100 * json_number_value(json_object_get(level, "q")),
                   (long long)count_of(level, "count"), (long long)count_of(fdr, "candidates"));
    }
}

void sm_cmd_audit_say_gates(const json_t *summary, bool quiet)
{
    const json_t *gates = json_object_get(summary, "gates"), *gate;
    size_t i;
    json_array_foreach(gates, i, gate)
    {
        const json_t *value = json_object_get(gate, "value");
        const json_t *passed = json_object_get(gate, "passed");
        if (quiet && json_is_true(passed))
            continue;
        printf("gate %s %s", sm_shown(text_of(gate, "gate")),
               json_is_true(passed)    ? "holds"
               : json_is_false(passed) ? "FAILS"
                                       : "NOT JUDGED");
        if (json_is_number(value))
            printf(": %g", json_number_value(value));
        if (*text_of(gate, "note"))
            printf(" (%s)", sm_shown(text_of(gate, "note")));
        putchar('\n');
    }
}

/* Prints the flags, even with --quiet: a reader must know them before trusting the result. */
static void say_flags(const json_t *summary)
{
    const json_t *flags = json_object_get(summary, "flags"), *flag;
    size_t i;
    json_array_foreach(flags, i, flag)
        printf("flag %s: %s\n", text_of(flag, "code"), sm_shown(text_of(flag, "text")));
}

int sm_cmd_audit_say_result(const struct sm_cmd_audit_plan *plan, const json_t *summary,
                            const json_t *audit)
{
    bool passed = json_array_size(json_object_get(summary, "gates")) == 0 ||
                  json_is_true(json_object_get(summary, "passed"));
    bool scored = count_of(audit, "succeeded_count") > 0;
    bool complete =
        sm_cmd_audit_say_incomplete(stdout, "", json_object_get(summary, "completeness"));
    if (!plan->quiet) {
        say_cohorts(summary);
        if (!is_alone(summary)) {
            say_words(summary, "comparisons");
            say_words(summary, "membership");
            say_reliability(summary);
            say_fdr(summary);
        }
        say_outsider(summary);
    }
    sm_cmd_audit_say_gates(summary, plan->quiet);
    say_flags(summary);
    if (!plan->quiet && plan->out)
        printf("report: %s/report.html, report.json, report.csv\n", sm_shown(plan->out));
    if (!complete)
        return SM_EXIT_INCOMPLETE;
    if (!scored)
        fprintf(stderr, "sslmem audit: no image could be scored; report.csv says why\n");
    return !scored ? SM_EXIT_FAILED : passed ? SM_EXIT_OK : SM_EXIT_GATE;
}
