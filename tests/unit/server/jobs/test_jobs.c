/* Jobs on real (tiny) pairs: same bits for any number of workers, tickets, failures, history, the
 * stop. */
#include "tests/unit/server/store/fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/decode/helper.h"
#include "server/jobs/jobs.h"
#include "server/store/audits.h"

#define GOLDEN "tests/golden/score"

static struct sm_pairs *pairs;
static struct sm_file wide, tall;
static struct sm_jobs *jobs;
static struct sm_decoders *decoders; /* NULL: in this process */

static int load(void **state)
{
    (void)state;
    sm_blas_single_thread(); /* as the service does */
    assert_code(SM_OK, sm_pairs_load(&pairs, GOLDEN, "blas", &err));
    assert_code(SM_OK, sm_file_map(&wide, GOLDEN "/wide.png", 1 << 20, &err));
    assert_code(SM_OK, sm_file_map(&tall, GOLDEN "/tall.png", 1 << 20, &err));
    return 0;
}

static int unload(void **state)
{
    (void)state;
    sm_file_release(&wide);
    sm_file_release(&tall);
    sm_pairs_free(pairs);
    return 0;
}

static struct sm_generation *take(const char *name)
{
    struct sm_generation *generation;
    struct sm_err why = {0};
    if (sm_pairs_take(&generation, pairs, name, &why) != SM_OK)
        fail_msg("%s", why.text);
    return generation;
}
static int64_t queue_bytes_max = INT64_C(1) << 30;

static void start(int workers, int64_t queue_max)
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

static void stop(void)
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

static void wake(void *arg)
{
    struct client *client = arg;
    client->wakes++;
    sem_post(&client->woken);
}

/* Submits `count` images of `pair` under its own recipe with another seed. */
static enum sm_code submit(struct client *client, const char *pair, uint64_t seed,
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

static enum sm_ticket_state await(struct client *client, enum sm_ticket_state at_least)
{
    enum sm_ticket_state state;
    while ((state = sm_ticket_state(client->ticket, &err)) < at_least)
        while (sem_wait(&client->woken) != 0)
            ;
    return state;
}

/* Waits for the end; returns the job with its scores. */
static json_t *complete(struct client *client)
{
    json_t *job;
    assert_int_equal(await(client, SM_TICKET_FINISHED), SM_TICKET_FINISHED);
    sm_ticket_release(client->ticket);
    assert_code(SM_OK, sm_store_job(&job, store, SM_TENANT_DEFAULT, client->id, &err));
    return job;
}

static json_t *item_of(const json_t *job, size_t index)
{
    return json_array_get(json_object_get(job, "items"), index);
}

/* --- scores ------------------------------------------------------------------------------ */

enum { SEEDS = 6 };
static const char *const names[] = {"resnet", "vit"};

enum load { ALL_AT_ONCE, ONE_BY_ONE };

/* Takes the scores of a finished job's two images, as texts without id and time. */
static void take_texts(char *out[2], struct client *client)
{
    json_t *job = complete(client);
    assert_string_equal(text_at(job, "state"), "succeeded");
    for (size_t i = 0; i < 2; i++) {
        json_t *score = json_object_get(item_of(job, i), "score");
        assert_true(sm_id_valid(text_at(score, "id")));
        json_object_del(score, "id");
        json_object_del(score, "created");
        out[i] = json_dumps(score, JSON_COMPACT | JSON_REAL_PRECISION(17));
    }
    json_decref(job);
}

/* Every pair, seed and image through `workers` workers: under load each image by one of them, one
 * by one with the help of the others. */
static void score_all(char *out[2 * SEEDS * 2], int workers, enum load load)
{
    struct client clients[2 * SEEDS];
    const struct sm_file images[2] = {wide, tall};
    setup(NULL);
    start(workers, 1000);
    for (int k = 0; k < 2 * SEEDS; k++) {
        assert_code(SM_OK, submit(&clients[k], names[k % 2], (uint64_t)k / 2, images, 2));
        if (load == ONE_BY_ONE)
            take_texts(&out[2 * k], &clients[k]);
    }
    for (int k = 0; k < 2 * SEEDS && load == ALL_AT_ONCE; k++)
        take_texts(&out[2 * k], &clients[k]);
    stop();
    teardown(NULL);
}

/* As the library gives it to anybody, without a service. */
static char *score_alone(const char *pair_name, uint64_t seed, const struct sm_file *image)
{
    struct sm_generation *generation = take(pair_name);
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    struct sm_scorer *scorer;
    struct sm_score score;
    recipe.seed = seed;
    assert_code(SM_OK, sm_scorer_new(&scorer, pair, &err));
    assert_code(SM_OK,
                sm_score_image(&score, scorer, &recipe, image->bytes, image->bytes_count, &err));
    json_t *document = sm_score_json(&score, pair);
    char *text = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(document);
    sm_scorer_free(scorer);
    sm_generation_give(generation);
    return text;
}

static void same_bits_for_any_number_of_workers(void **state)
{
    (void)state;
    enum { COUNT = 2 * SEEDS * 2, RUNS = 5 };
    static const struct {
        int workers;
        enum load load;
    } runs[RUNS] = {
        {1, ALL_AT_ONCE}, {2, ALL_AT_ONCE}, {4, ALL_AT_ONCE}, {2, ONE_BY_ONE}, {4, ONE_BY_ONE}};
    char *texts[RUNS][COUNT];
    for (int r = 0; r < RUNS; r++)
        score_all(texts[r], runs[r].workers, runs[r].load);
    for (int k = 0; k < COUNT; k++) {
        char *alone = score_alone(names[k / 2 % 2], (uint64_t)k / 4, k % 2 ? &tall : &wide);
        for (int r = 0; r < RUNS; r++)
            assert_string_equal(texts[r][k], alone);
        for (int j = 0; j < k; j++)
            assert_string_not_equal(texts[0][j], texts[0][k]);
        free(alone);
    }
    for (int r = 0; r < RUNS; r++)
        for (int k = 0; k < COUNT; k++)
            free(texts[r][k]);
}

static void a_second_request_is_answered_from_history(void **state)
{
    (void)state;
    struct client client;
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    json_t *first = complete(&client);
    assert_true(json_is_false(json_object_get(item_of(first, 0), "from_history")));
    stop();
    reopen();
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    json_t *second = complete(&client);
    assert_true(json_is_true(json_object_get(item_of(second, 0), "from_history")));
    assert_true(json_equal(json_object_get(item_of(first, 0), "score"),
                           json_object_get(item_of(second, 0), "score")));
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 1);
    json_decref(first);
    json_decref(second);
    stop();
}

