/* Scores of two tiny pairs against PyTorch (tests/golden/make_score.py), and what must hold for any
 * pair. */
#include "fixture.h"

#include "core/base/sha256.h"
#include "core/score/pair.h"

#define SCORE_TOLERANCE 1e-5 /* times 1 + |expected|; measured: below 1e-6 */

static const char *const pair_names[] = {"resnet", "vit"};
static const char *const image_names[] = {"wide", "tall"};

/* ------------------------------------------------------------------------- against PyTorch --- */

static void check_view(const float *want, const struct sm_pair *pair, const struct sm_image *image,
                       const struct sm_augment *augment, const struct sm_stream_key *key)
{
    struct sm_err err = {0};
    size_t side = (size_t)sm_pair_input_px(pair), count = 3 * side * side;
    float *x = malloc(count * sizeof *x);
    assert_ok(sm_pair_render(x, pair, image, augment, key, NULL, &err));
    assert_memory_equal(x, want, count * sizeof *x);
    free(x);
}

static float *read_tensor(struct sm_ckpt *ckpt, const char *name, int64_t count)
{
    struct sm_err err = {0};
    const struct sm_tensor *tensor = sm_ckpt_find(ckpt, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->count, count);
    float *out = malloc((size_t)count * sizeof *out);
    assert_ok(sm_ckpt_read(ckpt, tensor, out, &err));
    return out;
}

static void check_views(const struct sm_pair *pair, const char *pair_name, const char *image_name)
{
    char path[128];
    uint8_t digest[SM_SHA256_BYTES];
    struct sm_err err = {0};
    struct sm_file file;
    struct sm_image image;
    struct sm_ckpt *ckpt;
    struct sm_augment eval;
    int32_t side = sm_pair_input_px(pair);
    const struct sm_recipe *recipe = sm_pair_recipe(pair);
    int64_t step = 3 * (int64_t)side * side;
    snprintf(path, sizeof path, "%s.png", image_name);
    map_golden(&file, path);
    sm_sha256(digest, file.bytes, file.bytes_count);
    assert_ok(sm_image_decode(&image, file.bytes, file.bytes_count, false, NULL, &err));
    snprintf(path, sizeof path, GOLDEN "/%s/%s.views.safetensors", pair_name, image_name);
    assert_ok(sm_ckpt_open(&ckpt, path, &err));
    float *views = read_tensor(ckpt, "views", recipe->views * step);
    float *anchor = read_tensor(ckpt, "anchor", step);
    struct sm_stream_key key = {recipe->seed, digest, 0};
    for (; key.view < (uint32_t)recipe->views; key.view++)
        check_view(views + key.view * step, pair, &image, &recipe->augment, &key);
    json_t *preset = json_string("eval");
    assert_ok(sm_augment_parse(&eval, preset, side, "", &err));
    check_view(anchor, pair, &image, &eval, &key);

    json_decref(preset);
    free(views);
    free(anchor);
    sm_ckpt_close(ckpt);
    sm_image_release(&image);
    sm_file_release(&file);
}

static void views_are_the_committed_ones(void **state)
{
    (void)state;
    for (int p = 0; p < 2; p++) {
        char dir[64];
        snprintf(dir, sizeof dir, GOLDEN "/%s", pair_names[p]);
        struct sm_pair *pair = open_pair(dir);
        for (int i = 0; i < 2; i++)
            check_views(pair, pair_names[p], image_names[i]);
        sm_pair_close(pair);
    }
}

static double check_number(const json_t *want, const char *name, double got)
{
    double expected = json_number_value(json_object_get(want, name));
    double error = fabs(got - expected) / (1 + fabs(expected));
    if (!(error <= SCORE_TOLERANCE)) {
        char *text = json_dumps(want, 0);
        fail_msg("%s is %.9g, must be %.9g: %s", name, got, expected, text);
    }
    return error;
}

