/* The writer: one thread that owns the writing connection and commits in groups.
 *
 *     struct admission { struct sm_write write; … };
 *     a->write = (struct sm_write){.run = run_admission, .done = admitted};
 *     sm_writer_post(writer, &a->write);              // returns at once
 *
 * The thread puts all queued writes into one transaction, each in its own savepoint: a write that
 * fails is undone and does not fail the others. After the commit the thread calls the `done` of
 * every write, in order, with the write's result, or with the commit's error if the commit failed.
 * All callbacks of a group run before the next group.
 *
 * A write can ask for a transaction of its own. SQLite rolls back the whole transaction when the
 * disk is full, and a write that reports this or frees room must not be rolled back with others.
 * Such a write may also exceed the limit of the database by a few pages. A write can also run
 * outside of a transaction, for statements that SQLite refuses inside one.
 *
 * A write with patience waits for the group of another write, so that a group under load has more
 * writes, and at most until its patience ends or sm_writer_hurry.
 *
 * The writer calls its rules before and after groups and writes. The store uses them to check that
 * the file was not replaced, that a write leaves the room that is kept for results, and to claim
 * items in the group that made them claimable.
 *
 * Owner:   the poster owns the write until its `done` is called, which may free it.
 * Threads: any thread but the writer's own may post and call; `done` may post. */
#ifndef SERVER_DB_WRITER_H
#define SERVER_DB_WRITER_H

#include "server/db/db.h"

struct sm_write;
typedef enum sm_code sm_write_run(struct sm_write *write, struct sm_db *db, struct sm_err *err);
typedef void sm_write_done(struct sm_write *write, enum sm_code code, const struct sm_err *err);

enum sm_write_mode {
    SM_WRITE_GROUPED,
    SM_WRITE_ALONE,  /* in a transaction of its own, with spare pages beyond the limit */
    SM_WRITE_OUTSIDE /* in no transaction; the next group waits until `run` returns */
};

/* How much a grouped write may take of the room that is kept for results (room.c). */
enum sm_write_room {
    SM_ROOM_LEAVE, /* none of it */
    SM_ROOM_LOG,   /* the part that is kept for the access log */
    SM_ROOM_USE    /* all of it: the write stores results, or frees room */
};

struct sm_write {
    sm_write_run *run;
    sm_write_done *done;
    enum sm_write_mode mode;
    enum sm_write_room room;
    int64_t growth_bytes; /* room that the write will take; 0: unknown */
    int64_t patience_ms;  /* how long it may wait for the group of another write */
    /* private to the writer */
    struct sm_write *next;
    enum sm_code code;
    struct sm_err err;
    struct sm_writer *caller_of;
    bool finished;
};

struct sm_writer;

/* Called on the writer thread. An error of `check` fails the group, of `before` or `after` the
 * write. */
struct sm_writer_rules {
    void *arg;
    /* before a group and after its commit */
    enum sm_code (*check)(void *arg, struct sm_err *err);
    enum sm_code (*before)(void *arg, struct sm_db *db, const struct sm_write *write,
                           struct sm_err *err);
    enum sm_code (*after)(void *arg, struct sm_db *db, const struct sm_write *write,
                          struct sm_err *err);
    /* Returns writes that the writer adds to the end of a group of SM_WRITE_GROUPED, linked by
     * `next`; NULL: none. */
    struct sm_write *(*more)(void *arg);
};

/* Starts the thread. The caller must not use the connection until the writer is stopped, and closes
 * it afterwards. `rules` (may be NULL) are copied. */
enum sm_code sm_writer_start(struct sm_writer **out, struct sm_db *db,
                             const struct sm_writer_rules *rules, struct sm_err *err);
/* Commits the queued writes, ends the thread and frees the writer. NULL is accepted. */
void sm_writer_stop(struct sm_writer *writer);
/* Queues a write and returns at once. */
void sm_writer_post(struct sm_writer *writer, struct sm_write *write);
/* Ends the patience of all queued writes. */
void sm_writer_hurry(struct sm_writer *writer);
/* Queues a write and waits for its commit. Sets `done` itself. */
enum sm_code sm_writer_call(struct sm_writer *writer, struct sm_write *write, struct sm_err *err);
/* Tells whether the last commit succeeded; true before the first. */
bool sm_writer_healthy(struct sm_writer *writer);

#endif
