/* Gates hold only where something was measured: each way to measure nothing, against every number.
 */
#include "fixture.h"

/* Limits that every defined number keeps, so that a gate fails for its reason alone. */
static const char *const all_gates[] = {
    "auc<=1e9",        "auc_high<=1e9",   "tpr_at_fpr_10<=1e9", "tpr_at_fpr_1<=1e9",
    "advantage<=1e9",  "fdr1_share<=1e9", "fdr5_share<=1e9",    "fdr10_share<=1e9",
    "cohen_d<=1e9",    "welch_p<=1e9",    "welch_p>=-1e9",      "mean_difference<=1e9",
    "failed_share<=1", "auc>=-1e9",       "epsilon_lower<=0",
};
#define GATES_COUNT (sizeof all_gates / sizeof *all_gates)

static bool compares(const char *gate)
{
    return strncmp(gate, "failed_share", strlen("failed_share")) != 0;
}

static void draw_with_all_gates(struct held *h, const size_t counts[SM_COHORTS],
                                const char *reference)
{
    json_t *gates = json_array();
    for (size_t i = 0; i < GATES_COUNT; i++)
        json_array_append_new(gates, json_string(all_gates[i]));
    json_t *spec = json_pack("{s:s, s:b, s:s, s:i, s:o}", "name", "a", "inserted_at_random", 1,
                             "reference", reference, "resamples", 0, "gates", gates);
    char *text = json_dumps(spec, 0);
    draw_audit(h, counts, 1, text);
    free(text);
    json_decref(spec);
}

/* Evaluates; returns the flag's text, "" where it is not raised. `note` NULL: every gate holds. Else
 * those that compare fail with it, and so does failed_share when `all`. */
static void check(const struct held *h, const char *flag, const char *note, bool all, char out[400])
{
    struct sm_audit_result *r = evaluate(h);
    const json_t *s = sm_audit_result_json(r), *one;
    size_t i;
    out[0] = '\0';
    json_array_foreach(json_object_get(s, "flags"), i,
                       one) if (strcmp(json_string_value(json_object_get(one, "code")), flag) == 0)
        snprintf(out, 400, "%s", json_string_value(json_object_get(one, "text")));
    json_array_foreach(json_object_get(s, "gates"), i, one)
    {
        bool fails = note && (all || compares(all_gates[i]));
        const char *got = json_string_value(json_object_get(one, "note"));
        if (json_is_true(json_object_get(one, "passed")) == fails)
            fail_msg("%s %s: %s", all_gates[i], fails ? "holds" : "fails", got ? got : "");
        if (fails)
            assert_string_equal(got, note);
        else
            assert_null(got);
    }
    assert_int_equal(sm_audit_result_passed(r), !note);
    sm_audit_result_free(r);
}

static const size_t enough[] = {0, 300, 120, 300};

static void a_measured_audit_passes(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    /* The bound is above 0 here: its gate is the one that must fail. */
    struct sm_audit_result *r = evaluate(&h);
    assert_true(number_at(at(sm_audit_result_json(r), "gates/14"), "value") > 0);
    assert_false(json_is_true(at(sm_audit_result_json(r), "gates/14/passed")));
    sm_audit_result_free(r);
    h.spec.gates_count--;
    check(&h, "candidates_in_reference", NULL, false, text);
    assert_string_equal(text, "");
    let_go(&h);
}

static const char overlap_note[] = "candidates stand in the reference cohort, so the gate does not "
                                   "hold; the flag names them";

static void one_candidate_in_the_reference_is_too_many(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    memcpy(h.items[500].image_digest, h.items[7].image_digest, 65);
    check(&h, "candidates_in_reference", overlap_note, false, text);
    assert_string_equal(text,
                        "1 candidate is also among the externals that candidates are compared "
                        "with: items 7 and 500. Such an image cannot stand out, so no gate "
                        "that compares holds.");
    let_go(&h);
}

