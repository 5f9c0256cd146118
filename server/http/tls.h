/* The certificate of the TLS listener: loads it from files, and reloads it while connections are
 * open.
 *
 *     struct sm_tls *tls;
 *     sm_tls_new(&tls, "cert.pem", "key.pem", &err);
 *     … sm_http_params.tls = tls …
 *     sm_tls_load(tls, &err);                        // on SIGHUP; a failure keeps the old one
 *     sm_tls_free(tls);                              // after the daemon
 *
 * Handshakes that begin after a load use the new certificate; open connections keep the old one.
 * The log and a metric tell when the certificate expires.
 *
 * Files:   PEM. The certificate comes first, its chain follows. The key has no password, and only
 *          its owner has access to its file.
 * Threads: sm_tls_load from one thread at a time; the others from any.
 * Errors:  SM_INVALID with the file and its fault, SM_NOT_FOUND, SM_IO, SM_LIMIT, SM_NOMEM. An
 *          expired certificate can be loaded, because the clock may be wrong.
 * Limits:  SM_TLS_FILE_BYTES_MAX bytes per file, SM_TLS_CHAIN_MAX certificates. */
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
/* Checks that both files can be loaded and that the certificate has not expired. */
enum sm_code sm_tls_check(const char *cert_path, const char *key_path, struct sm_err *err);
void sm_tls_free(struct sm_tls *tls);

/* For clients: checks that a PEM file of any size has a certificate authority's certificate. */
enum sm_code sm_tls_check_authorities(const char *path, struct sm_err *err);
/* For clients: writes the faults of a server's certificate in words. `status`: the verification
 * status from GnuTLS, not 0. Returns true if no trusted authority has signed the certificate. */
bool sm_tls_say_distrust(char *out, size_t out_bytes, unsigned status);

/* For the daemon: makes a new connection use `tls`. */
void sm_tls_attach(struct sm_tls *tls, struct MHD_Connection *connection);
/* For the daemon: returns the value of MHD_OPTION_HTTPS_CERT_CALLBACK2. */
void *sm_tls_callback(void);

#endif
