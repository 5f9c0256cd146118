/* Unlearnings: numbers against SciPy (tests/golden/make_unlearning.py), every row of the table of
 * verdicts, what is refused, and how often each verdict is right where the truth is known. */
#include "fixture.h"

#include "sslmem/unlearning.h"
#include "tests/unit/asserts.h"

static struct sm_err err;

/* Two audits of the same images, and what was made of them. */
struct two {
    struct held before, after;
    struct sm_unlearning *unlearning;
};

static void replace(json_t **node, struct sm_audit *audit, const json_t **member, json_t *by)
{
    (void)audit;
    json_decref(*node);
    *node = by;
    *member = by;
}

static json_t *pair_of(const char *f, const char *g)
{
    return json_pack("{s:s, s:s, s:{s:[{s:s, s:s}], s:[{s:s, s:s}]}}", "name", f, "digest", "aa",
                     "encoders", "f", "file", "f.pt", "digest", f, "g", "file", "g.pt", "digest",
                     g);
}

static void set_pair(struct held *h, const char *f, const char *g)
{
    replace(&h->pair, &h->audit, &h->audit.pair, pair_of(f, g));
}

static void add_flag(struct held *h)
{
    json_object_set_new(h->pair, "flags",
                        parse_json("[{\"code\": \"sides_same\", \"text\": \"…\"}]"));
}

static void open_two(struct two *t, size_t count)
{
    *t = (struct two){0};
    hold(&t->before, count);
    hold(&t->after, count);
    set_pair(&t->before, "f0", "g0");
    set_pair(&t->after, "u0", "g0");
    replace(&t->after.run, &t->after.audit, &t->after.audit.run, parse_json("{\"id\": \"02\"}"));
    t->before.spec.reference = t->after.spec.reference = SM_COHORT_EXTERNAL;
    snprintf(t->before.spec.name, sizeof t->before.spec.name, "before");
    snprintf(t->after.spec.name, sizeof t->after.spec.name, "after");
}

static void close_two(struct two *t)
{
    sm_unlearning_free(t->unlearning);
    let_go(&t->before);
    let_go(&t->after);
}

static void set_both(struct two *t, size_t i, enum sm_cohort cohort, double before, double after)
{
    set_item(&t->before.items[i], i, cohort, before);
    set_item(&t->after.items[i], i, cohort, after);
    t->after.items[i].g = t->before.items[i].g = 5; /* one g, of two audits */
}

/* `n` forget images with this mean before and this mean residual, and as many externals. */
static void draw_two(struct two *t, size_t n, double before, double left, uint32_t seed)
{
    open_two(t, 2 * n);
    for (size_t i = 0; i < 2 * n; i++) {
        uint32_t at = (uint32_t)(3 * i) + seed * 100000;
        double common = .6 * normal(at);
        enum sm_cohort cohort = i < n ? SM_COHORT_CANDIDATE : SM_COHORT_EXTERNAL;
        set_both(t, i, cohort, 3 + (i < n ? before : 0) + common + .8 * normal(at + 1),
                 1 + (i < n ? left : 0) + common + .8 * normal(at + 2));
    }
}

static enum sm_code make(struct two *t, const char *spec)
{
    struct sm_unlearning_spec parsed;
    json_t *node = parse_json(spec);
    assert_ok(sm_unlearning_spec_parse(&parsed, node, &err));
    json_decref(node);
    sm_unlearning_free(t->unlearning);
    return sm_unlearning_make(&t->unlearning, &t->before.audit, &t->after.audit, &parsed, &err);
}

static const char *verdict(const struct two *t)
{
    return sm_unlearning_verdict_name(sm_unlearning_verdict_of(t->unlearning));
}

static bool has_reason(const struct two *t, const char *code)
{
    size_t i;
    json_t *reason;
    json_array_foreach(at(sm_unlearning_json(t->unlearning), "reasons"), i, reason)
    {
        if (strcmp(json_string_value(at(reason, "code")), code) == 0)
            return true;
    }
    return false;
}

/* --- numbers --- */

static void set_group(struct two *t, size_t first, const json_t *values, enum sm_cohort cohort)
{
    for (size_t i = 0; i < json_array_size(at(values, "0")); i++)
        set_both(t, first + i, cohort, json_number_value(json_array_get(at(values, "1"), i)),
                 json_number_value(json_array_get(at(values, "0"), i)));
}

