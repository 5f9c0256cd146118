/* Numbers and sentences as a page has them. */
#include "core/audit/page.h"

#include <math.h>
#include <stdlib.h>

#include "core/audit/charts.h"

const char *sm_text_at(const json_t *node, const char *key)
{
    const char *text = json_string_value(json_object_get(node, key));
    return text ? text : "";
}

double sm_number_at(const json_t *node, const char *key)
{
    const json_t *value = json_object_get(node, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const json_t *sm_page_reference_test(const struct sm_page *p, const char *part)
{
    char key[40];
    snprintf(key, sizeof key, "candidate_%s", sm_text_at(p->summary, "reference"));
    return json_object_get(json_object_get(p->summary, part), key);
}

/* --- numbers and sentences --- */

static void put_three(struct sm_page *p, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.3g", value);
    sm_put_words(&p->out, text);
}

void sm_page_value(struct sm_page *p, double value, double scale, const char *unit)
{
    if (isfinite(value)) {
        put_three(p, value * scale);
        sm_put(&p->out, "%s", unit);
    } else {
        sm_put(&p->out, "–");
    }
}

void sm_page_cell(struct sm_page *p, double value, double scale, const char *unit)
{
    sm_put(&p->out, "<td class=\"n\">");
    sm_page_value(p, value, scale, unit);
    sm_put(&p->out, "</td>");
}

void sm_page_p(struct sm_page *p, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.1e", value); /* d.de-nn, rounded before it is taken apart */
    if (!isfinite(value))
        sm_put(&p->out, "–");
    else if (value >= .001)
        sm_put(&p->out, "%.2g", value);
    else if (value < 1e-300)
        sm_put(&p->out, "&lt; 10<sup>−300</sup>");
    else
        sm_put(&p->out, "%.3s · 10<sup>−%d</sup>", text, (int)strtol(text + 5, NULL, 10));
}

void sm_page_p_cell(struct sm_page *p, double value)
{
    sm_put(&p->out, "<td class=\"n\">");
    sm_page_p(p, value);
    sm_put(&p->out, "</td>");
}

void sm_page_interval(struct sm_page *p, double low, double high, double scale, const char *unit)
{
    if (isfinite(low) && isfinite(high)) {
        put_three(p, low * scale);
        sm_put(&p->out, " to ");
        put_three(p, high * scale);
        sm_put(&p->out, "%s", unit);
    } else {
        sm_put(&p->out, "–");
    }
}

void sm_page_list_interval(struct sm_page *p, const json_t *list, double scale, const char *unit)
{
    const json_t *low = json_array_get(list, 0), *high = json_array_get(list, 1);
    sm_page_interval(p, json_is_number(low) ? json_number_value(low) : NAN,
                     json_is_number(high) ? json_number_value(high) : NAN, scale, unit);
}

/* As a sentence: a capital and a full stop. Our own words, ASCII. */
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

void sm_page_cohort(struct sm_page *p, const char *name)
{
    sm_put(&p->out, "<span class=\"cohort\"><span class=\"swatch %s\"></span>%s</span>", name,
           sm_cohort_title(name));
}
