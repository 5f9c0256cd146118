/* Each field type has one reader; the caller's table tells where each value is stored. Before
 * jansson parses untrusted text, its nesting depth is checked, because jansson recurses. */
#include "core/base/json.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U64_DIGITS_MAX 20
#define DIGITS_MAX     17 /* a double needs no more */

struct place {
    const struct sm_field *field;
    const char *pointer; /* JSON pointer of the field */
    void *at;
    struct sm_err *err;
};

static const char *type_name(const json_t *node)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "object",   [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "integer", [JSON_REAL] = "number", [JSON_TRUE] = "boolean",
        [JSON_FALSE] = "boolean",   [JSON_NULL] = "null",
    };
    return names[json_typeof(node)];
}

static enum sm_code wrong_type(const struct place *p, const json_t *node, const char *wanted)
{
    return sm_err_field(p->err, p->pointer, "%s is of type %s, must be %s", p->field->name,
                        type_name(node), wanted);
}

static enum sm_code read_int(const struct place *p, const json_t *node)
{
    if (!json_is_integer(node))
        return wrong_type(p, node, "integer");
    json_int_t value = json_integer_value(node);
    if ((double)value < p->field->min || (double)value > p->field->max)
        return sm_err_field(p->err, p->pointer, "%s is %lld, must be from %.0f to %.0f",
                            p->field->name, (long long)value, p->field->min, p->field->max);
    *(int32_t *)p->at = (int32_t)value;
    return SM_OK;
}

static enum sm_code read_u64(const struct place *p, const json_t *node)
{
    if (json_is_integer(node) && json_integer_value(node) >= 0) {
        *(uint64_t *)p->at = (uint64_t)json_integer_value(node);
        return SM_OK;
    }
    if (json_is_string(node)) {
        const char *text = json_string_value(node);
        size_t n = strspn(text, "0123456789");
        uint64_t value = 0;
        bool fits = n > 0 && n <= U64_DIGITS_MAX && text[n] == '\0';
        for (size_t i = 0; fits && i < n; i++)
            fits = !__builtin_mul_overflow(value, 10, &value) &&
                   !__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value);
        if (fits) {
            *(uint64_t *)p->at = value;
            return SM_OK;
        }
    }
    return sm_err_field(p->err, p->pointer,
                        "%s must be an integer from 0 to 18446744073709551615 "
                        "(above 9223372036854775807 as a string of digits)",
                        p->field->name);
}

static enum sm_code check_double(const struct place *p, double value)
{
    if (isfinite(value) && value >= p->field->min && value <= p->field->max)
        return SM_OK;
    return sm_err_field(p->err, p->pointer, "%s is %g, must be from %g to %g", p->field->name,
                        value, p->field->min, p->field->max);
}

static enum sm_code read_double(const struct place *p, const json_t *node)
{
    if (!json_is_number(node))
        return wrong_type(p, node, "number");
    enum sm_code code = check_double(p, json_number_value(node));
    if (code == SM_OK)
        *(double *)p->at = json_number_value(node);
    return code;
}

static enum sm_code read_range(const struct place *p, const json_t *node)
{
    const json_t *low = json_array_get(node, 0), *high = json_array_get(node, 1);
    if (json_array_size(node) != 2 || !json_is_number(low) || !json_is_number(high))
        return sm_err_field(p->err, p->pointer, "%s must be an array of two numbers",
                            p->field->name);
    double a = json_number_value(low), b = json_number_value(high);
    enum sm_code code = check_double(p, a);
    if (code == SM_OK)
        code = check_double(p, b);
    if (code != SM_OK)
        return code;
    if (a > b)
        return sm_err_field(p->err, p->pointer, "%s is [%g, %g], must ascend", p->field->name, a,
                            b);
    ((double *)p->at)[0] = a;
    ((double *)p->at)[1] = b;
    return SM_OK;
}

