/* Parsers of header values: pure functions that accept any text.
 *
 * Owner, threads: no state. */
#ifndef SERVER_HTTP_HEADER_H
#define SERVER_HTTP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/caller.h"

/* Prefer (RFC 7240). Unknown and malformed preferences are ignored. Of several `wait` preferences
 * the first counts, even if its value is invalid. */
struct sm_prefer {
    bool respond_async;
    bool names_wait;
    bool has_wait;
    int64_t wait_s; /* at least 0; 0 without a valid wait */
};
/* Parses one header line and adds to `prefer`, which the caller zeroes before the first line. */
void sm_prefer_parse(struct sm_prefer *prefer, const char *value);

#define SM_MEDIA_TYPE_BYTES 64
#define SM_MEDIA_TYPE_ANY   "application/octet-stream" /* the bytes tell the type */
/* Turns "Image/PNG; x=y" into "image/png"; writes "" for NULL, a malformed or a too long type. */
void sm_media_type(char out[SM_MEDIA_TYPE_BYTES], const char *value);

/* Writes a parameter of a header value such as Content-Type or Content-Disposition, without quotes
 * and with \" and \\ resolved. `name` is in lower case. Returns false if the parameter is absent,
 * malformed, or does not fit. */
bool sm_header_param(char *out, size_t out_bytes, const char *value, const char *name);

/* Return true if `etag`, quotes included, is in the list of tags `value` (RFC 9110), or the list is
 * "*". The first compares weakly, for If-None-Match; the second strongly, for If-Match: a weak tag
 * in the list matches nothing. A list ends at its first malformed tag. */
bool sm_etag_matches(const char *value, const char *etag);
bool sm_etag_matches_strongly(const char *value, const char *etag);

/* Parses an Idempotency-Key: 1 to 255 printable ASCII characters, bare or as a quoted string (RFC
 * 8941), whose quotes and escapes are removed. Returns false and writes "" if it is invalid. */
bool sm_idempotency_key(char out[SM_IDEMPOTENCY_KEY_BYTES], const char *value);

#define SM_TRACE_BYTES 33
/* Writes the trace-id of a traceparent header, 32 hexadecimal digits; "" if it is absent or
 * malformed. Reads W3C Trace Context version 00, and later versions that begin in the same way. */
void sm_trace_id(char out[SM_TRACE_BYTES], const char *value);

/* Returns the bytes of "scheme://authority" at the start of a request target in absolute form (RFC
 * 9112 section 3.2.2). The scheme is http or https; the authority has no user and no percent
 * encoding. Returns 0 if the target does not begin so. */
size_t sm_target_origin(const char *target);

/* Return true for a token (RFC 9110), and for text without control characters other than tabs. */
bool sm_header_name(const char *name);
bool sm_header_value(const char *value);

/* Parses text that is an unsigned decimal number of at most 18 digits and nothing else. */
bool sm_digits(int64_t *out, const char *text);

/* Replaces bytes other than printable ASCII by '?', in text that repeats a client's bytes. */
void sm_make_ascii(char *text);

#endif
