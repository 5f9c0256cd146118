/* Audits in the store: their life, what counts, files, deletion, recovery. */
#include "tests/unit/server/store/audit_fixture.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

static json_t *read_audit(const char *id)
{
    json_t *audit;
    assert_code(SM_OK, sm_store_audit(&audit, store, id, &err));
    return audit;
}

static void check_audit(const char *id, const char *state, int waiting, int succeeded, int failed)
{
    json_t *audit = read_audit(id);
    assert_string_equal(text_at(audit, "state"), state);
    assert_int_equal(count_at(audit, "waiting_count"), waiting);
    assert_int_equal(count_at(audit, "succeeded_count"), succeeded);
    assert_int_equal(count_at(audit, "failed_count"), failed);
    json_decref(audit);
    check_counts();
}

static void claim_one(struct sm_claim *claim)
{
    assert_code(SM_OK, sm_store_claim(claim, store, "w", 1000, &err));
}

static void claim_none(void)
{
    struct sm_claim claim;
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 0, &err));
}

/* Claims one and scores it; its key is of the image and pair. */
static void score_one(void)
{
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    claim_one(&claim);
    assert_code(SM_OK, finish(&claim, "w", claim.image_digest, .5, score_id, &finished));
    sm_claim_release(&claim);
}

/* --- life ------------------------------------------------------------------------------------ */

static void an_audit_goes_its_way(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    create_audit(id, false);
    check_audit(id, "open", 0, 0, 0);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 2, 2));
    check_audit(id, "open", 4, 0, 0);
    claim_none();
    assert_int_equal(sm_store_queued_count(store), 0);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "running", 4, 0, 0);
    for (int i = 0; i < 3; i++)
        score_one();
    check_audit(id, "running", 1, 3, 0);
    claim_one(&claim);
    assert_string_equal(claim.job_id, id);
    assert_int_equal(claim.index, 3);
    assert_true(claim.audit);
    assert_false(claim.keep_thumbnail);
    assert_memory_equal(claim.bytes, "candidate/00003.png", claim.bytes_count);
    assert_code(SM_OK, fail_item(&claim, SM_CORRUPT, "ends early"));
    sm_claim_release(&claim);
    check_audit(id, "succeeded", 0, 3, 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);

    json_t *audit = read_audit(id);
    json_t *expected = json_pack("{s:{s:i, s:i, s:i}, s:{s:i, s:i, s:i}}", "shared", "items_count",
                                 2, "succeeded_count", 2, "failed_count", 0, "candidate",
                                 "items_count", 2, "succeeded_count", 1, "failed_count", 1);
    assert_true(json_equal(json_object_get(audit, "cohorts"), expected));
    json_decref(expected);
    expected = json_pack("[{s:s, s:i}]", "code", "corrupt", "count", 1);
    assert_true(json_equal(json_object_get(audit, "failures"), expected));
    json_decref(expected);
    assert_string_equal(text_at(audit, "id"), id);
    assert_string_equal(text_at(audit, "name"), "trial");
    assert_string_equal(text_at(audit, "pair"), "alpha");
    assert_string_equal(text_at(json_object_get(audit, "spec"), "name"), "trial");
    assert_int_equal(strlen(text_at(audit, "recipe")), 64);
    int64_t ms;
    assert_true(sm_time_parse(&ms, text_at(audit, "created")));
    assert_true(sm_time_parse(&ms, text_at(audit, "started")));
    assert_true(sm_time_parse(&ms, text_at(audit, "finished")));
    assert_int_equal(count_at(audit, "revision"), sm_store_audit_revision(store, id));
    json_decref(audit);
}

static void an_audit_of_failures_has_failed(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_audit_image_in bad = {
        .cohort = SM_COHORT_EXTERNAL, .name = "a.png", .class_label = "", .group = ""};
    create_audit(id, false);
    for (int k = 0; k < 2; k++) /* the second time it is there */
        assert_code(SM_OK, add_failed(id, bad, SM_IO, "a.png: no such file"));
    digest_of(bad.image_digest, 3);
    for (int k = 0; k < 2; k++)
        assert_code(SM_OK, add_failed(id, bad, SM_CORRUPT, "ends early"));
    check_audit(id, "open", 0, 0, 2);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    check_audit(id, "failed", 0, 0, 2);
    json_t *audit = read_audit(id);
    assert_int_equal(json_array_size(json_object_get(audit, "failures")), 2);
    json_decref(audit);
}

