/* How much of a suspect set was used in training, from a membership test of single images.
 *
 *     struct sm_share_counts counts = {{60, 200}, {45, 100}, {8, 100}};
 *     sm_used_share(&share, &counts, 2000, seed, &err);
 *
 * The test says "member" of a share p of the suspects, TPR of known members, FPR of images that
 * were not used. If a share w of the suspects was used, p = w TPR + (1 - w) FPR, so
 * w = (p - FPR)/(TPR - FPR), as DUCI of Privacy Meter has it for one threshold. It is not clipped:
 * a share below 0 or above 1 is the noise of three rates.
 *
 * Owner: plain values. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_STATS_SHARE_H
#define CORE_STATS_SHARE_H

#include "sslmem/stats.h"

#define SM_SHARE_CONTRAST_MIN .05 /* of TPR - FPR; below it a quotient says nothing */

struct sm_share_count {
    size_t positives, count; /* images that the test calls members, of all; positives <= count */
};
/* The threshold of the test must not come from any of these images. */
struct sm_share_counts {
    struct sm_share_count suspects, members, others;
};
/* share is NaN for an empty set and if TPR - FPR is below SM_SHARE_CONTRAST_MIN. `interval` holds
 * the 2.5 % and 97.5 % quantiles of `resamples` bootstrap samples of the three sets, drawn from
 * `seed`; NaN where share is, without resamples, if it has no width, and if more than 1 in 40
 * samples have too small a TPR - FPR; fewer are left out. */
struct sm_used_share {
    double positive_share, tpr, fpr; /* of suspects, members, others */
    double share;
    struct sm_interval interval;
};
enum sm_code sm_used_share(struct sm_used_share *out, const struct sm_share_counts *counts,
                           size_t resamples, uint64_t seed, struct sm_err *err);

#endif
