/* Who runs which unit.
 *
 * A round of units that may be shared is "open": it stands on its owner's stack and in the team's
 * list. The owner takes units from the front, helpers from the back, so that with two threads each
 * stays with the weights of one encoder and a helper makes workspaces for the encoders that it runs
 * only. A helper takes one unit and then looks for an image of its own again, so a queue is never
 * behind help by more than one unit.
 *
 * One mutex guards the list, every open round and the news; units run outside it. The owner leaves
 * a round when no unit is left and none is running: after that nobody holds a pointer to it. That
 * order also is what sm_task_round asks for. Nobody spins: owners and the idle wait on one
 * condition.
 *
 * A unit that fails (out of memory) ends its round: the rest is not begun. */
#include "server/jobs/team.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "sslmem/task.h"

struct round {
    struct sm_task *task;
    struct sm_generation *generation; /* of who has the round */
    size_t first, end;                /* units that nobody has taken */
    int running;
    enum sm_code code; /* of the first unit that failed */
    struct sm_err err;
    struct round **link, *next; /* in team->rounds */
};

struct sm_team {
    struct sm_decoders *decoders;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* news, or a round whose last unit has run */
    uint64_t news;
    int64_t give_up_ms;
    struct round *rounds; /* the open ones, newest first */
};

struct sm_mate {
    struct sm_team *team;
    int64_t decode_us, encode_us; /* of the last image */
};

/* --- the team --- */

enum sm_code sm_team_new(struct sm_team **out, struct sm_decoders *decoders, struct sm_err *err)
{
    struct sm_team *team = calloc(1, sizeof *team);
    *out = team;
    if (!team)
        return sm_err_set(err, SM_NOMEM, "team: out of memory");
    team->decoders = decoders;
    team->give_up_ms = INT64_MAX;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&team->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&team->mutex, NULL);
    return SM_OK;
}

void sm_team_free(struct sm_team *team)
{
    if (!team)
        return;
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->mutex);
    free(team);
}

uint64_t sm_team_news(struct sm_team *team)
{
    pthread_mutex_lock(&team->mutex);
    uint64_t news = team->news;
    pthread_mutex_unlock(&team->mutex);
    return news;
}

static void tell(struct sm_team *team)
{
    team->news++;
    pthread_cond_broadcast(&team->changed);
}

void sm_team_tell(struct sm_team *team)
{
    pthread_mutex_lock(&team->mutex);
    tell(team);
    pthread_mutex_unlock(&team->mutex);
}

void sm_team_wait(struct sm_team *team, uint64_t seen, int64_t ms)
{
    int64_t until_ms = sm_clock_monotonic_ms() + ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&team->mutex);
    while (team->news == seen && pthread_cond_timedwait(&team->changed, &team->mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&team->mutex);
}

void sm_team_give_up_at(struct sm_team *team, int64_t ms)
{
    pthread_mutex_lock(&team->mutex);
    team->give_up_ms = ms;
    pthread_mutex_unlock(&team->mutex);
}

/* --- mates --- */

enum sm_code sm_mate_new(struct sm_mate **out, struct sm_team *team, struct sm_err *err)
{
    struct sm_mate *mate = calloc(1, sizeof *mate);
    *out = mate;
    if (!mate)
        return sm_err_set(err, SM_NOMEM, "mate: out of memory");
    mate->team = team;
    return SM_OK;
}

void sm_mate_free(struct sm_mate *mate)
{
    free(mate);
}

/* --- rounds --- */

static void add_round(struct sm_team *team, struct round *round)
{
    round->next = team->rounds;
    if (round->next)
        round->next->link = &round->next;
    round->link = &team->rounds;
    team->rounds = round;
}

static void remove_round(struct round *round)
{
    *round->link = round->next;
    if (round->next)
        round->next->link = round->link;
}

