/* The numbers of audits: whole ones against SciPy (tests/golden/make_audit.py), empty and odd ones,
 * flags and gates. */
#include "fixture.h"

#include "core/audit/result.h"

static void check_images(const struct held *h, const struct sm_audit_result *result)
{
    json_t *want;
    size_t i;
    json_array_foreach(json_object_get(h->vector, "images"), i, want)
    {
        char where[40];
        const struct sm_image_stats *s = &result->images[i];
        json_t *got = json_pack("{s:f, s:f}", "centered", s->centered, "normalized", s->normalized);
        const double numbers[] = {s->percentile, s->p, s->q, s->shrunken};
        static const char *const names[] = {"percentile", "p", "q", "shrunken"};
        for (int k = 0; k < 4; k++)
            json_object_set_new(got, names[k],
                                isfinite(numbers[k]) ? json_real(numbers[k]) : json_null());
        snprintf(where, sizeof where, "images/%zu", i);
        if (json_is_null(want))
            assert_true(isnan(s->centered) && isnan(s->p) && isnan(s->normalized));
        else
            assert_within(got, want, where);
        json_decref(got);
    }
}

static void check_vector(const char *name)
{
    struct held h;
    load_audit(&h, name);
    struct sm_audit_result *result = evaluate(&h);
    assert_within(sm_audit_result_json(result), at(h.vector, "summary"), name);
    check_images(&h, result);
    sm_audit_result_free(result);
    let_go(&h);
}

static void an_audit_with_an_effect_matches_scipy(void **state)
{
    (void)state;
    check_vector("effect");
}

static void ties_and_an_empty_cohort_match_scipy(void **state)
{
    (void)state;
    check_vector("ties");
}

/* Scores of one decimal: the halves of the bound on epsilon share their thresholds. */
static void a_bound_counts_scores_at_its_threshold(void **state)
{
    (void)state;
    check_vector("random");
}

/* Without an effect no threshold gives a bound. */
static void no_effect_bounds_nothing(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 6, 0, 6}, 0, "{\"name\": \"a\", \"inserted_at_random\": true}");
    struct sm_audit_result *r = evaluate(&h);
    const json_t *e = at(sm_audit_result_json(r), "membership/candidate_external/epsilon");
    assert_true(json_is_null(at(e, "threshold")));
    assert_true(json_number_value(at(e, "lower")) == 0);
    assert_int_equal(json_integer_value(at(e, "true_positives")), 0);
    sm_audit_result_free(r);
    let_go(&h);
}

static bool has_flag(const struct sm_audit_result *result, const char *code)
{
    json_t *flag;
    size_t i;
    json_array_foreach(json_object_get(sm_audit_result_json(result), "flags"), i,
                       flag) if (strcmp(json_string_value(json_object_get(flag, "code")), code) ==
                                 0) return true;
    return false;
}

static const char *flag_text(const struct sm_audit_result *result, const char *code)
{
    json_t *flag;
    size_t i;
    json_array_foreach(json_object_get(sm_audit_result_json(result), "flags"), i,
                       flag) if (strcmp(json_string_value(json_object_get(flag, "code")), code) ==
                                 0) return json_string_value(json_object_get(flag, "text"));
    fail_msg("no flag %s", code);
    return NULL;
}

/* No number of any document may be NaN or infinite: jansson would refuse to build it. */
static struct sm_audit_result *small(struct held *h, size_t shared, size_t candidate,
                                     size_t independent, size_t external, const char *spec)
{
    draw_audit(h, (size_t[]){shared, candidate, independent, external}, 0, spec);
    return evaluate(h);
}

