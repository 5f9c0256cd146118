/* What the files of the store share: the object, its pool of readers, and the steps that several
 * writes are made of. Private to the store. */
#ifndef SERVER_STORE_IMPL_H
#define SERVER_STORE_IMPL_H

#include <pthread.h>
#include <sys/types.h>

#include "server/db/query.h"
#include "server/db/writer.h"
#include "server/store/pair_use.h"
#include "server/store/state.h"
#include "server/store/store.h"

#define SM_READERS_MAX 8 /* connections kept open while nobody reads */

#define SM_STORE_FILES 4 /* the database, its log, its index, its lock */

/* Which file a name stood for when it was opened; inode 0: none. */
struct sm_store_file {
    dev_t device;
    ino_t inode;
};

/* How much may still be written (room.c); the writer thread's alone. */
struct sm_room {
    int64_t bytes_max, disk_reserve_bytes; /* 0: no limit, nothing is looked at */
    int64_t page_bytes;
    bool began;                     /* the two below are of this group of writes */
    int64_t file_began, disk_began; /* room before it */
    int64_t bytes;                  /* room at the last look */
    int64_t items_count;            /* that wait for their results, at the last look */
    int64_t thumbnails_count;       /* of them */
    int64_t margin;                 /* before the write that runs */
};

struct sm_store {
    char *path;
    int lock_fd;
    struct sm_db *write_db; /* the writer thread's once it runs */
    struct sm_writer *writer;
    struct sm_room room;
    struct sm_store_file files[SM_STORE_FILES];
    bool to_rewrite;     /* the writer thread's: the file may hold copies of what was erased */
    bool has_digest_key; /* sm_store_set_digest_key */
    uint8_t digest_key[32];
    int64_t idempotency_keep_ms, idempotency_keys_max;
    sm_store_pair_there *pair_there; /* sm_store_set_pairs */
    void *pairs;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t came;   /* `waiting_count` grew */
    int64_t waiting_count; /* items that may be claimed, committed, less the claims in flight */
    int64_t access_waiting_count; /* ids of reads whose rows are not committed */
    int64_t active_count; /* items of plain jobs queued or running, those not committed included */
    int64_t active_bytes; /* of their images */
    int64_t active_cost_ms;
    int64_t posted_count; /* of the active items, those whose admission has not run yet */
    char lost[sizeof((struct sm_err *)0)->text]; /* what is wrong with the files, "" */
    struct sm_db *readers[SM_READERS_MAX];
    int readers_count;
};

/* The daemon lock of the database at `path`, to be closed. */
enum sm_code sm_store_lock(int *out, const char *path, struct sm_err *err);

/* Of watch.c: notes the files that are open. */
void sm_store_watch_files(struct sm_store *store);

/* Of room.c, on the writer thread: before a group, and before and after each of its writes. SM_FULL
 * when the write takes room that is kept. */
void sm_store_room_begin(struct sm_store *store);
enum sm_code sm_store_room_before(struct sm_store *store, struct sm_db *db,
                                  const struct sm_write *write, struct sm_err *err);
enum sm_code sm_store_room_after(struct sm_store *store, struct sm_db *db,
                                 const struct sm_write *write, struct sm_err *err);
/* SM_FULL when what was promised already has no room. Inside a transaction. */
enum sm_code sm_store_check_room(struct sm_store *store, struct sm_db *db, struct sm_err *err);
/* What images of so many bytes take until they are finished. */
int64_t sm_store_growth(int64_t items_count, int64_t bytes_count);

/* A reader's connection, to be given back. */
enum sm_code sm_store_reader_take(struct sm_db **out, struct sm_store *store, struct sm_err *err);
void sm_store_reader_give(struct sm_store *store, struct sm_db *db);

/* Adds to the counters and wakes that many claims. */
void sm_store_count(struct sm_store *store, int64_t waiting, int64_t active);
void sm_store_count_load(struct sm_store *store, int64_t bytes,
                         int64_t cost_ms); /* of the active items */

