/* Rounding of figures: to a step of the reference's spread, whatever scale the recipe gives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "server/http/rounding.h"

static void check(const char *text, int digits, double sd, const char *expected)
{
    char *rounded = sm_round_json(strdup(text), digits, sd);
    assert_non_null(rounded);
    assert_string_equal(rounded, expected);
    free(rounded);
}

/* A power of ten at or above 10^-digits of the spread: the step for it is never finer. */
static void the_step_is_the_spreads(void **state)
{
    (void)state;
    static const struct {
        double sd;
        int digits;
        const char *m;
    } rows[] = {
        {.05, 2, "37.707"},   {.1, 2, "37.707"},         {.11, 2, "37.71"},
        {1, 2, "37.71"},      {1.01, 2, "37.7"},         {20, 2, "38.0"},
        {101, 2, "40.0"},     {3000, 2, "0.0"},          {1, 0, "38.0"},
        {.05, 4, "37.70672"}, {1e-9, 2, "37.706721934"}, {1, 15, "37.706721934"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char expected[80];
        snprintf(expected, sizeof expected, "{\"m\":%s}\n", rows[i].m);
        check("{\"m\":37.706721934}", rows[i].digits, rows[i].sd, expected);
    }
    check("{\"m\":-0.0041,\"m_se\":0.0061}", 2, .5, "{\"m\":0.0,\"m_se\":0.01}\n");
}

/* Their scale is fixed, so their step is. */
static void shares_have_digits_of_their_own(void **state)
{
    (void)state;
    check("{\"percentile\":83.2,\"p_value\":0.16966,\"q_value\":0.0449,\"ratio\":-0.1251}", 2, 1000,
          "{\"percentile\":83.0,\"p_value\":0.17,\"q_value\":0.04,\"ratio\":-0.13}\n");
    check("{\"percentile\":83.2,\"p_value\":0.16966}", 1, 1e-5,
          "{\"percentile\":80.0,\"p_value\":0.2}\n");
    check("{\"percentile\":83.2,\"p_value\":0.16966}", 0, 1,
          "{\"percentile\":100.0,\"p_value\":0.0}\n");
    check("{\"percentile\":100,\"p_value\":1}", 3, 1, "{\"percentile\":100.0,\"p_value\":1.0}\n");
}

/* Norms have a unit of their own. The name of one ends as those of limits do, which stay. */
static void norms_are_hidden(void **state)
{
    (void)state;
    static const double sds[] = {0, 1};
    for (int i = 0; i < 2; i++)
        check("{\"outsider\":{\"one_minus_alignment\":0.14,\"norm_1\":18.7,\"norm_2\":5.4,"
              "\"norm_max\":3.28},\"limit_max\":7}",
              2, sds[i],
              "{\"outsider\":{\"one_minus_alignment\":null,\"norm_1\":null,\"norm_2\":null,"
              "\"norm_max\":null},\"limit_max\":7}\n");
}

static void without_a_reference_nothing_is_shown(void **state)
{
    (void)state;
    check("{\"m\":0.25,\"ratio\":0.5,\"p_value\":0.5,\"percentile\":3.0,\"f\":{\"alignment\":1.5,"
          "\"encoders\":[1.5]}}",
          2, 0,
          "{\"m\":null,\"ratio\":null,\"p_value\":null,\"percentile\":null,\"f\":{\"alignment\":"
          "null,\"encoders\":[null]}}\n");
    static const double none[] = {0, -1, NAN, INFINITY, 1e-200};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        check("{\"m\":0.25}", 2, none[i], "{\"m\":null}\n");
    /* A document's own reference counts, and a null one takes the step away. */
    check("[{\"m\":0.257,\"reference\":{\"n\":3,\"mean\":0.1111,\"sd\":0.9,\"centered\":0.1459}},"
          "{\"m\":0.257,\"reference\":null},{\"m\":0.257}]",
          1, 10,
          "[{\"m\":0.3,\"reference\":{\"n\":3,\"mean\":0.1,\"sd\":0.9,\"centered\":0.2}},"
          "{\"m\":null,\"reference\":null},{\"m\":0.0}]\n");
}

/* What no table knows is not shown: a new figure is covered before anybody thinks of it. */
static void unknown_numbers_are_taken_out(void **state)
{
    (void)state;
    check("{\"m\":0.25,\"novel\":0.2512,\"rank\":12,\"deep\":{\"novel\":[0.1,2]},\"views_used\":7}",
          3, 1, "{\"m\":0.25,\"novel\":null,\"deep\":{\"novel\":[null,null]}}\n");
    check(
        "{\"items_count\":12,\"width_px\":640,\"index\":3,\"wait_max_ms\":0.5,\"rate_per_s\":1.25}",
        0, 0,
        "{\"items_count\":12,\"width_px\":640,\"index\":3,\"wait_max_ms\":0.5,\"rate_per_s\":"
        "1.25}\n");
    check("{\"_s\":1.5,\"s\":2}", 0, 1, "{\"_s\":null}\n");
    /* Counts without a unit in their name, which documents require. */
    check("{\"failures\":[{\"code\":\"corrupt\",\"count\":1}],\"decoder_warnings\":2}", 0, 1,
          "{\"failures\":[{\"code\":\"corrupt\",\"count\":1}],\"decoder_warnings\":2}\n");
}

static void texts_and_settings_stay(void **state)
{
    (void)state;
    check("{\"a 1.25\":\"0.125 \\\"\\u0001\\\\\",\"b\":[true,false,null,\"\"]}", 1, 1,
          "{\"a 1.25\":\"0.125 \\\"\\u0001\\\\\",\"b\":[true,false,null,\"\"]}\n");
    check(
        "{\"recipe\":{\"scale\":[0.125,1.0,0.1],\"m\":0.125},\"spec\":{\"q\":0.05,\"seed\":3},"
        "\"mean\":[0.485,0.456,0.406],\"std\":[0.25],\"encoders\":{\"f\":[{\"norm_eps\":1e-06}]}}",
        0, 1,
        "{\"recipe\":{\"scale\":[0.125,1.0,0.1],\"m\":0.125},\"spec\":{\"q\":0.05,\"seed\":3},"
        "\"mean\":[0.485,0.456,0.406],\"std\":[0.25],\"encoders\":{\"f\":[{\"norm_eps\":"
        "1e-6}]}}\n");
    check("{\"recipe\":\"ab0.25\",\"mean\":0.26}", 1, 1, "{\"recipe\":\"ab0.25\",\"mean\":0.3}\n");
}

static void odd_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\"", "{\"recipe\":{\"a", "-", "{\"m\":1e999}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_null(sm_round_json(strdup(texts[i]), 2, 1));
    assert_null(sm_round_json(NULL, 2, 1));
}

