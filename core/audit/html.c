/* The report: one page for a reader who is no statistician, from the verdict down to the digests.
 *
 * Every number is read from the summary, so that page and record cannot differ. What comes from
 * outside (names, labels, descriptions, provenance) goes through sm_put_html and nothing else;
 * beside that, the page's own policy forbids scripts and anything that is not inside it. */
#include <math.h>
#include <stdlib.h>

#include "core/audit/page.h"
#include "core/audit/prose.h"
#include "core/audit/record.h"

/* --- head, verdict --- */

static void put_head(struct sm_page *p)
{
    sm_put(&p->out,
           "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
           "style-src 'unsafe-inline'; img-src data:\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
           "<meta name=\"referrer\" content=\"no-referrer\">\n"
           "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Memorization audit: ");
    sm_put_html(&p->out, p->audit->spec->name);
    sm_put(&p->out, "</title>\n<style>\n%s%s</style>\n</head>\n<body>\n<main>\n<h1>",
           sm_prose_style, sm_prose_style_charts);
    sm_put_html(&p->out, p->audit->spec->name);
    sm_put(&p->out, "</h1>\n<p class=\"lead\">Memorization audit of the encoder pair <b>");
    sm_put_html(&p->out, sm_text_at(p->audit->pair, "name"));
    sm_put(&p->out, "</b>, %zu images", p->audit->items_count);
    if (sm_text_at(p->audit->run, "finished")[0]) {
        sm_put(&p->out, ", ");
        sm_put_html(&p->out, sm_text_at(p->audit->run, "finished"));
    }
    sm_put(&p->out, "</p>\n");
}

static void put_gate(struct sm_page *p, const json_t *gate)
{
    bool passed = json_is_true(json_object_get(gate, "passed"));
    sm_put(&p->out, "<tr><td class=\"id\">");
    sm_put_html(&p->out, sm_text_at(gate, "gate"));
    sm_put(&p->out, "</td><td>%s", sm_text_at(gate, "meaning"));
    if (sm_text_at(gate, "note")[0])
        sm_put(&p->out, "<br><span class=\"note\">%s</span>", sm_text_at(gate, "note"));
    sm_put(&p->out, "</td>");
    sm_page_cell(p, sm_number_at(gate, "value"), 1, "");
    sm_put(&p->out, "<td class=\"%s\">%s</td></tr>\n", passed ? "held" : "failed",
           passed ? "✓ holds" : "✗ does not hold");
}

static void put_gates(struct sm_page *p)
{
    const json_t *gates = json_object_get(p->summary, "gates"), *gate;
    size_t i, count = json_array_size(gates), held = 0;
    json_array_foreach(gates, i, gate) held += json_is_true(json_object_get(gate, "passed"));
    if (count == 0) {
        sm_put(&p->out, "<div class=\"verdict\"><strong>No verdict</strong><br>No gates were set "
                        "for this audit: it states numbers and leaves the judgement to its "
                        "reader.</div>\n");
        return;
    }
    sm_put(&p->out,
           "<div class=\"verdict %s\"><strong>%s</strong><br>%zu of %zu gates hold. The gates were "
           "set by whoever ordered the audit.</div>\n",
           held == count ? "good" : "bad", held == count ? "Passed" : "Not passed", held, count);
    sm_put(&p->out, "<table><thead><tr><th>Gate</th><th>What it limits</th><th class=\"n\">Measured"
                    "</th><th>Verdict</th></tr></thead><tbody>\n");
    json_array_foreach(gates, i, gate) put_gate(p, gate);
    sm_put(&p->out, "</tbody></table>\n");
}

/* --- in short --- */

static const json_t *level_5(const struct sm_page *p)
{
    return json_array_get(json_object_get(json_object_get(p->summary, "fdr"), "levels"), 1);
}

