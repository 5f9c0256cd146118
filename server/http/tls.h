/* The certificate of the TLS listener: loaded from files, and loaded again while connections are
 * open.
 *
 *     struct sm_tls *tls;
 *     sm_tls_new(&tls, "cert.pem", "key.pem", &err);
 *     … sm_http_params.tls = tls …
 *     sm_tls_load(tls, &err);                        // on SIGHUP: a failure keeps what is there
 *     sm_tls_free(tls);                              // after the daemon
 *
 * Handshakes that begin after a load use the new certificate; open connections are not touched.
 * The log has when it expires, and so has a metric.
 *
 * Files:   PEM. The certificate first, its chain after it. The key without a password, its file
 *          neither readable nor writable for any but its owner.
 * Threads: load from one; the rest from any.
 * Errors:  SM_INVALID with the file and what is wrong, SM_NOT_FOUND, SM_IO, SM_LIMIT, SM_NOMEM. A
 *          certificate that has expired is loaded: what the clock says may be wrong.
 * Limits:  SM_TLS_FILE_BYTES_MAX a file, SM_TLS_CHAIN_MAX certificates. */
#ifndef SERVER_HTTP_TLS_H
#define SERVER_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "sslmem/err.h"

#define SM_TLS_FILE_BYTES_MAX (64 << 10)
#define SM_TLS_CHAIN_MAX      8

/* TLS 1.2 and 1.3, forward secrecy and authenticated encryption only. */
#define SM_TLS_PRIORITIES                                                                          \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"      \
    "+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE"

struct sm_tls;
struct MHD_Connection;

enum sm_code sm_tls_new(struct sm_tls **out, const char *cert_path, const char *key_path,
                        struct sm_err *err);
enum sm_code sm_tls_load(struct sm_tls *tls, struct sm_err *err);
/* Whether they can be loaded: as sm_tls_new, without one. */
enum sm_code sm_tls_check(const char *cert_path, const char *key_path, struct sm_err *err);
void sm_tls_free(struct sm_tls *tls);

/* Of clients: whether a PEM file has a certificate of an authority, without a limit; */
enum sm_code sm_tls_check_authorities(const char *path, struct sm_err *err);
/* and what is wrong with a server's certificate, in words. `status`: GnuTLS's, not 0. Whether
 * nobody who is trusted vouches for it. */
bool sm_tls_say_distrust(char *out, size_t out_bytes, unsigned status);

/* Of the daemon: makes a new connection use `tls`; the function for it to ask. */
void sm_tls_attach(struct sm_tls *tls, struct MHD_Connection *connection);
void *sm_tls_callback(void);

#endif
