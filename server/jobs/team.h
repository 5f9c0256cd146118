/* A team: threads that score images, each its own, and help with each other's when they have none.
 *
 *     sm_team_new(&team, decoders, &err);              // then on every thread:
 *     sm_mate_new(&mate, team, &err);
 *     for (;;) {
 *         uint64_t seen = sm_team_news(team);
 *         if (there is an image)
 *             sm_mate_score(&score, mate, generation, &recipe, bytes, &err);
 *         else if (!sm_mate_help(mate))
 *             sm_team_wait(team, seen, 200);
 *     }
 *
 * So a single image gets every thread, and a queue of images gets one thread each, with its views
 * and weights in that core's caches. Which of the two happens does not show in the bits of a score
 * (sslmem/task.h).
 *
 * Owner:   mates are freed before their team. Threads: a mate belongs to one thread; the sm_team_
 *          functions are for all. Errors: of a score, as sm_score_image. */
#ifndef SERVER_JOBS_TEAM_H
#define SERVER_JOBS_TEAM_H

#include "server/decode/decode.h"
#include "server/jobs/generation.h"

struct sm_team;
struct sm_mate;

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

/* From this time on (monotonic) units are not begun any more: scores end with SM_CANCELLED. */
void sm_team_give_up_at(struct sm_team *team, int64_t ms);

enum sm_code sm_mate_new(struct sm_mate **out, struct sm_team *team, struct sm_err *err);
void sm_mate_free(struct sm_mate *mate);

/* An image file. */
struct sm_bytes {
    const void *data;
    size_t count;
};
/* Scores an image with whoever helps; the generation is used until it returns. */
enum sm_code sm_mate_score(struct sm_score *out, struct sm_mate *mate,
                           struct sm_generation *generation, const struct sm_recipe *recipe,
                           struct sm_bytes bytes, struct sm_err *err);
/* Of the last image that it scored: decoding; views and encoders, waits for helpers too. */
void sm_mate_times(const struct sm_mate *mate, int64_t *decode_us, int64_t *encode_us);
/* Runs one unit of somebody's image; false when nobody has one to give. */
bool sm_mate_help(struct sm_mate *mate);

#endif