static void plain_jobs_come_first(void **state)
{
    (void)state;
    char first[SM_ID_BYTES], second[SM_ID_BYTES], plain[SM_ID_BYTES];
    struct sm_claim claim;
    create_audit(first, false);
    create_audit(second, false);
    assert_code(SM_OK, add_images(second, SM_COHORT_SHARED, 0, 1));
    assert_code(SM_OK, add_images(first, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, move(second, SM_AUDIT_START));
    assert_code(SM_OK, move(first, SM_AUDIT_START));
    claim_one(&claim);
    assert_string_equal(claim.job_id, first);
    sm_claim_release(&claim);
    assert_code(SM_OK, admit(plain, "alpha", 1, 1));
    assert_int_equal(sm_store_queued_count(store), 1);
    const char *const expected[] = {plain, first, second};
    for (int i = 0; i < 3; i++) {
        claim_one(&claim);
        assert_string_equal(claim.job_id, expected[i]);
        assert_int_equal(claim.audit, i > 0);
        sm_claim_release(&claim);
    }
    claim_none();
    check_counts();
}

/* --- moves ----------------------------------------------------------------------------------- */

/* An audit with one image, brought to `state`. */
static void audit_in(char id[SM_ID_BYTES], const char *state, int image)
{
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, image, 1));
    if (strcmp(state, "open") != 0 && strcmp(state, "cancelled") != 0)
        assert_code(SM_OK, move(id, SM_AUDIT_START));
    if (strcmp(state, "paused") == 0)
        assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    if (strcmp(state, "cancelled") == 0)
        assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
    if (strcmp(state, "succeeded") == 0)
        score_one();
    check_audit(id, state, strcmp(state, "succeeded") != 0 && strcmp(state, "cancelled") != 0,
                strcmp(state, "succeeded") == 0, 0);
}

static void every_move_has_its_states(void **state)
{
    (void)state;
    static const struct {
        const char *state, *after[4]; /* NULL: a conflict */
    } rows[] = {
        {"open", {"running", NULL, NULL, "cancelled"}},
        {"running", {NULL, "paused", NULL, "cancelled"}},
        {"paused", {NULL, NULL, "running", "cancelled"}},
        {"succeeded", {NULL, NULL, NULL, NULL}},
        {"cancelled", {NULL, NULL, NULL, NULL}},
    };
    static const char *const wants[] = {"open to be started", "running to be paused",
                                        "paused to be resumed",
                                        "open, running or paused to be cancelled"};
    char id[SM_ID_BYTES], text[200];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int m = SM_AUDIT_START; m <= SM_AUDIT_CANCEL; m++) {
            audit_in(id, rows[i].state, (int)(10 * i) + m);
            int64_t revision = sm_store_audit_revision(store, id);
            enum sm_code code = move(id, (enum sm_audit_move)m);
            if (rows[i].after[m]) {
                assert_code(SM_OK, code);
                assert_true(sm_store_audit_revision(store, id) > revision);
            } else {
                assert_int_equal(code, SM_CONFLICT);
                snprintf(text, sizeof text, "audit %s is %s, it must be %s", id, rows[i].state,
                         wants[m]);
                assert_string_equal(err.text, text);
                assert_int_equal(sm_store_audit_revision(store, id), revision);
            }
            json_t *audit = read_audit(id);
            assert_string_equal(text_at(audit, "state"),
                                rows[i].after[m] ? rows[i].after[m] : rows[i].state);
            bool ended = strcmp(text_at(audit, "state"), "succeeded") == 0 ||
                         strcmp(text_at(audit, "state"), "cancelled") == 0;
            json_decref(audit);
            check_counts();
            if (!ended)
                assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
            assert_code(SM_OK, sm_store_audit_delete(store, id, &err));
        }
}