static double check_score(const json_t *want, struct sm_scorer *scorer, const struct sm_pair *pair)
{
    char *text = json_dumps(json_object_get(want, "recipe"), 0);
    struct sm_recipe recipe = recipe_of(pair, text);
    struct sm_score s =
        score_with(scorer, &recipe, json_string_value(json_object_get(want, "image")));
    const struct {
        const char *name;
        double got;
    } numbers[] = {{"a_f", s.f.mean},
                   {"se_f", s.f.se},
                   {"a_g", s.g.mean},
                   {"se_g", s.g.se},
                   {"m", s.m},
                   {"m_se", s.m_se},
                   {"ratio", s.ratio},
                   {"half", s.m - s.m_low},
                   {"half", s.m_high - s.m}};
    double worst = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        worst = fmax(worst, check_number(want, numbers[i].name, numbers[i].got));
    free(text);
    return worst;
}

static void scores_match_pytorch(void **state)
{
    (void)state;
    json_t *cases = json_load_file(GOLDEN "/expected.json", 0, NULL), *want;
    assert_non_null(cases);
    double worst = 0;
    size_t i, done = 0;
    for (int p = 0; p < 2; p++) {
        char dir[64];
        struct sm_err err = {0};
        struct sm_scorer *scorer;
        snprintf(dir, sizeof dir, GOLDEN "/%s", pair_names[p]);
        struct sm_pair *pair = open_pair(dir);
        assert_ok(sm_scorer_new(&scorer, pair, &err));
        json_array_foreach(cases, i, want)
        {
            if (strcmp(json_string_value(json_object_get(want, "pair")), pair_names[p]) != 0)
                continue;
            worst = fmax(worst, check_score(want, scorer, pair));
            done++;
        }
        sm_scorer_free(scorer);
        sm_pair_close(pair);
    }
    assert_int_equal(done, json_array_size(cases));
    print_message("%zu scores, worst error %.2g\n", done, worst);
    json_decref(cases);
}

/* ------------------------------------------------------------------------------ properties --- */

/* A pair folder with the golden ViTs under any names: `doc` is its pair.json. */
static struct sm_pair *vit_pair(struct folder *f, const char *doc, const char *kernels)
{
    struct sm_pair *pair;
    struct sm_err err = {0};
    folder_open(f);
    folder_text(f, "pair.json", doc);
    folder_link(f, "a", GOLDEN "/vit/f0.safetensors");
    folder_link(f, "b", GOLDEN "/vit/g0.safetensors");
    assert_ok(sm_pair_open(&pair, f->path, kernels, &err));
    return pair;
}

static void vit_pair_remove(struct folder *f, struct sm_pair *pair)
{
    sm_pair_close(pair);
    folder_remove(f, (const char *const[]){"pair.json", "a", "b", "reference.json", NULL});
}

#define VIT_REST "\"encoder\":{\"heads\":3},\"recipe\":{\"augment\":\"simclr-cifar\",\"views\":4}"

static struct sm_score score_vit_by(const char *kernels, const char *doc, const char *recipe_text)
{
    struct folder f;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_pair *pair = vit_pair(&f, doc, kernels);
    struct sm_recipe recipe = recipe_of(pair, recipe_text);
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score score = score_with(scorer, &recipe, "wide.png");
    sm_scorer_free(scorer);
    vit_pair_remove(&f, pair);
    return score;
}

static struct sm_score score_vit(const char *doc, const char *recipe_text)
{
    return score_vit_by("blas", doc, recipe_text);
}

static const char *const comparisons[] = {"{\"compare\":\"pairs\"}", "{\"compare\":\"anchor\"}"};

static void equal_sides_score_zero(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sm_score s = score_vit(
            "{\"f\":[\"a\"],\"g\":[\"a\"],\"allow_same\":true," VIT_REST "}", comparisons[i]);
        assert_true(s.m == 0 && s.m_se == 0 && s.ratio == 0);
        assert_true(isnan(s.m_low) && isnan(s.m_high)); /* nothing varies: no interval of width 0 */
        assert_true(s.f.mean > 0 && s.f.se > 0);
    }
}

