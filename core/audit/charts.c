/* Four charts, as wide as a phone is, so that nothing in them is scaled down there. Cohorts keep
 * their colour and order throughout; counts are drawn as shares of their cohort, so that
 * cohorts of different size can be compared by eye. */
#include "core/audit/charts.h"

#include <math.h>
#include <string.h>

#include "core/audit/sample.h"
#include "core/audit/svg.h"

#define WIDTH 360.0

/* From the highest expected score to the lowest. */
static const struct {
    const char *name, *title;
} cohorts[SM_COHORTS] = {
    {"candidate", "Candidates"},
    {"external", "Externals"},
    {"shared", "Shared"},
    {"independent", "Independents"},
};

const char *sm_cohort_title(const char *name)
{
    for (int i = 0; i < SM_COHORTS; i++)
        if (strcmp(cohorts[i].name, name) == 0)
            return cohorts[i].title;
    return name;
}

static double number_of(const json_t *node, const char *key)
{
    const json_t *value = json_object_get(node, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double entry(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void put_nothing(struct sm_out *out, const char *why)
{
    sm_put(out, "<p class=\"nothing\">No chart: %s.</p>\n", why);
}

/* --- histograms of the cohorts --- */

#define ROW_PX   74.0 /* with the line of text above the bins */
#define TEXT_PX  24.0
#define LEFT_PX  14.0
#define RIGHT_PX 14.0

/* The largest share of a cohort in one bin: the height of every row. */
static double highest_share(const json_t *list)
{
    double highest = 0;
    const char *key;
    const json_t *cohort;
    json_object_foreach((json_t *)(uintptr_t)list, key, cohort)
    {
        const json_t *bins = json_object_get(cohort, "histogram");
        for (size_t i = 0; i < json_array_size(bins); i++)
            highest = fmax(highest, entry(bins, i) / number_of(cohort, "n"));
    }
    return highest;
}

/* The outline of the bins, closed along the base line. */
static void put_bins(struct sm_out *out, const char *pen, const json_t *cohort, const json_t *edges,
                     const struct sm_axis *x, const struct sm_axis *y)
{
    const json_t *bins = json_object_get(cohort, "histogram");
    double low = number_of(edges, "low"), n = number_of(cohort, "n");
    size_t count = json_array_size(bins);
    double step = (number_of(edges, "high") - low) / (double)count;
    sm_svg_path_open(out, pen);
    sm_svg_path_to(out, true, sm_axis_at(x, low), y->from);
    for (size_t i = 0; i < count; i++) {
        double top = sm_axis_at(y, entry(bins, i) / n);
        sm_svg_path_to(out, false, sm_axis_at(x, low + step * (double)i), top);
        sm_svg_path_to(out, false, sm_axis_at(x, low + step * (double)(i + 1)), top);
    }
    sm_svg_path_to(out, false, sm_axis_at(x, low + step * (double)count), y->from);
    sm_svg_path_close(out, true);
}

static void put_row(struct sm_out *out, int i, const json_t *cohort, const json_t *edges,
                    const struct sm_axis *x, double base, double highest, double reference)
{
    char pen[40];
    double text = base - ROW_PX + TEXT_PX - 7;
    struct sm_axis y = {.low = 0, .high = highest, .from = base, .to = base - ROW_PX + TEXT_PX};
    double n = number_of(cohort, "n"), mean = number_of(cohort, "mean");
    sm_svg_text(out, "row halo", x->from, text, "%s", cohorts[i].title);
    if (!(n > 0)) {
        sm_svg_text(out, "tick end halo", x->to, text, "none scored");
        sm_svg_line(out, "axis", x->from, base, x->to, base);
        return;
    }
    sm_svg_text(out, "tick end halo", x->to, text, "n = %s, mean %s", SM_COUNT(n), SM_THREE(mean));
    snprintf(pen, sizeof pen, "area %s", cohorts[i].name);
    put_bins(out, pen, cohort, edges, x, &y);
    snprintf(pen, sizeof pen, "mean %s", cohorts[i].name);
    sm_svg_line(out, pen, sm_axis_at(x, mean), y.from, sm_axis_at(x, mean), y.to);
    if (isfinite(reference)) /* in every row, clear of the texts between */
        sm_svg_line(out, "reference", sm_axis_at(x, reference), y.from, sm_axis_at(x, reference),
                    y.to);
    sm_svg_line(out, "axis", x->from, base, x->to, base);
}

void sm_chart_cohorts(struct sm_out *out, const json_t *summary)
{
    const json_t *edges = json_object_get(summary, "histogram");
    const json_t *list = json_object_get(summary, "cohorts");
    const char *reference = json_string_value(json_object_get(summary, "reference"));
    double bottom = ROW_PX * SM_COHORTS + 8;
    struct sm_axis x = {.low = number_of(edges, "low"),
                        .high = number_of(edges, "high"),
                        .from = LEFT_PX,
                        .to = WIDTH - RIGHT_PX};
    if (!isfinite(x.low)) {
        put_nothing(out, "there are fewer than two different scores");
        return;
    }
    sm_axis_round(&x);
    sm_svg_open(out, WIDTH, bottom + 44, "Histograms of the scores of each cohort");
    sm_svg_axis_x(out, &x, 8, bottom, "score m");
    double mean = number_of(json_object_get(list, reference), "mean");
    for (int i = 0; i < SM_COHORTS; i++)
        put_row(out, i, json_object_get(list, cohorts[i].name), edges, &x, ROW_PX * (i + 1) + 8,
                highest_share(list), mean);
    sm_svg_close(out);
}

/* --- differences between cohorts --- */

#define DIFF_ROW_PX 40.0

static void put_difference(struct sm_out *out, const json_t *c, const struct sm_axis *x, double y)
{
    const char *a = json_string_value(json_object_get(c, "a"));
    const char *b = json_string_value(json_object_get(c, "b"));
    double low = number_of(c, "low"), high = number_of(c, "high");
    double difference = number_of(c, "difference");
    char pen[40];
    sm_svg_text(out, "row halo", x->from, y - 12, "%s − %s", sm_cohort_title(a),
                sm_cohort_title(b));
    sm_svg_text(out, "tick end halo", x->to, y - 12, "%s", SM_THREE(difference));
    sm_svg_line(out, "zero", sm_axis_at(x, 0), y - 8, sm_axis_at(x, 0), y + 8);
    if (!isfinite(low))
        return;
    snprintf(pen, sizeof pen, "whisker %s", a);
    sm_svg_line(out, pen, sm_axis_at(x, low), y, sm_axis_at(x, high), y);
    snprintf(pen, sizeof pen, "dot %s", a);
    sm_svg_dot(out, pen, sm_axis_at(x, difference), y);
}

void sm_chart_differences(struct sm_out *out, const json_t *summary)
{
    const json_t *list = json_object_get(summary, "comparisons"), *c;
    const char *key;
    struct sm_axis x = {.low = 0, .high = 0, .from = LEFT_PX, .to = WIDTH - RIGHT_PX, .ticks = 5};
    json_object_foreach((json_t *)(uintptr_t)list, key, c)
    {
        x.low = fmin(x.low, number_of(c, "low"));
        x.high = fmax(x.high, number_of(c, "high"));
    }
    if (!(x.high > x.low)) {
        put_nothing(out, "no two cohorts have two different scores each");
        return;
    }
    sm_axis_round(&x);
    double bottom = DIFF_ROW_PX * (double)json_object_size(list) + 8, y = 2 + DIFF_ROW_PX * 3 / 4;
    sm_svg_open(out, WIDTH, bottom + 44, "Differences of mean scores with 95 % intervals");
    sm_svg_axis_x(out, &x, 8, bottom, "difference of mean scores, 95 % interval");
    json_object_foreach((json_t *)(uintptr_t)list, key, c)
    {
        put_difference(out, c, &x, y);
        y += DIFF_ROW_PX;
    }
    sm_svg_close(out);
}

/* --- ROC --- */

#define ROC_PX 360.0

static void put_curve(struct sm_out *out, const json_t *test, const struct sm_axis *x,
                      const struct sm_axis *y)
{
    const json_t *points = json_object_get(json_object_get(test, "roc"), "points");
    char pen[40];
    if (json_array_size(points) == 0)
        return;
    snprintf(pen, sizeof pen, "curve %s", json_string_value(json_object_get(test, "others")));
    sm_svg_path_open(out, pen);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        sm_svg_path_to(out, i == 0, sm_axis_at(x, entry(point, 0)), sm_axis_at(y, entry(point, 1)));
    }
    sm_svg_path_close(out, false);
}

/* The decade below one false alarm: further left there is nothing to see. */
static double lowest_rate(const json_t *list)
{
    double most = 10;
    const char *key;
    const json_t *test;
    json_object_foreach((json_t *)(uintptr_t)list, key, test) most =
        fmax(most, number_of(test, "n_others"));
    return pow(10, -ceil(log10(most) - 1e-9));
}

static void put_guess(struct sm_out *out, const struct sm_axis *x, const struct sm_axis *y)
{
    sm_svg_line(out, "guess", x->from, y->from, x->to, y->to);
}

static void put_legend(struct sm_out *out, const json_t *list, const struct sm_axis *x, double y)
{
    const char *key;
    const json_t *test;
    json_object_foreach((json_t *)(uintptr_t)list, key, test)
    {
        const char *others = json_string_value(json_object_get(test, "others"));
        double auc = number_of(json_object_get(test, "auc"), "value");
        char pen[40];
        snprintf(pen, sizeof pen, "curve %s", others);
        if (!isfinite(auc))
            continue;
        sm_svg_line(out, pen, x->to - 232, y - 4, x->to - 208, y - 4);
        sm_svg_text(out, "tick", x->to - 202, y, "against %s: AUC %s",
                    strcmp(others, "external") == 0 ? "externals" : "independents", SM_THREE(auc));
        y += 18;
    }
    sm_svg_line(out, "guess", x->to - 232, y - 4, x->to - 208, y - 4);
    sm_svg_text(out, "tick", x->to - 202, y, "guessing");
}

void sm_chart_roc(struct sm_out *out, const json_t *summary, bool logarithmic)
{
    const json_t *list = json_object_get(summary, "membership"), *test;
    const char *key;
    double low = logarithmic ? lowest_rate(list) : 0;
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
    json_object_foreach((json_t *)(uintptr_t)list, key, test) put_curve(out, test, &x, &y);
    if (!logarithmic)
        put_legend(out, list, &x, y.from - 48);
    sm_svg_close(out);
}

/* --- p-values of the candidates --- */

void sm_chart_p_values(struct sm_out *out, const json_t *summary)
{
    const json_t *fdr = json_object_get(summary, "fdr");
    const json_t *bins = json_object_get(fdr, "p_histogram");
    size_t count = json_array_size(bins);
    double n = number_of(fdr, "candidates"), expected = n / (double)count, highest = expected;
    for (size_t i = 0; i < count; i++)
        highest = fmax(highest, entry(bins, i));
    if (!(n > 0) || !(number_of(fdr, "reference_n") > 0)) {
        put_nothing(out, "there are no candidates or no reference");
        return;
    }
    struct sm_axis x = {.low = 0, .high = 1, .from = 58, .to = WIDTH - RIGHT_PX, .ticks = 5};
    struct sm_axis y = {.low = 0, .high = highest * 1.05, .from = 200, .to = 10, .ticks = 5};
    sm_svg_open(out, WIDTH, 246, "Histogram of the candidates' p-values");
    sm_svg_axis_x(out, &x, y.to, y.from, "p-value against the reference cohort");
    sm_svg_axis_y(out, &y, x.from, x.to, "candidates");
    for (size_t i = 0; i < count; i++) {
        double left = sm_axis_at(&x, (double)i / (double)count);
        double right = sm_axis_at(&x, (double)(i + 1) / (double)count);
        double top = sm_axis_at(&y, entry(bins, i));
        sm_svg_box(out, "area candidate", left + 1, top, right - left - 2, y.from - top);
    }
    double level = sm_axis_at(&y, expected);
    sm_svg_line(out, "reference", x.from, level, x.to, level);
    sm_svg_text(out, "tick end halo", x.to - 4, level - 6, "expected without memorization");
    sm_svg_close(out);
}