static void what_is_not_there_cannot_be_moved(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], plain[SM_ID_BYTES];
    json_t *document;
    struct sm_audit_added added;
    struct sm_audit_record record;
    size_t bytes_count;
    assert_code(SM_OK, admit(plain, "alpha", 1, 1)); /* a job, but no audit */
    sm_id_new(id);
    const char *const ids[] = {id, plain, "none"};
    for (int i = 0; i < 3; i++) {
        assert_code(SM_NOT_FOUND, move(ids[i], SM_AUDIT_CANCEL));
        assert_code(SM_NOT_FOUND, sm_store_audit_delete(store, ids[i], &err));
        assert_code(SM_NOT_FOUND, sm_store_audit(&document, store, ids[i], &err));
        assert_null(document);
        assert_code(SM_NOT_FOUND,
                    sm_store_audit_items(&document, store, ids[i],
                                         &(struct sm_audit_items_filter){-1, NULL, -1, 5}, &err));
        assert_null(document);
        assert_code(SM_NOT_FOUND, sm_store_audit_add(&added, store, ids[i], NULL, 0, 9, &err));
        assert_code(SM_NOT_FOUND, sm_store_audit_record(&record, store, ids[i], &err));
        assert_int_equal(sm_store_audit_revision(store, ids[i]), -1);
        assert_null(sm_store_audit_thumbnail(store, ids[i], 0, &bytes_count));
    }
    create_audit(id, false);
    assert_code(SM_CONFLICT, move(id, SM_AUDIT_START));
    char text[200];
    snprintf(text, sizeof text, "audit %s has 0 images, it must have at least 1 to be started", id);
    assert_string_equal(err.text, text);
    check_audit(id, "open", 0, 0, 0);
}

static void pausing_lets_what_runs_finish(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    bool finished;
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 3));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    claim_one(&claim);
    assert_code(SM_OK, sm_store_audit_move(store, id, SM_AUDIT_PAUSE, "the disk is full", &err));
    json_t *audit = read_audit(id);
    assert_string_equal(text_at(audit, "reason"), "the disk is full");
    json_decref(audit);
    claim_none();
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    sm_claim_release(&claim);
    check_audit(id, "paused", 2, 1, 0);
    reopen(); /* it stays paused */
    claim_none();
    check_audit(id, "paused", 2, 1, 0);
    assert_code(SM_OK, move(id, SM_AUDIT_RESUME));
    audit = read_audit(id);
    assert_null(json_object_get(audit, "reason"));
    json_decref(audit);
    score_one();
    claim_one(&claim);
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    assert_code(SM_OK, finish(&claim, "w", "last", 1, score_id, &finished));
    assert_true(finished); /* the last image ends it, paused or not */
    sm_claim_release(&claim);
    check_audit(id, "succeeded", 0, 3, 0);
}

static void cancelling_ends_what_waits(void **state)
{
    (void)state;
    enum { COUNT = 1203 }; /* several chunks */
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim, lost;
    bool finished;
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, COUNT));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    claim_one(&claim);
    claim_one(&lost);
    sm_claim_release(&lost);
    assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
    check_audit(id, "cancelled", 2, 0, 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 2);
    claim_none();
    assert_code(SM_OK, finish(&claim, "w", "k", 1, score_id, &finished));
    sm_claim_release(&claim);
    check_audit(id, "cancelled", 1, 1, 0);
    reopen(); /* whose worker was lost: not queued again */
    check_audit(id, "cancelled", 0, 1, 0);
    assert_int_equal(read_int("SELECT cancelled_count FROM job"), COUNT - 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
}

/* --- images ---------------------------------------------------------------------------------- */

