/* Tickets, and the life of the threads.
 *
 * A ticket is pending until the writer thread calls `admitted`. Then it is in the list of waiting
 * tickets until a worker finishes the job's last item. A worker can claim an item only through the
 * writer thread, after that call, so a ticket never finishes before it is admitted.
 *
 * One mutex guards the list and all tickets. `wake` is called under it, so that no wake can come
 * after sm_ticket_release. If a ticket is released while it is pending, `admitted`, which still has
 * a pointer to it, frees it. */
#include "server/jobs/jobs_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/pulse.h"
#include "server/store/claim.h"
#include "server/store/pair_use.h"

/* Decoding and drawing views need small arrays on the stack; BLAS needs larger ones. */
#define WORKER_STACK_BYTES ((size_t)8 << 20)
#define TICKER_STACK_BYTES ((size_t)1 << 20)

#define RATE_WINDOW_MS 60000
#define EXPIRE_PASS_MS 600000
#define EXPIRE_STEP_MS 1000

struct sm_ticket {
    struct sm_jobs *jobs;
    char job_id[SM_ID_BYTES];
    enum sm_ticket_state state;
    struct sm_err err;
    void (*wake)(void *arg);
    void *arg;
    bool released;
    struct sm_timing timing;
    int64_t computed_us;            /* when that image's commit began; 0: no image was computed */
    struct sm_ticket **link, *next; /* links of jobs->waiting; link NULL: not in that list */
};

/* --- tickets --- */

static void list_add(struct sm_ticket *ticket)
{
    ticket->next = ticket->jobs->waiting;
    if (ticket->next)
        ticket->next->link = &ticket->next;
    ticket->link = &ticket->jobs->waiting;
    ticket->jobs->waiting = ticket;
}

static void list_remove(struct sm_ticket *ticket)
{
    if (!ticket->link)
        return;
    *ticket->link = ticket->next;
    if (ticket->next)
        ticket->next->link = ticket->link;
    ticket->link = NULL;
}

/* The store calls this on the writer thread when an admission is committed or has failed. */
static void admitted(void *arg, enum sm_code code, const struct sm_err *err)
{
    struct sm_ticket *ticket = arg;
    struct sm_jobs *jobs = ticket->jobs;
    sm_team_tell(jobs->team); /* before the count below reaches 0: then jobs may be freed */
    pthread_mutex_lock(&jobs->mutex);
    jobs->admitting_count--;
    pthread_cond_broadcast(&jobs->changed);
    bool released = ticket->released;
    if (!released) {
        ticket->state = code == SM_OK ? SM_TICKET_ADMITTED : SM_TICKET_FAILED;
        if (code == SM_OK)
            list_add(ticket);
        else
            ticket->err = *err;
        ticket->wake(ticket->arg);
    }
    pthread_mutex_unlock(&jobs->mutex);
    if (released)
        free(ticket);
}

struct demand {
    int items_count;
    int64_t bytes_count, cost_ms;
};

static struct demand demand_of(const struct sm_job_in *job)
{
    struct demand d = {.items_count = job->items_count};
    for (int i = 0; i < job->items_count; i++) {
        d.bytes_count += (int64_t)job->items[i].bytes_count;
        d.cost_ms += job->items[i].cost_ms;
    }
    return d;
}

void sm_jobs_owe(struct sm_jobs *jobs, const struct sm_err *why)
{
    pthread_mutex_lock(&jobs->mutex);
    jobs->owed_count++;
    jobs->owed_err = *why;
    pthread_mutex_unlock(&jobs->mutex);
}

void sm_jobs_settle(struct sm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->mutex);
    jobs->owed_count--;
    pthread_mutex_unlock(&jobs->mutex);
}

/* Fails while results wait for the store. The caller holds the mutex. */
static enum sm_code check_owed(const struct sm_jobs *jobs, struct sm_err *err)
{
    if (jobs->owed_count == 0)
        return SM_OK;
    return sm_err_set(err, jobs->owed_err.code == SM_FULL ? SM_FULL : SM_IO,
                      "%d results wait for the store: %.150s", jobs->owed_count,
                      jobs->owed_err.text);
}

enum sm_code sm_jobs_check_results(struct sm_jobs *jobs, struct sm_err *err)
{
    enum sm_code code = sm_store_check_files(jobs->store, err);
    if (code != SM_OK)
        return code;
    pthread_mutex_lock(&jobs->mutex);
    code = check_owed(jobs, err);
    pthread_mutex_unlock(&jobs->mutex);
    return code;
}

enum sm_code sm_jobs_check_store(struct sm_jobs *jobs, struct sm_err *err)
{
    enum sm_code code = sm_jobs_check_results(jobs, err);
    return code == SM_OK ? sm_store_check(jobs->store, err) : code;
}

