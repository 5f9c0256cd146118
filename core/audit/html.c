/* The report: one page for a reader who is not a statistician, from the verdict down to the
 * digests.
 *
 * Every number comes from the summary, so page and record cannot differ. Foreign text (names,
 * labels, descriptions, provenance) is written by the escaping writers of out.h only; in addition,
 * the page's content security policy forbids scripts and any outside resource. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/page.h"
#include "core/audit/prose.h"
#include "core/audit/record.h"
#include "core/base/json.h"

/* --- head, verdict --- */

#define HEADER_POINTS 60 /* code points of the audit's name in the margin of a printed page */
#define DIGEST_SHOWN  16 /* digits of a digest in that margin */

static bool is_complete(const struct sm_page *p)
{
    return p->audit->completeness.state == SM_COMPLETION_COMPLETE;
}

/* Without g nothing is measured that could be called memorization. */
static const char *kind_of(const struct sm_page *p)
{
    return p->summary->outsider.alone ? "Audit of f alone" : "Memorization audit";
}

/* Writes "Partial: 100 of 2,000". */
static void put_part(struct sm_page *p)
{
    char words[SM_COMPLETENESS_BYTES];
    sm_completeness_words(words, &p->audit->completeness);
    sm_put(&p->out, "%c%s", toupper((unsigned char)words[0]), words + 1);
}

/* Formats an RFC 3339 time as "2026-11-30 19:57 UTC"; copies any other text. */
static void date_of(char out[64], const struct sm_page *p)
{
    const char *time = sm_text_at(p->audit->run, "finished");
    bool known = strlen(time) > 16 && time[10] == 'T' && time[strlen(time) - 1] == 'Z';
    if (known)
        snprintf(out, 64, "%.10s %.5s UTC", time, time + 11);
    else
        snprintf(out, 64, "%.63s", time);
}

/* The margins of a printed page hold name, date, digests and page number. */
void sm_page_margin(struct sm_page *p, const char *box)
{
    sm_put(&p->out,
           "@%s{font:8pt system-ui,'Segoe UI',Roboto,Arial,sans-serif;color:#57606a;"
           "content:\"",
           box);
}

static void put_margins(struct sm_page *p)
{
    char date[64];
    date_of(date, p);
    sm_put(&p->out, "@page{");
    sm_page_margin(p, "top-left");
    if (!is_complete(p)) {
        put_part(p);
        sm_put(&p->out, " · ");
    }
    sm_put_css(&p->out, p->audit->spec->name, HEADER_POINTS);
    sm_put(&p->out, "\"}");
    sm_page_margin(p, "top-right");
    sm_put_css(&p->out, date, HEADER_POINTS);
    sm_put(&p->out, "\"}");
    sm_page_margin(p, "bottom-left");
    sm_put(&p->out, "pair ");
    sm_put_css(&p->out, sm_text_at(p->audit->pair, "digest"), DIGEST_SHOWN);
    sm_put(&p->out, " · recipe ");
    sm_put_css(&p->out, sm_text_at(p->audit->provenance, "recipe_digest"), DIGEST_SHOWN);
    sm_put(&p->out, "\"}");
    sm_page_margin(p, "bottom-right");
    sm_put(&p->out, "page \" counter(page) \" of \" counter(pages)}}\n");
}

