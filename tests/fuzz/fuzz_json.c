/* Fuzzes the readers of JSON. The first byte chooses one: a recipe ('r'), an audit's specification
 * ('a'), a gate ('g'), a pair's pair.json ('p') or reference.json ('c'), or any JSON. fuzz_ingest
 * has the lines of manifests, fuzz_config the sidecars of checkpoints.
 *
 * Properties: a refusal has a code that the reader's header names, a text, and for a field a
 * pointer into the document; an accepted document is within its limits, and written out it is
 * accepted again as the same; an accepted recipe draws views, and an accepted specification
 * evaluates an audit; only limits and lack of memory may stop them. */
#include <assert.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/audit/gate.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "server/api/upload.h"

#define INPUT_PX      32
#define SMALL_PX      64 /* largest size and padding of ops that are run */
#define SMALL_VIEWS   4
#define RESAMPLES_RUN 16 /* most resamples of audits that are evaluated */
#define ITEMS_COUNT   24
#define GOLDEN        "tests/golden/score/vit"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(enum sm_code code, const struct sm_err *err)
{
    assert(err->code == code && err->text[0] != '\0');
    assert(err->pointer[0] == '\0' || err->pointer[0] == '/');
}

static bool same_text(const json_t *a, const json_t *b)
{
    char *x = sm_json_canonical(a), *y = sm_json_canonical(b);
    bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* --- recipes --- */

static bool is_small(const struct sm_augment *augment)
{
    for (int i = 0; i < augment->count; i++)
        if (augment->ops[i].size_px > SMALL_PX || augment->ops[i].padding_px > SMALL_PX)
            return false;
    return true;
}

static void draw(const struct sm_recipe *recipe)
{
    static const uint8_t digest[32] = {1, 2, 3};
    struct sm_image image, view;
    struct sm_err err;
    if (!is_small(&recipe->augment) || sm_image_alloc(&image, 9, 7, &err) != SM_OK)
        return;
    for (int i = 0; i < 9 * 7 * 3; i++)
        image.rgb[i] = (uint8_t)(i * 37);
    for (uint32_t k = 0; k < SMALL_VIEWS && k < (uint32_t)recipe->views; k++) {
        const struct sm_stream_key key = {recipe->seed, digest, k,
                                          .strata = sm_recipe_strata(recipe)};
        json_t *drawn = json_array();
        enum sm_code code = sm_view_render(&view, &image, &recipe->augment, &key, drawn, &err);
        assert(code == SM_OK || code == SM_LIMIT || code == SM_NOMEM);
        if (code == SM_OK)
            assert(view.width_px > 0 && view.height_px > 0 &&
                   json_array_size(drawn) == (size_t)recipe->augment.count);
        sm_image_release(&view);
        json_decref(drawn);
    }
    sm_image_release(&image);
}

/* Checks that the written recipe keeps the values that the document gave to these fields. */
static void check_said(const json_t *node, const json_t *written)
{
    static const char *const names[] = {"views",     "compare",  "representation",
                                        "normalize", "distance", "orientation"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *asked = json_object_get(node, names[i]);
        assert(!asked || json_equal(asked, json_object_get(written, names[i])));
    }
}

static void check_recipe(const json_t *node)
{
    struct sm_recipe recipe, again;
    struct sm_err err = {0};
    char digest[65], digest_again[65];
    enum sm_code code = sm_recipe_parse(&recipe, node, NULL, INPUT_PX, "/recipe", &err);
    if (code != SM_OK) {
        assert(code == SM_INVALID && strncmp(err.pointer, "/recipe", 7) == 0);
        check_refusal(code, &err);
        return;
    }
    assert(recipe.views >= SM_VIEWS_MIN && recipe.views <= SM_VIEWS_MAX);
    assert(recipe.augment.count >= 0 && recipe.augment.count <= SM_OPS_MAX);
    assert(recipe.target_se >= 0 && isfinite(recipe.target_se));
    json_t *written = sm_recipe_json(&recipe);
    assert(written != NULL);
    check_said(node, written);
    /* Read over another recipe for another size: nothing of that shows, because it is complete. */
    struct sm_recipe base = recipe;
    base.target_se = 0;
    base.draws = SM_DRAWS_STRATIFIED;
    assert(sm_recipe_parse(&again, written, &base, INPUT_PX + 1, "", &err) == SM_OK);
    assert(sm_recipe_digest(digest, &recipe, &err) == SM_OK);
    assert(sm_recipe_digest(digest_again, &again, &err) == SM_OK);
    assert(strcmp(digest, digest_again) == 0);
    json_decref(written);
    draw(&recipe);
}

/* --- audits --- */

static double pseudo(size_t i, size_t salt)
{
    return sin((double)(i * 7919 + salt * 104729));
}

static void make_items(struct sm_audit_item *items)
{
    for (size_t i = 0; i < ITEMS_COUNT; i++) {
        double m = pseudo(i, 1) / 4 + (i % SM_COHORTS == SM_COHORT_CANDIDATE ? .3 : 0);
        items[i] = (struct sm_audit_item){.index = (int64_t)i,
                                          .cohort = (enum sm_cohort)(i % SM_COHORTS),
                                          .name = "a",
                                          .class_label = i % 3 ? "x" : "",
                                          .group = "",
                                          .m = m,
                                          .m_se = .01,
                                          .ratio = m / 2,
                                          .f = .5,
                                          .g = .5 + m};
        snprintf(items[i].image_digest, sizeof items[i].image_digest, "%064zx", i);
    }
    items[5].error_code = "corrupt";
    items[5].error_detail = "why";
}

static void evaluate(const struct sm_audit_spec *spec)
{
    static const uint8_t key[32];
    struct sm_audit_item items[ITEMS_COUNT];
    json_t *empty = json_object(), *report = NULL;
    struct sm_audit audit = {.spec = spec,
                             .run = empty,
                             .pair = empty,
                             .recipe = empty,
                             .provenance = empty,
                             .items = items,
                             .items_count = ITEMS_COUNT,
                             .completeness = {SM_COMPLETION_COMPLETE, ITEMS_COUNT - 1, ITEMS_COUNT},
                             .digest_key = key};
    struct sm_audit_result *result;
    struct sm_err err;
    char *text = NULL;
    size_t text_bytes;
    make_items(items);
    assert(sm_audit_evaluate(&result, &audit, &err) == SM_OK);
    FILE *out = open_memstream(&text, &text_bytes);
    assert(sm_audit_write_json(out, &audit, result, &err) == SM_OK && fclose(out) == 0);
    report = json_loadb(text, text_bytes, JSON_REJECT_DUPLICATES, NULL);
    assert(report != NULL);
    const json_t *gates = json_object_get(sm_audit_result_json(result), "gates");
    assert(json_array_size(gates) == (size_t)spec->gates_count);
    bool passed = spec->gates_count > 0;
    for (size_t i = 0; i < json_array_size(gates); i++)
        passed = passed && json_is_true(json_object_get(json_array_get(gates, i), "passed"));
    assert(passed == sm_audit_result_passed(result));
    json_decref(report);
    free(text);
    sm_audit_result_free(result);
    json_decref(empty);
}

static void check_spec(const json_t *node)
{
    struct sm_audit_spec spec, again;
    struct sm_err err = {0};
    enum sm_code code = sm_audit_spec_parse(&spec, node, &err);
    if (code != SM_OK) {
        assert(code == SM_INVALID);
        check_refusal(code, &err);
        return;
    }
    assert(spec.name[0] != '\0' && spec.gates_count >= 0 && spec.gates_count <= SM_AUDIT_GATES_MAX);
    assert(spec.resamples >= 0 && spec.resamples <= SM_AUDIT_RESAMPLES_MAX);
    json_t *written = sm_audit_spec_json(&spec);
    assert(written && sm_audit_spec_parse(&again, written, &err) == SM_OK);
    json_t *twice = sm_audit_spec_json(&again);
    assert(same_text(written, twice));
    json_decref(twice);
    json_decref(written);
    if (spec.resamples <= RESAMPLES_RUN)
        evaluate(&spec);
}

static void check_gate(const char *text)
{
    struct sm_gate gate = {0};
    struct sm_err err = {0};
    enum sm_code code = sm_gate_parse(&gate, &sm_gate_of_audit, text, "/gates/0", &err);
    if (code == SM_OK) {
        assert(isfinite(gate.limit) && gate.number);
        assert(strncmp(text, gate.number->name, strlen(gate.number->name)) == 0);
        return;
    }
    assert(code == SM_INVALID && strcmp(err.pointer, "/gates/0") == 0);
    check_refusal(code, &err);
}

/* --- pairs --- */

static const char *const leaves[] = {"pair.json", "reference.json", "f0.safetensors",
                                     "g0.safetensors"};
static char folder[] = "/dev/shm/sslmem-fuzz-XXXXXX";

static void name_leaf(char path[64], const char *leaf)
{
    snprintf(path, 64, "%s/%s", folder, leaf);
}

static void tidy(void)
{
    char path[64];
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        name_leaf(path, leaves[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void put(const char *leaf, const void *bytes, size_t bytes_count)
{
    char path[64];
    FILE *file;
    name_leaf(path, leaf);
    if (!(file = fopen(path, "w")) || fwrite(bytes, 1, bytes_count, file) != bytes_count ||
        fclose(file) != 0)
        abort();
}

static void prepare(void)
{
    char path[64];
    struct sm_file file;
    struct sm_err err;
    if (!mkdtemp(folder))
        abort();
    atexit(tidy);
    sm_blas_single_thread();
    for (size_t i = 2; i < sizeof leaves / sizeof *leaves; i++) {
        snprintf(path, sizeof path, GOLDEN "/%s", leaves[i]);
        if (sm_file_map(&file, path, 1 << 20, &err) != SM_OK)
            abort(); /* must run in the root of the repository */
        put(leaves[i], file.bytes, file.bytes_count);
        sm_file_release(&file);
    }
}

static void check_pair(void)
{
    struct sm_pair *pair;
    struct sm_recipe recipe;
    struct sm_err err = {0};
    enum sm_code code = sm_pair_open(&pair, folder, "ref", &err);
    if (code != SM_OK) {
        assert(!pair && code != SM_INTERNAL && code != SM_BUSY && code != SM_CANCELLED);
        check_refusal(code, &err);
        return;
    }
    json_t *document = sm_pair_json(pair);
    assert(document && strlen(sm_pair_digest(pair)) == 64);
    assert(sm_pair_check_recipe(pair, sm_pair_recipe(pair), &err) == SM_OK);
    assert(sm_recipe_parse(&recipe, json_object_get(document, "recipe"), NULL,
                           sm_pair_input_px(pair), "", &err) == SM_OK);
    json_decref(document);
    sm_pair_close(pair);
}

/* --- the input --- */

static json_t *parse(const uint8_t *bytes, size_t bytes_count, int depth_max)
{
    struct sm_err err = {0};
    json_t *node, *again;
    enum sm_code code =
        sm_json_parse(&node, bytes, bytes_count, SM_RECIPE_BYTES_MAX, depth_max, &err);
    if (code != SM_OK) {
        assert(!node && (code == SM_LIMIT || code == SM_CORRUPT || code == SM_NOMEM));
        check_refusal(code, &err);
        return NULL;
    }
    char *text = sm_json_canonical(node);
    assert(text != NULL);
    assert(sm_json_parse(&again, text, strlen(text), SIZE_MAX, depth_max, &err) == SM_OK);
    assert(same_text(node, again));
    json_decref(again);
    free(text);
    text = sm_json_text(node, JSON_COMPACT);
    assert(text != NULL);
    assert(sm_json_parse(&again, text, strlen(text), SIZE_MAX, depth_max, &err) == SM_OK);
    assert(same_text(node, again));
    json_decref(again);
    free(text);
    return node;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char pair_json[] =
        "{\"f\": [\"f0.safetensors\"], \"g\": [\"g0.safetensors\"], \"encoder\": {\"heads\": 3}, "
        "\"recipe\": {\"augment\": \"identity\"}, \"reference\": \"reference.json\"}";
    static int prepared;
    char kind = size > 0 ? (char)data[0] : '\0';
    if (kind == '\0')
        return 0;
    if (!prepared++)
        prepare();
    if (kind == 'p' || kind == 'c') {
        put("pair.json", kind == 'p' ? (const void *)(data + 1) : pair_json,
            kind == 'p' ? size - 1 : sizeof pair_json - 1);
        put("reference.json", data + 1, kind == 'c' ? size - 1 : 0);
        check_pair();
        return 0;
    }
    if (kind == 'g') {
        char *text = strndup((const char *)data + 1, size - 1);
        if (!text)
            abort();
        check_gate(text);
        free(text);
        return 0;
    }
    json_t *node = parse(data + 1, size - 1, SM_RECIPE_DEPTH_MAX);
    if (node && kind == 'r')
        check_recipe(node);
    if (node && kind == 'a')
        check_spec(node);
    json_decref(node);
    return 0;
}
