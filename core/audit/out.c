/* One decoder of UTF-8, and one loop over its code points per kind of document. */
#include "core/audit/out.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define REPLACEMENT 0xfffdu

void sm_put(struct sm_out *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(out->file, format, args);
    va_end(args);
}

/* Bytes of a sequence by its first byte, the bits of that byte that count, and the least code point
 * that needs so many. */
static const struct {
    unsigned char low, high, mask, length;
    uint32_t least;
} heads[] = {
    {0x00, 0x7f, 0x7f, 1, 0},
    {0xc2, 0xdf, 0x1f, 2, 0x80},
    {0xe0, 0xef, 0x0f, 3, 0x800},
    {0xf0, 0xf4, 0x07, 4, 0x10000},
};

uint32_t sm_utf8_next(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    if (*s == 0)
        return 0;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (*s < heads[i].low || *s > heads[i].high)
            continue;
        uint32_t point = *s & heads[i].mask;
        int n = 1;
        for (; n < heads[i].length && (s[n] & 0xc0) == 0x80; n++)
            point = point << 6 | (s[n] & 0x3f);
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        if (n < heads[i].length || point < heads[i].least || point > 0x10ffff || surrogate)
            break;
        *text += n;
        return point;
    }
    *text += 1;
    return REPLACEMENT;
}

static void put_point(struct sm_out *out, uint32_t point)
{
    unsigned char bytes[4];
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; point >>= 6)
        bytes[i] = (unsigned char)(0x80 | (point & 0x3f));
    bytes[0] = (unsigned char)(lead[n] | point);
    fwrite(bytes, 1, n, out->file);
}

/* Control characters are no text in HTML, and those that turn the direction of writing could make a
 * name look like another. */
static bool is_unprintable(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

void sm_put_html(struct sm_out *out, const char *text)
{
    for (uint32_t point; (point = sm_utf8_next(&text)) != 0;) {
        if (point == '&' || point == '<' || point == '>' || point == '"' || point == '\'')
            sm_put(out, "&#%d;", (int)point);
        else
            put_point(out, is_unprintable(point) ? REPLACEMENT : point);
    }
}

void sm_put_words(struct sm_out *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '-' && text[1] >= '0' && text[1] <= '9')
            sm_put(out, "−");
        else if (*text == '&' || *text == '<' || *text == '>')
            sm_put(out, "&#%d;", *text);
        else
            sm_put(out, "%c", *text);
    }
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
    if (isfinite(value))
        sm_put(out, "%.17g", value);
    else
        sm_put(out, "null");
}

void sm_put_json(struct sm_out *out, const json_t *node)
{
    if (node)
        json_dumpf(node, out->file, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
    else
        sm_put(out, "null");
}

void sm_put_csv(struct sm_out *out, const char *text)
{
    bool formula = text[0] && strchr("=+-@\t\r\n", text[0]);
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    sm_put(out, "%s%s", quoted ? "\"" : "", formula ? "'" : "");
    for (uint32_t point; (point = sm_utf8_next(&text)) != 0;) {
        if (point == '"')
            sm_put(out, "\"");
        put_point(out, point);
    }
    sm_put(out, "%s", quoted ? "\"" : "");
}

void sm_put_csv_number(struct sm_out *out, double value)
{
    if (isfinite(value))
        sm_put(out, "%.17g", value);
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
