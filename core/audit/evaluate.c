/* Every number of an audit, once: the parts in their order, then the summary as JSON.
 *
 * Cost: sorting, O(n log n), and the bootstrap, O(resamples n). Memory: about 100 bytes an image,
 * and 0.2 MB for the summary. */
#include <stdlib.h>

#include "core/audit/gate.h"
#include "core/audit/result.h"

/* Parts that compute; flags and gates read them. */
static sm_audit_part *const parts[] = {
    sm_part_images, sm_part_cohorts, sm_part_contrasts,   sm_part_membership, sm_part_outsider,
    sm_part_used,   sm_part_labels,  sm_part_reliability, sm_part_controls,
};

static void begin(struct sm_audit_summary *summary, const struct sm_audit *audit)
{
    sm_summary_clear(summary);
    summary->completeness = audit->completeness;
    summary->reference = audit->spec->reference;
    summary->against = audit->spec->reference == SM_COHORT_INDEPENDENT ? SM_AGAINST_INDEPENDENT
                                                                       : SM_AGAINST_EXTERNAL;
}

static enum sm_code summarize(struct sm_audit_result *result, const struct sm_audit *audit,
                              struct sm_err *err)
{
    struct sm_audit_summary *summary = &result->summary;
    enum sm_code code = SM_OK;
    begin(summary, audit);
    for (size_t i = 0; code == SM_OK && i < sizeof parts / sizeof *parts; i++)
        code = parts[i](result, audit, err);
    sm_summary_seal(summary);
    if (code == SM_OK)
        code = sm_part_flags(result, audit, err);
    if (code == SM_OK)
        code = sm_part_gates(result, audit, err);
    if (code == SM_OK && !(result->json = sm_summary_json(summary)))
        code = sm_err_set(err, SM_NOMEM, "out of memory for the summary of %zu images",
                          audit->items_count);
    return code;
}

enum sm_code sm_audit_judge(json_t **out, const struct sm_audit_result *result,
                            const struct sm_audit_spec *gates, struct sm_err *err)
{
    struct sm_audit_judgement judgement;
    *out = NULL;
    enum sm_code code = sm_gates_evaluate(&judgement, gates, &result->summary, err);
    if (code != SM_OK)
        return code;
    *out = sm_judgement_json(&judgement, &result->summary.flags);
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for gates");
}

static enum sm_code evaluate(struct sm_audit_result **out, sm_audit_part *what,
                             const struct sm_audit *audit, struct sm_err *err)
{
    *out = NULL;
    struct sm_audit_result *result = calloc(1, sizeof *result);
    if (!result)
        return sm_err_set(err, SM_NOMEM, "out of memory for the result of %zu images",
                          audit->items_count);
    enum sm_code code = sm_samples_make(&result->samples, audit, err);
    if (code == SM_OK)
        code = what(result, audit, err);
    if (code == SM_OK)
        *out = result;
    else
        sm_audit_result_free(result);
    return code;
}

enum sm_code sm_audit_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                               struct sm_err *err)
{
    return evaluate(out, summarize, audit, err);
}

static enum sm_code only_controls(struct sm_audit_result *result, const struct sm_audit *audit,
                                  struct sm_err *err)
{
    begin(&result->summary, audit);
    return sm_part_controls(result, audit, err);
}

enum sm_code sm_controls_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                                  struct sm_err *err)
{
    return evaluate(out, only_controls, audit, err);
}

void sm_audit_result_free(struct sm_audit_result *result)
{
    if (!result)
        return;
    json_decref(result->json);
    sm_summary_release(&result->summary);
    sm_samples_release(&result->samples);
    free(result->images);
    free(result->ranked);
    free(result->ranked_shrunken);
    free(result->near);
    free(result);
}

const json_t *sm_audit_result_json(const struct sm_audit_result *result)
{
    return result->json;
}

bool sm_audit_result_passed(const struct sm_audit_result *result)
{
    return result->summary.own.passed == SM_VERDICT_PASSED;
}
