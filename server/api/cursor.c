/* A cursor is 41 bytes in base64url: version, the row's sort value (IEEE 754, big endian), the
 * row's UUID, and the first 16 bytes of a SHA-256 over these and the filter.
 *
 * The digest is not a secret: a cursor gives access to nothing that the filter alone does not give.
 * It catches a cursor that was damaged or carried to another query, which would silently skip rows.
 */
#include "server/api/cursor.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/base/id.h"

enum { VERSION = 1, AT_VALUE = 1, AT_ID = 9, AT_DIGEST = 25, RAW_BYTES = 41, DIGEST_BYTES = 16 };

#define ENCODING sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void digest(uint8_t out[DIGEST_BYTES], const uint8_t raw[RAW_BYTES],
                   const struct sm_score_filter *f)
{
    uint8_t full[SM_SHA256_BYTES];
    char text[512];

    /* Lengths first, so that no two filters write the same text. */
    int n = snprintf(text, sizeof text, "%zu %.200s|%zu %.64s|%d %lld|%d %lld|%d %a|%d %a|%d|",
                     f->pair ? strlen(f->pair) + 1 : 0, f->pair ? f->pair : "",
                     f->image_digest ? strlen(f->image_digest) + 1 : 0,
                     f->image_digest ? f->image_digest : "", f->has_since, (long long)f->since_ms,
                     f->has_until, (long long)f->until_ms, f->has_min, f->min, f->has_max, f->max,
                     (int)f->order);
    memcpy(text + n, raw, AT_DIGEST);
    sm_sha256(full, text, (size_t)n + AT_DIGEST);
    memcpy(out, full, DIGEST_BYTES);
}

void sm_cursor_encode(char out[SM_CURSOR_BYTES], const struct sm_score_filter *filter, double value,
                      const char *id)
{
    uint8_t raw[RAW_BYTES] = {VERSION};
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++)
        raw[AT_VALUE + i] = (uint8_t)(bits >> (56 - 8 * i));
    sodium_hex2bin(raw + AT_ID, AT_DIGEST - AT_ID, id, strlen(id), "-", NULL, NULL);
    digest(raw + AT_DIGEST, raw, filter);
    sodium_bin2base64(out, SM_CURSOR_BYTES, raw, sizeof raw, ENCODING);
}

bool sm_cursor_decode(struct sm_score_filter *filter, const char *text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t raw[RAW_BYTES], expected[DIGEST_BYTES];
    char hex[33];
    size_t raw_bytes;
    uint64_t bits = 0;

    /* The alphabet first: libsodium 1.0.18 takes byte 255 for a digit. */
    if (strlen(text) != SM_CURSOR_BYTES - 1 || strspn(text, alphabet) != SM_CURSOR_BYTES - 1 ||
        sodium_base642bin(raw, sizeof raw, text, SM_CURSOR_BYTES - 1, NULL, &raw_bytes, NULL,
                          ENCODING) != 0 ||
        raw_bytes != RAW_BYTES || raw[0] != VERSION)
        return false;
    digest(expected, raw, filter);
    if (memcmp(expected, raw + AT_DIGEST, DIGEST_BYTES) != 0)
        return false;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | raw[AT_VALUE + i];
    memcpy(&filter->after_value, &bits, sizeof bits);
    sodium_bin2hex(hex, sizeof hex, raw + AT_ID, AT_DIGEST - AT_ID);
    snprintf(filter->after_id, sizeof filter->after_id, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
             hex + 12, hex + 16, hex + 20);
    filter->has_after = isfinite(filter->after_value) != 0 && sm_id_valid(filter->after_id);
    return filter->has_after;
}