static void swapped_sides_flip_the_sign(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sm_score s = score_vit("{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}", comparisons[i]);
        struct sm_score t = score_vit("{\"f\":[\"b\"],\"g\":[\"a\"]," VIT_REST "}", comparisons[i]);
        assert_true(s.m != 0 && s.m == -t.m && s.ratio == -t.ratio && s.m_se == t.m_se);
        assert_true(s.f.mean == t.g.mean && s.f.se == t.g.se);
        assert_string_not_equal(s.pair_digest, t.pair_digest);
    }
}

static void identical_encoders_count_as_one(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sm_score s = score_vit("{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}", comparisons[i]);
        struct sm_score t = score_vit(
            "{\"f\":[\"a\",\"a\",\"a\"],\"g\":[\"b\",\"b\"]," VIT_REST "}", comparisons[i]);
        assert_true(s.m == t.m && s.m_se == t.m_se && s.ratio == t.ratio && s.f.se == t.f.se);
        assert_true(t.f.encoders_count == 3 && t.f.sd_encoders == 0);
        assert_true(t.f.per_encoder[2] == s.f.mean);
    }
}

static void encoders_that_differ_add_their_spread(void **state)
{
    (void)state;
    struct sm_score s =
        score_vit("{\"f\":[\"a\",\"b\"],\"g\":[\"b\"],\"allow_same\":true," VIT_REST "}", "{}");
    double a = s.f.per_encoder[0], b = s.f.per_encoder[1];
    assert_float_equal(s.f.mean, (a + b) / 2, 1e-15);
    assert_float_equal(s.f.sd_encoders, fabs(a - b) / sqrt(2), 1e-15);
    assert_true(s.m_se > s.f.sd_encoders / sqrt(2));
}

/* Without chance every view is the same: both alignments are 0, and 0/0 is 0. sgemm of some
 * processors rounds a row by its place in the product, so its row of kernels comes close only: an
 * error of 1e-7 of each element is one of some 1e-7 between unit vectors. */
static void equal_views_score_zero(void **state)
{
    (void)state;
    const char *doc = "{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}";
    struct sm_score s = score_vit_by("ref", doc, "{\"augment\":\"eval\"}");
    assert_true(s.f.mean == 0 && s.g.mean == 0 && s.m == 0 && s.m_se == 0 && s.ratio == 0);
    s = score_vit(doc, "{\"augment\":\"eval\"}");
    assert_true(s.f.mean < 2e-6 && s.g.mean < 2e-6 && fabs(s.ratio) <= 1);
}

/* Two and three distances do not tell the bias of their error. */
static void few_views_have_no_error_of_pairs(void **state)
{
    (void)state;
    const char *doc = "{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}";
    for (int views = 2; views < 4; views++) {
        struct sm_score s = score_vit(doc, views == 2 ? "{\"views\":2}" : "{\"views\":3}");
        assert_true(isfinite(s.m) && isnan(s.m_se) && isnan(s.f.se));
        assert_true(isnan(s.m_low) && isnan(s.m_high));
    }
    struct sm_score s = score_vit(doc, "{\"views\":4}");
    assert_true(s.m_se > 0 && s.f.se > 0 && s.m_low < s.m && s.m < s.m_high);
    s = score_vit(doc, "{\"views\":2,\"compare\":\"anchor\"}");
    assert_true(s.m_se > 0);
    /* Student's t with one degree of freedom: 12.7 */
    assert_float_equal(s.m_high - s.m, 12.706204736174698 * s.m_se, 1e-9);
    assert_float_equal(s.m - s.m_low, 12.706204736174698 * s.m_se, 1e-9);
}

/* With two encoders on each side the interval knows that two are few: its degrees of freedom are
 * near those of the parts that weigh most. */
static void few_encoders_widen_the_interval(void **state)
{
    (void)state;
    struct sm_score s =
        score_vit("{\"f\":[\"a\",\"b\"],\"g\":[\"b\"],\"allow_same\":true," VIT_REST "}", "{}");
    double half = (s.m_high - s.m_low) / 2;
    assert_true(half > 3 * s.m_se && half < 13 * s.m_se);
}