/* Also an image that failed, and one that stands in a third cohort as well. */
static void every_overlap_is_named(void **state)
{
    (void)state;
    struct held h;
    draw_with_all_gates(&h, enough, "independent");
    for (size_t i = 0; i < 12; i++)
        memcpy(h.items[300 + i].image_digest, h.items[i].image_digest, 65);
    memcpy(h.items[500].image_digest, h.items[3].image_digest, 65);
    h.items[4].error_code = h.items[304].error_code = "image_corrupt";
    struct sm_audit_result *r = evaluate(&h);
    const json_t *flag, *found = NULL;
    unsigned seen = 0;
    size_t i;
    json_array_foreach(json_object_get(sm_audit_result_json(r), "flags"), i,
                       flag) if (strcmp(json_string_value(json_object_get(flag, "code")),
                                        "candidates_in_reference") == 0) found = flag;
    assert_non_null(found);
    const char *text = json_string_value(json_object_get(found, "text"));
    assert_non_null(strstr(text, "12 candidates are also among the independents"));
    assert_non_null(strstr(text, " …. Such an image"));
    json_array_foreach(json_object_get(found, "images"), i, flag)
    {
        size_t first = (size_t)json_integer_value(json_array_get(flag, 0));
        assert_int_equal(json_integer_value(json_array_get(flag, 1)), 300 + first);
        assert_int_equal(json_array_size(flag), first == 3 ? 3 : 2);
        seen |= 1u << first;
    }
    assert_int_equal(seen, (1u << 12) - 1);
    assert_false(sm_audit_result_passed(r));
    sm_audit_result_free(r);
    let_go(&h);
}

/* Images of another cohort are no part of the comparison. */
static void the_other_cohort_may_overlap(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    h.spec.gates_count--;
    memcpy(h.items[310].image_digest, h.items[7].image_digest, 65);
    memcpy(h.items[320].image_digest, h.items[500].image_digest, 65);
    check(&h, "images_in_two_cohorts", NULL, false, text);
    assert_non_null(strstr(text, "2 images occur more than once in different cohorts"));
    check(&h, "candidates_in_reference", NULL, false, text);
    assert_string_equal(text, "");
    let_go(&h);
}

static void scores_that_do_not_differ_measure_nothing(void **state)
{
    (void)state;
    static const char note[] = "the scores do not differ, so the gate does not hold";
    static const struct {
        double candidates, externals, step; /* the same step from image to image */
        bool constant;
    } cases[] = {
        {0, 0, 0, true},         /* one encoder on both sides */
        {.25, .25, 0, true},     /* not only 0 */
        {.1, .2, 0, true},       /* two heaps tell nothing of an image either */
        {.25, .25, 1e-10, true}, /* arithmetic of two orders of sums */
        {.25, .25, 1e-6, false}, /* small, and there */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char text[400];
        struct held h;
        draw_with_all_gates(&h, (size_t[]){0, 200, 0, 300}, "external");
        for (size_t i = 0; i < 500; i++) {
            h.items[i].m = (i < 200 ? cases[k].candidates : cases[k].externals) +
                           (double)(i % 50) * cases[k].step;
            h.items[i].g = h.items[i].f + h.items[i].m;
        }
        check(&h, "scores_constant", cases[k].constant ? note : NULL, false, text);
        assert_int_equal(text[0] != '\0', cases[k].constant);
        let_go(&h);
    }
}

/* One cohort without a spread is enough: a heap of equal candidates beside any reference. */
static void one_constant_cohort_measures_nothing(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    for (size_t i = 0; i < 300; i++)
        h.items[i].m = -.5;
    check(&h, "scores_constant", "the scores do not differ, so the gate does not hold", false,
          text);
    assert_string_equal(text, "The 300 scores of candidates do not differ (-0.5): they say nothing "
                              "about any image, so no gate on them holds.");
    let_go(&h);
}

static void equal_sides_fail_every_gate(void **state)
{
    (void)state;
    static const char note[] = "f and g of this pair hold the same weights, so the gate does not "
                               "hold";
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    json_t *flags = parse_json("[{\"code\": \"sides_same\", \"text\": \"as the pair says\", "
                               "\"files\": [[\"f.pt\", \"g.pt\"]]}]");
    json_object_set_new(h.pair, "flags", flags);
    check(&h, "sides_same", note, true, text);
    assert_string_equal(text, "as the pair says");
    /* A pair that was recorded before pairs had flags tells by its digests. */
    json_object_del(h.pair, "flags");
    json_object_set_new(json_array_get(at(h.pair, "encoders/g"), 0), "digest", json_string("11"));
    check(&h, "sides_same", note, true, text);
    assert_non_null(strstr(text, "f and g hold the same file"));
    let_go(&h);
}

