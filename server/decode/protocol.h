/* What a process and its decoder say to each other. Private to this floor.
 *
 * Messages are packets of a socket pair (SOCK_SEQPACKET), one struct each, so a short or long one
 * shows by its size. Files and pixels go through shared memory, [file][pixels], with room for the
 * largest of both; only written pages cost memory.
 *
 *     decoder: hello                      once, when it is locked in, or cannot be
 *     parent:  file into memory, request
 *     decoder: pixels into memory, answer
 *
 * The two are of one executable, so nothing here has versions. The parent believes nothing of what
 * it reads (answer.c). */
#ifndef SERVER_DECODE_PROTOCOL_H
#define SERVER_DECODE_PROTOCOL_H

#include "sslmem/image.h"

#define SM_DECODE_SOCKET_FD 3 /* of the decoder's end */
#define SM_DECODE_MEMORY_FD 4

#define SM_DECODE_FILE_BYTES   ((size_t)SM_IMAGE_BYTES_MAX)
#define SM_DECODE_PIXELS_BYTES ((size_t)SM_IMAGE_PIXELS_MAX * 3)
#define SM_DECODE_MEMORY_BYTES (SM_DECODE_FILE_BYTES + SM_DECODE_PIXELS_BYTES)

struct sm_decode_hello {
    int32_t code; /* enum sm_code; SM_OK: it waits for requests */
    int32_t landlock_abi;
    char text[sizeof((struct sm_err *)0)->text];
};

struct sm_decode_request {
    uint64_t id;
    uint32_t bytes_count;
    uint32_t apply_orientation; /* 0 or 1 */
};

/* Whether the orientation was applied and which size the pixels have follows from the request. */
struct sm_decode_answer {
    uint64_t id;
    int32_t code;                             /* enum sm_code of sm_image_decode */
    int32_t width_px, height_px, orientation; /* struct sm_image_info */
    uint32_t exif_unreadable;                 /* 0 or 1 */
    int32_t decoder_warnings;
    char text[sizeof((struct sm_err *)0)->text];
};

#endif
