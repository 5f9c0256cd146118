/* Tickets: their wakes, a queue that is full, an admission that fails, many at once. */
#include "tests/unit/server/jobs/jobs_fixture.h"

#include <pthread.h>

static void wakes_come_in_order_and_only_twice(void **state)
{
    (void)state;
    struct client client;
    start(1, 10);
    hold_commits();
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    assert_int_equal(sm_ticket_state(client.ticket, &err), SM_TICKET_PENDING);
    assert_int_equal(client.wakes, 0);
    sem_post(&gate);
    while (sem_wait(&client.woken) != 0)
        ;
    assert_true(sm_ticket_state(client.ticket, &err) >= SM_TICKET_ADMITTED);
    json_t *job = complete(&client);
    json_decref(job);
    assert_int_equal(client.wakes, 2);
    stop();
    assert_int_equal(client.wakes, 2);
}

static void no_wake_comes_after_release(void **state)
{
    (void)state;
    struct client pending, admitted_one, last;
    start(1, 10);
    hold_commits();
    assert_code(SM_OK, submit(&pending, "resnet", 1, &wide, 1));
    sm_ticket_release(pending.ticket);
    assert_code(SM_OK, submit(&admitted_one, "resnet", 2, &wide, 1));
    assert_code(SM_OK, submit(&last, "resnet", 3, &wide, 1));
    sem_post(&gate);
    await(&admitted_one, SM_TICKET_ADMITTED);
    sm_ticket_release(admitted_one.ticket);
    int wakes = admitted_one.wakes;
    json_decref(complete(&last));
    stop();
    assert_int_equal(pending.wakes, 0);
    assert_int_equal(admitted_one.wakes, wakes);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state IN ('succeeded', 'queued')"),
                     3); /* one that was claimed at the stop is given back */
}

static void a_full_queue_is_busy(void **state)
{
    (void)state;
    struct client clients[3], refused;
    const struct sm_file four[4] = {wide, tall, wide, tall};
    start(1, 3);
    assert_code(SM_BUSY, submit(&refused, "resnet", 0, four, 4));
    assert_null(refused.ticket);
    assert_string_equal(err.text, "the queue holds 0 images of at most 3, no room for 4");
    hold_commits();
    for (int i = 0; i < 3; i++)
        assert_code(SM_OK, submit(&clients[i], "resnet", (uint64_t)i, &wide, 1));
    assert_code(SM_BUSY, submit(&refused, "resnet", 9, &wide, 1));
    assert_string_equal(err.text, "the queue holds 3 images of at most 3, no room for 1");
    sem_post(&gate);
    for (int i = 0; i < 3; i++)
        json_decref(complete(&clients[i]));
    assert_code(SM_OK, submit(&clients[0], "resnet", 9, four, 3));
    json_decref(complete(&clients[0]));
    stop();
}

/* One job always fits, however large; the next waits for it, and it is not counted for ever. */
static void a_queue_full_of_bytes_is_busy(void **state)
{
    (void)state;
    struct client client, refused;
    char text[160];
    start_limited(1, 100, (int64_t)wide.bytes_count - 1);
    hold_commits();
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    assert_int_equal(sm_store_queued_bytes(store), wide.bytes_count);
    assert_code(SM_BUSY, submit(&refused, "resnet", 2, &tall, 1));
    snprintf(text, sizeof text, "the queue holds %zu bytes of at most %zu, no room for %zu",
             wide.bytes_count, wide.bytes_count - 1, tall.bytes_count);
    assert_string_equal(err.text, text);
    sem_post(&gate);
    json_decref(complete(&client));
    while (sm_store_queued_bytes(store) > 0)
        usleep(1000);
    assert_code(SM_OK, submit(&client, "resnet", 2, &tall, 1));
    json_decref(complete(&client));
    stop();
}

static void a_failed_admission_is_told(void **state)
{
    (void)state;
    struct client first, second;
    start(1, 10);
    assert_code(SM_OK, submit(&first, "resnet", 1, &wide, 1));
    json_decref(complete(&first));
    struct sm_item_in item = {.name = "", .bytes = "x", .bytes_count = 1};
    struct sm_job_in job = {.pair = "resnet", .items = &item, .items_count = 1};
    json_t *recipe = json_object();
    job.recipe = recipe;
    memcpy(job.id, first.id, sizeof job.id); /* taken */
    second = (struct client){0};
    sem_init(&second.woken, 0, 0);
    assert_code(SM_OK, sm_jobs_submit(&second.ticket, jobs, &job, wake, &second, &err));
    json_decref(recipe);
    assert_int_equal(await(&second, SM_TICKET_ADMITTED), SM_TICKET_FAILED);
    assert_int_equal(err.code, SM_INTERNAL);
    assert_int_equal(second.wakes, 1);
    sm_ticket_release(second.ticket);
    assert_int_equal(sm_store_queued_count(store), 0);
    stop();
}

static void *submit_some(void *arg)
{
    struct client client;
    uint64_t base = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < 6; i++) {
        if (submit(&client, "resnet", base + i % 3, i % 2 ? &wide : &tall, 1) != SM_OK)
            return arg;
        if (i % 3 == 2)
            sm_ticket_release(client.ticket);
        else
            json_decref(complete(&client));
    }
    return NULL;
}

static void submitters_and_workers_run_together(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    void *failed;
    start(3, 1000);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_some, (void *)(10 * (i + 1))), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    await_empty_queue();
    stop();
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE state = 'succeeded'"), 6 * THREADS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_jobs, teardown_jobs)
    static const struct CMUnitTest tests[] = {
        TEST(wakes_come_in_order_and_only_twice),
        TEST(no_wake_comes_after_release),
        TEST(a_full_queue_is_busy),
        TEST(a_queue_full_of_bytes_is_busy),
        TEST(a_failed_admission_is_told),
        TEST(submitters_and_workers_run_together),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
