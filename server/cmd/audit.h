/* `sslmem audit`: what its files share. Private to it.
 *
 *     audit.c         options to a plan; which of the ways to go
 *     audit_local.c   the service without HTTP: store, ingestion and workers on OUT/audit.db
 *     audit_remote.c  a service's API; audit_client.c speaks HTTP
 *     audit_again.c   what OUT keeps to run the audit again
 *     audit_state.c   OUT/audit.json: which audit OUT holds, and of what it was made
 *     audit_watch.c   signals, progress, what is said at the end
 *     audit_select.c, audit_compare.c, audit_judge.c   of finished audits
 *
 * Threads: all of it runs on the main one. Errors: as everywhere; SM_CANCELLED is a signal. */
#ifndef SERVER_CMD_AUDIT_H
#define SERVER_CMD_AUDIT_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "server/cmd/cmd.h"
#include "server/store/audits.h"
#include "server/store/store.h"
#include "sslmem/audit.h"

enum { SM_EXIT_GATE = 3, SM_EXIT_INCOMPLETE = 4 };

struct sm_cmd_audit_plan {
    const char *pair;                /* folder, or a name of the server's */
    const char *folders[SM_COHORTS]; /* NULL: none of that cohort */
    const char *manifest, *root;     /* NULL: none; the server has a root of its own */
    const char *recipe_path;         /* NULL: the pair's own */
    const char *kernels;
    const char *server;   /* URL; NULL: here */
    const char *key_file; /* of its key; NULL: SSLMEM_KEY, or none */
    const char *ca_file;  /* of who vouches for it; NULL: SSL_CERT_FILE, or the system's */
    const char *out;
    const char *digest_key_path; /* NULL: the database's own */
    size_t workers;
    bool names, quiet;
    struct sm_audit_spec spec;
};

/* Either way: the audit made or taken up, brought to its end, reported in OUT. `summary` receives
 * sm_audit_result_json, `audit` its last document (sm_store_audit); new references. */
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

/* `sslmem audit select`, `compare` and `judge`; argv[0] is that word. */
int sm_cmd_audit_select(int argc, char **argv);
int sm_cmd_audit_compare(int argc, char **argv);
int sm_cmd_audit_judge(int argc, char **argv);

/* --- OUT --- */

/* Makes the folder where it is missing; keeps other commands out until the process ends. */
enum sm_code sm_cmd_audit_claim_out(const char *out, struct sm_err *err);
/* What the store and the workers log goes to OUT/audit.log from here on. */
enum sm_code sm_cmd_audit_log_to(const char *out, struct sm_err *err);
/* OUT/name, allocated; NULL when out of memory. */
char *sm_cmd_audit_path(const char *out, const char *name);

/* What an audit is made of, one field for everything that makes it another; the caller adds what
 * only it can tell. New reference. */
enum sm_code sm_cmd_audit_inputs(json_t **out, const struct sm_cmd_audit_plan *plan,
                                 struct sm_err *err);
/* Id in OUT/name, which is one of those below: "" when there is none. SM_CONFLICT when it is made
 * of other inputs (NULL: any); the text says which. `state` (may be NULL) receives the document. */
#define SM_AUDIT_STATE  "audit.json"  /* has all its images */
#define SM_AUDIT_UPLOAD "upload.json" /* is being sent to a server */
enum sm_code sm_cmd_audit_state_read(char id[SM_ID_BYTES], json_t **state, const char *out,
                                     const char *name, const json_t *inputs, struct sm_err *err);
/* `again` NULL: not known yet. */
enum sm_code sm_cmd_audit_state_write(const char *out, const char *name, const char *id,
                                      const json_t *inputs, const json_t *again,
                                      struct sm_err *err);

/* Writes OUT/name whole or not at all. */
typedef enum sm_code sm_cmd_audit_writer(FILE *file, void *arg, struct sm_err *err);
enum sm_code sm_cmd_audit_write(const char *out, const char *name, sm_cmd_audit_writer *writer,
                                void *arg, struct sm_err *err);

/* OUT/report.json; new reference. */
enum sm_code sm_cmd_audit_read_report(json_t **report, const char *out, struct sm_err *err);

/* --- to run it again --- */

