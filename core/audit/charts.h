/* Charts of a report, drawn from its summary. A sentence replaces a chart whose numbers are
 * undefined. Owner, threads: no state. */
#ifndef CORE_AUDIT_CHARTS_H
#define CORE_AUDIT_CHARTS_H

#include <stdbool.h>

#include "core/audit/out.h"
#include "core/audit/summary.h"

typedef void sm_chart(struct sm_out *out, const struct sm_audit_summary *summary);
sm_chart sm_chart_cohorts;   /* histograms, one below the other */
sm_chart sm_chart_contrasts; /* the intervals of the contrasts */
sm_chart sm_chart_p_values;  /* histogram of the candidates' p-values */
void sm_chart_roc(struct sm_out *out, const struct sm_audit_summary *summary, bool logarithmic);

/* "Candidates". The pen of a cohort is its name. */
const char *sm_cohort_title(enum sm_cohort cohort);

#endif