/* --- inside a transaction, all below --- */

/* Queues the running items whose lease ended before `now_ms` again, behind all that waits, or fails
 * those that were tried often enough, with their jobs. SM_LEASES_ALL: the process that had them has
 * ended; an item that it had alone counts SM_ATTEMPTS_ALONE tries. */
#define SM_LEASES_ALL INT64_MAX
struct sm_requeued {
    int64_t queued_count, failed_count;
    int64_t claimable_count;   /* of those queued */
    int64_t plain_ended_count; /* of those failed */
    int64_t plain_ended_bytes; /* of their images */
    int64_t plain_ended_cost_ms;
};
enum sm_code sm_store_requeue_expired(struct sm_requeued *out, struct sm_db *db, int64_t now_ms,
                                      struct sm_err *err);

/* The key of a request with what it makes; nothing when there is none. */
enum sm_code sm_store_idempotency_claim(const struct sm_store *store, struct sm_db *db,
                                        const struct sm_idempotency_claim *idempotency,
                                        const char *resource, struct sm_err *err);
/* Forgets the stored answers about a job; their keys stay. */
enum sm_code sm_store_idempotency_forget(struct sm_db *db, const char *job, struct sm_err *err);
/* Forgets the keys that are too old. */
enum sm_code sm_store_idempotency_sweep(const struct sm_store *store, struct sm_db *db,
                                        struct sm_err *err);

/* Ends what a cancellation or deletion of an audit left when the process died in it. Outside of a
 * transaction; before the writer runs. */
enum sm_code sm_store_audits_recover(struct sm_db *db, struct sm_err *err);

/* SM_INVALID when no such pair is loaded: what is admitted for it could only fail. */
enum sm_code sm_store_check_pair(const struct sm_store *store, const char *pair,
                                 struct sm_err *err);

enum sm_code sm_store_put_recipe(struct sm_db *db, const char *digest, const char *body,
                                 struct sm_err *err);

/* A job's row: its state and the number of its items in each. */
struct sm_job_row {
    enum sm_state state;
    bool audit;
    int64_t revision;
    int64_t items_count; /* in all */
    int64_t items[SM_STATES_COUNT];
};
/* SM_NOT_FOUND when there is no such job. */
enum sm_code sm_store_read_job_row(struct sm_job_row *out, struct sm_db *db, const char *id,
                                   struct sm_err *err);

/* Adds to the counts of a job as its items change, raises its revision, and reads the row. */
struct sm_job_change {
    int64_t items, queued, succeeded, failed, cancelled;
    int64_t cost_ms, done_cost_ms; /* of added items, of ended ones */
    int64_t item_cost_ms;          /* of the dearest added one */
};
enum sm_code sm_store_change_job(struct sm_job_row *out, struct sm_db *db, const char *id,
                                 const struct sm_job_change *change, struct sm_err *err);
/* `moved` is false when the job was not in `from`. */
enum sm_code sm_store_move_job(bool *moved, struct sm_db *db, const char *id, enum sm_state from,
                               enum sm_state to, struct sm_err *err);
/* Finishes a job whose items are all finished. */
enum sm_code sm_store_settle_job(bool *finished, struct sm_db *db, const char *id,
                                 const struct sm_job_row *row, struct sm_err *err);
/* `bytes_count` is what it had; 0 for a file, and when there is none. */
enum sm_code sm_store_drop_image(int64_t *bytes_count, struct sm_db *db, const char *job_id,
                                 int index, struct sm_err *err);

/* An item that comes to its end: counted at its job, and at its audit's cohort and failures. */
struct sm_item_end {
    const char *job_id;
    enum sm_state to;       /* succeeded, failed or cancelled */
    bool was_queued;        /* else it was running */
    int cohort;             /* -1: none */
    const char *error_code; /* of a failed one */
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
