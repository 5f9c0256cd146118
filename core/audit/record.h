/* Members of an image that record, lists and report share.
 * Owner, threads: no state. */
#ifndef CORE_AUDIT_RECORD_H
#define CORE_AUDIT_RECORD_H

#include "core/audit/out.h"
#include "core/audit/result.h"

/* Opens an object and writes "index", "image", "name" (with names), "cohort", "class", "group". */
void sm_put_image_names(struct sm_out *out, const struct sm_audit *audit,
                        const struct sm_audit_item *item);
/* Writes ,"m" … "normalized": the score and the statistics of the image. */
void sm_put_image_stats(struct sm_out *out, const struct sm_audit_item *item,
                        const struct sm_image_stats *image);

/* Cell for the completeness of the audit: "complete" or "partial: 100 of 2,000". Each row of a
 * table or list carries it, because a row may be copied without its head. */
const char *sm_completeness_cell(char out[SM_COMPLETENESS_BYTES], const struct sm_audit *audit);
/* Writes that cell as the last column, and ends the row. */
void sm_put_csv_end(struct sm_out *out, const struct sm_audit *audit);

const char *sm_text_or_none(const char *text); /* "" for NULL */

#endif
