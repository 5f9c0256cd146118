/* Audits: the scores of whole cohorts to statistics, a report, selections, comparisons.
 *
 *     struct sm_audit_spec spec;
 *     sm_audit_spec_parse(&spec, node, &err);              // what the client asked for
 *     struct sm_audit audit = {.spec = &spec, .items = items, .items_count = n, …};
 *     struct sm_audit_result *result;
 *     sm_audit_evaluate(&result, &audit, &err);            // every number, once
 *     sm_audit_write_json(file, &audit, result, &err);     // the record
 *     sm_audit_write_html(file, &audit, result, thumbnail, arg, &err);
 *     sm_audit_result_free(result);
 *
 * Cohorts (Wang et al., ICLR 2024, section 4): f was trained on shared and candidate images, g on
 * shared and independent ones, external images were seen by neither.
 *
 * The same items in the same order give the same bytes, but for `run`, which holds all that tells
 * one run of an audit from another (ids, times, rates).
 *
 * Owner:   an audit borrows everything; a result is the caller's. Threads: no state.
 * Errors:  SM_INVALID with a JSON pointer (spec) or both numbers, SM_NOMEM, SM_IO (writing). */
#ifndef SSLMEM_AUDIT_H
#define SSLMEM_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

#define SM_AUDIT_GATES_MAX     16
#define SM_AUDIT_NAME_MAX      200 /* bytes of the audit's name */
#define SM_AUDIT_SIGNED_MAX    200 /* bytes of auditor and organisation */
#define SM_AUDIT_RESAMPLES     2000
#define SM_AUDIT_RESAMPLES_MAX 100000
#define SM_AUDIT_COMPARED_MAX  8    /* audits of a comparison */
#define SM_AUDIT_POINTS_MAX    2000 /* images of its scatter */

enum sm_cohort {
    SM_COHORT_SHARED,
    SM_COHORT_CANDIDATE,
    SM_COHORT_INDEPENDENT,
    SM_COHORT_EXTERNAL,
    SM_COHORTS
};
const char *sm_cohort_name(enum sm_cohort cohort);
/* SM_INVALID: the text lists the four. */
enum sm_code sm_cohort_parse(enum sm_cohort *out, const char *name, struct sm_err *err);

/* "auc<=0.6": a number of the result, a comparison (<, <=, >, >=), a limit. core/audit/README.md
 * lists the numbers. */
struct sm_audit_gate {
    char text[64];
};

/* {"name", "reference" ("external" or "independent"), "gates": [text …], "resamples", "seed",
 *  "keep_thumbnails", "inserted_at_random", "signed_by"}, all optional but the name; an unknown
 *  field is an error. */
struct sm_audit_spec {
    char name[SM_AUDIT_NAME_MAX + 1];
    char signed_by[SM_AUDIT_SIGNED_MAX + 1]; /* auditor and organisation, "" for none */
    enum sm_cohort reference; /* of p-values, q-values, centred scores and the membership test */
    struct sm_audit_gate gates[SM_AUDIT_GATES_MAX];
    int gates_count;
    int32_t resamples; /* of the bootstrap */
    uint64_t seed;     /* of bootstrap and random control */
    bool keep_thumbnails;
    bool inserted_at_random; /* candidates were drawn at random: a bound on epsilon is stated */
};
enum sm_code sm_audit_spec_parse(struct sm_audit_spec *out, const json_t *node, struct sm_err *err);
json_t *sm_audit_spec_json(const struct sm_audit_spec *spec); /* every field written out */
/* Puts a list of gates, [text …], in place of those of the spec. Errors point at "/gates". */
enum sm_code sm_audit_gates_parse(struct sm_audit_spec *spec, const json_t *gates,
                                  struct sm_err *err);

/* One image. Failed: error_code is set and the numbers mean nothing. A score that is not finite
 * counts as failed, under "score_not_finite". */
struct sm_audit_item {
    int64_t index; /* in the audit; what an export calls the image */
    enum sm_cohort cohort;
    const char *name, *class_label, *group; /* "" where there is none */
    char image_digest[65];
    double m, m_se, ratio;
    double f, f_se, g, g_se;               /* alignments */
    bool is_damaged;                       /* the decoder made up pixels for broken data */
    const char *error_code, *error_detail; /* NULL when scored */
};

/* How much of an audit there is. It is complete when every image that it was given has been tried,
 * failed ones included, and none was erased since. Gates are judged of a complete audit only. */
enum sm_completion { SM_COMPLETION_PARTIAL, SM_COMPLETION_CANCELLED, SM_COMPLETION_COMPLETE };
struct sm_completeness {
    enum sm_completion state;
    int64_t scored, total; /* images */
};
/* {"state", "scored", "total"}, new reference; read back, anything else is partial, 0 of 0. */
json_t *sm_completeness_json(const struct sm_completeness *completeness);
void sm_completeness_read(struct sm_completeness *out, const json_t *node);
#define SM_COMPLETENESS_BYTES 80
/* "partial: 100 of 2,000" */
const char *sm_completeness_words(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness);
/* "partial;scored=100;total=2000", a structured field (RFC 8941), which exports over HTTP carry;
 * read back, anything else is partial, 0 of 0. */
