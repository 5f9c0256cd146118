/* Findings, verdict and gates of an unlearning. Findings are looked for in the order of the table
 * in include/sslmem/unlearning.h; those of the first side that has one decide. What was not
 * measured is a finding too, and so can never look like forgetting. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/audit/out.h"
#include "core/audit/unlearning.h"

const char *sm_unlearning_verdict_name(enum sm_unlearning_verdict verdict)
{
    static const char *const names[] = {
        [SM_UNLEARNING_NOT_SHOWN] = "not_shown",
        [SM_UNLEARNING_FORGOTTEN] = "forgotten",
        [SM_UNLEARNING_STILL_MEMORIZED] = "still_memorized",
        [SM_UNLEARNING_OVERSHOT] = "overshot",
    };
    return names[verdict];
}

const char *sm_unlearning_headline(enum sm_unlearning_verdict verdict)
{
    static const char *const texts[] = {
        [SM_UNLEARNING_NOT_SHOWN] = "Forgetting is not shown",
        [SM_UNLEARNING_FORGOTTEN] = "Forgotten",
        [SM_UNLEARNING_STILL_MEMORIZED] = "Still memorized",
        [SM_UNLEARNING_OVERSHOT] = "Overshot",
    };
    return texts[verdict];
}

const char *sm_unlearning_meaning(enum sm_unlearning_verdict verdict)
{
    static const char *const texts[] = {
        [SM_UNLEARNING_NOT_SHOWN] =
            "these two audits show neither that u has forgotten the images nor that it has not",
        [SM_UNLEARNING_FORGOTTEN] =
            "encoder u treats the forget images as g does, which never saw them, within the margin",
        [SM_UNLEARNING_STILL_MEMORIZED] =
            "encoder u still treats forget images better than g does, which never saw them",
        [SM_UNLEARNING_OVERSHOT] = "encoder u treats the forget images worse than g does, which "
                                   "never saw them: this too gives "
                                   "away which images they were",
    };
    return texts[verdict];
}

/* --- findings --- */

__attribute__((format(printf, 4, 5))) static void find(struct sm_unlearning *u,
                                                       enum sm_unlearning_side side,
                                                       const char *code, const char *format, ...)
{
    va_list args;
    assert(u->reasons_count < SM_UNLEARNING_REASONS_MAX);
    struct sm_unlearning_reason *reason = &u->reasons[u->reasons_count++];
    va_start(args, format);
    vsnprintf(reason->text, sizeof reason->text, format, args);
    va_end(args);
    reason->code = code;
    reason->side = side;
}

static void find_parts(struct sm_unlearning *u)
{
    const struct sm_audit *const audits[] = {u->before, u->after};
    for (int i = 0; i < 2; i++) {
        char words[SM_COMPLETENESS_BYTES];
        if (audits[i]->completeness.state == SM_COMPLETION_COMPLETE)
            continue;
        find(u, SM_SIDE_PART, "part",
             "%s is %s images: a part shows nothing about the rest; run that audit to its end",
             i ? "AFTER" : "BEFORE", sm_completeness_words(words, &audits[i]->completeness));
    }
}

static void find_memory(struct sm_unlearning *u)
{
    const struct sm_unlearning_contrast *left = &u->left;
    if (u->named.count > 0)
        find(u, SM_SIDE_STILL, "records_named",
             "%s of %s forget images %s named as still memorized at a false discovery rate of 5 "
             "%%; some %s of them can be expected by chance",
             SM_COUNT(u->named.count), SM_COUNT(u->forget.scored),
             u->named.count == 1 ? "is" : "are", SM_THREE(u->named.expected_false));
    if (left->low > 0 && !(u->equivalent == 1))
        find(u, SM_SIDE_STILL, "residual_above",
             "the mean residual lies above 0: %s, 95 %% interval %s to %s", SM_THREE(left->mean),
             SM_THREE(left->low), SM_THREE(left->high));
    if (left->auc.interval.low > .5 + u->zone)
        find(u, SM_SIDE_STILL, "auc_above",
             "the residual tells forget images from externals: AUC %s, 95 %% interval %s to %s, "
             "above %s",
             SM_THREE(left->auc.auc), SM_THREE(left->auc.interval.low),
             SM_THREE(left->auc.interval.high), SM_THREE(.5 + u->zone));
    if (u->u_is_f && u->was.mean > 0)
        find(u, SM_SIDE_STILL, "u_is_f",
             "encoder u scores the images as f does: nothing was unlearned");
}

