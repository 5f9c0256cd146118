/* Images of audits in the store: taken idempotency, read at their turn, listed, in the record. */
#include "tests/unit/server/store/audit_fixture.h"

#include <sys/stat.h>

static void a_cohort_has_an_image_once(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, 4));
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 2, 4)); /* two of them again */
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 6);
    assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, 0, 2)); /* another cohort may */
    check_audit(id, "open", 8, 0, 0);
    assert_int_equal(read_int("SELECT SUM(idx) FROM item"), 28);

    struct sm_store_audit_added added;
    struct sm_store_audit_image_in images[2] = {
        {SM_COHORT_EXTERNAL, "a.png", "", "", "", "A", 1, NULL},
        {SM_COHORT_EXTERNAL, "b.png", "", "", "", "B", 1, NULL}};
    digest_of(images[0].image_digest, 100);
    digest_of(images[1].image_digest, 101);
    assert_code(SM_LIMIT,
                sm_store_audit_add(&added, store, OWN(id),
                                   &(struct sm_store_audit_intake){
                                       .images = images, .images_count = 2, .items_max = 9},
                                   &err));
    check_refusal(id, "has 9 images of at most 9, no room for b.png");
    assert_int_equal(added.added_count, 0);
    check_audit(id, "open", 8, 0, 0); /* nothing of the call */
    assert_code(SM_OK, sm_store_audit_add(&added, store, OWN(id),
                                          &(struct sm_store_audit_intake){
                                              .images = images, .images_count = 2, .items_max = 10},
                                          &err));
    assert_int_equal(added.added_count, 2);
    assert_code(SM_OK, sm_store_audit_add(&added, store, OWN(id),
                                          &(struct sm_store_audit_intake){
                                              .images = images, .images_count = 2, .items_max = 10},
                                          &err));
    assert_int_equal(added.duplicate_count, 2);

    assert_code(SM_OK, move(id, SM_AUDIT_START));
    assert_code(SM_CONFLICT,
                sm_store_audit_add(&added, store, OWN(id),
                                   &(struct sm_store_audit_intake){
                                       .images = images, .images_count = 2, .items_max = 10},
                                   &err));
    check_refusal(id, "is running, it must be open to take images");
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
    struct sm_store_audit_image_in images[ROWS] = {0};
    struct sm_store_audit_added added;
    struct sm_claim claim;
    create_audit(id, false);
    for (int i = 0; i < ROWS; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", scratch.dir, rows[i].name);
        images[i] = (struct sm_store_audit_image_in){.cohort = SM_COHORT_SHARED,
                                                     .name = rows[i].name,
                                                     .class_label = "",
                                                     .group = "",
                                                     .path = paths[i]};
        sm_sha256_hex(images[i].image_digest, rows[i].name, strlen(rows[i].name));
        write_file(paths[i], rows[i].name);
    }
    assert_code(SM_OK,
                sm_store_audit_add(&added, store, OWN(id),
                                   &(struct sm_store_audit_intake){
                                       .images = images, .images_count = ROWS, .items_max = 100},
                                   &err));
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
        sm_claim_free(&claim);
    }
}

static void items_are_listed_by_index(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    struct sm_claim claim;
    struct sm_store_audit_items_page page;
    start_audit(id, 5, 5);
    for (int i = 0; i < 4; i++)
        score_one();
    claim_one(&claim);
    assert_code(SM_OK, fail_item(&claim, SM_LIMIT, "too wide"));
    sm_claim_free(&claim);
    claim_one(&claim);
    sm_claim_free(&claim);
    static const struct {
        struct sm_store_audit_items_filter filter;
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
        assert_code(SM_OK, sm_store_audit_items(&page, store, OWN(id), &rows[i].filter, &err));
        assert_int_equal(json_array_size(page.items), rows[i].count);
        assert_int_equal(page.more, rows[i].more);
        for (int k = 0; k < rows[i].count; k++)
            assert_int_equal(count_at(json_array_get(page.items, (size_t)k), "index"),
                             rows[i].first + k);
        if (rows[i].count > 0)
            assert_int_equal(page.last, rows[i].first + rows[i].count - 1);
        sm_store_audit_items_page_release(&page);
    }
    assert_code(SM_OK,
                sm_store_audit_items(&page, store, OWN(id),
                                     &(struct sm_store_audit_items_filter){-1, NULL, 2, 2}, &err));
    const json_t *scored = json_array_get(page.items, 0);
    const json_t *failed = json_array_get(page.items, 1);
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
    sm_store_audit_items_page_release(&page);
    assert_code(SM_INVALID, sm_store_audit_items(
                                &page, store, OWN(id),
                                &(struct sm_store_audit_items_filter){-1, "asleep", -1, 2}, &err));
    assert_string_equal(err.text, "'asleep' is no state of an item");
}

