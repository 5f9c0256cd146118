/* The fingerprint hashes each text with its NUL, so that the border between two texts counts. It
 * takes query parameters in the order of the route's list, so their order in the URL does not
 * count. */
#include "server/http/idempotency.h"

#include <microhttpd.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/http/reply.h"

static enum MHD_Result read_key(void *arg, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    struct sm_request *r = arg;
    (void)kind;
    if (strcasecmp(name, "Idempotency-Key") != 0)
        return MHD_YES;
    if (r->idempotency_key[0] == '\0' &&
        sm_idempotency_key(r->idempotency_key, !value ? "" : value))
        return MHD_YES;
    sm_reply_problem(r, SM_PROBLEM_IDEMPOTENCY_KEY_INVALID,
                     "Idempotency-Key must be there once, with 1 to %d printable characters",
                     SM_IDEMPOTENCY_KEY_BYTES - 1);
    return MHD_NO;
}

void sm_idempotency_read(struct sm_request *request)
{
    if (strcmp(request->method, "POST") == 0)
        MHD_get_connection_values(request->connection, MHD_HEADER_KIND, read_key, request);
}

static void add(struct sha256_ctx *sha256, const char *text)
{
    if (text)
        sha256_update(sha256, strlen(text), (const uint8_t *)text);
    sha256_update(sha256, 1, (const uint8_t *)"");
}

void sm_idempotency_fingerprint(struct sm_request *request, const uint8_t body_sha256[32])
{
    struct sha256_ctx sha256;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char name[32];
    sha256_init(&sha256);
    add(&sha256, request->method);
    add(&sha256, request->route->path);
    add(&sha256, request->capture);
    for (const char *p = request->route->query; p && *p != '\0'; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        p += n;
        const char *value = sm_request_query(request, name);
        add(&sha256, !value ? NULL : name);
        add(&sha256, value);
    }
    add(&sha256, sm_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE));
    sha256_update(&sha256, 32, body_sha256);
    sha256_digest(&sha256, sizeof digest, digest);
    sm_hex(request->fingerprint, digest, sizeof digest);
}
