/* What interrupts jobs: a full disk, a pair that changes or goes, no decoder, the stop. */
#include "tests/unit/server/jobs/jobs_fixture.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "server/decode/helper.h"
#include "server/store/audits.h"
#include "tests/unit/server/store/own.h"

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
    struct sm_store_audit_in in = {.pair = "resnet"};
    struct sm_store_audit_image_in images[2] = {0};
    struct sm_store_audit_added added;
    json_t *recipe = sm_recipe_json(sm_pair_recipe(pair)), *document = sm_pair_json(pair);
    json_t *spec = json_pack("{s:s, s:b}", "name", "trial", "keep_thumbnails", 1);
    in.recipe = recipe;
    in.pair_document = document;
    in.spec = spec;
    assert_code(SM_OK, sm_recipe_digest(in.recipe_digest, sm_pair_recipe(pair), &err));
    sm_id_new(in.audit.id);
    memcpy(id, in.audit.id, SM_ID_BYTES);
    assert_code(SM_OK, sm_store_audit_create(store, &in, &err));
    for (int i = 0; i < 2; i++)
        images[i] = (struct sm_store_audit_image_in){.cohort = (enum sm_cohort)i,
                                                     .name = "image",
                                                     .class_label = "",
                                                     .group = "",
                                                     .bytes = wide.bytes,
                                                     .bytes_count = wide.bytes_count};
    for (int i = 0; i < 2; i++)
        sm_sha256_hex(images[i].image_digest, wide.bytes, wide.bytes_count);
    assert_code(SM_OK, sm_store_audit_add(&added, store, OWN(id),
                                          &(struct sm_store_audit_intake){
                                              .images = images, .images_count = 2, .items_max = 2},
                                          &err));
    sm_generation_give(generation);
    json_decref(recipe);
    json_decref(document);
    json_decref(spec);
}

/* Waits until the audit is in `state` and has that many scores; the document. */
static json_t *await_audit(const char *id, const char *state, int64_t succeeded)
{
    json_t *audit;
    for (int i = 0; i < 3000; i++) {
        assert_code(SM_OK, sm_store_audit(&audit, NULL, store, OWN(id), &err));
        if (strcmp(text_at(audit, "state"), state) == 0 &&
            json_integer_value(json_object_get(audit, "succeeded_count")) == succeeded)
            return audit;
        json_decref(audit);
        usleep(10000);
    }
    fail_msg("audit %s is never %s with %" PRId64 " scores", id, state, succeeded);
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
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_START, NULL, &err));
    json_t *audit = await_audit(id, "paused", 0);
    assert_non_null(strstr(text_at(audit, "reason"), "database or disk is full"));
    json_decref(audit);
    assert_code(SM_OK, sm_writer_call(store->writer, &free_again, &err));
    json_decref(await_audit(id, "paused", 1)); /* the result that was kept */
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_RESUME, NULL, &err));
    json_decref(await_audit(id, "succeeded", 2));
    size_t bytes_count;
    struct sm_image image = {0};
    void *png = sm_store_audit_thumbnail(store, OWN(id), 1, &bytes_count);
    assert_code(SM_OK, sm_image_decode(&image, png, bytes_count, false, NULL, &err));
    assert_true(image.width_px <= 64 && image.height_px <= 64);
    sm_image_release(&image);
    free(png);
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
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_START, NULL, &err));
    json_t *audit = await_audit(id, "paused", 0);
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
    assert_code(SM_OK, sm_store_audit_move(store, OWN(id), SM_AUDIT_RESUME, NULL, &err));
    json_decref(await_audit(id, "succeeded", 2));
    stop();
    sm_pairs_free(pairs);
    pairs = usual;
}

/* --- plain jobs -------------------------------------------------------------------------- */

static void an_unloaded_pair_fails_what_waits_for_it(void **state)
{
    (void)state;
    struct client client;
    const struct sm_file four[4] = {wide, tall, wide, tall};
    hold_commits();
    start(1, 10);
    assert_code(SM_OK, submit(&client, "resnet", 77, four, 4));
    sem_post(&gate);
    await(&client, SM_TICKET_ADMITTED);
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
    const char *const command[] = {"test_interruptions", HELPER_UNLESS, refusal, NULL};
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
    await_empty_queue();
    check_job(client.id, "succeeded", 1, 0);
    stop();
    sm_decoders_stop(decoders);
    decoders = NULL;
}

/* --- the stop ---------------------------------------------------------------------------- */

/* New workers score what is left of `count` jobs of one image; no image was tried twice. */
static void finish_all(char (*ids)[SM_ID_BYTES], int count)
{
    start(2, 1000);
    await_empty_queue();
    for (int i = 0; i < count; i++)
        check_job(ids[i], "succeeded", 1, 0);
    assert_int_equal(read_int("SELECT MAX(attempt) FROM item"), 1);
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
    finish_all(ids, COUNT);
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
    finish_all(ids, COUNT); /* on the same store: the counts in memory are right too */
}

static int decode_helper_unless(char **argv)
{
    char name[] = SM_DECODE_COMMAND, *arguments[] = {name, argv[3], NULL};
    return access(argv[2], F_OK) == 0 ? 1 : sm_decode_helper(2, arguments);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_jobs, teardown_jobs)
    static const struct CMUnitTest tests[] = {
        TEST(a_full_disk_pauses_an_audit),
        TEST(an_audit_waits_for_its_pair),
        TEST(an_unloaded_pair_fails_what_waits_for_it),
        TEST(an_image_waits_for_a_decoder),
        TEST(what_is_queued_at_the_stop_is_done_after_it),
        TEST(what_is_given_up_is_queued_again),
    };
    if (argc == 4 && strcmp(argv[1], HELPER_UNLESS) == 0)
        return decode_helper_unless(argv);
    return cmocka_run_group_tests(tests, load, unload);
}