static void no_image_at_all(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r = small(&h, 0, 0, 0, 0,
                                      "{\"name\": \"a\", \"gates\": [\"auc<=1\", "
                                      "\"failed_share<=1\", \"fdr5_share<=1\"]}");
    const json_t *s = sm_audit_result_json(r);
    assert_true(json_is_null(at(s, "images/failed_share")));
    assert_true(json_is_null(at(s, "cohorts/candidate/mean")));
    assert_true(json_is_null(at(s, "cohorts/candidate/quantiles/4/value")));
    assert_true(json_is_null(at(s, "membership/candidate_external/auc/value")));
    assert_true(json_is_null(at(s, "membership/candidate_external/roc")));
    assert_true(json_is_null(at(s, "fdr/levels/0/count")));
    assert_string_equal(json_string_value(at(s, "comparisons/candidate_external/words")),
                        "candidates and externals cannot be compared: one side has too few scores, "
                        "or all its scores are equal");
    assert_false(sm_audit_result_passed(r));
    for (int i = 0; i < 3; i++)
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(at(s, "gates"), (size_t)i), "note")),
            "the number is undefined here, so the gate does not hold");
    assert_string_equal(flag_text(r, "cohort_empty"), "There are no scores of shared images: "
                                                      "comparisons with them are left out.");
    sm_audit_result_free(r);
    let_go(&h);
}

static void one_image_a_cohort(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r =
        small(&h, 1, 1, 1, 1, "{\"name\": \"a\", \"inserted_at_random\": true}");
    const json_t *s = sm_audit_result_json(r);
    assert_true(json_is_number(at(s, "cohorts/external/mean")));
    assert_true(json_is_null(at(s, "cohorts/external/sd")));
    assert_true(json_is_null(at(s, "comparisons/candidate_external/welch/p_two_sided")));
    assert_true(json_is_number(at(s, "comparisons/candidate_external/difference")));
    assert_true(json_is_null(at(s, "membership/candidate_external/epsilon")));
    assert_true(r->images[1].p == .5 || r->images[1].p == 1); /* of one reference image */
    assert_true(isnan(r->images[3].p) && isnan(r->images[3].percentile)); /* alone in its cohort */
    assert_true(has_flag(r, "cohort_of_one"));
    assert_true(has_flag(r, "reference_too_small_for_fdr"));
    assert_false(sm_audit_result_passed(r)); /* no gate, no verdict */
    assert_true(json_is_null(at(s, "passed")));
    sm_audit_result_free(r);
    let_go(&h);
}

static void all_scores_equal(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){3, 3, 3, 3}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 12; i++)
        h.items[i].m = .25;
    struct sm_audit_result *r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r);
    assert_true(json_is_null(at(s, "normalization/divisor")));
    assert_true(json_is_null(at(s, "histogram")));
    assert_true(json_is_null(at(s, "cohorts/candidate/histogram")));
    assert_true(json_is_null(at(s, "cohorts/candidate/normalized_mean")));
    assert_true(json_real_value(at(s, "membership/candidate_external/auc/value")) == .5);
    assert_true(isnan(r->images[0].normalized));
    assert_string_equal(flag_text(r, "scores_all_equal"),
                        "All 12 scores are 0.25: nothing can be normalised, tested or ranked. "
                        "Identical encoders would do this.");
    sm_audit_result_free(r);
    let_go(&h);
}

static void scores_that_are_no_numbers_are_failures(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 4, 0, 4}, 0, "{\"name\": \"a\"}");
    h.items[0].m = NAN;
    h.items[5].m = INFINITY;
    h.items[6].error_code = "image_corrupt";
    struct sm_audit_result *r = evaluate(&h);
    assert_int_equal(json_integer_value(at(sm_audit_result_json(r), "images/failed")), 3);
    assert_int_equal(json_integer_value(at(sm_audit_result_json(r), "cohorts/external/n")), 2);
    assert_string_equal(flag_text(r, "images_failed"),
                        "3 of 8 images (37.5 %) could not be scored and are in no statistic. If "
                        "some kind of image fails more often than others, the cohorts are no "
                        "longer alike.");
    sm_audit_result_free(r);
    let_go(&h);
}