static void find_overshoot(struct sm_unlearning *u)
{
    const struct sm_unlearning_contrast *left = &u->left;
    if (left->high < 0 && !(u->equivalent == 1))
        find(u, SM_SIDE_OVERSHOT, "residual_below",
             "the mean residual lies below 0: %s, 95 %% interval %s to %s", SM_THREE(left->mean),
             SM_THREE(left->low), SM_THREE(left->high));
    if (left->auc.interval.high < .5 - u->zone)
        find(u, SM_SIDE_OVERSHOT, "auc_below",
             "a low residual tells forget images from externals: AUC %s, 95 %% interval %s to %s, "
             "below %s",
             SM_THREE(left->auc.auc), SM_THREE(left->auc.interval.low),
             SM_THREE(left->auc.interval.high), SM_THREE(.5 - u->zone));
}

static void find_before(struct sm_unlearning *u)
{
    const struct sm_unlearning_contrast *was = &u->was;
    if (!(was->mean > 0))
        find(u, SM_SIDE_MISSING, "nothing_before",
             "BEFORE shows no memorization: the forget images score %s above the externals on "
             "average, so there is nothing of which a share could be forgotten",
             SM_THREE(was->mean));
    else if (!(was->low > 0) && !u->u_is_g)
        find(u, SM_SIDE_MISSING, "before_not_shown",
             "BEFORE does not show memorization: the mean before is %s, 95 %% interval %s to %s; "
             "audit more images",
             SM_THREE(was->mean), SM_THREE(was->low), SM_THREE(was->high));
}

/* Rounds up to two digits. */
static double roughly(double count)
{
    double unit = pow(10, fmax(0, floor(log10(count)) - 1));
    return ceil(count / unit) * unit;
}

static void find_inequivalence(struct sm_unlearning *u)
{
    if (isfinite(u->needed))
        find(u, SM_SIDE_MISSING, "not_equivalent",
             "a mean residual within %s and %s is not shown: p = %s; if nothing is left, some %s "
             "images of each kind would show it",
             SM_THREE(-u->tost.margin), SM_THREE(u->tost.margin), SM_TWO(u->tost.p),
             SM_COUNT(roughly(u->needed)));
    else
        find(u, SM_SIDE_MISSING, "not_equivalent",
             "there is no margin within which the residual could be equivalent to none");
}

static void find_unmeasured(struct sm_unlearning *u)
{
    bool decided = u->reasons_count > 0 && u->reasons[u->reasons_count - 1].side != SM_SIDE_PART;
    size_t unscored = u->forget.count - u->forget.scored + u->forget.unread;
    find_before(u);
    if (unscored > 0)
        find(u, SM_SIDE_MISSING, "images_unscored",
             "%s of %s forget images %s no score in one of the audits; report.csv says why",
             SM_COUNT(unscored), SM_COUNT(u->forget.count + u->forget.unread),
             unscored == 1 ? "has" : "have");
    if (u->u_is_g)
        return;
    if (u->residuals_equal && u->forget.scored > 0)
        find(u, SM_SIDE_MISSING, "residuals_equal",
             "all %s images have the score %s in AFTER: nothing was measured; look at u with "
             "sslmem inspect",
             SM_COUNT(u->forget.scored + u->external.scored),
             SM_THREE(u->forget.images[0].in_after->m));
    if (!u->named.enough)
        find(u, SM_SIDE_MISSING, "externals_too_few",
             "with %s externals no p-value is below %s, so no image can be named; 19 externals "
             "are the least",
             SM_COUNT(u->external.scored), SM_TWO(u->named.p_smallest));
    if (!(u->equivalent == 1) && !decided)
        find_inequivalence(u);
}

static void find_forgetting(struct sm_unlearning *u)
{
    if (u->u_is_g)
        find(u, SM_SIDE_SHOWN, "u_is_g",
             "encoder u has the weights of g, which never saw the forget images: every residual is "
             "0");
    else if (u->equivalent == 1)
        find(u, SM_SIDE_SHOWN, "equivalent", "the mean residual, %s, lies within %s and %s: p = %s",
             SM_THREE(u->left.mean), SM_THREE(-u->tost.margin), SM_THREE(u->tost.margin),
             SM_TWO(u->tost.p));
}

