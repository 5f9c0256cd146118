/* A team: threads that score images, each its own, and help with each other's when they have none.
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
 * So a single image gets every thread, and a queue of images gets one thread each, with its views
 * and weights in that core's caches. Which of the two happens does not show in the bits of a score
 * (sslmem/task.h).
 *
 * All along a score, about every SM_LOOK_MS, its threads beat their pulse, see to the end of the
 * service and to the processor time that the score may take, and ask the host of their worker, who
 * may end the score or have the same thread score another image in between.
 *
 * Owner:   workers leave before their team is freed. Threads: a worker belongs to one thread; any
 *          thread may call the functions of the team.
 *          Errors: of a score, as sm_score_image. */
#ifndef SERVER_JOBS_TEAM_H
#define SERVER_JOBS_TEAM_H

#include "server/decode/decode.h"
#include "server/jobs/generation.h"

struct sm_team;
struct sm_team_worker;

/* `decoders` decode the images of this team, see sm_decode; they must outlive it. */
enum sm_code sm_team_new(struct sm_team **out, struct sm_decoders *decoders, struct sm_err *err);
void sm_team_free(struct sm_team *team);

/* Waiting without missing anything: read the count of news, look for work, and only then wait for a
 * count other than the one read. */
uint64_t sm_team_news(struct sm_team *team);
/* One more: there may be work, or an end to it. Wakes all that wait. */
void sm_team_tell(struct sm_team *team);
/* Until news or for `ms`. */
void sm_team_wait(struct sm_team *team, uint64_t seen, int64_t ms);

/* From this time on (monotonic) scores end with SM_CANCELLED at their next look. */
void sm_team_give_up_at(struct sm_team *team, int64_t ms);

enum sm_code sm_team_join(struct sm_team_worker **out, struct sm_team *team, struct sm_err *err);
void sm_team_leave(struct sm_team_worker *worker);

/* An image file. */
struct sm_bytes {
    const void *data;
    size_t count;
};
/* A score that is wanted; the generation is used until it is there. */
struct sm_team_order {
    struct sm_generation *generation;
    const struct sm_recipe *recipe;
    struct sm_bytes bytes;
    int64_t cost_ms_max; /* SM_LIMIT when the decoded image costs more; 0: no limit */
    /* Processor time of all threads together, over which it ends with SM_LIMIT: so many times its
     * cost, and so much besides. Both 0: no bound. */
    int64_t cpu_factor, cpu_ms;
    const void *tag; /* for the host */
};
/* Scores an image with whoever helps. */
enum sm_code sm_team_score(struct sm_score *out, struct sm_team_worker *worker,
                           const struct sm_team_order *order, struct sm_err *err);

#define SM_LOOK_MS 20
/* Called on the worker's thread along each score that it works on, its own or one it helps with.
 * `cost_ms` is the score's. False, with an error, ends the score. It may call sm_team_score. */
struct sm_host {
    bool (*look)(void *arg, const struct sm_team_order *order, int64_t cost_ms, struct sm_err *err);
    void *arg;
};
void sm_team_set_host(struct sm_team_worker *worker, const struct sm_host *host);
/* Of the last image that it scored: decoding; views and encoders, waits for helpers too. */
void sm_team_times(const struct sm_team_worker *worker, int64_t *decode_us, int64_t *encode_us);
/* Runs one unit of somebody's image; false when nobody has one to give. */
bool sm_team_help(struct sm_team_worker *worker);

#endif