/* f and g exchanged: what was memorized shows below the reference, and keeps every limit. */
static void exchanged_sides_are_flagged(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    h.spec.gates_count--;
    check(&h, "candidates_below_reference", NULL, false, text);
    assert_string_equal(text, "");
    for (size_t i = 0; i < h.audit.items_count; i++)
        h.items[i].m = -h.items[i].m;
    check(&h, "candidates_below_reference", NULL, false, text);
    assert_non_null(strstr(text, "Candidates score lower than externals: AUC 0."));
    let_go(&h);
}

/* Repeated encoders of one side are said, and still measure. */
static void repeated_encoders_are_flagged(void **state)
{
    (void)state;
    char text[400];
    struct held h;
    draw_with_all_gates(&h, enough, "external");
    h.spec.gates_count--;
    json_object_set_new(h.pair, "flags",
                        parse_json("[{\"code\": \"encoders_repeated\", \"text\": \"twice\"}]"));
    check(&h, "encoders_repeated", NULL, false, text);
    assert_string_equal(text, "twice");
    let_go(&h);
}

static bool passes(const size_t counts[SM_COHORTS], const char *gate, const char **note)
{
    static char kept[120];
    char spec[200];
    struct held h;
    snprintf(spec, sizeof spec,
             "{\"name\": \"a\", \"inserted_at_random\": true, \"resamples\": 0, "
             "\"gates\": [\"%s\"]}",
             gate);
    draw_audit(&h, counts, 0, spec);
    struct sm_audit_result *r = evaluate(&h);
    const json_t *text = at(sm_audit_result_json(r), "gates/0/note");
    bool passed = sm_audit_result_passed(r);
    snprintf(kept, sizeof kept, "%s", json_is_string(text) ? json_string_value(text) : "");
    *note = kept;
    sm_audit_result_free(r);
    let_go(&h);
    return passed;
}

/* The least cohorts on which each gate may hold, and that it does not with one image less. */
static void cohorts_can_be_too_small(void **state)
{
    (void)state;
    static const struct {
        const char *gate;
        size_t candidates, externals;
    } cases[] = {
        {"auc<=1", 2, 2},
        {"advantage<=1", 2, 2},
        {"mean_difference<=9", 2, 2},
        {"welch_p>=0", 30, 30},
        {"welch_p>0", 30, 30},
        {"cohen_d<=99", 2, 2},
        {"fdr5_share<=1", 2, 19},
        {"fdr10_share<=1", 2, 9},
        {"tpr_at_fpr_10<=1", 2, 10},
        {"epsilon_lower<=1", 23, 23}, /* 12 of 12 and 0 of 12 counted bound 1.02 */
    };
    static const char small[] =
        "the cohorts are too small for this number, so the gate does not hold";
    const char *note;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t a = cases[i].candidates, b = cases[i].externals;
        if (!passes((size_t[]){0, a, 0, b}, cases[i].gate, &note))
            fail_msg("%s fails on %zu and %zu: %s", cases[i].gate, a, b, note);
        for (size_t less = 0; less < 2; less++) {
            size_t counts[] = {0, a - !less, 0, b - less};
            if (passes(counts, cases[i].gate, &note))
                fail_msg("%s holds on %zu and %zu", cases[i].gate, counts[1], counts[3]);
            if (strcmp(note, small) != 0 && strcmp(note, "the number is undefined here, so the "
                                                         "gate does not hold") != 0)
                fail_msg("%s: %s", cases[i].gate, note);
        }
    }
    /* Few images cannot show that there is no difference; that there is one, they can. */
    assert_true(passes((size_t[]){0, 4, 0, 4}, "welch_p<=1", &note));
    assert_false(passes((size_t[]){0, 4, 0, 4}, "welch_p>=0", &note));
    assert_string_equal(note, small);
    assert_true(passes((size_t[]){0, 2, 0, 2}, "epsilon_lower>=0", &note));
}

/* Of 20 reference images FDR 5 % lists all of 20 candidates or none: a gate on less than 19 of them
 * could not see what breaks it. One that asks for a large share is not at risk. */
