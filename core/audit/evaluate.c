/* Every number of an audit, once: samples, then what each image gets, then the summary part by
 * part. Flags and gates come last, because they read the parts before them.
 *
 * Cost: sorting, O(n log n), and the bootstrap, O(resamples n). Memory: some 100 bytes an image. */
#include <stdlib.h>

#include "core/audit/gate.h"
#include "core/audit/result.h"
#include "core/base/json.h"

static json_t *images_json(const struct sm_samples *samples, size_t total)
{
    double share = total > 0 ? (double)samples->failed / (double)total : 0;
    return json_pack("{s:I, s:I, s:I, s:o}", "total", (json_int_t)total, "scored",
                     (json_int_t)samples->scored, "failed", (json_int_t)samples->failed,
                     "failed_share", total > 0 ? json_real(share) : json_null());
}

static json_t *verdict_json(enum sm_verdict verdict)
{
    return verdict == SM_VERDICT_NONE ? json_null() : json_boolean(verdict == SM_VERDICT_PASSED);
}

static bool add(struct sm_audit_result *result, const char *key, json_t *part)
{
    return json_object_set_new(result->summary, key, part) == 0;
}

static enum sm_code summarize(struct sm_audit_result *result, const struct sm_audit *audit,
                              struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    json_t *gates = NULL, *judged = NULL;
    struct sm_err inner = {.code = SM_OK};
    enum sm_verdict verdict = SM_VERDICT_NONE;
    result->summary = json_object();
    bool whole =
        add(result, "completeness", sm_completeness_json(&audit->completeness)) &&
        add(result, "images", images_json(samples, audit->items_count)) &&
        add(result, "reference", json_string(sm_cohort_name(audit->spec->reference))) &&
        add(result, "normalization", sm_normalization_json(samples)) &&
        add(result, "histogram", sm_histogram_json(samples)) &&
        add(result, "cohorts", sm_cohorts_json(samples)) &&
        add(result, "comparisons", sm_comparisons_json(samples, &inner)) &&
        add(result, "membership", sm_membership_json(samples, audit->spec, &inner)) &&
        add(result, "fdr", sm_fdr_json(result, audit)) &&
        add(result, "classes", sm_labels_json(result, audit, SM_LABEL_CLASS, &inner)) &&
        add(result, "groups", sm_labels_json(result, audit, SM_LABEL_GROUP, &inner)) &&
        add(result, "flags", sm_flags_json(result, audit, &inner)) &&
        sm_gates_evaluate(&gates, &verdict, audit->spec, result->summary, &inner) == SM_OK &&
        add(result, "gates", gates) && add(result, "passed", verdict_json(verdict)) &&
        (!audit->judged ||
         (sm_audit_judge(&judged, result, audit->judged, &inner) == SM_OK &&
          json_object_del(judged, "flags") == 0 && add(result, "judged", judged)));
    result->passed = verdict == SM_VERDICT_PASSED;
    if (whole)
        return SM_OK;
    if (inner.code != SM_OK)
        return sm_err_set(err, inner.code, "%s", inner.text);
    return sm_err_set(err, SM_NOMEM, "out of memory for the summary of %zu images",
                      audit->items_count);
}

enum sm_code sm_audit_judge(json_t **out, const struct sm_audit_result *result,
                            const struct sm_audit_spec *gates, struct sm_err *err)
{
    json_t *list;
    enum sm_verdict verdict;
    *out = NULL;
    enum sm_code code = sm_gates_evaluate(&list, &verdict, gates, result->summary, err);
    if (code != SM_OK)
        return code;
    *out = json_pack("{s:o, s:o, s:O}", "gates", list, "passed", verdict_json(verdict), "flags",
                     json_object_get(result->summary, "flags"));
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for gates");
}

enum sm_code sm_audit_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                               struct sm_err *err)
{
    *out = NULL;
    struct sm_audit_result *result = calloc(1, sizeof *result);
    if (!result)
        return sm_err_set(err, SM_NOMEM, "out of memory for the result of %zu images",
                          audit->items_count);
    enum sm_code code = sm_samples_make(&result->samples, audit, err);
    if (code == SM_OK)
        code = sm_images_evaluate(result, audit, err);
    if (code == SM_OK)
        code = summarize(result, audit, err);
    if (code == SM_OK)
        *out = result;
    else
        sm_audit_result_free(result);
    return code;
}

void sm_audit_result_free(struct sm_audit_result *result)
{
    if (!result)
        return;
    json_decref(result->summary);
    sm_samples_release(&result->samples);
    free(result->images);
    free(result->ranked);
    free(result);
}

const json_t *sm_audit_result_json(const struct sm_audit_result *result)
{
    return result->summary;
}

bool sm_audit_result_passed(const struct sm_audit_result *result)
{
    return result->passed;
}