void sm_page_open(struct sm_page *p)
{
    sm_put(&p->out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'; img-src data:\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"referrer\" content=\"no-referrer\">\n"
                    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
}

void sm_page_style(struct sm_page *p)
{
    sm_put(&p->out, "</title>\n<style>\n%s%s%s", sm_prose_style, sm_prose_style_parts,
           sm_prose_style_charts);
}

static void put_head(struct sm_page *p)
{
    sm_page_open(p);
    if (!is_complete(p)) {
        put_part(p);
        sm_put(&p->out, " · ");
    }
    sm_put(&p->out, "%s: ", kind_of(p));
    sm_put_html(&p->out, p->audit->spec->name);
    sm_page_style(p);
    put_margins(p);
    sm_put(&p->out, "</style>\n</head>\n<body>\n<main>\n");
}

static void put_title(struct sm_page *p)
{
    char date[64];
    date_of(date, p);
    sm_put(&p->out, "<p class=\"kind\">%s</p>\n<h1>", kind_of(p));
    sm_put_html(&p->out, p->audit->spec->name);
    sm_put(&p->out, "</h1>\n<p class=\"lead\">%s <b>",
           p->summary->outsider.alone ? "Encoder f, without g, of" : "Pair of encoders");
    sm_put_html(&p->out, sm_text_at(p->audit->pair, "name"));
    sm_put(&p->out, "</b> · %s images", SM_COUNT(p->audit->items_count));
    if (date[0]) {
        sm_put(&p->out, " · ");
        sm_put_html(&p->out, date);
    }
    if (p->audit->spec->signed_by[0]) {
        sm_put(&p->out, " · audited by <b>");
        sm_put_html(&p->out, p->audit->spec->signed_by);
        sm_put(&p->out, "</b>");
    }
    sm_put(&p->out, "</p>\n");
}

/* Writes the value with three digits, or with as many as it takes to show on which side of the
 * limit it is. */
static void put_measured(struct sm_page *p, double value, double limit)
{
    char text[SM_FIGURE_BYTES];
    for (int digits = 3; digits <= 17; digits++) {
        double shown = strtod(sm_figure(text, value, digits), NULL);
        if ((shown < limit) == (value < limit) && (shown > limit) == (value > limit))
            break;
    }
    sm_page_td(p, "");
    sm_put_words(&p->out, isfinite(value) ? text : "–");
}

static void put_gate(struct sm_page *p, const struct sm_audit_gate_verdict *gate)
{
    static const struct {
        const char *pen, *words;
    } verdicts[] = {[SM_VERDICT_NONE] = {"unjudged", "– not judged"},
                    [SM_VERDICT_FAILED] = {"failed", "✗ does not hold"},
                    [SM_VERDICT_PASSED] = {"held", "✓ holds"}};
    sm_page_row(p);
    sm_page_td(p, "id");
    sm_put_html(&p->out, gate->gate);
    sm_page_td(p, "");
    sm_put(&p->out, "<span>");
    sm_put_words(&p->out, gate->meaning);
    if (gate->note)
        sm_put(&p->out, "<br><span class=\"note\">%s</span>", gate->note);
    sm_put(&p->out, "</span>");
    put_measured(p, gate->value, gate->limit);
    sm_page_td(p, "");
    sm_put(&p->out, "<span class=\"%s\">%s</span>", verdicts[gate->passed].pen,
           verdicts[gate->passed].words);
}

/* Replaces the verdict of an audit that is not complete. */
static void put_incomplete(struct sm_page *p)
{
    const char *why = "the audit has not come to its end";
    if (p->audit->completeness.state == SM_COMPLETION_CANCELLED)
        why = "the audit was cancelled";
    else if (p->audit->erased_count > 0)
        why = "images were erased from the audit";
    sm_put(&p->out, "<div class=\"verdict open\"><span class=\"sign\">!</span><p><strong>");
    put_part(p);
    sm_put(&p->out,
           " images scored</strong><br>This is no final report: %s. All numbers below are those of "
           "the images scored, and gates are not judged.</p></div>\n",
           why);
}

static void put_verdict(struct sm_page *p, size_t held, size_t count)
{
    if (!is_complete(p))
        put_incomplete(p);
    else if (count == 0)
        sm_put(&p->out, "<div class=\"verdict\"><span class=\"sign\">–</span><p><strong>"
                        "No verdict"
                        "</strong><br>No gates were set for this audit: it states numbers and "
                        "leaves the judgement to its reader.</p></div>\n");
    else
        sm_put(&p->out,
               "<div class=\"verdict %s\"><span class=\"sign\">%s</span><p><strong>%s</strong><br>"
               "%zu of %zu gate%s hold%s. Whoever ordered the audit set %s.</p></div>\n",
               held == count ? "good" : "bad", held == count ? "✓" : "✗",
               held == count ? "Passed" : "Not passed", held, count, count == 1 ? "" : "s",
               count == 1 ? "s" : "", count == 1 ? "it" : "them");
}

void sm_page_gates(struct sm_page *p, const struct sm_audit_judgement *judgement)
{
    sm_page_table(p, (const char *const[]){"Gate", "What it limits", "#Measured", "Verdict", NULL});
    for (size_t i = 0; i < judgement->count; i++)
        put_gate(p, &judgement->gates[i]);
    sm_page_table_end(p);
}

/* Gates set afterwards, in addition to those that the audit was started with. */
static void put_judged(struct sm_page *p)
{
    if (!p->summary->has_judged)
        return;
    sm_put(&p->out,
           "<h3>Judged afterwards</h3>\n<p>These gates were set when the scores of this "
           "audit were known. They do not change the verdict above: a limit that is chosen "
           "after the fact proves less than one that was set before.</p>\n");
    sm_page_gates(p, &p->summary->judged);
}

static void put_gates(struct sm_page *p)
{
    const struct sm_audit_judgement *own = &p->summary->own;
    size_t held = 0;
    for (size_t i = 0; i < own->count; i++)
        held += own->gates[i].passed == SM_VERDICT_PASSED;
    put_verdict(p, held, own->count);
    if (own->count > 0)
        sm_page_gates(p, own);
}

/* --- in short --- */

static void put_list_words(struct sm_page *p)
{
    const struct sm_audit_fdr *fdr = &p->summary->fdr;
    const struct sm_audit_fdr_level *level = &fdr->levels[SM_FDR_5];
    if (!isfinite(level->count))
        sm_put(&p->out, "No list of memorized candidates can be made: there are no candidates or "
                        "no reference.");
    else if (!level->enough)
        sm_put(&p->out,
               "The reference cohort (%s images) is too small to list any candidate at "
               "a false discovery rate of 5&nbsp;%%.",
               SM_COUNT(fdr->reference_n));
    else if (level->count == 0)
        sm_put(&p->out,
               "None of %s candidates is listed as memorized at a false discovery rate "
               "of 5&nbsp;%%: no single image can be named. Whether candidates stand out as a "
               "group is "
               "what the lines above say.",
               SM_COUNT(fdr->candidates));
    else
        sm_put(&p->out,
               "%s of %s candidates (%s&nbsp;%%) are listed as memorized at a false "
               "discovery rate of 5&nbsp;%%: some %s of them can be expected to be there by "
               "chance.",
               SM_COUNT(level->count), SM_COUNT(fdr->candidates),
               SM_THREE(100 * level->count / (double)fdr->candidates),
               SM_THREE(level->expected_false));
}

static void put_card(struct sm_page *p, double value, double scale, const char *unit)
{
    sm_put(&p->out, "<div class=\"card\"><b>");
    sm_page_value(p, value, scale, unit);
    sm_put(&p->out, "</b><span>");
}

static void put_cards(struct sm_page *p)
{
    const struct sm_audit_contrast *c = &p->summary->contrasts[p->summary->against];
    const struct sm_auc *auc = &p->summary->membership[p->summary->against].auc;
    const struct sm_tpr *rate = &p->summary->membership[p->summary->against].tpr_at_fpr[SM_FPR_1];
    const struct sm_audit_fdr_level *level = &p->summary->fdr.levels[SM_FDR_5];
    sm_put(&p->out, "<div class=\"cards\">\n");
    put_card(p, c->difference, 1, "");
    sm_put(&p->out, "mean score of candidates minus that of the reference; ");
    sm_page_interval(p, c->welch.low, c->welch.high, 1, "");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, auc->auc, 1, "");
    sm_put(&p->out, "AUC: how well the score tells members from others (0.5: not at all, 1: "
                    "perfectly); ");
    sm_page_interval(p, auc->interval.low, auc->interval.high, 1, "");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, rate->tpr, 100, "&nbsp;%");
    sm_put(&p->out, "of the candidates are found at 1&nbsp;%% false alarms; ");
    sm_page_interval(p, rate->interval.low, rate->interval.high, 100, "&nbsp;%");
    if (!rate->enough)
        sm_put(&p->out, ". Too few others for this rate");
    sm_put(&p->out, "</span></div>\n");
    put_card(p, level->share, 100, "&nbsp;%");
    sm_put(&p->out,
           "of the candidates are listed as memorized at FDR 5&nbsp;%%%s</span></div>\n</div>\n",
           level->enough ? "" : ". The reference is too small");
}

