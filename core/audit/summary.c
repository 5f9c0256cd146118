/* The summary as JSON, one table per struct: names and order of members are those of
 * deploy/report.schema.json. */
#include "core/audit/summary.h"

#include <math.h>
#include <stdlib.h>

#include "core/audit/rows.h"

#define S struct sm_audit_images
static const struct sm_row images_rows[] = {SM_ROW("total", total),
                                            SM_ROW("scored", scored),
                                            SM_ROW("failed", failed),
                                            SM_ROW("failed_share", failed_share),
                                            {0}};
#undef S

#define S struct sm_audit_normalization
static const struct sm_row normalization_rows[] = {SM_ROW("population", population),
                                                   SM_ROW("n", n),
                                                   SM_ROW("min", min),
                                                   SM_ROW("max", max),
                                                   SM_ROW("divisor", divisor),
                                                   {0}};
#undef S

#define S struct sm_audit_edges
static const struct sm_row edges_rows[] = {
    SM_ROW("low", low), SM_ROW("high", high), SM_ROW("bins", bins), {0}};
#undef S

/* --- cohorts --- */

#define S struct sm_audit_quantile
static const struct sm_row quantile_rows[] = {SM_ROW("q", q), SM_ROW("value", value), {0}};
#undef S

#define S struct sm_audit_cohort
static const struct sm_row against_zero_rows[] = {
    SM_ROW("t", against_zero.t),
    SM_ROW("df", against_zero.df),
    SM_ROW("p_two_sided", against_zero.p_two_sided),
    SM_ROW("p_greater", against_zero.p_greater),
    SM_ROW("cohen_d", against_zero.cohen_d),
    SM_ROW("low", against_zero.low),
    SM_ROW("high", against_zero.high),
    SM_ROW_AS("interval_method", against_zero.low, SM_ROW_METHOD, .method = "student"),
    SM_ROW("words", against_zero_words),
    {0}};
static const struct sm_row cohort_rows[] = {
    SM_ROW("n", n),
    SM_ROW("failed", failed),
    SM_ROW("mean", mean),
    SM_ROW("sd", sd),
    SM_ROW("se", se),
    SM_ROW("normalized_mean", normalized_mean),
    SM_ROW_ARRAY(SM_ROW_LIST, "quantiles", quantiles, quantile_rows),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "histogram", histogram, NULL, .known = SM_ROW_AT(has_histogram)),
    SM_ROW_SAME("against_zero", against_zero_rows),
    {0}};
#undef S

/* --- contrasts --- */

#define S struct sm_ttest
static const struct sm_row ttest_rows[] = {SM_ROW("t", t),
                                           SM_ROW("df", df),
                                           SM_ROW("p_two_sided", p_two_sided),
                                           SM_ROW("p_greater", p_greater),
                                           SM_ROW("low", low),
                                           SM_ROW("high", high),
                                           {0}};
#undef S

#define S struct sm_mwu
static const struct sm_row mann_whitney_rows[] = {
    SM_ROW("u", u), SM_ROW("p_two_sided", p_two_sided), SM_ROW("p_greater", p_greater), {0}};
#undef S

#define S struct sm_audit_contrast
static const struct sm_row contrast_rows[] = {
    SM_ROW("a", a),
    SM_ROW("b", b),
    SM_ROW("n_a", n_a),
    SM_ROW("n_b", n_b),
    SM_ROW("difference", difference),
    SM_ROW("low", welch.low),
    SM_ROW("high", welch.high),
    SM_ROW_AS("interval_method", welch.low, SM_ROW_METHOD, .method = "welch"),
    SM_ROW("cohen_d", student.cohen_d),
    SM_ROW("hedges_g", student.hedges_g),
    SM_ROW_STRUCT("student", student, ttest_rows),
    SM_ROW_STRUCT("welch", welch, ttest_rows),
    SM_ROW_STRUCT("mann_whitney", mann_whitney, mann_whitney_rows),
    SM_ROW("words", words),
    SM_ROW("caution", caution),
    {0}};
#undef S

