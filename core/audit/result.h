/* The inside of a result, and which file computes which part of it.
 *
 * Owner: the result owns all of it. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_AUDIT_RESULT_H
#define CORE_AUDIT_RESULT_H

#include "core/audit/sample.h"
#include "core/audit/summary.h"

/* What an image gets from the cohorts; NAN where undefined. */
struct sm_image_stats {
    double centered, percentile, p, q, normalized, shrunken;
};

struct sm_audit_result {
    struct sm_audit_summary summary;
    json_t *json; /* the summary, written once */
    struct sm_samples samples;
    struct sm_image_stats *images; /* by position */
    size_t *ranked;                /* scored candidates, highest m first, equal ones by position */
    size_t *ranked_shrunken;       /* the same, highest shrunken m first, equal ones as in ranked */
    uint32_t *near; /* by position: number of the group of near-duplicates, from 1; 0: none; NULL:
                       not measured */
};

/* Fills its part of the result; may read the parts before it. evaluate.c has the order. */
typedef enum sm_code sm_audit_part(struct sm_audit_result *result, const struct sm_audit *audit,
                                   struct sm_err *err);
sm_audit_part sm_part_images;      /* images.c: statistics per image, counts, normalization, FDR */
sm_audit_part sm_part_cohorts;     /* cohorts.c: each cohort, edges of the histograms */
sm_audit_part sm_part_contrasts;   /* contrasts.c: six pairs of cohorts */
sm_audit_part sm_part_membership;  /* membership.c: the score as a membership test */
sm_audit_part sm_part_outsider;    /* outsider.c: what someone with f alone could learn */
sm_audit_part sm_part_used;        /* used.c: how much of the candidates f was trained on */
sm_audit_part sm_part_labels;      /* labels.c: classes and groups */
sm_audit_part sm_part_reliability; /* reliability.c: noise of views, shrunken scores */
sm_audit_part sm_part_controls;    /* controls.c: are the cohorts alike but for membership? */
sm_audit_part sm_part_flags;       /* flags.c: reads the parts before it */
sm_audit_part sm_part_gates;       /* gate.c: reads the flags too */

/* Computes the controls of the audit and nothing else; the other numbers are undefined. */
enum sm_code sm_controls_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                                  struct sm_err *err);

/* Range of all scores; NAN for one score or all equal. */
double sm_divisor(const struct sm_samples *samples);

/* Numbers in sentences: two digits of a p-value; "p < 1e-300" for one too small to write. */
#define SM_WORD_BYTES 32
const char *sm_p_words(char out[SM_WORD_BYTES], double p); /* "p = 3e-20" */

#endif
