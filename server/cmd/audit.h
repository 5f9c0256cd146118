/* `sslmem audit`: declarations that its files share, and nobody else includes. OUT is the folder
 * that --out names.
 *
 *     audit.c         turns the options into a plan and runs it in one of the next two ways
 *     audit_local.c   runs an audit in this process: store, ingestion and workers on OUT/audit.db
 *     audit_remote.c  runs an audit on a server through its API; audit_client.c speaks HTTP
 *     audit_data.c    reads the datasets of cohorts
 *     audit_again.c   writes into OUT what is needed to run the audit again
 *     audit_state.c   OUT/audit.json: the id and the inputs of OUT's audit
 *     audit_watch.c   signals, messages at the end
 *     audit_select.c, audit_compare.c, audit_judge.c   subcommands for finished audits
 *     audit_unlearn.c   and one for two of them
 *     audit_shard.c   --shard; audit_merge.c joins shards (audit_shard.h)
 *
 * Threads: all of it runs on the main thread. Errors: SM_CANCELLED means that a signal stopped the
 *          command; the other codes are those of the functions called. */
#ifndef SERVER_CMD_AUDIT_H
#define SERVER_CMD_AUDIT_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "server/cmd/cmd.h"
#include "server/cmd/progress.h"
#include "server/ingest/ingest.h"
#include "server/ingest/pack.h"
#include "server/store/audits.h"
#include "server/store/store.h"
#include "sslmem/audit.h"

enum { SM_EXIT_GATE = 3, SM_EXIT_INCOMPLETE = 4 };

struct sm_cmd_audit_plan {
    const char *pair;                /* folder of the pair; with a server, the pair's name */
    const char *folders[SM_COHORTS]; /* datasets by cohort; NULL: none */
    const char *manifest, *root;     /* NULL: none; a server has its own data root */
    const char *recipe_path;         /* NULL: the pair's own recipe */
    const char *kernels;
    const char *server;   /* URL; NULL: run the audit in this process */
    const char *key_file; /* holds the API key; NULL: use SSLMEM_KEY, or no key */
    const char *ca_file;  /* authorities for https; NULL: SSL_CERT_FILE, or the system's */
    const char *out;
    const char *digest_key_path; /* NULL: the digest key of the database */
    size_t workers;
    struct sm_shard shard; /* count 0: the whole audit */
    bool names, quiet;
    struct sm_audit_spec spec;
};

/* Both create the audit or resume it, run it to its end and write its reports into OUT. `summary`
 * receives the document of sm_audit_result_json, `audit` the audit's last document (sm_store_audit)
 * even if a signal stopped the run; new references, NULL before the call. */
enum sm_code sm_cmd_audit_local(json_t **summary, json_t **audit,
                                const struct sm_cmd_audit_plan *plan, struct sm_err *err);
enum sm_code sm_cmd_audit_remote(json_t **summary, json_t **audit,
                                 const struct sm_cmd_audit_plan *plan, struct sm_err *err);

#define SM_CA_OPTION(target)                                                                       \
    {                                                                                              \
        "ca-file", "FILE",                                                                         \
            "PEM file of who may vouch for an https server; default: SSL_CERT_FILE, or the "       \
            "system's",                                                                            \
            &target                                                                                \
    }

/* The subcommands `sslmem audit select`, `compare`, `unlearn` and `judge`; argv[0] is the last
 * word. */
int sm_cmd_audit_select(int argc, char **argv);
int sm_cmd_audit_compare(int argc, char **argv);
int sm_cmd_audit_unlearn(int argc, char **argv);
int sm_cmd_audit_judge(int argc, char **argv);

/* --- OUT --- */

/* Creates the folder if it is missing and locks it until the process ends. SM_CONFLICT: another
 * command holds the lock. */
enum sm_code sm_cmd_audit_claim_out(const char *out, struct sm_err *err);
/* Sends the log of the store and the workers to OUT/audit.log from now on. */
enum sm_code sm_cmd_audit_log_to(const char *out, struct sm_err *err);
/* Returns "OUT/name", to be freed; NULL when out of memory. */
char *sm_cmd_audit_path(const char *out, const char *name);

/* Describes the inputs of an audit as a flat object (new reference): if one field differs, it is
 * another audit. The caller adds the fields of pair and recipe. */
enum sm_code sm_cmd_audit_inputs(json_t **out, const struct sm_cmd_audit_plan *plan,
                                 struct sm_err *err);
/* Reads the audit's id from OUT/name, one of the two files below; `id` is "" if the file does not
 * exist. SM_CONFLICT if the stored inputs differ from `inputs` (NULL: not compared); the text names
 * the field. `state` (may be NULL) receives the file's document, a new reference. */
#define SM_AUDIT_STATE  "audit.json"  /* exists once the audit has all its images */
#define SM_AUDIT_UPLOAD "upload.json" /* exists while images are being sent to a server */
enum sm_code sm_cmd_audit_state_read(char id[SM_ID_BYTES], json_t **state, const char *out,
                                     const char *name, const json_t *inputs, struct sm_err *err);
/* Writes OUT/name whole or not at all. `again` is from sm_cmd_audit_places_json; NULL: none yet. */
enum sm_code sm_cmd_audit_state_write(const char *out, const char *name, const char *id,
                                      const json_t *inputs, const json_t *again,
                                      struct sm_err *err);

