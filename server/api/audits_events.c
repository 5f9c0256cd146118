/* GET /v1/audits/{id}/events: progress as server-sent events.
 *
 * A stream reads the audit's revision, one row by its key, every POLL_MS and sends the audit when
 * the revision has changed: at most two events a second, however fast images are scored. The rate
 * counts the images that finished within the last WINDOW_MS of this stream. The time left is the
 * cost of the unfinished images, divided by the cost finished per second. A comment every
 * HEARTBEAT_MS keeps connections and proxies open, and detects clients that are gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
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
    struct sm_audit_id audit;
    struct sm_caller caller;
    int64_t revision;                   /* the last one sent; -1: none */
    int64_t polled_ms, spoke_ms;        /* monotonic */
    struct sample samples[SAMPLES_MAX]; /* a ring; the oldest is at `first` */
    int first, samples_count;
    char *text; /* the bytes being sent */
    size_t text_bytes, sent_bytes;
    bool ended;
};

static void feed_free(void *state)
{
    struct feed *f = state;
    free(f->text);
    free(f);
}

/* Images and cost per second; -1 until the samples span POLL_MS. */
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

/* Adds rate and time left to the audit's document; false when out of memory. */
static bool add_rate(struct feed *f, json_t *document, const struct sm_audit_head *head,
                     int64_t now_ms)
{
    double left_ms = (double)(head->cost_ms - head->done_cost_ms);
    struct rates rate = {-1, -1};
    if (head->state == SM_STATE_RUNNING)
        rate = measure(f, &(struct sample){now_ms, head->done_count, head->done_cost_ms});
    else
        f->samples_count = 0; /* the rate must not include a pause */
    json_t *per_s = rate.per_s < 0 ? json_null() : json_real(rate.per_s);
    json_t *left_s =
        rate.cost_ms_per_s <= 0 ? json_null() : json_real(left_ms / rate.cost_ms_per_s);
    return json_object_set_new(document, "rate_per_s", per_s) == 0 &&
           json_object_set_new(document, "time_left_s", left_s) == 0;
}

/* Replaces the bytes to send; false when out of memory. */
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

/* Sends the audit as it is now; false when it cannot be read. */
static bool say_audit(struct feed *f, int64_t now_ms)
{
    struct sm_audit_head head;
    json_t *document;
    char *data = NULL;
    if (sm_store_audit(&document, &head, f->api->store, &f->audit, NULL) != SM_OK)
        return false;
    f->revision = head.revision;
    f->ended = head.finished;
    if (add_rate(f, document, &head, now_ms))
        data = sm_json_text(document, JSON_COMPACT);
    if (f->caller.rounds && (data = sm_round_json(data, f->caller.digits, 0)))
        data[strcspn(data, "\n")] = '\0';
    json_decref(document);
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
    struct sm_audit_head head;
    if (sm_store_audit_head(&head, f->api->store, &f->audit, NULL) != SM_OK)
        return SM_STREAM_END;
    bool changed = head.revision != f->revision;
    if (!changed && now_ms - f->spoke_ms < HEARTBEAT_MS)
        return stream(request, bytes, bytes_max); /* waits */
    bool good = sm_api_still_authorized(request) &&
                (changed ? say_audit(f, now_ms) : say(f, ": alive\n\n"));
    f->spoke_ms = now_ms;
    return good ? send_text(f, bytes, bytes_max) : SM_STREAM_END;
}

void sm_api_audit_events(struct sm_request *request)
{
    struct sm_api *api = sm_api_of(request);
    const char *last = sm_request_header(request, "Last-Event-ID");
    struct sm_audit_head head;
    int64_t last_id = -1;
    if (!sm_api_audit_head(&head, request))
        return;
    if (last && !sm_digits(&last_id, last))
        last_id = -1;
    if (head.finished && last_id == head.revision) {
        sm_reply_empty(request, 204); /* stops an EventSource that has seen the end */
        return;
    }
    if (!sm_request_begin_stream(request))
        return;
    struct feed *f = calloc(1, sizeof *f);
    if (!f) {
        sm_reply_no_memory(request);
        return;
    }
    *f = (struct feed){.api = api,
                       .audit = head.audit,
                       .caller = request->caller,
                       .revision = last_id,
                       .polled_ms = INT64_MIN / 2,
                       .spoke_ms = sm_clock_monotonic_ms()};
    request->state = f;
    request->state_free = feed_free;
    if (!say(f, "retry: %d\n\n", RETRY_MS)) {
        sm_reply_no_memory(request);
        return;
    }
    sm_reply_stream(request, "text/event-stream", stream);
    sm_reply_header(request, "Cache-Control", "no-store");
}
