/* Pairs: every way in which a folder can be wrong has its own answer; what is right is described.
 */
#include "fixture.h"

#include "core/base/sha256.h"
#include "sslmem/problems.h"

static const char *const files[] = {
    "pair.json", "a", "b", "r", "other", "junk", "copy", "a2.npz", "b2.pt", "reference.json", NULL};

/* a, b: ViT; other: a wider one; r: ResNet; junk: a cut checkpoint; "gone" is missing. */
static void setup(struct folder *f)
{
    struct sm_file file;
    struct sm_err err = {0};
    folder_open(f);
    folder_link(f, "a", GOLDEN "/vit/f0.safetensors");
    folder_link(f, "b", GOLDEN "/vit/g0.safetensors");
    folder_link(f, "r", GOLDEN "/resnet/f.pt");
    folder_link(f, "other", GOLDEN "/other.safetensors");
    assert_ok(sm_file_map(&file, GOLDEN "/vit/f1.safetensors", 1 << 20, &err));
    folder_write(f, "junk", file.bytes, file.bytes_count - 100);
    sm_file_release(&file);
}

static enum sm_code open_with(const struct folder *f, const char *doc, struct sm_err *err)
{
    struct sm_pair *pair;
    folder_text(f, "pair.json", doc);
    enum sm_code code = sm_pair_open(&pair, f->path, "blas", err);
    assert_true((code == SM_OK) == (pair != NULL));
    sm_pair_close(pair);
    return code;
}

#define REST "\"encoder\":{\"heads\":3},\"recipe\":{\"augment\":\"simclr-cifar\"}"

static void documents_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *doc, *pointer, *text;
    } cases[] = {
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"seed\":1," REST "}", "/seed",
         "pair.json: field \"seed\" is unknown"},
        {"{\"g\":[\"b\"]," REST "}", "/f", "pair.json: field \"f\" is missing"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"]}", "/recipe", "pair.json: field \"recipe\" is missing"},
        {"{\"f\":[],\"g\":[\"b\"]," REST "}", "/f",
         "pair.json: f must be a list of 1 to 8 file names, has 0"},
        {"{\"f\":[\"a\"],\"g\":[1,2,3,4,5,6,7,8,9]," REST "}", "/g",
         "pair.json: g must be a list of 1 to 8 file names, has 9"},
        {"{\"f\":[\"a\",\"../a\"],\"g\":[\"b\"]," REST "}", "/f/1",
         "pair.json: file name \"../a\" must be of the pair's folder: no separators, no leading "
         "dot"},
        {"{\"f\":[\"a\"],\"g\":[\".b\"]," REST "}", "/g/0",
         "pair.json: file name \".b\" must be of the pair's folder: no separators, no leading dot"},
        {"{\"f\":[\"\"],\"g\":[\"b\"]," REST "}", "/f/0",
         "pair.json: file name has 0 bytes, must be from 1 to 127"},
        {"{\"f\":[7],\"g\":[\"b\"]," REST "}", "/f/0", "pair.json: file name must be a string"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"std\":[1,0,1]," REST "}", "/std/1",
         "pair.json: std must be numbers from 0.001 to 1"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"mean\":[0.5]," REST "}", "/mean",
         "pair.json: mean must be a list of three numbers"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"reference\":\"x/y\"," REST "}", "/reference",
         "pair.json: file name \"x/y\" must be of the pair's folder: no separators, no leading "
         "dot"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"heads\":3},\"recipe\":{}}", "/recipe/augment",
         "pair.json: field \"augment\" is missing"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"heads\":3},\"recipe\":{\"augment\":"
         "\"simclr-cifar\",\"representation\":\"block.2\"}}",
         "/recipe/representation",
         "pair.json: representation \"block.2\" does not exist on a (vit, 2 blocks)"},
        {"{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"heads\":3},\"recipe\":{\"augment\":"
         "[{\"op\":\"center_crop\",\"size\":8},{\"op\":\"pad\",\"padding\":2}]}}",
         "/recipe/augment", "pair.json: views end at 12 px, the encoders take 16 px"},
    };
    struct folder f;
    struct sm_err err;
    setup(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(open_with(&f, cases[i].doc, &err), SM_INVALID, cases[i].text,
                     cases[i].pointer);
    folder_remove(&f, files);
}

