/* Tables, numbers and sentences that the sections of the HTML report share.
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
    const char *const *titles; /* of the columns of the open table */
    int column;
};

/* A text of pair, provenance or run, which come as JSON; "" without one. */
const char *sm_text_at(const json_t *node, const char *key);

/* A table. The titles end with NULL; a title that begins with '#' marks a column of numbers. Each
 * cell carries its title, which narrow screens show next to it. A row ends at the next row or at
 * the end of the table.
 *
 *     sm_page_table(p, (const char *const[]){"Cohort", "#Scored", NULL});
 *     sm_page_row(p);
 *     sm_page_td(p, "");                // opens a cell, which ends at the next one
 *     sm_page_cell(p, 12.5, 1, " %");
 *     sm_page_table_end(p); */
void sm_page_table(struct sm_page *p, const char *const *titles);
void sm_page_row(struct sm_page *p);
void sm_page_td(struct sm_page *p, const char *pen); /* class of the cell; "": that of its column */
void sm_page_table_end(struct sm_page *p);

/* An undefined number is written as a dash, a defined one times `scale` by sm_figure. */
void sm_page_value(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_cell(struct sm_page *p, double value, double scale, const char *unit);
void sm_page_count_cell(struct sm_page *p, double value);
void sm_page_p(struct sm_page *p, double value); /* a p-value; 3e-20 as a power of ten */
void sm_page_p_cell(struct sm_page *p, double value);
void sm_page_interval(struct sm_page *p, double low, double high, double scale, const char *unit);
void sm_page_interval_cell(struct sm_page *p, double low, double high, double scale,
                           const char *unit);
void sm_page_sentence(struct sm_page *p, const char *words); /* adds a capital and a full stop */
void sm_page_heading(struct sm_page *p, const char *id, const char *title);
void sm_page_cohort(struct sm_page *p, enum sm_cohort cohort); /* writes its colour and title */
/* Writes an explanation and a chart, next to each other on wide screens. */
void sm_page_explain(struct sm_page *p, const char *prose, sm_chart *chart);

/* The frame of every page (html.c). sm_page_open writes all up to the title's text, sm_page_style
 * all from its end to the style sheet, which the caller may add to and closes. */
void sm_page_open(struct sm_page *p);
void sm_page_style(struct sm_page *p);
void sm_page_margin(struct sm_page *p, const char *box); /* opens a margin of printed pages */
void sm_page_gates(struct sm_page *p, const struct sm_audit_judgement *judgement);
void sm_page_fact(struct sm_page *p, const char *key, const json_t *value); /* row of a table */
void sm_page_word(struct sm_page *p, const char *word); /* of a command; an option starts a line */

/* Sections of the page, in their order (sections.c; section_controls.c, page_reliability.c). */
void sm_page_controls(struct sm_page *p);
void sm_page_measured(struct sm_page *p);
void sm_page_cohorts(struct sm_page *p);
void sm_page_reliability(struct sm_page *p);
void sm_page_contrasts(struct sm_page *p);
void sm_page_membership(struct sm_page *p);
void sm_page_labels(struct sm_page *p); /* writes nothing without labels */
void sm_page_images(struct sm_page *p);

/* Of f alone (outsider_page.c). `alone` is for a pair without g: its result in short, and what was
 * measured. */
void sm_page_outsider(struct sm_page *p);
void sm_page_alone_short(struct sm_page *p);
void sm_page_alone_measured(struct sm_page *p);

#endif