static void damaged_images_are_flagged(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    struct sm_audit_result *r = evaluate(&h);
    assert_false(has_flag(r, "images_damaged"));
    sm_audit_result_free(r);
    for (int i = 3; i < 30; i += 3)
        h.items[i].is_damaged = true;
    r = evaluate(&h);
    assert_string_equal(flag_text(r, "images_damaged"),
                        "The data of 9 of 80 images is broken, and the decoder made up some of "
                        "their pixels: items 3, 6, 9, 12, 15, 18, 21, 24 …. Pillow and torchvision "
                        "show the same pixels; training saw them if it read these files.");
    sm_audit_result_free(r);
    let_go(&h);
}

static void scores_of_two_versions_are_flagged(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    const json_t *before = h.audit.provenance;
    json_t *one = json_pack("{s:[{s:s}]}", "variants", "method", "sslmem/2");
    json_t *two =
        json_pack("{s:[{s:s}, {s:s}]}", "variants", "method", "sslmem/1", "method", "sslmem/2");
    h.audit.provenance = one;
    struct sm_audit_result *r = evaluate(&h);
    assert_false(has_flag(r, "scores_made_differently"));
    sm_audit_result_free(r);
    h.audit.provenance = two;
    r = evaluate(&h);
    assert_non_null(strstr(flag_text(r, "scores_made_differently"), "made in 2 ways: method"));
    sm_audit_result_free(r);
    h.audit.provenance = before;
    json_decref(one);
    json_decref(two);
    let_go(&h);
}

static void images_in_two_cohorts_are_flagged(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 40, 0, 40}, 0, "{\"name\": \"a\"}");
    memcpy(h.items[50].image_digest, h.items[7].image_digest, 65);    /* across */
    memcpy(h.items[9].image_digest, h.items[8].image_digest, 65);     /* within */
    h.items[20].image_digest[0] = h.items[21].image_digest[0] = '\0'; /* unknown: not the same */
    struct sm_audit_result *r = evaluate(&h);
    assert_string_equal(flag_text(r, "images_in_two_cohorts"),
                        "1 image occurs more than once in different cohorts: items 7 and 50. They "
                        "are counted as they were given; tests take images as independent.");
    assert_string_equal(flag_text(r, "images_repeated"),
                        "1 image occurs more than once in one cohort: items 8 and 9. They are "
                        "counted as they were given; tests take images as independent.");
    sm_audit_result_free(r);
    let_go(&h);
}

static void small_references_say_what_they_cannot(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r =
        small(&h, 0, 50, 0, 30,
              "{\"name\": \"a\", \"gates\": [\"fdr1_share<=0.5\", \"fdr5_share<=0.5\", "
              "\"tpr_at_fpr_1<=1\", \"tpr_at_fpr_10<=1\"]}");
    const json_t *gates = at(sm_audit_result_json(r), "gates");
    /* 33 of the 50 candidates are listed at FDR 5 %, or none is. */
    static const bool passed[] = {false, false, false, true};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(json_is_true(json_object_get(json_array_get(gates, i), "passed")),
                         passed[i]);
    assert_string_equal(json_string_value(at(gates, "0/note")),
                        "the cohorts are too small for this number, so the gate does not hold");
    assert_string_equal(flag_text(r, "reference_too_small_for_fdr"),
                        "The reference cohort is too small for this claim: with 30 reference "
                        "images no p-value is below 0.032, so no candidate can be listed at FDR 1 "
                        "%. FDR 1 % takes 99 reference images at least.");
    assert_string_equal(flag_text(r, "others_too_few_for_fpr"),
                        "30 external images are too few for a false positive rate of 1 %, 0.1 %: "
                        "one false alarm among them is already 3.33 %. What is shown there is the "
                        "rate without any false alarm.");
    sm_audit_result_free(r);
    let_go(&h);
}

