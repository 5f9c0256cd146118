/* Adds images to an open audit: one by one, from archives, from datasets, or from files below a
 * data root that a manifest or a folder names. It knows no HTTP; the service and the command line
 * both use it.
 *
 *     struct sm_ingest *ingest;
 *     sm_ingest_new(&ingest, &(struct sm_ingest_params){.audit = &audit, …}, &err);
 *     sm_ingest_folder(ingest, "/data", "train/members", &(struct sm_ingest_labels){…}, &err);
 *     sm_ingest_finish(&report, ingest, &err);      // counts, and what was skipped and why
 *     sm_ingest_free(ingest);
 *
 * Images go to the store in batches, one commit each. A file that is missing or no image is skipped
 * and reported. An image that is over a limit or unreadable becomes a failed item of the audit.
 * Both leave the other images alone. Names in an archive are labels, never paths. Files below a
 * data root stay in place; the store keeps their path and digest.
 *
 * Owner:   the caller owns and frees the object; a call borrows its arguments. The fields of
 *          sm_ingest_params except `audit` must outlive the object.
 * Threads: one at a time; calls wait for commits and must not run on an HTTP thread.
 * Errors:  an error ends the call; images added before it stay. SM_CORRUPT (the archive is broken,
 *          cut off or of an unknown format), SM_LIMIT (over a limit; the text has both numbers),
 *          SM_UNSUPPORTED (no data root), SM_INVALID (the folder), SM_CANCELLED (`stop`, or the
 *          caller's API key is no longer valid), SM_NOT_FOUND (no such audit), SM_CONFLICT (the
 *          audit is not open), SM_IO, SM_NOMEM.
 * Limits:  the constants below. */
#ifndef SERVER_INGEST_INGEST_H
#define SERVER_INGEST_INGEST_H

#include <stdatomic.h>

#include "server/store/audits.h"
#include "sslmem/dataset.h"
#include "sslmem/score.h"

#define SM_INGEST_BATCH_IMAGES       512
#define SM_INGEST_BATCH_BYTES        (4u << 20)
#define SM_INGEST_ENTRIES_MAX        1000000 /* in an archive or folder tree; lines of a manifest */
#define SM_INGEST_UNPACKED_BYTES_MAX (INT64_C(64) << 30)
#define SM_INGEST_RATIO_MAX          100 /* unpacked bytes per byte of the archive */
#define SM_INGEST_LINE_BYTES_MAX     16384
#define SM_INGEST_LABEL_BYTES_MAX    255
#define SM_INGEST_DEPTH_MAX          16  /* levels of nested folders */
#define SM_INGEST_SKIPPED_MAX        100 /* skipped files that the report names; it counts all */

/* Why bytes are not taken as an image; `of` is "", or "of %zu " for their count. */
#define SM_INGEST_NO_IMAGE(of) "the first " of "bytes are those of no JPEG, PNG or raw image"

struct sm_ingest;

struct sm_ingest_params {
    struct sm_store *store;
    const struct sm_audit_id *audit; /* copied */
    int64_t items_max;               /* limit of images in the whole audit */
    struct sm_shard shard;           /* of sm_store_audit_intake */
    const struct sm_caller *caller;  /* its API key must stay valid; NULL: no key is checked */
    int64_t unpacked_bytes_max;      /* limit per archive; 0: SM_INGEST_UNPACKED_BYTES_MAX */
    /* Used to compute the cost of each image; pair NULL: the cost is unknown. */
    const struct sm_pair *pair;
    const struct sm_recipe *recipe;
    int64_t item_cost_ms_max; /* an image over it becomes a failed item; 0: no limit */
    const atomic_bool *stop;  /* NULL, or set by another thread to end the work soon */
};

/* Labels for the images that a call adds; NULL means "". In an archive or folder an image without
 * class_label gets the class of KEY.cls or KEY.json beside it (archives; core/data/sample.h), else
 * its first folder below the cohort's. */
struct sm_ingest_labels {
    int cohort; /* enum sm_cohort; -1, for archives only: the first folder in an entry's name */
    const char *name, *class_label, *group;
};

enum sm_code sm_ingest_new(struct sm_ingest **out, const struct sm_ingest_params *params,
                           struct sm_err *err);
void sm_ingest_free(struct sm_ingest *ingest);

/* Adds one image, whose bytes it copies. `labels->cohort` must not be -1. */
enum sm_code sm_ingest_image(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                             const void *bytes, size_t bytes_count, struct sm_err *err);

/* Returns the type of an archive by its first bytes: "tar", "zip", "gzip", "zstd" or NULL.
 * SM_INGEST_SNIFF_BYTES bytes are enough. */
#define SM_INGEST_SNIFF_BYTES 265
const char *sm_ingest_sniff(const void *bytes, size_t bytes_count);

/* Adds the images of a tar (ustar, pax, GNU; plain, gzip or zstd) or zip archive. The archive is
 * the whole regular file `fd`. Each image gets the name of its entry. */
enum sm_code sm_ingest_archive(struct sm_ingest *ingest, int fd,
                               const struct sm_ingest_labels *labels, struct sm_err *err);

/* Adds the images that a manifest names. The manifest is the whole regular file `fd`: JSON Lines
 * {"cohort", "path", "class", "group"} with paths relative to the folder `data_root` (NULL or "":
 * SM_UNSUPPORTED). Each image gets its path as name. An invalid line is skipped and reported with
 * its number. */
enum sm_code sm_ingest_manifest(struct sm_ingest *ingest, const char *data_root, int fd,
                                struct sm_err *err);

/* Adds all image files in `folder`, which is relative to `data_root` ("." is the root itself), and
 * in its sub-folders, in the order of their names. Each image gets its path below `folder` as
 * name. */
enum sm_code sm_ingest_folder(struct sm_ingest *ingest, const char *data_root, const char *folder,
                              const struct sm_ingest_labels *labels, struct sm_err *err);

/* Adds the images of a dataset from its next one on. SM_INVALID if the dataset says that an image
 * is of another cohort; also the errors of sm_dataset_next. */
enum sm_code sm_ingest_dataset(struct sm_ingest *ingest, struct sm_dataset *dataset, int cohort,
                               struct sm_err *err);

/* Commits the last batch and reports on all calls, even if one has failed. *out is set, as a new
 * reference, unless the code is SM_NOMEM for the report itself:
 *     {"added_count", "duplicate_count", "failed_count", "skipped_count",
 *      "skipped_by_reason": {"not_an_image": 3, …},
 *      "skipped": [{"line" (of a manifest), "name", "reason", "detail"} …]} */
enum sm_code sm_ingest_finish(json_t **out, struct sm_ingest *ingest, struct sm_err *err);

/* Returns true if the audit has at least one image of the report: added, a duplicate, or failed. */
bool sm_ingest_took(const json_t *report);

/* Describes a report for which sm_ingest_took is false, such as
 * "0 images (JPEG, PNG), 3 skipped: 2 not_an_image, 1 empty". */
#define SM_INGEST_NOTHING_BYTES 400
void sm_ingest_say_nothing(char out[SM_INGEST_NOTHING_BYTES], const json_t *report);

/* X(NAME, "reason"): why a file or line was skipped, as in openapi.yaml. */
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
