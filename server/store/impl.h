/* Private to the store: the object, its pool of read connections, and steps that several writes
 * share. */
#ifndef SERVER_STORE_IMPL_H
#define SERVER_STORE_IMPL_H

#include <pthread.h>
#include <sys/types.h>

#include "server/db/query.h"
#include "server/db/writer.h"
#include "server/store/pair_use.h"
#include "server/store/state.h"
#include "server/store/store.h"

#define SM_READERS_MAX 8 /* idle read connections kept open */

#define SM_STORE_FILES 4 /* the database, its log, its index, its lock */

/* The identity of a file when it was opened; inode 0: it did not exist. */
struct sm_store_file {
    dev_t device;
    ino_t inode;
};

/* Room for writes (room.c); used by the writer thread only. */
struct sm_room {
    int64_t bytes_max, disk_reserve_bytes; /* bytes_max 0: no limit, and no checks */
    int64_t page_bytes;
    bool began;                     /* the next two are of the current group of writes */
    int64_t file_began, disk_began; /* room at the beginning of the group */
    int64_t bytes;                  /* room at the last check */
    int64_t items_count;            /* items without a result, at the last check */
    int64_t thumbnails_count;       /* thumbnails that they will get */
    int64_t margin;                 /* room beyond the kept room, before the current write */
};

struct sm_store {
    char *path;
    int lock_fd;
    struct sm_db *write_db; /* used by the writer thread only, once it runs */
    struct sm_writer *writer;
    struct sm_room room;
    struct sm_store_file files[SM_STORE_FILES];
    bool to_rewrite;     /* the file may hold copies of erased rows; writer thread only */
    bool has_digest_key; /* sm_store_set_digest_key */
    uint8_t digest_key[32];
    int64_t idempotency_keep_ms, idempotency_keys_max;
    sm_store_pair_there *pair_there; /* sm_store_set_pairs */
    void *pairs;

    pthread_mutex_t mutex; /* guards all members below */
    pthread_cond_t came;   /* `waiting_count` grew */
    int64_t waiting_count; /* committed items that may be claimed, minus claims in progress */
    struct sm_standing *standing; /* claims that stand, oldest first */
    pthread_cond_t served;        /* a claim that stood has ended */
    int64_t access_waiting_count; /* ids of the access log that are not committed */
    int64_t active_count;         /* queued and running items of plain jobs, committed or not */
    int64_t active_bytes;         /* size of their images */
    int64_t active_cost_ms;
    int64_t posted_count;                        /* active items whose admission has not run yet */
    char lost[sizeof((struct sm_err *)0)->text]; /* the last error of the files; "": none */
    struct sm_db *readers[SM_READERS_MAX];
    int readers_count;
};

/* Takes the daemon lock of the database at `path`. The caller closes the descriptor to release it.
 */
enum sm_code sm_store_lock(int *out, const char *path, struct sm_err *err);

/* Records the identity of the open files (watch.c). */
void sm_store_watch_files(struct sm_store *store);

/* Check the room on the writer thread (room.c): before a group, and before and after each of its
 * writes. SM_FULL: the write would take room that is kept for results. */
void sm_store_room_begin(struct sm_store *store);
enum sm_code sm_store_room_before(struct sm_store *store, struct sm_db *db,
                                  const struct sm_write *write, struct sm_err *err);
enum sm_code sm_store_room_after(struct sm_store *store, struct sm_db *db,
                                 const struct sm_write *write, struct sm_err *err);
/* Returns SM_FULL if there is not even room for the results of admitted images. Call it inside a
 * transaction. */
enum sm_code sm_store_check_room(struct sm_store *store, struct sm_db *db, struct sm_err *err);
/* Returns the room that images take until they are finished. `bytes_count` is their size. */
int64_t sm_store_growth(int64_t items_count, int64_t bytes_count);

/* Takes a read connection from the pool; the caller gives it back. */
enum sm_code sm_store_reader_take(struct sm_db **out, struct sm_store *store, struct sm_err *err);
void sm_store_reader_give(struct sm_store *store, struct sm_db *db);

/* Adds to the counters and wakes as many claims as `waiting` grows. */
void sm_store_count(struct sm_store *store, int64_t waiting, int64_t active);
/* Adds to the size and cost of the active items. */
void sm_store_count_load(struct sm_store *store, int64_t bytes, int64_t cost_ms);

/* Tell a claim of its finish: it is posted, it has run in its transaction, it has failed. */
void sm_store_await_finish(struct sm_standing *standing);
void sm_store_finish_ran(struct sm_standing *standing);
void sm_store_finish_failed(struct sm_standing *standing);
/* The writer's rule `more`: returns the claims that stand. `store` is the struct sm_store. */
struct sm_write *sm_store_serve(void *store);

/* --- the functions below run inside a transaction --- */

