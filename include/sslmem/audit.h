/* Audits: statistics, reports, selections and comparisons made from the scores of whole cohorts.
 *
 *     struct sm_audit_spec spec;
 *     sm_audit_spec_parse(&spec, node, &err);              // the request of the client
 *     struct sm_audit audit = {.spec = &spec, .items = items, .items_count = n, …};
 *     struct sm_audit_result *result;
 *     sm_audit_evaluate(&result, &audit, &err);            // computes every number
 *     sm_audit_write_json(file, &audit, result, &err);     // the record
 *     sm_audit_write_html(file, &audit, result, thumbnail, arg, &err);
 *     sm_audit_result_free(result);
 *
 * Cohorts (Wang et al., ICLR 2024, section 4): f was trained on shared and candidate images, g on
 * shared and independent ones; neither was trained on external images.
 *
 * The same items in the same order give the same bytes except for `run`, which holds everything
 * that differs between two runs of one audit (ids, times, rates).
 *
 * Owner:   an audit borrows everything; the caller owns a result. Threads: no state.
 * Errors:  SM_INVALID with a JSON pointer (spec) or both numbers, SM_NOMEM, SM_IO (writing). */
#ifndef SSLMEM_AUDIT_H
#define SSLMEM_AUDIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

#define SM_AUDIT_GATES_MAX     16
#define SM_AUDIT_NAME_MAX      200  /* bytes of the audit's name */
#define SM_AUDIT_SIGNED_MAX    200  /* bytes of auditor and organisation */
#define SM_AUDIT_RESAMPLES     2000 /* of the bootstrap, by default */
#define SM_AUDIT_RESAMPLES_MAX 100000
#define SM_AUDIT_COMPARED_MAX  8    /* audits in one comparison */
#define SM_AUDIT_POINTS_MAX    2000 /* images in its scatter plot */

enum sm_cohort {
    SM_COHORT_SHARED,
    SM_COHORT_CANDIDATE,
    SM_COHORT_INDEPENDENT,
    SM_COHORT_EXTERNAL,
    SM_COHORTS
};
const char *sm_cohort_name(enum sm_cohort cohort);
/* Reads the name of a cohort. SM_INVALID lists the four names. */
enum sm_code sm_cohort_parse(enum sm_cohort *out, const char *name, struct sm_err *err);

/* "auc<=0.6": the name of a number, a sign (<, <=, >, >=) and a limit. core/audit/README.md lists
 * the numbers. */
struct sm_audit_gate {
    char text[64];
};

/* {"name", "reference" ("external" or "independent"), "gates": [text …], "resamples", "seed",
 *  "keep_thumbnails", "inserted_at_random", "controls", "signed_by"}. Only the name is required; an
 *  unknown field is an error. */
struct sm_audit_spec {
    char name[SM_AUDIT_NAME_MAX + 1];
    char signed_by[SM_AUDIT_SIGNED_MAX + 1]; /* auditor and organisation, or "" */
    enum sm_cohort reference; /* of p-values, q-values, centred scores and the membership test */
    struct sm_audit_gate gates[SM_AUDIT_GATES_MAX];
    int gates_count;
    int32_t resamples; /* of the bootstrap */
    uint64_t seed;     /* of the bootstrap and the random control */
    bool keep_thumbnails;
    bool inserted_at_random; /* candidates were drawn at random: allows a bound on epsilon */
    bool controls;           /* on by default */
};
enum sm_code sm_audit_spec_parse(struct sm_audit_spec *out, const json_t *node, struct sm_err *err);
/* Every field of the spec, defaults included; new reference. */
json_t *sm_audit_spec_json(const struct sm_audit_spec *spec);
/* Replaces the gates of the spec by a list, [text …]. Errors point at "/gates". */
enum sm_code sm_audit_gates_parse(struct sm_audit_spec *spec, const json_t *gates,
                                  struct sm_err *err);

/* One image. The numbers of a failed image mean nothing. A score that is not finite counts as a
 * failure with code "score_not_finite". Where the pair has no g, there is no m, and the alignment
 * of f is what must be finite. */
struct sm_audit_item {
    int64_t index; /* position in the audit; exports identify the image by it */
    enum sm_cohort cohort;
    const char *name, *class_label, *group; /* "" if missing */
    char image_digest[65];
    double m, m_se, ratio;
    double f, f_se, g, g_se;         /* alignments of f and g, and their standard errors */
    double norm_1, norm_2, norm_max; /* of f's pooled representation, if the pair has no g */
    bool is_damaged;                 /* the decoder invented pixels for broken data */
    const void *pixels;              /* packed (sslmem/pixels.h); NULL: not measured */
    size_t pixels_bytes;
    const char *error_code, *error_detail; /* NULL: scored */
};

/* How far an audit has come. It is complete when every image has been tried, failed ones included,
 * and none has been erased since. Only a complete audit has its gates judged. */
