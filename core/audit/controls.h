/* What controls.c takes from the files beside it.
 *
 * Owner: as said at each function. Threads: no state. Errors: SM_NOMEM. */
#ifndef CORE_AUDIT_CONTROLS_H
#define CORE_AUDIT_CONTROLS_H

#include "core/audit/result.h"
#include "sslmem/controls.h"
#include "sslmem/pixels.h"

/* A scored image with its features. */
struct sm_pixel_item {
    const struct sm_audit_item *item;
    size_t position; /* among the items of the audit */
    struct sm_pixels pixels;
};
struct sm_pixel_items {
    struct sm_pixel_item *rows; /* by digest, then by position */
    size_t count, missing;      /* missing: scored images without features */
};

/* Returns true if the 95 % interval is without 0.5. Below the level of a flag this decides nothing,
 * and no text may then say that the cohorts cannot be told apart. */
bool sm_auc_is_open(const struct sm_auc *auc);

/* Fills a control of pixels of two cohorts (blind.c). */
enum sm_code sm_blind_fill(struct sm_audit_blind *out, const struct sm_pixel_items *items,
                           uint64_t seed, struct sm_err *err);

/* Fills the duplicates and result->near (duplicates.c). `searched` is false if there were too many
 * pairs to compare; then nothing is filled. */
enum sm_code sm_duplicates_fill(bool *searched, struct sm_audit_result *result,
                                const struct sm_audit *audit, const struct sm_pixel_items *items,
                                struct sm_err *err);

#endif
