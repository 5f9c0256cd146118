/* GET /v1/audits/{id}/events: progress as server-sent events.
 *
 * A stream looks at the audit's revision every POLL_MS, which is one row of an index, and sends the
 * audit when it has changed: at most two events a second, however fast images are scored. The rate
 * is that of the images finished within the last WINDOW_MS of this stream; the time left is the
 * cost of what is not finished, at the rate of the cost of what was. A comment every HEARTBEAT_MS
 * keeps connections and proxies awake, and finds clients that are gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/http/rounding.h"

#define POLL_MS      500
#define HEARTBEAT_MS 15000
#define WINDOW_MS    30000
#define SAMPLES_MAX  (WINDOW_MS / POLL_MS + 1)
#define RETRY_MS     2000

struct sample {
    int64_t at_ms, done_count, done_cost_ms;
};

struct feed {
    struct sm_api *api;
    char id[SM_ID_BYTES];
    struct sm_caller caller;
    int64_t revision;                   /* that the client has; -1: none */
    int64_t polled_ms, spoke_ms;        /* monotonic */
    struct sample samples[SAMPLES_MAX]; /* a ring; the oldest at `first` */
    int first, samples_count;
    char *text; /* what is being sent */
    size_t text_bytes, sent_bytes;
    bool ended;
};

static void feed_free(void *state)
{
    struct feed *f = state;
    free(f->text);
    free(f);
}

static int64_t count_of(const json_t *audit, const char *name)
{
    return json_integer_value(json_object_get(audit, name));
}

/* Images and cost per second, or -1 before there is anything to tell them from. */
struct rates {
    double per_s, cost_ms_per_s;
};

static struct rates measure(struct feed *f, const struct sample *now)
{
    int64_t now_ms = now->at_ms;
    while (f->samples_count > 1 && now_ms - f->samples[f->first].at_ms > WINDOW_MS) {
        f->first = (f->first + 1) % SAMPLES_MAX;
        f->samples_count--;
    }
    if (f->samples_count == SAMPLES_MAX) {
        f->first = (f->first + 1) % SAMPLES_MAX;
        f->samples_count--;
    }
    f->samples[(f->first + f->samples_count++) % SAMPLES_MAX] = *now;
    const struct sample *oldest = &f->samples[f->first];
    double s = (double)(now_ms - oldest->at_ms) / 1000;
    if (now_ms - oldest->at_ms < POLL_MS)
        return (struct rates){-1, -1};
    return (struct rates){(double)(now->done_count - oldest->done_count) / s,
                          (double)(now->done_cost_ms - oldest->done_cost_ms) / s};
}

/* Adds rate and time left to the audit's document. */
static bool add_rate(struct feed *f, json_t *audit, int64_t now_ms)
{
    const char *state = json_string_value(json_object_get(audit, "state"));
    int64_t done = count_of(audit, "succeeded_count") + count_of(audit, "failed_count");
    int64_t done_cost_ms = count_of(audit, "done_cost_ms");
    double left_ms = (double)(count_of(audit, "cost_ms") - done_cost_ms);
    struct rates rate = {-1, -1};
    if (strcmp(state, "running") == 0)
        rate = measure(f, &(struct sample){now_ms, done, done_cost_ms});
    else
        f->samples_count = 0; /* a pause is no part of a rate */
    json_t *per_s = rate.per_s < 0 ? json_null() : json_real(rate.per_s);
    json_t *left_s =
        rate.cost_ms_per_s <= 0 ? json_null() : json_real(left_ms / rate.cost_ms_per_s);
    return json_object_set_new(audit, "rate_per_s", per_s) == 0 &&
           json_object_set_new(audit, "time_left_s", left_s) == 0;
}

/* Replaces what is to be sent; false when out of memory. */
__attribute__((format(printf, 2, 3))) static bool say(struct feed *f, const char *format, ...)
{
    va_list args;
    free(f->text);
    va_start(args, format);
    if (vasprintf(&f->text, format, args) < 0)
        f->text = NULL;
    va_end(args);
    f->text_bytes = !f->text ? 0 : strlen(f->text);
    f->sent_bytes = 0;
    return f->text != NULL;
}

