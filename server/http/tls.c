/* In every handshake, GnuTLS asks for a certificate and gets copies, which it frees. So a load can
 * replace the originals under a lock, without counting references to the old ones. A copy costs
 * little compared with the arithmetic of a handshake.
 *
 * A certificate replaces another only after it was parsed and matched with its key. */
#include "server/http/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/metrics.h"

struct pair {
    gnutls_x509_crt_t *chain; /* GnuTLS allocates it; the server's own certificate is first */
    unsigned chain_count;
    gnutls_x509_privkey_t key;
};

struct sm_tls {
    char *cert_path, *key_path;
    pthread_rwlock_t lock;
    struct pair pair;
};

static void release(struct pair *pair)
{
    for (unsigned i = 0; i < pair->chain_count; i++)
        gnutls_x509_crt_deinit(pair->chain[i]);
    gnutls_free(pair->chain);
    if (pair->key)
        gnutls_x509_privkey_deinit(pair->key);
    *pair = (struct pair){0};
}

/* --- files --- */

static enum sm_code read_open(gnutls_datum_t *out, int fd, const char *path, mode_t forbidden,
                              struct sm_err *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return sm_err_set(err, SM_IO, "%.120s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode) || (about.st_mode & forbidden) != 0)
        return sm_err_set(err, SM_INVALID, "%.120s has mode %o, must be a file%s", path,
                          (unsigned)about.st_mode & 0777,
                          forbidden ? " that only its owner may read" : "");
    if (about.st_size > SM_TLS_FILE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "%.120s has %lld bytes, at most %d", path,
                          (long long)about.st_size, SM_TLS_FILE_BYTES_MAX);
    if (!(out->data = malloc(SM_TLS_FILE_BYTES_MAX)))
        return sm_err_set(err, SM_NOMEM, "no memory for %.120s", path);
    ssize_t length = sm_file_read(fd, out->data, SM_TLS_FILE_BYTES_MAX);
    if (length < 0)
        return sm_err_set(err, SM_IO, "%.120s: %s", path, strerror(errno));
    out->size = (unsigned)length;
    return SM_OK;
}

/* Reads a file. `forbidden`: permission bits that its mode must not have. */
static enum sm_code read_pem(gnutls_datum_t *out, const char *path, mode_t forbidden,
                             struct sm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%.120s: %s", path,
                          strerror(errno));
    enum sm_code code = read_open(out, fd, path, forbidden, err);
    close(fd);
    return code;
}

static void forget(gnutls_datum_t *pem)
{
    if (pem->data)
        explicit_bzero(pem->data, SM_TLS_FILE_BYTES_MAX);
    free(pem->data);
}

static enum sm_code read_chain(struct pair *pair, const char *path, struct sm_err *err)
{
    gnutls_datum_t pem = {0};
    enum sm_code code = read_pem(&pem, path, 0, err);
    if (code == SM_OK) {
        int rc = gnutls_x509_crt_list_import2(&pair->chain, &pair->chain_count, &pem,
                                              GNUTLS_X509_FMT_PEM, 0);
        if (rc < 0)
            code = sm_err_set(err, SM_INVALID, "%.120s is no certificate in PEM: %s", path,
                              gnutls_strerror(rc));
        else if (pair->chain_count > SM_TLS_CHAIN_MAX)
            code = sm_err_set(err, SM_LIMIT, "%.120s has %u certificates, at most %d", path,
                              pair->chain_count, SM_TLS_CHAIN_MAX);
    }
    forget(&pem);
    return code;
}

static enum sm_code read_key(struct pair *pair, const char *path, struct sm_err *err)
{
    gnutls_datum_t pem = {0};
    enum sm_code code = read_pem(&pem, path, S_IRWXG | S_IRWXO, err);
    int rc = 0;
    if (code == SM_OK && (rc = gnutls_x509_privkey_init(&pair->key)) == 0)
        rc = gnutls_x509_privkey_import2(pair->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc < 0)
        code =
            sm_err_set(err, SM_INVALID, "%.120s is no key in PEM: %s", path, gnutls_strerror(rc));
    forget(&pem);
    return code;
}

/* Checks that the key belongs to the certificate: both give the same digest of the public key. */
static enum sm_code check_match(const struct pair *pair, const char *cert_path,
                                const char *key_path, struct sm_err *err)
{
    unsigned char of_cert[64], of_key[64];
    size_t cert_bytes = sizeof of_cert, key_bytes = sizeof of_key;
    int rc =
        gnutls_x509_crt_get_key_id(pair->chain[0], GNUTLS_KEYID_USE_SHA256, of_cert, &cert_bytes);
    if (rc == 0)
        rc = gnutls_x509_privkey_get_key_id(pair->key, GNUTLS_KEYID_USE_SHA256, of_key, &key_bytes);
    if (rc < 0)
        return sm_err_set(err, SM_INVALID, "%.120s: %s", cert_path, gnutls_strerror(rc));
    if (cert_bytes != key_bytes || memcmp(of_cert, of_key, cert_bytes) != 0)
        return sm_err_set(err, SM_INVALID, "%.100s is not the key of the certificate in %.100s",
                          key_path, cert_path);
    return SM_OK;
}

static int64_t expires_s(const struct pair *pair)
{
    return pair->chain_count > 0 ? gnutls_x509_crt_get_expiration_time(pair->chain[0]) : 0;
}

/* Puts `pair` in use; the one that was in use comes back in *pair. */
static void swap(struct sm_tls *tls, struct pair *pair)
{
    struct pair old = tls->pair;
    int64_t until_s = expires_s(pair);
    char expires[32];
    pthread_rwlock_wrlock(&tls->lock);
    tls->pair = *pair;
    pthread_rwlock_unlock(&tls->lock);
    sm_metric_add(SM_METRIC_CERTIFICATE, until_s - expires_s(&old), NULL);
    sm_time_format(expires, until_s * 1000);
    sm_log("info", "certificate", "{s:s}", "expires", expires);
    *pair = old;
}

