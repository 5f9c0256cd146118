/* Fuzzes the parsers of header values and of other short texts from clients; each gets the same
 * text.
 *
 * Properties: a result has the form that its parser promises, and written again it reads the same;
 * two lines of a header give the same as one line with both values. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "server/base/clock.h"
#include "server/http/digest.h"
#include "server/http/header.h"
#include "server/http/route.h"

#define ETAG "\"0123\""

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_digits(const char *text)
{
    int64_t value = -1, again;
    char written[24];
    if (!sm_digits(&value, text)) {
        assert(value == -1);
        return;
    }
    assert(value >= 0 && value == strtoll(text, NULL, 10) && strlen(text) <= 18);
    snprintf(written, sizeof written, "%lld", (long long)value);
    assert(sm_digits(&again, written) && again == value);
}

static bool same(const struct sm_prefer *a, const struct sm_prefer *b)
{
    return a->respond_async == b->respond_async && a->has_wait == b->has_wait &&
           a->wait_s == b->wait_s;
}

/* Compares a header split at its commas into lines with the same header in one line. Texts with
 * quotes are not compared, because a comma may be inside the quotes. */
static void check_prefer(const char *text)
{
    struct sm_prefer one = {0}, lines = {0}, before;
    char *copy = strdup(text), *save = NULL;
    if (!copy)
        abort();
    sm_prefer_parse(&one, text);
    assert(one.wait_s >= 0 && (one.has_wait || one.wait_s == 0));
    before = one;
    sm_prefer_parse(&one, text);
    assert(same(&one, &before));
    one = (struct sm_prefer){0};
    sm_prefer_parse(&one, "wait=77");
    sm_prefer_parse(&one, text);
    assert(one.has_wait && one.wait_s == 77); /* the first value of a preference counts */
    one = before;
    for (char *line = strtok_r(copy, ",", &save); line; line = strtok_r(NULL, ",", &save))
        sm_prefer_parse(&lines, line);
    assert(strchr(text, '"') || same(&one, &lines));
    free(copy);
}

static void check_media_type(const char *text)
{
    char type[SM_MEDIA_TYPE_BYTES], again[SM_MEDIA_TYPE_BYTES];
    sm_media_type(type, text);
    for (const char *c = type; *c; c++)
        assert(*c > ' ' && *c < 0x7f && !strchr("\"(),:;<=>?@[\\]{}", *c) &&
               !(*c >= 'A' && *c <= 'Z'));
    sm_media_type(again, type);
    assert(strcmp(type, again) == 0);
}

static void check_param(const char *text, const char *name)
{
    char wide[256], narrow[8], again[256], *line = NULL;
    size_t line_bytes;
    bool has = sm_header_param(wide, sizeof wide, text, name);
    assert(sm_header_param(narrow, sizeof narrow, text, name) ==
           (has && strlen(wide) < sizeof narrow));
    if (!has)
        return;
    assert(strlen(wide) >= sizeof narrow || strcmp(wide, narrow) == 0);
    FILE *out = open_memstream(&line, &line_bytes);
    if (!out)
        abort();
    fprintf(out, "x/y; other=\"; %s=no\" ; %s = \"", name, name);
    for (const char *c = wide; *c; c++)
        fprintf(out, "\\%c", *c);
    fputs("\"; more", out);
    if (fclose(out) != 0)
        abort();
    assert(sm_header_param(again, sizeof again, line, name) && strcmp(wide, again) == 0);
    free(line);
}

static void check_etag(const char *text)
{
    bool matches = sm_etag_matches(text, ETAG), strongly = sm_etag_matches_strongly(text, ETAG);
    char *with = NULL;
    assert(!matches || text[strspn(text, " \t")] == '*' || strstr(text, ETAG));
    assert(matches || !strongly);
    /* A list ends where it is malformed; the entries before that count. */
    if (asprintf(&with, "W/" ETAG ", %s", text) < 0)
        abort();
    assert(sm_etag_matches(with, ETAG));
    free(with);
    if (asprintf(&with, "\"x\" ,\t" ETAG ",%s", text) < 0)
        abort();
    assert(sm_etag_matches_strongly(with, ETAG));
    free(with);
}

static void check_key(const char *text)
{
    char key[SM_IDEMPOTENCY_KEY_BYTES], again[SM_IDEMPOTENCY_KEY_BYTES], *line = NULL;
    size_t line_bytes;
    if (!sm_idempotency_key(key, text)) {
        assert(key[0] == '\0');
        return;
    }
    assert(key[0] != '\0' && strlen(key) < sizeof key);
    FILE *out = open_memstream(&line, &line_bytes);
    if (!out)
        abort();
    fputs(" \"", out);
    for (const char *c = key; *c; c++) {
        assert(*c >= ' ' && *c <= '~');
        fprintf(out, "%s%c", strchr("\"\\", *c) ? "\\" : "", *c);
    }
    fputs("\"\t", out);
    if (fclose(out) != 0)
        abort();
    assert(sm_idempotency_key(again, line) && strcmp(key, again) == 0);
    free(line);
}