/* Checks that the queue has room for a job. The caller holds the mutex. */
static enum sm_code check_room(const struct sm_jobs *jobs, const struct demand *d,
                               struct sm_err *err)
{
    int64_t items = sm_store_queued_count(jobs->store) + jobs->reserved_count;
    int64_t bytes = sm_store_queued_bytes(jobs->store) + jobs->reserved_bytes;
    int64_t cost_ms = sm_store_queued_cost_ms(jobs->store) + jobs->reserved_cost_ms;
    int64_t cost_ms_max = jobs->queue_cost_ms_max;
    if (jobs->stopping)
        return sm_err_set(err, SM_BUSY, "the service is stopping");
    if (jobs->owed_count > 0)
        return check_owed(jobs, err);
    if (items + d->items_count > jobs->queue_max)
        return sm_err_set(err, SM_BUSY,
                          "the queue holds %lld images of at most %lld, no room for %d",
                          (long long)items, (long long)jobs->queue_max, d->items_count);
    if (bytes > 0 && bytes + d->bytes_count > jobs->queue_bytes_max)
        return sm_err_set(
            err, SM_BUSY, "the queue holds %lld bytes of at most %lld, no room for %lld",
            (long long)bytes, (long long)jobs->queue_bytes_max, (long long)d->bytes_count);
    if (cost_ms > 0 && cost_ms_max > 0 && cost_ms + d->cost_ms > cost_ms_max)
        return sm_err_set(err, SM_BUSY,
                          "the queue holds work of %lld ms of at most %lld, no room for %lld",
                          (long long)cost_ms, (long long)cost_ms_max, (long long)d->cost_ms);
    return SM_OK;
}

/* Reserves room in the queue until sm_store_admit has returned; then the store counts the items. */
static enum sm_code reserve(struct sm_jobs *jobs, const struct demand *d, struct sm_err *err)
{
    pthread_mutex_lock(&jobs->mutex);
    enum sm_code code = check_room(jobs, d, err);
    if (code == SM_OK) {
        jobs->reserved_count += d->items_count;
        jobs->reserved_bytes += d->bytes_count;
        jobs->reserved_cost_ms += d->cost_ms;
        jobs->admitting_count++;
    }
    pthread_mutex_unlock(&jobs->mutex);
    return code;
}

static void unreserve(struct sm_jobs *jobs, const struct demand *d, bool posted)
{
    pthread_mutex_lock(&jobs->mutex);
    jobs->reserved_count -= d->items_count;
    jobs->reserved_bytes -= d->bytes_count;
    jobs->reserved_cost_ms -= d->cost_ms;
    if (!posted)
        jobs->admitting_count--;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->mutex);
}

enum sm_code sm_jobs_submit(struct sm_ticket **out, struct sm_jobs *jobs,
                            const struct sm_job_in *job, void (*wake)(void *arg), void *arg,
                            struct sm_err *err)
{
    *out = NULL;
    struct sm_ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket)
        return sm_err_set(err, SM_NOMEM, "ticket: out of memory");
    ticket->jobs = jobs;
    ticket->wake = wake;
    ticket->arg = arg;
    memcpy(ticket->job_id, job->id, sizeof ticket->job_id);

    struct demand demand = demand_of(job);
    enum sm_code code = reserve(jobs, &demand, err);
    if (code != SM_OK) {
        free(ticket);
        return code;
    }
    *out = ticket; /* set before wake can run */
    code = sm_store_admit(jobs->store, job, admitted, ticket, err);
    unreserve(jobs, &demand, code == SM_OK);
    if (code != SM_OK) {
        *out = NULL;
        free(ticket);
    }
    return code;
}

enum sm_ticket_state sm_ticket_state(struct sm_ticket *ticket, struct sm_err *err)
{
    pthread_mutex_lock(&ticket->jobs->mutex);
    enum sm_ticket_state state = ticket->state;
    if (state == SM_TICKET_FAILED && err)
        *err = ticket->err;
    pthread_mutex_unlock(&ticket->jobs->mutex);
    return state;
}

bool sm_ticket_timing(struct sm_timing *out, struct sm_ticket *ticket)
{
    pthread_mutex_lock(&ticket->jobs->mutex);
    bool computed = ticket->computed_us != 0;
    *out = ticket->timing;
    pthread_mutex_unlock(&ticket->jobs->mutex);
    return computed;
}

void sm_ticket_release(struct sm_ticket *ticket)
{
    if (!ticket)
        return;
    struct sm_jobs *jobs = ticket->jobs;
    pthread_mutex_lock(&jobs->mutex);
    bool pending = ticket->state == SM_TICKET_PENDING;
    ticket->released = true;
    list_remove(ticket);
    pthread_mutex_unlock(&jobs->mutex);
    if (!pending)
        free(ticket);
}

