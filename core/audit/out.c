/* One loop over the code points per kind of document. */
#include "core/audit/out.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/escape.h"

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
