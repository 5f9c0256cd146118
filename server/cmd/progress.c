/* Rates count from the first look of this process, so a resumed command does not count what an
 * earlier one did. */
#include "server/cmd/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/base/clock.h"

#define SAY_TERMINAL_MS 200
#define SAY_LINES_MS    10000
#define BAR_CELLS       24

static int64_t count_of(const json_t *node, const char *key)
{
    return json_integer_value(json_object_get(node, key));
}

void sm_progress_init(struct sm_progress *progress, bool quiet)
{
    *progress = (struct sm_progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
}

struct counts {
    int64_t done, failed, total, done_cost_ms, cost_ms; /* done: failed ones too */
};

/* Writes ", 12.5/s, 1:05 left": images per second since this process began, and the time for the
 * remaining cost at the same pace. */
static void put_rate(char *out, size_t out_size, const struct sm_progress *p,
                     const struct counts *c, int64_t now_ms)
{
    double s = (double)(now_ms - p->begun_ms + 1) / 1000;
    double rate = (double)(c->done - p->begun_count) / s;
    double cost_rate = (double)(c->done_cost_ms - p->begun_cost_ms) / s;
    double left_ms = (double)(c->cost_ms - c->done_cost_ms);
    int64_t left = cost_rate > 0 ? (int64_t)(left_ms / cost_rate + .5) : 0;
    out[0] = '\0';
    if (rate > 0 && cost_rate > 0 && c->done < c->total)
        snprintf(out, out_size, ", %.1f/s, %lld:%02lld left", rate, (long long)(left / 60),
                 (long long)(left % 60));
}

static void draw(struct sm_progress *p, int64_t done, int64_t total, const char *tail)
{
    char bar[BAR_CELLS + 1];
    int cells = total > 0 ? (int)(BAR_CELLS * done / total) : 0;
    memset(bar, ' ', BAR_CELLS);
    memset(bar, '#', (size_t)cells);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %lld/%lld%s\033[K", bar, (long long)done, (long long)total, tail);
    fflush(stderr);
    p->drawn = true;
}

static void show(struct sm_progress *p, const struct counts *c)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    bool last = c->done == c->total;
    char rate[64], tail[128], failures[32] = "";
    if (!p->begun) {
        p->begun = true;
        p->begun_ms = p->said_ms = now_ms;
        p->begun_count = c->done;
        p->begun_cost_ms = c->done_cost_ms;
    } else if (!last && now_ms - p->said_ms < (p->terminal ? SAY_TERMINAL_MS : SAY_LINES_MS)) {
        return;
    }
    p->said_ms = now_ms;
    if (p->quiet)
        return;
    put_rate(rate, sizeof rate, p, c, now_ms);
    if (c->failed > 0)
        snprintf(failures, sizeof failures, ", %lld failed", (long long)c->failed);
    snprintf(tail, sizeof tail, "%s%s", failures, rate);
    if (p->terminal)
        draw(p, c->done, c->total, tail);
    else
        fprintf(stderr, "%lld of %lld images%s\n", (long long)c->done, (long long)c->total, tail);
}

void sm_progress_show(struct sm_progress *p, const json_t *audit)
{
    int64_t failed = count_of(audit, "failed_count");
    show(p, &(struct counts){.done = count_of(audit, "succeeded_count") + failed,
                             .failed = failed,
                             .total = count_of(audit, "items_count") - p->others_count,
                             .done_cost_ms = count_of(audit, "done_cost_ms"),
                             .cost_ms = count_of(audit, "cost_ms")});
}

void sm_progress_count(struct sm_progress *p, int64_t succeeded, int64_t failed, int64_t total)
{
    int64_t done = succeeded + failed;
    show(p, &(struct counts){done, failed, total, done, total});
}

void sm_progress_end(struct sm_progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}
