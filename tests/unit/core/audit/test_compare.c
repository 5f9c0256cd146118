/* Audits side by side, against SciPy (tests/golden/make_audit.py), and what is refused. */
#include "fixture.h"

static void load_two(struct held *a, struct held *b, json_t *vector)
{
    size_t count = json_array_size(at(vector, "cohorts"));
    *a = *b = (struct held){0};
    hold(a, count);
    hold(b, count);
    for (size_t i = 0; i < count; i++) {
        enum sm_cohort cohort;
        struct sm_err err = {0};
        const char *name = json_string_value(json_array_get(at(vector, "cohorts"), i));
        size_t back = count - 1 - i; /* the second audit has them in another order */
        assert_int_equal(sm_cohort_parse(&cohort, name, &err), SM_OK);
        set_item(&a->items[i], i, cohort, json_number_value(json_array_get(at(vector, "x"), i)));
        set_item(&b->items[back], i, cohort, json_number_value(json_array_get(at(vector, "y"), i)));
        b->items[back].index = (int64_t)back;
    }
}

static json_t *compare(const struct held *a, const struct held *b, size_t points)
{
    json_t *out;
    struct sm_err err = {0};
    const struct sm_audit *audits[] = {&a->audit, &b->audit};
    if (sm_audit_compare(&out, audits, 2, points, &err) != SM_OK)
        fail_msg("compare: %s", err.text);
    return out;
}

static json_t *load_vector(void)
{
    json_error_t error;
    json_t *vector = json_load_file("tests/golden/audit/compare.json", 0, &error);
    if (!vector)
        fail_msg("compare.json: %s", error.text);
    return vector;
}

static void agreement_matches_scipy(void **state)
{
    (void)state;
    struct held a, b;
    json_t *vector = load_vector();
    load_two(&a, &b, vector);
    json_t *out = compare(&a, &b, 1000);
    assert_within(at(out, "pairs/0/agreement"), at(vector, "agreement"), "agreement");
    assert_int_equal(json_integer_value(at(out, "pairs/0/joint")), 160);
    assert_int_equal(json_array_size(at(out, "pairs/0/scatter")), 160);
    assert_true(json_number_value(at(out, "pairs/0/scatter/7/0")) ==
                json_number_value(at(vector, "x/7")));
    assert_true(json_number_value(at(out, "pairs/0/scatter/7/1")) ==
                json_number_value(at(vector, "y/7")));
    assert_string_equal(json_string_value(at(out, "pairs/0/scatter/7/2")), "external");
    json_decref(out);
    let_go(&a);
    let_go(&b);
    json_decref(vector);
}

static void images_are_joined_by_digest_and_cohort(void **state)
{
    (void)state;
    struct held a, b;
    json_t *vector = load_vector();
    load_two(&a, &b, vector);
    a.items[0].error_code = "image_corrupt";                      /* failed in one */
    memcpy(a.items[5].image_digest, a.items[1].image_digest, 65); /* twice in a cohort */
    a.items[2].cohort = SM_COHORT_EXTERNAL;                       /* of another cohort */
    a.items[3].image_digest[0] = '\0';                            /* unknown */
    json_t *out = compare(&a, &b, 10);
    assert_int_equal(json_integer_value(at(out, "pairs/0/joint")), 156);
    assert_int_equal(json_integer_value(at(out, "pairs/0/only_a")), 1);
    assert_int_equal(json_integer_value(at(out, "pairs/0/only_b")), 4);
    assert_int_equal(json_array_size(at(out, "pairs/0/scatter")), 10);
    json_decref(out);
    let_go(&a);
    let_go(&b);
    json_decref(vector);
}

static void three_audits_give_three_pairs(void **state)
{
    (void)state;
    struct held h;
    json_t *out;
    struct sm_err err = {0};
    draw_audit(&h, (size_t[]){0, 1, 0, 1}, 0, "{\"name\": \"a\"}");
    const struct sm_audit *audits[] = {&h.audit, &h.audit, &h.audit};
    assert_int_equal(sm_audit_compare(&out, audits, 3, 5, &err), SM_OK);
    assert_int_equal(json_array_size(at(out, "audits")), 3);
    assert_int_equal(json_array_size(at(out, "pairs")), 3);
    assert_int_equal(json_integer_value(at(out, "pairs/2/a")), 1);
    assert_int_equal(json_integer_value(at(out, "pairs/2/b")), 2);
    assert_true(json_is_null(at(out, "pairs/0/agreement/candidate/kendall/value")));
    assert_true(json_is_null(at(out, "pairs/0/agreement/shared/paired/difference")));
    assert_string_equal(json_string_value(at(out, "audits/0/pair")), "demo");
    json_decref(out);
    let_go(&h);
}

static void what_cannot_be_compared_is_refused(void **state)
{
    (void)state;
    struct held a, b;
    json_t *out;
    struct sm_err err = {0};
    draw_audit(&a, (size_t[]){0, 3, 0, 0}, 0, "{\"name\": \"a\"}");
    draw_audit(&b, (size_t[]){0, 0, 0, 3}, 0, "{\"name\": \"a\"}");
    const struct sm_audit *audits[] = {&a.audit, &b.audit};
    assert_int_equal(sm_audit_compare(&out, audits, 1, 5, &err), SM_INVALID);
    assert_string_equal(err.text, "1 audits to compare, must be 2 at least");
    assert_int_equal(sm_audit_compare(&out, audits, 2, 5, &err), SM_INVALID);
    assert_string_equal(err.text, "audits 0 and 1 have no scored image in common (3 and 3 scored)");
    assert_null(out);
    let_go(&a);
    let_go(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreement_matches_scipy),
        cmocka_unit_test(images_are_joined_by_digest_and_cohort),
        cmocka_unit_test(three_audits_give_three_pairs),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