static void files_are_named(void **state)
{
    (void)state;
    char text[240];
    struct folder f;
    struct sm_err err = {0};
    struct sm_pair *pair;
    setup(&f);
    snprintf(text, sizeof text,
             "%s/pair.json: No such file or directory; the folder holds a, b, junk, other, r; "
             "sslmem pair create makes it",
             f.path);
    assert_fails(sm_pair_open(&pair, f.path, "blas", &err), SM_NOT_FOUND, text, "");
    assert_null(pair);
    snprintf(text, sizeof text, "%s/gone: No such file or directory", f.path);
    assert_fails(open_with(&f, "{\"f\":[\"a\"],\"g\":[\"gone\"]," REST "}", &err), SM_NOT_FOUND,
                 text, "");
    assert_int_equal(open_with(&f, "{\"f\":[\"a\"],\"g\":[\"junk\"]," REST "}", &err), SM_CORRUPT);
    assert_non_null(strstr(err.text, "junk"));
    assert_int_equal(open_with(&f, "{\"f\":[\"a\"],", &err), SM_CORRUPT);
    assert_non_null(strstr(err.text, "pair.json: JSON at line 1"));
    assert_int_equal(
        open_with(&f, "{\"f\":[\"a\"],\"g\":[\"b\"],\"recipe\":{\"augment\":\"mae\"}}", &err),
        SM_INVALID); /* 24 wide: heads cannot be inferred */
    assert_int_equal(strncmp(err.text, "a: ", 3), 0);
    folder_remove(&f, files);
}

static void encoders_must_agree(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err;
    setup(&f);
    assert_fails(open_with(&f,
                           "{\"f\":[\"r\"],\"g\":[\"other\"],\"encoder\":{\"input_px\":16},"
                           "\"recipe\":{\"augment\":\"mae\"}}",
                           &err),
                 SM_CONFLICT, "r has family resnet18, other has family vit", "");
    assert_fails(open_with(&f,
                           "{\"f\":[\"a\",\"other\"],\"g\":[\"b\"],\"encoder\":{\"heads\":4},"
                           "\"recipe\":{\"augment\":\"mae\"}}",
                           &err),
                 SM_CONFLICT, "a has dim 24, other has dim 64", "");
    folder_remove(&f, files);
}

static void recipes_are_checked_against_the_pair(void **state)
{
    (void)state;
    struct sm_err err;
    struct sm_pair *pair = open_pair(GOLDEN "/resnet");
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    snprintf(recipe.representation, sizeof recipe.representation, "cls");
    assert_fails(sm_pair_check_recipe(pair, &recipe, &err), SM_INVALID,
                 "representation \"cls\" does not exist on f.pt (resnet18, 8 blocks)",
                 "/representation");
    json_t *node = json("{\"augment\":[{\"op\":\"random_resized_crop\",\"size\":28}]}");
    assert_ok(sm_recipe_parse(&recipe, node, sm_pair_recipe(pair), 16, "", &err));
    assert_fails(sm_pair_check_recipe(pair, &recipe, &err), SM_INVALID,
                 "views end at 28 px, the encoders take 16 px", "/augment");
    json_decref(node);
    sm_pair_close(pair);
}

/* A reference document with the given digests and scores; `scores` is JSON. */
static void write_reference(const struct folder *f, const char *of_f, const char *of_g,
                            const char *scores)
{
    json_t *doc = json_pack("{s:s, s:s, s:{s:[s], s:[s]}, s:o}", "cohort", "external", "recipe",
                            "0", "encoders", "f", of_f, "g", of_g, "scores", json(scores));
    char *text = json_dumps(doc, 0);
    folder_text(f, "reference.json", text);
    free(text);
    json_decref(doc);
}

/* One digest of 64 digits for each letter. */
static void write_images(struct folder *f, const char *a, const char *b, const char *letters)
{
    char images[512] = "[", *at = images + 1;
    for (const char *c = letters; *c; c++) {
        at += sprintf(at, "%s\"", c == letters ? "" : ",");
        memset(at, *c, 64);
        at += 64;
        at += sprintf(at, "\"");
    }
    strcpy(at, "]");
    json_t *doc = json_pack("{s:s, s:s, s:{s:[s], s:[s]}, s:o, s:o}", "cohort", "external",
                            "recipe", "0", "encoders", "f", a, "g", b, "images",
                            json_loads(images, 0, NULL), "scores", json_loads("[1, 2.5]", 0, NULL));
    char *text = json_dumps(doc, 0);
    folder_text(f, "reference.json", text);
    free(text);
    json_decref(doc);
}

