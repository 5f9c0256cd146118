/* Pairs without g: no score m, the alignment of f as with g, norms against NumPy
 * (tests/golden/make_score.py), and documents that need g. */
#include "fixture.h"

static const char *const files[] = {"pair.json", "f.pt", "f0.safetensors", "f1.safetensors", NULL};

#define RESNET                                                                                     \
    "\"f\":[\"f.pt\"],\"mean\":[0.4914,0.4822,0.4465],\"std\":[0.247,0.243,0.261],\"encoder\":{"   \
    "\"input_px\":16}"
#define RESNET_RECIPE "\"recipe\":{\"augment\":\"simclr-cifar\",\"views\":5,\"seed\":7}"
#define VIT                                                                                        \
    "{\"f\":[\"f0.safetensors\",\"f1.safetensors\"],\"encoder\":{\"heads\":3},\"recipe\":{"        \
    "\"augment\":\"dino-global\",\"views\":18,\"seed\":\"18446744073709551615\"}}"

/* A folder with the encoders f of a golden pair, and `doc` as its pair.json. */
static void make(struct folder *f, const char *doc)
{
    folder_open(f);
    folder_link(f, "f.pt", GOLDEN "/resnet/f.pt");
    folder_link(f, "f0.safetensors", GOLDEN "/vit/f0.safetensors");
    folder_link(f, "f1.safetensors", GOLDEN "/vit/f1.safetensors");
    folder_text(f, "pair.json", doc);
}

static struct sm_score score_of(const struct sm_pair *pair, const char *recipe, const char *image)
{
    struct sm_scorer *scorer;
    struct sm_err err = {0};
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_recipe changed = recipe_of(pair, recipe);
    struct sm_score score = score_with(scorer, &changed, image);
    sm_scorer_free(scorer);
    return score;
}

static void check_norms(const struct sm_score *score, const json_t *want)
{
    static const char *const names[SM_NORMS] = {"norm_1", "norm_2", "norm_max"};
    for (int n = 0; n < SM_NORMS; n++) {
        double expected = json_number_value(json_object_get(want, names[n]));
        if (!(fabs(score->norms[n] - expected) <= 1e-6 * expected))
            fail_msg("%s is %.9g, must be %.9g", names[n], score->norms[n], expected);
    }
}

/* The recipe decides what is compared, never what the norms are of. */
static void check_image(const struct sm_pair *alone, const struct sm_pair *whole,
                        const json_t *want)
{
    static const char *const recipes[] = {
        "{}", "{\"compare\":\"anchor\"}", "{\"representation\":\"pooled\",\"distance\":\"cosine\"}",
        "{\"representation\":\"block.0\",\"normalize\":\"none\"}"};
    const char *image = json_string_value(json_object_get(want, "image"));
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        struct sm_score s = score_of(alone, recipes[i], image);
        struct sm_score with_g = score_of(whole, recipes[i], image);
        check_norms(&s, want);
        assert_true(s.f.mean == with_g.f.mean && s.f.se == with_g.f.se);
        assert_int_equal(s.g.encoders_count, 0);
        assert_true(isnan(s.m) && isnan(s.m_se) && isnan(s.m_low) && isnan(s.m_high));
        assert_true(isnan(s.ratio) && isnan(s.g.mean) && !s.has_reference);
        assert_true(with_g.norms[SM_NORM_1] == 0); /* not measured */
    }
}

static void norms_match_numpy_and_f_is_as_with_g(void **state)
{
    (void)state;
    static const struct {
        const char *name, *whole, *doc;
    } pairs[] = {{"resnet", GOLDEN "/resnet", "{" RESNET "," RESNET_RECIPE "}"},
                 {"vit", GOLDEN "/vit", VIT}};
    json_t *cases = json_load_file(GOLDEN "/alone.json", 0, NULL), *want;
    size_t i, done = 0;
    for (int p = 0; p < 2; p++) {
        struct folder f;
        make(&f, pairs[p].doc);
        struct sm_pair *alone = open_pair(f.path), *whole = open_pair(pairs[p].whole);
        json_array_foreach(cases, i, want)
        {
            if (strcmp(json_string_value(json_object_get(want, "pair")), pairs[p].name) != 0)
                continue;
            check_image(alone, whole, want);
            done++;
        }
        sm_pair_close(alone);
        sm_pair_close(whole);
        folder_remove(&f, files);
    }
    assert_int_equal(done, 4);
    json_decref(cases);
}

