/* All parsers walk the text once with a cursor. `read_item` below reads one "name [= value]", which
 * Prefer and the parameters of Content-Type and Content-Disposition share (RFC 9110 section
 * 5.6). */
#include "server/http/header.h"

#include <string.h>
#include <strings.h>

#define SPACE " \t"

static const char *skip_space(const char *p)
{
    return p + strspn(p, SPACE);
}

static bool token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Reads a token or a quoted string into `out` and returns its end; NULL if it is malformed or does
 * not fit. */
static const char *read_word(char *out, size_t out_bytes, const char *p)
{
    bool quoted = *p == '"';
    size_t n = 0;
    p += quoted;
    while (quoted ? *p != '"' : token_char(*p)) {
        if (quoted && *p == '\\')
            p++;
        if (*p == '\0' || n + 1 >= out_bytes)
            return NULL;
        out[n++] = *p++;
    }
    out[n] = '\0';
    return p + quoted;
}

/* Reads "name", with "" as value, or "name=value". Returns its end; NULL if it is malformed. */
static const char *read_item(char *name, size_t name_bytes, char *value, size_t value_bytes,
                             const char *p)
{
    value[0] = '\0';
    p = skip_space(p);
    if (*p == '"' || !(p = read_word(name, name_bytes, p)) || name[0] == '\0')
        return NULL;
    const char *equals = skip_space(p);
    if (*equals != '=')
        return p;
    return read_word(value, value_bytes, skip_space(equals + 1));
}

/* Returns the next character of `stops` outside of quotes, or the end of the text. */
static const char *skip_to(const char *p, const char *stops)
{
    for (bool quoted = false; *p != '\0' && (quoted || !strchr(stops, *p)); p++) {
        if (*p == '\\' && quoted && p[1] != '\0')
            p++;
        else if (*p == '"')
            quoted = !quoted;
    }
    return p;
}

size_t sm_target_origin(const char *target)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i]);
        size_t authority = strncasecmp(target, schemes[i], n) == 0 ? strcspn(target + n, "/?") : 0;
        if (authority > 0 && strcspn(target + n, "#%@") >= authority)
            return n + authority;
    }
    return 0;
}

bool sm_header_name(const char *name)
{
    const char *p = name;
    while (token_char(*p))
        p++;
    return p > name && *p == '\0';
}

bool sm_header_value(const char *value)
{
    for (; *value != '\0'; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

bool sm_digits(int64_t *out, const char *text)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n] != '\0')
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out = *out * 10 + (text[i] - '0');
    return true;
}

void sm_make_ascii(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
}

void sm_prefer_parse(struct sm_prefer *prefer, const char *value)
{
    char name[32], number[32];
    int64_t seconds;
    for (const char *p = value; *p != '\0'; p += *p == ',') {
        if (read_item(name, sizeof name, number, sizeof number, p)) {
            if (strcasecmp(name, "respond-async") == 0)
                prefer->respond_async = true;
            if (strcasecmp(name, "wait") == 0 && !prefer->names_wait) {
                prefer->names_wait = true;
                prefer->has_wait = sm_digits(&seconds, number);
                prefer->wait_s = prefer->has_wait ? seconds : 0;
            }
        }
        p = skip_to(p, ",");
    }
}

void sm_media_type(char out[SM_MEDIA_TYPE_BYTES], const char *value)
{
    const char *p = !value ? "" : skip_space(value);
    size_t n = 0;
    while (n + 1 < SM_MEDIA_TYPE_BYTES && (token_char(p[n]) || p[n] == '/')) {
        out[n] = p[n] >= 'A' && p[n] <= 'Z' ? (char)(p[n] - 'A' + 'a') : p[n];
        n++;
    }
    const char *end = skip_space(p + n);
    out[*end == '\0' || *end == ';' ? n : 0] = '\0';
}

