/* One table of the numbers that a gate may name, each with its path through the summary and with
 * what it needs to mean anything.
 *
 * A gate holds only where something was measured. It fails when a flag of the summary says that its
 * number was not (one table), when the number is undefined, and when the cohorts are too small for
 * it: "no image at FDR 1 %" of a reference cohort that cannot give such a q-value is no news. Flags
 * decide, so the report that a gate stands in always names the reason and the images. */
#include "core/audit/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/stats.h"

static const struct sm_gate_number numbers[] = {
    {"auc", "membership/candidate_*/auc/value", NULL, SM_GATE_CONTRAST, "area under the ROC curve"},
    {"auc_high", "membership/candidate_*/auc/interval/1", "membership/candidate_*/auc/enough",
     SM_GATE_CONTRAST, "upper end of the 95 % interval of the AUC"},
    {"tpr_at_fpr_10", "membership/candidate_*/tpr_at_fpr/0/tpr",
     "membership/candidate_*/tpr_at_fpr/0/enough", SM_GATE_CONTRAST,
     "share of candidates found at 10 % false alarms"},
    {"tpr_at_fpr_1", "membership/candidate_*/tpr_at_fpr/1/tpr",
     "membership/candidate_*/tpr_at_fpr/1/enough", SM_GATE_CONTRAST,
     "share of candidates found at 1 % false alarms"},
    {"tpr_at_fpr_01", "membership/candidate_*/tpr_at_fpr/2/tpr",
     "membership/candidate_*/tpr_at_fpr/2/enough", SM_GATE_CONTRAST,
     "share of candidates found at 0.1 % false alarms"},
    {"tpr_at_fpr_0", "membership/candidate_*/tpr_at_fpr/3/tpr",
     "membership/candidate_*/tpr_at_fpr/3/enough", SM_GATE_CONTRAST,
     "share of candidates found without a false alarm"},
    {"advantage", "membership/candidate_*/advantage", NULL, SM_GATE_CONTRAST,
     "largest difference of true and false positive rate"},
    {"epsilon_lower", "membership/candidate_*/epsilon/lower", NULL,
     SM_GATE_CONTRAST | SM_GATE_REACH, "lower bound of the privacy loss epsilon"},
    {"fdr1_share", "fdr/levels/0/share", "fdr/levels/0/enough", SM_GATE_CONTRAST,
     "share of candidates memorized at FDR 1 %", "fdr/levels/0/at_least"},
    {"fdr5_share", "fdr/levels/1/share", "fdr/levels/1/enough", SM_GATE_CONTRAST,
     "share of candidates memorized at FDR 5 %", "fdr/levels/1/at_least"},
    {"fdr10_share", "fdr/levels/2/share", "fdr/levels/2/enough", SM_GATE_CONTRAST,
     "share of candidates memorized at FDR 10 %", "fdr/levels/2/at_least"},
    {"mean_difference", "comparisons/candidate_*/difference", NULL, SM_GATE_CONTRAST,
     "mean score of candidates minus that of the reference"},
    {"cohen_d", "comparisons/candidate_*/cohen_d", NULL, SM_GATE_CONTRAST,
     "that difference in standard deviations (Cohen's d)"},
    {"welch_p", "comparisons/candidate_*/welch/p_two_sided", NULL, SM_GATE_CONTRAST | SM_GATE_POWER,
     "p-value of that difference (Welch)"},
    {"failed_share", "images/failed_share", NULL, SM_GATE_FILES,
     "share of images that could not be scored"},
};
#define NUMBERS_COUNT (sizeof numbers / sizeof *numbers)

/* Longer signs first: "<" begins "<=". */
static const struct {
    const char *text;
    enum sm_gate_sign sign;
} signs[] = {
    {"<=", SM_GATE_AT_MOST}, {">=", SM_GATE_AT_LEAST}, {"<", SM_GATE_LESS}, {">", SM_GATE_MORE}};
#define SIGNS_COUNT (sizeof signs / sizeof *signs)

static enum sm_code unknown_number(const char *text, int length, const char *pointer,
                                   struct sm_err *err)
{
    char names[224] = "";
    for (size_t i = 0; i < NUMBERS_COUNT; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", numbers[i].name);
    }
    return sm_err_field(err, pointer, "\"%.*s\" is none of %s", length > 24 ? 24 : length, text,
                        names);
}