static void assert_same_numbers(const struct sm_score *a, const struct sm_score *b)
{
    assert_memory_equal(&a->m, &b->m, sizeof a->m);
    assert_memory_equal(&a->m_se, &b->m_se, sizeof a->m_se);
    assert_memory_equal(&a->f.mean, &b->f.mean, sizeof a->f.mean);
    assert_memory_equal(&a->g.se, &b->g.se, sizeof a->g.se);
    assert_string_equal(a->score_key, b->score_key);
}

/* Alone with a new scorer, or after other images and recipes with one of two old ones: the same
 * bits. */
static void same_bits_in_any_order(void **state)
{
    (void)state;
    static const char *const recipes[] = {"{}", "{\"representation\":\"block.0\"}",
                                          "{\"compare\":\"anchor\"}", "{\"views\":33}"};
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    struct sm_score alone[2][4];
    struct sm_scorer *old[2], *fresh;
    struct sm_err err = {0};
    const char *images[] = {"wide.png", "tall.png"};

    for (int i = 0; i < 2; i++) {
        for (int r = 0; r < 4; r++) {
            struct sm_recipe recipe = recipe_of(pair, recipes[r]);
            assert_ok(sm_scorer_new(&fresh, pair, &err));
            alone[i][r] = score_with(fresh, &recipe, images[i]);
            sm_scorer_free(fresh);
        }
    }
    assert_true(alone[0][0].m != alone[1][0].m);
    assert_ok(sm_scorer_new(&old[0], pair, &err));
    assert_ok(sm_scorer_new(&old[1], pair, &err));
    for (int n = 0; n < 16; n++) {
        int i = n % 2, r = (n + n / 8) % 4;
        struct sm_recipe recipe = recipe_of(pair, recipes[r]);
        struct sm_score score = score_with(old[n / 3 % 2], &recipe, images[i]);
        assert_same_numbers(&score, &alone[i][r]);
    }
    sm_scorer_free(old[0]);
    sm_scorer_free(old[1]);
    sm_pair_close(pair);
}

static void the_key_is_the_ingredients(void **state)
{
    (void)state;
    struct sm_err err = {0};
    char key[65], other[65], recipe[65] = "aa", image[65] = "bb";
    struct sm_pair *vit = open_pair(GOLDEN "/vit"), *again = open_pair("./" GOLDEN "/vit/");
    struct sm_pair *resnet = open_pair(GOLDEN "/resnet"), *ref;
    assert_ok(sm_pair_open(&ref, GOLDEN "/vit", "ref", &err));
    const char *stb = sm_image_decoder("image/png"), *turbo = sm_image_decoder("image/jpeg");
    assert_ok(sm_score_key(key, vit, recipe, image, stb, &err));
    assert_int_equal(strlen(key), 64);
    assert_ok(sm_score_key(other, again, recipe, image, stb, &err));
    assert_string_equal(key, other);
    assert_ok(sm_score_key(other, vit, recipe, "bc", stb, &err));
    assert_string_not_equal(key, other);
    assert_ok(sm_score_key(other, vit, "ab", image, stb, &err));
    assert_string_not_equal(key, other);
    assert_ok(sm_score_key(other, resnet, recipe, image, stb, &err));
    assert_string_not_equal(key, other);
    assert_ok(sm_score_key(other, ref, recipe, image, stb, &err));
    assert_string_not_equal(key, other);
    assert_ok(sm_score_key(other, vit, recipe, image, turbo, &err));
    assert_string_not_equal(key, other);
    sm_pair_close(vit);
    sm_pair_close(again);
    sm_pair_close(resnet);
    sm_pair_close(ref);
}

static void bad_images_and_sizes_are_refused(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_score score;
    struct sm_file file;
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    assert_int_equal(sm_score_image(&score, scorer, sm_pair_recipe(pair), "not an image", 12, &err),
                     SM_UNSUPPORTED);
    assert_true(score.score_key[0] == '\0');
    struct sm_recipe recipe = recipe_of(pair, "{\"augment\":\"identity\"}");
    map_golden(&file, "wide.png");
    assert_fails(sm_score_image(&score, scorer, &recipe, file.bytes, file.bytes_count, &err),
                 SM_INVALID, "views end at 40x30 px, the encoders take 16x16 px", "/augment");
    sm_file_release(&file);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
}

