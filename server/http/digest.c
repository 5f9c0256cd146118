/* The grammar is a dictionary of byte sequences (RFC 8941): "sha-256=:base64:", separated by
 * commas. A member with another algorithm may have any form that ends at a comma. */
#include "server/http/digest.h"

#include <sodium.h>
#include <string.h>

#define SPACE " \t"

enum { SHA256, SHA512, ALGORITHMS };

static const struct {
    const char *name;
    size_t bytes;
} algorithms[ALGORITHMS] = {{"sha-256", SHA256_DIGEST_SIZE}, {"sha-512", SHA512_DIGEST_SIZE}};

static bool key_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || c == '*' ||
           (!first && ((c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'));
}

/* Skips the value of an unknown algorithm: returns the next comma or the end; NULL if a quote is
 * not closed. */
static const char *skip_member(const char *p)
{
    for (bool quoted = false; *p != '\0' || quoted; p++) {
        if (*p == '\0')
            return NULL;
        if (quoted && *p == '\\' && p[1] != '\0')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (*p == ',' && !quoted)
            break;
    }
    return p;
}

static const char *read_value(struct sm_digest *digest, int which, const char *p,
                              struct sm_err *err)
{
    const char *name = algorithms[which].name, *end = strncmp(p, "=:", 2) == 0 ? p + 2 : NULL;
    uint8_t bytes[SHA512_DIGEST_SIZE];
    size_t count = 0, length;
    if (!end || !(end = strchr(end, ':'))) {
        sm_err_set(err, SM_INVALID, "%s is not followed by =:BASE64:", name);
        return NULL;
    }
    length = (size_t)(end - p) - 2;
    if (sodium_base642bin(bytes, sizeof bytes, p + 2, length, NULL, &count, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        count != algorithms[which].bytes) {
        sm_err_set(err, SM_INVALID, "%s has %zu characters, not the base64 of %zu bytes", name,
                   length, algorithms[which].bytes);
        return NULL;
    }
    memcpy(digest->declared[which].bytes, bytes, count);
    digest->declared[which].there = true;
    return end + 1;
}

/* Reads one "name=value" and returns its end; NULL with an error if it is malformed. */
static const char *read_member(struct sm_digest *digest, const char *p, struct sm_err *err)
{
    size_t n = 0;
    while (key_char(p[n], n == 0))
        n++;
    if (n == 0) {
        sm_err_set(err, SM_INVALID, "there is no algorithm at '%.20s'", p);
        return NULL;
    }
    for (int i = 0; i < ALGORITHMS; i++)
        if (strlen(algorithms[i].name) == n && memcmp(algorithms[i].name, p, n) == 0)
            return read_value(digest, i, p + n, err);
    const char *end = skip_member(p + n);
    if (!end)
        sm_err_set(err, SM_INVALID, "a quote is not closed");
    return end;
}

enum sm_code sm_digest_declare(struct sm_digest *digest, const char *value, struct sm_err *err)
{
    for (const char *p = value + strspn(value, SPACE);; p += 1 + strspn(p + 1, SPACE)) {
        if (!(p = read_member(digest, p, err)))
            return SM_INVALID;
        if (*p == ';' && !(p = skip_member(p))) /* parameters are ignored */
            return sm_err_set(err, SM_INVALID, "a quote is not closed");
        p += strspn(p, SPACE);
        if (*p == '\0')
            return SM_OK;
        if (*p != ',')
            return sm_err_set(err, SM_INVALID, "'%.20s' follows a digest", p);
    }
}

static bool computes(const struct sm_digest *digest, int which)
{
    return digest->declared[which].there || (which == SHA256 && digest->wants_sha256);
}

void sm_digest_add(struct sm_digest *digest, const void *bytes, size_t bytes_count)
{
    if (!digest->begun) {
        sha256_init(&digest->sha256);
        sha512_init(&digest->sha512);
    }
    digest->begun = true;
    if (computes(digest, SHA256))
        sha256_update(&digest->sha256, bytes_count, bytes);
    if (computes(digest, SHA512))
        sha512_update(&digest->sha512, bytes_count, bytes);
    digest->bytes_count += bytes_count;
}

enum sm_code sm_digest_check(struct sm_digest *digest, uint8_t sha256[SHA256_DIGEST_SIZE],
                             struct sm_err *err)
{
    uint8_t is[ALGORITHMS][SHA512_DIGEST_SIZE];
    sm_digest_add(digest, "", 0);
    if (computes(digest, SHA256))
        sha256_digest(&digest->sha256, SHA256_DIGEST_SIZE, is[SHA256]);
    if (computes(digest, SHA512))
        sha512_digest(&digest->sha512, SHA512_DIGEST_SIZE, is[SHA512]);
    if (digest->wants_sha256)
        memcpy(sha256, is[SHA256], SHA256_DIGEST_SIZE);
    for (int i = 0; i < ALGORITHMS; i++)
        if (digest->declared[i].there &&
            memcmp(digest->declared[i].bytes, is[i], algorithms[i].bytes) != 0)
            return sm_err_set(err, SM_CORRUPT, "the %zu bytes that came have another %s",
                              digest->bytes_count, algorithms[i].name);
    return SM_OK;
}
