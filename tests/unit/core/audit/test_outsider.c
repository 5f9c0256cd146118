/* What someone with f alone could learn: numbers against scikit-learn are in test_evaluate.c (the
 * vectors of tests/golden/make_audit.py); here are words, and audits that cannot give them. */
#include "fixture.h"
#include "sslmem/selection.h"

/* Candidates lie closer under f by `shift` standard deviations; m is what draw_audit draws. */
static struct sm_audit_result *audit_of(struct held *h, const size_t counts[SM_COHORTS],
                                        double shift)
{
    draw_audit(h, counts, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < h->audit.items_count; i++) {
        bool candidate = h->items[i].cohort == SM_COHORT_CANDIDATE;
        h->items[i].f = .6 + .1 * normal((uint32_t)(1000 + i)) - (candidate ? .1 * shift : 0);
    }
    return evaluate(h);
}

static const json_t *outsider_of(const struct sm_audit_result *result)
{
    return at(sm_audit_result_json(result), "outsider");
}

static void f_alone_tells_what_it_holds_closer(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r = audit_of(&h, (size_t[]){0, 40, 0, 40}, 3);
    const json_t *outsider = outsider_of(r), *test = at(outsider, "signals/alignment");
    assert_string_equal(json_string_value(at(outsider, "others")), "external");
    assert_true(json_is_null(at(outsider, "missing")));
    assert_true(json_number_value(at(test, "auc/value")) > .9);
    assert_true(json_number_value(at(test, "auc/interval/0")) > .8);
    assert_true(json_is_null(at(test, "auc/bootstrap/0")));
    assert_int_equal(json_integer_value(at(test, "auc/resamples")), 0);
    assert_true(json_is_null(at(test, "epsilon")));
    assert_ptr_equal(strstr(json_string_value(at(test, "words")), "someone with f alone"),
                     json_string_value(at(test, "words")));
    char *text = json_dumps(outsider, 0);
    assert_null(strstr(text, "memor")); /* it is none */
    free(text);
    sm_audit_result_free(r);
    let_go(&h);
}

/* f saw independents as little as externals. */
static void without_externals_independents_stand_in(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r = audit_of(&h, (size_t[]){0, 12, 11, 0}, 0);
    const json_t *outsider = outsider_of(r);
    assert_string_equal(json_string_value(at(outsider, "others")), "independent");
    assert_int_equal(json_integer_value(at(outsider, "signals/alignment/n_others")), 11);
    assert_true(json_is_false(at(outsider, "signals/alignment/is_reference")));
    sm_audit_result_free(r);
    let_go(&h);
}

static void nobody_to_tell_apart_gives_no_number(void **state)
{
    (void)state;
    static const size_t none[][SM_COHORTS] = {{0, 0, 0, 0}, {3, 9, 0, 0}, {3, 0, 0, 9}};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct held h;
        struct sm_audit_result *r = audit_of(&h, none[i], 0);
        const json_t *test = at(outsider_of(r), "signals/alignment");
        assert_true(json_is_null(at(test, "auc/value")));
        assert_true(json_is_null(at(test, "roc")));
        assert_non_null(strstr(json_string_value(at(test, "words")), "cannot be tested"));
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Images without the alignment may be of one kind, so the others are not tested without them. */
static void scores_without_the_alignment_are_named(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){2, 12, 0, 12}, 0, "{\"name\": \"a\"}");
    h.items[3].f = h.items[20].f = NAN;
    struct sm_audit_result *r = evaluate(&h);
    const json_t *outsider = outsider_of(r);
    assert_int_equal(json_object_size(at(outsider, "signals")), 0);
    assert_string_equal(json_string_value(at(outsider, "missing")),
                        "1 - A_f is not given: 2 of 24 scores do not hold the alignment of f");
    sm_audit_result_free(r);
    let_go(&h);
}

static enum sm_code write_html(FILE *file, const struct held *h,
                               const struct sm_audit_result *result, struct sm_err *err)
{
    return sm_audit_write_html(file, &h->audit, result, NULL, NULL, err);
}

static void the_page_shows_f_alone_beside_the_pair(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r = audit_of(&h, (size_t[]){0, 30, 30, 30}, 1);
    char *page = written(write_html, &h, r);
    const char *section = strstr(page, "What someone with f alone could learn");
    const char *end = section ? strstr(section, "<h2") : NULL;
    assert_non_null(end);
    char *text = strndup(section, (size_t)(end - section));
    assert_non_null(strstr(text, "both encoders: m"));
    assert_non_null(strstr(text, "f alone: 1 − A"));
    assert_non_null(strstr(text, "no measure of memorization"));
    assert_non_null(strstr(page, "f alone, externals: AUC"));
    int curves = 0;
    for (const char *p = page; (p = strstr(p, "<path class=\"curve outsider\"")); p++)
        curves++;
    assert_int_equal(curves, 2); /* linear and logarithmic */
    free(text);
    free(page);
    sm_audit_result_free(r);
    let_go(&h);
}