static enum sm_code read_bool(const struct place *p, const json_t *node)
{
    if (!json_is_boolean(node))
        return wrong_type(p, node, "boolean");
    *(bool *)p->at = json_is_true(node);
    return SM_OK;
}

static enum sm_code read_enum(const struct place *p, const json_t *node)
{
    char choices[160] = "";
    if (!json_is_string(node))
        return wrong_type(p, node, "string");
    for (int i = 0; p->field->names[i]; i++) {
        if (strcmp(p->field->names[i], json_string_value(node)) == 0) {
            *(int *)p->at = i;
            return SM_OK;
        }
        size_t used = strlen(choices);
        snprintf(choices + used, sizeof choices - used, "%s%s", i ? ", " : "", p->field->names[i]);
    }
    return sm_err_field(p->err, p->pointer, "%s is \"%.40s\", must be one of %s", p->field->name,
                        json_string_value(node), choices);
}

static enum sm_code read_text(const struct place *p, const json_t *node)
{
    if (!json_is_string(node))
        return wrong_type(p, node, "string");
    size_t length = json_string_length(node), length_max = (size_t)p->field->max;
    if (length > length_max || strlen(json_string_value(node)) != length)
        return sm_err_field(p->err, p->pointer, "%s has %zu bytes, limit is %zu without NUL",
                            p->field->name, length, length_max);
    memcpy(p->at, json_string_value(node), length + 1);
    return SM_OK;
}

static enum sm_code read_node(const struct place *p, const json_t *node)
{
    *(const json_t **)p->at = node;
    return SM_OK;
}

static enum sm_code (*const readers[])(const struct place *, const json_t *) = {
    [SM_FIELD_INT] = read_int,     [SM_FIELD_U64] = read_u64,   [SM_FIELD_DOUBLE] = read_double,
    [SM_FIELD_RANGE] = read_range, [SM_FIELD_BOOL] = read_bool, [SM_FIELD_ENUM] = read_enum,
    [SM_FIELD_TEXT] = read_text,   [SM_FIELD_NODE] = read_node,
};

static const struct sm_field *find_field(const struct sm_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

/* Appends a key to a JSON pointer and escapes "~" and "/" in it (RFC 6901). */
static void join_pointer(char *out, size_t out_size, const char *parent, const char *key)
{
    size_t at = (size_t)snprintf(out, out_size, "%s/", parent);
    for (; *key && at + 3 < out_size; key++) {
        if (*key == '~' || *key == '/') {
            out[at++] = '~';
            out[at++] = *key == '~' ? '0' : '1';
        } else {
            out[at++] = *key;
        }
    }
    if (at < out_size)
        out[at] = '\0';
}

enum sm_code sm_fields_read(void *out, const json_t *node, const struct sm_field *fields,
                            const char *pointer, struct sm_err *err)
{
    char at[sizeof err->pointer];
    const char *key;
    json_t *value;
    if (!json_is_object(node))
        return sm_err_field(err, pointer, "value is of type %s, must be object",
                            node ? type_name(node) : "nothing");
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
    {
        join_pointer(at, sizeof at, pointer, key);
        const struct sm_field *field = find_field(fields, key);
        if (!field)
            return sm_err_field(err, at, "field \"%.40s\" is unknown", key);
        struct place place = {field, at, (char *)out + field->offset, err};
        enum sm_code code = readers[field->type](&place, value);
        if (code != SM_OK)
            return code;
    }
    for (; fields->name; fields++) {
        if (!fields->required || json_object_get(node, fields->name))
            continue;
        join_pointer(at, sizeof at, pointer, fields->name);
        return sm_err_field(err, at, "field \"%s\" is missing", fields->name);
    }
    return SM_OK;
}

/* Returns the deepest nesting of arrays and objects; ignores brackets inside strings. */
static int json_depth(const char *text, size_t bytes_count)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes_count; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            deepest = ++depth > deepest ? depth : deepest;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return deepest;
}

