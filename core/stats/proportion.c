/* Exact bounds on proportions, and the bound on differential privacy that follows from them. */
#include <math.h>

#include "core/stats/special.h"
#include "sslmem/stats.h"

struct sm_interval sm_clopper_pearson(size_t successes, size_t count, double confidence)
{
    struct sm_interval out = {0, 1};
    double k = (double)successes, n = (double)count, tail = (1 - confidence) / 2;
    if (successes > 0)
        out.low = sm_beta_quantile(k, n - k + 1, tail);
    if (successes < count)
        out.high = sm_beta_upper_quantile(k + 1, n - k, tail);
    return out;
}

/* Returns the least epsilon that allows a verdict at a rate of at least `low` on one side (members
 * or others) together with a rate of at most `high` on the other. */
static double epsilon_between(double low, double high, double delta)
{
    return low - delta > high ? log((low - delta) / high) : 0;
}

/* Both directions bound the same two rates from the same sides, so together they are wrong with a
 * probability of at most 1 - confidence. Each rate is bounded from its own counts, because 1 - x
 * would lose the digits of a small rate. */
double sm_epsilon_lower(size_t true_positives, size_t members_count, size_t false_positives,
                        size_t others_count, double delta, double confidence)
{
    size_t false_negatives = members_count - true_positives;
    size_t true_negatives = others_count - false_positives;
    double tpr_low = sm_clopper_pearson(true_positives, members_count, confidence).low;
    double fnr_high = sm_clopper_pearson(false_negatives, members_count, confidence).high;
    double fpr_high = sm_clopper_pearson(false_positives, others_count, confidence).high;
    double tnr_low = sm_clopper_pearson(true_negatives, others_count, confidence).low;
    return fmax(epsilon_between(tpr_low, fpr_high, delta),
                epsilon_between(tnr_low, fnr_high, delta));
}
