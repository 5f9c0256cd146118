/* The scores of an audit by cohort, the input of every statistic.
 *
 * Owner: sm_samples_make allocates, sm_samples_release frees. Threads: no state. */
#ifndef CORE_AUDIT_SAMPLE_H
#define CORE_AUDIT_SAMPLE_H

#include "sslmem/audit.h"

struct sm_sample {
    double *m;      /* in the order of the items */
    double *sorted; /* ascending */
    size_t *item;   /* position of m[i] in the items of the audit */
    size_t count, failed;
};

struct sm_samples {
    struct sm_sample of[SM_COHORTS];
    size_t scored, failed;
    double min, max; /* over every scored image; NAN without one */
    double *values;  /* memory of `m` and `sorted` of all cohorts */
    size_t *items;   /* memory of `item` of all cohorts */
};

/* Returns false for failed images and for scores that are not finite. */
bool sm_item_scored(const struct sm_audit_item *item);

enum sm_code sm_samples_make(struct sm_samples *out, const struct sm_audit *audit,
                             struct sm_err *err);
void sm_samples_release(struct sm_samples *samples);

/* Returns `method` for an interval that begins at `low`, NULL if `low` is undefined. */
const char *sm_interval_method(double low, const char *method);

const char *sm_cohort_plural(enum sm_cohort cohort); /* for sentences: "candidates" */

#endif