#define SM_AUDIT_RECIPE     "recipe.json"
#define SM_AUDIT_MANIFEST   "manifest.jsonl"
#define SM_AUDIT_PLACES_MAX 32
/* Options and values in turn, ended by NULL, for struct sm_audit; released by the caller. */
struct sm_cmd_audit_places {
    const char *options[SM_AUDIT_PLACES_MAX];
    int count;
};
enum sm_code sm_cmd_audit_places_make(struct sm_cmd_audit_places *out,
                                      const struct sm_cmd_audit_plan *plan, struct sm_err *err);
/* As a list for OUT/audit.json, and out of it again; a path that is no UTF-8 is not kept: NULL, and
 * none. */
json_t *sm_cmd_audit_places_json(const struct sm_cmd_audit_places *places);
enum sm_code sm_cmd_audit_places_read(struct sm_cmd_audit_places *out, const char *folder,
                                      struct sm_err *err);
void sm_cmd_audit_places_release(struct sm_cmd_audit_places *places);
enum sm_code sm_cmd_audit_write_recipe(const char *out, const json_t *recipe, struct sm_err *err);
/* OUT/manifest.jsonl: the copy of --manifest, which is then read in its place; or the images that
 * the folders held. */
enum sm_code sm_cmd_audit_keep_manifest(const struct sm_cmd_audit_plan *plan, struct sm_err *err);
enum sm_code sm_cmd_audit_list_images(const struct sm_cmd_audit_plan *plan,
                                      const struct sm_audit *audit, struct sm_err *err);

/* OUT/report.json, .csv and .html of an audit in that store. */
enum sm_code sm_cmd_audit_write_reports(const char *out, struct sm_store *store,
                                        const struct sm_audit_id *id, const struct sm_audit *audit,
                                        const struct sm_audit_result *result, struct sm_err *err);

/* The server of the audit that OUT holds, to be freed: "" for one of this machine. SM_NOT_FOUND
 * when no audit was started there. */
enum sm_code sm_cmd_audit_read_server(char **server, char id[SM_ID_BYTES], const char *out,
                                      struct sm_err *err);

/* --- a finished audit of OUT/audit.db --- */

struct sm_cmd_audit_opened {
    struct sm_store *store;
    struct sm_audit_id id;
    json_t *document; /* sm_store_audit */
    struct sm_store_audit_record record;
};
enum sm_code sm_cmd_audit_open(struct sm_cmd_audit_opened **out, const char *folder,
                               struct sm_err *err);
struct sm_audit *sm_cmd_audit_of(struct sm_cmd_audit_opened *opened);
void sm_cmd_audit_close(struct sm_cmd_audit_opened *opened);

/* --- signals --- */

/* From here SIGINT and SIGTERM ask to stop, the second one ends the process. */
void sm_stop_watch(void);
extern atomic_bool sm_stop_asked;
int sm_stop_signal(void); /* its number, 0: none */
/* Sleeps; SM_CANCELLED once a stop is asked for. */
enum sm_code sm_stop_wait(int64_t ms, struct sm_err *err);

/* --- what is said on standard error and output --- */

struct sm_progress {
    bool quiet, terminal, begun, drawn;
    int64_t begun_ms, said_ms, begun_count, begun_cost_ms;
};
void sm_progress_init(struct sm_progress *progress, bool quiet);
/* `audit`: sm_store_audit's document, or the API's, which is the same. */
void sm_progress_show(struct sm_progress *progress, const json_t *audit);
void sm_progress_end(struct sm_progress *progress); /* a line of its own for what follows */

/* What was taken of a cohort and what was not, from sm_ingest_finish. */
void sm_cmd_audit_say_taken(const struct sm_cmd_audit_plan *plan, const char *what,
                            const json_t *report);
/* A cohort without an image is a mistake. */
enum sm_code sm_cmd_audit_check_taken(const char *what, const json_t *report, struct sm_err *err);
/* Prints a line about an audit that is not complete and returns false; prints nothing and returns
 * true of one that is. `node` is sm_completeness_json's. */
bool sm_cmd_audit_say_incomplete(FILE *file, const char *whose, const json_t *node);
/* The result in words: cohorts, gates, flags and where the reports are (plan->out NULL: nowhere);
 * returns the exit code. */
int sm_cmd_audit_say_result(const struct sm_cmd_audit_plan *plan, const json_t *summary,
                            const json_t *audit);

#endif
