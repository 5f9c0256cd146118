/* Header values: pure parsers, each total over any text.
 *
 * Owner, threads: no state. */
#ifndef SERVER_HTTP_HEADER_H
#define SERVER_HTTP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/caller.h"

/* Prefer (RFC 7240). Preferences that are unknown or ill formed are ignored; the first of a name
 * counts, also when its value is none. */
struct sm_prefer {
    bool respond_async;
    bool names_wait;
    bool has_wait;
    int64_t wait_s; /* 0.. */
};
/* May be called once per header line; adds to `prefer`, which starts zeroed. */
void sm_prefer_parse(struct sm_prefer *prefer, const char *value);

#define SM_MEDIA_TYPE_BYTES 64
#define SM_MEDIA_TYPE_ANY   "application/octet-stream" /* the bytes say what it is */
/* "Image/PNG; x=y" to "image/png"; "" when there is none or it is too long. */
void sm_media_type(char out[SM_MEDIA_TYPE_BYTES], const char *value);

/* A parameter of a header value such as Content-Type or Content-Disposition, unquoted, with \" and
 * \\ resolved. False when it is absent, ill formed, or does not fit. The name is lower case. */
bool sm_header_param(char *out, size_t out_bytes, const char *value, const char *name);

/* Whether `etag`, quotes included, is among the tags (RFC 9110): If-None-Match, whose comparison is
 * weak, and If-Match, to which a weak tag is none. The list ends where it is ill formed. */
bool sm_etag_matches(const char *value, const char *etag);
bool sm_etag_matches_strongly(const char *value, const char *etag);

/* An Idempotency-Key: a string in quotes (RFC 8941) or bare, 1 to 255 printable ASCII characters,
 * without the quotes and escapes; false when it is none. */
bool sm_idempotency_key(char out[SM_IDEMPOTENCY_KEY_BYTES], const char *value);

#define SM_TRACE_BYTES 33
/* The trace-id of a traceparent (W3C Trace Context, version 00 or what a later one keeps of it): 32
 * hexadecimal digits; "" when there is none or it is ill formed. */
void sm_trace_id(char out[SM_TRACE_BYTES], const char *value);

/* Bytes of "scheme://authority" at the start of a request target in absolute form (RFC 9112 section
 * 3.2.2): http or https, an authority without user and without percent encoding. 0: it has none. */
size_t sm_target_origin(const char *target);

/* A token; text without control characters but tabs. */
bool sm_header_name(const char *name);
bool sm_header_value(const char *value);

/* An unsigned decimal number and nothing else; at most 18 digits. */
bool sm_digits(int64_t *out, const char *text);

/* Replaces what is not printable ASCII: for text that repeats a client's bytes. */
void sm_make_ascii(char *text);

#endif
