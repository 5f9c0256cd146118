/* Four charts, no wider than a phone, so that a phone does not scale them down. A cohort has the
 * same colour and place in every chart. Counts are drawn as shares of their cohort, so that readers
 * can compare cohorts of different sizes. */
#include "core/audit/charts.h"

#include <math.h>
#include <string.h>

#include "core/audit/sample.h"
#include "core/audit/svg.h"

#define WIDTH 360.0

/* Rows of the histograms, from the highest expected score to the lowest. */
static const enum sm_cohort order[SM_COHORTS] = {SM_COHORT_CANDIDATE, SM_COHORT_EXTERNAL,
                                                 SM_COHORT_SHARED, SM_COHORT_INDEPENDENT};

const char *sm_cohort_title(enum sm_cohort cohort)
{
    static const char *const titles[] = {[SM_COHORT_CANDIDATE] = "Candidates",
                                         [SM_COHORT_EXTERNAL] = "Externals",
                                         [SM_COHORT_SHARED] = "Shared",
                                         [SM_COHORT_INDEPENDENT] = "Independents"};
    return titles[cohort];
}

static void put_nothing(struct sm_out *out, const char *why)
{
    sm_put(out, "<p class=\"nothing\">No chart: %s.</p>\n", why);
}

/* --- histograms of the cohorts --- */

#define ROW_PX   74.0 /* of a cohort, the line of text above its bins included */
#define TEXT_PX  24.0
#define LEFT_PX  14.0
#define RIGHT_PX 14.0

/* The largest share of a cohort in one bin: the height of every row. */
static double highest_share(const struct sm_audit_summary *summary)
{
    double highest = 0;
    for (int c = 0; c < SM_COHORTS; c++)
        for (int i = 0; i < SM_COHORT_BINS; i++)
            highest = fmax(highest, (double)summary->cohorts[c].histogram[i] /
                                        (double)summary->cohorts[c].n);
    return highest;
}

/* Draws the outline of the bins, closed along the base line. */
static void put_bins(struct sm_out *out, const struct sm_audit_cohort *cohort,
                     const struct sm_audit_edges *edges, const struct sm_axis *x,
                     const struct sm_axis *y)
{
    char pen[40];
    double step = (edges->high - edges->low) / SM_COHORT_BINS;
    snprintf(pen, sizeof pen, "area %s", cohort->key);
    sm_svg_path_open(out, pen);
    sm_svg_path_to(out, true, sm_axis_at(x, edges->low), y->from);
    for (int i = 0; i < SM_COHORT_BINS; i++) {
        double top = sm_axis_at(y, (double)cohort->histogram[i] / (double)cohort->n);
        sm_svg_path_to(out, false, sm_axis_at(x, edges->low + step * i), top);
        sm_svg_path_to(out, false, sm_axis_at(x, edges->low + step * (i + 1)), top);
    }
    sm_svg_path_to(out, false, sm_axis_at(x, edges->low + step * SM_COHORT_BINS), y->from);
    sm_svg_path_close(out, true);
}

static void put_row(struct sm_out *out, const struct sm_audit_summary *summary,
                    enum sm_cohort which, const struct sm_axis *x, double base, double highest)
{
    char pen[40];
    const struct sm_audit_cohort *cohort = &summary->cohorts[which];
    double text = base - ROW_PX + TEXT_PX - 7, mean = cohort->mean;
    double reference = summary->cohorts[summary->reference].mean;
    struct sm_axis y = {.low = 0, .high = highest, .from = base, .to = base - ROW_PX + TEXT_PX};
    sm_svg_text(out, "row halo", x->from, text, "%s", sm_cohort_title(which));
    if (cohort->n == 0) {
        sm_svg_text(out, "tick end halo", x->to, text, "none scored");
        sm_svg_line(out, "axis", x->from, base, x->to, base);
        return;
    }
    sm_svg_text(out, "tick end halo", x->to, text, "n = %s, mean %s", SM_COUNT(cohort->n),
                SM_THREE(mean));
    put_bins(out, cohort, &summary->edges, x, &y);
    snprintf(pen, sizeof pen, "mean %s", cohort->key);
    sm_svg_line(out, pen, sm_axis_at(x, mean), y.from, sm_axis_at(x, mean), y.to);
    if (isfinite(reference)) /* one line per row, so that it does not cross texts */
        sm_svg_line(out, "reference", sm_axis_at(x, reference), y.from, sm_axis_at(x, reference),
                    y.to);
    sm_svg_line(out, "axis", x->from, base, x->to, base);
}