/* Writes OUT/name whole or not at all; `writer` fills a temporary file. */
typedef enum sm_code sm_cmd_audit_writer(FILE *file, void *arg, struct sm_err *err);
enum sm_code sm_cmd_audit_write(const char *out, const char *name, sm_cmd_audit_writer *writer,
                                void *arg, struct sm_err *err);

/* Reads OUT/report.json; *report is a new reference. */
enum sm_code sm_cmd_audit_read_report(json_t **report, const char *out, struct sm_err *err);

/* --- what is needed to run an audit again --- */

#define SM_AUDIT_RECIPE     "recipe.json"
#define SM_AUDIT_MANIFEST   "manifest.jsonl"
#define SM_AUDIT_PLACES_MAX 32
/* The options of `sslmem audit` that repeat an audit, each followed by its value, ended by NULL, as
 * sm_audit.places takes them. Released with sm_cmd_audit_places_release. */
struct sm_cmd_audit_places {
    const char *options[SM_AUDIT_PLACES_MAX];
    int count;
};
enum sm_code sm_cmd_audit_places_make(struct sm_cmd_audit_places *out,
                                      const struct sm_cmd_audit_plan *plan, struct sm_err *err);
/* Returns the places as a list for OUT/audit.json (new reference), or NULL if a path is not UTF-8.
 * sm_cmd_audit_places_read reads that list; without one `out` is empty. */
json_t *sm_cmd_audit_places_json(const struct sm_cmd_audit_places *places);
enum sm_code sm_cmd_audit_places_read(struct sm_cmd_audit_places *out, const char *folder,
                                      struct sm_err *err);
void sm_cmd_audit_places_release(struct sm_cmd_audit_places *places);
enum sm_code sm_cmd_audit_write_recipe(const char *out, const json_t *recipe, struct sm_err *err);
/* Both write OUT/manifest.jsonl: keep_manifest copies --manifest, and the audit reads the copy;
 * list_images lists the images that the cohort folders held. */
enum sm_code sm_cmd_audit_keep_manifest(const struct sm_cmd_audit_plan *plan, struct sm_err *err);
enum sm_code sm_cmd_audit_list_images(const struct sm_cmd_audit_plan *plan,
                                      const struct sm_audit *audit, struct sm_err *err);

/* Writes OUT/report.json, .csv and .html; `store` has the thumbnails of the audit `id`. */
enum sm_code sm_cmd_audit_write_reports(const char *out, struct sm_store *store,
                                        const struct sm_audit_id *id, const struct sm_audit *audit,
                                        const struct sm_audit_result *result, struct sm_err *err);

/* Reads the URL of the server that runs OUT's audit (to be freed; "": a local audit), and the
 * audit's id. SM_NOT_FOUND: no audit was started in OUT. */
enum sm_code sm_cmd_audit_read_server(char **server, char id[SM_ID_BYTES], const char *out,
                                      struct sm_err *err);

/* --- a finished audit of OUT/audit.db --- */

struct sm_cmd_audit_opened {
    struct sm_store *store;
    struct sm_audit_id id;
    json_t *document; /* the audit's document, from sm_store_audit */
    struct sm_store_audit_record record;
};
/* Opens the finished audit of folder/audit.db. SM_NOT_FOUND: the folder has no audit; SM_CONFLICT:
 * the audit has not finished. */
enum sm_code sm_cmd_audit_open(struct sm_cmd_audit_opened **out, const char *folder,
                               struct sm_err *err);
struct sm_audit *sm_cmd_audit_of(struct sm_cmd_audit_opened *opened); /* borrowed from the record */
void sm_cmd_audit_close(struct sm_cmd_audit_opened *opened);

/* --- signals --- */

/* From this call on, SIGINT and SIGTERM set sm_stop_asked; a repeated signal ends the process. */
void sm_stop_watch(void);
extern atomic_bool sm_stop_asked;
int sm_stop_signal(void); /* number of the signal that came; 0: none */
/* Sleeps for `ms`; returns SM_CANCELLED as soon as sm_stop_asked is set. */
enum sm_code sm_stop_wait(int64_t ms, struct sm_err *err);

/* --- messages on standard error and output --- */

/* Prints what was taken from a folder or manifest, and what was skipped; `report` is that of
 * sm_ingest_finish. */
void sm_cmd_audit_say_taken(const struct sm_cmd_audit_plan *plan, const char *what,
                            const json_t *report);
/* Returns SM_INVALID if no image was taken, because an empty cohort is a mistake. */
enum sm_code sm_cmd_audit_check_taken(const char *what, const json_t *report, struct sm_err *err);
/* Returns true if the audit is complete; otherwise prints a line, after the prefix `whose`, and
 * returns false. `node` is from sm_completeness_json. */
bool sm_cmd_audit_say_incomplete(FILE *file, const char *whose, const json_t *node);
/* Prints a line for each entry of `gates`; with `quiet`, only for gates that did not pass. */
void sm_cmd_audit_say_gates(const json_t *summary, bool quiet);
/* Prints the result in words: cohorts, gates, flags, and the path of the reports (plan->out; NULL:
 * no reports). Returns the exit code. */
int sm_cmd_audit_say_result(const struct sm_cmd_audit_plan *plan, const json_t *summary,
                            const json_t *audit);

#endif