static void columns_agree_with_the_document(void **state)
{
    (void)state;
    struct client client;
    struct sm_score_page page;
    start(1, 10);
    assert_code(SM_OK, submit(&client, "vit", 3, &tall, 1));
    json_t *job = complete(&client);
    const char *digest = text_at(item_of(job, 0), "image");
    double m = json_real_value(json_object_get(json_object_get(item_of(job, 0), "score"), "m"));
    struct sm_score_filter filter = {.pair = "vit",
                                     .image_digest = digest,
                                     .has_min = true,
                                     .min = m,
                                     .has_max = true,
                                     .max = m,
                                     .limit = 5};
    assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
    assert_int_equal(page.count, 1);
    free(page.scores);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score WHERE length(key) = 32 AND "
                              "length(image_digest) = 32"),
                     1);
    json_decref(job);
    stop();
}

static void what_is_wrong_with_an_item_fails_that_item(void **state)
{
    (void)state;
    struct client client;
    const struct sm_file images[] = {
        wide, {(const uint8_t *)"no image", 8}, {wide.bytes, wide.bytes_count / 2}};
    start(2, 10);
    assert_code(SM_OK, submit(&client, "resnet", 5, images, 3));
    json_t *job = complete(&client);
    assert_string_equal(text_at(job, "state"), "succeeded");
    assert_int_equal(json_integer_value(json_object_get(job, "succeeded_count")), 1);
    assert_int_equal(json_integer_value(json_object_get(job, "failed_count")), 2);
    assert_string_equal(text_at(json_object_get(item_of(job, 1), "error"), "code"), "unsupported");
    assert_string_equal(text_at(json_object_get(item_of(job, 2), "error"), "code"), "corrupt");
    assert_true(strlen(text_at(json_object_get(item_of(job, 2), "error"), "detail")) > 10);
    json_decref(job);

    assert_code(SM_OK, submit(&client, "gone", 5, images, 1));
    job = complete(&client);
    assert_string_equal(text_at(job, "state"), "failed");
    json_t *error = json_object_get(item_of(job, 0), "error");
    assert_string_equal(text_at(error, "code"), "not_found");
    assert_string_equal(text_at(error, "detail"),
                        "pair gone is not loaded: it is not there any more");
    json_decref(job);
    stop();
}