static void numbers_match_scipy(void **state)
{
    (void)state;
    json_error_t error;
    json_t *cases = json_load_file("tests/golden/audit/unlearning.json", 0, &error), *c;
    size_t k;
    assert_true(json_array_size(cases) == 6);
    json_array_foreach(cases, k, c)
    {
        struct two t;
        char spec[60] = "{}";
        size_t n = json_array_size(at(c, "forget/0"));
        open_two(&t, n + json_array_size(at(c, "external/0")));
        set_group(&t, 0, at(c, "forget"), SM_COHORT_CANDIDATE);
        set_group(&t, n, at(c, "external"), SM_COHORT_EXTERNAL);
        if (json_is_number(at(c, "delta")))
            snprintf(spec, sizeof spec, "{\"delta\": %g}", json_number_value(at(c, "delta")));
        assert_ok(make(&t, spec));
        assert_string_equal(verdict(&t), json_string_value(at(c, "verdict")));
        assert_within(sm_unlearning_json(t.unlearning), at(c, "want"), "");
        const json_t *reasons = at(sm_unlearning_json(t.unlearning), "reasons");
        assert_int_equal(json_array_size(reasons), json_array_size(at(c, "reasons")));
        for (size_t i = 0; i < json_array_size(reasons); i++)
            assert_string_equal(json_string_value(at(json_array_get(reasons, i), "code")),
                                json_string_value(json_array_get(at(c, "reasons"), i)));
        close_two(&t);
    }
    json_decref(cases);
}

/* --- verdicts --- */

static void u_as_g_has_forgotten(void **state)
{
    (void)state;
    struct two t;
    draw_two(&t, 20, .6, 0, 1); /* too few images to show anything by estimates */
    set_pair(&t.after, "g0", "g0");
    for (size_t i = 0; i < 40; i++)
        t.after.items[i].m = 0;
    assert_ok(make(&t, "{\"gates\": [\"equivalent>=1\", \"residual_auc_dev<=0.2\"]}"));
    assert_string_equal(verdict(&t), "forgotten");
    assert_true(has_reason(&t, "u_is_g"));
    assert_true(json_is_true(at(sm_unlearning_json(t.unlearning), "equivalence/shown")));
    assert_true(json_is_true(at(sm_unlearning_json(t.unlearning), "passed")));
    close_two(&t);
}

static void u_as_f_memorizes(void **state)
{
    (void)state;
    struct two t;
    draw_two(&t, 20, .6, 0, 2);
    for (size_t i = 0; i < 40; i++)
        t.after.items[i].m = t.before.items[i].m;
    assert_ok(make(&t, "{\"gates\": [\"equivalent>=1\"]}"));
    assert_string_equal(verdict(&t), "still_memorized");
    assert_true(has_reason(&t, "u_is_f"));
    assert_true(json_number_value(at(sm_unlearning_json(t.unlearning), "forgotten_share/value")) ==
                0);
    assert_true(json_is_false(at(sm_unlearning_json(t.unlearning), "passed")));
    set_pair(&t.after, "f0", "g0"); /* the same file on other kernels */
    t.after.items[3].m += 1e-9;
    assert_ok(make(&t, "{}"));
    assert_true(has_reason(&t, "u_is_f"));
    close_two(&t);
}

/* Everything that keeps `forgotten` away, one at a time, from a forgetting that is shown. */
static void what_is_not_measured_is_not_shown(void **state)
{
    (void)state;
    const char *spec = "{\"delta\": 0.6, \"gates\": [\"equivalent>=1\"]}";
    struct two t;
    draw_two(&t, 150, 1.2, 0, 3);
    assert_ok(make(&t, spec));
    assert_string_equal(verdict(&t), "forgotten");
    assert_true(json_is_true(at(sm_unlearning_json(t.unlearning), "passed")));

    t.before.audit.completeness.state = SM_COMPLETION_CANCELLED;
    t.before.audit.items_count = 290; /* the others were not tried, so AFTER has more */
    assert_ok(make(&t, spec));
    assert_int_equal(json_integer_value(at(sm_unlearning_json(t.unlearning), "externals/scored")),
                     140);
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(has_reason(&t, "part") && has_reason(&t, "equivalent"));
    assert_true(json_is_null(at(sm_unlearning_json(t.unlearning), "passed")));
    t.before.audit.completeness.state = SM_COMPLETION_COMPLETE;
    t.before.audit.items_count = 300;

    t.after.items[7].error_code = "image_corrupt";
    assert_ok(make(&t, spec));
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(has_reason(&t, "images_unscored"));
    assert_true(json_is_false(at(sm_unlearning_json(t.unlearning), "passed")));
    assert_int_equal(json_integer_value(at(sm_unlearning_json(t.unlearning), "forget/unscored")),
                     1);
    t.after.items[7].error_code = NULL;

    for (size_t i = 0; i < 150; i++)
        t.before.items[i].m -= 2; /* f treats forget images worse than externals */
    assert_ok(make(&t, spec));
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(has_reason(&t, "nothing_before"));
    assert_true(json_is_null(at(sm_unlearning_json(t.unlearning), "forgotten_share/value")));
    assert_string_equal(json_string_value(at(sm_unlearning_json(t.unlearning), "gates/0/note")),
                        "BEFORE shows no memorization, so the gate does not hold");
    for (size_t i = 0; i < 150; i++)
        t.before.items[i].m += .9; /* a mean before of .1: above 0, and not told from it */
    assert_ok(make(&t, spec));
    assert_true(has_reason(&t, "before_not_shown"));
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(json_is_null(at(sm_unlearning_json(t.unlearning), "forgotten_share/low")));
    close_two(&t);
}