/* --- the used share --- */

/* f holds what it saw closer by 1.5 standard deviations. It saw the shared images and the first
 * `used` of 100 candidates. */
static struct sm_audit_result *audit_with_used(struct held *h, size_t used, double shift)
{
    draw_audit(h, (size_t[]){300, 200, 0, 300}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < h->audit.items_count; i++) {
        bool saw = i < 300 + used;
        h->items[i].f = .6 + .1 * normal((uint32_t)(5000 + i)) - (saw ? .1 * shift : 0);
    }
    return evaluate(h);
}

static void a_planted_share_is_found(void **state)
{
    (void)state;
    static const size_t used[] = {0, 60, 120, 200};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        struct held h;
        struct sm_audit_result *r = audit_with_used(&h, used[i], 1.5);
        const json_t *share = at(outsider_of(r), "used_share");
        double truth = (double)used[i] / 200, got = json_number_value(at(share, "share"));
        double low = json_number_value(at(share, "interval/0"));
        double high = json_number_value(at(share, "interval/1"));
        assert_true(low <= truth && truth <= high && low < got && got < high);
        assert_true(high - low < .6);
        assert_int_equal(json_integer_value(at(share, "suspects")), 200);
        assert_int_equal(json_integer_value(at(share, "members")), 150);
        assert_int_equal(json_integer_value(at(share, "others")), 150);
        assert_true(json_is_null(at(share, "note")));
        assert_non_null(strstr(json_string_value(at(share, "words")), "was used to train f"));
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Nothing to tell apart, and no known members. */
static void without_evidence_there_is_no_share(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r = audit_with_used(&h, 100, 0);
    const json_t *share = at(outsider_of(r), "used_share");
    assert_true(json_is_null(at(share, "share")) && json_is_null(at(share, "interval/0")));
    assert_non_null(strstr(json_string_value(at(share, "note")), "below .05"));
    assert_non_null(strstr(json_string_value(at(share, "words")), "cannot be said"));
    sm_audit_result_free(r);
    let_go(&h);
    r = audit_of(&h, (size_t[]){1, 20, 0, 20}, 2);
    share = at(outsider_of(r), "used_share");
    assert_true(json_is_null(at(share, "share")) && json_is_null(at(share, "tpr")));
    assert_non_null(strstr(json_string_value(at(share, "note")), "it takes candidates"));
    sm_audit_result_free(r);
    let_go(&h);
}

/* --- a pair without g --- */

/* The numbers that a pair without g leaves out are NAN, as the store reads them. */
static void take_g_away(struct held *h)
{
    json_decref(h->pair);
    h->pair = parse_json("{\"name\": \"alone\", \"digest\": \"00aa\", \"encoders\": {\"f\": [{"
                         "\"file\": \"f.pt\", \"digest\": \"11\"}], \"g\": []}, \"flags\": "
                         "[{\"code\": \"g_missing\", \"text\": \"The pair has no g.\"}]}");
    h->audit.pair = h->pair;
    for (size_t i = 0; i < h->audit.items_count; i++) {
        struct sm_audit_item *item = &h->items[i];
        item->m = item->m_se = item->ratio = item->g = item->g_se = NAN;
        item->norm_1 = 9 + normal((uint32_t)(2000 + i));
        item->norm_2 = 4;
        item->norm_max = item->cohort == SM_COHORT_CANDIDATE ? 1 : 2;
    }
}

#define SPEC_OF_GATES                                                                              \
    "{\"name\": \"a\", \"gates\": [\"auc<=1\", \"auc_high<=1\", \"tpr_at_fpr_10<=1\", "            \
    "\"advantage<=1\", \"fdr5_share<=1\", \"mean_difference<=9\", \"cohen_d<=9\", "                \
    "\"welch_p>=0\", "                                                                             \
    "\"epsilon_lower<=99\", \"failed_share<=0.1\"]}"

static void without_g_the_signals_are_the_result(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, SPEC_OF_GATES);
    take_g_away(&h);
    struct sm_audit_result *r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r), *outsider = at(s, "outsider"), *gate;
    size_t i;
    assert_true(json_is_true(at(outsider, "alone")));
    assert_int_equal(json_object_size(at(outsider, "signals")), 4);
    assert_true(json_number_value(at(outsider, "signals/norm_max/auc/value")) == 0);
    assert_true(json_number_value(at(outsider, "signals/norm_2/auc/value")) == .5);
    assert_int_equal(json_integer_value(at(s, "images/scored")), 80);
    assert_int_equal(json_integer_value(at(s, "images/failed")), 0);
    assert_int_equal(json_integer_value(at(s, "cohorts/candidate/n")), 40);
    assert_true(json_is_null(at(s, "cohorts/candidate/mean")));
    assert_true(json_is_null(at(s, "membership/candidate_external/auc/value")));
    assert_true(json_is_null(at(s, "fdr/levels/1/count")));
    assert_non_null(strstr(json_string_value(at(s, "reliability/cohorts/candidate/words")),
                           "the pair has no g"));
    assert_true(json_is_false(at(s, "passed")));
    json_array_foreach(at(s, "gates"), i, gate)
    {
        bool of_files = strcmp(json_string_value(at(gate, "number")), "failed_share") == 0;
        assert_true(json_is_true(at(gate, "passed")) == of_files);
        assert_true(of_files || strstr(json_string_value(at(gate, "note")), "no g"));
    }
    sm_audit_result_free(r);
    let_go(&h);
}