/* --- audits ------------------------------------------------------------------------------- */

/* A full disk, as the database sees one: no page may be added, and a score needs some. */
static enum sm_code run_fill(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db,
                      "CREATE TABLE filler (bytes BLOB);"
                      "INSERT INTO filler VALUES (zeroblob(40000));" /* room for a pause */
                      "DELETE FROM filler;"
                      "CREATE TEMP TRIGGER fills BEFORE INSERT ON main.score BEGIN "
                      "INSERT INTO filler VALUES (zeroblob(1000000)); END;"
                      "PRAGMA max_page_count = 1", /* as many as there are */
                      why);
}

static enum sm_code run_free(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db, "PRAGMA max_page_count = 1000000; DROP TRIGGER fills", why);
}

static void make_audit(char id[SM_ID_BYTES])
{
    struct sm_generation *generation = take("resnet");
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_audit_in in = {.pair = "resnet"};
    struct sm_audit_image_in images[2] = {0};
    struct sm_audit_added added;
    json_t *recipe = sm_recipe_json(sm_pair_recipe(pair)), *document = sm_pair_json(pair);
    json_t *spec = json_pack("{s:s, s:b}", "name", "trial", "keep_thumbnails", 1);
    in.recipe = recipe;
    in.pair_document = document;
    in.spec = spec;
    assert_code(SM_OK, sm_recipe_digest(in.recipe_digest, sm_pair_recipe(pair), &err));
    sm_id_new(in.id);
    memcpy(id, in.id, SM_ID_BYTES);
    assert_code(SM_OK, sm_store_audit_create(store, &in, &err));
    for (int i = 0; i < 2; i++)
        images[i] = (struct sm_audit_image_in){.cohort = (enum sm_cohort)i,
                                               .name = "image",
                                               .class_label = "",
                                               .group = "",
                                               .bytes = wide.bytes,
                                               .bytes_count = wide.bytes_count};
    for (int i = 0; i < 2; i++)
        sm_sha256_hex(images[i].image_digest, wide.bytes, wide.bytes_count);
    assert_code(SM_OK, sm_store_audit_add(&added, store, id, images, 2, 2, &err));
    sm_generation_give(generation);
    json_decref(recipe);
    json_decref(document);
    json_decref(spec);
}

/* Waits until the audit is in `state`; the document. */
static json_t *await_audit(const char *id, const char *state)
{
    json_t *audit;
    for (int i = 0; i < 3000; i++) {
        assert_code(SM_OK, sm_store_audit(&audit, store, id, &err));
        if (strcmp(text_at(audit, "state"), state) == 0)
            return audit;
        json_decref(audit);
        usleep(10000);
    }
    fail_msg("audit %s is never %s", id, state);
    return NULL;
}

static void a_full_disk_pauses_an_audit(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_write fill = {.run = run_fill}, free_again = {.run = run_free};
    start(1, 10);
    make_audit(id);
    assert_code(SM_OK, sm_writer_call(store->writer, &fill, &err));
    assert_code(SM_OK, sm_store_audit_move(store, id, SM_AUDIT_START, NULL, &err));
    json_t *audit = await_audit(id, "paused");
    assert_non_null(strstr(text_at(audit, "reason"), "database or disk is full"));
    json_decref(audit);
    assert_code(SM_OK, sm_writer_call(store->writer, &free_again, &err));
    do { /* the result that was kept */
        usleep(10000);
        assert_code(SM_OK, sm_store_audit(&audit, store, id, &err));
        int64_t succeeded = json_integer_value(json_object_get(audit, "succeeded_count"));
        json_decref(audit);
        if (succeeded == 1)
            break;
    } while (true);
    assert_code(SM_OK, sm_store_audit_move(store, id, SM_AUDIT_RESUME, NULL, &err));
    json_decref(await_audit(id, "succeeded"));
    size_t bytes_count;
    struct sm_image image = {0};
    void *png = sm_store_audit_thumbnail(store, id, 1, &bytes_count);
    assert_code(SM_OK, sm_image_decode(&image, png, bytes_count, false, NULL, &err));
    assert_true(image.width_px <= 64 && image.height_px <= 64);
    sm_image_release(&image);
    free(png);
    stop();
}