static void put_flags(struct sm_page *p)
{
    const struct sm_audit_flags *flags = &p->summary->flags;
    if (flags->count == 0) {
        sm_put(&p->out, "<p>Nothing about the images or cohorts calls for special caution.</p>\n");
        return;
    }
    sm_put(&p->out, "<h3>Read this first</h3>\n<ul class=\"flags\">\n");
    for (size_t i = 0; i < flags->count; i++) {
        sm_put(&p->out, "<li>");
        sm_put_words(&p->out, flags->rows[i].text);
        sm_put(&p->out, "</li>\n");
    }
    sm_put(&p->out, "</ul>\n");
}

static void put_short(struct sm_page *p)
{
    sm_page_heading(p, "result", is_complete(p) ? "Result in short" : "Result so far");
    put_gates(p);
    put_judged(p);
    if (p->summary->outsider.alone) {
        sm_page_alone_short(p);
        put_flags(p);
        return;
    }
    put_cards(p);
    sm_put(&p->out, "<ul>\n<li>");
    sm_page_sentence(p, p->summary->contrasts[p->summary->against].words);
    sm_put(&p->out, "</li>\n<li>");
    sm_page_sentence(p, p->summary->membership[p->summary->against].words);
    sm_put(&p->out, "</li>\n<li>");
    put_list_words(p);
    sm_put(&p->out, "</li>\n</ul>\n");
    put_flags(p);
}

