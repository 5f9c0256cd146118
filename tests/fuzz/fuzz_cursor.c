/* Fuzzes cursors, as sent by clients and as forged. The first byte has flags, the next line is the
 * list's name, and the rest is the text of a cursor, or with FORGED the bytes of one, to which a
 * right digest is added.
 *
 * Properties: an accepted text is exactly the one that the encoder makes from its value and id; it
 * is refused for another list, and with any one character changed; a forged cursor that is accepted
 * has a valid id and, for scores, a finite value; the cursor of any row is accepted. */
#include <assert.h>
#include <math.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "server/api/cursor.h"
#include "server/base/id.h"

#define SEALED_BYTES 25
#define DIGEST_BYTES 16
#define RAW_BYTES    (SEALED_BYTES + DIGEST_BYTES)

enum {
    FORGED = 1,   /* the rest is bytes, to which the digest is added; anybody can compute it */
    FILTERED = 2, /* the list is that of scores, with a filter derived from the name */
    VERSIONED = 4 /* with FORGED: the first byte is replaced by the current version */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes a UUIDv7 from these bytes. */
static void make_id(char id[SM_ID_BYTES], const uint8_t *bytes, size_t bytes_count)
{
    uint8_t raw[16] = {0};
    memcpy(raw, bytes, bytes_count < sizeof raw ? bytes_count : sizeof raw);
    raw[6] = (uint8_t)(0x70 | (raw[6] & 0x0f));
    raw[8] = (uint8_t)(0x80 | (raw[8] & 0x3f));
    sm_id_format(id, raw);
}

/* --- any list --- */

static void check_taken(const char *list, const char *text)
{
    char id[SM_ID_BYTES], again[SM_CURSOR_BYTES], other[SM_CURSOR_LIST_MAX + 1];
    uint64_t value, unused;
    if (!sm_cursor_get(&value, id, list, text))
        return;
    assert(sm_id_valid(id));
    sm_cursor_put(again, list, value, id);
    assert(strcmp(again, text) == 0);
    for (size_t i = 0; i < SM_CURSOR_BYTES - 1; i++) {
        again[i] = again[i] == 'A' ? 'B' : 'A';
        assert(!sm_cursor_get(&unused, id, list, again));
        again[i] = text[i];
    }
    snprintf(other, sizeof other, "%s", list[0] == '\0' ? "x" : list);
    other[0] ^= 1;
    assert(!sm_cursor_get(&unused, id, other, text));
}

static void check_put(const char *list, const uint8_t *bytes, size_t bytes_count)
{
    uint64_t value = 0, got;
    char id[SM_ID_BYTES], got_id[SM_ID_BYTES], text[SM_CURSOR_BYTES];
    memcpy(&value, bytes, bytes_count < sizeof value ? bytes_count : sizeof value);
    make_id(id, bytes, bytes_count);
    sm_cursor_put(text, list, value, id);
    assert(strlen(text) == SM_CURSOR_BYTES - 1);
    assert(sm_cursor_get(&got, got_id, list, text));
    assert(got == value && strcmp(got_id, id) == 0);
}

static void forge(char text[SM_CURSOR_BYTES], const char *list, const uint8_t *bytes,
                  size_t bytes_count, bool versioned)
{
    uint8_t raw[RAW_BYTES] = {0}, digest[SM_SHA256_BYTES],
            sealed[SM_CURSOR_LIST_MAX + SEALED_BYTES];
    size_t n = strlen(list);
    memcpy(raw, bytes, bytes_count < SEALED_BYTES ? bytes_count : SEALED_BYTES);
    if (versioned)
        raw[0] = 1;
    memcpy(sealed, list, n);
    memcpy(sealed + n, raw, SEALED_BYTES);
    sm_sha256(digest, sealed, n + SEALED_BYTES);
    memcpy(raw + SEALED_BYTES, digest, DIGEST_BYTES);
    sodium_bin2base64(text, SM_CURSOR_BYTES, raw, sizeof raw,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* --- scores --- */

static struct sm_score_filter filter_of(const char *name)
{
    size_t n = strlen(name);
    struct sm_score_filter filter = {.pair = n % 3 ? name : NULL,
                                     .image_digest = n % 5 ? name + n / 2 : NULL,
                                     .has_since = n % 2,
                                     .since_ms = (int64_t)n * 1000 - 5,
                                     .has_min = n % 7,
                                     .min = (double)n / 3,
                                     .order = (enum sm_order)(n % 4)};
    return filter;
}

static void check_filter(const char *name, const char *text, const uint8_t *bytes,
                         size_t bytes_count)
{
    struct sm_score_filter filter = filter_of(name), other;
    char again[SM_CURSOR_BYTES], id[SM_ID_BYTES];
    double value = 0;
    if (sm_cursor_decode(&filter, text)) {
        assert(filter.has_after && isfinite(filter.after_value) && sm_id_valid(filter.after_id));
        sm_cursor_encode(again, &filter, filter.after_value, filter.after_id);
        assert(strcmp(again, text) == 0);
    }
    memcpy(&value, bytes, bytes_count < sizeof value ? bytes_count : sizeof value);
    make_id(id, bytes, bytes_count);
    filter = filter_of(name);
    sm_cursor_encode(again, &filter, value, id);
    assert(sm_cursor_decode(&filter, again) == (isfinite(value) != 0));
    if (!filter.has_after)
        return;
    assert(memcmp(&filter.after_value, &value, sizeof value) == 0);
    assert(strcmp(filter.after_id, id) == 0);
    other = filter_of(name);
    other.order = (enum sm_order)((other.order + 1) % 4);
    assert(!sm_cursor_decode(&other, again) && !other.has_after);
    other = filter_of(name);
    other.has_max = true;
    assert(!sm_cursor_decode(&other, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size < 2 ? NULL : memchr(data + 1, '\n', size - 1);
    char list[SM_CURSOR_LIST_MAX + 1] = "", forged[SM_CURSOR_BYTES];
    if (!line_end)
        return 0;
    size_t n = (size_t)(line_end - data - 1), rest = size - (size_t)(line_end + 1 - data);
    memcpy(list, data + 1, n < SM_CURSOR_LIST_MAX ? n : SM_CURSOR_LIST_MAX);
    char *text = strndup((const char *)line_end + 1, rest);
    if (!text)
        abort();
    forge(forged, list, line_end + 1, rest, data[0] & VERSIONED);
    const char *cursor = data[0] & FORGED ? forged : text;
    if (data[0] & FILTERED)
        check_filter(list, cursor, line_end + 1, rest);
    check_taken(list, cursor);
    check_put(list, line_end + 1, rest);
    free(text);
    return 0;
}
