/* A queue and a thread that commits one group at a time.
 *
 * With synchronous FULL every commit flushes the disk, however many writes it has. While one group
 * is flushed, the next one gathers in the queue: under load each write becomes cheaper. Only a
 * write with patience waits for a timer.
 *
 * A write in SM_WRITE_ALONE or SM_WRITE_OUTSIDE is a group of its own.
 *
 * When no write arrives for IDLE_MS after a commit, the thread returns free pages to the file
 * system, in small steps so that new writes need not wait long. Then it checkpoints: both files
 * stay small, and the bytes of deleted images leave the log. */
#include "server/db/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "server/db/db_file.h"

#define IDLE_MS      1000
#define SHRINK_PAGES 256 /* in one step: 1 MiB */

struct sm_writer {
    struct sm_db *db;
    struct sm_writer_rules rules;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t posted;
    pthread_cond_t called; /* a write of sm_writer_call is finished */
    struct sm_write *first, **last;
    int64_t due_ms; /* monotonic time at which the first patience in the queue ends */
    bool stopping, healthy;
    /* used by the writer thread only */
    bool dirty;     /* the log is not empty */
    bool shrinking; /* free pages remain: continue without waiting for IDLE_MS */
};

static enum sm_code no_check(void *arg, struct sm_err *err)
{
    (void)arg, (void)err;
    return SM_OK;
}

static enum sm_code no_rule(void *arg, struct sm_db *db, const struct sm_write *write,
                            struct sm_err *err)
{
    (void)arg, (void)db, (void)write, (void)err;
    return SM_OK;
}

static struct sm_write *no_more(void *arg)
{
    (void)arg;
    return NULL;
}

static void run_one(struct sm_writer *writer, struct sm_write *write)
{
    struct sm_db *db = writer->db;
    const struct sm_writer_rules *rules = &writer->rules;
    write->err = (struct sm_err){0};
    write->code = sm_db_exec(db, "SAVEPOINT one_write", &write->err);
    if (write->code != SM_OK)
        return;
    write->code = rules->before(rules->arg, db, write, &write->err);
    if (write->code == SM_OK)
        write->code = write->run(write, db, &write->err);
    if (write->code == SM_OK)
        write->code = rules->after(rules->arg, db, write, &write->err);
    if (write->code == SM_OK)
        write->code = sm_db_exec(db, "RELEASE one_write", &write->err);
    if (write->code != SM_OK && sm_db_in_transaction(db))
        sm_db_exec(db, "ROLLBACK TO one_write; RELEASE one_write", NULL);
}

/* Runs every write of the group in one transaction. Returns the error of the transaction; each
 * write keeps its own. */
static enum sm_code run_group(struct sm_writer *writer, struct sm_write *group, struct sm_err *err)
{
    int64_t began_us = sm_clock_monotonic_us();
    const struct sm_writer_rules *rules = &writer->rules;
    bool complete = group->mode != SM_WRITE_GROUPED;
    enum sm_code code = rules->check(rules->arg, err);
    if (code == SM_OK)
        code = sm_db_begin(writer->db, err);
    for (struct sm_write *w = group; w && code == SM_OK; w = w->next) {
        run_one(writer, w);
        sm_metric_add(SM_METRIC_WRITES, 1, NULL);
        if (!sm_db_in_transaction(writer->db)) {
            *err = w->err;
            code = w->code;
        } else if (!w->next && !complete) {
            w->next = rules->more(rules->arg);
            complete = true;
        }
    }
    if (code == SM_OK)
        code = sm_db_commit(writer->db, err);
    else
        sm_db_rollback(writer->db);
    if (code == SM_OK)
        code = rules->check(rules->arg, err);
    sm_metric_observe(SM_METRIC_COMMIT, sm_clock_monotonic_us() - began_us, NULL, NULL, NULL);
    return code;
}

