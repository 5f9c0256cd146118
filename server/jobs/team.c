/* Decides which worker runs which unit.
 *
 * A round is open while its units may be shared: it is on its owner's stack and in the team's list.
 * The owner takes units from the front, helpers from the back. So with two workers, each uses the
 * weights of one encoder, and a helper needs workspaces only for the encoders that it runs. A
 * helper runs one unit and then looks for an item of its own, so a queued item waits at most one
 * unit for a helper.
 *
 * One mutex guards the list, every open round and the count of news; units run without it. The
 * owner closes a round when no unit is left and none is running; then no other worker has a pointer
 * to it. sm_task_round requires this order too. No worker spins: owners and idle workers wait on
 * one condition.
 *
 * If a unit fails (out of memory), its round ends, and units that nobody has taken do not run.
 *
 * During a look, a worker may score another image on the same stack. Only a worker with no score on
 * its stack helps, and an owner that waits for its helpers neither helps nor looks. So two workers
 * never wait for each other. */
#include "server/jobs/team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/sha256.h"
#include "server/base/clock.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "sslmem/cost.h"
#include "sslmem/task.h"

/* A score under way; on its owner's stack. */
struct run {
    const struct sm_team_order *order;
    int64_t cost_ms;
    atomic_llong cpu_us; /* processor time of all its workers, up to their last looks */
    atomic_bool ended;
    struct sm_err why; /* why it ended; guarded by the mutex */
};

struct round {
    struct sm_task *task;
    struct run *run;   /* the score of the round's owner */
    size_t first, end; /* units first … end - 1 are not taken yet */
    int running;
    enum sm_code code; /* error of the first unit that failed */
    struct sm_err err;
    struct round **link, *next; /* links of team->rounds */
};

struct sm_team {
    struct sm_decoders *decoders;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* news, or a round has no running unit any more */
    uint64_t news;
    atomic_llong give_up_ms;
    struct round *rounds; /* open rounds, newest first */
};

struct sm_team_worker {
    struct sm_team *team;
    struct sm_watch watch; /* calls go_on during everything that the thread runs */
    struct sm_host host;
    struct run *run;              /* the score on which the thread works; NULL: none */
    const char *step;             /* step that its pulse shows */
    int64_t look_ms;              /* monotonic time of the next look */
    int64_t cpu_us;               /* the thread's processor time at the last look */
    int64_t decode_us, encode_us; /* times of the last own image */
};

/* --- the team --- */

enum sm_code sm_team_new(struct sm_team **out, struct sm_decoders *decoders, struct sm_err *err)
{
    struct sm_team *team = calloc(1, sizeof *team);
    *out = team;
    if (!team)
        return sm_err_set(err, SM_NOMEM, "team: out of memory");
    team->decoders = decoders;
    atomic_init(&team->give_up_ms, INT64_MAX);
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
    atomic_store(&team->give_up_ms, ms);
}

/* --- looks --- */

static int64_t thread_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Makes the worker work on `run` (NULL: on none) and charges the processor time since the last call
 * to its previous run, which it returns. */
static struct run *turn_to(struct sm_team_worker *worker, struct run *run, const char *step)
{
    struct run *before = worker->run;
    int64_t now_us = thread_cpu_us();
    if (before)
        atomic_fetch_add(&before->cpu_us, now_us - worker->cpu_us);
    worker->cpu_us = now_us;
    worker->run = run;
    worker->step = step;
    return before;
}

/* Ends a run; the first call sets the reason. */
static void end_run(struct sm_team *team, struct run *run, const struct sm_err *why)
{
    pthread_mutex_lock(&team->mutex);
    if (!atomic_load(&run->ended))
        run->why = *why;
    atomic_store(&run->ended, true);
    pthread_mutex_unlock(&team->mutex);
}

