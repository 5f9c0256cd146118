/* Ids and time. Ids are UUIDv7 (RFC 9562): time ordered, 74 random bits from libsodium. */
#ifndef SERVER_BASE_ID_H
#define SERVER_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

void sm_id_new(char out[37]);
bool sm_id_valid(const char *text);
void sm_id_format(char out[37], const uint8_t bytes[16]);
int64_t sm_id_unix_ms(const char *id); /* of a valid id: when it was made */
/* Not above any id made at that time or later, above all made before. */
void sm_id_floor(char out[37], int64_t unix_ms);

int64_t sm_clock_unix_ms(void);
int64_t sm_clock_monotonic_ms(void);
/* "2026-01-31T12:34:56.789Z"; parse accepts a fraction of 0 to 9 digits and Z or an offset. */
void sm_time_format(char out[32], int64_t unix_ms);
bool sm_time_parse(int64_t *out_unix_ms, const char *text);

#endif