/* --- decoders ---------------------------------------------------------------------------- */

#define HELPER_UNLESS "decode-helper-unless" /* the file that follows is there */

static struct sm_decoders_counts counts(void)
{
    struct sm_decoders_counts now;
    sm_decoders_counts(&now, decoders);
    return now;
}

static void await_refusals(uint64_t at_least)
{
    for (int i = 0; counts().refused < at_least; i++) {
        assert_true(i < 3000);
        usleep(10000);
    }
}

/* An image waits while no decoder can be started, over a stop too, and is scored when one can. */
static void an_image_waits_for_a_decoder(void **state)
{
    (void)state;
    struct client client;
    char refusal[320];
    const char *const command[] = {"test_jobs", HELPER_UNLESS, refusal, NULL};
    struct sm_decoders_params params = {.count = 1, .images_max = 1, .command = command};
    snprintf(refusal, sizeof refusal, "%s/no-decoder", scratch.dir);
    assert_code(SM_OK, sm_decoders_start(&decoders, &params, &err));
    start(1, 10);
    assert_code(SM_OK, submit(&client, "resnet", 1, &wide, 1));
    json_decref(complete(&client));
    fclose(fopen(refusal, "w"));
    assert_code(SM_OK, submit(&client, "resnet", 2, &wide, 1));
    await_refusals(2);
    assert_true(counts().unavailable);
    assert_int_equal(sm_ticket_state(client.ticket, &err), SM_TICKET_ADMITTED);
    assert_int_equal(remove(refusal), 0);
    json_t *job = complete(&client);
    assert_string_equal(text_at(job, "state"), "succeeded");
    assert_false(counts().unavailable);
    json_decref(job);

    fclose(fopen(refusal, "w"));
    uint64_t before = counts().refused;
    assert_code(SM_OK, submit(&client, "resnet", 3, &wide, 1));
    await_refusals(before + 1);
    sm_ticket_release(client.ticket);
    stop();
    assert_int_equal(remove(refusal), 0);
    reopen();
    start(1, 10);
    for (int i = 0; sm_store_queued_count(store) > 0 && i < 1000; i++)
        usleep(20000);
    check_job(client.id, "succeeded", 1, 0);
    stop();
    sm_decoders_stop(decoders);
    decoders = NULL;
}

/* --- held commits -------------------------------------------------------------------------- */

static sem_t gate;

/* Holds the writer thread, so that nothing is committed until the gate opens. */
static enum sm_code run_gate(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write, (void)db, (void)why;
    while (sem_wait(&gate) != 0)
        ;
    return SM_OK;
}

static void gate_passed(struct sm_write *write, enum sm_code code, const struct sm_err *why)
{
    (void)write, (void)code, (void)why;
}

static struct sm_write held = {.run = run_gate, .done = gate_passed};

static void hold_commits(void)
{
    sem_init(&gate, 0, 0);
    sm_writer_post(store->writer, &held);
}

/* --- pairs that change -------------------------------------------------------------------- */

static atomic_bool over;

static void *keep_loading(void *arg)
{
    static const char *const both[] = {"resnet", "vit"};
    struct sm_err why = {0};
    bool created;
    int count = 0;
    for (; !over; count++)
        if (sm_pairs_put(pairs, both[count % 2], &created, &why) != SM_OK || created)
            break;
    *(int *)arg = over ? count : -1;
    return NULL;
}