static void equal_residuals_show_nothing(void **state)
{
    (void)state;
    struct two t;
    draw_two(&t, 40, 1.2, 0, 4);
    for (size_t i = 0; i < 80; i++)
        t.after.items[i].m = 0; /* an encoder that gives every image one representation */
    assert_ok(make(&t, "{\"gates\": [\"residual_auc_dev<=0.5\"]}"));
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(has_reason(&t, "residuals_equal"));
    assert_string_equal(json_string_value(at(sm_unlearning_json(t.unlearning), "gates/0/note")),
                        "the residuals do not differ, so the gate does not hold");
    close_two(&t);
}

static void few_externals_name_nobody(void **state)
{
    (void)state;
    struct two t;
    open_two(&t, 218);
    for (size_t i = 0; i < 218; i++) {
        uint32_t draw = (uint32_t)(2 * i) + 900000;
        bool forget = i < 200;
        set_both(&t, i, forget ? SM_COHORT_CANDIDATE : SM_COHORT_EXTERNAL,
                 (forget ? 5 : 0) + normal(draw), normal(draw + 1));
    }
    assert_ok(make(&t, "{\"delta\": 2}"));
    assert_true(json_is_true(at(sm_unlearning_json(t.unlearning), "equivalence/shown")));
    assert_string_equal(verdict(&t), "not_shown");
    assert_true(has_reason(&t, "externals_too_few"));
    close_two(&t);
}

/* --- refusals --- */

#define REFUSED(text) assert_fails(make(&t, "{}"), SM_INVALID, text, "")

static void audits_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct two t;
    draw_two(&t, 12, 1, 0, 5);
    replace(&t.after.run, &t.after.audit, &t.after.audit.run, parse_json("{\"id\": \"01\"}"));
    REFUSED("BEFORE and AFTER are the same audit (01): give that of f and that of u");
    replace(&t.after.run, &t.after.audit, &t.after.audit.run, parse_json("{\"id\": \"02\"}"));

    json_object_set_new(t.after.recipe, "views", json_integer(20));
    REFUSED("the recipes differ: views is 10 in BEFORE, 20 in AFTER; audit f and u with the same "
            "--recipe");
    json_object_del(t.after.recipe, "views");
    REFUSED("the recipes differ: views is 10 in BEFORE, missing in AFTER; audit f and u with the "
            "same --recipe");
    json_object_set_new(t.after.recipe, "views", json_integer(10));
    json_object_set_new(t.after.recipe, "new", json_true());
    REFUSED("the recipes differ: new is missing in BEFORE, true in AFTER; audit f and u with the "
            "same --recipe");
    json_object_del(t.after.recipe, "new");
    static const char crop[] = "[{\"op\": \"random_resized_crop\", \"scale\": [0.08, 1.0], "
                               "\"ratio\": [0.75, 1.33], \"size\": %d}, {\"op\": \"flip\"}]";
    for (int i = 0; i < 2; i++) { /* long values are shown from where they differ */
        char text[200];
        snprintf(text, sizeof text, crop, i ? 16 : 32);
        json_object_set_new(i ? t.after.recipe : t.before.recipe, "augment", parse_json(text));
    }
    REFUSED(
        "the recipes differ: augment is ...:[0.75,1.33],\"size\":32},{\"op\":\"flip\"}] in BEFORE, "
        "...:[0.75,1.33],\"size\":16},{\"op\":\"flip\"}] in AFTER; audit f and u with the same "
        "--recipe");
    json_object_del(t.before.recipe, "augment");
    json_object_del(t.after.recipe, "augment");

    t.after.spec.reference = SM_COHORT_INDEPENDENT;
    REFUSED("the reference is external in BEFORE, independent in AFTER; audit f and u with the "
            "same --reference");
    t.after.spec.reference = SM_COHORT_EXTERNAL;

    json_object_set_new(json_object_get(t.after.pair, "encoders"), "g", json_array());
    REFUSED("the pair of AFTER has no g: audit f and u against an encoder that never saw the "
            "forget images");
    set_pair(&t.after, "u0", "g1");
    REFUSED("g differs: BEFORE has 1 encoder, the first g0, AFTER 1, the first g1; audit f and u "
            "against the same g");
    json_object_del(t.after.pair, "encoders");
    REFUSED("g differs: BEFORE has 1 encoder, the first g0, AFTER 0, the first none; audit f and "
            "u against the same g");
    set_pair(&t.after, "u0", "g0");
    add_flag(&t.before);
    REFUSED("f and g of BEFORE hold the same weights (f0, g0): f has nothing to forget; give the "
            "audit of the encoder that saw the images");
    set_pair(&t.before, "f0", "g0");
    add_flag(&t.after); /* yet its scores are not all 0 */
    REFUSED("some encoders of u hold weights of g, and others do not (u has 1, g 1): what is left "
            "would be averaged away; audit u without those of g");
    set_pair(&t.after, "u0", "g0");
    assert_ok(make(&t, "{}"));
    close_two(&t);
}