/* Reads both files and checks that they match. The caller releases `pair` even after an error. */
static enum sm_code read_pair(struct pair *pair, const char *cert_path, const char *key_path,
                              struct sm_err *err)
{
    enum sm_code code = read_chain(pair, cert_path, err);
    if (code == SM_OK)
        code = read_key(pair, key_path, err);
    if (code == SM_OK)
        code = check_match(pair, cert_path, key_path, err);
    return code;
}

enum sm_code sm_tls_check(const char *cert_path, const char *key_path, struct sm_err *err)
{
    struct pair pair = {0};
    enum sm_code code = read_pair(&pair, cert_path, key_path, err);
    if (code == SM_OK && expires_s(&pair) < (int64_t)time(NULL))
        code = sm_err_set(err, SM_INVALID, "the certificate in %.120s has expired", cert_path);
    release(&pair);
    return code;
}

enum sm_code sm_tls_load(struct sm_tls *tls, struct sm_err *err)
{
    struct pair next = {0};
    enum sm_code code = read_pair(&next, tls->cert_path, tls->key_path, err);
    if (code == SM_OK)
        swap(tls, &next);
    release(&next);
    return code;
}

enum sm_code sm_tls_new(struct sm_tls **out, const char *cert_path, const char *key_path,
                        struct sm_err *err)
{
    struct sm_tls *tls = calloc(1, sizeof *tls);
    *out = NULL;
    if (!tls)
        return sm_err_set(err, SM_NOMEM, "no memory for the certificate");
    pthread_rwlock_init(&tls->lock, NULL);
    tls->cert_path = strdup(cert_path);
    tls->key_path = strdup(key_path);
    enum sm_code code = tls->cert_path && tls->key_path
                            ? sm_tls_load(tls, err)
                            : sm_err_set(err, SM_NOMEM, "no memory for the certificate");
    if (code != SM_OK) {
        sm_tls_free(tls);
        return code;
    }
    *out = tls;
    return SM_OK;
}

void sm_tls_free(struct sm_tls *tls)
{
    if (!tls)
        return;
    release(&tls->pair);
    pthread_rwlock_destroy(&tls->lock);
    free(tls->cert_path);
    free(tls->key_path);
    free(tls);
}

/* --- for clients --- */

enum sm_code sm_tls_check_authorities(const char *path, struct sm_err *err)
{
    gnutls_x509_trust_list_t list;
    if (access(path, R_OK) != 0)
        return sm_err_set(err, SM_IO, "%.160s: %s", path, strerror(errno));
    if (gnutls_x509_trust_list_init(&list, 0) != 0)
        return sm_err_set(err, SM_NOMEM, "no memory for %.120s", path);
    int count = gnutls_x509_trust_list_add_trust_file(list, path, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    gnutls_x509_trust_list_deinit(list, 1);
    return count > 0 ? SM_OK
                     : sm_err_set(err, SM_INVALID, "%.160s has no certificate in PEM", path);
}

bool sm_tls_say_distrust(char *out, size_t out_bytes, unsigned status)
{
    gnutls_datum_t text = {0};
    out[0] = '\0';
    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0) == 0)
        snprintf(out, out_bytes, "%s", (const char *)text.data);
    gnutls_free(text.data);
    return (status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0;
}

/* --- handshakes --- */

/* The copies for one handshake; GnuTLS frees them. */
struct copies {
    gnutls_pcert_st *chain;
    unsigned chain_count;
    gnutls_privkey_t key;
};

static int copy(struct copies *out, const struct pair *pair)
{
    int rc = gnutls_privkey_init(&out->key);
    if (rc == 0)
        rc = gnutls_privkey_import_x509(out->key, pair->key, GNUTLS_PRIVKEY_IMPORT_COPY);
    out->chain = rc == 0 ? gnutls_calloc(pair->chain_count, sizeof *out->chain) : NULL;
    if (rc == 0 && !out->chain)
        rc = GNUTLS_E_MEMORY_ERROR;
    while (rc == 0 && out->chain_count < pair->chain_count) {
        rc = gnutls_pcert_import_x509(&out->chain[out->chain_count], pair->chain[out->chain_count],
                                      0);
        out->chain_count += rc == 0;
    }
    return rc;
}

static void discard(struct copies *copies)
{
    for (unsigned i = 0; i < copies->chain_count; i++)
        gnutls_pcert_deinit(&copies->chain[i]);
    gnutls_free(copies->chain);
    if (copies->key)
        gnutls_privkey_deinit(copies->key);
}

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **chain, unsigned *chain_count, gnutls_ocsp_data_st **ocsp,
                    unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags)
{
    struct sm_tls *tls = gnutls_session_get_ptr(session);
    struct copies copies = {0};
    (void)info;
    pthread_rwlock_rdlock(&tls->lock);
    int rc = copy(&copies, &tls->pair);
    pthread_rwlock_unlock(&tls->lock);
    if (rc < 0) {
        discard(&copies);
        return -1;
    }
    *chain = copies.chain;
    *chain_count = copies.chain_count;
    *ocsp = NULL;
    *ocsp_count = 0;
    *key = copies.key;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

void sm_tls_attach(struct sm_tls *tls, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info)
        gnutls_session_set_ptr(info->tls_session, tls);
}

void *sm_tls_callback(void)
{
    gnutls_certificate_retrieve_function3 *function = retrieve;
    void *pointer;
    memcpy(&pointer, &function, sizeof pointer); /* ISO C has no cast from function to void * */
    return pointer;
}