/* Of 19 reference images the smallest p-value is .05: at the limit of FDR 5 %. */
static void lists_begin_where_the_reference_allows(void **state)
{
    (void)state;
    for (size_t n = 18; n <= 19; n++) {
        struct held h;
        draw_audit(&h, (size_t[]){0, 4, 0, n}, 100, "{\"name\": \"a\"}");
        struct sm_audit_result *r = evaluate(&h);
        const json_t *fdr = at(sm_audit_result_json(r), "fdr");
        assert_int_equal(json_is_true(at(fdr, "levels/1/enough")), n == 19);
        assert_int_equal(json_integer_value(at(fdr, "levels/1/count")), n == 19 ? 4 : 0);
        assert_int_equal(json_integer_value(at(fdr, "levels/1/at_least")), n == 19 ? 4 : 5);
        assert_int_equal(json_integer_value(at(fdr, "p_levels/1/count")), n == 19 ? 4 : 0);
        assert_true(json_number_value(at(fdr, "p_levels/1/expected")) == (n == 19 ? .2 : 0));
        assert_int_equal(json_integer_value(at(fdr, n == 19 ? "p_histogram/0" : "p_histogram/1")),
                         4);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Of 150 groups the largest 100 are shown; the reference's class decides what a class is compared
 * with. */
static void labels_have_their_rows(void **state)
{
    (void)state;
    static char names[150][16];
    struct held h;
    draw_audit(&h, (size_t[]){0, 300, 0, 200}, 30, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 150; i++)
        snprintf(names[i], sizeof names[i], "group %03zu", i);
    for (size_t i = 0; i < 300; i++) {
        h.items[i].class_label = i < 100 ? "bag" : "";
        h.items[i].group = names[i < 290 ? i % 150 : 7];
    }
    for (size_t i = 300; i < 340; i++)
        h.items[i].class_label = i < 320 ? "bag" : "boot"; /* no candidate is a boot */
    struct sm_audit_result *r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r);
    assert_int_equal(json_integer_value(at(s, "classes/count")), 1);
    assert_string_equal(json_string_value(at(s, "classes/rows/0/label")), "bag");
    assert_int_equal(json_integer_value(at(s, "classes/rows/0/n")), 100);
    assert_int_equal(json_integer_value(at(s, "classes/rows/0/reference_n")), 20);
    assert_int_equal(json_integer_value(at(s, "classes/rows/0/listed")), 100);
    assert_int_equal(json_integer_value(at(s, "groups/count")), 150);
    assert_int_equal(json_array_size(at(s, "groups/rows")), SM_LABELS_SHOWN);
    assert_string_equal(json_string_value(at(s, "groups/rows/0/label")), "group 007");
    assert_int_equal(json_integer_value(at(s, "groups/rows/0/n")), 12);
    assert_string_equal(json_string_value(at(s, "groups/rows/1/label")), "group 000");
    assert_int_equal(json_integer_value(at(s, "groups/rows/1/reference_n")), 200);
    sm_audit_result_free(r);
    let_go(&h);
}

static void an_offset_and_few_views_are_flagged(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 50, 0, 50}, 0, "{\"name\": \"a\"}");
    for (size_t i = 0; i < 100; i++)
        h.items[i].m -= 1;
    json_object_set_new(h.recipe, "views", json_integer(4));
    struct sm_audit_result *r = evaluate(&h);
    assert_true(strstr(flag_text(r, "raw_offset"), "A raw score means nothing") != NULL);
    assert_true(strstr(flag_text(r, "few_views"), "4 views of each image, below 5") != NULL);
    sm_audit_result_free(r);
    let_go(&h);
}