/* --- membership --- */

#define S struct sm_tpr
static const struct sm_row rate_rows[] = {
    SM_ROW("fpr", fpr),
    SM_ROW("tpr", tpr),
    SM_ROW("threshold", threshold),
    SM_ROW("interval", interval),
    SM_ROW_AS("interval_method", interval.low, SM_ROW_METHOD, .method = "clopper_pearson"),
    SM_ROW("enough", enough),
    {0}};
#undef S

#define S struct sm_audit_epsilon
static const struct sm_row epsilon_rows[] = {SM_ROW("lower", lower),
                                             SM_ROW("delta", delta),
                                             SM_ROW("confidence", confidence),
                                             SM_ROW("threshold", threshold),
                                             SM_ROW("true_positives", true_positives),
                                             SM_ROW("members_counted", members_counted),
                                             SM_ROW("false_positives", false_positives),
                                             SM_ROW("others_counted", others_counted),
                                             SM_ROW("note", note),
                                             {0}};
#undef S

/* The threshold of the first point is infinite and therefore null. */
#define S struct sm_roc_point
static const struct sm_row point_rows[] = {
    SM_ROW("fpr", fpr), SM_ROW("tpr", tpr), SM_ROW("threshold", threshold), {0}};
#undef S

#define S struct sm_audit_membership
static const struct sm_row auc_rows[] = {SM_ROW("value", auc.auc),
                                         SM_ROW("se", auc.se),
                                         SM_ROW("interval", auc.interval),
                                         SM_ROW("interval_method", auc_method),
                                         SM_ROW("enough", auc.enough),
                                         SM_ROW("delong", auc.delong),
                                         SM_ROW("newcombe", auc.newcombe),
                                         SM_ROW("bootstrap", auc.bootstrap),
                                         SM_ROW("resamples", resamples),
                                         SM_ROW("p_two_sided", auc.p_two_sided),
                                         {0}};
static const struct sm_row roc_rows[] = {
    SM_ROW("points_total", roc_points_total),
    SM_ROW_ARRAY(SM_ROW_TUPLES, "points", roc, point_rows, .counted = SM_ROW_AT(roc_count)),
    {0}};
static const struct sm_row membership_rows[] = {
    SM_ROW("members", members),
    SM_ROW("others", others),
    SM_ROW("is_reference", is_reference),
    SM_ROW("n_members", n_members),
    SM_ROW("n_others", n_others),
    SM_ROW_SAME("auc", auc_rows),
    SM_ROW_ARRAY(SM_ROW_LIST, "tpr_at_fpr", tpr_at_fpr, rate_rows),
    SM_ROW("advantage", advantage),
    SM_ROW_STRUCT("epsilon", epsilon, epsilon_rows, .known = SM_ROW_AT(has_epsilon)),
    SM_ROW_SAME("roc", roc_rows, .known = SM_ROW_AT(has_roc)),
    SM_ROW("words", words),
    {0}};
#undef S

#define S struct sm_audit_used
static const struct sm_row used_rows[] = {
    SM_ROW("suspects", suspects),
    SM_ROW("members", members),
    SM_ROW("others", others),
    SM_ROW("threshold", threshold),
    SM_ROW("positive_share", of.positive_share),
    SM_ROW("tpr", of.tpr),
    SM_ROW("fpr", of.fpr),
    SM_ROW("share", of.share),
    SM_ROW("interval", of.interval),
    SM_ROW_AS("interval_method", of.interval.low, SM_ROW_METHOD, .method = "bootstrap"),
    SM_ROW("resamples", resamples),
    SM_ROW("note", note),
    SM_ROW("words", words),
    {0}};
#undef S

#define S struct sm_audit_outsider
static const struct sm_row outsider_rows[] = {
    SM_ROW("alone", alone),
    SM_ROW("others", others),
    SM_ROW_ARRAY(SM_ROW_KEYED, "signals", signals, membership_rows, .counted = SM_ROW_AT(count)),
    SM_ROW("missing", missing),
    SM_ROW_STRUCT("used_share", used, used_rows),
    {0}};
