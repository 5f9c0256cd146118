/* A worker claims an item, finds or computes its score, commits it, and repeats this until the
 * stop. While nothing is queued, it helps other workers (team.h), one unit at a time.
 *
 * An item has everything on which its score depends (image bytes, recipe, pair), so any worker can
 * take it. The item's own worker decodes the image and draws the views; only after that are there
 * units to share.
 *
 * An error of the item (its image, its recipe, a pair that is no longer loaded) fails the item. An
 * error of the store (such as a full disk) does not: the worker keeps the result and offers it
 * again until the store accepts it. If the service stops before that, the item is queued again at
 * the next start. If the item belongs to an audit, the audit is paused. While no decoder can be
 * started (SM_IO from sm_decode), the worker keeps the item and tries again. If the service stops
 * before an item is done, the item is queued again, and this attempt does not count.
 *
 * Lending: at the looks of a costly item (team.h), its worker claims and scores a cheap queued item
 * of a plain job. The cheap item costs at most 1/SM_LEND_RATIO of the costly one. Then the costly
 * item runs for as long as the cheap one took before its worker lends itself again. So the costly
 * item keeps half of its worker, and a cheap item waits only for a look and for other cheap items,
 * however few workers there are. A cheap item can lend its worker in turn, up to LEND_DEPTH_MAX
 * deep, because each level holds an image and its views in memory.
 *
 * The processor time of an item is bounded by its cost (CPU_FACTOR, CPU_MS: enough for the slowest
 * kernels). Every WANTED_MS the worker checks that the item is still wanted: its audit may have
 * been cancelled, or its image erased. */
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "server/jobs/jobs_impl.h"
#include "server/store/audits.h"
#include "server/store/claim.h"

#define IDLE_MS           200 /* period in which an idle worker looks for work without news */
#define RETRY_MIN_MS      100
#define RETRY_MAX_MS      5000
#define THUMBNAIL_SIDE_PX 64
#define LEND_DEPTH_MAX    2
#define WANTED_MS         1000
#define CPU_FACTOR        100
#define CPU_MS            60000

/* The thumbnail of an item, if its audit keeps thumbnails. */
struct thumbnail {
    void *png;
    size_t bytes_count;
};

struct worker {
    struct sm_jobs *jobs;
    struct sm_team_worker *worker;
    uint64_t seen;     /* the team's count of news when it last looked for work */
    int depth;         /* items that wait below the current one on its stack */
    int64_t lend_ms;   /* monotonic time from which it may lend itself again */
    int64_t wanted_ms; /* monotonic time of the next check that the item is wanted */
};

/* Parses the recipe that is stored in the item, and checks that it still has the same digest and
 * suits the pair as it is loaded now. */
static enum sm_code prepare(struct sm_recipe *recipe, const struct sm_pair *pair,
                            const struct sm_claim *claim, struct sm_err *err)
{
    char digest[65];
    enum sm_code code =
        sm_recipe_parse(recipe, claim->recipe, NULL, sm_pair_input_px(pair), "", err);
    if (code == SM_OK)
        code = sm_recipe_digest(digest, recipe, err);
    if (code == SM_OK && strcmp(digest, claim->recipe_digest) != 0)
        return sm_err_set(err, SM_CONFLICT,
                          "the recipe was admitted as %.12s, this version reads it as %.12s",
                          claim->recipe_digest, digest);
    return code == SM_OK ? sm_pair_check_recipe(pair, recipe, err) : code;
}

/* Every log line about an item has the ids of its request, even if an earlier process got the
 * request. */
#define ORIGIN       "s:s*, s:s*"
#define TEXT(text)   ((text)[0] == '\0' ? NULL : (text))
#define ORIGIN_OF(c) "request", TEXT((c)->origin.request), "trace", TEXT((c)->origin.trace)

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

/* Pauses an audit, because an operator must act and its other items would meet the same problem.
 * Returns false if the store failed for now and the caller must try again. */
static bool pause_audit(struct sm_jobs *jobs, const struct sm_claim *claim, const char *reason)
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

