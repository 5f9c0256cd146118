/* Ids and digests as bytes: what stands between hex text outside and BLOBs inside. */
#ifndef SERVER_DB_HEX_H
#define SERVER_DB_HEX_H

#include <stddef.h>
#include <stdint.h>

#define SM_HEX_MAX 32 /* bytes of a digest */

/* Bytes of a digest (64 digits) or of an id (32 digits and dashes): their number, 32 or 16; 0 when
 * the text is neither. */
size_t sm_unhex(uint8_t out[SM_HEX_MAX], const char *text);

#endif
