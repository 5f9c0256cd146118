/* The typed summary: nothing that was not filled can hold a gate, nothing infinite is written. */
#include "fixture.h"

#include "core/audit/gate.h"
#include "core/audit/rows.h"

static const char *const numbers[] = {
    "auc",          "auc_high",  "tpr_at_fpr_10", "tpr_at_fpr_1",    "tpr_at_fpr_01",
    "tpr_at_fpr_0", "advantage", "epsilon_lower", "fdr1_share",      "fdr5_share",
    "fdr10_share",  "cohen_d",   "welch_p",       "mean_difference", "failed_share",
};
#define NUMBERS_COUNT (sizeof numbers / sizeof *numbers)

/* A complete audit with enough images everywhere, and not one number. */
static struct sm_audit_summary *unfilled(void)
{
    struct sm_audit_summary *summary = malloc(sizeof *summary);
    sm_summary_clear(summary);
    summary->completeness.state = SM_COMPLETION_COMPLETE;
    for (int i = 0; i < SM_CONTRASTS; i++)
        summary->contrasts[i].n_a = summary->contrasts[i].n_b = 1000;
    for (int i = 0; i < SM_AGAINST; i++) {
        summary->membership[i].auc.enough = true;
        for (int k = 0; k < SM_FPRS; k++)
            summary->membership[i].tpr_at_fpr[k].enough = true;
    }
    for (int i = 0; i < SM_FDRS; i++)
        summary->fdr.levels[i].enough = true;
    return summary;
}

static void no_gate_holds_on_a_number_that_nobody_filled(void **state)
{
    (void)state;
    struct sm_audit_summary *summary = unfilled();
    for (int against = 0; against < SM_AGAINST; against++) {
        summary->against = (enum sm_against)against;
        for (size_t i = 0; i < 4 * NUMBERS_COUNT; i++) {
            static const char *const limits[] = {"<=1e9", ">=-1e9", "<1e9", ">-1e9"};
            struct sm_audit_spec spec = {.gates_count = 1};
            struct sm_audit_judgement judgement;
            struct sm_err err = {0};
            snprintf(spec.gates[0].text, sizeof spec.gates[0].text, "%s%s", numbers[i / 4],
                     limits[i % 4]);
            assert_int_equal(sm_gates_evaluate(&judgement, &spec, summary, &err), SM_OK);
            if (judgement.passed != SM_VERDICT_FAILED || !isnan(judgement.gates[0].value))
                fail_msg("%s holds on nothing", spec.gates[0].text);
            assert_string_equal(judgement.gates[0].note,
                                "the number is undefined here, so the gate does not hold");
        }
    }
    free(summary);
}

static void infinite_numbers_become_undefined(void **state)
{
    (void)state;
    struct sm_audit_summary *summary = unfilled();
    summary->images.failed_share = .25;
    summary->membership[1].auc.interval.high = INFINITY;
    summary->fdr.levels[2].at_least = -INFINITY;
    summary->groups.rows[SM_LABELS_SHOWN - 1].welch.low = INFINITY;
    sm_summary_seal(summary);
    assert_true(summary->images.failed_share == .25);
    assert_true(isnan(summary->membership[1].auc.interval.high));
    assert_true(isnan(summary->fdr.levels[2].at_least));
    assert_true(isnan(summary->groups.rows[SM_LABELS_SHOWN - 1].welch.low));
    free(summary);
}

/* Every type of row, where what it shows is known and where it is not. */
struct inner {
    const char *key;
    double value;
};
struct outer {
    double number, whole, undefined;
    int64_t count, counts[2];
    bool is_true, is_known;
    const char *text, *none;
    char chars[8], empty[8];
    enum sm_cohort cohort;
    enum sm_verdict verdict;
    struct sm_interval interval;
    size_t used;
    struct inner list[3];
};

#define S struct inner
static const struct sm_row inner_rows[] = {SM_ROW("value", value), {0}};
#undef S
#define S struct outer
static const struct sm_row outer_rows[] = {
    SM_ROW("number", number),
    SM_ROW_AS("whole", whole, SM_ROW_WHOLE),
    SM_ROW("undefined", undefined),
    SM_ROW("count", count),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "counts", counts, NULL),
    SM_ROW("is_true", is_true),
    SM_ROW("text", text),
    SM_ROW("none", none),
    SM_ROW("chars", chars),
    SM_ROW("empty", empty),
    SM_ROW("cohort", cohort),
    SM_ROW("verdict", verdict),
    SM_ROW("interval", interval),
    SM_ROW_AS("method", interval.low, SM_ROW_METHOD, .method = "exact"),
    SM_ROW_ARRAY(SM_ROW_LIST, "list", list, inner_rows, .counted = SM_ROW_AT(used)),
    SM_ROW_ARRAY(SM_ROW_TUPLES, "tuples", list, inner_rows, .counted = SM_ROW_AT(used)),
    SM_ROW_ARRAY(SM_ROW_KEYED, "keyed", list, inner_rows, .counted = SM_ROW_AT(used)),
    SM_ROW_STRUCT("unknown", list[0], inner_rows, .known = SM_ROW_AT(is_known)),
    SM_ROW_STRUCT("left_out", list[0], inner_rows, .known = SM_ROW_AT(is_known), .optional = true),
    {0}};
#undef S

static void rows_are_written_by_their_type(void **state)
{
    (void)state;
    const struct outer outer = {
        .number = .5,
        .whole = 7,
        .undefined = NAN,
        .count = 3,
        .counts = {1, 2},
        .is_true = true,
        .text = "a",
        .chars = "b",
        .cohort = SM_COHORT_EXTERNAL,
        .verdict = SM_VERDICT_FAILED,
        .interval = {NAN, 1},
        .used = 2,
        .list = {{"x", 1}, {"y", INFINITY}, {"z", 3}},
    };
    json_t *node = sm_rows_json(outer_rows, &outer);
    char *text = json_dumps(node, JSON_COMPACT);
    assert_string_equal(
        text, "{\"number\":0.5,\"whole\":7,\"undefined\":null,\"count\":3,\"counts\":[1,2],"
              "\"is_true\":true,\"text\":\"a\",\"none\":null,\"chars\":\"b\",\"empty\":null,"
              "\"cohort\":\"external\",\"verdict\":false,\"interval\":[null,1.0],\"method\":null,"
              "\"list\":[{\"value\":1.0},{\"value\":null}],\"tuples\":[[1.0],[null]],"
              "\"keyed\":{\"x\":{\"value\":1.0},\"y\":{\"value\":null}},\"unknown\":null}");
    free(text);
    json_decref(node);
    const struct outer wrong = {.text = "\xff"};
    assert_null(sm_rows_json(outer_rows, &wrong));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_gate_holds_on_a_number_that_nobody_filled),
        cmocka_unit_test(infinite_numbers_become_undefined),
        cmocka_unit_test(rows_are_written_by_their_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
