/* Noise of views in audits: lists by shrunken and measured scores, and audits where the noise or
 * what it takes to lower it is unknown. The numbers of whole audits: test_evaluate.c. */
#include "fixture.h"
#include "sslmem/selection.h"

#include "core/audit/result.h"

static const struct sm_selection *listed;
static enum sm_code write_list(FILE *file, const struct held *h,
                               const struct sm_audit_result *result, struct sm_err *err)
{
    return sm_audit_write_selection(file, &h->audit, result, listed, SM_LIST_TEXT, err);
}

static char *list(const struct held *h, const struct sm_audit_result *result,
                  const struct sm_selection *selection)
{
    listed = selection;
    return written(write_list, h, result);
}

static void check_top(const struct held *h, const struct sm_audit_result *result,
                      enum sm_select_by by, const char *order)
{
    const struct sm_selection top = {.kind = SM_SELECT_TOP, .count = 25, .by = by};
    char want[25 * 8] = "", *text = list(h, result, &top);
    const json_t *index;
    size_t i;
    json_array_foreach(at(at(h->vector, "top"), order), i, index)
    {
        size_t used = strlen(want);
        snprintf(want + used, sizeof want - used, "%lld\n", json_integer_value(index));
    }
    assert_string_equal(text, want);
    free(text);
}

static void lists_rank_by_shrunken_scores(void **state)
{
    (void)state;
    static const char *const names[] = {"effect", "random", "ties"};
    for (size_t i = 0; i < 3; i++) {
        struct held h;
        load_audit(&h, names[i]);
        struct sm_audit_result *r = evaluate(&h);
        check_top(&h, r, SM_BY_SHRUNKEN, "shrunken");
        check_top(&h, r, SM_BY_RAW, "raw");
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Ten candidates far above the reference, of which the highest is the noisiest: it leads the list
 * as measured only. Both lists have the same members. */
static void an_fdr_list_keeps_its_members(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 10, 0, 400}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 10; i++)
        h.items[i].m = 1 + .01 * (double)i;
    h.items[9].m_se = .5;
    struct sm_audit_result *r = evaluate(&h);
    char *raw = list(&h, r, &(struct sm_selection){SM_SELECT_FDR, .q = .05, .by = SM_BY_RAW});
    char *shrunken = list(&h, r, &(struct sm_selection){SM_SELECT_FDR, .q = .05});
    assert_string_equal(raw, "9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n");
    assert_string_equal(shrunken, "8\n7\n6\n5\n4\n3\n2\n1\n0\n9\n");
    free(raw);
    free(shrunken);
    sm_audit_result_free(r);
    let_go(&h);
}

static const json_t *of_candidates(const struct sm_audit_result *r, const char *key)
{
    return at(at(sm_audit_result_json(r), "reliability/cohorts/candidate"), key);
}

/* Three views have no standard error: nothing is known, and lists rank by m. */
static void scores_without_errors_are_ranked_as_measured(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 5, 0, 5}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 10; i++)
        h.items[i].m_se = NAN;
    struct sm_audit_result *r = evaluate(&h);
    assert_int_equal(json_integer_value(of_candidates(r, "n")), 0);
    assert_true(json_is_null(of_candidates(r, "reliability")));
    assert_true(json_is_null(of_candidates(r, "interval/0")));
    assert_true(json_is_null(of_candidates(r, "interval_method")));
    assert_true(json_is_null(of_candidates(r, "views_needed/0/views")));
    assert_true(json_is_null(of_candidates(r, "shrinkage/tau2")));
    assert_non_null(strstr(json_string_value(of_candidates(r, "words")), "is unknown"));
    assert_true(isnan(r->images[0].shrunken));
    assert_memory_equal(r->ranked, r->ranked_shrunken, 5 * sizeof *r->ranked);
    sm_audit_result_free(r);
    let_go(&h);
}

