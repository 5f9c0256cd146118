/* Gates: "auc<=0.6" to a number of the summary, a comparison and a limit.
 *
 * A gate's number is read out of the finished summary, so that report and verdict cannot differ.
 * Owner, threads: no state. Errors: SM_INVALID at the given pointer. */
#ifndef CORE_AUDIT_GATE_H
#define CORE_AUDIT_GATE_H

#include <jansson.h>
#include <stdbool.h>

#include "sslmem/audit.h"

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

/* A number that gates may name. `path` leads through the summary; "*" in it stands for the name of
 * the reference cohort. `enough`, where there is one, leads to the flag that tells whether the
 * cohorts can carry the number. */
struct sm_gate_number {
    const char *name, *path, *enough;
    unsigned needs;
    const char *meaning; /* for readers of the report */
    const char *least;   /* of a share of candidates: to how many of them are listed if any is */
};

struct sm_gate {
    const struct sm_gate_number *number;
    enum sm_gate_sign sign;
    double limit;
};

enum sm_code sm_gate_parse(struct sm_gate *out, const char *text, const char *pointer,
                           struct sm_err *err);

/* [{"gate", "number", "meaning", "limit", "value", "passed", "note"} …] and whether all hold.
 * There is no verdict without a gate, nor of an audit that is not complete, where each "passed" is
 * null too. A spec that was not parsed may hold a wrong gate: SM_INVALID. */
enum sm_verdict { SM_VERDICT_NONE, SM_VERDICT_FAILED, SM_VERDICT_PASSED };
enum sm_code sm_gates_evaluate(json_t **out, enum sm_verdict *verdict,
                               const struct sm_audit_spec *spec, const json_t *summary,
                               struct sm_err *err);

#endif