static void a_cohort_has_an_image_once(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], text[200];
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 4));
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 2, 4)); /* two of them again */
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 6);
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 0, 2)); /* another cohort may */
    check_audit(id, "open", 8, 0, 0);
    assert_int_equal(read_int("SELECT SUM(idx) FROM item"), 28);

    struct sm_audit_added added;
    struct sm_audit_image_in images[2] = {{SM_COHORT_EXTERNAL, "a.png", "", "", "", "A", 1, NULL},
                                          {SM_COHORT_EXTERNAL, "b.png", "", "", "", "B", 1, NULL}};
    digest_of(images[0].image_digest, 100);
    digest_of(images[1].image_digest, 101);
    assert_code(SM_LIMIT, sm_store_audit_add(&added, store, id, images, 2, 9, &err));
    snprintf(text, sizeof text, "audit %s has 9 images of at most 9, no room for b.png", id);
    assert_string_equal(err.text, text);
    assert_int_equal(added.added_count, 0);
    check_audit(id, "open", 8, 0, 0); /* nothing of the call */
    assert_code(SM_OK, sm_store_audit_add(&added, store, id, images, 2, 10, &err));
    assert_int_equal(added.added_count, 2);
    assert_code(SM_OK, sm_store_audit_add(&added, store, id, images, 2, 10, &err));
    assert_int_equal(added.duplicate_count, 2);

    assert_code(SM_OK, move(id, SM_AUDIT_START));
    assert_code(SM_CONFLICT, sm_store_audit_add(&added, store, id, images, 2, 10, &err));
    snprintf(text, sizeof text, "audit %s is running, it must be open to take images", id);
    assert_string_equal(err.text, text);
    check_audit(id, "running", 10, 0, 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_file_is_read_when_its_turn_comes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sm_code code;
        const char *text; /* after the path */
    } rows[] = {
        {"good", SM_OK, NULL},
        {"gone", SM_NOT_FOUND, ": No such file or directory"},
        {"changed", SM_CONFLICT, " has changed: admitted with SHA-256 "},
        {"link", SM_IO, ": Too many levels of symbolic links"},
        {"folder", SM_INVALID, " is no regular file"},
        {"fifo", SM_INVALID, " is no regular file"},
        {"large", SM_LIMIT, " has 16777217 bytes, at most 16777216"},
        {"also good", SM_OK, NULL},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    char id[SM_ID_BYTES], paths[ROWS][400], text[500];
    struct sm_audit_image_in images[ROWS] = {0};
    struct sm_audit_added added;
    struct sm_claim claim;
    create_audit(id, false);
    for (int i = 0; i < ROWS; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", scratch.dir, rows[i].name);
        images[i] = (struct sm_audit_image_in){.cohort = SM_COHORT_SHARED,
                                               .name = rows[i].name,
                                               .class_label = "",
                                               .group = "",
                                               .path = paths[i]};
        sm_sha256_hex(images[i].image_digest, rows[i].name, strlen(rows[i].name));
        write_file(paths[i], rows[i].name);
    }
    assert_code(SM_OK, sm_store_audit_add(&added, store, id, images, ROWS, 100, &err));
    assert_int_equal(added.added_count, ROWS);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 1; i < 6; i++)
        remove(paths[i]);
    write_file(paths[2], "other bytes");
    assert_int_equal(symlink(paths[0], paths[3]), 0);
    assert_int_equal(mkdir(paths[4], 0700), 0);
    assert_int_equal(mkfifo(paths[5], 0600), 0);
    assert_int_equal(truncate(paths[6], (16 << 20) + 1), 0);
    for (int i = 0; i < ROWS; i++) {
        claim_one(&claim);
        assert_int_equal(claim.index, i);
        assert_int_equal(claim.unreadable.code, rows[i].code);
        if (rows[i].code == SM_OK) {
            assert_int_equal(claim.bytes_count, strlen(rows[i].name));
            assert_memory_equal(claim.bytes, rows[i].name, claim.bytes_count);
        } else {
            snprintf(text, sizeof text, "%.300s%s", paths[i], rows[i].text);
            assert_memory_equal(claim.unreadable.text, text, strlen(text));
            assert_null(claim.bytes);
        }
        sm_claim_release(&claim);
    }
}