/* --- provenance --- */

static void put_json_html(struct sm_page *p, const json_t *node)
{
    char *text = json_is_string(node) ? NULL : sm_json_text(node, JSON_COMPACT);
    sm_put_html(&p->out, text ? text : sm_text_or_none(json_string_value(node)));
    free(text);
}

void sm_page_fact(struct sm_page *p, const char *key, const json_t *value)
{
    sm_put(&p->out, "<tr><td>");
    sm_put_html(&p->out, key);
    sm_put(&p->out, "</td><td class=\"id\">");
    put_json_html(p, value);
    sm_put(&p->out, "</td></tr>\n");
}

/* Returns true for members of the provenance that the table of the pair already shows. */
static bool is_of_pair(const struct sm_page *p, const json_t *object, const char *key)
{
    const char *digest = sm_text_at(p->audit->pair, "digest");
    return object == p->audit->provenance &&
           strcmp(digest, sm_text_at(object, "pair_digest")) == 0 &&
           (strcmp(key, "encoders") == 0 || strcmp(key, "pair_digest") == 0);
}

static void put_facts(struct sm_page *p, const char *title, const json_t *object)
{
    const char *key;
    const json_t *value;
    if (json_object_size(object) == 0)
        return;
    sm_put(&p->out, "<h3>%s</h3>\n<table class=\"facts\"><tbody>\n", title);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (!is_of_pair(p, object, key))
            sm_page_fact(p, key, value);
    }
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
            sm_page_fact(p, keys[i], json_object_get(p->audit->pair, keys[i]));
    put_encoders(p, "f");
    put_encoders(p, "g");
    sm_put(&p->out, "</tbody></table>\n");
}

/* --- run it again --- */

/* Writes one word of the command; an option starts a new line. */
void sm_page_word(struct sm_page *p, const char *word)
{
    sm_put(&p->out, strncmp(word, "--", 2) == 0 ? " \\\n    " : " ");
    sm_put_shell(&p->out, word);
}

static void put_option(struct sm_page *p, const char *option, const char *value)
{
    sm_page_word(p, option);
    sm_page_word(p, value);
}

/* Writes the options with placeholders, for an audit whose folders are unknown. */
static void put_wanted_places(struct sm_page *p)
{
    static const struct {
        const char *option, *folder;
    } wanted[SM_COHORTS] = {[SM_COHORT_SHARED] = {"--shared", "SHARED"},
                            [SM_COHORT_CANDIDATE] = {"--candidate", "CANDIDATE"},
                            [SM_COHORT_INDEPENDENT] = {"--independent", "INDEPENDENT"},
                            [SM_COHORT_EXTERNAL] = {"--external", "EXTERNAL"}};
    bool labels = p->summary->classes.count > 0 || p->summary->groups.count > 0;
    put_option(p, "--pair", "PAIR");
    put_option(p, "--recipe", "recipe.json");
    if (labels) {
        put_option(p, "--manifest", "MANIFEST");
        put_option(p, "--root", "ROOT");
    }
    for (int c = 0; c < SM_COHORTS && !labels; c++)
        if (p->result->samples.of[c].scored + p->result->samples.of[c].failed > 0)
            put_option(p, wanted[c].option, wanted[c].folder);
    put_option(p, "--out", "OUT");
}

