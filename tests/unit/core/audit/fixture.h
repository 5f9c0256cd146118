/* Audits for tests, read from a vector or drawn from a seed. Include this header first. */
#ifndef TESTS_UNIT_CORE_AUDIT_FIXTURE_H
#define TESTS_UNIT_CORE_AUDIT_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/base/sha256.h"
#include "sslmem/audit.h"

static const uint8_t digest_key[32] = "a key of thirty-two bytes......";

/* An audit and everything that it borrows. */
struct held {
    struct sm_audit audit;
    struct sm_audit_spec spec;
    struct sm_audit_item *items;
    json_t *vector, *pair, *recipe, *provenance, *run;
};

static inline json_t *parse_json(const char *text)
{
    json_error_t error;
    json_t *node = json_loads(text, 0, &error);
    if (!node)
        fail_msg("%s: %s", text, error.text);
    return node;
}

static inline void parse_spec(struct sm_audit_spec *out, const json_t *node)
{
    struct sm_err err = {0};
    if (sm_audit_spec_parse(out, node, &err) != SM_OK)
        fail_msg("spec %s: %s", err.pointer, err.text);
}

/* Sets everything but the spec, and allocates `count` items for the caller to fill. */
static inline void hold(struct held *h, size_t count)
{
    h->items = calloc(count + 1, sizeof *h->items);
    h->pair = parse_json("{\"name\": \"demo\", \"digest\": \"00aa\", \"description\": \"<b>&\", "
                         "\"encoders\": {\"f\": [{\"file\": \"f.pt\", \"digest\": \"11\"}], "
                         "\"g\": [{\"file\": \"g.pt\", \"digest\": \"22\"}]}}");
    h->recipe = parse_json("{\"views\": 10, \"compare\": \"pairs\", \"seed\": 0}");
    h->provenance = parse_json("{\"library\": \"0.1.0\", \"decoder\": \"stb_image\"}");
    h->run = parse_json("{\"id\": \"01\"}");
    h->audit = (struct sm_audit){
        .spec = &h->spec,
        .completeness = {SM_COMPLETION_COMPLETE, (int64_t)count, (int64_t)count},
        .run = h->run,
        .pair = h->pair,
        .recipe = h->recipe,
        .provenance = h->provenance,
        .items = h->items,
        .items_count = count,
        .digest_key = digest_key,
    };
}

static inline void let_go(struct held *h)
{
    free(h->items);
    json_decref(h->vector);
    json_decref(h->pair);
    json_decref(h->recipe);
    json_decref(h->provenance);
    json_decref(h->run);
}

static inline void set_item(struct sm_audit_item *item, size_t index, enum sm_cohort cohort,
                            double m)
{
    char text[32];
    snprintf(text, sizeof text, "image %zu", index);
    *item = (struct sm_audit_item){
        .index = (int64_t)index,
        .cohort = cohort,
        .name = "",
        .class_label = "",
        .group = "",
        .m = m,
        .m_se = .02,
        .ratio = m,
        .f = .6,
        .f_se = .01,
        .g = .6 + m,
        .g_se = .01,
    };
    sm_sha256_hex(item->image_digest, text, strlen(text));
}

/* Returns the standard normal draw number `index` (Box-Muller). */
static inline double normal(uint32_t index)
{
    uint32_t r[4];
    sm_philox(r, (uint32_t[2]){1, 2}, (uint32_t[4]){index, 0, 0, 0});
    return sqrt(-2 * log(1 - sm_unit(r[0], r[1]))) *
           cos(2 * 3.14159265358979323846 * sm_unit(r[2], r[3]));
}

/* Draws an audit with counts[c] images in cohort c. The scores of all cohorts have the same normal
 * distribution, but those of candidates are higher by `shift` standard deviations. */
static inline void draw_audit(struct held *h, const size_t counts[SM_COHORTS], double shift,
                              const char *spec)
{
    size_t total = 0, at = 0;
    *h = (struct held){0};
    for (int c = 0; c < SM_COHORTS; c++)
        total += counts[c];
    hold(h, total);
    for (int c = 0; c < SM_COHORTS; c++)
        for (size_t i = 0; i < counts[c]; i++, at++)
            set_item(&h->items[at], at, (enum sm_cohort)c,
                     .1 * (normal((uint32_t)at) + (c == SM_COHORT_CANDIDATE ? shift : 0)));
    json_t *node = parse_json(spec);
    parse_spec(&h->spec, node);
    json_decref(node);
}

