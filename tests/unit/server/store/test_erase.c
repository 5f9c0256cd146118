/* Erasure: what goes, what stays, and that no byte of it is left in the files. */
#include "tests/unit/server/store/audit_fixture.h"

#include "server/db/hex.h"
#include "server/store/erase.h"

/* Bytes of image `k`, as no other image has them, and all that is derived from it. */
struct image {
    char bytes[400], name[40], group[40], thumbnail[200], digest[65];
};

static void make_image(struct image *image, int k)
{
    for (size_t i = 0; i < sizeof image->bytes; i += SM_SHA256_HEX - 1) {
        char text[40], hex[SM_SHA256_HEX];
        snprintf(text, sizeof text, "%d %zu", k, i);
        sm_sha256_hex(hex, text, strlen(text));
        size_t left = sizeof image->bytes - i;
        memcpy(image->bytes + i, hex, left < 64 ? left : 64);
    }
    snprintf(image->name, sizeof image->name, "jane-doe-%07d.png", k);
    snprintf(image->group, sizeof image->group, "patient-%07d", k);
    memset(image->thumbnail, 't', sizeof image->thumbnail);
    memcpy(image->thumbnail, image->bytes, 64);
    sm_sha256_hex(image->digest, image->bytes, sizeof image->bytes);
}

static void put_image(const char *audit, enum sm_cohort cohort, const struct image *image)
{
    struct sm_store_audit_added added;
    struct sm_store_audit_image_in in = {.cohort = cohort,
                                         .name = image->name,
                                         .class_label = "cat",
                                         .group = image->group,
                                         .bytes = image->bytes,
                                         .bytes_count = sizeof image->bytes};
    memcpy(in.image_digest, image->digest, sizeof in.image_digest);
    assert_code(SM_OK, sm_store_audit_add(&added, store, OWN(audit),
                                          &(struct sm_store_audit_intake){
                                              .images = &in, .images_count = 1, .items_max = MANY},
                                          &err));
}

/* Scores what is claimed next, with the thumbnail of `image` where the audit keeps them. */
static void score_next(const struct image *image)
{
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    char note[200] = "";
    memset(note, 'x', (size_t)(claim.index * 7919 % 199)); /* rows of many lengths */
    json_t *score = json_pack("{s:{s:s, s:s}, s:s, s:f}", "image", "digest", claim.image_digest,
                              "note", note, "pair", claim.pair, "m", .25);
    struct sm_finish finish = {.job_id = claim.job_id,
                               .index = claim.index,
                               .owner = "w",
                               .score_key = key_of(claim.image_digest),
                               .score = score,
                               .m = .25,
                               .image_digest = claim.image_digest};
    if (claim.keep_thumbnail) {
        finish.thumbnail = image->thumbnail;
        finish.thumbnail_bytes = sizeof image->thumbnail;
        finish.pixels = image->bytes; /* found in the files like the image itself */
        finish.pixels_bytes = 100;
    }
    assert_code(SM_OK, sm_store_finish(store, &finish, score_id, &finished, &err));
    json_decref(score);
    sm_claim_free(&claim);
}

static void admit_image(char id[SM_ID_BYTES], const struct image *image)
{
    struct sm_item_in item = {
        .name = image->name, .bytes = image->bytes, .bytes_count = sizeof image->bytes};
    struct sm_job_in job = {.pair = "alpha", .items = &item, .items_count = 1};
    struct outcome outcome;
    memcpy(item.image_digest, image->digest, sizeof item.image_digest);
    sm_id_new(job.id);
    memcpy(id, job.id, SM_ID_BYTES);
    memset(job.recipe_digest, 'a', 64);
    json_t *recipe = json_pack("{s:i}", "views", 10);
    job.recipe = recipe;
    sem_init(&outcome.done, 0, 0);
    assert_code(SM_OK, sm_store_admit(store, &job, admitted, &outcome, &err));
    while (sem_wait(&outcome.done) != 0)
        ;
    assert_code(SM_OK, outcome.code);
    json_decref(recipe);
    usleep(2000);
}

/* --- what is in the files --------------------------------------------------------------------- */

/* All files of the database as they are now, one behind the other; read, not mapped: the writer
 * shortens them when it has nothing to do. */
static struct {
    char *bytes;
    size_t bytes_count;
} files;

static void load_files(void)
{
    static const char *const endings[] = {"", "-wal", "-journal"};
    char path[400], block[65536];
    FILE *all;
    free(files.bytes);
    assert_non_null(all = open_memstream(&files.bytes, &files.bytes_count));
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(path, sizeof path, "%s%s", scratch.db, endings[i]);
        FILE *file = fopen(path, "rb");
        for (size_t n; file && (n = fread(block, 1, sizeof block, file)) > 0;)
            fwrite(block, 1, n, all);
        if (file)
            fclose(file);
    }
    assert_int_equal(fclose(all), 0);
}