/* --- what follows from others --- */

static double any(void)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double at(const json_t *document, const char *first, const char *second)
{
    const json_t *node = json_object_get(document, first);
    return json_number_value(second ? json_object_get(node, second) : node);
}

/* All that the answer has of a score follows from m and g on the grid (and from the standard
 * errors): two scores with the same of these have the same answer. */
static void one_rounding_tells_all(void **state)
{
    (void)state;
    const double step = .01;
    for (int i = 0; i < 2000; i++) {
        double g = any(), f = any(), mean = any() - .5, m = g - f;
        json_t *score =
            json_pack("{s:f, s:f, s:f, s:f, s:{s:f, s:[f]}, s:{s:f, s:[f]}, s:{s:f, s:f, s:f}}",
                      "m", m, "m_low", m - .0312 * any(), "m_high", m + .0312 * any(), "ratio",
                      m / (g + f), "f", "alignment", f, "encoders", f, "g", "alignment", g,
                      "encoders", g, "reference", "mean", mean, "sd", .7, "centered", m - mean);
        char *text = sm_round_json(json_dumps(score, JSON_REAL_PRECISION(17)), 2, 0);
        json_t *shown = json_loads(text, 0, NULL);
        free(text);
        double m_shown = at(shown, "m", NULL), g_shown = at(shown, "g", "alignment");
        double mean_shown = at(shown, "reference", "mean");
        assert_true(fabs(m_shown - m) <= step / 2 + 1e-12);
        assert_true(fabs(m_shown / step - rint(m_shown / step)) < 1e-9);
        assert_true(fabs(at(shown, "f", "alignment") - (g_shown - m_shown)) < 1e-12);
        assert_true(fabs(at(shown, "reference", "centered") - (m_shown - mean_shown)) < 1e-12);
        double sum = 2 * g_shown - m_shown;
        double ratio = sum > 0 ? fmax(-1, fmin(1, m_shown / sum)) : 0;
        assert_true(fabs(at(shown, "ratio", NULL) - ratio) <= .005 + 1e-12);
        const json_t *members = json_object_get(json_object_get(shown, "f"), "encoders");
        assert_true(json_real_value(json_array_get(members, 0)) == at(shown, "f", "alignment"));
        assert_true(at(shown, "m_low", NULL) <= m_shown && at(shown, "m_high", NULL) >= m_shown);
        assert_true(m_shown - at(shown, "m_low", NULL) >= m - at(score, "m_low", NULL) - 1e-12);
        assert_true(at(shown, "m_high", NULL) - m_shown >= at(score, "m_high", NULL) - m - 1e-12);
        json_decref(score);
        json_decref(shown);
    }
}

/* Their mean would be finer than the side's step. */
static void single_encoders_have_a_digit_less(void **state)
{
    (void)state;
    check("{\"m\":0.5,\"g\":{\"alignment\":0.7777,\"encoders\":[0.6666,0.8888],\"sd_encoders\":"
          "0.1571},\"f\":{\"alignment\":0.2777,\"encoders\":[0.2777]}}",
          2, 1,
          "{\"m\":0.5,\"g\":{\"alignment\":0.78,\"encoders\":[0.7,0.9],\"sd_encoders\":0.16},\"f\":"
          "{\"alignment\":0.28,\"encoders\":[0.28]}}\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_step_is_the_spreads),
        cmocka_unit_test(shares_have_digits_of_their_own),
        cmocka_unit_test(norms_are_hidden),
        cmocka_unit_test(without_a_reference_nothing_is_shown),
        cmocka_unit_test(unknown_numbers_are_taken_out),
        cmocka_unit_test(texts_and_settings_stay),
        cmocka_unit_test(odd_texts_are_refused),
        cmocka_unit_test(one_rounding_tells_all),
        cmocka_unit_test(single_encoders_have_a_digit_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