static void images_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct two t;
    struct sm_audit_item kept;
    draw_two(&t, 12, 1, 0, 6);
    kept = t.after.items[3];
    set_item(&t.after.items[3], 500, SM_COHORT_CANDIDATE, 0);
    REFUSED("the forget images differ: BEFORE has 12, AFTER 12, and 11 are in both; audit f and u "
            "with the same images");
    t.after.items[3] = kept;
    t.after.audit.items_count = 23;
    REFUSED("the externals differ: BEFORE has 12, AFTER 11, and 11 are in both; audit f and u "
            "with the same images");
    t.after.audit.items_count = 24;
    memcpy(t.before.items[20].image_digest, t.before.items[2].image_digest, 65);
    memcpy(t.after.items[20].image_digest, t.after.items[2].image_digest, 65);
    REFUSED("1 of 12 forget images are among the 12 externals too; take them out of --external");
    set_both(&t, 20, SM_COHORT_EXTERNAL, 0, 0);

    t.after.items[5].g = 5.1;
    t.after.items[5].index = 5;
    REFUSED("g gives image 5 of AFTER the alignment 5.1, in BEFORE 5: g was not measured alike "
            "(mean and std, configuration, decoder); audit f and u with the same version and "
            "settings");
    t.after.items[5].g = NAN;
    assert_int_equal(make(&t, "{}"), SM_INVALID);
    t.after.items[5].g = 5;

    for (size_t i = 0; i < 12; i++)
        t.after.items[i].cohort = SM_COHORT_SHARED;
    REFUSED("there is nothing to forget: 12 candidates in BEFORE, 0 in AFTER; give the images to "
            "forget as --candidate of both audits");
    for (size_t i = 0; i < 12; i++)
        t.after.items[i].cohort = SM_COHORT_CANDIDATE;
    for (size_t i = 13; i < 24; i++)
        t.before.items[i].cohort = SM_COHORT_INDEPENDENT;
    REFUSED("1 externals in BEFORE, 12 in AFTER, must be 2 at least: audit f and u with "
            "--external, images that no encoder saw");
    close_two(&t);
}

static void wrong_specs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *pointer;
    } wrong[] = {{"{\"delta\": 0}", "/delta"},
                 {"{\"delta\": -1}", "/delta"},
                 {"{\"delta\": \"1\"}", "/delta"},
                 {"{\"gates\": [\"auc<=0.6\"]}", "/gates/0"},
                 {"{\"gates\": [\"equivalent\"]}", "/gates/0"},
                 {"{\"gates\": 3}", "/gates"},
                 {"{\"alpha\": 0.1}", "/alpha"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sm_unlearning_spec spec;
        json_t *node = parse_json(wrong[i].spec);
        err = (struct sm_err){0};
        assert_int_equal(sm_unlearning_spec_parse(&spec, node, &err), SM_INVALID);
        assert_string_equal(err.pointer, wrong[i].pointer);
        json_decref(node);
    }
}

/* --- documents --- */

