/* Stratification: how many images of each class go to each cohort.
 *
 * Owner: the caller. Threads: no state. Errors: none. */
#ifndef CORE_AUDIT_QUOTA_H
#define CORE_AUDIT_QUOTA_H

#include <stddef.h>

#define SM_QUOTA_PARTS 5 /* the cohorts, and what is left */

/* Fills `rows`, one for each class. The sums of the columns are `sizes`, those of the rows are
 * `classes`; both have the same sum n, at most 2^31. Every cell is sizes[k] * classes[c] / n,
 * rounded down or up. */
void sm_quota(size_t (*rows)[SM_QUOTA_PARTS], const size_t sizes[SM_QUOTA_PARTS],
              const size_t *classes, size_t classes_count);

#endif
