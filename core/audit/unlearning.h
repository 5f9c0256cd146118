/* The inside of an unlearning, and which file fills which part.
 *
 *     unlearning.c          makes it: part by part, then the JSON
 *     unlearning_join.c     checks that the audits fit, joins their images
 *     unlearning_judge.c    findings, verdict, gates
 *     unlearning_write.c    JSON and CSV
 *     unlearning_page.c     the page
 *
 * An undefined number is NAN. Owner: the unlearning owns all but audits and items. Threads: no
 * state. Errors: as include/sslmem/unlearning.h. */
#ifndef CORE_AUDIT_UNLEARNING_H
#define CORE_AUDIT_UNLEARNING_H

#include "core/audit/gate.h"
#include "core/audit/summary.h"
#include "sslmem/equivalence.h"
#include "sslmem/unlearning.h"

#define SM_UNLEARNING_BINS   40
#define SM_UNLEARNING_POINTS 2000 /* of the scatter */
#define SM_UNLEARNING_Q      .05

/* An image of both audits. */
struct sm_unlearning_image {
    const struct sm_audit_item *in_before, *in_after;
    bool scored;             /* in both */
    double before, residual; /* centred on the externals */
    double p, q;             /* of the residual, against the externals; NAN for externals */
};

/* Images of one cohort: the scored ones first, in the order of AFTER. */
struct sm_unlearning_group {
    struct sm_unlearning_image *images;
    size_t count, scored;
    size_t unread;         /* besides: without a digest, so in no list */
    struct sm_pairs pairs; /* x: residuals, y: before; of the scored images */
    double *values;        /* memory of `pairs` */
};

/* Forget images against externals. */
struct sm_unlearning_contrast {
    double mean, low, high, p_two_sided; /* Welch */
    struct sm_auc auc;
    const char *auc_method; /* NULL: no interval */
};

enum sm_unlearning_side {
    SM_SIDE_PART,
    SM_SIDE_STILL,
    SM_SIDE_OVERSHOT,
    SM_SIDE_MISSING,
    SM_SIDE_SHOWN
};
struct sm_unlearning_reason {
    const char *code;
    enum sm_unlearning_side side;
    char text[SM_WORDS_BYTES];
};
#define SM_UNLEARNING_REASONS_MAX 20

struct sm_unlearning_named {
    double q;
    int64_t count;
    bool enough;           /* the externals can give such a q-value */
    double expected_false; /* of those named, by chance */
    double at_least;       /* length of the shortest list that is possible */
    double p_smallest;
};

struct sm_unlearning {
    const struct sm_audit *before, *after;
    struct sm_unlearning_spec spec;
    struct sm_unlearning_group forget, external;
    const struct sm_unlearning_image **ranked; /* scored forget images, highest residual first */
    bool u_is_f, u_is_g, residuals_equal;
    struct sm_unlearning_contrast was, left; /* before, residual */
    struct sm_auc_deviation deviation;       /* of the residual's AUC */
    struct sm_ratio ratio;                   /* mean residual to mean before */
    double share, share_low, share_high;     /* forgotten: 1 - ratio */
    struct sm_tost tost;
    double equivalent; /* 1 shown, 0 not shown; NAN: could not be tested */
    double needed;     /* images of each kind that show equivalence in 80 % of such measurements if
                          nothing is left */
    double zone;       /* of the AUC */
    struct sm_unlearning_named named;
    double low, high; /* ends of the histograms; NAN: fewer than two values */
    int64_t bins_before[SM_UNLEARNING_BINS], bins_residual[SM_UNLEARNING_BINS];
    int64_t bins_external[SM_UNLEARNING_BINS];
    struct sm_unlearning_reason reasons[SM_UNLEARNING_REASONS_MAX];
    size_t reasons_count;
    enum sm_unlearning_verdict verdict;
    struct sm_audit_judgement judgement;
    json_t *json;
};

/* Fills the images of both groups, `u_is_f` and `u_is_g`; SM_INVALID if the audits do not fit. */
enum sm_code sm_unlearning_join(struct sm_unlearning *u, struct sm_err *err);
/* Fills findings, verdict and gates. */
enum sm_code sm_unlearning_judge(struct sm_unlearning *u, struct sm_err *err);
json_t *sm_unlearning_document(const struct sm_unlearning *u); /* new reference; NULL: no memory */

extern const struct sm_gate_table sm_gate_of_unlearning;

/* The verdict in words, for readers: a headline, and what it means. */
const char *sm_unlearning_headline(enum sm_unlearning_verdict verdict);
const char *sm_unlearning_meaning(enum sm_unlearning_verdict verdict);

#endif