static enum sm_unlearning_verdict decide(const struct sm_unlearning *u)
{
    static const enum sm_unlearning_verdict verdicts[] = {
        [SM_SIDE_PART] = SM_UNLEARNING_NOT_SHOWN,
        [SM_SIDE_STILL] = SM_UNLEARNING_STILL_MEMORIZED,
        [SM_SIDE_OVERSHOT] = SM_UNLEARNING_OVERSHOT,
        [SM_SIDE_MISSING] = SM_UNLEARNING_NOT_SHOWN,
        [SM_SIDE_SHOWN] = SM_UNLEARNING_FORGOTTEN,
    };
    /* Findings come in the order of their sides. */
    return u->reasons_count > 0 ? verdicts[u->reasons[0].side] : SM_UNLEARNING_NOT_SHOWN;
}

/* --- gates --- */

#define FAILS ", so the gate does not hold"

#define AT(member)                                                                                 \
    (offsetof(struct sm_unlearning, member) *                                                      \
     _Generic(((struct sm_unlearning *)0)->member, double : 1))
static const struct sm_gate_number numbers[] = {
    {"residual_auc_dev", .value = AT(deviation.high),
     .meaning = "largest distance of the residual's AUC from 0.5, either way, that its 95 % "
                "interval allows"},
    {"equivalent", .value = AT(equivalent),
     .meaning = "1 if the mean residual is shown to lie within the margin, otherwise 0"},
};
const struct sm_gate_table sm_gate_of_unlearning = {numbers, sizeof numbers / sizeof *numbers};

/* Reasons for every gate to fail, by the code of their finding. */
static const struct {
    const char *code, *note;
} spoilers[] = {
    {"nothing_before", "BEFORE shows no memorization" FAILS},
    {"before_not_shown", "BEFORE does not show memorization" FAILS},
    {"images_unscored", "forget images have no score" FAILS},
    {"residuals_equal", "the residuals do not differ" FAILS},
};

static const char *find_spoiler(const struct sm_unlearning *u)
{
    for (size_t k = 0; k < sizeof spoilers / sizeof *spoilers; k++)
        for (size_t i = 0; i < u->reasons_count; i++)
            if (strcmp(u->reasons[i].code, spoilers[k].code) == 0)
                return spoilers[k].note;
    return NULL;
}

static const char *find_note(const struct sm_unlearning *u, const struct sm_gate *gate,
                             double value)
{
    const char *spoiler = find_spoiler(u);
    if (spoiler)
        return spoiler;
    if (!isfinite(value))
        return "the number is undefined here" FAILS;
    if (gate->number == &numbers[0] && !u->left.auc.enough)
        return "there are too few images for this number" FAILS;
    return NULL;
}

static bool is_part(const struct sm_unlearning *u)
{
    return u->reasons_count > 0 && u->reasons[0].side == SM_SIDE_PART;
}

static enum sm_code judge_gates(struct sm_unlearning *u, struct sm_err *err)
{
    struct sm_audit_judgement *out = &u->judgement;
    bool part = is_part(u);
    *out = (struct sm_audit_judgement){0};
    if (u->spec.gates_count > 0 && !part)
        out->passed = SM_VERDICT_PASSED;
    for (int i = 0; i < u->spec.gates_count; i++) {
        struct sm_audit_gate_verdict *verdict = &out->gates[out->count++];
        struct sm_gate gate;
        enum sm_code code =
            sm_gate_parse(&gate, &sm_gate_of_unlearning, u->spec.gates[i].text, "/gates", err);
        if (code != SM_OK)
            return code;
        *verdict = (struct sm_audit_gate_verdict){
            .number = gate.number->name, .meaning = gate.number->meaning, .limit = gate.limit};
        memcpy(verdict->gate, u->spec.gates[i].text, sizeof verdict->gate);
        memcpy(&verdict->value, (const char *)u + gate.number->value, sizeof verdict->value);
        verdict->note = part ? "an audit is not complete, so the gate is not judged"
                             : find_note(u, &gate, verdict->value);
        if (part)
            continue;
        bool holds = !verdict->note && sm_gate_holds(&gate, verdict->value);
        verdict->passed = holds ? SM_VERDICT_PASSED : SM_VERDICT_FAILED;
        if (!holds)
            out->passed = SM_VERDICT_FAILED;
    }
    return SM_OK;
}

enum sm_code sm_unlearning_judge(struct sm_unlearning *u, struct sm_err *err)
{
    u->reasons_count = 0;
    find_parts(u);
    find_memory(u);
    find_overshoot(u);
    find_unmeasured(u);
    find_forgetting(u);
    u->verdict = decide(u);
    return judge_gates(u, err);
}