/* `errors` is JSON. */
static void write_errors(struct folder *f, const char *a, const char *b, const char *errors)
{
    json_t *doc = json_pack("{s:s, s:s, s:{s:[s], s:[s]}, s:o, s:o}", "cohort", "external",
                            "recipe", "0", "encoders", "f", a, "g", b, "scores",
                            json("[1, 2.5, 4]"), "errors", json(errors));
    char *text = json_dumps(doc, 0);
    folder_text(f, "reference.json", text);
    free(text);
    json_decref(doc);
}

static void references_are_checked(void **state)
{
    (void)state;
    static const char *const doc =
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"reference\":\"reference.json\"," REST "}";
    char text[240], a[65], b[65];
    struct folder f;
    struct sm_err err = {0};
    setup(&f);
    folder_text(&f, "pair.json", "{\"f\":[\"a\"],\"g\":[\"b\"]," REST "}");
    struct sm_pair *pair = open_pair(f.path);
    json_t *described = sm_pair_json(pair);
    const char *of_a, *of_b;
    assert_int_equal(json_unpack(described, "{s:{s:[{s:s}], s:[{s:s}]}}", "encoders", "f", "digest",
                                 &of_a, "g", "digest", &of_b),
                     0);
    snprintf(a, sizeof a, "%s", of_a);
    snprintf(b, sizeof b, "%s", of_b);
    json_decref(described);
    sm_pair_close(pair);

    snprintf(text, sizeof text, "%s/reference.json: No such file or directory", f.path);
    assert_fails(open_with(&f, doc, &err), SM_NOT_FOUND, text, "");
    write_reference(&f, a, b, "[1, 2.5]");
    assert_int_equal(open_with(&f, doc, &err), SM_OK);
    write_reference(&f, a, b, "[1, \"2\"]");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: score 1 of 2 is not a finite number", "/scores/1");
    write_reference(&f, a, b, "[]");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: scores must be a list of 1 to 1000000 numbers, has 0", "/scores");
    write_images(&f, a, b, "ab");
    assert_int_equal(open_with(&f, doc, &err), SM_OK);
    write_images(&f, a, b, "aaa");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: images must be a list of 2 digests, has 3", "/images");
    write_images(&f, a, b, "aa");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: image aaaaaaaaaaaaaaaa is there twice", "/images");
    write_images(&f, a, b, "ag");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: image 1 of 2 is no SHA-256 of 64 hex digits", "/images/1");
    write_errors(&f, a, b, "[0, 0.5, null]");
    assert_int_equal(open_with(&f, doc, &err), SM_OK);
    write_errors(&f, a, b, "[0, 0.5]");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: errors must be a list of 3 numbers, has 2", "/errors");
    write_errors(&f, a, b, "{}");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: errors must be a list of 3 numbers, has 0", "/errors");
    static const char *const wrong[] = {"[0, -0.5, 0]", "[0, \"1\", 0]", "[0, true, 0]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_errors(&f, a, b, wrong[i]);
        assert_fails(open_with(&f, doc, &err), SM_INVALID,
                     "reference.json: error 1 of 3 is no finite number from 0 on, and not null",
                     "/errors/1");
    }
    write_reference(&f, a, a, "[1]");
    snprintf(text, sizeof text, "reference.json: measured with encoder %.16s in place of b (%.16s)",
             a, b);
    assert_fails(open_with(&f, doc, &err), SM_CONFLICT, text, "");
    folder_text(&f, "reference.json", "{\"cohort\":\"external\"}");
    assert_fails(open_with(&f, doc, &err), SM_INVALID,
                 "reference.json: field \"recipe\" is missing", "/recipe");
    folder_remove(&f, files);
}

