/* The protocol between the parent process and a decoder. Private to server/decode.
 *
 * A message is one struct in one packet of a socket pair (SOCK_SEQPACKET), so a packet of the wrong
 * size is noticed. Files and pixels go through shared memory, [file][pixels], which has room for
 * the largest of both; only written pages use memory.
 *
 *     decoder: hello                             once, after it entered the sandbox or failed to
 *     parent:  writes the file, sends a request
 *     decoder: writes the pixels, sends an answer
 *
 * Both run the same executable, so the protocol has no versions. The parent trusts nothing that it
 * reads (answer.c). */
#ifndef SERVER_DECODE_PROTOCOL_H
#define SERVER_DECODE_PROTOCOL_H

#include "sslmem/image.h"

#define SM_DECODE_SOCKET_FD 3 /* the decoder's descriptor of the socket */
#define SM_DECODE_MEMORY_FD 4

#define SM_DECODE_FILE_BYTES   ((size_t)SM_IMAGE_BYTES_MAX)
#define SM_DECODE_PIXELS_BYTES ((size_t)SM_IMAGE_PIXELS_MAX * 3)
#define SM_DECODE_MEMORY_BYTES (SM_DECODE_FILE_BYTES + SM_DECODE_PIXELS_BYTES)

struct sm_decode_hello {
    int32_t code; /* enum sm_code; SM_OK: the decoder waits for requests */
    int32_t landlock_abi;
    char text[sizeof((struct sm_err *)0)->text];
};

struct sm_decode_request {
    uint64_t id;
    uint32_t bytes_count;
    uint32_t apply_orientation; /* 0 or 1 */
};

/* Width and height are those of the file. The request tells whether the decoder applied the
 * orientation, which may swap them in the pixels. */
struct sm_decode_answer {
    uint64_t id;
    int32_t code;                             /* enum sm_code from sm_image_decode */
    int32_t width_px, height_px, orientation; /* as in struct sm_image_info */
    uint32_t exif_unreadable;                 /* 0 or 1 */
    int32_t decoder_warnings;
    char text[sizeof((struct sm_err *)0)->text];
};

#endif
