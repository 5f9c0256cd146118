/* Time: the system's two clocks and RFC 3339 text. Every time of day and every deadline of the
 * service comes from here.
 *
 * Threads: all functions from any. */
#ifndef SERVER_BASE_CLOCK_H
#define SERVER_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t sm_clock_unix_ms(void);
int64_t sm_clock_monotonic_ms(void); /* for deadlines and durations; never jumps */
int64_t sm_clock_monotonic_us(void);

/* Writes "2026-01-31T12:34:56.789Z". Clamps the time to the years 0000 to 9999. */
void sm_time_format(char out[32], int64_t unix_ms);
/* Parses RFC 3339: date, time, an optional fraction of 1 to 9 digits, which is cut to milliseconds,
 * and Z or an offset. Returns false for any other text. */
bool sm_time_parse(int64_t *out_unix_ms, const char *text);

#endif
