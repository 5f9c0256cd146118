/* Commits what a worker has found about an item, and the claim of its next one.
 *
 * A score is committed while the worker computes the next item, so the result outlives the worker's
 * stack frame: it is a struct pending. All other results are waited for. */
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "server/jobs/worker_impl.h"
#include "server/store/audits.h"

/* What the writer thread needs after the commit of a result. */
struct result {
    struct sm_jobs *jobs;
    const struct sm_claim *claim;
    const struct sm_finish *finish;
};

/* A result whose commit the worker has not waited for. */
struct sm_pending {
    struct sm_finishing *finishing;
    struct result result;
    struct sm_finish finish;
    struct sm_claim claim; /* without recipe and bytes */
    struct sm_score score;
    json_t *document;
    struct kept kept; /* without a thumbnail */
};

/* Returns true for errors of the store that may go away if the caller tries again. */
static bool may_pass(enum sm_code code)
{
    return code == SM_BUSY || code == SM_FULL || code == SM_IO || code == SM_NOMEM;
}

/* Returns true if nothing is left to do after a commit: it succeeded, another worker has the item
 * now, or the service stops and the next start will score the item. */
static bool settled(enum sm_code code)
{
    return code == SM_OK || code == SM_CONFLICT || may_pass(code);
}

bool sm_worker_pause_audit(struct sm_jobs *jobs, const struct sm_claim *claim, const char *reason)
{
    struct sm_audit_id audit = {.tenant = claim->tenant};
    struct sm_err err = {0};
    memcpy(audit.id, claim->job_id, sizeof audit.id);
    enum sm_code code = sm_store_audit_move(jobs->store, &audit, SM_AUDIT_PAUSE, reason, &err);
    if (code == SM_OK)
        sm_log("warning", "audit_paused", "{s:s, s:s, " ORIGIN "}", "audit", claim->job_id,
               "reason", reason, ORIGIN_OF(claim));
    return !may_pass(code); /* a conflict: the audit is paused already or has ended */
}

int64_t sm_worker_longer(int64_t wait_ms)
{
    return 2 * wait_ms < RETRY_MAX_MS ? 2 * wait_ms : RETRY_MAX_MS;
}

static void log_finish(const char *level, const char *event, const struct sm_claim *claim,
                       const char *detail)
{
    sm_log(level, event, "{s:s, s:i, s:s, " ORIGIN "}", "job", claim->job_id, "item", claim->index,
           "detail", detail, ORIGIN_OF(claim));
}

static void count(const struct sm_finish *finish)
{
    bool failed = finish->error_code != SM_OK;
    sm_metric_add(SM_METRIC_ITEMS, 1, failed ? "failed" : finish->score ? "computed" : "history");
    if (failed)
        sm_metric_add(SM_METRIC_FAILURES, 1, sm_code_name(finish->error_code));
}

/* Runs on the writer thread after the commit of a result. */
static void committed(void *arg, bool job_finished)
{
    const struct result *r = arg;
    count(r->finish);
    if (!job_finished)
        return;
    sm_jobs_finished(r->jobs, r->claim->job_id);
    sm_log("info", "job_finished", "{s:s, " ORIGIN "}", "job", r->claim->job_id,
           ORIGIN_OF(r->claim));
}

void sm_worker_give_back(struct worker *w, const struct sm_claim *claim)
{
    struct sm_jobs *jobs = w->jobs;
    struct sm_err err = {0};
    if (claim == w->current && !sm_worker_settle(w))
        return;
    enum sm_code code = sm_store_requeue(jobs->store, claim, jobs->owner, &err);
    if (code == SM_CONFLICT) /* the item has ended already */
        return;
    bool given = code == SM_OK;
    sm_log(given ? "info" : "error", given ? "item_given_back" : "release_failed",
           "{s:s, s:i, s:s, " ORIGIN "}", "job", claim->job_id, "item", claim->index, "detail",
           err.text, ORIGIN_OF(claim)); /* after an error, its lease expires */
}