static void audits_are_listed_newest_first(void **state)
{
    (void)state;
    char ids[5][SM_ID_BYTES], after[SM_ID_BYTES] = "";
    struct sm_store_audit_page page;
    int next = 4;
    bool more = true;
    for (int i = 0; i < 5; i++)
        create_audit(ids[i], false);
    while (more) {
        assert_code(SM_OK, sm_store_audits(&page, store, SM_TENANT_DEFAULT, after, 2, &err));
        assert_int_equal(json_array_size(page.audits), page.count);
        for (int i = 0; i < page.count; i++) {
            assert_string_equal(text_at(json_array_get(page.audits, (size_t)i), "id"), ids[next]);
            assert_string_equal(page.heads[i].audit.id, ids[next]);
            assert_int_equal(page.heads[i].audit.tenant, SM_TENANT_DEFAULT);
            memcpy(after, ids[next--], sizeof after);
        }
        more = page.more;
        sm_store_audit_page_release(&page);
    }
    assert_int_equal(next, -1);
}

static void the_record_has_every_number(void **state)
{
    (void)state;
    char id[SM_ID_BYTES], score_id[SM_ID_BYTES];
    struct sm_claim claim;
    struct sm_store_audit_record record;
    bool finished;
    /* The decoder is of an image, not of a run: two of them are no variants. */
    static const char *const decoders[] = {"stb", "libjpeg", "stb"}, *const kernels[] = {
                                                                         "blas", "blas", "ref"};
    start_audit(id, 2, 3);
    for (int i = 0; i < 3; i++) {
        char key[65];
        claim_one(&claim);
        digest_of(key, 1000 + i);
        json_t *score = json_pack(
            "{s:s, s:{s:s}, s:f, s:f, s:f, s:{s:f, s:f}, s:{s:f, s:f}, s:{s:s, s:s, s:s, s:s}}",
            "method", i == 2 ? "sslmem/2" : "sslmem/1", "image", "digest", claim.image_digest, "m",
            1.5 + i, "m_se", .25, "ratio", .125, "f", "alignment", 2.0, "se", .0625, "g",
            "alignment", 3.5 + i, "se", .03125, "provenance", "key", key, "decoder", decoders[i],
            "kernels", kernels[i], "recipe_digest", "r");
        if (i == 1)
            json_object_set_new(json_object_get(score, "image"), "decoder_warnings",
                                json_integer(3));
        assert_code(SM_OK, sm_store_finish(store,
                                           &(struct sm_finish){.job_id = id,
                                                               .index = claim.index,
                                                               .owner = "w",
                                                               .score_key = key,
                                                               .score = score,
                                                               .m = 1.5 + i,
                                                               .image_digest = claim.image_digest},
                                           score_id, &finished, &err));
        json_decref(score);
        sm_claim_free(&claim);
    }
    claim_one(&claim);
    assert_code(SM_OK, fail_item(&claim, SM_CORRUPT, "ends early"));
    sm_claim_free(&claim);
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(id), &err));
    assert_int_equal(record.audit.items_count, 4); /* the fifth waits */
    const struct sm_audit_item *item = &record.audit.items[1];
    assert_int_equal(item->index, 1);
    assert_int_equal(item->cohort, SM_COHORT_SHARED);
    assert_string_equal(item->name, "shared/00001.png");
    assert_string_equal(item->group, "");
    assert_int_equal(strlen(item->image_digest), 64);
    assert_true(item->m == 2.5 && item->m_se == .25 && item->ratio == .125 && item->f == 2 &&
                item->f_se == .0625 && item->g == 4.5 && item->g_se == .03125);
    assert_null(item->error_code);
    assert_true(item->is_damaged && !record.audit.items[0].is_damaged);
    assert_string_equal(record.audit.items[3].error_code, "corrupt");
    assert_string_equal(record.audit.items[3].error_detail, "ends early");
    assert_string_equal(record.audit.spec->name, "trial");
    assert_string_equal(text_at(record.audit.pair, "name"), "alpha");
    assert_int_equal(count_at(record.audit.recipe, "views"), 10);
    assert_string_equal(text_at(record.audit.run, "id"), id);
    assert_string_equal(text_at(record.audit.provenance, "kernels"), "blas");
    assert_null(json_object_get(record.audit.provenance, "key"));
    /* An audit that went on under another method names both. */
    const json_t *variants = json_object_get(record.audit.provenance, "variants");
    assert_int_equal(json_array_size(variants), 2);
    assert_string_equal(text_at(json_array_get(variants, 0), "method"), "sslmem/1");
    assert_string_equal(text_at(json_array_get(variants, 1), "method"), "sslmem/2");
    assert_null(json_object_get(record.audit.provenance, "decoder"));
    const json_t *named = json_object_get(record.audit.provenance, "decoders");
    assert_int_equal(json_array_size(named), 2);
    assert_string_equal(json_string_value(json_array_get(named, 0)), "libjpeg");
    assert_string_equal(json_string_value(json_array_get(named, 1)), "stb");
    sm_store_audit_record_release(&record);
    sm_store_audit_record_release(&record);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_cohort_has_an_image_once),  TEST(a_file_is_read_when_its_turn_comes),
        TEST(items_are_listed_by_index),   TEST(audits_are_listed_newest_first),
        TEST(the_record_has_every_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
