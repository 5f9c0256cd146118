/* A team: workers that score images. A worker without an image runs units of another worker's
 * score.
 *
 *     sm_team_new(&team, decoders, &err);              // then on every thread:
 *     sm_team_join(&worker, team, &err);
 *     for (;;) {
 *         uint64_t seen = sm_team_news(team);
 *         if (there is an image)
 *             sm_team_score(&score, worker, &order, &err);
 *         else if (!sm_team_help(worker))
 *             sm_team_wait(team, seen, 200);
 *     }
 *
 * So a single image uses all workers, while each image of a queue uses one, with its views and
 * weights in that core's caches. The bits of a score do not depend on which of the two happens
 * (sslmem/task.h).
 *
 * During a score, each of its workers takes a "look" about every SM_LOOK_MS: it beats its pulse,
 * checks for the end of the service and the score's limit of processor time, and calls its host.
 * The host may end the score, or score another image on the same thread before it returns.
 *
 * Owner:   the caller; all workers leave before their team is freed.
 * Threads: a worker belongs to one thread; any thread may call the functions of the team.
 * Errors:  of sm_team_score: those of sm_score_image and sm_decode, SM_LIMIT (over the order's
 *          limits), SM_CANCELLED, and those of the host. */
#ifndef SERVER_JOBS_TEAM_H
#define SERVER_JOBS_TEAM_H

#include "server/decode/decode.h"
#include "server/jobs/generation.h"
#include "sslmem/pixels.h"

struct sm_team;
struct sm_team_worker;

/* Makes a team without workers. `decoders`: see sm_decode; they must outlive the team. */
enum sm_code sm_team_new(struct sm_team **out, struct sm_decoders *decoders, struct sm_err *err);
void sm_team_free(struct sm_team *team);

/* Returns the count of news. To wait without missing news, a worker reads the count, looks for
 * work, and then waits until the count differs. */
uint64_t sm_team_news(struct sm_team *team);
/* Increments the count and wakes all waiting workers: there may be work, or the team must end. */
void sm_team_tell(struct sm_team *team);
/* Waits until the count differs from `seen`, at most `ms`. */
void sm_team_wait(struct sm_team *team, uint64_t seen, int64_t ms);

/* From the monotonic time `ms` on, scores end with SM_CANCELLED at their next look. */
void sm_team_give_up_at(struct sm_team *team, int64_t ms);

enum sm_code sm_team_join(struct sm_team_worker **out, struct sm_team *team, struct sm_err *err);
void sm_team_leave(struct sm_team_worker *worker);

/* The bytes of an image file. */
struct sm_bytes {
    const void *data;
    size_t count;
};
/* The score to compute. The caller keeps everything in it alive until sm_team_score returns. */
struct sm_team_order {
    struct sm_generation *generation;
    const struct sm_recipe *recipe;
    struct sm_bytes bytes;
    int64_t cost_ms_max; /* limit of the decoded image's cost; 0: no limit */
    /* Limit of processor time, all workers together: cpu_factor times the cost, plus cpu_ms. Both
     * 0: no limit. */
    int64_t cpu_factor, cpu_ms;
    struct sm_pixels *pixels; /* receives the features of the decoded image; NULL: not wanted */
    const void *tag;          /* not used by the team; the host may identify the order by it */
};
/* Scores an image on this worker; workers without an image help. */
enum sm_code sm_team_score(struct sm_score *out, struct sm_team_worker *worker,
                           const struct sm_team_order *order, struct sm_err *err);

#define SM_LOOK_MS 20
/* The host of a worker. `look` is called on the worker's thread at each look of a score that it
 * owns or helps with. `cost_ms`: the score's cost. Returns false, with an error, to end the score.
 * It may call sm_team_score. */
struct sm_host {
    bool (*look)(void *arg, const struct sm_team_order *order, int64_t cost_ms, struct sm_err *err);
    void *arg;
};
void sm_team_set_host(struct sm_team_worker *worker, const struct sm_host *host);
/* Returns the times of the worker's last own image: decoding, and the rest (views, encoders, waits
 * for helpers). */
void sm_team_times(const struct sm_team_worker *worker, int64_t *decode_us, int64_t *encode_us);
/* Runs one unit of another worker's score; returns false if no unit is free. */
bool sm_team_help(struct sm_team_worker *worker);

#endif