/* Writes the settings that differ from the command's defaults. */
static void put_settings(struct sm_page *p)
{
    const struct sm_audit_spec *spec = p->audit->spec;
    char number[32];
    put_option(p, "--name", spec->name);
    if (spec->reference != SM_COHORT_EXTERNAL)
        put_option(p, "--reference", sm_cohort_name(spec->reference));
    for (int i = 0; i < spec->gates_count; i++)
        put_option(p, "--gate", spec->gates[i].text);
    snprintf(number, sizeof number, "%" PRIu64, spec->seed);
    if (spec->seed != 0)
        put_option(p, "--seed", number);
    snprintf(number, sizeof number, "%" PRId32, spec->resamples);
    if (spec->resamples != SM_AUDIT_RESAMPLES)
        put_option(p, "--resamples", number);
    if (spec->inserted_at_random)
        sm_page_word(p, "--inserted-at-random");
    if (!spec->controls)
        put_option(p, "--controls", "off");
    if (spec->keep_thumbnails)
        sm_page_word(p, "--thumbnails");
    if (spec->signed_by[0])
        put_option(p, "--signed-by", spec->signed_by);
    if (p->audit->with_names)
        sm_page_word(p, "--names");
}

static void put_again(struct sm_page *p)
{
    const char *const *places = p->audit->places;
    sm_put(&p->out, "<h3 id=\"again\">Run it again</h3>\n%s", sm_prose_again);
    if (places) {
        sm_put(&p->out, "%s<pre>sslmem audit", sm_prose_again_here);
        for (; *places; places++)
            sm_page_word(p, *places);
    } else {
        sm_put(&p->out, "%s<pre># GET /v1/audits/", sm_prose_again_service);
        sm_put_html(&p->out, sm_text_at(p->audit->run, "id"));
        sm_put(&p->out, "/report.json\npython3 -c &#39;import json; json.dump(json.load(open("
                        "&#34;report.json&#34;))[&#34;recipe&#34;], open(&#34;recipe.json&#34;, "
                        "&#34;w&#34;))&#39;\n</pre>\n<pre>sslmem audit");
        put_wanted_places(p);
    }
    put_settings(p);
    sm_put(&p->out, "</pre>\n");
}

static void put_signature(struct sm_page *p)
{
    if (p->audit->spec->signed_by[0] == '\0')
        return;
    sm_put(&p->out, "<div class=\"signature\"><div><b>");
    sm_put_html(&p->out, p->audit->spec->signed_by);
    sm_put(&p->out, "</b>auditor, organisation</div><div>date</div><div>signature</div></div>\n");
}

static enum sm_code put_provenance(struct sm_page *p, struct sm_err *err)
{
    json_t *spec = sm_audit_spec_json(p->audit->spec);
    if (!spec)
        return sm_err_set(err, SM_NOMEM, "out of memory for the report of an audit");
    sm_page_heading(p, "limits", "Limits of the method");
    sm_put(&p->out, "%s", p->summary->outsider.alone ? sm_prose_limits_alone : sm_prose_limits);
    sm_page_heading(p, "provenance", "Provenance, and how to run it again");
    sm_put(&p->out, "<div class=\"columns\">\n");
    put_pair(p);
    put_facts(p, "Recipe: how views are made and compared", p->audit->recipe);
    put_facts(p, "Settings of the audit", spec);
    put_facts(p, "Software and digests", p->audit->provenance);
    put_facts(p, "This run", p->audit->run);
    sm_put(&p->out, "</div>\n");
    put_again(p);
    put_signature(p);
    json_decref(spec);
    return SM_OK;
}

typedef void section(struct sm_page *p);
static section *const of_pair[] = {put_head,
                                   put_title,
                                   sm_page_controls,
                                   put_short,
                                   sm_page_measured,
                                   sm_page_cohorts,
                                   sm_page_reliability,
                                   sm_page_contrasts,
                                   sm_page_membership,
                                   sm_page_outsider,
                                   sm_page_labels,
                                   sm_page_images,
                                   NULL};
static section *const of_f_alone[] = {
    put_head,         put_title, sm_page_controls, put_short, sm_page_alone_measured,
    sm_page_outsider, NULL};

enum sm_code sm_audit_write_html(FILE *file, const struct sm_audit *audit,
                                 const struct sm_audit_result *result,
                                 sm_audit_thumbnail *thumbnail, void *arg, struct sm_err *err)
{
    struct sm_page p = {.out = {file},
                        .audit = audit,
                        .result = result,
                        .summary = &result->summary,
                        .thumbnail = thumbnail,
                        .arg = arg};
    for (section *const *write = result->samples.has_g ? of_pair : of_f_alone; *write; write++)
        (*write)(&p);
    enum sm_code code = put_provenance(&p, err);
    sm_put(&p.out, "</main>\n</body>\n</html>\n");
    return code == SM_OK ? sm_out_finish(&p.out, err) : code;
}
