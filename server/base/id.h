/* Ids are UUIDv7 (RFC 9562): ordered by time, with 74 random bits from libsodium.
 *
 * Threads: all functions from any. */
#ifndef SERVER_BASE_ID_H
#define SERVER_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

void sm_id_new(char out[37]);
bool sm_id_valid(const char *text);
void sm_id_format(char out[37], const uint8_t bytes[16]);
int64_t sm_id_unix_ms(const char *id); /* when a valid id was made */
/* Writes the lowest id of that millisecond: above every earlier id, not above any later one. */
void sm_id_floor(char out[37], int64_t unix_ms);

#endif