/* Controls come before the verdict, which does not read them. */
static void the_page_begins_with_the_controls(void **state)
{
    (void)state;
    struct two t;
    char *text = NULL;
    size_t size;
    draw_two(&t, 60, 2, 2, 7);
    t.after.spec.controls = true;
    for (size_t i = 0; i < t.after.audit.items_count; i++) /* g tells the cohorts apart */
        t.before.items[i].g = t.after.items[i].g =
            t.after.items[i].cohort == SM_COHORT_CANDIDATE ? .6 + 1e-5 * (double)i : .7;
    assert_ok(make(&t, "{}"));
    FILE *file = open_memstream(&text, &size);
    assert_ok(sm_unlearning_write_html(file, t.unlearning, &err));
    fclose(file);
    const char *found = strstr(text, "The cohorts differ even for the encoder that saw neither");
    assert_true(found && found < strstr(text, "<h2 id=\"verdict\""));
    free(text);
    close_two(&t);
}

static void names_come_only_with_names(void **state)
{
    (void)state;
    struct two t;
    char *text = NULL;
    size_t size;
    draw_two(&t, 60, 2, 2, 7);
    t.before.items[4].name = t.after.items[4].name = "secret <b>.png";
    for (int with_names = 0; with_names < 2; with_names++) {
        t.after.audit.with_names = with_names;
        assert_ok(make(&t, "{\"gates\": [\"equivalent>=1\"]}"));
        assert_true(json_number_value(at(sm_unlearning_json(t.unlearning), "named/count")) > 20);
        for (int k = 0; k < 3; k++) {
            FILE *file = open_memstream(&text, &size);
            assert_ok((k == 0   ? sm_unlearning_write_json
                       : k == 1 ? sm_unlearning_write_csv
                                : sm_unlearning_write_html)(file, t.unlearning, &err));
            fclose(file);
            if (k < 2)
                assert_int_equal(strstr(text, "secret <b>.png") != NULL, with_names);
            else
                assert_null(strstr(text, "<b>.png")); /* it is escaped */
            if (!with_names)
                assert_null(strstr(text, "secret"));
            free(text);
        }
    }
    close_two(&t);
}

/* --- how often each verdict comes --- */

#define DRAWS 300

/* 200 images of each kind, a mean before of 1.2 standard deviations, a margin of a quarter of it.
 * Bounds are what normal tests of this size give, and four standard deviations of 300 draws. Where
 * the truth is at the margin, forgetting is shown in 5 % at most; where nothing is left, one of
 * twenty may be called memorized by its list, and one of forty by each interval. */
static void verdicts_are_right_in_the_long_run(void **state)
{
    (void)state;
    static const struct {
        double left; /* of 1.2 */
        int least[4], most[4];
    } truths[] = {
        {0, {0, 180, 0, 0}, {100, 300, 45, 40}}, {.25, {0, 0, 100, 0}, {200, 30, 290, 0}},
        {.6, {0, 0, 295, 0}, {5, 0, 300, 0}},    {1, {0, 0, 300, 0}, {0, 0, 300, 0}},
        {-.6, {0, 0, 0, 290}, {5, 0, 5, 300}},
    };
    for (size_t k = 0; k < sizeof truths / sizeof *truths; k++) {
        int found[4] = {0};
        for (uint32_t i = 0; i < DRAWS; i++) {
            struct two t;
            draw_two(&t, 200, 1.2, 1.2 * truths[k].left, 10 + i);
            assert_ok(make(&t, "{\"delta\": 0.3}"));
            found[sm_unlearning_verdict_of(t.unlearning)]++;
            close_two(&t);
        }
        print_message("left %.2f: not shown %d, forgotten %d, still memorized %d, overshot %d\n",
                      truths[k].left, found[0], found[1], found[2], found[3]);
        for (int v = 0; v < 4; v++)
            if (found[v] < truths[k].least[v] || found[v] > truths[k].most[v])
                fail_msg("%s in %d of %d draws with %g left, must be %d to %d",
                         sm_unlearning_verdict_name((enum sm_unlearning_verdict)v), found[v], DRAWS,
                         truths[k].left, truths[k].least[v], truths[k].most[v]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_match_scipy),
        cmocka_unit_test(u_as_g_has_forgotten),
        cmocka_unit_test(u_as_f_memorizes),
        cmocka_unit_test(what_is_not_measured_is_not_shown),
        cmocka_unit_test(equal_residuals_show_nothing),
        cmocka_unit_test(few_externals_name_nobody),
        cmocka_unit_test(audits_that_do_not_fit_are_refused),
        cmocka_unit_test(images_that_do_not_fit_are_refused),
        cmocka_unit_test(wrong_specs_are_refused),
        cmocka_unit_test(the_page_begins_with_the_controls),
        cmocka_unit_test(names_come_only_with_names),
        cmocka_unit_test(verdicts_are_right_in_the_long_run),
    };
    return cmocka_run_group_tests_name("unlearning", tests, NULL, NULL);
}