static void count(const struct sm_finish *finish)
{
    bool failed = finish->error_code != SM_OK;
    sm_metric_add(SM_METRIC_ITEMS, 1, failed ? "failed" : finish->score ? "computed" : "history");
    if (failed)
        sm_metric_add(SM_METRIC_FAILURES, 1, sm_code_name(finish->error_code));
}

static int64_t longer(int64_t wait_ms)
{
    return 2 * wait_ms < RETRY_MAX_MS ? 2 * wait_ms : RETRY_MAX_MS;
}

static void log_finish(const char *level, const char *event, const struct sm_claim *claim,
                       const char *detail)
{
    sm_log(level, event, "{s:s, s:i, s:s, " ORIGIN "}", "job", claim->job_id, "item", claim->index,
           "detail", detail, ORIGIN_OF(claim));
}

/* Offers a result to the store until the store accepts it or refuses it for good, or the service
 * stops. */
static enum sm_code commit(struct sm_jobs *jobs, const struct sm_claim *claim,
                           const struct sm_finish *finish, struct sm_err *err)
{
    char score_id[SM_ID_BYTES];
    bool job_finished, to_pause = false;
    struct sm_err first = {0};
    int64_t wait_ms = RETRY_MIN_MS;
    for (;;) {
        sm_pulse_beat("commit");
        if (to_pause)
            to_pause = !pause_audit(jobs, claim, first.text);
        enum sm_code code = sm_store_finish(jobs->store, finish, score_id, &job_finished, err);
        if (code == SM_OK)
            count(finish);
        if (code == SM_OK && job_finished) {
            sm_jobs_finished(jobs, finish->job_id);
            sm_log("info", "job_finished", "{s:s, " ORIGIN "}", "job", finish->job_id,
                   ORIGIN_OF(claim));
        }
        bool again = may_pass(code);
        if (again && first.code == SM_OK) {
            first = *err;
            to_pause = claim->audit && (code == SM_IO || code == SM_FULL);
            sm_jobs_owe(jobs, &first);
        }
        if (code != SM_OK && code != SM_NOT_FOUND && (wait_ms == RETRY_MIN_MS || !again))
            log_finish("error", "finish_failed", claim, err->text);
        if (again && !sm_jobs_sleep(jobs, wait_ms)) {
            wait_ms = longer(wait_ms);
            continue;
        }
        if (first.code != SM_OK)
            sm_jobs_settle(jobs);
        if (first.code != SM_OK && code == SM_OK)
            log_finish("info", "finish_recovered", claim, first.text);
        return code;
    }
}

static void commit_failure(struct sm_jobs *jobs, const struct sm_claim *claim,
                           const struct sm_err *why)
{
    struct sm_err err = {0};
    sm_log("info", "item_failed", "{s:s, s:i, s:s, s:s, " ORIGIN "}", "job", claim->job_id, "item",
           claim->index, "code", sm_code_name(why->code), "detail", why->text, ORIGIN_OF(claim));
    commit(jobs, claim,
           &(struct sm_finish){.job_id = claim->job_id,
                               .index = claim->index,
                               .owner = jobs->owner,
                               .error_code = why->code,
                               .error_text = why->text},
           &err);
}

/* Looks for the score key in history, and finishes the item with that score. Returns false if the
 * score must be computed. */
static bool commit_history(struct sm_jobs *jobs, const struct sm_claim *claim, const char *key,
                           const struct thumbnail *thumbnail)
{
    json_t *stored;
    struct sm_err err = {0};
    enum sm_code code = sm_store_score_by_key(&stored, jobs->store, claim->tenant, key, &err);
    if (code != SM_OK && code != SM_NOT_FOUND)
        sm_log("warning", "history_failed", "{s:s, s:s, " ORIGIN "}", "job", claim->job_id,
               "detail", err.text, ORIGIN_OF(claim));
    if (code != SM_OK)
        return false;
    json_decref(stored);
    code = commit(jobs, claim,
                  &(struct sm_finish){.job_id = claim->job_id,
                                      .index = claim->index,
                                      .owner = jobs->owner,
                                      .score_key = key,
                                      .thumbnail = thumbnail->png,
                                      .thumbnail_bytes = thumbnail->bytes_count},
                  &err);
    return settled(code);
}

