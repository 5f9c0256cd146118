/* Tables, numbers and sentences of the HTML report. */
#include "core/audit/page.h"

#include <math.h>
#include <stdbool.h>

const char *sm_text_at(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

/* --- tables --- */

static bool is_number(const char *title)
{
    return title[0] == '#';
}

void sm_page_table(struct sm_page *p, const char *const *titles)
{
    p->titles = titles;
    p->column = -1;
    sm_put(&p->out, "<table class=\"rows\"><thead><tr>");
    for (int i = 0; titles[i]; i++)
        sm_put(&p->out, "<th%s>%s</th>", is_number(titles[i]) ? " class=\"n\"" : "",
               titles[i] + is_number(titles[i]));
    sm_put(&p->out, "</tr></thead><tbody>");
}

static void end_row(struct sm_page *p)
{
    sm_put(&p->out, p->column >= 0 ? "</td></tr>\n" : "\n");
}

void sm_page_row(struct sm_page *p)
{
    end_row(p);
    sm_put(&p->out, "<tr>");
    p->column = 0;
}

void sm_page_td(struct sm_page *p, const char *pen)
{
    const char *title = p->titles[p->column];
    bool number = is_number(title);
    sm_put(&p->out, "%s<td", p->column > 0 ? "</td>" : "");
    if (*pen || number)
        sm_put(&p->out, " class=\"%s\"", *pen ? pen : "n");
    sm_put(&p->out, " data-title=\"%s\">", title + number);
    p->column++;
}

void sm_page_table_end(struct sm_page *p)
{
    end_row(p);
    sm_put(&p->out, "</tbody></table>\n");
}

/* --- numbers and sentences --- */

void sm_page_value(struct sm_page *p, double value, double scale, const char *unit)
{
    if (isfinite(value)) {
        sm_put_words(&p->out, SM_THREE(value * scale));
        sm_put(&p->out, "%s", unit);
    } else {
        sm_put(&p->out, "–");
    }
}

void sm_page_cell(struct sm_page *p, double value, double scale, const char *unit)
{
    sm_page_td(p, "");
    sm_page_value(p, value, scale, unit);
}

void sm_page_count_cell(struct sm_page *p, double value)
{
    sm_page_td(p, "");
    if (isfinite(value))
        sm_put(&p->out, "%s", SM_COUNT(value));
    else
        sm_put(&p->out, "–");
}

void sm_page_p(struct sm_page *p, double value)
{
    if (!isfinite(value))
        sm_put(&p->out, "–");
    else if (value < 1e-300)
        sm_put(&p->out, "&lt; 10⁻³⁰⁰");
    else
        sm_put_words(&p->out, SM_TWO(value));
}

void sm_page_p_cell(struct sm_page *p, double value)
{
    sm_page_td(p, "");
    sm_page_p(p, value);
}

void sm_page_interval(struct sm_page *p, double low, double high, double scale, const char *unit)
{
    if (isfinite(low) && isfinite(high)) {
        sm_put_words(&p->out, SM_THREE(low * scale));
        sm_put(&p->out, " to ");
        sm_put_words(&p->out, SM_THREE(high * scale));
        sm_put(&p->out, "%s", unit);
    } else {
        sm_put(&p->out, "–");
    }
}

void sm_page_interval_cell(struct sm_page *p, double low, double high, double scale,
                           const char *unit)
{
    sm_page_td(p, "");
    sm_page_interval(p, low, high, scale, unit);
}

/* `words` must be trusted ASCII text. */
void sm_page_sentence(struct sm_page *p, const char *words)
{
    if (words[0] >= 'a' && words[0] <= 'z')
        sm_put(&p->out, "%c", words[0] - 'a' + 'A');
    else if (words[0])
        sm_put(&p->out, "%c", words[0]);
    sm_put_words(&p->out, words[0] ? words + 1 : "");
    sm_put(&p->out, ".");
}

void sm_page_heading(struct sm_page *p, const char *id, const char *title)
{
    sm_put(&p->out, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

void sm_page_cohort(struct sm_page *p, enum sm_cohort cohort)
{
    sm_put(&p->out, "<span class=\"cohort\"><span class=\"swatch %s\"></span>%s</span>",
           sm_cohort_name(cohort), sm_cohort_title(cohort));
}

void sm_page_explain(struct sm_page *p, const char *prose, sm_chart *chart)
{
    sm_put(&p->out, "<div class=\"side\"><div>%s</div>\n<figure>\n", prose);
    chart(&p->out, p->summary);
    sm_put(&p->out, "</figure></div>\n");
}
