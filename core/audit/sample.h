/* The scores of an audit by cohort, the input of every statistic.
 *
 * Owner: sm_samples_make allocates, sm_samples_release frees. Threads: no state. */
#ifndef CORE_AUDIT_SAMPLE_H
#define CORE_AUDIT_SAMPLE_H

#include "sslmem/audit.h"

struct sm_sample {
    double *m;      /* in the order of the items */
    double *sorted; /* ascending */
    size_t *item;   /* [scored] positions in the items of the audit, that of m[i] at i */
    size_t count;   /* of m: `scored`, or 0 if the pair has no g, for then there is no m */
    size_t scored, failed;
};

struct sm_samples {
    struct sm_sample of[SM_COHORTS];
    bool has_g;
    size_t scored, failed;
    double min, max; /* of every m; NAN without one */
    double *values;  /* memory of `m` and `sorted` of all cohorts */
    size_t *items;   /* memory of `item` of all cohorts */
};

/* Returns false if the pair that the audit was made with has no g. */
bool sm_audit_has_g(const struct sm_audit *audit);
/* Returns true if the views of an image were drawn from strata. */
bool sm_audit_stratified(const struct sm_audit *audit);
/* Returns false for failed images and for scores that are not finite. */
bool sm_item_scored(const struct sm_audit_item *item, bool has_g);

enum sm_code sm_samples_make(struct sm_samples *out, const struct sm_audit *audit,
                             struct sm_err *err);
void sm_samples_release(struct sm_samples *samples);

/* Returns `method` for an interval that begins at `low`, NULL if `low` is undefined. */
const char *sm_interval_method(double low, const char *method);

const char *sm_cohort_plural(enum sm_cohort cohort); /* for sentences: "candidates" */

#endif
