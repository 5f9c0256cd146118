/* Writing text documents: one stream, and what each kind of document does to text from outside.
 *
 *     struct sm_out out = {file};
 *     sm_put(&out, "<td>");
 *     sm_put_html(&out, item->name);
 *     return sm_out_finish(&out, err);
 *
 * Text from outside may be any bytes; what is no UTF-8 becomes U+FFFD, so that every document is
 * valid. Errors: asked for once, at the end. Owner: the stream is the caller's. Threads: no
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
/* Also for attributes in double quotes; what is unsafe to show is escaped (core/base/escape.h). */
void sm_put_html(struct sm_out *out, const char *text);
/* Inside the quotes of a CSS string; at most `points_max` code points, an ellipsis for the rest. */
void sm_put_css(struct sm_out *out, const char *text, size_t points_max);
/* One word of a POSIX shell command, in HTML. What HTML would not show as it is, such as control
 * characters, is spelled in octal in $'', which takes bash, zsh or another shell of POSIX 2024. */
void sm_put_shell(struct sm_out *out, const char *text);
/* Our own words and numbers in HTML: a hyphen before a digit is a minus sign, e-09 a power of
 * ten, and a per cent sign stays beside its number. */
void sm_put_words(struct sm_out *out, const char *text);
void sm_put_json_text(struct sm_out *out, const char *text); /* with its quotes */
void sm_put_json_number(struct sm_out *out, double value);   /* 17 digits; null if not finite */
void sm_put_json(struct sm_out *out, const json_t *node);    /* one line; NULL: null */
/* Quoted where RFC 4180 asks for it; an apostrophe in front of what a spreadsheet would run. */
void sm_put_csv(struct sm_out *out, const char *text);
void sm_put_csv_number(struct sm_out *out, double value); /* nothing if not finite */
void sm_put_base64(struct sm_out *out, const uint8_t *bytes, size_t bytes_count);
enum sm_code sm_out_finish(struct sm_out *out, struct sm_err *err); /* flushes; SM_IO */

/* "2,000" */
#define SM_FIGURE_BYTES 32
const char *sm_count(char out[SM_FIGURE_BYTES], int64_t count);
#define SM_COUNT(count) sm_count((char[SM_FIGURE_BYTES]){0}, (int64_t)(count))

/* A measured number for readers, everywhere alike: so many significant digits, zeros at the end
 * included, as a decimal fraction from 1e-4 to 1e7 and else as 1.23e-05; "0"; "undefined". */
const char *sm_figure(char out[SM_FIGURE_BYTES], double value, int digits);
#define SM_THREE(value) sm_figure((char[SM_FIGURE_BYTES]){0}, (value), 3)
#define SM_TWO(value)   /* p-values, q-values, standard errors */                                  \
    sm_figure((char[SM_FIGURE_BYTES]){0}, (value), 2)

/* The code point at *text, which moves behind it; U+FFFD for a byte that begins none. 0 at the
 * end. */
uint32_t sm_utf8_next(const char **text);

#endif
