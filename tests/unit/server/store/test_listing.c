/* Listing: every filter and order, page by page, also while rows come in. */
#include "server/base/clock.h"
#include "tests/unit/server/store/fixture.h"

enum { SCORES = 24 };
static char score_ids[SCORES][SM_ID_BYTES];

static double m_of(int i)
{
    return (i * 7 % 6) * .25 - .5; /* ties */
}

static void fill(void)
{
    for (int i = 0; i < SCORES; i++)
        add_score(i % 3 ? "alpha" : "beta", i / 2, m_of(i), score_ids[i]);
}

static int index_of(const char *id)
{
    for (int i = 0; i < SCORES; i++)
        if (strcmp(score_ids[i], id) == 0)
            return i;
    return -1;
}

static int64_t created_of(int i)
{
    char *line;
    int64_t ms;
    assert_code(SM_OK, sm_store_score_line(&line, store, SM_TENANT_DEFAULT, score_ids[i], &err));
    json_t *score = json_loads(line, 0, NULL);
    free(line);
    assert_true(sm_time_parse(&ms, text_at(score, "created")));
    json_decref(score);
    return ms;
}

static bool matches(const struct sm_score_filter *f, int i)
{
    char digest[65];
    digest_of(digest, i / 2);
    return (!f->pair || strcmp(f->pair, i % 3 ? "alpha" : "beta") == 0) &&
           (!f->image_digest || strcmp(f->image_digest, digest) == 0) &&
           (!f->has_since || created_of(i) >= f->since_ms) &&
           (!f->has_until || created_of(i) < f->until_ms) && (!f->has_min || m_of(i) >= f->min) &&
           (!f->has_max || m_of(i) <= f->max);
}

/* Pages through the whole list; `between` runs after each page. */
static void check_listing(struct sm_score_filter filter, void (*between)(int page))
{
    bool seen[SCORES] = {false};
    double last = 0;
    int rows = 0, pages = 0;
    bool more = true;
    while (more) {
        struct sm_score_page page;
        assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
        json_t *scores = scores_of(&page);
        assert_true(json_array_size(scores) <= (size_t)filter.limit);
        assert_true(!page.more || json_array_size(scores) == (size_t)filter.limit);
        for (size_t k = 0; k < json_array_size(scores); k++) {
            const json_t *score = json_array_get(scores, k);
            double m = json_real_value(json_object_get(score, "m"));
            int i = index_of(text_at(score, "id"));
            bool descending = filter.order == SM_ORDER_NEWEST || filter.order == SM_ORDER_HIGHEST;
            bool by_time = filter.order == SM_ORDER_NEWEST || filter.order == SM_ORDER_OLDEST;
            if (i < 0) /* came in between */
                continue;
            assert_false(seen[i]);
            seen[i] = true;
            assert_true(m == m_of(i));
            double value = by_time ? (double)created_of(i) : m;
            if (rows++ > 0)
                assert_true(descending ? value <= last : value >= last);
            last = value;
        }
        more = page.more;
        filter.has_after = true;
        filter.after_value = page.last_value;
        memcpy(filter.after_id, page.ids[page.count - 1], sizeof filter.after_id);
        json_decref(scores);
        if (between)
            between(pages);
        assert_true(++pages < 100);
    }
    for (int i = 0; i < SCORES; i++)
        assert_int_equal(seen[i], matches(&filter, i));
}

static void listing_finds_what_the_filter_says(void **state)
{
    (void)state;
    char digest[65];
    fill();
    digest_of(digest, 4);
    for (int order = SM_ORDER_NEWEST; order <= SM_ORDER_LOWEST; order++)
        for (int bits = 0; bits < 64; bits++) {
            struct sm_score_filter filter = {
                .pair = bits & 1 ? "alpha" : NULL,
                .image_digest = bits & 2 ? digest : NULL,
                .has_since = bits & 4,
                .since_ms = created_of(3),
                .has_until = bits & 8,
                .until_ms = created_of(20),
                .has_min = bits & 16,
                .min = -.25,
                .has_max = bits & 32,
                .max = .5,
                .order = (enum sm_order)order,
                .limit = 1 + bits % 5,
            };
            check_listing(filter, NULL);
        }
}

static void add_between(int page)
{
    char id[SM_ID_BYTES];
    if (page < 6)
        add_score("alpha", 1000 + (int)read_int("SELECT COUNT(*) FROM score"), page * .3 - .7, id);
}

static void listing_is_steady_while_rows_come(void **state)
{
    (void)state;
    fill();
    for (int order = SM_ORDER_NEWEST; order <= SM_ORDER_LOWEST; order++)
        check_listing((struct sm_score_filter){.order = (enum sm_order)order, .limit = 5},
                      add_between);
}

static void listing_of_nothing_is_empty(void **state)
{
    (void)state;
    struct sm_score_page page;
    struct sm_score_filter filter = {.pair = "nobody", .limit = 200};
    json_t *document;
    assert_code(SM_OK, sm_store_scores(&page, store, &filter, &err));
    assert_int_equal(page.count, 0);
    assert_string_equal(page.scores, "[]");
    assert_false(page.more);
    free(page.scores);
    char *line;
    assert_code(SM_NOT_FOUND, sm_store_score_line(&line, store, SM_TENANT_DEFAULT, "none", &err));
    assert_null(line);
    assert_code(SM_NOT_FOUND, sm_store_job(&document, store, SM_TENANT_DEFAULT, "none", &err));
    assert_null(document);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(listing_finds_what_the_filter_says),
        TEST(listing_is_steady_while_rows_come),
        TEST(listing_of_nothing_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