void sm_worker_drop_next(struct worker *w)
{
    struct sm_claim claim;
    if (sm_standing_take(&claim, w->next, NULL) == SM_OK && sm_standing_kept(w->next))
        sm_worker_give_back(w, &claim);
    sm_claim_free(&claim);
}

/* Tells whether the worker will be free for another item after this one. */
static bool claims_next(const struct worker *w, const struct sm_claim *claim)
{
    return claim == w->current && sm_clock_monotonic_ms() < w->canary_ms &&
           !sm_jobs_stopping(w->jobs);
}

/* Offers a result to the store until the store accepts it or refuses it for good, or the service
 * stops. `begun`: the first offer, under way; NULL: none. */
static enum sm_code offer(struct worker *w, const struct sm_claim *claim, struct sm_finish *finish,
                          struct sm_finishing *begun, struct sm_err *err)
{
    struct sm_jobs *jobs = w->jobs;
    char score_id[SM_ID_BYTES];
    bool job_finished, to_pause = false;
    struct sm_err first = {0};
    int64_t wait_ms = RETRY_MIN_MS;
    for (;;) {
        sm_pulse_beat("commit");
        if (to_pause)
            to_pause = !sm_worker_pause_audit(jobs, claim, first.text);
        if (!begun)
            finish->next = claims_next(w, claim) ? w->next : NULL;
        enum sm_code code =
            begun ? sm_store_finish_end(begun, score_id, &job_finished, err)
                  : sm_store_finish(jobs->store, finish, score_id, &job_finished, err);
        if (code != SM_OK && finish->next && !begun)
            sm_worker_drop_next(w);
        begun = NULL;
        bool again = may_pass(code);
        if (again && first.code == SM_OK) {
            first = *err;
            to_pause = claim->audit && (code == SM_IO || code == SM_FULL);
            sm_jobs_owe(jobs, &first);
        }
        if (code != SM_OK && code != SM_NOT_FOUND && (wait_ms == RETRY_MIN_MS || !again))
            log_finish("error", "finish_failed", claim, err->text);
        if (again && !sm_jobs_sleep(jobs, wait_ms)) {
            wait_ms = sm_worker_longer(wait_ms);
            continue;
        }
        if (first.code != SM_OK)
            sm_jobs_settle(jobs);
        if (first.code != SM_OK && code == SM_OK)
            log_finish("info", "finish_recovered", claim, first.text);
        return code;
    }
}

/* Commits a result and waits for it. SM_CONFLICT: also if the item was not claimed. */
static enum sm_code commit(struct worker *w, const struct sm_claim *claim, struct sm_finish *finish,
                           struct sm_err *err)
{
    struct result result = {w->jobs, claim, finish};
    if (claim == w->current && !sm_worker_settle(w))
        return sm_err_set(err, SM_CONFLICT, "the item was not claimed");
    finish->done = committed;
    finish->arg = &result;
    return offer(w, claim, finish, NULL, err);
}

void sm_worker_commit_failure(struct worker *w, const struct sm_claim *claim,
                              const struct sm_err *why)
{
    struct sm_err err = {0};
    sm_log("info", "item_failed", "{s:s, s:i, s:s, s:s, " ORIGIN "}", "job", claim->job_id, "item",
           claim->index, "code", sm_code_name(why->code), "detail", why->text, ORIGIN_OF(claim));
    commit(w, claim,
           &(struct sm_finish){.job_id = claim->job_id,
                               .index = claim->index,
                               .owner = w->jobs->owner,
                               .error_code = why->code,
                               .error_text = why->text},
           &err);
}

static void pending_free(struct sm_pending *p)
{
    json_decref(p->document);
    free(p);
}

bool sm_worker_is_committing(const struct worker *w)
{
    return w->pending && !sm_store_finish_ended(w->pending->finishing);
}