/* An image fails by its f, which is all that there is. */
static void without_g_an_image_needs_its_f(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 12, 0, 12}, 0, "{\"name\": \"a\"}");
    take_g_away(&h);
    h.items[3].f = NAN;
    h.items[5].norm_1 = NAN; /* only the signals of norm_1 need it */
    struct sm_audit_result *r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r);
    assert_int_equal(json_integer_value(at(s, "images/failed")), 1);
    assert_int_equal(json_object_size(at(s, "outsider/signals")), 3);
    assert_string_equal(json_string_value(at(s, "outsider/missing")),
                        "the 1-norm of its output is not given: 1 of 23 scores do not hold norms");
    sm_audit_result_free(r);
    let_go(&h);
}

static void without_g_nobody_is_listed_or_compared(void **state)
{
    (void)state;
    static const enum sm_selection_kind kinds[] = {SM_SELECT_TOP, SM_SELECT_SHARE, SM_SELECT_FDR,
                                                   SM_SELECT_RANDOM};
    struct held h, whole;
    struct sm_err err = {0};
    json_t *compared;
    draw_audit(&h, (size_t[]){0, 12, 0, 12}, 0, "{\"name\": \"alone\"}");
    draw_audit(&whole, (size_t[]){0, 12, 0, 12}, 0, "{\"name\": \"whole\"}");
    take_g_away(&h);
    struct sm_audit_result *r = evaluate(&h);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct sm_selection selection = {.kind = kinds[i], .share = .5, .q = .1};
        assert_int_equal(
            sm_audit_write_selection(stdout, &h.audit, r, &selection, SM_LIST_CSV, &err),
            SM_INVALID);
        assert_non_null(strstr(err.text, "no g"));
    }
    const struct sm_audit *audits[] = {&whole.audit, &h.audit};
    assert_int_equal(sm_audit_compare(&compared, audits, 2, 10, &err), SM_INVALID);
    assert_non_null(strstr(err.text, "audit 2, alone, has no g"));
    assert_null(compared);
    sm_audit_result_free(r);
    let_go(&h);
    let_go(&whole);
}

static void without_g_the_page_says_what_it_cannot_say(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){5, 30, 0, 30}, 0, "{\"name\": \"a\"}");
    take_g_away(&h);
    struct sm_audit_result *r = evaluate(&h);
    char *page = written(write_html, &h, r);
    const char *says = strstr(page, "says nothing about memorization");
    assert_non_null(says);
    assert_true(strstr(page, "Someone with f alone") > says);
    assert_true(strstr(page, "Are the cohorts alike but for membership?") < says);
    assert_null(strstr(page, "Memorization audit"));
    assert_null(strstr(page, "Most memorized"));
    assert_null(strstr(page, "both encoders: m"));
    assert_non_null(strstr(page, "f alone: max-norm"));
    free(page);
    sm_audit_result_free(r);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f_alone_tells_what_it_holds_closer),
        cmocka_unit_test(without_externals_independents_stand_in),
        cmocka_unit_test(nobody_to_tell_apart_gives_no_number),
        cmocka_unit_test(scores_without_the_alignment_are_named),
        cmocka_unit_test(the_page_shows_f_alone_beside_the_pair),
        cmocka_unit_test(a_planted_share_is_found),
        cmocka_unit_test(without_evidence_there_is_no_share),
        cmocka_unit_test(without_g_the_signals_are_the_result),
        cmocka_unit_test(without_g_an_image_needs_its_f),
        cmocka_unit_test(without_g_nobody_is_listed_or_compared),
        cmocka_unit_test(without_g_the_page_says_what_it_cannot_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
