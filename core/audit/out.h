/* Writers of text documents: one stream, and one function per kind of foreign text.
 *
 *     struct sm_out out = {file};
 *     sm_put(&out, "<td>");
 *     sm_put_html(&out, item->name);
 *     return sm_out_finish(&out, err);
 *
 * Foreign text may hold any bytes; bytes that are not UTF-8 become U+FFFD, so every document is
 * valid. Errors: sm_out_finish reports them. Owner: the caller owns the stream. Threads: no
 * state. */
#ifndef CORE_AUDIT_OUT_H
#define CORE_AUDIT_OUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "sslmem/err.h"

struct sm_out {
    FILE *file;
};

void sm_put(struct sm_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For elements and for attributes in double quotes; escapes unsafe characters (core/base/escape.h).
 */
void sm_put_html(struct sm_out *out, const char *text);
/* For the inside of a CSS string; an ellipsis replaces code points beyond `points_max`. */
void sm_put_css(struct sm_out *out, const char *text, size_t points_max);
/* Writes one word of a POSIX shell command, in HTML. A word with characters that HTML would not
 * show, such as control characters, is spelled in octal in $'' (bash, zsh, POSIX 2024). */
void sm_put_shell(struct sm_out *out, const char *text);
/* Writes trusted words and numbers in HTML: a hyphen before a digit becomes a minus sign, e-09 a
 * power of ten, and a per cent sign stays on the line of its number. */
void sm_put_words(struct sm_out *out, const char *text);
void sm_put_json_text(struct sm_out *out, const char *text); /* with its quotes */
void sm_put_json_number(struct sm_out *out, double value);   /* null if not finite */
void sm_put_json(struct sm_out *out, const json_t *node);    /* one line; NULL: null */
void sm_put_csv(struct sm_out *out, const char *text);       /* as sm_escape_csv */
void sm_put_csv_number(struct sm_out *out, double value);    /* empty if not finite */
void sm_put_base64(struct sm_out *out, const uint8_t *bytes, size_t bytes_count);
enum sm_code sm_out_finish(struct sm_out *out,
                           struct sm_err *err); /* flushes; SM_IO if any write failed */

/* "2,000" */
#define SM_FIGURE_BYTES 32
const char *sm_count(char out[SM_FIGURE_BYTES], int64_t count);
#define SM_COUNT(count) sm_count((char[SM_FIGURE_BYTES]){0}, (int64_t)(count))

/* Formats a measured number for readers: `digits` significant digits, trailing zeros included, as a
 * decimal fraction from 1e-4 to 1e7 and otherwise as 1.23e-05; "0"; "undefined" if not finite. */
const char *sm_figure(char out[SM_FIGURE_BYTES], double value, int digits);
#define SM_THREE(value) sm_figure((char[SM_FIGURE_BYTES]){0}, (value), 3)
#define SM_TWO(value)   /* p-values, q-values, standard errors */                                  \
    sm_figure((char[SM_FIGURE_BYTES]){0}, (value), 2)

/* Reads the code point at *text and moves *text behind it; U+FFFD for a byte that begins none, 0 at
 * the end. */
uint32_t sm_utf8_next(const char **text);

#endif
