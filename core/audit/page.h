/* The inside of the HTML report: what its sections share.
 * Owner, threads: no state. */
#ifndef CORE_AUDIT_PAGE_H
#define CORE_AUDIT_PAGE_H

#include "core/audit/out.h"
#include "core/audit/result.h"

struct sm_page {
    struct sm_out out;
    const struct sm_audit *audit;
    const struct sm_audit_result *result;
    const json_t *summary;
    sm_audit_thumbnail *thumbnail;
    void *arg;
};

const char *sm_text_at(const json_t *node, const char *key); /* "" where there is none */
double sm_number_at(const json_t *node, const char *key);    /* NaN where there is none */
/* Candidates against the reference, of "comparisons" or "membership". */
const json_t *sm_page_reference_test(const struct sm_page *p, const char *part);

/* Undefined numbers are a dash. */
void sm_page_value(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_cell(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_p(struct sm_page *p, double value); /* 3e-20 as people write it */
void sm_page_p_cell(struct sm_page *p, double value);
void sm_page_interval(struct sm_page *p, double low, double high, double scale, const char *unit);
void sm_page_list_interval(struct sm_page *p, const json_t *list, double scale, const char *unit);
void sm_page_sentence(struct sm_page *p, const char *words); /* a capital, a full stop */
void sm_page_heading(struct sm_page *p, const char *id, const char *title);
void sm_page_cohort(struct sm_page *p, const char *name); /* its colour and title */

/* sections.c, in the order of the page. */
void sm_page_measured(struct sm_page *p);
void sm_page_cohorts(struct sm_page *p);
void sm_page_contrasts(struct sm_page *p);
void sm_page_membership(struct sm_page *p);
void sm_page_labels(struct sm_page *p); /* nothing without labels */
void sm_page_images(struct sm_page *p);

#endif