static inline double number_at(const json_t *node, const char *key)
{
    const json_t *value = json_object_get(node, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline void load_audit(struct held *h, const char *name)
{
    char path[80];
    json_error_t error;
    json_t *item;
    size_t i;
    struct sm_err err = {0};
    snprintf(path, sizeof path, "tests/golden/audit/%s.json", name);
    json_t *vector = json_load_file(path, 0, &error);
    if (!vector)
        fail_msg("%s: %s", path, error.text);
    *h = (struct held){0};
    hold(h, json_array_size(json_object_get(vector, "items")));
    h->vector = vector;
    parse_spec(&h->spec, json_object_get(vector, "spec"));
    json_array_foreach(json_object_get(vector, "items"), i, item)
    {
        enum sm_cohort cohort;
        const char *text = json_string_value(json_object_get(item, "cohort"));
        assert_int_equal(sm_cohort_parse(&cohort, text, &err), SM_OK);
        set_item(&h->items[i], i, cohort, number_at(item, "m"));
        h->items[i].class_label = json_string_value(json_object_get(item, "class"));
        h->items[i].group = json_string_value(json_object_get(item, "group"));
        h->items[i].error_code = json_string_value(json_object_get(item, "error"));
        h->items[i].m_se = number_at(item, "m_se");
        h->items[i].ratio = number_at(item, "ratio");
        h->items[i].f = number_at(item, "f");
        h->items[i].g = number_at(item, "g");
    }
}

static inline struct sm_audit_result *evaluate(const struct held *h)
{
    struct sm_audit_result *result;
    struct sm_err err = {0};
    if (sm_audit_evaluate(&result, &h->audit, &err) != SM_OK)
        fail_msg("evaluate: %s", err.text);
    return result;
}

/* Returns the node at a path such as "a/b/0/c" (borrowed); fails the test if it is missing. */
static inline json_t *at(const json_t *node, const char *path)
{
    char key[64];
    const json_t *here = node;
    for (const char *p = path; *p;) {
        size_t length = strcspn(p, "/");
        snprintf(key, sizeof key, "%.*s", (int)length, p);
        here = json_is_array(here) ? json_array_get(here, strtoul(key, NULL, 10))
                                   : json_object_get(here, key);
        if (!here)
            fail_msg("nothing at %s of %s", key, path);
        p += length + (p[length] == '/');
    }
    return (json_t *)(uintptr_t)here;
}

/* Asserts that `got` contains everything in `want`: numbers within 1e-9 of their size, the rest
 * exactly. */
static inline void assert_within(const json_t *got, const json_t *want, const char *where)
{
    char path[240];
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_object(want)) {
        json_object_foreach((json_t *)(uintptr_t)want, key, value)
        {
            snprintf(path, sizeof path, "%s/%s", where, key);
            assert_within(json_object_get(got, key), value, path);
        }
    } else if (json_is_array(want)) {
        if (json_array_size(got) != json_array_size(want))
            fail_msg("%s has %zu entries, must have %zu", where, json_array_size(got),
                     json_array_size(want));
        json_array_foreach(want, i, value)
        {
            snprintf(path, sizeof path, "%s/%zu", where, i);
            assert_within(json_array_get(got, i), value, path);
        }
    } else if (json_is_number(want)) {
        double w = json_number_value(want), g = json_number_value(got);
        if (!json_is_number(got) || fabs(g - w) > 1e-9 * fabs(w) + 1e-14)
            fail_msg("%s is %.17g, must be %.17g", where, g, w);
    } else if (!json_equal(got, want)) {
        char *text = got ? json_dumps(got, JSON_ENCODE_ANY) : NULL;
        char *wanted = json_dumps(want, JSON_ENCODE_ANY);
        fail_msg("%s is %s, must be %s", where, text, wanted);
    }
}

/* Returns the text that a writer writes, to be freed. */
typedef enum sm_code writes(FILE *file, const struct held *h, const struct sm_audit_result *result,
                            struct sm_err *err);
static inline char *written(writes *write, const struct held *h,
                            const struct sm_audit_result *result)
{
    static char *text; /* static, because gcc warns if a stream holds a local one's address */
    static size_t size;
    struct sm_err err = {0};
    FILE *file = open_memstream(&text, &size);
    if (write(file, h, result, &err) != SM_OK)
        fail_msg("writing: %s", err.text);
    fclose(file);
    assert_int_equal(strlen(text), size);
    return text;
}

#endif