static enum sm_code digest_holds(struct sm_digest *digest, const char *text, uint8_t sha256[])
{
    for (const char *c = text; *c; c++)
        sm_digest_add(digest, c, 1);
    return sm_digest_check(digest, sha256, NULL);
}

/* Checks that the digest of the text is accepted for the text. A digest that the text declares must
 * be read exactly, and must not match the text: no text is known that contains its own digest. */
static void check_digest(const char *text)
{
    static const char *const names[] = {"sha-256", "sha-512"};
    static const size_t bytes[] = {SHA256_DIGEST_SIZE, SHA512_DIGEST_SIZE};
    struct sm_digest digest = {.wants_sha256 = true}, own = {0}, again = {0};
    char base64[128], line[192];
    uint8_t sha256[SHA256_DIGEST_SIZE], expected[SHA256_DIGEST_SIZE];
    crypto_hash_sha256(expected, (const uint8_t *)text, strlen(text));
    sodium_bin2base64(base64, sizeof base64, expected, sizeof expected,
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(line, sizeof line, "sha-256=:%s:", base64);
    assert(sm_digest_declare(&own, line, NULL) == SM_OK);
    assert(digest_holds(&own, text, sha256) == SM_OK);

    if (sm_digest_declare(&digest, text, NULL) != SM_OK)
        return;
    for (int i = 0; i < 2; i++) {
        if (!digest.declared[i].there)
            continue;
        sodium_bin2base64(base64, sizeof base64, digest.declared[i].bytes, bytes[i],
                          sodium_base64_VARIANT_ORIGINAL);
        snprintf(line, sizeof line, "unknown=\"a,b\", %s=:%s:;p=1", names[i], base64);
        assert(sm_digest_declare(&again, line, NULL) == SM_OK && again.declared[i].there);
        assert(memcmp(again.declared[i].bytes, digest.declared[i].bytes, bytes[i]) == 0);
    }
    bool declares = digest.declared[0].there || digest.declared[1].there;
    assert((digest_holds(&digest, text, sha256) == SM_OK) == !declares);
    assert(memcmp(sha256, expected, sizeof sha256) == 0);
}

static void check_names(const char *text)
{
    if (sm_header_name(text))
        assert(text[0] != '\0' && !strpbrk(text, " \t\"(),/:;<=>?@[\\]{}\x7f"));
    if (sm_header_value(text))
        assert(!strpbrk(text, "\r\n\x01\x1f\x7f"));
}

static void check_trace(const char *text)
{
    char trace[SM_TRACE_BYTES], again[SM_TRACE_BYTES], line[80];
    sm_trace_id(trace, text);
    if (trace[0] == '\0')
        return;
    assert(strspn(trace, "0123456789abcdef") == 32 && strspn(trace, "0") < 32);
    assert(strstr(text, trace) == text + 3);
    snprintf(line, sizeof line, "00-%s-b7ad6b7169203331-01", trace);
    sm_trace_id(again, line);
    assert(strcmp(trace, again) == 0);
}

/* Checks that a time written again is the same, except that its offset may lead out of the years
 * that can be written: then it may differ by up to a day. */
static void check_time(const char *text)
{
    char written[32], again[32];
    int64_t ms, back;
    if (!sm_time_parse(&ms, text))
        return;
    sm_time_format(written, ms);
    assert(sm_time_parse(&back, written));
    assert(back == ms || llabs(back - ms) <= 24 * 3600 * 1000);
    sm_time_format(again, back);
    assert(strcmp(written, again) == 0);
}

static void check_ascii(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    sm_make_ascii(copy);
    assert(strlen(copy) == strlen(text));
    for (size_t i = 0; copy[i] != '\0'; i++)
        assert(copy[i] >= ' ' && copy[i] <= '~' && (copy[i] == text[i] || copy[i] == '?'));
    free(copy);
}

static void check_route(const char *text)
{
    static const struct sm_route routes[] = {
        {"GET", "/a", "a"},
        {"POST", "/a", "b"},
        {"GET", "/a/{id}", "c"},
        {"PUT", "/a/{id}/x", "d"},
        {0},
    };
    const struct sm_route *route;
    char capture[SM_CAPTURE_BYTES], allow[SM_ALLOW_BYTES];
    enum sm_match match = sm_route_find(&route, routes, "GET", text, capture, allow);
    assert((match == SM_MATCH_OK) == (route != NULL));
    assert((match == SM_MATCH_NONE) == (allow[0] == '\0'));
    assert(!strchr(capture, '/') && strstr(text, capture));
    if (route)
        assert(strncmp(text, "/a", 2) == 0 && strcmp(text + 2 + (text[2] == '/'), capture) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size); /* exact size: see driver.c */
    if (!text)
        return 0;
    check_digits(text);
    check_prefer(text);
    check_media_type(text);
    check_param(text, "boundary");
    check_param(text, "name");
    check_etag(text);
    check_key(text);
    check_digest(text);
    check_names(text);
    check_trace(text);
    check_time(text);
    check_ascii(text);
    check_route(text);
    free(text);
    return 0;
}