#define SM_COMPLETENESS_HEADER "Audit-Completeness"
const char *sm_completeness_field(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness);
void sm_completeness_parse(struct sm_completeness *out, const char *field);
const char *sm_completion_name(enum sm_completion state); /* "partial" */

struct sm_audit {
    const struct sm_audit_spec *spec;
    struct sm_completeness completeness; /* zero: partial */
    const json_t *run;    /* object: what differs between two runs of the same audit; a text
                             "finished" stands in the head of the report */
    const json_t *pair;   /* sm_pair_json */
    const json_t *recipe; /* sm_recipe_json */
    const json_t
        *provenance; /* object: recipe digest, pair digest, kernels, BLAS, decoders, library */
    const struct sm_audit_item *items; /* by index */
    size_t items_count;
    int64_t erased_count; /* images that were there once and are not among the items */
    const struct sm_audit_spec *judged; /* gates that were set when the scores were known: the
                                           report has them beside its own; NULL: none */
    const uint8_t *digest_key; /* [32]: exports name an image by HMAC-SHA-256 of its digest */
    bool with_names;           /* file names, and details of errors, in exports */
    /* Options of `sslmem audit` that say where pair, images and recipe are, NULL-terminated: the
     * report prints the command that repeats the audit. NULL: not known. */
    const char *const *places;
};

struct sm_audit_result;
enum sm_code sm_audit_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                               struct sm_err *err);
void sm_audit_result_free(struct sm_audit_result *result);
/* All numbers but those per image, as the report has them; borrowed. Images of the reference cohort
 * have percentile and p-value among the others of their cohort (leave one out). */
const json_t *sm_audit_result_json(const struct sm_audit_result *result);
/* True when there are gates and every one holds. One that rests on nothing does not: its number is
 * undefined, the cohorts are too small for it or their scores do not differ, candidates stand in
 * the reference, or the sides of the pair are equal. False, and null in the JSON, where there is no
 * verdict: of an audit without gates, and of one that is not complete, whose gates are not judged.
 */
bool sm_audit_result_passed(const struct sm_audit_result *result);
/* Other gates on the same numbers: {"gates", "passed", "flags"}, each as in the result. New
 * reference. SM_INVALID for a spec that was not parsed. */
enum sm_code sm_audit_judge(json_t **out, const struct sm_audit_result *result,
                            const struct sm_audit_spec *gates, struct sm_err *err);

/* What exports call an image: HMAC-SHA-256 of the 64 digits of its digest, in hexadecimal; "" where
 * it has none. */
void sm_audit_image_name(char out[65], const struct sm_audit *audit,
                         const struct sm_audit_item *item);

/* The whole record: schema deploy/report.schema.json. */
enum sm_code sm_audit_write_json(FILE *out, const struct sm_audit *audit,
                                 const struct sm_audit_result *result, struct sm_err *err);
/* One line an image, RFC 4180; a field that a spreadsheet would run as a formula is defused. */
enum sm_code sm_audit_write_csv(FILE *out, const struct sm_audit *audit,
                                const struct sm_audit_result *result, struct sm_err *err);
/* One file without outside references. `thumbnail` (may be NULL) returns PNG bytes of an item, to
 * be freed, or NULL. */
typedef void *sm_audit_thumbnail(void *arg, const struct sm_audit_item *item, size_t *bytes_count);
enum sm_code sm_audit_write_html(FILE *out, const struct sm_audit *audit,
                                 const struct sm_audit_result *result,
                                 sm_audit_thumbnail *thumbnail, void *arg, struct sm_err *err);

/* Removal lists of candidates. A random control is as large as the list it stands beside. */
enum sm_selection_kind { SM_SELECT_TOP, SM_SELECT_SHARE, SM_SELECT_FDR, SM_SELECT_RANDOM };
enum sm_list_format { SM_LIST_TEXT, SM_LIST_CSV, SM_LIST_JSONL };
struct sm_selection {
    enum sm_selection_kind kind;
    int64_t count; /* top, random */
    double share;  /* share: of the candidates, (0, 1] */
    double q;      /* fdr: q-values at or below */
    uint64_t seed; /* random */
};
/* Text is one name a line, byte for byte (the opaque index without names). SM_INVALID before a byte
 * is written: at "/count", "/share" or "/q", or for a name with a line break in a text. */
enum sm_code sm_audit_write_selection(FILE *out, const struct sm_audit *audit,
                                      const struct sm_audit_result *result,
                                      const struct sm_selection *selection,
                                      enum sm_list_format format, struct sm_err *err);

/* Two or more audits of the same images, joined by image digest and cohort: sizes of the joint set,
 * Kendall tau-b, Spearman, Pearson, overlap of the top k, paired tests of the differences, and a
 * scatter of at most `points_max` images, per pair of audits; for all joint images ("all") and for
 * each cohort. Differences are b minus a. SM_INVALID below two audits or when two have no scored
 * image in common. New reference. */
enum sm_code sm_audit_compare(json_t **out, const struct sm_audit *const *audits, size_t count,
                              size_t points_max, struct sm_err *err);

#endif