static bool in_files(const void *bytes, size_t bytes_count)
{
    return memmem(files.bytes, files.bytes_count, bytes, bytes_count) != NULL;
}

enum { OF_DIGEST = 1, OF_BYTES = 2, OF_NAME = 4, OF_GROUP = 8, OF_KEY = 16, OF_ALL = 31 };

/* Which parts of the image the files have. */
static int traces_loaded(const struct image *image)
{
    uint8_t digest[SM_HEX_MAX], key[SM_HEX_MAX];
    size_t digest_count = sm_unhex(digest, image->digest);
    size_t key_count = sm_unhex(key, key_of(image->digest));
    int found = in_files(digest, digest_count) || in_files(image->digest, 64) ? OF_DIGEST : 0;
    found |= in_files(image->bytes, 64) ? OF_BYTES : 0; /* the thumbnail begins with them too */
    found |= in_files(image->name, strlen(image->name)) ? OF_NAME : 0;
    found |= in_files(image->group, strlen(image->group)) ? OF_GROUP : 0;
    found |= in_files(key, key_count) ? OF_KEY : 0;
    return found;
}

static int traces(const struct image *image)
{
    load_files();
    return traces_loaded(image);
}

static enum sm_code run_fast(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db, "PRAGMA synchronous = OFF", why);
}

static struct sm_erasure erase_image(const char *digest)
{
    struct sm_erasure image = {.digest = digest};
    struct sm_erased erased;
    assert_code(SM_OK, sm_store_erase(&erased, store, &image, 1, &err));
    sm_erased_release(&erased);
    return image;
}

static void check_erasure(const struct sm_erasure *got, int scores, int items, int images,
                          int thumbnails)
{
    assert_int_equal(got->scores_count, scores);
    assert_int_equal(got->items_count, items);
    assert_int_equal(got->images_count, images);
    assert_int_equal(got->thumbnails_count, thumbnails);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* In history by a plain job, in a finished audit with its thumbnail, waiting in another. */
static void nothing_is_left(void **state)
{
    (void)state;
    char job[SM_ID_BYTES], audit[SM_ID_BYTES], open[SM_ID_BYTES];
    struct image gone, stays;
    make_image(&gone, 1);
    make_image(&stays, 2);
    admit_image(job, &gone);
    score_next(&gone);
    create_audit(audit, true);
    put_image(audit, SM_COHORT_CANDIDATE, &gone);
    put_image(audit, SM_COHORT_EXTERNAL, &gone);
    put_image(audit, SM_COHORT_EXTERNAL, &stays);
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    score_next(&gone);
    score_next(&gone);
    score_next(&stays);
    create_audit(open, false);
    put_image(open, SM_COHORT_SHARED, &gone);
    put_image(open, SM_COHORT_SHARED, &stays);
    assert_int_equal(traces(&gone), OF_ALL);
    assert_int_equal(traces(&stays), OF_ALL);

    struct sm_erasure got = erase_image(gone.digest);
    check_erasure(&got, 1, 4, 1, 2);
    assert_int_equal(traces(&gone), 0);
    assert_int_equal(traces(&stays), OF_ALL);
    assert_int_equal(sm_store_wal_bytes(store), 0);
    check_counts();

    got = erase_image(gone.digest);
    check_erasure(&got, 0, 0, 0, 0);
    struct image never;
    make_image(&never, 3);
    got = erase_image(never.digest);
    check_erasure(&got, 0, 0, 0, 0);
}

static void counts_stay_and_say_so(void **state)
{
    (void)state;
    char audit[SM_ID_BYTES];
    struct image images[3];
    json_t *document;
    create_audit(audit, false);
    for (int k = 0; k < 3; k++) {
        make_image(&images[k], k);
        put_image(audit, SM_COHORT_CANDIDATE, &images[k]);
    }
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    for (int k = 0; k < 3; k++)
        score_next(&images[k]);
    int64_t revision = revision_of(audit);
    erase_image(images[1].digest);
    assert_true(revision_of(audit) > revision);
    assert_code(SM_OK, sm_store_audit(&document, NULL, store, OWN(audit), &err));
    assert_string_equal(text_at(document, "state"), "succeeded");
    assert_int_equal(count_at(document, "items_count"), 3);
    assert_int_equal(count_at(document, "succeeded_count"), 3);
    assert_int_equal(count_at(document, "failed_count"), 0);
    assert_int_equal(count_at(document, "erased_count"), 1);
    json_decref(document);

    struct sm_store_audit_items_page page;
    assert_code(SM_OK, sm_store_audit_items(&page, store, OWN(audit),
                                            &(struct sm_store_audit_items_filter){
                                                .cohort = -1, .after = -1, .limit = 9},
                                            &err));
    json_t *item = json_array_get(page.items, 1);
    assert_string_equal(text_at(item, "state"), "succeeded");
    assert_string_equal(text_at(item, "name"), "");
    assert_string_equal(text_at(item, "group"), "");
    assert_non_null(json_object_get(item, "erased"));
    static const char *const without[] = {"image", "score", "m", "error"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        assert_null(json_object_get(item, without[i]));
    sm_store_audit_items_page_release(&page);

    struct sm_store_audit_record record;
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(audit), &err));
    assert_int_equal(record.audit.items_count, 2);
    assert_int_equal(record.audit.erased_count, 1);
    assert_int_equal(record.audit.items[1].index, 2);
    sm_store_audit_record_release(&record);
    check_counts();
}

