/* Ids: UUIDv7 (RFC 9562) in lower case. They sort by time and have 74 random bits from libsodium.
 *
 * Threads: all functions from any. */
#ifndef SERVER_BASE_ID_H
#define SERVER_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

void sm_id_new(char out[37]);
bool sm_id_valid(const char *text);
/* Writes any 16 bytes in the form of an id. */
void sm_id_format(char out[37], const uint8_t bytes[16]);
int64_t sm_id_unix_ms(const char *id); /* the time at which a valid id was made */
/* Writes a text that sorts after every id made before that millisecond, and before all others. It
 * is a bound for comparisons, not a valid id. */
void sm_id_floor(char out[37], int64_t unix_ms);

#endif