static void references_are_written_whole(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    struct sm_reference_image m[3] = {{.m = .25}, {.m = -.5}, {.m = .125}};
    for (int i = 0; i < 3; i++)
        sm_sha256_hex(m[i].digest, &i, sizeof i);
    setup(&f);
    folder_text(&f, "pair.json", "{\"f\":[\"a\"],\"g\":[\"b\"]," REST "}");
    struct sm_pair *pair = open_pair(f.path);
    assert_ok(sm_reference_write(pair, "independent", "abc", m, 3, &err));
    m[1].m = NAN;
    assert_fails(sm_reference_write(pair, "x", "abc", m, 3, &err), SM_INVALID,
                 "score 1 of 3 is not a finite number", "");
    assert_fails(sm_reference_write(pair, "x", "abc", m, 0, &err), SM_LIMIT,
                 "reference has 0 scores, must be from 1 to 1000000", "");
    m[1].m = 0;
    char twice[80];
    snprintf(twice, sizeof twice, "image %.16s is there twice", m[0].digest);
    memcpy(m[2].digest, m[0].digest, sizeof m[2].digest);
    assert_fails(sm_reference_write(pair, "x", "abc", m, 3, &err), SM_INVALID, twice, "/images");
    sm_pair_close(pair);

    folder_text(&f, "pair.json",
                "{\"f\":[\"a\"],\"g\":[\"b\"],\"reference\":\"reference.json\"," REST "}");
    pair = open_pair(f.path);
    json_t *doc = sm_pair_json(pair);
    const char *cohort, *recipe;
    int n, lists_images;
    double mean, sd;
    assert_int_equal(json_unpack(doc, "{s:{s:s, s:i, s:f, s:f, s:s, s:b}}", "reference", "cohort",
                                 &cohort, "n", &n, "mean", &mean, "sd", &sd, "recipe_digest",
                                 &recipe, "lists_images", &lists_images),
                     0);
    assert_true(lists_images);
    assert_string_equal(cohort, "independent");
    assert_string_equal(recipe, "abc");
    assert_int_equal(n, 3);
    assert_float_equal(mean, -.125 / 3, 1e-15);
    assert_float_equal(sd, sqrt((.0850694444444444 + .2100694444444444 + .0277777777777778) / 2),
                       1e-12);
    json_decref(doc);
    sm_pair_close(pair);
    folder_remove(&f, files);
}

static void pairs_describe_themselves(void **state)
{
    (void)state;
    const char *name, *digest, *description, *recipe_digest, *file, *family, *prefix;
    int views, dim;
    double mean, std;
    struct sm_pair *pair = open_pair(GOLDEN "/resnet/");
    json_t *doc = sm_pair_json(pair), *reference;
    assert_int_equal(
        json_unpack(
            doc, "{s:s, s:s, s:s, s:s, s:o, s:{s:i}, s:[f], s:[f], s:{s:[{s:s, s:s, s:s, s:i}]}}",
            "name", &name, "digest", &digest, "description", &description, "recipe_digest",
            &recipe_digest, "reference", &reference, "recipe", "views", &views, "mean", &mean,
            "std", &std, "encoders", "g", "file", &file, "family", &family, "prefix", &prefix,
            "dim", &dim),
        0);
    assert_string_equal(name, "resnet");
    assert_string_equal(digest, sm_pair_digest(pair));
    assert_int_equal(strlen(recipe_digest), 64);
    assert_string_equal(description, "");
    assert_true(json_is_null(reference));
    assert_true(mean == .4914 && std == .247);
    assert_string_equal(file, "g.pt");
    assert_string_equal(family, "resnet18");
    assert_int_equal(dim, 32);
    assert_int_equal(views, 5);
    json_decref(doc);

    assert_non_null(sm_pair_encoder(pair, 'g', 0));
    assert_null(sm_pair_encoder(pair, 'g', 1));
    assert_null(sm_pair_encoder(pair, 'f', -1));
    sm_pair_close(pair);
    pair = open_pair(GOLDEN "/resnet/../vit/.");
    assert_string_equal(sm_pair_name(pair), "vit");
    sm_pair_close(pair);
}