static void shares_that_cannot_be_listed_hold_no_gate(void **state)
{
    (void)state;
    static const struct {
        const char *gate;
        size_t candidates, externals;
        bool holds;
    } cases[] = {
        {"fdr5_share<=0.01", 20, 20, false},
        {"fdr5_share<=0.94", 20, 20, false},
        {"fdr5_share<=0.95", 20, 20, true},
        {"fdr5_share<0.95", 20, 20, false},
        {"fdr5_share<0.96", 20, 20, true},
        {"fdr5_share>=0", 20, 20, true},
        {"fdr10_share<=0.44", 20, 20, false},
        {"fdr10_share<=0.45", 20, 20, true},
        {"fdr5_share<=0.01", 100, 998, false},
        {"fdr5_share<=0.01", 100, 999, true},
        {"fdr1_share<=0.01", 300, 4000, false},
        {"fdr1_share<=0.03", 300, 4000, true},
        {"fdr5_share<=0", 1, 19, false} /* one score */,
        {"fdr5_share<=0", 2, 39, true},
        {"fdr5_share<=0", 2, 38, false},
    };
    const char *note;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t counts[] = {0, cases[i].candidates, 0, cases[i].externals};
        if (passes(counts, cases[i].gate, &note) != cases[i].holds)
            fail_msg("%s on %zu and %zu: %s", cases[i].gate, counts[1], counts[3], note);
        assert_string_equal(note, cases[i].holds ? ""
                                                 : "the cohorts are too small for this number, so "
                                                   "the gate does not hold");
    }
}

/* Judged gates stand beside the audit's own and change nothing of them. */
static void gates_can_be_judged_afterwards(void **state)
{
    (void)state;
    struct held h;
    struct sm_err err = {0};
    json_t *out, *list = parse_json("[\"auc<=0.5\", \"failed_share<=0\"]");
    draw_audit(&h, enough, 2, "{\"name\": \"a\", \"resamples\": 0, \"gates\": [\"auc<=1\"]}");
    struct sm_audit_spec judged = h.spec;
    assert_int_equal(sm_audit_gates_parse(&judged, list, &err), SM_OK);
    struct sm_audit_result *r = evaluate(&h);
    assert_int_equal(sm_audit_judge(&out, r, &judged, &err), SM_OK);
    assert_int_equal(json_array_size(at(out, "gates")), 2);
    assert_true(json_is_false(at(out, "passed")) && json_is_false(at(out, "gates/0/passed")));
    assert_true(json_is_true(at(out, "gates/1/passed")));
    assert_true(json_equal(at(out, "flags"), at(sm_audit_result_json(r), "flags")));
    assert_null(json_object_get(sm_audit_result_json(r), "judged"));
    sm_audit_result_free(r);
    h.audit.judged = &judged;
    r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r);
    assert_true(json_is_true(at(s, "passed")) && sm_audit_result_passed(r));
    assert_string_equal(json_string_value(at(s, "gates/0/gate")), "auc<=1");
    assert_true(json_is_false(at(s, "judged/passed")));
    assert_true(json_equal(at(s, "judged/gates"), at(out, "gates")));
    assert_null(json_object_get(at(s, "judged"), "flags"));
    assert_int_equal(json_array_size(at(s, "gates")), 1);
    sm_audit_result_free(r);
    json_decref(out);
    h.audit.judged = NULL;
    h.audit.completeness.state = SM_COMPLETION_CANCELLED;
    r = evaluate(&h);
    assert_int_equal(sm_audit_judge(&out, r, &judged, &err), SM_OK);
    assert_true(json_is_null(at(out, "passed")) && json_is_null(at(out, "gates/0/passed")));
    sm_audit_result_free(r);
    json_decref(out);
    /* A list replaces what was there; a wrong one is named. */
    assert_int_equal(sm_audit_gates_parse(&judged, list, &err), SM_OK);
    assert_int_equal(judged.gates_count, 2);
    json_array_append_new(list, json_string("auc=1"));
    assert_int_equal(sm_audit_gates_parse(&judged, list, &err), SM_INVALID);
    assert_string_equal(err.pointer, "/gates/2");
    json_decref(list);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_measured_audit_passes),
        cmocka_unit_test(one_candidate_in_the_reference_is_too_many),
        cmocka_unit_test(every_overlap_is_named),
        cmocka_unit_test(the_other_cohort_may_overlap),
        cmocka_unit_test(scores_that_do_not_differ_measure_nothing),
        cmocka_unit_test(one_constant_cohort_measures_nothing),
        cmocka_unit_test(equal_sides_fail_every_gate),
        cmocka_unit_test(exchanged_sides_are_flagged),
        cmocka_unit_test(repeated_encoders_are_flagged),
        cmocka_unit_test(cohorts_can_be_too_small),
        cmocka_unit_test(shares_that_cannot_be_listed_hold_no_gate),
        cmocka_unit_test(gates_can_be_judged_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