/* Digits as JSON has them: strtod alone would take "inf", "nan", hexadecimals and blanks. */
static bool read_limit(double *out, const char *text)
{
    char *end;
    if (text[0] == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

enum sm_code sm_gate_parse(struct sm_gate *out, const char *text, const char *pointer,
                           struct sm_err *err)
{
    size_t length = strcspn(text, "<>=!"), k = 0; /* "auc=0.6" is about its sign */
    while (k < NUMBERS_COUNT &&
           (strlen(numbers[k].name) != length || memcmp(numbers[k].name, text, length) != 0))
        k++;
    if (k == NUMBERS_COUNT)
        return unknown_number(text, (int)(length > 24 ? 24 : length), pointer, err);
    for (size_t i = 0; i < SIGNS_COUNT; i++) {
        size_t width = strlen(signs[i].text);
        if (strncmp(text + length, signs[i].text, width) != 0)
            continue;
        *out = (struct sm_gate){.number = &numbers[k], .sign = signs[i].sign};
        if (read_limit(&out->limit, text + length + width))
            return SM_OK;
        return sm_err_field(err, pointer, "gate \"%.40s\" has no decimal number behind %s", text,
                            signs[i].text);
    }
    return sm_err_field(err, pointer,
                        "gate \"%.40s\" has none of <, <=, >, >=; write it like \"auc<=0.6\", "
                        "for a shell in quotes",
                        text);
}

/* Follows "a/b/0/c", "*" being the reference's name; NULL where the way ends. */
static const json_t *follow(const json_t *node, const char *path, const char *reference)
{
    char key[64];
    while (node && *path) {
        size_t length = strcspn(path, "/"), used = 0;
        for (size_t i = 0; i < length && used < sizeof key - 1; i++) {
            if (path[i] != '*')
                key[used++] = path[i];
            else
                used += (size_t)snprintf(key + used, sizeof key - used, "%s", reference);
        }
        key[used < sizeof key ? used : sizeof key - 1] = '\0';
        node = json_is_array(node) ? json_array_get(node, strtoul(key, NULL, 10))
                                   : json_object_get(node, key);
        path += length + (path[length] == '/');
    }
    return node;
}

static bool holds(double value, enum sm_gate_sign sign, double limit)
{
    switch (sign) {
    case SM_GATE_LESS:
        return value < limit;
    case SM_GATE_AT_MOST:
        return value <= limit;
    case SM_GATE_MORE:
        return value > limit;
    case SM_GATE_AT_LEAST:
        return value >= limit;
    }
    return false;
}

/* A verdict on a part would look like one on the whole. */
static bool is_complete(const json_t *summary)
{
    struct sm_completeness completeness;
    sm_completeness_read(&completeness, json_object_get(summary, "completeness"));
    return completeness.state == SM_COMPLETION_COMPLETE;
}

/* --- what a gate cannot hold on --- */

#define FAILS ", so the gate does not hold"

/* Flags that take the ground from under a number, the worst first; from under all for `needs` 0. */
static const struct {
    const char *flag;
    unsigned needs;
    const char *note;
} spoilers[] = {
    {"sides_same", 0, "f and g of this pair hold the same weights" FAILS},
    {"candidates_in_reference", SM_GATE_CONTRAST,
     "candidates stand in the reference cohort" FAILS "; the flag names them"},
    {"scores_constant", SM_GATE_CONTRAST, "the scores do not differ" FAILS},
};

static const char *find_spoiler(unsigned needs, const json_t *flags)
{
    const json_t *flag;
    size_t i;
    for (size_t k = 0; k < sizeof spoilers / sizeof *spoilers; k++) {
        if (spoilers[k].needs && !(spoilers[k].needs & needs))
            continue;
        json_array_foreach(flags, i, flag)
        {
            const char *code = json_string_value(json_object_get(flag, "code"));
            if (code && strcmp(code, spoilers[k].flag) == 0)
                return spoilers[k].note;
        }
    }
    return NULL;
}

/* The smaller of the two cohorts that the number compares. */
static double smaller_count(const json_t *summary, const char *reference)
{
    const json_t *comparison = follow(summary, "comparisons/candidate_*", reference);
    return fmin(json_number_value(json_object_get(comparison, "n_a")),
                json_number_value(json_object_get(comparison, "n_b")));
}

/* The bound that so many images would give if the score told them apart without a mistake. */
static double largest_bound(const json_t *summary, const char *reference)
{
    const json_t *e = follow(summary, "membership/candidate_*/epsilon", reference);
    size_t members = (size_t)json_integer_value(json_object_get(e, "members_counted"));
    size_t others = (size_t)json_integer_value(json_object_get(e, "others_counted"));
    return sm_epsilon_lower(members, members, 0, others,
                            json_number_value(json_object_get(e, "delta")),
                            json_number_value(json_object_get(e, "confidence")));
}

/* Candidates are listed `least` at once or not at all. Fewer that are memorized go unlisted, so a
 * gate on small shares takes a reference with which those shares would be allowed. */
static bool lists_so_few(const struct sm_gate *gate, const json_t *summary, const char *reference)
{
    double n = json_number_value(follow(summary, "fdr/candidates", reference));
    double least = json_number_value(follow(summary, gate->number->least, reference));
    return least <= 1 || holds((least - 1) / n, gate->sign, gate->limit);
}

static bool is_large_enough(const struct sm_gate *gate, const char *reference,
                            const json_t *summary)
{
    const struct sm_gate_number *number = gate->number;
    bool wants_large = gate->sign == SM_GATE_MORE || gate->sign == SM_GATE_AT_LEAST;
    double n = smaller_count(summary, reference);
    if (number->enough && !json_is_true(follow(summary, number->enough, reference)))
        return false;
    if ((number->needs & SM_GATE_CONTRAST) && n < SM_GATE_SCORES_MIN)
        return false;
    if ((number->needs & SM_GATE_POWER) && wants_large && n < SM_GATE_POWER_MIN)
        return false;
    if (number->least && !wants_large && !lists_so_few(gate, summary, reference))
        return false;
    return !(number->needs & SM_GATE_REACH) || wants_large ||
           largest_bound(summary, reference) > gate->limit;
}

/* Why the gate cannot hold whatever its number is; NULL: its number decides. */
static const char *find_reason(const struct sm_gate *gate, bool defined, const char *reference,
                               const json_t *summary)
{
    const char *spoiler = find_spoiler(gate->number->needs, json_object_get(summary, "flags"));
    if (spoiler)
        return spoiler;
    if (!defined)
        return "the number is undefined here" FAILS;
    return is_large_enough(gate, reference, summary)
               ? NULL
               : "the cohorts are too small for this number" FAILS;
}

static json_t *gate_json(const char *text, const struct sm_gate *gate, const char *reference,
                         const json_t *summary)
{
    bool judged = is_complete(summary);
    const json_t *value = follow(summary, gate->number->path, reference);
    bool defined = json_is_number(value);
    const char *reason = judged ? find_reason(gate, defined, reference, summary)
                                : "the audit is not complete, so the gate is not judged";
    bool passed = !reason && holds(json_number_value(value), gate->sign, gate->limit);
    return json_pack("{s:s, s:s, s:s, s:f, s:o, s:o, s:s?}", "gate", text, "number",
                     gate->number->name, "meaning", gate->number->meaning, "limit", gate->limit,
                     "value", defined ? json_real(json_number_value(value)) : json_null(), "passed",
                     judged ? json_boolean(passed) : json_null(), "note", reason);
}

enum sm_code sm_gates_evaluate(json_t **out, enum sm_verdict *verdict,
                               const struct sm_audit_spec *spec, const json_t *summary,
                               struct sm_err *err)
{
    const char *reference = json_string_value(json_object_get(summary, "reference"));
    *verdict = spec->gates_count > 0 && is_complete(summary) ? SM_VERDICT_PASSED : SM_VERDICT_NONE;
    *out = json_array();
    for (int i = 0; i < spec->gates_count; i++) {
        struct sm_gate gate;
        enum sm_code code = sm_gate_parse(&gate, spec->gates[i].text, "/gates", err);
        json_t *node =
            code == SM_OK ? gate_json(spec->gates[i].text, &gate, reference, summary) : NULL;
        if (*verdict == SM_VERDICT_PASSED && !json_is_true(json_object_get(node, "passed")))
            *verdict = SM_VERDICT_FAILED;
        if (code == SM_OK && json_array_append_new(*out, node) != 0)
            code = sm_err_set(err, SM_NOMEM, "out of memory for %d gates", spec->gates_count);
        if (code != SM_OK) {
            json_decref(*out);
            *out = NULL;
            return code;
        }
    }
    return SM_OK;
}
