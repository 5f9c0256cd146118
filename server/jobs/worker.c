/* A worker claims an item, finds or computes its score, commits it, and repeats this until the
 * stop. While nothing is queued, it helps other workers (team.h), one unit at a time.
 *
 * The next item is claimed in the transaction that finishes the one before, and a worker that waits
 * lets a claim stand (claim.h). So under load a score takes one commit. A worker that will do
 * something else first (score a canary, stop) claims nothing.
 *
 * The worker computes while this transaction is committed. Before it writes about its item, it
 * settles: it waits for the commit. If that failed, the item was never claimed, and its score is
 * dropped.
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
#include "server/jobs/worker_impl.h"

#define IDLE_MS           200 /* period in which an idle worker looks for work without news */
#define THUMBNAIL_SIDE_PX 64
#define LEND_DEPTH_MAX    2
#define WANTED_MS         1000
#define CPU_FACTOR        100
#define CPU_MS            60000
#define CANARY_LOOK_MS    1000 /* period in which a busy worker looks for a canary */

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

/* Draws the thumbnail without applying the file's orientation, even if the recipe applies it: a
 * person recognizes the image anyway. */
static enum sm_code draw_thumbnail(struct kept *out, const struct sm_jobs *jobs,
                                   const struct sm_claim *claim, struct sm_err *err)
{
    struct sm_image image = {0};
    sm_pulse_beat("decode");
    enum sm_code code =
        sm_decode(&image, jobs->decoders, claim->bytes, claim->bytes_count, false, NULL, err);
    if (code == SM_OK)
        code = sm_image_thumbnail(&out->png, &out->png_bytes, &image, THUMBNAIL_SIDE_PX, err);
    sm_image_release(&image);
    return code;
}

/* Measures the features of an image whose score comes from history and was not decoded for it. */
static enum sm_code measure_pixels(struct kept *out, const struct sm_jobs *jobs,
                                   const struct sm_recipe *recipe, const struct sm_claim *claim,
                                   struct sm_err *err)
{
    struct sm_image image = {0};
    struct sm_image_info info;
    struct sm_pixels pixels;
    sm_pulse_beat("decode");
    enum sm_code code = sm_decode(&image, jobs->decoders, claim->bytes, claim->bytes_count,
                                  recipe->apply_orientation, &info, err);
    if (code == SM_OK)
        code = sm_pixels_measure(&pixels, &image, info.media_type, claim->bytes_count, err);
    if (code == SM_OK)
        out->pixels_bytes = sm_pixels_pack(out->pixels, &pixels);
    sm_image_release(&image);
    return code;
}

static enum sm_code compute(struct sm_score *score, json_t **document, struct kept *kept,
                            struct worker *w, struct sm_generation *generation,
                            const struct sm_recipe *recipe, const struct sm_claim *claim,
                            struct sm_err *err)
{
    int64_t limit_ms = w->jobs->item_cost_ms_max;
    struct sm_pixels pixels;
    struct sm_team_order order = {.generation = generation,
                                  .recipe = recipe,
                                  .bytes = {claim->bytes, claim->bytes_count},
                                  .cpu_factor = CPU_FACTOR,
                                  .cpu_ms = CPU_MS,
                                  .pixels = claim->keep_pixels ? &pixels : NULL,
                                  .tag = claim};
    if (limit_ms > 0) /* an item that was admitted under a higher limit stays admitted */
        order.cost_ms_max = claim->cost_ms > limit_ms ? claim->cost_ms : limit_ms;
    *document = NULL;
    enum sm_code code = sm_team_score(score, w->worker, &order, err);
    if (code != SM_OK)
        return code;
    kept->pixels_bytes = order.pixels ? sm_pixels_pack(kept->pixels, &pixels) : 0;
    *document = sm_score_json(score, sm_generation_pair(generation));
    return *document ? SM_OK : sm_err_set(err, SM_NOMEM, "score document: out of memory");
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
                                const struct sm_claim *claim, struct kept *kept, struct sm_err *err)
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
    bool known = code == SM_OK && sm_worker_find_history(w, claim, key);
    if (known && claim->keep_pixels)
        code = measure_pixels(kept, w->jobs, &recipe, claim, err);
    if (known && code == SM_OK && sm_worker_commit_history(w, claim, key, kept))
        return SM_OK;
    if (code == SM_OK)
        code = compute(&score, &document, kept, w, generation, &recipe, claim, err);
    if (code != SM_OK)
        return code;
    if (claim == w->current && !sm_worker_settle(w))
        goto out;
    sm_team_times(w->worker, &timing.decode_us, &timing.encode_us);
    sm_jobs_computed(w->jobs, claim->job_id, &timing);
    sm_worker_commit_score(w, claim, &score, document, kept);
out:
    json_decref(document);
    return SM_OK;
}

/* All images of an audit must be scored with the same pair, which its report names. If a different
 * pair is loaded under that name, pauses the audit until an operator decides, queues the item again
 * and returns true. */
static bool wait_for_pair(struct worker *w, const struct sm_claim *claim,
                          const struct sm_pair *pair)
{
    struct sm_err err = {0};
    if (!claim->pair_digest[0] || strcmp(claim->pair_digest, sm_pair_digest(pair)) == 0)
        return false;
    sm_err_set(&err, SM_CONFLICT,
               "pair %s has changed: the audit was made under digest %.12s, %.12s is loaded",
               claim->pair, claim->pair_digest, sm_pair_digest(pair));
    while (!sm_worker_pause_audit(w->jobs, claim, err.text))
        if (sm_jobs_sleep(w->jobs, RETRY_MAX_MS))
            break;
    sm_worker_give_back(w, claim);
    return true;
}