static enum sm_code check_time(const struct sm_team_worker *worker, const struct run *run,
                               int64_t now_ms, struct sm_err *err)
{
    const struct sm_team_order *order = run->order;
    int64_t cpu_ms = atomic_load(&run->cpu_us) / 1000;
    int64_t cpu_ms_max = order->cpu_factor * run->cost_ms + order->cpu_ms;
    if (now_ms >= atomic_load(&worker->team->give_up_ms))
        return sm_err_set(err, SM_CANCELLED, "the service is stopping");
    if (cpu_ms_max > 0 && cpu_ms > cpu_ms_max)
        return sm_err_set(err, SM_LIMIT,
                          "the image took %lld ms of processor time, the limit is %lld at a cost "
                          "of %lld ms",
                          (long long)cpu_ms, (long long)cpu_ms_max, (long long)run->cost_ms);
    return SM_OK;
}

static bool look(struct sm_team_worker *worker, int64_t now_ms)
{
    struct run *run = worker->run;
    struct sm_err why = {0};
    const char *step = worker->step;
    sm_pulse_beat(step);
    turn_to(worker, run, step);
    enum sm_code code = check_time(worker, run, now_ms, &why);
    if (code == SM_OK && worker->host.look) {
        turn_to(worker, NULL, step);
        if (!worker->host.look(worker->host.arg, run->order, run->cost_ms, &why))
            code = why.code;
        turn_to(worker, run, step);
        sm_pulse_beat(step);
    }
    if (code != SM_OK)
        end_run(worker->team, run, &why);
    return code == SM_OK;
}

static bool go_on(void *arg)
{
    struct sm_team_worker *worker = arg;
    int64_t now_ms = sm_clock_monotonic_ms();
    if (atomic_load(&worker->run->ended))
        return false;
    if (now_ms < worker->look_ms)
        return true;
    bool goes = look(worker, now_ms);
    worker->look_ms = sm_clock_monotonic_ms() + SM_LOOK_MS;
    return goes && !atomic_load(&worker->run->ended);
}

/* --- workers --- */

enum sm_code sm_team_join(struct sm_team_worker **out, struct sm_team *team, struct sm_err *err)
{
    struct sm_team_worker *worker = calloc(1, sizeof *worker);
    *out = worker;
    if (!worker)
        return sm_err_set(err, SM_NOMEM, "worker: out of memory");
    worker->team = team;
    worker->watch = (struct sm_watch){go_on, worker};
    return SM_OK;
}

void sm_team_set_host(struct sm_team_worker *worker, const struct sm_host *host)
{
    worker->host = *host;
}