/* Generations come and go under images that are scored with the help of others; the bits stay. */
static void pairs_are_loaded_again_under_load(void **state)
{
    (void)state;
    enum { ROUNDS = 12 };
    struct client clients[2];
    const struct sm_file images[2] = {wide, tall};
    pthread_t loader;
    int loads = 0;
    over = false;
    start(3, 1000);
    assert_int_equal(pthread_create(&loader, NULL, keep_loading, &loads), 0);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < 2; k++)
            assert_code(SM_OK, submit(&clients[k], names[k], round, images, 2));
        for (int k = 0; k < 2; k++) {
            char *texts[2];
            take_texts(texts, &clients[k]);
            for (int i = 0; i < 2; i++) {
                char *alone = score_alone(names[k], round, &images[i]);
                assert_string_equal(texts[i], alone);
                free(alone);
                free(texts[i]);
            }
        }
    }
    over = true;
    pthread_join(loader, NULL);
    assert_true(loads > 2);
    stop();
}

static void link_pair(const char *golden)
{
    char path[400], target[1000];
    assert_non_null(getcwd(target, 900));
    snprintf(target + strlen(target), 90, "/" GOLDEN "/%s", golden);
    snprintf(path, sizeof path, "%s/pairs/resnet", scratch.dir);
    remove(path);
    assert_int_equal(symlink(target, path), 0);
}

/* An audit never holds scores of two pairs: it waits, and goes on when its own is back. */
static void an_audit_waits_for_its_pair(void **state)
{
    (void)state;
    struct sm_pairs *usual = pairs;
    char id[SM_ID_BYTES], path[400];
    bool created;
    snprintf(path, sizeof path, "%s/pairs", scratch.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    link_pair("resnet");
    assert_code(SM_OK, sm_pairs_load(&pairs, path, "blas", &err));
    start(2, 10);
    make_audit(id);
    link_pair("vit");
    assert_code(SM_OK, sm_pairs_put(pairs, "resnet", &created, &err));
    assert_code(SM_OK, sm_store_audit_move(store, id, SM_AUDIT_START, NULL, &err));
    json_t *audit = await_audit(id, "paused");
    const char *reason = text_at(audit, "reason");
    if (strncmp(reason, "pair resnet has changed: the audit was made under digest ", 57) != 0)
        fail_msg("%s", reason);
    json_decref(audit);
    for (int i = 0; read_int("SELECT COUNT(*) FROM item WHERE state = 'queued'") < 2; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
    assert_int_equal(read_int("SELECT SUM(attempt) FROM item"), 0); /* not a try that failed */
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 0);
    link_pair("resnet");
    assert_code(SM_OK, sm_pairs_put(pairs, "resnet", &created, &err));
    assert_code(SM_OK, sm_store_audit_move(store, id, SM_AUDIT_RESUME, NULL, &err));
    json_decref(await_audit(id, "succeeded"));
    stop();
    sm_pairs_free(pairs);
    pairs = usual;
}

static void an_unloaded_pair_fails_what_waits_for_it(void **state)
{
    (void)state;
    struct client client;
    const struct sm_file four[4] = {wide, tall, wide, tall};
    int64_t waiting;
    hold_commits();
    start(1, 10);
    assert_code(SM_OK, submit(&client, "resnet", 77, four, 4));
    sem_post(&gate);
    await(&client, SM_TICKET_ADMITTED);
    assert_code(SM_OK, sm_store_pair_waiting(&waiting, store, "vit", &err));
    assert_int_equal(waiting, 0);
    assert_code(SM_OK, sm_pairs_remove(pairs, "resnet", &err));
    json_t *job = complete(&client);
    const char *detail = text_at(json_object_get(item_of(job, 3), "error"), "detail");
    assert_string_equal(detail, "pair resnet is not loaded: it is not there any more");
    json_decref(job);
    bool created;
    assert_code(SM_OK, sm_pairs_put(pairs, "resnet", &created, &err));
    assert_true(created);
    stop();
}

/* --- tickets ----------------------------------------------------------------------------- */

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
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE state IN ('succeeded', 'queued')"),
                     3);
}

