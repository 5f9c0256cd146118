/* Escapes foreign text so that it is safe to show. Names in files, archives and requests may
 * contain characters that move a terminal's cursor, forge a log line or reverse the direction of
 * writing.
 *
 *     printf("%s: not found\n", sm_shown(name));
 *     sm_escape(text, sizeof text, name);
 *
 * Unsafe are bytes that are not UTF-8 (RFC 3629), the control characters C0, DEL and C1, line and
 * paragraph separators, direction marks (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
 * U+2069) and tags (U+E0000 to U+E007F). A byte or a character below 128 is escaped like \x1b, any
 * other character like \u202e. A backslash is not escaped: the result is for people, not for
 * programs.
 *
 * Threads: no state. Text ends with a NUL unless a function takes a count. */
#ifndef CORE_BASE_ESCAPE_H
#define CORE_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_SHOWN_BYTES      4096   /* longest result of sm_shown, with its NUL */
#define SM_UTF8_REPLACEMENT 0xfffd /* replaces a byte that is not UTF-8 */

/* Writes `text` with unsafe characters escaped. If it does not fit, cuts it after a whole character
 * or escape and appends "...". Returns `out`. */
char *sm_escape(char *out, size_t out_bytes, const char *text);

/* Escapes `text` into a buffer that lives until the end of the enclosing block. */
#define sm_shown(text) sm_escape((char[SM_SHOWN_BYTES]){0}, SM_SHOWN_BYTES, text)

/* Replaces unsafe characters in the strings of a JSON text by \u escapes; the document stays the
 * same. The caller frees the result; NULL when out of memory. */
char *sm_escape_json(const char *json);

/* Writes `text` as a cell of a CSV file: quoted where RFC 4180 requires it, with an apostrophe
 * before text that a spreadsheet would run. The caller frees the result; NULL when out of memory.
 */
char *sm_escape_csv(const char *text);

/* Returns true if a character (code point) is unsafe to show. */
bool sm_is_unsafe(uint32_t point);

/* Decodes the first character of `text`, which has `count` bytes. Returns its length in bytes; 0 if
 * the text is empty or does not begin with valid UTF-8. */
size_t sm_utf8_decode(uint32_t *point, const char *text, size_t count);
/* Returns true if the text is UTF-8 without NUL, so that both JSON and a C string can hold it. */
bool sm_utf8_is_text(const char *text, size_t count);
/* Writes a character as UTF-8, without a NUL. Returns its length in bytes. */
size_t sm_utf8_encode(char out[4], uint32_t point);

#endif