static void digest_follows_what_decides_a_score(void **state)
{
    (void)state;
    static const char *const docs[] = {
        "{\"f\":[\"a\"],\"g\":[\"b\"]," REST "}",
        "{\"f\":[\"b\"],\"g\":[\"a\"]," REST "}",
        "{\"f\":[\"a\",\"b\"],\"g\":[\"b\"],\"allow_same\":true," REST "}",
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"mean\":[0.5,0.5,0.4]," REST "}",
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"std\":[0.5,0.5,0.4]," REST "}",
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"heads\":4},"
        "\"recipe\":{\"augment\":\"simclr-cifar\"}}",
        "{\"f\":[\"a\",\"a\"],\"g\":[\"b\"]," REST "}",
        /* as the first: neither text, nor recipe, nor spelled-out defaults count */
        "{\"description\":\"x\",\"f\":[\"a\"],\"g\":[\"b\"],\"mean\":[0.5,0.5,0.5],"
        "\"encoder\":{\"heads\":3},\"allow_same\":true,"
        "\"recipe\":{\"augment\":\"mae\",\"views\":3}}",
    };
    enum { COUNT = sizeof docs / sizeof *docs };
    char digests[COUNT][65];
    struct folder f;
    setup(&f);
    for (int i = 0; i < COUNT; i++) {
        folder_text(&f, "pair.json", docs[i]);
        struct sm_pair *pair = open_pair(f.path);
        snprintf(digests[i], sizeof digests[i], "%s", sm_pair_digest(pair));
        sm_pair_close(pair);
        for (int j = 0; j < i; j++)
            assert_true((strcmp(digests[i], digests[j]) == 0) == (i == COUNT - 1 && j == 0));
    }
    folder_remove(&f, files);
}

/* --- one encoder on both sides --- */

#define CANCELS(a, b)                                                                              \
    "pair.json: " a " of f and " b                                                                 \
    " of g hold the same weights, which cancel out: name in g what "                               \
    "was trained without the candidates, or set \"allow_same\": true"

/* copy: the bytes of a; a2.npz: its tensors in another container; b2.pt: a again, half precision. */
static void setup_copies(struct folder *f)
{
    struct sm_file file;
    struct sm_err err = {0};
    setup(f);
    assert_ok(sm_file_map(&file, GOLDEN "/vit/f0.safetensors", 1 << 20, &err));
    folder_write(f, "copy", file.bytes, file.bytes_count);
    sm_file_release(&file);
    folder_link(f, "a2.npz", "tests/golden/weights/container.npz");
    folder_link(f, "b2.pt", "tests/golden/weights/float16.pt");
}

static void equal_sides_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *f, *g, *pointer, *text;
    } cases[] = {
        {"[\"a\"]", "[\"a\"]", "/g/0", CANCELS("a", "a")},
        {"[\"a\"]", "[\"copy\"]", "/g/0", CANCELS("a", "copy")},
        {"[\"a2.npz\"]", "[\"a\"]", "/g/0", CANCELS("a2.npz", "a")},
        {"[\"copy\"]", "[\"b2.pt\"]", "/g/0", CANCELS("copy", "b2.pt")},
        {"[\"b\",\"a\"]", "[\"b2.pt\"]", "/g/0", CANCELS("a", "b2.pt")},
        {"[\"a\"]", "[\"b\",\"copy\"]", "/g/1", CANCELS("a", "copy")},
    };
    char doc[300];
    struct folder f;
    struct sm_err err;
    setup_copies(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(doc, sizeof doc, "{\"f\":%s,\"g\":%s," REST "}", cases[i].f, cases[i].g);
        assert_fails(open_with(&f, doc, &err), SM_INVALID, cases[i].text, cases[i].pointer);
        snprintf(doc, sizeof doc, "{\"f\":%s,\"g\":%s,\"allow_same\":false," REST "}", cases[i].f,
                 cases[i].g);
        assert_int_equal(open_with(&f, doc, &err), SM_INVALID);
        snprintf(doc, sizeof doc, "{\"f\":%s,\"g\":%s,\"allow_same\":true," REST "}", cases[i].f,
                 cases[i].g);
        assert_int_equal(open_with(&f, doc, &err), SM_OK);
    }
    assert_fails(
        open_with(&f, "{\"f\":[\"a\"],\"g\":[\"b\"],\"allow_same\":\"yes\"," REST "}", &err),
        SM_INVALID, "pair.json: allow_same is of type string, must be boolean", "/allow_same");
    folder_remove(&f, files);
}