/* Draws the thumbnail without applying the file's orientation, even if the recipe applies it: a
 * person recognizes the image anyway. */
static enum sm_code draw_thumbnail(struct thumbnail *out, const struct sm_jobs *jobs,
                                   const struct sm_claim *claim, struct sm_err *err)
{
    struct sm_image image = {0};
    sm_pulse_beat("decode");
    enum sm_code code =
        sm_decode(&image, jobs->decoders, claim->bytes, claim->bytes_count, false, NULL, err);
    if (code == SM_OK)
        code = sm_image_thumbnail(&out->png, &out->bytes_count, &image, THUMBNAIL_SIDE_PX, err);
    sm_image_release(&image);
    return code;
}

static enum sm_code compute(struct sm_score *score, json_t **document, struct worker *w,
                            struct sm_generation *generation, const struct sm_recipe *recipe,
                            const struct sm_claim *claim, struct sm_err *err)
{
    int64_t limit_ms = w->jobs->item_cost_ms_max;
    struct sm_team_order order = {.generation = generation,
                                  .recipe = recipe,
                                  .bytes = {claim->bytes, claim->bytes_count},
                                  .cpu_factor = CPU_FACTOR,
                                  .cpu_ms = CPU_MS,
                                  .tag = claim};
    if (limit_ms > 0) /* an item that was admitted under a higher limit stays admitted */
        order.cost_ms_max = claim->cost_ms > limit_ms ? claim->cost_ms : limit_ms;
    *document = NULL;
    enum sm_code code = sm_team_score(score, w->worker, &order, err);
    if (code != SM_OK)
        return code;
    *document = sm_score_json(score, sm_generation_pair(generation));
    return *document ? SM_OK : sm_err_set(err, SM_NOMEM, "score document: out of memory");
}

static void commit_score(struct sm_jobs *jobs, const struct sm_claim *claim,
                         const struct sm_score *score, const json_t *document,
                         const struct thumbnail *thumbnail)
{
    struct sm_err err = {0};
    enum sm_code code = commit(jobs, claim,
                               &(struct sm_finish){.job_id = claim->job_id,
                                                   .index = claim->index,
                                                   .owner = jobs->owner,
                                                   .score_key = score->score_key,
                                                   .score = document,
                                                   .m = score->m,
                                                   .image_digest = claim->image_digest,
                                                   .thumbnail = thumbnail->png,
                                                   .thumbnail_bytes = thumbnail->bytes_count},
                               &err);
    if (!settled(code))
        commit_failure(jobs, claim, &err);
}

/* Returns the time since the job's admission, which its id contains. */
static int64_t waited_us(const struct sm_claim *claim)
{
    int64_t ms = sm_clock_unix_ms() - sm_id_unix_ms(claim->job_id);
    return ms > 0 ? 1000 * ms : 0;
}

/* Finishes the item with a score from history, or computes and commits its score. Returns errors of
 * the item. */
static enum sm_code score_under(struct sm_generation *generation, struct worker *w,
                                const struct sm_claim *claim, const struct thumbnail *thumbnail,
                                struct sm_err *err)
{
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_recipe recipe;
    struct sm_score score;
    char key[65];
    const char *decoder;
    json_t *document;
    struct sm_timing timing = {.queue_us = waited_us(claim)};
    enum sm_code code = prepare(&recipe, pair, claim, err);
    if (code == SM_OK)
        code = sm_image_find_decoder(&decoder, claim->bytes, claim->bytes_count, err);
    if (code == SM_OK)
        code = sm_score_key(key, pair, claim->recipe_digest, claim->image_digest, decoder, err);
    if (code == SM_OK && commit_history(w->jobs, claim, key, thumbnail))
        return SM_OK;
    if (code == SM_OK)
        code = compute(&score, &document, w, generation, &recipe, claim, err);
    if (code != SM_OK)
        return code;
    sm_team_times(w->worker, &timing.decode_us, &timing.encode_us);
    sm_jobs_computed(w->jobs, claim->job_id, &timing);
    commit_score(w->jobs, claim, &score, document, thumbnail);
    json_decref(document);
    return SM_OK;
}