/* The golden ViT with one weight of `name` made infinite. */
static void write_broken(const char *path, const char *name)
{
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    struct sm_tensor_out out[64];
    float *data[64];
    assert_ok(sm_ckpt_open(&ckpt, GOLDEN "/vit/f0.safetensors", &err));
    size_t count = sm_ckpt_count(ckpt);
    assert_in_range(count, 1, 64);
    for (size_t i = 0; i < count; i++) {
        const struct sm_tensor *t = sm_ckpt_at(ckpt, i);
        data[i] = read_tensor(ckpt, t->name, t->count);
        if (strcmp(t->name, name) == 0)
            data[i][0] = INFINITY;
        out[i] = (struct sm_tensor_out){.name = t->name, .rank = t->rank, .data = data[i]};
        memcpy(out[i].shape, t->shape, sizeof out[i].shape);
    }
    assert_ok(sm_safetensors_write(path, out, count, &err));
    for (size_t i = 0; i < count; i++)
        free(data[i]);
    sm_ckpt_close(ckpt);
}

static void infinite_outputs_name_the_encoder(void **state)
{
    (void)state;
    char path[128];
    struct folder f;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_score score;
    struct sm_file file;
    struct sm_pair *pair;
    folder_open(&f);
    folder_text(&f, "pair.json", "{\"f\":[\"a\"],\"g\":[\"broken\"]," VIT_REST "}");
    folder_link(&f, "a", GOLDEN "/vit/f0.safetensors");
    folder_path(path, sizeof path, &f, "broken");
    write_broken(path, "norm.bias");
    pair = open_pair(f.path);
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    map_golden(&file, "wide.png");
    assert_fails(
        sm_score_image(&score, scorer, sm_pair_recipe(pair), file.bytes, file.bytes_count, &err),
        SM_UNSUPPORTED, "broken: output for this image is not finite", "");
    assert_true(score.score_key[0] == '\0');
    sm_file_release(&file);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    folder_remove(&f, (const char *const[]){"pair.json", "a", "broken", NULL});
}

/* ------------------------------------------------------------------------------- reference --- */

static void reference_by_hand(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    const char *doc = "{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}";
    const char *with =
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"reference\":\"reference.json\"," VIT_REST "}";
    struct sm_score s = score_vit(doc, "{}");
    assert_false(s.has_reference);

    struct sm_pair *pair = vit_pair(&f, doc, "blas");
    struct sm_reference_image m[4];
    for (int i = 0; i < 4; i++) {
        m[i].m = s.m + (double[]){.5, 0, -1, -.5}[i];
        m[i].m_se = .25;
        sm_sha256_hex(m[i].digest, &i, sizeof i);
    }
    assert_ok(sm_reference_write(pair, "external", s.recipe_digest, m, 4, &err));
    sm_pair_close(pair);
    folder_text(&f, "pair.json", with);
    pair = open_pair(f.path);
    assert_string_not_equal(sm_pair_digest(pair), s.pair_digest);
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score r = score_with(scorer, sm_pair_recipe(pair), "wide.png");
    assert_true(r.has_reference && r.m == s.m);
    assert_float_equal(r.centered, .25, 1e-12);    /* mean of m: s.m - .25 */
    assert_float_equal(r.percentile, 62.5, 1e-12); /* two below and one tie of four */
    assert_float_equal(r.p_value, .6, 1e-12);      /* (1 + 2)/(4 + 1) */
    assert_true(r.in_reference == SM_IN_REFERENCE_NO && r.reference_n == 4);

    json_t *node = sm_score_json(&r, pair), *reference = json_object_get(node, "reference");
    assert_string_equal(json_string_value(json_object_get(reference, "cohort")), "external");
    assert_int_equal(json_integer_value(json_object_get(reference, "n")), 4);
    assert_true(json_is_false(json_object_get(reference, "in_reference")));
    assert_null(json_object_get(node, "reference_note"));
    /* 1 - .25^2/var, the variance of .5, 0, -1, -.5 being 1.25/3 */
    assert_float_equal(json_number_value(json_object_get(node, "reliability_of_reference")),
                       1 - .0625 * 3 / 1.25, 1e-12);
    json_decref(node);
    node = sm_pair_json(pair);
    assert_float_equal(
        json_number_value(json_object_get(json_object_get(node, "reference"), "reliability")),
        1 - .0625 * 3 / 1.25, 1e-12);
    json_decref(node);

    struct sm_recipe recipe = recipe_of(pair, "{\"seed\":1}");
    r = score_with(scorer, &recipe, "wide.png");
    assert_false(r.has_reference);
    char note[240];
    snprintf(note, sizeof note, "reference was measured with recipe %s, this score with %s",
             s.recipe_digest, r.recipe_digest);
    node = sm_score_json(&r, pair);
    assert_true(json_is_null(json_object_get(node, "reference")));
    assert_string_equal(json_string_value(json_object_get(node, "reference_note")), note);
    json_decref(node);
    sm_scorer_free(scorer);
    vit_pair_remove(&f, pair);
}