static void items_are_listed_by_index(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    json_t *page;
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 5));
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 5, 5));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < 4; i++)
        score_one();
    claim_one(&claim);
    assert_code(SM_OK, fail_item(&claim, SM_LIMIT, "too wide"));
    sm_claim_release(&claim);
    claim_one(&claim);
    sm_claim_release(&claim);
    static const struct {
        struct sm_audit_items_filter filter;
        int first, count;
        bool more;
    } rows[] = {
        {{-1, NULL, -1, 4}, 0, 4, true},
        {{-1, NULL, 3, 6}, 4, 6, false},
        {{-1, NULL, 9, 6}, 0, 0, false},
        {{SM_COHORT_CANDIDATE, NULL, -1, 3}, 5, 3, true},
        {{SM_COHORT_CANDIDATE, "queued", -1, 9}, 6, 4, false},
        {{SM_COHORT_EXTERNAL, NULL, -1, 9}, 0, 0, false},
        {{-1, "succeeded", 0, 9}, 1, 3, false},
        {{-1, "failed", -1, 9}, 4, 1, false},
        {{-1, "running", -1, 9}, 5, 1, false},
        {{-1, "cancelled", -1, 9}, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_OK, sm_store_audit_items(&page, store, id, &rows[i].filter, &err));
        const json_t *items = json_object_get(page, "items");
        assert_int_equal(json_array_size(items), rows[i].count);
        assert_int_equal(json_is_true(json_object_get(page, "more")), rows[i].more);
        for (int k = 0; k < rows[i].count; k++)
            assert_int_equal(count_at(json_array_get(items, (size_t)k), "index"),
                             rows[i].first + k);
        json_decref(page);
    }
    assert_code(SM_OK, sm_store_audit_items(&page, store, id,
                                            &(struct sm_audit_items_filter){-1, NULL, 2, 2}, &err));
    const json_t *scored = json_array_get(json_object_get(page, "items"), 0);
    const json_t *failed = json_array_get(json_object_get(page, "items"), 1);
    assert_string_equal(text_at(scored, "cohort"), "shared");
    assert_string_equal(text_at(scored, "name"), "shared/00003.png");
    assert_string_equal(text_at(scored, "state"), "succeeded");
    assert_string_equal(text_at(scored, "class"), "");
    assert_int_equal(strlen(text_at(scored, "image")), 64);
    assert_true(json_real_value(json_object_get(scored, "m")) == .5);
    assert_true(json_is_null(json_object_get(scored, "m_se"))); /* its document has none */
    char *line;
    assert_code(SM_OK, sm_store_score_line(&line, store, SM_TENANT_DEFAULT,
                                           text_at(scored, "score"), &err));
    free(line);
    assert_null(json_object_get(failed, "score"));
    assert_string_equal(text_at(json_object_get(failed, "error"), "detail"), "too wide");
    json_decref(page);
    assert_code(SM_INVALID,
                sm_store_audit_items(&page, store, id,
                                     &(struct sm_audit_items_filter){-1, "asleep", -1, 2}, &err));
    assert_string_equal(err.text, "'asleep' is no state of an item");
}

static void audits_are_listed_newest_first(void **state)
{
    (void)state;
    char ids[5][SM_ID_BYTES], after[SM_ID_BYTES] = "";
    json_t *page;
    int next = 4;
    bool more = true;
    for (int i = 0; i < 5; i++)
        create_audit(ids[i], false);
    while (more) {
        assert_code(SM_OK, sm_store_audits(&page, store, SM_TENANT_DEFAULT, after, 2, &err));
        const json_t *audits = json_object_get(page, "audits");
        for (size_t i = 0; i < json_array_size(audits); i++) {
            assert_string_equal(text_at(json_array_get(audits, i), "id"), ids[next]);
            memcpy(after, ids[next--], sizeof after);
        }
        more = json_is_true(json_object_get(page, "more"));
        json_decref(page);
    }
    assert_int_equal(next, -1);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void deleting_leaves_what_others_have(void **state)
{
    (void)state;
    enum { COUNT = 1003 };
    char id[SM_ID_BYTES], shared[SM_ID_BYTES], score_id[SM_ID_BYTES], text[200];
    struct sm_claim claim;
    bool finished;
    size_t bytes_count;
    digest_of(text, 0);
    assert_code(SM_OK, admit(shared, "alpha", 0, 1));
    claim_one(&claim);
    assert_code(SM_OK, finish(&claim, "w", text, .5, score_id, &finished));
    sm_claim_release(&claim);
    create_audit(id, true);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, COUNT));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < 3; i++)
        score_one(); /* the first is the plain job's score too */
    claim_one(&claim);
    assert_true(claim.keep_thumbnail);
    char again[SM_ID_BYTES];
    json_t *score = json_pack("{s:f}", "m", .25);
    assert_code(SM_OK, sm_store_finish(store,
                                       &(struct sm_finish){.job_id = id,
                                                           .index = claim.index,
                                                           .owner = "w",
                                                           .key = key_of("thumb"),
                                                           .score = score,
                                                           .image_digest = claim.image_digest,
                                                           .thumbnail = "PNG",
                                                           .thumbnail_bytes = 3},
                                       again, &finished, &err));
    json_decref(score);
    sm_claim_release(&claim);
    char *png = sm_store_audit_thumbnail(store, id, 3, &bytes_count);
    assert_int_equal(bytes_count, 3);
    assert_memory_equal(png, "PNG", 3);
    free(png);
    assert_null(sm_store_audit_thumbnail(store, id, 2, &bytes_count));
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 4);
    assert_code(SM_CONFLICT, sm_store_audit_delete(store, id, &err));
    snprintf(text, sizeof text,
             "audit %s is running, it must be paused, cancelled or finished to be deleted", id);
    assert_string_equal(err.text, text);

    claim_one(&claim); /* still at work when its audit goes */
    assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    assert_code(SM_OK, sm_store_audit_delete(store, id, &err));
    assert_code(SM_CONFLICT, finish(&claim, "w", "k", 1, again, &finished));
    sm_claim_release(&claim);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM thumbnail"), 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 1);
    assert_int_equal(read_int("SELECT COUNT(*) FROM audit_cohort"), 0);
    check_job(shared, "succeeded", 1, 0);
    check_counts();
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_delete(store, id, &err)); /* empty */
    assert_int_equal(sm_store_audit_revision(store, id), -1);
}

