/* Audits that several machines share: `sslmem audit --shard I/N` computes the items whose index
 * modulo N is I - 1, and `sslmem audit merge` joins the shards' folders into the audit that one
 * machine would have made. Private to the files of `sslmem audit`. */
#ifndef SERVER_CMD_AUDIT_SHARD_H
#define SERVER_CMD_AUDIT_SHARD_H

#include "server/cmd/audit.h"

#define SM_AUDIT_SHARDS_MAX  1000
#define SM_AUDIT_SHARD_BYTES 48

/* Reads "I/N"; NULL and "" are the whole audit. SM_INVALID, SM_LIMIT. */
enum sm_code sm_cmd_audit_shard_read(struct sm_shard *out, const char *text, struct sm_err *err);
/* Writes "I/N", or "" for the whole audit. */
void sm_cmd_audit_shard_text(char out[SM_AUDIT_SHARD_BYTES], const struct sm_shard *shard);

/* Returns how many images belong to other shards; `audit` is the document of sm_store_audit. */
int64_t sm_cmd_audit_others_count(const json_t *audit);
/* Prints what the shard has done, and returns the exit code. */
int sm_cmd_audit_shard_say(const struct sm_cmd_audit_plan *plan, const json_t *audit);

/* Deletes audits that never got all their images. SM_CONFLICT if the database holds a started
 * audit, because then audit.json was lost. */
enum sm_code sm_cmd_audit_drop_unstarted(const char *out, struct sm_store *store,
                                         struct sm_err *err);

/* An audit that has ended, in the database of plan->out. */
struct sm_cmd_audit_made {
    const struct sm_cmd_audit_plan *plan;
    struct sm_store *store;
    struct sm_audit_id id;
    const json_t *inputs; /* for audit.json */
};
/* Writes audit.json, the reports and what repeats the audit; `summary` receives a new reference. */
enum sm_code sm_cmd_audit_report(json_t **summary, const struct sm_cmd_audit_made *made,
                                 struct sm_err *err);

int sm_cmd_audit_merge(int argc, char **argv); /* argv[0] is the last word */

#endif