/* The flags of a pair, from the pair and from a score of it, which must agree. */
static json_t *flags_of(const struct folder *f, const char *doc)
{
    struct sm_err err = {0};
    struct sm_scorer *scorer;
    folder_text(f, "pair.json", doc);
    struct sm_pair *pair = open_pair(f->path);
    assert_ok(sm_scorer_new(&scorer, pair, &err));
    struct sm_score score = score_with(scorer, sm_pair_recipe(pair), "wide.png");
    json_t *flags = sm_pair_flags_json(pair), *described = sm_pair_json(pair);
    json_t *scored = sm_score_json(&score, pair);
    assert_true(json_equal(json_object_get(described, "flags"), flags));
    if (json_array_size(flags) > 0)
        assert_true(json_equal(json_object_get(scored, "flags"), flags));
    else
        assert_null(json_object_get(scored, "flags"));
    json_decref(described);
    json_decref(scored);
    sm_scorer_free(scorer);
    sm_pair_close(pair);
    return flags;
}

static void same_encoders_are_flagged(void **state)
{
    (void)state;
    static const char cancel[] =
        "a and copy hold the same weights, one in f and one in g: they cancel out, so scores of "
        "this pair do not measure memorization, and no gate holds.";
    static const char twice[] =
        "a and copy hold the same weights, on one side: they count twice in its mean, and the "
        "spread between its encoders is too small.";
    struct folder f;
    const char *code, *text, *files_of[2][2];
    setup_copies(&f);

    json_t *flags = flags_of(&f, "{\"f\":[\"a\"],\"g\":[\"b\"],\"allow_same\":true," REST "}");
    assert_int_equal(json_array_size(flags), 0);
    json_decref(flags);

    flags = flags_of(&f, "{\"f\":[\"a\"],\"g\":[\"b\",\"copy\"],\"allow_same\":true," REST "}");
    assert_int_equal(json_array_size(flags), 1);
    assert_int_equal(json_unpack(flags, "[{s:s, s:s, s:[[s, s]]}]", "code", &code, "text", &text,
                                 "files", &files_of[0][0], &files_of[0][1]),
                     0);
    assert_string_equal(code, "sides_same");
    assert_string_equal(text, cancel);
    assert_string_equal(files_of[0][1], "copy");
    json_decref(flags);

    flags = flags_of(&f, "{\"f\":[\"a\",\"copy\"],\"g\":[\"b\",\"b\"]," REST "}");
    assert_int_equal(json_array_size(flags), 1);
    assert_int_equal(json_unpack(flags, "[{s:s, s:s, s:[[s, s], [s, s]]}]", "code", &code, "text",
                                 &text, "files", &files_of[0][0], &files_of[0][1], &files_of[1][0],
                                 &files_of[1][1]),
                     0);
    assert_string_equal(code, "encoders_repeated");
    assert_string_equal(text, twice);
    assert_string_equal(files_of[0][0], "a");
    assert_string_equal(files_of[1][1], "b");
    json_decref(flags);
    folder_remove(&f, files);
}

/* "encoder" for each side: equal ones are one configuration, with its digest; a side may differ. */
static void sides_have_configurations(void **state)
{
    (void)state;
    static const char *const docs[] = {
        "{\"f\":[\"a\"],\"g\":[\"b\"]," REST "}",
        "{\"f\":\"a\",\"g\":\"b\",\"encoder\":{\"f\":{\"heads\":3},\"g\":{\"heads\":3}},"
        "\"recipe\":{\"augment\":\"simclr-cifar\"}}",
        "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"f\":{\"heads\":3,\"key\":\"\"},\"g\":{"
        "\"heads\":3}},"
        "\"recipe\":{\"augment\":\"simclr-cifar\"}}",
    };
    char digests[3][65];
    struct folder f;
    struct sm_err err = {0};
    setup(&f);
    for (size_t i = 0; i < 3; i++) {
        folder_text(&f, "pair.json", docs[i]);
        struct sm_pair *pair = open_pair(f.path);
        snprintf(digests[i], sizeof digests[i], "%s", sm_pair_digest(pair));
        sm_pair_close(pair);
    }
    assert_string_equal(digests[0], digests[1]);
    assert_string_not_equal(digests[0], digests[2]);
    assert_fails(open_with(&f,
                           "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"f\":{\"heads\":3},\"g\":"
                           "{\"heads\":4}},\"recipe\":{\"augment\":\"simclr-cifar\"}}",
                           &err),
                 SM_CONFLICT, "a has heads 3, b has heads 4", "");
    assert_fails(
        open_with(&f,
                  "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"f\":{\"heads\":3},\"g\":{}},"
                  "\"recipe\":{\"augment\":\"simclr-cifar\"}}",
                  &err),
        SM_INVALID,
        "b: a ViT of width 24 (timm names under \"\") has no usual head count; set \"heads\"",
        "/encoder/g/heads");
    assert_fails(
        open_with(&f,
                  "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"f\":{\"heads\":3},\"heads\":"
                  "3},\"recipe\":{\"augment\":\"simclr-cifar\"}}",
                  &err),
        SM_INVALID, "pair.json: field \"heads\" is unknown", "/encoder/heads");
    folder_remove(&f, files);
}