void sm_chart_cohorts(struct sm_out *out, const struct sm_audit_summary *summary)
{
    double bottom = ROW_PX * SM_COHORTS + 8, highest = highest_share(summary);
    struct sm_axis x = {.low = summary->edges.low,
                        .high = summary->edges.high,
                        .from = LEFT_PX,
                        .to = WIDTH - RIGHT_PX};
    if (!summary->has_edges) {
        put_nothing(out, "there are fewer than two different scores");
        return;
    }
    sm_axis_round(&x);
    sm_svg_open(out, WIDTH, bottom + 44, "Histograms of the scores of each cohort");
    sm_svg_axis_x(out, &x, 8, bottom, "score m");
    for (int i = 0; i < SM_COHORTS; i++)
        put_row(out, summary, order[i], &x, ROW_PX * (i + 1) + 8, highest);
    sm_svg_close(out);
}

/* --- contrasts --- */

#define DIFF_ROW_PX 40.0

static void put_contrast(struct sm_out *out, const struct sm_audit_contrast *c,
                         const struct sm_axis *x, double y)
{
    const char *a = sm_cohort_name(c->a);
    double low = c->welch.low, high = c->welch.high;
    char pen[40];
    sm_svg_text(out, "row halo", x->from, y - 12, "%s − %s", sm_cohort_title(c->a),
                sm_cohort_title(c->b));
    sm_svg_text(out, "tick end halo", x->to, y - 12, "%s", SM_THREE(c->difference));
    sm_svg_line(out, "zero", sm_axis_at(x, 0), y - 8, sm_axis_at(x, 0), y + 8);
    if (!isfinite(low))
        return;
    snprintf(pen, sizeof pen, "whisker %s", a);
    sm_svg_line(out, pen, sm_axis_at(x, low), y, sm_axis_at(x, high), y);
    snprintf(pen, sizeof pen, "dot %s", a);
    sm_svg_dot(out, pen, sm_axis_at(x, c->difference), y);
}

void sm_chart_contrasts(struct sm_out *out, const struct sm_audit_summary *summary)
{
    struct sm_axis x = {.low = 0, .high = 0, .from = LEFT_PX, .to = WIDTH - RIGHT_PX, .ticks = 5};
    for (int i = 0; i < SM_CONTRASTS; i++) {
        x.low = fmin(x.low, summary->contrasts[i].welch.low);
        x.high = fmax(x.high, summary->contrasts[i].welch.high);
    }
    if (!(x.high > x.low)) {
        put_nothing(out, "no two cohorts have two different scores each");
        return;
    }
    sm_axis_round(&x);
    double bottom = DIFF_ROW_PX * SM_CONTRASTS + 8, y = 2 + DIFF_ROW_PX * 3 / 4;
    sm_svg_open(out, WIDTH, bottom + 44, "Differences of mean scores with 95 % intervals");
    sm_svg_axis_x(out, &x, 8, bottom, "difference of mean scores, 95 % interval");
    for (int i = 0; i < SM_CONTRASTS; i++, y += DIFF_ROW_PX)
        put_contrast(out, &summary->contrasts[i], &x, y);
    sm_svg_close(out);
}

/* --- ROC --- */

#define ROC_PX 360.0

#define OUTSIDER "outsider" /* the pen of someone with f alone */

static void put_curve(struct sm_out *out, const struct sm_audit_membership *test, const char *of,
                      const struct sm_axis *x, const struct sm_axis *y)
{
    char pen[40];
    if (!test->has_roc)
        return;
    snprintf(pen, sizeof pen, "curve %s", of);
    sm_svg_path_open(out, pen);
    for (size_t i = 0; i < test->roc_count; i++)
        sm_svg_path_to(out, i == 0, sm_axis_at(x, test->roc[i].fpr),
                       sm_axis_at(y, test->roc[i].tpr));
    sm_svg_path_close(out, false);
}

/* The power of ten at or below the rate of one false alarm: the curve has no point further left. */
static double lowest_rate(const struct sm_audit_summary *summary)
{
    double most = 10;
    for (int i = 0; i < SM_AGAINST; i++)
        most = fmax(most, (double)summary->membership[i].n_others);
    most = fmax(most, (double)summary->outsider.signals[0].n_others);
    return pow(10, -ceil(log10(most) - 1e-9));
}

static void put_guess(struct sm_out *out, const struct sm_axis *x, const struct sm_axis *y)
{
    sm_svg_line(out, "guess", x->from, y->from, x->to, y->to);
}

