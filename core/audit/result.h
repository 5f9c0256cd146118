/* The inside of a result, and who computes which part of it.
 *
 * Every part is a JSON object of the summary: charts, words, gates and exports read the same
 * numbers. Undefined numbers are null. New references, NULL when out of memory (or `err` is set
 * where there is one). */
#ifndef CORE_AUDIT_RESULT_H
#define CORE_AUDIT_RESULT_H

#include "core/audit/sample.h"

#define SM_FDR_LEVELS 3

/* What an image gets from the cohorts; NaN where undefined. */
struct sm_image_stats {
    double centered, percentile, p, q, normalized;
};

struct sm_audit_result {
    json_t *summary;
    struct sm_samples samples;
    struct sm_image_stats *images; /* by position */
    size_t *ranked;                /* scored candidates, highest m first, equal ones by position */
    bool passed;
};

/* images.c: fills `images` of the result. */
enum sm_code sm_images_evaluate(struct sm_audit_result *result, const struct sm_audit *audit,
                                struct sm_err *err);
json_t *sm_fdr_json(const struct sm_audit_result *result, const struct sm_audit *audit);
json_t *sm_normalization_json(const struct sm_samples *samples);
double sm_divisor(const struct sm_samples *samples); /* NaN for one image or all equal */

/* cohorts.c */
json_t *sm_cohorts_json(const struct sm_samples *samples);
json_t *sm_histogram_json(const struct sm_samples *samples); /* the edges that cohorts share */

/* contrasts.c: the six pairs of cohorts. */
json_t *sm_comparisons_json(const struct sm_samples *samples, struct sm_err *err);

/* membership.c */
json_t *sm_membership_json(const struct sm_samples *samples, const struct sm_audit_spec *spec,
                           struct sm_err *err);

/* labels.c: {"count", "rows"}: at most SM_LABELS_SHOWN, those of most candidates first. */
#define SM_LABELS_SHOWN 100
enum sm_label_kind { SM_LABEL_CLASS, SM_LABEL_GROUP };
json_t *sm_labels_json(const struct sm_audit_result *result, const struct sm_audit *audit,
                       enum sm_label_kind kind, struct sm_err *err);

/* flags.c: reads the summary so far. */
json_t *sm_flags_json(const struct sm_audit_result *result, const struct sm_audit *audit,
                      struct sm_err *err);

/* Numbers in sentences: two digits of a p-value, which may be too small to say. */
#define SM_WORD_BYTES 32
const char *sm_p_words(char out[SM_WORD_BYTES], double p); /* "p = 3e-20" */

#endif