/* Runs a unit that was taken. The mutex is held before and after, not meanwhile. */
static void run_unit(struct sm_mate *mate, struct round *round, size_t unit)
{
    struct sm_team *team = mate->team;
    struct sm_seat *seat;
    struct sm_err err = {0};
    bool give_up = sm_clock_monotonic_ms() >= team->give_up_ms;
    round->running++;
    pthread_mutex_unlock(&team->mutex);
    sm_pulse_beat("encode");
    enum sm_code code = give_up ? sm_err_set(&err, SM_CANCELLED, "the service is stopping")
                                : sm_seat_take(&seat, round->generation, mate, &err);
    int64_t began_us = sm_clock_monotonic_us();
    if (code == SM_OK) {
        code = sm_task_run(round->task, unit, seat->scorer, &err);
        sm_seat_give(round->generation, seat);
    }
    sm_metric_observe(SM_METRIC_ENCODE, sm_clock_monotonic_us() - began_us, NULL, NULL, NULL);
    pthread_mutex_lock(&team->mutex);
    if (code != SM_OK && round->code == SM_OK) {
        round->code = code;
        round->err = err;
        round->end = round->first;
    }
    if (--round->running == 0)
        pthread_cond_broadcast(&team->changed);
}

static enum sm_code run_round(struct sm_mate *mate, struct round *round, struct sm_err *err)
{
    struct sm_team *team = mate->team;
    pthread_mutex_lock(&team->mutex);
    add_round(team, round);
    tell(team);
    while (round->first < round->end)
        run_unit(mate, round, round->first++);
    while (round->running > 0)
        pthread_cond_wait(&team->changed, &team->mutex);
    remove_round(round);
    pthread_mutex_unlock(&team->mutex);
    if (round->code != SM_OK)
        *err = round->err;
    return round->code;
}

static enum sm_code open_task(struct sm_task **out, struct sm_mate *mate,
                              const struct sm_pair *pair, const struct sm_recipe *recipe,
                              struct sm_bytes bytes, struct sm_err *err)
{
    struct sm_decoded decoded;
    int64_t began_us = sm_clock_monotonic_us();
    *out = NULL;
    sm_pulse_beat("decode");
    enum sm_code code = sm_decode(&decoded.image, mate->team->decoders, bytes.data, bytes.count,
                                  recipe->apply_orientation, &decoded.info, err);
    mate->decode_us = sm_clock_monotonic_us() - began_us;
    sm_metric_observe(SM_METRIC_DECODE, mate->decode_us, NULL, NULL, NULL);
    sm_pulse_beat("views");
    if (code != SM_OK)
        return code;
    sm_sha256(decoded.digest, bytes.data, bytes.count);
    return sm_task_open_decoded(out, pair, recipe, &decoded, err);
}

enum sm_code sm_mate_score(struct sm_score *out, struct sm_mate *mate,
                           struct sm_generation *generation, const struct sm_recipe *recipe,
                           struct sm_bytes bytes, struct sm_err *err)
{
    struct sm_task *task;
    size_t units_count;
    *out = (struct sm_score){0};
    int64_t began_us = sm_clock_monotonic_us();
    enum sm_code code = open_task(&task, mate, sm_generation_pair(generation), recipe, bytes, err);
    while (code == SM_OK && (code = sm_task_round(&units_count, task, err)) == SM_OK &&
           units_count > 0) {
        struct round round = {.task = task, .generation = generation, .end = units_count};
        code = run_round(mate, &round, err);
    }
    mate->encode_us = sm_clock_monotonic_us() - began_us - mate->decode_us;
    if (code == SM_OK)
        sm_task_finish(out, task);
    sm_task_free(task);
    return code;
}

void sm_mate_times(const struct sm_mate *mate, int64_t *decode_us, int64_t *encode_us)
{
    *decode_us = mate->decode_us;
    *encode_us = mate->encode_us;
}

bool sm_mate_help(struct sm_mate *mate)
{
    struct sm_team *team = mate->team;
    pthread_mutex_lock(&team->mutex);
    struct round *round = team->rounds;
    while (round && round->first == round->end)
        round = round->next;
    bool helped = round != NULL;
    if (helped)
        run_unit(mate, round, --round->end);
    pthread_mutex_unlock(&team->mutex);
    return helped;
}
