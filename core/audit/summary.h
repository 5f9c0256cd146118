/* The summary of an audit: every number but those per image. The statistics fill it (result.h says
 * which file fills which part); flags, gates and page read it; summary.c writes it as JSON, once.
 *
 * An undefined number is NAN, so that no comparison with it holds. sm_summary_clear makes every
 * number undefined before the parts are filled; sm_summary_seal makes infinite ones undefined.
 *
 * Owner: sm_summary_release frees what the summary owns; it borrows labels from the audit. Threads:
 * no state. */
#ifndef CORE_AUDIT_SUMMARY_H
#define CORE_AUDIT_SUMMARY_H

#include "core/audit/labels.h"
#include "core/audit/membership.h"
#include "core/audit/reliability.h"
#include "core/audit/summary_controls.h"

#define SM_COHORT_BINS 40
#define SM_P_BINS      20

struct sm_audit_images {
    int64_t total, scored, failed;
    double failed_share;
};
/* Range of all scores; the divisor is NAN when all are equal. */
struct sm_audit_normalization {
    const char *population;
    int64_t n;
    double min, max, divisor;
};
/* Edges of the histograms, which all cohorts share. */
struct sm_audit_edges {
    double low, high;
    int64_t bins;
};

enum { SM_Q_0, SM_Q_1, SM_Q_5, SM_Q_25, SM_Q_50, SM_Q_75, SM_Q_95, SM_Q_99, SM_Q_100, SM_QS };
struct sm_audit_quantile {
    double q, value; /* q from 0 to 1 */
};
struct sm_audit_cohort {
    const char *key; /* name of the cohort */
    int64_t n, failed;
    double mean, sd, se, normalized_mean;
    struct sm_audit_quantile quantiles[SM_QS];
    int64_t histogram[SM_COHORT_BINS];
    bool has_histogram;
    struct sm_ttest against_zero;
    char against_zero_words[SM_WORDS_BYTES];
};

/* Positions of the tests of candidates against a cohort, in `contrasts` and in `membership`. */
enum sm_against { SM_AGAINST_EXTERNAL, SM_AGAINST_INDEPENDENT, SM_AGAINST };

/* Cohort a against cohort b; memorization makes a score higher. */
#define SM_CONTRASTS 6
struct sm_audit_contrast {
    const char *key; /* "candidate_external" */
    enum sm_cohort a, b;
    int64_t n_a, n_b;
    double difference; /* mean of a minus mean of b */
    struct sm_ttest student, welch;
    struct sm_mwu mann_whitney;
    char words[SM_WORDS_BYTES];
    char caution[120]; /* "": both cohorts are large enough */
};

enum { SM_FDR_1, SM_FDR_5, SM_FDR_10, SM_FDRS };
/* Candidates listed at a false discovery rate of q. */
struct sm_audit_fdr_level {
    double q, count, share;
    double expected_false; /* of those listed, by chance */
    bool enough;           /* the reference can give such a q-value */
    double at_least;       /* length of the shortest list that is possible */
};
/* Candidates whose p-value is at most p. */
struct sm_audit_p_level {
    double p, count, expected; /* expected by chance */
};
struct sm_audit_fdr {
    enum sm_cohort reference;
    int64_t candidates, reference_n;
    double p_smallest;
    struct sm_audit_fdr_level levels[SM_FDRS];
    struct sm_audit_p_level p_levels[SM_FDRS];
    int64_t p_histogram[SM_P_BINS]; /* candidates by p-value, equal bins of (0, 1] */
};

enum { SM_REPEATS_REFERENCE, SM_REPEATS_ACROSS, SM_REPEATS_WITHIN, SM_REPEATS };

/* Codes of flags that make gates fail. */
#define SM_FLAG_SIDES_SAME              "sides_same"
#define SM_FLAG_CANDIDATES_IN_REFERENCE "candidates_in_reference"
#define SM_FLAG_SCORES_CONSTANT         "scores_constant"
#define SM_FLAG_G_MISSING               "g_missing" /* of the pair */
struct sm_audit_flag {
    const char *code, *text; /* "" where a flag of the pair has none */
    char own_text[400];
    const struct sm_audit_repeats *repeats; /* NULL: the flag lists no images */
    const json_t *of_pair; /* a flag of the pair, written as the pair has it; NULL: the audit's */
};
struct sm_audit_flags {
    struct sm_audit_flag *rows;
    size_t count, room;
    struct sm_audit_repeats repeats[SM_REPEATS];
    int64_t *by_digest; /* indices of the images, equal files next to each other */
    json_t *of_pair;    /* keeps the pair's flags alive */
};

enum sm_verdict { SM_VERDICT_NONE, SM_VERDICT_FAILED, SM_VERDICT_PASSED };
struct sm_audit_gate_verdict {
    char gate[sizeof((struct sm_audit_gate *)0)->text];
    const char *number, *meaning;
    double limit, value;
    enum sm_verdict passed;
    const char *note; /* reason for the verdict; NULL: the number decided */
};
struct sm_audit_judgement {
    enum sm_verdict passed; /* PASSED: every gate holds */
    size_t count;
    struct sm_audit_gate_verdict gates[SM_AUDIT_GATES_MAX];
};

struct sm_audit_summary {
    struct sm_completeness completeness;
    struct sm_audit_images images;
    enum sm_cohort reference;
    enum sm_against against; /* position of the reference's tests */
    struct sm_audit_normalization normalization;
    struct sm_audit_edges edges;
    bool has_edges; /* there are two different scores */
    struct sm_audit_cohort cohorts[SM_COHORTS];
    struct sm_audit_contrast contrasts[SM_CONTRASTS];
    struct sm_audit_membership membership[SM_AGAINST];
    struct sm_audit_outsider outsider;
    struct sm_audit_fdr fdr;
    struct sm_audit_labels classes, groups;
    struct sm_audit_reliability reliability;
    struct sm_audit_controls controls;
    struct sm_audit_flags flags;
    struct sm_audit_judgement own;    /* gates of the audit */
    struct sm_audit_judgement judged; /* gates set afterwards */
    bool has_judged;
};

void sm_summary_clear(struct sm_audit_summary *summary);
void sm_summary_seal(struct sm_audit_summary *summary);
void sm_summary_release(struct sm_audit_summary *summary);
/* New references; NULL when out of memory. A judgement is {"gates", "passed", "flags"}. */
json_t *sm_summary_json(const struct sm_audit_summary *summary);
json_t *sm_judgement_json(const struct sm_audit_judgement *judgement,
                          const struct sm_audit_flags *flags);

#endif
