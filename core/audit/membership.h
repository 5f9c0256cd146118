/* Membership tests of an audit: a number of each image tells candidates, which f was trained on,
 * from images that it was not. The number is the score m, or what an outsider has, who holds f
 * alone. Both are parts of the summary (summary.h), where an undefined number is NAN.
 *
 * Owner: plain values. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_AUDIT_MEMBERSHIP_H
#define CORE_AUDIT_MEMBERSHIP_H

#include "core/stats/share.h"
#include "sslmem/audit.h"

#define SM_WORDS_BYTES    300 /* room for a sentence */
#define SM_ROC_POINTS_MAX 512

enum { SM_FPR_10, SM_FPR_1, SM_FPR_01, SM_FPR_0, SM_FPRS };
struct sm_audit_epsilon {
    double lower, delta, confidence, threshold;
    int64_t true_positives, members_counted, false_positives, others_counted;
    const char *note;
};

/* A membership test: candidates against the images of another cohort. */
struct sm_audit_membership {
    const char *key;
    enum sm_cohort members, others;
    bool is_reference; /* `others` is the reference cohort */
    int64_t n_members, n_others;
    struct sm_auc auc;
    const char *auc_method; /* NULL: no interval */
    int64_t resamples;
    struct sm_tpr tpr_at_fpr[SM_FPRS];
    double advantage;
    bool has_epsilon, has_roc;
    struct sm_audit_epsilon epsilon;
    int64_t roc_points_total; /* points of the curve before it is thinned */
    size_t roc_count;
    struct sm_roc_point roc[SM_ROC_POINTS_MAX];
    char words[SM_WORDS_BYTES];
};

/* What an outsider learns, who holds f and an image but no g: signals of f alone as membership
 * tests. None of them measures memorization: images differ in them for other reasons too. */
enum sm_outsider_signal {
    SM_OUTSIDER_ALIGNMENT,
    SM_OUTSIDER_NORM_1,
    SM_OUTSIDER_NORM_2,
    SM_OUTSIDER_NORM_MAX,
    SM_OUTSIDER_SIGNALS
};
/* How much of the candidates was used to train f, by 1 - A_f: a random half of the shared images,
 * which f is known to have seen, and of `others` chooses the threshold; the rest is counted. */
struct sm_audit_used {
    int64_t suspects, members, others; /* images counted */
    int64_t resamples;
    double threshold;
    struct sm_used_share of; /* undefined where there is a note */
    const char *note;        /* why nothing can be said; NULL: share and interval are defined */
    char words[SM_WORDS_BYTES];
};
struct sm_audit_outsider {
    enum sm_cohort others; /* externals; without any, independents, which f did not see either */
    char missing[SM_WORDS_BYTES]; /* which signal cannot be given, and why; "": none */
    bool alone;                   /* the pair has no g: these signals are the audit's result */
    struct sm_audit_used used;
    size_t count;                                            /* signals in use */
    struct sm_audit_membership signals[SM_OUTSIDER_SIGNALS]; /* key: name of the signal */
};

/* Fills the numbers and the curve of a test; a higher value means member. The caller sets key,
 * others, is_reference, words and epsilon. */
struct sm_membership_values {
    const double *members, *others;
    size_t members_count, others_count;
};
enum sm_code sm_membership_test(struct sm_audit_membership *out,
                                const struct sm_membership_values *values, int32_t resamples,
                                uint64_t seed, struct sm_err *err);

#endif