static void documents_say_that_there_is_no_g(void **state)
{
    (void)state;
    struct folder f;
    make(&f, "{" RESNET "," RESNET_RECIPE "}");
    struct sm_pair *pair = open_pair(f.path);
    assert_false(sm_pair_has_g(pair));
    assert_null(sm_pair_encoder(pair, 'g', 0));
    json_t *described = sm_pair_json(pair);
    const json_t *flags = json_object_get(described, "flags");
    assert_int_equal(json_array_size(flags), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(flags, 0), "code")),
                        "g_missing");
    assert_int_equal(json_array_size(json_object_get(json_object_get(described, "encoders"), "g")),
                     0);

    struct sm_score score = score_of(pair, "{}", "wide.png");
    json_t *doc = sm_score_json(&score, pair);
    static const char *const null[] = {"m", "m_se", "m_low", "m_high", "ratio", "g", "reference"};
    for (size_t i = 0; i < sizeof null / sizeof *null; i++)
        assert_true(json_is_null(json_object_get(doc, null[i])));
    const json_t *outsider = json_object_get(doc, "outsider");
    assert_true(json_real_value(json_object_get(outsider, "one_minus_alignment")) ==
                1 - score.f.mean);
    assert_true(json_real_value(json_object_get(outsider, "norm_2")) == score.norms[SM_NORM_2]);
    json_decref(doc);
    json_decref(described);
    sm_pair_close(pair);
    folder_remove(&f, files);
}

static void what_needs_g_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *doc, *text, *pointer;
    } cases[] = {
        {"{" RESNET ",\"g\":[]," RESNET_RECIPE "}",
         "pair.json: g must be a list of 1 to 8 file names, has 0", "/g"},
        {"{" RESNET ",\"reference\":\"r\"," RESNET_RECIPE "}",
         "pair.json: \"reference\" holds scores m of images, and the pair has no g", "/reference"},
        {"{" RESNET ",\"allow_same\":true," RESNET_RECIPE "}",
         "pair.json: \"allow_same\" is about equal sides, and the pair has no g", "/allow_same"},
        {"{\"f\":[\"f.pt\"],\"encoder\":{\"f\":{\"input_px\":16},\"g\":{}}," RESNET_RECIPE "}",
         "pair.json: \"encoder\" has \"g\", and the pair has no g", "/encoder/g"},
        {"{" RESNET ",\"recipe\":{\"augment\":\"simclr-cifar\",\"target_se\":0.1}}",
         "pair.json: target_se is the standard error of m, and the pair has no g",
         "/recipe/target_se"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct folder f;
        struct sm_pair *pair;
        struct sm_err err = {0};
        make(&f, cases[i].doc);
        assert_fails(sm_pair_open(&pair, f.path, "blas", &err), SM_INVALID, cases[i].text,
                     cases[i].pointer);
        folder_remove(&f, files);
    }
}

/* A pair that gains a g is another pair. */
static void its_digest_differs(void **state)
{
    (void)state;
    struct folder f;
    make(&f, "{" RESNET "," RESNET_RECIPE "}");
    struct sm_pair *alone = open_pair(f.path), *whole = open_pair(GOLDEN "/resnet");
    assert_string_not_equal(sm_pair_digest(alone), sm_pair_digest(whole));
    sm_pair_close(alone);
    sm_pair_close(whole);
    folder_remove(&f, files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_match_numpy_and_f_is_as_with_g),
        cmocka_unit_test(documents_say_that_there_is_no_g),
        cmocka_unit_test(what_needs_g_is_refused),
        cmocka_unit_test(its_digest_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
