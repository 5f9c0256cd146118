/* The writer: one thread that owns the connection that writes, and group commit.
 *
 *     struct admission { struct sm_write write; … };
 *     a->write = (struct sm_write){.run = run_admission, .done = admitted};
 *     sm_writer_post(writer, &a->write);              // returns at once
 *
 * All writes queued when the thread looks go into one transaction, each inside its own savepoint:
 * one that fails leaves no trace and does not fail the others. After the commit every write's
 * `done` is called, in order, with its own result; when the commit itself fails, with the commit's.
 * Callbacks of one group run before any write of the next.
 *
 * A write may want to be alone in its transaction: SQLite ends the whole transaction with a write
 * that finds the disk full, and what is done about that (to say so, or to make room) must not be
 * lost with it. It may take a little more room than the limit of the database allows. Or a write
 * wants no transaction, for what none can do.
 *
 * Rules are asked around groups and writes: whether the file is still the right one, and whether a
 * write leaves the room that was promised to others.
 *
 * Owner:   the poster owns the write until `done` was called, which may free it.
 * Threads: post and call from any thread but the writer's own (post also from `done`). */
#ifndef SERVER_DB_WRITER_H
#define SERVER_DB_WRITER_H

#include "server/db/db.h"

struct sm_write;
typedef enum sm_code sm_write_run(struct sm_write *write, struct sm_db *db, struct sm_err *err);
typedef void sm_write_done(struct sm_write *write, enum sm_code code, const struct sm_err *err);

enum sm_write_mode {
    SM_WRITE_GROUPED,
    SM_WRITE_ALONE,  /* a transaction of its own, with some room beyond the limit */
    SM_WRITE_OUTSIDE /* none: the next group begins when `run` has returned */
};

/* What a grouped write may do with the room that is kept for results (room.c). */
enum sm_write_room {
    SM_ROOM_LEAVE, /* must leave it */
    SM_ROOM_LOG,   /* may take the part that is for the access log */
    SM_ROOM_USE    /* may take it: it is what the room is kept for */
};

struct sm_write {
    sm_write_run *run;
    sm_write_done *done;
    enum sm_write_mode mode;
    enum sm_write_room room;
    int64_t growth_bytes; /* that it will take, where that is known before */
    /* the writer's own */
    struct sm_write *next;
    enum sm_code code;
    struct sm_err err;
    struct sm_writer *caller_of;
    bool finished;
};

struct sm_writer;

/* On the writer thread, all of them. */
struct sm_writer_rules {
    void *arg;
    enum sm_code (*check)(void *arg, struct sm_err *err); /* before a group and after its commit */
    enum sm_code (*before)(void *arg, struct sm_db *db, const struct sm_write *write,
                           struct sm_err *err);
    enum sm_code (*after)(void *arg, struct sm_db *db, const struct sm_write *write,
                          struct sm_err *err);
};

/* The connection is the writer's until stop; it stays the caller's to close. `rules` may be NULL
 * and are copied. */
enum sm_code sm_writer_start(struct sm_writer **out, struct sm_db *db,
                             const struct sm_writer_rules *rules, struct sm_err *err);
void sm_writer_stop(struct sm_writer *writer); /* commits what is queued, then ends the thread */
void sm_writer_post(struct sm_writer *writer, struct sm_write *write);
/* Posts and waits for the commit; `done` is the writer's to set. */
enum sm_code sm_writer_call(struct sm_writer *writer, struct sm_write *write, struct sm_err *err);
bool sm_writer_healthy(struct sm_writer *writer); /* the last commit succeeded */

#endif