static enum sm_code run_alone(struct sm_writer *writer, struct sm_write *write, struct sm_err *err)
{
    enum sm_code code = sm_db_spare(writer->db, true, err);
    if (code == SM_OK)
        code = run_group(writer, write, err);
    sm_db_spare(writer->db, false, NULL);
    return code;
}

/* Returns SM_OK even if the write fails: its error is no failed commit. */
static enum sm_code run_outside(struct sm_writer *writer, struct sm_write *write,
                                struct sm_err *err)
{
    (void)err;
    write->err = (struct sm_err){0};
    write->code = write->run(write, writer->db, &write->err);
    return SM_OK;
}

static enum sm_code (*const runs[])(struct sm_writer *writer, struct sm_write *group,
                                    struct sm_err *err) = {
    [SM_WRITE_GROUPED] = run_group,
    [SM_WRITE_ALONE] = run_alone,
    [SM_WRITE_OUTSIDE] = run_outside,
};

static void finish_group(struct sm_writer *writer, struct sm_write *group, enum sm_code code,
                         const struct sm_err *err)
{
    pthread_mutex_lock(&writer->mutex);
    bool was_healthy = writer->healthy;
    if (group->mode != SM_WRITE_OUTSIDE)
        writer->healthy = code == SM_OK;
    pthread_mutex_unlock(&writer->mutex);
    if (code != SM_OK)
        sm_log("error", "commit_failed", "{s:s}", "detail", err->text);
    else if (!was_healthy && group->mode != SM_WRITE_OUTSIDE)
        sm_log("info", "commit_recovered", NULL);
    while (group) {
        struct sm_write *w = group;
        group = w->next; /* `done` may free w */
        if (code != SM_OK)
            w->done(w, code, err);
        else
            w->done(w, w->code, &w->err);
    }
}

/* Takes the first group off the queue. The caller holds the mutex. */
static struct sm_write *cut_group(struct sm_writer *writer)
{
    struct sm_write *group = writer->first, *last = group;
    if (!group)
        return NULL;
    while (last->next && group->mode == SM_WRITE_GROUPED && last->next->mode == SM_WRITE_GROUPED)
        last = last->next;
    writer->first = last->next;
    if (!writer->first)
        writer->last = &writer->first;
    last->next = NULL;
    writer->due_ms = writer->first ? 0 : INT64_MAX;
    return group;
}

/* Waits for a group. Returns NULL if none came in time (`idle`), or the writer was stopped and the
 * queue is empty (`stop`, and `idle`). */
static struct sm_write *take_group(struct sm_writer *writer, bool *idle, bool *stop)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    int64_t idle_ms = now_ms + (writer->shrinking ? 0 : IDLE_MS);
    pthread_mutex_lock(&writer->mutex);
    while (!writer->stopping && now_ms < writer->due_ms && now_ms < idle_ms) {
        int64_t until_ms = writer->due_ms < idle_ms ? writer->due_ms : idle_ms;
        struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
        pthread_cond_timedwait(&writer->posted, &writer->mutex, &until);
        now_ms = sm_clock_monotonic_ms();
    }
    bool due = writer->stopping || now_ms >= writer->due_ms;
    struct sm_write *group = due ? cut_group(writer) : NULL;
    *stop = writer->stopping && !group;
    *idle = !group;
    pthread_mutex_unlock(&writer->mutex);
    return group;
}

/* Shrinks the file by one step and, after the last step or at `stop`, checkpoints. */
static void tidy(struct sm_writer *writer, bool stop)
{
    struct sm_err err = {0};
    bool clean;
    enum sm_code code = sm_db_shrink(writer->db, SHRINK_PAGES, &writer->shrinking, &err);
    if (code == SM_OK && writer->shrinking && !stop)
        return;
    code = sm_db_checkpoint(writer->db, &clean, &err);
    if (code != SM_OK)
        sm_log("warning", "checkpoint_failed", "{s:s}", "detail", err.text);
    writer->dirty = !clean;
}

