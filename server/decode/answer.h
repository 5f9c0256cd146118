/* Checks the answers of decoders. Private to server/decode. Pure: no process, no socket. */
#ifndef SERVER_DECODE_ANSWER_H
#define SERVER_DECODE_ANSWER_H

#include "server/decode/protocol.h"

/* Returns true if a packet of `bytes_count` bytes can be the answer to the request: right packet
 * size and id, a code that sm_image_decode returns, a NUL-terminated text, and an image size within
 * the limits (and so within the shared memory). */
bool sm_decode_answer_is_sound(const struct sm_decode_answer *answer, size_t bytes_count,
                               const struct sm_decode_request *request);

/* Returns true if a packet can be a hello: right packet size, a code that sm_child_await returns, a
 * NUL-terminated text. */
bool sm_hello_is_sound(const struct sm_decode_hello *hello, size_t bytes_count);

/* Converts a sound answer into the results of sm_image_decode. Reads `pixels` only once, because
 * the decoder can still write to them. The caller releases `out`; `info` may be NULL. */
enum sm_code sm_decode_answer_take(struct sm_image *out, const struct sm_decode_answer *answer,
                                   const struct sm_decode_request *request, const uint8_t *pixels,
                                   struct sm_image_info *info, struct sm_err *err);

#endif
