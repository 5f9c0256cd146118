/* HTTP for `sslmem audit --server`, over libcurl.
 *
 *     sm_client_open(&client, "http://127.0.0.1:8080", NULL, NULL, &err);
 *     sm_client_json(&audit, client, &(struct sm_client_call){.path = "/v1/audits/…"}, &err);
 *     sm_client_close(client);
 *
 * A server that cannot be reached, or says 429 or 503, is asked again, some 90 s long and as its
 * Retry-After says. What broke off in the middle is repeated only when it is a GET.
 *
 * Owner, threads: one thread. Errors: SM_BUSY (not reachable, or full, to the last), SM_NOT_FOUND,
 *         SM_CONFLICT, SM_INVALID, SM_LIMIT and SM_UNSUPPORTED by the status, with the server's own
 *         words; SM_CANCELLED (sm_stop_asked), SM_IO, SM_CORRUPT (no JSON), SM_NOMEM. */
#ifndef SERVER_CMD_AUDIT_CLIENT_H
#define SERVER_CMD_AUDIT_CLIENT_H

#include "server/cmd/audit.h"

struct sm_client;
/* With the key in `key_file` (NULL: in the variable SSLMEM_KEY, or none), which is sent with each
 * request and stands in no error: a command line is for all to see. A certificate in `ca_file`
 * (NULL: in the file that SSL_CERT_FILE names, or the system's) must vouch for an https server; no
 * other is trusted beside them. */
enum sm_code sm_client_open(struct sm_client **out, const char *url, const char *key_file,
                            const char *ca_file, struct sm_err *err);
void sm_client_close(struct sm_client *client);

struct sm_client_call {
    const char *method; /* NULL: GET */
    const char *path;   /* with its query, encoded */
    const char *media_type;
    const char *text; /* the body, or */
    FILE *file;       /* the body, all of it, or NULL */
    const char *etag; /* If-None-Match, or NULL */
    FILE *into;       /* where the answer goes; NULL: into the answer's text */
};
struct sm_client_answer {
    long status;                         /* 200 to 299, or 304 */
    char *text;                          /* to be freed; not NULL on success */
    char etag[64];                       /* "" without */
    struct sm_completeness completeness; /* of an export; partial, 0 of 0 when it does not say */
};
/* `out` may be NULL when `into` is not. */
enum sm_code sm_client_send(struct sm_client_answer *out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err);
/* The answer's JSON, NULL for none or 304; new reference. */
enum sm_code sm_client_json(json_t **out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err);

#endif