static void put_list_words(struct sm_page *p)
{
    const json_t *fdr = json_object_get(p->summary, "fdr"), *level = level_5(p);
    double count = sm_number_at(level, "count"), n = sm_number_at(fdr, "candidates");
    if (!isfinite(count))
        sm_put(&p->out, "No list of memorized candidates can be made: there are no candidates or "
                        "no reference.");
    else if (!json_is_true(json_object_get(level, "enough")))
        sm_put(&p->out,
               "The reference cohort (%.0f images) is too small to list any candidate at "
               "a false discovery rate of 5 %%.",
               sm_number_at(fdr, "reference_n"));
    else if (count == 0)
        sm_put(&p->out,
               "None of %.0f candidates is listed as memorized at a false discovery rate "
               "of 5 %%: no single image can be named. Whether candidates stand out as a group is "
               "what the lines above say.",
               n);
    else
        sm_put(&p->out,
               "%.0f of %.0f candidates (%.3g %%) are listed as memorized at a false "
               "discovery rate of 5 %%: some %.2g of them can be expected to be there by "
               "chance.",
               count, n, 100 * count / n, sm_number_at(level, "expected_false"));
}

static void put_card(struct sm_page *p, double value, double scale, const char *unit)
{
    sm_put(&p->out, "<div class=\"card\"><b>");
    sm_page_value(p, value, scale, unit);
    sm_put(&p->out, "</b><span>");
}

static void put_cards(struct sm_page *p)
{
    const json_t *c = sm_page_reference_test(p, "comparisons"),
                 *test = sm_page_reference_test(p, "membership");
    const json_t *auc = json_object_get(test, "auc");
    const json_t *rate = json_array_get(json_object_get(test, "tpr_at_fpr"), 1);
    sm_put(&p->out, "<div class=\"cards\">\n");
    put_card(p, sm_number_at(c, "difference"), 1, "");
    sm_put(&p->out, "mean score of candidates minus that of the reference; ");
    sm_page_interval(p, sm_number_at(c, "low"), sm_number_at(c, "high"), 1, "");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, sm_number_at(auc, "value"), 1, "");
    sm_put(&p->out, "AUC: how well the score tells members from others (0.5: not at all, 1: "
                    "perfectly); ");
    sm_page_list_interval(p, json_object_get(auc, "interval"), 1, "");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, sm_number_at(rate, "tpr"), 100, " %");
    sm_put(&p->out, "of the candidates are found at 1 %% false alarms; ");
    sm_page_list_interval(p, json_object_get(rate, "interval"), 100, " %");
    if (!json_is_true(json_object_get(rate, "enough")))
        sm_put(&p->out, ". Too few others for this rate");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, sm_number_at(level_5(p), "share"), 100, " %");
    sm_put(
        &p->out, "of the candidates are listed as memorized at FDR 5 %%%s</span></div>\n</div>\n",
        json_is_true(json_object_get(level_5(p), "enough")) ? "" : ". The reference is too small");
}

static void put_flags(struct sm_page *p)
{
    const json_t *flags = json_object_get(p->summary, "flags"), *flag;
    size_t i;
    if (json_array_size(flags) == 0) {
        sm_put(&p->out, "<p>Nothing about the images or cohorts calls for special caution.</p>\n");
        return;
    }
    sm_put(&p->out, "<h3>Read this first</h3>\n<ul class=\"flags\">\n");
    json_array_foreach(flags, i, flag)
    {
        sm_put(&p->out, "<li>");
        sm_put_words(&p->out, sm_text_at(flag, "text"));
        sm_put(&p->out, "</li>\n");
    }
    sm_put(&p->out, "</ul>\n");
}

static void put_short(struct sm_page *p)
{
    sm_page_heading(p, "result", "Result in short");
    put_gates(p);
    put_cards(p);
    sm_put(&p->out, "<ul>\n<li>");
    sm_page_sentence(p, sm_text_at(sm_page_reference_test(p, "comparisons"), "words"));
    sm_put(&p->out, "</li>\n<li>");
    sm_page_sentence(p, sm_text_at(sm_page_reference_test(p, "membership"), "words"));
    sm_put(&p->out, "</li>\n<li>");
    put_list_words(p);
    sm_put(&p->out, "</li>\n</ul>\n");
    put_flags(p);
}

/* --- provenance --- */