void sm_jobs_computed(struct sm_jobs *jobs, const char *job_id, const struct sm_timing *timing)
{
    pthread_mutex_lock(&jobs->mutex);
    for (struct sm_ticket *ticket = jobs->waiting; ticket; ticket = ticket->next)
        if (strcmp(ticket->job_id, job_id) == 0) {
            ticket->timing = *timing;
            ticket->computed_us = sm_clock_monotonic_us();
        }
    pthread_mutex_unlock(&jobs->mutex);
}

void sm_jobs_finished(struct sm_jobs *jobs, const char *job_id)
{
    pthread_mutex_lock(&jobs->mutex);
    struct sm_ticket *next;
    for (struct sm_ticket *ticket = jobs->waiting; ticket; ticket = next) {
        next = ticket->next;
        if (strcmp(ticket->job_id, job_id) != 0)
            continue;
        list_remove(ticket);
        ticket->state = SM_TICKET_FINISHED;
        ticket->timing.commit_us = sm_clock_monotonic_us() - ticket->computed_us;
        ticket->wake(ticket->arg);
    }
    pthread_mutex_unlock(&jobs->mutex);
}

enum sm_code sm_jobs_erase(struct sm_erasure *image, bool *rewritten, struct sm_jobs *jobs,
                           struct sm_err *err)
{
    struct sm_erased erased;
    enum sm_code code = sm_store_erase(&erased, jobs->store, image, 1, err);
    for (size_t i = 0; i < erased.finished_count; i++)
        sm_jobs_finished(jobs, erased.finished[i]);
    *rewritten = erased.rewritten;
    sm_erased_release(&erased);
    return code;
}

/* --- the rate --- */

/* Adds the time since the last call to the busy time if a worker had an item. The caller holds the
 * mutex. */
static void count_busy(struct sm_jobs *jobs)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    if (jobs->hands_count > 0)
        jobs->busy_ms += now_ms - jobs->busy_since_ms;
    jobs->busy_since_ms = now_ms;
}

void sm_jobs_begin_item(struct sm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->mutex);
    count_busy(jobs);
    jobs->hands_count++;
    pthread_mutex_unlock(&jobs->mutex);
}

void sm_jobs_end_item(struct sm_jobs *jobs, int64_t cost_ms)
{
    pthread_mutex_lock(&jobs->mutex);
    count_busy(jobs);
    jobs->hands_count--;
    jobs->done_cost_ms += cost_ms;
    if (jobs->busy_ms > RATE_WINDOW_MS) {
        jobs->busy_ms /= 2;
        jobs->done_cost_ms /= 2;
    }
    pthread_mutex_unlock(&jobs->mutex);
}

int64_t sm_jobs_wait_s(struct sm_jobs *jobs, int64_t cost_ms)
{
    pthread_mutex_lock(&jobs->mutex);
    double rate = jobs->workers_count > 0 ? jobs->workers_count : 1;
    if (jobs->done_cost_ms > 0)
        rate = (double)jobs->done_cost_ms / (double)(jobs->busy_ms > 0 ? jobs->busy_ms : 1);
    pthread_mutex_unlock(&jobs->mutex);
    double s = (double)cost_ms / rate / 1000;
    return s < 1 ? 1 : s < SM_JOBS_WAIT_MAX_S ? (int64_t)s : SM_JOBS_WAIT_MAX_S;
}

/* --- threads --- */

bool sm_jobs_stopping(struct sm_jobs *jobs)
{
    pthread_mutex_lock(&jobs->mutex);
    bool stopping = jobs->stopping;
    pthread_mutex_unlock(&jobs->mutex);
    return stopping;
}

bool sm_jobs_sleep(struct sm_jobs *jobs, int64_t ms)
{
    int64_t until_ms = sm_clock_monotonic_ms() + ms;
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    sm_pulse_beat_for("pause", ms);
    pthread_mutex_lock(&jobs->mutex);
    while (!jobs->stopping && pthread_cond_timedwait(&jobs->changed, &jobs->mutex, &until) == 0)
        ;
    bool stopping = jobs->stopping;
    pthread_mutex_unlock(&jobs->mutex);
    return stopping;
}

/* Deletes expired rows, one pass every EXPIRE_PASS_MS. A call takes about EXPIRE_STEP_MS at most,
 * because the ticker must renew leases; the next tick continues a longer pass. */
static void expire(struct sm_jobs *jobs)
{
    struct sm_err err = {0};
    bool done;
    if (sm_clock_monotonic_ms() < jobs->expire_next_ms)
        return;
    if (sm_store_expire(&done, &jobs->expiry, jobs->store, sm_clock_unix_ms(), EXPIRE_STEP_MS,
                        &err) != SM_OK)
        sm_log("error", "expire_failed", "{s:s}", "detail", err.text);
    else if (done)
        jobs->expire_next_ms = sm_clock_monotonic_ms() + EXPIRE_PASS_MS;
}

