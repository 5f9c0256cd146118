/* GET /readyz: whether a load balancer should send requests here. The checks are a table, and each
 * is cheap: a slow check (the canary) runs elsewhere, and only its result is read here. The answer
 * shows all checks, so that an operator sees more than the first failure; a problem's detail is the
 * first check that fails. */
#include "server/api/ready.h"
#include "server/api/handlers.h"
#include "server/base/pulse.h"
#include "server/http/spool.h"

struct view {
    struct sm_api *api;
    struct sm_request *request;
    struct sm_pair_state *states;
    int states_count, ready_count;
};

struct verdict {
    bool ok;
    char reason[sizeof((struct sm_err *)0)->text];
};

#define SAY(verdict, ...) snprintf((verdict)->reason, sizeof(verdict)->reason, __VA_ARGS__)

static void check_draining(struct verdict *v, const struct view *view)
{
    v->ok = !atomic_load(&view->api->draining) && !sm_request_draining(view->request);
    SAY(v, "%s", v->ok ? "requests are taken" : "the service is stopping");
}

static void check_loops(struct verdict *v, const struct view *view)
{
    int late_count, count = sm_pulses_check(&late_count, NULL);
    (void)view;
    v->ok = late_count == 0;
    SAY(v, "%d of %d loops stand still", late_count, count);
}

static void check_pairs(struct verdict *v, const struct view *view)
{
    v->ok = view->ready_count > 0;
    SAY(v, "%d of %d pairs are ready", view->ready_count, view->states_count);
}

static void check_canary(struct verdict *v, const struct view *view)
{
    char reason[160];
    v->ok = true;
    SAY(v, "every pair scores its canary as after its load");
    for (int i = 0; i < view->states_count && v->ok; i++)
        if (view->states[i].generation && !sm_canary_is_well(reason, view->states[i].generation)) {
            v->ok = false;
            SAY(v, "%s", reason);
        }
}

static void check_store(struct verdict *v, const struct view *view)
{
    struct sm_err err;
    v->ok = sm_jobs_check_store(view->api->jobs, &err) == SM_OK;
    SAY(v, "%s", v->ok ? "the store's last commit succeeded" : err.text);
}

static void check_queue(struct verdict *v, const struct view *view)
{
    int64_t queued = sm_store_queued_count(view->api->store);
    int64_t max = view->api->config->queue_max;
    int64_t cost_ms = sm_store_queued_cost_ms(view->api->store);
    int64_t cost_ms_max = view->api->config->queue_cost_ms_max;
    v->ok = queued * 100 < max * SM_READY_QUEUE_PERCENT;
    SAY(v, "%lld images are queued, the mark is %d%% of %lld", (long long)queued,
        SM_READY_QUEUE_PERCENT, (long long)max);
    if (!v->ok || cost_ms * 100 < cost_ms_max * SM_READY_QUEUE_PERCENT)
        return;
    v->ok = false;
    SAY(v, "work of %lld ms is queued, the mark is %d%% of %lld", (long long)cost_ms,
        SM_READY_QUEUE_PERCENT, (long long)cost_ms_max);
}

static void check_disk(struct verdict *v, const struct view *view)
{
    int64_t room = sm_spool_free(view->api->spool);
    int64_t mark = view->api->config->ready_disk_bytes;
    v->ok = room >= mark;
    SAY(v, "the database's disk has %lld bytes of room, the mark is %lld", (long long)room,
        (long long)mark);
}

static void check_decoders(struct verdict *v, const struct view *view)
{
    struct sm_decoders_counts counts;
    sm_decoders_counts(&counts, view->api->decoders);
    v->ok = !counts.unavailable;
    SAY(v, "the last decoder %s", v->ok ? "could be started" : "could not be started");
}

static const struct {
    const char *name;
    void (*run)(struct verdict *verdict, const struct view *view);
} checks[SM_READY_CHECKS] = {
    {"draining", check_draining}, {"loops", check_loops},       {"pairs", check_pairs},
    {"canary", check_canary},     {"store", check_store},       {"queue", check_queue},
    {"disk", check_disk},         {"decoders", check_decoders},
};

static bool look(struct view *view, struct sm_request *request, struct sm_err *err)
{
    *view = (struct view){.api = sm_api_of(request), .request = request};
    if (sm_pairs_list(&view->states, &view->states_count, view->api->pairs, NULL, err) != SM_OK)
        return false;
    for (int i = 0; i < view->states_count; i++)
        view->ready_count += view->states[i].generation != NULL;
    return true;
}

bool sm_api_ready(struct sm_ready_check out[SM_READY_CHECKS], struct sm_request *request)
{
    struct view view;
    struct sm_err err;
    if (!look(&view, request, &err))
        return false;
    for (int i = 0; i < SM_READY_CHECKS; i++) {
        struct verdict v;
        checks[i].run(&v, &view);
        out[i] = (struct sm_ready_check){checks[i].name, v.ok};
    }
    sm_pairs_list_free(view.states, view.states_count);
    return true;
}

/* Returns all checks as a document; `failed` receives the first that fails. If none fails, its `ok`
 * is true. */
static json_t *run_checks(struct verdict *failed, const struct view *view)
{
    json_t *document = json_object();
    failed->ok = true;
    for (int i = 0; i < SM_READY_CHECKS; i++) {
        struct verdict v;
        checks[i].run(&v, view);
        json_object_set_new(document, checks[i].name,
                            json_pack("{s:b, s:s}", "ok", v.ok, "reason", v.reason));
        if (failed->ok && !v.ok)
            *failed = v;
    }
    return document;
}

void sm_api_readyz(struct sm_request *request)
{
    struct view view;
    struct verdict failed;
    struct sm_err err;
    if (!look(&view, request, &err)) {
        sm_reply_failure(request, &err);
        return;
    }
    json_t *document = run_checks(&failed, &view);
    if (failed.ok)
        sm_reply_json(request, 200,
                      json_pack("{s:s, s:i, s:i, s:I, s:o}", "status", "ready", "pairs_ready",
                                view.ready_count, "pairs_failed",
                                view.states_count - view.ready_count, "queued",
                                (json_int_t)sm_store_queued_count(view.api->store), "checks",
                                document));
    else
        sm_reply_problem_with(request, SM_PROBLEM_NOT_READY, "checks", document, failed.reason);
    sm_reply_header(request, "Cache-Control", "no-store");
    sm_pairs_list_free(view.states, view.states_count);
}
