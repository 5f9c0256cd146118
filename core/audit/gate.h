/* Gates: "auc<=0.6" to a number of the summary, a comparison and a limit.
 *
 * A gate's number is read out of the finished summary, so that report and verdict cannot differ.
 * Owner, threads: no state. Errors: SM_INVALID at the given pointer. */
#ifndef CORE_AUDIT_GATE_H
#define CORE_AUDIT_GATE_H

#include "core/audit/summary.h"

enum sm_gate_sign { SM_GATE_LESS, SM_GATE_AT_MOST, SM_GATE_MORE, SM_GATE_AT_LEAST };

/* What a number needs so that a gate on it can hold; bits. */
enum {
    SM_GATE_FILES = 0,    /* of images and files alone: nothing but a pair with two sides */
    SM_GATE_CONTRAST = 1, /* candidates apart from the reference: none of them in it, scores that
                             differ, SM_GATE_SCORES_MIN scores in both cohorts */
    SM_GATE_POWER = 2,    /* no difference is found between few images: a gate that asks for a large
                             value takes SM_GATE_POWER_MIN scores in both cohorts */
    SM_GATE_REACH = 4     /* a bound: a gate that asks for a small value takes so many images that
                             the bound could be above its limit */
};
#define SM_GATE_SCORES_MIN 2  /* below there is no spread, so no interval */
#define SM_GATE_POWER_MIN  30 /* as the flag cohort_small */

/* A number that gates may name: a double of the summary. Offsets are bytes from the summary; of
 * tests against a cohort they are those of the first, and `stride` leads to the next. */
struct sm_gate_number {
    const char *name;
    size_t stride, value;
    size_t enough; /* of a bool: the cohorts can carry the number; 0: no such member */
    size_t least;  /* of a double: candidates are listed that many at once or not at all; 0: none */
    unsigned needs;
    const char *meaning; /* for readers of the report */
};

struct sm_gate {
    const struct sm_gate_number *number;
    enum sm_gate_sign sign;
    double limit;
};

enum sm_code sm_gate_parse(struct sm_gate *out, const char *text, const char *pointer,
                           struct sm_err *err);

/* Judges the gates of `spec`, each and all together. Without gates, and of an audit that is not
 * complete, there is no verdict. SM_INVALID for a wrong gate, which only an unparsed spec holds. */
enum sm_code sm_gates_evaluate(struct sm_audit_judgement *out, const struct sm_audit_spec *spec,
                               const struct sm_audit_summary *summary, struct sm_err *err);

#endif
