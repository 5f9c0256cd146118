/* The system's clocks, and RFC 3339 over Unix milliseconds. */
#include "server/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define YEAR_0_S    INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define YEAR_9999_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

int64_t sm_clock_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t sm_clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t sm_clock_monotonic_ms(void)
{
    return sm_clock_monotonic_us() / 1000;
}

void sm_time_format(char out[32], int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000, s = unix_ms / 1000;
    if (ms < 0) {
        ms += 1000;
        s--;
    }
    if (s < YEAR_0_S || s > YEAR_9999_S) { /* RFC 3339 has four-digit years */
        ms = s < YEAR_0_S ? 0 : 999;
        s = s < YEAR_0_S ? YEAR_0_S : YEAR_9999_S;
    }
    time_t t = (time_t)s;
    struct tm tm;
    gmtime_r(&t, &tm);
    char date[16];
    strftime(date, sizeof date, "%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%04u-%s.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000, date,
             (unsigned)ms % 1000);
}

/* Reads `count` digits and moves *text past them. Returns true if their number is in [min, max]. */
static bool digits(int *out, const char **text, int count, int min, int max)
{
    int value = 0;
    for (int i = 0; i < count; i++, ++*text) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *out = value;
    return value >= min && value <= max;
}

static bool one_of(const char **text, const char *characters)
{
    if (!**text || !strchr(characters, **text))
        return false;
    ++*text;
    return true;
}

/* Reads ".5" to ".123456789" and cuts it to whole milliseconds; without a fraction *out_ms is 0. */
static bool fraction(int *out_ms, const char **text)
{
    *out_ms = 0;
    if (**text != '.')
        return true;
    int count = 0;
    for (++*text; **text >= '0' && **text <= '9' && count < 10; ++*text, count++)
        if (count < 3)
            *out_ms = *out_ms * 10 + (**text - '0');
    for (int i = count; i < 3; i++)
        *out_ms *= 10;
    return count >= 1 && count <= 9;
}

/* Reads "Z", "+hh:mm" or "-hh:mm". */
static bool offset(int *out_s, const char **text)
{
    int hours, minutes, sign = **text == '-' ? -1 : 1;
    *out_s = 0;
    if (one_of(text, "Zz"))
        return true;
    if (!one_of(text, "+-") || !digits(&hours, text, 2, 0, 23) || !one_of(text, ":") ||
        !digits(&minutes, text, 2, 0, 59))
        return false;
    *out_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool sm_time_parse(int64_t *out_unix_ms, const char *text)
{
    int year, month, day, hour, minute, second, ms, offset_s;
    if (!digits(&year, &text, 4, 0, 9999) || !one_of(&text, "-") ||
        !digits(&month, &text, 2, 1, 12) || !one_of(&text, "-") || !digits(&day, &text, 2, 1, 31) ||
        !one_of(&text, "Tt") || !digits(&hour, &text, 2, 0, 23) || !one_of(&text, ":") ||
        !digits(&minute, &text, 2, 0, 59) || !one_of(&text, ":") ||
        !digits(&second, &text, 2, 0, 60) || !fraction(&ms, &text) || !offset(&offset_s, &text) ||
        *text)
        return false;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    int64_t s = timegm(&tm); /* second 60 becomes the first of the next minute */
    if (second < 60 && tm.tm_mday != day)
        return false; /* no such day, such as 31 June */
    *out_unix_ms = (s - offset_s) * 1000 + ms;
    return true;
}
