/* Recipes: defaults, partial documents, the pointer of every wrong field, one digest per meaning.
 */
#include "fixture.h"

#include "core/base/json.h"
#include "core/score/pair.h"

static struct sm_recipe parse(const char *text, const struct sm_recipe *base)
{
    struct sm_recipe recipe;
    struct sm_err err = {0};
    json_t *node = json(text);
    assert_ok(sm_recipe_parse(&recipe, node, base, 32, "", &err));
    json_decref(node);
    return recipe;
}

static void assert_digest_equal(const struct sm_recipe *a, const struct sm_recipe *b, bool equal)
{
    char of_a[65], of_b[65];
    struct sm_err err = {0};
    assert_ok(sm_recipe_digest(of_a, a, &err));
    assert_ok(sm_recipe_digest(of_b, b, &err));
    assert_int_equal(strlen(of_a), 64);
    assert_true((strcmp(of_a, of_b) == 0) == equal);
}

static void defaults_are_the_method(void **state)
{
    (void)state;
    struct sm_recipe r = parse("{\"augment\": \"identity\"}", NULL);
    json_t *doc = sm_recipe_json(&r);
    char *text = sm_json_canonical(doc);
    assert_string_equal(text, "{\"augment\":[],\"compare\":\"pairs\",\"distance\":\"l2\","
                              "\"normalize\":\"vector\",\"orientation\":\"ignore\","
                              "\"representation\":\"tokens\",\"seed\":0,\"views\":10}");
    free(text);
    json_decref(doc);
}

static void every_field_is_read_and_written(void **state)
{
    (void)state;
    struct sm_recipe r = parse("{\"augment\":\"simclr-cifar\",\"views\":64,\"compare\":\"anchor\","
                               "\"representation\":\"block.11\",\"normalize\":\"token\","
                               "\"distance\":\"angular\",\"seed\":\"18446744073709551615\","
                               "\"orientation\":\"apply\"}",
                               NULL);
    assert_int_equal(r.views, 64);
    assert_int_equal(r.compare, SM_COMPARE_ANCHOR);
    assert_string_equal(r.representation, "block.11");
    assert_int_equal(r.normalize, SM_NORMALIZE_TOKEN);
    assert_int_equal(r.distance, SM_DISTANCE_ANGULAR);
    assert_true(r.seed == UINT64_MAX);
    assert_true(r.apply_orientation);
    assert_true(r.augment.count > 0);

    json_t *doc = sm_recipe_json(&r);
    assert_string_equal(json_string_value(json_object_get(doc, "seed")), "18446744073709551615");
    struct sm_recipe again;
    struct sm_err err = {0};
    assert_ok(sm_recipe_parse(&again, doc, NULL, 999, "", &err));
    assert_digest_equal(&again, &r, true);
    json_decref(doc);
}

static void fields_left_out_keep_the_base(void **state)
{
    (void)state;
    struct sm_recipe base = parse("{\"augment\":\"simclr-cifar\",\"views\":7,\"seed\":3,"
                                  "\"normalize\":\"none\",\"orientation\":\"apply\"}",
                                  NULL);
    struct sm_recipe r = parse("{\"seed\": 4}", &base), copy;
    struct sm_err err = {0};
    assert_int_equal(r.views, 7);
    assert_int_equal(r.normalize, SM_NORMALIZE_NONE);
    assert_true(r.apply_orientation && r.seed == 4);
    assert_memory_equal(&r.augment, &base.augment, sizeof r.augment);
    assert_ok(sm_recipe_parse(&copy, NULL, &base, 32, "", &err));
    assert_digest_equal(&copy, &base, true);
}

static void one_meaning_has_one_digest(void **state)
{
    (void)state;
    struct sm_recipe preset = parse("{\"augment\":\"simclr-cifar\"}", NULL);
    json_t *doc = json_pack("{s:o, s:s, s:i}", "augment", sm_augment_json(&preset.augment), "seed",
                            "0", "views", 10);
    struct sm_recipe spelled;
    struct sm_err err = {0};
    assert_ok(sm_recipe_parse(&spelled, doc, NULL, 32, "", &err));
    assert_digest_equal(&preset, &spelled, true);
    json_decref(doc);

    static const char *const others[] = {
        "{\"augment\":\"identity\"}",     "{\"views\":11}",
        "{\"compare\":\"anchor\"}",       "{\"representation\":\"cls\"}",
        "{\"normalize\":\"none\"}",       "{\"distance\":\"l1\"}",
        "{\"seed\":9223372036854775807}", "{\"seed\":\"9223372036854775808\"}",
        "{\"orientation\":\"apply\"}",    NULL};
    for (int i = 0; others[i]; i++) {
        struct sm_recipe other = parse(others[i], &preset);
        assert_digest_equal(&preset, &other, false);
    }
}

