/* Documents in two parts: joined again they are what was split, byte for byte. */
#include "tests/unit/server/store/scratch.h"

#include <math.h>
#include <string.h>

#include "core/base/json.h"
#include "server/db/document.h"

static struct sm_err err;

#define IMAGE "00000000000000000000000000000000000000000000000000000000000000a1"
#define KEY   "00000000000000000000000000000000000000000000000000000000000000b2"

static char *join(const struct sm_document *parts)
{
    char *line;
    assert_code(SM_OK, sm_document_join(&line,
                                        &(struct sm_document_parts){.id = "ID",
                                                                    .created = "TIME",
                                                                    .shape = parts->shape,
                                                                    .own = parts->own,
                                                                    .image = IMAGE,
                                                                    .score_key = KEY},
                                        &err));
    return line;
}

static void split_and_joined_is_the_same(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "\"m\":0.5",
        "\"image\":\"" IMAGE "\",\"m\":-1e-300,\"provenance\":{\"key\":\"" KEY "\",\"blas\":\"x\"}",
        "\"image\":{\"digest\":\"" IMAGE "\",\"media_type\":\"image/png\",\"oriented\":false},"
        "\"m\":null,\"m_se\":0.0,\"ratio\":1,\"f\":{\"alignment\":0.69756627897386092,\"encoders\":"
        "[0.1,[],{}],\"se\":null},\"g\":{},\"views_used\":10,\"reference\":{\"n\":500,\"centered\":"
        "0.042288310283516761,\"p_value\":0.5},\"recipe\":{\"scale\":[0.080000000000000002,1.0]},"
        "\"new\":{\"of\":[1,2.5,\"later \\u0001\\u0002\\u0003\\n\",true,false,null]}",
        "\"reference\":null,\"reference_note\":\"\xc3\xa9 \\\"quoted\\\" \\\\ /\"",
        /* Digests of others, and of the wrong place. */
        "\"image\":\"" KEY "\",\"other\":\"" IMAGE "\",\"f\":{\"se\":\"" IMAGE "\"}",
        "\"image\":\"\",\"matter\":1,\"m\":[]",
    };
    char text[2000], expected[2100];
    for (size_t i = 0; i < 2 * (sizeof documents / sizeof *documents); i++) {
        struct sm_document parts;
        bool old = i % 2;
        snprintf(text, sizeof text, "{%s}", documents[i / 2]);
        json_t *score = json_loads(text, 0, NULL);
        assert_non_null(score);
        assert_code(SM_OK, old ? sm_document_split_old(&parts, score, IMAGE, KEY, &err)
                               : sm_document_split(&parts, score, IMAGE, KEY, &err));
        char *dumped = old ? json_dumps(score, JSON_COMPACT | JSON_REAL_PRECISION(17))
                           : sm_json_text(score, JSON_COMPACT);
        snprintf(expected, sizeof expected, "{\"id\":\"ID\",\"created\":\"TIME\",%s\n", dumped + 1);
        char *line = join(&parts);
        assert_string_equal(line, expected);
        free(line);
        free(dumped);
        sm_document_release(&parts);
        json_decref(score);
    }
}

static void scores_alike_have_one_shape(void **state)
{
    (void)state;
    struct sm_document parts[2];
    for (int i = 0; i < 2; i++) {
        json_t *score =
            json_pack("{s:{s:s, s:i}, s:f, s:{s:f}, s:{s:i}, s:{s:s, s:s}}", "image", "digest",
                      IMAGE, "width_px", i, "m", .1 * i, "f", "alignment", 1.5 + i, "recipe",
                      "views", 10, "provenance", "key", KEY, "blas", "x");
        assert_code(SM_OK, sm_document_split(&parts[i], score, IMAGE, KEY, &err));
        json_decref(score);
    }
    assert_string_equal(parts[0].shape, parts[1].shape);
    assert_string_equal(parts[0].own, "0\n0.0\n1.5\n");
    assert_null(strstr(parts[0].shape, IMAGE));
    assert_null(strstr(parts[0].shape, KEY));
    sm_document_release(&parts[0]);
    sm_document_release(&parts[1]);
}

static void numbers_are_found_without_the_document(void **state)
{
    (void)state;
    struct sm_document parts;
    struct sm_document_numbers numbers;
    double values[SM_NUMBERS];
    json_t *common;
    json_t *score = json_pack("{s:s, s:f, s:n, s:{s:f, s:f, s:[f]}, s:{s:f}, s:{s:s}}", "image",
                              IMAGE, "m", .25, "m_se", "f", "se", .5, "alignment", .75, "encoders",
                              9.0, "g", "alignment", -2.0, "provenance", "blas", "x");
    assert_code(SM_OK, sm_document_split(&parts, score, IMAGE, KEY, &err));
    assert_code(SM_OK, sm_document_locate(&numbers, &common, parts.shape, &err));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(common, "provenance"), "blas")), "x");
    sm_document_read(values, &numbers, parts.own);
    assert_true(values[SM_NUMBER_M] == .25 && values[SM_NUMBER_F] == .75 &&
                values[SM_NUMBER_F_SE] == .5 && values[SM_NUMBER_G] == -2);
    assert_true(isnan(values[SM_NUMBER_M_SE]) && isnan(values[SM_NUMBER_RATIO]) &&
                isnan(values[SM_NUMBER_G_SE]));
    json_decref(common);
    json_decref(score);
    sm_document_release(&parts);
}

static void what_is_broken_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *own, *text;
    } rows[] = {
        {"{\"m\":\1}", "", "score ID: its document lacks values"},
        {"{\"m\":\1,\"n\":\1}", "1\n2", "score ID: its document lacks values"},
        {"[1]", "", "score ID: stored document is no object"},
        {"", "", "score ID: stored document is no object"},
    };
    struct sm_document_numbers numbers;
    char *line;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_code(SM_CORRUPT, sm_document_join(&line,
                                                 &(struct sm_document_parts){.id = "ID",
                                                                             .created = "TIME",
                                                                             .shape = rows[i].shape,
                                                                             .own = rows[i].own,
                                                                             .image = IMAGE,
                                                                             .score_key = KEY},
                                                 &err));
        assert_string_equal(err.text, rows[i].text);
        assert_null(line);
    }
    assert_code(SM_CORRUPT, sm_document_locate(&numbers, NULL, "{\"m\":", &err));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_and_joined_is_the_same),
        cmocka_unit_test(scores_alike_have_one_shape),
        cmocka_unit_test(numbers_are_found_without_the_document),
        cmocka_unit_test(what_is_broken_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
