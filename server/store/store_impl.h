/* What the files of the store share: the object and its pool of readers. Private to the store. */
#ifndef SERVER_STORE_STORE_IMPL_H
#define SERVER_STORE_STORE_IMPL_H

#include <pthread.h>

#include "server/store/state.h"
#include "server/store/store.h"
#include "server/store/writer.h"

#define SM_READERS_MAX 8 /* connections kept open while nobody reads */

struct sm_store {
    char *path;
    int lock_fd;
    struct sm_db *write_db; /* the writer thread's once it runs */
    struct sm_writer *writer;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t came;   /* `waiting_count` grew */
    int64_t
        waiting_count; /* items queued and committed, less those that a claim in flight will take */
    int64_t active_count; /* items queued or running, those not yet committed included */
    struct sm_db *readers[SM_READERS_MAX];
    int readers_count;
};

/* A reader's connection, to be given back. */
enum sm_code sm_store_reader_take(struct sm_db **out, struct sm_store *store, struct sm_err *err);
void sm_store_reader_give(struct sm_store *store, struct sm_db *db);

/* Adds to the counters and wakes that many claims. */
void sm_store_count(struct sm_store *store, int64_t waiting, int64_t active);

/* Queues the running items whose lease ended before `now_ms` again, or fails those that were tried
 * often enough, with their jobs. Inside a transaction. */
struct sm_requeued {
    int64_t queued_count, failed_count;
};
enum sm_code sm_store_requeue(struct sm_requeued *out, struct sm_db *db, int64_t now_ms,
                              struct sm_err *err);

/* Inside a transaction, all three. `moved` is false when the job was not in `from`; settle finishes
 * a running job whose items are all finished. */
enum sm_code sm_store_move_job(bool *moved, struct sm_db *db, const char *id, enum sm_state from,
                               enum sm_state to, struct sm_err *err);
enum sm_code sm_store_settle_job(bool *finished, struct sm_db *db, const char *id,
                                 struct sm_err *err);
enum sm_code sm_store_drop_image(struct sm_db *db, const char *job_id, int index,
                                 struct sm_err *err);

#endif