bool sm_header_param(char *out, size_t out_bytes, const char *value, const char *name)
{
    char found[32];
    for (const char *p = skip_to(value, ";"); *p == ';'; p = skip_to(p, ";")) {
        p = skip_space(p + 1);
        size_t n = strlen(name);
        if (strncasecmp(p, name, n) == 0 && *skip_space(p + n) == '=')
            return read_item(found, sizeof found, out, out_bytes, p) != NULL;
    }
    return false;
}

/* Returns true if the list `p` has the tag, or is "*". A tag has no escapes: it ends at the next
 * quote (RFC 9110 section 8.8.3). */
static bool find_tag(const char *p, const char *etag, bool weak)
{
    p = skip_space(p);
    if (*p == '*')
        return *skip_space(p + 1) == '\0';
    for (; *p != '\0'; p = skip_space(p)) {
        bool is_weak = strncmp(p, "W/", 2) == 0;
        p += is_weak ? 2 : 0;
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (!end && *p != ',')
            return false;
        size_t n = !end ? 0 : (size_t)(end - p) + 1;
        if (n > 0 && (weak || !is_weak) && n == strlen(etag) && memcmp(p, etag, n) == 0)
            return true;
        p = skip_space(p + n);
        if (*p != ',')
            return false;
        p++;
    }
    return false;
}

bool sm_etag_matches(const char *value, const char *etag)
{
    return find_tag(value, etag, true);
}

bool sm_etag_matches_strongly(const char *value, const char *etag)
{
    return find_tag(value, etag, false);
}

/* Copies a quoted string, from after its opening quote, into `out` and returns its end; NULL if it
 * is malformed or does not fit. */
static const char *read_string(char *out, size_t out_bytes, const char *p)
{
    size_t n = 0;
    while (*p != '"') {
        if (*p == '\\' && *++p != '"' && *p != '\\')
            return NULL;
        if (*p < ' ' || *p > '~' || n + 1 >= out_bytes)
            return NULL;
        out[n++] = *p++;
    }
    out[n] = '\0';
    return p + 1;
}

bool sm_idempotency_key(char out[SM_IDEMPOTENCY_KEY_BYTES], const char *value)
{
    const char *p = skip_space(value);
    size_t n = 0;
    out[0] = '\0';
    if (*p == '"') {
        p = read_string(out, SM_IDEMPOTENCY_KEY_BYTES, p + 1);
    } else {
        while (p[n] > ' ' && p[n] <= '~' && !strchr("\",;\\", p[n]))
            n++;
        if (n < SM_IDEMPOTENCY_KEY_BYTES) {
            memcpy(out, p, n);
            out[n] = '\0';
        }
        p += n;
    }
    if (p && *skip_space(p) == '\0' && out[0] != '\0')
        return true;
    out[0] = '\0';
    return false;
}

/* Returns true if `text` begins with `count` lower-case hexadecimal digits that are not all
 * `empty`. */
static bool hex_field(const char *text, size_t count, char empty)
{
    const char all[] = {empty, '\0'};
    return strspn(text, "0123456789abcdef") >= count && strspn(text, all) < count;
}

void sm_trace_id(char out[SM_TRACE_BYTES], const char *value)
{
    enum { TRACE = 3, PARENT = TRACE + 33, FLAGS = PARENT + 17, END = FLAGS + 2 };

    out[0] = '\0';
    if (!value || strlen(value) < END || !hex_field(value, 2, 'f') || value[2] != '-' ||
        !hex_field(value + TRACE, 32, '0') || value[PARENT - 1] != '-' ||
        !hex_field(value + PARENT, 16, '0') || value[FLAGS - 1] != '-' ||
        strspn(value + FLAGS, "0123456789abcdef") < 2)
        return;
    /* A version after 00 may append more fields after a dash. */
    if (value[END] != '\0' && (value[END] != '-' || memcmp(value, "00", 2) == 0))
        return;
    memcpy(out, value + TRACE, 32);
    out[32] = '\0';
}
