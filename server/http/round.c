/* One pass over the text: strings and punctuation are copied, numbers looked at. A recipe is known
 * by the key before it and ends where its object does. */
#include "server/http/round.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER "+-0123456789.eE"

/* The end of the string that begins at `at`, behind its quote. */
static const char *string_end(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

/* The end of the object that begins at `at`. */
static const char *object_end(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            at = string_end(at);
            continue;
        }
        depth += (*at == '{') - (*at == '}');
        at++;
    } while (*at && depth > 0);
    return at;
}

static void put_number(FILE *out, const char *at, size_t length, int decimals)
{
    char text[400];
    bool whole = strcspn(at, ".eE") >= length;
    if (whole) {
        fwrite(at, 1, length, out);
        return;
    }
    snprintf(text, sizeof text, "%.*f", decimals, strtod(at, NULL));
    bool is_zero = strspn(text, "-0.") == strlen(text);
    fputs(text[0] == '-' && is_zero ? text + 1 : text, out);
}

/* Copies the string at `at`, and the recipe behind it if it names one. */
static const char *put_string(FILE *out, const char *at)
{
    static const char recipe[] = "\"recipe\"";
    const char *end = string_end(at);
    if (strncmp(at, recipe, sizeof recipe - 1) == 0) {
        const char *value = end + strspn(end, " \t\r\n:");
        if (*value == '{')
            end = object_end(value);
    }
    fwrite(at, 1, (size_t)(end - at), out);
    return end;
}

char *sm_round_json(char *text, int decimals)
{
    char *rounded = NULL;
    size_t bytes_count;
    FILE *out = text ? open_memstream(&rounded, &bytes_count) : NULL;

    for (const char *at = text; out && *at;) {
        size_t length = strspn(at, "-0123456789") > 0 ? strspn(at, NUMBER) : 0;
        if (*at == '"') {
            at = put_string(out, at);
        } else if (length > 0) {
            put_number(out, at, length, decimals);
            at += length;
        } else {
            fputc(*at++, out);
        }
    }
    free(text);
    if (out && fclose(out) != 0) {
        free(rounded);
        rounded = NULL;
    }
    return rounded;
}