/* A target of 0 is none: not written, so the digest is that of before there were targets. */
static void a_target_is_its_own_recipe(void **state)
{
    (void)state;
    struct sm_recipe fixed = parse("{\"augment\":\"identity\"}", NULL);
    struct sm_recipe zero = parse("{\"augment\":\"identity\",\"target_se\":0}", NULL);
    struct sm_recipe target = parse("{\"target_se\":0.02}", &fixed);
    struct sm_recipe off = parse("{\"target_se\":0.0}", &target);
    assert_true(fixed.target_se == 0 && target.target_se == .02);
    assert_digest_equal(&fixed, &zero, true);
    assert_digest_equal(&fixed, &off, true);
    assert_digest_equal(&fixed, &target, false);

    struct sm_recipe integer = parse("{\"target_se\":2}", &fixed);
    struct sm_recipe real = parse("{\"target_se\":2.0}", &fixed);
    assert_digest_equal(&integer, &real, true);

    struct sm_recipe again;
    struct sm_err err = {0};
    json_t *doc = sm_recipe_json(&target);
    assert_true(json_real_value(json_object_get(doc, "target_se")) == .02);
    assert_ok(sm_recipe_parse(&again, doc, NULL, 32, "", &err));
    assert_digest_equal(&again, &target, true);
    json_decref(doc);
}

/* Independent draws are not written, so the digest is that of before there were others. */
static void strata_are_their_own_recipe(void **state)
{
    (void)state;
    struct sm_recipe plain = parse("{\"augment\":\"identity\"}", NULL);
    struct sm_recipe independent = parse("{\"draws\":\"independent\"}", &plain);
    struct sm_recipe stratified = parse("{\"draws\":\"stratified\"}", &plain);
    struct sm_recipe kept = parse("{\"views\":20}", &stratified);
    struct sm_recipe back = parse("{\"draws\":\"independent\"}", &stratified), again;
    assert_digest_equal(&plain, &independent, true);
    assert_digest_equal(&plain, &back, true);
    assert_digest_equal(&plain, &stratified, false);
    assert_int_equal(sm_recipe_strata(&plain), 0);
    assert_int_equal(sm_recipe_strata(&stratified), 10);
    assert_int_equal(sm_recipe_strata(&kept), 20);

    struct sm_err err = {0};
    json_t *doc = sm_recipe_json(&stratified);
    assert_string_equal(json_string_value(json_object_get(doc, "draws")), "stratified");
    assert_ok(sm_recipe_parse(&again, doc, NULL, 32, "", &err));
    assert_digest_equal(&again, &stratified, true);
    json_decref(doc);

    struct sm_recipe of_target = parse("{\"target_se\":0.5}", &plain);
    doc = sm_recipe_json(&plain);
    assert_ok(sm_recipe_parse(&again, doc, &stratified, 32, "", &err));
    assert_digest_equal(&again, &plain, true);
    assert_ok(sm_recipe_parse(&again, doc, &of_target, 32, "", &err));
    assert_digest_equal(&again, &plain, true);
    json_decref(doc);

    json_t *target = json("{\"target_se\":0.02}");
    assert_int_equal(sm_recipe_parse(&again, target, &stratified, 32, "/recipe", &err), SM_INVALID);
    assert_string_equal(err.pointer, "/recipe/draws");
    assert_string_equal(err.text,
                        "draws is \"stratified\" and target_se is 0.02: strata need a fixed "
                        "number of views; set target_se to 0 or draws to \"independent\"");
    json_decref(target);
}

#define REPRESENTATIONS                                                                            \
    "tokens, cls, mean, pooled, block.N, block.N.attn, block.N.mlp, block.N.attn.residual, "       \
    "stage.N"

static void taps_are_representations(void **state)
{
    (void)state;
    static const char *const names[] = {"tokens",       "cls",     "mean",
                                        "pooled",       "block.0", "block.11.attn",
                                        "block.11.mlp", "stage.3", "block.239.attn.residual"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[96];
        snprintf(text, sizeof text, "{\"augment\":\"identity\",\"representation\":\"%s\"}",
                 names[i]);
        struct sm_recipe recipe = parse(text, NULL);
        assert_string_equal(recipe.representation, names[i]);
    }
}