#undef S

/* --- FDR, classes and groups --- */

#define S struct sm_audit_fdr_level
static const struct sm_row fdr_level_rows[] = {SM_ROW("q", q),
                                               SM_ROW_AS("count", count, SM_ROW_WHOLE),
                                               SM_ROW("share", share),
                                               SM_ROW("expected_false", expected_false),
                                               SM_ROW("enough", enough),
                                               SM_ROW_AS("at_least", at_least, SM_ROW_WHOLE),
                                               {0}};
#undef S

#define S struct sm_audit_p_level
static const struct sm_row p_level_rows[] = {
    SM_ROW("p", p), SM_ROW_AS("count", count, SM_ROW_WHOLE), SM_ROW("expected", expected), {0}};
#undef S

#define S struct sm_audit_fdr
static const struct sm_row fdr_rows[] = {
    SM_ROW("reference", reference),
    SM_ROW("candidates", candidates),
    SM_ROW("reference_n", reference_n),
    SM_ROW("p_smallest", p_smallest),
    SM_ROW_ARRAY(SM_ROW_LIST, "levels", levels, fdr_level_rows),
    SM_ROW_ARRAY(SM_ROW_LIST, "p_levels", p_levels, p_level_rows),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "p_histogram", p_histogram, NULL),
    {0}};
#undef S

#define S struct sm_audit_label
static const struct sm_row label_rows[] = {
    SM_ROW("label", label),
    SM_ROW("n", n),
    SM_ROW("reference_n", reference_n),
    SM_ROW("mean", mean),
    SM_ROW("reference_mean", reference_mean),
    SM_ROW("difference", difference),
    SM_ROW("low", welch.low),
    SM_ROW("high", welch.high),
    SM_ROW_AS("interval_method", welch.low, SM_ROW_METHOD, .method = "welch"),
    SM_ROW("p_two_sided", welch.p_two_sided),
    SM_ROW("q_value", q_value),
    SM_ROW("listed", listed),
    {0}};
#undef S

#define S struct sm_audit_labels
static const struct sm_row labels_rows[] = {
    SM_ROW("count", count),
    SM_ROW_ARRAY(SM_ROW_LIST, "rows", rows, label_rows, .counted = SM_ROW_AT(shown)),
    {0}};
#undef S

/* --- reliability --- */

#define S struct sm_audit_views_needed
static const struct sm_row needed_rows[] = {
    SM_ROW("reliability", reliability), SM_ROW_AS("views", views, SM_ROW_WHOLE), {0}};
#undef S

#define S struct sm_audit_reliability_row
static const struct sm_row shrinkage_rows[] = {
    SM_ROW("n", pooled_n), SM_ROW("mean", shrinkage.mean), SM_ROW("tau2", shrinkage.tau2), {0}};
static const struct sm_row reliability_cohort_rows[] = {
    SM_ROW("n", n),
    SM_ROW("noise", of.noise),
    SM_ROW("variance", of.variance),
    SM_ROW("reliability", of.value),
    SM_ROW("interval", of.interval),
    SM_ROW_AS("interval_method", of.interval.low, SM_ROW_METHOD, .method = "bootstrap"),
    SM_ROW_ARRAY(SM_ROW_LIST, "views_needed", needed, needed_rows),
    SM_ROW_SAME("shrinkage", shrinkage_rows),
    SM_ROW("words", words),
    {0}};
#undef S

#define S struct sm_audit_reliability
static const struct sm_row reliability_rows[] = {
    SM_ROW_AS("views", views, SM_ROW_WHOLE),
    SM_ROW("resamples", resamples),
    SM_ROW("note", note),
    SM_ROW_ARRAY(SM_ROW_KEYED, "cohorts", cohorts, reliability_cohort_rows),
    {0}};
#undef S

/* --- flags and gates --- */

#define S struct sm_audit_flag
static const struct sm_row flag_rows[] = {SM_ROW("code", code), SM_ROW("text", text), {0}};
#undef S

#define GROUP_IMAGES_MAX 100 /* listed of a group */