static void stratified_errors_are_flagged(void **state)
{
    (void)state;
    static const char *const draws[] = {"independent", "stratified"};
    for (int i = 0; i < 2; i++) {
        struct held h;
        draw_audit(&h, (size_t[]){0, 50, 0, 50}, 0, "{\"name\": \"a\"}");
        json_object_set_new(h.recipe, "draws", json_string(draws[i]));
        struct sm_audit_result *r = evaluate(&h);
        assert_int_equal(has_flag(r, "se_upper_bound"), i);
        if (i == 1)
            assert_true(strstr(flag_text(r, "se_upper_bound"), "is an upper bound") != NULL);
        const char *note = json_string_value(at(sm_audit_result_json(r), "reliability/note"));
        assert_true(i == (note && strstr(note, "the reliability is a lower bound") != NULL));
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* Candidates at `candidate`, `candidate` + step …, externals from 0 to 1. */
static struct sm_audit_result *apart(struct held *h, size_t candidates, size_t externals,
                                     double candidate, double step, const char *spec)
{
    size_t n[SM_COHORTS] = {0};
    draw_audit(h, (size_t[]){0, candidates, 0, externals}, 0, spec);
    for (size_t i = 0; i < h->audit.items_count; i++) {
        struct sm_audit_item *item = &h->items[i];
        double k = (double)n[item->cohort]++;
        item->m =
            item->cohort == SM_COHORT_CANDIDATE ? candidate + step * k : k / (double)externals;
    }
    return evaluate(h);
}

static const json_t *gate_of(const struct sm_audit_result *r, size_t i)
{
    return json_array_get(at(sm_audit_result_json(r), "gates"), i);
}

/* An AUC of 1 or 0 is what a few images gave: its interval has width, and cohorts below ten hold no
 * gate on it, in either direction. */
static void separated_cohorts_have_an_interval_with_width(void **state)
{
    (void)state;
    static const struct {
        size_t candidates, externals;
        double candidate; /* above or below the externals */
        const char *spec;
        double bound; /* the other end: at least, at most */
        bool passed;
    } cases[] = {
        {2, 4, 5, "{\"name\": \"a\", \"gates\": [\"auc_high>=0.5\"]}", .6, false},
        {2, 4, -5, "{\"name\": \"a\", \"gates\": [\"auc_high<=0.9\"]}", .4, false},
        {10, 10, -5, "{\"name\": \"a\", \"gates\": [\"auc_high<=0.5\"]}", .1, true},
        {10, 10, -5, "{\"name\": \"a\", \"gates\": [\"auc_high<=0.05\"]}", .1, false},
        {4, 10, -5, "{\"name\": \"a\", \"gates\": [\"auc_high<=0.5\"]}", .2, false},
        {1, 9, -5, "{\"name\": \"a\", \"gates\": [\"auc_high<=0.9\"]}", .4, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct held h;
        struct sm_audit_result *r = apart(&h, cases[i].candidates, cases[i].externals,
                                          cases[i].candidate, .1, cases[i].spec);
        const json_t *test = at(sm_audit_result_json(r), "membership/candidate_external");
        double low = json_number_value(at(test, "auc/interval/0"));
        double high = json_number_value(at(test, "auc/interval/1"));
        bool above = cases[i].candidate > 0;
        assert_true(above ? high == 1 && low < cases[i].bound : low == 0 && high > cases[i].bound);
        assert_string_equal(json_string_value(at(test, "auc/interval_method")), "newcombe");
        assert_true(json_is_null(at(test, "auc/se")) && json_is_null(at(test, "auc/delong/0")) &&
                    json_is_null(at(test, "auc/bootstrap/1")));
        char words[80];
        snprintf(words, sizeof words, "95 %% interval %.3g to %.3g", low, high);
        assert_non_null(strstr(json_string_value(at(test, "words")), words));
        assert_int_equal(sm_audit_result_passed(r), cases[i].passed);
        bool few = cases[i].candidates < 10;
        assert_true(json_is_false(at(test, "auc/enough")) == few);
        assert_true(few == (strstr(json_string_value(at(test, "words")),
                                   "one image can move this") != NULL));
        if (few)
            assert_string_equal(
                json_string_value(json_object_get(gate_of(r, 0), "note")),
                "the cohorts are too small for this number, so the gate does not hold");
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* A spread of 0 is no knowledge of the mean: nothing is tested, nothing has an interval. */
static void a_constant_cohort_has_no_test(void **state)
{
    (void)state;
    struct held h;
    struct sm_audit_result *r =
        apart(&h, 3, 40, .5, 0, "{\"name\": \"a\", \"gates\": [\"welch_p<=1\"]}");
    const json_t *c = at(sm_audit_result_json(r), "comparisons/candidate_external");
    static const char *const undefined[] = {"low",     "high",         "interval_method",
                                            "cohen_d", "welch/low",    "welch/p_two_sided",
                                            "welch/t", "student/high", "student/p_two_sided"};
    for (size_t i = 0; i < sizeof undefined / sizeof *undefined; i++)
        assert_true(json_is_null(at(c, undefined[i])));
    assert_true(json_is_number(at(c, "difference")));
    assert_string_equal(json_string_value(at(c, "words")),
                        "candidates and externals cannot be compared: one side has too few scores, "
                        "or all its scores are equal");
    assert_true(json_is_null(
        at(sm_audit_result_json(r), "cohorts/candidate/against_zero/interval_method")));
    assert_false(sm_audit_result_passed(r));
    sm_audit_result_free(r);
    let_go(&h);
}

/* Each gate reads the number that its name says. */
static void gates_read_the_summary(void **state)
{
    (void)state;
    static const struct {
        const char *gate, *path;
    } cases[] = {
        {"auc>0.5", "membership/candidate_external/auc/value"},
        {"auc_high>=0.5", "membership/candidate_external/auc/interval/1"},
        {"tpr_at_fpr_10>0", "membership/candidate_external/tpr_at_fpr/0/tpr"},
        {"tpr_at_fpr_1>0", "membership/candidate_external/tpr_at_fpr/1/tpr"},
        {"tpr_at_fpr_01>=0", "membership/candidate_external/tpr_at_fpr/2/tpr"},
        {"tpr_at_fpr_0>=0", "membership/candidate_external/tpr_at_fpr/3/tpr"},
        {"advantage>0", "membership/candidate_external/advantage"},
        {"epsilon_lower>0", "membership/candidate_external/epsilon/lower"},
        {"fdr1_share>=0", "fdr/levels/0/share"},
        {"fdr5_share>=0", "fdr/levels/1/share"},
        {"fdr10_share>0", "fdr/levels/2/share"},
        {"mean_difference>0", "comparisons/candidate_external/difference"},
        {"cohen_d>1", "comparisons/candidate_external/cohen_d"},
        {"welch_p<1e-9", "comparisons/candidate_external/welch/p_two_sided"},
        {"failed_share<=0", "images/failed_share"},
    };
    char spec[1024] = "{\"name\": \"a\", \"inserted_at_random\": true, \"gates\": [";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t used = strlen(spec);
        snprintf(spec + used, sizeof spec - used, "%s\"%s\"", i ? ", " : "", cases[i].gate);
    }
    strncat(spec, "]}", sizeof spec - strlen(spec) - 1);
    struct held h;
    draw_audit(&h, (size_t[]){0, 400, 0, 1200}, 2, spec);
    struct sm_audit_result *r = evaluate(&h);
    const json_t *summary = sm_audit_result_json(r), *gates = at(summary, "gates");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *gate = json_array_get(gates, i);
        if (!json_is_true(json_object_get(gate, "passed")))
            fail_msg("%s does not hold", cases[i].gate);
        assert_true(number_at(gate, "value") == json_number_value(at(summary, cases[i].path)));
    }
    assert_true(sm_audit_result_passed(r));
    sm_audit_result_free(r);
    let_go(&h);
}

static void comparisons_at_the_limit(void **state)
{
    (void)state;
    static const struct {
        const char *gate;
        bool passed;
    } cases[] = {{"failed_share<0.25", false}, {"failed_share<=0.25", true},
                 {"failed_share>0.25", false}, {"failed_share>=0.25", true},
                 {"failed_share<0.26", true},  {"failed_share>0.24", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char spec[80];
        struct held h;
        snprintf(spec, sizeof spec, "{\"name\": \"a\", \"gates\": [\"%s\"]}", cases[i].gate);
        draw_audit(&h, (size_t[]){0, 2, 0, 2}, 0, spec);
        h.items[0].error_code = "image_corrupt";
        struct sm_audit_result *r = evaluate(&h);
        assert_int_equal(sm_audit_result_passed(r), cases[i].passed);
        sm_audit_result_free(r);
        let_go(&h);
    }
}

/* The independent cohort as reference changes what gates read. */
static void gates_follow_the_reference(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 50, 50, 50}, 1,
               "{\"name\": \"a\", \"reference\": \"independent\", \"gates\": [\"auc>0\"]}");
    struct sm_audit_result *r = evaluate(&h);
    const json_t *s = sm_audit_result_json(r);
    assert_true(number_at(at(s, "gates/0"), "value") ==
                json_number_value(at(s, "membership/candidate_independent/auc/value")));
    assert_true(json_is_true(at(s, "membership/candidate_independent/is_reference")));
    sm_audit_result_free(r);
    let_go(&h);
}

/* A long curve is stored thinned: ascending, with its ends, and no coarser than two parts in a
 * hundred. */
static void long_curves_are_thinned(void **state)
{
    (void)state;
    struct held h;
    draw_audit(&h, (size_t[]){0, 4000, 0, 4000}, .5, "{\"name\": \"a\", \"resamples\": 0}");
    struct sm_audit_result *r = evaluate(&h);
    const json_t *roc = at(sm_audit_result_json(r), "membership/candidate_external/roc");
    const json_t *points = at(roc, "points");
    size_t n = json_array_size(points);
    double before[2] = {0, 0};
    assert_true(n <= 512 && n > 300);
    assert_true(json_integer_value(at(roc, "points_total")) > 1000);
    assert_true(json_is_null(at(points, "0/2")));
    for (size_t i = 0; i < n; i++) {
        const json_t *point = json_array_get(points, i);
        double fpr = json_number_value(json_array_get(point, 0));
        double tpr = json_number_value(json_array_get(point, 1));
        assert_true(fpr >= before[0] && tpr >= before[1]);
        if (fpr - before[0] > .02 || tpr - before[1] > .02)
            fail_msg("point %zu of %zu: from %g, %g to %g, %g", i, n, before[0], before[1], fpr,
                     tpr);
        before[0] = fpr;
        before[1] = tpr;
    }
    assert_true(before[0] == 1 && before[1] == 1);
    assert_true(
        json_is_null(at(sm_audit_result_json(r), "membership/candidate_external/auc/bootstrap/0")));
    sm_audit_result_free(r);
    let_go(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_audit_with_an_effect_matches_scipy),
        cmocka_unit_test(ties_and_an_empty_cohort_match_scipy),
        cmocka_unit_test(a_bound_counts_scores_at_its_threshold),
        cmocka_unit_test(no_effect_bounds_nothing),
        cmocka_unit_test(no_image_at_all),
        cmocka_unit_test(one_image_a_cohort),
        cmocka_unit_test(all_scores_equal),
        cmocka_unit_test(scores_that_are_no_numbers_are_failures),
        cmocka_unit_test(damaged_images_are_flagged),
        cmocka_unit_test(scores_of_two_versions_are_flagged),
        cmocka_unit_test(images_in_two_cohorts_are_flagged),
        cmocka_unit_test(small_references_say_what_they_cannot),
        cmocka_unit_test(lists_begin_where_the_reference_allows),
        cmocka_unit_test(labels_have_their_rows),
        cmocka_unit_test(an_offset_and_few_views_are_flagged),
        cmocka_unit_test(stratified_errors_are_flagged),
        cmocka_unit_test(separated_cohorts_have_an_interval_with_width),
        cmocka_unit_test(a_constant_cohort_has_no_test),
        cmocka_unit_test(gates_read_the_summary),
        cmocka_unit_test(comparisons_at_the_limit),
        cmocka_unit_test(gates_follow_the_reference),
        cmocka_unit_test(long_curves_are_thinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
