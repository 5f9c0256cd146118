/* One table lists the numbers that a gate may name, each with its place in the summary and with
 * what it needs to mean anything.
 *
 * A gate holds only on evidence. It fails if a flag of the summary invalidates its number (one
 * table), if the number is undefined, and if the cohorts are too small for it: "no image at FDR 1
 * %" means nothing if the reference cohort cannot give such a q-value. Flags decide, so the report
 * always names the reason and the images. */
#include "core/audit/gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/result.h"
#include "sslmem/stats.h"

/* Offset of a member of the summary; does not compile for a member of another type. */
#define AT(type, member)                                                                           \
    (offsetof(struct sm_audit_summary, member) *                                                   \
     _Generic(((struct sm_audit_summary *)0)->member, type : 1))
#define STRIDE(part)       sizeof(((struct sm_audit_summary *)0)->part[0])
#define MEMBERSHIP(member) .stride = STRIDE(membership), .value = AT(double, membership[0].member)
#define CONTRAST(member)   .stride = STRIDE(contrasts), .value = AT(double, contrasts[0].member)
#define ENOUGH(member)     .enough = AT(bool, membership[0].member)
#define RATE(i)            MEMBERSHIP(tpr_at_fpr[i].tpr), ENOUGH(tpr_at_fpr[i].enough)
#define LISTED(i)                                                                                  \
    .value = AT(double, fdr.levels[i].share), .enough = AT(bool, fdr.levels[i].enough),            \
    .least = AT(double, fdr.levels[i].at_least)