/* Scores the item with the pair's present generation, even if the job was admitted under an earlier
 * one; the score names the pair's digest. */
static enum sm_code score_item(struct worker *w, const struct sm_claim *claim, struct kept *kept,
                               struct sm_err *err)
{
    struct sm_generation *generation;
    struct sm_err why = {0};
    enum sm_code code = sm_pairs_take(&generation, w->jobs->pairs, claim->pair, &why);
    if (code != SM_OK)
        return sm_err_set(err, SM_NOT_FOUND, "pair %s is not loaded: %s", claim->pair,
                          code == SM_NOT_FOUND ? "it is not there any more" : why.text);
    if (!wait_for_pair(w, claim, sm_generation_pair(generation)))
        code = score_under(generation, w, claim, kept, err);
    sm_generation_give(generation);
    return code;
}

/* Draws the thumbnail and scores the item. SM_IO means that no decoder could be started. */
static enum sm_code try_item(struct worker *w, const struct sm_claim *claim, struct sm_err *err)
{
    struct kept kept = {0};
    enum sm_code code = SM_OK;
    if (claim->keep_thumbnail)
        code = draw_thumbnail(&kept, w->jobs, claim, err);
    if (code == SM_OK)
        code = score_item(w, claim, &kept, err);
    free(kept.png);
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
        wait_ms = sm_worker_longer(wait_ms);
    }
    if (code == SM_CANCELLED)
        sm_worker_give_back(w, claim);
    else if (code != SM_OK)
        sm_worker_commit_failure(w, claim, &err);
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
    if (sm_worker_is_committing(w))
        return true;
    if (!sm_worker_settle(w)) {
        sm_err_set(err, SM_CANCELLED, "the item was not claimed");
        return false;
    }
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

static void tell_team(void *arg)
{
    sm_team_tell(arg);
}

static enum sm_code join(struct worker *w, struct sm_err *err)
{
    struct sm_jobs *jobs = w->jobs;
    enum sm_code code = sm_team_join(&w->worker, jobs->team, err);
    if (code == SM_OK)
        code = sm_standing_new(&w->next, jobs->store, jobs->owner, tell_team, jobs->team, err);
    if (code != SM_OK) {
        sm_team_leave(w->worker);
        w->worker = NULL;
    }
    return code;
}

/* Waits for news and for an item. */
static enum sm_code wait_for_item(struct sm_claim *out, struct worker *w, struct sm_err *err)
{
    sm_pulse_beat("wait");
    sm_standing_begin(w->next);
    sm_team_wait(w->jobs->team, w->seen, IDLE_MS);
    enum sm_code code = sm_standing_take(out, w->next, err);
    w->unsettled = code == SM_OK;
    return code;
}

/* Takes the item that was claimed with the last result. Without one, scores a canary that is long
 * overdue, or claims an item. */
static enum sm_code next_item(struct sm_claim *out, struct worker *w, struct sm_err *err)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    enum sm_code code = sm_standing_take(out, w->next, err);
    w->unsettled = code == SM_OK;
    if (code == SM_OK)
        return code;
    sm_worker_settle(w);
    if (now_ms >= w->canary_ms) {
        w->canary_ms = now_ms + CANARY_LOOK_MS;
        watch_canary(w, true);
    }
    sm_pulse_beat("claim");
    return sm_store_claim(out, w->jobs->store, w->jobs->owner, 0, err);
}

/* Runs a unit of another worker's score. That score's claim may not be committed yet, so the first
 * check that it is wanted comes later. */
static bool help(struct worker *w)
{
    w->wanted_ms = sm_clock_monotonic_ms() + WANTED_MS;
    return sm_team_help(w->worker);
}

static void work(struct worker *w)
{
    struct sm_jobs *jobs = w->jobs;
    struct sm_err err = {0};
    struct sm_claim claim;
    while (!sm_jobs_stopping(jobs)) {
        w->seen = sm_team_news(jobs->team);
        enum sm_code code = next_item(&claim, w, &err);
        if (code != SM_OK && code != SM_NOT_FOUND) {
            sm_log("error", "claim_failed", "{s:s}", "detail", err.text);
            sm_jobs_sleep(jobs, RETRY_MAX_MS);
        } else if (code != SM_OK && !help(w) && !watch_canary(w, false)) {
            code = wait_for_item(&claim, w, &err);
        }
        if (code != SM_OK)
            continue;
        w->current = &claim;
        take_claim(w, &claim);
        w->current = NULL;
        w->lost = false;
    }
    sm_worker_settle(w);
    sm_worker_drop_next(w);
}

void *sm_jobs_worker(void *arg)
{
    struct sm_jobs *jobs = arg;
    struct worker w = {.jobs = jobs};
    struct sm_err err = {0};
    sm_pulse_start("worker");
    while (join(&w, &err) != SM_OK)
        if (sm_jobs_sleep(jobs, RETRY_MAX_MS))
            goto out;
    sm_team_set_host(w.worker, &(struct sm_host){look, &w});
    work(&w);
out:
    sm_standing_free(w.next);
    sm_team_leave(w.worker);
    sm_pulse_stop();
    return NULL;
}