/* One waits, one is being scored; their job ends by it. */
static void unfinished_items_fail(void **state)
{
    (void)state;
    char audit[SM_ID_BYTES], job[SM_ID_BYTES], second[SM_ID_BYTES];
    struct image image;
    struct sm_claim claim;
    struct sm_erased erased;
    struct sm_erasure got;
    json_t *document;
    make_image(&image, 7);
    create_audit(audit, false);
    put_image(audit, SM_COHORT_CANDIDATE, &image);
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    admit_image(job, &image);
    admit_image(second, &image);
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    got.digest = image.digest;
    assert_code(SM_OK, sm_store_erase(&erased, store, &got, 1, &err));
    check_erasure(&got, 0, 3, 3, 0);
    assert_true(erased.rewritten);
    assert_int_equal(erased.finished_count, 2); /* plain ones: somebody may wait */
    assert_true(strcmp(erased.finished[0], erased.finished[1]) != 0);
    sm_erased_release(&erased);
    assert_int_equal(traces(&image), 0);
    check_counts();
    assert_code(SM_CONFLICT, fail_item(&claim, SM_CORRUPT, "too late"));
    sm_claim_free(&claim);
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 0, &err));

    assert_code(SM_OK, sm_store_job(&document, store, SM_TENANT_DEFAULT, job, &err));
    assert_string_equal(text_at(document, "state"), "failed");
    json_t *item = json_array_get(json_object_get(document, "items"), 0);
    assert_string_equal(text_at(json_object_get(item, "error"), "code"), "erased");
    assert_string_equal(text_at(json_object_get(item, "error"), "detail"), "the image was erased");
    assert_null(json_object_get(item, "image"));
    json_decref(document);
    assert_code(SM_OK, sm_store_audit(&document, NULL, store, OWN(audit), &err));
    assert_string_equal(text_at(document, "state"), "failed");
    assert_int_equal(count_at(document, "erased_count"), 1);
    json_t *failures = json_pack("[{s:s, s:i}]", "code", "erased", "count", 1);
    assert_true(json_equal(json_object_get(document, "failures"), failures));
    json_decref(failures);
    json_decref(document);
}

/* Rows move between pages as the trees change, and leave copies: hundreds of images, half of them
 * erased in no order. */
static void copies_between_rows_go_too(void **state)
{
    (void)state;
    enum { COUNT = 1600 };
    char audit[SM_ID_BYTES];
    struct image *images = calloc(COUNT, sizeof *images);
    struct sm_erasure *gone = calloc(COUNT / 2, sizeof *gone);
    struct sm_erased erased;
    struct sm_write fast = {.run = run_fast, .mode = SM_WRITE_OUTSIDE};
    assert_code(SM_OK, sm_writer_call(store->writer, &fast, &err));
    create_audit(audit, true);
    for (int k = 0; k < COUNT; k++) {
        make_image(&images[k], k);
        put_image(audit, SM_COHORT_CANDIDATE, &images[k]);
    }
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    for (int k = 0; k < COUNT; k++)
        score_next(&images[k]);
    for (int k = 0; k < COUNT / 2; k++)
        gone[k].digest = images[k * 1039 % COUNT].digest;
    assert_code(SM_OK, sm_store_erase(&erased, store, gone, COUNT / 2, &err));
    assert_true(erased.rewritten);
    sm_erased_release(&erased);
    load_files();
    for (int k = 0; k < COUNT / 2; k++) {
        check_erasure(&gone[k], 1, 1, 0, 1);
        assert_int_equal(traces_loaded(&images[k * 1039 % COUNT]), 0);
    }
    assert_true(traces_loaded(&images[(COUNT / 2) * 1039 % COUNT]) & OF_NAME);
    check_counts();
    free(gone);
    free(images);
}

static void a_digest_is_one(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "abc", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "e3b0c442-98fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sm_erasure image = {.digest = bad[i]};
        struct sm_erased erased;
        assert_code(SM_INVALID, sm_store_erase(&erased, store, &image, 1, &err));
        assert_non_null(strstr(err.text, "is no SHA-256 in 64 hexadecimal digits, lower case"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(nothing_is_left),       TEST(counts_stay_and_say_so),
        TEST(unfinished_items_fail), TEST(copies_between_rows_go_too),
        TEST(a_digest_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
