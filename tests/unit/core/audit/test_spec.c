/* What may be asked of an audit: defaults, every field there and back, the exact text of each
 * wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "sslmem/audit.h"

static json_t *json(const char *text)
{
    json_error_t error;
    json_t *node = json_loads(text, 0, &error);
    if (!node)
        fail_msg("%s: %s", text, error.text);
    return node;
}

static struct sm_audit_spec parse(const char *text)
{
    struct sm_audit_spec spec;
    struct sm_err err = {0};
    json_t *node = json(text);
    if (sm_audit_spec_parse(&spec, node, &err) != SM_OK)
        fail_msg("%s: %s", text, err.text);
    json_decref(node);
    return spec;
}

static void assert_refused(const char *text, const char *pointer, const char *message)
{
    struct sm_audit_spec spec;
    struct sm_err err = {0};
    json_t *node = json(text);
    assert_int_equal(sm_audit_spec_parse(&spec, node, &err), SM_INVALID);
    assert_string_equal(err.text, message);
    assert_string_equal(err.pointer, pointer);
    assert_int_equal(spec.gates_count, 0);
    json_decref(node);
}

static void cohorts_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"shared", "candidate", "independent", "external"};
    enum sm_cohort cohort;
    struct sm_err err = {0};
    for (int k = 0; k < SM_COHORTS; k++) {
        assert_string_equal(sm_cohort_name((enum sm_cohort)k), names[k]);
        assert_int_equal(sm_cohort_parse(&cohort, names[k], &err), SM_OK);
        assert_int_equal(cohort, k);
    }
    assert_int_equal(sm_cohort_parse(&cohort, "Shared", &err), SM_INVALID);
    assert_string_equal(
        err.text, "cohort is \"Shared\", must be one of shared, candidate, independent, external");
}

static void defaults_are_written_out(void **state)
{
    (void)state;
    struct sm_audit_spec spec = parse("{\"name\": \"first\"}");
    json_t *node = sm_audit_spec_json(&spec);
    char *text = sm_json_canonical(node);
    assert_string_equal(text, "{\"controls\":true,\"gates\":[],\"inserted_at_random\":false,"
                              "\"keep_thumbnails\":false,\"name\":\"first\","
                              "\"reference\":\"external\",\"resamples\":2000,\"seed\":0,"
                              "\"signed_by\":\"\"}");
    free(text);
    json_decref(node);
}

static void every_field_is_read_and_written(void **state)
{
    (void)state;
    const char *text =
        "{\"controls\":false,\"gates\":[\"auc<=0.6\",\"fdr5_share<.01\",\"cohen_d>=-1e-3\","
        "\"failed_share>0\"],"
        "\"inserted_at_random\":true,\"keep_thumbnails\":true,\"name\":\"n\\u00fc\","
        "\"reference\":\"independent\",\"resamples\":100000,\"seed\":\"18446744073709551615\","
        "\"signed_by\":\"A. Auditor, Example Org\"}";
    struct sm_audit_spec spec = parse(text);
    assert_string_equal(spec.signed_by, "A. Auditor, Example Org");
    assert_int_equal(spec.reference, SM_COHORT_INDEPENDENT);
    assert_int_equal(spec.gates_count, 4);
    assert_string_equal(spec.gates[1].text, "fdr5_share<.01");
    assert_true(spec.seed == UINT64_MAX && spec.keep_thumbnails && spec.inserted_at_random);
    assert_false(spec.controls);
    json_t *node = sm_audit_spec_json(&spec), *asked = json(text);
    char *again = sm_json_canonical(node), *wanted = sm_json_canonical(asked);
    assert_string_equal(again, wanted);
    json_decref(node);
    json_decref(asked);
    free(again);
    free(wanted);
}

#define NAMES                                                                                      \
    "auc, auc_high, tpr_at_fpr_10, tpr_at_fpr_1, tpr_at_fpr_01, tpr_at_fpr_0, advantage, "         \
    "epsilon_lower, fdr1_share, fdr5_share, fdr10_share, mean_difference, cohen_d, welch_p, "      \
    "control_auc_dev, blind_auc, duplicates_share, failed_share"

static void wrong_fields_are_named(void **state)
{
    (void)state;
    assert_refused("{}", "/name", "field \"name\" is missing");
    assert_refused("{\"name\":\"\"}", "/name", "name is empty");
    assert_refused("{\"name\":\"a\",\"gate\":1}", "/gate", "field \"gate\" is unknown");
    assert_refused("{\"name\":\"a\",\"reference\":\"shared\"}", "/reference",
                   "reference is \"shared\", must be one of external, independent");
    assert_refused("{\"name\":\"a\",\"resamples\":100001}", "/resamples",
                   "resamples is 100001, must be from 0 to 100000");
    assert_refused("{\"name\":\"a\",\"gates\":\"auc<=1\"}", "/gates",
                   "gates must be an array of texts");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\","
                   "\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\","
                   "\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\",\"auc<1\"]}",
                   "/gates", "gates has 17 entries, limit is 16");
}

static void wrong_gates_are_named(void **state)
{
    (void)state;
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc<1\",7]}", "/gates/1",
                   "a gate must be a text such as \"auc<=0.6\"");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc_hi<=0.6\"]}", "/gates/0",
                   "\"auc_hi\" is none of " NAMES);
    assert_refused("{\"name\":\"a\",\"gates\":[\" auc<=0.6\"]}", "/gates/0",
                   "\" auc\" is none of " NAMES);
    assert_refused("{\"name\":\"a\",\"gates\":[\"abcdefghijklmnopqrstuvwxyz\"]}", "/gates/0",
                   "\"abcdefghijklmnopqrstuvwx\" is none of " NAMES);
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc\"]}", "/gates/0",
                   "gate \"auc\" has none of <, <=, >, >="
                   "; write it like \"auc<=0.6\", for a shell in quotes");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc=0.6\"]}", "/gates/0",
                   "gate \"auc=0.6\" has none of <, <=, >, >="
                   "; write it like \"auc<=0.6\", for a shell in quotes");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc=<0.6\"]}", "/gates/0",
                   "gate \"auc=<0.6\" has none of <, <=, >, >="
                   "; write it like \"auc<=0.6\", for a shell in quotes");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc!=0.6\"]}", "/gates/0",
                   "gate \"auc!=0.6\" has none of <, <=, >, >="
                   "; write it like \"auc<=0.6\", for a shell in quotes");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc<=\"]}", "/gates/0",
                   "gate \"auc<=\" has no decimal number behind <=");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc<inf\"]}", "/gates/0",
                   "gate \"auc<inf\" has no decimal number behind <");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc>1e999\"]}", "/gates/0",
                   "gate \"auc>1e999\" has no decimal number behind >");
    assert_refused("{\"name\":\"a\",\"gates\":[\"auc<=00000000000000000000000000000000000000000000"
                   "00000000000000000.6\"]}",
                   "/gates/0", "gate has 68 bytes, limit is 63 without NUL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cohorts_have_names),
        cmocka_unit_test(defaults_are_written_out),
        cmocka_unit_test(every_field_is_read_and_written),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(wrong_gates_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
