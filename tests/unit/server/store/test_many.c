/* An audit of many images with documents as the demo pairs give them: bytes of database for each
 * scored image, and what a page and a finish cost. 500 images; test_many 50000 prints more. Only
 * the bytes are judged: times depend on the machine. */
#include "tests/unit/server/store/audit_fixture.h"

#include <time.h>

#define BYTES_PER_IMAGE_MAX 1024

static int images_count = 500;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void hex_of(char out[65], const char *what, int k)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%s %d", what, k);
    sm_sha256_hex(out, text, (size_t)length);
}

/* A number in (0, 1) with all its digits. */
static double number_of(int k, int which)
{
    char hex[65];
    hex_of(hex, "number", 16 * k + which);
    hex[13] = '\0';
    return ((double)strtoull(hex, NULL, 16) + .5) / 4503599627370496.0;
}

static json_t *score_document(int k, const char *image, const char *key)
{
    double f = number_of(k, 1), g = number_of(k, 2), m = g - f;
    json_t *score = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:i, s:i, s:i, s:b}, s:f, s:f, s:f, s:{s:f, s:f, s:[f], s:f}, "
        "s:{s:f, s:f, s:[f], s:f}}",
        "method", "sslmem/1", "pair", "fashion-simclr", "image", "digest", image, "media_type",
        "image/png", "width_px", 32, "height_px", 32, "orientation", 1, "oriented", 0, "m", m,
        "m_se", number_of(k, 3) / 10, "ratio", m / (f + g), "f", "alignment", f, "se",
        number_of(k, 4) / 10, "encoders", f, "sd_encoders", 0.0, "g", "alignment", g, "se",
        number_of(k, 5) / 10, "encoders", g, "sd_encoders", 0.0);
    json_t *rest = json_pack(
        "{s:{s:s, s:i, s:f, s:f, s:f, s:f, s:f}, s:{s:[{s:s, s:i, s:[f,f]}], s:i, s:s, s:s}, "
        "s:{s:s, s:s, s:s, s:{s:[{s:s, s:s}], s:[{s:s, s:s}]}, s:s, s:s, s:s, s:s}}",
        "reference", "cohort", "external", "n", 500, "mean", .00034883032535937275, "sd",
        .04038122267093068, "centered", m - .00034883032535937275, "percentile",
        (double)(k % 1001) / 10, "p_value", (1.0 + k % 501) / 501, "recipe", "augment", "op",
        "random_resized_crop", "size", 32, "scale", .08, 1.0, "views", 10, "compare", "pairs",
        "representation", "tokens", "provenance", "key", key, "pair_digest",
        "3a3760dc80b13c9d4cac9c7383fd36c207523ef33a8a9db445b389d3f91994f0", "recipe_digest",
        "a93a1dc7736ee3e0189eea8c88bda04ccabbf39f9b015cbf8a0247c3fc0d0a18", "encoders", "f", "file",
        "f.pt", "digest", "3e1943083cab624c222d67ea89f653c359e26dfc9051a8fad6ea238bf53d6da0", "g",
        "file", "g.pt", "digest",
        "eefba561f7e1879494e5be19bab8e47160506c6c2608bc2f3ef6282ea6b92001", "decoder",
        "stb_image-2.27", "kernels", "avx512", "blas", "OpenBLAS 0.3.21 Cooperlake", "library",
        "0.1.0");
    assert_non_null(score);
    assert_non_null(rest);
    json_object_update(score, rest);
    json_decref(rest);
    return score;
}

/* Claims and scores the next item; the time of its finish. */
static double finish_next(void)
{
    struct sm_claim claim;
    char key[65], score_id[SM_ID_BYTES];
    bool finished;
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 0, &err));
    hex_of(key, "key", claim.index);
    json_t *score = score_document(claim.index, claim.image_digest, key);
    struct sm_finish in = {.job_id = claim.job_id,
                           .index = claim.index,
                           .owner = "w",
                           .score_key = key,
                           .score = score,
                           .m = json_real_value(json_object_get(score, "m")),
                           .image_digest = claim.image_digest};
    double before_ms = now_ms();
    assert_code(SM_OK, sm_store_finish(store, &in, score_id, &finished, &err));
    double ms = now_ms() - before_ms;
    json_decref(score);
    sm_claim_free(&claim);
    return ms;
}