static const struct sm_gate_number numbers[] = {
    {"auc", MEMBERSHIP(auc.auc), .needs = SM_GATE_CONTRAST, .meaning = "area under the ROC curve"},
    {"auc_high", MEMBERSHIP(auc.interval.high), ENOUGH(auc.enough), .needs = SM_GATE_CONTRAST,
     .meaning = "upper end of the 95 % interval of the AUC"},
    {"tpr_at_fpr_10", RATE(SM_FPR_10), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates found at 10 % false alarms"},
    {"tpr_at_fpr_1", RATE(SM_FPR_1), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates found at 1 % false alarms"},
    {"tpr_at_fpr_01", RATE(SM_FPR_01), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates found at 0.1 % false alarms"},
    {"tpr_at_fpr_0", RATE(SM_FPR_0), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates found without a false alarm"},
    {"advantage", MEMBERSHIP(advantage), .needs = SM_GATE_CONTRAST,
     .meaning = "largest difference of true and false positive rate"},
    {"epsilon_lower", MEMBERSHIP(epsilon.lower), .needs = SM_GATE_CONTRAST | SM_GATE_REACH,
     .meaning = "lower bound of the privacy loss epsilon"},
    {"fdr1_share", LISTED(SM_FDR_1), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates memorized at FDR 1 %"},
    {"fdr5_share", LISTED(SM_FDR_5), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates memorized at FDR 5 %"},
    {"fdr10_share", LISTED(SM_FDR_10), .needs = SM_GATE_CONTRAST,
     .meaning = "share of candidates memorized at FDR 10 %"},
    {"mean_difference", CONTRAST(difference), .needs = SM_GATE_CONTRAST,
     .meaning = "mean score of candidates minus that of the reference"},
    {"cohen_d", CONTRAST(student.cohen_d), .needs = SM_GATE_CONTRAST,
     .meaning = "that difference in standard deviations (Cohen's d)"},
    {"welch_p", CONTRAST(welch.p_two_sided), .needs = SM_GATE_CONTRAST | SM_GATE_POWER,
     .meaning = "p-value of that difference (Welch)"},
    {"control_auc_dev", .value = AT(double, controls.control_auc_dev),
     .enough = AT(bool, controls.control_enough), .needs = SM_GATE_FILES,
     .meaning = "largest distance from 0.5 of the interval of a control AUC"},
    {"blind_auc", .value = AT(double, controls.blind_auc),
     .enough = AT(bool, controls.blind_enough), .needs = SM_GATE_FILES,
     .meaning = "largest AUC of a classifier that sees pixels and no encoder"},
    {"duplicates_share", .value = AT(double, controls.duplicates_share), .needs = SM_GATE_FILES,
     .meaning = "share of images with a near-duplicate"},
    {"failed_share", .value = AT(double, images.failed_share), .needs = SM_GATE_FILES,
     .meaning = "share of images that could not be scored"},
};
const struct sm_gate_table sm_gate_of_audit = {numbers, sizeof numbers / sizeof *numbers};

/* Longer signs first: "<" begins "<=". */
static const struct {
    const char *text;
    enum sm_gate_sign sign;
} signs[] = {
    {"<=", SM_GATE_AT_MOST}, {">=", SM_GATE_AT_LEAST}, {"<", SM_GATE_LESS}, {">", SM_GATE_MORE}};
#define SIGNS_COUNT (sizeof signs / sizeof *signs)

static enum sm_code unknown_number(const struct sm_gate_table *table, const char *text, int length,
                                   const char *pointer, struct sm_err *err)
{
    char names[280] = "";
    for (size_t i = 0; i < table->count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", table->numbers[i].name);
    }
    return sm_err_field(err, pointer, "\"%.*s\" is none of %s", length > 24 ? 24 : length, text,
                        names);
}

/* Reads a decimal number; strtod alone would accept "inf", "nan", hexadecimals and blanks. */
static bool read_limit(double *out, const char *text)
{
    char *end;
    if (text[0] == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out);
}

enum sm_code sm_gate_parse(struct sm_gate *out, const struct sm_gate_table *table, const char *text,
                           const char *pointer, struct sm_err *err)
{
    const struct sm_gate_number *numbers_of = table->numbers;
    size_t length = strcspn(text, "<>=!"),
           k = 0; /* "auc=0.6" has a wrong sign, not a wrong number */
    while (k < table->count &&
           (strlen(numbers_of[k].name) != length || memcmp(numbers_of[k].name, text, length) != 0))
        k++;
    if (k == table->count)
        return unknown_number(table, text, (int)(length > 24 ? 24 : length), pointer, err);
    for (size_t i = 0; i < SIGNS_COUNT; i++) {
        size_t width = strlen(signs[i].text);
        if (strncmp(text + length, signs[i].text, width) != 0)
            continue;
        *out = (struct sm_gate){.number = &numbers_of[k], .sign = signs[i].sign};
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

/* Finds a member of the summary; of tests per cohort, that of the test against the reference. */
static const void *member(const struct sm_gate_number *number, size_t offset,
                          const struct sm_audit_summary *summary)
{
    return (const char *)summary + offset + (size_t)summary->against * number->stride;
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

bool sm_gate_holds(const struct sm_gate *gate, double value)
{
    return holds(value, gate->sign, gate->limit);
}

/* A verdict on a part of an audit would look like one on the whole. */
static bool is_complete(const struct sm_audit_summary *summary)
{
    return summary->completeness.state == SM_COMPLETION_COMPLETE;
}

/* --- reasons for a gate to fail --- */

#define FAILS ", so the gate does not hold"

/* Flags that invalidate numbers with any of `needs`, or every number if it is 0; the worst first.
 */
static const struct {
    const char *flag;
    unsigned needs;
    const char *note;
} spoilers[] = {
    {SM_FLAG_SIDES_SAME, 0, "f and g of this pair hold the same weights" FAILS},
    {SM_FLAG_G_MISSING, SM_GATE_CONTRAST, "the pair has no g, so there is no score m" FAILS},
    {SM_FLAG_CANDIDATES_IN_REFERENCE, SM_GATE_CONTRAST,
     "candidates stand in the reference cohort" FAILS "; the flag names them"},
    {SM_FLAG_SCORES_CONSTANT, SM_GATE_CONTRAST, "the scores do not differ" FAILS},
};

static const char *find_spoiler(unsigned needs, const struct sm_audit_flags *flags)
{
    for (size_t k = 0; k < sizeof spoilers / sizeof *spoilers; k++) {
        if (spoilers[k].needs && !(spoilers[k].needs & needs))
            continue;
        for (size_t i = 0; i < flags->count; i++)
            if (strcmp(flags->rows[i].code, spoilers[k].flag) == 0)
                return spoilers[k].note;
    }
    return NULL;
}

/* The bound that this many images would give if the score made no mistake. */
static double largest_bound(const struct sm_audit_epsilon *e)
{
    size_t members = (size_t)e->members_counted, others = (size_t)e->others_counted;
    return sm_epsilon_lower(members, members, 0, others, e->delta, e->confidence);
}

/* A list has at least `least` candidates or is empty, so fewer memorized ones go unlisted. Returns
 * true if the gate allows that many unlisted candidates. */
static bool lists_so_few(const struct sm_gate *gate, double least, double candidates)
{
    return least <= 1 || holds((least - 1) / candidates, gate->sign, gate->limit);
}

static bool is_large_enough(const struct sm_gate *gate, const struct sm_audit_summary *summary)
{
    const struct sm_gate_number *number = gate->number;
    const struct sm_audit_contrast *contrast = &summary->contrasts[summary->against];
    bool wants_large = gate->sign == SM_GATE_MORE || gate->sign == SM_GATE_AT_LEAST;
    int64_t n = contrast->n_a < contrast->n_b ? contrast->n_a : contrast->n_b;
    if (number->enough && !*(const bool *)member(number, number->enough, summary))
        return false;
    if ((number->needs & SM_GATE_CONTRAST) && n < SM_GATE_SCORES_MIN)
        return false;
    if ((number->needs & SM_GATE_POWER) && wants_large && n < SM_GATE_POWER_MIN)
        return false;
    if (number->least && !wants_large &&
        !lists_so_few(gate, *(const double *)member(number, number->least, summary),
                      (double)summary->fdr.candidates))
        return false;
    return !(number->needs & SM_GATE_REACH) || wants_large ||
           largest_bound(&summary->membership[summary->against].epsilon) > gate->limit;
}

/* Returns why the gate fails whatever its number is, or NULL if the number decides. */
static const char *find_reason(const struct sm_gate *gate, double value,
                               const struct sm_audit_summary *summary)
{
    const char *spoiler = find_spoiler(gate->number->needs, &summary->flags);
    if (spoiler)
        return spoiler;
    if (!isfinite(value))
        return "the number is undefined here" FAILS;
    return is_large_enough(gate, summary) ? NULL
                                          : "the cohorts are too small for this number" FAILS;
}

static void judge(struct sm_audit_gate_verdict *out, const struct sm_audit_gate *text,
                  const struct sm_gate *gate, const struct sm_audit_summary *summary)
{
    double value = *(const double *)member(gate->number, gate->number->value, summary);
    *out = (struct sm_audit_gate_verdict){.number = gate->number->name,
                                          .meaning = gate->number->meaning,
                                          .limit = gate->limit,
                                          .value = value,
                                          .note = "the audit is not complete, so the gate is not "
                                                  "judged"};
    memcpy(out->gate, text->text, sizeof out->gate);
    if (!is_complete(summary))
        return;
    out->note = find_reason(gate, value, summary);
    out->passed =
        !out->note && holds(value, gate->sign, gate->limit) ? SM_VERDICT_PASSED : SM_VERDICT_FAILED;
}

enum sm_code sm_gates_evaluate(struct sm_audit_judgement *out, const struct sm_audit_spec *spec,
                               const struct sm_audit_summary *summary, struct sm_err *err)
{
    *out = (struct sm_audit_judgement){0};
    if (spec->gates_count > 0 && is_complete(summary))
        out->passed = SM_VERDICT_PASSED;
    for (int i = 0; i < spec->gates_count; i++) {
        struct sm_gate gate;
        enum sm_code code =
            sm_gate_parse(&gate, &sm_gate_of_audit, spec->gates[i].text, "/gates", err);
        if (code != SM_OK)
            return code;
        struct sm_audit_gate_verdict *verdict = &out->gates[out->count++];
        judge(verdict, &spec->gates[i], &gate, summary);
        if (verdict->passed == SM_VERDICT_FAILED)
            out->passed = SM_VERDICT_FAILED;
    }
    return SM_OK;
}

enum sm_code sm_part_gates(struct sm_audit_result *result, const struct sm_audit *audit,
                           struct sm_err *err)
{
    struct sm_audit_summary *summary = &result->summary;
    enum sm_code code = sm_gates_evaluate(&summary->own, audit->spec, summary, err);
    summary->has_judged = audit->judged != NULL;
    return code == SM_OK && audit->judged
               ? sm_gates_evaluate(&summary->judged, audit->judged, summary, err)
               : code;
}
