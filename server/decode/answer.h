/* Answers of decoders, checked. Private to this floor. Pure: no process, no socket. */
#ifndef SERVER_DECODE_ANSWER_H
#define SERVER_DECODE_ANSWER_H

#include "server/decode/protocol.h"

/* Whether a packet of `bytes_count` can be the answer to the request: its size and id, a code that
 * sm_image_decode has, a text that ends, a size within the limits (and so within the memory). */
bool sm_decode_answer_is_sound(const struct sm_decode_answer *answer, size_t bytes_count,
                               const struct sm_decode_request *request);

/* The same of a hello: its size, a code that sm_child_await has, a text that ends. */
bool sm_hello_is_sound(const struct sm_decode_hello *hello, size_t bytes_count);

/* What sm_image_decode would have returned, from a sound answer: pixels are copied, once, out of
 * memory that the decoder can still write. `info` may be NULL. */
enum sm_code sm_decode_answer_take(struct sm_image *out, const struct sm_decode_answer *answer,
                                   const struct sm_decode_request *request, const uint8_t *pixels,
                                   struct sm_image_info *info, struct sm_err *err);

#endif