static struct sm_score score_beside(json_t **document, struct folder *f, const char *reference)
{
    const char *doc = "{\"f\":[\"a\"],\"g\":[\"b\"],\"reference\":\"reference.json\"," VIT_REST "}";
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    if (reference)
        folder_text(f, "reference.json", reference);
    folder_text(f, "pair.json", doc);
    struct sm_pair *pair = open_pair(f->path);
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score s = score_with(scorer, sm_pair_recipe(pair), "wide.png");
    *document = sm_score_json(&s, pair);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return s;
}

static void an_image_of_the_reference_is_compared_with_the_others(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    json_t *node;
    struct sm_pair *pair = vit_pair(&f, "{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}", "blas");
    struct sm_score s = score_vit("{\"f\":[\"a\"],\"g\":[\"b\"]," VIT_REST "}", "{}");
    /* Its own score there may differ in its last bits: other kernels. */
    struct sm_reference_image m[4];
    for (int i = 0; i < 4; i++) {
        m[i].m = s.m + (double[]){.5, 1e-9, -1, -.5}[i];
        m[i].m_se = i == 2 ? NAN : .25;
        sm_sha256_hex(m[i].digest, &i, sizeof i);
    }
    memcpy(m[1].digest, s.image_digest, sizeof m[1].digest);
    assert_ok(sm_reference_write(pair, "external", s.recipe_digest, m, 4, &err));

    struct sm_score r = score_beside(&node, &f, NULL);
    json_t *reference = json_object_get(node, "reference");
    assert_true(r.in_reference == SM_IN_REFERENCE_YES && r.reference_n == 3);
    assert_float_equal(r.percentile, 200. / 3, 1e-12); /* two of three */
    assert_float_equal(r.p_value, .5, 1e-12);          /* (1 + 1)/(3 + 1) */
    assert_float_equal(r.centered, .25 - 2.5e-10, 1e-14);
    assert_int_equal(json_integer_value(json_object_get(reference, "n")), 3);
    assert_true(json_is_true(json_object_get(reference, "in_reference")));
    assert_null(json_object_get(node, "reference_note"));
    /* Of the three scores that have a standard error. */
    assert_float_equal(json_number_value(json_object_get(node, "reliability_of_reference")),
                       1 - .0625 / .25, 1e-6);
    json_decref(node);

    /* Alone in it, there is nothing to compare with. */
    assert_ok(sm_reference_write(pair, "external", s.recipe_digest, &m[1], 1, &err));
    r = score_beside(&node, &f, NULL);
    reference = json_object_get(node, "reference");
    assert_true(r.reference_n == 0 && isnan(r.percentile) && isnan(r.p_value));
    assert_true(json_is_null(json_object_get(reference, "p_value")));
    assert_true(json_is_null(json_object_get(node, "reliability_of_reference")));
    json_decref(node);

    /* A file of an earlier version lists no images: the answer says that it cannot know. */
    char text[600];
    snprintf(
        text, sizeof text,
        "{\"cohort\":\"external\",\"recipe\":\"%s\",\"encoders\":{\"f\":[\"%s\"],\"g\":[\"%s\"]},"
        "\"scores\":[%.17g,0]}",
        s.recipe_digest, pair->sides[SM_SIDE_F].members[0].digest,
        pair->sides[SM_SIDE_G].members[0].digest, s.m);
    r = score_beside(&node, &f, text);
    assert_true(r.has_reference && r.in_reference == SM_IN_REFERENCE_UNKNOWN && r.reference_n == 2);
    assert_true(json_is_null(json_object_get(json_object_get(node, "reference"), "in_reference")));
    assert_non_null(strstr(json_string_value(json_object_get(node, "reference_note")),
                           "the reference lists no images"));
    assert_true(json_is_null(json_object_get(node, "reliability_of_reference")));
    json_decref(node);
    vit_pair_remove(&f, pair);
}