/* 8 GiB of floats are 2^31; the sizes are those of no test pair. */
static void representations_have_a_limit(void **state)
{
    (void)state;
    struct sm_err err = {0};
    assert_int_equal(parse("{\"augment\":\"identity\",\"views\":256}", NULL).views, 256);
    assert_ok(sm_check_reps(256, 2, 1024, 4096, &err));
    assert_fails(sm_check_reps(257, 2, 1024, 4096, &err), SM_INVALID,
                 "representations of 257 views by 2 encoders take 8.031 GiB, limit is 8 GiB: take "
                 "fewer views or a smaller representation",
                 "/views");
    assert_int_equal(sm_check_reps(257, 16, UINT32_MAX, UINT32_MAX, &err), SM_INVALID);
}

static void wrong_fields_are_pointed_at(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pointer, *error;
    } cases[] = {
        {"{\"augment\":\"identity\",\"views\":1}", "/recipe/views",
         "views is 1, must be from 2 to 256"},
        {"{\"augment\":\"identity\",\"views\":257}", "/recipe/views",
         "views is 257, must be from 2 to 256"},
        {"{\"augment\":\"identity\",\"views\":\"10\"}", "/recipe/views",
         "views is of type string, must be integer"},
        {"{\"augment\":\"identity\",\"target_se\":-0.1}", "/recipe/target_se",
         "target_se is -0.1, must be from 0 to 1e+09"},
        {"{\"augment\":\"identity\",\"target_se\":\"0.1\"}", "/recipe/target_se",
         "target_se is of type string, must be number"},
        {"{\"augment\":\"identity\",\"colour\":1}", "/recipe/colour",
         "field \"colour\" is unknown"},
        {"{\"augment\":\"identity\",\"compare\":\"all\"}", "/recipe/compare",
         "compare is \"all\", must be one of pairs, anchor"},
        {"{\"augment\":\"identity\",\"representation\":\"block.01\"}", "/recipe/representation",
         "representation is \"block.01\", must be one of " REPRESENTATIONS},
        {"{\"augment\":\"identity\",\"representation\":\"block.\"}", "/recipe/representation",
         "representation is \"block.\", must be one of " REPRESENTATIONS},
        {"{\"augment\":\"identity\",\"representation\":\"block.1.mlp.residual\"}",
         "/recipe/representation",
         "representation is \"block.1.mlp.residual\", must be one of " REPRESENTATIONS},
        {"{\"augment\":\"identity\",\"representation\":\"stage.1.attn\"}", "/recipe/representation",
         "representation is \"stage.1.attn\", must be one of " REPRESENTATIONS},
        {"{\"views\":3}", "/recipe/augment", "field \"augment\" is missing"},
        {"[]", "/recipe", "value is of type array, must be object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_recipe recipe;
        struct sm_err err;
        json_t *node = json(cases[i].text);
        assert_fails(sm_recipe_parse(&recipe, node, NULL, 32, "/recipe", &err), SM_INVALID,
                     cases[i].error, cases[i].pointer);
        assert_int_equal(recipe.views, 0);
        json_decref(node);
    }
}

static void ops_are_pointed_at(void **state)
{
    (void)state;
    struct sm_recipe recipe;
    struct sm_err err = {0};
    json_t *node = json("{\"augment\":[{\"op\":\"flip\",\"p\":0.5},{\"op\":\"flip\",\"p\":2}]}");
    assert_int_equal(sm_recipe_parse(&recipe, node, NULL, 32, "", &err), SM_INVALID);
    assert_string_equal(err.pointer, "/augment/1/p");
    json_decref(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_method),
        cmocka_unit_test(every_field_is_read_and_written),
        cmocka_unit_test(fields_left_out_keep_the_base),
        cmocka_unit_test(one_meaning_has_one_digest),
        cmocka_unit_test(a_target_is_its_own_recipe),
        cmocka_unit_test(strata_are_their_own_recipe),
        cmocka_unit_test(taps_are_representations),
        cmocka_unit_test(representations_have_a_limit),
        cmocka_unit_test(wrong_fields_are_pointed_at),
        cmocka_unit_test(ops_are_pointed_at),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