/* A crash between the first write of a cancellation or deletion and its last. */
static void a_restart_ends_what_was_begun(void **state)
{
    (void)state;
    char cancelled[SM_ID_BYTES], deleted[SM_ID_BYTES], kept[SM_ID_BYTES];
    struct sm_db *db;
    audit_in(cancelled, "open", 1);
    audit_in(deleted, "paused", 2);
    audit_in(kept, "running", 3);
    sm_store_close(store);
    assert_code(SM_OK, sm_db_open(&db, scratch.db, SM_DB_WRITE, &err));
    assert_code(SM_OK, sm_db_exec(db,
                                  "UPDATE job SET state = 'cancelled' WHERE state = 'open';"
                                  "DELETE FROM audit_cohort WHERE job_id IN "
                                  "(SELECT id FROM job WHERE state = 'paused');"
                                  "DELETE FROM audit WHERE job_id IN "
                                  "(SELECT id FROM job WHERE state = 'paused');",
                                  &err));
    sm_db_close(db);
    assert_code(SM_OK, sm_store_open(&store, scratch.db, &err));
    check_audit(cancelled, "cancelled", 0, 0, 0);
    check_audit(kept, "running", 1, 0, 0);
    assert_int_equal(read_int("SELECT COUNT(*) FROM job"), 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM image"), 1);
}

static void the_secret_is_made_once(void **state)
{
    (void)state;
    static const char sql[] = "SELECT COUNT(*) FROM secret WHERE length(key) = 32 AND "
                              "key <> zeroblob(32)";
    char id[SM_ID_BYTES];
    struct sm_audit_record before, after;
    assert_int_equal(read_int(sql), 1);
    create_audit(id, false);
    assert_code(SM_OK, sm_store_audit_record(&before, store, id, &err));
    reopen();
    assert_code(SM_OK, sm_store_audit_record(&after, store, id, &err));
    assert_memory_equal(before.key, after.key, 32);
    assert_ptr_equal(after.audit.digest_key, after.key);
    sm_audit_record_release(&before);
    sm_audit_record_release(&after);
    assert_int_equal(read_int(sql), 1);
}

/* --- the record ------------------------------------------------------------------------------ */

static void the_record_has_every_number(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    struct sm_audit_record record;
    bool finished;
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 2));
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 2, 2));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < 2; i++) {
        char key[65];
        claim_one(&claim);
        digest_of(key, 1000 + i);
        json_t *score = json_pack(
            "{s:{s:s}, s:f, s:f, s:f, s:{s:f, s:f}, s:{s:f, s:f}, s:{s:s, s:s, s:s}}", "image",
            "digest", claim.image_digest, "m", 1.5 + i, "m_se", .25, "ratio", .125, "f",
            "alignment", 2.0, "se", .0625, "g", "alignment", 3.5 + i, "se", .03125, "provenance",
            "key", key, "kernels", i ? "ref" : "blas", "recipe_digest", "r");
        assert_code(SM_OK, sm_store_finish(store,
                                           &(struct sm_finish){.job_id = id,
                                                               .index = claim.index,
                                                               .owner = "w",
                                                               .key = key,
                                                               .score = score,
                                                               .m = 1.5 + i,
                                                               .image_digest = claim.image_digest},
                                           score_id, &finished, &err));
        json_decref(score);
        sm_claim_release(&claim);
    }
    claim_one(&claim);
    assert_code(SM_OK, fail_item(&claim, SM_CORRUPT, "ends early"));
    sm_claim_release(&claim);
    assert_code(SM_OK, sm_store_audit_record(&record, store, id, &err));
    assert_int_equal(record.audit.items_count, 3); /* the fourth waits */
    const struct sm_audit_item *item = &record.audit.items[1];
    assert_int_equal(item->index, 1);
    assert_int_equal(item->cohort, SM_COHORT_SHARED);
    assert_string_equal(item->name, "shared/00001.png");
    assert_string_equal(item->group, "");
    assert_int_equal(strlen(item->image_digest), 64);
    assert_true(item->m == 2.5 && item->m_se == .25 && item->ratio == .125 && item->f == 2 &&
                item->f_se == .0625 && item->g == 4.5 && item->g_se == .03125);
    assert_null(item->error_code);
    assert_int_equal(record.audit.items[2].cohort, SM_COHORT_CANDIDATE);
    assert_string_equal(record.audit.items[2].error_code, "corrupt");
    assert_string_equal(record.audit.items[2].error_detail, "ends early");
    assert_string_equal(record.audit.spec->name, "trial");
    assert_string_equal(text_at(record.audit.pair, "name"), "alpha");
    assert_int_equal(count_at(record.audit.recipe, "views"), 10);
    assert_string_equal(text_at(record.audit.run, "id"), id);
    assert_string_equal(text_at(record.audit.provenance, "kernels"), "blas");
    assert_null(json_object_get(record.audit.provenance, "key"));
    assert_int_equal(json_array_size(json_object_get(record.audit.provenance, "variants")), 2);
    sm_audit_record_release(&record);
    sm_audit_record_release(&record);
}

