/* Images into an open audit: one by one, from archives, or named by a manifest or by folders below
 * a data root. Knows no HTTP; the service and the command line both use it.
 *
 *     struct sm_ingest *ingest;
 *     sm_ingest_new(&ingest, &(struct sm_ingest_params){.audit = &audit, …}, &err);
 *     sm_ingest_folder(ingest, "/data", "train/members", &(struct sm_ingest_labels){…}, &err);
 *     sm_ingest_finish(&report, ingest, &err);      // what was taken, what was not and why
 *     sm_ingest_free(ingest);
 *
 * Images go to the store in batches, each one commit. What is no image file, or cannot be found, is
 * skipped and reported; an image that is over the limit or cannot be read becomes a failed item of
 * the audit; all others go on. Nothing that an archive says is used as a path: names are labels.
 * Files below a data root stay where they are; the store keeps their path and digest.
 *
 * Owner:   the caller; everything is borrowed during a call.
 * Threads: one at a time; calls wait for commits and must not run on an HTTP thread.
 * Errors:  an error ends the call; what came before it stays. SM_CORRUPT (the archive breaks its
 *          format or has none that is read), SM_LIMIT (over a limit; the text has both numbers),
 *          SM_UNSUPPORTED (no data root), SM_INVALID (the folder), SM_CANCELLED (`stop`, or
 *          the caller's key has ended),
 *          SM_NOT_FOUND, SM_CONFLICT (no such audit, or not open), SM_IO, SM_NOMEM.
 * Limits:  below. */
#ifndef SERVER_INGEST_INGEST_H
#define SERVER_INGEST_INGEST_H

#include <stdatomic.h>

#include "server/store/audits.h"
#include "sslmem/score.h"

#define SM_INGEST_BATCH_IMAGES       64
#define SM_INGEST_BATCH_BYTES        (4u << 20)
#define SM_INGEST_ENTRIES_MAX        1000000 /* of an archive, a folder tree; lines of a manifest */
#define SM_INGEST_UNPACKED_BYTES_MAX (INT64_C(64) << 30)
#define SM_INGEST_RATIO_MAX          100 /* unpacked bytes to bytes of the archive */
#define SM_INGEST_LINE_BYTES_MAX     16384
#define SM_INGEST_LABEL_BYTES_MAX    255
#define SM_INGEST_DEPTH_MAX          16  /* folders within folders */
#define SM_INGEST_SKIPPED_MAX        100 /* that the report names; all are counted */

/* Why bytes are not taken as an image; `of` is "", or "of %zu " for their count. */
#define SM_INGEST_NO_IMAGE(of) "the first " of "bytes are neither those of a JPEG nor of a PNG"

struct sm_ingest;

struct sm_ingest_params {
    struct sm_store *store;
    const struct sm_audit_id *audit; /* copied */
    int64_t items_max;               /* images of the audit in all */
    const struct sm_caller *caller;  /* on whose behalf; NULL: nobody's key is looked at */
    int64_t unpacked_bytes_max;      /* of an archive; 0: SM_INGEST_UNPACKED_BYTES_MAX */
    /* What the images are scored with, for their cost; NULL: not known. */
    const struct sm_pair *pair;
    const struct sm_recipe *recipe;
    int64_t item_cost_ms_max; /* an image over it becomes a failed item; 0: no limit */
    const atomic_bool *stop;  /* NULL, or set by another thread to end the work soon */
};

/* Of what follows; NULL is "". */
struct sm_ingest_labels {
    int cohort; /* enum sm_cohort, or -1: an archive's entries are in folders named as cohorts */
    const char *name, *class_label, *group;
};

enum sm_code sm_ingest_new(struct sm_ingest **out, const struct sm_ingest_params *params,
                           struct sm_err *err);
void sm_ingest_free(struct sm_ingest *ingest);

/* The bytes are copied. `labels->cohort` is one. */
enum sm_code sm_ingest_image(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                             const void *bytes, size_t bytes_count, struct sm_err *err);

/* "tar", "zip", "gzip", "zstd" or NULL, from the first bytes; SM_INGEST_SNIFF_BYTES tell all. */
#define SM_INGEST_SNIFF_BYTES 265
const char *sm_ingest_sniff(const void *bytes, size_t bytes_count);

/* A tar (ustar, pax, GNU; plain, gzip or zstd) or zip archive, from the start of the regular file
 * `fd`. An image is called by its entry's name. */
enum sm_code sm_ingest_archive(struct sm_ingest *ingest, int fd,
                               const struct sm_ingest_labels *labels, struct sm_err *err);

/* JSON Lines {"cohort", "path", "class", "group"} from the start of the regular file `fd`; paths
 * are relative to `data_root` (a folder; NULL or "": none is allowed). An image is called by its
 * path. A line that cannot be used is skipped and reported with its number. */
enum sm_code sm_ingest_manifest(struct sm_ingest *ingest, const char *data_root, int fd,
                                struct sm_err *err);

/* Every image file of `folder`, which is relative to `data_root` ("." is the root itself), and of
 * the folders in it, in the order of their names. An image is called by its path in `folder`. */
enum sm_code sm_ingest_folder(struct sm_ingest *ingest, const char *data_root, const char *folder,
                              const struct sm_ingest_labels *labels, struct sm_err *err);

/* Commits what is still held, and tells what all calls did, also after one has failed; *out is set
 * in any case but SM_NOMEM:
 *     {"added_count", "duplicate_count", "failed_count", "skipped_count",
 *      "skipped_by_reason": {"not_an_image": 3, …},
 *      "skipped": [{"line" (of a manifest), "name", "reason", "detail"} …]}
 * New reference. */
enum sm_code sm_ingest_finish(json_t **out, struct sm_ingest *ingest, struct sm_err *err);

/* Whether anything of a report is in the audit: added, there already, or a failed item. */
bool sm_ingest_took(const json_t *report);

/* When nothing is: "0 images (JPEG, PNG), 3 skipped: 2 not_an_image, 1 empty". */
#define SM_INGEST_NOTHING_BYTES 400
void sm_ingest_say_nothing(char out[SM_INGEST_NOTHING_BYTES], const json_t *report);

/* X(NAME, "reason"): why something was skipped. openapi.yaml lists the same. */
#define SM_INGEST_SKIPS(X)                                                                         \
    X(EMPTY, "empty")                                                                              \
    X(NOT_AN_IMAGE, "not_an_image")                                                                \
    X(LINK, "link")                                                                                \
    X(NOT_A_FILE, "not_a_file")                                                                    \
    X(UNREADABLE, "unreadable")                                                                    \
    X(COHORT_INVALID, "cohort_invalid")                                                            \
    X(LINE_INVALID, "line_invalid")                                                                \
    X(LINE_TOO_LONG, "line_too_long")                                                              \
    X(FILE_MISSING, "file_missing")                                                                \
    X(FILE_OUTSIDE, "file_outside")                                                                \
    X(TOO_DEEP, "too_deep")

#define SM_INGEST_ENUM(NAME, text) SM_INGEST_##NAME,
enum sm_ingest_skip { SM_INGEST_SKIPS(SM_INGEST_ENUM) SM_INGEST_SKIPS_COUNT };

#endif