enum sm_completion { SM_COMPLETION_PARTIAL, SM_COMPLETION_CANCELLED, SM_COMPLETION_COMPLETE };
struct sm_completeness {
    enum sm_completion state;
    int64_t scored, total; /* images */
};
/* Writes and reads {"state", "scored", "total"}; reads anything else as partial, 0 of 0. The caller
 * owns the JSON. */
json_t *sm_completeness_json(const struct sm_completeness *completeness);
void sm_completeness_read(struct sm_completeness *out, const json_t *node);
#define SM_COMPLETENESS_BYTES 80
/* Writes "partial: 100 of 2,000". */
const char *sm_completeness_words(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness);
/* HTTP header of exports, a structured field (RFC 8941): "partial;scored=100;total=2000". Reading
 * anything else gives partial, 0 of 0. */
#define SM_COMPLETENESS_HEADER "Audit-Completeness"
const char *sm_completeness_field(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness);
void sm_completeness_parse(struct sm_completeness *out, const char *field);
const char *sm_completion_name(enum sm_completion state); /* "partial" */

struct sm_audit {
    const struct sm_audit_spec *spec;
    struct sm_completeness completeness; /* zero-initialized: partial */
    const json_t *run;        /* object: facts that differ between two runs of the same audit; the
                             report shows its text "finished" in the head */
    const json_t *pair;       /* object that sm_pair_json makes */
    const json_t *recipe;     /* object that sm_recipe_json makes */
    const json_t *provenance; /* object: digests, kernels, BLAS, decoders, library */
    const struct sm_audit_item *items; /* by index */
    size_t items_count;
    int64_t erased_count; /* images erased from the audit, which `items` does not hold */
    const struct sm_audit_spec *judged; /* gates set after the scores were known, which the report
                                           shows in addition to the audit's own; NULL: none */
    const uint8_t *digest_key;          /* [32]: of sm_audit_image_name */
    bool with_names;                    /* exports show file names and details of errors */
    /* Options of `sslmem audit` for the places of pair, images and recipe, NULL-terminated; the
     * report prints them in the command that repeats the audit. NULL: unknown. */
    const char *const *places;
};

struct sm_audit_result;
/* Computes every number of an audit. The caller frees the result. */
enum sm_code sm_audit_evaluate(struct sm_audit_result **out, const struct sm_audit *audit,
                               struct sm_err *err);
void sm_audit_result_free(struct sm_audit_result *result);
/* The "summary" of the report: every number except those per image; borrowed from the result. */
const json_t *sm_audit_result_json(const struct sm_audit_result *result);
/* Returns true if the audit has gates and every one holds. A gate fails without evidence: if its
 * number is undefined, the cohorts are too small for it, their scores do not differ, the reference
 * holds candidates, or the sides of the pair are equal. An audit that has no gates or is not
 * complete has no verdict: returns false, and the JSON holds null. */
bool sm_audit_result_passed(const struct sm_audit_result *result);
/* Judges other gates on the same numbers: {"gates", "passed", "flags"}, as in the summary; new
 * reference. SM_INVALID for a spec that was not parsed. */
enum sm_code sm_audit_judge(json_t **out, const struct sm_audit_result *result,
                            const struct sm_audit_spec *gates, struct sm_err *err);

/* Writes the name of an image in exports: HMAC-SHA-256, under the digest key, of the 64 digits of
 * its digest, in hexadecimal; "" for an image without a digest. */
void sm_audit_image_name(char out[65], const struct sm_audit *audit,
                         const struct sm_audit_item *item);

/* Writes the whole record; its schema is deploy/report.schema.json. */
enum sm_code sm_audit_write_json(FILE *out, const struct sm_audit *audit,
                                 const struct sm_audit_result *result, struct sm_err *err);
/* Writes one line per image (RFC 4180). An apostrophe defuses fields that a spreadsheet would run
 * as a formula. */
enum sm_code sm_audit_write_csv(FILE *out, const struct sm_audit *audit,
                                const struct sm_audit_result *result, struct sm_err *err);
/* Writes the report as one page that refers to no other file. `thumbnail` (may be NULL) returns the
 * PNG bytes of an item, which the writer frees, or NULL. */
typedef void *sm_audit_thumbnail(void *arg, const struct sm_audit_item *item, size_t *bytes_count);
enum sm_code sm_audit_write_html(FILE *out, const struct sm_audit *audit,
                                 const struct sm_audit_result *result,
                                 sm_audit_thumbnail *thumbnail, void *arg, struct sm_err *err);

/* Compares two or more audits of the same images, joined by image digest and cohort. Each pair of
 * audits (a, b) gets the sizes of the joint set, Kendall tau-b, Spearman, Pearson, the overlap of
 * the top k by m as measured, not shrunken, and a paired test of b minus a, over all joint images
 * ("all") and per cohort, and a scatter of at most `points_max` images. SM_INVALID for fewer than
 * two audits, or for two without a common scored image. New reference. */
enum sm_code sm_audit_compare(json_t **out, const struct sm_audit *const *audits, size_t count,
                              size_t points_max, struct sm_err *err);

#endif