/* One job always fits, however large; the next waits for it, and it is not counted for ever. */
static void a_queue_full_of_bytes_is_busy(void **state)
{
    (void)state;
    struct client client, refused;
    char text[160];
    queue_bytes_max = (int64_t)wide.bytes_count - 1;
    start(1, 100);
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
    queue_bytes_max = INT64_C(1) << 30;
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

static void what_is_queued_at_the_stop_is_done_after_it(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    struct client client;
    char ids[COUNT][SM_ID_BYTES];
    start(2, 100);
    for (int i = 0; i < COUNT; i++) {
        assert_code(SM_OK, submit(&client, "resnet", (uint64_t)i, &wide, 1));
        memcpy(ids[i], client.id, sizeof ids[i]);
        await(&client, SM_TICKET_ADMITTED);
        sm_ticket_release(client.ticket);
    }
    stop();
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'running'"), 0);
    reopen();
    start(2, 100);
    for (int tries = 0; sm_store_queued_count(store) > 0 && tries < 1000; tries++)
        usleep(20000);
    for (int i = 0; i < COUNT; i++)
        check_job(ids[i], "succeeded", 1, 0);
    assert_int_equal(read_int("SELECT MAX(attempt) FROM item"), 1);
    stop();
}

/* Workers that may not finish give their items back, as if they had never claimed them. */
static void what_is_given_up_is_queued_again(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct client client;
    char ids[COUNT][SM_ID_BYTES];
    hold_commits();
    start(3, 1000);
    for (int i = 0; i < COUNT; i++) {
        assert_code(SM_OK, submit(&client, "vit", (uint64_t)i, &wide, 1));
        memcpy(ids[i], client.id, sizeof ids[i]);
        sm_ticket_release(client.ticket);
    }
    sem_post(&gate);
    while (sm_store_queued_count(store) == COUNT)
        usleep(100);
    sm_jobs_stop_by(jobs, 0);
    jobs = NULL;
    assert_int_equal(read_int("SELECT COUNT(*) FROM item WHERE state = 'running'"), 0);
    assert_int_equal(read_int("SELECT COALESCE(SUM(attempt), 0) FROM item WHERE state = 'queued'"),
                     0);
    int64_t queued = read_int("SELECT COUNT(*) FROM item WHERE state = 'queued'");
    assert_int_equal(queued, read_int("SELECT SUM(queued_count) FROM job"));
    assert_int_equal(queued, sm_store_queued_count(store));
    assert_true(queued > 0);
    start(2, 1000); /* on the same store: the counts in memory are right too */
    for (int tries = 0; sm_store_queued_count(store) > 0 && tries < 1000; tries++)
        usleep(20000);
    for (int i = 0; i < COUNT; i++)
        check_job(ids[i], "succeeded", 1, 0);
    assert_int_equal(read_int("SELECT MAX(attempt) FROM item"), 1);
    stop();
}

/* --- many at once ------------------------------------------------------------------------ */

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
    for (int tries = 0; sm_store_queued_count(store) > 0 && tries < 1000; tries++)
        usleep(20000);
    stop();
    assert_int_equal(read_int("SELECT COUNT(*) FROM job WHERE state = 'succeeded'"), 6 * THREADS);
}

static int decode_helper_unless(char **argv)
{
    char name[] = SM_DECODE_COMMAND, *arguments[] = {name, argv[3], NULL};
    return access(argv[2], F_OK) == 0 ? 1 : sm_decode_helper(2, arguments);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_for_any_number_of_workers),
        TEST(a_second_request_is_answered_from_history),
        TEST(columns_agree_with_the_document),
        TEST(what_is_wrong_with_an_item_fails_that_item),
        TEST(a_full_disk_pauses_an_audit),
        TEST(an_image_waits_for_a_decoder),
        TEST(pairs_are_loaded_again_under_load),
        TEST(an_audit_waits_for_its_pair),
        TEST(an_unloaded_pair_fails_what_waits_for_it),
        TEST(wakes_come_in_order_and_only_twice),
        TEST(no_wake_comes_after_release),
        TEST(a_full_queue_is_busy),
        TEST(a_queue_full_of_bytes_is_busy),
        TEST(a_failed_admission_is_told),
        TEST(what_is_queued_at_the_stop_is_done_after_it),
        TEST(what_is_given_up_is_queued_again),
        TEST(submitters_and_workers_run_together),
    };
    if (argc == 4 && strcmp(argv[1], HELPER_UNLESS) == 0)
        return decode_helper_unless(argv);
    return cmocka_run_group_tests(tests, load, unload);
}
