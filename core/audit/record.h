/* What the record, lists and the report write of an image.
 * Owner, threads: no state. */
#ifndef CORE_AUDIT_RECORD_H
#define CORE_AUDIT_RECORD_H

#include "core/audit/out.h"
#include "core/audit/result.h"

/* Opens an object: {"index", "image", "name" (with names), "cohort", "class", "group". */
void sm_put_image_names(struct sm_out *out, const struct sm_audit *audit,
                        const struct sm_audit_item *item);
/* ,"m" … "normalized": the score and what the cohorts make of it. */
void sm_put_image_stats(struct sm_out *out, const struct sm_audit_item *item,
                        const struct sm_image_stats *image);

/* What rows of tables and lists say of their audit, for they have no other place that stays with
 * them: "complete", or "partial: 100 of 2,000". */
const char *sm_completeness_cell(char out[SM_COMPLETENESS_BYTES], const struct sm_audit *audit);
/* The last column, which holds the same, and the end of the row. */
void sm_put_csv_end(struct sm_out *out, const struct sm_audit *audit);

const char *sm_text_or_none(const char *text); /* "" for NULL */

#endif