enum sm_code sm_json_parse(json_t **out, const void *bytes, size_t bytes_count, size_t bytes_max,
                           int depth_max, struct sm_err *err)
{
    const char *text = bytes;
    *out = NULL;
    if (bytes_count >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return sm_err_set(err, SM_CORRUPT,
                          "JSON is UTF-16, must be UTF-8: save it again (in PowerShell with "
                          "-Encoding utf8)");
    if (bytes_count >= 3 && memcmp(text, SM_JSON_MARK, 3) == 0) {
        text += 3;
        bytes_count -= 3;
    }
    if (bytes_count > bytes_max)
        return sm_err_set(err, SM_LIMIT, "JSON has %zu bytes, limit is %zu", bytes_count,
                          bytes_max);
    int depth = bytes_count ? json_depth(text, bytes_count) : 0;
    if (depth > depth_max)
        return sm_err_set(err, SM_LIMIT, "JSON is %d levels deep, limit is %d", depth, depth_max);
    json_error_t error;
    *out = json_loadb(bytes_count ? text : "", bytes_count, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return sm_err_set(err, SM_CORRUPT, "JSON at line %d column %d: %s", error.line,
                          error.column, error.text);
    return SM_OK;
}

json_t *sm_json_u64(uint64_t value)
{
    char digits[U64_DIGITS_MAX + 1];
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    return json_string(digits);
}

json_t *sm_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

char *sm_number_text(char out[SM_NUMBER_BYTES], double value)
{
    /* each decimal number of 15 digits reads back the same, except as a subnormal double */
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    do
        snprintf(out, SM_NUMBER_BYTES, "%.*g", digits, value);
    while (digits++ < DIGITS_MAX && strtod(out, NULL) != value);
    return out;
}

/* Writes the double in the form of jansson: with a fraction or an exponent, which has neither plus
 * nor leading zeros. Returns the end. */
static char *put_real(char *to, double value)
{
    char text[SM_NUMBER_BYTES];
    size_t mantissa = strcspn(sm_number_text(text, value), "e");
    const char *rest = text[mantissa] == 'e'         ? text + mantissa + 1
                       : memchr(text, '.', mantissa) ? ""
                                                     : ".0";
    memcpy(to, text, mantissa);
    to += mantissa;
    if (text[mantissa] == 'e') {
        *to++ = 'e';
        if (*rest == '-')
            *to++ = '-';
        rest += strspn(rest, "+-0");
    }
    memcpy(to, rest, strlen(rest));
    return to + strlen(rest);
}

/* Rewrites the doubles of a JSON text, which have 17 digits, in place. A number stays as it is if
 * its form with fewer digits is the longer text. */
static void shorten(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        size_t n = strcspn(from, "-0123456789\"");
        memmove(to, from, n);
        from += n;
        to += n;
        if (*from == '"') {
            for (n = 1; from[n] != '"'; n += from[n] == '\\' ? 2 : 1) {
            }
            n++;
            memmove(to, from, n);
        } else if ((n = strspn(from, "-0123456789")) && strchr(".e", from[n]) && from[n]) {
            n = strspn(from, "+-.0123456789e");
            char shorter[SM_NUMBER_BYTES];
            size_t length = (size_t)(put_real(shorter, strtod(from, NULL)) - shorter);
            if (length <= n) {
                memcpy(to, shorter, length);
                to += length;
                from += n;
                continue;
            }
            memmove(to, from, n); /* 1234567890123450.0 is shorter than 1.23456789012345e15 */
        } else {
            memmove(to, from, n);
        }
        from += n;
        to += n;
    }
    *to = '\0';
}

char *sm_json_text(const json_t *node, size_t flags)
{
    char *text = json_dumps(node, flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(DIGITS_MAX));
    if (text)
        shorten(text);
    return text;
}

char *sm_json_canonical(const json_t *node)
{
    return json_dumps(node, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(DIGITS_MAX) |
                                JSON_ENCODE_ANY);
}
