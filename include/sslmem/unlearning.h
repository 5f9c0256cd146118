/* Unlearning: did encoder u, made from f to forget the candidates of an audit, forget them?
 *
 *     struct sm_unlearning_spec spec;
 *     sm_unlearning_spec_parse(&spec, node, &err);
 *     sm_unlearning_make(&unlearning, &before, &after, &spec, &err); // audits of (f, g) and (u, g)
 *     sm_unlearning_write_html(file, unlearning, &err);
 *     sm_unlearning_free(unlearning);
 *
 * Encoder g was trained without the candidates, here called forget images. BEFORE is the audit of
 * (f, g), AFTER that of (u, g): the same images, recipe and g. Of each image
 *
 *     before   = A_g - A_f     what f memorized
 *     residual = A_g - A_u     what u still memorizes
 *
 * both minus their mean over the externals, which no encoder saw. The reference cohort of the
 * audits plays no part: independents were seen by g.
 *
 * Owner:   an unlearning borrows both audits, which must outlive it; the caller owns it. Threads:
 *          no state.
 * Errors:  SM_INVALID: audits that do not fit together, with both values; a spec, with its JSON
 *          pointer. SM_NOMEM, SM_IO (writing). */
#ifndef SSLMEM_UNLEARNING_H
#define SSLMEM_UNLEARNING_H

#include "sslmem/audit.h"

#define SM_UNLEARNING_SHARE     .1   /* of the mean before: the default of delta */
#define SM_UNLEARNING_NAMED_MAX 1000 /* images that JSON and page name; CSV has all */

/* {"delta", "gates": [text …]}, both optional. Gates name `residual_auc_dev` or `equivalent`. */
struct sm_unlearning_spec {
    double delta; /* a mean residual within plus and minus delta counts as none, in the unit of m;
                     0: SM_UNLEARNING_SHARE of the mean before */
    struct sm_audit_gate gates[SM_AUDIT_GATES_MAX];
    int gates_count;
};
enum sm_code sm_unlearning_spec_parse(struct sm_unlearning_spec *out, const json_t *node,
                                      struct sm_err *err);

/* The verdict is that of the first row with a finding. Every finding is listed (`reasons`), but
 * `not_equivalent` only where no row before it has one.
 *
 *   not shown        an audit is a part of its images (`part`)
 *   still memorized  an image has a residual with a q-value of at most .05 (`records_named`)
 *                    the 95 % interval of the mean residual lies above 0, and equivalence is not
 *                    shown (`residual_above`)
 *                    that of the AUC lies above 1/2 by more than the zone (`auc_above`)
 *                    u gives every image the score that f gives it, and the mean before is above 0
 *                    (`u_is_f`)
 *   overshot         the same below 0, below 1/2 (`residual_below`, `auc_below`)
 *   not shown        the mean before is not above 0 (`nothing_before`), or is not told from 0 by
 *                    its 95 % interval (`before_not_shown`)
 *                    a forget image has no score (`images_unscored`)
 *                    all residuals are equal (`residuals_equal`)
 *                    no image could have a q-value of .05 (`externals_too_few`)
 *                    equivalence is not shown (`not_equivalent`)
 *   forgotten        equivalence is shown (`equivalent`): two one-sided tests at 5 % find the mean
 *                    residual within plus and minus delta
 *                    u has the weights of g, so every residual is 0 (`u_is_g`)
 *
 * AUC: a forget image has a higher residual than an external. Its zone is as large a share of
 * AUC - 1/2 before as delta is of the mean before. If `u_is_g`, the findings `before_not_shown`,
 * `residuals_equal`, `externals_too_few` and `not_equivalent` cannot occur, because nothing is
 * estimated. */
enum sm_unlearning_verdict {
    SM_UNLEARNING_NOT_SHOWN,
    SM_UNLEARNING_FORGOTTEN,
    SM_UNLEARNING_STILL_MEMORIZED,
    SM_UNLEARNING_OVERSHOT
};
const char *sm_unlearning_verdict_name(enum sm_unlearning_verdict verdict); /* "not_shown" */

struct sm_unlearning;
enum sm_code sm_unlearning_make(struct sm_unlearning **out, const struct sm_audit *before,
                                const struct sm_audit *after, const struct sm_unlearning_spec *spec,
                                struct sm_err *err);
void sm_unlearning_free(struct sm_unlearning *unlearning);
enum sm_unlearning_verdict sm_unlearning_verdict_of(const struct sm_unlearning *unlearning);
/* Every number, the findings, the named images and the gates; borrowed. Its schema is `Unlearning`
 * of openapi.yaml. Images have the names of AFTER: keyed digests, and file names if that audit is
 * `with_names`. */
const json_t *sm_unlearning_json(const struct sm_unlearning *unlearning);

enum sm_code sm_unlearning_write_json(FILE *out, const struct sm_unlearning *unlearning,
                                      struct sm_err *err);
/* One line for each forget image, the highest residual first, those without a score last. */
enum sm_code sm_unlearning_write_csv(FILE *out, const struct sm_unlearning *unlearning,
                                     struct sm_err *err);
/* One page that refers to no other file. */
enum sm_code sm_unlearning_write_html(FILE *out, const struct sm_unlearning *unlearning,
                                      struct sm_err *err);

#endif