/* Queues the item again without counting the attempt. */
static void give_back(struct sm_jobs *jobs, const struct sm_claim *claim)
{
    struct sm_err err = {0};
    enum sm_code code = sm_store_requeue(jobs->store, claim, jobs->owner, &err);
    if (code == SM_CONFLICT) /* the item has ended already */
        return;
    bool given = code == SM_OK;
    sm_log(given ? "info" : "error", given ? "item_given_back" : "release_failed",
           "{s:s, s:i, s:s, " ORIGIN "}", "job", claim->job_id, "item", claim->index, "detail",
           err.text, ORIGIN_OF(claim)); /* after an error, its lease expires */
}

/* All images of an audit must be scored with the same pair, which its report names. If a different
 * pair is loaded under that name, pauses the audit until an operator decides, queues the item again
 * and returns true. */
static bool wait_for_pair(const struct worker *w, const struct sm_claim *claim,
                          const struct sm_pair *pair)
{
    struct sm_err err = {0};
    if (!claim->pair_digest[0] || strcmp(claim->pair_digest, sm_pair_digest(pair)) == 0)
        return false;
    sm_err_set(&err, SM_CONFLICT,
               "pair %s has changed: the audit was made under digest %.12s, %.12s is loaded",
               claim->pair, claim->pair_digest, sm_pair_digest(pair));
    while (!pause_audit(w->jobs, claim, err.text))
        if (sm_jobs_sleep(w->jobs, RETRY_MAX_MS))
            break;
    give_back(w->jobs, claim);
    return true;
}

/* Scores the item with the pair's present generation, even if the job was admitted under an earlier
 * one; the score names the pair's digest. */
static enum sm_code score_item(struct worker *w, const struct sm_claim *claim,
                               const struct thumbnail *thumbnail, struct sm_err *err)
{
    struct sm_generation *generation;
    struct sm_err why = {0};
    enum sm_code code = sm_pairs_take(&generation, w->jobs->pairs, claim->pair, &why);
    if (code != SM_OK)
        return sm_err_set(err, SM_NOT_FOUND, "pair %s is not loaded: %s", claim->pair,
                          code == SM_NOT_FOUND ? "it is not there any more" : why.text);
    if (!wait_for_pair(w, claim, sm_generation_pair(generation)))
        code = score_under(generation, w, claim, thumbnail, err);
    sm_generation_give(generation);
    return code;
}

/* Draws the thumbnail and scores the item. SM_IO means that no decoder could be started. */
static enum sm_code try_item(struct worker *w, const struct sm_claim *claim, struct sm_err *err)
{
    struct thumbnail thumbnail = {0};
    enum sm_code code = SM_OK;
    if (claim->keep_thumbnail)
        code = draw_thumbnail(&thumbnail, w->jobs, claim, err);
    if (code == SM_OK)
        code = score_item(w, claim, &thumbnail, err);
    free(thumbnail.png);
    return code;
}

static void take_item(struct worker *w, const struct sm_claim *claim)
{
    struct sm_err err = claim->unreadable;
    enum sm_code code = err.code;
    int64_t wait_ms = RETRY_MIN_MS;
    while (claim->unreadable.code == SM_OK && (code = try_item(w, claim, &err)) == SM_IO) {
        sm_log("error", "decoder_unavailable", "{s:s, s:i, s:s, " ORIGIN "}", "job", claim->job_id,
               "item", claim->index, "detail", err.text, ORIGIN_OF(claim));
        if (sm_jobs_sleep(w->jobs, wait_ms))
            code = SM_CANCELLED;
        if (code == SM_CANCELLED)
            break;
        wait_ms = longer(wait_ms);
    }
    if (code == SM_CANCELLED)
        give_back(w->jobs, claim);
    else if (code != SM_OK)
        commit_failure(w->jobs, claim, &err);
}