/* All spread is noise: every shrunken score is the mean, and the order that of m. */
static void scores_that_are_all_noise_keep_their_order(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 80; i++)
        h.items[i].m_se = 10;
    struct sm_audit_result *r = evaluate(&h);
    assert_true(json_number_value(of_candidates(r, "reliability")) == 0);
    assert_true(json_is_null(of_candidates(r, "interval/0"))); /* never 0 to 0 */
    assert_true(json_is_null(of_candidates(r, "interval/1")));
    assert_true(json_is_null(of_candidates(r, "views_needed/1/views")));
    assert_true(json_number_value(of_candidates(r, "shrinkage/tau2")) == 0);
    assert_memory_equal(r->ranked, r->ranked_shrunken, 40 * sizeof *r->ranked);
    sm_audit_result_free(r);
    let_go(&h);
}

static void scores_without_noise_are_not_shrunken(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 80; i++)
        h.items[i].m_se = 0;
    struct sm_audit_result *r = evaluate(&h);
    assert_true(json_number_value(of_candidates(r, "reliability")) == 1);
    assert_true(json_is_null(of_candidates(r, "interval/0"))); /* never 1 to 1 */
    assert_int_equal(json_integer_value(of_candidates(r, "views_needed/1/views")), 2);
    for (size_t i = 0; i < 80; i++)
        assert_true(r->images[i].shrunken == h.items[i].m);
    sm_audit_result_free(r);
    let_go(&h);
}

static void one_image_and_equal_images_have_none(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 4; n += 3) {
        struct held h;
        draw_audit(&h, (size_t[]){0, n, 0, 0}, 0, "{\"name\": \"a\"}");
        for (size_t i = 0; i < n; i++)
            h.items[i].m = .25;
        struct sm_audit_result *r = evaluate(&h);
        assert_int_equal(json_integer_value(of_candidates(r, "n")), n);
        assert_true(json_number_value(of_candidates(r, "noise")) == .02 * .02);
        assert_true(json_is_null(of_candidates(r, "reliability")));
        assert_true(n == 1 ? isnan(r->images[0].shrunken) : r->images[0].shrunken == .25);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

static void views_needed_are_told_where_views_lower_the_noise(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 80; i++)
        h.items[i].m_se = .08;
    struct sm_audit_result *r = evaluate(&h);
    double value = json_number_value(of_candidates(r, "reliability"));
    assert_true(value > .1 && value < .7);
    assert_int_equal(json_integer_value(of_candidates(r, "views_needed/0/views")),
                     (int)ceil(10 * (1 / value - 1) / .25));
    assert_true(json_is_null(at(sm_audit_result_json(r), "reliability/note")));
    sm_audit_result_free(r);

    json_object_set_new(h.recipe, "target_se", json_real(.01));
    r = evaluate(&h);
    assert_true(json_is_null(at(sm_audit_result_json(r), "reliability/views")));
    assert_true(json_is_null(of_candidates(r, "views_needed/0/views")));
    assert_true(json_number_value(of_candidates(r, "reliability")) == value);
    assert_non_null(strstr(json_string_value(at(sm_audit_result_json(r), "reliability/note")),
                           "their number differs by image"));
    sm_audit_result_free(r);
    json_object_del(h.recipe, "target_se");

    json_array_append_new(at(h.pair, "encoders/g"), json_object());
    r = evaluate(&h);
    assert_true(json_is_null(of_candidates(r, "views_needed/0/views")));
    assert_non_null(strstr(json_string_value(at(sm_audit_result_json(r), "reliability/note")),
                           "several encoders"));
    sm_audit_result_free(r);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_rank_by_shrunken_scores),
        cmocka_unit_test(an_fdr_list_keeps_its_members),
        cmocka_unit_test(scores_without_errors_are_ranked_as_measured),
        cmocka_unit_test(scores_that_are_all_noise_keep_their_order),
        cmocka_unit_test(scores_without_noise_are_not_shrunken),
        cmocka_unit_test(one_image_and_equal_images_have_none),
        cmocka_unit_test(views_needed_are_told_where_views_lower_the_noise),
    };
    return cmocka_run_group_tests_name("reliability of audits", tests, NULL, NULL);
}