static void *writer_thread(void *arg)
{
    struct sm_writer *writer = arg;
    struct sm_err err;
    bool idle, stop = false;
    sm_pulse_start("writer");
    while (!stop) {
        sm_pulse_beat("wait");
        struct sm_write *group = take_group(writer, &idle, &stop);
        err = (struct sm_err){0};
        if (group) {
            sm_pulse_beat("commit");
            enum sm_code code = runs[group->mode](writer, group, &err);
            writer->dirty = true;
            writer->shrinking = false;
            finish_group(writer, group, code, &err);
        } else if (idle && writer->dirty) {
            sm_pulse_beat("tidy");
            tidy(writer, stop);
        }
    }
    sm_pulse_stop();
    return NULL;
}

enum sm_code sm_writer_start(struct sm_writer **out, struct sm_db *db,
                             const struct sm_writer_rules *rules, struct sm_err *err)
{
    *out = NULL;
    struct sm_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return sm_err_set(err, SM_NOMEM, "database writer: out of memory");
    writer->db = db;
    writer->rules =
        rules ? *rules
              : (struct sm_writer_rules){
                    .check = no_check, .before = no_rule, .after = no_rule, .more = no_more};
    writer->last = &writer->first;
    writer->due_ms = INT64_MAX;
    writer->healthy = true;
    writer->dirty = true;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->posted, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&writer->called, NULL);
    pthread_mutex_init(&writer->mutex, NULL);
    int failed = pthread_create(&writer->thread, NULL, writer_thread, writer);
    if (failed) {
        pthread_mutex_destroy(&writer->mutex);
        pthread_cond_destroy(&writer->called);
        pthread_cond_destroy(&writer->posted);
        free(writer);
        return sm_err_set(err, SM_NOMEM, "database writer: no thread: %s", strerror(failed));
    }
    *out = writer;
    return SM_OK;
}

void sm_writer_stop(struct sm_writer *writer)
{
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->stopping = true;
    pthread_cond_signal(&writer->posted);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL);
    pthread_mutex_destroy(&writer->mutex);
    pthread_cond_destroy(&writer->called);
    pthread_cond_destroy(&writer->posted);
    free(writer);
}

void sm_writer_post(struct sm_writer *writer, struct sm_write *write)
{
    int64_t due_ms = write->patience_ms > 0 ? sm_clock_monotonic_ms() + write->patience_ms : 0;
    write->next = NULL;
    pthread_mutex_lock(&writer->mutex);
    *writer->last = write;
    writer->last = &write->next;
    if (due_ms < writer->due_ms)
        writer->due_ms = due_ms;
    pthread_cond_signal(&writer->posted);
    pthread_mutex_unlock(&writer->mutex);
}

void sm_writer_hurry(struct sm_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    if (writer->first) {
        writer->due_ms = 0;
        pthread_cond_signal(&writer->posted);
    }
    pthread_mutex_unlock(&writer->mutex);
}

static void call_done(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct sm_writer *writer = write->caller_of;
    pthread_mutex_lock(&writer->mutex);
    write->code = code;
    write->err = *err;
    write->finished = true;
    pthread_cond_broadcast(&writer->called);
    pthread_mutex_unlock(&writer->mutex);
}

enum sm_code sm_writer_call(struct sm_writer *writer, struct sm_write *write, struct sm_err *err)
{
    write->done = call_done;
    write->caller_of = writer;
    write->finished = false;
    sm_writer_post(writer, write);
    pthread_mutex_lock(&writer->mutex);
    while (!write->finished)
        pthread_cond_wait(&writer->called, &writer->mutex);
    pthread_mutex_unlock(&writer->mutex);
    if (write->code != SM_OK && err)
        *err = write->err;
    return write->code;
}

bool sm_writer_healthy(struct sm_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool healthy = writer->healthy;
    pthread_mutex_unlock(&writer->mutex);
    return healthy;
}