/* The audit as it is now. */
static bool say_audit(struct feed *f, int64_t now_ms)
{
    struct sm_err err;
    json_t *audit;
    char *data = NULL;
    if (sm_store_audit(&audit, f->api->store, f->id, &err) != SM_OK)
        return false;
    f->revision = count_of(audit, "revision");
    f->ended = sm_api_audit_ended(audit);
    if (add_rate(f, audit, now_ms))
        data = json_dumps(audit, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (f->caller.rounds && (data = sm_round_json(data, f->caller.digits, 0)))
        data[strcspn(data, "\n")] = '\0';
    json_decref(audit);
    bool good = data && say(f, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)f->revision,
                            f->ended ? "end" : "progress", data);
    free(data);
    return good;
}

static int64_t send_text(struct feed *f, char *bytes, size_t bytes_max)
{
    size_t left = f->text_bytes - f->sent_bytes;
    size_t n = left < bytes_max ? left : bytes_max;
    memcpy(bytes, f->text + f->sent_bytes, n);
    f->sent_bytes += n;
    return (int64_t)n;
}

static int64_t stream(struct sm_request *request, char *bytes, size_t bytes_max)
{
    struct feed *f = request->state;
    int64_t now_ms = sm_clock_monotonic_ms();
    if (f->sent_bytes < f->text_bytes)
        return send_text(f, bytes, bytes_max);
    if (f->ended || sm_request_draining(request))
        return SM_STREAM_END;
    if (now_ms - f->polled_ms < POLL_MS) {
        sm_request_wait(request, f->polled_ms + POLL_MS, NULL);
        return 0;
    }
    f->polled_ms = now_ms;
    int64_t revision = sm_store_audit_revision(f->api->store, f->id);
    if (revision == f->revision && now_ms - f->spoke_ms < HEARTBEAT_MS)
        return stream(request, bytes, bytes_max); /* to wait */
    bool good = revision >= 0 && sm_api_still_authorized(request) &&
                (revision != f->revision ? say_audit(f, now_ms) : say(f, ": alive\n\n"));
    f->spoke_ms = now_ms;
    return good ? send_text(f, bytes, bytes_max) : SM_STREAM_END;
}

/* Whether the client, coming back, has seen the end. */
static bool seen_all(struct sm_request *request, const json_t *audit, int64_t last_id)
{
    if (!sm_api_audit_ended(audit) || last_id != count_of(audit, "revision"))
        return false;
    sm_reply_empty(request, 204); /* which tells an EventSource to stay away */
    return true;
}

void sm_api_audit_events(struct sm_request *request)
{
    struct sm_api *api = sm_api_of(request);
    const char *last = sm_request_header(request, "Last-Event-ID");
    json_t *audit = sm_api_audit(request);
    int64_t last_id = -1;
    if (!audit)
        return;
    if (last && !sm_digits(&last_id, last))
        last_id = -1;
    bool over = seen_all(request, audit, last_id);
    json_decref(audit);
    if (over)
        return;
    if (!sm_request_begin_stream(request))
        return;
    struct feed *f = calloc(1, sizeof *f);
    if (!f) {
        sm_reply_no_memory(request);
        return;
    }
    *f = (struct feed){.api = api,
                       .caller = request->caller,
                       .revision = last_id,
                       .polled_ms = INT64_MIN / 2,
                       .spoke_ms = sm_clock_monotonic_ms()};
    memcpy(f->id, request->capture, sizeof f->id);
    request->state = f;
    request->state_free = feed_free;
    if (!say(f, "retry: %d\n\n", RETRY_MS)) {
        sm_reply_no_memory(request);
        return;
    }
    sm_reply_stream(request, "text/event-stream", stream);
    sm_reply_header(request, "Cache-Control", "no-store");
}
