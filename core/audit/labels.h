/* The part of the summary about classes and groups (labels.c).
 * Owner: labels are borrowed from the audit. Threads: no state. */
#ifndef CORE_AUDIT_LABELS_H
#define CORE_AUDIT_LABELS_H

#include "sslmem/stats.h"

#define SM_LABELS_SHOWN 100

/* Candidates of a class or group against the reference. */
struct sm_audit_label {
    const char *label;
    int64_t n, reference_n;
    double mean, reference_mean, difference;
    struct sm_ttest welch;
    double q_value; /* over all labels of the kind */
    int64_t listed; /* candidates at FDR 5 % */
};
struct sm_audit_labels {
    int64_t count;
    size_t shown;
    struct sm_audit_label rows[SM_LABELS_SHOWN]; /* those of most candidates first */
};

#endif