/* [[index, index …] …] */
static json_t *repeats_json(const struct sm_audit_repeats *repeats, const int64_t *by_digest)
{
    json_t *out = json_array();
    bool whole = out != NULL;
    for (size_t i = 0; whole && i < repeats->listed; i++) {
        size_t first = repeats->groups[i].first, count = repeats->groups[i].count;
        json_t *group = json_array();
        whole = json_array_append_new(out, group) == 0;
        for (size_t k = 0; whole && k < count && k < GROUP_IMAGES_MAX; k++)
            whole = json_array_append_new(group, json_integer(by_digest[first + k])) == 0;
    }
    if (whole)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *flag_json(const struct sm_audit_flag *flag, const int64_t *by_digest)
{
    if (flag->of_pair)
        return json_incref((json_t *)(uintptr_t)flag->of_pair);
    json_t *out = sm_rows_json(flag_rows, flag);
    if (!out || !flag->repeats ||
        json_object_set_new(out, "images", repeats_json(flag->repeats, by_digest)) == 0)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *flags_json(const void *member)
{
    const struct sm_audit_flags *flags = member;
    json_t *out = json_array();
    for (size_t i = 0; out && i < flags->count; i++) {
        if (json_array_append_new(out, flag_json(&flags->rows[i], flags->by_digest)) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

#define S struct sm_audit_gate_verdict
static const struct sm_row gate_rows[] = {SM_ROW("gate", gate),       SM_ROW("number", number),
                                          SM_ROW("meaning", meaning), SM_ROW("limit", limit),
                                          SM_ROW("value", value),     SM_ROW("passed", passed),
                                          SM_ROW("note", note),       {0}};
#undef S

#define S struct sm_audit_judgement
static const struct sm_row judgement_rows[] = {
    SM_ROW_ARRAY(SM_ROW_LIST, "gates", gates, gate_rows, .counted = SM_ROW_AT(count)),
    SM_ROW("passed", passed),
    {0}};
#undef S

json_t *sm_judgement_json(const struct sm_audit_judgement *judgement,
                          const struct sm_audit_flags *flags)
{
    json_t *out = sm_rows_json(judgement_rows, judgement);
    if (out && json_object_set_new(out, "flags", flags_json(flags)) == 0)
        return out;
    json_decref(out);
    return NULL;
}

/* --- controls --- */

#define S struct sm_audit_control
static const struct sm_row control_rows[] = {SM_ROW("a", a),
                                             SM_ROW("b", b),
                                             SM_ROW("encoder", encoder),
                                             SM_ROW("n_a", n_a),
                                             SM_ROW("n_b", n_b),
                                             SM_ROW("auc", auc.auc),
                                             SM_ROW("interval", auc.interval),
                                             SM_ROW("interval_method", auc_method),
                                             SM_ROW("p_two_sided", auc.p_two_sided),
                                             SM_ROW("differs", differs),
                                             SM_ROW("words", words),
                                             {0}};
#undef S

#define S struct sm_audit_blind
static const struct sm_row blind_rows[] = {SM_ROW("a", a),
                                           SM_ROW("b", b),
                                           SM_ROW("n_a", n_a),
                                           SM_ROW("n_b", n_b),
                                           SM_ROW("auc", auc.auc),
                                           SM_ROW("interval", auc.interval),
                                           SM_ROW("interval_method", auc_method),
                                           SM_ROW("p_value", p_value),
                                           SM_ROW("separates", separates),
                                           SM_ROW("words", words),
                                           {0}};
#undef S

static json_t *near_groups_json(const void *member)
{
    const struct sm_audit_near_groups *groups = member;
    return repeats_json(&groups->repeats, groups->members);
}

#define S struct sm_audit_duplicates
static const struct sm_row without_rows[] = {SM_ROW("n_candidates", without.n_candidates),
                                             SM_ROW("n_reference", without.n_reference),
                                             SM_ROW("auc", without.auc.auc),
                                             SM_ROW("interval", without.auc.interval),
                                             SM_ROW("difference", without.welch.difference),
                                             SM_ROW("difference_low", without.welch.low),
                                             SM_ROW("difference_high", without.welch.high),
                                             {0}};
static const struct sm_row duplicates_rows[] = {
    SM_ROW("images", images),
    SM_ROW("images_across", images_across),
    SM_ROW("groups", groups_count),
    SM_ROW("groups_across", groups_across),
    SM_ROW("share", share),
    SM_ROW_AS("listed", groups, SM_ROW_CUSTOM, .write = near_groups_json),
    SM_ROW_SAME("without", without_rows),
    SM_ROW("words", words),
    {0}};
#undef S

#define S struct sm_audit_controls
static const struct sm_row controls_rows[] = {
    SM_ROW("note", note),
    SM_ROW_ARRAY(SM_ROW_KEYED, "control", control, control_rows, .known = SM_ROW_AT(on)),
    SM_ROW_ARRAY(SM_ROW_KEYED, "blind", blind, blind_rows, .known = SM_ROW_AT(has_pixels)),
    SM_ROW_STRUCT("duplicates", duplicates, duplicates_rows, .known = SM_ROW_AT(has_duplicates)),
    SM_ROW("control_auc_dev", control_auc_dev),
    SM_ROW("blind_auc", blind_auc),
    SM_ROW("duplicates_share", duplicates_share),
    {0}};
#undef S

/* --- the whole --- */

static json_t *completeness_json(const void *member)
{
    return sm_completeness_json(member);
}

#define S struct sm_audit_summary
static const struct sm_row summary_rows[] = {
    SM_ROW_AS("completeness", completeness, SM_ROW_CUSTOM, .write = completeness_json),
    SM_ROW_STRUCT("images", images, images_rows),
    SM_ROW("reference", reference),
    SM_ROW_STRUCT("normalization", normalization, normalization_rows),
    SM_ROW_STRUCT("histogram", edges, edges_rows, .known = SM_ROW_AT(has_edges)),
    SM_ROW_ARRAY(SM_ROW_KEYED, "cohorts", cohorts, cohort_rows),
    SM_ROW_ARRAY(SM_ROW_KEYED, "comparisons", contrasts, contrast_rows),
    SM_ROW_ARRAY(SM_ROW_KEYED, "membership", membership, membership_rows),
    SM_ROW_STRUCT("outsider", outsider, outsider_rows),
    SM_ROW_STRUCT("fdr", fdr, fdr_rows),
    SM_ROW_STRUCT("classes", classes, labels_rows),
    SM_ROW_STRUCT("groups", groups, labels_rows),
    SM_ROW_STRUCT("reliability", reliability, reliability_rows),
    SM_ROW_STRUCT("controls", controls, controls_rows),
    SM_ROW_AS("flags", flags, SM_ROW_CUSTOM, .write = flags_json),
    SM_ROW_ARRAY(SM_ROW_LIST, "gates", own.gates, gate_rows, .counted = SM_ROW_AT(own.count)),
    SM_ROW("passed", own.passed),
    SM_ROW_STRUCT("judged", judged, judgement_rows, .known = SM_ROW_AT(has_judged),
                  .optional = true),
    {0}};
#undef S

json_t *sm_summary_json(const struct sm_audit_summary *summary)
{
    return sm_rows_json(summary_rows, summary);
}

static double undefined(double value)
{
    (void)value;
    return NAN;
}

static double finite_or_undefined(double value)
{
    return isfinite(value) ? value : NAN;
}

void sm_summary_clear(struct sm_audit_summary *summary)
{
    *summary = (struct sm_audit_summary){0};
    sm_rows_settle(summary_rows, summary, undefined);
}

void sm_summary_seal(struct sm_audit_summary *summary)
{
    sm_rows_settle(summary_rows, summary, finite_or_undefined);
}

void sm_summary_release(struct sm_audit_summary *summary)
{
    free(summary->flags.rows);
    free(summary->flags.by_digest);
    free(summary->controls.duplicates.groups.members);
    json_decref(summary->flags.of_pair);
}
