/* The charts of a report, drawn from its summary. A chart whose numbers are undefined says so in a
 * sentence. Owner, threads: no state. */
#ifndef CORE_AUDIT_CHARTS_H
#define CORE_AUDIT_CHARTS_H

#include <stdbool.h>

#include "core/audit/out.h"

void sm_chart_cohorts(struct sm_out *out,
                      const json_t *summary); /* histograms, one below the other */
void sm_chart_differences(struct sm_out *out, const json_t *summary); /* six intervals */
void sm_chart_roc(struct sm_out *out, const json_t *summary, bool logarithmic);
void sm_chart_p_values(struct sm_out *out, const json_t *summary);

/* "Candidates", the pen of a cohort is its name. */
const char *sm_cohort_title(const char *name);

#endif