bool sm_worker_settle(struct worker *w)
{
    struct sm_pending *p = w->pending;
    struct sm_err err = {0};
    w->pending = NULL;
    if (p) {
        enum sm_code code = offer(w, &p->claim, &p->finish, p->finishing, &err);
        if (!settled(code))
            sm_worker_commit_failure(w, &p->claim, &err);
        pending_free(p);
    }
    if (w->unsettled)
        w->lost = !sm_standing_kept(w->next);
    w->unsettled = false;
    return !w->lost;
}

/* Adds to a finish what the audit keeps; `kept` must live as long as the finish. */
static void add_kept(struct sm_finish *finish, const struct kept *kept)
{
    finish->thumbnail = kept->png;
    finish->thumbnail_bytes = kept->png_bytes;
    finish->pixels = kept->pixels_bytes > 0 ? kept->pixels : NULL;
    finish->pixels_bytes = kept->pixels_bytes;
}

bool sm_worker_find_history(struct worker *w, const struct sm_claim *claim, const char *key)
{
    struct sm_jobs *jobs = w->jobs;
    json_t *stored;
    struct sm_err err = {0};
    if (w->pending && strcmp(w->pending->score.score_key, key) == 0)
        sm_worker_settle(w); /* the same image again */
    enum sm_code code = sm_store_score_by_key(&stored, jobs->store, claim->tenant, key, &err);
    if (code != SM_OK && code != SM_NOT_FOUND)
        sm_log("warning", "history_failed", "{s:s, s:s, " ORIGIN "}", "job", claim->job_id,
               "detail", err.text, ORIGIN_OF(claim));
    if (code == SM_OK)
        json_decref(stored);
    return code == SM_OK;
}

bool sm_worker_commit_history(struct worker *w, const struct sm_claim *claim, const char *key,
                              const struct kept *kept)
{
    struct sm_err err = {0};
    struct sm_finish finish = {
        .job_id = claim->job_id, .index = claim->index, .owner = w->jobs->owner, .score_key = key};
    add_kept(&finish, kept);
    return settled(commit(w, claim, &finish, &err));
}

/* Commits a score without waiting for it, if the worker may go on to another item at once. */
static bool begin_commit(struct worker *w, const struct sm_claim *claim,
                         const struct sm_score *score, json_t *document, const struct kept *kept)
{
    struct sm_pending *p = claims_next(w, claim) ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return false;
    p->claim = *claim;
    p->claim.recipe = NULL;
    p->claim.bytes = NULL;
    p->score = *score;
    p->document = json_incref(document);
    p->result = (struct result){w->jobs, &p->claim, &p->finish};
    p->finish = (struct sm_finish){.job_id = p->claim.job_id,
                                   .index = claim->index,
                                   .owner = w->jobs->owner,
                                   .score_key = p->score.score_key,
                                   .score = document,
                                   .m = score->m,
                                   .image_digest = p->claim.image_digest,
                                   .next = w->next,
                                   .done = committed,
                                   .arg = &p->result};
    p->kept = *kept;
    add_kept(&p->finish, &p->kept);
    if (sm_store_finish_begin(&p->finishing, w->jobs->store, &p->finish, NULL) != SM_OK) {
        pending_free(p);
        return false;
    }
    w->pending = p;
    return true;
}

void sm_worker_commit_score(struct worker *w, const struct sm_claim *claim,
                            const struct sm_score *score, json_t *document, const struct kept *kept)
{
    struct sm_err err = {0};
    if (!kept->png && begin_commit(w, claim, score, document, kept))
        return;
    struct sm_finish finish = {.job_id = claim->job_id,
                               .index = claim->index,
                               .owner = w->jobs->owner,
                               .score_key = score->score_key,
                               .score = document,
                               .m = score->m,
                               .image_digest = claim->image_digest};
    add_kept(&finish, kept);
    enum sm_code code = commit(w, claim, &finish, &err);
    if (!settled(code))
        sm_worker_commit_failure(w, claim, &err);
}
