/* A cursor is 41 bytes in base64url: version, the row's sort value (8 bytes, big endian; for scores
 * an IEEE 754 double), a UUID, and the first 16 bytes of a SHA-256 over these and the list's name.
 *
 * The digest is no secret, because a cursor gives access to nothing that its filter alone does not
 * give. It detects a cursor that was damaged or used with another query: that would silently skip
 * rows. */
#include "server/api/cursor.h"

#include <assert.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/base/id.h"

enum { VERSION = 1, AT_VALUE = 1, AT_ID = 9, AT_DIGEST = 25, RAW_BYTES = 41, DIGEST_BYTES = 16 };

#define ENCODING sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void digest(uint8_t out[DIGEST_BYTES], const uint8_t raw[RAW_BYTES], const char *list)
{
    uint8_t full[SM_SHA256_BYTES];
    char text[SM_CURSOR_LIST_MAX + AT_DIGEST];
    size_t n = strlen(list);
    assert(n <= SM_CURSOR_LIST_MAX);
    memcpy(text, list, n);
    memcpy(text + n, raw, AT_DIGEST);
    sm_sha256(full, text, n + AT_DIGEST);
    memcpy(out, full, DIGEST_BYTES);
}

void sm_cursor_put(char out[SM_CURSOR_BYTES], const char *list, uint64_t value, const char *id)
{
    uint8_t raw[RAW_BYTES] = {VERSION};
    for (int i = 0; i < 8; i++)
        raw[AT_VALUE + i] = (uint8_t)(value >> (56 - 8 * i));
    sodium_hex2bin(raw + AT_ID, AT_DIGEST - AT_ID, id, strlen(id), "-", NULL, NULL);
    digest(raw + AT_DIGEST, raw, list);
    sodium_bin2base64(out, SM_CURSOR_BYTES, raw, sizeof raw, ENCODING);
}

bool sm_cursor_get(uint64_t *value, char id[SM_ID_BYTES], const char *list, const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t raw[RAW_BYTES], expected[DIGEST_BYTES];
    char hex[33];
    size_t raw_bytes;
    /* The alphabet is checked first, because libsodium 1.0.18 takes byte 255 for a digit. */
    if (strlen(text) != SM_CURSOR_BYTES - 1 || strspn(text, alphabet) != SM_CURSOR_BYTES - 1 ||
        sodium_base642bin(raw, sizeof raw, text, SM_CURSOR_BYTES - 1, NULL, &raw_bytes, NULL,
                          ENCODING) != 0 ||
        raw_bytes != RAW_BYTES || raw[0] != VERSION)
        return false;
    digest(expected, raw, list);
    if (memcmp(expected, raw + AT_DIGEST, DIGEST_BYTES) != 0)
        return false;
    *value = 0;
    for (int i = 0; i < 8; i++)
        *value = *value << 8 | raw[AT_VALUE + i];
    sodium_bin2hex(hex, sizeof hex, raw + AT_ID, AT_DIGEST - AT_ID);
    snprintf(id, SM_ID_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
    return sm_id_valid(id);
}

/* --- scores --- */

static void name_filter(char out[SM_CURSOR_LIST_MAX + 1], const struct sm_score_filter *f)
{
    /* The length precedes each string, so that no two filters give the same text. */
    snprintf(
        out, SM_CURSOR_LIST_MAX + 1, "%lld|%zu %.64s|%zu %.64s|%d %lld|%d %lld|%d %a|%d %a|%d|",
        (long long)f->tenant, f->pair ? strlen(f->pair) + 1 : 0, f->pair ? f->pair : "",
        f->image_digest ? strlen(f->image_digest) + 1 : 0, f->image_digest ? f->image_digest : "",
        f->has_since, (long long)f->since_ms, f->has_until, (long long)f->until_ms, f->has_min,
        f->min, f->has_max, f->max, (int)f->order);
}

void sm_cursor_encode(char out[SM_CURSOR_BYTES], const struct sm_score_filter *filter, double value,
                      const char *id)
{
    char list[SM_CURSOR_LIST_MAX + 1];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    name_filter(list, filter);
    sm_cursor_put(out, list, bits, id);
}

bool sm_cursor_decode(struct sm_score_filter *filter, const char *text)
{
    char list[SM_CURSOR_LIST_MAX + 1];
    uint64_t bits;
    name_filter(list, filter);
    if (!sm_cursor_get(&bits, filter->after_id, list, text))
        return false;
    memcpy(&filter->after_value, &bits, sizeof bits);
    filter->has_after = isfinite(filter->after_value) != 0;
    return filter->has_after;
}