void sm_team_leave(struct sm_team_worker *worker)
{
    free(worker);
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

/* Runs a unit that the caller has taken. The caller holds the mutex, which is released while the
 * unit runs. */
static void run_unit(struct sm_team_worker *worker, struct round *round, size_t unit)
{
    struct sm_team *team = worker->team;
    struct sm_scorer_slot *slot;
    struct sm_err err = {0};
    struct sm_generation *generation = round->run->order->generation;
    round->running++;
    pthread_mutex_unlock(&team->mutex);
    struct run *before = turn_to(worker, round->run, "encode");
    const char *step_before = before ? "views" : "wait";
    sm_pulse_beat("encode");
    enum sm_code code = sm_watch_ask(&worker->watch, &err);
    if (code == SM_OK)
        code = sm_scorer_slot_take(&slot, generation, worker, &err);
    int64_t began_us = sm_clock_monotonic_us();
    if (code == SM_OK) {
        sm_scorer_watch(slot->scorer, &worker->watch);
        code = sm_task_run(round->task, unit, slot->scorer, &err);
        sm_scorer_watch(slot->scorer, NULL);
        sm_scorer_slot_give(generation, slot);
    }
    turn_to(worker, before, step_before);
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

static enum sm_code run_round(struct sm_team_worker *worker, struct round *round,
                              struct sm_err *err)
{
    struct sm_team *team = worker->team;
    pthread_mutex_lock(&team->mutex);
    add_round(team, round);
    tell(team);
    while (round->first < round->end)
        run_unit(worker, round, round->first++);
    while (round->running > 0)
        pthread_cond_wait(&team->changed, &team->mutex);
    remove_round(round);
    pthread_mutex_unlock(&team->mutex);
    if (round->code != SM_OK)
        *err = round->err;
    return round->code;
}

/* Computes the cost of the decoded image and checks it against the order's limit. The admission
 * knew only the size in the image's header. */
static enum sm_code weigh(struct run *run, const struct sm_image_info *info, struct sm_err *err)
{
    const struct sm_team_order *order = run->order;
    run->cost_ms = sm_cost_ms(sm_generation_pair(order->generation), order->recipe, info->width_px,
                              info->height_px);
    if (order->cost_ms_max > 0 && run->cost_ms > order->cost_ms_max)
        return sm_err_set(err, SM_LIMIT,
                          "the image of %dx%d pixels costs %lld ms with this recipe, the limit is "
                          "%lld",
                          (int)info->width_px, (int)info->height_px, (long long)run->cost_ms,
                          (long long)order->cost_ms_max);
    return SM_OK;
}

static enum sm_code open_task(struct sm_task **out, int64_t *decode_us,
                              struct sm_team_worker *worker, struct run *run, struct sm_err *err)
{
    const struct sm_team_order *order = run->order;
    const struct sm_bytes *bytes = &order->bytes;
    struct sm_decoded decoded;
    int64_t began_us = sm_clock_monotonic_us();
    *out = NULL;
    sm_pulse_beat("decode");
    enum sm_code code = sm_decode(&decoded.image, worker->team->decoders, bytes->data, bytes->count,
                                  order->recipe->apply_orientation, &decoded.info, err);
    *decode_us = sm_clock_monotonic_us() - began_us;
    sm_metric_observe(SM_METRIC_DECODE, *decode_us, NULL, NULL, NULL);
    sm_pulse_beat("views");
    if (code != SM_OK)
        return code;
    code = weigh(run, &decoded.info, err);
    if (code == SM_OK && order->pixels)
        code = sm_pixels_measure(order->pixels, &decoded.image, decoded.info.media_type,
                                 bytes->count, err);
    if (code != SM_OK) {
        sm_image_release(&decoded.image);
        return code;
    }
    sm_sha256(decoded.digest, bytes->data, bytes->count);
    code = sm_task_open_decoded(out, sm_generation_pair(order->generation), order->recipe, &decoded,
                                err);
    if (code == SM_OK)
        sm_task_watch(*out, &worker->watch);
    return code;
}

enum sm_code sm_team_score(struct sm_score *out, struct sm_team_worker *worker,
                           const struct sm_team_order *order, struct sm_err *err)
{
    struct sm_task *task;
    struct run run = {.order = order};
    size_t units_count;
    int64_t decode_us, began_us = sm_clock_monotonic_us();
    *out = (struct sm_score){0};
    struct run *before = turn_to(worker, &run, "views");
    enum sm_code code = open_task(&task, &decode_us, worker, &run, err);
    while (code == SM_OK && (code = sm_task_round(&units_count, task, err)) == SM_OK &&
           units_count > 0) {
        struct round round = {.task = task, .run = &run, .end = units_count};
        code = run_round(worker, &round, err);
    }
    turn_to(worker, before, "wait");
    worker->decode_us = decode_us;
    worker->encode_us = sm_clock_monotonic_us() - began_us - decode_us;
    if (code == SM_OK)
        sm_task_finish(out, task);
    if (code == SM_CANCELLED && atomic_load(&run.ended)) {
        *err = run.why;
        code = run.why.code;
    }
    sm_task_free(task);
    return code;
}

void sm_team_times(const struct sm_team_worker *worker, int64_t *decode_us, int64_t *encode_us)
{
    *decode_us = worker->decode_us;
    *encode_us = worker->encode_us;
}

bool sm_team_help(struct sm_team_worker *worker)
{
    struct sm_team *team = worker->team;
    pthread_mutex_lock(&team->mutex);
    struct round *round = team->rounds;
    while (round && round->first == round->end)
        round = round->next;
    bool helped = round != NULL;
    if (helped)
        run_unit(worker, round, --round->end);
    pthread_mutex_unlock(&team->mutex);
    return helped;
}