/* As a cohort folder gives them. */
static void add_files(const char *id)
{
    enum { BATCH = 500 };
    static struct sm_store_audit_image_in images[BATCH];
    static char names[BATCH][48];
    struct sm_store_audit_added added;
    for (int first = 0; first < images_count; first += BATCH) {
        int count = images_count - first < BATCH ? images_count - first : BATCH;
        for (int i = 0; i < count; i++) {
            snprintf(names[i], sizeof names[i], "candidate/%05d.png", first + i);
            images[i] = (struct sm_store_audit_image_in){.cohort = (enum sm_cohort)(i % SM_COHORTS),
                                                         .name = names[i],
                                                         .class_label = "sneaker",
                                                         .group = "",
                                                         .bytes = names[i],
                                                         .bytes_count = strlen(names[i])};
            hex_of(images[i].image_digest, "image", first + i);
        }
        assert_code(
            SM_OK, sm_store_audit_add(&added, store, OWN(id),
                                      &(struct sm_store_audit_intake){.images = images,
                                                                      .images_count = (size_t)count,
                                                                      .items_max = images_count},
                                      &err));
        assert_int_equal(added.added_count, count);
    }
}

static int64_t used_bytes(void)
{
    return (read_int("PRAGMA page_count") - read_int("PRAGMA freelist_count")) *
           read_int("PRAGMA page_size");
}

/* The best of three: what others do on the machine does not count. */
static double page_ms(struct sm_score_page *page, const struct sm_score_filter *filter)
{
    double best_ms = 1e9;
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            free(page->scores);
        double before_ms = now_ms();
        assert_code(SM_OK, sm_store_scores(page, store, filter, &err));
        double ms = now_ms() - before_ms;
        best_ms = ms < best_ms ? ms : best_ms;
    }
    return best_ms;
}

/* Pages from the whole list, in every order, with and without filters; the slowest. */
static double slowest_page_ms(void)
{
    double slowest = 0;
    char image[65];
    hex_of(image, "image", images_count / 2);
    for (int order = SM_ORDER_NEWEST; order <= SM_ORDER_LOWEST; order++)
        for (int filter_kind = 0; filter_kind < 4; filter_kind++) {
            struct sm_score_filter filter = {.pair = filter_kind & 1 ? "alpha" : NULL,
                                             .image_digest = filter_kind == 2 ? image : NULL,
                                             .has_min = filter_kind == 3,
                                             .min = .2,
                                             .order = (enum sm_order)order,
                                             .limit = 50};
            for (int page_index = 0; page_index < 20; page_index++) {
                struct sm_score_page page;
                double ms = page_ms(&page, &filter);
                slowest = ms > slowest ? ms : slowest;
                filter.has_after = page.more;
                filter.after_value = page.last_value;
                memcpy(filter.after_id, page.ids[page.count - 1], sizeof filter.after_id);
                free(page.scores);
            }
        }
    return slowest;
}

static void print_reads(const char *id)
{
    json_t *document;
    double before_ms = now_ms();
    assert_code(SM_OK, sm_store_audit(&document, NULL, store, OWN(id), &err));
    json_decref(document);
    printf("progress %.2f ms\n", now_ms() - before_ms);
    before_ms = now_ms();
    struct sm_store_audit_items_page page;
    assert_code(SM_OK,
                sm_store_audit_items(
                    &page, store, OWN(id),
                    &(struct sm_store_audit_items_filter){-1, NULL, images_count / 2, 50}, &err));
    sm_store_audit_items_page_release(&page);
    printf("page of 50 items %.2f ms\n", now_ms() - before_ms);
    before_ms = now_ms();
    struct sm_store_audit_record record;
    assert_code(SM_OK, sm_store_audit_record(&record, store, OWN(id), &err));
    assert_int_equal(record.audit.items_count, images_count);
    sm_store_audit_record_release(&record);
    printf("record %.1f ms\n", now_ms() - before_ms);
    printf("slowest page of 50 scores %.2f ms\n", slowest_page_ms());
}

static void a_scored_image_takes_little_room(void **state)
{
    (void)state;
    char id[SM_ID_BYTES];
    double first_ms = 0, last_ms = 0, before_ms = now_ms();
    create_audit(id, false);
    int64_t empty = used_bytes();
    add_files(id);
    printf("%d images added in %.0f ms\n", images_count, now_ms() - before_ms);
    assert_code(SM_OK, move(id, SM_AUDIT_START));
    for (int i = 0; i < images_count; i++) {
        double ms = finish_next();
        first_ms += i >= 100 && i < 300 ? ms / 200 : 0;
        last_ms += i >= images_count - 200 ? ms / 200 : 0;
    }
    printf("finish: %.3f ms from item 100, %.3f ms at the end\n", first_ms, last_ms);
    reopen();
    double bytes = (double)(used_bytes() - empty) / images_count;
    printf("%.0f bytes of database for each scored image\n", bytes);
    print_reads(id);
    before_ms = now_ms();
    assert_code(SM_OK, sm_store_audit_delete(store, OWN(id), -1, &err));
    printf("deleted in %.0f ms\n", now_ms() - before_ms);
    assert_int_equal(read_int("SELECT COUNT(*) FROM score"), 0);
    assert_true(bytes < BYTES_PER_IMAGE_MAX);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_scored_image_takes_little_room),
    };
    if (argc > 1)
        images_count = (int)strtol(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
