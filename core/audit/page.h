/* The inside of the HTML report: what its sections share.
 * Owner, threads: no state. */
#ifndef CORE_AUDIT_PAGE_H
#define CORE_AUDIT_PAGE_H

#include "core/audit/charts.h"
#include "core/audit/out.h"
#include "core/audit/result.h"

struct sm_page {
    struct sm_out out;
    const struct sm_audit *audit;
    const struct sm_audit_result *result;
    const struct sm_audit_summary *summary;
    sm_audit_thumbnail *thumbnail;
    void *arg;
    const char *const *titles; /* of the columns of the table that is open */
    int column;
};

/* A text of pair, provenance or run, which come as JSON; "" without one. */
const char *sm_text_at(const json_t *node, const char *key);

/* A table: titles end with NULL, and one that begins with '#' is of numbers. Each cell carries its
 * title, which narrow screens show beside it. A row ends with the next one or with the table.
 *
 *     sm_page_table(p, (const char *const[]){"Cohort", "#Scored", NULL});
 *     sm_page_row(p);
 *     sm_page_td(p, "");                // <td>, and what is in it up to the next one
 *     sm_page_cell(p, 12.5, 1, " %");
 *     sm_page_table_end(p); */
void sm_page_table(struct sm_page *p, const char *const *titles);
void sm_page_row(struct sm_page *p);
void sm_page_td(struct sm_page *p, const char *pen); /* "": as its column */
void sm_page_table_end(struct sm_page *p);

/* Undefined numbers are a dash; figures are those of sm_figure. */
void sm_page_value(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_cell(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_count_cell(struct sm_page *p, double value);
void sm_page_p(struct sm_page *p, double value); /* 3e-20 as people write it */
void sm_page_p_cell(struct sm_page *p, double value);
void sm_page_interval(struct sm_page *p, double low, double high, double scale, const char *unit);
void sm_page_interval_cell(struct sm_page *p, double low, double high, double scale,
                           const char *unit);
void sm_page_sentence(struct sm_page *p, const char *words); /* a capital, a full stop */
void sm_page_heading(struct sm_page *p, const char *id, const char *title);
void sm_page_cohort(struct sm_page *p, enum sm_cohort cohort); /* its colour and title */
/* An explanation and a chart, side by side where there is room. */
void sm_page_explain(struct sm_page *p, const char *prose, sm_chart *chart);

/* sections.c, in the order of the page. */
void sm_page_measured(struct sm_page *p);
void sm_page_cohorts(struct sm_page *p);
void sm_page_contrasts(struct sm_page *p);
void sm_page_membership(struct sm_page *p);
void sm_page_labels(struct sm_page *p); /* nothing without labels */
void sm_page_images(struct sm_page *p);

#endif