static void put_key(struct sm_out *out, const char *pen, const struct sm_axis *x, double y)
{
    sm_svg_line(out, pen, x->to - 232, y - 4, x->to - 208, y - 4);
}

static void put_legend(struct sm_out *out, const struct sm_audit_summary *summary,
                       const struct sm_axis *x, double y)
{
    const struct sm_audit_membership *alone = &summary->outsider.signals[0];
    for (int i = 0; i < SM_AGAINST; i++) {
        const struct sm_audit_membership *test = &summary->membership[i];
        char pen[40];
        snprintf(pen, sizeof pen, "curve %s", sm_cohort_name(test->others));
        if (!isfinite(test->auc.auc))
            continue;
        put_key(out, pen, x, y);
        sm_svg_text(out, "tick", x->to - 202, y, "against %s: AUC %s",
                    sm_cohort_plural(test->others), SM_THREE(test->auc.auc));
        y += 18;
    }
    if (alone->has_roc) {
        put_key(out, "curve " OUTSIDER, x, y);
        sm_svg_text(out, "tick", x->to - 202, y, "f alone, %s: AUC %s",
                    sm_cohort_plural(alone->others), SM_THREE(alone->auc.auc));
        y += 18;
    }
    put_key(out, "guess", x, y);
    sm_svg_text(out, "tick", x->to - 202, y, "guessing");
}

void sm_chart_roc(struct sm_out *out, const struct sm_audit_summary *summary, bool logarithmic)
{
    double low = logarithmic ? lowest_rate(summary) : 0;
    struct sm_axis x = {.low = low,
                        .high = 1,
                        .from = 58,
                        .to = ROC_PX - 10,
                        .logarithmic = logarithmic,
                        .ticks = 5};
    struct sm_axis y = {.low = low,
                        .high = 1,
                        .from = ROC_PX - 48,
                        .to = 10,
                        .logarithmic = logarithmic,
                        .ticks = 5};
    sm_svg_open(out, ROC_PX, ROC_PX, logarithmic ? "ROC curve, logarithmic" : "ROC curve");
    sm_svg_axis_x(out, &x, y.to, y.from, "false positive rate");
    sm_svg_axis_y(out, &y, x.from, x.to, "true positive rate");
    put_guess(out, &x, &y);
    for (int i = 0; i < SM_AGAINST; i++)
        put_curve(out, &summary->membership[i], sm_cohort_name(summary->membership[i].others), &x,
                  &y);
    put_curve(out, &summary->outsider.signals[0], OUTSIDER, &x, &y);
    if (!logarithmic)
        put_legend(out, summary, &x, y.from - 66);
    sm_svg_close(out);
}

/* --- p-values of the candidates --- */

void sm_chart_p_values(struct sm_out *out, const struct sm_audit_summary *summary)
{
    const struct sm_audit_fdr *fdr = &summary->fdr;
    double expected = (double)fdr->candidates / SM_P_BINS, highest = expected;
    for (int i = 0; i < SM_P_BINS; i++)
        highest = fmax(highest, (double)fdr->p_histogram[i]);
    if (fdr->candidates == 0 || fdr->reference_n == 0) {
        put_nothing(out, "there are no candidates or no reference");
        return;
    }
    struct sm_axis x = {.low = 0, .high = 1, .from = 58, .to = WIDTH - RIGHT_PX, .ticks = 5};
    struct sm_axis y = {.low = 0, .high = highest * 1.05, .from = 200, .to = 10, .ticks = 5};
    sm_svg_open(out, WIDTH, 246, "Histogram of the candidates' p-values");
    sm_svg_axis_x(out, &x, y.to, y.from, "p-value against the reference cohort");
    sm_svg_axis_y(out, &y, x.from, x.to, "candidates");
    for (int i = 0; i < SM_P_BINS; i++) {
        double left = sm_axis_at(&x, (double)i / SM_P_BINS);
        double right = sm_axis_at(&x, (double)(i + 1) / SM_P_BINS);
        double top = sm_axis_at(&y, (double)fdr->p_histogram[i]);
        sm_svg_box(out, "area candidate", left + 1, top, right - left - 2, y.from - top);
    }
    double level = sm_axis_at(&y, expected);
    sm_svg_line(out, "reference", x.from, level, x.to, level);
    sm_svg_text(out, "tick end halo", x.to - 4, level - 6, "expected without memorization");
    sm_svg_close(out);
}
