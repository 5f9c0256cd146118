/* Reads the vectors of tests/golden/make_stats.py and compares with them.
 *
 *     json_t *cases = load("roc"), *c;
 *     json_array_foreach(cases, i, c)
 *     {
 *         struct vector a = values(c, "a");
 *         check("auc", ..., field(c, "auc"), 1e-10, 0);
 *         free(a.x);
 *     }
 *     json_decref(cases);
 *
 * Include after cmocka.h. */
#ifndef TESTS_UNIT_CORE_STATS_VECTORS_H
#define TESTS_UNIT_CORE_STATS_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

static inline json_t *load(const char *name)
{
    char path[128];
    json_error_t error;
    snprintf(path, sizeof path, "tests/golden/stats/%s.json", name);
    json_t *cases = json_load_file(path, 0, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

/* Returns NaN for null. */
static inline double number(const json_t *node)
{
    return json_is_number(node) ? json_number_value(node) : NAN;
}

static inline double field(const json_t *node, const char *name)
{
    return number(json_object_get(node, name));
}

static inline double at(const json_t *list, size_t i)
{
    return number(json_array_get(list, i));
}

/* Returns value `i` of a long sample, which is stored as a rule; repeats every step of `sample` in
 * make_stats.py. */
static inline double made_value(const json_t *rule, size_t i, size_t count)
{
    uint64_t multiplier = (uint64_t)field(rule, "multiplier");
    double unit = (double)(uint32_t)((i + 1) * multiplier) * 0x1p-32;
    double v = field(rule, "shift") + field(rule, "scale") * unit;
    v = v + field(rule, "drift") * ((double)i / (double)count);
    double levels = field(rule, "levels");
    return levels > 0 ? floor(v * levels) / levels : v;
}

/* Returns the numbers, to be freed; NULL for an empty list, as the functions under test allow. */
static inline double *numbers(const json_t *list, size_t *count)
{
    bool made = json_is_object(list);
    *count = made ? (size_t)field(list, "count") : json_array_size(list);
    double *out = *count ? calloc(*count, sizeof *out) : NULL;
    for (size_t i = 0; i < *count; i++)
        out[i] = made ? made_value(list, i, *count) : at(list, i);
    return out;
}

struct vector {
    double *x;
    size_t count;
};

static inline struct vector values(const json_t *node, const char *name)
{
    struct vector v;
    v.x = numbers(json_object_get(node, name), &v.count);
    return v;
}

/* Fails unless `got` differs from `want` by at most relative * |want| + absolute. NaN equals only
 * NaN. */
static inline void check(const char *what, double got, double want, double relative,
                         double absolute)
{
    bool close = fabs(got - want) <= relative * fabs(want) + absolute;
    if (!(isnan(want) ? isnan(got) : close))
        fail_msg("%s is %.17g, must be %.17g", what, got, want);
}

#endif