static void score_document_is_complete(void **state)
{
    (void)state;
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    struct sm_pair *pair = open_pair(GOLDEN "/vit");
    struct sm_recipe recipe = recipe_of(pair, "{\"views\":2}");
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score s = score_with(scorer, &recipe, "wide.png");
    json_t *doc = sm_score_json(&s, pair);
    const char *method, *name, *digest, *note, *key, *file, *library;
    int width, height, is_oriented;
    json_t *m_se, *f_encoders, *recipe_out;
    assert_int_equal(json_unpack(doc, "{s:s, s:s, s:{s:s, s:i, s:i, s:b}, s:o, s:{s:o}, s:s}",
                                 "method", &method, "pair", &name, "image", "digest", &digest,
                                 "width_px", &width, "height_px", &height, "oriented", &is_oriented,
                                 "m_se", &m_se, "f", "encoders", &f_encoders, "reference_note",
                                 &note),
                     0);
    assert_int_equal(json_unpack(doc, "{s:o, s:{s:s, s:s, s:{s:[{s:s}]}}}", "recipe", &recipe_out,
                                 "provenance", "key", &key, "library", &library, "encoders", "g",
                                 "file", &file),
                     0);
    json_t *want = sm_recipe_json(&recipe);
    assert_true(json_equal(recipe_out, want));
    json_decref(want);
    assert_int_equal(json_array_size(f_encoders), 2);
    assert_true(json_is_null(m_se)); /* two views: no standard error */
    assert_true(json_is_null(json_object_get(doc, "m_low")));
    assert_true(json_is_null(json_object_get(doc, "m_high")));
    assert_string_equal(method, "sslmem/2");
    assert_string_equal(name, "vit");
    assert_string_equal(digest, s.image_digest);
    assert_true(width == 40 && height == 30 && !is_oriented);
    assert_string_equal(note, "pair has no reference cohort");
    assert_string_equal(key, s.score_key);
    assert_string_equal(file, "g0.safetensors");
    assert_string_equal(library, "0.1.0");
    json_decref(doc);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
}

int main(void)
{
    sm_blas_single_thread();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_the_committed_ones),
        cmocka_unit_test(scores_match_pytorch),
        cmocka_unit_test(equal_sides_score_zero),
        cmocka_unit_test(swapped_sides_flip_the_sign),
        cmocka_unit_test(identical_encoders_count_as_one),
        cmocka_unit_test(encoders_that_differ_add_their_spread),
        cmocka_unit_test(equal_views_score_zero),
        cmocka_unit_test(few_views_have_no_error_of_pairs),
        cmocka_unit_test(few_encoders_widen_the_interval),
        cmocka_unit_test(same_bits_in_any_order),
        cmocka_unit_test(the_key_is_the_ingredients),
        cmocka_unit_test(bad_images_and_sizes_are_refused),
        cmocka_unit_test(infinite_outputs_name_the_encoder),
        cmocka_unit_test(reference_by_hand),
        cmocka_unit_test(an_image_of_the_reference_is_compared_with_the_others),
        cmocka_unit_test(score_document_is_complete),
    };
    return cmocka_run_group_tests_name("score", tests, NULL, NULL);
}
