/* The part of the summary that says whether the cohorts are alike but for membership. Included by
 * summary.h. */
#ifndef CORE_AUDIT_SUMMARY_CONTROLS_H
#define CORE_AUDIT_SUMMARY_CONTROLS_H

#include "core/audit/summary_repeats.h"
#include "sslmem/audit.h"
#include "sslmem/stats.h"

/* A control or blind classifier is reported to separate at this level, not at 5 %: there are two of
 * each, and 1 of 10 audits without a fault would be flagged. */
#define SM_CONTROL_LEVEL .01
/* Share of images with a near-duplicate above which they are flagged; single pairs occur by chance
 * among small images. */
#define SM_DUPLICATES_SHARE .01

/* Alignments of an encoder that saw neither cohort: -A as a test of a against b. */
#define SM_CONTROLS 2
struct sm_audit_control {
    const char *key; /* "candidate_external" */
    enum sm_cohort a, b;
    const char *encoder; /* "g" or "f" */
    int64_t n_a, n_b;
    struct sm_auc auc;
    const char *auc_method; /* NULL: no interval */
    bool differs;           /* the 99 % interval is without 0.5 */
    char words[SM_WORDS_BYTES];
};

/* A classifier that sees pixels and no encoder, of a against b. */
#define SM_BLINDS 2
struct sm_audit_blind {
    const char *key;
    enum sm_cohort a, b;
    int64_t n_a, n_b; /* distinct images used */
    struct sm_auc auc;
    const char *auc_method;
    double p_value;
    bool separates;
    char words[SM_WORDS_BYTES];
};

struct sm_audit_near_groups {
    struct sm_audit_repeats repeats; /* the first groups */
    int64_t *members;                /* indices of images, those of a group next to each other */
};
struct sm_audit_duplicates {
    int64_t images, images_across; /* in a group; in a group of several cohorts */
    int64_t groups_count, groups_across;
    double share; /* of all images with features */
    struct sm_audit_near_groups groups;
    /* Candidates against the reference without the images of groups of several cohorts, and with
     * the first image of every other group. */
    struct {
        int64_t n_candidates, n_reference;
        struct sm_auc auc;
        struct sm_ttest welch;
    } without;
    char words[SM_WORDS_BYTES];
};

struct sm_audit_controls {
    const char *note; /* what was not measured, and why; NULL: nothing */
    bool on, has_pixels, has_duplicates;
    struct sm_audit_control control[SM_CONTROLS];
    struct sm_audit_blind blind[SM_BLINDS];
    struct sm_audit_duplicates duplicates;
    /* For gates. NAN: not measured. */
    double control_auc_dev; /* largest distance of an end of an interval from 0.5 */
    double blind_auc;       /* the largest */
    double duplicates_share;
    bool control_enough, blind_enough;
};

#endif
