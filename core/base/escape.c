/* The only UTF-8 decoder and list of unsafe characters, for all code that shows foreign text. */
#include "core/base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_BYTES 16 /* room for the longest escape, two \uXXXX, and a NUL */

/* UTF-8 sequences by their first byte, from `low` to `high`: `mask` selects its bits of the code
 * point, `length` is the number of bytes, `least` the smallest code point that needs so many. */
static const struct {
    unsigned char low, high, mask, length;
    uint32_t least;
} heads[] = {
    {0x00, 0x7f, 0x7f, 1, 0},
    {0xc2, 0xdf, 0x1f, 2, 0x80},
    {0xe0, 0xef, 0x0f, 3, 0x800},
    {0xf0, 0xf4, 0x07, 4, 0x10000},
};

size_t sm_utf8_decode(uint32_t *point, const char *text, size_t count)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; count > 0 && i < sizeof heads / sizeof *heads; i++) {
        size_t n = 1;
        if (*s < heads[i].low || *s > heads[i].high)
            continue;
        *point = *s & heads[i].mask;
        for (; n < heads[i].length && n < count && (s[n] & 0xc0) == 0x80; n++)
            *point = *point << 6 | (s[n] & 0x3f);
        bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
        bool whole = n == heads[i].length && *point >= heads[i].least && *point <= 0x10ffff;
        return whole && !surrogate ? n : 0;
    }
    return 0;
}

size_t sm_utf8_encode(char out[4], uint32_t point)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(lead[n] | point);
    return n;
}

bool sm_utf8_is_text(const char *text, size_t count)
{
    while (count > 0) {
        uint32_t point;
        size_t n = sm_utf8_decode(&point, text, count);
        if (n == 0 || point == 0)
            return false;
        text += n;
        count -= n;
    }
    return true;
}

bool sm_is_unsafe(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200e, 0x200f},
                  {0x2028, 0x2029}, {0x202a, 0x202e}, {0x2066, 0x2069}, {0xe0000, 0xe007f}};

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    return false;
}

/* Writes the character or invalid byte at `text`, escaped if unsafe. Returns its size in `text`. */
static size_t show_one(char out[ESCAPE_BYTES], const char *text)
{
    uint32_t point;
    size_t n =
        sm_utf8_decode(&point, text, SIZE_MAX); /* stops at the NUL, which continues no sequence */
    if (n == 0 || (point < 0x80 && sm_is_unsafe(point)))
        snprintf(out, ESCAPE_BYTES, "\\x%02x", (unsigned char)*text);
    else if (sm_is_unsafe(point))
        snprintf(out, ESCAPE_BYTES, "\\u%04x", (unsigned)point);
    else
        snprintf(out, ESCAPE_BYTES, "%.*s", (int)n, text);
    return n > 0 ? n : 1;
}

char *sm_escape(char *out, size_t out_bytes, const char *text)
{
    static const char cut[] = "...";
    size_t used = 0, kept = 0; /* kept: end of the last text after which "..." fits */
    while (*text != '\0') {
        char shown[ESCAPE_BYTES];
        size_t taken = show_one(shown, text), length = strlen(shown);
        if (used + length >= out_bytes) {
            snprintf(out + kept, out_bytes - kept, "%s", cut);
            return out;
        }
        memcpy(out + used, shown, length);
        used += length;
        if (used + sizeof cut <= out_bytes)
            kept = used;
        text += taken;
    }
    if (out_bytes > 0)
        out[used] = '\0';
    return out;
}

/* Writes a character as a JSON escape, a surrogate pair above U+FFFF. */
static void show_json(char out[ESCAPE_BYTES], uint32_t point)
{
    if (point > 0xffff)
        snprintf(out, ESCAPE_BYTES, "\\u%04x\\u%04x", 0xd800 + (unsigned)((point - 0x10000) >> 10),
                 0xdc00 + (unsigned)((point - 0x10000) & 0x3ff));
    else
        snprintf(out, ESCAPE_BYTES, "\\u%04x", (unsigned)point);
}

char *sm_escape_json(const char *json)
{
    char *out = malloc(6 * strlen(json) + 1); /* a byte becomes at most 6: \ufffd */
    size_t used = 0;
    while (out && *json != '\0') {
        char shown[ESCAPE_BYTES];
        uint32_t point;
        size_t n = sm_utf8_decode(&point, json, SIZE_MAX), length = n;
        if (n == 0 || (point >= 0x7f && sm_is_unsafe(point))) {
            show_json(shown, n == 0 ? SM_UTF8_REPLACEMENT : point);
            length = strlen(shown);
            memcpy(out + used, shown, length);
        } else {
            memcpy(out + used, json, n);
        }
        used += length;
        json += n > 0 ? n : 1;
    }
    if (out)
        out[used] = '\0';
    return out;
}

char *sm_escape_csv(const char *text)
{
    bool formula = text[0] && strchr("=+-@\t\r\n", text[0]);
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    char *out = malloc(3 * strlen(text) + 4), *to = out; /* U+FFFD has 3 bytes; quotes, ', NUL */
    if (!out)
        return NULL;
    if (quoted)
        *to++ = '"';
    if (formula)
        *to++ = '\'';
    while (*text != '\0') {
        uint32_t point;
        size_t n = sm_utf8_decode(&point, text, SIZE_MAX);
        if (n == 0)
            point = SM_UTF8_REPLACEMENT;
        if (point == '"')
            *to++ = '"';
        to += sm_utf8_encode(to, point);
        text += n > 0 ? n : 1;
    }
    if (quoted)
        *to++ = '"';
    *to = '\0';
    return out;
}