void *sm_jobs_ticker(void *arg)
{
    struct sm_jobs *jobs = arg;
    sm_pulse_start("leases");
    expire(jobs);
    while (!sm_jobs_sleep(jobs, SM_LEASE_MS / 4)) {
        struct sm_err err = {0};
        sm_pulse_beat("commit");
        if (sm_store_heartbeat(jobs->store, jobs->owner, &err) != SM_OK)
            sm_log("error", "heartbeat_failed", "{s:s}", "detail", err.text);
        sm_team_tell(jobs->team); /* items with expired leases may be queued again */
        expire(jobs);
    }
    sm_pulse_stop();
    return NULL;
}

static enum sm_code start_thread(pthread_t *out, size_t stack_bytes, void *(*run)(void *arg),
                                 struct sm_jobs *jobs, struct sm_err *err)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    int failed = pthread_create(out, &attributes, run, jobs);
    pthread_attr_destroy(&attributes);
    return failed ? sm_err_set(err, SM_NOMEM, "worker: no thread: %s", strerror(failed)) : SM_OK;
}

static enum sm_code start_threads(struct sm_jobs *jobs, int workers, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    jobs->workers = calloc((size_t)workers, sizeof *jobs->workers);
    if (!jobs->workers && workers > 0)
        return sm_err_set(err, SM_NOMEM, "%d workers: out of memory", workers);
    while (code == SM_OK && jobs->workers_count < workers) {
        code = start_thread(&jobs->workers[jobs->workers_count], WORKER_STACK_BYTES, sm_jobs_worker,
                            jobs, err);
        jobs->workers_count += code == SM_OK;
    }
    if (code == SM_OK)
        code = start_thread(&jobs->ticker, TICKER_STACK_BYTES, sm_jobs_ticker, jobs, err);
    jobs->ticker_runs = code == SM_OK;
    return code;
}

enum sm_code sm_jobs_start(struct sm_jobs **out, const struct sm_jobs_params *params,
                           struct sm_err *err)
{
    assert(params->workers >= 0);
    *out = NULL;
    struct sm_jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs)
        return sm_err_set(err, SM_NOMEM, "jobs: out of memory");
    jobs->store = params->store;
    jobs->pairs = params->pairs;
    sm_store_set_pairs(jobs->store, sm_pairs_there, jobs->pairs);
    jobs->decoders = params->decoders;
    jobs->queue_max = params->queue_max;
    jobs->queue_bytes_max = params->queue_bytes_max;
    jobs->queue_cost_ms_max = params->queue_cost_ms_max;
    jobs->item_cost_ms_max = params->item_cost_ms_max;
    memcpy(jobs->expiry.days, params->retention_days, sizeof jobs->expiry.days);
    sm_id_new(jobs->owner);
    pthread_mutex_init(&jobs->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);

    enum sm_code code = sm_team_new(&jobs->team, params->decoders, err);
    if (code == SM_OK)
        code = start_threads(jobs, params->workers, err);
    if (code != SM_OK) {
        sm_jobs_stop(jobs);
        return code;
    }
    *out = jobs;
    return SM_OK;
}

void sm_jobs_set_queue_max(struct sm_jobs *jobs, int64_t queue_max)
{
    jobs->queue_max = queue_max;
}

void sm_jobs_set_costs(struct sm_jobs *jobs, int64_t queue_cost_ms_max, int64_t item_cost_ms_max)
{
    jobs->item_cost_ms_max = item_cost_ms_max;
    jobs->queue_cost_ms_max = queue_cost_ms_max;
}

void sm_jobs_stop(struct sm_jobs *jobs)
{
    sm_jobs_stop_by(jobs, INT64_MAX);
}

void sm_jobs_stop_by(struct sm_jobs *jobs, int64_t give_up_ms)
{
    if (!jobs)
        return;
    if (jobs->team)
        sm_team_give_up_at(jobs->team, give_up_ms);
    pthread_mutex_lock(&jobs->mutex);
    jobs->stopping = true;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->mutex);
    if (jobs->team)
        sm_team_tell(jobs->team);
    for (int i = 0; i < jobs->workers_count; i++)
        pthread_join(jobs->workers[i], NULL);
    if (jobs->ticker_runs)
        pthread_join(jobs->ticker, NULL);

    pthread_mutex_lock(&jobs->mutex);
    while (jobs->admitting_count > 0)
        pthread_cond_wait(&jobs->changed, &jobs->mutex);
    assert(!jobs->waiting); /* the caller has released every ticket */
    pthread_mutex_unlock(&jobs->mutex);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->mutex);
    sm_team_free(jobs->team);
    free(jobs->workers);
    free(jobs);
}