static void put_json_html(struct sm_page *p, const json_t *node)
{
    char *text = json_is_string(node)
                     ? NULL
                     : json_dumps(node, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    sm_put_html(&p->out, text ? text : sm_text_or_none(json_string_value(node)));
    free(text);
}

static void put_fact(struct sm_page *p, const char *key, const json_t *value)
{
    sm_put(&p->out, "<tr><td>");
    sm_put_html(&p->out, key);
    sm_put(&p->out, "</td><td class=\"id\">");
    put_json_html(p, value);
    sm_put(&p->out, "</td></tr>\n");
}

static void put_facts(struct sm_page *p, const char *title, const json_t *object)
{
    const char *key;
    const json_t *value;
    if (json_object_size(object) == 0)
        return;
    sm_put(&p->out, "<h3>%s</h3>\n<table class=\"facts\"><tbody>\n", title);
    json_object_foreach((json_t *)(uintptr_t)object, key, value) put_fact(p, key, value);
    sm_put(&p->out, "</tbody></table>\n");
}

static void put_encoders(struct sm_page *p, const char *side)
{
    const json_t *list = json_object_get(json_object_get(p->audit->pair, "encoders"), side), *e;
    size_t i;
    json_array_foreach(list, i, e)
    {
        sm_put(&p->out, "<tr><td>encoder %s</td><td class=\"id\">", side);
        sm_put_html(&p->out, sm_text_at(e, "file"));
        sm_put(&p->out, "<br>");
        sm_put_html(&p->out, sm_text_at(e, "digest"));
        sm_put(&p->out, "</td></tr>\n");
    }
}

static void put_pair(struct sm_page *p)
{
    static const char *const keys[] = {"name", "description", "digest"};
    sm_put(&p->out, "<h3>Pair of encoders</h3>\n<table class=\"facts\"><tbody>\n");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (sm_text_at(p->audit->pair, keys[i])[0])
            put_fact(p, keys[i], json_object_get(p->audit->pair, keys[i]));
    put_encoders(p, "f");
    put_encoders(p, "g");
    sm_put(&p->out, "</tbody></table>\n");
}

/* The command, of what can be told without knowing where the images are. Gates hold but letters,
 * digits and signs. */
static void put_command(struct sm_page *p)
{
    const struct sm_audit_spec *spec = p->audit->spec;
    sm_put(&p->out, "<pre>sslmem audit --pair ");
    sm_put_html(&p->out, sm_text_at(p->audit->pair, "name"));
    sm_put(&p->out, " --recipe recipe.json --out DIR");
    for (int c = 0; c < SM_COHORTS; c++)
        if (p->result->samples.of[c].count + p->result->samples.of[c].failed > 0)
            sm_put(&p->out, " \\\n    --%s DIR", sm_cohort_name((enum sm_cohort)c));
    sm_put(&p->out, " \\\n    --reference %s", sm_cohort_name(spec->reference));
    if (spec->inserted_at_random)
        sm_put(&p->out, " --inserted-at-random");
    for (int i = 0; i < spec->gates_count; i++) {
        sm_put(&p->out, " --gate '");
        sm_put_html(&p->out, spec->gates[i].text);
        sm_put(&p->out, "'");
    }
    sm_put(&p->out, "</pre>\n");
}

static enum sm_code put_provenance(struct sm_page *p, struct sm_err *err)
{
    json_t *spec = sm_audit_spec_json(p->audit->spec);
    if (!spec)
        return sm_err_set(err, SM_NOMEM, "out of memory for the report of an audit");
    sm_page_heading(p, "limits", "Limits of the method");
    sm_put(&p->out, "%s", sm_prose_limits);
    sm_page_heading(p, "provenance", "Provenance, and how to run it again");
    put_pair(p);
    put_facts(p, "Recipe: how views are made and compared", p->audit->recipe);
    put_facts(p, "Settings of the audit", spec);
    put_facts(p, "Software and digests", p->audit->provenance);
    put_facts(p, "This run", p->audit->run);
    sm_put(&p->out, "<h3>Run it again</h3>\n%s", sm_prose_again);
    put_command(p);
    json_decref(spec);
    return SM_OK;
}

enum sm_code sm_audit_write_html(FILE *file, const struct sm_audit *audit,
                                 const struct sm_audit_result *result,
                                 sm_audit_thumbnail *thumbnail, void *arg, struct sm_err *err)
{
    struct sm_page p = {{file}, audit, result, result->summary, thumbnail, arg};
    put_head(&p);
    put_short(&p);
    sm_page_measured(&p);
    sm_page_cohorts(&p);
    sm_page_contrasts(&p);
    sm_page_membership(&p);
    sm_page_labels(&p);
    sm_page_images(&p);
    enum sm_code code = put_provenance(&p, err);
    sm_put(&p.out, "</main>\n</body>\n</html>\n");
    return code == SM_OK ? sm_out_finish(&p.out, err) : code;
}
