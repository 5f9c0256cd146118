/* A value that is no text and no whole number is an error, because a class that got lost without a
 * word would put the image among others. */
#include "core/data/members.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/json.h"

#define WHOLE_MAX 9007199254740992.0 /* 2^53: a larger real need not be the number that was meant */

static const struct {
    const char *name;
    enum sm_member member;
} names[] = {{"path", SM_MEMBER_PATH},     {"file_name", SM_MEMBER_PATH},
             {"filename", SM_MEMBER_PATH}, {"image", SM_MEMBER_PATH},
             {"file", SM_MEMBER_PATH},     {"class", SM_MEMBER_CLASS},
             {"label", SM_MEMBER_CLASS},   {"cls", SM_MEMBER_CLASS},
             {"group", SM_MEMBER_GROUP},   {"cohort", SM_MEMBER_COHORT}};
enum { NAMES_COUNT = sizeof names / sizeof *names };

int sm_member_rank(enum sm_member *out, const char *name, size_t count)
{
    for (int i = 0; i < NAMES_COUNT; i++)
        if (strlen(names[i].name) == count && strncasecmp(names[i].name, name, count) == 0) {
            *out = names[i].member;
            return i;
        }
    return -1;
}

enum sm_code sm_member_copy(char **out, const char *text, size_t count, struct sm_err *err)
{
    *out = malloc(count + 1);
    if (!*out)
        return sm_err_set(err, SM_NOMEM, "no memory for a text of %zu bytes", count);
    memcpy(*out, text, count);
    (*out)[count] = '\0';
    return SM_OK;
}

static enum sm_code refuse(const char *name, const json_t *value, struct sm_err *err)
{
    static const char *const types[] = {[JSON_OBJECT] = "an object",
                                        [JSON_ARRAY] = "an array",
                                        [JSON_TRUE] = "true",
                                        [JSON_FALSE] = "false",
                                        [JSON_REAL] = "the real "};
    char number[SM_NUMBER_BYTES] = "";
    if (json_is_real(value))
        sm_number_text(number, json_real_value(value));
    return sm_err_set(err, SM_CORRUPT,
                      "\"%s\" is %s%s, must be a text or a whole number from -2^63 to 2^63 - 1%s",
                      name, types[json_typeof(value)], number,
                      json_is_real(value) ? ", as a real up to 2^53" : "");
}

/* Finds the value of a name; *key: the name as it is written. *value: NULL if it is not there or
 * null. */
static enum sm_code find(const json_t **value, const char **key, const json_t *object,
                         const char *name, struct sm_err *err)
{
    const char *at;
    json_t *here;
    *value = NULL;
    json_object_foreach((json_t *)object, at, here)
    {
        if (json_is_null(here) || strcasecmp(at, name) != 0)
            continue;
        if (*value)
            return sm_err_set(err, SM_CORRUPT, "\"%s\" and \"%s\" are one name: keep one", *key,
                              at);
        *value = here;
        *key = at;
    }
    return SM_OK;
}

enum sm_code sm_member_read(char **out, const json_t *object, enum sm_member member,
                            struct sm_err *err)
{
    const json_t *value = NULL;
    const char *name = NULL;
    char number[24];
    *out = NULL;
    enum sm_code code = SM_OK;
    for (int i = 0; i < NAMES_COUNT && !value && code == SM_OK; i++)
        if (names[i].member == member)
            code = find(&value, &name, object, names[i].name, err);
    if (code != SM_OK || !value)
        return code;
    if (json_is_string(value))
        return sm_member_copy(out, json_string_value(value), json_string_length(value), err);
    double real = json_real_value(value);
    bool whole = json_is_real(value) && real == trunc(real) && fabs(real) <= WHOLE_MAX;
    if (!json_is_integer(value) && !whole)
        return refuse(name, value, err);
    long long integer = whole ? (long long)real : (long long)json_integer_value(value);
    int n = snprintf(number, sizeof number, "%lld", integer);
    return sm_member_copy(out, number, (size_t)n, err);
}
