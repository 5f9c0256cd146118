/* Foreign text, made fit to be shown: names out of files, archives and requests may hold what moves
 * a terminal's cursor, forges a line of a log or turns the direction of writing.
 *
 *     printf("%s: not found\n", sm_shown(name));
 *     sm_escape(text, sizeof text, name);
 *
 * Unsafe are bytes that are no UTF-8 (RFC 3629), the control characters C0, DEL and C1, line and
 * paragraph separators, marks of direction (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
 * U+2069) and tags (U+E0000 to U+E007F). They are shown as \x1b (a byte, or a character below 128)
 * and \u202e. A backslash stays as it is: what is shown is for people, not to be read back.
 *
 * Threads: no state. Text ends with a NUL unless a count is given. */
#ifndef CORE_BASE_ESCAPE_H
#define CORE_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_SHOWN_BYTES      4096   /* of a text on a terminal, with its NUL */
#define SM_UTF8_REPLACEMENT 0xfffd /* stands for a byte that is no text */

/* Writes the text with what is unsafe escaped, as much as fits, whole characters and escapes only;
 * text that was cut ends in "...". Returns out. */
char *sm_escape(char *out, size_t out_bytes, const char *text);

/* The same in a buffer that lives as long as the block around the call. */
#define sm_shown(text) sm_escape((char[SM_SHOWN_BYTES]){0}, SM_SHOWN_BYTES, text)

/* JSON text with what is unsafe in its strings as \u escapes: the same document. Allocated; NULL
 * when out of memory. */
char *sm_escape_json(const char *json);

/* Whether a character is unsafe to show. */
bool sm_is_unsafe(uint32_t point);

/* The character that `text` of `count` bytes begins with: its length, 0 when none does. */
size_t sm_utf8_decode(uint32_t *point, const char *text, size_t count);
/* Whether all of it is UTF-8, without NUL: what JSON and C strings both can hold. */
bool sm_utf8_is_text(const char *text, size_t count);
/* Writes a character, at most 4 bytes, and returns its length. */
size_t sm_utf8_encode(char out[4], uint32_t point);

#endif
