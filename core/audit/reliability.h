/* The part of the summary about the noise of the scores (reliability.c).
 * Threads: no state. */
#ifndef CORE_AUDIT_RELIABILITY_H
#define CORE_AUDIT_RELIABILITY_H

#include "core/audit/summary_repeats.h"
#include "sslmem/audit.h"
#include "sslmem/reliability.h"

enum { SM_RELIABLE_8, SM_RELIABLE_9, SM_RELIABLES };
/* Views that would give a reliability; NAN if it cannot be told. */
struct sm_audit_views_needed {
    double reliability, views;
};
struct sm_audit_reliability_row {
    const char *key; /* name of the cohort */
    int64_t n;       /* scores that have a standard error */
    struct sm_reliability of;
    struct sm_audit_views_needed needed[SM_RELIABLES];
    int64_t pooled_n;              /* scores of the cohort and the reference */
    struct sm_shrinkage shrinkage; /* over them */
    char words[SM_WORDS_BYTES];
};
struct sm_audit_reliability {
    double views; /* of every image; NAN if they differ */
    int64_t resamples;
    const char *note; /* what limits the numbers; NULL: nothing does */
    struct sm_audit_reliability_row cohorts[SM_COHORTS];
};

#endif
