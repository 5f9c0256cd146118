/* The scores of an audit by cohort: what every statistic starts from.
 *
 * Owner: sm_samples_make fills, sm_samples_release frees; `item` are positions in the audit's
 * items. Threads: no state. */
#ifndef CORE_AUDIT_SAMPLE_H
#define CORE_AUDIT_SAMPLE_H

#include "sslmem/audit.h"

struct sm_sample {
    double *m;      /* in the order of the items */
    double *sorted; /* ascending */
    size_t *item;   /* position of m[i] */
    size_t count, failed;
};

struct sm_samples {
    struct sm_sample of[SM_COHORTS];
    size_t scored, failed;
    double min, max; /* over every scored image; NaN for none */
    double *values;  /* what the cohorts' m and sorted lie in */
    size_t *items;
};

/* Failed images have no score, and neither has one whose score is not a finite number. */
bool sm_item_scored(const struct sm_audit_item *item);

enum sm_code sm_samples_make(struct sm_samples *out, const struct sm_audit *audit,
                             struct sm_err *err);
void sm_samples_release(struct sm_samples *samples);

/* What a report calls the method of an interval that begins at `low`; NULL without an interval. */
const char *sm_interval_method(double low, const char *method);

const char *sm_cohort_plural(enum sm_cohort cohort); /* "candidates", … */

#endif
