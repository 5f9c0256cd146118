/* Workers on real but tiny pairs with a scratch store, and a client that submits jobs. */
#ifndef TESTS_UNIT_SERVER_JOBS_JOBS_FIXTURE_H
#define TESTS_UNIT_SERVER_JOBS_JOBS_FIXTURE_H

#include <stdatomic.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/jobs/jobs.h"
#include "tests/unit/server/store/fixture.h"

#define GOLDEN "tests/golden/score"

static struct sm_pairs *pairs;
static struct sm_file wide, tall;
static struct sm_jobs *jobs;
static struct sm_decoders *decoders; /* NULL: images are decoded in this process */

static inline int load(void **state)
{
    (void)state;
    sm_blas_single_thread(); /* as the service does */
    assert_code(SM_OK, sm_pairs_load(&pairs, GOLDEN, "blas", &err));
    assert_code(SM_OK, sm_file_map(&wide, GOLDEN "/wide.png", 1 << 20, &err));
    assert_code(SM_OK, sm_file_map(&tall, GOLDEN "/tall.png", 1 << 20, &err));
    return 0;
}

static inline int unload(void **state)
{
    (void)state;
    sm_file_release(&wide);
    sm_file_release(&tall);
    sm_pairs_free(pairs);
    return 0;
}

static inline struct sm_generation *take(const char *name)
{
    struct sm_generation *generation;
    struct sm_err why = {0};
    if (sm_pairs_take(&generation, pairs, name, &why) != SM_OK)
        fail_msg("%s", why.text);
    return generation;
}

static inline void start_limited(int workers, int64_t queue_max, int64_t queue_bytes_max)
{
    assert_code(SM_OK, sm_jobs_start(&jobs,
                                     &(struct sm_jobs_params){.store = store,
                                                              .pairs = pairs,
                                                              .decoders = decoders,
                                                              .workers = workers,
                                                              .queue_max = queue_max,
                                                              .queue_bytes_max = queue_bytes_max},
                                     &err));
}

static inline void start(int workers, int64_t queue_max)
{
    start_limited(workers, queue_max, INT64_C(1) << 30);
}

static inline void stop(void)
{
    sm_jobs_stop(jobs);
    jobs = NULL;
}

/* --- a client ---------------------------------------------------------------------------- */

struct client {
    struct sm_ticket *ticket;
    char id[SM_ID_BYTES];
    sem_t woken;
    atomic_int wakes;
};

static atomic_bool given_up; /* set in teardown: clients on the test's stack are gone */

static inline void wake(void *arg)
{
    struct client *client = arg;
    if (given_up)
        return;
    client->wakes++;
    sem_post(&client->woken);
}

/* Submits a job of `count` images for `pair`, with the pair's recipe and the given seed. */
static inline enum sm_code submit(struct client *client, const char *pair, uint64_t seed,
                                  const struct sm_file *images, int count)
{
    struct sm_item_in items[8];
    struct sm_generation *generation = take(strcmp(pair, "gone") == 0 ? "resnet" : pair);
    struct sm_recipe recipe = *sm_pair_recipe(sm_generation_pair(generation));
    sm_generation_give(generation);
    recipe.seed = seed;
    struct sm_job_in job = {.pair = pair, .items = items, .items_count = count};
    for (int i = 0; i < count; i++) {
        items[i] = (struct sm_item_in){
            .name = "image", .bytes = images[i].bytes, .bytes_count = images[i].bytes_count};
        sm_sha256_hex(items[i].image_digest, images[i].bytes, images[i].bytes_count);
    }
    *client = (struct client){0};
    sem_init(&client->woken, 0, 0);
    sm_id_new(client->id);
    memcpy(job.id, client->id, sizeof job.id);
    assert_code(SM_OK, sm_recipe_digest(job.recipe_digest, &recipe, &err));
    json_t *document = sm_recipe_json(&recipe);
    job.recipe = document;
    enum sm_code code = sm_jobs_submit(&client->ticket, jobs, &job, wake, client, &err);
    json_decref(document);
    return code;
}

static inline enum sm_ticket_state await(struct client *client, enum sm_ticket_state at_least)
{
    enum sm_ticket_state state;
    while ((state = sm_ticket_state(client->ticket, &err)) < at_least)
        while (sem_wait(&client->woken) != 0)
            ;
    return state;
}

/* Waits until the job has finished, releases the ticket and returns the job with its scores. */
static inline json_t *complete(struct client *client)
{
    json_t *job;
    assert_int_equal(await(client, SM_TICKET_FINISHED), SM_TICKET_FINISHED);
    sm_ticket_release(client->ticket);
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, client->id, &err));
    return job;
}

static inline json_t *item_of(const json_t *job, size_t index)
{
    return json_array_get(json_object_get(job, "items"), index);
}

static inline void await_empty_queue(void)
{
    for (int i = 0; sm_store_queued_count(store) > 0; i++) {
        assert_true(i < 1000);
        usleep(20000);
    }
}

static sem_t gate;

/* Holds the writer thread, so that nothing is committed until the gate opens. */
static inline enum sm_code run_gate(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write, (void)db, (void)why;
    while (sem_wait(&gate) != 0)
        ;
    return SM_OK;
}

static inline void gate_passed(struct sm_write *write, enum sm_code code, const struct sm_err *why)
{
    (void)write, (void)code, (void)why;
}

static struct sm_write held = {.run = run_gate, .done = gate_passed};

static inline void hold_commits(void)
{
    sm_writer_post(store->writer, &held);
}

static inline int setup_jobs(void **state)
{
    given_up = false;
    sem_init(&gate, 0, 0);
    return setup(state);
}

/* Cleans up, also after a failed test. The gate is opened because the store does not close while
 * commits are held, and workers are stopped because they must not outlive the store. */
static inline int teardown_jobs(void **state)
{
    given_up = true;
    sem_post(&gate);
    if (jobs)
        sm_jobs_stop_by(jobs, 0);
    jobs = NULL;
    sm_decoders_stop(decoders);
    decoders = NULL;
    return teardown(state);
}

#endif
