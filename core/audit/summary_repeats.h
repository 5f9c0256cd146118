/* Groups of images, as flags and controls list them. Included by summary.h. */
#ifndef CORE_AUDIT_SUMMARY_REPEATS_H
#define CORE_AUDIT_SUMMARY_REPEATS_H

#include <stddef.h>

#define SM_WORDS_BYTES     300 /* room for a sentence */
#define SM_FLAG_GROUPS_MAX 100 /* groups of repeated images that a flag lists */

/* Groups of images with equal files, of one of the kinds that flags tell apart. */
struct sm_audit_repeats {
    size_t count, listed; /* groups; the first SM_FLAG_GROUPS_MAX are listed */
    struct {
        size_t first, count; /* a range of `by_digest` */
    } groups[SM_FLAG_GROUPS_MAX];
};

#endif