/* Queues running items whose lease ended before `now_ms` again, after the waiting jobs. Fails items
 * that were tried too often, and finishes their jobs. SM_LEASES_ALL: all leases are of a process
 * that has ended; if only one item was running, it counts SM_ATTEMPTS_ALONE tries. */
#define SM_LEASES_ALL INT64_MAX
struct sm_requeued {
    int64_t queued_count, failed_count;
    int64_t claimable_count;   /* queued items of jobs that may be claimed from */
    int64_t plain_ended_count; /* items of plain jobs that failed or were cancelled */
    int64_t plain_ended_bytes; /* size of their images */
    int64_t plain_ended_cost_ms;
};
enum sm_code sm_store_requeue_expired(struct sm_requeued *out, struct sm_db *db, int64_t now_ms,
                                      struct sm_err *err);

/* Stores the idempotency key of a request with the id of its resource. Does nothing without a key
 * (NULL, or an empty one). */
enum sm_code sm_store_idempotency_claim(const struct sm_store *store, struct sm_db *db,
                                        const struct sm_idempotency_claim *idempotency,
                                        const char *resource, struct sm_err *err);
/* Deletes the stored answers about a job; their keys stay. */
enum sm_code sm_store_idempotency_forget(struct sm_db *db, const char *job, struct sm_err *err);
/* Deletes expired idempotency keys. */
enum sm_code sm_store_idempotency_sweep(const struct sm_store *store, struct sm_db *db,
                                        struct sm_err *err);

/* Completes cancellations and deletions of audits that the end of a process interrupted. Call it
 * outside of a transaction, before the writer runs. */
enum sm_code sm_store_audits_recover(struct sm_db *db, struct sm_err *err);

/* Returns SM_INVALID if the pair is not loaded; images admitted for it could only fail. */
enum sm_code sm_store_check_pair(const struct sm_store *store, const char *pair,
                                 struct sm_err *err);

/* Stores a recipe unless it is stored already. */
enum sm_code sm_store_put_recipe(struct sm_db *db, const char *digest, const char *body,
                                 struct sm_err *err);
/* Stores a shape of scores unless it is stored already; `id` receives the number of its row. */
enum sm_code sm_store_put_shape(int64_t *id, struct sm_db *db, const char *digest, const char *body,
                                struct sm_err *err);

/* A job's row: its state and the number of its items in each state. */
struct sm_job_row {
    enum sm_state state;
    bool audit;
    int64_t revision;
    int64_t items_count; /* in all states */
    int64_t items[SM_STATES_COUNT];
};
/* Reads the row; SM_NOT_FOUND if there is no such job. */
enum sm_code sm_store_read_job_row(struct sm_job_row *out, struct sm_db *db, const char *id,
                                   struct sm_err *err);

/* Adds to the counts of a job, raises its revision and reads the row. SM_NOT_FOUND if there is no
 * such job. */
struct sm_job_change {
    int64_t items, queued, succeeded, failed, cancelled;
    int64_t cost_ms, done_cost_ms; /* of added items; of ended items */
    int64_t item_cost_ms;          /* of the dearest added item */
};
enum sm_code sm_store_change_job(struct sm_job_row *out, struct sm_db *db, const char *id,
                                 const struct sm_job_change *change, struct sm_err *err);
/* Changes the state of a job; `moved` is false if its state was not `from`. */
enum sm_code sm_store_move_job(bool *moved, struct sm_db *db, const char *id, enum sm_state from,
                               enum sm_state to, struct sm_err *err);
/* Finishes the job if all of its items are finished; `row` is its row. */
enum sm_code sm_store_settle_job(bool *finished, struct sm_db *db, const char *id,
                                 const struct sm_job_row *row, struct sm_err *err);
/* Deletes the image of an item. `bytes_count` receives its size in the database: 0 for a file, and
 * without an image. */
enum sm_code sm_store_drop_image(int64_t *bytes_count, struct sm_db *db, const char *job_id,
                                 int index, struct sm_err *err);

/* Counts an item that ends: in its job, and in the cohort and the failures of its audit. */
struct sm_item_end {
    const char *job_id;
    enum sm_state to;       /* succeeded, failed or cancelled */
    bool was_queued;        /* false: it was running */
    int cohort;             /* -1: none */
    const char *error_code; /* of a failed item */
    int64_t cost_ms;
};
enum sm_code sm_store_end_item(struct sm_job_row *row, bool *job_finished, struct sm_db *db,
                               const struct sm_item_end *end, struct sm_err *err);

struct sm_cohort_change {
    int64_t items, succeeded, failed;
};
enum sm_code sm_store_count_cohort(struct sm_db *db, const char *job_id, int cohort,
                                   const struct sm_cohort_change *change, struct sm_err *err);
enum sm_code sm_store_count_failure(struct sm_db *db, const char *job_id, const char *error_code,
                                    struct sm_err *err);

#endif
