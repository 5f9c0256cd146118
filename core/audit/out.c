/* Each writer is one loop over the code points of its text. */
#include "core/audit/out.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/json.h"

void sm_put(struct sm_out *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(out->file, format, args);
    va_end(args);
}

uint32_t sm_utf8_next(const char **text)
{
    uint32_t point = 0;
    size_t n = **text ? sm_utf8_decode(&point, *text, SIZE_MAX) : 0;
    if (**text == 0)
        return 0;
    *text += n ? n : 1;
    return n ? point : SM_UTF8_REPLACEMENT;
}

static void put_point(struct sm_out *out, uint32_t point)
{
    char bytes[4];
    fwrite(bytes, 1, sm_utf8_encode(bytes, point), out->file);
}

void sm_put_html(struct sm_out *out, const char *text)
{
    for (uint32_t point; (point = sm_utf8_next(&text)) != 0;) {
        if (sm_is_unsafe(point))
            sm_put(out, point < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)point);
        else if (point == '&' || point == '<' || point == '>' || point == '"' || point == '\'')
            sm_put(out, "&#%d;", (int)point);
        else
            put_point(out, point);
    }
}

void sm_put_css(struct sm_out *out, const char *text, size_t points_max)
{
    size_t count = 0;
    for (uint32_t point; (point = sm_utf8_next(&text)) != 0; count++) {
        if (count == points_max) {
            sm_put(out, "…");
            return;
        }
        if (point < 0x80 && (isalnum((int)point) || point == ' '))
            sm_put(out, "%c", (char)point);
        else
            sm_put(out, "\\%x ", (unsigned)(sm_is_unsafe(point) ? SM_UTF8_REPLACEMENT : point));
    }
}

/* Returns true if sm_put_html shows the text unchanged. */
static bool is_shown(const char *text)
{
    for (const char *s = text; *s;) {
        uint32_t point = sm_utf8_next(&s);
        if (sm_is_unsafe(point) || point == SM_UTF8_REPLACEMENT)
            return false;
    }
    return true;
}

void sm_put_shell(struct sm_out *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    bool shown = is_shown(text);
    if (*text && strspn(text, plain) == strlen(text)) {
        sm_put(out, "%s", text);
        return;
    }
    sm_put(out, shown ? "&#39;" : "$&#39;");
    for (const char *s = text; *s; s++) {
        char one[5] = {*s};
        if (shown && *s == '\'')
            snprintf(one, sizeof one, "'\\''");
        else if (!shown && (*s < 0x20 || *s == 0x7f || *s == '\'' || *s == '\\'))
            snprintf(one, sizeof one, "\\%03o", (unsigned)(unsigned char)*s);
        if (shown && (unsigned char)*s >= 0x80)
            sm_put(out, "%c", *s); /* a byte of a character that is_shown checked */
        else
            sm_put_html(out, one);
    }
    sm_put(out, "&#39;");
}

/* Writes "e-09" as " · 10⁻⁹"; returns the number of bytes read. */
static size_t put_power(struct sm_out *out, const char *text)
{
    static const char *const digits[] = {"\u2070", "\u00b9", "\u00b2", "\u00b3", "\u2074",
                                         "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
    size_t length = 2, n = strspn(text + 2, "0123456789");
    sm_put(out, "\u00a0·\u00a010%s", text[1] == '-' ? "⁻" : ""); /* kept on one line */
    while (n > 1 && text[length] == '0') {
        length++;
        n--;
    }
    for (; n > 0; n--)
        sm_put(out, "%s", digits[text[length++] - '0']);
    return length;
}

void sm_put_words(struct sm_out *out, const char *text)
{
    for (const char *s = text; *s; s++) {
        bool digit_before = s > text && s[-1] >= '0' && s[-1] <= '9';
        if (*s == '-' && s[1] >= '0' && s[1] <= '9')
            sm_put(out, "−");
        else if (*s == 'e' && digit_before && s[1] && strchr("+-", s[1]) && s[2] >= '0' &&
                 s[2] <= '9')
            s += put_power(out, s) - 1;
        else if (*s == ' ' && digit_before && s[1] == '%')
            sm_put(out, "\u00a0"); /* kept on one line */
        else if (*s == '&' || *s == '<' || *s == '>')
            sm_put(out, "&#%d;", *s);
        else
            sm_put(out, "%c", *s);
    }
}

const char *sm_count(char out[SM_FIGURE_BYTES], int64_t count)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRId64, count), used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

const char *sm_figure(char out[SM_FIGURE_BYTES], double value, int digits)
{
    char text[SM_FIGURE_BYTES]; /* rounded first: 9.999 may become 10.0 */
    snprintf(text, sizeof text, "%.*e", digits - 1, value);
    const char *e = strchr(text, 'e');
    long exponent = isfinite(value) && e ? strtol(e + 1, NULL, 10) : 0;
    int decimals = digits - 1 - (int)exponent;
    if (!isfinite(value))
        snprintf(out, SM_FIGURE_BYTES, "undefined");
    else if (value == 0)
        snprintf(out, SM_FIGURE_BYTES, "0");
    else if (exponent < -4 || exponent > 6)
        snprintf(out, SM_FIGURE_BYTES, "%s", text);
    else
        snprintf(out, SM_FIGURE_BYTES, "%.*f", decimals > 0 ? decimals : 0, value);
    return out;
}

void sm_put_json_text(struct sm_out *out, const char *text)
{
    sm_put(out, "\"");
    for (uint32_t point; (point = sm_utf8_next(&text)) != 0;) {
        if (point == '"' || point == '\\')
            sm_put(out, "\\%c", (int)point);
        else if (point < 0x20 || point == 0x7f)
            sm_put(out, "\\u%04x", (unsigned)point);
        else
            put_point(out, point);
    }
    sm_put(out, "\"");
}

void sm_put_json_number(struct sm_out *out, double value)
{
    char text[SM_NUMBER_BYTES];
    sm_put(out, "%s", isfinite(value) ? sm_number_text(text, value) : "null");
}

void sm_put_json(struct sm_out *out, const json_t *node)
{
    char *text = node ? sm_json_text(node, JSON_COMPACT) : NULL;
    sm_put(out, "%s", text ? text : "null");
    free(text);
}

void sm_put_csv(struct sm_out *out, const char *text)
{
    char *cell = sm_escape_csv(text);
    sm_put(out, "%s", cell ? cell : "");
    free(cell);
}

void sm_put_csv_number(struct sm_out *out, double value)
{
    char text[SM_NUMBER_BYTES];
    if (isfinite(value))
        sm_put(out, "%s", sm_number_text(text, value));
}

void sm_put_base64(struct sm_out *out, const uint8_t *bytes, size_t bytes_count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes_count; i += 3) {
        size_t left = bytes_count - i;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= left > 2 ? bytes[i + 2] : 0;
        sm_put(out, "%c%c%c%c", digits[word >> 18], digits[word >> 12 & 63],
               left > 1 ? digits[word >> 6 & 63] : '=', left > 2 ? digits[word & 63] : '=');
    }
}

enum sm_code sm_out_finish(struct sm_out *out, struct sm_err *err)
{
    errno = 0;
    if (fflush(out->file) != 0 || ferror(out->file))
        return sm_err_set(err, SM_IO, "document cannot be written: %s",
                          errno ? strerror(errno) : "the stream had failed before");
    return SM_OK;
}