/* Views are shared: one normalisation for both sides. */
static void sides_share_their_normalisation(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
#define PIXELS(rest)                                                                               \
    "{\"f\":[\"a\"],\"g\":[\"b\"],\"encoder\":{\"f\":{\"heads\":3,\"mean\":[0,0,0],\"std\":[1,1,"  \
    "1]},"                                                                                         \
    "\"g\":{\"heads\":3,\"mean\":[0.5,0,0],\"std\":[1,1,1]}}" rest                                 \
    ",\"recipe\":{\"augment\":\"mae\"}}"
    setup(&f);
    assert_fails(open_with(&f, PIXELS(""), &err), SM_CONFLICT,
                 "pair.json: f has mean 0 0 0, std 1 1 1, g has mean 0.5 0 0, std 1 1 1: set "
                 "\"mean\" and \"std\" beside \"encoder\"",
                 "");
    assert_int_equal(open_with(&f, PIXELS(",\"mean\":[0,0,0],\"std\":[1,1,1]"), &err), SM_OK);
    folder_remove(&f, files);
}

/* Every difference is a problem, and a problem of one step does not hide those of others. */
static void all_problems_are_listed(void **state)
{
    (void)state;
    struct folder f;
    struct sm_err err = {0};
    struct sm_pair *pair;
    static struct sm_pair_problems found;
    setup(&f);
    folder_text(&f, "pair.json",
                "{\"f\":[\"r\",\"gone\"],\"g\":[\"other\"],\"encoder\":{\"input_px\":16},"
                "\"recipe\":{\"augment\":\"none\",\"views\":1}}");
    assert_int_equal(sm_pair_open_all(&pair, &found, f.path, "blas", &err), SM_NOT_FOUND);
    static const char *const wanted[][2] = {{"other", "/g/0"},
                                            {"gone", "/f/1"},
                                            {"other", "/g/0"},
                                            {"other", "/g/0"},
                                            {"other", "/g/0"},
                                            {"other", "/g/0"},
                                            {"other", "/g/0"},
                                            {"pair.json", "/recipe/views"},
                                            {"pair.json", "/recipe/augment"}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        size_t times = 0, listed = 0;
        for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++)
            times +=
                strcmp(wanted[k][0], wanted[i][0]) == 0 && strcmp(wanted[k][1], wanted[i][1]) == 0;
        for (int k = 0; k < found.count; k++)
            listed += strcmp(found.list[k].file, wanted[i][0]) == 0 &&
                      strcmp(found.list[k].pointer, wanted[i][1]) == 0;
        assert_int_equal(times, listed);
    }
    assert_int_equal(found.count, sizeof wanted / sizeof *wanted);
    folder_remove(&f, files);
}

int main(void)
{
    sm_blas_single_thread();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_checked),
        cmocka_unit_test(files_are_named),
        cmocka_unit_test(encoders_must_agree),
        cmocka_unit_test(recipes_are_checked_against_the_pair),
        cmocka_unit_test(references_are_checked),
        cmocka_unit_test(references_are_written_whole),
        cmocka_unit_test(pairs_describe_themselves),
        cmocka_unit_test(digest_follows_what_decides_a_score),
        cmocka_unit_test(equal_sides_are_refused),
        cmocka_unit_test(same_encoders_are_flagged),
        cmocka_unit_test(sides_have_configurations),
        cmocka_unit_test(sides_share_their_normalisation),
        cmocka_unit_test(all_problems_are_listed),
    };
    return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