/* --- counts ---------------------------------------------------------------------------------- */

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* Whatever happens in whatever order, the counts are those of the rows. */
static void counts_follow_any_course(void **state)
{
    (void)state;
    enum { AUDITS = 12, STEPS = 1000, CLAIMS = 6 };
    char ids[AUDITS][SM_ID_BYTES], plain[SM_ID_BYTES], name[32], score_id[SM_ID_BYTES];
    struct sm_claim claims[CLAIMS] = {0};
    bool finished;
    uint32_t seed = 1;
    for (int i = 0; i < AUDITS; i++)
        create_audit(ids[i], false);
    for (int step = 0; step < STEPS; step++) {
        const char *id = ids[draw(&seed, AUDITS)];
        struct sm_claim *claim = &claims[draw(&seed, CLAIMS)];
        switch (draw(&seed, 9)) {
        case 0:
            add_images(id, (enum sm_cohort)draw(&seed, SM_COHORTS), (int)draw(&seed, 40), 5);
            break;
        case 1:
            if (draw(&seed, 4) == 0)
                assert_code(SM_OK, admit(plain, "beta", (int)draw(&seed, 40), 2));
            break;
        case 2:
        case 3:
        case 4:
            if (claim->job_id[0] == '\0')
                sm_store_claim(claim, store, "w", 0, &err);
            break;
        case 5:
            snprintf(name, sizeof name, "%d", (int)draw(&seed, 30));
            if (claim->job_id[0] != '\0')
                finish(claim, "w", name, 1, score_id, &finished);
            sm_claim_release(claim);
            break;
        case 6:
            if (claim->job_id[0] != '\0')
                fail_item(claim, SM_CORRUPT, "broken");
            sm_claim_release(claim);
            break;
        case 7:
            move(id, (enum sm_audit_move)draw(&seed, draw(&seed, 16) == 0 ? 4 : 3));
            break;
        default:
            if (draw(&seed, 10) == 0) {
                reopen();
                for (int i = 0; i < CLAIMS; i++)
                    sm_claim_release(&claims[i]);
            }
        }
        check_counts();
    }
    for (int i = 0; i < CLAIMS; i++)
        sm_claim_release(&claims[i]);
    assert_true(read_int("SELECT SUM(succeeded_count) FROM job WHERE kind = 'audit'") > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(an_audit_goes_its_way),
        TEST(an_audit_of_failures_has_failed),
        TEST(plain_jobs_come_first),
        TEST(every_move_has_its_states),
        TEST(what_is_not_there_cannot_be_moved),
        TEST(pausing_lets_what_runs_finish),
        TEST(cancelling_ends_what_waits),
        TEST(a_cohort_has_an_image_once),
        TEST(a_file_is_read_when_its_turn_comes),
        TEST(items_are_listed_by_index),
        TEST(audits_are_listed_newest_first),
        TEST(deleting_leaves_what_others_have),
        TEST(a_restart_ends_what_was_begun),
        TEST(the_secret_is_made_once),
        TEST(the_record_has_every_number),
        TEST(counts_follow_any_course),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
