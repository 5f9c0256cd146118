/* HTTP for `sslmem audit --server`, over libcurl.
 *
 *     sm_client_open(&client, "http://127.0.0.1:8080", NULL, NULL, &err);
 *     sm_client_json(&audit, client, &(struct sm_client_call){.path = "/v1/audits/…"}, &err);
 *     sm_client_close(client);
 *
 * A request is repeated for about 90 s, or as Retry-After says, if the server cannot be reached or
 * answers 429 or 503. A GET or POST that breaks off in the middle is repeated too.
 *
 * Owner, threads: one thread uses a client. Errors: SM_BUSY (still not reachable, or still full, at
 *         the last try); SM_NOT_FOUND, SM_CONFLICT, SM_INVALID, SM_LIMIT, SM_FULL, SM_UNSUPPORTED
 *         by the status, with the server's detail; SM_CANCELLED (sm_stop_asked), SM_IO, SM_CORRUPT
 *         (the answer is not JSON), SM_NOMEM. */
#ifndef SERVER_CMD_AUDIT_CLIENT_H
#define SERVER_CMD_AUDIT_CLIENT_H

#include "server/cmd/audit.h"

struct sm_client;
/* Opens a client for the server at `url`. The API key is read from `key_file` (NULL: from the
 * variable SSLMEM_KEY; if that is not set either, there is no key). It is not on the command line,
 * which every user of the machine can read. It is sent with each request and appears in no error
 * text. An https server needs a certificate from an authority in `ca_file` (NULL: in the file that
 * SSL_CERT_FILE names, or the system's); no other authority is trusted. `ca_file` must outlive the
 * client. */
enum sm_code sm_client_open(struct sm_client **out, const char *url, const char *key_file,
                            const char *ca_file, struct sm_err *err);
void sm_client_close(struct sm_client *client);

struct sm_client_call {
    const char *method; /* NULL: GET */
    const char *path;   /* with its query, percent-encoded */
    const char *media_type;
    const char *text; /* the body if `file` is NULL; NULL: an empty body */
    FILE *file;       /* the body, from the start of the file; NULL: `text` is the body */
    const char *etag; /* sent as If-None-Match; NULL: not sent */
    FILE *into;       /* receives the body of a 2xx answer; NULL: the answer's text does */
};
struct sm_client_answer {
    long status;   /* 200 to 299, or 304 */
    char *text;    /* to be freed; not NULL on success */
    char etag[64]; /* "": the answer has none */
    struct sm_completeness
        completeness; /* of an exported audit; without the header: partial, 0 of 0 */
};
/* Sends the request, with its repetitions, and waits for the answer. `out` may be NULL. */
enum sm_code sm_client_send(struct sm_client_answer *out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err);
/* Sends a request and parses the answer's JSON; *out is a new reference, or NULL if the answer is
 * empty or a 304. */
enum sm_code sm_client_json(json_t **out, struct sm_client *client,
                            const struct sm_client_call *call, struct sm_err *err);

#endif
