/* Conversion of digests and ids from hex text to the bytes that the database stores. */
#ifndef SERVER_DB_HEX_H
#define SERVER_DB_HEX_H

#include <stddef.h>
#include <stdint.h>

#define SM_HEX_MAX 32 /* bytes of a digest */

/* Writes the bytes of a digest (64 digits) or an id (32 digits and dashes) and returns their
 * number, 32 or 16; 0 if the text is neither. */
size_t sm_unhex(uint8_t out[SM_HEX_MAX], const char *text);

#endif
