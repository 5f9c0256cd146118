/* Gates: "auc<=0.6" names a number of the summary, a sign and a limit.
 *
 * The number comes from the finished summary, so report and verdict cannot differ.
 * Owner, threads: no state. Errors: SM_INVALID at the given pointer. */
#ifndef CORE_AUDIT_GATE_H
#define CORE_AUDIT_GATE_H

#include "core/audit/summary.h"

enum sm_gate_sign { SM_GATE_LESS, SM_GATE_AT_MOST, SM_GATE_MORE, SM_GATE_AT_LEAST };

/* What a number needs for a gate on it to hold; bits. */
enum {
    SM_GATE_FILES = 0,    /* a pair with two different sides, as every number */
    SM_GATE_CONTRAST = 1, /* no candidate in the reference, scores that differ, and at least
                             SM_GATE_SCORES_MIN scores in both cohorts */
    SM_GATE_POWER = 2,    /* > and >=: SM_GATE_POWER_MIN scores in both cohorts, since a test on few
                             images finds no difference */
    SM_GATE_REACH = 4     /* < and <=: so many images that the bound could be above the limit */
};
#define SM_GATE_SCORES_MIN 2  /* one score has no spread, so no interval */
#define SM_GATE_POWER_MIN  30 /* below: flag cohort_small */

/* A number that gates may name. Offsets are bytes from the start of the summary. For tests against
 * a cohort they lead into the first test, and `stride` is the size of a test. */
struct sm_gate_number {
    const char *name;
    size_t stride, value; /* value: a double */
    size_t enough;        /* a bool: the cohorts are large enough for the number; 0: none */
    size_t least;         /* a double: length of the shortest list that is possible; 0: none */
    unsigned needs;
    const char *meaning; /* for readers of the report */
};

/* The numbers of one kind of result, such as an audit. */
struct sm_gate_table {
    const struct sm_gate_number *numbers;
    size_t count;
};
extern const struct sm_gate_table sm_gate_of_audit;

struct sm_gate {
    const struct sm_gate_number *number;
    enum sm_gate_sign sign;
    double limit;
};

enum sm_code sm_gate_parse(struct sm_gate *out, const struct sm_gate_table *table, const char *text,
                           const char *pointer, struct sm_err *err);
bool sm_gate_holds(const struct sm_gate *gate, double value);

/* Reads a list of gates, [text …], into gates[SM_AUDIT_GATES_MAX] (spec.c). Errors point at
 * "/gates". */
enum sm_code sm_gates_read(struct sm_audit_gate *gates, int *gates_count, const json_t *list,
                           const struct sm_gate_table *table, struct sm_err *err);

/* Judges the gates of `spec`, each and all together. Without gates, and of an audit that is not
 * complete, there is no verdict. SM_INVALID for a wrong gate, which only an unparsed spec holds. */
enum sm_code sm_gates_evaluate(struct sm_audit_judgement *out, const struct sm_audit_spec *spec,
                               const struct sm_audit_summary *summary, struct sm_err *err);

#endif