/* Works on a claimed item to its end, and measures the rate of work. */
static void take_claim(struct worker *w, struct sm_claim *claim)
{
    sm_jobs_begin_item(w->jobs);
    if (!claim->audit) /* an audit's items wait until the audit is started */
        sm_metric_observe(SM_METRIC_WAIT, waited_us(claim), NULL, NULL, NULL);
    take_item(w, claim);
    sm_jobs_end_item(w->jobs, claim->cost_ms);
    sm_claim_free(claim);
}

static void lend(struct worker *w, int64_t cost_ms)
{
    struct sm_jobs *jobs = w->jobs;
    struct sm_claim claim;
    struct sm_err err = {0};
    int64_t from_ms = sm_clock_monotonic_ms();
    if (cost_ms < SM_LEND_RATIO || w->depth == LEND_DEPTH_MAX || from_ms < w->lend_ms ||
        sm_jobs_stopping(jobs) ||
        sm_store_claim_cheap(&claim, jobs->store, jobs->owner, cost_ms / SM_LEND_RATIO, &err) !=
            SM_OK)
        return;
    w->depth++;
    take_claim(w, &claim);
    w->depth--;
    int64_t now_ms = sm_clock_monotonic_ms();
    w->lend_ms = now_ms + (now_ms - from_ms);
}

static bool look(void *arg, const struct sm_team_order *order, int64_t cost_ms, struct sm_err *err)
{
    struct worker *w = arg;
    int64_t now_ms = sm_clock_monotonic_ms();
    if (now_ms >= w->wanted_ms) {
        w->wanted_ms = now_ms + WANTED_MS;
        if (!sm_store_claim_wanted(w->jobs->store, order->tag, w->jobs->owner)) {
            sm_err_set(err, SM_CANCELLED, "the score is not wanted any more");
            return false;
        }
    }
    lend(w, cost_ms);
    return true;
}

static bool has_work(void *arg)
{
    const struct worker *w = arg;
    return sm_team_news(w->jobs->team) != w->seen;
}

static bool is_stopping(void *arg)
{
    return sm_jobs_stopping(((struct worker *)arg)->jobs);
}

static bool watch_canary(struct worker *w, bool busy)
{
    struct sm_canary_turn turn = {w->worker, busy, busy ? is_stopping : has_work, w};
    return sm_canary_take_turn(w->jobs->pairs, &turn);
}

void *sm_jobs_worker(void *arg)
{
    struct sm_jobs *jobs = arg;
    struct worker w = {.jobs = jobs};
    struct sm_err err = {0};
    sm_pulse_start("worker");
    while (sm_team_join(&w.worker, jobs->team, &err) != SM_OK)
        if (sm_jobs_sleep(jobs, RETRY_MAX_MS))
            goto out;
    sm_team_set_host(w.worker, &(struct sm_host){look, &w});
    for (;;) {
        struct sm_claim claim;
        w.seen = sm_team_news(jobs->team);
        if (sm_jobs_stopping(jobs))
            break;
        sm_pulse_beat("claim");
        enum sm_code code = sm_store_claim(&claim, jobs->store, jobs->owner, 0, &err);
        if (code == SM_OK) {
            take_claim(&w, &claim);
            watch_canary(&w, true);
        } else if (code != SM_NOT_FOUND) {
            sm_log("error", "claim_failed", "{s:s}", "detail", err.text);
            sm_jobs_sleep(jobs, RETRY_MAX_MS);
        } else if (!sm_team_help(w.worker) && !watch_canary(&w, false)) {
            sm_pulse_beat("wait");
            sm_team_wait(jobs->team, w.seen, IDLE_MS);
        }
    }
out:
    sm_team_leave(w.worker);
    sm_pulse_stop();
    return NULL;
}
